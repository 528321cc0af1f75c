"""Optimisers whose update is a program of the core: what they keep, and their options."""

# Written by taper-gen from spec/optim.txt: change that.

from .._ops import full_like, zeros_like
from ._steps import ProgramStep, step_tensor
from .optimizer import check


class Adamax(ProgramStep):
    """Adam with the infinity norm."""

    _class = "Adamax"
    _options = ("lr", "betas", "eps", "weight_decay", "maximize")

    def __init__(
        self,
        params,
        lr=2e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        foreach=None,
        *,
        maximize=False,
        differentiable=False,
        capturable=False,
    ):
        check(lr >= 0, f"Invalid learning rate: {lr}")
        check(eps >= 0, f"Invalid epsilon value: {eps}")
        check(0 <= betas[0] and betas[0] < 1, f"Invalid beta parameter at index 0: {betas[0]}")
        check(0 <= betas[1] and betas[1] < 1, f"Invalid beta parameter at index 1: {betas[1]}")
        check(weight_decay >= 0, f"Invalid weight_decay value: {weight_decay}")
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _tensors(self, group):
        return ("exp_avg", "exp_inf")

    def _start(self, p, state, group):
        state["step"] = step_tensor(0.0)
        state["exp_avg"] = zeros_like(p)
        state["exp_inf"] = zeros_like(p)


class NAdam(ProgramStep):
    """Adam with Nesterov momentum."""

    _class = "NAdam"
    _options = ("lr", "betas", "eps", "weight_decay", "momentum_decay", "decoupled_weight_decay", "maximize")
    _numbers = ("mu_product",)

    def __init__(
        self,
        params,
        lr=2e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        momentum_decay=4e-3,
        decoupled_weight_decay=False,
        *,
        foreach=None,
        maximize=False,
        capturable=False,
        differentiable=False,
    ):
        check(lr >= 0, f"Invalid learning rate: {lr}")
        check(eps >= 0, f"Invalid epsilon value: {eps}")
        check(0 <= betas[0] and betas[0] < 1, f"Invalid beta parameter at index 0: {betas[0]}")
        check(0 <= betas[1] and betas[1] < 1, f"Invalid beta parameter at index 1: {betas[1]}")
        check(weight_decay >= 0, f"Invalid weight_decay value: {weight_decay}")
        check(momentum_decay >= 0, f"Invalid momentum_decay value: {momentum_decay}")
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _tensors(self, group):
        return ("exp_avg", "exp_avg_sq")

    def _start(self, p, state, group):
        state["step"] = step_tensor(0.0)
        state["mu_product"] = step_tensor(1.0)
        state["exp_avg"] = zeros_like(p)
        state["exp_avg_sq"] = zeros_like(p)


class RAdam(ProgramStep):
    """Adam with a rectified variance."""

    _class = "RAdam"
    _options = ("lr", "betas", "eps", "weight_decay", "decoupled_weight_decay", "maximize")

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        decoupled_weight_decay=False,
        *,
        foreach=None,
        maximize=False,
        capturable=False,
        differentiable=False,
    ):
        check(lr >= 0, f"Invalid learning rate: {lr}")
        check(eps >= 0, f"Invalid epsilon value: {eps}")
        check(0 <= betas[0] and betas[0] < 1, f"Invalid beta parameter at index 0: {betas[0]}")
        check(0 <= betas[1] and betas[1] < 1, f"Invalid beta parameter at index 1: {betas[1]}")
        check(weight_decay >= 0, f"Invalid weight_decay value: {weight_decay}")
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _tensors(self, group):
        return ("exp_avg", "exp_avg_sq")

    def _start(self, p, state, group):
        state["step"] = step_tensor(0.0)
        state["exp_avg"] = zeros_like(p)
        state["exp_avg_sq"] = zeros_like(p)


class RMSprop(ProgramStep):
    """Divides by a running mean of the gradient's magnitude."""

    _class = "RMSprop"
    _options = ("lr", "alpha", "eps", "weight_decay", "momentum", "centered", "maximize")

    def __init__(
        self,
        params,
        lr=1e-2,
        alpha=0.99,
        eps=1e-8,
        weight_decay=0,
        momentum=0,
        centered=False,
        capturable=False,
        foreach=None,
        maximize=False,
        differentiable=False,
    ):
        check(lr >= 0, f"Invalid learning rate: {lr}")
        check(eps >= 0, f"Invalid epsilon value: {eps}")
        check(momentum >= 0, f"Invalid momentum value: {momentum}")
        check(weight_decay >= 0, f"Invalid weight_decay value: {weight_decay}")
        check(alpha >= 0, f"Invalid alpha value: {alpha}")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _tensors(self, group):
        names = []
        names.append("square_avg")
        if group["momentum"] > 0:
            names.append("momentum_buffer")
        if group["centered"]:
            names.append("grad_avg")
        return names

    def _start(self, p, state, group):
        state["step"] = step_tensor(0.0)
        state["square_avg"] = zeros_like(p)
        if group["momentum"] > 0:
            state["momentum_buffer"] = zeros_like(p)
        if group["centered"]:
            state["grad_avg"] = zeros_like(p)


