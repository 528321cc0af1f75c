"""The CPU backend."""


def get_cpu_capability():
    """The instruction set that kernels use, in PyTorch's words."""
    from .._devices import properties

    return {"AVX-512": "AVX512", "AVX2": "AVX2"}.get(properties("cpu").version, "DEFAULT")
