"""The calls of neural networks."""

import math

from draw import FLOATS, _tuple, op

# --- neural networks


@op("F.elu F.celu F.leaky_relu F.hardshrink F.softshrink F.gelu F.glu F.softplus F.hardtanh F.threshold logit")
def activation(d):
    n = d.case.op
    if n == "F.glu":
        d.shape = (*d.shape, 4)
        return d.float_x().kw(0.4, dim=-1)
    if n == "logit":
        return d.float_x(low=0.1, high=0.9).kw(0.5, eps=0.2)
    d.float_x()
    if n == "F.threshold":
        return d.add(0.5, d.number())
    choices = {
        "F.elu": {"alpha": 1.5}, "F.celu": {"alpha": 1.5}, "F.leaky_relu": {"negative_slope": 0.3}, "F.hardshrink": {"lambd": 1.0},
        "F.softshrink": {"lambd": 1.0}, "F.gelu": {"approximate": "'tanh'"}, "F.softplus": {"beta": 2.0, "threshold": 3.0},
        "F.hardtanh": {"min_val": -0.5, "max_val": 1.0},
    }[n]  # fmt: skip
    return d.kw(0.5, **choices)


@op("F.prelu")
def prelu(d):
    d.rank(2, 3)
    return d.float_x().add(d.tensor((d.pick(1, d.shape[1]),)))


@op("F.linear")
def linear(d):
    k, n = d.rng.choice((0, 1, 3)), d.rng.choice((0, 1, 2))
    d.shape = (*d.shape[:2], k)
    d.float_x().add(d.tensor((n, k)))
    return d.add(d.tensor((n,))) if d.chance(0.5) else d


