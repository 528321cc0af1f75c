"""What goes wrong with OpenCL and what happens then, and what tensors of two devices do with each other."""

import copy
import ctypes.util
import os
import pickle
import stat

import pytest
from conftest import kernels_launched

import taper
from taper import nn

pytestmark = pytest.mark.skipif(not taper.opencl.is_available(), reason=str(taper.opencl.why_not()))

USE = """
import taper
print((taper.ones(2) + 1).tolist())
try:
    print((taper.ones(2, device="opencl") + 1).tolist())
except RuntimeError as e:
    print(type(e).__name__, e)
"""


# --- drivers that do not work ----------------------------------------------------------------------------------------


def vendors(folder, *libraries):
    folder.mkdir()
    for i, library in enumerate(libraries):
        (folder / f"{i}.icd").write_text(f"{library}\n")
    return str(folder)


@pytest.mark.parametrize("kind", ["empty", "missing", "no library", "no entry points"])
def test_broken_driver(kind, tmp_path, run_python):
    text = tmp_path / "text.so"
    text.write_text("not a library")
    libraries = {
        "empty": [],
        "missing": ["/nonexistent/libdriver.so"],
        "no library": [text],
        "no entry points": [ctypes.util.find_library("m")],
    }
    r = run_python(code=USE, OCL_ICD_VENDORS=vendors(tmp_path / "vendors", *libraries[kind]))
    assert r.returncode == 0, r.stderr
    cpu, opencl = r.stdout.splitlines()
    assert cpu == "[2.0, 2.0]"
    assert "RuntimeError" in opencl and "OpenCL is not available: the loader found no platform" in opencl


@pytest.mark.parametrize("kind", ["missing", "no library", "no entry points"])
def test_broken_loader(kind, tmp_path, run_python):
    text = tmp_path / "text.so"
    text.write_text("not a library")
    library = {"missing": "/nonexistent.so", "no library": str(text), "no entry points": ctypes.util.find_library("m")}
    r = run_python(code=USE, TAPER_OPENCL_LIBRARY=library[kind])
    assert r.returncode == 0, r.stderr
    cpu, opencl = r.stdout.splitlines()
    assert cpu == "[2.0, 2.0]"
    assert "RuntimeError" in opencl and "OpenCL is not available: libOpenCL could not be loaded" in opencl
    assert os.path.basename(library[kind]) in opencl


# --- devices that lack something -------------------------------------------------------------------------------------


def test_device_without_double_and_half(run_python):
    code = """
import taper, taper.nn as nn
p = taper.opencl.get_device_properties(0)
print(taper.float64 in p.dtypes)
for f in (lambda: taper.ones(2, dtype=taper.float64, device="opencl"),
          lambda: taper.ones(2, device="opencl").double(),
          lambda: taper.tensor([1.0], dtype=taper.float64).to("opencl") + 1):
    try:
        print(f())
    except RuntimeError as e:
        print(type(e).__name__, e)
with taper.device("opencl"):
    x = taper.arange(12).reshape(3, 4)
    print((x * 2.5).sum().item(), x.float().std().item(), x.half().mean().item(), (x / 3).bfloat16()[2, 3].item())
    taper.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(),
                        nn.Linear(18, 5))
    for kind in (taper.float32, taper.float16, taper.bfloat16):
        net.to(kind)
        o = taper.optim.Adam(net.parameters())
        loss = nn.functional.cross_entropy(net(taper.rand(4, 1, 8, 8, dtype=kind)), taper.tensor([0, 1, 2, 4]))
        loss.backward()
        o.step()
        print(1 < loss.item() < 4, all(p.isfinite().all() for p in net.parameters()))
"""
    r = run_python(code=code, TAPER_OPENCL_WITHOUT="fp64,fp16")
    assert r.returncode == 0, r.stderr
    lines = r.stdout.splitlines()
    assert lines[0] == "False"
    for line in lines[1:4]:
        assert line.startswith("NotImplementedError") or line.startswith("RuntimeError"), line
        assert "float64 is not supported by device opencl:0 (" in line and "cl_khr_fp64" in line
    assert lines[4] == "165.0 3.605551242828369 5.5 3.671875"
    assert lines[5:] == ["True True"] * 3


