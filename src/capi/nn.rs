//! Constructors of the layers.

use super::convert::{guard, Call};
use super::types::*;
use super::user::{read_struct, CStruct};
use crate::base::error::Result;
use crate::nn::layers::{self, BatchNormOptions, ClassLossOptions, ConvOptions};
use crate::nn::Module;
use smallvec::SmallVec;
use std::os::raw::c_char;

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

type Conv = fn(i64, i64, &[i64], &ConvOptions) -> Result<Module>;

/// The constructor that the three convolutions share.
unsafe fn conv(
    c: &Call,
    make: Conv,
    n: usize,
    in_channels: i64,
    out_channels: i64,
    kernel: (*const i64, usize),
    options: *const taper_nn_conv_options,
    out: *mut *mut taper_module,
) -> Result<()> {
    // SAFETY: the header's contract, here and below.
    let out = unsafe { c.out(4, "out", out) }?;
    let kernel = unsafe { c.slice(2, "kernel_size", kernel.0, kernel.1) }?;
    let mut o = taper_nn_conv_options::INIT;
    if !options.is_null() {
        o = unsafe { read_struct(c, 3, "options", options) }?;
    }
    let options = ConvOptions {
        stride: o.stride[..n].to_vec(),
        padding: o.padding[..n].to_vec(),
        dilation: o.dilation[..n].to_vec(),
        groups: o.groups,
        bias: o.bias != 0,
        ..ConvOptions::default()
    };
    out.set(make(in_channels, out_channels, kernel, &options)?)
}

/// A list of sizes that has a default: used where it is absent or empty.
unsafe fn sizes_or<'a>(
    c: &'a Call,
    index: usize,
    name: &str,
    p: *const i64,
    len: usize,
    default: &'a [i64],
) -> Result<&'a [i64]> {
    // SAFETY: the header's contract.
    let v = unsafe { c.slice(index, name, p, len) }?;
    Ok(if v.is_empty() { default } else { v })
}

/// x W^T + b, from in_features to out_features; parameters weight and (bias) bias. The module is owned by the
/// caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_linear_new(
    in_features: i64,
    out_features: i64,
    bias: bool,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("nn_linear_new", |c| c.out(3, "out", out)?.set(layers::linear(in_features, out_features, bias)?))
}

/// Rows of a table; padding_idx (NULL: none) is a row that starts as zeros and gets no gradient. Parameter weight.
/// The module is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_embedding_new(
    num_embeddings: i64,
    embedding_dim: i64,
    padding_idx: *const i64,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("nn_embedding_new", |c| {
        let out = c.out(3, "out", out)?;
        out.set(layers::embedding(num_embeddings, embedding_dim, c.opt(2, "padding_idx", padding_idx)?)?)
    })
}

/// Convolution over [n, in_channels, length]. options may be NULL. Parameters weight and bias. The module is owned
/// by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_conv1d_new(
    in_channels: i64,
    out_channels: i64,
    kernel_size: *const i64,
    kernel_size_len: usize,
    options: *const taper_nn_conv_options,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("nn_conv1d_new", |c| {
        let kernel = (kernel_size, kernel_size_len);
        conv(c, layers::conv1d, 1, in_channels, out_channels, kernel, options, out)
    })
}

/// Convolution over [n, in_channels, height, width]. kernel_size is 1 number or 2; options may be NULL. Parameters
/// weight and bias. The module is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_conv2d_new(
    in_channels: i64,
    out_channels: i64,
    kernel_size: *const i64,
    kernel_size_len: usize,
    options: *const taper_nn_conv_options,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("nn_conv2d_new", |c| {
        let kernel = (kernel_size, kernel_size_len);
        conv(c, layers::conv2d, 2, in_channels, out_channels, kernel, options, out)
    })
}

