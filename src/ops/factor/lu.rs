//! LU: the factors, and what is solved and computed from them.

use super::*;
use crate::autograd::{record, record_many};
use crate::backend::cpu::dense;
use crate::grads;

/// What the kernel leaves: L and U in one matrix in column order, pivots and info, on the host.
#[derive(Clone)]
pub(super) struct Factored {
    pub lu: Tensor,
    pub pivots: Tensor,
    pub info: Tensor,
    /// Whether these are the factors of A^T.
    pub flipped: bool,
}
impl Factored {
    /// Solves A X = B (or A^T X = B) in place of b, in column order on the host.
    pub fn solve(&self, b: &Tensor, transposed: bool) -> Result<()> {
        let (lu, pivots) = (self.lu.body(), self.pivots.body());
        dense::lu_solve(lu.view(), pivots.view(), b.body().view(), transposed != self.flipped)
    }
}
fn factored_as(a: &Tensor, flipped: bool) -> Result<Factored> {
    let (m, n) = rows_columns(a);
    let lu = if flipped { in_rows(a)? } else { in_columns(a)? };
    let size = lu.size(0)?;
    let (pivots, info) = (host(&[size, m.min(n)], DType::I32)?, info_of(size)?);
    dense::lu(lu.body().view(), pivots.body().view(), info.body().view())?;
    Ok(Factored { lu, pivots, info, flipped })
}
/// Factors of A, or of A^T where that saves turning it around; not where a pivot is 0, whose number is told.
pub(super) fn factored(a: &Tensor) -> Result<Factored> {
    if a.is_contiguous() {
        let f = factored_as(a, true)?;
        if f.info.to_i64_vec()?.iter().all(|k| *k == 0) {
            return Ok(f);
        }
    }
    factored_as(a, false)
}

