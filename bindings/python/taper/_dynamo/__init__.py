"""`torch._dynamo`: nothing is compiled (`taper.compiler`)."""

from types import SimpleNamespace

from ..compiler import allow_in_graph, assume_constant_result, disable, is_compiling, reset  # noqa: F401
from . import exc  # noqa: F401

# What a compiler would be told: kept, and read by nothing.
config = SimpleNamespace(
    cache_size_limit=8,
    recompile_limit=8,
    accumulated_cache_size_limit=256,
    capture_scalar_outputs=False,
    capture_dynamic_output_shape_ops=False,
    suppress_errors=False,
    verbose=False,
)


def is_dynamo_supported():
    """False."""
    return False


def graph_break(msg=""):
    """Nothing to break."""


def mark_dynamic(t, index, **bounds):
    """Accepted."""


mark_static = maybe_mark_dynamic = mark_dynamic


def mark_static_address(t, guard=True):
    """Accepted."""


def forbid_in_graph(fn):
    """The function itself."""
    return fn


nonstrict_trace = forbid_in_graph
