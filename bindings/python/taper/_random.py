"""Random generators."""

from ctypes import addressof, byref, c_char

from . import _c
from ._c import fail, tls


class Generator:
    """A random generator with PyTorch's CPU numbers: ``Generator().manual_seed(0)``."""

    __slots__ = ("_h", "device", "__weakref__")

    def __init__(self, device="cpu"):
        o, p = tls.o
        self._h = None
        e = _c.generator_new(p)
        if e:
            fail(e)
        self._h = o.value
        self.device = _c.to_device(device)

    def __del__(self, _free=_c.generator_free):
        try:
            _free(self._h)
        except AttributeError:
            pass

    def manual_seed(self, seed):
        """Starts anew from a seed; returns the generator."""
        e = _c.generator_manual_seed(self._h, to_seed(seed))
        if e:
            fail(e)
        return self

    @property
    def algorithm(self):
        """Which numbers the CPU draws: "mt19937", PyTorch's, or "philox", those that every other device draws. A change
        starts the generator anew from its seed."""
        return ("mt19937", "philox")[_c.generator_algorithm(self._h)]

    @algorithm.setter
    def algorithm(self, name):
        if name not in ("mt19937", "philox"):
            raise ValueError(f"Generator.algorithm must be 'mt19937' or 'philox', got {name!r}")
        e = _c.generator_set_algorithm(self._h, name == "philox")
        if e:
            fail(e)

    def seed(self):
        """Starts anew from the system's entropy and returns the seed."""
        value = _c.c_uint64()
        e = _c.generator_seed(self._h, byref(value))
        if e:
            fail(e)
        return value.value

    def initial_seed(self):
        """The seed last set."""
        return _c.generator_initial_seed(self._h)

    def get_state(self):
        """The state as a tensor of bytes."""
        from ._convert import from_bytes
        from ._dtype import uint8

        needed = _c.c_size_t()
        e = _c.generator_get_state(self._h, None, 0, byref(needed))
        if e:
            fail(e)
        data = bytearray(needed.value)
        view = (c_char * len(data)).from_buffer(data)
        e = _c.generator_get_state(self._h, addressof(view), len(data), byref(needed))
        if e:
            fail(e)
        return from_bytes(bytes(data), (len(data),), uint8, "cpu")

    def set_state(self, state):
        """Restores what get_state returned."""
        from ._convert import to_bytes

        data = bytes(to_bytes(state))
        e = _c.generator_set_state(self._h, data, len(data))
        if e:
            fail(e)
        return self

    def clone_state(self):
        return _restored(self.get_state(), self.algorithm)

    def __reduce__(self):
        return (_restored, (self.get_state(), self.algorithm))


def _restored(state, algorithm="mt19937"):
    g = Generator()
    g.algorithm = algorithm
    return g.set_state(state)


Generator.__module__ = "taper"


def to_seed(seed):
    """A seed as 64 bits; negative ones count from the top, as in PyTorch."""
    seed = int(seed)
    if not -(1 << 63) <= seed < 1 << 64:
        raise OverflowError(f"Overflow when unpacking long long: seed {seed} does not fit into 64 bits")
    return seed & 0xFFFF_FFFF_FFFF_FFFF


def _find_default():
    o, p = tls.o
    e = _c.generator_default(p)
    if e:
        fail(e)
    g = object.__new__(Generator)
    g._h = o.value
    g.device = _c.to_device("cpu")
    return g


# The generator that is used when none is given.
default_generator = _find_default()


def manual_seed(seed):
    """Seeds the default generator and returns it."""
    _c.manual_seed(to_seed(seed))
    return default_generator


def seed():
    """Seeds the default generator from the system's entropy and returns the seed."""
    return _c.seed()


def initial_seed():
    """The default generator's seed."""
    return default_generator.initial_seed()


def get_rng_state():
    """The default generator's state as a tensor of bytes."""
    return default_generator.get_state()


def set_rng_state(state):
    """Restores a state of the default generator."""
    default_generator.set_state(state)


class fork_rng:
    """Inside, draws leave the default generator as it was before."""

    def __init__(self, devices=None, enabled=True, **kwargs):
        self.enabled = enabled

    def __enter__(self):
        self.state = get_rng_state() if self.enabled else None

    def __exit__(self, *exc):
        if self.enabled:
            set_rng_state(self.state)
