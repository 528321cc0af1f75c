//! Gather, scatter, and rows selected by a vector of positions.

use super::index::{
    at_least_1d, index_advanced, index_dtype, index_put_advanced, index_vector, put_raw, rows_exist, same_rank,
};
use super::*;
use crate::autograd::{record, view as tracking};
use crate::backend::{self, ScatterOp};
use crate::base::layout::wrap_dim;
use crate::{ensure, grads, Dims};

/// out[i][j] = self[index[i][j]][j] for dim 0, and so on.
pub fn gather(a: &Tensor, dim: i64, index: &Tensor) -> Result<Tensor> {
    // Of no places even the dtype is not asked for, as in PyTorch.
    if index.dtype() == DType::I32 || (index.numel() == 0 && index.dtype() != DType::I64) {
        return gather(a, dim, &cast(index, DType::I64)?);
    }
    index_dtype("gather", index)?;
    same_rank("gather", a, index)?;
    pointwise::same_device(a, index)?;
    let d = wrap_dim(dim, a.ndim())?;
    if a.ndim() == 0 || index.ndim() == 0 {
        return reshape(&gather(&at_least_1d(a)?, 0, &at_least_1d(index)?)?, &index.shape());
    }
    let (s, si) = (a.shape(), index.shape());
    for k in 0..if si.contains(&0) { 0 } else { s.len() } {
        ensure!(
            k == d || si[k] <= s[k],
            Runtime,
            "Size does not match at dimension {k} expected index {:?} to be no larger than self {:?} apart from dimension {d}",
            &si[..],
            &s[..]
        );
    }
    let out = {
        let (b, ib) = (a.materialize(), index.materialize());
        let out = Tensor::empty(ib.shape(), b.dtype(), b.device())?;
        if out.numel() > 0 && b.dtype().is_complex() {
            let (from, at, to) = (a.as_pairs()?, complex::pair_index(index)?, out.as_pairs()?);
            backend::get(b.device())?.gather(from.body().view(), d, at.body().view(), to.body().view())?;
        } else if out.numel() > 0 {
            backend::get(b.device())?.gather(b.view(), d, ib.view(), out.body().view())?;
        }
        out
    };
    let shape = a.shape();
    record("GatherBackward0", &[a], out, |s, _| {
        let index = s.save(index);
        move |c, g| {
            let zero = zeros(&shape, Some(g.dtype()), Some(g.device()))?;
            if g.numel() == 0 {
                // No places, whose number of dimensions may be another.
                return Ok(grads![Some(zero)]);
            }
            Ok(grads![Some(scatter_add(&zero, d as i64, &index.get(c)?, g)?)])
        }
    })
}
pub(super) fn scatter_raw(op: ScatterOp, out: &Tensor, d: usize, index: &Tensor, src: &Tensor) -> Result<()> {
    if index.numel() == 0 {
        return Ok(());
    }
    if matches!(op, ScatterOp::Add | ScatterOp::Mul) && is_half(out.dtype()) {
        // Many values that meet at one place are taken together in float32.
        let (total, src) = autograd::no_grad(|| Ok::<_, Error>((cast(out, DType::F32)?, wide(src)?)))?;
        scatter_raw(op, &total, d, index, &src)?;
        return out.copy_from(&total);
    }
    if out.dtype().is_complex() {
        let name = match op {
            ScatterOp::Add | ScatterOp::Set => "",
            ScatterOp::Mul => "multiply",
            _ => "an extreme",
        };
        ensure!(
            name.is_empty(),
            NotImplemented,
            "scatter(): the reduction {name} is not implemented for '{}'",
            out.dtype().scalar_name()
        );
        let (to, at, from) = (out.as_pairs()?, complex::pair_index(index)?, src.as_pairs()?);
        let to = to.body();
        return backend::get(to.device())?.scatter(op, to.view(), d, at.body().view(), from.body().view());
    }
    let (ob, ib, sb) = (out.materialize(), index.materialize(), src.materialize());
    backend::get(ob.device())?.scatter(op, ob.view(), d, ib.view(), sb.view())
}
/// Checks one scatter and narrows `src` to the index's shape.
pub(super) fn scatter_args(name: &str, a: &Tensor, dim: i64, index: &Tensor, src: &Tensor) -> Result<(usize, Tensor)> {
    index_dtype(name, index)?;
    same_rank(name, a, index)?;
    pointwise::same_device(a, index)?;
    pointwise::same_device(a, src)?;
    ensure!(
        a.dtype() == src.dtype(),
        Runtime,
        "{}(): Expected self.dtype to be equal to src.dtype",
        name.strip_suffix("_add").unwrap_or(name)
    );
    let d = wrap_dim(dim, a.ndim())?;
    let (s, si, ss) = (a.shape(), index.shape(), src.shape());
    ensure!(
        ss.len().max(1) == si.len().max(1),
        Runtime,
        "Index tensor must have the same number of dimensions as src tensor"
    );
    // A 0-dim tensor counts as one of one element.
    let [s, si, ss] = [s, si, ss].map(|s| if s.is_empty() { Dims::from_slice(&[1]) } else { s });
    for k in 0..s.len() {
        ensure!(
            index.numel() == 0 || ((k == d || si[k] <= s[k]) && si[k] <= ss[k]),
            Runtime,
            "Expected index {:?} to be no larger than self {:?} apart from dimension {d} and to be no larger size than src {:?}",
            &si[..],
            &s[..],
            &ss[..]
        );
    }
    let mut src = src.clone();
    for k in 0..si.len().min(src.ndim()) {
        if src.shape()[k] > si[k] {
            src = narrow(&src, k as i64, 0, si[k])?;
        }
    }
    Ok((d, src))
}
fn scatter_impl(
    name: &'static str,
    op: ScatterOp,
    a: &Tensor,
    dim: i64,
    index: &Tensor,
    src: &Tensor,
) -> Result<Tensor> {
    if index.dtype() == DType::I32 {
        return scatter_impl(name, op, a, dim, &cast(index, DType::I64)?, src);
    }
    if [a, index, src].iter().any(|t| t.ndim() == 0) {
        let (wide, index, src) = (at_least_1d(a)?, at_least_1d(index)?, at_least_1d(src)?);
        return reshape(&scatter_impl(name, op, &wide, dim, &index, &src)?, &a.shape());
    }
    let (d, src) = scatter_args(name, a, dim, index, src)?;
    let out = a.contiguous_copy()?;
    scatter_raw(op, &out, d, index, &src)?;
    let d = d as i64;
    match op {
        ScatterOp::Add => record("ScatterAddBackward0", &[a, &src], out, |s, _| {
            let index = s.save(index);
            move |c, g| {
                let gs = if c.needs(1) { Some(gather(g, d, &index.get(c)?)?) } else { None };
                Ok(grads![Some(g.clone()), gs])
            }
        }),
        ScatterOp::Set => record("ScatterBackward0", &[a, &src], out, |s, _| {
            let index = s.save(index);
            move |c, g| {
                let index = index.get(c)?;
                let gs = if c.needs(1) { Some(gather(g, d, &index)?) } else { None };
                Ok(grads![Some(scatter_value(g, d, &index, Scalar::Int(0))?), gs])
            }
        }),
        _ => {
            ensure!(
                !autograd::recording(&[a, &src]),
                NotImplemented,
                "the derivative for '{name}' with this reduction is not implemented"
            );
            Ok(out)
        }
    }
}
pub fn scatter_src(a: &Tensor, dim: i64, index: &Tensor, src: &Tensor) -> Result<Tensor> {
    scatter_impl("scatter", ScatterOp::Set, a, dim, index, src)
}
pub fn scatter_add(a: &Tensor, dim: i64, index: &Tensor, src: &Tensor) -> Result<Tensor> {
    scatter_impl("scatter_add", ScatterOp::Add, a, dim, index, src)
}
pub fn scatter_value(a: &Tensor, dim: i64, index: &Tensor, value: Scalar) -> Result<Tensor> {
    let src = scalar_tensor(value, a.dtype(), a.device())?;
    scatter_src(a, dim, index, &expand(&src, &index.shape())?)
}
/// `scatter_impl` in place.
fn scatter_impl_(name: &'static str, op: ScatterOp, a: &Tensor, dim: i64, index: &Tensor, src: &Tensor) -> Result<()> {
    if index.dtype() == DType::I32 || !in_place::writes_at_once(a, &[index, src]) {
        return in_place::write_back(a, false, |x| scatter_impl(name, op, x, dim, index, src));
    }
    tracking::check_inplace(a)?;
    let (d, src) = scatter_args(name, a, dim, index, src)?;
    scatter_raw(op, a, d, index, &src)?;
    a.bump_version();
    Ok(())
}
pub fn scatter_src_(a: &Tensor, dim: i64, index: &Tensor, src: &Tensor) -> Result<()> {
    scatter_impl_("scatter", ScatterOp::Set, a, dim, index, src)
}
pub fn scatter_value_(a: &Tensor, dim: i64, index: &Tensor, value: Scalar) -> Result<()> {
    let src = scalar_tensor(value, a.dtype(), a.device())?;
    scatter_src_(a, dim, index, &expand(&src, &index.shape())?)
}
pub fn scatter_add_(a: &Tensor, dim: i64, index: &Tensor, src: &Tensor) -> Result<()> {
    scatter_impl_("scatter_add", ScatterOp::Add, a, dim, index, src)
}
/// Rows (along dim) picked by a vector of positions.
pub fn index_select(a: &Tensor, dim: i64, index: &Tensor) -> Result<Tensor> {
    let index = index_vector("index_select", index)?;
    if a.ndim() == 0 {
        wrap_dim(dim, 0)?;
        ensure!(
            index.numel() == 1,
            Index,
            "index_select(): Index to scalar can have only 1 value, got {} value(s)",
            index.numel()
        );
        rows_exist("index_select", &index, 0, 1)?;
        return clone(a);
    }
    let d = wrap_dim(dim, a.ndim())?;
    let n = a.shape()[d];
    rows_exist("index_select", &index, d, n)?;
    let mut items: Vec<Option<Tensor>> = vec![None; d];
    items.push(Some(index));
    index_advanced(a, &items)
}
/// self with alpha * source added at the rows that `index` names.
pub fn index_add(a: &Tensor, dim: i64, index: &Tensor, source: &Tensor, alpha: Scalar) -> Result<Tensor> {
    if a.ndim() == 0 {
        wrap_dim(dim, 0)?;
        return reshape(&index_add(&at_least_1d(a)?, 0, index, &at_least_1d(source)?, alpha)?, &[]);
    }
    let (items, source) = index_add_args(a, dim, index, source, alpha)?;
    index_put_advanced(a, &items, &source, true)
}
/// Checks one index_add: the indices per dimension, and the source times alpha.
fn index_add_args(
    a: &Tensor,
    dim: i64,
    index: &Tensor,
    source: &Tensor,
    alpha: Scalar,
) -> Result<(Vec<Option<Tensor>>, Tensor)> {
    let index = index_vector("index_add", index)?;
    let d = wrap_dim(dim, a.ndim())?;
    ensure!(
        source.ndim() <= d || source.shape()[d] == index.numel() as i64,
        Runtime,
        "index_add_(): Number of indices ({}) should be equal to source.size(dim): ({}), for dim: {d}",
        index.numel(),
        source.shape()[d]
    );
    let rest = |t: &Tensor| t.shape().iter().enumerate().filter(|(i, _)| *i != d).map(|(_, n)| *n).collect::<Dims>();
    ensure!(
        source.ndim() == a.ndim() && rest(a) == rest(source),
        Runtime,
        "source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = {:?} \
         source.shape = {:?}",
        &a.shape()[..],
        &source.shape()[..]
    );
    rows_exist("index_add", &index, d, a.shape().get(d).copied().unwrap_or(1))?;
    let source = if alpha.to_f64() == 1.0 { source.clone() } else { mul_scalar(&wide(source)?, alpha)? };
    let mut items: Vec<Option<Tensor>> = vec![None; d];
    items.push(Some(index));
    Ok((items, source))
}
pub fn index_add_(a: &Tensor, dim: i64, index: &Tensor, source: &Tensor, alpha: Scalar) -> Result<()> {
    if !in_place::writes_at_once(a, &[index, source]) {
        return in_place::write_back(a, false, |x| index_add(x, dim, index, source, alpha));
    }
    tracking::check_inplace(a)?;
    let (items, source) = index_add_args(a, dim, index, source, alpha)?;
    put_raw(a, &items, &source, true)?;
    a.bump_version();
    Ok(())
}
pub fn index_copy(a: &Tensor, dim: i64, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    let d = wrap_dim(dim, a.ndim())?;
    let index = index_vector("index_copy", index)?;
    let n = index.numel() as i64;
    ensure!(
        source.ndim() > 0 || n == 1,
        Index,
        "index_copy_(): When source is scalar, index should have one element (got {n})"
    );
    ensure!(
        a.dtype() == source.dtype(),
        Runtime,
        "index_copy_(): self and source expected to have the same dtype, but got (self) {} and (source) {}",
        a.dtype().scalar_name(),
        source.dtype().scalar_name()
    );
    if a.ndim() == 0 {
        ensure!(
            source.numel() == 1 && source.ndim() <= 1,
            Index,
            "index_copy_(): Source of a scalar must be one number, but got shape {:?}",
            &source.shape()[..]
        );
        return reshape(&index_copy(&at_least_1d(a)?, 0, &index, &at_least_1d(source)?)?, &[]);
    }
    let source = &if a.ndim() == 1 { at_least_1d(source)? } else { source.clone() };
    ensure!(
        source.ndim() == a.ndim() || source.ndim() == 0,
        Index,
        "index_copy_(): When source and destination are not scalars, their dimensionality must match. Source \
         dimensionality ({}), destination dimensionality ({})",
        source.ndim(),
        a.ndim()
    );
    let fits =
        source.ndim() > 0 && a.shape().iter().zip(&source.shape()).enumerate().all(|(i, (x, y))| i == d || x == y);
    ensure!(
        fits,
        Runtime,
        "index_copy_(): Source/destination tensor must have same slice shapes. Destination shape: {:?} and source shape: {:?} \
         at dimension {d}",
        &a.shape()[..],
        &source.shape()[..]
    );
    ensure!(
        n == source.shape()[d],
        Index,
        "index_copy_(): Number of indices ({n}) should be equal to source.size(dim) ({})",
        source.shape()[d]
    );
    rows_exist("index_copy", &index, d, a.shape().get(d).copied().unwrap_or(1))?;
    put_rows(a, d, index, source)
}
/// self with the rows that `index` names taken from `source` (broadcast).
fn put_rows(a: &Tensor, d: usize, index: Tensor, source: &Tensor) -> Result<Tensor> {
    let mut items: Vec<Option<Tensor>> = vec![None; d];
    items.push(Some(index));
    index_put_advanced(a, &items, source, false)
}
pub fn index_copy_(a: &Tensor, dim: i64, index: &Tensor, source: &Tensor) -> Result<()> {
    in_place::write_back(a, false, |x| index_copy(x, dim, index, source))
}
pub fn index_fill_scalar(a: &Tensor, dim: i64, index: &Tensor, value: Scalar) -> Result<Tensor> {
    index_fill(a, dim, index, &scalar_tensor(value, a.dtype(), a.device())?)
}
/// Rows filled with the value of a 0-dim tensor, differentiably; negative indices count from the end.
pub fn index_fill(a: &Tensor, dim: i64, index: &Tensor, value: &Tensor) -> Result<Tensor> {
    ensure!(
        value.ndim() == 0,
        Runtime,
        "index_fill_ only supports a 0-dimensional value tensor, but got tensor with {} dimension(s).",
        value.ndim()
    );
    if a.ndim() == 0 {
        wrap_dim(dim, 0)?;
        return reshape(&index_fill(&at_least_1d(a)?, 0, index, value)?, &[]);
    }
    let index = index_vector("index_fill", index)?;
    let d = wrap_dim(dim, a.ndim())?;
    let out = autograd::no_grad(|| put_rows(a, d, index.clone(), value))?;
    let (device, dtype) = (value.device(), value.dtype());
    record("IndexFillBackward1", &[a, value], out, |s, _| {
        let index = s.save(&index);
        move |c, g| {
            let kept = index_fill_scalar(g, d as i64, &index.get(c)?, Scalar::Int(0))?;
            // A row that is named twice counts once.
            let gv = if c.needs(1) { Some(sum(&sub(g, &kept, Scalar::Int(1))?, None)?) } else { None };
            Ok(grads![Some(kept), gv.map(|v| to_device(&cast(&v, dtype)?, device)).transpose()?])
        }
    })
}
pub fn index_fill_(a: &Tensor, dim: i64, index: &Tensor, value: &Tensor) -> Result<()> {
    in_place::write_back(a, false, |x| index_fill(x, dim, index, value))
}
pub fn index_fill_scalar_(a: &Tensor, dim: i64, index: &Tensor, value: Scalar) -> Result<()> {
    in_place::write_back(a, false, |x| index_fill_scalar(x, dim, index, value))
}
