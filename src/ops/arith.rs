//! Arithmetic of two operands: each op with its derivative beside it.
//!
//! Broadcast gradients keep the broadcast shape here; the engine sums them down.

use super::pointwise::{alike, alike_into, chain, inplace, pointwise, promote, promote_float, Arg, Dest};
use super::*;
use crate::autograd::record;
use crate::backend::program::{Opcode, Src};
use crate::{ensure, grads};

const ONE: Scalar = Scalar::Int(1);

/// The gradient g scaled by alpha.
fn scaled(g: &Tensor, alpha: Scalar) -> Result<Tensor> {
    if complex::is_number(alpha, 1.0) {
        Ok(g.clone())
    } else {
        mul_scalar(g, complex::conj_scalar(alpha))
    }
}
fn check_alpha(alpha: Scalar, ty: DType) -> Result<()> {
    ensure!(
        !alpha.is_complex() || ty.is_complex(),
        Runtime,
        "For non-complex input tensors, argument alpha must not be a complex number."
    );
    ensure!(
        !alpha.is_float() || ty.is_inexact(),
        Runtime,
        "For integral input tensors, argument alpha must not be a floating point number."
    );
    Ok(())
}

/// Bools cannot be subtracted, nor subtracted from.
fn check_sub(a: DType, b: Arg) -> Result<()> {
    let other = match b {
        Arg::T(t) => t.dtype() == DType::Bool,
        Arg::S(s) => matches!(s, Scalar::Bool(_)),
    };
    ensure!(
        !(a == DType::Bool && other),
        NotImplemented,
        "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator instead."
    );
    ensure!(
        a != DType::Bool && !other,
        NotImplemented,
        "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
    );
    Ok(())
}

fn add_impl(a: &Tensor, b: Arg, alpha: Scalar, subtract: bool, dest: Dest) -> Result<Tensor> {
    if let (Arg::T(t), None, Scalar::Int(1)) = (b, dest, alpha) {
        let op = if subtract { Opcode::Sub } else { Opcode::Add };
        if let Some(out) = alike(op, a, t, |d| !subtract || d != DType::Bool) {
            return add_recorded(a, b, alpha, subtract, out?);
        }
    }
    if let (Arg::T(t), Some(d), Scalar::Int(1)) = (b, dest, alpha) {
        let op = if subtract { Opcode::Sub } else { Opcode::Add };
        if let Some(out) = alike_into(op, a, d, t, |ty| !subtract || ty != DType::Bool) {
            return out;
        }
    }
    let ty = promote(&[a.into(), b]);
    check_alpha(alpha, ty)?;
    if subtract {
        check_sub(a.dtype(), b)?;
    }
    let unit = complex::is_number(alpha, 1.0);
    let out = match b {
        Arg::S(s) => {
            // One scalar is left: alpha * s, kept in its category.
            let s = if unit {
                s
            } else if s.is_complex() || alpha.is_complex() {
                let (x, y, u, v) = (s.to_f64(), s.imag(), alpha.to_f64(), alpha.imag());
                Scalar::Complex(x * u - y * v, x * v + y * u)
            } else if s.is_float() || alpha.is_float() {
                Scalar::Float(s.to_f64() * alpha.to_f64())
            } else {
                Scalar::Int(s.to_i64().wrapping_mul(alpha.to_i64()))
            };
            pointwise(if subtract { Opcode::Sub } else { Opcode::Add }, ty, ty, &[a.into(), Arg::S(s)], dest)?
        }
        Arg::T(_) if unit => pointwise(if subtract { Opcode::Sub } else { Opcode::Add }, ty, ty, &[a.into(), b], dest)?,
        Arg::T(_) => {
            let alpha = match (subtract, alpha) {
                (false, x) => x,
                (true, Scalar::Float(x)) => Scalar::Float(-x),
                (true, Scalar::Complex(x, y)) => Scalar::Complex(-x, -y),
                (true, x) => Scalar::Int(x.to_i64().wrapping_neg()),
            };
            pointwise(Opcode::MulAdd, ty, ty, &[a.into(), b, Arg::S(alpha)], dest)?
        }
    };
    add_recorded(a, b, alpha, subtract, out)
}
#[inline]
fn add_recorded(a: &Tensor, b: Arg, alpha: Scalar, subtract: bool, out: Tensor) -> Result<Tensor> {
    let name = if subtract { "SubBackward0" } else { "AddBackward0" };
    match b {
        Arg::S(_) => record(name, &[a], out, |_, _| |_, g| Ok(grads![Some(g.clone())])),
        Arg::T(b) => record(name, &[a, b], out, |_, _| {
            move |c, g| {
                let gb = match (c.needs(1), subtract) {
                    (false, _) => None,
                    (true, false) => Some(scaled(g, alpha)?),
                    (true, true) => Some(neg(&scaled(g, alpha)?)?),
                };
                Ok(grads![Some(g.clone()), gb])
            }
        }),
    }
}

