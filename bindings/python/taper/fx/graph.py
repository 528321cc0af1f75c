"""Graphs of nodes, and the Python code that they are."""

import builtins
import copy
import enum
import keyword
import math
import re
from collections import namedtuple

from .. import _dtype
from .._tensor import Tensor
from .node import Node, _get_qualified_name, _type_repr, map_arg

__all__ = ["CodeGen", "Graph", "PythonCode"]

PythonCode = namedtuple("PythonCode", "src globals")

_BINARY = {
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "gt": ">",
    "le": "<=",
    "ge": ">=",
    "add": "+",
    "sub": "-",
    "mul": "*",
    "floordiv": "//",
    "truediv": "/",
    "mod": "%",
    "pow": "**",
    "lshift": "<<",
    "rshift": ">>",
    "and_": "&",
    "or_": "|",
    "xor": "^",
    "matmul": "@",
}
magic_methods = {name: f"{{}} {symbol} {{}}" for name, symbol in _BINARY.items()}
magic_methods.update(pos="+{}", neg="-{}", invert="~{}", getitem="{}[{}]")
reflectable_magic_methods = {
    name: magic_methods[name]
    for name in "add sub mul floordiv truediv mod pow lshift rshift and_ or_ xor getitem matmul".split()
    if name != "getitem"
}
inplace_methods = {
    f"i{name.rstrip('_')}": f"{{}} {symbol}= {{}}"
    for name, symbol in _BINARY.items()
    if name not in ("eq", "ne", "lt", "gt", "le", "ge")
}


def _builtin_names():
    import taper

    return {"inf": math.inf, "nan": math.nan, "NoneType": type(None), "torch": taper, "device": _dtype.device}


class _Namespace:
    """Names that are taken."""

    def __init__(self):
        self._names, self._used, self._counts = {}, set(), {}

    def create_name(self, candidate, obj):
        """A name like the candidate that is not taken."""
        if obj is not None and obj in self._names:
            return self._names[obj]
        candidate = re.sub("[^0-9a-zA-Z_]+", "_", candidate) or "_unnamed"
        if candidate[0].isdigit():
            candidate = f"_{candidate}"
        found = re.fullmatch(r"(.*)_(\d+)", candidate)
        base, number = (found.group(1), int(found.group(2))) if found else (candidate, None)
        if not number:
            number = self._counts.get(base, 0)
        while candidate in self._used or self._taken(candidate, obj):
            number += 1
            candidate = f"{base}_{number}"
        self._used.add(candidate)
        self._counts[base] = number
        if obj is not None:
            self._names[obj] = candidate
        return candidate

    def associate_name_with_obj(self, name, obj):
        self._names[obj] = name

    @staticmethod
    def _taken(name, obj):
        if name in keyword.kwlist:
            return True
        if name in builtins.__dict__:
            return obj is not builtins.__dict__[name]
        return name in ("inf", "nan", "NoneType", "torch", "device", "fx_pytree", "pytree")

    def _rename_object(self, obj, name):
        self._names[obj] = name
        self._used.add(name)


def _snake_case(text):
    return re.sub("(?<=[a-z])([A-Z])", r"_\1", text).lower()


def _target_to_str(target):
    if callable(target):
        name = target.__name__
    else:
        name = target
        if name.startswith("__") and name.endswith("__"):
            name = name[2:-2]
    return _snake_case(name)


def _format_target(base, target):
    text = base
    for part in target.split("."):
        text = f"{text}.{part}" if part.isidentifier() else f'getattr({text}, "{part}")'
    return text


class _node_list:
    """The nodes in order, or from the end."""

    def __init__(self, graph, direction="_next"):
        self.graph, self.direction = graph, direction

    def __len__(self):
        return self.graph._len

    def __iter__(self):
        root, direction = self.graph._root, self.direction
        at = getattr(root, direction)
        while at is not root:
            if not at._erased:
                yield at
            at = getattr(at, direction)

    def __reversed__(self):
        return _node_list(self.graph, "_prev" if self.direction == "_next" else "_next")

    def __getitem__(self, index):
        return list(self)[index]


