//! Eigenvalues of symmetric matrices, singular values, and functions of matrices by them. The kernels compute in double
//! precision.

use super::*;
use crate::autograd::{record, record_many, recording};
use crate::backend::cpu::dense;
use crate::grads;

const HALF: Scalar = Scalar::Float(0.5);

/// Eigenvalues and, if asked for, vectors ([.., n, 0] otherwise).
fn symmetric(a: &Tensor, uplo: &str, vectors: bool) -> Result<(Tensor, Tensor)> {
    let name = "linalg.eigh";
    check_square(name, a)?;
    let upper = match uplo {
        "L" | "l" => false,
        "U" | "u" => true,
        other => bail!(Runtime, "Expected UPLO argument to be 'L' or 'U', but got {other}"),
    };
    check_kernel("linalg_eigh_cpu", a)?;
    check_cpu("linalg_eigh", a)?;
    plain(|| {
        let (batch, wide) = (batch_of(a), cast(a, DType::F64)?);
        // The upper triangle in row order is the lower one in column order.
        let x = if upper { in_rows(&wide)? } else { in_columns(&wide)? };
        let (size, n) = (x.size(0)?, x.size(1)?);
        let (w, info) = (host(&[size, n], DType::F64)?, info_of(size)?);
        dense::eigh(x.body().view(), w.body().view(), info.body().view(), vectors)?;
        if let Some((which, k)) = failure(&reshape(&info, &batch)?)? {
            bail!(
                Runtime,
                "{name}: {which}The algorithm failed to converge because the input matrix is ill-conditioned or has too many repeated eigenvalues (error code: {k})."
            );
        }
        let w = fresh(cast(&reshape(&w, &with(&batch, &[n]))?, a.dtype()))?;
        let v = if vectors { cast(&from_columns(&x, &batch, a.device())?, a.dtype())? } else { w.clone() };
        Ok((w, v))
    })
}
/// Eigenvalues in rising order and orthonormal eigenvectors of the matrices whose lower (or upper) triangle is given.
pub fn linalg_eigh(a: &Tensor, uplo: &str) -> Result<(Tensor, Tensor)> {
    let (w, v) = symmetric(a, uplo, true)?;
    record_many("LinalgEighBackward0", &[a], &[&w, &v], |s| {
        let (w, v) = (s.save_output(&w, 0), s.save_output(&v, 1));
        move |c, g| {
            let (w, v) = (w.get(c)?, v.get(c)?);
            let middle = match (&g[0], &g[1]) {
                (None, None) => return Ok(grads![None]),
                (Some(gw), None) => return Ok(grads![Some(matmul(&mul(&v, &unsqueeze(gw, -2)?)?, &mt(&v)?)?)]),
                (gw, Some(gv)) => {
                    // (V^T gV)_ij / (w_j - w_i), and gw on the diagonal.
                    let one = matrices(&v)?;
                    let apart = plus(&minus(&unsqueeze(&w, -2)?, &unsqueeze(&w, -1)?)?, &one)?;
                    let x = mul(&div(&matmul(&mt(&v)?, gv)?, &apart)?, &rsub_scalar(&one, ONE, ONE)?)?;
                    match gw {
                        Some(gw) => plus(&x, &diagonal_matrix(gw)?)?,
                        None => x,
                    }
                }
            };
            Ok(grads![Some(matmul(&v, &matmul(&middle, &mt(&v)?)?)?)])
        }
    })?;
    Ok((w, v))
}
pub fn linalg_eigvalsh(a: &Tensor, uplo: &str) -> Result<Tensor> {
    if recording(&[a]) {
        return Ok(linalg_eigh(a, uplo)?.0);
    }
    Ok(symmetric(a, uplo, false)?.0)
}

