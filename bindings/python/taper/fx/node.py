"""Nodes: what is done once in a graph."""

import builtins
import math
import types

from .. import _dtype
from .._assertions import _assert
from .._tensor import Tensor
from ._functional_signatures import signature
from .immutable_collections import immutable_dict, immutable_list

__all__ = ["Node", "map_arg", "map_aggregate", "has_side_effect"]

_legal_ops = frozenset(("placeholder", "call_method", "call_module", "call_function", "get_attr", "output", "root"))
BaseArgumentTypes = (
    str,
    int,
    float,
    bool,
    complex,
    _dtype.dtype,
    Tensor,
    _dtype.device,
    _dtype.memory_format,
    _dtype.layout,
)
base_types = BaseArgumentTypes
Argument = Target = object
_side_effectful_functions = {_assert}


def has_side_effect(fn):
    """Keeps calls of a function from being eliminated as dead code."""
    _side_effectful_functions.add(fn)
    return fn


def _find_module_of_method(method):
    name = method.__name__
    import taper
    import taper.nn.functional as functional

    for module, called in (
        (taper, "torch"),
        (functional, "torch.nn.functional"),
        (math, "math"),
        (builtins, "builtins"),
    ):
        if getattr(module, name, None) is method:
            return called
    raise RuntimeError(f"cannot find module for {method}")


def _get_qualified_name(func):
    """The name by which a program reaches a function, with `torch` for Taper."""
    name = getattr(func, "__name__", None)
    if isinstance(func, types.BuiltinFunctionType) and getattr(builtins, name, None) is func:
        return name
    if not isinstance(name, str):
        raise RuntimeError(f"cannot name {func!r}")
    if name == "<lambda>":
        import inspect

        name = inspect.getsource(func).split("=")[0].strip()
    module = getattr(func, "__module__", None) or _find_module_of_method(func)
    if module == "taper" or (module == "taper.nn.functional" and not signature(name)):
        return f"torch.{name}"
    if module == "taper._functions":
        return (
            f"torch.functional.{name}"
            if name in _IN_FUNCTIONAL
            else f"torch.{name.rstrip('_') if name == 'range_' else name}"
        )
    if module.startswith("taper."):
        module = "torch" + module[5:]
    if module == "torch._ops":
        module = "torch.ops"
    return f"{module}.{name}"


_IN_FUNCTIONAL = frozenset(
    "einsum meshgrid split norm broadcast_tensors block_diag cartesian_prod chain_matmul tensordot cdist unique "
    "unique_consecutive atleast_1d atleast_2d atleast_3d stft".split()
)


def _type_repr(obj):
    """A type as code has it."""
    if isinstance(obj, type) and not isinstance(obj, types.GenericAlias):
        if obj.__module__ == "builtins":
            return obj.__qualname__
        module = "torch" + obj.__module__[5:] if obj.__module__.split(".")[0] == "taper" else obj.__module__
        return f"{module}.{obj.__qualname__}"
    if obj is ...:
        return "..."
    if isinstance(obj, types.FunctionType):
        return obj.__name__
    return repr(obj).replace("taper.", "torch.")


def _format_arg(arg, max_list_len=float("inf")):
    """An argument as printed nodes have it."""
    if isinstance(arg, Node):
        return f"%{arg.name}"
    if isinstance(arg, dict):
        return "{" + ", ".join(f"{k}: {_format_arg(v)}" for k, v in arg.items()) + "}"
    if isinstance(arg, (list, tuple)) and not isinstance(arg, Node):
        shown = arg if max_list_len >= len(arg) else arg[:max_list_len]
        items = [_format_arg(v) for v in shown]
        if len(shown) < len(arg):
            items.append(f"...[total_len={len(arg)}]")
        text = ", ".join(items)
        if isinstance(arg, list):
            return f"[{text}]"
        return f"({text},)" if len(arg) == 1 else f"({text})"
    return str(arg)


def map_arg(a, fn):
    """The argument with fn of every node in it."""
    if not callable(fn):
        raise AssertionError("torch.fx.map_arg(a, fn): fn must be a callable")
    return map_aggregate(a, lambda x: fn(x) if isinstance(x, Node) else x)


def map_aggregate(a, fn):
    """The argument with fn of everything in its containers."""
    if isinstance(a, tuple):
        made = [map_aggregate(x, fn) for x in a]
        return type(a)(*made) if hasattr(a, "_fields") else tuple(made)
    if isinstance(a, list):
        return immutable_list([map_aggregate(x, fn) for x in a])
    if isinstance(a, dict):
        return immutable_dict((k, map_aggregate(v, fn)) for k, v in a.items())
    if isinstance(a, slice):
        return slice(map_aggregate(a.start, fn), map_aggregate(a.stop, fn), map_aggregate(a.step, fn))
    return fn(a)


