"""Results given as `out=`: what may be written into what, in PyTorch's words. Which op asks for what stands in the tables below."""

import sys

from . import _c

_C_NAMES = {
    "uint8": "unsigned char",
    "int8": "signed char",
    "int16": "short int",
    "int32": "int",
    "int64": "long int",
    "float16": "c10::Half",
    "bfloat16": "c10::BFloat16",
    "float32": "float",
    "float64": "double",
    "bool": "bool",
    "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>",
}
# These write numbers of any kind into any out.
_ANY = frozenset(
    "arange arange_start arange_start_step range_ linspace logspace ones zeros full eye rand randn randint randperm normal "
    "cumsum cumprod sum prod".split()
)
# What is made of numbers refuses an out of another dtype only where a dtype is asked for.
_MADE = frozenset("arange range_ linspace logspace ones zeros full eye".split())
# The dtype must be the result's, else: a text of (result, out), by the names that C++ gives them or PyTorch's own.
_STRICT = frozenset(
    "addmm addmv baddbmm bmm cross linalg_cross _max_dim softmax log_softmax aminmax topk mm slice_scatter triangular_solve svd "
    "gather index_copy index_add index_reduce sort scatter scatter_add unfold_copy msort renorm take_along_dim tril triu norm "
    "scatter_reduce linalg_det linalg_cholesky linalg_cholesky_ex linalg_eigvalsh linalg_ldl_factor linalg_ldl_factor_ex "
    "linalg_ldl_solve linalg_qr linalg_polar linalg_slogdet linalg_vector_norm linalg_lu_factor linalg_lu_factor_ex linalg_lu "
    "linalg_lu_solve lu_solve linalg_inv linalg_inv_ex inverse linalg_solve linalg_solve_ex linalg_svd linalg_svdvals "
    "expand_copy diag diagonal_copy alias_copy as_strided_copy view_copy permute_copy split_copy split_with_sizes_copy "
    "unbind_copy squeeze_copy unsqueeze_copy transpose_copy t_copy select_copy slice_copy detach_copy argmax argmin "
    "avg_pool2d avg_pool3d linear isin".split()
)
_SAME = frozenset(
    "abs absolute ceil conj_physical frac floor neg negative round sign sgn trunc fix softshrink hardshrink gelu softplus".split()
)
_TEXTS = {
    "cummax": "expected scalar_type {0} but found {1}",
    "cummin": "expected scalar_type {0} but found {1}",
    "diff": "expected scalar_type {0} but found {1}",
    "logcumsumexp": "expected scalar_type {0} but found {1}",
    "logsigmoid": "expected scalar type {0} but found {1}",
    "linalg_solve_triangular": "expected scalar type {0} but found {1}",
    "dot": "result dtype {1} does not match input dtype {0}",
    "vdot": "result dtype {1} does not match input dtype {0}",
    "quantile": "quantile() out tensor must be same dtype as the input tensor",
    "nanquantile": "quantile() out tensor must be same dtype as the input tensor",
    "index_select": "index_select(): self and result must have the same scalar type",
    "take": "take(): self and out expected to have the same dtype, but got self.dtype = {0} and out.dtype = {1}",
    "nan_to_num": "nan_to_num: dtype of out: {1} should be same as input: {0}",
    "amax": "Expected the dtype for input and out to match, but got {0} for input's dtype and {1} for out's dtype.",
    "amin": "Expected the dtype for input and out to match, but got {0} for input's dtype and {1} for out's dtype.",
    "mode": "expected scalar type '{0}' but got '{1}' for values output",
    "narrow_copy": "Expected self.dtype() == output.dtype() to be true, but got false.  (Could this error message be improved?  "
    "If so, please report an enhancement request to PyTorch.)",
    "signbit": "signbit does not support non-boolean outputs.",
    "isposinf": "isposinf does not support non-boolean outputs.",
    "isneginf": "isneginf does not support non-boolean outputs.",
    "nonzero": "nonzero: Expected out tensor to have scalar type {0} but got scalar type{1}",
    "inner": "tensordot: Expected the output tensor to have dtype {0}, but got an output tensor with dtype {1}",
    "tensordot": "tensordot: Expected the output tensor to have dtype {0}, but got an output tensor with dtype {1}",
    "linalg_norm": "linalg.norm expected out tensor dtype {0} but got: {1}",
    "linalg_matrix_norm": "linalg.matrix_norm expected out tensor dtype {0} but got: {1}",
    "linalg_vecdot": "linalg.vecdot: Expected out of dtype{0} but found {1}",
    "linalg_multi_dot": "multi_dot(): expected out tensor to have dtype {2} but got {3}",
    "where": "Expected out type to be {0} but got {1}",
    "masked_select": "masked_select(): self and result must have the same scalar type",
    "kthvalue": "output values must be of same type as input",
    "ormqr": "torch.ormqr: Expected input and result to have the same dtype, but input has dtype{0} and result has dtype {1}",
    "frexp": "torch.frexp() expects mantissa to have dtype {2} but got {3}",
    "matmul": "result dtype {1} does not match input dtype {0}",
    "native_batch_norm": "expected scalar type {0} but found {1}",
    "heaviside": "heaviside is not yet implemented for tensors with different dtypes.",
    "addbmm": "self and mat2 must have the same dtype, but got {1} and {0}",
    "mv": "addmv input tensors must have the same dtype, but got {1}, {0}, and {0}",
    "nuclear_norm": "linalg.matrix_norm expected out tensor dtype {0} but got: {1}",
}  # fmt: skip
_SAFELY = "{} Expected result to be safely castable from {{0}} dtype, but got result with dtype {{1}}"
_SAFE_NAMES = {
    "cholesky_inverse": "cholesky_inverse",
    "cholesky_solve": "cholesky_solve",
    "matrix_power": "matrix_power",
    "linalg_matrix_power": "matrix_power",
    "linalg_pinv": "linalg.pinv",
    "linalg_cond": "linalg.cond",
    "linalg_tensorinv": "tensorinv",
    "linalg_tensorsolve": "tensorsolve",
    "linalg_householder_product": "torch.linalg.householder_product",
    "linalg_matrix_rank": "torch.linalg.matrix_rank",
}
# What is said where the result's dtype cannot be cast to the out's.
_UNCASTABLE = {name: _SAFELY.format(f"{text}:") for name, text in _SAFE_NAMES.items()} | {
    "complex": "Expected object of scalar type {0} but got scalar type {1} for argument 'out'",
    "polar": "Expected object of scalar type {0} but got scalar type {1} for argument 'out'",
    "ldexp": "ldexp can't be cast to the desired output type {1}",
    "logsumexp": "logsumexp(): Expected floating point type for result tensor, but got: {1}",
    "mean": "mean.dtype_out(): input types can't be cast to the desired output type {1}",
    "float_power": "the output given to float_power has dtype {1} but the operation's result requires dtype {0}",
    "mvlgamma": "mvlgamma: result type {0} can't be cast to the desired output type {0}",
    "geqrf": "torch.geqrf: Expected a to be safely castable from {0} dtype, but got a with dtype {1}",
    "linalg_lstsq": "torch.linalg.lstsq: Expected solution to be safely castable from {0} dtype, but got solution with dtype {1}",
    "max": "Expected canCast( typeMetaToScalarType(self.dtype()), typeMetaToScalarType(out.dtype())) to be true, but got false.  "
    "(Could this error message be improved?  If so, please report an enhancement request to PyTorch.)",
}
_UNCASTABLE["min"] = _UNCASTABLE["max"]
_CATS = frozenset("cat concat concatenate stack column_stack hstack vstack dstack row_stack".split())
# The name that messages give an op, where it is not its own.
_NAMES = {
    "true_divide": "div", "divide": "div", "div_tensor_mode": "div", "multiply": "mul", "subtract": "sub",
    "absolute": "abs", "cross": "linalg_cross", "column_stack": "cat", "stack": "stack", "hstack": "cat", "vstack": "cat",
    "dstack": "cat", "row_stack": "cat", "float_power": "pow", "square": "pow", "kron": "mul", "outer": "mul", "msort": "sort",
    "nanmean": "nansum", "norm": "linalg_vector_norm", "take_along_dim": "gather", "lu_solve": "linalg_lu_solve",
    "linalg_cholesky": "linalg_cholesky_ex", "linalg_det": "_linalg_det", "linalg_eigvalsh": "_linalg_eigh",
    "linalg_inv": "linalg_inv_ex", "inverse": "linalg_inv_ex", "linalg_multi_dot": "mm", "linalg_slogdet": "_linalg_slogdet",
    "linalg_solve": "_linalg_solve_ex", "linalg_svd": "_linalg_svd", "linalg_svdvals": "_linalg_svd",
    "linalg_vecdot": "vdot", "logsigmoid": "log_sigmoid_forward",
    "_max_dim": "max",
}  # fmt: skip
_ATEN = frozenset(
    "arange eye full ones zeros linspace logspace softmax log_softmax slice_scatter histogram heaviside floor_divide "
    "conj_physical linalg_ldl_solve".split()
)
# Written by ops in place, which refuse a leaf that requires a gradient.
_IN_PLACE = frozenset(
    "diff quantile nanquantile svd inner tensordot nuclear_norm linalg_cond linalg_matrix_power matrix_power linalg_norm "
    "linalg_matrix_norm linalg_tensorinv linalg_tensorsolve special_ndtr ndtr".split()
)
# Without a derivative nobody looks at the gradient.
_NO_GRADIENT = frozenset(
    "split_with_sizes_copy histc special_airy_ai special_scaled_modified_bessel_k0 special_scaled_modified_bessel_k1 "
    "special_spherical_bessel_j0".split()
)
# Resized in silence.
_SILENT = frozenset("ones zeros full eye linspace logspace addbmm mode narrow_copy lu".split())
# These may not read what they write, not even the same elements.
_APART = frozenset(
    "gather index_select take masked_select kthvalue scatter scatter_add scatter_reduce index_add index_copy index_reduce sort "
    "topk mode cummax cummin".split()
)
# What names the device it wants.
_DEVICE = frozenset(
    "svd gather index_reduce scatter_add scatter argmax argmin linalg_det linalg_cholesky linalg_cholesky_ex linalg_inv "
    "linalg_inv_ex inverse linalg_svd linalg_svdvals avg_pool2d".split()
)


