"""Classes derived from Tensor: what an op makes of one is one again, through `__torch_function__`, as in PyTorch.

A program that derives no class pays nothing: only when the first one is defined do the functions of ops, where they are,
get a body that looks for such tensors among its arguments.
"""

import sys
from _thread import _local
from types import FunctionType

from ._dtype import Size, dtype
from ._tensor import Tensor, alias, wrap

_new = object.__new__
active = False
_lasting = False
mode = None  # asked first for every op of a program that has derived classes; answers NotImplemented for most
_functions = {}  # key: (the function as programs know it, what it did before)
_PLAIN = frozenset((Tensor, int, float, bool, str, type(None), dtype, Size, slice, type(...)))


# The methods as which `__torch_function__` gets to know operators.
_METHODS_OF = {
    "__add__": "add",
    "__radd__": "add",
    "__iadd__": "add_",
    "__sub__": "sub",
    "__isub__": "sub_",
    "__mul__": "mul",
    "__rmul__": "mul",
    "__imul__": "mul_",
    "__truediv__": "div",
    "__itruediv__": "div_",
    "__ifloordiv__": "floor_divide_",
    "__mod__": "remainder",
    "__imod__": "remainder_",
    "__pow__": "pow",
    "__ipow__": "pow_",
    "__matmul__": "matmul",
    "_matmul": "matmul",
    "__lt__": "lt",
    "__le__": "le",
    "__gt__": "gt",
    "__ge__": "ge",
    "__ne__": "ne",
    "__rand__": "bitwise_and",
    "__ror__": "bitwise_or",
    "__rxor__": "bitwise_xor",
    "__neg__": "neg",
    "__abs__": "abs",
}


class _State(_local):
    off = False
    modes = ()  # what `torch.overrides.TorchFunctionMode` has entered, the innermost last


_state = _State()


class Disabled:
    """Inside, tensors of derived classes count as tensors."""

    def __enter__(self):
        self.before, _state.off = _state.off, True

    def __exit__(self, *exc):
        _state.off = self.before


def default(cls, func, types, args=(), kwargs=None):
    """`Tensor.__torch_function__`: the results become instances of cls."""
    if not all(issubclass(cls, t) for t in types):
        return NotImplemented
    with Disabled():
        result = func(*args, **(kwargs or {}))
    return _converted(result, cls)


def _converted(result, cls):
    if isinstance(result, Tensor):
        if isinstance(result, cls):
            return result
        made = _new(cls)
        made._h = alias(result)
        return made
    if isinstance(result, (tuple, list)) and type(result).__name__ != "Size":
        return type(result)([_converted(r, cls) for r in result])
    return result


def _overloading(values):
    """Arguments with a `__torch_function__` that is asked, those of derived classes before their bases'."""
    found = []
    for v in values:
        t = type(v)
        if t in _PLAIN:
            continue
        if t is tuple or t is list:
            for x in v:
                if type(x) not in _PLAIN and hasattr(type(x), "__torch_function__"):
                    _add(found, x)
        elif hasattr(t, "__torch_function__"):
            _add(found, v)
    return found


def _add(found, v):
    t = type(v)
    if (
        t is Tensor
        or t is type
        or getattr(t.__torch_function__, "is_disabled", False)
        or any(type(x) is t for x in found)
    ):
        return
    at = next((i for i, x in enumerate(found) if issubclass(t, type(x))), len(found))
    found.insert(at, v)


def _implementation(v):
    """An object's `__torch_function__`, as a function of (func, types, args, kwargs)."""
    if isinstance(v, Tensor):
        return type(v).__torch_function__
    return v.__torch_function__


def dispatch(function, found, args, kwargs):
    """Asks each object's `__torch_function__` in turn."""
    types = tuple([type(v) for v in found])
    for v in found:
        result = _implementation(v)(function, types, args, kwargs)
        if result is not NotImplemented:
            return result
    if function.__name__.startswith("__"):
        return NotImplemented
    raise TypeError(
        f"Multiple dispatch failed for 'torch.{function.__name__}'; all __torch_function__ handlers returned NotImplemented: "
        f"{[t.__name__ for t in types]}"
    )


def call(key, args, kwargs):
    """The new body of every function."""
    function, original = _functions[key]
    if _state.off:
        return original(*args, **kwargs)
    if _state.modes:
        return under_mode(function, args, kwargs)
    if mode is not None:
        result = mode(function, original, args, kwargs)
        if result is not NotImplemented:
            return result
    found = _overloading((*args, *kwargs.values()) if kwargs else args)
    if not found:
        return original(*args, **kwargs)
    method = _METHODS_OF.get(function.__name__)
    if method is None or hasattr(type(found[0]), "_takes_operators"):
        return dispatch(function, found, args, kwargs)
    try:
        return dispatch(getattr(Tensor, method), found, args, kwargs)
    except TypeError:
        return NotImplemented


def under_mode(function, args, kwargs):
    """Gives a call to the innermost mode; inside it, the modes around it are in force."""
    modes = _state.modes
    _state.modes = modes[:-1]
    try:
        found = _overloading((*args, *kwargs.values()))
        result = modes[-1].__torch_function__(function, tuple([type(v) for v in found]), args, kwargs)
    finally:
        _state.modes = modes
    if result is NotImplemented:
        raise TypeError(
            f"Multiple dispatch failed for 'torch.{function.__name__}'; all __torch_function__ handlers returned "
            f"NotImplemented: {[type(modes[-1]).__name__]}"
        )
    return result


_bodies = {}


