"""Files of every format through the core: safetensors (in memory, opened, sharded), PyTorch's, NumPy's; checkpoints."""

import os
import resource

import numpy as np
import pytest

import taper as torch
from taper import safetensors
from taper.checkpoint import load_checkpoint, save_checkpoint

FILES = os.path.join(os.path.dirname(__file__), "..", "..", "..", "tests", "fixtures", "files")


def same(a, b):
    assert list(sorted(a)) == list(sorted(b))
    for k in a:
        assert a[k].dtype == b[k].dtype and torch.equal(a[k], b[k]), k


def sample():
    t = torch.arange(12.0).view(3, 4)
    return {"t": t, "turned": t.t(), "h": t.half(), "i": torch.tensor([-1]), "b": torch.tensor([True, False])}


@pytest.mark.cpu_only("files are loaded to the CPU")
def test_bytes_and_opened_files(tmp_path):
    d = sample()
    data = safetensors.save(d, {"note": "x"})
    same(d, safetensors.load(data))
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    for mapped in (False, True):
        with safetensors.safe_open(path, "pt", mapped=mapped) as f:
            assert set(f.keys()) == set(d) and f.metadata() == {"note": "x"} and f.format() == "safetensors"
            assert torch.equal(f.get_tensor("turned"), d["turned"])
            part = f.get_slice("t")
            assert part.get_shape() == [3, 4] and part.get_dtype() == "F32"
            assert torch.equal(part[1:], d["t"][1:]) and torch.equal(part[:, 1:2], d["t"][:, 1:2])
            assert torch.equal(part[-2:-1], d["t"][-2:-1]) and torch.equal(part[0], d["t"][0])
            with pytest.raises(KeyError, match='there is no tensor "no"'):
                f.get_tensor("no")
            f.get_tensor("t").zero_()
    assert path.read_bytes() == data
    for cut in (0, 7, len(data) - 1):
        with pytest.raises(OSError):
            safetensors.load(data[:cut])


@pytest.mark.cpu_only("files are loaded to the CPU")
def test_shards(tmp_path):
    d = sample()
    assert safetensors.save_sharded(d, tmp_path, 60) == 3
    same(d, safetensors.load_file(tmp_path))
    same(d, safetensors.load_file(tmp_path / "model.safetensors.index.json"))
    with pytest.raises(ValueError, match="must be positive"):
        safetensors.save_sharded(d, tmp_path, 0)


def test_numpys_files():
    with safetensors.safe_open(os.path.join(FILES, "deflated.npz")) as f:
        with np.load(os.path.join(FILES, "deflated.npz")) as want:
            for name in want.files:
                assert np.array_equal(f.get_tensor(name).numpy(), want[name]), name
    assert np.array_equal(
        safetensors.load_file(os.path.join(FILES, "columns.npy"))["data"].numpy(), np.arange(6.0).reshape(2, 3)
    )
    with pytest.raises(OSError, match="Python objects"):
        safetensors.load_file(os.path.join(FILES, "objects.npy"))


@pytest.mark.cpu_only("files are loaded to the CPU")
@pytest.mark.parametrize("format", ["npz", "npz_compressed"])
def test_numpy_reads_what_is_written(tmp_path, format):
    d = sample()
    path = tmp_path / "a.npz"
    path.write_bytes(safetensors._bytes_of(d, None, format))
    with np.load(path) as read:
        for name, t in d.items():
            assert np.array_equal(read[name], t.numpy()) and read[name].dtype == t.numpy().dtype


@pytest.mark.cpu_only("files are loaded to the CPU")
def test_the_core_reads_what_python_saves(tmp_path):
    d = {"net": sample(), "epoch": 3, "betas": (0.5, 0.25), "note": "text", "list": [torch.ones(2), {"x": 1.5}]}
    torch.save(d, tmp_path / "a.pt")
    flat = safetensors.load_file(tmp_path / "a.pt")
    assert torch.equal(flat["net.turned"], d["net"]["turned"]) and flat["epoch"].item() == 3
    assert flat["betas"].tolist() == [0.5, 0.25] and flat["list.1.x"].item() == 1.5
    (tmp_path / "b.pt").write_bytes(safetensors._bytes_of(d["net"], {"note": "text"}, "pt"))
    back = torch.load(tmp_path / "b.pt")
    assert back.pop("note") == "text"
    same(d["net"], back)


def run():
    torch.manual_seed(3)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 1))
    adam = torch.optim.Adam(net.parameters(), lr=0.1)
    return net, adam, torch.optim.lr_scheduler.StepLR(adam, 2, gamma=0.5), torch.amp.GradScaler("cpu")


def train(net, adam, step, scaler, n):
    for _ in range(n):
        adam.zero_grad()
        scaler.scale(net(torch.randn(5, 3)).sum()).backward()
        scaler.step(adam)
        scaler.update()
        step.step()


def test_checkpoints_go_on_with_the_same_bits(tmp_path):
    path = tmp_path / "run.checkpoint"
    a = run()
    train(*a, 3)
    position = {"loader": torch.tensor([7, 2]), "note": "here", "epoch": 4}
    save_checkpoint(path, a[0], a[1], a[2], scaler=a[3], extra=position)
    train(*a, 4)
    b = run()
    extra, missing, unexpected = load_checkpoint(path, b[0], b[1], b[2], scaler=b[3])
    assert extra["note"] == "here" and extra["loader"].tolist() == [7, 2] and not missing and not unexpected
    train(*b, 4)
    same(a[0].state_dict(), b[0].state_dict())
    assert a[1].param_groups[0]["lr"] == b[1].param_groups[0]["lr"]
    before = {k: v.clone() for k, v in b[0].state_dict().items()}
    with pytest.raises(ValueError, match="has 1 schedules, but 0 were given"):
        load_checkpoint(path, b[0], b[1])
    other = torch.nn.Linear(1, 1)
    weight = other.weight.clone()
    with pytest.raises(RuntimeError):
        load_checkpoint(path, other, b[1], b[2], scaler=b[3])
    assert torch.equal(other.weight, weight)
    same(before, b[0].state_dict())


def test_loading_costs_the_data_once(tmp_path):
    """The resident set grows by the data and at most 20 MB."""
    path = tmp_path / "large.safetensors"
    t = torch.ones(16, 1 << 20)
    safetensors.save_file({f"{i}": t[i] for i in range(16)}, path)
    del t
    torch.cpu.empty_cache() if hasattr(torch.cpu, "empty_cache") else None
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    loaded = safetensors.load_file(path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert len(loaded) == 16 and grown < (64 + 20) << 10, grown
