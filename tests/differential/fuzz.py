"""Random calls of PyTorch and of Taper in one process, compared: results, dtypes, shapes, errors, gradients.

python tests/differential/fuzz.py [--seconds S | --cases N] [--seed N] [--ops NAME,NAME] [--device DEVICE] [--show N]

It needs a Python with torch. What differs is shortened, grouped by (op, kind) and printed as one line that makes it; it
fails unless accepted.txt explains it.
"""

import argparse
import copy
import fnmatch
import math
import sys
import time
import warnings
from pathlib import Path

import torch

import taper

sys.path.insert(0, str(Path(__file__).parent))
import cases  # noqa: E402

warnings.simplefilter("ignore")
torch.set_num_threads(1)
TOLERANCE = {"float64": 1e-7, "float32": 2e-4, "float16": 4e-3, "bfloat16": 3e-2}


class Numbers:
    """A result as plain data: a structure of (dtype, shape, values)."""

    @staticmethod
    def of(result):
        if isinstance(result, (torch.Tensor, taper.Tensor)):
            return ("tensor", str(result.dtype).split(".")[-1], tuple(result.shape), flat(result.detach()))
        if isinstance(result, (tuple, list)) and not isinstance(result, (torch.Size, taper.Size)):
            return ("list", [Numbers.of(r) for r in result])
        if isinstance(result, (torch.dtype, taper.dtype)):
            return ("value", str(result).split(".")[-1])
        if isinstance(result, (torch.Size, taper.Size)):
            return ("value", tuple(result))
        return ("value", result)


def flat(t):
    if str(t.dtype).endswith(("float16", "bfloat16")):
        t = t.float()
    if isinstance(t, torch.Tensor):
        # A gradient that is zero everywhere may have no memory.
        t = torch.zeros(t.shape, dtype=t.dtype) + t if t._is_zerotensor() else t
    return t.cpu().reshape(-1).tolist()


def close(a, b, tolerance):
    if isinstance(a, bool) or isinstance(b, bool) or not isinstance(a, float):
        return a == b
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    if math.isinf(a) or math.isinf(b):
        return a == b
    return abs(a - b) <= tolerance * max(1.0, abs(a), abs(b))


def differ(want, got):
    """None, or what differs: (kind, detail)."""
    if want[0] != got[0]:
        return "kind", f"{want[0]} and {got[0]}"
    if want[0] == "list":
        if len(want[1]) != len(got[1]):
            return "length", f"{len(want[1])} and {len(got[1])}"
        for w, g in zip(want[1], got[1]):
            found = differ(w, g)
            if found:
                return found
        return None
    if want[0] == "value":
        if isinstance(want[1], float) and isinstance(got[1], float):
            return None if close(want[1], got[1], 1e-4) else ("value", f"{want[1]} and {got[1]}")
        return None if want[1] == got[1] and type(want[1]) is type(got[1]) else ("value", f"{want[1]!r} and {got[1]!r}")
    if want[1] != got[1]:
        return "dtype", f"{want[1]} and {got[1]}"
    if want[2] != got[2]:
        return "shape", f"{want[2]} and {got[2]}"
    tolerance = TOLERANCE.get(want[1], 0)
    for w, g in zip(want[3], got[3]):
        if not close(w, g, tolerance):
            return "value", f"{want[3][:8]} and {got[3][:8]}"
    return None


def tensors(result):
    if isinstance(result, (tuple, list)):
        for r in result:
            yield from tensors(r)
    elif isinstance(result, (torch.Tensor, taper.Tensor)):
        yield result