fn check_factor(a: &Tensor, name: &str, pivot: bool) -> Result<()> {
    ensure!(
        a.ndim() >= 2,
        Runtime,
        "{name}: Expected tensor with 2 or more dimensions. Got size: {:?} instead",
        &a.shape()[..]
    );
    check_kernel("lu_cpu", a)?;
    ensure!(pivot, Runtime, "linalg.lu_factor: LU without pivoting is not implemented on the CPU");
    Ok(())
}
fn factor(a: &Tensor, name: &str, pivot: bool, api: Option<&str>) -> Result<(Tensor, Tensor, Tensor)> {
    check_factor(a, name, pivot)?;
    let (lu, pivots, info) = plain(|| {
        let (f, batch, device) = (factored_as(a, false)?, batch_of(a), a.device());
        let k = f.pivots.size(1)?;
        Ok((
            from_columns(&f.lu, &batch, device)?,
            to_device(&reshape(&f.pivots, &with(&batch, &[k]))?, device)?,
            to_device(&reshape(&f.info, &batch)?, device)?,
        ))
    })?;
    if let Some(api) = api {
        if let Some((which, k)) = failure(&info)? {
            bail!(
                Runtime,
                "{api}: {which}U[{k},{k}] is zero and using it on lu_solve would result in a division by zero. If you still want to perform the factorization, consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)"
            );
        }
    }
    record_many("LinalgLuFactorExBackward0", &[a], &[&lu], |s| {
        let (saved, pivots) = (s.save_output(&lu, 0), pivots.alias_same());
        move |c, g| {
            let Some(g) = &g[0] else { return Ok(grads![None]) };
            let lu = saved.get(c)?;
            let (p, l, u) = lu_unpack(&lu, &pivots, true, true)?;
            let k = p.size(-1)?.min(u.size(-1)?);
            let gl = tril(&narrow(g, -1, 0, k)?, -1)?;
            let gu = triu(&narrow(g, -2, 0, k)?, 0)?;
            Ok(grads![Some(lu_gradient(&gl, &gu, &p, &l, &u)?)])
        }
    })?;
    Ok((lu, pivots, info))
}
/// The gradient of A = P L U. Beyond the square part, what the other columns (or rows) say of the factor that they share is
/// taken to it first.
fn lu_gradient(gl: &Tensor, gu: &Tensor, p: &Tensor, l: &Tensor, u: &Tensor) -> Result<Tensor> {
    let (m, n) = (l.size(-2)?, u.size(-1)?);
    let (lt, inner) = (mt(l)?, matmul(&mt(l)?, gl)?);
    let left = |t: &Tensor, x: &Tensor| linalg_solve_triangular(t, x, true, true, true);
    let right = |u: &Tensor, x: &Tensor| linalg_solve_triangular(&mt(u)?, x, false, false, false);
    let both = |x: &Tensor, y: &Tensor| plus(&tril(x, -1)?, &triu(y, 0)?);
    let g = if m == n {
        right(u, &left(&lt, &both(&inner, &matmul(gu, &mt(u)?)?)?)?)?
    } else if m < n {
        let (u1, u2) = (narrow(u, -1, 0, m)?, narrow(u, -1, m, n - m)?);
        let (g1, g2) = (narrow(gu, -1, 0, m)?, narrow(gu, -1, m, n - m)?);
        let x = minus(&inner, &matmul(&g2, &mt(&u2)?)?)?;
        let first = right(&u1, &left(&lt, &both(&x, &matmul(&g1, &mt(&u1)?)?)?)?)?;
        cat(&[first, left(&lt, &g2)?], -1)?
    } else {
        let (l1, l2) = (narrow(l, -2, 0, n)?, narrow(l, -2, n, m - n)?);
        let (g1, g2) = (narrow(gl, -2, 0, n)?, narrow(gl, -2, n, m - n)?);
        let y = minus(&matmul(gu, &mt(u)?)?, &matmul(&mt(&l2)?, &g2)?)?;
        let first = right(u, &left(&mt(&l1)?, &both(&matmul(&mt(&l1)?, &g1)?, &y)?)?)?;
        cat(&[first, right(u, &g2)?], -2)?
    };
    matmul(p, &g)
}
/// L and U in one matrix, pivots, and which pivot is 0 first.
pub fn linalg_lu_factor_ex(a: &Tensor, pivot: bool, check_errors: bool) -> Result<(Tensor, Tensor, Tensor)> {
    factor(a, "torch.lu_factor", pivot, check_errors.then_some("torch.linalg.lu_factor_ex"))
}
pub fn linalg_lu_factor(a: &Tensor, pivot: bool) -> Result<(Tensor, Tensor)> {
    let (lu, pivots, _) = factor(a, "torch.lu_factor", pivot, Some("torch.linalg.lu_factor"))?;
    Ok((lu, pivots))
}
/// A = P L U.
pub fn linalg_lu(a: &Tensor, pivot: bool) -> Result<(Tensor, Tensor, Tensor)> {
    let (lu, pivots, _) = factor(a, "linalg.lu", pivot, None)?;
    lu_unpack(&lu, &pivots, true, true)
}
/// Where each row of P^T A comes from, as int64 ([.., m]).
fn permutation(pivots: &Tensor, m: i64) -> Result<Tensor> {
    let s = pivots.shape();
    ensure!(!s.is_empty(), Runtime, "pivots must have a dimension, the last one for the steps, got a 0-dim tensor");
    let k = s[s.len() - 1] as usize;
    let values = pivots.to_i64_vec()?;
    let batch = &s[..s.len() - 1];
    let size = batch.iter().product::<i64>() as usize;
    let mut order = Vec::with_capacity(size * m as usize);
    for i in 0..size {
        let from = order.len();
        order.extend(0..m);
        for (j, p) in values[i * k..(i + 1) * k].iter().enumerate() {
            ensure!(
                *p >= 1 && *p <= m && j < m as usize,
                Runtime,
                "pivots passed to lu_unpack must be between 1 and LU.size(-2) inclusive. Did you properly pass the result of lu_factor?"
            );
            order.swap(from + j, from + *p as usize - 1);
        }
    }
    to_device(&Tensor::from_slice(&order, &with(batch, &[m]))?, pivots.device())
}
pub fn lu_unpack(
    lu: &Tensor,
    pivots: &Tensor,
    unpack_data: bool,
    unpack_pivots: bool,
) -> Result<(Tensor, Tensor, Tensor)> {
    ensure!(
        !unpack_pivots || pivots.dtype() == DType::I32,
        Runtime,
        "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype."
    );
    check_matrix("torch.lu_unpack", "LU_data", lu)?;
    let ((m, n), device) = (rows_columns(lu), Some(lu.device()));
    let k = m.min(n);
    let nothing = || empty(&[0], Some(lu.dtype()), device);
    let (l, u) = if unpack_data {
        let one = eye_m(m, k, Some(lu.dtype()), device)?;
        (plus(&tril(&narrow(lu, -1, 0, k)?, -1)?, &one)?, triu(&narrow(lu, -2, 0, k)?, 0)?)
    } else {
        (nothing()?, nothing()?)
    };
    let p = if unpack_pivots {
        plain(|| {
            let order = permutation(pivots, m)?;
            let rows = index_select(&eye(m, Some(lu.dtype()), device)?, 0, &reshape(&order, &[-1])?)?;
            mt(&reshape(&rows, &with(&order.shape(), &[m]))?)
        })?
    } else {
        nothing()?
    };
    Ok((p, l, u))
}
/// Solves A X = B by the factors of A.
pub fn linalg_lu_solve(lu: &Tensor, pivots: &Tensor, b: &Tensor, left: bool, adjoint: bool) -> Result<Tensor> {
    let name = "linalg.lu_solve";
    check_real("torch.linalg.lu_solve", lu)?;
    ensure!(pivots.dtype() == DType::I32, Runtime, "{name}: pivots should be a Tensor of scalar type torch.int32");
    check_square("torch.linalg.lu_solve", lu)?;
    check_matrix(name, "B", b)?;
    check_same(name, ("LU", lu), ("B", b))?;
    solve::check_fit(name, lu, b, left)?;
    let (s, n) = (pivots.shape(), lu.size(-1)?);
    ensure!(
        s.last() == Some(&n),
        Runtime,
        "{name}: Number of pivots per batch should be same as the dimension of the matrix"
    );
    ensure!(
        s[..s.len() - 1] == batch_of(lu)[..],
        Runtime,
        "{name}: Expected LU.shape[:-1] and pivots.shape to be the same, but got pivots with shape {:?} instead",
        &s[..]
    );
    let (x, transposed) = if left { (b.clone(), adjoint) } else { (mt(b)?, !adjoint) };
    let x = if autograd::recording(&[lu, b]) {
        let (p, _, _) = lu_unpack(lu, pivots, false, true)?;
        if transposed {
            let y = linalg_solve_triangular(&mt(lu)?, &x, false, true, false)?;
            matmul(&p, &linalg_solve_triangular(&mt(lu)?, &y, true, true, true)?)?
        } else {
            let y = linalg_solve_triangular(lu, &matmul(&mt(&p)?, &x)?, false, true, true)?;
            linalg_solve_triangular(lu, &y, true, true, false)?
        }
    } else {
        let batch = crate::base::layout::broadcast_shapes(&batch_of(lu), &batch_of(&x))?;
        let factors = in_columns(&broadcast(lu, &batch)?)?;
        let p = to_device(&expand(pivots, &with(&batch, &[n]))?.contiguous_copy()?, Device::CPU)?;
        let out = in_columns(&broadcast(&x, &batch)?)?;
        let pivots = reshape(&p, &[factors.size(0)?, n])?;
        dense::lu_solve(factors.body().view(), pivots.body().view(), out.body().view(), transposed)?;
        from_columns(&out, &batch, b.device())?
    };
    if left {
        Ok(x)
    } else {
        mt(&x)
    }
}
/// The same with PyTorch's older order of arguments.
pub fn lu_solve(b: &Tensor, lu: &Tensor, pivots: &Tensor) -> Result<Tensor> {
    linalg_lu_solve(lu, pivots, b, true, false)
}

