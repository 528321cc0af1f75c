"""State dicts of models and optimisers whose parameters may be cut: whole ones, among one process."""

from dataclasses import dataclass

from ... import Tensor

__all__ = [
    "StateDictOptions",
    "get_model_state_dict",
    "get_optimizer_state_dict",
    "get_state_dict",
    "set_model_state_dict",
    "set_optimizer_state_dict",
    "set_state_dict",
]


@dataclass
class StateDictOptions:
    """What is wanted of a state dict."""

    full_state_dict: bool = False
    cpu_offload: bool = False
    ignore_frozen_params: bool = False
    keep_submodule_prefixes: bool = True
    strict: bool = True
    broadcast_from_rank0: bool = False
    flatten_optimizer_state_dict: bool = False
    dsd_fqn_modifiers: str = "_fqn_modifiers"


def get_model_state_dict(model, *, submodules=None, options=None):
    """The model's state dict, under names without those of wrappers."""
    options = options or StateDictOptions()
    state = model.state_dict()
    if options.ignore_frozen_params:
        frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
        state = {k: v for k, v in state.items() if k not in frozen}
    made = {}
    for key, v in state.items():
        if isinstance(v, Tensor):
            v = v.full_tensor() if options.full_state_dict and hasattr(v, "full_tensor") else v
            v = v.cpu() if options.cpu_offload else v
        made[key.removeprefix("module.") if type(model).__name__ == "DistributedDataParallel" else key] = v
    return made


def _names(model):
    return {id(p): n for n, p in model.named_parameters()}


def get_optimizer_state_dict(model, optimizers, *, submodules=None, options=None):
    """The optimiser's state dict, whose parameters are named instead of numbered."""
    names = _names(model)
    made = {"state": {}, "param_groups": []}
    for o in optimizers if isinstance(optimizers, (list, tuple)) else (optimizers,):
        state = o.state_dict()
        of = {}
        for group, packed in zip(o.param_groups, state["param_groups"]):
            for p, number in zip(group["params"], packed["params"]):
                of[number] = names[id(p)]
            made["param_groups"].append({**packed, "params": [of[n] for n in packed["params"]]})
        made["state"].update({of[n]: s for n, s in state["state"].items()})
    return made


def get_state_dict(model, optimizers, *, submodules=None, options=None):
    """Both."""
    return (
        get_model_state_dict(model, submodules=submodules, options=options),
        get_optimizer_state_dict(model, optimizers, submodules=submodules, options=options),
    )


def set_model_state_dict(model, model_state_dict, *, options=None):
    """Reads a state dict into the model."""
    options = options or StateDictOptions()
    if type(model).__name__ == "DistributedDataParallel":
        model = model.module
    return model.load_state_dict(model_state_dict, strict=options.strict)


def set_optimizer_state_dict(model, optimizers, optim_state_dict, *, options=None):
    """Reads a state dict of names into the optimiser."""
    names = _names(model)
    groups = iter(optim_state_dict["param_groups"])
    for o in optimizers if isinstance(optimizers, (list, tuple)) else (optimizers,):
        packed, numbers = [], {}
        for group in o.param_groups:
            ids = []
            for p in group["params"]:
                numbers[names[id(p)]] = len(numbers)
                ids.append(numbers[names[id(p)]])
            packed.append({**next(groups), "params": ids})
        state = {numbers[n]: s for n, s in optim_state_dict["state"].items() if n in numbers}
        o.load_state_dict({"state": state, "param_groups": packed})


def set_state_dict(model, optimizers, *, model_state_dict, optim_state_dict, options=None):
    """Both."""
    set_optimizer_state_dict(model, optimizers, optim_state_dict, options=options)
    return set_model_state_dict(model, model_state_dict, options=options)
