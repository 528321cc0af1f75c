"""Safetensors files: dictionaries of tensors that every language reads. The functions are those of `safetensors.torch` and
`safe_open` is that of `safetensors`; they read PyTorch's, NumPy's and sharded files as well."""

import ctypes

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
_from_memory = proto("named_tensors_from_memory")
_to_memory = proto("named_tensors_to_memory")
_save_as = proto("named_tensors_save_as")
_save_sharded = proto("named_tensors_save_sharded")
_num_metadata = proto("named_tensors_num_metadata")
_metadata_key = proto("named_tensors_metadata_key")
_metadata = proto("named_tensors_metadata")
_file_open = proto("tensor_file_open")
_file_len = proto("tensor_file_len")
_file_name = proto("tensor_file_name")
_file_format = proto("tensor_file_format")
_file_dtype = proto("tensor_file_dtype")
_file_sizes = proto("tensor_file_sizes")
_file_get = proto("tensor_file_get")
_file_get_rows = proto("tensor_file_get_rows")
_file_metadata = proto("tensor_file_metadata")
_file_free = proto("tensor_file_free")


def _check(error):
    if error:
        fail(error)


def _text(value, what):
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    if "\0" in value:
        raise ValueError(f"{what} must not contain a NUL character")
    return value.encode()


class _Named:
    """A collection of the library's."""

    def __init__(self, handle):
        self.handle = handle

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        _free(self.handle)

    @staticmethod
    def of(tensors, metadata=None):
        out, address = tls.o
        _check(_new(address))
        named = _Named(out.value)
        try:
            for name, tensor in tensors.items():
                if not isinstance(tensor, Tensor):
                    raise TypeError(f"{name!r} must be a Tensor, not {type(tensor).__name__}")
                _check(_insert(named.handle, _text(name, "a tensor's name"), tensor._h))
            for key, value in (metadata or {}).items():
                value = _text(value, f"metadata {key!r}")
                _check(_set_metadata(named.handle, _text(key, "a metadata key"), value))
        except BaseException:
            _free(named.handle)
            raise
        return named

    def tensors(self):
        out, address = tls.o
        made = {}
        for i in range(_len(self.handle)):
            _check(_get(self.handle, i, address))
            made[_name(self.handle, i).decode()] = wrap(out.value)
        return made

    def texts(self):
        out, address = tls.o
        made = {}
        for i in range(_num_metadata(self.handle)):
            _check(_metadata_key(self.handle, i, address))
            key = _c.take_string(out.value)
            _check(_metadata(self.handle, key.encode(), address))
            made[key] = _c.take_string(out.value)
        return made


def save_file(tensors, filename, metadata=None):
    """Saves a dict of tensors (a state dict, for example), of any device and layout, to a file.

    metadata is a dict of strings that is stored with them. The file appears under its name once it is complete.
    """
    with _Named.of(tensors, metadata) as named:
        _check(_save(named.handle, _c.path_bytes(filename)))


def save(tensors, metadata=None):
    """The bytes of such a file."""
    return _bytes_of(tensors, metadata, "safetensors")


def _bytes_of(tensors, metadata, format):
    from ._convert import to_bytes

    out, address = tls.o
    with _Named.of(tensors, metadata) as named:
        _check(_to_memory(named.handle, format.encode(), address))
        return bytes(to_bytes(wrap(out.value)))


def save_sharded(tensors, folder, max_bytes, stem="model", metadata=None):
    """Saves to files of at most max_bytes of tensors each, with their index, in a folder; gives the number of files."""
    out = ctypes.c_size_t()
    with _Named.of(tensors, metadata) as named:
        path, stem = _c.path_bytes(folder), _text(stem, "stem")
        _check(_save_sharded(named.handle, path, stem, max_bytes, ctypes.addressof(out)))
    return out.value


def load_file(filename, device="cpu"):
    """The dict of tensors in a file, on a device."""
    out, address = tls.o
    _check(_load(_c.path_bytes(filename), device_c(device), address))
    with _Named(out.value) as named:
        return named.tensors()


def load(data, device="cpu"):
    """The dict of tensors in a file's bytes, on a device."""
    data = bytes(data)
    out, address = tls.o
    _check(_from_memory(data, len(data), device_c(device), address))
    with _Named(out.value) as named:
        return named.tensors()


class _Slice:
    """A tensor of an opened file, of which rows are read by indexing."""

    def __init__(self, file, name):
        self._file, self._name = file, name

    def get_shape(self):
        return self._file._sizes(self._name)

    def get_dtype(self):
        """The dtype as a safetensors header has it."""
        return _NAMES[self._file._dtype(self._name)]

    def __getitem__(self, index):
        rest = ()
        if isinstance(index, tuple):
            index, rest = (index[0], index[1:]) if index else (slice(None), ())
        if isinstance(index, slice) and index.step in (None, 1):
            n = (self.get_shape() or [0])[0]
            start, stop, _ = index.indices(n)
            rows = self._file._rows(self._name, start, max(start, stop))
            return rows[(slice(None), *rest)] if rest else rows
        whole = self._file.get_tensor(self._name)
        return whole[(index, *rest)]


_NAMES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL", "complex64": "C64",
}  # fmt: skip


class safe_open:
    """An opened file, whose tensors are read when they are asked for: with safe_open(path, "pt") as f: f.get_tensor(name).

    With mapped, tensors on the CPU have the file's pages as their memory where that can be; then nobody may shorten the
    file while they live.
    """

    def __init__(self, filename, framework="pt", device="cpu", mapped=False):
        self._handle = None
        self._device = device_c(device)
        out, address = tls.o
        _check(_file_open(_c.path_bytes(filename), mapped, address))
        self._handle = out.value

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def __del__(self):
        self.close()

    def close(self):
        handle, self._handle = self._handle, None
        if handle:
            _file_free(handle)

    def keys(self):
        return [_file_name(self._handle, i).decode() for i in range(_file_len(self._handle))]

    offset_keys = keys

    def format(self):
        """What the file is: "safetensors", "safetensors index", "PyTorch", "NPZ" or "NPY"."""
        out, address = tls.o
        _check(_file_format(self._handle, address))
        return _c.take_string(out.value)

    def metadata(self):
        """The dict of text entries; None where there is none."""
        out, address = tls.o
        _check(_file_metadata(self._handle, address))
        with _Named(out.value) as named:
            return named.texts() or None

    def get_tensor(self, name):
        out, address = tls.o
        _check(_file_get(self._handle, _text(name, "a tensor's name"), self._device, address))
        return wrap(out.value)

    def get_slice(self, name):
        self._dtype(name)
        return _Slice(self, name)

    def _rows(self, name, start, stop):
        out, address = tls.o
        _check(_file_get_rows(self._handle, _text(name, "a tensor's name"), start, stop, self._device, address))
        return wrap(out.value)

    def _dtype(self, name):
        from ._dtype import _by_code

        code = ctypes.c_int32()
        _check(_file_dtype(self._handle, _text(name, "a tensor's name"), ctypes.addressof(code)))
        return _by_code[code.value].name

    def _sizes(self, name):
        sizes, n = (ctypes.c_int64 * 64)(), ctypes.c_size_t()
        _check(
            _file_sizes(self._handle, _text(name, "a tensor's name"), ctypes.addressof(sizes), 64, ctypes.addressof(n))
        )
        return list(sizes[: n.value])
