"""Initial values of parameters, drawn as PyTorch draws them; the formulas live in the core."""

from .. import _ops as g


def calculate_gain(nonlinearity, param=None):
    """The recommended gain of an activation."""
    return g.calculate_gain(nonlinearity, param)


def _calculate_fan_in_and_fan_out(tensor):
    shape = tensor.shape
    if len(shape) < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    field = 1
    for n in shape[2:]:
        field *= n
    return shape[1] * field, shape[0] * field


def _calculate_correct_fan(tensor, mode):
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return fan_in if mode == "fan_in" else fan_out


def uniform_(tensor, a=0.0, b=1.0, generator=None):
    """Draws from the uniform distribution on [a, b)."""
    return g.init_uniform_(tensor, a, b, generator=generator)


def normal_(tensor, mean=0.0, std=1.0, generator=None):
    """Draws from a normal distribution."""
    return g.init_normal_(tensor, mean, std, generator=generator)


def constant_(tensor, val):
    """Fills with one value."""
    return g.init_constant_(tensor, val)


def ones_(tensor):
    """Fills with 1."""
    return g.init_ones_(tensor)


def zeros_(tensor):
    """Fills with 0."""
    return g.init_zeros_(tensor)


def eye_(tensor):
    """Makes a matrix the identity."""
    return g.init_eye_(tensor)


def dirac_(tensor, groups=1):
    """Makes a convolution's weight pass its channels through."""
    return g.init_dirac_(tensor, groups)


def xavier_uniform_(tensor, gain=1.0, generator=None):
    """Uniform within gain * sqrt(6 / (fan_in + fan_out))."""
    return g.init_xavier_uniform_(tensor, gain, generator=generator)


def xavier_normal_(tensor, gain=1.0, generator=None):
    """Normal with standard deviation gain * sqrt(2 / (fan_in + fan_out))."""
    return g.init_xavier_normal_(tensor, gain, generator=generator)


def _is_empty(tensor):
    if 0 in tensor.shape:
        import warnings

        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return True
    return False


def kaiming_uniform_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    """Uniform within gain * sqrt(3 / fan)."""
    if _is_empty(tensor):
        return tensor
    return g.init_kaiming_uniform_(tensor, a, mode, nonlinearity, generator=generator)


def kaiming_normal_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    """Normal with standard deviation gain / sqrt(fan)."""
    if _is_empty(tensor):
        return tensor
    return g.init_kaiming_normal_(tensor, a, mode, nonlinearity, generator=generator)


def trunc_normal_(tensor, mean=0.0, std=1.0, a=-2.0, b=2.0, generator=None):
    """Normal, limited to [a, b]."""
    return g.init_trunc_normal_(tensor, mean, std, a, b, generator=generator)


def orthogonal_(tensor, gain=1, generator=None):
    """A (semi-)orthogonal matrix."""
    return g.init_orthogonal_(tensor, gain, generator=generator)


def sparse_(tensor, sparsity, std=0.01, generator=None):
    """Normal, with a share of each column zero."""
    return g.init_sparse_(tensor, sparsity, std, generator=generator)


# The names of old versions.
uniform, normal, constant, eye, dirac = uniform_, normal_, constant_, eye_, dirac_
xavier_uniform, xavier_normal = xavier_uniform_, xavier_normal_
kaiming_uniform, kaiming_normal = kaiming_uniform_, kaiming_normal_
orthogonal, sparse = orthogonal_, sparse_
