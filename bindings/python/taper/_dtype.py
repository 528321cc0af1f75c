"""Element types, shapes, devices and the other small value classes."""

import builtins

from ._types_gen import DEVICE, DTYPES

_by_code = {}


class dtype:
    """An element type such as ``taper.float32``; its text is PyTorch's (``torch.float32``)."""

    __slots__ = ("name", "code", "itemsize", "is_floating_point", "is_signed", "format", "scalar_name")
    is_complex = property(lambda self: self.name.startswith("complex"))

    def __init__(self, name, code, itemsize, floating, signed, format, scalar_name):
        self.name = name
        self.code = code
        self.itemsize = itemsize
        self.is_floating_point = floating
        self.is_signed = signed
        self.format = format  # the letter of struct and array, None for bfloat16
        self.scalar_name = scalar_name
        _by_code[code] = self

    def __repr__(self):
        return "torch." + self.name

    def __reduce__(self):
        return self.name

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def to_complex(self):
        """The complex type whose parts are of this type."""
        if self.is_complex:
            return self
        if self.name == "float16":
            from ._absent_dtypes import absent

            return absent("complex32")
        if not self.is_floating_point:
            raise RuntimeError(f"Unknown Complex ScalarType for {self.scalar_name}")
        return globals()["complex128" if self.name == "float64" else "complex64"]

    def to_real(self):
        """The type of the parts of a complex number; a real type itself."""
        return globals()[_REAL[self.name]] if self.name in _REAL else self


dtype.__module__ = "taper"
_REAL = {"complex32": "float16", "complex64": "float32", "complex128": "float64"}

for _row in DTYPES:
    globals()[_row[0]] = _made = dtype(*_row[:-1])
    if _row[-1]:
        globals()[_row[-1]] = _made

ALIASES = tuple(row[-1] for row in DTYPES if row[-1])


def from_code(code):
    """The dtype of an ABI code."""
    return _by_code[code]


class Size(tuple):
    """The shape of a tensor: a tuple that prints as ``torch.Size([2, 3])``."""

    __slots__ = ()

    def __new__(cls, iterable=()):
        items = tuple(iterable)
        for i, v in enumerate(items):
            if type(v) is not builtins.int:
                try:
                    items = items[:i] + (v.__index__(),) + items[i + 1 :]
                except (AttributeError, TypeError):
                    raise TypeError(
                        f"torch.Size() takes an iterable of 'int' (item {i} is '{type(v).__name__}')"
                    ) from None
        return tuple.__new__(cls, items)

    def __repr__(self):
        return f"torch.Size([{', '.join(map(str, self))}])"

    def numel(self):
        """The number of elements of a tensor of this shape."""
        n = 1
        for v in self:
            n *= v
        return n

    def __getitem__(self, i):
        r = tuple.__getitem__(self, i)
        return tuple.__new__(Size, r) if type(i) is slice else r

    def __add__(self, other):
        if not isinstance(other, tuple):
            return NotImplemented
        return tuple.__new__(Size, tuple.__add__(self, other))

    def __radd__(self, other):
        if not isinstance(other, tuple):
            return NotImplemented
        return tuple.__new__(Size, tuple.__add__(tuple(other), tuple(self)))

    def __mul__(self, n):
        r = tuple.__mul__(self, n)
        return r if r is NotImplemented else tuple.__new__(Size, r)

    __rmul__ = __mul__

    def __reduce__(self):
        return (Size, (tuple(self),))


Size.__module__ = "taper"


class _Codes(dict):
    def __missing__(self, name):
        raise RuntimeError(f"Taper has no tensors on device '{name}': expected one of cpu, cuda, opencl, meta")


_DEVICE_CODES = _Codes({k.lower(): v for k, v in DEVICE.items()})
# PyTorch's other kinds of devices, which programs compare with: they can be named.
_OTHER_DEVICES = frozenset(
    "fpga hip hpu ideep ipu lazy maia mkldnn mps mtia opengl ort privateuseone ve vulkan xla xpu".split()
)
_DEVICE_NAMES = {v: k for k, v in _DEVICE_CODES.items()}
current = {}  # the index that a type without one means, where `set_device` has changed it


class device:
    """A device: ``device('cuda:1')``, ``device('cpu')``, ``device('opencl', 0)``; also a context manager
    that makes it the default for new tensors."""

    __slots__ = ("type", "index", "_c", "_previous")

    def __init__(self, device=None, index=None, *, type=None):
        spec = type if device is None else device
        if isinstance(spec, globals()["device"]):
            if index is None:
                index = spec.index
            spec = spec.type
        elif isinstance(spec, builtins.int) and not isinstance(spec, builtins.bool):
            spec, index = "cuda", spec
        elif not isinstance(spec, str):
            raise TypeError(f"Device(): argument 'type' must be str, not {spec.__class__.__name__}")
        elif ":" in spec:
            if index is not None:
                raise RuntimeError(
                    f"type (string) must not include an index because index was passed explicitly: {spec}"
                )
            name, _, number = spec.partition(":")
            if not number.isdecimal():
                raise RuntimeError(f"Invalid device string: '{spec}'")
            spec, index = name, builtins.int(number)
        if spec not in _DEVICE_CODES and spec not in _OTHER_DEVICES:
            raise RuntimeError(f"Expected one of cpu, cuda, opencl, meta device type at start of device string: {spec}")
        if index is not None and not 0 <= index <= 0xFFFF:
            raise RuntimeError(f"Device index must be between 0 and 65535, got {index}")
        self.type = spec
        self.index = index
        self._c = None
        self._previous = None

    def __repr__(self):
        if self.index is None:
            return f"device(type='{self.type}')"
        return f"device(type='{self.type}', index={self.index})"

    def __str__(self):
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other):
        if not isinstance(other, device):
            return NotImplemented
        return self.type == other.type and self.index == other.index

    def __hash__(self):
        return hash((self.type, self.index))

    def __reduce__(self):
        return (device, (self.type,) if self.index is None else (self.type, self.index))

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __enter__(self):
        from . import _c as c

        self._previous = (c.get_default_device(), self._previous)
        c.set_default_device(self)
        return self

    def __exit__(self, *exc):
        from . import _c as c

        previous, self._previous = self._previous
        c.set_default_device(previous)

    def __call__(self, function):
        from functools import wraps

        @wraps(function)
        def wrapper(*args, **kwargs):
            with device(self):
                return function(*args, **kwargs)

        return wrapper


device.__module__ = "taper"
cpu_device = device("cpu")


def device_from_codes(kind, index):
    """The device of the ABI's two numbers; the CPU and meta carry no index, as in PyTorch."""
    if kind == 1:
        return cpu_device
    name = _DEVICE_NAMES[kind]
    return device(name) if name == "meta" else device(name, index)


class layout:
    """How elements lie in memory; Taper has ``strided`` only."""

    __slots__ = ("name",)

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return "torch." + self.name

    def __reduce__(self):
        return self.name


class memory_format(layout):
    """Accepted where PyTorch accepts it; results are in row-major order."""

    __slots__ = ()


layout.__module__ = memory_format.__module__ = "taper"
strided = layout("strided")
sparse_coo = layout("sparse_coo")
preserve_format = memory_format("preserve_format")
contiguous_format = memory_format("contiguous_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")
