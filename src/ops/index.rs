//! Indexing: items as in Python's brackets, selection by index or mask, embeddings.

use super::*;
use crate::autograd::{record, view as tracking};
use crate::backend::{self, memory, ValueCheck};
use crate::base::layout::{broadcast_shapes, wrap_dim};
use crate::{bail, ensure, grads, Dims};

/// One item between Python's brackets.
#[derive(Clone)]
pub enum IndexItem {
    Int(i64),
    /// start, stop (None = absent), step > 0.
    Slice(Option<i64>, Option<i64>, i64),
    NewAxis,
    Ellipsis,
    /// An integer array, or a boolean mask over as many dimensions as it has.
    Tensor(Tensor),
    Bool(bool),
}

/// The view part of an indexing, and the advanced part left over: one optional index per dimension of the view.
struct Parsed {
    view: Tensor,
    indices: Vec<Option<Tensor>>,
}

fn parse(a: &Tensor, items: &[IndexItem]) -> Result<Parsed> {
    let n = a.ndim();
    let takes = |it: &IndexItem| match it {
        IndexItem::Int(_) | IndexItem::Slice(..) => 1,
        IndexItem::Tensor(t) if matches!(t.dtype(), DType::Bool | DType::U8) => t.ndim(),
        IndexItem::Tensor(_) => 1,
        _ => 0,
    };
    let used: usize = items.iter().map(takes).sum();
    ensure!(used <= n, Index, "too many indices for tensor of dimension {n}: {used} were given");
    ensure!(
        items.iter().filter(|i| matches!(i, IndexItem::Ellipsis)).count() <= 1,
        Index,
        "an index can only have a single ellipsis ('...')"
    );
    let mut view = a.clone();
    let mut indices: Vec<Option<Tensor>> = Vec::new();
    let mut dim = 0usize;
    let pad = |indices: &mut Vec<Option<Tensor>>, dim: usize| {
        while indices.len() < dim {
            indices.push(None);
        }
    };
    for (pos, item) in items.iter().enumerate() {
        match item {
            IndexItem::Int(i) => {
                let size = view.shape()[dim];
                ensure!(
                    *i >= -size && *i < size,
                    Index,
                    "index {i} is out of bounds for dimension {pos} with size {size}"
                );
                view = select(&view, dim as i64, *i)?;
            }
            IndexItem::Slice(s, e, step) => {
                ensure!(*step > 0, Value, "step must be greater than zero");
                if s.is_some() || e.is_some() || *step != 1 {
                    view = slice(&view, dim as i64, *s, *e, *step)?;
                }
                dim += 1;
            }
            IndexItem::Ellipsis => dim += n - used,
            IndexItem::NewAxis => {
                view = unsqueeze(&view, dim as i64)?;
                dim += 1;
            }
            IndexItem::Bool(b) => {
                view = unsqueeze(&view, dim as i64)?;
                let index = if *b { vec![0i64] } else { vec![] };
                let index = Tensor::from_slice(&index, &[index.len() as i64])?;
                pad(&mut indices, dim);
                indices.push(Some(to_device(&index, a.device())?));
                dim += 1;
            }
            IndexItem::Tensor(t) if t.device() != a.device() && !t.device().is_cpu() => bail!(
                Runtime,
                "indices should be either on cpu or on the same device as the indexed tensor ({}), got {}",
                a.device(),
                t.device()
            ),
            IndexItem::Tensor(t) if matches!(t.dtype(), DType::Bool | DType::U8) => {
                let (ms, vs) = (t.shape(), view.shape());
                for (k, m) in ms.iter().enumerate() {
                    ensure!(
                        vs[dim + k] == *m,
                        Index,
                        "The shape of the mask {:?} at index {k} does not match the shape of the indexed tensor {:?} at index {}",
                        &ms[..],
                        &vs[..],
                        dim + k
                    );
                }
                if ms.is_empty() {
                    view = unsqueeze(&view, dim as i64)?;
                    let index = if t.item()?.to_bool() { vec![0i64] } else { vec![] };
                    let index = Tensor::from_slice(&index, &[index.len() as i64])?;
                    pad(&mut indices, dim);
                    indices.push(Some(to_device(&index, a.device())?));
                    dim += 1;
                    continue;
                }
                pad(&mut indices, dim);
                // Dimensions that lie like one are one here: a position is one number instead of several.
                let mut flat = Dims::from_slice(&vs[..dim]);
                flat.push(ms.iter().product());
                flat.extend_from_slice(&vs[dim + ms.len()..]);
                if ms.len() > 1 && t.is_contiguous() && view.layout().view_strides(&flat).is_some() {
                    view = super::view(&view, &flat)?;
                    let positions = reshape(&nonzero(&reshape(&t.alias_same(), &[-1])?)?, &[-1])?;
                    indices.push(Some(to_device(&positions, a.device())?));
                    dim += 1;
                    continue;
                }
                let positions = nonzero(t)?;
                for k in 0..ms.len() {
                    let column = contiguous(&select(&positions, 1, k as i64)?)?;
                    indices.push(Some(to_device(&column, a.device())?));
                }
                dim += ms.len();
            }
            IndexItem::Tensor(t) => {
                ensure!(
                    matches!(t.dtype(), DType::I64 | DType::I32 | DType::I16 | DType::I8),
                    Index,
                    "tensors used as indices must be long, int, byte or bool tensors, got {}",
                    t.dtype()
                );
                let index = cast(t, DType::I64)?;
                if !a.device().is_cpu() && t.device().is_cpu() {
                    // At hand now; a kernel's complaint would come late.
                    let n = view.shape().get(dim).copied().unwrap_or(0);
                    let bad = index.to_vec::<i64>()?.into_iter().find(|i| *i < -n || *i >= n);
                    if let Some(i) = bad {
                        bail!(Index, "index {i} is out of bounds for dimension {dim} with size {n}");
                    }
                }
                pad(&mut indices, dim);
                indices.push(Some(to_device(&index, a.device())?));
                dim += 1;
            }
        }
    }
    Ok(Parsed { view, indices })
}

