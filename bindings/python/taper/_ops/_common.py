"""What the generated functions of the ops use: types of ctypes under one letter, and helpers."""

# ruff: noqa: F401
from ctypes import byref
from ctypes import c_bool as B
from ctypes import c_char_p as _Z
from ctypes import c_double as F
from ctypes import c_int32 as C
from ctypes import c_int64 as I
from ctypes import c_size_t as _N
from ctypes import c_void_p as V

from .._c import (
    BAD_ARGUMENT,
    NO_DEVICE,
    PACKS,
    device_c,
    fail,
    from_scalar,
    handles,
    ints,
    opt_handles,
    pack1,
    scalar,
    text,
    tls,
)
from .._c import Scalar as S
from .._dtype import dtype as _dtype_class
from .._dtype import from_code
from .._glue import M, absent, copy_out, no_int64, no_overload, repaired, return_type, take_text, unlist
from .._tensor import Tensor

new = object.__new__
