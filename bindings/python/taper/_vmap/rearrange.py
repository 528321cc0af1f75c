"""`torch.func.rearrange`: dimensions split, put in another order and joined, by a pattern of their names."""

import re

from .. import _ops as g


def _parsed(side):
    """The dimensions of one side of a pattern, each a list of names."""
    groups = []
    for token in re.findall(r"\([^()]*\)|\.\.\.|\w+|\S", side):
        if token.startswith("("):
            groups.append([n for n in token[1:-1].split() if n != "1"])
        elif token == "...":
            groups.append("...")
        elif token == "1":
            groups.append([])
        elif token.isidentifier():
            groups.append([token])
        else:
            raise ValueError(f"rearrange: unexpected {token!r} in the pattern {side!r}")
    return groups


def rearrange(tensor, pattern, **axes_lengths):
    """A tensor whose dimensions, which the pattern's left side names, are in the order of its right side; those in
    parentheses are one dimension: ``rearrange(x, "b (h w) c -> b c h w", h=2)``."""
    if not hasattr(tensor, "shape"):
        tensor = g.stack(list(tensor))
    left, arrow, right = pattern.partition("->")
    if not arrow:
        raise ValueError(f"rearrange: the pattern {pattern!r} has no '->'")
    before, after = _parsed(left), _parsed(right)
    shape = list(tensor.shape)
    if "..." in before:
        at = before.index("...")
        more = [[f"_{i}"] for i in range(len(shape) - len(before) + 1)]
        before = before[:at] + more + before[at + 1 :]
        names = [n for group in more for n in group]
        after = [x for group in after for x in ([[n] for n in names] if group == "..." else [group])]
    if len(before) != len(shape):
        raise ValueError(
            f"rearrange: the pattern {pattern!r} names {len(before)} dimensions, the tensor has {len(shape)}: {tuple(shape)}"
        )
    sizes = dict(axes_lengths)
    for group, n in zip(before, shape):
        known, unknown = 1, [name for name in group if name not in sizes]
        for name in group:
            known *= sizes.get(name, 1)
        if len(unknown) > 1 or (unknown and n % max(known, 1)) or (not unknown and known != n):
            raise ValueError(f"rearrange: a dimension of {n} cannot be split into {group} of {axes_lengths}")
        if unknown:
            sizes[unknown[0]] = n // max(known, 1)
    order = [name for group in before for name in group]
    wanted = [name for group in after for name in group]
    if sorted(order) != sorted(wanted) or len(set(order)) != len(order):
        raise ValueError(f"rearrange: both sides of {pattern!r} must name the same dimensions, each once")
    split = tensor.reshape([sizes[n] for n in order])
    moved = split.permute([order.index(n) for n in wanted])
    joined = []
    for group in after:
        n = 1
        for name in group:
            n *= sizes[name]
        joined.append(n)
    return moved.reshape(joined)
