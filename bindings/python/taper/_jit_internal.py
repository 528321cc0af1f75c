"""`torch._jit_internal`: decorators that give their function back."""

from collections.abc import Callable  # noqa: F401
from typing import Any, Dict, Final, List, Optional, Tuple, Union  # noqa: F401, UP035

from .jit import _overload, _overload_method, export, ignore, is_scripting, unused  # noqa: F401

is_tracing = is_scripting


def boolean_dispatch(arg_name, arg_index, default, if_true, if_false, module_name, func_name):
    """A function that calls one of two by a boolean argument."""

    def fn(*args, **kwargs):
        chosen = kwargs.get(arg_name, args[arg_index] if arg_index < len(args) else default)
        return (if_true if chosen else if_false)(*args, **kwargs)

    fn.__name__ = func_name or fn.__name__
    return fn


def _copy_to_script_wrapper(fn):
    return fn
