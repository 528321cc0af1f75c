"""Modules that learn their input's size from the first input."""

from ..parameter import is_lazy


class LazyMixin:
    """The first forward calls `initialize_parameters(input)`, then the module becomes its ordinary class."""

    cls_to_become = None

    def _watch_first_input(self):
        def initialize(module, args):
            from ..._grad_mode import no_grad

            if module.has_uninitialized_params():
                with no_grad():
                    module.initialize_parameters(*args)
            handle.remove()
            module.__class__ = module.cls_to_become

        handle = self.register_forward_pre_hook(initialize)
        self._initialize_handle = handle.id

    def has_uninitialized_params(self):
        """Whether some parameter or buffer still waits for its shape."""
        return any(is_lazy(p) for p in (*self._parameters.values(), *self._buffers.values()))
