//! Activations made of other ops, with their derivatives.

use super::pointwise::chain;
use super::*;
use crate::autograd::record;
use crate::backend::program::{Opcode, Src};
use crate::{ensure, grads};

const ONE: Scalar = Scalar::Int(1);

fn number(v: f64) -> Scalar {
    Scalar::Float(v)
}

/// x limited to [min_val, max_val].
pub fn hardtanh(a: &Tensor, min_val: Scalar, max_val: Scalar) -> Result<Tensor> {
    ensure!(a.dtype() != DType::Bool, Runtime, "Bool inputs not supported for hardtanh");
    ensure!(
        min_val.to_f64() <= max_val.to_f64() || min_val.to_f64().is_nan() || max_val.to_f64().is_nan(),
        Value,
        "min_val cannot be greater than max_val"
    );
    // Of integers only integers come out.
    let bound = |v: Scalar| if a.dtype().is_float() || !v.is_float() { v } else { Scalar::Int(v.to_i64()) };
    clamp_passing(a, bound(min_val), bound(max_val), Passes::NaN)
}
/// The self-normalising exponential linear unit.
pub fn selu(a: &Tensor) -> Result<Tensor> {
    scaled_elu(a, 1.673_263_242_354_377_2, 1.050_700_987_355_480_5, 1.0)
}
/// max(x, 0) + min(0, alpha * (exp(x / alpha) - 1)).
pub fn celu(a: &Tensor, alpha: Scalar) -> Result<Tensor> {
    let v = alpha.to_f64();
    ensure!(v != 0.0, Runtime, "ZeroDivisionError: alpha cannot be 0 for CELU");
    scaled_elu(a, v, 1.0, 1.0 / v)
}
/// x * tanh(softplus(x)).
pub fn mish(a: &Tensor) -> Result<Tensor> {
    in_float([a], |[a]| mul(a, &tanh(&softplus(a, ONE, Scalar::Int(20))?)?))
}
/// x / (1 + |x|).
pub fn softsign(a: &Tensor) -> Result<Tensor> {
    in_float([a], |[a]| div(a, &add_scalar(&abs(a)?, ONE, ONE)?))
}
/// x - tanh(x).
pub fn tanhshrink(a: &Tensor) -> Result<Tensor> {
    sub(a, &tanh(a)?, ONE)
}
/// x where |x| > lambd, else 0.
pub fn hardshrink(a: &Tensor, lambd: Scalar) -> Result<Tensor> {
    complex::no_kernel("hardshrink_cpu", a)?;
    if a.dtype().is_float() {
        let out = pointwise::pointwise(Opcode::HardShrink, a.dtype(), a.dtype(), &[a.into(), lambd.into()], None)?;
        return record("HardshrinkBackward0", &[a], out, |s, _| {
            let x = s.save(a);
            move |c, g| {
                let within = le_scalar(&abs(&detach(&x.get(c)?)?)?, lambd)?;
                Ok(grads![Some(masked_fill_scalar(g, &within, Scalar::Int(0))?)])
            }
        });
    }
    masked_fill_scalar(a, &le_scalar(&abs(&detach(a)?)?, lambd)?, Scalar::Int(0))
}
/// The largest number of a dtype, in six digits, as C++ prints it.
fn shown(dtype: DType) -> &'static str {
    match dtype {
        DType::F16 => "65504",
        DType::BF16 => "3.38953e+38",
        DType::F32 => "3.40282e+38",
        _ => "1.79769e+308",
    }
}
/// x moved towards zero by lambd, 0 within it.
pub fn softshrink(a: &Tensor, lambd: Scalar) -> Result<Tensor> {
    let l = lambd.to_f64();
    ensure!(
        l >= 0.0,
        Runtime,
        "lambda must be in range [0, {}] for input dtype {}, but found {l}",
        shown(a.dtype()),
        a.dtype().scalar_name()
    );
    if a.dtype().is_float() {
        // What is beyond a clamp.
        let x = Src::Input(0);
        let insts = [(Opcode::Clamp, [x, Src::Scalar(0), Src::Scalar(1)]), (Opcode::Sub, [x, Src::Reg(0), x])];
        let out = chain(&insts, a.dtype(), &[a], &[number(-l), number(l)])?;
        return record("SoftshrinkBackward0", &[a], out, |s, out| {
            let y = s.save_output(out, 0);
            move |c, g| {
                let within = eq_scalar(&detach(&y.get(c)?)?, Scalar::Int(0))?;
                Ok(grads![Some(masked_fill_scalar(g, &within, Scalar::Int(0))?)])
            }
        });
    }
    let plain = detach(a)?;
    let within = logical_and(&ge_scalar(&plain, number(-l))?, &le_scalar(&plain, lambd)?)?;
    // NaN lies in no part and stays.
    let outer = where_(&lt_scalar(&plain, number(-l))?, &add_scalar(a, lambd, ONE)?, &sub_scalar(a, lambd, ONE)?)?;
    masked_fill_scalar(&outer, &within, Scalar::Int(0))
}
/// x where above the threshold, else value.
pub fn threshold(a: &Tensor, threshold: Scalar, value: Scalar) -> Result<Tensor> {
    masked_fill_scalar(a, &le_scalar(&detach(a)?, threshold)?, value)
}
/// x where positive, else weight * x; one weight, or one per channel (dimension 1).
pub fn prelu(a: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let mut w = weight.clone();
    ensure!(
        weight.ndim() <= 1,
        Runtime,
        "prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {}",
        weight.ndim()
    );
    if weight.numel() != 1 {
        let channels = if a.ndim() > 1 { a.size(1)? } else { 1 };
        ensure!(a.ndim() > 0, Runtime, "Not allow zero-dim input tensor.");
        ensure!(
            channels == weight.numel() as i64,
            Runtime,
            "Mismatch of parameter numbers and input channel size. Found parameter numbers = {} and channel size = {channels}.",
            weight.numel()
        );
        let mut shape = vec![1i64; a.ndim()];
        shape[1] = channels;
        w = reshape(weight, &shape)?;
    } else {
        w = reshape(&w, &[])?;
    }
    let positive = gt_scalar(&detach(a)?, Scalar::Int(0))?;
    // The weight meets only what it multiplies: its gradient would be 0 * inf.
    where_(&positive, a, &mul(&w, &masked_fill_scalar(a, &positive, Scalar::Int(0))?)?)
}
