"""Automatic casts: which operation does what is PyTorch's; gradients, regions, the cache, GradScaler, and training."""

import json
import os
import threading
from pathlib import Path

import pytest

import taper as torch
import taper.nn as nn
import taper.nn.functional as F

FIXTURES = Path(__file__).parent / "fixtures"


def test_dtypes_of_results_are_pytorchs(device):
    """Every case of the device's list: an expression over bfloat16 (on a GPU float16), float32 and float64 tensors, with
    PyTorch's dtype."""
    on_cpu = device.type == "cpu"
    cases = json.loads((FIXTURES / ("autocast.json" if on_cpu else "autocast_gpu.json")).read_text())
    wrong = []
    torch.manual_seed(0)
    dtypes = {"b": torch.bfloat16 if on_cpu else torch.float16, "f": torch.float32, "d": torch.float64}
    names = {"torch": torch, "F": F}
    for letter, dtype in dtypes.items():
        names[letter + "3"] = torch.rand(3, 3).to(dtype)
        names[letter + "v"] = torch.rand(3).to(dtype)
        names[letter + "i"] = torch.rand(1, 2, 4, 4).to(dtype)
        names[letter + "w"] = torch.rand(2, 2, 3, 3).to(dtype)
        names[letter + "s"] = torch.rand(1, 2, 4, 4, 4).to(dtype)
    if device.type == "opencl" and os.environ.get("TAPER_TEST_LONG") != "1":
        del cases[::2], cases[::2], cases[1::2]  # an eighth: each compiles kernels of its own
    for case in cases:
        with torch.autocast(device.type, dtype=getattr(torch, case["region"])):
            try:
                got = str(eval(case["call"], dict(names)).dtype)
            except (RuntimeError, NotImplementedError) as e:
                got = "RuntimeError" if "unsafe to autocast" in str(e) else str(e)
        if got != case["dtype"]:
            wrong.append((case["call"], case["region"], got, case["dtype"]))
    assert len(cases) > 10 and not wrong


def test_regions_nest_and_gradients_are_float32(device):
    lower = torch.float16 if device.type == "opencl" else torch.bfloat16
    x, w = torch.rand(2, 3, device=device), nn.Parameter(torch.rand(3, 3, device=device))
    with torch.autocast(device.type, dtype=lower):
        assert torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type) is lower
        y = x @ w
        assert y.dtype is lower and (y + x[:, :1]).dtype is torch.float32
        with torch.autocast(device.type, enabled=False):
            assert (x @ w).dtype is torch.float32
        loss = F.cross_entropy(y, torch.tensor([0, 2], device=device))
    assert loss.dtype is torch.float32 and not torch.is_autocast_enabled(device.type)
    loss.backward()
    assert w.grad.dtype is torch.float32
    exact = torch.autograd.grad(F.cross_entropy(x @ w, torch.tensor([0, 2], device=device)), w)[0]
    assert torch.allclose(w.grad, exact, atol=2e-2)
    with pytest.raises(RuntimeError), torch.autocast(device.type):
        raise RuntimeError
    assert not torch.is_autocast_enabled(device.type)


def test_parameters_are_cast_once_per_region(device):
    w, x = nn.Parameter(torch.ones(64, 64, device=device)), torch.ones(1, 64, device=device)
    casts = []
    for cached in (True, False):
        with torch.autocast(device.type, cache_enabled=cached):
            assert torch.is_autocast_cache_enabled() == cached
            nodes = [(x @ w).grad_fn.next_functions for _ in range(2)]
        first, second = ({f for f, _ in n if f is not None} for n in nodes)
        casts.append(bool(first & second))
        assert torch.is_autocast_cache_enabled()
    assert casts == [True, False]
    with torch.autocast(device.type):
        before = (x @ w).sum()
        with torch.no_grad():
            w.fill_(2.0)
        assert (x @ w).sum().item() == 2 * before.item()  # a parameter that was written is cast anew


def test_decorators_and_threads(device):
    @torch.autocast(device.type)
    def product(a):
        return a @ a

    assert product(torch.ones(2, 2)).dtype is (torch.bfloat16 if device.type == "cpu" else torch.float16)
    seen = []
    with torch.autocast(device.type):
        t = threading.Thread(target=lambda: seen.append(torch.is_autocast_enabled(device.type)))
        t.start()
        t.join()
    assert seen == [False]
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.float32
    with torch.autocast("cpu" if device.type != "cpu" else "opencl"):
        # Of another kind of devices.
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.float32


