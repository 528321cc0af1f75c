"""Graph nodes and tensor hooks; the callbacks that C calls."""

import struct
from ctypes import CFUNCTYPE, Structure, addressof, c_size_t, c_uint64, c_void_p, cast

from .. import _c
from .._c import fail, tls
from .._errors import error_from_exception
from .._tensor import Tensor, wrap


class Vtable(Structure):
    """A struct of one callback: its size, the function, and the release of `user`."""

    _fields_ = [("struct_size", c_size_t), ("call", c_void_p), ("drop", c_void_p)]

    def __init__(self, callback):
        super().__init__(24, cast(callback, c_void_p).value, _c.release_address)


def adopt(borrowed):
    """A Tensor of a handle that is only lent; None for NULL."""
    if not borrowed:
        return None
    o, p = tls.o
    e = _c.tensor_ref(borrowed, p)
    if e:
        fail(e)
    return wrap(o.value)


def adopt_all(pointer, n):
    """Tensors of an array of lent handles."""
    if not n:
        return ()
    array = (c_uint64 * n).from_address(pointer)
    return tuple([adopt(h) for h in array])


def give(t, out):
    """Writes another handle of a tensor to an out-parameter."""
    o, p = tls.o
    e = _c.tensor_ref(t._h, p)
    if e:
        fail(e)
    c_void_p.from_address(out).value = o.value


def give_list(tensors, out):
    """Writes a new list of tensors (None where there is none) to an out-parameter."""
    o, p = tls.o
    e = _c.tensor_list_new(_c.opt_handles(tensors), len(tensors), p)
    if e:
        fail(e)
    c_void_p.from_address(out).value = o.value


# --- tensor hooks ----------------------------------------------------------------------------------------------------


@CFUNCTYPE(c_void_p, c_void_p, c_void_p, c_void_p)
def _hook_callback(user, grad, out):
    try:
        result = _c.held[user](adopt(grad))
        if result is not None:
            if not isinstance(result, Tensor):
                raise TypeError(f"expected Variable, but hook returned {type(result).__name__!r}")
            give(result, out)
        return None
    except BaseException as error:
        return error_from_exception(error)


_hook_vtable = Vtable(_hook_callback)
_hook_address = addressof(_hook_vtable)


class TensorHookHandle:
    """What register_hook returns: `remove()` takes the hook away."""

    def __init__(self, tensor, number):
        self._tensor, self.id = tensor, number

    def remove(self):
        """Takes the hook away; again is fine."""
        if self._tensor is not None:
            e = _c.tensor_remove_hook(self._tensor._h, self.id)
            self._tensor = None
            if e:
                fail(e)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.remove()


def register_tensor_hook(t, hook, register):
    """Registers a Python function as a hook of a tensor."""
    number = c_uint64()
    e = register(t._h, _hook_address, _c.hold(hook), addressof(number))
    if e:
        fail(e)
    return TensorHookHandle(t, number.value)


# --- nodes -----------------------------------------------------------------------------------------------------------


@CFUNCTYPE(c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p)
def _node_hook_callback(user, grad_inputs, n_inputs, grad_outputs, n_outputs, out):
    try:
        hook, before = _c.held[user]
        outputs = adopt_all(grad_outputs, n_outputs)
        result = hook(outputs) if before else hook(adopt_all(grad_inputs, n_inputs), outputs)
        if result is not None:
            if not before and not isinstance(result, tuple):
                raise TypeError(f"expected tuple, but hook returned {type(result).__name__!r}")
            give_list(list(result) if isinstance(result, (tuple, list)) else [result], out)
        return None
    except BaseException as error:
        return error_from_exception(error)


_node_hook_vtable = Vtable(_node_hook_callback)


class _NodeHookHandle:
    def __init__(self, node, number):
        self._node, self.id = node, number

    def remove(self):
        """Takes the hook away."""
        if self._node is not None:
            e = _c.proto("node_remove_hook")(self._node._h, self.id)
            self._node = None
            if e:
                fail(e)


class Node:
    """A node of the graph: the backward of one operation."""

    __slots__ = ("_h", "__weakref__")

    def __del__(self, _free=_c.node_free):
        _free(self._h)

    def name(self):
        """The name, such as 'AddBackward0'."""
        return type(self).__name__

    @property
    def next_functions(self):
        """(node, output number) of every input; (None, 0) where no gradient is wanted."""
        result = []
        o, p = tls.o
        for i in range(_c.node_next_len(self._h)):
            number = _c.c_int64()
            e = _c.node_next(self._h, i, p, addressof(number))
            if e:
                fail(e)
            result.append((_node(o.value), number.value))
        return tuple(result)

    def _register(self, function, hook, before):
        number = c_uint64()
        f = _c.proto(function)
        e = f(self._h, addressof(_node_hook_vtable), _c.hold((hook, before)), addressof(number))
        if e:
            fail(e)
        return _NodeHookHandle(self, number.value)

    def register_hook(self, hook):
        """Calls hook(grad_inputs, grad_outputs) after the node has run."""
        return self._register("node_register_hook", hook, False)

    def register_prehook(self, hook):
        """Calls hook(grad_outputs) before the node runs."""
        return self._register("node_register_prehook", hook, True)

    def __eq__(self, other):
        return isinstance(other, Node) and _c.node_id(self._h) == _c.node_id(other._h)

    def __hash__(self):
        return hash(_c.node_id(self._h))

    def __repr__(self):
        return f"<{type(self).__name__} object at {_c.node_id(self._h):#x}>"


_classes = {}


def _node(handle):
    if not handle:
        return None
    o, p = tls.o
    e = _c.node_name(handle, p)
    if e:
        fail(e)
    name = _c.take_string(o.value)
    cls = _classes.get(name)
    if cls is None:
        cls = _classes[name] = type(name, (Node,), {"__slots__": (), "__module__": "taper.autograd"})
    node = object.__new__(cls)
    node._h = handle
    return node


def node_of(t):
    """The node that made a tensor, or None."""
    o, p = tls.o
    e = _c.tensor_grad_fn(t._h, p)
    if e:
        fail(e)
    return _node(o.value)


def one_handle(t):
    """`taper_tensor *const *` of one tensor."""
    return struct.pack("Q", t._h)


def __getattr__(name):
    if name in ("saved_tensors_hooks", "save_on_cpu", "disable_saved_tensors_hooks"):
        from . import _saved

        made = globals()[name] = getattr(_saved, name)
        return made
    raise AttributeError(f"module 'taper.autograd.graph' has no attribute '{name}'")
