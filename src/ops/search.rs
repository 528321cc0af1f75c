//! Search in sorted tensors, distinct elements, membership.

use super::*;
use crate::base::layout::wrap_dim;
use crate::ensure;

/// A binary search over all values at once, with PyTorch's choice of the middle, which is what counts where the elements
/// are not in order (NaN among them, say). `stop` tells of the elements in the middle whether the place is at or before them.
fn search(sorted: &Tensor, values: &Tensor, stop: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let n = sorted.size(-1)?;
    let mut start = zeros(&values.shape(), Some(DType::I64), Some(values.device()))?;
    if n == 0 || values.numel() == 0 {
        return Ok(start);
    }
    let mut end = full_like(&start, Scalar::Int(n), None, None)?;
    for _ in 0..64 - n.leading_zeros() {
        let middle = bitwise_right_shift_scalar(&add(&start, &end, Scalar::Int(1))?, Scalar::Int(1))?;
        let at = clamp_max(&middle, Scalar::Int(n - 1))?;
        let element = if sorted.ndim() == 1 { take(sorted, &at)? } else { gather(sorted, -1, &at)? };
        let (open, stop) = (lt(&start, &end)?, stop(&element)?);
        let after = logical_and(&open, &logical_not(&stop)?)?;
        start = where_(&after, &add_scalar(&middle, Scalar::Int(1), Scalar::Int(1))?, &start)?;
        end = where_(&logical_and(&open, &stop)?, &middle, &end)?;
    }
    Ok(start)
}
fn from_right(name: &str, right: bool, side: Option<&str>) -> Result<bool> {
    match side {
        None => Ok(right),
        Some("right") => Ok(true),
        Some("left") => {
            ensure!(
                !right,
                Runtime,
                "{name}(): side and right can't be set to opposites, got side of left while right was True"
            );
            Ok(false)
        }
        Some(other) => crate::bail!(Runtime, "{name}(): side can only be 'left' or 'right' but got {other}"),
    }
}
/// Where each value would be inserted into the sorted last dimension.
pub fn searchsorted(
    sorted: &Tensor,
    values: &Tensor,
    out_int32: bool,
    right: bool,
    side: Option<&str>,
    sorter: Option<&Tensor>,
) -> Result<Tensor> {
    complex::no_kernel("searchsorted_out_cpu", sorted)?;
    autograd::no_grad(|| {
        let (s, v) = (sorted.shape(), values.shape());
        let right = from_right("searchsorted", right, side)?;
        ensure!(
            !s.is_empty(),
            Runtime,
            "torch.searchsorted(): boundaries tensor should have positive dimension, but got 0 dimension"
        );
        ensure!(
            s.len() == 1 || s.len() == v.len() && s[..s.len() - 1] == v[..v.len() - 1],
            Runtime,
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and input value tensor must match, but we got boundaries tensor {:?} and input value tensor {:?}",
            &s[..],
            &v[..]
        );
        let dtype = pointwise::promote(&[sorted.into(), values.into()]);
        let (sorted, values) = (&cast(sorted, dtype)?, &cast(values, dtype)?);
        let ordered = match sorter {
            None => sorted.clone(),
            Some(order) => gather(sorted, -1, order)?,
        };
        let place = search(&ordered, values, |element| if right { gt(element, values) } else { ge(element, values) })?;
        if out_int32 {
            cast(&place, DType::I32)
        } else {
            Ok(place)
        }
    })
}
pub fn searchsorted_scalar(
    sorted: &Tensor,
    value: Scalar,
    out_int32: bool,
    right: bool,
    side: Option<&str>,
    sorter: Option<&Tensor>,
) -> Result<Tensor> {
    let value = create::scalar_tensor(value, sorted.dtype(), sorted.device())?;
    searchsorted(sorted, &value, out_int32, right, side, sorter)
}
/// The number of the bucket between boundaries that each element falls into.
pub fn bucketize(a: &Tensor, boundaries: &Tensor, out_int32: bool, right: bool) -> Result<Tensor> {
    complex::no_kernel("searchsorted_out_cpu", a)?;
    ensure!(
        boundaries.ndim() == 1,
        Runtime,
        "boundaries tensor must be 1 dimension, but got dim({})",
        boundaries.ndim()
    );
    searchsorted(boundaries, a, out_int32, right, None, None)
}
pub fn bucketize_scalar(value: Scalar, boundaries: &Tensor, out_int32: bool, right: bool) -> Result<Tensor> {
    let dtype = pointwise::promote(&[value.into(), boundaries.into()]);
    bucketize(&create::scalar_tensor(value, dtype, boundaries.device())?, boundaries, out_int32, right)
}
/// Whether each element is among test_elements.
pub fn isin_tensor_tensor(
    elements: &Tensor,
    test_elements: &Tensor,
    _assume_unique: bool,
    invert: bool,
) -> Result<Tensor> {
    autograd::no_grad(|| {
        let n = test_elements.numel() as i64;
        let found = if n == 0 {
            zeros_like(elements, Some(DType::Bool), None)?
        } else {
            let dtype = pointwise::promote(&[elements.into(), test_elements.into()]);
            let dtype = if dtype == DType::Bool { DType::U8 } else { dtype };
            let sorted = sort(&reshape(&cast(test_elements, dtype)?, &[-1])?, 0, false)?.0;
            let x = cast(elements, dtype)?;
            // NaN lies at the end of the sorted ones, and is equal to none.
            let stop = |element: &Tensor| logical_or(&ge(element, &x)?, &isnan(element)?);
            let at = clamp_max(&search(&sorted, &x, stop)?, Scalar::Int(n - 1))?;
            eq(&take(&sorted, &at)?, &x)?
        };
        if invert {
            logical_not(&found)
        } else {
            Ok(found)
        }
    })
}
pub fn isin_tensor_scalar(
    elements: &Tensor,
    test_element: Scalar,
    _assume_unique: bool,
    invert: bool,
) -> Result<Tensor> {
    if invert {
        ne_scalar(elements, test_element)
    } else {
        eq_scalar(elements, test_element)
    }
}
pub fn isin_scalar_tensor(
    element: Scalar,
    test_elements: &Tensor,
    assume_unique: bool,
    invert: bool,
) -> Result<Tensor> {
    let dtype = pointwise::promote(&[element.into(), test_elements.into()]);
    isin_tensor_tensor(
        &create::scalar_tensor(element, dtype, test_elements.device())?,
        test_elements,
        assume_unique,
        invert,
    )
}

