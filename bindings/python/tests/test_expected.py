"""Values, texts and errors against what fixtures/make.py recorded from PyTorch."""

import importlib.util
import json
import os
import re
import sys
import warnings

import numpy as np
import pytest
from conftest import DEVICE, EXPECTED, FIXTURES, plain

import taper as torch
import taper.nn as nn
import taper.nn.functional as F
from taper.optim import swa_utils

sys.path.insert(0, FIXTURES)
import schedules  # noqa: E402

del sys.path[0]

# Where Taper says more than PyTorch, or says it in other words: expression -> pattern of the message.
OTHER_WORDS = {
    'torch.zeros("a")': "must be tuple of ints",
    "x[1.5]": "only integers, slices",
    "torch.stack([x, torch.ones(2)])": "stack expects each tensor to be equal size",
    "F.conv2d(torch.ones(1, 2, 4, 4), torch.ones(1, 3, 2, 2))": "channels",
    "torch.tensor([300], dtype=torch.int8)": "overflow",
    "x.masked_scatter(x > 0, torch.ones(2).double())": "same dtypes but got Float and Double",
    "torch.zeros(-1)": "negative dimension -1",
    "torch.tensor([1], requires_grad=True)": "^only Tensors of floating point .* can require gradients, got int64",
    "torch.arange(3).requires_grad_()": "^only Tensors of floating point .* can require gradients, got int64",
    'torch.device("foo")': "^Expected one of cpu, cuda, opencl, meta device type at start of device string: foo",
}


# A device finds a bad index later, where it is next waited for, and does not know what the index stood for.
IN_A_KERNEL = {"F.cross_entropy(x, torch.tensor([0, 7]))": "Target 7 is out of bounds. .found by a kernel"}

CPU_ONLY = {
    "x.numpy()": "NumPy shares the CPU's memory",
    "np.asarray(x).sum()": "NumPy shares the CPU's memory",
    "torch.ones(2).to(torch.bfloat16).numpy()": "NumPy shares the CPU's memory",
    "torch.randn(3, 4, generator=torch.Generator().manual_seed(5))": "recorded draws are the CPU's",
    "torch.randint(3, (4,), generator=torch.Generator().manual_seed(1))": "recorded draws are the CPU's",
    "(torch.manual_seed(3), F.scaled_dot_product_attention(*[torch.arange(24.0).view(1, 4, 6) / 24] * 3, dropout_p=0.4))[1]": "recorded draws are the CPU's",
}


def lines(group):
    """The recorded lines of a group, as parameters of a test."""
    marks = lambda line: [pytest.mark.cpu_only(CPU_ONLY[line])] if line in CPU_ONLY else []
    return [pytest.param(line, marks=marks(line)) for line in EXPECTED[group]]


def numbers(text):
    return [float(v) for v in re.findall(r"-?(?:\d+\.?\d*(?:e[+-]?\d+)?|inf|nan)", text)]


def same_text(got, want):
    """Equal, or equal but for the last printed digit of numbers."""
    if got == want:
        return True
    strip = lambda s: re.sub(r"-?\d+\.?\d*(e[+-]?\d+)?", "#", re.sub(r"\s+", " ", s))
    return strip(got) == strip(want) and np.allclose(numbers(got), numbers(want), rtol=2e-4, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("line", lines("expressions"))
def test_expression(line):
    x = torch.arange(6.0).reshape(2, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = plain(repr(eval(line, {"torch": torch, "np": np, "F": F, "nn": nn, "x": x})))
    want = EXPECTED["expressions"][line]
    assert same_text(got, want), f"\n got: {got}\nwant: {want}"


@pytest.mark.parametrize("line", lines("module texts"))
def test_module_text(line):
    assert plain(repr(eval(line, {"torch": torch, "nn": nn}))) == EXPECTED["module texts"][line]


def first_sentence(text):
    return re.split(r"\n|\. |; ", text.strip())[0].rstrip(".")


@pytest.mark.parametrize("line", lines("errors"))
def test_error(line):
    kind, text = EXPECTED["errors"][line]
    names = {"torch": torch, "np": np, "F": F, "nn": nn, "x": torch.arange(6.0).reshape(2, 3)}
    with warnings.catch_warnings(), pytest.raises(Exception) as caught:
        warnings.simplefilter("ignore")
        exec(line, names)
        if line in IN_A_KERNEL and DEVICE != "cpu":
            torch.accelerator.synchronize()
    got = caught.value
    assert kind in [c.__name__ for c in type(got).__mro__], f"{type(got).__name__}: {got}, want {kind}: {text}"
    if line in IN_A_KERNEL and DEVICE != "cpu":
        assert re.search(IN_A_KERNEL[line], str(got))
    elif line in OTHER_WORDS:
        assert re.search(OTHER_WORDS[line], str(got)), f"{got}, want {text}"
    else:
        assert first_sentence(text).replace("torch", "") in plain(str(got)).replace("taper", "").replace("torch", ""), (
            f"\n got: {got}\nwant: {text}"
        )


def test_loaders(expected):
    data = torch.utils.data.TensorDataset(torch.arange(10))
    loader = lambda **o: torch.utils.data.DataLoader(data, **o)
    torch.manual_seed(0)
    shuffled = [[b[0].tolist() for b in loader(batch_size=4, shuffle=True)] for _ in range(2)]
    assert shuffled == expected["shuffled"]
    assert torch.rand(3, device="cpu").tolist() == pytest.approx(expected["after shuffle"])
    torch.manual_seed(0)
    parts = torch.utils.data.random_split(range(10), [7, 3])
    assert [list(p.indices) for p in parts] == expected["split"]
    assert [len(p) for p in torch.utils.data.random_split(range(10), [0.45, 0.55])] == expected["fractions"]
    torch.manual_seed(0)
    sampler = torch.utils.data.RandomSampler(range(5), replacement=True, num_samples=40)
    assert list(sampler) == expected["replacement"]
    assert list(torch.utils.data.WeightedRandomSampler([1.0, 2.0, 3.0], 6)) == expected["weighted"]
    g = torch.Generator().manual_seed(3)
    batches = [b[0].tolist() for b in loader(batch_size=3, shuffle=True, generator=g, drop_last=True)]
    assert batches == expected["own generator"]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3)
        self.conv2 = nn.Conv2d(6, 16, 3)
        self.fc1 = nn.Linear(16 * 6 * 6, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(-1, 16 * 6 * 6)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-3, nesterov=True),
    "Adam": lambda p: torch.optim.Adam(p, lr=2e-3),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=2e-3, amsgrad=True),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=1e-4, momentum=0.5, centered=True),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=1e-3, lr_decay=0.1),
    "Adadelta": lambda p: torch.optim.Adadelta(p, lr=0.5),
    "Adamax": lambda p: torch.optim.Adamax(p),
    "NAdam": lambda p: torch.optim.NAdam(p),
    "RAdam": lambda p: torch.optim.RAdam(p, lr=5e-3),
    "Rprop": lambda p: torch.optim.Rprop(p, lr=1e-3, etas=(0.4, 1.3), step_sizes=(1e-5, 2e-3)),
    "ASGD": lambda p: torch.optim.ASGD(p, lr=0.05, lambd=0.01, t0=3, weight_decay=1e-3),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_prints_the_same_losses(name, expected, device):
    torch.manual_seed(0)
    with torch.device("cpu"):  # where the draws are PyTorch's
        net = Net()
        x, t = torch.rand(16, 1, 32, 32), torch.randint(0, 10, (16,))
    net, x, t = net.to(device), x.to(device), t.to(device)
    optimizer = OPTIMIZERS[name](net.parameters())
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), t)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == pytest.approx(expected["losses"][name], abs=5e-4)


