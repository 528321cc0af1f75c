"""Adam and AdamW."""

from .._convert import from_bytes
from .._dtype import float32
from .._ops import fused_adam_, zeros_like
from .._tensor import Tensor
from .optimizer import Optimizer, check, recording_graph, with_grads


def _step_tensor(n):
    import struct

    return from_bytes(struct.pack("f", n), (), float32, "cpu")


class Adam(Optimizer):
    """Adam, with L2 weight decay and the AMSGrad form; one fused call per step."""

    _decoupled = False

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        amsgrad=False,
        *,
        foreach=None,
        maximize=False,
        capturable=False,
        differentiable=False,
        fused=None,
        decoupled_weight_decay=False,
    ):
        check(lr >= 0.0, f"Invalid learning rate: {lr}")
        check(eps >= 0.0, f"Invalid epsilon value: {eps}")
        check(0.0 <= betas[0] < 1.0, f"Invalid beta parameter at index 0: {betas[0]}")
        check(0.0 <= betas[1] < 1.0, f"Invalid beta parameter at index 1: {betas[1]}")
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay or self._decoupled,
        }
        super().__init__(params, defaults)

    def _update(self, group):
        params, grads = with_grads(group)
        amsgrad = group["amsgrad"]
        by_step = {}
        for p, grad in zip(params, grads):
            state = self.state[p]
            if not state:
                like = p.detach()
                state["step"] = _step_tensor(0.0)
                state["exp_avg"] = zeros_like(like)
                state["exp_avg_sq"] = zeros_like(like)
                if amsgrad:
                    state["max_exp_avg_sq"] = zeros_like(like)
            step = state["step"]
            count = int(step.item()) + 1 if isinstance(step, Tensor) else int(step) + 1
            lists = by_step.get(count)
            if lists is None:
                lists = by_step[count] = ([], [], [], [], [], [])
            lists[0].append(p)
            lists[1].append(grad)
            lists[2].append(state["exp_avg"])
            lists[3].append(state["exp_avg_sq"])
            if amsgrad:
                lists[4].append(state["max_exp_avg_sq"])
            lists[5].append(state)
        beta1, beta2 = group["betas"]
        graph = recording_graph(params)
        for count, lists in by_step.items():
            fused_adam_(
                *lists[:5],
                lr=float(group["lr"]),
                beta1=float(beta1),
                beta2=float(beta2),
                eps=group["eps"],
                weight_decay=group["weight_decay"],
                amsgrad=amsgrad,
                maximize=group["maximize"],
                decoupled=bool(group.get("decoupled_weight_decay", self._decoupled)),
                step=count,
            )
            if graph is not None:  # recorded, not done: replays count
                graph._record_step(self, group, lists[0], lists[5])
                continue
            for state in lists[5]:
                step = state["step"]
                if isinstance(step, Tensor):
                    step.fill_(float(count))
                else:
                    state["step"] = count


class AdamW(Adam):
    """Adam with weight decay that is applied to the parameters themselves."""

    _decoupled = True

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=1e-2,
        amsgrad=False,
        *,
        maximize=False,
        foreach=None,
        capturable=False,
        differentiable=False,
        fused=None,
    ):
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
        )
