//! A graph in the making.

use super::driver::Driver;
use super::memory::DeviceBuffer;
use crate::backend::contract::LiveStep;
use std::ptr::NonNull;
use std::sync::Arc;
use std::thread::ThreadId;

/// Appends a live value's bytes for the next replay.
pub(super) type Refill = Box<dyn Fn(&mut Vec<u8>) + Send + Sync>;

/// Bytes of live values that one graph can have.
pub(super) const LIVE_BYTES: usize = 64 << 10;

/// A graph in the making.
pub(super) struct Capture {
    pub thread: ThreadId,
    pub id: u64,
    pub live: Vec<Refill>,
    pub live_bytes: usize,
    pub buffer: Arc<DeviceBuffer>,
    pub constants: Vec<Constant>,
    pub launches: u64,
    /// The optimiser calls in their order.
    pub steps: Vec<Arc<LiveStep>>,
}

/// Pinned memory that a recorded upload reads at each replay.
pub(super) struct Constant {
    pub driver: &'static dyn Driver,
    pub ptr: NonNull<u8>,
}
// SAFETY: written once before it is recorded, then read by the device alone.
unsafe impl Send for Constant {}
unsafe impl Sync for Constant {}
impl Drop for Constant {
    fn drop(&mut self) {
        // SAFETY: the graph that read it is gone.
        unsafe { self.driver.unpin(self.ptr) }
    }
}

/// Where a kernel finds a live value: the buffer and the value's first 64-bit word.
pub(super) type Live = (Arc<DeviceBuffer>, i64);
