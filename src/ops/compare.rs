//! Comparisons, logic, bits, selection and clamping.

use super::pointwise::{inplace, pointwise, promote, Arg, Dest};
use super::*;
use crate::autograd::record;
use crate::backend::program::Opcode;
use crate::{bail, ensure, grads};

macro_rules! comparison {
    ($($f:ident, $scalar:ident, $op:ident;)*) => {$(
        pub fn $f(a: &Tensor, b: &Tensor) -> Result<Tensor> {
            pointwise(Opcode::$op, promote(&[a.into(), b.into()]), DType::Bool, &[a.into(), b.into()], None)
        }
        pub fn $scalar(a: &Tensor, b: Scalar) -> Result<Tensor> {
            pointwise(Opcode::$op, promote(&[a.into(), b.into()]), DType::Bool, &[a.into(), b.into()], None)
        })*};
}
comparison! {
    eq, eq_scalar, Eq;
    ne, ne_scalar, Ne;
    lt, lt_scalar, Lt;
    le, le_scalar, Le;
    gt, gt_scalar, Gt;
    ge, ge_scalar, Ge;
}
macro_rules! logic {
    ($($f:ident, $op:ident;)*) => {$(
        pub fn $f(a: &Tensor, b: &Tensor) -> Result<Tensor> {
            pointwise(Opcode::$op, promote(&[a.into(), b.into()]), DType::Bool, &[a.into(), b.into()], None)
        })*};
}
logic! { logical_and, LogicalAnd; logical_or, LogicalOr; logical_xor, LogicalXor; }

fn bits(op: Opcode, name: &str, a: &Tensor, b: Arg, dest: Dest) -> Result<Tensor> {
    let ty = promote(&[a.into(), b]);
    let shift = matches!(op, Opcode::ShiftLeft | Opcode::ShiftRight);
    ensure!(
        !(ty.is_inexact() || shift && ty == DType::Bool),
        NotImplemented,
        "\"{name}_cpu\" not implemented for '{}'",
        ty.scalar_name()
    );
    pointwise(op, ty, ty, &[a.into(), b], dest)
}
macro_rules! bitwise {
    ($($f:ident, $scalar:ident, $f_:ident, $scalar_:ident, $op:ident, $name:literal;)*) => {$(
        pub fn $f(a: &Tensor, b: &Tensor) -> Result<Tensor> {
            bits(Opcode::$op, $name, a, b.into(), None)
        }
        pub fn $scalar(a: &Tensor, b: Scalar) -> Result<Tensor> {
            bits(Opcode::$op, $name, a, b.into(), None)
        }
        pub fn $f_(a: &Tensor, b: &Tensor) -> Result<()> {
            inplace(a, &[b], false, |x, d| bits(Opcode::$op, $name, x, b.into(), d))
        }
        pub fn $scalar_(a: &Tensor, b: Scalar) -> Result<()> {
            inplace(a, &[], false, |x, d| bits(Opcode::$op, $name, x, b.into(), d))
        })*};
}
bitwise! {
    bitwise_and, bitwise_and_scalar, bitwise_and_, bitwise_and_scalar_, BitAnd, "bitwise_and";
    bitwise_or, bitwise_or_scalar, bitwise_or_, bitwise_or_scalar_, BitOr, "bitwise_or";
    bitwise_xor, bitwise_xor_scalar, bitwise_xor_, bitwise_xor_scalar_, BitXor, "bitwise_xor";
    bitwise_left_shift, bitwise_left_shift_scalar, bitwise_left_shift_, bitwise_left_shift_scalar_, ShiftLeft, "lshift";
    bitwise_right_shift, bitwise_right_shift_scalar, bitwise_right_shift_, bitwise_right_shift_scalar_, ShiftRight, "rshift";
}

