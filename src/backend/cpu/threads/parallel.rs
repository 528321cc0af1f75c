//! One `parallel_for` over threads of our own.
//!
//! Work is cut at multiples of the grain; each thread begins with its own stretch of it, so that repeated calls find
//! their part in the same core's cache, and then helps with the others'. The calling thread takes part and one call is
//! one fork-join. A call made inside another runs serially, as does one made while another thread's call has the
//! helpers. They are started at first need, anew when more are asked for, and in a forked child, where the parent's
//! threads do not exist.

use super::workers::Workers;
use crate::backend::inside::{self, is_inside, Inside};
use crate::base::error::Result;
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

struct Pool {
    pid: u32,
    workers: &'static Workers,
}

/// The current pool. Never freed: a pool is replaced only by one at least twice as large, or after a fork, and no
/// lock may stand here that another thread could hold while the process forks.
static POOL: AtomicPtr<Pool> = AtomicPtr::new(ptr::null_mut());
/// Threads that one call may use; 0 until first asked for.
static THREADS: AtomicUsize = AtomicUsize::new(0);
const MAX_THREADS: usize = 1024;

/// Threads that a kernel may use: the last `set_num_threads`, else `TAPER_NUM_THREADS`, else the number of CPUs that
/// this process may run on.
#[inline]
pub fn num_threads() -> usize {
    match THREADS.load(Ordering::Relaxed) {
        0 => default_threads(),
        n => n,
    }
}

#[cold]
fn default_threads() -> usize {
    let from_env = std::env::var("TAPER_NUM_THREADS").ok().and_then(|v| v.trim().parse::<usize>().ok());
    let n = match from_env {
        Some(n) if n > 0 => n,
        _ => std::thread::available_parallelism().map_or(1, |n| n.get()),
    }
    .min(MAX_THREADS);
    // Whoever set a number meanwhile wins.
    match THREADS.compare_exchange(0, n, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => n,
        Err(set) => set,
    }
}

/// Sets how many threads a kernel may use, the caller counted (clamped to 1..=1024). Results do not depend on it.
pub fn set_num_threads(n: usize) {
    THREADS.store(n.clamp(1, MAX_THREADS), Ordering::Relaxed);
}

/// At least `helpers` threads belonging to this process, or None when the system gives no threads.
fn workers(helpers: usize) -> Option<&'static Workers> {
    let pid = std::process::id();
    let current = POOL.load(Ordering::Acquire);
    if !current.is_null() {
        // SAFETY: pools are leaked, so the pointer stays valid.
        let p = unsafe { &*current };
        if p.pid == pid && p.workers.count() >= helpers {
            return Some(p.workers);
        }
    }
    let workers = Workers::start(helpers.next_power_of_two(), inside::for_good)?;
    let new = Box::into_raw(Box::new(Pool { pid, workers }));
    match POOL.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Some(workers),
        // Another thread made some first; ours sleep from now on.
        Err(_) => {
            // SAFETY: `new` came from Box::into_raw above and nobody else has it.
            drop(unsafe { Box::from_raw(new) });
            self::workers(helpers)
        }
    }
}

/// Calls `f` on ranges that cover `0..n`, each once, from several threads when `n` is larger than `grain`.
///
/// Ranges start at multiples of `grain`; how many multiples one range has is not fixed, so what `f` computes must not
/// depend on it. A panic in `f` reaches the caller after all parts have stopped.
#[inline]
pub fn parallel_for(n: usize, grain: usize, f: impl Fn(Range<usize>) + Sync) {
    parallel_for_units(n, grain, grain, f)
}

/// As `parallel_for`, with ranges that start at multiples of `unit`.
#[inline]
pub fn parallel_for_units(n: usize, unit: usize, grain: usize, f: impl Fn(Range<usize>) + Sync) {
    if n == 0 {
        return;
    }
    if n <= grain || n <= unit || num_threads() == 1 || is_inside() {
        return f(0..n);
    }
    run_parallel(n, unit.max(1), grain.max(1), &f);
}

