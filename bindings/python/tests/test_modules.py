"""Modules: registration, state, hooks, containers, layers' values against simple formulas."""

import copy
import gc
import os
import pickle
import subprocess
import sys
import weakref
from collections import OrderedDict
from pathlib import Path

import pytest
from conftest import plain

import taper as torch
import taper.nn as nn
import taper.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("seen", torch.zeros(1))
        self.register_buffer("scratch", torch.zeros(1), persistent=False)
        self.plain = torch.ones(2)

    def forward(self, x):
        return self.body(x) * self.scale


def test_registration_and_names():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == ["scale", "body.0.weight", "body.0.bias"]
    assert [n for n, _ in net.named_buffers()] == ["seen", "scratch"]
    assert [n for n, _ in net.named_modules()] == ["", "body", "body.0", "body.1"]
    assert [n for n, _ in net.named_children()] == ["body"]
    assert list(net.state_dict()) == ["scale", "seen", "body.0.weight", "body.0.bias"]
    assert type(net._parameters) is dict and net._parameters["scale"] is net.scale
    assert net.get_parameter("body.0.weight") is net.body[0].weight
    assert net.get_submodule("body.1") is net.body[1] and net.get_submodule("") is net
    assert net.get_buffer("seen") is net.seen
    net.extra = net.body[0].weight
    assert len(list(net.parameters())) == 3, "a shared parameter counts once"
    assert len(list(net.named_parameters(remove_duplicate=False))) == 4
    del net.extra
    net.scale = None
    assert net.scale is None and "scale" not in net.state_dict()
    net.body = nn.Identity()
    assert [n for n, _ in net.named_parameters()] == []
    net.none = None
    net.none = nn.Linear(1, 1)
    assert "none" in net._modules and "none" not in net.__dict__


def test_assignment_before_init():
    class Early(nn.Module):
        def __init__(self):
            self.w = nn.Parameter(torch.ones(1))

    with pytest.raises(AttributeError, match="cannot assign parameters before Module.__init__"):
        Early()

    class EarlyModule(nn.Module):
        def __init__(self):
            self.m = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match="cannot assign module before Module.__init__"):
        EarlyModule()


def test_load_state_dict():
    a, b = Net(), Net()
    result = b.load_state_dict(a.state_dict())
    assert repr(result) == "<All keys matched successfully>"
    assert torch.equal(a.body[0].weight, b.body[0].weight) and a.body[0].weight is not b.body[0].weight
    state = a.state_dict()
    state["body.0.weight"] = torch.zeros(5, 5)
    state["other.thing"] = torch.zeros(1)
    del state["scale"]
    with pytest.raises(RuntimeError) as caught:
        b.load_state_dict(state)
    assert str(caught.value) == (
        "Error(s) in loading state_dict for Net:\n"
        '\tMissing key(s) in state_dict: "scale". \n'
        '\tUnexpected key(s) in state_dict: "other.thing". \n'
        "\tsize mismatch for body.0.weight: copying a param with shape torch.Size([5, 5]) from checkpoint, "
        "the shape in current model is torch.Size([3, 2])."
    )
    del state["body.0.weight"]
    result = b.load_state_dict(state, strict=False)
    assert result.missing_keys == ["scale", "body.0.weight"] and result.unexpected_keys == ["other.thing"]
    taken = b.load_state_dict({k: v.clone() for k, v in a.state_dict().items()}, assign=True)
    assert not taken.missing_keys and isinstance(b.scale, nn.Parameter)
    assert a.state_dict()["scale"].requires_grad is False
    assert a.state_dict(keep_vars=True)["scale"] is a.scale
    assert a.state_dict()._metadata[""]["version"] == 1
    with pytest.raises(TypeError, match="dict-like"):
        b.load_state_dict([1])


def test_state_dict_shares_memory():
    net = nn.Linear(2, 2)
    state = net.state_dict()
    state["weight"].zero_()
    assert net.weight.abs().sum().item() == 0


