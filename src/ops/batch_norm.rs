//! Batch normalisation in training by one kernel and one node.

use super::*;
use crate::autograd::record;
use crate::backend::{self, LayerNormGrads};
use crate::grads;

/// Batch, channels, places; None where they do not lie in that order without gaps.
fn planes(t: &Tensor) -> Result<Option<Tensor>> {
    let s = t.shape();
    if !t.is_contiguous() {
        return Ok(None);
    }
    let places = s[2..].iter().product();
    autograd::no_grad(|| reshape(&t.alias_same(), &[s[0], s[1], places])).map(Some)
}

/// What the kernel gives: the normalised input, recorded, and the batch's mean and biased variance. None where the device
/// has no kernel for these tensors, or where it would not pay.
pub(super) fn batch_norm_at_once(
    input: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Option<[Tensor; 3]>> {
    let alike = |t: &Tensor| t.dtype() == input.dtype() && t.device() == input.device();
    let params = [weight, bias];
    if !input.dtype().is_float() || !params.into_iter().flatten().all(|t| alike(t) && t.ndim() == 1) {
        return Ok(None);
    }
    let Some(x) = planes(input)? else { return Ok(None) };
    let (channels, places) = (x.shape()[1], x.shape()[2]);
    // Planes of a few elements are all overhead.
    if places < FEWEST {
        return Ok(None);
    }
    let new = |s: &[i64]| Tensor::empty(s, input.dtype(), input.device());
    let (out, mean, var) = (new(&x.shape())?, new(&[channels])?, new(&[channels])?);
    {
        let (xb, ob, mb, vb) = (x.materialize(), out.body(), mean.body(), var.body());
        let bodies = params.map(|t| t.map(|t| t.materialize()));
        let [w, b] = bodies.each_ref().map(|b| b.as_ref().map(|b| b.view()));
        let stats = [mb.view(), vb.view()];
        if !backend::get(input.device())?.batch_norm(xb.view(), w, b, eps, ob.view(), stats)? {
            return Ok(None);
        }
    }
    out.set_layout(Layout::contiguous(&input.shape()))?;
    let inputs: Vec<&Tensor> = std::iter::once(input).chain(weight).chain(bias).collect();
    let (has_weight, has_bias) = (weight.is_some(), bias.is_some());
    let out = record("NativeBatchNormBackward0", &inputs, out, |s, _| {
        let (x, w) = (s.save(input), weight.map(|w| s.save(w)));
        let stats = [mean.clone(), var.clone()];
        move |c, g| {
            let (x, w) = (x.get(c)?, w.as_ref().map(|w| w.get(c)).transpose()?);
            let wanted = [c.needs(0), has_weight && c.needs(1), has_bias && c.needs(1 + has_weight as usize)];
            let [gx, gw, gb] = match gradients_at_once(g, &x, w.as_ref(), &stats, eps, wanted)? {
                Some(grads) => grads,
                None => gradients(g, &x, w.as_ref(), eps, wanted)?,
            };
            let mut grads = grads![gx];
            if has_weight {
                grads.push(gw);
            }
            if has_bias {
                grads.push(gb);
            }
            Ok(grads)
        }
    })?;
    Ok(Some([out, mean, var]))
}
/// Elements of a plane from which the kernel pays.
const FEWEST: i64 = 4;

/// The gradients of input, weight and bias by one kernel, unless they are to be differentiated.
fn gradients_at_once(
    g: &Tensor,
    input: &Tensor,
    weight: Option<&Tensor>,
    stats: &[Tensor; 2],
    eps: f64,
    wanted: [bool; 3],
) -> Result<Option<[Option<Tensor>; 3]>> {
    if autograd::recording(&[g, input]) || weight.is_some_and(|w| autograd::recording(&[w])) {
        return Ok(None);
    }
    let (Some(x), Some(g)) = (planes(input)?, planes(&contiguous(g)?)?) else { return Ok(None) };
    let channels = [x.shape()[1]];
    let new = |want: bool, s: &[i64]| want.then(|| Tensor::empty(s, input.dtype(), input.device())).transpose();
    let outs = [new(wanted[0], &x.shape())?, new(wanted[1], &channels)?, new(wanted[2], &channels)?];
    {
        let (xb, gb) = (x.materialize(), g.materialize());
        let (wb, sb) = (weight.map(|t| t.materialize()), stats.each_ref().map(|t| t.body()));
        let bodies = outs.each_ref().map(|t| t.as_ref().map(|t| t.body()));
        let [input_view, weight_view, bias_view] = bodies.each_ref().map(|b| b.as_ref().map(|b| b.view()));
        let grads = LayerNormGrads { input: input_view, weight: weight_view, bias: bias_view };
        let (w, stats) = (wb.as_ref().map(|b| b.view()), sb.each_ref().map(|b| b.view()));
        if !backend::get(input.device())?.batch_norm_backward(gb.view(), xb.view(), w, stats, eps, grads)? {
            return Ok(None);
        }
    }
    if let Some(t) = &outs[0] {
        t.set_layout(Layout::contiguous(&input.shape()))?;
    }
    Ok(Some(outs))
}
/// The same of differentiable ops.
fn gradients(
    g: &Tensor,
    x: &Tensor,
    weight: Option<&Tensor>,
    eps: f64,
    wanted: [bool; 3],
) -> Result<[Option<Tensor>; 3]> {
    let dims: Vec<i64> = std::iter::once(0).chain(2..x.ndim() as i64).collect();
    let mean = |t: &Tensor| mean_dim(t, Some(&dims), true, None);
    let center = sub(x, &mean(x)?, Scalar::Int(1))?;
    let rstd = rsqrt(&add_scalar(&mean(&square(&center)?)?, Scalar::Float(eps), Scalar::Int(1))?)?;
    let hat = mul(&center, &rstd)?;
    let gx = if wanted[0] {
        let along = mul(&hat, &mean(&mul(g, &hat)?)?)?;
        let rest = sub(&sub(g, &mean(g)?, Scalar::Int(1))?, &along, Scalar::Int(1))?;
        let scale = match norm::per_channel(weight, x.ndim())? {
            Some(w) => mul(&rstd, &w)?,
            None => rstd,
        };
        Some(mul(&rest, &scale)?)
    } else {
        None
    };
    let gw = if wanted[1] { Some(sum_dim(&mul(g, &hat)?, Some(&dims), false, None)?) } else { None };
    let gb = if wanted[2] { Some(sum_dim(g, Some(&dims), false, None)?) } else { None };
    Ok([gx, gw, gb])
}
