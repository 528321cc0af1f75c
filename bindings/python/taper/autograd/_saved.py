"""What keeps the tensors that ops save for backward: a program's own hooks."""

from _thread import _local
from ctypes import CFUNCTYPE, Structure, addressof, c_size_t, c_uint64, c_void_p, cast

from .. import _c
from .._c import fail
from .._errors import error_from_exception
from .._tensor import Tensor
from .graph import adopt, give


@CFUNCTYPE(c_void_p, c_void_p, c_void_p, c_void_p)
def _pack_callback(user, tensor, token):
    try:
        kept = _c.held[user][0](adopt(tensor))
        c_uint64.from_address(token).value = _c.hold(kept)
        return None
    except BaseException as error:
        return error_from_exception(error)


@CFUNCTYPE(c_void_p, c_void_p, c_uint64, c_void_p)
def _unpack_callback(user, token, out):
    try:
        t = _c.held[user][1](_c.held[token])
        if not isinstance(t, Tensor):
            raise TypeError(
                f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type {type(t).__name__}"
            )
        give(t, out)
        return None
    except BaseException as error:
        return error_from_exception(error)


@CFUNCTYPE(None, c_void_p, c_uint64)
def _release_callback(user, token, _pop=_c.held.pop):
    _pop(token, None)


class _Vtable(Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("pack", c_void_p),
        ("unpack", c_void_p),
        ("release", c_void_p),
        ("drop", c_void_p),
    ]


_vtable = _Vtable(
    40,
    cast(_pack_callback, c_void_p).value,
    cast(_unpack_callback, c_void_p).value,
    cast(_release_callback, c_void_p).value,
    _c.release_address,
)


class _State(_local):
    refusal = None


_state = _State()


class saved_tensors_hooks:
    """Inside, each tensor that an op saves for backward is what pack_hook makes of it, and unpack_hook gives the tensor
    back when backward wants it."""

    def __init__(self, pack_hook, unpack_hook):
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self):
        if _state.refusal is not None:
            raise RuntimeError(_state.refusal)
        e = _c.proto("saved_tensors_hooks_push")(addressof(_vtable), _c.hold((self.pack_hook, self.unpack_hook)))
        if e:
            fail(e)

    def __exit__(self, *exc):
        _c.proto("saved_tensors_hooks_pop")()


class save_on_cpu(saved_tensors_hooks):
    """Inside, tensors that ops save for backward lie on the CPU until backward wants them."""

    def __init__(self, pin_memory=False, device_type="cuda"):
        def pack(t):
            return t.device, t.cpu().clone() if t.device.type == "cpu" else t.cpu()

        def unpack(kept):
            device, t = kept
            return t.to(device, non_blocking=pin_memory)

        super().__init__(pack, unpack)


class disable_saved_tensors_hooks:
    """Inside, saved_tensors_hooks is an error with this message."""

    def __init__(self, error_message):
        self.error_message = error_message

    def __enter__(self):
        self.before, _state.refusal = _state.refusal, self.error_message

    def __exit__(self, *exc):
        _state.refusal = self.before

    def __call__(self, function):
        from functools import wraps

        @wraps(function)
        def wrapper(*args, **kwargs):
            with disable_saved_tensors_hooks(self.error_message):
                return function(*args, **kwargs)

        return wrapper
