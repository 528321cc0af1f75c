"""The classes of taper.nn and the specification of layers: each class is declared once, or listed as written by hand."""

import ast
import importlib
import inspect
import os
import re

import pytest
from conftest import PACKAGE

from taper import nn

SPEC = os.path.join(PACKAGE, "..", "..", "spec", "layers.txt")


def declared():
    if not os.path.exists(SPEC):
        pytest.skip("needs the source tree")
    with open(SPEC) as f:
        text = f.read()
    entries = re.findall(r"^(?:layer|loss|lazy) ([A-Za-z]\w*)", text, re.M)
    by_hand = " ".join(re.findall(r"^python by hand (.*)$", text, re.M)).split()
    # A family is a base in the other languages alone.
    return entries, [n for n in by_hand if not n.startswith("_")]


def test_every_class_is_declared():
    entries, by_hand = declared()
    classes = {n for n in dir(nn) if isinstance(getattr(nn, n), type) and issubclass(getattr(nn, n), nn.Module)}
    assert classes - set(entries) - set(by_hand) == set()
    assert [n for n in (*entries, *by_hand) if not hasattr(nn, n) and n != "NonDynamicallyQuantizableLinear"] == []


def test_few_classes_are_by_hand():
    # Containers, Identity and Embedding, recurrent layers with their bases, attention, and those whose outputs or constructors
    # the specification cannot say yet (FractionalMaxPool, AdaptiveLogSoftmaxWithLoss ..): this number only becomes smaller.
    assert len(declared()[1]) <= 27


@pytest.mark.parametrize("file", "activation linear conv pooling normalization loss misc".split())
def test_stubs_have_the_constructors(file):
    module = importlib.import_module(f"taper.nn.modules.{file}")
    with open(os.path.join(PACKAGE, "taper", "nn", "modules", file + ".pyi")) as f:
        described = {n.name: n for n in ast.parse(f.read()).body if isinstance(n, ast.ClassDef)}
    own = {n: c for n, c in vars(module).items() if isinstance(c, type) and c.__module__ == module.__name__}
    assert sorted(own) == sorted(described)
    for name, cls in own.items():
        methods = {n.name: n.args for n in described[name].body if isinstance(n, ast.FunctionDef)}
        assert ("__init__" in methods) == ("__init__" in vars(cls)), name
        for method in {"__init__", "forward"} & set(methods):
            a = methods[method]
            given = list(inspect.signature(getattr(cls, method)).parameters)
            assert [p.arg for p in (*a.args, *a.kwonlyargs)] == given, (name, method)
