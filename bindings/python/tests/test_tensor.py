"""The class Tensor: what Python adds to the library's tensors."""

import copy
import importlib
import math
import pickle
import threading

import pytest
from conftest import plain

import taper as torch
from taper._tensor import alias, wrap


def test_identity_of_grad():
    w = torch.ones(2, requires_grad=True)
    (w * 3).sum().backward()
    g = w.grad
    assert w.grad is g
    g.mark = "kept"
    (w * 3).sum().backward()
    assert w.grad is g and w.grad.mark == "kept" and g.tolist() == [6.0, 6.0]
    w.grad = None
    assert w.grad is None
    h = torch.zeros(2)
    w.grad = h
    assert w.grad is h
    w.grad.zero_()
    with pytest.raises(TypeError, match="assigned grad expected to be a Tensor"):
        w.grad = 3
    with pytest.raises(RuntimeError):
        w.grad = torch.zeros(3)


def test_data_shares_memory_outside_the_graph():
    w = torch.ones(2, requires_grad=True)
    w.data *= 2
    w.data.add_(1)
    assert w.tolist() == [3.0, 3.0] and w.requires_grad and w.is_leaf
    other = torch.zeros(3)
    w.data = other
    assert w.shape == (3,) and w.requires_grad


def test_attributes_live_on_tensors():
    t = torch.ones(2)
    t.name_of_mine = 5
    assert t.name_of_mine == 5
    assert {t: 1}[t] == 1 and t in [t]
    assert len({torch.ones(1), torch.ones(1)}) == 2


def test_pickle_and_copies():
    t = torch.arange(6.0).view(2, 3).t()
    t.note = "x"
    u = pickle.loads(pickle.dumps(t))
    assert torch.equal(t, u) and u.note == "x"
    p = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    q = pickle.loads(pickle.dumps(p))
    assert isinstance(q, torch.nn.Parameter) and q.requires_grad and q.tolist() == [1.0, 2.0]
    p.grad = torch.ones(2)
    d = copy.deepcopy(p)
    d.data.add_(1)
    assert type(d) is torch.nn.Parameter and p.tolist() == [1.0, 2.0]
    assert d.grad.tolist() == [1.0, 1.0] and d.grad is not p.grad
    s = copy.copy(t)
    s[0, 0] = 9
    assert t[0, 0].item() == 9
    for dtype in (torch.bfloat16, torch.float16, torch.bool, torch.uint8):
        v = torch.tensor([0, 1, 1]).to(dtype)
        assert torch.equal(pickle.loads(pickle.dumps(v)), v)
    for constant in (torch.float32, torch.Size([1, 2]), torch.device("cuda:1"), torch.strided):
        again = pickle.loads(pickle.dumps(constant))
        assert again == constant and type(again) is type(constant)
        assert copy.deepcopy(constant) == constant
    assert pickle.loads(pickle.dumps(torch.float32)) is torch.float32
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(p * 2)
    g = torch.Generator().manual_seed(4)
    torch.rand(3, generator=g)
    h = pickle.loads(pickle.dumps(g))
    assert torch.rand(3, generator=g).tolist() == torch.rand(3, generator=h).tolist()


def test_shared_memo_of_deepcopy():
    t = torch.ones(2)
    a, b = copy.deepcopy([t, t])
    assert a is b and a is not t


def test_conversions():
    assert int(torch.tensor(3.7)) == 3 and float(torch.tensor(2)) == 2.0 and bool(torch.tensor([[1]]))
    assert [10, 20, 30][torch.tensor(1)] == 20
    assert math.floor(torch.tensor(2.5).item()) == 2
    assert torch.tensor(2).item() == 2 and isinstance(torch.tensor(2).item(), int)
    assert torch.tensor(True).item() is True
    assert torch.zeros(2, 0, 3).tolist() == [[], []]
    assert torch.tensor([1.5, -2.0], dtype=torch.bfloat16).tolist() == [1.5, -2.0]
    with pytest.raises(TypeError):
        range(torch.tensor(1.5))


