"""Rules for elementwise ops and reductions."""

from .. import _ops as g
from .._tensor import Tensor
from .one_by_one import refused_in_place
from .randomness import random
from .rule import RULES, aligned, bind, dim_of, dims_of, is_batched, map_args, rule, tensors_in, wrap

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
