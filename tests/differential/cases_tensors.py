"""The calls that work on tensors: elementwise ops, reductions, products, views, indices, creation."""

import math

from draw import FLOATS, INTS, Input, _indices, _tuple, op


@op(
    "abs absolute acos acosh asin asinh atan atanh cos cosh sin sinh tan tanh arccos arcsin arctan erf erfc exp exp2 expm1 "
    "log log10 log1p log2 sqrt rsqrt reciprocal neg negative positive sign sgn signbit square sigmoid floor ceil trunc fix "
    "frac isfinite isinf isnan isposinf isneginf logical_not deg2rad rad2deg sinc relu t nonzero argwhere "
    "clone ravel digamma lgamma erfinv nan_to_num flipud is_nonzero is_floating_point numel "
    "F.relu F.relu6 F.selu F.silu F.mish F.hardswish F.hardsigmoid F.logsigmoid F.softsign F.tanhshrink F.tanh F.sigmoid "
    "method.contiguous method.detach method.tolist method.float method.double method.half method.long method.int method.bool "
    "method.byte method.char method.short method.bfloat16 method.item method.is_contiguous method.dim method.stride "
    "zeros_like ones_like"
)
def unary(d):
    if d.case.op in ("reciprocal", "rsqrt", "log", "sqrt", "lgamma", "digamma", "log2", "log10") and not d.odd:
        return d.x(low=0.25, high=3.0)
    if d.case.op in ("acos", "asin", "atanh", "arccos", "arcsin", "erfinv"):
        return d.x(low=-0.9, high=0.9)
    if d.case.op in ("t", "flipud") and d.chance(0.7):
        d.rank(1, 2)
    if d.case.op in ("method.item", "is_nonzero") and d.chance(0.8):
        d.shape = d.pick((), (1,), (1, 1))
    return d.x()


@op("round")
def rounding(d):
    return d.x().kw(0.4, decimals=lambda: d.rng.randint(-1, 3))


@op("add sub subtract rsub")
def with_alpha(d):
    d.x()
    d.y() if d.chance(0.6) else d.add(d.number())
    return d.kw(0.3, alpha=d.number)


@op(
    "mul multiply div divide true_divide floor_divide remainder fmod eq ne lt le gt ge greater less not_equal pow "
    "float_power copysign xlogy ldexp bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift"
)
def binary(d):
    if d.case.op.startswith("bitwise") and d.dtype in FLOATS and d.chance(0.9):
        d.dtype = d.pick(*INTS, "bool")
    if "shift" in d.case.op:
        d.x(low=0, high=9)
        return d.y(low=0, high=5) if d.chance(0.6) else d.add(d.rng.randint(0, 5))
    if d.case.op == "pow" and not d.odd:
        d.x(low=0.25, high=3.0)
    else:
        d.x()
    return d.y() if d.chance(0.65) else d.add(d.number())


@op("maximum minimum fmax fmin atan2 arctan2 hypot logaddexp logaddexp2 logical_and logical_or logical_xor heaviside")
def binary_tensors(d):
    return d.x().y()


@op("isclose allclose equal")
def close(d):
    d.x()
    if d.case.op == "equal":
        return d.same() if d.chance(0.7) else d.y()
    return d.y().kw(0.3, rtol=0.5, atol=lambda: d.pick(0.1, 1.0), equal_nan=d.bool)


@op("div")
def division(d):
    d.x()
    d.y() if d.chance(0.6) else d.add(d.number())
    return d.kw(0.6, rounding_mode=lambda: d.pick("'floor'", "'trunc'", "None"))


@op("lerp")
def lerp(d):
    d.float_x().y(dtype=d.dtype)
    return d.y(dtype=d.dtype) if d.chance(0.5) else d.add(d.pick(0.25, 0.5, 2.0))


@op("addcmul addcdiv")
def addc(d):
    d.float_x().y(dtype=d.dtype)
    d.y(dtype=d.dtype, low=0.5, high=2.0)
    return d.kw(0.5, value=d.number)