/// -1 where an odd number of rows was exchanged, else 1.
fn parity(f: &Factored, dtype: DType) -> Result<Tensor> {
    let k = f.pivots.size(1)?;
    let still = arange_start(ONE, Scalar::Int(k + 1), Some(DType::I32), Some(Device::CPU))?;
    let moved = sum_dim(&ne(&f.pivots, &still)?, Some(&[1]), false, Some(DType::I64))?;
    let odd = cast(&remainder_scalar(&moved, Scalar::Int(2))?, dtype)?;
    add_scalar(&mul_scalar(&odd, Scalar::Int(-2))?, ONE, ONE)
}
/// Solves A^T X = diag(d) by the factors: d A^-T.
fn scaled_inverse(f: &Factored, d: &Tensor, like: &Tensor) -> Result<Tensor> {
    let x = in_columns(&diagonal_matrix(&expand(&unsqueeze(d, -1)?, &with(&d.shape(), &[like.size(-1)?]))?)?)?;
    f.solve(&x, true)?;
    from_columns(&x, &batch_of(like), like.device())
}
fn determinant(name: &str, a: &Tensor) -> Result<(Tensor, Factored)> {
    check_square(name, a)?;
    check_real(name, a)?;
    plain(|| {
        let f = factored(a)?;
        let product = prod_dim(&diagonal(&f.lu, 0, 1, 2)?, 1, false, None)?;
        let out = reshape(&mul(&product, &parity(&f, a.dtype())?)?, &batch_of(a))?;
        Ok((fresh(to_device(&out, a.device()))?, f))
    })
}
pub fn linalg_det(a: &Tensor) -> Result<Tensor> {
    let (out, f) = determinant("linalg.det", a)?;
    record("LinalgDetBackward0", &[a], out, |s, out| {
        let (a, out) = (s.save(a), s.save_output(out, 0));
        move |c, g| {
            let (a, out) = (a.get(c)?, out.get(c)?);
            let diagonal_ = diagonal(&f.lu, 0, 1, 2)?;
            let singular = plain(|| any(&eq_scalar(&diagonal_, ZERO)?))?.item()?.to_f64() != 0.0;
            // A determinant is smooth where it is 0 too: there by a matrix so near that it makes no difference.
            let eps = if a.dtype() == DType::F32 { f32::EPSILON as f64 } else { f64::EPSILON };
            let near = |eps: f64| {
                plain(|| {
                    let lu = clone(&f.lu)?;
                    let d = diagonal(&lu, 0, 1, 2)?;
                    let zero = eq_scalar(&d, ZERO)?;
                    masked_fill_scalar_(&d, &zero, Scalar::Float(eps))?;
                    Ok((lu, zero))
                })
            };
            if !c.create_graph {
                if !singular {
                    return Ok(grads![Some(scaled_inverse(&f, &mul(g, &out)?, &a)?)]);
                }
                let (lu, _) = near(eps)?;
                let f = Factored { lu: lu.clone(), ..f.clone() };
                let sign = parity(&f, a.dtype())?;
                let det = mul(&prod_dim(&diagonal(&lu, 0, 1, 2)?, 1, false, None)?, &sign)?;
                let d = mul(g, &to_device(&reshape(&det, &g.shape())?, a.device())?)?;
                return Ok(grads![Some(scaled_inverse(&f, &d, &a)?)]);
            }
            let (a, det) = if singular {
                let moved = plain(|| {
                    let (_, zero) = near(eps)?;
                    let n = a.size(-1)?;
                    let lower = plus(&tril(&mt(&f.lu)?, -1)?, &eye(n, Some(a.dtype()), Some(Device::CPU))?)?;
                    let step = mul_scalar(&cast(&zero, a.dtype())?, Scalar::Float(eps.sqrt()))?;
                    let (p, _, _) = lu_unpack(&lower, &f.pivots, false, true)?;
                    let e = matmul(&p, &matmul(&lower, &diagonal_matrix(&step)?)?)?;
                    let e = if f.flipped { mt(&e)? } else { e };
                    to_device(&reshape(&e, &a.shape())?, a.device())
                })?;
                let a = plus(&a, &moved)?;
                let det = linalg_det(&a)?;
                (a, det)
            } else {
                (a, out)
            };
            let d = mul(g, &det)?;
            let d = unsqueeze(&unsqueeze(&d, -1)?, -1)?;
            Ok(grads![Some(mul(&d, &mt(&linalg_inv_ex(&a, false)?.0)?)?)])
        }
    })
}
pub fn det(a: &Tensor) -> Result<Tensor> {
    linalg_det(a)
}
fn sign_and_log(name: &str, a: &Tensor) -> Result<(Tensor, Tensor)> {
    check_square(name, a)?;
    check_real(name, a)?;
    let (sign, logabs, f) = plain(|| {
        let f = factored(a)?;
        let d = diagonal(&f.lu, 0, 1, 2)?;
        let signs = mul(&prod_dim(&sign(&d)?, 1, false, None)?, &parity(&f, a.dtype())?)?;
        let logs = sum_dim(&log(&abs(&d)?)?, Some(&[1]), false, None)?;
        let back = |t: &Tensor| fresh(to_device(&reshape(t, &batch_of(a))?, a.device()));
        Ok((back(&signs)?, back(&logs)?, f))
    })?;
    let logabs = record("LinalgSlogdetBackward0", &[a], logabs, |s, _| {
        let a = s.save(a);
        move |c, g| {
            let a = a.get(c)?;
            if !c.create_graph {
                return Ok(grads![Some(scaled_inverse(&f, g, &a)?)]);
            }
            let d = unsqueeze(&unsqueeze(g, -1)?, -1)?;
            Ok(grads![Some(mul(&d, &mt(&linalg_inv_ex(&a, false)?.0)?)?)])
        }
    })?;
    Ok((sign, logabs))
}
pub fn linalg_slogdet(a: &Tensor) -> Result<(Tensor, Tensor)> {
    sign_and_log("linalg.slogdet", a)
}
pub fn slogdet(a: &Tensor) -> Result<(Tensor, Tensor)> {
    linalg_slogdet(a)
}
pub fn logdet(a: &Tensor) -> Result<Tensor> {
    let (sign, log) = sign_and_log("logdet", a)?;
    masked_fill_scalar(&log, &eq_scalar(&sign, Scalar::Int(-1))?, Scalar::Float(f64::NAN))
}
