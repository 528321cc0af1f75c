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


def test_losses_of_infinite_differences_have_bounded_slopes():
    for f in (F.huber_loss, F.smooth_l1_loss):
        x, y = T([inf, -inf, 0.25, nan], leaf=True), T([0.0, 0.0, 0.0, 0.0])
        (g,) = grad(f(x, y, reduction="sum"), x, create_graph=True)
        same(g, [1.0, -1.0, 0.25, nan])
        same(grad(g.sum(), x)[0], [0.0, 0.0, 1.0, 0.0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_infinite_weights_of_convolutions_stay_where_they_are(dtype):
    x, w = T([[[1.0, 2.0, 3.0]]], dtype, leaf=True), T([[[inf, 1.0, 1.0]]], dtype)
    same(grad(F.conv1d(x, w, padding=1).sum(), x)[0], [[[inf, inf, 2.0]]])
    x = torch.ones(1, 1, 4, 2, dtype=dtype, requires_grad=True)
    y = F.conv2d(x, T([[[[-inf], [2.0]]]], dtype))
    same(grad(y.sum(), x)[0], [[[[-inf, -inf], [-inf, -inf], [-inf, -inf], [2.0, 2.0]]]])
    w = T([[[nan, 9.0, 0.0, 9.0, 2.0, 9.0]]], dtype)[..., ::2]
    same(F.conv_transpose1d(T([[[1.0, 3.0]]], dtype), w), [[[nan, nan, 2.0, 6.0]]])


def test_variances_without_degrees_of_freedom():
    x = T([[1.0, 2.0, 4.0]], leaf=True)
    (g,) = grad(torch.var(x, 1, correction=2).sum(), x, create_graph=True)
    same(g, [[-8 / 3, -2 / 3, 10 / 3]])
    same(grad((g * T([[1.0, 0.0, 0.0]])).sum(), x)[0], [[4 / 3, -2 / 3, -2 / 3]])
    same(grad(torch.var(x, 1, correction=4).sum(), x)[0], [[8 / 3, 2 / 3, -10 / 3]])
    same(grad(torch.std(x, 1, correction=4).sum(), x)[0], [[0.0, 0.0, 0.0]])
    x = T([3.0, 4.0], leaf=True)
    same(grad(torch.var(x, correction=2), x)[0], [inf, inf])
    same(grad(torch.var(x[:1], correction=2), x)[0], [nan, 0.0])
    x = T([[1.0], [3.0]], leaf=True)
    v, m = torch.var_mean(x, 1, correction=2)
    assert v.isnan().all()
    same(grad(v.sum() + m.sum(), x)[0], [[1.0], [1.0]])


def test_distances_that_count_differences():
    x, y = T([[2.0, 0.0], [nan, 0.0]], leaf=True), T([[-2.0, 0.0], [1.0, 0.0]])
    d = torch.cdist(x, y, p=0.0)
    same(d, [[1.0, 1.0], [nan, nan]])
    same(grad(d[0].sum(), x)[0], [[0.0, 0.0], [0.0, 0.0]])
    for p in (0.0, 0.5, 1.0, 2.0, inf):
        assert torch.cdist(torch.zeros(1, 0), torch.zeros(2, 0), p=p).tolist() == [[0.0, 0.0]]


def test_the_missing_number_that_is_chosen():
    x = T([[1.0, nan, 2.0, 5.0, 0.0]], leaf=True)
    same(grad(torch.quantile(x, 0.5), x)[0], [[0.0, 1.0, 0.0, 0.0, 0.0]])
    x = T([[1.0, nan, 2.0, nan, 0.0]], leaf=True)
    values, places = F.adaptive_max_pool1d(x, 2, return_indices=True)
    assert places.tolist() == [[1, 3]] and values.isnan().all()
    x = T([[[[nan, 1.0, nan], [0.0, nan, 1.0], [2.0, 2.0, 3.0]]]], leaf=True)
    values, places = F.adaptive_max_pool2d(x, 2, return_indices=True)
    assert places.flatten().tolist() == [4, 4, 4, 4]
    same(grad(values.sum(), x)[0].sum(), 4.0)


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


def test_rows_of_scalars_and_of_other_shapes():
    scalar, none = T(1.0), torch.tensor([], dtype=torch.int64, device=DEVICE)
    at = torch.tensor([0], device=DEVICE)
    for f in (
        lambda: scalar.index_copy(1, at, scalar),
        lambda: scalar.index_fill(3, at, 2.0),
        lambda: scalar.index_add(1, at, scalar),
        lambda: scalar.index_select(1, at),
        lambda: scalar.index_copy(0, none, scalar),
        lambda: T([1.0]).index_copy(0, torch.tensor([0, 0], device=DEVICE), scalar),
        lambda: torch.zeros(3, 4).index_copy(0, torch.tensor([0, 1]), torch.ones(4)),
        lambda: torch.zeros(3, 4).index_copy(0, torch.tensor([0, 1]), torch.ones(1, 4)),
    ):
        with pytest.raises(IndexError):
            f()
    for f in (
        lambda: torch.zeros(3, 4).index_copy(0, torch.tensor([0, 1]), torch.ones(2, 1)),
        lambda: torch.zeros(3, 4).index_add(0, torch.tensor([0, 1]), torch.ones(2, 1)),
        lambda: torch.zeros(3, 4).index_copy(0, torch.tensor([0]), torch.ones(1, 4, dtype=torch.float64)),
    ):
        with pytest.raises(RuntimeError):
            f()
    if DEVICE == "cpu":
        with pytest.raises(IndexError):
            scalar.index_select(0, torch.tensor([1]))
    assert scalar.index_copy(0, at, T([5.0])).item() == 5.0
    assert T([1.0]).index_copy(0, at, T(5.0)).tolist() == [5.0]


def test_numbers_of_integer_dtypes():
    assert torch.linspace(1, -1, 3, dtype=torch.uint8).tolist() == [1, 128, 255]
    assert torch.linspace(0, -3, 4, dtype=torch.uint8).tolist() == [0, 84, 168, 253]
    assert torch.linspace(3, -300, 1, dtype=torch.uint8).tolist() == [3]
    assert torch.linspace(-1.7, 5.2, 4, dtype=torch.int8).tolist() == [-1, 1, 3, 5]
    assert torch.full((2,), -1, dtype=torch.uint8).tolist() == [255, 255]
    assert torch.full((1,), 255.5, dtype=torch.uint8).tolist() == [255]
    for f in (
        lambda: torch.full((0,), -1.5, dtype=torch.uint8),
        lambda: torch.full((1,), -0.5, dtype=torch.uint8),
        lambda: torch.full((1,), -128.5, dtype=torch.int8),
        lambda: torch.linspace(300, 5, 4, dtype=torch.int8),
        lambda: torch.linspace(-1.5, 5, 4, dtype=torch.uint8),
    ):
        with pytest.raises(RuntimeError, match="without overflow"):
            f()


def test_refused_dtypes():
    bools, ints = torch.tensor([True, False]), torch.tensor([4, 5])
    with pytest.raises(RuntimeError, match="with a bool tensor"):
        torch.rsub(bools, -1.5, alpha=3)
    for t1, t2 in ((ints, ints), (ints, bools)):
        with pytest.raises(RuntimeError, match="Integer division with addcdiv"):
            torch.addcdiv(torch.ones(2), t1, t2)
        with pytest.raises(RuntimeError, match="Integer division with addcdiv"):
            torch.ones(2).addcdiv_(t1, t2)
    assert torch.addcdiv(ints, ints, torch.tensor([2.0, 2.0])).tolist() == [6.0, 7.5]
    for x, y in ((bools, ints), (ints, 2.5), (ints, torch.tensor([2.5, 2.5]))):
        with pytest.raises(RuntimeError, match="can't be cast"):
            x.div_(y, rounding_mode="floor")
    assert ints.clone().div_(2, rounding_mode="floor").tolist() == [2, 2]
    for x, y in ((torch.ones(1), ints[:1]), (ints[:1], torch.ones(1)), (ints, ints)):
        with pytest.raises(RuntimeError, match="Integral inputs not supported"):
            F.kl_div(x, y)
    with pytest.raises(IndexError):
        ints.cumprod_(dim=2, dtype=torch.float64)


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


def test_strides_of_what_is_never_stepped():
    assert torch.zeros(0)[::3].stride() == (3,)
    assert torch.zeros(0, 4)[..., ::2].stride() == (4, 2)
    assert torch.zeros(0, 4)[..., ::2].is_contiguous() and torch.zeros(4, 0).t().is_contiguous()
    assert torch.zeros(5)[::9].stride() == (9,)
    x = torch.zeros(5, requires_grad=True)
    y = x[:: 2**62]
    assert y.tolist() == [0.0] and grad(y.sum(), x)[0].tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
