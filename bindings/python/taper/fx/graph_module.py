"""GraphModule: a module whose forward is a graph."""

import contextlib
import copy
import itertools
import linecache

from .._tensor import Tensor
from ..nn.modules.module import Module
from ..nn.parameter import Parameter
from .graph import Graph

__all__ = ["GraphModule", "reduce_graph_module"]

_USER_PRESERVED_ATTRIBUTES_KEY = "_user_preserved_attributes"
_count = itertools.count()


def _exec_with_source(src, space):
    """Runs source text so that tracebacks can show it."""
    key = f"<eval_with_key>.{next(_count)}"
    linecache.cache[key] = (len(src), None, [line + "\n" for line in src.splitlines()], key)
    exec(compile(src, key, "exec"), space)


def _forward_from_src(src, space, co_fields=None):
    """The function `forward` of source text."""
    space = dict(space)
    _exec_with_source(src, space)
    return space["forward"]


def _copy_attr(from_module, to_module, target):
    """Has a module share another's attribute at a dotted path; modules on the way are made."""
    *prefix, field = target.split(".")
    for part in prefix:
        f, t = getattr(from_module, part), getattr(to_module, part, None)
        if f is t:
            return
        if t is None:
            t = Module()
            setattr(to_module, part, t)
        from_module, to_module = f, t
    value = getattr(from_module, field)
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        to_module.register_buffer(field, value)
    else:
        setattr(to_module, field, value)


def _assign_attr(value, to_module, target):
    *prefix, field = target.split(".")
    for part in prefix:
        t = getattr(to_module, part, None)
        if t is None:
            t = Module()
            setattr(to_module, part, t)
        to_module = t
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        to_module.register_buffer(field, value)
    else:
        setattr(to_module, field, value)


_assign_attr.__name__ = "_assign_attr"


class _CodeOnlyModule(Module):
    """Holds what a pickled GraphModule had."""

    def __init__(self, body):
        super().__init__()
        self.__dict__ = body


def reduce_graph_module(body, import_block=""):
    """A GraphModule from what was pickled: its code is traced again."""
    source = body.pop("_python_source")
    space = body.pop("_python_globals")
    names = body.pop("_python_names")
    name = body.pop("_graphmodule_cls_name", "GraphModule")
    from .graph import _builtin_names

    space = {**_builtin_names(), **{k: _of_name(v) for k, v in names.items()}, **space}
    forward = _forward_from_src(source, space)
    module = _CodeOnlyModule(body)
    cls = type("CodeOnlyModule", (_CodeOnlyModule,), {"forward": forward})
    module.__class__ = cls
    from ._symbolic_trace import Tracer

    class KeepModules(Tracer):
        def is_leaf_module(self, m, path):
            return True

    made = GraphModule(module, KeepModules().trace(module), name)
    for k, v in body.items():
        if not hasattr(made, k):
            made.__dict__[k] = v
    return made


def _of_name(name):
    from importlib import import_module

    module, _, path = name.partition(":")
    found = import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


