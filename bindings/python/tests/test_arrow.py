"""Arrow's tables as tensors and back: with a producer of the test's own, and with pyarrow where it is installed."""

import gc
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    addressof,
    c_char_p,
    c_int,
    c_int64,
    c_void_p,
    cast,
    pointer,
    py_object,
    pythonapi,
)

import pytest
from conftest import DEVICE

import taper as torch
from taper.utils.arrow import arrow_batches, from_arrow, to_arrow

pytestmark = pytest.mark.skipif(DEVICE != "cpu", reason="Arrow's memory is the CPU's")


class Schema(Structure):
    pass


class Array(Structure):
    pass


class Stream(Structure):
    pass


Schema._fields_ = [
    ("format", c_char_p), ("name", c_char_p), ("metadata", c_char_p), ("flags", c_int64), ("n_children", c_int64),
    ("children", POINTER(POINTER(Schema))), ("dictionary", POINTER(Schema)), ("release", CFUNCTYPE(None, POINTER(Schema))),
    ("private_data", c_void_p),
]  # fmt: skip
Array._fields_ = [
    ("length", c_int64), ("null_count", c_int64), ("offset", c_int64), ("n_buffers", c_int64), ("n_children", c_int64),
    ("buffers", POINTER(c_void_p)), ("children", POINTER(POINTER(Array))), ("dictionary", POINTER(Array)),
    ("release", CFUNCTYPE(None, POINTER(Array))), ("private_data", c_void_p),
]  # fmt: skip
Stream._fields_ = [
    ("get_schema", CFUNCTYPE(c_int, POINTER(Stream), POINTER(Schema))),
    ("get_next", CFUNCTYPE(c_int, POINTER(Stream), POINTER(Array))),
    ("get_last_error", CFUNCTYPE(c_void_p, POINTER(Stream))),
    ("release", CFUNCTYPE(None, POINTER(Stream))),
    ("private_data", c_void_p),
]
_new = pythonapi.PyCapsule_New
_new.restype, _new.argtypes = py_object, (c_void_p, c_char_p, c_void_p)


class Table:
    """A producer: columns are (name, format, bytes of values, bytes of validity or None, children)."""

    def __init__(self, columns, rows, **changes):
        self.columns, self.rows, self.changes = columns, rows, changes
        self.released = {"schema": 0, "array": 0}
        self.kept = []

    def _schema(self, name, fmt, children=(), release=None):
        s = Schema(fmt, name, None, 2, len(children))
        s.children = (POINTER(Schema) * max(1, len(children)))(*[pointer(c) for c in children])
        if release:
            s.release = release
        self.kept.append(s)
        return s

    def _array(self, rows, buffers, children=(), nulls=0, offset=0, release=None):
        a = Array(rows, nulls, offset, len(buffers), len(children))
        a.buffers = (c_void_p * len(buffers))(*[None if b is None else cast(b, c_void_p).value for b in buffers])
        a.children = (POINTER(Array) * max(1, len(children)))(*[pointer(c) for c in children])
        if release:
            a.release = release
        self.kept += [a, buffers]
        return a

    def parts(self):
        schemas, arrays = [], []
        for name, fmt, values, valid, *more in self.columns:
            o = more[0] if more else {}
            if "inside" in o:
                inner = self._schema(b"item", o["inside"])
                schemas.append(self._schema(name, fmt, [inner]))
                inside = self._array(o["n"], [None, values], offset=o.get("inner_offset", 0))
                arrays.append(self._array(self.rows, [valid], [inside]))
            else:
                schemas.append(self._schema(name, fmt))
                nulls = o.get("nulls", 0 if valid is None else -1)
                arrays.append(
                    self._array(o.get("length", self.rows), [valid, values], nulls=nulls, offset=o.get("offset", 0))
                )

        def drop(which, p):
            self.released[which] += 1
            cast(addressof(p.contents) + (56 if which == "schema" else 64), POINTER(c_void_p))[0] = None

        self.drops = [
            CFUNCTYPE(None, POINTER(Schema))(lambda p: drop("schema", p)),
            CFUNCTYPE(None, POINTER(Array))(lambda p: drop("array", p)),
        ]
        schema = self._schema(b"", b"+s", schemas, self.drops[0])
        array = self._array(self.rows, [None], arrays, release=self.drops[1])
        for name, v in self.changes.items():
            setattr(array, name, v)
        return schema, array

    def __arrow_c_array__(self, requested_schema=None):
        schema, array = self.parts()
        return _new(addressof(schema), b"arrow_schema", None), _new(addressof(array), b"arrow_array", None)


def values(*numbers, dtype=torch.float32):
    t = torch.tensor(numbers, dtype=dtype)
    buffer = (c_int64 * (len(numbers) + 1))()
    from ctypes import memmove

    memmove(buffer, t.data_ptr(), t.numel() * t.element_size())
    return buffer


