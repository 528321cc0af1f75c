"""The package as a whole: start, library search, running scripts, memory over many steps, worker processes."""

import gc
import os
import subprocess
import sys
import time

import pytest
from conftest import DEVICE

import taper as torch
import taper.nn.functional as F
from taper import _c


def test_import_is_light(run_python):
    code = "import sys, taper; (taper.ones(2) + 1).tolist(); print(sorted(sys.modules))"
    loaded = run_python(code=code).stdout
    for heavy in ("numpy", "inspect", "dataclasses", "typing", "pickle", "zipfile", "multiprocessing", "taper.nn"):
        assert f"'{heavy}'" not in loaded or heavy in run_python(code="import sys; print(sorted(sys.modules))").stdout


def test_import_and_first_op_load_little(run_python):
    # What makes them quick (docs/BENCHMARKS.md has the times): few modules, 140 KB of source, and of the ops only those used.
    code = """
import sys
before = set(sys.modules)
import taper; taper.ones(2, 2) + 1
print(*sorted(set(sys.modules) - before))
"""
    loaded = run_python(code=code).stdout.split()
    assert len(loaded) < 30, loaded
    assert [m for m in loaded if m.startswith("taper._ops.") and m.endswith("_gen")] == ["taper._ops.creation_gen"]
    sources = [
        os.path.join(os.path.dirname(torch.__file__), *m.split(".")[1:]) + ".py" for m in loaded if "taper." in m
    ]
    assert sum(os.path.getsize(f) for f in sources if os.path.exists(f)) < 250_000


def test_library_search(run_python, tmp_path):
    result = run_python(code="import taper", TAPER_LIBRARY="/no/such/libtaper.so")
    assert "OSError: TAPER_LIBRARY names '/no/such/libtaper.so', which does not exist" in result.stderr
    result = run_python(code="import taper; print(taper._lib.path)", TAPER_LIBRARY=torch._lib.path)
    assert result.stdout.strip() == torch._lib.path
    foreign = tmp_path / "libother.so"
    source = tmp_path / "other.c"
    source.write_text(
        'unsigned taper_abi_version(void) { return 99; } const char *taper_version(void) { return "9.9"; }'
    )
    compiler = next(
        (c for c in ("cc", "gcc", "clang") if subprocess.run(["which", c], capture_output=True).returncode == 0), None
    )
    if compiler is None:
        pytest.skip("no C compiler")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", foreign, source], check=True)
    result = run_python(code="import taper", TAPER_LIBRARY=str(foreign))
    assert "has C ABI version 99, this package needs version 1" in result.stderr
    source.write_text("int nothing;")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", foreign, source], check=True)
    assert "is not a Taper library" in run_python(code="import taper", TAPER_LIBRARY=str(foreign)).stderr


def test_version():
    assert torch.__version__.count(".") == 2 and torch.version.__version__ == torch.__version__


SCRIPT = """
import sys
import torch, torch.nn as nn
import torch.nn.functional as F
from torch import optim, Tensor
from torch.utils.data import DataLoader, TensorDataset
from torch.optim.lr_scheduler import StepLR
from torch.nn.parameter import Parameter
from torch.autograd import Variable, Function
from torch.nn.utils import clip_grad_norm_
import torch.utils.data as data
import taper, taper.nn
assert torch is taper and nn is taper.nn and sys.modules["torch.nn.functional"] is sys.modules["taper.nn.functional"]
assert torch.nn.Parameter is Parameter and data.DataLoader is DataLoader
assert taper.nn.__name__ == "taper.nn" and taper.nn.__spec__.name == "taper.nn"
assert isinstance(torch.ones(1), Tensor)
try:
    import torch.no_such_part
except ModuleNotFoundError as e:
    print(e)
print(__name__, sys.argv[1:], torch.cuda.is_available(), torch.backends.mps.is_available())
"""


