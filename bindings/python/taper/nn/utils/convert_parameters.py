"""Parameters as one vector and back."""

from ... import _ops as g


def parameters_to_vector(parameters):
    """All parameters one behind the other."""
    return g.cat([p.reshape(-1) for p in parameters], 0)


def vector_to_parameters(vec, parameters):
    """Sets the parameters' data to the parts of a vector."""
    at = 0
    for p in parameters:
        n = p.numel()
        p.data = vec[at : at + n].view(p.shape).detach()
        at += n
