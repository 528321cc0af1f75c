//! Storage: untyped bytes on a device, shared by the tensors that view them.

use crate::backend::cpu::alloc::Block;
use crate::base::device::Device;
use std::any::Any;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// What owns the bytes.
pub enum Buffer {
    /// Host memory; `owner` frees it when dropped (an allocator's block, a caller's buffer with its deleter).
    Host { ptr: NonNull<u8>, owner: Box<dyn HostOwner> },
    /// Host memory from the CPU backend's caching allocator (no box: this is the hot path).
    Cached(Block),
    /// Device memory, downcast by its backend.
    Device(Box<dyn Any + Send + Sync>),
}

/// Frees foreign host memory when dropped.
pub trait HostOwner: Send + Sync {}

// SAFETY: the pointers are owned through `owner` / `Block`, which are Send + Sync; access is synchronised by the ops.
unsafe impl Send for Buffer {}
unsafe impl Sync for Buffer {}

pub use crate::backend::memory::{set_out_of_memory_hook, OutOfMemoryHook};

/// Bytes on one device.
pub struct Storage {
    buffer: Buffer,
    nbytes: usize,
    device: Device,
    /// Set when the memory is known outside the library: never reused, its readers never left pending.
    shared: AtomicBool,
    /// In-place writes seen by the tensors that have no counter of their own, until `counter` takes over.
    writes: AtomicU64,
    counter: OnceLock<Arc<AtomicU64>>,
}

impl Storage {
    pub fn new(buffer: Buffer, nbytes: usize, device: Device) -> Storage {
        Storage {
            buffer,
            nbytes,
            device,
            shared: AtomicBool::new(false),
            writes: AtomicU64::new(0),
            counter: OnceLock::new(),
        }
    }
    /// A caller's host memory; `owner` is dropped with the last tensor that uses it.
    pub fn from_host(ptr: NonNull<u8>, nbytes: usize, owner: Box<dyn HostOwner>) -> Storage {
        let s = Storage::new(Buffer::Host { ptr, owner }, nbytes, Device::CPU);
        s.set_shared();
        s
    }
    #[inline]
    pub fn nbytes(&self) -> usize {
        self.nbytes
    }
    #[inline]
    pub fn device(&self) -> Device {
        self.device
    }
    /// The count of in-place writes of the tensors over this memory. It stands here because nearly every tensor is the first
    /// over its memory, and a counter of its own would be one more allocation.
    #[inline]
    pub fn version(&self) -> &AtomicU64 {
        self.counter.get().map_or(&self.writes, |c| c)
    }
    /// The same as an object, for a tensor that leaves this memory and keeps its counter.
    pub fn version_counter(&self) -> Arc<AtomicU64> {
        // Made before it is set: a forked child would wait for a thread that it has not.
        let made = Arc::new(AtomicU64::new(self.writes.load(Ordering::Relaxed)));
        let _ = self.counter.set(made.clone());
        self.counter.get().cloned().unwrap_or(made)
    }
    pub fn set_shared(&self) {
        self.shared.store(true, Ordering::Relaxed);
    }
    pub fn is_shared(&self) -> bool {
        self.shared.load(Ordering::Relaxed)
    }
    /// First byte of host memory; None for device memory.
    #[inline]
    pub fn host_ptr(&self) -> Option<NonNull<u8>> {
        match &self.buffer {
            Buffer::Cached(b) => Some(b.ptr()),
            Buffer::Host { ptr, .. } => Some(*ptr),
            Buffer::Device(_) => None,
        }
    }
    /// The device backend's own buffer.
    pub fn device_buffer<T: 'static>(&self) -> Option<&T> {
        match &self.buffer {
            Buffer::Device(b) => b.downcast_ref(),
            _ => None,
        }
    }
}
