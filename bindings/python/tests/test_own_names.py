"""What one module of the package asks of another exists there; functions written by hand write into `out`."""

import ast
import importlib
import os
import sys

import pytest

import taper as torch

ROOT = os.path.dirname(torch.__file__)


def modules():
    for folder, _, files in os.walk(ROOT):
        for file in sorted(files):
            path = os.path.join(folder, file)
            name = os.path.relpath(path, os.path.dirname(ROOT))[:-3].replace(os.sep, ".")
            # These do their work where they are imported.
            if file.endswith(".py") and file not in ("__main__.py", "provide_torch.py", "setup.py"):
                yield path, name.removesuffix(".__init__")


@pytest.fixture
def imports():
    """What is imported in a test is gone after it."""
    names, loaded = set(vars(torch)), set(sys.modules)
    yield
    for name in set(sys.modules) - loaded:
        del sys.modules[name]
    for name in set(vars(torch)) - names:
        delattr(torch, name)


def test_attributes_of_modules_exist(imports):
    missing = []
    for path, name in modules():
        names = vars(importlib.import_module(name))
        with open(path, encoding="utf-8") as f:
            tree = ast.parse(f.read())
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and isinstance(node.ctx, ast.Load):
                owner = names.get(node.value.id)
                of_ours = isinstance(owner, type(torch)) and owner.__name__.startswith("taper")
                # Complex numbers are made where there are some.
                if of_ours and not hasattr(owner, node.attr) and node.attr != "view_as_real":
                    missing.append(f"{os.path.relpath(path, ROOT)}:{node.lineno}: {node.value.id}.{node.attr}")
    assert missing == []


@pytest.mark.parametrize(
    "call",
    [
        lambda x, out: torch.where(x > 1, x, x * 2, out=out),
        lambda x, out: torch.std(x, 1, out=out),
        lambda x, out: torch.var(x, dim=0, correction=0, out=out),
        lambda x, out: torch.norm(x, 2, 1, out=out),
        lambda x, out: torch.nonzero(x, out=out),
    ],
)
def test_results_go_where_out_says(call):
    x = torch.tensor([[1.0, 0.0, 3.0], [0.0, 5.0, 0.5]])
    wanted = call(x, None)
    out = torch.empty(wanted.shape, dtype=wanted.dtype)
    assert call(x, out) is out and torch.equal(out, wanted)


@pytest.mark.parametrize(
    "draw", [lambda **k: torch.randint(9, (3,), **k), lambda **k: torch.normal(0.0, 1.0, (3,), **k)]
)
def test_draws_go_where_out_says(draw):
    torch.manual_seed(3)
    wanted = draw()
    torch.manual_seed(3)
    out = torch.empty(3, dtype=wanted.dtype)
    assert draw(out=out) is out and torch.equal(out, wanted)


def test_modules_that_are_kept_elsewhere():
    """Names of PyTorch's modules import, forward what they hold, and lack what PyTorch's lack."""
    from taper import _module_names

    for name in _module_names.FORWARDED:
        assert importlib.import_module("taper." + name).__name__ == "taper." + name
    for place, names in {
        "optim.adamw": "AdamW",
        "optim.lbfgs": "LBFGS",
        "optim.rmsprop": "RMSprop",
        "autograd.grad_mode": "no_grad enable_grad inference_mode",
        "autograd.variable": "Variable",
        "functional": "einsum norm split",
        "utils.dlpack": "from_dlpack to_dlpack",
        "nn.modules.activation": "MultiheadAttention ReLU",
        "nn.modules.linear": "Identity Linear",
        "nn.modules.loss": "LinearCrossEntropyLoss MSELoss",
        "nn.modules.pooling": "FractionalMaxPool2d",
        "nn.modules.instancenorm": "LazyInstanceNorm1d",
    }.items():
        module = importlib.import_module("taper." + place)
        assert all(hasattr(module, n) for n in names.split()), place
    assert torch.nn.modules.dropout.Dropout is torch.nn.Dropout
    assert torch.optim.adamw.AdamW is torch.optim.AdamW
    for package in (torch.optim, torch.nn, torch.nn.modules, torch.autograd, torch.utils, torch.functional):
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            _ = package.nothing
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("taper.optim.nothing")
