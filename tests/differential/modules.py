#!/usr/bin/env python3
"""Compares layers, losses and optimisers with PyTorch's on the samples of PyTorch's own databases of both.

    make bench-env && .venv-bench/bin/python -m pip install expecttest
    PYTHONPATH=bindings/python .venv-bench/bin/python tests/differential/modules.py [--dtypes float32] [NAME...]

Modules: for each set of arguments the printed form, the keys of the state dict, the parameters drawn from a seed, the
outputs and all gradients, in training and in evaluation; the errors of wrong arguments. Optimisers: for each set of
options ten steps of a small network, the state dict's keys, and the errors. Exits 1 when anything differs that KNOWN does
not explain.
"""

import argparse
import collections
import os
import re
import sys
import warnings

warnings.filterwarnings("ignore")
import torch  # noqa: E402
from opinfo import Unfit, compare_grads, convert, difference, flat, grad_taper, grad_torch, tensor  # noqa: E402
from torch.testing._internal.common_modules import ModuleErrorEnum, module_db  # noqa: E402
from torch.testing._internal.common_optimizers import OptimizerErrorEnum, optim_db  # noqa: E402

import taper  # noqa: E402

# What differs on purpose, and why.
_LATER = "the first call refuses it, as it does a value that was set later"
_CHAOS = "rounding grows tenfold with each of the 200 moves"
KNOWN = {
    ("nn.HuberLoss", "no error"): _LATER,
    ("nn.Softmax", "no error"): _LATER,
    ("nn.LogSoftmax", "no error"): _LATER,
    ("nn.CircularPad1d", "error class"): "NotImplementedError, as of the function",
    ("nn.CircularPad2d", "error class"): "NotImplementedError, as of the function",
    ("nn.CircularPad3d", "error class"): "RuntimeError, as of the function",
    ("nn.CTCLoss", "gradient"): "of float32, PyTorch's rounds more; that of float64 is the same",
    ("LBFGS", "steps"): _CHAOS,
}


def plain(text):
    return re.sub(r"\b(torch|taper)\.", "", str(text))


def of_taper(v, device, leaves, made=None):
    """A sample's argument for Taper: functions and modules of PyTorch's are looked up by their names. `made` keeps one
    tensor for each of PyTorch's."""
    made = {} if made is None else made
    if isinstance(v, torch.Tensor):
        if id(v) not in made:
            made[id(v)] = convert(v, device, leaves)
            if v.is_leaf and v.grad is not None:
                made[id(v)].grad = convert(v.grad, device, [])
        return made[id(v)]
    if isinstance(v, torch.nn.Module):
        raise Unfit("a module among the arguments")
    name = getattr(v, "__name__", None)
    if callable(v) and name and (getattr(v, "__module__", "") or "").startswith("torch"):
        for place in (taper, taper.nn.functional):
            if hasattr(place, name):
                return getattr(place, name)
        raise Unfit(name)
    if isinstance(v, (list, tuple)) and not isinstance(v, torch.Size):
        return type(v)(of_taper(x, device, leaves, made) for x in v)
    if isinstance(v, set):
        return {of_taper(x, device, leaves, made) for x in v}
    if isinstance(v, dict):
        return {k: of_taper(x, device, leaves, made) for k, x in v.items()}
    return convert(v, device, leaves)


def refused(error):
    return f"{type(error).__name__}: {error}"[:300].replace("\n", " ")


