"""Devices: discovery, errors, memory, the current and the default device, modules and optimisers that move. What needs
an OpenCL device runs where there is one, the rest also in a process that sees none."""

import os
import pickle

import pytest

import taper
from taper import nn

opencl = pytest.mark.skipif(not taper.opencl.is_available(), reason=str(taper.opencl.why_not()))
DEVICES = ["cpu", pytest.param("opencl", marks=opencl)]
without = pytest.mark.skipif(taper.opencl.is_available(), reason="there is an OpenCL device")


def test_without_opencl(run_python):
    """This file once more, where no OpenCL platform is to be seen, and where the loader itself is missing."""
    if os.environ.get("TAPER_TEST_WITHOUT_OPENCL"):
        pytest.skip("this is that process")
    for where in ("OCL_ICD_VENDORS", "TAPER_OPENCL_LIBRARY"):
        env = {where: "/nonexistent", "TAPER_TEST_WITHOUT_OPENCL": "1", "TAPER_TEST_DEVICE": ""}
        r = run_python("-m", "pytest", "-q", __file__, **env)
        assert r.returncode == 0, r.stdout
        assert "passed" in r.stdout


@without
def test_none(run_python):
    assert taper.opencl.device_count() == 0 and not taper.opencl.is_initialized()
    reason = taper.opencl.why_not()
    assert "is not available: " in reason
    for call in (
        taper.opencl.get_device_name,
        taper.opencl.current_device,
        taper.opencl.synchronize,
        taper.opencl.mem_get_info,
        lambda: taper.opencl.device("pocl"),
        lambda: taper.opencl.set_device(0),
        lambda: taper.zeros(2, device="opencl"),
        lambda: taper.ones(2).opencl(),
        lambda: nn.Linear(2, 2).to("opencl"),
        lambda: taper.set_default_device("opencl"),
    ):
        with pytest.raises(RuntimeError, match="is not available: "):
            call()
    taper.opencl.empty_cache()
    taper.opencl.manual_seed_all(1)
    assert taper.opencl.memory_allocated() == 0
    assert taper.get_default_device() == taper.device("cpu")
    if not taper.cuda.is_available():
        assert not taper.accelerator.is_available() and taper.accelerator.current_accelerator() is None
        assert taper.accelerator.device_count() == 0
        with pytest.raises(RuntimeError, match="there is no accelerator"):
            taper.accelerator.synchronize()


@pytest.mark.skipif(taper.cuda.is_available(), reason="there is a CUDA device")
def test_no_cuda():
    assert taper.cuda.device_count() == 0
    assert taper.cuda.memory_allocated() == 0 and taper.cuda.max_memory_reserved() == 0
    assert not taper.cuda.is_bf16_supported()
    taper.cuda.manual_seed(1)
    taper.cuda.manual_seed_all(1)
    taper.cuda.empty_cache()
    taper.cuda.reset_peak_memory_stats()
    taper.cuda.set_device(-1)
    for call in (
        taper.cuda.get_device_name,
        taper.cuda.get_device_properties,
        taper.cuda.current_device,
        taper.cuda.Stream,
        lambda: taper.cuda.set_device(0),
        lambda: taper.ones(2).cuda(),
        lambda: nn.Linear(2, 2).cuda(),
    ):
        with pytest.raises(RuntimeError, match="CUDA is not available|device cuda"):
            call()


def test_properties_of_the_cpu():
    from taper._devices import find, properties

    p = properties("cpu")
    assert p.kind == "cpu" and p.name and p.version and p.compute_units >= 1 and p.fp64
    assert set(p.dtypes) >= {taper.float64, taper.bfloat16, taper.bool}
    assert find(p.name.upper(), "cpu") == taper.device("cpu")
    with pytest.raises(RuntimeError, match="no device is called 'no such device'; there are: .*cpu"):
        find("no such device")


def test_modules_of_types():
    assert taper.get_device_module("cpu") is taper.cpu and taper.get_device_module("cuda:0") is taper.cuda
    assert taper.get_device_module(taper.device("opencl")) is taper.opencl
    name = taper.accelerator.current_accelerator() or taper.device("cpu")
    assert taper.get_device_module() is getattr(taper, name.type)
    assert taper.cpu.is_available() and taper.cpu.device_count() == 1 and taper.cpu.get_device_name()
    taper.cpu.synchronize()


