"""Functions whose forms of arguments need Python: hand-merged overloads, aliases and small compositions."""

import math
import sys

from . import _c, _dtype
from . import _ops as g
from ._dtype import Size
from ._glue import M
from ._half import in_float
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
        return r if out is None else g.copy_out(r, out)

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
        raise NotImplementedError(
            "norm: the nuclear norm needs a singular value decomposition, which Taper does not have"
        )
    elif isinstance(p, str):
        raise RuntimeError(f"norm: p must be a number, 'fro' or 'nuc', got {p!r}")
    r = g.norm(input, p) if dim is None and not keepdim else g.norm(input, p, dim, keepdim)
    return r if out is None else g.copy_out(r, out)


def split(tensor, split_size_or_sections=M, dim=0, *, split_size=M, axis=M):
    """The tensor in pieces of a size, or of the given sizes, as views."""
    size = split_size if split_size is not M else split_size_or_sections
    dim = axis if axis is not M else dim
    if isinstance(size, (list, tuple)):
        return g.split_with_sizes(tensor, size, dim)
    return g.split(tensor, size, dim)


def tensor_split(input, indices_or_sections, dim=0):
    """The tensor in sections of nearly equal size, or cut at the given indices."""
    n = input.size(dim)
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, int):
        sections = indices_or_sections
        if sections <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {sections}")
        small, more = divmod(n, sections)
        sizes = [small + 1] * more + [small] * (sections - more)
    else:
        cuts = [min(max(i + n if i < 0 else i, 0), n) for i in indices_or_sections]
        starts, ends = [0, *cuts], [*cuts, n]
        return tuple(input.narrow(dim, a, max(b - a, 0)) for a, b in zip(starts, ends))
    return g.split_with_sizes(input, sizes, dim)


def einsum(equation, *operands):
    """Sums of products of the operands' elements, after the equation's letters."""
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = operands[0]
    return g.einsum(equation, list(operands))


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
    return r if out is None else g.copy_out(r, out)


def nonzero(input, *, as_tuple=False, out=None):
    """Indices of the elements that are not zero, as rows or as one tensor per dimension."""
    return g.nonzero_numpy(input) if as_tuple else g.nonzero(input)


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
    return False


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
        return 2 if d.is_floating_point else 0 if d is _dtype.bool else 1

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


def _at_least(n):
    def function(*tensors):
        if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
            return tuple(function(t) for t in tensors[0])
        if len(tensors) != 1:
            return tuple(function(t) for t in tensors)
        t = tensors[0]
        if n >= 1 and t.ndim == 0:
            t = t.reshape((1,))
        if n >= 2 and t.ndim == 1:
            t = t.unsqueeze(0)
        if n >= 3 and t.ndim == 2:
            t = t.unsqueeze(-1)
        return t

    function.__name__ = f"atleast_{n}d"
    function.__doc__ = f"The tensors with at least {n} dimensions."
    return function


atleast_1d, atleast_2d, atleast_3d = _at_least(1), _at_least(2), _at_least(3)


def vstack(tensors, *, out=None):
    """Tensors stacked as rows."""
    return g.cat(atleast_2d(list(tensors)), 0, out=out)


def hstack(tensors, *, out=None):
    """Tensors side by side."""
    tensors = atleast_1d(list(tensors))
    return g.cat(tensors, 0 if tensors[0].ndim == 1 else 1, out=out)


def dstack(tensors, *, out=None):
    """Tensors stacked along the third dimension."""
    return g.cat(atleast_3d(list(tensors)), 2, out=out)


def column_stack(tensors, *, out=None):
    """Vectors as columns of a matrix."""
    return hstack([t.reshape((t.numel(), 1)) if t.ndim <= 1 else t for t in tensors], out=out)


def scalar_tensor(s, *, dtype=None, device=None, requires_grad=False, layout=None):
    """A tensor without dimensions."""
    from ._creation import tensor

    return tensor(s, dtype=dtype or _c.get_default_dtype(), device=device, requires_grad=requires_grad)


def swapaxes(input, axis0, axis1):
    """A view with two dimensions swapped."""
    return g.transpose(input, axis0, axis1)


