"""What `taper.cuda` and `taper.opencl` share: discovery, memory, the current device, streams and events."""

import ctypes
from ctypes import Structure, addressof, byref, c_bool, c_char, c_double, c_int32, c_uint64

from . import _c, _dtype

_KINDS = ("other", "cpu", "gpu", "accelerator")


class _Raw(Structure):
    """taper_device_properties."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("device", _c.Device),
        ("kind", c_int32),
        ("compute_units", c_int32),
        *[(n, c_uint64) for n in ("total_memory", "max_allocation", "local_memory", "dtypes")],
        *[(n, c_int32) for n in ("max_work_group", "clock_mhz", "native_float16", "unified_memory", "major", "minor")],
        ("name", c_char * 256),
        *[(n, c_char * 128) for n in ("vendor", "version", "driver", "platform")],
    ]


class DeviceProperties:
    """What a device is and can do. `name`, `vendor`, `version`, `driver`, `platform` are texts, `kind` is 'cpu', 'gpu',
    'accelerator' or 'other'; memory is in bytes; `dtypes` are those whose tensors the device can hold."""

    def __init__(self, raw):
        self.device = _dtype.device_from_codes(raw.device.type, raw.device.index)
        for n in ("name", "vendor", "version", "driver", "platform"):
            setattr(self, n, getattr(raw, n).decode("utf-8", "replace"))
        self.kind = _KINDS[raw.kind] if 0 <= raw.kind < len(_KINDS) else "other"
        self.multi_processor_count = self.compute_units = raw.compute_units
        self.total_memory, self.max_allocation = raw.total_memory, raw.max_allocation
        self.shared_memory_per_block = self.local_memory = raw.local_memory
        self.dtypes = tuple(d for d in _dtype._by_code.values() if raw.dtypes >> d.code & 1)
        self.max_threads_per_block = self.max_work_group = raw.max_work_group
        self.clock_rate = raw.clock_mhz * 1000  # kHz, as in PyTorch
        self.native_float16 = bool(raw.native_float16)
        self.is_integrated = self.unified_memory = bool(raw.unified_memory)
        self.major, self.minor = raw.major, raw.minor

    @property
    def fp64(self):
        """Whether float64 works."""
        return _dtype.float64 in self.dtypes

    def __repr__(self):
        shown = f"name={self.name!r}, kind={self.kind!r}, vendor={self.vendor!r}, version={self.version!r}"
        if self.major:
            shown = f"name={self.name!r}, major={self.major}, minor={self.minor}"
        return (
            f"DeviceProperties({shown}, driver={self.driver!r}, platform={self.platform!r}, "
            f"total_memory={self.total_memory >> 20}MB, multi_processor_count={self.multi_processor_count}, "
            f"fp64={self.fp64})"
        )


DeviceProperties.__module__ = "taper"


def properties(device):
    """The DeviceProperties of a device; an error says why there is none."""
    raw = _Raw(struct_size=ctypes.sizeof(_Raw))
    e = _c.proto("device_get_properties")(_c.device_c(device), addressof(raw))
    if e:
        _c.fail(e)
    return DeviceProperties(raw)


def check(device):
    """An error that says why, if a device cannot be used."""
    e = _c.proto("device_check")(_c.device_c(device))
    if e:
        _c.fail(e)


def why_not(device):
    """Why a device cannot be used, as text; None if it can."""
    try:
        check(device)
    except RuntimeError as error:
        return str(error)
    return None


def find(name, type=None):
    """The first device whose name, platform, vendor or version contains `name`, in any case; of one type ('opencl') or any."""
    found = _c.Device()
    code = 0 if type is None else _dtype._DEVICE_CODES[type]
    e = _c.proto("device_find")(code, _c.text(name), addressof(found))
    if e:
        _c.fail(e)
    return _dtype.device_from_codes(found.type, found.index)


class _MemoryInfo(Structure):
    _fields_ = [(n, c_uint64) for n in ("allocated", "allocated_peak", "reserved", "reserved_peak", "allocations")]


class Accelerator:
    """The functions of `taper.cuda` or `taper.opencl`, bound to one type of device."""

    def __init__(self, type):
        self.type, self.title = type, {"cuda": "CUDA", "opencl": "OpenCL"}[type]

    def _device(self, device=None):
        """A device of this type: of an index, a name such as 'opencl:1', a `taper.device`, or None for the current one."""
        if device is None or isinstance(device, int) and device < 0:
            return _dtype.device(self.type, self.current())
        if isinstance(device, int):
            return _dtype.device(self.type, device)
        d = _c.to_device(device)
        if d.type != self.type:
            raise ValueError(f"Expected a {self.type} device, but got: {device}")
        return d if d.index is not None else _dtype.device(self.type, self.current())

    def current(self):
        return _dtype.current.get(self.type, 0)

    def _need(self):
        if not self.is_available():
            check(_dtype.device(self.type, 0))

    def device_count(self):
        """The number of devices; 0 where the driver is missing."""
        n = c_int32()
        e = _c.proto("device_count")(_dtype._DEVICE_CODES[self.type], byref(n))
        if e:
            _c.fail(e)
        return n.value

    def is_available(self):
        """Whether there is a device of this type."""
        return self.device_count() > 0

    def is_initialized(self):
        """Whether there is a device; it is opened when it is first used."""
        return self.is_available()

    def init(self):
        """Opens the current device; an error says why it cannot be used."""
        check(self._device())

    def current_device(self):
        """The index of the device that is meant when none is given."""
        self._need()
        return self.current()

    def set_device(self, device):
        """Makes a device the one that is meant when no index is given; a negative index changes nothing."""
        if isinstance(device, int) and device < 0:
            return
        d = self._device(device)
        check(d)
        _dtype.current[self.type] = d.index

    def get_device_properties(self, device=None):
        """A device's DeviceProperties."""
        return properties(self._device(device))

    def get_device_name(self, device=None):
        """A device's name."""
        return self.get_device_properties(device).name

    def get_device_capability(self, device=None):
        """A device's compute capability as (major, minor)."""
        p = self.get_device_properties(device)
        return p.major, p.minor

    def is_bf16_supported(self, including_emulation=True):
        """Whether bfloat16 tensors work; by hardware alone when emulation does not count."""
        if not self.is_available():
            return False
        return including_emulation or self.get_device_capability()[0] >= 8

    def synchronize(self, device=None):
        """Waits until all work queued on the device is done."""
        e = _c.proto("synchronize")(_c.device_c(self._device(device)))
        if e:
            _c.fail(e)

    def memory_info(self, device=None):
        info = _MemoryInfo()
        if self.is_available():  # as in PyTorch, zeros where there is nothing to ask
            e = _c.proto("memory_stats")(_c.device_c(self._device(device)), addressof(info))
            if e:
                _c.fail(e)
        return info

    def memory_allocated(self, device=None):
        """Bytes held by live tensors."""
        return self.memory_info(device).allocated

    def max_memory_allocated(self, device=None):
        """Bytes held by live tensors at most, since the start or reset_peak_memory_stats."""
        return self.memory_info(device).allocated_peak

    def memory_reserved(self, device=None):
        """Bytes obtained from the driver: live and kept for reuse."""
        return self.memory_info(device).reserved

    def max_memory_reserved(self, device=None):
        """Bytes obtained from the driver at most."""
        return self.memory_info(device).reserved_peak

    def memory_stats(self, device=None):
        """The allocator's statistics under PyTorch's keys."""
        m = self.memory_info(device)
        return {
            "allocated_bytes.all.current": m.allocated,
            "allocated_bytes.all.peak": m.allocated_peak,
            "reserved_bytes.all.current": m.reserved,
            "reserved_bytes.all.peak": m.reserved_peak,
            "allocation.all.allocated": m.allocations,
        }

    def memory_summary(self, device=None, abbreviated=False):
        """The statistics as text."""
        lines = [f"{self.title} memory of {self._device(device)}"]
        lines += [f"  {name:<30} {value}" for name, value in self.memory_stats(device).items()]
        return "\n".join(lines)

    def reset_peak_memory_stats(self, device=None):
        """Lets the peaks start anew from what is held now."""
        if self.is_available():
            e = _c.proto("memory_reset_peak")(_c.device_c(self._device(device)))
            if e:
                _c.fail(e)

    def empty_cache(self):
        """Gives the memory that is kept for reuse back to the driver."""
        if self.is_available():
            e = _c.proto("memory_empty_cache")(_c.device_c(self._device()))
            if e:
                _c.fail(e)

    def mem_get_info(self, device=None):
        """Free and total memory in bytes. OpenCL does not tell what other processes hold."""
        free, total = c_uint64(), c_uint64()
        e = _c.proto("memory_get_info")(_c.device_c(self._device(device)), byref(free), byref(total))
        if e:
            _c.fail(e)
        return free.value, total.value

    def manual_seed(self, seed):
        """Seeds what devices draw from the default generator; the CPU's numbers stay as they are."""
        from ._random import to_seed

        _c.proto("manual_seed_devices")(to_seed(seed))

    def manual_seed_all(self, seed):
        """The same as manual_seed: all devices draw from one generator."""
        self.manual_seed(seed)

    def seed(self):
        """Seeds what devices draw from the system's entropy."""
        import secrets

        self.manual_seed(secrets.randbits(53))

    def seed_all(self):
        """The same as seed."""
        self.seed()

    def initial_seed(self):
        """The default generator's seed."""
        from ._random import initial_seed

        return initial_seed()


