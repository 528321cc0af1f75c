"""The array API standard, 2024.12: its functions under its names and with its rules, over Taper's tensors.

`import taper.array_api as xp` for programs that are written for any array library. Where PyTorch's functions of the same name
do otherwise (tensors without dimensions take part in promotion, `std` divides by n, `unique_all` exists), these follow the
standard. Source: https://data-apis.org/array-api/2024.12/
"""

import builtins
from collections import namedtuple
from types import SimpleNamespace

import taper as _t

from . import linalg as _linalg
from ._dtype import dtype as _dtype
from ._tensor import Tensor as _Tensor

__array_api_version__ = "2024.12"
e, inf, nan, newaxis, pi = _t.e, _t.inf, _t.nan, None, _t.pi
bool, complex64, complex128, float32, float64 = _t.bool, _t.complex64, _t.complex128, _t.float32, _t.float64
int8, int16, int32, int64, uint8 = _t.int8, _t.int16, _t.int32, _t.int64, _t.uint8
# Those of them that the library has tensors of.
_UNSIGNED = [getattr(_t, n) for n in ("uint16", "uint32", "uint64") if getattr(_t, n).format is not None]
globals().update({d.name: d for d in _UNSIGNED})
_KINDS = {
    "bool": (bool,),
    "signed integer": (int8, int16, int32, int64),
    "unsigned integer": (uint8, *_UNSIGNED),
    "real floating": (float32, float64),
    "complex floating": (complex64, complex128),
}
_KINDS["integral"] = _KINDS["signed integer"] + _KINDS["unsigned integer"]
_KINDS["numeric"] = _KINDS["integral"] + _KINDS["real floating"] + _KINDS["complex floating"]


# Types


def astype(x, dtype, /, *, copy=True, device=None):
    """x in another dtype; a copy, unless copy is False and nothing changes."""
    if isdtype(x.dtype, "complex floating") and not isdtype(dtype, "complex floating") and dtype != bool:
        raise TypeError(f"astype: expected a complex dtype for a tensor of {x.dtype}, got {dtype}; take real(x)")
    return x.to(device=x.device if device is None else device, dtype=dtype, copy=copy)


def broadcast_arrays(*arrays):
    """A list of the arrays in their common shape."""
    return list(_t.broadcast_tensors(*arrays))


def broadcast_to(x, /, shape):
    """x in a larger shape, without a copy."""
    return _t.broadcast_to(x, tuple(shape))


def can_cast(from_, to, /):
    """Whether promotion could lead from a dtype (or a tensor's) to another."""
    of = getattr(from_, "dtype", from_)
    return _t.promote_types(of, to) == to and not (isdtype(of, "integral") and not isdtype(to, ("integral", "bool")))


def finfo(type, /):
    """Limits of a floating dtype (of a complex one's parts), or of a tensor's."""
    of = getattr(type, "dtype", type)
    f = _t.finfo(of)
    real = getattr(_t, f.dtype)
    return SimpleNamespace(bits=f.bits, eps=f.eps, max=f.max, min=f.min, smallest_normal=f.smallest_normal, dtype=real)


def iinfo(type, /):
    """Limits of an integer dtype, or of a tensor's."""
    of = getattr(type, "dtype", type)
    i = _t.iinfo(of)
    return SimpleNamespace(bits=i.bits, max=i.max, min=i.min, dtype=of)


def isdtype(dtype, kind):
    """Whether a dtype is of a kind: a dtype, the name of a kind, or a tuple of those."""
    if isinstance(kind, tuple):
        return builtins.any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, str):
        if kind not in _KINDS:
            raise ValueError(f"isdtype: expected one of {', '.join(map(repr, _KINDS))} as kind, got {kind!r}")
        return dtype in _KINDS[kind]
    return dtype == kind


def result_type(*arrays_and_dtypes):
    """The dtype to which tensors, dtypes and Python's numbers promote."""
    known = [getattr(a, "dtype", a) for a in arrays_and_dtypes if isinstance(a, (_Tensor, _dtype))]
    if not known:
        raise ValueError("result_type: expected a tensor or a dtype among the arguments, got numbers alone")
    made = known[0]
    for k in known[1:]:
        made = _t.promote_types(made, k)
    for a in arrays_and_dtypes:
        if not isinstance(a, (_Tensor, _dtype)):
            made = _with_number(made, a)
    return made


