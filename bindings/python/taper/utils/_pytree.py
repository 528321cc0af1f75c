"""Trees of containers: dicts, lists, tuples, named tuples, ordered and default dicts, deques, and what is registered."""

import json
from collections import OrderedDict, defaultdict, deque, namedtuple
from importlib import import_module

from .._dtype import Size

__all__ = [
    "Context",
    "DumpableContext",
    "GetAttrKey",
    "LeafSpec",
    "MappingKey",
    "PyTree",
    "PyTreeSpec",
    "SequenceKey",
    "TreeSpec",
    "is_namedtuple",
    "is_namedtuple_class",
    "is_namedtuple_instance",
    "is_structseq",
    "is_structseq_class",
    "is_structseq_instance",
    "key_get",
    "keystr",
    "register_pytree_node",
    "tree_all",
    "tree_all_only",
    "tree_any",
    "tree_any_only",
    "tree_flatten",
    "tree_flatten_with_path",
    "tree_is_leaf",
    "tree_iter",
    "tree_leaves",
    "tree_leaves_with_path",
    "tree_map",
    "tree_map_",
    "tree_map_only",
    "tree_map_only_",
    "tree_map_with_path",
    "tree_structure",
    "tree_unflatten",
    "treespec_dumps",
    "treespec_loads",
    "treespec_pprint",
]

PyTree = Context = DumpableContext = object


class SequenceKey(namedtuple("SequenceKey", "idx")):
    """The way to an element of a sequence."""

    __slots__ = ()

    def __str__(self):
        return f"[{self.idx!r}]"

    def get(self, sequence):
        return sequence[self.idx]


class MappingKey(namedtuple("MappingKey", "key")):
    """The way to a value of a dict."""

    __slots__ = ()

    def __str__(self):
        return f"[{self.key!r}]"

    def get(self, mapping):
        return mapping[self.key]


class GetAttrKey(namedtuple("GetAttrKey", "name")):
    """The way to an attribute."""

    __slots__ = ()

    def __str__(self):
        return f".{self.name}"

    def get(self, obj):
        return getattr(obj, self.name)


KeyEntry = object


def keystr(kp):
    """A path as text, such as "['a'][0]"."""
    return "".join([str(k) for k in kp])


def key_get(obj, kp):
    """What lies at a path."""
    for k in kp:
        obj = k.get(obj)
    return obj


class NodeDef:
    """What is known of a class of containers."""

    def __init__(
        self, type, flatten_fn, unflatten_fn, flatten_with_keys_fn=None, name=None, to_json=None, from_json=None
    ):
        self.type, self.flatten_fn, self.unflatten_fn = type, flatten_fn, unflatten_fn
        self.flatten_with_keys_fn, self.name, self.to_json, self.from_json = (
            flatten_with_keys_fn,
            name,
            to_json,
            from_json,
        )


SUPPORTED_NODES = {}
_by_name = {}


def register_pytree_node(
    cls,
    flatten_fn,
    unflatten_fn,
    *,
    serialized_type_name=None,
    to_dumpable_context=None,
    from_dumpable_context=None,
    flatten_with_keys_fn=None,
):
    """Makes a class one of containers: flatten_fn(object) gives (children, context), unflatten_fn(children, context) the object."""
    if cls in SUPPORTED_NODES:
        raise ValueError(f"{cls} is already registered as pytree node.")
    _put(
        cls,
        flatten_fn,
        unflatten_fn,
        flatten_with_keys_fn,
        serialized_type_name,
        to_dumpable_context,
        from_dumpable_context,
    )


_register_pytree_node = _private_register_pytree_node = register_pytree_node


def _put(cls, flatten_fn, unflatten_fn, with_keys=None, name=None, to_json=None, from_json=None):
    node = SUPPORTED_NODES[cls] = NodeDef(cls, flatten_fn, unflatten_fn, with_keys, name, to_json, from_json)
    if name is not None:
        _by_name[name] = node


def register_dataclass(cls, *, field_names=None, drop_field_names=None, serialized_type_name=None):
    """Makes a dataclass a container of its fields."""
    from dataclasses import fields

    names = [f.name for f in fields(cls) if f.init] if field_names is None else list(field_names)
    names = [n for n in names if n not in (drop_field_names or ())]

    def flatten(obj):
        found = [(n, getattr(obj, n)) for n in names if getattr(obj, n) is not None]
        absent = [n for n in names if getattr(obj, n) is None]
        return [v for _, v in found], [[n for n, _ in found], absent]

    def unflatten(values, context):
        return cls(**dict(zip(context[0], values)), **dict.fromkeys(context[1]))

    def with_keys(obj):
        values, context = flatten(obj)
        return [(GetAttrKey(n), v) for n, v in zip(context[0], values)], context

    register_pytree_node(
        cls, flatten, unflatten, serialized_type_name=serialized_type_name, flatten_with_keys_fn=with_keys
    )


