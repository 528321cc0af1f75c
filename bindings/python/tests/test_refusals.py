"""Errors and `out=` in PyTorch's words: the calls of tests/fixtures/make_refusals.py against what PyTorch did with them."""

import importlib.util
from pathlib import Path

import pytest

import taper
import taper.nn.functional

FIXTURES = Path(__file__).resolve().parents[3] / "tests" / "fixtures"
_spec = importlib.util.spec_from_file_location("make_refusals", FIXTURES / "make_refusals.py")
refusals = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(refusals)
LINES = [line.split("\t") for line in (FIXTURES / "refusals.txt").read_text().splitlines()]


@pytest.mark.parametrize("call, wanted", LINES, ids=[call for call, _ in LINES])
def test_a_call_does_what_it_does_in_pytorch(call, wanted):
    got = refusals.outcome(call, taper)
    assert got == wanted


def test_memory_without_values_lies_as_asked():
    turned = taper.zeros(2, 3).t()
    for made, shape, strides in (
        (taper.empty_strided((2, 3), (1, 2)), (2, 3), (1, 2)),
        (taper.empty_strided((2, 3), (5, 0), dtype=taper.int32), (2, 3), (5, 0)),
        (taper.empty_permuted((2, 3, 4), (2, 0, 1)), (2, 3, 4), (3, 1, 6)),
        (taper.empty_like(turned), (3, 2), (1, 3)),
    ):
        assert (tuple(made.shape), made.stride()) == (shape, strides)
    assert taper.empty_like(turned, dtype=taper.float64).dtype == taper.float64
    with pytest.raises(RuntimeError, match="must match dimensionality of strides"):
        taper.empty_strided((2, 3), (1,))
    with pytest.raises(RuntimeError, match="Duplicate dim"):
        taper.empty_permuted((2, 3), (0, 0))