pub fn add(a: &Tensor, b: &Tensor, alpha: Scalar) -> Result<Tensor> {
    add_impl(a, b.into(), alpha, false, None)
}
pub fn add_scalar(a: &Tensor, b: Scalar, alpha: Scalar) -> Result<Tensor> {
    add_impl(a, b.into(), alpha, false, None)
}
pub fn add_(a: &Tensor, b: &Tensor, alpha: Scalar) -> Result<()> {
    inplace(a, &[b], false, |x, d| add_impl(x, b.into(), alpha, false, d))
}
pub fn add_scalar_(a: &Tensor, b: Scalar, alpha: Scalar) -> Result<()> {
    inplace(a, &[], false, |x, d| add_impl(x, b.into(), alpha, false, d))
}
pub fn sub(a: &Tensor, b: &Tensor, alpha: Scalar) -> Result<Tensor> {
    add_impl(a, b.into(), alpha, true, None)
}
pub fn sub_scalar(a: &Tensor, b: Scalar, alpha: Scalar) -> Result<Tensor> {
    add_impl(a, b.into(), alpha, true, None)
}
pub fn sub_(a: &Tensor, b: &Tensor, alpha: Scalar) -> Result<()> {
    inplace(a, &[b], false, |x, d| add_impl(x, b.into(), alpha, true, d))
}
pub fn sub_scalar_(a: &Tensor, b: Scalar, alpha: Scalar) -> Result<()> {
    inplace(a, &[], false, |x, d| add_impl(x, b.into(), alpha, true, d))
}
pub fn rsub(a: &Tensor, b: &Tensor, alpha: Scalar) -> Result<Tensor> {
    sub(b, a, alpha)
}
/// other - alpha * self.
pub fn rsub_scalar(a: &Tensor, b: Scalar, alpha: Scalar) -> Result<Tensor> {
    check_sub(a.dtype(), b.into())?;
    let scaled_a;
    let a = if alpha == ONE {
        a
    } else {
        scaled_a = mul_scalar(a, alpha)?;
        &scaled_a
    };
    let ty = promote(&[a.into(), b.into()]);
    let out = pointwise(Opcode::Sub, ty, ty, &[b.into(), a.into()], None)?;
    record("RsubBackward1", &[a], out, |_, _| |_, g| Ok(grads![Some(neg(g)?)]))
}

fn mul_impl(a: &Tensor, b: Arg, dest: Dest) -> Result<Tensor> {
    if let (Arg::T(t), Some(d)) = (b, dest) {
        if let Some(out) = alike_into(Opcode::Mul, a, d, t, |_| true) {
            return out;
        }
    }
    let quick = match (b, dest) {
        (Arg::T(t), None) => alike(Opcode::Mul, a, t, |_| true),
        _ => None,
    };
    let out = match quick {
        Some(out) => out?,
        None => {
            let ty = promote(&[a.into(), b]);
            pointwise(Opcode::Mul, ty, ty, &[a.into(), b], dest)?
        }
    };
    match b {
        Arg::S(s) => record("MulBackward0", &[a], out, |_, _| {
            move |_, g| Ok(grads![Some(mul_scalar(g, complex::conj_scalar(s))?)])
        }),
        Arg::T(b) => record("MulBackward0", &[a, b], out, |s, _| {
            let x = autograd::requires_grad(b).then(|| s.save(a));
            let y = autograd::requires_grad(a).then(|| s.save(b));
            move |c, g| {
                let ga = y.as_ref().filter(|_| c.needs(0)).map(|y| mul(g, &conj(&y.get(c)?)?)).transpose()?;
                let gb = x.as_ref().filter(|_| c.needs(1)).map(|x| mul(g, &conj(&x.get(c)?)?)).transpose()?;
                Ok(grads![ga, gb])
            }
        }),
    }
}
pub fn mul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    mul_impl(a, b.into(), None)
}
pub fn mul_scalar(a: &Tensor, b: Scalar) -> Result<Tensor> {
    mul_impl(a, b.into(), None)
}
pub fn mul_(a: &Tensor, b: &Tensor) -> Result<()> {
    inplace(a, &[b], autograd::requires_grad(b), |x, d| mul_impl(x, b.into(), d))
}
pub fn mul_scalar_(a: &Tensor, b: Scalar) -> Result<()> {
    inplace(a, &[], false, |x, d| mul_impl(x, b.into(), d))
}

