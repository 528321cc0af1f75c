"""Dirichlet."""

import taper

from .._dtype import Size
from ..autograd.function import Function
from . import constraints
from .exp_family import ExponentialFamily
from .utils import sampler

__all__ = ["Dirichlet"]


class _Draw(Function):
    """Draws, with the gradient of draws by the concentrations."""

    @staticmethod
    def forward(ctx, concentration):
        x = sampler("_sample_dirichlet", concentration)
        ctx.save_for_backward(x, concentration)
        return x

    @staticmethod
    def backward(ctx, grad):
        x, concentration = ctx.saved_tensors
        total = concentration.sum(-1, True).expand_as(concentration)
        d = sampler("_dirichlet_grad", x, concentration, total)
        return d * (grad - (x * grad).sum(-1, True))


class Dirichlet(ExponentialFamily):
    """Points of the simplex."""

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration, validate_args=None):
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        concentration = self.concentration.expand(Size(batch_shape) + self.event_shape)
        return self._expanded(Dirichlet, _instance, batch_shape, (), concentration=concentration)

    def rsample(self, sample_shape=()):
        return _Draw.apply(self.concentration.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        a = self.concentration
        return taper.xlogy(a - 1.0, value).sum(-1) + taper.lgamma(a.sum(-1)) - taper.lgamma(a).sum(-1)

    @property
    def mean(self):
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self):
        above = (self.concentration - 1).clamp(min=0.0)
        mode = above / above.sum(-1, True)
        # Where no concentration is as large as 1 the density grows towards every corner: the first one stands for them.
        first = taper.zeros_like(mode)
        first[..., 0] = 1
        return taper.where((self.concentration < 1).all(dim=-1, keepdim=True), first, mode)

    @property
    def variance(self):
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (total.pow(2) * (total + 1))

    def entropy(self):
        a = self.concentration
        k, total = a.size(-1), a.sum(-1)
        return (
            taper.lgamma(a).sum(-1)
            - taper.lgamma(total)
            - (k - total) * taper.digamma(total)
            - ((a - 1.0) * taper.digamma(a)).sum(-1)
        )

    @property
    def _natural_params(self):
        return (self.concentration,)

    def _log_normalizer(self, x):
        return x.lgamma().sum(-1) - taper.lgamma(x.sum(-1))
