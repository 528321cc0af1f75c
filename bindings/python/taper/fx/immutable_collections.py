"""Lists and dicts that cannot be changed in place: arguments of nodes."""

from ..utils import _pytree

__all__ = ["immutable_dict", "immutable_list"]


def _refuse(kind, name):
    def method(self, *args, **kwargs):
        raise TypeError(
            f"{type(self).__name__!r} object does not support mutation. If you are attempting to modify the kwargs or args "
            "of a torch.fx.Node object,\ninstead create a new copy of it and assign the copy to the node:\n"
            "    new_args = ... # copy and mutate args\n    node.args = new_args\n"
        )

    method.__name__ = name
    return method


class immutable_list(list):
    """A list that cannot be changed."""

    def __hash__(self):
        return hash(tuple(self))

    def __reduce__(self):
        return (type(self), (tuple(self),))

    def __deepcopy__(self, memo):
        import copy

        return type(self)([copy.deepcopy(v, memo) for v in self])


class immutable_dict(dict):
    """A dict that cannot be changed."""

    def __hash__(self):
        return hash(frozenset(self.items()))

    def __reduce__(self):
        return (type(self), (dict(self),))


for _name in "__delitem__ __iadd__ __imul__ __setitem__ append clear extend insert pop remove reverse sort".split():
    setattr(immutable_list, _name, _refuse("list", _name))
for _name in "__delitem__ __ior__ __setitem__ clear pop popitem setdefault update".split():
    setattr(immutable_dict, _name, _refuse("dict", _name))
_pytree._put(
    immutable_list,
    _pytree._flat_sequence,
    lambda v, c: immutable_list(v),
    _pytree._sequence_keys(_pytree._flat_sequence),
    "torch.fx.immutable_collections.immutable_list",
)
_pytree._put(
    immutable_dict,
    _pytree._flat_dict,
    lambda v, c: immutable_dict(zip(c, v)),
    _pytree._keyed_dict,
    "torch.fx.immutable_collections.immutable_dict",
)
