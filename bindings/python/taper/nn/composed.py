"""A forward that is no single op: in the specification it stands as one."""

from __future__ import annotations

from .._tensor import Tensor
from . import functional as F


def conv_padded(input, weight, bias, stride, padding, dilation, groups, padding_mode) -> Tensor:
    """A convolution whose padding is numbers or a word, filled with zeros or otherwise."""
    if padding_mode == "zeros":
        convolution = (F.conv1d, F.conv2d, F.conv3d)[len(stride) - 1]
        return convolution(input, weight, bias, stride, padding, dilation, groups)
    numbers, word = ((), padding) if isinstance(padding, str) else (padding, None)
    return F.conv_padded(input, weight, bias, stride, numbers, dilation, groups, padding_mode, word)
