"""Arguments at the edge: integers of more than 64 bits, text with a NUL inside, dtypes of out=."""

import pytest

import taper as torch
import taper.nn.functional as F
from taper import safetensors

BIG = [2**63, 2**64, 2**64 + 1, -(2**63) - 1, 10**30, 1 << 5000]


@pytest.mark.parametrize("n", BIG, ids=["63", "64", "65", "negative", "30digits", "huge"])
def test_integers_outside_64_bits(n):
    x, whole = torch.ones(2, 3), torch.ones(2, dtype=torch.int64)
    calls = {
        "sizes": [
            lambda: torch.zeros(n),
            lambda: torch.zeros((2, n)),
            lambda: torch.full((n,), 1),
            lambda: torch.eye(n),
            lambda: torch.linspace(0, 1, n),
            lambda: torch.randperm(n),
            lambda: torch.randint(0, n, (2,)),
            lambda: x.view(n),
            lambda: x.expand(n, 2, 3),
            lambda: x.repeat(n, 1),
            lambda: x.new_zeros(n),
        ],
        "dims": [
            lambda: x.sum(n),
            lambda: x.sum(dim=(0, n)),
            lambda: x.softmax(n),
            lambda: x.transpose(0, n),
            lambda: x.size(n),
            lambda: x.stride(n),
            lambda: x.unsqueeze(n),
            lambda: torch.cat([x, x], n),
            lambda: x.select(n, 0),
            lambda: x.select(0, n),
            lambda: x.narrow(0, n, 1),
            lambda: x.topk(n),
            lambda: x.cumsum(n),
            lambda: x.argmax(n),
            lambda: x.flatten(0, n),
            lambda: torch.tril(x, n),
            lambda: x.as_strided((1,), (1,), n),
        ],
        "numbers": [
            lambda: x + n,
            lambda: n - x,
            lambda: whole == n,
            lambda: whole.fill_(n),
            lambda: torch.full((1,), n),
            lambda: x.clamp(0, n),
            lambda: torch.arange(n),
            lambda: x.__setitem__(0, n),
        ],
        "networks": [
            lambda: F.pad(x, (n, 0)),
            lambda: F.one_hot(whole, n),
            lambda: F.avg_pool1d(x, n),
            lambda: F.max_pool1d(x, 2, stride=n),
            lambda: F.conv1d(x.view(1, 2, 3), torch.ones(1, 2, 1), groups=n),
            lambda: F.layer_norm(x, (n,)),
            lambda: F.cross_entropy(x, whole, ignore_index=n),
        ],
    }
    for name, list_ in calls.items():
        for i, call in enumerate(list_):
            with pytest.raises((OverflowError, ValueError)):
                call()
                pytest.fail(f"{name} {i} is accepted")
    with pytest.raises((OverflowError, IndexError, ValueError)):
        x[n]
    assert x[:n].shape == ((2, 3) if n > 0 else (0, 3)) and whole.tolist() == [1, 1]
    if n not in (2**63,):
        with pytest.raises(OverflowError):
            torch.manual_seed(n)


def test_seeds():
    for seed in (2**64 - 1, 2**63, -1, -(2**63)):
        assert torch.manual_seed(seed).initial_seed() == seed % 2**64


def test_integer_arguments_of_other_types():
    import numpy as np

    x = torch.ones(2, 3)
    assert x.sum(np.int64(1)).shape == (2,) and x.size(np.int32(1)) == 3 and x.softmax(True).shape == (2, 3)
    assert x.unsqueeze(torch.tensor(1)).shape == (2, 1, 3)
    for bad in (1.0, "1", None, x, np.ones(2), [1, 2], float("nan")):
        with pytest.raises(TypeError):
            x.unsqueeze(bad)


def test_text_with_a_nul(tmp_path):
    path = str(tmp_path / "a\0b")
    for call in (
        lambda: torch.save(1, path),
        lambda: torch.save(1, path.encode()),
        lambda: torch.load(path),
        lambda: safetensors.save_file({}, path),
        lambda: safetensors.load_file(path),
        lambda: safetensors.save_file({"a\0b": torch.ones(1)}, tmp_path / "x"),
        lambda: torch.div(torch.ones(1), 2, rounding_mode="floor\0"),
        lambda: torch.einsum("i->i\0", torch.ones(1)),
        lambda: F.gelu(torch.ones(1), approximate="tanh\0"),
        lambda: torch.set_float32_matmul_precision("high\0est"),
        lambda: torch.set_printoptions(profile="full\0"),
    ):
        with pytest.raises(ValueError):
            call()
    for call in (lambda: torch.device("cpu\0"), lambda: torch.ones(1).to("cpu\0x"), lambda: torch.device("opencl:0\0")):
        with pytest.raises(RuntimeError):
            call()
    assert list(tmp_path.iterdir()) == []


