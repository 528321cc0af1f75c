//! Coarse work (sorting a long line, reading a large file) on rayon's threads.
//!
//! Kernels' helper threads (`workers`) serve jobs of some microseconds; here a job takes milliseconds, and what counts is
//! that parts of unlike length are shared out well. One setting, `num_threads`, governs both; the pool is made at first
//! need, anew when the number changes and in a forked child. Its threads count as inside of a kernel: what they call
//! runs serially, so that nothing oversubscribes.

use super::parallel::num_threads;
use crate::backend::inside::{self, is_inside};
use crate::backend::memory;
use parking_lot::Mutex;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::Arc;

struct Pool {
    pid: u32,
    threads: usize,
    pool: Arc<ThreadPool>,
}
static POOL: Mutex<Option<Pool>> = Mutex::new(None);

/// More than a thread's stack with its thread-locals and first allocations.
const THREAD_BYTES: usize = 8 << 20;

/// A pool of as many threads as kernels may use; None where there is one, or none can be had.
fn pool() -> Option<Arc<ThreadPool>> {
    let threads = num_threads();
    if threads == 1 || is_inside() {
        return None;
    }
    let pid = std::process::id();
    // Not waited for: in a forked child a thread that does not exist may hold it.
    let mut slot = POOL.try_lock()?;
    match &*slot {
        Some(p) if p.pid == pid && p.threads == threads => return Some(p.pool.clone()),
        _ => {}
    }
    if !memory::can_map(THREAD_BYTES * threads) {
        return None;
    }
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("taper-coarse-{i}"))
        .start_handler(|_| inside::for_good())
        .build()
        .ok()?;
    let pool = Arc::new(pool);
    if let Some(old) = slot.replace(Pool { pid, threads, pool: pool.clone() }) {
        if old.pid != pid {
            // Its threads are the parent's: nothing here can end them.
            std::mem::forget(old);
        }
    }
    Some(pool)
}

/// Calls `f` with each piece of `size` elements (the last may be shorter) and its number, once, from several threads; the
/// error of the lowest number that failed among those that were tried.
pub fn try_chunks<T: Send, E: Send>(
    all: &mut [T],
    size: usize,
    f: impl Fn(usize, &mut [T]) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let Some(pool) = (if all.len() > size { pool() } else { None }) else {
        return all.chunks_mut(size).enumerate().try_for_each(|(i, piece)| f(i, piece));
    };
    let first = Mutex::new(None::<(usize, E)>);
    pool.install(|| {
        all.par_chunks_mut(size).enumerate().for_each(|(i, piece)| {
            if first.lock().as_ref().is_some_and(|(at, _)| *at < i) {
                return;
            }
            if let Err(e) = f(i, piece) {
                let mut first = first.lock();
                if first.as_ref().is_none_or(|(at, _)| i < *at) {
                    *first = Some((i, e));
                }
            }
        })
    });
    first.into_inner().map_or(Ok(()), |(_, e)| Err(e))
}

/// Calls `f` with each number below `n`, once, from several threads.
pub fn each(n: usize, f: impl Fn(usize) + Sync) {
    each_of(n, &f);
}
/// Compiled once: rayon's part of it is 8 KB, and a call is worth milliseconds.
#[inline(never)]
fn each_of(n: usize, f: &(dyn Fn(usize) + Sync)) {
    match if n > 1 { pool() } else { None } {
        Some(pool) => pool.install(|| (0..n).into_par_iter().for_each(f)),
        None => (0..n).for_each(f),
    }
}

/// Sorts words of which no two are equal.
pub fn sort<T: Ord + Send>(words: &mut [T]) {
    match pool() {
        Some(pool) => pool.install(|| words.par_sort_unstable()),
        None => words.sort_unstable(),
    }
}

/// How many parts coarse work is cut into: some for each thread, one where it would run serially.
pub fn parts() -> usize {
    match num_threads() {
        n if n == 1 || is_inside() => 1,
        n => 4 * n,
    }
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;
    use crate::backend::cpu::threads::parallel::{parallel_for, set_num_threads};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    #[cfg_attr(test, test)]
    pub(crate) fn every_part_once_and_kernels_inside_run_serially() {
        for threads in [1, 2, 5] {
            set_num_threads(threads);
            let sum = AtomicUsize::new(0);
            each(100, |i| {
                let me = std::thread::current().id();
                parallel_for(10, 1, |r| {
                    assert!(threads == 1 || std::thread::current().id() == me);
                    sum.fetch_add(r.len() * i, Relaxed);
                });
            });
            assert_eq!(sum.into_inner(), 49_500);
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn the_first_error_is_the_lowest_numbers() {
        set_num_threads(3);
        let mut all = [0u8; 105];
        let tried = try_chunks(&mut all, 2, |i, piece| {
            piece.fill(1);
            if i % 7 == 6 {
                Err(i)
            } else {
                Ok(())
            }
        });
        assert_eq!(tried, Err(6));
        let fill = |_: usize, piece: &mut [u8]| {
            piece.fill(2);
            Ok::<(), ()>(())
        };
        assert_eq!(try_chunks(&mut all, 2, fill), Ok(()));
        assert!(all.iter().all(|v| *v == 2));
    }

    #[cfg_attr(test, test)]
    pub(crate) fn a_panic_reaches_the_caller() {
        set_num_threads(2);
        let caught = std::panic::catch_unwind(|| each(20, |i| assert!(i != 11, "part failed")));
        assert!(caught.is_err());
        each(20, |_| {});
    }

    #[cfg_attr(test, test)]
    #[cfg(unix)]
    pub(crate) fn works_after_fork() {
        set_num_threads(2);
        each(10, |_| {});
        // SAFETY: the child runs parts only and leaves through _exit.
        unsafe {
            let pid = libc::fork();
            assert!(pid >= 0);
            if pid == 0 {
                let sum = AtomicUsize::new(0);
                each(10, |i| {
                    sum.fetch_add(i, Relaxed);
                });
                libc::_exit(if sum.into_inner() == 45 { 0 } else { 1 });
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
            assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "child status {status}");
        }
    }
}