_ALIASES = {"arange_start": "arange", "arange_start_step": "arange", "max_other": "maximum", "min_other": "minimum"}


def _public(name):
    return name.removeprefix("op_")


def _message_name(name):
    if name in _ATEN or name.endswith("_copy"):
        return f"aten::{name}"
    return _NAMES.get(name, name)


def _check_gradient(name, result, out):
    if not (out.requires_grad or result.requires_grad) or not _c.grad_mode_enabled():
        return
    if name in _NO_GRADIENT or "_polynomial_" in name or result.dtype.name == "bool":
        return
    if name in _IN_PLACE and out.requires_grad and out.is_leaf:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    raise RuntimeError(
        f"{_message_name(name)}(): functions with out=... arguments don't support automatic differentiation, but one of the "
        "arguments requires grad."
    )


def _check_device(name, result, out, given):
    if result.device == out.device:
        return
    if name in _DEVICE:
        raise RuntimeError(f"Expected out tensor to have device {result.device}, but got {out.device} instead")
    if name in _SAFE_NAMES and name not in ("cholesky_inverse", "cholesky_solve"):
        raise RuntimeError(
            f"{_SAFE_NAMES[name]}: Expected result and input tensors to be on the same device, but got result on {out.device} and "
            f"input on {result.device}"
        )
    if name in _MADE and given.get("device") is not None:
        raise RuntimeError(
            f"device type {result.device.type} does not match device type of out parameter ({out.device.type})"
        )
    if "meta" in (result.device.type, out.device.type):
        raise RuntimeError(
            f"Attempting to copy from device {result.device} to device {out.device}, but cross-device copies are not allowed!"
        )
    raise RuntimeError(
        f"Expected all tensors to be on the same device, but found at least two devices, {result.device} and {out.device}!"
    )