def test_modes_apply_and_casts():
    net = Net()
    net.eval()
    assert not net.training and not net.body[0].training
    net.train()
    assert net.body[1].training
    seen = []
    net.apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["Linear", "ReLU", "Sequential", "Net"]
    w = net.body[0].weight
    w.grad = torch.ones(3, 2)
    net.double()
    assert net.body[0].weight is w and w.dtype == torch.float64 and w.grad.dtype == torch.float64
    assert net.seen.dtype == torch.float64
    net.to(torch.float32)
    assert w.dtype == torch.float32
    with pytest.raises(TypeError, match="floating point"):
        net.to(torch.int64)
    net.zero_grad()
    assert w.grad is None
    net(torch.ones(1, 2)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert w.grad.abs().sum().item() == 0
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())


def test_optimizers_follow_a_cast():
    net = nn.Linear(2, 1)
    o = torch.optim.SGD(net.parameters(), lr=0.1)
    net.double()
    net(torch.ones(1, 2, dtype=torch.float64)).sum().backward()
    before = net.weight.detach().clone()
    o.step()
    assert torch.allclose(net.weight, before - 0.1)


def test_forward_hooks():
    net = nn.Linear(2, 2)
    log = []
    h1 = net.register_forward_pre_hook(lambda m, a: log.append("pre") or (a[0] * 2,))
    h2 = net.register_forward_hook(lambda m, a, o: log.append(a[0].tolist()) or o + 100)
    out = net(torch.ones(2))
    assert log == ["pre", [2.0, 2.0]] and (out > 50).all()
    h1.remove()
    with h2:
        pass
    assert net(torch.ones(2)).max() < 50

    def with_kwargs(m, args, kwargs):
        return (args[0] + kwargs.pop("add"),), kwargs

    net.register_forward_pre_hook(with_kwargs, with_kwargs=True)
    assert torch.equal(net(torch.zeros(2), add=1), F.linear(torch.ones(2), net.weight, net.bias))
    order = []
    m = nn.Identity()
    m.register_forward_hook(lambda *a: order.append(1))
    m.register_forward_hook(lambda *a: order.append(2), prepend=True)
    m(torch.ones(1))
    assert order == [2, 1]
    handle = nn.modules.register_module_forward_hook(lambda *a: order.append("global"))
    m(torch.ones(1))
    handle.remove()
    m(torch.ones(1))
    assert order == [2, 1, "global", 2, 1, 2, 1]


def test_backward_hooks():
    net = nn.Linear(2, 1, bias=False)
    seen = []
    net.register_full_backward_pre_hook(lambda m, go: seen.append(("pre", go[0].tolist())))
    net.register_full_backward_hook(lambda m, gi, go: seen.append((gi[0].tolist(), go[0].tolist())) or (gi[0] * 10,))
    x = torch.ones(1, 2, requires_grad=True)
    net(x).sum().backward()
    w = net.weight.detach()
    assert seen[0] == ("pre", [[1.0]]) and seen[1][1] == [[1.0]] and seen[1][0] == w.tolist()
    assert torch.allclose(x.grad, w * 10)


def test_containers():
    s = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    assert len(s) == 3 and s[-1].out_features == 1 and isinstance(s[:2], nn.Sequential)
    s.append(nn.Tanh())
    s.insert(1, nn.Dropout())
    assert [type(m).__name__ for m in s] == ["Linear", "Dropout", "ReLU", "Linear", "Tanh"]
    del s[1]
    s[1] = nn.Sigmoid()
    assert [n for n, _ in s.named_children()] == ["0", "1", "2", "3"]
    assert len(s + nn.Sequential(nn.ReLU())) == 5
    named = nn.Sequential(OrderedDict([("a", nn.Linear(1, 1)), ("b", nn.ReLU())]))
    assert list(named.state_dict()) == ["a.weight", "a.bias"]
    m = nn.ModuleList([nn.Linear(1, 1)])
    m.extend([nn.ReLU(), nn.Tanh()])
    m += [nn.Identity()]
    assert len(m) == 4 and isinstance(m[1:3], nn.ModuleList) and m.pop(0).in_features == 1
    d = nn.ModuleDict({"x": nn.ReLU()})
    d["y"] = nn.Linear(1, 1)
    assert list(d) == ["x", "y"] and "y" in d and isinstance(d.pop("x"), nn.ReLU)
    p = nn.ParameterList([torch.ones(1), nn.Parameter(torch.zeros(2))])
    p.append(torch.ones(3))
    assert len(list(p.parameters())) == 3 and p[-1].shape == (3,) and list(p.state_dict()) == ["0", "1", "2"]
    q = nn.ParameterDict({"a": torch.ones(1)})
    assert isinstance(q["a"], nn.Parameter) and list(q.keys()) == ["a"]


