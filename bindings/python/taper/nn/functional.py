"""Functions of neural networks: the table's ops, with the keyword forms that PyTorch accepts besides."""

from __future__ import annotations

import sys

from .. import _c
from .. import _ops as g
from .._dtype import bool as _bool
from .._ops_table import FUNCTIONS, NN
from .._tensor import Tensor
from ._interpolate import affine_grid as affine_grid
from ._interpolate import grid_sample as grid_sample
from ._interpolate import interpolate

TYPE_CHECKING = False
if TYPE_CHECKING:  # for type checkers and editors: what __getattr__ gives
    from ._functional_gen import *  # noqa: F403


def __getattr__(name):
    # What is not written out below is the op of the table as it is.
    if name in NN or name in FUNCTIONS:
        made = globals()[name] = getattr(g, name)
        return made
    raise AttributeError(f"module 'taper.nn.functional' has no attribute '{name}'")


def _in_place(input, function, *args):
    """function's result written into input; its derivative may need what input was."""
    old = input.clone() if input.requires_grad and _c.grad_mode_enabled() else input
    return input.copy_(function(old, *args))


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    return g.relu_(input) if inplace else g.relu(input)


def relu_(input: Tensor) -> Tensor:
    """max(x, 0) in place."""
    return g.relu_(input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x)."""
    return g.silu_(input) if inplace else g.silu(input)


def gelu(input: Tensor, approximate: str = "none", *, out=None) -> Tensor:
    """x times the normal distribution function of x; approximate='tanh' for the approximation."""
    return g.gelu(input, approximate=approximate, out=out)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where positive, else negative_slope * x."""
    return _in_place(input, g.leaky_relu, negative_slope) if inplace else g.leaky_relu(input, negative_slope)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, else alpha * (exp(x) - 1)."""
    return _in_place(input, g.elu, alpha) if inplace else g.elu(input, alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """The self-normalising exponential linear unit."""
    return _in_place(input, g.selu) if inplace else g.selu(input)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """max(x, 0) + min(0, alpha * (exp(x / alpha) - 1))."""
    return _in_place(input, g.celu, alpha) if inplace else g.celu(input, alpha)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
    return _in_place(input, g.relu6) if inplace else g.relu6(input)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x limited to [min_val, max_val]."""
    return _in_place(input, g.hardtanh, min_val, max_val) if inplace else g.hardtanh(input, min_val, max_val)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * relu6(x + 3) / 6."""
    return _in_place(input, g.hardswish) if inplace else g.hardswish(input)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """relu6(x + 3) / 6."""
    return _in_place(input, g.hardsigmoid) if inplace else g.hardsigmoid(input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(softplus(x))."""
    return _in_place(input, g.mish) if inplace else g.mish(input)


def threshold(input: Tensor, threshold, value, inplace: bool = False) -> Tensor:
    """x where above the threshold, else value."""
    return _in_place(input, g.threshold, threshold, value) if inplace else g.threshold(input, threshold, value)


def rrelu(
    input: Tensor, lower: float = 0.125, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """x where positive, else times a slope: a random one for each element in training, else the mean of both bounds."""
    return (g.rrelu_ if inplace else g.rrelu)(input, lower, upper, training)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return g.sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return g.tanh(input)


def _implied_dim(name, ndim):
    import warnings

    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=4,
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Tensor, dim=None, _stacklevel=3, dtype=None) -> Tensor:
    """exp(x) / sum(exp(x)) along a dimension."""
    return g.softmax(input, _implied_dim("softmax", input.ndim) if dim is None else dim, dtype)


def log_softmax(input: Tensor, dim=None, _stacklevel=3, dtype=None) -> Tensor:
    """The logarithm of softmax."""
    return g.log_softmax(input, _implied_dim("log_softmax", input.ndim) if dim is None else dim, dtype)


