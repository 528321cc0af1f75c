"""The workloads, each written once for both libraries: `T` is `torch` or `taper`.

A workload is a function of `T` that prepares its data and returns the function to be timed. The decorator's `unit`
says what a call does, so that the table can show a rate: ("GFLOP", x) or ("GB", x) or ("images", n).

Tensors are made on the library's default device, which the worker sets. `gpu=True` marks workloads that are too large
or senseless on a CPU. TAPER_BENCH_SMALL=1 makes those small, to try them where there is no GPU.
"""

import os

WORKLOADS = {}
GPU_ONLY = set()
SMALL = os.environ.get("TAPER_BENCH_SMALL") == "1"


def workload(name, unit=None, gpu=False):
    def add(make):
        WORKLOADS[name] = (make, unit)
        if gpu:
            GPU_ONLY.add(name)
        return make

    return add


# ---- training steps -------------------------------------------------------------------------------------------------


def net(T):
    """The network of the examples: LeNet's shape, 1x32x32 in, 10 out."""
    nn, F = T.nn, T.nn.functional

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 6, 3)
            self.conv2 = nn.Conv2d(6, 16, 3)
            self.fc1 = nn.Linear(16 * 6 * 6, 120)
            self.fc2 = nn.Linear(120, 84)
            self.fc3 = nn.Linear(84, 10)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            x = x.view(-1, 576)
            x = F.relu(self.fc1(x))
            x = F.relu(self.fc2(x))
            return self.fc3(x)

    return Net()


def training_step(T, model, optimizer, x, y):
    cross_entropy = T.nn.functional.cross_entropy

    def step():
        optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


@workload("LeNet training step, batch 64, Adam", ("images", 64))
def lenet_step(T):
    T.manual_seed(0)
    model = net(T)
    optimizer = T.optim.Adam(model.parameters(), lr=2e-3)
    return training_step(T, model, optimizer, T.rand(64, 1, 32, 32), T.randint(0, 10, (64,)))


@workload("LeNet training step, batch 64, SGD", ("images", 64))
def lenet_step_sgd(T):
    T.manual_seed(0)
    model = net(T)
    optimizer = T.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return training_step(T, model, optimizer, T.rand(64, 1, 32, 32), T.randint(0, 10, (64,)))


@workload("LeNet inference, batch 256", ("images", 256))
def lenet_inference(T):
    T.manual_seed(0)
    model = net(T).eval()
    x = T.rand(256, 1, 32, 32)

    def infer():
        with T.no_grad():
            return model(x)

    return infer


def mlp(T, *sizes):
    layers = []
    for i in range(len(sizes) - 1):
        layers.append(T.nn.Linear(sizes[i], sizes[i + 1]))
        if i + 2 < len(sizes):
            layers.append(T.nn.ReLU())
    return T.nn.Sequential(*layers)


@workload("MLP 784-128-10 training step, batch 64, SGD", ("images", 64))
def mlp_small(T):
    T.manual_seed(0)
    model = mlp(T, 784, 128, 10)
    optimizer = T.optim.SGD(model.parameters(), lr=0.01)
    return training_step(T, model, optimizer, T.rand(64, 784), T.randint(0, 10, (64,)))


@workload("MLP 784-1024-1024-10 training step, batch 256, Adam", ("images", 256))
def mlp_large(T):
    T.manual_seed(0)
    model = mlp(T, 784, 1024, 1024, 10)
    optimizer = T.optim.Adam(model.parameters(), lr=1e-3)
    return training_step(T, model, optimizer, T.rand(256, 784), T.randint(0, 10, (256,)))


def recurrent(kind, time, batch, features, hidden, layers, trained):
    """A recurrent layer over a batch of sequences; the unit is a step of one sequence."""
    what = "training step" if trained else "inference"

    @workload(
        f"{kind} {features}-{hidden}, {layers} layers, {time} steps, batch {batch}, {what}", ("steps", time * batch)
    )
    def make(T):
        T.manual_seed(0)
        model = getattr(T.nn, kind)(features, hidden, layers)
        x = T.randn(time, batch, features)
        if not trained:

            def infer():
                with T.no_grad():
                    return model(x)[0]

            return infer
        optimizer = T.optim.Adam(model.parameters(), lr=1e-3)

        def step():
            optimizer.zero_grad()
            loss = model(x)[0].square().mean()
            loss.backward()
            optimizer.step()
            return loss.item()

        return step