def _with_number(dtype, v):
    """The dtype of what a number makes of a tensor's."""
    if isinstance(v, complex) and not isdtype(dtype, "complex floating"):
        if isdtype(dtype, "real floating"):
            return complex64 if dtype == float32 else complex128
    elif isinstance(v, builtins.bool):
        return dtype
    elif isinstance(v, int) and dtype != bool:
        return dtype
    elif isdtype(dtype, ("real floating", "complex floating")):
        return dtype
    raise TypeError(f"expected a number that fits {dtype}, got {v!r}")


def _promoted(*args):
    dtype = result_type(*args)
    device = next(a.device for a in args if isinstance(a, _Tensor))
    return [
        (a if a.dtype == dtype else a.to(dtype))
        if isinstance(a, _Tensor)
        else _t.full((), a, dtype=dtype, device=device)
        for a in args
    ]


def _set(name, doc, function):
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    globals()[name] = function


def _of_one(name, of=None):
    f = getattr(_t, of or name)

    def function(x, /):
        return f(x)

    _set(name, f"{name} of each element.", function)


def _of_two(name, of=None):
    f = getattr(_t, of or name)

    def function(x1, x2, /):
        return f(*_promoted(x1, x2))

    _set(name, f"{name} of the elements of two tensors, or of a tensor and a number.", function)


for _n in (
    "abs acos acosh asin asinh atan atanh cos cosh exp imag isfinite isinf isnan log log1p log2 log10 "
    "logical_not negative real reciprocal signbit sin sinh sqrt square tan"
).split():
    if _n not in ("imag", "real"):
        _of_one(_n)
_of_one("bitwise_invert", "bitwise_not")
for _n in (
    "add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign divide hypot "
    "logaddexp logical_and logical_or logical_xor maximum minimum multiply nextafter subtract"
).split():
    _of_two(_n)
for _n, _of in (
    ("equal", "eq"),
    ("greater", "gt"),
    ("greater_equal", "ge"),
    ("less", "lt"),
    ("less_equal", "le"),
    ("not_equal", "ne"),
    ("pow", "pow"),
):
    _of_two(_n, _of)


def _whole(name):
    f = getattr(_t, name)

    def function(x, /):
        return x.clone() if isdtype(x.dtype, ("integral", "bool")) else f(x)

    _set(name, f"{name} of each element; integers are such already.", function)


for _n in ("ceil", "floor", "trunc"):
    _whole(_n)


def bitwise_right_shift(x1, x2, /):
    """x1 >> x2, where shifting by the width or more leaves the sign."""
    a, b = _promoted(x1, x2)
    most = a.dtype.itemsize * 8
    return _t.bitwise_right_shift(a, _t.clamp(b, max=most - 1) if a.dtype.is_signed else b)


def clip(x, /, min=None, max=None):
    """x between min and max, in x's dtype."""
    if min is None and max is None:
        return x.clone()
    for name, bound in (("min", min), ("max", max)):
        if bound is None:
            continue
        if not isinstance(bound, _Tensor) and isdtype(x.dtype, "integral"):
            i = _t.iinfo(x.dtype)
            bound = builtins.max(builtins.min(bound, i.max), i.min) if bound == bound else bound
        if not isinstance(bound, _Tensor):
            bound = _t.full((), bound, dtype=x.dtype, device=x.device)
        both = _promoted(x, bound)
        both[1] = both[1].expand(_t.broadcast_shapes(both[0].shape, both[1].shape))
        x = (_t.maximum if name == "min" else _t.minimum)(*both).to(x.dtype)
    return x


def conj(x, /):
    """The conjugate."""
    return _t.conj(x).resolve_conj() if x.dtype.is_complex else x.clone()


def real(x, /):
    """The real part."""
    return _t.real(x) if x.dtype.is_complex else x


def imag(x, /):
    """The imaginary part; zeros of real numbers."""
    return _t.imag(x) if x.dtype.is_complex else _t.zeros_like(x)


def expm1(x, /):
    """exp(x) - 1."""
    made = _t.expm1(x)
    return _t.where(_t.isfinite(x) & (x != 0), made, _t.exp(x) - 1) if x.dtype.is_complex else made


