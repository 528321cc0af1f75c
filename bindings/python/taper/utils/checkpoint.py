"""Checkpointing: intermediate results are computed anew in backward instead of kept."""

from .. import _random
from .._grad_mode import enable_grad
from .._tensor import Tensor
from ..autograd import backward as run_backward
from ..autograd.function import Function


class CheckpointFunction(Function):
    """Runs a function without a graph; backward runs it again with one."""

    @staticmethod
    def forward(ctx, function, preserve, *args):
        ctx.function = function
        ctx.state = _random.get_rng_state() if preserve else None
        ctx.places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        ctx.others = [None if isinstance(a, Tensor) else a for a in args]
        ctx.save_for_backward(*[args[i] for i in ctx.places])
        return function(*args)

    @staticmethod
    def backward(ctx, *grads):
        args = list(ctx.others)
        for i, t in zip(ctx.places, ctx.saved_tensors):
            args[i] = t.detach().requires_grad_(t.requires_grad)
        fork = _random.fork_rng(enabled=ctx.state is not None)
        with enable_grad(), fork:
            if ctx.state is not None:
                _random.set_rng_state(ctx.state)
            result = ctx.function(*args)
        results = result if isinstance(result, (tuple, list)) else (result,)
        pairs = [(r, g) for r, g in zip(results, grads) if isinstance(r, Tensor) and r.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        run_backward([r for r, _ in pairs], [g for _, g in pairs])
        return (None, None, *[a.grad if isinstance(a, Tensor) else None for a in args])


def checkpoint(function, *args, use_reentrant=True, preserve_rng_state=True, **kwargs):
    """Calls function(*args) without keeping its intermediate results; backward computes them anew."""
    for name in ("context_fn", "determinism_check", "debug", "early_stop"):
        kwargs.pop(name, None)
    run = function if not kwargs else (lambda *a: function(*a, **kwargs))
    if not any(isinstance(a, Tensor) and a.requires_grad for a in args):
        # Nothing to record through the arguments: parameters inside still want their gradients.
        return run(*args)
    return CheckpointFunction.apply(run, preserve_rng_state, *args)


def checkpoint_sequential(functions, segments, input, use_reentrant=True, **kwargs):
    """Checkpoints a sequence of modules in segments; the last one is kept."""
    functions = list(functions.children()) if hasattr(functions, "children") else list(functions)

    def run(start, end):
        def segment(x):
            for f in functions[start:end]:
                x = f(x)
            return x

        return segment

    size = len(functions) // segments
    end = 0
    for start in range(0, size * (segments - 1), size):
        end = start + size
        input = checkpoint(run(start, end), input, **kwargs)
    return run(end, len(functions))(input)
