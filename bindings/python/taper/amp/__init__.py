"""Mixed precision: accepted switched off; the arithmetic stays in the tensors' own types."""

from .autocast_mode import autocast
from .grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast"]