SCHEDULERS = {
    "StepLR": lambda lr, o: lr.StepLR(o, 3, 0.5),
    "MultiStepLR": lambda lr, o: lr.MultiStepLR(o, [2, 5], 0.1),
    "LambdaLR": lambda lr, o: lr.LambdaLR(o, lambda e: 0.9**e),
    "ExponentialLR": lambda lr, o: lr.ExponentialLR(o, 0.8),
    "CosineAnnealingLR": lambda lr, o: lr.CosineAnnealingLR(o, 4, 0.01),
    "CosineAnnealingWarmRestarts": lambda lr, o: lr.CosineAnnealingWarmRestarts(o, 3, 2),
    "LinearLR": lambda lr, o: lr.LinearLR(o, 0.25, total_iters=4),
    "ConstantLR": lambda lr, o: lr.ConstantLR(o, 0.5, 3),
    "PolynomialLR": lambda lr, o: lr.PolynomialLR(o, 5, 2.0),
    "OneCycleLR": lambda lr, o: lr.OneCycleLR(o, 1.0, total_steps=12),
    "SWALR": lambda lr, o: swa_utils.SWALR(o, 0.05, anneal_epochs=4),
    "CyclicLR": lambda lr, o: lr.CyclicLR(o, 0.1, 1.0, 3),
    "SequentialLR": lambda lr, o: lr.SequentialLR(
        o, [lr.ConstantLR(o, 0.1, 3), lr.ExponentialLR(o, 0.9)], milestones=[3]
    ),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_scheduler(name, expected):
    o = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4, momentum=0.9)
    s = SCHEDULERS[name](torch.optim.lr_scheduler, o)
    rates = [o.param_groups[0]["lr"]]
    for _ in range(10):
        o.step()
        s.step()
        rates.append(o.param_groups[0]["lr"])
    assert rates == pytest.approx(expected["rates"][name])


def _close(a, b):
    if isinstance(b, list):
        return isinstance(a, list) and len(a) == len(b) and all(map(_close, a, b))
    return a == b if isinstance(b, str) else a == pytest.approx(b, rel=1e-9, abs=1e-15)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(schedules.makers(torch)))
def test_schedulers_go_on(name):
    """Resumed with last_epoch, loaded, chained, in sequence."""
    with open(os.path.join(FIXTURES, "schedules.json")) as f:
        wanted = json.load(f)[name]
    got = schedules.rates(torch, schedules.makers(torch)[name])
    assert set(got) == set(wanted)
    for way, values in wanted.items():
        assert _close(got[way], values), (way, got[way], values)


def test_reduce_on_plateau(expected):
    o = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4)
    s = torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=1, factor=0.5)
    rates = []
    for metric in [1, 0.9, 0.95, 0.95, 0.95, 0.8, 0.81, 0.82, 0.83]:
        s.step(metric)
        rates.append(o.param_groups[0]["lr"])
    assert rates == pytest.approx(expected["rates"]["ReduceLROnPlateau"])


def test_fixtures_come_from_the_script():
    """The recorded expressions are those of the script."""
    with open(os.path.join(FIXTURES, "make.py")) as f:
        source = f.read()
    for group in ("expressions", "errors", "module texts"):
        for line in EXPECTED[group]:
            assert line in source
    assert importlib.util.find_spec("taper") is not None