def register_constant(cls):
    """Makes a class a container without children."""
    register_pytree_node(cls, lambda x: ([], x), lambda _, x: x, flatten_with_keys_fn=lambda x: ([], x))


def is_namedtuple(obj):
    """Whether it is a named tuple or a class of such."""
    return is_namedtuple_class(obj if isinstance(obj, type) else type(obj))


def is_namedtuple_class(cls):
    """Whether it is a class of named tuples."""
    if not (isinstance(cls, type) and issubclass(cls, tuple)):
        return False
    names = getattr(cls, "_fields", None)
    return isinstance(names, tuple) and all(type(n) is str for n in names) and callable(getattr(cls, "_make", None))


def is_namedtuple_instance(obj):
    """Whether it is a named tuple."""
    return is_namedtuple_class(type(obj))


def is_structseq_class(cls):
    """Whether it is a class of results with named fields, those of ops among them."""
    return (
        isinstance(cls, type)
        and issubclass(cls, tuple)
        and (
            cls.__module__ in ("taper.return_types", "torch.return_types")
            or all(
                isinstance(getattr(cls, n, None), int) for n in ("n_fields", "n_sequence_fields", "n_unnamed_fields")
            )
        )
    )


def is_structseq(obj):
    """Whether it is a result with named fields or a class of such."""
    return is_structseq_class(obj if isinstance(obj, type) else type(obj))


def is_structseq_instance(obj):
    """Whether it is a result with named fields."""
    return is_structseq_class(type(obj))


def _sequence_keys(flatten):
    def with_keys(x):
        values, context = flatten(x)
        return [(SequenceKey(i), v) for i, v in enumerate(values)], context

    return with_keys


def _flat_dict(d):
    return list(d.values()), list(d.keys())


def _flat_sequence(x):
    return list(x), None


def _keyed_dict(d):
    return [(MappingKey(k), v) for k, v in d.items()], list(d.keys())


def _default_json(context):
    return {
        "default_factory_module": context[0].__module__,
        "default_factory_name": context[0].__qualname__,
        "dict_context": context[1],
    }


def _default_of_json(j):
    return [getattr(import_module(j["default_factory_module"]), j["default_factory_name"]), j["dict_context"]]


_put(tuple, _flat_sequence, lambda v, c: tuple(v), _sequence_keys(_flat_sequence), "builtins.tuple")
_put(list, _flat_sequence, lambda v, c: list(v), _sequence_keys(_flat_sequence), "builtins.list")
_put(dict, _flat_dict, lambda v, c: dict(zip(c, v)), _keyed_dict, "builtins.dict")
_put(
    namedtuple,
    lambda x: (list(x), type(x)),
    lambda v, c: c(*v),
    lambda x: ([(GetAttrKey(n), v) for n, v in zip(x._fields, x)], type(x)),
    "collections.namedtuple",
)
_put(
    OrderedDict,
    _flat_dict,
    lambda v, c: OrderedDict(zip(c, v)),
    _keyed_dict,
    "collections.OrderedDict",
)
_put(
    defaultdict,
    lambda d: (list(d.values()), [d.default_factory, list(d.keys())]),
    lambda v, c: defaultdict(c[0], zip(c[1], v)),
    lambda d: (_keyed_dict(d)[0], [d.default_factory, list(d.keys())]),
    "collections.defaultdict",
    _default_json,
    _default_of_json,
)
_put(
    deque,
    lambda d: (list(d), d.maxlen),
    lambda v, c: deque(v, maxlen=c),
    _sequence_keys(lambda d: (list(d), d.maxlen)),
    "collections.deque",
)
_put(Size, _flat_sequence, lambda v, c: tuple(v), _sequence_keys(_flat_sequence), "torch.Size")
BUILTIN_TYPES = frozenset(SUPPORTED_NODES)
# How each of them is taken apart, under the names by which packages find them.
_tuple_flatten = _list_flatten = _flat_sequence
_dict_flatten = _ordereddict_flatten = _flat_dict
_dict_flatten_with_keys = _ordereddict_flatten_with_keys = _keyed_dict
_tuple_flatten_with_keys = _list_flatten_with_keys = _sequence_keys(_flat_sequence)