class _InsertPoint:
    def __init__(self, graph, insert):
        self.graph, self.before, graph._insert = graph, graph._insert, insert

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.graph._insert = self.before


class CodeGen:
    """Writes a graph as a Python function."""

    def __init__(self):
        self._body_transformer = None
        self._func_name = "forward"

    def gen_fn_def(self, free_vars, maybe_return_annotation):
        """The line of `def`."""
        if not free_vars or free_vars[0] != "self":
            free_vars.insert(0, "self")
        return f"def {self._func_name}({', '.join(free_vars)}){maybe_return_annotation}:"

    def generate_output(self, output_args):
        """The line of `return`."""
        return f"return {repr(output_args)}"

    def process_inputs(self, *args):
        return args

    def process_outputs(self, outputs):
        return outputs

    def additional_globals(self):
        return []

    def code(self, nodes, root_module, namespace):
        """The PythonCode of nodes."""
        free, body, space, wrapped = [], [], {}, {}
        returned = [""]

        def add_global(hint, obj):
            if _is_torch(obj) and obj is not _dtype.device:
                return _get_qualified_name(obj)
            name = hint.replace(".", "_")
            if name in space and space[name] is obj:
                return name
            name = namespace.create_name(name, obj)
            space.setdefault(name, obj)
            return name

        space.update(_builtin_names())
        for name, obj in self.additional_globals():
            add_global(name, obj)

        def type_text(annotation):
            if annotation == ():
                return "()"
            text = _type_repr(annotation)
            base = getattr(annotation, "__origin__", None)
            if base is not None or type(annotation).__name__ in ("_UnionGenericAlias", "UnionType"):
                space.update(typing_names(annotation))
                return text
            if isinstance(annotation, type) and annotation.__module__ not in ("builtins",):
                if _is_torch(annotation):
                    return text
                return add_global(text, annotation)
            return text

        def typing_names(annotation):
            import typing

            return {"typing": typing}

        def text_of(arg):
            if isinstance(arg, tuple) and hasattr(arg, "_fields"):
                return f"{add_global(_type_repr(type(arg)), type(arg))}({', '.join(text_of(a) for a in arg)})"
            if isinstance(arg, Node):
                return repr(arg)
            if isinstance(arg, Tensor):
                return "Tensor"
            if isinstance(arg, enum.Enum):
                return f"{add_global(_type_repr(type(arg)), type(arg))}.{arg.name}"
            if isinstance(arg, list):
                return f"[{', '.join(text_of(a) for a in arg)}]"
            if isinstance(arg, tuple):
                inner = ", ".join(text_of(a) for a in arg)
                return f"({inner},)" if len(arg) == 1 else f"({inner})"
            if isinstance(arg, dict):
                return "{" + ", ".join(f"{k!r}: {text_of(v)}" for k, v in arg.items()) + "}"
            if isinstance(arg, slice):
                return f"slice({text_of(arg.start)}, {text_of(arg.stop)}, {text_of(arg.step)})"
            if isinstance(arg, type) or callable(arg) and hasattr(arg, "__qualname__"):
                return add_global(_type_repr(arg) if isinstance(arg, type) else _get_qualified_name(arg), arg)
            return repr(arg).replace("taper.", "torch.")

        def arguments(args, kwargs):
            return ", ".join([*[text_of(a) for a in args], *[f"{k} = {text_of(v)}" for k, v in kwargs.items()]])

        # Which names are used for the last time where.
        last_use, ends = {}, {}
        for node in reversed(nodes):

            def used(n, user=node):
                if n not in last_use:
                    last_use[n] = user
                    ends.setdefault(user, []).append(n)

            map_arg(node.args, used)
            map_arg(node.kwargs, used)

        def finish(user):
            if user.op == "placeholder":
                return
            if user.op == "output":
                body.append("\n")
                return
            gone = ends.get(user, [])
            if not user.users:
                gone.append(user)
            body.append(f";  {' = '.join([*map(repr, gone), 'None'])}\n" if gone else "\n")

        def emit(node):
            annotation = "" if node.type is None else f" : {type_text(node.type)}"
            if node.op == "placeholder":
                default = "" if not node.args else f" = {text_of(node.args[0])}"
                free.append(f"{node.target}{annotation}{default}")
                raw = node.target.replace("*", "")
                if raw != repr(node):
                    body.append(f"{node!r} = {raw}\n")
                return
            if node.op == "call_method":
                body.append(
                    f"{node!r}{annotation} = {_format_target(text_of(node.args[0]), node.target)}"
                    f"({arguments(node.args[1:], node.kwargs)})"
                )
            elif node.op == "call_function":
                target = node.target
                name = getattr(target, "__name__", "")
                if getattr(target, "__module__", None) == "_operator" and name in magic_methods:
                    made = magic_methods[name].format(*[text_of(a) for a in node.args])
                    body.append(f"{node!r}{annotation} = {made}")
                    return
                if getattr(target, "__module__", None) == "_operator" and name in inplace_methods:
                    made = inplace_methods[name].format(*[text_of(a) for a in node.args])
                    body.append(f"{made};  {node!r}{annotation} = {text_of(node.args[0])}")
                    return
                name = add_global(_get_qualified_name(target), target)
                if (
                    name == "getattr"
                    and len(node.args) == 2
                    and isinstance(node.args[1], str)
                    and node.args[1].isidentifier()
                ):
                    body.append(f"{node!r}{annotation} = {_format_target(text_of(node.args[0]), node.args[1])}")
                    return
                body.append(f"{node!r}{annotation} = {name}({arguments(node.args, node.kwargs)})")
                if node.meta.get("is_wrapped", False):
                    wrapped.setdefault(name)
            elif node.op == "call_module":
                body.append(
                    f"{node!r}{annotation} = {_format_target(root_module, node.target)}({arguments(node.args, node.kwargs)})"
                )
            elif node.op == "get_attr":
                body.append(f"{node!r}{annotation} = {_format_target(root_module, node.target)}")
            elif node.op == "output":
                if node.type is not None:
                    returned[0] = f" -> {type_text(node.type)}"
                output = node.args[0]
                made = self.generate_output(_Text(text_of(output)))
                body.append(made)
            else:
                raise NotImplementedError(f"node: {node.op} {node.target}")

        for node in nodes:
            emit(node)
            finish(node)
        if not body:
            body.append("pass\n")
        if self._body_transformer:
            body = self._body_transformer(body)
        head = "\n".join([f'torch.fx._symbolic_trace.wrap("{name}")' for name in wrapped])
        definition = self.gen_fn_def(free, returned[0])
        code = "\n".join("    " + line for line in "".join(body).split("\n"))
        return PythonCode(f"\n{head}\n\n{definition}\n{code}", space)


