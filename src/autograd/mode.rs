//! Grad mode and inference mode, per thread.

use std::cell::Cell;

thread_local! {
    static GRAD: Cell<bool> = const { Cell::new(true) };
    static INFERENCE: Cell<bool> = const { Cell::new(false) };
}

/// Whether ops on this thread are recorded.
#[inline]
pub fn grad_enabled() -> bool {
    GRAD.with(Cell::get)
}
/// Sets grad mode on this thread and returns what it was.
pub fn set_grad_enabled(on: bool) -> bool {
    GRAD.with(|g| g.replace(on))
}
/// Whether inference mode is on: nothing is recorded and views are not tracked.
#[inline]
pub fn inference_mode() -> bool {
    INFERENCE.with(Cell::get)
}
/// Sets inference mode on this thread and returns what it was.
pub fn set_inference_mode(on: bool) -> bool {
    INFERENCE.with(|g| g.replace(on))
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
