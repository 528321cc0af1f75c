"""Checkpoints, hooks of saved tensors and dual tensors against what fixtures/saved.py recorded from PyTorch."""

import gc
import json
import os
import sys
import weakref

import pytest
from conftest import FIXTURES

import taper as torch
from taper.autograd import graph
from taper.utils.checkpoint import checkpoint

sys.path.insert(0, FIXTURES)
import saved as made  # noqa: E402

del sys.path[0]
from test_func import same  # noqa: E402

with open(os.path.join(FIXTURES, "saved.json")) as f:
    RECORDED = json.load(f)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.cpu_only("recorded draws are the CPU's")
def test_recorded():
    got = made.answers(torch)
    assert got.keys() == RECORDED.keys()
    for name, want in RECORDED.items():
        same(got[name], want, name)


def test_warnings():
    x = torch.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match="the use_reentrant parameter should be passed explicitly"):
        checkpoint(torch.sin, x)
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True"):
        checkpoint(torch.sin, torch.ones(2), use_reentrant=True)


def test_what_hooks_keep_is_let_go():
    class Kept:
        def __init__(self, t):
            self.t = t

    kept = []

    def pack(t):
        k = Kept(t)
        kept.append(weakref.ref(k))
        return k

    x = torch.ones(3, requires_grad=True)
    with graph.saved_tensors_hooks(pack, lambda k: k.t):
        y = (x * x).exp()
    assert len(kept) == 3 and all(k() is not None for k in kept)
    y.sum().backward()
    gc.collect()
    assert all(k() is None for k in kept)
    with graph.saved_tensors_hooks(pack, lambda k: k.t):
        y = x.exp()
    del y
    gc.collect()
    assert kept[-1]() is None


def test_a_checkpoint_keeps_nothing_but_its_arguments():
    calls = []

    def f(a):
        calls.append(1)
        return a.sin().exp().tanh()

    x = torch.randn(4, requires_grad=True)
    y = checkpoint(f, x, use_reentrant=False)
    assert len(calls) == 1
    y.sum().backward()
    assert len(calls) == 2
    want = torch.autograd.grad(f(x).sum(), x)[0]
    assert torch.allclose(x.grad, want)


def test_hooks_of_a_thread_are_its_own():
    import threading

    seen = []
    x = torch.ones(2, requires_grad=True)
    with graph.saved_tensors_hooks(lambda t: seen.append(1) or t, lambda t: t):
        thread = threading.Thread(target=lambda: (x.exp(), None)[1])
        thread.start()
        thread.join()
    assert not seen
