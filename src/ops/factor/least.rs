//! Least squares, pseudoinverses, ranks and condition numbers.

use super::*;
use crate::autograd::{record, record_many};
use crate::grads;

fn epsilon(a: &Tensor) -> f64 {
    if a.dtype() == DType::F32 {
        f32::EPSILON as f64
    } else {
        f64::EPSILON
    }
}
fn number(v: f64, like: &Tensor) -> Result<Tensor> {
    create::scalar_tensor(Scalar::Float(v), like.dtype(), like.device())
}
/// The least value that counts beside the largest one, `most`: max(atol, rtol * most).
fn threshold(atol: Option<&Tensor>, rtol: Option<&Tensor>, a: &Tensor, most: &Tensor) -> Result<Tensor> {
    let (m, n) = rows_columns(a);
    let natural = number(epsilon(a) * m.max(n) as f64, most)?;
    let last = |t: &Tensor| Ok(if t.ndim() == 0 { t.clone() } else { unsqueeze(t, -1)? });
    let rtol = match (atol, rtol) {
        (_, Some(r)) => last(r)?,
        (None, None) => natural,
        // With an absolute tolerance that is above 0 the relative one is 0.
        (Some(t), None) => where_(&gt_scalar(&last(t)?, ZERO)?, &number(0.0, most)?, &natural)?,
    };
    let relative = mul(&rtol, most)?;
    match atol {
        Some(t) => maximum(&last(t)?, &relative),
        None => Ok(relative),
    }
}
fn tolerance(v: Option<f64>, a: &Tensor) -> Result<Option<Tensor>> {
    v.map(|v| number(v, a)).transpose()
}

