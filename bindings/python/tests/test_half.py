"""float16 and bfloat16 against float64: ops of half tensors are computed in float32 and rounded once. Inputs are such that
a sum, a square or an exponential on the way leaves 16 bits' range or precision where the result does not."""

import pytest
from conftest import DEVICE

import taper as torch
import taper.nn.functional as F

HALVES = [torch.float16, torch.bfloat16]
EPS = {torch.float16: 2.0**-10, torch.bfloat16: 2.0**-7}


def ones(*s):
    return torch.ones(s)


def ramp(*s):
    """Values from -2 to 2 that every half type has, in no order."""
    n = 1
    for k in s:
        n *= k
    return (((torch.arange(n) * 37) % 65 - 32) / 16).reshape(s).float()


def big(*s):
    return ramp(*s) * 150


def huge(*s):
    return ones(*s) * 40000


def index(n, k):
    return (torch.arange(n) * 7) % k


def spread(n, k):
    return torch.zeros(n, dtype=torch.int64) if k == 1 else index(n, k)


here = [DEVICE]


def at(i):
    """An index where the tensors of the run lie."""
    return i.to(here[0])


CASES = {
    "sum": (lambda x: x.sum(), ones(3000)),
    "mean": (lambda x: x.mean(), huge(3000)),
    "mean rows": (lambda x: x.mean(1), huge(3, 300)),
    "mean columns": (lambda x: x.mean(0), huge(300, 3)),
    "nansum": (lambda x: x.nansum(), ones(3000)),
    "nanmean": (lambda x: x.nanmean(), huge(3000)),
    "var": (lambda x: x.var(), ramp(4000)),
    "std": (lambda x: x.std(1), big(3, 400)),
    "var_mean": (lambda x: torch.var_mean(x)[1], huge(300)),
    "std_mean": (lambda x: torch.std_mean(x)[0], big(300)),
    "norm": (lambda x: x.norm(), big(3000)),
    "norm 1": (lambda x: x.norm(1), big(400)),
    "norm 3": (lambda x: x.norm(3), big(900)),
    "norm -2": (lambda x: x.norm(-2.0), big(64) + 700),
    "norm rows": (lambda x: x.norm(dim=1), big(3, 900)),
    "dist": (torch.dist, big(900), -big(900)),
    "cdist": (torch.cdist, big(3, 40), -big(4, 40)),
    "cdist by products": (torch.cdist, big(30, 40) * 4, -big(30, 40)),
    "normalize": (F.normalize, big(3, 900)),
    "pairwise_distance": (F.pairwise_distance, big(3, 900), -big(3, 900)),
    "cosine_similarity": (lambda a, b: F.cosine_similarity(a, b, 1), big(3, 900), big(3, 900) + 100),
    "logsumexp": (lambda x: x.logsumexp(0), ramp(3000)),
    "softmax": (lambda x, w: x.softmax(0) * w * 64, ramp(3000), ramp(3000)),
    "log_softmax": (lambda x, w: x.log_softmax(0) * w, ramp(300), ramp(300)),
    "cumsum": (lambda x: x.cumsum(0), ones(3000)),
    "cumprod": (lambda x: x.cumprod(0), ones(24) * 1.25),
    "logcumsumexp": (lambda x: x.logcumsumexp(0), ramp(300)),
    "prod": (lambda x: x.prod(), torch.tensor([256.0, 256.0, 256.0, 1 / 256, 1 / 256, 2.0])),
    "amax": (lambda x: x.amax() * 1024, ones(3000)),
    "max": (lambda x: x.max() * 1024, ones(3000)),
    "median": (lambda x: x.median(), ramp(65)),
    "lerp": (lambda a, b: torch.lerp(a, b, 0.5), huge(5), -huge(5)),
    "lerp weights": (torch.lerp, huge(5), -huge(5), ones(5) * 0.5),
    "addcmul": (lambda a, b, c: torch.addcmul(a, b, c, value=0.001), ones(5), big(5), huge(5)),
    "addcdiv": (lambda a, b, c: torch.addcdiv(a, b, c, value=0.001), ones(5), huge(5), ones(5) * 0.125),
    "hypot": (torch.hypot, huge(5), huge(5) * 0.5),
    "atan2": (torch.atan2, big(5) + 700, big(5) + 500),
    "pow": (lambda x: x**3 / 8, ones(3) * 30),
    "logaddexp": (torch.logaddexp, ramp(50), -ramp(50)),
    "xlogy": (torch.xlogy, ramp(50) + 3, ramp(50) + 3),
    "glu": (F.glu, ramp(64)),
    "hardswish": (F.hardswish, ramp(64)),
    "softsign": (F.softsign, huge(5)),
    "digamma": (torch.digamma, ramp(20) + 4),
    "matmul": (torch.matmul, ones(3, 3000), ones(3000, 2)),
    "bmm": (torch.bmm, ones(2, 3, 3000), ones(2, 3000, 2)),
    "mv": (torch.mv, ones(3, 3000), ones(3000)),
    "dot": (torch.dot, ones(3000), ones(3000)),
    "einsum": (lambda a, b: torch.einsum("ij,kj->ik", a, b), ones(3, 3000), ones(2, 3000)),
    "addmm": (lambda a, b, c: torch.addmm(a, b, c, beta=-1, alpha=0.5), huge(3, 2), huge(3, 4), ones(4, 2)),
    "linear": (F.linear, ones(3, 3000), ones(2, 3000), -ones(2) * 2000),
    "bilinear": (F.bilinear, ramp(3, 4), ramp(3, 5), ramp(2, 4, 5)),
    "conv1d": (F.conv1d, ones(1, 3, 1000), ones(2, 3, 1000)),
    "conv2d": (F.conv2d, ones(1, 64, 7, 7), ones(2, 64, 7, 7), ones(2)),
    "conv_transpose1d": (F.conv_transpose1d, ones(1, 3000, 2), ones(3000, 2, 3)),
    "mse_loss": (F.mse_loss, big(300), -big(300) / 16),
    "l1_loss": (F.l1_loss, huge(300), -ones(300)),
    "smooth_l1_loss": (F.smooth_l1_loss, huge(300), -ones(300)),
    "huber_loss": (F.huber_loss, huge(300), -ones(300)),
    "kl_div": (lambda a, b: F.kl_div(a, b, reduction="mean"), -huge(300), ones(300)),
    "kl_div batchmean": (lambda a, b: F.kl_div(a, b, reduction="batchmean"), -huge(3, 2), ones(3, 2) / 4),
    "bce": (F.binary_cross_entropy, ramp(3000) / 8 + 0.5, ramp(3000) / 8 + 0.5),
    "bce with logits": (F.binary_cross_entropy_with_logits, huge(300), ramp(300) * 0),
    "cross_entropy": (lambda x, w: F.cross_entropy(x, at(index(3000, 4)), w), ramp(3000, 4), ones(4) * 3),
    "cross_entropy smoothed": (lambda x: F.cross_entropy(x, at(index(300, 4)), label_smoothing=0.1), ramp(300, 4)),
    "cross_entropy of probabilities": (F.cross_entropy, ramp(300, 4), (ramp(300, 4) + 2) / 8),
    "nll_loss": (lambda x, w: F.nll_loss(x, at(index(3000, 4)), w), -huge(3000, 4), ones(4) * 3),
    "poisson_nll_loss": (F.poisson_nll_loss, ramp(300) * 4, ramp(300) + 2),
    "gaussian_nll_loss": (F.gaussian_nll_loss, big(300), -big(300), ones(300) * 256),
    "soft_margin_loss": (F.soft_margin_loss, huge(300), -ones(300)),
    "hinge_embedding_loss": (F.hinge_embedding_loss, huge(300), ones(300)),
    "margin_ranking_loss": (F.margin_ranking_loss, huge(300), -ones(300), -ones(300)),
    "multi_margin_loss": (lambda x: F.multi_margin_loss(x, at(index(300, 4)), p=2), ramp(300, 4)),
    "triplet_margin_loss": (F.triplet_margin_loss, big(3, 99), -big(3, 99), big(3, 99) + 8),
    "cosine_embedding_loss": (F.cosine_embedding_loss, big(3, 900), big(3, 900) + 100, ones(3)),
    "batch_norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), big(300, 2), ones(2) * 3, ones(2)),
    "batch_norm images": (lambda x: F.batch_norm(x, None, None, training=True), big(2, 3, 20, 20)),
    "batch_norm eval": (
        lambda x, m, v: F.batch_norm(x, m.detach(), v.detach()),
        big(9, 2),
        ones(2) * 300,
        ones(2) * 40000,
    ),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (900,), w, b), big(3, 900), ones(900) * 3, ones(900)),
    "rms_norm": (lambda x, w: F.rms_norm(x, (900,), w, 1e-5), big(3, 900), ones(900) * 3),
    "rms_norm of little": (lambda x: F.rms_norm(x, (4,), eps=2.0**-23), ones(4) / 1024),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), big(2, 4, 30), ones(4) * 3, ones(4)),
    "instance_norm": (F.instance_norm, big(2, 3, 90)),
    "local_response_norm": (lambda x: F.local_response_norm(x, 3, 1.0), big(1, 4, 9)),
    "attention": (F.scaled_dot_product_attention, ramp(1, 4, 64) * 16, ramp(1, 300, 64) * 16, ramp(1, 300, 64)),
    "avg_pool": (lambda x: F.avg_pool2d(x, 30), huge(1, 1, 60, 60)),
    "adaptive_avg_pool1d": (lambda x: F.adaptive_avg_pool1d(x, 7), huge(1, 2, 300)),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, (3, 1)), huge(1, 2, 30, 30)),
    "lp_pool": (lambda x: F.lp_pool1d(x, 2, 50), huge(1, 1, 100) / 256),
    "scatter_add": (lambda x, y: x.scatter_add(0, at(spread(3000, 1)), y), ones(2), ones(3000)),
    "scatter_reduce mean": (lambda x, y: x.scatter_reduce(0, at(spread(3000, 1)), y, "mean"), ones(2), huge(3000)),
    "index_add": (lambda x, y: x.index_add(0, at(spread(3000, 1)), y), ones(2, 2), ones(3000, 2)),
    "index_put": (lambda x, y: x.index_put((at(spread(3000, 1)),), y, accumulate=True), ones(2), ones(3000)),
    "gather": (lambda x: x.gather(0, at(spread(3000, 1))), ones(2)),
    "embedding": (lambda w: F.embedding(at(spread(3000, 2)), w), ones(2, 3)),
    "index_select": (lambda x: x.index_select(0, at(spread(3000, 2))), ones(2, 3)),
    "index": (lambda x: x[at(spread(3000, 2))], ones(2, 3)),
    "take": (lambda x: x.take(at(spread(3000, 2))), ones(2)),
    "interpolate nearest": (lambda x: F.interpolate(x, (60, 60)), ones(1, 1, 1, 1)),
    "interpolate bilinear": (
        lambda x: F.interpolate(x, (60, 60), mode="bilinear", align_corners=False),
        ramp(1, 1, 2, 2),
    ),
    "grid_sample": (
        lambda x, g: F.grid_sample(x, g, align_corners=False),
        ramp(1, 1, 3, 3),
        ramp(1, 60, 60, 2) / 4,
    ),
    "expand": (lambda x: x.expand(3000, 2) * 1, ones(2)),
    "broadcast add": (lambda x, b: x + b, ones(3000, 2), ones(2)),
    "pad replicate": (lambda x: F.pad(x, (2000, 2000), mode="replicate"), ones(1, 1, 2)),
    "unfold": (lambda x: F.fold(x, (1, 40), (1, 20)), ones(1, 20, 21)),
    "trapezoid": (torch.trapezoid, huge(5) / 8),
}


