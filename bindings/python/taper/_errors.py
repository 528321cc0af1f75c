"""The library's errors as exceptions, and exceptions as the library's errors."""

import copyreg

from ._c import held, hold, proto, release_address
from ._lib import quick
from ._types_gen import ERROR

error_code = proto("error_code", library=quick)
error_message = proto("error_message", library=quick)
error_op = proto("error_op", library=quick)
error_arg = proto("error_arg", library=quick)
error_cause = proto("error_cause", library=quick)
error_payload = proto("error_payload", library=quick)
error_free = proto("error_free", library=quick)
error_new = proto("error_new", library=quick)


class Error(Exception):
    """Mixed into every exception that the library raises: `code`, `op` and `arg` (index of the argument or None)."""

    code = 0
    op = None
    arg = None

    def __str__(self):
        return str(self.args[0]) if len(self.args) == 1 else Exception.__str__(self)


Error.__module__ = "taper"


class _Nameless(type):
    """The class of the exception classes below, which no module holds by name: pickle finds them by their base."""


def _error_class(base):
    return _Nameless(base.__name__, (Error, base), {"__module__": "taper"})


class OutOfMemoryError(Error, MemoryError, RuntimeError):
    """No memory for a tensor's data."""


OutOfMemoryError.__module__ = "taper"


class LinAlgError(Error, RuntimeError):
    """A matrix whose numbers are such that a function of linear algebra has no result."""


LinAlgError.__module__ = "taper.linalg"
# What its messages say: the core knows of no such kind of error.
_NO_RESULT = (
    "because the input matrix is singular.",
    "because the input is not positive-definite (",
    ": The algorithm failed to converge because ",
)
_RUNTIME = _error_class(RuntimeError)
_VALUE = _error_class(ValueError)
_CLASSES = {
    ERROR["RUNTIME"]: _RUNTIME,
    ERROR["INDEX"]: _error_class(IndexError),
    ERROR["TYPE"]: _error_class(TypeError),
    ERROR["VALUE"]: _VALUE,
    ERROR["OUT_OF_MEMORY"]: OutOfMemoryError,
    ERROR["NOT_IMPLEMENTED"]: _error_class(NotImplementedError),
    ERROR["INVALID_HANDLE"]: _VALUE,
    ERROR["IO"]: _error_class(OSError),
    ERROR["CALLBACK"]: _RUNTIME,
    ERROR["INTERNAL"]: _RUNTIME,
    ERROR["KEY"]: _error_class(KeyError),
    ERROR["CANCELLED"]: _RUNTIME,
}
copyreg.pickle(_Nameless, lambda cls: (_class_over, (cls.__bases__[1],)))


def _class_over(base):
    return next(cls for cls in _CLASSES.values() if cls.__bases__[1] is base)


_CODES = (
    (IndexError, ERROR["INDEX"]),
    (TypeError, ERROR["TYPE"]),
    (NotImplementedError, ERROR["NOT_IMPLEMENTED"]),
    (MemoryError, ERROR["OUT_OF_MEMORY"]),
    (KeyError, ERROR["KEY"]),
    (ValueError, ERROR["VALUE"]),
    (OSError, ERROR["IO"]),
)


def exception_of(e):
    """Turns an error handle into a Python exception and frees it; a callback's own exception comes back itself."""
    key = error_payload(e)
    if key and key in held:
        exc = held[key]
        error_free(e)
        return exc
    code = error_code(e)
    message = error_message(e)
    text = message.decode("utf-8", "replace") if message else f"unknown error {code}"
    cls = _CLASSES.get(code, _RUNTIME)
    if cls is _RUNTIME and any(part in text for part in _NO_RESULT):
        cls = LinAlgError
    exc = cls(text)
    exc.code = code
    op = error_op(e)
    exc.op = op.decode() if op else None
    arg = error_arg(e)
    exc.arg = arg if arg >= 0 else None
    cause = error_cause(e)
    error_free(e)
    if cause:
        exc.__cause__ = exception_of(cause)
    return exc


def error_from_exception(exc):
    """An error handle for C that carries a Python exception through; the receiver owns it."""
    code = next((n for cls, n in _CODES if isinstance(exc, cls)), 1)
    return error_new(
        code, f"{type(exc).__name__}: {exc}".encode("utf-8", "replace").replace(b"\0", b"?"), hold(exc), release_address
    )