/// The pseudoinverse: that of the singular values above the threshold.
fn pseudoinverse(a: &Tensor, atol: Option<&Tensor>, rtol: Option<&Tensor>, hermitian: bool) -> Result<Tensor> {
    ensure!(
        a.ndim() >= 2 && matches!(a.dtype(), DType::F32 | DType::F64),
        Runtime,
        "linalg.pinv({}{{{:?}}}): expected a tensor with 2 or more dimensions of float, double, cfloat or cdouble types",
        a.dtype().scalar_name(),
        &a.shape()[..]
    );
    let ((m, n), batch) = (rows_columns(a), batch_of(a));
    if a.numel() == 0 {
        // Without elements, but with a gradient.
        return reshape(a, &with(&batch, &[n, m]));
    }
    let kept = |s: &Tensor, size: &Tensor| -> Result<Tensor> {
        let least = threshold(atol, rtol, a, &amax(size, &[-1], true)?)?;
        let small = le(size, &cast(&least, a.dtype())?)?;
        let inverse = reciprocal(&masked_fill_scalar(s, &small, ONE)?)?;
        masked_fill_scalar(&inverse, &small, ZERO)
    };
    let out = plain(|| {
        if hermitian {
            check_square("linalg.pinv", a)?;
            let (w, v) = linalg_eigh(a, "L")?;
            let inverse = kept(&w, &abs(&w)?)?;
            return fresh(matmul(&mul(&v, &unsqueeze(&inverse, -2)?)?, &mt(&v)?));
        }
        let (u, s, vh) = linalg_svd(a, false, None)?;
        fresh(matmul(&mul(&mt(&vh)?, &unsqueeze(&kept(&s, &s)?, -2)?)?, &mt(&u)?))
    })?;
    record("LinalgPinvBackward0", &[a], out, |s, out| {
        let (a, p) = (s.save(a), s.save_output(out, 0));
        move |c, g| Ok(grads![Some(pinv_gradient(&a.get(c)?, &p.get(c)?, g)?)])
    })
}
/// For constant rank: -P^T G P^T + (1 - A P) G^T P P^T + P^T P G^T (1 - P A).
fn pinv_gradient(a: &Tensor, p: &Tensor, g: &Tensor) -> Result<Tensor> {
    let (pt, gt) = (mt(p)?, mt(g)?);
    let x = matmul(&pt, &matmul(g, &pt)?)?;
    let y = matmul(&gt, &matmul(p, &pt)?)?;
    let y = minus(&y, &matmul(a, &matmul(p, &y)?)?)?;
    let z = matmul(&pt, &matmul(p, &gt)?)?;
    let z = minus(&z, &matmul(&matmul(&z, p)?, a)?)?;
    minus(&plus(&y, &z)?, &x)
}
pub fn linalg_pinv_atol_rtol_tensor(
    a: &Tensor,
    atol: Option<&Tensor>,
    rtol: Option<&Tensor>,
    hermitian: bool,
) -> Result<Tensor> {
    pseudoinverse(a, atol, rtol, hermitian)
}
pub fn linalg_pinv_atol_rtol_float(
    a: &Tensor,
    atol: Option<f64>,
    rtol: Option<f64>,
    hermitian: bool,
) -> Result<Tensor> {
    if !a.dtype().is_float() {
        return pseudoinverse(a, None, None, hermitian);
    }
    pseudoinverse(a, tolerance(atol, a)?.as_ref(), tolerance(rtol, a)?.as_ref(), hermitian)
}
/// With a tolerance relative to the largest singular value.
pub fn linalg_pinv(a: &Tensor, rcond: f64, hermitian: bool) -> Result<Tensor> {
    linalg_pinv_atol_rtol_float(a, Some(0.0), Some(rcond), hermitian)
}
pub fn pinverse(a: &Tensor, rcond: f64) -> Result<Tensor> {
    linalg_pinv(a, rcond, false)
}
fn rank(a: &Tensor, atol: Option<&Tensor>, rtol: Option<&Tensor>, hermitian: bool) -> Result<Tensor> {
    check_matrix("torch.linalg.matrix_rank", "input", a)?;
    ensure!(
        matches!(a.dtype(), DType::F32 | DType::F64),
        Runtime,
        "This function doesn't handle types other than float and double"
    );
    plain(|| {
        if a.numel() == 0 {
            return zeros(&batch_of(a), Some(DType::I64), Some(a.device()));
        }
        let s = if hermitian { abs(&linalg_eigvalsh(a, "L")?)? } else { linalg_svdvals(a, None)? };
        let least = threshold(atol, rtol, a, &amax(&s, &[-1], true)?)?;
        sum_dim(&gt(&s, &least)?, Some(&[-1]), false, Some(DType::I64))
    })
}
pub fn linalg_matrix_rank_atol_rtol_tensor(
    a: &Tensor,
    atol: Option<&Tensor>,
    rtol: Option<&Tensor>,
    hermitian: bool,
) -> Result<Tensor> {
    rank(a, atol, rtol, hermitian)
}
pub fn linalg_matrix_rank_atol_rtol_float(
    a: &Tensor,
    atol: Option<f64>,
    rtol: Option<f64>,
    hermitian: bool,
) -> Result<Tensor> {
    if !a.dtype().is_float() {
        return rank(a, None, None, hermitian);
    }
    rank(a, tolerance(atol, a)?.as_ref(), tolerance(rtol, a)?.as_ref(), hermitian)
}
/// With an absolute tolerance.
pub fn linalg_matrix_rank(a: &Tensor, tol: f64, hermitian: bool) -> Result<Tensor> {
    linalg_matrix_rank_atol_rtol_float(a, Some(tol), Some(0.0), hermitian)
}

