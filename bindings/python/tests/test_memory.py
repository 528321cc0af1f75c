"""Long loops keep no memory: the process is as large after many rounds as after some."""

import copy
import gc
import io
import os
import pickle

import pytest

import taper as torch
import taper.nn as nn
from taper import _c


def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def net():
    return nn.Sequential(nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 64))


def training():
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.999)
    x = torch.rand(32, 64)

    def step():
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), x)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        loss.item()

    return step


def data_loading():
    from taper.utils.data import DataLoader, TensorDataset

    data = TensorDataset(torch.rand(64, 64), torch.arange(64))

    def step():
        for x, y in DataLoader(data, batch_size=16, shuffle=True):
            x.sum().item()

    return step


def second_gradients():
    model, x = net(), torch.rand(32, 64, requires_grad=True)

    def step():
        y = model(x).pow(2).sum()
        (g,) = torch.autograd.grad(y, x, create_graph=True)
        (y + g.pow(2).sum()).backward()
        model.zero_grad()
        x.grad = None

    return step


def hooks_and_functions():
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g

    x = torch.rand(64, 64, requires_grad=True)

    def step():
        y = Square.apply(x)
        y.register_hook(lambda g: g * 2)
        y.retain_grad()
        y.sum().backward()
        x.grad = None

    return step


def files():
    state = net().state_dict()

    def step():
        out = io.BytesIO()
        torch.save(state, out)
        out.seek(0)
        loaded = torch.load(out)
        copy.deepcopy(loaded)
        pickle.loads(pickle.dumps(loaded["0.weight"]))

    return step


def failures():
    x = torch.rand(64, 64)

    def step():
        for call in (lambda: x @ x[:3], lambda: x.view(7), lambda: torch.load(io.BytesIO(b"PK")), lambda: x[2**70]):
            with pytest.raises((RuntimeError, IndexError)):
                call()

    return step


def modules_made_anew():
    def step():
        model = net()
        model(torch.rand(4, 64)).sum().backward()
        again = net()
        again.load_state_dict(model.state_dict())

    return step


def subclasses():
    class Mine(torch.Tensor):
        pass

    m = torch.rand(64, 64).as_subclass(Mine)

    def step():
        (m @ m).relu().sum().item()

    return step


ALL = [training, data_loading, second_gradients, hooks_and_functions, files, failures, modules_made_anew, subclasses]


@pytest.mark.parametrize("make", ALL, ids=lambda f: f.__name__)
def test_memory_stays_flat(make):
    step = make()
    for _ in range(30):
        step()
    gc.collect()
    handles, held, rounds = _c.handle_count(), len(_c.held), 80
    for _ in range(3):  # the allocator may still grow once; what leaks grows each time
        before = resident()
        for _ in range(rounds):
            step()
        gc.collect()
        grown = resident() - before
        # One leaked array of a round, 16 KB, would be 1.3 MB.
        if grown < 1_000_000:
            break
    else:
        pytest.fail(f"{grown / rounds:.0f} bytes a round")
    assert _c.handle_count() <= handles + 4 and len(_c.held) <= held + 4
