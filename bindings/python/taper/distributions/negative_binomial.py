"""The negative binomial."""

import taper

from .._dtype import Size
from . import constraints
from ._discrete import Binary
from .gamma import Gamma
from .utils import lazy_property, sampler

__all__ = ["NegativeBinomial"]


class NegativeBinomial(Binary):
    """The number of successes before total_count failures."""

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(self, total_count, probs=None, logits=None, validate_args=None):
        self._of(probs, logits, validate_args, total_count)

    def expand(self, batch_shape, _instance=None):
        names = ("total_count", "probs", "logits")
        return self._with_param(self._expanded(NegativeBinomial, _instance, batch_shape, names))

    @property
    def mean(self):
        return self.total_count * taper.exp(self.logits)

    @property
    def mode(self):
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self):
        return self.mean / taper.sigmoid(-self.logits)

    @lazy_property
    def _gamma(self):
        # Its gamma-Poisson mixture.
        return Gamma(concentration=self.total_count, rate=taper.exp(-self.logits), validate_args=False)

    def sample(self, sample_shape=Size()):
        with taper.no_grad():
            return sampler("poisson", self._gamma.sample(sample_shape=sample_shape))

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        n = self.total_count
        logsigmoid = taper.nn.functional.logsigmoid
        weight = n * logsigmoid(-self.logits) + value * logsigmoid(self.logits)
        constant = -taper.lgamma(n + value) + taper.lgamma(1.0 + value) + taper.lgamma(n)
        return weight - constant.masked_fill(n + value == 0.0, 0.0)
