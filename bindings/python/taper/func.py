"""Functions of functions: gradients, products with Jacobians, batches (vmap), modules called with other parameters."""

from functools import wraps

from . import _ops as g
from ._tensor import Tensor
from ._vmap import tree
from ._vmap.core import BatchedTensor, base_of, vmap
from ._vmap.grads import Run, detached

__all__ = [
    "debug_unwrap",
    "functional_call",
    "functionalize",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "replace_all_batch_norm_modules_",
    "stack_module_state",
    "vjp",
    "vmap",
]


def _tensor_leaves(value, where):
    leaves, spec = tree.flatten(value)
    for v in leaves:
        if not isinstance(v, Tensor):
            raise RuntimeError(f"{where}: Expected tensors, got unsupported type {type(v)}")
    return leaves, spec


def _places(argnums, args, where):
    """The numbers of arguments that argnums names."""
    if not isinstance(argnums, (int, tuple)):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    places = (argnums,) if isinstance(argnums, int) else argnums
    if not places:
        raise RuntimeError("argnums must be non-empty")
    made = []
    for i in places:
        if not isinstance(i, int):
            raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(i)}")
        if not -len(args) <= i < len(args):
            raise RuntimeError(f"Got argnum={i}, but only {len(args)} positional inputs")
        made.append(i % len(args))
    if len(set(made)) != len(made):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    return made


class _Arguments:
    """The arguments that are differentiated: their tensors, and the arguments with others in those places."""

    def __init__(self, argnums, args, where):
        self.single, self.args = isinstance(argnums, int), list(args)
        self.places = _places(argnums, args, where)
        self.leaves, self.spec = tree.flatten([args[i] for i in self.places])
        for v in self.leaves:
            if not isinstance(v, Tensor):
                raise ValueError(f"Thing passed to transform API must be Tensor, got {type(v)}")
        for t in self.leaves:
            if not t.dtype.is_floating_point:
                raise RuntimeError("only Tensors of floating point dtype can require gradients")

    def with_(self, tensors):
        args = list(self.args)
        for i, value in zip(self.places, tree.unflatten(tensors, self.spec)):
            args[i] = value
        return args

    def tree(self, tensors):
        found = tree.unflatten(tensors, self.spec)
        return found[0] if self.single else tuple(found)


def grad_and_value(func, argnums=0, has_aux=False):
    """A function that returns the gradient of func's result, a number, by the arguments that argnums names, and the
    result. An argument may be a tensor, or a dict, list or tuple of tensors. With has_aux, func returns (result, more tensors)
    and the value is that pair."""

    @wraps(func)
    def function(*args, **kwargs):
        where = "grad_and_value(f)(*args)"
        given = _Arguments(argnums, args, where)
        with Run(given.leaves) as run:
            result = func(*given.with_(run.variables), **kwargs)
            if has_aux:
                if not (isinstance(result, tuple) and len(result) == 2):
                    raise RuntimeError(
                        f"{where}: output of function f should be a tuple: (output, aux) if has_aux is True"
                    )
                result, aux = result
            if not isinstance(result, Tensor):
                raise RuntimeError(f"{where}: Expected f(*args) to return a Tensor, got {type(result)}")
            if result.dim() != 0:
                raise RuntimeError(
                    f"{where}: Expected f(*args) to return a scalar Tensor, got tensor with {result.dim()} dims. Maybe you "
                    "wanted to use the vjp or jacrev APIs instead?"
                )
            keeps = run.keeps([result])
            base, levels = base_of(result)
            found = run.products([result], [_raw(g.ones_like(base), levels)], keeps)
        if not keeps:
            result, found = result.detach(), [f.detach() for f in found]
        if has_aux:
            return given.tree(found), (result, aux if keeps else detached(aux))
        return given.tree(found), result

    return function


def grad(func, argnums=0, has_aux=False):
    """A function that returns the gradient of func's result, a number, by the arguments that argnums names; with
    has_aux, func returns (result, more tensors) and so does this."""
    both = grad_and_value(func, argnums, has_aux)

    @wraps(func)
    def function(*args, **kwargs):
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return function


