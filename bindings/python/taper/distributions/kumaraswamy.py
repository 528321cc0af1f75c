"""Kumaraswamy."""

import taper

from . import constraints
from .transformed_distribution import TransformedDistribution
from .transforms import AffineTransform, PowerTransform
from .uniform import Uniform
from .utils import broadcast_all, euler_constant

__all__ = ["Kumaraswamy"]


def _moment(a, b, n):
    """E[x ^ n] = b B(1 + n / a, b)."""
    x = 1 + n / a
    return taper.exp(b.log() + taper.lgamma(x) + taper.lgamma(b) - taper.lgamma(x + b))


class Kumaraswamy(TransformedDistribution):
    """Like Beta's, with a cumulative distribution of closed form: 1 - (1 - x ^ a) ^ b."""

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1, concentration0, validate_args=None):
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        base = Uniform(
            taper.full_like(self.concentration0, 0),
            taper.full_like(self.concentration0, 1),
            validate_args=validate_args,
        )
        transforms = [
            PowerTransform(exponent=self.concentration0.reciprocal()),
            AffineTransform(loc=1.0, scale=-1.0),
            PowerTransform(exponent=self.concentration1.reciprocal()),
        ]
        super().__init__(base, transforms, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        new = self._get_checked_instance(Kumaraswamy, _instance)
        new.concentration1 = self.concentration1.expand(batch_shape)
        new.concentration0 = self.concentration0.expand(batch_shape)
        return super().expand(batch_shape, _instance=new)

    @property
    def mean(self):
        return _moment(self.concentration1, self.concentration0, 1)

    @property
    def mode(self):
        a, b = self.concentration1, self.concentration0
        log_mode = a.reciprocal() * (-b).log1p() - (-a * b).log1p()
        log_mode[(b < 1) | (a < 1)] = taper.nan
        return log_mode.exp()

    @property
    def variance(self):
        return _moment(self.concentration1, self.concentration0, 2) - taper.pow(self.mean, 2)

    def entropy(self):
        p, q = 1 - self.concentration1.reciprocal(), 1 - self.concentration0.reciprocal()
        harmonic = taper.digamma(self.concentration0 + 1) + euler_constant
        return q + p * harmonic - taper.log(self.concentration1) - taper.log(self.concentration0)