for kind, trained in (("LSTM", True), ("LSTM", False), ("GRU", True), ("GRU", False)):
    recurrent(kind, 50, 32, 64, 128, 2, trained)
recurrent("LSTM", 100, 1, 32, 64, 1, False)


# ---- linear algebra -------------------------------------------------------------------------------------------------


def matmul_workload(n):
    @workload(f"matmul {n}x{n}", ("GFLOP", 2 * n**3 / 1e9))
    def make(T):
        a, b = T.rand(n, n), T.rand(n, n)
        return lambda: a @ b


for size in (8, 64, 256, 1024):
    matmul_workload(size)


@workload("matmul 32x(128x128), batched", ("GFLOP", 2 * 32 * 128**3 / 1e9))
def batched_matmul(T):
    a, b = T.rand(32, 128, 128), T.rand(32, 128, 128)
    return lambda: a @ b


@workload("matmul 512x512 with a transposed operand", ("GFLOP", 2 * 512**3 / 1e9))
def transposed_matmul(T):
    a, b = T.rand(512, 512), T.rand(512, 512).t()
    return lambda: a @ b


def few_rows_workload(m, n, k):
    @workload(f"matmul {m}x{k} by {k}x{n}", ("GFLOP", 2 * m * n * k / 1e9))
    def make(T):
        a, b = T.rand(m, k), T.rand(k, n)
        return lambda: a @ b


for rows, columns in ((1, 3072), (16, 768), (128, 192)):
    few_rows_workload(rows, columns, 768)


def attention_workload(length, causal, trained):
    name = f"attention, 8 heads of 64, {length} positions" + (", causal" if causal else "")
    products = 7 if trained else 2

    @workload(name + (", and its gradients" if trained else ""), ("GFLOP", products * 2 * 8 * 64 * length**2 / 1e9))
    def make(T):
        q, k, v = [T.rand(1, 8, length, 64).requires_grad_(trained) for _ in range(3)]
        attend = T.nn.functional.scaled_dot_product_attention

        def run():
            if not trained:
                return attend(q, k, v, is_causal=causal)
            return T.autograd.grad(attend(q, k, v, is_causal=causal).sum(), (q, k, v))

        return run


for causal in (False, True):
    attention_workload(512, causal, False)
    attention_workload(512, causal, True)


def factorisation(name, f, shape, spread=3.0):
    @workload(name)
    def make(T):
        T.manual_seed(0)
        a = T.randn(*shape) + spread * T.eye(shape[-1])
        b = T.randn(*shape[:-1], 1)
        return lambda: f(T.linalg, a, b)


for _name, _f in {
    "solve": lambda linalg, a, b: linalg.solve(a, b),
    "LU": lambda linalg, a, b: linalg.lu_factor(a),
    "Cholesky": lambda linalg, a, b: linalg.cholesky_ex(a),
    "QR": lambda linalg, a, b: linalg.qr(a),
}.items():
    # Of a matrix that is not symmetric Cholesky's factorisation reads a triangle; so large a diagonal makes it positive.
    factorisation(f"{_name} of 1024x1024", _f, (1024, 1024), 100.0)
    factorisation(f"{_name} of 10000 times 3x3", _f, (10000, 3, 3), 10.0)


def transform(name, f, *shape, real=False, dtype="complex64"):
    @workload(name)
    def make(T):
        T.manual_seed(0)
        parts = "float32" if dtype == "complex64" else "float64"
        x = T.randn(*shape, dtype=getattr(T, parts))
        if not real:
            x = T.complex(x, T.randn(*shape, dtype=getattr(T, parts)))
        return lambda: f(T.fft, x)


