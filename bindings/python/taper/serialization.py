"""`save` and `load`: PyTorch's file format, a zip archive of a pickle and the storages' bytes.

Loading executes nothing from the file: `_unpickler` runs the pickle's opcodes itself and knows a fixed list of
constructors. Only with `weights_only=False`, which says that the file is trusted, are other classes looked up.
"""

import os
import struct
from ctypes import c_char

from . import _c, _dtype
from ._convert import from_bytes, to_bytes
from ._tensor import Tensor

_ALIGNMENT = 64
_INFLATED = 64 << 20  # bytes that compressed records may grow to, besides twenty times the file's length
_safe_globals = {}


def add_safe_globals(items):
    """Lets `load` make instances of these classes (or call these functions)."""
    for item in items:
        item, name = item if isinstance(item, tuple) else (item, f"{item.__module__}.{item.__qualname__}")
        _safe_globals[name] = item


def clear_safe_globals():
    """Forgets what add_safe_globals was given."""
    _safe_globals.clear()


def get_safe_globals():
    """What add_safe_globals was given."""
    return list(_safe_globals.values())


class safe_globals:
    """Inside, `load` may make instances of these classes."""

    def __init__(self, items):
        self.items = items

    def __enter__(self):
        self.before = dict(_safe_globals)
        add_safe_globals(self.items)

    def __exit__(self, *exc):
        _safe_globals.clear()
        _safe_globals.update(self.before)


# --- writing -----------------------------------------------------------------------------------------------------------


class _Stores:
    """The storages met while pickling: each is written once, tensors that share one stay views of it."""

    def __init__(self):
        self.keys = {}
        self.data = []

    def of(self, t):
        """(key, number of elements, offset of the tensor in it) of the tensor's storage."""
        identity = _c.tensor_storage_id(t._h)
        if identity not in self.keys:
            count = _c.tensor_storage_nbytes(t._h) // t.element_size()
            self.keys[identity] = (str(len(self.data)), count)
            # Kept until the end, so that no other storage gets this one's identity.
            self.data.append(t.detach().as_strided((count,), (1,), 0))
        return *self.keys[identity], t.storage_offset()


def _pickler(file, stores, protocol):
    """A pickler that writes tensors as PyTorch does, and Taper's classes under PyTorch's names."""
    import pickle
    from collections import OrderedDict

    from .nn.parameter import Parameter

    class Named:
        """Stands for a name of PyTorch."""

        def __init__(self, module, name):
            self.module, self.name = module, name

        def __call__(self):
            raise TypeError("only a name")

    names = {}

    def named(module, name):
        return names.setdefault((module, name), Named(module, name))

    rebuild, parameter = named("torch._utils", "_rebuild_tensor_v2"), named("torch._utils", "_rebuild_parameter")
    without_elements = named("torch._utils", "_rebuild_meta_tensor_no_storage")

    class Storage:
        def __init__(self, dtype, key, device, count):
            self.id = ("storage", named("torch", _STORAGE_NAMES[dtype]), key, device, count)

    class Pickler(pickle._Pickler):
        def persistent_id(self, obj):
            return obj.id if isinstance(obj, Storage) else None

        def reducer_override(self, obj):
            if isinstance(obj, Tensor):
                return self.reduce_tensor(obj)
            if isinstance(obj, _dtype.Size):
                return named("torch", "Size"), (tuple(obj),)
            if isinstance(obj, _dtype.device):
                return named("torch", "device"), ((obj.type,) if obj.index is None else (obj.type, obj.index))
            return NotImplemented

        def reduce_tensor(self, t):
            if type(t) is not Tensor and not isinstance(t, Parameter):
                t = t.detach()
            if isinstance(t, Parameter):
                return parameter, (t.detach(), t.requires_grad, OrderedDict())
            if t.is_meta:
                return without_elements, (t.dtype, tuple(t.shape), t.stride(), t.requires_grad)
            key, count, offset = stores.of(t)
            d = t.device
            storage = Storage(t.dtype, key, "cpu" if d.type == "cpu" else f"{d.type}:{d.index}", count)
            return rebuild, (storage, offset, tuple(t.shape), t.stride(), t.requires_grad, OrderedDict())

        def save_global(self, obj, name=None):
            if isinstance(obj, Named):
                module, name = obj.module, obj.name
            elif isinstance(obj, (_dtype.dtype, _dtype.layout)):
                module, name = "torch", obj.name
            else:
                module = getattr(obj, "__module__", None) or ""
                if module != "taper" and not module.startswith("taper."):
                    return super().save_global(obj, name)
                module, name = "torch" + module[5:], name or obj.__qualname__
            self.write(b"c" + module.encode() + b"\n" + name.encode() + b"\n")
            self.memoize(obj)

        def save(self, obj, save_persistent_id=True):
            if isinstance(obj, (Named, _dtype.dtype, _dtype.layout)):
                known = self.memo.get(id(obj))
                if known is not None:
                    self.write(self.get(known[0]))
                else:
                    self.save_global(obj)
                return None
            return super().save(obj, save_persistent_id)

    return Pickler(file, protocol)


