"""Functions whose forms of arguments need Python: hand-merged overloads, aliases and small compositions."""

import operator
import sys

from . import _c, _dtype
from . import _ops as g
from ._dtype import Size
from ._glue import M, copy_out
from ._tensor import Tensor


def arange(
    *args, start=M, end=M, step=M, out=None, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False
):
    """Numbers from start to end (exclusive) by step."""
    values = list(args)
    if len(values) > 3:
        raise TypeError(f"arange() takes at most 3 positional arguments ({len(values)} given)")
    if len(values) == 1 and end is M:
        end = values[0]
    else:
        names = iter(values)
        if start is M:
            start = next(names, M)
        if end is M:
            end = next(names, M)
        if step is M:
            step = next(names, M)
    if end is M:
        raise TypeError('arange() missing 1 required positional arguments: "end"')
    keywords = {"dtype": dtype, "device": device, "requires_grad": requires_grad, "out": out}
    if step is M:
        if start is M:
            return g.op_arange(end, **keywords)
        return g.op_arange_start(start, end, **keywords)
    return g.op_arange_start_step(0 if start is M else start, end, step, **keywords)


def range_(start, end=M, step=1, *, dtype=None, device=None, requires_grad=False, out=None, layout=None):
    """Numbers from start to end, the end included."""
    if end is M:
        start, end = 0, start
    dtype = dtype or _c.get_default_dtype()
    count = int((end - start) / step) + 1
    r = g.op_arange(count, dtype=dtype, device=device) * step + start
    return r.requires_grad_(True) if requires_grad else r


def _spread(name):
    whole, over, corrected = (getattr(g, f"op_{name}{s}") for s in ("", "_dim", "_correction"))

    def function(input, dim=M, unbiased=M, keepdim=False, *, correction=M, axis=M, keepdims=M, out=None):
        dim = axis if axis is not M else dim
        keepdim = keepdims if keepdims is not M else keepdim
        if isinstance(dim, bool):
            if unbiased is not M:
                dim, unbiased, keepdim = M, dim, unbiased
            else:
                dim, unbiased = M, dim
        if correction is not M:
            r = corrected(input, None if dim is M else dim, correction=correction, keepdim=keepdim)
        elif dim is M:
            r = whole(input, unbiased is M or unbiased) if not keepdim else over(input, None, True, keepdim)
        else:
            r = over(input, dim, unbiased is M or unbiased, keepdim)
        return r if out is None else copy_out(r, out, name)

    function.__name__ = name
    function.__doc__ = getattr(g, f"op_{name}").__doc__
    return function


var, std = _spread("var"), _spread("std")


def _spread_mean(name):
    generated = getattr(g, name)

    def function(input, dim=None, unbiased=M, keepdim=False, *, correction=M, axis=M):
        dim = axis if axis is not M else dim
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if correction is M:
            correction = 1 if unbiased is M or unbiased else 0
        return tuple(generated(input, dim, correction=correction, keepdim=keepdim))

    function.__name__ = name
    function.__doc__ = generated.__doc__
    return function


var_mean, std_mean = _spread_mean("var_mean"), _spread_mean("std_mean")


def norm(input, p="fro", dim=None, keepdim=False, out=None, dtype=None, *, axis=M, keepdims=M):
    """The p-norm over the dimensions dim, or of all elements."""
    dim = axis if axis is not M else dim
    keepdim = keepdims if keepdims is not M else keepdim
    if dtype is not None:
        input = input.to(dtype)
    if p is None or p == "fro":
        p = 2
    elif p == "nuc":
        from ._linalg import nuclear_norm

        r = nuclear_norm(input, dim, keepdim)
        return r if out is None else copy_out(r, out, "nuclear_norm")
    elif isinstance(p, str):
        raise RuntimeError(f"norm: p must be a number, 'fro' or 'nuc', got {p!r}")
    r = g.norm(input, p) if dim is None and not keepdim else g.norm(input, p, dim, keepdim)
    return r if out is None else copy_out(r, out)


def split(tensor, split_size_or_sections=M, dim=0, *, split_size=M, axis=M):
    """The tensor in pieces of a size, or of the given sizes, as views."""
    size = split_size if split_size is not M else split_size_or_sections
    dim = axis if axis is not M else dim
    if isinstance(size, (list, tuple)):
        return g.split_with_sizes(tensor, size, dim)
    return g.split(tensor, size, dim)


def tensor_split(input, indices_or_sections=M, dim=0, *, indices=M, sections=M):
    """The tensor in sections of nearly equal size, or cut at the given indices."""
    cuts = next((v for v in (indices_or_sections, sections, indices) if v is not M), M)
    if isinstance(cuts, Tensor):
        cuts = cuts.tolist()
    return g.tensor_split(input, cuts, dim)


