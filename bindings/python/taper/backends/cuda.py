"""Switches of the CUDA backend. Half types are always accumulated in float32, whatever the `reduced_precision` ones say."""

from contextlib import contextmanager


class _Matmul:
    @property
    def allow_tf32(self):
        """Whether products of float32 matrices may use TF32: `set_float32_matmul_precision` in other words."""
        from .._settings import get_float32_matmul_precision

        return get_float32_matmul_precision() != "highest"

    @allow_tf32.setter
    def allow_tf32(self, allow):
        from .._settings import set_float32_matmul_precision

        set_float32_matmul_precision("high" if allow else "highest")

    allow_fp16_reduced_precision_reduction = False
    allow_bf16_reduced_precision_reduction = False


matmul = _Matmul()
_sdp = {"flash": True, "mem_efficient": True, "math": True, "cudnn": True}


def is_built():
    """Whether this library has a CUDA backend at all."""
    from .._devices import why_not

    return "this build of Taper has no backend" not in (why_not("cuda") or "")


def _switch(name):
    def enabled():
        return _sdp[name]

    def enable(enabled):
        _sdp[name] = bool(enabled)

    return enabled, enable


flash_sdp_enabled, enable_flash_sdp = _switch("flash")
mem_efficient_sdp_enabled, enable_mem_efficient_sdp = _switch("mem_efficient")
math_sdp_enabled, enable_math_sdp = _switch("math")
cudnn_sdp_enabled, enable_cudnn_sdp = _switch("cudnn")


@contextmanager
def sdp_kernel(enable_flash=True, enable_math=True, enable_mem_efficient=True, enable_cudnn=True):
    """Within the block attention may use these kernels; Taper has one, whose results are the same."""
    before = dict(_sdp)
    _sdp.update(flash=enable_flash, math=enable_math, mem_efficient=enable_mem_efficient, cudnn=enable_cudnn)
    try:
        yield
    finally:
        _sdp.update(before)
