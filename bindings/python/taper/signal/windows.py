"""Windows: weights over M points, symmetric (`sym`) or one period of a periodic one."""

from math import pi, sqrt

from .. import _dtype
from .. import _ops as ops

__all__ = [
    "bartlett",
    "blackman",
    "cosine",
    "exponential",
    "gaussian",
    "general_cosine",
    "general_hamming",
    "hamming",
    "hann",
    "kaiser",
    "nuttall",
]


def _checked(name, M, dtype, layout):
    from .. import _c

    if dtype is None:
        dtype = _c.get_default_dtype()
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout is not _dtype.strided:
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    if dtype not in (_dtype.float32, _dtype.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {dtype}")
    return dtype


def _line(start, stop, M, dtype, device):
    return ops.linspace(start, stop, M, dtype=dtype, device=device)


def _done(window, requires_grad):
    return window.requires_grad_(True) if requires_grad else window


def exponential(
    M, *, center=None, tau=1.0, sym=True, dtype=None, layout=_dtype.strided, device=None, requires_grad=False
):
    """exp(-|n - center| / tau)."""
    dtype = _checked("exponential", M, dtype, layout)
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    if M == 0:
        return ops.empty((0,), dtype=dtype, device=device, requires_grad=requires_grad)
    if center is None:
        center = (M if not sym and M > 1 else M - 1) / 2.0
    constant = 1 / tau
    k = _line(-center * constant, (-center + (M - 1)) * constant, M, dtype, device)
    return _done(ops.exp(-ops.abs(k)), requires_grad)


def cosine(M, *, sym=True, dtype=None, layout=_dtype.strided, device=None, requires_grad=False):
    """sin of pi (n + 1/2) / M."""
    dtype = _checked("cosine", M, dtype, layout)
    if M == 0:
        return ops.empty((0,), dtype=dtype, device=device, requires_grad=requires_grad)
    constant = pi / (M + 1 if not sym and M > 1 else M)
    k = _line(0.5 * constant, (0.5 + (M - 1)) * constant, M, dtype, device)
    return _done(ops.sin(k), requires_grad)


def gaussian(M, *, std=1.0, sym=True, dtype=None, layout=_dtype.strided, device=None, requires_grad=False):
    """exp(-(n / std)^2 / 2) about the middle."""
    dtype = _checked("gaussian", M, dtype, layout)
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    if M == 0:
        return ops.empty((0,), dtype=dtype, device=device, requires_grad=requires_grad)
    start = -(M if not sym and M > 1 else M - 1) / 2.0
    constant = 1 / (std * sqrt(2))
    k = _line(start * constant, (start + (M - 1)) * constant, M, dtype, device)
    return _done(ops.exp(-(k**2)), requires_grad)


def kaiser(M, *, beta=12.0, sym=True, dtype=None, layout=_dtype.strided, device=None, requires_grad=False):
    """i0(beta sqrt(1 - x^2)) / i0(beta)."""
    dtype = _checked("kaiser", M, dtype, layout)
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    if M == 0:
        return ops.empty((0,), dtype=dtype, device=device, requires_grad=requires_grad)
    if M == 1:
        return ops.ones((1,), dtype=dtype, device=device, requires_grad=requires_grad)
    start = -beta
    constant = 2.0 * beta / (M if not sym else M - 1)
    end = min(beta, start + (M - 1) * constant)
    k = _line(start, end, M, dtype, device)
    b = ops.full((), beta, dtype=dtype, device=device)
    return _done(ops.i0(ops.sqrt(b * b - k**2)) / ops.i0(b), requires_grad)


def general_cosine(M, *, a, sym=True, dtype=None, layout=_dtype.strided, device=None, requires_grad=False):
    """The sum of (-1)^i a[i] cos(2 pi i n / M)."""
    from collections.abc import Iterable

    dtype = _checked("general_cosine", M, dtype, layout)
    if not isinstance(a, Iterable):
        raise TypeError("Coefficients must be a list/tuple")
    a = list(a)
    if not a:
        raise ValueError("Coefficients cannot be empty")
    if M == 0:
        return ops.empty((0,), dtype=dtype, device=device, requires_grad=requires_grad)
    if M == 1:
        return ops.ones((1,), dtype=dtype, device=device, requires_grad=requires_grad)
    constant = 2 * pi / (M if not sym else M - 1)
    k = _line(0, (M - 1) * constant, M, dtype, device)
    from .._creation import tensor

    weights = tensor([(-1) ** i * w for i, w in enumerate(a)], dtype=dtype, device=device)
    from .._functions import arange

    i = arange(len(a), dtype=dtype, device=device)
    return _done((weights.unsqueeze(-1) * ops.cos(i.unsqueeze(-1) * k)).sum(0), requires_grad)


def general_hamming(M, *, alpha=0.54, sym=True, dtype=None, layout=_dtype.strided, device=None, requires_grad=False):
    """alpha - (1 - alpha) cos(2 pi n / M)."""
    return general_cosine(
        M, a=[alpha, 1.0 - alpha], sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
    )


def hamming(M, *, sym=True, dtype=None, layout=_dtype.strided, device=None, requires_grad=False):
    """general_hamming of 0.54."""
    return general_hamming(M, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)


def hann(M, *, sym=True, dtype=None, layout=_dtype.strided, device=None, requires_grad=False):
    """general_hamming of 0.5."""
    return general_hamming(
        M, alpha=0.5, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
    )


def blackman(M, *, sym=True, dtype=None, layout=_dtype.strided, device=None, requires_grad=False):
    """A sum of three cosines."""
    dtype = _checked("blackman", M, dtype, layout)
    return general_cosine(
        M, a=[0.42, 0.5, 0.08], sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
    )


def nuttall(M, *, sym=True, dtype=None, layout=_dtype.strided, device=None, requires_grad=False):
    """A sum of four cosines."""
    return general_cosine(
        M,
        a=[0.3635819, 0.4891775, 0.1365995, 0.0106411],
        sym=sym,
        dtype=dtype,
        layout=layout,
        device=device,
        requires_grad=requires_grad,
    )


def bartlett(M, *, sym=True, dtype=None, layout=_dtype.strided, device=None, requires_grad=False):
    """A triangle: 1 - |2 n / M - 1|."""
    dtype = _checked("bartlett", M, dtype, layout)
    if M == 0:
        return ops.empty((0,), dtype=dtype, device=device, requires_grad=requires_grad)
    if M == 1:
        return ops.ones((1,), dtype=dtype, device=device, requires_grad=requires_grad)
    constant = 2 / (M if not sym else M - 1)
    k = _line(-1, -1 + (M - 1) * constant, M, dtype, device)
    return _done(1 - ops.abs(k), requires_grad)
