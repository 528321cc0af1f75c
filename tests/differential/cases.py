"""Random calls, as source text in which `torch` stands for PyTorch or Taper: what the differential fuzzer tries.

A Case is some tensors, each the text that makes it, and the text of a call. Everything follows from the seed.
"""

import math
import random
from dataclasses import dataclass, field

FLOATS = ("float32", "float64", "float16", "bfloat16")
INTS = ("int64", "int32", "int16", "int8", "uint8")
ALL = (*FLOATS, *INTS, "bool")
SIZES = (0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5, 7)


@dataclass
class Input:
    """One tensor: values in row-major order, and how it lies in memory."""

    dtype: str
    shape: tuple
    values: list
    layout: str = "plain"
    grad: bool = False

    def text(self):
        shape, values = self.shape, self.values
        n = len(shape)
        tail = ""
        if self.layout == "permuted" and n > 1:
            # The values of the reversed dimensions.
            values = [values[_flat(shape, index[::-1])] for index in _indices(shape[::-1])]
            shape, tail = shape[::-1], f".permute({', '.join(str(n - 1 - i) for i in range(n))})"
        elif self.layout == "stepped" and n:
            width = shape[-1]
            values = [
                v
                for row in range(math.prod(shape[:-1]))
                for j in range(width)
                for v in (self.values[row * width + j], self.values[row * width])
            ]
            shape, tail = (*shape[:-1], 2 * width), "[..., ::2]"
        elif self.layout == "offset" and n:
            row = math.prod(shape[1:])
            values = (values[:row] or [0] * row) + values
            shape, tail = (shape[0] + 1, *shape[1:]), "[1:]"
        elif self.layout == "expanded" and n:
            values = values[: math.prod(shape[1:])]
            shape, tail = (1, *shape[1:]), f".expand({_tuple(self.shape)})"
        made = f"torch.tensor({_values(values)}, dtype=torch.{self.dtype})"
        if shape != (len(values),):
            made += f".reshape({_tuple(shape)})"
        made += tail
        return made + (".requires_grad_()" if self.grad and not tail else "")


def _tuple(shape):
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"


def _indices(shape):
    if not shape:
        yield ()
        return
    for i in range(shape[0]):
        for rest in _indices(shape[1:]):
            yield (i, *rest)


def _flat(shape, index):
    at = 0
    for size, i in zip(shape, index):
        at = at * size + i
    return at


def _values(values):
    return "[" + ", ".join(_value(v) for v in values) + "]"


def _value(v):
    if isinstance(v, float) and not math.isfinite(v):
        return f"float('{v}')"
    return repr(v)


@dataclass
class Case:
    op: str
    inputs: dict = field(default_factory=dict)  # name: Input
    args: list = field(default_factory=list)  # texts
    kwargs: dict = field(default_factory=dict)
    method: bool = False

    def call(self):
        args = [*self.args, *(f"{k}={v}" for k, v in self.kwargs.items())]
        if self.method:
            return f"{args[0]}.{self.op.split('.')[-1]}({', '.join(args[1:])})"
        name = self.op.replace("F.", "torch.nn.functional.")
        if name.startswith("method."):
            return f"{args[0]}.{name[7:]}({', '.join(args[1:])})"
        if name == "index":
            return f"{args[0]}[{', '.join(args[1:])}]"
        return f"{name if name.startswith('torch.') else 'torch.' + name}({', '.join(args)})"

    def text(self):
        made = "; ".join(f"{name} = {i.text()}" for name, i in self.inputs.items())
        return f"{made}; {self.call()}" if made else self.call()