def fliplr(input):
    """The columns of a matrix in reverse order."""
    if input.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return g.flip(input, 1)


def flipud(input):
    """The rows in reverse order."""
    if input.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return g.flip(input, 0)


def rot90(input, k=1, dims=(0, 1)):
    """Rotation by k quarter turns in the plane of two dimensions."""
    k %= 4
    a, b = dims
    if k == 1:
        return g.transpose(g.flip(input, (b,)), a, b)
    if k == 2:
        return g.flip(input, (a, b))
    if k == 3:
        return g.flip(g.transpose(input, a, b), (b,))
    return input.clone()


def diff(input, n=1, dim=-1, prepend=None, append=None):
    """Differences of neighbours, n times."""
    if n == 0:
        return input.clone()
    parts = [p for p in (prepend, input, append) if p is not None]
    if len(parts) > 1:
        input = g.cat(parts, dim)
    for _ in range(n):
        m = input.size(dim)
        if m == 0:
            break
        after, before = input.narrow(dim, 1, m - 1), input.narrow(dim, 0, m - 1)
        input = after ^ before if input.dtype is _dtype.bool else after - before
    return input


def trapezoid(y, x=None, *, dx=1.0, dim=-1):
    """The integral by the trapezoidal rule."""
    if y.size(dim) == 0:
        # The integral of nothing, in y's dtype.
        shape = list(y.shape)
        del shape[dim]
        return g.zeros(shape, dtype=y.dtype, device=y.device)
    return _trapezoid(y, x, dx=dx, dim=dim)


@in_float
def _trapezoid(y, x, *, dx, dim):
    n = y.size(dim)
    pairs = y.narrow(dim, 1, n - 1) + y.narrow(dim, 0, n - 1)
    if x is not None:
        if x.ndim < y.ndim and x.ndim == 1:
            shape = [1] * y.ndim
            shape[dim] = n
            x = x.view(shape)
        step = x.narrow(dim, 1, n - 1) - x.narrow(dim, 0, n - 1)
        return (pairs * step).sum(dim) / 2
    return pairs.sum(dim) * dx / 2


def block_diag(*tensors):
    """Matrices along the diagonal of a larger one."""
    tensors = [atleast_2d(t) for t in tensors]
    rows, columns = sum(t.size(0) for t in tensors), sum(t.size(1) for t in tensors)
    out = g.zeros((rows, columns), dtype=tensors[0].dtype, device=tensors[0].device)
    i = j = 0
    for t in tensors:
        out[i : i + t.size(0), j : j + t.size(1)] = t
        i, j = i + t.size(0), j + t.size(1)
    return out


def cartesian_prod(*tensors):
    """All combinations of elements of vectors, as rows."""
    if len(tensors) == 1:
        return tensors[0]
    return g.stack([t.flatten() for t in meshgrid(*tensors, indexing="ij")], 1)


def combinations(input, r=2, with_replacement=False):
    """All combinations of r elements of a vector, as rows."""
    import itertools
    import math

    from ._ops import empty

    # No work towards a result that cannot exist; how many rows it has may itself be a number of a million digits.
    n = input.numel() + (r - 1 if with_replacement else 0)
    if 0 <= r <= n:
        size = math.lgamma(n + 1) - math.lgamma(r + 1) - math.lgamma(n - r + 1)
        if size > 40:
            raise RuntimeError(f"combinations: too many of {r} out of {input.numel()} elements")
        empty((math.comb(n, r), r), dtype=_dtype.int64)
    make = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(make(range(input.numel()), r))
    from ._creation import _from_data

    return input[_from_data(rows, _dtype.int64, "cpu").reshape((len(rows), r))]


@in_float
def cross(input, other, dim=None):
    """The vector product along a dimension of size 3."""
    if dim is None:
        dim = next((i for i, n in enumerate(input.shape) if n == 3), None)
        if dim is None:
            raise RuntimeError("linalg.cross: inputs dimension -1 must have length 3. Got " + str(input.size(-1)))
    a, b = g.broadcast_tensors([input, other])
    a0, a1, a2 = a.unbind(dim)
    b0, b1, b2 = b.unbind(dim)
    return g.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], dim)


