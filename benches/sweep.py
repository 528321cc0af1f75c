"""Many ops, each on one middling tensor, Taper against PyTorch on one thread of the CPU: where is Taper behind?

    scripts/bench.sh --sweep [PATTERN]

One process for each library, one after the other; the least CPU time of a call counts, which other programs disturb
little. Prints the ops (whose names contain PATTERN) that take longer in Taper, and the geometric mean of all ratios.
"""

import json
import math
import os
import re
import subprocess
import sys
import time

SECONDS = 0.06  # for one op

UNARY = """sin cos tan asin acos atan sinh cosh tanh asinh atanh exp exp2 expm1 log log2 log10 log1p sqrt rsqrt erf erfc
    erfinv lgamma digamma sigmoid reciprocal abs sign ceil floor round trunc frac neg square logit isnan isinf isfinite
    nan_to_num"""
ACTIVATIONS = """relu silu gelu mish softplus elu selu celu hardswish hardsigmoid hardtanh leaky_relu logsigmoid softsign
    tanhshrink hardshrink softshrink relu6"""
BINARY = """pow atan2 maximum minimum fmod remainder hypot copysign logaddexp logaddexp2 xlogy floor_divide div mul add eq
    lt"""
REDUCTIONS = "sum mean prod amax amin argmax var std logsumexp norm any all"


