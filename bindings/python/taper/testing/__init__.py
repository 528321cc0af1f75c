"""Comparisons for tests, and random tensors to test with."""

from ._comparison import assert_allclose, assert_close
from ._creation import make_tensor

__all__ = ["FileCheck", "assert_allclose", "assert_close", "make_tensor"]


class FileCheck:
    """Looks for texts in a text, in order."""

    def __init__(self):
        self._checks = []

    def _add(self, kind, text, count=1):
        self._checks.append((kind, text, count))
        return self

    def check(self, text):
        return self._add("check", text)

    def check_not(self, text):
        return self._add("not", text)

    def check_count(self, text, count, exactly=False):
        return self._add("exactly" if exactly else "count", text, count)

    def check_next(self, text):
        return self._add("next", text)

    def check_same(self, text):
        return self._add("same", text)

    def run(self, text):
        """Raises a RuntimeError where the text is not as it was said to be."""
        text, at, forbidden = str(text), 0, []

        def missing(what, start=0):
            raise RuntimeError(f'Expected to find "{what}" but did not find it\nSearched string:\n{text[start:]}')

        def clear(end):
            for what, start in forbidden:
                if what in text[start:end]:
                    raise RuntimeError(
                        f'Expected to not find "{what}" but found it\nSearched string:\n{text[start:end]}'
                    )
            forbidden.clear()

        for kind, what, count in self._checks:
            if kind == "not":
                forbidden.append((what, at))
                continue
            if kind == "exactly" and text[at:].count(what) != count:
                missing(what, at)
            for _ in range(count):
                found = text.find(what, at)
                if found < 0:
                    missing(what, at)
                between = text[at:found]
                if (kind == "next" and between.count("\n") != 1) or (kind == "same" and "\n" in between):
                    missing(what, at)
                clear(found)
                at = found + len(what)
        clear(len(text))


def __getattr__(name):
    if name == "_internal":
        raise AttributeError("taper.testing has no _internal: PyTorch's own tests are no part of Taper")
    raise AttributeError(f"module 'taper.testing' has no attribute '{name}'")
