"""Limits of the dtypes: `finfo`, `iinfo`."""

from ._c import get_default_dtype
from ._dtype import bfloat16, dtype, float16, float32, float64
from ._dtype import bool as bool_dtype

# dtype: (bits, eps, max, smallest normal, smallest subnormal, decimal resolution)
_FLOATS = {
    float16: (16, 2.0**-10, 65504.0, 2.0**-14, 2.0**-24, 1e-3),
    bfloat16: (16, 2.0**-7, (2 - 2.0**-7) * 2.0**127, 2.0**-126, 2.0**-133, 1e-2),
    float32: (32, 2.0**-23, (2 - 2.0**-23) * 2.0**127, 2.0**-126, 2.0**-149, 1e-6),
    float64: (64, 2.0**-52, (2 - 2.0**-52) * 2.0**1023, 2.0**-1022, 5e-324, 1e-15),
}

# Of dtypes that can be named alone: (eps, min, max, smallest normal), with 8 bits.
_NAMED = {
    "float8_e4m3fn": (2.0**-3, -448.0, 448.0, 2.0**-6),
    "float8_e4m3fnuz": (2.0**-3, -240.0, 240.0, 2.0**-7),
    "float8_e5m2": (2.0**-2, -57344.0, 57344.0, 2.0**-14),
    "float8_e5m2fnuz": (2.0**-2, -57344.0, 57344.0, 2.0**-15),
    "float8_e8m0fnu": (1.0, 2.0**-127, 2.0**127, 2.0**-127),
}


def _named(name, value):
    if not isinstance(value, dtype):
        raise TypeError(f"{name}(): argument 'type' (position 1) must be torch.dtype, not {value.__class__.__name__}")


class finfo:
    """Limits of a floating-point dtype; of the default dtype when none is given."""

    __slots__ = ("dtype", "bits", "eps", "max", "min", "tiny", "smallest_normal", "smallest_subnormal", "resolution")

    def __init__(self, type=None):
        if type is None:
            type = get_default_dtype()
        _named("finfo", type)
        if type.is_complex:
            type = type.to_real()
        if type.name in _NAMED:
            self.eps, self.min, self.max, self.tiny = _NAMED[type.name]
            self.bits, self.smallest_normal, self.resolution, self.dtype = 8, self.tiny, 1.0, type.name
            self.smallest_subnormal = self.tiny if self.min > 0 else self.tiny * self.eps
            return
        if type not in _FLOATS:
            raise TypeError(f"torch.finfo() requires a floating point input type. Use torch.iinfo to handle '{type}'")
        self.bits, self.eps, self.max, self.smallest_normal, self.smallest_subnormal, self.resolution = _FLOATS[type]
        self.min = -self.max
        self.tiny = self.smallest_normal
        self.dtype = type.name

    def __repr__(self):
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:
    """Limits of an integer dtype."""

    __slots__ = ("dtype", "bits", "min", "max")

    def __init__(self, type):
        _named("iinfo", type)
        if type.is_floating_point or type.is_complex or type is bool_dtype:
            raise TypeError(f"torch.iinfo() requires an integer input type. Use torch.finfo to handle '{type}'")
        self.bits = type.itemsize * 8
        self.max = 2 ** (self.bits - type.is_signed) - 1
        self.min = -(2 ** (self.bits - 1)) if type.is_signed else 0
        self.dtype = type.name

    def __repr__(self):
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"


finfo.__module__ = iinfo.__module__ = "taper"