def test_names_with_a_nul_are_kept_whole(tmp_path):
    state = {"a\0b": torch.ones(1), "a": torch.zeros(1)}
    torch.save(state, tmp_path / "x.pt")
    assert list(torch.load(tmp_path / "x.pt")) == ["a\0b", "a"]


def test_out(device):
    def t(*v, **k):
        return torch.tensor(v, device=device, **k)

    whole = t(0, dtype=torch.int32)
    for call in (
        lambda: torch.add(t(1.5), t(2), out=whole),
        lambda: torch.mul(t(1.5), 2, out=whole),
        lambda: torch.div(t(3), t(2), out=whole),
        lambda: torch.sqrt(t(2.0), out=whole),
    ):
        with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Int"):
            call()
    with pytest.raises(RuntimeError, match="type Long can't be cast to the desired output type Bool"):
        torch.add(t(1), t(2), out=t(True))
    with pytest.raises(RuntimeError, match="automatic differentiation"):
        torch.add(t(1.0, requires_grad=True), 1, out=t(0.0))
    assert whole.tolist() == [0]
    wide = t(0.0, dtype=torch.float64)
    assert torch.add(t(1), t(2), out=wide) is wide and wide.tolist() == [3.0]
    empty = t(dtype=torch.float32)
    torch.add(t(1.0, 2.0), 1, out=empty)
    assert empty.tolist() == [2, 3]
    with pytest.warns(UserWarning, match="was resized"):
        torch.add(t(1.0, 2.0), 1, out=t(0.0))
    with pytest.raises(TypeError, match="must be Tensor"):
        torch.add(t(1.0), 1, out=[0.0])


def test_at_most_64_dimensions():
    assert torch.zeros([1] * 64).ndim == 64
    x = torch.zeros([1] * 64)
    for make in (
        lambda: torch.zeros([1] * 65),
        lambda: torch.zeros(1).expand([1] * 65),
        lambda: torch.zeros(1).view([1] * 20_000),
        lambda: torch.zeros(1).reshape([1] * 65),
        lambda: x.unsqueeze(0),
        lambda: x[(None,) * 2],
        lambda: torch.zeros(1).repeat([1] * 65),
        lambda: torch.zeros(1).as_strided([1] * 65, [1] * 65),
        lambda: torch.stack([x, x]),
        lambda: x.unfold(0, 1, 1),
    ):
        with pytest.raises(RuntimeError, match="at most 64 dimensions"):
            make()
    assert repr(x).startswith("tensor(" + "[" * 64 + "0.")


def test_arguments_that_ask_for_endless_work():
    x = torch.rand(1, 4, 6)
    with pytest.raises((RuntimeError, MemoryError, OverflowError)):
        F.adaptive_max_pool1d(x, 2**45)
    with pytest.raises((RuntimeError, MemoryError, OverflowError)):
        F.interpolate(x, scale_factor=1e30)
    far = F.local_response_norm(x, 2**31)
    assert far.shape == x.shape
    near = F.local_response_norm(x, 7)
    wide = (x * x).sum(1, keepdim=True).expand_as(x) / 7
    assert torch.allclose(near, x / (wide * 1e-4 + 1).pow(0.75))
    with pytest.raises(ValueError, match="divisible by groups"):
        torch.nn.init.dirac_(torch.zeros(4, 2, 3), groups=2**62)
    assert torch.nn.init.dirac_(torch.zeros(0, 2, 3), groups=2**62).shape == (0, 2, 3)
    for mode in ("constant", "replicate"):
        with pytest.raises((RuntimeError, MemoryError)):
            F.pad(x, (2**63 - 1, 1), mode=mode)


