"""Where the package's functions and Tensor's methods come from: each is made when it is first used."""

from ._ops_table import FUNCTIONS, METHODS, NN
from ._tensor import Tensor

# Functions of `_functions.py` that take forms of arguments the generated ones do not: they go first.
MERGED = frozenset(
    "arange var std var_mean std_mean norm split einsum meshgrid broadcast_tensors where nonzero transpose movedim div div_ "
    "lstm gru rnn_tanh rnn_relu xlogy clamp_ lerp_ round_ squeeze_ sort argsort scatter scatter_ randint randint_like random_ normal unique "
    "unique_consecutive tensor_split atleast_1d atleast_2d atleast_3d block_diag cartesian_prod chain_matmul tensordot "
    "cdist gradient histogram hsplit vsplit dsplit repeat_interleave polygamma polygamma_".split()
)
# Composed of ops in `_functions.py` until the core has them: an op of the table goes first.
COMPOSED = frozenset(
    "broadcast_shapes is_tensor numel is_floating_point is_complex is_nonzero is_same_size result_type promote_types can_cast "
    "scalar_tensor swapaxes range".split()
)
ALIASES = {
    "subtract": "sub",
    "subtract_": "sub_",
    "multiply": "mul",
    "multiply_": "mul_",
    "divide": "div",
    "divide_": "div_",
    "true_divide": "div",
    "negative": "neg",
    "negative_": "neg_",
    "absolute": "abs",
    "absolute_": "abs_",
    "arccos": "acos",
    "arcsin": "asin",
    "arctan": "atan",
    "arctan2": "atan2",
    "arccosh": "acosh",
    "arccos_": "acos_",
    "arcsin_": "asin_",
    "arctan_": "atan_",
    "arctan2_": "atan2_",
    "arccosh_": "acosh_",
    "arcsinh_": "asinh_",
    "arctanh_": "atanh_",
    "fix_": "trunc_",
    "greater_": "gt_",
    "greater_equal_": "ge_",
    "less_": "lt_",
    "less_equal_": "le_",
    "not_equal_": "ne_",
    "true_divide_": "div_",
    "swapaxes_": "transpose_",
    "swapdims_": "transpose_",
    "arcsinh": "asinh",
    "arctanh": "atanh",
    "fix": "trunc",
    "clip": "clamp",
    "clip_": "clamp_",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "not_equal": "ne",
    "concat": "cat",
    "concatenate": "cat",
    "swapdims": "swapaxes",
    "moveaxis": "movedim",
    "ger": "outer",
    "row_stack": "vstack",
    "trapz": "trapezoid",
}
# Names of the two tables that are functions alone or methods alone.
_FUNCTION_ONLY = frozenset(
    "arange einsum meshgrid broadcast_tensors broadcast_shapes is_tensor result_type promote_types can_cast atleast_1d "
    "atleast_2d atleast_3d gradient scalar_tensor block_diag cartesian_prod chain_matmul numel is_floating_point is_complex randint randint_like normal range "
    "lstm gru rnn_tanh rnn_relu".split()
)
_METHOD_ONLY = frozenset(("div_", "clamp_", "lerp_", "squeeze_", "scatter_", "random_", "polygamma_"))
# Ops that are in the table for the bindings' own use.
_INTERNAL = ("init_", "fused_", "clip_grad_", "linalg_", "fft_")
# Functions and methods of `_seldom.py`; what the table has goes first.
_SELDOM_FUNCTIONS = frozenset(
    "affine_grid_generator alias_copy as_strided_copy compiled_with_cxx11_abi cond detach_copy "
    "diagonal_copy expand_copy get_deterministic_debug_mode get_device grid_sampler_2d grid_sampler_3d histogramdd "
    "init_num_threads is_conj is_distributed is_inference is_neg is_signed is_vulkan_available is_warn_always_enabled "
    "native_channel_shuffle permute_copy resize_as_ resolve_conj resolve_neg segment_reduce select_copy "
    "set_deterministic_debug_mode set_warn_always slice_copy slice_inverse split_copy split_with_sizes_copy squeeze_copy "
    "sym_float sym_int sym_ite sym_max sym_min sym_not sym_sqrt sym_sum t_copy transpose_copy unbind_copy unfold_copy "
    "unravel_index unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze_copy view_copy while_loop".split()
)
_SELDOM_METHODS = frozenset(
    "cholesky const_data_ptr dense_dim dim_order eig hardshrink indices "
    "is_coalesced is_distributed is_set_to lstsq map2_ new_empty_strided prelu qr reinforce resize "
    "resize_as resolve_conj resolve_neg slice_inverse solve sparse_dim symeig to_dense unsafe_chunk unsafe_split "
    "unsafe_split_with_sizes values".split()
)

