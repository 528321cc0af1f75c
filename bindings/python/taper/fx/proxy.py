"""Proxies: stand-ins for values, which record what is done with them."""

import dis
import inspect
import operator

from .. import _subclass
from .._tensor import Tensor
from ..nn.parameter import Parameter
from ._functional_signatures import NN, TOP, normal_form, signature
from .graph import Graph, magic_methods, reflectable_magic_methods
from .node import base_types

__all__ = ["Attribute", "GraphAppendingTracer", "ParameterProxy", "Proxy", "Scope", "TraceError", "TracerBase"]


class TraceError(ValueError):
    """A program does something with a proxy that cannot be recorded."""


class Scope:
    """Which module a node comes from."""

    def __init__(self, module_path, module_type):
        self.module_path, self.module_type = module_path, module_type


class ScopeContextManager:
    """Inside, another scope is the current one."""

    def __init__(self, scope, current_scope):
        self._scope, self._before = scope, (scope.module_path, scope.module_type)
        scope.module_path, scope.module_type = current_scope.module_path, current_scope.module_type

    def __enter__(self):
        return self._scope

    def __exit__(self, *exc):
        self._scope.module_path, self._scope.module_type = self._before


class TracerBase:
    """What records: makes nodes and proxies of arguments."""

    graph: Graph
    record_stack_traces = False
    check_mutable_operations = False
    trace_asserts = False
    proxy_buffer_attributes = False
    traced_func_name = "forward"

    def create_node(self, kind, target, args, kwargs, name=None, type_expr=None):
        """Adds a node to the graph."""
        return self.graph.create_node(kind, target, args, kwargs, name, type_expr)

    def proxy(self, node):
        """The Proxy of a node."""
        return Proxy(node, self)

    def create_proxy(self, kind, target, args, kwargs, name=None, type_expr=None, proxy_factory_fn=None):
        """Adds a node and gives its proxy."""
        args_, kwargs_ = self.create_arg(args), self.create_arg(kwargs)
        if not isinstance(args_, tuple):
            raise AssertionError(f"Expected args to be tuple, got {type(args_)}")
        node = self.create_node(kind, target, args_, kwargs_, name, type_expr)
        made = proxy_factory_fn(node) if proxy_factory_fn else self.proxy(node)
        if self.record_stack_traces:
            import traceback

            made.node.stack_trace = "".join(traceback.format_stack()[:-1])
        return made

    def create_arg(self, a):
        """A value as arguments of nodes have it: proxies become nodes."""
        if isinstance(a, Proxy):
            return a.node
        if not isinstance(a, Proxy) and hasattr(a, "__fx_create_arg__"):
            return a.__fx_create_arg__(self)
        if isinstance(a, tuple):
            made = [self.create_arg(v) for v in a]
            return type(a)(*made) if hasattr(a, "_fields") else tuple(made)
        if isinstance(a, list):
            return [self.create_arg(v) for v in a]
        if isinstance(a, dict):
            made = {}
            for k, v in a.items():
                k = self.create_arg(k)

                def no_node(n, a=a):
                    raise RuntimeError(
                        "Keys for dictionaries used as an argument cannot contain a Node. Got key: " + repr(a)
                    )

                from .node import map_arg

                map_arg(k, no_node)
                made[k] = self.create_arg(v)
            return made
        if isinstance(a, slice):
            return slice(self.create_arg(a.start), self.create_arg(a.stop), self.create_arg(a.step))
        if isinstance(a, range):
            return range(self.create_arg(a.start), self.create_arg(a.stop), self.create_arg(a.step))
        import enum

        if isinstance(a, (*base_types, enum.Enum)) or a is None or a is ...:
            return a
        raise NotImplementedError(f"argument of type: {type(a)}")

    def to_bool(self, obj):
        """Called where a proxy decides a branch."""
        raise TraceError("symbolically traced variables cannot be used as inputs to control flow")

    def iter(self, obj):
        """Called where a proxy is iterated over."""
        raise TraceError(
            "Proxy object cannot be iterated. This can be attempted when the Proxy is used in a loop or as a *args or "
            "**kwargs function argument. See the torch.fx docs on pytorch.org for a more detailed explanation of what types "
            "of control flow can be traced, and check out the Proxy docstring for help troubleshooting Proxy iteration errors"
        )

    def keys(self, obj):
        """Called for `**proxy`."""
        return Attribute(obj, "keys")()


