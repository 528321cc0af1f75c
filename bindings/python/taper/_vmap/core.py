"""Batched tensors and the transform itself.

A BatchedTensor is seen by a function as one sample and holds the whole batch, the batch's dimension first. Ops reach it
through `__torch_function__`: a rule (`rules.py`) does the op for all samples at once; where there is none it is done for one
sample after the other, which gives the same numbers.
"""

import functools
from _thread import _local

from .. import _ops as g
from .. import _subclass
from .._dtype import Size
from .._subclass import activate
from .._tensor import Tensor
from . import tree

_new = object.__new__


class NoRule(RuntimeError):
    """What would have touched a batch's memory as if it were one tensor."""


class _Level:
    """One vmap that runs: how many samples it has, and what random ops do in it."""

    __slots__ = ("number", "size", "randomness")

    def __init__(self, number, size, randomness):
        self.number, self.size, self.randomness = number, size, randomness


class _State(_local):
    levels = ()


_state = _State()


def active():
    """The vmaps that run on this thread, outermost first."""
    return _state.levels


class BatchedTensor(Tensor):
    """One sample, to the function; the batch of them, to the ops."""

    def __new__(cls, value, level):
        t = _new(cls)
        t._value, t._level = value, level
        return t

    def __init__(self, value, level):
        pass

    def __del__(self):
        pass

    @property
    def _h(self):
        raise NoRule(
            "vmap: this operation reads a tensor's memory, which a function under vmap cannot: it runs for many samples at once"
        )

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        from .rules import dispatch

        return dispatch(func, args, kwargs or {})

    shape = property(lambda self: Size(self._value.shape[1:]))

    def size(self, dim=None):
        return self.shape if dim is None else self.shape[_checked(dim, self.ndim)]

    def stride(self, dim=None):
        strides = self._value.stride()[1:]
        return strides if dim is None else strides[_checked(dim, self.ndim)]

    ndim = property(lambda self: self._value.ndim - 1)

    def dim(self):
        return self._value.ndim - 1

    ndimension = dim

    def numel(self):
        return self.shape.numel()

    nelement = numel
    dtype = property(lambda self: self._value.dtype)
    device = property(lambda self: self._value.device)

    def get_device(self):
        return self._value.get_device()

    def storage_offset(self):
        return 0

    def is_contiguous(self, memory_format=None):
        return self._value.is_contiguous()

    # Of autograd's attributes those of the whole batch are shown.
    requires_grad = property(
        lambda self: self._value.requires_grad, lambda self, value: self._value.requires_grad_(value)
    )

    def requires_grad_(self, requires_grad=True):
        self._value.requires_grad_(requires_grad)
        return self

    is_leaf = property(lambda self: self._value.is_leaf)
    grad_fn = property(lambda self: self._value.grad_fn)

    @property
    def grad(self):
        found = self._value.grad
        return None if found is None else BatchedTensor(found, self._level)

    @property
    def data(self):
        return BatchedTensor(self._value.data, self._level)

    _version = property(lambda self: self._value._version)

    def _refused(self, what):
        raise RuntimeError(
            f"vmap: It looks like you're calling {what} on a Tensor. We don't support vmap over calling {what} on a Tensor, "
            "please try to rewrite what you're doing with other operations. If error is occurring somewhere inside PyTorch "
            "internals, please file a bug report."
        )

    def item(self):
        self._refused(".item()")

    def data_ptr(self):
        raise RuntimeError("Cannot access data pointer of Tensor that doesn't have storage")

    def tolist(self):
        self.data_ptr()

    def numpy(self, *, force=False):
        self.data_ptr()

    def __array__(self, dtype=None, copy=None):
        self.data_ptr()

    def backward(self, *args, **kwargs):
        raise RuntimeError(
            "backward() called inside a functorch transform. This is not supported, please use functorch.grad or "
            "functorch.vjp instead or call backward() outside of functorch transforms."
        )

    def __bool__(self):
        raise RuntimeError(
            "vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow. We don't support that "
            "yet, please file an issue at https://github.com/pytorch/pytorch/issues ."
        )

    def _number(self):
        self._refused(".item()")

    __int__ = __float__ = __complex__ = __index__ = _number

    def __len__(self):
        if self.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __repr__(self, *, tensor_contents=None):
        inner = repr(self._value).replace("\n", "\n    ")
        return f"BatchedTensor(lvl={self._level.number}, bdim=0, value=\n    {inner}\n)"

    def __format__(self, spec):
        return repr(self)

    def __reduce_ex__(self, protocol):
        self._refused("pickle")

    def __deepcopy__(self, memo):
        return BatchedTensor(self._value.clone(), self._level)

    def __copy__(self):
        return BatchedTensor(self._value, self._level)

    T = property(lambda self: self.permute(tuple(range(self.ndim - 1, -1, -1))))


