"""Random ops on batches: the same draws for every sample, different ones, or an error."""

from .. import _ops as g
from .core import BatchedTensor, active
from .one_by_one import one_by_one, one_by_one_in_place
from .rule import sizes_of, tensors_in

_SHAPED = frozenset("rand randn randint op_randint op_randint_low".split())
_OF_TENSOR = frozenset(
    """rand_like randn_like op_randint_like op_randint_like_low bernoulli dropout feature_dropout alpha_dropout
    feature_alpha_dropout dropout1d dropout2d dropout3d""".split()
)
_INTO = frozenset(
    """uniform_ normal_ log_normal_ cauchy_ exponential_ geometric_ op_random_ op_random_to_ op_random_from_ bernoulli_
    bernoulli_float_ dropout_""".split()
)
_INITIAL = frozenset(
    "init_uniform_ init_normal_ init_xavier_uniform_ init_xavier_normal_ init_kaiming_uniform_ "
    "init_kaiming_normal_ init_trunc_normal_ init_orthogonal_ init_sparse_".split()
)
RANDOM = _SHAPED | _INITIAL | _OF_TENSOR | _INTO | {"normal", "randperm", "multinomial", "gumbel_softmax"}
_DROPOUTS = frozenset(
    "dropout feature_dropout alpha_dropout feature_alpha_dropout dropout1d dropout2d dropout3d dropout_".split()
)


def random(func, original, args, kwargs):
    """A random op while vmaps run."""
    name = func.__name__
    if name in _DROPOUTS and not _drops(args, kwargs):
        found = tensors_in(args, [])
        return found[0].clone() if name != "dropout_" else found[0]
    level = active()[-1]
    if level.randomness == "error":
        raise RuntimeError(
            "vmap: called random operation while in randomness error mode. Please either use the 'same' or 'different' "
            "randomness flags on vmap or perform the randomness operation out of vmap"
        )
    if name in _INITIAL:
        return original(*args, **kwargs)
    found = tensors_in([*args, *kwargs.values()], [])
    batched = [t for t in found if isinstance(t, BatchedTensor)]
    if not batched and level.randomness == "same":
        return original(*args, **kwargs)
    if name in _INTO:
        target = args[0]
        if not isinstance(target, BatchedTensor):
            raise RuntimeError(
                "vmap: Cannot ask for different inplace randomness on an unbatched tensor. This will appear like same "
                "randomness. If this is necessary for your usage, please file an issue with functorch."
            )
        if len(batched) == 1 and level.randomness == "different":
            _base_call(func, target, args[1:], kwargs)
            return target
        return _same_draws(func, args, kwargs, into=True)
    if level.randomness == "same":
        return _same_draws(func, args, kwargs)
    if name in _SHAPED and not batched:
        shape_at = {"op_randint": 1, "op_randint_low": 2}.get(name, 0)
        args = list(args)
        if name in ("rand", "randn"):
            sizes = sizes_of(args) if args else list(kwargs.pop("size", ()))
            args = [(level.size, *sizes)]
        elif name == "randint" or len(args) <= shape_at:
            return NotImplemented
        else:
            args[shape_at] = (level.size, *args[shape_at])
        return BatchedTensor(original(*args, **kwargs), level)
    if (
        name in _OF_TENSOR
        and len(batched) == 1
        and batched[0]._level is level
        and not isinstance(batched[0]._value, BatchedTensor)
    ):
        plain = [a._value if a is batched[0] else a for a in args]
        if name.startswith(("feature", "dropout1d", "dropout2d", "dropout3d")):
            return one_by_one(original, level, args, kwargs)
        return BatchedTensor(original(*plain, **kwargs), level)
    if batched:
        return one_by_one(_plainly(original, func), level, args, kwargs)
    return BatchedTensor(g.stack([original(*args, **kwargs) for _ in range(level.size)]), level)


def _plainly(original, func):
    """The op without being asked about randomness again, for tensors that are nobody's sample."""

    def call(*args, **kwargs):
        if any(isinstance(t, BatchedTensor) for t in tensors_in([*args, *kwargs.values()], [])):
            return func(*args, **kwargs)
        return original(*args, **kwargs)

    call.__name__ = func.__name__
    return call


def _drops(args, kwargs):
    p = kwargs.get("p", args[1] if len(args) > 1 else 0.5)
    training = kwargs.get("train", kwargs.get("training", args[2] if len(args) > 2 else True))
    return bool(p) and bool(training)


def _base_call(func, target, args, kwargs):
    base = target
    while isinstance(base, BatchedTensor):
        base = base._value
    getattr(func, "__wrapped__", func)(base, *args, **kwargs)


def _same_draws(func, args, kwargs, into=False):
    """The op for each sample from the same state of the generator."""
    from .. import _random

    level = max(
        [t._level for t in tensors_in([*args, *kwargs.values()], []) if isinstance(t, BatchedTensor)],
        key=lambda l: l.number,
    )
    original = getattr(func, "__wrapped__", func)
    state = _random.get_rng_state()

    def again(*a, **k):
        _random.set_rng_state(state)
        return _plainly(original, func)(*a, **k)

    again.__name__ = func.__name__
    return (one_by_one_in_place if into else one_by_one)(again, level, args, kwargs)