def _tuple_unflatten(values, context):
    return tuple(values)


def _list_unflatten(values, context):
    return list(values)


def _dict_unflatten(values, context):
    return dict(zip(context, values))


def _ordereddict_unflatten(values, context):
    return OrderedDict(zip(context, values))


def _node_type(tree):
    t = type(tree)
    if t in SUPPORTED_NODES:
        return t
    if is_structseq_class(t):
        _put(t, _flat_sequence, lambda v, c: t(v), _sequence_keys(_flat_sequence), f"torch.return_types.{t.__name__}")
        return t
    if is_namedtuple_class(t):
        return namedtuple
    return t


_get_node_type = _node_type


def tree_is_leaf(tree, is_leaf=None):
    """Whether it counts as a leaf."""
    if is_leaf is not None and is_leaf(tree):
        return True
    return _node_type(tree) not in SUPPORTED_NODES


_is_leaf = tree_is_leaf


class TreeSpec:
    """The shape of a tree, without its leaves."""

    __slots__ = ("_children", "_context", "_type", "num_children", "num_leaves", "num_nodes")

    def __init__(self, type, context, children_specs):
        self._type, self._context, self._children = type, context, list(children_specs)
        self.num_children = len(self._children)
        leaf = type is None and not self._children
        self.num_leaves = 1 if leaf else sum(c.num_leaves for c in self._children)
        self.num_nodes = 1 + sum(c.num_nodes for c in self._children)

    type = property(lambda self: self._type)
    context = property(lambda self: self._context)
    children_specs = property(lambda self: self._children)

    def children(self):
        return list(self._children)

    def child(self, index):
        return self._children[index]

    def is_leaf(self):
        return self.num_nodes == 1 and self.num_leaves == 1

    def __repr__(self, indent=0):
        if self.is_leaf():
            return "*"
        inner = indent + 2
        children = (",\n" + " " * inner).join(c.__repr__(inner) for c in self._children)
        return f"TreeSpec({self._type.__name__}, {self._context}, [{children}])"

    def __eq__(self, other):
        if self is other:
            return True
        if not isinstance(other, TreeSpec):
            return NotImplemented
        return self._type is other._type and self._context == other._context and self._children == other._children

    def __hash__(self):
        context = self._context
        if self._type in (dict, OrderedDict):
            context = tuple(context)
        elif self._type is defaultdict:
            context = (context[0], tuple(context[1]))
        return hash((self._type, context, tuple(self._children)))

    def __reduce__(self):
        return (_leaf, ()) if self.is_leaf() else (TreeSpec, (self._type, self._context, self._children))

    def flatten_up_to(self, tree):
        """The subtrees of a tree that stand where this one has its leaves."""
        found = []
        self._up_to(tree, found)
        return found

    def _up_to(self, tree, found):
        if self.is_leaf():
            found.append(tree)
            return
        t = _node_type(tree)
        if self._type in BUILTIN_TYPES or t in BUILTIN_TYPES:
            both_dicts = {self._type, t} <= {dict, OrderedDict, defaultdict}
            if t is not self._type and not both_dicts:
                raise ValueError(f"Node type mismatch; expected {self._type}, but got {t}.")
        elif t is not self._type:
            raise ValueError(f"Node type mismatch; expected {self._type}, but got {t}.")
        if t not in SUPPORTED_NODES:
            raise ValueError(f"Node type mismatch; expected {self._type}, but got {t}.")
        children, context = SUPPORTED_NODES[t].flatten_fn(tree)
        if len(children) != self.num_children:
            raise ValueError(f"Node arity mismatch; expected {self.num_children}, but got {len(children)}.")
        if self._type in (dict, OrderedDict, defaultdict):
            keys = self._context[1] if self._type is defaultdict else self._context
            missing, extra = set(keys) - set(tree), set(tree) - set(keys)
            if missing or extra:
                message = "; ".join(
                    f"{what} key(s): {names}" for what, names in (("missing", missing), ("extra", extra)) if names
                )
                raise ValueError(f"Node keys mismatch; {message}.")
            children = [tree[k] for k in keys]
        elif self._type not in (deque,) and context != self._context:
            raise ValueError(
                f"Node context mismatch for custom node type {self._type}."
                if self._type not in BUILTIN_TYPES
                else f"Node type mismatch; expected {self._context}, but got {context}."
            )
        for spec, child in zip(self._children, children):
            spec._up_to(child, found)

    def unflatten(self, leaves):
        """The tree with these leaves."""
        leaves = leaves if isinstance(leaves, (list, tuple)) else list(leaves)
        if len(leaves) != self.num_leaves:
            raise ValueError(
                f"treespec.unflatten(leaves): `leaves` has length {len(leaves)} but the spec refers to a pytree that holds "
                f"{self.num_leaves} items ({self})."
            )
        return self._built(iter(leaves))

    def _built(self, leaves):
        if self.is_leaf():
            return next(leaves)
        return SUPPORTED_NODES[self._type].unflatten_fn([c._built(leaves) for c in self._children], self._context)