/// U, S and V^T (U and V^T only if asked for), with all columns of U and rows of V^T where `full`.
fn singular(a: &Tensor, full: bool, vectors: bool) -> Result<(Tensor, Tensor, Tensor)> {
    let name = "linalg.svd";
    check_matrix(name, "A", a)?;
    ensure!(
        a.dtype().is_float(),
        NotImplemented,
        "{name}: Expected a floating point or complex tensor as input. Got {}",
        a.dtype().scalar_name()
    );
    check_kernel("linalg_svd_cpu", a)?;
    check_cpu("linalg_svd", a)?;
    plain(|| {
        let (batch, wide, (m, n)) = (batch_of(a), cast(a, DType::F64)?, rows_columns(a));
        // The kernel takes tall matrices; the others are transposed.
        let tall = m >= n;
        let (rows, k) = (m.max(n), m.min(n));
        let x = if tall { in_columns(&wide)? } else { in_rows(&wide)? };
        let size = x.size(0)?;
        let (s, info) = (host(&[size, k], DType::F64)?, info_of(size)?);
        let columns = if full { rows } else { k };
        let (u, v) = match vectors {
            true => (host(&[size, columns, rows], DType::F64)?, host(&[size, k, k], DType::F64)?),
            false => (host(&[size, 0, rows], DType::F64)?, host(&[size, 0, k], DType::F64)?),
        };
        {
            let (ub, vb) = (u.body(), v.body());
            let pair = vectors.then(|| (ub.view(), vb.view()));
            dense::svd(x.body().view(), s.body().view(), info.body().view(), pair)?;
        }
        if let Some((which, k)) = failure(&reshape(&info, &batch)?)? {
            if k < 0 {
                bail!(
                    Runtime,
                    "{name}: {which}The algorithm failed to converge because the input matrix contained non-finite values."
                );
            }
            bail!(
                Runtime,
                "{name}: {which}The algorithm failed to converge because the input matrix is ill-conditioned or has too many repeated singular values (error code: {k})."
            );
        }
        let s = fresh(cast(&reshape(&s, &with(&batch, &[k]))?, a.dtype()))?;
        if !vectors {
            return Ok((s.clone(), s.clone(), s));
        }
        let device = a.device();
        // What lies in column order is its transpose in row order.
        let (u, vh) = if tall {
            (from_columns(&u, &batch, device)?, from_rows(&v, &batch, device)?)
        } else {
            (from_columns(&v, &batch, device)?, from_rows(&u, &batch, device)?)
        };
        Ok((cast(&u, a.dtype())?, s, cast(&vh, a.dtype())?))
    })
}
fn check_driver(name: &str, driver: Option<&str>) -> Result<()> {
    ensure!(
        driver.is_none(),
        Runtime,
        "torch.linalg.{name}: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend."
    );
    Ok(())
}
/// A = U diag(S) V^T.
pub fn linalg_svd(a: &Tensor, full_matrices: bool, driver: Option<&str>) -> Result<(Tensor, Tensor, Tensor)> {
    check_matrix("linalg.svd", "A", a)?;
    check_driver("svd", driver)?;
    decompose(a, full_matrices)
}
fn decompose(a: &Tensor, full: bool) -> Result<(Tensor, Tensor, Tensor)> {
    let (u, s, vh) = singular(a, full, true)?;
    let (m, n) = rows_columns(a);
    record_many("LinalgSvdBackward0", &[a], &[&u, &s, &vh], |saver| {
        let (u, s, vh) = (saver.save_output(&u, 0), saver.save_output(&s, 1), saver.save_output(&vh, 2));
        move |c, g| {
            let k = m.min(n);
            // Gradients of the vectors that only fill up the basis are not those of a function of A.
            let some = |t: Option<&Tensor>, d: i64| t.map(|t| narrow(t, d, 0, k)).transpose();
            let (gu, gvh) = (some(g[0].as_ref(), -1)?, some(g[2].as_ref(), -2)?);
            let (u, s, vh) = (narrow(&u.get(c)?, -1, 0, k)?, s.get(c)?, narrow(&vh.get(c)?, -2, 0, k)?);
            Ok(grads![svd_gradient(gu, g[1].as_ref(), gvh, &u, &s, &vh)?])
        }
    })?;
    Ok((u, s, vh))
}
fn svd_gradient(
    gu: Option<Tensor>,
    gs: Option<&Tensor>,
    gvh: Option<Tensor>,
    u: &Tensor,
    s: &Tensor,
    vh: &Tensor,
) -> Result<Option<Tensor>> {
    let (m, n, k) = (u.size(-2)?, vh.size(-1)?, s.size(-1)?);
    let (across, down) = (unsqueeze(s, -2)?, unsqueeze(s, -1)?);
    if gu.is_none() && gvh.is_none() {
        let Some(gs) = gs else { return Ok(None) };
        return Ok(Some(matmul(&mul(u, &unsqueeze(gs, -2)?)?, vh)?));
    }
    let one = eye(k, Some(s.dtype()), Some(s.device()))?;
    let others = rsub_scalar(&one, ONE, ONE)?;
    let apart = plus(&minus(&square(&across)?, &square(&down)?)?, &one)?;
    // (X - X^T)_ij / (s_j^2 - s_i^2)
    let skew = |x: &Tensor| mul(&div(&minus(x, &mt(x)?)?, &apart)?, &others);
    let mut middle = match gs {
        Some(gs) => diagonal_matrix(gs)?,
        None => zeros_like(&matmul(&mt(u)?, u)?, None, None)?,
    };
    let (mut left, mut right) = (None, None);
    if let Some(gu) = &gu {
        let x = matmul(&mt(u)?, gu)?;
        middle = plus(&middle, &mul(&skew(&x)?, &across)?)?;
        if m > k {
            // (1 - U U^T) gU S^-1
            left = Some(div(&minus(gu, &matmul(u, &x)?)?, &across)?);
        }
    }
    if let Some(gvh) = &gvh {
        let x = matmul(vh, &mt(gvh)?)?;
        middle = plus(&middle, &mul(&down, &skew(&x)?)?)?;
        if n > k {
            // S^-1 gV^T (1 - V V^T)
            right = Some(div(&minus(gvh, &matmul(&mt(&x)?, vh)?)?, &down)?);
        }
    }
    let mut out = matmul(&matmul(u, &middle)?, vh)?;
    if let Some(x) = left {
        out = plus(&out, &matmul(&x, vh)?)?;
    }
    if let Some(x) = right {
        out = plus(&out, &matmul(u, &x)?)?;
    }
    Ok(Some(out))
}
pub fn linalg_svdvals(a: &Tensor, driver: Option<&str>) -> Result<Tensor> {
    check_matrix("linalg.svd", "A", a)?;
    check_driver("svd", driver)?;
    if recording(&[a]) {
        return Ok(decompose(a, false)?.1);
    }
    Ok(singular(a, false, false)?.1)
}
/// PyTorch's older form, which gives V; without vectors, zeros stand for them.
pub fn svd(a: &Tensor, some: bool, compute_uv: bool) -> Result<(Tensor, Tensor, Tensor)> {
    ensure!(
        a.ndim() >= 2,
        Runtime,
        "linalg.svd: input should have at least 2 dimensions, but has {} dimensions instead",
        a.ndim()
    );
    if compute_uv {
        let (u, s, vh) = decompose(a, !some)?;
        return Ok((u, s, mt(&vh)?));
    }
    let ((m, n), batch) = (rows_columns(a), batch_of(a));
    let none = |k: i64| zeros(&with(&batch, &[k, k]), Some(a.dtype()), Some(a.device()));
    Ok((none(m)?, linalg_svdvals(a, None)?, none(n)?))
}

