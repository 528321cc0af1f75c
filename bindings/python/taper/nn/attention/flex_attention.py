"""Attention whose scores a function changes (score_mod) and whose mask is known by blocks (BlockMask).

The scores are made as a whole and the functions are mapped over them: blocks save no work here, the values are the same."""

from __future__ import annotations

import math
from typing import NamedTuple

from ... import _ops, arange, zeros
from ... import bool as _bool  # noqa: A004
from ... import float32 as _float32
from ... import int32 as _int32
from ..._tensor import Tensor

__all__ = [
    "BlockMask",
    "flex_attention",
    "AuxOutput",
    "AuxRequest",
    "FlexKernelOptions",
    "create_block_mask",
    "create_mask",
    "or_masks",
    "and_masks",
    "noop_mask",
]
_DEFAULT_SPARSE_BLOCK_SIZE = 128
FlexKernelOptions = dict


class AuxRequest(NamedTuple):
    """What is wanted besides the output."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What came besides the output."""

    lse: Tensor | None = None
    max_scores: Tensor | None = None


def noop_mask(batch, head, token_q, token_kv):
    """Everything is seen."""
    return batch.new_ones((), dtype=_bool)


def _sliced_mask_mod_error(batch, head, token_q, token_kv):
    raise RuntimeError("Cannot use mask_mod from a sliced BlockMask")


def _joined(name, mask_mods, join, empty):
    if not all(callable(m) for m in mask_mods):
        raise RuntimeError(f"All inputs should be callable mask_mods: {mask_mods}")

    def joined(b, h, q_idx, kv_idx):
        result = b.new_full((), empty, dtype=_bool)
        for m in mask_mods:
            result = join(result, m(b, h, q_idx, kv_idx))
        return result

    joined.__name__ = joined.__qualname__ = name
    return joined


def or_masks(*mask_mods):
    """A mask_mod that shows what any of them shows."""
    return _joined("or_mask", mask_mods, lambda a, b: a | b, False)


def and_masks(*mask_mods):
    """A mask_mod that shows what all of them show."""
    return _joined("and_mask", mask_mods, lambda a, b: a & b, True)


def _mapped(f, scores, sizes, device):
    """f over all of batch, heads, queries and keys, and the scores first where there are any."""
    from ...func import vmap

    places = [arange(n, device=device, dtype=_int32) for n in sizes]
    lead = () if scores is None else (0,)
    for axis in (3, 2, 1, 0):
        f = vmap(f, in_dims=(*lead, *[0 if i == axis else None for i in range(4)]))
    return f(*places) if scores is None else f(scores, *places)


def _takes_scores(f):
    import inspect

    required = [p for p in inspect.signature(f).parameters.values() if p.default is p.empty and p.kind <= 1]
    if len(required) not in (4, 5):
        raise ValueError(
            f"create_mask: expected a mask_mod of 4 arguments or a score_mod of 5, got a function of {len(required)}"
        )
    return len(required) == 5


def create_mask(mod_fn, B, H, Q_LEN, KV_LEN, device=None):
    """The mask of a mask_mod (or of a score_mod: what it leaves finite) as a bool tensor of [B, H, Q_LEN, KV_LEN]."""
    sizes = (1 if B is None else B, 1 if H is None else H, Q_LEN, KV_LEN)
    if _takes_scores(mod_fn):
        made = _mapped(mod_fn, zeros(sizes, device=device), sizes, device)
        return made != -math.inf
    made = _mapped(mod_fn, None, sizes, device)
    return made if made.dtype == _bool else made.to(_bool)


def _ordered(dense):
    """Of each row, how many blocks are set, and the numbers of the columns: those that are set first."""
    dense = dense.to(_int32)
    order = _ops.argsort(dense, dim=-1, descending=True)  # a stable one, as all sorts here
    return dense.sum(dim=-1).to(_int32), order.to(_int32).contiguous()


def _dense(counts, indices, columns):
    """The contrary of `_ordered`."""
    valid = arange(indices.shape[-1], dtype=_int32, device=indices.device) < counts.unsqueeze(-1)
    at = _ops.where(valid, indices, columns).long()
    made = indices.new_zeros((*indices.shape[:-1], columns + 1), dtype=_int32)
    return made.scatter(-1, at, 1)[..., :columns].contiguous()


def _cut(counts, indices, rows, columns):
    if counts is None:
        return None, None
    return _ordered(_dense(counts, indices, indices.shape[-1])[..., :rows, :columns])


