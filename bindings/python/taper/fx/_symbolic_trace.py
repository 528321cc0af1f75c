"""Tracing: runs a function or module with proxies."""

import collections
import functools
import inspect
import math
import types

from .. import _subclass
from .._tensor import Tensor
from ..nn.modules.container import Sequential
from ..nn.modules.module import Module
from ..nn.parameter import Parameter
from ..utils import _pytree as pytree
from ._functional_signatures import names as functional_names
from .graph import Graph
from .graph_module import GraphModule
from .node import base_types, map_aggregate
from .proxy import ParameterProxy, Proxy, Scope, ScopeContextManager, TracerBase, twin

__all__ = ["PH", "PHBase", "ProxyableClassMeta", "Tracer", "is_fx_tracing", "symbolic_trace", "wrap"]

_tracing = 0


def is_fx_tracing():
    """Whether a program is being traced."""
    return _tracing > 0


is_fx_symbolic_tracing = is_fx_tracing


class PHBase:
    """A stand-in for an input in `concrete_args`."""

    def __repr__(self):
        return "PH"


class PHWithMeta(PHBase):
    """A stand-in with a name of its own."""

    def __init__(self, ph_key=None):
        self.ph_key = ph_key


PH = PHBase()


class ProxyableClassMeta(type):
    """A metaclass whose instances may be made of proxies while a program is traced."""

    def __init__(cls, name, bases, attrs):
        super().__init__(name, bases, attrs)

    def __call__(cls, *args, **kwargs):
        instance = cls.__new__(cls)
        if not is_fx_tracing():
            cls.__init__(instance, *args, **kwargs)
            return instance
        found = []

        def check(a):
            if isinstance(a, Proxy):
                found.append(a)
            return a

        map_aggregate(args, check)
        map_aggregate(kwargs, check)
        if found:
            return found[0].tracer.create_proxy("call_function", cls, args, kwargs)
        cls.__init__(instance, *args, **kwargs)
        return instance


# (id of a module's dict, name) -> the dict: functions that are recorded as such.
_wrapped_fns_to_patch = {}
_wrapped_methods_to_patch = []


def wrap(fn_or_name):
    """At module level: has calls of a function be recorded and not be looked into. Takes its name, or decorates."""
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise RuntimeError("Unsupported type for global function! Must be either a callable or string name")
    if callable(fn_or_name):
        name = fn_or_name.__name__
    else:
        name = fn_or_name
    frame = inspect.currentframe().f_back
    if frame.f_code.co_name != "<module>":
        raise NotImplementedError("wrap must be called at the top level of a module")
    _wrapped_fns_to_patch[(id(frame.f_globals), name)] = frame.f_globals
    return fn_or_name


def _find_proxy(*values):
    found = []

    def check(a):
        if isinstance(a, Proxy):
            found.append(a)

    map_aggregate(values, check)
    return found[0] if found else None


def _wrapper_of(original):
    @functools.wraps(original)
    def wrapped(*args, **kwargs):
        proxy = _find_proxy(args, kwargs)
        if proxy is None:
            return original(*args, **kwargs)
        made = proxy.tracer.create_proxy("call_function", original, args, kwargs)
        made.node.meta["is_wrapped"] = True
        return made

    wrapped._fx_original = original
    return wrapped


class _Patcher:
    """Changes that are undone at the end of the block."""

    def __init__(self):
        self.undo, self.visited = [], set()

    def dict(self, space, name, value):
        absent = name not in space
        before = space.get(name)

        def back():
            if absent:
                del space[name]
            else:
                space[name] = before

        self.undo.append(back)
        space[name] = value

    def attribute(self, owner, name, value):
        absent = name not in vars(owner)
        before = vars(owner).get(name)

        def back():
            if absent:
                delattr(owner, name)
            else:
                setattr(owner, name, before)

        self.undo.append(back)
        setattr(owner, name, value)

    def visit_once(self, thing):
        if id(thing) in self.visited:
            return False
        self.visited.add(id(thing))
        return True

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        while self.undo:
            self.undo.pop()()
        self.visited.clear()


