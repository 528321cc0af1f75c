//! Convolution and pooling.

use super::*;
use crate::autograd::record;
use crate::backend::{self, ConvParams, PoolParams};
use crate::{ensure, grads, Dims};

/// A list of `n` numbers from one or `n`.
fn spread(op: &str, name: &str, v: &[i64], n: usize) -> Result<Vec<i64>> {
    ensure!(v.len() == 1 || v.len() == n, Runtime, "{op}: {name} must be a single int or {n} ints, but got {v:?}");
    Ok(if v.len() == 1 { vec![v[0]; n] } else { v.to_vec() })
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
    ensure!(dilation.iter().all(|d| *d > 0), Runtime, "{op}: dilation should be greater than zero, got {dilation:?}");
    window(op, [("stride", &stride), ("padding", &padding), ("dilation", &dilation), ("output_padding", &[])])?;
    ensure!(
        weight[0] >= groups && weight[0] % groups == 0,
        Runtime,
        "Given groups={groups}, expected weight to be at least {groups} at dimension 0 and divisible by it, but got weight of size {weight:?} instead"
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
            "Calculated padded input size per channel: {:?}. Kernel size: {:?}. Kernel size can't be greater than actual input size",
            (0..n).map(|j| input[j + 2] + 2 * padding[j]).collect::<Vec<_>>(),
            (0..n).map(|j| reach(weight[j + 2], dilation[j])).collect::<Vec<_>>()
        );
        out.push((size - k) / stride[i] + 1);
    }
    Ok(Conv { params: ConvParams { stride, padding, dilation, groups }, out })
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
    for t in [Some(weight), bias].into_iter().flatten() {
        ensure!(
            t.dtype() == input.dtype(),
            Runtime,
            "Input type ({}) and weight or bias type ({}) should be the same",
            input.dtype(),
            t.dtype()
        );
    }
    let geo = conv_geometry(op, n, &input.shape(), &weight.shape(), bias, stride, padding, dilation, groups)?;
    let out = Tensor::empty(&geo.out, input.dtype(), input.device())?;
    if out.numel() > 0 {
        let (i, w) = (input.materialize(), weight.materialize());
        let b = bias.map(|b| b.materialize());
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
fn raw_conv(x: &Tensor, w: &Tensor, p: &ConvParams) -> Result<Tensor> {
    conv_nd("conv", x.ndim() - 2, x, w, None, &p.stride, &p.padding, &p.dilation, p.groups)
}
/// Gradient of the input (also the transposed convolution); itself differentiable.
fn conv_input_grad(g: &Tensor, w: &Tensor, shape: &[i64], p: &ConvParams) -> Result<Tensor> {
    let out = Tensor::empty(shape, g.dtype(), g.device())?;
    if g.numel() == 0 {
        raw_fill(&out, Scalar::Int(0))?;
    } else if out.numel() > 0 {
        let g = autograd::no_grad(|| contiguous(g))?;
        let (gb, wb) = (g.materialize(), w.materialize());
        backend::get(gb.device())?.conv_backward_input(gb.view(), wb.view(), p, out.body().view())?;
    }
    let p = p.clone();
    record("ConvolutionBackwardBackward0", &[g, w], out, |s, _| {
        let (g0, w0) = (s.save(g), s.save(w));
        move |c, gg| {
            let (g0, w0) = (g0.get(c)?, w0.get(c)?);
            let a = if c.needs(0) { Some(raw_conv(gg, &w0, &p)?) } else { None };
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
        backend::get(gb.device())?.conv_backward_weight(gb.view(), xb.view(), p, out.body().view())?;
    }
    let p = p.clone();
    record("ConvolutionBackwardBackward0", &[g, x], out, |s, _| {
        let (g0, x0) = (s.save(g), s.save(x));
        move |c, gw| {
            let (g0, x0) = (g0.get(c)?, x0.get(c)?);
            let a = if c.needs(0) { Some(raw_conv(&x0, gw, &p)?) } else { None };
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
    ensure!(
        stride.iter().chain(&dilation).all(|s| *s > 0),
        Runtime,
        "{op}: stride and dilation must be positive, got {stride:?} and {dilation:?}"
    );
    ensure!(padding.iter().all(|p| *p >= 0), Runtime, "{op}: negative padding is not supported, got {padding:?}");
    window(op, [("stride", &stride), ("padding", &padding), ("dilation", &dilation), ("output_padding", &extra)])?;
    let mut out = Dims::from_slice(&[si[0], sw[1] * groups]);
    for i in 0..n {
        ensure!(
            extra[i] >= 0 && extra[i] < stride[i].max(dilation[i]),
            Runtime,
            "output padding must be smaller than either stride or dilation, but got output_padding: {extra:?}, stride: {stride:?}, dilation: {dilation:?}"
        );
        let last = (si[i + 2] - 1).saturating_mul(stride[i]) - 2 * padding[i];
        out.push(last.saturating_add(reach(sw[i + 2], dilation[i])).saturating_add(extra[i]));
    }
    ensure!(
        out[2..].iter().all(|s| *s > 0 || (*s == 0 && si[0] == 0)),
        Runtime,
        "Given input size per channel: {:?}. Calculated output size per channel: {:?}. Output size is too small",
        &si[2..],
        &out[2..]
    );
    // The convolution that this is the gradient of may give larger results than the input: rows of zeros behind it.
    let behind: Vec<i64> = (0..n).rev().flat_map(|i| [0, extra[i] / stride[i]]).collect();
    let p = ConvParams { stride, padding, dilation, groups };
    let wide = if behind.iter().any(|b| *b > 0) { pad(input, &behind, "constant", None)? } else { input.clone() };
    let out = conv_input_grad(&wide, weight, &out, &p)?;
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

// pooling

fn pool_geometry(
    op: &str,
    n: usize,
    input: &Tensor,
    kernel: &[i64],
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    ceil_mode: bool,
) -> Result<(PoolParams, Dims)> {
    let s = input.shape();
    ensure!(
        s.len() == n + 1 || s.len() == n + 2,
        Runtime,
        "{op}: Expected {}D or {}D input (with optional 0 dim batch size for input), but got: {:?}",
        n + 1,
        n + 2,
        &s[..]
    );
    let kernel = spread(op, "kernel_size", kernel, n)?;
    let stride = if stride.is_empty() { kernel.clone() } else { spread(op, "stride", stride, n)? };
    let (padding, dilation) = (spread(op, "padding", padding, n)?, spread(op, "dilation", dilation, n)?);
    ensure!(
        kernel.iter().all(|k| *k > 0),
        Runtime,
        "{op}: kernel size should be greater than zero, but got {kernel:?}"
    );
    ensure!(stride.iter().all(|k| *k > 0), Runtime, "{op}: stride should not be zero, but got {stride:?}");
    ensure!(
        dilation.iter().all(|k| *k > 0),
        Runtime,
        "{op}: dilation should be greater than zero, but got {dilation:?}"
    );
    for (what, v) in [("kernel_size", &kernel), ("stride", &stride), ("padding", &padding), ("dilation", &dilation)] {
        ensure!(v.iter().all(|v| *v <= i32::MAX as i64), Runtime, "{op}: {what} {v:?}: integer out of range");
    }
    let mut out = Dims::from_slice(&s[..s.len() - n]);
    for i in 0..n {
        let size = s[s.len() - n + i];
        ensure!(size <= 1 << 62, Runtime, "{op}: an input of size {:?} is too large", &s[..]);
        ensure!(
            padding[i] >= 0 && padding[i] <= ((kernel[i] - 1) * dilation[i] + 1) / 2,
            Runtime,
            "{op}: pad should be at most half of effective kernel size, but got pad={}, kernel_size={} and dilation={}",
            padding[i],
            kernel[i],
            dilation[i]
        );
        let room = size + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1;
        let mut o =
            if ceil_mode { (room + stride[i] - 1).div_euclid(stride[i]) } else { room.div_euclid(stride[i]) } + 1;
        // The last window must start inside the input or its left padding.
        if ceil_mode && (o - 1) * stride[i] >= size + padding[i] {
            o -= 1;
        }
        ensure!(
            o > 0,
            Runtime,
            "{op}: Given input size: {:?}. Calculated output size would be {o} at dimension {i}. Output size is too small",
            &s[..]
        );
        out.push(o);
    }
    Ok((PoolParams { kernel, stride, padding, dilation }, out))
}
fn max_pool_nd(
    op: &str,
    n: usize,
    name: &'static str,
    input: &Tensor,
    kernel: &[i64],
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    ceil_mode: bool,
) -> Result<(Tensor, Tensor)> {
    let (p, shape) = pool_geometry(op, n, input, kernel, stride, padding, dilation, ceil_mode)?;
    let out = Tensor::empty(&shape, input.dtype(), input.device())?;
    let indices = Tensor::empty(&shape, DType::I64, input.device())?;
    if out.numel() > 0 {
        let b = input.materialize();
        backend::get(b.device())?.max_pool(b.view(), &p, out.body().view(), indices.body().view())?;
    }
    let shape = input.shape();
    let out = record(name, &[input], out, |s, _| {
        let indices = s.save(&indices);
        move |c, g| Ok(grads![Some(max_pool_grad(g, &indices.get(c)?, &shape, &p)?)])
    })?;
    Ok((out, indices))
}
fn max_pool_grad(g: &Tensor, indices: &Tensor, shape: &[i64], p: &PoolParams) -> Result<Tensor> {
    let out = Tensor::empty(shape, g.dtype(), g.device())?;
    if g.numel() == 0 {
        raw_fill(&out, Scalar::Int(0))?;
    } else {
        let g = autograd::no_grad(|| contiguous(g))?;
        let (gb, ib) = (g.materialize(), indices.materialize());
        backend::get(gb.device())?.max_pool_backward(gb.view(), ib.view(), p, out.body().view())?;
    }
    let n = p.kernel.len();
    let lead = Dims::from_slice(&g.shape()[..g.ndim() - n]);
    record("MaxPoolBackwardBackward0", &[g], out, |s, _| {
        let indices = s.save(indices);
        move |c, gg| {
            // Each output took one input element: gather it.
            let indices = indices.get(c)?;
            let mut flat = lead.clone();
            flat.push(-1);
            let picked = gather(&reshape(gg, &flat)?, -1, &reshape(&indices, &flat)?)?;
            Ok(grads![Some(reshape(&picked, &indices.shape())?)])
        }
    })
}
pub fn max_pool1d(
    input: &Tensor,
    kernel_size: &[i64],
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    ceil_mode: bool,
) -> Result<Tensor> {
    Ok(max_pool_nd("max_pool1d", 1, "MaxPool1DBackward0", input, kernel_size, stride, padding, dilation, ceil_mode)?.0)
}
pub fn max_pool2d(
    input: &Tensor,
    kernel_size: &[i64],
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    ceil_mode: bool,
) -> Result<Tensor> {
    Ok(max_pool2d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)?.0)
}
pub fn max_pool2d_with_indices(
    input: &Tensor,
    kernel_size: &[i64],
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    ceil_mode: bool,
) -> Result<(Tensor, Tensor)> {
    max_pool_nd(
        "max_pool2d",
        2,
        "MaxPool2DWithIndicesBackward0",
        input,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
    )
}
pub fn max_pool3d(
    input: &Tensor,
    kernel_size: &[i64],
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    ceil_mode: bool,
) -> Result<Tensor> {
    Ok(max_pool_nd(
        "max_pool3d",
        3,
        "MaxPool3DWithIndicesBackward0",
        input,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
    )?
    .0)
}
fn avg_pool_nd(
    op: &str,
    n: usize,
    name: &'static str,
    input: &Tensor,
    kernel: &[i64],
    stride: &[i64],
    padding: &[i64],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: Option<i64>,
) -> Result<Tensor> {
    ensure!(divisor != Some(0), Runtime, "divisor must be not zero");
    ensure!(input.dtype().is_float(), NotImplemented, "\"{op}\" not implemented for '{}'", input.dtype().scalar_name());
    let (p, shape) = pool_geometry(op, n, input, kernel, stride, padding, &[1], ceil_mode)?;
    avg_pool_raw(name, input, &p, shape, count_include_pad, divisor)
}
fn avg_pool_raw(
    name: &'static str,
    input: &Tensor,
    p: &PoolParams,
    shape: Dims,
    pad: bool,
    divisor: Option<i64>,
) -> Result<Tensor> {
    let out = Tensor::empty(&shape, input.dtype(), input.device())?;
    if out.numel() > 0 {
        let b = input.materialize();
        backend::get(b.device())?.avg_pool(b.view(), p, pad, divisor, out.body().view())?;
    }
    let (p, shape) = (p.clone(), input.shape());
    record(name, &[input], out, |_, _| move |_, g| Ok(grads![Some(avg_pool_grad(g, &shape, &p, pad, divisor)?)]))
}
fn avg_pool_grad(g: &Tensor, shape: &[i64], p: &PoolParams, pad: bool, divisor: Option<i64>) -> Result<Tensor> {
    let out = Tensor::empty(shape, g.dtype(), g.device())?;
    if g.numel() == 0 {
        raw_fill(&out, Scalar::Int(0))?;
    } else {
        let g = autograd::no_grad(|| contiguous(g))?;
        let gb = g.materialize();
        backend::get(gb.device())?.avg_pool_backward(gb.view(), p, pad, divisor, out.body().view())?;
    }
    let (p, shape) = (p.clone(), g.shape());
    record("AvgPoolBackwardBackward0", &[g], out, |_, _| {
        move |_, gg| Ok(grads![Some(avg_pool_raw("AvgPool2DBackward0", gg, &p, shape.clone(), pad, divisor)?)])
    })
}
pub fn avg_pool1d(
    input: &Tensor,
    kernel_size: &[i64],
    stride: &[i64],
    padding: &[i64],
    ceil_mode: bool,
    count_include_pad: bool,
) -> Result<Tensor> {
    avg_pool_nd(
        "avg_pool1d",
        1,
        "AvgPool1DBackward0",
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        None,
    )
}
pub fn avg_pool2d(
    input: &Tensor,
    kernel_size: &[i64],
    stride: &[i64],
    padding: &[i64],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: Option<i64>,
) -> Result<Tensor> {
    avg_pool_nd(
        "avg_pool2d",
        2,
        "AvgPool2DBackward0",
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )
}
pub fn avg_pool3d(
    input: &Tensor,
    kernel_size: &[i64],
    stride: &[i64],
    padding: &[i64],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: Option<i64>,
) -> Result<Tensor> {
    avg_pool_nd(
        "avg_pool3d",
        3,
        "AvgPool3DBackward0",
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )
}
/// Mean over evenly spread windows that give the output size asked for (-1 keeps a size).
fn adaptive_avg_nd(n: usize, input: &Tensor, output_size: &[i64]) -> Result<Tensor> {
    let s = input.shape();
    ensure!(
        s.len() == n + 1 || s.len() == n + 2,
        Runtime,
        "adaptive_avg_pool{n}d(): Expected {}D or {}D tensor, but got {:?}",
        n + 1,
        n + 2,
        &s[..]
    );
    let sizes = spread("adaptive_avg_pool", "output_size", output_size, n)?;
    for (d, size) in s.iter().enumerate().skip(s.len() - n) {
        ensure!(
            *size > 0,
            Runtime,
            "adaptive_avg_pool{n}d(): Expected input to have non-zero size for non-batch dimensions, but input has sizes {:?} with dimension {d} being empty",
            &s[..]
        );
    }
    if sizes.iter().all(|o| *o == 1) && input.numel() > 0 {
        let dims: Vec<i64> = (s.len() - n..s.len()).map(|d| d as i64).collect();
        return mean_dim(input, Some(&dims), true, None);
    }
    in_float([input], |[input]| means_by_dimension(n, input, &sizes))
}
fn means_by_dimension(n: usize, input: &Tensor, sizes: &[i64]) -> Result<Tensor> {
    let s = input.shape();
    let mut out = input.clone();
    // Separable: each dimension is averaged in turn.
    for (i, &o) in sizes.iter().enumerate() {
        let d = (s.len() - n + i) as i64;
        let size = s[d as usize];
        if o == -1 || o == size {
            continue;
        }
        ensure!(
            o >= 0,
            Runtime,
            "adaptive_avg_pool{n}d: elements of output_size must be greater than or equal to 0, but received {o}"
        );
        // The result must exist: no work towards one that cannot.
        let mut shape = out.shape();
        shape[d as usize] = o;
        drop(Tensor::empty(&shape, out.dtype(), out.device())?);
        if o > 0 && shape.contains(&0) {
            // Empty, however many windows there would be.
            out = expand(&mean_dim(&out, Some(&[d]), true, None)?, &shape)?;
            continue;
        }
        if o > 0 && size % o == 0 {
            out = mean_dim(&unflatten(&contiguous(&out)?, d, &[o, size / o])?, Some(&[d + 1]), false, None)?;
            continue;
        }
        let windows = (0..o)
            .map(|k| {
                // Sizes of a broadcast tensor may be such that their product overflows.
                let at = |k: i64, up: i64| ((k as i128 * size as i128 + up as i128) / o as i128) as i64;
                let (a, b) = (at(k, 0), at(k + 1, o - 1));
                mean_dim(&narrow(&out, d, a, b - a)?, Some(&[d]), true, None)
            })
            .collect::<Result<Vec<_>>>()?;
        out = if windows.is_empty() { narrow(&out, d, 0, 0)? } else { cat(&windows, d)? };
    }
    if out.is_same(input) {
        return clone(input);
    }
    Ok(out)
}
pub fn adaptive_avg_pool1d(input: &Tensor, output_size: &[i64]) -> Result<Tensor> {
    adaptive_avg_nd(1, input, output_size)
}
pub fn adaptive_avg_pool2d(input: &Tensor, output_size: &[i64]) -> Result<Tensor> {
    adaptive_avg_nd(2, input, output_size)
}
pub fn adaptive_avg_pool3d(input: &Tensor, output_size: &[i64]) -> Result<Tensor> {
    adaptive_avg_nd(3, input, output_size)
}