class Run:
    """One case in one library, as far as it goes."""

    def __init__(self, case, library, device, order):
        self.result = self.error = self.gradients = self.grad_error = self.second = None
        names = {"torch": library}
        try:
            leaves = []
            for name, i in case.inputs.items():
                t = eval(i.text(), names)
                if device:
                    t = t.detach().to(device)
                if i.grad and not t.requires_grad:
                    t = t.detach().requires_grad_()
                elif i.grad and device:
                    t.requires_grad_()
                names[name] = t
                if i.grad:
                    leaves.append(t)
            result = eval(case.call(), names)
            self.result = Numbers.of(result)
            # What was written in place shows in the inputs.
            if case.method:
                self.result = ("list", [self.result, *(Numbers.of(names[n]) for n in case.inputs)])
        except Exception as e:
            self.error = e
            return
        outputs = [t for t in tensors(result) if t.requires_grad] if leaves else []
        if not outputs or not order:
            return
        try:
            total = sum(weighted(t) for t in outputs)
            grads = library.autograd.grad(total, leaves, create_graph=order > 1, allow_unused=True)
            self.gradients = ("list", [Numbers.of(g) for g in grads])
            again = [g for g in grads if g is not None and g.requires_grad]
            if order > 1 and again:
                total = sum(weighted(g) for g in again)
                self.second = ("list", [Numbers.of(g) for g in library.autograd.grad(total, leaves, allow_unused=True)])
        except Exception as e:
            self.grad_error = e


def weighted(t):
    """A sum in which each element has its own weight."""
    n = t.numel()
    library = torch if isinstance(t, torch.Tensor) else taper
    w = library.tensor([(i * 7 % 11 + 1) / 8 for i in range(n)], dtype=t.dtype, device=t.device).reshape(tuple(t.shape))
    return (t * w).sum()


def zeros_for_none(want, got):
    """An unused gradient may be None in one and zeros in the other."""
    for k, (w, g) in enumerate(zip(want[1], got[1])):
        if w[0] != g[0]:
            there = w if w[0] == "tensor" else g
            if there[0] == "tensor" and not any(there[3]):
                want[1][k] = got[1][k]
    return want, got


def error_class(e):
    for kind in (
        IndexError,
        TypeError,
        ValueError,
        NotImplementedError,
        RuntimeError,
        OverflowError,
        ZeroDivisionError,
        KeyError,
    ):
        if isinstance(e, kind):
            return kind.__name__
    return type(e).__name__


def compare(case, device, order):
    """None or (kind, detail)."""
    want, got = Run(case, torch, None, order), Run(case, taper, device, order)
    if want.error and got.error:
        a, b = error_class(want.error), error_class(got.error)
        if a == b or (a == "NotImplementedError" and b in ("RuntimeError", "TypeError")):
            return None
        return f"{b}-not-{a}", f"{str(want.error)[:90]!r} and {str(got.error)[:90]!r}"
    if want.error:
        return "accepts", f"PyTorch: {type(want.error).__name__}: {str(want.error)[:150]!r}"
    if got.error:
        return "raises", f"{type(got.error).__name__}: {str(got.error)[:200]!r}"
    found = differ(want.result, got.result)
    if found:
        return found
    if want.grad_error or got.grad_error:
        if want.grad_error and got.grad_error:
            return None
        if want.grad_error:
            return "grad-accepts", f"PyTorch: {str(want.grad_error)[:150]!r}"
        return "grad-raises", f"{str(got.grad_error)[:200]!r}"
    for kind, w, g in (("grad", want.gradients, got.gradients), ("grad2", want.second, got.second)):
        if (w is None) != (g is None):
            # Not differentiable twice in one: all zeros in the other.
            there = w or g
            if any(t[0] == "tensor" and any(t[3]) for t in there[1]):
                return f"{kind}-none", f"{w is None and 'none' or 'some'} and {g is None and 'none' or 'some'}"
        elif w:
            found = differ(*zeros_for_none(w, g))
            if found:
                return kind if found[0] == "value" else f"{kind}-{found[0]}", found[1]
    return None


def reference(case, order):
    """PyTorch's results in float64, for what it computes in fewer digits."""
    c = copy.deepcopy(case)
    for i in c.inputs.values():
        if i.dtype in cases.FLOATS:
            i.dtype = "float64"
    c.args = [a.replace("torch.float16", "torch.float64").replace("torch.bfloat16", "torch.float64") for a in c.args]
    return Run(c, torch, None, order)


def numbers(data):
    if data and data[0] == "list":
        return [v for d in data[1] for v in numbers(d)]
    return data[3] if data and data[0] == "tensor" else []