def test_out_of_memory():
    total = taper.opencl.get_device_properties(0).total_memory
    with pytest.raises(RuntimeError, match=r"opencl:0: (cannot allocate|out of memory)") as e:
        taper.empty(total, dtype=taper.int64, device="opencl")
    assert isinstance(e.value, taper.OutOfMemoryError)
    held = []
    piece = taper.opencl.get_device_properties(0).max_allocation // 2
    with pytest.raises(taper.OutOfMemoryError, match="opencl:0: .*memory.* bytes"):
        for _ in range(2 * total // piece + 2):
            held.append(taper.empty(piece, dtype=taper.uint8, device="opencl"))
    held.clear()
    assert (taper.ones(3, device="opencl") * 2).tolist() == [2.0, 2.0, 2.0]


# --- the cache of compiled kernels -----------------------------------------------------------------------------------

COUNT = """
import taper
x = taper.arange(6.0, device="opencl")
print((x * x + x.sum()).tolist())
"""
RESULT = "[15.0, 16.0, 19.0, 24.0, 31.0, 40.0]\n"


def entries(folder):
    return sorted(folder.glob("*.bin"))


def test_cache_is_rebuilt_when_it_is_damaged(tmp_path, run_python):
    cache = tmp_path / "cache"

    def run():
        r = run_python(code=COUNT, TAPER_CACHE_DIR=str(cache))
        assert r.returncode == 0 and r.stdout == RESULT, r.stderr

    run()
    first = entries(cache)
    assert first and stat.S_IMODE(cache.stat().st_mode) == 0o700
    stamps = {f: f.stat().st_mtime_ns for f in first}
    run()
    assert {f: f.stat().st_mtime_ns for f in entries(cache)} == stamps, "the second run reads what the first one wrote"
    whole = [f.read_bytes() for f in first]
    for i, f in enumerate(first):
        damage = [
            lambda d: d[:-1] + bytes([d[-1] ^ 1]),
            lambda d: d[: len(d) // 2],
            lambda d: b"rubbish",
            lambda d: b"",
        ]
        data = damage[i % 4](whole[i])
        f.write_bytes(data)
    damaged = {f: f.stat().st_mtime_ns for f in first}
    run()
    assert entries(cache) == first
    stamps = {f: f.stat().st_mtime_ns for f in first}
    assert all(stamps[f] > damaged[f] for f in first), "damaged entries are written again"
    # A driver need not compile to the same bytes twice: what counts is that the entries are read again.
    run()
    assert {f: f.stat().st_mtime_ns for f in first} == stamps, "what was written again is read"


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o500])
def test_cache_folder_that_others_may_write_is_left_alone(mode, tmp_path, run_python):
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(mode)
    try:
        r = run_python(code=COUNT, TAPER_CACHE_DIR=str(cache))
        assert r.returncode == 0 and r.stdout == RESULT, r.stderr
        if mode & 0o022:
            assert entries(cache) == []
    finally:
        cache.chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_cache_folder_of_somebody_else_is_left_alone(tmp_path, run_python):
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    os.chown(cache, 12345, 12345)
    r = run_python(code=COUNT, TAPER_CACHE_DIR=str(cache))
    assert r.returncode == 0 and r.stdout == RESULT, r.stderr
    assert entries(cache) == []


@pytest.mark.parametrize("place", ["/proc/nothing/here", "/dev/null", "relative/cache"])
def test_cache_that_cannot_be_made_costs_only_time(place, run_python, tmp_path):
    r = run_python(code=f"import os; os.chdir({str(tmp_path)!r})" + COUNT, TAPER_CACHE_DIR=place)
    assert r.returncode == 0 and r.stdout == RESULT, r.stderr


# --- two devices -----------------------------------------------------------------------------------------------------


