"""DLPack: tensors shared with other libraries without copying."""

from ctypes import CFUNCTYPE, addressof, c_char_p, c_int, c_uint64, c_void_p, cast, py_object, pythonapi

from . import _c
from ._c import fail, tls
from ._tensor import Tensor, wrap

_new = pythonapi.PyCapsule_New
_new.restype, _new.argtypes = py_object, (c_void_p, c_char_p, c_void_p)
_pointer = pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = c_void_p, (py_object, c_char_p)
_valid = pythonapi.PyCapsule_IsValid
_valid.restype, _valid.argtypes = c_int, (py_object, c_char_p)
_rename = pythonapi.PyCapsule_SetName
_rename.restype, _rename.argtypes = c_int, (py_object, c_char_p)

# PyCapsule keeps the pointer to its name: these objects live as long as the module.
_NAMES = {False: (b"dltensor", b"used_dltensor"), True: (b"dltensor_versioned", b"used_dltensor_versioned")}

_is_named = CFUNCTYPE(c_int, c_void_p, c_char_p)(cast(pythonapi.PyCapsule_IsValid, c_void_p).value)
_raw_pointer = CFUNCTYPE(c_void_p, c_void_p, c_char_p)(cast(pythonapi.PyCapsule_GetPointer, c_void_p).value)


def _deleter(managed, versioned):
    """Calls the deleter inside an exported struct."""
    # DLManagedTensorVersioned: version (8 bytes), manager_ctx, deleter. DLManagedTensor: dl_tensor (48), ctx, deleter.
    at = managed + (16 if versioned else 56)
    function = c_void_p.from_address(at).value
    if function:
        CFUNCTYPE(None, c_void_p)(function)(managed)


@CFUNCTYPE(None, c_void_p)
def _destroy(capsule):
    # A capsule that nobody has taken still owns its tensor.
    for versioned, (name, _) in _NAMES.items():
        if _is_named(capsule, name):
            _deleter(_raw_pointer(capsule, name), versioned)


def _ready(t, stream):
    """Makes the receiver's stream wait for what is queued on a tensor of a CUDA device: the array API's `stream`."""
    if stream is None:
        stream = 1  # CUDA's default stream
    if type(stream) is not int:
        raise TypeError(f"stream must be an int or None, not {type(stream).__name__}")
    if stream == 0:
        raise ValueError("stream 0 is ambiguous: use 1 for CUDA's default stream, 2 for the thread's")
    if stream == -1:  # the receiver needs no order
        return
    if stream < -1:
        raise ValueError(f"stream must be -1, 1, 2 or a stream's handle, got {stream}")
    e = _c.proto("tensor_ready_on")(t._h, stream)
    if e:
        fail(e)


def own_stream(device):
    """The handle of the CUDA stream that this thread's work on a device goes to."""
    out = c_uint64()
    e = _c.proto("device_get_stream")(_c.device_c(device), addressof(out))
    if e:
        fail(e)
    return out.value


def cuda_array_interface(t):
    """`Tensor.__cuda_array_interface__`, version 3, for CUDA's default stream."""
    if not t.is_cuda:
        raise AttributeError(
            f"Can't get __cuda_array_interface__ on non-CUDA tensor type: {t.type()} If CUDA data is required use "
            "tensor.cuda() to copy tensor to device memory."
        )
    if t.requires_grad:
        raise RuntimeError(
            "Can't get __cuda_array_interface__ on Variable that requires grad. If gradients aren't required, use "
            "var.detach() to get Variable that doesn't require grad."
        )
    kind = _TYPES.get(str(t.dtype))
    if kind is None:
        raise TypeError(f"__cuda_array_interface__ has no type for {t.dtype}")
    size = t.element_size()
    _ready(t, 1)
    return {
        "typestr": kind,
        "shape": tuple(t.shape),
        "strides": None if t.is_contiguous() else tuple(s * size for s in t.stride()),
        "data": (t.data_ptr() if t.numel() else 0, False),
        "version": 3,
        "stream": 1,
    }


_TYPES = {
    "torch.float16": "<f2",
    "torch.float32": "<f4",
    "torch.float64": "<f8",
    "torch.uint8": "|u1",
    "torch.int8": "|i1",
    "torch.int16": "<i2",
    "torch.int32": "<i4",
    "torch.int64": "<i8",
    "torch.bool": "|b1",
}


def to_capsule(t, max_version=None, dl_device=None, copy=None, stream=None):
    """A capsule over the tensor's memory; the old form unless the receiver asks for version 1."""
    if t.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if dl_device is not None and tuple(dl_device) != t.__dlpack_device__():
        raise BufferError(
            f"the tensor is on device {t.__dlpack_device__()}, export to {tuple(dl_device)} is not supported"
        )
    if t.device.type not in ("cpu", "cuda"):
        raise BufferError(f"the memory of a tensor on {t.device} cannot be shared; copy it with Tensor.cpu() first")
    if copy:
        t = t.clone()
    if t.is_cuda:
        _ready(t, stream)
    elif stream not in (None, -1):
        raise BufferError(f"stream must be None for a tensor on the CPU, got {stream}")
    versioned = max_version is not None and max_version[0] >= 1
    name = "tensor_to_dlpack" if versioned else "tensor_to_dlpack_legacy"
    o, p = tls.o
    e = _c.proto(name)(t._h, p)
    if e:
        fail(e)
    return _new(o.value, _NAMES[versioned][0], cast(_destroy, c_void_p).value)


def from_dlpack(source, *, device=None, copy=None):
    """A tensor over the memory of another library's array, or of a DLPack capsule."""
    if hasattr(source, "__dlpack__"):
        if isinstance(source, Tensor):
            capsule = source.__dlpack__(max_version=(1, 0))
        else:
            options = {}
            where = source.__dlpack_device__() if hasattr(source, "__dlpack_device__") else (1, 0)
            if where[0] in (2, 13):  # CUDA: the other library makes our stream wait for its own
                options["stream"] = own_stream(f"cuda:{int(where[1])}")
            try:
                capsule = source.__dlpack__(max_version=(1, 0), **options)
            except TypeError:  # a library of before DLPack 1.0
                capsule = source.__dlpack__(**options)
    else:
        capsule = source
        from . import cuda

        if cuda.is_available():  # nobody has said what the memory still waits for
            for i in range(cuda.device_count()):
                cuda.synchronize(i)
    for versioned, (name, used) in _NAMES.items():
        if _valid(capsule, name):
            managed = _pointer(capsule, name)
            _rename(capsule, used)  # from here on the library owns it
            o, p = tls.o
            e = _c.proto("tensor_from_dlpack" if versioned else "tensor_from_dlpack_legacy")(managed, p)
            if e:
                fail(e)
            t = wrap(o.value)
            if copy:
                t = t.clone()
            return t if device is None else t.to(device)
    raise RuntimeError(
        "from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed only once, so you might have "
        "already constructed a tensor from it once."
    )


to_dlpack = to_capsule
