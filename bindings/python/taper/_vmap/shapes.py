"""Rules for ops of shapes and indices."""

from .. import _ops as g
from .._dtype import bool as bool_dtype
from .._dtype import uint8
from .._tensor import Tensor
from .rule import aligned, bind, dim_of, dims_of, is_batched, rule, sizes_of, tensors_in, with_batch, wrap

# --- shapes ----------------------------------------------------------------------------------------------------------


@rule("view reshape")
def view(func, level, args, kwargs):
    x = args[0]
    sizes = sizes_of(args[1:]) if len(args) > 1 else list(kwargs.get("shape", kwargs.get("size", ())))
    if not is_batched(x, level) or any(not isinstance(s, int) for s in sizes):
        return NotImplemented
    if -1 in sizes:
        known = 1
        for s in sizes:
            known *= s if s != -1 else 1
        n = x.numel()
        if sizes.count(-1) == 1 and known and n % known == 0:
            sizes[sizes.index(-1)] = n // known
        else:
            return NotImplemented
    return wrap(func(x._value, (level.size, *sizes)), level)


@rule("view_as reshape_as")
def view_as(func, level, args, kwargs):
    return view(getattr(g, func.__name__[:-3]), level, (args[0], tuple(args[1].shape)), {})


@rule("expand broadcast_to")
def expand(func, level, args, kwargs):
    x, sizes = args[0], sizes_of(args[1:]) if len(args) > 1 else list(kwargs.get("size", ()))
    return wrap(aligned(x, level, len(sizes)).expand((level.size, *sizes)), level)


@rule("expand_as")
def expand_as(func, level, args, kwargs):
    return expand(func, level, (args[0], tuple(args[1].shape)), {})


@rule("repeat tile")
def repeat(func, level, args, kwargs):
    x, sizes = args[0], sizes_of(args[1:])
    if func.__name__ == "tile" and len(sizes) < x.dim():
        sizes = [1] * (x.dim() - len(sizes)) + sizes
    return wrap(func(aligned(x, level, len(sizes)), (1, *sizes)), level)


@rule("permute")
def permute(func, level, args, kwargs):
    x = args[0]
    dims = sizes_of(args[1:]) if len(args) > 1 else list(kwargs["dims"])
    if len(dims) != x.dim():
        return NotImplemented
    return wrap(x._value.permute((0, *[dim_of(d, x.dim()) for d in dims])), level)


@rule("transpose swapaxes swapdims transpose_")
def transpose(func, level, args, kwargs):
    x = args[0]
    dims = [*args[1:], *[kwargs[k] for k in ("dim0", "axis0", "dim1", "axis1") if k in kwargs]]
    if not x.dim() or len(dims) != 2:
        return NotImplemented
    return wrap(x._value.transpose(dim_of(dims[0], x.dim()), dim_of(dims[1], x.dim())), level)


@rule("t numpy_t mt")
def t(func, level, args, kwargs):
    x = args[0]
    if x.dim() < 2:
        return x if func.__name__ == "t" else NotImplemented
    if func.__name__ == "t" and x.dim() > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {x.dim()}D")
    return wrap(x._value.transpose(-1, -2), level)


@rule("movedim moveaxis")
def movedim(func, level, args, kwargs):
    x, source, to = args[0], *[dims_of(a if isinstance(a, int) else list(a), args[0].dim()) for a in args[1:]]
    return wrap(func(x._value, source, to), level)


@rule("unsqueeze")
def unsqueeze(func, level, args, kwargs):
    x = args[0]
    dim = bind("self dim", args, kwargs)["dim"]
    return wrap(x._value.unsqueeze(dim_of(dim, x.dim() + 1)), level)


@rule("squeeze")
def squeeze(func, level, args, kwargs):
    x = args[0]
    dim = bind("self dim", args, kwargs).get("dim")
    if dim is None:
        return wrap(x._value.reshape((level.size, *[s for s in x.shape if s != 1])), level)
    if not x.dim():
        return x
    return wrap(x._value.squeeze(dims_of(dim if isinstance(dim, int) else list(dim), x.dim())), level)


@rule("flatten")
def flatten(func, level, args, kwargs):
    x = args[0]
    bound = bind("self start_dim end_dim", args, kwargs)
    if not x.dim():
        return wrap(x._value.unsqueeze(1), level)
    start, end = dim_of(bound.get("start_dim", 0), x.dim()), dim_of(bound.get("end_dim", -1), x.dim())
    if start > end:
        return NotImplemented
    return wrap(x._value.flatten(start, end), level)


@rule("diagonal")
def diagonal(func, level, args, kwargs):
    x = args[0]
    bound = bind("self offset dim1 dim2", args, kwargs)
    a, b = dim_of(bound.get("dim1", 0), x.dim()), dim_of(bound.get("dim2", 1), x.dim())
    return wrap(func(x._value, bound.get("offset", 0), a, b), level)


