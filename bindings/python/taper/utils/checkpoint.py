"""Checkpointing: intermediate results are computed anew in backward instead of kept."""

import contextlib
import enum
import warnings
import weakref
from _thread import _local

from .. import _random
from .._grad_mode import enable_grad
from .._tensor import Tensor
from ..autograd import _valid_for_checkpoints
from ..autograd import backward as run_backward
from ..autograd.function import Function

__all__ = [
    "checkpoint",
    "checkpoint_sequential",
    "CheckpointError",
    "CheckpointFunction",
    "check_backward_validity",
    "detach_variable",
    "get_device_states",
    "set_device_states",
    "noop_context_fn",
    "set_checkpoint_early_stop",
    "DefaultDeviceType",
    "set_checkpoint_debug_enabled",
    "CheckpointPolicy",
]


class CheckpointError(RuntimeError):
    """What was computed anew is not what was computed before."""


class CheckpointPolicy(enum.Enum):
    """Names for what a checkpoint keeps of an op."""

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3


class DefaultDeviceType:
    """The device whose generators checkpoints restore where no argument says one."""

    _default_device_type = "cuda"

    @staticmethod
    def set_device_type(device="cuda"):
        DefaultDeviceType._default_device_type = device

    @staticmethod
    def get_device_type():
        return DefaultDeviceType._default_device_type


class _Settings(_local):
    early_stop = None
    debug = None


_settings = _Settings()


@contextlib.contextmanager
def set_checkpoint_early_stop(enable):
    """Inside, whether computing anew ends with the last tensor that is needed, whatever checkpoints are told."""
    before, _settings.early_stop = _settings.early_stop, enable
    try:
        yield
    finally:
        _settings.early_stop = before


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled):
    """Inside, whether errors of checkpoints say more, whatever checkpoints are told."""
    before, _settings.debug = _settings.debug, enabled
    try:
        yield
    finally:
        _settings.debug = before


def noop_context_fn():
    """Two contexts, for computing and for computing anew, that do nothing."""
    return contextlib.nullcontext(), contextlib.nullcontext()


def detach_variable(inputs):
    """The tensors of a tuple outside the graph, wanting gradients as before."""
    if not isinstance(inputs, tuple):
        raise RuntimeError("Only tuple of tensors is supported. Got Unsupported input type: ", type(inputs).__name__)
    return tuple([t.detach().requires_grad_(t.requires_grad) if isinstance(t, Tensor) else t for t in inputs])


def check_backward_validity(inputs):
    """Warns where no input wants a gradient."""
    if not any(isinstance(t, Tensor) and t.requires_grad for t in inputs):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)


def get_device_states(*args):
    """The devices of tensors beside the CPU, and their generators' states: all devices draw from one generator here."""
    return [], []


def set_device_states(devices, states, *, device_type=None):
    """Restores what get_device_states returned."""


def _casts():
    from ..amp import autocast_mode as amp

    return [(kind, amp.is_autocast_enabled(kind), amp.get_autocast_dtype(kind)) for kind in ("cpu", "cuda", "opencl")]


class _Surroundings:
    """What a function's results depend on besides its arguments: the generator and the automatic casts."""

    def __init__(self, preserve):
        from ..amp import autocast_mode as amp

        self.state = _random.get_rng_state() if preserve else None
        self.casts = _casts()
        self.cache = amp.is_autocast_cache_enabled()

    @contextlib.contextmanager
    def again(self):
        """As it was, for a block."""
        from ..amp import autocast

        with contextlib.ExitStack() as stack:
            if self.state is not None:
                stack.enter_context(_random.fork_rng())
                _random.set_rng_state(self.state)
            for before, now in zip(self.casts, _casts()):
                if before != now:
                    kind, enabled, dtype = before
                    stack.enter_context(autocast(kind, dtype=dtype, enabled=enabled, cache_enabled=self.cache))
            yield


# --- reentrant: backward inside of backward --------------------------------------------------------------------------


