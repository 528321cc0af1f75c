"""Half types in functions that are composed here of several ops."""

import functools

from ._dtype import bfloat16, float16, float32
from ._tensor import Tensor

_HALF = {float16, bfloat16}


def in_float(function):
    """Computes with half tensors in float32 and rounds once, as the core's ops do: each op on the way would lose digits, or
    leave the type's range."""

    @functools.wraps(function)
    def wrapper(*args, **keywords):
        types = {t.dtype for t in (*args, *keywords.values()) if isinstance(t, Tensor)}
        types = {d for d in types if d.is_floating_point}
        if len(types) != 1 or not types <= _HALF:
            return function(*args, **keywords)
        (half,) = types

        def wide(t):
            return t.to(float32) if isinstance(t, Tensor) and t.dtype == half else t

        r = function(*map(wide, args), **{k: wide(t) for k, t in keywords.items()})
        return r.to(half)

    return wrapper
