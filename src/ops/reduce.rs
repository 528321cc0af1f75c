//! Reductions: each with its derivative beside it.

use super::*;
use crate::autograd::record;
use crate::backend::{self, ReduceOp, View};
use crate::base::layout::wrap_dim;
use crate::{ensure, grads, Dims};

/// Marks the dimensions in `dim`; all of them for None or an empty list.
fn reduced_dims(ndim: usize, dim: Option<&[i64]>) -> Result<Vec<bool>> {
    let mut marks = vec![false; ndim];
    match dim {
        None | Some([]) => marks.fill(true),
        Some(dims) => {
            for &d in dims {
                let w = wrap_dim(d, ndim)?;
                if ndim == 0 {
                    continue;
                }
                ensure!(!marks[w], Runtime, "dim {w} appears multiple times in the list of dims");
                marks[w] = true;
            }
        }
    }
    Ok(marks)
}
/// The shape with reduced dimensions kept as 1.
fn kept_shape(shape: &[i64], marks: &[bool]) -> Dims {
    shape.iter().zip(marks).map(|(s, m)| if *m { 1 } else { *s }).collect()
}
fn final_shape(shape: &[i64], marks: &[bool], keepdim: bool) -> Dims {
    if keepdim {
        kept_shape(shape, marks)
    } else {
        shape.iter().zip(marks).filter(|(_, m)| !**m).map(|(s, _)| *s).collect()
    }
}
/// Runs a reduction without history.
fn reduce_raw(op: ReduceOp, a: &Tensor, marks: &[bool], keepdim: bool, out_dtype: DType) -> Result<Tensor> {
    let b = a.materialize();
    if b.dtype().is_complex() {
        drop(b);
        return reduce_pairs(op, a, marks, keepdim);
    }
    // Into the final shape; the kernel sees it with the reduced dimensions.
    let kept = Layout::contiguous(&kept_shape(b.shape(), marks));
    let shape = final_shape(b.shape(), marks, keepdim);
    Tensor::computed(&shape, out_dtype, b.device(), |out| {
        if kept.numel() == 0 {
            return Ok(());
        }
        let out = View { layout: &kept, ..out };
        backend::get(b.device())?.reduce(op, None, &[b.view()], &[], marks, out)
    })
}
/// Sums of complex numbers are those of their parts; other reductions have no complex numbers, or are composed.
#[cold]
fn reduce_pairs(op: ReduceOp, a: &Tensor, marks: &[bool], keepdim: bool) -> Result<Tensor> {
    let name = match op {
        ReduceOp::Sum => {
            let parts = reduce_raw(op, &a.as_pairs()?, &[marks, &[false]].concat(), keepdim, a.dtype().real())?;
            return parts.pairs_as_complex();
        }
        ReduceOp::Any | ReduceOp::All => {
            let truth = autograd::no_grad(|| ne_scalar(a, Scalar::Int(0)))?;
            return reduce_raw(op, &truth, marks, keepdim, DType::Bool);
        }
        ReduceOp::ArgMax | ReduceOp::ArgMin => {
            let name = if matches!(op, ReduceOp::ArgMax) { "argmax" } else { "argmin" };
            crate::bail!(Type, "{name}(): does not support complex input")
        }
        ReduceOp::Max => "max_values_cpu",
        ReduceOp::Min => "min_values_cpu",
        _ => "reduce_cpu",
    };
    crate::bail!(NotImplemented, "\"{name}\" not implemented for '{}'", a.dtype().scalar_name())
}
/// A reduced gradient read at the input's shape.
fn grow(g: &Tensor, shape: &[i64], marks: &[bool], keepdim: bool) -> Result<Tensor> {
    if !autograd::recording(&[g]) {
        // One view, where ops would be two that look after history.
        let l = g.layout();
        let mut strides = crate::Dims::from_slice(shape);
        let mut next = 0;
        let mut fits = true;
        for (i, stride) in strides.iter_mut().enumerate() {
            let reduced = marks[i];
            if reduced && !keepdim {
                *stride = 0;
                continue;
            }
            fits &= l.shape.get(next).is_some_and(|n| *n == if reduced { 1 } else { shape[i] });
            *stride = if reduced { 0 } else { l.strides.get(next).copied().unwrap_or(0) };
            next += 1;
        }
        if fits && next == l.ndim() {
            return g.alias(Layout { shape: crate::Dims::from_slice(shape), strides, offset: l.offset });
        }
    }
    let kept;
    let g = if keepdim || marks.iter().all(|m| !m) {
        g
    } else {
        kept = reshape(g, &kept_shape(shape, marks))?;
        &kept
    };
    expand(g, shape)
}