# What devices run: a kernel of each kind. Compiling those of all cases takes them minutes.
ON_DEVICES = {
    "mean",
    "mean columns",
    "norm",
    "cumsum",
    "lerp",
    "max",
    "addmm",
    "mse_loss",
    "cross_entropy",
    "batch_norm",
    "layer_norm",
    "attention",
    "avg_pool",
    "scatter_add",
    "index_add",
    "embedding",
    "interpolate nearest",
    "expand",
}


def close(got, want, half, slack, what):
    got, want = got.detach().cpu().double(), want.detach().cpu()
    assert got.shape == want.shape
    scale = want.abs().max().item() if want.numel() else 0.0
    # A result is rounded once; what is near zero comes of others that are not.
    bound = slack * EPS[half] * (want.abs() + scale * 2.0**-6) + 2.0**-20
    worst = ((got - want).abs() - bound).max().item() if want.numel() else 0.0
    assert worst <= 0, f"{what}: got {got.flatten()[:4].tolist()}, want {want.flatten()[:4].tolist()}"


@pytest.mark.parametrize("half", HALVES, ids=["float16", "bfloat16"])
@pytest.mark.parametrize("name", CASES if DEVICE == "cpu" else sorted(ON_DEVICES))
def test_rounded_once(name, half):
    f, *values = CASES[name]
    given = [v.to(half) for v in values]

    def run(dtype, device):
        here[0] = device
        args = [v.detach().to(device, dtype).requires_grad_() for v in given]
        y = f(*args)
        y = y * 1
        y.backward(torch.full(y.shape, 0.0625, dtype=dtype, device=device))
        return y, [a.grad for a in args]

    y, grads = run(half, DEVICE)
    want, exact = run(torch.float64, "cpu")
    here[0] = DEVICE
    assert y.dtype == half
    close(y, want, half, 1, name)
    for i, (g, e) in enumerate(zip(grads, exact)):
        if e is not None:
            assert g.dtype == half
            close(g, e, half, 4, f"{name}, gradient {i}")


