//! Elementwise functions of one operand: each with its derivative beside it.

use super::pointwise::{inplace, pointwise, promote_float, Dest};
use super::*;
use crate::autograd::record;
use crate::backend::program::Opcode;
use crate::{ensure, grads};

const ONE: Scalar = Scalar::Int(1);

/// A float function `$f` and its in-place form. The derivative is written over the gradient `g` and the saved
/// value: `input x => ...` or `output y => ...` or `none => ...`.
macro_rules! float_fn {
    ($f:ident, $f_:ident, $imp:ident, $op:ident, $name:literal, input |$g:ident, $x:ident| $d:expr) => {
        fn $imp(a: &Tensor, dest: Dest) -> Result<Tensor> {
            let ty = promote_float(&[a.into()]);
            let out = pointwise(Opcode::$op, ty, ty, &[a.into()], dest)?;
            record($name, &[a], out, |s, _| {
                let x = s.save(a);
                move |c, $g| {
                    // Conjugate values give the conjugate derivative of a function that is real of real numbers.
                    let $x = &conj(&x.get(c)?)?;
                    Ok(grads![Some($d?)])
                }
            })
        }
        float_fn!(@wrap $f, $f_, $imp, true);
    };
    ($f:ident, $f_:ident, $imp:ident, $op:ident, $name:literal, output |$g:ident, $y:ident| $d:expr) => {
        fn $imp(a: &Tensor, dest: Dest) -> Result<Tensor> {
            let ty = promote_float(&[a.into()]);
            let out = pointwise(Opcode::$op, ty, ty, &[a.into()], dest)?;
            record($name, &[a], out, |s, out| {
                let y = s.save_output(out, 0);
                move |c, $g| {
                    let $y = &conj(&y.get(c)?)?;
                    Ok(grads![Some($d?)])
                }
            })
        }
        float_fn!(@wrap $f, $f_, $imp, false);
    };
    (@wrap $f:ident, $f_:ident, $imp:ident, $keeps:literal) => {
        pub fn $f(a: &Tensor) -> Result<Tensor> {
            $imp(a, None)
        }
        pub fn $f_(a: &Tensor) -> Result<()> {
            inplace(a, &[], $keeps, $imp)
        }
    };
}

/// One fused pass `op(g, saved)`; its own derivative comes from the composite `again` when a graph of the backward
/// is asked for.
fn fused(op: Opcode, g: &Tensor, saved: &Tensor, again: impl FnOnce() -> Result<Tensor>) -> Result<Tensor> {
    if autograd::recording(&[g, saved]) || g.dtype().is_complex() {
        return again();
    }
    let ty = pointwise::promote(&[g.into(), saved.into()]);
    pointwise(op, ty, ty, &[g.into(), saved.into()], None)
}
fn one_minus(x: &Tensor) -> Result<Tensor> {
    rsub_scalar(x, ONE, ONE)
}
fn times(x: &Tensor, k: f64) -> Result<Tensor> {
    mul_scalar(x, Scalar::Float(k))
}
fn plus(x: &Tensor, k: f64) -> Result<Tensor> {
    add_scalar(x, Scalar::Float(k), ONE)
}