def tanh(x, /):
    """The hyperbolic tangent; the limit's imaginary part is a zero with the sign of x's."""
    made = _t.tanh(x)
    if not x.dtype.is_complex:
        return made
    limit = _t.complex(_t.copysign(_t.ones_like(x.real), x.real), _t.copysign(_t.zeros_like(x.imag), x.imag))
    return _t.where(_t.isinf(x.real) & _t.isfinite(x.imag), limit, made)


def positive(x, /):
    """A copy."""
    return x.clone()


def round(x, /):
    """The nearest whole number, of two the even one; of complex numbers part by part."""
    if x.dtype.is_complex:
        return _t.complex(_t.round(x.real), _t.round(x.imag))
    return x.clone() if isdtype(x.dtype, "integral") else _t.round(x)


def sign(x, /):
    """-1, 0 or 1; x / abs(x) of complex numbers."""
    if x.dtype.is_complex:
        return _t.sgn(x)
    s = _t.sign(x)
    return _t.where(_t.isnan(x), x, s) if x.dtype.is_floating_point else s


def floor_divide(x1, x2, /):
    """x1 / x2 rounded down; what is infinite stays so."""
    a, b = _promoted(x1, x2)
    q = _t.floor_divide(a, b)
    if not q.dtype.is_floating_point:
        return q
    exact = a / b
    # An infinite dividend, and what an infinite divisor leaves: the quotient itself, -0 included.
    odd = (_t.isinf(a) & _t.isfinite(b)) | (_t.isfinite(a) & _t.isinf(b))
    return _t.where(odd, exact, q)


def remainder(x1, x2, /):
    """What the division rounded down leaves: it has x2's sign, zero too."""
    a, b = _promoted(x1, x2)
    r = _t.remainder(a, b)
    return _t.where(r == 0, _t.copysign(r, b), r) if r.dtype.is_floating_point else r


# Making


def _made_on(device):
    return {} if device is None else {"device": device}


def arange(start, /, stop=None, step=1, *, dtype=None, device=None):
    """start, start + step and so on, below stop."""
    if stop is None:
        start, stop = 0, start
    if step and (stop - start) / step <= 0:
        if dtype is None:
            whole = builtins.all(isinstance(v, int) for v in (start, stop, step))
            dtype = int64 if whole else _t.get_default_dtype()
        return _t.empty(0, dtype=dtype, device=device)
    return _t.arange(start, stop, step, dtype=dtype, device=device)


def asarray(obj, /, *, dtype=None, device=None, copy=None):
    """A tensor of a tensor, of numbers and nested sequences of them, or of what shares memory."""
    if isinstance(obj, int) and not isinstance(obj, builtins.bool) and dtype is None and not -(2**63) <= obj < 2**63:
        raise OverflowError(f"asarray: {obj} does not fit into int64")
    if isinstance(obj, _Tensor):
        if copy is False and (
            (dtype or obj.dtype) != obj.dtype or device is not None and _t.device(device) != obj.device
        ):
            raise ValueError("asarray: copy=False, but another dtype or device needs a copy")
        return obj.to(device=obj.device if device is None else device, dtype=dtype or obj.dtype, copy=copy is True)
    if copy is False and not hasattr(obj, "__dlpack__") and not hasattr(obj, "__array_interface__"):
        raise ValueError(f"asarray: copy=False, but a {type(obj).__name__} shares no memory")
    if isinstance(obj, (list, tuple)) and _holds_tensors(obj):
        made = stack([asarray(o) for o in obj]) if obj else _t.empty(0)
        return made.to(device=device, dtype=dtype or made.dtype)
    return _t.asarray(obj, dtype=dtype, device=device, copy=copy)


def _holds_tensors(obj):
    return isinstance(obj, (list, tuple)) and builtins.any(isinstance(o, _Tensor) or _holds_tensors(o) for o in obj)


def empty(shape, *, dtype=None, device=None):
    """A tensor whose elements are not set."""
    return _t.empty(shape, dtype=dtype, device=device)


def empty_like(x, /, *, dtype=None, device=None):
    """The same with x's shape."""
    return _t.empty_like(x, dtype=dtype, **_made_on(device))


