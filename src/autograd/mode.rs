//! Grad mode and inference mode, per thread; anomaly mode, for all threads.

use crate::watch::{self, GRAD, INFERENCE};
use std::sync::atomic::{AtomicU8, Ordering};

/// Whether ops on this thread are recorded: grad mode is on, inference mode is not.
#[inline]
pub fn grad_enabled() -> bool {
    watch::word() & (GRAD | INFERENCE) == GRAD
}
/// Sets grad mode on this thread and returns what it was.
pub fn set_grad_enabled(on: bool) -> bool {
    watch::set(GRAD, on)
}
/// Whether inference mode is on: nothing is recorded and views are not tracked.
#[inline]
pub fn inference_mode() -> bool {
    watch::word() & INFERENCE != 0
}
/// Sets inference mode on this thread and returns what it was.
pub fn set_inference_mode(on: bool) -> bool {
    watch::set(INFERENCE, on)
}

/// What backward passes look for besides computing gradients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Anomaly {
    Off = 0,
    On = 1,
    /// A gradient that contains NaN is an error that names the function.
    CheckNan = 2,
}
static ANOMALY: AtomicU8 = AtomicU8::new(0);

/// What backward passes of this process look for.
#[inline]
pub fn anomaly() -> Anomaly {
    match ANOMALY.load(Ordering::Relaxed) {
        0 => Anomaly::Off,
        1 => Anomaly::On,
        _ => Anomaly::CheckNan,
    }
}
/// Sets it, for every thread, and returns what it was.
pub fn set_anomaly(to: Anomaly) -> Anomaly {
    let old = anomaly();
    ANOMALY.store(to as u8, Ordering::Relaxed);
    old
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
