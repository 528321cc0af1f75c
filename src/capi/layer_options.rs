//! What the generated constructors of layers share: required arguments and options structs become a layer's values.

use super::convert::Call;
pub use super::fields::Kind;
use super::fields::{get, scalar, value};
use super::types::*;
use super::user::{nothing_unknown, valid_size};
use crate::base::error::{ErrorKind, Result};
use crate::nn::class::{Class, Values};
use crate::nn::layers::Place;
use crate::nn::{Attribute, Module};
use crate::Tensor;

/// A required argument.
#[derive(Clone, Copy)]
pub enum Given {
    Int(i64),
    Scalar(taper_scalar),
    Ints(*const i64, usize),
    /// NULL: none.
    OptInts(*const i64, usize),
    /// A module with its argument's name, which is no value.
    Module(&'static str, *mut taper_module),
    Bool(bool),
    /// NULL: none.
    OptBool(*const bool),
}
impl Given {
    /// What stands there.
    ///
    /// # Safety
    /// The header's contract of pointers.
    unsafe fn read(self, c: &Call, index: usize, name: &str) -> Result<Attribute> {
        // SAFETY: the caller's.
        Ok(match self {
            Given::Int(v) => v.into(),
            Given::Module(..) => Attribute::None,
            Given::Bool(v) => v.into(),
            Given::OptBool(p) => unsafe { c.opt(index, name, p) }?.into(),
            Given::Scalar(s) => scalar(c, index, name, s)?,
            Given::Ints(p, n) => Attribute::sizes(unsafe { c.slice(index, name, p, n) }?),
            Given::OptInts(p, n) => {
                unsafe { c.opt_slice(index, name, p, n) }?.map_or(Attribute::None, |v| Attribute::Ints(v.to_vec()))
            }
        })
    }
}

/// One field: its name in messages, which of the layer's values it is, where it stands.
pub struct OptionField {
    pub name: &'static str,
    pub slot: usize,
    pub kind: Kind,
    pub offset: usize,
}
/// An options struct, whose first field is its size.
pub struct OptionTable {
    pub size: usize,
    pub fields: &'static [OptionField],
}

/// What an options struct holds, read.
#[derive(Default)]
struct Read {
    tensors: Vec<(&'static str, Tensor)>,
    modules: Vec<(&'static str, Module)>,
    place: Place,
}

/// Reads one field into the values.
///
/// # Safety
/// `at` is readable for the field; what its pointers say is the header's contract.
unsafe fn field(c: &Call, index: usize, f: &OptionField, at: *const u8, v: &mut Values, read: &mut Read) -> Result<()> {
    // SAFETY: the caller's; the kinds are those of the struct's fields.
    unsafe {
        match f.kind {
            Kind::Ints => {
                let list = c.slice(index, f.name, get::<*const i64>(at), get::<usize>(at.add(8)))?;
                if !list.is_empty() {
                    v.set(f.slot, Attribute::sizes(list));
                }
            }
            Kind::Floats => match c.slice(index, f.name, get::<*const f64>(at), get::<usize>(at.add(8)))? {
                [] => {}
                // A factor of zero is none, as in PyTorch.
                [one] if *one == 0.0 => {}
                [one] => v.set(f.slot, *one),
                many => v.set(f.slot, many),
            },
            Kind::Text => match value(c, index, f.name, f.kind, at)? {
                Attribute::None => {}
                text => v.set(f.slot, text),
            },
            Kind::Tensor => {
                if let Some(t) = c.opt_tensor(index, f.name, get::<*mut taper_tensor>(at))? {
                    read.tensors.push((f.name.trim_start_matches("options->"), t));
                }
            }
            Kind::Module => {
                if let Some(m) = c.opt_get(index, f.name, get::<*mut taper_module>(at))? {
                    read.modules.push((f.name.trim_start_matches("options->"), m));
                }
            }
            Kind::Has => {
                if get::<i32>(at) == 0 {
                    v.set(f.slot, Attribute::None);
                }
            }
            Kind::DType => read.place.dtype = c.opt_dtype(index, f.name, get(at))?,
            Kind::Device => read.place.device = c.opt_device(index, f.name, get(at))?,
            kind => v.set(f.slot, value(c, index, f.name, kind, at)?),
        }
    }
    Ok(())
}

/// Reads an options struct that may be newer (longer) than this library's.
///
/// # Safety
/// `p` is NULL or readable for as many bytes as its first field says.
unsafe fn read(c: &Call, index: usize, p: *const u8, table: &OptionTable, v: &mut Values) -> Result<Read> {
    let mut out = Read::default();
    if p.is_null() {
        return Ok(out);
    }
    if !(p as *const usize).is_aligned() {
        return Err(c.invalid(ErrorKind::Value, index, "options", format!("the struct at {p:p} is not aligned")));
    }
    // SAFETY: readable by contract, for struct_size bytes, which come first and hold every field of the table.
    unsafe {
        let size = valid_size(c, index, "options", *(p as *const usize), table.size, table.size)?;
        nothing_unknown(c, index, "options", p, size, table.size)?;
        for f in table.fields {
            field(c, index, f, p.add(f.offset), v, &mut out)?;
        }
    }
    Ok(out)
}

/// The body of every constructor: `given` are the required arguments in order, then come the options and the result.
///
/// # Safety
/// The header's contract of pointers.
pub unsafe fn create(
    c: &Call,
    class: &'static Class,
    given: &[Given],
    options: *const u8,
    table: &OptionTable,
    out: *mut *mut taper_module,
) -> Result<()> {
    // SAFETY: the caller's, here and below.
    let out = unsafe { c.out(given.len() + 1, "out", out) }?;
    let mut values = class.defaults();
    let (mut slots, mut modules) = (class.required(), Vec::new());
    for (index, g) in given.iter().enumerate() {
        if let Given::Module(name, m) = *g {
            modules.push((name, c.get(index, name, m)?));
            continue;
        }
        let Some(slot) = slots.next() else { break };
        values.set(slot, unsafe { g.read(c, index, class.fields[slot].name) }?);
    }
    let mut read = unsafe { read(c, given.len(), options, table, &mut values) }?;
    modules.append(&mut read.modules);
    out.set(class.build_with(values, &read.tensors, &modules, read.place)?)
}

/// A forward that takes arguments besides its inputs, each with its name.
///
/// # Safety
/// The header's contract of pointers.
pub unsafe fn forward(
    c: &Call,
    m: *mut taper_module,
    inputs: &[(&str, *mut taper_tensor)],
    more: &[(&str, Given)],
    out: *mut *mut taper_tensor,
) -> Result<()> {
    let n = 1 + inputs.len();
    // SAFETY: the caller's, here and below.
    let out = unsafe { c.out(n + more.len(), "out", out) }?;
    let m = c.get(0, "m", m)?;
    let tensors: Result<Vec<_>> = (1..).zip(inputs).map(|(i, (name, t))| Ok(Some(c.tensor(i, name, *t)?))).collect();
    let more: Result<Vec<_>> = (n..).zip(more).map(|(i, (name, g))| unsafe { g.read(c, i, name) }).collect();
    match m.forward_with(&tensors?, &more?)?.pop().flatten() {
        Some(t) => out.set(t),
        None => Err(c.invalid(ErrorKind::Type, 0, "m", "its forward gave no tensor")),
    }
}

/// The same of inputs that may be NULL where `true` stands with them, and of outputs, of which all but the first may be.
///
/// # Safety
/// The header's contract of pointers.
pub unsafe fn forward_whole(
    c: &Call,
    m: *mut taper_module,
    inputs: &[(&str, *mut taper_tensor, bool)],
    more: &[(&str, Given)],
    outs: &[(&str, *mut *mut taper_tensor)],
) -> Result<()> {
    let n = 1 + inputs.len();
    let at = n + more.len();
    let (first, rest) = outs.split_at(1);
    // SAFETY: the caller's, here and below.
    let out = unsafe { c.out(at, first[0].0, first[0].1) }?;
    let rest: Result<Vec<_>> = (at + 1..).zip(rest).map(|(i, (name, p))| unsafe { c.opt_out(i, name, *p) }).collect();
    let rest = rest?;
    let m = c.get(0, "m", m)?;
    let tensors: Result<Vec<_>> = (1..)
        .zip(inputs)
        .map(|(i, (name, t, optional))| match optional {
            true => c.opt_tensor(i, name, *t),
            false => c.tensor(i, name, *t).map(Some),
        })
        .collect();
    let more: Result<Vec<_>> = (n..).zip(more).map(|(i, (name, g))| unsafe { g.read(c, i, name) }).collect();
    let mut found = m.forward_with(&tensors?, &more?)?.into_iter();
    let Some(Some(t)) = found.next() else {
        return Err(c.invalid(ErrorKind::Type, 0, "m", "its forward gave no tensor"));
    };
    for (place, t) in rest.into_iter().zip(found) {
        if let Some(t) = t {
            place.set(t)?;
        }
    }
    out.set(t)
}
