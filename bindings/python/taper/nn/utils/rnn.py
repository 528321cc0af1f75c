"""Sequences of different lengths."""

from ... import _ops as g


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