@op("where")
def where(d):
    d.add(d.mask())
    d.y() if d.chance(0.8) else d.add(d.number())
    return d.y() if d.chance(0.8) else d.add(d.number())


@op("clamp clip")
def clamp(d):
    d.x()
    if d.chance(0.3):
        return d.y() if d.chance(0.5) else d.y().y()
    return d.kw(0.7, min=d.number, max=d.number)


@op("clamp_min clamp_max")
def clamp_one(d):
    d.x()
    return d.add(d.number()) if d.chance(0.6) else d.y()


@op("masked_fill")
def masked_fill(d):
    d.x().add(d.mask(d.broadcast_shape()))
    return d.add(d.number()) if d.chance(0.7) else d.add(d.tensor((), d.other_dtype()))


@op("masked_select")
def masked_select(d):
    return d.x().add(d.mask(d.broadcast_shape()))


@op("sum mean nansum nanmean prod amax amin logsumexp std var std_mean var_mean any all norm count_nonzero")
def reduce(d):
    name = d.case.op
    if name in ("mean", "nanmean", "std", "var", "std_mean", "var_mean", "norm", "logsumexp"):
        d.float_x()
    elif name == "prod":
        d.x(low=-1.5, high=1.5)
    else:
        d.x()
    if name == "norm" and d.chance(0.5):
        d.add(d.pick("'fro'", 1, 2, 3, 0, "float('inf')", "-float('inf')", 0.5, 2.5))
    if name == "logsumexp" or d.chance(0.65):
        d.case.kwargs["dim"] = str(d.dim()) if name == "prod" else d.dims()
        if name != "count_nonzero":
            d.kw(0.4, keepdim=d.bool)
    if name in ("sum", "mean", "nansum", "prod", "nanmean"):
        d.kw(0.15, dtype=d.some_dtype)
    if name in ("std", "var", "std_mean", "var_mean"):
        d.kw(0.4, correction=lambda: d.pick(0, 1, 2))
    return d


@op("max min")
def max_min(d):
    d.x()
    if d.chance(0.5):
        d.ties = False
        d.add(d.dim())
        return d.kw(0.3, keepdim=d.bool)
    return d if d.chance(0.5) else d.y()


@op("argmax argmin median mode nanmedian aminmax")
def arg_reduce(d):
    d.ties = False
    d.x(dtype="float32" if d.dtype == "bool" else None)
    if d.chance(0.7):
        d.case.kwargs["dim"] = str(d.dim())
        d.kw(0.4, keepdim=d.bool)
    return d


@op("cumsum cumprod logcumsumexp cummax cummin F.softmax F.log_softmax F.softmin softmax log_softmax")
def along(d):
    soft = "soft" in d.case.op or "log" in d.case.op
    d.float_x() if soft else d.x(low=-1.5, high=1.5)
    d.case.kwargs["dim"] = str(d.dim())
    if d.case.op not in ("cummax", "cummin", "logcumsumexp"):
        d.kw(0.12, dtype=d.some_dtype)
    return d


@op("sort argsort msort")
def sort(d):
    d.ties = False
    d.x(
        dtype="float32" if d.dtype in ("bool", "uint8") else None,
        layout=d.pick("plain", "permuted", "stepped", "offset"),
    )
    return d if d.case.op == "msort" else d.kw(0.6, dim=d.dim, descending=d.bool)


@op("topk kthvalue")
def topk(d):
    d.ties = False
    d.x(
        dtype="float32" if d.dtype in ("bool", "uint8") else None,
        layout=d.pick("plain", "permuted", "stepped", "offset"),
    )
    dim = d.dim()
    k = d.rng.randint(0 if d.case.op == "topk" else 1, max(1, d.size(dim)))
    d.add(k + (5 if d.chance(0.03) else 0))
    d.case.kwargs["dim"] = str(dim)
    return d.kw(0.4, largest=d.bool) if d.case.op == "topk" else d.kw(0.4, keepdim=d.bool)


