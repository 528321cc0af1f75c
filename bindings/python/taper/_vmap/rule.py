"""How a rule for ops on batches is registered, and what rules are made of.

A rule is called with the op, the innermost vmap of its arguments and the arguments; it answers NotImplemented where it does
not know the case, and the op is then done for one sample after the other.
"""

from .._tensor import Tensor
from .core import BatchedTensor

RULES = {}


def rule(names):
    """Registers a rule for ops of these names."""

    def register(f):
        for name in names.split():
            RULES[name] = f
        return f

    return register


def is_batched(x, level):
    return isinstance(x, BatchedTensor) and x._level is level


def value_of(x, level):
    return x._value if is_batched(x, level) else x


def with_batch(x, level):
    """A tensor's values with the batch's dimension first, expanded where all samples have the same."""
    if is_batched(x, level):
        return x._value
    return x.unsqueeze(0).expand((level.size, *x.shape))


def wrap(result, level):
    """Tensors among results as seen by one sample."""
    if isinstance(result, Tensor):
        return BatchedTensor(result, level)
    if isinstance(result, (tuple, list)) and type(result).__name__ != "Size":
        return rebuilt(result, [wrap(r, level) for r in result])
    return result


def rebuilt(like, items):
    """A tuple, named tuple or list of other items."""
    return type(like)(*items) if hasattr(like, "_make") else type(like)(items)


def map_args(f, args):
    """f of the tensors among arguments, also in lists, tuples and slices of arguments."""
    if isinstance(args, Tensor):
        return f(args)
    if type(args) in (tuple, list):
        return type(args)([map_args(f, a) for a in args])
    return args


def tensors_in(args, found):
    for a in args:
        if isinstance(a, Tensor):
            found.append(a)
        elif type(a) in (tuple, list):
            tensors_in(a, found)
    return found


def aligned(x, level, rank):
    """Values whose samples have `rank` dimensions, so that they broadcast with others' of that rank."""
    if not is_batched(x, level):
        return x
    v = x._value
    missing = rank - (v.dim() - 1)
    return v if missing <= 0 else v.reshape((v.shape[0], *(1,) * missing, *v.shape[1:]))


def dim_of(dim, rank):
    """The place of a sample's dimension among the batch's."""
    if not isinstance(dim, int) or isinstance(dim, bool):
        raise TypeError(f"argument 'dim' must be int, not {type(dim).__name__}")
    n = max(rank, 1)
    if not -n <= dim < n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
    return dim % n + 1


def dims_of(dims, rank):
    if isinstance(dims, int):
        return dim_of(dims, rank)
    return [dim_of(d, rank) for d in dims]


def bind(names, args, kwargs):
    """Positional arguments by their names, keywords over them."""
    bound = dict(zip(names.split(), args))
    for k, v in kwargs.items():
        bound[{"axis": "dim", "keepdims": "keepdim"}.get(k, k)] = v
    return bound


def sizes_of(args):
    """Sizes given one by one or as one sequence."""
    return list(args[0]) if len(args) == 1 and not isinstance(args[0], int) else list(args)
