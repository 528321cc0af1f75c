"""Files of PyTorch before 1.6: pickles one after the other, then the bytes of the storages.

A magic number, the number of the format, facts about the machine that wrote it, the object, and the keys of its storages in the
order in which their bytes follow, each behind its number of elements (`torch.serialization._legacy_save`)."""

import io
import struct

from ._convert import from_bytes
from ._grad_mode import no_grad
from ._unpickler import Machine, UnpicklingError, guarded, trusted
from .serialization import Storages

MAGIC = 0x1950A86A20F9469CFC6C
# The magic number's pickle, with which such a file begins.
HEAD = b"\x80\x02\x8a\x0a" + MAGIC.to_bytes(10, "little") + b"."
FORMAT = 1001


class _Reader(Storages):
    """Storages of zeros, whose bytes come once the object is known."""

    def __init__(self, size, map_location):
        super().__init__(map_location)
        self.left = size

    def storage(self, pid):
        if isinstance(pid, tuple) and len(pid) == 6:
            if pid[5] is not None:
                raise RuntimeError("storages that are views of storages are not supported")
            pid = pid[:5]
        return super().storage(pid)

    def fetch(self, key, dtype, count):
        self.left -= count * dtype.itemsize
        if count < 0 or self.left < 0:
            raise RuntimeError(f"storage {key} of {count} elements of {dtype} is larger than the file")
        return bytes(count * dtype.itemsize)


def load(data, map_location, weights_only):
    """The object of such a file's bytes. Executes nothing from them where weights_only is set."""
    reader = _Reader(len(data), map_location)
    if weights_only:
        machine = Machine(data, reader)
        return guarded(lambda: _read(data, reader, machine.next, lambda: machine.at), reader)
    stream = io.BytesIO(data)
    return _read(data, reader, lambda: trusted(stream, reader), stream.tell)


def _read(data, reader, pickled, position):
    if pickled() != MAGIC or pickled() != FORMAT:
        raise UnpicklingError(f"the number of the format is not {FORMAT}")
    facts = pickled()
    if type(facts) is not dict or facts.get("little_endian") is False:
        raise UnpicklingError("the file holds big-endian data, which is not supported")
    made, keys = pickled(), pickled()
    if type(keys) is not list or not all(type(k) is str for k in keys) or sorted(keys) != sorted(reader.storages):
        raise UnpicklingError("the storages that follow are not those of the object")
    at = position()
    for key in keys:
        storage = reader.storages[key]
        count, size = storage.numel(), storage.element_size()
        end = at + 8 + count * size
        if end > len(data) or struct.unpack_from("<q", data, at)[0] != count:
            raise UnpicklingError(f"the {count} elements of storage {key} are missing")
        with no_grad():  # the object's tensors lie over it already
            storage.copy_(from_bytes(data[at + 8 : end], (count,), storage.dtype, "cpu"))
        at = end
    return made