@op("quantile")
def quantile(d):
    d.dtype, d.ties = d.pick("float32", "float64"), False
    d.x(layout=d.pick("plain", "permuted", "stepped"))
    d.add(d.pick(0.25, 0.5, 1.0)) if d.chance(0.6) else d.add(d.tensor((2,), d.dtype, 0.1, 0.9, layout="plain"))
    return d.kw(
        0.5,
        dim=d.dim,
        keepdim=d.bool,
        interpolation=lambda: repr(d.pick("linear", "lower", "higher", "midpoint", "nearest")),
    )


@op("unique unique_consecutive")
def unique(d):
    d.ties = True
    return d.x().kw(0.4, return_inverse=d.bool, return_counts=d.bool, dim=d.dim)


@op("bincount")
def bincount(d):
    d.rank(1, small=(0, 1, 3, 6))
    d.add(d.index(d.shape, 5))
    return d.kw(
        0.4,
        minlength=lambda: d.rng.randint(0, 8),
        weights=lambda: d.tensor(d.shape, d.pick("float32", "float64", "int64")),
    )


@op("histc")
def histc(d):
    return d.float_x().kw(0.7, bins=lambda: d.rng.randint(1, 6), min=lambda: d.pick(0, -1), max=lambda: d.pick(0, 2))


@op("isin")
def isin(d):
    d.ties = True
    return d.x().add(d.tensor((3,), d.other_dtype())).kw(0.3, invert=d.bool)


@op("searchsorted bucketize")
def searchsorted(d):
    values = sorted(v for v in d.values(5, d.dtype) if v == v)
    name = "t0"
    dtype = d.dtype
    d.case.inputs[name] = Input(dtype, (len(values),), values)
    x = d.tensor(dtype=dtype)
    d.add(*((name, x) if d.case.op == "searchsorted" else (x, name)))
    return d.kw(0.4, right=d.bool, out_int32=d.bool)


# --- products


@op("matmul")
def matmul(d):
    a, b, c = (d.rng.choice((0, 1, 2, 3, 5)) for _ in range(3))
    batch = d.pick((), (2,), (2, 3))
    left = d.pick((b,), (*batch, a, b))
    right = d.pick((b,), (b, c), (*batch, b, c))
    d.shape = left
    return d.x().add(d.tensor(right))


@op("mm bmm mv dot outer inner vdot ger")
def product(d):
    a, b, c = (d.rng.choice((0, 1, 2, 3, 5)) for _ in range(3))
    n = d.case.op
    d.shape, other = {
        "mm": ((a, b), (b, c)),
        "bmm": ((2, a, b), (2, b, c)),
        "mv": ((a, b), (b,)),
        "dot": ((a,), (a,)),
        "vdot": ((a,), (a,)),
        "outer": ((a,), (b,)),
        "ger": ((a,), (b,)),
        "inner": ((c, a), (b, a)),
    }[n]
    return d.x().add(d.tensor(other if not d.chance(0.03) else (b + 1,)))


@op("addmm baddbmm addmv addr addbmm")
def added_product(d):
    a, b, c = (d.rng.choice((0, 1, 2, 3)) for _ in range(3))
    self, m1, m2 = {
        "addmm": ((a, c), (a, b), (b, c)),
        "baddbmm": ((2, a, c), (2, a, b), (2, b, c)),
        "addbmm": ((a, c), (2, a, b), (2, b, c)),
        "addmv": ((a,), (a, b), (b,)),
        "addr": ((a, b), (a,), (b,)),
    }[d.case.op]
    d.shape = self if d.chance(0.7) else tuple(1 for _ in self)
    return (
        d.x()
        .add(d.tensor(m1), d.tensor(m2))
        .kw(0.4, beta=lambda: d.pick(0, 1, 2, 0.5), alpha=lambda: d.pick(1, 2, 0.5, 0))
    )


@op("einsum")
def einsum(d):
    size = {c: d.rng.choice((0, 1, 2, 3)) for c in "abij"}
    terms, out = d.pick(
        (("ij", "jb"), "ib"), (("aij", "ajb"), "aib"), (("ii",), "i"), (("ii",), ""), (("i", "j"), "ij"), (("ij",), "ji"),
        (("ij", "ij"), "i"), (("aij", "ab"), "bij"), (("i", "i"), ""), (("ab", "bi", "ij"), "aj"),
    )  # fmt: skip
    d.add(f"'{','.join(terms)}->{out}'")
    for t in terms:
        d.add(d.tensor(tuple(size[c] for c in t)))
    return d