fn div_impl(a: &Tensor, b: Arg, dest: Dest) -> Result<Tensor> {
    if let (Arg::T(t), Some(d)) = (b, dest) {
        if let Some(out) = alike_into(Opcode::Div, a, d, t, DType::is_float) {
            return out;
        }
    }
    let quick = match (b, dest) {
        (Arg::T(t), None) => alike(Opcode::Div, a, t, DType::is_float),
        _ => None,
    };
    let out = match quick {
        Some(out) => out?,
        None => {
            let ty = promote_float(&[a.into(), b]);
            pointwise(Opcode::Div, ty, ty, &[a.into(), b], dest)?
        }
    };
    match b {
        Arg::S(s) => record("DivBackward0", &[a], out, |_, _| {
            move |_, g| Ok(grads![Some(div_scalar(g, complex::conj_scalar(s))?)])
        }),
        Arg::T(b) => record("DivBackward0", &[a, b], out, |s, _| {
            let x = autograd::requires_grad(b).then(|| s.save(a));
            let y = s.save(b);
            move |c, g| {
                let y = conj(&y.get(c)?)?;
                let ga = if c.needs(0) { Some(div(g, &y)?) } else { None };
                let gb = match (&x, c.needs(1)) {
                    (Some(x), true) => Some(neg(&mul(g, &div(&div(&conj(&wide(&x.get(c)?)?)?, &y)?, &y)?)?)?),
                    _ => None,
                };
                Ok(grads![ga, gb])
            }
        }),
    }
}
pub fn div(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    div_impl(a, b.into(), None)
}
pub fn div_scalar(a: &Tensor, b: Scalar) -> Result<Tensor> {
    div_impl(a, b.into(), None)
}
pub fn div_(a: &Tensor, b: &Tensor) -> Result<()> {
    inplace(a, &[b], autograd::requires_grad(b), |x, d| div_impl(x, b.into(), d))
}
pub fn div_scalar_(a: &Tensor, b: Scalar) -> Result<()> {
    inplace(a, &[], false, |x, d| div_impl(x, b.into(), d))
}
fn rounding(mode: Option<&str>) -> Result<Option<Opcode>> {
    Ok(match mode {
        None => None,
        Some("floor") => Some(Opcode::FloorDiv),
        Some("trunc") => Some(Opcode::TruncDiv),
        Some(m) => {
            crate::bail!(Runtime, "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{m}'")
        }
    })
}
fn div_mode_impl(a: &Tensor, b: Arg, mode: Option<&str>, dest: Dest) -> Result<Tensor> {
    let Some(op) = rounding(mode)? else { return div_impl(a, b, dest) };
    rounded(op, "DivBackward1", a, b, dest)
}
/// A piecewise constant op of two operands: its gradient is zero.
fn rounded(op: Opcode, name: &'static str, a: &Tensor, b: Arg, dest: Dest) -> Result<Tensor> {
    let ty = promote(&[a.into(), b]);
    ensure!(ty != DType::Bool, NotImplemented, "\"{name}\" not implemented for 'Bool'");
    let out = match b {
        // PyTorch rounds the quotient of halves before it is cut, but for one divisor of all.
        Arg::T(t) if op == Opcode::TruncDiv && matches!(ty, DType::F16 | DType::BF16) && t.ndim() > 0 => {
            let quotient = pointwise(Opcode::Div, ty, ty, &[a.into(), b], None)?;
            pointwise(Opcode::Trunc, ty, ty, &[(&quotient).into()], dest)?
        }
        _ => pointwise(op, ty, ty, &[a.into(), b], dest)?,
    };
    match b {
        Arg::S(_) => record(name, &[a], out, |_, _| |_, g| Ok(grads![Some(zeros_like_of(g)?)])),
        Arg::T(b) => record(name, &[a, b], out, |_, _| {
            |_, g| {
                let z = zeros_like_of(g)?;
                Ok(grads![Some(z.clone()), Some(z)])
            }
        }),
    }
}
pub fn div_tensor_mode(a: &Tensor, b: &Tensor, rounding_mode: Option<&str>) -> Result<Tensor> {
    div_mode_impl(a, b.into(), rounding_mode, None)
}
pub fn div_scalar_mode(a: &Tensor, b: Scalar, rounding_mode: Option<&str>) -> Result<Tensor> {
    div_mode_impl(a, b.into(), rounding_mode, None)
}
pub fn floor_divide(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    rounded(Opcode::FloorDiv, "FloorDivideBackward0", a, b.into(), None)
}
pub fn floor_divide_scalar(a: &Tensor, b: Scalar) -> Result<Tensor> {
    rounded(Opcode::FloorDiv, "FloorDivideBackward0", a, b.into(), None)
}
pub fn floor_divide_(a: &Tensor, b: &Tensor) -> Result<()> {
    inplace(a, &[b], false, |x, d| rounded(Opcode::FloorDiv, "FloorDivideBackward0", x, b.into(), d))
}
pub fn floor_divide_scalar_(a: &Tensor, b: Scalar) -> Result<()> {
    inplace(a, &[], false, |x, d| rounded(Opcode::FloorDiv, "FloorDivideBackward0", x, b.into(), d))
}
/// scalar // self, for reflected operators.
pub fn rfloor_divide(a: &Tensor, b: Scalar) -> Result<Tensor> {
    let ty = promote(&[a.into(), b.into()]);
    let out = pointwise(Opcode::FloorDiv, ty, ty, &[b.into(), a.into()], None)?;
    record("FloorDivideBackward0", &[a], out, |_, _| |_, g| Ok(grads![Some(zeros_like_of(g)?)]))
}
/// scalar / self, for reflected operators.
pub fn rdiv(a: &Tensor, b: Scalar) -> Result<Tensor> {
    mul_scalar(&reciprocal(a)?, b)
}

