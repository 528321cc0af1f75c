"""The rarer paths of the generated functions: named results, arguments that need conversion."""

import sys

from . import _c
from ._dtype import device as _device
from ._dtype import dtype as _dtype
from ._glue import M


class _Results(tuple):
    """A tuple whose items have names; prints like PyTorch's return types."""

    __slots__ = ()
    _fields = ()

    def __repr__(self):
        items = ",\n".join(f"{n}={v!r}" for n, v in zip(self._fields, self))
        return f"torch.return_types.{type(self).__name__}(\n{items})"

    def __reduce__(self):
        return (_results, (type(self).__name__, self._fields, tuple(self)))


def _results(name, fields, values):
    return return_type(name, fields)(values)


_return_types = {}


def return_type(name, fields):
    """The result class of an op with several named results."""
    cls = _return_types.get(name)
    if cls is None:
        from operator import itemgetter

        members = {f: property(itemgetter(i)) for i, f in enumerate(fields)}
        members.update(_fields=tuple(fields), __slots__=(), __module__="taper.return_types")
        cls = _return_types[name] = type(name, (_Results,), members)
    return cls


# --- arguments that the quick path refused ---------------------------------------------------------------------------

_WORDS = {
    "T": "Tensor",
    "t": "Tensor",
    "L": "tuple of Tensors",
    "l": "tuple of Tensors",
    "S": "Number",
    "s": "Number",
    "I": "int",
    "i": "int",
    "F": "float",
    "f": "float",
    "B": "bool",
    "N": "tuple of ints",
    "n": "tuple of ints",
    "D": "torch.dtype",
    "d": "torch.dtype",
    "v": "torch.device",
    "Z": "str",
    "z": "str",
    "G": "torch.Generator",
}


class _Unfit(Exception):
    pass


def _is_number(v):
    return hasattr(type(v), "__float__") or hasattr(type(v), "__index__")


def int64(v):
    """An integer argument, which must fit into 64 bits."""
    if type(v) is int and not -(1 << 63) <= v < 1 << 63:
        text = str(v) if v.bit_length() < 1000 else f"an integer of {v.bit_length()} bits"
        raise OverflowError(f"Overflow when unpacking long long: {text} does not fit into 64 bits")
    return v


def _to_int(v):
    if type(v) is int:
        return int64(v)
    if isinstance(v, (float, str)) or not hasattr(type(v), "__index__"):
        raise _Unfit
    return int64(v.__index__())


def _to_ints(v):
    if hasattr(v, "tolist") and getattr(v, "ndim", 0) == 1:
        v = v.tolist()
    if isinstance(v, (tuple, list, range)):
        made = tuple([_to_int(x) for x in v])
        return v if all([type(x) is int for x in v]) else made
    return (_to_int(v),)


def _convert(letter, v):
    from ._tensor import Tensor

    if v is M or letter == "?":
        return v
    if letter in "tlsifndvzG" and v is None:
        return v
    if letter in "Tt":
        if not isinstance(v, Tensor):
            raise _Unfit
    elif letter in "Ll":
        items = (
            list(v)
            if isinstance(v, (tuple, list)) or hasattr(v, "__iter__") and not isinstance(v, (Tensor, str))
            else None
        )
        if items is None or not all(isinstance(x, Tensor) or (letter == "l" and x is None) for x in items):
            raise _Unfit
        return items if not isinstance(v, (tuple, list)) else v
    elif letter in "Ss":
        if isinstance(v, str) or not (isinstance(v, complex) or _is_number(v)):
            raise _Unfit
        if type(v) not in (int, float, bool, complex):
            if isinstance(v, complex):
                return complex(v)
            return v.item() if hasattr(v, "item") else v.__index__() if hasattr(v, "__index__") else float(v)
    elif letter in "Ii":
        return _to_int(v)
    elif letter in "Ff":
        if isinstance(v, str) or not _is_number(v):
            raise _Unfit
        return float(v)
    elif letter == "B":
        return bool(v)
    elif letter in "Nn":
        return int64(v) if type(v) is int else _to_ints(v)
    elif letter in "Dd":
        if not isinstance(v, _dtype):
            try:
                return _c.to_dtype(v)
            except TypeError:
                raise _Unfit from None
    elif letter == "v":
        if not isinstance(v, _device):
            return _device(v)
    elif letter in "Zz":
        if not isinstance(v, str):
            raise _Unfit
        _c.text(v)
    elif letter == "G":
        if not hasattr(v, "_h"):
            raise _Unfit
    elif letter == "*":
        # A tensor or something else: numbers of NumPy become Python's, sequences stay.
        if not isinstance(v, (Tensor, str)) and hasattr(type(v), "__index__") and type(v) not in (int, bool):
            return v.__index__()
        if hasattr(v, "item") and not isinstance(v, Tensor) and getattr(v, "ndim", 1) == 0:
            return v.item()
    return v


def _public(name):
    return name[3:] if name.startswith("op_") else name


def _default(name, argument):
    import inspect

    return inspect.signature(getattr(sys.modules["taper._ops"], name)).parameters[argument].default


_ONE_OTHER = {"clamp_max": "max", "clamp_min": "min"} | dict.fromkeys(
    "copysign eq ge gt le lt ne fmod greater greater_equal less less_equal not_equal".split(), "other"
)
# Arguments that several overloads of PyTorch's take in different ways: it lists those instead of naming one.
_OVERLOADED = {n: ("input", a) for n, a in _ONE_OTHER.items()} | dict.fromkeys(
    ("linspace", "logspace"), ("start", "end", "steps")
)
_MAKES = (
    "*, Tensor out = None, torch.dtype dtype = None, torch.layout layout = None, torch.device device = None, "
    "bool pin_memory = False, bool requires_grad = False"
)