def test_copies_between_devices():
    x = taper.arange(24.0).reshape(2, 3, 4)
    views = {
        "contiguous": lambda t: t,
        "transposed": lambda t: t.transpose(0, 2),
        "strided": lambda t: t[:, ::2, 1:],
        "expanded": lambda t: t[0, 0].expand(5, 4),
        "one": lambda t: t[1, 2, 3],
        "empty": lambda t: t[:0],
    }
    for name, view in views.items():
        here, there = view(x), view(x.to("opencl"))
        assert there.stride() == here.stride(), name
        assert there.cpu().tolist() == here.tolist(), name
        assert here.to("opencl").tolist() == here.tolist(), name
        for dtype in (taper.float64, taper.float16, taper.int32, taper.bool, taper.uint8):
            got = here.to("opencl", dtype)
            assert got.dtype is dtype and got.tolist() == here.to(dtype).tolist(), (name, dtype)
            assert there.to("cpu", dtype).tolist() == here.to(dtype).tolist(), (name, dtype)
    m = taper.arange(6.0).reshape(2, 3)
    assert m.t().to("opencl").stride() == (1, 3), "strides are kept"

    for target in (taper.zeros(4, 3, device="opencl", dtype=taper.int64).t(), taper.zeros(3, 4)[:, ::1]):
        source = taper.tensor([1.5, -2.5, 3.5, 4.0], device="cpu" if target.is_opencl else "opencl")
        target.copy_(source)
        assert target.tolist() == [[int(v) if target.is_opencl else v for v in (1.5, -2.5, 3.5, 4.0)]] * 3
    with pytest.raises(RuntimeError, match="must match the existing size"):
        taper.zeros(3, device="opencl").copy_(taper.zeros(4))
    w = taper.tensor([1.0, 2.0], requires_grad=True)
    (w.to("opencl", taper.float64) * taper.tensor([3.0, 4.0], device="opencl")).sum().backward()
    assert w.grad.is_cpu and w.grad.tolist() == [3.0, 4.0]


def test_tensors_of_two_devices_are_refused():
    a, b = taper.ones(2, 2), taper.ones(2, 2, device="opencl")
    both = "Expected all tensors to be on the same device, but found at least two devices, .*"
    for f in (
        lambda: a + b,
        lambda: b * a,
        lambda: a.add_(b),
        lambda: b.add_(a),
        lambda: a @ b,
        lambda: taper.cat([a, b]),
        lambda: taper.stack([b, a]),
        lambda: taper.where(a > 0, b, b),
        lambda: nn.functional.linear(b, a),
        lambda: nn.functional.conv2d(b.view(1, 1, 2, 2), a.view(1, 1, 2, 2)),
        lambda: nn.functional.mse_loss(a, b),
        lambda: nn.functional.cross_entropy(b, taper.tensor([0, 1])),
        lambda: taper.addmm(b, a, a),
        lambda: taper.gather(b, 0, taper.zeros(2, 2, dtype=taper.int64)),
        lambda: taper.bmm(a[None], b[None]),
        lambda: nn.Linear(2, 2)(b),
        lambda: nn.LayerNorm(2)(b),
        lambda: nn.Embedding(3, 2)(taper.tensor([1], device="opencl")),
    ):
        with pytest.raises(RuntimeError, match=both) as e:
            f()
        assert "cpu" in str(e.value) and "opencl:0" in str(e.value)


def test_numbers_of_the_cpu_meet_any_device():
    b = taper.tensor([1.0, 2.0], device="opencl")
    two = taper.tensor(2.0)
    assert (b * two).tolist() == (two * b).tolist() == [2.0, 4.0] and (two * b).is_opencl
    assert (b > taper.tensor(1)).tolist() == [False, True]
    assert taper.where(b > 1, b, taper.tensor(0.0)).tolist() == [0.0, 2.0]
    b.add_(taper.tensor(1, dtype=taper.int64))
    assert b.tolist() == [2.0, 3.0]
    b[0] = taper.tensor(7.0)
    b[1:] = taper.tensor([9.0])
    assert b.tolist() == [7.0, 9.0]
    with pytest.raises(RuntimeError, match="two devices|same device"):
        two.add_(taper.tensor(1.0, device="opencl"))
    s = taper.tensor(3.0, requires_grad=True)
    (b * s).sum().backward()
    assert s.grad.is_cpu and s.grad.item() == 16.0