for _n in (256, 1000, 1009, 1024, 4096, 1 << 20):
    transform(f"fft of {_n}", lambda fft, x: fft.fft(x), _n)
    transform(f"rfft of {_n}", lambda fft, x: fft.rfft(x), _n, real=True)
transform("fft of 1024, complex128", lambda fft, x: fft.fft(x), 1024, dtype="complex128")
transform("fft of 64x1024", lambda fft, x: fft.fft(x), 64, 1024)
transform("rfft of 64x1024", lambda fft, x: fft.rfft(x), 64, 1024, real=True)
transform("fft of 1024x64", lambda fft, x: fft.fft(x), 1024, 64)
transform("fft2 of 512x512", lambda fft, x: fft.fft2(x), 512, 512)
transform("rfft2 of 512x512", lambda fft, x: fft.rfft2(x), 512, 512, real=True)
transform("irfft2 of 512x257", lambda fft, x: fft.irfft2(x), 512, 257)


@workload("conv2d 16x16x32x32, 32 kernels 3x3", ("GFLOP", 2 * 16 * 32 * 30 * 30 * 16 * 9 / 1e9))
def conv2d(T):
    x, w = T.rand(16, 16, 32, 32), T.rand(32, 16, 3, 3)
    F = T.nn.functional
    return lambda: F.conv2d(x, w)


@workload("conv2d 16x64x28x28, 64 kernels 3x3, and its gradients", ("GFLOP", 3 * 2 * 16 * 64 * 28 * 28 * 64 * 9 / 1e9))
def conv2d_training(T):
    layer, x = T.nn.Conv2d(64, 64, 3, padding=1), T.rand(16, 64, 28, 28).requires_grad_()

    def run():
        x.grad = None
        layer.zero_grad()
        layer(x).sum().backward()

    return run


def conv2d_of_resnet(channels, size, gradients):
    """A 3x3 convolution as ResNet-18 has it, eight images."""
    flop = 2 * 8 * channels**2 * size**2 * 9 * (3 if gradients else 1) / 1e9
    what = ", and its gradients" if gradients else ""

    @workload(f"conv2d 8x{channels}x{size}x{size}, {channels} kernels 3x3{what}", ("GFLOP", flop))
    def make(T):
        F = T.nn.functional
        x, w = T.rand(8, channels, size, size) - 0.5, T.rand(channels, channels, 3, 3) - 0.5
        if not gradients:
            return lambda: F.conv2d(x, w, padding=1)
        slope = T.rand(8, channels, size, size)
        x.requires_grad_(), w.requires_grad_()

        def run():
            x.grad = w.grad = None
            F.conv2d(x, w, padding=1).backward(slope)

        return run


def batch_norm_training(channels, size):
    @workload(f"batch norm 8x{channels}x{size}x{size}, training, and its gradients")
    def make(T):
        layer, x = T.nn.BatchNorm2d(channels), T.rand(8, channels, size, size).requires_grad_()
        slope = T.rand(8, channels, size, size)

        def run():
            x.grad = None
            layer.zero_grad()
            layer(x).backward(slope)

        return run


for _channels, _size in (64, 56), (128, 28), (256, 14), (512, 7):
    conv2d_of_resnet(_channels, _size, False)
    conv2d_of_resnet(_channels, _size, True)
    batch_norm_training(_channels, _size)


@workload("max_pool2d 64x16x32x32, and its gradient")
def max_pool2d(T):
    F = T.nn.functional
    x = T.rand(64, 16, 32, 32).requires_grad_()

    def run():
        x.grad = None
        F.max_pool2d(x, 2).sum().backward()

    return run


# ---- elementwise ----------------------------------------------------------------------------------------------------

BIG = 10_000_000


@workload("add 2x2")
def add_small(T):
    a, b = T.rand(2, 2), T.rand(2, 2)
    return lambda: a + b


@workload("add 1,000 elements", ("GB", 3 * 4e3 / 1e9))
def add_1k(T):
    a, b = T.rand(1000), T.rand(1000)
    return lambda: a + b


