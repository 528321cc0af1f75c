//! QR and products of Householder reflections.

use super::*;
use crate::autograd::{record_many, recording};
use crate::backend::cpu::dense;
use crate::grads;

/// The kernel's factors in column order, and tau, on the host.
fn reflected(a: &Tensor) -> Result<(Tensor, Tensor)> {
    let (m, n) = rows_columns(a);
    let x = in_columns(a)?;
    let tau = host(&[x.size(0)?, m.min(n)], a.dtype())?;
    dense::qr(x.body().view(), tau.body().view())?;
    Ok((x, tau))
}
/// The first `columns` columns of the product of the reflections.
fn product_of(x: &Tensor, tau: &Tensor, columns: i64) -> Result<Tensor> {
    let (size, m) = (x.size(0)?, x.size(2)?);
    let q = expand(&eye_m(columns, m, Some(x.dtype()), Some(Device::CPU))?, &[size, columns, m])?.contiguous_copy()?;
    dense::apply_q(x.body().view(), tau.body().view(), q.body().view(), false, true)?;
    Ok(q)
}
/// A = Q R.
pub fn linalg_qr(a: &Tensor, mode: &str) -> Result<(Tensor, Tensor)> {
    check_matrix("linalg.qr", "A", a)?;
    ensure!(
        a.dtype().is_float(),
        NotImplemented,
        "linalg.qr: Expected a floating point or complex tensor as input. Got {}",
        a.dtype().scalar_name()
    );
    ensure!(
        matches!(mode, "reduced" | "complete" | "r"),
        Runtime,
        "qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'"
    );
    check_kernel("geqrf_cpu", a)?;
    let (m, n) = rows_columns(a);
    let rows = if mode == "complete" { m } else { m.min(n) };
    let wide = mode == "complete" && m > n;
    let (q, r) = plain(|| {
        let (batch, (x, tau)) = (batch_of(a), reflected(a)?);
        let r = triu(&mt(&narrow(&x, 2, 0, rows)?)?, 0)?;
        let q = match mode {
            "r" => empty(&[0], Some(a.dtype()), Some(a.device()))?,
            _ => from_columns(&product_of(&x, &tau, rows)?, &batch, a.device())?,
        };
        Ok((q, from_rows(&r, &batch, a.device())?))
    })?;
    let is_r = mode == "r";
    record_many("LinalgQrBackward0", &[a], &[&q, &r], |s| {
        let (a, q, r) = (s.save(a), s.save_output(&q, 0), s.save_output(&r, 1));
        move |c, g| {
            ensure!(
                !is_r,
                Runtime,
                "linalg_qr_backward: The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use linalg.qr(A, mode='reduced') if you are going to require gradients"
            );
            ensure!(
                !wide,
                Runtime,
                "The QR decomposition is not differentiable when mode='complete' and nrows > ncols."
            );
            let (q, r) = (q.get(c)?, r.get(c)?);
            let gq = g[0].clone().map_or_else(|| zeros_like(&q, None, None), Ok)?;
            let gr = g[1].clone().map_or_else(|| zeros_like(&r, None, None), Ok)?;
            if m >= n {
                return Ok(grads![Some(square_gradient(&gq, &gr, &q, &r)?)]);
            }
            // A = [X Y]: X = Q U, and V = Q^T Y, by which Y takes part in Q's gradient.
            let y = narrow(&a.get(c)?, -1, m, n - m)?;
            let (gu, gv) = (narrow(&gr, -1, 0, m)?, narrow(&gr, -1, m, n - m)?);
            let gq = plus(&gq, &matmul(&y, &mt(&gv)?)?)?;
            let gx = square_gradient(&gq, &gu, &q, &narrow(&r, -1, 0, m)?)?;
            Ok(grads![Some(cat(&[gx, matmul(&q, &gv)?], -1)?)])
        }
    })?;
    Ok((q, r))
}
/// (gQ + Q S) R^-T, S the symmetric matrix with the upper triangle of gR R^T - Q^T gQ.
fn square_gradient(gq: &Tensor, gr: &Tensor, q: &Tensor, r: &Tensor) -> Result<Tensor> {
    let x = minus(&matmul(gr, &mt(r)?)?, &matmul(&mt(q)?, gq)?)?;
    let s = plus(&triu(&x, 0)?, &mt(&triu(&x, 1)?)?)?;
    linalg_solve_triangular(&mt(r)?, &plus(gq, &matmul(q, &s)?)?, false, false, false)
}
/// R and the reflections below it, and their factors.
pub fn geqrf(a: &Tensor) -> Result<(Tensor, Tensor)> {
    ensure!(a.ndim() >= 2, Runtime, "torch.geqrf: input must have at least 2 dimensions.");
    check_kernel("geqrf_cpu", a)?;
    let (x, tau) = plain(|| {
        let (batch, (x, tau)) = (batch_of(a), reflected(a)?);
        let k = tau.size(1)?;
        Ok((from_columns(&x, &batch, a.device())?, to_device(&reshape(&tau, &with(&batch, &[k]))?, a.device())?))
    })?;
    record_many("GeqrfBackward0", &[a], &[&x, &tau], |s| {
        s.holds_state();
        |_, _| bail!(NotImplemented, "the derivative for 'geqrf' is not implemented.")
    })?;
    Ok((x, tau))
}

