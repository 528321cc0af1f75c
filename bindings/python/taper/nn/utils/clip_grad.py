"""Clipping of gradients."""

from ... import _ops as g
from ..._creation import tensor
from ..._grad_mode import no_grad
from ..._tensor import Tensor


def _gradients(parameters):
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    return [p.grad for p in parameters if p.grad is not None]


@no_grad()
def get_total_norm(tensors, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """The norm of all elements of several tensors."""
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    norm_type = float(norm_type)
    if not tensors:
        return tensor(0.0)
    device = tensors[0].device
    norms = [g.norm(t, norm_type).to(device) for t in tensors]
    total = g.norm(g.stack(norms), norm_type)
    if error_if_nonfinite and not bool(g.isfinite(total)):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it cannot be clipped. "
            "To disable this error and scale the gradients by the non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total


@no_grad()
def clip_grads_with_norm_(parameters, max_norm, total_norm, foreach=None):
    """Scales the gradients by max_norm / total_norm where that is below 1."""
    scale = g.clamp_max(float(max_norm) / (total_norm + 1e-6), 1.0)
    for grad in _gradients(parameters):
        grad.mul_(scale.to(grad.device))


def clip_grad_norm_(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """Scales the gradients so that their total norm is at most max_norm; returns the norm before."""
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return g.clip_grad_norm_(parameters, float(max_norm), float(norm_type), error_if_nonfinite)


clip_grad_norm = clip_grad_norm_


@no_grad()
def clip_grad_value_(parameters, clip_value, foreach=None):
    """Limits each element of the gradients to [-clip_value, clip_value]."""
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    g.clip_grad_value_(parameters, float(clip_value))
