//! Joining and parting by rules of names (rows, columns, blocks), combinations, turns.

use super::*;
use crate::backend::memory;
use crate::base::layout::wrap_dim;
use crate::{ensure, Dims};

/// The tensor with at least 1 dimension.
pub fn atleast_1d(a: &Tensor) -> Result<Tensor> {
    if a.ndim() == 0 {
        reshape(a, &[1])
    } else {
        Ok(a.clone())
    }
}
/// The tensor with at least 2 dimensions: a vector is a row.
pub fn atleast_2d(a: &Tensor) -> Result<Tensor> {
    match a.ndim() {
        0 => reshape(a, &[1, 1]),
        1 => unsqueeze(a, 0),
        _ => Ok(a.clone()),
    }
}
/// The tensor with at least 3 dimensions: a matrix gets a last one.
pub fn atleast_3d(a: &Tensor) -> Result<Tensor> {
    match a.ndim() {
        0..=1 => unsqueeze(&atleast_2d(a)?, -1),
        2 => unsqueeze(a, -1),
        _ => Ok(a.clone()),
    }
}
fn each(op: &str, tensors: &[Tensor], f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Vec<Tensor>> {
    ensure!(!tensors.is_empty(), Runtime, "{op} expects a non-empty TensorList");
    memory::try_collect(tensors.iter().map(f))
}
/// Tensors stacked as rows.
pub fn vstack(tensors: &[Tensor]) -> Result<Tensor> {
    cat(&each("vstack", tensors, atleast_2d)?, 0)
}
/// Tensors side by side: along the second dimension, vectors along their only one.
pub fn hstack(tensors: &[Tensor]) -> Result<Tensor> {
    let tensors = each("hstack", tensors, atleast_1d)?;
    cat(&tensors, (tensors[0].ndim() > 1) as i64)
}
/// Tensors stacked along the third dimension.
pub fn dstack(tensors: &[Tensor]) -> Result<Tensor> {
    cat(&each("dstack", tensors, atleast_3d)?, 2)
}
/// Vectors as columns of a matrix, beside matrices.
pub fn column_stack(tensors: &[Tensor]) -> Result<Tensor> {
    let column = |t: &Tensor| if t.ndim() <= 1 { reshape(t, &[t.numel() as i64, 1]) } else { Ok(t.clone()) };
    hstack(&each("column_stack", tensors, column)?)
}
/// Sections of nearly equal size, as views; the first ones take what is left over.
pub fn tensor_split_sections(a: &Tensor, sections: i64, dim: i64) -> Result<Vec<Tensor>> {
    ensure!(
        a.ndim() > 0,
        Runtime,
        "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims"
    );
    ensure!(sections > 0, Runtime, "number of sections must be larger than 0, got {sections}");
    let n = a.size(dim)?;
    memory::room_for(sections as usize, std::mem::size_of::<Tensor>())?;
    let (small, more) = (n / sections, n % sections);
    memory::try_collect((0..sections).map(|i| narrow(a, dim, i * small + i.min(more), small + (i < more) as i64)))
}
/// The tensor cut before each of the indices, as views.
pub fn tensor_split_indices(a: &Tensor, indices: &[i64], dim: i64) -> Result<Vec<Tensor>> {
    ensure!(
        a.ndim() > 0,
        Runtime,
        "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims"
    );
    let n = a.size(dim)?;
    let cut = |i: &i64| if *i < 0 { (i + n).max(0) } else { (*i).min(n) };
    let starts = std::iter::once(0).chain(indices.iter().map(cut));
    let ends = indices.iter().map(cut).chain(std::iter::once(n));
    memory::try_collect(starts.zip(ends).map(|(from, to)| narrow(a, dim, from, (to - from).max(0))))
}
/// Columns of a matrix in reverse order.
pub fn fliplr(a: &Tensor) -> Result<Tensor> {
    ensure!(a.ndim() >= 2, Runtime, "Input must be >= 2-d.");
    flip(a, &[1])
}
/// Rows in reverse order.
pub fn flipud(a: &Tensor) -> Result<Tensor> {
    ensure!(a.ndim() >= 1, Runtime, "Input must be >= 1-d.");
    flip(a, &[0])
}
/// k quarter turns in the plane of two dimensions, from the first to the second.
pub fn rot90(a: &Tensor, k: i64, dims: &[i64]) -> Result<Tensor> {
    let n = a.ndim() as i64;
    ensure!(dims.len() == 2, Runtime, "expected total rotation dims == 2, but got dims = {}", dims.len());
    ensure!(n >= 2, Runtime, "expected total dims >= 2, but got total dims = {n}");
    let (x, y) = (dims[0], dims[1]);
    ensure!(
        x != y && x.abs_diff(y) != n as u64,
        Runtime,
        "expected rotation dims to be different, but got dim0 = {x} and dim1 = {y}"
    );
    for (i, d) in [x, y].into_iter().enumerate() {
        ensure!((-n..n).contains(&d), Index, "Rotation dim{i} out of range, dim{i} = {d}");
    }
    match k.rem_euclid(4) {
        1 => transpose(&flip(a, &[y])?, x, y),
        2 => flip(a, &[x, y]),
        3 => flip(&transpose(a, x, y)?, &[y]),
        _ => clone(a),
    }
}
/// Matrices along the diagonal of a larger one, zeros elsewhere.
pub fn block_diag(tensors: &[Tensor]) -> Result<Tensor> {
    ensure!(!tensors.is_empty(), Runtime, "block_diag: expected at least one tensor");
    for (i, t) in tensors.iter().enumerate() {
        ensure!(
            t.ndim() <= 2,
            Runtime,
            "torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has {} dimensions",
            t.ndim()
        );
    }
    let blocks = each("block_diag", tensors, atleast_2d)?;
    let total = |d: usize| blocks.iter().fold(0i64, |n, t| n.saturating_add(t.shape()[d]));
    let (rows, columns) = (total(0), total(1));
    crate::base::layout::checked_numel(&[rows, columns])?;
    let mut at = 0;
    let bands = blocks.iter().map(|t| {
        let (before, wide) = (at, t.shape()[1]);
        at += wide;
        pad(t, &[before, columns - before - wide], "constant", None)
    });
    cat(&memory::try_collect(bands)?, 0)
}
/// All combinations of elements of vectors, as rows; a single vector as it is.
pub fn cartesian_prod(tensors: &[Tensor]) -> Result<Tensor> {
    ensure!(!tensors.is_empty(), Runtime, "cartesian_prod: expected at least one tensor");
    for t in tensors {
        ensure!(t.ndim() == 1, Runtime, "Expect a 1D vector, but got shape {:?}", &t.shape()[..]);
    }
    if tensors.len() == 1 {
        return Ok(tensors[0].clone());
    }
    let rows = tensors.iter().fold(1i64, |n, t| n.saturating_mul(t.numel() as i64));
    crate::base::layout::checked_numel(&[rows, tensors.len() as i64])?;
    let grids = meshgrid(tensors, Some("ij"))?;
    stack(&each("cartesian_prod", &grids, |g| reshape(g, &[-1]))?, 1)
}
/// How many ways there are to choose r of n, if that is a 64-bit number.
fn choices(n: i64, r: i64) -> Option<i64> {
    let r = r.min(n - r);
    let mut c: i128 = 1;
    for i in 0..r {
        c = c * (n - i) as i128 / (i + 1) as i128;
        if c > i64::MAX as i128 {
            return None;
        }
    }
    Some(c as i64)
}
/// All combinations of r elements of a vector, as rows, an element several times with replacement.
pub fn combinations(a: &Tensor, r: i64, with_replacement: bool) -> Result<Tensor> {
    ensure!(a.ndim() == 1, Runtime, "Expect a 1D vector, but got shape {:?}", &a.shape()[..]);
    ensure!(r >= 0, Runtime, "Expect a non-negative number, but got {r}");
    if r == 0 {
        return Tensor::empty(&[0], a.dtype(), a.device());
    }
    let n = a.numel() as i64;
    let pool = if with_replacement && n > 0 { n.saturating_add(r - 1) } else { n };
    let rows = if r > pool { Some(0) } else { choices(pool, r) };
    let Some(rows) = rows else { crate::bail!(Runtime, "combinations: too many of {r} out of {n} elements") };
    // No work towards a result that cannot exist.
    crate::base::layout::checked_numel(&[rows, r, 8])?;
    let mut places: Vec<i64> = Vec::new();
    memory::reserve_exact(&mut places, (rows * r) as usize)?;
    if rows > 0 {
        let step = !with_replacement as i64;
        let mut row: Vec<i64> = memory::collect((0..r).map(|i| i * step))?;
        'all: loop {
            places.extend_from_slice(&row);
            // The last place that can go on; those behind it follow closely.
            let mut i = r;
            loop {
                i -= 1;
                if row[i as usize] < n - 1 - (r - 1 - i) * step {
                    break;
                }
                if i == 0 {
                    break 'all;
                }
            }
            let first = row[i as usize] + 1;
            for j in i..r {
                row[j as usize] = first + (j - i) * step;
            }
        }
    }
    let index = to_device(&Tensor::from_slice(&places, &[rows * r])?, a.device())?;
    reshape(&index_select(a, 0, &index)?, &[rows, r])
}
/// Differences of neighbours along a dimension, n times; prepend and append are joined to the input before.
pub fn diff(a: &Tensor, n: i64, dim: i64, prepend: Option<&Tensor>, append: Option<&Tensor>) -> Result<Tensor> {
    ensure!(a.ndim() > 0, Runtime, "diff expects input to be at least one-dimensional");
    ensure!(n >= 0, Runtime, "order must be non-negative but got {n}");
    let d = wrap_dim(dim, a.ndim())?;
    for t in [prepend, append].into_iter().flatten() {
        ensure!(t.ndim() == a.ndim(), Runtime, "diff expects prepend or append to be the same dimension as input");
        for (i, (x, y)) in t.shape().iter().zip(&a.shape()).enumerate() {
            ensure!(
                i == d || x == y,
                Runtime,
                "diff expects the shape of tensor to prepend or append to match that of input except along the \
                 differencing dimension; input.size({i}) = {y}, but got tensor.size({i}) = {x}"
            );
        }
    }
    if n == 0 {
        return clone(a);
    }
    let parts: Vec<Tensor> = [prepend, Some(a), append].into_iter().flatten().cloned().collect();
    let mut x = if parts.len() > 1 { cat(&parts, dim)? } else { a.clone() };
    for _ in 0..n {
        let m = x.shape()[d];
        if m == 0 {
            break;
        }
        let (after, before) = (narrow(&x, dim, 1, m - 1)?, narrow(&x, dim, 0, m - 1)?);
        x = if x.dtype() == DType::Bool {
            bitwise_xor(&after, &before)?
        } else {
            sub(&after, &before, Scalar::Int(1))?
        };
    }
    Ok(x)
}
/// The integral by the trapezoidal rule along a dimension, of samples at the places x.
pub fn trapezoid_x(y: &Tensor, x: &Tensor, dim: i64) -> Result<Tensor> {
    trapezoids(y, Some(x), Scalar::Int(1), dim)
}
/// The integral by the trapezoidal rule along a dimension, of samples dx apart.
pub fn trapezoid_dx(y: &Tensor, dx: Scalar, dim: i64) -> Result<Tensor> {
    trapezoids(y, None, dx, dim)
}
fn trapezoids(y: &Tensor, x: Option<&Tensor>, dx: Scalar, dim: i64) -> Result<Tensor> {
    let n = y.size(dim)?;
    let d = wrap_dim(dim, y.ndim())?;
    if n == 0 {
        // The integral of nothing, in y's dtype.
        let mut shape = y.shape();
        shape.remove(d);
        return zeros(&shape, Some(y.dtype()), Some(y.device()));
    }
    in_float_some([Some(y), x], |[y, x]| {
        let y = y.expect("given");
        let ends = |t: &Tensor, dim: i64, n: i64| -> Result<(Tensor, Tensor)> {
            Ok((narrow(t, dim, 1, n - 1)?, narrow(t, dim, 0, n - 1)?))
        };
        let (after, before) = ends(y, dim, n)?;
        let pairs = add(&after, &before, Scalar::Int(1))?;
        let half = Scalar::Int(2);
        let Some(x) = x else {
            let total = sum_dim(&pairs, Some(&[dim]), false, None)?;
            return div_scalar(&mul_scalar(&total, dx)?, half);
        };
        let fits = if x.ndim() == 1 { x.numel() as i64 == n } else { x.size(dim)? == n };
        ensure!(fits, Runtime, "trapezoid: There must be one `x` value for each sample point");
        let x = if x.ndim() == 1 && y.ndim() > 1 {
            let mut shape: Dims = Dims::from_elem(1, y.ndim());
            shape[d] = n;
            reshape(x, &shape)?
        } else {
            x.clone()
        };
        let (after, before) = ends(&x, dim, x.size(dim)?)?;
        let step = sub(&after, &before, Scalar::Int(1))?;
        div_scalar(&sum_dim(&mul(&pairs, &step)?, Some(&[dim]), false, None)?, half)
    })
}
