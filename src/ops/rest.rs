//! Ops that PyTorch's programs use seldom, composed of other ops: reductions into named places, exponents of floats, memory
//! with given strides, powers of a vector, segments, and the forms of normalisations that give their statistics as well.

use super::random::Gen;
use super::*;
use crate::autograd::record;
use crate::base::layout::wrap_dim;
use crate::{bail, ensure, grads, Dims};

const ONE: Scalar = Scalar::Int(1);
const ZERO: Scalar = Scalar::Int(0);

// ---- memory with given strides ----

/// Uninitialised memory with the given strides.
pub fn empty_strided(size: &[i64], stride: &[i64], dtype: Option<DType>, device: Option<Device>) -> Result<Tensor> {
    ensure!(
        size.len() == stride.len(),
        Runtime,
        "dimensionality of sizes ({}) must match dimensionality of strides ({})",
        size.len(),
        stride.len()
    );
    if let Some(n) = size.iter().find(|n| **n < 0) {
        bail!(Runtime, "Trying to create tensor with negative dimension {n}: {size:?}");
    }
    let overflow = || {
        let text = format!("Storage size calculation overflowed with sizes={size:?} and strides={stride:?}");
        Error::new(crate::ErrorKind::Runtime, text)
    };
    let mut reach = 1i64;
    for (n, s) in size.iter().zip(stride) {
        if *s < 0 {
            return Err(overflow());
        }
        reach = (n - 1).max(0).checked_mul(*s).and_then(|r| r.checked_add(reach)).ok_or_else(overflow)?;
    }
    let needed = if size.contains(&0) { 0 } else { reach };
    as_strided(&empty(&[needed], dtype, device)?, size, stride, Some(0))
}
/// Uninitialised memory of a size whose dimensions lie in the given order, from the outermost to the innermost.
pub fn empty_permuted(
    size: &[i64],
    physical_layout: &[i64],
    dtype: Option<DType>,
    device: Option<Device>,
) -> Result<Tensor> {
    let n = size.len();
    ensure!(
        n == physical_layout.len(),
        Runtime,
        "Number of dimensions in size does not match the length of the physical_layout; i.e. len(size) = {n} is not equal to \
         len(physical_layout) = {}",
        physical_layout.len()
    );
    let mut inverse: Dims = Dims::from_elem(-1, n);
    for (i, d) in physical_layout.iter().enumerate() {
        ensure!(
            (0..n as i64).contains(d),
            Runtime,
            "Dimension out of range (expected to be between 0 and {}, but got {d} at index {i}).  NB: negative dims not \
             currently supported; file an issue if you want it.",
            n as i64 - 1
        );
        ensure!(inverse[*d as usize] < 0, Runtime, "Duplicate dim not allowed");
        inverse[*d as usize] = i as i64;
    }
    let physical: Vec<i64> = physical_layout.iter().map(|d| size[*d as usize]).collect();
    permute(&empty(&physical, dtype, device)?, &inverse)
}
/// self with src in place of a window of its memory.
pub fn as_strided_scatter(
    a: &Tensor,
    src: &Tensor,
    size: &[i64],
    stride: &[i64],
    storage_offset: Option<i64>,
) -> Result<Tensor> {
    composed::scattered(a, src, |t| as_strided(t, size, stride, storage_offset), "as_strided_scatter")
}
/// A copy of a part of a dimension.
pub fn narrow_copy(a: &Tensor, dim: i64, start: i64, length: i64) -> Result<Tensor> {
    ensure!(
        dim < a.ndim() as i64,
        Runtime,
        "Expected dim < static_cast<int64_t>(self_sizes.size()) to be true, but got false.  (Could this error message be \
         improved?  If so, please report an enhancement request to PyTorch.)"
    );
    let part = narrow(a, dim, start, length)?;
    clone(&part)
}

// ---- fills ----

