"""Stochastic gradient descent."""

# Written by taper-gen from spec/optim.txt: change that.

from ._steps import SGDStep
from .optimizer import check


class SGD(SGDStep):
    """Stochastic gradient descent with momentum, dampening and Nesterov's form."""

    def __init__(
        self,
        params,
        lr=1e-3,
        momentum=0,
        dampening=0,
        weight_decay=0,
        nesterov=False,
        *,
        maximize=False,
        foreach=None,
        differentiable=False,
        fused=None,
    ):
        check(lr >= 0, f"Invalid learning rate: {lr}")
        check(momentum >= 0, f"Invalid momentum value: {momentum}")
        check(weight_decay >= 0, f"Invalid weight_decay value: {weight_decay}")
        check(
            not nesterov or momentum > 0 and dampening == 0, "Nesterov momentum requires a momentum and zero dampening"
        )
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
