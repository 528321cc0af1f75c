"""GradScaler, under the name of its module in PyTorch."""

from ...amp.grad_scaler import GradScaler

__all__ = ["GradScaler"]