/// self's shape and dtype, filled with a number.
pub fn fill_scalar(a: &Tensor, value: Scalar) -> Result<Tensor> {
    filled(a, |out| fill_scalar_(out, value))
}
/// self's shape and dtype, filled with the value of a 0-dim tensor.
pub fn fill(a: &Tensor, value: &Tensor) -> Result<Tensor> {
    filled(a, |out| fill_(out, value))
}
fn filled(a: &Tensor, f: impl FnOnce(&Tensor) -> Result<()>) -> Result<Tensor> {
    let out = clone(a)?;
    f(&out)?;
    Ok(out)
}

// ---- numbers ----

/// Mantissas within [0.5, 1) and exponents of 2 (int32): self = mantissa * 2^exponent. What is 0, infinite or NaN is its own
/// mantissa.
pub fn frexp(a: &Tensor) -> Result<(Tensor, Tensor)> {
    ensure!(a.dtype().is_float(), Runtime, "torch.frexp() only supports floating-point dtypes");
    let (mantissa, exponent) = autograd::no_grad(|| {
        let x = if a.dtype() == DType::F64 { detach(a)? } else { cast(&detach(a)?, DType::F32)? };
        let (digits, mask, bias, raise, least, ints) = match x.dtype() {
            DType::F64 => (52, 0x7ff, 1022, 54, f64::MIN_POSITIVE, DType::I64),
            _ => (23, 0xff, 126, 25, f32::MIN_POSITIVE as f64, DType::I32),
        };
        // Numbers below the normal ones are made normal first.
        let low = lt_scalar(&abs(&x)?, Scalar::Float(least))?;
        let raised = mul_scalar(&x, Scalar::Float(2f64.powi(raise)))?;
        let bits = view_dtype(&contiguous(&where_(&low, &raised, &x)?)?, ints)?;
        let field = bitwise_and_scalar(&bitwise_right_shift_scalar(&bits, Scalar::Int(digits))?, Scalar::Int(mask))?;
        let shift = mul_scalar(&cast(&low, ints)?, Scalar::Int(raise as i64))?;
        let exponent = sub(&sub_scalar(&field, Scalar::Int(bias), ONE)?, &shift, ONE)?;
        let kept = bitwise_and_scalar(&bits, Scalar::Int(!(mask << digits)))?;
        let mantissa = view_dtype(&bitwise_or_scalar(&kept, Scalar::Int(bias << digits))?, x.dtype())?;
        let own = logical_or(&eq_scalar(&x, ZERO)?, &logical_not(&isfinite(&x)?)?)?;
        let exponent = cast(&masked_fill_scalar(&exponent, &own, ZERO)?, DType::I32)?;
        Ok::<_, Error>((cast(&where_(&own, &x, &mantissa)?, a.dtype())?, exponent))
    })?;
    let by = exponent.clone();
    let mantissa = record("FrexpBackward0", &[a], mantissa, |_, _| {
        move |_, g| {
            let wide = if g.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
            let scale = exp2(&cast(&by, wide)?)?;
            Ok(grads![Some(cast(&div(&cast(g, wide)?, &scale)?, g.dtype())?)])
        }
    })?;
    Ok((mantissa, exponent))
}
/// The powers of a vector's elements as columns: from N - 1 down to 0, or rising.
pub fn vander(x: &Tensor, n: Option<i64>, increasing: bool) -> Result<Tensor> {
    ensure!(x.ndim() == 1, Runtime, "x must be a one-dimensional tensor.");
    let rows = x.numel() as i64;
    let n = n.unwrap_or(rows);
    ensure!(n >= 0, Runtime, "N must be non-negative.");
    let ty = if x.dtype().is_float() { x.dtype() } else { DType::I64 };
    let first = ones(&[rows, n.min(1)], Some(ty), Some(x.device()))?;
    if n < 2 {
        return Ok(first);
    }
    let column = unsqueeze(&cast(x, ty)?, 1)?;
    let powers = cumprod(&expand(&column, &[rows, n - 1])?, 1, None)?;
    let out = cat(&[first, powers], 1)?;
    if increasing {
        Ok(out)
    } else {
        flip(&out, &[1])
    }
}
/// The integrals by the trapezoidal rule up to each sample, of samples at the places x.
pub fn cumulative_trapezoid_x(y: &Tensor, x: &Tensor, dim: i64) -> Result<Tensor> {
    let (after, before) = neighbours(y, dim)?;
    let n = y.size(dim)?;
    let fits = if x.ndim() == 1 { x.numel() as i64 == n } else { x.ndim() > 0 && x.size(dim)? == n };
    ensure!(fits, Runtime, "cumulative_trapezoid: There must be one `x` value for each sample point");
    let x = if x.ndim() == 1 && y.ndim() > 1 {
        let mut shape: Dims = Dims::from_elem(1, y.ndim());
        shape[wrap_dim(dim, y.ndim())?] = n;
        reshape(x, &shape)?
    } else {
        x.clone()
    };
    let (right, left) = neighbours(&x, dim)?;
    let areas = mul(&sub(&right, &left, ONE)?, &add(&before, &after, ONE)?)?;
    div_scalar(&cumsum(&areas, dim, None)?, Scalar::Float(2.0))
}
/// The integrals by the trapezoidal rule up to each sample, of samples dx apart.
pub fn cumulative_trapezoid_dx(y: &Tensor, dx: Scalar, dim: i64) -> Result<Tensor> {
    let (after, before) = neighbours(y, dim)?;
    let areas = mul_scalar(&add(&after, &before, ONE)?, Scalar::Float(dx.to_f64() / 2.0))?;
    cumsum(&areas, dim, None)
}
/// All but the first and all but the last along a dimension.
fn neighbours(t: &Tensor, dim: i64) -> Result<(Tensor, Tensor)> {
    ensure!(t.ndim() > 0, Index, "slice() cannot be applied to a 0-dim tensor.");
    Ok((slice(t, dim, Some(1), None, 1)?, slice(t, dim, Some(0), Some(-1), 1)?))
}
/// The norm of power pow over all dimensions but one (-1: over all).
pub fn norm_except_dim(v: &Tensor, pow: i64, dim: i64) -> Result<Tensor> {
    let p = Scalar::Int(pow);
    if dim == -1 {
        return norm(v, p);
    }
    let n = v.ndim();
    let d = wrap_dim(dim, n)?;
    let others: Vec<i64> = (0..n as i64).filter(|i| *i != d as i64).collect();
    if others.is_empty() {
        return norm_dim(&reshape(v, &[-1, 1])?, Some(p), Some(&[1]), false);
    }
    norm_dim(v, Some(p), Some(&others), true)
}

