"""Versions that compare as numbers, also with texts and tuples."""

from ._lib import library_version

__all__ = ["TorchVersion"]


def _parts(value):
    """Major, minor, patch and whether it is a final one; None for what is no version."""
    if not isinstance(value, str):
        try:
            value = ".".join(map(str, value))
        except TypeError:
            value = str(value)
    import re

    match = re.match(r"\s*v?(\d+(?:\.\d+)*)(?:[.\-_]?(a|alpha|b|beta|rc|c|pre|preview|dev)[.\-_]?(\d*))?", value)
    if match is None:
        return None
    numbers = [int(n) for n in match[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    # Of what comes before a final version: dev, alpha, beta, candidate.
    rank = {"d": 0, "a": 1, "b": 2}.get((match[2] or "z")[0], 4 if match[2] is None else 3)
    return numbers, rank, int(match[3] or 0)


class TorchVersion(str):
    """A version: a text that compares with others, and with tuples, number by number."""

    __slots__ = ()

    def _compared(self, other, name):
        a, b = _parts(self), _parts(other)
        if a is None or b is None:
            return getattr(str, name)(self, other)
        return getattr(a, name)(b)

    def __lt__(self, other):
        return self._compared(other, "__lt__")

    def __le__(self, other):
        return self._compared(other, "__le__")

    def __gt__(self, other):
        return self._compared(other, "__gt__")

    def __ge__(self, other):
        return self._compared(other, "__ge__")

    def __eq__(self, other):
        return self._compared(other, "__eq__")

    def __ne__(self, other):
        return not self == other

    __hash__ = str.__hash__


__version__ = TorchVersion(library_version)
