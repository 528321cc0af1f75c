"""Utilities: data loading, checkpointing, a model as a table."""

_SUBMODULES = ("_pytree", "checkpoint", "data", "hooks", "model_zoo")
_HOMES = {
    "_summary": ("summary",),
    "_misc": (
        "ThroughputBenchmark",
        "cmake_prefix_path",
        "generate_methods_for_privateuse1_backend",
        "get_cpp_backtrace",
        "rename_privateuse1_backend",
        "set_module",
        "swap_tensors",
    ),
}


def __getattr__(name):
    from importlib import import_module

    for home, names in _HOMES.items():
        if name in names:
            made = globals()[name] = getattr(import_module("taper.utils." + home), name)
            return made
    from .._module_names import submodules

    return submodules(__name__)(name)


def __dir__():
    return sorted({*globals(), *_SUBMODULES, *[n for names in _HOMES.values() for n in names]})
