"""Handles of hooks (`torch.utils.hooks`)."""

import warnings

from ..nn.modules.hooks import BackwardWatch, RemovableHandle

__all__ = ["RemovableHandle", "unserializable_hook", "warn_if_has_hooks", "BackwardHook"]


def unserializable_hook(f):
    """Marks a hook that is left out, with a warning, when its tensor is pickled."""
    f.__torch_unserializable__ = True
    return f


def warn_if_has_hooks(tensor):
    """Warns of hooks of a tensor that are not pickled with it."""
    hooks = getattr(tensor, "_backward_hooks", None) or {}
    for hook in hooks.values():
        if not hasattr(hook, "__torch_unserializable__"):
            warnings.warn(
                f"backward hook {hook!r} on tensor will not be serialized.  If this is expected, you can decorate the "
                "function with @torch.utils.hooks.unserializable_hook to suppress this warning",
                stacklevel=2,
            )


class BackwardHook(BackwardWatch):
    """Calls a module's hooks when the gradients of its inputs and outputs are computed."""

    def __init__(self, module, user_hooks, user_pre_hooks):
        super().__init__(module)
        self.hooks, self.pre_hooks = list(user_hooks), list(user_pre_hooks)

    def setup_input_hook(self, args):
        return self.inputs(args)

    def setup_output_hook(self, args):
        return self.outputs(args)
