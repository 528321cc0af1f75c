//! What layers tell of themselves: PyTorch's attributes that are no tensors.

use super::convert::{getter, guard, object, Call};
use super::types::*;
use crate::base::error::{ErrorKind, Result};
use crate::nn::Attribute;
use crate::Scalar;
use std::os::raw::c_char;

fn attribute(c: &Call, m: *mut taper_module, name: &str) -> Result<Attribute> {
    c.get(0, "m", m as *const taper_module)?.attribute(name)
}
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

/// Number of attributes of a module (in_features, kernel_size and so on; not its tensors, children and training mode);
/// -1 for a bad handle. Borrows m. Since 0.1.
#[no_mangle]
pub extern "C" fn taper_module_num_attributes(m: *const taper_module) -> i64 {
    getter(-1, || object(m).ok().map(|m| m.attributes().len() as i64))
}

/// Name of attribute i, in the order of PyTorch's constructor; owned by the caller. Borrows m. Fails when i is out of
/// range. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_attribute_name(
    m: *mut taper_module,
    i: usize,
    out: *mut *mut taper_string,
) -> *mut taper_error {
    guard("module_attribute_name", |c| {
        let out = c.out(2, "out", out)?;
        let all = c.get(0, "m", m as *const taper_module)?.attributes();
        match all.get(i) {
            Some((name, _)) => out.set(name.to_string()),
            None => {
                let what = format!("index {i} is out of range: there are {} attributes", all.len());
                Err(c.invalid(ErrorKind::Index, 1, "i", what))
            }
        }
    })
}

/// An attribute of a module, by PyTorch's name. kind receives TAPER_ATTRIBUTE_NONE, _BOOL, _INT, _FLOAT, _TEXT, _INTS or
/// _FLOATS; value the value of a bool, int or float, and the length (in bytes, of elements) of a text or list. Borrows m.
/// Fails with TAPER_ERROR_KEY when there is none. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_attribute(
    m: *mut taper_module,
    name: *const c_char,
    kind: *mut i32,
    value: *mut taper_scalar,
) -> *mut taper_error {
    guard("module_attribute", |c| {
        let kind = c.out(2, "kind", kind);
        let value = c.out(3, "value", value)?;
        let kind = kind?;
        let (code, scalar) = match attribute(c, m, c.str(1, "name", name)?)? {
            Attribute::None => (TAPER_ATTRIBUTE_NONE, Scalar::from(0i64)),
            Attribute::Bool(b) => (TAPER_ATTRIBUTE_BOOL, b.into()),
            Attribute::Int(i) => (TAPER_ATTRIBUTE_INT, i.into()),
            Attribute::Float(f) => (TAPER_ATTRIBUTE_FLOAT, f.into()),
            Attribute::Text(t) => (TAPER_ATTRIBUTE_TEXT, (t.len() as i64).into()),
            Attribute::Ints(v) => (TAPER_ATTRIBUTE_INTS, (v.len() as i64).into()),
            Attribute::Floats(v) => (TAPER_ATTRIBUTE_FLOATS, (v.len() as i64).into()),
        };
        kind.set(code)?;
        value.set(scalar)
    })
}

/// An attribute that is a text; owned by the caller. Borrows m. Fails with TAPER_ERROR_TYPE when it is something else.
/// Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_attribute_text(
    m: *mut taper_module,
    name: *const c_char,
    out: *mut *mut taper_string,
) -> *mut taper_error {
    guard("module_attribute_text", |c| {
        let out = c.out(2, "out", out)?;
        let name = c.str(1, "name", name)?;
        match attribute(c, m, name)? {
            Attribute::Text(t) => out.set(t),
            other => {
                let what = format!("the attribute '{name}' is {}, not a text", kind_name(&other));
                Err(c.invalid(ErrorKind::Type, 1, "name", what))
            }
        }
    })
}

/// The elements of an attribute that is a list; what buf has no room for is left out. Borrows m. Fails with
/// TAPER_ERROR_TYPE when it is no list. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_module_attribute_list(
    m: *mut taper_module,
    name: *const c_char,
    buf: *mut taper_scalar,
    buf_len: usize,
) -> *mut taper_error {
    guard("module_attribute_list", |c| {
        let buf = c.slice_mut(2, "buf", buf, buf_len)?;
        let name = c.str(1, "name", name)?;
        let number = |kind, i, f| taper_scalar { kind, i, f };
        match attribute(c, m, name)? {
            Attribute::Ints(v) => buf.iter_mut().zip(v).for_each(|(b, i)| *b = number(TAPER_SCALAR_INT, i, 0.0)),
            Attribute::Floats(v) => buf.iter_mut().zip(v).for_each(|(b, f)| *b = number(TAPER_SCALAR_FLOAT, 0, f)),
            other => {
                let what = format!("the attribute '{name}' is {}, not a list", kind_name(&other));
                return Err(c.invalid(ErrorKind::Type, 1, "name", what));
            }
        }
        Ok(())
    })
}