class DeviceGuard:
    """Within the block another device of the type is the current one: `with taper.cuda.device(1):`."""

    accelerator = None

    def __init__(self, device):
        self.idx = -1 if device is None else self.accelerator._device(device).index
        self.prev_idx = -1

    def __enter__(self):
        self.prev_idx = self.accelerator.current()
        self.accelerator.set_device(self.idx)
        return self

    def __exit__(self, *exc):
        _dtype.current[self.accelerator.type] = self.prev_idx


class Stream:
    """A device's queue of work. A device has one, in order: all streams of a device are that one, so waiting for
    another stream has nothing to wait for."""

    accelerator = None

    def __init__(self, device=None, priority=0, **kwargs):
        self.device = self.accelerator._device(device)
        check(self.device)
        self.priority = priority

    def synchronize(self):
        """Waits until all work queued so far is done."""
        self.accelerator.synchronize(self.device)

    def query(self):
        """Whether all work queued so far is done."""
        return self.record_event().query()

    @property
    def cuda_stream(self):
        """The handle of this thread's stream, for other libraries (CUDA)."""
        from ._dlpack import own_stream

        return own_stream(self.device)

    def record_event(self, event=None):
        """Records an event here; a new one when none is given."""
        event = self.accelerator.Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event):
        """Work queued later waits for the event."""
        event.wait(self)

    def wait_stream(self, stream):
        """Work queued later waits for the stream; on one device it is the same queue."""
        if stream.device != self.device:
            stream.synchronize()

    def __eq__(self, other):
        return isinstance(other, Stream) and self.device == other.device

    def __hash__(self):
        return hash(self.device)

    def __repr__(self):
        return f"<taper.{self.accelerator.type}.Stream device={self.device}>"