def tensordot(a, b, dims=2):
    """The product summed over pairs of dimensions."""
    if isinstance(dims, int):
        first, second = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    else:
        first, second = ([d] if isinstance(d, int) else list(d) for d in dims)
    first, second = [d % a.ndim for d in first], [d % b.ndim for d in second]
    for i, j in zip(first, second):
        # A size of 1 meets any: the other is summed.
        if a.size(i) == 1 and b.size(j) != 1:
            b = b.sum(j, True)
        elif b.size(j) == 1 and a.size(i) != 1:
            a = a.sum(i, True)
    keep_a = [d for d in range(a.ndim) if d not in first]
    keep_b = [d for d in range(b.ndim) if d not in second]
    n = 1
    for d in first:
        n *= a.size(d)
    rows = columns = 1
    for d in keep_a:
        rows *= a.size(d)
    for d in keep_b:
        columns *= b.size(d)
    left = a.permute(keep_a + first).reshape((rows, n))
    right = b.permute(second + keep_b).reshape((n, columns))
    return (left @ right).reshape([a.size(d) for d in keep_a] + [b.size(d) for d in keep_b])


def kron(input, other):
    """The Kronecker product."""
    n = max(input.ndim, other.ndim)
    a = input.reshape([1] * (n - input.ndim) + list(input.shape))
    b = other.reshape([1] * (n - other.ndim) + list(other.shape))
    left = a.reshape([m for s in a.shape for m in (s, 1)])
    right = b.reshape([m for s in b.shape for m in (1, s)])
    return (left * right).reshape([x * y for x, y in zip(a.shape, b.shape)])


@in_float
def cdist(x1, x2, p=2.0, compute_mode=None):
    """Distances between all pairs of rows."""
    mode = compute_mode or "use_mm_for_euclid_dist_if_necessary"
    if mode not in (
        "use_mm_for_euclid_dist_if_necessary",
        "use_mm_for_euclid_dist",
        "donot_use_mm_for_euclid_dist",
    ):
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    many = x1.size(-2) > 25 or x2.size(-2) > 25
    if p == 2 and (mode == "use_mm_for_euclid_dist" or many and mode.endswith("necessary")):
        # |a - b|^2 = |a|^2 - 2 a b + |b|^2 as one product; equal rows have distance and gradient 0.
        a2, b2 = (x1 * x1).sum(-1, True), (x2 * x2).sum(-1, True)
        a = g.cat([x1 * -2, a2, g.ones_like(a2)], -1)
        b = g.cat([x2, g.ones_like(b2), b2], -1)
        square = g.matmul(a, b.transpose(-2, -1)).clamp(min=0)
        zero = square.detach() == 0
        return square.masked_fill(zero, 1).sqrt().masked_fill(zero, 0)
    apart = x1.unsqueeze(-2) - x2.unsqueeze(-3)
    if p == math.inf and apart.requires_grad and x1.size(-1):
        # Every element that reaches the maximum has the whole gradient, which is not shared here.
        m = g.abs(apart.detach()).amax(-1)
        reach = g.abs(apart).masked_fill(g.abs(apart.detach()) != m.unsqueeze(-1), 0).sum(-1)
        return m + (reach - reach.detach()).masked_fill(~g.isfinite(m), 0)
    return g.norm(apart, p, -1)


@in_float
def addmv(input, mat, vec, *, beta=1, alpha=1):
    """beta * input + alpha * (mat @ vec)."""
    return _added(input, g.mv(mat, vec), beta, alpha)


@in_float
def addr(input, vec1, vec2, *, beta=1, alpha=1):
    """beta * input + alpha * outer(vec1, vec2)."""
    if not g.outer(vec1, vec2).is_floating_point() and not input.is_floating_point():
        for name, number in (("beta", beta), ("alpha", alpha)):
            if isinstance(number, float):
                raise RuntimeError(f"For integral input tensors, argument {name} must not be a floating point number.")
    return _added(input, g.outer(vec1, vec2), beta, alpha)