float_fn!(exp, exp_, exp_impl, Exp, "ExpBackward0", output | g, y | mul(g, y));
float_fn!(exp2, exp2_, exp2_impl, Exp2, "Exp2Backward0", output | g, y | times(&mul(g, y)?, std::f64::consts::LN_2));
float_fn!(expm1, expm1_, expm1_impl, Expm1, "Expm1Backward0", output | g, y | mul(g, &plus(y, 1.0)?));
float_fn!(log, log_, log_impl, Log, "LogBackward0", input | g, x | div(g, x));
float_fn!(log2, log2_, log2_impl, Log2, "Log2Backward0", input | g, x | div(g, &times(x, std::f64::consts::LN_2)?));
float_fn!(
    log10,
    log10_,
    log10_impl,
    Log10,
    "Log10Backward0",
    input | g,
    x | div(g, &times(x, std::f64::consts::LN_10)?)
);
float_fn!(log1p, log1p_, log1p_impl, Log1p, "Log1PBackward0", input | g, x | div(g, &plus(x, 1.0)?));
float_fn!(sqrt, sqrt_, sqrt_impl, Sqrt, "SqrtBackward0", output | g, y | div(g, &times(y, 2.0)?));
float_fn!(
    rsqrt,
    rsqrt_,
    rsqrt_impl,
    Rsqrt,
    "RsqrtBackward0",
    output | g,
    y | mul(&times(g, -0.5)?, &pow_scalar(y, Scalar::Int(3))?)
);
float_fn!(
    reciprocal,
    reciprocal_,
    reciprocal_impl,
    Reciprocal,
    "ReciprocalBackward0",
    output | g,
    y | neg(&mul(g, &mul(y, y)?)?)
);
float_fn!(sin, sin_, sin_impl, Sin, "SinBackward0", input | g, x | mul(g, &cos(x)?));
float_fn!(cos, cos_, cos_impl, Cos, "CosBackward0", input | g, x | neg(&mul(g, &sin(x)?)?));
float_fn!(tan, tan_, tan_impl, Tan, "TanBackward0", output | g, y | mul(g, &plus(&square(y)?, 1.0)?));
float_fn!(asin, asin_, asin_impl, Asin, "AsinBackward0", input | g, x | mul(g, &rsqrt(&one_minus(&square(x)?)?)?));
float_fn!(
    acos,
    acos_,
    acos_impl,
    Acos,
    "AcosBackward0",
    input | g,
    x | neg(&mul(g, &rsqrt(&one_minus(&square(x)?)?)?)?)
);
float_fn!(atan, atan_, atan_impl, Atan, "AtanBackward0", input | g, x | div(g, &plus(&square(x)?, 1.0)?));
float_fn!(sinh, sinh_, sinh_impl, Sinh, "SinhBackward0", input | g, x | mul(g, &cosh(x)?));
float_fn!(cosh, cosh_, cosh_impl, Cosh, "CoshBackward0", input | g, x | mul(g, &sinh(x)?));
float_fn!(asinh, asinh_, asinh_impl, Asinh, "AsinhBackward0", input | g, x | mul(g, &rsqrt(&plus(&square(x)?, 1.0)?)?));
float_fn!(acosh, acosh_, acosh_impl, Acosh, "AcoshBackward0", input | g, x | acosh_slope(g, x));
fn acosh_slope(g: &Tensor, x: &Tensor) -> Result<Tensor> {
    if x.dtype().is_complex() {
        // Of one root of the product the sign would be wrong on the left.
        return div(g, &mul(&sqrt(&plus(x, -1.0)?)?, &sqrt(&plus(x, 1.0)?)?)?);
    }
    mul(g, &rsqrt(&plus(&square(x)?, -1.0)?)?)
}
float_fn!(atanh, atanh_, atanh_impl, Atanh, "AtanhBackward0", input | g, x | div(g, &one_minus(&square(x)?)?));
float_fn!(
    erf,
    erf_,
    erf_impl,
    Erf,
    "ErfBackward0",
    input | g,
    x | mul(&times(g, std::f64::consts::FRAC_2_SQRT_PI)?, &exp(&neg(&square(x)?)?)?)
);
float_fn!(
    erfc,
    erfc_,
    erfc_impl,
    Erfc,
    "ErfcBackward0",
    input | g,
    x | mul(&times(g, -std::f64::consts::FRAC_2_SQRT_PI)?, &exp(&neg(&square(x)?)?)?)
);
float_fn!(
    erfinv,
    erfinv_,
    erfinv_impl,
    Erfinv,
    "ErfinvBackward0",
    output | g,
    y | mul(&times(g, 1.0 / std::f64::consts::FRAC_2_SQRT_PI)?, &exp(&square(y)?)?)
);
float_fn!(
    sigmoid,
    sigmoid_,
    sigmoid_impl,
    Sigmoid,
    "SigmoidBackward0",
    output | g,
    y | fused(Opcode::SigmoidGrad, g, y, || mul(g, &mul(y, &one_minus(y)?)?))
);
float_fn!(
    tanh,
    tanh_,
    tanh_impl,
    Tanh,
    "TanhBackward0",
    output | g,
    y | fused(Opcode::TanhGrad, g, y, || mul(g, &one_minus(&square(y)?)?))
);
float_fn!(
    silu,
    silu_,
    silu_impl,
    Silu,
    "SiluBackward0",
    input | g,
    x | fused(Opcode::SiluGrad, g, x, || {
        let s = sigmoid(x)?;
        mul(g, &mul(&s, &plus(&mul(x, &one_minus(&s)?)?, 1.0)?)?)
    })
);
float_fn!(i0, i0_, i0_impl, I0, "I0Backward0", input | g, x | mul(g, &i1(x)?));
/// The derivative of i0: the modified Bessel function of order 1.
pub(super) fn i1(a: &Tensor) -> Result<Tensor> {
    let ty = promote_float(&[a.into()]);
    let out = pointwise(Opcode::I1, ty, ty, &[a.into()], None)?;
    record("SpecialI1Backward0", &[a], out, |s, out| {
        let (x, y) = (s.save(a), s.save_output(out, 0));
        move |c, g| {
            // i0(x) - i1(x) / x, which is 1/2 at zero.
            let x = x.get(c)?;
            let zero = eq_scalar(&detach(&x)?, Scalar::Int(0))?;
            let slope = sub(&i0(&x)?, &div(&y.get(c)?, &masked_fill_scalar(&x, &zero, ONE)?)?, ONE)?;
            Ok(grads![Some(mul(g, &masked_fill_scalar(&slope, &zero, Scalar::Float(0.5))?)?)])
        }
    })
}
float_fn!(lgamma, lgamma_, lgamma_impl, Lgamma, "LgammaBackward0", input | g, x | mul(g, &digamma(x)?));