def test_indices_of_the_cpu():
    x = taper.arange(12.0, device="opencl").reshape(3, 4)
    i = taper.tensor([2, 0])
    assert x[i].tolist() == x[i.to("opencl")].tolist() == [[8.0, 9.0, 10.0, 11.0], [0.0, 1.0, 2.0, 3.0]]
    assert x[i, taper.tensor([1, 1])].tolist() == [9.0, 1.0]
    assert x[taper.tensor([True, False, True])].shape == (2, 4)
    x[i] = 0.0
    assert x.sum().item() == 22.0
    with pytest.raises(IndexError, match="index 5 is out of bounds for dimension 0 with size 3"):
        x[taper.tensor([5])].tolist()
    with pytest.raises(IndexError, match="index 7 is out of bounds for dimension with size 3"):
        x[taper.tensor([7], device="opencl")].tolist()
    assert x[0, 0].item() == 0.0, "the error is reported once"
    classes = taper.tensor([1, 5, -100], device="opencl")
    for f in (nn.functional.nll_loss, nn.functional.cross_entropy):
        with pytest.raises(IndexError, match="Target 5 is out of bounds"):
            f(x, classes).item()
    with pytest.raises(RuntimeError, match="indices should be either on .*cpu.*"):
        taper.ones(3)[taper.tensor([1], device="opencl")]


def test_reading_and_printing():
    x = taper.tensor([1.5, 2.5], device="opencl", requires_grad=True)
    assert repr(x) == "tensor([1.5000, 2.5000], device='opencl:0', requires_grad=True)"
    assert repr(taper.zeros(0, device="opencl")) == "tensor([], device='opencl:0')"
    assert repr(taper.tensor(3, device="opencl")) == "tensor(3, device='opencl:0')"
    big = repr(taper.zeros(2000, device="opencl"))
    assert "..." in big and big.endswith("device='opencl:0')")
    assert x.tolist() == [1.5, 2.5] and x[0].item() == 1.5 and float(x[1]) == 2.5 and bool(x[0] > 1)
    y = x.detach()
    message = (
        "can't convert opencl:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
    )
    import numpy as np

    for f in (y.numpy, lambda: np.asarray(y), lambda: np.array(y)):
        with pytest.raises(TypeError) as e:
            f()
        assert str(e.value) == message
    assert y.cpu().numpy().tolist() == y.numpy(force=True).tolist() == [1.5, 2.5]
    with pytest.raises(RuntimeError, match="opencl"):
        y.data_ptr()
    with pytest.raises((RuntimeError, BufferError), match="opencl"):
        taper.from_dlpack(y)
    with pytest.raises((RuntimeError, BufferError, TypeError), match="opencl"):
        np.from_dlpack(y)


def test_custom_functions_and_hooks():
    class Square(taper.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            assert x.is_opencl and g.is_opencl
            return 2 * x * g

    x = taper.tensor([1.0, -3.0], device="opencl", requires_grad=True)
    seen = []
    x.register_hook(lambda g: seen.append(g.device) or g * 2)
    Square.apply(x).sum().backward()
    assert x.grad.tolist() == [4.0, -12.0] and seen == [taper.device("opencl", 0)]
    layer = nn.Linear(2, 2).opencl()
    layer.register_forward_hook(lambda m, i, o: o * 0 + 1)
    assert layer(x).tolist() == [1.0, 1.0]


def test_loader_batches_move():
    data = taper.utils.data.TensorDataset(taper.arange(10.0), taper.arange(10))
    total = 0.0
    for x, y in taper.utils.data.DataLoader(data, batch_size=4, shuffle=True):
        assert x.is_cpu
        total += (x.to("opencl") * y.to("opencl")).sum().item()
    assert total == sum(i * i for i in range(10))


def test_pickles_and_copies_stay_on_the_device():
    x = nn.Parameter(taper.tensor([[1.0, 2.0], [3.0, 4.0]], device="opencl"))
    for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x), copy.copy(x)):
        assert y.is_opencl and y.requires_grad and type(y) is nn.Parameter and y.tolist() == x.tolist()
    assert pickle.loads(pickle.dumps(x.detach().cpu())).is_cpu


