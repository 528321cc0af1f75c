"""Graphs of CUDA: work recorded once and queued again as a whole, under PyTorch's names (`torch.cuda.CUDAGraph`,
`torch.cuda.graph`, `torch.cuda.make_graphed_callables`)."""

from ctypes import c_float

from .. import _c, _dtype
from .._c import fail

_begin = _c.proto("graph_begin")
_end = _c.proto("graph_end")
_replay = _c.proto("graph_replay")
_set_lr = _c.proto("graph_set_lr")
_set_step = _c.proto("graph_set_step")
_free = _c.proto("graph_free", library=_c.quick)
_capturing = None  # the graph that is being recorded


class CUDAGraph:
    """Recorded work. Tensors made while recording hold nothing before the first `replay`; the graph keeps the memory
    that it works on: write new inputs into the tensors that were used, replay, read the results."""

    def __init__(self, keep_graph=False):
        self._h = None
        self._device = None
        self._steps = []  # of the recorded optimizer calls: group, counts (None for SGD), the address of the first count

    def capture_begin(self, pool=None, capture_error_mode="global"):
        """From here to capture_end this thread's work on the current device is recorded, not done."""
        global _capturing
        if self._h is not None:
            raise RuntimeError(
                "This CUDAGraph instance already owns a captured graph. To capture a new graph, reset it"
            )
        device = _dtype.device("cuda", _dtype.current.get("cuda", 0))
        e = _begin(_c.device_c(device))
        if e:
            fail(e)
        self._device = device
        self._steps = []
        _capturing = self

    def capture_end(self):
        """Ends the recording."""
        global _capturing
        if self._device is None:
            raise RuntimeError("capture_end: capture_begin was not called")
        device, self._device = self._device, None
        if _capturing is self:
            _capturing = None
        o, p = _c.tls.o
        e = _end(_c.device_c(device), p)
        if e:
            fail(e)
        self._h = o.value

    def replay(self):
        """Queues the recorded work again, with fresh random draws and the optimizers' next step: SGD, Adam and AdamW
        count it, and use the learning rate that their groups have now."""
        h = self._h
        if h is None:
            raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
        for call, (group, _, first) in enumerate(self._steps):
            e = _set_step(h, call, group["lr"], 1 if first is None else int(first.value) + 1)
            if e:
                fail(e)
        e = _replay(h)
        if e:
            fail(e)
        for _, counts, _ in self._steps:
            if counts is not None:
                counts.add_(1)

    def _record_step(self, optimizer, group, params, states=None):
        """Called by an optimizer for each fused call that is recorded; states are those of its parameters."""
        if not any(p.numel() for p in params):
            return
        counts = first = None
        if states is not None:
            counts = _packed(optimizer, states)
            first = c_float.from_address(counts.data_ptr())
        self._steps.append((group, counts, first))

    def set_lr(self, lr):
        """Sets the learning rate of the recorded optimizer steps, that of SGD, Adam and AdamW in their groups too.
        (Setting `group["lr"]`, as schedulers do, is enough; PyTorch's way, a tensor as `lr`, is not needed.)"""
        if self._h is None:
            raise RuntimeError("set_lr: nothing is recorded")
        for group, _, _ in self._steps:
            group["lr"] = lr
        e = _set_lr(self._h, lr)
        if e:
            fail(e)

    def reset(self):
        """Frees what was recorded."""
        h, self._h = self._h, None
        self._steps = []
        if h is not None:
            _free(h)

    def pool(self):
        """Accepted for `pool=`: each graph keeps memory of its own."""
        return (0, id(self))

    def __del__(self):
        try:
            self.reset()
        except (AttributeError, TypeError):  # the interpreter ends
            pass


def _packed(optimizer, states):
    """The step counts of these states as one CPU tensor, which a replay counts up at once; `step` becomes a view of it."""
    packs = optimizer.__dict__.setdefault("_step_packs", {})
    key = tuple(id(s["step"]) for s in states)
    counts = packs.get(key)
    if counts is None:
        from .. import full

        counts = full((len(states),), float(states[0]["step"]), device="cpu", dtype=_dtype.float32)
        for s, count in zip(states, counts.unbind()):
            if not isinstance(s["step"], int):
                s["step"].data = count
            else:
                s["step"] = count
        packs[tuple(id(s["step"]) for s in states)] = counts
    return counts