/// Advanced indices brought to one shape, with the dimensions of the indexed tensor ordered so that they lead.
struct Plan {
    /// Dimension order that brings indexed dimensions to the front.
    order: Vec<i64>,
    indices: Vec<Tensor>,
    index_shape: Dims,
    /// Where the index dimensions go in the result (all indices adjacent), or the front.
    at: usize,
}
fn plan(a: &Tensor, indices: &[Option<Tensor>]) -> Result<Plan> {
    let n = a.ndim();
    let which: Vec<usize> = indices.iter().enumerate().filter(|(_, i)| i.is_some()).map(|(d, _)| d).collect();
    let mut shape = Dims::new();
    for t in indices.iter().flatten() {
        shape = match broadcast_shapes(&shape, &t.shape()) {
            Ok(s) => s,
            Err(_) => bail!(
                Index,
                "shape mismatch: indexing tensors could not be broadcast together with shapes {}",
                indices.iter().flatten().map(|t| format!("{:?}", &t.shape()[..])).collect::<Vec<_>>().join(", ")
            ),
        };
    }
    let expanded = indices.iter().flatten().map(|t| expand(t, &shape)).collect::<Result<Vec<_>>>()?;
    let adjacent = which.windows(2).all(|w| w[1] == w[0] + 1);
    let order = which.iter().copied().chain((0..n).filter(|d| !which.contains(d))).map(|d| d as i64).collect();
    Ok(Plan { order, indices: expanded, index_shape: shape, at: if adjacent { which[0] } else { 0 } })
}
/// Moves the leading `k` dimensions of `t` behind the `at` dimensions that follow them.
fn settle(t: &Tensor, k: usize, at: usize) -> Result<Tensor> {
    if at == 0 || k == 0 {
        return Ok(t.clone());
    }
    let n = t.ndim();
    let order: Vec<i64> = (k..k + at).chain(0..k).chain(k + at..n).map(|d| d as i64).collect();
    permute(t, &order)
}
/// The reverse of [`settle`].
fn unsettle(t: &Tensor, k: usize, at: usize) -> Result<Tensor> {
    if at == 0 || k == 0 {
        return Ok(t.clone());
    }
    let n = t.ndim();
    let order: Vec<i64> = (at..at + k).chain(0..at).chain(at + k..n).map(|d| d as i64).collect();
    permute(t, &order)
}

