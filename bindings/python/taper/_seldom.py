"""Functions and methods that programs use seldom: other names of ops, what real numbers make trivial, settings, and control
flow as functions."""

import warnings

from . import _ops as g
from ._glue import copy_out, return_type
from ._tensor import Tensor

FUNCTIONS, METHODS = {}, {}


def _function(f):
    FUNCTIONS[f.__name__] = f
    return f


def _method(f):
    METHODS[f.__name__] = f
    return f


def _both(f):
    return _method(_function(f))


# --- what holds of every tensor ----------------------------------------------------------------------------------------------------


def _itself(name):
    def f(input):
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
        return input

    f.__name__ = f.__qualname__ = name
    f.__doc__ = "The tensor itself: no view of it is conjugated or negated later."
    return f


for _name in ("resolve_conj", "resolve_neg"):
    FUNCTIONS[_name] = METHODS[_name] = _itself(_name)


def _never(name):
    def f(input):
        return False

    f.__name__ = f.__qualname__ = name
    f.__doc__ = "Whether this holds of the tensor: it never does."
    return f


for _name in ("is_conj", "is_neg", "is_distributed", "is_inference"):
    FUNCTIONS[_name] = _never(_name)
METHODS["is_distributed"] = FUNCTIONS["is_distributed"]  # the class has the others


@_function
def is_signed(input):
    """Whether the dtype has negative numbers."""
    return input.is_signed()


@_function
def get_device(input):
    """The index of the tensor's device, -1 for the CPU."""
    return input.get_device()


# --- views that are copies, and views under other names ----------------------------------------------------------------


def _copied(name):
    def f(*args, out=None, **keywords):
        keywords.pop("implicit", None)
        made = getattr(Tensor, name)(*_input_first(args, keywords), **keywords)
        if isinstance(made, tuple):
            made = tuple(t.clone() for t in made)
        else:
            made = made.clone()
        return made if out is None else copy_out(made, out, name + "_copy")

    f.__name__ = f.__qualname__ = name + "_copy"
    f.__doc__ = f"`{name}` into memory of its own."
    return f


def _input_first(args, keywords):
    return args if args else (keywords.pop("input" if "input" in keywords else "self"),)


for _name in (
    "alias as_strided detach diagonal expand permute select slice split split_with_sizes squeeze t transpose unbind unfold "
    "unsqueeze view"
).split():
    FUNCTIONS[_name + "_copy"] = _copied(_name)


@_both
def unsafe_chunk(input, chunks, dim=0):
    """chunk, whose results may be written to."""
    return g.chunk(input, chunks, dim)


@_both
def unsafe_split(tensor, split_size, dim=0):
    """split, whose results may be written to."""
    return g.split(tensor, split_size, dim)


@_both
def unsafe_split_with_sizes(input, split_sizes, dim=0):
    """split_with_sizes, whose results may be written to."""
    return g.split_with_sizes(input, split_sizes, dim)


@_both
def slice_inverse(input, src, dim=0, start=None, end=None, step=1):
    """src's memory with input's sizes, strides and offset."""
    return g.as_strided(src, input.shape, input.stride(), input.storage_offset())


@_function
def resize_as_(input, the_template, *, memory_format=None):
    """Changes the shape in place to that of the_template."""
    return input.resize_as_(the_template)


@_method
def resize(self, *sizes):
    """The elements in another shape."""
    warnings.warn("non-inplace resize is deprecated", stacklevel=2)
    return self.reshape(*sizes)


@_method
def resize_as(self, tensor):
    """The elements in the shape of another tensor."""
    warnings.warn("non-inplace resize_as is deprecated", stacklevel=2)
    return self.reshape(tensor.shape)


@_method
def new_empty_strided(
    self, size, stride, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False
):
    """`taper.empty_strided` with this tensor's dtype and device."""
    return g.empty_strided(
        size, stride, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad
    )