def nodes(y):
    """The names of a chain of nodes, the last op first; leaves are left out."""
    names, node = [], y.grad_fn
    while node is not None:
        names.append(node.name())
        inner = [n for n, _ in node.next_functions if n is not None and "Accumulate" not in n.name()]
        node = inner[0] if inner else None
    return names


def test_sequential_fuses_what_nobody_watches():
    torch.manual_seed(3)
    gelu = nn.GELU(approximate="tanh")
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 8, bias=False), gelu, nn.Linear(8, 2), nn.GELU())
    x = torch.randn(3, 5, 4, requires_grad=True)

    def one_by_one(x):
        for m in net:
            x = m(x)
        return x

    def results(run):
        net.zero_grad()
        x.grad = None
        y = run(x)
        (y * y).sum().backward()
        with torch.no_grad():
            plain = run(x)
        return [y, plain, x.grad, *(p.grad for p in net.parameters())]

    for a, b in zip(results(net), results(one_by_one)):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-6)
    fused = ["GeluBackward0", "AddmmBackward0", "GeluBackward0", "ReluBackward0"]
    assert nodes(net(x)) == fused
    assert repr(net[:2]) == "Sequential(\n  (0): Linear(in_features=4, out_features=6, bias=True)\n  (1): ReLU()\n)"

    # Whoever watches sees every module run.
    unfused = len(nodes(one_by_one(x)))
    seen = []
    for m in (net[0], net[1], net[3]):
        with m.register_forward_hook(
            lambda m, a, o: seen.append((type(m).__name__, tuple(a[0].shape), tuple(o.shape)))
        ):
            assert len(fused) < len(nodes(net(x))) < unfused
    assert seen == [("Linear", (3, 5, 4), (3, 5, 6)), ("ReLU", (3, 5, 6), (3, 5, 6)), ("GELU", (3, 5, 8), (3, 5, 8))]
    with nn.modules.register_module_forward_hook(lambda *a: None):
        assert len(nodes(net(x))) == unfused
    with net[1].register_full_backward_hook(lambda *a: None):
        assert len(nodes(net(x))) > len(fused)
    assert nodes(net(x)) == fused

    # Nor is a forward passed over that somebody replaced.
    class Doubled(nn.Linear):
        def forward(self, input):
            return super().forward(input) * 2

    twice = nn.Sequential(Doubled(4, 6), nn.ReLU())
    assert torch.equal(twice(x), F.relu(F.linear(x, twice[0].weight, twice[0].bias) * 2))
    net[1].forward = lambda input: input - 1
    assert torch.equal(net[:2](x), F.linear(x, net[0].weight, net[0].bias) - 1)
    del net[1].forward
    assert nodes(net(x)) == fused


def test_fusion_is_switched_off_by_the_environment():
    code = (
        "import taper as t; from taper import nn; t.manual_seed(0); m = nn.Sequential(nn.Linear(3, 2), nn.ReLU());"
        "y = m(t.ones(2, 3)); print([n.name() for n, _ in y.grad_fn.next_functions if n][0], y.sum().item())"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(torch.__file__).parent.parent)}
    run = [subprocess.check_output([sys.executable, "-c", code], env={**env, "TAPER_FUSION": v}) for v in "01"]
    (off, a), (on, b) = (line.decode().split() for line in run)
    assert off == "AddmmBackward0" and on != off and abs(float(a) - float(b)) < 1e-6


def test_parameter():
    data = torch.ones(2)
    p = nn.Parameter(data)
    data[0] = 5
    assert p[0].item() == 5 and p.requires_grad and isinstance(p, torch.Tensor)
    assert not nn.Parameter(data, requires_grad=False).requires_grad
    assert plain(repr(p)) == "Parameter containing:\ntensor([5., 1.], requires_grad=True)"
    assert type(p * 1) is torch.Tensor
    assert isinstance(p.data, torch.Tensor) and not p.data.requires_grad


def test_copies_and_pickles_of_modules():
    net = Net()
    other = copy.deepcopy(net)
    other.scale.data.fill_(7)
    assert net.scale.item() == 1 and other.body[0] is not net.body[0]
    again = pickle.loads(pickle.dumps(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))))
    assert again(torch.ones(3, 2)).shape == (3, 2)
    tied = nn.Module()
    tied.a = nn.Linear(2, 2)
    tied.b = tied.a
    twin = copy.deepcopy(tied)
    assert twin.a is twin.b and twin.a is not tied.a


def test_lazy_modules():
    net = nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
    assert net[0].has_uninitialized_params()
    assert net(torch.ones(1, 3, 5, 5)).shape == (1, 2)
    assert type(net[0]) is nn.Conv2d and net[0].weight.shape == (4, 3, 3, 3) and type(net[3]) is nn.Linear
    assert type(net[3].weight) is nn.Parameter
    b = nn.LazyBatchNorm2d()
    b(torch.ones(2, 3, 2, 2))
    assert b.num_features == 3 and b.running_mean.shape == (3,)
    with pytest.raises(RuntimeError, match="uninitialized"):
        nn.LazyLinear(2).weight.shape  # noqa: B018
    lazy = nn.LazyLinear(2)
    lazy.load_state_dict(nn.Linear(3, 2).state_dict())
    assert lazy.weight.shape == (2, 3)


