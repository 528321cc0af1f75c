"""The continuous Bernoulli."""

import math

import taper

from .._dtype import Size
from . import constraints
from ._discrete import Binary
from .distribution import Distribution
from .exp_family import ExponentialFamily
from .utils import _is_number, broadcast_all, clamp_probs

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(Binary, ExponentialFamily):
    """The density proportional to probs ^ x (1 - probs) ^ (1 - x) on [0, 1]. Where probs lies between the two `lims`, the
    formulas lose their digits and Taylor series around one half stand in for them."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    _mean_carrier_measure = 0
    has_rsample = True

    def __init__(self, probs=None, logits=None, lims=(0.499, 0.501), validate_args=None):
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
            if validate_args is not None and not self.arg_constraints["probs"].check(self.probs).all():
                raise ValueError("The parameter probs has invalid values")
            self.probs = clamp_probs(self.probs)
        else:
            (self.logits,) = broadcast_all(logits)
        given = logits if probs is None else probs
        self._param = self.logits if probs is None else self.probs
        self._lims = lims
        Distribution.__init__(self, Size() if _is_number(given) else self._param.size(), validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        new = self._expanded(ContinuousBernoulli, _instance, batch_shape, ("probs", "logits"), _lims=self._lims)
        return self._with_param(new)

    def _outside_unstable_region(self):
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _cut_probs(self):
        return taper.where(self._outside_unstable_region(), self.probs, self._lims[0] * taper.ones_like(self.probs))

    def _cont_bern_log_norm(self):
        """The logarithm of the density's constant."""
        p = self._cut_probs()
        below = taper.where(p <= 0.5, p, taper.zeros_like(p))
        above = taper.where(p >= 0.5, p, taper.ones_like(p))
        exact = taper.log(taper.abs(taper.log1p(-p) - taper.log(p))) - taper.where(
            p <= 0.5, taper.log1p(-2.0 * below), taper.log(2.0 * above - 1.0)
        )
        x = taper.pow(self.probs - 0.5, 2)
        series = math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x
        return taper.where(self._outside_unstable_region(), exact, series)

    @property
    def mean(self):
        p = self._cut_probs()
        exact = p / (2.0 * p - 1.0) + 1.0 / (taper.log1p(-p) - taper.log(p))
        x = self.probs - 0.5
        series = 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * taper.pow(x, 2)) * x
        return taper.where(self._outside_unstable_region(), exact, series)

    @property
    def stddev(self):
        return taper.sqrt(self.variance)

    @property
    def variance(self):
        p = self._cut_probs()
        exact = p * (p - 1.0) / taper.pow(1.0 - 2.0 * p, 2) + 1.0 / taper.pow(taper.log1p(-p) - taper.log(p), 2)
        x = taper.pow(self.probs - 0.5, 2)
        series = 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x
        return taper.where(self._outside_unstable_region(), exact, series)

    def sample(self, sample_shape=Size()):
        with taper.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape=Size()):
        return self.icdf(
            taper.rand(self._extended_shape(sample_shape), dtype=self.probs.dtype, device=self.probs.device)
        )

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        bce = taper.nn.functional.binary_cross_entropy_with_logits(logits, value, reduction="none")
        return -bce + self._cont_bern_log_norm()

    def cdf(self, value):
        if self._validate_args:
            self._validate_sample(value)
        p = self._cut_probs()
        exact = (taper.pow(p, value) * taper.pow(1.0 - p, 1.0 - value) + p - 1.0) / (2.0 * p - 1.0)
        inside = taper.where(self._outside_unstable_region(), exact, value)
        zero, one = taper.zeros_like(value), taper.ones_like(value)
        return taper.where(taper.le(value, 0.0), zero, taper.where(taper.ge(value, 1.0), one, inside))

    def icdf(self, value):
        p = self._cut_probs()
        base = taper.log1p(-p)
        exact = (taper.log1p(-p + value * (2.0 * p - 1.0)) - base) / (taper.log(p) - base)
        return taper.where(self._outside_unstable_region(), exact, value)

    def entropy(self):
        low, high = taper.log1p(-self.probs), taper.log(self.probs)
        return self.mean * (low - high) - self._cont_bern_log_norm() - low

    @property
    def _natural_params(self):
        return (self.logits,)

    def _log_normalizer(self, x):
        outside = (x <= self._lims[0] - 0.5) | (x > self._lims[1] - 0.5)
        cut = taper.where(outside, x, (self._lims[0] - 0.5) * taper.ones_like(x))
        exact = taper.log(taper.abs(taper.expm1(cut))) - taper.log(taper.abs(cut))
        series = 0.5 * x + taper.pow(x, 2) / 24.0 - taper.pow(x, 4) / 2880.0
        return taper.where(outside, exact, series)