@workload("add 100,000 elements", ("GB", 3 * 4e5 / 1e9))
def add_100k(T):
    a, b = T.rand(100_000), T.rand(100_000)
    return lambda: a + b


@workload("add 10,000,000 elements", ("GB", 3 * 4 * BIG / 1e9))
def add_big(T):
    a, b = T.rand(BIG), T.rand(BIG)
    return lambda: a + b


@workload("in-place add 10,000,000 elements", ("GB", 3 * 4 * BIG / 1e9))
def add_big_inplace(T):
    a, b = T.rand(BIG), T.rand(BIG)
    return lambda: a.add_(b)


@workload("add a row to 4,000x1,000", ("GB", 2 * 4 * 4e6 / 1e9))
def add_broadcast(T):
    a, b = T.rand(4000, 1000), T.rand(1000)
    return lambda: a + b


@workload("add 2,000x2,000 to its transpose", ("GB", 3 * 4 * 4e6 / 1e9))
def add_transposed(T):
    a = T.rand(2000, 2000)
    return lambda: a + a.t()


@workload("relu(a * b + a), 1,000,000 elements", ("GB", 3 * 4e6 / 1e9))
def chain(T):
    a, b = T.rand(1_000_000), T.rand(1_000_000)
    return lambda: T.relu(a * b + a)


@workload("exp 1,000,000 elements", ("GB", 2 * 4e6 / 1e9))
def exp(T):
    a = T.rand(1_000_000)
    return lambda: T.exp(a)


@workload("tanh 1,000,000 elements", ("GB", 2 * 4e6 / 1e9))
def tanh(T):
    a = T.rand(1_000_000)
    return lambda: T.tanh(a)


@workload("copy of a transposed 2,000x2,000", ("GB", 2 * 4 * 4e6 / 1e9))
def transposed_copy(T):
    a = T.rand(2000, 2000).t()
    return lambda: a.contiguous()


# ---- reductions -----------------------------------------------------------------------------------------------------


@workload("sum of 10,000,000 elements", ("GB", 4 * BIG / 1e9))
def sum_big(T):
    a = T.rand(BIG)
    return lambda: a.sum()


@workload("sum of 2,000x2,000 over rows", ("GB", 4 * 4e6 / 1e9))
def sum_rows(T):
    a = T.rand(2000, 2000)
    return lambda: a.sum(1)


@workload("sum of 2,000x2,000 over columns", ("GB", 4 * 4e6 / 1e9))
def sum_columns(T):
    a = T.rand(2000, 2000)
    return lambda: a.sum(0)


@workload("argmax of 2,000x2,000 over rows", ("GB", 4 * 4e6 / 1e9))
def argmax_rows(T):
    a = T.rand(2000, 2000)
    return lambda: a.argmax(1)


@workload("softmax 1,024x1,000", ("GB", 2 * 4 * 1.024e6 / 1e9))
def softmax(T):
    a = T.rand(1024, 1000)
    F = T.nn.functional
    return lambda: F.softmax(a, 1)


@workload("layer_norm 1,024x1,024", ("GB", 2 * 4 * 1024**2 / 1e9))
def layer_norm(T):
    a = T.rand(1024, 1024)
    F = T.nn.functional
    return lambda: F.layer_norm(a, (1024,))


@workload("layer_norm 1,024x1,024 with weights, and gradients")
def layer_norm_gradients(T):
    a = T.rand(1024, 1024).requires_grad_()
    m = T.nn.LayerNorm(1024)

    def run():
        a.grad = None
        m.zero_grad()
        m(a).sum().backward()

    return run


@workload("MLP block 512-2048-512 with GELU, and its gradients")
def mlp_block(T):
    nn = T.nn
    a = T.rand(256, 512).requires_grad_()
    m = nn.Sequential(nn.Linear(512, 2048), nn.GELU(approximate="tanh"), nn.Linear(2048, 512))

    def run():
        a.grad = None
        m.zero_grad()
        m(a).sum().backward()

    return run


