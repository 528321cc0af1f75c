//! The arithmetic that the engine needs, which the ops fill.

use super::node::OutputMeta;
use crate::bail;
use crate::base::device::Device;
use crate::base::dtype::DType;
use crate::base::error::Result;
use crate::base::layout::Layout;
use crate::tensor::Tensor;
use std::sync::OnceLock;

/// The arithmetic that the engine needs, filled by the ops.
pub trait Algebra: Send + Sync {
    fn ones(&self, like: &OutputMeta) -> Result<Tensor>;
    fn add(&self, a: &Tensor, b: &Tensor) -> Result<Tensor>;
    /// acc += g, unrecorded.
    fn add_into(&self, acc: &Tensor, g: &Tensor) -> Result<()>;
    fn sum_to(&self, g: &Tensor, shape: &[i64]) -> Result<Tensor>;
    fn cast(&self, g: &Tensor, dtype: DType) -> Result<Tensor>;
    fn to_device(&self, g: &Tensor, device: Device) -> Result<Tensor>;
    fn clone(&self, g: &Tensor) -> Result<Tensor>;
    /// A differentiable copy laid out with the strides (not the offset) of `like`.
    fn clone_with_strides(&self, g: &Tensor, like: &Layout) -> Result<Tensor>;
    fn as_strided(&self, t: &Tensor, layout: &Layout) -> Result<Tensor>;
    /// Gradient of a tensor laid out as `base` from the gradient of its window `view` (offsets relative to base).
    fn as_strided_backward(&self, g: &Tensor, base: &Layout, view: &Layout) -> Result<Tensor>;
    fn copy_(&self, dst: &Tensor, src: &Tensor) -> Result<()>;
    fn zero_(&self, t: &Tensor) -> Result<()>;
    fn has_nan(&self, t: &Tensor) -> Result<bool>;
}

static ALGEBRA: OnceLock<&'static dyn Algebra> = OnceLock::new();

/// Makes the ops' arithmetic known to the engine; cheap to call again.
#[inline]
pub fn install(a: &'static dyn Algebra) {
    ALGEBRA.get_or_init(|| a);
}
pub fn algebra() -> Result<&'static dyn Algebra> {
    match ALGEBRA.get() {
        Some(a) => Ok(*a),
        None => bail!(Internal, "autograd was used before the ops installed their arithmetic"),
    }
}
