"""Tensor methods that take PyTorch's many forms of arguments: `to`, `type`, `new_*`, `view`, `split` ..."""

from . import _c, _dtype, _ops
from ._dtype import device as _device
from ._dtype import dtype as _dtype_class
from ._glue import M
from ._tensor import Tensor


def parse_to(args, dtype=None, device=None, copy=False, memory_format=None, non_blocking=False, other=None):
    """The dtype, device and copy flag of `to`'s arguments."""
    args = list(args)
    if args:
        first = args.pop(0)
        if isinstance(first, Tensor):
            dtype, device = first.dtype, first.device
        elif isinstance(first, _dtype_class):
            dtype = first
        elif first in (float, int, bool) and isinstance(first, type):
            dtype = _c.to_dtype(first)
        elif first is None or isinstance(first, (str, int, _device)):
            device = first if first is None else _c.to_device(first)
            if args and (args[0] is None or isinstance(args[0], (_dtype_class, type))):
                dtype = args.pop(0)
        else:
            raise TypeError(
                f"to() received an invalid combination of arguments - got ({type(first).__name__}), but expected one of:\n"
                " * (torch.device device, torch.dtype dtype, bool non_blocking, bool copy)\n"
                " * (torch.dtype dtype, bool non_blocking, bool copy)\n * (Tensor tensor, bool non_blocking, bool copy)\n"
            )
        if args:
            args.pop(0)  # non_blocking
        if args:
            copy = args.pop(0)
    if other is not None:
        dtype, device = other.dtype, other.device
    return None if dtype is None else _c.to_dtype(dtype), device, bool(copy)


def to(self, *args, **kwargs):
    """The tensor with another dtype or on another device; itself when nothing changes."""
    dtype, device, copy = parse_to(args, **kwargs)
    if device is not None:
        device = _c.to_device(device)
        here = self.device
        if here == device or (
            device.index is None and here.type == device.type and (here.index or 0) == _dtype.current.get(here.type, 0)
        ):
            device = None
    if not copy and device is None and (dtype is None or dtype is self.dtype):
        return self
    return _ops.to(self, dtype, device, copy=copy)


def _cast(name, dtype):
    def method(self, memory_format=None):
        return self if self.dtype is dtype else _ops.to(self, dtype)

    method.__name__ = name
    method.__doc__ = f"The tensor as {dtype}."
    return method


def cpu(self, memory_format=None):
    """The tensor on the CPU."""
    return to(self, "cpu")


def cuda(self, device=None, non_blocking=False, memory_format=None):
    """The tensor on a CUDA device."""
    if device is None:
        device = _device("cuda")
    return to(self, _c.to_device(device))


def opencl(self, device=None):
    """The tensor on an OpenCL device: of an index or a name, or the current one."""
    from .opencl import device as chosen

    return to(self, chosen(device))


def type_(self, dtype=None, non_blocking=False, **kwargs):
    """The type's name such as 'torch.FloatTensor', or the tensor as another type."""
    if dtype is None:
        d = self.device.type
        return f"torch.{'' if d == 'cpu' else d + '.'}{self.dtype.scalar_name}Tensor"
    if isinstance(dtype, str):
        name = dtype.rpartition(".")[2]
        for candidate in _dtype._by_code.values():
            if candidate.scalar_name + "Tensor" == name:
                return to(self, candidate)
        raise ValueError(f"invalid type: '{dtype}'")
    if not isinstance(dtype, _dtype_class) and hasattr(dtype, "device_type"):  # FloatTensor and its like
        return to(self, device=dtype.device_type, dtype=dtype.dtype)
    return to(self, _c.to_dtype(dtype))


def type_as(self, other):
    """The tensor with other's dtype and device."""
    return to(self, other)


def _sizes(args, size=M):
    if size is not M:
        return size
    if len(args) == 1 and not isinstance(args[0], int) and not hasattr(type(args[0]), "__index__"):
        return args[0]
    return args


def _new_filled(name):
    function = getattr(_ops, name)

    def method(self, *args, size=M, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):
        return function(
            _sizes(args, size),
            dtype=self.dtype if dtype is None else dtype,
            device=self.device if device is None else device,
            requires_grad=requires_grad,
        )

    method.__name__ = f"new_{name}"
    method.__doc__ = f"`taper.{name}` with this tensor's dtype and device."
    return method


