//! Adafactor: second moments as an outer product of rows and columns.

use crate::base::scalar::Scalar;
use crate::ops;
use crate::optim::options::Options;
use crate::optim::plan::ParamState;
use crate::{DType, Result, Tensor};

fn float(v: f64) -> Scalar {
    Scalar::Float(v)
}
/// The root of the mean square.
fn rms(t: &Tensor) -> Result<f64> {
    Ok(ops::norm(t, float(2.0))?.item()?.to_f64() / (t.numel() as f64).sqrt())
}
fn epsilon(d: DType) -> f64 {
    match d {
        DType::F64 => f64::EPSILON,
        DType::F16 => 0.0009765625,
        DType::BF16 => 0.0078125,
        _ => f32::EPSILON as f64,
    }
}

pub fn step(o: &Options, p: &Tensor, grad: &Tensor, s: &mut ParamState) -> Result<()> {
    let (lr, decay2, d, weight_decay) = (o.number(0), o.number(1), o.number(3), o.number(4));
    let eps1 = if o.at(2, 0).is_nan() { epsilon(p.dtype()) } else { o.at(2, 0) };
    let p = &p.alias_same();
    let grad = if o.boolean(6) { ops::neg(grad)? } else { grad.clone() };
    let t = (s.step + 1) as f64;
    let weight = t.powf(decay2);
    let alpha = o.at(2, 1).max(rms(p)?) * lr.min(1.0 / t.sqrt());
    if weight_decay != 0.0 {
        ops::mul_scalar_(p, float(1.0 - lr * weight_decay))?;
    }
    let estimate = if grad.ndim() > 1 {
        let mean_square = |dim: i64, name: &str, s: &mut ParamState| {
            let mut shape = grad.shape().to_vec();
            let at = (shape.len() as i64 + dim) as usize;
            let n = shape[at];
            shape[at] = 1;
            let var = s.kept(name, p, &shape)?;
            let square = ops::square(&ops::norm_dim(&grad, Some(float(2.0)), Some(&[dim]), true)?)?;
            ops::lerp_scalar_(&var, &ops::div_scalar(&square, float(n as f64))?, float(weight))?;
            Ok(var)
        };
        let row = mean_square(-1, "row_var", s)?;
        let col = mean_square(-2, "col_var", s)?;
        let scale = ops::clamp_min(&ops::mean_dim(&row, Some(&[-2]), true, None)?, float(eps1))?;
        ops::div(&ops::matmul(&row, &col)?, &scale)?
    } else {
        let variance = s.kept("variance", p, &p.shape())?;
        ops::lerp_scalar_(&variance, &ops::square(&grad)?, float(weight))?;
        variance
    };
    let update = ops::mul(&ops::rsqrt(&ops::clamp_min(&estimate, float(eps1 * eps1))?)?, &grad)?;
    let clip = (rms(&update)? / d).max(1.0);
    ops::add_(p, &update, float(-alpha / clip))?;
    s.step += 1;
    Ok(())
}