_STORAGE_NAMES = {
    _dtype.float64: "DoubleStorage",
    _dtype.float32: "FloatStorage",
    _dtype.float16: "HalfStorage",
    _dtype.bfloat16: "BFloat16Storage",
    _dtype.int64: "LongStorage",
    _dtype.int32: "IntStorage",
    _dtype.int16: "ShortStorage",
    _dtype.int8: "CharStorage",
    _dtype.uint8: "ByteStorage",
    _dtype.bool: "BoolStorage",
    _dtype.complex64: "ComplexFloatStorage",
    _dtype.complex128: "ComplexDoubleStorage",
}
STORAGE_DTYPES = {name: dtype for dtype, name in _STORAGE_NAMES.items()}


class _Archive:
    """Writes the zip archive front to back: nothing compressed, each record's bytes at a multiple of 64."""

    def __init__(self, put, prefix):
        self.put, self.prefix = put, prefix
        self.at = 0
        self.directory = []

    def _append(self, data):
        self.put(data)
        self.at += len(data)

    def write(self, name, data):
        from zlib import crc32

        name = f"{self.prefix}/{name}".encode()
        offset, size, crc = self.at, len(data), crc32(data)
        # Sizes of 4 GB and more stand in an extra field.
        large = struct.pack("<HHQQ", 1, 16, size, size) if size >= _LARGE else b""
        start = offset + 30 + len(name) + len(large) + 4
        pad = -start % _ALIGNMENT
        extra = large + b"FB" + struct.pack("<H", pad) + b"Z" * pad
        # Version, flags (the name is UTF-8), stored, the first moment of zip's calendar.
        common = struct.pack("<HHHHHI", 45 if large else 20, 0x800, 0, 0, 33, crc)
        sizes = struct.pack("<II", _LARGE, _LARGE) if large else struct.pack("<II", size, size)
        self._append(b"PK\3\4" + common + sizes + struct.pack("<HH", len(name), len(extra)) + name + extra)
        self._append(data)
        wide = (struct.pack("<QQ", size, size) if large else b"") + (
            struct.pack("<Q", offset) if offset >= _LARGE else b""
        )
        wide = struct.pack("<HH", 1, len(wide)) + wide if wide else b""
        tail = struct.pack("<HHHHHII", len(name), len(wide), 0, 0, 0, 0, min(offset, _LARGE))
        self.directory.append(b"PK\1\2" + struct.pack("<H", 45) + common + sizes + tail + name + wide)

    def close(self):
        start, n = self.at, len(self.directory)
        directory = b"".join(self.directory)
        size = len(directory)
        if n >= 0xFFFF or start >= _LARGE or size >= _LARGE:
            at = start + size
            directory += b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, n, n, size, start)
            directory += b"PK\6\7" + struct.pack("<IQI", 0, at, 1)
        many = min(n, 0xFFFF)
        directory += b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, many, many, min(size, _LARGE), min(start, _LARGE), 0)
        self._append(directory)


_LARGE = 0xFFFF_FFFF


def _write(obj, put, prefix, protocol):
    import io

    stores = _Stores()
    stream = io.BytesIO()
    _pickler(stream, stores, protocol).dump(obj)
    archive = _Archive(put, prefix)
    archive.write("data.pkl", stream.getvalue())
    archive.write(".format_version", b"1")
    archive.write(".storage_alignment", str(_ALIGNMENT).encode())
    archive.write("byteorder", b"little")
    for i, t in enumerate(stores.data):
        archive.write(f"data/{i}", to_bytes(t))
    archive.write("version", b"3\n")
    archive.close()


