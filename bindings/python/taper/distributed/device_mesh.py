"""Meshes of devices in a world of one: every dimension has one place, rank 0."""

from .. import tensor as _tensor_of

__all__ = ["DeviceMesh", "init_device_mesh"]


class DeviceMesh:
    """A mesh whose only place is this process."""

    def __init__(self, device_type, mesh=None, *, mesh_dim_names=None, **options):
        from . import init_process_group, is_initialized

        t = _tensor_of([0] if mesh is None else getattr(mesh, "tolist", lambda: mesh)()).int()
        if t.numel() != 1 or t.item() != 0:
            raise RuntimeError(
                f"DeviceMesh: expected a mesh of the one process there is, rank 0, got {t.tolist()}: Taper runs in a world of one process"
            )
        if mesh_dim_names is not None:
            mesh_dim_names = tuple(mesh_dim_names)
            if len(set(mesh_dim_names)) != len(mesh_dim_names):
                raise RuntimeError(
                    f"Each mesh_dim_name must be unique. Found repeated mesh_dim_name in mesh_dim_names {mesh_dim_names}"
                )
            if len(mesh_dim_names) != t.ndim:
                raise RuntimeError(
                    f"mesh_shape and mesh_dim_names should have same length! Found len(mesh_dim_names): {len(mesh_dim_names)} "
                    f"and len(mesh_shape): {t.ndim}."
                )
        if not is_initialized():
            init_process_group(world_size=1, rank=0)
        self.device_type, self.mesh, self.mesh_dim_names = device_type, t, mesh_dim_names

    @staticmethod
    def from_group(group, device_type, mesh=None, *, mesh_dim_names=None):
        """The mesh of a group."""
        return DeviceMesh(device_type, mesh, mesh_dim_names=mesh_dim_names)

    @property
    def ndim(self):
        """How many dimensions it has."""
        return self.mesh.ndim

    @property
    def shape(self):
        """The size of each dimension."""
        return tuple(self.mesh.shape)

    def size(self, mesh_dim=None):
        """How many places it has, or a dimension of it."""
        return 1 if mesh_dim is None else self.mesh.size(self._dim(mesh_dim))

    def _dim(self, dim):
        if isinstance(dim, str):
            if dim not in (self.mesh_dim_names or ()):
                raise KeyError(
                    f"Mesh dimension '{dim}' does not exist. Available mesh dimensions are: {self.mesh_dim_names}"
                )
            return self.mesh_dim_names.index(dim)
        return dim

    def __getitem__(self, names):
        if self.mesh_dim_names is None:
            raise RuntimeError("Cannot slice a DeviceMesh without mesh_dim_names!")
        names = (names,) if isinstance(names, str) else tuple(names)
        if not names:
            raise KeyError("mesh_dim_names cannot be empty")
        for n in names:
            self._dim(n)
        return DeviceMesh(self.device_type, self.mesh.view([1] * len(names)), mesh_dim_names=names)

    def get_group(self, mesh_dim=None):
        """The group of a dimension."""
        from . import need

        if mesh_dim is None and self.ndim > 1:
            raise RuntimeError(
                f"Found the DeviceMesh have {self.ndim} dimensions. Optional kwarg `mesh_dim` needs to be specified when device_mesh.ndim > 1."
            )
        if mesh_dim is not None:
            self._dim(mesh_dim)
        return need()

    def get_all_groups(self):
        """The groups of all dimensions."""
        return [self.get_group(d) for d in range(self.ndim)]

    def get_rank(self):
        """0."""
        return 0

    def get_local_rank(self, mesh_dim=None):
        """This process's place in a dimension."""
        if mesh_dim is None and self.ndim > 1:
            raise RuntimeError(
                f"Found the DeviceMesh have {self.ndim} dimensions. Optional kwarg `mesh_dim` needs to be specified when device_mesh.ndim > 1."
            )
        if mesh_dim is not None:
            self._dim(mesh_dim)
        return 0

    def get_coordinate(self):
        """This process's place."""
        return [0] * self.ndim

    def _flatten(self, mesh_dim_name=None):
        return DeviceMesh(self.device_type, [0], mesh_dim_names=(mesh_dim_name,) if mesh_dim_name else None)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return None

    def __eq__(self, other):
        return isinstance(other, DeviceMesh) and (self.device_type, self.shape, self.mesh_dim_names) == (
            other.device_type,
            other.shape,
            other.mesh_dim_names,
        )

    def __hash__(self):
        return hash((self.device_type, self.shape, self.mesh_dim_names))

    def __repr__(self):
        if self.mesh_dim_names is None:
            return f"DeviceMesh({self.shape}, '{self.device_type}', stride={tuple(self.mesh.stride())})"
        sizes = ", ".join(f"{n}={s}" for n, s in zip(self.mesh_dim_names, self.shape))
        return f"DeviceMesh(({sizes}), '{self.device_type}', stride={tuple(self.mesh.stride())})"


def init_device_mesh(device_type, mesh_shape, *, mesh_dim_names=None, backend_override=None):
    """A mesh of this shape, in which every dimension must be 1."""
    if not device_type.isalpha():
        raise RuntimeError(
            f"Device type with index is not supported but got {device_type}. If you maintained a 'torch.device' object, it's recommended "
            "to pass in 'device.type'."
        )
    shape = tuple(mesh_shape)
    if any(s != 1 for s in shape):
        raise RuntimeError(
            f"init_device_mesh: mesh_shape is {shape}, but Taper runs in a world of one process: every dimension must be 1"
        )
    if mesh_dim_names is not None and len(mesh_dim_names) != len(shape):
        raise RuntimeError(
            f"mesh_shape and mesh_dim_names should have same length! Found len(mesh_dim_names): {len(mesh_dim_names)} and len(mesh_shape): {len(shape)}."
        )
    return DeviceMesh(device_type, _tensor_of([0]).view(shape), mesh_dim_names=mesh_dim_names)
