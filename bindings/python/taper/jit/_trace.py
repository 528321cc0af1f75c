"""`torch.jit._trace`."""

from . import is_tracing, trace, trace_module  # noqa: F401
from ._modules import ScriptModule

TopLevelTracedModule = TracedModule = ScriptModule