class BlockMask:
    """A mask by blocks: for each row of blocks the columns that are seen in part (kv_indices) and whole (full_kv_indices)."""

    def __init__(
        self,
        seq_lengths,
        kv_num_blocks,
        kv_indices,
        full_kv_num_blocks,
        full_kv_indices,
        q_num_blocks,
        q_indices,
        full_q_num_blocks,
        full_q_indices,
        BLOCK_SIZE=(_DEFAULT_SPARSE_BLOCK_SIZE, _DEFAULT_SPARSE_BLOCK_SIZE),
        mask_mod=noop_mask,
    ):
        if kv_indices.dim() < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        if kv_num_blocks is None or kv_indices is None:
            raise AssertionError("kv_num_blocks and kv_indices must be provided")
        if (full_kv_num_blocks is None) != (full_kv_indices is None):
            raise AssertionError("full_kv_num_blocks and full_kv_indices must be both provided or omitted")
        self.seq_lengths, self.BLOCK_SIZE, self.mask_mod = tuple(seq_lengths), BLOCK_SIZE, mask_mod
        self.kv_num_blocks, self.kv_indices = kv_num_blocks, kv_indices
        self.full_kv_num_blocks, self.full_kv_indices = full_kv_num_blocks, full_kv_indices
        self.q_num_blocks, self.q_indices = q_num_blocks, q_indices
        self.full_q_num_blocks, self.full_q_indices = full_q_num_blocks, full_q_indices

    @classmethod
    def from_kv_blocks(
        cls,
        kv_num_blocks,
        kv_indices,
        full_kv_num_blocks=None,
        full_kv_indices=None,
        BLOCK_SIZE=_DEFAULT_SPARSE_BLOCK_SIZE,
        mask_mod=None,
        seq_lengths=None,
        compute_q_blocks=True,
    ):
        """A mask of which the columns of each row of blocks are given."""
        if kv_indices.dim() < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        if (full_kv_num_blocks is None) != (full_kv_indices is None):
            raise AssertionError("full_kv_num_blocks and full_kv_indices must be both provided or omitted")
        size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else tuple(BLOCK_SIZE)
        if seq_lengths is None:
            seq_lengths = (kv_indices.shape[-2] * size[0], kv_indices.shape[-1] * size[1])
        columns = -(-seq_lengths[1] // size[1])
        turned = [None] * 4
        if compute_q_blocks:
            turned[:2] = _ordered(_dense(kv_num_blocks, kv_indices, columns).transpose(-2, -1))
            if full_kv_num_blocks is not None:
                turned[2:] = _ordered(_dense(full_kv_num_blocks, full_kv_indices, columns).transpose(-2, -1))
        return cls(
            seq_lengths,
            kv_num_blocks,
            kv_indices,
            full_kv_num_blocks,
            full_kv_indices,
            *turned,
            BLOCK_SIZE=size,
            mask_mod=noop_mask if mask_mod is None else mask_mod,
        )

    def _tensors(self):
        return (
            self.kv_num_blocks,
            self.kv_indices,
            self.full_kv_num_blocks,
            self.full_kv_indices,
            self.q_num_blocks,
            self.q_indices,
            self.full_q_num_blocks,
            self.full_q_indices,
        )

    def as_tuple(self, flatten=True):
        """Its parts."""
        if flatten:
            return (*self.seq_lengths, *self._tensors(), *self.BLOCK_SIZE, self.mask_mod)
        return (self.seq_lengths, *self._tensors(), self.BLOCK_SIZE, self.mask_mod)

    @property
    def shape(self):
        """Batch, heads, queries, keys."""
        return (*self.kv_indices.shape[:-2], *self.seq_lengths)

    def numel(self):
        """How many places the mask has."""
        return math.prod(self.shape)

    def sparsity(self):
        """The percentage of blocks that are left out."""
        total = math.prod(self.kv_num_blocks.shape[:-1])
        for length, size in zip(self.seq_lengths, self.BLOCK_SIZE):
            total *= -(-length // size)
        seen = self.kv_num_blocks.sum().item()
        if self.full_kv_num_blocks is not None:
            seen += self.full_kv_num_blocks.sum().item()
        return 100 * (1 - seen / total)

    def to_dense(self):
        """1 for every block that is seen."""
        made = _dense(self.kv_num_blocks, self.kv_indices, self.kv_indices.shape[-1])
        if self.full_kv_num_blocks is None:
            return made
        return made | _dense(self.full_kv_num_blocks, self.full_kv_indices, self.full_kv_indices.shape[-1])

    def to(self, device):
        """The same on a device."""
        moved = [None if t is None else t.to(device) for t in self._tensors()]
        return type(self)(self.seq_lengths, *moved, BLOCK_SIZE=self.BLOCK_SIZE, mask_mod=self.mask_mod)

    def __getitem__(self, index):
        index = index if isinstance(index, tuple) else (index,)
        if len(index) > 3:
            raise IndexError("BlockMask indexing supports batch, head, and Q-block dimensions")
        index = (*index, slice(None), slice(None), slice(None))[:3]
        sizes = self.kv_num_blocks.shape[:3]
        index = tuple(
            (slice(i, i + 1) if i >= 0 or i < -n else slice(i + n, i + n + 1)) if isinstance(i, int) else i
            for i, n in zip(index, sizes)
        )
        counts, indices = self.kv_num_blocks[index], self.kv_indices[index]
        full = (None, None)
        if self.full_kv_num_blocks is not None:
            full = self.full_kv_num_blocks[index], self.full_kv_indices[index]
        block, whole = self.BLOCK_SIZE[0], self.seq_lengths[0]
        if isinstance(index[2], slice):
            rows = range(*index[2].indices(sizes[2]))
            length = sum(max(0, min(whole - r * block, block)) for r in rows)
        else:
            length = indices.shape[-2] * block
        return type(self).from_kv_blocks(
            counts,
            indices,
            *full,
            BLOCK_SIZE=self.BLOCK_SIZE,
            mask_mod=_sliced_mask_mod_error,
            seq_lengths=(length, self.seq_lengths[1]),
            compute_q_blocks=self.q_indices is not None,
        )

    def _adjust(self, new_q_len, new_kv_len):
        rows, columns = -(-new_q_len // self.BLOCK_SIZE[0]), -(-new_kv_len // self.BLOCK_SIZE[1])
        return type(self).from_kv_blocks(
            *_cut(self.kv_num_blocks, self.kv_indices, rows, columns),
            *_cut(self.full_kv_num_blocks, self.full_kv_indices, rows, columns),
            BLOCK_SIZE=self.BLOCK_SIZE,
            mask_mod=self.mask_mod,
            seq_lengths=(new_q_len, new_kv_len),
            compute_q_blocks=self.q_indices is not None,
        )

    def __str__(self):
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%, mask_mod={_name_of(self.mask_mod)})"

    def __repr__(self):
        names = "kv_num_blocks kv_indices full_kv_num_blocks full_kv_indices q_num_blocks q_indices full_q_num_blocks full_q_indices"
        lines = [f"    {n}={None if t is None else t.shape},\n" for n, t in zip(names.split(), self._tensors())]
        return (
            f"BlockMask(\n{''.join(lines)}    BLOCK_SIZE={self.BLOCK_SIZE},\n    shape={self.shape},\n"
            f"    sparsity={self.sparsity():.2f}%,\n    mask_mod={_name_of(self.mask_mod)}\n)"
        )


def _name_of(f):
    return getattr(f, "__name__", f)


def create_block_mask(
    mask_mod,
    B,
    H,
    Q_LEN,
    KV_LEN,
    device=None,
    BLOCK_SIZE=_DEFAULT_SPARSE_BLOCK_SIZE,
    _compile=False,
    separate_full_blocks=True,
):
    """The BlockMask of a mask_mod, which is asked for every place."""
    q, kv = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else BLOCK_SIZE
    if _takes_scores(mask_mod):
        raise ValueError(f"create_block_mask: mask_mod must be a function of (b, h, q_idx, kv_idx), got {mask_mod}")
    seen = create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device)
    more = (0, -KV_LEN % kv, 0, -Q_LEN % q)
    seen = _ops.pad(seen.to(_int32), more) if any(more) else seen.to(_int32)
    b, h, rows, columns = seen.shape
    found = seen.view(b, h, rows // q, q, columns // kv, kv).sum(dim=(3, 5))
    whole = found == q * kv
    part = found > 0
    full = (None, None)
    if separate_full_blocks:
        part, full = part & ~whole, _ordered(whole)
    return BlockMask.from_kv_blocks(
        *_ordered(part), *full, BLOCK_SIZE=(q, kv), mask_mod=mask_mod, seq_lengths=(Q_LEN, KV_LEN)
    )


def _check(query, key, value, block_mask, enable_gqa):
    for n, t in (("query", query), ("key", key), ("value", value)):
        if t.dim() != 4:
            raise NotImplementedError("NYI: query, key, and value must be 4D tensors")
        if t.device != query.device:
            raise ValueError(
                f"Expected query, key, and value to have the same device type, but got query.device: {query.device}, "
                f"{n}.device: {t.device} instead."
            )
    if query.size(-1) != key.size(-1):
        raise ValueError(
            "Expect query and key/value to have the same embedding dimension "
            f"but got E={query.size(-1)} and E={key.size(-1)}."
        )
    heads, kv_heads = query.size(1), key.size(1)
    if not enable_gqa and heads != kv_heads:
        raise ValueError(
            f"Expect query and key/value to have the same number of heads but got Hq={heads} and Hkv={kv_heads}. "
            "Try setting enable_gqa=True for GQA."
        )
    if enable_gqa and (kv_heads == 0 or heads % kv_heads):
        raise ValueError(
            f"Expect number of query heads to be a multiple of kv heads for GQA but got Hq={heads} and Hkv={kv_heads}."
        )
    if query.size(0) != key.size(0):
        if block_mask is None:
            raise ValueError(
                "Expect query and key/value to have the same batch size, or non-none block_mask, "
                f"but got block_mask=None, Bq={query.size(0)}, and Bkv={key.size(0)}."
            )
        if block_mask.kv_num_blocks.size(0) != query.size(0):
            raise ValueError(
                "Expect query and key/value to have the same batch size, or block_mask and query to have the same batch size, "
                f"but got Bq={query.size(0)}, Bkv={key.size(0)}, B_block_mask={block_mask.kv_num_blocks.size(0)}."
            )
    if block_mask is None:
        return
    if block_mask.mask_mod is _sliced_mask_mod_error:
        raise RuntimeError("Cannot use mask_mod from a sliced BlockMask")
    got, want = block_mask.shape[-2:], (query.size(-2), key.size(-2))
    if want[0] > got[0] or want[1] > got[1]:
        raise RuntimeError(
            "block_mask was created for a smaller length than you're using it for, you likely need to create a new block mask."
        )
    if got != want:
        raise RuntimeError(
            "block_mask was created for a larger length than you're using it for, you can either 1. create a new block mask with the "
            "correct length, or 2. 'adjust' the existing block mask to the correct length by calling "
            "block_mask._adjust(q_len, kv_len). This essentially 'crops' the block mask to the upper left corner, which does not work "
            "for all mask_mods!"
        )


def flex_attention(
    query,
    key,
    value,
    score_mod=None,
    block_mask=None,
    scale=None,
    enable_gqa=False,
    return_lse=False,
    kernel_options=None,
    *,
    return_aux=None,
):
    """Scaled dot product attention of [B, H, L, E], with score_mod(score, b, h, q_idx, kv_idx) applied to every score."""
    if return_lse and return_aux is not None:
        raise ValueError(
            "Cannot specify both return_lse and return_aux. return_lse is deprecated, please use return_aux=AuxRequest(lse=True) instead."
        )
    _check(query, key, value, block_mask, enable_gqa)
    if query.size(0) != key.size(0):
        key = key.expand(query.size(0), *key.shape[1:])
        value = value.expand(query.size(0), *value.shape[1:])
    if enable_gqa:
        times = query.size(1) // key.size(1)
        key, value = key.repeat_interleave(times, 1), value.repeat_interleave(times, 1)
    kind = query.dtype
    work = kind if kind.itemsize > 4 else _float32
    scale = 1 / math.sqrt(query.size(-1)) if scale is None else scale
    scores = (query.to(work) @ key.to(work).transpose(-2, -1)) * scale
    sizes = scores.shape
    if score_mod is not None:
        scores = _mapped(score_mod, scores, sizes, query.device).to(work)
    if block_mask is not None:
        lead = block_mask.kv_num_blocks.shape[:2]
        seen = _mapped(block_mask.mask_mod, None, (*sizes[:2], *sizes[2:]), query.device).to(_bool)
        blocks = block_mask.to_dense().to(_bool)
        blocks = blocks.repeat_interleave(block_mask.BLOCK_SIZE[0], -2).repeat_interleave(block_mask.BLOCK_SIZE[1], -1)
        blocks = blocks[..., : sizes[2], : sizes[3]]
        if lead[0] not in (1, sizes[0]) or lead[1] not in (1, sizes[1]):
            raise ValueError(
                f"flex_attention: block_mask is for a batch of {lead[0]} and {lead[1]} heads, query has {sizes[0]} and {sizes[1]}"
            )
        scores = scores.masked_fill(~(seen & blocks), -math.inf)
    lse = scores.logsumexp(-1)
    none = scores.amax(-1, keepdim=True) == -math.inf
    weights = _ops.softmax(scores, -1).masked_fill(none, 0)
    out = (weights @ value.to(work)).to(kind)
    if return_aux is not None:
        return out, AuxOutput(lse if return_aux.lse else None, scores.amax(-1) if return_aux.max_scores else None)
    return (out, lse) if return_lse else out