def test_bool_and_index_edge_cases():
    x = torch.arange(24).view(2, 3, 4)
    assert x[1, ..., -1].tolist() == [15, 19, 23]
    assert x[:, 1:3, ::2].shape == (2, 2, 2)
    assert x[torch.tensor(1)].shape == (3, 4)
    assert x[[0, 1], :, [1, 2]].shape == (2, 3)
    assert x[x > 100].shape == (0,)
    assert x[[]].shape == (0, 3, 4)
    assert x[range(1)].shape == (1, 3, 4)
    assert x[False].shape == (0, 2, 3, 4)
    assert x[:100].shape == x.shape and x[-100:1].shape == (1, 3, 4)
    with pytest.raises(ValueError, match="step must be greater than zero"):
        x[::-1]
    with pytest.raises(IndexError):
        x[2**70]
    x[0, 0] = torch.tensor([7, 7, 7, 7])
    x[1, :, 0] = 5
    x[x == 5] = -5
    x[..., 3] = [1, 2, 3]
    x[0, 1:, 1] = x[0, 1:, 2]
    assert x[0].tolist() == [[7, 7, 7, 1], [4, 6, 6, 2], [8, 10, 10, 3]]
    assert x[1, :, 0].tolist() == [-5, -5, -5]
    with pytest.raises((RuntimeError, ValueError)):
        x[0] = torch.zeros(7)
    with pytest.raises(TypeError, match="can't assign"):
        x[0, 0, 0] = "a"


def test_inplace_operators_keep_the_object():
    x = torch.ones(2)
    y = x
    x += 1
    x *= 3
    x -= torch.ones(2)
    x /= 2
    x **= 2
    x //= 2
    x %= 2
    assert y is x and x.tolist() == [1.0, 1.0]
    b = torch.tensor([True, False])
    b |= True
    b &= torch.tensor([True, False])
    b ^= True
    assert b.tolist() == [False, True]


def test_unpacking_and_iteration():
    a, b = torch.arange(2)
    assert (a.item(), b.item()) == (0, 1)
    assert [r.tolist() for r in torch.eye(2)] == [[1.0, 0.0], [0.0, 1.0]]
    assert sum(torch.arange(4)).item() == 6
    assert max(torch.tensor([1, 3, 2])).item() == 3
    assert [v.item() for v in reversed(torch.arange(3))] == [2, 1, 0]
    assert list(zip(torch.arange(2), "ab"))[1][1] == "b"


def test_out_arguments():
    x = torch.arange(3.0)
    out = torch.empty(3)
    assert torch.add(x, 1, out=out) is out and out.tolist() == [1.0, 2.0, 3.0]
    out = torch.empty(0)
    torch.mul(x, x, out=out)
    assert out.tolist() == [0.0, 1.0, 4.0]
    v, i = torch.empty(0), torch.empty(0, dtype=torch.int64)
    torch.max(torch.eye(2), 0, out=(v, i))
    assert v.tolist() == [1.0, 1.0] and i.tolist() == [0, 1]
    assert torch.zeros(2, out=torch.empty(2)).tolist() == [0.0, 0.0]
    with pytest.raises(RuntimeError, match="don't support automatic differentiation"):
        torch.add(x, 1, out=torch.empty(3, requires_grad=True))


def test_named_results():
    r = torch.tensor([[1.0, 3.0, 2.0]]).max(dim=1)
    values, indices = r
    assert r.values is values and r.indices is indices and r[0] is values
    assert isinstance(r, tuple) and len(r) == 2
    again = pickle.loads(pickle.dumps(r))
    assert again.indices.tolist() == [1]


