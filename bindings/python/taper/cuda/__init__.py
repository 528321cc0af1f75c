"""CUDA devices: PyTorch's `torch.cuda`, as far as the library has it.

A device has one in-order queue; streams and events are accepted and mean that queue. Recorded work is in
`taper.cuda.graphs`."""

from .._devices import fill
from .._errors import OutOfMemoryError  # noqa: F401

_accelerator = fill(globals(), "cuda")
StreamContext = stream  # noqa: F821  (from fill)


def ipc_collect():
    """Accepted: memory is not shared between processes."""


_GRAPHS = ("CUDAGraph", "graph", "graph_pool_handle", "is_current_stream_capturing", "make_graphed_callables")


def __getattr__(name):
    if name in ("amp", "graphs"):
        from importlib import import_module

        return import_module("taper.cuda." + name)
    if name in _GRAPHS:
        from . import graphs

        return getattr(graphs, name)
    if name.endswith("Tensor"):
        from .._creation import legacy_types

        types = legacy_types("cuda")
        if name in types:
            globals().update(types)
            return types[name]
    raise AttributeError(f"module 'taper.cuda' has no attribute '{name}'")


def __dir__():
    return sorted({*globals(), *_GRAPHS, "amp"})