def _dispatched_body(names):
    """The code that `patch` gives to functions whose closure has these names: it finds `call` among their globals. It says
    that it closes over the names, too: the interpreter fills only then the places for them, in which debuggers look."""
    if names in _bodies:
        return _bodies[names]
    text = f"""
def outer({", ".join(names)}):
    def body(*_dispatched_args, _dispatched_key, **_dispatched_named):
        if 0:
            ({", ".join(names)})
        return _call_dispatched(_dispatched_key, _dispatched_args, _dispatched_named)
    return body
"""
    made = {}
    exec(text, made)
    return _bodies.setdefault(names, made["outer"](*names).__code__)


def patch(function):
    """Gives a function, wherever it is held already, the new body."""
    if type(function) is not FunctionType or hasattr(function, "_dispatched"):
        return
    original = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    original.__kwdefaults__ = function.__kwdefaults__
    original.__annotations__ = function.__annotations__
    key = len(_functions)
    _functions[key] = function, original
    function.__globals__["_call_dispatched"] = call
    code = function.__code__
    function.__code__ = _dispatched_body(code.co_freevars).replace(
        co_name=code.co_name, co_filename=code.co_filename, co_firstlineno=code.co_firstlineno
    )
    function.__defaults__, function.__kwdefaults__ = None, {"_dispatched_key": key}
    function._dispatched = True
    function.__wrapped__ = original


def _replaced(name, function):
    """Another function for an operator, whose body cannot be exchanged because it closes over variables."""
    key = len(_functions)

    def operator(*args, **kwargs):
        return call(key, args, kwargs)

    operator.__name__ = operator.__qualname__ = name
    _functions[key] = operator, function
    setattr(Tensor, name, operator)


# What makes no tensor of another one.
_LEFT = frozenset(
    """__init__ __new__ __del__ __getattribute__ __setattr__ __init_subclass__ __class__ __hash__ __dir__ __repr__ __format__
    __reduce_ex__ __copy__ __deepcopy__ __setstate__ __torch_function__ __dlpack__ __dlpack_device__ __array__
    __array_wrap__ __iter__ __len__ __bool__ __int__ __float__ __complex__ __index__ __contains__ __reversed__
    __delitem__""".split()
)


def patch_module(space):
    """Patches a module's public functions."""
    name = space["__name__"]
    for key, f in list(space.items()):
        if not key.startswith("_") and getattr(f, "__globals__", {}).get("__name__") == name:
            patch(f)


class Activated:
    """Inside, functions look for `__torch_function__` among their arguments, whether or not a class was derived."""

    def __enter__(self):
        self.before = active
        activate(lasting=False)

    def __exit__(self, *exc):
        if not self.before and not _lasting:
            deactivate()


def deactivate():
    """Gives every function its old body."""
    global active
    active = False
    for function, original in _functions.values():
        if hasattr(function, "_dispatched"):
            function.__code__ = original.__code__
            function.__defaults__, function.__kwdefaults__ = original.__defaults__, original.__kwdefaults__
            del function._dispatched, function.__wrapped__
        else:
            setattr(Tensor, function.__name__, original)
    _functions.clear()


def activate(lasting=True):
    """Called when a program derives a class from Tensor."""
    global active, _lasting
    _lasting = _lasting or lasting
    if active:
        return
    active = True
    from . import _indexing, _ops

    for name, f in list(vars(_ops).items()):
        if not name.startswith("_") and getattr(f, "__module__", None) == "taper":
            patch(f)
    for module in ("taper._functions", "taper.nn.functional", "taper.nn._interpolate"):
        if module in sys.modules:
            patch_module(vars(sys.modules[module]))
    patch(_indexing.getitem)
    patch(_indexing.setitem)
    for name in ("new_full", "new_tensor", "new_zeros", "new_ones", "new_empty"):
        _replaced(name, getattr(Tensor, name))
    for name, f in list(vars(Tensor).items()):
        if name.startswith("__") and name not in _LEFT and type(f) is FunctionType:
            if f.__closure__:
                _replaced(name, f)
            else:
                patch(f)


def patched(original):
    """What an operator became when functions began to look for `__torch_function__`: a program's own class has come to it,
    which is not derived from Tensor. None where they look already."""
    if active:
        return None
    activate()
    return next((function for function, old in _functions.values() if old is original), None)


def asked(values):
    """A function could not convert its arguments, since one is of a program's own class with `__torch_function__` that is
    not derived from Tensor: (what the class answers,), or None. All functions look for such arguments from now on."""
    if _state.off or not _overloading(list(values.values())):
        return None
    activate()
    by_code = {original.__code__: function for function, original in _functions.values()}
    frame, call = sys._getframe(1), None
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == "taper":
        if frame.f_code in by_code:
            call = by_code[frame.f_code], frame
        frame = frame.f_back
    if call is None:
        return None
    function, frame = call
    args, kwargs = _arguments_of(frame, function.__wrapped__)
    found = _overloading((*args, *kwargs.values()))
    return (dispatch(function, found, args, kwargs),) if found else None


def _arguments_of(frame, function):
    """The arguments with which a running function was called: those without defaults by position, others by name."""
    code, here = frame.f_code, frame.f_locals
    names = code.co_varnames[: code.co_argcount]
    defaults = function.__defaults__ or ()
    required = len(names) - len(defaults)
    args, kwargs = [here[n] for n in names[:required]], {}
    optional = list(zip(names[required:], defaults)) + list((function.__kwdefaults__ or {}).items())
    after = code.co_argcount + code.co_kwonlyargcount
    if code.co_flags & 4:  # *args
        args += [here[n] for n in names[required:]] + list(here[code.co_varnames[after]])
        optional = optional[len(defaults) :]
    for name, default in optional:
        if here[name] is not default:
            kwargs[name] = here[name]
    return tuple(args), kwargs


def plain(t):
    """A tensor of class Tensor itself."""
    return t if type(t) is Tensor else wrap(alias(t))
