//! Neural networks: the module tree and its layers.
mod attribute;
pub mod class;
pub mod init;
pub mod layers;
pub(crate) mod lazy;
#[rustfmt::skip]
pub mod layers_gen;
pub mod module;
mod repr;
mod summary;

use crate::autograd::{self, meta};
use crate::base::device::Device;
use crate::base::dtype::DType;
use crate::{Result, Tensor};
pub use attribute::Attribute;
pub use module::state::IncompatibleKeys;
pub use module::{one, Layer, Module, Outputs, PostHook, PreHook, StateDict};
pub use summary::summary;

/// Drops the gradients of `params`, or (`set_to_none` false) sets those that exist to zero in place.
pub fn zero_grad(params: &[Tensor], set_to_none: bool) -> Result<()> {
    for p in params {
        if set_to_none {
            meta::set_grad(p, None)?;
        } else if let Some(g) = meta::grad(p) {
            // A gradient that has a history (create_graph) is detached first.
            meta::set_history(&g, None);
            g.copy_from(&zero(g.dtype(), g.device())?)?;
            g.bump_version();
        }
    }
    Ok(())
}

fn zero(dtype: DType, device: Device) -> Result<Tensor> {
    Tensor::from_bytes(&[0u8; 8][..dtype.size()], &[], dtype, device)
}

/// A contiguous copy of other dtype, on another device, or both; unrecorded.
pub(crate) fn convert(t: &Tensor, dtype: DType, device: Device) -> Result<Tensor> {
    let out = Tensor::empty(&t.shape(), dtype, device)?;
    out.copy_from(t)?;
    Ok(out)
}

/// Gives `t` the memory, dtype and device of `new`; `t` keeps its identity.
pub(crate) fn replace_data(t: &Tensor, new: &Tensor) -> Result<()> {
    meta::set_data(t, new)
}

/// Writes `source` into `target`, converted to its dtype and device: an in-place write that autograd does not record.
pub(crate) fn copy_into(target: &Tensor, source: &Tensor) -> Result<()> {
    autograd::no_grad(|| {
        target.copy_from(source)?;
        target.bump_version();
        Ok(())
    })
}

#[cfg(test)]
mod tests;