def _check_dtype(name, result, out, given):
    from ._functions import can_cast

    want, got = result.dtype, out.dtype
    if want == got:
        return
    words = want.scalar_name, got.scalar_name
    c = _C_NAMES.get(want.name, want.name), _C_NAMES.get(got.name, got.name)
    if name in _STRICT or name.endswith("_copy") and name not in _TEXTS:
        raise RuntimeError(f"Expected out tensor to have dtype {c[0]}, but got {c[1]} instead")
    if name in _SAME:
        raise RuntimeError(f"Found dtype {words[1]} but expected {words[0]}")
    if name in _TEXTS:
        raise RuntimeError(_TEXTS[name].format(*words, *c))
    if name in _MADE and given.get("dtype") is not None:
        raise RuntimeError(f"dtype {words[0]} does not match dtype of out parameter ({words[1]})")
    if name in ("all", "any") and got.name not in ("bool", "uint8"):
        raise RuntimeError(f"{name} only supports bool tensor for result, got: {words[1]}")
    if can_cast(want, got) or name in _ANY:
        return
    if name in _CATS:
        raise TypeError(f"torch.cat(): input types can't be cast to the desired output type {words[1]}")
    if name in _UNCASTABLE and not (name == "mean" and isinstance(given.get("dim"), (int, tuple, list))):
        raise RuntimeError(_UNCASTABLE[name].format(*words))
    raise RuntimeError(f"result type {words[0]} can't be cast to the desired output type {words[1]}")