@pytest.mark.cpu_only("the messages name the CPU")
def test_mistakes():
    with pytest.warns(UserWarning, match="In CPU autocast, but the target dtype is not supported. Disabling autocast."):
        region = torch.autocast("cpu", dtype=torch.float64)
    with region:
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.float32
    with pytest.raises(ValueError, match="Expected `device_type` of type `str`"):
        torch.autocast(torch.device("cpu"))
    with pytest.raises(RuntimeError, match="User specified an unsupported autocast device_type 'xla'"):
        torch.autocast("xla")
    with pytest.raises(TypeError, match="requires a callable, but got int"):
        torch.autocast("cpu")(3)
    if not torch.cuda.is_available():
        with pytest.warns(UserWarning, match="CUDA is not available"), torch.cuda.amp.autocast():
            pass


def test_custom_functions(device):
    kind = device.type

    class Cube(torch.autograd.Function):
        @staticmethod
        @torch.amp.custom_fwd(device_type=kind, cast_inputs=torch.float32)
        def forward(ctx, x):
            ctx.save_for_backward(x)
            assert x.dtype is torch.float32 and not torch.is_autocast_enabled(kind)
            return x @ x

        @staticmethod
        @torch.amp.custom_bwd(device_type=kind)
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            assert not torch.is_autocast_enabled(kind)
            return g @ x.T + x.T @ g

    lower = torch.bfloat16 if kind == "cpu" else torch.float16
    x = torch.rand(2, 2, dtype=lower, requires_grad=True)
    with torch.autocast(kind):
        y = Cube.apply(x)
    y.sum().backward()
    assert y.dtype is torch.float32 and x.grad.dtype is lower


def test_normalisations_and_networks_take_what_products_give(device):
    lower = torch.float16 if device.type == "opencl" else torch.bfloat16
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 8),
        nn.LayerNorm(8),
    ).to(device)
    with torch.autocast(device.type, dtype=lower):
        loss = net(torch.rand(3, 1, 8, 8, device=device)).float().square().mean()
    loss.backward()
    assert all(p.grad is not None and p.grad.dtype is torch.float32 for p in net.parameters())
    assert net[1].running_mean.dtype is torch.float32


def test_grad_scaler_says_what_is_wrong():
    w = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([w], lr=0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    with pytest.raises(AssertionError, match="No inf checks were recorded prior to update"):
        scaler.update()
    scaler.scale((w * 3).sum()).backward()
    scaler.unscale_(optimizer)
    assert w.grad.item() == 3.0
    with pytest.raises(RuntimeError, match="already been called on this optimizer"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"step\(\) has already been called"):
        scaler.step(optimizer)
    scaler.update()
    state = scaler.state_dict()
    assert state == {
        "scale": 8.0,
        "growth_factor": 2.0,
        "backoff_factor": 0.5,
        "growth_interval": 2000,
        "_growth_tracker": 1,
    }
    other = torch.amp.GradScaler("cpu")
    other.load_state_dict(state)
    assert other.state_dict() == state
    with pytest.raises(RuntimeError, match="The source state dict is empty"):
        other.load_state_dict({})


@pytest.mark.cpu_only("PyTorch's losses are the CPU's")
@pytest.mark.parametrize("name", ["mlp", "lenet", "gpt"])
def test_small_networks_train_as_in_pytorch(name):
    """The networks of tests/autocast_training.py for 50 steps, against the recorded losses; the larger ones before a
    release."""
    import importlib.util

    if name != "mlp" and os.environ.get("TAPER_TEST_LONG") != "1":
        pytest.skip("takes seconds; TAPER_TEST_LONG=1")

    path = Path(__file__).parents[3] / "tests" / "autocast_training.py"
    spec = importlib.util.spec_from_file_location("autocast_training", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    want = json.loads((FIXTURES / "autocast_losses.json").read_text())[name]
    got = module.train(torch, name, len(want))
    assert all(abs(g - w) <= 0.02 * w for g, w in zip(got, want)), (got, want)
