"""Linear algebra, under the names of `torch.linalg`: norms, factorisations, solutions, functions of matrices."""

from . import _ops
from ._errors import LinAlgError as LinAlgError
from ._glue import copy_out
from ._tensor import Tensor

_NAMES = (
    "cholesky cholesky_ex cond cross det diagonal eigh eigvalsh householder_product inv inv_ex ldl_factor ldl_factor_ex "
    "ldl_solve lstsq lu lu_factor lu_factor_ex lu_solve matmul matrix_exp matrix_norm matrix_power multi_dot norm polar qr "
    "slogdet solve solve_ex solve_triangular matrix_sqrth svd svdvals tensorinv tensorsolve vander vecdot vector_norm"
).split()
for _name in _NAMES:
    globals()[_name] = getattr(_ops, "linalg_" + _name)


def _by_tolerance(op, name, input, relative, hermitian, atol, rtol, out):
    """A function with one number as its tolerance (relative, or for ranks absolute), or with atol and rtol."""
    if relative is not None and (atol is not None or rtol is not None):
        raise TypeError(
            f"linalg_{name}() received an invalid combination of arguments: one tolerance, or atol and rtol"
        )
    if isinstance(relative, Tensor):
        atol, rtol = (None, relative) if name == "pinv" else (relative, relative.new_zeros(()))
        if name == "pinv":
            atol = relative.new_zeros(())
        relative = None
    if relative is not None:
        r = getattr(_ops, op)(input, float(relative), hermitian)
    elif isinstance(atol, Tensor) or isinstance(rtol, Tensor):
        for what, t in (("atol", atol), ("rtol", rtol)):
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(f"linalg_{name}(): argument '{what}' must be Tensor, not {type(t).__name__}")
        r = getattr(_ops, op + "_atol_rtol_tensor")(input, atol=atol, rtol=rtol, hermitian=hermitian)
    else:
        r = getattr(_ops, op + "_atol_rtol_float")(input, atol=atol, rtol=rtol, hermitian=hermitian)
    return r if out is None else copy_out(r, out, op)


def pinv(input, rcond=None, hermitian=False, *, atol=None, rtol=None, out=None):
    """The pseudoinverse, by the singular values above max(atol, rtol times the largest). On the CPU alone."""
    return _by_tolerance("op_linalg_pinv", "pinv", input, rcond, hermitian, atol, rtol, out)


def matrix_rank(input, tol=None, hermitian=False, *, atol=None, rtol=None, out=None):
    """The number of singular values above max(atol, rtol times the largest). On the CPU alone."""
    return _by_tolerance("op_linalg_matrix_rank", "matrix_rank", input, tol, hermitian, atol, rtol, out)


def eig(input, *, out=None):
    """Eigenvalues of matrices that need not be symmetric are complex numbers, which Taper does not compute: an error."""
    _no_complex("eig")


def eigvals(input, *, out=None):
    """Eigenvalues of matrices that need not be symmetric are complex numbers, which Taper does not compute: an error."""
    _no_complex("eigvals")


def _no_complex(name):
    raise NotImplementedError(
        f"linalg.{name}: the eigenvalues of a matrix that need not be symmetric are complex numbers, which are not computed; "
        "linalg.eigh and linalg.eigvalsh give those of symmetric matrices"
    )


__all__ = sorted([*_NAMES, "LinAlgError", "eig", "eigvals", "matrix_rank", "pinv"])
