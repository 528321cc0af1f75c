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
        if self._enabled:
            if not growth_factor > 1.0:
                raise AssertionError("The growth factor must be > 1.0.")
            if not backoff_factor < 1.0:
                raise AssertionError("The backoff factor must be < 1.0.")
        self._scale, self._growth, self._backoff = float(init_scale), growth_factor, backoff_factor
        self._interval, self._good = growth_interval, 0
        # What has been done with each optimizer since the last update, by id.
        self._unscaled, self._stepped, self._found = set(), set(), {}

    def is_enabled(self):
        return self._enabled

    def get_scale(self):
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self):
        return self._growth

    def set_growth_factor(self, new_factor):
        self._growth = new_factor

    def get_backoff_factor(self):
        return self._backoff

    def set_backoff_factor(self, new_factor):
        self._backoff = new_factor

    def get_growth_interval(self):
        return self._interval

    def set_growth_interval(self, new_interval):
        self._interval = new_interval

    def scale(self, outputs):
        """The outputs times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, (tuple, list)):
            return type(outputs)(self.scale(o) for o in outputs)
        return outputs * self._scale

    def unscale_(self, optimizer: Optimizer):
        """Divides the optimizer's gradients by the scale; once between two updates."""
        if not self._enabled:
            return
        key = id(optimizer)
        if key in self._unscaled:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if key in self._stepped:
            raise RuntimeError("unscale_() is being called after step().")
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if any(g.dtype.itemsize == 2 for g in grads if str(g.dtype) == "torch.float16"):
            raise ValueError("Attempting to unscale FP16 gradients.")
        if not grads:
            return
        self._unscaled.add(key)
        found = False
        for g in grads:
            g.mul_(1.0 / self._scale)
            found |= not bool(g.isfinite().all())
        self._found[key] = found

    def step(self, optimizer, *args, **kwargs):
        """Steps the optimizer unless a gradient is infinite or NaN."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        key = id(optimizer)
        if key in self._stepped:
            raise RuntimeError("step() has already been called since the last update().")
        if key not in self._unscaled:
            self.unscale_(optimizer)
        if key not in self._found:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        result = None if self._found[key] else optimizer.step(*args, **kwargs)
        self._stepped.add(key)
        return result

    def update(self, new_scale=None):
        """Sets the next scale: smaller after an infinite gradient, larger after many steps without."""
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        else:
            if not self._found:
                raise AssertionError("No inf checks were recorded prior to update.")
            if any(self._found.values()):
                self._scale *= self._backoff
                self._good = 0
            else:
                self._good += 1
                if self._good == self._interval:
                    self._scale *= self._growth
                    self._good = 0
        self._unscaled, self._stepped, self._found = set(), set(), {}

    def state_dict(self):
        """The scale and how it changes; empty where the scaler is disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth,
            "backoff_factor": self._backoff,
            "growth_interval": self._interval,
            "_growth_tracker": self._good,
        }

    def load_state_dict(self, state_dict):
        """Takes what `state_dict` gave, PyTorch's too."""
        if not self._enabled:
            return
        if len(state_dict) == 0:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._scale, self._good = float(state_dict["scale"]), state_dict["_growth_tracker"]
        self._growth, self._backoff = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._interval = state_dict["growth_interval"]
