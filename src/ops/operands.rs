//! Operands of elementwise ops, and what they promote to.

use crate::base::dtype::DType;
use crate::base::error::Result;
use crate::base::promote::Promotion;
use crate::base::scalar::Scalar;
use crate::ensure;
use crate::tensor::Tensor;

/// An operand of an elementwise op.
#[derive(Clone, Copy)]
pub enum Arg<'a> {
    T(&'a Tensor),
    S(Scalar),
}
impl<'a> From<&'a Tensor> for Arg<'a> {
    fn from(t: &'a Tensor) -> Self {
        Arg::T(t)
    }
}
impl From<Scalar> for Arg<'_> {
    fn from(s: Scalar) -> Self {
        Arg::S(s)
    }
}
impl From<f64> for Arg<'_> {
    fn from(s: f64) -> Self {
        Arg::S(Scalar::Float(s))
    }
}

/// Where an op's result goes: new memory, or a tensor written in place.
pub type Dest<'a> = Option<&'a Tensor>;

/// The dtype that the operands promote to.
#[inline]
pub fn promote(args: &[Arg]) -> DType {
    if let [Arg::T(a), Arg::T(b)] = args {
        let (a, b) = (a.dtype(), b.dtype());
        if a == b {
            return a;
        }
    }
    let mut p = Promotion::default();
    for a in args {
        p = match a {
            Arg::T(t) => {
                let b = t.body();
                p.tensor(b.dtype(), b.layout().ndim())
            }
            Arg::S(s) => p.scalar(*s),
        };
    }
    p.result()
}
/// As [`promote`], but integers and bool become the default float type (sqrt, true division).
pub fn promote_float(args: &[Arg]) -> DType {
    let d = promote(args);
    if d.is_inexact() {
        d
    } else {
        crate::base::settings::default_dtype()
    }
}

/// The error of operands on two devices.
pub fn same_device(a: &Tensor, b: &Tensor) -> Result<()> {
    let (x, y) = (a.device(), b.device());
    ensure!(
        x == y,
        Runtime,
        "Expected all tensors to be on the same device, but found at least two devices, {x} and {y}!"
    );
    Ok(())
}