def _put_to(file):
    """Writes all of some bytes to a file object, also where that takes a part at a time."""

    def put(data):
        data = memoryview(data)
        while True:
            n = file.write(data)
            if type(n) is not int or n >= len(data):
                return
            data = data[n:]

    return put


class _File:
    """A file of the library's writer: the name stands for the old content until all is written."""

    def __init__(self, path):
        self._write = _c.proto("file_writer_write")
        self._commit = _c.proto("file_writer_commit")
        self._free = _c.proto("file_writer_free")
        o, p = _c.tls.o
        self._check(_c.proto("file_writer_begin")(_c.path_bytes(path), p))
        self._handle = o.value

    def _check(self, e):
        if e:
            _c.fail(e)

    def __enter__(self):
        return self

    def __exit__(self, kind, *exc):
        try:
            if kind is None:
                self._check(self._commit(self._handle))
        finally:
            self._free(self._handle)

    def put(self, data):
        n = len(data)
        if not isinstance(data, bytes):
            data = (c_char * n).from_buffer(data) if n else None
        self._check(self._write(self._handle, data, n))


def save(obj, f, pickle_module=None, pickle_protocol=2, _use_new_zipfile_serialization=True, **ignored):
    """Writes an object in PyTorch's format to a file object or path.

    A path's new content appears at once when all is written and on disk; links are followed, the file's mode is kept.
    """
    if hasattr(f, "write"):
        _write(obj, _put_to(f), "archive", pickle_protocol)
        return
    path = os.fsdecode(_c.path_bytes(f))
    prefix = os.path.splitext(os.path.basename(path))[0]
    if not prefix or not prefix.isprintable():  # bytes that are no text among them
        prefix = "archive"
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise RuntimeError(f"Parent directory {folder} does not exist.")
    with _File(path) as file:
        _write(obj, file.put, prefix, pickle_protocol)


# --- reading -----------------------------------------------------------------------------------------------------------


class Storages:
    """The storages of a file by their keys, on the devices that map_location gives them. `fetch` has their bytes."""

    def __init__(self, map_location):
        self.map_location = map_location
        self.storages = {}
        self.raised = None  # an error that says nothing about the file

    def place(self, location, t):
        """A storage on the device that map_location gives it."""
        where = self.map_location
        if where is None:
            where = _c.to_device(location)  # an error of the file
        try:
            if callable(where) and not isinstance(where, _dtype.device):
                moved = where(t, location)
                return t if moved is None else moved
            if isinstance(where, dict):
                where = where.get(location, location)
            where = _c.to_device(where)
            return t if where.type == "cpu" else self.moved(t, where)
        except Exception as error:
            self.raised = error
            raise

    def moved(self, t, where):
        try:
            return t.to(where)
        except (RuntimeError, NotImplementedError):
            raise RuntimeError(
                f"Attempting to deserialize object on a {where.type.upper()} device but it is not available. Use load "
                "with map_location=torch.device('cpu') to map your storages to the CPU."
            ) from None

    def storage(self, pid):
        """The storage of a persistent id, as a flat tensor."""
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"):
            raise RuntimeError("unknown persistent id")
        _, dtype, key, location, count = pid
        if not (type(dtype) is StorageType and type(key) is str and type(location) is str and type(count) is int):
            raise RuntimeError("bad storage")
        if key in self.storages:
            t = self.storages[key]
            if t.dtype is not dtype.dtype:
                raise RuntimeError(f"storage {key} is of {t.dtype} and of {dtype.dtype}")
            return t
        t = from_bytes(self.fetch(key, dtype.dtype, count), (count,), dtype.dtype, "cpu")
        t = self.storages[key] = self.place(location, t)
        return t


