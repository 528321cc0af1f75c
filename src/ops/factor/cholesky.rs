//! Cholesky's factorisation, and L D L^T.

use super::*;
use crate::autograd::record;
use crate::backend::cpu::dense;
use crate::grads;

fn factor(api: Option<&str>, a: &Tensor, upper: bool) -> Result<(Tensor, Tensor)> {
    check_square("linalg.cholesky", a)?;
    ensure!(
        a.dtype().is_float(),
        NotImplemented,
        "linalg.cholesky: Expected a floating point or complex tensor as input. Got {}",
        a.dtype().scalar_name()
    );
    check_kernel("cholesky_cpu", a)?;
    let (out, info) = plain(|| {
        let batch = batch_of(a);
        // The upper triangle in row order is the lower one in column order.
        let x = if upper { in_rows(a)? } else { in_columns(a)? };
        let info = info_of(x.size(0)?)?;
        dense::cholesky(x.body().view(), info.body().view())?;
        let info = to_device(&reshape(&info, &batch)?, a.device())?;
        if let Some(api) = api {
            if let Some((which, k)) = failure(&info)? {
                bail!(
                    Runtime,
                    "{api}: {which}The factorization could not be completed because the input is not positive-definite (the leading minor of order {k} is not positive-definite)."
                );
            }
        }
        let out = if upper { from_rows(&x, &batch, a.device())? } else { from_columns(&x, &batch, a.device())? };
        Ok((out, info))
    })?;
    let out = record("LinalgCholeskyExBackward0", &[a], out, |s, out| {
        let l = s.save_output(out, 0);
        move |c, g| {
            let l = l.get(c)?;
            let (l, g) = if upper { (mt(&l)?, mt(g)?) } else { (l, g.clone()) };
            // L^-T phi(L^T gL) L^-1, phi the lower triangle with half the diagonal; of that the symmetric part.
            let x = tril(&matmul(&mt(&l)?, &g)?, 0)?;
            let x = mul_scalar(&plus(&x, &tril(&x, -1)?)?, Scalar::Float(0.5))?;
            let y = linalg_solve_triangular(&l, &x, false, false, false)?;
            let y = linalg_solve_triangular(&mt(&l)?, &y, true, true, false)?;
            Ok(grads![Some(mul_scalar(&plus(&y, &mt(&y)?)?, Scalar::Float(0.5))?)])
        }
    })?;
    Ok((out, info))
}
pub fn linalg_cholesky_ex(a: &Tensor, upper: bool, check_errors: bool) -> Result<(Tensor, Tensor)> {
    factor(check_errors.then_some("linalg.cholesky_ex"), a, upper)
}
pub fn linalg_cholesky(a: &Tensor, upper: bool) -> Result<Tensor> {
    Ok(factor(Some("linalg.cholesky"), a, upper)?.0)
}
/// Solves A X = B by the factor of A.
pub fn cholesky_solve(b: &Tensor, l: &Tensor, upper: bool) -> Result<Tensor> {
    for (n, t) in [("b", b), ("u", l)] {
        ensure!(
            t.ndim() >= 2,
            Runtime,
            "{n} should have at least 2 dimensions, but has {} dimensions instead",
            t.ndim()
        );
    }
    solve::check_older("cholesky_solve", b, l)?;
    let out = plain(|| {
        let l = if upper { mt(l)? } else { l.clone() };
        let y = linalg_solve_triangular(&l, b, false, true, false)?;
        linalg_solve_triangular(&mt(&l)?, &y, true, true, false)
    })?;
    record("CholeskySolveBackward0", &[b, l], out, |s, out| {
        let (l, x) = (s.save(l), s.save_output(out, 0));
        move |c, g| {
            let (l, x) = (l.get(c)?, x.get(c)?);
            let gb = cholesky_solve(g, &l, upper)?;
            let gl = if c.needs(1) {
                // Of L as a whole matrix, as PyTorch has it.
                let p = matmul(&gb, &mt(&x)?)?;
                let p = neg(&plus(&p, &mt(&p)?)?)?;
                Some(if upper { matmul(&l, &p)? } else { matmul(&p, &l)? })
            } else {
                None
            };
            Ok(grads![Some(gb), gl])
        }
    })
}
/// The inverse of A by its factor.
pub fn cholesky_inverse(l: &Tensor, upper: bool) -> Result<Tensor> {
    let name = "cholesky_inverse";
    check_square(name, l)?;
    check_kernel("cholesky_inverse_out_cpu", l)?;
    plain(|| {
        let zero = eq_scalar(&diagonal(l, 0, -2, -1)?, ZERO)?;
        if any(&zero)?.item()?.to_f64() == 0.0 {
            return Ok(());
        }
        let (values, n) = (zero.to_i64_vec()?, l.size(-1)? as usize);
        let at = values.iter().position(|z| *z != 0).unwrap_or(0);
        let which = if l.ndim() > 2 { format!("(Batch element {}): ", at / n) } else { String::new() };
        bail!(
            Runtime,
            "{name}: {which}The diagonal element {} is zero, the inversion could not be completed because the input matrix is singular.",
            at % n + 1
        )
    })?;
    cholesky_solve(&broadcast(&matrices(l)?, &batch_of(l))?, l, upper)
}