/// The derivative of lgamma.
pub fn digamma(a: &Tensor) -> Result<Tensor> {
    let ty = promote_float(&[a.into()]);
    let out = pointwise(Opcode::Digamma, ty, ty, &[a.into()], None)?;
    record("DigammaBackward0", &[a], out, |s, _| {
        let x = s.save(a);
        move |c, g| Ok(grads![Some(mul(g, &trigamma(&x.get(c)?)?)?)])
    })
}
/// The derivative of digamma, of differentiable ops: eight steps of its recurrence, then the asymptotic series; below
/// 1/2 by reflection.
fn trigamma(x: &Tensor) -> Result<Tensor> {
    in_float([x], |[x]| trigamma_series(x))
}
fn trigamma_series(x: &Tensor) -> Result<Tensor> {
    use std::f64::consts::PI;
    let low = lt_scalar(x, Scalar::Float(0.5))?;
    let mut z = r#where(&low, &one_minus(x)?, x)?;
    let mut sum = reciprocal(&square(&z)?)?;
    for _ in 0..7 {
        z = plus(&z, 1.0)?;
        sum = add(&sum, &reciprocal(&square(&z)?)?, Scalar::Int(1))?;
    }
    // 1/z + 1/(2 z^2) + 1/(6 z^3) - 1/(30 z^5) + 1/(42 z^7) - 1/(30 z^9)
    let r = reciprocal(&plus(&z, 1.0)?)?;
    let q = square(&r)?;
    let mut series = mul_scalar(&q, Scalar::Float(-1.0 / 30.0))?;
    for c in [1.0 / 42.0, -1.0 / 30.0, 1.0 / 6.0] {
        series = mul(&q, &plus(&series, c)?)?;
    }
    let series = mul(&r, &plus(&add(&series, &mul_scalar(&r, Scalar::Float(0.5))?, Scalar::Int(1))?, 1.0)?)?;
    let t = add(&sum, &series, Scalar::Int(1))?;
    let s = sin(&mul_scalar(x, Scalar::Float(PI))?)?;
    let reflected = sub(&mul_scalar(&reciprocal(&square(&s)?)?, Scalar::Float(PI * PI))?, &t, Scalar::Int(1))?;
    r#where(&low, &reflected, &t)
}