class _Reader(Storages):
    """The records of an archive, and tensors over its storages."""

    def __init__(self, file, map_location):
        import zipfile

        super().__init__(map_location)
        try:
            self.zip = zipfile.ZipFile(file)
            names = self.zip.namelist()
            size = file.seek(0, os.SEEK_END)
        except MemoryError:
            raise
        except Exception as error:  # zipfile fails in many ways
            raise RuntimeError(f"PytorchStreamReader failed reading zip archive: {error}") from None
        if len(set(names)) != len(names):
            raise RuntimeError("PytorchStreamReader failed reading zip archive: two records have the same name")
        pickles = [n for n in names if n.endswith("/data.pkl")]
        if not pickles:
            raise RuntimeError("PytorchStreamReader failed locating file data.pkl: file not found")
        self.prefix = pickles[0][: -len("data.pkl")]
        # How many bytes may still be read: records do not overlap, and compressed ones grow to a limit.
        self.stored, self.inflated = size, 20 * size + _INFLATED
        if self.prefix + "byteorder" in names and self.record("byteorder") == b"big":
            raise RuntimeError("the file holds big-endian data, which is not supported")

    def record(self, name):
        try:
            info = self.zip.getinfo(self.prefix + name)
            size = info.file_size
            if info.compress_type == 0:
                self.stored -= size
            elif info.compress_type == 8:
                self.inflated -= size
            else:
                raise ValueError(f"compression method {info.compress_type} is not supported")
            if info.flag_bits & 1:
                raise ValueError("the record is encrypted")
            if self.stored < 0 or self.inflated < 0:
                raise ValueError(f"a record of {size} bytes is larger than the archive allows")
            with self.zip.open(info) as record:
                data = record.read(size)
            if len(data) != size:
                raise ValueError(f"{len(data)} bytes of {size}")
            return data
        except MemoryError:
            raise
        except Exception as error:
            raise RuntimeError(f"PytorchStreamReader failed reading file {name}: {error}") from None

    def fetch(self, key, dtype, count):
        data = self.record(f"data/{key}")
        if count < 0 or len(data) < count * dtype.itemsize:
            raise RuntimeError(f"storage {key} holds {len(data)} bytes, {count} elements of {dtype} were expected")
        return data[: count * dtype.itemsize]


class StorageType:
    """What a name such as `torch.FloatStorage` means in a file."""

    def __init__(self, dtype):
        self.dtype = dtype


def rebuild_tensor(storage, offset, size, stride, requires_grad=False, hooks=None, metadata=None):
    """A tensor over a storage of a file; sizes and strides that reach beyond it are an error."""
    if not isinstance(storage, Tensor):
        raise RuntimeError("a tensor of the file has no storage")
    for numbers in (size, stride, (offset,)):
        if not isinstance(numbers, (tuple, list)) or not all(type(n) is int and 0 <= n < 1 << 63 for n in numbers):
            raise RuntimeError("sizes, strides and offset of a tensor must be integers, none negative")
    last = offset
    if all(size):
        last += sum((n - 1) * s for n, s in zip(size, stride)) + 1
    if len(size) > 64 or len(size) != len(stride) or last > storage.numel():
        raise RuntimeError(
            f"a tensor of size {tuple(size[:64])} with strides {tuple(stride[:64])} at offset {offset} does not fit into its "
            f"storage of {storage.numel()} elements"
        )
    t = storage.detach().as_strided(tuple(size), tuple(stride), offset)
    return t.requires_grad_(True) if requires_grad else t


def load(f, map_location=None, pickle_module=None, *, weights_only=True, mmap=None, encoding="utf-8", **ignored):
    """Reads a file of `save` or of PyTorch. Executes nothing from the file unless weights_only=False."""
    if hasattr(f, "read"):
        return _read(f, map_location, weights_only)
    with open(_c.path_bytes(f), "rb") as file:
        return _read(file, map_location, weights_only)


def _read(file, map_location, weights_only):
    from . import _legacy
    from ._unpickler import trusted, untrusted

    start = file.tell()
    head = file.read(len(_legacy.HEAD))
    file.seek(start)
    if len(head) == 0:
        raise EOFError("Ran out of input")
    if head == _legacy.HEAD:
        return _legacy.load(file.read(), map_location, weights_only)
    if head[:2] != b"PK":
        raise RuntimeError(
            "the file is no zip archive, nor in the format of PyTorch before 1.6: it is damaged, or none of PyTorch's"
        )

    reader = _Reader(file, map_location)
    run = untrusted if weights_only else trusted
    return run(reader.record("data.pkl"), reader)
