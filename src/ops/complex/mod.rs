//! Complex numbers. Kernels know real numbers only: a complex tensor's memory is pairs of them, elementwise ops are
//! programs over the parts (`formula`), what moves data moves pairs, a product is four real ones. So every device has
//! them. Gradients are PyTorch's: the conjugate derivative, which is the derivative by the real part plus i times that by
//! the imaginary part.

pub(super) mod elementwise;
mod formula;

use self::elementwise::pointwise;
use super::*;
use crate::autograd::{record, view as tracking};
use crate::backend::program::Opcode;
use crate::base::layout::broadcast_shapes;
use crate::{bail, ensure, grads};

// ---- parts ----

/// The tensor's memory as real numbers with a last dimension of two.
pub fn view_as_real(a: &Tensor) -> Result<Tensor> {
    ensure!(a.dtype().is_complex(), Type, "view_as_real is only supported for complex tensors");
    let out = a.as_pairs()?;
    tracking::track(a, &out, true);
    record("ViewAsRealBackward0", &[a], out, |_, _| |_, g| Ok(grads![Some(view_as_complex(&contiguous(g)?)?)]))
}
/// Pairs of real numbers in the last dimension, seen as complex ones.
pub fn view_as_complex(a: &Tensor) -> Result<Tensor> {
    let dtype = match a.dtype() {
        d @ (DType::F32 | DType::F64) => d.complex(),
        other => bail!(
            NotImplemented,
            "view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: {}",
            other.scalar_name()
        ),
    };
    let mut l = a.layout();
    ensure!(l.ndim() > 0, Runtime, "Input tensor must have one or more dimensions");
    ensure!(l.shape.pop() == Some(2), Runtime, "Tensor must have a last dimension of size 2");
    ensure!(l.strides.pop() == Some(1), Runtime, "Tensor must have a last dimension with stride 1");
    for (s, n) in l.strides.iter_mut().zip(&l.shape) {
        ensure!(*s % 2 == 0 || *n <= 1, Runtime, "Tensor must have a stride divisible by 2 for all but last dimension");
        *s /= 2;
    }
    ensure!(l.offset % 2 == 0, Runtime, "Tensor must have a storage_offset divisible by 2");
    l.offset /= 2;
    let out = a.alias_as(l, dtype)?;
    tracking::track(a, &out, true);
    record("ViewAsComplexBackward0", &[a], out, |_, _| |_, g| Ok(grads![Some(view_as_real(g)?)]))
}
/// The real parts, as a view; a real tensor itself.
pub fn real(a: &Tensor) -> Result<Tensor> {
    if a.dtype().is_complex() {
        select(&view_as_real(a)?, -1, 0)
    } else {
        Ok(a.clone())
    }
}
/// The imaginary parts, as a view.
pub fn imag(a: &Tensor) -> Result<Tensor> {
    ensure!(a.dtype().is_complex(), Type, "imag is not implemented for tensors with non-complex dtypes.");
    select(&view_as_real(a)?, -1, 1)
}
/// Complex numbers of their parts, which broadcast.
pub fn complex(real_: &Tensor, imag_: &Tensor) -> Result<Tensor> {
    let (r, i) = (real_.dtype(), imag_.dtype());
    let held = |d: DType| matches!(d, DType::F32 | DType::F64);
    ensure!(
        held(r) && held(i),
        NotImplemented,
        "Expected both inputs to be Half, Float or Double tensors but got {} and {}",
        r.scalar_name(),
        i.scalar_name()
    );
    ensure!(
        r == i,
        Runtime,
        "Expected object of scalar type {} but got scalar type {} for second argument",
        r.scalar_name(),
        i.scalar_name()
    );
    operands::same_device(real_, imag_)?;
    let out = Tensor::empty(&broadcast_shapes(&real_.shape(), &imag_.shape())?, r.complex(), real_.device())?;
    out.part(0)?.copy_from(real_)?;
    out.part(1)?.copy_from(imag_)?;
    record("ComplexBackward0", &[real_, imag_], out, |_, _| |_, g| Ok(grads![Some(real(g)?), Some(imag(g)?)]))
}
/// Complex numbers of absolute value and angle.
pub fn polar(abs_: &Tensor, angle_: &Tensor) -> Result<Tensor> {
    let out = autograd::no_grad(|| complex(&mul(abs_, &cos(angle_)?)?, &mul(abs_, &sin(angle_)?)?))?;
    record("PolarBackward0", &[abs_, angle_], out, |s, out| {
        let y = s.save_output(out, 0);
        move |c, g| {
            let (y, g) = (y.get(c)?, conj(g)?);
            let turned = mul_scalar(&y, Scalar::Complex(0.0, 1.0))?;
            Ok(grads![Some(real(&mul(&g, &sgn(&y)?)?)?), Some(real(&mul(&g, &turned)?)?)])
        }
    })
}
/// The conjugate, in memory of its own; a real tensor itself.
pub fn conj(a: &Tensor) -> Result<Tensor> {
    if a.dtype().is_complex() {
        conj_physical(a)
    } else {
        Ok(a.clone())
    }
}
/// The conjugate; a real tensor itself.
pub fn conj_physical(a: &Tensor) -> Result<Tensor> {
    if !a.dtype().is_complex() {
        return Ok(a.clone());
    }
    let out = a.contiguous_copy()?;
    let im = out.part(1)?;
    if im.numel() > 0 {
        autograd::no_grad(|| neg_(&im))?;
    }
    record("ConjBackward0", &[a], out, |_, _| |_, g| Ok(grads![Some(conj(g)?)]))
}
/// The conjugate transposes of matrices.
pub fn adjoint(a: &Tensor) -> Result<Tensor> {
    let n = a.ndim();
    ensure!(n != 1, Runtime, "tensor.adjoint() is only supported on matrices or batches of matrices. Got 1-D tensor.");
    if n == 0 {
        return conj(a);
    }
    conj(&transpose(a, -2, -1)?)
}
/// The angle in the plane; of a real number 0 or pi.
pub fn angle(a: &Tensor) -> Result<Tensor> {
    if a.dtype().is_complex() {
        let out = pointwise(Opcode::Atan2, a.dtype(), &[a.into()], None)?;
        return record("AngleBackward0", &[a], out, |s, _| {
            let x = s.save(a);
            move |c, g| {
                // i z / |z|^2
                let z = x.get(c)?;
                let (re, im) = (real(&z)?, imag(&z)?);
                let length = add(&square(&re)?, &square(&im)?, Scalar::Int(1))?;
                let zero = eq_scalar(&detach(&length)?, Scalar::Int(0))?;
                let scale = masked_fill_scalar(&div(g, &length)?, &zero, Scalar::Int(0))?;
                Ok(grads![Some(complex(&neg(&mul(&scale, &im)?)?, &mul(&scale, &re)?)?)])
            }
        });
    }
    let dtype = operands::promote_float(&[a.into()]);
    let out = autograd::no_grad(|| {
        let x = cast(a, dtype)?;
        let left = mul_scalar(&cast(&lt_scalar(&x, Scalar::Int(0))?, dtype)?, Scalar::Float(std::f64::consts::PI))?;
        // NaN stays NaN.
        r#where(&isnan(&x)?, &x, &left)
    })?;
    record("AngleBackward0", &[a], out, |_, _| |_, g| Ok(grads![Some(zeros_like_of(g)?)]))
}
/// Whether the imaginary part is zero.
pub fn isreal(a: &Tensor) -> Result<Tensor> {
    if a.dtype().is_complex() {
        eq_scalar(&imag(&detach(a)?)?, Scalar::Int(0))
    } else {
        full_like(a, Scalar::Bool(true), Some(DType::Bool), None)
    }
}
/// z / |z|, 0 of 0; `sign` of real numbers.
pub fn sgn(a: &Tensor) -> Result<Tensor> {
    if !a.dtype().is_complex() {
        return sign(a);
    }
    let out = pointwise(Opcode::Sign, a.dtype(), &[a.into()], None)?;
    record("SgnBackward0", &[a], out, |s, out| {
        let (x, y) = (s.save(a), s.save_output(out, 0));
        move |c, g| {
            // (g - Re(g conj(s)) s) / |z|
            let (x, s) = (x.get(c)?, y.get(c)?);
            let length = abs(&x)?;
            let along = real(&mul(g, &conj(&s)?)?)?;
            let across = sub(g, &mul(&s, &along)?, Scalar::Int(1))?;
            let zero = eq_scalar(&detach(&length)?, Scalar::Int(0))?;
            let length = masked_fill_scalar(&length, &zero, Scalar::Int(1))?;
            Ok(grads![Some(masked_fill_scalar(&div(&across, &length)?, &zero, Scalar::Int(0))?)])
        }
    })
}
/// The sum of conj(a) b.
pub fn vdot(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    dot(&conj(a)?, b)
}

