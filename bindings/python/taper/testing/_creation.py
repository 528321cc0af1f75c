"""make_tensor: random tensors of every dtype."""

import math

from .. import _c
from .. import _dtype as d
from .. import _ops as ops

_FLOATS = ("float16", "bfloat16", "float32", "float64")
_COMPLEX = ("complex32", "complex64", "complex128")


def _range(dtype):
    if dtype.is_floating_point:
        from .._limits import finfo

        info = finfo(dtype)
    else:
        from .._limits import iinfo

        info = iinfo(dtype)
    return info.min, info.max if dtype.is_floating_point else info.max + 1


def _limits(low, high, default_low, default_high, dtype):
    low = default_low if low is None else low
    high = default_high if high is None else high
    if any(isinstance(v, float) and math.isnan(v) for v in (low, high)):
        raise ValueError(f"`low` and `high` cannot be NaN, but got low={low!r} and high={high!r}")
    if low == high and dtype.name in (*_FLOATS, *_COMPLEX):
        import warnings

        warnings.warn(
            "Passing `low==high` to `torch.testing.make_tensor` for floating or complex types is deprecated since 2.1 and will "
            "be removed in 2.3. Use `torch.full(...)` instead.",
            FutureWarning,
            stacklevel=4,
        )
    elif low >= high:
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    bottom, top = _range(dtype)
    if high < bottom or low > top:
        raise ValueError(
            f"The value interval specified by `low` and `high` is [{low}, {high}), but {dtype} only supports [{bottom}, {top})"
        )
    low, high = max(low, bottom), min(high, top)
    if not dtype.is_floating_point and dtype.name not in _COMPLEX:
        return math.ceil(low), math.ceil(high)
    return low, high


def make_tensor(
    *shape,
    dtype,
    device,
    low=None,
    high=None,
    requires_grad=False,
    noncontiguous=False,
    exclude_zero=False,
    memory_format=None,
):
    """A tensor of values drawn uniformly from [low, high): by default [-9, 9] of floats, [-9, 10) of signed and [0, 10) of
    unsigned integers."""
    if len(shape) == 1 and isinstance(shape[0], (list, tuple)):
        shape = tuple(shape[0])
    dtype = _c.to_dtype(dtype)
    if noncontiguous and memory_format is not None:
        raise ValueError(
            f"The parameters `noncontiguous` and `memory_format` are mutually exclusive, but got noncontiguous={noncontiguous!r} and memory_format={memory_format!r}"
        )
    is_complex = dtype.name in _COMPLEX
    integral = not dtype.is_floating_point and not is_complex
    if requires_grad and integral:
        raise ValueError(
            f"`requires_grad=True` is not supported for boolean and integral dtypes, but got dtype={dtype!r}"
        )
    inner = shape
    # Every other element of a tensor twice as long.
    if noncontiguous and math.prod(shape) > 1:
        inner = (*shape[:-1], 2 * shape[-1])
    if dtype is d.bool:
        low, high = _limits(low, high, 0, 2, d.uint8)
        from .._functions import randint

        result = randint(low, high, inner, device=device, dtype=dtype)
    elif integral:
        signed = dtype.is_signed
        low, high = _limits(low, high, -9 if signed else 0, 10, dtype)
        from .._functions import randint

        result = randint(low, high, inner, device=device, dtype=dtype)
    elif is_complex:
        part = {"complex32": d.float16, "complex64": d.float32, "complex128": d.float64}[dtype.name]
        low, high = _limits(low, high, -9, 9, part)
        result = ops.empty(inner, device=device, dtype=dtype)
        ops.view_as_real(result).uniform_(low, high)
    else:
        low, high = _limits(low, high, -9, 9, dtype)
        result = ops.empty(inner, device=device, dtype=dtype)
        result.uniform_(low, high)
    if noncontiguous and math.prod(shape) > 1:
        result = result[..., ::2]
    elif memory_format is not None:
        result = result.clone(memory_format=memory_format)
    if exclude_zero:
        smallest = 1
        if not integral:
            from .._limits import finfo

            smallest = finfo(dtype).tiny
        result[result == 0] = smallest
    if requires_grad:
        result.requires_grad_(True)
    return result
