//! The threads that help a `parallel_for`.
//!
//! One job at a time: the caller publishes it, works on it itself and waits only for helpers that have joined, so a
//! helper that wakes late costs nothing. Work is often a few tens of microseconds long and waking a thread costs as
//! much, so helpers look out for the next job for a while before they sleep.

use crate::backend::memory;
use std::any::Any;
use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Mutex, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// More than a thread's stack with its thread-locals and first allocations.
const THREAD_BYTES: usize = 8 << 20;

/// How long a helper looks out for the next job before it sleeps, and a caller for the helpers' end.
const SPIN: Duration = Duration::from_micros(100);

// The state of the current job, in one word.
/// Helpers at work.
const ACTIVE: u64 = 1;
const ACTIVE_MASK: u64 = 0x7fff;
/// Set when the caller sleeps until no helper is at work.
const WAITING: u64 = 0x8000;
/// Helpers that may still join; none once the caller has finished its own part.
const SEAT: u64 = 1 << 16;
const SEAT_MASK: u64 = 0xffff << 16;
/// The job's number, in the upper half.
const JOB: u64 = 1 << 32;

type Job<'a> = dyn Fn(usize) + Sync + 'a;

/// A word of its own cache line: helpers watch it while the caller writes elsewhere.
#[repr(align(128))]
struct Padded<T>(T);

pub struct Workers {
    state: Padded<AtomicU64>,
    /// Whether a job is under way; its caller owns `job` and `waiter`.
    busy: Padded<AtomicBool>,
    /// One bit for each helper that sleeps, or is about to.
    asleep: Box<[AtomicU64]>,
    threads: Box<[OnceLock<Thread>]>,
    /// Valid while the state has a seat or a helper at work.
    job: UnsafeCell<Option<&'static Job<'static>>>,
    /// Valid while `WAITING` is set.
    waiter: UnsafeCell<Option<Thread>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Looking out is pointless where there are more threads than processors.
    spin: bool,
}
// SAFETY: `job` and `waiter` are written by the caller that holds `busy` while no helper may read them: before the
// state has seats, and before `WAITING` is set, both with release; helpers read them after acquiring the state.
unsafe impl Sync for Workers {}

