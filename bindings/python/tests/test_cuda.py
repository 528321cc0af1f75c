"""CUDA: events, memory shared with other libraries, optimisers in graphs. Without a device: what must not need one."""

import pickle

import pytest

import taper
from taper import nn

cuda = pytest.mark.skipif(not taper.cuda.is_available(), reason="there is no CUDA device")
try:
    import torch as pytorch
except ImportError:
    pytorch = None
both = pytest.mark.skipif(
    pytorch is None or not taper.cuda.is_available() or not pytorch.cuda.is_available(),
    reason="PyTorch with a CUDA device is not there",
)

NAMES = """is_available FloatTensor max_memory_allocated reset_peak_memory_stats device_count set_device synchronize
manual_seed_all manual_seed LongTensor empty_cache amp.autocast amp.GradScaler get_device_name Stream amp amp.grad_scaler
amp.grad_scaler.GradScaler current_stream is_bf16_supported memory_allocated memory_summary stream BFloat16Tensor device
get_device_properties Event""".split()


@pytest.mark.parametrize("name", NAMES)
def test_names_that_programs_use(name):
    at = taper.cuda
    for part in name.split("."):
        at = getattr(at, part)
    assert callable(at) or name.startswith("amp")


def test_modules_that_programs_import():
    from taper.amp.grad_scaler import GradScaler
    from taper.cuda.amp import autocast
    from taper.cuda.amp.grad_scaler import GradScaler as other

    assert other is GradScaler is taper.amp.GradScaler and issubclass(autocast, taper.autocast)
    assert pickle.loads(pickle.dumps(GradScaler)) is GradScaler