/// X that makes |A X - B| least; residuals, ranks and singular values as the driver has them.
pub fn linalg_lstsq(
    a: &Tensor,
    b: &Tensor,
    rcond: Option<f64>,
    driver: Option<&str>,
) -> Result<(Tensor, Tensor, Tensor, Tensor)> {
    let name = "torch.linalg.lstsq";
    ensure!(a.ndim() >= 2, Runtime, "{name}: input must have at least 2 dimensions.");
    ensure!(b.ndim() >= 1, Runtime, "{name}: other must have at least 1 dimension.");
    ensure!(
        a.dtype() == b.dtype(),
        Runtime,
        "{name}: Expected input and other to have the same dtype, but got input's dtype {} and other's dtype {}",
        a.dtype().scalar_name(),
        b.dtype().scalar_name()
    );
    pointwise::same_device(a, b)?;
    check_kernel("linalg_lstsq_cpu", a)?;
    let driver = driver.unwrap_or("gelsy");
    ensure!(
        matches!(driver, "gels" | "gelsy" | "gelsd" | "gelss"),
        Runtime,
        "{name}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)"
    );
    check_cpu("linalg_lstsq", a)?;
    let (s, t) = (a.shape(), b.shape());
    let vector = t.len() + 1 == s.len() && s[..s.len() - 1] == t[..];
    ensure!(
        vector || t.len() == s.len(),
        Runtime,
        "{name}: input.dim() must be greater or equal to other.dim() and (input.dim() - other.dim()) <= 1"
    );
    let right = if vector { unsqueeze(b, -1)? } else { b.clone() };
    let ((m, n), rows) = (rows_columns(a), right.size(-2)?);
    if vector {
        ensure!(m == rows, Runtime, "{name}: input.size(-2) should match other.size(-1)");
    } else {
        ensure!(m == rows, Runtime, "{name}: input.size(-2) should match other.size(-2)");
    }
    let batch = crate::base::layout::broadcast_shapes(&batch_of(a), &batch_of(&right))?;
    let rcond = rcond.unwrap_or(epsilon(a) * m.max(n) as f64);
    let nothing = |dtype| zeros(&[0], Some(dtype), Some(a.device()));
    let (x, residuals, rank, values) = plain(|| {
        let (a, b) = (&broadcast(a, &batch)?, &broadcast(&right, &batch)?);
        let (x, rank, values) = if driver == "gels" {
            (by_qr(a, b)?, None, None)
        } else {
            let (u, s, vh) = linalg_svd(a, false, None)?;
            let small = match s.size(-1)? {
                0 => eq_scalar(&s, ZERO)?,
                _ => le(&s, &mul_scalar(&amax(&s, &[-1], true)?, Scalar::Float(rcond))?)?,
            };
            let inverse = masked_fill_scalar(&reciprocal(&masked_fill_scalar(&s, &small, ONE)?)?, &small, ZERO)?;
            let y = mul(&matmul(&mt(&u)?, b)?, &unsqueeze(&inverse, -1)?)?;
            let rank = sum_dim(&logical_not(&small)?, Some(&[-1]), false, Some(DType::I64))?;
            (matmul(&mt(&vh)?, &y)?, Some(rank), Some(s))
        };
        let whole = match &rank {
            None => true,
            Some(r) => all(&eq_scalar(r, Scalar::Int(n))?)?.item()?.to_f64() != 0.0,
        };
        let residuals = if m > n && driver != "gelsy" && whole {
            sum_dim(&square(&minus(&matmul(a, &x)?, b)?)?, Some(&[-2]), false, None)?
        } else {
            nothing(a.dtype())?
        };
        let values = values.filter(|_| driver != "gelsy").map_or_else(|| nothing(a.dtype()), Ok)?;
        Ok((x, residuals, rank.map_or_else(|| nothing(DType::I64), Ok)?, values))
    })?;
    let x = fresh(if vector { squeeze_dim(&x, -1) } else { Ok(x) })?;
    let told = residuals.numel() > 0;
    let outs = [&x, &residuals];
    record_many("LinalgLstsqBackward0", &[a, b], if told { &outs } else { &outs[..1] }, |s| {
        let (a, b, x) = (s.save(a), s.save(b), s.save_output(&x, 0));
        move |c, g| {
            let (a, b, x) = (a.get(c)?, b.get(c)?, x.get(c)?);
            let wide = |t: &Tensor| if vector { unsqueeze(t, -1) } else { Ok(t.clone()) };
            let (b, x) = (wide(&b)?, wide(&x)?);
            let (mut ga, mut gb) = (None, None);
            let join = |sum: Option<Tensor>, t: Tensor| match sum {
                Some(s) => plus(&s, &t),
                None => Ok(t),
            };
            if let Some(g) = &g[0] {
                // X = A^+ B
                let (g, p) = (wide(g)?, linalg_pinv_atol_rtol_float(&a, None, None, false)?);
                ga = Some(pinv_gradient(&a, &p, &matmul(&g, &mt(&b)?)?)?);
                gb = Some(matmul(&mt(&p)?, &g)?);
            }
            if let Some(g) = g.get(1).and_then(|g| g.as_ref()) {
                // Of |A X - B|^2, which does not depend on X where it is least.
                let rest = mul_scalar(&minus(&matmul(&a, &x)?, &b)?, Scalar::Int(2))?;
                let rest = mul(&rest, &unsqueeze(g, -2)?)?;
                ga = Some(join(ga, matmul(&rest, &mt(&x)?)?)?);
                gb = Some(join(gb, neg(&rest)?)?);
            }
            let gb = gb.map(|g| if vector { squeeze_dim(&g, -1) } else { Ok(g) }).transpose()?;
            Ok(grads![ga, gb])
        }
    })?;
    Ok((x, residuals, rank, values))
}
/// For A of full rank.
fn by_qr(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (m, n) = rows_columns(a);
    if m >= n {
        let (q, r) = linalg_qr(a, "reduced")?;
        return linalg_solve_triangular(&r, &matmul(&mt(&q)?, b)?, true, true, false);
    }
    let (q, r) = linalg_qr(&mt(a)?, "reduced")?;
    matmul(&q, &linalg_solve_triangular(&mt(&r)?, b, false, true, false)?)
}

