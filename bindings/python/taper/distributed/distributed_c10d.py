"""`torch.distributed.distributed_c10d`: the functions of `torch.distributed`."""

from . import *  # noqa: F403
from . import need as _get_default_group  # noqa: F401
