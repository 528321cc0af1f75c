"""Parameters and buffers: tensors that a module registers when they are assigned to it."""

from .. import _c
from .._tensor import Tensor

_new = object.__new__


class _ParameterMeta(type):
    # A tensor that carries the mark counts as a parameter, whatever its class.
    def __instancecheck__(cls, instance):
        return type.__instancecheck__(cls, instance) or (
            isinstance(instance, Tensor) and "_is_param" in instance.__dict__ and cls is Parameter
        )


class Parameter(Tensor, metaclass=_ParameterMeta):
    """A tensor that is a module's parameter; it shares the memory of `data` and requires grad by default."""

    def __new__(cls, data=None, requires_grad=True):
        if data is None:
            from .._creation import _from_data

            data = _from_data([], None, None)
        plain = data.detach()
        if type(data) is Tensor or isinstance(data, Parameter) or "_is_param" in cls.__dict__:
            p = _new(cls)
        else:  # of a class that a program has derived
            p = _new(type(data))
            p._is_param = True
        p._h, plain._h = plain._h, 0
        if requires_grad:
            e = _c.tensor_set_requires_grad(p._h, True)
            if e:
                _c.fail(e)
        return p

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        from .._subclass import Disabled

        with Disabled():
            return func(*args, **(kwargs or {}))

    # Never asked: what an op makes of a parameter is a plain tensor.
    __torch_function__.__func__.is_disabled = True

    def __repr__(self):
        return "Parameter containing:\n" + Tensor.__repr__(self)


class UninitializedTensorMixin:
    """Shared by uninitialised parameters and buffers: no shape until `materialize`."""

    def materialize(self, shape, device=None, dtype=None):
        """Gives the tensor its shape; it then belongs to its ordinary class."""
        from .. import _ops

        self.data = _ops.empty(shape, device=device or self.device, dtype=dtype or self.dtype)
        self.__class__ = self.cls_to_become

    @property
    def shape(self):
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. "
            "This error usually happens in `load_state_dict` when trying to load "
            "an uninitialized parameter into an initialized one. "
            "Call `forward` to initialize the parameters before accessing their attributes."
        )

    def __repr__(self):
        return f"<{type(self).__name__}>"


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter whose shape is not known yet (lazy modules)."""

    cls_to_become = Parameter

    def __new__(cls, requires_grad=True, device=None, dtype=None):
        from .. import _ops

        return Parameter.__new__(cls, _ops.empty((0,), device=device, dtype=dtype), requires_grad)


class Buffer(Tensor):
    """A tensor that is registered as a buffer when it is assigned to a module."""

    def __new__(cls, data=None, *, persistent=True):
        if data is None:
            from .._creation import _from_data

            data = _from_data([], None, None)
        plain = data.detach()
        b = _new(cls)
        b._h, plain._h = plain._h, 0
        b.persistent = persistent
        return b


class UninitializedBuffer(UninitializedTensorMixin, Tensor):
    """A buffer whose shape is not known yet (lazy modules)."""

    cls_to_become = Tensor

    def __new__(cls, requires_grad=False, device=None, dtype=None, persistent=True):
        from .. import _ops

        plain = _ops.empty((0,), device=device, dtype=dtype)
        b = _new(cls)
        b._h, plain._h = plain._h, 0
        return b


def is_lazy(p):
    """Whether a parameter or buffer waits for its shape."""
    return isinstance(p, UninitializedTensorMixin)
