"""Distributions, divergences and transforms against what fixtures/distributions.py recorded from PyTorch."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import FIXTURES

import taper as torch
import taper.distributions as D

sys.path.insert(0, FIXTURES)
import distributions as made  # noqa: E402

del sys.path[0]

with open(os.path.join(FIXTURES, "distributions.json")) as f:
    RECORDED = json.load(f)

pytestmark = pytest.mark.filterwarnings("ignore")


def plain(text):
    return re.sub(r"\s+", " ", text.replace("taper.", "torch."))


def numbers(value):
    return np.array([float(v) for v in np.asarray(value, dtype=object).reshape(-1)])


def same(got, want, where):
    """Compares what `tidy` made: texts, shapes, tensors within float32's precision."""
    if isinstance(got, dict) and "missing" in got:
        return
    if isinstance(want, dict) and "dtype" in want:
        assert isinstance(got, dict) and "dtype" in got, f"{where}: {got} instead of {want}"
        assert got["dtype"] == want["dtype"], where
        a, b = np.array(got["value"], dtype=object), np.array(want["value"], dtype=object)
        assert a.shape == b.shape, f"{where}: {got} instead of {want}"
        np.testing.assert_allclose(numbers(got["value"]), numbers(want["value"]), rtol=2e-4, atol=2e-5, err_msg=where)
    elif isinstance(want, dict):
        assert isinstance(got, dict) and "error" in got, f"{where}: {got} instead of {want}"
        assert got["error"] == want["error"], f"{where}: {got} instead of {want}"
        assert plain(got["text"]) == plain(want["text"]), where
    elif isinstance(want, list):
        assert isinstance(got, list) and len(got) == len(want), f"{where}: {got} instead of {want}"
        for a, b in zip(got, want):
            same(a, b, where)
    elif isinstance(want, str) and isinstance(got, str):
        text = lambda s: re.sub(r"-?\d+\.?\d*(e[+-]?\d+)?", "#", plain(s))
        assert text(got) == text(want), where
        values = lambda s: [float(v) for v in re.findall(r"-?\d+\.?\d*(?:e[+-]?\d+)?", s)]
        np.testing.assert_allclose(values(got), values(want), rtol=2e-4, atol=2e-5, err_msg=where)
    else:
        assert got == want, where


def recorded(part):
    return list(RECORDED[part])


@pytest.mark.cpu_only("recorded draws are the CPU's")
@pytest.mark.parametrize("name", recorded("instances"))
def test_instance(name):
    want = RECORDED["instances"][name]
    got = made.instance(made.INSTANCES[name], want["values"], torch)
    if "missing" in got:
        pytest.skip(got["missing"])
    for key, value in want.items():
        if not (key == "after sample" and got[key] is None):
            same(got[key], value, f"{name}, {key}")


@pytest.mark.cpu_only("one comparison of them is enough")
def test_divergences():
    want, got = RECORDED["divergences"], made.divergences(torch)
    assert got.keys() == want.keys()
    for key, value in want.items():
        same(got[key], value, key)


@pytest.mark.cpu_only("one comparison of them is enough")
def test_transforms():
    got = made.transforms(torch)
    for key, value in RECORDED["transforms"].items():
        for what, v in value.items():
            same(got[key][what], v, f"{key}, {what}")


@pytest.mark.cpu_only("recorded draws are the CPU's")
@pytest.mark.parametrize("text", recorded("texts"))
def test_text(text):
    same(made.texts(torch, [text])[text], RECORDED["texts"][text], text)


def test_names():
    for part, names in RECORDED["names"].items():
        module = D if part == "distributions" else getattr(D, part[1:])
        assert [n for n in names if not hasattr(module, n)] == []
    from taper.distributions.kl import _KL_REGISTRY

    assert sorted([a.__name__, b.__name__] for a, b in _KL_REGISTRY) == RECORDED["registered"]
    from taper.distributions.multivariate_normal import MultivariateNormal

    assert MultivariateNormal is D.MultivariateNormal


def test_validation_can_be_off():
    assert D.Normal(0.0, -1.0, validate_args=False).scale.item() == -1
    D.Distribution.set_default_validate_args(False)
    try:
        D.Normal(0.0, -1.0)
    finally:
        D.Distribution.set_default_validate_args(True)
    with pytest.raises(ValueError):
        D.Normal(0.0, -1.0)


def test_own_classes():
    class Own(D.Normal):
        pass

    class Wider(D.Normal):
        def __init__(self, loc):
            super().__init__(loc, 1.0)

    assert type(Own(0.0, 1.0).expand([2])) is Own
    with pytest.raises(NotImplementedError, match="must also define a custom .expand"):
        Wider(0.0).expand([2])

    @D.register_kl(Own, D.Normal)
    def _own(p, q):
        return torch.tensor(3.0)

    assert D.kl_divergence(Own(0.0, 1.0), D.Normal(0.0, 1.0)).item() == 3
    assert D.kl_divergence(D.Normal(0.0, 1.0), Own(0.0, 1.0)).item() == 0


def test_transform_cache_and_copies():
    import pickle

    t = D.ComposeTransform([D.ExpTransform(cache_size=1), D.AffineTransform(1.0, 2.0, cache_size=1)])
    x = torch.tensor([1.0, 2.0])
    y = t(x)
    assert t.inv(y) is x
    assert t.inv.inv is t
    again = pickle.loads(pickle.dumps(D.TanhTransform()))
    assert again == D.TanhTransform()


@pytest.mark.cpu_only("thousands of draws on the CPU are enough")
def test_a_policy_learns():
    """The score function's gradient of an expectation, and the path-wise one, agree with the exact one."""
    torch.manual_seed(0)
    logits = torch.zeros(2, requires_grad=True)
    d = D.Categorical(logits=logits)
    action = d.sample((4000,))
    (-(d.log_prob(action) * (action == 1).float()).mean()).backward()
    assert abs(logits.grad[1].item() + 0.25) < 0.03
    loc = torch.tensor(1.0, requires_grad=True)
    (D.Normal(loc, 0.5).rsample((2000,)) ** 2).mean().backward()
    assert abs(loc.grad.item() - 2) < 0.1


@pytest.mark.cpu_only("about what is loaded")
def test_loaded_when_used():
    code = "import sys, taper; assert 'taper.distributions' not in sys.modules; taper.distributions.Normal; assert 'taper.distributions' in sys.modules"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)
