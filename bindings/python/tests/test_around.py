"""What stands around the tensors (nn.utils, testing, fx, jit, distributed ...) does what PyTorch did in the same cases
(fixtures/around, recorded by fixtures/make_around.py)."""

import json
import math
import sys

import pytest
from conftest import DEVICE, FIXTURES

import taper

sys.path.insert(0, FIXTURES)
import make_around  # noqa: E402

if DEVICE != "cpu":
    pytest.skip("of Python alone: the CPU's run has it", allow_module_level=True)

with open(make_around.RECORD) as f:
    RECORD = json.load(f)
CASES = [(file, name) for file, of in RECORD.items() for name in of]


def same(got, want, where):
    if isinstance(want, dict) and isinstance(got, dict):
        assert list(got) == list(want), f"{where}: {list(got)}, PyTorch: {list(want)}"
        for key in want:
            same(got[key], want[key], f"{where}.{key}")
    elif isinstance(want, list) and isinstance(got, list):
        assert len(got) == len(want), f"{where}: {got}\nPyTorch: {want}"
        for i, (g, w) in enumerate(zip(got, want)):
            same(g, w, f"{where}[{i}]")
    elif isinstance(want, float) and isinstance(got, (int, float)):
        close = math.isclose(got, want, rel_tol=2e-5, abs_tol=2e-6) or (math.isnan(got) and math.isnan(want))
        assert close, f"{where}: {got}, PyTorch: {want}"
    else:
        assert type(got) is type(want) and got == want, f"{where}:\n{got}\nPyTorch:\n{want}"


@pytest.mark.parametrize("file,name", CASES, ids=[f"{file}-{name[5:]}" for file, name in CASES])
def test_as_pytorch(file, name):
    function = make_around.cases(file)[name]
    same(make_around.run(taper, function), RECORD[file][name], name)


def test_every_case_is_recorded():
    assert {(file, n) for file in make_around.files() for n in make_around.cases(file)} == set(CASES)
