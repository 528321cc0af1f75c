//! Muon: the momentum's nearest orthogonal matrix, by Newton and Schulz's iteration in bfloat16.

use crate::base::scalar::Scalar;
use crate::ops;
use crate::optim::options::{OptionValue, Options};
use crate::optim::plan::ParamState;
use crate::{bail, ensure, DType, Result, Tensor};

fn float(v: f64) -> Scalar {
    Scalar::Float(v)
}

pub fn check(o: &Options) -> Result<()> {
    match o.option("adjust_lr_fn")? {
        OptionValue::Text(t) if !["original", "match_rms_adamw", "spectral_unclamped"].contains(&t.as_str()) => {
            bail!(Value, "Adjust learning rate function {t} is not supported")
        }
        _ => Ok(()),
    }
}

/// `g` with its singular values drawn to 1.
fn orthogonal(g: &Tensor, o: &Options) -> Result<Tensor> {
    let (eps, steps) = (o.number(5), o.number(6));
    ensure!(steps < 100.0, Value, "Number of steps must be less than 100 for computational efficiency");
    let tall = g.shape()[0] > g.shape()[1];
    let turned = |t: &Tensor| if tall { ops::t(t) } else { Ok(t.clone()) };
    let mut x = turned(&crate::nn::convert(g, DType::BF16, g.device())?)?;
    x = ops::div(&x, &ops::clamp_min(&ops::norm(&x, float(2.0))?, float(eps))?)?;
    for _ in 0..steps as i64 {
        let gram = ops::matmul(&x, &ops::t(&x)?)?;
        let update = ops::addmm(&gram, &gram, &gram, float(o.at(4, 1)), float(o.at(4, 2)))?;
        x = ops::addmm(&x, &update, &x, float(o.at(4, 0)), float(1.0))?;
    }
    turned(&x)
}

pub fn step(o: &Options, p: &Tensor, grad: &Tensor, s: &mut ParamState) -> Result<()> {
    ensure!(grad.ndim() == 2, Value, "Param gradient must be a 2D matrix");
    let (lr, weight_decay, momentum) = (o.number(0), o.number(1), o.number(2));
    let p = &p.alias_same();
    let buffer = s.kept("momentum_buffer", p, &p.shape())?;
    ops::lerp_scalar_(&buffer, grad, float(1.0 - momentum))?;
    let update = if o.boolean(3) { ops::lerp_scalar(grad, &buffer, float(momentum))? } else { buffer };
    let update = orthogonal(&update, o)?;
    let (rows, columns) = (p.shape()[0] as f64, p.shape()[1] as f64);
    let ratio = match o.option("adjust_lr_fn")? {
        OptionValue::Text(t) if t == "match_rms_adamw" => 0.2 * rows.max(columns).sqrt(),
        OptionValue::Text(t) if t == "spectral_unclamped" => (rows / columns).sqrt(),
        _ => (rows / columns).max(1.0).sqrt(),
    };
    ops::mul_scalar_(p, float(1.0 - lr * weight_decay))?;
    ops::add_(p, &crate::nn::convert(&update, p.dtype(), p.device())?, float(-lr * ratio))
}