fn check_condition(c: &Tensor) -> Result<()> {
    ensure!(
        matches!(c.dtype(), DType::Bool | DType::U8),
        Runtime,
        "where expected condition to be a boolean tensor, but got a tensor with dtype {}",
        c.dtype().scalar_name()
    );
    Ok(())
}
fn where_impl(cond: &Tensor, a: Arg, b: Arg) -> Result<Tensor> {
    check_condition(cond)?;
    let ty = promote(&[a, b]);
    for x in [a, b] {
        if let Arg::S(s) = x {
            create::check_fits(s, ty)?;
        }
    }
    let out = pointwise(Opcode::Where, ty, ty, &[cond.into(), a, b], None)?;
    let plain;
    let stand_in = |x: Arg<'_>| match x {
        Arg::T(t) => Some(t.clone()),
        Arg::S(_) => None,
    };
    let (ta, tb) = (stand_in(a), stand_in(b));
    plain = cond.alias_same();
    record("WhereBackward0", &[ta.as_ref().unwrap_or(&plain), tb.as_ref().unwrap_or(&plain)], out, |s, _| {
        let m = s.save(cond);
        move |c, g| {
            let m = m.get(c)?;
            let ga = if c.needs(0) { Some(masked_fill_scalar(g, &logical_not(&m)?, Scalar::Int(0))?) } else { None };
            let gb = if c.needs(1) { Some(masked_fill_scalar(g, &m, Scalar::Int(0))?) } else { None };
            Ok(grads![ga, gb])
        }
    })
}
pub fn r#where(condition: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    where_impl(condition, a.into(), b.into())
}
/// `where` under a name that is no keyword.
pub fn where_(condition: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    r#where(condition, a, b)
}
pub fn where_scalar_self(condition: &Tensor, a: Scalar, b: &Tensor) -> Result<Tensor> {
    where_impl(condition, a.into(), b.into())
}
pub fn where_scalar_other(condition: &Tensor, a: &Tensor, b: Scalar) -> Result<Tensor> {
    where_impl(condition, a.into(), b.into())
}
pub fn where_scalar(condition: &Tensor, a: Scalar, b: Scalar) -> Result<Tensor> {
    where_impl(condition, a.into(), b.into())
}

fn masked_fill_impl(a: &Tensor, mask: &Tensor, value: Arg, dest: Dest) -> Result<Tensor> {
    ensure!(
        mask.dtype() == DType::Bool,
        Runtime,
        "masked_fill only supports boolean masks, but got mask with dtype {}",
        mask.dtype()
    );
    let ty = a.dtype();
    match value {
        Arg::S(s) => create::check_fits(s, ty)?,
        Arg::T(t) => ensure!(
            t.ndim() == 0,
            Runtime,
            "masked_fill only supports a 0-dimensional value tensor, but got tensor with {} dimension(s).",
            t.ndim()
        ),
    }
    if let Arg::T(t) = value {
        ensure!(
            ty.is_complex() || !t.dtype().is_complex(),
            Runtime,
            "value cannot be converted to type {} without overflow",
            ty.c_name()
        );
    }
    let out = pointwise(Opcode::Where, ty, ty, &[mask.into(), value, a.into()], dest)?;
    let back = |m: &Saved, c: &Ctx, g: &Tensor| -> Result<(Tensor, Tensor)> { Ok((m.get(c)?, g.clone())) };
    match value {
        Arg::S(_) => record("MaskedFillBackward0", &[a], out, |s, _| {
            let m = s.save(mask);
            move |c, g| Ok(grads![Some(masked_fill_scalar(g, &m.get(c)?, Scalar::Int(0))?)])
        }),
        Arg::T(v) => record("MaskedFillBackward1", &[a, v], out, |s, _| {
            let m = s.save(mask);
            move |c, g| {
                let (m, g) = back(&m, c, g)?;
                let gv = if c.needs(1) {
                    Some(sum(&masked_fill_scalar(&g, &logical_not(&m)?, Scalar::Int(0))?, None)?)
                } else {
                    None
                };
                Ok(grads![Some(masked_fill_scalar(&g, &m, Scalar::Int(0))?), gv])
            }
        }),
    }
}
pub fn masked_fill(a: &Tensor, mask: &Tensor, value: &Tensor) -> Result<Tensor> {
    masked_fill_impl(a, mask, value.into(), None)
}
pub fn masked_fill_scalar(a: &Tensor, mask: &Tensor, value: Scalar) -> Result<Tensor> {
    masked_fill_impl(a, mask, value.into(), None)
}
pub fn masked_fill_(a: &Tensor, mask: &Tensor, value: &Tensor) -> Result<()> {
    inplace(a, &[value], false, |x, d| masked_fill_impl(x, mask, value.into(), d))
}
pub fn masked_fill_scalar_(a: &Tensor, mask: &Tensor, value: Scalar) -> Result<()> {
    inplace(a, &[], false, |x, d| masked_fill_impl(x, mask, value.into(), d))
}