// ---- places ----

/// self with the slices of source reduced into the places along dim that index names: prod, mean, amax or amin, of what is
/// there as well unless include_self is false.
pub fn index_reduce(
    a: &Tensor,
    dim: i64,
    index: &Tensor,
    source: &Tensor,
    reduce: &str,
    include_self: bool,
) -> Result<Tensor> {
    ensure!(
        matches!(reduce, "prod" | "mean" | "amax" | "amin"),
        Runtime,
        "index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}."
    );
    ensure!(
        matches!(index.dtype(), DType::I32 | DType::I64),
        Runtime,
        "index_reduce_(): Expected dtype int32/int64 for index but got: {}",
        index.dtype().scalar_name()
    );
    ensure!(
        index.ndim() <= 1,
        Index,
        "index_reduce_(): Index is supposed to be a vector, but got dim: {} with type: {} and size: {:?}",
        index.ndim(),
        index.dtype().scalar_name(),
        &index.shape()[..]
    );
    ensure!(
        a.dtype() == source.dtype(),
        Runtime,
        "index_reduce_(): self ({}) and source ({}) must have the same scalar type",
        a.dtype().scalar_name(),
        source.dtype().scalar_name()
    );
    ensure!(a.dtype() != DType::Bool, NotImplemented, "\"index_func_\" not implemented for 'Bool'");
    let d = wrap_dim(dim, a.ndim())?;
    let count = index.numel() as i64;
    let (s, given) = (a.shape(), source.shape());
    let same = s.len() == given.len() && s.iter().zip(&given).enumerate().all(|(i, (x, y))| i == d || x == y);
    ensure!(
        same,
        Runtime,
        "source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = {:?} \
         source.shape = {:?}",
        &s[..],
        &given[..]
    );
    let width = if given.is_empty() { 1 } else { given[d] };
    ensure!(
        width == count,
        Runtime,
        "index_reduce_(): Number of indices ({count}) should be equal to source.size(dim): ({width}), for dim: {d}"
    );
    if s.is_empty() {
        let line = |t: &Tensor| reshape(t, &[1]);
        let out = index_reduce(&line(a)?, 0, index, &line(source)?, reduce, include_self)?;
        return reshape(&out, &[]);
    }
    let places = cast(&reshape(index, &[-1])?, DType::I64)?;
    let mut shape: Dims = Dims::from_elem(1, s.len());
    shape[d] = count;
    let places = expand(&reshape(&places, &shape)?, &given)?;
    scatter_reduce_two(a, dim, &places, source, reduce, include_self)
}
pub fn index_reduce_(
    a: &Tensor,
    dim: i64,
    index: &Tensor,
    source: &Tensor,
    reduce: &str,
    include_self: bool,
) -> Result<()> {
    in_place::write_back(a, true, |x| index_reduce(x, dim, index, source, reduce, include_self))
}
/// The coordinates in a shape of places in its elements' order, one tensor for each dimension.
pub fn unravel_index(indices: &Tensor, shape: &[i64]) -> Result<Vec<Tensor>> {
    ensure!(
        !indices.dtype().is_float() && indices.dtype() != DType::Bool,
        Type,
        "expected 'indices' to be integer dtype, but got {}",
        indices.dtype()
    );
    ensure!(shape.iter().all(|n| *n >= 0), Value, "'shape' cannot have negative values, but got {shape:?}");
    let mut step = 1i64;
    let mut out = Vec::with_capacity(shape.len());
    for n in shape.iter().rev() {
        let count =
            remainder_scalar(&floor_divide_scalar(&cast(indices, DType::I64)?, Scalar::Int(step))?, Scalar::Int(*n))?;
        out.push(count);
        step = step.saturating_mul(*n);
    }
    out.reverse();
    Ok(out)
}
/// `nonzero` with a fixed number of rows: the first ones, and rows of fill_value where there are fewer.
pub fn nonzero_static(a: &Tensor, size: i64, fill_value: i64) -> Result<Tensor> {
    ensure!(size >= 0, Runtime, "nonzero_static: 'size' must be an non-negative integer");
    if a.device().is_meta() {
        return Tensor::empty(&[size, a.ndim() as i64], DType::I64, a.device());
    }
    let found = nonzero(a)?;
    let rows = found.size(0)?;
    if rows >= size {
        return narrow_copy(&found, 0, 0, size);
    }
    let shape = [size - rows, found.size(1)?];
    cat(&[found.clone(), full(&shape, Scalar::Int(fill_value), Some(DType::I64), Some(found.device()))?], 0)
}
/// Segments of a dimension (of the given lengths, or between offsets) reduced: sum, mean, prod, max or min, beginning with
/// initial.
pub fn segment_reduce(
    data: &Tensor,
    reduce: &str,
    lengths: Option<&Tensor>,
    indices: Option<&Tensor>,
    offsets: Option<&Tensor>,
    axis: i64,
    unchecked: bool,
    initial: Option<Scalar>,
) -> Result<Tensor> {
    let inf = f64::INFINITY;
    let (how, neutral) = match reduce {
        "sum" | "mean" => ("sum", 0.0),
        "prod" => ("prod", 1.0),
        "max" | "amax" => ("amax", -inf),
        "min" | "amin" => ("amin", inf),
        other => bail!(Runtime, "reduce argument must be either sum, prod, mean, amax or amin, got {other}"),
    };
    ensure!(indices.is_none(), Runtime, "segment_reduce(): indices based reduction is not supported yet.");
    ensure!(
        data.dtype().is_float(),
        NotImplemented,
        "\"_segment_reduce_cpu\" not implemented for '{}'",
        data.dtype().scalar_name()
    );
    ensure!(data.ndim() > 0, Runtime, "segment_reduce(): data must have at least 1 dimension");
    // Where segments begin and end: the length of each, and one bound more than there are.
    let (lengths, bounds) = match (lengths, offsets) {
        (Some(l), _) => {
            let l = cast(l, DType::I64)?;
            ensure!(l.ndim() > 0, Runtime, "segment_reduce(): lengths must have at least 1 dimension");
            let mut first = l.shape();
            *first.last_mut().expect("a dimension") = 1;
            let first = zeros(&first, Some(DType::I64), Some(l.device()))?;
            let bounds = cat(&[first, cumsum(&l, -1, None)?], -1)?;
            (l, bounds)
        }
        (None, Some(o)) => {
            ensure!(o.ndim() > 0 && o.size(-1)? > 0, Runtime, "segment_reduce(): offsets must have at least 1 element");
            let o = cast(o, DType::I64)?;
            let (after, before) = neighbours(&o, -1)?;
            (sub(&after, &before, ONE)?, o)
        }
        (None, None) => bail!(Runtime, "segment_reduce(): Either lengths or offsets must be defined."),
    };
    let axis = wrap_dim(axis, data.ndim())?;
    ensure!(
        axis + 1 == lengths.ndim(),
        Runtime,
        "segment_reduce(): Expected axis to be the last dimension of lengths but got {axis}."
    );
    let s = data.shape();
    ensure!(
        lengths.shape()[..axis] == s[..axis],
        Runtime,
        "segment_reduce(): lengths of shape {:?} do not fit data of shape {:?}",
        &lengths.shape()[..],
        &s[..]
    );
    if !unchecked && offsets.is_none() {
        let total = sum_dim(&lengths, Some(&[-1]), false, None)?;
        ensure!(
            !any(&lt_scalar(&lengths, ZERO)?)?.item()?.to_bool(),
            Runtime,
            "segment_reduce(): Expected all lengths to be non-negative when !unsafe."
        );
        ensure!(
            !any(&ne_scalar(&total, Scalar::Int(s[axis]))?)?.item()?.to_bool(),
            Runtime,
            "segment_reduce(): Expected all rows of lengths along axis to sum to data.size(lengths.dim()-1) when !unsafe."
        );
    }
    let groups = lengths.size(-1)?;
    // What lies before the first bound or behind the last one goes to places of its own.
    let mut shape = s.clone();
    shape[axis] = groups + 2;
    let (dtype, device) = (Some(data.dtype()), Some(data.device()));
    let start = full(&shape, initial.unwrap_or(Scalar::Float(neutral)), dtype, device)?;
    let wide = |t: &Tensor| -> Result<Tensor> {
        let mut shape = Dims::from_slice(&t.shape());
        shape.resize(s.len(), 1);
        reshape(t, &shape)
    };
    let mut out = start;
    if data.numel() > 0 {
        let places = arange(Scalar::Int(s[axis]), Some(DType::I64), device)?;
        let mut flat = Dims::from_slice(&s[..axis]);
        flat.push(s[axis]);
        let places = contiguous(&expand(&places, &flat)?)?;
        let segment = searchsorted(&contiguous(&bounds)?, &places, false, true, None, None)?;
        out = scatter_reduce_two(&out, axis as i64, &expand(&wide(&segment)?, &s)?, data, how, true)?;
    }
    let out = contiguous(&narrow(&out, axis as i64, 1, groups)?)?;
    if reduce != "mean" {
        return Ok(out);
    }
    let count = wide(&lengths)?;
    let out = div(&out, &cast(&clamp_min(&count, ONE)?, data.dtype())?)?;
    match initial {
        Some(_) => Ok(out),
        None => masked_fill_scalar(&out, &expand(&eq_scalar(&count, ZERO)?, &out.shape())?, Scalar::Float(f64::NAN)),
    }
}