def _patch_wrapped_functions(patcher):
    import builtins

    for (_, name), space in list(_wrapped_fns_to_patch.items()):
        if name in space:
            original = space[name]
        elif hasattr(builtins, name):
            original = getattr(builtins, name)
        else:
            continue
        if not hasattr(original, "_fx_original"):
            patcher.dict(space, name, _wrapper_of(original))
    for cls, name in _wrapped_methods_to_patch:
        original = getattr(cls, name)

        def method(*args, _name=name, _original=original, **kwargs):
            proxy = _find_proxy(args, kwargs)
            if proxy is not None:
                return proxy.tracer.create_proxy("call_method", _name, args, kwargs)
            return _original(*args, **kwargs)

        patcher.attribute(cls, name, method)


def _autowrap_check(patcher, space, ids):
    if patcher.visit_once(space):
        for name, value in list(space.items()):
            if not name.startswith("_") and callable(value) and id(value) in ids:
                patcher.dict(space, name, _wrapper_of(value))


def _patch_functional(patcher):
    """Functions that Taper has as ops alone and PyTorch as functions of `nn.functional` as well are recorded as the latter."""
    from ..nn import functional

    for name in functional_names():
        original = getattr(functional, name, None)
        if original is not None and getattr(original, "__module__", None) != "taper.nn.functional":
            patcher.dict(vars(functional), name, twin(name, original))


