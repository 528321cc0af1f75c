"""Checkpoints as safetensors files, under the names that Hugging Face's packages use."""

import os

from ...safetensors import load_file, save_file


class HuggingFaceStorageWriter:
    """Writes `model.safetensors` into a folder."""

    def __init__(self, path, fqn_to_index_mapping=None, **options):
        self.path = path

    def write(self, state):
        """Writes a dict of tensors."""
        os.makedirs(self.path, exist_ok=True)
        save_file(state, os.path.join(self.path, "model.safetensors"), metadata={"format": "pt"})


class HuggingFaceStorageReader:
    """Reads the safetensors files of a folder."""

    def __init__(self, path, **options):
        self.path = path

    def read(self):
        """All tensors of all files."""
        made = {}
        for name in sorted(os.listdir(self.path)):
            if name.endswith(".safetensors"):
                made.update(load_file(os.path.join(self.path, name)))
        return made
