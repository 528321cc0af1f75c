"""The CPU as a device, with the names of `taper.cuda` (`torch.cpu`)."""

from ._devices import properties


def is_available():
    """True."""
    return True


def device_count():
    """1: the CPU is one device, whatever it has in cores."""
    return 1


def current_device():
    """The device, 'cpu'."""
    return "cpu"


def set_device(device):
    """Accepted: there is one CPU."""


def synchronize(device=None):
    """Nothing to wait for: the CPU works at once."""


def get_device_properties(device=None):
    """The CPU's DeviceProperties: name, instruction set, threads, memory."""
    return properties("cpu")


def get_device_name(device=None):
    """The processor's name."""
    return properties("cpu").name