/// Convolution over [n, in_channels, depth, height, width]. kernel_size is 1 number or 3; options may be NULL.
/// Parameters weight and bias. The module is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_conv3d_new(
    in_channels: i64,
    out_channels: i64,
    kernel_size: *const i64,
    kernel_size_len: usize,
    options: *const taper_nn_conv_options,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("nn_conv3d_new", |c| {
        let kernel = (kernel_size, kernel_size_len);
        conv(c, layers::conv3d, 3, in_channels, out_channels, kernel, options, out)
    })
}

/// Largest element of each window. Sizes are 1 number or 2; an absent stride is kernel_size, absent padding 0,
/// absent dilation 1. The module is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_max_pool2d_new(
    kernel_size: *const i64,
    kernel_size_len: usize,
    stride: *const i64,
    stride_len: usize,
    padding: *const i64,
    padding_len: usize,
    dilation: *const i64,
    dilation_len: usize,
    ceil_mode: bool,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("nn_max_pool2d_new", |c| {
        let out = c.out(5, "out", out)?;
        let kernel = c.slice(0, "kernel_size", kernel_size, kernel_size_len)?;
        let stride = sizes_or(c, 1, "stride", stride, stride_len, kernel)?;
        let padding = sizes_or(c, 2, "padding", padding, padding_len, &[0])?;
        let dilation = sizes_or(c, 3, "dilation", dilation, dilation_len, &[1])?;
        out.set(layers::max_pool2d(kernel, Some(stride), padding, dilation, ceil_mode)?)
    })
}

/// Mean of each window. Sizes as in taper_nn_max_pool2d_new; divisor_override NULL is the window's size. The module
/// is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_avg_pool2d_new(
    kernel_size: *const i64,
    kernel_size_len: usize,
    stride: *const i64,
    stride_len: usize,
    padding: *const i64,
    padding_len: usize,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: *const i64,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("nn_avg_pool2d_new", |c| {
        let out = c.out(6, "out", out)?;
        let kernel = c.slice(0, "kernel_size", kernel_size, kernel_size_len)?;
        let stride = sizes_or(c, 1, "stride", stride, stride_len, kernel)?;
        let padding = sizes_or(c, 2, "padding", padding, padding_len, &[0])?;
        let divisor = c.opt(5, "divisor_override", divisor_override)?;
        out.set(layers::avg_pool2d(kernel, Some(stride), padding, ceil_mode, count_include_pad, divisor)?)
    })
}

/// max(x, 0); inplace overwrites the input. The module is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_relu_new(inplace: bool, out: *mut *mut taper_module) -> *mut taper_error {
    guard("nn_relu_new", |c| c.out(1, "out", out)?.set(layers::relu(inplace)))
}

/// x sigmoid(x); inplace overwrites the input. The module is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_silu_new(inplace: bool, out: *mut *mut taper_module) -> *mut taper_error {
    guard("nn_silu_new", |c| c.out(1, "out", out)?.set(layers::silu(inplace)))
}

/// x where positive, negative_slope x elsewhere; inplace overwrites the input. The module is owned by the caller.
/// Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_leaky_relu_new(
    negative_slope: f64,
    inplace: bool,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("nn_leaky_relu_new", |c| c.out(2, "out", out)?.set(layers::leaky_relu(negative_slope, inplace)))
}

/// 1 / (1 + exp(-x)). The module is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_sigmoid_new(out: *mut *mut taper_module) -> *mut taper_error {
    guard("nn_sigmoid_new", |c| c.out(0, "out", out)?.set(layers::sigmoid()))
}

/// Hyperbolic tangent. The module is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_tanh_new(out: *mut *mut taper_module) -> *mut taper_error {
    guard("nn_tanh_new", |c| c.out(0, "out", out)?.set(layers::tanh()))
}

/// x Phi(x); approximate is "none" (or NULL) or "tanh". The module is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_gelu_new(
    approximate: *const c_char,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("nn_gelu_new", |c| {
        let out = c.out(1, "out", out)?;
        out.set(layers::gelu(c.opt_str(0, "approximate", approximate)?.unwrap_or("none"))?)
    })
}

