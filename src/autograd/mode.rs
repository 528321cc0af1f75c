//! Grad mode and inference mode, per thread.

use std::cell::Cell;

thread_local! {
    /// One cell for both, because every op asks.
    static MODE: Cell<u8> = const { Cell::new(GRAD) };
}
const GRAD: u8 = 1;
const INFERENCE: u8 = 2;

fn set(bit: u8, on: bool) -> bool {
    MODE.with(|m| {
        let old = m.get();
        m.set(if on { old | bit } else { old & !bit });
        old & bit != 0
    })
}

/// Whether ops on this thread are recorded: grad mode is on, inference mode is not.
#[inline]
pub fn grad_enabled() -> bool {
    MODE.with(Cell::get) == GRAD
}
/// Sets grad mode on this thread and returns what it was.
pub fn set_grad_enabled(on: bool) -> bool {
    set(GRAD, on)
}
/// Whether inference mode is on: nothing is recorded and views are not tracked.
#[inline]
pub fn inference_mode() -> bool {
    MODE.with(Cell::get) & INFERENCE != 0
}
/// Sets inference mode on this thread and returns what it was.
pub fn set_inference_mode(on: bool) -> bool {
    set(INFERENCE, on)
}

/// Restores the grad mode when dropped.
pub struct GradMode(bool);
impl GradMode {
    pub fn set(on: bool) -> GradMode {
        GradMode(set_grad_enabled(on))
    }
}
impl Drop for GradMode {
    fn drop(&mut self) {
        set_grad_enabled(self.0);
    }
}
/// Runs `f` without recording.
pub fn no_grad<R>(f: impl FnOnce() -> R) -> R {
    let _guard = GradMode::set(false);
    f()
}
