"""NaN in searches, as PyTorch 2 has it (searches.py records it), on every device."""

import json
import os

import pytest
from conftest import DEVICE, FIXTURES
from searches import CALLS

import taper as torch

nan = float("nan")
with open(os.path.join(FIXTURES, "searches.json")) as f:
    RECORDED = json.load(f)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
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
