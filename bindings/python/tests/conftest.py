import json
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(HERE, "fixtures")
PACKAGE = os.path.dirname(HERE)
sys.path.insert(0, PACKAGE)
with open(os.path.join(FIXTURES, "expected.json")) as f:
    EXPECTED = json.load(f)


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
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)

    return run
