"""vmap and the functions of torch.func against what fixtures/func.py recorded from PyTorch."""

import json
import os
import sys

import numpy as np
import pytest
from conftest import FIXTURES

import taper as torch
import taper.nn as nn
import taper.nn.functional as F
from taper.func import functional_call, grad, stack_module_state, vmap

sys.path.insert(0, FIXTURES)
import func as made  # noqa: E402

del sys.path[0]

with open(os.path.join(FIXTURES, "func.json")) as f:
    RECORDED = json.load(f)


def same(got, want, where):
    if isinstance(want, list) and len(want) == 4 and isinstance(want[1], str):
        assert got[:2] == want[:2] and got[3] == want[3], f"{where}: {got} instead of {want}"
        np.testing.assert_allclose(got[2], want[2], rtol=2e-4, atol=2e-5, err_msg=where)
    elif isinstance(want, list):
        assert isinstance(got, list) and len(got) == len(want), f"{where}: {got} instead of {want}"
        for a, b in zip(got, want):
            same(a, b, where)
    elif isinstance(want, dict) and "error" not in want:
        assert got.keys() == want.keys(), where
        for k in want:
            same(got[k], want[k], where)
    else:
        assert got == want, where


# PyTorch refuses the same in other words.
OTHER_WORDS = {"err15": "vmap: inplace arithmetic"}


@pytest.mark.cpu_only("recorded draws are the CPU's")
def test_recorded():
    got = made.answers(torch)
    assert got.keys() == RECORDED.keys()
    for name, want in RECORDED.items():
        if name in OTHER_WORDS:
            assert got[name]["text"].startswith(OTHER_WORDS[name]), name
        else:
            same(got[name], want, name)


def per_sample(net, params, x, target):
    """Each sample's gradients, by one backward pass per sample."""
    rows = []
    for a, t in zip(x, target):
        wanted = {k: v.detach().requires_grad_() for k, v in params.items()}
        loss = F.cross_entropy(functional_call(net, wanted, (a.unsqueeze(0),)), t.unsqueeze(0))
        rows.append(torch.autograd.grad(loss, list(wanted.values())))
    return {k: torch.stack(column) for k, column in zip(params, map(list, zip(*rows)))}


@pytest.mark.cpu_only("rules are the same on every device")
@pytest.mark.parametrize("kind", ["mlp", "cnn", "norms"])
def test_gradients_of_each_sample(kind):
    torch.manual_seed(0)
    if kind == "mlp":
        net, x = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 3)), torch.randn(5, 6)
    elif kind == "cnn":
        net = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 3))
        x = torch.randn(5, 2, 6, 6)
    else:
        net = nn.Sequential(
            nn.Conv2d(2, 4, 3, groups=2),
            nn.GroupNorm(2, 4),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 3),
        )
        x = torch.randn(5, 2, 5, 5)
    target = torch.tensor([0, 2, 1, 1, 0])
    params = {k: v.detach() for k, v in net.named_parameters()}

    def loss(p, a, t):
        return F.cross_entropy(functional_call(net, p, (a.unsqueeze(0),)), t.unsqueeze(0))

    got = vmap(grad(loss), in_dims=(None, 0, 0))(params, x, target)
    for k, want in per_sample(net, params, x, target).items():
        np.testing.assert_allclose(got[k].cpu().numpy(), want.cpu().numpy(), rtol=1e-4, atol=1e-5, err_msg=k)
    chunked = vmap(grad(loss), in_dims=(None, 0, 0), chunk_size=2)(params, x, target)
    assert all(torch.allclose(chunked[k], got[k], atol=1e-6) for k in got)


@pytest.mark.cpu_only("rules are the same on every device")
def test_ops_without_a_rule_go_sample_by_sample():
    x = torch.arange(12.0).view(3, 4)
    got = vmap(lambda a: torch.combinations(a[:3]))(x)
    assert torch.equal(got, torch.stack([torch.combinations(a[:3]) for a in x]))
    net = nn.LSTM(4, 2)
    got = vmap(lambda a: net(a.view(1, 1, 4))[0])(x)
    assert torch.allclose(got, torch.stack([net(a.view(1, 1, 4))[0] for a in x]))


@pytest.mark.cpu_only("rules are the same on every device")
def test_an_ensemble():
    nets = [nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)) for _ in range(3)]
    params, buffers = stack_module_state(nets)
    x = torch.randn(5, 3)
    got = vmap(lambda p, b: functional_call(nets[0], (p, b), (x,)))(params, buffers)
    assert torch.allclose(got, torch.stack([n(x) for n in nets]), atol=1e-6)
    got.sum().backward()
    assert params["0.weight"].grad.shape == (3, 4, 3)


@pytest.mark.cpu_only("about threads")
def test_threads_do_not_share_a_vmap():
    import threading

    failures = []

    def run(n):
        try:
            for _ in range(5):
                assert vmap(lambda a: a * n)(torch.ones(n)).tolist() == [n] * n
                assert torch.randn(2).shape == (2,)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in (2, 3, 4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not failures
