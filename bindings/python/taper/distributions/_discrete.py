"""What the distributions with `probs` or `logits` share."""

from .._dtype import Size
from .distribution import Distribution
from .utils import _is_number, broadcast_all, lazy_property, logits_to_probs, probs_to_logits


class Binary(Distribution):
    """One probability, or its log-odds, for each element; the other is computed at first use."""

    def _of(self, probs, logits, validate_args, *total_count):
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        name, given = ("logits", logits) if probs is None else ("probs", probs)
        *count, value = broadcast_all(*total_count, given)
        if count:
            self.total_count = count[0].type_as(value)
        setattr(self, name, value)
        self._param = value
        shape = Size() if _is_number(given) and not count else value.size()
        Distribution.__init__(self, shape, validate_args=validate_args)

    def _with_param(self, new):
        """Sets the parameter that says which of the two it is."""
        new._param = new.probs if "probs" in new.__dict__ else new.logits
        return new

    def _new(self, *args, **kwargs):
        return self._param.new(*args, **kwargs)

    @lazy_property
    def logits(self):
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self):
        return logits_to_probs(self.logits, is_binary=True)

    @property
    def param_shape(self):
        return self._param.size()


class OverCategorical(Distribution):
    """With a Categorical inside, `_categorical`."""

    def _new(self, *args, **kwargs):
        return self._categorical._new(*args, **kwargs)

    @property
    def _param(self):
        return self._categorical._param

    @property
    def probs(self):
        return self._categorical.probs

    @property
    def logits(self):
        return self._categorical.logits

    @property
    def param_shape(self):
        return self._categorical.param_shape
