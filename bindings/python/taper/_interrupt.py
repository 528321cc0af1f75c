"""Ctrl-C while a backward pass runs: the core asks between two nodes whether to go on, and here Python runs its handlers."""

import threading
from ctypes import CFUNCTYPE, Structure, addressof, c_size_t, c_void_p, cast

from . import _c
from ._errors import error_from_exception


class _Vtable(Structure):
    _fields_ = [("struct_size", c_size_t), ("call", c_void_p), ("drop", c_void_p)]


def _answers():
    """None for going on, or an error. The interpreter runs signal handlers where a function begins, which for a generator is
    the `yield` that it goes on from: inside the `try`."""
    while True:
        try:
            while True:
                yield None
        except GeneratorExit:
            return
        except BaseException as error:
            answer = error_from_exception(error)
        yield answer


_asked = _answers()
next(_asked)
_ask = CFUNCTYPE(c_void_p, c_void_p)(_asked.send)


_vtable = _Vtable(24, cast(_ask, c_void_p).value, None)


def install():
    """On the main thread, where signal handlers run; whether that is this one."""
    if threading.current_thread() is not threading.main_thread():
        return False
    e = _c.proto("set_interrupt_callback")(addressof(_vtable), None)
    if e:
        _c.fail(e)
    return True