@op("trace diag tril triu diagonal diag_embed diagflat")
def diagonals(d):
    n = d.case.op
    d.rank(
        *{"trace": (2,), "diag": (1, 2), "diagflat": (1, 2), "diag_embed": (1, 2)}.get(n, (2, 3)), small=(0, 1, 2, 3, 4)
    )
    d.x()
    return d if n == "trace" else d.add(d.rng.randint(-3, 3)) if d.chance(0.5) else d


@op("kron tensordot cross cdist")
def two_tensors(d):
    n = d.case.op
    if n == "cross":
        d.shape = d.pick((3,), (2, 3))
        return d.x().same().kw(1.0, dim=-1)
    if n == "cdist":
        k = d.rng.randint(0, 3)
        d.shape = (d.rng.randint(0, 3), k)
        d.float_x()
        return d.add(d.tensor((2, k))).kw(0.4, p=lambda: d.pick(1.0, 2.0, 3.0, "float('inf')", 0.0))
    d.rank(1, 2)
    if n == "kron":
        return d.x().same()
    return d.x().add(d.tensor((d.shape[-1], 2))).add(1)


@op("matrix_power")
def matrix_power(d):
    d.shape = (3, 3)
    return d.float_x(low=-1, high=1).add(d.rng.randint(0, 4))


@op("dist")
def dist(d):
    return d.float_x().y(dtype=d.dtype).add(d.pick(1, 2, 3, 0, "float('inf')"))


# --- views and shapes


