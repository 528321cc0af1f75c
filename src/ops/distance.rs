//! Distances of vectors.

use super::*;
use crate::base::layout::broadcast_shapes;
use crate::ensure;

const ONE: Scalar = Scalar::Int(1);
const ZERO: Scalar = Scalar::Int(0);

/// The p-norm of x1 - x2 + eps over the last dimension.
pub fn pairwise_distance(x1: &Tensor, x2: &Tensor, p: f64, eps: f64, keepdim: bool) -> Result<Tensor> {
    in_float([x1, x2], |[a, b]| {
        let apart = add_scalar(&sub(a, b, ONE)?, Scalar::Float(eps), ONE)?;
        norm_dim(&apart, Some(Scalar::Float(p)), Some(&[-1]), keepdim)
    })
}
/// Distances between all pairs of rows. compute_mode says whether Euclidean ones may come from one product: 0 for many
/// rows (the default), 1 always, 2 never.
pub fn cdist(x1: &Tensor, x2: &Tensor, p: f64, compute_mode: Option<i64>) -> Result<Tensor> {
    let mode = compute_mode.unwrap_or(0);
    ensure!((0..=2).contains(&mode), Runtime, "possible modes: 0, 1, 2, but was: {mode}");
    ensure!(p >= 0.0, Runtime, "cdist only supports non-negative p values");
    let (s, t) = (x1.shape(), x2.shape());
    ensure!(s.len() >= 2, Runtime, "cdist only supports at least 2D tensors, X1 got: {}D", s.len());
    ensure!(t.len() >= 2, Runtime, "cdist only supports at least 2D tensors, X2 got: {}D", t.len());
    let (k, m) = (s[s.len() - 1], t[t.len() - 1]);
    ensure!(k == m, Runtime, "X1 and X2 must have the same number of columns. X1: {k} X2: {m}");
    for (name, x) in [("X1", x1), ("X2", x2)] {
        ensure!(
            x.dtype().is_float(),
            Runtime,
            "cdist only supports floating-point dtypes, {name} got: {}",
            x.dtype().scalar_name()
        );
    }
    let (rows, columns) = (s[s.len() - 2], t[t.len() - 2]);
    let many = rows > 25 || columns > 25;
    // No work towards a result that cannot exist.
    let mut shape = broadcast_shapes(&s[..s.len() - 2], &t[..t.len() - 2])?;
    shape.extend_from_slice(&[rows, columns]);
    drop(Tensor::empty(&shape, x1.dtype(), x1.device())?);
    in_float([x1, x2], |[a, b]| {
        if p == 2.0 && (mode == 1 || many && mode == 0) {
            return euclidean_by_product(a, b);
        }
        let apart = sub(&unsqueeze(a, -2)?, &unsqueeze(b, -3)?, ONE)?;
        if k == 0 {
            // Vectors of nothing are equal, by every norm.
            return sum_dim(&apart, Some(&[-1]), false, None);
        }
        if p == 0.0 {
            // How many elements differ; unlike a norm's, a NaN is not just one more.
            let differ = clamp_max(&ceil(&abs(&apart)?)?, ONE)?;
            return sum_dim(&differ, Some(&[-1]), false, None);
        }
        if p == f64::INFINITY && autograd::recording(&[&apart]) {
            // Every element that reaches the maximum has the whole gradient, which is not shared here.
            let plain = abs(&detach(&apart)?)?;
            let most = amax(&plain, &[-1], false)?;
            let below = ne(&plain, &unsqueeze(&most, -1)?)?;
            let reach = sum_dim(&masked_fill_scalar(&abs(&apart)?, &below, ZERO)?, Some(&[-1]), false, None)?;
            let pass = sub(&reach, &detach(&reach)?, ONE)?;
            let pass = masked_fill_scalar(&pass, &logical_not(&isfinite(&most)?)?, ZERO)?;
            return add(&most, &pass, ONE);
        }
        norm_dim(&apart, Some(Scalar::Float(p)), Some(&[-1]), false)
    })
}
/// |a - b|^2 = |a|^2 - 2 a b + |b|^2 as one product; equal rows have distance and gradient 0.
fn euclidean_by_product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let norm = |t: &Tensor| sum_dim(&mul(t, t)?, Some(&[-1]), true, None);
    let (a2, b2) = (norm(a)?, norm(b)?);
    let left = [mul_scalar(a, Scalar::Int(-2))?, a2.clone(), ones_like(&a2, None, None)?];
    let right = [b.clone(), ones_like(&b2, None, None)?, b2];
    let square = matmul(&cat(&left, -1)?, &transpose(&cat(&right, -1)?, -2, -1)?)?;
    let square = clamp_min(&square, ZERO)?;
    let zero = eq_scalar(&detach(&square)?, ZERO)?;
    masked_fill_scalar(&sqrt(&masked_fill_scalar(&square, &zero, ONE)?)?, &zero, ZERO)
}