def test_a_training_step_waits_for_nothing():

    from taper import _c

    waits = _c.proto("host_waits")
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(576, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    ).to("opencl")
    images, labels = taper.rand(8, 1, 32, 32), taper.tensor([3, 1, 4, 1, 5, 9, 2, 6])
    for make in (taper.optim.Adam, lambda p: taper.optim.SGD(p, lr=0.01, momentum=0.9)):
        optimizer = make(net.parameters())
        for step in range(4):
            before, kernels = waits(), kernels_launched()
            x, y = images.to("opencl"), labels.to("opencl")
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            assert kernels_launched() > kernels
            assert waits() == before, f"step {step} waited {waits() - before} times"
        before = waits()
        assert loss.item() > 0
        assert waits() == before + 1


def test_no_value_is_looked_at_that_nobody_reads():

    from taper import _c

    waits = _c.proto("host_waits")

    def work(x, y):
        h = x.clone()
        h[x > 0.5] = 0
        h[x[:, 0] < 0.25] = taper.tensor(7.0, device=x.device)
        hot = nn.functional.one_hot(y, 4)
        return h, hot, nn.functional.binary_cross_entropy(x, hot.float())

    x, y = taper.arange(12.0).reshape(3, 4) / 12, taper.tensor([2, 0, 3])
    there = x.to("opencl"), y.to("opencl")
    before = waits()
    got = work(*there)
    assert waits() == before
    for a, b in zip(got, work(x, y)):
        assert a.is_opencl and taper.allclose(a.cpu(), b)
    nn.functional.one_hot(there[1], 3)
    with pytest.raises(RuntimeError, match="Class values must be .* smaller than num_classes .3., but got 3"):
        taper.opencl.synchronize()


def test_a_forked_process_says_what_to_do(run_python):
    code = """
import os, taper
x = taper.ones(2, device="opencl")
print(x.tolist(), flush=True)
if os.fork() == 0:
    for f in (lambda: x + 1, x.tolist, lambda: taper.ones(2, device="opencl"), taper.opencl.synchronize):
        try:
            f()
            print("no error", flush=True)
        except RuntimeError as e:
            print(e, flush=True)
    print((taper.ones(2) + 1).tolist(), flush=True)
    os._exit(0)
os.wait()
print((x + 1).tolist())
"""
    lines = run_python(code=code).stdout.splitlines()
    assert lines[0] == "[1.0, 1.0]" and lines[-2:] == ["[2.0, 2.0]", "[2.0, 2.0]"]
    assert len(lines) == 7
    for line in lines[1:5]:
        assert "device opencl:0 was in use when this process was forked" in line and "'spawn'" in line


@pytest.mark.parametrize("thread", [False, True])
def test_a_process_ends_well_while_kernels_are_compiled(thread, tmp_path, run_python):
    # The second process finds the kernel in the library's cache, not in the driver's: it is compiled when it runs, which
    # nobody waits for.
    code = """
import sys, taper, threading
def work():
    global y
    y = taper.ones(3, device="opencl") * 2
    if sys.argv[1] == "read":
        y.tolist()
if sys.argv[2] == "thread":
    t = threading.Thread(target=work)
    t.start()
    t.join()
else:
    work()
"""
    for does in ("read", "leave"):
        driver = tmp_path / does
        driver.mkdir()
        caches = {"TAPER_CACHE_DIR": str(tmp_path / "own"), "POCL_CACHE_DIR": str(driver), "TAPER_OPENCL_CACHE": "1"}
        r = run_python(does, "thread" if thread else "main", code=code, **caches)
        assert r.returncode == 0, (does, r.stderr)


