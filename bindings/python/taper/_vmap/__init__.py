"""vmap: functions of one sample applied to batches of them."""

from .core import BatchedTensor, active, base_of, lifted, vmap, wrapped_like

__all__ = ["BatchedTensor", "active", "base_of", "lifted", "vmap", "wrapped_like"]
