"""`__torch_function__`: classes that have it are asked by every function that gets one of their objects."""

import functools
import inspect
import types

from . import _subclass
from ._tensor import Tensor

__all__ = [
    "BaseTorchFunctionMode",
    "TorchFunctionMode",
    "enable_reentrant_dispatch",
    "get_ignored_functions",
    "get_overridable_functions",
    "get_testing_overrides",
    "handle_torch_function",
    "has_torch_function",
    "has_torch_function_unary",
    "has_torch_function_variadic",
    "is_tensor_like",
    "is_tensor_method_or_property",
    "redispatch_function",
    "resolve_name",
    "wrap_torch_function",
]

# Objects that are no tensors are found where ops look for `__torch_function__`; a program that uses this module has some.
_subclass.activate()


def has_torch_function(relevant_args):
    """Whether one of the arguments has a `__torch_function__` that is asked."""
    return not _subclass._state.off and bool(_subclass._state.modes or _subclass._overloading(tuple(relevant_args)))


def has_torch_function_unary(arg):
    """has_torch_function of one argument."""
    return has_torch_function((arg,))


def has_torch_function_variadic(*args):
    """has_torch_function of these arguments."""
    return has_torch_function(args)


def handle_torch_function(public_api, relevant_args, *args, **kwargs):
    """Has the arguments' `__torch_function__` answer for a function."""
    if _subclass._state.modes:
        return _subclass.under_mode(public_api, args, kwargs)
    found = _subclass._overloading(tuple(relevant_args))
    types_ = tuple([type(v) for v in found])
    for v in found:
        result = _subclass._implementation(v)(public_api, types_, args, kwargs)
        if result is not NotImplemented:
            return result
    name = f"{public_api.__module__}.{public_api.__name__}"
    raise TypeError(
        f"no implementation found for '{name}' on types that implement __torch_function__: {[type(v) for v in found]}"
    )


def _get_overloaded_args(relevant_args, get_type_fn=type):
    return _subclass._overloading(tuple(relevant_args))


def wrap_torch_function(dispatcher):
    """Decorates a function so that it can be overridden: dispatcher(*args, **kwargs) gives the arguments that are asked."""

    def inner(func):
        @functools.wraps(func)
        def wrapped(*args, **kwargs):
            relevant = dispatcher(*args, **kwargs)
            if has_torch_function(relevant):
                return handle_torch_function(wrapped, relevant, *args, **kwargs)
            return func(*args, **kwargs)

        return wrapped

    return inner


def is_tensor_like(inp):
    """Whether it is a tensor or has `__torch_function__`."""
    return type(inp) is Tensor or hasattr(inp, "__torch_function__")


def is_tensor_method_or_property(func):
    """Whether a function is one of Tensor's own: a method that is no function of the package, or a property."""
    name = getattr(func, "__name__", None)
    if name == "__get__":
        return True
    if not isinstance(name, str):
        return False
    if name.startswith("__") and name.endswith("__"):
        return hasattr(Tensor, name)
    from . import _lazy

    return getattr(Tensor, name, None) is func and _lazy.function(name) is not func


def get_ignored_functions():
    """Functions that never ask: those that make tensors or say how the package works."""
    import taper

    names = """arange as_tensor asarray empty eye from_numpy full get_default_dtype is_grad_enabled linspace load logspace
    manual_seed ones rand randint randn randperm save seed set_default_dtype set_num_threads set_printoptions tensor
    typename zeros""".split()
    return {getattr(taper, n) for n in names if hasattr(taper, n)}


def get_overridable_functions():
    """Functions that ask, by the module or class that has them."""
    import taper
    from taper.nn import functional

    from . import _lazy

    ignored = get_ignored_functions()
    top = [f for f in map(_lazy.function, sorted(_lazy.function_names())) if f is not None and f not in ignored]
    of_functional = [
        f for n, f in sorted(vars(functional).items()) if not n.startswith("_") and isinstance(f, types.FunctionType)
    ]
    methods = [f for n in sorted(dir(Tensor)) if isinstance(f := getattr(Tensor, n, None), types.FunctionType)]
    return {taper: top, functional: of_functional, Tensor: methods}


def get_testing_overrides():
    """For each function that asks, one of the same arguments that returns -1."""

    def stand_in(f):
        try:
            signature = inspect.signature(f)
        except (TypeError, ValueError):
            return lambda *args, **kwargs: -1

        def g(*args, **kwargs):
            return -1

        g.__signature__ = signature
        return g

    return {f: stand_in(f) for fs in get_overridable_functions().values() for f in fs}


def resolve_name(f):
    """The name by which a program reaches a function, such as 'torch.add'."""
    name = getattr(f, "__name__", None)
    if name is None:
        return str(f) if callable(f) else None
    for owner, functions in get_overridable_functions().items():
        if any(f is g for g in functions):
            where = owner.__name__ if isinstance(owner, types.ModuleType) else f"{owner.__module__}.{owner.__name__}"
            return f"{where.replace('taper', 'torch', 1)}.{name}"
    return None


def redispatch_function(func, types, args, kwargs):  # noqa: A002
    """Calls a function as if no argument had `__torch_function__`."""
    with _subclass.Disabled():
        return func(*args, **(kwargs or {}))


class enable_reentrant_dispatch:
    """Inside, `__torch_function__` is asked again, within one as well."""

    def __enter__(self):
        self.before, _subclass._state.off = _subclass._state.off, False

    def __exit__(self, *exc):
        _subclass._state.off = self.before


class TorchFunctionMode:
    """Inside the block every function is given to `__torch_function__(func, types, args, kwargs)` of this object."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        raise NotImplementedError

    def __enter__(self):
        _subclass.activate()
        self._before = [*getattr(self, "_before", ()), _subclass._state.modes]
        _subclass._state.modes = (*_subclass._state.modes, self)
        return self

    def __exit__(self, *exc):
        _subclass._state.modes = self._before.pop()

    @classmethod
    def push(cls, *args, **kwargs):
        """The older way to write `cls(...)`."""
        return cls(*args, **kwargs)


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that calls the function."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))
