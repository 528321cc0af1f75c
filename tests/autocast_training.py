"""Trains small networks for some steps under autocast in bfloat16, with PyTorch or with Taper, from the same values.

    tests/autocast_training.py --torch [NAME..] > torch.json      with PyTorch's Python
    tests/autocast_training.py --taper [NAME..] < torch.json      compares: final losses within 2 %

Values come from a generator of its own, so that both begin with the same.
"""

import json
import math
import sys


def numbers(n, seed):
    """Numbers in [-1, 1), the same everywhere."""
    out = []
    for _ in range(n):
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append((seed >> 33) / 2**30 - 1)
    return out


def tensor(torch, shape, seed, scale=1.0):
    count = math.prod(shape)
    return torch.tensor([scale * x for x in numbers(count, seed)]).reshape(shape)


def fill(torch, net):
    """Parameters of two dimensions and more from our generator, scaled by their fan-in; biases are zero."""
    with torch.no_grad():
        for i, (name, p) in enumerate(net.named_parameters()):
            if p.dim() > 1:
                p.copy_(tensor(torch, tuple(p.shape), 1000 + i, math.sqrt(3.0 / math.prod(p.shape[1:]))))
            elif name.endswith("bias"):
                p.zero_()
    return net


def mlp(torch):
    nn = torch.nn
    net = nn.Sequential(nn.Linear(16, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 10))
    return net, tensor(torch, (16, 16), 1), torch.arange(16) % 10


def lenet(torch):
    nn = torch.nn
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    return net, tensor(torch, (32, 1, 28, 28), 2), torch.arange(32) % 10


def gpt(torch):
    nn, F = torch.nn, torch.nn.functional
    width, heads, length, words = 64, 4, 32, 50

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x):
            b, t, c = x.shape
            q, k, v = (p.reshape(b, t, heads, c // heads).transpose(1, 2) for p in self.qkv(self.before(x)).split(c, 2))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
            return x + self.mlp(self.after(x))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.places = nn.Embedding(words, width), nn.Embedding(length, width)
            self.blocks = nn.Sequential(Block(), Block())
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words, bias=False)

        def forward(self, x):
            x = self.words(x) + self.places(torch.arange(x.shape[1]))
            return self.head(self.norm(self.blocks(x))).flatten(0, 1)

    text = torch.tensor([int((x + 1) * words / 2) for x in numbers(8 * (length + 1), 3)]).reshape(8, length + 1)
    return GPT(), text[:, :-1], text[:, 1:].reshape(-1)


def resnet(torch):
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, a, b, stride):
            super().__init__()
            self.a, self.na = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b)
            self.b, self.nb = nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b)
            self.short = nn.Sequential()
            if stride != 1 or a != b:
                self.short = nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b))

        def forward(self, x):
            y = self.nb(self.b(F.relu(self.na(self.a(x)))))
            return F.relu(y + self.short(x))

    layers, last = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()], 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(last, width, stride), Block(width, width, 1)]
        last = width
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
    return net, tensor(torch, (8, 3, 16, 16), 4), torch.arange(8) % 10


# Name: network, learning rate.
NETWORKS = {"mlp": (mlp, 0.01), "lenet": (lenet, 0.005), "gpt": (gpt, 0.01), "resnet": (resnet, 0.002)}


def train(torch, name, steps=50, dtype="bfloat16"):
    """The loss of each step."""
    make, lr = NETWORKS[name]
    net, x, y = make(torch)
    fill(torch, net)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=getattr(torch, dtype)):
            loss = torch.nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main():
    which, names = sys.argv[1], sys.argv[2:] or list(NETWORKS)
    if which == "--torch":
        import torch

        torch.set_num_threads(2)
        print(json.dumps({n: train(torch, n) for n in names}))
        return 0
    import taper

    want, failed = json.load(sys.stdin), 0
    for name in (n for n in names if n in want):
        got = train(taper, name)
        off = abs(got[-1] - want[name][-1]) / want[name][-1]
        print(
            f"{name}: PyTorch {want[name][0]:.4f} -> {want[name][-1]:.4f}, Taper {got[0]:.4f} -> {got[-1]:.4f}, {off:.2%} apart"
        )
        failed |= off > 0.02
    return failed


if __name__ == "__main__":
    sys.exit(main())
