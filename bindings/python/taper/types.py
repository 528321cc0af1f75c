"""Types for annotations (`torch.types`)."""

from collections.abc import Sequence
from typing import Any

from ._dtype import Size, dtype, layout  # noqa: F401
from ._dtype import device as _device
from ._tensor import Tensor
from .storage import UntypedStorage as Storage  # noqa: F401

_int, _float, _bool, _dtype = int, float, bool, dtype
_size = Size | list[int] | tuple[int, ...]
_TensorOrTensors = Tensor | Sequence[Tensor]
_TensorOrTensorsOrGradEdge = Any
Number = int | float | bool
Device = _device | str | int | None
FileLike = Any
PySymType = (int, float, bool)