def test_columns_share_the_memory_and_are_released_once():
    x = values(1, 2, 3)
    table = Table([(b"x", b"f", x, None), (b"n", b"l", values(4, 5, 6, dtype=torch.int64), None)], 3)
    d = from_arrow(table)
    assert list(d) == ["x", "n"] and d["x"].dtype == torch.float32 and d["n"].dtype == torch.int64
    assert d["x"].tolist() == [1, 2, 3] and d["n"].tolist() == [4, 5, 6]
    assert d["x"].data_ptr() == addressof(x)
    assert table.released == {"schema": 1, "array": 0}
    half = d["x"][1:]
    del d
    gc.collect()
    assert table.released["array"] == 0 and half.tolist() == [2, 3]
    del half
    gc.collect()
    assert table.released == {"schema": 1, "array": 1}


def test_formats_offsets_bools_and_lists():
    columns = [
        (b"a", b"c", values(-1, 2, 3, 4, dtype=torch.int8), None, {"offset": 1, "length": 3}),
        (b"b", b"b", (c_int64 * 1)(0b101), None),
        (b"g", b"g", values(0.5, 1.5, 2.5, dtype=torch.float64), None),
        (b"e", b"e", values(0.5, 1.5, 2.5, dtype=torch.float16), None),
        (b"day", b"tdD", values(1, 2, 3, dtype=torch.int32), None),
        (b"time", b"tsu:UTC", values(1, 2, 3, dtype=torch.int64), None),
        (
            b"list",
            b"+w:2",
            values(9, 1, 2, 3, 4, 5, 6, dtype=torch.float32),
            None,
            {"inside": b"f", "n": 6, "inner_offset": 1},
        ),
    ]
    d = from_arrow(Table(columns, 3))
    assert (
        d["a"].tolist() == [2, 3, 4] and d["b"].tolist() == [True, False, True] and d["g"].tolist() == [0.5, 1.5, 2.5]
    )
    assert d["e"].dtype == torch.float16 and d["day"].tolist() == [1, 2, 3] and d["time"].dtype == torch.int64
    assert d["list"].tolist() == [[1, 2], [3, 4], [5, 6]]
    # A slice of the whole table.
    d = from_arrow(Table(columns[1:3], 3, offset=1, length=2))
    assert d["b"].tolist() == [False, True] and d["g"].tolist() == [1.5, 2.5]


def test_nulls_are_refused_or_masked():
    valid = (c_int64 * 1)(0b101)
    table = Table([(b"x", b"f", values(1, 2, 3), valid), (b"y", b"f", values(1, 2, 3), (c_int64 * 1)(7))], 3)
    with pytest.raises(
        ValueError, match='column "x" of the Arrow table has 1 nulls, the first in row 1; fill them, or ask for masks'
    ):
        from_arrow(table)
    assert table.released == {"schema": 1, "array": 1}
    d = from_arrow(table, masks=True)
    assert (
        list(d) == ["x", "x.valid", "y"]
        and d["x.valid"].tolist() == [True, False, True]
        and d["x"].tolist()[::2] == [1, 3]
    )


def test_what_is_damaged_is_an_error_and_releases():
    x = values(1, 2, 3)
    for column, kw, text in (
        ((b"x", b"u", x, None), {}, 'format "u", which is no tensor'),
        ((b"x", b"f", None, None), {}, "has no values"),
        ((b"x", b"f", x, None, {"length": 2}), {}, "has 2 elements"),
        ((b"x", b"f", x, None, {"offset": -1}), {}, "offset -1"),
        ((b"x", b"f", x, None, {"length": -1}), {}, "length -1"),
        ((b"x", b"f", x, None, {"nulls": 2}), {}, "does not say where"),
        ((b"x", b"+w:-1", x, None, {"inside": b"f", "n": 3}), {}, "lists of"),
        ((b"x", b"+w:2", x, None, {"inside": b"f", "n": 3}), {}, "has 3 elements, and 6"),
        ((b"x", b"+w:9223372036854775807", x, None, {"inside": b"f", "n": 3}), {}, "lists of"),
        ((b"x", b"f", x, None), {"n_children": 2}, "1 columns and the array 2"),
        ((b"x", b"f", x, None), {"n_children": -1}, "columns and the array -1"),
        ((b"x", b"f", x, None), {"length": -5}, "length -5"),
        ((b"x", b"f", x, None), {"length": 2**63 - 1}, "are asked for"),
        ((b"x", b"f", x, None), {"offset": 2**63 - 1}, "offset|asked for"),
        ((b"x", b"f", x, None), {"null_count": 1}, "does not say where"),
        ((b"\xff", b"f", x, None), {}, "no UTF-8"),
    ):
        table = Table([column], 3, **kw)
        with pytest.raises((ValueError, TypeError), match=text):
            from_arrow(table)
        assert table.released == {"schema": 1, "array": 1}, (column, kw)
    table = Table([(b"x", b"f", x, None), (b"x", b"f", x, None)], 3)
    with pytest.raises(ValueError, match='two columns "x"'):
        from_arrow(table)
    with pytest.raises(TypeError, match="__arrow_c_array__"):
        from_arrow(3)