class GraphAppendingTracer(TracerBase):
    """Adds nodes to a graph that is there: what proxies of nodes do without another tracer."""

    def __init__(self, graph):
        super().__init__()
        self.graph = graph
        self.scope = Scope("", None)
        self.module_stack, self.node_name_to_scope = {}, {}


_twins = {}


def twin(name, original=None, module="taper.nn.functional"):
    """A function of PyTorch's that Taper has as an op alone: what is recorded for it."""
    found = _twins.get(name)
    if found is None:
        if original is None:
            from ..nn import functional

            original = getattr(functional, name)

        def function(*args, **kwargs):
            proxies = _subclass._overloading((*args, *kwargs.values()))
            if proxies:
                return _subclass.dispatch(function, proxies, args, kwargs)
            return original(*args, **kwargs)

        function.__name__ = function.__qualname__ = NN[name] if module == "taper._C._nn" else name
        function.__module__ = module
        function.__doc__ = original.__doc__
        found = _twins[name] = function
    return found


def _functional_target(function):
    """The function that PyTorch would record."""
    name, module = getattr(function, "__name__", None), getattr(function, "__module__", None)
    if module in ("taper", "taper.nn.functional", "taper.nn._interpolate"):
        if name in NN:
            return twin(name, module="taper._C._nn")
        if module != "taper.nn.functional" and name not in TOP and signature(name):
            return twin(name)
        if module == "taper.nn.functional" and not signature(name):
            import taper

            return getattr(taper, name, function)
    return function


_METHODS = {
    "truediv": "div",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "bitwise_left_shift",
    "rshift": "bitwise_right_shift",
    "invert": "bitwise_not",
    "getitem": "__getitem__",
    "setitem": "__setitem__",
}


def _method_name(function):
    """The method of Tensor that an operator's function is."""
    name = function.__name__.strip("_")
    return _METHODS.get(name, name)


