"""Layers whose parameters are not drawn."""

import inspect


def skip_init(module_cls, *args, **kwargs):
    """An instance of a module class whose parameters are uninitialised; the class takes `device`."""
    from ..modules.module import Module

    if not isinstance(module_cls, type) or not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    state = None
    device = kwargs.pop("device", "cpu")
    from ... import _random

    # What the constructor draws must not move the generator.
    state = _random.get_rng_state()
    try:
        made = module_cls(*args, **kwargs, device=device)
    finally:
        _random.set_rng_state(state)
    return made
