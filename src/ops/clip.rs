//! Clipping of gradients, before an optimiser's step.

use super::*;
use crate::autograd::{meta, no_grad};
use crate::base::error::Result;
use crate::base::scalar::Scalar;
use crate::tensor::print::py_float;
use crate::tensor::Tensor;
use crate::{bail, ensure, DType, Device};

fn gradients(parameters: &[Tensor]) -> Vec<Tensor> {
    parameters.iter().filter_map(meta::grad).collect()
}

/// The norm of all gradients together, on the first one's device; 0 without gradients. See the op table.
pub fn clip_grad_norm_(
    parameters: &[Tensor],
    max_norm: f64,
    norm_type: f64,
    error_if_nonfinite: bool,
) -> Result<Tensor> {
    ensure!(!max_norm.is_nan(), Value, "clip_grad_norm_: max_norm must be a number, got nan");
    no_grad(|| {
        let grads = gradients(parameters);
        let Some(first) = grads.first() else {
            return zeros(&[], Some(DType::F32), Some(Device::CPU));
        };
        let device = first.device();
        let p = Scalar::Float(norm_type);
        let norms = grads.iter().map(|g| to_device(&norm(g, p)?, device)).collect::<Result<Vec<_>>>()?;
        let total = norm(&stack(&norms, 0)?, p)?;
        if error_if_nonfinite && !all(&isfinite(&total)?)?.item()?.to_bool() {
            bail!(
                Runtime,
                "The total norm of order {} for gradients from `parameters` is non-finite, so it cannot be clipped. To \
                 disable this error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`",
                py_float(norm_type)
            );
        }
        let small = add_scalar(&total, Scalar::Float(1e-6), Scalar::Int(1))?;
        let scale = clamp_max(&mul_scalar(&reciprocal(&small)?, Scalar::Float(max_norm))?, Scalar::Float(1.0))?;
        for g in &grads {
            mul_(g, &to_device(&scale, g.device())?)?;
        }
        Ok(total)
    })
}

/// See the op table.
pub fn clip_grad_value_(parameters: &[Tensor], clip_value: f64) -> Result<()> {
    ensure!(
        clip_value >= 0.0,
        Value,
        "clip_grad_value_: clip_value must not be negative, got {}",
        py_float(clip_value)
    );
    let limit = |v: f64| Some(Scalar::Float(v));
    no_grad(|| gradients(parameters).iter().try_for_each(|g| clamp_(g, limit(-clip_value), limit(clip_value))))
}
