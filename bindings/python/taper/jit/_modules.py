"""ScriptModule: a module as any other."""

from ..nn.modules.module import Module


class ScriptModule(Module):
    """A module; `save` refuses."""

    def save(self, f, **kwargs):
        from . import save

        save(self, f)
