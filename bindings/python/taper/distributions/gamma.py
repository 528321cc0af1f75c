"""Gamma."""

import taper

from .._dtype import Size
from . import constraints
from .exp_family import ExponentialFamily
from .utils import all_numbers, broadcast_all, sampler

__all__ = ["Gamma"]


class Gamma(ExponentialFamily):
    """The density proportional to x ^ (concentration - 1) exp(-rate x) of positive x."""

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, concentration, rate, validate_args=None):
        self.concentration, self.rate = broadcast_all(concentration, rate)
        shape = Size() if all_numbers(concentration, rate) else self.concentration.size()
        super().__init__(shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return self._expanded(Gamma, _instance, batch_shape, ("concentration", "rate"))

    @property
    def mean(self):
        return self.concentration / self.rate

    @property
    def mode(self):
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self):
        return self.concentration / self.rate.pow(2)

    def rsample(self, sample_shape=Size()):
        shape = self._extended_shape(sample_shape)
        value = sampler("_standard_gamma", self.concentration.expand(shape)) / self.rate.expand(shape)
        # A density may be infinite at 0.
        value.detach().clamp_(min=taper.finfo(value.dtype).tiny)
        return value

    def sample(self, sample_shape=Size()):
        with taper.no_grad():
            return self.rsample(sample_shape)

    def log_prob(self, value):
        value = taper.as_tensor(value, dtype=self.rate.dtype, device=self.rate.device)
        if self._validate_args:
            self._validate_sample(value)
        a, rate = self.concentration, self.rate
        return taper.xlogy(a, rate) + taper.xlogy(a - 1, value) - rate * value - taper.lgamma(a)

    def cdf(self, value):
        if self._validate_args:
            self._validate_sample(value)
        return _special("gammainc")(self.concentration, self.rate * value)

    def entropy(self):
        a = self.concentration
        return a - taper.log(self.rate) + taper.lgamma(a) + (1.0 - a) * taper.digamma(a)

    @property
    def _natural_params(self):
        return (self.concentration - 1, -self.rate)

    def _log_normalizer(self, x, y):
        return taper.lgamma(x + 1) + (x + 1) * taper.log(-y.reciprocal())


def _special(name):
    """A function of taper.special."""
    special = getattr(taper, "special", None)
    f = getattr(special, name, None)
    if f is None:
        raise NotImplementedError(f"cdf needs special.{name}, which this library does not have")
    return f