pub(super) fn sum_dtype(a: &Tensor, dtype: Option<DType>) -> DType {
    dtype.unwrap_or_else(|| match a.dtype() {
        d if d.is_inexact() => d,
        _ => DType::I64,
    })
}
fn sum_marks(a: &Tensor, marks: Vec<bool>, keepdim: bool, dtype: Option<DType>, name: &'static str) -> Result<Tensor> {
    let out_dtype = sum_dtype(a, dtype);
    let converted;
    let a = if dtype.is_some_and(|d| d != a.dtype()) {
        converted = cast(a, out_dtype)?;
        &converted
    } else {
        a
    };
    let out = reduce_raw(ReduceOp::Sum, a, &marks, keepdim, out_dtype)?;
    record(name, &[a], out, |_, _| {
        let shape = a.shape();
        move |_, g| Ok(grads![Some(grow(g, &shape, &marks, keepdim)?)])
    })
}
pub fn sum(a: &Tensor, dtype: Option<DType>) -> Result<Tensor> {
    sum_marks(a, vec![true; a.ndim()], false, dtype, "SumBackward0")
}
pub fn sum_dim(a: &Tensor, dim: Option<&[i64]>, keepdim: bool, dtype: Option<DType>) -> Result<Tensor> {
    sum_marks(a, reduced_dims(a.ndim(), dim)?, keepdim, dtype, "SumBackward1")
}
/// Sums down to a shape that broadcasts to the tensor's own.
pub fn sum_to_size(a: &Tensor, size: &[i64]) -> Result<Tensor> {
    let s = a.shape();
    if size.is_empty() {
        return sum(a, None);
    }
    if &s[..] == size {
        return Ok(a.clone());
    }
    let lead = s.len().checked_sub(size.len());
    let fits = lead.is_some_and(|l| size.iter().zip(&s[l..]).all(|(w, h)| w == h || *w == 1));
    ensure!(fits, Runtime, "size {{{size:?}}} is not expandable to size {{{:?}}}.", &s[..]);
    let lead = lead.unwrap_or(0);
    let marks: Vec<bool> = (0..s.len()).map(|i| i < lead || (size[i - lead] == 1 && s[i] != 1)).collect();
    let kept = sum_marks(a, marks, true, None, "SumBackward1")?;
    if lead == 0 {
        Ok(kept)
    } else {
        reshape(&kept, size)
    }
}
pub fn nansum(a: &Tensor, dim: Option<&[i64]>, keepdim: bool, dtype: Option<DType>) -> Result<Tensor> {
    complex::refuse(a, ErrorKind::NotImplemented, "nansum on CPU does not support complex inputs")?;
    if !a.dtype().is_float() {
        return sum_dim(a, dim, keepdim, dtype);
    }
    sum_dim(&masked_fill_scalar(a, &isnan(a)?, Scalar::Int(0))?, dim, keepdim, dtype)
}

fn count(a: &Tensor, marks: &[bool]) -> f64 {
    a.shape().iter().zip(marks).filter(|(_, m)| **m).map(|(s, _)| *s as f64).product()
}
fn mean_marks(a: &Tensor, marks: Vec<bool>, keepdim: bool, dtype: Option<DType>, name: &'static str) -> Result<Tensor> {
    let d = dtype.unwrap_or_else(|| a.dtype());
    ensure!(
        d.is_inexact(),
        NotImplemented,
        "mean(): could not infer output dtype. {} dtype must be either a floating point or complex dtype. Got: {}",
        if dtype.is_some() { "Optional" } else { "Input" },
        d.scalar_name()
    );
    let converted;
    let a = if d != a.dtype() {
        converted = cast(a, d)?;
        &converted
    } else {
        a
    };
    let n = count(a, &marks);
    let out = autograd::no_grad(|| {
        // The sum of a half type's numbers may be beyond its range where their mean is not.
        let total = reduce_raw(ReduceOp::Sum, a, &marks, keepdim, if is_half(d) { DType::F32 } else { d })?;
        div_scalar_(&total, Scalar::Float(n))?;
        cast(&total, d)
    })?;
    let shape = a.shape();
    record(name, &[a], out, |_, _| move |_, g| Ok(grads![Some(expand_scaled(g, &shape, &marks, keepdim, n)?)]))
}
fn expand_scaled(g: &Tensor, shape: &[i64], marks: &[bool], keepdim: bool, n: f64) -> Result<Tensor> {
    grow(&div_scalar(g, Scalar::Float(n))?, shape, marks, keepdim)
}
pub fn mean(a: &Tensor, dtype: Option<DType>) -> Result<Tensor> {
    mean_marks(a, vec![true; a.ndim()], false, dtype, "MeanBackward0")
}
pub fn mean_dim(a: &Tensor, dim: Option<&[i64]>, keepdim: bool, dtype: Option<DType>) -> Result<Tensor> {
    mean_marks(a, reduced_dims(a.ndim(), dim)?, keepdim, dtype, "MeanBackward1")
}