def einsum(*args):
    """Sums of products of the operands' elements: `einsum(equation, *operands)`, or each operand followed by the list of
    its dimensions' numbers, and at last the result's."""
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one operand and its subscripts "
            "list"
        )
    equation, *operands = args
    if isinstance(equation, Tensor):
        equation, operands = _sublists((equation, *operands))
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = operands[0]
    return g.einsum(equation, list(operands))


def _sublists(parts):
    """The equation of operands that are each followed by the numbers of their dimensions, and those of the result."""

    def letters(numbers):
        text = ""
        for n in numbers:
            if n is Ellipsis:
                text += "..."
                continue
            n = operator.index(n)
            if not 0 <= n < 52:
                raise ValueError("einsum(): subscript in subscript list is not within the valid range [0, 52)")
            text += chr(65 + n) if n < 26 else chr(97 + n - 26)
        return text

    result = None
    if len(parts) % 2 == 1:
        *parts, result = parts
    equation = ",".join(letters(numbers) for numbers in parts[1::2])
    if result is not None:
        equation += "->" + letters(result)
    return equation, tuple(parts[::2])


def gradient(input, *, spacing=M, dim=None, edge_order=1):
    """Slopes of samples along dimensions; spacing is a distance, one for each, or tensors of places."""
    if isinstance(dim, int):
        dim = (dim,)
    if spacing is M or spacing is None or isinstance(spacing, (int, float)):
        return tuple(g.gradient(input, None if spacing is M else spacing, dim, edge_order))
    spacing = [
        s if isinstance(s, Tensor) else g.full((), s, dtype=_dtype.float64, device=input.device) for s in spacing
    ]
    return tuple(g.gradient(input, spacing, dim, edge_order))


def histogram(input, bins=100, *, range=None, weight=None, density=False, out=None):  # noqa: A002  (PyTorch's name)
    """How many elements fall into each bin, and the bins' edges."""
    if isinstance(bins, Tensor):
        r = g.histogram(input, bins, weight=weight, density=density)
    else:
        low, high = (None, None) if range is None else range
        r = g.histogram(input, bins, min=low, max=high, weight=weight, density=density)
    return r if out is None else copy_out(r, out)


def repeat_interleave(input, repeats=M, dim=None, *, output_size=None, axis=M):
    """Each element repeated; of one tensor of counts, each place as often as its count says."""
    if repeats is M:
        places = g.op_arange(input.numel(), dtype=_dtype.int64, device=input.device)
        return repeat_interleave(places, input, output_size=output_size)
    dim = axis if axis is not M else dim
    if isinstance(repeats, (list, tuple)):
        from ._creation import tensor

        repeats = tensor(repeats, device=input.device)
    r = g.repeat_interleave(input, repeats, dim)
    if output_size is not None:
        size = r.shape[0 if dim is None else dim]
        if size != output_size:
            raise RuntimeError(f"allocated size does not match required size: output_size is {output_size}, not {size}")
    return r


def _split(name):
    sections, array = (getattr(g, f"op_{name}_{s}") for s in ("int", "array"))

    def function(input, indices_or_sections=M, *, indices=M, **named):
        at = next((v for v in (indices_or_sections, indices, named.get("sections", M)) if v is not M), M)
        if not isinstance(at, (int, tuple, list, range)) and not hasattr(type(at), "__index__") or isinstance(at, bool):
            argument = f"Tensor, {type(at).__name__}" if at is not M else "Tensor"
            raise TypeError(
                f"{name}() received an invalid combination of arguments - got ({argument}), but expected one of:\n"
                " * (Tensor input, int sections)\n * (Tensor input, tuple of ints indices)\n"
            )
        return sections(input, at) if isinstance(at, int) else array(input, at)

    function.__name__ = name
    function.__doc__ = "The tensor cut into equal sections, or before each of the indices, as views."
    return function


hsplit, vsplit, dsplit = _split("hsplit"), _split("vsplit"), _split("dsplit")


def polygamma(n, input, *, out=None):
    """The n-th derivative of digamma; as a method, of the tensor it is called on."""
    if isinstance(n, Tensor):
        n, input = input, n
    return g.polygamma(n, input) if out is None else g.polygamma(n, input, out=out)


def polygamma_(input, n):
    """The n-th derivative of digamma, in place."""
    old = input.clone() if input.requires_grad and _c.grad_mode_enabled() else input
    return input.copy_(g.polygamma(n, old))