def at_least_as_close(case, kind, device, order):
    """Whether Taper's numbers differ from PyTorch's because they are nearer to the right ones."""
    if kind not in ("value", "grad", "grad2") or not any(i.dtype in cases.FLOATS for i in case.inputs.values()):
        return False
    runs = Run(case, torch, None, order), Run(case, taper, device, order), reference(case, order)
    field = {"value": "result", "grad": "gradients", "grad2": "second"}[kind]
    torchs, tapers, right = (numbers(getattr(r, field)) for r in runs)
    if not len(torchs) == len(tapers) == len(right):
        return False
    scale = max((abs(v) for v in right if math.isfinite(v)), default=1.0)

    def error(a, b):
        if math.isnan(a) and math.isnan(b) or a == b:
            return 0.0
        return abs(a - b) / scale if math.isfinite(a - b) and scale else math.inf

    return all(error(t, r) <= max(error(p, r), 1e-3) for p, t, r in zip(torchs, tapers, right))


def shorten(case, kind, device, order):
    """Leaves out what does not matter: gradients, layouts, keyword arguments."""

    def still(c):
        found = compare(c, device, order)
        return found and found[0] == kind

    for name in case.inputs:
        for change in ({"layout": "plain"}, {"grad": False}):
            c = copy.deepcopy(case)
            for k, v in change.items():
                setattr(c.inputs[name], k, v)
            if c.inputs[name] != case.inputs[name] and still(c):
                case = c
    for k in list(case.kwargs):
        c = copy.deepcopy(case)
        del c.kwargs[k]
        if still(c):
            case = c
    for name in case.inputs:
        c = copy.deepcopy(case)
        values = c.inputs[name].values
        c.inputs[name].values = [1.0 if isinstance(v, float) and not math.isfinite(v) else v for v in values]
        if str(values) != str(c.inputs[name].values) and still(c):
            case = c
    return case


def accepted():
    """Lines of accepted.txt: OP KIND PATTERN | reason; the first two may be patterns of names, PATTERN one of the call."""
    rules = []
    for line in (Path(__file__).parent / "accepted.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            rule, _, reason = line.partition("|")
            op, kind, *pattern = rule.split(None, 2)
            if not reason.strip():
                raise SystemExit(f"accepted.txt gives no reason: {line}")
            rules.append((op, kind, pattern[0].strip() if pattern else "*"))
    return rules


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--cases", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ops", default="")
    parser.add_argument("--device", default="")
    parser.add_argument("--show", type=int, default=6, help="how many of a kind are shortened; the shortest is shown")
    options = parser.parse_args()
    names = sorted(cases.OPS)
    if options.ops:
        names = [n for n in names if any(fnmatch.fnmatch(n, p) for p in options.ops.split(","))]
    rules = accepted()
    limit = options.cases or (10**12 if options.seconds else 20000)
    began, tried, known, nearer, groups = time.time(), 0, 0, 0, {}
    while tried < limit and not (options.seconds and time.time() - began > options.seconds):
        name = names[tried % len(names)]
        case = cases.case(name, options.seed * 10**9 + tried)
        order = (1, 1, 2, 0)[tried // len(names) % 4]
        tried += 1
        found = compare(case, options.device, order)
        if not found:
            continue
        if at_least_as_close(case, found[0], options.device, order):
            nearer += 1
            continue
        text = case.text()
        if any(
            fnmatch.fnmatch(case.op, o) and fnmatch.fnmatch(found[0], k) and fnmatch.fnmatch(text + " # " + found[1], p)
            for o, k, p in rules
        ):
            known += 1
            continue
        group = groups.setdefault((case.op, found[0]), [])
        if len(group) < options.show:
            short = shorten(case, found[0], options.device, order)
            again = compare(short, options.device, order) or found
            group.append((short.text(), again[1]))
        else:
            group.append(None)
    took = time.time() - began
    for (name, kind), group in sorted(groups.items()):
        text, detail = min(filter(None, group), key=lambda g: len(g[0]))
        print(f"{len(group)} times: {name} {kind}\n    {text}\n    PyTorch and Taper: {detail}")
    print(
        f"{tried} calls of {len(names)} functions in {took:.0f} s, seed {options.seed}: {sum(map(len, groups.values()))} disagree in "
        f"{len(groups)} kinds, {known} as accepted.txt explains, {nearer} where Taper is nearer to the values in float64"
    )
    return 1 if groups else 0


if __name__ == "__main__":
    sys.exit(main())
