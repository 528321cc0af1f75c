"""`torch.ops`: ops by namespace, those of programs and, as `torch.ops.aten`, Taper's functions."""

import inspect
import re

from ._tensor import Tensor

OPS = {}


def parsed_name(qualname):
    """Namespace and name of "ns::name"."""
    if not isinstance(qualname, str):
        raise ValueError(f"expected the op's name to be of type str, but got {type(qualname)}")
    namespace, found, base = qualname.partition("::")
    if not found or "::" in base:
        raise ValueError(f"Expected `qualname` to be of the form 'namespace::name', got {qualname!r}")
    return namespace, base


_TYPES = {"int": "SymInt", "float": "float", "bool": "bool", "str": "str"}


def _type_text(annotation, mutated):
    import typing

    from ._dtype import device, dtype

    if annotation is Tensor:
        return "Tensor(a!)" if mutated else "Tensor"
    if annotation is dtype:
        return "ScalarType"
    if annotation is device:
        return "Device"
    if isinstance(annotation, type) and annotation.__name__ in _TYPES:
        return _TYPES[annotation.__name__]
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if type(None) in args:
        (inner,) = [a for a in args if a is not type(None)]
        return _type_text(inner, mutated) + "?"
    if origin in (list,) or getattr(origin, "__name__", "") == "Sequence":
        return _type_text(args[0], mutated) + "[]"
    if {int, float, bool} <= set(args):
        return "Scalar"
    raise ValueError(f"infer_schema(func): Parameter has unsupported type {annotation}")


def schema_of(f, mutates_args):
    """ "(Tensor x, float y=2.) -> Tensor" of an annotated function."""
    import typing

    hints = typing.get_type_hints(f)
    parts, letters = [], iter("abcdefghijklmnopqrstuvwxyz")
    keyword_only = False
    for name, p in inspect.signature(f).parameters.items():
        if name not in hints:
            raise ValueError(f"infer_schema(func): Parameter {name} must have a type annotation.")
        mutated = mutates_args != "unknown" and name in mutates_args
        text = _type_text(hints[name], False)
        if mutated:
            text = text.replace("Tensor", f"Tensor({next(letters)}!)")
        if p.kind is p.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            parts.append("*")
        default = ""
        if p.default is not p.empty:
            default = f"={p.default!r}" if not isinstance(p.default, str) else f'="{p.default}"'
        parts.append(f"{text} {name}{default}")
    returned = hints.get("return", type(None))
    args = typing.get_args(returned)
    if returned is type(None):
        result = "()"
    elif typing.get_origin(returned) is tuple:
        result = "(" + ", ".join(_type_text(a, False) for a in args) + ")"
    else:
        result = _type_text(returned, False)
    return f"({', '.join(parts)}) -> {result}"


class CustomOp:
    """An op of a program: kernels by type of device, and a derivative."""

    def __init__(self, namespace, name, schema):
        self.namespace, self.name, self._schema = namespace, name, schema
        self.qualname = f"{namespace}::{name}"
        self.__name__ = name
        self.kernels, self.autocast = {}, {}
        self.backward = self.setup_context = self.fake = None
        self.default = self
        body = schema[schema.find("(") + 1 : schema.rfind("->")].rstrip().rstrip(")")
        self.arguments = [
            re.split("[ =]", a.strip().replace("(a!) ", " "))[-1] for a in _split(body) if a.strip() != "*"
        ]

    def set_kernel(self, kinds, f):
        """The function for types of devices: a name, several or None for all."""
        if kinds is None or isinstance(kinds, str):
            kinds = (kinds,)
        for k in kinds:
            k = "default" if k is None or k.startswith("Composite") or k == "" else k.lower()
            self.kernels[k] = f

    def overloads(self):
        return ["default"]

    def __repr__(self):
        return f"<OpOverload(op='{self.namespace}.{self.name}', overload='default')>"

    def _kernel(self, values):
        device = next((t.device.type for v in values for t in _tensors(v)), "cpu")
        f = self.kernels.get(device) or self.kernels.get("default")
        if f is None:
            raise NotImplementedError(
                f"Could not run '{self.qualname}' with arguments from the '{device.upper()}' backend. "
                f"'{self.qualname}' is only available for these backends: [{', '.join(self.kernels)}]."
            )
        return f

    def __call__(self, *args, **kwargs):
        values = (*args, *kwargs.values())
        for device, dtype in self.autocast.items():
            from .amp.autocast_mode import is_autocast_enabled

            if is_autocast_enabled(device):
                args = tuple(_cast(a, dtype) for a in args)
                kwargs = {k: _cast(v, dtype) for k, v in kwargs.items()}
        f = self._kernel(values)
        from ._grad_mode import is_grad_enabled

        wanted = is_grad_enabled() and any(t.requires_grad for v in values for t in _tensors(v))
        if not wanted:
            return f(*args, **kwargs)
        if self.backward is None:
            return _without_derivative(self, f, args, kwargs)
        return _with_derivative(self, f, args, kwargs)


