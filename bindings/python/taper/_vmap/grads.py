"""Gradients of functions of tensors, which may run inside others and inside vmap.

A function is run on variables of its own; the graph of its result then gives products of vectors with the Jacobian, and the
derivative of such a product by its vector is the product from the other side. Inside vmap the variables have values for every
sample, so that one backward pass gives each sample's gradients.
"""

from _thread import _local

from .. import _ops as g
from .._grad_mode import enable_grad
from .._tensor import Tensor
from ..autograd import _plain_grad
from . import tree
from .core import BatchedTensor, active, base_of, lifted, wrapped_like


class _Depth(_local):
    value = 0
    leaves = None  # the graph's ends of all variables since the outermost run began


_depth = _Depth()


class Run:
    """One run of a function on variables that stand for some of its arguments."""

    def __init__(self, tensors):
        bases = [lifted(t) for t in tensors]
        # Arguments with a history keep it, so that the result can be differentiated by what made them.
        self.nested = any(b.requires_grad for b, _ in bases)
        self.depth = _depth.value
        self.bases = [b.view_as(b) if b.requires_grad else b.detach().requires_grad_() for b, _ in bases]
        self.levels = list(active())
        self.variables = [wrapped_like(b, self.levels) for b in self.bases]
        if not self.depth:
            _depth.leaves = set()
        for b in self.bases:
            if b.is_leaf:
                _depth.leaves.add(b.view_as(b).grad_fn.next_functions[0][0])
        self.own = _depth.leaves

    def __enter__(self):
        self.mode = enable_grad()
        self.mode.__enter__()
        _depth.value += 1
        return self

    def __exit__(self, *exc):
        _depth.value -= 1
        self.mode.__exit__(*exc)

    def keeps(self, outputs):
        """Whether results are to have a history: when others run around this, or something beyond the variables has one."""
        if self.nested or self.depth:
            return True
        return any(_reaches_others(base_of(o)[0], self.own) for o in outputs)

    def _extra(self, vectors):
        """The innermost vmap that runs over the vectors alone."""
        found = [level for v in vectors for level in base_of(v)[1] if level not in self.levels]
        return max(found, key=lambda level: level.number) if found else None

    @staticmethod
    def _each(f, vectors, level):
        """f for each sample of vectors."""
        rows = []
        for i in range(level.size):
            rows.append(
                f([v._value.select(0, i) if isinstance(v, BatchedTensor) and v._level is level else v for v in vectors])
            )
        return [BatchedTensor(g.stack(list(column)), level) for column in zip(*rows)]

    def products(self, outputs, vectors, create_graph):
        """The sums of outputs times vectors, differentiated by the variables; zeros where nothing depends on one."""
        extra = self._extra(vectors)
        if extra is not None:
            return self._each(lambda vs: self.products(outputs, vs, create_graph), vectors, extra)
        pairs = []
        for o, v in zip(outputs, vectors):
            base, levels = base_of(o)
            if base.requires_grad:
                v, have = base_of(v)
                if [x for x in levels if x not in have]:
                    shape = tuple(v.shape[len(have) :])
                    for i, level in enumerate(levels):
                        if level not in have:
                            v = v.unsqueeze(i)
                    v = v.expand((*[x.size for x in levels], *shape))
                pairs.append((base, v.to(base.dtype) if v.dtype is not base.dtype else v))
        if not pairs:
            found = [None] * len(self.bases)
        else:
            found = _plain_grad(
                [b for b, _ in pairs],
                self.bases,
                [v for _, v in pairs],
                retain_graph=True,
                create_graph=create_graph,
                allow_unused=True,
            )
        found = [g.zeros_like(b) if f is None else f for f, b in zip(found, self.bases)]
        return [wrapped_like(f, self.levels) for f in found]

    def along(self, outputs, tangents, create_graph):
        """The derivatives of the outputs when the variables move along tangents."""
        extra = self._extra(tangents)
        if extra is not None:
            return self._each(lambda ts: self.along(outputs, ts, create_graph), tangents, extra)
        outs = [base_of(o) for o in outputs]
        used = [(b, levels) for b, levels in outs if b.requires_grad]
        if used:
            seeds = [g.zeros_like(b).requires_grad_() for b, _ in used]
            with enable_grad():
                back = _plain_grad(
                    [b for b, _ in used], self.bases, seeds, retain_graph=True, create_graph=True, allow_unused=True
                )
                pairs = [
                    (f, _as_base(t, self.levels, f))
                    for f, t in zip(back, tangents)
                    if f is not None and f.requires_grad
                ]
                found = (
                    _plain_grad(
                        [f for f, _ in pairs],
                        seeds,
                        [t for _, t in pairs],
                        retain_graph=True,
                        create_graph=create_graph,
                        allow_unused=True,
                    )
                    if pairs
                    else [None] * len(seeds)
                )
            rest = iter(found)
        made = []
        for b, levels in outs:
            d = next(rest) if b.requires_grad else None
            made.append(wrapped_like(g.zeros_like(b) if d is None else d, levels))
        return made


def _as_base(t, levels, like):
    base, have = base_of(t)
    missing = [x for x in levels if x not in have]
    if missing:
        shape = tuple(base.shape[len(have) :])
        for i, level in enumerate(levels):
            if level not in have:
                base = base.unsqueeze(i)
        base = base.expand((*[x.size for x in levels], *shape))
    return base if base.dtype is like.dtype else base.to(like.dtype)


def _reaches_others(t, own):
    """Whether the graph of a tensor ends in leaves other than these."""
    if not t.requires_grad:
        return False
    first = t.grad_fn
    if first is None:
        return t.view_as(t).grad_fn.next_functions[0][0] not in own
    seen, waiting = {first}, [first]
    while waiting:
        node = waiting.pop()
        if type(node).__name__ == "AccumulateGrad":
            if node not in own:
                return True
            continue
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)
    return False


def detached(value):
    """Tensors of a tree without history."""
    return tree.map_(lambda v: v.detach() if isinstance(v, Tensor) else v, value)
