"""Utilities: data loading, checkpointing."""


def __getattr__(name):
    if name in ("data", "checkpoint"):
        from importlib import import_module

        return import_module("taper.utils." + name)
    raise AttributeError(f"module 'taper.utils' has no attribute '{name}'")
