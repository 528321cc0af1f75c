#!/usr/bin/env python3
"""Compares values and gradients with PyTorch's on the samples of PyTorch's own operator database.

    make bench-env && .venv-bench/bin/python -m pip install expecttest
    PYTHONPATH=bindings/python .venv-bench/bin/python tests/differential/opinfo.py [--dtypes float64,int64] [NAME...]

For every entry of torch.testing._internal.common_methods_invocations.op_db whose name exists in Taper, its samples run
in both; results, dtypes, shapes and gradients must agree. Names and arguments that Taper lacks are only counted; a call
that Taper refuses and PyTorch takes is listed with --errors. Exits 1 when anything differs that KNOWN does not explain.
`--second` compares second derivatives as well, `--device opencl` runs Taper's side there.
"""

import argparse
import collections
import os
import sys
import warnings

warnings.filterwarnings("ignore")
import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402

import taper  # noqa: E402
import taper.nn.functional  # noqa: E402

DTYPES = "float64 float32 float16 bfloat16 int64 int32 uint8 bool".split()
# Entries that differ on purpose or by their nature (random numbers, memory without defined values), and why.
KNOWN = {
    "bernoulli": "random",
    "multinomial": "random",
    "normal": "random",
    "rand_like": "random",
    "randn": "random",
    "randn_like": "random",
    "randint": "random",
    "randint_like": "random",
    "nn.functional.dropout": "random",
    "nn.functional.dropout2d": "random",
    "nn.functional.dropout3d": "random",
    "nn.functional.alpha_dropout": "random",
    "nn.functional.feature_alpha_dropout": "random",
    "nn.functional.gumbel_softmax": "random",
    "uniform": "random",
    "exponential": "random",
    "geometric": "random",
    "log_normal": "random",
    "cauchy": "random",
    "empty": "memory as it was",
    "empty_like": "memory as it was",
    "empty_strided": "memory as it was",
    "empty_permuted": "memory as it was",
    "new_empty": "memory as it was",
    "new_empty_strided": "memory as it was",
    "resize_": "memory as it was",
    "resize_as_": "memory as it was",
    "svd_lowrank": "random",
    "pca_lowrank": "random",
    "nn.functional.fractional_max_pool2d": "random",
    "nn.functional.fractional_max_pool3d": "random",
    "nn.functional.rrelu": "random",
    "nn.functional.triplet_margin_with_distance_loss": "its sample is given a module of PyTorch",
}
_BESSEL = "PyTorch's doubles have an error of 1e-6 there"
_SIGN = "vectors are given up to their sign"
_WHICH = "which of equal elements is named first is open"
# Kinds of differences of single entries that are explained.
EXPLAINED = {
    ("kthvalue", "value"): _WHICH,
    ("topk", "value"): _WHICH,
    ("sort", "value"): _WHICH,
    ("argsort", "value"): _WHICH,
    ("mode", "value"): _WHICH,
    ("as_strided.partial_views", "value"): "the sample is a window of memory that is not handed over here",
    ("nn.functional.local_response_norm", "value"): "of integers: their mean is cut there",
    ("nn.functional.layer_norm", "gradient"): "a gradient that is zero, but for rounding",
    ("as_strided_scatter", "gradient"): "PyTorch gives the window's gradient for that of self",
    ("special.bessel_j0", "value"): _BESSEL,
    ("special.bessel_j1", "value"): _BESSEL,
    ("special.bessel_y0", "value"): _BESSEL,
    ("special.bessel_y1", "value"): _BESSEL,
    ("svd", "value"): _SIGN,
    ("linalg.svd", "value"): _SIGN,
    ("linalg.eigh", "value"): _SIGN,
}
# PyTorch's entries whose order of arguments is their own.
ORDER = {
    "where": lambda f: lambda x, condition, other: f(condition, x, other),
    "nn.functional.embedding": lambda f: lambda weight, index, **k: f(index, weight, **k),
    "nn.functional.embedding_bag": lambda f: lambda weight, index, **k: f(index, weight, **k),
    "einsum": lambda f: lambda operands, equation: f(equation, *operands),
    "zero_": lambda f: lambda x: f(x.clone()),
    "fill_": lambda f: lambda x, v: f(x.clone(), v),
}
TOLERANCE = {"complex128": 1e-8, "complex64": 2e-5, "float64": 1e-8, "float32": 2e-5, "float16": 2e-3, "bfloat16": 2e-2}


def resolve(name):
    place = taper
    for part in name.split("."):
        place = getattr(place, part)
    return place


