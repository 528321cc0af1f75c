"""Resizing by interpolation, sampling at the points of a grid."""

from __future__ import annotations

import warnings

from .. import _ops as g
from .._tensor import Tensor


def interpolate(
    input: Tensor,
    size=None,
    scale_factor=None,
    mode: str = "nearest",
    align_corners=None,
    recompute_scale_factor=None,
    antialias: bool = False,
) -> Tensor:
    """Resizes the last dimensions: 'nearest', 'nearest-exact', 'linear', 'bilinear', 'bicubic', 'trilinear', 'area'."""
    height = width = None
    if isinstance(scale_factor, (list, tuple)):
        n = input.ndim - 2
        if len(scale_factor) != n:
            raise ValueError(
                "Input and scale_factor must have the same number of spatial dimensions, but got input with spatial "
                f"dimensions of {list(input.shape[2:])} and scale_factor of shape {scale_factor}. Please provide input "
                "tensor in (N, C, d1, d2, ...,dK) format and scale_factor in (s1, s2, ...,sK) format."
            )
        height, width = scale_factor[-2] if n > 1 else None, scale_factor[-1]
        scale_factor = scale_factor[0]
    return g.interpolate(
        input,
        size,
        scale_factor,
        mode,
        align_corners,
        recompute_scale_factor,
        antialias,
        scale_h=height,
        scale_w=width,
    )


def _aligned(align_corners):
    if align_corners is None:
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please specify "
            "align_corners=True if the old behavior is desired. See the documentation of grid_sample for details.",
            stacklevel=3,
        )
    return bool(align_corners)


def grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners=None
) -> Tensor:
    """The values of images at the points of a grid, whose coordinates go from -1 to 1 over the image."""
    return g.grid_sample(input, grid, mode, padding_mode, _aligned(align_corners))


def affine_grid(theta: Tensor, size, align_corners=None) -> Tensor:
    """The grid for grid_sample of a batch of affine maps."""
    return g.affine_grid(theta, size, _aligned(align_corners))