def eye(n_rows, n_cols=None, /, *, k=0, dtype=None, device=None):
    """Ones on the k-th diagonal."""
    n = n_rows if n_cols is None else n_cols
    made = _t.zeros(n_rows, n, dtype=dtype, device=device)
    if -n_rows < k < n:
        made.diagonal(k).fill_(1)
    return made


def from_dlpack(x, /, *, device=None, copy=None):
    """A tensor of what another library holds."""
    made = _t.from_dlpack(x)
    if device is not None and _t.device(device) != made.device:
        if copy is False:
            raise ValueError("from_dlpack: copy=False, but another device needs a copy")
        return made.to(device)
    return made.clone() if copy else made


def full(shape, fill_value, *, dtype=None, device=None):
    """A tensor of one value."""
    return _t.full((shape,) if isinstance(shape, int) else tuple(shape), fill_value, dtype=dtype, device=device)


def full_like(x, /, fill_value, *, dtype=None, device=None):
    """The same with x's shape."""
    return _t.full_like(x, fill_value, dtype=dtype, **_made_on(device))


def linspace(start, stop, /, num, *, dtype=None, device=None, endpoint=True):
    """num numbers from start to stop, which is the last one unless endpoint is False."""
    if dtype is None and (isinstance(start, complex) or isinstance(stop, complex)):
        dtype = complex128 if _t.get_default_dtype() == float64 else complex64
    if endpoint:
        return _t.linspace(start, stop, num, dtype=dtype, device=device)
    return _t.linspace(start, stop, num + 1, dtype=dtype, device=device)[:num]


def meshgrid(*arrays, indexing="xy"):
    """A list of the coordinates of a grid."""
    if not arrays:
        return []
    return list(_t.meshgrid(*arrays, indexing=indexing))


def ones(shape, *, dtype=None, device=None):
    """Ones."""
    return _t.ones(shape, dtype=dtype, device=device)


def ones_like(x, /, *, dtype=None, device=None):
    """Ones in x's shape."""
    return _t.ones_like(x, dtype=dtype, **_made_on(device))


def tril(x, /, *, k=0):
    """Of matrices, what lies on and below the k-th diagonal."""
    return _t.tril(x, k)


def triu(x, /, *, k=0):
    """Of matrices, what lies on and above the k-th diagonal."""
    return _t.triu(x, k)


def zeros(shape, *, dtype=None, device=None):
    """Zeros."""
    return _t.zeros(shape, dtype=dtype, device=device)


def zeros_like(x, /, *, dtype=None, device=None):
    """Zeros in x's shape."""
    return _t.zeros_like(x, dtype=dtype, **_made_on(device))


# Moving


def concat(arrays, /, *, axis=0):
    """The arrays one after the other; flat ones where axis is None."""
    parts = _promoted(*arrays)
    return _t.cat([p.flatten() for p in parts]) if axis is None else _t.cat(parts, axis)


def expand_dims(x, /, axis):
    """x with a dimension of 1 at axis."""
    if not -x.ndim - 1 <= axis <= x.ndim:
        raise IndexError(f"expand_dims: axis {axis} is out of range for {x.ndim} dimensions")
    return _t.unsqueeze(x, axis)


def flip(x, /, *, axis=None):
    """x backwards along axis, or along all."""
    return _t.flip(x, tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis))


def moveaxis(x, source, destination, /):
    """x with dimensions moved."""
    return _t.moveaxis(x, source, destination)


def permute_dims(x, /, axes):
    """x with its dimensions in another order."""
    return _t.permute(x, tuple(axes))


def repeat(x, repeats, /, *, axis=None):
    """Each element (or each part along axis) several times."""
    x = x.flatten() if axis is None else x
    if isinstance(repeats, _Tensor):
        repeats = repeats.to(int64)
    return _t.repeat_interleave(x, repeats, 0 if axis is None else axis)


def reshape(x, /, shape, *, copy=None):
    """x in another shape."""
    if copy is False:
        return x.view(tuple(shape))
    return _t.reshape(x.clone() if copy else x, tuple(shape))


def roll(x, /, shift, *, axis=None):
    """x turned around along axis; as if it were flat where axis is None."""
    if axis is None:
        return _t.roll(x, shift)
    if isinstance(axis, (tuple, list)) and isinstance(shift, int):
        shift = (shift,) * len(axis)
    return _t.roll(x, shift, axis)


