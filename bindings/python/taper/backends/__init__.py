"""Switches of PyTorch's backends, so that programs can set and ask them: `taper.backends.cudnn.benchmark = True`."""

_MODULES = ("cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "opencl", "openmp")


def __getattr__(name):
    if name in _MODULES:
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__():
    return sorted({*globals(), *_MODULES})
