"""Rules by which ops work on batches: one for each kind of op, by the op's name.

A rule is called with the op, the innermost vmap of its arguments and the arguments; it answers NotImplemented where it does
not know the case, and the op is then done for one sample after the other.
"""

from .. import _ops as g
from .._dtype import bool as bool_dtype
from .._dtype import uint8
from .._tensor import Tensor
from .core import BatchedTensor, NoRule, active

RULES = {}


def rule(names):
    """Registers a rule for ops of these names."""

    def register(f):
        for name in names.split():
            RULES[name] = f
        return f

    return register


# --- what rules are made of ------------------------------------------------------------------------------------------


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


# --- the way through -------------------------------------------------------------------------------------------------


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


_FUNCTIONAL = "taper.nn.functional"
COMPOSED = frozenset(("taper.nn.functional", "taper._functions", "taper.nn.composed", "taper.nn._interpolate"))
_INPLACE = frozenset(
    ("setitem", "__iadd__", "__isub__", "__imul__", "__itruediv__", "__ifloordiv__", "__imod__", "__ipow__")
)


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


# --- elementwise -----------------------------------------------------------------------------------------------------

UNARY = """abs neg exp exp2 expm1 log log2 log10 log1p sqrt rsqrt reciprocal sin cos tan asin acos atan sinh cosh tanh asinh
acosh atanh erf erfc erfinv sigmoid i0 lgamma digamma square sign floor ceil trunc round frac relu silu gelu leaky_relu elu
softplus logsigmoid hardswish hardsigmoid relu6 logit isnan isinf isfinite logical_not bitwise_not deg2rad rad2deg positive
sgn signbit isposinf isneginf nan_to_num sinc hardtanh selu celu mish softsign tanhshrink hardshrink softshrink threshold
clone contiguous detach alias to cast to_device zeros_like ones_like full_like empty_like __neg__ __abs__ __invert__ __pos__"""
BINARY = """add sub mul div floor_divide remainder fmod rsub rdiv rfloor_divide rremainder pow maximum minimum fmax fmin atan2
hypot logaddexp logaddexp2 xlogy lerp addcmul addcdiv eq ne lt le gt ge logical_and logical_or logical_xor bitwise_and
bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift isclose where masked_fill clamp clamp_min clamp_max copysign
heaviside ldexp float_power __add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __floordiv__
__rfloordiv__ __mod__ __rmod__ __pow__ __rpow__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __and__ __rand__ __or__ __ror__
__xor__ __rxor__ __lshift__ __rlshift__ __rshift__ __rrshift__"""
_PROMOTING = frozenset(BINARY.split()) - {"where", "masked_fill"}


@rule(UNARY + " " + BINARY)
def elementwise(func, level, args, kwargs):
    found = tensors_in([*args, *kwargs.values()], [])
    rank = max([t.dim() for t in found])
    dtype = _promoted(func.__name__, found)

    def align(t):
        v = aligned(t, level, rank)
        # A sample of no dimensions counts less in promotion than the batch of them would.
        if dtype is not None and is_batched(t, level) and t.dim() == 0 and rank and t.dtype is not dtype:
            v = v.to(dtype)
        return v

    result = func(*[map_args(align, a) for a in args], **{k: map_args(align, v) for k, v in kwargs.items()})
    return wrap(result, level)


def _promoted(name, found):
    """The dtype of the result where samples of several dtypes and ranks meet."""
    if name not in _PROMOTING or len(found) < 2 or len({t.dtype for t in found}) == 1:
        return None
    from .._functions import result_type

    dtype, rank = found[0].dtype, found[0].dim()
    for t in found[1:]:
        dtype = result_type(g.empty((0,) * rank, dtype=dtype), g.empty((0,) * t.dim(), dtype=t.dtype))
        rank = max(rank, t.dim())
    return dtype


def in_place(func, level, args, kwargs):
    """Elementwise, into the first argument."""
    target = args[0]
    if not is_batched(target, level):
        raise refused_in_place(func.__name__)
    rank = target.dim()
    for t in tensors_in([*args[1:], *kwargs.values()], []):
        if t.dim() > rank:
            return NotImplemented
    align = lambda t: aligned(t, level, rank)
    func(target._value, *[map_args(align, a) for a in args[1:]], **{k: map_args(align, v) for k, v in kwargs.items()})
    return target


