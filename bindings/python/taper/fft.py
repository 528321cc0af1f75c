"""Fourier transforms, under the names of `torch.fft`. `norm` is "backward" (what is divided is the inverse, the default),
"ortho" (both, by the root) or "forward"."""

from . import _ops
from ._glue import copy_out
from ._tensor import Tensor

_COMPLEX = "fft ifft fft2 ifft2 fftn ifftn rfft rfft2 rfftn ihfft ihfft2 ihfftn".split()
_REAL = "irfft irfft2 irfftn hfft hfft2 hfftn".split()
_OTHER = "fftfreq rfftfreq fftshift ifftshift".split()
__all__ = sorted((*_COMPLEX, *_REAL, *_OTHER))

for _name in _OTHER:
    globals()[_name] = getattr(_ops, "fft_" + _name)


def _into(name, op, real):
    """The function of an op, whose `out=` has PyTorch's checks."""

    def function(*args, out=None, **named):
        if out is None:
            return op(*args, **named)
        if isinstance(out, Tensor) and not (out.is_floating_point() if real else out.is_complex()):
            kind = "floating point" if real else "complex"
            raise RuntimeError(f"{name} expects a {kind} output tensor, but got {out.dtype.scalar_name}")
        return copy_out(op(*args, **named), out)

    function.__name__ = function.__qualname__ = name
    function.__module__ = __name__
    function.__doc__ = op.__doc__
    return function


for _name in (*_COMPLEX, *_REAL):
    globals()[_name] = _into(_name, getattr(_ops, "fft_" + _name), _name in _REAL)
