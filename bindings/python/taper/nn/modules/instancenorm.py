"""Instance normalisation, where PyTorch has it."""

from .normalization import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d  # noqa: F401

_InstanceNorm = InstanceNorm1d.__mro__[1]
