"""Ops that PyTorch keeps in `torch._C._nn`; they are those of `nn.functional`."""


def __getattr__(name):
    from ..nn import functional

    found = getattr(functional, {"log_sigmoid": "logsigmoid"}.get(name, name), None)
    if found is None:
        raise AttributeError(f"module 'taper._C._nn' has no attribute '{name}'")
    return found
