"""taper.utils.transforms against what torchvision gave (tests/fixtures/make_transforms.py), and batches that do not depend on workers."""

import json
from pathlib import Path

import pytest
from conftest import DEVICE

import taper as torch
import taper.utils.transforms as T
from taper.utils.data import DataLoader, Dataset

CASES = json.loads((Path(__file__).parents[3] / "tests/fixtures/transforms.json").read_text())
ERRORS = {"ValueError": ValueError, "TypeError": TypeError, "RuntimeError": RuntimeError}


def picture(kind, shape):
    x = (torch.arange(torch.Size(shape).numel()) * 37 % 251).reshape(shape)
    x = x.to(torch.uint8) if kind == "bytes" else x.to(torch.float32) / 250
    return x.to(DEVICE)


def made(c, x):
    torch.manual_seed(c["seed"])
    return eval(c["call"], {"T": T, "F": T, "x": x})


def test_values_are_torchvisions():
    cases = [c for c in CASES if "error" not in c]
    assert len(cases) > 190
    for c in cases:
        x = picture(c["kind"], c["input"])
        y = made(c, x)
        about = {k: v for k, v in c.items() if k != "values"}
        assert list(y.shape) == c["shape"] and y.dtype == x.dtype and y.device == x.device, about
        far = (y.cpu().double().flatten() - torch.tensor(c["values"], dtype=torch.float64, device="cpu")).abs()
        # A byte may be rounded the other way where sums are added in another order, or, in Pillow's resizes, the dimensions.
        assert far.max().item() <= (1 if c["kind"] == "bytes" else 2e-6), (about, far.max())
        few = 0.15 if "esize" in c["call"] else 0.02
        assert c["kind"] == "float" or (far > 0.5).sum().item() <= few * len(far), about


def test_errors_are_torchvisions():
    cases = [c for c in CASES if "error" in c]
    assert len(cases) > 15
    for c in cases:
        kind, text = c["error"]
        with pytest.raises(ERRORS[kind]) as e:
            made(c, picture(c["kind"], c["input"]))
        text = text.replace("torch.Size", "").replace("torch.", "").replace(" ([", " [").rstrip("])")
        text = text.replace("= ([", "= [").replace("edge size = [5", "edge size = 5")
        assert str(e.value).startswith(text), (c, str(e.value))


def test_to_tensor():
    x = torch.arange(24, dtype=torch.uint8).reshape(3, 2, 4).to(DEVICE)
    y = T.ToTensor()(x)
    assert y.dtype == torch.float32 and torch.equal(y, x.float() / 255)
    assert torch.equal(T.to_tensor(x.float()), x.float())
    numpy = pytest.importorskip("numpy")
    a = numpy.arange(24, dtype=numpy.uint8).reshape(2, 4, 3)
    y = T.to_tensor(a)
    assert list(y.shape) == [3, 2, 4] and y.is_contiguous()
    assert numpy.array_equal(y.numpy(), a.transpose(2, 0, 1).astype(numpy.float32) / numpy.float32(255))
    assert list(T.to_tensor(a[:, :, 0]).shape) == [1, 2, 4]
    assert T.to_tensor(a.astype(numpy.int32)).dtype == torch.int32
    with pytest.raises(ValueError, match="2/3 dimensional. Got 4"):
        T.to_tensor(a[None])
    with pytest.raises(TypeError, match="pic should be PIL Image or ndarray"):
        T.to_tensor([1, 2])


def test_gradients():
    x = torch.rand(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    for f in (
        lambda x: T.normalize(x, [0.1, 0.2, 0.3], [0.5, 2.0, 3.0]),
        lambda x: T.crop(x, -1, 2, 4, 5),
        lambda x: T.pad(x, [2, 1, 0, 3], 0, "reflect"),
        lambda x: T.adjust_saturation(x * 0.5 + 0.2, 0.5),
        lambda x: T.adjust_contrast(x * 0.5 + 0.2, 0.5),
    ):
        assert torch.autograd.gradcheck(f, (x,))


def test_what_cannot_be_is_refused():
    x = picture("float", [3, 4, 5])
    for f, kind, text in (
        (lambda: T.pad(x, [5], 0, "reflect"), RuntimeError, "Padding size should be less"),
        (lambda: T.pad(x, [6], 0, "symmetric"), RuntimeError, "Padding size should be less"),
        (lambda: T.pad(x, [2**62], 0, "edge"), (ValueError, RuntimeError, MemoryError), ""),
        (lambda: T.pad(x, [-3], 0, "edge"), RuntimeError, "leaves nothing"),
        (lambda: T.crop(x, 0, 0, -1, 2), ValueError, "cannot be"),
        (lambda: T.crop(x, 2**63 - 1, 0, 5, 2), ValueError, "no end"),
        (lambda: T.crop(x, 0, 0, 2**62, 2**62), (ValueError, RuntimeError, MemoryError), ""),
        (lambda: T.normalize(x, [1, 2], [1]), ValueError, "one for each of the 3 channels"),
        (lambda: T.RandomHorizontalFlip(1.5)(x), ValueError, "probability"),
        (lambda: T.RandomResizedCrop(4, scale=(0.5,))(x), ValueError, "two numbers"),
        (lambda: T.RandomResizedCrop(4, scale=(0.9, 0.5))(x), ValueError, "in order"),
        (lambda: T.RandomResizedCrop(4, ratio=(0.0, 0.5))(x), ValueError, "positive"),
        (lambda: T.RandomResizedCrop(2**40)(x), (ValueError, RuntimeError, MemoryError), ""),
        (lambda: T.RandomResizedCrop(0)(x), ValueError, "sizes must be positive"),
        (lambda: T.RandomCrop(0)(x), ValueError, "must have rows"),
        (lambda: T.hflip(3), TypeError, "img should be Tensor Image"),
    ):
        with pytest.raises(kind, match=text or None):
            f()


class Noisy(Dataset):
    """Each sample's draws follow from its index."""

    def __len__(self):
        return 12

    def __getitem__(self, i):
        g = torch.Generator().manual_seed(1000 + i)
        return T.Compose(
            [
                T.RandomCrop(3, padding=1, generator=g),
                T.RandomHorizontalFlip(generator=g),
                T.ColorJitter(0.5, generator=g),
            ]
        )(picture("float", [3, 4, 5]))


@pytest.mark.skipif(DEVICE != "cpu", reason="workers are processes")
def test_batches_do_not_depend_on_the_number_of_workers():
    alone, two = ([b for b in DataLoader(Noisy(), batch_size=5, num_workers=n)] for n in (0, 2))
    assert len(alone) == 3 and all(torch.equal(a, b) for a, b in zip(alone, two))
    assert not torch.equal(alone[0][0], alone[0][1])
