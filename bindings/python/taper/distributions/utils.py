"""What the distributions share: broadcasting of parameters, probabilities and their logarithms, values made at first use."""

import math
from functools import update_wrapper

import taper

from .._tensor import Tensor

__all__ = [
    "broadcast_all",
    "logits_to_probs",
    "clamp_probs",
    "probs_to_logits",
    "lazy_property",
    "tril_matrix_to_vec",
    "vec_to_tril_matrix",
]

euler_constant = 0.57721566490153286060


def _is_number(v):
    return isinstance(v, (int, float, complex))


def broadcast_all(*values):
    """Tensors and numbers as tensors of one shape; numbers take the dtype of the first tensor."""
    if not all(isinstance(v, Tensor) or _is_number(v) or hasattr(v, "__torch_function__") for v in values):
        raise ValueError(
            "Input arguments must all be instances of Number, torch.Tensor or objects implementing __torch_function__."
        )
    if not all(isinstance(v, Tensor) for v in values):
        first = next((v for v in values if isinstance(v, Tensor)), None)
        kind = {"dtype": taper.get_default_dtype()} if first is None else {"dtype": first.dtype, "device": first.device}
        values = [v if isinstance(v, Tensor) else taper.tensor(v, **kind) for v in values]
    return taper.broadcast_tensors(*values)


def all_numbers(*values):
    return all(_is_number(v) for v in values)


def _standard_normal(shape, dtype, device):
    return taper.normal(taper.zeros(shape, dtype=dtype, device=device), taper.ones(shape, dtype=dtype, device=device))


def _sum_rightmost(value, dim):
    """The sum over the last `dim` dimensions."""
    return value if dim == 0 else value.reshape(tuple(value.shape)[: value.dim() - dim] + (-1,)).sum(-1)


def logits_to_probs(logits, is_binary=False):
    """Probabilities of log-odds, or of unnormalised log-probabilities along the last dimension."""
    return taper.sigmoid(logits) if is_binary else taper.softmax(logits, dim=-1)


def clamp_probs(probs):
    """Keeps probabilities away from 0 and 1 by the dtype's precision."""
    eps = taper.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs, is_binary=False):
    """The inverse of logits_to_probs."""
    clamped = clamp_probs(probs)
    return taper.log(clamped) - taper.log1p(-clamped) if is_binary else taper.log(clamped)


class lazy_property:
    """A property that is computed once, with gradients, and then is the object's own attribute."""

    def __init__(self, wrapped):
        self.wrapped = wrapped
        update_wrapper(self, wrapped)

    def __get__(self, instance, owner=None):
        if instance is None:
            return _lazy_property_and_property(self.wrapped)
        with taper.enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


class _lazy_property_and_property(lazy_property, property):
    """What the class shows of a lazy property: documentation tools take it for a property."""

    def __init__(self, wrapped):
        property.__init__(self, wrapped)


def is_lazy(cls, name):
    """Whether a class computes an attribute at first use."""
    return isinstance(getattr(cls, name, None), lazy_property)


def tril_matrix_to_vec(mat, diag=0):
    """The elements on and below the diag-th diagonal, row by row."""
    n = mat.shape[-1]
    if diag < -n or diag >= n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    rows, columns = taper.tril_indices(n, n, diag)
    return mat[..., rows, columns]


def vec_to_tril_matrix(vec, diag=0):
    """The lower triangular matrices whose elements on and below the diag-th diagonal a vector holds, row by row."""
    count = vec.shape[-1]
    n = (-(1 + 2 * diag) + math.sqrt((1 + 2 * diag) ** 2 + 8 * count + 4 * abs(diag) * (diag + 1))) / 2
    eps = taper.finfo(vec.dtype).eps
    if round(n) - n > eps:
        raise ValueError(
            f"The size of last dimension is {count} which cannot be expressed as "
            + "the lower triangular part of a square D x D matrix."
        )
    n = round(n)
    rows, columns = taper.tril_indices(n, n, diag)
    flat = vec.new_zeros((*vec.shape[:-1], n * n))
    where = (rows * n + columns).to(vec.device).expand(vec.shape)
    return flat.scatter(-1, where, vec).reshape((*vec.shape[:-1], n, n))


def sampler(name, *args, **kwargs):
    """Calls an op that draws; where the library has none of that name, the error says so."""
    op = getattr(taper, name, None)
    if op is None:
        raise NotImplementedError(f"sampling needs the op {name}, which this library does not have")
    return op(*args, **kwargs)


def mvlgamma(a, p):
    """The logarithm of the multivariate gamma function of p dimensions."""
    steps = taper.arange(p, dtype=a.dtype, device=a.device) * 0.5
    return taper.lgamma(a.unsqueeze(-1) - steps).sum(-1) + p * (p - 1) / 4.0 * math.log(math.pi)


def invert_triangle(l):
    """The inverse of lower triangular matrices."""
    eye = taper.eye(l.shape[-1], dtype=l.dtype, device=l.device)
    return taper.linalg.solve_triangular(l, eye.expand(l.shape), upper=False)


def precision_to_scale_tril(p):
    """The Cholesky factor of the inverse of a matrix, without computing that inverse: the factor of the matrix with rows
    and columns reversed, reversed again, is an upper factor of it."""
    reversed_factor = taper.linalg.cholesky(taper.flip(p, (-2, -1)))
    return invert_triangle(taper.flip(reversed_factor, (-2, -1)).transpose(-2, -1))


def mahalanobis(l, x):
    """The squared length of x in the metric of the covariance l l^T."""
    shape = taper.broadcast_shapes(l.shape[:-1], x.shape)
    l = l.expand((*shape, l.shape[-1]))
    solved = taper.linalg.solve_triangular(l, x.expand(shape).unsqueeze(-1), upper=False)
    return solved.squeeze(-1).pow(2).sum(-1)
