"""Batch normalisation in evaluation mode folded into the layer before it."""

import copy

from ..parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]


def _fused(bias_of_layer, running_mean, running_var, eps, weight, bias):
    """Factor per channel, and the bias."""
    if bias_of_layer is None:
        bias_of_layer = running_mean.new_zeros(running_mean.shape)
    scale = (running_var + eps).rsqrt()
    if weight is not None:
        scale = weight * scale
    offset = (bias_of_layer - running_mean) * scale
    return scale, offset if bias is None else offset + bias


def fuse_conv_bn_eval(conv, bn, transpose=False):
    """A convolution that computes what `conv` followed by `bn` do, both in evaluation mode."""
    assert not (conv.training or bn.training), "Fusion only for eval!"
    fused = copy.deepcopy(conv)
    assert bn.running_mean is not None and bn.running_var is not None
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_conv_bn_weights(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, transpose=False):
    """The weight and bias of such a convolution."""
    scale, bias = _fused(conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)
    shape = [1] * conv_w.ndim
    shape[1 if transpose else 0] = -1
    weight = (conv_w * scale.reshape(shape)).to(dtype=conv_w.dtype)
    bias = bias.to(dtype=conv_w.dtype if conv_b is None else conv_b.dtype)
    return (
        Parameter(weight, conv_w.requires_grad),
        Parameter(bias, conv_w.requires_grad if conv_b is None else conv_b.requires_grad),
    )


def fuse_linear_bn_eval(linear, bn):
    """A linear layer that computes what `linear` followed by `bn` do, both in evaluation mode."""
    assert not (linear.training or bn.training), "Fusion only for eval!"
    fused = copy.deepcopy(linear)
    # A normalisation of one channel over many features is none per feature.
    assert linear.out_features == bn.num_features or bn.num_features == 1, (
        "To fuse, linear.out_features == bn.num_features or bn.num_features == 1"
    )
    assert bn.running_mean is not None and bn.running_var is not None
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused


def fuse_linear_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b):
    """The weight and bias of such a linear layer."""
    scale, bias = _fused(linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)
    weight = (linear_w * scale.unsqueeze(-1)).to(dtype=linear_w.dtype)
    bias = bias.to(dtype=linear_w.dtype if linear_b is None else linear_b.dtype)
    return (
        Parameter(weight, linear_w.requires_grad),
        Parameter(bias, linear_w.requires_grad if linear_b is None else linear_b.requires_grad),
    )
