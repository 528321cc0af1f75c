"""Poisson."""

import taper

from .._dtype import Size
from . import constraints
from .exp_family import ExponentialFamily
from .utils import _is_number, broadcast_all, sampler

__all__ = ["Poisson"]


class Poisson(ExponentialFamily):
    """How many of the events that happen at a rate do so in a unit of time."""

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    def __init__(self, rate, validate_args=None):
        (self.rate,) = broadcast_all(rate)
        super().__init__(Size() if _is_number(rate) else self.rate.size(), validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return self._expanded(Poisson, _instance, batch_shape, ("rate",))

    @property
    def mean(self):
        return self.rate

    @property
    def mode(self):
        return self.rate.floor()

    @property
    def variance(self):
        return self.rate

    def sample(self, sample_shape=Size()):
        with taper.no_grad():
            return sampler("poisson", self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        rate, value = broadcast_all(self.rate, value)
        return taper.xlogy(value, rate) - rate - (value + 1).lgamma()

    @property
    def _natural_params(self):
        return (taper.log(self.rate),)

    def _log_normalizer(self, x):
        return taper.exp(x)
