"""save and load: PyTorch's files both ways, and files that want to do harm."""

import io
import os
import pickle
import struct
import zipfile

import pytest

import taper as torch
import taper.nn as nn


def test_reads_what_pytorch_wrote(fixture_file, expected):
    d = torch.load(fixture_file("containers.pt"))
    assert d["numbers"] == [1, 2.5, True, None, "text", b"bytes", 10**30, (1, (2, 3)), {4, 5}]
    assert d["base"].tolist() == list(range(12))
    assert d["view"].shape == (3, 3) and d["view"].stride() == (1, 4) and d["view"][0, 2].item() == 9
    d["base"][1] = 100
    assert d["view"][0, 0].item() == 100, "tensors that shared a storage share it again"
    assert isinstance(d["parameter"], nn.Parameter) and d["parameter"].tolist() == [1.5, -2.0]
    for name, t in d["dtypes"].items():
        assert repr(t.dtype) == name and t.tolist() == torch.tensor([0, 1, 2]).to(t.dtype).tolist()
    assert d["dtype"] is torch.float16 and d["size"] == torch.Size([2, 3]) and d["device"] == torch.device("cpu")
    assert list(d["ordered"]) == ["b", "a"] and d["ordered"]["a"].shape == (0,)


def test_training_goes_on_from_pytorchs_file(fixture_file, expected):
    d = torch.load(fixture_file("training.pt"), map_location="cpu")
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.PReLU())
    assert repr(net.load_state_dict(d["net"])) == "<All keys matched successfully>"
    for k, v in net.state_dict().items():
        assert v.tolist() == expected["training"][k]
    optimizer = torch.optim.Adam(net.parameters())
    optimizer.load_state_dict(d["optimizer"])
    assert optimizer.param_groups[0]["lr"] == 0.01
    net(torch.rand(4, 2)).sum().backward()
    optimizer.step()
    assert optimizer.state[net[0].weight]["step"].item() == 2.0


def test_round_trip(tmp_path):
    base = torch.arange(6.0)
    obj = {
        "tensors": [base, base[2:], base.view(2, 3).t()],
        "grad": torch.ones(2, requires_grad=True),
        "half": torch.tensor([1.5], dtype=torch.bfloat16),
        "list": [1, -5, 2**40, 10**30, 1.5, float("inf"), "ä", b"\x00\xff", None, True, (), [], {}, {1: {2: 3}}],
        "set": {1, 2},
        "size": torch.Size([1]),
        "same": None,
    }
    obj["same"] = obj["list"]
    path = tmp_path / "model.pt"
    torch.save(obj, path)
    got = torch.load(path)
    assert got["list"] == obj["list"] and got["same"] is got["list"] and got["set"] == {1, 2}
    assert got["grad"].requires_grad and got["half"].dtype == torch.bfloat16
    got["tensors"][0][5] = -1
    assert got["tensors"][1][3].item() == -1 and got["tensors"][2][2, 1].item() == -1
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt"]
    buffer = io.BytesIO()
    torch.save(obj, buffer)
    buffer.seek(0)
    assert torch.equal(torch.load(buffer)["tensors"][0], base)


def test_the_archive_is_pytorchs(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"w": torch.arange(3.0), "n": nn.Parameter(torch.ones(1))}, path)
    with zipfile.ZipFile(path) as z:
        names = z.namelist()
        assert {f"weights/{n}" for n in ("data.pkl", "byteorder", "version", "data/0", "data/1")} <= set(names)
        assert z.read("weights/version") == b"3\n" and z.read("weights/byteorder") == b"little"
        assert z.read("weights/data/0") == struct.pack("3f", 0, 1, 2)
        program = z.read("weights/data.pkl")
        assert b"ctorch._utils\n_rebuild_tensor_v2\n" in program and b"ctorch\nFloatStorage\n" in program
        assert b"taper" not in program
        for info in z.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            with open(path, "rb") as f:
                f.seek(info.header_offset + 26)
                name_length, extra_length = struct.unpack("<HH", f.read(4))
            start = info.header_offset + 30 + name_length + extra_length
            assert start % 64 == 0, "records begin at multiples of 64"


def test_map_location():
    buffer = io.BytesIO()
    torch.save(torch.arange(3.0), buffer)
    for where in ("cpu", torch.device("cpu"), {"cpu": "cpu"}, lambda storage, location: storage):
        buffer.seek(0)
        assert torch.load(buffer, map_location=where).tolist() == [0.0, 1.0, 2.0]


class Custom:
    def __init__(self):
        self.value = 3


class Evil:
    def __reduce__(self):
        return os.system, ("echo harm > /tmp/taper-harm",)


def archive(program, storages=()):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as z:
        z.writestr("a/data.pkl", program)
        z.writestr("a/version", b"3\n")
        for i, s in enumerate(storages):
            z.writestr(f"a/data/{i}", s)
    buffer.seek(0)
    return buffer


HARMFUL = {
    "call": pickle.dumps(Evil(), 2),
    "call, newer protocol": pickle.dumps(Evil(), 4),
    "name": b"cos\nsystem\n.",
    "getattr": b"cbuiltins\ngetattr\n(cbuiltins\ndict\nX\x04\x00\x00\x00keystR.",
    "eval": b"c__builtin__\neval\n(X\x01\x00\x00\x001tR.",
    "inst": b"(X\x02\x00\x00\x00idios\nsystem\n.",
    "obj": b"(cbuiltins\nset\no.",
    "state of a class": b"ccollections\nOrderedDict\n}X\x01\x00\x00\x00aK\x01sb.",
    "state of a function": b"ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aK\x01sb.",
    "call of a dtype": b"ctorch\nfloat32\n)R.",
    "call of a result": b"ccollections\nOrderedDict\n)R)R.",
    "extension": b"\x82\x01.",
    "append to a dict": b"}K\x01a.",
    "items of a list": b"]K\x01K\x02s.",
    "factory": b"ccollections\ndefaultdict\n(ctorch._utils\n_rebuild_parameter\ntR.",
}