def module_case(info, mine, sample, training, device):
    """(kind, text) of a difference, or None."""
    built = sample.constructor_input
    leaves = []
    args, kwargs = of_taper(built.args, "cpu", []), of_taper(built.kwargs, "cpu", [])
    torch.manual_seed(0)
    want = info.module_cls(*built.args, **built.kwargs).train(training)
    taper.manual_seed(0)
    try:
        got = mine(*args, **kwargs).train(training)
    except Exception as e:
        return "construction", refused(e)
    if plain(got) != plain(want):
        return "text", f"{got} instead of {want}"
    lazy = any(isinstance(p, torch.nn.parameter.UninitializedTensorMixin) for p in want.state_dict().values())
    states = got.state_dict(), want.state_dict()
    if list(states[0]) != list(states[1]):
        return "keys", f"{list(states[0])} instead of {list(states[1])}"
    if not lazy:
        for key, value in states[1].items():
            wrong = difference(states[0][key], value)
            if wrong:
                return "seeded", f"{key}: {wrong}"
    given = sample.forward_input
    if given is None:
        return None
    got = got.to(device)
    torch.manual_seed(1)
    try:
        result = want(*given.args, **given.kwargs)
    except Exception:
        return None
    args, kwargs = of_taper(given.args, device, leaves), of_taper(given.kwargs, device, leaves)
    taper.manual_seed(1)
    try:
        mine_result = got(*args, **kwargs)
    except Exception as e:
        return "forward", refused(e)
    if lazy:
        got.load_state_dict({k: tensor(v, device) for k, v in want.state_dict().items()})
        mine_result, result = got(*args, **kwargs), want(*given.args, **given.kwargs)
    a, b = flat(mine_result, taper.Tensor), flat(result, torch.Tensor)
    if len(a) != len(b):
        return "output", f"{len(a)} results instead of {len(b)}"
    for i, (x, y) in enumerate(zip(a, b)):
        wrong = difference(x, y)
        if wrong:
            return "output", f"result {i}: {wrong}"
    roots = [r for r in b if isinstance(r, torch.Tensor) and r.requires_grad]
    mine_roots = [r for r in a if isinstance(r, taper.Tensor) and r.requires_grad]
    if len(roots) != len(mine_roots):
        return "gradient", f"{len(mine_roots)} differentiable results instead of {len(roots)}"
    ours = [t for _, t in leaves] + [p for p in got.parameters() if p.requires_grad]
    theirs = [t for t, _ in leaves] + [p for p in want.parameters() if p.requires_grad]
    if not roots or not theirs:
        return None
    try:
        wanted = grad_torch(roots, theirs, False)
    except Exception:
        return None
    try:
        wrong = compare_grads(grad_taper(mine_roots, ours, False), wanted, "gradient")
    except Exception as e:
        return "gradient", refused(e)
    if wrong:
        return "gradient", wrong
    for (key, value), other in zip(want.state_dict().items(), got.state_dict().values()):
        wrong = difference(other, value)
        if wrong:
            return "state", f"{key} after a pass: {wrong}"
    return None


def module_error(info, mine, wrong, device):
    sample = wrong.module_error_input
    built, given = sample.constructor_input, sample.forward_input
    at_once = wrong.error_on == ModuleErrorEnum.CONSTRUCTION_ERROR
    try:
        args, kwargs = of_taper(built.args, "cpu", []), of_taper(built.kwargs, "cpu", [])
        made = mine(*args, **kwargs)
        if not at_once:
            result = made.to(device)(*of_taper(given.args, device, []), **of_taper(given.kwargs, device, []))
            # A device's kernels report when their values are read.
            [t.cpu() for t in flat(result, taper.Tensor) if isinstance(t, taper.Tensor)]
    except Unfit:
        raise
    except Exception as e:
        kinds = wrong.error_type if isinstance(wrong.error_type, tuple) else (wrong.error_type,)
        if not any(k.__name__ in [c.__name__ for c in type(e).__mro__] for k in kinds):
            return "error class", f"{refused(e)} instead of {wrong.error_type}"
        if not re.search(wrong.error_regex, str(e)):
            return "error text", f"{e} instead of {wrong.error_regex}"
        return None
    return "no error", f"instead of {wrong.error_type.__name__}: {wrong.error_regex}"


def modules(a, found, counts):
    for info in module_db:
        if a.names and info.name not in a.names:
            continue
        place, _, name = info.name.rpartition(".")
        mine = getattr(taper.nn, name, None)
        if mine is None:
            found[info.name, "", "absent"] = [("", "")]
            continue
        counts["modules"] += 1
        for dtype in a.dtypes.split(","):
            d = getattr(torch, dtype)
            if d not in info.dtypes:
                continue
            torch.set_default_dtype(d)
            taper.set_default_dtype(getattr(taper, dtype))
            for training in (True, False):
                torch.manual_seed(7)
                samples = info.module_inputs_func(info, device="cpu", dtype=d, requires_grad=True, training=training)
                for s in samples:
                    try:
                        wrong = module_case(info, mine, s, training, a.device)
                    except Unfit:
                        counts["unfit"] += 1
                        continue
                    except (RuntimeError, IndexError, ValueError) as e:  # what a device reports later
                        wrong = "device", refused(e)
                    counts["samples"] += 1
                    if wrong:
                        counts[wrong[0]] += 1
                        what = f"{s.desc or s.constructor_input.args} {s.constructor_input.kwargs} training={training}"
                        found.setdefault((info.name, dtype, wrong[0]), []).append((wrong[1], what))
            if info.module_error_inputs_func:
                for e in info.module_error_inputs_func(
                    info, device="cpu", dtype=d, requires_grad=False, training=False
                ):
                    try:
                        wrong = module_error(info, mine, e, a.device)
                    except Unfit:
                        continue
                    counts["errors tried"] += 1
                    if wrong:
                        counts[wrong[0]] += 1
                        what = str(e.module_error_input.constructor_input.args)
                        found.setdefault((info.name, dtype, wrong[0]), []).append((wrong[1], what))
            torch.set_default_dtype(torch.float32)
            taper.set_default_dtype(taper.float32)


