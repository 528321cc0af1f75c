//! Options of optimisers by the table of their struct's fields, and what else the constructors share.

use super::convert::{Call, TensorList};
use super::fields::value;
pub use super::fields::Kind;
use super::user::{read_struct, CStruct};
use crate::base::error::{ErrorKind, Result};
use crate::nn::Attribute;
use crate::optim::{Optimizer, OptionValue, Options};
use crate::Tensor;
use std::os::raw::c_void;

/// A field of an options struct.
pub struct Place {
    pub slot: usize,
    /// Which of the option's numbers it is, where there are several.
    pub part: usize,
    pub kind: Kind,
    /// A negative number stands for None.
    pub optional: bool,
    pub offset: usize,
}

/// How a class's options are read from a pointer: to the struct, as this library knows it.
pub struct Reader {
    pub name: &'static str,
    pub places: &'static [Place],
    pub read: unsafe fn(&Call, usize, &Options, &'static [Place], *const c_void) -> Result<Options>,
}

/// The options of a caller's struct.
///
/// # Safety
/// `p` is NULL or readable for as many bytes as its `struct_size` says, which stands first.
pub unsafe fn given<T: CStruct>(
    c: &Call,
    index: usize,
    base: &Options,
    places: &'static [Place],
    p: *const c_void,
) -> Result<Options> {
    // SAFETY: the caller's.
    let value = unsafe { read_struct(c, index, "options", p.cast::<T>()) }?;
    filled(c, index, base, places, std::ptr::from_ref(&value).cast())
}

/// Options with the fields of a struct of this library's size.
fn filled(c: &Call, index: usize, base: &Options, places: &'static [Place], p: *const u8) -> Result<Options> {
    let mut o = base.clone();
    for place in places {
        let spec = &base.class().options[place.slot];
        // SAFETY: the offset of a field of this kind in the struct that p points to; texts end with a NUL by contract.
        let value = match unsafe { value(c, index, spec.name, place.kind, p.add(place.offset)) }? {
            Attribute::Float(v) => OptionValue::Float(v),
            Attribute::Int(v) => OptionValue::Int(v),
            Attribute::Bool(v) => OptionValue::Bool(v),
            Attribute::Text(v) => OptionValue::Text(v),
            _ => OptionValue::None,
        };
        let none = place.optional && value.number().is_some_and(|v| v < 0.0);
        let value = match o.option(spec.name)? {
            OptionValue::Numbers(mut all) => {
                all[place.part] = if none { f64::NAN } else { value.number().unwrap_or(f64::NAN) };
                OptionValue::Numbers(all)
            }
            _ if none => OptionValue::None,
            _ => value,
        };
        o.set(spec.name, value)?;
    }
    Ok(o)
}

/// The tensors of a list that must all be there.
pub fn list(c: &Call, params: &TensorList) -> Result<Vec<Tensor>> {
    match params.iter().cloned().collect::<Option<Vec<_>>>() {
        Some(p) => Ok(p),
        None => Err(c.invalid(ErrorKind::Value, 0, "params", "the list has NULL elements")),
    }
}

/// Makes an optimiser; `options` points to a struct of this library's size.
pub fn create(
    c: &Call,
    params: &TensorList,
    class: &str,
    places: &'static [Place],
    options: Option<*const u8>,
) -> Result<Optimizer> {
    let mut o = Options::named(class)?;
    if let Some(p) = options {
        o = filled(c, 1, &o, places, p)?;
    }
    Optimizer::new(list(c, params)?, o)
}
