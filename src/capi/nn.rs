//! Constructors of the layers.

use super::user::CStruct;
use crate::base::error::Result;
use crate::nn::layers::{self, BatchNormOptions, ClassLossOptions, ConvOptions};
use crate::nn::Module;
use crate::Tensor;

/// Options of a convolution; arrays have one element per spatial dimension, the rest is not looked at.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taper_nn_conv_options {
    /// sizeof(taper_nn_conv_options).
    pub struct_size: usize,
    pub stride: [i64; 3],
    pub padding: [i64; 3],
    pub dilation: [i64; 3],
    pub groups: i64,
    /// 0 for no bias.
    pub bias: i32,
}
// SAFETY: repr(C), numbers only.
unsafe impl CStruct for taper_nn_conv_options {
    const INIT: Self =
        taper_nn_conv_options { struct_size: 0, stride: [1; 3], padding: [0; 3], dilation: [1; 3], groups: 1, bias: 1 };
    const MIN_SIZE: usize = std::mem::offset_of!(Self, bias) + std::mem::size_of::<i32>();
}

/// The options of a convolution over `n` dimensions.
fn conv_options(n: usize, options: Option<taper_nn_conv_options>) -> ConvOptions {
    let o = options.unwrap_or(taper_nn_conv_options::INIT);
    ConvOptions {
        stride: o.stride[..n].to_vec(),
        padding: o.padding[..n].to_vec(),
        dilation: o.dilation[..n].to_vec(),
        groups: o.groups,
        bias: o.bias != 0,
        ..ConvOptions::default()
    }
}

/// A list that has a default where it is absent or empty.
fn or<'a>(list: &'a [i64], default: &'a [i64]) -> &'a [i64] {
    if list.is_empty() {
        default
    } else {
        list
    }
}

/// `taper_nn_linear_new`.
pub fn nn_linear_new(in_features: i64, out_features: i64, bias: bool) -> Result<Module> {
    layers::linear(in_features, out_features, bias)
}

/// `taper_nn_embedding_new`.
pub fn nn_embedding_new(num_embeddings: i64, embedding_dim: i64, padding_idx: Option<i64>) -> Result<Module> {
    layers::embedding(num_embeddings, embedding_dim, padding_idx)
}

/// `taper_nn_conv1d_new`.
pub fn nn_conv1d_new(
    in_channels: i64,
    out_channels: i64,
    kernel_size: &[i64],
    options: Option<taper_nn_conv_options>,
) -> Result<Module> {
    layers::conv1d(in_channels, out_channels, kernel_size, &conv_options(1, options))
}

/// `taper_nn_conv2d_new`.
pub fn nn_conv2d_new(
    in_channels: i64,
    out_channels: i64,
    kernel_size: &[i64],
    options: Option<taper_nn_conv_options>,
) -> Result<Module> {
    layers::conv2d(in_channels, out_channels, kernel_size, &conv_options(2, options))
}

/// `taper_nn_conv3d_new`.
pub fn nn_conv3d_new(
    in_channels: i64,
    out_channels: i64,
    kernel_size: &[i64],
    options: Option<taper_nn_conv_options>,
) -> Result<Module> {
    layers::conv3d(in_channels, out_channels, kernel_size, &conv_options(3, options))
}

/// `taper_nn_max_pool2d_new`.
pub fn nn_max_pool2d_new(
    kernel_size: &[i64],
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    ceil_mode: bool,
) -> Result<Module> {
    let stride = or(stride, kernel_size);
    layers::max_pool2d(kernel_size, Some(stride), or(padding, &[0]), or(dilation, &[1]), ceil_mode)
}

/// `taper_nn_avg_pool2d_new`.
pub fn nn_avg_pool2d_new(
    kernel_size: &[i64],
    stride: &[i64],
    padding: &[i64],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: Option<i64>,
) -> Result<Module> {
    let (stride, padding) = (or(stride, kernel_size), or(padding, &[0]));
    layers::avg_pool2d(kernel_size, Some(stride), padding, ceil_mode, count_include_pad, divisor_override)
}

/// `taper_nn_relu_new`.
pub fn nn_relu_new(inplace: bool) -> Result<Module> {
    Ok(layers::relu(inplace))
}

/// `taper_nn_silu_new`.
pub fn nn_silu_new(inplace: bool) -> Result<Module> {
    Ok(layers::silu(inplace))
}