@workload("gelu 1,000,000 elements", ("GB", 2 * 4 * 1e6 / 1e9))
def gelu(T):
    a = T.randn(1_000_000)
    F = T.nn.functional
    return lambda: F.gelu(a)


@workload("cumsum of 2,000x2,000 along rows", ("GB", 2 * 4 * 4e6 / 1e9))
def cumsum(T):
    a = T.rand(2000, 2000)
    return lambda: a.cumsum(1)


@workload("add 1,000,000 bfloat16", ("GB", 3 * 2 * 1e6 / 1e9))
def add_bfloat16(T):
    a, b = T.rand(1_000_000).to(T.bfloat16), T.rand(1_000_000).to(T.bfloat16)
    return lambda: a + b


@workload("sum of 2,000x2,000 bfloat16 over rows", ("GB", 2 * 4e6 / 1e9))
def sum_bfloat16(T):
    a = T.rand(2000, 2000).to(T.bfloat16)
    return lambda: a.sum(1)


@workload("sum of 4,000,000 bfloat16", ("GB", 2 * 4e6 / 1e9))
def sum_all_bfloat16(T):
    a = T.rand(2000, 2000).to(T.bfloat16)
    return lambda: a.sum()


@workload("cross_entropy 4,096x1,000, and its gradient")
def cross_entropy(T):
    a, y = T.rand(4096, 1000).requires_grad_(), T.randint(0, 1000, (4096,))
    F = T.nn.functional

    def run():
        a.grad = None
        F.cross_entropy(a, y).backward()

    return run


# ---- indexing and random numbers ------------------------------------------------------------------------------------


@workload("64 of 1,438 images of 32x32 by index", ("GB", 2 * 4 * 65536 / 1e9))
def gather_batch(T):
    x, order = T.rand(1438, 1, 32, 32), T.randperm(1438)[:64]
    return lambda: x[order]


@workload("embedding, 4,096 of 10,000x128", ("GB", 2 * 4 * 4096 * 128 / 1e9))
def embedding(T):
    table, index = T.rand(10_000, 128), T.randint(0, 10_000, (4096,))
    F = T.nn.functional
    return lambda: F.embedding(index, table)


@workload("cat of two 1,000x1,000 side by side", ("GB", 2 * 4 * 2e6 / 1e9))
def cat(T):
    a, b = T.rand(1000, 1000), T.rand(1000, 1000)
    return lambda: T.cat([a, b], 1)


@workload("randn 1,000,000 numbers", ("numbers", 1e6))
def randn(T):
    return lambda: T.randn(1_000_000)


# ---- overhead of a call ---------------------------------------------------------------------------------------------


@workload("a.sum().backward(), 2x2")
def small_backward(T):
    a = T.rand(2, 2).requires_grad_()

    def run():
        a.grad = None
        (a * a).sum().backward()

    return run


@workload("view, 2x2")
def small_view(T):
    a = T.rand(2, 2)
    return lambda: a.view(4)


# ---- GPUs -----------------------------------------------------------------------------------------------------------

LARGE = 1 << 12 if SMALL else 1 << 26  # float32 elements: 256 MB
WIDE = 64 if SMALL else 4096
HUGE = 64 if SMALL else 8192


def large(name, streams):
    """An elementwise or reducing workload over LARGE elements that moves `streams` times their bytes."""
    return workload(f"large: {name}", ("GB", streams * 4 * LARGE / 1e9), gpu=True)


@large("copy", 2)
def large_copy(T):
    a, b = T.rand(LARGE), T.empty(LARGE)
    return lambda: b.copy_(a)


@large("add", 3)
def large_add(T):
    a, b = T.rand(LARGE), T.rand(LARGE)
    return lambda: a + b


@large("mul by a number", 2)
def large_scale(T):
    a = T.rand(LARGE)
    return lambda: a * 2.0


@large("exp", 2)
def large_exp(T):
    a = T.rand(LARGE)
    return lambda: T.exp(a)


@large("gelu", 2)
def large_gelu(T):
    a = T.rand(LARGE)
    return lambda: T.nn.functional.gelu(a)


