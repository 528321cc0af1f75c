"""autocast, under the name of its module in PyTorch."""

from .._grad_mode import _Mode


class autocast(_Mode):
    """A block for automatic casts. On the CPU everything is computed in the tensors' own types."""

    def __init__(self, device_type="cuda", dtype=None, enabled=True, cache_enabled=None):
        self.device_type, self.dtype, self.enabled = device_type, dtype, enabled

    def clone(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass
