"""A world of one process, hubs of folders, refusals, objects with `__torch_function__`: what has no case in PyTorch."""

import importlib.metadata

import pytest

import taper as torch
import taper.distributed as dist
import taper.nn.functional as F
from taper import nn, provide_torch


@pytest.fixture
def world():
    dist.init_process_group("gloo", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_collectives_of_one(world):
    t = torch.arange(3.0)
    assert (
        dist.is_initialized() and dist.get_rank() == 0 and dist.get_world_size() == 1 and dist.get_backend() == "gloo"
    )
    dist.all_reduce(t, op=dist.ReduceOp.SUM)
    dist.broadcast(t, 0)
    dist.barrier()
    parts = [torch.zeros(3)]
    assert dist.all_gather(parts, t, async_op=True).wait() and parts[0].tolist() == t.tolist() == [0, 1, 2]
    out = torch.zeros(3)
    dist.reduce_scatter(out, [t])
    dist.all_gather_into_tensor(out, t)
    objects = [None]
    dist.all_gather_object(objects, {"a": 1})
    assert out.tolist() == [0, 1, 2] and objects == [{"a": 1}]
    with pytest.raises(ValueError, match="rank 1 is not in the world"):
        dist.broadcast(t, 1)
    with pytest.raises(dist.DistBackendError, match="nobody to send to"):
        dist.send(t, 1)
    with pytest.raises(ValueError, match="expected a list of one"):
        dist.all_gather([t, t], t)
    with pytest.raises(ValueError, match="initialize the default process group twice"):
        dist.init_process_group("gloo")


def test_a_world_of_more_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="Default process group has not been initialized"):
        dist.get_rank()
    with pytest.raises(dist.DistBackendError, match="world_size is 2, but Taper runs in a world of one"):
        dist.init_process_group("nccl", rank=0, world_size=2)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(dist.DistBackendError, match="world_size is 4"):
        dist.init_process_group("gloo")
    assert not dist.is_initialized()


def test_distributed_data_parallel(world):
    net = nn.parallel.DistributedDataParallel(nn.Linear(2, 1))
    with net.no_sync():
        net(torch.ones(1, 2)).sum().backward()
    assert list(net.state_dict()) == ["module.weight", "module.bias"] and net.module.weight.grad.tolist() == [[1, 1]]


def test_hub_of_a_folder(tmp_path):
    (tmp_path / "hubconf.py").write_text(
        'def f(x=1):\n    """Twice."""\n    return 2 * x\n\ndependencies = ["torch"]\n'
    )
    assert torch.hub.load(str(tmp_path), "f", 3, source="local") == 6
    assert torch.hub.list(str(tmp_path), source="local") == ["f"]
    assert torch.hub.help(str(tmp_path), "f", source="local") == "Twice."
    with pytest.raises(RuntimeError, match="Cannot find callable g in hubconf"):
        torch.hub.load(str(tmp_path), "g", source="local")
    torch.hub.set_dir(str(tmp_path / "cache"))
    with pytest.raises(RuntimeError, match="downloads no code; clone the repository and pass its folder"):
        torch.hub.load("owner/name", "f")


def test_refusals_name_the_way(tmp_path):
    for call in (lambda: torch.jit.save(nn.Linear(1, 1), "x"), lambda: torch.jit.load("x")):
        with pytest.raises(RuntimeError, match="state_dict"):
            call()
    with pytest.raises(torch.onnx.OnnxExporterError, match="does not write ONNX"):
        torch.onnx.export(nn.Linear(1, 1), torch.ones(1), "x")
    with pytest.raises(RuntimeError, match="no tensors on device 'xla'"):
        torch.zeros(2, device="xla")
    with pytest.raises(TypeError, match="invalid dtype"):
        torch.zeros(2, dtype=torch.float8_e4m3fn)


def test_objects_with_torch_function(run_python):
    # In an interpreter of its own: from the first such object on, functions look for them.
    code = """
import taper as torch, taper.nn.functional as F
from taper.overrides import TorchFunctionMode, has_torch_function, handle_torch_function, resolve_name

class Duck:
    def __init__(self, v): self.v = v
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return func.__name__, [a.v if isinstance(a, Duck) else a for a in args]

d = Duck(3)
assert torch.add(d, 1) == ("add", [3, 1]) and torch.stack([d, d])[0] == "stack" and F.relu(d) == ("relu", [3])
assert has_torch_function((d,)) and not has_torch_function((torch.ones(1),))
assert (torch.ones(2) + 1).tolist() == [2, 2]

seen = []
class Log(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        seen.append(func.__name__)
        return func(*args, **(kwargs or {}))

with Log():
    torch.ones(2).mul(3)
torch.neg(torch.ones(1))
assert "mul" in seen and "neg" not in seen, seen
"""
    result = run_python(code=code)
    assert result.returncode == 0, result.stderr


def test_a_trace_leaves_functions_as_they_were():
    import taper.fx
    from taper import _subclass

    before = F.relu.__code__, torch.add.__code__, _subclass.active
    assert taper.fx.symbolic_trace(lambda x: F.relu(torch.add(x, 1)))(torch.ones(1)).item() == 2
    assert (F.relu.__code__, torch.add.__code__, _subclass.active) == before


def test_torch_counts_as_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(provide_torch, "_folder", lambda: str(tmp_path / f"torch-{provide_torch.VERSION}.dist-info"))
    monkeypatch.setattr(provide_torch.sys, "path", [str(tmp_path), *provide_torch.sys.path])
    try:
        importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        provide_torch.provide()
        assert importlib.metadata.version("torch") == provide_torch.VERSION
        provide_torch.provide()
        assert provide_torch.remove() and not provide_torch.remove()
    else:
        pytest.skip("PyTorch is installed here")