def _conv(d, n, transposed):
    groups = d.pick(1, 1, 2)
    cin, cout = groups * d.rng.randint(1, 2), groups * d.rng.randint(1, 2)
    d.shape = (
        *((d.rng.randint(0 if d.chance(0.1) else 1, 2),) if d.chance(0.9) else ()),
        cin,
        *(d.rng.randint(2, 6) for _ in range(n)),
    )
    d.dtype = d.rng.choices(FLOATS, (5, 2, 1, 1))[0]
    kernel = tuple(d.rng.randint(1, 3) for _ in range(n))
    weight = (cin, cout // groups, *kernel) if transposed else (cout, cin // groups, *kernel)
    d.x().add(d.tensor(weight))
    if d.chance(0.5):
        d.add(d.tensor((cout,)))
    d.kw(
        0.5,
        stride=lambda: d.rng.randint(1, 3),
        padding=lambda: d.rng.randint(0, 2),
        dilation=lambda: d.rng.randint(1, 2),
    )
    if transposed:
        d.kw(0.3, output_padding=lambda: d.rng.randint(0, 2))
    if groups > 1:
        d.case.kwargs["groups"] = str(groups)
    return d


@op("F.conv1d F.conv2d F.conv3d F.conv_transpose1d F.conv_transpose2d F.conv_transpose3d")
def conv(d):
    return _conv(d, int(d.case.op[-2]), "transpose" in d.case.op)


@op("F.max_pool1d F.max_pool2d F.max_pool3d F.avg_pool1d F.avg_pool2d F.avg_pool3d F.lp_pool1d F.lp_pool2d")
def pool(d):
    n = int(d.case.op[-2])
    d.shape = (*((2,) if d.chance(0.9) else ()), 2, *(d.rng.randint(3, 6) for _ in range(n)))
    d.dtype = d.rng.choices(FLOATS, (5, 2, 1, 1))[0]
    d.x()
    if "lp" in d.case.op:
        return d.add(d.pick(1, 2, 3), d.rng.randint(1, 3)).kw(0.4, stride=lambda: d.rng.randint(1, 3), ceil_mode=d.bool)
    d.add(d.rng.randint(1, 3)).kw(
        0.4, stride=lambda: d.rng.randint(1, 3), padding=lambda: d.rng.randint(0, 1), ceil_mode=d.bool
    )
    return (
        d.kw(0.4, dilation=lambda: d.rng.randint(1, 2)) if "max" in d.case.op else d.kw(0.3, count_include_pad=d.bool)
    )


@op("F.adaptive_avg_pool1d F.adaptive_avg_pool2d F.adaptive_avg_pool3d F.adaptive_max_pool1d F.adaptive_max_pool2d")
def adaptive(d):
    n = int(d.case.op[-2])
    d.shape = (2, 2, *(d.rng.randint(1, 6) for _ in range(n)))
    d.dtype = d.rng.choices(FLOATS, (5, 2, 1, 1))[0]
    return d.x().add(_tuple([d.rng.randint(1, 4) for _ in range(n)]) if n > 1 else d.rng.randint(1, 4))


@op("F.layer_norm F.rms_norm")
def layer_norm(d):
    k = d.rng.choice((1, 2, 4))
    d.shape = (*d.shape[:2], k)
    d.float_x().add(f"({k},)")
    if d.chance(0.6):
        d.add(d.tensor((k,)))
        if d.chance(0.6) and d.case.op == "F.layer_norm":
            d.add(d.tensor((k,)))
    return d


@op("F.group_norm F.batch_norm F.instance_norm")
def norms(d):
    c = d.pick(2, 4)
    d.shape = (d.rng.randint(1, 3), c, *(d.rng.randint(1, 3) for _ in range(d.rng.randint(0, 2))))
    d.float_x()
    n = d.case.op
    if n == "F.group_norm":
        return d.add(2).kw(0.5, weight=lambda: d.tensor((c,)), bias=lambda: d.tensor((c,)))
    if n == "F.instance_norm":
        return d.kw(0.4, weight=lambda: d.tensor((c,)))
    if d.chance(0.5):
        d.add(d.tensor((c,), grad=False, layout="plain"), d.tensor((c,), low=0.5, high=2.0, grad=False, layout="plain"))
    else:
        d.add("None", "None")
        d.case.kwargs["training"] = "True"
    d.kw(0.5, weight=lambda: d.tensor((c,)), bias=lambda: d.tensor((c,)))
    if "training" not in d.case.kwargs:
        d.kw(0.5, training=d.bool)
    return d


@op("F.normalize F.cosine_similarity F.pairwise_distance F.pixel_shuffle F.pixel_unshuffle F.local_response_norm")
def misc(d):
    n = d.case.op
    if n == "F.pixel_shuffle":
        d.shape = (2, 4, 2, 3)
        return d.x().add(2)
    if n == "F.pixel_unshuffle":
        d.shape = (2, 1, 4, 2)
        return d.x().add(2)
    if n == "F.local_response_norm":
        d.shape = (2, 4, 3)
        return d.float_x().add(d.rng.randint(1, 4))
    d.float_x()
    if n == "F.normalize":
        return d.kw(0.5, p=lambda: d.pick(1.0, 2.0, 3.0), dim=d.dim)
    d.y(dtype=d.dtype)
    return (
        d.kw(0.4, dim=d.dim) if n.endswith("similarity") else d.kw(0.4, p=lambda: d.pick(1.0, 2.0, 3.0), keepdim=d.bool)
    )


@op("F.pad")
def pad(d):
    n = d.rng.randint(1, max(1, min(2, len(d.shape))))
    if d.chance(0.5):
        d.x().add(_tuple([d.rng.randint(-1, 2) for _ in range(2 * n)]))
        return d.kw(0.4, value=d.number)
    n = d.pick(1, 2)
    d.shape = (2, 2, *(d.rng.randint(3, 5) for _ in range(n)))
    return (
        d.float_x()
        .add(_tuple([d.rng.randint(0, 2) for _ in range(2 * n)]))
        .kw(1.0, mode=lambda: repr(d.pick("reflect", "replicate", "circular")))
    )


@op("F.interpolate")
def interpolate(d):
    n = d.pick(1, 2)
    d.shape = (1, 2, *(d.rng.randint(1, 4) for _ in range(n)))
    d.dtype = d.pick("float32", "float64", "float16")
    d.x()
    if d.chance(0.5):
        d.case.kwargs["size"] = _tuple([d.rng.randint(1, 6) for _ in range(n)])
    else:
        d.case.kwargs["scale_factor"] = str(d.pick(2, 0.5, 1.5))
    mode = d.pick("nearest", "linear" if n == 1 else "bilinear", "nearest-exact", "area" if n == 2 else "nearest")
    d.case.kwargs["mode"] = repr(mode)
    return d.kw(0.5, align_corners=d.bool) if "linear" in mode else d


@op("F.scaled_dot_product_attention")
def attention(d):
    length, keys, e = d.rng.randint(1, 3), d.rng.randint(1, 3), d.pick(1, 2, 4)
    d.shape = (*d.pick((), (2,), (2, 2)), length, e)
    d.dtype = d.rng.choices(FLOATS, (5, 2, 1, 1))[0]
    k = (*d.shape[:-2], keys, e)
    d.x().add(d.tensor(k), d.tensor(k))
    if d.chance(0.4):
        d.case.kwargs["attn_mask"] = d.tensor((length, keys), d.pick("bool", d.dtype))
    return d.kw(0.3, scale=0.5) if "attn_mask" in d.case.kwargs else d.kw(0.3, is_causal=True)


REDUCTIONS = ("'mean'", "'sum'", "'none'")


@op(
    "F.mse_loss F.l1_loss F.smooth_l1_loss F.huber_loss F.kl_div F.binary_cross_entropy F.binary_cross_entropy_with_logits "
    "F.soft_margin_loss F.poisson_nll_loss F.hinge_embedding_loss"
)
def losses(d):
    n = d.case.op
    unit = {"low": 0.1, "high": 0.9} if "binary" in n or n == "F.kl_div" else {}
    d.float_x(**(unit if n == "F.binary_cross_entropy" else {}))
    d.same(dtype=d.dtype, grad=d.chance(0.5), **unit)
    return d.kw(0.7, reduction=lambda: d.pick(*REDUCTIONS))


@op("F.cross_entropy F.nll_loss F.multi_margin_loss")
def class_losses(d):
    c = d.rng.randint(1, 4)
    n = d.rng.randint(1 if d.chance(0.9) else 0, 3)
    space = () if d.case.op == "F.multi_margin_loss" or d.chance(0.6) else (2,)
    d.shape = (n, c, *space)
    d.float_x()
    d.add(d.index((n, *space), c)).kw(0.7, reduction=lambda: d.pick(*REDUCTIONS))
    if d.case.op != "F.multi_margin_loss":
        d.kw(0.3, weight=lambda: d.tensor((c,), low=0.5, high=2.0, grad=False), ignore_index=0)
    return d.kw(0.3, label_smoothing=0.2) if d.case.op == "F.cross_entropy" else d


@op("F.margin_ranking_loss F.cosine_embedding_loss F.triplet_margin_loss")
def pair_losses(d):
    d.shape = (d.rng.randint(1, 3), 3)
    d.float_x().same(dtype=d.dtype)
    if d.case.op == "F.triplet_margin_loss":
        d.same(dtype=d.dtype)
    else:
        shape = d.shape if d.case.op == "F.margin_ranking_loss" else d.shape[:1]
        name = d.index(shape, 2)
        d.case.inputs[name].values = [d.pick(-1, 1) for _ in range(math.prod(shape))]
        d.add(name)
    return d.kw(0.4, reduction=lambda: d.pick(*REDUCTIONS), margin=0.3)
