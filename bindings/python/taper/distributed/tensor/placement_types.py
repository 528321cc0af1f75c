"""How a distributed tensor lies on a dimension of its mesh. Among one, every placement holds the whole tensor."""

__all__ = ["Placement", "Shard", "Replicate", "Partial"]


class Placement:
    """Base of the placements."""

    def is_shard(self, dim=None):
        """Whether the tensor is cut (along dim)."""
        return isinstance(self, Shard) and (dim is None or self.dim == dim)

    def is_replicate(self):
        """Whether every place has the whole tensor."""
        return isinstance(self, Replicate)

    def is_partial(self, reduce_op=None):
        """Whether the places hold parts that are still to be reduced."""
        return isinstance(self, Partial) and (reduce_op is None or self.reduce_op == reduce_op)

    def _key(self):
        return ()

    def __eq__(self, other):
        return type(self) is type(other) and self._key() == other._key()

    def __hash__(self):
        return hash((type(self).__name__, self._key()))


class Shard(Placement):
    """Cut along dim."""

    def __init__(self, dim):
        self.dim = dim

    def _key(self):
        return (self.dim,)

    def __repr__(self):
        return f"Shard(dim={self.dim})"

    def __str__(self):
        return f"S({self.dim})"


class _StridedShard(Shard):
    """Cut along dim in an order of its own."""

    def __init__(self, dim, *, split_factor=1):
        super().__init__(dim)
        self.split_factor = split_factor

    def _key(self):
        return (self.dim, self.split_factor)

    def __repr__(self):
        return f"_StridedShard(dim={self.dim}, sf={self.split_factor})"

    def __str__(self):
        return f"_S({self.dim}, {self.split_factor})"


class Replicate(Placement):
    """Whole in every place."""

    def __repr__(self):
        return "Replicate()"

    def __str__(self):
        return "R"


class Partial(Placement):
    """Parts that a reduction makes whole."""

    def __init__(self, reduce_op="sum"):
        self.reduce_op = reduce_op

    def _key(self):
        return (self.reduce_op,)

    def __repr__(self):
        return f"Partial({self.reduce_op})"

    def __str__(self):
        return f"P({self.reduce_op})"
