from typing import Any

from .. import amp as amp
from .._device_functions import *
from .._device_functions import DeviceGuard as device
from .._errors import OutOfMemoryError as OutOfMemoryError

BoolTensor: Any
ByteTensor: Any
CharTensor: Any
DoubleTensor: Any
FloatTensor: Any
HalfTensor: Any
BFloat16Tensor: Any
IntTensor: Any
LongTensor: Any
ShortTensor: Any

def is_current_stream_capturing() -> bool: ...
def ipc_collect() -> None: ...
