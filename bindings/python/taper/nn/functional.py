"""Functions of neural networks: the table's ops, with the keyword forms that PyTorch accepts besides."""

from __future__ import annotations

import math
import sys

from .. import _c
from .. import _ops as g
from .._half import in_float
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


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x times the normal distribution function of x; approximate='tanh' for the approximation."""
    return g.gelu(input, approximate=approximate)


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
    return softmax(-input, dim, dtype=dtype)


@in_float
def gumbel_softmax(logits, tau=1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A sample of the Gumbel-softmax distribution; hard=True gives one-hot vectors with soft gradients."""
    gumbels = -g.empty_like(logits).exponential_().log()
    soft = g.softmax((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    index = g.argmax(soft, dim, True)
    return g.scatter(g.zeros_like(logits), dim, index, 1.0) - soft.detach() + soft


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
    name = f"max_pool{dims}d"

    def function(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        stride = () if stride is None else stride
        if return_indices:
            if dims == 1:  # a plane of one row, where positions are those in the row
                first = [
                    v if isinstance(v, int) else v[0] if len(v) else None
                    for v in (kernel_size, stride, padding, dilation)
                ]
                k, s, p, d = first
                s = k if s is None else s
                both = g.max_pool2d_with_indices(input.unsqueeze(-2), (1, k), (1, s), (0, p), (1, d), ceil_mode)
                return tuple([t.squeeze(-2) for t in both])
            if dims == 3:
                raise NotImplementedError("max_pool3d: return_indices=True is not supported")
            return tuple(g.max_pool2d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode))
        return getattr(g, name)(input, kernel_size, stride, padding, dilation, ceil_mode)

    function.__name__ = name
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
    ) -> Tensor:
        stride = () if stride is None else stride
        return getattr(g, name)(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)

    function.__name__ = name
    function.__doc__ = "The mean of each window."
    return function


avg_pool2d, avg_pool3d = _avg_pool(2), _avg_pool(3)


def _kept_sizes(input, output_size, dims):
    if isinstance(output_size, int):
        return output_size
    return [input.size(i - dims) if n is None else n for i, n in enumerate(output_size)]


def adaptive_avg_pool2d(input: Tensor, output_size) -> Tensor:
    """The mean over windows that give the wanted output size; None keeps a size."""
    return g.adaptive_avg_pool2d(input, _kept_sizes(input, output_size, 2))


def adaptive_avg_pool3d(input: Tensor, output_size) -> Tensor:
    """The mean over windows that give the wanted output size; None keeps a size."""
    return g.adaptive_avg_pool3d(input, _kept_sizes(input, output_size, 3))


def _must_fit(input, sizes):
    """Takes the memory of a result and gives it back: no work towards one that cannot exist."""
    shape = [*input.shape[: input.ndim - len(sizes)], *sizes]
    g.empty(shape, dtype=input.dtype, device=input.device)


def _windows(n, out):
    return [(i * n // out, -((-(i + 1) * n) // out)) for i in range(out)]


def _adaptive_max(input, sizes, return_indices):
    """Maxima over windows of the last dimensions; the first of equal ones is taken, NaN before all."""
    n = len(sizes)
    name = f"adaptive_max_pool{n}d()"
    if input.ndim not in (n + 1, n + 2):
        raise RuntimeError(f"{name}: Expected {n + 1}D or {n + 2}D tensor, but got {list(input.shape)}")
    for d in range(input.ndim - n, input.ndim):
        if input.size(d) == 0:
            raise RuntimeError(
                f"{name}: Expected input to have non-zero size for non-batch dimensions, but input has sizes "
                f"{list(input.shape)} with dimension {d} being empty"
            )
    sizes = [input.size(d - n) if s is None else s for d, s in enumerate(sizes)]
    if min(sizes) < 0:
        raise RuntimeError(f"{name}: elements of output_size must be greater than or equal to 0, but received {sizes}")
    _must_fit(input, sizes)
    if 0 not in sizes and all(input.size(d - n) % s == 0 for d, s in enumerate(sizes)):
        kernel = [input.size(d - n) // s for d, s in enumerate(sizes)]
        return (max_pool1d if n == 1 else max_pool2d)(input, kernel, return_indices=return_indices)
    # One dimension after the other, the last one first: of equal maxima the first one in the order of rows stays.
    places, width = None, 1
    for d in reversed(range(n)):
        dim, size = d - n, input.size(d - n)
        values, found = [], []
        for a, b in _windows(size, sizes[d]):
            value, k = input.narrow(dim, a, b - a).max(dim, True)
            values.append(value)
            inner = 0 if places is None else places.narrow(dim, a, b - a).gather(dim, k)
            found.append(inner + (k + a) * width)
        if not values:
            values, found = [input.narrow(dim, 0, 0)], [input.narrow(dim, 0, 0).long()]
        width = size
        input, places = g.cat(values, dim), g.cat(found, dim)
    return (input, places) if return_indices else input


def adaptive_max_pool2d(input: Tensor, output_size, return_indices: bool = False):
    """The maximum over windows that give the wanted output size."""
    sizes = (output_size, output_size) if isinstance(output_size, int) else output_size
    return _adaptive_max(input, sizes, return_indices)


def adaptive_max_pool1d(input: Tensor, output_size, return_indices: bool = False):
    """The maximum over windows that give the wanted output size."""
    sizes = (output_size,) if isinstance(output_size, int) else output_size
    return _adaptive_max(input, sizes, return_indices)


def _norm_of_means(mean, norm_type, count):
    # Where all is zero the gradient is, too.
    zero = mean.detach() == 0
    total = (g.sign(mean) * relu(g.abs(mean)) * count).masked_fill(zero, 1)
    return total.pow(1.0 / norm_type).masked_fill(zero, 0)


def _largest(pool, input, norm_type, *window):
    """The pooling of an infinite norm; None for the others."""
    if norm_type == 0:
        raise ValueError(f"norm_type must be a non-zero value, but got {norm_type}")
    if norm_type == math.inf:
        return pool(input.abs(), *window)
    return -pool(-input.abs(), *window) if norm_type == -math.inf else None


@in_float
def lp_pool1d(input: Tensor, norm_type, kernel_size, stride=None, ceil_mode: bool = False) -> Tensor:
    """The p-norm of each window."""
    largest = _largest(max_pool1d, input, norm_type, kernel_size, stride, 0, 1, ceil_mode)
    if largest is not None:
        return largest
    k = kernel_size if isinstance(kernel_size, int) else kernel_size[0]
    return _norm_of_means(avg_pool1d(input.pow(norm_type), k, stride, 0, ceil_mode), norm_type, k)


@in_float
def lp_pool2d(input: Tensor, norm_type, kernel_size, stride=None, ceil_mode: bool = False) -> Tensor:
    """The p-norm of each window."""
    largest = _largest(max_pool2d, input, norm_type, kernel_size, stride, 0, 1, ceil_mode)
    if largest is not None:
        return largest
    kh, kw = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    return _norm_of_means(avg_pool2d(input.pow(norm_type), kernel_size, stride, 0, ceil_mode), norm_type, kh * kw)


# --- convolution -----------------------------------------------------------------------------------------------------


def _conv(dims):
    name = f"conv{dims}d"

    def function(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        if type(padding) is str:
            if padding == "valid":
                padding = 0
            elif padding == "same":
                if (stride if isinstance(stride, int) else max(stride)) != 1:
                    raise RuntimeError("padding='same' is not supported for strided convolutions")
                d = (dilation,) * dims if isinstance(dilation, int) else dilation
                totals = [a * (k - 1) for a, k in zip(d, weight.shape[2:])]
                padding = tuple(t // 2 for t in totals)
                if any(t % 2 for t in totals):  # the odd one goes behind
                    input = g.pad(input, [p for t in reversed(totals) for p in (0, t % 2)])
            else:
                raise RuntimeError(f"Invalid padding string: '{padding}'")
        return getattr(g, name)(input, weight, bias, stride, padding, dilation, groups)

    function.__name__ = name
    function.__doc__ = f"Convolution over {dims} dimension(s); padding is numbers, 'valid' or 'same'."
    return function


conv1d, conv2d, conv3d = _conv(1), _conv(2), _conv(3)


def unfold(input: Tensor, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """Sliding blocks of (N, C, H, W) as columns: (N, C * kh * kw, L)."""
    (kh, kw), (dh, dw), (ph, pw), (sh, sw) = (
        (v, v) if isinstance(v, int) else v for v in (kernel_size, dilation, padding, stride)
    )
    batched = input.ndim == 4
    x = input if batched else input.unsqueeze(0)
    if ph or pw:
        x = g.pad(x, (pw, pw, ph, ph))
    n, c, h, w = x.shape
    oh, ow = (h - dh * (kh - 1) - 1) // sh + 1, (w - dw * (kw - 1) - 1) // sw + 1
    if oh <= 0 or ow <= 0:
        raise RuntimeError(f"unfold: kernel {kernel_size} does not fit into the input of size {tuple(input.shape)}")
    rows = [
        x[:, :, i * dh : i * dh + sh * (oh - 1) + 1 : sh, j * dw : j * dw + sw * (ow - 1) + 1 : sw]
        for i in range(kh)
        for j in range(kw)
    ]
    r = g.stack(rows, 2).reshape((n, c * kh * kw, oh * ow))
    return r if batched else r.squeeze(0)


@in_float
def fold(input: Tensor, output_size, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """Sums columns of sliding blocks back into an image."""
    (oh, ow), (kh, kw), (dh, dw), (ph, pw), (sh, sw) = (
        (v, v) if isinstance(v, int) else v for v in (output_size, kernel_size, dilation, padding, stride)
    )
    batched = input.ndim == 3
    x = input if batched else input.unsqueeze(0)
    n, c = x.size(0), x.size(1) // (kh * kw)
    h, w = oh + 2 * ph, ow + 2 * pw
    bh, bw = (h - dh * (kh - 1) - 1) // sh + 1, (w - dw * (kw - 1) - 1) // sw + 1
    blocks = x.reshape((n, c, kh, kw, bh, bw))
    out = g.zeros((n, c, h, w), dtype=x.dtype, device=x.device)
    for i in range(kh if out.numel() else 0):
        for j in range(kw):
            out[:, :, i * dh : i * dh + sh * (bh - 1) + 1 : sh, j * dw : j * dw + sw * (bw - 1) + 1 : sw] += blocks[
                :, :, i, j
            ]
    out = out[:, :, ph : ph + oh, pw : pw + ow]
    return out if batched else out.squeeze(0)


def pad(input: Tensor, pad, mode: str = "constant", value=None) -> Tensor:
    """Adds elements around the last dimensions: pad lists (before, after) from the last dimension on."""
    if mode == "circular":
        for i in range(0, len(pad), 2):
            before, after = pad[i], pad[i + 1]
            dim = -1 - i // 2
            n = input.size(dim)
            if before > n or after > n:
                raise RuntimeError("Padding value causes wrapping around more than once.")
            # What is cropped does not come round again.
            input = input.narrow(dim, max(-before, 0), n - max(-before, 0) - max(-after, 0))
            n = input.size(dim)
            parts = [input.narrow(dim, n - before, before)] if before > 0 else []
            parts.append(input)
            if after > 0:
                parts.append(input.narrow(dim, 0, after))
            input = g.cat(parts, dim) if len(parts) > 1 else parts[0]
        return input
    return g.pad(input, pad, mode, value)


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
    if max_norm is not None:
        from .._grad_mode import no_grad

        with no_grad():
            # An index that occurs twice is scaled to the same numbers twice.
            rows = input.flatten()
            norms = g.norm(weight[rows], norm_type, 1, True)
            weight[rows] = weight[rows] * g.clamp_max(max_norm / (norms + 1e-7), 1.0)
    rows = g.embedding(weight, input, -1 if padding_idx is None else padding_idx)
    if scale_grad_by_freq and rows.requires_grad:
        # The rows' values, with a gradient divided by how often each index occurs.
        often = g.bincount(input.flatten())[input].to(rows.dtype).unsqueeze(-1)
        plain = rows.detach()
        rows = plain + (rows - plain) / often
    return rows


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
    if training:
        n = input.numel() // input.size(1) if input.numel() else 0
        if n == 1:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {input.size()}")
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
    if use_input_stats and running_mean is None:
        return g.instance_norm(input, weight, bias, eps)
    if not use_input_stats:
        return g.batch_norm(input, weight, bias, running_mean, running_var, False, momentum, eps)
    from .._grad_mode import no_grad

    dims = tuple(range(2, input.ndim))
    with no_grad():
        running_mean.lerp_(input.mean(dims).mean(0), momentum)
        running_var.lerp_(g.op_var_dim(input, dims).mean(0), momentum)
    return g.instance_norm(input, weight, bias, eps)


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out=None) -> Tensor:
    """The input divided by its p-norm along a dimension."""
    return g.normalize(input, float(p), dim, eps)


@in_float
def local_response_norm(input: Tensor, size, alpha: float = 1e-4, beta: float = 0.75, k=1.0) -> Tensor:
    """Normalisation over neighbouring channels."""
    # Channels that no window reaches add nothing, however large it is.
    far = max(input.size(1) - 1, 0)
    before, after = min(size // 2, far), min((size - 1) // 2, far)
    squares = g.pad(input.square().unsqueeze(1), [0] * (2 * (input.ndim - 2)) + [before, after])
    total = sum(squares.narrow(2, i, input.size(1)) for i in range(before + after + 1)) / size
    return input / (total.squeeze(1) * alpha + k).pow(beta)


@in_float
def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of the rows' differences."""
    return g.norm(x1 - x2 + eps, p, -1, keepdim)


@in_float
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x1^T A x2 + b."""
    r = g.einsum("...i,oij,...j->...o", [input1, weight, input2])
    return r if bias is None else r + bias


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


@in_float
def kl_div(
    input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """The Kullback-Leibler divergence of log probabilities from a target distribution."""
    reduction = _reduction(size_average, reduce, reduction)
    if reduction == "batchmean":
        r = g.kl_div(input, target, "sum", log_target)
        return r / input.size(0) if input.ndim else r
    return g.kl_div(input, target, reduction, log_target)


def _reduced(loss, reduction):
    if reduction == "none":
        return loss
    if reduction not in ("mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return loss.mean() if reduction == "mean" else loss.sum()


@in_float
def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, size_average=None, reduce=None, reduction: str = "mean"
) -> Tensor:
    """x where the target is 1, max(0, margin - x) where it is -1."""
    loss = g.where(target != 1, g.clamp_min(margin - input, 0), 0) + g.where(target != -1, input, 0)
    return _reduced(loss, _reduction(size_average, reduce, reduction))


@in_float
def soft_margin_loss(input: Tensor, target: Tensor, size_average=None, reduce=None, reduction: str = "mean") -> Tensor:
    """log(1 + exp(-target * x))."""
    return _reduced(g.softplus(-target * input), _reduction(size_average, reduce, reduction))


@in_float
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
    apart = input1 - input2
    # The margin is a float: of integers floats come out.
    loss = g.clamp_min(-target * apart + float(margin), 0)
    return _reduced(loss, _reduction(size_average, reduce, reduction))


@in_float
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
    n = target.ndim
    if n > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if input1.ndim != n + 1 or input2.ndim != n + 1:
        raise RuntimeError(
            f"{n}D target tensor expects {n + 1}D input tensors, but found inputs with sizes {list(input1.shape)} and "
            f"{list(input2.shape)}."
        )
    # The squares get the small number, not the norms: that decides what vectors near 0 give.
    small = 1e-12
    squares = (g.sum(input1 * input1, -1) + small) * (g.sum(input2 * input2, -1) + small)
    cos = g.sum(input1 * input2, -1) / g.sqrt(squares)
    loss = g.where(target == 1, 1 - cos, 0.0) + g.where(target == -1, g.clamp_min(cos - margin, 0), 0.0)
    return _reduced(loss, _reduction(size_average, reduce, reduction))


@in_float
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
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = g.minimum(far, pairwise_distance(positive, negative, p, eps))
    return _reduced(g.clamp_min(near - far + margin, 0), _reduction(size_average, reduce, reduction))


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
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = g.minimum(far, distance(positive, negative))
    return _reduced(g.clamp_min(near - far + margin, 0), reduction)


@in_float
def multilabel_soft_margin_loss(
    input: Tensor, target: Tensor, weight=None, size_average=None, reduce=None, reduction: str = "mean"
) -> Tensor:
    """The mean over classes of each class's logistic loss; targets are 0 or 1."""
    loss = -(target * g.logsigmoid(input) + (1 - target) * g.logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return _reduced(loss.mean(-1), _reduction(size_average, reduce, reduction))


@in_float
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
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    single = input.ndim < 2
    x, y = (input.reshape(1, -1), target.reshape(1)) if single else (input, target)
    if x.ndim != 2 or y.ndim != 1 or y.size(0) != x.size(0):
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch size). "
            f"Expected target size {[x.size(0)]}, but got {list(target.shape)}. Input has shape {list(input.shape)}."
        )
    at = y.unsqueeze(1)
    loss = g.clamp_min(margin - g.gather(x, 1, at) + x, 0)
    if p == 2:
        loss = loss * loss
    if weight is not None:
        loss = loss * weight[y].unsqueeze(1)
    loss = g.scatter(loss, 1, at, 0.0).sum(1) / x.size(1)
    return _reduced(loss[0] if single else loss, _reduction(size_average, reduce, reduction))


@in_float
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
    loss = g.exp(input) - target * input if log_input else input - target * g.log(input + eps)
    if full:
        stirling = target * g.log(target) - target + 0.5 * g.log(2 * math.pi * target)
        loss = loss + g.where(target > 1, stirling, 0.0)
    return _reduced(loss, _reduction(size_average, reduce, reduction))


@in_float
def gaussian_nll_loss(
    input: Tensor, target: Tensor, var, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """Negative log likelihood of a normal distribution."""
    if not isinstance(var, Tensor):
        var = var * g.ones_like(input)
    if var.size() != input.size() and var.size() == input.size()[:-1]:
        var = var.unsqueeze(-1)
    var = var + (g.clamp_min(var, eps) - var).detach()
    loss = 0.5 * (g.log(var) + (input - target).square() / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return _reduced(loss, reduction)


# --- images ----------------------------------------------------------------------------------------------------------


def upsample(input: Tensor, size=None, scale_factor=None, mode: str = "nearest", align_corners=None) -> Tensor:
    """The old name of interpolate."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """The inverse of pixel_shuffle."""
    r = downscale_factor
    *batch, c, h, w = input.shape
    x = input.reshape([*batch, c, h // r, r, w // r, r])
    n = len(batch)
    return x.permute([*range(n), n, n + 2, n + 4, n + 1, n + 3]).reshape([*batch, c * r * r, h // r, w // r])


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Mixes the channels of groups."""
    n, c, *rest = input.shape
    return input.reshape([n, groups, c // groups, *rest]).transpose(1, 2).reshape([n, c, *rest])


# Programs that derive classes from Tensor.
_derived = sys.modules.get("taper._subclass")
if _derived is not None and _derived.active:
    _derived.patch_module(globals())
