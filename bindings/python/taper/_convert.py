"""Tensors from and to lists, NumPy arrays and pickles. NumPy is imported when an array is first asked for."""

import struct
from ctypes import addressof, c_char

from . import _c, _dtype
from ._c import fail, tls
from ._dtype import from_code
from ._tensor import Tensor, wrap

_new = object.__new__

# --- bytes -----------------------------------------------------------------------------------------------------------


def from_bytes(data, shape, dtype, device=None):
    """A tensor with a copy of row-major bytes."""
    o, p = tls.o
    d = _c.device_c(_c.get_default_device() if device is None else device)
    e = _c.tensor_from_data(data, _c.ints(shape), len(shape), dtype.code, d, p)
    if e:
        fail(e)
    return wrap(o.value)


def to_bytes(t):
    """The elements row-major, as a bytearray."""
    n = t.numel() * t.element_size()
    data = bytearray(n)
    if n:
        view = (c_char * n).from_buffer(data)
        e = _c.tensor_copy_to_host(t._h, addressof(view), n)
        if e:
            fail(e)
    return data


# --- lists -----------------------------------------------------------------------------------------------------------


def _nest(flat, shape):
    for n in reversed(shape[1:]):
        if n == 0:
            # Nothing to group: the outer sizes alone say how many empty lists there are.
            return _empty(shape)
        flat = [flat[i : i + n] for i in range(0, len(flat), n)]
    return flat


def _empty(shape):
    return [] if len(shape) == 1 else [_empty(shape[1:]) for _ in range(shape[0])]


def tolist(t):
    """The elements as nested lists of Python numbers."""
    if t.ndim == 0:
        return t.item()
    if t.dtype is _dtype.bfloat16:
        t = t.detach().to(_dtype.float32)
    data = to_bytes(t)
    if t.dtype.is_complex:
        parts = iter(struct.unpack(f"{2 * t.numel()}{t.dtype.to_real().format}", data))
        return _nest(list(map(complex, parts, parts)), t.shape)
    flat = list(struct.unpack(f"{t.numel()}{t.dtype.format}", data))
    return _nest(flat, t.shape)


# --- NumPy -----------------------------------------------------------------------------------------------------------

_TYPESTR = {
    "|u1": _dtype.uint8,
    "|i1": _dtype.int8,
    "<i2": _dtype.int16,
    "<i4": _dtype.int32,
    "<i8": _dtype.int64,
    "<f2": _dtype.float16,
    "<f4": _dtype.float32,
    "<f8": _dtype.float64,
    "|b1": _dtype.bool,
    "<c8": _dtype.complex64,
    "<c16": _dtype.complex128,
}
_TO_TYPESTR = {d: s for s, d in _TYPESTR.items()}


