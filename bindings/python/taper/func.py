"""Functions of functions: gradients of functions, modules called with other parameters."""

from ._grad_mode import enable_grad
from ._tensor import Tensor
from .autograd import grad as _grad

__all__ = ["functional_call", "grad", "grad_and_value"]


def _each(f, tree):
    """f of every tensor in nested dicts, lists and tuples, in the same nesting."""
    if isinstance(tree, Tensor):
        return f(tree)
    if isinstance(tree, dict):
        return type(tree)((k, _each(f, v)) for k, v in tree.items())
    if isinstance(tree, (list, tuple)):
        items = [_each(f, v) for v in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    raise RuntimeError(f"grad_and_value(f)(*args): expected tensors, got {type(tree).__name__}")


def grad_and_value(func, argnums=0, has_aux=False):
    """A function that returns the gradient of func's result, a number, by the arguments that argnums names, and the
    result. An argument may be a tensor, or a dict, list or tuple of tensors. With has_aux, func returns (result, more tensors)
    and the value is that pair."""
    places = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    def function(*args, **kwargs):
        args = list(args)
        given, wanted = [], []
        for i in places:
            _each(given.append, args[i])
        # Inside another gradient the arguments keep their history, so that this one can be differentiated.
        nested = any(t.requires_grad for t in given)

        def variable(t):
            wanted.append(t.view_as(t) if t.requires_grad else t.detach().requires_grad_())
            return wanted[-1]

        with enable_grad():
            for i in places:
                args[i] = _each(variable, args[i])
            result = func(*args, **kwargs)
            if has_aux and not (isinstance(result, tuple) and len(result) == 2):
                raise RuntimeError(
                    "grad_and_value(f)(*args): output of function f should be a tuple: (output, aux) if has_aux is True"
                )
            value = result[0] if has_aux else result
            if not isinstance(value, Tensor):
                raise RuntimeError(
                    f"grad_and_value(f)(*args): Expected f(*args) to return a Tensor, got {type(value).__name__}"
                )
            if value.dim() != 0:
                raise RuntimeError(
                    "grad_and_value(f)(*args): Expected f(*args) to return a scalar tensor, got tensor with "
                    f"{value.dim()} dims. Maybe you wanted to use the vjp or jacrev APIs instead?"
                )
            if value.requires_grad:
                found = _grad(value, wanted, create_graph=nested, allow_unused=True, materialize_grads=True)
            else:
                found = tuple([w.detach() * 0 for w in wanted])
        aux = result[1] if has_aux else None
        if not nested:
            value = value.detach()
            aux = _each(Tensor.detach, aux) if has_aux else None
        rest = iter(found)
        found = tuple([_each(lambda _: next(rest), args[i]) for i in places])
        found = found[0] if isinstance(argnums, int) else found
        return found, (value, aux) if has_aux else value

    return function


def grad(func, argnums=0, has_aux=False):
    """A function that returns the gradient of func's result, a number, by the arguments that argnums names; with
    has_aux, func returns (result, more tensors) and so does this."""
    both = grad_and_value(func, argnums, has_aux)

    def function(*args, **kwargs):
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return function


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
        raise RuntimeError(
            f"Error(s) in strict functional_call: missing key(s): {missing}, unexpected key(s): {unknown}"
        )
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