def test_run(run_python, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    result = run_python("-m", "taper.run", str(script), "a", "--b")
    assert result.stderr == ""
    there = torch.cuda.is_available()
    assert result.stdout == f"No module named 'torch.no_such_part' in Taper\n__main__ ['a', '--b'] {there} False\n"
    (tmp_path / "other.py").write_text("import torch\nprint(torch.ones(1))")
    (tmp_path / "first.py").write_text("import other")
    assert run_python("-m", "taper.run", str(tmp_path / "first.py")).stdout == "tensor([1.])\n"
    failing = tmp_path / "failing.py"
    failing.write_text("import torch\ntorch.ones(2) + torch.ones(3)")
    result = run_python("-m", "taper.run", str(failing))
    assert result.returncode == 1 and "RuntimeError: The size of tensor a (2)" in result.stderr
    assert run_python("-m", "taper.run", "/no/such.py").returncode == 2


def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_is_flat_over_training():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(16, 3))
    optimizer = torch.optim.Adam(net.parameters())
    x, t = torch.rand(4, 8), torch.tensor([0, 1, 2, 0])

    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, v):
            ctx.save_for_backward(v)
            return v * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    def step():
        optimizer.zero_grad()
        out = Double.apply(net(x[:, [1, 0, 2, 3, 4, 5, 6, 7]]))
        out.register_hook(lambda g: g)
        loss = F.cross_entropy(out, t)
        loss.backward()
        optimizer.step()
        try:
            out + torch.ones(7)
        except RuntimeError:
            pass
        return loss.item()

    first = step()
    for _ in range(300):
        step()
    gc.collect()
    handles, memory, held = _c.handle_count(), resident(), len(_c.held)
    steps, end = 0, time.monotonic() + (20 if DEVICE == "cpu" else 5)
    while steps < 10_000 and (steps < 2000 or time.monotonic() < end):
        last, steps = step(), steps + 1
    gc.collect()
    assert last < first
    assert _c.handle_count() == handles and len(_c.held) == held
    assert resident() - memory < 4_000_000


def test_handles_of_every_kind_are_freed():
    gc.collect()
    before = _c.handle_count()
    x = torch.ones(3, requires_grad=True)
    for _ in range(50):
        y = (x * x).sum()
        y.grad_fn.next_functions  # noqa: B018
        y.backward()
        x.grad  # noqa: B018
        torch.Generator().manual_seed(1)
        torch.ones(4).split(2)
        repr(x)
        with pytest.raises(RuntimeError):
            torch.ones(2) @ torch.ones(3)
    del x, y
    gc.collect()
    assert _c.handle_count() == before


class Squares(torch.utils.data.Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, i):
        return torch.tensor([float(i)]) ** 2, {"index": i}


class Failing(Squares):
    def __getitem__(self, i):
        raise KeyError("broken sample")


class Mismatched(Squares):
    """The library's own error, on its way out of a worker."""

    def __getitem__(self, i):
        return torch.ones(2) + torch.ones(3)


class Threads(Squares):
    def __getitem__(self, i):
        return torch.get_num_threads()


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        info = torch.utils.data.get_worker_info()
        start, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(start, 7, step))


@torch.device("cpu")  # a forked worker has no other device
def test_worker_processes():
    loader = torch.utils.data.DataLoader
    plain = [(b[0].flatten().tolist(), b[1]["index"].tolist()) for b in loader(Squares(), batch_size=3)]
    many = [(b[0].flatten().tolist(), b[1]["index"].tolist()) for b in loader(Squares(), batch_size=3, num_workers=2)]
    assert plain == many and plain[0] == ([0.0, 1.0, 4.0], [0, 1, 2])
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    assert {n for batch in loader(Threads(), num_workers=2) for n in batch.tolist()} == {1}
    torch.set_num_threads(before)
    with pytest.raises(KeyError, match="broken sample"):
        list(loader(Failing(), num_workers=2))
    with pytest.raises(
        RuntimeError, match="(?s)Caught RuntimeError in DataLoader worker .*must match the size"
    ) as caught:
        list(loader(Mismatched(), num_workers=2))
    assert isinstance(caught.value, torch.Error)
    assert sorted(v.item() for b in loader(Stream(), batch_size=2, num_workers=2) for v in b) == list(range(7))
    assert [b.tolist() for b in loader(Stream(), batch_size=3)] == [[0, 1, 2], [3, 4, 5], [6]]


def test_collating():
    from taper.utils.data import default_collate

    assert default_collate([1, 2]).dtype == torch.int64 and default_collate([1.5]).dtype == torch.float64
    assert default_collate(["a", "b"]) == ["a", "b"]
    a, b = default_collate([(torch.ones(2), 1), (torch.zeros(2), 0)])
    assert a.shape == (2, 2) and b.tolist() == [1, 0]
    with pytest.raises(RuntimeError, match="equal size"):
        default_collate([[1], [1, 2]])
    with pytest.raises(TypeError):
        default_collate([object()])


def test_exit_is_quiet(run_python):
    code = (
        "import taper as t\n"
        "a = t.ones(2, requires_grad=True)\nb = (a * 2).sum()\na.register_hook(lambda g: g)\n"
        "import sys\nsys.held = [a, b, t.nn.Linear(2, 2)]\n"
    )
    result = run_python(code=code)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
