"""An op on batches for one sample after the other: right for every op, and slow."""

from .. import _ops as g
from .._tensor import Tensor
from .core import BatchedTensor
from .rule import is_batched, map_args, rebuilt


def one_by_one(func, level, args, kwargs):
    """The op for each sample, results put together: right for every op, and slow."""
    results = []
    for i in range(level.size):

        def sample(t, i=i):
            return t._value.select(0, i) if is_batched(t, level) else t

        results.append(
            func(*[map_args(sample, a) for a in args], **{k: map_args(sample, v) for k, v in kwargs.items()})
        )
    if not results:
        raise RuntimeError(f"vmap: {func.__name__} of an empty batch is not supported")
    return _together(results, level)


def _together(results, level):
    first = results[0]
    if isinstance(first, Tensor):
        return BatchedTensor(g.stack(results), level)
    if isinstance(first, (tuple, list)):
        return rebuilt(first, [_together(list(column), level) for column in zip(*results)])
    return first


def one_by_one_in_place(func, level, args, kwargs):
    target = args[0]
    if not is_batched(target, level):
        raise refused_in_place(func.__name__)
    for i in range(level.size):

        def sample(t, i=i):
            return t._value.select(0, i) if is_batched(t, level) else t

        func(*[map_args(sample, a) for a in args], **{k: map_args(sample, v) for k, v in kwargs.items()})
    return None if func.__name__ == "setitem" else target


def refused_in_place(name):
    return RuntimeError(
        "vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a Tensor `other` in "
        "extra_args that has more elements than `self`. This happened due to `other` being vmapped over but `self` not being "
        "vmapped over in a vmap. Please try to use out-of-place operators instead of inplace arithmetic. If said operator is "
        "being called inside the PyTorch framework, please file a bug report instead."
    )
