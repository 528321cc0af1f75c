//! Pooling: largest elements, means and norms of windows.

use super::conv::spread;
use super::*;
use crate::autograd::record;
use crate::backend::{self, memory, PoolParams};
use crate::{bail, ensure, grads, Dims};

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
    pool_input(op, n, &s)?;
    let kernel = spread(op, "kernel_size", kernel, n)?;
    let stride = if stride.is_empty() { kernel.clone() } else { spread(op, "stride", stride, n)? };
    let (padding, dilation) = (spread(op, "padding", padding, n)?, spread(op, "dilation", dilation, n)?);
    if op == "max_pool1d" {
        for (what, v) in [("kernel_size", &kernel), ("stride", &stride), ("dilation", &dilation)] {
            ensure!(v[0] > 0, Runtime, "max_pool1d() {what} must be greater than zero, but got {}", v[0]);
        }
    }
    ensure!(
        kernel.iter().all(|k| *k > 0),
        Runtime,
        "{op}: kernel size should be greater than zero, but got {kernel:?}"
    );
    ensure!(stride.iter().all(|k| *k > 0), Runtime, "stride should not be zero");
    ensure!(
        dilation.iter().all(|k| *k > 0),
        Runtime,
        "{op}: dilation should be greater than zero, but got {dilation:?}"
    );
    for i in 0..n {
        let (p, k, d) = (padding[i], kernel[i], dilation[i]);
        // Of what does not fit into 64 bits the window is larger than any input.
        let window = d.checked_mul(k - 1).and_then(|w| w.checked_add(1));
        ensure!(
            window.is_some() || op != "max_pool1d",
            Runtime,
            "effective kernel size overflows, but got kernel_size={k} and dilation={d}"
        );
        let window = window.unwrap_or(i64::MAX);
        ensure!(p >= 0, Runtime, "pad must be non-negative, but got pad: {p}");
        ensure!(
            p <= window / 2,
            Runtime,
            "pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k} and dilation={d}"
        );
        let size = s[s.len() - n + i];
        ensure!(
            op != "max_pool1d" || size >= window || ceil_mode || p > 0 || window <= i32::MAX as i64,
            Runtime,
            "max_pool1d() Invalid computed output size: {}",
            (size - window).div_euclid(stride[i]) + 1
        );
    }
    for (what, v) in [("kernel_size", &kernel), ("stride", &stride), ("padding", &padding), ("dilation", &dilation)] {
        ensure!(v.iter().all(|v| *v <= i32::MAX as i64), Runtime, "{op}: {what} {v:?}: integer out of range");
    }
    let mut out = Dims::from_slice(&s[..s.len() - n]);
    for i in 0..n {
        let size = s[s.len() - n + i];
        ensure!(size <= 1 << 62, Runtime, "{op}: an input of size {:?} is too large", &s[..]);
        let room = size + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1;
        let mut o =
            if ceil_mode { (room + stride[i] - 1).div_euclid(stride[i]) } else { room.div_euclid(stride[i]) } + 1;
        // The last window must start inside the input or its left padding.
        if ceil_mode && (o - 1) * stride[i] >= size + padding[i] {
            o -= 1;
        }
        ensure!(o > 0 || op != "max_pool1d", Runtime, "max_pool1d() Invalid computed output size: {o}");
        out.push(o);
    }
    if out[s.len() - n..].iter().any(|o| *o <= 0) {
        let planes = s[s.len() - n - 1];
        let text = |sizes: &[i64]| {
            let all: Vec<String> = std::iter::once(&planes).chain(sizes).map(|v| v.to_string()).collect();
            all.join("x")
        };
        bail!(
            Runtime,
            "Given input size: ({}). Calculated output size: ({}). Output size is too small",
            text(&s[s.len() - n..]),
            text(&out[s.len() - n..])
        );
    }
    Ok((PoolParams { kernel, stride, padding, dilation }, out))
}
/// The shapes that a pooling over n dimensions takes: only a batch may be empty.
fn pool_input(op: &str, n: usize, s: &[i64]) -> Result<()> {
    let fits = s.len() == n + 1 || s.len() == n + 2;
    match op {
        "max_pool1d" | "max_pool2d" | "avg_pool2d" => {
            ensure!(
                fits || op != "max_pool2d",
                Runtime,
                "max_pool2d: non-empty 3D or 4D (batch mode) tensor expected for input, but got {s:?}"
            );
            let place = if op == "max_pool1d" { "max_pool1d: " } else { "" };
            ensure!(
                fits && s[s.len() - n - 1..].iter().all(|v| *v != 0),
                Runtime,
                "{place}Expected {}D or {}D (batch mode) tensor with optional 0 dim batch size for input, but got:{s:?}",
                n + 1,
                n + 2
            );
        }
        "max_pool3d" | "avg_pool3d" => {
            let place = if op == "max_pool3d" { "max_pool3d_with_indices_out_cpu_template()" } else { "avg_pool3d()" };
            ensure!(fits, Runtime, "non-empty 4D or 5D (batch mode) tensor expected for input");
            let from = s.len() - n - 1;
            if let Some(d) = (from..s.len()).find(|d| s[*d] == 0) {
                bail!(
                    Runtime,
                    "{place}: Expected input to have non-zero size for non-batch dimensions, but input has sizes {s:?} with \
                     dimension {d} being empty"
                );
            }
        }
        _ => ensure!(
            fits,
            Runtime,
            "Expected {} to {} dimensions, but got {}-dimensional tensor for argument #1 'self' (while checking arguments for {op})",
            n + 1,
            n + 2,
            s.len()
        ),
    }
    Ok(())
}
/// The sizes that an adaptive pooling is asked for.
fn adaptive_sizes(n: usize, op: &str, input: &Tensor, output_size: &[i64]) -> Result<Vec<i64>> {
    let dims = input.ndim();
    ensure!(
        n > 1 || dims == 2 || dims == 3,
        Runtime,
        "Expected 2 to 3 dimensions, but got {dims}-dimensional tensor for argument #1 'self' (while checking arguments for {op})"
    );
    spread(op, "output_size", output_size, n)
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
    complex::no_kernel("max_pool2d", input)?;
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
    complex::no_kernel("max_pool2d", input)?;
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
    complex::no_kernel("max_pool2d", input)?;
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
    complex::no_kernel("max_pool3d", input)?;
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
    let kind = input.dtype();
    let kernels = if op == "avg_pool1d" { "avg_pool2d" } else { op };
    ensure!(
        kind.is_float() || kind == DType::I64,
        NotImplemented,
        "\"{kernels}\" not implemented for '{}'",
        kind.scalar_name()
    );
    let (p, shape) = pool_geometry(op, n, input, kernel, stride, padding, &[1], ceil_mode)?;
    if !kind.is_float() {
        let average = |x: &Tensor, by| avg_pool_raw(name, x, &p, shape.clone(), count_include_pad, by);
        return whole::avg_pool(input, average, divisor);
    }
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
    let sizes = adaptive_sizes(n, &format!("adaptive_avg_pool{n}d"), input, output_size)?;
    ensure!(
        s.len() == n + 1 || s.len() == n + 2,
        Runtime,
        "adaptive_avg_pool{n}d(): Expected {}D or {}D tensor, but got {:?}",
        n + 1,
        n + 2,
        &s[..]
    );
    if let Some(i) = sizes.iter().position(|o| *o < -1) {
        let at: Vec<String> = sizes.iter().map(|v| v.to_string()).collect();
        let all = if n == 1 { format!("1, {}", at[0]) } else { at.join(", ") };
        bail!(
            Runtime,
            "adaptive_avg_pool{}d: elements of output_size must be greater than or equal to 0 but received {{{all}}} ({})",
            n.max(2),
            sizes[i]
        );
    }
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
                let (at, len) = spread_window(k, size, o);
                mean_dim(&narrow(&out, d, at, len)?, Some(&[d]), true, None)
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
    complex::no_kernel("adaptive_avg_pool2d", input)?;
    adaptive_avg_nd(1, input, output_size)
}
pub fn adaptive_avg_pool2d(input: &Tensor, output_size: &[i64]) -> Result<Tensor> {
    complex::no_kernel("adaptive_avg_pool2d", input)?;
    adaptive_avg_nd(2, input, output_size)
}
pub fn adaptive_avg_pool3d(input: &Tensor, output_size: &[i64]) -> Result<Tensor> {
    complex::no_kernel("adaptive_avg_pool3d_cpu", input)?;
    adaptive_avg_nd(3, input, output_size)
}
pub fn max_pool1d_with_indices(
    input: &Tensor,
    kernel_size: &[i64],
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    ceil_mode: bool,
) -> Result<(Tensor, Tensor)> {
    complex::no_kernel("max_pool2d", input)?;
    max_pool_nd("max_pool1d", 1, "MaxPool1DBackward0", input, kernel_size, stride, padding, dilation, ceil_mode)
}
pub fn max_pool3d_with_indices(
    input: &Tensor,
    kernel_size: &[i64],
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    ceil_mode: bool,
) -> Result<(Tensor, Tensor)> {
    complex::no_kernel("max_pool3d", input)?;
    max_pool_nd(
        "max_pool3d",
        3,
        "MaxPool3DWithIndicesBackward0",
        input,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
    )
}
/// Window k of `out` windows spread evenly over `size` elements: from where, how many.
fn spread_window(k: i64, size: i64, out: i64) -> (i64, i64) {
    // Sizes of a broadcast tensor may be such that their product overflows.
    let at = |k: i64, up: i64| ((k as i128 * size as i128 + up as i128) / out as i128) as i64;
    let (a, b) = (at(k, 0), at(k + 1, out - 1));
    (a, b - a)
}
/// Where the maximum along a dimension lies: the first of equal ones, the last NaN before all.
fn choice(a: &Tensor, dim: i64) -> Result<Tensor> {
    let first = argmax(a, Some(dim), true)?;
    if !a.dtype().is_float() {
        return Ok(first);
    }
    let missing = isnan(a)?;
    let from_end = argmax(&cast(&flip(&missing, &[dim])?, DType::U8)?, Some(dim), true)?;
    let last = rsub_scalar(&from_end, Scalar::Int(a.size(dim)? - 1), Scalar::Int(1))?;
    where_(&any_dim(&missing, dim, true)?, &last, &first)
}
/// Maxima of evenly spread windows and their places in the plane; the first of equal ones is taken, the last NaN before
/// all.
fn adaptive_max_nd(n: usize, input: &Tensor, output_size: &[i64]) -> Result<(Tensor, Tensor)> {
    let s = input.shape();
    let mut sizes = adaptive_sizes(n, &format!("adaptive_max_pool{n}d"), input, output_size)?;
    ensure!(
        s.len() == n + 1 || s.len() == n + 2,
        Runtime,
        "adaptive_max_pool{n}d(): Expected {}D or {}D tensor, but got {:?}",
        n + 1,
        n + 2,
        &s[..]
    );
    let lead = s.len() - n;
    for (d, size) in s.iter().enumerate().skip(lead) {
        ensure!(
            *size > 0,
            Runtime,
            "adaptive_max_pool{n}d(): Expected input to have non-zero size for non-batch dimensions, but input has sizes \
             {:?} with dimension {d} being empty",
            &s[..]
        );
    }
    for (i, o) in sizes.iter_mut().enumerate() {
        if *o == -1 {
            *o = s[lead + i];
        }
    }
    ensure!(
        sizes.iter().all(|o| *o >= 0),
        Runtime,
        "adaptive_max_pool{n}d(): elements of output_size must be greater than or equal to 0, but received {sizes:?}"
    );
    let mut shape = Dims::from_slice(&s[..lead]);
    shape.extend_from_slice(&sizes);
    // The result must exist: no work towards one that cannot.
    drop(Tensor::empty(&shape, DType::I64, input.device())?);
    if !shape.contains(&0) && sizes.iter().zip(&s[lead..]).all(|(o, size)| size % o == 0) {
        let kernel: Vec<i64> = sizes.iter().zip(&s[lead..]).map(|(o, size)| size / o).collect();
        return match n {
            1 => max_pool1d_with_indices(input, &kernel, &[], &[0], &[1], false),
            2 => max_pool2d_with_indices(input, &kernel, &[], &[0], &[1], false),
            _ => max_pool3d_with_indices(input, &kernel, &[], &[0], &[1], false),
        };
    }
    if shape.contains(&0) {
        // Nothing is chosen, so that nothing has a gradient.
        let (mut values, mut places) = (input.clone(), zeros(&s, Some(DType::I64), Some(input.device()))?);
        for (d, o) in shape.iter().enumerate() {
            let fit = |t: &Tensor| narrow(t, d as i64, 0, (*o).min(t.shape()[d]));
            (values, places) = (fit(&values)?, fit(&places)?);
        }
        return Ok((reshape(&values, &shape)?, reshape(&places, &shape)?));
    }
    // One dimension after the other, the last one first: of equal maxima the first one in the order of rows stays.
    let (mut x, mut places, mut width) = (input.clone(), None::<Tensor>, 1i64);
    for i in (0..n).rev() {
        let (dim, size) = ((lead + i) as i64, s[lead + i]);
        let (mut values, mut found) = (Vec::new(), Vec::new());
        for k in 0..sizes[i] {
            let (at, len) = spread_window(k, size, sizes[i]);
            let part = narrow(&x, dim, at, len)?;
            let place = autograd::no_grad(|| choice(&part, dim))?;
            let value = gather(&part, dim, &place)?;
            let here = mul_scalar(&add_scalar(&place, Scalar::Int(at), Scalar::Int(1))?, Scalar::Int(width))?;
            let here = match &places {
                Some(inner) => add(&here, &gather(&narrow(inner, dim, at, len)?, dim, &place)?, Scalar::Int(1))?,
                None => here,
            };
            memory::push(&mut values, value)?;
            memory::push(&mut found, here)?;
        }
        width *= size;
        (x, places) = (cat(&values, dim)?, Some(cat(&found, dim)?));
    }
    Ok((x, places.expect("n > 0")))
}
pub fn adaptive_max_pool1d(input: &Tensor, output_size: &[i64]) -> Result<Tensor> {
    complex::no_kernel("adaptive_max_pool2d", input)?;
    Ok(adaptive_max_nd(1, input, output_size)?.0)
}
pub fn adaptive_max_pool2d(input: &Tensor, output_size: &[i64]) -> Result<Tensor> {
    complex::no_kernel("adaptive_max_pool2d", input)?;
    Ok(adaptive_max_nd(2, input, output_size)?.0)
}
pub fn adaptive_max_pool3d(input: &Tensor, output_size: &[i64]) -> Result<Tensor> {
    complex::no_kernel("adaptive_max_pool3d_cpu", input)?;
    Ok(adaptive_max_nd(3, input, output_size)?.0)
}
pub fn adaptive_max_pool1d_with_indices(input: &Tensor, output_size: &[i64]) -> Result<(Tensor, Tensor)> {
    complex::no_kernel("adaptive_max_pool2d", input)?;
    adaptive_max_nd(1, input, output_size)
}
pub fn adaptive_max_pool2d_with_indices(input: &Tensor, output_size: &[i64]) -> Result<(Tensor, Tensor)> {
    complex::no_kernel("adaptive_max_pool2d", input)?;
    adaptive_max_nd(2, input, output_size)
}
pub fn adaptive_max_pool3d_with_indices(input: &Tensor, output_size: &[i64]) -> Result<(Tensor, Tensor)> {
    complex::no_kernel("adaptive_max_pool3d_cpu", input)?;
    adaptive_max_nd(3, input, output_size)
}
/// The p-norm of each window: the root of the mean of powers times the number of elements; infinite p is the maximum.
fn lp_pool_nd(
    n: usize,
    input: &Tensor,
    norm_type: f64,
    kernel_size: &[i64],
    stride: Option<&[i64]>,
    ceil_mode: bool,
) -> Result<Tensor> {
    ensure!(norm_type != 0.0, Value, "norm_type must be a non-zero value, but got {norm_type}");
    let (stride, float) = (stride.unwrap_or(&[]), Scalar::Float);
    let most = |x: &Tensor| match n {
        1 => max_pool1d(x, kernel_size, stride, &[0], &[1], ceil_mode),
        2 => max_pool2d(x, kernel_size, stride, &[0], &[1], ceil_mode),
        _ => max_pool3d(x, kernel_size, stride, &[0], &[1], ceil_mode),
    };
    in_float([input], |[x]| {
        if norm_type.is_infinite() {
            let size = abs(x)?;
            return if norm_type > 0.0 { most(&size) } else { neg(&most(&neg(&size)?)?) };
        }
        let powers = pow_scalar(x, float(norm_type))?;
        let mean = match n {
            1 => avg_pool1d(&powers, kernel_size, stride, &[0], ceil_mode, true)?,
            2 => avg_pool2d(&powers, kernel_size, stride, &[0], ceil_mode, true, None)?,
            _ => avg_pool3d(&powers, kernel_size, stride, &[0], ceil_mode, true, None)?,
        };
        let count: f64 = spread("lp_pool", "kernel_size", kernel_size, n)?.iter().map(|k| *k as f64).product();
        // Where all is zero the gradient is, too.
        let zero = eq_scalar(&detach(&mean)?, Scalar::Int(0))?;
        let total = mul_scalar(&mul(&sign(&mean)?, &relu(&abs(&mean)?)?)?, float(count))?;
        let root = pow_scalar(&masked_fill_scalar(&total, &zero, Scalar::Int(1))?, float(1.0 / norm_type))?;
        masked_fill_scalar(&root, &zero, Scalar::Int(0))
    })
}
pub fn lp_pool1d(
    input: &Tensor,
    norm_type: f64,
    kernel_size: &[i64],
    stride: Option<&[i64]>,
    ceil_mode: bool,
) -> Result<Tensor> {
    lp_pool_nd(1, input, norm_type, kernel_size, stride, ceil_mode)
}
pub fn lp_pool2d(
    input: &Tensor,
    norm_type: f64,
    kernel_size: &[i64],
    stride: Option<&[i64]>,
    ceil_mode: bool,
) -> Result<Tensor> {
    lp_pool_nd(2, input, norm_type, kernel_size, stride, ceil_mode)
}
pub fn lp_pool3d(
    input: &Tensor,
    norm_type: f64,
    kernel_size: &[i64],
    stride: Option<&[i64]>,
    ceil_mode: bool,
) -> Result<Tensor> {
    lp_pool_nd(3, input, norm_type, kernel_size, stride, ceil_mode)
}