@pytest.mark.skipif(taper.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device():
    c = taper.cuda
    assert (c.is_available(), c.device_count(), c.is_bf16_supported()) == (False, 0, False)
    assert not taper.backends.cudnn.is_available()
    assert c.memory_allocated() == c.max_memory_allocated() == 0 and "cuda:0" in c.memory_summary()
    c.empty_cache()
    c.manual_seed_all(1)
    c.reset_peak_memory_stats()
    c.set_device(-1)
    event = c.Event(enable_timing=True)
    assert event.query() and "uninitialized" in repr(event)
    event.synchronize()
    for call in (
        event.record,
        c.Stream,
        c.current_stream,
        c.synchronize,
        c.get_device_name,
        lambda: c.set_device(0),
        lambda: c.FloatTensor([1.0]),
        lambda: taper.ones(1).cuda(),
    ):
        with pytest.raises(RuntimeError, match="CUDA is not available: "):
            call()


def test_on_the_cpu():
    x = taper.ones(2, device="cpu")
    with pytest.raises(AttributeError, match="non-CUDA tensor type"):
        x.__cuda_array_interface__
    assert not hasattr(x, "__cuda_array_interface__")
    with pytest.raises(BufferError, match="stream must be None"):
        x.__dlpack__(stream=1)
    assert x.__dlpack__(stream=-1) is not None


@cuda
def test_events():
    start, end = (taper.cuda.Event(enable_timing=True) for _ in range(2))
    with pytest.raises(ValueError, match="must be recorded"):
        start.elapsed_time(end)
    start.record()
    x = taper.ones(1000, device="cuda")
    for _ in range(20):
        x = x + 1
    end.record()
    end.synchronize()
    assert end.query() and start.query() and start.elapsed_time(end) >= 0
    end.wait()
    with pytest.raises(ValueError, match="enable_timing"):
        taper.cuda.Event().elapsed_time(end)
    end.record()  # once more
    s = taper.cuda.current_stream()
    assert s.cuda_stream != 0
    event = s.record_event()
    s.wait_event(event)
    event.synchronize()
    assert s.query() in (True, False)
    assert x[0].item() == 21.0
    with pytest.raises(RuntimeError, match="while a graph is captured"):
        with taper.cuda.graph(taper.cuda.CUDAGraph()):
            end.record()


@cuda
def test_dlpack():
    x = taper.arange(6.0, device="cuda").reshape(2, 3)
    assert x.__dlpack_device__() == (2, 0) and x.data_ptr() != 0
    y = taper.from_dlpack(x.t())
    assert y.device == x.device and y.data_ptr() == x.data_ptr() and y.stride() == (1, 3)
    y += 1
    assert x.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    part = x[1]
    assert part.data_ptr() == x.data_ptr() + 12
    for options in ({}, {"max_version": (1, 0)}, {"stream": 1}, {"stream": 2}, {"stream": -1}):
        z = taper.from_dlpack(part.__dlpack__(**options))
        assert z.tolist() == [4.0, 5.0, 6.0] and z.data_ptr() == part.data_ptr()
    del x, part, y
    assert z.tolist() == [4.0, 5.0, 6.0]  # the memory lives on
    held = taper.cuda.memory_allocated()
    del z
    assert taper.cuda.memory_allocated() < held
    x = taper.ones(3, device="cuda")
    with pytest.raises(ValueError, match="ambiguous"):
        x.__dlpack__(stream=0)
    with pytest.raises(TypeError, match="stream must be an int"):
        x.__dlpack__(stream="1")
    with pytest.raises(BufferError, match="require gradient"):
        x.requires_grad_().__dlpack__()


@cuda
def test_cuda_array_interface():
    x = taper.zeros(2, 3, dtype=taper.int16, device="cuda")
    d = x.__cuda_array_interface__
    assert (d["typestr"], d["shape"], d["strides"], d["version"]) == ("<i2", (2, 3), None, 3)
    assert d["data"] == (x.data_ptr(), False)
    assert x.t().__cuda_array_interface__["strides"] == (2, 6)
    assert taper.zeros(0, device="cuda").__cuda_array_interface__["data"] == (0, False)
    with pytest.raises(TypeError, match="bfloat16"):
        x.bfloat16().__cuda_array_interface__
    with pytest.raises(RuntimeError, match="requires grad"):
        x.float().requires_grad_().__cuda_array_interface__


@both
def test_dlpack_with_pytorch():
    x = pytorch.arange(1000.0, device="cuda")
    for _ in range(50):
        x = x + 1  # still queued
    y = taper.from_dlpack(x)
    assert y.data_ptr() == x.data_ptr()
    y *= 2
    z = pytorch.from_dlpack(y)
    z += 1
    assert z[:3].tolist() == [101.0, 103.0, 105.0]
    pytorch.cuda.synchronize()
    assert y[:3].tolist() == [101.0, 103.0, 105.0]
    # Freed here while the other's work is queued: the memory does not serve again before that is done.
    for _ in range(20):
        t = taper.full((1 << 20,), 3.0, device="cuda")
        sums = pytorch.from_dlpack(t).sum()
        del t
        taper.zeros(1 << 20, device="cuda")
        assert sums.item() == 3.0 * (1 << 20)
    assert pytorch.as_tensor(taper.ones(3, device="cuda"), device="cuda").tolist() == [1.0, 1.0, 1.0]


@cuda
@pytest.mark.parametrize("make", [taper.optim.SGD, taper.optim.Adam, taper.optim.AdamW], ids=lambda m: m.__name__)
def test_a_graph_follows_its_optimizer(make):
    options = {"momentum": 0.9} if make is taper.optim.SGD else {}
    runs = []
    for captured in (False, True):
        taper.manual_seed(3)
        net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1)).cuda()
        optimizer = make(net.parameters(), lr=0.1, **options)
        scheduler = taper.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        x = taper.ones(3, 4).cuda()
        losses = []

        def step():
            optimizer.zero_grad()
            loss = (net(x) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        step()  # makes the state
        if captured:
            g = taper.cuda.CUDAGraph()
            with taper.cuda.graph(g):
                loss = step()
        for i in range(6):
            if captured and i != 3:  # an eager step in between
                g.replay()
                losses.append(loss.item())
            else:
                losses.append(step().item())
            scheduler.step()
        steps = [float(s["step"]) for s in optimizer.state_dict()["state"].values() if "step" in s]
        assert steps == ([] if make is taper.optim.SGD else [7.0] * 4)
        runs.append(losses)
    assert runs[0] == pytest.approx(runs[1], rel=1e-4)


@cuda
def test_graphs_refuse_optimizers_that_count_on_the_host():
    p = nn.Parameter(taper.ones(3, device="cuda"))
    optimizer = taper.optim.NAdam([p])
    p.grad = taper.ones(3, device="cuda")
    optimizer.step()
    with pytest.raises(RuntimeError, match="graph capture of step.. for an instance of NAdam"):
        with taper.cuda.graph(taper.cuda.CUDAGraph()):
            optimizer.step()
    first = taper.optim.Adam([p])
    with pytest.raises(RuntimeError, match="run one step before the capture"):
        with taper.cuda.graph(taper.cuda.CUDAGraph()):
            first.step()
