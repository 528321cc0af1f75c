"""Prints the losses of the first training steps; the same text runs on Taper and on PyTorch and prints the same losses.

    python -m taper.run examples/python/fifty_steps.py    with PYTHONPATH=bindings/python, from the root of the checkout
    python examples/python/fifty_steps.py                 on PyTorch

Options: --steps N, --data DIR (a folder with the digits' IDX files), --digits N (decimals that are printed).
"""

import argparse
import pathlib

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

BATCH = 64


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        # 1 input image channel, 6 output channels, 3x3 square convolution kernel
        self.conv1 = nn.Conv2d(1, 6, 3)
        self.conv2 = nn.Conv2d(6, 16, 3)
        # an affine operation: y = Wx + b
        self.fc1 = nn.Linear(16 * 6 * 6, 120)  # 6*6 from image dimension
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        # Max pooling over a (2, 2) window
        x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
        # If the size is a square you can only specify a single number
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(-1, self.num_flat_features(x))
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        x = self.fc3(x)
        return x

    def num_flat_features(self, x):
        size = x.size()[1:]  # all dimensions except the batch dimension
        num_features = 1
        for s in size:
            num_features *= s
        return num_features


def load(folder):
    """The training images as float32 [n, 1, 32, 32] between 0 and 1, and their labels."""
    images = np.frombuffer((folder / "train-images-idx3-ubyte").read_bytes(), np.uint8, offset=16).reshape(-1, 8, 8)
    labels = np.frombuffer((folder / "train-labels-idx1-ubyte").read_bytes(), np.uint8, offset=8)
    images = images.repeat(4, axis=1).repeat(4, axis=2)[:, None]  # every pixel 4x4
    return torch.tensor(images).float() / 16, torch.tensor(labels).long()


def losses(images, labels, steps):
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    done = 0
    while True:
        for batch in torch.randperm(len(images)).split(BATCH):
            if done == steps:
                return
            optimizer.zero_grad()
            loss = F.cross_entropy(net(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            done += 1
            yield loss.item()


if __name__ == "__main__":
    root = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--digits", type=int, default=3)
    parser.add_argument("--data", type=pathlib.Path, default=root / "data" / "digits")
    options = parser.parse_args()
    torch.manual_seed(0)
    for step, loss in enumerate(losses(*load(options.data), options.steps), 1):
        print(f"step {step:2d}  loss {loss:.{options.digits}f}")
