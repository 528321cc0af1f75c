"""Grad modes as context managers and decorators."""

from . import _c


class _Mode:
    """A context manager that also decorates functions, generator functions and classes' methods."""

    def __call__(self, function):
        code = getattr(function, "__code__", None)
        if code is not None and code.co_flags & 0x20:  # a generator: the mode holds while its body runs

            def wrapper(*args, **kwargs):
                generator = function(*args, **kwargs)
                value, error = None, None
                while True:
                    try:
                        with self.clone():
                            item = generator.send(value) if error is None else generator.throw(error)
                    except StopIteration as stop:
                        return stop.value
                    value = error = None
                    try:
                        value = yield item
                    except GeneratorExit:
                        generator.close()
                        raise
                    except BaseException as e:
                        error = e

        else:

            def wrapper(*args, **kwargs):
                with self.clone():
                    return function(*args, **kwargs)

        for name in ("__module__", "__name__", "__qualname__", "__doc__", "__dict__"):
            try:
                setattr(wrapper, name, getattr(function, name))
            except AttributeError:
                pass
        wrapper.__wrapped__ = function
        return wrapper

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
        return instance if isinstance(mode, bool) else instance(mode)

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
