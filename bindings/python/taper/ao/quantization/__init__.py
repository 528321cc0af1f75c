"""Stubs by which models say where quantization would begin and end: identities. Nothing is quantized."""

from ...nn.modules.module import Module

__all__ = ["DeQuantStub", "QuantStub"]


class QuantStub(Module):
    """The identity."""

    def __init__(self, qconfig=None):
        super().__init__()
        if qconfig:
            self.qconfig = qconfig

    def forward(self, x):
        return x


class DeQuantStub(QuantStub):
    """The identity."""


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)

    def refused(*args, **kwargs):
        raise NotImplementedError(f"torch.ao.quantization.{name}: Taper has no quantized tensors")

    return refused
