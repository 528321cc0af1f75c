"""Element types of PyTorch's that Taper has no tensors of: they can be named and compared, and refuse when a tensor is made."""

from ._dtype import dtype

_ROWS = {
    "complex32": (8, 4, False, True, "ComplexHalf"),
    "qint8": (12, 1, False, True, "QInt8"),
    "quint8": (13, 1, False, False, "QUInt8"),
    "qint32": (14, 4, False, True, "QInt32"),
    "quint4x2": (16, 1, False, False, "QUInt4x2"),
    "quint2x4": (17, 1, False, False, "QUInt2x4"),
    "float8_e5m2": (23, 1, True, True, "Float8_e5m2"),
    "float8_e4m3fn": (24, 1, True, True, "Float8_e4m3fn"),
    "float8_e5m2fnuz": (25, 1, True, True, "Float8_e5m2fnuz"),
    "float8_e4m3fnuz": (26, 1, True, True, "Float8_e4m3fnuz"),
    "uint16": (27, 2, False, False, "UInt16"),
    "uint32": (28, 4, False, False, "UInt32"),
    "uint64": (29, 8, False, False, "UInt64"),
    "float8_e8m0fnu": (44, 1, True, True, "Float8_e8m0fnu"),
    "float4_e2m1fn_x2": (45, 1, True, True, "Float4_e2m1fn_x2"),
}
_ALIASES = {"chalf": "complex32"}
NAMES = frozenset((*_ROWS, *_ALIASES))


class _Absent(dtype):
    __slots__ = ()

    def __init__(self, name, code, itemsize, floating, signed, scalar_name):
        self.name, self.code, self.itemsize = name, code, itemsize
        self.is_floating_point, self.is_signed = floating, signed
        self.format, self.scalar_name = None, scalar_name


_made = {}


def absent(name):
    """The stand-in for an element type."""
    name = _ALIASES.get(name, name)
    if name not in _made:
        _made[name] = _Absent(name, *_ROWS[name])
    return _made[name]


_Absent.__name__ = _Absent.__qualname__ = "dtype"
_Absent.__module__ = "taper"