/// What of the gradient passes, besides what lies strictly between the bounds.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Passes {
    Nothing,
    NaN,
    BoundsAndNaN,
}
/// `clamp` with another derivative at the bounds.
pub(super) fn clamp_passing(a: &Tensor, min: Scalar, max: Scalar, passes: Passes) -> Result<Tensor> {
    clamp_impl(a, Some(min), Some(max), passes, None)
}
fn clamp_impl(a: &Tensor, min: Option<Scalar>, max: Option<Scalar>, passes: Passes, dest: Dest) -> Result<Tensor> {
    let mut args: Vec<Arg> = vec![a.into()];
    args.extend(min.map(Arg::S));
    args.extend(max.map(Arg::S));
    let ty = promote(&args);
    ensure!(ty != DType::Bool, NotImplemented, "\"clamp\" not implemented for 'Bool'");
    let (min, max) = (bound(min, ty, true)?, bound(max, ty, false)?);
    let out = match (min, max) {
        (None, None) => bail!(Runtime, "torch.clamp: At least one of 'min' or 'max' must not be None"),
        (Some(lo), None) => pointwise(Opcode::Maximum, ty, ty, &[a.into(), lo.into()], dest)?,
        (None, Some(hi)) => pointwise(Opcode::Minimum, ty, ty, &[a.into(), hi.into()], dest)?,
        (Some(lo), Some(hi)) => pointwise(Opcode::Clamp, ty, ty, &[a.into(), lo.into(), hi.into()], dest)?,
    };
    record("ClampBackward1", &[a], out, |s, _| {
        let x = s.save(a);
        move |c, g| {
            let x = x.get(c)?;
            let mut g = g.clone();
            if let Some(lo) = min {
                let stopped = match passes {
                    Passes::Nothing => logical_not(&gt_scalar(&x, lo)?)?,
                    Passes::NaN => le_scalar(&x, lo)?,
                    Passes::BoundsAndNaN => lt_scalar(&x, lo)?,
                };
                g = masked_fill_scalar(&g, &stopped, Scalar::Int(0))?;
            }
            if let Some(hi) = max {
                let stopped = match passes {
                    Passes::Nothing => logical_not(&lt_scalar(&x, hi)?)?,
                    Passes::NaN => ge_scalar(&x, hi)?,
                    Passes::BoundsAndNaN => gt_scalar(&x, hi)?,
                };
                g = masked_fill_scalar(&g, &stopped, Scalar::Int(0))?;
            }
            Ok(grads![Some(g)])
        }
    })
}
/// A bound within the range of an integer dtype; the error of one that nothing can reach.
fn bound(v: Option<Scalar>, ty: DType, lower: bool) -> Result<Option<Scalar>> {
    let (Some(Scalar::Int(i)), Some((least, most))) = (v, ty.int_range()) else { return Ok(v) };
    ensure!(
        if lower { i <= most } else { i >= least },
        Runtime,
        "Clamp {} value {i} is outside the representable range of {}",
        if lower { "min" } else { "max" },
        ty.scalar_name()
    );
    Ok(Some(Scalar::Int(i.clamp(least, most))))
}
pub fn clamp(a: &Tensor, min: Option<Scalar>, max: Option<Scalar>) -> Result<Tensor> {
    clamp_impl(a, min, max, Passes::Nothing, None)
}
pub fn clamp_(a: &Tensor, min: Option<Scalar>, max: Option<Scalar>) -> Result<()> {
    inplace(a, &[], true, |x, d| clamp_impl(x, min, max, Passes::Nothing, d))
}
/// Clamps between tensors.
pub fn clamp_tensors(a: &Tensor, min: Option<&Tensor>, max: Option<&Tensor>) -> Result<Tensor> {
    match (min, max) {
        (Some(m), None) => maximum(a, m),
        (None, Some(m)) => minimum(a, m),
        (Some(min), Some(max)) => clamp_between(a, min, max),
        (None, None) => bail!(Runtime, "torch.clamp: At least one of 'min' or 'max' must not be None"),
    }
}
/// Where a bound is met its gradient and the element's are halves; where min is above max all goes to max.
fn clamp_between(a: &Tensor, min: &Tensor, max: &Tensor) -> Result<Tensor> {
    let ty = promote(&[a.into(), min.into(), max.into()]);
    let (x, lo, hi) = (&cast(a, ty)?, &cast(min, ty)?, &cast(max, ty)?);
    let out = autograd::no_grad(|| minimum(&maximum(x, lo)?, hi))?;
    record("ClampBackward0", &[x, lo, hi], out, |s, _| {
        let (x, lo, hi) = (s.save(x), s.save(lo), s.save(hi));
        move |c, g| {
            let (x, lo, hi) = (detach(&x.get(c)?)?, detach(&lo.get(c)?)?, detach(&hi.get(c)?)?);
            let (below, above) = (lt(&x, &lo)?, gt(&x, &hi)?);
            let (apart, ordered) = (lt(&lo, &hi)?, le(&lo, &hi)?);
            let met = |b: &Tensor| logical_and(&eq(&x, b)?, &apart);
            let (at_low, at_high) = (met(&lo)?, met(&hi)?);
            let half = div_scalar(g, Scalar::Int(2))?;
            let none = zeros_like_of(g)?;
            let part = |all: &Tensor, halved: &Tensor| where_(all, g, &where_(halved, &half, &none)?).map(Some);
            let gx = if c.needs(0) {
                let inner = where_(&logical_or(&at_low, &at_high)?, &half, g)?;
                Some(masked_fill_scalar(&inner, &logical_or(&below, &above)?, Scalar::Int(0))?)
            } else {
                None
            };
            let gl = if c.needs(1) { part(&logical_and(&below, &ordered)?, &at_low)? } else { None };
            let gh = if c.needs(2) {
                part(&logical_or(&lt(&hi, &lo)?, &logical_and(&above, &ordered)?)?, &at_high)?
            } else {
                None
            };
            Ok(grads![gx, gl, gh])
        }
    })
}
pub fn clamp_min_tensors(a: &Tensor, min: &Tensor) -> Result<Tensor> {
    maximum(a, min)
}
pub fn clamp_max_tensors(a: &Tensor, max: &Tensor) -> Result<Tensor> {
    minimum(a, max)
}
pub fn clamp_tensors_(a: &Tensor, min: Option<&Tensor>, max: Option<&Tensor>) -> Result<()> {
    in_place::write_back(a, true, |x| in_place_of(x, clamp_tensors(x, min, max)?))
}
pub fn clamp_min_tensors_(a: &Tensor, min: &Tensor) -> Result<()> {
    clamp_tensors_(a, Some(min), None)
}
pub fn clamp_max_tensors_(a: &Tensor, max: &Tensor) -> Result<()> {
    clamp_tensors_(a, None, Some(max))
}
/// A result that is to be written into `a`, in a's dtype.
fn in_place_of(a: &Tensor, out: Tensor) -> Result<Tensor> {
    ensure!(
        out.dtype().can_cast(a.dtype()),
        Runtime,
        "result type {} can't be cast to the desired output type {}",
        out.dtype().scalar_name(),
        a.dtype().scalar_name()
    );
    cast(&out, a.dtype())
}
pub fn clamp_min(a: &Tensor, min: Scalar) -> Result<Tensor> {
    clamp(a, Some(min), None)
}
pub fn clamp_max(a: &Tensor, max: Scalar) -> Result<Tensor> {
    clamp(a, None, Some(max))
}
pub fn clamp_min_(a: &Tensor, min: Scalar) -> Result<()> {
    clamp_(a, Some(min), None)
}
pub fn clamp_max_(a: &Tensor, max: Scalar) -> Result<()> {
    clamp_(a, None, Some(max))
}

