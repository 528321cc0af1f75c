"""Ops of a program's own (`torch.library`): Python functions under a name, with a derivative if they are given one.

They are called as they are; fake kernels and rules for tracing are accepted, since nothing is compiled."""

from ._custom_ops import OPS, CustomOp, parsed_name, schema_of

__all__ = [
    "CustomOpDef",
    "Library",
    "custom_op",
    "define",
    "fallthrough_kernel",
    "get_ctx",
    "get_kernel",
    "impl",
    "impl_abstract",
    "infer_schema",
    "opcheck",
    "register_autocast",
    "register_autograd",
    "register_fake",
    "register_kernel",
    "register_torch_dispatch",
    "register_vmap",
    "triton_op",
    "wrap_triton",
]


class CustomOpDef:
    """What custom_op makes: a function with rules."""

    def __init__(self, op, fn):
        self._op, self._init_fn, self._qualname = op, fn, op.qualname
        self._name = op.name
        self.__name__ = op.name

    def __call__(self, *args, **kwargs):
        return self._op(*args, **kwargs)

    def __repr__(self):
        return f"<CustomOpDef({self._qualname})>"

    def register_kernel(self, device_types, func=None, /):
        """The function for devices of some types."""
        return _deferred(func, lambda f: self._op.set_kernel(device_types, f))

    def register_fake(self, fn, /):
        """Accepted: nothing is traced."""
        self._op.fake = fn
        return fn

    register_vmap = register_fake

    def register_torch_dispatch(self, torch_dispatch_class, fn=None, /):
        """Accepted."""
        return _deferred(fn, lambda f: None)

    def register_autograd(self, backward, /, *, setup_context=None):
        """The derivative: backward(ctx, *grads); setup_context(ctx, inputs, output) saves for it."""
        self._op.backward, self._op.setup_context = backward, setup_context

    def register_autocast(self, device_type, cast_inputs):
        """The dtype to which tensors are cast under autocast of a device."""
        self._op.autocast[device_type] = cast_inputs


def _deferred(func, do):
    if func is None:

        def decorate(f):
            do(f)
            return f

        return decorate
    do(func)
    return func


def _find(op):
    if isinstance(op, CustomOpDef):
        return op._op
    if isinstance(op, CustomOp):
        return op
    found = OPS.get(_qualified(op))
    if found is None:
        raise RuntimeError(f"operator {op} does not exist")
    return found


def _qualified(name):
    namespace, base = parsed_name(name)
    return f"{namespace}::{base}"


def custom_op(name, fn=None, /, *, mutates_args, device_types=None, schema=None, tags=None):
    """Makes a function an op under a name such as "mylib::sin": `torch.ops.mylib.sin`."""

    def decorate(f):
        namespace, base = parsed_name(name)
        text = infer_schema(f, mutates_args=mutates_args) if schema is None else schema
        op = OPS[f"{namespace}::{base}"] = CustomOp(namespace, base, f"{base}{text}")
        op.set_kernel(device_types, f)
        made = CustomOpDef(op, f)
        made.__doc__ = f.__doc__
        return made

    return decorate if fn is None else decorate(fn)


def triton_op(name, fn=None, /, *, mutates_args, schema=None):
    """custom_op: kernels of Triton do not run on Taper, Python does."""
    return custom_op(name, fn, mutates_args=mutates_args, schema=schema)


def wrap_triton(triton_kernel, /):
    """Refused."""
    raise RuntimeError("wrap_triton: Taper does not run kernels of Triton")


def infer_schema(prototype_function, /, *, mutates_args, op_name=None, tags=()):
    """The schema of a function, from its annotations."""
    text = schema_of(prototype_function, mutates_args)
    return text if op_name is None else f"{op_name}{text}"


def define(qualname, schema=None, *, lib=None, tags=()):
    """Declares an op, to be implemented by impl."""
    namespace, base = parsed_name(qualname)
    if not isinstance(schema, str):
        raise ValueError(f"define(qualname, schema): expected schema to be of type str, but got {type(schema)}")
    OPS[f"{namespace}::{base}"] = CustomOp(namespace, base, base + schema)


def impl(qualname, types, func=None, *, lib=None):
    """The function of a declared op, for "default", "cpu", "cuda", "CompositeExplicitAutograd" and so on."""
    return _deferred(func, lambda f: _find(qualname).set_kernel(types, f))


def register_kernel(op, device_types, func=None, /, *, lib=None):
    """The function of an op for devices of some types."""
    return _deferred(func, lambda f: _find(op).set_kernel(device_types, f))


def register_autograd(op, backward, /, *, setup_context=None, lib=None):
    """The derivative of an op."""
    found = _find(op)
    found.backward, found.setup_context = backward, setup_context


def register_fake(op, func=None, /, *, lib=None, _stacklevel=1, allow_override=True):
    """Accepted: nothing is traced."""
    return _deferred(func, lambda f: None)


def impl_abstract(qualname, func=None, *, lib=None, _stacklevel=1):
    """The older name of register_fake."""
    return register_fake(qualname, func)


def register_vmap(op, func=None, /, *, lib=None):
    """Accepted."""
    return _deferred(func, lambda f: None)


def register_torch_dispatch(op, torch_dispatch_class, func=None, /, *, lib=None):
    """Accepted."""
    return _deferred(func, lambda f: None)


def register_autocast(op, device_type, cast_inputs, /, *, lib=None):
    """The dtype to which an op's tensors are cast under autocast of a device."""
    _find(op).autocast[device_type] = cast_inputs


def fallthrough_kernel():
    """A kernel that stands for none."""
    raise NotImplementedError("fallthrough_kernel() should never be called.")


def get_ctx():
    """Refused: there are no fake tensors."""
    raise RuntimeError("get_ctx(): there is no fake tensor in Taper, nothing is traced by shapes")


def get_kernel(op, dispatch_key):
    """The function of an op."""
    return _find(op)


def opcheck(op, args, kwargs=None, *, test_utils=None, raise_exception=True, **tolerances):
    """Calls an op once with these arguments."""
    op(*args, **(kwargs or {}))
    return {}


class Library:
    """Ops of a namespace: `define` and `impl`; kind "DEF", "IMPL" or "FRAGMENT"."""

    def __init__(self, ns, kind, dispatch_key=""):
        if kind not in ("IMPL", "DEF", "FRAGMENT"):
            raise ValueError(f"Unsupported kind: {kind}")
        self.ns, self.kind, self.dispatch_key = ns, kind, dispatch_key
        self._made = []

    def __repr__(self):
        return f"Library(kind={self.kind}, ns={self.ns}, dispatch_key={self.dispatch_key})>"

    def define(self, schema, alias_analysis="", *, tags=()):
        """Declares an op by its schema; returns its name."""
        name = schema.split("(")[0].strip().split(".")[0]
        OPS[f"{self.ns}::{name}"] = CustomOp(self.ns, name, schema)
        self._made.append(f"{self.ns}::{name}")
        return name

    def impl(self, op_name, fn, dispatch_key="", *, with_keyset=False, allow_override=False):
        """The function of an op."""
        if not callable(fn):
            raise TypeError(f"Input function is required to be a callable but found type {type(fn)}")
        key = dispatch_key or self.dispatch_key
        name = op_name if isinstance(op_name, str) else op_name.name
        if key in ("Meta", "Autograd", "AutocastCPU", "AutocastCUDA", "Functionalize"):
            return
        name = name.partition("::")[2] or name
        _find(f"{self.ns}::{name.split('.')[0]}").set_kernel(key or None, fn)

    def _destroy(self):
        for name in self._made:
            OPS.pop(name, None)