/// Sum of squared differences from the mean, over n - correction.
pub fn var_correction(a: &Tensor, dim: Option<&[i64]>, correction: Option<Scalar>, keepdim: bool) -> Result<Tensor> {
    if a.dtype().is_complex() {
        // The squared distance is that of both parts.
        let [re, im] = [real(a)?, imag(a)?].map(|part| var_correction(&part, dim, correction, keepdim));
        return add(&re?, &im?, Scalar::Int(1));
    }
    ensure!(a.dtype().is_float(), NotImplemented, "std and var only support floating point and complex dtypes");
    let marks = reduced_dims(a.ndim(), dim)?;
    let n = count(a, &marks);
    let c = correction.map_or(1.0, Scalar::to_f64);
    let dims: Vec<i64> = (0..a.ndim()).filter(|&i| marks[i]).map(|i| i as i64).collect();
    let shape = a.shape();
    // Where no dimension was named, PyTorch says what the slope without degrees of freedom is.
    let whole = (dim.is_none() || a.ndim() == 0) && n <= c;
    in_float([a], |[a]| {
        let out = autograd::no_grad(|| {
            let center = centered(a, &dims)?;
            let over = (!dims.is_empty()).then_some(&dims[..]);
            let total = sum_dim(&square(&center)?, over, keepdim, None)?;
            div_scalar(&total, Scalar::Float((n - c).max(0.0)))
        })?;
        record("VarBackward0", &[a], out, |s, _| {
            let x = s.save(a);
            move |c_, g| {
                let x = x.get(c_)?;
                if whole {
                    let middle = eq(&x, &detach(&mean(&x, None)?)?)?;
                    let slope = full(&shape, Scalar::Float(f64::INFINITY), Some(x.dtype()), Some(x.device()))?;
                    let slope = masked_fill_scalar(&slope, &middle, Scalar::Float(f64::NAN))?;
                    return Ok(grads![Some(mul(&grow(g, &shape, &marks, keepdim)?, &slope)?)]);
                }
                let scale = grow(&mul_scalar(g, Scalar::Float(2.0 / (n - c)))?, &shape, &marks, keepdim)?;
                Ok(grads![Some(mul(&centered(&x, &dims)?, &scale)?)])
            }
        })
    })
}
/// Differences from the mean over dimensions (none: of all).
fn centered(a: &Tensor, dims: &[i64]) -> Result<Tensor> {
    let over = (!dims.is_empty()).then_some(dims);
    sub(a, &mean_dim(a, over, true, None)?, Scalar::Int(1))
}
pub fn var(a: &Tensor, unbiased: bool) -> Result<Tensor> {
    var_correction(a, None, Some(Scalar::Int(unbiased as i64)), false)
}
pub fn var_dim(a: &Tensor, dim: Option<&[i64]>, unbiased: bool, keepdim: bool) -> Result<Tensor> {
    var_correction(a, dim, Some(Scalar::Int(unbiased as i64)), keepdim)
}
pub fn std_correction(a: &Tensor, dim: Option<&[i64]>, correction: Option<Scalar>, keepdim: bool) -> Result<Tensor> {
    if a.dtype().is_complex() {
        return sqrt(&var_correction(a, dim, correction, keepdim)?);
    }
    let (marks, shape) = (reduced_dims(a.ndim(), dim)?, a.shape());
    let free = count(a, &marks) - correction.map_or(1.0, Scalar::to_f64);
    let dims: Vec<i64> = (0..a.ndim()).filter(|&i| marks[i]).map(|i| i as i64).collect();
    in_float([a], |[a]| {
        let out = autograd::no_grad(|| sqrt(&var_correction(a, dim, correction, keepdim)?))?;
        record("StdBackward0", &[a], out, |s, out| {
            let (x, y) = (s.save(a), s.save_output(out, 0));
            move |c, g| {
                let (x, y) = (x.get(c)?, y.get(c)?);
                // Equal values have no slope.
                let scale = div(g, &mul_scalar(&y, Scalar::Float(free))?)?;
                let scale = masked_fill_scalar(&scale, &eq_scalar(&detach(&y)?, Scalar::Int(0))?, Scalar::Int(0))?;
                Ok(grads![Some(mul(&centered(&x, &dims)?, &grow(&scale, &shape, &marks, keepdim)?)?)])
            }
        })
    })
}
pub fn std(a: &Tensor, unbiased: bool) -> Result<Tensor> {
    std_correction(a, None, Some(Scalar::Int(unbiased as i64)), false)
}
pub fn std_dim(a: &Tensor, dim: Option<&[i64]>, unbiased: bool, keepdim: bool) -> Result<Tensor> {
    std_correction(a, dim, Some(Scalar::Int(unbiased as i64)), keepdim)
}
pub fn var_mean_correction(
    a: &Tensor,
    dim: Option<&[i64]>,
    correction: Option<Scalar>,
    keepdim: bool,
) -> Result<(Tensor, Tensor)> {
    Ok((var_correction(a, dim, correction, keepdim)?, mean_dim(a, dim, keepdim, None)?))
}
pub fn std_mean_correction(
    a: &Tensor,
    dim: Option<&[i64]>,
    correction: Option<Scalar>,
    keepdim: bool,
) -> Result<(Tensor, Tensor)> {
    Ok((std_correction(a, dim, correction, keepdim)?, mean_dim(a, dim, keepdim, None)?))
}

fn prod_marks(a: &Tensor, marks: Vec<bool>, keepdim: bool, dtype: Option<DType>) -> Result<Tensor> {
    let d = sum_dtype(a, dtype);
    let a = &cast(a, d)?;
    if d.is_complex() {
        let (kept, folded): (Vec<i64>, Vec<i64>) = (0..a.ndim() as i64).partition(|i| !marks[*i as usize]);
        let moved = permute(a, &[&kept[..], &folded].concat())?;
        let mut shape: Dims = kept.iter().map(|i| a.shape()[*i as usize]).collect();
        shape.push(folded.iter().map(|i| a.shape()[*i as usize]).product());
        return reshape(&complex::prod_last(&reshape(&moved, &shape)?)?, &final_shape(&a.shape(), &marks, keepdim));
    }
    let out = reduce_raw(ReduceOp::Prod, a, &marks, keepdim, d)?;
    let shape = a.shape();
    record("ProdBackward0", &[a], out, |s, _| {
        let x = s.save(a);
        move |c, g| {
            let x = wide(&x.get(c)?)?;
            // The product of all others, exact where elements are zero: exclusive products from both ends.
            let dims: Vec<usize> = (0..shape.len()).filter(|&i| marks[i]).collect();
            let order: Vec<i64> =
                (0..shape.len()).filter(|i| !marks[*i]).chain(dims.iter().copied()).map(|i| i as i64).collect();
            let moved = permute(&x, &order)?;
            let moved_shape = moved.shape();
            let n: i64 = dims.iter().map(|&d| shape[d]).product();
            let rows: i64 = moved_shape.iter().take(shape.len() - dims.len()).product();
            let flat = reshape(&moved, &[rows, n])?;
            let one = ones(&[rows, 1], Some(x.dtype()), Some(x.device()))?;
            let others = if n == 0 {
                flat.clone()
            } else {
                let left = cumprod(&cat(&[one.clone(), narrow(&flat, 1, 0, n - 1)?], 1)?, 1, None)?;
                let back = flip(&flat, &[1])?;
                let right = flip(&cumprod(&cat(&[one, narrow(&back, 1, 0, n - 1)?], 1)?, 1, None)?, &[1])?;
                mul(&left, &right)?
            };
            let mut inverse = vec![0i64; order.len()];
            for (i, d) in order.iter().enumerate() {
                inverse[*d as usize] = i as i64;
            }
            let others = permute(&reshape(&others, &moved_shape)?, &inverse)?;
            Ok(grads![Some(mul(&grow(g, &shape, &marks, keepdim)?, &others)?)])
        }
    })
}
pub fn prod(a: &Tensor, dtype: Option<DType>) -> Result<Tensor> {
    prod_marks(a, vec![true; a.ndim()], false, dtype)
}
pub fn prod_dim(a: &Tensor, dim: i64, keepdim: bool, dtype: Option<DType>) -> Result<Tensor> {
    prod_marks(a, reduced_dims(a.ndim(), Some(&[dim]))?, keepdim, dtype)
}

