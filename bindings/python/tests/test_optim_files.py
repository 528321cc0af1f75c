"""Optimisers go on from each other's files: those of the core, as C, C++ and Go have them, and Python's. With PyTorch:
optim_files.py as a script, in the lane `differential`."""

import pytest
from optim_files import CLASSES, Core, exchange

import taper
from taper.optim.flat import flatten, unflatten


@pytest.mark.parametrize("name", CLASSES)
def test_core_and_python_go_on_from_each_others_files(name, tmp_path):
    exchange(name, taper, str(tmp_path))


@pytest.mark.parametrize("name", CLASSES)
def test_a_file_has_pytorchs_keys(name, tmp_path):
    """Every option of a group, and every state, is in the core's file, and comes back as it is in Python."""
    core, path = Core(name), str(tmp_path / "o.safetensors")
    core.save(path)
    tensors = taper.safetensors.load_file(path)
    optimizer = getattr(taper.optim, name)([taper.nn.Parameter(p.detach().clone()) for p in core.params])
    groups = unflatten(tensors, optimizer)["param_groups"]
    have = optimizer.state_dict()["param_groups"]
    assert groups == have
    again = flatten(optimizer.state_dict())
    assert set(again) - {k for k in again if k.startswith("state.")} == {k for k in tensors if k.startswith("param")}