/// Advanced indexing with one optional integer index per leading dimension.
pub(super) fn index_advanced(a: &Tensor, indices: &[Option<Tensor>]) -> Result<Tensor> {
    let p = plan(a, indices)?;
    let front = permute(&a.alias_same(), &p.order)?;
    let k = p.indices.len();
    let out = {
        let fb = front.materialize();
        let (lead, rest) = (&p.index_shape[..], &fb.shape()[k..]);
        // The CPU writes every dimension where it belongs at once; devices write the indexed ones first.
        let at = if fb.device().is_cpu() { p.at } else { 0 };
        let out = Tensor::empty(&[&rest[..at], lead, &rest[at..]].concat(), fb.dtype(), fb.device())?;
        check_empty_source(fb.shape(), k, &p.index_shape)?;
        if out.numel() > 0 {
            let guards: Vec<_> = p.indices.iter().map(|t| t.materialize()).collect();
            let views: Vec<_> = guards.iter().map(|g| g.view()).collect();
            let target = autograd::no_grad(|| unsettle(&out, lead.len(), at))?;
            if fb.dtype().is_complex() {
                let (from, to) = (front.as_pairs()?, target.as_pairs()?);
                backend::get(fb.device())?.index(from.body().view(), &views, to.body().view())?;
            } else {
                let body = target.body();
                backend::get(fb.device())?.index(fb.view(), &views, body.view())?;
            }
        }
        out
    };
    let out = if a.device().is_cpu() { out } else { settle(&out, p.index_shape.len(), p.at)? };
    let out = if out.is_contiguous() { out } else { out.alias_same() };
    let (shape, indices) = (a.shape(), indices.to_vec());
    record("IndexBackward0", &[a], out, |s, _| {
        s.holds_state();
        move |_, g| {
            let zero = zeros(&shape, Some(g.dtype()), Some(g.device()))?;
            Ok(grads![Some(index_put_advanced(&zero, &indices, g, true)?)])
        }
    })
}
fn check_empty_source(front: &[i64], k: usize, index_shape: &[i64]) -> Result<()> {
    let wanted = index_shape.iter().product::<i64>() > 0;
    ensure!(!(wanted && front[..k].contains(&0)), Index, "index is out of bounds for dimension with size 0");
    Ok(())
}
/// Writes values (broadcast to the result shape of the indexing) into `a` itself, unrecorded.
pub(super) fn put_raw(a: &Tensor, indices: &[Option<Tensor>], values: &Tensor, accumulate: bool) -> Result<()> {
    let p = plan(a, indices)?;
    let front = permute(&a.alias_same(), &p.order)?;
    let k = p.indices.len();
    let fb = front.materialize();
    check_empty_source(fb.shape(), k, &p.index_shape)?;
    let mut lead = p.index_shape.clone();
    lead.extend_from_slice(&fb.shape()[k..]);
    let result_shape = settle(&Tensor::empty(&lead, DType::Bool, Device::CPU)?, p.index_shape.len(), p.at)?.shape();
    if values.ndim() > 0 {
        pointwise::same_device(a, values)?;
    }
    let inside = if accumulate && is_half(a.dtype()) { DType::F32 } else { a.dtype() };
    let values = cast(&to_device(&values.alias_same(), a.device())?, inside)?;
    let mut vs = values.shape();
    // Leading ones of the value are dropped, as in NumPy.
    while vs.len() > result_shape.len() && vs[0] == 1 {
        vs.remove(0);
    }
    let values = view(&contiguous(&values)?, &vs)?;
    let wide = match expand(&values, &result_shape) {
        Ok(v) => v,
        Err(e) if e.kind == crate::base::error::ErrorKind::OutOfMemory => return Err(e),
        Err(_) => bail!(
            Runtime,
            "shape mismatch: value tensor of shape {:?} cannot be broadcast to indexing result of shape {:?}",
            &vs[..],
            &result_shape[..]
        ),
    };
    let wide = unsettle(&wide, p.index_shape.len(), p.at)?;
    if wide.numel() == 0 {
        return Ok(());
    }
    let guards: Vec<_> = p.indices.iter().map(|t| t.materialize()).collect();
    let views: Vec<_> = guards.iter().map(|g| g.view()).collect();
    let wb = wide.materialize();
    let kernel = backend::get(fb.device())?;
    if fb.dtype().is_complex() {
        let (to, from) = (front.as_pairs()?, wide.as_pairs()?);
        return kernel.index_put(to.body().view(), &views, from.body().view(), accumulate);
    }
    if accumulate && is_half(fb.dtype()) {
        // Many values that meet at one place are added up in float32.
        drop(fb);
        let total = autograd::no_grad(|| cast(&front, DType::F32))?;
        kernel.index_put(total.body().view(), &views, wb.view(), true)?;
        return front.copy_from(&total);
    }
    kernel.index_put(fb.view(), &views, wb.view(), accumulate)
}
pub(super) fn index_put_advanced(
    a: &Tensor,
    indices: &[Option<Tensor>],
    values: &Tensor,
    accumulate: bool,
) -> Result<Tensor> {
    let out = a.contiguous_copy()?;
    put_raw(&out, indices, values, accumulate)?;
    record_put(a, out, indices, values, accumulate)
}
fn record_put(
    a: &Tensor,
    out: Tensor,
    indices: &[Option<Tensor>],
    values: &Tensor,
    accumulate: bool,
) -> Result<Tensor> {
    let (indices, vshape, vdtype) = (indices.to_vec(), values.shape(), values.dtype());
    record("IndexPutBackward0", &[a, values], out, |s, _| {
        s.holds_state();
        move |c, g| {
            let ga = match (c.needs(0), accumulate) {
                (false, _) => None,
                (true, true) => Some(g.clone()),
                (true, false) => {
                    let zero = zeros(&[], Some(g.dtype()), Some(g.device()))?;
                    Some(index_put_advanced(g, &indices, &zero, false)?)
                }
            };
            let gv = if c.needs(1) {
                let picked = index_advanced(g, &indices)?;
                let mut lead = vshape.clone();
                while lead.len() > picked.ndim() && lead[0] == 1 {
                    lead.remove(0);
                }
                Some(reshape(&cast(&sum_to_size(&picked, &lead)?, vdtype)?, &vshape)?)
            } else {
                None
            };
            Ok(grads![ga, gv])
        }
    })
}

