//! What layers tell of themselves: PyTorch's attributes that are no tensors.

use super::convert::Call;
use super::types::*;
use crate::base::error::{ErrorKind, Result};
use crate::nn::{Attribute, Module};
use crate::Scalar;

fn kind_name(a: &Attribute) -> &'static str {
    match a {
        Attribute::None => "None",
        Attribute::Bool(_) => "a bool",
        Attribute::Int(_) => "an int",
        Attribute::Float(_) => "a float",
        Attribute::Text(_) => "a text",
        Attribute::Ints(_) => "a list of ints",
        Attribute::Floats(_) => "a list of floats",
    }
}

/// `taper_module_num_attributes`.
pub fn module_num_attributes(m: &Module) -> i64 {
    m.attributes().len() as i64
}

/// `taper_module_attribute_name`.
pub fn module_attribute_name(c: &Call, m: &Module, i: usize) -> Result<String> {
    let all = m.attributes();
    match all.get(i) {
        Some((name, _)) => Ok(name.to_string()),
        None => {
            let what = format!("index {i} is out of range: there are {} attributes", all.len());
            Err(c.invalid(ErrorKind::Index, 1, "i", what))
        }
    }
}

/// `taper_module_attribute`.
pub fn module_attribute(m: &Module, name: &str) -> Result<(i32, Scalar)> {
    Ok(match m.attribute(name)? {
        Attribute::None => (TAPER_ATTRIBUTE_NONE, Scalar::from(0i64)),
        Attribute::Bool(b) => (TAPER_ATTRIBUTE_BOOL, b.into()),
        Attribute::Int(i) => (TAPER_ATTRIBUTE_INT, i.into()),
        Attribute::Float(f) => (TAPER_ATTRIBUTE_FLOAT, f.into()),
        Attribute::Text(t) => (TAPER_ATTRIBUTE_TEXT, (t.len() as i64).into()),
        Attribute::Ints(v) => (TAPER_ATTRIBUTE_INTS, (v.len() as i64).into()),
        Attribute::Floats(v) => (TAPER_ATTRIBUTE_FLOATS, (v.len() as i64).into()),
    })
}

/// `taper_module_attribute_text`.
pub fn module_attribute_text(c: &Call, m: &Module, name: &str) -> Result<String> {
    match m.attribute(name)? {
        Attribute::Text(t) => Ok(t),
        other => {
            let what = format!("the attribute '{name}' is {}, not a text", kind_name(&other));
            Err(c.invalid(ErrorKind::Type, 1, "name", what))
        }
    }
}

/// `taper_module_attribute_list`.
pub fn module_attribute_list(c: &Call, m: &Module, name: &str, buf: &mut [taper_scalar]) -> Result<()> {
    let number = |kind, i, f| taper_scalar { kind, i, f };
    match m.attribute(name)? {
        Attribute::Ints(v) => buf.iter_mut().zip(v).for_each(|(b, i)| *b = number(TAPER_SCALAR_INT, i, 0.0)),
        Attribute::Floats(v) => buf.iter_mut().zip(v).for_each(|(b, f)| *b = number(TAPER_SCALAR_FLOAT, 0, f)),
        other => {
            let what = format!("the attribute '{name}' is {}, not a list", kind_name(&other));
            return Err(c.invalid(ErrorKind::Type, 1, "name", what));
        }
    }
    Ok(())
}
