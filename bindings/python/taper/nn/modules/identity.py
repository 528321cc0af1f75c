"""The layer that does nothing."""

from __future__ import annotations

from ..._tensor import Tensor
from .module import Module


class Identity(Module):
    """Returns its input; takes any arguments."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input