def test_tensors_as_a_table_and_back():
    columns = {
        "f": torch.tensor([1.5, 2.5, -3.0]),
        "i": torch.arange(9)[::3],
        "b": torch.tensor([True, False, True]),
        "m": torch.arange(12, dtype=torch.float64).reshape(3, 2, 2),
        "h": torch.tensor([1, 2, 3], dtype=torch.float16),
    }
    d = from_arrow(to_arrow(columns))
    assert list(d) == list(columns)
    for name, t in columns.items():
        assert torch.equal(d[name], t) and d[name].dtype == t.dtype, name
    assert d["f"].data_ptr() == columns["f"].data_ptr()
    del columns
    gc.collect()
    assert d["m"].sum().item() == 66
    assert from_arrow(to_arrow({})) == {}
    assert from_arrow(to_arrow({"e": torch.zeros(0, 3)}))["e"].shape == (0, 3)
    for bad, kind, text in (
        ({"x": torch.zeros(2), "y": torch.zeros(3)}, ValueError, '"y" has 3, the first 2'),
        ({"x": torch.tensor(1.0)}, ValueError, "has no rows"),
        ({"x": torch.zeros(2, dtype=torch.complex64)}, TypeError, "no format for the complex64"),
        ({"x": torch.zeros(2, requires_grad=True)}, RuntimeError, "require gradient"),
    ):
        with pytest.raises(kind, match=text):
            from_arrow(to_arrow(bad))


def test_a_capsule_that_nobody_takes_frees_its_tensors():
    before = torch.memory_allocated() if hasattr(torch, "memory_allocated") else None
    for _ in range(100):
        to_arrow({"x": torch.zeros(100_000)}).__arrow_c_array__()
    gc.collect()
    if before is not None:
        assert torch.memory_allocated() - before < 10_000_000


def test_streams():
    tables = [Table([(b"x", b"f", values(*range(i, i + 2)), None)], 2) for i in (0, 2)]
    state = {"next": 0, "released": 0, "fail": False}
    message = c_char_p(b"the source is gone")

    class Source:
        def __arrow_c_stream__(self, requested_schema=None):
            def get_schema(_, out):
                out[0] = tables[0].parts()[0]
                return 0

            def get_next(_, out):
                if state["fail"]:
                    return 5
                if state["next"] < len(tables):
                    out[0] = tables[state["next"]].parts()[1]
                    state["next"] += 1
                return 0

            self.s = Stream()
            self.s.get_schema = CFUNCTYPE(c_int, POINTER(Stream), POINTER(Schema))(get_schema)
            self.s.get_next = CFUNCTYPE(c_int, POINTER(Stream), POINTER(Array))(get_next)
            self.s.get_last_error = CFUNCTYPE(c_void_p, POINTER(Stream))(lambda _: cast(message, c_void_p).value)
            self.s.release = CFUNCTYPE(None, POINTER(Stream))(lambda _: None)
            return _new(addressof(self.s), b"arrow_array_stream", None)

    got = [d["x"].tolist() for d in arrow_batches(Source())]
    assert got == [[0, 1], [2, 3]]
    state["fail"] = True
    with pytest.raises((OSError, RuntimeError), match="failed with code 5: the source is gone"):
        list(arrow_batches(Source()))


def test_pyarrow():
    pa = pytest.importorskip("pyarrow")
    batch = pa.record_batch(
        {
            "x": pa.array([1.0, 2.0, None], pa.float32()),
            "n": pa.array([1, 2, 3], pa.int64()),
            "v": pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.int16(), 2)),
            "b": pa.array([True, False, True]),
        }
    )
    with pytest.raises(ValueError, match="1 nulls"):
        from_arrow(batch)
    d = from_arrow(batch, masks=True)
    assert d["x.valid"].tolist() == [True, True, False] and d["n"].tolist() == [1, 2, 3]
    assert d["v"].tolist() == [[1, 2], [3, 4], [5, 6]] and d["b"].tolist() == [True, False, True]
    assert from_arrow(batch.slice(1, 2), masks=True)["v"].tolist() == [[3, 4], [5, 6]]
    table = pa.table({"x": pa.chunked_array([[1, 2], [3]])})
    assert [p["x"].tolist() for p in arrow_batches(table)] == [[1, 2], [3]]
    with pytest.raises(ValueError, match="2 pieces"):
        from_arrow(table)
    assert from_arrow(table.combine_chunks())["x"].tolist() == [1, 2, 3]
    back = pa.record_batch(to_arrow({"m": torch.arange(6.0).reshape(3, 2), "b": torch.tensor([True, False, True])}))
    back.validate(full=True)
    assert back["m"].to_pylist() == [[0, 1], [2, 3], [4, 5]] and back["b"].to_pylist() == [True, False, True]
    del d, batch, back
    gc.collect()
