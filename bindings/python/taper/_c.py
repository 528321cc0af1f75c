"""The ctypes layer: ABI structs, conversions, errors, and the hand-written part's prototypes.

Measured: passing handles and out-cells as plain integers to `c_void_p` parameters is the quickest way through
ctypes; a reused cell per thread saves an allocation a call.
"""

import struct
from _thread import _local
from ctypes import (
    CFUNCTYPE,
    ArgumentError,
    Structure,
    addressof,
    c_bool,
    c_char_p,
    c_double,
    c_int32,
    c_int64,
    c_size_t,
    c_uint32,
    c_uint64,
    c_void_p,
    cast,
    string_at,
)

from . import _dtype
from ._lib import lib, quick
from ._prototypes_gen import PROTOTYPES

V = c_void_p
# ValueError and RuntimeError: comparing an array or a tensor with a number where an int belongs.
BAD_ARGUMENT = (AttributeError, ArgumentError, TypeError, struct.error, ValueError, RuntimeError)


class Scalar(Structure):
    """taper_scalar: a number that keeps its category."""

    _fields_ = [("kind", c_int32), ("i", c_int64), ("f", c_double)]


class Device(Structure):
    """taper_device; type 0 means none."""

    _fields_ = [("type", c_int32), ("index", c_int32)]


class Cells(_local):
    """Out-parameters of the running thread: (cell, address) pairs, reused by every call."""

    def __init__(self):
        many = [c_void_p() for _ in range(6)]
        self.o = (many[0], addressof(many[0]))
        flat = [x for cell in many for x in (cell, addressof(cell))]
        self.o2, self.o3, self.o4, self.o5, self.o6 = (tuple(flat[: 2 * n]) for n in range(2, 7))
        sizes = (c_int64 * 64)()
        count = c_size_t()
        self.sizes = (sizes, addressof(sizes), count, addressof(count), memoryview(sizes).cast("B"))
        scalar = Scalar()
        self.scalar = (scalar, addressof(scalar))


tls = Cells()


# What the letters of the generated table stand for.
_LETTERS = {
    "-": None,
    "p": c_void_p,
    "s": c_char_p,
    "i": c_int32,
    "q": c_int64,
    "I": c_uint32,
    "Q": c_uint64,
    "z": c_size_t,
    "d": c_double,
    "?": c_bool,
    "D": Device,
    "S": Scalar,
}


def proto(name, *args, res=c_void_p, library=lib):
    """A C function with its prototype set: the specification's, or of the types given, where the default result is
    `taper_error *`."""
    f = library["taper_" + name]
    letters = PROTOTYPES.get(name)
    if letters is not None:
        res, *args = map(_LETTERS.__getitem__, letters)
    f.argtypes = args
    f.restype = res
    return f


# --- errors --------------------------------------------------------------------------------------------------

# Python objects that C holds: the pointer given to C is the key.
held = {}
_next_key = 0


def hold(obj):
    """Keeps obj alive until `released(key)`; the key goes to C as `void *user`."""
    global _next_key
    _next_key += 1
    held[_next_key] = obj
    return _next_key


@CFUNCTYPE(None, c_void_p)
def release_callback(key, _pop=held.pop):
    _pop(key, None)


release_address = cast(release_callback, c_void_p).value


def fail(e):
    """Raises what the error handle says, and frees it."""
    from ._errors import exception_of

    raise exception_of(e)


# --- numbers and lists -------------------------------------------------------------------------------------------

FLOAT, INT, BOOL, COMPLEX = 0, 1, 2, 3
_floats, _ints = {}, {}
TRUE, FALSE = Scalar(BOOL, 1, 1.0), Scalar(BOOL, 0, 0.0)


def scalar(v):
    """A taper_scalar of a Python or NumPy number or a one-element tensor."""
    t = type(v)
    if t is float:
        s = _floats.get(v)
        if s is None:
            s = Scalar(FLOAT, 0, v)
            if v and len(_floats) < 4096:  # 0.0 and -0.0 are the same key
                _floats[v] = s
        return s
    if t is int:
        s = _ints.get(v)
        if s is None:
            if not -(1 << 63) <= v < 1 << 63:
                raise OverflowError(f"Overflow when unpacking long long: {v} does not fit into 64 bits")
            s = Scalar(INT, v, float(v))
            if len(_ints) < 4096:
                _ints[v] = s
        return s
    if t is bool:
        return TRUE if v else FALSE
    return _other_scalar(v)


