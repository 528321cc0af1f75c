"""A small Transformer reads Shakespeare's sonnets, letter by letter, and goes on in their manner:

scripts/example.sh python char_transformer [--quick] [PICTURE]
"""

import math
import pathlib
import sys

import taper as torch
import taper.nn as nn
import taper.nn.functional as F
from taper.utils.show import save_plot

TEXT = pathlib.Path(__file__).parents[2] / "data" / "sonnets" / "sonnets.txt"
CONTEXT, BATCH, WIDTH, HEADS, LAYERS = 48, 16, 64, 4, 2

quick = "--quick" in sys.argv
path = next((a for a in sys.argv[1:] if a != "--quick"), "char_transformer.png")


class Model(nn.Module):
    """Letters to the odds of each next letter. No position sees a later one: the mask forbids it."""

    def __init__(self, letters):
        super().__init__()
        self.letter = nn.Embedding(letters, WIDTH)
        self.place = nn.Embedding(CONTEXT, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, letters)
        self.register_buffer("mask", torch.full((CONTEXT, CONTEXT), -math.inf).triu(1), persistent=False)

    def forward(self, x):
        n = x.size(1)
        h = self.letter(x) + self.place(torch.arange(n))
        return self.head(self.layers(h, self.mask[:n, :n]))


torch.manual_seed(0)
text = TEXT.read_text(encoding="ascii")
alphabet = sorted(set(text))
codes = torch.tensor([alphabet.index(c) for c in text])
model = Model(len(alphabet))
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
print(f"{len(text)} letters of {len(alphabet)} kinds, {sum(p.numel() for p in model.parameters())} parameters")

steps, told, length = (10, 5, 40) if quick else (1000, 100, 400)
losses = []
for step in range(1, steps + 1):
    starts = torch.randint(len(codes) - CONTEXT, (BATCH, 1))
    window = codes[starts + torch.arange(CONTEXT + 1)]  # each row a piece of the text, with the letter after it
    odds = model(window[:, :-1])
    loss = F.cross_entropy(odds.reshape(-1, len(alphabet)), window[:, 1:].reshape(-1))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    if step % told == 0:
        print(f"step {step:4d}  loss {loss.item():.3f}")

model.eval()
with torch.no_grad():
    said = codes[:CONTEXT].tolist()[:20]
    for _ in range(length):
        odds = model(torch.tensor(said[-CONTEXT:]).unsqueeze(0))[0, -1]
        said.append(torch.multinomial(F.softmax(odds / 0.7, 0), 1).item())
print("".join(alphabet[c] for c in said))
save_plot({"loss": losses}, path, "Reading the sonnets, letter by letter")
print(f"drawn: {path}")
