//! Fields of options structs, by the kinds that the specifications of layers and optimisers give them.

use super::convert::Call;
use super::types::*;
use crate::base::error::Result;
use crate::nn::Attribute;
use std::os::raw::c_char;

/// How a field of an options struct is read.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Pointer and length; one number stands for all.
    Ints,
    Floats,
    Text,
    Tensor,
    Module,
    /// A pointer, NULL for none.
    OptInt,
    OptFloat,
    OptBool,
    Scalar,
    Int,
    Float,
    /// Four bytes.
    Bool,
    /// Four bytes: with 0 the value is none.
    Has,
    DType,
    Device,
}

/// What stands at an address.
///
/// # Safety
/// `at` is readable for a T, whose bytes are any value of it.
pub unsafe fn get<T: Copy>(at: *const u8) -> T {
    // SAFETY: the caller's.
    unsafe { (at as *const T).read_unaligned() }
}

pub fn scalar(c: &Call, index: usize, name: &str, s: taper_scalar) -> Result<Attribute> {
    Ok(c.scalar(index, name, s)?.into())
}

/// The value of a field that is one number or text.
///
/// # Safety
/// `at` is readable for a field of the kind; what its pointers say is the header's contract.
pub unsafe fn value(c: &Call, index: usize, name: &str, kind: Kind, at: *const u8) -> Result<Attribute> {
    // SAFETY: the caller's.
    unsafe {
        Ok(match kind {
            Kind::Text => c.opt_str(index, name, get::<*const c_char>(at))?.map_or(Attribute::None, Attribute::from),
            Kind::OptInt => c.opt(index, name, get::<*const i64>(at))?.into(),
            Kind::OptFloat => c.opt(index, name, get::<*const f64>(at))?.into(),
            Kind::OptBool => c.opt(index, name, get::<*const bool>(at))?.into(),
            Kind::Scalar => scalar(c, index, name, get(at))?,
            Kind::Int => get::<i64>(at).into(),
            Kind::Float => get::<f64>(at).into(),
            Kind::Bool => (get::<i32>(at) != 0).into(),
            // Several numbers, tensors and places are their reader's.
            Kind::Ints | Kind::Floats | Kind::Tensor | Kind::Module | Kind::Has | Kind::DType | Kind::Device => {
                Attribute::None
            }
        })
    }
}
