"""A variational autoencoder learns to draw digits:  scripts/example.sh python vae [--quick] [PICTURE]

The encoder says for each image where it lies among the codes, as means and variances; the decoder draws an image from a
code. Both learn together: the loss is what the drawing lacks, and how far the codes are from a normal distribution, from
which new ones are drawn at the end.
"""

import sys

from digits_data import digits

import taper as torch
import taper.nn as nn
import taper.nn.functional as F
from taper.utils.show import save_image

CODE, BATCH = 8, 64

quick = "--quick" in sys.argv
path = next((a for a in sys.argv[1:] if a != "--quick"), "vae.png")

torch.manual_seed(0)
images = digits().view(-1, 64)
encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 2 * CODE))
decoder = nn.Sequential(nn.Linear(CODE, 128), nn.ReLU(), nn.Linear(128, 64))
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=2e-3)


def losses(x):
    """Per image: how badly it is drawn, and the divergence of its codes from the normal distribution."""
    mean, log_var = encoder(x).chunk(2, 1)
    code = mean + (0.5 * log_var).exp() * torch.randn(len(x), CODE)
    drawn = F.binary_cross_entropy_with_logits(decoder(code), x, reduction="sum")
    apart = (log_var.exp() + mean * mean - log_var - 1).sum() * 0.5
    return drawn / len(x), apart / len(x)


epochs = 2 if quick else 60
for epoch in range(1, epochs + 1):
    order = torch.randperm(len(images))
    total = 0.0
    for start in range(0, len(images), BATCH):
        x = images[order[start : start + BATCH]]
        drawn, apart = losses(x)
        loss = drawn + apart
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(x)
    if quick or epoch % 10 == 0:
        print(
            f"epoch {epoch:2d}  loss {total / len(images):.3f}  (drawing {drawn.item():.3f}, codes {apart.item():.3f})"
        )

with torch.no_grad():
    samples = decoder(torch.randn(64, CODE)).sigmoid().view(64, 1, 8, 8)
    large = F.interpolate(samples, scale_factor=4.0)
save_image(large, path, nrow=16)
print(f"drawn: {path}")