@op("reshape method.view")
def reshape(d):
    n = math.prod(d.shape)
    shapes = [(-1,), (n,), (1, n), (n, 1)] + [(2, n // 2)] * (n % 2 == 0) + [(3, 5)] * d.chance(0.05)
    return d.x(layout="plain" if d.chance(0.5) else None).add(d.rng.choice(shapes))


@op("flatten")
def flatten(d):
    return d.x().kw(0.5, start_dim=d.dim, end_dim=d.dim)


@op("permute")
def permute(d):
    order = list(range(len(d.shape)))
    d.rng.shuffle(order)
    return d.x().add(_tuple(order))


@op("transpose swapaxes movedim moveaxis")
def transpose(d):
    return d.x().add(d.dim(), d.dim())


@op("unsqueeze")
def unsqueeze(d):
    n = len(d.shape)
    return d.x().add(d.rng.randint(-n - 1, n + (1 if d.chance(0.05) else 0)))


@op("squeeze")
def squeeze(d):
    d.shape = tuple(1 if d.chance(0.4) else s for s in d.shape)
    return d.x() if d.chance(0.4) else d.x().add(d.dims())


@op("method.expand broadcast_to")
def expand(d):
    d.shape = tuple(1 if d.chance(0.4) else s for s in d.shape)
    wanted = [d.rng.randint(0, 3) if s == 1 else s for s in d.shape]
    if d.case.op == "method.expand":
        wanted = [-1 if d.chance(0.3) else w for w in wanted]
    return d.x().add(_tuple([2] * d.chance(0.3) + wanted))


@op("select")
def select(d):
    dim = d.dim()
    return d.x().add(dim, d.rng.randint(-d.size(dim), d.size(dim)))


@op("narrow")
def narrow(d):
    dim = d.dim()
    start = d.rng.randint(0, d.size(dim))
    return d.x().add(dim, start, d.rng.randint(0, max(0, d.size(dim) - start) + d.chance(0.05)))


@op("unbind chunk split tensor_split")
def pieces(d):
    dim = d.dim()
    n = d.case.op
    d.x()
    if n != "unbind":
        d.add(d.rng.randint(1, 4))
    return d.kw(0.8, dim=dim)


@op("cat stack hstack vstack dstack concat column_stack")
def cat(d):
    names = [d.tensor(dtype=d.other_dtype()) for _ in range(d.rng.randint(1, 3))]
    d.add(f"[{', '.join(names)}]")
    return d.kw(0.7, dim=d.dim) if d.case.op in ("cat", "stack", "concat") else d


@op("method.repeat tile")
def repeat(d):
    d.x()
    n = len(d.shape) + (d.chance(0.3) if d.case.op == "method.repeat" else d.rng.randint(-1, 1))
    return d.add(_tuple([d.rng.randint(0, 2) for _ in range(max(n, 0))]))


@op("flip roll rot90")
def flip(d):
    n = d.case.op
    if n == "rot90":
        d.rank(2, 3)
        return d.x().add(d.rng.randint(-2, 5), "(0, 1)")
    d.x()
    if n == "flip":
        return d.add(d.dims())
    return d.add(d.rng.randint(-4, 4)) if d.chance(0.3) else d.add(d.rng.randint(-4, 4), d.dim())


@op("repeat_interleave")
def repeat_interleave(d):
    d.x()
    dim = d.dim()
    if d.chance(0.5):
        return d.add(d.rng.randint(0, 3)).kw(0.6, dim=dim)
    d.case.kwargs["dim"] = str(dim)
    return d.add(d.index((d.size(dim),), 3))


@op("method.unfold")
def unfold(d):
    dim = d.dim()
    return d.x().add(dim, d.rng.randint(0, max(1, d.size(dim))), d.rng.randint(1, 3))


@op("as_strided")
def as_strided(d):
    d.shape = (d.rng.randint(1, 4), 3)
    n = math.prod(d.shape)
    d.x(layout=d.pick("plain", "offset"))
    size = (d.rng.randint(0, 2), d.rng.randint(1, 3))
    return d.add(size, (d.rng.randint(0, 2), 1)) if n > 4 else d.add((1, 2), (0, 1))


@op("diff trapezoid")
def diff(d):
    d.x()
    return d.kw(0.5, dim=d.dim) if d.case.op == "trapezoid" else d.kw(0.5, n=lambda: d.rng.randint(0, 2), dim=d.dim)


@op("method.to method.type")
def to(d):
    return d.x().add(d.some_dtype())


@op("meshgrid")
def meshgrid(d):
    names = [d.tensor((d.rng.randint(0, 3),)) for _ in range(d.rng.randint(1, 3))]
    return d.add(*names).kw(1.0, indexing=lambda: d.pick("'ij'", "'xy'"))


# --- indices


@op("index")
def index(d):
    d.x()
    used = False
    for size in d.shape[: d.rng.randint(1, len(d.shape)) if d.shape else 0]:
        kind = d.rng.randrange(7)
        if kind == 0:
            d.add(d.rng.randint(-size, size - 1) if size else 0)
        elif kind in (1, 2):
            a, b = d.rng.randint(-size, size), d.rng.randint(-size, size + 1)
            d.add(d.pick(f"{a}:{b}", f"{a}:", f":{b}", f"{a}:{b}:2", "::3", ":"))
        elif kind == 3:
            d.add("None")
            d.add(":")
        elif kind == 4 and not used:
            used = True
            d.add("...")
        elif kind == 5:
            d.add(d.index(d.pick((), (2,), (3,)), size))
        else:
            d.add(d.mask((size,)))
    if len(d.case.args) == 1:
        d.add(d.pick("...", "None", "True", "False"))
    return d


@op("index_select")
def index_select(d):
    dim = d.dim()
    return d.x().add(dim, d.index((d.rng.randint(0, 4),), d.size(dim), d.pick("int64", "int32")))


@op("gather take_along_dim")
def gather(d):
    dim = d.dim(0)
    shape = list(d.shape)
    if shape:
        shape[dim] = d.rng.randint(0, 4)
    d.x()
    i = d.index(shape, d.size(dim))
    return d.add(dim, i) if d.case.op == "gather" else d.add(i, dim)


@op("scatter scatter_add scatter_reduce")
def scatter(d):
    dim = d.dim(0)
    n = d.case.op
    d.x()
    size = d.size(dim)
    shape = list(d.shape)
    rows = list(range(size))
    if shape:
        shape[dim] = d.rng.randint(0, size)
    # Without repeats: what scatter writes twice is anybody's.
    i = d.index(shape, size)
    made = d.case.inputs[i]
    if n == "scatter":
        lines = {}
        for k, at in enumerate(_indices(tuple(shape))):
            line = tuple(v for a, v in enumerate(at) if not shape or a != dim % len(shape))
            if line not in lines:
                lines[line] = d.rng.sample(rows, len(rows))
            made.values[k] = lines[line].pop() if lines[line] else 0
    d.add(dim, i)
    if n == "scatter" and d.chance(0.3):
        return d.add(d.number())
    d.add(d.tensor(shape, d.dtype if d.chance(0.95) else None))
    if n == "scatter_reduce":
        d.add(repr(d.pick("sum", "prod", "mean", "amax", "amin"))).kw(0.4, include_self=d.bool)
    return d


@op("index_add index_copy index_fill")
def index_write(d):
    dim = d.dim()
    n = d.case.op
    d.x()
    size = d.size(dim)
    k = d.rng.randint(0, size)
    i = d.index((k,), size)
    if n != "index_add":
        d.case.inputs[i].values = d.rng.sample(range(size), k) if d.shape else [0] * k
    d.add(dim, i)
    if n == "index_fill":
        return d.add(d.number()) if d.chance(0.7) else d.add(d.tensor((), d.dtype))
    shape = list(d.shape)
    if shape:
        shape[dim if -len(shape) <= dim < len(shape) else 0] = k
    return d.add(d.tensor(shape))


@op("take")
def take(d):
    return d.x().add(d.index((d.rng.randint(0, 4),), math.prod(d.shape)))


@op("F.embedding")
def embedding(d):
    d.shape = (d.rng.randint(1, 4), d.rng.randint(0, 3))
    d.dtype = d.pick(*FLOATS)
    d.add(d.index(d.pick((), (3,), (2, 2)), d.shape[0]), d.tensor())
    return d.kw(0.3, padding_idx=0)


@op("F.one_hot")
def one_hot(d):
    return d.add(d.index(d.pick((), (3,), (2, 2), (0,)), 4)).kw(0.5, num_classes=lambda: d.pick(-1, 4, 6))


@op("select_scatter slice_scatter diagonal_scatter masked_scatter")
def scatters(d):
    n = d.case.op
    d.rank(2, 3)
    d.x()
    if n == "select_scatter":
        return d.add(d.tensor(d.shape[1:]), 0, d.rng.randint(-1, 0))
    if n == "slice_scatter":
        return d.add(d.tensor((min(1, d.shape[0]), *d.shape[1:]))).kw(1.0, dim=0, start=0, end=1)
    if n == "masked_scatter":
        return d.add(d.mask(), d.tensor((math.prod(d.shape),)))
    d.shape = d.shape[:2]
    d.case.inputs["t0"] = Input(d.dtype, d.shape, d.values(math.prod(d.shape), d.dtype))
    return d.add(d.tensor((min(d.shape),)))


# --- creation


@op("arange linspace logspace full eye zeros ones tril_indices triu_indices")
def creation(d):
    n = d.case.op
    if n == "arange":
        d.add(*[d.number() for _ in range(d.rng.randint(1, 2))])
        if len(d.case.args) == 2:
            d.add(d.pick(1, 2, 0.5, -1))
    elif n in ("linspace", "logspace"):
        d.add(d.number(), d.number(), d.rng.randint(0, 6))
    elif n == "full":
        d.add(d.shape, d.number())
    elif n == "eye":
        d.add(*[d.rng.randint(0, 4) for _ in range(d.rng.randint(1, 2))])
    elif n.endswith("indices"):
        return d.add(d.rng.randint(0, 4), d.rng.randint(0, 4), d.rng.randint(-2, 2))
    else:
        d.add(d.shape)
    return d.kw(0.3, dtype=d.some_dtype)


@op("result_type promote_types can_cast")
def types(d):
    if d.case.op == "result_type":
        return d.x().y()
    return d.add(d.some_dtype(), d.some_dtype())
