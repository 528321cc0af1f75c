#!/usr/bin/env python3
"""Compares values and gradients with PyTorch's on the samples of PyTorch's own operator database.

    make bench-env && .venv-bench/bin/python -m pip install expecttest
    PYTHONPATH=bindings/python .venv-bench/bin/python tests/differential/opinfo.py [--dtypes float64,int64] [NAME...]

For every entry of torch.testing._internal.common_methods_invocations.op_db whose name exists in Taper, its samples run
in both; results, dtypes, shapes and gradients must agree. Names and arguments that Taper lacks are only counted; a call
that Taper refuses and PyTorch takes is listed with --errors. Exits 1 when anything differs that KNOWN does not explain.
`--second` compares second derivatives as well, `--device opencl` runs Taper's side there. Results of float32 and halves whose
digits differ are held to PyTorch's in float64: being as near to those is no difference. The table counts samples by dtype and by the
lists beside this file: names that programs use (opinfo_required.txt), the rest that is asked for, and others.
"""

import argparse
import collections
import fnmatch
import os
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402

import taper  # noqa: E402
import taper.nn.functional  # noqa: E402

# What PyTorch's database sets before each random call of its own.
SEED = 42
DTYPES = "float64 float32 float16 bfloat16 int64 int32 uint8 bool".split()
# Entries that differ by their nature (memory without defined values), and why.
KNOWN = {
    "empty": "memory as it was",
    "empty_like": "memory as it was",
    "empty_strided": "memory as it was",
    "empty_permuted": "memory as it was",
    "new_empty": "memory as it was",
    "new_empty_strided": "memory as it was",
    "resize_": "memory as it was",
    "resize_as_": "memory as it was",
    "nn.functional.triplet_margin_with_distance_loss": "its sample is given a module of PyTorch",
}
_BESSEL = "PyTorch's doubles have an error of 1e-6 there"
_WHICH = "which of equal elements is named first is open"
# Kinds of differences of single entries that are explained.
EXPLAINED = {
    ("kthvalue", "value"): _WHICH,
    ("topk", "value"): _WHICH,
    ("sort", "value"): _WHICH,
    ("argsort", "value"): _WHICH,
    ("msort", "gradient"): _WHICH,
    ("sort", "gradient"): _WHICH,
    ("mode", "value"): _WHICH,
    ("as_strided.partial_views", "value"): "the sample is a window of memory that is not handed over here",
    ("nn.functional.local_response_norm", "value"): "of integers: their mean is cut there",
    ("nn.functional.layer_norm", "gradient"): "a gradient that is zero, but for rounding",
    ("native_layer_norm", "gradient"): "a gradient that is zero, but for rounding",
    ("linalg.norm.subgradients_at_zero", "second"): "NaN there, where the slope is zero here",
    ("as_strided_scatter", "gradient"): "PyTorch gives the window's gradient for that of self",
    ("svd_lowrank", "value"): "vectors are given up to their sign",
    ("pca_lowrank", "value"): "vectors are given up to their sign",
    ("special.bessel_j0", "value"): _BESSEL,
    ("special.bessel_j1", "value"): _BESSEL,
    ("special.bessel_y0", "value"): _BESSEL,
    ("special.bessel_y1", "value"): _BESSEL,
}
# Entries whose vectors are given up to their sign.
SIGNED = ("svd", "linalg.svd", "linalg.eigh")
# PyTorch's entries whose order of arguments is their own.
ORDER = {
    "where": lambda f: lambda x, condition, other, **k: f(condition, x, other, **k),
    "nn.functional.embedding": lambda f: lambda weight, index, **k: f(index, weight, **k),
    "nn.functional.embedding_bag": lambda f: lambda weight, index, **k: f(index, weight, **k),
    "einsum": lambda f: lambda operands, equation: f(equation, *operands),
    "linalg.pinv.singular": lambda f: lambda a, b: f(a @ b.mT),
    "linalg.lstsq.grad_oriented": lambda f: lambda a, b, driver: f(a, b, driver=driver)[:2],
    "normal.in_place": lambda f: lambda x, *a, **k: x.detach().clone().normal_(*a, **k),
    "normal.number_mean": lambda f: lambda std, mean, *a, **k: f(mean, std, *a, **k),
    "svd_lowrank": lambda f: lambda a, b, **k: f(a @ b.mT, **k),
    "pca_lowrank": lambda f: lambda a, b, **k: f(a @ b.mT, **k),
    "zero_": lambda f: lambda x: f(x.clone()),
    "fill_": lambda f: lambda x, v: f(x.clone(), v),
}
TOLERANCE = {"complex128": 1e-8, "complex64": 2e-5, "float64": 1e-8, "float32": 2e-5, "float16": 2e-3, "bfloat16": 2e-2}