def test_indices_that_change_underneath(run_python):
    # One call in four writes wild positions into the indices that other threads use. What is read may be anything; nothing
    # outside of the tensors is touched, and afterwards all is as before. In a process of its own, which might die of it.
    code = """
import random, threading, time, taper
F = taper.nn.functional
there = lambda t: t.to("opencl")
good = taper.arange(600).reshape(20, 30) % 20
x = taper.arange(600.0).reshape(20, 30)
index, flat, good_there, X = there(good.clone()), there(taper.arange(40) % 20), there(good), there(x)
wild = 2**63 - 5
calls = [
    lambda: (index.fill_(wild), flat.fill_(-7)),
    lambda: (index.copy_(good_there), flat.fill_(3)),
    lambda: taper.gather(X, 0, index),
    lambda: taper.scatter(X, 0, index, X),
    lambda: X.clone().scatter_add_(0, index, X),
    lambda: F.nll_loss(X[flat.clamp(0, 19)], flat),
    lambda: F.one_hot(flat, 20),
    lambda: X.index_select(0, flat),
    lambda: X.clone().index_add_(0, flat, X[:1].expand(40, 30)),
    lambda: F.embedding(flat, X),
    lambda: X[flat],
    lambda: X.clone().index_put_((flat,), X[0]),
]
def work(seed):
    draw = random.Random(seed)
    while time.monotonic() < end:
        try:
            calls[draw.randrange(2) if draw.random() < 0.25 else draw.randrange(2, len(calls))]()
        except IndexError:
            pass
for call in calls[1:] + calls[:1]:
    call()
end = time.monotonic() + 1
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
index.copy_(good_there)
try:
    taper.opencl.synchronize()
except (IndexError, RuntimeError):
    pass
assert taper.equal(taper.gather(X, 0, index).cpu(), taper.gather(x, 0, good)) and taper.equal(X.cpu(), x)
"""
    r = run_python(code=code)
    assert r.returncode == 0, r.stderr


# --- two OpenCL devices ----------------------------------------------------------------------------------------------


@pytest.fixture
def two(run_python):
    """Runs a script where there are two OpenCL devices: this machine's, or PoCL's drivers without and with threads."""
    environment = {}
    if taper.opencl.device_count() < 2:
        if taper.opencl.get_device_properties(0).platform != "Portable Computing Language":
            pytest.skip("one device, and not PoCL, which can be told to have two")
        # Their names depend on PoCL's version.
        for names in ("basic pthread", "cpu-minimal cpu"):
            environment["POCL_DEVICES"] = names
            count = run_python(code="import taper; print(taper.opencl.device_count())", **environment)
            if count.stdout == "2\n":
                break
        else:
            pytest.skip(f"PoCL does not show two devices: {count.stdout}{count.stderr}")

    def run(code, **more):
        r = run_python(code=code, **{**environment, **more})
        assert r.returncode == 0, r.stderr
        return r.stdout.splitlines()

    run.environment = environment
    return run