def calls(T):
    """The name of each op, and a function that calls it."""
    F = T.nn.functional
    T.manual_seed(0)
    n = 1000
    x, y, normal = T.rand(n, n) * 0.98 + 0.01, T.rand(n, n) + 0.5, T.randn(n, n)
    i, j = T.randint(1, 100, (n, n)), T.randint(1, 100, (n, n))
    row, places = T.randint(0, n, (n,)), T.randint(0, n, (n, n))
    mask = x > 0.5
    types = {"float64": x.double(), "float16": x.half(), "bfloat16": x.bfloat16()}
    images, kernels = T.randn(16, 32, 32, 32), T.randn(64, 64, 3)
    heads = images.view(16, 8, 128, 32)
    out = {}
    for f in UNARY.split():
        out[f] = lambda f=f: getattr(T, f)(x)
    out["acosh"] = lambda: T.acosh(y + 1)
    for f in ACTIVATIONS.split():
        out[f] = lambda f=f: getattr(F, f)(normal)
    for f in BINARY.split():
        out[f] = lambda f=f: getattr(T, f)(x, y)
    for f in "add mul floor_divide remainder bitwise_and eq maximum".split():
        out[f"{f} int64"] = lambda f=f: getattr(T, f)(i, j)
    for f in "sin exp tanh log sqrt sigmoid".split():
        for name, t in types.items():
            out[f"{f} {name}"] = lambda f=f, t=t: getattr(T, f)(t)
    for e in (2, 3, 0.5, 1.7):
        out[f"pow {e}"] = lambda e=e: x**e
    out["where"] = lambda: T.where(mask, x, y)
    out["clamp"] = lambda: x.clamp(0.2, 0.8)
    out["lerp"] = lambda: T.lerp(x, y, 0.3)
    out["addcmul"] = lambda: T.addcmul(x, y, normal)
    out["addcdiv"] = lambda: T.addcdiv(x, y, y)
    for dim in ((0, 1), 0, 1):
        for f in REDUCTIONS.split():
            t = mask if f in ("any", "all") else x
            whole = dim == (0, 1) and f not in ("amax", "amin", "logsumexp")
            dims = () if whole else (dim,)
            if f == "norm":
                dims = (2, *dims)
            out[f"{f} over {dim}"] = lambda f=f, t=t, dims=dims: getattr(T, f)(t, *dims)
    for dim in (0, 1):
        for f in "cumsum cumprod logcumsumexp cummax softmax log_softmax sort max median".split():
            out[f"{f} {dim}"] = lambda f=f, dim=dim: getattr(T, f)(x, dim)
        out[f"topk {dim}"] = lambda dim=dim: T.topk(x, 10, dim)
        out[f"gather {dim}"] = lambda dim=dim: T.gather(x, dim, places)
        out[f"scatter {dim}"] = lambda dim=dim: T.zeros(n, n).scatter_(dim, places, x)
        out[f"scatter_add {dim}"] = lambda dim=dim: T.zeros(n, n).scatter_add_(dim, places, x)
        out[f"index_select {dim}"] = lambda dim=dim: T.index_select(x, dim, row)
        out[f"index_add {dim}"] = lambda dim=dim: T.zeros(n, n).index_add_(dim, row, x)
        out[f"flip {dim}"] = lambda dim=dim: T.flip(x, (dim,))
        out[f"roll {dim}"] = lambda dim=dim: T.roll(x, 3, dim)
        out[f"cat {dim}"] = lambda dim=dim: T.cat([x, y], dim)
        out[f"stack {dim}"] = lambda dim=dim: T.stack([x, y], dim)
    out["x[mask]"] = lambda: x[mask]
    out["masked_fill"] = lambda: x.masked_fill(mask, 0)
    out["nonzero"] = lambda: T.nonzero(mask)
    out["x[rows]"] = lambda: x[row]
    out["x[:, columns]"] = lambda: x[:, row]
    out["x[rows, columns]"] = lambda: x[row, row]
    out["unique"] = lambda: T.unique(i)
    out["bincount"] = lambda: T.bincount(i.view(-1))
    out["histc"] = lambda: T.histc(x, 100)
    out["searchsorted"] = lambda: T.searchsorted(T.arange(1000.0) / 1000, x)
    out["tril"] = lambda: T.tril(x)
    out["transposed copy"] = lambda: x.t().contiguous()
    out["permuted copy"] = lambda: images.permute(0, 2, 3, 1).contiguous()
    for name in ("double", "half", "bfloat16", "long", "bool"):
        out[f"float32 to {name}"] = lambda name=name: getattr(x, name)()
    out["int64 to float32"] = lambda: i.float()
    out["float16 to float32"] = lambda: types["float16"].float()
    out["rand"] = lambda: T.rand(n, n)
    out["randn"] = lambda: T.randn(n, n)
    out["randint"] = lambda: T.randint(0, 10, (n, n))
    out["randperm"] = lambda: T.randperm(100_000)
    out["bernoulli"] = lambda: T.bernoulli(x)
    out["dropout"] = lambda: F.dropout(x, 0.5)
    out["multinomial"] = lambda: T.multinomial(x, 5)
    out["arange"] = lambda: T.arange(1_000_000)
    out["linspace"] = lambda: T.linspace(0, 1, 1_000_000)
    out["zeros"] = lambda: T.zeros(n, n)
    out["full"] = lambda: T.full((n, n), 2.0)
    out["eye"] = lambda: T.eye(n)
    out["batch_norm, training"] = lambda: F.batch_norm(images, None, None, training=True)
    zeros, ones = T.zeros(32), T.ones(32)
    out["batch_norm"] = lambda: F.batch_norm(images, zeros, ones)
    out["group_norm"] = lambda: F.group_norm(images, 4)
    out["instance_norm"] = lambda: F.instance_norm(images)
    out["layer_norm"] = lambda: F.layer_norm(x, (n,))
    out["normalize"] = lambda: F.normalize(x)
    out["avg_pool2d"] = lambda: F.avg_pool2d(images, 2)
    out["max_pool2d"] = lambda: F.max_pool2d(images, 2)
    out["max_pool2d 3, stride 2"] = lambda: F.max_pool2d(images, 3, 2, 1)
    out["adaptive_avg_pool2d"] = lambda: F.adaptive_avg_pool2d(images, 1)
    for mode in ("nearest", "bilinear"):
        out[f"interpolate {mode}"] = lambda mode=mode: F.interpolate(images, scale_factor=2, mode=mode)
    for mode in ("constant", "reflect"):
        out[f"pad {mode}"] = lambda mode=mode: F.pad(images, (1, 1, 1, 1), mode=mode)
    out["unfold"] = lambda: F.unfold(images, 3)
    depthwise, up, signal = T.ones(32, 1, 3, 3), T.ones(32, 16, 2, 2), T.ones(16, 64, 256)
    out["conv2d, depthwise"] = lambda: F.conv2d(images, depthwise, groups=32, padding=1)
    out["conv1d"] = lambda: F.conv1d(signal, kernels)
    out["conv_transpose2d"] = lambda: F.conv_transpose2d(images, up, stride=2)
    out["one_hot"] = lambda: F.one_hot(row, n)
    out["cdist"] = lambda: T.cdist(x[:300], y[:300])
    out["bmm"] = lambda: T.bmm(images.view(512, 32, 32), images.view(512, 32, 32))
    out["matrix times vector"] = lambda: x @ y[0]
    out["dot"] = lambda: T.dot(x.view(-1), y.view(-1))
    out["outer"] = lambda: T.outer(x[0], y[0])
    out["einsum"] = lambda: T.einsum("ij,kj->ik", x[:200], y[:200])
    for name, t in types.items():
        out[f"matmul {name}"] = lambda t=t: t[:256] @ t[:, :256]
    out["matmul int64"] = lambda: i[:128] @ j[:, :128]
    out["scaled_dot_product_attention"] = lambda: F.scaled_dot_product_attention(heads, heads, heads)
    out["cross_entropy"] = lambda: F.cross_entropy(normal, row)
    out["nll_loss"] = lambda: F.nll_loss(normal, row)
    out["binary_cross_entropy"] = lambda: F.binary_cross_entropy(x, x)
    out["binary_cross_entropy_with_logits"] = lambda: F.binary_cross_entropy_with_logits(normal, x)
    for f in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
        out[f] = lambda f=f: getattr(F, f)(x, y)
    out["kl_div"] = lambda: F.kl_div(normal, x, reduction="batchmean")

    def gradient(f):
        leaf = normal.detach().requires_grad_()
        (getattr(F, f, None) or getattr(T, f))(leaf).sum().backward()

    for f in "tan atan erf tanh sigmoid gelu silu softplus mish elu".split():
        out[f"gradient of {f}"] = lambda f=f: gradient(f)
    return out


