"""Shapes of what a place holds."""


def compute_local_shape_and_global_offset(global_shape, mesh, placements):
    """The shape of the one place's part, which is the whole, and where it begins."""
    return tuple(global_shape), (0,) * len(global_shape)


def compute_global_tensor_info(tensor, mesh, placements):
    """Shape and strides of the whole of which a tensor is the one part."""
    return list(tensor.shape), list(tensor.stride())
