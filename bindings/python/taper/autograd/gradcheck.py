"""Checks of gradients against central differences; the core computes them."""

from ctypes import CFUNCTYPE, Structure, addressof, c_double, c_size_t, c_void_p

from .. import _c
from .._c import fail
from .._errors import Error, error_from_exception
from .._tensor import Tensor
from .graph import Vtable, adopt_all, give_list


class GradcheckError(RuntimeError):
    """The gradients differ."""


class _Options(Structure):
    _fields_ = [("struct_size", c_size_t), ("eps", c_double), ("atol", c_double), ("rtol", c_double)]


@CFUNCTYPE(c_void_p, c_void_p, c_void_p, c_size_t, c_void_p)
def _callback(user, inputs, n, out):
    try:
        function, arguments, places = _c.held[user]
        full = list(arguments)
        for i, t in zip(places, adopt_all(inputs, n)):
            full[i] = t
        result = function(*full)
        tensors = result if isinstance(result, (tuple, list)) else (result,)
        give_list([t for t in tensors if isinstance(t, Tensor) and (t.is_floating_point() or t.is_complex())], out)
        return None
    except BaseException as error:
        return error_from_exception(error)


_vtable = Vtable(_callback)


def _run(name, function, inputs, eps, atol, rtol, raise_exception):
    arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    places = [i for i, a in enumerate(arguments) if isinstance(a, Tensor)]
    tensors = [arguments[i] for i in places]
    if not any(t.requires_grad for t in tensors):
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of the them have requires_grad=True."
        )
    check = _c.proto(name)
    options = _Options(32, eps, atol, rtol)
    key = _c.hold((function, arguments, places))
    e = check(addressof(_vtable), key, _c.handles(tensors), len(tensors), addressof(options))
    if not e:
        return True
    try:
        fail(e)
    except RuntimeError as error:
        if not isinstance(error, Error):
            raise  # the function's own
        if raise_exception:
            raise GradcheckError(str(error)) from None
        return False


def gradcheck(
    func,
    inputs,
    *,
    eps=1e-6,
    atol=1e-5,
    rtol=1e-3,
    raise_exception=True,
    nondet_tol=0.0,
    check_undefined_grad=True,
    check_grad_dtypes=False,
    check_batched_grad=False,
    fast_mode=False,
    masked=None,
    **ignored,
):
    """Compares the gradients of func at inputs (float64) with central differences."""
    return _run("gradcheck", func, inputs, eps, atol, rtol, raise_exception)


def gradgradcheck(func, inputs, grad_outputs=None, *, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=True, **ignored):
    """Compares the second derivatives of func at inputs (float64) with central differences."""
    return _run("gradgradcheck", func, inputs, eps, atol, rtol, raise_exception)
