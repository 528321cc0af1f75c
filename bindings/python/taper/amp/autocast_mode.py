"""autocast, under the name of its module in PyTorch."""

import warnings

from .._grad_mode import _Mode


class autocast(_Mode):
    """Accepted, with a warning: there are no automatic casts, everything is computed in the tensors' own types."""

    def __init__(self, device_type="cuda", dtype=None, enabled=True, cache_enabled=None):
        self.device_type, self.dtype, self.enabled = device_type, dtype, enabled
        if enabled:
            warnings.warn(
                "autocast has no effect: everything is computed in the tensors' own dtypes; convert the model and its "
                "inputs with .to(dtype) for lower precision",
                stacklevel=2,
            )

    def clone(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass
