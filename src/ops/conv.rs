//! Convolutions.

use super::*;
use crate::autograd::record;
use crate::backend::{self, ConvParams};
use crate::watch::count;
use crate::{bail, ensure, grads, Dims};

/// A list of `n` numbers from one or `n`.
pub(super) fn spread(op: &str, name: &str, v: &[i64], n: usize) -> Result<Vec<i64>> {
    match v.len() {
        1 => Ok(vec![v[0]; n]),
        l if l == n => Ok(v.to_vec()),
        _ => Err(wrong_length(op, name, v, n)),
    }
}
#[cold]
fn wrong_length(op: &str, name: &str, v: &[i64], n: usize) -> Error {
    let text = if op.starts_with("conv") {
        format!("expected {name} to be a single integer value or a list of {n} values to match the convolution dimensions, but got {name}={v:?}")
    } else if n == 1 && op.starts_with("max") {
        format!("{op}() {name} must be an int, list of ints or tuple of ints of size 1 but got size {}", v.len())
    } else if n == 1 {
        format!("{op}() argument '{name}' should contain one int (got {})", v.len())
    } else if name == "output_size" {
        format!("{op}: output_size must be {n}, but got {v:?}")
    } else {
        let omitted = if name == "stride" { "be omitted, " } else { "be " };
        let either = match (op, name) {
            ("avg_pool3d", _) => omitted.to_string(),
            (_, "dilation") => "be either ".to_string(),
            _ => format!("either {omitted}"),
        };
        format!("{op}: {name} must {either}a single int, or a tuple of {} ints", ["two", "three"][n - 2])
    };
    Error::new(ErrorKind::Runtime, text)
}
/// Sizes as PyTorch's errors print them: 3 x 5 x 5.
pub(super) fn by(sizes: &[i64]) -> String {
    sizes.iter().map(i64::to_string).collect::<Vec<_>>().join(" x ")
}
struct Conv {
    params: ConvParams,
    out: Dims,
}
/// Numbers of a window fit into 32 bits: what follows from them, twice a padding or a step times a position, fits into 64.
fn window(op: &str, of: [(&str, &[i64]); 4]) -> Result<()> {
    for (what, v) in of {
        ensure!(v.iter().all(|v| *v <= i32::MAX as i64), Runtime, "{op}: {what} {v:?}: integer out of range");
    }
    Ok(())
}
/// From the first to the last tap of a dilated kernel; what would not fit into 64 bits is the largest number.
fn reach(kernel: i64, dilation: i64) -> i64 {
    dilation.saturating_mul(kernel - 1).saturating_add(1)
}
/// Checks a convolution's geometry; `input` and `weight` have n + 2 dimensions.
fn conv_geometry(
    op: &str,
    n: usize,
    input: &[i64],
    weight: &[i64],
    bias: Option<&Tensor>,
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    groups: i64,
) -> Result<Conv> {
    ensure!(
        weight.len() == n + 2,
        Runtime,
        "{op}: expected {}-dimensional weight, but got {}-dimensional weight of size {weight:?}",
        n + 2,
        weight.len()
    );
    ensure!(groups > 0, Runtime, "{op}: non-positive groups is not supported, got {groups}");
    let (stride, padding, dilation) =
        (spread(op, "stride", stride, n)?, spread(op, "padding", padding, n)?, spread(op, "dilation", dilation, n)?);
    ensure!(stride.iter().all(|s| *s > 0), Runtime, "{op}: non-positive stride is not supported, got {stride:?}");
    ensure!(padding.iter().all(|p| *p >= 0), Runtime, "{op}: negative padding is not supported, got {padding:?}");
    ensure!(dilation.iter().all(|d| *d > 0), Runtime, "{op}: non-positive dilation is not supported, got {dilation:?}");
    window(op, [("stride", &stride), ("padding", &padding), ("dilation", &dilation), ("output_padding", &[])])?;
    ensure!(
        weight[0] >= groups,
        Runtime,
        "Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight of size {weight:?} instead"
    );
    ensure!(
        weight[0] % groups == 0,
        Runtime,
        "Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight of size [{weight:?}] instead"
    );
    ensure!(
        input[1] == weight[1] * groups,
        Runtime,
        "Given groups={groups}, weight of size {weight:?}, expected input{input:?} to have {} channels, but got {} channels instead",
        weight[1] * groups,
        input[1]
    );
    if let Some(b) = bias {
        ensure!(
            b.ndim() == 1 && b.numel() as i64 == weight[0],
            Runtime,
            "Given weight of size {weight:?}, expected bias to be 1-dimensional with {} elements, but got bias of size {:?} instead",
            weight[0],
            &b.shape()[..]
        );
    }
    let mut out = Dims::from_slice(&[input[0], weight[0]]);
    for i in 0..n {
        let (size, k) = (input[i + 2] + 2 * padding[i], reach(weight[i + 2], dilation[i]));
        ensure!(
            weight[i + 2] > 0 && size >= k,
            Runtime,
            "Calculated padded input size per channel: ({}). Kernel size: ({}). Kernel size can't be greater than actual input size",
            by(&(0..n).map(|j| input[j + 2] + 2 * padding[j]).collect::<Vec<_>>()),
            by(&(0..n).map(|j| reach(weight[j + 2], dilation[j])).collect::<Vec<_>>())
        );
        out.push((size - k) / stride[i] + 1);
    }
    Ok(Conv { params: ConvParams { stride, padding, dilation, groups }, out })
}
/// A dtype as PyTorch's messages about convolutions name it.
fn c_type(dtype: DType) -> &'static str {
    match dtype {
        DType::I64 => "long int",
        DType::I16 => "short int",
        DType::I8 => "signed char",
        DType::U8 => "unsigned char",
        other => other.c_name(),
    }
}
/// Convolution over n spatial dimensions.
fn conv_nd(
    op: &str,
    n: usize,
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    groups: i64,
) -> Result<Tensor> {
    let dims = input.ndim();
    ensure!(weight.ndim() >= 3, Runtime, "weight should have at least three dimensions");
    ensure!(
        dims == n + 2 || dims == n + 1,
        Runtime,
        "Expected {}D (unbatched) or {}D (batched) input to {op}, but got input of size: {:?}",
        n + 1,
        n + 2,
        &input.shape()[..]
    );
    if dims == n + 1 {
        let out = conv_nd(op, n, &unsqueeze(input, 0)?, weight, bias, stride, padding, dilation, groups)?;
        return squeeze_dim(&out, 0);
    }
    pointwise::same_device(input, weight)?;
    for (what, t) in [("weight", Some(weight)), ("bias", bias)] {
        let Some(t) = t else { continue };
        ensure!(
            t.dtype() == input.dtype(),
            Runtime,
            "Input type ({}) and {what} type ({}) should be the same",
            c_type(input.dtype()),
            c_type(t.dtype())
        );
    }
    let geo = conv_geometry(op, n, &input.shape(), &weight.shape(), bias, stride, padding, dilation, groups)?;
    if input.dtype().is_complex() {
        let out =
            complex::bilinear(input, weight, |x, w| conv_nd(op, n, x, w, None, stride, padding, dilation, groups))?;
        return with_bias(out, bias, n);
    }
    if !input.dtype().is_float() {
        return whole::conv(input, weight, bias, &geo.params, &geo.out);
    }
    let out = Tensor::empty(&geo.out, input.dtype(), input.device())?;
    if out.numel() > 0 {
        let (i, w) = (input.materialize(), weight.materialize());
        let b = bias.map(|b| b.materialize());
        count::add_conv(out.numel(), w.shape());
        backend::get(i.device())?.conv(
            i.view(),
            w.view(),
            b.as_ref().map(|b| b.view()),
            &geo.params,
            out.body().view(),
        )?;
    }
    let p = geo.params;
    let inputs: &[&Tensor] = match bias {
        Some(b) => &[input, weight, b],
        None => &[input, weight],
    };
    record("ConvolutionBackward0", inputs, out, |s, _| {
        let (x, w) = (s.save(input), s.save(weight));
        move |c, g| {
            let (x, w) = (x.get(c)?, w.get(c)?);
            let gx = if c.needs(0) { Some(conv_input_grad(g, &w, &x.shape(), &p)?) } else { None };
            let gw = if c.needs(1) { Some(conv_weight_grad(g, &x, &w.shape(), &p)?) } else { None };
            let gb = if c.needs(2) {
                let dims: Vec<i64> = std::iter::once(0).chain(2..g.ndim() as i64).collect();
                Some(sum_dim(g, Some(&dims), false, None)?)
            } else {
                None
            };
            Ok(grads![gx, gw, gb])
        }
    })
}
/// The part of a convolution that a result of `shape` has: what has more output_padding than a stride is the gradient of
/// a convolution whose last places are missing.
fn raw_conv(x: &Tensor, w: &Tensor, p: &ConvParams, shape: &[i64]) -> Result<Tensor> {
    let mut out = conv_nd("conv", x.ndim() - 2, x, w, None, &p.stride, &p.padding, &p.dilation, p.groups)?;
    for (d, size) in shape.iter().enumerate().skip(2) {
        if out.shape()[d] > *size {
            out = narrow(&out, d as i64, 0, *size)?;
        }
    }
    Ok(out)
}
/// Gradient of the input (also the transposed convolution); itself differentiable.
fn conv_input_grad(g: &Tensor, w: &Tensor, shape: &[i64], p: &ConvParams) -> Result<Tensor> {
    let out = Tensor::empty(shape, g.dtype(), g.device())?;
    if g.numel() == 0 {
        raw_fill(&out, Scalar::Int(0))?;
    } else if out.numel() > 0 {
        let g = autograd::no_grad(|| contiguous(g))?;
        let (gb, wb) = (g.materialize(), w.materialize());
        count::add_conv(gb.layout().numel(), wb.shape());
        backend::get(gb.device())?.conv_backward_input(gb.view(), wb.view(), p, out.body().view())?;
    }
    let p = p.clone();
    record("ConvolutionBackwardBackward0", &[g, w], out, |s, _| {
        let (g0, w0) = (s.save(g), s.save(w));
        move |c, gg| {
            let (g0, w0) = (g0.get(c)?, w0.get(c)?);
            let a = if c.needs(0) { Some(raw_conv(gg, &w0, &p, &g0.shape())?) } else { None };
            let b = if c.needs(1) { Some(conv_weight_grad(&g0, gg, &w0.shape(), &p)?) } else { None };
            Ok(grads![a, b])
        }
    })
}
/// Gradient of the weight; itself differentiable.
fn conv_weight_grad(g: &Tensor, x: &Tensor, shape: &[i64], p: &ConvParams) -> Result<Tensor> {
    let out = Tensor::empty(shape, g.dtype(), g.device())?;
    if g.numel() == 0 {
        raw_fill(&out, Scalar::Int(0))?;
    } else if out.numel() > 0 {
        let g = autograd::no_grad(|| contiguous(g))?;
        let (gb, xb) = (g.materialize(), x.materialize());
        count::add_conv(gb.layout().numel(), shape);
        backend::get(gb.device())?.conv_backward_weight(gb.view(), xb.view(), p, out.body().view())?;
    }
    let p = p.clone();
    record("ConvolutionBackwardBackward0", &[g, x], out, |s, _| {
        let (g0, x0) = (s.save(g), s.save(x));
        move |c, gw| {
            let (g0, x0) = (g0.get(c)?, x0.get(c)?);
            let a = if c.needs(0) { Some(raw_conv(&x0, gw, &p, &g0.shape())?) } else { None };
            let b = if c.needs(1) { Some(conv_input_grad(&g0, gw, &x0.shape(), &p)?) } else { None };
            Ok(grads![a, b])
        }
    })
}
pub fn conv1d(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    groups: i64,
) -> Result<Tensor> {
    conv_nd("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)
}
pub fn conv2d(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    groups: i64,
) -> Result<Tensor> {
    conv_nd("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)
}
pub fn conv3d(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    groups: i64,
) -> Result<Tensor> {
    conv_nd("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)
}
/// The gradient of conv with respect to its input, as an op of its own. Weight is [in, out / groups, kernel..].
fn conv_transpose_nd(
    op: &str,
    n: usize,
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: &[i64],
    padding: &[i64],
    output_padding: &[i64],
    groups: i64,
    dilation: &[i64],
) -> Result<Tensor> {
    if input.ndim() == n + 1 {
        let out = conv_transpose_nd(
            op,
            n,
            &unsqueeze(input, 0)?,
            weight,
            bias,
            stride,
            padding,
            output_padding,
            groups,
            dilation,
        )?;
        return squeeze_dim(&out, 0);
    }
    let (si, sw) = (input.shape(), weight.shape());
    ensure!(si.len() == n + 2 && sw.len() == n + 2, Runtime, "Expected {}D (unbatched) or {}D (batched) input and {}D weight to {op}, but got input of size {:?} and weight of size {:?}", n + 1, n + 2, n + 2, &si[..], &sw[..]);
    pointwise::same_device(input, weight)?;
    ensure!(
        input.dtype() == weight.dtype(),
        Runtime,
        "Input type ({}) and weight type ({}) should be the same",
        input.dtype(),
        weight.dtype()
    );
    ensure!(
        groups > 0 && sw[0] % groups == 0 && si[1] == sw[0],
        Runtime,
        "Given transposed=1, weight of size {:?}, expected input{:?} to have {} channels, but got {} channels instead",
        &sw[..],
        &si[..],
        sw[0],
        si[1]
    );
    let (stride, padding, dilation, extra) = (
        spread(op, "stride", stride, n)?,
        spread(op, "padding", padding, n)?,
        spread(op, "dilation", dilation, n)?,
        spread(op, "output_padding", output_padding, n)?,
    );
    ensure!(stride.iter().all(|s| *s > 0), Runtime, "{op}: non-positive stride is not supported, got {stride:?}");
    ensure!(dilation.iter().all(|d| *d > 0), Runtime, "{op}: dilation should be greater than zero, got {dilation:?}");
    ensure!(padding.iter().all(|p| *p >= 0), Runtime, "{op}: negative padding is not supported, got {padding:?}");
    ensure!(extra.iter().all(|p| *p >= 0), Runtime, "{op}: negative output_padding is not supported, got {extra:?}");
    window(op, [("stride", &stride), ("padding", &padding), ("dilation", &dilation), ("output_padding", &extra)])?;
    let mut out = Dims::from_slice(&[si[0], sw[1] * groups]);
    for i in 0..n {
        ensure!(
            extra[i] < stride[i].max(dilation[i]),
            Runtime,
            "output padding must be smaller than either stride or dilation, but got output_padding: {extra:?}, stride: {stride:?}, dilation: {dilation:?}"
        );
        let last = (si[i + 2] - 1).saturating_mul(stride[i]) - 2 * padding[i];
        out.push(last.saturating_add(reach(sw[i + 2], dilation[i])).saturating_add(extra[i]));
    }
    ensure!(
        out[2..].iter().all(|s| *s > 0 || (*s == 0 && si[0] == 0)),
        Runtime,
        "Given input size per channel: ({}). Calculated output size per channel: ({}). Output size is too small",
        by(&si[2..]),
        by(&out[2..])
    );
    let p = ConvParams { stride, padding, dilation, groups };
    if !input.dtype().is_float() && !input.dtype().is_complex() {
        return whole::conv_transpose(input, weight, bias, &p, &out);
    }
    let spread = |x: &Tensor, w: &Tensor| conv_input_grad(x, w, &out, &p);
    let out =
        if input.dtype().is_complex() { complex::bilinear(input, weight, spread)? } else { spread(input, weight)? };
    with_bias(out, bias, n)
}
/// A bias for each channel, of a result of `n` dimensions of space.
fn with_bias(out: Tensor, bias: Option<&Tensor>, n: usize) -> Result<Tensor> {
    match bias {
        Some(b) => {
            let mut s = vec![1i64; n + 2];
            s[1] = -1;
            add(&out, &reshape(b, &s)?, Scalar::Int(1))
        }
        None => Ok(out),
    }
}
pub fn conv_transpose1d(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: &[i64],
    padding: &[i64],
    output_padding: &[i64],
    groups: i64,
    dilation: &[i64],
) -> Result<Tensor> {
    conv_transpose_nd("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)
}
pub fn conv_transpose2d(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: &[i64],
    padding: &[i64],
    output_padding: &[i64],
    groups: i64,
    dilation: &[i64],
) -> Result<Tensor> {
    conv_transpose_nd("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)
}
pub fn conv_transpose3d(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: &[i64],
    padding: &[i64],
    output_padding: &[i64],
    groups: i64,
    dilation: &[i64],
) -> Result<Tensor> {
    conv_transpose_nd("conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation)
}
/// A convolution of any number of dimensions (the weight's) whose padding may be of a mode ("zeros", "reflect", "replicate",
/// "circular") and, in place of numbers, "same" or "valid". Empty lists are 1, 0 and 1.
pub fn conv_padded(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    groups: i64,
    padding_mode: &str,
    auto_padding: Option<&str>,
) -> Result<Tensor> {
    let n = weight.ndim().saturating_sub(2);
    ensure!(
        (1..=3).contains(&n),
        Runtime,
        "conv_padded: expected 3- to 5-dimensional weight, but got weight of size {:?}",
        &weight.shape()[..]
    );
    let op = ["conv1d", "conv2d", "conv3d"][n - 1];
    let numbers = |name: &str, v: &[i64], default: i64| {
        if v.is_empty() {
            Ok(vec![default; n])
        } else {
            spread(op, name, v, n)
        }
    };
    let (stride, dilation) = (numbers("stride", stride, 1)?, numbers("dilation", dilation, 1)?);
    window(op, [("stride", &stride), ("padding", padding), ("dilation", &dilation), ("output_padding", &[])])?;
    // Before and behind each dimension.
    let sides: Vec<[i64; 2]> = match auto_padding {
        None => numbers("padding", padding, 0)?.into_iter().map(|p| [p, p]).collect(),
        Some("valid") => vec![[0, 0]; n],
        Some("same") => {
            ensure!(
                stride.iter().all(|s| *s == 1),
                Runtime,
                "padding='same' is not supported for strided convolutions"
            );
            let kernel = weight.shape();
            (0..n)
                .map(|i| {
                    let total = dilation[i].saturating_mul((kernel[i + 2] - 1).max(0)).max(0);
                    [total / 2, total - total / 2]
                })
                .collect()
        }
        Some(other) => bail!(Runtime, "Invalid padding string: '{other}'"),
    };
    let flat = |sides: &[[i64; 2]]| sides.iter().rev().flatten().copied().collect::<Vec<i64>>();
    let mode = match padding_mode {
        "zeros" => {
            let behind: Vec<[i64; 2]> = sides.iter().map(|[a, b]| [0, b - a]).collect();
            let wide = if behind.iter().any(|b| b[1] != 0) {
                pad(input, &flat(&behind), "constant", None)?
            } else {
                input.clone()
            };
            let padding: Vec<i64> = sides.iter().map(|s| s[0]).collect();
            return conv_nd(op, n, &wide, weight, bias, &stride, &padding, &dilation, groups);
        }
        "reflect" | "replicate" | "circular" => padding_mode,
        other => bail!(
            Value,
            "padding_mode must be one of 'zeros', 'reflect', 'replicate' or 'circular', but got padding_mode='{other}'"
        ),
    };
    ensure!(
        input.ndim() == n + 1 || input.ndim() == n + 2,
        Runtime,
        "Expected {}D (unbatched) or {}D (batched) input to {op}, but got input of size: {:?}",
        n + 1,
        n + 2,
        &input.shape()[..]
    );
    let wide = pad(input, &flat(&sides), mode, None)?;
    conv_nd(op, n, &wide, weight, bias, &stride, &[0], &dilation, groups)
}
/// A transposed convolution of any number of dimensions (the weight's). output_size chooses among the sizes that the
/// convolution may have had, in place of output_padding. Empty lists are 1, 0, 0 and 1.
pub fn conv_transpose_sized(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: &[i64],
    padding: &[i64],
    output_padding: &[i64],
    groups: i64,
    dilation: &[i64],
    output_size: Option<&[i64]>,
) -> Result<Tensor> {
    let n = weight.ndim().saturating_sub(2);
    ensure!(
        (1..=3).contains(&n),
        Runtime,
        "conv_transpose_sized: expected 3- to 5-dimensional weight, but got weight of size {:?}",
        &weight.shape()[..]
    );
    let op = ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"][n - 1];
    let numbers = |name: &str, v: &[i64], default: i64| {
        if v.is_empty() {
            Ok(vec![default; n])
        } else {
            spread(op, name, v, n)
        }
    };
    let (stride, padding, dilation) =
        (numbers("stride", stride, 1)?, numbers("padding", padding, 0)?, numbers("dilation", dilation, 1)?);
    window(op, [("stride", &stride), ("padding", &padding), ("dilation", &dilation), ("output_padding", &[])])?;
    let mut extra = numbers("output_padding", output_padding, 0)?;
    if let Some(size) = output_size {
        let (s, k) = (input.shape(), weight.shape());
        let free = s.len().saturating_sub(n);
        ensure!(
            s.len() > n && (size.len() == n || size.len() == s.len()),
            Value,
            "{op}: for {}D input, output_size must have {n} or {} elements (got {})",
            s.len(),
            s.len(),
            size.len()
        );
        let wanted = &size[size.len() - n..];
        let least = |i: usize| {
            let last = (s[free + i] - 1).saturating_mul(stride[i]).saturating_sub(2 * padding[i]);
            last.saturating_add(reach(k[i + 2], dilation[i]))
        };
        let least: Vec<i64> = (0..n).map(least).collect();
        let most: Vec<i64> = least.iter().zip(&stride).map(|(l, s)| l.saturating_add(s - 1)).collect();
        ensure!(
            (0..n).all(|i| (least[i]..=most[i]).contains(&wanted[i])),
            Value,
            "requested an output size of {wanted:?}, but valid sizes range from {least:?} to {most:?} (for an input of {:?})",
            &s[free..]
        );
        extra = wanted.iter().zip(&least).map(|(w, l)| w - l).collect();
    }
    conv_transpose_nd(op, n, input, weight, bias, &stride, &padding, &extra, groups, &dilation)
}