class GraphModule(Module):
    """A module whose `forward` is made of `graph`; setting the graph, or `recompile()`, makes it anew."""

    def __new__(cls, *args, **kwargs):
        # Each has a class of its own, since forward is the class's.
        for c in cls.__mro__:
            if c.__qualname__.split(".")[-1] != "GraphModuleImpl":
                cls = c
                break

        class GraphModuleImpl(cls):
            pass

        return object.__new__(GraphModuleImpl)

    def __init__(self, root, graph, class_name="GraphModule"):
        super().__init__()
        type(self).__name__ = class_name
        if isinstance(root, Module):
            if hasattr(root, "training"):
                self.training = root.training
            for node in graph.nodes:
                if node.op in ("get_attr", "call_module"):
                    _copy_attr(root, self, node.target)
        elif isinstance(root, dict):
            wanted = []
            for node in graph.nodes:
                if node.op in ("get_attr", "call_module"):
                    if node.target not in root:
                        raise RuntimeError(
                            f"Node {node} referenced target {node.target} but that target was not provided in ``root``!"
                        )
                    wanted.append(node.target)
            for target in sorted(wanted, key=lambda t: t.count(".")):
                _assign_attr(root[target], self, target)
        else:
            raise RuntimeError(f"Unsupported type {root} passed for root!")
        self.meta = dict(getattr(root, "meta", {}) or {}) if isinstance(getattr(root, "meta", {}), dict) else {}
        self.graph = graph
        self._tracer_cls = (
            graph._tracer_cls if graph._tracer_cls and "<locals>" not in graph._tracer_cls.__qualname__ else None
        )
        self._tracer_extras = graph._tracer_extras

    @property
    def graph(self):
        """The Graph."""
        return self._graph

    @graph.setter
    def graph(self, g):
        if not isinstance(g, Graph):
            raise AssertionError(f"Expected a Graph instance, but got {type(g)}")
        self._graph = g
        g.owning_module = self
        self.recompile()

    def __setattr__(self, name, value):
        if name == "graph":
            GraphModule.graph.fset(self, value)
        else:
            super().__setattr__(name, value)

    @property
    def code(self):
        """The Python code of forward."""
        if not hasattr(self, "_code"):
            raise RuntimeError("Code has not been generated! Please report a bug to PyTorch")
        return self._code

    def recompile(self):
        """Makes forward of the graph, after it was changed; returns the PythonCode."""
        made = self._graph.python_code("self")
        self._code = made.src
        forward = _forward_from_src(made.src, made.globals)
        cls = type(self)
        cls.forward = forward

        def call(self, *args, **kwargs):
            try:
                return super(cls, self).__call__(*args, **kwargs)
            except Exception as error:
                _say_where(error)
                raise

        cls.__call__ = call
        return made

    def add_submodule(self, target, m):
        """Adds a module at a dotted path; whether that could be done."""
        *prefix, field = target.split(".")
        module = self
        for part in prefix:
            child = getattr(module, part, None)
            if child is None:
                child = Module()
                setattr(module, part, child)
            if not isinstance(child, Module):
                return False
            module = child
        module.add_module(field, m)
        return True

    def delete_submodule(self, target):
        """Removes the module at a dotted path; whether there was one."""
        *prefix, field = target.split(".")
        module = self
        for part in prefix:
            module = getattr(module, part, None)
            if not isinstance(module, Module):
                return False
        if not isinstance(getattr(module, field, None), Module):
            return False
        delattr(module, field)
        return True

    def delete_all_unused_submodules(self):
        """Removes the modules that the graph does not use."""
        used = set()
        for node in self.graph.nodes:
            if node.op in ("call_module", "get_attr"):
                parts = node.target.split(".")
                used.update(".".join(parts[: i + 1]) for i in range(len(parts)))
                if node.op == "call_module":
                    try:
                        module = self.get_submodule(node.target)
                    except AttributeError:
                        continue
                    used.update(f"{node.target}.{name}" for name, _ in module.named_modules() if name)
        for name, _ in list(self.named_modules()):
            if name and name not in used:
                self.delete_submodule(name)

    def print_readable(self, print_output=True, include_stride=False, include_device=False, colored=False, **options):
        """The code of this module and of GraphModules in it."""
        text = f"class {self._get_name()}(torch.nn.Module):\n" + _indented(self._code.lstrip("\n"))
        for module in self.children():
            if isinstance(module, GraphModule):
                text += "\n" + _indented(module.print_readable(print_output=False))
        if print_output:
            print(text)
        return text

    def to_folder(self, folder, module_name="FxModule"):
        """Refused: the code of a module without its modules is of little use."""
        raise NotImplementedError(
            "GraphModule.to_folder: not supported; pickle the module (torch.save), or print its code and save its state dict"
        )

    def __reduce_ex__(self, protocol):
        made = self._graph.python_code("self")
        names, rest = {}, {}
        from .graph import _builtin_names

        known = _builtin_names()
        for k, v in made.globals.items():
            if k in known:
                continue
            module, path = getattr(v, "__module__", None), getattr(v, "__qualname__", None)
            if module is not None and path is not None and "<locals>" not in path:
                names[k] = f"{module}:{path}"
            else:
                rest[k] = v
        state = {k: v for k, v in self.__dict__.items() if k not in ("_graph", "_code")}
        state.update(
            _python_source=made.src,
            _python_globals=rest,
            _python_names=names,
            _graphmodule_cls_name=type(self).__name__,
        )
        return reduce_graph_module, (state,)

    def __deepcopy__(self, memo):
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        Module.__init__(made)
        type(made).__name__ = type(self).__name__
        for k, v in self.__dict__.items():
            if k not in ("_graph", "_code"):
                made.__dict__[k] = copy.deepcopy(v, memo)
        made.graph = copy.deepcopy(self._graph)
        return made

    def __copy__(self):
        made = GraphModule(self, copy.copy(self.graph), type(self).__name__)
        made.meta = dict(self.meta)
        return made

    def __str__(self):
        return "\n".join(
            [Module.__repr__(self), self._code, "# To see more debug info, please use `graph_module.print_readable()`"]
        )

    @contextlib.contextmanager
    def _set_replace_hook(self, f):
        yield


def _say_where(error):
    """Adds the line of generated code that failed to an error."""
    if not hasattr(error, "add_note"):
        return
    at = error.__traceback__
    found = None
    while at is not None:
        name = at.tb_frame.f_code.co_filename
        if name.startswith("<eval_with_key>"):
            found = name, at.tb_lineno
        at = at.tb_next
    if found is None or getattr(error, "_taper_fx", False):
        return
    try:
        error._taper_fx = True
    except AttributeError:
        return
    error.add_note(f"in generated code, line {found[1]}: {linecache.getline(*found).strip()}")


def _indented(text):
    return "\n".join("    " + line if line.strip() else line for line in text.split("\n"))