def _aux(result, name):
    if not (isinstance(result, tuple) and len(result) == 2):
        raise RuntimeError(f"{name}: output of function f should be a tuple: (output, aux) if has_aux is True")
    return result


def vjp(func, *primals, has_aux=False):
    """func's result, and a function from vectors shaped like it to their products with the Jacobian. With has_aux,
    func returns (result, more tensors), which are the third value."""
    leaves, spec = _tensor_leaves(list(primals), "vjp(f, *primals)")
    with Run(leaves) as run:
        result = func(*tree.unflatten(run.variables, spec))
        aux = None
        if has_aux:
            result, aux = _aux(result, "vjp(f, *primals)")
        outputs, out_spec = tree.flatten(result)
        if not outputs or not all(isinstance(o, Tensor) for o in outputs):
            if not outputs:
                raise RuntimeError(
                    "vjp(f, *primals): Expected f to be a function that has non-empty output (got output = [])"
                )
            bad = next(type(o) for o in outputs if not isinstance(o, Tensor))
            raise RuntimeError(
                f"vjp(f, *primals): expected f(*primals) to return only tensors, got unsupported type {bad}"
            )
        keeps = run.keeps(outputs)

    def product(cotangents, retain_graph=True, create_graph=None):
        vectors, vector_spec = tree.flatten(cotangents)
        if isinstance(cotangents, (tuple, list)) and len(cotangents) == 1 and out_spec is None:
            vector_spec = None
        if tree.describe(vector_spec) != tree.describe(out_spec):
            raise RuntimeError(
                f"Expected pytree structure of cotangents to be the same as pytree structure of outputs to the function. "
                f"cotangents: {tree.shown(vector_spec)}, primal output: {tree.shown(out_spec)}"
            )
        for v, o in zip(vectors, outputs):
            if tuple(v.shape) != tuple(o.shape):
                raise RuntimeError(
                    f"Mismatch in shape: grad_output[0] has a shape of {v.shape} and output[0] has a shape of {o.shape}."
                )
        create = keeps or any(base_of(v)[0].requires_grad for v in vectors) if create_graph is None else create_graph
        found = run.products(outputs, vectors, create)
        found = found if create else [f.detach() for f in found]
        return tuple(tree.unflatten(found, spec))

    value = result if keeps else detached(result)
    return (value, product, aux if keeps else detached(aux)) if has_aux else (value, product)


def jvp(func, primals, tangents, *, strict=False, has_aux=False):
    """func's result, and how it changes when the primals move along the tangents."""
    where = "jvp(f, primals, tangents)"
    if not isinstance(primals, tuple):
        raise RuntimeError(f"{where}: Expected primals to be a tuple. E.g. it should be valid to call f(*primals).")
    leaves, spec = _tensor_leaves(primals, where)
    vectors, vector_spec = tree.flatten(tangents)
    if tree.describe(spec) != tree.describe(vector_spec):
        raise RuntimeError(
            f"{where}: Expected primals and tangents to have the same python structure. For example, if primals is a tuple of 3 "
            "tensors, tangents also must be. Got primals with structure "
            f"{tree.describe(spec)} and tangents with structure {tree.describe(vector_spec)}"
        )
    if not leaves:
        raise RuntimeError(f"{where}: Expected at least one Tensor, got an empty tuple")
    for v in vectors:
        if not isinstance(v, Tensor):
            raise RuntimeError(f"{where}: Expected tensors, got unsupported type {type(v)}")
    for v, p in zip(vectors, leaves):
        if tuple(v.shape) != tuple(p.shape):
            raise RuntimeError(
                "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not "
                f"supported. Tensor is of size {list(p.shape)} while the given forward gradient is of size {list(v.shape)}."
            )
    with Run(leaves) as run:
        result = func(*tree.unflatten(run.variables, spec))
        aux = None
        if has_aux:
            result, aux = _aux(result, where)
        outputs, out_spec = tree.flatten(result)
        for o in outputs:
            if not isinstance(o, Tensor):
                raise RuntimeError(
                    f"{where}: expected f(*primals) to return only tensors, got unsupported type {type(o)}"
                )
        keeps = run.keeps(outputs) or any(base_of(v)[0].requires_grad for v in vectors)
        moved = run.along(outputs, vectors, keeps)
    if not keeps:
        result, moved, aux = detached(result), [m.detach() for m in moved], detached(aux)
    moved = tree.unflatten(moved, out_spec)
    return (result, moved, aux) if has_aux else (result, moved)


