"""What packages import to say how their ops are written as ONNX; nothing here is called, since nothing is written."""

from . import _refused


def parse_args(*descriptors):
    """Decorates a function: itself."""
    return lambda f: f


def quantized_args(*descriptors, **options):
    """Decorates a function: itself."""
    return lambda f: f


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)

    def refused(*args, **kwargs):
        raise _refused(f"torch.onnx.{name}")

    return refused
