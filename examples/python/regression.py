"""Fits a small network to noisy values of a curve and draws both:  scripts/example.sh python regression [PICTURE]"""

import sys

import taper as torch
import taper.nn as nn
from taper.utils.show import save_plot

torch.manual_seed(0)
x = torch.linspace(-3, 3, 200).unsqueeze(1)
y = torch.sin(2 * x) + 0.1 * torch.randn(200, 1)

net = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
for step in range(1, 1001):
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(net(x), y)
    loss.backward()
    optimizer.step()
    if step % 200 == 0:
        print(f"step {step:4d}  loss {loss.item():.4f}")

with torch.no_grad():
    curves = {"data": torch.cat([x, y], 1), "network": torch.cat([x, net(x)], 1)}
path = sys.argv[1] if len(sys.argv) > 1 else "regression.png"
save_plot(curves, path, "A network of 1,153 parameters and what it saw")
print(f"drawn: {path}")