@in_float
def addbmm(input, batch1, batch2, *, beta=1, alpha=1):
    """beta * input + alpha * (batch1 @ batch2).sum(0)."""
    product = g.bmm(batch1, batch2)
    return _added(input, g.sum(product, 0, dtype=product.dtype), beta, alpha)


def _added(input, product, beta, alpha):
    """beta * input + alpha * product, of the product's shape. Numbers do not change the dtype of integers."""
    if not product.is_floating_point() and not input.is_floating_point():
        beta, alpha = int(beta), int(alpha)
    dtype = promote_types(input.dtype, product.dtype)
    product = product if alpha == 1 else product * alpha
    # With beta 0 what stands in input, NaN too, is ignored.
    result = g.broadcast_to(input * beta, product.shape) + product if beta else product
    return result if result.dtype == dtype else result.to(dtype)


def chain_matmul(*matrices):
    """The product of matrices."""
    r = matrices[0]
    for m in matrices[1:]:
        r = r @ m
    return r


def div(input, other, *, rounding_mode=None, out=None):
    """True division, or rounded ('trunc', 'floor')."""
    if rounding_mode is None:
        return g.div(input, other, out=out)
    return g.div(input, other, rounding_mode=rounding_mode, out=out)


def div_(input, other, *, rounding_mode=None):
    """Division in place."""
    if rounding_mode is None:
        return g.div_(input, other)
    return input.copy_(g.div(input, other, rounding_mode=rounding_mode))


def clamp_(input, min=None, max=None):
    """Limits the elements in place."""
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        like = [b if b is None or isinstance(b, Tensor) else input.new_tensor(b) for b in (min, max)]
        return g.clamp_(input, *like)
    return g.clamp_(input, min, max)


def xlogy(input, other, *, out=None):
    """input * log(other), 0 where input is 0; one of both may be a number."""
    if not isinstance(other, Tensor):
        other = g.full((), other, device=input.device)
    elif not isinstance(input, Tensor):
        input = g.full((), input, device=other.device)
    return g.xlogy(input, other, out=out)


def lerp_(input, end, weight):
    """self += weight * (end - self)."""
    if isinstance(weight, Tensor):
        return input.copy_(_shaped_like(input, g.lerp(input, end, weight)))
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


def reduced(name):
    """any/all over several dimensions as well as one."""
    generated = getattr(g, name)

    def function(input, dim=None, keepdim=False, *, axis=M, keepdims=M, out=None):
        dim = axis if axis is not M else dim
        keepdim = keepdims if keepdims is not M else keepdim
        if dim is None:
            r = generated(input)
            if keepdim:
                r = r.reshape((1,) * input.ndim)
        elif isinstance(dim, (tuple, list)):
            r = input if dim else (input != 0).to(_dtype.uint8 if input.dtype is _dtype.uint8 else _dtype.bool)
            for d in sorted((d % max(input.ndim, 1) for d in dim), reverse=True):
                r = generated(r, d, keepdim)
        else:
            r = generated(input, dim, keepdim)
        return r if out is None else g.copy_out(r, out)

    function.__name__ = name
    function.__doc__ = generated.__doc__
    return function


any, all = reduced("any"), reduced("all")


def count_nonzero(input, dim=None):
    """The number of elements that are not zero."""
    if isinstance(dim, (tuple, list)):
        return (input != 0).sum(dim)
    return g.count_nonzero(input, dim)


def sort(input, dim=-1, descending=False, stable=False, *, out=None):
    """The elements in order along a dimension, and their indices."""
    return g.sort(input, dim, descending, out=out)


def argsort(input, dim=-1, descending=False, stable=False):
    """Indices that put the elements in order along a dimension."""
    return g.argsort(input, dim, descending)


def scatter(input, dim, index, src=M, *, value=M, reduce=None):
    """A copy of input with elements of src (or a number) at the index positions along dim."""
    what = value if src is M else src
    return g.scatter(input, dim, index, what) if reduce is None else g.scatter(input, dim, index, what, reduce=reduce)


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
        return r if out is None else g.copy_out(r, out)

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
    return r if out is None else g.copy_out(r, out)


# Programs that derive classes from Tensor.
_derived = sys.modules.get("taper._subclass")
if _derived is not None and _derived.active:
    _derived.patch_module(globals())
