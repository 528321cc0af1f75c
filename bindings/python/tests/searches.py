"""Calls of searches with NaN among the values; `.venv-bench/bin/python bindings/python/tests/searches.py` records what PyTorch
answers (fixtures/searches.json)."""

_X = "T([3.0, nan, 1.0, nan, 2.0, -inf, inf, 1.0])"
_M = "T([[3.0, nan, 1.0, nan], [2.0, 2.0, 1.0, 0.0], [nan, nan, nan, nan]])"
_V = "T([0.0, 1.0, 2.5, 3.0, 9.0, inf, -inf, nan])"
_SORTED = [
    "T([1.0, 2.0, 3.0, nan])",
    "T([1.0, nan, nan, nan])",
    "T([nan, nan])",
    "T([1.0, 2.0, 4.0, nan, nan, nan, nan])",
]
CALLS = [
    *[f"torch.sort({_X}, dim=0, descending={d}, stable=True)" for d in (False, True)],
    *[f"torch.argsort({_M}, dim={dim}, descending={d}, stable=True)" for d in (False, True) for dim in (0, 1)],
    *[f"torch.topk({_X}, 5, largest={d})[0]" for d in (False, True)],
    *[f"torch.kthvalue({_X}, {k})[0]" for k in (1, 3, 6, 8)],
    f"{_X}.median()",
    f"{_M}.median(1)[0]",
    *[f"{_M}.{f}(1)" for f in ("max", "min", "amax", "amin", "argmax", "argmin", "nansum", "nanmean")],
    *[f"{_X}.{f}()" for f in ("max", "min", "argmax", "argmin")],
    f"torch.aminmax({_M}, dim=1)",
    f"torch.cummax({_M}, 1)",
    f"torch.cummin({_M}, 1)",
    f"torch.unique({_X}, return_inverse=True, return_counts=True)",
    "torch.unique_consecutive(T([nan, nan, 1.0, 1.0]), return_inverse=True, return_counts=True)",
    "T([nan, nan, 1.0]).mode()[0]",
    "T([nan, 1.0, 1.0]).mode()[0]",
    *[f"torch.searchsorted({s}, {_V}, right={r})" for s in _SORTED for r in (False, True)],
    *[f"torch.bucketize({_V}, {s}, right={r})" for s in _SORTED for r in (False, True)],
    f"torch.quantile({_M}, T([0.0, 0.25, 1.0]), dim=1)",
    "torch.histc(T([1.0, 2.0, nan, 3.0, inf]), 4, 0, 4)",
    *[
        f"torch.isin({_X}, {t}, invert={i}, assume_unique={u})"
        for t in ("T([nan, 1.0, 2.0])", "T([*map(float, range(40)), nan])")
        for i in (False, True)
        for u in (False,)
    ],
    f"torch.isin({_X}, nan)",
    "torch.isin(1.0, T([nan, 1.0]))",
    "torch.zeros(3).to(T([1.0])).scatter_reduce(0, torch.tensor([0, 1, 1, 2]).to(T([1.0]).device), T([nan, nan, 2.0, 3.0]), 'amax')",
]

if __name__ == "__main__":
    import json
    import os

    import torch

    names = {"torch": torch, "nan": float("nan"), "inf": float("inf")}
    recorded = {}
    for call in CALLS:
        recorded[call] = {}
        for dtype in ("float32", "float64", "float16", "bfloat16"):
            dt = getattr(torch, dtype)
            try:
                got = eval(call, {**names, "T": lambda v, dt=dt: torch.tensor(v, dtype=dt)})
            except RuntimeError as e:
                print(dtype, call, str(e)[:100])
                continue
            got = list(got) if isinstance(got, tuple) else [got]
            values = [t.double().tolist() if t.is_floating_point() else t.tolist() for t in got]
            recorded[call][dtype] = str(values)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures", "searches.json"), "w") as f:
        json.dump(recorded, f, indent=1)
