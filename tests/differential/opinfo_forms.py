#!/usr/bin/env python3
"""Compares what is around the values of PyTorch's operator database: errors, `out=`, in-place forms and methods.

    PYTHONPATH=bindings/python .venv-bench/bin/python tests/differential/opinfo_forms.py [--what errors,out,forms] [NAME...]

errors: the database's calls that PyTorch refuses are refused with its class and text. out: a result that fits, one of
another shape, of a shape with nothing in it, of another dtype, on another device, and one that wants a gradient do what
they do there, the warning included. forms: the in-place form and the method give what the function gives.
A line is a call whose outcome is another; exits 1 when there is one that ACCEPTED does not explain.
"""

import argparse
import collections
import os
import pickle
import re
import sys
import warnings

import torch
from opinfo import Unfit, convert, difference, entries, flat, full_name, samples_of, shown

import taper

# (entry, kind) whose outcome is another on purpose, and why.
ACCEPTED = {}


class Outcome:
    """What a call did: values, or an error, and what it warned of."""

    def __init__(self, call):
        self.error = self.values = None
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                self.values = call()
            except Exception as e:
                self.error = e
        self.warnings = [str(w.message) for w in said]


def text_of(e):
    """A message in one line, without what names the library."""
    text = re.sub(r"\s+", " ", str(e)).strip().replace("taper", "torch").replace("Taper", "torch")
    return re.sub(r" ?\(?(Triggered internally|Exception raised from|function ).*", "", text)


def kind_of(e):
    for kind in (
        IndexError,
        TypeError,
        NotImplementedError,
        ValueError,
        OverflowError,
        ZeroDivisionError,
        RuntimeError,
    ):
        if isinstance(e, kind):
            return kind.__name__
    return type(e).__name__


def compare(got, want, wide=False):
    """(kind, text) of a difference between two outcomes, or None."""
    if want.error is not None:
        pattern = getattr(want, "pattern", None)
        if got.error is not None and pattern and not re.search(pattern, str(got.error)):
            return "pattern", f"{kind_of(got.error)}: {text_of(got.error)[:200]} | {pattern}"
        if got.error is None:
            return "no error", f"{kind_of(want.error)}: {text_of(want.error)[:200]}"
        if kind_of(got.error) != kind_of(want.error):
            return (
                "class",
                f"{kind_of(got.error)}: {text_of(got.error)[:150]} | {kind_of(want.error)}: {text_of(want.error)[:150]}",
            )
        if text_of(got.error) != text_of(want.error):
            return "text", f"{text_of(got.error)[:200]} | {text_of(want.error)[:200]}"
        return None
    if got.error is not None:
        return "refused", f"{type(got.error).__name__}: {str(got.error)[:200]}"
    a, b = flat(got.values, taper.Tensor), flat(want.values, torch.Tensor)
    if len(a) != len(b):
        return "value", f"{len(a)} results instead of {len(b)}"
    for x, y in zip(a, b):
        wrong = difference(x, y)
        # Of an out that is wider than what is computed in there are the latter's digits.
        if wrong and not (wide and isinstance(y, torch.Tensor) and difference(x.float(), y.float()) is None):
            return "value", wrong
    mine, theirs = ([bool(re.search("resized", w)) for w in o.warnings] for o in (got, want))
    if any(mine) != any(theirs):
        return "warning", "none" if any(theirs) else str(got.warnings)
    return None


def errors(op, mine, device):
    try:
        inputs = list(op.error_inputs(torch.device("cpu")))
    except Exception:
        return
    for e in inputs:
        s = e.sample_input
        try:
            args, kwargs = convert((s.input, *s.args), device, []), convert(s.kwargs, device, [])
        except Exception:
            continue
        torch.manual_seed(0)
        want = Outcome(lambda s=s: op.op(s.input, *s.args, **s.kwargs))
        want.pattern = e.error_regex
        if want.error is not None:
            yield "errors", s, Outcome(lambda args=args, kwargs=kwargs: mine(*args, **kwargs)), want


def outs(results, library):
    """Names and makers of results to be written to."""
    lists = isinstance(results, (tuple, list))
    results = list(results) if lists else [results]

    def give(f):
        made = [f(r) for r in results]
        return tuple(made) if lists else made[0]

    def other(r):
        return library.int64 if r.dtype.is_floating_point or r.dtype.is_complex else library.bool

    def filled(shape, dtype, **how):
        return library.zeros(tuple(shape), dtype=dtype, **how)

    yield "fits", lambda: give(lambda r: filled(r.shape, r.dtype, device=r.device))
    yield (
        "strided",
        lambda: give(
            lambda r: filled(tuple(r.shape)[::-1], r.dtype, device=r.device).permute(tuple(range(len(r.shape)))[::-1])
        ),
    )
    yield "empty", lambda: give(lambda r: filled((0,), r.dtype, device=r.device))
    yield "shape", lambda: give(lambda r: filled((*r.shape, 2), r.dtype, device=r.device))
    yield "dtype", lambda: give(lambda r: filled(r.shape, other(r), device=r.device))
    yield (
        "wider",
        lambda: give(
            lambda r: filled(r.shape, library.complex64 if r.dtype.is_complex else library.float64, device=r.device)
        ),
    )
    yield "device", lambda: give(lambda r: filled(r.shape, r.dtype, device="meta"))
    if all(r.dtype.is_floating_point for r in results):
        yield "gradient", lambda: give(lambda r: filled(r.shape, r.dtype, device=r.device).requires_grad_())


