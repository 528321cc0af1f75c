"""Resizing by interpolation, sampling at the points of a grid."""

from __future__ import annotations

import math
import warnings

from .. import _ops as g
from .._dtype import uint8
from .._half import in_float
from .._tensor import Tensor


@in_float
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
    dims = input.ndim - 2
    if (size is None) == (scale_factor is None):
        raise ValueError("only one of size or scale_factor should be defined")
    if antialias:
        raise NotImplementedError("interpolate: antialias=True is not supported")
    scales = [None] * dims
    if size is not None:
        size = [size] * dims if isinstance(size, int) else list(size)
    else:
        factors = [scale_factor] * dims if isinstance(scale_factor, (int, float)) else list(scale_factor)
        size = [int(math.floor(input.size(i + 2) * f)) for i, f in enumerate(factors)]
        if not recompute_scale_factor:
            scales = factors
    if min(*size, *input.shape[2:]) <= 0:
        raise RuntimeError(
            f"Input and output sizes should be greater than 0, but got input (size {tuple(input.shape[2:])}) and output "
            f"(size {tuple(size)})"
        )
    # Takes the memory of the result and gives it back: no work towards one that cannot exist.
    g.empty((*input.shape[:2], *size), dtype=input.dtype, device=input.device)
    linear = {"linear": 1, "bilinear": 2, "trilinear": 3}
    if mode in ("nearest", "nearest-exact"):
        if align_corners is not None:
            raise ValueError(
                "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
            )
        half = 0.5 if mode == "nearest-exact" else 0.0
        for i, n in enumerate(size):
            m = input.size(i + 2)
            if dims == 2 and not half and n in (m, 2 * m):
                # Of images, rows and columns that keep their size or double it do so whatever the factor is.
                input = input.index_select(i + 2, _index([j * m // n for j in range(n)], input))
                continue
            ratio = 1.0 / scales[i] if scales[i] else m / n
            index = [min(int((j + half) * ratio), m - 1) for j in range(n)]
            input = input.index_select(i + 2, _index(index, input))
        return input
    if mode == "area":
        if align_corners is not None:
            raise ValueError(
                "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
            )
        if dims in (1, 2, 3):
            return (g.adaptive_avg_pool1d, g.adaptive_avg_pool2d, g.adaptive_avg_pool3d)[dims - 1](input, size)
    along = {"bicubic": (2, _interpolate_cubic)}.get(mode) or (linear.get(mode), _interpolate_linear)
    if along[0] != dims:
        raise NotImplementedError(
            f"Got {input.ndim}D input, but mode={mode!r} needs {along[0] or '?'} spatial dimensions "
            "(supported: nearest, nearest-exact, linear, bilinear, bicubic, trilinear, area)"
        )
    whole = input.dtype is uint8
    if not input.dtype.is_floating_point and not whole:
        raise NotImplementedError(f"interpolate: mode={mode!r} is not implemented for {input.dtype}")
    if whole:  # images of bytes: weights are fractions, the results whole numbers again
        input = input.float()
    for i, n in enumerate(size):
        input = along[1](input, i + 2, n, scales[i], _aligned(align_corners))
    return g.clamp(g.round(input), 0, 255).to(uint8) if whole else input


def _index(values, like):
    from .._creation import _from_data
    from .._dtype import int64

    return _from_data(values, int64, like.device)


def _interpolate_linear(input: Tensor, dim: int, n, scale, align):
    from .._creation import _from_data

    m = input.size(dim)
    if n == m:  # what keeps its size keeps its values, whatever the factor is
        return input.clone()
    if align:
        places = [j * (m - 1) / (n - 1) if n > 1 else 0.0 for j in range(n)]
    else:
        ratio = 1.0 / scale if scale else m / n
        places = [max((j + 0.5) * ratio - 0.5, 0.0) for j in range(n)]
    low = [min(int(p), m - 1) for p in places]
    high = [min(i + 1, m - 1) for i in low]
    shape = [1] * input.ndim
    shape[dim] = n
    weight = _from_data([p - i for p, i in zip(places, low)], input.dtype, input.device).view(shape)
    a, b = input.index_select(dim, _index(low, input)), input.index_select(dim, _index(high, input))
    return a * (1 - weight) + b * weight


def _interpolate_cubic(input, dim, n, scale, align):
    from .._creation import _from_data

    m = input.size(dim)
    if align:
        places = [j * (m - 1) / (n - 1) if n > 1 else 0.0 for j in range(n)]
    else:
        ratio = 1.0 / scale if scale else m / n
        places = [(j + 0.5) * ratio - 0.5 for j in range(n)]
    low = [math.floor(p) for p in places]
    a = -0.75  # of the cubic convolution, as in PyTorch

    def near(x):
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x):
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    shape = [1] * input.ndim
    shape[dim] = n
    total = None
    for step, weight in ((-1, lambda t: far(t + 1)), (0, near), (1, lambda t: near(1 - t)), (2, lambda t: far(2 - t))):
        taps = input.index_select(dim, _index([min(max(i + step, 0), m - 1) for i in low], input))
        w = _from_data([weight(p - i) for p, i in zip(places, low)], input.dtype, input.device).view(shape)
        total = taps * w if total is None else total + taps * w
    return total


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