def _other_scalar(v):
    kind = getattr(getattr(v, "dtype", None), "kind", "")  # a NumPy scalar's category
    if kind == "b":
        return scalar(bool(v))
    if isinstance(v, complex):  # complex128 of NumPy among them
        return Scalar(COMPLEX, _bits(_double(v.imag))[0], v.real)
    if isinstance(v, (str, bytes)) or v is None:
        raise TypeError(f"must be Number, not {type(v).__name__}")
    if hasattr(v, "item") and getattr(v, "ndim", 0) == 0 or hasattr(v, "_h"):
        return scalar(v.item())
    if hasattr(type(v), "__index__"):
        return scalar(v.__index__())
    if isinstance(v, float) or hasattr(type(v), "__float__"):
        return scalar(float(v))
    raise TypeError(f"must be Number, not {type(v).__name__}")


_bits, _double = struct.Struct("q").unpack, struct.Struct("d").pack
ONE = scalar(1)


def from_scalar(s):
    """The Python number in a taper_scalar."""
    kind = s.kind
    if kind == COMPLEX:
        return complex(s.f, struct.unpack("d", struct.pack("q", s.i))[0])
    return s.f if kind == FLOAT else s.i if kind == INT else bool(s.i)


class _Packs(dict):
    """For each n, what packs n integers into `const int64_t *`."""

    def __missing__(self, n):
        pack = self[n] = struct.Struct(f"{n}q").pack
        return pack


PACKS = _Packs()
pack1 = PACKS[1]


def ints(v):
    """`const int64_t *` of a sequence of integers."""
    return PACKS[len(v)](*v)


def handles(tensors):
    """`taper_tensor *const *` of a list or tuple of tensors, which keeps them alive during the call."""
    if not isinstance(tensors, (list, tuple)):
        raise TypeError("must be tuple of Tensors")
    return struct.pack(f"{len(tensors)}Q", *[t._h for t in tensors])


def opt_handles(tensors):
    """Like `handles`, with None for absent tensors."""
    if not isinstance(tensors, (list, tuple)):
        raise TypeError("must be tuple of Tensors")
    return struct.pack(f"{len(tensors)}Q", *[0 if t is None else t._h for t in tensors])


# --- text ----------------------------------------------------------------------------------------------------------


def text(v):
    """`const char *` of a str; C would end at a NUL inside."""
    if "\0" in v:
        raise ValueError("embedded null character")
    return v.encode()


def path_bytes(path):
    """`const char *` of a path, which may be a str, bytes or an object with __fspath__."""
    from os import fsencode

    data = fsencode(path)
    if b"\0" in data:
        raise ValueError("embedded null byte")
    return data


# --- devices and dtypes --------------------------------------------------------------------------------------------

NO_DEVICE = Device(0, 0)


def to_device(d):
    """A `taper.device` of whatever names one."""
    return d if isinstance(d, _dtype.device) else _dtype.device(d)


def device_c(d):
    """taper_device of a device, its name or None (the library's default device)."""
    if d is None:
        return NO_DEVICE
    if not isinstance(d, _dtype.device):
        d = _dtype.device(d)
    c = d._c
    if c is None:
        if d.type == "cpu":
            c = d._c = Device(1, 0)
        elif d.index is None:
            return Device(_dtype._DEVICE_CODES[d.type], _dtype.current.get(d.type, 0))
        else:
            c = d._c = Device(_dtype._DEVICE_CODES[d.type], d.index)
    return c


def get_default_device():
    """The device of tensors whose creation names none."""
    d = _get_default_device()
    return _dtype.device_from_codes(d.type, d.index)


def set_default_device(d):
    """Makes d the device of tensors whose creation names none; None for the CPU."""
    e = _set_default_device(device_c("cpu" if d is None else d))
    if e:
        fail(e)


def get_default_dtype():
    """The dtype of tensors made from floats when none is named."""
    return _dtype.from_code(_get_default_dtype())


_PYTHON_TYPES = {float: _dtype.float64, int: _dtype.int64, bool: _dtype.bool}


def to_dtype(d):
    """A dtype of a dtype or of Python's `float`, `int`, `bool`."""
    if isinstance(d, _dtype.dtype):
        return d
    try:
        return _PYTHON_TYPES[d]
    except (KeyError, TypeError):
        raise TypeError(f"argument 'dtype' must be torch.dtype, not {type(d).__name__}") from None


# --- the hand-written part of the ABI ------------------------------------------------------------------------------