@_method
def is_set_to(self, tensor):
    """Whether both are the same elements of the same memory."""
    return (
        self.untyped_storage()._cdata == tensor.untyped_storage()._cdata
        and self.storage_offset() == tensor.storage_offset()
        and self.shape == tensor.shape
        and self.stride() == tensor.stride()
    )


@_method
def dim_order(self, *, ambiguity_check=False):
    """The dimensions from the one with the largest stride to that with the smallest."""
    return tuple(sorted(range(self.ndim), key=lambda d: -self.stride(d)))


@_method
def const_data_ptr(self):
    """The address of the first element, for reading."""
    return self.data_ptr()


@_method
def to_dense(self, dtype=None, *, masked_grad=None):
    """The tensor itself, which is dense."""
    return self if dtype is None else self.to(dtype)


@_method
def dense_dim(self):
    """How many dimensions are dense: all."""
    return self.ndim


@_method
def sparse_dim(self):
    """How many dimensions are sparse: none."""
    return 0


def _of_sparse(name, what):
    def method(self):
        raise RuntimeError(f"{name} expected sparse {what}tensor layout but got Strided")

    method.__name__ = method.__qualname__ = name
    method.__doc__ = "An error, as of every dense tensor."
    return method


for _name in ("indices", "is_coalesced"):
    METHODS[_name] = _of_sparse(_name, "coordinate ")
METHODS["values"] = _of_sparse("values", "")


@_method
def map2_(self, x, y, callable):
    """Writes callable(a, b, c) of each three elements, in place (CPU only)."""
    from ._creation import _from_data

    columns = [t.expand_as(self).flatten().tolist() for t in (self, x, y)]
    self.copy_(_from_data([callable(*row) for row in zip(*columns)], self.dtype, None).view(self.shape))
    return self


# --- ops whose arguments need Python -------------------------------------------------------------------------------------


@_function
def histogramdd(input, bins, *, range=None, weight=None, density=False, out=None):  # noqa: A002  (PyTorch's name)
    """How many points (rows of coordinates) fall into each box, and the boxes' edges along each coordinate."""
    if input.ndim < 2:
        raise RuntimeError("torch.histogramdd: input tensor should have at least 2 dimensions")
    n = input.shape[-1]
    if isinstance(bins, int):
        bins = [bins] * n
    if len(bins) != n:
        raise RuntimeError("histogramdd: The size of bins must be equal to the innermost dimension of the input.")
    points = input.detach().reshape(-1, n)
    weights = None if weight is None else weight.reshape(-1)
    edges = []
    for d, b in enumerate(bins):
        if isinstance(b, Tensor):
            edges.append(b)
            continue
        if range is not None:
            low, high = range[2 * d], range[2 * d + 1]
        elif len(points):
            low, high = points[:, d].min().item(), points[:, d].max().item()
        else:
            low, high = 0.0, 1.0
        if low == high:
            low, high = low - 0.5, high + 0.5
        edges.append(g.linspace(low, high, b + 1, dtype=input.dtype, device=input.device))
    place, inside = None, None
    for d, e in enumerate(edges):
        x = points[:, d].contiguous()
        count = len(e) - 1
        i = g.clamp(g.searchsorted(e, x, right=True) - 1, max=count - 1)
        fits = (x >= e[0]) & (x <= e[-1])
        place = i if place is None else place * count + i
        inside = fits if inside is None else inside & fits
    shape = [len(e) - 1 for e in edges]
    total = 1
    for s in shape:
        total *= s
    kept = place[inside]
    values = g.ones(kept.shape, dtype=input.dtype, device=input.device) if weights is None else weights[inside]
    hist = g.zeros((total,), dtype=input.dtype, device=input.device).index_add(0, kept, values.to(input.dtype))
    hist = hist.reshape(shape)
    if density:
        hist = hist / hist.sum()
        for d, e in enumerate(edges):
            hist = hist / (e[1:] - e[:-1]).reshape([-1 if k == d else 1 for k in builtins_range(n)])
    if out is not None:
        hist = copy_out(hist, out[0])
    return return_type("histogramdd", ("hist", "bin_edges"))((hist, tuple(edges)))


