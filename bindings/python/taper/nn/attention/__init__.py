"""Which kernels attention may use. There is one here for each device; the names are kept, and switch nothing."""

from __future__ import annotations

from contextlib import contextmanager
from enum import IntEnum

__all__ = ["SDPBackend", "sdpa_kernel", "WARN_FOR_UNFUSED_KERNELS"]

WARN_FOR_UNFUSED_KERNELS = False


class SDPBackend(IntEnum):
    """The kinds of kernels that PyTorch has."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4

    def __repr__(self):
        return f"<SDPBackend.{self.name}: {self.value}>"

    def __str__(self):
        return f"SDPBackend.{self.name}"


_ORDER = ("CUDNN_ATTENTION", "FLASH_ATTENTION", "EFFICIENT_ATTENTION", "MATH", "OVERRIDEABLE")
_enabled = [SDPBackend[name] for name in _ORDER]


def _cur_sdpa_kernel_backends(with_priority: bool = False):
    return list(_enabled)


@contextmanager
def sdpa_kernel(backends: list[SDPBackend] | SDPBackend, set_priority: bool = False):
    """Names the kernels that attention may use in a region. Every device has one, so that values do not depend on it."""
    global _enabled
    if not isinstance(backends, (list, SDPBackend)):
        raise AssertionError(
            "Backend must be an instance of SDPBackend or a list of SDPBackend instances, "
            f"got {type(backends).__name__}"
        )
    named = [backends] if isinstance(backends, SDPBackend) else list(dict.fromkeys(backends))
    before = _enabled
    _enabled = named if set_priority else [SDPBackend[n] for n in _ORDER if SDPBackend[n] in named]
    try:
        yield {}
    finally:
        _enabled = before
