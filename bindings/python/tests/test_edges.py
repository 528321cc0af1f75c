"""Values, gradients and errors at edges: infinite and missing numbers, nothing, scalars, factors that change no size. What is
expected is PyTorch's answer."""

import pytest
from conftest import DEVICE

import taper as torch
import taper.nn.functional as F
from taper.autograd import grad

inf, nan = torch.inf, torch.nan


def T(v, dtype=torch.float64, leaf=False):
    return torch.tensor(v, dtype=dtype, device=DEVICE, requires_grad=leaf)


def same(t, want):
    assert torch.allclose(t, T(want, t.dtype), equal_nan=True), (t, want)


def test_resizing_that_changes_no_size():
    x = T([[[1.0, 3.0]]], leaf=True)
    y = F.interpolate(x, scale_factor=1.3, mode="linear")
    assert y.tolist() == [[[1.0, 3.0]]] and y is not x
    same(grad((y * T([2.0, 3.0])).sum(), x)[0], [[[2.0, 3.0]]])
    same(F.interpolate(x, scale_factor=1.3, mode="linear", align_corners=True), [[[1.0, 3.0]]])
    image = T([[[[1.0, 3.0], [4.0, 9.0]]]])
    for mode in ("nearest", "bilinear", "nearest-exact", "area"):
        assert F.interpolate(image, scale_factor=1.3, mode=mode).tolist() == image.tolist()
    same(F.interpolate(image, scale_factor=(1.3, 1.6), mode="nearest"), [[[[1.0, 1.0, 3.0], [4.0, 4.0, 9.0]]]])
    same(
        F.interpolate(image, scale_factor=(1.0, 2.2), mode="nearest"), [[[[1.0, 1.0, 3.0, 3.0], [4.0, 4.0, 9.0, 9.0]]]]
    )
    same(F.interpolate(torch.stack([image, image + 1], 2), scale_factor=0.5, mode="area"), [[[[[4.75]]]]])
    with pytest.raises(RuntimeError, match="sizes should be greater than 0"):
        F.interpolate(x, scale_factor=0.4, mode="linear")
    with pytest.raises(RuntimeError, match="sizes should be greater than 0"):
        F.interpolate(image, size=(0, 2))


def test_xlogy_of_numbers_keeps_the_dtype():
    half = torch.tensor(0.5, dtype=torch.float16)
    assert torch.xlogy(half, 0.5).dtype is torch.xlogy(0.5, half).dtype is torch.float16
    assert torch.xlogy(torch.tensor(2), 0.5).dtype is torch.float32
    assert torch.xlogy(torch.tensor([2.0], dtype=torch.float64), 2).dtype is torch.float64


def test_lerp_in_place_has_the_weight_s_gradient():
    x, w = T([1.0, 2.0]), T([0.25, 0.75], leaf=True)
    y = x.clone().lerp_(T([5.0, 4.0]), w)
    same(y, [2.0, 3.5])
    same(grad(y.sum(), w)[0], [4.0, 2.0])


def test_rounded_division_in_place_keeps_the_dtype():
    bools, ints = torch.tensor([True, False]), torch.tensor([4, 5])
    for x, y in ((bools, ints), (ints, 2.5), (ints, torch.tensor([2.5, 2.5]))):
        with pytest.raises(RuntimeError, match="can't be cast"):
            x.div_(y, rounding_mode="floor")
    assert ints.clone().div_(2, rounding_mode="floor").tolist() == [2, 2]
