"""An LSTM learns a wave and goes on with it by itself:  scripts/example.sh python sequence [PICTURE]"""

import sys

import taper as torch
import taper.nn as nn
from taper.utils.show import save_plot

SEEN, ALL = 300, 400

torch.manual_seed(0)
t = torch.arange(ALL) * 0.2
wave = (torch.sin(t) + 0.5 * torch.sin(2 * t)).view(-1, 1, 1)  # time, batch, features

lstm, head = nn.LSTM(1, 32), nn.Linear(32, 1)
optimizer = torch.optim.LBFGS([*lstm.parameters(), *head.parameters()], lr=0.8)


def closure():
    optimizer.zero_grad()
    output, _ = lstm(wave[: SEEN - 1])
    loss = nn.functional.mse_loss(head(output), wave[1:SEEN])
    loss.backward()
    return loss


for step in range(1, 9):
    print(f"step {step}  loss {optimizer.step(closure).item():.1e}")

with torch.no_grad():
    output, state = lstm(wave[:SEEN])
    said = [head(output[-1:])]
    while len(said) < ALL - SEEN:  # what it says is the next that it hears
        output, state = lstm(said[-1], state)
        said.append(head(output))
    times = torch.arange(SEEN, ALL).float()
    curves = {
        "wave": wave.view(-1),
        "the LSTM, alone from 300 on": torch.stack([times, torch.cat(said).view(-1)], 1),
    }
path = sys.argv[1] if len(sys.argv) > 1 else "sequence.png"
save_plot(curves, path, "An LSTM that learned 300 values")
print(f"drawn: {path}")