/// exp(x) / sum exp(x) along dim. The module is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_softmax_new(dim: i64, out: *mut *mut taper_module) -> *mut taper_error {
    guard("nn_softmax_new", |c| c.out(1, "out", out)?.set(layers::softmax(dim)))
}

/// log(softmax(x)) along dim. The module is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_log_softmax_new(dim: i64, out: *mut *mut taper_module) -> *mut taper_error {
    guard("nn_log_softmax_new", |c| c.out(1, "out", out)?.set(layers::log_softmax(dim)))
}

/// Dimensions start_dim to end_dim (inclusive) become one; PyTorch's defaults are 1 and -1. The module is owned by
/// the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_flatten_new(
    start_dim: i64,
    end_dim: i64,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("nn_flatten_new", |c| c.out(2, "out", out)?.set(layers::flatten(start_dim, end_dim)))
}

/// In training zeroes elements with probability p and scales the rest by 1 / (1 - p). The module is owned by the
/// caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_dropout_new(p: f64, inplace: bool, out: *mut *mut taper_module) -> *mut taper_error {
    guard("nn_dropout_new", |c| c.out(2, "out", out)?.set(layers::dropout(p, inplace)?))
}

/// Its input. The module is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_identity_new(out: *mut *mut taper_module) -> *mut taper_error {
    guard("nn_identity_new", |c| c.out(0, "out", out)?.set(layers::identity()))
}

/// Mean 0 and variance 1 over the trailing dimensions normalized_shape. Parameters weight (elementwise_affine) and
/// bias (both flags). PyTorch's eps is 1e-5. The module is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_layer_norm_new(
    normalized_shape: *const i64,
    normalized_shape_len: usize,
    eps: f64,
    elementwise_affine: bool,
    bias: bool,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("nn_layer_norm_new", |c| {
        let out = c.out(4, "out", out)?;
        let shape = c.slice(0, "normalized_shape", normalized_shape, normalized_shape_len)?;
        out.set(layers::layer_norm(shape, eps, elementwise_affine, bias)?)
    })
}

/// Batch normalisation of [n, c] or [n, c, l]. PyTorch's eps is 1e-5; momentum NULL is the plain mean over all
/// batches (PyTorch's default is 0.1). Parameters weight, bias; buffers running_mean, running_var,
/// num_batches_tracked. The module is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_batch_norm1d_new(
    num_features: i64,
    eps: f64,
    momentum: *const f64,
    affine: bool,
    track_running_stats: bool,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("nn_batch_norm1d_new", |c| {
        let out = c.out(5, "out", out)?;
        let momentum = c.opt(2, "momentum", momentum)?;
        let options = BatchNormOptions { eps, momentum, affine, track_running_stats };
        out.set(layers::batch_norm1d(num_features, &options)?)
    })
}

/// Batch normalisation of [n, c, h, w]. PyTorch's eps is 1e-5; momentum NULL is the plain mean over all batches
/// (PyTorch's default is 0.1). Parameters weight, bias; buffers running_mean, running_var, num_batches_tracked. The
/// module is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_batch_norm2d_new(
    num_features: i64,
    eps: f64,
    momentum: *const f64,
    affine: bool,
    track_running_stats: bool,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("nn_batch_norm2d_new", |c| {
        let out = c.out(5, "out", out)?;
        let momentum = c.opt(2, "momentum", momentum)?;
        let options = BatchNormOptions { eps, momentum, affine, track_running_stats };
        out.set(layers::batch_norm2d(num_features, &options)?)
    })
}

/// Runs its children in order; they are named "0", "1" and so on. Borrows the modules. taper_module_append adds
/// more. The module is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_sequential_new(
    modules: *const *mut taper_module,
    modules_len: usize,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("nn_sequential_new", |c| {
        let out = c.out(1, "out", out)?;
        let handles = c.slice(0, "modules", modules, modules_len)?;
        let get = |(i, h): (usize, &*mut taper_module)| c.get(0, &format!("modules[{i}]"), *h as *const taper_module);
        let modules: SmallVec<[Module; 8]> = handles.iter().enumerate().map(get).collect::<Result<_>>()?;
        out.set(layers::sequential(&modules)?)
    })
}

