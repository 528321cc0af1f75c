"""Ops on batches: by the rule for their kind, else for one sample after the other."""

from . import elementwise, layers, shapes  # noqa: F401 (their rules)
from .core import BatchedTensor, NoRule
from .one_by_one import one_by_one, one_by_one_in_place
from .rule import RULES, tensors_in

_FUNCTIONAL = "taper.nn.functional"
COMPOSED = frozenset(("taper.nn.functional", "taper._functions", "taper.nn.composed", "taper.nn._interpolate"))
_INPLACE = frozenset(
    ("setitem", "__iadd__", "__isub__", "__imul__", "__itruediv__", "__ifloordiv__", "__imod__", "__ipow__")
)


def dispatch(func, args, kwargs):
    """An op with batched tensors among its arguments."""
    found = tensors_in([*args, *kwargs.values()], [])
    level = max([t._level for t in found if isinstance(t, BatchedTensor)], key=lambda l: l.number)
    name = func.__name__
    f = RULES.get(name)
    if func.__module__ in COMPOSED and hasattr(func, "__wrapped__") and (f is None or func.__module__ == _FUNCTIONAL):
        # Composed in Python of ops: those come here one by one.
        try:
            return func.__wrapped__(*args, **kwargs)
        except NoRule:
            pass
    if f is not None:
        result = f(func, level, args, kwargs)
        if result is not NotImplemented:
            return result
    if name.endswith("_") and not name.startswith("_") or name in _INPLACE:
        return one_by_one_in_place(func, level, args, kwargs)
    return one_by_one(func, level, args, kwargs)
