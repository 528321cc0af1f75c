"""Functions with a backward of their own."""

from ctypes import CFUNCTYPE, Structure, addressof, c_char_p, c_size_t, c_void_p, cast, sizeof

from .. import _c, _subclass
from .._c import fail, tls
from .._errors import error_from_exception
from .._glue import unlist
from .._grad_mode import no_grad
from .._tensor import Tensor
from .graph import adopt_all, give_list


class FunctionCtx:
    """What forward hands to backward: saved tensors, marks, and any attributes."""

    def __init__(self):
        self.needs_input_grad = ()
        self.materialize_grads = True
        self.to_save = ()
        self.dirty_tensors = ()
        self.non_differentiable = ()
        self._handle = None

    def save_for_backward(self, *tensors):
        """Keeps tensors for backward, where they are `saved_tensors`; a later in-place change of one is an error."""
        for i, t in enumerate(tensors):
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument {i} is of type {type(t).__name__}"
                )
        self.to_save = tensors

    @property
    def saved_tensors(self):
        """What save_for_backward was given."""
        if self._handle is None:
            return tuple(self.to_save)
        o, p = tls.o
        e = _c.function_ctx_saved_tensors(self._handle, p)
        if e:
            fail(e)
        return unlist(o.value)

    saved_variables = saved_tensors

    def save_for_forward(self, *tensors):
        self.saved_for_forward = tensors

    def mark_dirty(self, *tensors):
        """Says that forward wrote to these inputs in place."""
        self.dirty_tensors = tensors

    def mark_non_differentiable(self, *tensors):
        """Says that these outputs have no gradient."""
        self.non_differentiable = tensors

    def set_materialize_grads(self, value):
        """Whether absent gradients reach backward as zeros (the default) or as None."""
        self.materialize_grads = value


class _Vtable(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("name", c_char_p),
        ("forward", c_void_p),
        ("backward", c_void_p),
        ("drop", c_void_p),
    ]


class _Call:
    """One application of a Function: what its two callbacks need."""

    __slots__ = ("cls", "ctx", "args", "kwargs", "result", "places", "count", "outputs")

    def forward(self, handle, out):
        cls, ctx, args = self.cls, self.ctx, self.args
        with no_grad():
            result = run_forward(cls, ctx, args, self.kwargs)
        self.args = self.kwargs = None  # the graph shall keep what is saved and nothing else
        self.result = result
        outputs = [t for t in (result if isinstance(result, (tuple, list)) else (result,)) if isinstance(t, Tensor)]
        # Shapes for gradients that do not come.
        self.outputs = [(tuple(t.shape), t.dtype, t.device) for t in outputs]
        for function, tensors in (
            (_c.function_ctx_save_for_backward, ctx.to_save),
            (_c.function_ctx_mark_dirty, ctx.dirty_tensors),
            (_c.function_ctx_mark_non_differentiable, ctx.non_differentiable),
        ):
            if tensors:
                e = function(handle, _c.opt_handles(tensors), len(tensors))
                if e:
                    fail(e)
        ctx.to_save = ctx.dirty_tensors = ctx.non_differentiable = ()
        give_list(outputs, out)

    def backward(self, handle, grads, out):
        cls, ctx = self.cls, self.ctx
        if ctx.materialize_grads:
            from .._ops import zeros

            grads = [
                zeros(shape, dtype=dtype, device=device) if g is None else g
                for g, (shape, dtype, device) in zip(grads, self.outputs)
            ]
        ctx._handle = handle
        try:
            result = cls._backward(ctx, *grads)
        finally:
            ctx._handle = None
        if not isinstance(result, (tuple, list)):
            result = (result,)
        name = cls.__name__ + "Backward"
        if len(result) > self.count and all(r is None for r in result[self.count :]):
            result = result[: self.count]
        if len(result) != self.count:
            raise RuntimeError(
                f"function {name} returned an incorrect number of gradients (expected {self.count}, got {len(result)})"
            )
        for i, r in enumerate(result):
            if r is None:
                continue
            if i not in self.places:
                raise RuntimeError(
                    f"function {name} returned a gradient different from None at position {i + 1}, but the corresponding "
                    "forward input was not a Variable"
                )
            if not isinstance(r, Tensor):
                raise TypeError(f"expected Variable or None (got {type(r).__name__})")
        give_list([result[i] for i in self.places], out)