def test_two_devices_are_listed_and_chosen(two):
    if taper.opencl.device_count() > 1:
        pytest.skip("written for PoCL's two devices alone")
    code = """
import taper
cl = taper.opencl
names = [cl.get_device_name(i) for i in range(cl.device_count())]
print(cl.device_count(), cl.why_not())
print(*names, sep="|")
for f in (lambda: cl.device(names[1]), lambda: cl.device("no such device"), lambda: taper.ones(2, device="opencl:2")):
    try:
        print(f())
    except RuntimeError as e:
        print(e)
"""
    lines = two(code)
    first, second = lines[1].split("|")
    assert lines[0] == "2 None" and lines[2] == "opencl:1"
    listed = f"opencl:0 ({first}), opencl:1 ({second})"
    assert lines[3] == f"no OpenCL device is called 'no such device'; there are: {listed}"
    assert lines[4] == f"device opencl:2 is not available: there are 2 OpenCL devices: {listed}"
    for choice, names in {
        "1": [second],
        "1,0": [second, first],
        second.upper(): [second],
        "portable,portable": [first, second],
        " 1 , portable": [second, first],
    }.items():
        code_for_names = code.split("for f in")[0]
        assert two(code_for_names, TAPER_OPENCL_DEVICE=choice) == [f"{len(names)} None", "|".join(names)]
    for choice, why in {
        "2": "no OpenCL device matches '2'",
        "0,none": "no OpenCL device matches 'none'",
        "1,1": "'1' matches only devices that '1,1' names before",
        ",": "',' names no device",
    }.items():
        lines = two("import taper; print(taper.opencl.why_not())", TAPER_OPENCL_DEVICE=choice)
        assert lines == [f"TAPER_OPENCL_DEVICE: {why}; there are: 0 ({first}), 1 ({second})"]


def test_two_devices_do_not_mix(two):
    code = """
import taper
from taper import nn
F = nn.functional
zero, one = "opencl:0", "opencl:1"
a, b = taper.ones(2, 2, device=zero), taper.ones(2, 2, device=one)
i = taper.zeros(2, 2, dtype=taper.int64, device=one)
for f in (
    lambda: a + b,
    lambda: b.add_(a),
    lambda: a * taper.tensor(2.0, device=one),
    lambda: a @ b,
    lambda: taper.cat([a, b]),
    lambda: taper.where(a > 0, b, b),
    lambda: taper.gather(a, 0, i),
    lambda: a.index_put_((i[0],), a),
    lambda: a[b > 0],
    lambda: F.linear(b, a),
    lambda: F.conv2d(a.view(1, 1, 2, 2), b.view(1, 1, 2, 2)),
    lambda: F.mse_loss(a, b),
    lambda: F.cross_entropy(a, i[0]),
    lambda: nn.BatchNorm1d(2).to(one)(a),
    lambda: F.scaled_dot_product_attention(a[None], b[None], a[None]),
    lambda: a.clone().requires_grad_().sum().backward(taper.tensor(1.0, device=one)),
    lambda: setattr(a.clone().requires_grad_(), "grad", b),
):
    try:
        print("no error", f())
    except RuntimeError as e:
        print(e)
"""
    lines = two(code)
    assert len(lines) == 17
    for line in lines:
        assert "device" in line and "opencl:0" in line and "opencl:1" in line, line


def test_tensors_move_between_two_devices(two):
    code = """
import taper
zero, one = "opencl:0", "opencl:1"
x = taper.arange(24.0).reshape(2, 3, 4)
views = [lambda t: t, lambda t: t.transpose(0, 2), lambda t: t[:, ::2, 1:], lambda t: t[0, 0].expand(5, 4),
         lambda t: t[1, 2, 3], lambda t: t[:0]]
for view in views:
    here = view(x)
    there = view(x.to(zero)).to(one)
    assert str(there.device) == one and there.stride() == here.to(zero).stride() and there.tolist() == here.tolist()
    for dtype in (taper.float64, taper.float16, taper.int32, taper.bool):
        y = view(x.to(one)).to(zero, dtype)
        assert str(y.device) == zero and y.dtype is dtype and y.tolist() == here.to(dtype).tolist()
t = taper.zeros(4, 3, device=one, dtype=taper.int64).t()
t.copy_(taper.tensor([1.5, -2.5, 3.5, 4.0], device=zero))
assert t.tolist() == [[1, -2, 3, 4]] * 3
t[0] = taper.tensor([7, 8, 9, 10], device=zero)
assert t[0].tolist() == [7, 8, 9, 10] and repr(t[0]) == "tensor([ 7,  8,  9, 10], device='opencl:1')"
w = taper.tensor([1.0, 2.0], requires_grad=True, device=zero)
(w.to(one, taper.float64) * taper.tensor([3.0, 4.0], device=one)).sum().backward()
assert str(w.grad.device) == zero and w.grad.tolist() == [3.0, 4.0]
with taper.device(one):
    assert str(taper.ones(1).device) == one
with taper.opencl.device_guard(1):
    assert str(taper.ones(1, device="opencl").device) == str(w.opencl().device) == one
assert str(taper.ones(1, device="opencl").device) == zero
try:
    taper.ones(3, device=one)[taper.tensor([7], device=one)].tolist()
except IndexError as e:
    assert "index 7" in str(e) and one in str(e)
assert taper.opencl.memory_allocated(0) > 0 and taper.opencl.memory_allocated(1) > 0
print("done")
"""
    assert two(code) == ["done"]