/// `any` and `all` of bytes are bytes, of everything else bools.
fn truth(op: ReduceOp, a: &Tensor, marks: &[bool], keepdim: bool) -> Result<Tensor> {
    let out = reduce_raw(op, a, marks, keepdim, DType::Bool)?;
    if a.dtype() == DType::U8 {
        cast(&out, DType::U8)
    } else {
        Ok(out)
    }
}
pub fn any(a: &Tensor) -> Result<Tensor> {
    truth(ReduceOp::Any, a, &vec![true; a.ndim()], false)
}
pub fn any_dim(a: &Tensor, dim: i64, keepdim: bool) -> Result<Tensor> {
    truth(ReduceOp::Any, a, &reduced_dims(a.ndim(), Some(&[dim]))?, keepdim)
}
pub fn all(a: &Tensor) -> Result<Tensor> {
    truth(ReduceOp::All, a, &vec![true; a.ndim()], false)
}
pub fn all_dim(a: &Tensor, dim: i64, keepdim: bool) -> Result<Tensor> {
    truth(ReduceOp::All, a, &reduced_dims(a.ndim(), Some(&[dim]))?, keepdim)
}
/// Over several dimensions, or (None) all of them.
pub fn any_dims(a: &Tensor, dim: Option<&[i64]>, keepdim: bool) -> Result<Tensor> {
    truth(ReduceOp::Any, a, &listed_dims(a, dim)?, keepdim)
}
/// Over several dimensions, or (None) all of them.
pub fn all_dims(a: &Tensor, dim: Option<&[i64]>, keepdim: bool) -> Result<Tensor> {
    truth(ReduceOp::All, a, &listed_dims(a, dim)?, keepdim)
}
/// Which dimensions a list names; an empty one names none.
fn listed_dims(a: &Tensor, dim: Option<&[i64]>) -> Result<Vec<bool>> {
    match dim {
        Some([]) => Ok(vec![false; a.ndim()]),
        dim => reduced_dims(a.ndim(), dim),
    }
}
pub fn count_nonzero_dim_int_list(a: &Tensor, dim: &[i64]) -> Result<Tensor> {
    sum_dim(&ne_scalar(a, Scalar::Int(0))?, Some(dim), false, None)
}
pub fn count_nonzero(a: &Tensor, dim: Option<i64>) -> Result<Tensor> {
    let nz = ne_scalar(a, Scalar::Int(0))?;
    match dim {
        None => sum(&nz, None),
        Some(d) => sum_dim(&nz, Some(&[d]), false, None),
    }
}

