"""Process-wide settings: default dtype and device, threads, and switches that PyTorch programs set."""

from ctypes import CFUNCTYPE, addressof, c_char_p, c_int32, c_void_p, cast

from . import _c
from ._dtype import dtype
from ._tensor import Tensor
from ._types_gen import LOG


def _check(error):
    if error:
        _c.fail(error)


def set_default_dtype(d):
    """Sets the dtype of tensors made from floats when none is named; a float dtype."""
    if not isinstance(d, dtype):
        raise TypeError("invalid dtype object: only floating-point types are supported as the default type")
    _check(_c.set_default_dtype(d.code))


def set_default_tensor_type(t):
    """The old form of set_default_dtype: a type such as `FloatTensor`, or its name."""
    if isinstance(t, str):
        from ._creation import legacy_types

        t = legacy_types()[t.rpartition(".")[2]]
    set_default_dtype(t.dtype)


def set_default_device(device):
    """Sets the device of tensors whose creation names none."""
    _c.set_default_device(device)


def get_default_device():
    """The device of tensors whose creation names none."""
    return _c.get_default_device()


def get_device_module(device=None):
    """The module of a device's type: `taper.cuda`, `taper.opencl` or `taper.cpu`; of the accelerator by default."""
    from importlib import import_module

    if device is None:
        from .accelerator import current_accelerator

        device = current_accelerator() or "cpu"
    return import_module("taper." + _c.to_device(device).type)


def set_num_threads(n):
    """Sets the number of threads that CPU kernels use; results do not depend on it."""
    if not isinstance(n, int):
        raise RuntimeError(f"set_num_threads expects an int, but got {type(n).__name__}")
    _check(_c.proto("set_num_threads")(max(-1, min(n, 1 << 30))))


def get_num_threads():
    """The number of threads that CPU kernels use."""
    return _c.proto("get_num_threads")()


set_num_interop_threads = set_flush_denormal = lambda *args: None


def get_num_interop_threads():
    return 1


_deterministic = False
_deterministic_warns = False


def use_deterministic_algorithms(mode, *, warn_only=False):
    """Accepted and remembered: Taper's results do not depend on threads or timing anyway."""
    global _deterministic, _deterministic_warns
    _deterministic, _deterministic_warns = bool(mode), bool(mode and warn_only)


def are_deterministic_algorithms_enabled():
    return _deterministic


def is_deterministic_algorithms_warn_only_enabled():
    """Whether use_deterministic_algorithms was asked for warnings alone."""
    return _deterministic_warns


_PRECISIONS = ("highest", "high", "medium")


def set_float32_matmul_precision(precision):
    """How exactly float32 matrices are multiplied where a device has shorter formats: 'highest' (float32), 'high' or
    'medium' (TF32 on CUDA)."""

    e = _c.proto("set_float32_matmul_precision")(_c.text(str(precision)))
    _check(e)


def get_float32_matmul_precision():
    """What set_float32_matmul_precision set."""
    return _PRECISIONS[_c.proto("get_float32_matmul_precision")()]


_LEVELS = {name.lower(): code for name, code in LOG.items()}
_LEVEL_NAMES = {code: name for name, code in _LEVELS.items()}


def _say(key, level, text):
    try:
        _c.held[key](_LEVEL_NAMES.get(level, "debug"), text.decode())
    except Exception:  # what a listener raises has nobody to go to
        pass


def set_log_callback(f, level="info"):
    """Has f(level, text) told what the library has to say besides errors: "error", "warning", "info" or "debug", up to a level;
    None: nobody, as at first. Any thread may call it; it must not call the library, and what it raises is lost."""
    global _say_callback
    if level not in _LEVELS:
        raise ValueError(f"expected a level among {', '.join(_LEVELS)}, got {level!r}")
    if f is None:
        _check(_c.proto("set_log_callback")(None, None, _LEVELS[level]))
        return
    if _say_callback is None:
        _say_callback = CFUNCTYPE(None, c_void_p, c_int32, c_char_p)(_say)
    vtable = (c_void_p * 3)(24, cast(_say_callback, c_void_p).value, _c.release_address)
    _check(_c.proto("set_log_callback")(addressof(vtable), _c.hold(f), _LEVELS[level]))


_say_callback = None


def is_inference_mode_enabled():
    """Whether inference mode is on for this thread."""
    return _c.inference_mode_enabled()


def is_anomaly_enabled():
    """Whether anomaly mode is on (`torch.autograd.set_detect_anomaly`)."""
    return _c.detect_anomaly_enabled()


def is_anomaly_check_nan_enabled():
    """Whether anomaly mode looks for NaN."""
    return _c.detect_anomaly_checks_nan()


def is_storage(obj):
    """Whether obj is what `untyped_storage()` returns."""
    from .storage import UntypedStorage

    return isinstance(obj, UntypedStorage)


def typename(obj):
    """The name of an object's type; of a tensor, such as 'torch.FloatTensor'."""
    if isinstance(obj, Tensor):
        return obj.type()
    return f"{type(obj).__module__}.{type(obj).__qualname__}"


def compile(model=None, **kwargs):
    """Returns the function or module itself: Taper runs eagerly."""
    return (lambda m: m) if model is None else model


def set_printoptions(precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None, sci_mode=None):
    """How tensors are printed; what is not given stays."""
    from ctypes import byref

    def some(cell, v):
        if cell is _c.c_int64 and v is not None:
            v = int(max(-1, min(v, (1 << 63) - 1)))  # threshold=float("inf") prints everything
        return None if v is None else byref(cell(v))

    f = _c.proto("set_printoptions")
    e = f(
        some(_c.c_int64, precision),
        some(_c.c_double, threshold),
        some(_c.c_int64, edgeitems),
        some(_c.c_int64, linewidth),
        None if profile is None else _c.text(profile),
        some(_c.c_bool, sci_mode),
    )
    _check(e)


__all__ = [
    "set_printoptions",
    "are_deterministic_algorithms_enabled",
    "compile",
    "get_default_device",
    "get_device_module",
    "get_float32_matmul_precision",
    "get_num_interop_threads",
    "get_num_threads",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "is_deterministic_algorithms_warn_only_enabled",
    "is_inference_mode_enabled",
    "is_storage",
    "set_default_device",
    "set_default_dtype",
    "set_default_tensor_type",
    "set_float32_matmul_precision",
    "set_flush_denormal",
    "set_log_callback",
    "set_num_interop_threads",
    "set_num_threads",
    "typename",
    "use_deterministic_algorithms",
]
