"""Two convolutional networks learn from each other to draw digits:  scripts/example.sh python dcgan [--quick] [PICTURE]

The generator makes an image of random numbers; the critic says how real an image looks. The critic learns to tell the
generator's images from the real ones, the generator to be taken for real (Radford, Metz and Chintala's DCGAN, 2015).
"""

import sys

from digits_data import digits

import taper as torch
import taper.nn as nn
import taper.nn.functional as F
from taper.utils.show import save_image

CODE, BATCH = 16, 64

quick = "--quick" in sys.argv
path = next((a for a in sys.argv[1:] if a != "--quick"), "dcgan.png")

torch.manual_seed(0)
images = digits().view(-1, 1, 8, 8) * 2 - 1  # from -1 to 1, as tanh draws them
generator = nn.Sequential(
    nn.ConvTranspose2d(CODE, 64, 2, bias=False),  # 1x1 to 2x2
    nn.BatchNorm2d(64),
    nn.ReLU(),
    nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1, bias=False),  # to 4x4
    nn.BatchNorm2d(32),
    nn.ReLU(),
    nn.ConvTranspose2d(32, 1, 4, stride=2, padding=1),  # to 8x8
    nn.Tanh(),
)
critic = nn.Sequential(
    nn.Conv2d(1, 32, 4, stride=2, padding=1),  # to 4x4
    nn.LeakyReLU(0.2),
    nn.Conv2d(32, 64, 4, stride=2, padding=1, bias=False),  # to 2x2
    nn.BatchNorm2d(64),
    nn.LeakyReLU(0.2),
    nn.Conv2d(64, 1, 2),  # to 1x1: a number for each image
    nn.Flatten(0),
)
generator_optimizer = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999))
critic_optimizer = torch.optim.Adam(critic.parameters(), lr=5e-4, betas=(0.5, 0.999))
real, fake = torch.ones(BATCH), torch.zeros(BATCH)

epochs = 1 if quick else 60
for epoch in range(1, epochs + 1):
    order = torch.randperm(len(images))
    for start in range(0, len(images) - BATCH + 1, BATCH):
        x = images[order[start : start + BATCH]]
        drawn = generator(torch.randn(BATCH, CODE, 1, 1))

        critic_loss = F.binary_cross_entropy_with_logits(critic(x), real)
        critic_loss = critic_loss + F.binary_cross_entropy_with_logits(critic(drawn.detach()), fake)
        critic_optimizer.zero_grad()
        critic_loss.backward()
        critic_optimizer.step()

        generator_loss = F.binary_cross_entropy_with_logits(critic(drawn), real)
        generator_optimizer.zero_grad()
        generator_loss.backward()
        generator_optimizer.step()
    if quick or epoch % 10 == 0:
        print(f"epoch {epoch:2d}  critic {critic_loss.item():.3f}  generator {generator_loss.item():.3f}")

generator.eval()
with torch.no_grad():
    samples = generator(torch.randn(64, CODE, 1, 1)) / 2 + 0.5
    large = F.interpolate(samples, scale_factor=4.0)
save_image(large, path, nrow=16)
print(f"drawn: {path}")
