//! How a call ends that brought complex numbers to where only kernels for real ones stand. The ops ask before, so that this is
//! reached by a hole in them alone.

/// What travels as a panic: the name of the dtype in messages. The boundary of C makes PyTorch's error of it.
pub struct NoKernel(pub &'static str);

#[cold]
#[inline(never)]
pub fn no_kernel(scalar_name: &'static str) -> ! {
    std::panic::resume_unwind(Box::new(NoKernel(scalar_name)))
}