class Rprop(ProgramStep):
    """Steps by the gradient's sign, longer while it stays and shorter when it turns."""

    _class = "Rprop"
    _options = ("lr", "etas", "step_sizes", "maximize")

    def __init__(
        self,
        params,
        lr=1e-2,
        etas=(0.5, 1.2),
        step_sizes=(1e-6, 50),
        *,
        capturable=False,
        foreach=None,
        maximize=False,
        differentiable=False,
    ):
        check(lr >= 0, f"Invalid learning rate: {lr}")
        check(0 < etas[0] and etas[0] < 1 and 1 < etas[1], f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _tensors(self, group):
        return ("prev", "step_size")

    def _start(self, p, state, group):
        state["step"] = step_tensor(0.0)
        state["prev"] = zeros_like(p)
        state["step_size"] = full_like(p, group["lr"])


class Adagrad(ProgramStep):
    """Divides by the root of the sum of squared gradients."""

    _class = "Adagrad"
    _options = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps", "maximize")

    def __init__(
        self,
        params,
        lr=1e-2,
        lr_decay=0,
        weight_decay=0,
        initial_accumulator_value=0,
        eps=1e-10,
        foreach=None,
        *,
        maximize=False,
        differentiable=False,
        fused=None,
    ):
        check(lr >= 0, f"Invalid learning rate: {lr}")
        check(lr_decay >= 0, f"Invalid lr_decay value: {lr_decay}")
        check(weight_decay >= 0, f"Invalid weight_decay value: {weight_decay}")
        check(initial_accumulator_value >= 0, f"Invalid initial_accumulator_value value: {initial_accumulator_value}")
        check(eps >= 0, f"Invalid epsilon value: {eps}")
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                self._start(p.detach(), self.state[p], group)

    def _tensors(self, group):
        return ("sum",)

    def _start(self, p, state, group):
        state["step"] = step_tensor(0.0)
        state["sum"] = full_like(p, group["initial_accumulator_value"])


class Adadelta(ProgramStep):
    """Steps in units of the parameter itself."""

    _class = "Adadelta"
    _options = ("lr", "rho", "eps", "weight_decay", "maximize")

    def __init__(
        self,
        params,
        lr=1.0,
        rho=0.9,
        eps=1e-6,
        weight_decay=0,
        foreach=None,
        *,
        capturable=False,
        maximize=False,
        differentiable=False,
    ):
        check(lr >= 0, f"Invalid learning rate: {lr}")
        check(0 <= rho and rho <= 1, f"Invalid rho value: {rho}")
        check(eps >= 0, f"Invalid epsilon value: {eps}")
        check(weight_decay >= 0, f"Invalid weight_decay value: {weight_decay}")
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _tensors(self, group):
        return ("square_avg", "acc_delta")

    def _start(self, p, state, group):
        state["step"] = step_tensor(0.0)
        state["square_avg"] = zeros_like(p)
        state["acc_delta"] = zeros_like(p)


class ASGD(ProgramStep):
    """SGD whose state keeps the average of the parameters."""

    _class = "ASGD"
    _options = ("lr", "lambd", "alpha", "t0", "weight_decay", "maximize")
    _numbers = ("eta", "mu")

    def __init__(
        self,
        params,
        lr=1e-2,
        lambd=1e-4,
        alpha=0.75,
        t0=1e6,
        weight_decay=0,
        foreach=None,
        maximize=False,
        differentiable=False,
        capturable=False,
    ):
        check(lr >= 0, f"Invalid learning rate: {lr}")
        check(lambd >= 0, f"Invalid lambd value: {lambd}")
        check(alpha >= 0, f"Invalid alpha value: {alpha}")
        check(weight_decay >= 0, f"Invalid weight_decay value: {weight_decay}")
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _tensors(self, group):
        return ("ax",)

    def _start(self, p, state, group):
        state["step"] = step_tensor(0.0)
        state["eta"] = step_tensor(group["lr"])
        state["mu"] = step_tensor(1.0)
        state["ax"] = zeros_like(p)