def with_out(op, mine, device, d):
    if not op.supports_out or d not in op.dtypes:
        return
    samples = [s for s in samples_of(op, d) if "out" not in s.kwargs]
    for s in samples[:: max(1, len(samples) // 2)][:2]:
        try:
            args, kwargs = convert((s.input, *s.args), device, []), convert(s.kwargs, device, [])
            theirs = op.op(s.input, *s.args, **s.kwargs)
            ours = mine(*args, **kwargs)
        except Exception:
            continue
        if any(difference(x, y) for x, y in zip(flat(ours, taper.Tensor), flat(theirs, torch.Tensor))):
            continue
        try:
            makers = list(zip(outs(theirs, torch), outs(ours, taper)))
        except AttributeError:
            continue
        for (name, a), (_, b) in makers:
            with (
                torch.no_grad() if name != "gradient" else torch.enable_grad(),
                taper.no_grad() if name != "gradient" else taper.enable_grad(),
            ):
                want = Outcome(lambda: written(op.op, a(), s.input, *s.args, **s.kwargs))
                got = Outcome(lambda: written(mine, b(), *args, **kwargs))
                yield f"out {name}", s, got, want


def written(f, out, *args, **kwargs):
    f(*args, **kwargs, out=out)
    return out if not isinstance(out, tuple) else list(out)


def forms(op, mine, device, d):
    if d not in op.dtypes:
        return
    samples = samples_of(op, d)
    for s in samples[:: max(1, len(samples) // 2)][:2]:
        for kind, theirs in (("method", op.method_variant), ("in place", op.inplace_variant)):
            if theirs is None or not isinstance(s.input, torch.Tensor):
                continue
            name = getattr(theirs, "__name__", "")
            if not isinstance(getattr(torch.Tensor, name, None), type(torch.Tensor.add)):
                continue
            with torch.no_grad(), taper.no_grad():
                try:
                    args, kwargs = convert((s.input, *s.args), device, []), convert(s.kwargs, device, [])
                except Unfit:
                    continue
                torch.manual_seed(0)
                want = Outcome(lambda: theirs(s.input.clone(), *s.args, **s.kwargs))
                taper.manual_seed(0)
                got = Outcome(lambda: getattr(args[0].clone(), name)(*args[1:], **kwargs))
                yield kind, s, got, want


def checked(op, mine, a, d):
    """[what, difference or None, call] of one entry."""
    calls = []
    if "errors" in a.what:
        calls += errors(op, mine, a.device)
    if "out" in a.what:
        calls += with_out(op, mine, a.device, d)
    if "forms" in a.what:
        calls += forms(op, mine, a.device, d)
    found = [(what, compare(got, want, what == "out wider"), s) for what, s, got, want in calls]
    return [(what, wrong, shown(s) if wrong else "") for what, wrong, s in found]


def apart(f):
    """The result of f in a process of its own: PyTorch writes past the memory of some results of another shape and dies."""
    if not hasattr(os, "fork"):
        return f()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(read)
            with os.fdopen(write, "wb") as w:
                pickle.dump(f(), w)
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as r:
        data = r.read()
    os.waitpid(child, 0)
    return pickle.loads(data) if data else [("process", ("died", "no answer"), "")]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("names", nargs="*")
    p.add_argument("--what", default="errors,out,forms")
    p.add_argument("--device", default="cpu")
    p.add_argument("--dtype", default="float32")
    p.add_argument("--verbose", action="store_true", help="name each entry on the standard error")
    a = p.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    counts, found = collections.Counter(), collections.OrderedDict()
    d = getattr(torch, a.dtype)
    for op, mine, which in entries(a.names):
        if mine is None:
            continue
        if a.verbose:
            print(op.name, op.variant_test_name, file=sys.stderr, flush=True)
        for what, wrong, call in apart(lambda: checked(op, mine, a, d)):
            counts[what, which, "calls"] += 1
            name = full_name(op)
            if wrong and (name, what) not in ACCEPTED:
                counts[what, which, wrong[0]] += 1
                found.setdefault((name, what, wrong[0]), []).append((wrong[1], call, which))
    for (name, what, kind), list_ in found.items():
        print(f"{name} {what}: {kind} ({len(list_)}, {list_[0][2]}): {list_[0][0]}\n    {list_[0][1]}")
        for text, call, _ in list_[1:]:
            print(f"  - {text}\n    {call}")
    for (what, which, kind), n in sorted(counts.items()):
        print(f"{what}, {which}: {n} {kind}")
    return 1 if found else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
