//! Type promotion: PyTorch's rules, in this one place.

use super::dtype::DType::{self, *};
use super::scalar::Scalar;

/// The smallest dtype both can be promoted to (`torch.promote_types`).
pub fn promote_types(a: DType, b: DType) -> DType {
    if a == b {
        return a;
    }
    let (ca, cb) = (a.category(), b.category());
    if ca.max(cb) == 3 && ca.min(cb) >= 2 {
        // A float that meets a complex number asks for parts of its width.
        return if a.complex() == DType::C128 || b.complex() == DType::C128 { C128 } else { C64 };
    }
    if ca != cb {
        return if ca > cb { a } else { b };
    }
    if ca == 2 {
        // Two different half types meet in f32.
        if a.size() == 2 && b.size() == 2 {
            return F32;
        }
        return if a.size() > b.size() { a } else { b };
    }
    // u8 with a signed type needs the next wider signed type.
    if a == U8 || b == U8 {
        let other = if a == U8 { b } else { a };
        return if other == I8 { I16 } else { other };
    }
    if a.size() > b.size() {
        a
    } else {
        b
    }
}

/// Promotion over operands of three priorities: tensors with dimensions, 0-dim tensors, scalars. A lower priority
/// changes the result only when its category is higher (PyTorch's `result_type`).
#[derive(Clone, Copy, Default)]
pub struct Promotion {
    dim: Option<DType>,
    zero: Option<DType>,
    wrapped: Option<DType>,
}
impl Promotion {
    fn join(slot: &mut Option<DType>, d: DType) {
        *slot = Some(slot.map_or(d, |s| promote_types(s, d)));
    }
    /// Adds a tensor operand of `ndim` dimensions.
    #[inline]
    pub fn tensor(mut self, dtype: DType, ndim: usize) -> Self {
        Self::join(if ndim > 0 { &mut self.dim } else { &mut self.zero }, dtype);
        self
    }
    /// Adds a scalar operand.
    #[inline]
    pub fn scalar(mut self, s: Scalar) -> Self {
        Self::join(&mut self.wrapped, s.default_dtype());
        self
    }
    pub fn result(self) -> DType {
        fn combine(higher: Option<DType>, lower: Option<DType>) -> Option<DType> {
            match (higher, lower) {
                // A float of higher priority says how wide the parts of a complex number are.
                (Some(h), Some(l)) if l.is_complex() && h.is_float() => Some(h.complex()),
                (Some(h), Some(l)) => Some(if l.category() > h.category() { l } else { h }),
                (h, l) => h.or(l),
            }
        }
        combine(combine(self.dim, self.zero), self.wrapped).unwrap_or(F32)
    }
}
