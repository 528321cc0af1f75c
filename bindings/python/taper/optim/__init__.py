"""Optimisers and learning rate schedulers."""

# Written by taper-gen from spec/optim.txt: change that.

from .._module_names import submodules as _submodules
from . import lr_scheduler  # noqa: F401
from .adam import Adam, AdamW
from .by_hand import LBFGS, Adafactor, Muon
from .more import ASGD, Adadelta, Adagrad, Adamax, NAdam, RAdam, RMSprop, Rprop
from .optimizer import Optimizer
from .sgd import SGD

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
]
__getattr__ = _submodules(__name__)
