"""What the generated functions share; what is rarely needed comes from `_slow.py` when it is."""

from . import _c
from ._c import tensor_list_free, tensor_list_get, tensor_list_len, tls


class _Missing:
    __slots__ = ()

    def __repr__(self):
        return "<missing>"

    def __bool__(self):
        return False


M = _Missing()  # an argument that was not given, where None means something else
absent = object()  # no overload takes these arguments


def unlist(handle):
    """The tensors of an owned taper_tensor_list, as a tuple; None for absent ones."""
    from ._tensor import Tensor

    new = object.__new__
    out, address = tls.o
    result = []
    try:
        for i in range(tensor_list_len(handle)):
            e = tensor_list_get(handle, i, address)
            if e:
                _c.fail(e)
            h = out.value
            if h:
                t = new(Tensor)
                t._h = h
                result.append(t)
            else:
                result.append(None)
    finally:
        tensor_list_free(handle)
    return tuple(result)


def no_int64(v):
    """Raises an error for an argument that is no integer of 64 bits."""
    from ._slow import int64

    int64(v)
    raise TypeError("no integer")


def take_text(handle):
    return _c.take_string(handle)


def copy_out(result, out, name=None):
    """Writes results into the tensors given as `out=`, which take the results' shapes."""
    from ._out import copy_out

    return copy_out(result, out, name)


def return_type(name, fields):
    """The result class of an op with several named results."""
    from ._slow import return_type

    return return_type(name, fields)


def repaired(error, name, spec, values):
    """Called when a conversion failed: converts what can be converted and calls again, or raises a TypeError."""
    from ._slow import repaired

    return repaired(error, name, spec, values)


def no_overload(name, signatures, spec, values):
    """Takes tensors without dimensions as the numbers they are, or raises a TypeError for what fits no overload."""
    from ._slow import no_overload

    return no_overload(name, signatures, spec, values)
