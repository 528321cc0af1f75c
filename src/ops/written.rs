//! In-place forms of ops that write their result back.

use super::*;
use crate::autograd::record;
use crate::{ensure, grads};

/// Writes the result of `f` into the tensor, if its dtype holds it.
fn write(a: &Tensor, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<()> {
    in_place::write_back(a, true, |x| {
        let out = f(x)?;
        ensure!(
            out.dtype().can_cast(x.dtype()),
            Runtime,
            "result type {} can't be cast to the desired output type {}",
            out.dtype().scalar_name(),
            x.dtype().scalar_name()
        );
        if autograd::gradient_edge(&out).is_some() {
            return Ok(out);
        }
        // What has no derivative has a gradient of zeros, not the one from before.
        record("WrittenBackward0", &[x], cast(&out, x.dtype())?, |_, _| {
            |_, g| Ok(grads![Some(zeros_like(g, None, None)?)])
        })
    })
}
macro_rules! written {
    ($($f_:ident $f:ident ($($a:ident: $t:ty),*);)*) => {$(
        pub fn $f_(x: &Tensor, $($a: $t),*) -> Result<()> {
            write(x, |x| $f(x, $($a),*))
        }
    )*};
}
written! {
    eq_ eq(other: &Tensor);
    eq_scalar_ eq_scalar(other: Scalar);
    ne_ ne(other: &Tensor);
    ne_scalar_ ne_scalar(other: Scalar);
    lt_ lt(other: &Tensor);
    lt_scalar_ lt_scalar(other: Scalar);
    le_ le(other: &Tensor);
    le_scalar_ le_scalar(other: Scalar);
    gt_ gt(other: &Tensor);
    gt_scalar_ gt_scalar(other: Scalar);
    ge_ ge(other: &Tensor);
    ge_scalar_ ge_scalar(other: Scalar);
    bitwise_not_ bitwise_not();
    digamma_ digamma();
    frac_ frac();
    sgn_ sgn();
    conj_physical_ conj_physical();
    sinc_ sinc();
    deg2rad_ deg2rad();
    rad2deg_ rad2deg();
    logit_ logit(eps: Option<f64>);
    atan2_ atan2(other: &Tensor);
    hypot_ hypot(other: &Tensor);
    xlogy_ xlogy(other: &Tensor);
    ldexp_ ldexp(other: &Tensor);
    heaviside_ heaviside(values: &Tensor);
    copysign_ copysign(other: &Tensor);
    copysign_scalar_ copysign_scalar(other: Scalar);
    addbmm_ addbmm(batch1: &Tensor, batch2: &Tensor, beta: Scalar, alpha: Scalar);
    addmv_ addmv(mat: &Tensor, vec: &Tensor, beta: Scalar, alpha: Scalar);
    addr_ addr(vec1: &Tensor, vec2: &Tensor, beta: Scalar, alpha: Scalar);
    igamma_ igamma(other: &Tensor);
    igammac_ igammac(other: &Tensor);
    gcd_ gcd(other: &Tensor);
    lcm_ lcm(other: &Tensor);
    nextafter_ nextafter(other: &Tensor);
    renorm_ renorm(p: Scalar, dim: i64, maxnorm: Scalar);
    put_ put(index: &Tensor, source: &Tensor, accumulate: bool);
}

// PyTorch has no derivative of these: the gradient is the one from before.
macro_rules! unrecorded {
    ($($f_:ident $f:ident ($($a:ident: $t:ty),*);)*) => {$(
        pub fn $f_(x: &Tensor, $($a: $t),*) -> Result<()> {
            autograd::no_grad(|| write(x, |x| $f(x, $($a),*)))
        }
    )*};
}
unrecorded! {
    logical_and_ logical_and(other: &Tensor);
    logical_or_ logical_or(other: &Tensor);
    logical_xor_ logical_xor(other: &Tensor);
    logical_not_ logical_not();
}

fn double_base(x: &Tensor) -> Result<()> {
    ensure!(
        matches!(x.dtype(), DType::F64 | DType::C128),
        Runtime,
        "the base given to float_power_ has dtype {} but the operation's result requires dtype Double",
        x.dtype().scalar_name()
    );
    Ok(())
}
pub fn float_power_(x: &Tensor, exponent: &Tensor) -> Result<()> {
    double_base(x)?;
    write(x, |x| float_power(x, exponent))
}
pub fn float_power_scalar_(x: &Tensor, exponent: Scalar) -> Result<()> {
    double_base(x)?;
    write(x, |x| float_power_scalar(x, exponent))
}