def linearize(func, *primals):
    """func's result, and the function from tangents to how it changes along them, without running func again."""
    leaves, spec = _tensor_leaves(list(primals), "linearize(f, *primals)")
    with Run(leaves) as run:
        result = func(*tree.unflatten(run.variables, spec))
        outputs, out_spec = _tensor_leaves(result, "linearize(f, *primals)")
        keeps = run.keeps(outputs)

    def along(*tangents):
        vectors, vector_spec = tree.flatten(list(tangents))
        if tree.describe(spec) != tree.describe(vector_spec):
            raise RuntimeError(
                f"Expected the tangents {tree.describe(vector_spec)} to have the same argspec as the primals "
                f"{tree.describe(spec)}"
            )
        for i, (v, p) in enumerate(zip(vectors, leaves)):
            if tuple(v.shape) != tuple(p.shape):
                raise RuntimeError(
                    f"tangent:{i} with shape {v.shape} in flattened pytree doesn't match the shape {p.shape} of the "
                    "corresponding primal."
                )
            if v.dtype is not p.dtype:
                raise RuntimeError(
                    f"tangent:{i} with dtype {v.dtype} in flattened pytree doesn't match the dtype {p.dtype} of the "
                    "corresponding primal."
                )
        moved = run.along(outputs, vectors, keeps)
        return tree.unflatten(moved if keeps else [m.detach() for m in moved], out_spec)

    return result if keeps else detached(result), along


def _jacobian(func, argnums, has_aux, args, kwargs, where):
    given = _Arguments(argnums, args, where)
    with Run(given.leaves) as run:
        result = func(*given.with_(run.variables), **kwargs)
        aux = None
        if has_aux:
            result, aux = _aux(result, where)
        outputs, out_spec = tree.flatten(result)
        for o in outputs:
            if not isinstance(o, Tensor):
                raise RuntimeError(
                    f"{where}: expected f(*primals) to return only tensors, got unsupported type {type(o)}"
                )
        keeps = run.keeps(outputs)
        rows = []
        for o in outputs:
            base, levels = base_of(o)
            lead, shape, n = len(levels), tuple(o.shape), o.numel()
            found = [[] for _ in given.leaves]
            flat = tuple(base.shape[:lead])
            for k in range(n):
                seed = g.zeros((*flat, n), dtype=base.dtype, device=base.device)
                seed.select(-1, k).fill_(1)
                for held, d in zip(found, run.products([o], [_raw(seed.reshape((*flat, *shape)), levels)], keeps)):
                    held.append(d)
            row = []
            for t, held in zip(given.leaves, found):
                made = g.stack(held) if held else t.new_zeros((0, *t.shape))
                row.append(made.reshape((*shape, *t.shape)))
            rows.append(row if keeps else [r.detach() for r in row])
    rows = [given.tree(row) for row in rows]
    found = tree.unflatten(rows, out_spec)
    return (found, aux if keeps else detached(aux)) if has_aux else found


def _raw(base, levels):
    for level in levels:
        base = BatchedTensor(base, level)
    return base


def jacrev(func, argnums=0, *, has_aux=False, chunk_size=None, _preallocate_and_copy=False):
    """A function that returns the derivatives of every element of func's results by every element of the arguments
    that argnums names."""
    if not (chunk_size is None or chunk_size > 0):
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @wraps(func)
    def function(*args, **kwargs):
        return _jacobian(func, argnums, has_aux, args, kwargs, "vjp(f, *primals)")

    return function


def jacfwd(func, argnums=0, has_aux=False, *, randomness="error"):
    """The same derivatives as jacrev's."""

    @wraps(func)
    def function(*args, **kwargs):
        return _jacobian(func, argnums, has_aux, args, kwargs, "jvp(f, primals, tangents)")

    return function


def hessian(func, argnums=0):
    """A function that returns the second derivatives of func's result."""
    return jacfwd(jacrev(func, argnums), argnums)