for _name in (UNARY + " " + BINARY).split():
    if not _name.startswith("_") and _name not in ("to", "where"):
        RULES[_name + "_"] = in_place
for (
    _name
) in """fill_ zero_ copy_ __iadd__ __isub__ __imul__ __itruediv__ __ifloordiv__ __imod__ __ipow__ __iand__ __ior__
        __ixor__ detach_""".split():
    RULES[_name] = in_place


@rule(
    "dropout feature_dropout alpha_dropout feature_alpha_dropout dropout1d dropout2d dropout3d bernoulli rand_like randn_like"
)
def random_of_tensor(func, level, args, kwargs):
    return random(func, func, args, kwargs)


# --- reductions and what else goes along dimensions ------------------------------------------------------------------

_WHOLE = {"max": "amax", "min": "amin"}


@rule("sum mean prod amax amin any all nansum nanmean count_nonzero max min argmax argmin logsumexp")
def reduction(func, level, args, kwargs):
    x = args[0]
    bound = bind("self dim keepdim dtype", args, kwargs)
    if not is_batched(x, level) or bound.get("out") is not None or "other" in bound:
        return NotImplemented
    name, dim = func.__name__, bound.get("dim")
    if isinstance(dim, Tensor):  # max(a, b)
        return elementwise(func, level, args, kwargs) if name in ("max", "min") else NotImplemented
    bound.pop("self", None)
    bound.pop("input", None)
    rank = x.dim()
    whole = dim is None or (isinstance(dim, (tuple, list)) and not dim and name not in ("amax", "amin"))
    if whole:
        if bound.get("keepdim") and rank != 1:
            return NotImplemented
        v = x._value.flatten(1) if rank else x._value.unsqueeze(1)
        bound["dim"] = 1
        name = _WHOLE.get(name, name)
        result = getattr(g, name)(v, **bound)
        return wrap(result, level)
    if not rank:
        return NotImplemented
    bound["dim"] = dims_of(list(dim) if isinstance(dim, (tuple, list)) else dim, rank)
    if name in ("amax", "amin") and bound["dim"] == []:
        bound["dim"] = list(range(1, rank + 1))
    return wrap(func(x._value, **bound), level)


@rule("op_var op_std")
def spread(func, level, args, kwargs):
    x = args[0]
    bound = bind("self unbiased", args, kwargs)
    v = x._value.flatten(1) if x.dim() else x._value.unsqueeze(1)
    correction = 1 if bound.get("unbiased", True) else 0
    return wrap(getattr(g, func.__name__ + "_correction")(v, [1], correction=correction), level)


@rule("op_var_dim op_std_dim op_var_correction op_std_correction var_mean std_mean")
def spread_dims(func, level, args, kwargs):
    x = args[0]
    bound = bind("self dim unbiased keepdim" if func.__name__.endswith("_dim") else "self dim", args, kwargs)
    bound.pop("self", None)
    dim, rank = bound.get("dim"), x.dim()
    if not rank:
        return NotImplemented
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        bound["dim"] = list(range(1, rank + 1))
    else:
        bound["dim"] = [dim_of(d, rank) for d in ([dim] if isinstance(dim, int) else dim)]
    return wrap(func(x._value, **bound), level)


def _along(position, default):
    """Ops with one dimension, at a place among their arguments."""

    def along(func, level, args, kwargs):
        x = args[0]
        others = tensors_in([*args[1:], *kwargs.values()], [])
        if not is_batched(x, level) or not x.dim() or others:
            return NotImplemented
        args, kwargs = list(args), dict(kwargs)
        if "axis" in kwargs:
            kwargs["dim"] = kwargs.pop("axis")
        if "dim" in kwargs:
            kwargs["dim"] = dims_of(kwargs["dim"], x.dim())
        elif len(args) > position:
            if args[position] is None:
                return NotImplemented
            args[position] = dims_of(args[position], x.dim())
        elif default is None:
            return NotImplemented
        else:
            kwargs["dim"] = dim_of(default, x.dim())
        return wrap(func(x._value, *args[1:], **kwargs), level)

    return along


for _name in "cumsum cumprod logcumsumexp cummax cummin softmax log_softmax softmin unbind flip squeeze_dim".split():
    RULES[_name] = _along(1, None)