fn ldl(api: Option<&str>, a: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
    let name = "torch.linalg.ldl_factor_ex";
    check_square(name, a)?;
    ensure!(
        a.dtype().is_float(),
        NotImplemented,
        "{name}: Expected a floating point or complex tensor as input. Got {}",
        a.dtype().scalar_name()
    );
    check_kernel("ldl_factor_kernel_cpu", a)?;
    check_cpu("linalg_ldl_factor", a)?;
    plain(|| {
        let (batch, x) = (batch_of(a), in_columns(a)?);
        let (size, n) = (x.size(0)?, x.size(1)?);
        let (pivots, info) = (host(&[size, n], DType::I32)?, info_of(size)?);
        dense::ldl(x.body().view(), pivots.body().view(), info.body().view())?;
        let info = reshape(&info, &batch)?;
        if let Some(api) = api {
            if let Some((which, k)) = failure(&info)? {
                bail!(
                    Runtime,
                    "{api}: {which}D[{k},{k}] is zero, so that the factors are of no use for solving; linalg.ldl_factor_ex gives them all the same."
                );
            }
        }
        Ok((from_columns(&x, &batch, a.device())?, reshape(&pivots, &with(&batch, &[n]))?, info))
    })
}
pub fn linalg_ldl_factor_ex(a: &Tensor, _hermitian: bool, check_errors: bool) -> Result<(Tensor, Tensor, Tensor)> {
    ldl(check_errors.then_some("torch.linalg.ldl_factor_ex"), a)
}
pub fn linalg_ldl_factor(a: &Tensor, _hermitian: bool) -> Result<(Tensor, Tensor)> {
    let (ld, pivots, _) = ldl(Some("torch.linalg.ldl_factor"), a)?;
    Ok((ld, pivots))
}
/// Solves A X = B by the factors of a symmetric A.
// Symmetric and Hermitian are one for real matrices.
#[allow(clippy::only_used_in_recursion)]
pub fn linalg_ldl_solve(ld: &Tensor, pivots: &Tensor, b: &Tensor, hermitian: bool) -> Result<Tensor> {
    let name = "torch.linalg.ldl_solve";
    check_square(name, ld)?;
    check_real(name, ld)?;
    check_cpu("linalg_ldl_solve", ld)?;
    b.size(-2)?;
    check_matrix(name, "B", b)?;
    ensure!(
        !pivots.dtype().is_float() && pivots.dtype() != DType::Bool,
        Runtime,
        "{name}: Expected pivots to be integers. Got {}",
        pivots.dtype().scalar_name()
    );
    check_same(name, ("LD", ld), ("B", b))?;
    let ((n, _), (p, q)) = (rows_columns(ld), rows_columns(b));
    ensure!(
        n == p,
        Runtime,
        "Incompatible matrix sizes for {name}: each A matrix is {n} by {n} but each b matrix is {p} by {q}"
    );
    let s = pivots.shape();
    ensure!(
        s[..] == with(&batch_of(ld), &[n])[..],
        Runtime,
        "{name}: Expected LD.shape[:-1] and pivots.shape to be the same, but got pivots with shape {:?} instead",
        &s[..]
    );
    let batch = crate::base::layout::broadcast_shapes(&batch_of(ld), &batch_of(b))?;
    let out = plain(|| {
        let (a, x) = (in_columns(&broadcast(ld, &batch)?)?, in_columns(&broadcast(b, &batch)?)?);
        let p = cast(&expand(pivots, &with(&batch, &[n]))?, DType::I32)?.contiguous_copy()?;
        let p = reshape(&p, &[x.size(0)?, n])?;
        dense::ldl_solve(a.body().view(), p.body().view(), x.body().view())?;
        from_columns(&x, &batch, b.device())
    })?;
    record("LinalgLdlSolveBackward0", &[b], out, |s, _| {
        let (ld, pivots) = (s.save(ld), pivots.alias_same());
        move |c, g| Ok(grads![Some(linalg_ldl_solve(&ld.get(c)?, &pivots, g, hermitian)?)])
    })
}
