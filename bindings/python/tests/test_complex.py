"""Complex tensors against what fixtures/complex_numbers.py recorded from PyTorch, and every op of the table with complex
arguments: it works, or refuses them by name."""

import json
import math
import os
import sys

import pytest
from conftest import DEVICE, FIXTURES, plain

import taper

sys.path.insert(0, FIXTURES)
import complex_numbers as made  # noqa: E402

del sys.path[0]

with open(os.path.join(FIXTURES, "complex_numbers.json")) as f:
    CASES = json.load(f)


def close(a, b):
    a, b = float(a), float(b)
    return a == b or (a != a and b != b) or math.isclose(a, b, rel_tol=2e-6, abs_tol=2e-7)


def same(got, want, where):
    """Whether dtypes, shapes and elements (complex ones as pairs) agree."""
    assert got[:2] == want[:2], f"{where}: {got[:2]} instead of {want[:2]}"
    for a, b in zip(got[2], want[2]):
        if isinstance(b, list):
            assert close(a[0], b[0]) and close(a[1], b[1]), f"{where}: {got[2]} instead of {want[2]}"
        else:
            assert a == b if b in ("True", "False") else close(a, b), f"{where}: {got[2]} instead of {want[2]}"


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["expression"])
def test_expressions(case):
    if DEVICE != "cpu" and "manual_seed" in case["expression"]:
        pytest.skip("CPU only: recorded draws are the CPU's")
    got = made.outcome(taper, case["expression"])
    if "error" in case:
        assert (got.get("error"), got.get("text")) == (case["error"], case["text"])
        return
    assert "error" not in got, got
    if "value" in case:
        value = got["value"]
        assert (plain(value) if isinstance(value, str) else value) == case["value"]
        return
    assert len(got["results"]) == len(case["results"])
    for a, b in zip(got["results"], case["results"]):
        same(a, b, "result")
    if "gradients" in case:
        assert "gradients" in got, got
        for name in case["gradients"]:
            same(got["gradients"][name], case["gradients"][name], f"gradient of {name}")


def test_every_op_works_or_refuses():
    """No op of the table ends in an internal error, whatever complex tensors it gets."""
    from taper._ops_table import FUNCTIONS

    v = {name: t.detach() for name, t in made.variables(taper).items()}
    x, y, p, m, n, k = (v[i] for i in "xypmnk")
    at = taper.tensor([[0, 1], [1, 0]])
    lists = [
        (x,),
        (x, y),
        (p, x),
        (x, 0),
        (m,),
        (m, m),
        (m, m, m),
        (m, 0, at),
        (m, 0, at, m),
        (n,),
        (n, k),
        (n, 2),
        ([x, y],),
    ]
    worked = 0
    for name in FUNCTIONS:
        f = getattr(taper, name, None) or getattr(taper.nn.functional, name, None)
        for args in lists if f is not None else ():
            try:
                f(*[a.clone() if isinstance(a, taper.Tensor) else a for a in args])
                worked += 1
            except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
                assert "internal error" not in str(e), f"{name}: {e}"
    assert worked > 500


def test_numpy_shares_memory():
    np = pytest.importorskip("numpy")
    for kind in (np.complex64, np.complex128):
        a = np.array([1 + 2j, 3 - 4j], kind)
        t = taper.from_numpy(a)
        assert t.dtype == getattr(taper, kind.__name__) and t.tolist() == [1 + 2j, 3 - 4j]
        a[0] = 5j
        assert t[0].item() == 5j
        assert t.numpy().dtype == kind and (t.cpu().numpy() == a).all()
    assert taper.from_dlpack(np.array([1j], np.complex64)).tolist() == [1j]


def test_files(tmp_path):
    state = {"a": taper.tensor([1 + 2j, -0.5j]), "b": taper.tensor([[3 - 1j]], dtype=taper.complex128)}
    taper.save(state, tmp_path / "x.pt")
    back = taper.load(tmp_path / "x.pt")
    assert all(back[n].dtype == t.dtype and back[n].tolist() == t.tolist() for n, t in state.items())
    taper.safetensors.save_file({"a": state["a"]}, tmp_path / "x.safetensors")
    assert taper.safetensors.load_file(tmp_path / "x.safetensors")["a"].tolist() == state["a"].tolist()
    with pytest.raises(ValueError, match="complex128"):
        taper.safetensors.save_file(state, tmp_path / "y.safetensors")


