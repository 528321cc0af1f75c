"""Weights of convolutions in another memory format."""

__all__ = ["convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format"]


def _convert(module, memory_format, kinds):
    from ..modules import conv

    classes = tuple(getattr(conv, k) for k in kinds)
    for m in module.modules():
        if isinstance(m, classes):
            m.weight.data = m.weight.detach().clone().contiguous(memory_format=memory_format)
    return module


def convert_conv2d_weight_memory_format(module, memory_format):
    """Lays the weights of all 2-d convolutions in a module out in a memory format."""
    return _convert(module, memory_format, ("Conv2d", "ConvTranspose2d"))


def convert_conv3d_weight_memory_format(module, memory_format):
    """Lays the weights of all 3-d convolutions in a module out in a memory format."""
    return _convert(module, memory_format, ("Conv3d", "ConvTranspose3d"))