def squeeze(x, /, axis):
    """x without dimensions of 1."""
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    for a in axes:
        if not -x.ndim <= a < x.ndim:
            raise IndexError(f"squeeze: axis {a} is out of range for {x.ndim} dimensions")
        if x.shape[a] != 1:
            raise ValueError(f"squeeze: expected a size of 1 for axis {a}, got {x.shape[a]}")
    return _t.squeeze(x, axes)


def stack(arrays, /, *, axis=0):
    """The arrays along a new dimension."""
    return _t.stack(_promoted(*arrays), axis)


def tile(x, repetitions, /):
    """x side by side."""
    return _t.tile(x, tuple(repetitions))


def unstack(x, /, *, axis=0):
    """The parts along axis."""
    return tuple(_t.unbind(x, axis))


def take(x, indices, /, *, axis=None):
    """The parts of x at indices along axis."""
    if axis is None:
        if x.ndim != 1:
            raise ValueError(f"take: axis must be given for a tensor of {x.ndim} dimensions")
        axis = 0
    if not -x.ndim <= axis < x.ndim:
        raise IndexError(f"take: axis {axis} is out of range for {x.ndim} dimensions")
    return x[(slice(None),) * (axis % x.ndim) + (indices.to(int64),)]


def take_along_axis(x, indices, /, *, axis=-1):
    """The elements of x at indices along axis."""
    return _t.take_along_dim(x, indices.to(int64), dim=axis)


# Searching, sorting, sets


def argmax(x, /, *, axis=None, keepdims=False):
    """Where the greatest is."""
    return _found(_t.argmax, x, axis, keepdims)


def argmin(x, /, *, axis=None, keepdims=False):
    """Where the least is."""
    return _found(_t.argmin, x, axis, keepdims)


def _found(f, x, axis, keepdims):
    x = x.to(uint8) if x.dtype == bool else x
    if axis is None:
        made = f(x)
        return made.reshape((1,) * x.ndim) if keepdims else made
    return f(x, axis, keepdims)


def count_nonzero(x, /, *, axis=None, keepdims=False):
    """How many are not zero."""
    return _over(lambda a, d, k: _t.sum(a != 0, d, k, dtype=int64), x, axis, keepdims)


def nonzero(x, /):
    """Where elements are not zero: indices for each dimension."""
    if x.ndim == 0:
        raise ValueError("nonzero: expected a tensor of one dimension or more, got one without")
    return tuple(_t.nonzero(x, as_tuple=True))


def searchsorted(x1, x2, /, *, side="left", sorter=None):
    """Where elements of x2 would stand in x1."""
    x1, x2 = _promoted(x1, x2)
    return _t.searchsorted(x1, x2, side=side, sorter=None if sorter is None else sorter.to(int64))


def where(condition, x1, x2, /):
    """x1 where the condition holds, else x2."""
    return _t.where(condition, *_promoted(x1, x2))


def sort(x, /, *, axis=-1, descending=False, stable=True):
    """x in order."""
    return _t.sort(x, dim=axis, descending=descending, stable=stable)[0]


def argsort(x, /, *, axis=-1, descending=False, stable=True):
    """The order of x."""
    return _t.argsort(x, dim=axis, descending=descending, stable=stable)


_All = namedtuple("unique_all_result", "values indices inverse_indices counts")
_Counts = namedtuple("unique_counts_result", "values counts")
_Inverse = namedtuple("unique_inverse_result", "values inverse_indices")


def _unique(x):
    """Values in order with the place where each occurs first, the place of each element's value, and counts; NaNs are
    unlike each other."""
    flat = x.flatten()
    if flat.dtype.is_complex:
        by_imag = _t.argsort(flat.imag, stable=True)
        order = by_imag[_t.argsort(flat.real[by_imag], stable=True)]
    else:
        order = _t.argsort(flat.to(uint8) if flat.dtype == bool else flat, stable=True)
    ordered = flat[order]
    new = _t.ones(flat.shape, dtype=bool, device=flat.device)
    if flat.numel() > 1:
        new[1:] = ordered[1:] != ordered[:-1]
    begins = _t.nonzero(new).flatten()
    number = _t.cumsum(new.to(int64), 0) - 1
    inverse = _t.empty_like(number)
    inverse[order] = number
    ends = _t.cat([begins[1:], begins.new_full((1 if begins.numel() else 0,), flat.numel())])
    return ordered[begins], order[begins], inverse.reshape(x.shape), ends - begins