def test_device_objects():
    d = taper.device("opencl:1")
    assert (d.type, d.index, str(d), repr(d)) == ("opencl", 1, "opencl:1", "device(type='opencl', index=1)")
    assert pickle.loads(pickle.dumps(d)) == d and hash(taper.device("opencl", 1)) == hash(d)
    assert taper.device("opencl") != d and taper.device("opencl").index is None
    for bad in ("tpu", "cuda:x", "opencl:"):
        with pytest.raises(RuntimeError):
            taper.device(bad)
    x = taper.ones(2)
    assert x.is_cpu and not x.is_cuda and not x.is_opencl and x.get_device() == -1


@opencl
def test_discovery():
    n = taper.opencl.device_count()
    for i in range(n):
        p = taper.opencl.get_device_properties(i)
        assert p.name == taper.opencl.get_device_name(i) and taper.float32 in p.dtypes
        assert p.total_memory >= p.max_allocation > 0 and p.compute_units > 0
        assert p.device == taper.device("opencl", i) and p.name in repr(p)
        assert taper.opencl.device(p.name.lower()).type == "opencl"
        assert taper.opencl.device(p.vendor).type == "opencl"
    assert taper.opencl.device(0) == taper.device("opencl", 0) == taper.opencl.device("opencl:0")
    with pytest.raises(RuntimeError, match=r"no OpenCL device is called 'nope'; there are: opencl:0 \("):
        taper.opencl.device("nope")
    with pytest.raises(RuntimeError, match=rf"device opencl:{n} is not available: there .*opencl:0 \("):
        taper.zeros(2, device=f"opencl:{n}")
    with pytest.raises(ValueError, match="Expected a opencl device"):
        taper.opencl.get_device_name("cpu")


@opencl
def test_environment_variable(run_python):
    code = "import taper; print(taper.opencl.device_count(), taper.opencl.why_not())"
    assert run_python(code=code, TAPER_OPENCL_DEVICE="0").stdout == "1 None\n"
    out = run_python(code=code, TAPER_OPENCL_DEVICE="no such device").stdout
    assert out.startswith("0 TAPER_OPENCL_DEVICE: no OpenCL device matches 'no such device'; there are: 0 (")


@opencl
def test_memory():
    cl = taper.opencl
    before = cl.memory_allocated()
    x = taper.zeros(1 << 20, device="opencl")
    assert cl.memory_allocated() >= before + (4 << 20) and cl.max_memory_allocated() >= cl.memory_allocated()
    assert cl.memory_reserved() >= cl.memory_allocated() and cl.max_memory_reserved() >= cl.memory_reserved()
    assert cl.memory_stats()["allocated_bytes.all.current"] == cl.memory_allocated()
    assert "allocated_bytes.all.peak" in cl.memory_summary()
    del x
    cl.synchronize()
    assert cl.memory_allocated() == before
    assert cl.max_memory_allocated() >= before + (4 << 20)
    cl.reset_peak_memory_stats()
    assert cl.max_memory_allocated() == before
    cl.empty_cache()
    free, total = cl.mem_get_info()
    assert 0 < free <= total == cl.get_device_properties().total_memory


@opencl
def test_current_device_and_streams():
    cl = taper.opencl
    assert cl.current_device() == 0
    cl.set_device(0)
    with cl.device_guard(0):
        assert taper.ones(1).opencl().device == taper.device("opencl", 0)
    s = cl.Stream()
    assert s == cl.current_stream() and s.query()
    start, end = cl.Event(enable_timing=True), cl.Event(enable_timing=True)
    with pytest.raises(ValueError, match="must be recorded"):
        start.elapsed_time(end)
    with cl.stream(s):
        start.record()
        taper.ones(1000, device="opencl").sum()
        end.record()
    end.synchronize()
    assert start.elapsed_time(end) > 0 and end.query()
    with pytest.raises(ValueError, match="enable_timing"):
        cl.Event().elapsed_time(end)


