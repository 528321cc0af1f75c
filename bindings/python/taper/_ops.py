"""The ops as Python functions, each compiled from `_ops_gen.py` when it is first used.

Compiling the whole generated file would make up most of the time of `import taper` where Python may not keep compiled
files. This module is the namespace of the generated functions, so it uses no builtin that an op could be named like.
"""

# ruff: noqa: F401
import os as _os
from sys import modules as _modules
from ctypes import byref
from ctypes import c_bool as B
from ctypes import c_char_p as _Z
from ctypes import c_double as F
from ctypes import c_int32 as C
from ctypes import c_int64 as I
from ctypes import c_size_t as _N
from ctypes import c_void_p as V

from ._c import (
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
from ._c import Device as _D
from ._c import Scalar as S
from ._c import proto as _proto
from ._dtype import dtype as _dtype_class
from ._dtype import from_code
from ._glue import M, absent, copy_out, no_int64, no_overload, repaired, return_type, take_text, unlist
from ._lib import lib as _lib
from ._lib import quick as _quick
from ._ops_table import PROTOTYPES as _PROTOTYPES
from ._tensor import Tensor

new = object.__new__
_TYPES = {"V": V, "S": S, "I": I, "F": F, "B": B, "C": C, "D": _D, "Z": _Z, "N": _N}
_file = _os.path.join(_os.path.dirname(__file__), "_ops_gen.py")
_text = ""


def _source(name):
    """Where a function begins in the generated file, and its text; None if there is none."""
    global _text
    if not _text:
        _text = __spec__.loader.get_data(_file).decode().replace("\r\n", "\n") + "\n\n\ndef "
    begin = _text.find(f"\n\n\ndef {name}(") + 3
    if begin < 3:
        return None
    return _text.count("\n", 0, begin), _text[begin : _text.index("\n\n\ndef ", begin)]


def __getattr__(name):
    space = globals()
    letters = _PROTOTYPES.get(name[1:]) if name.startswith("_") else None
    if letters is not None:
        quick = letters.endswith("!")
        types = [_TYPES[c] for c in letters.rstrip("!")]
        f = space[name] = _proto(name.lstrip("_"), *types, library=_quick if quick else _lib)
        return f
    found = _source(name)
    if found is None:
        raise AttributeError(f"module 'taper._ops' has no attribute '{name}'")
    line, source = found
    code = compile("\n" * line + source, _file, "exec")
    for inner in code.co_consts:
        for used in getattr(inner, "co_names", ()):
            if used.startswith("_") and used not in space and used[1:] in _PROTOTYPES:
                __getattr__(used)
    exec(code, space)
    f = space[name]
    f.__module__ = "taper"
    derived = _modules.get("taper._subclass")
    if derived is not None and derived.active:
        derived.patch(f)
    return f
