"""Tensors from Python data: `tensor`, `as_tensor`, and the legacy constructors."""

import struct

from . import _c, _dtype, _ops
from ._convert import from_bytes, from_numpy
from ._dtype import Size
from ._tensor import Tensor, wrap

_new = object.__new__


def _infer_shape(data):
    """The shape of nested sequences, by their first elements."""
    shape = []
    while isinstance(data, (list, tuple, range)) or _has_len(data):
        shape.append(len(data))
        if len(shape) > 64:
            raise ValueError(f"too many dimensions '{type(data).__name__}'")
        if not len(data):
            break
        data = data[0]
    return shape, data


def _has_len(v):
    if isinstance(v, (str, bytes, dict, set)):
        return False
    if isinstance(v, Tensor) or hasattr(v, "__array_interface__"):
        return v.ndim > 0
    return hasattr(type(v), "__len__") and hasattr(type(v), "__getitem__")


def _flatten(data, shape, depth, out, kinds):
    """Appends the elements to `out`; `kinds` collects their Python types, or the dtypes that they or their arrays carry."""
    if depth == len(shape):
        if _has_len(data) or isinstance(data, (list, tuple)):
            raise ValueError(
                "only one element tensors can be converted to Python scalars"
                if isinstance(data, Tensor)
                else f"expected sequence of length {len(data)} at dim {depth} (got {len(data)})"
            )
        out.append(data)
        _kinds_of((data,), kinds)
        return
    try:
        n = len(data)
    except TypeError:
        raise TypeError("not a sequence") from None
    if n != shape[depth]:
        raise ValueError(f"expected sequence of length {shape[depth]} at dim {depth} (got {n})")
    if depth + 1 == len(shape):
        if isinstance(data, Tensor) or hasattr(data, "tolist"):
            kinds.add(data.dtype)
            data = data.tolist()
        else:
            _kinds_of(data, kinds)
        out.extend(data)
    else:
        for d in data:
            _flatten(d, shape, depth + 1, out, kinds)


_NUMBERS = {int, float, bool, complex}


def _kinds_of(values, kinds):
    found = set(map(type, values))
    if not found <= _NUMBERS:
        found = {getattr(v, "dtype", type(v)) for v in values}
    kinds |= found


def _number(v):
    """A Python number of an element: numbers of NumPy, one-element tensors."""
    if isinstance(v, Tensor) or hasattr(v, "dtype") and hasattr(v, "item"):
        return v.item()
    if isinstance(v, (int, float, complex)):
        return v
    if hasattr(type(v), "__index__"):
        return v.__index__()
    if hasattr(type(v), "__float__") and not isinstance(v, str):
        return float(v)
    raise _type_error(v)


def _type_error(v):
    if isinstance(v, str):
        return TypeError(f"new(): invalid data type '{type(v).__name__}'")
    if v is None:
        return RuntimeError("Could not infer dtype of NoneType")
    return RuntimeError(f"Could not infer dtype of {type(v).__name__}")


def _infer_dtype(kinds):
    """The dtype that elements of these Python types and dtypes have in common."""
    if kinds <= _NUMBERS:
        if complex in kinds:
            return _c.get_default_dtype().to_complex()
        if not kinds or float in kinds:
            return _c.get_default_dtype()
        return _dtype.int64 if int in kinds else _dtype.bool
    from ._functions import promote_types

    found = None
    for k in kinds:
        if not isinstance(k, _dtype.dtype):
            name = getattr(k, "name", None)  # of a NumPy dtype
            if name is None:
                # What has no dtype of its own counts as the Python number that it becomes.
                if k is not bool and k is not complex:
                    k = int if hasattr(k, "__index__") else float
                k = _infer_dtype({k})
            else:
                k = getattr(_dtype, name, None)
                if not isinstance(k, _dtype.dtype):
                    return _c.get_default_dtype()
        found = k if found is None else promote_types(found, k)
    return found


