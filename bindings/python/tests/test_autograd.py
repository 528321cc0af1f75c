"""Custom functions, hooks, modes, checks."""

import gc
import weakref

import pytest

import taper as torch
from taper import nn
from taper.autograd import Function, grad, gradcheck, gradgradcheck
from taper.autograd.functional import hessian, hvp, jacobian, jvp, vjp


class Cube(Function):
    @staticmethod
    def forward(ctx, x, scale=1.0):
        ctx.save_for_backward(x)
        ctx.scale = scale
        return x**3 * scale

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * g * ctx.scale, None


def test_custom_function():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = Cube.apply(x, 2.0)
    assert "CubeBackward" in repr(y)
    (g,) = grad(y.sum(), x, create_graph=True)
    assert g.tolist() == [6.0, 24.0]
    (gg,) = grad(g.sum(), x)
    assert gg.tolist() == [12.0, 24.0]
    assert Cube.apply(torch.ones(1)).grad_fn is None
    with torch.no_grad():
        assert not Cube.apply(x).requires_grad


def test_gradcheck_of_custom_functions():
    x = torch.tensor([0.5, -1.5], dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda t: Cube.apply(t, 1.5), (x,))
    assert gradgradcheck(lambda t: Cube.apply(t, 1.5), (x,))

    class Wrong(Cube):
        @staticmethod
        def backward(ctx, g):
            return g, None

    with pytest.raises(RuntimeError, match="[Jj]acobian mismatch|differ"):
        gradcheck(Wrong.apply, (x,))
    assert not gradcheck(Wrong.apply, (x,), raise_exception=False)


def test_needs_input_grad_and_none():
    seen = []

    class Mul(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a * b

        @staticmethod
        def backward(ctx, g):
            seen.append(ctx.needs_input_grad)
            a, b = ctx.saved_tensors
            return g * b if ctx.needs_input_grad[0] else None, g * a if ctx.needs_input_grad[1] else None

    a, b = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0)
    Mul.apply(a, b).backward()
    assert a.grad.item() == 3.0 and b.grad is None and seen == [(True, False)]


