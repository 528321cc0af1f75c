"""Functions of linear algebra at the top of the package that are composed of those of `linalg`, and the names that PyTorch took away."""

from . import _ops, linalg
from ._glue import copy_out


def lu(A, pivot=True, get_infos=False, out=None):
    """L and U of A = P L U in one matrix, the rows that were exchanged, and, if asked for, which pivot is zero."""
    if get_infos:
        r = tuple(linalg.lu_factor_ex(A, pivot=pivot))
    else:
        r = tuple(linalg.lu_factor_ex(A, pivot=pivot))[:2]
    return r if out is None else copy_out(r, out)


def nuclear_norm(input, dim=None, keepdim=False, *, out=None):
    """The sum of singular values. On the CPU alone."""
    if dim is None:
        r = _ops.op_nuclear_norm(input, keepdim)
    else:
        r = _ops.op_nuclear_norm_dim(input, dim, keepdim)
    return r if out is None else copy_out(r, out)


def _approximate_basis(A, q, niter):
    """An orthonormal basis of about the range of A, by products with random vectors."""
    from . import randn

    Q = linalg.qr(A @ randn(A.shape[-1], q, dtype=A.dtype, device=A.device)).Q
    for _ in range(niter):
        Q = linalg.qr(A.mT @ Q).Q
        Q = linalg.qr(A @ Q).Q
    return Q


def svd_lowrank(A, q=6, niter=2, M=None):
    """The largest q singular values and their vectors, about: U, S, V with U diag(S) V^T near A (or A - M)."""
    q = 6 if q is None else q
    m, n = A.shape[-2:]
    if M is not None:
        A = A - M.broadcast_to(A.shape)
    wide = m < n
    if wide:
        A = A.mT
    Q = _approximate_basis(A, q, niter)
    U, S, Vh = linalg.svd(Q.mT @ A, full_matrices=False)
    U, V = Q @ U, Vh.mT
    return (V, S, U) if wide else (U, S, V)


def pca_lowrank(A, q=None, center=True, niter=2):
    """The principal components of the rows of A: U, S and the directions V."""
    m, n = A.shape[-2:]
    if q is None:
        q = min(6, m, n)
    elif not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    if center:
        A = A - A.mean(dim=-2, keepdim=True)
    return svd_lowrank(A, q, niter=niter)


_GONE = "This function was deprecated since version 1.9 and is now removed."


def _gone(name, text):
    def f(*args, **keywords):
        raise RuntimeError(f"{_GONE}{text}")

    f.__name__ = f.__qualname__ = name
    f.__doc__ = "An error: PyTorch has no such function any more."
    return f


cholesky = _gone(
    "cholesky",
    " `torch.cholesky` is deprecated in favor of `torch.linalg.cholesky`.\nL = torch.cholesky(A) should be replaced with:\n"
    "L = torch.linalg.cholesky(A)\nU = torch.cholesky(A, upper=True) should be replaced with:\n"
    "U = torch.linalg.cholesky(A).mH",
)
qr = _gone(
    "qr",
    " `torch.qr` is deprecated in favor of `torch.linalg.qr` and the boolean parameter `some` has been replaced with a string "
    "parameter `mode`.\n\nQ, R = torch.qr(A) should be replaced with:\nQ, R = torch.linalg.qr(A, mode='reduced')\n\nand\n\n"
    "Q, R = torch.qr(A, some=False) should be replaced with:\nQ, R = torch.linalg.qr(A, mode='complete')",
)
lstsq = _gone(
    "lstsq",
    " `torch.lstsq` is deprecated in favor of `torch.linalg.lstsq`.\n`torch.linalg.lstsq` has reversed arguments and does not "
    "return the QR decomposition in the returned tuple (although it returns other information about the problem).",
)
eig = _gone(
    "eig",
    " `torch.linalg.eig` returns complex tensors of dtype `cfloat` or `cdouble` rather than real tensors mimicking complex "
    "tensors.",
)
symeig = _gone(
    "symeig",
    " The default behavior has changed from using the upper triangular portion of the matrix by default to using the lower "
    "triangular portion.",
)
solve = _gone(
    "solve",
    " `torch.solve` is deprecated in favor of `torch.linalg.solve`. `torch.linalg.solve` has its arguments reversed and does "
    "not return the LU factorization.",
)
matrix_rank = _gone(
    "matrix_rank",
    "\nPlease use the `torch.linalg.matrix_rank` function instead. The parameter 'symmetric' was renamed in "
    "`torch.linalg.matrix_rank()` to 'hermitian'.",
)
