//! Convolutions over one to three spatial dimensions.

use super::{as_given, expand, positive, single, Place};
use crate::gate::front as ops;
use crate::nn::{lazy, one, Attribute, Layer, Module, Outputs};
use crate::tensor::print::py_tuple;
use crate::{ensure, Result, Tensor};
use std::sync::atomic::{AtomicI64, Ordering};

/// Options of a convolution, each for all dimensions or one per dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvOptions {
    pub stride: Vec<i64>,
    pub padding: Vec<i64>,
    pub dilation: Vec<i64>,
    pub groups: i64,
    pub bias: bool,
    /// `same` or `valid`, in place of the numbers of `padding`.
    pub padding_text: Option<String>,
    /// `zeros`, `reflect`, `replicate` or `circular`.
    pub padding_mode: String,
    /// Where the parameters are made.
    pub place: Place,
}
impl Default for ConvOptions {
    fn default() -> Self {
        ConvOptions {
            stride: vec![1],
            padding: vec![0],
            dilation: vec![1],
            groups: 1,
            bias: true,
            padding_text: None,
            padding_mode: "zeros".into(),
            place: Place::default(),
        }
    }
}

struct Conv {
    /// 0 until the first input of a lazy one.
    in_channels: AtomicI64,
    out_channels: i64,
    kernel_size: Vec<i64>,
    stride: Vec<i64>,
    padding: Vec<i64>,
    padding_text: Option<String>,
    padding_mode: String,
    /// What an input is padded with before the convolution, in `ops::pad`'s order; empty where the convolution pads.
    pads: Vec<i64>,
    dilation: Vec<i64>,
    groups: i64,
}
impl Conv {
    fn in_channels(&self) -> i64 {
        self.in_channels.load(Ordering::Relaxed)
    }
    /// Values for weight and bias, once their shapes are known.
    fn reset(&self, m: &Module) -> Result<()> {
        ops::init_default_(&m.need("weight")?, m.parameter("bias").as_ref(), None)
    }
}
impl Layer for Conv {
    fn forward(&self, m: &Module, inputs: &[Option<Tensor>]) -> Result<Outputs> {
        let op = match self.kernel_size.len() {
            1 => ops::conv1d,
            2 => ops::conv2d,
            _ => ops::conv3d,
        };
        let x = single(m, inputs)?;
        let bias = m.parameter("bias");
        let weight = m.need("weight")?;
        if self.pads.is_empty() {
            return op(x, &weight, bias.as_ref(), &self.stride, &self.padding, &self.dilation, self.groups).map(one);
        }
        let mode = if self.padding_mode == "zeros" { "constant" } else { &self.padding_mode };
        let x = ops::pad(x, &self.pads, mode, None)?;
        let none = vec![0; self.kernel_size.len()];
        op(&x, &weight, bias.as_ref(), &self.stride, &none, &self.dilation, self.groups).map(one)
    }
    fn attributes(&self, _: &Module) -> Vec<(&'static str, Attribute)> {
        let padding = match &self.padding_text {
            Some(text) => text.into(),
            None => (&self.padding).into(),
        };
        vec![
            ("in_channels", self.in_channels().into()),
            ("out_channels", self.out_channels.into()),
            ("kernel_size", (&self.kernel_size).into()),
            ("stride", (&self.stride).into()),
            ("padding", padding),
            ("dilation", (&self.dilation).into()),
            ("groups", self.groups.into()),
            ("padding_mode", (&self.padding_mode).into()),
            ("transposed", false.into()),
            ("output_padding", Attribute::Ints(vec![0; self.kernel_size.len()])),
        ]
    }
    fn initialize(&self, m: &Module, inputs: &[Option<Tensor>]) -> Result<()> {
        let (x, n) = (lazy::first(m, inputs)?, self.kernel_size.len());
        let rank = x.ndim();
        ensure!(
            rank == n + 1 || rank == n + 2,
            Runtime,
            "Expected {}D (unbatched) or {}D (batched) input to {}, but got input of size: {}",
            n + 1,
            n + 2,
            m.name(),
            as_given(&x.shape())
        );
        let channels = x.shape()[rank - n - 1];
        ensure!(channels % self.groups == 0, Value, "in_channels must be divisible by groups");
        let fresh = m.is_uninitialized("weight");
        let mut shape = vec![self.out_channels, channels / self.groups];
        shape.extend(&self.kernel_size);
        m.materialize("weight", &shape)?;
        m.materialize("bias", &[self.out_channels])?;
        if fresh {
            self.reset(m)?;
        }
        self.in_channels.store(m.need("weight")?.shape()[1] * self.groups, Ordering::Relaxed);
        m.become_type(["Conv1d", "Conv2d", "Conv3d"][n - 1]);
        Ok(())
    }
    fn extra_repr(&self, m: &Module) -> Result<String> {
        let mut s = format!(
            "{}, {}, kernel_size={}, stride={}",
            self.in_channels(),
            self.out_channels,
            py_tuple(&self.kernel_size),
            py_tuple(&self.stride)
        );
        if let Some(text) = &self.padding_text {
            s += &format!(", padding={text}");
        } else if self.padding.iter().any(|p| *p != 0) {
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
        if self.padding_mode != "zeros" {
            s += &format!(", padding_mode={}", self.padding_mode);
        }
        Ok(s)
    }
}

/// One of the convolutions; without in_channels it is lazy.
fn conv(
    name: &str,
    n: usize,
    in_channels: Option<i64>,
    out_channels: i64,
    kernel_size: &[i64],
    o: &ConvOptions,
) -> Result<Module> {
    ensure!(o.groups > 0, Value, "groups must be a positive integer");
    if let Some(in_channels) = in_channels {
        positive("in_channels", &[in_channels])?;
        ensure!(in_channels % o.groups == 0, Value, "in_channels must be divisible by groups");
    }
    positive("out_channels", &[out_channels])?;
    ensure!(out_channels % o.groups == 0, Value, "out_channels must be divisible by groups");
    let kernel_size = expand("kernel_size", kernel_size, n)?;
    let stride = expand("stride", &o.stride, n)?;
    let padding = expand("padding", &o.padding, n)?;
    let dilation = expand("dilation", &o.dilation, n)?;
    positive("kernel_size", &kernel_size)?;
    positive("stride", &stride)?;
    positive("dilation", &dilation)?;
    super::not_negative("padding", &padding)?;
    if let Some(text) = &o.padding_text {
        ensure!(
            matches!(text.as_str(), "same" | "valid"),
            Value,
            "Invalid padding string '{text}', should be one of {{'same', 'valid'}}"
        );
        let strided = text == "same" && stride.iter().any(|s| *s != 1);
        ensure!(!strided, Value, "padding='same' is not supported for strided convolutions");
    }
    ensure!(
        matches!(o.padding_mode.as_str(), "zeros" | "reflect" | "replicate" | "circular"),
        Value,
        "padding_mode must be one of {{'zeros', 'reflect', 'replicate', 'circular'}}, but got padding_mode='{}'",
        o.padding_mode
    );
    let side = |i: usize| match o.padding_text.as_deref() {
        Some("same") => (dilation[i] * (kernel_size[i] - 1) / 2, (dilation[i] * (kernel_size[i] - 1) + 1) / 2),
        Some(_) => (0, 0),
        None => (padding[i], padding[i]),
    };
    let sides: Vec<(i64, i64)> = (0..n).map(side).collect();
    let mut pads = Vec::new();
    if o.padding_mode != "zeros" || sides.iter().any(|(a, b)| a != b) {
        pads = sides.iter().rev().flat_map(|(a, b)| [*a, *b]).collect();
    }
    // What prints is the text; what the convolution takes are numbers.
    let padding = sides.iter().map(|(a, _)| *a).collect();
    let mut shape = vec![out_channels, in_channels.unwrap_or(0) / o.groups];
    shape.extend(&kernel_size);
    let layer = Conv {
        in_channels: AtomicI64::new(in_channels.unwrap_or(0)),
        out_channels,
        kernel_size,
        stride,
        padding,
        padding_text: o.padding_text.clone(),
        padding_mode: o.padding_mode.clone(),
        pads,
        dilation,
        groups: o.groups,
    };
    let m = Module::new(name, layer);
    if in_channels.is_none() {
        let (dtype, device) = o.place.get();
        m.register_uninitialized_parameter("weight", dtype, device)?;
        match o.bias {
            true => m.register_uninitialized_parameter("bias", dtype, device)?,
            false => m.register_parameter("bias", None)?,
        }
        return Ok(m);
    }
    let weight = o.place.parameter(&shape)?;
    let bias = if o.bias { Some(o.place.parameter(&[out_channels])?) } else { None };
    ops::init_default_(&weight, bias.as_ref(), None)?;
    m.register_parameter("weight", Some(weight))?;
    m.register_parameter("bias", bias)?;
    Ok(m)
}

/// Convolution of [n, in_channels, length] (or without n). Parameters `weight` [out_channels, in_channels / groups,
/// kernel] and `bias` [out_channels]. Fails with a Value error for sizes that are not positive and channels that
/// `groups` does not divide.
pub fn conv1d(in_channels: i64, out_channels: i64, kernel_size: &[i64], options: &ConvOptions) -> Result<Module> {
    conv("Conv1d", 1, Some(in_channels), out_channels, kernel_size, options)
}
/// Convolution of [n, in_channels, height, width]; otherwise as [`conv1d`].
pub fn conv2d(in_channels: i64, out_channels: i64, kernel_size: &[i64], options: &ConvOptions) -> Result<Module> {
    conv("Conv2d", 2, Some(in_channels), out_channels, kernel_size, options)
}
/// Convolution of [n, in_channels, depth, height, width]; otherwise as [`conv1d`].
pub fn conv3d(in_channels: i64, out_channels: i64, kernel_size: &[i64], options: &ConvOptions) -> Result<Module> {
    conv("Conv3d", 3, Some(in_channels), out_channels, kernel_size, options)
}
/// A [`conv1d`] that takes `in_channels` from its first input.
pub fn lazy_conv1d(out_channels: i64, kernel_size: &[i64], options: &ConvOptions) -> Result<Module> {
    conv("LazyConv1d", 1, None, out_channels, kernel_size, options)
}
/// A [`conv2d`] that takes `in_channels` from its first input.
pub fn lazy_conv2d(out_channels: i64, kernel_size: &[i64], options: &ConvOptions) -> Result<Module> {
    conv("LazyConv2d", 2, None, out_channels, kernel_size, options)
}
/// A [`conv3d`] that takes `in_channels` from its first input.
pub fn lazy_conv3d(out_channels: i64, kernel_size: &[i64], options: &ConvOptions) -> Result<Module> {
    conv("LazyConv3d", 3, None, out_channels, kernel_size, options)
}
