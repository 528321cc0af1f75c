"""Taper and PyTorch on the same device, op by op:  python compare.py --device cuda [--torch-device cuda]

The same inputs (from NumPy, seeded) go through both; values and gradients must agree within what the dtype allows.
Prints one line per case that differs, and how far the worst one is off.
"""

import argparse
import sys

try:
    import numpy as np
    import torch
except ImportError as missing:
    print(f"nothing to compare with: {missing}")
    sys.exit(77)

import taper

TOLERANCE = {"float64": 1e-9, "float32": 2e-5, "float16": 4e-3, "bfloat16": 3e-2}


def unary(name):
    return lambda T, a, b: getattr(T, name)(a)


def functional(name, *args, **kwargs):
    return lambda T, a, b: getattr(T.nn.functional, name)(a, *args, **kwargs)


# Name, function of the library and two matrices [12, 20] and [12, 20] (positive), whether it has a gradient.
CASES = [
    ("add", lambda T, a, b: a + b, True),
    ("broadcast", lambda T, a, b: a * b[0] - b[:, :1], True),
    ("div", lambda T, a, b: a / b, True),
    ("pow", lambda T, a, b: b**1.5, True),
    ("transposed", lambda T, a, b: (a.t() + b.t()).contiguous(), True),
    ("matmul", lambda T, a, b: a @ b.t(), True),
    ("batched matmul", lambda T, a, b: a.view(3, 4, 20) @ b.view(3, 20, 4), True),
    ("where", lambda T, a, b: T.where(a > 0, a, b), True),
    ("clamp", lambda T, a, b: a.clamp(-0.5, 0.5), True),
    ("maximum", lambda T, a, b: T.maximum(a, b), True),
    ("cat", lambda T, a, b: T.cat([a, b], 1), True),
    ("index", lambda T, a, b: a[:, ::3] + b[2:3, ::3], True),
    ("gather", lambda T, a, b: a.gather(1, b.argmax(1, keepdim=True).expand(12, 5)), True),
    ("sum", lambda T, a, b: a.sum(), True),
    ("sum of rows", lambda T, a, b: a.sum(1), True),
    ("mean of columns", lambda T, a, b: a.mean(0), True),
    ("max", lambda T, a, b: a.amax(1), True),
    ("argmax", lambda T, a, b: a.argmax(1), False),
    ("prod", lambda T, a, b: b.prod(1), True),
    ("norm", lambda T, a, b: (a * a).sum().sqrt(), True),
    ("var", lambda T, a, b: a.var(1), True),
    ("cumsum", lambda T, a, b: a.cumsum(1), True),
    ("sort", lambda T, a, b: a.sort(1)[0], True),
    ("topk", lambda T, a, b: a.topk(5, 1)[0], True),
    ("sigmoid", unary("sigmoid"), True),
    ("tanh", unary("tanh"), True),
    ("exp", unary("exp"), True),
    ("log of positive", lambda T, a, b: b.log(), True),
    ("erf", unary("erf"), True),
    ("sin", unary("sin"), True),
    ("relu", functional("relu"), True),
    ("gelu", functional("gelu"), True),
    ("gelu tanh", functional("gelu", approximate="tanh"), True),
    ("silu", functional("silu"), True),
    ("softmax", functional("softmax", 1), True),
    ("log_softmax", functional("log_softmax", 1), True),
    ("layer_norm", functional("layer_norm", (20,)), True),
    ("linear", lambda T, a, b: T.nn.functional.linear(a, b, b.sum(1)), True),
    ("linear relu", lambda T, a, b: T.relu(T.nn.functional.linear(a, b, b.sum(1))), True),
    ("mse_loss", lambda T, a, b: T.nn.functional.mse_loss(a, b), True),
    ("cross_entropy", lambda T, a, b: T.nn.functional.cross_entropy(a, b.argmax(1)), True),
    (
        "conv2d",
        lambda T, a, b: T.nn.functional.conv2d(a.view(2, 2, 6, 10), b[:6, :18].reshape(6, 2, 3, 3), padding=1),
        True,
    ),
    (
        "conv2d stride",
        lambda T, a, b: T.nn.functional.conv2d(a.view(2, 2, 6, 10), b[:6, :18].reshape(6, 2, 3, 3), stride=2),
        True,
    ),
    (
        "conv2d depthwise",
        lambda T, a, b: T.nn.functional.conv2d(a.view(2, 2, 6, 10), b[:2, :9].reshape(2, 1, 3, 3), groups=2),
        True,
    ),
    (
        "conv1d",
        lambda T, a, b: T.nn.functional.conv1d(a.view(3, 4, 20), b.reshape(4, 4, 15)[:, :, :3].contiguous(), b[0, :4]),
        True,
    ),
    ("max_pool2d", lambda T, a, b: T.nn.functional.max_pool2d(a.view(2, 2, 6, 10), 2), True),
    ("avg_pool2d", lambda T, a, b: T.nn.functional.avg_pool2d(a.view(2, 2, 6, 10), 3, 2, 1), True),
]


def run(T, device, dtype, arrays, case, gradient):
    """The result and the gradients of both inputs, as float64 arrays."""
    tensors = [T.tensor(x.tolist(), dtype=getattr(T, dtype), device=device).requires_grad_(gradient) for x in arrays]
    out = case(T, *tensors)
    results = [out]
    if gradient:
        (out * out).sum().backward()
        results += [t.grad for t in tensors if t.grad is not None]
    return [np.array(r.detach().to("cpu").double().tolist()) for r in results]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--torch-device", default="cuda")
    options = parser.parse_args()
    if options.torch_device == "cuda" and not torch.cuda.is_available():
        print("PyTorch finds no CUDA device")
        return 77
    for T in (torch, taper):
        T.backends.cudnn.allow_tf32 = False
        T.backends.cuda.matmul.allow_tf32 = False
    random = np.random.default_rng(7)
    arrays = [random.standard_normal((12, 20)), random.random((12, 20)) + 0.1]
    wrong, worst, total = [], (0.0, ""), 0
    for dtype, tolerance in TOLERANCE.items():
        for name, case, gradient in CASES:
            total += 1
            label = f"{name}, {dtype}"
            try:
                want = run(torch, options.torch_device, dtype, arrays, case, gradient)
            except Exception as error:
                print(f"{label}: PyTorch says {type(error).__name__}: {error}".splitlines()[0])
                continue
            try:
                got = run(taper, options.device, dtype, arrays, case, gradient)
            except Exception as error:
                wrong.append(f"{label}: {type(error).__name__}: {error}".splitlines()[0])
                continue
            for part, (x, y) in enumerate(zip(got, want)):
                scale = max(1.0, float(np.abs(y).max()))
                off = float(np.abs(x - y).max()) / scale if x.shape == y.shape else float("inf")
                if not off <= tolerance * (1 if part == 0 else 4):
                    wrong.append(f"{label}: {'the result' if part == 0 else 'a gradient'} is off by {off:.3g}")
                if off / tolerance > worst[0]:
                    worst = (off / tolerance, f"{label}: {off:.3g}")
    for line in wrong:
        print(line)
    print(f"{total} cases, {len(wrong)} differ; worst against its tolerance: {worst[1]}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