def functionalize(func, *, remove="mutations"):
    """The function itself: what it writes in place stays inside vmap and gradients here without being rewritten."""
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            f"functionalize(f, remove='mutations'): received invalid argument for remove={remove}. Valid options are:\n"
            "     remove='mutations': all inplace and out= operators will be removed from the program, and replaced\n"
            "         with their out-of-place equivalents.\n"
            "     remove='mutations_and_views': In addition to the above, all aliasing operators {view} will be replaced with\n"
            "         their non-aliasing counterparts, {view}_copy.\n"
        )

    @wraps(func)
    def function(*args, **kwargs):
        return func(*args, **kwargs)

    return function


def debug_unwrap(tensor, *, recurse=True):
    """The batch that a tensor inside vmap is one sample of."""
    if not isinstance(tensor, BatchedTensor):
        return tensor
    return base_of(tensor)[0] if recurse else tensor._value


def replace_all_batch_norm_modules_(root):
    """Makes the batch norms of a module, in place, keep no running statistics, which samples cannot share."""
    from .nn.modules.normalization import _BatchNorm

    for module in root.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root


def stack_module_state(models):
    """The parameters and the buffers of several modules of one class, stacked, by name."""
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if not (all(m.training for m in models) or all(not m.training for m in models)):
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if not all(type(m) is type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    params, buffers = {}, {}
    for made, entries, names in (
        (params, "named_parameters", [k for k, _ in models[0].named_parameters()]),
        (buffers, "named_buffers", [k for k, _ in models[0].named_buffers()]),
    ):
        columns = [dict(getattr(m, entries)()) for m in models]
        for name in names:
            tensors = [c[name] for c in columns]
            wanted = {t.requires_grad for t in tensors}
            if len(wanted) > 1:
                raise RuntimeError(f"Expected {name} from each model to have the same .requires_grad")
            if all(t.is_leaf for t in tensors):
                made[name] = g.stack([t.detach() for t in tensors]).requires_grad_(wanted.pop())
            else:
                made[name] = g.stack(tensors)
    return params, buffers


def functional_call(module, parameter_and_buffer_dicts, args=None, kwargs=None, *, tie_weights=True, strict=False):
    """The module's result with the tensors of a dict (or several), by their names in its state dict, in the places of
    its parameters and buffers; the module stays as it was. Tied parameters are all replaced by one entry."""
    if isinstance(parameter_and_buffer_dicts, dict):
        tensors = parameter_and_buffer_dicts
    else:
        tensors = {}
        for entries in parameter_and_buffer_dicts:
            repeated = tensors.keys() & entries.keys()
            if repeated:
                raise ValueError(
                    f"{sorted(repeated)} appeared in multiple dictionaries; behavior of functional call is ambiguous"
                )
            tensors.update(entries)
    homes = {}
    for prefix, m in module.named_modules():
        for entries in (m._parameters, m._buffers):
            for name in entries:
                homes[f"{prefix}.{name}" if prefix else name] = (entries, name)
    unknown = [k for k in tensors if k not in homes]
    missing = [k for k in homes if k not in tensors and homes[k][0][homes[k][1]] is not None]
    if strict and (unknown or missing):
        lines = [f"Error(s) in reparametrizing for {type(module).__name__}:"]
        for what, names in (("Unexpected", unknown), ("Missing", missing)):
            if names:
                lines.append(f"\t{what} key(s): " + ", ".join([f"{n!r}" for n in names]) + ".")
        raise RuntimeError("\n".join(lines))
    for t in tensors.values():
        if not isinstance(t, Tensor):
            raise TypeError(f"{t} is not an instance of torch.Tensor")
    replaced = {}
    for k, t in tensors.items():
        if k in homes:
            entries, name = homes[k]
            replaced[id(entries), name] = (entries, name, t)
            old = entries[name]
            if tie_weights and old is not None:
                for other, (es, n) in homes.items():
                    if es[n] is old and other not in tensors:
                        replaced[id(es), n] = (es, n, t)
    before = [(entries, name, entries[name]) for entries, name, _ in replaced.values()]
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    try:
        for entries, name, t in replaced.values():
            entries[name] = t
        return module(*args, **(kwargs or {}))
    finally:
        for entries, name, old in before:
            entries[name] = old
