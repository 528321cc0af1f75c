"""Beta."""

import taper

from .._dtype import Size
from . import constraints
from .dirichlet import Dirichlet
from .exp_family import ExponentialFamily
from .utils import _is_number, all_numbers, broadcast_all

__all__ = ["Beta"]


class Beta(ExponentialFamily):
    """The density proportional to x ^ (concentration1 - 1) (1 - x) ^ (concentration0 - 1) on [0, 1]."""

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1, concentration0, validate_args=None):
        if all_numbers(concentration1, concentration0):
            both = taper.tensor([float(concentration1), float(concentration0)])
        else:
            both = taper.stack(list(broadcast_all(concentration1, concentration0)), -1)
        self._dirichlet = Dirichlet(both, validate_args=validate_args)
        super().__init__(self._dirichlet._batch_shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        inner = self._dirichlet.expand(Size(batch_shape))
        return self._expanded(Beta, _instance, batch_shape, (), _dirichlet=inner)

    @property
    def concentration1(self):
        result = self._dirichlet.concentration[..., 0]
        return taper.tensor([result]) if _is_number(result) else result

    @property
    def concentration0(self):
        result = self._dirichlet.concentration[..., 1]
        return taper.tensor([result]) if _is_number(result) else result

    @property
    def mean(self):
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self):
        return self._dirichlet.mode[..., 0]

    @property
    def variance(self):
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape=()):
        return self._dirichlet.rsample(sample_shape).select(-1, 0)

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        return self._dirichlet.log_prob(taper.stack([value, 1.0 - value], -1))

    def entropy(self):
        return self._dirichlet.entropy()

    @property
    def _natural_params(self):
        return (self.concentration1, self.concentration0)

    def _log_normalizer(self, x, y):
        return taper.lgamma(x) + taper.lgamma(y) - taper.lgamma(x + y)
