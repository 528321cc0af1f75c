"""Functions of one's own on batches."""

from .._tensor import Tensor
from .core import BatchedTensor
from .one_by_one import one_by_one
from .rule import is_batched, rebuilt, value_of


class _Info:
    """What a function's own `vmap` is told."""

    def __init__(self, level):
        self.batch_size, self.randomness = level.size, level.randomness


def apply_function(cls, args, kwargs):
    """`Function.apply` of batched tensors: by the class's own rule, or for one sample after the other."""
    level = max([a._level for a in args if isinstance(a, BatchedTensor)], key=lambda l: l.number)
    own = getattr(cls, "vmap", None)
    if own is not None:
        if cls.generate_vmap_rule:
            raise RuntimeError(
                f"You tried to vmap over {cls.__name__}, but it has both generate_vmap_rule=True and an overriden vmap "
                "staticmethod. Please set generate_vmap_rule=False or delete the overriden vmap staticmethod to avoid "
                "ambiguity. For more details, please see "
                "https://pytorch.org/docs/main/notes/extending.func.html"
            )
        dims = tuple([0 if is_batched(a, level) else None for a in args])
        result, out_dims = own(_Info(level), dims, *[value_of(a, level) for a in args], **kwargs)
        return _by_dims(result, out_dims, level)
    from ..autograd.function import Function

    if cls.setup_context is Function.setup_context:
        raise RuntimeError(
            "In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, jacrev, ...), it must override "
            "the setup_context staticmethod. For more details, please see "
            "https://pytorch.org/docs/main/notes/extending.func.html"
        )
    if not cls.generate_vmap_rule:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it does not have vmap support. Please override and implement the vmap "
            "staticmethod or set generate_vmap_rule=True. For more details, please see "
            "https://pytorch.org/docs/main/notes/extending.func.html"
        )

    def apply(*a, **k):
        return cls.apply(*a, **k)

    apply.__name__ = cls.__name__
    return one_by_one(apply, level, args, kwargs)


def _by_dims(result, dims, level):
    if isinstance(result, (tuple, list)):
        if isinstance(dims, (tuple, list)):
            return rebuilt(result, [_by_dims(r, d, level) for r, d in zip(result, dims)])
        return rebuilt(result, [_by_dims(r, dims, level) for r in result])
    if dims is None or not isinstance(result, Tensor):
        return result
    return BatchedTensor(result if dims == 0 else result.movedim(dims, 0), level)