def softmin(input: Tensor, dim=None, _stacklevel=3, dtype=None) -> Tensor:
    """softmax(-x)."""
    return g.softmin(input, _implied_dim("softmin", input.ndim) if dim is None else dim, dtype)


def gumbel_softmax(logits, tau=1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A sample of the Gumbel-softmax distribution; hard=True gives one-hot vectors with soft gradients."""
    return g.gumbel_softmax(logits, tau, hard, dim)


# --- dropout ---------------------------------------------------------------------------------------------------------


def _dropout(name, default=True):
    def function(input, p=0.5, training=default, inplace=False):
        if p < 0.0 or p > 1.0:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        r = getattr(g, name)(input, p, training)
        return input.copy_(r) if inplace else r

    function.__name__ = name
    function.__doc__ = "Zeroes random elements (whole channels in the feature forms) in training and scales the rest."
    return function


dropout, dropout1d, dropout2d, dropout3d = (_dropout(n) for n in ("dropout", "dropout1d", "dropout2d", "dropout3d"))
alpha_dropout, feature_alpha_dropout = _dropout("alpha_dropout", False), _dropout("feature_alpha_dropout", False)


# --- pooling ---------------------------------------------------------------------------------------------------------


def _max_pool(dims):
    plain, both = (f"max_pool{dims}d{s}" for s in ("", "_with_indices"))

    def function(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        stride = () if stride is None else stride
        if return_indices:
            return tuple(getattr(g, both)(input, kernel_size, stride, padding, dilation, ceil_mode))
        return getattr(g, plain)(input, kernel_size, stride, padding, dilation, ceil_mode)

    function.__name__ = plain
    function.__doc__ = "The maximum of each window."
    return function


max_pool1d, max_pool2d, max_pool3d = _max_pool(1), _max_pool(2), _max_pool(3)


def avg_pool1d(
    input: Tensor, kernel_size, stride=None, padding=0, ceil_mode: bool = False, count_include_pad: bool = True
) -> Tensor:
    """The mean of each window."""
    return g.avg_pool1d(input, kernel_size, () if stride is None else stride, padding, ceil_mode, count_include_pad)


def _avg_pool(dims):
    name = f"avg_pool{dims}d"

    def function(
        input: Tensor,
        kernel_size,
        stride=None,
        padding=0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override=None,
        *,
        out=None,
    ) -> Tensor:
        stride = () if stride is None else stride
        return getattr(g, name)(
            input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, out=out
        )

    function.__name__ = name
    function.__doc__ = "The mean of each window."
    return function


avg_pool2d, avg_pool3d = _avg_pool(2), _avg_pool(3)


def _kept_sizes(input, output_size, dims):
    if isinstance(output_size, int):
        return output_size
    if len(output_size) != dims:
        raise RuntimeError(f"adaptive_avg_pool{dims}d: output_size must be {dims}")
    if input.ndim <= dims:
        raise ValueError(f"Input dimension should be at least {dims + 1}")
    return [input.size(i - dims) if n is None else n for i, n in enumerate(output_size)]


def _no_negative(dims, sizes):
    """A size of -1, by which the core keeps a size, is none in Python."""
    given = (sizes,) * dims if isinstance(sizes, int) else sizes
    if any(isinstance(n, int) and n < 0 for n in given):
        # PyTorch writes the three of a volume so.
        gaps = (", ", "," if dims == 3 else "")
        shown = "".join(f"{n}{gap}" for n, gap in zip(given, (*gaps[: dims - 1], "")))
        raise RuntimeError(
            f"adaptive_avg_pool{dims}d: elements of output_size must be greater than or equal to 0 but received {{{shown}}}"
        )
    return sizes


def adaptive_avg_pool1d(input: Tensor, output_size) -> Tensor:
    """The mean over windows that give the wanted output size."""
    size = (output_size,) if isinstance(output_size, int) else output_size
    if len(size) == 1 and isinstance(size[0], int) and size[0] < 0:
        _no_negative(2, (1, size[0]))
    return g.adaptive_avg_pool1d(input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size) -> Tensor:
    """The mean over windows that give the wanted output size; None keeps a size."""
    return g.adaptive_avg_pool2d(input, _no_negative(2, _kept_sizes(input, output_size, 2)))


def adaptive_avg_pool3d(input: Tensor, output_size) -> Tensor:
    """The mean over windows that give the wanted output size; None keeps a size."""
    return g.adaptive_avg_pool3d(input, _no_negative(3, _kept_sizes(input, output_size, 3)))


def _adaptive_max_pool(dims):
    plain, both = (f"adaptive_max_pool{dims}d{s}" for s in ("", "_with_indices"))

    def function(input, output_size, return_indices=False):
        sizes = _kept_sizes(input, output_size, dims) if dims > 1 else output_size
        given = (sizes,) * dims if isinstance(sizes, int) else sizes
        for n in given:
            if n < 0:
                # A row is a plane of one row in PyTorch.
                shape = [*input.shape[:-dims], *((1,) if dims == 1 else ()), *given]
                raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {shape}")
        if return_indices:
            return tuple(getattr(g, both)(input, sizes))
        return getattr(g, plain)(input, sizes)

    function.__name__ = plain
    function.__doc__ = "The maximum over windows that give the wanted output size."
    return function


adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (_adaptive_max_pool(n) for n in (1, 2, 3))


def _max_unpool(dims):
    name = f"max_unpool{dims}d"

    def function(input, indices, kernel_size, stride=None, padding=0, output_size=None):
        return getattr(g, name)(input, indices, kernel_size, () if stride is None else stride, padding, output_size)

    function.__name__ = name
    function.__doc__ = "Zeros with the values of a max pooling at the places that it took them from."
    return function


max_unpool1d, max_unpool2d, max_unpool3d = _max_unpool(1), _max_unpool(2), _max_unpool(3)


def _fractional_max_pool(dims):
    plain, both = (f"fractional_max_pool{dims}d{s}" for s in ("", "_with_indices"))

    def pair(input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None):
        if output_size is None and output_ratio is None:
            raise ValueError(f"{plain} requires specifying either an output_size or an output_ratio")
        if output_size is None:
            ratios = (output_ratio,) * dims if isinstance(output_ratio, (int, float)) else tuple(output_ratio)
            if len(ratios) != dims:
                raise ValueError(f"{plain} requires output_ratio to either be a single Int or tuple of Ints.")
            output_size = [int(input.size(i - dims) * r) for i, r in enumerate(ratios)]
        return tuple(getattr(g, both)(input, kernel_size, output_size, _random_samples))

    def function(input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None):
        r = pair(input, kernel_size, output_size, output_ratio, return_indices, _random_samples)
        return r if return_indices else r[0]

    function.__name__, pair.__name__ = plain, both
    function.__doc__ = pair.__doc__ = "The maximum of windows at random places that give the wanted output size."
    return function, pair


fractional_max_pool2d, fractional_max_pool2d_with_indices = _fractional_max_pool(2)
fractional_max_pool3d, fractional_max_pool3d_with_indices = _fractional_max_pool(3)


# --- convolution -----------------------------------------------------------------------------------------------------


def _conv(dims):
    name = f"conv{dims}d"

    def function(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        if type(padding) is str:
            stride, dilation = ((v,) if isinstance(v, int) else v for v in (stride, dilation))
            return g.conv_padded(input, weight, bias, stride, (), dilation, groups, "zeros", padding)
        return getattr(g, name)(input, weight, bias, stride, padding, dilation, groups)

    function.__name__ = name
    function.__doc__ = f"Convolution over {dims} dimension(s); padding is numbers, 'valid' or 'same'."
    return function


conv1d, conv2d, conv3d = _conv(1), _conv(2), _conv(3)


def unfold(input: Tensor, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """Sliding blocks of (N, C, H, W) as columns: (N, C * kh * kw, L)."""
    return g.im2col(input, kernel_size, dilation, padding, stride)


def fold(input: Tensor, output_size, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """Sums columns of sliding blocks back into an image."""
    return g.col2im(input, output_size, kernel_size, dilation, padding, stride)


# --- attention -------------------------------------------------------------------------------------------------------


def _none_or_dtype(input):
    if input is None:
        return None
    if isinstance(input, Tensor):
        return input.dtype
    raise RuntimeError("input to _none_or_dtype() must be None or torch.Tensor")


def _canonical_mask(mask, mask_name, other_type, other_name, target_type, check_other=True):
    """A mask as what is added to the scores: of a bool one, -inf where it is true."""
    if mask is None:
        return None
    is_bool = mask.dtype == _bool
    if not is_bool and not mask.is_floating_point():
        raise AssertionError(f"only bool and floating types of {mask_name} are supported")
    if check_other and other_type is not None and mask.dtype != other_type:
        _mismatched(mask_name, other_name)
    if is_bool:
        return g.zeros_like(mask, dtype=target_type).masked_fill_(mask, float("-inf"))
    return mask


def _mismatched(name, other):
    import warnings

    warnings.warn(
        f"Support for mismatched {name} and {other} is deprecated. Use same type for both instead.",
        stacklevel=4,
    )


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
):
    """All heads of attention between their projections, over (length, batch, embed_dim); the second result is None
    unless need_weights."""
    if key_padding_mask is not None and attn_mask is not None and key_padding_mask.dtype != attn_mask.dtype:
        _mismatched("key_padding_mask", "attn_mask")
    try:
        out, weights = g.multi_head_attention_forward(
            query,
            key,
            value,
            embed_dim_to_check,
            num_heads,
            in_proj_weight,
            in_proj_bias,
            bias_k,
            bias_v,
            add_zero_attn,
            dropout_p,
            out_proj_weight,
            out_proj_bias,
            training,
            key_padding_mask,
            need_weights,
            attn_mask,
            use_separate_proj_weight,
            q_proj_weight,
            k_proj_weight,
            v_proj_weight,
            static_k,
            static_v,
            average_attn_weights,
            is_causal,
        )
    except ValueError as e:
        # What does not fit together is an assertion in PyTorch.
        raise AssertionError(str(e)) from None
    return out, weights if need_weights else None


# --- embeddings and norms --------------------------------------------------------------------------------------------


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx=None,
    max_norm=None,
    norm_type=2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of weight that the indices name."""
    if padding_idx is not None:
        n = weight.size(0)
        if not -n <= padding_idx < n:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx %= n
    if max_norm is None and not scale_grad_by_freq:
        return g.embedding(weight, input, -1 if padding_idx is None else padding_idx)
    return g.embedding_full(weight, input, padding_idx, max_norm, norm_type, scale_grad_by_freq)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm=None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx=None,
) -> Tensor:
    """Sums, means or maxima of the rows of weight in bags of indices."""
    return g.embedding_bag(
        input,
        weight,
        offsets,
        max_norm,
        float(norm_type),
        scale_grad_by_freq,
        mode,
        sparse,
        per_sample_weights,
        include_last_offset,
        padding_idx,
    )


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises each channel over the batch, or with the running statistics."""
    return g.batch_norm(
        input, weight, bias, running_mean, running_var, training, 0.0 if momentum is None else momentum, eps
    )


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises each channel of each sample."""
    return g.instance_norm_tracked(
        input, weight, bias, running_mean, running_var, use_input_stats, not use_input_stats, momentum, eps
    )


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out=None) -> Tensor:
    """The input divided by its p-norm along a dimension."""
    if out is not None:
        norm = g.linalg_vector_norm(input, float(p), dim, keepdim=True).clamp_min(eps)
        return g.div(input, norm.expand_as(input), out=out)
    return g.normalize(input, float(p), dim, eps)