@rule("tril triu diag_embed")
def matrices(func, level, args, kwargs):
    x = args[0]
    if x.dim() < (1 if func.__name__ == "diag_embed" else 2) or len(args) > 2 or "dim1" in kwargs or "dim2" in kwargs:
        return NotImplemented
    return wrap(func(x._value, *args[1:], **kwargs), level)


@rule("cat hstack vstack dstack stack concat")
def joined(func, level, args, kwargs):
    name = func.__name__
    if name not in ("cat", "stack") or kwargs.get("out") is not None:
        return NotImplemented
    bound = bind("tensors dim", args, kwargs)
    tensors, dim = list(bound["tensors"]), bound.get("dim", 0)
    values = [with_batch(x, level) for x in tensors]
    ranks = {x.dim() for x in tensors}
    if len(ranks) != 1 and name == "cat":
        return NotImplemented
    rank = tensors[0].dim() + (name == "stack")
    if not rank:
        raise RuntimeError("zero-dimensional tensor (at position 0) cannot be concatenated")
    return wrap(func(values, dim_of(dim, rank)), level)


# --- indexing --------------------------------------------------------------------------------------------------------


@rule("getitem")
def getitem(func, level, args, kwargs):
    x, index = args
    if not is_batched(x, level):
        return _taken(func, level, x, index)
    items = index if isinstance(index, tuple) else (index,)
    if any(is_batched(i, level) for i in tensors_in(items, [])):
        if any(i.dtype is bool_dtype for i in tensors_in(items, []) if is_batched(i, level)):
            raise RuntimeError(
                "vmap: We do not support batching operators that can support dynamic shape. Attempting to batch over indexing "
                "with a boolean mask."
            )
        return NotImplemented
    kinds = [isinstance(i, (Tensor, list)) or hasattr(i, "__array_interface__") for i in items]
    if any(kinds):
        places = [k for k, kind in enumerate(kinds) if kind]
        ints = [k for k, i in enumerate(items) if isinstance(i, int) and not isinstance(i, bool)]
        if places[-1] - places[0] + 1 != len(places) or ints:
            return NotImplemented  # the indexed dimensions would move before the batch's
    return wrap(x._value[(slice(None), *items)], level)


def _taken(func, level, x, index):
    """Rows of one tensor, by each sample's own indices."""
    if isinstance(index, Tensor) and is_batched(index, level) and not index.dtype.is_floating_point and x.dim():
        if index.dtype not in (bool_dtype, uint8):
            v = index._value
            taken = x.index_select(0, g.where(v < 0, v + x.shape[0], v).long().reshape((-1,)))
            return wrap(taken.reshape((*v.shape, *x.shape[1:])), level)
    return NotImplemented


@rule("gather scatter_add scatter scatter_reduce take_along_dim")
def gather(func, level, args, kwargs):
    args, kwargs = list(args), dict(kwargs)
    if func.__name__ == "take_along_dim" or len(args) < 3 or not isinstance(args[1], int) or not args[0].dim():
        return NotImplemented
    rank = args[0].dim()
    if any(t.dim() != rank for t in tensors_in(args, [])) or kwargs:
        return NotImplemented
    args[1] = dim_of(args[1], rank)
    return wrap(func(*[with_batch(a, level) if isinstance(a, Tensor) else a for a in args]), level)


@rule("index_select")
def index_select(func, level, args, kwargs):
    bound = bind("self dim index", args, kwargs)
    x, dim, index = bound["self"], bound["dim"], bound["index"]
    if is_batched(index, level) or not x.dim():
        return NotImplemented
    return wrap(func(x._value, dim_of(dim, x.dim()), index), level)


@rule("new_zeros new_ones new_empty new_full")
def new(func, level, args, kwargs):
    sizes = args[1:] if func.__name__ != "new_full" else args[1:2]
    sizes = sizes_of(sizes) if sizes else list(kwargs.pop("size", ()))
    rest = args[2:] if func.__name__ == "new_full" else ()
    return wrap(func(args[0]._value, (level.size, *sizes), *rest, **kwargs), level)


@rule("nonzero argwhere masked_select unique unique_consecutive nonzero_numpy")
def dynamic(func, level, args, kwargs):
    raise RuntimeError(
        "vmap: We do not support batching operators that can output dynamic shape. Attempted to vmap over aten::"
        f"{func.__name__}. Please file an issue at https://github.com/pytorch/pytorch/issues if you need this feature."
    )


@rule("is_same_size is_nonzero numel is_floating_point is_complex is_tensor")
def asked(func, level, args, kwargs):
    return func.__wrapped__(*args, **kwargs)
