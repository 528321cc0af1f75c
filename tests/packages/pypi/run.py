"""Packages of PyPI on Taper: what they do with it is compared with what they did with PyTorch (record.json).

    run.py [names...]            with Taper, in an interpreter that has the packages (scripts/packages.sh makes one)
    run.py --record [names...]   with PyTorch, which is imported as torch

A package that is not installed is skipped.
"""

import json
import math
import os
import sys
import time
import traceback
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
RECORD = os.path.join(HERE, "record.json")
sys.path.insert(0, HERE)
warnings.simplefilter("ignore")


def plain(torch, v):
    if isinstance(v, torch.Tensor):
        v = v.detach()
        return v.float().tolist() if v.is_floating_point() else v.tolist()
    return v


def close(a, b, tolerance):
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(close(x, y, tolerance) for x, y in zip(a, b))
    if isinstance(a, float) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance) or (math.isnan(a) and math.isnan(b))
    return a == b


def main():
    recording = "--record" in sys.argv
    if not recording:
        from taper.run import install

        install()
    import checks
    import torch

    every = [n for n, f in vars(checks).items() if callable(f) and not n.startswith("_")]
    names = [n for n in sys.argv[1:] if not n.startswith("-")] or every
    record = {}
    if os.path.exists(RECORD):
        with open(RECORD) as f:
            record = json.load(f)
    bad = 0
    for name in names:
        start = time.time()
        try:
            __import__(name)
        except ModuleNotFoundError as error:
            if error.name == name:
                print(f"{name}: not installed, skipped")
                continue
            print(f"{name}: {error}")
            bad += 1
            continue
        except Exception:
            traceback.print_exc(limit=-3)
            bad += 1
            continue
        try:
            made = {k: plain(torch, v) for k, v in getattr(checks, name)(torch).items()}
        except Exception:
            print(f"{name}: failed")
            traceback.print_exc(limit=-5)
            bad += 1
            continue
        if recording:
            record[name] = made
            continue
        if name not in record:
            print(f"{name}: runs ({len(made)} values), not recorded yet: run.py --record {name}")
            continue
        wrong = []
        for k, want in record[name].items():
            got = made.get(k)
            # A gradient has gone through a whole network.
            if not close(got, want, 2e-3 if k.endswith("grad") else 2e-4):
                wrong.append(f"  {k}: {str(got)[:300]}\n    PyTorch: {str(want)[:300]}")
        print(
            f"{name}: {len(record[name]) - len(wrong)} of {len(record[name])} as PyTorch, {time.time() - start:.1f} s"
        )
        if wrong:
            print("\n".join(wrong))
            bad += 1
    if recording:
        with open(RECORD, "w") as f:
            f.write("{\n")
            f.write(",\n".join(f" {json.dumps(n)}: {json.dumps(v)}" for n, v in sorted(record.items())))
            f.write("\n}\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
