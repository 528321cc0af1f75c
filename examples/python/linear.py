"""A line through points, by gradient descent:  scripts/example.sh python linear"""

import taper as torch
import taper.nn as nn

torch.manual_seed(0)
x = torch.randn(100, 1)
y = 3 * x - 2 + 0.1 * torch.randn(100, 1)  # the line that is to be found, and noise

model = nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(1, 101):
    loss = nn.functional.mse_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        print(f"step {step:3d}  loss {loss.item():.6f}")
print(f"y = {model.weight.item():.3f} x + {model.bias.item():.3f}")
