"""The accelerator of this machine, whichever it is: CUDA where there is a CUDA device, else OpenCL (`torch.accelerator`)."""

from importlib import import_module

from ._dtype import device as _device


def _module(need=True):
    for name in ("cuda", "opencl"):
        module = import_module("taper." + name)
        if module.is_available():
            return module
    if need:
        raise RuntimeError("there is no accelerator: no CUDA device and no OpenCL device can be used")
    return None


def is_available():
    """Whether there is a CUDA or OpenCL device."""
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