/// `tensor[items]`: a view where only integers, slices and new axes are used, else a copy.
pub fn index_items(a: &Tensor, items: &[IndexItem]) -> Result<Tensor> {
    let p = parse(a, items)?;
    if p.indices.is_empty() {
        // Indexing always hands out a new tensor.
        return if p.view.is_same(a) { view_same(a) } else { Ok(p.view) };
    }
    index_advanced(&p.view, &p.indices)
}
fn view_same(a: &Tensor) -> Result<Tensor> {
    let out = a.alias_same();
    tracking::track(a, &out, false);
    record("AliasBackward0", &[a], out, |_, _| |_, g| Ok(grads![Some(g.clone())]))
}
/// A view of the whole tensor.
pub fn alias(a: &Tensor) -> Result<Tensor> {
    view_same(a)
}
/// `tensor[items] = value`.
pub fn index_items_put(a: &Tensor, items: &[IndexItem], value: &Tensor) -> Result<()> {
    if let [IndexItem::Tensor(mask)] = items {
        if let Some(mask) = mask_for_fill(a, mask, value)? {
            return masked_fill_(a, &mask, value);
        }
    }
    let p = parse(a, items)?;
    if p.indices.is_empty() {
        let mut vs = value.shape();
        while vs.len() > p.view.ndim() && vs[0] == 1 {
            vs.remove(0);
        }
        let value = if vs.len() == value.ndim() { value.clone() } else { reshape(value, &vs)? };
        return if p.view.is_same(a) { copy_(&view_same(a)?, &value) } else { copy_(&p.view, &value) };
    }
    put_impl(&p.view, &p.indices, value, false)
}
/// The mask of `tensor[mask] = number`, broadcast over the tensor: no positions have to be counted, for which a device would
/// be waited for. None where the general way must be gone.
fn mask_for_fill(a: &Tensor, mask: &Tensor, value: &Tensor) -> Result<Option<Tensor>> {
    let (shape, n) = (a.shape(), mask.ndim());
    let plain = value.ndim() == 0 && value.dtype() == a.dtype() && mask.dtype() == DType::Bool;
    let fits = n > 0 && n <= shape.len() && mask.shape()[..] == shape[..n];
    let known = (mask.device() == a.device() || mask.device().is_cpu())
        && (value.device() == a.device() || value.device().is_cpu());
    if !plain || !fits || !known || std::sync::Arc::ptr_eq(&mask.storage(), &a.storage()) {
        return Ok(None);
    }
    let mut sizes = mask.shape();
    sizes.resize(shape.len(), 1);
    reshape(&to_device(mask, a.device())?, &sizes).map(Some)
}
/// `tensor[items] = number`.
pub fn index_items_fill(a: &Tensor, items: &[IndexItem], value: Scalar) -> Result<()> {
    create::check_fits(value, a.dtype())?;
    let dtype = if value.is_float() && !a.dtype().is_inexact() { DType::F64 } else { a.dtype() };
    let v = scalar_tensor(value, dtype, a.device())?;
    index_items_put(a, items, &v)
}
fn put_impl(a: &Tensor, indices: &[Option<Tensor>], values: &Tensor, accumulate: bool) -> Result<()> {
    tracking::check_inplace(a)?;
    let edge = autograd::gradient_edge(a);
    let recording = autograd::recording(&[a, values]);
    put_raw(a, indices, values, accumulate)?;
    a.bump_version();
    if !recording {
        return Ok(());
    }
    let ghost = a.alias_same();
    if edge.is_some() {
        autograd::meta::set_history(&ghost, edge);
    }
    let out = record_put(&ghost, a.alias_same(), indices, values, accumulate)?;
    tracking::rebase(a, autograd::gradient_edge(&out))
}
/// Advanced indexing by a list of optional index tensors (masks allowed).
pub fn index(a: &Tensor, indices: &[Option<Tensor>]) -> Result<Tensor> {
    index_items(a, &items_of(indices))
}
fn items_of(indices: &[Option<Tensor>]) -> Vec<IndexItem> {
    indices
        .iter()
        .map(|i| match i {
            Some(t) => IndexItem::Tensor(t.clone()),
            None => IndexItem::Slice(None, None, 1),
        })
        .collect()
}
pub fn index_put_(a: &Tensor, indices: &[Option<Tensor>], values: &Tensor, accumulate: bool) -> Result<()> {
    let p = parse(a, &items_of(indices))?;
    ensure!(!p.indices.is_empty(), Index, "index_put_: at least one index tensor is needed");
    put_impl(&p.view, &p.indices, values, accumulate)
}
pub fn index_put(a: &Tensor, indices: &[Option<Tensor>], values: &Tensor, accumulate: bool) -> Result<Tensor> {
    let out = clone(a)?;
    index_put_(&out, indices, values, accumulate)?;
    Ok(out)
}

