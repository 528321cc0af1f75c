"""The CPU backend. `winograd` says whether float32 convolutions of 3x3 may take Winograd's method, whose largest error is
about twice that of sums in place; `TAPER_WINOGRAD=0` has it False at the start."""

import sys
from types import ModuleType


def get_cpu_capability():
    """The instruction set that kernels use, in PyTorch's words."""
    from .._devices import properties

    return {"AVX-512": "AVX512", "AVX2": "AVX2"}.get(properties("cpu").version, "DEFAULT")


class _Module(ModuleType):
    @property
    def winograd(self):
        """Whether float32 convolutions of 3x3 may take Winograd's method, in all threads."""
        from .._c import proto

        return proto("get_conv_winograd")()

    @winograd.setter
    def winograd(self, allow):
        from .._c import proto

        proto("set_conv_winograd")(bool(allow))


sys.modules[__name__].__class__ = _Module