class Draw:
    """Draws a case's parts."""

    def __init__(self, op, rng):
        self.rng, self.case = rng, Case(op)
        self.dtype = rng.choices(ALL, (30, 12, 12, 12, 10, 4, 4, 4, 4, 8))[0]
        self.shape = tuple(rng.choice(SIZES) for _ in range(rng.choice((0, 1, 1, 2, 2, 2, 3, 3, 4))))
        self.odd = rng.random() < 0.12
        self.ties = rng.random() < 0.15

    def chance(self, p):
        return self.rng.random() < p

    def pick(self, *of):
        return self.rng.choice(of)

    def values(self, n, dtype, low=None, high=None):
        rng = self.rng
        if dtype == "bool":
            return [rng.random() < 0.5 for _ in range(n)]
        if dtype in INTS:
            low = -4 if low is None else math.ceil(low)
            high = 9 if high is None else math.floor(high)
            if dtype == "uint8":
                low, high = max(low, 0), max(high, 1)
            if not self.ties and n > high - low and dtype in ("int64", "int32", "int16"):
                low, high = -n, n
            if self.ties or high - low < n:
                return [rng.randint(low, max(low, high)) for _ in range(n)]
            return rng.sample(range(low, high + 1), n)
        # Far enough apart to be distinct after rounding.
        wide = max(3.0, n / 30)
        low, high = -wide if low is None else low, wide if high is None else high
        steps = [low + (high - low) * (i + 0.5) / max(n, 1) for i in range(n)]
        rng.shuffle(steps)
        # Few digits: each dtype holds them exactly.
        made = [round(v * 16) / 16 if dtype in FLOATS else v for v in steps]
        if self.ties:
            made = [round(v) * 1.0 for v in made]
        made = [min(max(v, low), high) for v in made]
        if self.odd:
            special = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0)
            made = [rng.choice(special) if rng.random() < 0.3 else v for v in made]
        return made

    def tensor(self, shape=None, dtype=None, low=None, high=None, grad=True, layout=None):
        """Adds an input and returns its name."""
        shape = tuple(self.shape if shape is None else shape)
        dtype = dtype or self.dtype
        n = math.prod(shape)
        name = f"t{len(self.case.inputs)}"
        layout = layout or self.rng.choice(("plain", "plain", "plain", "permuted", "stepped", "offset", "expanded"))
        values = self.values(n, dtype, low, high)
        if layout == "expanded" and shape:
            row = math.prod(shape[1:])
            values = values[:row] * shape[0]
        self.case.inputs[name] = Input(dtype, shape, values, layout, grad and dtype in FLOATS)
        return name

    def x(self, **how):
        """The first tensor."""
        name = self.tensor(**how)
        self.case.args.append(name)
        return self

    def float_x(self, **how):
        if self.dtype not in FLOATS and not self.chance(0.08):
            self.dtype = self.rng.choice(FLOATS)
        return self.x(**how)

    def rank(self, *ranks, small=(1, 2, 3, 4)):
        n = self.rng.choice(ranks)
        self.shape = tuple(self.rng.choice(small) for _ in range(n))
        return self

    def other_dtype(self):
        return self.dtype if self.chance(0.7) else self.rng.choice(ALL)

    def broadcast_shape(self):
        shape = list(self.shape)
        if self.chance(0.3):
            shape = shape[self.rng.randint(0, len(shape)) :]
        shape = [1 if self.chance(0.25) else s for s in shape]
        if self.chance(0.03) and shape:
            shape[0] += 1
        return shape

    def y(self, **how):
        how.setdefault("dtype", self.other_dtype())
        self.case.args.append(self.tensor(self.broadcast_shape(), **how))
        return self

    def same(self, **how):
        self.case.args.append(self.tensor(self.shape, **how))
        return self

    def add(self, *texts):
        self.case.args.extend(str(t) for t in texts)
        return self

    def kw(self, p=0.4, /, **texts):
        """Each keyword argument with this probability."""
        for k, v in texts.items():
            if self.chance(p):
                self.case.kwargs[k] = str(v() if callable(v) else v)
        return self

    def number(self):
        r = self.rng
        return _scalar(
            r.choice(
                (r.randint(-4, 6), r.randint(1, 3), r.choice((0.5, -1.5, 2.0, 0.25, 1.0)), True, r.choice((0, -1, 1)))
            )
        )

    def dim(self, wrong=0.03):
        n = len(self.shape)
        if self.chance(wrong):
            return self.rng.choice((n, -n - 1, n + 3))
        return self.rng.randrange(-n, n) if n else self.rng.choice((0, -1))

    def dims(self):
        n = len(self.shape)
        if not n or self.chance(0.3):
            return str(self.dim())
        chosen = self.rng.sample(range(n), self.rng.randint(0 if self.chance(0.1) else 1, n))
        return _tuple([d - n if self.chance(0.5) else d for d in chosen])

    def size(self, d):
        return self.shape[d] if self.shape and -len(self.shape) <= d < len(self.shape) else 1

    def bool(self):
        return self.chance(0.5)

    def some_dtype(self):
        return "torch." + self.rng.choice(ALL)

    def index(self, shape, limit, dtype="int64"):
        limit = max(limit, 1)
        low = -limit if self.chance(0.0) else 0
        wrong = self.chance(0.03)
        values = [self.rng.randint(low, limit - 1) for _ in range(math.prod(shape))]
        if wrong and values:
            values[0] = limit + 2
        name = f"t{len(self.case.inputs)}"
        self.case.inputs[name] = Input(dtype, tuple(shape), values, "plain")
        return name

    def mask(self, shape=None):
        return self.tensor(self.shape if shape is None else shape, "bool")


def _scalar(v):
    return repr(v)


OPS = {}


def op(names):
    def register(f):
        for name in names.split():
            OPS[name] = f
        return f

    return register


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


# Written into their first tensor, when the method with "_" exists.
IN_PLACE = frozenset(
    "abs acos acosh asin asinh atan atanh cos cosh sin sinh tan tanh erf erfc exp exp2 expm1 log log10 log1p log2 sqrt rsqrt "
    "reciprocal neg sign square sigmoid floor ceil trunc relu lgamma erfinv nan_to_num round add sub mul div floor_divide remainder "
    "fmod pow bitwise_and bitwise_or bitwise_xor lerp addcmul addcdiv clamp clamp_min clamp_max masked_fill cumsum cumprod addmm "
    "baddbmm tril triu scatter scatter_add scatter_reduce index_add index_copy index_fill masked_scatter squeeze unsqueeze "
    "transpose t".split()
)
# With out=, in PyTorch and in Taper.
OUT = frozenset(
    "abs acos cos sin tanh exp log sqrt neg floor add sub mul div pow maximum minimum sum mean prod amax cumsum matmul mm bmm "
    "gather index_select cat stack where eq lt clamp logical_and bitwise_and arange linspace masked_select".split()
)


def case(name, seed):
    rng = random.Random(f"{seed} {name}")
    d = Draw(name, rng)
    OPS[name](d)
    made = d.case
    if not made.inputs or name.startswith(("F.", "method.")) or name == "index":
        return made
    if name in IN_PLACE and rng.random() < 0.25:
        first = made.inputs.get(made.args[0])
        if first and (first.layout != "expanded"):
            made.op, made.method = name + "_", True
            # A leaf that requires gradients cannot be written to: its copy can.
            if first.grad:
                made.args[0] += ".clone()"
    elif name in OUT and rng.random() < 0.15:
        dtype = rng.choice((d.dtype, d.dtype, "float32", "int64"))
        made.kwargs["out"] = f"torch.zeros({_tuple(d.shape if rng.random() < 0.6 else (0,))}, dtype=torch.{dtype})"
        for i in made.inputs.values():
            i.grad = False
    return made