builtins_range = range


@_function
def unravel_index(indices, shape):
    """The coordinates in a shape of places in its elements' order, one tensor for each dimension."""
    if not isinstance(shape, int) and not hasattr(shape, "__len__"):
        raise TypeError(f"expected 'shape' to be int or sequence of ints, but got {type(shape)}")
    if isinstance(shape, int):
        shape = (shape,)
    if any(n < 0 for n in shape):
        raise ValueError(f"'shape' cannot have negative values, but got {tuple(shape)}")
    return g.unravel_index(indices, shape)


@_function
def segment_reduce(data, reduce, *, lengths=None, indices=None, offsets=None, axis=0, unsafe=False, initial=None):
    """Segments of a dimension (of the given lengths, or between offsets) reduced: sum, mean, prod, max or min."""
    return g.segment_reduce(
        data, reduce, lengths=lengths, indices=indices, offsets=offsets, axis=axis, unchecked=unsafe, initial=initial
    )


def _grid_sampler(name, dims):
    def f(input, grid, interpolation_mode, padding_mode, align_corners):
        if input.ndim != dims + 2:
            raise RuntimeError(
                f"{name}(): expected {dims + 2}D input and grid with same number of dimensions, but got input with sizes "
                f"{list(input.shape)} and grid with sizes {list(grid.shape)}"
            )
        return g.grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = f"grid_sample of {dims} dimensions, with numbers in place of names."
    return f


for _dims in (2, 3):
    FUNCTIONS[f"grid_sampler_{_dims}d"] = _grid_sampler(f"grid_sampler_{_dims}d", _dims)


@_function
def affine_grid_generator(theta, size, align_corners):
    """`nn.functional.affine_grid`."""
    return g.affine_grid(theta, size, align_corners)


@_function
def native_channel_shuffle(input, groups):
    """`nn.functional.channel_shuffle`."""
    return g.channel_shuffle(input, groups)


@_method
def prelu(self, weight):
    """The elements where positive, else times weight."""
    return g.prelu(self, weight)


@_method
def hardshrink(self, lambd=0.5):
    """0 within [-lambd, lambd], else the elements."""
    return g.hardshrink(self, lambd)


# --- control flow ----------------------------------------------------------------------------------------------------


@_function
def cond(pred, true_fn, false_fn, operands=()):
    """true_fn(*operands) where pred holds, else false_fn(*operands)."""
    if isinstance(pred, (bool, int, float)):
        return (true_fn if pred else false_fn)(*operands)
    if not isinstance(pred, Tensor):
        raise RuntimeError(f"Expected pred to be bool or tensor, but got {pred}.")
    if pred.numel() != 1:
        raise RuntimeError(f"Expected pred to be bool or single-element tensor, but got {pred}.")
    if not callable(true_fn) or not callable(false_fn):
        raise RuntimeError("Expect both branches to be callable.")
    if not isinstance(operands, (tuple, list)):
        raise RuntimeError(
            "Expect operands to be a tuple of possibly nested dict/list/tuple that only consists of tensor leaves, but got "
            f"{operands}."
        )
    return (true_fn if pred else false_fn)(*operands)


@_function
def while_loop(cond_fn, body_fn, carried_inputs):
    """What body_fn makes of carried_inputs as long as cond_fn holds of them."""
    carried = tuple(carried_inputs)
    single = False
    while cond_fn(*carried):
        made = body_fn(*carried)
        single = not isinstance(made, (tuple, list))
        carried = (made,) if single else tuple(made)
        if len(carried) != len(carried_inputs):
            raise RuntimeError(
                f"body_fn should return the same number of elements as carried_inputs: {len(carried)} instead of "
                f"{len(carried_inputs)}"
            )
    return carried[0] if single else carried


# --- numbers that a tracer would stand in for ----------------------------------------------------------------------------


@_function
def sym_int(a):
    """The number as an int, cut towards zero."""
    return int(a)


@_function
def sym_float(a):
    """The number as a float."""
    return float(a)