def test_batch_norm_statistics():
    torch.manual_seed(0)
    bn = nn.BatchNorm1d(3)
    x = torch.randn(16, 3) * 2 + 1
    y = bn(x)
    assert torch.allclose(y.mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(bn.running_mean, 0.1 * x.mean(0), atol=1e-6)
    assert torch.allclose(bn.running_var, 0.9 + 0.1 * x.var(0), atol=1e-5)
    assert bn.num_batches_tracked.item() == 1
    bn.eval()
    expected = (x - bn.running_mean) / (bn.running_var + bn.eps).sqrt()
    assert torch.allclose(bn(x), expected, atol=1e-5)


def test_layers_against_formulas():
    torch.manual_seed(0)
    x = torch.randn(2, 4)
    ln = nn.LayerNorm(4)
    want = (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    assert torch.allclose(ln(x), want, atol=1e-5)
    assert torch.allclose(nn.GELU("tanh")(x), F.gelu(x, approximate="tanh"))
    assert torch.allclose(nn.PReLU()(x), torch.where(x > 0, x, 0.25 * x))
    e = nn.Embedding(5, 3, padding_idx=1)
    assert e(torch.tensor([[0, 1]])).shape == (1, 2, 3) and e.weight[1].abs().sum().item() == 0
    assert nn.Embedding.from_pretrained(torch.ones(2, 2)).weight.requires_grad is False
    conv = nn.Conv2d(1, 1, 3, padding="same", bias=False)
    assert conv(torch.ones(1, 1, 5, 5)).shape == (1, 1, 5, 5)
    for mode in ("reflect", "replicate", "circular"):
        padded = nn.Conv1d(1, 1, 3, padding=1, padding_mode=mode)
        assert padded(torch.arange(5.0).view(1, 1, 5)).shape == (1, 1, 5)
    assert nn.ConvTranspose2d(2, 3, 4, 2, 1)(torch.ones(1, 2, 4, 4)).shape == (1, 3, 8, 8)
    assert nn.ConvTranspose1d(1, 1, 3, 2)(torch.ones(1, 1, 4), output_size=[10]).shape == (1, 1, 10)
    assert nn.Bilinear(2, 3, 4)(torch.ones(5, 2), torch.ones(5, 3)).shape == (5, 4)
    d = nn.Dropout(0.5)
    y = d(torch.ones(1000))
    assert set(y.tolist()) == {0.0, 2.0} and torch.equal(d.eval()(torch.ones(3)), torch.ones(3))
    r = nn.ReLU(inplace=True)
    z = torch.tensor([-1.0, 1.0])
    assert r(z) is z and z.tolist() == [0.0, 1.0]
    w = nn.utils.weight_norm(nn.Linear(3, 2))
    before = w(torch.ones(1, 3))
    assert [n for n, _ in w.named_parameters()] == ["bias", "weight_g", "weight_v"]
    nn.utils.remove_weight_norm(w)
    assert torch.allclose(w(torch.ones(1, 3)), before)


def test_losses_and_reductions():
    a, b = torch.tensor([0.2, 0.9]), torch.tensor([0.0, 1.0])
    assert nn.MSELoss(reduction="none")(a, b).shape == (2,)
    assert nn.MSELoss(reduction="sum")(a, b).item() == pytest.approx(0.05)
    assert nn.L1Loss()(a, b).item() == pytest.approx(0.15)
    assert nn.BCELoss()(a, b).item() == pytest.approx(0.16425, abs=1e-4)
    assert F.mse_loss(a, b, size_average=False).item() == pytest.approx(0.05)
    with pytest.raises(ValueError):
        F.hinge_embedding_loss(a, b, reduction="other")
    logits, target = torch.tensor([[1.0, 2.0], [0.5, 0.1]]), torch.tensor([1, -100])
    loss = nn.CrossEntropyLoss()(logits, target).item()
    assert loss == pytest.approx(-logits.log_softmax(1)[0, 1].item(), abs=1e-6)
    assert F.nll_loss(logits.log_softmax(1), target).item() == pytest.approx(loss, abs=1e-6)
    with pytest.warns(UserWarning, match="target size"):
        F.mse_loss(torch.ones(2, 1), torch.ones(2))


def test_clipping_and_vectors():
    p = nn.Parameter(torch.zeros(2))
    p.grad = torch.tensor([3.0, 4.0])
    assert nn.utils.clip_grad_norm_([p], 1.0).item() == 5.0
    assert torch.allclose(p.grad, torch.tensor([0.6, 0.8]), atol=1e-5)
    nn.utils.clip_grad_value_(p, 0.7)
    assert torch.allclose(p.grad, torch.tensor([0.6, 0.7]), atol=1e-5)
    net = nn.Linear(2, 2)
    vector = nn.utils.parameters_to_vector(net.parameters())
    nn.utils.vector_to_parameters(torch.arange(6.0), net.parameters())
    assert vector.shape == (6,) and net.bias.tolist() == [4.0, 5.0]
    padded = nn.utils.rnn.pad_sequence([torch.ones(2), torch.ones(3)], batch_first=True, padding_value=9)
    assert padded.tolist() == [[1.0, 1.0, 9.0], [1.0, 1.0, 1.0]]


def test_optimizer_state_and_groups():
    net = nn.Linear(2, 2)
    o = torch.optim.Adam([{"params": [net.weight], "lr": 0.5}, {"params": net.bias}], lr=0.1)
    assert [g["lr"] for g in o.param_groups] == [0.5, 0.1] and type(o.param_groups[0]) is dict
    net(torch.ones(1, 2)).sum().backward()
    o.step()
    state = o.state_dict()
    assert list(state["state"]) == [0, 1] and state["param_groups"][1]["params"] == [1]
    assert state["state"][0]["step"].item() == 1.0
    twin = torch.optim.Adam([{"params": [net.weight], "lr": 0.7}, {"params": net.bias}], lr=0.1)
    twin.load_state_dict(state)
    assert twin.param_groups[0]["lr"] == 0.5
    assert torch.equal(twin.state[net.weight]["exp_avg"], o.state[net.weight]["exp_avg"])
    o.zero_grad()
    assert net.weight.grad is None
    o.add_param_group({"params": torch.zeros(1, requires_grad=True)})
    with pytest.raises(ValueError, match="more than one parameter group"):
        o.add_param_group({"params": net.bias})
    with pytest.raises(ValueError, match="different number of parameter groups"):
        o.load_state_dict(state)
    calls = []
    o.register_step_post_hook(lambda *a: calls.append(1))

    def closure():
        o.zero_grad()
        loss = net(torch.ones(1, 2)).square().sum()
        loss.backward()
        return loss

    first = o.step(closure).item()
    for _ in range(20):
        last = o.step(closure).item()
    assert last < first and len(calls) == 21


def test_functional_names_of_pytorch():
    x = torch.randn(1, 2, 4, 4)
    assert F.adaptive_avg_pool2d(x, (None, 1)).shape == (1, 2, 4, 1)
    # Empty, however many windows there would be.
    assert F.adaptive_avg_pool1d(torch.zeros(0, 2, 3), 1 << 40).shape == (0, 2, 1 << 40)
    assert F.adaptive_max_pool2d(x, 2).shape == (1, 2, 2, 2)
    values, indices = F.max_pool2d(x, 2, return_indices=True)
    assert values.shape == indices.shape == (1, 2, 2, 2)
    assert F.pixel_unshuffle(F.pixel_shuffle(torch.ones(1, 4, 2, 2), 2), 2).shape == (1, 4, 2, 2)
    columns = F.unfold(x, 2, stride=2)
    assert torch.allclose(F.fold(columns, (4, 4), 2, stride=2), x)
    with pytest.warns(UserWarning, match="Implicit dimension"):
        F.softmax(torch.ones(2, 2))
    one_hot = F.gumbel_softmax(torch.randn(5, 3), hard=True)
    assert torch.allclose(one_hot.sum(1), torch.ones(5))
    assert F.relu(torch.tensor([-1.0]), inplace=True).item() == 0
    with pytest.raises(AttributeError):
        F.no_such  # noqa: B018


def test_modules_are_collected():
    net = Net()
    net.register_forward_hook(lambda m, a, o: None)
    net.loop = net.forward
    gone = weakref.ref(net)
    net(torch.ones(1, 2)).sum().backward()
    del net
    gc.collect()
    assert gone() is None


def test_backward_hook_without_input_gradients():
    seen = []
    layer = nn.Linear(3, 2)
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go[0].tolist())))
    layer(torch.ones(1, 3)).sum().backward()
    assert seen == [((None,), [[1.0, 1.0]])]