def meshgrid(*tensors, indexing=None):
    """Grids of coordinates made of vectors."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tensors[0]
    return g.meshgrid(list(tensors), indexing=indexing)


def broadcast_tensors(*tensors):
    """The tensors expanded to their common shape."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tensors[0]
    return g.broadcast_tensors(list(tensors))


def broadcast_shapes(*shapes):
    """The common shape of broadcasting."""
    shapes = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    result = [1] * max(map(len, shapes), default=0)
    for shape in shapes:
        for i, n in enumerate(reversed(shape), 1):
            if n != 1 and result[-i] not in (1, n):
                raise RuntimeError("Shape mismatch: objects cannot be broadcast to a single shape")
            if n != 1:
                result[-i] = n
    return Size(result)


def where(condition, input=M, other=M, *, out=None):
    """Elements of input where condition holds, else of other; with a condition alone, its indices."""
    if input is M and other is M:
        return g.nonzero_numpy(condition)
    r = g.where(condition, input, other)
    return r if out is None else copy_out(r, out)


def nonzero(input, *, as_tuple=False, out=None):
    """Indices of the elements that are not zero, as rows or as one tensor per dimension."""
    if as_tuple:
        return g.nonzero_numpy(input)
    r = g.nonzero(input)
    return r if out is None else copy_out(r, out)


def transpose(input, dim0=M, dim1=M, *, axis0=M, axis1=M):
    """A view with two dimensions swapped."""
    return g.transpose(input, dim0 if axis0 is M else axis0, dim1 if axis1 is M else axis1)


def movedim(input, source, destination):
    """A view with dimensions moved to other places."""
    return g.movedim(
        input,
        (source,) if isinstance(source, int) else source,
        (destination,) if isinstance(destination, int) else destination,
    )


def is_tensor(obj):
    """Whether obj is a tensor."""
    return isinstance(obj, Tensor)


def numel(input):
    """The number of elements."""
    return input.numel()


def is_floating_point(input):
    """Whether the tensor's dtype is a float type."""
    return input.dtype.is_floating_point


def is_complex(input):
    """Whether the tensor's dtype is a complex type."""
    return input.dtype.is_complex


def is_nonzero(input):
    """Whether a tensor of one element is not zero."""
    return bool(input)


def is_same_size(input, other):
    return input.shape == other.shape


def result_type(a, b):
    """The dtype of an operation on a and b."""
    one = [g.empty((1,) * v.ndim, dtype=v.dtype) if isinstance(v, Tensor) else v for v in (a, b)]
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        from ._creation import _from_data

        one[0] = _from_data(one[0], None, None)
    x, y = one
    r = x * y if isinstance(x, Tensor) else y * x
    return r.dtype


def promote_types(type1, type2):
    """The smallest dtype that holds both."""
    return g.add(g.empty((1,), dtype=type1), g.empty((1,), dtype=type2)).dtype


def can_cast(from_, to):
    """Whether values may be cast from one dtype to another by PyTorch's rules."""

    def kind(d):
        return 3 if d.is_complex else 2 if d.is_floating_point else 0 if d is _dtype.bool else 1

    return kind(from_) <= kind(to)


def _picked(results, return_inverse, return_counts):
    values, inverse, counts = results
    picked = (values, *((inverse,) if return_inverse else ()), *((counts,) if return_counts else ()))
    return values if len(picked) == 1 else picked


def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """The distinct elements (or slices along dim) in order, with the inverse and the counts where asked for."""
    if dim is None:
        r = g.unique(input, sorted, return_inverse, return_counts)
    else:
        r = g.unique_dim(input, dim, sorted, return_inverse, return_counts)
    return _picked(r, return_inverse, return_counts)


def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None):
    """The elements (or slices along dim) without repetitions of neighbours."""
    return _picked(g.unique_consecutive(input, return_inverse, return_counts, dim), return_inverse, return_counts)


def atleast_1d(*tensors):
    """The tensors with at least 1 dimension."""
    return _at_least(g.atleast_1d, tensors)


def atleast_2d(*tensors):
    """The tensors with at least 2 dimensions."""
    return _at_least(g.atleast_2d, tensors)


def atleast_3d(*tensors):
    """The tensors with at least 3 dimensions."""
    return _at_least(g.atleast_3d, tensors)


def _at_least(function, tensors):
    if len(tensors) == 1:
        if not isinstance(tensors[0], (list, tuple)):
            return function(tensors[0])
        (tensors,) = tensors
    return tuple([function(t) for t in tensors])


def scalar_tensor(s, *, dtype=None, device=None, requires_grad=False, layout=None):
    """A tensor without dimensions."""
    from ._creation import tensor

    return tensor(s, dtype=dtype or _c.get_default_dtype(), device=device, requires_grad=requires_grad)


