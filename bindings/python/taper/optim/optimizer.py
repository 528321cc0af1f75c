"""class Optimizer: parameter groups and state in real dicts, with PyTorch's rules."""

import warnings
from collections import OrderedDict, defaultdict
from itertools import chain
from sys import modules

from .._c import tensor_device
from .._grad_mode import enable_grad, no_grad
from .._tensor import Tensor
from ..nn.modules.hooks import RemovableHandle


class _Required:
    def __repr__(self):
        return "<required parameter>"


required = _Required()


class Optimizer:
    """Base class of all optimisers: `params` is an iterable of tensors, of (name, tensor) pairs, or of group dicts."""

    def __init__(self, params, defaults):
        self.defaults = defaults
        self._step_pre_hooks, self._step_post_hooks = OrderedDict(), OrderedDict()
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                + params.type()
            )
        if isinstance(params, set):
            warnings.warn(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets will "
                "change between runs. Please use a list instead. This will be an error in a future release.",
                FutureWarning,
                stacklevel=3,
            )
        self.state = defaultdict(dict)
        self._places = {}
        self.param_groups = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group if isinstance(group, dict) else {"params": group})

    def add_param_group(self, param_group):
        """Adds a group of parameters with options of its own."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets "
                "will change between runs. Please use a list instead."
            )
        params = list(params)
        named = [p for p in params if isinstance(p, tuple)]
        if named and len(named) < len(params):
            raise ValueError("all optimizer params should be with/without names. Some param names are missing")
        if named:
            param_group["param_names"] = [name for name, _ in params]
            params = [p for _, p in params]
        param_group["params"] = params
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError("optimizer can only optimize Tensors, but one of the params is " + type(p).__name__)
            if not (self.defaults.get("differentiable") or p.is_leaf or p.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        if len(params) != len(set(map(id, params))):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error; see "
                "github.com/pytorch/pytorch/issues/40967 for more information",
                stacklevel=3,
            )
        if any(("param_names" in group) != ("param_names" in param_group) for group in self.param_groups):
            with_names = "with names" if "param_names" in param_group else "without names"
            raise ValueError(
                f"all optimizer param groups should be with/without names. cannot add param group {with_names} to the optimizer"
            )
        known = {id(p) for group in self.param_groups for p in group["params"]}
        if any(id(p) in known for p in params):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)

    def zero_grad(self, set_to_none=True):
        """Removes (or zeroes) the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    if set_to_none:
                        p.grad = None
                    else:
                        p.grad.detach().zero_()

    def step(self, closure=None):
        """Updates the parameters once; closure, where given, computes the loss anew and is called first."""
        hooks = self._step_pre_hooks
        if hooks:
            for hook in list(hooks.values()):
                hook(self, () if closure is None else (closure,), {})
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                self._follow(group)
                self._update(group)
        if self._step_post_hooks:
            for hook in list(self._step_post_hooks.values()):
                hook(self, () if closure is None else (closure,), {})
        return loss

    def _follow(self, group):
        """Moves state to where `module.to()` has moved the parameters; one look at a group's first parameter."""
        params = group["params"]
        if not params:
            return
        first = params[0]
        here = tensor_device(first._h)
        here = (here.type, here.index)
        before = self._places.get(id(first))
        if before != here:
            self._places[id(first)] = here
            if before is not None:
                for p in params:
                    if p in self.state:
                        self.state[p].update(self._fitted(p, self.state[p]))

    def _update(self, group):
        raise NotImplementedError(f"{type(self).__name__} has no step")

    def register_step_pre_hook(self, hook):
        """Calls hook(optimizer, args, kwargs) before each step."""
        return RemovableHandle.add(self._step_pre_hooks, hook)

    def register_step_post_hook(self, hook):
        """Calls hook(optimizer, args, kwargs) after each step."""
        return RemovableHandle.add(self._step_post_hooks, hook)

    # --- state -------------------------------------------------------------------------------------------------------

    def state_dict(self):
        """The state by number of the parameter, and the groups with these numbers."""
        numbers = {}
        groups = []
        for group in self.param_groups:
            packed = {k: v for k, v in group.items() if k != "params"}
            for p in group["params"]:
                numbers.setdefault(id(p), len(numbers))
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {(numbers[id(k)] if isinstance(k, Tensor) else k): v for k, v in self.state.items()}
        return {"state": state, "param_groups": groups}

    @no_grad()
    def load_state_dict(self, state_dict):
        """Restores what state_dict returned."""
        groups, saved = self.param_groups, [dict(group) for group in state_dict["param_groups"]]
        if len(groups) != len(saved):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(g["params"]) != len(s["params"]) for g, s in zip(groups, saved)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
            )
        by_number = dict(
            zip(chain.from_iterable(s["params"] for s in saved), chain.from_iterable(g["params"] for g in groups))
        )
        state = defaultdict(dict)
        for k, v in state_dict["state"].items():
            if k in by_number:
                state[by_number[k]] = self._fitted(by_number[k], v)
            else:
                state[k] = v
        for group, s in zip(groups, saved):
            s["params"] = group["params"]
            if "param_names" in group:
                s["param_names"] = group["param_names"]
        self.__setstate__({"state": state, "param_groups": saved})

    def _fitted(self, p, value, key=None):
        """State on the parameter's device; moments in its dtype, step counts as they are."""
        if isinstance(value, Tensor):
            if key == "step":
                return value.clone()
            value = value.to(p.device, p.dtype) if p.is_floating_point() else value.to(p.device)
            return value.clone()
        if isinstance(value, dict):
            return {k: self._fitted(p, v, k) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self._fitted(p, v) for v in value)
        return value

    def __getstate__(self):
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._places = {}
        self.__dict__.setdefault("_step_pre_hooks", OrderedDict())
        self.__dict__.setdefault("_step_post_hooks", OrderedDict())

    def __repr__(self):
        s = type(self).__name__ + " ("
        for i, group in enumerate(self.param_groups):
            s += f"\nParameter Group {i}\n"
            for k in sorted(group):
                if k != "params":
                    s += f"    {k}: {group[k]}\n"
        return s + ")"


def with_grads(group):
    """The group's parameters that have a gradient, and the gradients."""
    params, grads = [], []
    for p in group["params"]:
        g = p.grad
        if g is not None:
            params.append(p)
            grads.append(g)
    return params, grads


def recording_graph(params):
    """The graph into which work on these parameters is recorded, or None."""
    graphs = modules.get("taper.cuda.graphs")
    graph = None if graphs is None else graphs.recording()
    return graph if graph is not None and params and params[0].is_cuda else None


def check(ok, text):
    """A ValueError unless ok, which is a tensor where an option is one."""
    if isinstance(ok, Tensor) and ok.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not ok:
        raise ValueError(text)
