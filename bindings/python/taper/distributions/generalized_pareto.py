"""The generalised Pareto."""

import taper

from .._dtype import Size
from . import constraints
from .distribution import Distribution
from .utils import all_numbers, broadcast_all

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(Distribution):
    """The tail above a threshold: exponential where the concentration is 0, Pareto above it, bounded below it."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real}
    has_rsample = True

    def __init__(self, loc, scale, concentration, validate_args=None):
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        shape = Size() if all_numbers(loc, scale, concentration) else self.loc.size()
        super().__init__(shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return self._expanded(GeneralizedPareto, _instance, batch_shape, ("loc", "scale", "concentration"))

    def rsample(self, sample_shape=Size()):
        u = taper.rand(self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return self.icdf(u)

    def _z(self, x):
        return (x - self.loc) / self.scale

    def _exponential(self):
        """Where the concentration counts as 0, and one by which can be divided."""
        zero = taper.isclose(self.concentration, taper.zeros_like(self.concentration))
        return zero, taper.where(zero, taper.ones_like(self.concentration), self.concentration)

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        z = self._z(value)
        zero, k = self._exponential()
        return taper.where(zero, -z, -(1 / k + 1) * taper.log1p(k * z)) - self.scale.log()

    def log_survival_function(self, value):
        """log P(X > value)."""
        if self._validate_args:
            self._validate_sample(value)
        z = self._z(value)
        zero, k = self._exponential()
        return taper.where(zero, -z, -taper.log1p(k * z) / k)

    def log_cdf(self, value):
        """log P(X <= value)."""
        return taper.log1p(-taper.exp(self.log_survival_function(value)))

    def cdf(self, value):
        return taper.exp(self.log_cdf(value))

    def icdf(self, value):
        zero, k = self._exponential()
        log = taper.log1p(-value)
        return taper.where(zero, self.loc - self.scale * log, self.loc + self.scale * taper.expm1(-k * log) / k)

    @property
    def mean(self):
        k = self.concentration
        valid = k < 1
        result = self.loc + self.scale / (1 - taper.where(valid, k, taper.full_like(k, 0.5)))
        return taper.where(valid, result, taper.full_like(result, taper.nan))

    @property
    def variance(self):
        k = self.concentration
        valid = k < 0.5
        k = taper.where(valid, k, taper.full_like(k, 0.25))
        result = self.scale**2 / ((1 - k) ** 2 * (1 - 2 * k))
        return taper.where(valid, result, taper.full_like(result, taper.nan))

    def entropy(self):
        return taper.log(self.scale) + self.concentration + 1

    @property
    def mode(self):
        return self.loc

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self):
        if taper.all(self.concentration >= 0):
            return constraints.greater_than_eq(self.loc)
        upper = self.loc - self.scale / self.concentration
        bounded = self.concentration < 0
        return constraints.interval(self.loc, taper.where(bounded, upper, taper.full_like(upper, taper.inf)))
