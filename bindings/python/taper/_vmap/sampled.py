"""`autograd.grad` called by a function that runs under vmap."""

from .. import _ops as g
from ..autograd import _plain_grad
from .core import BatchedTensor, base_of, wrapped_like


def grad(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused, is_grads_batched, materialize_grads):
    """Gradients for every sample: by one pass where outputs and inputs have each sample's own values, else, where only the
    vectors differ, by a pass for each sample."""
    seeds = [None] * len(outputs) if grad_outputs is None else grad_outputs
    seeds = [seeds] if not isinstance(seeds, (list, tuple)) else list(seeds)
    more = {"allow_unused": allow_unused, "materialize_grads": materialize_grads}
    if is_grads_batched:
        n = next(s for s in seeds if s is not None).shape[0]
        rows = [
            grad(
                outputs,
                inputs,
                [None if s is None else s[i] for s in seeds],
                retain_graph or i + 1 < n,
                create_graph,
                allow_unused,
                False,
                materialize_grads,
            )
            for i in range(n)
        ]
        return tuple([None if column[0] is None else g.stack(list(column)) for column in zip(*rows)])
    bases = [base_of(t) for t in (*outputs, *inputs)]
    have = max([levels for _, levels in bases], key=len)
    extra = [s for s in seeds if isinstance(s, BatchedTensor) and s._level not in have]
    if extra:
        level = max([s._level for s in extra], key=lambda l: l.number)
        rows = []
        for i in range(level.size):
            vectors = [
                s._value.select(0, i) if isinstance(s, BatchedTensor) and s._level is level else s for s in seeds
            ]
            keep = retain_graph or create_graph or i + 1 < level.size
            rows.append(_again(outputs, inputs, vectors, keep, create_graph, more))
        return tuple([None if c[0] is None else BatchedTensor(g.stack(list(c)), level) for c in zip(*rows)])
    vectors = []
    for (o, levels), s in zip(bases, seeds):
        if s is None:
            if o.dim() != len(levels):
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            vectors.append(g.ones_like(o))
            continue
        v, of = base_of(s)
        if len(of) < len(levels):
            shape = tuple(v.shape[len(of) :])
            for i, level in enumerate(levels):
                if level not in of:
                    v = v.unsqueeze(i)
            v = v.expand((*[level.size for level in levels], *shape))
        vectors.append(v)
    n = len(outputs)
    found = _plain_grad(
        [b for b, _ in bases[:n]],
        [b for b, _ in bases[n:]],
        vectors,
        retain_graph,
        create_graph,
        **more,
    )
    return tuple([None if f is None else wrapped_like(f, levels) for f, (_, levels) in zip(found, bases[n:])])


def _again(outputs, inputs, vectors, retain_graph, create_graph, more):
    from ..autograd import grad as any_grad

    return any_grad(outputs, inputs, vectors, retain_graph, create_graph, **more)
