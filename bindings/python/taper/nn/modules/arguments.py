"""What constructors of layers make of their arguments."""


def ntuple(v, n):
    """A tuple of n numbers of one number or a sequence."""
    return tuple(v) if hasattr(v, "__iter__") else (v,) * n


def sizes_of(v):
    """A tuple of one number or a sequence."""
    return (v,) if isinstance(v, int) else tuple(v)


def padding_of(padding, n):
    """A convolution's padding: 'same', 'valid', or a tuple of n numbers."""
    if not isinstance(padding, str):
        return ntuple(padding, n)
    if padding not in ("same", "valid"):
        raise ValueError(f"Invalid padding string '{padding}', should be one of {{'same', 'valid'}}")
    return padding


def padding_mode_of(padding_mode):
    """How a convolution fills its padding."""
    modes = ("zeros", "reflect", "replicate", "circular")
    if padding_mode not in modes:
        raise ValueError(f"padding_mode must be one of {set(modes)}, but got padding_mode='{padding_mode}'")
    return padding_mode


def factors(scale_factor):
    """One factor or several of a resizing, as floats."""
    if isinstance(scale_factor, tuple):
        return tuple(float(f) for f in scale_factor)
    return float(scale_factor) if scale_factor else None
