"""Calls of the public API while memory runs out, each in a process of its own.

    python tests/reliability/memory_limits.py                 a sample of calls under a few limits
    python tests/reliability/memory_limits.py --long          all calls under many limits, and all methods found by name
    python tests/reliability/memory_limits.py --inject        (debug build) every allocation of each call fails in turn
    python tests/reliability/memory_limits.py NAME ..         these calls alone

A call is right or raises MemoryError (the library's error 5); anything else - a dead process, another exception, a wrong
result, a call that does not work once the limit is lifted - is reported, and the exit status is 1. Limits are of address
space (RLIMIT_AS), above what the process uses before the call.
"""

import ctypes
import gc
import os
import pickle  # noqa: F401  (what saving and loading import: an import that finds no memory is an ImportError)
import resource
import signal
import sys
import tempfile
import traceback
import zipfile  # noqa: F401

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bindings", "python"))
import taper as torch  # noqa: E402
from taper import _c, _devices  # noqa: E402

F = torch.nn.functional
N = 1_000_000


def x(*shape):
    """Numbers in no order, without a generator."""
    n = 1
    for s in shape:
        n *= s
    return ((torch.arange(n) * 7919) % 10007).to(torch.float32).reshape(*shape) / 5003.5 - 1


def ids(n, high):
    return (torch.arange(n) * 7919) % high


def train():
    net = torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10))
    opt = torch.optim.Adam(net.parameters())
    data, target = x(256, 256), ids(256, 10)

    def step():
        opt.zero_grad()
        F.cross_entropy(net(data), target).backward()
        opt.step()

    return step


def save(layers=400):
    state = {f"layer.{i}.weight": x(100_000 if i == 0 else 4) for i in range(layers)}
    path = os.path.join(tempfile.mkdtemp(), "w.safetensors")

    def run():
        torch.save(state, path)
        torch.load(path)

    return run


def make(f, *inputs):
    """A call of `f` whose inputs are made before the limit."""
    return lambda: lambda: f(*inputs)


def graded(f, *shape):
    def prepare():
        a = x(*shape).requires_grad_()

        def run():
            a.grad = None
            f(a).sum().backward()

        return run

    return prepare


def printed():
    a = x(300, 300)

    def run():
        torch.set_printoptions(threshold=float("inf"))
        try:
            str(a)
        finally:
            torch.set_printoptions(threshold=1000)

    return run


def handles():
    a = x(3)
    kept = []

    def run():
        kept.clear()
        kept.extend(a[0:2] for _ in range(20_000))

    return run


class _TransformerOptions(ctypes.Structure):
    """taper_nn_transformer_options."""

    _fields_ = [("struct_size", ctypes.c_size_t)] + [(n, ctypes.c_void_p) for n in ("activation", "encoder", "decoder")]
    _fields_ += [(n, ctypes.c_int64) for n in ("d_model", "nhead", "encoder_layers", "decoder_layers", "feedforward")]
    _fields_ += [("dropout", ctypes.c_double), ("eps", ctypes.c_double)]
    _fields_ += [(n, ctypes.c_int32) for n in ("batch_first", "norm_first", "bias", "dtype", "device", "index")]


def layers():
    """A module of the core with a great many small children."""
    create, free = (_c.lib.taper_nn_transformer_create, _c.lib.taper_module_free)
    create.restype, free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    options = _TransformerOptions(
        ctypes.sizeof(_TransformerOptions), None, None, None, 1, 1, 3000, 1, 2, 0.1, 1e-5, 0, 0, 1
    )
    options.dtype = -1

    def run():
        m = ctypes.c_void_p()
        error = create(ctypes.byref(options), ctypes.byref(m))
        if error:
            _c.fail(error)
        free(m)

    return run


