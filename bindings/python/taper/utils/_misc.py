"""The functions of `torch.utils` itself."""

import os

from .._tensor import KEPT, Tensor

# Where `find_package(Taper)` looks, in an installed tree.
cmake_prefix_path = os.path.join(os.path.dirname(os.path.dirname(__file__)), "share", "cmake")


def swap_tensors(t1, t2):
    """Exchanges two tensors: everything that holds the one holds what was the other."""
    for t in (t1, t2):
        if not isinstance(t, Tensor):
            raise TypeError(f"swap_tensors(): expected tensors, got {type(t).__name__}")
    t1.__class__, t2.__class__ = t2.__class__, t1.__class__
    t1._h, t2._h = t2._h, t1._h
    t1.__dict__, t2.__dict__ = t2.__dict__, t1.__dict__
    for t in (t1, t2):
        # The object that stood for the gradient, and what was read.
        for name in ("_grad", *KEPT):
            try:
                delattr(t, name)
            except AttributeError:
                pass


def set_module(obj, mod):
    """Says which module an object is from."""
    if not isinstance(mod, str):
        raise TypeError("The mod argument should be a string")
    obj.__module__ = mod


def get_cpp_backtrace(frames_to_skip=0, maximum_number_of_frames=64):
    """The native stack; there is none here: errors name the op and the argument."""
    return ""


def rename_privateuse1_backend(backend_name):
    """Refused: kinds of devices are part of the library."""
    raise RuntimeError(
        f"rename_privateuse1_backend({backend_name!r}): a kind of device cannot be added from Python; docs/CONTRIBUTING.md, "
        '"Adding a device", says how one is'
    )


def generate_methods_for_privateuse1_backend(*args, **kwargs):
    """Refused: kinds of devices are part of the library."""
    rename_privateuse1_backend("privateuse1")


class ThroughputBenchmark:
    """Calls a module many times from several threads and measures."""

    def __init__(self, module):
        self._module, self._inputs = module, []

    def add_input(self, *args, **kwargs):
        self._inputs.append((args, kwargs))

    def run_once(self, *args, **kwargs):
        return self._module(*args, **kwargs)

    def benchmark(self, num_calling_threads=1, num_warmup_iters=10, num_iters=100, profiler_output_path=""):
        """Statistics of num_iters calls over the inputs that were added."""
        import time
        from concurrent.futures import ThreadPoolExecutor
        from types import SimpleNamespace

        if not self._inputs:
            raise RuntimeError("ThroughputBenchmark: add_input comes first")

        def call(i):
            args, kwargs = self._inputs[i % len(self._inputs)]
            self._module(*args, **kwargs)

        for i in range(num_warmup_iters):
            call(i)
        start = time.perf_counter()
        with ThreadPoolExecutor(num_calling_threads) as pool:
            list(pool.map(call, range(num_iters)))
        seconds = time.perf_counter() - start
        return SimpleNamespace(
            latency_avg_ms=seconds * 1000 * num_calling_threads / num_iters,
            num_iters=num_iters,
            total_time_seconds=seconds,
        )
