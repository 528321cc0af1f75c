"""The accelerator of this machine (`torch.accelerator`): CUDA where there is a CUDA device.

Programs written for PyTorch ask here where to put their tensors. An OpenCL driver alone, which may well drive the CPU, does
not change what they do: OpenCL is the accelerator only of those who say so, by `use("opencl")`, by `TAPER_ACCELERATOR=opencl`
in the environment, or by making it the default device."""

import os
from importlib import import_module

from ._dtype import device as _device

_chosen = None


def use(device_type):
    """Makes "cuda" or "opencl" the accelerator; None (or "auto") leaves it to the machine again."""
    global _chosen
    if isinstance(device_type, _device):
        device_type = device_type.type
    if device_type not in (None, "auto", "cuda", "opencl"):
        raise ValueError(f"accelerator.use: expected 'cuda', 'opencl', 'auto' or None, but got {device_type!r}")
    _chosen = device_type


def _candidates():
    chosen = _chosen or os.environ.get("TAPER_ACCELERATOR") or "auto"
    if chosen in ("cuda", "opencl"):
        return (chosen,)
    if chosen != "auto":
        raise ValueError(f"TAPER_ACCELERATOR: expected 'cuda', 'opencl' or 'auto', but got {chosen!r}")
    from ._settings import get_default_device

    return ("cuda", "opencl") if get_default_device().type == "opencl" else ("cuda",)


def _module(need=True):
    names = _candidates()
    for name in names:
        module = import_module("taper." + name)
        if module.is_available():
            return module
    if need:
        hint = "" if "opencl" in names else '; taper.accelerator.use("opencl") makes OpenCL the accelerator'
        raise RuntimeError(f"there is no accelerator: no device of {' or '.join(names)} can be used{hint}")
    return None


def is_available():
    """Whether there is a CUDA device, or an OpenCL device and the wish to use it."""
    return _module(need=False) is not None


def current_accelerator(check_available=False):
    """The accelerator's type as a device without an index, `device(type='opencl')`; None if there is none."""
    module = _module(need=False)
    return None if module is None else _device(module._accelerator.type)


def device_count():
    """How many devices the accelerator has."""
    module = _module(need=False)
    return 0 if module is None else module.device_count()


def current_device_index():
    """The index of the device that is meant when none is given."""
    return _module().current_device()


def set_device_index(device):
    """Makes a device the one that is meant when no index is given."""
    _module().set_device(device)


current_device_idx, set_device_idx = current_device_index, set_device_index


def current_stream(device=None):
    """The stream that work goes to."""
    return _module().current_stream(device)


def set_stream(stream):
    """Makes the stream's device the current one."""
    _module().set_stream(stream)


def synchronize(device=None):
    """Waits until all work queued on the device is done."""
    _module().synchronize(device)


def empty_cache():
    """Gives the memory that is kept for reuse back to the driver."""
    _module().empty_cache()


def memory_stats(device_index=None):
    """The allocator's statistics."""
    return _module().memory_stats(device_index)


def memory_allocated(device_index=None):
    """Bytes held by live tensors."""
    return _module().memory_allocated(device_index)


def max_memory_allocated(device_index=None):
    """Bytes held by live tensors at most."""
    return _module().max_memory_allocated(device_index)


def memory_reserved(device_index=None):
    """Bytes obtained from the driver."""
    return _module().memory_reserved(device_index)


def max_memory_reserved(device_index=None):
    """Bytes obtained from the driver at most."""
    return _module().max_memory_reserved(device_index)


def reset_peak_memory_stats(device_index=None):
    """Lets the peaks start anew from what is held now."""
    _module().reset_peak_memory_stats(device_index)


class device_index:
    """Within the block another device is the current one."""

    def __init__(self, device):
        self._guard = (lambda m: getattr(m, "device_guard", m.device))(_module())(device)

    def __enter__(self):
        self._guard.__enter__()

    def __exit__(self, *exc):
        self._guard.__exit__(*exc)