def unique_all(x, /):
    """Values, where each occurs first, which each element has, and counts."""
    return _All(*_unique(x))


def unique_counts(x, /):
    """Values and counts."""
    values, _, _, counts = _unique(x)
    return _Counts(values, counts)


def unique_inverse(x, /):
    """Values, and which each element has."""
    values, _, inverse, _ = _unique(x)
    return _Inverse(values, inverse)


def unique_values(x, /):
    """Values."""
    return _unique(x)[0]


# Reductions


def _over(f, x, axis, keepdims):
    dims = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    if not dims:
        # No dimension: each element is what is left of itself.
        return f(x.unsqueeze(0), (0,), False)
    return f(x, dims, keepdims)


def _sum_dtype(x, dtype):
    if dtype is not None:
        return dtype
    if isdtype(x.dtype, "unsigned integer"):
        return _UNSIGNED[-1] if _UNSIGNED else int64
    return int64 if isdtype(x.dtype, ("signed integer", "bool")) else x.dtype


def sum(x, /, *, axis=None, dtype=None, keepdims=False):
    """The sum."""
    return _over(lambda a, d, k: _t.sum(a, d, k, dtype=_sum_dtype(x, dtype)), x, axis, keepdims)


def prod(x, /, *, axis=None, dtype=None, keepdims=False):
    """The product."""

    def product(a, dims, keep):
        a = a.to(_sum_dtype(x, dtype))
        for d in sorted((d % a.ndim for d in dims), reverse=True):
            a = _t.prod(a, d, keep)
        return a

    return _over(product, x, axis, keepdims)


def max(x, /, *, axis=None, keepdims=False):
    """The greatest."""
    return _over(_t.amax, x, axis, keepdims)


def min(x, /, *, axis=None, keepdims=False):
    """The least."""
    return _over(_t.amin, x, axis, keepdims)


def mean(x, /, *, axis=None, keepdims=False):
    """The mean."""
    return _over(_t.mean, x, axis, keepdims)


def var(x, /, *, axis=None, correction=0.0, keepdims=False):
    """The variance: squares of distances from the mean over n - correction."""

    def variance(a, dims, keep):
        n = 1
        for d in dims:
            n *= a.shape[d]
        square = _t.sum((a - _t.mean(a, dims, True)) ** 2, dims, keep)
        return square / builtins.max(n - correction, 0)

    return _over(variance, x, axis, keepdims)


def std(x, /, *, axis=None, correction=0.0, keepdims=False):
    """The square root of the variance."""
    return _t.sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


def all(x, /, *, axis=None, keepdims=False):
    """Whether all are true."""
    return _over(lambda a, d, k: _t.all(a != 0, d, k), x, axis, keepdims)


def any(x, /, *, axis=None, keepdims=False):
    """Whether one is true."""
    return _over(lambda a, d, k: _t.any(a != 0, d, k), x, axis, keepdims)


def _cumulative(f, first, x, axis, dtype, include_initial):
    if axis is None:
        if x.ndim > 1:
            raise ValueError(f"axis must be given for a tensor of {x.ndim} dimensions")
        axis = 0
    x = x.unsqueeze(0) if x.ndim == 0 else x
    made = f(x, axis, dtype=_sum_dtype(x, dtype))
    if include_initial:
        shape = list(made.shape)
        shape[axis] = 1
        made = _t.cat([_t.full(shape, first, dtype=made.dtype, device=made.device), made], axis)
    return made


def cumulative_sum(x, /, *, axis=None, dtype=None, include_initial=False):
    """Sums of the elements so far."""
    return _cumulative(_t.cumsum, 0, x, axis, dtype, include_initial)


def cumulative_prod(x, /, *, axis=None, dtype=None, include_initial=False):
    """Products of the elements so far."""
    return _cumulative(_t.cumprod, 1, x, axis, dtype, include_initial)


def diff(x, /, *, axis=-1, n=1, prepend=None, append=None):
    """Differences of neighbours, n times."""
    return _t.diff(x, n=n, dim=axis, prepend=prepend, append=append)


# Products


def matmul(x1, x2, /):
    """The product of matrices."""
    return _t.matmul(*_promoted(x1, x2))