class _Text(str):
    """A text that is its own repr."""

    __slots__ = ()

    def __repr__(self):
        return str(self)


def _is_torch(obj):
    module = getattr(obj, "__module__", None)
    if isinstance(module, str):
        return module.partition(".")[0] == "taper"
    return False


class Graph:
    """The operations of a program in order. `placeholder`, `call_function` ... add nodes at the insertion point."""

    def __init__(self, owning_module=None, tracer_cls=None, tracer_extras=None):
        self._root = Node(self, "", "root", "", (), {})
        self._insert = self._root.prepend
        self._len = 0
        self._graph_namespace = _Namespace()
        self._owning_module = owning_module
        self._tracer_cls, self._tracer_extras = tracer_cls, tracer_extras
        self._codegen = CodeGen()
        self._used_names = {}

    @property
    def owning_module(self):
        """The GraphModule whose graph it is."""
        return self._owning_module

    @owning_module.setter
    def owning_module(self, module):
        self._owning_module = module

    @property
    def nodes(self):
        """The nodes in order."""
        return _node_list(self)

    def find_nodes(self, *, op, target=None, sort=True):
        """Nodes of a kind, and of a target."""
        return [n for n in self.nodes if n.op == op and (target is None or n.target == target)]

    def _order(self, node):
        for i, n in enumerate(self.nodes):
            if n is node:
                return i
        raise RuntimeError(f"node {node} is not in the graph")

    def output_node(self):
        """The node of `return`."""
        return next(n for n in reversed(self.nodes) if n.op == "output")

    def graph_copy(self, g, val_map, return_output_node=False):
        """Copies another graph's nodes; returns what takes the place of its output."""
        for node in g.nodes:
            if node in val_map:
                continue
            if node.op == "output":
                made = map_arg(node.args[0], lambda n: val_map[n])
                return (made, node) if return_output_node else made
            val_map[node] = self.node_copy(node, lambda n: val_map[n])
        return None

    def __deepcopy__(self, memo=None):
        memo = {} if memo is None else memo
        made = Graph(tracer_cls=self._tracer_cls)
        outputs = made.graph_copy(self, memo, return_output_node=True)
        made._codegen = copy.deepcopy(self._codegen)
        if outputs is not None:
            value, old = outputs
            new = made.output(value, type_expr=old.type)
            new.meta = copy.copy(old.meta)
        return made

    def create_node(self, op, target, args=None, kwargs=None, name=None, type_expr=None):
        """Adds a node at the insertion point."""
        args, kwargs = () if args is None else args, {} if kwargs is None else kwargs
        if not isinstance(args, tuple):
            raise AssertionError("args must be a tuple")
        if not isinstance(kwargs, dict):
            raise AssertionError("kwargs must be a dict")
        name = self._graph_namespace.create_name(_target_to_str(target) if name is None else name, None)
        node = Node(self, name, op, target, args, kwargs, type_expr)
        self._graph_namespace.associate_name_with_obj(name, node)
        self._insert(node)
        self._len += 1
        return node

    def erase_node(self, to_erase):
        """Removes a node that nobody uses."""
        if to_erase.users:
            raise RuntimeError(
                f"Tried to erase Node {to_erase} but it still had {len(to_erase.users)} users in the graph: {to_erase.users}!"
            )
        if to_erase.graph is not self:
            raise RuntimeError(f"Attempting to remove {to_erase} from wrong graph!")
        if to_erase._erased:
            import warnings

            warnings.warn(f"erase_node({to_erase}) on an already erased node", stacklevel=2)
            return
        to_erase._unlink()
        to_erase._erased = True
        self._len -= 1
        to_erase._set((), {})

    def inserting_before(self, n=None):
        """Inside the block nodes are added before n; without n, at the beginning."""
        if n is None:
            return self.inserting_after(self._root)
        if n.graph is not self:
            raise AssertionError("Node to insert before is not in graph.")
        return _InsertPoint(self, n.prepend)

    def inserting_after(self, n=None):
        """Inside the block nodes are added behind n; without n, at the end."""
        if n is None:
            return self.inserting_before(self._root)
        if n.graph is not self:
            raise AssertionError("Node to insert after is not in graph.")
        return _InsertPoint(self, n.append)

    def placeholder(self, name, type_expr=None, default_value=...):
        """Adds an input."""
        return self.create_node(
            "placeholder", name, () if default_value is ... else (default_value,), type_expr=type_expr
        )

    def get_attr(self, qualified_name, type_expr=None):
        """Adds reading an attribute of the module."""
        module = self.owning_module
        if module is not None:
            at = module
            for part in qualified_name.split("."):
                if not hasattr(at, part):
                    import warnings

                    warnings.warn(
                        "Attempted to insert a get_attr Node with no underlying reference in the owning GraphModule! Call "
                        "GraphModule.add_submodule to add the necessary submodule, GraphModule.add_parameter to add the "
                        "necessary Parameter, or nn.Module.register_buffer to add the necessary buffer",
                        stacklevel=2,
                    )
                    break
                at = getattr(at, part)
        return self.create_node("get_attr", qualified_name, type_expr=type_expr)

    def call_module(self, module_name, args=None, kwargs=None, type_expr=None):
        """Adds calling a submodule."""
        return self.create_node("call_module", module_name, args, kwargs, type_expr=type_expr)

    def call_method(self, method_name, args=None, kwargs=None, type_expr=None):
        """Adds calling a method of args[0]."""
        return self.create_node("call_method", method_name, args, kwargs, type_expr=type_expr)

    def call_function(self, the_function, args=None, kwargs=None, type_expr=None, name=None):
        """Adds calling a function."""
        return self.create_node("call_function", the_function, args, kwargs, name=name, type_expr=type_expr)

    def node_copy(self, node, arg_transform=lambda x: x):
        """Adds a copy of a node of another graph."""
        args, kwargs = map_arg(node.args, arg_transform), map_arg(node.kwargs, arg_transform)
        made = self.create_node(node.op, node.target, args, dict(kwargs), node.name, node.type)
        made.meta = copy.copy(node.meta)
        return made

    def output(self, result, type_expr=None):
        """Adds `return`."""
        return self.create_node("output", "output", (result,), type_expr=type_expr)

    def set_codegen(self, codegen):
        """Sets how code is written."""
        self._codegen = codegen

    def on_generate_code(self, make_transformer):
        """Has the lines of code pass a function before they become a module's; undone at the end of the block."""
        before = self._codegen._body_transformer
        self._codegen._body_transformer = make_transformer(before)
        codegen = self._codegen

        class _Undo:
            def __enter__(self):
                return self

            def __exit__(self, *exc):
                codegen._body_transformer = before

        return _Undo()

    def python_code(self, root_module, **options):
        """The graph as a PythonCode: source and globals."""
        namespace = _Namespace()
        nodes = list(self.nodes)
        # Names that differ from those of globals; reprs of nodes are these names meanwhile.
        before = [n._repr_fn for n in nodes]
        for n in nodes:
            namespace._used.add(n.name)

        def name_of(n):
            return n.name

        for n in nodes:
            n._repr_fn = name_of
        try:
            return self._codegen.code(nodes, root_module, namespace)
        finally:
            for n, f in zip(nodes, before):
                n._repr_fn = f

    def __str__(self):
        names, returned = [], [""]
        lines = [n.format_node(names, returned) for n in self.nodes]
        return f"graph(){returned[0]}:" + "".join(f"\n    {line}" for line in lines if line)

    def print_tabular(self):
        """Prints the nodes as a table; needs `tabulate`."""
        try:
            from tabulate import tabulate
        except ImportError:
            print(
                "`print_tabular` relies on the library `tabulate`, which could not be found on this machine. Run `pip "
                "install tabulate` to install the library."
            )
            raise
        rows = [[n.op, n.name, n.target, n.args, n.kwargs] for n in self.nodes]
        print(tabulate(rows, headers=["opcode", "name", "target", "args", "kwargs"]))

    def lint(self):
        """Raises an error for a graph that is not well formed."""
        seen, names = set(), set()

        def check(arg, node):
            if arg.graph is not self:
                raise RuntimeError(
                    f"Argument '{arg}' of Node '{node}' does not belong to this Graph, but was used as an argument!"
                )
            if arg not in seen:
                raise RuntimeError(
                    f"Argument '{arg}' of Node '{node}' was used before it has been defined! Please check that Nodes in the graph are topologically ordered\n{self}"
                )

        for node in self.nodes:
            if node.graph is not self:
                raise RuntimeError(f"Node '{node}' does not belong to this Graph!")
            map_arg(node.args, lambda a, node=node: check(a, node))
            map_arg(node.kwargs, lambda a, node=node: check(a, node))
            seen.add(node)
            if node.name in names:
                raise RuntimeError(f"Node redefined name {node.name}!")
            names.add(node.name)
        module = self.owning_module
        if module is not None:
            for node in self.nodes:
                if node.op in ("get_attr", "call_module"):
                    at = module
                    for part in node.target.split("."):
                        if not hasattr(at, part):
                            raise RuntimeError(
                                f"Node {node} target {node.target} references nonexistent attribute {part} of {node.target}"
                            )
                        at = getattr(at, part)

    def eliminate_dead_code(self, is_impure_node=None):
        """Removes nodes that nobody uses; whether there were any."""
        self.lint()
        changed = False
        for node in list(reversed(self.nodes)):
            impure = node.is_impure() if is_impure_node is None else is_impure_node(node)
            if not impure and not node.users:
                self.erase_node(node)
                changed = True
        return changed

    def process_inputs(self, *args):
        return self._codegen.process_inputs(*args)

    def process_outputs(self, out):
        return self._codegen.process_outputs(out)
