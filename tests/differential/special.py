#!/usr/bin/env python3
"""Compares values, gradients and second derivatives with PyTorch's where functions are not smooth: at 0, at bounds and kinks,
at ties, at saturation, at infinities and NaN, on equal values, on nothing.

    PYTHONPATH=bindings/python .venv-bench/bin/python tests/differential/special.py [NAME...]

A call is a function of a namespace (PyTorch's or Taper's) and of tensors; its inputs are lists. Exits 1 at a difference
that KNOWN does not explain. `--device opencl` runs Taper's side there.
"""

import argparse
import itertools
import os
import sys

import torch
from opinfo import compare_grads, convert, difference, flat, grad_taper, grad_torch

import taper
import taper.nn.functional

nan, inf = float("nan"), float("inf")
POINTS = [
    -inf,
    -6.0,
    -3.0,
    -2.5,
    -1.0,
    -0.5,
    -1e-30,
    -0.0,
    0.0,
    1e-30,
    0.25,
    0.5,
    1.0,
    2.0,
    3.0,
    6.0,
    20.0,
    100.0,
    inf,
    nan,
]
PAIRS = list(zip(*itertools.product([-inf, -2.0, -1.0, -0.0, 0.0, 1.0, 2.0, 3.0, inf, nan], repeat=2)))
TIES = [
    [1.0, 2.0, 2.0, -1.0],
    [0.0, 0.0, 0.0, 0.0],
    [3.0, -3.0, 3.0, -3.0],
    [nan, 1.0, nan, 0.0],
    [inf, inf, -inf, 1.0],
    [-inf, -inf, -inf, -inf],
]
ZEROS = [[0.0, 0.0, 0.0], [0.0, 2.0, 0.0], [1.0, 0.0, 3.0], [1.0, -2.0, 3.0], [0.0, 0.0, -5.0]]
EQUAL = [[2.0, 2.0, 2.0], [0.0, 0.0, 0.0], [1.0, 1.0, 3.0], [-1.0, 0.0, 1.0]]

# Why a call may differ, by its name (and derivative: "second").
KNOWN = {
    "digamma second": "at its poles",
    "logit eps gradient": "the slope at NaN is NaN in the scalar loop, 0 in vectors of doubles there",
    "sinc second": "digits near zero",
    "prelu second": "at zero, where the branches meet",
    "prod ties second": "of infinities",
    "kthvalue ties gradient": "which of equal elements is taken is open",
    "kthvalue zeros gradient": "which of equal elements is taken is open",
    "kthvalue equal gradient": "which of equal elements is taken is open",
    "topk ties gradient": "which of equal elements is taken is open",
    "std_mean ties value": "the mean of infinities, by Welford's way there",
    "var_mean ties value": "the mean of infinities, by Welford's way there",
    "cdist 1 ties gradient": "NaN in one row spoils all there",
    "cdist inf ties value": "NaN is passed over there",
    "cdist inf ties gradient": "NaN is passed over there",
    "binary_cross_entropy second": "not the derivative of the first there",
    "quantile ties gradient": "which of equal elements is taken is open",
    "nanquantile ties gradient": "which of equal elements is taken is open",
    "logcumsumexp ties second": "NaN where sums are infinite",
    "scatter_reduce prod zeros gradient": "an error where a second derivative does not exist",
}

UNARY = (
    "abs neg exp exp2 expm1 log log2 log10 log1p sqrt rsqrt square reciprocal sin cos tan asin acos atan sinh cosh tanh asinh "
    "acosh atanh sigmoid relu erf erfc erfinv floor ceil round trunc frac sign sgn lgamma digamma sinc logit nan_to_num deg2rad "
    "positive isfinite signbit"
).split()
NN_UNARY = (
    "relu6 silu mish softsign tanhshrink logsigmoid selu hardswish hardsigmoid gelu elu celu leaky_relu hardtanh softplus "
    "hardshrink softshrink glu normalize softmax log_softmax softmin"
).split()
BINARY = (
    "add sub mul div maximum minimum fmax fmin pow atan2 fmod remainder hypot xlogy logaddexp logaddexp2 copysign float_power "
    "floor_divide heaviside"
).split()


