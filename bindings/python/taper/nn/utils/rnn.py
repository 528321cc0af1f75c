"""Sequences of different lengths."""

from __future__ import annotations

from collections import namedtuple

from ... import _ops as g
from ..._creation import tensor
from ..._dtype import float16, float32, float64, int8, int16, int32, int64, uint8
from ..._tensor import Tensor

_Packed = namedtuple("PackedSequence", ["data", "batch_sizes", "sorted_indices", "unsorted_indices"])


class PackedSequence(_Packed):
    """Sequences of different lengths as one tensor: the rows of the first step of all, then of the second, ...

    data: the rows. batch_sizes: how many sequences have each step (int64, on the CPU). sorted_indices: how the sequences were put
    in the order of their lengths; unsorted_indices: the way back. Made by pack_padded_sequence and pack_sequence.
    """

    __slots__ = ()

    def __new__(cls, data, batch_sizes=None, sorted_indices=None, unsorted_indices=None):
        if batch_sizes is None:
            if not isinstance(data, (list, tuple)) or len(data) != 2:
                raise TypeError("PackedSequence takes data and batch_sizes")
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes.device.type != "cpu":
            raise ValueError(
                "batch_sizes should always be on CPU. Instances of PackedSequence should never be created manually. They should be "
                "instantiated by functions like pack_sequence and pack_padded_sequences in nn.utils.rnn."
            )
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args, **kwargs):
        """The rows in another dtype or on another device; itself where nothing changes."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        kwargs = {k: v for k, v in kwargs.items() if k in ("device", "non_blocking", "copy")}
        kwargs["device"] = data.device
        moved = [i if i is None else i.to(**kwargs) for i in (self.sorted_indices, self.unsorted_indices)]
        return type(self)(data, self.batch_sizes, *moved)

    def cuda(self, *args, **kwargs):
        """The rows on a CUDA device."""
        return self.to(*args, device="cuda", **kwargs) if not args else self.to(f"cuda:{args[0]}", *args[1:], **kwargs)

    def cpu(self, *args, **kwargs):
        """The rows on the CPU."""
        return self.to(*args, device="cpu", **kwargs)

    def pin_memory(self):
        """The same in pinned memory."""
        pinned = [i if i is None else i.pin_memory() for i in (self.sorted_indices, self.unsorted_indices)]
        return type(self)(self.data.pin_memory(), self.batch_sizes, *pinned)

    def double(self):
        """The rows in float64."""
        return self.to(dtype=float64)

    def float(self):
        """The rows in float32."""
        return self.to(dtype=float32)

    def half(self):
        """The rows in float16."""
        return self.to(dtype=float16)

    def long(self):
        """The rows in int64."""
        return self.to(dtype=int64)

    def int(self):
        """The rows in int32."""
        return self.to(dtype=int32)

    def short(self):
        """The rows in int16."""
        return self.to(dtype=int16)

    def char(self):
        """The rows in int8."""
        return self.to(dtype=int8)

    def byte(self):
        """The rows in uint8."""
        return self.to(dtype=uint8)

    @property
    def is_cuda(self):
        return self.data.is_cuda

    def is_pinned(self):
        """Whether the rows are in pinned memory."""
        return self.data.is_pinned()


def invert_permutation(permutation):
    """The way back from an order: where each place went."""
    if permutation is None:
        return None
    out = g.empty_like(permutation)
    out.scatter_(0, permutation, g.op_arange(permutation.numel(), device=permutation.device, dtype=permutation.dtype))
    return out


def pack_padded_sequence(input, lengths, batch_first=False, enforce_sorted=True):
    """Packs a padded batch (time, batch, ...); lengths are a list or a tensor on the CPU.

    enforce_sorted asks for lengths that do not grow; without it the sequences are sorted, and results come in the old order.
    """
    if not isinstance(lengths, Tensor):
        lengths = tensor(lengths, dtype=int64, device="cpu")
    lengths = lengths.to("cpu", int64)
    if lengths.dim() != 1:
        raise RuntimeError(f"'lengths' argument should be a 1D CPU int64 tensor, but got {lengths.dim()}D")
    sorted_indices = None
    if not enforce_sorted:
        lengths, sorted_indices = lengths.sort(descending=True)
        sorted_indices = sorted_indices.to(input.device)
        input = input.index_select(0 if batch_first else 1, sorted_indices)
    if batch_first:
        input = input.transpose(0, 1)
    if input.numel() == 0:
        raise RuntimeError("Cannot pack empty tensors.")
    sizes = lengths.tolist()
    if len(sizes) != input.size(1):
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(sizes)} (batch_size={input.size(1)})"
        )
    if any(a < b for a, b in zip(sizes, sizes[1:])):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass `enforce_sorted=False` to "
            "pack_padded_sequence and/or pack_sequence to sidestep this requirement if you do not need ONNX exportability."
        )
    if sizes[-1] <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    if sizes[0] > input.size(0):
        raise RuntimeError(f"Expected lengths of at most the {input.size(0)} steps of input, but got {sizes[0]}")
    batch_sizes, runs, alive, time = [], [], len(sizes), 0
    # Runs of steps that the same sequences have are one piece each.
    while alive:
        until = sizes[alive - 1]
        if until > time:
            runs.append(input[time:until, :alive].reshape(-1, *input.shape[2:]))
            batch_sizes += [alive] * (until - time)
            time = until
        alive -= 1
    data = runs[0] if len(runs) == 1 else g.cat(runs, 0)
    return PackedSequence(data, tensor(batch_sizes, dtype=int64, device="cpu"), sorted_indices, None)


def pad_packed_sequence(sequence, batch_first=False, padding_value=0.0, total_length=None):
    """The padded batch of packed sequences, and their lengths."""
    data, batch_sizes, _, unsorted_indices = sequence
    sizes = batch_sizes.tolist()
    time = len(sizes)
    if total_length is not None:
        if total_length < time:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in input, but got "
                f"total_length={total_length} and max sequence length being {time}"
            )
        time = total_length
    lengths = [0] * sizes[0]
    for size in sizes:
        for i in range(size):
            lengths[i] += 1
    rows, at = [], 0
    for size in sizes:
        step = data[at : at + size]
        at += size
        if size < sizes[0]:
            fill = g.full((sizes[0] - size, *data.shape[1:]), padding_value, dtype=data.dtype, device=data.device)
            step = g.cat([step, fill], 0)
        rows.append(step)
    if time > len(sizes):
        fill = g.full((sizes[0], *data.shape[1:]), padding_value, dtype=data.dtype, device=data.device)
        rows += [fill] * (time - len(sizes))
    padded, lengths = g.stack(rows, 0), tensor(lengths, dtype=int64, device="cpu")
    if batch_first:
        padded = padded.transpose(0, 1)
    if unsorted_indices is not None:
        padded = padded.index_select(0 if batch_first else 1, unsorted_indices)
        lengths = lengths[unsorted_indices.cpu()]
    return padded, lengths


def pad_sequence(sequences, batch_first=False, padding_value=0.0, padding_side="right"):
    """Stacks sequences of different lengths, filled up with padding_value."""
    if padding_side not in ("right", "left"):
        raise RuntimeError(f"padding_side should be either 'right' or 'left', but got {padding_side!r}")
    sequences = list(sequences)
    if not sequences:
        raise RuntimeError("Expected at least one sequence")
    longest = max(s.size(0) for s in sequences)
    rows = []
    for s in sequences:
        missing = longest - s.size(0)
        if missing:
            fill = g.full((missing, *s.shape[1:]), padding_value, dtype=s.dtype, device=s.device)
            s = g.cat([s, fill] if padding_side == "right" else [fill, s], 0)
        rows.append(s)
    return g.stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences, lengths, batch_first=False):
    """The sequences of a padded batch."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [s[: int(n)] for s, n in zip(padded_sequences, lengths)]


def pack_sequence(sequences, enforce_sorted=True):
    """Packs sequences of different lengths, the longest first unless enforce_sorted is False."""
    sequences = list(sequences)
    return pack_padded_sequence(pad_sequence(sequences), [s.size(0) for s in sequences], enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences):
    """The sequences of a packed batch."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