/// |self - other| <= atol + rtol * |other|, elementwise; equal infinities are close.
pub fn isclose(a: &Tensor, b: &Tensor, rtol: f64, atol: f64, equal_nan: bool) -> Result<Tensor> {
    ensure!(a.dtype() == b.dtype(), Runtime, "{} did not match {}", a.dtype().scalar_name(), b.dtype().scalar_name());
    for (name, v) in [("rtol", rtol), ("atol", atol)] {
        ensure!(v >= 0.0, Runtime, "{name} must be greater than or equal to zero, but got {v}");
    }
    autograd::no_grad(|| {
        let mut close = eq(a, b)?;
        if equal_nan && a.dtype().is_inexact() {
            close = logical_or(&close, &logical_and(&isnan(a)?, &isnan(b)?)?)?;
        }
        if rtol == 0.0 && atol == 0.0 {
            return Ok(close);
        }
        let (a, b) =
            if a.dtype().is_inexact() { (a.clone(), b.clone()) } else { (cast(a, DType::F64)?, cast(b, DType::F64)?) };
        let diff = abs(&sub(&a, &b, Scalar::Int(1))?)?;
        let bound = add_scalar(&mul_scalar(&abs(&b)?, Scalar::Float(rtol))?, Scalar::Float(atol), Scalar::Int(1))?;
        let near = logical_and(&isfinite(&diff)?, &le(&diff, &bound)?)?;
        logical_or(&close, &near)
    })
}
/// Whether all elements are close.
pub fn allclose(a: &Tensor, b: &Tensor, rtol: f64, atol: f64, equal_nan: bool) -> Result<bool> {
    Ok(all(&isclose(a, b, rtol, atol, equal_nan)?)?.item()?.to_bool())
}
/// Whether both have the same shape and elements.
pub fn equal(a: &Tensor, b: &Tensor) -> Result<bool> {
    pointwise::same_device(a, b)?;
    if a.shape() != b.shape() {
        return Ok(false);
    }
    Ok(all(&eq(a, b)?)?.item()?.to_bool())
}
