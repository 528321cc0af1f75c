"""Mixed precision: scaling of losses; automatic casts are accepted with a warning and do nothing."""

from .autocast_mode import autocast
from .grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast"]