/// As `parallel_for`, for parts that can fail: the first error seen. Parts not begun by then are left out.
pub fn try_parallel_for(n: usize, grain: usize, f: impl Fn(Range<usize>) -> Result<()> + Sync) -> Result<()> {
    let failed = Mutex::new(None);
    let stop = AtomicBool::new(false);
    parallel_for(n, grain, |r| {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        if let Err(e) = f(r) {
            stop.store(true, Ordering::Relaxed);
            failed.lock().get_or_insert(e);
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}

/// Parts for each thread, so that a thread held up by others does not hold up all.
const PARTS: usize = 4;

/// One thread's stretch of parts: the next one to do.
#[repr(align(64))]
struct Stretch(AtomicUsize);

fn run_parallel(n: usize, unit: usize, grain: usize, f: &(dyn Fn(Range<usize>) + Sync)) {
    let threads = num_threads().min(n.div_ceil(grain));
    let parts = (threads * PARTS).min(2 * n.div_ceil(grain)).next_multiple_of(threads);
    let part = n.div_ceil(unit).div_ceil(parts) * unit;
    let parts = n.div_ceil(part);
    let threads = threads.min(parts);
    let Some(workers) = (if threads > 1 { workers(threads - 1) } else { None }) else {
        return f(0..n);
    };
    let first = |t: usize| t * parts / threads;
    let stretches: SmallVec<[Stretch; 8]> = (0..threads).map(|t| Stretch(AtomicUsize::new(first(t)))).collect();
    let work = |me: usize| {
        for t in (0..threads).map(|i| (me + i) % threads) {
            loop {
                let i = stretches[t].0.fetch_add(1, Ordering::Relaxed);
                if i >= first(t + 1) {
                    break;
                }
                f(i * part..((i + 1) * part).min(n));
            }
        }
    };
    let _inside = Inside::enter();
    if !workers.run(threads - 1, &work) {
        f(0..n);
    }
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    fn covers_once(n: usize, grain: usize) {
        let hits: Vec<AtomicU32> = (0..n).map(|_| AtomicU32::new(0)).collect();
        parallel_for(n, grain, |r| {
            assert_eq!(r.start % grain, 0);
            for i in r {
                hits[i].fetch_add(1, Ordering::Relaxed);
            }
        });
        assert!(hits.iter().all(|h| h.load(Ordering::Relaxed) == 1), "n {n}, grain {grain}");
    }

    #[cfg_attr(test, test)]
    pub(crate) fn every_index_once() {
        for threads in [1, 2, 3, 7] {
            set_num_threads(threads);
            for (n, grain) in [(0, 4), (1, 4), (4, 4), (5, 4), (1000, 1), (1023, 16), (100_000, 1000)] {
                covers_once(n, grain);
            }
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn nested_calls_run_serially() {
        set_num_threads(4);
        let total = AtomicUsize::new(0);
        parallel_for(64, 1, |outer| {
            for _ in outer {
                let me = std::thread::current().id();
                parallel_for(100, 1, |r| {
                    assert_eq!(std::thread::current().id(), me);
                    total.fetch_add(r.len(), Ordering::Relaxed);
                });
            }
        });
        assert_eq!(total.into_inner(), 6400);
    }

    #[cfg_attr(test, test)]
    pub(crate) fn panic_reaches_the_caller() {
        set_num_threads(3);
        let r = std::panic::catch_unwind(|| {
            parallel_for(100, 1, |r| {
                if r.contains(&50) {
                    panic!("part failed")
                }
            })
        });
        assert!(r.is_err());
        // The pool still works, and this thread is no longer marked as inside.
        covers_once(1000, 8);
        assert!(!is_inside());
    }

    #[cfg_attr(test, test)]
    #[cfg(unix)]
    pub(crate) fn works_after_fork() {
        set_num_threads(2);
        covers_once(1000, 10);
        // SAFETY: the child runs parallel_for only and leaves through _exit.
        unsafe {
            let pid = libc::fork();
            assert!(pid >= 0);
            if pid == 0 {
                let sum = AtomicUsize::new(0);
                parallel_for(1000, 10, |r| {
                    sum.fetch_add(r.sum(), Ordering::Relaxed);
                });
                libc::_exit(if sum.into_inner() == 499_500 { 0 } else { 1 });
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
            assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "child status {status}");
        }
    }
}