def _split(text):
    parts, depth, at = [], 0, ""
    for c in text:
        depth += (c in "([") - (c in ")]")
        if c == "," and depth == 0:
            parts.append(at)
            at = ""
        else:
            at += c
    return [*parts, at] if at.strip() else parts


def _tensors(v):
    if isinstance(v, Tensor):
        yield v
    elif isinstance(v, (tuple, list)):
        for x in v:
            yield from _tensors(x)


def _cast(v, dtype):
    return v.to(dtype) if isinstance(v, Tensor) and v.is_floating_point() else v


def _run(op, f, args, kwargs, backward, setup):
    """Calls f inside an autograd Function whose inputs are the tensors among the arguments."""
    from .autograd.function import Function

    inputs = [*args, *kwargs.values()]
    tensors = [t for v in inputs for t in _tensors(v)]
    single = True

    class Backward(Function):
        @staticmethod
        def forward(ctx, *given):
            nonlocal single
            result = f(*args, **kwargs)
            single = not isinstance(result, (tuple, list))
            if setup is not None:
                setup(ctx, tuple(inputs), result)
            return result if single else tuple(result)

        @staticmethod
        def backward(ctx, *grads):
            found = backward(ctx, *grads)
            found = found if isinstance(found, tuple) else (found,)
            if len(found) < len(inputs):
                raise RuntimeError(
                    f"{op.qualname}: the backward returned {len(found)} gradients, but the op has {len(inputs)} inputs"
                )
            flat = []
            for v, g in zip(inputs, found):
                if isinstance(v, Tensor):
                    flat.append(g)
                elif isinstance(v, (tuple, list)):
                    of = [x for x in _tensors(v)]
                    flat.extend(g if g is not None else [None] * len(of))
            return tuple(flat)

    Backward.__name__ = f"GeneratedBackwardFor_{op.namespace}_{op.name}_default"
    return Backward.apply(*tensors)


def _with_derivative(op, f, args, kwargs):
    return _run(op, f, args, kwargs, op.backward, op.setup_context)


def _without_derivative(op, f, args, kwargs):
    def backward(ctx, *grads):
        raise RuntimeError(
            f"Trying to backward through {op.namespace}.{op.name}.default but no autograd formula was registered. Please use "
            "register_autograd to add one."
        )

    return _run(op, f, args, kwargs, backward, None)


class _Namespace:
    """`torch.ops.ns`."""

    def __init__(self, name):
        self.name = name

    def __getattr__(self, name):
        found = OPS.get(f"{self.name}::{name}")
        if found is None and self.name in ("aten", "prim", "prims"):
            from . import _lazy
            from .nn import functional

            found = _lazy.function(name) or getattr(functional, name, None)
        if found is None:
            raise AttributeError(f"'_OpNamespace' '{self.name}' object has no attribute '{name}'")
        return found


class _Ops:
    """`torch.ops`."""

    __name__ = "torch.ops"
    loaded_libraries = frozenset()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        made = self.__dict__[name] = _Namespace(name)
        return made

    def load_library(self, path):
        """Refused: ops compiled for PyTorch's core need it."""
        raise OSError(f"torch.ops.load_library({str(path)!r}): compiled for PyTorch's own core, which Taper is not")


ops = _Ops()