def test_several_outputs_and_materialised_zeros():
    got = []

    class Two(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(materialize)
            return x * 2, (x > 0), x * 3

        @staticmethod
        def backward(ctx, g1, gm, g2):
            got.append((g1, g2))
            return (0 if g1 is None else g1 * 2) + (0 if g2 is None else g2 * 3)

    for materialize in (True, False):
        x = torch.ones(2, requires_grad=True)
        a, mask, b = Two.apply(x)
        assert mask.dtype == torch.bool and not mask.requires_grad
        b.sum().backward()
        assert x.grad.tolist() == [3.0, 3.0]
    assert got[0][0].tolist() == [0.0, 0.0] and got[1][0] is None


def test_mark_dirty_and_non_differentiable():
    class Add1(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.add_(1)

        @staticmethod
        def backward(ctx, g):
            return g * 5

    x = torch.ones(2, requires_grad=True)
    y = x * 1
    z = Add1.apply(y)
    assert z is y and z.tolist() == [2.0, 2.0]
    z.sum().backward()
    assert x.grad.tolist() == [5.0, 5.0]

    class Sort(Function):
        @staticmethod
        def forward(ctx, x):
            v, i = x.sort()
            ctx.mark_non_differentiable(i)
            ctx.save_for_backward(i)
            return v, i

        @staticmethod
        def backward(ctx, g, _):
            (i,) = ctx.saved_tensors
            return torch.zeros(g.shape).scatter_(0, i, g)

    x = torch.tensor([3.0, 1.0, 2.0], requires_grad=True)
    v, i = Sort.apply(x)
    assert not i.requires_grad
    (v * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [3.0, 1.0, 2.0]


def test_setup_context_form():
    class Exp(Function):
        @staticmethod
        def forward(x):
            return x.exp()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(output)

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y

    x = torch.tensor([0.0, 1.0], requires_grad=True)
    Exp.apply(x).sum().backward()
    assert torch.allclose(x.grad, x.detach().exp())


def test_errors_of_callbacks_come_back_themselves():
    class Mine(Exception):
        pass

    error = Mine("from python")

    class Bad(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            raise error

    x = torch.ones(1, requires_grad=True)
    with pytest.raises(Mine) as caught:
        (Bad.apply(x) * 2).backward()
    assert caught.value is error

    class BadForward(Function):
        @staticmethod
        def forward(ctx, x):
            raise error

    with pytest.raises(Mine):
        BadForward.apply(x)

    class Count(Function):
        @staticmethod
        def forward(ctx, x, y):
            return x * y

        @staticmethod
        def backward(ctx, g):
            return g

    with pytest.raises(RuntimeError, match=r"returned an incorrect number of gradients \(expected 2, got 1\)"):
        Count.apply(x, x).backward()
    with pytest.raises(RuntimeError, match="should not be instantiated"):
        Bad()


def test_saved_tensors_are_checked():
    x = torch.ones(2, requires_grad=True)
    y = x * 1
    z = Cube.apply(y)
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()
    x = torch.ones(2, requires_grad=True)
    z = (x * x).sum()
    z.backward()
    with pytest.raises(RuntimeError, match="second time"):
        z.backward()
    z = (x * x).sum()
    z.backward(retain_graph=True)
    z.backward()


def test_hooks():
    x = torch.ones(2, requires_grad=True)
    seen = []
    handle = x.register_hook(lambda g: seen.append(g.tolist()))
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert x.grad.tolist() == [20.0, 20.0] and seen == [[20.0, 20.0]]
    assert y.grad.tolist() == [10.0, 10.0]
    handle.remove()
    handle.remove()
    (x * 1).sum().backward()
    assert len(seen) == 1
    after = []
    x.register_post_accumulate_grad_hook(lambda t: after.append(t is x))
    (x * 1).sum().backward()
    assert after == [True]
    with pytest.raises(RuntimeError, match="doesn't require gradient"):
        torch.ones(1).register_hook(lambda g: g)
    with pytest.raises(TypeError):
        x.register_hook(lambda g: 3)
        (x * 1).sum().backward()


def test_nodes():
    x = torch.ones(2, requires_grad=True)
    y = (x * 2).sum()
    assert y.grad_fn.name() == "SumBackward0" and type(y.grad_fn).__name__ == "SumBackward0"
    (node, nr), *_ = y.grad_fn.next_functions
    assert node.name() == "MulBackward0" and nr == 0
    assert node.next_functions[0][0].name() == "AccumulateGrad"
    assert x.grad_fn is None and y.grad_fn == y.grad_fn
    seen = []
    y.grad_fn.register_hook(lambda gi, go: seen.append((gi[0].tolist(), go[0].item())))
    y.backward()
    assert seen == [([1.0, 1.0], 1.0)]


def test_modes():
    x = torch.ones(1, requires_grad=True)

    @torch.no_grad()
    def f(v):
        """doc"""
        return v * 2

    assert not f(x).requires_grad and f.__name__ == "f" and f.__doc__ == "doc"

    @torch.no_grad
    def g(v):
        with torch.enable_grad():
            return v * 2

    assert g(x).requires_grad

    @torch.no_grad()
    def steps():
        for _ in range(2):
            yield torch.is_grad_enabled()

    assert [(v, torch.is_grad_enabled()) for v in steps()] == [(False, True), (False, True)]
    with torch.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    torch.set_grad_enabled(False)
    assert not torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    with torch.inference_mode():
        assert not (x * 2).requires_grad and torch.is_inference_mode_enabled()
    with pytest.raises(ZeroDivisionError), torch.no_grad():
        1 / 0
    assert torch.is_grad_enabled()


def test_grad_function():
    x, y = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    z = x * x
    assert grad(z, [x, y], allow_unused=True)[1] is None
    with pytest.raises(RuntimeError, match="appears to not have been used|not have been used in the graph"):
        grad(x * x, [x, y])
    assert grad(x * x, [x, y], materialize_grads=True)[1].item() == 0.0
    out = torch.stack([x * 2, y * 3])
    assert [g.item() for g in grad(out, [x, y], torch.tensor([1.0, 10.0]))] == [2.0, 30.0]
    torch.autograd.backward([x * 2, y * 2], [torch.tensor(1.0), torch.tensor(5.0)])
    assert (x.grad.item(), y.grad.item()) == (2.0, 10.0)
    x.grad = y.grad = None
    (x * y).backward(inputs=[x])
    assert x.grad.item() == 3.0 and y.grad is None


def test_functional():
    x = torch.tensor([1.0, 2.0, 3.0])
    assert torch.equal(jacobian(lambda t: t**2, x), torch.diag(2 * x))
    assert torch.allclose(hessian(lambda t: (t**3).sum(), x), torch.diag(6 * x))
    value, product = vjp(lambda t: t**2, x, torch.ones(3))
    assert torch.equal(product, 2 * x) and torch.equal(value, x**2)
    assert torch.allclose(jvp(lambda t: t**2, x, torch.ones(3))[1], 2 * x)
    assert torch.allclose(hvp(lambda t: (t**3).sum(), x, torch.ones(3))[1], 6 * x)


def test_checkpoint():
    from taper.utils.checkpoint import checkpoint

    w = torch.ones(3, requires_grad=True)
    runs = []

    def f(v):
        runs.append(1)
        return (v * v).sum()

    checkpoint(f, w * 2, use_reentrant=False).backward()
    assert w.grad.tolist() == [8.0, 8.0, 8.0] and len(runs) == 2


def test_callbacks_are_let_go():
    from taper import _c

    gc.collect()
    before = len(_c.held)

    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    x = torch.ones(2, requires_grad=True)

    def hook(g, thing=thing):
        return None

    y = Cube.apply(x * 1)
    y.register_hook(hook)
    y.sum().backward()
    del y, hook, thing
    gc.collect()
    assert gone() is None and len(_c.held) == before


def test_functional_call_leaves_the_module_as_it_was():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(self.a(x))

    net = Tied()
    before = net.a.weight
    w = (torch.eye(2) * 2).requires_grad_()
    out = torch.func.functional_call(net, {"a.weight": w}, torch.ones(1, 2))
    out.sum().backward()
    assert out.tolist() == [[4.0, 4.0]] and w.grad is not None
    assert net.a.weight is before is net.b.weight and before.grad is None
    with pytest.raises(ValueError, match="multiple dictionaries"):
        torch.func.functional_call(net, [{"a.weight": w}, {"a.weight": w}], torch.ones(1, 2))
    with pytest.raises(RuntimeError, match=r"Unexpected key\(s\): 'zz'\."):
        torch.func.functional_call(net, {"zz": w}, torch.ones(1, 2), strict=True)


def test_gradient_of_a_function_of_parameters():
    net = nn.Linear(2, 1)
    parameters = {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}

    def loss(p, x):
        return torch.func.functional_call(net, p, (x,)).pow(2).sum()

    grads, value = torch.func.grad_and_value(loss)(parameters, torch.tensor([[1.0, 2.0]]))
    assert value.item() == 9.0 and grads["weight"].tolist() == [[6.0, 12.0]] and grads["bias"].tolist() == [6.0]
    assert not value.requires_grad and not grads["bias"].requires_grad
    with pytest.raises(RuntimeError, match="return a scalar Tensor, got tensor with 1 dims"):
        torch.func.grad(lambda t: t)(torch.ones(2))
    with pytest.raises(ValueError, match="Thing passed to transform API must be Tensor, got <class 'int'>"):
        torch.func.grad(lambda t: t)(3)


@pytest.mark.parametrize(
    "layer",
    [
        nn.ReLU,
        nn.ReLU6,
        nn.Hardtanh,
        nn.Hardswish,
        nn.Hardsigmoid,
        nn.Mish,
        nn.SiLU,
        nn.ELU,
        nn.SELU,
        nn.CELU,
        nn.LeakyReLU,
    ]
    + [lambda inplace=False: nn.Threshold(0.5, 7.0, inplace)],
)
def test_activations_in_place_have_the_gradient_of_the_others(layer):
    values = [-4.0, -1.5, -0.25, 0.75, 2.5, 7.0]
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    y = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    z = y * 1
    layer(inplace=True)(z)
    (layer()(x) * 3).sum().backward()
    (z * 3).sum().backward()
    assert torch.equal(x.grad, y.grad)


def test_gradients_where_functions_are_not_smooth():
    # What PyTorch gives.
    F = nn.functional
    x = torch.tensor([[0.0, 0.0], [1.0, 3.0]], dtype=torch.float64, requires_grad=True)
    for p, want in ((3.0, 2 * 3.0**2 / 28.0 ** (2 / 3)), (torch.inf, 2.0)):
        (g,) = grad(torch.cdist(x, x.detach()[:1], p).sum() * 2, x)
        assert g[0].tolist() == [0.0, 0.0]
        assert g[1, 1].item() == pytest.approx(want)
    for pool in (F.adaptive_max_pool1d, lambda x, n: F.adaptive_max_pool2d(x.unsqueeze(0), (1, n))[0]):
        t = torch.tensor([[2.0, 2.0, 1.0, 1.0, 1.0]], requires_grad=True)
        for n, want in ((1, [1.0, 0.0, 0.0, 0.0, 0.0]), (2, [1.0, 0.0, 1.0, 0.0, 0.0]), (5, [1.0] * 5)):
            assert grad(pool(t, n).sum(), t)[0].tolist() == [want]
    t = torch.tensor([[[1.0, 3.0, 4.0, 2.0]]])
    assert F.lp_pool1d(t, torch.inf, 2).tolist() == [[[3.0, 4.0]]]
    zero = torch.zeros(1, 1, 4, requires_grad=True)
    assert grad(F.lp_pool1d(zero, 2, 2).sum(), zero)[0].tolist() == [[[0.0] * 4]]
    a = torch.zeros(1, 2, requires_grad=True)
    loss = F.cosine_embedding_loss(a, torch.tensor([[1.0, 0.0]]), torch.tensor([1]))
    assert grad(loss, a)[0].tolist() == [[pytest.approx(-1e6), 0.0]]
    x, w = torch.tensor([-2.0, torch.inf, 3.0], requires_grad=True), torch.tensor([0.25], requires_grad=True)
    slopes = grad(F.prelu(x, w).sum(), (x, w))
    assert [s.tolist() for s in slopes] == [[0.25, 1.0, 1.0], [-2.0]]
    x = torch.tensor([-2.0, 0.0, 3.0, torch.inf], requires_grad=True)
    for y in (torch.copysign(x, torch.tensor(-1.0)), torch.copysign(x, -1.0)):
        (g,) = grad(y.sum(), x)
        assert g[:3].tolist() == [1.0, 0.0, -1.0] and g[3].isnan()
    x = torch.tensor([1.0, -1.0, 0.5, 2.0], dtype=torch.float64, requires_grad=True)
    for f in (F.huber_loss, F.smooth_l1_loss):
        (g,) = grad(f(x, torch.zeros_like(x), reduction="sum"), x, create_graph=True)
        assert g.tolist() == [1.0, -1.0, 0.5, 1.0]
        assert grad(g.sum(), x)[0].tolist() == [0.0, 0.0, 1.0, 0.0]


def test_hooks_keep_shape_and_type():
    x = torch.ones(2, requires_grad=True)
    for call, error, text in (
        (lambda g: g.sum(), RuntimeError, "changed the size of value"),
        (lambda g: g.double(), RuntimeError, "changed the type of value"),
        (lambda g: 3, TypeError, "expected Variable, but hook returned 'int'"),
    ):
        y = x * 1
        y.register_hook(call)
        with pytest.raises(error, match=text):
            y.sum().backward()
    y = x * 1
    y.grad_fn.register_prehook(lambda g: (g[0], g[0]))
    with pytest.raises(RuntimeError, match="incorrect number of values"):
        y.sum().backward()
    for register, text in (
        ("register_full_backward_hook", "invalid number of grad_input, got 2, but expected 1"),
        ("register_full_backward_pre_hook", "invalid number of grad_output, got 2, but expected 1"),
    ):
        m = nn.Linear(2, 2)
        getattr(m, register)(lambda m, *g: (g[0][0], g[0][0]))
        with pytest.raises(RuntimeError, match=text):
            m(x).sum().backward()
    x.register_post_accumulate_grad_hook(lambda p: p)
    with pytest.raises(RuntimeError, match="should return None"):
        x.sum().backward()


def test_out_of_a_lesser_kind_is_refused():
    out = torch.zeros(1, dtype=torch.int32)
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Int"):
        torch.add(torch.tensor([1.5]), 2, out=out)
    with pytest.raises(RuntimeError, match="result type Long can't be cast to the desired output type Bool"):
        torch.mul(torch.tensor([2]), 3, out=torch.zeros(1, dtype=torch.bool))
    assert torch.add(torch.ones(1), 1, out=torch.zeros(1, dtype=torch.float64)).tolist() == [2.0]
    assert torch.linspace(0, 4, 3, out=torch.zeros(3, dtype=torch.int64)).tolist() == [0, 2, 4]