@pytest.mark.parametrize("half", HALVES, ids=["float16", "bfloat16"])
def test_in_place_and_statistics(half):
    x = torch.full((3,), 40000.0, dtype=half, device=DEVICE)
    assert x.clone().lerp_(-x, 0.5).tolist() == [0.0] * 3
    big = torch.full((3,), 512.0, dtype=half, device=DEVICE)
    assert big.clone().addcmul_(big, big, value=2.0**-10).tolist() == [768.0] * 3
    small = big / 2**18
    assert big.clone().addcdiv_(big, small, value=2.0**-10).tolist() == [768.0] * 3
    total = torch.zeros(2, dtype=half, device=DEVICE)
    total.index_add_(0, at(spread(3000, 1)), torch.ones(3000, dtype=half, device=DEVICE))
    total.scatter_add_(0, at(spread(1000, 1)), torch.ones(1000, dtype=half, device=DEVICE))
    assert total.tolist() == [4000.0, 0.0]
    mean, var = torch.zeros(2, dtype=half, device=DEVICE), torch.ones(2, dtype=half, device=DEVICE)
    F.batch_norm(torch.full((300, 2), 4096.0, dtype=half, device=DEVICE), mean, var, training=True, momentum=0.5)
    assert mean.tolist() == [2048.0] * 2 and var.tolist() == [0.5] * 2


