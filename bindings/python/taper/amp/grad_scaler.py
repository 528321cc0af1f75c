"""GradScaler, under the name of its module in PyTorch."""

import warnings
from importlib import import_module

from .._dtype import device as to_device
from ..optim import Optimizer


class GradScaler:
    """Scales losses so that small gradients survive in half precision; with enabled=False it does nothing."""

    def __init__(
        self,
        device="cuda",
        init_scale=2.0**16,
        growth_factor=2.0,
        backoff_factor=0.5,
        growth_interval=2000,
        enabled=True,
    ):
        kind = to_device(device).type
        self._enabled = bool(enabled)
        if self._enabled and kind != "cpu" and not import_module(f"taper.{kind}").is_available():
            warnings.warn(
                f"torch.{kind}.amp.GradScaler is enabled, but {kind.upper()} is not available.  Disabling.",
                stacklevel=2,
            )
            self._enabled = False
        self._scale, self._growth, self._backoff = init_scale, growth_factor, backoff_factor
        self._interval, self._good = growth_interval, 0
        self._unscaled, self._found = set(), False

    def is_enabled(self):
        return self._enabled

    def get_scale(self):
        return self._scale if self._enabled else 1.0

    def scale(self, outputs):
        """The outputs times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, (tuple, list)):
            return type(outputs)(self.scale(o) for o in outputs)
        return outputs * self._scale

    def unscale_(self, optimizer: Optimizer):
        """Divides the optimizer's gradients by the scale."""
        if not self._enabled or id(optimizer) in self._unscaled:
            return
        self._unscaled.add(id(optimizer))
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad.mul_(1.0 / self._scale)
                    self._found |= not bool(p.grad.isfinite().all())

    def step(self, optimizer, *args, **kwargs):
        """Steps the optimizer unless a gradient is infinite."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        self.unscale_(optimizer)
        return None if self._found else optimizer.step(*args, **kwargs)

    def update(self, new_scale=None):
        """Sets the next scale."""
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        elif self._found:
            self._scale *= self._backoff
            self._good = 0
        else:
            self._good += 1
            if self._good == self._interval:
                self._scale *= self._growth
                self._good = 0
        self._unscaled, self._found = set(), False

    def state_dict(self):
        return {"scale": self.get_scale(), "growth_tracker": self._good} if self._enabled else {}

    def load_state_dict(self, state_dict):
        if self._enabled:
            self._scale, self._good = state_dict["scale"], state_dict["growth_tracker"]