def swapaxes(input, axis0, axis1):
    """A view with two dimensions swapped."""
    return g.transpose(input, axis0, axis1)


def block_diag(*tensors):
    """Matrices along the diagonal of a larger one."""
    return g.block_diag(tensors)


def cartesian_prod(*tensors):
    """All combinations of elements of vectors, as rows."""
    return g.cartesian_prod(tensors)


def chain_matmul(*matrices):
    """The product of matrices."""
    return g.chain_matmul(matrices)


def tensordot(a, b, dims=2, out=None):
    """The product summed over pairs of dimensions."""
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.ndim, b.ndim):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        first, second = range(a.ndim - dims, a.ndim), range(dims)
    else:
        if isinstance(dims, Tensor):
            dims = dims.tolist()
        first, second = dims
    first, second = ((d,) if isinstance(d, int) else tuple(d) for d in (first, second))
    return g.tensordot(a, b, first, second, out=out)


def cdist(x1, x2, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary"):
    """Distances between all pairs of rows."""
    modes = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")
    if compute_mode is not None and compute_mode not in modes:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    return g.cdist(x1, x2, p, 0 if compute_mode is None else modes.index(compute_mode))


def div(input, other, *, rounding_mode=None, out=None):
    """True division, or rounded ('trunc', 'floor')."""
    if rounding_mode is None:
        return g.div(input, other, out=out)
    return g.div(input, other, rounding_mode=rounding_mode, out=out)


def div_(input, other, *, rounding_mode=None):
    """Division in place."""
    if rounding_mode is None:
        return g.div_(input, other)
    result = g.div(input, other, rounding_mode=rounding_mode)
    if not can_cast(result.dtype, input.dtype):
        raise RuntimeError(
            f"result type {result.dtype.scalar_name} can't be cast to the desired output type {input.dtype.scalar_name}"
        )
    return input.copy_(_shaped_like(input, result))


def clamp_(input, min=None, max=None):
    """Limits the elements in place."""
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        like = [b if b is None or isinstance(b, Tensor) else input.new_tensor(b) for b in (min, max)]
        return g.clamp_(input, *like)
    return g.clamp_(input, min, max)


def xlogy(input, other, *, out=None):
    """input * log(other), 0 where input is 0; one of both may be a number."""
    if not isinstance(other, Tensor):
        if not isinstance(input, Tensor):
            raise TypeError(
                f"xlogy() received an invalid combination of arguments - got ({type(input).__name__}, "
                f"{type(other).__name__}), but expected one of:\n * (Tensor input, Tensor other, *, Tensor out = None)\n"
                " * (Number self, Tensor other, *, Tensor out = None)\n"
                " * (Tensor input, Number other, *, Tensor out = None)\n"
            )
        other = g.full((), other, dtype=result_type(input, other), device=input.device)
    elif not isinstance(input, Tensor):
        input = g.full((), input, dtype=result_type(input, other), device=other.device)
    return g.xlogy(input, other, out=out)


def lerp_(input, end, weight):
    """self += weight * (end - self)."""
    if isinstance(weight, Tensor):
        # The weight's derivative needs what input was.
        start = input.clone() if weight.requires_grad and _c.grad_mode_enabled() else input
        return input.copy_(_shaped_like(input, g.lerp(start, end, weight)))
    return g.lerp_(input, end, weight)


def round_(input, *, decimals=0):
    """Rounds in place, halves to even."""
    return g.round_(input) if decimals == 0 else input.copy_(g.round(input, decimals=decimals))


def squeeze_(input, dim=M, *, axis=M):
    """Removes dimensions of size 1 in place."""
    dim = axis if axis is not M else dim
    if not isinstance(dim, (tuple, list)):
        return g.squeeze_(input) if dim is M else g.squeeze_(input, dim)
    n = max(input.ndim, 1)
    for d in dim:
        if not -n <= d < n:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {d})")
    dims = sorted((d % n for d in dim), reverse=True)
    for d, following in zip(dims, dims[1:]):
        if d == following:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
    for d in dims:
        input = g.squeeze_(input, d)
    return input


def _shaped_like(input, result):
    """The result of an op in place must have the shape of what it is written to."""
    if result.shape != input.shape:
        raise RuntimeError(
            f"output with shape {list(input.shape)} doesn't match the broadcast shape {list(result.shape)}"
        )
    return result


def sort(input, dim=-1, descending=False, stable=False, *, out=None):
    """The elements in order along a dimension, and their indices."""
    return g.sort(input, dim, descending, out=out)


def argsort(input, dim=-1, descending=False, stable=False):
    """Indices that put the elements in order along a dimension."""
    return g.argsort(input, dim, descending)


def scatter(input, dim, index, src=M, *, value=M, reduce=None, out=None):
    """A copy of input with elements of src (or a number) at the index positions along dim."""
    what = value if src is M else src
    if reduce is None:
        return g.scatter(input, dim, index, what, out=out)
    return g.scatter(input, dim, index, what, reduce=reduce, out=out)


def scatter_(input, dim, index, src=M, *, value=M, reduce=None):
    """Writes elements of src (or a number) to the index positions along dim."""
    what = value if src is M else src
    if reduce is None:
        return g.scatter_(input, dim, index, what)
    return input.copy_(g.scatter(input, dim, index, what, reduce=reduce))


def _randint(name, like):
    zero, low_high = ("op_" + name + s for s in ("", "_low"))

    def function(
        *args,
        low=M,
        high=M,
        size=M,
        input=M,
        generator=None,
        dtype=None,
        device=None,
        requires_grad=False,
        out=None,
        **ignored,
    ):
        values = list(args)
        if like:
            input = values.pop(0) if input is M else input
        elif size is M and values and not isinstance(values[-1], int):
            size = values.pop()
        if high is M and low is M and len(values) == 1:
            high = values.pop()
        if low is M and values:
            low = values.pop(0)
        if high is M and values:
            high = values.pop(0)
        if high is M:
            high, low = low, M
        if values or high is M or not like and size is M:
            given = ", ".join(type(v).__name__ for v in args)
            raise TypeError(
                f"{name}() received an invalid combination of arguments - got ({given}), but expected one of:\n"
                f" * ({'Tensor input, ' if like else ''}int high{'' if like else ', tuple of ints size'}, ...)\n"
                f" * ({'Tensor input, ' if like else ''}int low, int high{'' if like else ', tuple of ints size'}, ...)\n"
            )
        where = (input,) if like else ()
        shape = () if like else (size,)
        keywords = {"dtype": dtype, "device": device, "requires_grad": requires_grad}
        if generator is not None:
            keywords["generator"] = generator
        if low is M:
            r = getattr(g, zero)(*where, high, *shape, **keywords)
        else:
            r = getattr(g, low_high)(*where, low, high, *shape, **keywords)
        return r if out is None else copy_out(r, out)

    function.__name__ = name
    function.__doc__ = "Random integers in [low, high), or in [0, high) when low is not given."
    return function


randint, randint_like = _randint("randint", False), _randint("randint_like", True)


def random_(input, from_=M, to=M, *, generator=None):
    """Fills with random integers: over the dtype's range, in [0, to), or in [from, to)."""
    if from_ is M:
        return g.op_random_(input, generator=generator)
    if to is M:
        return g.op_random_to_(input, from_, generator=generator)
    return g.op_random_from_(input, from_, to, generator=generator)


def normal(
    mean=0.0, std=1.0, size=M, *, generator=None, out=None, dtype=None, device=None, requires_grad=False, layout=None
):
    """Normal random numbers: of given means and standard deviations, or of a size."""
    if isinstance(mean, Tensor) or isinstance(std, Tensor):
        r = g.normal(mean, std, generator=generator)
    else:
        if size is M:
            raise TypeError('normal() missing 1 required positional arguments: "size"')
        r = g.normal(mean, std, size, generator=generator, dtype=dtype, device=device)
    if requires_grad:
        r.requires_grad_(True)
    return r if out is None else copy_out(r, out)


# Programs that derive classes from Tensor.
_derived = sys.modules.get("taper._subclass")
if _derived is not None and _derived.active:
    _derived.patch_module(globals())


def _recurrent(name, doc):
    plain, packed = f"op_{name}", f"op_{name}_data"

    def f(*args, **keywords):
        # The fourth argument is has_biases, or the parameters of a packed batch.
        of_packed = "batch_sizes" in keywords or (len(args) > 3 and not isinstance(args[3], bool))
        return getattr(g, packed if of_packed else plain)(*args, **keywords)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = doc
    return f


lstm = _recurrent("lstm", "An LSTM over (time, batch, features), or over a packed batch's rows and batch_sizes.")
gru = _recurrent(
    "gru", "Gated recurrent units over (time, batch, features), or over a packed batch's rows and batch_sizes."
)
rnn_tanh = _recurrent(
    "rnn_tanh", "Elman layers over (time, batch, features), or over a packed batch's rows and batch_sizes."
)
rnn_relu = _recurrent("rnn_relu", "Elman layers with relu, as rnn_tanh.")