def test_embedding_max_norm():
    layer = nn.Embedding(4, 2, max_norm=1.0)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 4.0], [0.3, 0.4], [6.0, 8.0], [0.0, 2.0]]))
    rows = layer(torch.tensor([[0, 1], [0, 3]]))
    expected = torch.tensor([[[0.6, 0.8], [0.3, 0.4]], [[0.6, 0.8], [0.0, 1.0]]])
    assert torch.allclose(rows, expected)
    # Rows that were not asked for stay.
    assert layer.weight[2].tolist() == [6.0, 8.0]


def test_load_result():
    result = nn.Linear(1, 1).load_state_dict({"weight": torch.ones(1, 1), "other": torch.ones(1)}, strict=False)
    assert repr(result) == "_IncompatibleKeys(missing_keys=['bias'], unexpected_keys=['other'])"


def test_grad_scaler(device):
    scaler = torch.amp.GradScaler(device.type, init_scale=4.0, growth_interval=1)
    w = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([w], lr=0.5)
    scaler.scale((w * 3).sum()).backward()
    assert scaler.is_enabled() and w.grad.item() == 12.0
    scaler.step(optimizer)
    scaler.update()
    assert w.item() == -0.5 and scaler.get_scale() == 8.0
    w.grad.fill_(float("inf"))
    scaler.step(optimizer)
    scaler.update()
    assert w.item() == -0.5 and scaler.get_scale() == 4.0