# Name: a function that prepares and returns the call.
CALLS = {
    "add": make(lambda a: a + a, x(N)),
    "layers": layers,
    "index": make(lambda a, i: a[i], x(N), ids(N, N)),
    "index_put": make(lambda a, i: a.clone().index_put_((i,), a), x(N), ids(N, N)),
    "gather": make(lambda a, i: a.gather(0, i), x(N), ids(N, N)),
    "scatter_add": make(lambda a, i: a.clone().scatter_add_(0, i, a), x(N), ids(N, N)),
    "index_select": make(lambda a, i: a.index_select(0, i), x(N), ids(N, N)),
    "take_along_dim": make(lambda a, i: a.take_along_dim(i, 0), x(N), ids(N, N)),
    "masked_select": make(lambda a: a[a > 0], x(N)),
    "nonzero": make(lambda a: a.nonzero(), x(N)),
    "sort": make(lambda a: a.sort(), x(N)),
    "sort64": make(lambda a: a.sort(descending=True), x(N).double()),
    "argsort": make(lambda a: a.argsort(0), x(1000, 1000)),
    "topk": make(lambda a: a.topk(10), x(N)),
    "topk64": make(lambda a: a.topk(10, 0), x(N).double()),
    "kthvalue": make(lambda a: a.kthvalue(5), x(N)),
    "unique": make(lambda a: a.unique(return_inverse=True, return_counts=True), x(N)),
    "median": make(lambda a: a.median(), x(N)),
    "mode": make(lambda a: a.mode(), x(1000, 1000)),
    "searchsorted": make(lambda a, b: torch.searchsorted(a, b), torch.arange(N).float(), x(N)),
    "isin": make(lambda a, b: torch.isin(a, b), x(N), x(1000)),
    "bincount": make(lambda i: i.bincount(), ids(N, 1000)),
    "embedding": make(lambda w, i: F.embedding(i, w), x(1000, 64), ids(20_000, 1000)),
    "embedding_backward": graded(lambda w: F.embedding(ids(20_000, 1000), w), 1000, 64),
    "one_hot": make(lambda i: F.one_hot(i, 100), ids(20_000, 100)),
    "cross_entropy": graded(lambda a: F.cross_entropy(a, ids(10_000, 100)), 10_000, 100),
    "nll_loss": graded(lambda a: F.nll_loss(a, ids(10_000, 100)), 10_000, 100),
    "matmul": make(lambda a: a @ a, x(700, 700)),
    "matmul_t": make(lambda a: a.t() @ a, x(700, 700)),
    "matmul64": make(lambda a: a @ a, x(500, 500).double()),
    "matmul16": make(lambda a: a @ a, x(500, 500).half()),
    "bmm": make(lambda a: torch.bmm(a, a), x(16, 128, 128)),
    "matmul_backward": graded(lambda a: a @ a, 400, 400),
    "einsum": make(lambda a: torch.einsum("bij,bjk->bik", a, a), x(16, 128, 128)),
    "attention": make(lambda a: F.scaled_dot_product_attention(a, a, a), x(4, 8, 128, 64)),
    "conv1d": make(lambda a, w: F.conv1d(a, w), x(8, 32, 1000), x(64, 32, 3)),
    "conv2d": make(lambda a, w: F.conv2d(a, w, padding=1), x(4, 32, 64, 64), x(64, 32, 3, 3)),
    "conv2d_small": make(lambda a, w: F.conv2d(a, w), x(64, 64, 7, 7), x(64, 64, 5, 5)),
    "conv2d_backward": graded(lambda w: F.conv2d(x(4, 32, 32, 32), w, padding=1), 64, 32, 3, 3),
    "conv_transpose2d": make(lambda a, w: F.conv_transpose2d(a, w), x(4, 32, 32, 32), x(32, 16, 3, 3)),
    "max_pool": graded(lambda a: F.max_pool2d(a, 2), 8, 32, 64, 64),
    "interpolate": graded(lambda a: F.interpolate(a, scale_factor=2, mode="bilinear"), 4, 16, 64, 64),
    "softmax": graded(lambda a: a.softmax(0) * a, 1000, 1000),
    "layer_norm": graded(lambda a: F.layer_norm(a, (1000,)) * a, 1000, 1000),
    "batch_norm": graded(lambda a: F.batch_norm(a, None, None, training=True) * a, 1000, 100),
    "group_norm": graded(lambda a: F.group_norm(a, 4) * a, 100, 8, 100),
    "cumsum": graded(lambda a: a.cumsum(0), 1000, 1000),
    "cumprod": graded(lambda a: a.cumprod(0), 50, 50),
    "cdist": make(lambda a: torch.cdist(a, a), x(500, 64)),
    "cat": make(lambda a: torch.cat([a, a, a]), x(N)),
    "stack": make(lambda a: torch.stack(list(a.unbind(0))), x(5000, 100)),
    "repeat": make(lambda a: a.repeat(3, 2), x(1000, 300)),
    "repeat_interleave": make(lambda a, i: a.repeat_interleave(i), x(N), ids(N, 3)),
    "flip": make(lambda a: a.flip(0), x(N)),
    "roll": make(lambda a: a.roll(5), x(N)),
    "unfold": make(lambda a: F.unfold(a, 3), x(4, 16, 64, 64)),
    "pad": make(lambda a: F.pad(a, (10, 10), mode="replicate"), x(1, 10, 100_000)),
    "tril_indices": make(lambda: torch.tril_indices(1500, 1500)),
    "meshgrid": make(lambda a: [t.contiguous() for t in torch.meshgrid(a, a, indexing="ij")], x(1000)),
    "linspace": make(lambda: torch.linspace(0, 1, N)),
    "eye": make(lambda: torch.eye(1000)),
    "randperm": make(lambda: torch.randperm(N)),
    "multinomial": make(lambda a: torch.multinomial(a.abs() + 0.1, N, replacement=True), x(1000)),
    "dropout": make(lambda a: F.dropout(a, 0.5), x(N)),
    "normal": make(lambda a: torch.empty(1000, 1000).t().normal_(), x(1)),
    "orthogonal": make(lambda a: torch.nn.init.orthogonal_(a), x(300, 200)),
    "sparse": make(lambda a: torch.nn.init.sparse_(a, 0.1), x(1000, 300)),
    "dirac": make(lambda a: torch.nn.init.dirac_(a), x(300, 300, 3)),
    "unbind": make(lambda a: a.unbind(0), x(20_000, 2)),
    "split": make(lambda a: a.split(1), x(20_000, 2)),
    "chunk": make(lambda a: a.chunk(10_000), x(20_000, 2)),
    "tolist": make(lambda a: a.tolist(), x(300_000)),
    "tensor": make(lambda v: torch.tensor(v), [float(i) for i in range(300_000)]),
    "item_of_many": handles,
    "print": printed,
    "train": train,
    "save_load": save,
}