def matrix_transpose(x, /):
    """Rows as columns."""
    if x.ndim < 2:
        raise ValueError(f"matrix_transpose: expected 2 dimensions or more, got {x.ndim}")
    return _t.transpose(x, -2, -1)


def tensordot(x1, x2, /, *, axes=2):
    """Sums of products over dimensions of both."""
    x1, x2 = _promoted(x1, x2)
    return _t.tensordot(x1, x2, dims=axes if isinstance(axes, int) else (list(axes[0]), list(axes[1])))


def vecdot(x1, x2, /, *, axis=-1):
    """Sums of products along one dimension, of complex numbers with the conjugate of x1."""
    if not -builtins.min(x1.ndim, x2.ndim) <= axis < 0:
        raise ValueError(f"vecdot: expected a negative axis that both have, got {axis}")
    if x1.shape[axis] != x2.shape[axis]:
        raise ValueError(f"vecdot: expected the same size along axis {axis}, got {x1.shape[axis]} and {x2.shape[axis]}")
    x1, x2 = _promoted(x1, x2)
    x1, x2 = _t.broadcast_tensors(x1.moveaxis(axis, -1), x2.moveaxis(axis, -1))
    return _t.sum(conj(x1) * x2, -1, dtype=x1.dtype)


# What is there


class __array_namespace_info__:
    """What the library can do and has."""

    def capabilities(self):
        """What is not the same for all libraries."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self):
        """The device of tensors for which none is given."""
        return _t.get_default_device()

    def devices(self):
        """All devices."""
        found = [_t.get_default_device()]
        for d in [_t.device("cpu"), *(_t.device("cuda", i) for i in range(_t.cuda.device_count()))]:
            if d not in found:
                found.append(d)
        return found

    def default_dtypes(self, *, device=None):
        """The dtypes for which none is given."""
        real = _t.get_default_dtype()
        return {
            "real floating": real,
            "complex floating": complex128 if real == float64 else complex64,
            "integral": int64,
            "indexing": int64,
        }

    def dtypes(self, *, device=None, kind=None):
        """All dtypes, or those of a kind."""
        names = "bool int8 int16 int32 int64 uint8 float32 float64 complex64 complex128".split()
        names += [d.name for d in _UNSIGNED]
        return {n: globals()[n] for n in names if kind is None or isdtype(globals()[n], kind)}


def _linalg_space():
    space = SimpleNamespace(
        matmul=matmul, matrix_transpose=matrix_transpose, tensordot=tensordot, vecdot=vecdot, __name__="linalg"
    )

    def put(f):
        setattr(space, f.__name__, f)

    @put
    def cholesky(x, /, *, upper=False):
        """The Cholesky factor."""
        return _linalg.cholesky(x, upper=upper)

    @put
    def cross(x1, x2, /, *, axis=-1):
        """The cross product."""
        if not -builtins.min(x1.ndim, x2.ndim) <= axis < 0:
            raise ValueError(f"cross: expected a negative axis that both have, got {axis}")
        x1, x2 = _promoted(x1, x2)
        if x1.shape[axis] != 3 or x2.shape[axis] != 3:
            raise ValueError(f"cross: expected 3 elements along axis {axis}, got {x1.shape[axis]} and {x2.shape[axis]}")
        x1, x2 = _t.broadcast_tensors(x1, x2)
        return _linalg.cross(x1, x2, dim=axis)

    @put
    def det(x, /):
        """The determinant."""
        return _linalg.det(x)

    @put
    def diagonal(x, /, *, offset=0):
        """The diagonals of matrices."""
        return _t.diagonal(x, offset, -2, -1)

    @put
    def eigh(x, /):
        """Eigenvalues and eigenvectors of symmetric matrices."""
        return namedtuple("eigh_result", "eigenvalues eigenvectors")(*_linalg.eigh(x))

    @put
    def eigvalsh(x, /):
        """Eigenvalues of symmetric matrices."""
        return _linalg.eigvalsh(x)

    @put
    def inv(x, /):
        """The inverse."""
        return _linalg.inv(x)

    @put
    def matrix_norm(x, /, *, keepdims=False, ord="fro"):
        """Norms of matrices."""
        return _linalg.matrix_norm(x, ord=ord, keepdim=keepdims)

    @put
    def matrix_power(x, n, /):
        """x times x and so on."""
        return _linalg.matrix_power(x, n)

    @put
    def matrix_rank(x, /, *, rtol=None):
        """Ranks of matrices."""
        return _linalg.matrix_rank(x, rtol=rtol)

    @put
    def outer(x1, x2, /):
        """All products of two vectors' elements."""
        if x1.ndim != 1 or x2.ndim != 1:
            raise ValueError(f"outer: expected vectors, got {x1.ndim} and {x2.ndim} dimensions")
        x1, x2 = _promoted(x1, x2)
        return x1.unsqueeze(-1) * x2

    @put
    def pinv(x, /, *, rtol=None):
        """The pseudoinverse."""
        return _linalg.pinv(x, rtol=rtol)

    @put
    def qr(x, /, *, mode="reduced"):
        """Q and R."""
        return namedtuple("qr_result", "Q R")(*_linalg.qr(x, mode=mode))

    @put
    def slogdet(x, /):
        """Sign and logarithm of the determinant."""
        return namedtuple("slogdet_result", "sign logabsdet")(*_linalg.slogdet(x))

    @put
    def solve(x1, x2, /):
        """Solutions of x1 y = x2: a vector where x2 has one dimension, else matrices."""
        x1, x2 = _promoted(x1, x2)
        if x2.ndim == 1:
            return _linalg.solve(x1, x2.expand(*x1.shape[:-1]).unsqueeze(-1)).squeeze(-1)
        lead = _t.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
        return _linalg.solve(x1.expand(*lead, *x1.shape[-2:]), x2.expand(*lead, *x2.shape[-2:]))

    @put
    def svd(x, /, *, full_matrices=True):
        """U, singular values and the conjugate transpose of V."""
        return namedtuple("svd_result", "U S Vh")(*_linalg.svd(x, full_matrices=full_matrices))

    @put
    def svdvals(x, /):
        """Singular values."""
        return _linalg.svdvals(x)

    @put
    def trace(x, /, *, offset=0, dtype=None):
        """Sums of diagonals."""
        return sum(_t.diagonal(x, offset, -2, -1), axis=-1, dtype=dtype)

    @put
    def vector_norm(x, /, *, axis=None, keepdims=False, ord=2):
        """Norms of vectors."""
        if isinstance(axis, tuple) and not axis:
            return _t.abs(x) if ord != 0 else (x != 0).to(_t.abs(x).dtype)
        return _linalg.vector_norm(x, ord=ord, dim=axis, keepdim=keepdims)

    return space