fn not_empty(name: &str, a: &Tensor, marks: &[bool]) -> Result<()> {
    for (i, (s, m)) in a.shape().iter().zip(marks).enumerate() {
        ensure!(!(*m && *s == 0), Index, "{name}(): Expected reduction dim {i} to have non-zero size.");
    }
    Ok(())
}
/// amax / amin: the gradient is shared evenly among equal extremes.
fn extreme(max: bool, a: &Tensor, marks: Vec<bool>, keepdim: bool, name: &'static str) -> Result<Tensor> {
    ensure!(a.ndim() > 0 || !marks.contains(&false), Runtime, "{name}: bad dims");
    not_empty(
        if name.starts_with("Amax") || name.starts_with("Amin") {
            if max {
                "amax"
            } else {
                "amin"
            }
        } else if max {
            "max"
        } else {
            "min"
        },
        a,
        &marks,
    )?;
    let out = reduce_raw(if max { ReduceOp::Max } else { ReduceOp::Min }, a, &marks, keepdim, a.dtype())?;
    let shape = a.shape();
    record(name, &[a], out, |s, out| {
        let (x, y) = (s.save(a), s.save_output(out, 0));
        move |c, g| {
            let (x, y) = (x.get(c)?, y.get(c)?);
            let g = &wide(g)?;
            let hit = cast(&eq(&x, &grow(&y, &shape, &marks, keepdim)?)?, g.dtype())?;
            let dims: Vec<i64> = (0..shape.len()).filter(|&i| marks[i]).map(|i| i as i64).collect();
            let n = if dims.is_empty() { hit.clone() } else { sum_dim(&hit, Some(&dims), true, None)? };
            let share = div(&grow(g, &shape, &marks, keepdim)?, &n)?;
            Ok(grads![Some(mul(&share, &hit)?)])
        }
    })
}
pub fn max(a: &Tensor) -> Result<Tensor> {
    complex::no_kernel("max_all", a)?;
    whole(true, a)
}
pub fn min(a: &Tensor) -> Result<Tensor> {
    complex::no_kernel("min_all", a)?;
    whole(false, a)
}
fn whole(max: bool, a: &Tensor) -> Result<Tensor> {
    let name = if max { "max" } else { "min" };
    ensure!(
        a.numel() > 0,
        Runtime,
        "{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument."
    );
    let op = if max { ReduceOp::Max } else { ReduceOp::Min };
    let out = reduce_raw(op, a, &vec![true; a.ndim()], false, a.dtype())?;
    record_share(if max { "MaxBackward1" } else { "MinBackward1" }, a, out)
}
/// Notes a result that is one of the elements: those that are equal to it, or NaN as it is, share its gradient.
pub(super) fn record_share(name: &'static str, a: &Tensor, out: Tensor) -> Result<Tensor> {
    record(name, &[a], out, |s, out| {
        let (x, y) = (s.save(a), s.save_output(out, 0));
        move |c, g| {
            let (x, y) = (detach(&x.get(c)?)?, detach(&y.get(c)?)?);
            let hit = logical_or(&eq(&x, &y)?, &logical_and(&isnan(&x)?, &isnan(&y)?)?)?;
            let share = in_float([g], |[g]| div(g, &cast(&sum(&hit, None)?, g.dtype())?))?;
            Ok(grads![Some(masked_fill_scalar(&expand(&share, &x.shape())?, &logical_not(&hit)?, Scalar::Int(0))?)])
        }
    })
}
fn dim_needed(name: &str, a: &Tensor, dim: &[i64]) -> Result<()> {
    ensure!(
        a.numel() > 0 || !dim.is_empty(),
        Runtime,
        "{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument."
    );
    Ok(())
}
pub fn amax(a: &Tensor, dim: &[i64], keepdim: bool) -> Result<Tensor> {
    dim_needed("amax", a, dim)?;
    extreme(true, a, reduced_dims(a.ndim(), Some(dim))?, keepdim, "AmaxBackward0")
}
pub fn amin(a: &Tensor, dim: &[i64], keepdim: bool) -> Result<Tensor> {
    dim_needed("amin", a, dim)?;
    extreme(false, a, reduced_dims(a.ndim(), Some(dim))?, keepdim, "AminBackward0")
}
fn arg_extreme(max: bool, a: &Tensor, dim: Option<i64>, keepdim: bool) -> Result<Tensor> {
    let name = if max { "argmax" } else { "argmin" };
    let op = if max { ReduceOp::ArgMax } else { ReduceOp::ArgMin };
    match dim {
        None => {
            ensure!(a.numel() > 0, Index, "{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument.");
            let n = a.ndim();
            let flat = autograd::no_grad(|| reshape(a, &[-1]))?;
            let out = reduce_raw(op, &flat, &[true], false, DType::I64)?;
            if keepdim {
                out.set_layout(Layout::contiguous(&vec![1; n]))?;
            }
            Ok(out)
        }
        Some(d) => {
            let marks = reduced_dims(a.ndim(), Some(&[d]))?;
            not_empty(name, a, &marks)?;
            if a.ndim() == 0 {
                return zeros(&[], Some(DType::I64), Some(a.device()));
            }
            reduce_raw(op, a, &marks, keepdim, DType::I64)
        }
    }
}
pub fn argmax(a: &Tensor, dim: Option<i64>, keepdim: bool) -> Result<Tensor> {
    complex::refuse(a, ErrorKind::Type, "argmax(): does not support complex input")?;
    arg_extreme(true, a, dim, keepdim)
}
pub fn argmin(a: &Tensor, dim: Option<i64>, keepdim: bool) -> Result<Tensor> {
    complex::refuse(a, ErrorKind::Type, "argmin(): does not support complex input")?;
    arg_extreme(false, a, dim, keepdim)
}
/// Writes `g` at the positions that a selection along `d` took.
pub(super) fn place(g: &Tensor, shape: &[i64], d: usize, index: &Tensor, keepdim: bool) -> Result<Tensor> {
    if shape.is_empty() {
        return Ok(g.clone());
    }
    let (g, index) =
        if keepdim { (g.clone(), index.clone()) } else { (unsqueeze(g, d as i64)?, unsqueeze(index, d as i64)?) };
    scatter_add(&zeros(shape, Some(g.dtype()), Some(g.device()))?, d as i64, &index, &g)
}
fn extreme_dim(max: bool, a: &Tensor, dim: i64, keepdim: bool) -> Result<(Tensor, Tensor)> {
    let d = wrap_dim(dim, a.ndim())?;
    let index = arg_extreme(max, a, Some(dim), true)?;
    let out =
        if a.ndim() == 0 { autograd::no_grad(|| clone(a))? } else { autograd::no_grad(|| gather(a, dim, &index))? };
    if !keepdim && a.ndim() > 0 {
        let mut s = out.shape();
        s.remove(d);
        out.set_layout(Layout::contiguous(&s))?;
        index.set_layout(Layout::contiguous(&s))?;
    }
    let shape = a.shape();
    let out = record(if max { "MaxBackward0" } else { "MinBackward0" }, &[a], out, |s, _| {
        let index = s.save(&index);
        move |c, g| Ok(grads![Some(place(g, &shape, d, &index.get(c)?, keepdim)?)])
    })?;
    Ok((out, index))
}
pub fn max_dim(a: &Tensor, dim: i64, keepdim: bool) -> Result<(Tensor, Tensor)> {
    complex::refuse(a, ErrorKind::Type, "max(): does not support complex input")?;
    extreme_dim(true, a, dim, keepdim)
}
pub fn min_dim(a: &Tensor, dim: i64, keepdim: bool) -> Result<(Tensor, Tensor)> {
    complex::refuse(a, ErrorKind::Type, "min(): does not support complex input")?;
    extreme_dim(false, a, dim, keepdim)
}
pub fn max_other(a: &Tensor, other: &Tensor) -> Result<Tensor> {
    maximum(a, other)
}
pub fn min_other(a: &Tensor, other: &Tensor) -> Result<Tensor> {
    minimum(a, other)
}

