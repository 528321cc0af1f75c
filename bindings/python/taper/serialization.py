"""`save` and `load`: PyTorch's file format, a zip archive of a pickle and the storages' bytes.

Loading executes nothing from the file: `_unpickler` runs the pickle's opcodes itself and knows a fixed list of
constructors. Only with `weights_only=False`, which says that the file is trusted, are other classes looked up.
"""

import os
import struct

from . import _c, _dtype
from ._convert import from_bytes, to_bytes
from ._tensor import Tensor

_ALIGNMENT = 64
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
}
STORAGE_DTYPES = {name: dtype for dtype, name in _STORAGE_NAMES.items()}


class _Archive:
    """Writes the zip archive: nothing compressed, each record's bytes at a multiple of 64."""

    def __init__(self, file, prefix):
        import zipfile

        self.zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED)
        self.info = zipfile.ZipInfo
        self.prefix = prefix

    def write(self, name, data):
        info = self.info(f"{self.prefix}/{name}", (1980, 1, 1, 0, 0, 0))
        start = self.zip.fp.tell() + 30 + len(info.filename.encode()) + 4
        pad = -start % _ALIGNMENT
        info.extra = b"FB" + struct.pack("<H", pad) + b"Z" * pad
        self.zip.writestr(info, data)

    def close(self):
        self.zip.close()


def _write(obj, file, prefix, protocol):
    import io

    stores = _Stores()
    stream = io.BytesIO()
    _pickler(stream, stores, protocol).dump(obj)
    archive = _Archive(file, prefix)
    archive.write("data.pkl", stream.getvalue())
    archive.write(".format_version", b"1")
    archive.write(".storage_alignment", str(_ALIGNMENT).encode())
    archive.write("byteorder", b"little")
    for i, t in enumerate(stores.data):
        archive.write(f"data/{i}", bytes(to_bytes(t)))
    archive.write("version", b"3\n")
    archive.close()


def save(obj, f, pickle_module=None, pickle_protocol=2, _use_new_zipfile_serialization=True, **ignored):
    """Writes an object in PyTorch's format to a file object or path; a path appears only when all is written."""
    if hasattr(f, "write"):
        _write(obj, f, "archive", pickle_protocol)
        return
    path = os.fspath(f)
    prefix = os.path.splitext(os.path.basename(path))[0] or "archive"
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise RuntimeError(f"Parent directory {folder} does not exist.")
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as file:
            _write(obj, file, prefix, pickle_protocol)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


# --- reading -----------------------------------------------------------------------------------------------------------


class _Reader:
    """The records of an archive, and tensors over its storages."""

    def __init__(self, file, map_location):
        import zipfile

        try:
            self.zip = zipfile.ZipFile(file)
            names = self.zip.namelist()
        except (zipfile.BadZipFile, ValueError, struct.error, EOFError, NotImplementedError) as error:
            raise RuntimeError(f"PytorchStreamReader failed reading zip archive: {error}") from None
        pickles = [n for n in names if n.endswith("/data.pkl")]
        if not pickles:
            raise RuntimeError("PytorchStreamReader failed locating file data.pkl: file not found")
        self.prefix = pickles[0][: -len("data.pkl")]
        self.map_location = map_location
        self.storages = {}
        if self.prefix + "byteorder" in names and self.record("byteorder") == b"big":
            raise RuntimeError("the file holds big-endian data, which is not supported")

    def record(self, name):
        import zipfile
        import zlib

        try:
            return self.zip.read(self.prefix + name)
        except (KeyError, zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
            raise RuntimeError(f"PytorchStreamReader failed reading file {name}: {error}") from None

    def place(self, location, t):
        """A storage on the device that map_location gives it."""
        where = self.map_location
        if callable(where) and not isinstance(where, _dtype.device):
            moved = where(t, location)
            return t if moved is None else moved
        if isinstance(where, dict):
            where = where.get(location, location)
        elif where is None:
            where = location
        where = _c.to_device(where)
        if where.type == "cpu":
            return t
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
            raise RuntimeError(f"unknown persistent id {pid!r}")
        _, dtype, key, location, count = pid
        if key in self.storages:
            return self.storages[key]
        if not isinstance(dtype, StorageType) or not isinstance(key, str) or not isinstance(count, int):
            raise RuntimeError(f"bad storage {pid!r}")
        data = self.record(f"data/{key}")
        dtype = dtype.dtype
        if count < 0 or len(data) < count * dtype.itemsize:
            raise RuntimeError(f"storage {key} holds {len(data)} bytes, {count} elements of {dtype} were expected")
        t = from_bytes(data[: count * dtype.itemsize], (count,), dtype, "cpu")
        t = self.storages[key] = self.place(location, t)
        return t


class StorageType:
    """What a name such as `torch.FloatStorage` means in a file."""

    def __init__(self, dtype):
        self.dtype = dtype


def rebuild_tensor(storage, offset, size, stride, requires_grad=False, hooks=None, metadata=None):
    """A tensor over a storage of a file; sizes and strides that reach beyond it are an error."""
    if not isinstance(storage, Tensor):
        raise RuntimeError("a tensor of the file has no storage")
    last = offset
    if all(n > 0 for n in size):
        last += sum((n - 1) * s for n, s in zip(size, stride)) + 1
    if offset < 0 or len(size) != len(stride) or any(s < 0 for s in stride) or last > storage.numel():
        raise RuntimeError(
            f"a tensor of size {tuple(size)} with strides {tuple(stride)} at offset {offset} does not fit into its storage "
            f"of {storage.numel()} elements"
        )
    t = storage.detach().as_strided(tuple(size), tuple(stride), offset)
    return t.requires_grad_(True) if requires_grad else t


def load(f, map_location=None, pickle_module=None, *, weights_only=True, mmap=None, encoding="utf-8", **ignored):
    """Reads a file of `save` or of PyTorch. Executes nothing from the file unless weights_only=False."""
    if hasattr(f, "read"):
        return _read(f, map_location, weights_only)
    with open(f, "rb") as file:
        return _read(file, map_location, weights_only)


def _read(file, map_location, weights_only):
    start = file.tell()
    head = file.read(4)
    file.seek(start)
    if len(head) == 0:
        raise EOFError("Ran out of input")
    if head[:2] != b"PK":
        raise RuntimeError(
            "the file is no zip archive: it is damaged, or in the format of PyTorch before 1.6 (load it there and save it "
            "again)"
        )
    from ._unpickler import trusted, untrusted

    reader = _Reader(file, map_location)
    run = untrusted if weights_only else trusted
    return run(reader.record("data.pkl"), reader.storage)
