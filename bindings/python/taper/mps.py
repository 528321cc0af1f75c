"""Apple's GPUs: not supported."""


def is_available():
    return False


def manual_seed(seed):
    pass
