# Written by taper-gen from spec/layers.txt: change that.
from typing import Any, Callable, Optional, Sequence, Tuple, Union

from ..._tensor import Tensor
from ..parameter import Parameter
from .lazy import LazyMixin
from .mixins import RunningStatsMixin
from .module import Module

_Ints = Union[int, Sequence[int]]
_Number = Union[int, float]

class Linear(Module):
    weight: Parameter
    bias: Optional[Parameter]
    in_features: int
    out_features: int
    def __init__(self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None: ...
    def reset_parameters(self) -> None: ...
    def forward(self, input: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor) -> Tensor: ...

class NonDynamicallyQuantizableLinear(Linear): ...

class Bilinear(Module):
    weight: Parameter
    bias: Optional[Parameter]
    in1_features: int
    in2_features: int
    out_features: int
    def __init__(self, in1_features: int, in2_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None: ...
    def reset_parameters(self) -> None: ...
    def forward(self, input1: Tensor, input2: Tensor) -> Tensor: ...
    def __call__(self, input1: Tensor, input2: Tensor) -> Tensor: ...

class LazyLinear(LazyMixin, Linear):
    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None: ...
    def initialize_parameters(self, input: Tensor) -> None: ...
