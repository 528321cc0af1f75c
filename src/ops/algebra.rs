//! The ops as the backward engine sees them, and its entries.

use super::*;

/// The ops as the backward engine sees them.
struct Ops;
impl Algebra for Ops {
    fn ones(&self, like: &OutputMeta) -> Result<Tensor> {
        ones(&like.shape, Some(like.dtype), Some(like.device))
    }
    fn add(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        add(a, b, Scalar::Int(1))
    }
    fn add_into(&self, acc: &Tensor, g: &Tensor) -> Result<()> {
        match super::pointwise::add_dense(acc, g) {
            Some(done) => done,
            None => autograd::no_grad(|| add_(acc, g, Scalar::Int(1))),
        }
    }
    fn sum_to(&self, g: &Tensor, shape: &[i64]) -> Result<Tensor> {
        sum_to_size(g, shape)
    }
    fn cast(&self, g: &Tensor, dtype: DType) -> Result<Tensor> {
        cast(g, dtype)
    }
    fn to_device(&self, g: &Tensor, device: Device) -> Result<Tensor> {
        to_device(g, device)
    }
    fn clone(&self, g: &Tensor) -> Result<Tensor> {
        if g.is_contiguous() {
            clone(g)
        } else {
            contiguous(g)
        }
    }
    fn clone_with_strides(&self, g: &Tensor, like: &Layout) -> Result<Tensor> {
        let window = Layout { offset: 0, ..like.clone() };
        let memory = zeros(&[window.required_elements()], Some(g.dtype()), Some(g.device()))?;
        let out = memory.alias(window)?;
        copy_(&out, g)?;
        Ok(out)
    }
    fn as_strided(&self, t: &Tensor, layout: &Layout) -> Result<Tensor> {
        let base = t.layout().offset;
        as_strided(t, &layout.shape, &layout.strides, Some(base + layout.offset))
    }
    fn as_strided_backward(&self, g: &Tensor, base: &Layout, view: &Layout) -> Result<Tensor> {
        super::shape::as_strided_backward(g, base, view)
    }
    fn copy_(&self, dst: &Tensor, src: &Tensor) -> Result<()> {
        copy_(dst, src)
    }
    fn zero_(&self, t: &Tensor) -> Result<()> {
        zero_(t)
    }
    fn has_nan(&self, t: &Tensor) -> Result<bool> {
        autograd::no_grad(|| Ok(any(&isnan(t)?)?.item()?.to_bool()))
    }
}

/// See [`autograd::engine::backward`].
pub fn backward(
    outputs: &[Tensor],
    grads: &[Option<Tensor>],
    options: autograd::engine::Options,
    inputs: Option<&[Tensor]>,
) -> Result<()> {
    autograd::install(&Ops);
    autograd::engine::backward(outputs, grads, options, inputs)
}
/// See [`autograd::engine::grad`].
pub fn grad(
    outputs: &[Tensor],
    inputs: &[Tensor],
    grads: &[Option<Tensor>],
    options: autograd::engine::Options,
    allow_unused: bool,
) -> Result<Vec<Option<Tensor>>> {
    autograd::install(&Ops);
    autograd::engine::grad(outputs, inputs, grads, options, allow_unused)
}
