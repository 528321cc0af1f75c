"""Averages of weights: moving averages, stochastic weight averaging."""

import copy
import math

from .._grad_mode import no_grad
from .._tensor import Tensor
from ..nn import Module
from .lr_scheduler import LRScheduler, _per_group

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


def _decay(decay):
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")
    return decay


def get_ema_avg_fn(decay=0.999):
    """For AveragedModel: an exponential moving average of the parameters."""
    decay = _decay(decay)

    @no_grad()
    def average(ema_param, current_param, num_averaged):
        return decay * ema_param + (1 - decay) * current_param

    return average


def get_ema_multi_avg_fn(decay=0.999):
    """The same over lists of parameters, in place."""
    decay = _decay(decay)

    @no_grad()
    def average(ema_param_list, current_param_list, num_averaged):
        for old, new in zip(ema_param_list, current_param_list):
            if old.is_floating_point():
                old.lerp_(new, 1 - decay)
            else:
                old.copy_(decay * old + (1 - decay) * new)

    return average


def get_swa_avg_fn():
    """For AveragedModel: the plain mean of all parameters seen."""

    @no_grad()
    def average(averaged_param, current_param, num_averaged):
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return average


def get_swa_multi_avg_fn():
    """The same over lists of parameters, in place."""

    @no_grad()
    def average(averaged_param_list, current_param_list, num_averaged):
        for old, new in zip(averaged_param_list, current_param_list):
            old.copy_(old + (new - old) / (num_averaged + 1))

    return average


class AveragedModel(Module):
    """A copy of a model, `module`, whose parameters are averages over the calls of update_parameters(model)."""

    def __init__(self, model, device=None, avg_fn=None, multi_avg_fn=None, use_buffers=False):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer(
            "n_averaged", Tensor.new_tensor(next(model.parameters()).detach().cpu(), 0).long().to(device)
        )
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)

    def _averaged(self, module):
        tensors = list(module.parameters())
        return tensors + list(module.buffers()) if self.use_buffers else tensors

    @no_grad()
    def update_parameters(self, model):
        """Takes the parameters of model into the averages; the first call copies them."""
        old = [t.detach() for t in self._averaged(self.module)]
        new = [n.detach().to(o.device) for o, n in zip(old, self._averaged(model))]
        if self.n_averaged == 0:
            for o, n in zip(old, new):
                o.copy_(n)
        elif self.multi_avg_fn is not None:
            self.multi_avg_fn(old, new, self.n_averaged)
        else:
            average = get_swa_avg_fn() if self.avg_fn is None else self.avg_fn
            for o, n in zip(old, new):
                o.copy_(average(o, n, self.n_averaged.to(o.device)))
        if not self.use_buffers:
            for o, n in zip(self.module.buffers(), model.buffers()):
                o.detach().copy_(n.detach())
        self.n_averaged += 1


@no_grad()
def update_bn(loader, model, device=None):
    """Computes the running statistics of the model's batch norms anew, over one pass through loader."""
    norms = {m: m.momentum for m in model.modules() if hasattr(m, "running_mean") and hasattr(m, "reset_running_stats")}
    if not norms:
        return
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # the mean over all batches
    training = model.training
    model.train()
    for batch in loader:
        if isinstance(batch, (list, tuple)):
            batch = batch[0]
        model(batch if device is None else batch.to(device))
    for m, momentum in norms.items():
        m.momentum = momentum
    model.train(training)


class SWALR(LRScheduler):
    """Goes from each group's learning rate to swa_lr in anneal_epochs epochs and stays there."""

    def __init__(self, optimizer, swa_lr, anneal_epochs=10, anneal_strategy="cos", last_epoch=-1):
        rates = _per_group("swa_lr", optimizer, swa_lr)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must by one of 'cos' or 'linear', instead got {anneal_strategy}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        for group, rate in zip(optimizer.param_groups, rates):
            group["swa_lr"] = rate
        self.anneal_epochs, self._anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def _share(self, step):
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self):
        """The rates of the present step: what is left of the way is walked from where the rate is now."""
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            lr, goal = group["lr"], group["swa_lr"]
            start = goal if before == 1 else (lr - before * goal) / (1 - before)
            rates.append(goal * now + start * (1 - now))
        return rates