class Tracer(TracerBase):
    """Traces a module or function: `trace(root)` gives its Graph. Overridden methods decide what is looked into."""

    def __init__(self, autowrap_modules=(math,), autowrap_functions=(), param_shapes_constant=False):
        super().__init__()
        self._autowrap_function_ids = {
            id(value)
            for name, value in (i for m in autowrap_modules for i in m.__dict__.items())
            if not name.startswith("_") and callable(value)
        }
        self._autowrap_function_ids.update(id(f) for f in autowrap_functions)
        self._autowrap_search = list(autowrap_modules)
        self.param_shapes_constant = param_shapes_constant
        self.submodule_paths = None
        self.root_module_name = ""
        self.scope = Scope("", None)
        self.module_stack = collections.OrderedDict()
        self.num_calls = {}
        self.node_name_to_scope = {}
        self.tensor_attrs = {}

    _proxy_count = 0

    def get_fresh_qualname(self, prefix):
        """A name for an attribute of the root that it has not."""
        i = 0
        while hasattr(self.root, f"{prefix}{i}"):
            i += 1
        return f"{prefix}{i}"

    def create_arg(self, a):
        """Parameters and buffers become nodes of `get_attr`, other tensors attributes of the root."""
        if isinstance(a, Parameter):
            for name, p in self.root.named_parameters():
                if a is p:
                    return self.create_node("get_attr", name, (), {})
            raise NameError("parameter is not a member of this module")
        if isinstance(a, Tensor):
            for name, b in self.root.named_buffers():
                if a is b:
                    return self.create_node("get_attr", name, (), {})
        elif isinstance(a, Module):
            for name, m in self.root.named_modules():
                if a is m:
                    return self.create_node("get_attr", name, (), {})
        if isinstance(a, tuple) and hasattr(a, "_fields"):
            args = tuple(self.create_arg(v) for v in a)
            return self.create_node("call_function", a.__class__, args, {})
        if isinstance(a, Tensor):
            name = self.tensor_attrs.get(a)
            if name is None:
                name = self.get_fresh_qualname("_tensor_constant")
                self.tensor_attrs[a] = name
                setattr(self.root, name, a)
            return self.create_node("get_attr", name, (), {})
        if type(a) in _proxyable_classes:
            name = self.get_fresh_qualname(f"_{type(a).__name__}_constant_")
            setattr(self.root, name, a)
            return self.create_node("get_attr", name, (), {})
        return super().create_arg(a)

    def is_leaf_module(self, m, module_qualified_name):
        """Whether a module is recorded as one call: those of `torch.nn` are, but for Sequential."""
        return m.__module__.startswith(("taper.nn", "torch.nn")) and not isinstance(m, Sequential)

    def path_of_module(self, mod):
        """The name of a module within the root."""
        if self.submodule_paths:
            path = self.submodule_paths.get(mod)
            if path is None:
                raise NameError("module is not installed as a submodule")
            return path
        for name, m in self.root.named_modules():
            if mod is m:
                return name
        raise NameError("module is not installed as a submodule")

    def call_module(self, m, forward, args, kwargs):
        """Called where a module is called."""
        path = self.path_of_module(m)
        with ScopeContextManager(self.scope, Scope(path, type(m))) as scope:
            count = self.num_calls.get(path, 0)
            key = f"{path}@{count}" if count else path
            self.module_stack[key] = (path, scope.module_type)
            self.num_calls[path] = count + 1
            if not self.is_leaf_module(m, path):
                result = forward(*args, **kwargs)
            else:
                result = self.create_proxy("call_module", path, args, kwargs)
            self.module_stack.popitem(last=True)
        return result

    def create_node(self, kind, target, args, kwargs, name=None, type_expr=None):
        node = super().create_node(kind, target, args, kwargs, name, type_expr)
        self.node_name_to_scope[node.name] = (self.scope.module_path, self.scope.module_type)
        if self.module_stack:
            node.meta["nn_module_stack"] = dict(self.module_stack)
        return node

    def getattr(self, attr, attr_val, parameter_proxy_cache):
        """Called where a parameter (or, with proxy_buffer_attributes, a buffer) is read from a module."""

        def proxy_of(members):
            for name, p in members:
                if attr_val is p:
                    if name not in parameter_proxy_cache:
                        options = {}
                        if self.param_shapes_constant:
                            options["proxy_factory_fn"] = lambda node: ParameterProxy(self, node, name, attr_val)
                        parameter_proxy_cache[name] = self.create_proxy("get_attr", name, (), {}, **options)
                    return parameter_proxy_cache[name]
            return None

        if isinstance(attr_val, Parameter):
            found = proxy_of(self.root.named_parameters())
            if found is not None:
                return found
        if self.proxy_buffer_attributes and isinstance(attr_val, Tensor):
            found = proxy_of(self.root.named_buffers())
            if found is not None:
                return found
        return attr_val

    _module_getattr = getattr

    def create_args_for_root(self, root_fn, is_module, concrete_args=None):
        """The function to run and its arguments, of which the inputs are proxies."""
        fn = inspect.unwrap(root_fn)
        code = fn.__code__
        original = list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
        names, args, count = list(original), [], [0]
        if is_module:
            if not names:
                raise RuntimeError("``self`` argument cannot be part of *args expansion!")
            names.pop(0)
            args.append(self.root)
        signature = inspect.signature(fn)
        if isinstance(concrete_args, tuple):
            if len(names) != len(concrete_args):
                raise RuntimeError(
                    f"Tracing expected {len(names)} arguments but got {len(concrete_args)} concrete arguments"
                )
            concrete_args = dict(zip(names, concrete_args))

        def placeholder(name):
            return self._proxy_placeholder(name, concrete_args, signature, fn, count)

        args.extend(placeholder(n) for n in names)
        if code.co_kwonlyargcount > 0 or code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
            at = code.co_argcount + code.co_kwonlyargcount
            if code.co_flags & inspect.CO_VARARGS:
                args.append(placeholder("*" + code.co_varnames[at]))
                at += 1
            if code.co_flags & inspect.CO_VARKEYWORDS:
                args.append(placeholder("**" + code.co_varnames[at]))
            # The function's code, with everything positional.
            plain = types.CodeType.replace(
                code,
                co_argcount=len(args),
                co_kwonlyargcount=0,
                co_flags=code.co_flags & ~(inspect.CO_VARARGS | inspect.CO_VARKEYWORDS),
            )
            fn = types.FunctionType(plain, fn.__globals__, fn.__name__, fn.__defaults__, fn.__closure__)
            fn.__annotations__ = root_fn.__annotations__
            return fn, args
        return root_fn, args

    def _proxy_placeholder(self, name, concrete_args, signature, fn, count):
        plain_name = name.lstrip("*")
        if concrete_args is not None and name in concrete_args:
            parameter = signature.parameters[name]
            count[0] = 0

            def one(x):
                count[0] += 1
                default = () if parameter.default is inspect.Parameter.empty else (parameter.default,)
                out = self.create_proxy("placeholder", f"{name}_{count[0]}", default, {})
                if isinstance(x, PHBase):
                    return out
                if type(x) is bool or (type(x) in base_types and not isinstance(x, Tensor)):
                    from .._assertions import _assert

                    _assert(out == x, f"{name} has been specialized to have value {x} but got another value")
                elif x is None:
                    message = f"{name} has been specialized to have value None but got another value"
                    self.create_proxy("call_function", _assert_is_none, (out, message), {})
                else:
                    import warnings

                    warnings.warn(
                        f"Was not able to add assertion to guarantee correct input {name} to specialized function. It is up "
                        "to the user to make sure that your inputs match the inputs you specialized the function with.",
                        stacklevel=2,
                    )
                return x

            return pytree.tree_map(one, concrete_args[name])
        default = ()
        if not name.startswith("*"):
            parameter = signature.parameters[name]
            if parameter.default is not inspect.Parameter.empty:
                default = (parameter.default,)
        return self.create_proxy(
            "placeholder",
            name,
            default,
            {},
            type_expr=fn.__annotations__.get(plain_name) if name == plain_name else None,
        )

    def trace(self, root, concrete_args=None):
        """The Graph of a module or function; `concrete_args` gives inputs values instead of proxies."""
        global _tracing
        if isinstance(root, Module):
            self.root = root
            if not hasattr(type(root), self.traced_func_name):
                raise AssertionError(f"traced_func_name={self.traced_func_name} doesn't exist in {type(root).__name__}")
            fn = getattr(type(root), self.traced_func_name)
            if "forward" in root.__dict__ and self.traced_func_name == "forward":
                given = root.__dict__["forward"]
                fn = getattr(given, "__func__", None) or (lambda self, *args, **kwargs: given(*args, **kwargs))
            self.root_module_name = root._get_name()
            self.submodule_paths = {m: name for name, m in root.named_modules()}
        else:
            self.root = Module()
            fn = root
        self.graph = Graph(tracer_cls=getattr(self, "__class__", None))
        self.tensor_attrs = {}

        def collect(m, prefix):
            for k, v in m.__dict__.items():
                if isinstance(v, Tensor):
                    self.tensor_attrs[v] = ".".join([*prefix, k])
            for k, v in m.named_children():
                collect(v, [*prefix, k])

        collect(self.root, [])
        if not isinstance(fn, types.FunctionType):
            raise AssertionError(f"Expected FunctionType, got {type(fn)}")
        _tracing += 1
        try:
            with _subclass.Activated(), _Patcher() as patcher:
                space = fn.__globals__
                fn, args = self.create_args_for_root(fn, isinstance(root, Module), concrete_args)
                cache = {}
                original_getattr, original_call = Module.__getattr__, Module.__call__

                def module_getattr(mod, attr):
                    return self._getattr_hook(attr, original_getattr(mod, attr), cache)

                def module_call(mod, *args, **kwargs):
                    def forward(*args, **kwargs):
                        return original_call(mod, *args, **kwargs)

                    _autowrap_check(
                        patcher,
                        getattr(getattr(mod, "forward", mod), "__globals__", {}),
                        self._autowrap_function_ids,
                    )
                    return self.call_module(mod, forward, args, kwargs)

                patcher.attribute(Module, "__getattr__", module_getattr)
                patcher.attribute(Module, "__call__", module_call)
                _patch_functional(patcher)
                _patch_wrapped_functions(patcher)
                _autowrap_check(patcher, space, self._autowrap_function_ids)
                for module in self._autowrap_search:
                    _autowrap_check(patcher, module.__dict__, self._autowrap_function_ids)
                self.create_node(
                    "output", "output", (self.create_arg(fn(*args)),), {}, type_expr=fn.__annotations__.get("return")
                )
        finally:
            _tracing -= 1
            self.submodule_paths = None
        return self.graph

    def _getattr_hook(self, attr, value, cache):
        return self.getattr(attr, value, cache)

    def __deepcopy__(self, memo):
        import copy

        made = Tracer.__new__(type(self))
        made.__dict__.update(
            {k: copy.copy(v) if k == "_autowrap_search" else copy.deepcopy(v, memo) for k, v in self.__dict__.items()}
        )
        return made


_proxyable_classes = {}


def _assert_is_none(value, msg):
    assert value is None, msg


def symbolic_trace(root, concrete_args=None):
    """The GraphModule of a module or function."""
    tracer = Tracer()
    graph = tracer.trace(root, concrete_args)
    name = root.__class__.__name__ if isinstance(root, Module) else root.__name__
    return GraphModule(tracer.root, graph, name)