/// W of X W + W X = K for a symmetric positive X = V diag(w) V^T.
fn sylvester(w: &Tensor, v: &Tensor, k: &Tensor) -> Result<Tensor> {
    let sum = plus(&unsqueeze(w, -2)?, &unsqueeze(w, -1)?)?;
    let x = div(&matmul(&mt(v)?, &matmul(k, v)?)?, &sum)?;
    matmul(v, &matmul(&x, &mt(v)?)?)
}
/// A = U H: U with orthonormal columns, H symmetric and positive.
pub fn linalg_polar(a: &Tensor) -> Result<(Tensor, Tensor)> {
    let name = "linalg.polar";
    check_matrix(name, "A", a)?;
    let (m, n) = rows_columns(a);
    ensure!(m >= n, Runtime, "{name}: input must have at least as many rows as columns, but got {m} by {n} matrices");
    ensure!(
        a.dtype().is_float(),
        NotImplemented,
        "{name}: Expected a floating point or complex tensor as input. Got {}",
        a.dtype().scalar_name()
    );
    let (u, h) = plain(|| {
        let (u, s, vh) = singular(a, false, true)?;
        let h = matmul(&mul(&mt(&vh)?, &unsqueeze(&s, -2)?)?, &vh)?;
        Ok((fresh(matmul(&u, &vh))?, mul_scalar(&plus(&h, &mt(&h)?)?, HALF)?))
    })?;
    record_many("LinalgPolarBackward0", &[a], &[&u, &h], |s| {
        let (u, h) = (s.save_output(&u, 0), s.save_output(&h, 1));
        move |c, g| {
            let (u, h) = (u.get(c)?, h.get(c)?);
            let (w, v) = linalg_eigh(&h, "L")?;
            // dU = U O + (1 - U U^T) dA H^-1 and dH = U^T dA - O H, where O is skew and O H + H O = U^T dA - dA^T U.
            let mut k = zeros_like(&h, None, None)?;
            let mut out = zeros_like(&u, None, None)?;
            if let Some(gh) = &g[1] {
                k = minus(&k, &matmul(gh, &h)?)?;
                out = plus(&out, &matmul(&u, gh)?)?;
            }
            if let Some(gu) = &g[0] {
                let x = matmul(&mt(&u)?, gu)?;
                k = plus(&k, &x)?;
                if m > n {
                    let rest = minus(gu, &matmul(&u, &x)?)?;
                    out = plus(&out, &linalg_solve(&h, &rest, false)?)?;
                }
            }
            let x = sylvester(&w, &v, &k)?;
            Ok(grads![Some(plus(&out, &matmul(&u, &minus(&x, &mt(&x)?)?)?)?)])
        }
    })?;
    Ok((u, h))
}
/// X symmetric and positive with X X = A.
pub fn linalg_matrix_sqrth(a: &Tensor) -> Result<Tensor> {
    let name = "linalg.matrix_sqrth";
    check_square(name, a)?;
    check_real(name, a)?;
    let out = plain(|| {
        let (w, v) = symmetric(a, "L", true)?;
        fresh(matmul(&mul(&v, &unsqueeze(&sqrt(&w)?, -2)?)?, &mt(&v)?))
    })?;
    record("LinalgMatrixSqrthBackward0", &[a], out, |s, out| {
        let x = s.save_output(out, 0);
        move |c, g| {
            let (w, v) = linalg_eigh(&x.get(c)?, "L")?;
            // Of symmetric matrices.
            let g = mul_scalar(&plus(g, &mt(g)?)?, HALF)?;
            Ok(grads![Some(sylvester(&w, &v, &g)?)])
        }
    })
}