def _pack(flat, dtype):
    letter = dtype.format
    if dtype is _dtype.bool:
        return bytes([1 if v else 0 for v in flat])
    if dtype.is_complex:
        parts = [part for v in flat for part in ((v.real, v.imag) if isinstance(v, complex) else (v, 0.0))]
        return _pack(parts, dtype.to_real())
    if any(isinstance(v, complex) for v in flat):
        raise TypeError("must be real number, not complex")
    if dtype.is_floating_point:
        try:
            return struct.pack(f"{len(flat)}{letter}", *flat)
        except (struct.error, OverflowError):
            # struct refuses what does not fit into a float; the tensor gets infinity, as in PyTorch.
            return struct.pack(f"{len(flat)}{letter}", *[_clip(v, dtype) for v in flat])
    try:
        return struct.pack(f"{len(flat)}{letter}", *flat)
    except struct.error:
        bits = dtype.itemsize * 8
        flat = [int(v) for v in flat]
        for v in flat:
            if dtype is _dtype.uint8 and -256 < v < 0:
                continue
            if not -(1 << (bits - 1)) <= v < (1 << bits if dtype is _dtype.uint8 else 1 << (bits - 1)):
                if bits == 64:
                    raise ValueError("Overflow when unpacking long long") from None
                raise RuntimeError(f"value cannot be converted to type {_C_NAMES[dtype]} without overflow") from None
        return struct.pack(f"{len(flat)}{letter}", *[v & 0xFF if dtype is _dtype.uint8 else v for v in flat])


_C_NAMES = {_dtype.uint8: "uint8_t", _dtype.int8: "int8_t", _dtype.int16: "int16_t", _dtype.int32: "int"}


def _clip(v, dtype):
    from ._limits import finfo

    v = float(v)
    limit = finfo(dtype).max
    return v if -limit <= v <= limit or v != v else float("inf") if v > 0 else float("-inf")


def _from_data(data, dtype, device):
    """A new tensor of any data that `tensor` takes; always a copy."""
    if isinstance(data, Tensor):
        t = data.detach().clone()
        if type(t) is not Tensor:
            from ._subclass import plain

            t = plain(t)
        return t if dtype is None and device is None else t.to(device=device, dtype=dtype)
    if hasattr(data, "__array_interface__") and not isinstance(data, (list, tuple)):
        if getattr(data, "ndim", 1) == 0 and data.dtype.kind not in "fiubc":
            raise _type_error(data.item())
        if data.dtype.kind == "O":
            raise TypeError(
                "can't convert np.ndarray of type numpy.object_. The only supported types are: float64, float32, float16, "
                "complex64, complex128, int64, int32, int16, int8, uint64, uint32, uint16, uint8, and bool."
            )
        import numpy

        t = from_numpy(numpy.array(data, order="C", copy=True))
        return t.to(device=device if device is not None else _c.get_default_device(), dtype=dtype or t.dtype)
    shape, _ = _infer_shape(data)
    if isinstance(data, (str, bytes)) or isinstance(_, (str, bytes)):
        v = _
        if shape:
            raise ValueError(f"too many dimensions '{type(v).__name__}'")
        raise _type_error(v)
    flat, kinds = [], set()
    _flatten(data, shape, 0, flat, kinds)
    if not kinds <= _NUMBERS:
        flat = [_number(v) for v in flat]
    if dtype is None:
        dtype = _infer_dtype(kinds)
    if dtype is _dtype.bfloat16:
        return from_bytes(_pack(flat, _dtype.float32), shape, _dtype.float32, device).to(dtype)
    return from_bytes(_pack(flat, dtype), shape, dtype, device)


def _wanted(device):
    """The device for data that lies on one: the named one, else a default device other than the CPU, else None (stay)."""
    if device is not None:
        return device
    default = _c.get_default_device()
    return None if default.type == "cpu" else default


def tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False):
    """A tensor with a copy of data: a number, nested sequences, a NumPy array or a tensor."""
    if dtype is not None and not isinstance(dtype, _dtype.dtype):
        dtype = _c.to_dtype(dtype)
    if isinstance(data, Tensor):
        import warnings

        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
            "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
            stacklevel=2,
        )
        device = _wanted(device)
    t = _from_data(data, dtype, device)
    if requires_grad:
        t.requires_grad_(True)
    return t


def as_tensor(data, dtype=None, device=None):
    """Data as a tensor, without copying where a tensor or array already has the dtype and device."""
    if dtype is not None and not isinstance(dtype, _dtype.dtype):
        dtype = _c.to_dtype(dtype)
    device = _wanted(device)
    if isinstance(data, Tensor):
        return data if dtype is None and device is None else data.to(device=device, dtype=dtype)
    if hasattr(data, "__array_interface__") and getattr(data, "ndim", 0) > 0:
        t = from_numpy(data)
        return t if dtype is None and device is None else t.to(device=device, dtype=dtype)
    return _from_data(data, dtype, device)


