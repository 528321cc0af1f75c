"""The library's size: what it weighs stripped, and what one exported function costs.

    python3 tests/size/check.py [libtaper.so]

Read from the symbols of the library as it is built (functions folded into one count once), with `nm`, `size` and `strip`.
An exported function costs its own code, the code of src/capi, which serves it, and their part of the tables by which
errors unwind. The limits are for x86-64 Linux; elsewhere the numbers are printed only.
"""

import os
import platform
import re
import subprocess
import sys
import tempfile
from collections import Counter

# Bytes. Lower them when the library shrinks; before raising one, find out what grew (the table printed here is a start).
# 16 MB are for the libraries' worth of mathematics that torch has: linear algebra, transforms, complex numbers.
WHOLE = 16_000_000
FUNCTION = 900

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
TABLES = (".eh_frame", ".eh_frame_hdr", ".gcc_except_table")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def stripped(library):
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "stripped.so")
        run("strip", "-o", out, library)
        return os.path.getsize(out)


def functions(library):
    """Name and size of the code at each address."""
    at = {}
    for line in run("nm", "-S", "-C", "--defined-only", library).splitlines():
        parts = line.split(None, 3)
        if len(parts) == 4 and parts[2] in "tTwW":
            address, size, name = int(parts[0], 16), int(parts[1], 16), parts[3]
            at[address] = max(at.get(address, (0, "")), (size, name))
    return [(name, size) for size, name in at.values()]


def group(name):
    if re.fullmatch(r"taper_\w+", name) or "taper::capi" in name:
        return "C functions"
    place = re.search(r"\b(taper_kernels::backend|taper)::(\w+)", name)
    if place:
        return {"taper_kernels::backend": "kernels: "}.get(place[1], "core: ") + place[2]
    return "libraries"


def main():
    library = (
        sys.argv[1]
        if len(sys.argv) > 1
        else os.environ.get("TAPER_LIBRARY", os.path.join(ROOT, "target", "release", "libtaper.so"))
    )
    exported = sum(1 for line in run("nm", "-D", "--defined-only", library).splitlines() if " T taper_" in line)
    code = Counter()
    for name, size in functions(library):
        code[group(name)] += size
    sections = dict(re.findall(r"^(\.\S+)\s+(\d+)", run("size", "-A", library), re.M))
    tables = sum(int(sections.get(s, 0)) for s in TABLES) / int(sections[".text"])
    whole = stripped(library)
    each = code["C functions"] * (1 + tables) / exported
    for name, size in code.most_common(16):
        print(f"{size:>10,}  {name}")
    print(f"{whole:>10,}  bytes, stripped (at most {WHOLE:,})")
    print(f"{each:>10,.0f}  bytes for each of {exported} C functions (at most {FUNCTION})")
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        print("no limits are set for this platform")
        return 0
    failed = [
        what
        for what, over in (("the library is too large", whole > WHOLE), ("C functions cost too much", each > FUNCTION))
        if over
    ]
    for what in failed:
        print(f"FAIL: {what}; see above, and tests/size/check.py")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
