"""Tables of Arrow (pyarrow, polars, DuckDB and others) as tensors, and tensors as such tables, without copies.

Both go through Arrow's PyCapsule interface: `__arrow_c_array__` (a record batch, an array) and `__arrow_c_stream__` (a table).
"""

from ctypes import CFUNCTYPE, addressof, c_byte, c_size_t, c_void_p, cast, pythonapi

from .. import _c
from .._dlpack import _is_named, _new, _pointer, _raw_pointer, _valid
from .._tensor import wrap

__all__ = ["arrow_batches", "from_arrow", "to_arrow"]

# PyCapsule keeps the pointer to its name: these objects live as long as the module. Where the release function stands in each
# struct, and the struct's size.
_RELEASE = {b"arrow_schema": (56, 72), b"arrow_array": (64, 80), b"arrow_array_stream": (24, 40)}
_malloc, _free = pythonapi.PyMem_RawMalloc, pythonapi.PyMem_RawFree
_malloc.restype, _malloc.argtypes = c_void_p, (c_size_t,)
_free.restype, _free.argtypes = None, (c_void_p,)


@CFUNCTYPE(None, c_void_p)
def _destroy(capsule):
    for name, (at, _) in _RELEASE.items():
        if _is_named(capsule, name):
            struct = _raw_pointer(capsule, name)
            release = c_void_p.from_address(struct + at).value
            if release:  # nobody has taken what is inside
                CFUNCTYPE(None, c_void_p)(release)(struct)
            _free(struct)


def _content(capsule, name):
    if not _valid(capsule, name):
        raise TypeError(f"expected a capsule called {name.decode()!r}, got {capsule!r}")
    return _pointer(capsule, name)


def _named(handle):
    """A dict of a collection of tensors, which is freed."""
    length, name, get, free = (_c.proto(f"named_tensors_{f}") for f in ("len", "name", "get", "free"))
    found = {}
    try:
        for i in range(length(handle)):
            o, p = _c.tls.o
            e = get(handle, i, p)
            if e:
                _c.fail(e)
            found[name(handle, i).decode()] = wrap(o.value)
    finally:
        free(handle)
    return found


def from_arrow(table, masks=False):
    """The columns of a record batch (or what else has `__arrow_c_array__`) as a dict of tensors over its memory.

    Numbers are [rows], lists of one length [rows, length ..], dates, times and durations the integers that count them; bools are
    copied. A column with nulls is a ValueError; with `masks` a tensor "NAME.valid" says where there is a value. What others see
    must not be written to. A table in several pieces: `arrow_batches`.
    """
    if not hasattr(table, "__arrow_c_array__"):
        if hasattr(table, "__arrow_c_stream__"):
            batches = list(arrow_batches(table, masks))
            if len(batches) == 1:
                return batches[0]
            raise ValueError(
                f"the table comes in {len(batches)} pieces: take arrow_batches(table), or combine them first"
            )
        raise TypeError(
            f"from_arrow takes what has __arrow_c_array__ or __arrow_c_stream__, got {type(table).__name__}"
        )
    schema, array = table.__arrow_c_array__()
    o, p = _c.tls.o
    e = _c.proto("arrow_import")(_content(schema, b"arrow_schema"), _content(array, b"arrow_array"), bool(masks), p)
    if e:
        _c.fail(e)
    return _named(o.value)


def arrow_batches(table, masks=False):
    """Yields each piece of a table (or what else has `__arrow_c_stream__`) as `from_arrow` gives it."""
    if not hasattr(table, "__arrow_c_stream__"):
        raise TypeError(f"arrow_batches takes what has __arrow_c_stream__, got {type(table).__name__}")
    stream = table.__arrow_c_stream__()  # its capsule releases it
    at = _content(stream, b"arrow_array_stream")
    while True:
        o, p = _c.tls.o
        e = _c.proto("arrow_import_next")(at, bool(masks), p)
        if e:
            _c.fail(e)
        if not o.value:
            return
        yield _named(o.value)


class ArrowTable:
    """Tensors of one length as a table that Arrow's users take: `pyarrow.record_batch(to_arrow(columns))`."""

    def __init__(self, columns):
        self.columns = dict(columns)

    def __arrow_c_array__(self, requested_schema=None):
        o, p = _c.tls.o
        e = _c.proto("named_tensors_new")(p)
        if e:
            _c.fail(e)
        named = o.value
        try:
            for name, t in self.columns.items():
                e = _c.proto("named_tensors_insert")(named, _c.text(name), t._h)
                if e:
                    _c.fail(e)
            made = [(c_byte * size)() for _, size in (_RELEASE[b"arrow_schema"], _RELEASE[b"arrow_array"])]
            e = _c.proto("arrow_export")(named, *(addressof(m) for m in made))
            if e:
                _c.fail(e)
        finally:
            _c.proto("named_tensors_free")(named)
        return tuple(_capsule(m, name) for m, name in zip(made, (b"arrow_schema", b"arrow_array")))


def _capsule(struct, name):
    """A capsule with the content of a struct, which moves into memory of its own."""
    size = len(struct)
    at = _malloc(size)
    if not at:
        raise MemoryError
    (c_byte * size).from_address(at)[:] = struct
    return _new(at, name, cast(_destroy, c_void_p).value)


def to_arrow(columns):
    """An object with `__arrow_c_array__` over tensors of one length by name: numbers [rows], or [rows, ..] as lists of one length.

    They must be on the CPU and not require grad; contiguous ones are not copied. Not for complex numbers and bfloat16.
    """
    return ArrowTable(columns)
