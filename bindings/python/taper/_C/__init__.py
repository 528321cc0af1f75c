"""A few names of PyTorch's own core that packages look for; there is no more of it."""

from .._dtype import Size, device, dtype  # noqa: F401
from .._random import Generator, default_generator  # noqa: F401
from .._tensor import Tensor

TensorBase = _TensorBase = Tensor


def _log_api_usage_once(event):
    """Accepted: nothing is logged."""


def _get_tracing_state():
    """None: programs run as Python."""
    return None


def _is_tracing(*args):
    return False


def _jit_clear_class_registry():
    """Nothing to clear."""


def _cuda_isCurrentStreamCapturing():
    return False


class DisableTorchFunctionSubclass:
    """Inside, tensors of derived classes count as tensors."""

    def __enter__(self):
        from .._subclass import Disabled

        self._inner = Disabled()
        self._inner.__enter__()

    def __exit__(self, *exc):
        self._inner.__exit__(*exc)


DisableTorchFunction = DisableTorchFunctionSubclass


class _Keys(type):
    def __getattr__(cls, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return name


class DispatchKey(metaclass=_Keys):
    """Names of PyTorch's dispatcher; Taper has none."""


class DispatchKeySet:
    """A set of such names."""

    def __init__(self, *keys):
        self._keys = frozenset(keys)

    def __or__(self, other):
        made = DispatchKeySet()
        made._keys = self._keys | (other._keys if isinstance(other, DispatchKeySet) else {other})
        return made

    def has(self, key):
        return key in self._keys


class _ExcludeDispatchKeyGuard:
    """Nothing is dispatched: a block without effect."""

    def __init__(self, keys):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass


ExcludeDispatchKeyGuard = _AutoDispatchBelowAutograd = _ExcludeDispatchKeyGuard


class Graph:
    """Of TorchScript's graphs: for annotations and isinstance; nothing makes one."""

    def __init__(self, *args, **kwargs):
        raise RuntimeError(f"torch._C.{type(self).__name__}: Taper has no TorchScript; programs run as Python")


class Node(Graph):
    """As Graph."""


class Value(Graph):
    """As Graph."""


class Block(Graph):
    """As Graph."""


def __getattr__(name):
    from importlib import import_module

    if name == "_nn":
        return import_module("taper._C." + name)
    if name in ("OutOfMemoryError",):
        from .._errors import OutOfMemoryError

        return OutOfMemoryError
    if name == "Future":
        from ..futures import Future

        return Future
    raise AttributeError(f"module 'taper._C' has no attribute '{name}': Taper has PyTorch's public names")
