"""Batch normalisation, where PyTorch has it."""

from .normalization import *  # noqa: F403
from .normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d, SyncBatchNorm  # noqa: F401

_NormBase = _BatchNorm = BatchNorm1d.__mro__[1]