def recording():
    """The graph that is being recorded, or None."""
    return _capturing


def is_current_stream_capturing():
    """Whether a graph is being recorded."""
    return _capturing is not None


def graph_pool_handle():
    """Accepted for `pool=`: each graph keeps memory of its own."""
    return (0, 0)


class graph:
    """Records the block into a CUDAGraph: `with taper.cuda.graph(g): y = model(x)`, then `g.replay()`."""

    def __init__(self, cuda_graph, pool=None, stream=None, capture_error_mode="global"):
        self.cuda_graph, self.pool = cuda_graph, pool
        self.stream = stream

    def __enter__(self):
        # What waits to be freed would otherwise be freed while recording.
        import gc

        from . import synchronize

        synchronize()
        gc.collect()
        self.cuda_graph.capture_begin(self.pool)

    def __exit__(self, kind, value, traceback):
        try:
            self.cuda_graph.capture_end()
        except Exception:
            if kind is None:  # else the block's own error says more
                raise
        if kind is not None:
            self.cuda_graph.reset()


def make_graphed_callables(callables, sample_args, num_warmup_iters=3, allow_unused_input=False, pool=None):
    """Functions or modules whose forward and backward are graphs, for arguments of the samples' shapes.

    `callables` is one or a tuple, `sample_args` a tuple of tensors for each. A module is changed: its forward becomes
    the graphed one while it is in the mode (training or evaluation) that it was recorded in.
    """
    if not isinstance(callables, tuple):
        return _graphed(callables, tuple(sample_args), num_warmup_iters, allow_unused_input)
    return tuple(
        _graphed(f, tuple(args), num_warmup_iters, allow_unused_input) for f, args in zip(callables, sample_args)
    )


def _graphed(function, args, warmups, allow_unused):
    from .. import Tensor, autograd, empty_like, no_grad, ones_like
    from ..nn import Module
    from . import synchronize

    is_module = isinstance(function, Module)
    if is_module and any(True for _ in function.buffers() if _.requires_grad):
        raise RuntimeError("make_graphed_callables: buffers that require grad are not supported")
    for i, a in enumerate(args):
        if not isinstance(a, Tensor):
            raise TypeError(f"make_graphed_callables: sample argument {i} must be a Tensor, not {type(a).__name__}")
    forward = function.forward if is_module else function
    parameters = tuple(function.parameters()) if is_module else ()
    inputs = args + parameters
    wanted = [x for x in inputs if x.requires_grad]

    def as_tuple(out):
        return (out,) if isinstance(out, Tensor) else tuple(out)

    def gradients(outputs, grads):
        of = [o for o in outputs if o.requires_grad]
        return autograd.grad(of, wanted, grads, allow_unused=allow_unused) if of and wanted else ()

    for _ in range(warmups):
        outputs = as_tuple(function(*args))
        gradients(outputs, [ones_like(o) for o in outputs if o.requires_grad])
    synchronize()
    there, back = CUDAGraph(), CUDAGraph()
    with graph(there):
        made = function(*args)
        outputs = as_tuple(made)
    single, kind = isinstance(made, Tensor), type(made)
    grad_outputs = [empty_like(o) if o.requires_grad else None for o in outputs]
    with graph(back):
        found = iter(gradients(outputs, [g for g in grad_outputs if g is not None]))
        grad_inputs = [next(found, None) if x.requires_grad else None for x in inputs]
    outputs = tuple(o.detach() for o in outputs)

    class Graphed(autograd.Function):
        @staticmethod
        def forward(ctx, *given):
            with no_grad():
                for static, x in zip(args, given):
                    if static is not x:
                        static.copy_(x)
            there.replay()
            return tuple(o.detach() for o in outputs)

        @staticmethod
        def backward(ctx, *grads):
            for static, g in zip(grad_outputs, grads):
                if static is not None:
                    static.copy_(g)
            back.replay()
            return tuple(None if g is None else g.detach() for g in grad_inputs)

    def run(*given):
        if len(given) != len(args):
            raise RuntimeError(f"the graphed callable takes {len(args)} tensors, got {len(given)}")
        out = Graphed.apply(*given, *parameters)
        out = as_tuple(out)
        return out[0] if single else kind(out)

    if not is_module:
        return run
    mode = function.training

    def module_forward(*given):
        return run(*given) if function.training == mode else forward(*given)

    function.forward = module_forward
    return function
