"""Functions that programs use seldom: boxes of points, coordinates of places, control flow as functions, settings. What is
expected is PyTorch's answer."""

import warnings

import pytest
from conftest import DEVICE

import taper as torch


def T(v, dtype=torch.float64):
    return torch.tensor(v, dtype=dtype, device=DEVICE)


def test_histogramdd_counts_points_in_boxes():
    points = T([[0.0, 1.0], [1.0, 0.0], [2.0, 0.0], [2.0, 2.0]])
    hist, edges = torch.histogramdd(points, bins=[3, 3], weight=T([1.0, 2.0, 4.0, 8.0]))
    assert hist.tolist() == [[0, 1, 0], [2, 0, 0], [4, 0, 8]] and [len(e) for e in edges] == [4, 4]
    hist, edges = torch.histogramdd(points, bins=[2, 2], range=[0.0, 1.0, 0.0, 1.0], density=True)
    assert hist.tolist() == [[0, 2], [2, 0]]
    assert [e.tolist() for e in edges] == [[0, 0.5, 1]] * 2
    hist, _ = torch.histogramdd(points, [T([0.0, 1.5, 2.0]), T([0.0, 2.0])])
    assert hist.tolist() == [[2], [2]]
    with pytest.raises(RuntimeError, match="input tensor should have at least 2 dimensions"):
        torch.histogramdd(points[0], 2)
    with pytest.raises(RuntimeError, match="must be equal to the innermost dimension"):
        torch.histogramdd(points, [2, 2, 2])


def test_unravel_index_has_pytorchs_errors():
    a, b = torch.unravel_index(T([5, 0], torch.int64), (2, 3))
    assert a.tolist() == [1, 0] and b.tolist() == [2, 0]
    assert torch.unravel_index(T(4, torch.int64), 7)[0].item() == 4
    with pytest.raises(ValueError, match="'shape' cannot have negative values"):
        torch.unravel_index(T([1], torch.int64), (2, -1))
    with pytest.raises(TypeError):
        torch.unravel_index(T([1], torch.int64), "a")


def test_real_numbers_are_their_own_conjugates():
    x = T([1.0, -2.0])
    assert all(y.data_ptr() == x.data_ptr() for y in (torch.conj(x), x.conj(), torch.real(x)) if DEVICE == "cpu")
    assert torch.conj(x).tolist() == torch.real(x).tolist() == [1.0, -2.0] and x.resolve_conj() is x
    assert x.isreal().tolist() == [True, True] and not x.is_conj() and not torch.is_neg(x)
    assert torch.adjoint(T([[1.0, 2.0]])).shape == (2, 1)
    with pytest.raises(RuntimeError, match="only supported on matrices or batches of matrices. Got 1-D"):
        x.adjoint()


def test_copies_have_memory_of_their_own():
    x = T([[1.0, 2.0], [3.0, 4.0]])
    for made in (torch.t_copy(x), torch.view_copy(x, (4,)), torch.select_copy(x, 0, 0), *torch.unbind_copy(x)):
        made.zero_()
    assert x.tolist() == [[1, 2], [3, 4]]
    out = torch.empty(2, dtype=x.dtype, device=DEVICE)
    assert torch.diagonal_copy(x, out=out) is out and out.tolist() == [1, 4]


def test_control_flow():
    x = T(3.0)
    assert torch.cond(x > 2, lambda t: t + 1, lambda t: t - 1, (x,)).item() == 4
    assert torch.cond(False, lambda t: t + 1, lambda t: t - 1, (x,)).item() == 2
    i, y = torch.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * 2), (T(0), T(1.0)))
    assert i.item() == 3 and y.item() == 8
    with pytest.raises(RuntimeError, match="Expected pred to be bool or single-element tensor"):
        torch.cond(T([1.0, 2.0]), lambda: 1, lambda: 2)


def test_numbers_of_tracers():
    assert torch.sym_max(1, 2.0) == 2.0 and isinstance(torch.sym_max(3, 2.0), float) and torch.sym_min(1, 2) == 1
    assert torch.sym_int(-2.5) == -2 and torch.sym_float(2) == 2.0 and torch.sym_not(True) is False
    assert torch.sym_sum([1, 2, 3]) == 6 and torch.sym_ite(True, 1, 2) == 1 and torch.sym_sqrt(4) == 2.0


def test_settings():
    try:
        torch.set_deterministic_debug_mode("warn")
        assert torch.get_deterministic_debug_mode() == 1
        torch.set_deterministic_debug_mode(2)
        assert torch.get_deterministic_debug_mode() == 2
    finally:
        torch.set_deterministic_debug_mode(0)
    assert torch.get_deterministic_debug_mode() == 0
    with pytest.raises(RuntimeError, match="invalid value of debug_mode"):
        torch.set_deterministic_debug_mode("loud")
    torch.set_warn_always(True)
    assert torch.is_warn_always_enabled()
    torch.set_warn_always(False)


def test_methods_of_tensors():
    x = T([[1.0, 2.0], [3.0, 4.0]])
    assert x.is_set_to(x.view(2, 2)) and not x.is_set_to(x.clone()) and x.T.dim_order() == (1, 0)
    assert x.to_dense() is x and x.dense_dim() == 2 and x.sparse_dim() == 0
    with pytest.raises(RuntimeError, match="values expected sparse tensor layout but got Strided"):
        x.values()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert x.resize(4).tolist() == [1, 2, 3, 4]
    with pytest.raises(RuntimeError, match="removed|deprecated"):
        x.symeig()


def test_segments_by_pytorchs_names():
    x = T([1.0, 2.0, 3.0, 4.0])
    got = torch.segment_reduce(x, "mean", lengths=T([1, 0, 3], torch.int64), unsafe=False)
    assert got[0].item() == 1 and got[1].isnan().item() and got[2].item() == 3
    with pytest.raises(RuntimeError, match="sum to data.size"):
        torch.segment_reduce(x, "sum", lengths=T([1, 1], torch.int64))
