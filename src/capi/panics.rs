//! Panics stop here: what runs for C runs inside of `caught`.

use super::error_box;
use crate::backend::memory;
use crate::base::error::{Error, ErrorKind};
use crate::base::no_kernel::NoKernel;
use crate::base::sync::Mutex;
use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// How many calls into the library this thread is inside of (callbacks may call again).
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Message and place of the panic that is unwinding through such a call.
    static PANIC: Cell<Option<String>> = const { Cell::new(None) };
}
/// The same of a panic on one of the kernels' threads, which goes on in the thread that called.
static WORKER_PANIC: Mutex<Option<String>> = Mutex::new(None);
static START: Once = Once::new();

/// Before the first call: within our calls a panic is noted and not printed, and everything else goes to the hook that
/// was there before.
#[cold]
fn start() {
    memory::prepare();
    error_box::prepare();
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let worker = std::thread::current().name().is_some_and(|n| n.starts_with("taper-"));
        let inside = DEPTH.try_with(Cell::get).unwrap_or(0) != 0;
        if !inside && !worker {
            return previous(info);
        }
        let text = match info.location() {
            Some(l) => format!("{} at {}:{}:{}", panic_text(info.payload()), l.file(), l.line(), l.column()),
            None => panic_text(info.payload()).to_string(),
        };
        if !inside {
            *WORKER_PANIC.lock() = Some(text);
            return;
        }
        let _ = PANIC.try_with(|p| p.set(Some(text)));
    }));
}

fn panic_text(payload: &dyn std::any::Any) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("panic with an unknown payload")
}

/// Catches a panic of `f` as an error that says what happened and where.
#[inline]
pub fn caught<R>(f: impl FnOnce() -> R) -> std::result::Result<R, Error> {
    START.call_once(start);
    DEPTH.with(|d| d.set(d.get() + 1));
    let result = catch_unwind(AssertUnwindSafe(f));
    DEPTH.with(|d| d.set(d.get() - 1));
    result.map_err(|payload| panic_error(&*payload))
}

#[cold]
fn panic_error(payload: &(dyn std::any::Any + Send)) -> Error {
    if let Some(NoKernel(dtype)) = payload.downcast_ref() {
        return Error::new(ErrorKind::NotImplemented, format!("this op is not implemented for '{dtype}'"));
    }
    let noted = PANIC.try_with(Cell::take).ok().flatten().or_else(|| WORKER_PANIC.lock().take());
    let what = noted.unwrap_or_else(|| panic_text(payload).to_string());
    Error::new(ErrorKind::Internal, format!("internal error, please report it: {what}"))
}

/// The body of a getter that returns its value: `bad` for a bad handle (or a panic).
#[inline]
pub fn getter<R>(bad: R, f: impl FnOnce() -> Option<R>) -> R {
    match caught(f) {
        Ok(Some(r)) => r,
        _ => bad,
    }
}
