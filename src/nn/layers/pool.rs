//! Pooling over windows of [n, c, h, w].

use super::{as_given, expand, not_negative, positive, single, size_attribute};
use crate::gate::front as ops;
use crate::nn::{one, Attribute, Layer, Module, Outputs};
use crate::tensor::print::py_bool;
use crate::{Result, Tensor};

struct MaxPool2d {
    kernel_size: Vec<i64>,
    stride: Vec<i64>,
    padding: Vec<i64>,
    dilation: Vec<i64>,
    ceil_mode: bool,
}
impl Layer for MaxPool2d {
    fn forward(&self, m: &Module, inputs: &[Option<Tensor>]) -> Result<Outputs> {
        let x = single(m, inputs)?;
        ops::max_pool2d(x, &self.kernel_size, &self.stride, &self.padding, &self.dilation, self.ceil_mode).map(one)
    }
    fn attributes(&self, _: &Module) -> Vec<(&'static str, Attribute)> {
        vec![
            ("kernel_size", size_attribute(&self.kernel_size)),
            ("stride", size_attribute(&self.stride)),
            ("padding", size_attribute(&self.padding)),
            ("dilation", size_attribute(&self.dilation)),
            ("return_indices", false.into()),
            ("ceil_mode", self.ceil_mode.into()),
        ]
    }
    fn extra_repr(&self, _: &Module) -> Result<String> {
        Ok(format!(
            "kernel_size={}, stride={}, padding={}, dilation={}, ceil_mode={}",
            as_given(&self.kernel_size),
            as_given(&self.stride),
            as_given(&self.padding),
            as_given(&self.dilation),
            py_bool(self.ceil_mode)
        ))
    }
}

/// Largest element of each window. Sizes are one number or one per dimension; `stride` None is `kernel_size`. Fails
/// with a Value error for sizes that are not positive (padding: negative).
pub fn max_pool2d(
    kernel_size: &[i64],
    stride: Option<&[i64]>,
    padding: &[i64],
    dilation: &[i64],
    ceil_mode: bool,
) -> Result<Module> {
    let stride = stride.unwrap_or(kernel_size);
    positive("kernel_size", &expand("kernel_size", kernel_size, 2)?)?;
    positive("stride", &expand("stride", stride, 2)?)?;
    positive("dilation", &expand("dilation", dilation, 2)?)?;
    not_negative("padding", &expand("padding", padding, 2)?)?;
    Ok(Module::new(
        "MaxPool2d",
        MaxPool2d {
            kernel_size: kernel_size.to_vec(),
            stride: stride.to_vec(),
            padding: padding.to_vec(),
            dilation: dilation.to_vec(),
            ceil_mode,
        },
    ))
}

struct AvgPool2d {
    kernel_size: Vec<i64>,
    stride: Vec<i64>,
    padding: Vec<i64>,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: Option<i64>,
}
impl Layer for AvgPool2d {
    fn forward(&self, m: &Module, inputs: &[Option<Tensor>]) -> Result<Outputs> {
        ops::avg_pool2d(
            single(m, inputs)?,
            &self.kernel_size,
            &self.stride,
            &self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor,
        )
        .map(one)
    }
    fn attributes(&self, _: &Module) -> Vec<(&'static str, Attribute)> {
        vec![
            ("kernel_size", size_attribute(&self.kernel_size)),
            ("stride", size_attribute(&self.stride)),
            ("padding", size_attribute(&self.padding)),
            ("ceil_mode", self.ceil_mode.into()),
            ("count_include_pad", self.count_include_pad.into()),
            ("divisor_override", self.divisor.into()),
        ]
    }
    fn extra_repr(&self, _: &Module) -> Result<String> {
        Ok(format!(
            "kernel_size={}, stride={}, padding={}",
            as_given(&self.kernel_size),
            as_given(&self.stride),
            as_given(&self.padding)
        ))
    }
}

/// Mean of each window. Sizes as for [`max_pool2d`]; `divisor` replaces the window's size.
pub fn avg_pool2d(
    kernel_size: &[i64],
    stride: Option<&[i64]>,
    padding: &[i64],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: Option<i64>,
) -> Result<Module> {
    let stride = stride.unwrap_or(kernel_size);
    positive("kernel_size", &expand("kernel_size", kernel_size, 2)?)?;
    positive("stride", &expand("stride", stride, 2)?)?;
    not_negative("padding", &expand("padding", padding, 2)?)?;
    crate::ensure!(divisor != Some(0), Value, "divisor must be not zero");
    Ok(Module::new(
        "AvgPool2d",
        AvgPool2d {
            kernel_size: kernel_size.to_vec(),
            stride: stride.to_vec(),
            padding: padding.to_vec(),
            ceil_mode,
            count_include_pad,
            divisor,
        },
    ))
}
