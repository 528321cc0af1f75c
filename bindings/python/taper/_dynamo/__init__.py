"""`torch._dynamo`: nothing is compiled (`taper.compiler`)."""

from ..compiler import allow_in_graph, disable, is_compiling, reset  # noqa: F401


def is_dynamo_supported():
    """False."""
    return False


def graph_break(msg=""):
    """Nothing to break."""


def mark_dynamic(t, index, **bounds):
    """Accepted."""


mark_static = maybe_mark_dynamic = mark_dynamic