@CFUNCTYPE(c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p)
def _forward_callback(user, handle, inputs, n, out):
    try:
        _c.held[user].forward(handle, out)
        return None
    except BaseException as error:
        return error_from_exception(error)


@CFUNCTYPE(c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p)
def _backward_callback(user, handle, grads, n, out):
    try:
        _c.held[user].backward(handle, adopt_all(grads, n), out)
        return None
    except BaseException as error:
        return error_from_exception(error)


_forward_address = cast(_forward_callback, c_void_p).value
_backward_address = cast(_backward_callback, c_void_p).value


def run_forward(cls, ctx, args, kwargs):
    """Runs forward in whichever of its two forms the class has."""
    if cls.setup_context is not Function.setup_context:
        result = cls.forward(*args, **kwargs)
        cls.setup_context(ctx, args, result)
        return result
    return cls.forward(ctx, *args, **kwargs)


class Function:
    """Base class of custom functions: static methods forward and backward; call `apply`."""

    generate_vmap_rule = False

    @staticmethod
    def forward(*args, **kwargs):
        """Computes the result: forward(ctx, *args), or forward(*args) with setup_context."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx, inputs, output):
        """Prepares ctx for backward, for a forward without ctx."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx, *grad_outputs):
        """Computes the gradients of the inputs from those of the outputs."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
            "backward mode AD."
        )

    vjp = backward

    @classmethod
    def _backward(cls, ctx, *grads):
        if cls.backward is Function.backward and cls.vjp is not Function.vjp:
            return cls.vjp(ctx, *grads)
        return cls.backward(ctx, *grads)

    def __init__(self, *args, **kwargs):
        raise RuntimeError(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you should invoke "
            "them on the class itself. Instantiating an autograd function will raise an error in a future version of "
            "PyTorch."
        )

    @classmethod
    def _vtable_address(cls):
        held = cls.__dict__.get("_vtable")
        if held is None:
            name = (cls.__name__ + "Backward").encode()
            held = _Vtable(sizeof(_Vtable), name, _forward_address, _backward_address, _c.release_address)
            cls._vtable = held
        return addressof(held)

    @classmethod
    def apply(cls, *args, **kwargs):
        """Runs forward and records the function in the graph."""
        if _subclass.active and any([hasattr(a, "_level") for a in args]):
            from .._vmap.functions import apply_function

            return apply_function(cls, args, kwargs)
        ctx = FunctionCtx()
        places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        wanted = [isinstance(a, Tensor) and a.requires_grad for a in args]
        ctx.needs_input_grad = tuple(wanted)
        if not any(wanted) or not _c.grad_mode_enabled():
            with no_grad():
                return run_forward(cls, ctx, args, kwargs)
        call = _Call()
        call.cls, call.ctx, call.args, call.kwargs = cls, ctx, args, kwargs
        call.places, call.count = places, len(args)
        inputs = [args[i] for i in places]
        o, p = tls.o
        e = _c.function_apply(cls._vtable_address(), _c.hold(call), _c.handles(inputs), len(inputs), p)
        if e:
            fail(e)
        made = iter(unlist(o.value))
        result, call.result = call.result, None
        own = {_c.tensor_id(t._h): t for t in inputs}

        def taken(v):
            if not isinstance(v, Tensor):
                return v
            t = next(made)
            # An input that was written to comes back as the same object.
            return own.get(_c.tensor_id(t._h), t)

        if isinstance(result, (tuple, list)):
            return tuple([taken(v) for v in result])
        return taken(result)


class InplaceFunction(Function):
    """The old base class of functions with an inplace flag."""


def once_differentiable(function):
    """A backward whose result is not differentiated again."""

    def wrapper(ctx, *grads):
        with no_grad():
            return function(ctx, *grads)

    return wrapper
