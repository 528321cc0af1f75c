"""Stochastic gradient descent."""

from .._ops import empty_like, fused_sgd_
from .optimizer import Optimizer, check, recording_graph, required, with_grads


class SGD(Optimizer):
    """SGD with momentum, dampening, weight decay and Nesterov's form; one fused call per step."""

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
        check(lr is required or lr >= 0.0, f"Invalid learning rate: {lr}")
        check(momentum >= 0.0, f"Invalid momentum value: {momentum}")
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
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

    def _update(self, group):
        params, grads = with_grads(group)
        if not params:
            return
        graph = recording_graph(params)
        options = {
            "lr": float(group["lr"]),
            "momentum": group["momentum"],
            "dampening": group["dampening"],
            "weight_decay": group["weight_decay"],
            "nesterov": group["nesterov"],
            "maximize": group["maximize"],
        }
        if not group["momentum"]:
            fused_sgd_(params, grads, (), **options)
            if graph is not None:
                graph._record_step(self, group, params)
            return
        # Buffers that are new take the gradient as it is; the others are damped.
        old, new = ([], [], []), ([], [], [])
        for p, grad in zip(params, grads):
            state = self.state[p]
            buffer = state.get("momentum_buffer")
            lists = old
            if buffer is None:
                buffer = state["momentum_buffer"] = empty_like(p.detach())
                lists = new
            for held, t in zip(lists, (p, grad, buffer)):
                held.append(t)
        for lists, first in ((old, False), (new, True)):
            if lists[0]:
                fused_sgd_(*lists, is_first_step=first, **options)
                if graph is not None:
                    graph._record_step(self, group, lists[0])
