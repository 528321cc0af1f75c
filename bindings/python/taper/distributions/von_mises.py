"""Von Mises."""

import math

import taper

from .._dtype import Size
from . import constraints
from .distribution import Distribution
from .utils import broadcast_all, lazy_property

__all__ = ["VonMises"]

# Abramowitz and Stegun, 9.8.1 to 9.8.4: polynomials for the modified Bessel functions of orders 0 and 1, below 3.75 and
# from there.
_SMALL = (
    (1.0, 3.5156229, 3.0899424, 1.2067492, 0.2659732, 0.360768e-1, 0.45813e-2),
    (0.5, 0.87890594, 0.51498869, 0.15084934, 0.2658733e-1, 0.301532e-2, 0.32411e-3),
)
_LARGE = (
    (
        0.39894228,
        0.1328592e-1,
        0.225319e-2,
        -0.157565e-2,
        0.916281e-2,
        -0.2057706e-1,
        0.2635537e-1,
        -0.1647633e-1,
        0.392377e-2,
    ),
    (
        0.39894228,
        -0.3988024e-1,
        -0.362018e-2,
        0.163801e-2,
        -0.1031555e-1,
        0.2282967e-1,
        -0.2895312e-1,
        0.1787654e-1,
        -0.420059e-2,
    ),
)


def _polynomial(x, coefficients):
    result = coefficients[-1]
    for c in coefficients[-2::-1]:
        result = c + x * result
    return result


def _log_bessel(x, order):
    """The logarithm of a modified Bessel function of positive x."""
    small = _polynomial((x / 3.75) ** 2, _SMALL[order])
    if order == 1:
        small = x.abs() * small
    large = x - 0.5 * x.log() + _polynomial(3.75 / x, _LARGE[order]).log()
    return taper.where(x < 3.75, small.log(), large)


class VonMises(Distribution):
    """Angles around loc: the normal distribution of the circle."""

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    has_rsample = False

    def __init__(self, loc, concentration, validate_args=None):
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, Size(), validate_args)

    def expand(self, batch_shape, _instance=None):
        if _instance is None:
            validate = self.__dict__.get("_validate_args")
            return type(self)(
                self.loc.expand(batch_shape), self.concentration.expand(batch_shape), validate_args=validate
            )
        return self._expanded(VonMises, _instance, batch_shape, ("loc", "concentration"))

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        log_prob = self.concentration * taper.cos(value - self.loc)
        return log_prob - math.log(2 * math.pi) - _log_bessel(self.concentration, 0)

    # Sampling needs double precision.

    @lazy_property
    def _loc(self):
        return self.loc.to(taper.double)

    @lazy_property
    def _concentration(self):
        return self.concentration.to(taper.double)

    @lazy_property
    def _proposal_r(self):
        kappa = self._concentration
        tau = 1 + (1 + 4 * kappa**2).sqrt()
        rho = (tau - (2 * tau).sqrt()) / (2 * kappa)
        exact = (1 + rho**2) / (2 * rho)
        return taper.where(kappa < 1e-5, 1 / kappa + kappa, exact)

    def sample(self, sample_shape=Size()):
        """By Best and Fisher's rejection from a wrapped Cauchy distribution."""
        with taper.no_grad():
            shape = self._extended_shape(sample_shape)
            x = taper.empty(shape, dtype=self._loc.dtype, device=self.loc.device)
            done = taper.zeros(shape, dtype=taper.bool, device=self.loc.device)
            r, kappa = self._proposal_r, self._concentration
            while not done.all():
                u1, u2, u3 = taper.rand((3, *shape), dtype=self._loc.dtype, device=self.loc.device).unbind()
                z = taper.cos(math.pi * u1)
                f = (1 + r * z) / (r + z)
                c = kappa * (r - f)
                accept = ((c * (2 - c) - u2) > 0) | ((c / u2).log() + 1 - c >= 0)
                if accept.any():
                    x = taper.where(accept, (u3 - 0.5).sign() * f.acos(), x)
                    done = done | accept
            x = (x + math.pi + self._loc) % (2 * math.pi) - math.pi
            return x.to(self.loc.dtype)

    @property
    def mean(self):
        return self.loc

    @property
    def mode(self):
        return self.loc

    @lazy_property
    def variance(self):
        """The circular variance."""
        return 1 - (_log_bessel(self.concentration, 1) - _log_bessel(self.concentration, 0)).exp()
