//! What the shared backend asks of a device's driver: memory, kernels, one queue in order.

use crate::error::Result;
use smallvec::SmallVec;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

/// A device allocation as its driver names it (a cl_mem, a CUdeviceptr). Given back through [`Driver::free`].
pub struct Mem {
    pub handle: u64,
    /// The driver's queue that used it last, where there are several.
    pub queue: AtomicU32,
}

impl Mem {
    pub fn new(handle: u64) -> Mem {
        Mem { handle, queue: AtomicU32::new(0) }
    }
}

/// What the planning of launches depends on.
#[derive(Clone, Debug)]
pub struct Facts {
    pub name: String,
    /// `cpu`, `gpu`, `accelerator` or `other`.
    pub kind: &'static str,
    pub compute_units: u32,
    /// Bytes.
    pub global_memory: u64,
    /// Largest single buffer, in bytes.
    pub max_allocation: u64,
    /// Bytes that the arguments of one kernel may take.
    pub max_parameter_size: usize,
    /// Whether float64 works.
    pub fp64: bool,
}

/// An argument of a kernel.
pub enum Arg<'a> {
    Mem(&'a Mem),
    Bytes(SmallVec<[u8; 64]>),
}
macro_rules! arg_from {
    ($($t:ty),*) => {$(
        impl From<$t> for Arg<'_> {
            fn from(v: $t) -> Self { Arg::Bytes(SmallVec::from_slice(&v.to_le_bytes())) }
        })*};
}
arg_from!(u8, i8, i16, i32, u32, i64, u64, f32, f64);
impl<'a> From<&'a Mem> for Arg<'a> {
    fn from(m: &'a Mem) -> Self {
        Arg::Mem(m)
    }
}

/// A built kernel.
pub trait Kernel: Send + Sync {
    /// Queues it over `size` work-items in groups of `local`, which divides `size`. The error names the kernel.
    fn launch(&self, args: &[Arg], size: &[usize; 3], local: &[usize; 3]) -> Result<()>;
}

/// The completion of a queued copy.
pub trait Event: Send {
    fn is_complete(&self) -> bool;
    fn wait(&self) -> Result<()>;
}

/// One device. Work is done in the order in which it was queued; offsets and sizes are bytes.
pub trait Driver: Send + Sync {
    /// Uninitialised memory. An error of kind OutOfMemory carries the driver's own words only.
    fn alloc(&self, nbytes: usize) -> Result<Mem>;
    /// Work queued earlier may still use the memory.
    fn free(&self, mem: Mem);
    /// Host memory that the device reads fast; lives as long as the process.
    fn pinned(&self, nbytes: usize) -> Result<NonNull<u8>>;

    /// What comes before every kernel's source: the target's vocabulary.
    fn prelude(&self) -> String;
    /// Everything but the source that a compiled binary depends on.
    fn build_key(&self) -> String;
    /// Compiles the kernel `name` of a whole source; also gives its binary where there is one.
    fn build(&self, name: &'static str, source: &str) -> Result<(Box<dyn Kernel>, Option<Vec<u8>>)>;
    /// The kernel `name` of a binary from [`Driver::build`].
    fn load(&self, name: &'static str, binary: &[u8]) -> Result<Box<dyn Kernel>>;

    /// Reads and waits.
    fn read(&self, mem: &Mem, offset: usize, dst: &mut [u8]) -> Result<()>;
    /// Writes; the source may be reused on return.
    fn write(&self, mem: &Mem, offset: usize, src: &[u8]) -> Result<()>;
    /// Queues a write.
    ///
    /// # Safety
    /// `src` must be readable for `n` bytes until the event is complete.
    unsafe fn write_async(&self, mem: &Mem, offset: usize, src: *const u8, n: usize) -> Result<Box<dyn Event>>;
    /// Queues a copy.
    fn copy(&self, src: &Mem, src_offset: usize, dst: &Mem, dst_offset: usize, n: usize) -> Result<()>;
    /// Sees to it that the device starts on what is queued.
    fn flush(&self) -> Result<()>;
    /// Waits for everything queued.
    fn finish(&self) -> Result<()>;
}
