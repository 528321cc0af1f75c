//! Scans along a dimension: each with its derivative beside it.

use super::reduce::{place, sum_dtype};
use super::*;
use crate::autograd::record;
use crate::backend::memory;
use crate::backend::{self, ScanOp};
use crate::base::layout::wrap_dim;
use crate::{ensure, grads};

fn scan_raw(op: ScanOp, a: &Tensor, d: usize, indices: Option<&Tensor>) -> Result<Tensor> {
    if a.dtype().is_complex() {
        crate::ensure!(
            matches!(op, ScanOp::Sum),
            NotImplemented,
            "\"cum{}_cpu\" not implemented for '{}'",
            if matches!(op, ScanOp::Max) { "max" } else { "min" },
            a.dtype().scalar_name()
        );
        if a.ndim() == 0 {
            return a.contiguous_copy();
        }
        let parts = scan_raw(op, &a.as_pairs()?, d, None)?;
        return parts.pairs_as_complex();
    }
    let b = a.materialize();
    let out = Tensor::empty(b.shape(), b.dtype(), b.device())?;
    if out.numel() > 0 {
        if b.layout().ndim() == 0 {
            out.copy_from(a)?;
        } else {
            let guard = indices.map(|t| t.body());
            backend::get(b.device())?.scan(op, b.view(), d, out.body().view(), guard.as_ref().map(|g| g.view()))?;
        }
    }
    Ok(out)
}
pub fn cumsum(a: &Tensor, dim: i64, dtype: Option<DType>) -> Result<Tensor> {
    let d = wrap_dim(dim, a.ndim())?;
    let a = &cast(a, sum_dtype(a, dtype))?;
    let out = scan_raw(ScanOp::Sum, a, d, None)?;
    record("CumsumBackward0", &[a], out, |_, _| {
        move |_, g| {
            if g.ndim() == 0 {
                return Ok(grads![Some(g.clone())]);
            }
            let d = d as i64;
            Ok(grads![Some(flip(&cumsum(&flip(g, &[d])?, d, None)?, &[d])?)])
        }
    })
}
pub fn cumsum_(a: &Tensor, dim: i64, dtype: Option<DType>) -> Result<()> {
    scan_in_place("cumsum_", a, dim, dtype, |x, ty| cumsum(x, dim, ty))
}
pub fn cumprod_(a: &Tensor, dim: i64, dtype: Option<DType>) -> Result<()> {
    scan_in_place("cumprod_", a, dim, dtype, |x, ty| cumprod(x, dim, ty))
}
fn scan_in_place(
    op: &str,
    a: &Tensor,
    dim: i64,
    dtype: Option<DType>,
    f: impl FnOnce(&Tensor, Option<DType>) -> Result<Tensor>,
) -> Result<()> {
    wrap_dim(dim, a.ndim())?;
    ensure!(
        dtype.is_none_or(|d| d == a.dtype()),
        Runtime,
        "{op}: provided dtype must match the dtype of self tensor. Got {} and {}.",
        a.dtype().scalar_name(),
        dtype.unwrap_or(a.dtype()).scalar_name()
    );
    in_place::write_back(a, true, |x| f(x, Some(a.dtype())))
}
pub fn cumprod(a: &Tensor, dim: i64, dtype: Option<DType>) -> Result<Tensor> {
    let d = wrap_dim(dim, a.ndim())?;
    let a = &cast(a, sum_dtype(a, dtype))?;
    if a.dtype().is_complex() {
        return complex::cumprod_along(a, d as i64);
    }
    let out = scan_raw(ScanOp::Prod, a, d, None)?;
    record("CumprodBackward0", &[a], out, |s, _| {
        let x = s.save(a);
        move |c, g| {
            let (x, g) = (wide(&x.get(c)?)?, &wide(g)?);
            if g.ndim() == 0 {
                return Ok(grads![Some(g.clone())]);
            }
            // dx_k = sum over j >= k of g_j * prod of x_i, i <= j, i != k: exact where elements are zero.
            let (d, n) = (d as i64, x.size(d as i64)?);
            let mut parts = memory::with_capacity(n as usize)?;
            for k in 0..n {
                let one = ones_like(&narrow(&x, d, k, 1)?, None, None)?;
                let left = if k > 0 { prod_dim(&narrow(&x, d, 0, k)?, d, true, None)? } else { one.clone() };
                let rest = cat(&[one, narrow(&x, d, k + 1, n - k - 1)?], d)?;
                let run = mul(&cumprod(&rest, d, None)?, &left)?;
                parts.push(sum_dim(&mul(&run, &narrow(g, d, k, n - k)?)?, Some(&[d]), true, None)?);
            }
            if parts.is_empty() {
                return Ok(grads![Some(g.clone())]);
            }
            Ok(grads![Some(cat(&parts, d)?)])
        }
    })
}
pub fn logcumsumexp(a: &Tensor, dim: i64) -> Result<Tensor> {
    let d = wrap_dim(dim, a.ndim())?;
    ensure!(a.dtype().is_float(), Runtime, "logcumsumexp: expected a floating point tensor, got {}", a.dtype());
    let out = scan_raw(ScanOp::LogSumExp, a, d, None)?;
    record("LogcumsumexpBackward0", &[a], out, |s, out| {
        let (x, y) = (s.save(a), s.save_output(out, 0));
        move |c, g| {
            let (x, y, g) = (wide(&x.get(c)?)?, wide(&y.get(c)?)?, &wide(g)?);
            if g.ndim() == 0 {
                return Ok(grads![Some(g.clone())]);
            }
            let d = d as i64;
            // The sums over what follows, of positive and of negative gradients apart, without leaving the logarithms.
            let part = |g: &Tensor| {
                let none = le_scalar(&detach(g)?, Scalar::Int(0))?;
                let l = sub(&log(&masked_fill_scalar(g, &none, Scalar::Int(1))?)?, &y, Scalar::Int(1))?;
                let l = masked_fill_scalar(&l, &none, Scalar::Float(f64::NEG_INFINITY))?;
                let tail = flip(&logcumsumexp(&flip(&l, &[d])?, d)?, &[d])?;
                exp(&add(&tail, &x, Scalar::Int(1))?)
            };
            Ok(grads![Some(sub(&part(g)?, &part(&neg(g)?)?, Scalar::Int(1))?)])
        }
    })
}
fn cum_extreme(op: ScanOp, name: &'static str, a: &Tensor, dim: i64) -> Result<(Tensor, Tensor)> {
    let d = wrap_dim(dim, a.ndim())?;
    let shape = a.shape();
    let index = zeros(&shape, Some(DType::I64), Some(a.device()))?;
    let out = scan_raw(op, a, d, Some(&index))?;
    let out = record(name, &[a], out, |s, _| {
        let index = s.save(&index);
        move |c, g| Ok(grads![Some(place(g, &shape, d, &index.get(c)?, true)?)])
    })?;
    Ok((out, index))
}
pub fn cummax(a: &Tensor, dim: i64) -> Result<(Tensor, Tensor)> {
    cum_extreme(ScanOp::Max, "CummaxBackward0", a, dim)
}
pub fn cummin(a: &Tensor, dim: i64) -> Result<(Tensor, Tensor)> {
    cum_extreme(ScanOp::Min, "CumminBackward0", a, dim)
}
