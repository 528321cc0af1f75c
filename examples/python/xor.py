"""A network of 33 parameters learns the exclusive or:  scripts/example.sh python xor"""

import taper as torch
import taper.nn as nn

torch.manual_seed(0)
x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
optimizer = torch.optim.Adam(net.parameters(), lr=0.05)

for step in range(1, 301):
    loss = nn.functional.binary_cross_entropy_with_logits(net(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 100 == 0:
        print(f"step {step}  loss {loss.item():.4f}")

with torch.no_grad():
    for (a, b), answer in zip(x.tolist(), net(x).sigmoid().view(-1).tolist()):
        print(f"{a:.0f} xor {b:.0f}: {answer:.3f}")