PyTreeSpec = TreeSpec


class _LeafMeta(type):
    def __instancecheck__(cls, instance):
        return isinstance(instance, TreeSpec) and instance.is_leaf()


class LeafSpec(TreeSpec, metaclass=_LeafMeta):
    """The shape of a leaf: `isinstance` tells one."""

    def __new__(cls):
        return _LEAF


_LEAF = TreeSpec(None, None, [])


def _leaf():
    return _LEAF


def _flattened(tree, leaves, is_leaf):
    if tree_is_leaf(tree, is_leaf):
        leaves.append(tree)
        return _LEAF
    t = _node_type(tree)
    children, context = SUPPORTED_NODES[t].flatten_fn(tree)
    return TreeSpec(t, context, [_flattened(c, leaves, is_leaf) for c in children])


def tree_flatten(tree, is_leaf=None):
    """(leaves, TreeSpec) of a tree."""
    leaves = []
    spec = _flattened(tree, leaves, is_leaf)
    return leaves, spec


def tree_unflatten(leaves, treespec):
    """The tree of leaves and a TreeSpec."""
    if not isinstance(treespec, TreeSpec):
        raise TypeError(f"Expected `treespec` to be an instance of PyTreeSpec but got item of type {type(treespec)}.")
    return treespec.unflatten(leaves)


def tree_iter(tree, is_leaf=None):
    """The leaves one by one."""
    if tree_is_leaf(tree, is_leaf):
        yield tree
    else:
        for child in SUPPORTED_NODES[_node_type(tree)].flatten_fn(tree)[0]:
            yield from tree_iter(child, is_leaf)


def tree_leaves(tree, is_leaf=None):
    """The leaves."""
    return list(tree_iter(tree, is_leaf))


