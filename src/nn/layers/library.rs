//! The layers that programs in Rust make most, by functions; every class of the specification is made by its entry
//! ([`crate::nn::layers_gen`]): `RELU6.build(RELU6.defaults(), &[], Place::default())`.

use super::Place;
use crate::nn::class::{Class, Values};
use crate::nn::layers_gen::*;
use crate::nn::{Attribute, Module};
use crate::{Result, Tensor};

fn made(class: &'static Class, given: &[(&str, Attribute)]) -> Result<Module> {
    class.build(class.with(given), &[], Place::default())
}

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
impl ConvOptions {
    fn values(&self, class: &Class, out_channels: i64, kernel_size: &[i64]) -> Values {
        let padding = self.padding_text.as_ref().map_or_else(|| Attribute::sizes(&self.padding), Into::into);
        class.with(&[
            ("out_channels", out_channels.into()),
            ("kernel_size", Attribute::sizes(kernel_size)),
            ("stride", Attribute::sizes(&self.stride)),
            ("padding", padding),
            ("dilation", Attribute::sizes(&self.dilation)),
            ("groups", self.groups.into()),
            ("bias", self.bias.into()),
            ("padding_mode", (&self.padding_mode).into()),
        ])
    }
}
fn conv(class: &'static Class, in_channels: i64, out: i64, kernel_size: &[i64], o: &ConvOptions) -> Result<Module> {
    let mut values = o.values(class, out, kernel_size);
    values.set(0, in_channels);
    class.build(values, &[], o.place)
}

/// Convolution of [n, in_channels, length] (or without n). Parameters `weight` [out_channels, in_channels / groups,
/// kernel] and `bias` [out_channels]. Fails with a Value error for sizes that are not positive and channels that
/// `groups` does not divide.
pub fn conv1d(in_channels: i64, out_channels: i64, kernel_size: &[i64], options: &ConvOptions) -> Result<Module> {
    conv(&CONV1D, in_channels, out_channels, kernel_size, options)
}
/// Convolution of [n, in_channels, height, width]; otherwise as [`conv1d`].
pub fn conv2d(in_channels: i64, out_channels: i64, kernel_size: &[i64], options: &ConvOptions) -> Result<Module> {
    conv(&CONV2D, in_channels, out_channels, kernel_size, options)
}
/// Convolution of [n, in_channels, depth, height, width]; otherwise as [`conv1d`].
pub fn conv3d(in_channels: i64, out_channels: i64, kernel_size: &[i64], options: &ConvOptions) -> Result<Module> {
    conv(&CONV3D, in_channels, out_channels, kernel_size, options)
}
/// A [`conv1d`] that takes `in_channels` from its first input.
pub fn lazy_conv1d(out_channels: i64, kernel_size: &[i64], options: &ConvOptions) -> Result<Module> {
    conv(&LAZY_CONV1D, 0, out_channels, kernel_size, options)
}
/// A [`conv2d`] that takes `in_channels` from its first input.
pub fn lazy_conv2d(out_channels: i64, kernel_size: &[i64], options: &ConvOptions) -> Result<Module> {
    conv(&LAZY_CONV2D, 0, out_channels, kernel_size, options)
}
/// A [`conv3d`] that takes `in_channels` from its first input.
pub fn lazy_conv3d(out_channels: i64, kernel_size: &[i64], options: &ConvOptions) -> Result<Module> {
    conv(&LAZY_CONV3D, 0, out_channels, kernel_size, options)
}

