"""Wishart."""

import math
import warnings

import taper

from .._dtype import Size
from . import constraints
from .chi2 import Chi2
from .exp_family import ExponentialFamily
from .utils import _is_number, lazy_property, mvlgamma, precision_to_scale_tril

__all__ = ["Wishart"]


def _multidigamma(x, p):
    """The derivative of the logarithm of the multivariate gamma function."""
    steps = taper.arange(p, dtype=x.dtype, device=x.device) / 2
    return taper.digamma(x.unsqueeze(-1) - steps.expand((*x.shape, p))).sum(-1)


def _clamp_above_eps(x):
    return x.clamp(min=taper.finfo(x.dtype).eps)


class Wishart(ExponentialFamily):
    """Positive definite matrices: sums of df outer products of normal vectors with themselves."""

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0

    @property
    def arg_constraints(self):
        return {
            "covariance_matrix": constraints.positive_definite,
            "precision_matrix": constraints.positive_definite,
            "scale_tril": constraints.lower_cholesky,
            "df": constraints.greater_than(self.event_shape[-1] - 1),
        }

    def __init__(self, df, covariance_matrix=None, precision_matrix=None, scale_tril=None, validate_args=None):
        forms = {
            "scale_tril": scale_tril,
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
        }
        given = [name for name, value in forms.items() if value is not None]
        if len(given) != 1:
            raise AssertionError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        (name,) = given
        param = forms[name]
        if param.dim() < 2:
            raise ValueError("scale_tril must be at least two-dimensional, with optional leading batch dimensions")
        if _is_number(df):
            batch_shape = Size(param.shape[:-2])
            self.df = taper.tensor(df, dtype=param.dtype, device=param.device)
        else:
            batch_shape = taper.broadcast_shapes(param.shape[:-2], df.shape)
            self.df = df.expand(batch_shape)
        event_shape = param.shape[-2:]
        if self.df.le(event_shape[-1] - 1).any():
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {event_shape[-1] - 1}.")
        setattr(self, name, param.expand((*batch_shape, *event_shape)))
        super().__init__(batch_shape, event_shape, validate_args=validate_args)
        if self.df.lt(event_shape[-1]).any():
            warnings.warn(
                "Low df values detected. Singular samples are highly likely to occur for ndim - 1 < df < ndim.",
                stacklevel=2,
            )
        if name == "scale_tril":
            self._unbroadcasted_scale_tril = scale_tril
        elif name == "covariance_matrix":
            self._unbroadcasted_scale_tril = taper.linalg.cholesky(covariance_matrix)
        else:
            self._unbroadcasted_scale_tril = precision_to_scale_tril(precision_matrix)
        self._batch_dims = [-(i + 1) for i in range(len(self._batch_shape))]
        # Bartlett's decomposition has a chi-squared number of its own freedom for each row.
        steps = taper.arange(self._event_shape[-1], dtype=self.df.dtype, device=self.df.device)
        freedoms = self.df.unsqueeze(-1) - steps.expand((*batch_shape, -1)) if batch_shape else self.df - steps
        self._dist_chi2 = Chi2(df=freedoms)

    def expand(self, batch_shape, _instance=None):
        batch_shape = Size(batch_shape)
        others = {
            "_unbroadcasted_scale_tril": self._unbroadcasted_scale_tril.expand(batch_shape + self.event_shape),
            "df": self.df.expand(batch_shape),
            "_batch_dims": [-(i + 1) for i in range(len(batch_shape))],
            "_dist_chi2": self._dist_chi2.expand(batch_shape + self.event_shape[-1:]),
        }
        for name in ("covariance_matrix", "scale_tril", "precision_matrix"):
            if name in self.__dict__:
                others[name] = getattr(self, name).expand(batch_shape + self.event_shape)
        return self._expanded(Wishart, _instance, batch_shape, (), **others)

    def _square(self, matrix):
        return matrix.expand(self._batch_shape + self._event_shape)

    @lazy_property
    def scale_tril(self):
        return self._square(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self):
        return self._square(self._unbroadcasted_scale_tril @ self._unbroadcasted_scale_tril.mT)

    @lazy_property
    def precision_matrix(self):
        return self._square(taper.cholesky_inverse(self._unbroadcasted_scale_tril))

    @property
    def mean(self):
        return self.df.reshape((*self._batch_shape, 1, 1)) * self.covariance_matrix

    @property
    def mode(self):
        factor = self.df - self.covariance_matrix.shape[-1] - 1
        factor = taper.where(factor <= 0, taper.full_like(factor, taper.nan), factor)
        return factor.reshape((*self._batch_shape, 1, 1)) * self.covariance_matrix

    @property
    def variance(self):
        v = self.covariance_matrix
        diagonal = v.diagonal(dim1=-2, dim2=-1)
        outer = diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2)
        return self.df.reshape((*self._batch_shape, 1, 1)) * (v.pow(2) + outer)

    def _bartlett_sampling(self, sample_shape=Size()):
        p = self._event_shape[-1]
        noise = _clamp_above_eps(self._dist_chi2.rsample(sample_shape).sqrt()).diag_embed(dim1=-2, dim2=-1)
        i, j = taper.tril_indices(p, p, offset=-1)
        noise[..., i, j] = taper.randn(
            Size(sample_shape) + self._batch_shape + Size((int(p * (p - 1) / 2),)),
            dtype=noise.dtype,
            device=noise.device,
        )
        chol = self._unbroadcasted_scale_tril @ noise
        return chol @ chol.mT

    def rsample(self, sample_shape=Size(), max_try_correction=None):
        """Matrices that come out singular are drawn again, some times over."""
        if max_try_correction is None:
            max_try_correction = 3
        sample_shape = Size(sample_shape)
        sample = self._bartlett_sampling(sample_shape)
        singular = self.support.check(sample).logical_not()
        if self._batch_shape:
            singular = singular.amax(self._batch_dims)
        if taper.any(singular):
            warnings.warn("Singular sample detected.", stacklevel=2)
            for _ in range(max_try_correction):
                again = self._bartlett_sampling(Size((int(singular.sum()),)) if sample_shape else Size())
                sample = sample.clone()
                if sample_shape:
                    sample[singular] = again
                else:
                    sample = again
                still = self.support.check(again).logical_not()
                if self._batch_shape:
                    still = still.amax(self._batch_dims)
                singular = singular.clone()
                if sample_shape:
                    singular[singular.clone()] = still
                else:
                    singular = still
                if not taper.any(singular):
                    break
        return sample

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        nu, p = self.df, self._event_shape[-1]
        log_det = self._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return (
            -nu * (p * math.log(2) / 2 + log_det)
            - mvlgamma(nu / 2, p)
            + (nu - p - 1) / 2 * taper.linalg.slogdet(value).logabsdet
            - taper.cholesky_solve(value, self._unbroadcasted_scale_tril).diagonal(dim1=-2, dim2=-1).sum(dim=-1) / 2
        )

    def entropy(self):
        nu, p = self.df, self._event_shape[-1]
        log_det = self._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return (
            (p + 1) * (p * math.log(2) / 2 + log_det)
            + mvlgamma(nu / 2, p)
            - (nu - p - 1) / 2 * _multidigamma(nu / 2, p)
            + nu * p / 2
        )

    @property
    def _natural_params(self):
        return (0.5 * self.df, -0.5 * self.precision_matrix)

    def _log_normalizer(self, x, y):
        p = self._event_shape[-1]
        return x * (-taper.linalg.slogdet(-2 * y).logabsdet + p * math.log(2)) + mvlgamma(x, p)
