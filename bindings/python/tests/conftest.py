import json
import os
import re
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(HERE, "fixtures")
PACKAGE = os.path.dirname(HERE)
sys.path.insert(0, PACKAGE)
with open(os.path.join(FIXTURES, "expected.json")) as f:
    EXPECTED = json.load(f)

# The whole suite runs on this device: what names none lands there.
DEVICE = os.environ.get("TAPER_TEST_DEVICE") or "cpu"


def plain(text):
    """What a test expects to be printed names no device: takes the names of the one under test away."""
    if DEVICE == "cpu":
        return text
    text = re.sub(rf",\s+device='{DEVICE}(:\d+)?'", "", text)
    return re.sub(rf" \({DEVICE}(:\d+)?\)", "", text).replace(f"torch.{DEVICE}.", "torch.")


def pytest_configure(config):
    config.addinivalue_line("markers", "cpu_only(reason): what other devices do not have, or have otherwise")


# These choose their devices themselves, or make no tensors in this process.
collect_ignore = [] if DEVICE == "cpu" else [f"test_{n}.py" for n in ("cuda", "device", "opencl", "seed", "stubs")]


@pytest.fixture(autouse=DEVICE != "cpu")
def _default_device():
    """What names no device lands on the one under test."""
    import taper

    taper.set_default_device(DEVICE)
    taper.backends.cudnn.allow_tf32 = False  # the recorded values are float32's throughout
    yield
    taper.set_default_device("cpu")


def pytest_collection_modifyitems(items):
    if DEVICE == "cpu":
        return
    for item in items:
        mark = item.get_closest_marker("cpu_only")
        if mark:
            (reason,) = mark.args
            item.add_marker(pytest.mark.skip(reason=f"CPU only: {reason}"))


def pytest_terminal_summary(terminalreporter):
    if DEVICE != "cpu":
        terminalreporter.write_line(f"{kernels_launched()} kernels ran on {DEVICE}")


def pytest_sessionfinish(session, exitstatus):
    """A run on a device in which no kernel ran has tested something else."""
    if DEVICE != "cpu" and exitstatus == 0 and kernels_launched() == 0:
        session.exitstatus = 1


def kernels_launched():

    from taper import _c

    return _c.proto("kernels_launched")()


@pytest.fixture
def device():
    """The device under test; it is the default device too."""
    import taper

    return taper.device(DEVICE)


@pytest.fixture
def expected():
    """What PyTorch did, as fixtures/make.py recorded it."""
    return EXPECTED


@pytest.fixture
def fixture_file():
    return lambda name: os.path.join(FIXTURES, name)


@pytest.fixture
def run_python():
    """Runs a script in a fresh interpreter that finds the package."""
    import subprocess

    def run(*arguments, code=None, **environment):
        env = {**os.environ, "PYTHONPATH": PACKAGE, **environment}
        command = [sys.executable, *(("-c", code) if code is not None else ()), *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=900)

    return run
