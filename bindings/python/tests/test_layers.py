"""The classes of taper.nn and the specification of layers: each class is declared once, or listed as written by hand."""

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
    return entries, by_hand


def test_every_class_is_declared():
    entries, by_hand = declared()
    classes = {n for n in dir(nn) if isinstance(getattr(nn, n), type) and issubclass(getattr(nn, n), nn.Module)}
    assert classes - set(entries) - set(by_hand) == set()
    assert [n for n in (*entries, *by_hand) if not hasattr(nn, n) and n != "NonDynamicallyQuantizableLinear"] == []


def test_few_classes_are_by_hand():
    # This number only becomes smaller.
    assert len(declared()[1]) <= 8
