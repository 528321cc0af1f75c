"""Saves a training run half way and goes on with it, then keeps the weights alone:  scripts/example.sh python files [FOLDER]"""

import pathlib
import sys

import taper as torch
import taper.nn as nn
from taper.checkpoint import load_checkpoint, save_checkpoint
from taper.safetensors import load_file, safe_open, save_file

folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])


def fresh():
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    return net, torch.optim.Adam(net.parameters(), lr=0.05)


def train(net, optimizer, steps):
    for _ in range(steps):
        loss = nn.functional.binary_cross_entropy_with_logits(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


torch.manual_seed(0)
net, optimizer = fresh()
print(f"after 150 steps   loss {train(net, optimizer, 150):.6f}")

# A checkpoint has all that a run needs to go on with the same bits, the default generator's state too.
save_checkpoint(folder / "xor.checkpoint", net, optimizer)
print(f"150 more          loss {train(net, optimizer, 150):.6f}")

other, other_optimizer = fresh()  # as in a new process, with other weights
load_checkpoint(folder / "xor.checkpoint", other, other_optimizer)
print(f"the same, resumed loss {train(other, other_optimizer, 150):.6f}")

# The weights alone, as a file that every language and every library that knows safetensors reads.
save_file(net.state_dict(), folder / "xor.safetensors", metadata={"task": "exclusive or"})
with safe_open(folder / "xor.safetensors", "taper") as file:
    print(f"xor.safetensors: {file.metadata()['task']}")
for name, tensor in load_file(folder / "xor.safetensors").items():
    print(f"  {name}: {tensor.numel()} numbers")