def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=False):
    """Data as a tensor; copied when copy is True, shared when it can be otherwise."""
    if type(obj).__name__ == "UntypedStorage" and hasattr(obj, "_bytes"):
        obj = obj._bytes() if dtype is None else obj._bytes().view(dtype)
    device = _wanted(device)
    if copy:
        t = _from_data(obj, dtype, device)
    elif hasattr(obj, "__dlpack__") and not isinstance(obj, Tensor) and not hasattr(obj, "__array_interface__"):
        from ._dlpack import from_dlpack

        t = from_dlpack(obj)
        t = t if dtype is None and device is None else t.to(device=device, dtype=dtype)
    else:
        t = as_tensor(obj, dtype, device)
    return t.detach().requires_grad_(True) if requires_grad else t


def frombuffer(buffer, *, dtype, count=-1, offset=0, requires_grad=False):
    """A one-dimensional tensor over a buffer's memory."""
    from ._convert import from_buffer

    size = len(memoryview(buffer).cast("B"))
    if count < 0:
        if (size - offset) % dtype.itemsize:
            raise ValueError(
                f"buffer length ({size - offset} bytes) after offset ({offset} bytes) must be a multiple of element size ({dtype.itemsize})"
            )
        count = (size - offset) // dtype.itemsize
    if count * dtype.itemsize + offset > size:
        raise ValueError(
            f"requested buffer length ({count} * {dtype.itemsize} bytes) after offset ({offset} bytes) must not be greater "
            f"than actual buffer length ({size} bytes)"
        )
    if memoryview(buffer).readonly:
        raise ValueError("the buffer is read-only; copy it into a bytearray first")
    t = from_buffer(buffer, dtype, (count,), offset)
    return t.requires_grad_(True) if requires_grad else t


# --- legacy constructors -----------------------------------------------------------------------------------------------


def adopt(cls, plain):
    """Makes a tensor an instance of a subclass of Tensor, taking its handle over."""
    if cls is Tensor:
        return plain
    t = _new(cls)
    t._h, plain._h = plain._h, 0
    return t


def legacy_new(cls, dtype, args, device=None, **kwargs):
    """`Tensor(2, 3)`, `Tensor([1, 2])`, `FloatTensor(other)`."""
    dtype = dtype or _c.get_default_dtype()
    if "size" in kwargs:
        args = (kwargs.pop("size"),)
    if "data" in kwargs:
        args = (kwargs.pop("data"),)
    if kwargs:
        raise TypeError(f"new(): unexpected keyword arguments {', '.join(kwargs)}")
    if not args:
        t = _ops.empty((0,), dtype=dtype, device=device)
    elif len(args) == 1 and not isinstance(args[0], int):
        data = args[0]
        if isinstance(data, Tensor):
            t = data.detach() if data.dtype is dtype or cls is not Tensor else data.to(dtype)
            if t is data:
                t = wrap_again(data)
        elif isinstance(data, Size):
            t = _ops.empty(data, dtype=dtype, device=device)
        elif isinstance(data, (list, tuple)) or hasattr(data, "__len__"):
            t = _from_data(data, dtype, device)
        else:
            raise TypeError(f"new(): data must be a sequence (got {type(data).__name__})")
    else:
        t = _ops.empty(args, dtype=dtype, device=device)
    return adopt(cls, t)


def wrap_again(t):
    """Another object for the same tensor."""
    from ._c import fail, tensor_ref, tls

    o, p = tls.o
    e = tensor_ref(t._h, p)
    if e:
        fail(e)
    return wrap(o.value)


class _LegacyMeta(type):
    def __instancecheck__(cls, instance):
        return isinstance(instance, Tensor) and instance.dtype is cls.dtype and instance.device.type == cls.device_type

    def __repr__(cls):
        return f"<class 'torch.{'cuda.' if cls.device_type == 'cuda' else ''}{cls.__name__}'>"


def legacy_types(device_type="cpu"):
    """FloatTensor, LongTensor and their like: constructors, and dtypes for `type()`."""
    types = {}
    for dtype in (
        _dtype.float32,
        _dtype.float64,
        _dtype.float16,
        _dtype.bfloat16,
        _dtype.uint8,
        _dtype.int8,
        _dtype.int16,
        _dtype.int32,
        _dtype.int64,
        _dtype.bool,
        _dtype.complex64,
        _dtype.complex128,
    ):
        name = dtype.scalar_name + "Tensor"

        def make(cls, *args, device=None):
            return legacy_new(Tensor, cls.dtype, args, device or cls.device_type)

        types[name] = _LegacyMeta(
            name, (), {"__new__": make, "dtype": dtype, "device_type": device_type, "__module__": "taper"}
        )
    return types