/// Distinct rows of `rows` ([n, m]), which come in `order` such that equal ones are neighbours: the places of their
/// first ones in that order, the number of each row's group (in the rows' own order), the sizes of the groups. The second is empty unless asked for.
fn groups(rows: &Tensor, order: Option<&Tensor>, inverse: bool) -> Result<(Tensor, Tensor, Tensor)> {
    let n = rows.size(0)?;
    let device = Some(rows.device());
    let first = ones(&[n], Some(DType::Bool), device)?;
    if n > 1 {
        let changed = ne(&narrow(rows, 0, 1, n - 1)?, &narrow(rows, 0, 0, n - 1)?)?;
        let changed = match rows.size(1)? {
            0 => zeros(&[n - 1], Some(DType::Bool), device)?,
            1 => reshape(&changed, &[-1])?,
            _ => any_dim(&changed, 1, false)?,
        };
        copy_(&narrow(&first, 0, 1, n - 1)?, &changed)?;
    }
    let starts = reshape(&nonzero(&first)?, &[-1])?;
    let inverse = if inverse {
        let group = sub_scalar(&cumsum(&first, 0, Some(DType::I64))?, Scalar::Int(1), Scalar::Int(1))?;
        match order {
            None => group,
            Some(order) => scatter_src(&zeros(&[n], Some(DType::I64), device)?, 0, order, &group)?,
        }
    } else {
        empty_index(rows)?
    };
    let k = starts.size(0)?;
    let end = full(&[1.min(k)], Scalar::Int(n), Some(DType::I64), device)?;
    let ends = if k > 0 { cat(&[narrow(&starts, 0, 1, k - 1)?, end], 0)? } else { end };
    Ok((starts.clone(), inverse, sub(&ends, &starts, Scalar::Int(1))?))
}
fn empty_index(a: &Tensor) -> Result<Tensor> {
    empty(&[0], Some(DType::I64), Some(a.device()))
}
fn some(wanted: bool, t: Tensor) -> Result<Tensor> {
    if wanted {
        Ok(t)
    } else {
        empty_index(&t)
    }
}
/// The distinct elements in ascending order, with every element's place among them and how often each occurs; what
/// is not asked for is empty.
pub fn unique(
    a: &Tensor,
    _sorted: bool,
    return_inverse: bool,
    return_counts: bool,
) -> Result<(Tensor, Tensor, Tensor)> {
    complex::no_kernel("unique", a)?;
    autograd::no_grad(|| {
        let flat = reshape(a, &[-1])?;
        let (values, order) = sort(&flat, 0, false)?;
        let (starts, inverse, counts) = groups(&unsqueeze(&values, 1)?, Some(&order), return_inverse)?;
        let distinct = index_select(&values, 0, &starts)?;
        let inverse = if return_inverse { reshape(&inverse, &a.shape())? } else { inverse };
        Ok((distinct, inverse, some(return_counts, counts)?))
    })
}
/// The distinct slices along a dimension, in lexicographic order.
pub fn unique_dim(
    a: &Tensor,
    dim: i64,
    _sorted: bool,
    return_inverse: bool,
    return_counts: bool,
) -> Result<(Tensor, Tensor, Tensor)> {
    complex::no_kernel("unique", a)?;
    autograd::no_grad(|| {
        let d = wrap_dim(dim, a.ndim())? as i64;
        let rows = as_rows(a, d)?;
        let (n, m) = (rows.size(0)?, rows.size(1)?);
        let mut order = arange(Scalar::Int(n), Some(DType::I64), Some(a.device()))?;
        for column in (0..m).rev() {
            // Sorting is stable: the last column first, the first one last.
            let key = index_select(&select(&rows, 1, column)?, 0, &order)?;
            order = index_select(&order, 0, &argsort(&key, 0, false)?)?;
        }
        let (starts, inverse, counts) = groups(&index_select(&rows, 0, &order)?, Some(&order), return_inverse)?;
        let distinct = index_select(a, d, &index_select(&order, 0, &starts)?)?;
        Ok((distinct, inverse, some(return_counts, counts)?))
    })
}
fn as_rows(a: &Tensor, d: i64) -> Result<Tensor> {
    let n = a.size(d)?;
    ensure!(
        n > 0 || a.numel() == 0,
        Runtime,
        "There are 0 sized dimensions, and they aren't selected, so unique cannot be applied"
    );
    reshape(&movedim(a, &[d], &[0])?, &[n, a.numel() as i64 / n.max(1)])
}
/// The elements (or slices along dim) without repetitions of neighbours.
pub fn unique_consecutive(
    a: &Tensor,
    return_inverse: bool,
    return_counts: bool,
    dim: Option<i64>,
) -> Result<(Tensor, Tensor, Tensor)> {
    complex::no_kernel("unique", a)?;
    autograd::no_grad(|| {
        let (source, d, shape) = match dim {
            None => (reshape(a, &[-1])?, 0, a.shape().to_vec()),
            Some(d) => {
                let d = wrap_dim(d, a.ndim())? as i64;
                (a.clone(), d, vec![a.size(d)?])
            }
        };
        let (starts, inverse, counts) = groups(&as_rows(&source, d)?, None, return_inverse)?;
        Ok((
            index_select(&source, d, &starts)?,
            if return_inverse { reshape(&inverse, &shape)? } else { inverse },
            some(return_counts, counts)?,
        ))
    })
}
/// self with the elements of source, in order, where the mask holds.
pub fn masked_scatter(a: &Tensor, mask: &Tensor, source: &Tensor) -> Result<Tensor> {
    ensure!(
        a.dtype() == source.dtype(),
        Runtime,
        "masked_scatter: expected self and source to have same dtypes but got {} and {}",
        a.dtype().scalar_name(),
        source.dtype().scalar_name()
    );
    ensure!(
        mask.dtype() == DType::Bool,
        Runtime,
        "masked_scatter_ only supports boolean masks, but got mask with dtype {}",
        mask.dtype().scalar_name()
    );
    let shape = crate::base::layout::broadcast_shapes(&a.shape(), &mask.shape())?;
    let (a, mask) = (expand(a, &shape)?, expand(mask, &shape)?);
    let count = cumsum(&reshape(&mask, &[-1])?, 0, Some(DType::I64))?;
    let wanted = match count.numel() {
        0 => 0,
        _ if a.device().is_meta() => 1.min(source.numel() as i64),
        _ => select(&count, 0, -1)?.item()?.to_i64(),
    };
    ensure!(
        wanted <= source.numel() as i64,
        Runtime,
        "masked_scatter: expected source to have at least as many elements as the mask has ones: {} and {wanted}",
        source.numel()
    );
    if wanted == 0 {
        return clone(&a);
    }
    let place = clamp_min(&sub_scalar(&count, Scalar::Int(1), Scalar::Int(1))?, Scalar::Int(0))?;
    where_(&mask, &take(source, &reshape(&place, &shape)?)?, &a)
}
pub fn masked_scatter_(a: &Tensor, mask: &Tensor, source: &Tensor) -> Result<()> {
    in_place::write_back(a, false, |x| masked_scatter(x, mask, source))
}
/// The most frequent element along a dimension (the smallest of several) and its last position.
pub fn mode(a: &Tensor, dim: i64, keepdim: bool) -> Result<(Tensor, Tensor)> {
    complex::no_kernel("mode_cpu", a)?;
    let d = wrap_dim(dim, a.ndim())? as i64;
    if a.ndim() == 0 {
        return Ok((clone(a)?, zeros(&[], Some(DType::I64), Some(a.device()))?));
    }
    let n = a.size(d)?;
    ensure!(n > 0, Index, "mode(): Expected reduction dim {d} to have non-zero size.");
    let index = autograd::no_grad(|| {
        let (sorted, place) = sort(a, d, false)?;
        let mut shape = vec![1i64; a.ndim()];
        shape[d as usize] = n;
        let at = reshape(&arange(Scalar::Int(n), Some(DType::I64), Some(a.device()))?, &shape)?;
        // Where each run of equal elements begins; an element's distance from there is the longest at the run's end.
        let (these, before) = (narrow(&sorted, d, 1, n - 1)?, narrow(&sorted, d, 0, n - 1)?);
        let begins = ne(&these, &before)?;
        let begins = mul(&narrow(&at, d, 1, n - 1)?, &cast(&begins, DType::I64)?)?;
        let begins = cat(&[zeros_like(&narrow(&place, d, 0, 1)?, None, None)?, begins], d)?;
        let distance = sub(&at, &cummax(&begins, d)?.0, Scalar::Int(1))?;
        let index = gather(&place, d, &argmax(&distance, Some(d), true)?)?;
        if !a.dtype().is_float() {
            return Ok(index);
        }
        // No NaN equals another; where nothing is there twice the first of them comes before all numbers.
        let missing = isnan(a)?;
        let single = eq_scalar(&amax(&distance, &[d], true)?, Scalar::Int(0))?;
        let first = argmax(&cast(&missing, DType::U8)?, Some(d), true)?;
        where_(&logical_and(&single, &any_dim(&missing, d, true)?)?, &first, &index)
    })?;
    let values = gather(a, d, &index)?;
    if keepdim {
        Ok((values, index))
    } else {
        Ok((squeeze_dim(&values, d)?, squeeze_dim(&index, d)?))
    }
}
