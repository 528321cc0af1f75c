"""state_dict and load_state_dict of modules, with PyTorch's messages."""

from collections import OrderedDict

from ..._tensor import Tensor
from ..parameter import Parameter, is_lazy

EXTRA = "_extra_state"


class _IncompatibleKeys(tuple):
    """What load_state_dict returns: `missing_keys` and `unexpected_keys`."""

    __slots__ = ()
    missing_keys = property(lambda self: self[0])
    unexpected_keys = property(lambda self: self[1])

    def __repr__(self):
        if not self[0] and not self[1]:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self[0]!r}, unexpected_keys={self[1]!r})"


def save_state(module, destination, prefix, keep_vars):
    """Fills a state dict with the module's tensors and those of its children."""
    if destination is None:
        destination = OrderedDict()
        destination._metadata = OrderedDict()
    metadata = {"version": module._version}
    if hasattr(destination, "_metadata"):
        destination._metadata[prefix[:-1]] = metadata
    for hook in module._state_dict_pre_hooks.values():
        hook(module, prefix, keep_vars)
    module._save_to_state_dict(destination, prefix, keep_vars)
    for name, child in module._modules.items():
        if child is not None:
            child.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
    for hook in module._state_dict_hooks.values():
        result = hook(module, destination, prefix, metadata)
        if result is not None:
            destination = result
    return destination


def load_own(module, state, prefix, metadata, strict, missing, unexpected, errors):
    """Copies the module's own parameters and buffers from a state dict."""
    from ..._grad_mode import no_grad

    for hook in module._load_state_dict_pre_hooks.values():
        hook(state, prefix, metadata, strict, missing, unexpected, errors)
    assign = metadata.get("assign_to_params_buffers", False)
    own = dict(module._parameters)
    own.update((n, b) for n, b in module._buffers.items() if n not in module._non_persistent_buffers_set)
    own = {n: t for n, t in own.items() if t is not None}
    for name, t in own.items():
        key = prefix + name
        if key not in state:
            if strict:
                missing.append(key)
            continue
        source = state[key]
        if not isinstance(source, Tensor):
            errors.append(
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from checkpoint '
                f"but received {type(source)}"
            )
            continue
        if is_lazy(t) and not is_lazy(source) and not assign:
            with no_grad():
                t.materialize(source.shape)
        lazy = is_lazy(t)
        if not lazy and t.ndim == 0 and source.ndim == 1 and source.shape[0] == 1:
            source = source[0]  # saved by very old versions
        if not lazy and source.shape != t.shape:
            errors.append(
                f"size mismatch for {key}: copying a param with shape {source.shape} from checkpoint, "
                f"the shape in current model is {t.shape}."
            )
            continue
        try:
            with no_grad():
                if assign:
                    if isinstance(t, Parameter):
                        if not isinstance(source, Parameter):
                            source = Parameter(source, requires_grad=t.requires_grad)
                        else:
                            source.requires_grad_(t.requires_grad)
                    setattr(module, name, source)
                else:
                    t.copy_(source)
        except Exception as ex:
            errors.append(
                f'While {"assigning" if assign else "copying"} the parameter named "{key}", whose dimensions in the model '
                f"are {t.size()} and whose dimensions in the checkpoint are {source.size()}, an exception occurred : {ex.args}."
            )
    key = prefix + EXTRA
    from .module import Module

    if type(module).set_extra_state is not Module.set_extra_state:
        if key in state:
            module.set_extra_state(state[key])
        elif strict:
            missing.append(key)
    elif strict and key in state:
        unexpected.append(key)
    if strict:
        for name in state:
            if name.startswith(prefix) and name != key:
                first, _, rest = name[len(prefix) :].partition(".")
                if rest or "." in name[len(prefix) :]:
                    if first not in module._modules:
                        unexpected.append(name)
                elif first not in own:
                    unexpected.append(name)


def load_state(module, state_dict, strict, assign):
    """Loads a state dict into a module and its children; raises one error that lists everything that is wrong."""
    if not hasattr(state_dict, "keys"):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
    missing, unexpected, errors = [], [], []
    versions = getattr(state_dict, "_metadata", None)
    state = OrderedDict(state_dict)

    def load(m, state, prefix):
        metadata = {} if versions is None else dict(versions.get(prefix[:-1], {}))
        if assign:
            metadata["assign_to_params_buffers"] = True
        m._load_from_state_dict(state, prefix, metadata, True, missing, unexpected, errors)
        for name, child in m._modules.items():
            if child is not None:
                start = f"{prefix}{name}."
                load(child, {k: v for k, v in state.items() if k.startswith(start)}, start)
        result = _IncompatibleKeys((missing, unexpected))
        for hook in m._load_state_dict_post_hooks.values():
            if hook(m, result) is not None:
                raise AssertionError(
                    "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return new values, "
                    "if incompatible_keys need to be modified, it should be done inplace."
                )

    load(module, state, "")
    if strict:
        if unexpected:
            keys = ", ".join(f'"{k}"' for k in unexpected)
            errors.insert(0, f"Unexpected key(s) in state_dict: {keys}. ")
        if missing:
            keys = ", ".join(f'"{k}"' for k in missing)
            errors.insert(0, f"Missing key(s) in state_dict: {keys}. ")
    if errors:
        lines = "\n\t".join(errors)
        raise RuntimeError(f"Error(s) in loading state_dict for {type(module).__name__}:\n\t{lines}")
    return _IncompatibleKeys((missing, unexpected))