quickly = {"library": quick}
_get_default_device = proto("get_default_device", **quickly)
_set_default_device = proto("set_default_device")
_get_default_dtype = proto("get_default_dtype", **quickly)
set_default_dtype = proto("set_default_dtype")
handle_count = proto("handle_count", **quickly)
tensor_handle_count = proto("tensor_handle_count", **quickly)
tensor_free = proto("tensor_free", **quickly)
tensor_id = proto("tensor_id", **quickly)
# Grows when any tensor gets another shape, dtype or device; read in place, since every getter asks.
changes = memoryview(c_uint64.from_address(proto("tensor_changes_address", **quickly)())).cast("B").cast("Q")
tensor_ref = proto("tensor_ref", **quickly)
tensor_ndim = proto("tensor_ndim", **quickly)
tensor_numel = proto("tensor_numel", **quickly)
tensor_size = proto("tensor_size", **quickly)
tensor_sizes = proto("tensor_sizes", **quickly)
tensor_strides = proto("tensor_strides", **quickly)
tensor_dtype = proto("tensor_dtype", **quickly)
tensor_device = proto("tensor_device", **quickly)
tensor_storage_offset = proto("tensor_storage_offset", **quickly)
tensor_storage_nbytes = proto("tensor_storage_nbytes", **quickly)
tensor_storage_id = proto("tensor_storage_id", **quickly)
tensor_requires_grad = proto("tensor_requires_grad", **quickly)
tensor_set_requires_grad = proto("tensor_set_requires_grad", **quickly)
tensor_is_leaf = proto("tensor_is_leaf", **quickly)
tensor_retains_grad = proto("tensor_retains_grad", **quickly)
tensor_is_contiguous = proto("tensor_is_contiguous", **quickly)
tensor_grad = proto("tensor_grad", **quickly)
tensor_set_grad = proto("tensor_set_grad", **quickly)
tensor_grad_fn = proto("tensor_grad_fn", **quickly)
tensor_base = proto("tensor_base", **quickly)
tensor_version = proto("tensor_version", **quickly)
tensor_data = proto("tensor_data")
tensor_item = proto("tensor_item")
tensor_to_string = proto("tensor_to_string")
tensor_copy_to_host = proto("tensor_copy_to_host")
tensor_set_data = proto("tensor_set_data")
tensor_from_data = proto("tensor_from_data")
tensor_from_buffer = proto("tensor_from_buffer")
tensor_index = proto("tensor_index")
tensor_index_put = proto("tensor_index_put")
tensor_index_fill = proto("tensor_index_fill")
tensor_register_hook = proto("tensor_register_hook")
tensor_register_post_hook = proto("tensor_register_post_accumulate_grad_hook")
tensor_remove_hook = proto("tensor_remove_hook")
tensor_retain_grad = proto("tensor_retain_grad")
tensor_list_new = proto("tensor_list_new", **quickly)
tensor_list_len = proto("tensor_list_len", **quickly)
tensor_list_get = proto("tensor_list_get", **quickly)
tensor_list_free = proto("tensor_list_free", **quickly)
string_data = proto("string_data", **quickly)
string_len = proto("string_len", **quickly)
string_free = proto("string_free", **quickly)
node_name = proto("node_name", **quickly)
node_id = proto("node_id", **quickly)
node_next_len = proto("node_next_len", **quickly)
node_next = proto("node_next", **quickly)
node_free = proto("node_free", **quickly)


def backward(*args):  # noqa: F811
    """The first call on the main thread sees to it that Ctrl-C ends a backward pass."""
    global backward
    from . import _interrupt

    if _interrupt.install():
        backward = _backward
    return _backward(*args)


_backward = proto("backward")
grad = proto("grad")
grad_mode_enabled = proto("grad_mode_enabled", **quickly)
set_grad_mode = proto("set_grad_mode", **quickly)
inference_mode_enabled = proto("inference_mode_enabled", **quickly)
set_detect_anomaly = proto("set_detect_anomaly", **quickly)
detect_anomaly_enabled = proto("detect_anomaly_enabled", **quickly)
detect_anomaly_checks_nan = proto("detect_anomaly_checks_nan", **quickly)
set_inference_mode = proto("set_inference_mode", **quickly)
function_apply = proto("function_apply")
function_ctx_save_for_backward = proto("function_ctx_save_for_backward")
function_ctx_saved_tensors = proto("function_ctx_saved_tensors")
function_ctx_mark_dirty = proto("function_ctx_mark_dirty")
function_ctx_mark_non_differentiable = proto("function_ctx_mark_non_differentiable")
function_ctx_needs_input_grad = proto("function_ctx_needs_input_grad")
generator_new = proto("generator_new")
generator_default = proto("generator_default")
generator_manual_seed = proto("generator_manual_seed")
generator_seed = proto("generator_seed")
generator_initial_seed = proto("generator_initial_seed")
generator_get_state = proto("generator_get_state")
generator_set_state = proto("generator_set_state")
generator_set_algorithm = proto("generator_set_algorithm")
generator_algorithm = proto("generator_algorithm")
generator_free = proto("generator_free", **quickly)
manual_seed = proto("manual_seed")
seed = proto("seed")


def take_string(handle):
    """The text of an owned taper_string, which is freed."""
    try:
        return string_at(string_data(handle), string_len(handle)).decode()
    finally:
        string_free(handle)
