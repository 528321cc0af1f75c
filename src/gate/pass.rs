//! Passing the gate while something is switched on.

use super::autocast;
use super::op::{each, OpId, Slot};
use super::table_gen::OPS;
use crate::base::device::Device;
use crate::base::error::Result;
use crate::watch::{self, cancel, profile};
use std::fmt::Write;

impl OpId {
    /// The op's name, as C has it without `taper_`.
    pub fn name(self) -> &'static str {
        OPS[self.0 as usize].name
    }
    /// The op of a name.
    pub fn find(name: &str) -> Option<OpId> {
        OPS.iter().position(|o| o.name == name).map(|i| OpId(i as u16))
    }
}

/// What happens before an op while something is switched on. A profile's event is open already.
pub fn before(id: OpId, tensors: &mut [Slot]) -> Result<()> {
    let word = watch::word();
    if word & watch::CANCEL != 0 {
        cancel::check()?;
    }
    if word & watch::PROFILE != 0 {
        note(id, tensors)?;
    }
    if word & watch::AUTOCAST != 0 {
        autocast::cast(id, tensors)?;
    }
    Ok(())
}

/// Tells the profile what the op is given.
fn note(id: OpId, tensors: &mut [Slot]) -> Result<()> {
    let mut shapes = profile::wants_shapes().then(String::new);
    let (mut bytes, mut device) = (0, Device::CPU);
    each(tensors, &mut |t| {
        bytes += t.numel() as u64 * t.dtype().size() as u64;
        if !t.device().is_cpu() {
            device = t.device();
        }
        if let Some(s) = &mut shapes {
            let _ = write!(s, "{}{:?}", if s.is_empty() { "" } else { ", " }, &t.shape()[..]);
        }
        Ok(())
    })?;
    profile::is_op(id.name(), bytes, device, shapes);
    Ok(())
}

/// The gate of a call in Rust: the event ends with the result.
#[cold]
pub fn enter(id: OpId, tensors: &mut [Slot]) -> Result<Option<profile::Span>> {
    let span = (watch::word() & watch::PROFILE != 0).then(|| profile::call(id.name()));
    before(id, tensors)?;
    Ok(span)
}