def _checked(dim, ndim):
    if not ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    if not -ndim <= dim < ndim:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-ndim}, {ndim - 1}], but got {dim})")
    return dim


def base_of(t):
    """The plain tensor that a tensor's values are in, and the vmaps of its first dimensions, outermost first."""
    levels = []
    while isinstance(t, BatchedTensor):
        levels.append(t._level)
        t = t._value
    return t, levels[::-1]


def wrapped_like(base, levels):
    """A plain tensor as what is seen inside these vmaps."""
    for level in levels:
        base = BatchedTensor(base, level)
    return base


def lifted(t):
    """A tensor's base with a dimension for each running vmap, and those vmaps: values of each sample's own, as
    gradients by each sample's own value are wanted."""
    base, have = base_of(t)
    levels = list(_state.levels)
    if len(have) < len(levels):
        shape = tuple(base.shape[len(have) :])
        for i, level in enumerate(levels):
            if level not in have:
                base = base.unsqueeze(i)
        base = base.expand((*[level.size for level in levels], *shape))
    return base, levels


# --- the transform ---------------------------------------------------------------------------------------------------


def _name(func):
    if isinstance(func, functools.partial):
        return f"functools.partial({_name(func.func)}, ...)"
    return getattr(func, "__name__", None) or repr(func)


def _in_dims(in_dims, args, func):
    """The leaves of the arguments, their dims, their spec and the batch's size."""
    name = _name(func)
    if not isinstance(in_dims, (int, tuple)):
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): expected `in_dims` to be int or a (potentially nested) tuple "
            f"matching the structure of inputs, got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over a function "
            "with no inputs. The latter is unsupported."
        )
    leaves, spec = tree.flatten(args)
    dims = tree.broadcast(in_dims, spec)
    if dims is None:
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): in_dims is not compatible with the structure of `inputs`. "
            f"in_dims has structure {tree.describe(tree.flatten(in_dims)[1])} but inputs has structure "
            f"{tree.describe(spec)}."
        )
    where = f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): "
    for i, (leaf, dim) in enumerate(zip(leaves, dims)):
        if dim is not None and not isinstance(dim, int):
            raise ValueError(
                f"{where}Got in_dim={dim} for an input but in_dim must be either an integer dimension or None."
            )
        if isinstance(dim, int) and not isinstance(leaf, Tensor):
            raise ValueError(
                f"{where}Got in_dim={dim} for an input but the input is of type {type(leaf)}. We cannot vmap over non-Tensor "
                "arguments, please use None as the respective in_dim"
            )
        if dim is not None:
            n = leaf.dim()
            if not -n <= dim < n:
                raise ValueError(
                    f"{where}Got in_dim={dim} for some input, but that input is a Tensor of dimensionality {n} so expected "
                    f"in_dim to satisfy -{n} <= in_dim < {n}."
                )
            dims[i] = dim % n
    sizes = [leaf.size(dim) for leaf, dim in zip(leaves, dims) if dim is not None]
    if not sizes:
        raise ValueError("vmap: at least one of the inputs must have a dimension to map over: every in_dim is None")
    if any(s != sizes[0] for s in sizes):
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the mapped "
            "dimension"
        )
    return leaves, dims, spec, sizes[0]


