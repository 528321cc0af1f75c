"""`torch.cuda.amp`: the same as `torch.amp`."""

from ...amp import GradScaler, autocast
from . import grad_scaler

__all__ = ["GradScaler", "autocast", "grad_scaler"]
