//! Losses of margins and distances, likelihoods of Poisson and normal distributions: composed of other ops.

use super::loss::{check_reduction, reduce_loss};
use super::*;
use crate::{bail, ensure};

const ONE: Scalar = Scalar::Int(1);
const ZERO: Scalar = Scalar::Int(0);

/// input where the target is 1, max(0, margin - input) where it is -1.
pub fn hinge_embedding_loss(input: &Tensor, target: &Tensor, margin: f64, reduction: &str) -> Result<Tensor> {
    check_reduction(reduction)?;
    in_float([input, target], |[x, t]| {
        let far = clamp_min(&rsub_scalar(x, Scalar::Float(margin), ONE)?, ZERO)?;
        let far = where_scalar_other(&ne_scalar(t, ONE)?, &far, ZERO)?;
        let near = where_scalar_other(&ne_scalar(t, Scalar::Int(-1))?, x, ZERO)?;
        reduce_loss(add(&far, &near, ONE)?, reduction)
    })
}
/// log(1 + exp(-target * input)).
pub fn soft_margin_loss(input: &Tensor, target: &Tensor, reduction: &str) -> Result<Tensor> {
    check_reduction(reduction)?;
    in_float([input, target], |[x, t]| reduce_loss(softplus(&mul(x, &neg(t)?)?, ONE, Scalar::Int(20))?, reduction))
}
/// max(0, -target * (input1 - input2) + margin).
pub fn margin_ranking_loss(
    input1: &Tensor,
    input2: &Tensor,
    target: &Tensor,
    margin: f64,
    reduction: &str,
) -> Result<Tensor> {
    check_reduction(reduction)?;
    let [a, b, t] = [input1, input2, target].map(|t| t.shape());
    ensure!(
        a.len() == b.len() && b.len() == t.len(),
        Runtime,
        "margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: {:?}, input2: {:?}, \
         target: {:?} ",
        &a[..],
        &b[..],
        &t[..]
    );
    in_float([input1, input2, target], |[a, b, t]| {
        // The margin is a float: of integers floats come out.
        let apart = add_scalar(&mul(&neg(t)?, &sub(a, b, ONE)?)?, Scalar::Float(margin), ONE)?;
        reduce_loss(clamp_min(&apart, ZERO)?, reduction)
    })
}
/// 1 - cos where the target is 1, max(0, cos - margin) where it is -1.
pub fn cosine_embedding_loss(
    input1: &Tensor,
    input2: &Tensor,
    target: &Tensor,
    margin: f64,
    reduction: &str,
) -> Result<Tensor> {
    check_reduction(reduction)?;
    let n = target.ndim();
    ensure!(n <= 1, Runtime, "0D or 1D target tensor expected, multi-target not supported");
    ensure!(
        input1.ndim() == n + 1 && input2.ndim() == n + 1,
        Runtime,
        "{n}D target tensor expects {}D input tensors, but found inputs with sizes {:?} and {:?}.",
        n + 1,
        &input1.shape()[..],
        &input2.shape()[..]
    );
    in_float([input1, input2, target], |[a, b, t]| {
        // The squares get the small number, not the norms: that decides what vectors near 0 give.
        let dot = |a: &Tensor, b: &Tensor| sum_dim(&mul(a, b)?, Some(&[-1]), false, None);
        let square = |t: &Tensor| add_scalar(&dot(t, t)?, Scalar::Float(1e-12), ONE);
        let cos = div(&dot(a, b)?, &sqrt(&mul(&square(a)?, &square(b)?)?)?)?;
        let float = Scalar::Float;
        let same = where_scalar_other(&eq_scalar(t, ONE)?, &rsub_scalar(&cos, ONE, ONE)?, float(0.0))?;
        let other = clamp_min(&sub_scalar(&cos, float(margin), ONE)?, ZERO)?;
        let other = where_scalar_other(&eq_scalar(t, Scalar::Int(-1))?, &other, float(0.0))?;
        reduce_loss(add(&same, &other, ONE)?, reduction)
    })
}
/// max(0, d(anchor, positive) - d(anchor, negative) + margin), d being the p-norm of the difference.
pub fn triplet_margin_loss(
    anchor: &Tensor,
    positive: &Tensor,
    negative: &Tensor,
    margin: f64,
    p: f64,
    eps: f64,
    swap: bool,
    reduction: &str,
) -> Result<Tensor> {
    check_reduction(reduction)?;
    ensure!(margin > 0.0, Value, "margin must be greater than 0, got {margin:?}");
    let (a, b, c) = (anchor.ndim(), positive.ndim(), negative.ndim());
    ensure!(
        a == b && b == c,
        Runtime,
        "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: anchor \
         {a}D, positive {b}D, and negative {c}D inputs"
    );
    in_float([anchor, positive, negative], |[anchor, positive, negative]| {
        let near = pairwise_distance(anchor, positive, p, eps, false)?;
        let mut far = pairwise_distance(anchor, negative, p, eps, false)?;
        if swap {
            far = minimum(&far, &pairwise_distance(positive, negative, p, eps, false)?)?;
        }
        let apart = add_scalar(&sub(&near, &far, ONE)?, Scalar::Float(margin), ONE)?;
        reduce_loss(clamp_min(&apart, ZERO)?, reduction)
    })
}
/// The mean over classes of each class's logistic loss; targets are 0 or 1.
pub fn multilabel_soft_margin_loss(
    input: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    reduction: &str,
) -> Result<Tensor> {
    check_reduction(reduction)?;
    in_float_some([Some(input), Some(target), weight], |[x, t, w]| {
        let (x, t) = (x.expect("given"), t.expect("given"));
        let yes = mul(t, &logsigmoid(x)?)?;
        let no = mul(&rsub_scalar(t, ONE, ONE)?, &logsigmoid(&neg(x)?)?)?;
        let mut loss = neg(&add(&yes, &no, ONE)?)?;
        if let Some(w) = w {
            loss = mul(&loss, w)?;
        }
        reduce_loss(mean_dim(&loss, Some(&[-1]), false, None)?, reduction)
    })
}
/// The sum over the other classes of max(0, margin - x[y] + x[i])^p, by the number of classes.
pub fn multi_margin_loss(
    input: &Tensor,
    target: &Tensor,
    p: Scalar,
    margin: f64,
    weight: Option<&Tensor>,
    reduction: &str,
) -> Result<Tensor> {
    check_reduction(reduction)?;
    let power = p.to_f64();
    ensure!(power == 1.0 || power == 2.0, Value, "only p == 1 and p == 2 supported");
    let single = input.ndim() < 2;
    ensure!(
        input.ndim() <= 2 && input.shape().last() != Some(&0),
        Runtime,
        "Expected non-empty vector or matrix with optional 0-dim batch size, but got: {:?}",
        &input.shape()[..]
    );
    if let Some(w) = weight {
        ensure!(w.ndim() == 1, Value, "weight must be one-dimensional");
    }
    let (x, y) =
        if single { (reshape(input, &[1, -1])?, reshape(target, &[-1])?) } else { (input.clone(), target.clone()) };
    let n = x.shape()[0];
    ensure!(
        x.ndim() == 2 && y.ndim() == 1 && y.shape()[0] == n,
        Runtime,
        "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch size). \
         Expected target size [{n}], but got {:?}. Input has shape {:?}.",
        &target.shape()[..],
        &input.shape()[..]
    );
    if let Some(w) = weight {
        let classes = x.shape()[1];
        ensure!(
            w.numel() as i64 == classes,
            Runtime,
            "inconsistent weight size, expected {classes} but got {:?}",
            &w.shape()[..]
        );
    }
    ensure!(y.dtype() == DType::I64, Runtime, "expected scalar type Long but found {}", y.dtype().scalar_name());
    in_float_some([Some(&x), weight], |[x, w]| {
        let x = x.expect("given");
        let at = unsqueeze(&y, 1)?;
        let picked = gather(x, 1, &at)?;
        let apart = add(&rsub_scalar(&picked, Scalar::Float(margin), ONE)?, x, ONE)?;
        let mut loss = clamp_min(&apart, ZERO)?;
        if power == 2.0 {
            loss = square(&loss)?;
        }
        if let Some(w) = w {
            loss = mul(&loss, &unsqueeze(&index_select(w, 0, &y)?, 1)?)?;
        }
        let others = sum_dim(&scatter_value(&loss, 1, &at, Scalar::Float(0.0))?, Some(&[1]), false, None)?;
        let loss = div_scalar(&others, Scalar::Int(x.shape()[1]))?;
        reduce_loss(if single { select(&loss, 0, 0)? } else { loss }, reduction)
    })
}
/// Negative log likelihood of a Poisson distribution; full adds Stirling's approximation of log(target!).
pub fn poisson_nll_loss(
    input: &Tensor,
    target: &Tensor,
    log_input: bool,
    full: bool,
    eps: f64,
    reduction: &str,
) -> Result<Tensor> {
    check_reduction(reduction)?;
    in_float([input, target], |[x, t]| {
        let mut loss = if log_input {
            sub(&exp(x)?, &mul(t, x)?, ONE)?
        } else {
            sub(x, &mul(t, &log(&add_scalar(x, Scalar::Float(eps), ONE)?)?)?, ONE)?
        };
        if full {
            let tau = Scalar::Float(2.0 * std::f64::consts::PI);
            let half_log = mul_scalar(&log(&mul_scalar(t, tau)?)?, Scalar::Float(0.5))?;
            let stirling = add(&sub(&mul(t, &log(t)?)?, t, ONE)?, &half_log, ONE)?;
            loss = add(&loss, &where_scalar_other(&gt_scalar(t, ONE)?, &stirling, Scalar::Float(0.0))?, ONE)?;
        }
        reduce_loss(loss, reduction)
    })
}
/// Negative log likelihood of a normal distribution; eps is the least variance.
pub fn gaussian_nll_loss(
    input: &Tensor,
    target: &Tensor,
    var: &Tensor,
    full: bool,
    eps: f64,
    reduction: &str,
) -> Result<Tensor> {
    // In a recording of a device's work no value can be read.
    if var.numel() > 0 && !crate::backend::get(var.device())?.recording() {
        let fine = autograd::no_grad(|| logical_not(&any(&lt_scalar(var, ZERO)?)?))?;
        ensure!(fine.holds()?, Value, "var has negative entry/entries");
    }
    let (s, v) = (input.shape(), var.shape());
    let one_short = v.len() + 1 == s.len() && s[..v.len()] == v[..];
    // One dimension of size 1 may stand for the input's.
    let differing: i64 =
        if s.len() == v.len() { s.iter().zip(&v).filter(|(a, b)| a != b).map(|(_, b)| *b).sum() } else { 0 };
    ensure!(s == v || one_short || differing == 1, Value, "var is of incorrect size");
    if check_reduction(reduction).is_err() {
        bail!(Value, "{reduction} is not valid");
    }
    let var = if one_short && s != v { unsqueeze(var, -1)? } else { var.clone() };
    in_float([input, target, &var], |[x, t, var]| {
        // The bound changes the value alone: the gradient passes.
        let bounded = clone(var)?;
        autograd::no_grad(|| clamp_min_(&bounded, Scalar::Float(eps)))?;
        let apart = square(&sub(x, t, ONE)?)?;
        let mut loss = mul_scalar(&add(&log(&bounded)?, &div(&apart, &bounded)?, ONE)?, Scalar::Float(0.5))?;
        if full {
            loss = add_scalar(&loss, Scalar::Float(0.5 * (2.0 * std::f64::consts::PI).ln()), ONE)?;
        }
        reduce_loss(loss, reduction)
    })
}