/// Sorted values and their positions; stable.
pub fn sort(a: &Tensor, dim: i64, descending: bool) -> Result<(Tensor, Tensor)> {
    complex::refuse(a, ErrorKind::Type, " Sort does not support complex dtypes on CPU")?;
    let d = wrap_dim(dim, a.ndim())?;
    let shape = a.shape();
    let (values, index) =
        (Tensor::empty(&shape, a.dtype(), a.device())?, Tensor::empty(&shape, DType::I64, a.device())?);
    if a.ndim() == 0 {
        values.copy_from(a)?;
        raw_fill(&index, Scalar::Int(0))?;
    } else if a.numel() > 0 {
        let b = a.materialize();
        backend::get(b.device())?.sort(b.view(), d, descending, values.body().view(), index.body().view())?;
    }
    let values = record("SortBackward0", &[a], values, |s, _| {
        let index = s.save(&index);
        move |c, g| Ok(grads![Some(place(g, &shape, d, &index.get(c)?, true)?)])
    })?;
    Ok((values, index))
}
pub fn argsort(a: &Tensor, dim: i64, descending: bool) -> Result<Tensor> {
    complex::refuse(a, ErrorKind::Type, " Sort does not support complex dtypes on CPU")?;
    Ok(autograd::no_grad(|| sort(a, dim, descending))?.1)
}
/// The k largest (or smallest) elements along a dimension, in order.
pub fn topk(a: &Tensor, k: i64, dim: i64, largest: bool, _sorted: bool) -> Result<(Tensor, Tensor)> {
    complex::refuse(a, ErrorKind::Type, " topk does not support complex dtypes on CPU")?;
    let n = if a.ndim() == 0 { 1 } else { a.size(dim)? };
    ensure!(k >= 0 && k <= n, Runtime, "selected index k out of range: k={k} for a dimension of size {n}");
    if a.ndim() > 0 {
        let d = wrap_dim(dim, a.ndim())?;
        let (shape, mut front) = (a.shape(), a.shape());
        front[d] = k;
        let (values, index) =
            (Tensor::empty(&front, a.dtype(), a.device())?, Tensor::empty(&front, DType::I64, a.device())?);
        let b = a.materialize();
        let kernel = backend::get(b.device())?;
        if values.numel() == 0 || kernel.topk(b.view(), d, largest, values.body().view(), index.body().view())? {
            drop(b);
            let values = record("TopkBackward0", &[a], values, |s, _| {
                let index = s.save(&index);
                move |c, g| Ok(grads![Some(place(g, &shape, d, &index.get(c)?, true)?)])
            })?;
            return Ok((values, index));
        }
    }
    let (v, i) = sort(a, dim, largest)?;
    if a.ndim() == 0 {
        return Ok((v, i));
    }
    Ok((contiguous(&narrow(&v, dim, 0, k)?)?, contiguous(&narrow(&i, dim, 0, k)?)?))
}
/// The k-th smallest element along a dimension, k from 1.
pub fn kthvalue(a: &Tensor, k: i64, dim: i64, keepdim: bool) -> Result<(Tensor, Tensor)> {
    complex::no_kernel("kthvalue_cpu", a)?;
    let n = if a.ndim() == 0 { 1 } else { a.size(dim)? };
    ensure!(
        k >= 1 && k <= n,
        Runtime,
        "kthvalue(): selected number k out of range for dimension {}: k={k}, size {n}",
        wrap_dim(dim, a.ndim())?
    );
    let (v, i) = sort(a, dim, false)?;
    if a.ndim() == 0 {
        return Ok((v, i));
    }
    let (v, i) = (narrow(&v, dim, k - 1, 1)?, narrow(&i, dim, k - 1, 1)?);
    if keepdim {
        Ok((v, i))
    } else {
        Ok((squeeze_dim(&v, dim)?, squeeze_dim(&i, dim)?))
    }
}
pub fn median_dim(a: &Tensor, dim: i64, keepdim: bool) -> Result<(Tensor, Tensor)> {
    complex::no_kernel("median_cpu", a)?;
    let n = if a.ndim() == 0 { 1 } else { a.size(dim)? };
    ensure!(n > 0, Index, "median(): Expected reduction dim {dim} to have non-zero size.");
    let middle = || kthvalue(a, (n + 1) / 2, dim, true);
    if !a.dtype().is_float() || a.ndim() == 0 {
        let (v, i) = middle()?;
        return if keepdim || a.ndim() == 0 { Ok((v, i)) } else { Ok((squeeze_dim(&v, dim)?, squeeze_dim(&i, dim)?)) };
    }
    // A NaN is the median of its row: the first one.
    let index = autograd::no_grad(|| {
        let nan = isnan(a)?;
        let (_, i) = middle()?;
        where_(&any_dim(&nan, dim, true)?, &argmax(&cast(&nan, DType::U8)?, Some(dim), true)?, &i)
    })?;
    let v = gather(a, dim, &index)?;
    if keepdim {
        Ok((v, index))
    } else {
        Ok((squeeze_dim(&v, dim)?, squeeze_dim(&index, dim)?))
    }
}
/// The lower median of all elements.
pub fn median(a: &Tensor) -> Result<Tensor> {
    complex::no_kernel("median_cpu", a)?;
    if a.numel() == 0 && a.dtype().is_float() {
        // NaN, and differentiable: 0 / 0.
        return mean(a, None);
    }
    let out = autograd::no_grad(|| Ok(median_dim(&reshape(a, &[-1])?, 0, false)?.0))?;
    record_share("MedianBackward0", a, out)
}