@opencl
def test_default_device(request):
    with taper.device("opencl"):
        assert taper.ones(2).is_opencl and taper.tensor([1, 2]).is_opencl and taper.arange(3).is_opencl
        assert nn.Linear(2, 2).weight.is_opencl and taper.ones(2, device="cpu").is_cpu
        with taper.device("cpu"):
            assert taper.ones(2).is_cpu
        assert taper.rand(2).is_opencl
    assert taper.ones(2).is_cpu
    taper.set_default_device("opencl:0")
    try:
        assert taper.get_default_device() == taper.device("opencl", 0) and taper.zeros(2).is_opencl
    finally:
        taper.set_default_device(None)
    assert taper.zeros(2).is_cpu
    a = taper.accelerator
    if not taper.cuda.is_available():
        # A driver alone changes nothing for programs that ask for an accelerator.
        assert not a.is_available() and a.current_accelerator() is None and a.device_count() == 0
        with pytest.raises(RuntimeError, match='use\\("opencl"\\) makes OpenCL the accelerator'):
            a.synchronize()
        with taper.device("opencl"):
            assert a.is_available()
    with pytest.raises(ValueError, match="expected 'cuda', 'opencl', 'auto' or None, but got 'tpu'"):
        a.use("tpu")
    a.use("opencl")
    request.addfinalizer(lambda: a.use(None))
    assert a.current_accelerator() == taper.device("opencl")
    assert a.is_available() and a.device_count() >= 1 and a.current_accelerator().index is None
    a.synchronize()
    assert a.memory_allocated() >= 0


@opencl
def test_what_the_default_device_takes():
    """As in PyTorch: data without a device go there, data that already lie on one too, indices and draws of loaders not."""
    import numpy as np

    here, array = taper.tensor([3.0, 1.0, 2.0]), np.array([1.0, 2.0])
    assert taper.as_tensor(here) is here
    with taper.device("opencl"), pytest.warns(UserWarning, match="copy construct"):
        made = [
            taper.as_tensor(array),
            taper.as_tensor(here),
            taper.as_tensor([1]),
            taper.tensor(here),
            taper.tensor(array),
        ]
        made += [taper.asarray(array), taper.asarray(here, copy=True), taper.utils.data.default_collate([array, array])]
        assert all(t.is_opencl for t in made)
        assert taper.from_numpy(array).is_cpu and taper.as_tensor(array, device="cpu").is_cpu
        assert taper.frombuffer(bytearray(8), dtype=taper.float32).is_cpu
        assert here[[0, 2]].tolist() == [3.0, 2.0] and here[np.array([1])].is_cpu
        here[[0]] = 4.0
        assert taper.combinations(here)[0].tolist() == [4.0, 1.0]
        assert made[1][[2]].is_opencl
    there = made[1]
    assert taper.as_tensor(there) is there and taper.tensor([5.0, 6.0]).is_cpu


@opencl
def test_tensors_move():
    x = taper.tensor([1.0, 2.0])
    y = x.to("opencl")
    assert y.is_opencl and y.device == taper.device("opencl", 0) and y.get_device() == 0
    assert y.to("opencl") is y and y.opencl() is y and y.to(x.device).is_cpu and y.to(x).is_cpu
    assert x.to(y).is_opencl and x.to("opencl", taper.float64).dtype is taper.float64
    assert x.type_as(y).is_opencl and y.cpu().tolist() == y.tolist() == [1.0, 2.0]
    assert y.new_zeros(2).is_opencl and taper.ones_like(y).is_opencl
    assert "device='opencl:0'" in repr(y)
    with pytest.raises(RuntimeError, match="opencl:0.*cpu|cpu.*opencl:0"):
        x + y
    with pytest.raises(TypeError, match="can't convert opencl:0 device type tensor to numpy"):
        y.numpy()
    assert (y + 1).tolist() == [2.0, 3.0] and (y * taper.tensor(2.0)).tolist() == [2.0, 4.0]


@opencl
def test_seeds():
    def draw():
        return taper.rand(16, device="opencl").tolist()

    taper.manual_seed(2)
    first = draw()
    taper.manual_seed(1)
    cpu = taper.rand(4).tolist()
    taper.manual_seed(1)
    taper.opencl.manual_seed_all(2)
    assert draw() == first and draw() != first and taper.rand(4).tolist() == cpu
    taper.manual_seed(2)
    assert draw() == first


OPTIMIZERS = {
    "adam": lambda p: taper.optim.Adam(p, lr=0.05),
    "sgd": lambda p: taper.optim.SGD(p, lr=0.1, momentum=0.9),
    "rmsprop": lambda p: taper.optim.RMSprop(p, lr=0.01),
}