def test_defaults_of_dropout():
    """PyTorch's: the functions of alpha dropout do nothing unless they are told that they train."""
    x = torch.ones(64, 8)
    for f in (F.alpha_dropout, F.feature_alpha_dropout, torch.alpha_dropout, torch.feature_alpha_dropout):
        assert torch.equal(f(x) if f.__module__.endswith("functional") else f(x, 0.5, False), x)
        assert not torch.equal(f(x, 0.5, True), x)
    for f in (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d):
        shape = {"dropout": (64, 8), "dropout1d": (64, 8, 2), "dropout2d": (64, 8, 2, 2), "dropout3d": (64, 8, 2, 2, 2)}
        y = torch.ones(shape[f.__name__])
        assert not torch.equal(f(y), y) and torch.equal(f(y, training=False), y)
    for layer in (torch.nn.AlphaDropout(), torch.nn.FeatureAlphaDropout(), torch.nn.Dropout()):
        assert not torch.equal(layer(x), x) and torch.equal(layer.eval()(x), x)


def test_cosine_embedding_loss_near_zero():
    """PyTorch's numbers: 1e-12 is added to the squares of the norms."""
    for a, b, target, loss, grad in (
        ([[0.0, 0.0]], [[1.0, 2.0]], [1], 1.0, [-4.472e5, -8.944e5]),
        ([[1e-7, 0.0]], [[1.0, 2.0]], [-1], 0.0444994, [4.406e5, 8.9e5]),
        ([[1.0, 2.0]], [[-1.0, 2.0]], [-1], 0.6, [-0.32, 0.16]),
        ([[1.0, 2.0]], [[-1.0, 2.0]], [3], 0.0, [0.0, 0.0]),
    ):
        x = torch.tensor(a, requires_grad=True)
        got = nn.functional.cosine_embedding_loss(x, torch.tensor(b), torch.tensor(target))
        got.backward()
        assert got.item() == pytest.approx(loss, rel=1e-4) and x.grad[0].tolist() == pytest.approx(grad, rel=1e-3)
    with pytest.raises(RuntimeError, match="1D target tensor expects 2D input tensors"):
        nn.functional.cosine_embedding_loss(torch.ones(3), torch.ones(3), torch.ones(3))


def notes_of(call):
    with pytest.raises(Exception) as e:
        call()
    return str(e.value), getattr(e.value, "__notes__", [])


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes came with Python 3.11")
def test_errors_say_which_module_failed():
    class Net(nn.Module):
        def __init__(self, fc):
            super().__init__()
            self.body = nn.Sequential(nn.Identity(), nn.ModuleDict({"fc": fc}))

        def forward(self, x):
            return self.body[1]["fc"](x)

    x = torch.ones(2, 5)
    fc = nn.Linear(3, 2)
    text, notes = notes_of(lambda: fc(x))
    assert notes == [] and text == "addmm: mat1 and mat2 shapes cannot be multiplied (2x5 and 3x2)"
    # A module two levels down is found; the message and the kind stay PyTorch's.
    model = nn.Sequential(nn.ReLU(), Net(fc))
    place = "in 1.body.1.fc (Linear(in_features=3, out_features=2, bias=True))"
    assert notes_of(lambda: model(x)) == (text, [place])
    handle = model.register_forward_hook(lambda *_: None)
    assert notes_of(lambda: model(x)) == (text, [place])
    handle.remove()

    class Bad(nn.Module):
        def forward(self, x):
            raise KeyError("mine")

        def extra_repr(self):
            raise ValueError

    assert notes_of(lambda: nn.Sequential(Bad())(x)) == ("'mine'", ["in 0 (Bad(...))"])


def test_images_of_bytes_are_resized_in_fractions():
    image = torch.tensor([[[[0, 100, 200], [10, 110, 210]]]], dtype=torch.uint8)
    up = nn.functional.interpolate(image, (2, 6), mode="bilinear", align_corners=False)
    assert up.dtype == torch.uint8
    assert up.tolist() == [[[[0, 25, 75, 125, 175, 200], [10, 35, 85, 135, 185, 210]]]]
    with pytest.raises(NotImplementedError):
        nn.functional.interpolate(image.long(), (2, 6), mode="bilinear", align_corners=False)