// ---- layers with what they computed on the way ----

/// layer_norm, and the mean and the inverse standard deviation that it divided by.
pub fn native_layer_norm(
    input: &Tensor,
    normalized_shape: &[i64],
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<(Tensor, Tensor, Tensor)> {
    let out = layer_norm(input, normalized_shape, weight, bias, eps)?;
    let dims: Vec<i64> = (1..=normalized_shape.len() as i64).map(|i| -i).collect();
    let (mean, rstd) = autograd::no_grad(|| statistics(&detach(input)?, &dims, true, eps))?;
    Ok((out, mean, rstd))
}
/// Mean and 1 / sqrt(variance + eps), in the input's dtype.
fn statistics(input: &Tensor, dims: &[i64], keepdim: bool, eps: f64) -> Result<(Tensor, Tensor)> {
    let x = if input.dtype() == DType::F64 { input.clone() } else { cast(input, DType::F32)? };
    let var = var_correction(&x, Some(dims), Some(ZERO), keepdim)?;
    let rstd = rsqrt(&add_scalar(&var, Scalar::Float(eps), ONE)?)?;
    Ok((cast(&mean_dim(&x, Some(dims), keepdim, None)?, input.dtype())?, cast(&rstd, input.dtype())?))
}
/// group_norm of N samples of C channels of HxW places, and the groups' means and inverse standard deviations.
pub fn native_group_norm(
    input: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    n: i64,
    c: i64,
    hxw: i64,
    group: i64,
    eps: f64,
) -> Result<(Tensor, Tensor, Tensor)> {
    let s = input.shape();
    ensure!(
        s.len() >= 2 && s[0] == n && s[1] == c && s[2..].iter().product::<i64>() == hxw,
        Runtime,
        "native_group_norm: N = {n}, C = {c} and HxW = {hxw} do not fit an input of shape {:?}",
        &s[..]
    );
    if input.numel() == 0 {
        // Of nothing there are no statistics, and weights have gradients of zeros.
        let mut out = clone(input)?;
        if let Some(w) = super::norm::per_channel(weight, s.len())? {
            out = mul(&out, &w)?;
        }
        if let Some(b) = super::norm::per_channel(bias, s.len())? {
            out = add(&out, &b, ONE)?;
        }
        let grouped = reshape(input, &[n, group, (c / group.max(1)) * hxw])?;
        let mean = sum_dim(&grouped, Some(&[2]), false, None)?;
        return Ok((out, clone(&mean)?, mean));
    }
    let out = group_norm(input, group, weight, bias, eps)?;
    let grouped = reshape(input, &[n, group, (c / group) * hxw])?;
    let (mean, rstd) = statistics(&grouped, &[2], false, eps)?;
    Ok((out, mean, rstd))
}
/// batch_norm, and the batch's means and inverse standard deviations (without training, nothing).
pub fn native_batch_norm(
    input: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    running_mean: Option<&Tensor>,
    running_var: Option<&Tensor>,
    training: bool,
    momentum: f64,
    eps: f64,
) -> Result<(Tensor, Tensor, Tensor)> {
    let out = batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)?;
    if !training {
        let none = || {
            empty(&[0], Some(if input.dtype() == DType::F64 { DType::F64 } else { DType::F32 }), Some(input.device()))
        };
        return Ok((out, none()?, none()?));
    }
    let dims: Vec<i64> = std::iter::once(0).chain(2..input.ndim() as i64).collect();
    let (mean, rstd) = autograd::no_grad(|| statistics(&detach(input)?, &dims, false, eps))?;
    Ok((out, mean, rstd))
}
/// Dropout, and which elements it kept.
pub fn native_dropout(input: &Tensor, p: f64, train: Option<bool>, generator: Gen) -> Result<(Tensor, Tensor)> {
    ensure!((0.0..=1.0).contains(&p), Runtime, "dropout probability has to be between 0 and 1, but got {p}");
    if train == Some(false) {
        return Ok((clone(input)?, full(&input.shape(), Scalar::Bool(true), Some(DType::Bool), Some(input.device()))?));
    }
    let mask = empty(&input.shape(), Some(DType::Bool), Some(input.device()))?;
    bernoulli_float_(&mask, 1.0 - p, generator)?;
    let scale = if p == 1.0 { 0.0 } else { 1.0 / (1.0 - p) };
    Ok((mul_scalar(&mul(input, &mask)?, Scalar::Float(scale))?, mask))
}
/// Padding with a number: pairs (before, after) from the last dimension backwards.
pub fn constant_pad_nd(a: &Tensor, pad_: &[i64], value: Scalar) -> Result<Tensor> {
    pad(a, pad_, "constant", Some(value.to_f64()))
}
/// A convolution, or where transposed its transpose, of as many dimensions as the weight has.
pub fn convolution(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    transposed: bool,
    output_padding: &[i64],
    groups: i64,
) -> Result<Tensor> {
    let n = weight.ndim().saturating_sub(2);
    ensure!(
        (1..=3).contains(&n),
        Runtime,
        "convolution: expected a weight of 3, 4 or 5 dimensions, but got one of shape {:?}",
        &weight.shape()[..]
    );
    let each = |name: &str, given: &[i64]| -> Result<Vec<i64>> {
        match given.len() {
            1 => Ok(vec![given[0]; n]),
            len if len == n => Ok(given.to_vec()),
            _ => bail!(Runtime, "expected {name} to be a single integer value or a list of {n} values to match the convolution dimensions, but got {name}={given:?}"),
        }
    };
    let (s, p, d) = (each("stride", stride)?, each("padding", padding)?, each("dilation", dilation)?);
    if !transposed {
        let f = [conv1d, conv2d, conv3d][n - 1];
        return f(input, weight, bias, &s, &p, &d, groups);
    }
    let o = each("output_padding", output_padding)?;
    let f = [conv_transpose1d, conv_transpose2d, conv_transpose3d][n - 1];
    f(input, weight, bias, &s, &p, &o, groups, &d)
}
/// grid_sample with numbers in place of names: mode 0 bilinear, 1 nearest, 2 bicubic; padding 0 zeros, 1 border, 2 reflection.
pub fn grid_sampler(
    input: &Tensor,
    grid: &Tensor,
    interpolation_mode: i64,
    padding_mode: i64,
    align_corners: bool,
) -> Result<Tensor> {
    let pick = |what: &str, names: [&'static str; 3], i: i64| -> Result<&'static str> {
        match usize::try_from(i).ok().and_then(|i| names.get(i)) {
            Some(name) => Ok(name),
            None => bail!(Runtime, "grid_sampler(): expected {what} to be 0, 1 or 2, but got {i}"),
        }
    };
    let mode = pick("interpolation_mode", ["bilinear", "nearest", "bicubic"], interpolation_mode)?;
    let beyond = pick("padding_mode", ["zeros", "border", "reflection"], padding_mode)?;
    grid_sample(input, grid, mode, beyond, align_corners)
}
pub fn alpha_dropout_(input: &Tensor, p: f64, train: bool, generator: Gen) -> Result<()> {
    random::dropout_inplace(input, alpha_dropout(input, p, train, generator))
}
pub fn feature_dropout_(input: &Tensor, p: f64, train: bool, generator: Gen) -> Result<()> {
    random::dropout_inplace(input, feature_dropout(input, p, train, generator))
}
pub fn feature_alpha_dropout_(input: &Tensor, p: f64, train: bool, generator: Gen) -> Result<()> {
    random::dropout_inplace(input, feature_alpha_dropout(input, p, train, generator))
}