class Job:
    def __init__(self, device, optimizer):
        taper.manual_seed(3)
        self.net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(device)
        self.optimizer = OPTIMIZERS[optimizer](self.net.parameters())

    def step(self, device):
        x = taper.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]], device=device)
        y = taper.tensor([[1.0, 0.0], [0.0, 1.0]], device=device)
        self.optimizer.zero_grad()
        loss = nn.functional.mse_loss(self.net(x), y)
        assert loss.device.type == device
        loss.backward()
        self.optimizer.step()
        return loss.item()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_moves(device, optimizer, tmp_path):
    a, b = Job("cpu", optimizer), Job("cpu", optimizer)
    for i in range(8):
        here = "cpu" if i // 2 % 2 == 0 else device
        b.net.to(here)
        assert a.step("cpu") == pytest.approx(b.step(here), abs=1e-5)
    path = tmp_path / "job.pt"
    taper.save({"net": b.net.state_dict(), "optimizer": b.optimizer.state_dict()}, path)
    following = b.step(device)
    for here in {"cpu", device}:
        saved = taper.load(path, map_location=here)
        c = Job(here, optimizer)
        c.net.load_state_dict(saved["net"])
        c.optimizer.load_state_dict(saved["optimizer"])
        assert c.step(here) == pytest.approx(following, abs=1e-5)
    e = Job("cpu", optimizer)
    e.net.load_state_dict(b.net.state_dict())
    e.optimizer.load_state_dict(b.optimizer.state_dict())
    assert e.step("cpu") == pytest.approx(b.step(device), abs=1e-5)


@opencl
def test_save_on_the_device(tmp_path):
    from taper.safetensors import load_file, save_file

    net = nn.Linear(3, 2).opencl()
    assert net.weight.is_opencl and net.weight.is_leaf and net.weight.requires_grad
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    assert load_file(tmp_path / "w.safetensors")["weight"].tolist() == net.weight.tolist()
    assert load_file(tmp_path / "w.safetensors", device="opencl")["weight"].is_opencl
    taper.save(net.weight, tmp_path / "w.pt")
    assert taper.load(tmp_path / "w.pt").is_opencl
    assert taper.load(tmp_path / "w.pt", map_location="cpu").is_cpu


def test_backends():
    import taper.backends.cudnn as cudnn

    assert cudnn is taper.backends.cudnn
    taper.backends.cudnn.deterministic = True
    cudnn.benchmark = False
    assert cudnn.deterministic is True and cudnn.benchmark is False
    assert cudnn.is_available() in (True, False) and cudnn.version() is None or isinstance(cudnn.version(), int)
    taper.backends.cuda.matmul.allow_tf32 = True
    assert taper.get_float32_matmul_precision() == "high"
    taper.set_float32_matmul_precision("medium")
    assert taper.backends.cuda.matmul.allow_tf32 is True
    with pytest.raises(ValueError, match="low"):
        taper.set_float32_matmul_precision("low")
    taper.backends.cuda.matmul.allow_tf32 = False
    assert taper.get_float32_matmul_precision() == "highest"
    assert cudnn.allow_tf32 is True
    cudnn.allow_tf32 = False
    assert cudnn.allow_tf32 is False and taper._c.proto("get_conv_allow_tf32")() is False
    cudnn.allow_tf32 = True
    before = taper.backends.cpu.winograd
    taper.backends.cpu.winograd = not before
    assert taper.backends.cpu.winograd is (not before) and taper._c.proto("get_conv_winograd")() is (not before)
    taper.backends.cpu.winograd = before
    with taper.backends.cuda.sdp_kernel(enable_flash=False, enable_math=True, enable_mem_efficient=False):
        pass
    assert taper.backends.mps.is_available() is False and taper.backends.mps.is_built() is False
    assert taper.backends.opencl.is_available() == taper.opencl.is_available()
    assert taper.backends.opencl.is_built() is True
    with cudnn.flags(enabled=False, benchmark=True, allow_tf32=False):
        assert cudnn.benchmark is True and cudnn.allow_tf32 is False
    assert cudnn.benchmark is False and cudnn.allow_tf32 is True


