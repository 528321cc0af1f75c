"""Draws docs/images/speed.svg, the picture of the README, from the newest tables of docs/BENCHMARKS.md: scripts/draw_speed.py

With --check nothing is written and the exit status says whether the picture is the tables'. Only Python is needed.
"""

import pathlib
import re
import sys
from xml.sax.saxutils import escape

ROOT = pathlib.Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs/images/speed.svg"
# A row of the tables and what it is called in the picture.
WORKLOADS = [
    ("LeNet training step, batch 64, Adam", "train LeNet, a batch of 64"),
    ("LeNet inference, batch 256", "LeNet inference, a batch of 256"),
    ("MLP 784-1024-1024-10 training step, batch 256, Adam", "train an MLP, a batch of 256"),
    ("matmul 1024x1024", "matmul 1024x1024"),
    ("conv2d 16x64x28x28, 64 kernels 3x3, and its gradients", "conv2d and its gradients"),
    ("add 2x2", "add 2x2 (the cost of a call)"),
]
UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "MB": 1.0}
OURS, THEIRS, INK, FAINT = "#c2571a", "#9aa0a6", "#24292f", "#57606a"


def number(text):
    value, unit = text.replace(",", "").split()
    return float(value) * UNITS[unit]


def tables():
    """The date of the newest tables, the rows of both libraries, and the rows of one cell."""
    page = (ROOT / "docs/BENCHMARKS.md").read_text(encoding="utf-8")
    section = re.search(r"^## Two threads, ([\d-]+)\n(.*?)(?=^## )", page, re.M | re.S)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section[2].splitlines() if line[:1] == "|"
    ]
    machine = re.search(r"^CPU: (.*?)(?: \(|  $|$)", section[2], re.M)[1]
    return section[1], machine, {row[0]: row[1:] for row in rows}


def draw():
    date, machine, rows = tables()
    groups = [
        (label, *(number(cell) for cell in rows[name][:2]), rows[name][0], rows[name][1]) for name, label in WORKLOADS
    ]
    for name, label, cell in (
        ("import {}", "import, until it returns", 0),
        ("import {}", "memory after the import", 1),
    ):
        ours, theirs = rows[name.format("taper")][cell], rows[name.format("torch")][cell]
        groups.append((label, number(ours), number(theirs), ours, theirs))
    installed = rows["the installed package torch, without the CUDA packages"][0]
    groups.append(
        ("installed size", number(rows["libtaper.so"][0]), number(installed), rows["libtaper.so"][0], installed)
    )
    left, width, step, top = 230, 420, 34, 58
    height = top + step * len(groups) + 34
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" width="760" height="{height}" '
        'font-family="Helvetica, Arial, sans-serif">',
        f'<rect width="760" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="16" font-weight="bold" fill="{INK}">'
        f'<tspan fill="{OURS}">Taper</tspan> and <tspan fill="{FAINT}">PyTorch</tspan> on the same CPU (shorter is better)</text>',
    ]
    for i, (label, ours, theirs, ours_text, theirs_text) in enumerate(groups):
        y = top + step * i
        out.append(
            f'<text x="{left - 12}" y="{y + 14}" font-size="13" text-anchor="end" fill="{INK}">{escape(label)}</text>'
        )
        longest = max(ours, theirs)
        for value, text, color, dy in ((ours, ours_text, OURS, 0), (theirs, theirs_text, THEIRS, 12)):
            length = max(width * value / longest, 2)
            out.append(f'<rect x="{left}" y="{y + dy}" width="{length:.1f}" height="10" fill="{color}"/>')
            out.append(
                f'<text x="{left + length + 6:.1f}" y="{y + dy + 9}" font-size="11" fill="{INK}">{escape(text)}</text>'
            )
    out.append(
        f'<text x="16" y="{height - 14}" font-size="11" fill="{FAINT}">{escape(machine)}, two threads, {date}; '
        "each pair has a scale of its own. All workloads: docs/BENCHMARKS.md</text>"
    )
    return "\n".join([*out, "</svg>", ""])


def main():
    picture = draw()
    if sys.argv[1:] == ["--check"]:
        if not PICTURE.exists() or PICTURE.read_text(encoding="utf-8") != picture:
            sys.exit("docs/images/speed.svg is not what docs/BENCHMARKS.md says: python3 scripts/draw_speed.py")
        return
    PICTURE.write_text(picture, encoding="utf-8")


main()