for _name, _position, _default in (
    ("unbind", 1, 0),
    ("sort", 1, -1),
    ("argsort", 1, -1),
    ("msort", 9, None),
    ("topk", 2, -1),
    ("kthvalue", 2, -1),
    ("mode", 1, -1),
    ("median", 1, None),
    ("chunk", 2, 0),
    ("split", 2, 0),
    ("split_with_sizes", 2, 0),
    ("select", 1, None),
    ("narrow", 1, None),
    ("diff", 2, -1),
    ("glu", 1, -1),
    ("unflatten", 1, None),
    ("unfold", 1, None),
    ("normalize", 2, 1),
    ("roll", 2, None),
    ("slice", 1, 0),
    ("repeat_interleave", 2, None),
    ("renorm", 2, None),
):
    RULES[_name] = _along(_position, _default)


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


@rule("pad")
def pad(func, level, args, kwargs):
    bound = bind("input pad mode value", args, kwargs)
    x, amounts = bound["input"], bound["pad"]
    if bound.get("mode", "constant") == "constant" and len(amounts) <= 2 * x.dim():
        return wrap(func(x._value, *args[1:], **kwargs), level)
    if x.dim() == len(amounts) // 2 + 1:  # (C, ...): the batch takes N's place
        return wrap(func(x._value, *args[1:], **kwargs), level)
    return _folded(func, level, args, kwargs)


# --- products --------------------------------------------------------------------------------------------------------


@rule("matmul mm bmm mv dot _matmul __matmul__ __rmatmul__ vdot inner")
def matmul(func, level, args, kwargs):
    a, b = args[0], bind("self other", args, kwargs).get("other", kwargs.get("mat2", kwargs.get("vec2")))
    if b is None or kwargs.get("out") is not None:
        return NotImplemented
    if func.__name__ == "__rmatmul__":
        a, b = b, a
    name = func.__name__
    need = {"mm": (2, 2), "bmm": (3, 3), "mv": (2, 1), "dot": (1, 1), "vdot": (1, 1)}.get(name)
    if (
        (need and (a.dim(), b.dim()) != need)
        or not a.dim()
        or not b.dim()
        or (name == "inner" and a.dim() + b.dim() > 2)
    ):
        return NotImplemented
    row, column = a.dim() == 1, b.dim() == 1
    x, y = a.unsqueeze(-2) if row else a, b.unsqueeze(-1) if column else b
    rank = max(x.dim(), y.dim())
    result = g.matmul(aligned(x, level, rank), aligned(y, level, rank))
    if column:
        result = result.squeeze(-1)
    if row:
        result = result.squeeze(-1 if column else -2)
    return wrap(result, level)


@rule("linear _linear_activation")
def linear(func, level, args, kwargs):
    bound = bind("input weight bias", args, kwargs)
    x, w, b = bound["input"], bound["weight"], bound.get("bias")
    if func.__name__ != "linear":
        return NotImplemented
    if not is_batched(w, level) and not is_batched(b, level):
        if x.dim() < 1:
            return NotImplemented
        return wrap(func(x._value, w, b), level)
    y = x.matmul(w.t()) if w.dim() == 2 else x.matmul(w)
    return y if b is None else y + b


@rule("outer ger")
def outer(func, level, args, kwargs):
    a, b = args
    return a.unsqueeze(1) * b.unsqueeze(0)


@rule("addmm addmv addbmm baddbmm addr")
def added_product(func, level, args, kwargs):
    if func.__name__ not in ("addmm", "addmv", "baddbmm") or kwargs.get("out") is not None:
        return NotImplemented
    beta, alpha = kwargs.get("beta", 1), kwargs.get("alpha", 1)
    c, a, b = args[:3]
    y = g.matmul(a, b)
    y = y if alpha == 1 else y * alpha
    return y if beta == 0 else y + (c if beta == 1 else c * beta)


@rule("einsum")
def einsum(func, level, args, kwargs):
    if len(args) == 2 and isinstance(args[1], (tuple, list)):
        args = (args[0], *args[1])
    equation, operands = args[0], args[1:]
    if not isinstance(equation, str) or any(o is None for o in operands):
        return NotImplemented
    letter = next((c for c in "zyxwvutsrqponmlkjihgfedcbaZYXWVUTSRQPONMLKJIHGFEDCBA" if c not in equation), None)
    if letter is None:
        return NotImplemented
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if not arrow:
        seen = "".join(terms).replace(".", "")
        right = ("..." if "..." in left else "") + "".join(sorted([c for c in set(seen) if seen.count(c) == 1]))
    if len(terms) != len(operands):
        return NotImplemented
    terms = [letter + term if is_batched(o, level) else term for term, o in zip(terms, operands)]
    values = [value_of(o, level) for o in operands]
    return wrap(func(",".join(terms) + "->" + letter + right, *values), level)