def network(lib, d):
    lib.manual_seed(3)
    net = lib.nn.Sequential(lib.nn.Linear(4, 5), lib.nn.Tanh(), lib.nn.Linear(5, 2))
    return net.to(d)


def steps(lib, d, make, only_matrices, device="cpu"):
    net = network(lib, d).to(device)
    lib.manual_seed(5)
    x, y = lib.randn(8, 4, dtype=d).to(device), lib.randn(8, 2, dtype=d).to(device)
    params = [p for p in net.parameters() if p.dim() == 2 or not only_matrices]
    opt = make(params)
    losses = []

    def closure():
        opt.zero_grad()
        loss = ((net(x) - y) ** 2).mean()
        loss.backward()
        return loss

    for _ in range(10):
        losses.append(opt.step(closure))
    keys = {k: sorted(map(str, v)) for k, v in opt.state_dict()["state"].items()} if opt.state_dict()["state"] else {}
    return params, losses, keys, opt


def optimizers(a, found, counts):
    for info in optim_db:
        name = info.optim_cls.__name__
        if a.names and name not in a.names:
            continue
        mine = getattr(taper.optim, name, None)
        if mine is None:
            found[name, "", "absent"] = [("", "")]
            continue
        counts["optimizers"] += 1
        for dtype in a.dtypes.split(","):
            d = getattr(torch, dtype)
            for s in info.optim_inputs_func("cpu"):
                kwargs = dict(s.kwargs)
                if name == "SparseAdam":
                    continue
                for extra in ({}, {"foreach": True}, {"foreach": False}):
                    if extra and "foreach" not in info.supported_impls:
                        continue
                    counts["optimizer samples"] += 1
                    matrices = name == "Muon"
                    try:
                        want = steps(torch, d, lambda p: info.optim_cls(p, **{**kwargs, **extra}), matrices)
                    except Exception:
                        continue
                    kw = of_taper({**kwargs, **extra}, a.device, [])
                    try:
                        got = steps(taper, getattr(taper, dtype), lambda p: mine(p, **kw), matrices, a.device)
                    except Exception as e:
                        found.setdefault((name, dtype, "error"), []).append((refused(e), f"{s.desc} {extra}"))
                        continue
                    wrong = None
                    for i, (x, y) in enumerate(zip(got[0] + got[1], want[0] + want[1])):
                        wrong = wrong or difference(x, y)
                    if wrong:
                        counts["steps"] += 1
                        found.setdefault((name, dtype, "steps"), []).append((wrong, f"{s.desc} {s.kwargs} {extra}"))
                    if got[2] != want[2]:
                        text = f"{got[2]} instead of {want[2]}"
                        found.setdefault((name, dtype, "state keys"), []).append((text, f"{s.desc} {s.kwargs}"))
                    if plain(got[3]) != plain(want[3]):
                        text = f"{got[3]} instead of {want[3]}"
                        found.setdefault((name, dtype, "text"), []).append((text, f"{s.desc} {s.kwargs}"))
            for e in info.optim_error_inputs_func("cpu", d):
                counts["errors tried"] += 1
                o = e.optimizer_error_input
                wrong = optimizer_error(e, o, mine, a.device)
                if wrong:
                    counts[wrong[0]] += 1
                    found.setdefault((name, dtype, wrong[0]), []).append((wrong[1], f"{o.desc} {o.kwargs}"))


def optimizer_error(e, o, mine, device):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made = mine(of_taper(o.params, device, []), **of_taper(o.kwargs, device, []))
            if e.error_on == OptimizerErrorEnum.STEP_ERROR:
                made.step(lambda: 1)
    except Unfit:
        return None
    except Exception as error:
        if e.error_type.__name__ not in [c.__name__ for c in type(error).__mro__]:
            return "error class", f"{refused(error)} instead of {e.error_type.__name__}: {e.error_regex}"
        if not re.search(e.error_regex, str(error)):
            return "error text", f"{error} instead of {e.error_regex}"
        return None
    return "no error", f"instead of {e.error_type.__name__}: {e.error_regex}"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("names", nargs="*")
    p.add_argument("--dtypes", default="float32,float64")
    p.add_argument("--device", default="cpu")
    a = p.parse_args()
    torch.set_num_threads(1)
    found, counts = collections.OrderedDict(), collections.Counter()
    modules(a, found, counts)
    optimizers(a, found, counts)
    bad = 0
    for (name, d, kind), list_ in found.items():
        if (name, kind) in KNOWN:
            continue
        bad += 1
        print(f"{name} {d} {kind} ({len(list_)}): {list_[0][0]}\n    {list_[0][1]}")
    print(f"{dict(counts)}; {bad} kinds of differences")
    return 1 if bad else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