@pytest.mark.parametrize("what", HARMFUL)
def test_nothing_is_executed(what):
    with pytest.raises(RuntimeError, match="not allowed|not an allowed|unexpected|no list|no dict"):
        torch.load(archive(HARMFUL[what]))
    assert not os.path.exists("/tmp/taper-harm")


def tensor_program(offset=0, size=3, stride=1, count=3):
    def integer(n):
        return b"J" + struct.pack("<i", n)

    storage = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        + integer(count)
        + b"tQ"
    )
    shape = integer(offset) + integer(size) + b"\x85" + integer(stride) + b"\x85"
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage + shape + b"\x89ccollections\nOrderedDict\n)RtR."


def test_damaged_files():
    data = struct.pack("3f", 1, 2, 3)
    assert torch.load(archive(tensor_program(), [data])).tolist() == [1.0, 2.0, 3.0]
    for bad in ({"size": 4}, {"offset": 1}, {"offset": -1}, {"stride": 2}, {"stride": -1}, {"count": 4}, {"count": -1}):
        with pytest.raises(RuntimeError):
            torch.load(archive(tensor_program(**bad), [data]))
    with pytest.raises(RuntimeError):
        torch.load(archive(tensor_program(), []))
    whole = archive(tensor_program(), [data]).getvalue()
    for cut in range(1, len(whole), 7):
        with pytest.raises((RuntimeError, EOFError)):
            torch.load(io.BytesIO(whole[:cut]))
    program = tensor_program()
    for cut in range(len(program)):
        with pytest.raises(RuntimeError):
            torch.load(archive(program[:cut], [data]))
    for i in range(len(program)):
        for flip in (1, 0x80, 0xFF):
            broken = bytearray(program)
            broken[i] ^= flip
            try:
                torch.load(archive(bytes(broken), [data]))
            except (RuntimeError, TypeError, ValueError, AttributeError):
                pass
    with pytest.raises(RuntimeError, match="no zip archive"):
        torch.load(io.BytesIO(b"nothing of the kind"))
    with pytest.raises(EOFError):
        torch.load(io.BytesIO(b""))
    with pytest.raises(FileNotFoundError):
        torch.load("/no/such/file.pt")
    with pytest.raises(RuntimeError, match="Parent directory"):
        torch.save(1, "/no/such/folder/x.pt")


def test_own_classes():
    buffer = io.BytesIO()
    torch.save({"net": nn.Linear(1, 1), "custom": Custom()}, buffer)
    buffer.seek(0)
    with pytest.raises(RuntimeError, match="weights_only=False"):
        torch.load(buffer)
    buffer.seek(0)
    assert torch.load(buffer, weights_only=False)["custom"].value == 3
    single = io.BytesIO()
    torch.save(Custom(), single)
    with torch.serialization.safe_globals([Custom]):
        single.seek(0)
        assert torch.load(single).value == 3
    single.seek(0)
    with pytest.raises(RuntimeError):
        torch.load(single)


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.pt"
    torch.save(1, path)
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        torch.save({"a": torch.ones(1), "b": lambda: 1}, path)
    assert torch.load(path) == 1 and [p.name for p in tmp_path.iterdir()] == ["x.pt"]


def test_safetensors(tmp_path, device):
    net, path = nn.Linear(2, 3), tmp_path / "w.safetensors"
    torch.safetensors.save_file(net.state_dict(), path, metadata={"kind": "test"})
    assert torch.safetensors.load_file(path)["bias"].is_cpu
    got = torch.safetensors.load_file(path, device=device)
    assert set(got) == {"weight", "bias"} and torch.equal(got["weight"], net.weight)
    assert repr(nn.Linear(2, 3).load_state_dict(got)) == "<All keys matched successfully>"
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
    with pytest.raises(TypeError, match="must be a Tensor"):
        torch.safetensors.save_file({"a": 1}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    with pytest.raises(OSError):
        torch.safetensors.load_file(path)
    with pytest.raises(OSError):
        torch.safetensors.load_file(tmp_path / "none")


@pytest.mark.parametrize("weights_only", [True, False])
def test_files_of_before_zip_archives(weights_only):
    import os

    from taper import _legacy

    files = os.path.join(os.path.dirname(__file__), "..", "..", "..", "tests", "fixtures", "files")
    with open(os.path.join(files, "legacy.pt"), "rb") as f:
        data = f.read()
    assert data.startswith(_legacy.HEAD)
    got = torch.load(io.BytesIO(data), weights_only=weights_only)
    want = torch.load(os.path.join(files, "state.pt"))
    assert list(got) == list(want)
    for key, t in want.items():
        assert got[key].dtype == t.dtype and got[key].stride() == t.stride() and got[key].tolist() == t.tolist()
    got["weight"][0, 0] = 100
    assert got["tied"][0, 0] == got["turned"][0, 0] == 100
    if not weights_only:
        return
    for cut in range(len(_legacy.HEAD), len(data)):
        with pytest.raises(RuntimeError):
            torch.load(io.BytesIO(data[:cut]))
    for at in range(0, len(data)):
        for flip in (1, 0x80, 0xFF):
            broken = bytearray(data)
            broken[at] ^= flip
            try:
                torch.load(io.BytesIO(bytes(broken)))
            except (RuntimeError, TypeError, ValueError, AttributeError, EOFError):
                pass