fn remainder_impl(fmod: bool, a: &Tensor, b: Arg, dest: Dest) -> Result<Tensor> {
    let ty = promote(&[a.into(), b]);
    let (op, name) = if fmod { (Opcode::Fmod, "FmodBackward0") } else { (Opcode::Remainder, "RemainderBackward0") };
    ensure!(
        ty != DType::Bool,
        NotImplemented,
        "\"{}\" not implemented for 'Bool'",
        if fmod { "fmod" } else { "remainder" }
    );
    let out = pointwise(op, ty, ty, &[a.into(), b], dest)?;
    match b {
        Arg::S(_) => record(name, &[a], out, |_, _| |_, g| Ok(grads![Some(g.clone())])),
        Arg::T(b) => record(name, &[a, b], out, |s, _| {
            let (x, y) = (s.save(a), s.save(b));
            move |c, g| {
                let gb = if c.needs(1) {
                    let q = div_tensor_mode(&x.get(c)?, &y.get(c)?, Some(if fmod { "trunc" } else { "floor" }))?;
                    Some(neg(&mul(g, &q)?)?)
                } else {
                    None
                };
                Ok(grads![Some(g.clone()), gb])
            }
        }),
    }
}
pub fn remainder(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    remainder_impl(false, a, b.into(), None)
}
pub fn remainder_scalar(a: &Tensor, b: Scalar) -> Result<Tensor> {
    remainder_impl(false, a, b.into(), None)
}
pub fn remainder_(a: &Tensor, b: &Tensor) -> Result<()> {
    inplace(a, &[b], true, |x, d| remainder_impl(false, x, b.into(), d))
}
pub fn remainder_scalar_(a: &Tensor, b: Scalar) -> Result<()> {
    inplace(a, &[], false, |x, d| remainder_impl(false, x, b.into(), d))
}
/// scalar % self, for reflected operators.
pub fn rremainder(a: &Tensor, b: Scalar) -> Result<Tensor> {
    let ty = promote(&[a.into(), b.into()]);
    let full = full_like(a, b, Some(ty), None)?;
    remainder(&full, a)
}
pub fn fmod(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    remainder_impl(true, a, b.into(), None)
}
pub fn fmod_scalar(a: &Tensor, b: Scalar) -> Result<Tensor> {
    remainder_impl(true, a, b.into(), None)
}
pub fn fmod_(a: &Tensor, b: &Tensor) -> Result<()> {
    inplace(a, &[b], true, |x, d| remainder_impl(true, x, b.into(), d))
}
pub fn fmod_scalar_(a: &Tensor, b: Scalar) -> Result<()> {
    inplace(a, &[], false, |x, d| remainder_impl(true, x, b.into(), d))
}

