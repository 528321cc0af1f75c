"""CUDA devices, as far as the library has them."""

from ctypes import Structure, addressof, byref, c_uint64

from .. import _c
from .._c import fail
from .._dtype import device as _device


def device_count():
    """The number of CUDA devices that can be used."""
    n = _c.c_int32()
    e = _c.proto("device_count", _c.c_int32, _c.V)(2, byref(n))
    if e:
        fail(e)
    return n.value


def is_available():
    """Whether there is a CUDA device."""
    return device_count() > 0


def _need(what):
    if not is_available():
        raise RuntimeError(f"{what}: no CUDA device can be used: this build or machine has none")


_current = 0


def current_device():
    """The index of the device that 'cuda' means."""
    _need("current_device")
    return _current


def set_device(device):
    """Accepted for device 0; programs name their devices."""
    global _current
    index = device if isinstance(device, int) else (_c.to_device(device).index or 0)
    if index < 0:
        return
    _need("set_device")
    _current = index


def get_device_name(device=None):
    _need("get_device_name")
    return f"cuda:{_current if device is None else device}"


def get_device_capability(device=None):
    _need("get_device_capability")
    return (0, 0)


def is_bf16_supported(including_emulation=True):
    return is_available()


def is_initialized():
    return is_available()


def init():
    pass


def synchronize(device=None):
    """Waits until all work queued on the device is done."""
    if is_available():
        e = _c.proto("synchronize", _c.Device)(_c.device_c(_device("cuda" if device is None else device)))
        if e:
            fail(e)


class _MemoryInfo(Structure):
    _fields_ = [(n, c_uint64) for n in ("allocated", "allocated_peak", "reserved", "reserved_peak", "allocations")]


def memory_info(device):
    """Statistics of a device's memory."""
    info = _MemoryInfo()
    e = _c.proto("memory_stats", _c.Device, _c.V)(_c.device_c(device), addressof(info))
    if e:
        fail(e)
    return info


def _memory(field):
    def function(device=None):
        if not is_available():
            return 0
        return getattr(memory_info(_device("cuda" if device is None else device)), field)

    return function


memory_allocated, max_memory_allocated = _memory("allocated"), _memory("allocated_peak")
memory_reserved, max_memory_reserved = _memory("reserved"), _memory("reserved_peak")
memory_cached = memory_reserved


def memory_summary(device=None, abbreviated=False):
    """The statistics as text."""
    if not is_available():
        return "no CUDA device"
    info = memory_info(_device("cuda" if device is None else device))
    return "\n".join(f"{n}: {getattr(info, n)} bytes" for n, _ in _MemoryInfo._fields_)


def reset_peak_memory_stats(device=None):
    """Accepted; the library's peaks count from the start of the process."""


reset_max_memory_allocated = reset_peak_memory_stats


def empty_cache():
    """Gives the memory that the allocator keeps for reuse back."""
    if is_available():
        e = _c.proto("memory_empty_cache", _c.Device)(_c.device_c(_device("cuda")))
        if e:
            fail(e)


def manual_seed(seed):
    """Seeds the generators of CUDA: none without a device."""


def manual_seed_all(seed):
    """Seeds the generators of CUDA: none without a device."""


def seed_all():
    pass


def is_current_stream_capturing():
    return False


class device:
    """Selects a device within a block."""

    def __init__(self, device):
        self.index = device

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass


def __getattr__(name):
    if name == "amp":
        from .. import amp

        return amp
    if name.endswith("Tensor"):
        from .._creation import legacy_types

        types = legacy_types("cuda")
        if name in types:
            globals().update(types)
            return types[name]
    raise AttributeError(f"module 'taper.cuda' has no attribute '{name}'")
