"""OpenCL devices: what `taper.cuda` is for CUDA, and the choice of a device by name.

`TAPER_OPENCL_DEVICE`, a comma-separated list of numbers or parts of names, narrows and orders the devices that a process
sees; `TAPER_OPENCL_LIBRARY` names the OpenCL loader, if it is not where the system looks."""

from . import _dtype
from ._devices import check, fill, find
from ._devices import why_not as _why_not

_accelerator = fill(globals(), "opencl")
device_guard = globals()["device"]


def device(which=None):
    """The device of an index, of a name (part of a device's name, platform, vendor or version, in any case), or the
    current one: `x.to(taper.opencl.device("pocl"))`. An error lists the devices that there are."""
    if isinstance(which, str) and not which.startswith("opencl"):
        return find(which, "opencl")
    d = _accelerator._device(which)
    check(d)
    return d


def why_not():
    """The reason why there is no OpenCL device, as text; None if there is one."""
    return _why_not(_dtype.device("opencl", 0))