fn condition(a: &Tensor, p: Option<norms::Order>) -> Result<Tensor> {
    use norms::Order;
    check_matrix("linalg.cond", "", a)?;
    let (two, least) = match &p {
        None => (true, false),
        Some(Order::Number(v)) => (v.abs() == 2.0, *v == -2.0),
        Some(Order::Word(_)) => (false, false),
    };
    if two {
        let s = linalg_svdvals(a, None)?;
        let k = s.size(-1)?;
        if a.numel() == 0 {
            return zeros(&batch_of(a), Some(a.dtype()), Some(a.device()));
        }
        let (first, last) = (select(&s, -1, 0)?, select(&s, -1, k - 1)?);
        return if least { div(&last, &first) } else { div(&first, &last) };
    }
    let p = p.expect("2 is the default");
    let valid = match &p {
        Order::Number(v) => v.abs() == 1.0 || v.is_infinite(),
        Order::Word(w) => matches!(*w, "fro" | "nuc"),
    };
    ensure!(valid, Value, "linalg.cond got an invalid norm type: {}", p.text());
    check_square(&format!("linalg.cond(ord={})", p.text()), a)?;
    if a.numel() == 0 {
        return zeros(&batch_of(a), Some(a.dtype()), Some(a.device()));
    }
    let (inverse, info) = linalg_inv_ex(a, false)?;
    let whole = |t: &Tensor| norms::matrix_norm(t, p, &[-2, -1], false, None);
    // Singular matrices are not of this world; their inverse is not looked at.
    let singular = ne_scalar(&info, ZERO)?;
    let inverse = masked_fill_scalar(&inverse, &unsqueeze(&unsqueeze(&singular, -1)?, -1)?, ONE)?;
    masked_fill_scalar(&mul(&whole(a)?, &whole(&inverse)?)?, &singular, Scalar::Float(f64::INFINITY))
}
/// The condition number by a matrix norm, the largest singular value unless another is named.
pub fn linalg_cond(a: &Tensor, p: Option<Scalar>) -> Result<Tensor> {
    condition(a, p.map(|p| norms::Order::Number(p.to_f64())))
}
pub fn linalg_cond_p_str(a: &Tensor, p: &str) -> Result<Tensor> {
    condition(a, Some(norms::Order::Word(p)))
}
