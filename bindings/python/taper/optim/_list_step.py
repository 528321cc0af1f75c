"""One step of an optimiser's program in the core."""

import struct
from ctypes import c_double

from .. import _c


def list_step(name, params, grads, states, options, step, numbers):
    """Updates the parameters and their states (those of one parameter after the other); the number states after it."""
    after = (c_double * len(numbers))(*numbers)
    e = _c.proto("optim_list_step")(
        name.encode(),
        _c.handles(params),
        len(params),
        _c.handles(grads),
        len(grads),
        _c.handles(states),
        len(states),
        struct.pack(f"{len(options)}d", *options),
        len(options),
        step,
        False,
        after,
        len(numbers),
    )
    if e:
        _c.fail(e)
    return list(after)
