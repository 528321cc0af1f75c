"""Taper: tensors, automatic differentiation and neural networks, with PyTorch's names.

``import taper as torch`` runs programs written for PyTorch; ``python -m taper.run script.py`` runs them unchanged.
"""

from ._lib import library_version as __version__  # noqa: F401, I001  (the library is loaded first)
from . import _dtype
from ._c import Error, OutOfMemoryError, get_default_dtype
from ._dtype import Size, device, dtype, finfo, iinfo, layout, memory_format
from ._tensor import Tensor
from . import _indexing, _lazy, _operators  # noqa: F401
from ._convert import from_numpy
from ._creation import as_tensor, asarray, frombuffer, tensor
from ._grad_mode import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from ._settings import *  # noqa: F403
from ._random import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)

pi, e, inf, nan = 3.141592653589793, 2.718281828459045, float("inf"), float("nan")
newaxis = None

_lazy.install()
_operators.install()

for _d in _dtype._by_code.values():
    globals()[_d.name] = _d
for _name in _dtype.ALIASES:
    globals()[_name] = getattr(_dtype, _name)
for _name in "strided sparse_coo preserve_format contiguous_format channels_last channels_last_3d".split():
    globals()[_name] = getattr(_dtype, _name)

_SUBMODULES = frozenset(
    "amp autograd backends cuda mps nn optim random safetensors serialization utils version".split()
)
_LEGACY = frozenset(d.scalar_name + "Tensor" for d in _dtype._by_code.values())


def __getattr__(name):
    made = _lazy.function(name)
    if made is not None:
        globals()[name] = made
        return made
    if name in _SUBMODULES:
        from importlib import import_module

        return import_module("taper." + name)
    if name in _LEGACY:
        from ._creation import legacy_types

        globals().update(legacy_types())
        return globals()[name]
    if name in ("save", "load"):
        from . import serialization

        globals()["save"], globals()["load"] = serialization.save, serialization.load
        return globals()[name]
    if name == "from_dlpack":
        from ._dlpack import from_dlpack

        globals()[name] = from_dlpack
        return from_dlpack
    if name in ("Stream", "Event"):
        from . import cuda

        return getattr(cuda, name)
    if name == "autocast":
        from .amp import autocast

        return autocast
    raise AttributeError(f"module 'taper' has no attribute '{name}'")


def __dir__():
    return sorted({*globals(), *_SUBMODULES, *_LEGACY, "save", "load", "from_dlpack", *_lazy.function_names()})


__all__ = [
    "Error",
    "Generator",
    "OutOfMemoryError",
    "Size",
    "Tensor",
    "as_tensor",
    "asarray",
    "default_generator",
    "device",
    "dtype",
    "enable_grad",
    "finfo",
    "from_numpy",
    "frombuffer",
    "get_default_dtype",
    "get_rng_state",
    "iinfo",
    "inference_mode",
    "initial_seed",
    "is_grad_enabled",
    "layout",
    "manual_seed",
    "memory_format",
    "no_grad",
    "seed",
    "set_grad_enabled",
    "set_rng_state",
    "tensor",
]
