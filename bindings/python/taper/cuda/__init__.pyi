from typing import Any

from .. import amp as amp
from .._device_functions import *
from .._device_functions import DeviceGuard as device
from .._device_functions import stream as StreamContext
from . import graphs as graphs
from .graphs import CUDAGraph as CUDAGraph
from .graphs import graph as graph
from .graphs import graph_pool_handle as graph_pool_handle
from .graphs import is_current_stream_capturing as is_current_stream_capturing
from .graphs import make_graphed_callables as make_graphed_callables
from .._errors import OutOfMemoryError as OutOfMemoryError

BoolTensor: Any
ByteTensor: Any
CharTensor: Any
DoubleTensor: Any
FloatTensor: Any
ComplexFloatTensor: Any
ComplexDoubleTensor: Any
HalfTensor: Any
BFloat16Tensor: Any
IntTensor: Any
LongTensor: Any
ShortTensor: Any

def ipc_collect() -> None: ...
