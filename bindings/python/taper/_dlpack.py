"""DLPack: tensors shared with other libraries without copying."""

from ctypes import CFUNCTYPE, c_char_p, c_int, c_void_p, cast, py_object, pythonapi

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


def to_capsule(t, max_version=None, dl_device=None, copy=None):
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
    versioned = max_version is not None and max_version[0] >= 1
    name = "tensor_to_dlpack" if versioned else "tensor_to_dlpack_legacy"
    o, p = tls.o
    e = _c.proto(name, _c.V, _c.V)(t._h, p)
    if e:
        fail(e)
    return _new(o.value, _NAMES[versioned][0], cast(_destroy, c_void_p).value)


def from_dlpack(source, *, device=None, copy=None):
    """A tensor over the memory of another library's array, or of a DLPack capsule."""
    if hasattr(source, "__dlpack__"):
        if isinstance(source, Tensor):
            capsule = source.__dlpack__(max_version=(1, 0))
        else:
            try:
                capsule = source.__dlpack__(max_version=(1, 0))
            except TypeError:  # a library of before DLPack 1.0
                capsule = source.__dlpack__()
    else:
        capsule = source
    for versioned, (name, used) in _NAMES.items():
        if _valid(capsule, name):
            managed = _pointer(capsule, name)
            _rename(capsule, used)  # from here on the library owns it
            o, p = tls.o
            e = _c.proto("tensor_from_dlpack" if versioned else "tensor_from_dlpack_legacy", _c.V, _c.V)(managed, p)
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
