"""Switches of cuDNN. `allow_tf32` says whether convolutions of float32 may use TF32; the others are accepted and
remembered: Taper's results do not depend on timing, so `deterministic` changes nothing."""

import sys
from types import ModuleType

enabled = True
deterministic = True
benchmark = False
benchmark_limit = 10


def is_available():
    """Whether convolutions go to cuDNN where their layout allows: it is found and a CUDA device is there."""
    from ..cuda import is_available

    return is_available() and version() is not None


def version():
    """cuDNN's version as a number, 91900 say; None where the library is not found or not wanted."""
    from .._c import proto

    return proto("cudnn_version")() or None


def is_acceptable(tensor):
    """Whether cuDNN would be used for a tensor."""
    return enabled and is_available() and tensor.is_cuda


class _Module(ModuleType):
    @property
    def allow_tf32(self):
        """Whether convolutions of float32 may use TF32 on CUDA."""
        from .._c import proto

        return proto("get_conv_allow_tf32")()

    @allow_tf32.setter
    def allow_tf32(self, allow):
        from .._c import proto

        proto("set_conv_allow_tf32")(bool(allow))


sys.modules[__name__].__class__ = _Module


class flags:
    """Within the block the switches have other values."""

    def __init__(self, enabled=False, benchmark=False, benchmark_limit=10, deterministic=False, allow_tf32=True):
        self._values = {
            "enabled": enabled,
            "benchmark": benchmark,
            "benchmark_limit": benchmark_limit,
            "deterministic": deterministic,
            "allow_tf32": allow_tf32,
        }

    def __enter__(self):
        self._before = {name: getattr(sys.modules[__name__], name) for name in self._values}
        self._set(self._values)

    def __exit__(self, *exc):
        self._set(self._before)

    def _set(self, values):
        for name, value in values.items():
            setattr(sys.modules[__name__], name, value)