def find(op):
    """Taper's function or method of an entry; None when it has none."""
    try:
        found = resolve(op.name)
        if isinstance(found, taper.dtype):  # bool, float, ..: methods in PyTorch's database
            raise AttributeError
        return ORDER[op.name](found) if op.name in ORDER else found
    except AttributeError:
        pass
    if isinstance(getattr(taper.Tensor, op.name, None), property):
        return lambda t: getattr(t, op.name)
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
    if t.dtype == torch.bfloat16:
        made = taper.from_numpy(plain.contiguous().view(torch.int16).numpy().copy()).view(taper.bfloat16)
    else:
        made = taper.from_numpy(plain.contiguous().numpy().copy())
    if made.dtype != d:
        made = made.to(d)
    if not t.is_contiguous() and t.numel() and 0 not in t.stride():
        order = sorted(range(t.dim()), key=lambda i: -t.stride(i))
        made = made.permute(order).contiguous().permute([order.index(i) for i in range(t.dim())])
    made = made.to(device)
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
        raise Unfit(repr(v))
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


def run(op, mine, sample, device, second):
    """(kind, text) of a difference, or None."""
    leaves = []
    args = convert((sample.input, *sample.args), device, leaves)
    kwargs = convert(sample.kwargs, device, leaves)
    torch.manual_seed(0)
    try:
        want = op.op(sample.input, *sample.args, **sample.kwargs)
    except Exception:
        return None
    try:
        got = mine(*args, **kwargs)
    except TypeError as e:
        return "arguments", str(e)[:200].replace("\n", " ")
    except Exception as e:
        return "error", f"{type(e).__name__}: {e}"[:300].replace("\n", " ")
    a, b = flat(got, taper.Tensor), flat(want, torch.Tensor)
    if len(a) != len(b):
        return "value", f"{len(a)} results instead of {len(b)}"
    for i, (x, y) in enumerate(zip(a, b)):
        wrong = difference(x, y)
        if wrong:
            return "value", f"result {i}: {wrong}"
    if not leaves or not op.supports_autograd:
        return None
    try:
        if sample.output_process_fn_grad:
            want = sample.output_process_fn_grad(want)
        gw, roots = gradients(want, [t for t, _ in leaves], torch.Tensor, grad_torch, second)
    except Exception:
        return None
    if not roots:
        return None
    try:
        gg, mine_roots = gradients(got, [t for _, t in leaves], taper.Tensor, grad_taper, second)
        if len(mine_roots) != len(roots) and gw:
            return "gradient", f"{len(mine_roots)} differentiable results instead of {len(roots)}"
        wrong = compare_grads(gg, gw, "gradient")
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
        if isinstance(v, torch.Tensor):
            return f"{str(v.dtype).removeprefix('torch.')}{list(v.shape)}" + ("" if v.numel() > 6 else f"={v.tolist()}")
        if isinstance(v, (list, tuple)):
            return "[" + ", ".join(map(one, v)) + "]"
        return repr(v)

    parts = [one(sample.input), *map(one, sample.args), *(f"{k}={one(v)}" for k, v in sample.kwargs.items())]
    return ", ".join(parts)[:300]


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
    found, counts, missing = collections.OrderedDict(), collections.Counter(), []
    for op in op_db:
        if a.names and op.name not in a.names or op.name in KNOWN:
            continue
        mine = find(op)
        if mine is None:
            missing.append(op.name)
            continue
        counts["ops"] += 1
        for name in a.dtypes.split(","):
            d = getattr(torch, name)
            if d not in op.dtypes:
                continue
            try:
                samples = list(
                    op.sample_inputs(
                        "cpu", d, requires_grad=(d.is_floating_point or d.is_complex) and op.supports_autograd
                    )
                )
            except Exception:
                continue
            step = max(1, len(samples) // a.most)
            for s in samples[::step]:
                try:
                    wrong = run(op, mine, s, a.device, a.second)
                except Unfit:
                    continue
                counts["samples"] += 1
                if wrong:
                    counts[wrong[0]] += 1
                    key = (op.name + (f".{op.variant_test_name}" if op.variant_test_name else ""), name, wrong[0])
                    found.setdefault(key, []).append((wrong[1], shown(s)))
    bad = 0
    for (name, d, kind), list_ in found.items():
        if kind in ("error", "arguments") and not a.errors or (name, kind) in EXPLAINED:
            continue
        bad += kind not in ("error", "arguments")
        print(f"{name} {d} {kind} ({len(list_)}): {list_[0][0]}\n    {list_[0][1]}")
    print(f"{dict(counts)}; {len(missing)} entries are not in Taper; {bad} ops differ")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.stdout.flush()
    code = main()
    sys.stdout.flush()
    os._exit(code)
