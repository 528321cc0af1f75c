"""Derivatives along a direction: dual tensors are a value and a tangent, and functions of them have both.

A dual tensor is a variable of the graph; the tangent of what was made of it is the derivative, by its vector, of a product with
the transposed Jacobian. It is computed when it is asked for.
"""

from _thread import _local
from typing import NamedTuple

from .. import _ops as g
from .._grad_mode import _Mode, enable_grad
from .._tensor import Tensor
from . import _plain_grad

__all__ = ["UnpackedDualTensor", "enter_dual_level", "exit_dual_level", "make_dual", "unpack_dual", "dual_level"]


class UnpackedDualTensor(NamedTuple):
    """The two halves of a dual tensor; the tangent is None where there is none."""

    primal: Tensor
    tangent: Tensor


class _State(_local):
    levels = ()  # each a list of (variable, tangent, whether the value had a history)


_state = _State()


def enter_dual_level():
    """Begins a level, in which dual tensors can be made; returns its number."""
    if _state.levels:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    _state.levels = (*_state.levels, [])
    return len(_state.levels) - 1


def exit_dual_level(*, level=None):
    """Ends the last level: its tangents are gone."""
    if not _state.levels:
        raise RuntimeError("Dual level must be a positive number.")
    if level is not None and level != len(_state.levels) - 1:
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is not supported."
        )
    _state.levels = _state.levels[:-1]


def make_dual(tensor, tangent, *, level=None):
    """The dual tensor of a value and a tangent of its shape."""
    if not _state.levels:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first."
        )
    for name, t in (("primal", tensor), ("tangent", tangent)):
        if not t.is_floating_point():
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {t.dtype}")
    if tuple(tensor.shape) != tuple(tangent.shape):
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not supported. "
            f"Tensor is of size {list(tensor.shape)} while the given forward gradient is of size {list(tangent.shape)}."
        )
    with enable_grad():
        nested = tensor.requires_grad
        variable = tensor.view_as(tensor) if nested else tensor.detach().requires_grad_()
    _state.levels[-1].append((variable, tangent, nested))
    return variable


def unpack_dual(tensor, *, level=None):
    """A tensor's value and its tangent; outside of a level there is no tangent."""
    if not _state.levels:
        return UnpackedDualTensor(tensor, None)
    duals = _state.levels[-1]
    nested = any(n for _, _, n in duals) or any(t.requires_grad for _, t, _ in duals)
    for variable, tangent, n in duals:
        if variable is tensor:
            return UnpackedDualTensor(tensor if n else tensor.detach(), tangent)
    if not tensor.requires_grad or not duals:
        return UnpackedDualTensor(tensor, None)
    with enable_grad():
        seed = g.zeros_like(tensor).requires_grad_()
        back = _plain_grad(
            [tensor], [v for v, _, _ in duals], [seed], retain_graph=True, create_graph=True, allow_unused=True
        )
        pairs = [(b, t.to(b.dtype)) for b, (_, t, _) in zip(back, duals) if b is not None]
        if not pairs:
            return UnpackedDualTensor(tensor, None)
        pairs = [(b, t) for b, t in pairs if b.requires_grad]
        found = None
        if pairs:
            (found,) = _plain_grad(
                [b for b, _ in pairs],
                [seed],
                [t for _, t in pairs],
                retain_graph=True,
                create_graph=nested,
                allow_unused=True,
            )
        if found is None:
            found = g.zeros_like(tensor)
    return UnpackedDualTensor(tensor if nested else tensor.detach(), found if nested else found.detach())


class dual_level(_Mode):
    """A level for a block."""

    def __enter__(self):
        return enter_dual_level()

    def __exit__(self, *exc):
        exit_dual_level()
