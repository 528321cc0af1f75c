"""Safetensors files: dictionaries of tensors that every language reads. The functions are those of `safetensors.torch`."""

from . import _c
from ._c import device_c, fail, proto, tls
from ._tensor import Tensor, wrap

_new = proto("named_tensors_new")
_len = proto("named_tensors_len")
_name = proto("named_tensors_name")
_get = proto("named_tensors_get")
_insert = proto("named_tensors_insert")
_set_metadata = proto("named_tensors_set_metadata")
_save = proto("named_tensors_save")
_load = proto("named_tensors_load")
_free = proto("named_tensors_free")


def _check(error):
    if error:
        fail(error)


def _text(value, what):
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    if "\0" in value:
        raise ValueError(f"{what} must not contain a NUL character")
    return value.encode()


def save_file(tensors, filename, metadata=None):
    """Saves a dict of tensors (a state dict, for example), of any device and layout, to a file.

    metadata is a dict of strings that is stored with them. The file appears under its name once it is complete.
    """
    out, address = tls.o
    _check(_new(address))
    handle = out.value
    try:
        for name, tensor in tensors.items():
            if not isinstance(tensor, Tensor):
                raise TypeError(f"{name!r} must be a Tensor, not {type(tensor).__name__}")
            _check(_insert(handle, _text(name, "a tensor's name"), tensor._h))
        for key, value in (metadata or {}).items():
            _check(_set_metadata(handle, _text(key, "a metadata key"), _text(value, f"metadata {key!r}")))
        _check(_save(handle, _c.path_bytes(filename)))
    finally:
        _free(handle)


def load_file(filename, device="cpu"):
    """The dict of tensors in a file, on a device."""
    out, address = tls.o
    _check(_load(_c.path_bytes(filename), device_c(device), address))
    handle = out.value
    try:
        tensors = {}
        for i in range(_len(handle)):
            _check(_get(handle, i, address))
            tensors[_name(handle, i).decode()] = wrap(out.value)
        return tensors
    finally:
        _free(handle)
