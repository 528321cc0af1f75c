"""`torch.jit`: functions and modules run as Python, so that `script` and `trace` give back what they are given.

Files of TorchScript are neither written nor read: a state dict is the way between programs.
"""

from ..futures import Future

__all__ = [
    "Attribute",
    "CompilationUnit",
    "Error",
    "Final",
    "Future",
    "ScriptFunction",
    "ScriptModule",
    "annotate",
    "enable_onednn_fusion",
    "export",
    "export_opnames",
    "fork",
    "freeze",
    "ignore",
    "interface",
    "is_scripting",
    "is_tracing",
    "isinstance",
    "load",
    "onednn_fusion_enabled",
    "optimize_for_inference",
    "save",
    "script",
    "script_if_tracing",
    "script_method",
    "set_fusion_strategy",
    "strict_fusion",
    "trace",
    "trace_module",
    "unused",
    "wait",
]

_WAY = "save model.state_dict() with torch.save and load it with load_state_dict, which PyTorch reads as well"


class Error(Exception):
    """What TorchScript raises."""


class Attribute:
    """A value with its type."""

    def __new__(cls, value, type):
        return value


class CompilationUnit:
    """Functions from source text, as Python."""

    def __init__(self, lang=None, _frames_up=0):
        self._functions = {}
        if lang is not None:
            self.define(lang)

    def define(self, lang, rcb=None, _frames_up=0):
        """Adds the functions of a source text."""
        import textwrap
        import typing

        import taper

        space = {"torch": taper, "Tensor": taper.Tensor, **{n: getattr(typing, n) for n in typing.__all__}}
        before = set(space)
        exec(textwrap.dedent(lang), space)
        self._functions.update((n, f) for n, f in space.items() if n not in before and n != "__builtins__")

    def __getattr__(self, name):
        try:
            return self.__dict__["_functions"][name]
        except KeyError:
            raise AttributeError(f"'CompilationUnit' has no attribute '{name}'") from None


def __getattr__(name):
    # These would load modules that most programs of `jit` do not need.
    if name in ("ScriptModule", "RecursiveScriptModule", "TracedModule", "TopLevelTracedModule"):
        from ._modules import ScriptModule

        return ScriptModule
    if name == "Final":
        from typing import Final

        return Final
    if name in ("_script", "_trace", "annotations", "frontend", "mobile"):
        from importlib import import_module

        return import_module("taper.jit." + name)
    raise AttributeError(f"module 'taper.jit' has no attribute '{name}'")


class ScriptFunction:
    """The class of compiled functions: there are none, `script` gives the function itself."""


def script(obj=None, optimize=None, _frames_up=0, _rcb=None, example_inputs=None):
    """The function, class or module itself."""
    return (lambda f: f) if obj is None else obj


def script_method(fn, _rcb=None):
    """The method itself."""
    return fn


def script_if_tracing(fn):
    """The function itself."""
    return fn


def trace(func, example_inputs=None, optimize=None, check_trace=True, *args, example_kwarg_inputs=None, **kwargs):
    """The function or module itself, after one call with the example."""
    if example_inputs is None and example_kwarg_inputs is None:
        raise RuntimeError("example_kwarg_inputs should be a dict")
    from .._grad_mode import no_grad

    with no_grad():
        if example_kwarg_inputs is not None:
            func(**example_kwarg_inputs)
        else:
            func(*example_inputs) if isinstance_(example_inputs, (tuple, list)) else func(example_inputs)
    return func


isinstance_ = isinstance


def trace_module(mod, inputs, *args, **kwargs):
    """The module itself, after one call of each named method with its example."""
    if not isinstance_(inputs, dict):
        raise AttributeError("expected a dictionary of (method_name, input) pairs")
    for name, example in inputs.items():
        method = mod if name == "forward" else getattr(mod, name)
        method(*example) if isinstance_(example, (tuple, list)) else method(example)
    return mod


def is_scripting():
    """False: functions run as Python."""
    return False


is_tracing = is_scripting


def ignore(drop=False, **kwargs):
    """Decorates what a compiler would leave out: the function itself."""
    return drop if callable(drop) else lambda f: f


def unused(fn):
    """The function itself."""
    return fn


def export(fn):
    """The function itself."""
    return fn


def interface(obj):
    """The class itself."""
    return obj


def annotate(the_type, the_value):
    """The value."""
    return the_value


def isinstance(obj, target_type):  # noqa: A001
    """Whether a value fits a type, containers with the types of their items among them."""
    import typing

    if isinstance_(target_type, (tuple, list)):
        return any(isinstance(obj, t) for t in target_type)
    origin, args = typing.get_origin(target_type), typing.get_args(target_type)
    if origin is typing.Union or type(target_type).__name__ == "UnionType":
        return any(isinstance(obj, t) for t in args)
    if target_type is None or target_type is type(None):
        return obj is None
    if origin is None:
        return isinstance_(obj, target_type)
    if not isinstance_(obj, origin):
        return False
    if not args:
        raise RuntimeError(
            f"Attempted to use {target_type} without a contained type. Please add a contained type, e.g. List[int]"
        )
    if origin is dict:
        return all(isinstance(k, args[0]) and isinstance(v, args[1]) for k, v in obj.items())
    if origin is tuple and not (len(args) == 2 and args[1] is Ellipsis):
        return len(obj) == len(args) and all(isinstance(v, t) for v, t in zip(obj, args))
    return all(isinstance(v, args[0]) for v in obj)


def fork(func, *args, **kwargs):
    """A Future of the call, which is made at once."""
    result = Future()
    try:
        value = func(*args, **kwargs)
    except Exception as error:
        result.set_exception(error)
    else:
        result.set_result(value)
    return result


def wait(future):
    """The value of a Future."""
    return future.wait()


def freeze(mod, preserved_attrs=None, optimize_numerics=True):
    """The module itself, which must be in evaluation mode."""
    if getattr(mod, "training", False):
        raise RuntimeError(
            "Freezing is currently only implemented for modules in eval mode. Please call .eval() on your module before freezing."
        )
    return mod


def optimize_for_inference(mod, other_methods=None):
    """The module itself."""
    return mod


def export_opnames(m):
    """No names: nothing is compiled."""
    return []


def save(m, f, _extra_files=None):
    """Refused: there is no TorchScript."""
    raise RuntimeError(f"torch.jit.save: Taper has no TorchScript to write; {_WAY}")


def load(f, map_location=None, _extra_files=None, _restore_shapes=False):
    """Refused: TorchScript cannot be run."""
    raise RuntimeError(f"torch.jit.load: Taper cannot run a TorchScript file; where it was made, {_WAY}")


_onednn = False


def enable_onednn_fusion(enabled):
    """Accepted and remembered."""
    global _onednn
    _onednn = bool(enabled)


def onednn_fusion_enabled():
    """What enable_onednn_fusion set."""
    return _onednn


def set_fusion_strategy(strategy):
    """Accepted; returns what it was."""
    return [("STATIC", 2), ("DYNAMIC", 10)]


class strict_fusion:
    """Accepted: nothing is fused here."""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass


class optimized_execution(strict_fusion):
    """Accepted."""

    def __init__(self, should_optimize):
        pass


def fuser(name):
    """Accepted: there is no fuser to choose."""
    return strict_fusion()
