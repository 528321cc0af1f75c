//! Constructors of layers in their one form: what is required, options, result. The options' lists are pointer and
//! length, where one number stands for every dimension.

use super::convert::Call;
use super::types::*;
use super::user::CStruct;
use crate::base::error::Result;
use crate::nn::layers::{self, ConvOptions, Place};
use crate::nn::Module;
use std::os::raw::c_char;

/// Options of a convolution; lists are one number for all dimensions or one for each, and NULL is the default.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_nn_conv_create_options {
    /// sizeof(taper_nn_conv_create_options).
    pub struct_size: usize,
    /// NULL: 1.
    pub stride: *const i64,
    pub stride_len: usize,
    /// NULL: 0.
    pub padding: *const i64,
    pub padding_len: usize,
    /// NULL: 1.
    pub dilation: *const i64,
    pub dilation_len: usize,
    /// "same" or "valid" in place of padding; or NULL.
    pub padding_text: *const c_char,
    /// "zeros" (or NULL), "reflect", "replicate" or "circular".
    pub padding_mode: *const c_char,
    pub groups: i64,
    /// 0 for no bias.
    pub bias: i32,
    /// Of the parameters; TAPER_DTYPE_NONE: the default dtype.
    pub dtype: i32,
    /// Of the parameters; type 0: the default device.
    pub device: taper_device,
}
// SAFETY: repr(C), numbers and pointers only.
unsafe impl CStruct for taper_nn_conv_create_options {
    const INIT: Self = taper_nn_conv_create_options {
        struct_size: 0,
        stride: std::ptr::null(),
        stride_len: 0,
        padding: std::ptr::null(),
        padding_len: 0,
        dilation: std::ptr::null(),
        dilation_len: 0,
        padding_text: std::ptr::null(),
        padding_mode: std::ptr::null(),
        groups: 1,
        bias: 1,
        dtype: TAPER_DTYPE_NONE,
        device: taper_device { r#type: 0, index: 0 },
    };
    const MIN_SIZE: usize = std::mem::size_of::<Self>();
}

/// Options of a linear layer.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_nn_linear_options {
    /// sizeof(taper_nn_linear_options).
    pub struct_size: usize,
    /// 0 for no bias.
    pub bias: i32,
    /// Of the parameters; TAPER_DTYPE_NONE: the default dtype.
    pub dtype: i32,
    /// Of the parameters; type 0: the default device.
    pub device: taper_device,
}
// SAFETY: repr(C), numbers only.
unsafe impl CStruct for taper_nn_linear_options {
    const INIT: Self = taper_nn_linear_options {
        struct_size: 0,
        bias: 1,
        dtype: TAPER_DTYPE_NONE,
        device: taper_device { r#type: 0, index: 0 },
    };
    const MIN_SIZE: usize = std::mem::size_of::<Self>();
}
fn linear_options(c: &Call, index: usize, options: Option<taper_nn_linear_options>) -> Result<(bool, Place)> {
    let o = options.unwrap_or(taper_nn_linear_options::INIT);
    let dtype = c.opt_dtype(index, "options->dtype", o.dtype)?;
    Ok((o.bias != 0, Place { dtype, device: c.opt_device(index, "options->device", o.device)? }))
}

/// `taper_nn_linear_create`.
pub fn nn_linear_create(
    c: &Call,
    in_features: i64,
    out_features: i64,
    options: Option<taper_nn_linear_options>,
) -> Result<Module> {
    let (bias, place) = linear_options(c, 2, options)?;
    layers::linear_at(in_features, out_features, bias, place)
}

/// `taper_nn_lazy_linear_create`.
pub fn nn_lazy_linear_create(c: &Call, out_features: i64, options: Option<taper_nn_linear_options>) -> Result<Module> {
    let (bias, place) = linear_options(c, 1, options)?;
    layers::lazy_linear(out_features, bias, place)
}

/// A list of an options struct; what is absent or empty has its default.
unsafe fn list(c: &Call, index: usize, name: &str, p: *const i64, len: usize, default: i64) -> Result<Vec<i64>> {
    // SAFETY: the header's contract.
    let v = unsafe { c.slice(index, name, p, len) }?;
    Ok(if v.is_empty() { vec![default] } else { v.to_vec() })
}

/// What the constructors of convolutions share; `index` is the position of `options`.
unsafe fn conv_options(c: &Call, index: usize, options: Option<taper_nn_conv_create_options>) -> Result<ConvOptions> {
    let o = options.unwrap_or(taper_nn_conv_create_options::INIT);
    // SAFETY: the header's contract.
    unsafe {
        Ok(ConvOptions {
            stride: list(c, index, "options->stride", o.stride, o.stride_len, 1)?,
            padding: list(c, index, "options->padding", o.padding, o.padding_len, 0)?,
            dilation: list(c, index, "options->dilation", o.dilation, o.dilation_len, 1)?,
            groups: o.groups,
            bias: o.bias != 0,
            padding_text: c.opt_str(index, "options->padding_text", o.padding_text)?.map(str::to_string),
            padding_mode: c.opt_str(index, "options->padding_mode", o.padding_mode)?.unwrap_or("zeros").to_string(),
            place: Place {
                dtype: c.opt_dtype(index, "options->dtype", o.dtype)?,
                device: c.opt_device(index, "options->device", o.device)?,
            },
        })
    }
}

/// `taper_nn_conv1d_create`.
///
/// # Safety
/// The pointers in options are NULL or readable.
pub unsafe fn nn_conv1d_create(
    c: &Call,
    in_channels: i64,
    out_channels: i64,
    kernel_size: &[i64],
    options: Option<taper_nn_conv_create_options>,
) -> Result<Module> {
    // SAFETY: the caller's.
    let options = unsafe { conv_options(c, 3, options) }?;
    layers::conv1d(in_channels, out_channels, kernel_size, &options)
}

/// `taper_nn_lazy_conv1d_create`.
///
/// # Safety
/// The pointers in options are NULL or readable.
pub unsafe fn nn_lazy_conv1d_create(
    c: &Call,
    out_channels: i64,
    kernel_size: &[i64],
    options: Option<taper_nn_conv_create_options>,
) -> Result<Module> {
    // SAFETY: the caller's.
    let options = unsafe { conv_options(c, 2, options) }?;
    layers::lazy_conv1d(out_channels, kernel_size, &options)
}

/// `taper_nn_conv2d_create`.
///
/// # Safety
/// The pointers in options are NULL or readable.
pub unsafe fn nn_conv2d_create(
    c: &Call,
    in_channels: i64,
    out_channels: i64,
    kernel_size: &[i64],
    options: Option<taper_nn_conv_create_options>,
) -> Result<Module> {
    // SAFETY: the caller's.
    let options = unsafe { conv_options(c, 3, options) }?;
    layers::conv2d(in_channels, out_channels, kernel_size, &options)
}

/// `taper_nn_lazy_conv2d_create`.
///
/// # Safety
/// The pointers in options are NULL or readable.
pub unsafe fn nn_lazy_conv2d_create(
    c: &Call,
    out_channels: i64,
    kernel_size: &[i64],
    options: Option<taper_nn_conv_create_options>,
) -> Result<Module> {
    // SAFETY: the caller's.
    let options = unsafe { conv_options(c, 2, options) }?;
    layers::lazy_conv2d(out_channels, kernel_size, &options)
}

/// `taper_nn_conv3d_create`.
///
/// # Safety
/// The pointers in options are NULL or readable.
pub unsafe fn nn_conv3d_create(
    c: &Call,
    in_channels: i64,
    out_channels: i64,
    kernel_size: &[i64],
    options: Option<taper_nn_conv_create_options>,
) -> Result<Module> {
    // SAFETY: the caller's.
    let options = unsafe { conv_options(c, 3, options) }?;
    layers::conv3d(in_channels, out_channels, kernel_size, &options)
}

/// `taper_nn_lazy_conv3d_create`.
///
/// # Safety
/// The pointers in options are NULL or readable.
pub unsafe fn nn_lazy_conv3d_create(
    c: &Call,
    out_channels: i64,
    kernel_size: &[i64],
    options: Option<taper_nn_conv_create_options>,
) -> Result<Module> {
    // SAFETY: the caller's.
    let options = unsafe { conv_options(c, 2, options) }?;
    layers::lazy_conv3d(out_channels, kernel_size, &options)
}
