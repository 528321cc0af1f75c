"""Distributed tensors in a world of one: each is the whole tensor, and knows its mesh and placements."""

from ..._tensor import Tensor, alias
from ..device_mesh import DeviceMesh
from .placement_types import Partial, Placement, Replicate, Shard

__all__ = [
    "DTensor",
    "distribute_tensor",
    "distribute_module",
    "Shard",
    "Replicate",
    "Partial",
    "Placement",
    "ones",
    "empty",
    "full",
    "linspace",
    "logspace",
    "rand",
    "randn",
    "zeros",
]
_new = object.__new__


def _mesh_or_default(mesh):
    return DeviceMesh("cpu") if mesh is None else mesh


def _placements(mesh, placements):
    if placements is None:
        return tuple([Replicate()] * mesh.ndim)
    placements = tuple(placements)
    if len(placements) != mesh.ndim:
        raise ValueError(
            f"`placements` must have the same length as `device_mesh.ndim`! Found placements length: {len(placements)}, "
            f"and device_mesh.ndim: {mesh.ndim}."
        )
    return placements


class DTensor(Tensor):
    """A tensor that lies on a mesh. `from_local` and `distribute_tensor` make one."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        from ..._subclass import Disabled

        mesh = _first_mesh((*args, *(kwargs or {}).values()))
        with Disabled():
            result = func(*args, **(kwargs or {}))
        return _on(result, mesh) if mesh is not None else result

    @staticmethod
    def from_local(
        local_tensor, device_mesh=None, placements=None, *, run_check=False, shape=None, stride=None, **options
    ):
        """The distributed tensor of which this is the one place's part."""
        mesh = _mesh_or_default(device_mesh)
        return _made(local_tensor.view_as(local_tensor), mesh, _placements(mesh, placements))

    def to_local(self, *, grad_placements=None):
        """What this place holds: the whole tensor."""
        return _plain(self)

    def full_tensor(self, *, grad_placements=None):
        """The whole tensor."""
        return _plain(self)

    def redistribute(self, device_mesh=None, placements=None, *, async_op=False, **options):
        """The same with other placements."""
        if placements is None:
            raise RuntimeError("placements is needed for redistribute!")
        mesh = device_mesh or self.device_mesh
        return _made(_plain(self), mesh, _placements(mesh, placements))

    def __repr__(self, *, tensor_contents=None):
        return f"DTensor(local_tensor={_plain(self)}, device_mesh={self.device_mesh}, placements={self.placements})"

    @property
    def grad(self):
        """The gradient, on the same mesh."""
        g = Tensor.grad.__get__(self)
        return None if g is None else _made(g, self.device_mesh, self.placements)

    @grad.setter
    def grad(self, value):
        Tensor.grad.__set__(self, None if value is None else _plain(value))

    @property
    def _local_tensor(self):
        return _plain(self)


def _plain(t):
    from ..._subclass import plain

    return plain(t)


def _first_mesh(values):
    for v in values:
        if isinstance(v, (tuple, list)):
            found = _first_mesh(v)
            if found is not None:
                return found
        elif type(v) is DTensor:
            return v.device_mesh
    return None


def _on(result, mesh):
    if isinstance(result, Tensor):
        if type(result) is DTensor:
            return result
        return _made(result, mesh, _placements(mesh, None))
    if isinstance(result, (tuple, list)) and type(result).__name__ != "Size":
        return type(result)([_on(r, mesh) for r in result])
    return result


def _made(t, mesh, placements):
    from ..._subclass import activate

    activate()
    made = _new(DTensor)
    made._h = alias(t)
    made.device_mesh, made.placements = mesh, placements
    return made


def distribute_tensor(tensor, device_mesh=None, placements=None, *, src_data_rank=0):
    """A leaf that holds the tensor's values, on a mesh."""
    if isinstance(tensor, DTensor):
        return tensor if placements is None else tensor.redistribute(device_mesh, placements)
    mesh = _mesh_or_default(device_mesh)
    made = _made(tensor.detach(), mesh, _placements(mesh, placements))
    return made.requires_grad_(tensor.requires_grad)


def distribute_module(module, device_mesh=None, partition_fn=None, input_fn=None, output_fn=None):
    """A module whose parameters and buffers become distributed tensors."""
    from ...nn import Parameter

    mesh = _mesh_or_default(device_mesh)
    for name, part in module.named_modules():
        if partition_fn is not None:
            partition_fn(name, part, mesh)
        for key, p in list(part._parameters.items()):
            if p is not None and not isinstance(p, DTensor):
                part.register_parameter(key, Parameter(distribute_tensor(p.data, mesh), p.requires_grad))
        for key, b in list(part._buffers.items()):
            if b is not None and not isinstance(b, DTensor):
                part._buffers[key] = distribute_tensor(b, mesh)
    if input_fn is not None:
        module.register_forward_pre_hook(lambda m, inputs: input_fn(m, inputs, mesh))
    if output_fn is not None:
        module.register_forward_hook(lambda m, inputs, outputs: output_fn(m, outputs, mesh))
    return module


def _factory(name):
    import taper

    make = getattr(taper, name)

    def function(*args, device_mesh=None, placements=None, **options):
        mesh = _mesh_or_default(device_mesh)
        wants = options.pop("requires_grad", False)
        made = _made(make(*args, **options), mesh, _placements(mesh, placements))
        return made.requires_grad_(wants)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`torch.{name}` on a mesh."
    return function


ones, empty, full, linspace, logspace, rand, randn, zeros = map(
    _factory, "ones empty full linspace logspace rand randn zeros".split()
)