def new_full(self, size, fill_value, *, dtype=None, device=None, requires_grad=False, layout=None, pin_memory=False):
    """`taper.full` with this tensor's dtype and device."""
    return _ops.full(
        size,
        fill_value,
        dtype=self.dtype if dtype is None else dtype,
        device=self.device if device is None else device,
        requires_grad=requires_grad,
    )


def new_tensor(self, data, *, dtype=None, device=None, requires_grad=False, pin_memory=False):
    """`taper.tensor` with this tensor's dtype and device."""
    from ._creation import _from_data

    t = _from_data(
        data, _c.to_dtype(dtype) if dtype is not None else self.dtype, self.device if device is None else device
    )
    return t.requires_grad_(True) if requires_grad else t


def new(self, *args, device=None):
    """A tensor of this dtype, from sizes or data."""
    from ._creation import legacy_new

    return legacy_new(Tensor, self.dtype, args, device or self.device)


def data_of_storage(self):
    """The storage as an object with data_ptr() and nbytes()."""
    from .storage import UntypedStorage

    return UntypedStorage(self)


def apply_(self, function):
    """Applies a Python function to each element, in place (CPU only)."""
    if self.device.type != "cpu":
        raise TypeError("apply_ is only implemented on CPU tensors")
    from ._creation import _from_data

    flat = [function(v) for v in self.detach().flatten().tolist()]
    self.copy_(_from_data(flat, self.dtype, None).view(self.shape))
    return self


def map_(self, other, function):
    """Writes function(a, b) of each pair of elements, in place (CPU only)."""
    from ._creation import _from_data

    flat = [function(a, b) for a, b in zip(self.flatten().tolist(), other.expand_as(self).flatten().tolist())]
    self.copy_(_from_data(flat, self.dtype, None).view(self.shape))
    return self


def resize_(self, *sizes, memory_format=None):
    """Changes the shape in place; elements beyond the old ones are undefined."""
    size = tuple(_sizes(sizes))
    n = 1
    for v in size:
        if v < 0:
            raise RuntimeError(f"resize_: sizes must not be negative, got {list(size)}")
        n *= v
    flat = self.detach().reshape(-1)
    if n > flat.numel():
        flat = _ops.cat([flat, _ops.empty((n - flat.numel(),), dtype=self.dtype, device=self.device)], 0)
    self.data = flat[:n].view(size)
    return self


def resize_as_(self, other):
    """Changes the shape in place to other's."""
    return resize_(self, other.shape)


def set_(self, source=None):
    """Takes over another tensor's memory and shape."""
    self.data = _ops.empty((0,), dtype=self.dtype) if source is None else source
    return self


def _same(self, *args, **kwargs):
    return self


def lu(self, pivot=True, get_infos=False):
    """L and U of self = P L U in one matrix, the rows that were exchanged, and, if asked for, which pivot is zero."""
    from ._linalg import lu

    return lu(self, pivot, get_infos)


METHODS = {
    "lu": lu,
    "to": to,
    "cpu": cpu,
    "cuda": cuda,
    "opencl": opencl,
    "type": type_,
    "type_as": type_as,
    "new_full": new_full,
    "new_tensor": new_tensor,
    "new": new,
    "untyped_storage": data_of_storage,
    "storage": data_of_storage,
    "apply_": apply_,
    "map_": map_,
    "cfloat": _cast("cfloat", _dtype.complex64),
    "cdouble": _cast("cdouble", _dtype.complex128),
    "byte": _cast("byte", _dtype.uint8),
    "char": _cast("char", _dtype.int8),
    "resize_": resize_,
    "resize_as_": resize_as_,
    "set_": set_,
}
for _name in ("zeros", "ones", "empty"):
    METHODS["new_" + _name] = _new_filled(_name)
for _name in ("float", "double", "half", "bfloat16", "int", "long", "short", "bool"):
    METHODS[_name] = _cast(_name, getattr(_dtype, _name))
for _name in ("pin_memory", "share_memory_", "coalesce", "rename", "resolve_conj", "resolve_neg", "record_stream"):
    METHODS[_name] = _same
