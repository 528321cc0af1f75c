"""The array API standard's namespace; its own suite runs where ARRAY_API_TESTS names it (scripts/array_api.sh)."""

import math

import pytest

import taper.array_api as xp


def test_promotion_is_the_standards():
    x, y = xp.asarray(1.0, dtype=xp.float64), xp.asarray([1.0, 2.0], dtype=xp.float32)
    assert xp.add(x, y).dtype == xp.float64 and (x + y).dtype == xp.float32
    assert xp.result_type(xp.int8, xp.asarray([1], dtype=xp.uint8)) == xp.int16
    assert xp.add(y, 1).dtype == xp.float32 and xp.multiply(2j, y).dtype == xp.complex64
    with pytest.raises(TypeError, match="expected a number that fits torch.int64, got 0.5"):
        xp.add(xp.asarray([1]), 0.5)
    assert xp.isdtype(xp.int8, ("integral", "bool")) and not xp.isdtype(xp.int8, "real floating")
    assert not xp.can_cast(xp.int32, xp.float64) and xp.can_cast(xp.float32, xp.float64)
    assert xp.finfo(xp.complex64).dtype == xp.float32 and xp.iinfo(xp.asarray([1])).dtype == xp.int64


def test_divisions_at_infinity_and_zero():
    inf = math.inf
    x, y = xp.asarray([inf, -inf, 1.0, -1.0]), xp.asarray([2.0, 2.0, -inf, inf])
    assert [str(v) for v in xp.floor_divide(x, y).tolist()] == ["inf", "-inf", "-0.0", "-0.0"]
    zeros = xp.remainder(xp.asarray([-0.0, 0.0]), xp.asarray([1.0, -1.0]))
    assert [str(v) for v in zeros.tolist()] == ["0.0", "-0.0"]


def test_reductions_and_sets():
    x = xp.asarray([[1.0, 2.0], [3.0, 5.0]])
    assert xp.std(x).item() == pytest.approx(math.sqrt(2.1875)) and xp.var(x, correction=1.5).item() == pytest.approx(
        3.5
    )
    assert xp.max(x, axis=()).tolist() == x.tolist() and xp.sum(xp.asarray([True, True])).dtype == xp.int64
    assert xp.cumulative_sum(xp.asarray([1, 2]), include_initial=True).tolist() == [0, 1, 3]
    assert xp.prod(x, axis=(0, 1), keepdims=True).tolist() == [[30.0]]
    values, first, inverse, counts = xp.unique_all(xp.asarray([3, 1, 3, 2, 1]))
    assert values.tolist() == [1, 2, 3] and first.tolist() == [1, 3, 0] and inverse.tolist() == [2, 0, 2, 1, 0]
    assert counts.tolist() == [2, 1, 2]
    assert xp.unique_counts(xp.asarray([math.nan, math.nan])).counts.tolist() == [1, 1]
    assert xp.unique_values(xp.asarray([1j, 1 + 0j, 1j])).tolist() == [1j, 1 + 0j]
    assert xp.unique_inverse(xp.asarray([], dtype=xp.int64)).values.shape == (0,)


def test_making_and_moving():
    assert xp.linspace(0, 1, 4, endpoint=False).tolist() == [0, 0.25, 0.5, 0.75]
    assert xp.arange(3, 0).shape == (0,) and xp.eye(2, 3, k=1).tolist() == [[0, 1, 0], [0, 0, 1]]
    assert isinstance(xp.meshgrid(xp.asarray([1]), xp.asarray([2])), list)
    with pytest.raises(ValueError, match="copy=False, but a list shares no memory"):
        xp.asarray([1], copy=False)
    with pytest.raises(ValueError, match="expected a size of 1 for axis 0, got 2"):
        xp.squeeze(xp.ones((2, 1)), 0)
    with pytest.raises(ValueError, match="vecdot: expected the same size along axis -1, got 1 and 2"):
        xp.vecdot(xp.ones(1), xp.ones(2))
    assert xp.take(xp.asarray([[1, 2], [3, 4]]), xp.asarray([1]), axis=-1).tolist() == [[2], [4]]
    assert xp.roll(xp.asarray([1, 2, 3]), 1).tolist() == [3, 1, 2]
    info = xp.__array_namespace_info__()
    assert info.default_dtypes()["integral"] == xp.int64 and info.default_device() in info.devices()
    assert set(info.dtypes(kind="real floating")) == {"float32", "float64"}


def test_products():
    x = xp.asarray([1 + 1j, 2.0])
    assert xp.vecdot(x, x).item() == 6 and xp.linalg.outer(x, x).shape == (2, 2)
    a = xp.asarray([[2.0, 0.0], [0.0, 4.0]])
    assert xp.linalg.solve(a, xp.asarray([2.0, 4.0])).tolist() == [1, 1] and xp.linalg.trace(a).item() == 6
    assert xp.linalg.vector_norm(a, axis=(0, 1)).item() == pytest.approx(math.sqrt(20))
    assert xp.linalg.svd(a.cpu()).S.tolist() == [4, 2] and xp.linalg.qr(a)._fields == ("Q", "R")
    assert xp.matrix_transpose(a).shape == (2, 2) and xp.tensordot(a, a, axes=1).tolist() == [[4, 0], [0, 16]]
