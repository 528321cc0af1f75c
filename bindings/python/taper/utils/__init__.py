"""Utilities: data loading, checkpointing, a model as a table."""


def __getattr__(name):
    if name in ("data", "checkpoint"):
        from importlib import import_module

        return import_module("taper.utils." + name)
    if name == "summary":
        from ._summary import summary

        return summary
    raise AttributeError(f"module 'taper.utils' has no attribute '{name}'")