def test_legacy_constructors(device):
    assert torch.Tensor(2, 3).shape == (2, 3) and torch.Tensor(2, 3).dtype == torch.float32
    assert torch.Tensor([1, 2]).tolist() == [1.0, 2.0]
    assert torch.FloatTensor([[1, 2]]).dtype == torch.float32
    assert torch.LongTensor([1, 2]).dtype == torch.int64 and torch.LongTensor(3).shape == (3,)
    assert torch.ByteTensor([1]).dtype == torch.uint8 and torch.BoolTensor([True]).dtype == torch.bool
    one = torch.ones(1, device="cpu")
    assert isinstance(one, torch.FloatTensor) and not isinstance(one, torch.LongTensor)
    assert isinstance(one.to(device), torch.FloatTensor) == (device.type == "cpu")
    assert torch.ones(2).type(torch.DoubleTensor).dtype == torch.float64
    assert torch.ones(2).type("torch.LongTensor").dtype == torch.int64
    assert torch.autograd.Variable(torch.ones(1), requires_grad=True).requires_grad


def test_default_dtype_and_device():
    try:
        torch.set_default_dtype(torch.float64)
        assert torch.tensor([1.5]).dtype == torch.float64 and torch.zeros(1).dtype == torch.float64
        assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    with pytest.raises(TypeError):
        torch.set_default_dtype(torch.int32)
    with torch.device("cpu"):
        assert torch.zeros(1).device == torch.device("cpu")


def test_to(device):
    x = torch.ones(2)
    assert x.to(torch.float32) is x and x.to(device) is x and x.to(x.device) is x and x.float() is x
    assert x.to(torch.float32, copy=True) is not x
    assert x.to("cpu", torch.float64).dtype == torch.float64
    assert x.to(torch.zeros(1, dtype=torch.int8)).dtype == torch.int8
    assert x.to(dtype=torch.int64, device="cpu").dtype == torch.int64
    assert x.to(device, non_blocking=True) is x
    with pytest.raises((RuntimeError, NotImplementedError)):
        x.to("cuda:7")


def test_every_thread_has_its_own_cells():
    wrong = []

    def work(k):
        for i in range(300):
            a = torch.full((4,), k * 1000 + i)
            b = a + 1
            v, ix = b.max(0)
            if b.tolist() != [k * 1000 + i + 1] * 4 or v.item() != k * 1000 + i + 1 or a.shape != (4,):
                wrong.append((k, i))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_grad_mode_is_per_thread():
    seen = []
    with torch.no_grad():
        t = threading.Thread(target=lambda: seen.append(torch.is_grad_enabled()))
        t.start()
        t.join()
    assert seen == [True]


def test_numbers_beyond_64_bits():
    with pytest.raises((OverflowError, RuntimeError)):
        torch.zeros(2) + 2**70
    with pytest.raises((OverflowError, RuntimeError, TypeError)):
        torch.zeros(2**70)
    with pytest.raises((RuntimeError, MemoryError)):
        torch.zeros(2**40, 2**40)
    assert isinstance(torch.OutOfMemoryError(), MemoryError)


def test_error_objects():
    with pytest.raises(torch.Error) as caught:
        torch.ones(2) + torch.ones(3)
    e = caught.value
    assert isinstance(e, RuntimeError) and e.code == 1 and e.op == "add"
    with pytest.raises(IndexError) as caught:
        torch.ones(2).sum(5)
    assert caught.value.op in ("sum_dim", "sum")


def test_printoptions():
    try:
        torch.set_printoptions(precision=2, sci_mode=False)
        assert plain(repr(torch.tensor([1.23456]))) == "tensor([1.23])"
        torch.set_printoptions(threshold=3, edgeitems=1)
        assert plain(repr(torch.arange(5))) == "tensor([0,  ..., 4])"
    finally:
        torch.set_printoptions(profile="default")
    assert plain(repr(torch.tensor([1.23456]))) == "tensor([1.2346])"