/// log(sum(exp(x))) without overflow.
pub fn logsumexp(a: &Tensor, dim: &[i64], keepdim: bool) -> Result<Tensor> {
    in_float([a], |[a]| log_sum_exp(a, dim, keepdim))
}
fn log_sum_exp(a: &Tensor, dim: &[i64], keepdim: bool) -> Result<Tensor> {
    let marks = reduced_dims(a.ndim(), Some(dim))?;
    let a = &cast(a, pointwise::promote_float(&[a.into()]))?;
    if a.dtype().is_complex() {
        // Shifted by the largest real part; recorded as what it is made of.
        if a.numel() == 0 {
            return log(&sum_dim(&exp(a)?, Some(dim), keepdim, None)?);
        }
        let top = autograd::no_grad(|| {
            let top = amax(&real(a)?, dim, true)?;
            masked_fill_scalar(&top, &isinf(&top)?, Scalar::Int(0))
        })?;
        let sum = sum_dim(&exp(&sub(a, &top, Scalar::Int(1))?)?, Some(dim), keepdim, None)?;
        return add(&log(&sum)?, &reshape(&top, &sum.shape())?, Scalar::Int(1));
    }
    let shape = a.shape();
    let out = autograd::no_grad(|| {
        if a.numel() == 0 {
            return log(&sum_dim(&exp(a)?, Some(dim), keepdim, None)?);
        }
        let top = amax(a, dim, true)?;
        let top = masked_fill_scalar(&top, &isinf(&top)?, Scalar::Int(0))?;
        let kept =
            add(&log(&sum_dim(&exp(&sub(a, &top, Scalar::Int(1))?)?, Some(dim), true, None)?)?, &top, Scalar::Int(1))?;
        reshape(&kept, &final_shape(&shape, &marks, keepdim))
    })?;
    record("LogsumexpBackward0", &[a], out, |s, out| {
        let (x, y) = (s.save(a), s.save_output(out, 0));
        move |c, g| {
            let (x, y) = (x.get(c)?, y.get(c)?);
            let p = exp(&sub(&x, &grow(&y, &shape, &marks, keepdim)?, Scalar::Int(1))?)?;
            Ok(grads![Some(mul(&grow(g, &shape, &marks, keepdim)?, &p)?)])
        }
    })
}

/// The p-norm over dimensions (all when none are given).
pub fn norm_dim(a: &Tensor, p: Option<Scalar>, dim: Option<&[i64]>, keepdim: bool) -> Result<Tensor> {
    if a.dtype().is_complex() {
        return norm_dim(&abs(a)?, p, dim, keepdim);
    }
    ensure!(
        a.dtype().is_float(),
        Runtime,
        "linalg.vector_norm: Expected a floating point or complex tensor as input. Got {}",
        a.dtype().scalar_name()
    );
    let p = p.map_or(2.0, Scalar::to_f64);
    let dims: Vec<i64> = match dim {
        None | Some([]) => (0..a.ndim() as i64).collect(),
        Some(d) => d.to_vec(),
    };
    in_float([a], |[a]| p_norm(a, p, &dims, keepdim))
}
fn p_norm(a: &Tensor, p: f64, dims: &[i64], keepdim: bool) -> Result<Tensor> {
    let d = dims;
    if p == 2.0 {
        let out = autograd::no_grad(|| {
            let marks = reduced_dims(a.ndim(), Some(d))?;
            let s = reduce_raw(ReduceOp::SumSquares, a, &marks, keepdim, a.dtype())?;
            sqrt_(&s)?;
            Ok(s)
        })?;
        let (shape, marks) = (a.shape(), reduced_dims(a.ndim(), Some(d))?);
        return record("LinalgVectorNormBackward0", &[a], out, |s, out| {
            let (x, y) = (s.save(a), s.save_output(out, 0));
            move |c, g| {
                let (x, y) = (x.get(c)?, y.get(c)?);
                let zero = eq_scalar(&detach(&y)?, Scalar::Int(0))?;
                let y = if c.create_graph { masked_fill_scalar(&y, &zero, Scalar::Int(1))? } else { y };
                let scaled = masked_fill_scalar(&div(g, &y)?, &zero, Scalar::Int(0))?;
                Ok(grads![Some(mul(&x, &grow(&scaled, &shape, &marks, keepdim)?)?)])
            }
        });
    }
    if p == 1.0 {
        sum_dim(&abs(a)?, Some(d), keepdim, None)
    } else if p == 0.0 {
        let count = cast(&sum_dim(&ne_scalar(a, Scalar::Int(0))?, Some(d), keepdim, None)?, a.dtype())?;
        let shape = a.shape();
        record("LinalgVectorNormBackward0", &[a], count, |_, _| {
            move |_, g| Ok(grads![Some(zeros(&shape, Some(g.dtype()), Some(g.device()))?)])
        })
    } else {
        in_float([a], |[a]| norm_of_powers(a, p, d, keepdim))
    }
}
/// A norm of infinite p, or by powers; where it is zero its gradient is.
fn norm_of_powers(a: &Tensor, p: f64, dims: &[i64], keepdim: bool) -> Result<Tensor> {
    let (marks, shape) = (reduced_dims(a.ndim(), Some(dims))?, a.shape());
    ensure!(
        (p >= 0.0 && p.is_finite()) || count(a, &marks) > 0.0,
        Runtime,
        "linalg.vector_norm cannot compute the {} norm on an empty tensor because the operation does not have an identity",
        p
    );
    let out = autograd::no_grad(|| {
        let m = abs(a)?;
        if p == f64::INFINITY {
            amax(&m, dims, keepdim)
        } else if p == f64::NEG_INFINITY {
            amin(&m, dims, keepdim)
        } else {
            let total = sum_dim(&pow_scalar(&m, Scalar::Float(p))?, Some(dims), keepdim, None)?;
            pow_scalar(&total, Scalar::Float(1.0 / p))
        }
    })?;
    let dims = dims.to_vec();
    record("LinalgVectorNormBackward0", &[a], out, |s, out| {
        let (x, y) = (s.save(a), s.save_output(out, 0));
        move |c, g| {
            let (x, y) = (x.get(c)?, y.get(c)?);
            let power = |t: &Tensor, e: f64| pow_scalar(t, Scalar::Float(e));
            let zero = |t: &Tensor| eq_scalar(&detach(t)?, Scalar::Int(0));
            if p.is_infinite() {
                // Those that reach the norm share its gradient.
                let wide = grow(&detach(&y)?, &shape, &marks, keepdim)?;
                let plain = detach(&x)?;
                let hit = logical_or(&eq(&abs(&plain)?, &wide)?, &logical_and(&isnan(&plain)?, &isnan(&wide)?)?)?;
                let hit = cast(&hit, g.dtype())?;
                let n = if dims.is_empty() { hit.clone() } else { sum_dim(&hit, Some(&dims), keepdim, None)? };
                let share = grow(&div(g, &n)?, &shape, &marks, keepdim)?;
                return Ok(grads![Some(mul(&mul(&sign(&plain)?, &hit)?, &share)?)]);
            }
            // Zeros are left out before the powers, so that their second derivatives are no NaN.
            let nothing = zero(&y)?;
            let safe = masked_fill_scalar(&y, &nothing, Scalar::Int(1))?;
            let scaled = if p < 2.0 {
                let none = zero(&x)?;
                let powers = power(&masked_fill_scalar(&abs(&x)?, &none, Scalar::Int(1))?, p - 1.0)?;
                mul(&sign(&x)?, &masked_fill_scalar(&powers, &none, Scalar::Int(0))?)?
            } else {
                mul(&x, &power(&abs(&x)?, p - 2.0)?)?
            };
            let scale = if p < 1.0 { mul(g, &power(&y, 1.0 - p)?)? } else { div(g, &power(&safe, p - 1.0)?)? };
            let scale = if p < 0.0 { scale } else { masked_fill_scalar(&scale, &nothing, Scalar::Int(0))? };
            Ok(grads![Some(mul(&scaled, &grow(&scale, &shape, &marks, keepdim)?)?)])
        }
    })
}
pub fn norm(a: &Tensor, p: Scalar) -> Result<Tensor> {
    norm_dim(a, Some(p), None, false)
}
/// The p-norm of the difference.
pub fn dist(a: &Tensor, other: &Tensor, p: Scalar) -> Result<Tensor> {
    in_float([a, other], |[a, b]| norm(&sub(a, b, Scalar::Int(1))?, p))
}

