"""Handles of hooks, and module hooks that see gradients."""

from ..._tensor import Tensor


class RemovableHandle:
    """What a register function returns: `remove()` takes the hook away; also a context manager."""

    next_id = 0

    def __init__(self, hooks):
        self.hooks = hooks
        self.id = RemovableHandle.next_id
        RemovableHandle.next_id += 1

    @classmethod
    def add(cls, hooks, hook, prepend=False):
        """Puts a hook into a dict of hooks."""
        handle = cls(hooks)
        if prepend:
            others = dict(hooks)
            hooks.clear()
            hooks[handle.id] = hook
            hooks.update(others)
        else:
            hooks[handle.id] = hook
        return handle

    def remove(self):
        """Takes the hook away; again is fine."""
        self.hooks.pop(self.id, None)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.remove()


def _replaced(what, of, old, new):
    """The gradients that a hook returned, which must be like those that they replace."""
    new = new if isinstance(new, tuple) else (new,)
    if len(new) != len(old):
        raise RuntimeError(f"{what} returned an invalid number of {of}, got {len(new)}, but expected {len(old)}")
    for a, b in zip(old, new):
        if a is None and b is not None:
            raise RuntimeError("can't replace a None gradient with a non-None value")
        if b is None:
            continue
        if not isinstance(b, Tensor):
            raise TypeError(f"expected Variable, but hook returned {type(b).__name__!r}")
        if a.dtype != b.dtype or a.device != b.device:
            raise RuntimeError(
                f"hook 'hook' has changed the type of value (was {a.type()} on {a.device} got {b.type()} on {b.device})"
            )
        if a.shape != b.shape:
            raise RuntimeError(f"hook 'hook' has changed the size of value (was {list(a.shape)} got {list(b.shape)})")
    return new


class BackwardWatch:
    """Calls a module's backward hooks: an identity function before and one behind the module see the gradients."""

    def __init__(self, module):
        self.module = module
        self.hooks = list(module._backward_hooks.values())
        self.pre_hooks = list(module._backward_pre_hooks.values())
        self.grad_outputs = None
        self.watched_inputs = False
        self.n_inputs = 0

    def inputs(self, args):
        self.n_inputs = len(args)
        places = [i for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad]
        if not places or not self.hooks:
            return args
        from ...autograd.function import Function

        watch = self
        count = len(args)

        class BackwardHookFunction(Function):
            @staticmethod
            def forward(ctx, *tensors):
                return tuple(t.view_as(t) for t in tensors)

            @staticmethod
            def backward(ctx, *grads):
                full = [None] * count
                for i, g in zip(places, grads):
                    full[i] = g
                return tuple(watch.call(tuple(full))[i] for i in places)

        self.watched_inputs = True
        results = BackwardHookFunction.apply(*[args[i] for i in places])
        args = list(args)
        for i, r in zip(places, results):
            args[i] = r
        return tuple(args)

    def outputs(self, result):
        single = isinstance(result, Tensor)
        tensors = (result,) if single else result if isinstance(result, (tuple, list)) else None
        if tensors is None:
            return result
        places = [i for i, t in enumerate(tensors) if isinstance(t, Tensor) and t.requires_grad]
        if not places:
            return result
        from ...autograd.function import Function

        watch = self
        count = len(tensors)

        class BackwardHookFunctionBackward(Function):
            @staticmethod
            def forward(ctx, *ts):
                return tuple(t.view_as(t) for t in ts)

            @staticmethod
            def backward(ctx, *grads):
                full = [None] * count
                for i, g in zip(places, grads):
                    full[i] = g
                full = tuple(full)
                for hook in watch.pre_hooks:
                    r = hook(watch.module, full)
                    if r is not None:
                        full = _replaced("Backward pre hook", "grad_output", full, r)
                watch.grad_outputs = full
                if not watch.watched_inputs:
                    # No argument of the module has a gradient; the hooks see a None for each.
                    watch.call((None,) * watch.n_inputs)
                return tuple(full[i] for i in places)

        results = BackwardHookFunctionBackward.apply(*[tensors[i] for i in places])
        if single:
            return results[0]
        tensors = list(tensors)
        for i, r in zip(places, results):
            tensors[i] = r
        return type(result)(tensors)

    def call(self, grad_inputs):
        for hook in self.hooks:
            r = hook(self.module, grad_inputs, self.grad_outputs)
            if r is not None:
                grad_inputs = _replaced("Backward hook", "grad_input", grad_inputs, r)
        return grad_inputs


def say_where(module, error):
    """Adds a note to an error on its way out of a tree of modules: which one failed (Python 3.11 and later)."""
    if not hasattr(error, "add_note") or isinstance(error, RecursionError):
        return
    place = error.__dict__.get("_taper_place")
    if place is None:
        try:
            extra = module.extra_repr()
        except Exception:
            extra = "..."
        error._taper_place = (id(module), "", f"{module._get_name()}({extra})")
        return
    outer, path, what = place
    way = next((name for name, m in module._modules.items() if id(m) == outer), None)
    if way is None:
        # A forward may also call a module further down.
        way = next((name for name, m in module.named_modules() if id(m) == outer), None)
    if not way:
        return
    if path:
        note = f"in {path} ({what})"
        error.__notes__[:] = [n for n in error.__notes__ if n != note]
        path = f"{way}.{path}"
    else:
        path = way
    error._taper_place = (id(module), path, what)
    error.add_note(f"in {path} ({what})")