def resolve(name):
    place = taper
    for part in name.split("."):
        place = getattr(place, part)
    return place


def full_name(op):
    return op.name + (f".{op.variant_test_name}" if op.variant_test_name else "")


def find(op):
    """Taper's function or method of an entry; None when it has none."""
    try:
        found = resolve(op.name)
        if isinstance(found, taper.dtype):  # bool, float, ..: methods in PyTorch's database
            raise AttributeError
        order = ORDER.get(full_name(op)) or ORDER.get(op.name)
        return order(found) if order else found
    except AttributeError:
        pass
    if isinstance(getattr(taper.Tensor, op.name, None), property):
        return lambda t: getattr(t, op.name)
    if op.name in ("cauchy", "exponential", "geometric", "log_normal", "uniform"):
        return lambda t, *a, **k: getattr(t.detach().clone(), op.name + "_")(*a, **k)
    if hasattr(taper.Tensor, op.name):
        return lambda t, *a, **k: getattr(t, op.name)(*a, **k)
    return None


class Unfit(Exception):
    """A sample that uses what Taper does not have: complex numbers of halves, sparse layouts."""


def dtype_of(d):
    name = str(d).removeprefix("torch.")
    if not hasattr(taper, name) or not isinstance(getattr(taper, name), taper.dtype):
        raise Unfit(name)
    return getattr(taper, name)


