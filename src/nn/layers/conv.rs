//! Convolutions over one to three spatial dimensions.

use super::{expand, parameter, positive, single};
use crate::nn::{Layer, Module};
use crate::tensor::print::py_tuple;
use crate::{ensure, ops, Result, Tensor};

/// Options of a convolution, each for all dimensions or one per dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvOptions {
    pub stride: Vec<i64>,
    pub padding: Vec<i64>,
    pub dilation: Vec<i64>,
    pub groups: i64,
    pub bias: bool,
}
impl Default for ConvOptions {
    fn default() -> Self {
        ConvOptions { stride: vec![1], padding: vec![0], dilation: vec![1], groups: 1, bias: true }
    }
}

struct Conv {
    in_channels: i64,
    out_channels: i64,
    kernel_size: Vec<i64>,
    stride: Vec<i64>,
    padding: Vec<i64>,
    dilation: Vec<i64>,
    groups: i64,
}
impl Layer for Conv {
    fn forward(&self, m: &Module, inputs: &[Tensor]) -> Result<Tensor> {
        let op = match self.kernel_size.len() {
            1 => ops::conv1d,
            2 => ops::conv2d,
            _ => ops::conv3d,
        };
        let x = single(m, inputs)?;
        let bias = m.parameter("bias");
        op(x, &m.need("weight")?, bias.as_ref(), &self.stride, &self.padding, &self.dilation, self.groups)
    }
    fn extra_repr(&self, m: &Module) -> Result<String> {
        let mut s = format!(
            "{}, {}, kernel_size={}, stride={}",
            self.in_channels,
            self.out_channels,
            py_tuple(&self.kernel_size),
            py_tuple(&self.stride)
        );
        if self.padding.iter().any(|p| *p != 0) {
            s += &format!(", padding={}", py_tuple(&self.padding));
        }
        if self.dilation.iter().any(|d| *d != 1) {
            s += &format!(", dilation={}", py_tuple(&self.dilation));
        }
        if self.groups != 1 {
            s += &format!(", groups={}", self.groups);
        }
        if m.parameter("bias").is_none() {
            s += ", bias=False";
        }
        Ok(s)
    }
}

fn conv(
    name: &str,
    n: usize,
    in_channels: i64,
    out_channels: i64,
    kernel_size: &[i64],
    o: &ConvOptions,
) -> Result<Module> {
    ensure!(o.groups > 0, Value, "groups must be a positive integer");
    positive("in_channels", &[in_channels])?;
    positive("out_channels", &[out_channels])?;
    ensure!(in_channels % o.groups == 0, Value, "in_channels must be divisible by groups");
    ensure!(out_channels % o.groups == 0, Value, "out_channels must be divisible by groups");
    let kernel_size = expand("kernel_size", kernel_size, n)?;
    let stride = expand("stride", &o.stride, n)?;
    let padding = expand("padding", &o.padding, n)?;
    let dilation = expand("dilation", &o.dilation, n)?;
    positive("kernel_size", &kernel_size)?;
    positive("stride", &stride)?;
    positive("dilation", &dilation)?;
    super::not_negative("padding", &padding)?;
    let mut shape = vec![out_channels, in_channels / o.groups];
    shape.extend(&kernel_size);
    let weight = parameter(&shape)?;
    let bias = if o.bias { Some(parameter(&[out_channels])?) } else { None };
    ops::init_default_(&weight, bias.as_ref(), None)?;
    let layer = Conv { in_channels, out_channels, kernel_size, stride, padding, dilation, groups: o.groups };
    let m = Module::new(name, layer);
    m.register_parameter("weight", Some(weight))?;
    m.register_parameter("bias", bias)?;
    Ok(m)
}

/// Convolution of [n, in_channels, length] (or without n). Parameters `weight` [out_channels, in_channels / groups,
/// kernel] and `bias` [out_channels]. Fails with a Value error for sizes that are not positive and channels that
/// `groups` does not divide.
pub fn conv1d(in_channels: i64, out_channels: i64, kernel_size: &[i64], options: &ConvOptions) -> Result<Module> {
    conv("Conv1d", 1, in_channels, out_channels, kernel_size, options)
}
/// Convolution of [n, in_channels, height, width]; otherwise as [`conv1d`].
pub fn conv2d(in_channels: i64, out_channels: i64, kernel_size: &[i64], options: &ConvOptions) -> Result<Module> {
    conv("Conv2d", 2, in_channels, out_channels, kernel_size, options)
}
/// Convolution of [n, in_channels, depth, height, width]; otherwise as [`conv1d`].
pub fn conv3d(in_channels: i64, out_channels: i64, kernel_size: &[i64], options: &ConvOptions) -> Result<Module> {
    conv("Conv3d", 3, in_channels, out_channels, kernel_size, options)
}