def test_assigning_to_a_mask():
    x = torch.arange(6.0).reshape(2, 3)
    x[x > 3] = 0
    x[torch.tensor([True, False])] = torch.tensor(9.0)
    assert x.tolist() == [[9.0, 9.0, 9.0], [3.0, 0.0, 0.0]]
    with pytest.raises(IndexError, match="shape of the mask"):
        x[torch.ones(3, dtype=torch.bool)] = 0
    b = torch.tensor([True, False, True])
    b[b] = False
    assert b.tolist() == [False, False, False]
    i = torch.arange(3)
    i[i > 0] = 2.7
    assert i.tolist() == [0, 2, 2]
    w, v = torch.ones(2, 2, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    y = w * 2
    y[torch.tensor([[True, False], [True, True]])] = v
    y[0] *= 5
    y.sum().backward()
    assert w.grad.tolist() == [[0.0, 10.0], [0.0, 0.0]] and v.grad.item() == 7.0


def test_random_state():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    a = torch.rand(4)
    torch.set_rng_state(state)
    assert torch.equal(torch.rand(4), a)
    with torch.random.fork_rng():
        torch.rand(10)
    b = torch.rand(2)
    torch.set_rng_state(state)
    torch.rand(4)
    assert torch.equal(torch.rand(2), b)
    assert torch.manual_seed(-1) is torch.default_generator


def test_every_name_resolves():
    """Each listed function and method can be made, and each hand-merged one has its module."""
    from taper import _lazy, _ops, _ops_table

    for name in _lazy.function_names():
        assert callable(getattr(torch, name)), name
    for name in {*_lazy._method_names, *_lazy.ALIASES, *_lazy._MORE} - {"fix_"}:
        if name in _lazy.ALIASES and _lazy.ALIASES[name] not in _lazy._method_names:
            continue
        assert callable(getattr(torch.Tensor, name)), name
    for name in _ops_table.NN:
        assert callable(getattr(torch.nn.functional, name)), name
    missing = [n for n in _ops_table.UNMERGED if n not in _lazy.MERGED]
    # Those of linear algebra stand in `_linalg.py` and `linalg.py`.
    there = {f"linalg_{n}" for n in vars(torch.linalg)} | set(vars(importlib.import_module("taper._linalg")))
    missing = [n for n in missing if n not in there]
    assert not missing, f"write these in _functions.py: {missing}"
    for name in _ops_table.PROTOTYPES:
        assert getattr(_ops, "_" + name).argtypes is not None
    assert "add" in dir(torch) and "relu" in dir(torch.Tensor)
    for module in torch._SUBMODULES:
        assert getattr(torch, module).__name__ == f"taper.{module}"
    assert not hasattr(torch, "nested") and not hasattr(torch.nn, "qat")


def test_size_and_stride_of_one_dimension():
    a = torch.ones(2, 3)
    assert (a.size(0), a.size(-1), a.stride(0), a.stride(-1)) == (2, 3, 3, 1)
    for call in (a.size, a.stride):
        with pytest.raises(IndexError, match=r"expected to be in range of \[-2, 1\], but got -3"):
            call(-3)
        with pytest.raises(TypeError, match="argument 'dim'.* must be int, not str"):
            call("x")
    with pytest.raises(IndexError, match="tensor has no dimensions"):
        torch.tensor(1.0).size(0)


def test_algorithm_of_a_generator():
    import pickle

    g = torch.Generator().manual_seed(3)
    first = torch.rand(4, generator=g, device="cpu")
    assert g.algorithm == "mt19937" and torch.default_generator.algorithm == "mt19937"
    g.algorithm = "philox"
    g.manual_seed(3)
    assert g.algorithm == "philox" and not torch.equal(first, torch.rand(4, generator=g, device="cpu"))
    copy = pickle.loads(pickle.dumps(g))
    assert copy.algorithm == "philox" and torch.equal(
        torch.rand(4, generator=copy, device="cpu"), torch.rand(4, generator=g, device="cpu")
    )
    with pytest.raises(ValueError, match="must be 'mt19937' or 'philox', got 'xorshift'"):
        g.algorithm = "xorshift"


def test_cdist_by_products():
    # More than 25 rows go through one matrix product; the last row of b is one of a's.
    torch.manual_seed(0)
    a = torch.rand(2, 30, 4, dtype=torch.float64)
    b = torch.cat([torch.rand(2, 6, 4, dtype=torch.float64), a[:, 3:4]], 1)
    results = []
    for mode in ("use_mm_for_euclid_dist_if_necessary", "donot_use_mm_for_euclid_dist"):
        x, y = a.clone().requires_grad_(), b.clone().requires_grad_()
        d = torch.cdist(x, y, compute_mode=mode)
        assert d[:, 3, 6].abs().max().item() < 1e-7
        (d[:, :, :6] * torch.arange(6.0, dtype=torch.float64).cos()).sum().backward()
        results.append((d, x.grad, y.grad))
    for got, want in zip(*results):
        assert (got - want).abs().max().item() < 1e-7
    # Equal rows have the gradient 0 rather than none.
    x = torch.ones(30, 4, requires_grad=True)
    torch.cdist(x, x.detach()).sum().backward()
    assert x.grad.abs().max().item() == 0
    with pytest.raises(ValueError, match="nonsense is not a valid value for compute_mode"):
        torch.cdist(x, x, compute_mode="nonsense")


def test_in_place_scatters_and_masks():
    # Written at once, as well as where the source shares the memory or a gradient is recorded.
    index = torch.tensor([[1, 0, 1], [2, 2, 0]])
    a = torch.zeros(2, 3)
    a.scatter_add_(1, index, torch.tensor([[1.0, 2, 3], [4, 5, 6]]))
    assert a.tolist() == [[2, 4, 0], [6, 0, 9]]
    a.scatter_add_(1, index, a)
    assert a.tolist() == [[6, 6, 0], [15, 0, 15]]
    b = torch.arange(6.0).view(2, 3)
    b.index_add_(1, torch.tensor([0, 2, 0]), b.clone())
    assert b.tolist() == [[2, 1, 3], [11, 4, 9]]
    w = torch.ones(2, 3, requires_grad=True)
    c = w * 2
    c.scatter_(1, index[:, :2], 7.0)
    c.sum().backward()
    assert c.tolist() == [[7, 7, 2], [2, 2, 7]] and w.grad.tolist() == [[0, 0, 2], [2, 2, 0]]
    # Devices other than the CPU find it when something is read.
    with pytest.raises(IndexError, match="index 3 is out of bounds for dimension (1 )?with size 3"):
        a.scatter_(1, index + 1, 0.0)
        a.tolist()
    x = torch.arange(24.0).view(2, 3, 4)
    mask = torch.tensor([[True, False, False], [False, True, True]])
    assert x[mask][:, 0].tolist() == [0.0, 16.0, 20.0] and x.transpose(0, 1)[mask.t()].shape == (3, 4)
    x[mask] = torch.tensor([[-1.0], [-2], [-3]])
    assert x[:, :, 1].tolist() == [[-1.0, 5, 9], [13, -2, -3]]


def test_in_place_forms_that_the_core_does_not_have():
    x = torch.tensor([[1.0], [2.26]])
    assert x.clone().lerp_(torch.ones(2, 1), torch.tensor([[0.5], [1.0]])).tolist() == [[1.0], [1.0]]
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        x.clone().lerp_(torch.ones(2, 1), torch.ones(2, 2))
    assert x.clone().round_(decimals=1).tolist() == torch.tensor([[1.0], [2.3]]).tolist()
    assert torch.zeros(1, 2, 1).squeeze_((0, -1)).shape == (2,)
    with pytest.raises(RuntimeError, match="appears multiple times"):
        torch.zeros(1, 2).squeeze_((0, -2))


def test_xlogy_of_numbers():
    x = torch.tensor([0.0, 2.0])
    assert torch.xlogy(x, 0).tolist() == [0.0, -math.inf]
    assert torch.xlogy(2, x).tolist() == pytest.approx([-math.inf, 2 * math.log(2)])
    assert torch.tensor([1]).xlogy(1).dtype == torch.float32


def test_out_must_hold_the_result():
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Long"):
        torch.sin(torch.ones(2), out=torch.zeros(2, dtype=torch.int64))
    assert torch.add(torch.tensor([1]), 1, out=torch.zeros(1)).tolist() == [2.0]


def test_products_that_are_added():
    i = torch.tensor([[1, 2], [3, 4]], dtype=torch.int8)
    assert torch.addbmm(i, i[None], i[None]).dtype == torch.int8
    assert torch.addmv(torch.zeros(1), torch.ones(2, 3), torch.ones(3)).tolist() == [3.0, 3.0]
    assert torch.addmv(torch.tensor([float("nan")]), torch.ones(1, 1), torch.ones(1), beta=0).tolist() == [1.0]
    b = torch.tensor([True, False])
    assert torch.addr(torch.zeros(2, 2, dtype=torch.bool), b, b).tolist() == [[True, False], [False, False]]
    with pytest.raises(RuntimeError, match="argument alpha must not be a floating point number"):
        torch.addr(i, i[0], i[1], alpha=0.5)
    assert torch.trapezoid(torch.zeros(0)).item() == 0


def test_hinge_embedding_loss_of_other_targets():
    x, y = torch.tensor([-2.0, -2.0, -2.0]), torch.tensor([0.0, 2.0, -1.0])
    assert torch.nn.functional.hinge_embedding_loss(x, y).item() == pytest.approx((1.0 + 1.0 + 3.0) / 3)


@pytest.mark.parametrize("huge", [2**31, 2**62, 2**63 - 2, 2**63 - 1])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_convolutions_refuse_numbers_that_overflow(n, huge):
    F = torch.nn.functional
    x, w = torch.ones(2, 3, *(4,) * n), torch.ones(3, 3, *(2,) * n)
    conv, transposed = getattr(F, f"conv{n}d"), getattr(F, f"conv_transpose{n}d")
    for kind in ({"padding": huge}, {"dilation": huge}, {"stride": huge}, {"padding": huge, "dilation": huge}):
        for f in (conv, transposed):
            with pytest.raises(RuntimeError, match="integer out of range"):
                f(x, w, **kind)
    with pytest.raises(RuntimeError):
        transposed(x, w, output_padding=huge)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_transposed_convolutions_of_nothing_to_nothing(n):
    f, more = getattr(torch.nn.functional, f"conv_transpose{n}d"), (6,) * (n - 1)
    w = torch.ones(1, 2, *(2,) * (n - 1), 1, requires_grad=True)
    y = f(torch.zeros(0, 1, *more, 2), w, torch.zeros(2), padding=1)
    assert y.shape == (0, 2, *(5,) * (n - 1), 0)
    y.sum().backward()
    assert w.grad.abs().sum().item() == 0
    with pytest.raises(RuntimeError, match="Output size is too small"):
        f(torch.zeros(1, 1, *more, 2), w, padding=1)


def test_losses_and_integrals_of_integers():
    one = torch.tensor([1, 0])
    for kind, want in (("none", [0.0, 2.0]), ("mean", 1.0), ("sum", 2.0)):
        loss = torch.nn.functional.margin_ranking_loss(one, one.flip(0), torch.tensor([1, 1]), 1, reduction=kind)
        assert loss.dtype == torch.float32 and loss.tolist() == want
    for dtype in (torch.int64, torch.uint8, torch.float16, torch.bool):
        none = torch.trapezoid(torch.zeros(0, 3, dtype=dtype), dim=0)
        assert none.dtype == dtype and none.tolist() == [0, 0, 0]
    assert torch.trapezoid(torch.tensor([1, 2, 4])).item() == 4.5


def test_steps_longer_than_the_input_end_soon():
    x, w = torch.ones(1, 1, 1, 1), torch.ones(1, 1, 2, 1)
    y = torch.nn.functional.conv_transpose2d(x, w, stride=2**31 - 1)
    assert y.shape == (1, 1, 2, 1)
    x = torch.ones(1, 1, 5, requires_grad=True)
    torch.nn.functional.conv1d(x, torch.ones(1, 1, 2), stride=7, padding=2).sum().backward()
    assert x.grad.tolist() == [[[0.0, 0.0, 0.0, 0.0, 0.0]]]
    x = torch.ones(1, 1, 6, requires_grad=True)
    torch.nn.functional.conv1d(x, torch.ones(1, 1, 2), stride=6, padding=1).sum().backward()
    assert x.grad.tolist() == [[[1.0, 0.0, 0.0, 0.0, 0.0, 1.0]]]
    # One step longer than the input.
    x = torch.ones(1, 1, 5, requires_grad=True)
    torch.nn.functional.conv1d(x, torch.ones(1, 1, 2), stride=6, padding=1).sum().backward()
    assert x.grad.tolist() == [[[1.0, 0.0, 0.0, 0.0, 0.0]]]


def test_leaf_that_is_a_view_is_not_written_through_its_views():
    v = torch.ones(2, 3).t().requires_grad_()
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
        v[0] = 1.0


def test_trunc_normal_of_a_hopeless_range_ends_at_once():
    with pytest.raises(ValueError, match="almost no draw"):
        torch.nn.init.trunc_normal_(torch.empty(17), -0.5, 0.5, 3, 1e300)


def test_what_is_kept_of_a_tensor_follows_its_changes():
    a = torch.zeros(2, 3)
    other = wrap(alias(a))
    facts = lambda t: (t.shape, t.dim(), t.numel(), t.dtype, t.device, t.stride(), t.is_contiguous(), len(t))  # noqa: E731
    assert facts(a) == facts(other) == ((2, 3), 2, 6, torch.float32, a.device, (3, 1), True, 2)
    a.t_()
    assert facts(a) == facts(other) == ((3, 2), 2, 6, torch.float32, a.device, (1, 3), False, 3)
    other.unsqueeze_(0)
    assert facts(a) == facts(other) == ((1, 3, 2), 3, 6, torch.float32, a.device, (3, 1, 3), False, 1)
    a.data = torch.ones(4, dtype=torch.float64, device=a.device)
    assert facts(a) == facts(other) == ((4,), 1, 4, torch.float64, a.device, (1,), True, 4)
    a.resize_(2, 5)
    assert a.shape == other.shape == (2, 5) and a.size(-1) == other.size(1) == 5 and a.numel() == 10


def test_what_is_kept_of_swapped_tensors():
    a, b = torch.zeros(2), torch.ones(3, 4, dtype=torch.int64)
    assert (a.shape, b.shape, a.dtype, b.dtype) == ((2,), (3, 4), torch.float32, torch.int64)
    torch.utils.swap_tensors(a, b)
    assert (a.shape, b.shape, a.dtype, b.dtype) == ((3, 4), (2,), torch.int64, torch.float32)


def test_what_is_kept_cannot_be_written():
    a = torch.zeros(2)
    for name in ("shape", "dtype", "device", "ndim"):
        with pytest.raises(AttributeError):
            setattr(a, name, None)


def test_threads_read_sizes_while_one_changes_them():
    a = torch.zeros(2, 3)
    done = threading.Event()
    wrong = []

    def read():
        while not done.is_set():
            s = a.shape
            if s not in ((2, 3), (3, 2)):
                wrong.append(s)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for r in readers:
        r.start()
    for i in range(2000):
        a.t_()
        if a.shape != ((3, 2) if i % 2 == 0 else (2, 3)):
            wrong.append((i, a.shape))
    done.set()
    for r in readers:
        r.join()
    assert not wrong