class Event:
    """A mark in a device's queue. On CUDA nothing waits when it is recorded; OpenCL devices are waited for then."""

    accelerator = None

    def __init__(self, enable_timing=False, blocking=False, interprocess=False, external=False):
        self.enable_timing = bool(enable_timing)
        self.device = None
        self._h = None

    def record(self, stream=None):
        """Marks this point of the queue."""
        device = self.accelerator._device() if stream is None else stream.device
        if self._h is None or device != self.device:
            self._close()
            o, p = _c.tls.o
            self._call("event_new", _c.device_c(device), self.enable_timing, p)
            self._h, self.device = o.value, device
        self._call("event_record", self._h)

    def elapsed_time(self, end_event):
        """Milliseconds from this event to another, both recorded with timing and done."""
        if not (self.enable_timing and end_event.enable_timing):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self._h is None or end_event._h is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        out = c_double()
        self._call("event_elapsed_time", self._h, end_event._h, addressof(out))
        return out.value

    def wait(self, stream=None):
        """What this thread queues later waits for the event; the host does not."""
        if self._h is not None:
            self._call("event_wait", self._h)

    def query(self):
        """Whether the work before the event is done."""
        if self._h is None:
            return True
        out = c_bool()
        self._call("event_query", self._h, addressof(out))
        return out.value

    def synchronize(self):
        """Waits for the work before the event."""
        if self._h is not None:
            self._call("event_synchronize", self._h)

    @staticmethod
    def _call(name, *args):
        e = _c.proto(name)(*args)
        if e:
            _c.fail(e)

    def _close(self):
        h, self._h = self._h, None
        if h is not None:
            _free_event(h)

    def __del__(self):
        try:
            self._close()
        except (AttributeError, TypeError):  # the interpreter ends
            pass

    def __repr__(self):
        return f"<taper.{self.accelerator.type}.Event {'uninitialized' if self._h is None else hex(self._h)}>"


_free_event = _c.proto("event_free", library=_c.quick)


class StreamGuard:
    """Within the block a stream is the current one: `with taper.cuda.stream(s):`."""

    accelerator = None

    def __init__(self, stream):
        self.stream = stream
        self._previous = None

    def __enter__(self):
        if self.stream is not None:
            self._previous = self.accelerator.current()
            self.accelerator.set_device(self.stream.device)
        return self

    def __exit__(self, *exc):
        if self._previous is not None:
            _dtype.current[self.accelerator.type] = self._previous


_FUNCTIONS = [n for n in vars(Accelerator) if not n.startswith("_") and n not in ("current", "memory_info")]


def fill(module, type):
    """Puts the functions and classes of a type of device into a module; returns its Accelerator."""
    accelerator = Accelerator(type)
    where = "taper." + type
    module.update({n: getattr(accelerator, n) for n in _FUNCTIONS})

    def bound(base, name):
        return _type(name, (base,), {"accelerator": accelerator, "__module__": where, "__doc__": base.__doc__})

    for base, name in ((DeviceGuard, "device"), (Stream, "Stream"), (Event, "Event"), (StreamGuard, "stream")):
        module[name] = bound(base, name)
    accelerator.Event = module["Event"]

    def current_stream(device=None):
        """The stream that work goes to: a device has one."""
        return module["Stream"](device)

    def set_stream(stream):
        """Makes the stream's device the current one."""
        accelerator.set_device(stream.device)

    module.update(current_stream=current_stream, default_stream=current_stream, set_stream=set_stream)
    module["memory_cached"] = accelerator.memory_reserved
    module["max_memory_cached"] = accelerator.max_memory_reserved
    module["reset_max_memory_allocated"] = accelerator.reset_peak_memory_stats
    module["_DeviceProperties"] = DeviceProperties
    return accelerator


_type = type