fn softmax_impl(log: bool, a: &Tensor, dim: i64, dtype: Option<DType>) -> Result<Tensor> {
    let d = wrap_dim(dim, a.ndim())?;
    let a = &match dtype {
        Some(t) => cast(a, t)?,
        None => a.clone(),
    };
    ensure!(
        a.dtype().is_float(),
        NotImplemented,
        "\"{}\" not implemented for '{}'",
        if log { "log_softmax_lastdim_kernel_impl" } else { "softmax_lastdim_kernel_impl" },
        a.dtype().scalar_name()
    );
    if a.ndim() == 0 {
        return reshape(&softmax_impl(log, &reshape(a, &[1])?, 0, None)?, &[]);
    }
    let out = {
        let b = a.materialize();
        let out = Tensor::empty(b.shape(), b.dtype(), b.device())?;
        if out.numel() > 0 {
            backend::get(b.device())?.softmax(log, b.view(), d, out.body().view())?;
        }
        out
    };
    record(if log { "LogSoftmaxBackward0" } else { "SoftmaxBackward0" }, &[a], out, |s, out| {
        let y = s.save_output(out, 0);
        move |c, g| Ok(grads![Some(softmax_backward(log, g, &y.get(c)?, d)?)])
    })
}
fn softmax_backward(log: bool, g: &Tensor, y: &Tensor, d: usize) -> Result<Tensor> {
    let dim = [d as i64];
    if autograd::recording(&[g, y]) {
        // The composite, so that second derivatives follow.
        return in_float([g, y], |[g, y]| {
            if log {
                sub(g, &mul(&exp(y)?, &sum_dim(g, Some(&dim), true, None)?)?, Scalar::Int(1))
            } else {
                mul(y, &sub(g, &sum_dim(&mul(g, y)?, Some(&dim), true, None)?, Scalar::Int(1))?)
            }
        });
    }
    let (gb, yb) = (g.materialize(), y.materialize());
    let out = Tensor::empty(gb.shape(), gb.dtype(), gb.device())?;
    if out.numel() > 0 {
        backend::get(gb.device())?.softmax_backward(log, gb.view(), yb.view(), d, out.body().view())?;
    }
    Ok(out)
}
pub fn softmax(a: &Tensor, dim: i64, dtype: Option<DType>) -> Result<Tensor> {
    softmax_impl(false, a, dim, dtype)
}
pub fn log_softmax(a: &Tensor, dim: i64, dtype: Option<DType>) -> Result<Tensor> {
    softmax_impl(true, a, dim, dtype)
}
/// softmax(-a) along dim.
pub fn softmin(a: &Tensor, dim: i64, dtype: Option<DType>) -> Result<Tensor> {
    softmax(&neg(a)?, dim, dtype)
}
