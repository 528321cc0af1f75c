//! Losses. `reduction` is "none", "mean" or "sum".

use super::*;
use crate::autograd::record;
use crate::backend::program::{Opcode, Src};
use crate::backend::ValueCheck;
use crate::base::layout::wrap_dim;
use crate::{bail, ensure, grads, Dims};

const ONE: Scalar = Scalar::Int(1);

pub(crate) fn reduce_loss(loss: Tensor, reduction: &str) -> Result<Tensor> {
    match reduction {
        "none" => Ok(loss),
        "mean" => mean(&loss, None),
        "sum" => sum(&loss, None),
        other => Err(check_reduction(other).expect_err("all valid ones are above")),
    }
}
/// An error that lists the valid ones unless `reduction` is one of them.
pub(crate) fn check_reduction(reduction: &str) -> Result<()> {
    ensure!(
        matches!(reduction, "none" | "mean" | "sum"),
        Value,
        "{reduction} is not a valid value for reduction; valid are 'none', 'mean' and 'sum'"
    );
    Ok(())
}
pub fn mse_loss(input: &Tensor, target: &Tensor, reduction: &str) -> Result<Tensor> {
    complex::no_kernel("mse_cpu", input)?;
    check_reduction(reduction)?;
    in_float([input, target], |[x, t]| {
        if matches!(x.dtype(), DType::F32 | DType::F64) && t.dtype() == x.dtype() && !autograd::recording(&[x, t]) {
            let (a, b) = (Src::Input(0), Src::Input(1));
            let insts = [(Opcode::Sub, [a, b, a]), (Opcode::Square, [Src::Reg(0); 3])];
            return reduce_loss(pointwise::chain(&insts, x.dtype(), &[x, t], &[])?, reduction);
        }
        reduce_loss(square(&sub(x, t, ONE)?)?, reduction)
    })
}
pub fn l1_loss(input: &Tensor, target: &Tensor, reduction: &str) -> Result<Tensor> {
    check_reduction(reduction)?;
    in_float([input, target], |[x, t]| reduce_loss(abs(&sub(x, t, ONE)?)?, reduction))
}
/// Quadratic below beta, linear above.
pub fn smooth_l1_loss(input: &Tensor, target: &Tensor, reduction: &str, beta: f64) -> Result<Tensor> {
    complex::no_kernel("smooth_l1_cpu", input)?;
    check_reduction(reduction)?;
    ensure!(beta >= 0.0, Runtime, "smooth_l1_loss does not support negative values for beta.");
    if beta == 0.0 {
        return l1_loss(input, target, reduction);
    }
    bent(input, target, reduction, beta, "SmoothL1LossBackward0", true)
}
pub fn huber_loss(input: &Tensor, target: &Tensor, reduction: &str, delta: f64) -> Result<Tensor> {
    complex::no_kernel("huber_cpu", input)?;
    ensure!(delta > 0.0, Runtime, "huber_loss does not support non-positive values for delta.");
    check_reduction(reduction)?;
    bent(input, target, reduction, delta, "HuberLossBackward0", false)
}
/// Half the square of the difference below `bound` and a line from there on; `unit` divides by the bound, so that the line's
/// slope is 1. One pass over memory, and one for the derivative.
fn bent(
    input: &Tensor,
    target: &Tensor,
    reduction: &str,
    bound: f64,
    name: &'static str,
    unit: bool,
) -> Result<Tensor> {
    for t in [input, target] {
        complex::no_kernel(if unit { "smooth_l1_cpu" } else { "huber_cpu" }, t)?;
    }
    in_float([input, target], |[x, t]| {
        let dtype = pointwise::promote_float(&[x.into(), t.into()]);
        let (a, b, reg, scalar) = (Src::Input(0), Src::Input(1), Src::Reg, Src::Scalar);
        // The scalars: the bound, a half, half the bound.
        let insts = [
            (Opcode::Sub, [a, b, a]),
            (Opcode::Abs, [reg(0); 3]),
            (Opcode::Mul, [reg(1), scalar(1), reg(1)]),
            (Opcode::Mul, [reg(2), reg(1), reg(2)]),
            (Opcode::Sub, [reg(1), scalar(2), reg(1)]),
            if unit { (Opcode::Div, [reg(3), scalar(0), reg(3)]) } else { (Opcode::Mul, [reg(4), scalar(0), reg(4)]) },
            (Opcode::Lt, [reg(1), scalar(0), reg(1)]),
            (Opcode::Where, if unit { [reg(6), reg(5), reg(4)] } else { [reg(6), reg(3), reg(5)] }),
        ];
        let out = pointwise::chain(&insts, dtype, &[x, t], &[bound, 0.5, 0.5 * bound].map(Scalar::Float))?;
        let out = record(name, &[x, t], out, |s, _| {
            let (x, t) = (s.save(x), s.save(t));
            move |c, g| {
                let g = bent_back(g, &x.get(c)?, &t.get(c)?, bound, unit, c.create_graph)?;
                let gt = if c.needs(1) { Some(neg(&g)?) } else { None };
                Ok(grads![Some(g), gt])
            }
        })?;
        reduce_loss(out, reduction)
    })
}
/// g times the slope of [`bent`]: the difference, limited to the bounds.
fn bent_back(g: &Tensor, x: &Tensor, t: &Tensor, bound: f64, unit: bool, recorded: bool) -> Result<Tensor> {
    let (low, high) = (Scalar::Float(-bound), Scalar::Float(bound));
    if !recorded {
        let (gradient, reg) = (Src::Input(0), Src::Reg);
        let insts = [
            (Opcode::Sub, [Src::Input(1), Src::Input(2), gradient]),
            (Opcode::Clamp, [reg(0), Src::Scalar(0), Src::Scalar(1)]),
            (Opcode::Div, [reg(1), Src::Scalar(2), reg(1)]),
            (Opcode::Mul, [reg(2), gradient, reg(2)]),
        ];
        let divisor = Scalar::Float(if unit { bound } else { 1.0 });
        return pointwise::chain(&insts, g.dtype(), &[g, x, t], &[low, high, divisor]);
    }
    let d = sub(x, t, ONE)?;
    let size = abs(&detach(&d)?)?;
    // The bound itself is linear, which second derivatives show; a NaN has none.
    let inner = cast(&lt_scalar(&size, high)?, d.dtype())?;
    let near = mul(&masked_fill_scalar(&d, &ge_scalar(&size, high)?, Scalar::Int(0))?, &inner)?;
    let far = clamp(&detach(&d)?, Some(low), Some(high))?;
    let slope = where_(&ge_scalar(&size, high)?, &far, &near)?;
    mul(g, &if unit { div_scalar(&slope, high)? } else { slope })
}
/// Binary cross entropy of probabilities; logarithms are bounded at -100.
pub fn binary_cross_entropy(
    input: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    reduction: &str,
) -> Result<Tensor> {
    check_reduction(reduction)?;
    ensure!(
        input.shape() == target.shape(),
        Value,
        "Using a target size (torch.Size({:?})) that is different to the input size (torch.Size({:?})) is deprecated. Please ensure they have the same size.",
        &target.shape()[..],
        &input.shape()[..]
    );
    in_float_some([Some(input), Some(target), weight], |[input, target, weight]| {
        probability_loss(input.expect("given"), target.expect("given"), weight, reduction)
    })
}
fn probability_loss(input: &Tensor, target: &Tensor, weight: Option<&Tensor>, reduction: &str) -> Result<Tensor> {
    for (t, name, what) in [(input, "input", ValueCheck::Input), (target, "target", ValueCheck::Target)] {
        if !t.device().is_cpu() {
            // Looking would wait for the device: it tells at the next read.
            let t = autograd::no_grad(|| cast(t, input.dtype()))?;
            index::check_values(&t, Scalar::Int(0), ONE, what)?;
        } else if t.numel() > 0 {
            let (lo, hi) = autograd::no_grad(|| Ok::<_, Error>((min(t)?.item()?.to_f64(), max(t)?.item()?.to_f64())))?;
            ensure!(
                lo >= 0.0 && hi <= 1.0,
                Runtime,
                "all elements of {name} should be between 0 and 1, but got {lo} to {hi}"
            );
        }
    }
    let out = autograd::no_grad(|| {
        let bound = |t: &Tensor| clamp(t, Some(Scalar::Int(-100)), None);
        let yes = mul(target, &bound(&log(input)?)?)?;
        let no = mul(&rsub_scalar(target, ONE, ONE)?, &bound(&log1p(&neg(input)?)?)?)?;
        neg(&add(&yes, &no, ONE)?)
    })?;
    let mut loss = record("BinaryCrossEntropyBackward0", &[input, target], out, |s, _| {
        let (x, t) = (s.save(input), s.save(target));
        move |c, g| {
            let (x, t) = (x.get(c)?, t.get(c)?);
            let gx = if c.needs(0) {
                let slope = mul(&rsub_scalar(&x, ONE, ONE)?, &x)?;
                Some(mul(g, &div(&sub(&x, &t, ONE)?, &clamp_min(&slope, Scalar::Float(1e-12))?)?)?)
            } else {
                None
            };
            let gt = if c.needs(1) { Some(mul(g, &sub(&log1p(&neg(&x)?)?, &log(&x)?, ONE)?)?) } else { None };
            Ok(grads![gx, gt])
        }
    })?;
    if let Some(w) = weight {
        loss = mul(&loss, w)?;
    }
    reduce_loss(loss, reduction)
}
/// Binary cross entropy of logits, without overflow.
pub fn binary_cross_entropy_with_logits(
    input: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    pos_weight: Option<&Tensor>,
    reduction: &str,
) -> Result<Tensor> {
    check_reduction(reduction)?;
    ensure!(
        input.shape() == target.shape(),
        Value,
        "Target size (torch.Size({:?})) must be the same as input size (torch.Size({:?}))",
        &target.shape()[..],
        &input.shape()[..]
    );
    in_float_some([Some(input), Some(target), weight, pos_weight], |[input, target, weight, pos_weight]| {
        let (input, target) = (input.expect("given"), target.expect("given"));
        logits_loss(input, target, weight, pos_weight, reduction)
    })
}
fn logits_loss(
    input: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    pos_weight: Option<&Tensor>,
    reduction: &str,
) -> Result<Tensor> {
    let ls = logsigmoid(input)?;
    let rest = mul(&rsub_scalar(target, ONE, ONE)?, input)?;
    let mut loss = match pos_weight {
        Some(p) => {
            let w = add_scalar(&mul(&sub_scalar(p, ONE, ONE)?, target)?, ONE, ONE)?;
            sub(&rest, &mul(&w, &ls)?, ONE)?
        }
        None => sub(&rest, &ls, ONE)?,
    };
    if let Some(w) = weight {
        loss = mul(&loss, w)?;
    }
    reduce_loss(loss, reduction)
}
/// target * (log target - input), or with log_target exp(target) * (target - input).
pub fn kl_div(input: &Tensor, target: &Tensor, reduction: &str, log_target: bool) -> Result<Tensor> {
    ensure!(
        input.dtype().is_float() && target.dtype().is_float(),
        Runtime,
        "kl_div: Integral inputs not supported, got {} and {}",
        input.dtype().scalar_name(),
        target.dtype().scalar_name()
    );
    in_float([input, target], |[input, target]| divergence(input, target, reduction, log_target))
}
fn divergence(input: &Tensor, target: &Tensor, reduction: &str, log_target: bool) -> Result<Tensor> {
    let loss = if log_target {
        mul(&exp(target)?, &sub(target, input, ONE)?)?
    } else {
        sub(&xlogy(target, target)?, &mul(target, input)?, ONE)?
    };
    if reduction == "batchmean" {
        let n = input.shape().first().copied().unwrap_or(1);
        return div_scalar(&sum(&loss, None)?, Scalar::Int(n));
    }
    check_reduction(reduction)?;
    reduce_loss(loss, reduction)
}

