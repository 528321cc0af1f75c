"""Optimisers and learning rate schedulers."""

from . import lr_scheduler  # noqa: F401
from .adam import Adam, AdamW
from .more import Adadelta, Adagrad, Adamax, NAdam, RAdam, RMSprop
from .optimizer import Optimizer
from .sgd import SGD

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "lr_scheduler",
]