def tree_structure(tree, is_leaf=None):
    """The shape of a tree."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func, tree, *rests, is_leaf=None):
    """The tree of func of every leaf; with further trees of the same shape, of the leaves at the same places."""
    leaves, spec = tree_flatten(tree, is_leaf)
    return spec.unflatten([*map(func, leaves, *[spec.flatten_up_to(r) for r in rests])])


def tree_map_(func, tree, *rests, is_leaf=None):
    """Calls func of every leaf and gives the tree back."""
    leaves, spec = tree_flatten(tree, is_leaf)
    for _ in map(func, leaves, *[spec.flatten_up_to(r) for r in rests]):
        pass
    return tree


def map_only(type_or_types_or_pred, /):
    """A decorator: the function for leaves of these types, the leaf itself for others."""
    fits = _predicate(type_or_types_or_pred)

    def decorate(func):
        return lambda x: func(x) if fits(x) else x

    return decorate


def _predicate(what):
    if isinstance(what, (type, tuple)) or type(what).__name__ in ("UnionType", "_UnionGenericAlias"):
        return lambda x: isinstance(x, what)
    if callable(what):
        return what
    raise TypeError("Argument must be a type, a tuple of types, or a callable.")


def tree_map_only(type_or_types_or_pred, /, func, tree, is_leaf=None):
    """tree_map of the leaves of some types; the others stay."""
    return tree_map(map_only(type_or_types_or_pred)(func), tree, is_leaf=is_leaf)


def tree_map_only_(type_or_types_or_pred, /, func, tree, is_leaf=None):
    """Calls func of the leaves of some types and gives the tree back."""
    return tree_map_(map_only(type_or_types_or_pred)(func), tree, is_leaf=is_leaf)


def tree_all(pred, tree, is_leaf=None):
    """Whether pred holds for all leaves."""
    return all(map(pred, tree_iter(tree, is_leaf)))


def tree_any(pred, tree, is_leaf=None):
    """Whether pred holds for a leaf."""
    return any(map(pred, tree_iter(tree, is_leaf)))


def tree_all_only(type_or_types, /, pred, tree, is_leaf=None):
    """Whether pred holds for all leaves of some types."""
    return all(pred(x) for x in tree_iter(tree, is_leaf) if isinstance(x, type_or_types))


def tree_any_only(type_or_types, /, pred, tree, is_leaf=None):
    """Whether pred holds for a leaf of some types."""
    return any(pred(x) for x in tree_iter(tree, is_leaf) if isinstance(x, type_or_types))


def tree_leaves_with_path(tree, is_leaf=None):
    """(path, leaf) of every leaf."""
    return list(_with_path((), tree, is_leaf))


def _with_path(path, tree, is_leaf):
    if tree_is_leaf(tree, is_leaf):
        yield path, tree
        return
    node = SUPPORTED_NODES[_node_type(tree)]
    if node.flatten_with_keys_fn is None:
        raise ValueError(
            f"Did not find a flatten_with_keys_fn for type: {node.type}. Please pass a flatten_with_keys_fn argument to register_pytree_node."
        )
    for key, child in node.flatten_with_keys_fn(tree)[0]:
        yield from _with_path((*path, key), child, is_leaf)


def tree_flatten_with_path(tree, is_leaf=None):
    """([(path, leaf) ...], TreeSpec) of a tree."""
    return tree_leaves_with_path(tree, is_leaf), tree_structure(tree, is_leaf)


def tree_map_with_path(func, tree, *rests, is_leaf=None):
    """tree_map whose function gets the path first."""
    found, spec = tree_flatten_with_path(tree, is_leaf)
    paths, leaves = [p for p, _ in found], [v for _, v in found]
    return spec.unflatten([*map(func, paths, leaves, *[spec.flatten_up_to(r) for r in rests])])


def _broadcast_to_and_flatten(tree, treespec, is_leaf=None):
    """The leaves of a tree that may be coarser than the spec; None where it does not fit."""
    if tree_is_leaf(tree, is_leaf):
        return [tree] * treespec.num_leaves
    if treespec.is_leaf():
        return None
    t = _node_type(tree)
    if t is not treespec.type:
        return None
    children, context = SUPPORTED_NODES[t].flatten_fn(tree)
    if len(children) != treespec.num_children or context != treespec.context:
        return None
    result = []
    for child, spec in zip(children, treespec.children_specs):
        flat = _broadcast_to_and_flatten(child, spec, is_leaf)
        if flat is None:
            return None
        result += flat
    return result


def _to_json(spec):
    if spec.is_leaf():
        return {"type": None, "context": None, "children_spec": []}
    node = SUPPORTED_NODES.get(spec.type)
    if node is None:
        raise NotImplementedError(f"Serializing {spec.type} in pytree is not registered.")
    if spec.type is namedtuple:
        raise NotImplementedError(
            f"Can't serialize TreeSpec of namedtuple class {spec.context} because we didn't register a serialized_type_name. "
            "Please register using `_register_namedtuple`."
        )
    if node.name is None:
        raise NotImplementedError(
            f"No registered serialization name for {spec.type} found. Please update your _register_pytree_node call with a `serialized_type_name` kwarg."
        )
    if node.to_json is not None:
        context = node.to_json(spec.context)
    else:
        try:
            context = json.dumps(spec.context)
        except TypeError as error:
            raise TypeError(
                "Unable to serialize context. Please make the context json dump-able, or register a custom serializer using _register_pytree_node."
            ) from error
    return {"type": node.name, "context": context, "children_spec": [_to_json(c) for c in spec.children_specs]}


def _of_json(j):
    if j["type"] is None:
        return _LEAF
    node = _by_name.get(j["type"])
    if node is None:
        raise NotImplementedError(f"Deserializing {j['type']} in pytree is not registered.")
    context = node.from_json(j["context"]) if node.from_json is not None else json.loads(j["context"])
    return TreeSpec(node.type, context, [_of_json(c) for c in j["children_spec"]])


def treespec_dumps(treespec, protocol=None):
    """A TreeSpec as JSON."""
    if not isinstance(treespec, TreeSpec):
        raise TypeError(f"Expected `treespec` to be an instance of PyTreeSpec but got item of type {type(treespec)}.")
    if protocol not in (None, 1):
        raise ValueError(f"Unknown protocol {protocol}. Available protocols: [1]")
    return json.dumps((1, _to_json(treespec)))


def treespec_loads(serialized):
    """A TreeSpec of JSON."""
    protocol, j = json.loads(serialized)
    if protocol != 1:
        raise ValueError(f"Unknown protocol {protocol}. Available protocols: [1]")
    return _of_json(j)


class _Star:
    def __repr__(self):
        return "*"


def treespec_pprint(treespec):
    """A TreeSpec as the tree's text, `*` for a leaf."""
    return repr(tree_unflatten([_Star() for _ in range(treespec.num_leaves)], treespec))