/// x W^T + b: [.., in_features] to [.., out_features]. Parameters `weight` [out_features, in_features] and, unless
/// `bias` is false, `bias` [out_features]. Fails with a Value error for negative sizes.
pub fn linear(in_features: i64, out_features: i64, bias: bool) -> Result<Module> {
    linear_at(in_features, out_features, bias, Place::default())
}
/// [`linear`] with a dtype and a device.
pub fn linear_at(in_features: i64, out_features: i64, bias: bool, place: Place) -> Result<Module> {
    let given = [("in_features", in_features.into()), ("out_features", out_features.into()), ("bias", bias.into())];
    LINEAR.build(LINEAR.with(&given), &[], place)
}
/// A [`linear`] that takes `in_features` from its first input.
pub fn lazy_linear(out_features: i64, bias: bool, place: Place) -> Result<Module> {
    let given = [("out_features", out_features.into()), ("bias", bias.into())];
    LAZY_LINEAR.build(LAZY_LINEAR.with(&given), &[], place)
}
/// Rows of a table: integers of any shape to vectors of `embedding_dim`. Parameter `weight` [num_embeddings,
/// embedding_dim]. The row `padding_idx` (negative counts from the end) starts as zeros and gets no gradient.
/// Fails with a Value error for sizes that are not positive or an index outside the table.
pub fn embedding(num_embeddings: i64, embedding_dim: i64, padding_idx: Option<i64>) -> Result<Module> {
    made(
        &EMBEDDING,
        &[
            ("num_embeddings", num_embeddings.into()),
            ("embedding_dim", embedding_dim.into()),
            ("padding_idx", padding_idx.into()),
        ],
    )
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
    made(
        &MAX_POOL2D,
        &[
            ("kernel_size", Attribute::sizes(kernel_size)),
            ("stride", stride.map_or(Attribute::None, Attribute::sizes)),
            ("padding", Attribute::sizes(padding)),
            ("dilation", Attribute::sizes(dilation)),
            ("ceil_mode", ceil_mode.into()),
        ],
    )
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
    made(
        &AVG_POOL2D,
        &[
            ("kernel_size", Attribute::sizes(kernel_size)),
            ("stride", stride.map_or(Attribute::None, Attribute::sizes)),
            ("padding", Attribute::sizes(padding)),
            ("ceil_mode", ceil_mode.into()),
            ("count_include_pad", count_include_pad.into()),
            ("divisor_override", divisor.into()),
        ],
    )
}

/// max(x, 0); `inplace` overwrites the input.
pub fn relu(inplace: bool) -> Module {
    RELU.plain(&[("inplace", inplace.into())])
}
/// x sigmoid(x); `inplace` overwrites the input.
pub fn silu(inplace: bool) -> Module {
    SILU.plain(&[("inplace", inplace.into())])
}
/// 1 / (1 + exp(-x)).
pub fn sigmoid() -> Module {
    SIGMOID.plain(&[])
}
/// Hyperbolic tangent.
pub fn tanh() -> Module {
    TANH.plain(&[])
}
/// x Phi(x); `approximate` is `none` or `tanh`, anything else a Value error.
pub fn gelu(approximate: &str) -> Result<Module> {
    made(&GELU, &[("approximate", approximate.into())])
}
/// x where positive, negative_slope * x elsewhere.
pub fn leaky_relu(negative_slope: f64, inplace: bool) -> Module {
    LEAKY_RELU.plain(&[("negative_slope", negative_slope.into()), ("inplace", inplace.into())])
}
/// exp(x) / sum exp(x) along `dim`.
pub fn softmax(dim: i64) -> Module {
    SOFTMAX.plain(&[("dim", dim.into())])
}
/// log(softmax(x)) along `dim`.
pub fn log_softmax(dim: i64) -> Module {
    LOG_SOFTMAX.plain(&[("dim", dim.into())])
}
/// Dimensions start_dim to end_dim (inclusive, from the end when negative) become one.
pub fn flatten(start_dim: i64, end_dim: i64) -> Module {
    FLATTEN.plain(&[("start_dim", start_dim.into()), ("end_dim", end_dim.into())])
}
/// In training, zeroes elements with probability p and scales the others by 1 / (1 - p); otherwise the identity.
/// Fails with a Value error unless p is in [0, 1].
pub fn dropout(p: f64, inplace: bool) -> Result<Module> {
    made(&DROPOUT, &[("p", p.into()), ("inplace", inplace.into())])
}
/// Its input.
pub fn identity() -> Module {
    IDENTITY.plain(&[])
}

