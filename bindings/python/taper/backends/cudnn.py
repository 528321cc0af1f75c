"""Switches of cuDNN, accepted and remembered. Taper's results do not depend on timing, so `deterministic` changes
nothing."""

enabled = True
deterministic = True
benchmark = False
benchmark_limit = 10
allow_tf32 = False


def is_available():
    """Whether convolutions can go to cuDNN."""
    return False


def version():
    """cuDNN's version as a number; None where it is not used."""
    return None


def is_acceptable(tensor):
    """Whether cuDNN would be used for a tensor."""
    return enabled and is_available() and tensor.is_cuda


class flags:
    """Within the block the switches have other values."""

    def __init__(self, enabled=False, benchmark=False, benchmark_limit=10, deterministic=False, allow_tf32=True):
        self._values = {
            "enabled": enabled,
            "benchmark": benchmark,
            "benchmark_limit": benchmark_limit,
            "deterministic": deterministic,
            "allow_tf32": allow_tf32,
        }

    def __enter__(self):
        self._before = {name: globals()[name] for name in self._values}
        globals().update(self._values)

    def __exit__(self, *exc):
        globals().update(self._before)
