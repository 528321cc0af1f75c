//! The layers: each holds its parameters in a [`Module`], checks its arguments as PyTorch does, and calls one op.

mod activation;
pub(super) mod calls;
mod container;
mod conv;
mod linear;
mod loss;
mod norm;
mod pool;

pub use activation::*;
pub use container::*;
pub use conv::*;
pub use linear::*;
pub use loss::*;
pub use norm::*;
pub use pool::*;

use super::Attribute;
use crate::base::device::Device;
use crate::base::dtype::DType;
use crate::base::settings::{default_device, default_dtype};
use crate::tensor::print::py_tuple;
use crate::tensor::Tensor;
use crate::{bail, ensure, Result};

/// An uninitialised parameter of the default float type on the default device.
fn parameter(shape: &[i64]) -> Result<Tensor> {
    Tensor::empty(shape, default_dtype(), default_device())
}

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
    fn parameter(self, shape: &[i64]) -> Result<Tensor> {
        let (dtype, device) = self.get();
        Tensor::empty(shape, dtype, device)
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

/// The attribute of a size that is one number or several.
fn size_attribute(values: &[i64]) -> Attribute {
    match values {
        [one] => (*one).into(),
        _ => values.into(),
    }
}

/// A size given once for all dimensions or once for each.
fn expand(what: &str, values: &[i64], n: usize) -> Result<Vec<i64>> {
    match values.len() {
        1 => Ok(vec![values[0]; n]),
        m if m == n => Ok(values.to_vec()),
        m => bail!(Value, "{what} must be 1 or {n} numbers, got {m}"),
    }
}

/// As it was given: `2`, or `(2, 3)`.
fn as_given(values: &[i64]) -> String {
    match values {
        [one] => one.to_string(),
        _ => py_tuple(values),
    }
}

fn positive(what: &str, values: &[i64]) -> Result<()> {
    for v in values {
        ensure!(*v > 0, Value, "{what} must be greater than zero, got {}", as_given(values));
    }
    Ok(())
}
fn not_negative(what: &str, values: &[i64]) -> Result<()> {
    for v in values {
        ensure!(*v >= 0, Value, "{what} must not be negative, got {}", as_given(values));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
