"""Paddings, where PyTorch has them."""

from .misc import *  # noqa: F403
