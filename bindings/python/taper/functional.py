"""`torch.functional`: functions of `torch` that PyTorch composes in Python."""

from importlib import import_module

__all__ = """atleast_1d atleast_2d atleast_3d block_diag broadcast_shapes broadcast_tensors cartesian_prod cdist
chain_matmul einsum lu meshgrid norm split stft tensordot unique unique_consecutive unravel_index""".split()


def __getattr__(name):
    if name in __all__:
        return getattr(import_module("taper"), name)
    raise AttributeError(f"module 'taper.functional' has no attribute '{name}'")