/// Mean 0 and variance 1 over the trailing dimensions `normalized_shape`, then (`elementwise_affine`) times `weight`
/// and (`bias`) plus `bias`, both of that shape. PyTorch's eps is 1e-5. Fails with a Value error for an empty or
/// negative shape.
pub fn layer_norm(normalized_shape: &[i64], eps: f64, elementwise_affine: bool, bias: bool) -> Result<Module> {
    made(
        &LAYER_NORM,
        &[
            ("normalized_shape", normalized_shape.into()),
            ("eps", eps.into()),
            ("elementwise_affine", elementwise_affine.into()),
            ("bias", bias.into()),
        ],
    )
}
/// Options of batch normalisation; the defaults are PyTorch's.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNormOptions {
    pub eps: f64,
    /// Weight of the newest batch in the running statistics; None is the plain mean over all batches.
    pub momentum: Option<f64>,
    pub affine: bool,
    pub track_running_stats: bool,
}
impl Default for BatchNormOptions {
    fn default() -> Self {
        BatchNormOptions { eps: 1e-5, momentum: Some(0.1), affine: true, track_running_stats: true }
    }
}
fn batch_norm(class: &'static Class, num_features: i64, o: &BatchNormOptions) -> Result<Module> {
    made(
        class,
        &[
            ("num_features", num_features.into()),
            ("eps", o.eps.into()),
            ("momentum", o.momentum.into()),
            ("affine", o.affine.into()),
            ("track_running_stats", o.track_running_stats.into()),
        ],
    )
}
/// Per channel of [n, c] or [n, c, l]: mean 0 and variance 1 over the batch in training, by the running statistics in
/// evaluation. Parameters `weight`, `bias`, buffers `running_mean`, `running_var`, `num_batches_tracked`.
pub fn batch_norm1d(num_features: i64, options: &BatchNormOptions) -> Result<Module> {
    batch_norm(&BATCH_NORM1D, num_features, options)
}
/// [`batch_norm1d`] of [n, c, h, w].
pub fn batch_norm2d(num_features: i64, options: &BatchNormOptions) -> Result<Module> {
    batch_norm(&BATCH_NORM2D, num_features, options)
}

/// Options of the classification losses; the defaults are PyTorch's. `reduction` is `none`, `mean` or `sum`.
#[derive(Clone, Debug)]
pub struct ClassLossOptions {
    /// One factor per class.
    pub weight: Option<Tensor>,
    pub reduction: String,
    /// Targets of this value count nothing.
    pub ignore_index: i64,
    /// Share of the target that is spread over all classes (cross entropy only).
    pub label_smoothing: f64,
}
impl Default for ClassLossOptions {
    fn default() -> Self {
        ClassLossOptions { weight: None, reduction: "mean".into(), ignore_index: -100, label_smoothing: 0.0 }
    }
}
/// A loss with the tensors that its constructor takes.
fn weighted(
    class: &'static Class,
    given: &[(&str, Attribute)],
    tensors: [(&'static str, Option<Tensor>); 2],
) -> Result<Module> {
    let tensors: Vec<_> = tensors.into_iter().filter_map(|(name, t)| Some((name, t?))).collect();
    class.build(class.with(given), &tensors, Place::default())
}

/// Cross entropy of logits [n, c, ..] and class indices [n, ..] or probabilities of the logits' shape.
pub fn cross_entropy_loss(o: &ClassLossOptions) -> Result<Module> {
    weighted(
        &CROSS_ENTROPY_LOSS,
        &[
            ("reduction", (&o.reduction).into()),
            ("ignore_index", o.ignore_index.into()),
            ("label_smoothing", o.label_smoothing.into()),
        ],
        [("weight", o.weight.clone()), ("", None)],
    )
}
/// Negative log likelihood of log-probabilities [n, c, ..] and class indices [n, ..].
pub fn nll_loss(o: &ClassLossOptions) -> Result<Module> {
    let given = [("reduction", (&o.reduction).into()), ("ignore_index", o.ignore_index.into())];
    weighted(&NLL_LOSS, &given, [("weight", o.weight.clone()), ("", None)])
}
/// (input - target)^2; `reduction` is `none`, `mean` or `sum`.
pub fn mse_loss(reduction: &str) -> Result<Module> {
    made(&MSE_LOSS, &[("reduction", reduction.into())])
}
/// |input - target|.
pub fn l1_loss(reduction: &str) -> Result<Module> {
    made(&L1_LOSS, &[("reduction", reduction.into())])
}
/// Binary cross entropy of logits; `weight` scales elements, `pos_weight` the positive targets.
pub fn bce_with_logits_loss(reduction: &str, weight: Option<Tensor>, pos_weight: Option<Tensor>) -> Result<Module> {
    let given = [("reduction", reduction.into())];
    weighted(&BCE_WITH_LOGITS_LOSS, &given, [("weight", weight), ("pos_weight", pos_weight)])
}