/// Checks the sizes of classes: [n, d..] for an input of [n, c, d..]; none or [1] for one of [c].
fn class_shape(input: &[i64], target: &[i64]) -> Result<()> {
    let (n, given) = (input.len(), target.len());
    if n > 1 {
        let batch = target.first().copied().unwrap_or(0);
        ensure!(
            input[0] == batch,
            Value,
            "Expected input batch_size ({}) to match target batch_size ({batch}).",
            input[0]
        );
    }
    match n {
        1 | 2 => {
            ensure!(given < 2, Runtime, "0D or 1D target tensor expected, multi-target not supported");
            ensure!(
                n == 2 || given == 0 || target[0] == 1,
                Value,
                "For 1D input, 1D target must have size 1, but got target size: {}",
                target[0]
            );
        }
        4 => {
            ensure!(
                given == 3,
                Runtime,
                "only batches of spatial targets supported (3D tensors) but got targets of dimension: {given}"
            );
            ensure!(input[2..] == target[1..], Runtime, "size mismatch (got input: {input:?} , target: {target:?}");
        }
        _ => {
            let mut wanted = Dims::from_slice(&input[..1]);
            wanted.extend_from_slice(&input[2..]);
            ensure!(wanted[..] == *target, Runtime, "Expected target size {:?}, got {target:?}", &wanted[..]);
        }
    }
    Ok(())
}
/// Classes as the losses compute with them: int64, and one of an input without a batch without dimensions.
fn as_classes(input: &Tensor, target: &Tensor) -> Result<Tensor> {
    let target = cast(target, DType::I64)?;
    if input.ndim() == 1 {
        reshape(&target, &[])
    } else {
        Ok(target)
    }
}
/// Checks log-probabilities [n, c, d..] (or [c]) against integer classes [n, d..] (or []).
fn nll_check(input: &Tensor, target: &Tensor, weight: Option<&Tensor>) -> Result<()> {
    let (si, st) = (input.shape(), target.shape());
    ensure!(!si.is_empty(), Value, "Expected at least 1 dimension in the input of nll_loss (got 0)");
    class_shape(&si, &st)?;
    ensure!(
        matches!(target.dtype(), DType::I64 | DType::U8),
        Runtime,
        "expected target dtype to be Long or Byte, but got {}",
        target.dtype().scalar_name()
    );
    pointwise::same_device(input, target)?;
    if let Some(w) = weight {
        ensure!(
            w.dtype() == input.dtype(),
            Runtime,
            "expected scalar type {} but found {}",
            input.dtype().scalar_name(),
            w.dtype().scalar_name()
        );
        let c = si[if si.len() == 1 { 0 } else { 1 }];
        ensure!(
            w.ndim() == 1 && w.numel() as i64 == c,
            Runtime,
            "weight tensor should be defined either for all {c} classes or no classes but got weight tensor of shape: {:?}",
            &w.shape()[..]
        );
    }
    Ok(())
}
/// Negative log likelihood of integer classes; rows whose class is `ignore_index` do not count.
pub fn nll_loss(
    input: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    ignore_index: i64,
    reduction: &str,
) -> Result<Tensor> {
    complex::no_kernel("nll_loss_out_frame", input)?;
    check_reduction(reduction)?;
    nll_check(input, target, weight)?;
    let target = as_classes(input, target)?;
    in_float_some([Some(input), weight], |[input, weight]| {
        likelihood(input.expect("given"), &target, weight, ignore_index, reduction)
    })
}
fn likelihood(
    input: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    ignore_index: i64,
    reduction: &str,
) -> Result<Tensor> {
    let dim = if input.ndim() == 1 { 0 } else { 1 };
    let classes = input.shape()[dim as usize];
    let (safe, ignored, any_ignored) = autograd::no_grad(|| {
        let ignored = eq_scalar(target, Scalar::Int(ignore_index))?;
        // Reading the targets costs nothing on the CPU; a device's kernel reports those that are out of range.
        let mut any_ignored = true;
        if target.device().is_cpu() {
            let values = target.to_vec::<i64>()?;
            any_ignored = values.contains(&ignore_index);
            if let Some(bad) = values.iter().find(|v| **v != ignore_index && (**v < 0 || **v >= classes)) {
                bail!(Index, "Target {bad} is out of bounds.");
            }
        }
        let safe = if any_ignored { masked_fill_scalar(target, &ignored, Scalar::Int(0))? } else { target.clone() };
        if !safe.device().is_cpu() {
            index::check_values(&safe, Scalar::Int(0), Scalar::Int(classes - 1), ValueCheck::TargetClass)?;
        }
        Ok((safe, ignored, any_ignored))
    })?;
    let picked = neg(&squeeze_dim(&gather(input, dim, &unsqueeze(&safe, dim)?)?, dim)?)?;
    let w = match weight {
        Some(w) => Some(reshape(&index_select(w, 0, &reshape(&safe, &[-1])?)?, &safe.shape())?),
        None => None,
    };
    let mut loss = match &w {
        Some(w) => mul(&picked, w)?,
        None => picked,
    };
    if any_ignored {
        loss = masked_fill_scalar(&loss, &ignored, Scalar::Int(0))?;
    }
    if reduction != "mean" {
        return reduce_loss(loss, reduction);
    }
    if w.is_none() && !any_ignored {
        return mean(&loss, None);
    }
    let total = autograd::no_grad(|| {
        let w = match w {
            Some(w) => w,
            None => ones(&safe.shape(), Some(input.dtype()), Some(input.device()))?,
        };
        sum(&masked_fill_scalar(&w, &ignored, Scalar::Int(0))?, None)
    })?;
    div(&sum(&loss, None)?, &total)
}
/// The fused case: [n, c] logits, classes without weights, smoothing or ignored rows, on the mean or the sum.
fn cross_entropy_rows(input: &Tensor, target: &Tensor, mean_: bool) -> Result<Tensor> {
    let (logp, loss) = autograd::no_grad(|| {
        let logp = log_softmax(input, 1, None)?;
        let picked = gather(&logp, 1, &unsqueeze(target, 1)?)?;
        let total = if mean_ { mean(&picked, None)? } else { sum(&picked, None)? };
        Ok::<_, Error>((logp, neg(&total)?))
    })?;
    let n = input.shape()[0];
    let name = if mean_ { "NllLossBackward0" } else { "NllLossBackward1" };
    record(name, &[input], loss, |s, _| {
        let (x, y, t) = (s.save(input), s.save(&logp), s.save(target));
        move |c, g| {
            let t = unsqueeze(&t.get(c)?, 1)?;
            let g = if mean_ { div_scalar(g, Scalar::Int(n.max(1)))? } else { g.clone() };
            // (softmax - one hot) * g; differentiable through the recomputed softmax when asked for.
            let p = if c.create_graph { softmax(&x.get(c)?, 1, None)? } else { exp(&y.get(c)?)? };
            let minus = full(&t.shape(), Scalar::Int(-1), Some(p.dtype()), Some(p.device()))?;
            if c.create_graph {
                return Ok(grads![Some(mul(&scatter_add(&p, 1, &t, &minus)?, &g)?)]);
            }
            scatter_add_(&p, 1, &t, &minus)?;
            mul_(&p, &g)?;
            Ok(grads![Some(p)])
        }
    })
}
/// Cross entropy of logits [n, c, d..] (or [c]) against integer classes or class probabilities.
pub fn cross_entropy(
    input: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    ignore_index: i64,
    reduction: &str,
    label_smoothing: f64,
) -> Result<Tensor> {
    check_reduction(reduction)?;
    ensure!(
        (0.0..=1.0).contains(&label_smoothing),
        Runtime,
        "label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}"
    );
    ensure!(input.ndim() > 0, Value, "cross_entropy: expected at least 1 dimension in the input (got 0)");
    let soft = Some(target).filter(|t| t.dtype().is_float());
    if target.shape() == input.shape() && !(input.ndim() == 1 && input.numel() == 1) {
        ensure!(
            soft.is_some(),
            Runtime,
            "Expected floating point type for target with class probabilities, got {}",
            target.dtype().scalar_name()
        );
        ensure!(ignore_index < 0, Runtime, "ignore_index is not supported for floating point target");
    }
    if soft.is_none() || target.shape() != input.shape() {
        nll_check(input, target, weight)?; // which lets no float pass
    }
    let classes = if soft.is_none() { Some(as_classes(input, target)?) } else { None };
    let target = classes.as_ref().unwrap_or(target);
    in_float_some([Some(input), weight, soft], |[input, weight, soft]| {
        let target = soft.unwrap_or(target);
        entropy(input.expect("given"), target, weight, ignore_index, reduction, label_smoothing)
    })
}
fn entropy(
    input: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    ignore_index: i64,
    reduction: &str,
    label_smoothing: f64,
) -> Result<Tensor> {
    let dim = if input.ndim() == 1 { 0 } else { 1 };
    wrap_dim(dim, input.ndim())?;
    let classes = input.shape()[dim as usize];
    if target.dtype().is_float() {
        let target = if label_smoothing > 0.0 {
            add_scalar(
                &mul_scalar(target, Scalar::Float(1.0 - label_smoothing))?,
                Scalar::Float(label_smoothing / classes as f64),
                ONE,
            )?
        } else {
            target.clone()
        };
        let mut terms = mul(&log_softmax(input, dim, None)?, &target)?;
        if let Some(w) = weight {
            let mut s = vec![1i64; input.ndim()];
            s[dim as usize] = -1;
            terms = mul(&terms, &reshape(w, &s)?)?;
        }
        let rows = neg(&sum_dim(&terms, Some(&[dim]), false, None)?)?;
        return match reduction {
            "mean" => {
                let n = (input.numel() as i64 / classes.max(1)).max(1);
                div_scalar(&sum(&rows, None)?, Scalar::Int(n))
            }
            other => reduce_loss(rows, other),
        };
    }
    if weight.is_none()
        && label_smoothing == 0.0
        && reduction != "none"
        && input.ndim() == 2
        && input.dtype().is_float()
        && target.device().is_cpu()
        && input.numel() > 0
    {
        let values = target.to_vec::<i64>()?;
        if let Some(bad) = values.iter().find(|v| **v != ignore_index && (**v < 0 || **v >= classes)) {
            bail!(Index, "Target {bad} is out of bounds.");
        }
        if !values.contains(&ignore_index) {
            return cross_entropy_rows(input, target, reduction == "mean");
        }
    }
    let logp = log_softmax(input, dim, None)?;
    let hard = nll_loss(&logp, target, weight, ignore_index, reduction)?;
    if label_smoothing == 0.0 {
        return Ok(hard);
    }
    // The smooth part: the mean over classes of -log p, weighted like the hard part.
    let weighted = match weight {
        Some(w) => {
            let mut s = vec![1i64; input.ndim()];
            s[dim as usize] = -1;
            mul(&logp, &reshape(w, &s)?)?
        }
        None => logp.clone(),
    };
    let ignored = eq_scalar(target, Scalar::Int(ignore_index))?;
    let rows = masked_fill_scalar(&neg(&sum_dim(&weighted, Some(&[dim]), false, None)?)?, &ignored, Scalar::Int(0))?;
    let smooth = match reduction {
        "mean" => {
            let w = match weight {
                Some(w) => {
                    let safe = masked_fill_scalar(target, &ignored, Scalar::Int(0))?;
                    reshape(&index_select(w, 0, &reshape(&safe, &[-1])?)?, &safe.shape())?
                }
                None => ones(&target.shape(), Some(input.dtype()), Some(input.device()))?,
            };
            div(&sum(&rows, None)?, &sum(&masked_fill_scalar(&w, &ignored, Scalar::Int(0))?, None)?)?
        }
        other => reduce_loss(rows, other)?,
    };
    add(
        &mul_scalar(&hard, Scalar::Float(1.0 - label_smoothing))?,
        &mul_scalar(&smooth, Scalar::Float(label_smoothing / classes as f64))?,
        ONE,
    )
}
