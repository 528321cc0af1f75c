"""Automatic casts, under the name of their module in PyTorch. The core does them: this switches them on and off."""

import warnings
from ctypes import addressof, byref, c_bool, c_int32

from .. import _c
from .._dtype import _DEVICE_CODES, _by_code, dtype
from .._grad_mode import _Mode
from .._tensor import Tensor

_begin, _end = _c.proto("autocast_begin"), _c.proto("autocast_end")
_enabled, _dtype = _c.proto("autocast_enabled"), _c.proto("autocast_dtype")
_set_enabled, _set_dtype = _c.proto("set_autocast_enabled"), _c.proto("set_autocast_dtype")
_cache_enabled, _set_cache_enabled = _c.proto("autocast_cache_enabled"), _c.proto("set_autocast_cache_enabled")
_clear_cache = _c.proto("autocast_clear_cache")


def _check(error):
    if error:
        _c.fail(error)


def _code(device_type):
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    code = _DEVICE_CODES.get(device_type)
    if code is None or device_type == "meta":
        raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
    return code


def is_autocast_available(device_type):
    """Whether autocast knows a type of devices."""
    return device_type in _DEVICE_CODES and device_type != "meta"


def is_autocast_enabled(device_type="cuda"):
    """Whether listed operations on tensors of a device's type are cast on this thread."""
    out = c_bool()
    _check(_enabled(_code(device_type), addressof(out)))
    return out.value


def set_autocast_enabled(device_type, enabled=None):
    """Sets that; with one argument, for CUDA."""
    if enabled is None:
        device_type, enabled = "cuda", device_type
    _check(_set_enabled(_code(device_type), bool(enabled), addressof(c_bool())))


def get_autocast_dtype(device_type):
    """What products are cast to: bfloat16 on the CPU, float16 elsewhere, or what was set."""
    out = c_int32()
    _check(_dtype(_code(device_type), addressof(out)))
    return _by_code[out.value]


def set_autocast_dtype(device_type, dtype):
    """Sets that: bfloat16 or float16."""
    _check(_set_dtype(_code(device_type), dtype.code))


def is_autocast_cache_enabled():
    """Whether the casts of parameters are kept until the outermost region ends."""
    return _cache_enabled()


def set_autocast_cache_enabled(enabled):
    """Sets that."""
    _set_cache_enabled(bool(enabled))


def clear_autocast_cache():
    """Frees the casts of parameters that are kept."""
    _check(_clear_cache())


def is_autocast_cpu_enabled():
    return is_autocast_enabled("cpu")


def get_autocast_cpu_dtype():
    return get_autocast_dtype("cpu")


def get_autocast_gpu_dtype():
    return get_autocast_dtype("cuda")


def set_autocast_cpu_enabled(enabled):
    set_autocast_enabled("cpu", enabled)


def set_autocast_cpu_dtype(dtype):
    set_autocast_dtype("cpu", dtype)


def set_autocast_gpu_dtype(dtype):
    set_autocast_dtype("cuda", dtype)


class autocast(_Mode):
    """Inside, products run in a shorter float type and what needs range or precision in float32, on one type of devices:
    ``with torch.autocast("cuda", dtype=torch.bfloat16):`` or ``@torch.autocast("cpu")``. Backward belongs outside."""

    def __init__(self, device_type, dtype=None, enabled=True, cache_enabled=None):
        self._code = _code(device_type)
        self.device = device_type
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else dtype
        self._cache_enabled = is_autocast_cache_enabled() if cache_enabled is None else bool(cache_enabled)
        if enabled and device_type != "cpu":
            from importlib import import_module

            if not import_module("taper." + device_type).is_available():
                name = {"cuda": "CUDA", "opencl": "OpenCL"}[device_type]
                warnings.warn(f"{name} is not available. Disabling autocast.", stacklevel=2)
                enabled = False
        if enabled and str(self.fast_dtype) not in ("torch.bfloat16", "torch.float16"):
            warnings.warn(
                f"In {device_type.upper()} autocast, but the target dtype is not supported. Disabling autocast.\n"
                f"{device_type.upper()} Autocast only supports dtypes of torch.bfloat16, torch.float16 currently.",
                stacklevel=2,
            )
            enabled = False
        self._enabled = bool(enabled)

    def clone(self):
        return self

    def __enter__(self):
        kept = self.fast_dtype.code if self._enabled else -1
        _check(_begin(self._code, kept, self._enabled, byref(c_bool(self._cache_enabled))))
        return self

    def __exit__(self, *exc):
        _check(_end())
        return False

    def __call__(self, function):
        if not callable(function):
            raise TypeError(
                f"autocast()(func) requires a callable, but got {type(function).__name__}. Did you mean to use autocast as a "
                "context manager? For example:\n    with torch.autocast(device_type=...):\n        output = model(input)"
            )
        return super().__call__(function)


def _cast(value, device_type, to):
    if isinstance(value, Tensor):
        eligible = value.is_floating_point() and value.device.type == device_type and value.element_size() != 8
        return value.to(to) if eligible else value
    if isinstance(value, dict):
        return {_cast(k, device_type, to): _cast(v, device_type, to) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_cast(v, device_type, to) for v in value)
    return value


def custom_fwd(fwd=None, *, device_type, cast_inputs: "dtype | None" = None):
    """Decorates the forward of an autograd.Function: with `cast_inputs` it runs on tensors of that dtype, outside of
    autocast, where autocast is on."""
    from functools import partial, wraps

    _code(device_type)
    if fwd is None:
        return partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @wraps(fwd)
    def decorated(*args, **kwargs):
        args[0]._dtype = get_autocast_dtype(device_type)
        on = is_autocast_enabled(device_type)
        args[0]._fwd_used_autocast = on and cast_inputs is None
        if cast_inputs is None or not on:
            return fwd(*args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(*_cast(args, device_type, cast_inputs), **_cast(kwargs, device_type, cast_inputs))

    return decorated


def custom_bwd(bwd=None, *, device_type):
    """Decorates the backward of an autograd.Function: autocast is there what it was in its forward."""
    from functools import partial, wraps

    _code(device_type)
    if bwd is None:
        return partial(custom_bwd, device_type=device_type)

    @wraps(bwd)
    def decorated(*args, **kwargs):
        with autocast(device_type, enabled=args[0]._fwd_used_autocast, dtype=args[0]._dtype):
            return bwd(*args, **kwargs)

    return decorated