def calls():
    """name, function, inputs."""
    for n in UNARY:
        yield n, lambda t, x, n=n: getattr(t, n)(x), [POINTS]
    yield "logit eps", lambda t, x: t.logit(x, 0.25), [POINTS]
    for n in NN_UNARY:
        keyword = {"dim": -1} if n in ("softmax", "log_softmax", "softmin", "normalize") else {}
        for values in [POINTS] if not keyword else [TIES, ZEROS, EQUAL]:
            yield n, lambda t, x, n=n, k=keyword: getattr(t.nn.functional, n)(x, **k), [values]
    yield "gelu tanh", lambda t, x: t.nn.functional.gelu(x, approximate="tanh"), [POINTS]
    yield "threshold", lambda t, x: t.nn.functional.threshold(x, 0.5, 7.0), [POINTS]
    yield "prelu", lambda t, x, w: t.nn.functional.prelu(x, w), [POINTS, [0.25]]
    for a, b in ((-1, 2), (None, 1), (0, None), (1, 1), (3, -1)):
        yield f"clamp {a} {b}", lambda t, x, a=a, b=b: t.clamp(x, a, b), [POINTS]
    for n in BINARY:
        yield n, lambda t, x, y, n=n: getattr(t, n)(x, y), list(map(list, PAIRS))
    for p in (0, 0.5, 1, 1.5, 2, 3, -1, -2, 0.0):
        yield f"pow {p}", lambda t, x, p=p: t.pow(x, p), [POINTS]
    for b in (0, 1, 2.5, -1.5):
        yield f"base {b}", lambda t, x, b=b: t.pow(b, x), [POINTS]
    three = list(zip(*itertools.product([-inf, -1.0, 0.0, 1.0, nan], repeat=3)))
    yield "clamp tensors", lambda t, x, a, b: t.clamp(x, a, b), list(map(list, three))
    yield "clamp_min", lambda t, x, a: t.clamp_min(x, a), list(map(list, PAIRS))
    yield "clamp_max", lambda t, x, a: t.clamp_max(x, a), list(map(list, PAIRS))
    yield "lerp", lambda t, x, a, b: t.lerp(x, a, b), list(map(list, three))
    yield "addcmul", lambda t, x, a, b: t.addcmul(x, a, b, value=0.5), list(map(list, three))
    yield "addcdiv", lambda t, x, a, b: t.addcdiv(x, a, b, value=0.5), list(map(list, three))
    yield "where", lambda t, x, y: t.where(x > y, x, y), list(map(list, PAIRS))
    yield "masked_fill", lambda t, x, v: x.masked_fill(x > 0, v), [POINTS, 2.0]
    yield "index_fill", lambda t, x, v: x.index_fill(0, t.tensor([1, 3]), v), [POINTS, 2.0]
    yield "fill_", lambda t, x, v: (x * 1).fill_(v), [POINTS, 2.0]
    # reductions
    tables = {"ties": TIES, "zeros": ZEROS, "equal": EQUAL}
    for what, v in tables.items():
        for n in (
            "max",
            "min",
            "amax",
            "amin",
            "median",
            "nanmedian",
            "sum",
            "mean",
            "nansum",
            "nanmean",
            "prod",
            "std",
            "var",
            "logsumexp",
            "norm",
        ):
            if n not in ("logsumexp",):
                yield f"{n} {what}", lambda t, x, n=n: getattr(t, n)(x), [v]
            if n != "norm":
                yield f"{n} dim {what}", lambda t, x, n=n: getattr(t, n)(x, dim=1), [v]
        for n in ("cummax", "cummin", "cumsum", "cumprod", "logcumsumexp", "sort", "mode"):
            yield f"{n} {what}", lambda t, x, n=n: getattr(t, n)(x, 1), [v]
        yield f"kthvalue {what}", lambda t, x: t.kthvalue(x, 2, 1).values, [v]
        yield f"topk {what}", lambda t, x: t.topk(x, 2, 1).values, [v]
        yield f"aminmax {what}", lambda t, x: tuple(t.aminmax(x, dim=1)), [v]
        yield f"std_mean {what}", lambda t, x: t.std_mean(x, dim=1), [v]
        yield f"std 0 {what}", lambda t, x: t.std(x, dim=0, correction=0), [v]
        yield f"var_mean {what}", lambda t, x: t.var_mean(x, dim=1), [v]
        for p in (0, 0.5, 1, 1.5, 2, 2.5, 3, 4, -1, -inf, inf):
            yield f"norm {p} {what}", lambda t, x, p=p: t.norm(x, p), [v]
            yield f"norm dim {p} {what}", lambda t, x, p=p: t.norm(x, p, 1), [v]
        for p in (0.5, 1, 1.5, 2, 3, inf):
            yield f"normalize {p} {what}", lambda t, x, p=p: t.nn.functional.normalize(x, p=p, dim=1), [v]
            yield f"dist {p} {what}", lambda t, x, y, p=p: t.dist(x, y, p), [v, EQUAL if what != "ties" else TIES]
            other = TIES if what == "ties" else ZEROS
            yield f"cdist {p} {what}", lambda t, x, y, p=p: t.cdist(x, y, p), [v, other]
            if what != "ties":
                yield (
                    f"pairwise_distance {p} {what}",
                    lambda t, x, y, p=p: t.nn.functional.pairwise_distance(x, y, p),
                    [v, EQUAL + [[0.0] * 3] if what == "zeros" else ZEROS[:4]],
                )
        yield f"renorm {what}", lambda t, x: t.renorm(x, 2, 0, 1.0), [v]
        other = {"ties": TIES, "zeros": ZEROS[::-1], "equal": EQUAL[::-1]}[what]
        yield f"cosine_similarity {what}", lambda t, x, y: t.nn.functional.cosine_similarity(x, y, 1), [v, other]
        for target in (1, -1):
            yield (
                f"cosine_embedding_loss {target} {what}",
                lambda t, x, y, k=target: t.nn.functional.cosine_embedding_loss(x, y, t.tensor([k] * len(x))),
                [v, other],
            )
        for n in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
            yield f"{n} {what}", lambda t, x, y, n=n: getattr(t.nn.functional, n)(x, y), [v, other]
        yield f"max_pool {what}", lambda t, x: t.nn.functional.max_pool1d(x, 2, 1), [v]
        yield f"max_pool2d {what}", lambda t, x: t.nn.functional.max_pool2d(x.unsqueeze(0), 2), [v]
        yield f"max_pool3d {what}", lambda t, x: t.nn.functional.max_pool3d(x.reshape(1, 1, *x.shape), (1, 2, 2)), [v]
        yield f"adaptive_max_pool1d {what}", lambda t, x: t.nn.functional.adaptive_max_pool1d(x, 2), [v]
        yield (
            f"adaptive_max_pool2d {what}",
            lambda t, x: t.nn.functional.adaptive_max_pool2d(x.unsqueeze(0), (2, 2)),
            [v],
        )
        yield f"adaptive_avg_pool1d {what}", lambda t, x: t.nn.functional.adaptive_avg_pool1d(x, 2), [v]
        for p in (1, 2, 3, inf):
            yield f"lp_pool1d {p} {what}", lambda t, x, p=p: t.nn.functional.lp_pool1d(x.unsqueeze(0), p, 2), [v]
            yield (
                f"lp_pool2d {p} {what}",
                lambda t, x, p=p: t.nn.functional.lp_pool2d(x.reshape(1, 1, *x.shape), p, 2),
                [v],
            )
        yield f"layer_norm {what}", lambda t, x: t.nn.functional.layer_norm(x, x.shape[1:]), [v]
        yield f"batch_norm {what}", lambda t, x: t.nn.functional.batch_norm(x, None, None, training=True), [v]
        yield f"group_norm {what}", lambda t, x: t.nn.functional.group_norm(x.unsqueeze(-1), 1), [v]
        yield f"rms_norm {what}", lambda t, x: t.nn.functional.rms_norm(x, x.shape[1:]), [v]
        yield (
            f"scatter_reduce amax {what}",
            lambda t, x: t.zeros(2, dtype=x.dtype, device=x.device).scatter_reduce(
                0, t.tensor([0, 0, 1], device=x.device), x[0][:3], "amax"
            ),
            [v],
        )
        yield (
            f"scatter_reduce prod {what}",
            lambda t, x: t.ones(2, dtype=x.dtype, device=x.device).scatter_reduce(
                0, t.tensor([0, 0, 1], device=x.device), x[0][:3], "prod"
            ),
            [v],
        )
        yield (
            f"cross_entropy {what}",
            lambda t, x: t.nn.functional.cross_entropy(x, t.tensor([i % 3 for i in range(len(x))], device=x.device)),
            [v],
        )
        yield f"quantile {what}", lambda t, x: t.quantile(x, 0.5, 1), [v]
        yield f"nanquantile {what}", lambda t, x: t.nanquantile(x, 0.5, 1), [v]
    probabilities = [[0.0, 0.0, 1.0, 1.0, 0.5, 1e-20], [0.0, 1.0, 0.0, 1.0, 0.5, 1.0]]
    yield "binary_cross_entropy", lambda t, x, y: t.nn.functional.binary_cross_entropy(x, y), probabilities
    yield (
        "binary_cross_entropy none",
        lambda t, x, y: t.nn.functional.binary_cross_entropy(x, y, y + 1, reduction="none"),
        probabilities,
    )
    yield (
        "binary_cross_entropy_with_logits",
        lambda t, x, y: t.nn.functional.binary_cross_entropy_with_logits(x, y, reduction="none"),
        list(map(list, PAIRS)),
    )
    yield (
        "kl_div",
        lambda t, x, y: t.nn.functional.kl_div(x, y, reduction="none"),
        [[0.0, -1.0, 0.0, -inf, -2.0], [0.0, 0.0, 1.0, 0.0, 0.5]],
    )
    yield (
        "kl_div log",
        lambda t, x, y: t.nn.functional.kl_div(x, y, reduction="none", log_target=True),
        [[0.0, -1.0, -inf, -2.0], [0.0, -inf, -1.0, 0.5]],
    )
    yield (
        "poisson_nll_loss",
        lambda t, x, y: t.nn.functional.poisson_nll_loss(x, y, full=True, reduction="none"),
        [[0.0, 1.0, -1.0, 2.0], [0.0, 1.0, 2.0, 0.5]],
    )
    yield (
        "gaussian_nll_loss",
        lambda t, x, y, v: t.nn.functional.gaussian_nll_loss(x, y, v),
        [[0.0, 1.0, 2.0], [0.0, 2.0, 2.0], [0.0, 1e-9, 1.0]],
    )
    signs = [[1.0, -1.0, 1.0, -1.0, 0.0, 1.0], [1.0, -1.0, -1.0, 1.0, 1.0, 1.0]]
    for n in ("hinge_embedding_loss", "soft_margin_loss", "multilabel_soft_margin_loss"):
        yield n, lambda t, x, y, n=n: getattr(t.nn.functional, n)(x, y.detach(), reduction="none"), signs
    yield (
        "margin_ranking_loss",
        lambda t, x, y: t.nn.functional.margin_ranking_loss(x, y, t.sign(y).detach()),
        [[1.0, 2.0, 3.0], [1.0, -2.0, 3.0]],
    )
    yield (
        "triplet_margin_loss",
        lambda t, x, y, z: t.nn.functional.triplet_margin_loss(x, y, z, margin=0.0),
        [ZEROS[:2], ZEROS[:2], ZEROS[2:4]],
    )
    yield (
        "multi_margin_loss",
        lambda t, x: t.nn.functional.multi_margin_loss(x, t.tensor([0, 1, 2, 0], device=x.device), margin=1.0),
        [EQUAL],
    )
    mask = [[True, False, True], [False, False, False], [True, True, True]]
    q = [[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]]
    attention = lambda t, q, k, v, **w: t.nn.functional.scaled_dot_product_attention(q, k, v, **w)  # noqa: E731
    yield (
        "attention bool",
        lambda t, q, k, v: attention(t, q, k, v, attn_mask=t.tensor(mask, device=q.device)),
        [q, q, q],
    )
    yield (
        "attention float",
        lambda t, q, k, v: attention(
            t,
            q,
            k,
            v,
            attn_mask=t.zeros(3, 3, dtype=q.dtype, device=q.device).masked_fill(~t.tensor(mask, device=q.device), -inf),
        ),
        [q, q, q],
    )
    yield "attention causal", lambda t, q, k, v: attention(t, q, k, v, is_causal=True), [q, q[:2], q[:2]]
    yield "softmax row of -inf", lambda t, x: t.softmax(x, -1), [[[-inf, -inf], [0.0, -inf]]]
    yield (
        "as_strided of expand",
        lambda t, x: (
            x.expand(3, 2).as_strided((3, 2), (0, 1))
            * t.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=x.dtype, device=x.device)
        ),
        [[0.5, -1.0]],
    )
    for d in (1, 2, 3):
        for kw in (
            dict(stride=1, output_padding=1, dilation=2),
            dict(stride=2, output_padding=2, dilation=3, padding=2),
            dict(stride=1, padding=1, output_padding=1, dilation=2, groups=2),
        ):
            g = kw.get("groups", 1)
            shape, kernel = [1, 2] + [3] * d, [2, 2 // g] + [2] * d
            yield (
                f"conv_transpose{d}d {kw}",
                lambda t, x, w, d=d, kw=kw, s=shape, k=kernel: getattr(t.nn.functional, f"conv_transpose{d}d")(
                    x.reshape(s), w.reshape(k), **kw
                ),
                [
                    [((i * 7) % 11) / 4 - 1 for i in range(2 * 3**d)],
                    [((i * 5) % 7) / 4 - 0.7 for i in range(2 * (2 // g) * 2**d)],
                ],
            )
    for n in (
        "relu",
        "relu6",
        "hardtanh",
        "hardswish",
        "hardsigmoid",
        "mish",
        "silu",
        "elu",
        "selu",
        "celu",
        "leaky_relu",
    ):
        yield f"{n} in place", lambda t, x, n=n: getattr(t.nn.functional, n)(x * 1, inplace=True), [POINTS]
    yield "threshold in place", lambda t, x: t.nn.functional.threshold(x * 1, 0.5, 7.0, inplace=True), [POINTS]


def numbers(got, want, at):
    if want is None or got is None:
        return got, want
    skip = want.isnan() | ~at.isfinite()
    return got.masked_fill(taper.tensor(skip.tolist(), device=got.device), 0), want.masked_fill(skip, 0)


def one(name, f, inputs, device, dtype):
    mine, theirs, leaves = [], [], []
    for v in inputs:
        x = torch.tensor(v, dtype=dtype).requires_grad_()
        theirs.append(x)
        mine.append(convert(x, device, leaves))
    try:
        want = f(torch, *theirs)
    except Exception:
        return []
    try:
        got = f(taper, *mine)
    except (AttributeError, NotImplementedError, TypeError) as e:
        return [("missing", f"{type(e).__name__}: {e}")]
    except Exception as e:
        return [("error", f"{type(e).__name__}: {e}"[:200])]
    a, b = flat(got, taper.Tensor), flat(want, torch.Tensor)
    wrong = [("value", w) for w in (difference(x, y) for x, y in zip(a, b)) if w]
    try:
        roots = [r for r in b if isinstance(r, torch.Tensor) and r.requires_grad]
        gw = grad_torch(roots, theirs, True)
    except Exception:
        return wrong
    if not roots:
        return wrong
    try:
        gg = grad_taper([r for r in a if isinstance(r, taper.Tensor) and r.requires_grad], mine, True)
    except Exception as e:
        return [*wrong, ("gradient", f"{type(e).__name__}: {e}"[:200])]
    w = compare_grads(gg, gw, "gradient")
    if w:
        return [*wrong, ("gradient", w)]
    pick = [
        i for i, g in enumerate(gw) if g is not None and g.requires_grad and gg[i] is not None and gg[i].requires_grad
    ]
    try:
        ww = grad_torch([gw[i] for i in pick], theirs, False)
    except Exception:
        return wrong
    try:
        if not pick:
            return wrong
        got = grad_taper([gg[i] for i in pick], mine, False)
        # A number where PyTorch's second derivative is NaN is no fault, nor is NaN at infinity.
        got, ww = map(list, zip(*(numbers(g, w, t) for g, w, t in zip(got, ww, theirs))))
        w = compare_grads(got, ww, "second")
    except Exception as e:
        w = f"{type(e).__name__}: {e}"[:200]
    return [*wrong, ("second", w)] if w else wrong


def main():
    p = argparse.ArgumentParser()
    p.add_argument("names", nargs="*")
    p.add_argument("--device", default="cpu")
    p.add_argument("--dtype", default="float64")
    a = p.parse_args()
    torch.set_num_threads(1)
    count = bad = 0
    for name, f, inputs in calls():
        if a.names and not any(name.startswith(n) for n in a.names):
            continue
        count += 1
        for kind, text in one(name, f, inputs, a.device, getattr(torch, a.dtype)):
            if name in KNOWN or f"{name} {kind}" in KNOWN or kind == "missing":
                continue
            bad += 1
            print(f"{name}: {kind}: {text}")
    print(f"{count} calls, {bad} differences")
    return 1 if bad else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
