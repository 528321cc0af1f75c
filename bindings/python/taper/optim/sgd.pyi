# Written by taper-gen from spec/optim.txt: change that.
from typing import Optional, Union

from .._tensor import Tensor
from .optimizer import Optimizer, ParamsT

class SGD(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: Union[float, Tensor] = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: Optional[bool] = None,
        differentiable: bool = False,
        fused: Optional[bool] = None,
    ) -> None: ...
