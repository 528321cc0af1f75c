# Written by taper-gen from spec/layers.txt: change that.
from typing import Any, Callable, Optional, Sequence, Tuple, Union

from ..._tensor import Tensor
from ..parameter import Parameter
from .lazy import LazyMixin
from .mixins import RunningStatsMixin
from .module import Module

_Ints = Union[int, Sequence[int]]
_Number = Union[int, float]

class _ConvNd(Module):
    transposed: Any
    output_padding: Any
    weight: Parameter
    bias: Optional[Parameter]
    in_channels: int
    out_channels: int
    kernel_size: Tuple[int, ...]
    stride: Tuple[int, ...]
    padding: Union[str, Tuple[int, ...]]
    dilation: Tuple[int, ...]
    groups: int
    padding_mode: str
    def __init__(self, in_channels: int, out_channels: int, kernel_size: _Ints, stride: _Ints = 1, padding: Union[str, _Ints] = 0, dilation: _Ints = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: Any = None, dtype: Any = None) -> None: ...
    def reset_parameters(self) -> None: ...

class Conv1d(_ConvNd):
    def forward(self, input: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor) -> Tensor: ...

class Conv2d(_ConvNd):
    def forward(self, input: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor) -> Tensor: ...

class Conv3d(_ConvNd):
    def forward(self, input: Tensor) -> Tensor: ...
    def __call__(self, input: Tensor) -> Tensor: ...

class _ConvTransposeNd(_ConvNd):
    in_channels: int
    out_channels: int
    kernel_size: Tuple[int, ...]
    stride: Tuple[int, ...]
    padding: Union[str, Tuple[int, ...]]
    output_padding: Tuple[int, ...]
    groups: int
    dilation: Tuple[int, ...]
    padding_mode: str
    def __init__(self, in_channels: int, out_channels: int, kernel_size: _Ints, stride: _Ints = 1, padding: Union[str, _Ints] = 0, output_padding: _Ints = 0, groups: int = 1, bias: bool = True, dilation: _Ints = 1, padding_mode: str = "zeros", device: Any = None, dtype: Any = None) -> None: ...

class ConvTranspose1d(_ConvTransposeNd):
    def forward(self, input: Tensor, output_size: Optional[_Ints] = None) -> Tensor: ...
    def __call__(self, input: Tensor, output_size: Optional[_Ints] = None) -> Tensor: ...

class ConvTranspose2d(_ConvTransposeNd):
    def forward(self, input: Tensor, output_size: Optional[_Ints] = None) -> Tensor: ...
    def __call__(self, input: Tensor, output_size: Optional[_Ints] = None) -> Tensor: ...

class ConvTranspose3d(_ConvTransposeNd):
    def forward(self, input: Tensor, output_size: Optional[_Ints] = None) -> Tensor: ...
    def __call__(self, input: Tensor, output_size: Optional[_Ints] = None) -> Tensor: ...

class _LazyConv(LazyMixin):
    def __init__(self, out_channels: int, kernel_size: _Ints, stride: _Ints = 1, padding: Union[str, _Ints] = 0, dilation: _Ints = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: Any = None, dtype: Any = None) -> None: ...
    def initialize_parameters(self, input: Tensor) -> None: ...

class LazyConv1d(_LazyConv, Conv1d): ...

class LazyConv2d(_LazyConv, Conv2d): ...

class LazyConv3d(_LazyConv, Conv3d): ...
