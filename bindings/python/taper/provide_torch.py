"""`python -m taper.provide_torch`: tells pip, in this environment alone, that `torch` is there.

Packages that require `torch` are then installed without PyTorch, and find its version by their metadata. It is metadata
alone: what they import as `torch` is Taper where `taper.run` runs the program. `--remove` takes it away again. It is refused where
PyTorch is installed."""

import argparse
import os
import shutil
import sys
import sysconfig
from importlib import metadata

# The version of PyTorch whose names and values Taper follows.
VERSION = "2.15.0"
_MARK = "Provided by Taper: metadata alone."


def _folder():
    return os.path.join(sysconfig.get_paths()["purelib"], f"torch-{VERSION}.dist-info")


def provide():
    """Writes the metadata."""
    try:
        found = metadata.distribution("torch")
    except metadata.PackageNotFoundError:
        found = None
    if found is not None and _MARK not in (found.read_text("METADATA") or ""):
        raise SystemExit(f"taper.provide_torch: PyTorch {found.version} is installed here: nothing is done")
    folder = _folder()
    os.makedirs(folder, exist_ok=True)
    files = {
        "METADATA": f"Metadata-Version: 2.1\nName: torch\nVersion: {VERSION}\nSummary: {_MARK}\n",
        "INSTALLER": "taper\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: taper\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    for name, text in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text)
    with open(os.path.join(folder, "RECORD"), "w", encoding="utf-8") as f:
        base = os.path.basename(folder)
        f.write("".join(f"{base}/{name},,\n" for name in (*files, "RECORD")))
    return folder


def remove():
    """Takes it away; whether it was there."""
    folder = _folder()
    if not os.path.exists(folder):
        return False
    with open(os.path.join(folder, "METADATA"), encoding="utf-8") as f:
        if _MARK not in f.read():
            raise SystemExit(f"taper.provide_torch: {folder} is PyTorch's own: nothing is done")
    shutil.rmtree(folder)
    return True


def main(argv=None):
    """The command."""
    parser = argparse.ArgumentParser("python -m taper.provide_torch", description=__doc__.split("\n")[0])
    parser.add_argument("--remove", action="store_true", help="take it away again")
    if parser.parse_args(argv).remove:
        print("removed" if remove() else "was not there")
    else:
        print(f"torch {VERSION} counts as installed: {provide()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
