"""Data sets, tables and images from files; images against what Pillow made (tests/fixtures/make_images.py)."""

import gzip
import json
import math
import struct
import zlib
from pathlib import Path

import pytest
from conftest import DEVICE

import taper as torch
from taper.utils.read import decode_image, image_folder, read_cifar, read_csv, read_idx, read_image, resize_image


def idx(code, letter, sizes, values):
    head = struct.pack(f">BBBB{len(sizes)}I", 0, 0, code, len(sizes), *sizes)
    return head + struct.pack(f">{len(values)}{letter}", *values)


@pytest.mark.parametrize(
    "code, letter, dtype",
    [
        (8, "B", torch.uint8),
        (9, "b", torch.int8),
        (11, "h", torch.int16),
        (12, "i", torch.int32),
        (13, "f", torch.float32),
        (14, "d", torch.float64),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_idx_of_every_dtype_plain_and_compressed(tmp_path, code, letter, dtype, packed):
    values = [0, 1, 100, 7, 5, 3] if letter in "Bb" else [0, -1, 1000, -7, 5, 3]
    data = idx(code, letter, (2, 1, 3), values)
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(data) if packed else data)
    t = read_idx(path)
    assert t.dtype == dtype and t.shape == (2, 1, 3) and t.device.type == "cpu"
    assert t.flatten().tolist() == values


def test_idx_that_is_damaged(tmp_path):
    good = idx(8, "B", (2, 3), range(6))
    path = tmp_path / "x"
    for data, what in [
        (b"", "does not begin with two zeros"),
        (b"\0\0\x08", "does not begin with two zeros"),
        (b"\1" + good[1:], "does not begin with two zeros"),
        (good[:2] + b"\x0a" + good[3:], "its dtype has code 10"),
        (good[:7], "ends in its header"),
        (good[:-1], r"sizes \[2, 3\] do not take the 5 bytes"),
        (good + b"\0", r"sizes \[2, 3\] do not take the 7 bytes"),
        (good[:4] + b"\xff" * 8, "do not take the 0 bytes"),
        (good[:3] + b"\xff" + bytes(2000), "255 dimensions"),
        (gzip.compress(good)[:-3], "gzip"),
        (gzip.compress(good)[:-4] + b"\xff\xff\xff\xff", "gzip"),
        (gzip.compress(good)[:-8] + bytes(4) + gzip.compress(good)[-4:], "gzip"),
    ]:
        path.write_bytes(data)
        with pytest.raises(OSError, match=what):
            read_idx(path)
    with pytest.raises(OSError):
        read_idx(tmp_path / "missing")
    with pytest.raises(OSError, match="directory"):
        read_idx(tmp_path)


@pytest.mark.parametrize("classes, labels", [(10, [[3], [9], [0]]), (100, [[19, 99], [0, 1], [5, 50]])])
def test_cifar(tmp_path, classes, labels):
    pixels = [bytes((i * 7 + j) % 256 for j in range(3072)) for i in range(3)]
    data = b"".join(bytes(marks) + image for marks, image in zip(labels, pixels))
    path = tmp_path / "batch.bin"
    for content in (data, gzip.compress(data)):
        path.write_bytes(content)
        images, marks = read_cifar(path, classes)
        assert images.shape == (3, 3, 32, 32) and images.dtype == torch.uint8
        assert bytes(images.flatten().tolist()) == b"".join(pixels)
        assert marks.dtype == torch.int64
        assert marks.tolist() == (labels if classes == 100 else [m for (m,) in labels])
    path.write_bytes(data[:-1])
    with pytest.raises(OSError, match="no multiple of the 307"):
        read_cifar(path, classes)
    wrong = 100 if classes == 100 else 10
    path.write_bytes(data[: len(labels[0]) - 1] + bytes([wrong]) + data[len(labels[0]) :])
    with pytest.raises(OSError, match=f"image 0 has label {wrong}"):
        read_cifar(path, classes)
    with pytest.raises(ValueError, match="classes must be 10 or 100, got 11"):
        read_cifar(path, 11)
    path.write_bytes(b"")
    assert read_cifar(path, classes)[0].shape == (0, 3, 32, 32)


def table(tmp_path, text, **kw):
    path = tmp_path / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    values, names = read_csv(path, **kw)
    return [["nan" if math.isnan(v) else v for v in row] for row in values.tolist()], names


def test_csv_with_and_without_names(tmp_path):
    assert table(tmp_path, "1,2\n3,4.5\n") == ([[1, 2], [3, 4.5]], [])
    assert table(tmp_path, "a,b\n1,2\n\n3,-4e2") == ([[1, 2], [3, -400]], ["a", "b"])
    assert table(tmp_path, '\ufeffa , "b, ""c"""\r\n1,"2"\r\n') == ([[1, 2]], ["a", 'b, "c"'])
    assert table(tmp_path, "1,2\n3,4\n", header=True) == ([[3, 4]], ["1", "2"])
    assert table(tmp_path, '"a\nb",\n1,2\n') == ([[1, 2]], ["a b", ""])
    assert table(tmp_path, "a,b\n") == ([], ["a", "b"])
    assert table(tmp_path, "") == ([], [])
    assert table(tmp_path, gzip.compress(b"x\n5\n")) == ([[5]], ["x"])
    assert read_csv(tmp_path / "t.csv")[0].dtype == torch.float32
    assert read_csv(tmp_path / "t.csv", dtype=torch.float64)[0].dtype == torch.float64


def test_csv_separators_and_what_is_missing(tmp_path):
    assert table(tmp_path, "1;2\n3;4", separator=";") == ([[1, 2], [3, 4]], [])
    assert table(tmp_path, "1\t\t3\n", separator="\t") == ([[1, "nan", 3]], [])
    assert table(tmp_path, "  1   2\t3  \n4 5 6 \n", separator=" ") == ([[1, 2, 3], [4, 5, 6]], [])
    assert table(tmp_path, "1,,NA\nnan,null,\n", missing=-1) == ([[1, -1, -1], [-1, -1, -1]], [])
    assert table(tmp_path, "?,None,N/A,inf\n") == ([["nan", "nan", "nan", math.inf]], [])


def test_csv_errors_name_the_place(tmp_path):
    for text, what in [
        ("1,2\n3\n", "line 2 has 1 fields where the lines before have 2"),
        ("a,b\n1,2,3\n", "line 2 has 3 fields where the lines before have 2"),
        ("a,b\n1,2\n\n3,x7\n", 'field 2 of line 4 is no number: "x7"'),
        ('1,"2\n3', "a quote that begins in line 1 does not end"),
        ('1,"2"3\n', "something follows a quoted field in line 1"),
        (b"\xff,b\n1,2\n", "name 1 of its header is no UTF-8"),
        ("1\n" + "y" * 100, '"' + "y" * 40 + r'\.\."'),
    ]:
        with pytest.raises(OSError, match=what):
            table(tmp_path, text)
    with pytest.raises(OSError, match="field 1 of line 1"):
        table(tmp_path, "a,b\n", header=False)
    for wrong in ("", ",,", "5", ".", "é"):
        with pytest.raises(ValueError, match="separator must be one character"):
            table(tmp_path, "1,2", separator=wrong)
    with pytest.raises(TypeError, match="floating-point"):
        table(tmp_path, "1,2", dtype=torch.int64)


# --- images -----------------------------------------------------------------------------------------------------------

IMAGES = Path(__file__).parents[3] / "tests/fixtures/images"
FILES = json.loads((IMAGES / "files.json").read_text())


def pixels(name, channels, height, width):
    raw = zlib.decompress((IMAGES / (name + ".raw")).read_bytes())
    return torch.tensor(list(raw), dtype=torch.uint8, device="cpu").reshape(height, width, channels).permute(2, 0, 1)


@pytest.mark.parametrize("name, channels, height, width", FILES)
def test_images_are_decoded_as_pillow_does(name, channels, height, width):
    want = pixels(name, channels, height, width)
    for got in (read_image(IMAGES / name), decode_image((IMAGES / name).read_bytes())):
        assert got.dtype == torch.uint8 and got.shape == want.shape
        assert (got.int() - want.int()).abs().max().item() <= (1 if name.endswith(".jpg") else 0)


def test_channels_of_images():
    rgb, rgba, grey = (read_image(IMAGES / n) for n in ("rgb.png", "rgba.png", "grey.png"))
    assert torch.equal(read_image(IMAGES / "rgb.png", 3), rgb)
    assert torch.equal(read_image(IMAGES / "rgba.png", 3), rgba[:3])
    assert torch.equal(read_image(IMAGES / "grey.png", 3), grey.expand(3, -1, -1))
    with_alpha = read_image(IMAGES / "rgb.png", 4)
    assert torch.equal(with_alpha[:3], rgb) and with_alpha[3].min().item() == 255
    r, g, b = rgb.int()
    assert torch.equal(read_image(IMAGES / "rgb.png", 1)[0].int(), (19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16)
    assert torch.equal(read_image(IMAGES / "rgba.png", 2)[1], rgba[3])
    with pytest.raises(ValueError, match="channels must be 0"):
        read_image(IMAGES / "rgb.png", 5)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_what_images_claim_is_compared_with_their_length(tmp_path):
    sizes = {"wide": (2**31 - 1, 1), "large": (100_000, 100_000), "none": (0, 5), "most": (13_000, 13_000)}
    for width, height in sizes.values():
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        png = (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(bytes(50)))
            + chunk(b"IEND", b"")
        )
        with pytest.raises(OSError, match="not a valid PNG file"):
            decode_image(png)
    jpeg = bytearray((IMAGES / "rgb0.jpg").read_bytes())
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(OSError, match="not a valid JPEG file"):
        decode_image(jpeg)
    for name in ("rgb.png", "rgb2.jpg", "rgb2p.jpg"):
        data = (IMAGES / name).read_bytes()
        for n in (3, 20, len(data) // 2):
            with pytest.raises(OSError):
                decode_image(data[:n])
    with pytest.raises(OSError, match="neither a PNG nor a JPEG"):
        decode_image(b"GIF89a")
    broken = bytearray((IMAGES / "grey.png").read_bytes())
    broken[broken.index(b"IDAT") + 10] ^= 1
    with pytest.raises(OSError, match="checksum"):
        decode_image(broken)


def test_resizing_is_pillows(tmp_path):
    for height, width, filter, h, w, want in json.loads((IMAGES / "resized.json").read_text()):
        i = torch.arange(height * width)
        x = ((i * 37 + i // 7) % 256).to(torch.uint8).reshape(height, width).to(DEVICE)
        got = resize_image(x, (h, w), filter)
        assert got.dtype == torch.uint8 and got.flatten().tolist() == want, (height, width, filter, h, w)
        # Floats are not rounded; they are within a step of what is.
        far = (
            resize_image(x.float().reshape(1, 1, height, width), (h, w), filter).cpu().clamp(0, 255) - got.cpu()
        ).abs()
        assert far.max().item() <= (30 if filter in ("bicubic", "lanczos") else 1.01)
    for wrong, error in ((("linear",), ValueError), ((1,), TypeError)):
        with pytest.raises(error):
            resize_image(torch.zeros(4, 4), (2, 2), *wrong)
    with pytest.raises(ValueError, match="sizes must be positive"):
        resize_image(torch.zeros(4, 4), (2, 0))
    with pytest.raises(TypeError, match="uint8 or floating-point, got int64"):
        resize_image(torch.zeros(4, 4, dtype=torch.int64), (2, 2))
    with pytest.raises(ValueError, match="must have rows and columns"):
        resize_image(torch.zeros(4), (2, 2))


def test_a_folder_of_images(tmp_path):
    for name in ("b/x.PNG", "b/2.jpg", "b/in/1.jpeg", "a/y.png", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "stray.png").write_bytes(b"")
    paths, labels, classes = image_folder(tmp_path)
    assert classes == ["a", "b"] and labels.tolist() == [0, 1, 1, 1]
    assert [str(Path(p).relative_to(tmp_path)) for p in paths] == ["a/y.png", "b/2.jpg", "b/x.PNG", "b/in/1.jpeg"]
    (tmp_path / "c").mkdir()
    with pytest.raises(OSError, match="it has no image"):
        image_folder(tmp_path)
    (tmp_path / "c" / "again").symlink_to(tmp_path / "c")
    with pytest.raises(OSError, match="folders deep"):
        image_folder(tmp_path)
    with pytest.raises(OSError, match="no folder inside"):
        image_folder(tmp_path / "a")
