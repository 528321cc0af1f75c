//! What the tests of all languages ask: how much was queued, and how often the host waited.

use std::sync::atomic::{AtomicU64, Ordering};

static LAUNCHED: AtomicU64 = AtomicU64::new(0);

/// How many kernels were queued since the start of the process, on all OpenCL and CUDA devices.
pub fn kernels_launched() -> u64 {
    LAUNCHED.load(Ordering::Relaxed)
}

static WAITED: AtomicU64 = AtomicU64::new(0);

/// How often the host waited for an OpenCL or CUDA device since the start of the process: to read a value, to
/// synchronise, or because memory for the transfer ran out.
pub fn host_waits() -> u64 {
    WAITED.load(Ordering::Relaxed)
}
pub(super) fn count_wait() {
    WAITED.fetch_add(1, Ordering::Relaxed);
}
/// Counts so many launches.
pub(super) fn count_launches(n: u64) {
    LAUNCHED.fetch_add(n, Ordering::Relaxed);
}
