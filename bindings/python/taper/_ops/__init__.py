"""The ops as Python functions, and the library's raw functions under a leading underscore (`_add`).

The functions stand in files for the headings of `spec/ops.txt`, each of which is loaded when one of its functions is first
asked for: all of them would be another 3 ms of `import taper`, and 130 ms where Python may not keep compiled files. This
module becomes the namespace of the functions, so it uses no builtin that an op could be named like.
"""

from ctypes import c_bool as _B
from ctypes import c_char_p as _Z
from ctypes import c_double as _F
from ctypes import c_int32 as _C
from ctypes import c_int64 as _I
from ctypes import c_size_t as _N
from ctypes import c_void_p as _V
from sys import modules as _modules

from .._c import Device as _D
from .._c import Scalar as _S
from .._c import proto as _proto
from .._lib import lib as _lib
from .._lib import quick as _quick
from .._ops_table import PROTOTYPES as _PROTOTYPES
from .._ops_table import SECTIONS as _SECTIONS

_TYPES = {"V": _V, "S": _S, "I": _I, "F": _F, "B": _B, "C": _C, "D": _D, "Z": _Z, "N": _N}
_HOME = {name: section for section, names in _SECTIONS.items() for name in names}


def __getattr__(name):
    space = globals()
    letters = _PROTOTYPES.get(name[1:]) if name.startswith("_") else None
    if letters is not None:
        quick = letters.endswith("!")
        types = [_TYPES[c] for c in letters.rstrip("!")]
        f = space[name] = _proto(name.lstrip("_"), *types, library=_quick if quick else _lib)
        return f
    section = _HOME.get(name)
    if section is None:
        raise AttributeError(f"module 'taper._ops' has no attribute '{name}'")
    __import__(f"{__name__}.{section}")
    module = _modules[f"{__name__}.{section}"]
    derived = _modules.get("taper._subclass")
    for key in _SECTIONS[section]:
        f = space[key] = getattr(module, key)
        f.__module__ = "taper"
        if derived is not None and derived.active:
            derived.patch(f)
    return space[name]
