"""interpolate(antialias=True) against what PyTorch gave (tests/fixtures/make_antialias.py)."""

import json
from pathlib import Path

import pytest
from conftest import DEVICE

import taper as torch
import taper.nn.functional as F

CASES = json.loads((Path(__file__).parents[3] / "tests/fixtures/antialias.json").read_text())
FLOAT = torch.float64 if DEVICE == "cpu" else torch.float32


def counted(shape, step, modulus, dtype):
    n = torch.Size(shape).numel()
    return (torch.arange(n) * step % modulus).reshape(shape).to(dtype).to(DEVICE)


def resized(x, c):
    kw = {k: c[k] for k in ("size", "scale_factor") if k in c}
    return F.interpolate(x, mode=c["mode"], align_corners=c["align_corners"], antialias=True, **kw)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("dtype", ["float64", "uint8"])
def test_values_and_gradients_are_pytorchs(mode, dtype):
    cases = [c for c in CASES if c["mode"] == mode and c["dtype"] == dtype]
    assert len(cases) >= 24
    for c in cases:
        x = counted(c["input"], 37, 251, FLOAT if dtype == "float64" else torch.uint8)
        x.requires_grad_(dtype == "float64")
        if "error" in c:
            with pytest.raises((ValueError, RuntimeError), match=c["error"].split(",")[0].split("(")[0]):
                resized(x, c)
            continue
        y = resized(x, c)
        about = {k: v for k, v in c.items() if k not in ("values", "gradient")}
        assert list(y.shape) == c["shape"] and y.dtype == x.dtype, about
        want = torch.tensor(c["values"], dtype=torch.float64, device="cpu")
        # PyTorch's integers of 16 bits for bytes are the same here; elsewhere the fixture has five decimals.
        far = 0 if dtype == "uint8" else 2e-5 if FLOAT == torch.float64 else 1e-3
        assert (y.detach().cpu().double().flatten() - want).abs().max().item() <= far, about
        if dtype == "float64":
            (y * counted(y.shape, 11, 17, FLOAT)).sum().backward()
            want = torch.tensor(c["gradient"], dtype=torch.float64, device="cpu")
            assert (x.grad.cpu().double().flatten() - want).abs().max().item() <= far, about


@pytest.mark.skipif(DEVICE != "cpu", reason="finite differences want float64")
@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "lanczos"])
def test_gradients_by_finite_differences(mode):
    x = torch.rand(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    for size in ((2, 3), (8, 4)):
        f = lambda x, size=size: F.interpolate(x, size=size, mode=mode, antialias=True)  # noqa: E731
        assert torch.autograd.gradcheck(f, (x,)) and torch.autograd.gradgradcheck(f, (x,))


def test_half_types_and_what_is_refused():
    x = counted((1, 1, 6, 6), 37, 251, torch.float16)
    y = F.interpolate(x, size=(2, 3), mode="bilinear", antialias=True)
    assert y.dtype == torch.float16
    want = F.interpolate(x.float(), size=(2, 3), mode="bilinear", antialias=True)
    assert (y.float() - want).abs().max().item() < 0.2
    words = "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input"
    for shape, mode in (((1, 1, 4), "linear"), ((1, 1, 4, 4), "nearest"), ((1, 1, 2, 2, 2), "trilinear")):
        with pytest.raises(ValueError, match=words):
            F.interpolate(torch.zeros(*shape), size=2, mode=mode, antialias=True)
    with pytest.raises(ValueError, match="Lanczos mode requires antialias=True"):
        F.interpolate(x, size=2, mode="lanczos")
    with pytest.raises(NotImplementedError):
        F.interpolate(x.to(torch.int32), size=2, mode="bilinear", antialias=True)
