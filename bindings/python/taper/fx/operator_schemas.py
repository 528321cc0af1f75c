"""Arguments by signatures."""

import inspect
from collections import namedtuple

from ._functional_signatures import signature

__all__ = ["ArgsKwargsPair", "normalize_function", "normalize_module"]

ArgsKwargsPair = namedtuple("ArgsKwargsPair", "args kwargs")


def _bound(names, optional, args, kwargs, by_name):
    if len(args) > len(names) or any(k not in names for k in kwargs):
        return None
    given = {**dict(zip(names, args)), **kwargs}
    for n in names:
        if n not in given:
            if n not in optional:
                return None
            given[n] = optional[n]
    if by_name:
        return ArgsKwargsPair((), {n: given[n] for n in names})
    count = len(args)
    return ArgsKwargsPair(tuple(given[n] for n in names[:count]), {n: given[n] for n in names[count:]})


def normalize_function(target, args, kwargs=None, arg_types=None, kwarg_types=None, normalize_to_only_use_kwargs=False):
    """Arguments of a function with all defaults, or None where its signature is not known."""
    kwargs = {} if kwargs is None else kwargs
    if getattr(target, "__module__", "").startswith("taper.nn"):
        found = signature(target.__name__)
        if found is not None:
            required, optional = found
            return _bound([*required, *optional], optional, args, kwargs, normalize_to_only_use_kwargs)
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return None
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters.values()):
        return None
    optional = {n: p.default for n, p in parameters.items() if p.default is not p.empty}
    return _bound(list(parameters), optional, args, kwargs, normalize_to_only_use_kwargs)


def normalize_module(root, target, args, kwargs=None, normalize_to_only_use_kwargs=False):
    """Arguments of a submodule's forward with all defaults."""
    try:
        module = root.get_submodule(target)
    except AttributeError as error:
        raise RuntimeError(
            f"Tried to normalize arguments for module target {target} but root did not have module of target {target}"
        ) from error
    return normalize_function(module.forward, args, kwargs, normalize_to_only_use_kwargs=normalize_to_only_use_kwargs)