def tensor(t, device):
    if t.layout != torch.strided or t.is_quantized:
        raise Unfit(str(t.layout))
    d = dtype_of(t.dtype)
    plain = t.detach().resolve_conj().resolve_neg()
    size, stride, offset = plain.size(), plain.stride(), plain.storage_offset()
    # The whole memory goes over, so that a window of it finds there what PyTorch's finds.
    memory = plain.as_strided((plain.untyped_storage().nbytes() // plain.element_size(),), (1,), 0).clone()
    if t.dtype == torch.bfloat16:
        made = taper.from_numpy(memory.view(torch.int16).numpy()).view(taper.bfloat16)
    else:
        made = taper.from_numpy(memory.numpy())
    if made.dtype != d:
        made = made.to(d)
    made = made.to(device)
    if memory.shape != size or stride != (1,) or offset:
        made = made.as_strided(tuple(size), stride, offset)
    return made.requires_grad_() if t.requires_grad else made


def convert(v, device, leaves):
    if isinstance(v, torch.Tensor):
        made = tensor(v, device)
        if v.requires_grad:
            leaves.append((v, made))
        return made
    if isinstance(v, (list, tuple)) and not isinstance(v, torch.Size):
        items = [convert(x, device, leaves) for x in v]
        return tuple(items) if isinstance(v, tuple) else items
    if isinstance(v, torch.Size):
        return tuple(v)
    if isinstance(v, dict):
        return {k: convert(x, device, leaves) for k, x in v.items()}
    if isinstance(v, torch.dtype):
        return dtype_of(v)
    if isinstance(v, torch.device):
        return device
    if isinstance(v, (torch.layout, torch.memory_format)):
        name = str(v).removeprefix("torch.")
        if v is not torch.strided and isinstance(v, torch.layout) or not hasattr(taper, name):
            raise Unfit(repr(v))
        return getattr(taper, name)
    return v


def flat(v, kind):
    if isinstance(v, kind):
        return [v]
    if isinstance(v, dict):
        v = list(v.values())
    if isinstance(v, (list, tuple)):
        return [x for item in v for x in flat(item, kind)]
    return [v]


def host(t):
    t = t.detach()
    if isinstance(t, torch.Tensor):
        t = t.resolve_conj().resolve_neg()
        return t.to(torch.float64 if t.is_floating_point() else t.dtype).numpy(force=True)
    if str(t.dtype).endswith("bfloat16"):
        t = t.float()
    return np.asarray(t.cpu().numpy())


def difference(got, want):
    """What is wrong with a result, or None."""
    if not isinstance(want, torch.Tensor):
        if isinstance(got, taper.Tensor):
            return "a tensor instead of " + type(want).__name__
        same = got == want or (got != got and want != want)
        return None if same or str(got) == str(want) else f"{got!r} instead of {want!r}"
    if not isinstance(got, taper.Tensor):
        return f"{type(got).__name__} instead of a tensor"
    name = str(want.dtype).removeprefix("torch.")
    if str(got.dtype).split(".")[-1] != name:
        return f"dtype {got.dtype} instead of {want.dtype}"
    if tuple(got.shape) != tuple(want.shape):
        return f"shape {tuple(got.shape)} instead of {tuple(want.shape)}"
    a, b = host(got), host(want)
    tol = TOLERANCE.get(name, 0)
    if a.dtype.kind == "c":
        # Parts are compared as the real numbers that they are.
        a, b = (np.ascontiguousarray(x).astype(np.complex128).reshape(-1).view(np.float64) for x in (a, b))
    if a.dtype.kind != "f":
        ok = np.array_equal(a, b)
    else:
        a, b = a.astype(np.float64), b.astype(np.float64)
        with np.errstate(all="ignore"):
            ok = np.allclose(
                a, b, rtol=tol, atol=tol * max(1, np.nanmax(np.abs(b[np.isfinite(b)]), initial=0) / 100), equal_nan=True
            )
    if ok:
        return None
    if a.dtype.kind != "f":
        far = a != b
    else:
        with np.errstate(all="ignore"):
            far = ~((a == b) | (np.abs(a - b) <= tol * (1 + np.abs(b))) | (np.isnan(a) & np.isnan(b)))
    bad = np.flatnonzero(far)
    i = bad[0] if bad.size else 0
    return f"{bad.size} of {a.size} elements, first at {i}: {a.flat[i]} instead of {b.flat[i]}"


def same_bits(got, want):
    """Whether the results of both are equal in every bit (a NaN is a NaN)."""
    for x, y in zip(got, want):
        if isinstance(y, torch.Tensor):
            a, b = host(x), host(y)
            if not np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"):
                return False
            parts = [(a.real, b.real), (a.imag, b.imag)] if a.dtype.kind == "c" else [(a, b)] * (a.dtype.kind == "f")
            if any(np.any((np.signbit(x) != np.signbit(y)) & (x == 0)) for x, y in parts):
                return False
    return True


def weights(t):
    i = torch.arange(t.numel(), dtype=torch.float64)
    w = ((7 * i) % 11 - 4) / 4
    if t.is_complex():
        w = torch.complex(w, ((5 * i) % 7 - 3) / 4)
    return w.to(t.dtype).reshape(t.shape)


def gradients(out, grads_of, kind, grad, create):
    roots = [o for o in flat(out, kind) if isinstance(o, kind) and o.requires_grad]
    if not roots or not grads_of:
        return [], roots
    return grad(roots, grads_of, create), roots


def grad_torch(roots, leaves, create):
    return torch.autograd.grad(roots, leaves, [weights(r) for r in roots], allow_unused=True, create_graph=create)


def grad_taper(roots, leaves, create):
    given = []
    for r in roots:
        w = weights(torch.empty(tuple(r.shape), dtype=getattr(torch, str(r.dtype).split(".")[-1])))
        given.append(tensor(w, r.device))
    return taper.autograd.grad(roots, leaves, given, allow_unused=True, create_graph=create)


def compare_grads(got, want, what):
    for i, (a, b) in enumerate(zip(got, want)):
        if a is None and b is None:
            continue
        if a is None or b is None:
            present = host(a if b is None else b)
            if present.size and np.any(present != 0):
                return f"{what} {i}: {'none' if a is None else 'one'} instead of {'none' if b is None else 'one'}"
            continue
        wrong = difference(a, b)
        if wrong:
            return f"{what} {i}: {wrong}"
    return None


def widened(v):
    """A sample's value with its floating-point tensors in double precision."""
    if isinstance(v, torch.Tensor) and v.dtype in (torch.float16, torch.bfloat16, torch.float32):
        return v.detach().double().requires_grad_(v.requires_grad)
    if isinstance(v, (list, tuple)) and not isinstance(v, torch.Size):
        return type(v)(widened(x) for x in v)
    if isinstance(v, dict):
        return {k: widened(x) for k, x in v.items()}
    return torch.float64 if v in (torch.float16, torch.bfloat16, torch.float32) else v


def nearer(op, sample, got, want, leaves=None):
    """Whether Taper's results (or gradients, of `leaves`) are no farther than PyTorch's from what PyTorch computes in float64."""
    s = widened((sample.input, *sample.args)), widened(sample.kwargs)
    try:
        torch.manual_seed(SEED)
        right = op.op(*s[0], **s[1])
        if leaves is not None:
            if sample.output_process_fn_grad:
                right = sample.output_process_fn_grad(right)
            wide = [t for t in flat(s, torch.Tensor) if isinstance(t, torch.Tensor) and t.requires_grad]
            right, _ = gradients(right, wide, torch.Tensor, grad_torch, False)
        for x, y, r in zip(got, want, flat(right, torch.Tensor), strict=True):
            if not isinstance(y, torch.Tensor):
                continue
            near = NEAR.get(str(y.dtype), 0)
            x, y, r = host(x).astype(np.float64), host(y), host(r)
            if x.shape != r.shape or y.shape != r.shape:
                return False
            with np.errstate(all="ignore"):
                scale = max(np.nanmax(np.abs(r[np.isfinite(r)]), initial=0), 1e-300)
                far = [np.where((v == r) | (np.isnan(v) & np.isnan(r)), 0, np.abs(v - r) / scale) for v in (x, y)]
            far = [np.where(np.isnan(f), np.inf, f) for f in far]
            if not np.all(far[0] <= np.maximum(far[1], near)):
                return False
        return True
    except Exception:
        return False


# What counts as near, by the largest number of a result.
NEAR = {"torch.float16": 2e-3, "torch.bfloat16": 1e-2, "torch.float32": 1e-6}


def run(op, mine, sample, device, second, seen=None):
    """(kind, text) of a difference, or None; `seen` gets whether the results are equal in every bit."""
    leaves = []
    args = convert((sample.input, *sample.args), device, leaves)
    kwargs = convert(sample.kwargs, device, leaves)
    torch.manual_seed(SEED)
    try:
        want = op.op(sample.input, *sample.args, **sample.kwargs)
    except Exception:
        return None
    taper.manual_seed(SEED)
    try:
        got = mine(*args, **kwargs)
    except TypeError as e:
        return "arguments", str(e)[:200].replace("\n", " ")
    except Exception as e:
        return "error", f"{type(e).__name__}: {e}"[:300].replace("\n", " ")
    process = sample.output_process_fn_grad
    if process and op.name in SIGNED:
        # Vectors up to their sign: what is the same for all is compared.
        got, want, process = process(got), process(want), None
    a, b = flat(got, taper.Tensor), flat(want, torch.Tensor)
    if len(a) != len(b):
        return "value", f"{len(a)} results instead of {len(b)}"
    for i, (x, y) in enumerate(zip(a, b)):
        wrong = difference(x, y)
        if wrong and not (str(getattr(y, "dtype", "")) in NEAR and nearer(op, sample, a, b)):
            return "value", f"result {i}: {wrong}"
    if seen is not None:
        seen.append(same_bits(a, b))
    if not leaves or not op.supports_autograd:
        return None
    try:
        if process:
            want = process(want)
        gw, roots = gradients(want, [t for t, _ in leaves], torch.Tensor, grad_torch, second)
    except Exception:
        return None
    if not roots:
        return None
    try:
        if process:
            got = process(got)
        gg, mine_roots = gradients(got, [t for _, t in leaves], taper.Tensor, grad_taper, second)
        if not mine_roots:
            gg = [None] * len(gw)
        wrong = compare_grads(gg, gw, "gradient")
        if wrong and str(roots[0].dtype) in NEAR and nearer(op, sample, gg, gw, leaves):
            return None
        if wrong or not second:
            return ("gradient", wrong) if wrong else None
    except Exception as e:
        return "gradient", f"{type(e).__name__}: {e}"[:300].replace("\n", " ")
    try:
        pick = [i for i, g in enumerate(gw) if g is not None and g.requires_grad]
        if not pick:
            return None
        ww = grad_torch([gw[i] for i in pick], [t for t, _ in leaves], False)
    except Exception:
        return None
    try:
        pick = [i for i in pick if gg[i] is not None and gg[i].requires_grad]
        if not pick:
            return (
                ("second", "no second derivative")
                if any(w is not None and w.abs().max() > 0 for w in ww if w is None or w.numel())
                else None
            )
        wrong = compare_grads(grad_taper([gg[i] for i in pick], [t for _, t in leaves], False), ww, "second derivative")
        return ("second", wrong) if wrong else None
    except Exception as e:
        return "second", f"{type(e).__name__}: {e}"[:300].replace("\n", " ")


def shown(sample):
    def one(v):
        if isinstance(v, torch.Tensor) and v.layout != torch.strided:
            return f"{v.layout} {str(v.dtype).removeprefix('torch.')}{list(v.shape)}"
        if isinstance(v, torch.Tensor):
            return f"{str(v.dtype).removeprefix('torch.')}{list(v.shape)}" + ("" if v.numel() > 6 else f"={v.tolist()}")
        if isinstance(v, (list, tuple)):
            return "[" + ", ".join(map(one, v)) + "]"
        return repr(v)

    parts = [one(sample.input), *map(one, sample.args), *(f"{k}={one(v)}" for k, v in sample.kwargs.items())]
    return ", ".join(parts)[:300]


def entries(names):
    """(entry, Taper's function or None, which list has it) of PyTorch's database, but those of KNOWN."""
    lists = {
        n: k for k in ("rest", "required") for n in (Path(__file__).parent / f"opinfo_{k}.txt").read_text().split()
    }
    for op in op_db:
        if (not names or any(fnmatch.fnmatch(op.name, n) for n in names)) and op.name not in KNOWN:
            yield op, find(op), lists.get(op.name, "others")


def samples_of(op, d):
    try:
        return list(
            op.sample_inputs("cpu", d, requires_grad=(d.is_floating_point or d.is_complex) and op.supports_autograd)
        )
    except Exception:
        return []


def table(rows):
    """rows: {(dtype, list): Counter}."""
    print("| dtype | entries | samples | passing | | equal in every bit |\n| --- | --- | --- | --- | --- | --- |")
    for (name, kind), c in rows.items():
        share = 100 * c["passing"] / max(1, c["attempted"])
        print(f"| {name} | {kind} | {c['attempted']} | {c['passing']} | {share:.1f} % | {c['bits']} |")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("names", nargs="*")
    p.add_argument("--dtypes", default="float64,float32,int64,uint8,bool")
    p.add_argument("--device", default="cpu")
    p.add_argument("--second", action="store_true")
    p.add_argument("--errors", action="store_true", help="list calls that Taper refuses")
    p.add_argument("--most", type=int, default=40, help="samples of an op and dtype")
    a = p.parse_args()
    torch.set_num_threads(1)
    found, counts, rows = collections.OrderedDict(), collections.Counter(), {}
    chosen = list(entries(a.names))
    for name in a.dtypes.split(","):
        d = getattr(torch, name)
        for op, mine, which in chosen:
            if d not in op.dtypes:
                continue
            row = rows.setdefault((name, which), collections.Counter())
            samples = samples_of(op, d)
            key = full_name(op)
            for s in samples[:: max(1, len(samples) // a.most)]:
                seen = []
                try:
                    wrong = ("missing", "no such name") if mine is None else run(op, mine, s, a.device, a.second, seen)
                except Unfit as e:
                    wrong = "unfit", str(e)
                except Exception as e:
                    wrong = "harness", f"{type(e).__name__}: {e}"
                explained = wrong and (key, wrong[0]) in EXPLAINED
                row["attempted"] += 1
                row["passing"] += not wrong or explained
                row["bits"] += any(seen)
                if wrong and not explained:
                    counts[wrong[0]] += 1
                    found.setdefault((key, name, wrong[0]), []).append((wrong[1], shown(s), which))
    bad = 0
    for (name, d, kind), list_ in found.items():
        refused = kind in ("error", "arguments", "missing", "unfit")
        bad += not refused
        if a.errors or not refused:
            print(f"{name} {d} {kind} ({len(list_)}, {list_[0][2]}): {list_[0][0]}\n    {list_[0][1]}")
    table(rows)
    print(f"{dict(counts)}; {bad} ops differ")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.stdout.flush()
    code = main()
    sys.stdout.flush()
    os._exit(code)
