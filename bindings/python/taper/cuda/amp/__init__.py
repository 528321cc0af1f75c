"""`torch.cuda.amp`: `torch.amp` for CUDA."""

from ...amp import autocast_mode
from ...amp.grad_scaler import GradScaler
from . import grad_scaler


class autocast(autocast_mode.autocast):
    """`torch.amp.autocast("cuda", ..)`."""

    def __init__(self, enabled=True, dtype=None, cache_enabled=True):
        super().__init__("cuda", dtype, enabled, cache_enabled)


def custom_fwd(fwd=None, *, cast_inputs=None):
    """`torch.amp.custom_fwd` with device_type="cuda"."""
    return autocast_mode.custom_fwd(fwd, device_type="cuda", cast_inputs=cast_inputs)


def custom_bwd(bwd=None):
    """`torch.amp.custom_bwd` with device_type="cuda"."""
    return autocast_mode.custom_bwd(bwd, device_type="cuda")


__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "grad_scaler"]
