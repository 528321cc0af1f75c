"""Replaces parts of a graph that look like a pattern."""

from collections import namedtuple

from ..nn.modules.module import Module
from ._symbolic_trace import symbolic_trace
from .graph import Graph
from .graph_module import GraphModule
from .node import Node, map_arg

__all__ = ["Match", "ReplacedPatterns", "replace_pattern", "replace_pattern_with_filters"]

# anchor: the last node of what was found; nodes_map: nodes of the pattern -> nodes of the graph.
Match = namedtuple("Match", "anchor nodes_map")
ReplacedPatterns = namedtuple("ReplacedPatterns", "anchor nodes_map replacements")


def _graph_of(pattern):
    if isinstance(pattern, GraphModule):
        return pattern.graph
    if isinstance(pattern, Graph):
        return pattern
    return symbolic_trace(pattern).graph


class _Matcher:
    def __init__(self, pattern, module):
        self.nodes = [n for n in pattern.nodes if n.op != "output"]
        self.output = pattern.output_node()
        self.module = module
        returned = self.output.args[0]
        self.anchors = []
        map_arg(returned, self.anchors.append)

    def match(self, node):
        """The nodes of the graph for those of the pattern, where `node` is its last; or None."""
        found = {}
        if not self._same(self.anchors[0], node, found):
            return None
        for anchor in self.anchors[1:]:
            if anchor not in found:
                return None
        inside = {found[p] for p in self.nodes if p.op != "placeholder" and p in found}
        ends = {found[a] for a in self.anchors}
        for n in inside - ends:
            # What is used elsewhere has to stay.
            if any(u not in inside for u in n.users):
                return None
        return found

    def _same(self, p, n, found):
        if p in found:
            return found[p] is n or (not isinstance(n, Node) and found[p] == n)
        if p.op == "placeholder":
            found[p] = n
            return True
        if not isinstance(n, Node) or p.op != n.op or any(v is n for v in found.values() if isinstance(v, Node)):
            return False
        if p.op in ("call_function", "call_method") and p.target != n.target:
            return False
        if p.op in ("get_attr", "call_module") and p.target != n.target and not self._alike(p, n):
            return False
        before = dict(found)
        found[p] = n
        if self._arguments(p.args, n.args, found) and self._arguments(p.kwargs, n.kwargs, found):
            return True
        found.clear()
        found.update(before)
        return False

    def _alike(self, p, n):
        if p.op != "call_module":
            return False
        try:
            a = p.graph.owning_module.get_submodule(p.target)
            b = self.module.get_submodule(n.target)
        except AttributeError:
            return False
        return type(a) is type(b)

    def _arguments(self, p, n, found):
        if isinstance(p, Node):
            return self._same(p, n, found)
        if isinstance(p, (list, tuple)):
            return (
                isinstance(n, (list, tuple))
                and len(p) == len(n)
                and all(self._arguments(a, b, found) for a, b in zip(p, n))
            )
        if isinstance(p, dict):
            return isinstance(n, dict) and set(p) == set(n) and all(self._arguments(p[k], n[k], found) for k in p)
        return not isinstance(n, Node) and type(p) is type(n) and p == n


def replace_pattern(gm, pattern, replacement):
    """Replaces everything in a GraphModule that looks like `pattern` by `replacement`, both functions or modules of the same
    inputs; returns the matches."""
    return [Match(m.anchor, m.nodes_map) for m in replace_pattern_with_filters(gm, pattern, replacement)]


def replace_pattern_with_filters(
    gm, pattern, replacement=None, match_filters=None, ignore_literals=False, replacement_callback=None
):
    """replace_pattern of the matches for which every filter(match, graph, pattern) holds."""
    graph, wanted = gm.graph, _graph_of(pattern)
    matcher = _Matcher(wanted, gm)
    taken, matches = set(), []
    for node in reversed(graph.nodes):
        if node.op in ("placeholder", "output") and matcher.anchors[0].op != node.op:
            continue
        found = matcher.match(node)
        if found is None:
            continue
        inside = {found[p] for p in matcher.nodes if p.op != "placeholder" and p in found}
        if inside & taken:
            continue
        match = Match(node, found)
        if any(not f(match, graph, wanted) for f in match_filters or ()):
            continue
        taken |= inside
        matches.append((match, inside))
    matches.reverse()
    replaced = {}
    results = []
    for match, inside in matches:
        source = replacement_callback(match, graph, wanted) if replacement_callback else replacement
        new = _graph_of(source)
        inputs = [n for n in wanted.nodes if n.op == "placeholder"]
        places = [n for n in new.nodes if n.op == "placeholder"]
        if len(inputs) != len(places):
            raise AssertionError(
                f"The pattern has {len(inputs)} inputs and the replacement {len(places)}: they must have the same"
            )
        mapping = {}
        for p, place in zip(inputs, places):
            value = match.nodes_map.get(p)
            while isinstance(value, Node) and value in replaced:
                value = replaced[value]
            mapping[place] = value
        before = set(graph.nodes)
        order = list(graph.nodes)
        values = [v for v in mapping.values() if isinstance(v, Node)]
        last_input = max((order.index(v) for v in values), default=-1)
        ends = [match.nodes_map[a] for a in matcher.anchors]
        users = [u for end in ends for u in end.users if u not in inside and order.index(u) > last_input]
        # In front of the first that uses it, behind everything that the inputs are.
        at = min(users, key=order.index) if users else graph.output_node()
        with graph.inserting_before(at):
            returned = graph.graph_copy(new, mapping)
        made = [n for n in graph.nodes if n not in before]
        _add_modules(gm, source, made)
        outputs = []
        map_arg(returned, outputs.append)
        for anchor, value in zip(matcher.anchors, outputs):
            old = match.nodes_map[anchor]
            old.replace_all_uses_with(value, delete_user_cb=lambda u, keep=set(made): u not in keep)
            replaced[old] = value
        for node in reversed(order):
            if node in inside and not node.users:
                graph.erase_node(node)
        results.append(ReplacedPatterns(match.anchor, match.nodes_map, made))
    gm.recompile()
    return results


def _add_modules(gm, source, nodes):
    """Gives a GraphModule what the replacement's nodes refer to."""
    if not isinstance(source, Module):
        return
    from .graph_module import _copy_attr

    for node in nodes:
        if node.op in ("get_attr", "call_module"):
            at = gm
            try:
                for part in node.target.split("."):
                    at = getattr(at, part)
            except AttributeError:
                _copy_attr(source, gm, node.target)
