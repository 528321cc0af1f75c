"""`torch.jit._script`."""

from . import script, script_method  # noqa: F401
from ._modules import ScriptModule  # noqa: F401

RecursiveScriptModule = ScriptModule
