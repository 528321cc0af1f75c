"""RMSprop, Adagrad, Adadelta, Adamax, NAdam, RAdam, Rprop and ASGD: what they keep, and the options of their programs."""

from .._ops import full_like, zeros_like
from ._list_step import list_step
from .adam import _step_tensor
from .optimizer import Optimizer, check, recording_graph, with_grads


def _flat(value):
    """An option as the list of numbers that the core gets."""
    return [float(v) for v in value] if isinstance(value, (list, tuple)) else [float(value)]


class _Program(Optimizer):
    """An optimiser whose update is a program of the core: one call for all parameters that are at the same step."""

    # The options with an effect in the core's order; the state's tensors, and its numbers.
    _options = ()
    _numbers = ()

    def _update(self, group):
        params, grads = with_grads(group)
        if recording_graph(params) is not None:
            raise RuntimeError(
                f"Attempting CUDA graph capture of step() for an instance of {type(self).__name__}, whose numbers change "
                "from step to step on the host: a graph can repeat the steps of SGD, Adam and AdamW"
            )
        names = self._tensors(group)
        batches = {}
        for p, grad in zip(params, grads):
            state = self.state[p]
            if not state:
                self._start(p.detach(), state, group)
            numbers = tuple(state[name].item() for name in self._numbers)
            batch = batches.setdefault((int(state["step"].item()) + 1, numbers), ([], [], [], []))
            batch[0].append(p)
            batch[1].append(grad)
            batch[2].extend(state[name] for name in names)
            batch[3].append(state)
        if not batches:
            return
        options = [n for name in self._options for n in _flat(group.get(name, False))]
        for (step, numbers), (some, grads, states, held) in batches.items():
            after = list_step(self._class, some, grads, states, options, step, numbers)
            for state in held:
                state["step"].fill_(float(step))
                for name, value in zip(self._numbers, after):
                    state[name].fill_(value)

    def _tensors(self, group):
        """The names of the state's tensors that are in use."""
        raise NotImplementedError

    def _start(self, p, state, group):
        raise NotImplementedError


class RMSprop(_Program):
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
        check(lr >= 0.0, f"Invalid learning rate: {lr}")
        check(eps >= 0.0, f"Invalid epsilon value: {eps}")
        check(momentum >= 0.0, f"Invalid momentum value: {momentum}")
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        check(alpha >= 0.0, f"Invalid alpha value: {alpha}")
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
        names = ["square_avg"]
        if group["momentum"] > 0:
            names.append("momentum_buffer")
        if group["centered"]:
            names.append("grad_avg")
        return names

    def _start(self, p, state, group):
        state["step"] = _step_tensor(0.0)
        state["square_avg"] = zeros_like(p)
        if group["momentum"] > 0:
            state["momentum_buffer"] = zeros_like(p)
        if group["centered"]:
            state["grad_avg"] = zeros_like(p)


class Adagrad(_Program):
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
        check(lr >= 0.0, f"Invalid learning rate: {lr}")
        check(lr_decay >= 0.0, f"Invalid lr_decay value: {lr_decay}")
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
        check(initial_accumulator_value >= 0.0, f"Invalid initial_accumulator_value value: {initial_accumulator_value}")
        check(eps >= 0.0, f"Invalid epsilon value: {eps}")
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
        state["step"] = _step_tensor(0.0)
        state["sum"] = full_like(p, group["initial_accumulator_value"])


class Adadelta(_Program):
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
        check(lr >= 0.0, f"Invalid learning rate: {lr}")
        check(0.0 <= rho <= 1.0, f"Invalid rho value: {rho}")
        check(eps >= 0.0, f"Invalid epsilon value: {eps}")
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
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
        return (
            "square_avg",
            "acc_delta",
        )

    def _start(self, p, state, group):
        state["step"] = _step_tensor(0.0)
        state["square_avg"] = zeros_like(p)
        state["acc_delta"] = zeros_like(p)


def _adam_checks(lr, betas, eps, weight_decay):
    check(lr >= 0.0, f"Invalid learning rate: {lr}")
    check(eps >= 0.0, f"Invalid epsilon value: {eps}")
    check(0.0 <= betas[0] < 1.0, f"Invalid beta parameter at index 0: {betas[0]}")
    check(0.0 <= betas[1] < 1.0, f"Invalid beta parameter at index 1: {betas[1]}")
    check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")


class Adamax(_Program):
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
        _adam_checks(lr, betas, eps, weight_decay)
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
        return (
            "exp_avg",
            "exp_inf",
        )

    def _start(self, p, state, group):
        state["step"] = _step_tensor(0.0)
        state["exp_avg"] = zeros_like(p)
        state["exp_inf"] = zeros_like(p)


class NAdam(_Program):
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
        _adam_checks(lr, betas, eps, weight_decay)
        check(momentum_decay >= 0.0, f"Invalid momentum_decay value: {momentum_decay}")
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
        return (
            "exp_avg",
            "exp_avg_sq",
        )

    def _start(self, p, state, group):
        state["step"] = _step_tensor(0.0)
        state["mu_product"] = _step_tensor(1.0)
        state["exp_avg"] = zeros_like(p)
        state["exp_avg_sq"] = zeros_like(p)


class RAdam(_Program):
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
        _adam_checks(lr, betas, eps, weight_decay)
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
        return (
            "exp_avg",
            "exp_avg_sq",
        )

    def _start(self, p, state, group):
        state["step"] = _step_tensor(0.0)
        state["exp_avg"] = zeros_like(p)
        state["exp_avg_sq"] = zeros_like(p)


class Rprop(_Program):
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
        check(lr >= 0.0, f"Invalid learning rate: {lr}")
        check(0.0 < etas[0] < 1.0 < etas[1], f"Invalid eta values: {etas[0]}, {etas[1]}")
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
        return (
            "prev",
            "step_size",
        )

    def _start(self, p, state, group):
        state["step"] = _step_tensor(0.0)
        state["prev"] = zeros_like(p)
        state["step_size"] = full_like(p, group["lr"])


class ASGD(_Program):
    """SGD whose state keeps the average of the parameters, `ax`."""

    _class = "ASGD"
    _options = ("lr", "lambd", "alpha", "t0", "weight_decay", "maximize")
    _numbers = (
        "eta",
        "mu",
    )

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
        check(lr >= 0.0, f"Invalid learning rate: {lr}")
        check(weight_decay >= 0.0, f"Invalid weight_decay value: {weight_decay}")
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
        state["step"] = _step_tensor(0.0)
        state["eta"] = _step_tensor(group["lr"])
        state["mu"] = _step_tensor(1.0)
        state["ax"] = zeros_like(p)