impl Workers {
    /// `count` helpers that run `start` first; None when the system gives no threads. Lives for ever: callers hold
    /// references without a count.
    pub fn start(count: usize, start: fn()) -> Option<&'static Workers> {
        let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
        let workers: &'static Workers = Box::leak(Box::new(Workers {
            state: Padded(AtomicU64::new(0)),
            busy: Padded(AtomicBool::new(false)),
            asleep: (0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            threads: (0..count).map(|_| OnceLock::new()).collect(),
            job: UnsafeCell::new(None),
            waiter: UnsafeCell::new(None),
            panic: Mutex::new(None),
            spin: count < processors,
        }));
        let mut started = 0;
        let ready = std::sync::Arc::new(AtomicUsize::new(0));
        for i in 0..count {
            // A thread that finds no memory for its thread-locals ends the process (the C library does): none is started
            // where nothing can be mapped beyond its stack ...
            if !memory::can_map(THREAD_BYTES) {
                break;
            }
            let builder = std::thread::Builder::new().name(format!("taper-{i}"));
            let there = ready.clone();
            let Ok(handle) = builder.spawn(move || {
                start();
                there.fetch_add(1, Release);
                drop(there);
                workers.serve(i)
            }) else {
                break;
            };
            let _ = workers.threads[i].set(handle.thread().clone());
            started += 1;
        }
        // ... and all have what they need before memory may become short.
        while ready.load(Acquire) < started {
            std::thread::yield_now();
        }
        (started > 0).then_some(workers)
    }

    /// Number of helpers.
    pub fn count(&self) -> usize {
        self.threads.len()
    }

    /// Calls `job` once on this thread, with 0, and at the same time on up to `helpers` others, with their numbers
    /// from 1 on. Some or all helpers may stay away: the job must be one whose parts are claimed. False, and nothing
    /// is called, where the helpers are busy with another thread's job. A panic in `job` reaches the caller after
    /// all have stopped.
    pub fn run(&self, helpers: usize, job: &Job<'_>) -> bool {
        if self.busy.0.swap(true, Acquire) {
            return false;
        }
        let helpers = helpers.min(self.count());
        // SAFETY: this thread holds `busy`, nobody else touches the cell; helpers use the reference before this
        // function returns, because it waits for those who joined and no one can join after that.
        unsafe { *self.job.get() = Some(std::mem::transmute::<&Job<'_>, &'static Job<'static>>(job)) };
        let number = (self.state.0.load(Relaxed) / JOB).wrapping_add(1);
        // Sequentially consistent, like the helper's last look after it says that it sleeps: one sees the other.
        self.state.0.store(number.wrapping_mul(JOB) | (helpers as u64 * SEAT), SeqCst);
        self.wake(helpers);
        let own = catch_unwind(AssertUnwindSafe(|| job(0)));
        self.state.0.fetch_and(!SEAT_MASK, AcqRel);
        self.wait();
        let other = self.panic.lock().unwrap_or_else(|e| e.into_inner()).take();
        self.busy.0.store(false, Release);
        if let Some(p) = own.err().or(other) {
            resume_unwind(p);
        }
        true
    }

    /// Wakes helpers until `wanted` are awake.
    fn wake(&self, wanted: usize) {
        let sleeping: usize = self.asleep.iter().map(|w| w.load(SeqCst).count_ones() as usize).sum();
        let mut missing = wanted.saturating_sub(self.count() - sleeping);
        for (i, word) in self.asleep.iter().enumerate() {
            while missing > 0 {
                let bits = word.load(Relaxed);
                if bits == 0 {
                    break;
                }
                let bit = bits & bits.wrapping_neg();
                if word.fetch_and(!bit, AcqRel) & bit != 0 {
                    missing -= 1;
                    if let Some(t) = self.threads[i * 64 + bit.trailing_zeros() as usize].get() {
                        t.unpark();
                    }
                }
            }
        }
    }

    /// Until no helper is at work.
    fn wait(&self) {
        let idle = || self.state.0.load(Acquire) & ACTIVE_MASK == 0;
        if idle() || (self.spin && look_out(idle)) {
            return;
        }
        // SAFETY: this thread holds `busy`, and no helper reads the cell before the bit is set.
        unsafe { *self.waiter.get() = Some(std::thread::current()) };
        self.state.0.fetch_or(WAITING, AcqRel);
        while !idle() {
            std::thread::park();
        }
    }

    /// A helper's life.
    fn serve(&self, me: usize) {
        let (word, bit) = (&self.asleep[me / 64], 1u64 << (me % 64));
        let mut last = 0;
        loop {
            let fresh = |s: u64| s & SEAT_MASK != 0 && s / JOB != last;
            if !(self.spin && look_out(|| fresh(self.state.0.load(Acquire)))) {
                word.fetch_or(bit, SeqCst);
                if fresh(self.state.0.load(SeqCst)) {
                    word.fetch_and(!bit, AcqRel);
                } else {
                    // Woken by whoever clears the bit.
                    while word.load(Acquire) & bit != 0 {
                        std::thread::park();
                    }
                }
            }
            let mut s = self.state.0.load(Acquire);
            while fresh(s) {
                match self.state.0.compare_exchange_weak(s, s - SEAT + ACTIVE, AcqRel, Acquire) {
                    Ok(_) => {
                        last = s / JOB;
                        self.join(me);
                        break;
                    }
                    Err(now) => s = now,
                }
            }
        }
    }

    /// Runs the current job, as one of those at work.
    fn join(&self, me: usize) {
        // SAFETY: the caller waits while a helper is at work, so the job is valid and not written to.
        if let Some(job) = unsafe { *self.job.get() } {
            if let Err(p) = catch_unwind(AssertUnwindSafe(|| job(me + 1))) {
                self.panic.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(p);
            }
        }
        let mut s = self.state.0.load(Acquire);
        loop {
            // The last one wakes the caller. Its handle is read before the caller can go on.
            // SAFETY: written before the bit was set; not changed while this helper counts as at work.
            let waiter = if s & WAITING != 0 && s & ACTIVE_MASK == ACTIVE {
                unsafe { (*self.waiter.get()).clone() }
            } else {
                None
            };
            match self.state.0.compare_exchange_weak(s, s - ACTIVE, AcqRel, Acquire) {
                Ok(_) => {
                    if let Some(t) = waiter {
                        t.unpark();
                    }
                    return;
                }
                Err(now) => s = now,
            }
        }
    }
}

/// Looks at `done` until it is true or `SPIN` is over.
fn look_out(done: impl Fn() -> bool) -> bool {
    let mut until = None;
    loop {
        for _ in 0..64 {
            if done() {
                return true;
            }
            spin_loop();
        }
        let now = Instant::now();
        if now >= *until.get_or_insert(now + SPIN) {
            return false;
        }
    }
}

#[cfg(feature = "tests")]
pub(crate) mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// Many short jobs, with pauses now and then so that helpers fall asleep: every part is done exactly once.
    #[cfg_attr(test, test)]
    pub(crate) fn short_jobs_and_sleep() {
        for count in [1, 3] {
            let workers = Workers::start(count, || {}).unwrap();
            for round in 0..3000usize {
                if round % 500 == 499 {
                    std::thread::sleep(Duration::from_millis(2));
                }
                let parts = 1 + round % 7;
                let (next, sum) = (AtomicUsize::new(0), AtomicUsize::new(0));
                let done = workers.run(1 + round % count, &|_| loop {
                    let i = next.fetch_add(1, Relaxed);
                    if i >= parts {
                        break;
                    }
                    sum.fetch_add(i + 1, Relaxed);
                });
                assert!(done);
                assert_eq!(sum.into_inner(), parts * (parts + 1) / 2);
            }
        }
    }

    /// The caller waits for a helper that takes long.
    #[cfg_attr(test, test)]
    pub(crate) fn waits_for_those_who_joined() {
        let workers = Workers::start(1, || {}).unwrap();
        for pause in [0, 3] {
            let (started, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
            workers.run(1, &|who| {
                if who == 1 {
                    started.store(1, Release);
                    std::thread::sleep(Duration::from_millis(20 * pause));
                    finished.store(1, Release);
                } else {
                    // Time to join.
                    let t = Instant::now();
                    while started.load(Acquire) == 0 && t.elapsed() < Duration::from_secs(5) {
                        std::thread::yield_now();
                    }
                }
            });
            assert_eq!(started.into_inner(), finished.into_inner());
        }
    }

    #[cfg_attr(test, test)]
    pub(crate) fn several_callers() {
        let workers = Workers::start(2, || {}).unwrap();
        let (ran, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    for _ in 0..2000 {
                        let calls = AtomicUsize::new(0);
                        if workers.run(2, &|_| {
                            calls.fetch_add(1, Relaxed);
                        }) {
                            assert!((1..=3).contains(&calls.into_inner()));
                            ran.fetch_add(1, Relaxed);
                        } else {
                            assert_eq!(calls.into_inner(), 0);
                            refused.fetch_add(1, Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(ran.into_inner() + refused.into_inner(), 6000);
    }
}