// ---- for the other ops ----

/// Refuses complex numbers in these words.
pub(super) fn refuse(a: &Tensor, kind: ErrorKind, text: &str) -> Result<()> {
    if a.dtype().is_complex() {
        return Err(Error::new(kind, text));
    }
    Ok(())
}
/// Refuses complex numbers where PyTorch's kernel has none.
pub(super) fn no_kernel(kernel: &str, a: &Tensor) -> Result<()> {
    let d = a.dtype();
    ensure!(!d.is_complex(), NotImplemented, "\"{kernel}\" not implemented for '{}'", d.scalar_name());
    Ok(())
}

/// Whether a number is this real one.
pub(super) fn is_number(s: Scalar, v: f64) -> bool {
    s.to_f64() == v && s.imag() == 0.0
}
/// A number's conjugate.
pub(super) fn conj_scalar(s: Scalar) -> Scalar {
    match s {
        Scalar::Complex(re, im) => Scalar::Complex(re, -im),
        other => other,
    }
}
/// An index of elements as one of the pairs that they are: with a last dimension of two.
pub(super) fn pair_index(index: &Tensor) -> Result<Tensor> {
    let mut shape = index.shape();
    shape.push(2);
    expand(&unsqueeze(&index.alias_same(), -1)?, &shape)
}
/// A product of matrices by four of their parts, each a real one; `product` makes one.
pub(super) fn product(a: &Tensor, b: &Tensor, product: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let part = |t: &Tensor, i: i64| t.part(i)?.contiguous_copy();
    let (ar, ai, br, bi) = (part(a, 0)?, part(a, 1)?, part(b, 0)?, part(b, 1)?);
    autograd::no_grad(|| {
        let re = sub(&product(&ar, &br)?, &product(&ai, &bi)?, Scalar::Int(1))?;
        let im = add(&product(&ar, &bi)?, &product(&ai, &br)?, Scalar::Int(1))?;
        complex(&re, &im)
    })
}
/// What is linear in each of two operands, of complex ones: recorded as the four products of their parts.
pub(super) fn bilinear(a: &Tensor, b: &Tensor, product: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let (ar, ai, br, bi) = (real(a)?, imag(a)?, real(b)?, imag(b)?);
    let re = sub(&product(&ar, &br)?, &product(&ai, &bi)?, Scalar::Int(1))?;
    complex(&re, &add(&product(&ar, &bi)?, &product(&ai, &br)?, Scalar::Int(1))?)
}
/// The product over the last dimension, which is recorded as the products that it is made of.
pub(super) fn prod_last(a: &Tensor) -> Result<Tensor> {
    let mut a = a.clone();
    loop {
        let n = a.size(-1)?;
        if n == 0 {
            // Ones, which are recorded: the sum of nothing is 0.
            return add_scalar(&sum_dim(&a, Some(&[-1]), false, None)?, Scalar::Int(1), Scalar::Int(1));
        }
        if n == 1 {
            return select(&a, -1, 0);
        }
        let half = n / 2;
        let both = mul(&narrow(&a, -1, 0, half)?, &narrow(&a, -1, half, half)?)?;
        a = if n % 2 == 0 { both } else { cat(&[both, narrow(&a, -1, n - 1, 1)?], -1)? };
    }
}
/// Products of all elements up to each, by doubling how far they reach; recorded as those products.
pub(super) fn cumprod_along(a: &Tensor, d: i64) -> Result<Tensor> {
    if a.ndim() == 0 {
        return clone(a);
    }
    let n = a.size(d)?;
    let (mut out, mut reach) = (a.clone(), 1);
    while reach < n {
        let far = mul(&narrow(&out, d, reach, n - reach)?, &narrow(&out, d, 0, n - reach)?)?;
        out = cat(&[narrow(&out, d, 0, reach)?, far], d)?;
        reach *= 2;
    }
    if out.is_same(a) {
        clone(a)
    } else {
        Ok(out)
    }
}
/// The derivatives of a ** b by both, of complex operands (either may have been real: the engine takes what it needs).
pub(super) fn pow_grads(g: &Tensor, x: &Tensor, e: &Tensor, y: &Tensor, needs: (bool, bool)) -> Result<Grads> {
    let zero = |t: &Tensor| eq_scalar(&detach(t)?, Scalar::Int(0));
    let ga = if needs.0 {
        let slope = mul(e, &pow(x, &sub_scalar(e, Scalar::Int(1), Scalar::Int(1))?)?)?;
        Some(masked_fill_scalar(&mul(g, &conj(&slope)?)?, &zero(e)?, Scalar::Int(0))?)
    } else {
        None
    };
    let gb = if needs.1 {
        let none = zero(x)?;
        let base = if x.dtype().is_complex() { x.clone() } else { cast(x, y.dtype())? };
        let log = log(&masked_fill_scalar(&base, &none, Scalar::Int(1))?)?;
        Some(masked_fill_scalar(&mul(g, &conj(&mul(y, &log)?)?)?, &none, Scalar::Int(0))?)
    } else {
        None
    };
    Ok(grads![ga, gb])
}