class Node:
    """One operation: `op` says of which kind, `target` what is called, `args` and `kwargs` with what."""

    def __init__(self, graph, name, op, target, args, kwargs, return_type=None):
        if op == "call_function":
            if not callable(target):
                raise ValueError(
                    f"Node [graph = {graph}, name = '{name}'] target {target} has type {type(target)} but a Callable is expected"
                )
        elif op in _legal_ops:
            if not isinstance(target, str):
                raise ValueError(
                    f"Node [graph = {graph}, name = '{name}'] target {target} has type {type(target)} but a str is expected"
                )
        else:
            raise AssertionError(f"op {op!r} is none of {sorted(_legal_ops)}")
        self.graph, self.name, self.op, self.target = graph, name, op, target
        self._input_nodes, self.users = {}, {}
        self._args, self._kwargs = (), {}
        self._repr_fn = None
        self.type = return_type
        self.meta = {}
        self._prev = self._next = self
        self._erased = False
        self._set(args, kwargs)

    def __getstate__(self):
        raise TypeError("cannot pickle 'Node' object: pickle its GraphModule")

    next = property(lambda self: self._next)
    prev = property(lambda self: self._prev)
    all_input_nodes = property(lambda self: list(self._input_nodes))

    def _set(self, args, kwargs):
        for old in self._input_nodes:
            old.users.pop(self, None)
        self._input_nodes = {}

        def used(n):
            self._input_nodes.setdefault(n)
            n.users.setdefault(self)
            return n

        self._args, self._kwargs = map_arg(tuple(args), used), map_arg(dict(kwargs), used)

    @property
    def args(self):
        """Positional arguments; other nodes stand for their results."""
        return self._args

    @args.setter
    def args(self, value):
        self._set(value, self._kwargs)

    @property
    def kwargs(self):
        """Arguments by name."""
        return self._kwargs

    @kwargs.setter
    def kwargs(self, value):
        self._set(self._args, value)

    def update_arg(self, idx, arg):
        """Replaces one positional argument."""
        args = list(self.args)
        args[idx] = arg
        self.args = tuple(args)

    def insert_arg(self, idx, arg):
        """Inserts a positional argument."""
        if not 0 <= idx <= len(self.args):
            raise AssertionError("insert_args index must be between 0 and len(self.args)")
        self.args = (*self.args[:idx], arg, *self.args[idx:])

    def update_kwarg(self, key, arg):
        """Sets one argument by name."""
        self.kwargs = {**self.kwargs, key: arg}

    stack_trace = property(
        lambda self: self.meta.get("stack_trace"), lambda self, v: self.meta.__setitem__("stack_trace", v)
    )

    def prepend(self, x):
        """Moves a node in front of this one."""
        if self.graph is not x.graph:
            raise AssertionError("Attempting to move a Node into a different Graph")
        if self is x:
            return
        x._unlink()
        before = self._prev
        before._next, x._prev = x, before
        x._next, self._prev = self, x

    def append(self, x):
        """Moves a node behind this one."""
        self._next.prepend(x)

    def _unlink(self):
        self._prev._next, self._next._prev = self._next, self._prev

    def __lt__(self, other):
        return self.graph._order(self) < self.graph._order(other)

    def __gt__(self, other):
        return other < self

    def __le__(self, other):
        return self is other or self < other

    def __ge__(self, other):
        return self is other or other < self

    def __repr__(self):
        return self._repr_fn(self) if self._repr_fn else self.name

    def _pretty_print_target(self, target):
        if isinstance(target, str):
            return target
        module = getattr(target, "__module__", None)
        if module == "builtins":
            return f"builtins.{target.__name__}"
        if module == "_operator":
            return f"operator.{target.__name__}"
        return _get_qualified_name(target)

    def format_node(self, placeholder_names=None, maybe_return_typename=None, *, include_tensor_metadata=False):
        """The node as a line of a printed graph."""
        typename = "" if self.type is None else f"{_type_repr(self.type)} "
        head = f"%{self.name} : {typename}[num_users={len(self.users)}] = {self.op}"
        if self.op == "placeholder":
            if placeholder_names is not None:
                placeholder_names.append(f"%{self.target}" if self.target.isidentifier() else self.target)
            default = f"(default={self.args[0]})" if self.args else ""
            return f"{head}[target={self.target}]{default}"
        if self.op == "get_attr":
            return f"{head}[target={self._pretty_print_target(self.target)}]"
        if self.op == "output":
            if self.type is not None and maybe_return_typename:
                maybe_return_typename[0] = f" -> {_type_repr(self.type)}"
            return f"return {self.args[0]}"
        return (
            f"{head}[target={self._pretty_print_target(self.target)}]"
            f"(args = {_format_arg(self.args)}, kwargs = {_format_arg(self.kwargs)})"
        )

    def replace_all_uses_with(self, replace_with, delete_user_cb=lambda user: True, *, propagate_meta=False):
        """Has every user of this node use another; returns the users."""
        if propagate_meta:
            replace_with.meta.update(self.meta)
        users = [u for u in self.users if delete_user_cb(u)]
        for user in users:
            user.replace_input_with(self, replace_with)
        return users

    def replace_input_with(self, old_input, new_input):
        """Replaces one node in the arguments by another."""

        def other(n):
            return new_input if n is old_input else n

        self._set(map_arg(self.args, other), map_arg(self.kwargs, other))

    def is_impure(self, impure_random=True):
        """Whether the node must stay though nobody uses it."""
        if self.op in ("placeholder", "output"):
            return True
        if self.op == "call_function":
            if self.target in _side_effectful_functions:
                return True
            name = getattr(self.target, "__name__", "")
            # What draws moves the generator on.
            return impure_random and name in _RANDOM
        if self.op == "call_method":
            return False
        if self.op == "call_module":
            if self.graph.owning_module is None:
                raise AssertionError("self.graph.owning_module not set for purity check")
            module = self.graph.owning_module.get_submodule(self.target)
            return getattr(module, "_is_impure", False)
        return False

    def normalized_arguments(self, root, arg_types=None, kwarg_types=None, normalize_to_only_use_kwargs=False):
        """The arguments by the target's signature, or None."""
        from .operator_schemas import normalize_function, normalize_module

        if self.op == "call_function":
            return normalize_function(
                self.target, self.args, self.kwargs, normalize_to_only_use_kwargs=normalize_to_only_use_kwargs
            )
        if self.op == "call_module":
            return normalize_module(
                root, self.target, self.args, self.kwargs, normalize_to_only_use_kwargs=normalize_to_only_use_kwargs
            )
        return None


_RANDOM = frozenset("rand randn randint randperm bernoulli multinomial normal poisson".split())
