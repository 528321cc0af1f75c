"""`torch.fft`, `stft`, `istft` and windows against what fixtures/fourier.py recorded from PyTorch; derivatives against
differences; every device; the meta device."""

import cmath
import json
import os
import sys
import warnings

import pytest
from conftest import DEVICE, FIXTURES

import taper

sys.path.insert(0, FIXTURES)
import fourier as made  # noqa: E402

del sys.path[0]

with open(os.path.join(FIXTURES, "fourier.json")) as f:
    CASES = json.load(f)


# Expressions of which a part is computed in float32.
SINGLE = (".float()", "complex64", "hann_window(8) *")


def same(got, want, where, single):
    """Whether dtypes and shapes agree, and elements within a few roundings of the largest."""
    assert got[:2] == want[:2], f"{where}: {got[:2]} instead of {want[:2]}"

    def number(v):
        return complex(float(v[0]), float(v[1])) if isinstance(v, list) else complex(float(v))

    a, b = [number(v) for v in got[2]], [number(v) for v in want[2]]
    double = want[0] in ("torch.float64", "torch.complex128") and not single
    room = (max([abs(v) for v in b], default=0.0) + 1e-3) * (1e-12 if double else 2e-6)
    for x, y in zip(a, b):
        assert abs(x - y) <= room or (cmath.isnan(x) and cmath.isnan(y)), f"{where}: {x} instead of {y}"


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["expression"])
def test_expressions(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = made.outcome(taper, case["expression"])
    if "error" in case:
        # PyTorch prints an options object of its own in one of them.
        text = case["text"].split("TensorOptions(")[0]
        assert got.get("error") == case["error"] and got["text"].startswith(text), got
        return
    assert "error" not in got, got
    single = any(word in case["expression"] for word in SINGLE)
    same(got["result"], case["result"], "result", single)
    assert set(got.get("gradients", ())) == set(case.get("gradients", ()))
    for name in case.get("gradients", ()):
        same(got["gradients"][name], case["gradients"][name], f"gradient of {name}", single)


def test_derivatives_equal_differences():
    v = made.variables(taper)
    x, z = v["x"], v["z"]
    for f, leaf in [
        (lambda a: taper.fft.fft(a, 5), x),
        (lambda a: taper.fft.fft(a, 5, 0, "ortho"), z),
        (lambda a: taper.fft.ifft2(a), z),
        (lambda a: taper.fft.rfft(a, 5), x),
        (lambda a: taper.fft.rfft2(a), x),
        (lambda a: taper.fft.irfft(a), z),
        (lambda a: taper.fft.irfft(a, 5, norm="forward"), z),
        (lambda a: taper.fft.irfft2(a, (3, 5)), z),
        (lambda a: taper.fft.hfft2(a), z),
        (lambda a: taper.fft.ihfft2(a), x),
        (lambda a: taper.fft.fftshift(a), x),
        (lambda a: taper.stft(a.reshape(-1), 6, return_complex=True), x),
    ]:
        assert taper.autograd.gradcheck(f, (leaf,))
        assert taper.autograd.gradgradcheck(f, (leaf,))


def test_long_lines_and_large_primes():
    for n in (96, 1009, 1024, 2048, 4097, 6000, 40000):
        x = (taper.arange(n, dtype=taper.float64) * 0.7).sin()
        y = taper.fft.rfft(x)
        assert y.shape == (n // 2 + 1,)
        assert (taper.fft.irfft(y, n) - x).abs().max().item() < 1e-12
        whole = taper.fft.fft(x.to(taper.complex128))
        assert (taper.fft.fft(x) - whole).abs().max().item() < 1e-9
        assert (whole[: n // 2 + 1] - y).abs().max().item() < 1e-9
        # One element by its sum.
        k = n // 3
        at = taper.arange(n, dtype=taper.int64) * k % n
        angle = at.to(taper.float64) * (-2 * cmath.pi / n)
        want = complex((x * angle.cos()).sum().item(), (x * angle.sin()).sum().item())
        assert abs(whole[k].item() - want) < 1e-9 * n


def test_dimensions_and_batches():
    x = taper.arange(2 * 37 * 9 * 5, dtype=taper.float64).sin().reshape(2, 37, 9, 5)
    for dim in range(4):
        got = taper.fft.fft(x, dim=dim)
        want = taper.fft.fft(x.movedim(dim, -1).contiguous()).movedim(-1, dim)
        assert (got - want).abs().max().item() < 1e-10
        assert (taper.fft.irfft(taper.fft.rfft(x, dim=dim), x.shape[dim], dim=dim) - x).abs().max().item() < 1e-12
    assert (taper.fft.ifftn(taper.fft.fftn(x)).real - x).abs().max().item() < 1e-12
    assert (taper.fft.irfftn(taper.fft.rfftn(x), x.shape) - x).abs().max().item() < 1e-12


def test_meta():
    x = taper.empty(4, 6, device="meta", requires_grad=True)
    for name, shape, dtype in [
        ("fft", (4, 6), taper.complex64),
        ("rfft", (4, 4), taper.complex64),
        ("irfft", (4, 10), taper.float32),
        ("hfft2", (4, 10), taper.float32),
        ("ihfftn", (4, 4), taper.complex64),
        ("fftn", (4, 6), taper.complex64),
    ]:
        y = getattr(taper.fft, name)(x)
        assert (tuple(y.shape), y.dtype, y.device.type) == (shape, dtype, "meta"), name
        (g,) = taper.autograd.grad(y, x, taper.ones_like(y))
        assert (g.shape, g.dtype) == (x.shape, x.dtype), name
    s = taper.stft(taper.empty(50, device="meta"), 8, return_complex=True)
    assert tuple(s.shape) == (5, 26)
    assert taper.istft(s, 8).shape == (50,)


def test_names_of_nodes():
    x = taper.ones(4, requires_grad=True)
    assert type(taper.fft.fft(x).grad_fn).__name__ == "FftR2CBackward0"
    assert type(taper.fft.irfft(x).grad_fn).__name__ == "FftC2RBackward0"
    assert type(taper.fft.fftn(x).grad_fn).__name__ == "FftC2CBackward0"


def test_out():
    x = taper.arange(4.0)
    out = taper.empty(0, dtype=taper.complex64)
    assert taper.fft.fft(x, out=out) is out and out.shape == (4,)
    with pytest.raises(RuntimeError, match="fft expects a complex output tensor, but got Float"):
        taper.fft.fft(x, out=taper.empty(0))
    with pytest.raises(RuntimeError, match="irfft expects a floating point output tensor, but got ComplexFloat"):
        taper.fft.irfft(x, out=taper.empty(0, dtype=taper.complex64))


@pytest.mark.skipif(DEVICE == "cpu", reason="compares a device with the CPU")
def test_devices():
    x = taper.arange(60.0).cos().reshape(4, 15)
    for name in ("fft", "rfft", "fft2", "irfft2", "ihfft"):
        got, want = getattr(taper.fft, name)(x.to(DEVICE)), getattr(taper.fft, name)(x.cpu())
        assert got.device.type == DEVICE
        assert (got.cpu() - want).abs().max().item() < 1e-5
