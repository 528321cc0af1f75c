//! Normalisations, similarity, the product of attention.

use super::*;
use crate::autograd::record;
use crate::backend::{self, LayerNormGrads};
use crate::base::layout::wrap_dim;
use crate::{bail, ensure, grads, Dims};

const ONE: Scalar = Scalar::Int(1);

/// (x - mean) / sqrt(var + eps) over dims, the biased variance.
fn standardise(a: &Tensor, dims: &[i64], eps: f64) -> Result<Tensor> {
    let center = sub(a, &mean_dim(a, Some(dims), true, None)?, ONE)?;
    let var = mean_dim(&square(&center)?, Some(dims), true, None)?;
    mul(&center, &rsqrt(&add_scalar(&var, Scalar::Float(eps), ONE)?)?)
}
fn affine(x: Tensor, weight: Option<&Tensor>, bias: Option<&Tensor>) -> Result<Tensor> {
    let x = match weight {
        Some(w) => mul(&x, w)?,
        None => x,
    };
    match bias {
        Some(b) => add(&x, b, ONE),
        None => Ok(x),
    }
}
fn check_normalized(
    op: &str,
    input: &Tensor,
    shape: &[i64],
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
) -> Result<Vec<i64>> {
    let s = input.shape();
    ensure!(!shape.is_empty(), Runtime, "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got normalized_shape = {shape:?}");
    ensure!(
        s.len() >= shape.len() && s[s.len() - shape.len()..] == *shape,
        Runtime,
        "Given normalized_shape={shape:?}, expected input with shape [*{}{}], but got input of size{:?}",
        if op == "rms_norm" { "" } else { ", " },
        shape.iter().map(i64::to_string).collect::<Vec<_>>().join(", "),
        &s[..]
    );
    for (name, t) in [("weight", weight), ("bias", bias)] {
        if let Some(t) = t {
            ensure!(t.shape()[..] == *shape, Runtime, "Expected {name} to be of same shape as normalized_shape, but got {name} of shape {:?} and normalized_shape = {shape:?}", &t.shape()[..]);
        }
    }
    Ok((0..shape.len() as i64).map(|i| i - shape.len() as i64).collect())
}
pub fn layer_norm(
    input: &Tensor,
    normalized_shape: &[i64],
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    complex::no_kernel("LayerNormKernelImpl", input)?;
    let dims = check_normalized("layer_norm", input, normalized_shape, weight, bias)?;
    if let Some(out) = layer_norm_at_once(input, normalized_shape, weight, bias, eps)? {
        return Ok(out);
    }
    // What a product gave under autocast meets parameters of float32 here: the kernel takes it in their type.
    in_input_type(input, |input| match layer_norm_at_once(input, normalized_shape, weight, bias, eps)? {
        Some(out) => Ok(out),
        None => affine(standardise(input, &dims, eps)?, weight, bias),
    })
}
/// `f` in float32 where the input is of half type; the result is of the input's type, whatever the parameters' are.
fn in_input_type(input: &Tensor, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    if is_half(input.dtype()) {
        cast(&f(&wide(input)?)?, input.dtype())
    } else {
        f(input)
    }
}
/// [rows, n] with the elements of a row side by side, which is what the kernel takes.
fn dense_rows(t: &Tensor, n: i64) -> Result<Tensor> {
    let rows = reshape(t, &[-1, n])?;
    let scattered = n > 1 && rows.layout().strides[1] != 1;
    if scattered && rows.device().is_cpu() {
        contiguous(&rows)
    } else {
        Ok(rows)
    }
}
/// The same by one kernel and one node; None where the device has none for these tensors.
fn layer_norm_at_once(
    input: &Tensor,
    shape: &[i64],
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Option<Tensor>> {
    let n: i64 = shape.iter().product();
    let alike = |t: &Tensor| t.dtype() == input.dtype() && t.device() == input.device();
    if n == 0 || !input.dtype().is_float() || ![weight, bias].into_iter().flatten().all(alike) {
        return Ok(None);
    }
    let rows = |t: &Tensor| autograd::no_grad(|| dense_rows(&t.alias_same(), n));
    let row = |t: Option<&Tensor>| t.map(|t| autograd::no_grad(|| reshape(&t.alias_same(), &[n]))).transpose();
    let (x, w, b) = (rows(input)?, row(weight)?, row(bias)?);
    let out = Tensor::empty(&x.shape(), input.dtype(), input.device())?;
    let kernel = backend::get(input.device())?;
    {
        let (xb, ob) = (x.materialize(), out.body());
        let [wb, bb] = [&w, &b].map(|t| t.as_ref().map(|t| t.materialize()));
        let [wv, bv] = [&wb, &bb].map(|t| t.as_ref().map(|t| t.view()));
        if !kernel.layer_norm(xb.view(), wv, bv, eps, ob.view())? {
            return Ok(None);
        }
    }
    out.set_layout(Layout::contiguous(&input.shape()))?;
    let inputs: Vec<&Tensor> = std::iter::once(input).chain(weight).chain(bias).collect();
    let dims: Vec<i64> = (0..shape.len() as i64).map(|i| i - shape.len() as i64).collect();
    let (has_weight, has_bias, shape) = (weight.is_some(), bias.is_some(), Dims::from_slice(shape));
    let out = record("NativeLayerNormBackward0", &inputs, out, |s, _| {
        let (x, w) = (s.save(input), weight.map(|w| s.save(w)));
        move |c, g| {
            let (x, w) = (x.get(c)?, w.as_ref().map(|w| w.get(c)).transpose()?);
            let wanted = [c.needs(0), has_weight && c.needs(1), has_bias && c.needs(1 + has_weight as usize)];
            let [gx, gw, gb] = match layer_norm_gradients_at_once(g, &x, &shape, w.as_ref(), eps, wanted)? {
                Some(grads) => grads,
                None => layer_norm_gradients(g, &x, &shape, &dims, w.as_ref(), eps, wanted)?,
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
    Ok(Some(out))
}
/// The gradients of input, weight and bias by one kernel, unless they are to be differentiated.
fn layer_norm_gradients_at_once(
    g: &Tensor,
    input: &Tensor,
    shape: &[i64],
    weight: Option<&Tensor>,
    eps: f64,
    wanted: [bool; 3],
) -> Result<Option<[Option<Tensor>; 3]>> {
    let n: i64 = shape.iter().product();
    if autograd::recording(&[g, input]) || weight.is_some_and(|w| autograd::recording(&[w])) {
        return Ok(None);
    }
    let (x, g) = (dense_rows(input, n)?, dense_rows(g, n)?);
    let w = weight.map(|w| reshape(w, &[n])).transpose()?;
    let new = |want: bool, s: &[i64]| want.then(|| Tensor::empty(s, input.dtype(), input.device())).transpose();
    let outs = [new(wanted[0], &x.shape())?, new(wanted[1], &[n])?, new(wanted[2], &[n])?];
    {
        let (xb, gb) = (x.materialize(), g.materialize());
        let wb = w.as_ref().map(|t| t.materialize());
        let bodies = outs.each_ref().map(|t| t.as_ref().map(|t| t.body()));
        let [input_view, weight_view, bias_view] = bodies.each_ref().map(|b| b.as_ref().map(|b| b.view()));
        let grads = LayerNormGrads { input: input_view, weight: weight_view, bias: bias_view };
        let wv = wb.as_ref().map(|b| b.view());
        if !backend::get(input.device())?.layer_norm_backward(gb.view(), xb.view(), wv, eps, grads)? {
            return Ok(None);
        }
    }
    if let Some(t) = &outs[0] {
        t.set_layout(Layout::contiguous(&input.shape()))?;
    }
    for t in outs[1..].iter().flatten() {
        t.set_layout(Layout::contiguous(shape))?;
    }
    Ok(Some(outs))
}
/// The same of differentiable ops.
fn layer_norm_gradients(
    g: &Tensor,
    x: &Tensor,
    shape: &[i64],
    dims: &[i64],
    weight: Option<&Tensor>,
    eps: f64,
    wanted: [bool; 3],
) -> Result<[Option<Tensor>; 3]> {
    let (x, g) = (&wide(x)?, &wide(g)?);
    let mean = |t: &Tensor| mean_dim(t, Some(dims), true, None);
    let center = sub(x, &mean(x)?, ONE)?;
    let rstd = rsqrt(&add_scalar(&mean(&square(&center)?)?, Scalar::Float(eps), ONE)?)?;
    let xhat = mul(&center, &rstd)?;
    let gx = if wanted[0] {
        let gw = weight.map_or_else(|| Ok(g.clone()), |w| mul(g, w))?;
        let along = mul(&xhat, &mean(&mul(&gw, &xhat)?)?)?;
        Some(mul(&rstd, &sub(&sub(&gw, &mean(&gw)?, ONE)?, &along, ONE)?)?)
    } else {
        None
    };
    let gw = if wanted[1] { Some(sum_to_size(&mul(g, &xhat)?, shape)?) } else { None };
    let gb = if wanted[2] { Some(sum_to_size(g, shape)?) } else { None };
    Ok([gx, gw, gb])
}
/// x / sqrt(mean(x^2) + eps) * weight; eps defaults to the epsilon of the type that it is computed in.
pub fn rms_norm(input: &Tensor, normalized_shape: &[i64], weight: Option<&Tensor>, eps: Option<f64>) -> Result<Tensor> {
    let dims = check_normalized("rms_norm", input, normalized_shape, weight, None)?;
    let eps = eps.unwrap_or(match input.dtype() {
        DType::F64 => f64::EPSILON,
        _ => f32::EPSILON as f64,
    });
    in_input_type(input, |input| {
        let ms = mean_dim(&square(input)?, Some(&dims), true, None)?;
        affine(mul(input, &rsqrt(&add_scalar(&ms, Scalar::Float(eps), ONE)?)?)?, weight, None)
    })
}
pub fn group_norm(
    input: &Tensor,
    num_groups: i64,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    complex::no_kernel("GroupNormKernelImpl", input)?;
    let s = input.shape();
    ensure!(s.len() >= 2, Runtime, "Expected at least 2 dimensions for input tensor but received {}", s.len());
    ensure!(s[1] > 0, Runtime, "Expected number of channels to be greater than 0, got 0");
    ensure!(!s[2..].contains(&0), Runtime, "Expected HxW to be greater than 0, got 0");
    ensure!(
        num_groups > 0 && s[1] % num_groups == 0,
        Runtime,
        "Expected number of channels in input to be divisible by num_groups, but got input of shape {:?} and num_groups={num_groups}",
        &s[..]
    );
    in_input_type(input, |input| {
        let each = s[2..].iter().product::<i64>() * (s[1] / num_groups);
        let grouped = reshape(input, &[s[0], num_groups, each])?;
        let x = reshape(&layer_norm(&grouped, &[each], None, None, eps)?, &s)?;
        affine(x, per_channel(weight, s.len())?.as_ref(), per_channel(bias, s.len())?.as_ref())
    })
}
/// A vector of channels shaped to broadcast over [n, c, d..].
pub(super) fn per_channel(t: Option<&Tensor>, ndim: usize) -> Result<Option<Tensor>> {
    let mut s = vec![1i64; ndim];
    s[1] = -1;
    t.map(|t| reshape(t, &s)).transpose()
}
/// Normalises each channel over batch and space: by the batch's statistics in training (the running ones follow),
/// else by the running ones.
pub fn batch_norm(
    input: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    running_mean: Option<&Tensor>,
    running_var: Option<&Tensor>,
    training: bool,
    momentum: f64,
    eps: f64,
) -> Result<Tensor> {
    complex::no_kernel("batch_norm", input)?;
    let s = input.shape();
    ensure!(s.len() >= 2, Runtime, "batch_norm: expected at least 2 dimensions, got input of size {:?}", &s[..]);
    for (name, t) in [("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)]
    {
        if let Some(t) = t {
            ensure!(t.numel() as i64 == s[1], Runtime, "{name} should contain {} elements not {}", s[1], t.numel());
        }
    }
    if !training {
        return in_float_some([Some(input), weight, bias, running_mean, running_var], |[x, w, b, m, v]| {
            batch_normalised(x.expect("given"), w, b, m, v, false, momentum, eps)
        })
        .and_then(|out| cast(&out, if is_half(input.dtype()) { input.dtype() } else { out.dtype() }));
    }
    in_input_type(input, |x| batch_normalised(x, weight, bias, running_mean, running_var, training, momentum, eps))
}
fn batch_normalised(
    input: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    running_mean: Option<&Tensor>,
    running_var: Option<&Tensor>,
    training: bool,
    momentum: f64,
    eps: f64,
) -> Result<Tensor> {
    let s = input.shape();
    let dims: Vec<i64> = std::iter::once(0).chain(2..s.len() as i64).collect();
    let n = input.numel() as i64 / s[1].max(1);
    if input.numel() == 0 {
        // Nothing to count: the running statistics stay.
        return affine(clone(input)?, per_channel(weight, s.len())?.as_ref(), per_channel(bias, s.len())?.as_ref());
    }
    let x = if training {
        ensure!(
            n > 1,
            Value,
            "Expected more than 1 value per channel when training, got input size torch.Size({:?})",
            &s[..]
        );
        ensure!(eps > 0.0, Value, "batch_norm eps must be positive during training, but got {eps:?}");
        // The batch's mean and unbiased variance, which the running statistics follow.
        let follow = |stats: &dyn Fn() -> Result<[Tensor; 2]>| {
            autograd::no_grad(|| {
                if let (Some(m), Some(v)) = (running_mean, running_var) {
                    let [mean, var] = stats()?;
                    // A half type's statistics are followed in float32 and rounded once.
                    let new =
                        |t: Tensor, old: &Tensor| if is_half(old.dtype()) { Ok(t) } else { cast(&t, old.dtype()) };
                    lerp_scalar_(m, &new(mean, m)?, Scalar::Float(momentum))?;
                    lerp_scalar_(v, &new(var, v)?, Scalar::Float(momentum))?;
                }
                Ok::<_, Error>(())
            })
        };
        if let Some([out, mean, var]) = batch_norm::batch_norm_at_once(input, weight, bias, eps)? {
            let unbiased = Scalar::Float(n as f64 / (n - 1) as f64);
            follow(&|| Ok([mean.clone(), mul_scalar(&var, unbiased)?]))?;
            return Ok(out);
        }
        follow(&|| {
            Ok([mean_dim(input, Some(&dims), false, None)?, var_correction(input, Some(&dims), Some(ONE), false)?])
        })?;
        standardise(input, &dims, eps)?
    } else {
        let (Some(m), Some(v)) = (per_channel(running_mean, s.len())?, per_channel(running_var, s.len())?) else {
            bail!(Runtime, "Expected running_mean and running_var to be defined when training=False");
        };
        let given = [running_mean, running_var, weight, bias];
        if given.into_iter().flatten().all(|t| t.dtype() == input.dtype()) {
            // One multiplication and one addition per element.
            let scale = rsqrt(&add_scalar(&v, Scalar::Float(eps), ONE)?)?;
            let scale = affine(scale, per_channel(weight, s.len())?.as_ref(), None)?;
            let shift = neg(&mul(&m, &scale)?)?;
            let shift = affine(shift, None, per_channel(bias, s.len())?.as_ref())?;
            return addcmul(&shift, input, &scale, ONE);
        }
        mul(&sub(input, &m, ONE)?, &rsqrt(&add_scalar(&v, Scalar::Float(eps), ONE)?)?)?
    };
    affine(x, per_channel(weight, s.len())?.as_ref(), per_channel(bias, s.len())?.as_ref())
}
/// Normalises each channel of each sample over space.
pub fn instance_norm(input: &Tensor, weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    complex::no_kernel("batch_norm", input)?;
    let s = input.shape();
    ensure!(s.len() >= 3, Runtime, "instance_norm: expected at least 3 dimensions, got input of size {:?}", &s[..]);
    let dims: Vec<i64> = (2..s.len() as i64).collect();
    in_input_type(input, |input| {
        let x = standardise(input, &dims, eps)?;
        affine(x, per_channel(weight, s.len())?.as_ref(), per_channel(bias, s.len())?.as_ref())
    })
}
/// x / max(||x||_p, eps) along a dimension.
pub fn normalize(input: &Tensor, p: f64, dim: i64, eps: f64) -> Result<Tensor> {
    in_float([input], |[input]| {
        let n = norm_dim(input, Some(Scalar::Float(p)), Some(&[dim]), true)?;
        div(input, &clamp(&n, Some(Scalar::Float(eps)), None)?)
    })
}
pub fn cosine_similarity(x1: &Tensor, x2: &Tensor, dim: i64, eps: f64) -> Result<Tensor> {
    complex::no_kernel("cosine_similarity", x1)?;
    in_float([x1, x2], |[x1, x2]| {
        let shape = crate::base::layout::broadcast_shapes(&x1.shape(), &x2.shape())?;
        let dtype = pointwise::promote_float(&[x1.into(), x2.into()]);
        let wide = |t: &Tensor| expand(&cast(t, dtype)?, &shape);
        let (x1, x2) = (&wide(x1)?, &wide(x2)?);
        // The bound changes the value alone: the norm's gradient passes.
        let bound = |t: &Tensor| -> Result<Tensor> {
            let n = clone(&norm_dim(t, None, Some(&[dim]), true)?)?;
            autograd::no_grad(|| clamp_min_(&n, Scalar::Float(eps)))?;
            Ok(n)
        };
        let (a, b) = (div(x1, &bound(x1)?)?, div(x2, &bound(x2)?)?);
        sum_dim(&mul(&a, &b)?, Some(&[dim]), false, None)
    })
}

/// The product of `scaled_dot_product_attention`, whose arguments are checked.
pub(super) fn attention(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    attn_mask: Option<&Tensor>,
    dropout_p: f64,
    is_causal: bool,
    scale: Option<f64>,
) -> Result<Tensor> {
    let p = attention_weights(query, key, attn_mask, is_causal, attention_scale(query, scale))?;
    if dropout_p > 0.0 {
        return matmul(&dropout(&p, dropout_p, true, None)?, value);
    }
    matmul(&p, value)
}
/// What scores are multiplied by, unless it is given.
pub(super) fn attention_scale(query: &Tensor, scale: Option<f64>) -> f64 {
    let s = query.shape();
    scale.unwrap_or_else(|| 1.0 / (s[s.len() - 1] as f64).sqrt())
}
/// softmax(q k^T * scale + mask).
pub(super) fn attention_weights(
    query: &Tensor,
    key: &Tensor,
    attn_mask: Option<&Tensor>,
    is_causal: bool,
    scale: f64,
) -> Result<Tensor> {
    let s = query.shape();
    let mut scores = mul_scalar(&matmul(query, &transpose(key, -2, -1)?)?, Scalar::Float(scale))?;
    if is_causal {
        let (l, k) = (s[s.len() - 2], key.size(-2)?);
        let keep = tril(&ones(&[l, k], Some(DType::Bool), Some(query.device()))?, 0)?;
        scores = masked_fill_scalar(&scores, &logical_not(&keep)?, Scalar::Float(f64::NEG_INFINITY))?;
    }
    if let Some(m) = attn_mask {
        scores = if m.dtype() == DType::Bool {
            masked_fill_scalar(&scores, &logical_not(m)?, Scalar::Float(f64::NEG_INFINITY))?
        } else {
            add(&scores, m, ONE)?
        };
    }
    // A query that may look at nothing gets nothing; its softmax would be NaN.
    let nothing = match attn_mask {
        Some(_) if scores.numel() > 0 => Some(autograd::no_grad(|| {
            eq_scalar(&amax(&detach(&scores)?, &[-1], true)?, Scalar::Float(f64::NEG_INFINITY))
        })?),
        _ => None,
    };
    if let Some(rows) = &nothing {
        scores = masked_fill_scalar(&scores, rows, Scalar::Int(0))?;
    }
    let mut p = softmax(&scores, -1, None)?;
    if let Some(rows) = &nothing {
        p = masked_fill_scalar(&p, rows, Scalar::Int(0))?;
    }
    Ok(p)
}
/// x[..half] * sigmoid(x[half..]) along a dimension.
pub fn glu(a: &Tensor, dim: i64) -> Result<Tensor> {
    complex::no_kernel("glu_cpu", a)?;
    let d = wrap_dim(dim, a.ndim())? as i64;
    let n = a.size(d)?;
    ensure!(n % 2 == 0, Runtime, "Halving dimension must be even, but dimension {d} is size {n}");
    in_float([a], |[a]| mul(&narrow(a, d, 0, n / 2)?, &sigmoid(&narrow(a, d, n / 2, n / 2)?)?))
}
/// [n, c r^2, h, w] to [n, c, h r, w r].
pub fn pixel_shuffle(a: &Tensor, upscale_factor: i64) -> Result<Tensor> {
    let (s, r) = (a.shape(), upscale_factor);
    ensure!(
        s.len() >= 3,
        Runtime,
        "pixel_shuffle expects input to have at least 3 dimensions, but got input with {} dimension(s)",
        s.len()
    );
    let k = s.len() - 3;
    ensure!(r > 0, Runtime, "pixel_shuffle expects a positive upscale_factor, but got {r}");
    ensure!(
        r.checked_mul(r).is_some_and(|square| s[k] % square == 0),
        Runtime,
        "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, but input.size(-3)={} is not divisible by {}",
        s[k],
        r.saturating_mul(r)
    );
    let (c, h, w) = (s[k] / (r * r), s[k + 1], s[k + 2]);
    let mut lead = Dims::from_slice(&s[..k]);
    lead.extend_from_slice(&[c, r, r, h, w]);
    let n = k as i64;
    let order: Vec<i64> = (0..n).chain([n, n + 3, n + 1, n + 4, n + 2]).collect();
    let x = permute(&reshape(a, &lead)?, &order)?;
    lead.truncate(k);
    lead.extend_from_slice(&[c, h * r, w * r]);
    reshape(&x, &lead)
}
/// batch_norm as its layer does it: counts the batches, follows the running statistics (with momentum None as the mean of
/// all batches so far), and chooses between them and the batch's.
pub fn batch_norm_tracked(
    input: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    running_mean: Option<&Tensor>,
    running_var: Option<&Tensor>,
    num_batches_tracked: Option<&Tensor>,
    training: bool,
    track_running_stats: bool,
    momentum: Option<f64>,
    eps: f64,
) -> Result<Tensor> {
    let mut share = momentum.unwrap_or(0.0);
    if let Some(n) = num_batches_tracked.filter(|_| training && track_running_stats) {
        autograd::no_grad(|| add_scalar_(n, ONE, ONE))?;
        if momentum.is_none() && !n.device().is_meta() {
            share = 1.0 / n.item()?.to_f64();
        }
    }
    let of_batch = training || (running_mean.is_none() && running_var.is_none());
    let followed = |t| if training && !track_running_stats { None } else { t };
    batch_norm(input, weight, bias, followed(running_mean), followed(running_var), of_batch, share, eps)
}
/// instance_norm as its layer does it: follows running statistics in training, uses them else. An input of dims + 1
/// dimensions is a single sample.
pub fn instance_norm_tracked(
    input: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    running_mean: Option<&Tensor>,
    running_var: Option<&Tensor>,
    training: bool,
    track_running_stats: bool,
    momentum: Option<f64>,
    eps: f64,
    dims: Option<i64>,
) -> Result<Tensor> {
    if dims.is_some_and(|n| n >= 0 && input.ndim() as i64 - 1 == n) {
        let one = unsqueeze(input, 0)?;
        let (m, v) = (running_mean, running_var);
        let out = instance_norm_tracked(&one, weight, bias, m, v, training, track_running_stats, momentum, eps, None)?;
        return squeeze_dim(&out, 0);
    }
    let use_input_stats = training || !track_running_stats;
    let share = momentum.unwrap_or(0.0);
    let s = input.shape();
    ensure!(
        !use_input_stats || s.len() < 3 || s[2..].iter().product::<i64>() != 1,
        Value,
        "Expected more than 1 spatial element when training, got input size torch.Size({:?})",
        &s[..]
    );
    if !use_input_stats {
        ensure!(
            running_mean.is_some() && running_var.is_some(),
            Runtime,
            "Expected running_mean and running_var to be defined when use_input_stats is false"
        );
        return batch_norm(input, weight, bias, running_mean, running_var, false, share, eps);
    }
    if let (Some(m), Some(v)) = (running_mean, running_var) {
        ensure!(s.len() >= 3, Runtime, "instance_norm: expected at least 3 dimensions, got input of size {:?}", &s[..]);
        let dims: Vec<i64> = (2..s.len() as i64).collect();
        autograd::no_grad(|| {
            let of_batch = |t: Tensor| mean_dim(&t, Some(&[0]), false, None);
            lerp_scalar_(m, &of_batch(mean_dim(input, Some(&dims), false, None)?)?, Scalar::Float(share))?;
            let var = var_correction(input, Some(&dims), Some(ONE), false)?;
            lerp_scalar_(v, &of_batch(var)?, Scalar::Float(share))
        })?;
    }
    instance_norm(input, weight, bias, eps)
}
/// input / (k + alpha * mean of the squares of `size` neighbouring channels)^beta.
pub fn local_response_norm(input: &Tensor, size: i64, alpha: f64, beta: f64, k: f64) -> Result<Tensor> {
    complex::no_kernel("avg_pool2d", input)?;
    let n = input.ndim();
    ensure!(n >= 3, Value, "Expected 3D or higher dimensionality input (got {n} dimensions)");
    ensure!(size > 0, Runtime, "local_response_norm: size must be greater than zero, but got {size}");
    if input.numel() == 0 {
        return alias(input);
    }
    in_float([input], |[x]| {
        // Channels that no window reaches add nothing, however large it is.
        let channels = x.shape()[1];
        let far = channels - 1;
        let (before, after) = ((size / 2).min(far), ((size - 1) / 2).min(far));
        let mut around = vec![0; 2 * (n - 2)];
        around.extend([before, after]);
        let squares = pad(&square(x)?, &around, "constant", None)?;
        let mut total = narrow(&squares, 1, 0, channels)?;
        for i in 1..=before + after {
            total = add(&total, &narrow(&squares, 1, i, channels)?, ONE)?;
        }
        let float = Scalar::Float;
        let base = add_scalar(&mul_scalar(&total, float(alpha / size as f64))?, float(k), ONE)?;
        div(x, &pow_scalar(&base, float(beta))?)
    })
}
