"""Averages of weights: moving averages, stochastic weight averaging."""

import copy

from .._grad_mode import no_grad
from .._tensor import Tensor
from ..nn import Module
from ._schedules_gen import SWALR

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
