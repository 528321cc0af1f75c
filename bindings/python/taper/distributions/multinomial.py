"""Multinomial."""

import taper

from .._dtype import Size
from . import constraints
from ._discrete import OverCategorical
from .binomial import Binomial
from .categorical import Categorical
from .distribution import Distribution
from .utils import broadcast_all

__all__ = ["Multinomial"]


class Multinomial(OverCategorical):
    """How often each of several events came in total_count trials."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(self, total_count=1, probs=None, logits=None, validate_args=None):
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs=probs, logits=logits)
        self._binomial = Binomial(total_count=total_count, probs=self.probs)
        shape = self._categorical.batch_shape
        Distribution.__init__(self, shape, self._categorical.param_shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        batch_shape = Size(batch_shape)
        return self._expanded(
            Multinomial,
            _instance,
            batch_shape,
            (),
            _categorical=self._categorical.expand(batch_shape),
            _binomial=self._binomial.expand(batch_shape + self._binomial.batch_shape[-1:]),
            total_count=self.total_count,
        )

    @property
    def mean(self):
        return self.probs * self.total_count

    @property
    def variance(self):
        return self.total_count * self.probs * (1 - self.probs)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self):
        return constraints.multinomial(self.total_count)

    def sample(self, sample_shape=Size()):
        sample_shape = Size(sample_shape)
        drawn = self._categorical.sample(Size((self.total_count,)) + sample_shape)
        drawn = drawn.permute([*range(1, drawn.dim()), 0])
        counts = drawn.new_zeros(self._extended_shape(sample_shape))
        counts.scatter_add_(-1, drawn, taper.ones_like(drawn))
        return counts.type_as(self.probs)

    def entropy(self):
        # The entropy of the order of the trials, less that of the orders with the same counts.
        n = taper.tensor(self.total_count)
        each = self._categorical.entropy()
        values = self._binomial.enumerate_support(expand=False)[1:]
        probs = taper.exp(self._binomial.log_prob(values))
        weight = (probs * taper.lgamma(values + 1)).sum([0, -1])
        return n * each - taper.lgamma(n + 1) + weight

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        logits = logits.clone()
        choices = taper.lgamma(value.sum(-1) + 1) - taper.lgamma(value + 1).sum(-1)
        logits[(value == 0) & (logits == -taper.inf)] = 0
        return choices + (logits * value).sum(-1)
