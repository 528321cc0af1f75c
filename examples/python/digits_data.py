"""The 1,438 small digits of data/digits, for the examples that learn to draw."""

import pathlib

import numpy as np

import taper as torch

FILE = pathlib.Path(__file__).parents[2] / "data" / "digits" / "train-images-idx3-ubyte"


def digits():
    """float32 [1438, 8, 8] from 0 (paper) to 1 (ink). The file has 16 bytes of header, then a byte for each pixel."""
    pixels = np.fromfile(FILE, np.uint8, offset=16)
    return torch.tensor(pixels).view(-1, 8, 8).float() / 16