fn gelu_impl(a: &Tensor, tanh_form: bool) -> Result<Tensor> {
    let ty = promote_float(&[a.into()]);
    let op = if tanh_form { Opcode::GeluTanh } else { Opcode::Gelu };
    let out = pointwise(op, ty, ty, &[a.into()], None)?;
    record("GeluBackward0", &[a], out, |s, _| {
        let x = s.save(a);
        move |c, g| Ok(grads![Some(gelu_grad(g, &x.get(c)?, tanh_form)?)])
    })
}
/// The gradient of gelu at x.
pub(super) fn gelu_grad(g: &Tensor, x: &Tensor, tanh_form: bool) -> Result<Tensor> {
    let op = if tanh_form { Opcode::GeluTanhGrad } else { Opcode::GeluGrad };
    fused(op, g, x, || {
        if tanh_form {
            let k = (2.0 / std::f64::consts::PI).sqrt();
            let u = times(&mul(x, &plus(&times(&square(x)?, 0.044715)?, 1.0)?)?, k)?;
            let t = tanh(&u)?;
            let du = times(&plus(&times(&square(x)?, 3.0 * 0.044715)?, 1.0)?, k)?;
            let left = times(&plus(&t, 1.0)?, 0.5)?;
            let right = mul(&times(x, 0.5)?, &mul(&one_minus(&square(&t)?)?, &du)?)?;
            mul(g, &add(&left, &right, ONE)?)
        } else {
            let cdf = times(&plus(&erf(&times(x, std::f64::consts::FRAC_1_SQRT_2)?)?, 1.0)?, 0.5)?;
            let pdf = times(&exp(&times(&square(x)?, -0.5)?)?, (2.0 * std::f64::consts::PI).sqrt().recip())?;
            mul(g, &add(&cdf, &mul(x, &pdf)?, ONE)?)
        }
    })
}
/// x * Phi(x), exactly (`approximate="none"`) or by tanh.
pub fn gelu(a: &Tensor, approximate: &str) -> Result<Tensor> {
    match approximate {
        "none" => gelu_impl(a, false),
        "tanh" => gelu_impl(a, true),
        other => crate::bail!(Runtime, "approximate argument must be either none or tanh, got '{other}'"),
    }
}

fn relu_impl(a: &Tensor, dest: Dest) -> Result<Tensor> {
    let ty = a.dtype();
    ensure!(ty != DType::Bool, Runtime, "Boolean inputs not supported for relu");
    let out = pointwise(Opcode::Relu, ty, ty, &[a.into()], dest)?;
    record("ReluBackward0", &[a], out, |s, out| {
        let y = s.save_output(out, 0);
        move |c, g| Ok(grads![Some(relu_grad(g, &y.get(c)?)?)])
    })
}
/// The gradient of relu whose result was y.
pub(super) fn relu_grad(g: &Tensor, y: &Tensor) -> Result<Tensor> {
    fused(Opcode::ReluGrad, g, y, || masked_fill_scalar(g, &le_scalar(y, Scalar::Int(0))?, Scalar::Int(0)))
}
pub fn relu(a: &Tensor) -> Result<Tensor> {
    relu_impl(a, None)
}
pub fn relu_(a: &Tensor) -> Result<()> {
    inplace(a, &[], false, relu_impl)
}

