"""Checkpoints in a folder, of the one process there is: `save` writes a state dict there and `load` reads it into tensors."""

import os

from ... import Tensor
from ... import load as _load
from ... import save as _save
from .default_planner import DefaultLoadPlanner, DefaultSavePlanner  # noqa: F401

__all__ = ["FileSystemReader", "FileSystemWriter", "load", "load_state_dict", "save", "save_state_dict"]
_FILE = "__0_0.distcp"


class FileSystemWriter:
    """Writes into a folder."""

    def __init__(self, path, single_file_per_rank=True, sync_files=True, thread_count=1, overwrite=True, **options):
        self.path, self.overwrite = path, overwrite

    def write(self, state):
        """Writes what is given."""
        os.makedirs(self.path, exist_ok=True)
        name = os.path.join(self.path, _FILE)
        if not self.overwrite and os.path.exists(name):
            raise RuntimeError("Checkpoint already exists and self.overwrite=False.")
        _save(state, name)


class FileSystemReader:
    """Reads from a folder."""

    def __init__(self, path, **options):
        self.path = path

    def read(self):
        """What was written."""
        return _load(os.path.join(self.path, _FILE), weights_only=True)


def _plain_state(state):
    if isinstance(state, Tensor):
        return getattr(state, "full_tensor", lambda: state)().detach()
    if isinstance(state, dict):
        return {k: _plain_state(v) for k, v in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)([_plain_state(v) for v in state])
    return state.state_dict() if hasattr(state, "state_dict") else state


def save(state_dict, *, checkpoint_id=None, storage_writer=None, planner=None, process_group=None, **options):
    """Writes a state dict, into the folder checkpoint_id or through a writer."""
    if storage_writer is None:
        if checkpoint_id is None:
            raise ValueError("save: expected checkpoint_id (a folder) or a storage_writer, got neither")
        storage_writer = FileSystemWriter(checkpoint_id)
    storage_writer.write(_plain_state(state_dict))


def _fill(state, read, where, partial):
    for key, v in list(state.items()):
        name = f"{where}.{key}" if where else str(key)
        if key not in read:
            if partial:
                continue
            raise RuntimeError(f"Missing key in checkpoint state_dict: {name}.")
        new = read[key]
        if isinstance(v, Tensor):
            if not isinstance(new, Tensor) or new.shape != v.shape:
                raise ValueError(
                    f"Size mismatch between saved {getattr(new, 'shape', type(new))} and current: {v.shape} for {name}"
                )
            v.detach().copy_(new)
        elif isinstance(v, dict) and isinstance(new, dict):
            _fill(v, new, name, partial)
        elif hasattr(v, "load_state_dict"):
            v.load_state_dict(new)
        else:
            state[key] = new


def load(state_dict, *, checkpoint_id=None, storage_reader=None, planner=None, process_group=None, **options):
    """Reads a checkpoint into the tensors of a state dict; what is no tensor is replaced."""
    if storage_reader is None:
        if checkpoint_id is None:
            raise ValueError("load: expected checkpoint_id (a folder) or a storage_reader, got neither")
        storage_reader = FileSystemReader(checkpoint_id)
    _fill(state_dict, storage_reader.read(), "", bool(getattr(planner, "allow_partial_load", False)))


def save_state_dict(state_dict, storage_writer, process_group=None, coordinator_rank=0, no_dist=False, planner=None):
    """The older name of `save`."""
    return save(state_dict, storage_writer=storage_writer, planner=planner)


def load_state_dict(state_dict, storage_reader, process_group=None, coordinator_rank=0, no_dist=False, planner=None):
    """The older name of `load`."""
    return load(state_dict, storage_reader=storage_reader, planner=planner)