pub(super) fn index_dtype(name: &str, index: &Tensor) -> Result<()> {
    ensure!(
        index.dtype() == DType::I64,
        Runtime,
        "{name}(): Expected dtype int32/int64 for index, got {}",
        index.dtype()
    );
    Ok(())
}
pub(super) fn same_rank(name: &str, a: &Tensor, index: &Tensor) -> Result<()> {
    ensure!(
        a.ndim().max(1) == index.ndim().max(1) || (index.numel() == 0 && name == "gather"),
        Runtime,
        "Index tensor must have the same number of dimensions as {} tensor",
        if name == "gather" { "input" } else { "self" }
    );
    Ok(())
}
/// A 0-dim tensor read as 1-dim.
pub(super) fn at_least_1d(a: &Tensor) -> Result<Tensor> {
    if a.ndim() == 0 {
        reshape(a, &[1])
    } else {
        Ok(a.clone())
    }
}
pub(super) fn index_vector(name: &str, index: &Tensor) -> Result<Tensor> {
    ensure!(index.ndim() <= 1, Index, "{name}(): Index is supposed to be a vector, got {} dimensions", index.ndim());
    ensure!(
        matches!(index.dtype(), DType::I64 | DType::I32),
        Runtime,
        "{name}(): Expected dtype int32 or int64 for index, got {}",
        index.dtype()
    );
    at_least_1d(&cast(index, DType::I64)?)
}
/// An error unless all positions lie in [0, n): here at once, on a device at the next read.
pub(super) fn rows_exist(op: &str, index: &Tensor, d: usize, n: i64) -> Result<()> {
    if !index.device().is_cpu() {
        return check_values(index, Scalar::Int(0), Scalar::Int(n - 1), ValueCheck::Rows);
    }
    if let Some(bad) = index.to_vec::<i64>()?.iter().find(|i| **i < 0 || **i >= n) {
        bail!(Index, "{op}(): index {bad} out of range for dimension {d} with size {n}");
    }
    Ok(())
}
/// On a device: an error of the next read unless all values lie in [low, high].
pub(super) fn check_values(t: &Tensor, low: Scalar, high: Scalar, what: ValueCheck) -> Result<()> {
    let b = t.materialize();
    backend::get(b.device())?.check_values(b.view(), low, high, what)
}