fn check_tau(name: &str, a: &Tensor, tau: &Tensor) -> Result<()> {
    ensure!(a.ndim() >= 2, Runtime, "{name}: input must have at least 2 dimensions.");
    let (s, t) = (a.shape(), tau.shape());
    ensure!(
        t.len() + 1 == s.len(),
        Runtime,
        "{name}: Expected tau to have one dimension less than input, but got tau.ndim equal to {} and input.ndim is equal to {}",
        t.len(),
        s.len()
    );
    ensure!(
        s[..s.len() - 2] == t[..t.len() - 1],
        Runtime,
        "{name}: Expected batch dimensions of tau to be equal to input.shape[:-2], but got {:?}",
        &t[..t.len() - 1]
    );
    ensure!(
        a.dtype() == tau.dtype(),
        Runtime,
        "{name}: tau dtype {} does not match input dtype {}",
        tau.dtype().scalar_name(),
        a.dtype().scalar_name()
    );
    pointwise::same_device(a, tau)
}
/// The vectors of reflections: unit lower trapezoidal.
fn vectors(a: &Tensor, k: i64) -> Result<Tensor> {
    let m = a.size(-2)?;
    plus(&tril(&narrow(a, -1, 0, k)?, -1)?, &eye_m(m, k, Some(a.dtype()), Some(a.device()))?)
}
/// C = H1 H2 .. Hk C, or the transpose, in recorded ops.
fn reflect_recorded(a: &Tensor, tau: &Tensor, c: &Tensor, transposed: bool) -> Result<Tensor> {
    let k = tau.size(-1)?;
    let v = vectors(a, k)?;
    let mut c = c.clone();
    for i in 0..k {
        let i = if transposed { i } else { k - 1 - i };
        let (x, t) = (narrow(&v, -1, i, 1)?, unsqueeze(&narrow(tau, -1, i, 1)?, -1)?);
        c = minus(&c, &matmul(&mul(&x, &t)?, &matmul(&mt(&x)?, &c)?)?)?;
    }
    Ok(c)
}
/// The first columns of a product of reflections.
pub fn linalg_householder_product(a: &Tensor, tau: &Tensor) -> Result<Tensor> {
    let name = "torch.linalg.householder_product";
    ensure!(a.ndim() >= 2, Runtime, "{name}: input must have at least 2 dimensions.");
    let (m, n) = rows_columns(a);
    ensure!(m >= n, Runtime, "{name}: input.shape[-2] must be greater than or equal to input.shape[-1]");
    ensure!(
        tau.ndim() == 0 || n >= tau.size(-1)?,
        Runtime,
        "{name}: input.shape[-1] must be greater than or equal to tau.shape[-1]"
    );
    check_tau(name, a, tau)?;
    check_kernel("orgqr_cpu", a)?;
    if recording(&[a, tau]) {
        let one = expand(&eye_m(m, n, Some(a.dtype()), Some(a.device()))?, &a.shape())?;
        return reflect_recorded(a, tau, &one, false);
    }
    plain(|| {
        let (x, k) = (in_columns(a)?, tau.size(-1)?);
        let t = reshape(&to_device(&tau.contiguous_copy()?, Device::CPU)?, &[x.size(0)?, k])?;
        from_columns(&product_of(&x, &t, n)?, &batch_of(a), a.device())
    })
}
pub fn orgqr(a: &Tensor, tau: &Tensor) -> Result<Tensor> {
    linalg_householder_product(a, tau)
}
/// C times a product of reflections, without forming that.
pub fn ormqr(a: &Tensor, tau: &Tensor, other: &Tensor, left: bool, transpose_: bool) -> Result<Tensor> {
    let name = "torch.ormqr";
    ensure!(a.ndim() >= 2, Runtime, "{name}: input must have at least 2 dimensions.");
    ensure!(other.ndim() >= 2, Runtime, "{name}: other must have at least 2 dimensions.");
    let ((m, n), (p, q)) = (rows_columns(a), rows_columns(other));
    let (place, size) = if left { (-2, p) } else { (-1, q) };
    ensure!(
        tau.ndim() > 0 && tau.size(-1)? == size.min(n),
        Runtime,
        "{name}: tau.shape[-1] must be equal to min(other.shape[{place}], input.shape[-1])"
    );
    ensure!(size == m, Runtime, "{name}: other.shape[{place}] must be equal to input.shape[-2]");
    check_tau(name, a, tau)?;
    ensure!(
        batch_of(a) == batch_of(other),
        Runtime,
        "{name}: Expected batch dimensions of other to be equal to input.shape[:-2], but got {:?}",
        &batch_of(other)[..]
    );
    ensure!(
        a.dtype() == other.dtype(),
        Runtime,
        "{name}: Expected input and other to have the same dtype, but input has dtype {} and other has dtype {}",
        a.dtype().scalar_name(),
        other.dtype().scalar_name()
    );
    check_kernel("ormqr_cpu", a)?;
    pointwise::same_device(a, other)?;
    let c = if left { other.clone() } else { mt(other)? };
    let transposed = transpose_ == left;
    let out = if recording(&[a, tau, other]) {
        reflect_recorded(a, tau, &c, transposed)?
    } else {
        plain(|| {
            let (x, y) = (in_columns(a)?, in_columns(&c)?);
            let t = to_device(&tau.contiguous_copy()?, Device::CPU)?;
            let t = reshape(&t, &[x.size(0)?, tau.size(-1)?])?;
            dense::apply_q(x.body().view(), t.body().view(), y.body().view(), transposed, false)?;
            from_columns(&y, &batch_of(other), other.device())
        })?
    };
    if left {
        Ok(out)
    } else {
        mt(&out)
    }
}
