"""Taper: tensors, automatic differentiation and neural networks, with PyTorch's names.

``import taper as torch`` runs programs written for PyTorch; ``python -m taper.run script.py`` runs them unchanged.
"""

from ._lib import library_version as __version__  # noqa: F401, I001  (the library is loaded first)
from . import _dtype
from ._dtype import Size, device, dtype, layout, memory_format
from ._tensor import Tensor
from . import _lazy, _module_names, _operators

pi, e, inf, nan = 3.141592653589793, 2.718281828459045, float("inf"), float("nan")
newaxis = None

_lazy.install()
_module_names.install()
_operators.install()

for _d in _dtype._by_code.values():
    globals()[_d.name] = _d
for _name in _dtype.ALIASES:
    globals()[_name] = getattr(_dtype, _name)
for _name in "strided sparse_coo preserve_format contiguous_format channels_last channels_last_3d".split():
    globals()[_name] = getattr(_dtype, _name)

_SUBMODULES = frozenset(
    "accelerator amp autograd backends checkpoint cpu cuda distributions fft func linalg mps nn opencl optim profiler provide_torch random safetensors serialization special storage torch_version utils version array_api".split()
) | frozenset(
    """_C __config__ _dynamo ao compiler distributed functional futures fx hub jit library multiprocessing onnx overrides signal testing
    types""".split()
)
_LEGACY = frozenset(d.scalar_name + "Tensor" for d in _dtype._by_code.values())
# Names whose modules are loaded when one of them is first used: that keeps `import taper` short.
_HOMES = {
    name: module
    for module, names in {
        "_assertions": "_assert",
        "_c": "get_default_dtype",
        "_convert": "from_numpy",
        "_custom_ops": "ops",
        "_creation": "as_tensor asarray frombuffer tensor",
        "_dlpack": "from_dlpack",
        "_errors": "Error OutOfMemoryError",
        "_grad_mode": "enable_grad inference_mode is_grad_enabled no_grad set_grad_enabled",
        "_limits": "finfo iinfo",
        "_linalg": "cholesky eig lstsq lu matrix_rank nuclear_norm pca_lowrank qr solve svd_lowrank symeig",
        "_random": "Generator default_generator get_rng_state initial_seed manual_seed seed set_rng_state",
        "_settings": "are_deterministic_algorithms_enabled compile get_default_device get_device_module "
        "get_float32_matmul_precision get_num_interop_threads get_num_threads is_anomaly_check_nan_enabled is_anomaly_enabled "
        "is_deterministic_algorithms_warn_only_enabled is_inference_mode_enabled is_storage "
        "set_default_device set_default_dtype set_default_tensor_type set_float32_matmul_precision set_flush_denormal "
        "set_log_callback set_num_interop_threads set_num_threads set_printoptions typename use_deterministic_algorithms",
        "amp": "autocast",
        "amp.autocast_mode": "clear_autocast_cache get_autocast_cpu_dtype get_autocast_dtype get_autocast_gpu_dtype "
        "is_autocast_cache_enabled is_autocast_cpu_enabled is_autocast_enabled set_autocast_cache_enabled "
        "set_autocast_cpu_dtype set_autocast_cpu_enabled set_autocast_dtype set_autocast_enabled set_autocast_gpu_dtype",
        "func": "vmap",
        "serialization": "load save",
        "storage": "UntypedStorage",
    }.items()
    for name in names.split()
}


def __getattr__(name):
    home = _HOMES.get(name)
    if home is not None:
        from importlib import import_module

        made = globals()[name] = getattr(import_module("taper." + home), name)
        return made
    made = _lazy.function(name)
    if made is not None:
        globals()[name] = made
        return made
    if name in _SUBMODULES:
        from importlib import import_module

        return import_module("taper." + name)
    if name in _LEGACY:
        from ._creation import legacy_types

        globals().update(legacy_types())
        return globals()[name]
    from ._absent_dtypes import NAMES, absent

    if name in NAMES:
        return absent(name)
    raise AttributeError(f"module 'taper' has no attribute '{name}'")


def __dir__():
    return sorted({*globals(), *_SUBMODULES, *_LEGACY, *_HOMES, *_lazy.function_names()})


__all__ = sorted({"Size", "Tensor", "device", "dtype", "layout", "memory_format", *_HOMES} - {"compile"})
