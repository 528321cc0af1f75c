"""LKJ's distribution of correlation matrices."""

import math

import taper

from .._dtype import Size
from . import constraints
from .beta import Beta
from .distribution import Distribution
from .utils import broadcast_all, mvlgamma

__all__ = ["LKJCholesky"]


class LKJCholesky(Distribution):
    """Cholesky factors of correlation matrices of size dim, of density det(matrix) ^ (concentration - 1)."""

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim, concentration=1.0, validate_args=None):
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        # The squared length of a row's part left of the diagonal, row by row ("onion" method).
        marginal = self.concentration + 0.5 * (dim - 2)
        steps = taper.arange(dim - 1, dtype=self.concentration.dtype, device=self.concentration.device)
        steps = taper.cat([steps.new_zeros((1,)), steps])
        self._beta = Beta(steps + 0.5, marginal.unsqueeze(-1) - 0.5 * steps)
        super().__init__(self.concentration.size(), Size((dim, dim)), validate_args)

    def expand(self, batch_shape, _instance=None):
        batch_shape = Size(batch_shape)
        beta = self._beta.expand(batch_shape + Size((self.dim,)))
        return self._expanded(LKJCholesky, _instance, batch_shape, ("concentration",), dim=self.dim, _beta=beta)

    def sample(self, sample_shape=Size()):
        y = self._beta.sample(sample_shape).unsqueeze(-1)
        u = taper.randn(self._extended_shape(sample_shape), dtype=y.dtype, device=y.device).tril(-1)
        sphere = u / u.norm(dim=-1, keepdim=True)
        sphere[..., 0, :].fill_(0.0)  # the first row has nothing there
        w = taper.sqrt(y) * sphere
        left = taper.clamp(1 - taper.sum(w**2, dim=-1), min=taper.finfo(w.dtype).tiny)
        w += taper.diag_embed(left.sqrt())
        return w

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        order = taper.arange(2, self.dim + 1, device=self.concentration.device)
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - order
        total = taper.sum(order * diagonal.log(), dim=-1)
        m = self.dim - 1
        alpha = self.concentration + 0.5 * m
        return total - (0.5 * m * math.log(math.pi) + mvlgamma(alpha - 0.5, m) - taper.lgamma(alpha) * m)
