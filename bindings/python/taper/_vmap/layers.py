"""Rules for products, layers and losses."""

from .. import _ops as g
from .._tensor import Tensor
from .core import BatchedTensor
from .rule import RULES, aligned, bind, is_batched, rebuilt, rule, tensors_in, value_of, with_batch, wrap

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


@rule("pad")
def pad(func, level, args, kwargs):
    bound = bind("input pad mode value", args, kwargs)
    x, amounts = bound["input"], bound["pad"]
    if bound.get("mode", "constant") == "constant" and len(amounts) <= 2 * x.dim():
        return wrap(func(x._value, *args[1:], **kwargs), level)
    if x.dim() == len(amounts) // 2 + 1:  # (C, ...): the batch takes N's place
        return wrap(func(x._value, *args[1:], **kwargs), level)
    return _folded(func, level, args, kwargs)


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