def _outputs(result, out_dims, level, func):
    """The function's results with the batch's dimension where out_dims says."""
    name = _name(func)
    if not isinstance(out_dims, (int, tuple, list, dict, type(None))):
        raise ValueError(
            f"vmap({name}, ..., out_dims={out_dims}): `out_dims` must be an int, None or a python collection of ints "
            "representing where in the outputs the vmapped dimension should appear."
        )
    leaves, spec = tree.flatten(result)
    dims = tree.broadcast(out_dims, spec)
    if dims is None and isinstance(out_dims, tuple) and spec is None and len(out_dims) == 1:
        dims = [out_dims[0]]
    if dims is None:
        raise ValueError(
            f"vmap({name}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with the structure of `outputs`. out_dims has "
            f"structure {tree.describe(tree.flatten(out_dims)[1])} but outputs has structure {tree.describe(spec)}."
        )
    made = []
    for leaf, dim in zip(leaves, dims):
        if not isinstance(leaf, Tensor):
            if dim is not None:
                raise ValueError(
                    f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(leaf)}. Did you mean to set "
                    "out_dims= to None for output?"
                )
            made.append(leaf)
            continue
        batched = isinstance(leaf, BatchedTensor) and leaf._level is level
        if dim is None:
            if batched:
                raise ValueError(f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None")
            made.append(leaf)
            continue
        value = leaf._value if batched else leaf.unsqueeze(0).expand((level.size, *leaf.shape))
        n = value.dim()
        if not -n <= dim < n:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
        made.append(value if dim % n == 0 else value.movedim(0, dim))
    return tree.unflatten(made, spec)


def _run(func, args, kwargs, in_dims, out_dims, randomness):
    leaves, dims, spec, size = _in_dims(in_dims, args, func)
    return _run_flat(func, leaves, dims, spec, size, kwargs, out_dims, randomness)


def _run_flat(func, leaves, dims, spec, size, kwargs, out_dims, randomness):
    before = _state.levels
    level = _Level(len(before) + 1, size, randomness)
    _state.levels = (*before, level)
    try:
        inputs = [
            leaf if dim is None else BatchedTensor(leaf if dim == 0 else leaf.movedim(dim, 0), level)
            for leaf, dim in zip(leaves, dims)
        ]
        result = func(*tree.unflatten(inputs, spec), **kwargs)
        return _outputs(result, out_dims, level, func)
    finally:
        _state.levels = before


def vmap(func, in_dims=0, out_dims=0, randomness="error", *, chunk_size=None):
    """A function that applies func to each sample of its arguments' dimension in_dims (None: the same for all) and puts
    the results side by side along out_dims. randomness says what random ops do: "error", the "same" numbers for all
    samples, or "different" ones. chunk_size samples are computed at once, None: all."""
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if not (chunk_size is None or chunk_size > 0):
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")
    activate()
    _subclass.mode = _random_mode

    @functools.wraps(func)
    def wrapped(*args, **kwargs):
        if chunk_size is None:
            return _run(func, args, kwargs, in_dims, out_dims, randomness)
        leaves, dims, spec, size = _in_dims(in_dims, args, func)
        parts = []
        for start in range(0, size, chunk_size) if size else (0,):
            n = min(chunk_size, size - start)
            chunk = [t if d is None else t.narrow(d, start, n) for t, d in zip(leaves, dims)]
            parts.append(_run_flat(func, chunk, dims, spec, n, kwargs, out_dims, randomness))
        flat = [tree.flatten(p) for p in parts]
        out = flat[0][1]
        where = tree.broadcast(out_dims, out) or [out_dims[0]]
        made = []
        for column, dim in zip(zip(*[leaves for leaves, _ in flat]), where):
            made.append(column[0] if dim is None else g.cat(list(column), dim))
        return tree.unflatten(made, out)

    return wrapped


def _random_mode(function, original, args, kwargs):
    """Asked for every op while a vmap runs: says what a random op does, NotImplemented for every other."""
    if not _state.levels:
        return NotImplemented
    from .randomness import RANDOM, random
    from .rules import COMPOSED

    # What is composed in Python of ops reaches this by those.
    if function.__name__ not in RANDOM or function.__module__ in COMPOSED:
        return NotImplemented
    return random(function, original, args, kwargs)