# --- losses ----------------------------------------------------------------------------------------------------------


def _reduction(size_average, reduce, reduction):
    """The reduction of PyTorch's older arguments."""
    if size_average is None and reduce is None:
        return reduction
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


def _same_size(input: Tensor, target: Tensor):
    if target.size() != input.size():
        import warnings

        warnings.warn(
            f"Using a target size ({target.size()}) that is different to the input size ({input.size()}). This will "
            "likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
            stacklevel=3,
        )


def mse_loss(
    input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """The mean squared error."""
    _same_size(input, target)
    return g.mse_loss(input, target, _reduction(size_average, reduce, reduction))


def l1_loss(
    input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """The mean absolute error."""
    _same_size(input, target)
    return g.l1_loss(input, target, _reduction(size_average, reduce, reduction))


def smooth_l1_loss(
    input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """Squared error near zero, absolute error beyond beta."""
    _same_size(input, target)
    return g.smooth_l1_loss(input, target, _reduction(size_average, reduce, reduction), beta)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Squared error near zero, absolute error beyond delta."""
    _same_size(input, target)
    return g.huber_loss(input, target, reduction, delta)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average=None,
    ignore_index=-100,
    reduce=None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Negative log likelihood of softmax(input), for class indices or class probabilities."""
    if size_average is not None or reduce is not None:
        reduction = _reduction(size_average, reduce, reduction)
    return g.cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average=None,
    ignore_index=-100,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """Negative log likelihood of log probabilities."""
    return g.nll_loss(input, target, weight, ignore_index, _reduction(size_average, reduce, reduction))


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, size_average=None, reduce=None, reduction: str = "mean"
) -> Tensor:
    """Cross entropy of probabilities and targets in [0, 1]."""
    if target.size() != input.size():
        raise ValueError(
            f"Using a target size ({target.size()}) that is different to the input size ({input.size()}) is deprecated. "
            "Please ensure they have the same size."
        )
    return g.binary_cross_entropy(input, target, weight, _reduction(size_average, reduce, reduction))


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Cross entropy of sigmoid(input) and targets in [0, 1]."""
    if target.size() != input.size():
        raise ValueError(f"Target size ({target.size()}) must be the same as input size ({input.size()})")
    reduction = _reduction(size_average, reduce, reduction)
    return g.binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction)


def kl_div(
    input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """The Kullback-Leibler divergence of log probabilities from a target distribution."""
    return g.kl_div(input, target, _reduction(size_average, reduce, reduction), log_target)


def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, size_average=None, reduce=None, reduction: str = "mean"
) -> Tensor:
    """x where the target is 1, max(0, margin - x) where it is -1."""
    return g.hinge_embedding_loss(input, target, margin, _reduction(size_average, reduce, reduction))


def soft_margin_loss(input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean") -> Tensor:
    """log(1 + exp(-target * x))."""
    return g.soft_margin_loss(input, target, _reduction(size_average, reduce, reduction))


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -target * (x1 - x2) + margin)."""
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.size()}, input2: {input2.size()}, target: {target.size()} "
        )
    return g.margin_ranking_loss(input1, input2, target, margin, _reduction(size_average, reduce, reduction))


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos where the target is 1, max(0, cos - margin) where it is -1."""
    return g.cosine_embedding_loss(input1, input2, target, margin, _reduction(size_average, reduce, reduction))


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin)."""
    reduction = _reduction(size_average, reduce, reduction)
    return g.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function=None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) for a distance of one's own."""
    distance = g.pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = g.minimum(far, distance(positive, negative))
    loss = g.clamp_min(near - far + margin, 0)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return loss if reduction == "none" else loss.mean() if reduction == "mean" else loss.sum()