fn check_int_pow(ty: DType, exponent: Scalar) -> Result<()> {
    ensure!(
        ty.is_inexact() || exponent.to_f64() >= 0.0,
        Runtime,
        "Integers to negative integer powers are not allowed."
    );
    Ok(())
}
/// z ** e; powers that are products or roots are those.
fn complex_pow_scalar(a: &Tensor, e: Scalar, ty: DType, dest: Dest) -> Result<Tensor> {
    let (p, whole) = (e.to_f64(), e.imag() == 0.0);
    let special = match p {
        0.5 => Some(Opcode::Sqrt),
        -0.5 => Some(Opcode::Rsqrt),
        -1.0 => Some(Opcode::Reciprocal),
        1.0 => Some(Opcode::Cast),
        2.0 => Some(Opcode::Square),
        _ => None,
    };
    let out = match special.filter(|_| whole) {
        Some(op) => pointwise(op, ty, ty, &[a.into()], dest)?,
        None => pointwise(Opcode::Pow, ty, ty, &[a.into(), e.into()], dest)?,
    };
    record("PowBackward0", &[a], out, |s, _| {
        let x = s.save(a);
        move |c, g| {
            if p == 0.0 && whole {
                return Ok(grads![Some(zeros_like_of(g)?)]);
            }
            let less = if whole { Scalar::Float(p - 1.0) } else { Scalar::Complex(p - 1.0, e.imag()) };
            let slope = mul_scalar(&pow_scalar(&x.get(c)?, less)?, e)?;
            Ok(grads![Some(mul(g, &conj(&slope)?)?)])
        }
    })
}
fn pow_scalar_impl(a: &Tensor, e: Scalar, dest: Dest) -> Result<Tensor> {
    let ty = promote(&[a.into(), e.into()]);
    check_int_pow(ty, e)?;
    if ty.is_complex() {
        return complex_pow_scalar(a, e, ty, dest);
    }
    let p = e.to_f64();
    let out = if ty == DType::Bool {
        // x ** True is x; x ** False is True.
        if p == 0.0 {
            pointwise(Opcode::LogicalOr, ty, ty, &[a.into(), Scalar::Bool(true).into()], dest)?
        } else {
            pointwise(Opcode::Cast, ty, ty, &[a.into()], dest)?
        }
    } else if p == 2.0 {
        pointwise(Opcode::Square, ty, ty, &[a.into()], dest)?
    } else if p == 0.5 && ty.is_float() {
        pointwise(Opcode::Sqrt, ty, ty, &[a.into()], dest)?
    } else {
        pointwise(Opcode::Pow, ty, ty, &[a.into(), e.into()], dest)?
    };
    record("PowBackward0", &[a], out, |s, _| {
        let x = s.save(a);
        move |c, g| {
            Ok(grads![Some(if p == 0.0 {
                zeros_like_of(g)?
            } else if p == 1.0 {
                g.clone()
            } else if p == 2.0 {
                mul(g, &mul_scalar(&x.get(c)?, e)?)?
            } else {
                mul(g, &mul_scalar(&pow_scalar(&wide(&x.get(c)?)?, Scalar::Float(p - 1.0))?, e)?)?
            })])
        }
    })
}
pub fn pow_scalar(a: &Tensor, e: Scalar) -> Result<Tensor> {
    pow_scalar_impl(a, e, None)
}
pub fn pow_scalar_(a: &Tensor, e: Scalar) -> Result<()> {
    inplace(a, &[], true, |x, d| pow_scalar_impl(x, e, d))
}
fn pow_impl(a: Arg, b: &Tensor, dest: Dest) -> Result<Tensor> {
    let ty = promote(&[a, b.into()]);
    let out = pointwise(Opcode::Pow, ty, ty, &[a, b.into()], dest)?;
    // d/db = g * a^b * log a, 0 where a = 0 and b >= 0
    let exponent_grad = |g: &Tensor, base_log: &Tensor, is_zero: &Tensor, b: &Tensor, y: &Tensor| -> Result<Tensor> {
        let d = mul(g, &mul(y, base_log)?)?;
        let at_zero = logical_and(is_zero, &ge_scalar(b, Scalar::Int(0))?)?;
        masked_fill_scalar(&d, &at_zero, Scalar::Int(0))
    };
    match a {
        Arg::T(a) => record("PowBackward1", &[a, b], out, |s, out| {
            let (x, e, y) = (s.save(a), s.save(b), s.save_output(out, 0));
            move |c, g| {
                let (x, e) = (wide(&x.get(c)?)?, wide(&e.get(c)?)?);
                if g.dtype().is_complex() {
                    return complex::pow_grads(g, &x, &e, &y.get(c)?, (c.needs(0), c.needs(1)));
                }
                let ga = if c.needs(0) {
                    let d = mul(g, &mul(&e, &pow(&x, &sub_scalar(&e, ONE, ONE)?)?)?)?;
                    Some(masked_fill_scalar(&d, &eq_scalar(&e, Scalar::Int(0))?, Scalar::Int(0))?)
                } else {
                    None
                };
                let gb = if c.needs(1) {
                    Some(exponent_grad(g, &log(&x)?, &eq_scalar(&x, Scalar::Int(0))?, &e, &y.get(c)?)?)
                } else {
                    None
                };
                Ok(grads![ga, gb])
            }
        }),
        Arg::S(base) => record("PowBackward1", &[b], out, |s, out| {
            let (e, y) = (s.save(b), s.save_output(out, 0));
            move |c, g| {
                if g.dtype().is_complex() {
                    let (e, y) = (e.get(c)?, y.get(c)?);
                    return complex::pow_grads(g, &full_like(&y, base, None, None)?, &e, &y, (false, true))
                        .map(|mut both| grads![both[1].take()]);
                }
                let d = mul_scalar(&mul(g, &y.get(c)?)?, Scalar::Float(base.to_f64().ln()))?;
                Ok(grads![Some(if base.to_f64() == 0.0 {
                    masked_fill_scalar(&d, &ge_scalar(&e.get(c)?, Scalar::Int(0))?, Scalar::Int(0))?
                } else {
                    d
                })])
            }
        }),
    }
}
pub fn pow(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    pow_impl(a.into(), b, None)
}
pub fn pow_(a: &Tensor, b: &Tensor) -> Result<()> {
    inplace(a, &[b], true, |x, d| pow_impl(x.into(), b, d))
}
/// base ** exponent for a number and a tensor.
pub fn pow_scalar_base(base: Scalar, exponent: &Tensor) -> Result<Tensor> {
    pow_impl(base.into(), exponent, None)
}

