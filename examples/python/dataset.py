"""A data set of one's own, read in shuffled batches by two worker processes:  scripts/example.sh python dataset"""

import math

import taper as torch
import taper.nn as nn
from taper.utils.data import DataLoader, Dataset, random_split


class Rings(Dataset):
    """Points of the plane, and on which of two rings around the origin each lies."""

    def __init__(self, n):
        self.angle = torch.rand(n) * 2 * math.pi
        self.ring = torch.randint(0, 2, (n,))
        self.radius = 1 + self.ring + 0.2 * torch.randn(n)

    def __len__(self):
        return len(self.angle)

    def __getitem__(self, i):
        angle, radius = self.angle[i], self.radius[i]
        return torch.stack([radius * angle.cos(), radius * angle.sin()]), self.ring[i]


if __name__ == "__main__":
    torch.manual_seed(0)
    train, test = random_split(Rings(1000), [800, 200])
    batches = DataLoader(train, batch_size=32, shuffle=True, num_workers=2)
    net = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)

    for epoch in range(1, 6):
        total = 0.0
        for x, y in batches:
            loss = nn.functional.cross_entropy(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        print(f"epoch {epoch}  loss {total / len(train):.4f}")

    with torch.no_grad():
        x, y = next(iter(DataLoader(test, batch_size=len(test))))
        print(f"on the right ring: {(net(x).argmax(1) == y).float().mean().item():.1%} of {len(test)} other points")
