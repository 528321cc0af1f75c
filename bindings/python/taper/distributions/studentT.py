"""Student's t."""

import math

import taper

from .._dtype import Size
from . import constraints
from .chi2 import Chi2
from .distribution import Distribution
from .utils import _standard_normal, broadcast_all

__all__ = ["StudentT"]


class StudentT(Distribution):
    """A normal number divided by the root of a chi-squared one's mean."""

    arg_constraints = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, df, loc=0.0, scale=1.0, validate_args=None):
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        self._chi2 = Chi2(self.df)
        super().__init__(self.df.size(), validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        chi2 = self._chi2.expand(Size(batch_shape))
        return self._expanded(StudentT, _instance, batch_shape, ("df", "loc", "scale"), _chi2=chi2)

    @property
    def mean(self):
        mean = self.loc.clone()
        mean[self.df <= 1] = taper.nan
        return mean

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        df = self.df
        variance = self.scale.pow(2) * df / (df - 2)
        variance = taper.where(df > 2, variance, taper.full_like(df, taper.inf))
        return taper.where(df > 1, variance, taper.full_like(df, taper.nan))

    def rsample(self, sample_shape=Size()):
        shape = self._extended_shape(sample_shape)
        x = _standard_normal(shape, dtype=self.df.dtype, device=self.df.device)
        z = self._chi2.rsample(sample_shape)
        return self.loc + self.scale * (x * taper.rsqrt(z / self.df))

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        y = (value - self.loc) / self.scale
        constant = (
            self.scale.log()
            + 0.5 * self.df.log()
            + 0.5 * math.log(math.pi)
            + taper.lgamma(0.5 * self.df)
            - taper.lgamma(0.5 * (self.df + 1.0))
        )
        return -0.5 * (self.df + 1.0) * taper.log1p(y**2.0 / self.df) - constant

    def entropy(self):
        half, more = 0.5 * self.df, 0.5 * (self.df + 1)
        log_beta = taper.lgamma(half) + math.lgamma(0.5) - taper.lgamma(more)
        digammas = taper.digamma(more) - taper.digamma(half)
        return self.scale.log() + more * digammas + 0.5 * self.df.log() + log_beta