def _refused(name, spec, values):
    """Raises PyTorch's TypeError for an op of several overloads."""
    name = _public(name)
    if name in _ONE_OTHER:
        options = [f"Tensor input, {kind} {_ONE_OTHER[name]}, *, Tensor out = None" for kind in ("Tensor", "Number")]
    else:
        base = ", float base = 10.0" if name == "logspace" else ""
        kinds = (("Tensor", "Tensor"), ("Number", "Tensor"), ("Tensor", "Number"), ("Number", "Number"))
        options = [f"{a} start, {b} end, int steps{base}, {_MAKES}" for a, b in kinds]
    given = [
        type(values[n]).__name__
        for n in (item[2:] for item in spec.split())
        if n in _OVERLOADED[name] and values[n] is not M
    ]
    raise TypeError(
        f"{name}() received an invalid combination of arguments - got ({', '.join(given)}), but expected one of:\n"
        + "".join(f" * ({o})\n" for o in options)
    ) from None


def repaired(error, name, spec, values):
    """Called when a conversion failed: converts what can be converted (NumPy integers, Python types as dtypes,
    generators as lists) and calls the function again, or raises PyTorch's TypeError for the first unfit argument."""
    from ._tensor import Tensor

    changed = False
    arguments = {}
    error.__traceback__ = None
    from ._subclass import asked

    answer = asked(values)
    if answer is not None:
        return answer[0]
    if name == "view" and isinstance(values["size"], (_dtype, type)):
        from . import _ops

        return _ops.view_dtype(values["input"], values["size"])
    if name == "narrow" and isinstance(values["start"], Tensor) and values["start"].ndim:
        raise RuntimeError("start must be an 0-dim integral Tensor.") from None
    if _public(name) in ("linspace", "logspace"):
        dims = [getattr(values[n], "ndim", 0) for n in ("start", "end")]
        if any(dims):
            raise RuntimeError(
                f"{_public(name)} only supports 0-dimensional start and end tensors, but got start with {dims[0]} dimension(s) and "
                f"end with {dims[1]} dimension(s)."
            ) from None
    for position, item in enumerate(spec.split(), 1):
        letter, argument = item.split(":")
        v = values[argument]
        if v is M:
            continue
        try:
            # Dimensions of which there need not be any may be given as None.
            new = () if letter == "N" and v is None and _default(name, argument) == () else _convert(letter, v)
        except _Unfit:
            kind = type(v).__name__
            if letter in "LlNn" and isinstance(v, (tuple, list)):
                for i, x in enumerate(v):
                    if letter in "Ll" and not isinstance(x, Tensor):
                        raise TypeError(
                            f"expected Tensor as element {i} in argument {position - 1}, but got {type(x).__name__}"
                        ) from None
                    if letter in "Nn" and not hasattr(type(x), "__index__"):
                        raise TypeError(
                            f"{_public(name)}(): argument '{argument}' (position {position}) must be {_WORDS[letter]}, "
                            f"but found element of type {type(x).__name__} at pos {i}"
                        ) from None
            if argument in _OVERLOADED.get(_public(name), ()):
                _refused(name, spec, values)
            raise TypeError(
                f"{_public(name)}(): argument '{argument}' (position {position}) must be {_WORDS[letter]}, not {kind}"
            ) from None
        if new is not v:
            changed = True
        arguments[argument] = new
    if changed:
        return getattr(sys.modules["taper._ops"], name)(**arguments)
    missing = [f'"{i.split(":")[1]}"' for i in spec.split() if values[i.split(":")[1]] is M and i[0] not in "?*"]
    if missing:
        raise TypeError(
            f"{_public(name)}() missing {len(missing)} required positional arguments: {', '.join(missing)}"
        ) from None
    if isinstance(error, (ValueError, RuntimeError)):
        raise error
    if isinstance(error, (AttributeError, TypeError)) and str(error).startswith("must be"):
        raise TypeError(f"{_public(name)}(): argument {error}") from None
    given = ", ".join(type(v).__name__ for v in arguments.values())
    raise TypeError(
        f"{_public(name)}() received an invalid combination of arguments - got ({given}): {error}"
    ) from None


def _holds_a_number(t):
    return t.dim() == 0 and not t.requires_grad


def no_overload(name, signatures, spec, values):
    """Calls again with numbers in place of tensors without dimensions, where the other arguments of an overload are numbers;
    or raises PyTorch's TypeError for arguments that fit none of the overloads."""
    from ._tensor import Tensor

    either = [item[2:] for item in spec.split() if item[0] == "*"]
    small = {n: values[n].item() for n in either if isinstance(values[n], Tensor) and _holds_a_number(values[n])}
    if small and any(isinstance(values[n], (bool, int, float, complex)) for n in either):
        arguments = {item[2:]: values[item[2:]] for item in spec.split() if values[item[2:]] is not M}
        return getattr(sys.modules["taper._ops"], name)(**{**arguments, **small})
    given = []
    for item in spec.split():
        v = values[item[2:]]
        if v is not M and v is not None and v is not False:
            given.append("Parameter" if type(v).__name__ == "Parameter" else type(v).__name__)
    options = "".join(f"\n * ({s.replace('Tensor(a!)', 'Tensor').replace('self', 'input')})" for s in signatures)
    raise TypeError(
        f"{name}() received an invalid combination of arguments - got ({', '.join(given)}), but expected one of:{options}\n"
    )
