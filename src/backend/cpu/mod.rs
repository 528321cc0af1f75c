//! The CPU backend.
pub mod alloc;
use super::*;

struct CpuBackend;
static CPU: CpuBackend = CpuBackend;

/// The one CPU backend.
#[inline]
pub fn backend() -> &'static dyn Backend {
    &CPU
}

impl Backend for CpuBackend {
    fn device(&self) -> Device {
        Device::CPU
    }
    fn alloc(&self, nbytes: usize) -> Result<Buffer> {
        Ok(Buffer::Cached(alloc::Block::new(nbytes)?))
    }
    fn upload(&self, _src: &[u8], _dst: &Storage, _dst_offset: usize) -> Result<()> {
        Err(Error::unsupported("upload", "bytes", "cpu"))
    }
    fn download(&self, _src: &Storage, _src_offset: usize, _dst: &mut [u8]) -> Result<()> {
        Err(Error::unsupported("download", "bytes", "cpu"))
    }
    fn copy_bytes(&self, _: &Storage, _: usize, _: &Storage, _: usize, _: usize) -> Result<()> {
        Err(Error::unsupported("copy_bytes", "bytes", "cpu"))
    }
    fn run_program(&self, _: &program::Program, inputs: &[View], _: &[Scalar], _: &[View]) -> Result<()> {
        Err(Error::unsupported("run_program", inputs[0].dtype, "cpu"))
    }
}
