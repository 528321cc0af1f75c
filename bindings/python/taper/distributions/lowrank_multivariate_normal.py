"""Normal vectors whose covariance is a thin product and a diagonal."""

import math

import taper

from .._dtype import Size
from . import constraints
from .distribution import Distribution
from .utils import _standard_normal, lazy_property, mahalanobis

__all__ = ["LowRankMultivariateNormal"]


def _capacitance_tril(w, d):
    """The Cholesky factor of I + W^T D^-1 W."""
    m = w.size(-1)
    k = taper.matmul(w.mT / d.unsqueeze(-2), w)
    k = k + taper.eye(m, dtype=k.dtype, device=k.device)
    return taper.linalg.cholesky(k)


def _log_det(w, d, capacitance_tril):
    """log det(W W^T + D), by the lemma on determinants."""
    return 2 * capacitance_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1) + d.log().sum(-1)


def _mahalanobis(w, d, x, capacitance_tril):
    """x^T (W W^T + D)^-1 x, by Woodbury's formula."""
    projected = taper.matmul(w.mT / d.unsqueeze(-2), x.unsqueeze(-1)).squeeze(-1)
    return (x.pow(2) / d).sum(-1) - mahalanobis(capacitance_tril, projected)


class LowRankMultivariateNormal(Distribution):
    """Normal vectors of covariance cov_factor cov_factor^T + diag(cov_diag)."""

    arg_constraints = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc, cov_factor, cov_diag, validate_args=None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        event_shape = loc.shape[-1:]
        if cov_factor.dim() < 2:
            raise ValueError("cov_factor must be at least two-dimensional, with optional leading batch dimensions")
        if cov_factor.shape[-2:-1] != event_shape:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {event_shape[0]} x m")
        if cov_diag.shape[-1:] != event_shape:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {event_shape}")
        column, diagonal = loc.unsqueeze(-1), cov_diag.unsqueeze(-1)
        try:
            column, self.cov_factor, diagonal = _broadcast_batches(column, cov_factor, diagonal)
        except RuntimeError as error:
            raise ValueError(
                f"Incompatible batch shapes: loc {loc.shape}, cov_factor {cov_factor.shape}, cov_diag {cov_diag.shape}"
            ) from error
        self.loc, self.cov_diag = column[..., 0], diagonal[..., 0]
        self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag = cov_factor, cov_diag
        self._capacitance_tril = _capacitance_tril(cov_factor, cov_diag)
        super().__init__(self.loc.shape[:-1], event_shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        shape = Size(batch_shape) + self.event_shape
        others = {
            name: getattr(self, name)
            for name in ("_unbroadcasted_cov_factor", "_unbroadcasted_cov_diag", "_capacitance_tril")
        }
        others["loc"], others["cov_diag"] = self.loc.expand(shape), self.cov_diag.expand(shape)
        others["cov_factor"] = self.cov_factor.expand(shape + self.cov_factor.shape[-1:])
        return self._expanded(LowRankMultivariateNormal, _instance, batch_shape, (), **others)

    @property
    def mean(self):
        return self.loc

    @property
    def mode(self):
        return self.loc

    @lazy_property
    def variance(self):
        own = self._unbroadcasted_cov_factor.pow(2).sum(-1) + self._unbroadcasted_cov_diag
        return own.expand(self._batch_shape + self._event_shape)

    def _square(self, matrix):
        return matrix.expand(self._batch_shape + self._event_shape + self._event_shape)

    @lazy_property
    def scale_tril(self):
        # Of D^-1/2 (W W^T + D) D^-1/2, which is better conditioned.
        root = self._unbroadcasted_cov_diag.sqrt().unsqueeze(-1)
        w = self._unbroadcasted_cov_factor / root
        k = taper.matmul(w, w.mT).contiguous()
        k = k + taper.eye(k.shape[-1], dtype=k.dtype, device=k.device)
        return self._square(root * taper.linalg.cholesky(k))

    @lazy_property
    def covariance_matrix(self):
        w = self._unbroadcasted_cov_factor
        return self._square(taper.matmul(w, w.mT) + taper.diag_embed(self._unbroadcasted_cov_diag))

    @lazy_property
    def precision_matrix(self):
        d = self._unbroadcasted_cov_diag
        scaled = self._unbroadcasted_cov_factor.mT / d.unsqueeze(-2)
        a = taper.linalg.solve_triangular(self._capacitance_tril, scaled, upper=False)
        return self._square(taper.diag_embed(d.reciprocal()) - taper.matmul(a.mT, a))

    def rsample(self, sample_shape=Size()):
        shape = self._extended_shape(sample_shape)
        w_shape = shape[:-1] + self.cov_factor.shape[-1:]
        eps_w = _standard_normal(w_shape, dtype=self.loc.dtype, device=self.loc.device)
        eps_d = _standard_normal(shape, dtype=self.loc.dtype, device=self.loc.device)
        thin = taper.matmul(self._unbroadcasted_cov_factor, eps_w.unsqueeze(-1)).squeeze(-1)
        return self.loc + thin + self._unbroadcasted_cov_diag.sqrt() * eps_d

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        w, d, tril = self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag, self._capacitance_tril
        distance = _mahalanobis(w, d, value - self.loc, tril)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + _log_det(w, d, tril) + distance)

    def entropy(self):
        log_det = _log_det(self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag, self._capacitance_tril)
        h = 0.5 * (self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + log_det)
        return h.expand(self._batch_shape) if self._batch_shape else h


def _broadcast_batches(*matrices):
    """Matrices with one common shape of their batches."""
    shape = taper.broadcast_shapes(*[m.shape[:-2] for m in matrices])
    return [m.expand((*shape, *m.shape[-2:])) for m in matrices]
