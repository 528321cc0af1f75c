"""The steps of SGD, Adam and AdamW, and of the optimisers whose update is a program of the core; their constructors are generated."""

import struct
from ctypes import c_double

from .. import _c
from .._convert import from_bytes
from .._dtype import float32
from .._ops import empty_like, fused_adam_, fused_sgd_
from .._tensor import Tensor
from .optimizer import Optimizer, recording_graph, with_grads


def step_tensor(n):
    """A count as a state has it."""
    return from_bytes(struct.pack("f", n), (), float32, "cpu")


def refuse_recording(optimizer, params):
    """An error where a graph records: it would repeat numbers of this one step."""
    if recording_graph(params) is not None:
        raise RuntimeError(
            f"Attempting CUDA graph capture of step() for an instance of {type(optimizer).__name__}, whose numbers change "
            "from step to step on the host: a graph can repeat the steps of SGD, Adam and AdamW"
        )


class SGDStep(Optimizer):
    """SGD's step: one fused call, or two where some buffers are new."""

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


class AdamStep(Optimizer):
    """Adam's step: one fused call for all parameters that are at the same step."""

    # What a class gives of the options, for groups of files that lack them.
    _fixed = {}

    def __init__(self, params, defaults):
        lr, betas = defaults["lr"], defaults["betas"]
        over_all = defaults["foreach"] and not defaults["capturable"]
        if isinstance(lr, Tensor) and over_all:
            raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
        if len({isinstance(b, Tensor) for b in betas}) > 1 or not all(isinstance(b, (float, Tensor)) for b in betas):
            raise ValueError("betas must be either both floats or both Tensors")
        if isinstance(betas[0], Tensor):
            if over_all:
                raise ValueError("betas[0] as a Tensor is not supported for capturable=False and foreach=True")
            defaults["betas"] = tuple(float(b) for b in betas)
        super().__init__(params, defaults)

    def _update(self, group):
        params, grads = with_grads(group)
        amsgrad = group["amsgrad"]
        by_step = {}
        for p, grad in zip(params, grads):
            state = self.state[p]
            if not state:
                self._start(p.detach(), state, group)
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
                decoupled=bool(group.get("decoupled_weight_decay", self._fixed.get("decoupled_weight_decay", False))),
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


def list_step(name, params, grads, states, options, step, numbers):
    """Updates the parameters and their states (those of one parameter after the other); the number states after it."""
    after = (c_double * len(numbers))(*numbers)
    e = _c.proto("optim_list_step")(
        name.encode(),
        _c.handles(params),
        len(params),
        _c.handles(grads),
        len(grads),
        _c.handles(states),
        len(states),
        struct.pack(f"{len(options)}d", *options),
        len(options),
        step,
        False,
        after,
        len(numbers),
    )
    if e:
        _c.fail(e)
    return list(after)


def _flat(value):
    """An option as the list of numbers that the core gets."""
    return [float(v) for v in value] if isinstance(value, (list, tuple)) else [float(value)]


class ProgramStep(Optimizer):
    """An optimiser whose update is a program of the core: one call for all parameters that are at the same step."""

    # The options with an effect in the core's order; the state's tensors, and its numbers.
    _options = ()
    _numbers = ()
    # Whether steps are counted.
    _counts = True

    def _update(self, group):
        params, grads = with_grads(group)
        refuse_recording(self, params)
        names = self._tensors(group)
        batches = {}
        for p, grad in zip(params, grads):
            state = self.state[p]
            if not state:
                self._start(p.detach(), state, group)
            numbers = tuple(state[name].item() for name in self._numbers)
            step = int(state["step"].item()) + 1 if self._counts else 1
            batch = batches.setdefault((step, numbers), ([], [], [], []))
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
                if self._counts:
                    state["step"].fill_(float(step))
                for name, value in zip(self._numbers, after):
                    state[name].fill_(value)

    def _tensors(self, group):
        """The names of the state's tensors that are in use."""
        raise NotImplementedError

    def _start(self, p, state, group):
        raise NotImplementedError