def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight=None, size_average=None, reduce=None, reduction: str = "mean"
) -> Tensor:
    """The mean over classes of each class's logistic loss; targets are 0 or 1."""
    return g.multilabel_soft_margin_loss(input, target, weight, _reduction(size_average, reduce, reduction))


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight=None,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """sum over the other classes of max(0, margin - x[y] + x[i])^p, by the number of classes."""
    return g.multi_margin_loss(input, target, p, margin, weight, _reduction(size_average, reduce, reduction))


def multilabel_margin_loss(
    input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean"
) -> Tensor:
    """Over each row's targets and the other classes: the sum of max(0, 1 - (x[target] - x[other])), by their number."""
    return g.multilabel_margin_loss(input, target, _reduction(size_average, reduce, reduction))


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths,
    target_lengths,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Negative log likelihood of label sequences over all alignments with blanks."""
    if isinstance(input_lengths, Tensor) is not isinstance(target_lengths, Tensor):
        input_lengths, target_lengths = (
            v.tolist() if isinstance(v, Tensor) else v for v in (input_lengths, target_lengths)
        )
    return g.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, reduction, zero_infinity)


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index=None,
    label_smoothing: float = 0.0,
    options=None,
) -> Tensor:
    """cross_entropy of linear(input); a weight of more than two dimensions has the classes first."""
    if input.ndim not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.ndim}")
    if linear_weight.ndim < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {linear_weight.ndim}")
    if input.shape[-1] != linear_weight.shape[-1]:
        raise RuntimeError(
            "expected equal input and linear_weight last dimensions (in_features), got "
            f"{input.shape[-1]} and {linear_weight.shape[-1]}, respectively"
        )
    if linear_bias is not None and linear_bias.shape != linear_weight.shape[:-1]:
        raise RuntimeError(
            f"expected linear_bias shape {tuple(linear_weight.shape[:-1])}, got {tuple(linear_bias.shape)}"
        )
    if input.ndim == 1 and linear_weight.ndim > 2:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {tuple(linear_weight.shape)} requires "
            f"batched input, (N, {input.shape[-1]}), got unbatched input with shape {tuple(input.shape)}"
        )
    if ignore_index is not None and target.is_floating_point():
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    classes, *more, features = linear_weight.shape
    x = g.linear(input, linear_weight.reshape(-1, features), None if linear_bias is None else linear_bias.reshape(-1))
    if more:
        x = x.unflatten(-1, (classes, *more))
        at = input.ndim - 1
        # The classes are the second dimension, or the first of a single sample.
        x = x.movedim(at, min(at, 1))
    elif x.ndim > 2:
        x = x.movedim(-1, 1)
    ignored = -100 if ignore_index is None else ignore_index
    return g.cross_entropy(x, target, weight, ignored, reduction, label_smoothing)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average=None,
    eps: float = 1e-8,
    reduce=None,
    reduction: str = "mean",
) -> Tensor:
    """Negative log likelihood of a Poisson distribution."""
    return g.poisson_nll_loss(input, target, log_input, full, eps, _reduction(size_average, reduce, reduction))


def gaussian_nll_loss(
    input: Tensor, target: Tensor, var, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """Negative log likelihood of a normal distribution."""
    if not isinstance(var, Tensor):
        var = g.full_like(input, var)
    return g.gaussian_nll_loss(input, target, var, full, eps, reduction)


# --- images ----------------------------------------------------------------------------------------------------------


def upsample(input: Tensor, size=None, scale_factor=None, mode: str = "nearest", align_corners=None) -> Tensor:
    """The old name of interpolate."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size=None, scale_factor=None) -> Tensor:
    """interpolate to the nearest element."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Tensor, size=None, scale_factor=None) -> Tensor:
    """Bilinear interpolate with aligned corners."""
    return interpolate(input, size, scale_factor, "bilinear", True)


# Programs that derive classes from Tensor.
_derived = sys.modules.get("taper._subclass")
if _derived is not None and _derived.active:
    _derived.patch_module(globals())
