"""Neural networks: modules, functions, initial values."""

from . import attention, functional, init, modules, parameter, utils  # noqa: F401
from .modules import *  # noqa: F403
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter  # noqa: F401


def __getattr__(name):
    if name == "DataParallel":
        from .parallel import DataParallel

        return DataParallel
    from .._module_names import submodules

    return submodules(__name__)(name)
