//! Allocations that fail on purpose, for tests (builds with debug assertions only): the k-th request of this thread, or
//! that one and all after it, is treated as one that the system refused.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Which requests fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fail {
    /// None; they are counted.
    Never,
    /// The k-th, counted from 0.
    At(u64),
    /// The k-th and all after it: memory has run out.
    From(u64),
}

/// How many threads have a plan: none in almost every process.
static ARMED: AtomicUsize = AtomicUsize::new(0);
thread_local! {
    static PLAN: Cell<Option<Fail>> = const { Cell::new(None) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
}
thread_local! {
    /// What would have ended the process: size and place.
    static ABORTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Whether this request is one that fails; counts it.
#[inline]
pub fn fails() -> bool {
    ARMED.load(Relaxed) != 0 && decide()
}
#[cold]
fn decide() -> bool {
    let Some(plan) = PLAN.with(Cell::get) else { return false };
    let k = COUNT.with(|c| c.replace(c.get() + 1));
    match plan {
        Fail::Never => false,
        Fail::At(at) => k == at,
        Fail::From(at) => k >= at,
    }
}

/// Runs `f` with failing requests; its result, how many requests it made, and what would have ended the process.
pub fn run<R>(plan: Fail, f: impl FnOnce() -> R) -> (R, u64, Vec<String>) {
    struct Disarm;
    impl Drop for Disarm {
        fn drop(&mut self) {
            PLAN.with(|p| p.set(None));
            ARMED.fetch_sub(1, Relaxed);
        }
    }
    ABORTS.with(|a| a.borrow_mut().clear());
    COUNT.with(|c| c.set(0));
    ARMED.fetch_add(1, Relaxed);
    PLAN.with(|p| p.set(Some(plan)));
    let disarm = Disarm;
    let r = f();
    drop(disarm);
    (r, COUNT.with(Cell::get), ABORTS.take())
}

/// Runs `f` without failures inside of a `run`: the test's own work.
pub fn paused<R>(f: impl FnOnce() -> R) -> R {
    let plan = PLAN.with(Cell::take);
    let r = f();
    PLAN.with(|p| p.set(plan));
    r
}

/// Notes a request of `size` bytes that nothing could serve.
pub(super) fn note_abort(size: usize) {
    let plan = PLAN.with(Cell::take);
    let trace = std::backtrace::Backtrace::force_capture().to_string();
    let ours = |l: &&str| l.contains(": taper") && !l.contains("backend::memory");
    let place: Vec<&str> = trace.lines().filter(ours).take(6).map(str::trim).collect();
    ABORTS.with(|a| a.borrow_mut().push(format!("{size} bytes in {}", place.join(" < "))));
    PLAN.with(|p| p.set(plan));
}

/// For the suites in other languages, which load the debug build: the calling thread's allocations fail from here on,
/// the k-th (`all` 0) or that one and all after it.
#[no_mangle]
pub extern "C" fn taper_test_fail_allocations(k: u64, all: i32) {
    taper_test_fail_end();
    ABORTS.with(|a| a.borrow_mut().clear());
    COUNT.with(|c| c.set(0));
    ARMED.fetch_add(1, Relaxed);
    PLAN.with(|p| p.set(Some(if all != 0 { Fail::From(k) } else { Fail::At(k) })));
}

/// Ends it. Returns how many allocations there were, or -1 when one of them would have ended the process, and then says
/// where on stderr.
#[no_mangle]
pub extern "C" fn taper_test_fail_end() -> i64 {
    if PLAN.with(Cell::take).is_some() {
        ARMED.fetch_sub(1, Relaxed);
    }
    let aborts = ABORTS.take();
    aborts.iter().for_each(|a| eprintln!("would end the process: {a}"));
    if aborts.is_empty() {
        COUNT.with(Cell::get) as i64
    } else {
        -1
    }
}
