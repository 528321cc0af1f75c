"""Collectives that give a result instead of writing one. Among one, each gives the values it is given, and gradients flow."""

from . import need

__all__ = []


def _same(name):
    def function(tensor, *args, **options):
        need()
        return tensor.view_as(tensor)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "The same values."
    return function


def wait_tensor(tensor):
    """The tensor, which is there."""
    return tensor


def wait_tensors(tensors):
    """The tensors, which are there."""
    return list(tensors)


broadcast = _same("broadcast")
all_reduce = _same("all_reduce")
all_gather_single = _same("all_gather_single")
all_gather_single_autograd = _same("all_gather_single_autograd")
all_gather_tensor = _same("all_gather_tensor")
all_gather_tensor_autograd = _same("all_gather_tensor_autograd")
reduce_scatter_single = _same("reduce_scatter_single")
reduce_scatter_single_autograd = _same("reduce_scatter_single_autograd")
reduce_scatter_tensor = _same("reduce_scatter_tensor")
reduce_scatter_tensor_autograd = _same("reduce_scatter_tensor_autograd")
all_to_all_single = _same("all_to_all_single")
all_to_all_single_autograd = _same("all_to_all_single_autograd")
permute_tensor = _same("permute_tensor")


def all_reduce_coalesced(tensors, *args, **options):
    """The same values."""
    need()
    return [t.view_as(t) for t in tensors]


all_gather_into_tensor_coalesced = reduce_scatter_tensor_coalesced = all_reduce_coalesced
