"""Neural networks: modules, functions, initial values."""

from . import attention, functional, init, modules, parameter, utils  # noqa: F401
from .modules import *  # noqa: F403
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter  # noqa: F401


def __getattr__(name):
    if name == "parallel":
        from importlib import import_module

        return import_module(f"taper.nn.{name}")
    if name == "DataParallel":
        from .parallel import DataParallel

        return DataParallel
    raise AttributeError(f"module 'taper.nn' has no attribute '{name}'")