def test_graphs_need_cuda():
    g = taper.cuda.CUDAGraph()
    with pytest.raises(RuntimeError, match="without a preceding successful capture"):
        g.replay()
    with pytest.raises(RuntimeError, match="capture_begin was not called"):
        g.capture_end()
    assert not taper.cuda.is_current_stream_capturing() and g.pool() and taper.cuda.graph_pool_handle()
    if not taper.cuda.is_available():
        with pytest.raises(RuntimeError, match="CUDA is not available"):
            g.capture_begin()
        with pytest.raises(RuntimeError, match="CUDA is not available"):
            with taper.cuda.graph(g):
                pass
        assert not taper.cuda.is_current_stream_capturing()
    g.reset()
    with pytest.raises(TypeError, match="sample argument 0 must be a Tensor, not float"):
        taper.cuda.make_graphed_callables(lambda x: x, (1.0,))


cuda = pytest.mark.skipif(not taper.cuda.is_available(), reason="there is no CUDA device")


@cuda
def test_graph_replays():
    x = taper.tensor([1.0, 2.0], device="cuda")
    for _ in range(2):
        y = (x * 2).exp()
    g = taper.cuda.CUDAGraph()
    with taper.cuda.graph(g):
        assert taper.cuda.is_current_stream_capturing()
        y = (x * 2).exp()
    for values in ([0.0, 1.0], [3.0, -1.0]):
        x.copy_(taper.tensor(values))
        g.replay()
        assert y.tolist() == pytest.approx((taper.tensor(values) * 2).exp().tolist(), rel=1e-5)
    with pytest.raises(RuntimeError, match="already owns a captured graph"):
        g.capture_begin()
    with pytest.raises(ZeroDivisionError):
        with taper.cuda.graph(taper.cuda.CUDAGraph()):
            _ = x + 1
            _ = 1 / 0
    assert not taper.cuda.is_current_stream_capturing()
    assert (x + 1).tolist() == [4.0, 0.0]


@cuda
def test_graphed_callables():
    def loss_of(net, x):
        return (net(x) ** 2).sum()

    taper.manual_seed(0)
    plain = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).cuda()
    taper.manual_seed(0)
    graphed = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).cuda()
    graphed = taper.cuda.make_graphed_callables(graphed, (taper.randn(5, 3, device="cuda"),))
    optimizers = [taper.optim.SGD(n.parameters(), lr=0.1) for n in (plain, graphed)]
    for _ in range(4):
        x = taper.randn(5, 3, device="cuda")
        losses = []
        for net, optimizer in zip((plain, graphed), optimizers):
            optimizer.zero_grad()
            loss = loss_of(net, x)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    graphed.eval()
    assert (graphed(x) - plain(x)).abs().max().item() < 1e-5  # the other mode: its own forward


def test_messages():
    said = []

    def listen(level, text):
        said.append((level, text))
        raise RuntimeError("lost")

    from taper import _c

    empty = lambda: taper._settings._check(_c.proto("memory_empty_cache")(_c.device_c(taper.device("cpu"))))  # noqa: E731
    taper.set_log_callback(listen, "debug")
    empty()
    taper.set_log_callback(listen)
    empty()
    taper.set_log_callback(None)
    empty()
    assert said == [("debug", "cpu: memory that was kept for reuse went back")]
    assert listen not in _c.held.values()
    with pytest.raises(ValueError, match="expected a level among error, warning, info, debug, got 'loud'"):
        taper.set_log_callback(listen, "loud")


def test_networks_of_many_shapes_leave_nothing_that_cannot_be_given_back(run_python):
    # In a process of its own: how much is resident says nothing where other tests ran before.
    code = """
import gc, taper
from taper import nn, _c
def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096 >> 20
def work(i):
    c = 16 + 8 * i
    net = nn.Sequential(nn.Conv2d(3, c, 3, padding=1), nn.BatchNorm2d(c), nn.ReLU(), nn.MaxPool2d(2),
                        nn.Conv2d(c, 2 * c, 3, groups=1 + i % 2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))
    x, y = taper.randn(8, 3, 24 + 4 * i, 24), taper.arange(8)
    net(x)
    optimizer = taper.optim.Adam(net.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
work(0)
gc.collect()
empty = lambda: _c.proto("memory_empty_cache")(_c.device_c(taper.device("cpu")))
assert not empty()
before = resident()
for i in range(6):
    work(i)
gc.collect()
kept = resident()
assert not empty()
print(resident() - before, kept - before)
"""
    r = run_python(code=code, TAPER_TEST_DEVICE="cpu")
    assert r.returncode == 0, r.stderr
    left, kept = map(int, r.stdout.split())
    assert left < 12 and kept < 200, (left, kept)
