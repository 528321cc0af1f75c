"""Grad modes as context managers and decorators."""

from . import _c


def _driven(inner, clone):
    """Runs a generator or coroutine with the mode in force while its body runs, not while it waits."""
    step, value = inner.send, None
    while True:
        try:
            with clone():
                item = step(value)
        except StopIteration as stop:
            return stop.value
        step, value = inner.send, None
        try:
            value = yield item
        except GeneratorExit:
            with clone():
                inner.close()
            raise
        except BaseException as e:
            step, value = inner.throw, e


class _Awaited:
    """A coroutine's awaitable twin."""

    def __init__(self, coroutine, clone):
        self.parts = coroutine, clone

    def __await__(self):
        return _driven(*self.parts)


class _Mode:
    """A context manager that also decorates functions, generator functions, coroutine functions and classes."""

    def __call__(self, function):
        from functools import partial, update_wrapper

        clone, inner = self.clone, function
        while isinstance(inner, partial):
            inner = inner.func
        flags = getattr(getattr(inner, "__code__", None), "co_flags", 0)
        if flags & 0x20:  # a generator

            def wrapper(*args, **kwargs):
                return (yield from _driven(function(*args, **kwargs), clone))

        elif flags & 0x80:  # a coroutine

            async def wrapper(*args, **kwargs):
                return await _Awaited(function(*args, **kwargs), clone)

        else:

            def wrapper(*args, **kwargs):
                with clone():
                    return function(*args, **kwargs)

        if isinstance(function, type):
            import warnings

            warnings.warn(
                "Decorating classes is deprecated and will be disabled in future versions. You should only decorate functions "
                "or methods. To preserve the current behavior of class decoration, you can directly decorate the `__init__` "
                "method and nothing else.",
                FutureWarning,
                stacklevel=2,
            )
            return wrapper
        return update_wrapper(wrapper, function)

    def clone(self):
        return type(self)()


class no_grad(_Mode):
    """Inside, operations record no graph: ``with taper.no_grad():`` or ``@taper.no_grad()``."""

    def __new__(cls, function=None):
        mode = object.__new__(cls)
        return mode if function is None else mode(function)

    def __init__(self, function=None):
        self.previous = True

    def __enter__(self):
        self.previous = _c.set_grad_mode(False)

    def __exit__(self, *exc):
        _c.set_grad_mode(self.previous)


class enable_grad(no_grad):
    """Inside, operations record a graph even within ``no_grad``."""

    def __enter__(self):
        self.previous = _c.set_grad_mode(True)


class set_grad_enabled(_Mode):
    """Sets the mode at once; as a context manager it restores the previous mode at the end."""

    def __init__(self, mode):
        self.mode = bool(mode)
        self.previous = _c.set_grad_mode(self.mode)

    def __call__(self, function):
        _c.set_grad_mode(self.previous)
        return _Mode.__call__(self, function)

    def clone(self):
        return set_grad_enabled(self.mode)

    def __enter__(self):
        _c.set_grad_mode(self.mode)

    def __exit__(self, *exc):
        _c.set_grad_mode(self.previous)


class inference_mode(_Mode):
    """Like ``no_grad``, for code whose results never enter autograd."""

    def __new__(cls, mode=True):
        instance = object.__new__(cls)
        if isinstance(mode, bool):
            return instance
        instance.__init__()
        return instance(mode)

    def __init__(self, mode=True):
        self.mode = mode if isinstance(mode, bool) else True
        self.previous = []

    def clone(self):
        return inference_mode(self.mode)

    def __enter__(self):
        grad = _c.grad_mode_enabled()
        self.previous.append((_c.set_inference_mode(self.mode), grad))
        if self.mode:
            _c.set_grad_mode(False)

    def __exit__(self, *exc):
        inference, grad = self.previous.pop()
        _c.set_inference_mode(inference)
        _c.set_grad_mode(grad)


def is_grad_enabled():
    """Whether operations on this thread record a graph."""
    return _c.grad_mode_enabled()


for _cls in (no_grad, enable_grad, set_grad_enabled, inference_mode):
    _cls.__module__ = "taper"
