"""The memory under tensors: `untyped_storage()` gives it, `UntypedStorage` makes it, also of a file."""

from . import _c
from ._tensor import Tensor

__all__ = ["UntypedStorage"]


class UntypedStorage:
    """Bytes that tensors lie in. `UntypedStorage(n)` makes some, `UntypedStorage([1, 2])` of numbers, `from_file` maps a file."""

    def __init__(self, *args, device=None):
        if len(args) == 1 and isinstance(args[0], Tensor):
            self._tensor = args[0]
            return
        from . import empty, tensor, uint8

        if len(args) > 1:
            raise TypeError(f"UntypedStorage() expected a size or a sequence of bytes, got {len(args)} arguments")
        what = args[0] if args else 0
        if isinstance(what, int):
            self._tensor = empty(what, dtype=uint8, device=device)
        else:
            self._tensor = tensor(list(what), dtype=uint8, device=device)

    @classmethod
    def from_file(cls, filename, shared=False, nbytes=0):
        """The first nbytes of a file, mapped into memory; what is written reaches the file only if shared."""
        import mmap
        import os

        from . import empty, uint8
        from ._convert import from_buffer

        size = os.path.getsize(filename)
        if nbytes < 0 or nbytes > size:
            raise RuntimeError(f"UntypedStorage.from_file: expected nbytes from 0 to the file's {size}, got {nbytes}")
        if nbytes == 0:
            made = cls(empty(0, dtype=uint8))
        else:
            access = mmap.ACCESS_WRITE if shared else mmap.ACCESS_COPY
            with open(filename, "r+b" if shared else "rb") as f:
                mapped = mmap.mmap(f.fileno(), nbytes, access=access)
            made = cls(from_buffer(mapped, uint8, (nbytes,)))
        made.filename = filename if shared else None
        return made

    def data_ptr(self):
        """Its address."""
        t = self._tensor
        return t.data_ptr() - t.storage_offset() * t.element_size()

    def nbytes(self):
        """Its size in bytes."""
        return _c.tensor_storage_nbytes(self._tensor._h)

    size = __len__ = nbytes
    _cdata = property(lambda self: _c.tensor_storage_id(self._tensor._h))
    device = property(lambda self: self._tensor.device)
    is_cuda = property(lambda self: self._tensor.is_cuda)
    filename = None

    def element_size(self):
        """1."""
        return 1

    def get_device(self):
        """The number of its device, -1 on the CPU."""
        return self._tensor.get_device()

    def _bytes(self):
        from . import uint8

        t = self._tensor.detach()
        n = self.nbytes() // t.element_size()
        if t.dtype == uint8 and t.dim() == 1 and t.shape[0] == n and t.is_contiguous():
            return t
        return t.as_strided((n,), (1,), 0).view(uint8)

    def tolist(self):
        """The bytes."""
        return self._bytes().tolist()

    def __iter__(self):
        return iter(self.tolist())

    def __getitem__(self, index):
        if isinstance(index, slice):
            if index.step not in (None, 1):
                raise RuntimeError(f"Trying to slice with a step of {index.step}, but only a step of 1 is supported")
            return _Part(self._bytes()[index])
        return self._bytes()[index].item()

    def __setitem__(self, index, value):
        self._bytes()[index] = value._bytes() if isinstance(value, UntypedStorage) else value

    def fill_(self, value):
        """Writes one byte everywhere."""
        self._bytes().fill_(value)
        return self

    def copy_(self, source, non_blocking=False):
        """Writes another storage's bytes here."""
        self._bytes().copy_(source._bytes())
        return self

    def clone(self):
        """A copy."""
        return UntypedStorage(self._bytes().clone())

    def to(self, *, device, non_blocking=False):
        """The same on a device."""
        return UntypedStorage(self._bytes().to(device))

    def cpu(self):
        """The same on the CPU."""
        return self.to(device="cpu")

    def untyped(self):
        """Itself."""
        return self

    def is_pinned(self, device="cuda"):
        """Whether it lies in pinned memory."""
        return False

    def is_shared(self):
        """Whether other processes see what is written."""
        return self.filename is not None

    def pin_memory(self, device="cuda"):
        """Itself."""
        return self

    share_memory_ = pin_memory

    def __eq__(self, other):
        return isinstance(other, UntypedStorage) and self._cdata == other._cdata and self.data_ptr() == other.data_ptr()

    def __hash__(self):
        return hash(self._cdata)

    def __repr__(self):
        lines = "".join(f" {b}\n" for b in self.tolist())
        return f"{lines}[torch.storage.UntypedStorage(device={self.device}) of size {self.nbytes()}]"


class _Part(UntypedStorage):
    """A stretch of a storage, which shares its memory."""

    def data_ptr(self):
        return self._tensor.data_ptr()

    def nbytes(self):
        return self._tensor.numel()

    size = __len__ = nbytes

    def _bytes(self):
        return self._tensor


_Part.__name__ = _Part.__qualname__ = "UntypedStorage"