# --- layers ----------------------------------------------------------------------------------------------------------


def _folded(func, level, args, kwargs, spatial=None):
    """An op over (N, C, ...): the batch becomes part of N. Of (C, ...) it takes N's place."""
    x = args[0]
    if not is_batched(x, level) or tensors_in([a for a in args[1:] if is_batched(a, level)], []):
        return NotImplemented
    if any(is_batched(v, level) for v in kwargs.values()):
        return NotImplemented
    if spatial is not None and x.dim() == spatial + 1:
        return wrap(func(x._value, *args[1:], **kwargs), level)
    if x.dim() < 2 or (spatial is not None and x.dim() != spatial + 2):
        return NotImplemented
    n = x.shape[0]
    result = func(x._value.flatten(0, 1), *args[1:], **kwargs)
    unfold = lambda r: BatchedTensor(r.unflatten(0, (level.size, n)), level)
    return unfold(result) if isinstance(result, Tensor) else rebuilt(result, [unfold(r) for r in result])


def _over(spatial):
    return lambda func, level, args, kwargs: _folded(func, level, args, kwargs, spatial)


for _n in (1, 2, 3):
    for _name in (
        f"max_pool{_n}d max_pool{_n}d_with_indices avg_pool{_n}d adaptive_avg_pool{_n}d adaptive_max_pool{_n}d "
        f"adaptive_max_pool{_n}d_with_indices lp_pool{_n}d"
    ).split():
        RULES[_name] = _over(_n)
for _name in "pixel_shuffle pixel_unshuffle channel_shuffle im2col interpolate local_response_norm".split():
    RULES[_name] = _over(None)
RULES["op_pad"] = pad


