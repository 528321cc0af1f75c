from typing import Any, Callable, Iterable, List, Optional

from .._tensor import Tensor
from ..nn import Module
from ._schedules_gen import SWALR as SWALR

_Average = Callable[[Tensor, Tensor, Any], Tensor]
_AverageAll = Callable[[List[Tensor], List[Tensor], Any], None]

def get_ema_avg_fn(decay: float = 0.999) -> _Average: ...
def get_ema_multi_avg_fn(decay: float = 0.999) -> _AverageAll: ...
def get_swa_avg_fn() -> _Average: ...
def get_swa_multi_avg_fn() -> _AverageAll: ...

class AveragedModel(Module):
    module: Module
    n_averaged: Tensor
    use_buffers: bool
    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Optional[_Average] = None,
        multi_avg_fn: Optional[_AverageAll] = None,
        use_buffers: bool = False,
    ) -> None: ...
    def update_parameters(self, model: Module) -> None: ...

def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None: ...
