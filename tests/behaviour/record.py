"""Writes what PyTorch answers below each call of cases.txt:  .venv-bench/bin/python tests/behaviour/record.py"""

import torch
from suite import CASES, DType, T, read_cases, read_ops

DTYPES = {
    "f32": torch.float32,
    "f64": torch.float64,
    "i64": torch.int64,
    "i32": torch.int32,
    "u8": torch.uint8,
    "b": torch.bool,
}
# Names that PyTorch has elsewhere.
OTHERS = {"cast": lambda t, dtype: t.to(dtype)}


def torch_value(v, made):
    if isinstance(v, T):
        made.append(torch.tensor(v.nested, dtype=DTYPES[v.dtype]))
        return made[-1]
    if isinstance(v, DType):
        return DTYPES[v.name]
    if isinstance(v, list):
        return [torch_value(x, made) for x in v]
    return v


def answer(case, op):
    made = []
    args = [torch_value(a, made) for a in case.args]
    kwargs = {k: torch_value(v, made) for k, v in case.kwargs.items()}
    leaf = next((t for t in made if t.is_floating_point()), None)
    if case.grad:
        leaf.requires_grad_()
    places = (torch, torch.nn.functional, torch.Tensor)
    family, _, rest = op.name.partition("_")
    if family in ("linalg", "fft"):
        f = getattr(getattr(torch, family), rest)
    else:
        f = OTHERS.get(case.op) or next(getattr(p, op.name) for p in places if hasattr(p, op.name))
    try:
        result = f(*args, **kwargs)
    except Exception as e:
        # Some versions put the kernel's name in front.
        return "! " + str(e).split("\n")[0].removeprefix("mm: ")
    results = result if isinstance(result, (tuple, list)) else [result]
    if case.grad:
        results[0].sum().backward()
        results = [leaf.grad]
    return "= " + "\\n".join(str(r) for r in results).replace("\n", "\\n")


ops = read_ops()
lines = [line for line in open(CASES) if line.startswith("#")]
for case in read_cases():
    lines += [case.text + "\n", answer(case, ops[case.op]) + "\n"]
open(CASES, "w").writelines(lines)
