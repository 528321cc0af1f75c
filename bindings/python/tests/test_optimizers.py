"""Every optimiser against PyTorch's recorded steps (tests/fixtures/optimizers.txt), its printed form and its state's keys."""

import inspect
import pickle
from pathlib import Path

import pytest

import taper as torch

FIXTURES = Path(__file__).parents[3] / "tests" / "fixtures"
FIXTURE = FIXTURES / "optimizers.txt"
SIGNATURES = FIXTURES / "optim_signatures.txt"
# NAdam's product of momenta and the like are float32 in PyTorch, rounded after each operation.
TOLERANCE = {"float64": 1e-10, "float32": 5e-6, "bfloat16": 0.05}
ROUGH = {"Muon": {"float64": 2e-2, "float32": 2e-2, "bfloat16": 0.06}, "LBFGS": {"float32": 2e-3}}


def value(text):
    if "," in text:
        return tuple(value(t) for t in text.split(","))
    known = {"True": True, "False": False, "None": None}
    for convert in (known.__getitem__, int, float):
        try:
            return convert(text)
        except (KeyError, ValueError):
            pass
    return text


def blocks():
    if not FIXTURE.exists():
        return
    for block in FIXTURE.read_text().removeprefix("== ").split("\n== "):
        head, *lines = block.rstrip("\n").split("\n")
        name, dtype, *words = head.split()
        shapes = [tuple(map(int, w.split("x"))) for w in words[:2]]
        options = dict(w.split("=", 1) for w in words[2:])
        yield pytest.param(
            name,
            dtype,
            shapes,
            {k: value(v) for k, v in options.items()},
            lines,
            id="-".join([name, dtype, *words[2:]]),
        )


def parameters(dtype, shapes):
    out = []
    for k, shape in enumerate(shapes):
        n = torch.Size(shape).numel()
        out.append(torch.nn.Parameter(torch.tensor([(i - 3) / 4 + k for i in range(n)], dtype=dtype).reshape(shape)))
    return out


def objective(params):
    total = 0
    for p in params:
        i = torch.arange(p.numel(), dtype=p.dtype)
        d = p.flatten() - (i / 4 - 0.5)
        total = total + (d**4).sum() + ((1 + i) * d * d).sum()
    return total


@pytest.mark.parametrize("name, dtype, shapes, options, lines", list(blocks()))
def test_steps_are_pytorchs(name, dtype, shapes, options, lines):
    params = parameters(getattr(torch, dtype), shapes)
    opt = getattr(torch.optim, name)(params, **options)
    assert repr(opt) == "\n".join(line[2:] for line in lines if line[0] == "|")
    tolerance = ROUGH.get(name, TOLERANCE).get(dtype, TOLERANCE[dtype])

    def closure():
        opt.zero_grad()
        loss = objective(params)
        loss.backward()
        return loss

    step = 0
    for line in lines:
        if line[0] in "|.":
            continue
        last, numbers = line.split(":")
        got = []
        while step < int(last):
            if name == "LBFGS":
                got = [opt.step(closure).item()]
            else:
                for k, p in enumerate(params):
                    if k == 0 or step >= 4:
                        g = [((step * 31 + i * 17) % 23 - 11) / (4.0 + step) for i in range(p.numel())]
                        p.grad = torch.tensor(g, dtype=p.dtype).reshape(p.shape)
                opt.step()
            if step == 2:  # through a pickle, in the middle
                restored = pickle.loads(pickle.dumps(opt.state_dict()))
                opt = getattr(torch.optim, name)(params, **options)
                opt.load_state_dict(restored)
            step += 1
        for p in params:
            got += p.detach().double().flatten().tolist()
        want = [float(v) for v in numbers.split()]
        assert len(got) == len(want)
        for g, w in zip(got, want):
            assert abs(g - w) <= tolerance * max(1, abs(w)), f"step {last}: {g} instead of {w}"
    keys = next(line for line in lines if line[0] == ".")[1:].split()
    assert set(opt.state[params[0]]) >= set(keys) - {"al"}


def test_lbfgs_refuses_groups_and_unknown_searches():
    p = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(ValueError, match="per-parameter options"):
        torch.optim.LBFGS([{"params": [p]}, {"params": [torch.nn.Parameter(torch.ones(1))]}])
    with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
        torch.optim.LBFGS([p], line_search_fn="armijo").step(lambda: objective([p]))
    with pytest.raises(ValueError, match="Muon only supports 2D parameters"):
        torch.optim.Muon([p])


@pytest.mark.skipif(not SIGNATURES.exists(), reason="not in a checkout")
def test_signatures_are_pytorchs():
    from taper.optim import lr_scheduler, swa_utils

    for line in SIGNATURES.read_text().splitlines():
        name = line.split("(")[0]
        cls = next(getattr(m, name) for m in (torch.optim, lr_scheduler, swa_utils) if hasattr(m, name))
        assert name + str(inspect.signature(cls)) == line
        assert cls.__module__.startswith("taper.optim")


def test_lbfgs_where_a_search_has_nothing_left_to_gain():
    """The line search divides by differences that are 0 then."""
    for maximize in (False, True):
        p = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
        opt = torch.optim.LBFGS([p], line_search_fn="strong_wolfe")
        opt.param_groups[0]["maximize"] = maximize

        def closure():
            opt.zero_grad()
            loss = (p * p).sum() * (-1 if maximize else 1) + 1e-3 * p.sum()
            loss.backward()
            return loss

        for _ in range(8):
            opt.step(closure)
        want = 5e-4 if maximize else -5e-4
        assert p.tolist() == pytest.approx([want, want], abs=1e-9)
        assert len(opt.state_dict()["state"][0]["al"]) == 100
