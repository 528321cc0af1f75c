"""Python's operators on tensors, straight to the C functions."""

from . import _ops
from ._c import ONE, fail, scalar, tls
from ._tensor import Tensor

_new = object.__new__
_NUMBERS = (int, float, bool, complex)


def _foreign(other):
    """A number or tensor made of an operand of another type, or NotImplemented."""
    if isinstance(other, int):
        return int(other)
    if isinstance(other, float):  # float64 of NumPy among them
        return float(other)
    if isinstance(other, complex):
        return complex(other)
    dtype = getattr(other, "dtype", None)
    if dtype is not None and getattr(other, "ndim", 1) == 0 and hasattr(other, "item"):
        return other.item()  # a scalar of NumPy
    if dtype is not None and hasattr(other, "__array_interface__"):
        from ._convert import from_numpy

        return from_numpy(other)
    return NotImplemented


def _again(operator, self, other):
    """The operator with an operand of another type: a number or tensor made of it, or what its class answers."""
    made = _foreign(other)
    if made is not NotImplemented:
        return operator(self, made) if operator is not _matmul or isinstance(made, Tensor) else NotImplemented
    if hasattr(type(other), "__torch_function__"):
        from ._subclass import patched

        asking = patched(operator)
        if asking is not None:
            return asking(self, other)
    return NotImplemented


def _binary(name, alpha=False):
    tensor, number = getattr(_ops, f"_{name}"), getattr(_ops, f"_{name}_scalar")

    if alpha:

        def operator(self, other):
            o, p = tls.o
            if isinstance(other, Tensor):
                e = tensor(self._h, other._h, ONE, p)
            elif type(other) in _NUMBERS:
                e = number(self._h, scalar(other), ONE, p)
            else:
                return _again(operator, self, other)
            if e:
                fail(e)
            h = o.value
            r = _new(Tensor)
            r._h = h
            return r
    else:

        def operator(self, other):
            o, p = tls.o
            if isinstance(other, Tensor):
                e = tensor(self._h, other._h, p)
            elif type(other) in _NUMBERS:
                e = number(self._h, scalar(other), p)
            else:
                return _again(operator, self, other)
            if e:
                fail(e)
            h = o.value
            r = _new(Tensor)
            r._h = h
            return r

    return operator


def _inplace(name, alpha=False):
    tensor, number = getattr(_ops, f"_{name}_"), getattr(_ops, f"_{name}_scalar_")
    more = (ONE,) if alpha else ()

    def operator(self, other):
        if isinstance(other, Tensor):
            e = tensor(self._h, other._h, *more)
        elif type(other) in _NUMBERS:
            e = number(self._h, scalar(other), *more)
        else:
            return _again(operator, self, other)
        if e:
            fail(e)
        return self

    return operator


def _via(name, reverse=False):
    """An operator through a Python-level function, for the rarer ones."""

    def operator(self, other):
        if not isinstance(other, Tensor) and type(other) not in _NUMBERS:
            return _again(operator, self, other)
        function = getattr(_ops, name)
        return function(other, self) if reverse else function(self, other)

    return operator


def _reflected(name, plain):
    """A reflected operator; of two tensors the plain one."""
    number = _via(name)

    def operator(self, other):
        return getattr(_ops, plain)(other, self) if isinstance(other, Tensor) else number(self, other)

    return operator


def _unary(name):
    function = getattr(_ops, f"_{name}")

    def operator(self):
        o, p = tls.o
        e = function(self._h, p)
        if e:
            fail(e)
        h = o.value
        r = _new(Tensor)
        r._h = h
        return r

    return operator


def _comparison(name, foreign):
    plain = _binary(name)

    def operator(self, other):
        r = plain(self, other)
        return foreign if r is NotImplemented and (other is None or isinstance(other, str)) else r

    return operator


def _matmul(self, other):
    if not isinstance(other, Tensor):
        return _again(_matmul, self, other)
    o, p = tls.o
    e = _ops._matmul(self._h, other._h, p)
    if e:
        fail(e)
    h = o.value
    r = _new(Tensor)
    r._h = h
    return r


def _rmatmul(self, other):
    other = other if isinstance(other, Tensor) else _foreign(other)
    return _ops.matmul(other, self) if isinstance(other, Tensor) else NotImplemented


def install():
    """Puts the operators into class Tensor."""
    operators = {}
    for symbol, op, alpha in (
        ("add", "add", True),
        ("sub", "sub", True),
        ("mul", "mul", False),
        ("truediv", "div", False),
        ("floordiv", "floor_divide", False),
        ("mod", "remainder", False),
        ("and", "bitwise_and", False),
        ("or", "bitwise_or", False),
        ("xor", "bitwise_xor", False),
    ):
        operators[f"__{symbol}__"] = _binary(op, alpha)
        operators[f"__i{symbol}__"] = _inplace(op, alpha)
    for symbol in ("add", "mul", "and", "or", "xor"):
        operators[f"__r{symbol}__"] = operators[f"__{symbol}__"]
    for symbol, op in (("lt", "lt"), ("le", "le"), ("gt", "gt"), ("ge", "ge")):
        operators[f"__{symbol}__"] = _binary(op)
    operators["__eq__"] = _comparison("eq", False)
    operators["__ne__"] = _comparison("ne", True)
    operators["__pow__"] = _via("pow")
    operators["__rpow__"] = _via("pow", reverse=True)
    operators["__ipow__"] = _via("pow_")
    operators["__rsub__"] = _via("rsub")
    for symbol, op, plain in (
        ("truediv", "rdiv", "div"),
        ("floordiv", "rfloor_divide", "floor_divide"),
        ("mod", "rremainder", "remainder"),
    ):
        operators[f"__r{symbol}__"] = _reflected(op, plain)
    operators["__matmul__"] = _matmul
    operators["__imatmul__"] = _matmul
    operators["__rmatmul__"] = _rmatmul
    operators["__lshift__"] = _via("bitwise_left_shift")
    operators["__rshift__"] = _via("bitwise_right_shift")
    operators["__neg__"] = _unary("neg")
    operators["__pos__"] = lambda self: self
    operators["__abs__"] = _unary("abs")
    operators["__invert__"] = _unary("bitwise_not")
    operators["__divmod__"] = lambda self, other: (self // other, self % other)
    for name, function in operators.items():
        setattr(Tensor, name, function)
    Tensor.__div__, Tensor.__rdiv__ = Tensor.__truediv__, Tensor.__rtruediv__