def _fft_space():
    from . import fft

    space = SimpleNamespace(__name__="fft")

    def of_axis(name):
        f = getattr(fft, name)

        def function(x, /, *, n=None, axis=-1, norm="backward"):
            return f(x, n=n, dim=axis, norm=norm)

        return function

    def of_axes(name):
        f = getattr(fft, name)

        def function(x, /, *, s=None, axes=None, norm="backward"):
            return f(x, s=s, dim=axes, norm=norm)

        return function

    for name in "fft ifft rfft irfft hfft ihfft".split():
        setattr(space, name, of_axis(name))
    for name in "fftn ifftn rfftn irfftn".split():
        setattr(space, name, of_axes(name))

    def frequencies(name):
        f = getattr(fft, name)

        def function(n, /, *, d=1.0, dtype=None, device=None):
            return f(n, d, dtype=dtype, device=device)

        return function

    def shifts(name):
        f = getattr(fft, name)

        def function(x, /, *, axes=None):
            return f(x, dim=axes)

        return function

    for name in "fftfreq rfftfreq".split():
        setattr(space, name, frequencies(name))
    for name in "fftshift ifftshift".split():
        setattr(space, name, shifts(name))
    for name, f in vars(space).items():
        if callable(f):
            f.__name__ = f.__qualname__ = name
            f.__doc__ = f"`taper.fft.{name}` with the standard's arguments."
    return space


linalg = _linalg_space()


def __getattr__(name):
    # Loaded when first asked for.
    if name == "fft":
        from importlib.util import find_spec

        if find_spec("taper.fft") is not None:
            made = globals()["fft"] = _fft_space()
            return made
    raise AttributeError(f"module 'taper.array_api' has no attribute '{name}'")
