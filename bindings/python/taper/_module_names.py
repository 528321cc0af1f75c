"""Modules that PyTorch has and Taper does not: each name forwards to the module that holds what is in it.

`from torch.optim.adamw import AdamW`, `torch.autograd.grad_mode.no_grad` and pickles that name such modules find them so.
"""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

_OPTIMIZERS = "adadelta adagrad adamax adamw asgd lbfgs nadam radam rmsprop rprop sparse_adam".split()
# Under `taper.`: PyTorch's module, and where Taper has its names.
FORWARDED = {
    **{f"optim.{name}": "optim" for name in _OPTIMIZERS},
    "autograd.grad_mode": "autograd",
    "autograd.variable": "autograd",
    "autograd.anomaly_mode": "autograd",
    "autograd.profiler": "profiler",
    "nn.modules.linear_cross_entropy": "nn",
    "nn.modules.linear_cross_entropy_options": "nn",
    "utils.dlpack": "_dlpack",
    "utils.deterministic": "_settings",
}


class Forwarding(ModuleType):
    """What is asked of it, another module answers."""

    def _home(self):
        return import_module("taper." + FORWARDED[self.__name__.removeprefix("taper.")])

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        found = getattr(self._home(), name)
        setattr(self, name, found)
        return found

    def __dir__(self):
        return dir(self._home())


class _Loader:
    def create_module(self, spec):
        return Forwarding(spec.name)

    def exec_module(self, module):
        pass


class Finder:
    """Comes last: finds only what is no file."""

    def find_spec(self, name, path=None, target=None):
        short = name.removeprefix("taper.")
        if short == name or short not in FORWARDED:
            return None
        return ModuleSpec(name, _Loader(), is_package=any(other.startswith(short + ".") for other in FORWARDED))


def install():
    """Makes them importable."""
    sys.meta_path.append(Finder())


def submodules(package):
    """The `__getattr__` of a package whose modules are loaded when they are first asked for."""

    def __getattr__(name):
        wanted = f"{package}.{name}"
        if not name.startswith("__"):
            try:
                return import_module(wanted)
            except ModuleNotFoundError as error:
                if error.name != wanted:
                    raise
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return __getattr__
