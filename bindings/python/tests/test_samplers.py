"""Samplers and the loader against PyTorch's orders, which tests/fixtures/make_samplers.py recorded for all languages."""

import sys
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[3] / "tests/fixtures"
pytestmark = pytest.mark.skipif(not FIXTURES.exists(), reason="outside a checkout")


@pytest.mark.cpu_only("recorded draws are the CPU's")
def test_orders_and_generators_are_pytorchs():
    sys.path.insert(0, str(FIXTURES))
    import make_samplers

    make_samplers.use("taper")
    for got, want in zip(make_samplers.lines(), (FIXTURES / "samplers.txt").read_text().splitlines(), strict=True):
        assert got == want