def test_derivatives_equal_differences():
    x, y = (made.variables(taper)[i] for i in "xy")
    m = made.variables(taper)["m"]
    for f, inputs in [
        (lambda a, b: a * b.conj() / (a + 2), (x, y)),
        (lambda a, b: (a**b).abs(), (x, y)),
        (lambda a: a.exp().sin() + a.sqrt(), (x,)),
        (lambda a: a.angle() + a.sgn().real, (x,)),
        (lambda a: taper.matrix_power(a @ a.H, 2), (m,)),
    ]:
        assert taper.autograd.gradcheck(f, inputs)
        assert taper.autograd.gradgradcheck(f, inputs)


def test_a_step_by_hand():
    """Descent along the conjugate derivative finds the number whose square is -1."""
    z = taper.tensor(0.3 + 0.8j, dtype=taper.complex128, requires_grad=True)
    for _ in range(200):
        (g,) = taper.autograd.grad(((z * z + 1).abs() ** 2), z)
        with taper.no_grad():
            z -= 0.05 * g
    assert abs(z.item() - 1j) < 1e-6


def test_zeros_infinities_and_nan():
    """Parts that are not numbers leave the others what they can be: C's annex G, which PyTorch follows."""
    inf, nan, pi = math.inf, math.nan, math.pi
    cases = {
        "exp": [((-inf, nan), (0, 0)), ((inf, nan), (inf, nan)), ((inf, 0), (inf, 0)), ((nan, 0), (nan, 0))],
        "sinh": [((0, inf), (0, nan)), ((inf, nan), (inf, nan)), ((inf, 0), (inf, 0)), ((nan, 0), (nan, 0))],
        "cosh": [((0, inf), (nan, 0)), ((inf, inf), (inf, nan)), ((inf, 0), (inf, 0)), ((nan, 0), (nan, 0))],
        "tanh": [((inf, nan), (1, 0)), ((0, inf), (0, nan)), ((25, nan), (nan, nan)), ((nan, 0), (nan, 0))],
        "acos": [((inf, inf), (pi / 4, -inf)), ((-inf, inf), (3 * pi / 4, -inf)), ((0, nan), (pi / 2, nan)), ((nan, inf), (nan, -inf))],
        "acosh": [((2, inf), (inf, pi / 2)), ((-inf, inf), (inf, 3 * pi / 4)), ((-inf, 1), (inf, pi)), ((inf, nan), (inf, nan))],
        "asinh": [((2, inf), (inf, pi / 2)), ((inf, inf), (inf, pi / 4)), ((inf, 1), (inf, 0)), ((nan, 0), (nan, 0))],
        "atanh": [((2, inf), (0, pi / 2)), ((inf, inf), (0, pi / 2)), ((0, nan), (0, nan)), ((inf, nan), (0, nan))],
        "sqrt": [((2, inf), (inf, inf)), ((nan, inf), (inf, inf)), ((-inf, 1), (0, inf)), ((inf, nan), (inf, nan))],
        "reciprocal": [((0, 0), (inf, nan)), ((inf, 2), (0, 0)), ((2, -inf), (0, 0)), ((inf, inf), (nan, nan))],
    }  # fmt: skip
    for dtype in (taper.complex64, taper.complex128):
        for name, pairs in cases.items():
            out = getattr(taper, name)(taper.tensor([complex(*z) for z, _ in pairs], dtype=dtype))
            want = taper.tensor([w for _, w in pairs], dtype=taper.float64)
            got = taper.view_as_real(out).double()
            assert taper.allclose(got, want, rtol=1e-6, equal_nan=True), (name, dtype, got, want)
    assert taper.signbit(taper.tensor([-nan, nan, -0.0, -1.0, inf]).copysign(taper.tensor([-1.0, 1, -1, -1, 1]))).tolist() == [
        True, False, True, True, False,
    ]  # fmt: skip