/// Functions that keep the dtype (integers stay integers).
fn keep(op: Opcode, a: &Tensor, dest: Dest) -> Result<Tensor> {
    let ty = a.dtype();
    pointwise(op, ty, ty, &[a.into()], dest)
}
fn neg_impl(a: &Tensor, dest: Dest) -> Result<Tensor> {
    ensure!(
        a.dtype() != DType::Bool,
        NotImplemented,
        "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
    );
    let out = keep(Opcode::Neg, a, dest)?;
    record("NegBackward0", &[a], out, |_, _| |_, g| Ok(grads![Some(neg(g)?)]))
}
pub fn neg(a: &Tensor) -> Result<Tensor> {
    neg_impl(a, None)
}
pub fn neg_(a: &Tensor) -> Result<()> {
    inplace(a, &[], false, neg_impl)
}
fn abs_impl(a: &Tensor, dest: Dest) -> Result<Tensor> {
    let out = keep(Opcode::Abs, a, dest)?;
    record("AbsBackward0", &[a], out, |s, _| {
        let x = s.save(a);
        move |c, g| Ok(grads![Some(mul(g, &sgn(&x.get(c)?)?)?)])
    })
}
pub fn abs(a: &Tensor) -> Result<Tensor> {
    abs_impl(a, None)
}
pub fn abs_(a: &Tensor) -> Result<()> {
    inplace(a, &[], true, abs_impl)
}
fn square_impl(a: &Tensor, dest: Dest) -> Result<Tensor> {
    let out = keep(Opcode::Square, a, dest)?;
    record("PowBackward0", &[a], out, |s, _| {
        let x = s.save(a);
        move |c, g| Ok(grads![Some(mul(g, &times(&conj(&x.get(c)?)?, 2.0)?)?)])
    })
}
pub fn square(a: &Tensor) -> Result<Tensor> {
    if a.dtype() == DType::Bool {
        return square_impl(&cast(a, DType::I64)?, None);
    }
    square_impl(a, None)
}
pub fn square_(a: &Tensor) -> Result<()> {
    inplace(a, &[], true, square_impl)
}

/// Steps: their gradient is zero everywhere.
macro_rules! step_fn {
    ($f:ident, $f_:ident, $imp:ident, $op:ident, $name:literal) => {
        fn $imp(a: &Tensor, dest: Dest) -> Result<Tensor> {
            if Opcode::$op == Opcode::Sign {
                ensure!(
                    !a.dtype().is_complex(),
                    NotImplemented,
                    "Unlike NumPy, torch.sign is not intended to support complex numbers. Please use torch.sgn instead."
                );
            }
            let out = keep(Opcode::$op, a, dest)?;
            record($name, &[a], out, |_, _| |_, g| Ok(grads![Some(zeros_like_of(g)?)]))
        }
        pub fn $f(a: &Tensor) -> Result<Tensor> {
            $imp(a, None)
        }
        pub fn $f_(a: &Tensor) -> Result<()> {
            inplace(a, &[], false, $imp)
        }
    };
}
step_fn!(sign, sign_, sign_impl, Sign, "SignBackward0");
step_fn!(floor, floor_, floor_impl, Floor, "FloorBackward0");
step_fn!(ceil, ceil_, ceil_impl, Ceil, "CeilBackward0");
step_fn!(trunc, trunc_, trunc_impl, Trunc, "TruncBackward0");
step_fn!(round_plain, round_plain_, round_impl, Round, "RoundBackward0");

/// Rounds half to even, to `decimals` places.
pub fn round(a: &Tensor, decimals: i64) -> Result<Tensor> {
    if decimals == 0 {
        return round_plain(a);
    }
    ensure!(
        a.dtype().is_float(),
        NotImplemented,
        "\"round\" with decimals is not implemented for '{}'",
        a.dtype().scalar_name()
    );
    let k = 10f64.powi(decimals.unsigned_abs().min(308) as i32);
    in_float([a], |[a]| {
        if decimals > 0 {
            times(&round_plain(&times(a, k)?)?, 1.0 / k)
        } else {
            times(&round_plain(&times(a, 1.0 / k)?)?, k)
        }
    })
}
pub fn round_(a: &Tensor) -> Result<()> {
    round_plain_(a)
}
pub fn frac(a: &Tensor) -> Result<Tensor> {
    let out = keep(Opcode::Frac, a, None)?;
    record("FracBackward0", &[a], out, |_, _| |_, g| Ok(grads![Some(g.clone())]))
}
pub fn bitwise_not(a: &Tensor) -> Result<Tensor> {
    ensure!(
        !a.dtype().is_inexact(),
        NotImplemented,
        "\"bitwise_not_cpu\" not implemented for '{}'",
        a.dtype().scalar_name()
    );
    keep(Opcode::BitNot, a, None)
}
macro_rules! predicate {
    ($($f:ident => $op:ident),*) => {$(
        pub fn $f(a: &Tensor) -> Result<Tensor> {
            pointwise(Opcode::$op, a.dtype(), DType::Bool, &[a.into()], None)
        })*};
}
predicate!(logical_not => LogicalNot, isnan => IsNan, isinf => IsInf, isfinite => IsFinite);