/// Elementwise extremes that propagate NaN: the gradient goes to the chosen operand, halves at ties, to both where one is NaN.
fn extreme(op: Opcode, name: &'static str, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let ty = promote(&[a.into(), b.into()]);
    let out = pointwise(op, ty, ty, &[a.into(), b.into()], None)?;
    let largest = op == Opcode::Maximum;
    record(name, &[a, b], out, |s, _| {
        let (x, y) = (s.save(a), s.save(b));
        move |c, g| {
            let (x, y) = (x.get(c)?, y.get(c)?);
            let shared = where_(&eq(&x, &y)?, &div_scalar(g, Scalar::Int(2))?, g)?;
            let (less, more) = (lt(&x, &y)?, gt(&x, &y)?);
            let (not_x, not_y) = if largest { (less, more) } else { (more, less) };
            let without = |m: &Tensor| masked_fill_scalar(&shared, m, Scalar::Int(0)).map(Some);
            Ok(grads![
                if c.needs(0) { without(&not_x)? } else { None },
                if c.needs(1) { without(&not_y)? } else { None }
            ])
        }
    })
}
/// Elementwise extremes that ignore NaN: the gradient goes to the chosen operand, halves at ties, to the first of two NaN.
fn finite_extreme(op: Opcode, name: &'static str, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let ty = promote(&[a.into(), b.into()]);
    let out = pointwise(op, ty, ty, &[a.into(), b.into()], None)?;
    let largest = op == Opcode::Fmax;
    record(name, &[a, b], out, |s, _| {
        let (x, y) = (s.save(a), s.save(b));
        move |c, g| {
            let (x, y) = (x.get(c)?, y.get(c)?);
            let wins = if largest { ge(&x, &y)? } else { le(&x, &y)? };
            let first = logical_or(&wins, &isnan(&y)?)?;
            let tie = eq(&x, &y)?;
            let shared = where_(&tie, &div_scalar(g, Scalar::Int(2))?, g)?;
            let without = |m: &Tensor| masked_fill_scalar(&shared, m, Scalar::Int(0)).map(Some);
            Ok(grads![
                if c.needs(0) { without(&logical_not(&first)?)? } else { None },
                if c.needs(1) { without(&logical_and(&first, &logical_not(&tie)?)?)? } else { None }
            ])
        }
    })
}
pub fn maximum(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    extreme(Opcode::Maximum, "MaximumBackward0", a, b)
}
pub fn minimum(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    extreme(Opcode::Minimum, "MinimumBackward0", a, b)
}
pub fn fmax(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    finite_extreme(Opcode::Fmax, "FmaxBackward0", a, b)
}
pub fn fmin(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    finite_extreme(Opcode::Fmin, "FminBackward0", a, b)
}
pub fn atan2(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let ty = promote_float(&[a.into(), b.into()]);
    let out = pointwise(Opcode::Atan2, ty, ty, &[a.into(), b.into()], None)?;
    record("Atan2Backward0", &[a, b], out, |s, _| {
        let (x, y) = (s.save(a), s.save(b));
        move |c, g| {
            let (x, y, g) = (wide(&x.get(c)?)?, wide(&y.get(c)?)?, &wide(g)?);
            let length = add(&square(&x)?, &square(&y)?, ONE)?;
            let r = masked_fill_scalar(&div(g, &length)?, &eq_scalar(&length, Scalar::Int(0))?, Scalar::Int(0))?;
            Ok(grads![Some(mul(&r, &y)?), Some(neg(&mul(&r, &x)?)?)])
        }
    })
}
pub fn hypot(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let ty = promote_float(&[a.into(), b.into()]);
    let out = pointwise(Opcode::Hypot, ty, ty, &[a.into(), b.into()], None)?;
    record("HypotBackward0", &[a, b], out, |s, out| {
        let (x, y, h) = (s.save(a), s.save(b), s.save_output(out, 0));
        move |c, g| {
            let r = div(&wide(g)?, &h.get(c)?)?;
            Ok(grads![Some(mul(&r, &x.get(c)?)?), Some(mul(&r, &y.get(c)?)?)])
        }
    })
}
pub fn logaddexp(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let ty = promote_float(&[a.into(), b.into()]);
    let out = pointwise(Opcode::LogAddExp, ty, ty, &[a.into(), b.into()], None)?;
    record("LogaddexpBackward0", &[a, b], out, |s, _| {
        let (x, y) = (s.save(a), s.save(b));
        move |c, g| {
            let apart = sub(&wide(&x.get(c)?)?, &y.get(c)?, ONE)?;
            Ok(grads![Some(mul(g, &sigmoid(&apart)?)?), Some(mul(g, &sigmoid(&neg(&apart)?)?)?)])
        }
    })
}
pub fn xlogy(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let ty = promote_float(&[a.into(), b.into()]);
    let out = pointwise(Opcode::Xlogy, ty, ty, &[a.into(), b.into()], None)?;
    record("XlogyBackward0", &[a, b], out, |s, _| {
        let (x, y) = (s.save(a), s.save(b));
        move |c, g| {
            let (x, y) = (x.get(c)?, y.get(c)?);
            let zero = logical_and(&eq_scalar(&x, Scalar::Int(0))?, &le_scalar(&y, Scalar::Int(0))?)?;
            let ga = masked_fill_scalar(&xlogy(g, &y)?, &zero, Scalar::Int(0))?;
            Ok(grads![Some(ga), Some(mul(g, &div(&x, &y)?)?)])
        }
    })
}
/// self + weight * (end - self), counted from the nearer end.
pub fn lerp(a: &Tensor, end: &Tensor, weight: &Tensor) -> Result<Tensor> {
    in_float([a, end, weight], |[a, end, weight]| {
        let out = autograd::no_grad(|| {
            let way = sub(end, a, ONE)?;
            let near = lt_scalar(&abs(weight)?, Scalar::Float(0.5))?;
            let back = mul(&way, &rsub_scalar(weight, ONE, ONE)?)?;
            where_(&near, &add(a, &mul(weight, &way)?, ONE)?, &sub(end, &back, ONE)?)
        })?;
        record("LerpBackward1", &[a, end, weight], out, |s, _| {
            let (x, y, w) = (s.save(a), s.save(end), s.save(weight));
            move |c, g| {
                let w = w.get(c)?;
                let gw = if c.needs(2) { Some(mul(g, &conj(&sub(&y.get(c)?, &x.get(c)?, ONE)?)?)?) } else { None };
                let w = conj(&w)?;
                Ok(grads![Some(mul(g, &rsub_scalar(&w, ONE, ONE)?)?), Some(mul(g, &w)?), gw])
            }
        })
    })
}
pub fn lerp_scalar(a: &Tensor, end: &Tensor, weight: Scalar) -> Result<Tensor> {
    let (w, rest) = match weight {
        Scalar::Complex(re, im) => (weight, Scalar::Complex(1.0 - re, -im)),
        _ => (Scalar::Float(weight.to_f64()), Scalar::Float(1.0 - weight.to_f64())),
    };
    ensure!(
        !w.is_complex() || a.dtype().is_complex(),
        Runtime,
        "value cannot be converted to type double without overflow"
    );
    in_float([a, end], |[a, end]| {
        let out = autograd::no_grad(|| {
            if a.dtype().is_float() && end.dtype() == a.dtype() {
                // One pass: the way, and a part of it.
                let near = w.to_f64().abs() < 0.5;
                let (x, y) = (Src::Input(0), Src::Input(1));
                let from = if near { x } else { y };
                let insts = [
                    (Opcode::Sub, if near { [y, x, y] } else { [x, y, x] }),
                    (Opcode::MulAdd, [from, Src::Reg(0), Src::Scalar(0)]),
                ];
                return chain(&insts, a.dtype(), &[a, end], &[if near { w } else { rest }]);
            }
            let way = sub(end, a, ONE)?;
            if w.to_f64().hypot(w.imag()) < 0.5 {
                add(a, &way, w)
            } else {
                sub(end, &way, rest)
            }
        })?;
        record("LerpBackward0", &[a, end], out, |_, _| {
            let (w, rest) = (complex::conj_scalar(w), complex::conj_scalar(rest));
            move |_, g| Ok(grads![Some(mul_scalar(g, rest)?), Some(mul_scalar(g, w)?)])
        })
    })
}
/// self + value * tensor1 * tensor2.
pub fn addcmul(a: &Tensor, t1: &Tensor, t2: &Tensor, value: Scalar) -> Result<Tensor> {
    in_float([a, t1, t2], |[a, t1, t2]| add(a, &mul(t1, t2)?, value))
}
/// PyTorch once rounded quotients of integers here, and has refused them since.
fn check_addcdiv(t1: &Tensor, t2: &Tensor) -> Result<()> {
    ensure!(
        t1.dtype().is_inexact() || t2.dtype().is_inexact(),
        Runtime,
        "Integer division with addcdiv is no longer supported: give one of tensor1 and tensor2 a floating point dtype, got \
         {} and {}",
        t1.dtype().scalar_name(),
        t2.dtype().scalar_name()
    );
    Ok(())
}
/// self + value * tensor1 / tensor2.
pub fn addcdiv(a: &Tensor, t1: &Tensor, t2: &Tensor, value: Scalar) -> Result<Tensor> {
    check_addcdiv(t1, t2)?;
    in_float([a, t1, t2], |[a, t1, t2]| add(a, &div(t1, t2)?, value))
}
pub fn addcmul_(a: &Tensor, t1: &Tensor, t2: &Tensor, value: Scalar) -> Result<()> {
    add_(a, &mul(&wide(t1)?, t2)?, value)
}
pub fn addcdiv_(a: &Tensor, t1: &Tensor, t2: &Tensor, value: Scalar) -> Result<()> {
    check_addcdiv(t1, t2)?;
    add_(a, &div(&wide(t1)?, t2)?, value)
}
pub fn lerp_scalar_(a: &Tensor, end: &Tensor, weight: Scalar) -> Result<()> {
    in_place::write_back(a, false, |x| lerp_scalar(x, end, weight))
}
