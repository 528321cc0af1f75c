"""Deep copies and pickles of tensors, and functions decorated with grad modes."""

import asyncio
import copy
import inspect
import pickle

import pytest

import taper as torch
import taper.nn as nn


def test_deepcopy_keeps_what_is_shared(device):
    base = torch.arange(6.0, device=device)
    copied = copy.deepcopy([base, base[2:], base.view(2, 3).t(), base[:1].expand(4), base.clone(), base])
    a, tail, t, wide, other, again = copied
    a[2] = 50
    assert tail[0].item() == 50 and t[2, 0].item() == 50 and other[2].item() == 2 and again is a
    assert t.stride() == (1, 3) and wide.stride() == (0,) and tail.storage_offset() == 2 and base[2].item() == 2
    with pytest.raises(RuntimeError, match="explicitly by the user"):
        copy.deepcopy(torch.ones(1, requires_grad=True) * 2)


def test_deepcopy_of_leaves(device):
    p = nn.Parameter(torch.ones(3, device=device))
    (p * 2).sum().backward()
    p.tag = [1]
    q = copy.deepcopy(p)
    assert type(q) is nn.Parameter and q.requires_grad and q.is_leaf and q.grad.tolist() == [2, 2, 2]
    assert q.grad is not p.grad and q.tag == [1] and q.tag is not p.tag
    with torch.no_grad():
        q.add_(1)
    (q * q).sum().backward()
    assert q.grad.tolist() == [6, 6, 6] and p.tolist() == [1, 1, 1]
    tied = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    tied[1].weight = tied[0].weight
    twin = copy.deepcopy(tied)
    assert twin[1].weight is twin[0].weight and twin[0].weight is not tied[0].weight
    torch.optim.SGD(twin.parameters(), lr=0.1).step()
    assert copy.deepcopy(torch.zeros(0, 3)).shape == (0, 3) and copy.deepcopy(torch.tensor(2)).item() == 2


def test_pickle_of_results():
    y = torch.ones(2, requires_grad=True) * 2
    got = pickle.loads(pickle.dumps(y))
    assert got.tolist() == [2, 2] and got.requires_grad and got.is_leaf
    assert not pickle.loads(pickle.dumps(y.detach())).requires_grad


MODES = [
    torch.no_grad(),
    torch.no_grad,
    torch.enable_grad(),
    torch.inference_mode(),
    torch.inference_mode,
    torch.set_grad_enabled(False),
]
torch.set_grad_enabled(True)


@pytest.mark.parametrize("mode", MODES, ids=lambda m: getattr(m, "__name__", type(m).__name__) + str(MODES.index(m)))
def test_decorated_functions(mode):
    inside = mode is MODES[2]

    @mode
    def f(a: int, *, b=2):
        """Doc."""
        return torch.is_grad_enabled()

    f.mark = 1
    assert str(inspect.signature(f)) == "(a: int, *, b=2)" and f.__name__ == "f" and f.__doc__ == "Doc."
    assert f.__wrapped__ is not f and not hasattr(f.__wrapped__, "mark") and inspect.unwrap(f).__name__ == "f"
    before = torch.is_grad_enabled()
    assert f(1) is inside and torch.is_grad_enabled() is before

    @mode
    def g(n):
        try:
            for i in range(n):
                got = yield (i, torch.is_grad_enabled())
                if got:
                    yield got
        except ValueError:
            yield "caught", torch.is_grad_enabled()
        return "end"

    assert inspect.isgeneratorfunction(g) and list(g(2)) == [(0, inside), (1, inside)]
    it = g(2)
    next(it)
    assert torch.is_grad_enabled() is before and it.send("sent") == "sent"
    assert it.throw(ValueError) == ("caught", inside)
    it.close()

    @mode
    async def h():
        first = torch.is_grad_enabled()
        await asyncio.sleep(0)
        return first, torch.is_grad_enabled()

    async def alternate():
        task = asyncio.ensure_future(h())
        await asyncio.sleep(0)
        between = torch.is_grad_enabled()
        return between, await task

    assert inspect.iscoroutinefunction(h) and asyncio.run(alternate()) == (before, (inside, inside))


def test_decorated_classes_and_methods():
    class A:
        @torch.no_grad()
        def method(self):
            return self, torch.is_grad_enabled()

        @staticmethod
        @torch.no_grad()
        def static():
            return torch.is_grad_enabled()

    a = A()
    assert a.method() == (a, False) and A.static() is False
    with pytest.warns(FutureWarning, match="Decorating classes"):

        @torch.no_grad()
        class B:
            def __init__(self):
                self.mode = torch.is_grad_enabled()

    assert B().mode is False and torch.is_grad_enabled()
