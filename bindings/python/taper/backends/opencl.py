"""The OpenCL backend."""


def is_built():
    """Whether this library has an OpenCL backend at all."""
    from .._devices import why_not

    return "this build of Taper has no backend" not in (why_not("opencl") or "")


def is_available():
    """Whether there is an OpenCL device."""
    from ..opencl import is_available

    return is_available()
