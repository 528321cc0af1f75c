//! The layers that are no entry of the specification (containers), functions that make the usual ones, and the calls
//! that entries share.

pub(super) mod attention;
pub(super) mod calls;
mod container;
mod library;
pub(super) mod recurrent;

pub use container::*;
pub use library::*;

use crate::base::device::Device;
use crate::base::dtype::DType;
use crate::base::settings::{default_device, default_dtype};
use crate::tensor::Tensor;
use crate::{bail, Result};

/// Where a layer makes its parameters: None is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub dtype: Option<DType>,
    pub device: Option<Device>,
}
impl Place {
    pub(super) fn get(self) -> (DType, Device) {
        (self.dtype.unwrap_or_else(default_dtype), self.device.unwrap_or_else(default_device))
    }
}

/// The one input of a layer that takes one.
fn single<'a>(module: &super::Module, inputs: &'a [Option<Tensor>]) -> Result<&'a Tensor> {
    match inputs {
        [Some(x)] => Ok(x),
        [None] => bail!(Type, "{}.forward() takes 1 input, got None", module.name()),
        _ => bail!(Type, "{}.forward() takes 1 input, got {}", module.name(), inputs.len()),
    }
}

#[cfg(test)]
mod tests;