# What is smaller where a call is made once for each of its allocations: fewer layers are as many kinds of them.
INJECTED = {"save_load": lambda: save(20)}

# With no limit at all: refused at once.
ABSURD = {
    "unbind": lambda: torch.empty(0, 2**40).unbind(1),
    "split": lambda: torch.empty(0, 2**40).split(1, 1),
    "chunk": lambda: torch.empty(0, 2**40).chunk(2**39, 1),
    "pad replicate": lambda: F.pad(torch.ones(1, 1, 2), (2**40, 2**40), mode="replicate"),
    "pad constant": lambda: F.pad(torch.ones(1, 1, 2), (2**40, 0)),
    "empty": lambda: torch.empty(2**45),
    "zeros": lambda: torch.zeros(2**42),
    "repeat": lambda: torch.ones(3).repeat(2**42),
    "expand": lambda: torch.ones(1).expand(2**42).contiguous(),
    "expand add": lambda: torch.ones(1).expand(2**42) + 1,
    "expand tolist": lambda: torch.ones(1).expand(2**42).tolist(),
    "expand sort": lambda: torch.ones(1).expand(2**42).sort(),
    "expand nonzero": lambda: torch.ones(1, 1).expand(2**45, 1).contiguous().nonzero(),
    "arange": lambda: torch.arange(1e15),
    "linspace": lambda: torch.linspace(0, 1, 10**13),
    "logspace": lambda: torch.logspace(0, 1, 10**13),
    "one_hot": lambda: F.one_hot(torch.tensor([1, 2]), 10**12),
    "eye": lambda: torch.eye(10**9),
    "tril_indices": lambda: torch.tril_indices(10**7, 10**7),
    "triu_indices": lambda: torch.triu_indices(10**9, 10**9),
    "meshgrid": lambda: torch.meshgrid(torch.ones(10**6), torch.ones(10**7), indexing="ij")[0].contiguous(),
    "outer": lambda: torch.outer(torch.ones(10**7), torch.ones(10**6)),
    "matmul": lambda: torch.ones(10**7, 1) @ torch.ones(1, 10**6),
    "randperm": lambda: torch.randperm(10**13),
    "bincount": lambda: torch.tensor([10**13]).bincount(),
    "repeat_interleave": lambda: torch.ones(1).repeat_interleave(10**13),
    "diag": lambda: torch.ones(10**7).diag(),
    "interpolate": lambda: F.interpolate(torch.ones(1, 1, 4), scale_factor=1e12),
    "upsample": lambda: F.interpolate(torch.ones(1, 1, 4), size=2**42),
    "multinomial": lambda: torch.multinomial(torch.ones(3), 10**13, replacement=True),
    "cdist": lambda: torch.cdist(torch.ones(10**7, 1), torch.ones(10**6, 1)),
    "unfold": lambda: torch.ones(10**7).unfold(0, 5 * 10**6, 1).contiguous(),
    "kron": lambda: torch.kron(torch.ones(10**7), torch.ones(10**6)),
}


