"""`torch.compiler`: Taper runs eagerly, so that nothing is compiled, and each function is itself."""

import contextlib

from ._settings import compile  # noqa: F401


class PrecompileError(RuntimeError):
    """Raised by what needs compiled code."""


def _itself(fn=None, *args, **kwargs):
    if fn is None:
        return lambda f: f
    return fn


def disable(fn=None, recursive=True, *, reason=None):
    """The function itself; as `@disable()` as well."""
    return _itself(fn)


def allow_in_graph(fn):
    """The function itself."""
    return fn


def assume_constant_result(fn):
    """The function itself."""
    return fn


nonstrict_trace = wrap_numpy = allow_in_graph


def nested_compile_region(fn=None, **options):
    """The function itself."""
    return _itself(fn)


def substitute_in_graph(original_fn, *, can_constant_fold_through=False, skip_signature_check=False):
    """A decorator that gives its function back."""
    return lambda f: f


def reset():
    """Nothing is compiled, nothing to forget."""


cudagraph_mark_step_begin = cudagraph_mark_warmup_incomplete = reset


def is_compiling():
    """False."""
    return False


is_dynamo_compiling = is_exporting = is_compiling


def list_backends(exclude_tags=("debug", "experimental")):
    """The backends of `torch.compile`: running eagerly."""
    return ["eager"]


_backend = "eager"


def set_default_backend(backend):
    """Accepted: all backends run eagerly."""
    global _backend
    _backend = "eager" if backend is None else backend


def get_default_backend():
    """What set_default_backend set."""
    return _backend


_STANCES = (
    "aot_eager_then_compile",
    "default",
    "eager_on_recompile",
    "eager_then_compile",
    "fail_on_recompile",
    "force_eager",
)


class set_stance(contextlib.ContextDecorator):
    """Accepted: everything runs eagerly."""

    def __init__(self, stance="default", *, skip_guard_eval_unsafe=False, force_backend=None):
        if stance not in _STANCES:
            raise RuntimeError(f"invalid torch.compile stance 'DynamoStance(stance={stance!r})'")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass


def set_enable_guard_collectives(enabled):
    """Accepted; returns what it was."""
    return False


def _all_guards(guard_entries):
    return [True for _ in guard_entries]


skip_guard_on_inbuilt_nn_modules_unsafe = skip_guard_on_all_nn_modules_unsafe = keep_portable_guards_unsafe = (
    _all_guards
)
skip_guard_on_globals_unsafe = skip_all_guards_unsafe = _all_guards


def keep_tensor_guards_unsafe(guard_entries, keep_parameters=False):
    """All of them: there are no guards."""
    return _all_guards(guard_entries)


def save_cache_artifacts():
    """None: nothing was compiled."""
    return None


def load_cache_artifacts(serialized_artifacts):
    """None: nothing is compiled."""
    return None


def load_compiled_function(file, *, f_globals=None, external_data=None):
    """Refused: there is no compiled code."""
    raise PrecompileError(
        "load_compiled_function(): Taper runs eagerly and has no compiled functions; call the Python function itself"
    )


__all__ = [n for n in dir() if not n.startswith("_") and n not in ("contextlib",)]
