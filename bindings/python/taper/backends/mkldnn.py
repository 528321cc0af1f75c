"""oneDNN: not used by Taper."""

enabled = False


def is_available():
    return False


def is_built():
    return False