/// `taper_nn_leaky_relu_new`.
pub fn nn_leaky_relu_new(negative_slope: f64, inplace: bool) -> Result<Module> {
    Ok(layers::leaky_relu(negative_slope, inplace))
}

/// `taper_nn_sigmoid_new`.
pub fn nn_sigmoid_new() -> Result<Module> {
    Ok(layers::sigmoid())
}

/// `taper_nn_tanh_new`.
pub fn nn_tanh_new() -> Result<Module> {
    Ok(layers::tanh())
}

/// `taper_nn_gelu_new`.
pub fn nn_gelu_new(approximate: Option<&str>) -> Result<Module> {
    layers::gelu(approximate.unwrap_or("none"))
}

/// `taper_nn_softmax_new`.
pub fn nn_softmax_new(dim: i64) -> Result<Module> {
    Ok(layers::softmax(dim))
}

/// `taper_nn_log_softmax_new`.
pub fn nn_log_softmax_new(dim: i64) -> Result<Module> {
    Ok(layers::log_softmax(dim))
}

/// `taper_nn_flatten_new`.
pub fn nn_flatten_new(start_dim: i64, end_dim: i64) -> Result<Module> {
    Ok(layers::flatten(start_dim, end_dim))
}

/// `taper_nn_dropout_new`.
pub fn nn_dropout_new(p: f64, inplace: bool) -> Result<Module> {
    layers::dropout(p, inplace)
}

/// `taper_nn_identity_new`.
pub fn nn_identity_new() -> Result<Module> {
    Ok(layers::identity())
}

/// `taper_nn_layer_norm_new`.
pub fn nn_layer_norm_new(normalized_shape: &[i64], eps: f64, elementwise_affine: bool, bias: bool) -> Result<Module> {
    layers::layer_norm(normalized_shape, eps, elementwise_affine, bias)
}

/// `taper_nn_batch_norm1d_new`.
pub fn nn_batch_norm1d_new(
    num_features: i64,
    eps: f64,
    momentum: Option<f64>,
    affine: bool,
    track_running_stats: bool,
) -> Result<Module> {
    layers::batch_norm1d(num_features, &BatchNormOptions { eps, momentum, affine, track_running_stats })
}

/// `taper_nn_batch_norm2d_new`.
pub fn nn_batch_norm2d_new(
    num_features: i64,
    eps: f64,
    momentum: Option<f64>,
    affine: bool,
    track_running_stats: bool,
) -> Result<Module> {
    layers::batch_norm2d(num_features, &BatchNormOptions { eps, momentum, affine, track_running_stats })
}

/// `taper_nn_sequential_new`.
pub fn nn_sequential_new(modules: &[Module]) -> Result<Module> {
    layers::sequential(modules)
}

/// `taper_nn_module_list_new`.
pub fn nn_module_list_new(modules: &[Module]) -> Result<Module> {
    layers::module_list(modules)
}

/// `taper_nn_cross_entropy_loss_new`.
pub fn nn_cross_entropy_loss_new(
    weight: Option<&Tensor>,
    reduction: Option<&str>,
    ignore_index: i64,
    label_smoothing: f64,
) -> Result<Module> {
    let (weight, reduction) = (weight.cloned(), reduction.unwrap_or("mean").to_string());
    layers::cross_entropy_loss(&ClassLossOptions { weight, reduction, ignore_index, label_smoothing })
}

/// `taper_nn_nll_loss_new`.
pub fn nn_nll_loss_new(weight: Option<&Tensor>, reduction: Option<&str>, ignore_index: i64) -> Result<Module> {
    let (weight, reduction) = (weight.cloned(), reduction.unwrap_or("mean").to_string());
    layers::nll_loss(&ClassLossOptions { weight, reduction, ignore_index, label_smoothing: 0.0 })
}

/// `taper_nn_mse_loss_new`.
pub fn nn_mse_loss_new(reduction: Option<&str>) -> Result<Module> {
    layers::mse_loss(reduction.unwrap_or("mean"))
}

/// `taper_nn_l1_loss_new`.
pub fn nn_l1_loss_new(reduction: Option<&str>) -> Result<Module> {
    layers::l1_loss(reduction.unwrap_or("mean"))
}

/// `taper_nn_bce_with_logits_loss_new`.
pub fn nn_bce_with_logits_loss_new(
    reduction: Option<&str>,
    weight: Option<&Tensor>,
    pos_weight: Option<&Tensor>,
) -> Result<Module> {
    layers::bce_with_logits_loss(reduction.unwrap_or("mean"), weight.cloned(), pos_weight.cloned())
}