_nn = frozenset(NN)
_function_names = frozenset(n for n in FUNCTIONS if not n.startswith(_INTERNAL)) | (MERGED | COMPOSED) - _METHOD_ONLY
_function_names -= {"segment_reduce", "unravel_index"}  # `_seldom.py` has them with PyTorch's names and errors
_method_names = frozenset(METHODS) | (MERGED | COMPOSED) - _FUNCTION_ONLY
# PyTorch keeps some functions of networks at the top as well.
_BOTH = frozenset(
    "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d batch_norm layer_norm group_norm rms_norm "
    "instance_norm dropout dropout_ alpha_dropout feature_dropout pixel_shuffle max_pool1d max_pool2d max_pool3d avg_pool1d "
    "adaptive_avg_pool1d celu selu prelu hardshrink threshold bilinear cosine_similarity pairwise_distance embedding".split()
)


def _home(name, alone):
    """The module that has a name, and the name there."""
    if name in MERGED or (name in COMPOSED and name not in alone):
        from . import _functions

        return getattr(_functions, "range_" if name == "range" else name)
    from . import _ops

    return getattr(_ops, name)


def function(name):
    """The free function of a name, or None."""
    if name in _function_names:
        return _home(name, FUNCTIONS)
    if name in ALIASES and ALIASES[name] in _function_names:
        return function(ALIASES[name])
    if name in _nn or name in _BOTH:
        from .nn import functional

        return getattr(functional, name, None)
    if name in _SELDOM_FUNCTIONS:
        from . import _seldom

        return _seldom.FUNCTIONS[name]
    return None


def function_names():
    """The names of all free functions."""
    return _function_names | {a for a, n in ALIASES.items() if n in _function_names} | (_BOTH & _nn) | _SELDOM_FUNCTIONS


class _Method:
    """Stands in class Tensor for a method until it is first asked for."""

    __slots__ = ("name", "module")

    def __init__(self, name, module=None):
        self.name = name
        self.module = module

    def __get__(self, instance, owner):
        name = self.name
        if self.module is not None:
            from importlib import import_module

            f = import_module("taper." + self.module).METHODS[name]
        elif name == "where":
            f = _where
        else:
            real = name if name in _method_names else ALIASES[name]
            f = _home(real, METHODS)
        setattr(Tensor, name, f)
        return f if instance is None else f.__get__(instance, owner)


def _where(self, condition, other):
    from ._functions import where

    return where(condition, self, other)


# Methods of `_methods.py`.
_MORE = (
    "to cpu cuda opencl type type_as new_full new_tensor new new_zeros new_ones new_empty untyped_storage storage apply_ map_ "
    "pin_memory share_memory_ coalesce rename resolve_conj resolve_neg cfloat cdouble float double half bfloat16 int long short bool byte "
    "char resize_ resize_as_ set_ record_stream lu"
).split()


def install():
    """Puts the methods' stand-ins into class Tensor."""
    for name in _method_names:
        setattr(Tensor, name, _Method(name))
    for alias, name in ALIASES.items():
        if name in _method_names:
            setattr(Tensor, alias, _Method(alias))
    for name in _MORE:
        setattr(Tensor, name, _Method(name, "_methods"))
    for name in _SELDOM_METHODS:
        if name not in Tensor.__dict__:
            setattr(Tensor, name, _Method(name, "_seldom"))
