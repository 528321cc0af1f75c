"""Forwards of layers that are compositions of ops: each stands in the specification as one op."""

from __future__ import annotations

from .._tensor import Tensor
from . import functional as F


def _padded(convolution, input, weight, bias, stride, padding, dilation, groups, padding_mode):
    if padding_mode == "zeros":
        return convolution(input, weight, bias, stride, padding, dilation, groups)
    n = weight.dim() - 2
    pads = []  # of every side, last dimension first, as F.pad takes it
    for d in reversed(range(n)):
        if padding == "same":
            total = dilation[d] * (weight.size(d + 2) - 1)
            pads += [total // 2, total - total // 2]
        else:
            pads += [0 if padding == "valid" else padding[d]] * 2
    return convolution(F.pad(input, pads, mode=padding_mode), weight, bias, stride, 0, dilation, groups)


def conv1d_padded(input, weight, bias, stride, padding, dilation, groups, padding_mode) -> Tensor:
    """conv1d whose padding may be filled otherwise than with zeros."""
    return _padded(F.conv1d, input, weight, bias, stride, padding, dilation, groups, padding_mode)


def conv2d_padded(input, weight, bias, stride, padding, dilation, groups, padding_mode) -> Tensor:
    """conv2d whose padding may be filled otherwise than with zeros."""
    return _padded(F.conv2d, input, weight, bias, stride, padding, dilation, groups, padding_mode)


def conv3d_padded(input, weight, bias, stride, padding, dilation, groups, padding_mode) -> Tensor:
    """conv3d whose padding may be filled otherwise than with zeros."""
    return _padded(F.conv3d, input, weight, bias, stride, padding, dilation, groups, padding_mode)


def _output_padding(input, weight, stride, padding, dilation, output_size):
    """What a transposed convolution adds at the end to give the wanted size."""
    n = weight.dim() - 2
    wanted = list(output_size)[-n:]
    result = []
    for d in range(n):
        kernel = weight.size(d + 2)
        least = (input.size(d - n) - 1) * stride[d] - 2 * padding[d] + dilation[d] * (kernel - 1) + 1
        most = least + stride[d] - 1
        if not least <= wanted[d] <= most:
            raise ValueError(
                f"requested an output size of {wanted}, but valid sizes range from {least} to {most} in dimension {d} "
                f"(for an input of {input.size()[-n:]})"
            )
        result.append(wanted[d] - least)
    return tuple(result)


def conv_transpose1d_sized(
    input, weight, bias, stride, padding, output_padding, groups, dilation, output_size=None
) -> Tensor:
    """conv_transpose1d, of a wanted output size where one is given."""
    if output_size is not None:
        output_padding = _output_padding(input, weight, stride, padding, dilation, output_size)
    return F.conv_transpose1d(input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d_sized(
    input, weight, bias, stride, padding, output_padding, groups, dilation, output_size=None
) -> Tensor:
    """conv_transpose2d, of a wanted output size where one is given."""
    if output_size is not None:
        output_padding = _output_padding(input, weight, stride, padding, dilation, output_size)
    return F.conv_transpose2d(input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d_sized(
    input, weight, bias, stride, padding, output_padding, groups, dilation, output_size=None
) -> Tensor:
    """conv_transpose3d, of a wanted output size where one is given."""
    if output_size is not None:
        output_padding = _output_padding(input, weight, stride, padding, dilation, output_size)
    return F.conv_transpose3d(input, weight, bias, stride, padding, output_padding, groups, dilation)


def batch_norm_tracked(
    input,
    weight,
    bias,
    running_mean,
    running_var,
    num_batches_tracked,
    training,
    track_running_stats,
    momentum,
    eps,
) -> Tensor:
    """batch_norm that counts batches; without a momentum the statistics are the mean over all batches."""
    factor = 0.0 if momentum is None else momentum
    if training and track_running_stats and num_batches_tracked is not None:
        num_batches_tracked.add_(1)
        if momentum is None:
            factor = 1.0 / float(num_batches_tracked)
    batch = training or (running_mean is None and running_var is None)
    if training and not track_running_stats:
        running_mean = running_var = None
    return F.batch_norm(input, running_mean, running_var, weight, bias, batch, factor, eps)


def instance_norm_tracked(
    input, weight, bias, running_mean, running_var, training, track_running_stats, momentum, eps, dims
) -> Tensor:
    """instance_norm of samples of `dims` dimensions and channels; an input without a batch is one sample."""
    single = input.dim() == dims + 1
    batch = training or not track_running_stats
    factor = 0.0 if momentum is None else momentum
    x = input.unsqueeze(0) if single else input
    r = F.instance_norm(x, running_mean, running_var, weight, bias, batch, factor, eps)
    return r.squeeze(0) if single else r