/// Holds modules by number; has no forward. Borrows the modules. The module is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_module_list_new(
    modules: *const *mut taper_module,
    modules_len: usize,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("nn_module_list_new", |c| {
        let out = c.out(1, "out", out)?;
        let handles = c.slice(0, "modules", modules, modules_len)?;
        let get = |(i, h): (usize, &*mut taper_module)| c.get(0, &format!("modules[{i}]"), *h as *const taper_module);
        let modules: SmallVec<[Module; 8]> = handles.iter().enumerate().map(get).collect::<Result<_>>()?;
        out.set(layers::module_list(&modules)?)
    })
}

/// Cross entropy of logits [n, c, ..] and class indices [n, ..] or probabilities: forward takes both. weight (NULL:
/// none) has one factor per class; reduction is "mean" (or NULL), "sum" or "none". PyTorch's ignore_index is -100.
/// The module is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_cross_entropy_loss_new(
    weight: *mut taper_tensor,
    reduction: *const c_char,
    ignore_index: i64,
    label_smoothing: f64,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("nn_cross_entropy_loss_new", |c| {
        let out = c.out(4, "out", out)?;
        let weight = c.opt_tensor(0, "weight", weight)?;
        let reduction = c.opt_str(1, "reduction", reduction)?.unwrap_or("mean").to_string();
        out.set(layers::cross_entropy_loss(&ClassLossOptions { weight, reduction, ignore_index, label_smoothing })?)
    })
}

/// Negative log likelihood of log-probabilities and class indices; arguments as in taper_nn_cross_entropy_loss_new.
/// The module is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_nll_loss_new(
    weight: *mut taper_tensor,
    reduction: *const c_char,
    ignore_index: i64,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("nn_nll_loss_new", |c| {
        let out = c.out(3, "out", out)?;
        let weight = c.opt_tensor(0, "weight", weight)?;
        let reduction = c.opt_str(1, "reduction", reduction)?.unwrap_or("mean").to_string();
        out.set(layers::nll_loss(&ClassLossOptions { weight, reduction, ignore_index, label_smoothing: 0.0 })?)
    })
}

/// (input - target)^2: forward takes both; reduction is "mean" (or NULL), "sum" or "none". The module is owned by
/// the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_mse_loss_new(
    reduction: *const c_char,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("nn_mse_loss_new", |c| {
        let out = c.out(1, "out", out)?;
        out.set(layers::mse_loss(c.opt_str(0, "reduction", reduction)?.unwrap_or("mean"))?)
    })
}

/// |input - target|: forward takes both; reduction is "mean" (or NULL), "sum" or "none". The module is owned by the
/// caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_l1_loss_new(
    reduction: *const c_char,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("nn_l1_loss_new", |c| {
        let out = c.out(1, "out", out)?;
        out.set(layers::l1_loss(c.opt_str(0, "reduction", reduction)?.unwrap_or("mean"))?)
    })
}

/// Binary cross entropy of logits and targets in [0, 1]: forward takes both; weight and pos_weight may be NULL;
/// reduction is "mean" (or NULL), "sum" or "none". The module is owned by the caller. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_nn_bce_with_logits_loss_new(
    reduction: *const c_char,
    weight: *mut taper_tensor,
    pos_weight: *mut taper_tensor,
    out: *mut *mut taper_module,
) -> *mut taper_error {
    guard("nn_bce_with_logits_loss_new", |c| {
        let out = c.out(3, "out", out)?;
        let reduction = c.opt_str(0, "reduction", reduction)?.unwrap_or("mean");
        let weight = c.opt_tensor(1, "weight", weight)?;
        let pos_weight = c.opt_tensor(2, "pos_weight", pos_weight)?;
        out.set(layers::bce_with_logits_loss(reduction, weight, pos_weight)?)
    })
}
