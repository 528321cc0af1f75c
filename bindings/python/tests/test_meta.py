"""The device `meta`: shapes and dtypes without elements, as PyTorch's."""

import pytest

import taper as torch
from taper import nn

# What names no device lands on the CPU here, on purpose.
pytestmark = pytest.mark.cpu_only("meta beside the CPU")


def test_texts():
    for made, text in [
        (torch.empty(2, 3, device="meta"), "tensor(..., device='meta', size=(2, 3))"),
        (torch.empty(0, device="meta"), "tensor(..., device='meta', size=(0,))"),
        (
            torch.empty(2, 0, dtype=torch.float64, device="meta"),
            "tensor(..., device='meta', size=(2, 0), dtype=torch.float64)",
        ),
        (torch.ones(2, dtype=torch.int64, device="meta"), "tensor(..., device='meta', size=(2,), dtype=torch.int64)"),
        (
            torch.ones(2000, device="meta", requires_grad=True) * 2,
            "tensor(..., device='meta', size=(2000,), grad_fn=<MulBackward0>)",
        ),
        (
            nn.Parameter(torch.empty(2, device="meta")),
            "Parameter containing:\ntensor(..., device='meta', size=(2,), requires_grad=True)",
        ),
    ]:
        assert repr(made) == text


def test_attributes():
    x = torch.empty(10**14, device="meta:0")
    assert x.is_meta and not x.is_cpu and x.device == torch.device("meta")
    assert x.nbytes == 4 * 10**14 and x.get_device() == -1 and x.data_ptr() == 0
    assert (x + torch.ones(())).shape == x.shape
    assert torch.tensor([1.0, 2], device="meta").is_meta and torch.ones(2).to("meta").is_meta


def test_a_network_is_made_trained_and_filled_later():
    with torch.device("meta"):
        net = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, momentum=None), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5)
        )
        x = torch.randn(4, 3, 10, 10)
        y = net(x)
        loss = nn.functional.cross_entropy(y, torch.zeros(4, dtype=torch.int64))
    assert y.shape == (4, 5) and loss.shape == () and loss.is_meta
    loss.backward()
    assert all(p.grad.shape == p.shape and p.grad.is_meta for p in net.parameters())
    torch.optim.Adam(net.parameters()).step()

    with pytest.raises(NotImplementedError, match="use torch.nn.Module.to_empty"):
        net.to("cpu")
    small = nn.Linear(2, 2, device="meta")
    weights = {"weight": torch.eye(2), "bias": torch.ones(2)}
    small.load_state_dict(weights, assign=True)
    assert small(torch.ones(1, 2)).tolist() == [[2.0, 2.0]]
    other = nn.Linear(2, 2, device="meta").to_empty(device="cpu")
    other.load_state_dict(weights)
    assert other(torch.ones(1, 2)).tolist() == [[2.0, 2.0]]


def test_elements_cannot_be_read(tmp_path):
    x = torch.ones(2, device="meta")
    for error, text, f in [
        (NotImplementedError, "Cannot copy out of meta tensor; no data!", x.tolist),
        (NotImplementedError, "Cannot copy out of meta tensor; no data!", x.cpu),
        (NotImplementedError, "Cannot copy out of meta tensor; no data!", lambda: torch.ones(2).copy_(x)),
        (NotImplementedError, "no data!", x.nonzero),
        (NotImplementedError, "no data!", lambda: x[x > 0]),
        (RuntimeError, r"Tensor.item\(\) cannot be called on meta tensors", x.sum().item),
        (RuntimeError, r"Tensor.item\(\) cannot be called on meta tensors", lambda: bool(x.sum())),
        (TypeError, "can't convert meta device type tensor to numpy", x.numpy),
        (RuntimeError, "device", lambda: x + torch.ones(2)),
    ]:
        with pytest.raises(error, match=text):
            f()
    x.copy_(torch.ones(2))
    torch.save({"x": x, "y": torch.ones(1)}, tmp_path / "meta.pt")
    back = torch.load(tmp_path / "meta.pt")
    assert back["x"].is_meta and back["x"].shape == (2,) and back["y"].tolist() == [1.0]
