"""`torch._assert`."""

from ._tensor import Tensor


def _assert(condition, message):
    """An AssertionError unless the condition holds; traced programs keep it."""
    if type(condition) is not Tensor and hasattr(type(condition), "__torch_function__"):
        from . import _subclass

        found = _subclass._overloading((condition,))
        if found:
            return _subclass.dispatch(_assert, found, (condition, message), {})
    assert condition, message


_assert.__module__ = "taper"
