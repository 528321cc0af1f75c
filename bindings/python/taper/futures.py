"""Futures: values that come later."""

import threading

__all__ = ["Future", "collect_all", "wait_all"]


class Future:
    """A value that another thread sets."""

    def __init__(self, *, devices=None):
        self._ready = threading.Event()
        self._lock = threading.Lock()
        self._value = self._error = None
        self._callbacks = []
        self.devices = [] if devices is None else list(devices)

    def __class_getitem__(cls, item):
        return cls

    def done(self):
        """Whether there is a value or an error."""
        return self._ready.is_set()

    def wait(self):
        """The value; waits for it. An error is raised."""
        self._ready.wait()
        return self.value()

    def value(self):
        """The value of a future that is done."""
        if not self._ready.is_set():
            raise RuntimeError("Expected the future to be completed: value() may only be called after wait() or done()")
        if self._error is not None:
            raise self._error
        return self._value

    def _complete(self, value, error):
        with self._lock:
            if self._ready.is_set():
                raise RuntimeError("Future can only be marked completed once")
            self._value, self._error = value, error
            callbacks, self._callbacks = self._callbacks, []
            self._ready.set()
        for f in callbacks:
            f()

    def set_result(self, result):
        """Sets the value."""
        self._complete(result, None)

    def set_exception(self, result):
        """Sets an error, which wait raises."""
        if not isinstance(result, Exception):
            raise AssertionError(f"{result} is of type {type(result)}, not an Exception.")
        self._complete(None, result)

    def add_done_callback(self, callback):
        """Calls callback(self) when it is done, at once if it is."""

        def call():
            try:
                callback(self)
            except Exception as error:
                import warnings

                warnings.warn(f"Got the following error when running the callback: {error!r}", stacklevel=2)

        self._when_done(call)

    def _when_done(self, call):
        with self._lock:
            if not self._ready.is_set():
                self._callbacks.append(call)
                return
        call()

    def then(self, callback):
        """A future of callback(self)."""
        result = Future()

        def call():
            try:
                value = callback(self)
            except Exception as error:
                failed = RuntimeError(
                    f"Got the following error when running the callback: {type(error).__name__}: {error}"
                )
                failed.__cause__ = error
                result.set_exception(failed)
            else:
                result.set_result(value)

        self._when_done(call)
        return result


def collect_all(futures):
    """A future of the list of futures, when all are done."""
    futures, result, lock = list(futures), Future(), threading.Lock()
    left = len(futures)
    if not futures:
        result.set_result([])
        return result

    def one():
        nonlocal left
        with lock:
            left -= 1
            last = left == 0
        if last:
            failed = next((f._error for f in futures if f._error is not None), None)
            result._complete(None if failed else futures, failed)

    for f in futures:
        f._when_done(one)
    return result


def wait_all(futures):
    """The values of all futures."""
    return [f.wait() for f in collect_all(futures).wait()]