class CheckpointFunction(Function):
    """Runs a function without a graph; backward runs it again with one."""

    @staticmethod
    def forward(ctx, function, preserve, *args):
        check_backward_validity(args)
        ctx.function = function
        ctx.around = _Surroundings(preserve)
        ctx.places = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        ctx.others = [None if isinstance(a, Tensor) else a for a in args]
        ctx.save_for_backward(*[args[i] for i in ctx.places])
        return function(*args)

    @staticmethod
    def backward(ctx, *grads):
        if not _valid_for_checkpoints():
            raise RuntimeError(
                "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an `inputs` parameter "
                "to .backward(). To resolve this error, you can either set use_reentrant=False, or call .backward() without "
                "passing the `inputs` argument."
            )
        args = list(ctx.others)
        for i, t in zip(ctx.places, ctx.saved_tensors):
            args[i] = t.detach().requires_grad_(t.requires_grad)
        with enable_grad(), ctx.around.again():
            result = ctx.function(*args)
        results = result if isinstance(result, (tuple, list)) else (result,)
        pairs = [(r, g) for r, g in zip(results, grads) if isinstance(r, Tensor) and r.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        run_backward([r for r, _ in pairs], [g for _, g in pairs])
        return (None, None, *[a.grad if isinstance(a, Tensor) else None for a in args])


# --- not reentrant: by what ops save ----------------------------------------------------------------------------------


class _Stop(Exception):
    """Everything that is needed has been computed."""


class _Holder:
    """Stands for a tensor that an op saved."""

    __slots__ = ("index", "frame", "__weakref__")

    def __init__(self, index, frame):
        self.index, self.frame = index, frame


def _described(t):
    return {"shape": t.shape, "dtype": t.dtype, "device": t.device}


class _Frame:
    """One checkpointed call: how it is done again, and what that gave."""

    def __init__(self, run, around, early_stop, check, context):
        self.run, self.around, self.early_stop, self.check, self.context = run, around, early_stop, check, context
        self.saved = []  # what each saved tensor was like
        self.alive = {}  # the holders that a graph still has
        self.again = {}  # the tensors computed anew

    def pack(self, t):
        index = len(self.saved)
        self.saved.append(_described(t))
        holder = _Holder(index, self)
        again = self.again
        self.alive[index] = weakref.ref(holder, lambda _: again.pop(index, None))
        return holder

    @staticmethod
    def unpack(holder):
        frame = holder.frame
        if holder.index not in frame.again:
            frame.recompute()
        return frame.again[holder.index]

    def recompute(self):
        from ..autograd._saved import saved_tensors_hooks

        found, expected = [], len(self.saved)

        def pack(t):
            if len(found) == expected:
                raise CheckpointError(
                    "torch.utils.checkpoint: trying to save more tensors during recomputation than during the original forward "
                    f"pass.\n{_TIP}"
                )
            found.append(_described(t))
            index = len(found) - 1
            if self.alive[index]() is not None:
                self.again[index] = t.detach()
            if self.early_stop and len(found) == expected:
                raise _Stop
            return t.detach()

        with self.around.again(), self.context, enable_grad(), saved_tensors_hooks(pack, lambda t: t):
            try:
                self.run()
            except _Stop:
                pass
        if len(found) != expected:
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the original forward and "
                f"recomputation.\nNumber of tensors saved during forward: {expected}\nNumber of tensors saved during "
                f"recomputation: {len(found)}.\n{_TIP}"
            )
        if self.check:
            wrong = [
                f"tensor at position {i}:\nsaved metadata: {a}\nrecomputed metadata: {b}\n"
                for i, (a, b) in enumerate(zip(self.saved, found))
                if a != b
            ]
            if wrong:
                raise CheckpointError(
                    "torch.utils.checkpoint: Recomputed values for the following tensors have different metadata than during "
                    f"the forward pass.\n{''.join(wrong)}.\n{_TIP}"
                )


_TIP = "\nTip: a checkpointed function has to do the same whenever it is called with the same arguments.\n"


def _checkpoint_without_reentrant(function, preserve, context_fn, determinism_check, early_stop, args, kwargs):
    from ..autograd._saved import saved_tensors_hooks

    if determinism_check not in ("default", "none"):
        raise ValueError(f"determinism_check should be one of ['default', 'none'], but got {determinism_check}")
    forward, recompute = context_fn()
    if _settings.early_stop is not None:
        early_stop = _settings.early_stop
    frame = _Frame(
        lambda: function(*args, **kwargs),
        _Surroundings(preserve),
        early_stop,
        determinism_check == "default",
        recompute,
    )
    with saved_tensors_hooks(frame.pack, frame.unpack), forward:
        return function(*args, **kwargs)


def checkpoint(
    function,
    *args,
    use_reentrant=None,
    context_fn=noop_context_fn,
    determinism_check="default",
    debug=False,
    early_stop=True,
    **kwargs,
):
    """Calls function(*args) without keeping its intermediate results; backward computes them anew, from the generator's
    state that it had (unless preserve_rng_state=False)."""
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. In a future release, calling "
            "checkpoint without use_reentrant will raise an exception. use_reentrant=False is recommended, but if you need to "
            "preserve the current default behavior, you can pass use_reentrant=True. Refer to docs for more details on the "
            "differences between the two variants.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if not use_reentrant:
        return _checkpoint_without_reentrant(
            function, preserve, context_fn, determinism_check, early_stop, args, kwargs
        )
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if context_fn is not noop_context_fn or debug is not False:
        raise ValueError(
            "Passing `context_fn`, `debug`, or `respect_saved_tensors_hooks` is only supported when use_reentrant=False."
        )
    return CheckpointFunction.apply(function, preserve, *args)


def checkpoint_sequential(functions, segments, input, use_reentrant=None, **kwargs):
    """Checkpoints a sequence of modules in segments; the last one is kept."""
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be passed explicitly. In a future "
            "release, we will raise an exception if use_reentrant is not passed. use_reentrant=False is recommended, but if you "
            "need to preserve the current default behavior, you can pass use_reentrant=True. Refer to docs for more details on "
            "the differences between the two variants.",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
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
        input = checkpoint(run(start, end), input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return run(end, len(functions))(input)
