"""Linear algebra: what is Python's own (names, result tuples, errors), and vectors that are unique up to signs."""

import numpy as np
import pytest

import taper as torch

pytestmark = pytest.mark.cpu_only("factorisations by eigenvectors and singular vectors are the CPU's")


def numbers(*shape, dtype=torch.float64, seed=0):
    n = int(np.prod(shape))
    x = np.array([((i * i * 13 + i * 37 + 11 * seed + 5) % 101 + 0.37) / 25.4 - 2 for i in range(n)]).reshape(shape)
    return torch.tensor(x.tolist(), dtype=dtype).reshape(shape)


def close(a, b, tolerance=1e-10):
    assert a.shape == b.shape
    assert float((a - b).abs().max()) < tolerance


def test_results_have_names():
    a = numbers(3, 3)
    r = torch.linalg.qr(a)
    assert type(r).__name__ == "linalg_qr" and r._fields == ("Q", "R")
    close(r.Q @ r.R, a)
    assert repr(r).startswith("torch.return_types.linalg_qr(\nQ=tensor(")
    assert torch.linalg.eigh(a)._fields == ("eigenvalues", "eigenvectors")
    assert torch.svd(a)._fields == ("U", "S", "V")
    assert torch.linalg.lstsq(a, a)._fields == ("solution", "residuals", "rank", "singular_values")
    assert torch.linalg.slogdet(a)._fields == ("sign", "logabsdet")


def test_errors_are_linalg_errors():
    singular = torch.tensor([[1.0, 2], [2, 4]])
    for f, text in (
        (torch.linalg.inv, "linalg.inv: The diagonal element 2 is zero, the inversion could not be completed because"),
        (torch.inverse, "linalg.inv: The diagonal element 2 is zero"),
        (torch.linalg.cholesky, "linalg.cholesky: The factorization could not be completed because the input is not"),
        (
            lambda a: torch.linalg.solve(a, a),
            "torch.linalg.solve: The solver failed because the input matrix is singular.",
        ),
        (lambda a: torch.linalg.svd(a / 0), "linalg.svd: The algorithm failed to converge because"),
    ):
        with pytest.raises(torch.linalg.LinAlgError, match=text.replace("(", r"\(")) as e:
            f(singular)
        assert isinstance(e.value, RuntimeError)
    with pytest.raises(RuntimeError) as e:
        torch.linalg.inv(torch.ones(2, 3))
    assert not isinstance(e.value, torch.linalg.LinAlgError)
    batch = torch.stack([torch.eye(2), singular])
    with pytest.raises(torch.linalg.LinAlgError, match=r"\(Batch element 1\)"):
        torch.linalg.inv(batch)
    assert torch.linalg.inv_ex(batch).info.tolist() == [0, 2]


def test_vectors_give_the_matrix_again():
    for shape in ((3, 3), (5, 3), (3, 5), (2, 4, 3), (40, 33)):
        a = numbers(*shape)
        u, s, vh = torch.linalg.svd(a, full_matrices=False)
        close(u * s.unsqueeze(-2) @ vh, a)
        close(torch.linalg.svdvals(a), s)
        close(torch.linalg.pinv(a) @ a @ torch.linalg.pinv(a), torch.linalg.pinv(a))
    a = numbers(2, 6, 6)
    a = a + a.mT
    w, v = torch.linalg.eigh(a)
    close(v * w.unsqueeze(-2) @ v.mT, a)
    close(torch.linalg.eigvalsh(a, UPLO="U"), w)


def test_tolerances():
    a = torch.diag(torch.tensor([4.0, 2.0, 1e-3]))
    rank, pinv = torch.linalg.matrix_rank, torch.linalg.pinv
    assert [
        int(rank(a)),
        int(rank(a, 1.0)),
        int(rank(a, atol=3.0)),
        int(rank(a, rtol=0.1)),
        int(rank(a, hermitian=True)),
    ] == [3, 2, 1, 2, 3]
    assert int(rank(a, atol=torch.tensor(3.0), rtol=torch.tensor(0.0))) == 1
    assert pinv(a, 0.1).diagonal().tolist() == [0.25, 0.5, 0.0]
    assert pinv(a, rtol=0.9).diagonal().tolist() == [0.25, 0.0, 0.0]
    assert pinv(a, rtol=torch.tensor(0.9)).diagonal().tolist() == [0.25, 0.0, 0.0]


def test_functions_at_the_top():
    a = numbers(4, 4) + 3 * torch.eye(4, dtype=torch.float64)
    lu, pivots = torch.lu(a)
    close(torch.lu_solve(numbers(4, 2), lu, pivots), torch.linalg.solve(a, numbers(4, 2)))
    p, lower, upper = torch.lu_unpack(lu, pivots)
    close(p @ lower @ upper, a)
    assert torch.lu(a, get_infos=True)[2].item() == 0 and len(a.lu()) == 2
    close(torch.norm(a, "nuc"), torch.linalg.svdvals(a).sum())
    close(torch.nuclear_norm(a), torch.linalg.matrix_norm(a, "nuc"))
    close(a.det(), torch.linalg.det(a)), close(a.inverse() @ a, torch.eye(4, dtype=torch.float64))
    close(torch.logdet(a @ a.mT), 2 * torch.slogdet(a).logabsdet)
    close(torch.linalg.norm(a, "fro"), torch.linalg.norm(a))
    low = numbers(30, 2) @ numbers(2, 20, seed=3)
    torch.manual_seed(0)
    u, s, v = torch.svd_lowrank(low, q=3)
    close(u * s @ v.mT, low)
    assert torch.pca_lowrank(low, q=2)[2].shape == (20, 2)
    for name in ("cholesky", "qr", "symeig", "eig"):
        with pytest.raises(RuntimeError, match="deprecated since version 1.9 and is now removed"):
            getattr(torch, name)(a)
    with pytest.raises(NotImplementedError, match="complex numbers"):
        torch.linalg.eigvals(a)
    with pytest.raises(AttributeError):
        torch.linalg_inv  # noqa: B018


def test_out():
    a, out = numbers(3, 3), torch.empty(0, dtype=torch.float64)
    assert torch.linalg.inv(a, out=out) is out
    close(out @ a, torch.eye(3, dtype=torch.float64))


def test_threads_do_not_matter():
    torch.manual_seed(0)
    a, batch = torch.randn(150, 150), torch.randn(40, 5, 5, dtype=torch.float64)
    threads = torch.get_num_threads()

    def run(n):
        torch.set_num_threads(n)
        parts = [
            *torch.linalg.lu_factor(a),
            *torch.linalg.qr(a),
            torch.linalg.inv(batch),
            *torch.linalg.svd(batch),
            torch.linalg.solve(a, a),
        ]
        return [p.tolist() for p in parts]

    try:
        one = run(1)
        assert run(2) == one and run(8) == one
    finally:
        torch.set_num_threads(threads)