class Proxy:
    """Stands for a value; what is done with it becomes nodes of its tracer's graph."""

    _takes_operators = True  # as the operators that they are, not as Tensor's methods

    def __init__(self, node, tracer=None):
        self.tracer = GraphAppendingTracer(node.graph) if tracer is None else tracer
        self.node = node

    def __repr__(self):
        return f"Proxy({self.node.name})"

    def __getattr__(self, k):
        if k in ("node", "tracer"):
            raise AttributeError(k)
        return Attribute(self, k)

    def __deepcopy__(self, memo):
        import copy

        made = object.__new__(type(self))
        made.__dict__.update({k: copy.deepcopy(v, memo) for k, v in self.__dict__.items()})
        return made

    def __setstate__(self, d):
        self.__dict__ = d

    def __call__(self, *args, **kwargs):
        return self.tracer.create_proxy("call_method", "__call__", (self, *args), kwargs)

    def __iter__(self):
        # `a, b = proxy`: the bytecode that asks says how many there are.
        frame = inspect.currentframe().f_back
        code = frame.f_code
        found = next((i for i in dis.get_instructions(code) if i.offset == frame.f_lasti), None)
        if found is not None and found.opname == "UNPACK_SEQUENCE":
            return (self[i] for i in range(found.argval))
        return self.tracer.iter(self)

    def __abs__(self):
        return self.tracer.create_proxy("call_function", operator.abs, (self,), {})

    def __bool__(self):
        if self.tracer.trace_asserts:
            # `assert proxy` is recorded.
            frame = inspect.currentframe().f_back
            code = list(dis.get_instructions(frame.f_code))
            at = next(i for i, c in enumerate(code) if c.offset == frame.f_lasti)
            jump = code[at] if "JUMP" in code[at].opname else code[at + 1] if at + 1 < len(code) else None
            if jump is not None and "JUMP" in jump.opname and "TRUE" in jump.opname:
                after = [c for c in code if c.offset > jump.offset]
                if any(c.opname == "LOAD_ASSERTION_ERROR" or c.argval == "AssertionError" for c in after[:2]):
                    from .._assertions import _assert

                    message = ""
                    if len(after) > 1 and after[1].opname == "LOAD_CONST":
                        message = after[1].argval
                    self.tracer.create_proxy("call_function", _assert, (self, message), {})
                    return True
        return self.tracer.to_bool(self)

    def keys(self):
        return self.tracer.keys(self)

    def __len__(self):
        raise RuntimeError(
            "'len' is not supported in symbolic tracing by default. If you want this call to be recorded, please call "
            "torch.fx.wrap('len') at module scope"
        )

    @classmethod
    def __torch_function__(cls, orig_method, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tracers = {}

        def look(v):
            if isinstance(v, Proxy):
                tracers[v.tracer] = None
            elif isinstance(v, (tuple, list)):
                for x in v:
                    look(x)
            elif isinstance(v, dict):
                for x in v.values():
                    look(x)
            elif isinstance(v, slice):
                look((v.start, v.stop, v.step))

        look(args)
        look(kwargs)
        if len(tracers) > 1:
            raise RuntimeError(
                f"Found multiple different tracers {list(tracers)} while trying to trace operations {orig_method}"
            )
        tracer = next(iter(tracers))
        name = orig_method.__name__
        if name.startswith("__") and name.endswith("__") and hasattr(Tensor, name):
            return tracer.create_proxy("call_method", _method_name(orig_method), args, kwargs)
        if name in ("getitem", "setitem") and orig_method.__module__ == "taper._indexing":
            return tracer.create_proxy("call_method", f"__{name}__", args, kwargs)
        target = _functional_target(orig_method)
        if target.__module__.startswith("taper.nn."):
            args, kwargs = normal_form(target.__name__, args, kwargs)
        return tracer.create_proxy("call_function", target, args, kwargs, name=None)


class Attribute(Proxy):
    """A proxy's attribute: a method's call, or a value once it is used."""

    def __init__(self, root, attr):
        self.root, self.attr, self.tracer = root, attr, root.tracer
        self._node = None

    @property
    def node(self):
        # The node is made when it is needed: most attributes are methods that are called.
        if self._node is None:
            self._node = self.tracer.create_proxy("call_function", getattr, (self.root, self.attr), {}).node
        return self._node

    def __call__(self, *args, **kwargs):
        return self.tracer.create_proxy("call_method", self.attr, (self.root, *args), kwargs)


class ParameterProxy(Proxy):
    """A parameter of which shape and the like are known while the program is traced."""

    def __init__(self, tracer, node, name, param):
        super().__init__(node, tracer)
        if not isinstance(param, Parameter):
            raise AssertionError(f"Expected Parameter, got {type(param)}")
        self.param, self.name = param, name

    def __repr__(self):
        return f"ParameterProxy({self.name})"

    shape = property(lambda self: self.param.shape)
    ndim = property(lambda self: self.param.ndim)

    def size(self, *args):
        return self.param.size(*args)

    def dim(self):
        return self.param.dim()

    def numel(self):
        return self.param.numel()

    def nelement(self):
        return self.param.nelement()


def _define(name):
    function = getattr(operator, name)

    def method(*args):
        tracer = args[0].tracer
        return tracer.create_proxy("call_function", function, args, {})

    method.__name__ = f"__{name.strip('_')}__"
    setattr(Proxy, method.__name__, method)


def _define_reflected(name):
    function = getattr(operator, name)

    def method(self, other):
        return self.tracer.create_proxy("call_function", function, (other, self), {})

    method.__name__ = f"__r{name.strip('_')}__"
    setattr(Proxy, method.__name__, method)


for _name in magic_methods:
    _define(_name)
for _name in reflectable_magic_methods:
    _define_reflected(_name)
Proxy.__hash__ = object.__hash__
