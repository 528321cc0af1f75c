//! Views and the ops that move elements without computing: each with its derivative beside it.

use super::*;
use crate::autograd::{record, view as tracking};
use crate::backend::memory;
use crate::base::layout::{checked_numel, wrap_dim};
use crate::{bail, ensure, grads, Dims};

/// A view of `a` under another layout; `back` turns its gradient into that of `a`.
fn view_of<F>(name: &'static str, a: &Tensor, layout: Layout, back: F) -> Result<Tensor>
where
    F: Fn(&Ctx, &Tensor) -> Result<Grads> + Send + Sync + 'static,
{
    let out = a.alias(layout)?;
    tracking::track(a, &out, false);
    record(name, &[a], out, |_, _| back)
}

/// Resolves one -1 in a target shape.
fn infer_shape(shape: &[i64], numel: usize) -> Result<Dims> {
    let mut out = Dims::from_slice(shape);
    let mut known: i64 = 1;
    let mut infer = None;
    for (i, &s) in shape.iter().enumerate() {
        if s == -1 {
            ensure!(infer.is_none(), Runtime, "only one dimension can be inferred");
            infer = Some(i);
        } else {
            ensure!(s >= 0, Runtime, "invalid shape dimension {s} at index {i} of shape {shape:?}");
            known = known.saturating_mul(s);
        }
    }
    let numel = numel as i64;
    if let Some(i) = infer {
        ensure!(
            known != 0,
            Runtime,
            "{}",
            if numel == 0 {
                format!("cannot reshape tensor of 0 elements into shape {shape:?} because the unspecified dimension size -1 can be any value and is ambiguous")
            } else {
                format!("shape '{shape:?}' is invalid for input of size {numel}")
            }
        );
        out[i] = numel / known;
        known *= out[i];
    }
    ensure!(known == numel, Runtime, "shape '{shape:?}' is invalid for input of size {numel}");
    Ok(out)
}
fn reshape_grad(g: &Tensor, shape: &[i64]) -> Result<Grads> {
    Ok(grads![Some(reshape(g, shape)?)])
}
fn view_as_shape(name: &'static str, a: &Tensor, shape: Dims) -> Result<Option<Tensor>> {
    let old = a.layout();
    let Some(strides) = old.view_strides(&shape) else { return Ok(None) };
    let layout = Layout { shape, strides, offset: old.offset };
    view_of(name, a, layout, move |_, g| reshape_grad(g, &old.shape)).map(Some)
}
pub fn view(a: &Tensor, size: &[i64]) -> Result<Tensor> {
    let shape = infer_shape(size, a.numel())?;
    match view_as_shape("ViewBackward0", a, shape)? {
        Some(t) => Ok(t),
        None => bail!(Runtime, "view size is not compatible with input tensor's size and stride (at least one dimension spans across two contiguous subspaces). Use .reshape(...) instead. (view {size:?} of a tensor of size {:?} and stride {:?})", &a.shape()[..], &a.strides()[..]),
    }
}
pub fn view_as(a: &Tensor, other: &Tensor) -> Result<Tensor> {
    view(a, &other.shape())
}
/// A view where that is possible, else a copy.
pub fn reshape(a: &Tensor, shape: &[i64]) -> Result<Tensor> {
    let target = infer_shape(shape, a.numel())?;
    match view_as_shape("ViewBackward0", a, target.clone())? {
        Some(t) => Ok(t),
        None => view(&contiguous(a)?, &target),
    }
}
pub fn reshape_as(a: &Tensor, other: &Tensor) -> Result<Tensor> {
    reshape(a, &other.shape())
}
/// [`wrap_dim`] of the argument at an index, where a function takes several dimensions.
fn dim_at(argument: usize, dim: i64, ndim: usize) -> Result<usize> {
    wrap_dim(dim, ndim).map_err(|e| e.with_arg(argument))
}
pub fn flatten(a: &Tensor, start_dim: i64, end_dim: i64) -> Result<Tensor> {
    let s = a.shape();
    if s.is_empty() {
        return reshape(a, &[1]);
    }
    let (i, j) = (dim_at(1, start_dim, s.len())?, dim_at(2, end_dim, s.len())?);
    ensure!(i <= j, Runtime, "flatten() has invalid args: start_dim cannot come after end_dim");
    let mut shape = Dims::from_slice(&s[..i]);
    shape.push(s[i..=j].iter().product());
    shape.extend_from_slice(&s[j + 1..]);
    if shape == s {
        return Ok(a.clone());
    }
    reshape(a, &shape)
}
pub fn ravel(a: &Tensor) -> Result<Tensor> {
    reshape(a, &[-1])
}
pub fn unflatten(a: &Tensor, dim: i64, sizes: &[i64]) -> Result<Tensor> {
    let s = a.shape();
    let d = wrap_dim(dim, s.len())?;
    ensure!(!sizes.is_empty(), Runtime, "unflatten: sizes must be non-empty");
    let size = a.size(dim)?;
    let sizes = match infer_shape(sizes, size as usize) {
        Err(_) if sizes.iter().filter(|s| **s < 0).count() < 2 => bail!(
            Runtime,
            "unflatten: Provided sizes {sizes:?} don't multiply up to the size of dim {d} ({size}) in the input tensor"
        ),
        sizes => sizes?,
    };
    let mut shape = Dims::from_slice(&s[..d]);
    shape.extend_from_slice(&sizes);
    shape.extend_from_slice(&s[d + 1..]);
    view(a, &shape)
}

pub fn permute(a: &Tensor, dims: &[i64]) -> Result<Tensor> {
    let l = a.layout();
    let n = l.ndim();
    ensure!(
        dims.len() == n,
        Runtime,
        "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired ordering of dimensions i.e. input.dim() = {n} is not equal to len(dims) = {}",
        dims.len()
    );
    let mut seen = vec![false; n];
    let mut layout = Layout { shape: Dims::new(), strides: Dims::new(), offset: l.offset };
    let mut inverse: Dims = Dims::from_elem(0, n);
    for (i, &d) in dims.iter().enumerate() {
        let d = wrap_dim(d, n)?;
        ensure!(!seen[d], Runtime, "permute(): duplicate dims are not allowed.");
        seen[d] = true;
        layout.shape.push(l.shape[d]);
        layout.strides.push(l.strides[d]);
        inverse[d] = i as i64;
    }
    view_of("PermuteBackward0", a, layout, move |_, g| Ok(grads![Some(permute(g, &inverse)?)]))
}
pub fn transpose(a: &Tensor, dim0: i64, dim1: i64) -> Result<Tensor> {
    let mut l = a.layout();
    let (i, j) = (dim_at(1, dim0, l.ndim())?, dim_at(2, dim1, l.ndim())?);
    if l.ndim() > 0 {
        l.shape.swap(i, j);
        l.strides.swap(i, j);
    }
    view_of("TransposeBackward0", a, l, move |_, g| Ok(grads![Some(transpose(g, i as i64, j as i64)?)]))
}
/// Transpose of a tensor of at most two dimensions.
pub fn t(a: &Tensor) -> Result<Tensor> {
    let n = a.ndim();
    ensure!(n <= 2, Runtime, "t() expects a tensor with <= 2 dimensions, but self is {n}D");
    if n < 2 {
        return view_of("TBackward0", a, a.layout(), |_, g| Ok(grads![Some(g.clone())]));
    }
    let mut l = a.layout();
    l.shape.swap(0, 1);
    l.strides.swap(0, 1);
    view_of("TBackward0", a, l, |_, g| Ok(grads![Some(t(g)?)]))
}
/// All dimensions reversed (`.T`).
pub fn numpy_t(a: &Tensor) -> Result<Tensor> {
    let dims: Dims = (0..a.ndim() as i64).rev().collect();
    permute(a, &dims)
}
/// The last two dimensions swapped (`.mT`).
pub fn mt(a: &Tensor) -> Result<Tensor> {
    ensure!(
        a.ndim() >= 2,
        Runtime,
        "tensor.mT is only supported on matrices or batches of matrices. Got {}-D tensor.",
        a.ndim()
    );
    transpose(a, -2, -1)
}
pub fn movedim(a: &Tensor, source: &[i64], destination: &[i64]) -> Result<Tensor> {
    let n = a.ndim();
    ensure!(
        source.len() == destination.len(),
        Runtime,
        "movedim: Invalid source or destination dims: source ({source:?} dims) should contain the same number of dims as destination ({destination:?} dims)"
    );
    // A 0-dim tensor counts as one of one dimension.
    let mut order: Vec<Option<usize>> = vec![None; n.max(1)];
    let mut used = vec![false; n.max(1)];
    for (what, dims) in [("source", source), ("destination", destination)] {
        let mut seen = vec![false; n.max(1)];
        for &d in dims {
            let d = dim_at(if what == "source" { 1 } else { 2 }, d, n)?;
            ensure!(!seen[d], Runtime, "movedim: repeated dim in `{what}` ({dims:?})");
            seen[d] = true;
        }
    }
    for (&s, &d) in source.iter().zip(destination) {
        let (s, d) = (dim_at(1, s, n)?, dim_at(2, d, n)?);
        used[s] = true;
        order[d] = Some(s);
    }
    let mut rest = (0..n).filter(|i| !used[*i]);
    let dims: Vec<i64> = order[..n].iter().map(|o| o.or_else(|| rest.next()).map_or(0, |d| d as i64)).collect();
    permute(a, &dims)
}

pub fn unsqueeze(a: &Tensor, dim: i64) -> Result<Tensor> {
    let mut l = a.layout();
    let d = wrap_dim(dim, l.ndim() + 1)?;
    let stride = if d < l.ndim() { l.shape[d].saturating_mul(l.strides[d]) } else { 1 };
    l.shape.insert(d, 1);
    l.strides.insert(d, stride);
    view_of("UnsqueezeBackward0", a, l, move |_, g| Ok(grads![Some(squeeze_dim(g, d as i64)?)]))
}
fn drop_dims(name: &'static str, a: &Tensor, drop: impl Fn(usize) -> bool) -> Result<Tensor> {
    let l = a.layout();
    let keep: Vec<usize> = (0..l.ndim()).filter(|&d| !drop(d) || l.shape[d] != 1).collect();
    let layout = Layout {
        shape: keep.iter().map(|&d| l.shape[d]).collect(),
        strides: keep.iter().map(|&d| l.strides[d]).collect(),
        offset: l.offset,
    };
    view_of(name, a, layout, move |_, g| reshape_grad(g, &l.shape))
}
/// Removes all dimensions of size 1.
pub fn squeeze(a: &Tensor) -> Result<Tensor> {
    drop_dims("SqueezeBackward0", a, |_| true)
}
pub fn squeeze_dim(a: &Tensor, dim: i64) -> Result<Tensor> {
    let d = wrap_dim(dim, a.ndim())?;
    drop_dims("SqueezeBackward1", a, |i| i == d)
}
pub fn squeeze_dims(a: &Tensor, dim: &[i64]) -> Result<Tensor> {
    let dims = dim.iter().map(|d| wrap_dim(*d, a.ndim())).collect::<Result<Vec<_>>>()?;
    drop_dims("SqueezeBackward2", a, |i| dims.contains(&i))
}

/// Repeats size-1 dimensions without a copy; -1 keeps a size.
pub fn expand(a: &Tensor, size: &[i64]) -> Result<Tensor> {
    let l = a.layout();
    let (n, m) = (l.ndim(), size.len());
    ensure!(
        m >= n,
        Runtime,
        "expand(torch.FloatTensor{{{:?}}}, size={size:?}): the number of sizes provided ({m}) must be greater or equal to the number of dimensions in the tensor ({n})",
        &l.shape[..]
    );
    let mut target = Dims::from_slice(size);
    for (i, s) in target.iter_mut().enumerate() {
        if *s == -1 {
            ensure!(
                i + n >= m,
                Runtime,
                "expand: The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension {i}"
            );
            *s = l.shape[i + n - m];
        }
        ensure!(*s >= 0, Runtime, "expand: size {s} at dimension {i} is negative");
    }
    checked_numel(&target)?;
    let layout = l.broadcast_to(&target)?;
    view_of("ExpandBackward0", a, layout, move |_, g| Ok(grads![Some(sum_to_size(g, &l.shape)?)]))
}
pub fn expand_as(a: &Tensor, other: &Tensor) -> Result<Tensor> {
    expand(a, &other.shape())
}
pub fn broadcast_to(a: &Tensor, size: &[i64]) -> Result<Tensor> {
    expand(a, size)
}
/// All tensors expanded to their common shape.
pub fn broadcast_tensors(tensors: &[Tensor]) -> Result<Vec<Tensor>> {
    let mut shape = Dims::new();
    for t in tensors {
        shape = crate::base::layout::broadcast_shapes(&shape, &t.shape())?;
    }
    views(tensors.len() as i64, tensors.iter().map(|t| expand(t, &shape)))
}

/// Gradient of a window on `a`: zero around it.
fn embed(g: &Tensor, base: &[i64], window: &Layout) -> Result<Tensor> {
    // The gradient's own memory is laid out row-major over `base`.
    let whole = Layout::contiguous(base);
    as_strided_backward(g, &whole, window)
}
/// The window of a contiguous tensor of `shape` that selects along `d`.
fn row_major_window(shape: &[i64], d: usize, start: i64, len: i64, step: i64) -> Layout {
    let mut l = Layout::contiguous(shape);
    l.offset = start * l.strides[d];
    l.shape[d] = len;
    l.strides[d] = l.strides[d].saturating_mul(step);
    l
}

/// Index `index` of dimension `dim`, which disappears.
pub fn select(a: &Tensor, dim: i64, index: i64) -> Result<Tensor> {
    let mut l = a.layout();
    ensure!(l.ndim() > 0, Index, "select() cannot be applied to a 0-dim tensor.");
    let d = wrap_dim(dim, l.ndim())?;
    let n = l.shape[d];
    ensure!(
        index >= -n && index < n,
        Index,
        "select(): index {index} out of range for tensor of size {:?} at dimension {d}",
        &l.shape[..]
    );
    let i = if index < 0 { index + n } else { index };
    let shape = l.shape.clone();
    l.offset = l.offset.saturating_add(i.saturating_mul(l.strides[d]));
    l.shape.remove(d);
    l.strides.remove(d);
    view_of("SelectBackward0", a, l, move |_, g| {
        let mut w = row_major_window(&shape, d, i, 1, 1);
        w.shape.remove(d);
        w.strides.remove(d);
        Ok(grads![Some(embed(g, &shape, &w)?)])
    })
}
/// Elements start, start + step, .. below end of a dimension; bounds are clamped, as in Python. Step is positive.
pub fn slice(a: &Tensor, dim: i64, start: Option<i64>, end: Option<i64>, step: i64) -> Result<Tensor> {
    let mut l = a.layout();
    ensure!(l.ndim() > 0, Index, "slice() cannot be applied to a 0-dim tensor.");
    let d = wrap_dim(dim, l.ndim())?;
    ensure!(step > 0, Value, "slice step must be positive");
    let n = l.shape[d];
    let fix = |v: i64| if v < 0 { v.saturating_add(n).max(0) } else { v.min(n) };
    let s = fix(start.unwrap_or(0));
    let e = fix(end.unwrap_or(i64::MAX)).max(s);
    let len = (e - s) / step + i64::from((e - s) % step != 0);
    let shape = l.shape.clone();
    l.offset = l.offset.saturating_add(s.saturating_mul(l.strides[d]));
    l.shape[d] = len;
    // Of a single element the stride is only looked at: one that is beyond all memory is left out.
    if len > 1 || step <= i64::from(i32::MAX) {
        l.strides[d] = l.strides[d].saturating_mul(step);
    }
    view_of("SliceBackward0", a, l, move |_, g| {
        Ok(grads![Some(embed(g, &shape, &row_major_window(&shape, d, s, len, step))?)])
    })
}
pub fn narrow(a: &Tensor, dim: i64, start: i64, length: i64) -> Result<Tensor> {
    ensure!(a.ndim() > 0, Runtime, "narrow() cannot be applied to a 0-dim tensor.");
    let n = a.size(dim)?;
    ensure!(length >= 0, Runtime, "narrow(): length must be non-negative.");
    ensure!(
        start >= -n && start <= n,
        Index,
        "start out of range (expected to be in range of [{}, {n}], but got {start})",
        -n
    );
    let s = if start < 0 { start + n } else { start };
    ensure!(length <= n - s, Runtime, "start ({s}) + length ({length}) exceeds dimension size ({n}).");
    slice(a, dim, Some(s), Some(s + length), 1)
}
/// The k-th diagonal over two dimensions, appended as the last.
pub fn diagonal(a: &Tensor, offset: i64, dim1: i64, dim2: i64) -> Result<Tensor> {
    let l = a.layout();
    let (i, j) = (dim_at(2, dim1, l.ndim())?, dim_at(3, dim2, l.ndim())?);
    ensure!(i != j, Runtime, "diagonal dimensions cannot be identical {dim1}, {dim2}");
    let window = |l: &Layout| {
        let (r, c) = (l.shape[i], l.shape[j]);
        let len = if offset >= 0 { r.min(c - offset) } else { (r + offset).min(c) }.max(0);
        let mut w = l.clone();
        if len > 0 {
            let (steps, stride) = if offset >= 0 { (offset, l.strides[j]) } else { (-offset, l.strides[i]) };
            w.offset = w.offset.saturating_add(steps.saturating_mul(stride));
        }
        w.shape.push(len);
        w.strides.push(l.strides[i].saturating_add(l.strides[j]));
        let (hi, lo) = (i.max(j), i.min(j));
        for d in [hi, lo] {
            w.shape.remove(d);
            w.strides.remove(d);
        }
        w
    };
    let shape = l.shape.clone();
    let back = window(&Layout::contiguous(&shape));
    view_of("DiagonalBackward0", a, window(&l), move |_, g| Ok(grads![Some(embed(g, &shape, &back)?)]))
}
/// Vector to diagonal matrix, or matrix to its diagonal (copied).
pub fn diag(a: &Tensor, diagonal_: i64) -> Result<Tensor> {
    match a.ndim() {
        1 => diag_embed(a, diagonal_, 0, 1),
        2 => clone(&diagonal(a, diagonal_, 0, 1)?),
        n => bail!(Runtime, "diag(): Supports 1D or 2D tensors. Got {n}D"),
    }
}
/// A tensor whose diagonal over dim1 and dim2 is `a`'s last dimension.
pub fn diag_embed(a: &Tensor, offset: i64, dim1: i64, dim2: i64) -> Result<Tensor> {
    let s = a.shape();
    ensure!(!s.is_empty(), Runtime, "diag_embed: expected at least one dimension");
    let (i, j) = (dim_at(2, dim1, s.len() + 1)?, dim_at(3, dim2, s.len() + 1)?);
    ensure!(i != j, Runtime, "diagonal dimensions cannot be identical {dim1}, {dim2}");
    let n = s[s.len() - 1].saturating_add(offset.saturating_abs());
    checked_numel(&[n, n])?;
    let mut shape = Dims::from_slice(&s[..s.len() - 1]);
    for d in [i.min(j), i.max(j)] {
        shape.insert(d, n);
    }
    let out = zeros(&shape, Some(a.dtype()), Some(a.device()))?;
    copy_(&diagonal(&out, offset, dim1, dim2)?, a)?;
    Ok(out)
}
/// About what one view takes, with its node and its handle.
const VIEW_BYTES: usize = 512;
/// A list of `n` views, once memory for all of them is there.
fn views(n: i64, items: impl Iterator<Item = Result<Tensor>>) -> Result<Vec<Tensor>> {
    memory::room_for(n as usize, VIEW_BYTES)?;
    memory::try_collect(items)
}
pub fn unbind(a: &Tensor, dim: i64) -> Result<Vec<Tensor>> {
    let n = a.size(dim)?;
    views(n, (0..n).map(|i| select(a, dim, i)))
}
pub fn split(a: &Tensor, split_size: i64, dim: i64) -> Result<Vec<Tensor>> {
    ensure!(split_size >= 0, Runtime, "split expects split_size be non-negative, but got split_size={split_size}");
    let n = a.size(dim)?;
    ensure!(
        split_size > 0 || n == 0,
        Runtime,
        "split_size can only be 0 if dimension size is 0, but got dimension size of {n}"
    );
    if n == 0 {
        return Ok(vec![slice(a, dim, None, None, 1)?]);
    }
    let starts = (0..n).step_by(split_size as usize);
    let part = |s: i64| slice(a, dim, Some(s), Some(s.saturating_add(split_size)), 1);
    views(n / split_size + (n % split_size != 0) as i64, starts.map(part))
}
pub fn split_with_sizes(a: &Tensor, split_sizes: &[i64], dim: i64) -> Result<Vec<Tensor>> {
    let n = a.size(dim)?;
    ensure!(
        split_sizes.iter().try_fold(0i64, |sum, s| sum.checked_add(*s).filter(|_| *s >= 0)) == Some(n),
        Runtime,
        "split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at dimension {dim}), but got split_sizes={split_sizes:?}"
    );
    let mut at = 0;
    let part = |s: &i64| {
        at += s;
        slice(a, dim, Some(at - s), Some(at), 1)
    };
    views(split_sizes.len() as i64, split_sizes.iter().map(part))
}
pub fn chunk(a: &Tensor, chunks: i64, dim: i64) -> Result<Vec<Tensor>> {
    ensure!(chunks > 0, Runtime, "chunk expects `chunks` to be greater than 0, got: {chunks}");
    let n = a.size(dim)?;
    if n == 0 {
        return views(chunks, (0..chunks).map(|_| narrow(a, dim, 0, 0)));
    }
    split(a, (n / chunks + (n % chunks != 0) as i64).max(1), dim)
}
/// Windows of `size` every `step` along a dimension, appended as the last.
pub fn unfold(a: &Tensor, dimension: i64, size: i64, step: i64) -> Result<Tensor> {
    let l = a.layout();
    let d = wrap_dim(dimension, l.ndim())?;
    let n = if l.ndim() == 0 { 1 } else { l.shape[d] };
    ensure!(size >= 0 && size <= n, Runtime, "maximum size for tensor at dimension {d} is {n} but size is {size}");
    ensure!(step > 0, Runtime, "step is {step} but must be > 0");
    let window = |l: &Layout| {
        let mut w = l.clone();
        if l.ndim() == 0 {
            w.shape.push(size);
            w.strides.push(1);
            return w;
        }
        w.shape[d] = (n - size) / step + 1;
        w.shape.push(size);
        w.strides.push(l.strides[d]);
        // With one window no step is made, however long it is.
        w.strides[d] = w.strides[d].saturating_mul(step);
        w
    };
    let shape = l.shape.clone();
    let back = window(&Layout::contiguous(&shape));
    view_of("UnfoldBackward0", a, window(&l), move |_, g| Ok(grads![Some(embed(g, &shape, &back)?)]))
}

/// A window with any sizes, strides and (absolute) storage offset.
pub fn as_strided(a: &Tensor, size: &[i64], stride: &[i64], storage_offset: Option<i64>) -> Result<Tensor> {
    let base = a.layout();
    ensure!(
        size.len() == stride.len(),
        Runtime,
        "mismatch in length of strides and shape: sizes {size:?}, strides {stride:?}"
    );
    checked_numel(size)?;
    let layout = Layout {
        shape: Dims::from_slice(size),
        strides: Dims::from_slice(stride),
        offset: storage_offset.unwrap_or(base.offset),
    };
    // from_storage checks that the window lies inside the memory.
    Tensor::from_storage(a.storage(), layout.clone(), a.dtype())?;
    let window = Layout { offset: layout.offset - base.offset, ..layout.clone() };
    view_of("AsStridedBackward0", a, layout, move |_, g| Ok(grads![Some(as_strided_backward(g, &base, &window)?)]))
}
/// Gradient of a tensor laid out as `base` whose window `view` (offset relative to base) has gradient `g`.
/// Where windows overlap, gradients add up; elements of the base that are one in memory share theirs evenly.
pub(crate) fn as_strided_backward(g: &Tensor, base: &Layout, view: &Layout) -> Result<Tensor> {
    let overlapping = overlaps(view);
    // The memory that counts begins where the first of both does; the window may lie before the base, or end behind it.
    let from = view.offset.min(0);
    let (out, view) =
        (&Layout { offset: -from, ..base.clone() }, &Layout { offset: view.offset - from, ..view.clone() });
    let n = out.required_elements().max(view.required_elements());
    let memory = zeros(&[n], Some(g.dtype()), Some(g.device()))?;
    if overlapping {
        let positions = arange(Scalar::Int(n), Some(DType::I64), Some(g.device()))?;
        let index = autograd::no_grad(|| reshape(&positions.alias(view.clone())?, &[-1]))?;
        let summed = index_add(&memory, 0, &index, &reshape(g, &[-1])?, Scalar::Int(1))?;
        return as_strided(&shared(&summed, out)?, &out.shape, &out.strides, Some(out.offset));
    }
    let window = as_strided(&memory, &view.shape, &view.strides, Some(view.offset))?;
    copy_(&window, g)?;
    as_strided(&shared(&memory, out)?, &out.shape, &out.strides, Some(out.offset))
}
/// The memory's values, each divided by the number of elements of the layout that lie there.
fn shared(memory: &Tensor, layout: &Layout) -> Result<Tensor> {
    if !overlaps(layout) {
        return Ok(memory.clone());
    }
    let count = autograd::no_grad(|| {
        let n = memory.numel() as i64;
        let positions = arange(Scalar::Int(n), Some(DType::I64), Some(memory.device()))?;
        let index = reshape(&positions.alias(layout.clone())?, &[-1])?;
        let one = ones(&[index.numel() as i64], Some(memory.dtype()), Some(memory.device()))?;
        let count = index_add(&zeros_like(&detach(memory)?, None, None)?, 0, &index, &one, Scalar::Int(1))?;
        clamp_min(&count, Scalar::Int(1))
    })?;
    div(memory, &count)
}
/// Whether two indices of a layout can meet at one element (said conservatively).
fn overlaps(l: &Layout) -> bool {
    let mut dims: Vec<(i64, i64)> =
        l.shape.iter().zip(&l.strides).filter(|(n, _)| **n > 1).map(|(n, s)| (*s, *n)).collect();
    dims.sort_unstable();
    let mut reach = 0;
    for (stride, n) in dims {
        if stride <= reach {
            return true;
        }
        reach += stride * (n - 1);
    }
    false
}

// in-place changes of shape

fn relayout(a: &Tensor, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<()> {
    tracking::check_inplace(a)?;
    let ghost = a.alias_same();
    if let Some(e) = autograd::gradient_edge(a) {
        autograd::meta::set_history(&ghost, Some(e));
    }
    let out = f(&ghost)?;
    let edge = autograd::gradient_edge(&out).filter(|_| autograd::grad_enabled());
    a.set_layout(out.layout())?;
    if edge.is_some() {
        autograd::meta::set_history(a, edge);
    }
    a.bump_version();
    Ok(())
}
pub fn unsqueeze_(a: &Tensor, dim: i64) -> Result<()> {
    relayout(a, |x| unsqueeze(x, dim))
}
pub fn squeeze_(a: &Tensor) -> Result<()> {
    relayout(a, squeeze)
}
pub fn squeeze_dim_(a: &Tensor, dim: i64) -> Result<()> {
    relayout(a, |x| squeeze_dim(x, dim))
}
pub fn transpose_(a: &Tensor, dim0: i64, dim1: i64) -> Result<()> {
    relayout(a, |x| transpose(x, dim0, dim1))
}
pub fn t_(a: &Tensor) -> Result<()> {
    relayout(a, t)
}
pub fn as_strided_(a: &Tensor, size: &[i64], stride: &[i64], storage_offset: Option<i64>) -> Result<()> {
    relayout(a, |x| as_strided(x, size, stride, storage_offset))
}

// joining and repeating

/// Joins tensors along a dimension; dtypes promote; 1-dim empty tensors are skipped, as in PyTorch.
pub fn cat(tensors: &[Tensor], dim: i64) -> Result<Tensor> {
    ensure!(!tensors.is_empty(), Value, "torch.cat(): expected a non-empty list of Tensors");
    let skip = |t: &Tensor| t.ndim() == 1 && t.numel() == 0;
    let first = tensors.iter().find(|t| !skip(t)).unwrap_or(&tensors[0]);
    let shape0 = first.shape();
    ensure!(!shape0.is_empty(), Runtime, "zero-dimensional tensor (at position 0) cannot be concatenated");
    let d = wrap_dim(dim, shape0.len())?;
    let mut p = crate::base::promote::Promotion::default();
    let mut shape = shape0.clone();
    shape[d] = 0;
    for (i, t) in tensors.iter().enumerate() {
        let s = t.shape();
        p = p.tensor(t.dtype(), s.len());
        ensure!(!s.is_empty(), Runtime, "zero-dimensional tensor (at position {i}) cannot be concatenated");
        pointwise::same_device(first, t)?;
        if skip(t) {
            continue;
        }
        ensure!(
            s.len() == shape0.len(),
            Runtime,
            "Tensors must have same number of dimensions: got {} and {}",
            shape0.len(),
            s.len()
        );
        for (k, (x, y)) in shape0.iter().zip(&s).enumerate() {
            ensure!(
                k == d || x == y,
                Runtime,
                "Sizes of tensors must match except in dimension {d}. Expected size {x} but got size {y} for tensor number {i} in the list."
            );
        }
        shape[d] += s[d];
    }
    let out = Tensor::empty(&shape, p.result(), first.device())?;
    let mut windows = memory::with_capacity(tensors.len())?;
    let mut at = 0;
    for t in tensors {
        let len = if skip(t) { 0 } else { t.shape()[d] };
        if len > 0 {
            let mut l = out.layout();
            l.offset = at * l.strides[d];
            l.shape[d] = len;
            out.alias(l)?.copy_from(t)?;
        }
        windows.push((at, len, t.shape()));
        at += len;
    }
    let refs: Vec<&Tensor> = memory::collect(tensors)?;
    record("CatBackward0", &refs, out, |_, _| {
        move |c, g| {
            windows
                .iter()
                .enumerate()
                .map(|(i, (at, len, s))| {
                    if !c.needs(i) {
                        return Ok(None);
                    }
                    if *len == 0 {
                        return zeros(s, Some(g.dtype()), Some(g.device())).map(Some);
                    }
                    narrow(g, d as i64, *at, *len).map(Some)
                })
                .collect()
        }
    })
}
/// Joins tensors of one shape along a new dimension.
pub fn stack(tensors: &[Tensor], dim: i64) -> Result<Tensor> {
    ensure!(!tensors.is_empty(), Runtime, "stack expects a non-empty TensorList");
    let s0 = tensors[0].shape();
    let d = wrap_dim(dim, s0.len() + 1)? as i64;
    for (i, t) in tensors.iter().enumerate() {
        let s = t.shape();
        ensure!(
            s == s0,
            Runtime,
            "stack expects each tensor to be equal size, but got {:?} at entry 0 and {:?} at entry {i}",
            &s0[..],
            &s[..]
        );
    }
    let wide = views(tensors.len() as i64, tensors.iter().map(|t| unsqueeze(t, d)))?;
    cat(&wide, d)
}
/// Copies of the tensor side by side, `repeats` times per dimension.
pub fn repeat(a: &Tensor, repeats: &[i64]) -> Result<Tensor> {
    let s = a.shape();
    ensure!(
        repeats.len() >= s.len(),
        Runtime,
        "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor: {repeats:?} for a tensor of size {:?}",
        &s[..]
    );
    let lead = repeats.len() - s.len();
    if let Some(i) = repeats.iter().position(|r| *r < 0) {
        let sizes: Dims =
            (0..).zip(repeats).map(|(i, r)| if i < lead { *r } else { r.saturating_mul(s[i - lead]) }).collect();
        bail!(
            Runtime,
            "Trying to create tensor with negative dimension {}: {:?} (repeats {repeats:?})",
            sizes[i],
            &sizes[..]
        );
    }
    // [r0, s0, r1, s1, ..]: expand the repeats, then merge the pairs.
    let (mut split, mut wide, mut merged) = (Dims::new(), Dims::new(), Dims::new());
    for (i, &r) in repeats.iter().enumerate() {
        let n = if i < lead { 1 } else { s[i - lead] };
        split.extend_from_slice(&[1, n]);
        wide.extend_from_slice(&[r, n]);
        merged.push(r.saturating_mul(n));
    }
    checked_numel(&merged)?;
    let out = reshape(&expand(&reshape(a, &split)?, &wide)?, &merged)?;
    // With all repeats 1 the steps above are views; repeat always copies.
    if std::sync::Arc::ptr_eq(&out.storage(), &a.storage()) {
        return clone(&out);
    }
    Ok(out)
}
pub fn tile(a: &Tensor, dims: &[i64]) -> Result<Tensor> {
    let mut d = Dims::from_slice(dims);
    while d.len() < a.ndim() {
        d.insert(0, 1);
    }
    repeat(a, &d)
}
/// Reverses the order along dimensions.
pub fn flip(a: &Tensor, dims: &[i64]) -> Result<Tensor> {
    let n = a.ndim();
    let mut out = a.clone();
    let mut seen = vec![false; n.max(1)];
    for &d in dims {
        let d = wrap_dim(d, n)?;
        ensure!(!seen[d], Runtime, "dim {d} appears multiple times in the list of dims");
        seen[d] = true;
    }
    if a.device().is_cpu() && a.numel() > 0 {
        // The CPU's copies can walk backwards; no tensor but this one ever has such strides.
        let mut back = a.layout();
        for d in (0..n).filter(|d| seen[*d]) {
            back.offset += (back.shape[d] - 1) * back.strides[d];
            back.strides[d] = -back.strides[d];
        }
        let out = Tensor::empty(&back.shape, a.dtype(), a.device())?;
        out.copy_from(&a.alias(back)?)?;
        let dims = dims.to_vec();
        return record("FlipBackward0", &[a], out, |_, _| move |_, g| Ok(grads![Some(flip(g, &dims)?)]));
    }
    for d in (0..n).filter(|d| seen[*d]) {
        let len = a.shape()[d];
        let back = arange_start_step(
            Scalar::Int(len - 1),
            Scalar::Int(-1),
            Scalar::Int(-1),
            Some(DType::I64),
            Some(a.device()),
        )?;
        out = index_select(&out, d as i64, &back)?;
    }
    if out.is_same(a) {
        return clone(a);
    }
    Ok(out)
}
/// Rolls elements along dimensions (over the flattened tensor when no dims are given).
pub fn roll(a: &Tensor, shifts: &[i64], dims: &[i64]) -> Result<Tensor> {
    if dims.is_empty() {
        ensure!(!shifts.is_empty(), Runtime, "`shifts` required: one shift for the flattened tensor, got []");
        ensure!(shifts.len() == 1, Runtime, "shifts and dimensions must align. shifts: {}, dims:0", shifts.len());
        return reshape(&roll(&reshape(a, &[-1])?, shifts, &[0])?, &a.shape());
    }
    ensure!(
        shifts.len() == dims.len(),
        Runtime,
        "shifts and dimensions must align. shifts: {}, dims:{}",
        shifts.len(),
        dims.len()
    );
    let mut out = a.clone();
    for (&s, &d) in shifts.iter().zip(dims) {
        let n = out.size(d)?;
        if n == 0 {
            continue;
        }
        let cut = (n - s.rem_euclid(n)) % n;
        if cut != 0 {
            out = cat(&[narrow(&out, d, cut, n - cut)?, narrow(&out, d, 0, cut)?], d)?;
        }
    }
    if out.is_same(a) {
        return clone(a);
    }
    Ok(out)
}
/// Coordinate grids of 1-dim tensors; indexing "ij" or "xy".
pub fn meshgrid(tensors: &[Tensor], indexing: Option<&str>) -> Result<Vec<Tensor>> {
    ensure!(!tensors.is_empty(), Runtime, "meshgrid expects a non-empty TensorList");
    let xy = match indexing {
        None | Some("ij") => false,
        Some("xy") => true,
        Some(o) => bail!(Runtime, "torch.meshgrid: indexing must be one of \"xy\" or \"ij\", but received: {o}"),
    };
    let swap = xy && tensors.len() >= 2;
    let mut ts: Vec<Tensor> = memory::copied(tensors)?;
    if swap {
        ts.swap(0, 1);
    }
    let mut shape = Dims::new();
    for t in &ts {
        ensure!(
            t.ndim() <= 1,
            Runtime,
            "torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {}D",
            t.ndim()
        );
        shape.push(t.numel() as i64);
    }
    let mut out = Vec::new();
    for (i, t) in ts.iter().enumerate() {
        let mut s: Dims = Dims::from_elem(1, ts.len());
        s[i] = -1;
        out.push(expand(&view(t, &s)?, &shape)?);
    }
    if swap {
        out.swap(0, 1);
    }
    Ok(out)
}