/// negative_slope * x below zero.
pub fn leaky_relu(a: &Tensor, negative_slope: Scalar) -> Result<Tensor> {
    if a.dtype().is_float() && !negative_slope.is_complex() {
        let out = pointwise(Opcode::LeakyRelu, a.dtype(), a.dtype(), &[a.into(), negative_slope.into()], None)?;
        return record("LeakyReluBackward0", &[a], out, |s, _| {
            let x = s.save(a);
            move |c, g| {
                let positive = gt_scalar(&detach(&x.get(c)?)?, Scalar::Int(0))?;
                Ok(grads![Some(where_(&positive, g, &mul_scalar(g, negative_slope)?)?)])
            }
        });
    }
    let positive = gt_scalar(a, Scalar::Int(0))?;
    where_(&positive, a, &mul_scalar(a, negative_slope)?)
}
/// alpha * (exp(x) - 1) below zero.
pub fn elu(a: &Tensor, alpha: Scalar) -> Result<Tensor> {
    scaled_elu(a, alpha.to_f64(), 1.0, 1.0)
}
/// scale * x above zero, scale * alpha * (exp(input_scale * x) - 1) below; NaN passes its gradient as what is above.
pub(super) fn scaled_elu(a: &Tensor, alpha: f64, scale: f64, input_scale: f64) -> Result<Tensor> {
    let by = |t: Tensor, k: f64| if k == 1.0 { Ok(t) } else { times(&t, k) };
    in_float([a], |[a]| {
        let out = autograd::no_grad(|| {
            let positive = gt_scalar(a, Scalar::Int(0))?;
            let low = by(masked_fill_scalar(a, &positive, Scalar::Int(0))?, input_scale)?;
            where_(&positive, &by(a.clone(), scale)?, &by(expm1(&low)?, alpha * scale)?)
        })?;
        record("EluBackward0", &[a], out, |s, _| {
            let x = s.save(a);
            move |c, g| {
                let x = x.get(c)?;
                let low = le_scalar(&detach(&x)?, Scalar::Int(0))?;
                // At zero the second derivative is that from above.
                let above = ge_scalar(&detach(&x)?, Scalar::Int(0))?;
                let slope = exp(&by(masked_fill_scalar(&x, &above, Scalar::Int(0))?, input_scale)?)?;
                let below = mul(g, &by(slope, alpha * scale * input_scale)?)?;
                Ok(grads![Some(where_(&low, &below, &by(g.clone(), scale)?)?)])
            }
        })
    })
}
/// log(1 + exp(beta x)) / beta, x itself above the threshold.
pub fn softplus(a: &Tensor, beta: Scalar, threshold: Scalar) -> Result<Tensor> {
    in_float([a], |[a]| {
        let bx = mul_scalar(a, beta)?;
        let linear = gt_scalar(&bx, threshold)?;
        let low = masked_fill_scalar(&bx, &linear, Scalar::Int(0))?;
        where_(&linear, a, &div_scalar(&log1p(&exp(&low)?)?, beta)?)
    })
}
/// log(sigmoid x), computed without overflow.
pub fn logsigmoid(a: &Tensor) -> Result<Tensor> {
    in_float([a], |[a]| {
        let out = autograd::no_grad(|| {
            let low = clamp(a, None, Some(Scalar::Int(0)))?;
            sub(&low, &log1p(&exp(&neg(&abs(a)?)?)?)?, ONE)
        })?;
        record("LogSigmoidBackward0", &[a], out, |s, _| {
            let x = s.save(a);
            move |c, g| Ok(grads![Some(mul(g, &sigmoid(&neg(&x.get(c)?)?)?)?)])
        })
    })
}
/// x * relu6(x + 3) / 6.
pub fn hardswish(a: &Tensor) -> Result<Tensor> {
    in_float([a], |[a]| {
        let out = match a.dtype() {
            d if d.is_float() => pointwise(Opcode::HardSwish, d, d, &[a.into()], None)?,
            _ => autograd::no_grad(|| mul(a, &hardsigmoid(a)?))?,
        };
        record("HardswishBackward0", &[a], out, |s, _| {
            let x = s.save(a);
            move |c, g| {
                let x = x.get(c)?;
                let plain = detach(&x)?;
                let low = le_scalar(&plain, Scalar::Int(-3))?;
                let middle = logical_and(&lt_scalar(&plain, Scalar::Int(3))?, &logical_not(&low)?)?;
                let slope = mul(g, &plus(&times(&x, 1.0 / 3.0)?, 0.5)?)?;
                Ok(grads![Some(where_(&middle, &slope, &masked_fill_scalar(g, &low, Scalar::Int(0))?)?)])
            }
        })
    })
}
/// relu6(x + 3) / 6.
pub fn hardsigmoid(a: &Tensor) -> Result<Tensor> {
    in_float([a], |[a]| {
        let d = a.dtype();
        if !d.is_float() {
            return times(&clamp(&plus(a, 3.0)?, Some(Scalar::Int(0)), Some(Scalar::Int(6)))?, 1.0 / 6.0);
        }
        let out = pointwise(Opcode::HardSigmoid, d, d, &[a.into()], None)?;
        record("HardsigmoidBackward0", &[a], out, |s, _| {
            let x = s.save(a);
            move |c, g| {
                let plain = detach(&x.get(c)?)?;
                let middle = logical_and(&gt_scalar(&plain, Scalar::Int(-3))?, &lt_scalar(&plain, Scalar::Int(3))?)?;
                Ok(grads![Some(masked_fill_scalar(&times(g, 1.0 / 6.0)?, &logical_not(&middle)?, Scalar::Int(0))?)])
            }
        })
    })
}
/// clamp(x, 0, 6).
pub fn relu6(a: &Tensor) -> Result<Tensor> {
    clamp_passing(a, Scalar::Int(0), Scalar::Int(6), Passes::NaN)
}
/// logarithm of x / (1 - x), x clamped to [eps, 1 - eps] when eps is given.
pub fn logit(a: &Tensor, eps: Option<f64>) -> Result<Tensor> {
    // Integers become floats before 1 - a can wrap.
    ensure!(!a.dtype().is_complex(), NotImplemented, "\"logit_cpu\" not implemented for '{}'", a.dtype().scalar_name());
    let float = cast(a, pointwise::promote_float(&[a.into()]))?;
    let a = &float;
    let clamped;
    let a = match eps {
        Some(e) => {
            // The lower bound is looked at first, should it be the larger one.
            let (low, high) = (Scalar::Float(e), Scalar::Float((1.0 - e).max(e)));
            clamped = if e <= 0.5 {
                clamp_passing(a, low, high, Passes::BoundsAndNaN)?
            } else {
                let above = gt_scalar(&detach(a)?, Scalar::Float(1.0 - e))?;
                let a = masked_fill_scalar(a, &above, Scalar::Float(1.0 - e))?;
                where_scalar_self(&lt_scalar(&detach(&float)?, low)?, low, &a)?
            };
            &clamped
        }
        None => a,
    };
    // Half types round at each step, as PyTorch's composition does.
    let out = autograd::no_grad(|| log(&div(a, &one_minus(a)?)?))?;
    record("LogitBackward0", &[a], out, |s, _| {
        let x = s.save(a);
        move |c, g| {
            let x = wide(&x.get(c)?)?;
            let slope = div(g, &mul(&x, &one_minus(&x)?)?)?;
            if eps.is_some() {
                return Ok(grads![Some(slope)]);
            }
            let outside = logical_or(&lt_scalar(&x, Scalar::Int(0))?, &gt_scalar(&x, ONE)?)?;
            Ok(grads![Some(masked_fill_scalar(&slope, &outside, Scalar::Float(f64::NAN))?)])
        }
    })
}