def work(library, pattern):
    """Prints the least seconds of a call of each op as JSON."""
    from worker import SHORTEST, measure

    T = __import__(library)
    __import__(library + ".nn")
    T.set_num_threads(1)
    times = {}
    for name, call in calls(T).items():
        if pattern not in name:
            continue
        try:
            times[name] = measure(call, SECONDS, time.thread_time, lambda: None, SHORTEST)["best"]
        except Exception as error:  # a missing op must not end the sweep
            times[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    print(json.dumps(times))


def main():
    from run import environment

    pattern = " ".join(sys.argv[1:])
    times = {}
    for library in ("taper", "torch"):
        command = [sys.executable, os.path.abspath(__file__), "--work", library, pattern]
        found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment())
        times[library] = json.loads(found.stdout)
    ratios = []
    for name, taper in times["taper"].items():
        torch = times["torch"][name]
        if isinstance(taper, str) or isinstance(torch, str):
            print(f"{name}: Taper {taper}, PyTorch {torch}")
        else:
            ratios.append((torch / taper, name, taper, torch))
    ratios.sort()
    print("| op | Taper | PyTorch | PyTorch / Taper |\n|---|---|---|---|")
    for ratio, name, taper, torch in ratios:
        if ratio < 0.95:
            print(f"| {re.sub('[|]', '/', name)} | {taper * 1e6:.1f} us | {torch * 1e6:.1f} us | {ratio:.2f} |")
    if ratios:
        mean = math.exp(sum(math.log(r[0]) for r in ratios) / len(ratios))
        ahead = sum(r[0] >= 0.95 for r in ratios)
        print(f"\n{ahead} of {len(ratios)} ops take no longer than PyTorch's (within 5 %); geometric mean {mean:.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], " ".join(sys.argv[3:]))
    else:
        main()