def _span(t):
    """First and last byte of a tensor's elements, None where they have no place."""
    kind = t.device.type
    if not t.numel() or kind == "meta":
        return None
    # A device's memory has no address here, but each storage a number.
    first = (
        t.data_ptr() if kind == "cpu" else (_c.tensor_storage_id(t._h) << 64) + t.storage_offset() * t.element_size()
    )
    return first, first + (sum((n - 1) * s for n, s in zip(t.shape, t.stride())) + 1) * t.element_size()


def _check_memory(name, out, given):
    """An out that meets itself, or an input but for the same elements in the same order."""
    if any(n > 1 and s == 0 for n, s in zip(out.shape, out.stride())):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. Please "
            "clone() the tensor before performing the operation."
        )
    from ._tensor import Tensor

    mine = _span(out)
    for v in given.values() if mine else ():
        for t in v if isinstance(v, (tuple, list)) else (v,):
            if not isinstance(t, Tensor) or t is out and name not in _APART:
                continue
            other = _span(t)
            if other is None or other[0] >= mine[1] or mine[0] >= other[1]:
                continue
            same = other == mine and t.shape == out.shape and t.stride() == out.stride()
            if not same and not (t.is_contiguous() and out.is_contiguous()) and name not in _APART:
                # Strided windows may pass by each other.
                continue
            if not same or name in _APART:
                raise RuntimeError(
                    "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single "
                    "memory location. Please clone() the tensor before performing the operation."
                )


def copy_out(result, out, name=None):
    """Writes results into the tensors given as `out=`, which take the results' shapes."""
    frame = sys._getframe(2)
    name = _ALIASES.get(name or _public(frame.f_code.co_name), name or _public(frame.f_code.co_name))
    if name in ("max", "min"):
        # Three ops under one name: of all, along a dimension, of two tensors.
        other = frame.f_locals.get("other")
        name = "_max_dim" if isinstance(result, tuple) else name + "imum" if type(other) is type(out) else name
    given = {k: v for k, v in frame.f_locals.items() if k not in ("out", "r", "r_", "result")}
    return _copy(result, out, name, given)


def _copy(result, out, name, given):
    if isinstance(result, tuple):
        if not isinstance(out, (tuple, list)) or len(out) != len(result):
            raise TypeError(f"out= must be a tuple of {len(result)} Tensors")
        spans = [_span(o) for o in out] if name == "aminmax" else []
        if len(spans) == 2 and all(spans) and spans[0][0] < spans[1][1] and spans[1][0] < spans[0][1]:
            raise ValueError("aminmax(): the `min` and `max` out= tensors must not overlap.")
        written = [_copy(r, o, name, given) for r, o in zip(result, out)]
        return result._make(written) if hasattr(result, "_make") else type(result)(written)
    from ._grad_mode import no_grad
    from ._tensor import Tensor

    if not isinstance(out, Tensor):
        raise TypeError(f"argument 'out' must be Tensor, not {type(out).__name__}")
    _check_gradient(name, result, out)
    if name == "nonzero":
        _check_dtype(name, result, out, given)
    if result.device != out.device and name in _MADE:
        _check_dtype(name, result, out, given)
    _check_device(name, result, out, given)
    _check_dtype(name, result, out, given)
    _check_memory(name, out, given)
    with no_grad():
        if out.shape == result.shape:
            out.copy_(result)
            return out
        if name in ("linspace", "logspace") and out.numel() == result.numel():
            out.copy_(result.reshape(out.shape))
            return out
        if out.numel() and name not in _SILENT:
            import warnings

            warnings.warn(
                "An output with one or more elements was resized since it had shape "
                f"{list(out.shape)}, which does not match the required output shape {list(result.shape)}. This behavior is "
                "deprecated, and in a future PyTorch release outputs will not be resized unless they have zero elements. You "
                "can explicitly reuse an out tensor t by resizing it, inplace, to zero elements with t.resize_(0).",
                stacklevel=5,
            )
        out.data = result.detach().to(out.dtype)
    return out