def used():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[0]) * resource.getpagesize()


def stocked():
    """Gives the interpreter free memory for small objects of its own, and returns what keeps it.

    CPython does not survive the failure of its own small allocations: while it handles a MemoryError it needs integers and
    tracebacks, and where it gets none it ends the process or tries for ever. Its arenas stay as long as one object in them lives.
    """
    return [object() for _ in range(1 << 20)][:: 1 << 13]


def limited(prepare, slack):
    """In a child: the call under the limit, then without."""
    call = prepare()
    kept = stocked()
    resource.setrlimit(resource.RLIMIT_AS, (used() + slack, resource.RLIM_INFINITY))
    try:
        call()
    except MemoryError:
        pass
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    call()
    del kept


def alive(lib):
    """Handles, and bytes of tensors; without the scratch memory that each thread keeps once it has worked on a kernel."""
    gc.collect()
    assert not _c.proto("memory_empty_cache")(_c.device_c(torch.device("cpu")))
    lib.taper_handle_count.restype = ctypes.c_uint64
    info = _devices._MemoryInfo()
    assert not _c.proto("memory_stats")(_c.device_c(torch.device("cpu")), ctypes.addressof(info))
    return lib.taper_handle_count(), info.allocated


def injected(prepare, most):
    """In a child: every allocation of the call fails in turn; afterwards nothing more is alive than before."""
    lib = ctypes.CDLL(os.environ["TAPER_LIBRARY"])
    lib.taper_test_fail_end.restype = ctypes.c_int64
    fail = lib.taper_test_fail_allocations
    fail.argtypes = [ctypes.c_uint64, ctypes.c_int32]
    call = prepare()
    call()
    call()
    before = alive(lib)
    fail(2**62, 0)
    call()
    count = lib.taper_test_fail_end()
    for every in (0, 1):
        for k in range(0, count, max(1, count // most)):
            fail(k, every)
            try:
                call()
            except MemoryError:
                pass
            finally:
                died = lib.taper_test_fail_end() < 0
            if died:
                raise SystemExit("an allocation of the call would end the process")
    call()
    after = alive(lib)
    if after != before:
        raise SystemExit(f"handles and bytes that were alive before and after: {before}, {after}")


def child(name, f, seconds):
    """Runs f in a child; what went wrong, or None."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        os.dup2(write, 2)
        signal.alarm(seconds)
        code = 0
        try:
            f()
        except BaseException:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            traceback.print_exc()
            code = 1
        os._exit(code)
    os.close(write)
    with os.fdopen(read, errors="replace") as pipe:
        text = pipe.read()
    _, status = os.waitpid(pid, 0)
    if status == 0:
        return None
    end = f"killed by {signal.Signals(os.WTERMSIG(status)).name}" if os.WIFSIGNALED(status) else "failed"
    return f"{name}: {end}\n    " + "\n    ".join(text.strip().splitlines()[-8:])


def absurd(f):
    try:
        f()
    except (MemoryError, RuntimeError, ValueError, OverflowError):
        return
    raise SystemExit("no error")


def main(arguments):
    long = "--long" in arguments
    names = [a for a in arguments if not a.startswith("--")]
    wrong = []
    runs = 0
    if "--inject" in arguments:
        for name, prepare in CALLS.items():
            if not names or name in names:
                runs += 1
                prepare = INJECTED.get(name, prepare)
                wrong.append(child(name, lambda: injected(prepare, 10_000 if long else 40), 600 if long else 300))  # noqa: B023
    else:
        slacks = [0, 1 << 20, 8 << 20, 24 << 20] if not long else [0] + [1 << k for k in range(16, 29)]
        for name, prepare in CALLS.items():
            for slack in slacks:
                if not names or name in names:
                    runs += 1
                    what = f"{name} with {slack >> 10} KiB"
                    wrong.append(child(what, lambda: limited(prepare, slack), 60))  # noqa: B023
        for name, f in ABSURD.items():
            if not names or name in names:
                runs += 1
                wrong.append(child(f"absurd {name}", lambda: absurd(f), 20))  # noqa: B023
    wrong = [w for w in wrong if w]
    print("\n".join(wrong + [f"{runs} runs, {len(wrong)} wrong"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