def test_0_dim_tensors_where_dimensions_are_named():
    s = torch.tensor(2.0)
    assert s.movedim(0, 0).shape == ()
    zero = torch.tensor(0)
    assert torch.ones(3).scatter_reduce(0, zero, s, "sum").tolist() == [3.0, 1.0, 1.0]
    assert torch.ones(3).scatter_reduce(0, zero, s, "amax").tolist() == [2.0, 1.0, 1.0]
    assert s.scatter_reduce(0, zero, s, "prod").item() == 4.0
    assert torch.nn.init.dirac_(torch.zeros(4, 2, 0)).numel() == 0
    with pytest.raises(RuntimeError):
        torch.multinomial(torch.zeros(3, 0), 4, replacement=True)


def test_every_generated_function_looks_at_its_integers():
    """Whatever else is wrong with a call: the integer is seen before C is called."""
    import pathlib
    import re

    from taper import _ops

    source = "".join(f.read_text() for f in pathlib.Path(_ops.__file__).parent.glob("*_gen.py"))
    x, dummies = torch.ones(2, 2), {}
    dummies.update(T=x, t=x, L=[x], l=[x], S=1, s=1, I=1, i=1, F=1.0, f=1.0, B=True, N=(1,), n=(1,))
    dummies.update(D=torch.float32, d=torch.float32, v=None, Z="mean", z=None, G=None)
    checked = 0
    for name, spec in re.findall(r'repaired\(x_, "(\w+)", "([^"]*)"', source):
        items = [item.split(":") for item in spec.split()]
        if any(letter not in dummies and letter not in "?*" for letter, _ in items):
            continue
        for letter, argument in items:
            if letter not in "IiNn" or any(k == "*" for k, _ in items):
                continue
            arguments = {a: dummies[k].clone() if k in "Tt" else dummies[k] for k, a in items if k != "?"}
            for n in (2**64 + 1, -(2**63) - 1):
                arguments[argument] = n if letter in "Ii" else (n,)
                with pytest.raises((OverflowError, TypeError), match="64 bits|invalid combination"):
                    getattr(_ops, name)(**arguments)
                    pytest.fail(f"{name}({argument}={n}) is accepted")
                checked += 1
    assert checked > 200


def test_integers_of_handwritten_functions():
    x = torch.ones(5)
    for call in (
        lambda: x.resize_(2**64),
        lambda: torch.Tensor(2**64),
        lambda: torch.FloatTensor(2**64, 1),
        lambda: x.new(2**64),
        lambda: torch.tensor([2**64]),
        lambda: torch.arange(0, 2**64, 2**62),
        lambda: torch.std(x, 2**64),
        lambda: torch.norm(x, dim=2**64),
        lambda: x.split(2**64),
        lambda: x.split([2**64, 1]),
        lambda: x.scatter(2**64, torch.tensor([0]), 1.0),
        lambda: torch.randint(2**64, (2,)),
        lambda: torch.tensor_split(x, 2**64),
        lambda: torch.frombuffer(bytearray(8), dtype=torch.int8, count=2**64),
        lambda: torch.cuda.set_device(2**64),
        lambda: torch.device("cpu", 2**64),
        lambda: F.interpolate(x.view(1, 1, 5), size=2**64),
        lambda: torch.rot90(torch.ones(2, 2), 1, (0, 2**64)),
        lambda: x.unfold(0, 2**64, 1),
        lambda: torch.nn.Linear(2**64, 1),
        lambda: torch.nn.Embedding(2**64, 1),
    ):
        with pytest.raises((OverflowError, ValueError, RuntimeError, IndexError)) as error:
            call()
        assert not isinstance(error.value, RecursionError)
    assert x[:: 2**64].tolist() == [1] and x[-(2**64) : 2**64].shape == (5,)


def test_results_too_large_to_be_listed():
    with pytest.raises(RuntimeError, match="too many"):
        torch.combinations(torch.arange(100), 50)
    assert torch.combinations(torch.arange(4), 2).shape == (6, 2)
    assert torch.combinations(torch.arange(3), 2, with_replacement=True).shape == (6, 2)
    assert torch.combinations(torch.arange(3), 9).shape == (0, 9)
    with pytest.raises(RuntimeError):
        torch.histc(torch.ones(3), 2**63 - 1)
    with pytest.raises(RuntimeError):
        torch.nn.functional.one_hot(torch.tensor([2**63 - 1], device="cpu"))
    assert torch.nn.init.sparse_(torch.empty(0, 2**40), 0.5).numel() == 0
    assert torch.eye(0, 2**63 - 1).numel() == 0
    with pytest.raises(RuntimeError):
        F.fold(torch.ones(1, 0, 4), (2**40, 1), (2**40 - 3, 1))
