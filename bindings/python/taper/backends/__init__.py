"""Switches of PyTorch's backends, accepted so that programs can set them."""


class _Switches:
    """Attributes that may be read and set."""

    def __init__(self, **values):
        self.__dict__.update(values)

    def is_available(self):
        return False

    def is_built(self):
        return False

    def version(self):
        return None


cudnn = _Switches(enabled=False, benchmark=False, deterministic=True, allow_tf32=False)
mps = _Switches()
mkl, mkldnn, openmp = _Switches(), _Switches(enabled=False), _Switches()
cuda = _Switches(matmul=_Switches(allow_tf32=False, allow_fp16_reduced_precision_reduction=False))
