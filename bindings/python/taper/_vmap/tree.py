"""Nested tuples, lists and dicts of values: the shapes that arguments and results come in."""

from collections import OrderedDict, defaultdict


def flatten(tree):
    """The leaves, and what `unflatten` makes the tree of again. None is a leaf."""
    if isinstance(tree, (tuple, list)):
        parts = [flatten(v) for v in tree]
        return [x for leaves, _ in parts for x in leaves], (type(tree), None, [spec for _, spec in parts])
    if isinstance(tree, dict):
        keys = list(tree)
        parts = [flatten(tree[k]) for k in keys]
        return [x for leaves, _ in parts for x in leaves], (tree, keys, [spec for _, spec in parts])
    return [tree], None


def unflatten(leaves, spec):
    """The tree of a spec with these leaves."""
    return _build(iter(leaves), spec)


def _build(leaves, spec):
    if spec is None:
        return next(leaves)
    kind, keys, children = spec
    made = [_build(leaves, s) for s in children]
    if keys is not None:
        if isinstance(kind, defaultdict):
            return defaultdict(kind.default_factory, zip(keys, made))
        cls = OrderedDict if isinstance(kind, OrderedDict) else dict
        return cls(zip(keys, made))
    return kind(*made) if hasattr(kind, "_make") else kind(made)


def count(spec):
    """How many leaves a spec has."""
    return 1 if spec is None else sum([count(s) for s in spec[2]])


def broadcast(tree, spec):
    """The leaves of a tree that may stop early: one leaf stands for all below its place. None where it does not fit."""
    if spec is None:
        return None if isinstance(tree, (tuple, list, dict)) else [tree]
    if not isinstance(tree, (tuple, list, dict)):
        return [tree] * count(spec)
    kind, keys, children = spec
    if keys is not None:
        if not isinstance(tree, dict) or set(tree) != set(keys):
            return None
        parts = [tree[k] for k in keys]
    else:
        # A list of in_dims fits a tuple's place only where the arguments are a list, too.
        if isinstance(tree, dict) or len(tree) != len(children) or isinstance(tree, list) != issubclass(kind, list):
            return None
        parts = list(tree)
    result = []
    for part, child in zip(parts, children):
        leaves = broadcast(part, child)
        if leaves is None:
            return None
        result += leaves
    return result


def shown(spec):
    """A spec's short text."""
    if spec is None:
        return "*"
    kind, keys, children = spec
    inner = [shown(s) for s in children]
    if keys is not None:
        return "{" + ", ".join([f"{k!r}: {s}" for k, s in zip(keys, inner)]) + "}"
    if issubclass(kind, list):
        return "[" + ", ".join(inner) + "]"
    return "(" + ", ".join(inner) + ("," if len(inner) == 1 else "") + ")"


def describe(spec):
    """A spec's text for errors."""
    if spec is None:
        return "*"
    kind, keys, children = spec
    name = "dict" if keys is not None else kind.__name__
    inner = ", ".join([describe(s) for s in children])
    return f"TreeSpec({name}, {keys}, [{inner}])"


def map_(f, tree):
    """f of every leaf."""
    leaves, spec = flatten(tree)
    return unflatten([f(x) for x in leaves], spec)