@pytest.mark.parametrize("half", HALVES, ids=["float16", "bfloat16"])
def test_default_epsilon(half):
    """That of float32, in which it is computed."""
    x = torch.full((4,), 2.0**-10, dtype=half, device=DEVICE)
    assert torch.equal(F.rms_norm(x, (4,)), F.rms_norm(x.float(), (4,)).to(half))


@pytest.mark.parametrize("half", HALVES, ids=["float16", "bfloat16"])
def test_parameters_in_float32(half):
    """A norm's result is of its input's type."""
    x, w = big(6, 4).to(DEVICE, half), (ones(4) * 3).to(DEVICE)
    for f in (
        lambda x, w: F.batch_norm(x, None, None, w, w, True),
        lambda x, w: F.batch_norm(x, w, w, w, w),
        lambda x, w: F.layer_norm(x, (4,), w, w),
        lambda x, w: F.group_norm(x, 2, w, w),
        lambda x, w: F.rms_norm(x, (4,), w),
    ):
        y = f(x, w)
        assert y.dtype == half
        close(y, f(x.double().cpu(), w.double().cpu()), half, 1, "norm")


def test_ranges():
    for half in HALVES:
        for r in (torch.linspace(0, 300, 301, dtype=half), torch.arange(0, 300, 0.5, dtype=half)):
            want = torch.linspace(0, 300, 301, dtype=torch.float64) if len(r) == 301 else torch.arange(600).double() / 2
            assert torch.equal(r, want.to(half))
