"""`t[...]` and `t[...] = value`: index expressions become the C ABI's index items."""

import struct
import warnings

from . import _c
from ._c import fail, scalar, tensor_index, tls
from ._dtype import bool as bool_dtype
from ._dtype import int64, uint8
from ._tensor import Tensor

_pack = struct.Struct("i4xqqqQ").pack
_ABSENT = -(1 << 63)
_LARGE = 1 << 62
_new = object.__new__
_INT, _SLICE, _NEWAXIS, _ELLIPSIS, _TENSOR, _BOOL = range(6)
_item_newaxis = _pack(_NEWAXIS, 0, 0, 0, 0)
_item_ellipsis = _pack(_ELLIPSIS, 0, 0, 0, 0)
_item_all = _pack(_SLICE, _ABSENT, _ABSENT, 1, 0)


def _bound(v):
    if v is None:
        return _ABSENT
    try:
        v = v.__index__()
    except AttributeError:
        raise TypeError("slice indices must be integers or None or have an __index__ method") from None
    # Beyond 64 bits a slice's end is as good as the end.
    return max(min(v, (1 << 63) - 1), 1 - (1 << 63))


def _slice(s):
    step = 1 if s.step is None else s.step.__index__()
    if step <= 0:
        raise ValueError("step must be greater than zero")
    # Beyond 64 bits a step is as good as one that leads past the end.
    return _pack(_SLICE, _bound(s.start), _bound(s.stop), min(step, _LARGE), 0)


def _int(v):
    try:
        return _pack(_INT, v, 0, 0, 0)
    except struct.error:
        raise IndexError(f"index {v} is out of range for 64 bits") from None


def _one(i, keep):
    """The item of one part of an index; tensors that must live until the call are appended to keep."""
    t = type(i)
    if t is int:
        return _int(i)
    if t is slice:
        return _item_all if i.start is None and i.stop is None and i.step is None else _slice(i)
    if i is None:
        return _item_newaxis
    if i is Ellipsis:
        return _item_ellipsis
    if t is bool:
        return _pack(_BOOL, i, 0, 0, 0)
    if isinstance(i, Tensor):
        dtype = i.dtype
        if dtype.is_floating_point or dtype.is_complex:
            raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
        if i.ndim == 0 and dtype is not bool_dtype and dtype is not uint8:
            return _int(i.item())
        keep.append(i)
        return _pack(_TENSOR, 0, 0, 0, i._h)
    kind = getattr(getattr(i, "dtype", None), "kind", "")
    if kind == "b" and getattr(i, "ndim", 1) == 0:  # a bool of NumPy
        return _pack(_BOOL, bool(i), 0, 0, 0)
    if hasattr(i, "__index__") and getattr(i, "ndim", 0) == 0:
        return _int(i.__index__())
    if isinstance(i, (list, tuple, range)) or hasattr(i, "__array_interface__"):
        from ._creation import as_tensor, tensor

        made = (
            tensor(i, dtype=int64, device="cpu")
            if not isinstance(i, range) and len(i) == 0
            else as_tensor(i if not isinstance(i, range) else list(i), device="cpu")
        )
        return _one(made, keep)
    raise IndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices "
        f"(got {t.__name__})"
    )


def _as_tuple(index):
    """Whether a list stands for the tuple of its items: one of them is no number. PyTorch takes it so, and warns."""
    return len(index) < 32 and any(
        i is None or i is Ellipsis or isinstance(i, (Tensor, slice, list, tuple, range)) or getattr(i, "ndim", 0) > 0
        for i in index
    )


def _items(index, keep):
    if type(index) is tuple:
        return b"".join([_one(i, keep) for i in index]), len(index)
    if isinstance(index, list) and _as_tuple(index):
        warnings.warn(
            "Using a non-tuple sequence for multidimensional indexing is deprecated and will be changed in pytorch 2.9; use "
            "x[tuple(seq)] instead of x[seq]. In pytorch 2.9 this will be interpreted as tensor index, x[torch.tensor(seq)], "
            "which will result either in an error or a different result",
            stacklevel=4,
        )
        return _items(tuple(index), keep)
    return _one(index, keep), 1


def getitem(self, index):
    """The elements that the index selects: a view unless it holds tensors, lists or arrays."""
    keep = []
    if type(index) is int and -_LARGE < index < _LARGE:
        items, n = _pack(_INT, index, 0, 0, 0), 1
    else:
        items, n = _items(index, keep)
    o, p = tls.o
    e = tensor_index(self._h, items, n, p)
    if e:
        fail(e)
    h = o.value
    r = _new(Tensor)
    r._h = h
    return r


def setitem(self, index, value):
    """Writes a number, tensor, array or sequence to the elements that the index selects."""
    keep = []
    items, n = _items(index, keep)
    if isinstance(value, Tensor):
        e = _c.tensor_index_put(self._h, items, n, value._h)
    elif type(value) in (int, float, bool):
        e = _c.tensor_index_fill(self._h, items, n, scalar(value))
    elif hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        e = _c.tensor_index_fill(self._h, items, n, scalar(value.item()))
    else:
        from ._creation import tensor

        try:
            value = tensor(value, dtype=self.dtype, device=self.device)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"can't assign a {type(value).__name__} to a torch.{self.type().split('.')[-1]}") from None
        e = _c.tensor_index_put(self._h, items, n, value._h)
    if e:
        fail(e)


Tensor.__getitem__ = getitem
Tensor.__setitem__ = setitem
