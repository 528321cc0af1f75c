"""Files made to cost much more than their length: they are refused at once. And damage at random, for a moment."""

import io
import os
import pickle
import struct
import sys
import time
import zipfile

import pytest

import taper as torch
import taper.nn as nn

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def archive(program, records=(), method=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as z:
        z.writestr("a/data.pkl", program)
        for i, data in enumerate(records):
            z.writestr(f"a/data/{i}", data)
    buffer.seek(0)
    return buffer


def int4(n):
    return b"J" + struct.pack("<i", n)


def put(i):
    return b"r" + struct.pack("<I", i)


def get(i):
    return b"j" + struct.pack("<I", i)


def text(s):
    return b"X" + struct.pack("<I", len(s)) + s


def growing_inwards(n):
    """Lists, each put into the one before when that lies in another already."""
    steps = b"".join(b"]" + put(i + 1) + b"0" + get(i) + get(i + 1) + b"a0" for i in range(n))
    return b"]" + put(0) + b"0" + steps + get(0) + b"."


def large_keys(n):
    """Integers that could be chosen to have one hash."""
    keys = b"".join(b"\x8a\x0b" + ((2**61 - 1) + k).to_bytes(11, "little") + b"N" for k in range(1, n))
    return b"}(" + keys + b"u."


many = b"](" + b"K\x01" * 10_000 + b"e" + put(0) + b"0"
HOSTILE = {
    "set of a range": b"cbuiltins\nset\n(cbuiltins\nrange\n(" + int4(2**31 - 1) + b"tRtR.",
    "Counter of a range": b"ccollections\nCounter\n(cbuiltins\nrange\n(" + int4(2**31 - 1) + b"tRtR.",
    "deque": b"ccollections\ndeque\n(]K\x01tR.",
    "list": b"cbuiltins\nlist\n)R.",
    "dict": b"cbuiltins\ndict\n)R.",
    "frozenset": b"(K\x01\x91.",
    "bytearray of a number": b"cbuiltins\nbytearray\n" + int4(10**9) + b"\x85R.",
    "bytearray of integers": many + b"cbuiltins\nbytearray\n" + get(0) + b"\x85R.",
    "long bytearray": b"\x96" + struct.pack("<Q", 10**12) + b".",
    "long text": b"\x8d" + struct.pack("<Q", 2**63) + b".",
    "long integer": b"\x8b" + struct.pack("<i", 1_000_000) + b"\1" * 1_000_000 + b".",
    "negative length": b"\x8b" + struct.pack("<i", -1) + b".",
    "shared tuples as a key": b"}K\x01" + b"2\x86" * 60 + b"Ns.",
    "shared tuples in a set": b"\x8f(K\x01" + b"2\x86" * 60 + b"\x90.",
    "shared tuples in set()": b"cbuiltins\nset\n](K\x01" + b"2\x86" * 60 + b"e\x85R.",
    "nested tuples": b")" + b"\x85" * 300_000 + b".",
    "nested lists": b"]" * 20_000 + b"a" * 19_999 + b".",
    "nested dicts": b"}" + b"X\1\0\0\0k}" * 20_000 + b"s" * 20_000 + b".",
    "nested calls": b"ccollections\nOrderedDict\n" + put(0) + b"0" + (get(0) + b")R" + text(b"k")) * 5000 + b"N" + b"s" * 5000 + b".",
    "nesting that grows inwards": growing_inwards(5000),
    "copies of one list": many + (b"cbuiltins\nset\n" + get(0) + b"\x85R0") * 2000 + b"N.",
    "copies of one text": text(b"a" * 100_000) + put(0) + b"0" + (b"c_codecs\nencode\n" + get(0) + text(b"latin1") + b"\x86R0") * 999 + b"N.",
    "many large integers as keys": large_keys(12_000),
    "complex keys": b"}cbuiltins\ncomplex\nK\1K\2\x86RNs.",
    "tensor of many dimensions": None,
    "dict with itself as a key": b"}" + put(0) + get(0) + b"Ns.",
    "odd number of items": b"}(K\x01u.",
    "mark in a tuple": b"(\x85.",
    "nothing to return": b".",
    "size of texts": b"ctorch\nSize\n]" + text(b"a") + b"a\x85R.",
    "size without end": b"ctorch\nSize\n" + text(b"aaaa") + b"\x85R.",
    "device of a number": b"ctorch\ndevice\nK\1\x85R.",
    "unknown device": b"ctorch\ndevice\n" + text(b"moon") + b"\x85R.",
    "parameter of nothing": b"ctorch._utils\n_rebuild_parameter\n(N\x88NtR.",
    "arguments that are missing": b"ctorch._utils\n_rebuild_tensor_v2\n)R.",
    "call of a class": b"ctorch\nTensor\nK\1\x85R.",
    "instance of a class": b"ctorch\nTensor\n)\x81.",
    "state with numbers": b"ccollections\nOrderedDict\n)R}K\1K\2sb.",
    "persistent id of text": text(b"0") + b"Q.",
    "persistent id of nothing": b"NQ.",
    "name that is no text": b"\x80\x04K\1K\2\x93.",
    "name of many letters": b"c" + b"a" * 1_000_000 + b"\nb\n.",
    "bytes that are no UTF-8": b"X\1\0\0\0\xff.",
}  # fmt: skip


def storage(kind=b"FloatStorage", key=b"0", device=b"cpu", count=3):
    return b"(" + text(b"storage") + b"ctorch\n" + kind + b"\n" + text(key) + text(device) + int4(count) + b"tQ"


def tensor(store, offset, size, stride, more=b"\x89N"):
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + store + offset + size + stride + more + b"tR."


def tuple_of(*items):
    return b"(" + b"".join(items) + b"t"


BIG = b"\x8a\x09" + (2**64 + 1).to_bytes(9, "little")
HOSTILE["tensor of many dimensions"] = tensor(
    storage(), int4(0), tuple_of(*[b"K\1"] * 100_000), tuple_of(*[b"K\1"] * 100_000)
)
for name, program in {
    "size beyond 64 bits": tensor(storage(), int4(0), tuple_of(BIG), tuple_of(int4(0))),
    "stride beyond 64 bits": tensor(storage(), int4(0), tuple_of(int4(1)), tuple_of(BIG)),
    "offset beyond 64 bits": tensor(storage(), BIG, tuple_of(int4(1)), tuple_of(int4(1))),
    "product of sizes beyond 64 bits": tensor(
        storage(), int4(0), tuple_of(*[int4(2**31 - 1)] * 4), tuple_of(*[int4(0)] * 4)
    ),
    "negative size": tensor(storage(), int4(0), tuple_of(int4(-1)), tuple_of(int4(1))),
    "fewer strides": tensor(storage(), int4(0), tuple_of(int4(1), int4(1)), tuple_of(int4(1))),
    "size as a list": tensor(storage(), int4(0), b"]" + text(b"a") + b"a", tuple_of(int4(1))),
    "bool as a size": tensor(storage(), int4(0), tuple_of(b"\x88"), tuple_of(int4(1))),
    "tensor of no storage": tensor(b"N", int4(0), tuple_of(int4(1)), tuple_of(int4(1))),
    "gradient of integers": tensor(storage(b"IntStorage"), int4(0), tuple_of(int4(1)), tuple_of(int4(1)), b"\x88N"),
    "storage that is too short": tensor(storage(count=4), int4(0), tuple_of(int4(1)), tuple_of(int4(1))),
    "storage of negative length": tensor(storage(count=-1), int4(0), tuple_of(int4(0)), tuple_of(int4(1))),
    "storage that is missing": tensor(storage(key=b"7"), int4(0), tuple_of(int4(0)), tuple_of(int4(1))),
    "storage outside": tensor(storage(key=b"../data.pkl"), int4(0), tuple_of(int4(0)), tuple_of(int4(1))),
    "storage of a dtype": tensor(storage(b"float32"), int4(0), tuple_of(int4(0)), tuple_of(int4(1))),
    "storage of two types": storage() + b"0" + tensor(storage(b"IntStorage"), int4(0), tuple_of(int4(1)), tuple_of(int4(1))),
    "storage on the moon": tensor(storage(device=b"moon"), int4(0), tuple_of(int4(0)), tuple_of(int4(1))),
}.items():  # fmt: skip
    HOSTILE[name] = program


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_pickles(what):
    file = archive(HOSTILE[what], [struct.pack("<3f", 1, 2, 3)])
    start = time.process_time()
    with pytest.raises(pickle.UnpicklingError) as error:
        torch.load(file)
    assert isinstance(error.value, RuntimeError) and len(str(error.value)) < 1000
    assert time.process_time() - start < 3


def test_hostile_archives(monkeypatch):
    from taper import serialization

    monkeypatch.setattr(serialization, "_INFLATED", 1 << 20)
    program = tensor(storage(count=5 << 18), int4(0), tuple_of(int4(1)), tuple_of(int4(1)))
    bombs = [
        archive(bytes(5 << 20), (), zipfile.ZIP_DEFLATED),
        archive(program, [bytes(5 << 20)], zipfile.ZIP_DEFLATED),
        archive(b"N.", (), zipfile.ZIP_BZIP2),
        archive(b"N.", (), zipfile.ZIP_LZMA),
    ]
    # A record whose stream is longer than the directory says.
    whole = archive(b"N." + bytes(5 << 20), (), zipfile.ZIP_DEFLATED).getvalue()
    bombs.append(io.BytesIO(whole.replace(struct.pack("<I", (5 << 20) + 2), struct.pack("<I", 2))))
    # Two records of one name.
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as z, pytest.warns(UserWarning):
        z.writestr("a/data.pkl", b"N.")
        z.writestr("a/data.pkl", b"N.")
    bombs.append(twice)
    for b in bombs:
        b.seek(0)
        with pytest.raises(RuntimeError, match="PytorchStreamReader"):
            torch.load(b)
    # What compresses as weights do is read.
    out = io.BytesIO()
    torch.save({"w": torch.arange(1000.0)}, out)
    with zipfile.ZipFile(out) as z:
        parts = [(i.filename, z.read(i)) for i in z.infolist()]
    small = io.BytesIO()
    with zipfile.ZipFile(small, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in parts:
            z.writestr(name, data)
    small.seek(0)
    assert torch.load(small)["w"][999].item() == 999


def test_errors_of_the_program_come_through():
    out = io.BytesIO()
    torch.save(torch.ones(1), out)

    def fail(storage, location):
        raise KeyError("mine")

    out.seek(0)
    with pytest.raises(KeyError, match="mine"):
        torch.load(out, map_location=fail)
    out.seek(0)
    with pytest.raises(RuntimeError, match="not available") as error:
        torch.load(out, map_location="cuda:7")
    assert not isinstance(error.value, pickle.UnpicklingError)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_programs_save_is_read(protocol):
    class_free = {
        "numbers": [0, -1, 255, 65536, 2**40, -(2**70), 1.5, float("inf"), True, None, 1j],
        "text": ["", "ä", "a\0b", b"", b"\x00\xff", bytearray(b"ab")],
        "nested": {"a": {"b": {"c": ([1, (2, (3,))],)}}},
        "keys": {1: 2, (1, "a"): 3, None: 4, 2.5: 5, b"b": 6, ("x", ("y", 1)): 7, torch.float32: 8},
        "words": {(f"a{i}", f"b{i}"): i for i in range(11_000)},
        "set": {1, "a", (1, 2)},
        "dtype": torch.float16,
        "device": torch.device("cpu"),
        "size": torch.Size([2, 3]),
    }
    cycle = []
    cycle.append(cycle)
    deep = []
    for _ in range(150):
        deep = [deep]
    base = torch.arange(6.0)
    tensors = [base, base[2:], nn.Parameter(base[:2]), base.bfloat16(), torch.zeros(0, 3), base[:1].expand(1000, 2)]
    out = io.BytesIO()
    torch.save({**class_free, "cycle": cycle, "deep": deep, "tensors": tensors}, out, pickle_protocol=protocol)
    out.seek(0)
    got = torch.load(out)
    for name, value in class_free.items():
        assert got[name] == value and type(got[name]) is type(value), name
    assert got["cycle"][0] is got["cycle"] and got["deep"] == deep
    got["tensors"][0][2] = 50
    assert got["tensors"][1][0].item() == 50 and got["tensors"][5].stride() == (0, 0)


def test_attributes_of_tensors_are_read(fixture_file):
    assert torch.load(fixture_file("attributes.pt"))["plain"].tag == "x"


def test_damage_at_random():
    sys.path.insert(0, os.path.join(ROOT, "tests", "reliability"))
    try:
        import damaged_files
    finally:
        del sys.path[0]
    assert damaged_files.run_here(seed=int(time.time()), seconds=2) > 0
