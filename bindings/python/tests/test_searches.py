"""NaN in searches, as PyTorch 2 has it (tests/fixtures/searches.py records), and values that ops refuse, on every device."""

import json
import os

import pytest
from conftest import DEVICE, FIXTURES
from searches import CALLS

import taper as torch
import taper.nn.functional as F

nan = float("nan")
with open(os.path.join(FIXTURES, "searches.json")) as f:
    RECORDED = json.load(f)


DTYPES = ["float32", "float64", "float16", "bfloat16"]


# Compiling the kernels of all takes devices minutes.
@pytest.mark.parametrize("dtype", DTYPES if DEVICE == "cpu" else DTYPES[:1])
@pytest.mark.parametrize("call", CALLS)
def test_nan(call, dtype):
    want = RECORDED[call].get(dtype)
    if want is None:
        pytest.skip("PyTorch does not have it in this dtype")
    dt = getattr(torch, dtype)
    names = {"torch": torch, "T": lambda v: torch.tensor(v, dtype=dt, device=DEVICE), "nan": nan, "inf": float("inf")}
    got = eval(call, names)
    got = list(got) if isinstance(got, tuple) else [got]
    assert str([t.double().tolist() if t.is_floating_point() else t.tolist() for t in got]) == want


def I(*v):
    return torch.tensor(v, device=DEVICE)


def X(*v):
    return torch.tensor(v, dtype=torch.float32, device=DEVICE)


REFUSED = {
    "bernoulli above": lambda: torch.bernoulli(X(0.5, 1.5)),
    "bernoulli below": lambda: torch.bernoulli(X(-0.5)),
    "bernoulli NaN": lambda: torch.bernoulli(X(nan)),
    "bernoulli_": lambda: X(1.0).bernoulli_(X(2.0)),
    "binary_cross_entropy above": lambda: F.binary_cross_entropy(X(2.0), X(1.0)),
    "binary_cross_entropy below": lambda: F.binary_cross_entropy(X(-0.1), X(1.0)),
    "binary_cross_entropy target above": lambda: F.binary_cross_entropy(X(0.5), X(1.5)),
    "binary_cross_entropy target below": lambda: F.binary_cross_entropy(X(0.5), X(-1.0)),
    "binary_cross_entropy target NaN": lambda: F.binary_cross_entropy(X(0.5), X(nan)),
    "multinomial negative": lambda: torch.multinomial(X(1.0, -1.0), 1),
    "multinomial negative, replaced": lambda: torch.multinomial(X(1.0, -1.0), 3, True),
    "multinomial infinite": lambda: torch.multinomial(X(1.0, float("inf")), 1),
    "multinomial NaN": lambda: torch.multinomial(X(1.0, nan), 1),
    "multinomial nothing": lambda: torch.multinomial(X(0.0, 0.0), 1),
    "normal": lambda: torch.normal(X(0.0), X(-1.0)),
    "embedding": lambda: F.embedding(I(3), torch.ones(3, 2, device=DEVICE)),
    "embedding negative": lambda: F.embedding(I(0, -1), torch.ones(3, 2, device=DEVICE)),
    "index_select": lambda: X(1.0, 2.0).index_select(0, I(2)),
    "index_select negative": lambda: X(1.0, 2.0).index_select(0, I(-1)),
    "index_add negative": lambda: X(1.0, 2.0).index_add(0, I(-1), X(1.0)),
    "index_add_ negative": lambda: X(1.0, 2.0).index_add_(0, I(-1), X(1.0)),
    "index_copy negative": lambda: X(1.0, 2.0).index_copy(0, I(-1), X(1.0)),
    "index_copy": lambda: X(1.0, 2.0).index_copy(0, I(2), X(1.0)),
    "index_fill": lambda: X(1.0, 2.0).index_fill(0, I(-3), 1.0),
    "gather negative": lambda: X(1.0, 2.0).gather(0, I(-1)),
    "scatter": lambda: X(1.0, 2.0).scatter(0, I(2), 1.0),
    "take": lambda: X(1.0, 2.0).take(I(2)),
    "index": lambda: X(1.0, 2.0)[I(-3)],
    "one_hot negative": lambda: F.one_hot(I(-1), 3),
    "one_hot": lambda: F.one_hot(I(3), 3),
    "bincount": lambda: torch.bincount(I(-1)),
    "nll_loss": lambda: F.nll_loss(torch.zeros(1, 3, device=DEVICE), I(3)),
    "cross_entropy": lambda: F.cross_entropy(torch.zeros(1, 3, device=DEVICE), I(3)),
    "cross_entropy negative": lambda: F.cross_entropy(torch.zeros(1, 3, device=DEVICE), I(-1)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    """At once on the CPU, on a device at the latest when the result is read; what comes after that works again."""
    with pytest.raises((IndexError, RuntimeError)):
        REFUSED[name]().tolist()
    assert X(1.0, 2.0).sum().item() == 3.0


def test_probabilities_are_named_that_are_none():
    for x, y, name in ((2.0, 1.0, "input"), (1.0, 2.0, "target")):
        with pytest.raises(RuntimeError, match=f"all elements of {name} should be between 0 and 1"):
            F.binary_cross_entropy(X(x), X(y)).item()


def test_long_sums():
    n = 300000
    want = torch.tensor(0.1).item() * n
    x = torch.full((n,), 0.1, device=DEVICE)
    assert abs(x.sum().item() / want - 1) < 1e-6
    assert abs(x.cumsum(0)[-1].item() / want - 1) < 1e-6
    assert abs(x.view(-1, 3).sum(0)[1].item() * 3 / want - 1) < 1e-6
    assert abs(torch.zeros(n, device=DEVICE).softmax(0).sum().item() - 1) < 1e-5