@large("add a row", 2)
def large_broadcast(T):
    a, b = T.rand(LARGE // 1024, 1024), T.rand(1024)
    return lambda: a + b


@large("sum", 1)
def large_sum(T):
    a = T.rand(LARGE)
    return lambda: a.sum()


@large("sum over rows", 1)
def large_sum_rows(T):
    a = T.rand(LARGE // 1024, 1024)
    return lambda: a.sum(1)


@large("sum over columns", 1)
def large_sum_columns(T):
    a = T.rand(LARGE // 1024, 1024)
    return lambda: a.sum(0)


@large("max over rows", 1)
def large_max(T):
    a = T.rand(LARGE // 1024, 1024)
    return lambda: a.amax(1)


@large("softmax over rows", 2)
def large_softmax(T):
    a = T.rand(LARGE // 1024, 1024)
    return lambda: T.nn.functional.softmax(a, 1)


@workload(f"matmul {WIDE}x{WIDE}, float32", ("GFLOP", 2 * WIDE**3 / 1e9), gpu=True)
def matmul_wide(T):
    a, b = T.rand(WIDE, WIDE), T.rand(WIDE, WIDE)
    return lambda: a @ b


@workload(f"matmul {HUGE}x{HUGE}, bfloat16", ("GFLOP", 2 * HUGE**3 / 1e9), gpu=True)
def matmul_bf16(T):
    a, b = T.rand(HUGE, HUGE).to(T.bfloat16), T.rand(HUGE, HUGE).to(T.bfloat16)
    return lambda: a @ b


@workload(f"chain of 8 matmuls {WIDE}x{WIDE} with relu, float16", ("GFLOP", 16 * WIDE**3 / 1e9), gpu=True)
def matmul_chain(T):
    x = T.rand(WIDE, WIDE).to(T.float16)
    weights = [((T.rand(WIDE, WIDE) - 0.5) / WIDE).to(T.float16) for _ in range(8)]

    def run():
        y = x
        for w in weights:
            y = T.relu(y @ w)
        return y

    return run


@workload("linear layer 4096-4096 with bias, batch 1024, float32", ("GFLOP", 2 * 1024 * WIDE**2 / 1e9), gpu=True)
def linear_layer(T):
    x, w, b = T.rand(8 if SMALL else 1024, WIDE), T.rand(WIDE, WIDE), T.rand(WIDE)
    return lambda: T.nn.functional.linear(x, w, b)


@workload("plain CNN training step, batch 128 of 3x32x32, SGD", ("images", 128), gpu=True)
def cnn_step(T):
    T.manual_seed(0)
    nn, n = T.nn, 4 if SMALL else 128
    layers, channels = [], 3
    for width in (8, 8) if SMALL else (64, 128, 256):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels = width
    side = 32 >> (len(layers) // 3)
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * side * side, 10))
    optimizer = T.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return training_step(T, model, optimizer, T.rand(n, 3, 32, 32), T.randint(0, 10, (n,)))


@workload("LeNet training step, batch 64, Adam, no read of the loss", ("images", 64), gpu=True)
def lenet_queued(T):
    step = lenet_parts(T, False)
    return step


def lenet_parts(T, capturable):
    T.manual_seed(0)
    model = net(T)
    optimizer = T.optim.Adam(model.parameters(), lr=2e-3, capturable=capturable)
    x, y = T.rand(64, 1, 32, 32), T.randint(0, 10, (64,))
    cross_entropy = T.nn.functional.cross_entropy

    def step():
        optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


@workload("LeNet training step, batch 64, Adam, graph replay", ("images", 64), gpu=True)
def lenet_graph(T):
    step = lenet_parts(T, True)
    side = T.cuda.Stream()
    side.wait_stream(T.cuda.current_stream())
    with T.cuda.stream(side):
        for _ in range(3):
            step()
    T.cuda.current_stream().wait_stream(side)
    graph = T.cuda.CUDAGraph()
    with T.cuda.graph(graph):
        step()
    return graph.replay
