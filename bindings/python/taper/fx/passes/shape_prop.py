"""Shapes and dtypes of every node's result, into `node.meta["tensor_meta"]`."""

from collections import namedtuple

from ..._tensor import Tensor
from ..interpreter import Interpreter
from ..node import map_aggregate

TensorMetadata = namedtuple("TensorMetadata", "shape dtype requires_grad stride memory_format is_quantized qparams")


def _extract_tensor_metadata(result, include_contiguity=True):
    from ... import contiguous_format

    layout = contiguous_format if include_contiguity and result.is_contiguous() else None
    return TensorMetadata(result.shape, result.dtype, result.requires_grad, result.stride(), layout, False, {})


class ShapeProp(Interpreter):
    """Runs a module and notes what each node gives."""

    def run_node(self, n):
        result = super().run_node(n)
        found = False

        def look(v):
            nonlocal found
            if isinstance(v, Tensor):
                found = True
                return _extract_tensor_metadata(v)
            return v

        meta = map_aggregate(result, look)
        if found:
            n.meta["tensor_meta"] = meta
        n.meta["type"] = type(result)
        return result

    def propagate(self, *args):
        """Runs with these inputs."""
        return super().run(*args)