def _convolution(spatial, transposed):
    def convolution(func, level, args, kwargs):
        names = "input weight bias stride padding dilation groups"
        if transposed:
            names = "input weight bias stride padding output_padding groups dilation"
        bound = bind(names, args, kwargs)
        x, w, b = bound.pop("input"), bound.pop("weight"), bound.pop("bias", None)
        if not is_batched(w, level) and not is_batched(b, level):
            return _folded(lambda v: func(v, w, b, **bound), level, (x,), {}, spatial)
        single = x.dim() == spatial + 1
        if not single and x.dim() != spatial + 2:
            return NotImplemented
        if is_batched(w, level):
            # Each sample's channels are groups of one convolution.
            v = with_batch(x, level)
            v = v.unsqueeze(1) if single else v
            v = v.transpose(0, 1).flatten(1, 2)
            bound["groups"] = bound.get("groups", 1) * level.size
            y = func(v, w._value.flatten(0, 1), None, **bound)
            y = y.unflatten(1, (level.size, y.shape[1] // level.size)).transpose(0, 1)
            y = wrap(y.squeeze(1) if single else y, level)
        else:
            y = func(x, w, None, **bound)
        return y if b is None else y + b.reshape((b.shape[0], *(1,) * spatial))

    return convolution


for _n in (1, 2, 3):
    RULES[f"conv{_n}d"] = _convolution(_n, False)
    RULES[f"conv_transpose{_n}d"] = _convolution(_n, True)


@rule("conv_padded")
def conv_padded(func, level, args, kwargs):
    bound = bind("input weight bias stride padding dilation groups padding_mode", args, kwargs)
    mode = bound.pop("padding_mode", "zeros")
    if mode != "zeros":
        return NotImplemented
    spatial = bound["weight"].dim() - 2
    return getattr(g, f"conv{spatial}d")(**bound)


@rule("layer_norm rms_norm")
def layer_norm(func, level, args, kwargs):
    names = (
        "input normalized_shape weight bias eps"
        if func.__name__ == "layer_norm"
        else "input normalized_shape weight eps"
    )
    bound = bind(names, args, kwargs)
    x, w, b = bound.pop("input"), bound.pop("weight", None), bound.pop("bias", None)
    if not is_batched(x, level):
        return NotImplemented
    if not is_batched(w, level) and not is_batched(b, level):
        more = {"bias": b} if func.__name__ == "layer_norm" else {}
        return wrap(func(x._value, weight=w, **more, **bound), level)
    y = wrap(func(x._value, **bound), level)
    y = y if w is None else y * w
    return y if b is None else y + b


def _per_channel(t, rank):
    return t.reshape((1, t.shape[0], *(1,) * (rank - 2)))


@rule("group_norm")
def group_norm(func, level, args, kwargs):
    bound = bind("input num_groups weight bias eps", args, kwargs)
    x, w, b = bound.pop("input"), bound.pop("weight", None), bound.pop("bias", None)
    y = _folded(lambda v: func(v, **bound), level, (x,), {})
    if y is NotImplemented:
        return y
    y = y if w is None else y * _per_channel(w, y.dim())
    return y if b is None else y + _per_channel(b, y.dim())


@rule("batch_norm instance_norm")
def batch_norm(func, level, args, kwargs):
    if func.__name__ == "batch_norm":
        names = (
            "input running_mean running_var weight bias training momentum eps"
            if func.__module__ == "taper.nn.functional"
            else "input weight bias running_mean running_var training momentum eps"
        )
        bound = {"training": False, "momentum": 0.1, "eps": 1e-5}
    else:
        names = (
            "input running_mean running_var weight bias use_input_stats momentum eps"
            if func.__module__ == "taper.nn.functional"
            else "input weight bias eps"
        )
        bound = {"use_input_stats": True, "momentum": 0.1, "eps": 1e-5}
    bound.update(bind(names, args, kwargs))
    x, mean, var = bound.pop("input"), bound.get("running_mean"), bound.get("running_var")
    w, b = bound.pop("weight", None), bound.pop("bias", None)
    training = bound.get("training", bound.get("use_input_stats"))
    if training and mean is not None and not is_batched(mean, level) and is_batched(x, level):
        raise RuntimeError(
            "Batch norm got a batched tensor as input while the running_mean or running_var, which will be updated in place, "
            "were not batched.\nIf you are using a module and do not need eval mode, please set `track_running_stats` to be "
            "False.If you are using a prebuilt module and do not need eval mode, please see the functorch website for "
            "resources on how to patch your module to work with vmap"
        )
    if x.dim() < 2 or any(is_batched(v, level) for v in (mean, var)) and training:
        return NotImplemented
    # Each sample's channels are channels of their own.
    v = with_batch(x, level).transpose(0, 1).flatten(1, 2)
    for name in ("running_mean", "running_var"):
        if bound.get(name) is not None:
            bound[name] = with_batch(bound[name], level).reshape((-1,))
    if func.__name__ == "batch_norm":
        y = g.batch_norm(
            v,
            None,
            None,
            bound.get("running_mean"),
            bound.get("running_var"),
            training,
            bound["momentum"],
            bound["eps"],
        )
    elif mean is not None or not training:
        return NotImplemented
    else:
        y = g.instance_norm(v, eps=bound["eps"])
    y = wrap(y.unflatten(1, (level.size, y.shape[1] // level.size)).transpose(0, 1), level)
    y = y if w is None else y * _per_channel(w, y.dim())
    return y if b is None else y + _per_channel(b, y.dim())


@rule("batch_norm_tracked")
def batch_norm_tracked(func, level, args, kwargs):
    names = "input weight bias running_mean running_var num_batches_tracked training track_running_stats momentum eps"
    bound = {"track_running_stats": True, "momentum": 0.1, "eps": 1e-5, **bind(names, args, kwargs)}
    mean, var = bound["running_mean"], bound["running_var"]
    training = bound["training"] or mean is None
    if training and mean is not None and any(is_batched(v, level) for v in (mean, var)):
        return NotImplemented
    keeps = bound["track_running_stats"] or not training
    return batch_norm(
        g.batch_norm,
        level,
        (),
        {
            "input": bound["input"],
            "running_mean": mean if keeps else None,
            "running_var": var if keeps else None,
            "weight": bound["weight"],
            "bias": bound["bias"],
            "training": training,
            "eps": bound["eps"],
        },
    )


@rule("embedding embedding_full")
def embedding(func, level, args, kwargs):
    weight, indices = args[:2] if len(args) > 1 else (None, None)
    if func.__name__ != "embedding" or weight is None or is_batched(weight, level) or weight.dim() != 2:
        return NotImplemented
    return wrap(func(weight, indices._value, *args[2:], **kwargs), level)


@rule("one_hot")
def one_hot(func, level, args, kwargs):
    return wrap(func(args[0]._value, *args[1:], **kwargs), level)


@rule("scaled_dot_product_attention")
def attention(func, level, args, kwargs):
    bound = bind("query key value attn_mask dropout_p is_causal scale enable_gqa", args, kwargs)
    if bound.get("dropout_p") or bound.get("attn_mask") is not None:
        return NotImplemented
    q, k, v = bound.pop("query"), bound.pop("key"), bound.pop("value")
    rank = max(q.dim(), k.dim(), v.dim())
    return wrap(func(*[aligned(with_rank(t, rank, level), level, rank) for t in (q, k, v)], **bound), level)


def with_rank(t, rank, level):
    return BatchedTensor(with_batch(t, level), level)


# --- losses ----------------------------------------------------------------------------------------------------------


@rule(
    "mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy_with_logits binary_cross_entropy soft_margin_loss"
)
def elementwise_loss(func, level, args, kwargs):
    position = {"smooth_l1_loss": 2, "huber_loss": 2, "mse_loss": 2, "l1_loss": 2, "soft_margin_loss": 2}
    name = func.__name__
    if func.__module__ != "taper":
        return NotImplemented if not hasattr(func, "__wrapped__") else func.__wrapped__(*args, **kwargs)
    at = position.get(name)
    bound = dict(kwargs)
    args = list(args)
    if at is not None and len(args) > at:
        bound["reduction"] = args.pop(at)
        if len(args) > at:
            bound["beta" if name == "smooth_l1_loss" else "delta"] = args.pop(at)
    elif at is None and len(args) > 2:
        return NotImplemented
    if any(isinstance(bound.get(k), Tensor) for k in ("weight", "pos_weight")) or len(args) != 2:
        return NotImplemented
    reduction = bound.pop("reduction", "mean")
    x, y = args
    rank = max(x.dim(), y.dim())
    each = wrap(func(aligned(x, level, rank), aligned(y, level, rank), reduction="none", **bound), level)
    return each if reduction == "none" else each.mean() if reduction == "mean" else each.sum()


@rule("cross_entropy nll_loss")
def class_loss(func, level, args, kwargs):
    if func.__module__ != "taper":
        return func.__wrapped__(*args, **kwargs) if hasattr(func, "__wrapped__") else NotImplemented
    smooth = func.__name__ == "cross_entropy"
    names = "input target weight ignore_index reduction" + (" label_smoothing" if smooth else "")
    bound = bind(names, args, kwargs)
    x, target, weight = bound.pop("input"), bound.pop("target"), bound.pop("weight", None)
    reduction, ignored = bound.pop("reduction", "mean"), bound.get("ignore_index", -100)
    classes = not target.dtype.is_floating_point
    if weight is not None or x.dim() < 1 or (not classes and x.dim() < 2):
        return NotImplemented
    x, target = with_batch(x, level), with_batch(target, level)
    if x.dim() == 2:
        each = func(x, target, reduction="none", **bound)
    else:
        n = x.shape[1]
        each = func(x.flatten(0, 1), target.flatten(0, 1), reduction="none", **bound).unflatten(0, (level.size, n))
    each = wrap(each, level)
    if reduction == "none":
        return each
    if reduction == "sum" or not classes:
        total = each.sum()
        return total if reduction == "sum" else total / (each.numel())
    return each.sum() / wrap((target != ignored), level).sum()


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


# --- random ----------------------------------------------------------------------------------------------------------

_SHAPED = frozenset("rand randn randint op_randint op_randint_low".split())
_OF_TENSOR = frozenset(
    """rand_like randn_like op_randint_like op_randint_like_low bernoulli dropout feature_dropout alpha_dropout
    feature_alpha_dropout dropout1d dropout2d dropout3d""".split()
)
_INTO = frozenset(
    """uniform_ normal_ log_normal_ cauchy_ exponential_ geometric_ op_random_ op_random_to_ op_random_from_ bernoulli_
    bernoulli_float_ dropout_""".split()
)
_INITIAL = frozenset(
    "init_uniform_ init_normal_ init_xavier_uniform_ init_xavier_normal_ init_kaiming_uniform_ "
    "init_kaiming_normal_ init_trunc_normal_ init_orthogonal_ init_sparse_".split()
)
RANDOM = _SHAPED | _INITIAL | _OF_TENSOR | _INTO | {"normal", "randperm", "multinomial", "gumbel_softmax"}
_DROPOUTS = frozenset(
    "dropout feature_dropout alpha_dropout feature_alpha_dropout dropout1d dropout2d dropout3d dropout_".split()
)


def random(func, original, args, kwargs):
    """A random op while vmaps run."""
    name = func.__name__
    if name in _DROPOUTS and not _drops(args, kwargs):
        found = tensors_in(args, [])
        return found[0].clone() if name != "dropout_" else found[0]
    level = active()[-1]
    if level.randomness == "error":
        raise RuntimeError(
            "vmap: called random operation while in randomness error mode. Please either use the 'same' or 'different' "
            "randomness flags on vmap or perform the randomness operation out of vmap"
        )
    if name in _INITIAL:
        return original(*args, **kwargs)
    found = tensors_in([*args, *kwargs.values()], [])
    batched = [t for t in found if isinstance(t, BatchedTensor)]
    if not batched and level.randomness == "same":
        return original(*args, **kwargs)
    if name in _INTO:
        target = args[0]
        if not isinstance(target, BatchedTensor):
            raise RuntimeError(
                "vmap: Cannot ask for different inplace randomness on an unbatched tensor. This will appear like same "
                "randomness. If this is necessary for your usage, please file an issue with functorch."
            )
        if len(batched) == 1 and level.randomness == "different":
            _base_call(func, target, args[1:], kwargs)
            return target
        return _same_draws(func, args, kwargs, into=True)
    if level.randomness == "same":
        return _same_draws(func, args, kwargs)
    if name in _SHAPED and not batched:
        shape_at = {"op_randint": 1, "op_randint_low": 2}.get(name, 0)
        args = list(args)
        if name in ("rand", "randn"):
            sizes = sizes_of(args) if args else list(kwargs.pop("size", ()))
            args = [(level.size, *sizes)]
        elif name == "randint" or len(args) <= shape_at:
            return NotImplemented
        else:
            args[shape_at] = (level.size, *args[shape_at])
        return BatchedTensor(original(*args, **kwargs), level)
    if (
        name in _OF_TENSOR
        and len(batched) == 1
        and batched[0]._level is level
        and not isinstance(batched[0]._value, BatchedTensor)
    ):
        plain = [a._value if a is batched[0] else a for a in args]
        if name.startswith(("feature", "dropout1d", "dropout2d", "dropout3d")):
            return one_by_one(original, level, args, kwargs)
        return BatchedTensor(original(*plain, **kwargs), level)
    if batched:
        return one_by_one(_plainly(original, func), level, args, kwargs)
    return BatchedTensor(g.stack([original(*args, **kwargs) for _ in range(level.size)]), level)


def _plainly(original, func):
    """The op without being asked about randomness again, for tensors that are nobody's sample."""

    def call(*args, **kwargs):
        if any(isinstance(t, BatchedTensor) for t in tensors_in([*args, *kwargs.values()], [])):
            return func(*args, **kwargs)
        return original(*args, **kwargs)

    call.__name__ = func.__name__
    return call


def _drops(args, kwargs):
    p = kwargs.get("p", args[1] if len(args) > 1 else 0.5)
    training = kwargs.get("train", kwargs.get("training", args[2] if len(args) > 2 else True))
    return bool(p) and bool(training)


def _base_call(func, target, args, kwargs):
    base = target
    while isinstance(base, BatchedTensor):
        base = base._value
    getattr(func, "__wrapped__", func)(base, *args, **kwargs)


def _same_draws(func, args, kwargs, into=False):
    """The op for each sample from the same state of the generator."""
    from .. import _random

    level = max(
        [t._level for t in tensors_in([*args, *kwargs.values()], []) if isinstance(t, BatchedTensor)],
        key=lambda l: l.number,
    )
    original = getattr(func, "__wrapped__", func)
    state = _random.get_rng_state()

    def again(*a, **k):
        _random.set_rng_state(state)
        return _plainly(original, func)(*a, **k)

    again.__name__ = func.__name__
    return (one_by_one_in_place if into else one_by_one)(again, level, args, kwargs)


# --- functions of one's own ------------------------------------------------------------------------------------------


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
