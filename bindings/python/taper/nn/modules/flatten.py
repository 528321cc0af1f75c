"""Flatten and Unflatten, where PyTorch has them."""

from .misc import *  # noqa: F403