@_function
def sym_not(a):
    """Not a."""
    return not a


@_function
def sym_max(a, b):
    """The larger number; a float where one of both is one."""
    return float(max(a, b)) if isinstance(a, float) or isinstance(b, float) else max(a, b)


@_function
def sym_min(a, b):
    """The smaller number; a float where one of both is one."""
    return float(min(a, b)) if isinstance(a, float) or isinstance(b, float) else min(a, b)


@_function
def sym_sum(args):
    """The sum of numbers."""
    return sum(args)


@_function
def sym_ite(b, t, f):
    """t where b holds, else f."""
    return t if b else f


@_function
def sym_sqrt(a):
    """The square root of a number."""
    return float(a) ** 0.5


# --- settings --------------------------------------------------------------------------------------------------------

_warn_always = False


@_function
def set_warn_always(b):
    """Accepted and remembered: warnings are Python's, whose filters say how often one is shown."""
    global _warn_always
    if not isinstance(b, bool):
        raise TypeError(f"setWarnOnlyOnce expects a bool, but got {type(b).__name__}")
    _warn_always = b


@_function
def is_warn_always_enabled():
    """What set_warn_always was given."""
    return _warn_always


@_function
def set_deterministic_debug_mode(debug_mode):
    """0 or "default", 1 or "warn", 2 or "error"; see use_deterministic_algorithms."""
    from . import _settings

    if not isinstance(debug_mode, (int, str)):
        raise TypeError(f"debug_mode must be str or int, but got {type(debug_mode)}")
    names = ("default", "warn", "error")
    if isinstance(debug_mode, str):
        if debug_mode not in names:
            raise RuntimeError(
                f"invalid value of debug_mode, expected one of `default`, `warn`, `error`, but got {debug_mode}"
            )
        debug_mode = names.index(debug_mode)
    if debug_mode not in (0, 1, 2):
        raise RuntimeError(f"invalid value of debug_mode, expected 0, 1, or 2, but got {debug_mode}")
    _settings.use_deterministic_algorithms(debug_mode > 0, warn_only=debug_mode == 1)


@_function
def get_deterministic_debug_mode():
    """0 where nothing was asked for, 1 where a warning would do, 2 where an error was asked for."""
    from . import _settings

    if not _settings.are_deterministic_algorithms_enabled():
        return 0
    return 1 if _settings.is_deterministic_algorithms_warn_only_enabled() else 2


@_function
def is_vulkan_available():
    """Whether there is a Vulkan device: never."""
    return False


@_function
def compiled_with_cxx11_abi():
    """Always so."""
    return True


@_function
def init_num_threads():
    """Nothing is left to do: threads start when they are needed."""


# --- methods that PyTorch took away ----------------------------------------------------------------------------------------


def _gone(name):
    def method(self, *args, **keywords):
        from . import _linalg

        return getattr(_linalg, name)(self, *args, **keywords)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = "An error: PyTorch has no such method any more."
    return method


for _name in ("cholesky", "eig", "lstsq", "qr", "solve", "symeig"):
    METHODS[_name] = _gone(_name)


@_method
def reinforce(self, reward):
    """An error: PyTorch has no such method any more."""
    raise RuntimeError(
        "reinforce() was removed.\nUse torch.distributions instead.\n"
        "See https://pytorch.org/docs/main/distributions.html\n\nInstead of:\n\nprobs = policy_network(state)\n"
        "action = probs.multinomial()\nnext_state, reward = env.step(action)\naction.reinforce(reward)\n"
        "action.backward()\n\nUse:\n\nprobs = policy_network(state)\n"
        "# NOTE: categorical is equivalent to what used to be called multinomial\n"
        "m = torch.distributions.Categorical(probs)\naction = m.sample()\nnext_state, reward = env.step(action)\n"
        "loss = -m.log_prob(action) * reward\nloss.backward()\n"
    )


globals().update({n: f for n, f in METHODS.items() if n not in globals()})
globals().update({n: f for n, f in FUNCTIONS.items() if n not in globals()})