def from_numpy(array):
    """A tensor that shares a NumPy array's memory: writes to one are seen in the other.

    An array whose elements lie at odd addresses is copied, with a warning: kernels read whole elements.
    """
    try:
        interface = array.__array_interface__
    except AttributeError:
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})") from None
    dtype = _TYPESTR.get(interface["typestr"])
    if dtype is None:
        text = getattr(array, "dtype", interface["typestr"])
        kind = getattr(text, "type", None)
        if interface["typestr"][0] == ">":
            raise ValueError(
                "given numpy array has byte order different from the native byte order. Conversion between byte orders is currently not supported."
            )
        raise TypeError(
            f"can't convert np.ndarray of type {kind.__module__ + '.' + kind.__name__ if kind else text}. The only supported types are: "
            "float64, float32, float16, complex64, complex128, int64, int32, int16, int8, uint8, and bool."
        )
    shape, strides = interface["shape"], interface["strides"]
    pointer, read_only = interface["data"]
    if strides is not None:
        size = dtype.itemsize
        if any(s % size for s in strides):
            raise ValueError(
                "given numpy array strides not a multiple of the element byte size. Copy the numpy array to reallocate the memory."
            )
        if any(s < 0 for s in strides):
            raise ValueError(
                "At least one stride in the given numpy array is negative, and tensors with negative strides are not "
                "currently supported. (You can probably work around this by making a copy of your array  with array.copy().) "
            )
        strides = _c.ints([s // size for s in strides])
    if read_only:
        import warnings

        warnings.warn(
            "The given NumPy array is not writable, and PyTorch does not support non-writable tensors. This means writing "
            "to this tensor will result in undefined behavior. You may want to copy the array to protect its data or make "
            "it writable before converting it to a tensor.",
            stacklevel=2,
        )
    if pointer % dtype.itemsize and 0 not in shape:
        _warn_of_copy("NumPy array")
        return from_numpy(array.copy())
    o, p = tls.o
    key = _c.hold(array)
    e = _c.tensor_from_buffer(pointer, _c.ints(shape), len(shape), strides, dtype.code, _c.release_address, key, p)
    if e:
        fail(e)
    return wrap(o.value)


def _warn_of_copy(what):
    import warnings

    warnings.warn(
        f"The elements of the given {what} do not lie at multiples of their size in memory: the tensor is a copy and does not "
        "share it.",
        stacklevel=3,
    )


def from_buffer(buffer, dtype, shape, offset=0):
    """A tensor over a writable buffer's memory, which lives as long as the tensor."""
    view = (c_char * (len(memoryview(buffer).cast("B")) - offset)).from_buffer(buffer, offset)
    if addressof(view) % dtype.itemsize and all(shape):
        _warn_of_copy("buffer")
        return from_bytes(view.raw, shape, dtype, "cpu")
    o, p = tls.o
    key = _c.hold(view)
    e = _c.tensor_from_buffer(addressof(view), _c.ints(shape), len(shape), None, dtype.code, _c.release_address, key, p)
    if e:
        fail(e)
    return wrap(o.value)


class _Exported:
    """What a shared array's `base` holds: the memory's description and the tensor that owns it."""

    __slots__ = ("__array_interface__", "tensor")


def to_numpy(t, force=False):
    """A NumPy array over the tensor's memory."""
    if force:
        t = t.detach().cpu()
    if t.requires_grad:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
    device = t.device
    if device.type != "cpu":
        raise TypeError(
            f"can't convert {device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
        )
    dtype = t.dtype
    typestr = _TO_TYPESTR.get(dtype)
    if typestr is None:
        raise TypeError(f"Got unsupported ScalarType {dtype.scalar_name}")
    import numpy

    if t.numel() == 0:
        return numpy.empty(tuple(t.shape), typestr)
    exported = _Exported()
    # A handle of its own, so that the memory lives as long as the array, whatever becomes of t.
    exported.tensor = t.detach()
    exported.__array_interface__ = {
        "version": 3,
        "typestr": typestr,
        "shape": tuple(t.shape),
        "strides": tuple([s * dtype.itemsize for s in t.stride()]),
        "data": (exported.tensor.data_ptr(), False),
    }
    return numpy.asarray(exported)


# --- pickles ---------------------------------------------------------------------------------------------------------


def _rebuild(cls, data, code, shape, requires_grad, state, device="cpu"):
    t = from_bytes(bytes(data), shape, from_code(code), device)
    if cls is not Tensor:
        plain, t = t, _new(cls)
        t._h, plain._h = plain._h, 0
    if requires_grad:
        t.requires_grad_(True)
    if state:
        t.__dict__.update(state)
    return t


def pickled(t):
    """What pickle stores: the elements, and whether a gradient is wanted; the graph stays behind, as in PyTorch."""
    state = t.__dict__ or None
    return (
        _rebuild,
        (type(t), bytes(to_bytes(t)), t.dtype.code, tuple(t.shape), t.requires_grad, state, str(t.device)),
    )


# --- deep copies -----------------------------------------------------------------------------------------------------


def deepcopied(t, memo):
    """`Tensor.__deepcopy__` of a leaf: tensors that share memory do so again, through the memo."""
    from copy import deepcopy

    from . import _ops
    from ._subclass import Disabled

    with Disabled():
        dtype = t.dtype
        # The whole storage is copied, once. The memo keeps the tensors, so that its identity stays taken.
        key = ("taper storage", _c.tensor_storage_id(t._h), dtype.name)
        found = memo.get(key)
        if found is None:
            count = _c.tensor_storage_nbytes(t._h) // dtype.itemsize
            found = memo[key] = _ops.clone(_ops.as_strided(_ops.detach(t), (count,), (1,), 0)), t
        made = _ops.detach(_ops.as_strided(found[0], t.shape, t.stride(), t.storage_offset()))
        cls = type(t)
        if cls is not Tensor:
            plain, made = made, _new(cls)
            made._h, plain._h = plain._h, 0
        memo[id(t)] = made
        if t.requires_grad:
            made.requires_grad_(True)
        if t.grad is not None:
            made.grad = deepcopy(t.grad, memo)
        if t.__dict__:
            made.__dict__.update(deepcopy(t.__dict__, memo))
    return made