/// Positions of nonzero elements as rows; waits for the device.
pub fn nonzero(a: &Tensor) -> Result<Tensor> {
    if a.dtype().is_complex() && a.ndim() > 0 {
        return nonzero(&autograd::no_grad(|| ne_scalar(a, Scalar::Int(0)))?);
    }
    let n = a.ndim() as i64;
    let b = a.materialize();
    if n == 0 {
        let k = a.item()?.to_bool() as i64;
        return zeros(&[k, 0], Some(DType::I64), Some(b.device()));
    }
    let flat = if b.layout().numel() == 0 { vec![] } else { backend::get(b.device())?.nonzero(b.view())? };
    let rows = flat.len() as i64 / n;
    to_device(&Tensor::from_slice(&flat, &[rows, n])?, b.device())
}
/// The name that `nonzero` has as well.
pub fn argwhere(a: &Tensor) -> Result<Tensor> {
    nonzero(a)
}
/// One index vector per dimension (`nonzero(as_tuple=True)`).
pub fn nonzero_numpy(a: &Tensor) -> Result<Vec<Tensor>> {
    let n = nonzero(&at_least_1d(a)?)?;
    memory::try_collect(unbind(&n, 1)?.iter().map(contiguous))
}
/// The elements where the mask is true, as a vector.
pub fn masked_select(a: &Tensor, mask: &Tensor) -> Result<Tensor> {
    ensure!(mask.dtype() == DType::Bool, Runtime, "masked_select: expected BoolTensor for mask, got {}", mask.dtype());
    let s = broadcast_shapes(&a.shape(), &mask.shape())?;
    index_items(&expand(a, &s)?, &[IndexItem::Tensor(contiguous(&expand(mask, &s)?)?)])
}
/// Elements of the flattened tensor.
pub fn take(a: &Tensor, index: &Tensor) -> Result<Tensor> {
    ensure!(
        index.dtype() == DType::I64,
        Index,
        "take(): Expected a long tensor for index, but got {}",
        index.dtype().scalar_name()
    );
    index_advanced(&reshape(a, &[-1])?, &[Some(index.clone())])
}
pub fn take_along_dim(a: &Tensor, indices: &Tensor, dim: Option<i64>) -> Result<Tensor> {
    ensure!(
        indices.dtype() == DType::I64,
        Runtime,
        "torch.take_along_dim(): dtype of indices should be Long but got {}",
        indices.dtype().scalar_name()
    );
    match dim {
        None => gather(&reshape(a, &[-1])?, 0, &reshape(indices, &[-1])?),
        Some(d) if a.ndim() == 0 && indices.ndim() == 0 => gather(a, d, indices),
        Some(d) => {
            let w = wrap_dim(d, a.ndim())?;
            let (mut sa, mut si) = (a.shape(), indices.shape());
            ensure!(sa.len() == si.len(), Runtime, "torch.take_along_dim(): input and indices should have the same number of dimensions, but got {} dimensions for input, and {} dimensions for indices", sa.len(), si.len());
            (sa[w], si[w]) = (1, 1);
            let mut s = broadcast_shapes(&sa, &si)?;
            s[w] = indices.shape()[w];
            // Along a dimension indices count round and round, as PyTorch's do.
            let n = a.shape()[w];
            let inside = if n > 0 { remainder_scalar(indices, Scalar::Int(n))? } else { indices.clone() };
            let wide = expand(&inside, &s)?;
            s[w] = n;
            gather(&expand(a, &s)?, d, &wide)
        }
    }
}
/// Each element (of the flattened tensor, or along dim) repeated.
pub fn repeat_interleave_int(a: &Tensor, repeats: i64, dim: Option<i64>) -> Result<Tensor> {
    ensure!(repeats >= 0, Runtime, "Repeats must be non-negative, got {repeats}");
    let (x, d) = match dim {
        Some(d) => (at_least_1d(a)?, d),
        None => (reshape(a, &[-1])?, 0),
    };
    let d = wrap_dim(d, x.ndim())? as i64;
    let mut s = x.shape();
    let wide = unsqueeze(&x, d + 1)?;
    let mut e = wide.shape();
    e[d as usize + 1] = repeats;
    s[d as usize] = crate::base::layout::checked_numel(&[s[d as usize], repeats])? as i64;
    contiguous(&reshape(&expand(&wide, &e)?, &s)?)
}
/// Each element repeated by its own count.
pub fn repeat_interleave(a: &Tensor, repeats: &Tensor, dim: Option<i64>) -> Result<Tensor> {
    let (x, d) = match dim {
        Some(d) => (at_least_1d(a)?, d),
        None => (reshape(a, &[-1])?, 0),
    };
    let n = x.size(d)?;
    let counts = repeats.to_i64_vec()?;
    let counts = if counts.len() == 1 { memory::filled(n as usize, counts[0])? } else { counts };
    ensure!(
        counts.len() as i64 == n,
        Runtime,
        "repeats must have the same size as input along dim, but got repeats.size(0) = {} and input.size({d}) = {n}",
        counts.len()
    );
    ensure!(counts.iter().all(|c| *c >= 0), Runtime, "repeats can not be negative");
    let total = counts.iter().try_fold(0i64, |n, c| n.checked_add(*c)).unwrap_or(i64::MAX);
    crate::base::layout::checked_numel(&[total, 8])?;
    let mut rows = memory::with_capacity(total as usize)?;
    rows.extend(counts.iter().enumerate().flat_map(|(i, c)| std::iter::repeat_n(i as i64, *c as usize)));
    let index = to_device(&Tensor::from_slice(&rows, &[total])?, a.device())?;
    index_select(&x, d, &index)
}
/// Rows of `weight` picked by integer indices; the gradient of row `padding_idx` is zero.
pub fn embedding(weight: &Tensor, indices: &Tensor, padding_idx: i64) -> Result<Tensor> {
    ensure!(weight.ndim() == 2, Runtime, "'weight' must be 2-D, got {}-D", weight.ndim());
    ensure!(
        matches!(indices.dtype(), DType::I64 | DType::I32),
        Runtime,
        "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got torch.{}Tensor instead (while checking arguments for embedding)",
        indices.dtype().scalar_name()
    );
    let n = weight.shape()[0];
    let index = cast(indices, DType::I64)?;
    if !index.device().is_cpu() {
        check_values(&index, Scalar::Int(0), Scalar::Int(n - 1), ValueCheck::Rows)?;
    } else if index.to_vec::<i64>()?.iter().any(|i| *i < 0 || *i >= n) {
        bail!(Index, "index out of range in self: embedding has {n} rows");
    }
    let out = autograd::no_grad(|| index_advanced(weight, &[Some(index.clone())]))?;
    let shape = weight.shape();
    record("EmbeddingBackward0", &[weight], out, |s, _| {
        let index = s.save(&index);
        move |c, g| {
            let index = index.get(c)?;
            let g = if padding_idx >= 0 {
                masked_fill_scalar(g, &unsqueeze(&eq_scalar(&index, Scalar::Int(padding_idx))?, -1)?, Scalar::Int(0))?
            } else {
                g.clone()
            };
            let zero = zeros(&shape, Some(g.dtype()), Some(g.device()))?;
            Ok(grads![Some(index_put_advanced(&zero, &[Some(index)], &g, true)?)])
        }
    })
}
/// embedding with PyTorch's further options: rows that are used are scaled down, in place, to a norm of at most max_norm;
/// the gradient is divided by how often each index occurs.
pub fn embedding_full(
    weight: &Tensor,
    indices: &Tensor,
    padding_idx: Option<i64>,
    max_norm: Option<f64>,
    norm_type: f64,
    scale_grad_by_freq: bool,
) -> Result<Tensor> {
    let padding = match padding_idx {
        None => -1,
        Some(p) => {
            let n = weight.size(0)?;
            ensure!(-n <= p && p < n, Runtime, "Padding_idx must be within num_embeddings");
            p.rem_euclid(n)
        }
    };
    if let Some(max_norm) = max_norm {
        embedding_renorm_(weight, indices, max_norm, norm_type)?;
    }
    let rows = embedding(weight, indices, padding)?;
    if !scale_grad_by_freq || !autograd::recording(&[&rows]) {
        return Ok(rows);
    }
    // The rows' values, with a gradient divided by how often each index occurs.
    let flat = reshape(&cast(indices, DType::I64)?, &[-1])?;
    let often = reshape(&index_select(&bincount(&flat, None, 0)?, 0, &flat)?, &indices.shape())?;
    let often = unsqueeze(&cast(&often, rows.dtype())?, -1)?;
    let plain = detach(&rows)?;
    let share = div(&sub(&rows, &plain, Scalar::Int(1))?, &often)?;
    add(&plain, &share, Scalar::Int(1))
}
/// Scales the rows that indices name, in place and unrecorded, to a norm of at most max_norm.
pub fn embedding_renorm_(weight: &Tensor, indices: &Tensor, max_norm: f64, norm_type: f64) -> Result<()> {
    ensure!(weight.ndim() == 2, Runtime, "'self' must be 2-D, got {}-D", weight.ndim());
    autograd::no_grad(|| {
        let index = reshape(&cast(indices, DType::I64)?, &[-1])?;
        // An index that occurs twice is scaled to the same numbers twice.
        let rows = embedding(weight, &index, -1)?;
        let norms = norm_dim(&rows, Some(Scalar::Float(norm_type)), Some(&[1]), true)?;
        let small = add_scalar(&norms, Scalar::Float(1e-7), Scalar::Int(1))?;
        let scale = mul_scalar(&reciprocal(&small)?, Scalar::Float(max_norm))?;
        let scaled = mul(&rows, &clamp_max(&scale, Scalar::Float(1.0))?)?;
        index_copy_(weight, 0, &index, &scaled)
    })
}
/// Integer classes to rows of 0 and 1 (int64).
pub fn one_hot(a: &Tensor, num_classes: i64) -> Result<Tensor> {
    ensure!(
        a.dtype() == DType::I64,
        Runtime,
        "one_hot is only applicable to index tensor of type LongTensor, got {}",
        a.dtype()
    );
    let n = if num_classes == -1 {
        ensure!(a.numel() > 0, Runtime, "Can not infer total number of classes from empty tensor.");
        max(a)?.item()?.to_i64().saturating_add(1)
    } else {
        num_classes
    };
    if !a.device().is_cpu() && n > 0 {
        // Looking at the values would wait for the device, whose kernel reports bad ones.
        check_values(a, Scalar::Int(0), Scalar::Int(n - 1), ValueCheck::Class)?;
        let shape: Vec<i64> = a.shape().iter().copied().chain([n]).collect();
        let none = zeros(&shape, Some(DType::I64), Some(a.device()))?;
        return scatter_value(&none, -1, &unsqueeze(a, -1)?, Scalar::Int(1));
    }
    if a.numel() > 0 {
        ensure!(min(a)?.item()?.to_i64() >= 0, Runtime, "Class values must be non-negative.");
        ensure!(max(a)?.item()?.to_i64() < n, Runtime, "Class values must be smaller than num_classes.");
    }
    let shape: Vec<i64> = a.shape().iter().copied().chain([n]).collect();
    let out = zeros(&shape, Some(DType::I64), Some(a.device()))?;
    if a.numel() > 0 {
        scatter_value_(&out, -1, &unsqueeze(a, -1)?, Scalar::Int(1))?;
    }
    Ok(out)
}
/// How often each non-negative integer occurs (weighted when weights are given).
pub fn bincount(a: &Tensor, weights: Option<&Tensor>, minlength: i64) -> Result<Tensor> {
    complex::no_kernel("bincount_cpu", a)?;
    ensure!(
        a.ndim() == 1 && !a.dtype().is_float(),
        Runtime,
        "bincount only supports 1-d non-negative integral inputs."
    );
    ensure!(minlength >= 0, Runtime, "minlength should be >= 0");
    let x = cast(a, DType::I64)?;
    let n = if a.numel() == 0 {
        minlength
    } else {
        ensure!(min(&x)?.item()?.to_i64() >= 0, Runtime, "bincount only supports 1-d non-negative integral inputs.");
        max(&x)?.item()?.to_i64().saturating_add(1).max(minlength)
    };
    if let Some(w) = weights {
        ensure!(w.shape() == a.shape(), Runtime, "weights should be 1-d and have the same length as input");
    }
    autograd::no_grad(|| {
        let w = match weights {
            Some(w) => cast(w, if w.dtype() == DType::F32 { DType::F32 } else { DType::F64 })?,
            None => expand(&ones(&[1], Some(DType::I64), Some(x.device()))?, &x.shape())?,
        };
        let out = zeros(&[n], Some(w.dtype()), Some(x.device()))?;
        scatter_add_(&out, 0, &x, &w)?;
        Ok(out)
    })
}
