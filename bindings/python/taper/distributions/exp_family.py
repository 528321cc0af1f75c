"""Exponential families."""

import taper

from .distribution import Distribution

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """A distribution whose log-density is linear in natural parameters, less the log-normaliser of them."""

    @property
    def _natural_params(self):
        raise NotImplementedError

    def _log_normalizer(self, *natural_params):
        raise NotImplementedError

    @property
    def _mean_carrier_measure(self):
        raise NotImplementedError

    def entropy(self):
        """By the gradients of the log-normaliser, which are the means of the sufficient statistics."""
        params = [p.detach().requires_grad_() for p in self._natural_params]
        with taper.enable_grad():
            normalizer = self._log_normalizer(*params)
            gradients = taper.autograd.grad(normalizer.sum(), params, create_graph=True)
        result = normalizer - self._mean_carrier_measure
        for p, g in zip(params, gradients):
            result = result - (p * g).reshape((*self._batch_shape, -1)).sum(-1)
        return result