def test_a_network_on_two_devices(two, tmp_path):
    code = f"""
import taper
from taper import nn
F = nn.functional
zero, one = "opencl:0", "opencl:1"
taper.manual_seed(1)
x = taper.randn(16, 4)
y = x.sum(1, keepdim=True)
first, second = nn.Linear(4, 8), nn.Linear(8, 1)
start = [p.detach().clone() for m in (first, second) for p in m.parameters()]
def train(devices, make):
    first.to(devices[0]), second.to(devices[1])
    parameters = [*first.parameters(), *second.parameters()]
    with taper.no_grad():
        for p, s in zip(parameters, start):
            p.copy_(s)
    optimizer = make(parameters)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = F.mse_loss(second(F.relu(first(x.to(devices[0]))).to(devices[1])), y.to(devices[1]))
        loss.backward()
        losses.append(nn.utils.clip_grad_norm_(parameters, 1.0).item())
        optimizer.step()
        losses.append(loss.item())
    for p in parameters:
        for v in optimizer.state[p].values():
            assert not isinstance(v, taper.Tensor) or v.is_cpu and v.dim() == 0 or v.device == p.device
    return losses, optimizer
for make in (lambda p: taper.optim.Adam(p, lr=0.05), lambda p: taper.optim.SGD(p, lr=0.05, momentum=0.9)):
    want, _ = train(("cpu", "cpu"), make)
    got, optimizer = train((zero, one), make)
    assert want[-1] < want[1] and all(abs(a - b) < 1e-4 for a, b in zip(got, want)), (got, want)

# Weights and the optimiser's state go from one device to the other, in memory and through a file.
copy = nn.Linear(4, 8).to(one)
copy.load_state_dict(first.state_dict())
assert str(copy.weight.device) == one and copy.weight.tolist() == first.weight.tolist()
path = {str(tmp_path / "weights.pt")!r}
taper.save(first.state_dict(), path)
for where, device in ((None, zero), (one, one), ({{zero: one}}, one), ("cpu", "cpu")):
    loaded = taper.load(path, map_location=where)
    assert {{str(v.device) for v in loaded.values()}} == {{device}}
    copy.load_state_dict(loaded)
    assert str(copy.weight.device) == one and copy.weight.tolist() == first.weight.tolist()
other = taper.optim.SGD([*nn.Linear(4, 8).to(one).parameters(), *nn.Linear(8, 1).to(zero).parameters()], lr=0.05, momentum=0.9)
other.load_state_dict(optimizer.state_dict())
for group in other.param_groups:
    for p in group["params"]:
        assert other.state[p]["momentum_buffer"].device == p.device
print("done")
"""
    assert two(code) == ["done"]


def test_two_devices_from_two_threads(two):
    code = """
import taper, threading
sums = {}
def work(i, device):
    x = taper.ones(32, 32, device=device)
    for _ in range(20):
        x = (x @ x.t()) / 32.0
    sums[i] = x.sum().item()
threads = [threading.Thread(target=work, args=(i, f"opencl:{i % 2}")) for i in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(sorted(sums.items()))
"""
    # PoCL 3's driver without threads waits for itself when several threads use it: twice the other one.
    environment = {name: " ".join([value.split()[1]] * 2) for name, value in two.environment.items()}
    lines = two(code, **environment)
    assert lines == [str([(i, 1024.0) for i in range(4)])]
