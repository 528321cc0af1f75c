"""Random calls, as source text in which `torch` stands for PyTorch or Taper: what the differential fuzzer tries.

A Case is some tensors, each the text that makes it, and the text of a call. Everything follows from the seed.
"""

import math
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
