//! What the shared backend asks of a device's driver: memory, kernels, one queue in order.

use crate::backend::{Activation, ConvParams, Mark};
use crate::bail;
use crate::base::dtype::DType;
use crate::base::error::Result;
use crate::base::layout::Layout;
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

/// A matrix of a library call; offsets and strides in elements.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    pub mem: &'a Mem,
    pub offset: i64,
    pub batch: i64,
    pub row: i64,
    pub col: i64,
}

/// out = activation(beta * out + alpha * a @ b + a bias for each column).
pub struct Product<'a> {
    pub dtype: DType,
    /// batch, m, n, k; none is 0
    pub dims: [i64; 4],
    pub a: Matrix<'a>,
    pub b: Matrix<'a>,
    pub out: Matrix<'a>,
    pub alpha: f64,
    pub beta: f64,
    /// Buffer and offset of `n` contiguous elements.
    pub bias: Option<(&'a Mem, i64)>,
    pub activation: Option<Activation>,
    /// Receives what goes into the activation.
    pub pre: Option<Matrix<'a>>,
}
impl Product<'_> {
    /// Whether it is a product alone.
    pub fn is_plain(&self) -> bool {
        self.bias.is_none() && self.activation.is_none() && self.pre.is_none()
    }
}

/// A tensor of a library call.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub mem: &'a Mem,
    pub layout: &'a Layout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConvPass {
    Forward,
    /// Writes `x`.
    Input,
    /// Writes `w`.
    Weight,
}

/// A convolution: y from x and w, or one of its gradients.
pub struct Convolution<'a> {
    pub pass: ConvPass,
    pub dtype: DType,
    pub x: Place<'a>,
    pub w: Place<'a>,
    pub y: Place<'a>,
    pub bias: Option<Place<'a>>,
    pub params: &'a ConvParams,
}

/// What was queued between the begin and the end of a capture.
pub trait Recording: Send + Sync {
    /// Queues all of it again.
    fn replay(&self) -> Result<()>;
}

/// Which queues of other libraries may have used a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reach {
    None,
    /// CUDA's default stream, where PyTorch works.
    Default,
    Any,
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
    fn build_key(&self) -> Result<String>;
    /// Compiles the kernel `name` of a whole source; also gives its binary where there is one and `keep` asks for it
    /// (PoCL compiles a second time then).
    fn build(&self, name: &'static str, source: &str, keep: bool) -> Result<(Box<dyn Kernel>, Option<Vec<u8>>)>;
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

    /// Orders what this thread queues next after the buffer's last use; for memory that no argument names.
    fn claim(&self, _mem: &Mem) -> Result<()> {
        Ok(())
    }
    /// A product by the vendor's library. False when it has none that fits: then the shared kernels do it.
    fn product(&self, _call: &Product) -> Result<bool> {
        Ok(false)
    }
    /// A convolution by the vendor's library; `scratch` gives claimed memory that lives until the call returns.
    fn convolution(&self, _call: &Convolution, _scratch: &mut dyn FnMut(usize) -> Result<u64>) -> Result<bool> {
        Ok(false)
    }

    /// From here to [`Driver::end_capture`] this thread's work is recorded instead of done.
    fn begin_capture(&self) -> Result<()> {
        bail!(NotImplemented, "graphs are captured on CUDA devices only, not on OpenCL")
    }
    fn end_capture(&self) -> Result<Box<dyn Recording>> {
        bail!(NotImplemented, "graphs are captured on CUDA devices only, not on OpenCL")
    }
    /// Marks this point of the thread's queue; None where the device has no marks that are not waited for.
    fn mark(&self, _timing: bool) -> Result<Option<Box<dyn Mark>>> {
        Ok(None)
    }
    /// The thread's queue as other libraries know it; None where they cannot.
    fn queue_handle(&self) -> Result<Option<u64>> {
        Ok(None)
    }
    /// What is queued from now on on another library's queue comes after the buffer's last use here.
    fn ready_on(&self, _mem: &Mem, _foreign: u64) -> Result<()> {
        bail!(NotImplemented, "another library cannot wait for this device")
    }
    /// What is queued from now on on the buffer comes after what other libraries have queued.
    fn after_others(&self, _mem: &Mem, _reach: Reach) -> Result<()> {
        Ok(())
    }
    /// Waits until what was queued on the buffer is done.
    fn settle(&self, _mem: &Mem) -> Result<()> {
        self.finish()
    }
    /// Gives memory of [`Driver::pinned`] back; the device no longer reads it.
    ///
    /// # Safety
    /// Nothing uses the memory any more.
    unsafe fn unpin(&self, _ptr: NonNull<u8>) {}
    /// Free and total bytes, where the driver knows.
    fn memory_info(&self) -> Result<Option<(u64, u64)>> {
        Ok(None)
    }
}
