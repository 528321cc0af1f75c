"""Pictures, event files and progress: read back by readers of this file's own, and by Pillow where it is installed."""

import re
import struct
import sys
import zlib

import pytest

import taper as torch
from taper import nn
from taper.utils.show import Progress, graph_dot, graph_svg, save_image, save_plot
from taper.utils.tensorboard import SummaryWriter


def pixels(path):
    """Width, height and rows of a PNG of 8 bits a channel."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, body = 8, b""
    while at < len(data):
        n, kind = struct.unpack(">I4s", data[at : at + 8])
        chunk = data[at + 8 : at + 8 + n]
        assert struct.unpack(">I", data[at + 8 + n : at + 12 + n])[0] == zlib.crc32(kind + chunk)
        if kind == b"IHDR":
            width, height, *rest = struct.unpack(">IIBBBBB", chunk)
            assert rest == [8, 2, 0, 0, 0]
        body += chunk if kind == b"IDAT" else b""
        at += 12 + n
    raw, stride = zlib.decompress(body), 3 * width
    assert kind == b"IEND" and len(raw) == height * (stride + 1)
    rows, above = [], bytes(stride)
    for y in range(height):
        kind, row = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1 : (y + 1) * (stride + 1)])
        for i in range(stride):
            a, c = (row[i - 3], above[i - 3]) if i >= 3 else (0, 0)
            b = above[i]
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            row[i] = (row[i] + [0, a, b, (a + b) // 2, paeth][kind]) & 255
        above = bytes(row)
        rows.append([tuple(above[i : i + 3]) for i in range(0, stride, 3)])
    return width, height, rows


def test_images(tmp_path):
    save_image(torch.tensor([[0, 0.5], [1, float("nan")]]), tmp_path / "grey.png")
    assert pixels(tmp_path / "grey.png") == (2, 2, [[(0,) * 3, (128,) * 3], [(255,) * 3, (0,) * 3]])
    colour = torch.arange(24, dtype=torch.uint8).reshape(3, 2, 4)
    save_image(colour, tmp_path / "colour.png")
    assert pixels(tmp_path / "colour.png")[2][1] == [(4, 12, 20), (5, 13, 21), (6, 14, 22), (7, 15, 23)]
    batch = torch.rand(5, 1, 40, 30)
    save_image(batch, tmp_path / "grid.png", nrow=3, padding=1)
    width, height, rows = pixels(tmp_path / "grid.png")
    assert (width, height) == (3 * 31 + 1, 2 * 41 + 1)
    assert rows[0] == [(0, 0, 0)] * width and rows[50][70] == (0, 0, 0)  # the border, and where no sixth image is
    assert abs(rows[1 + 41 + 7][1 + 31 + 4][0] / 255 - batch[4, 0, 7, 4].item()) < 0.003
    save_image(torch.tensor([[-3.0, 1.0]]), tmp_path / "wide.png", normalize=True)
    assert pixels(tmp_path / "wide.png")[2] == [[(0,) * 3, (255,) * 3]]
    for wrong, text in [
        (torch.rand(2, 4, 4), "1 or 3 channels"),
        (torch.rand(4), r"\[H, W\]"),
        (torch.rand(0, 1, 4, 4), "no image"),
        (torch.ones(2, 2, dtype=torch.int64), "uint8, bool or of a float dtype, got int64"),
    ]:
        with pytest.raises((ValueError, TypeError, RuntimeError), match=text):
            save_image(wrong, tmp_path / "no.png")
    with pytest.raises(OSError, match="folder"):
        save_image(colour, tmp_path / "none/x.png")
    assert not (tmp_path / "no.png").exists()


def test_plots(tmp_path):
    losses = [1 / (1 + i) for i in range(50)]
    losses[7] = float("nan")
    save_plot(
        {"train": losses, "test <b>": torch.tensor([[0.0, 0.5], [49.0, 0.1]])}, tmp_path / "loss.png", "Loss", 400, 300
    )
    width, height, rows = pixels(tmp_path / "loss.png")
    assert (width, height) == (400, 300)
    colours = {p for row in rows for p in row}
    assert (0, 114, 178) in colours and (213, 94, 0) in colours and rows[0][0] == (255, 255, 255)
    save_plot({"train": losses, "test <b>": [3.0]}, tmp_path / "loss.svg", "Loss & more")
    text = (tmp_path / "loss.svg").read_text()
    assert "test &lt;b&gt;" in text and "Loss &amp; more" in text and text.count("M") >= 4
    import xml.etree.ElementTree as Xml

    assert Xml.fromstring(text).tag.endswith("svg")
    save_plot([2.0, 2.0], tmp_path / "flat.png")
    save_plot([float("inf")], tmp_path / "nothing.png")
    for curves, text in [({}, "nothing to plot"), (torch.ones(2, 3), r"\[2, 3\]"), ([-1e308, 1e308], "too far")]:
        with pytest.raises(ValueError, match=text):
            save_plot(curves, tmp_path / "no.png")
    with pytest.raises(ValueError, match="200 to 8192"):
        save_plot([1.0, 2.0], tmp_path / "no.png", width=10)


def test_graphs():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    out = net(torch.ones(4, 2)).sum()
    text = graph_dot(out, net)
    names = dict(re.findall(r"(n\d+) \[label=\"([^\\]*)", text))
    assert {"0/weight", "0/bias", "2/weight", "2/bias", "Relu", "Sum"} <= set(names.values())
    edges = {(names[a], names[b]) for a, b in re.findall(r"(n\d+) -> (n\d+)", text)}
    assert any(a == "2/bias" for a, b in edges) and any(b == "Sum" for a, b in edges)
    import xml.etree.ElementTree as Xml

    assert Xml.fromstring(graph_svg(out)).tag.endswith("svg") and "input" in graph_svg(out)
    with pytest.raises(ValueError, match="no history"):
        graph_dot(torch.ones(2))


def castagnoli(data):
    c = 0xFFFFFFFF
    for b in data:
        c ^= b
        for _ in range(8):
            c = c >> 1 ^ (0x82F63B78 if c & 1 else 0)
    c ^= 0xFFFFFFFF
    return (((c >> 15) | (c << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def fields(data):
    """A message's fields: lists of numbers or bytes by field number."""
    found, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            b = data[at]
            at += 1
            value |= (b & 127) << shift
            shift += 7
            if b < 128:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            value = varint()
        else:
            n = {1: 8, 5: 4}.get(key & 7) or varint()
            value = data[at : at + n]
            at += n
            if key & 7 != 2:
                value = struct.unpack("<d" if n == 8 else "<f", value)[0]
        found.setdefault(key >> 3, []).append(value)
    return found


def events(path):
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        length = data[at : at + 8]
        n, check = struct.unpack("<QI", data[at : at + 12])
        assert check == castagnoli(length)
        record = data[at + 12 : at + 12 + n]
        assert struct.unpack("<I", data[at + 12 + n : at + 16 + n])[0] == castagnoli(record)
        found.append(fields(record))
        at += 16 + n
    return found


def value(event):
    (summary,) = event[5]
    (v,) = fields(summary)[1]
    return fields(v)


def test_event_files(tmp_path):
    net = nn.Linear(2, 1)
    with SummaryWriter(tmp_path / "run", filename_suffix=".x") as w:
        w.add_scalar("loss/train", 0.5, 7, walltime=1e9)
        w.add_scalar("big", torch.tensor(2.0), -1)
        w.add_histogram("w", torch.tensor([-1.0, 0.0, 0.5, 0.5, float("nan")]), 3)
        w.add_image("picture", torch.zeros(2, 5, 3, dtype=torch.uint8), 1, dataformats="HWC")
        w.add_text("note", "**bold**", 2)
        w.add_graph(net, torch.ones(1, 2))
        w.add_scalars("both", {"a": 1, "b": 2}, 4)
        w.flush()
        with pytest.raises(ValueError, match="tag"):
            w.add_scalar("", 1.0)
        with pytest.raises(ValueError, match="finite"):
            w.add_histogram("none", torch.tensor([]))
        with pytest.raises(ValueError, match="different"):
            w.add_image("picture", torch.zeros(2, 2))
    (path,) = (tmp_path / "run").glob("events.out.tfevents.*.x")
    first, scalar, big, histogram, image, text, graph = events(path)
    assert first[3] == [b"brain.Event:2"]
    assert scalar[1] == [1e9] and scalar[2] == [7]
    assert value(scalar) == {1: [b"loss/train"], 2: [0.5]}
    assert big[2] == [2**64 - 1] and value(big)[2] == [2.0]
    h = fields(value(histogram)[5][0])
    assert (h[1], h[2], h[3], h[4], h[5]) == ([-1.0], [0.5], [4.0], [0.0], [1.5])
    ends = struct.unpack(f"<{len(h[6][0]) // 8}d", h[6][0])
    counts = struct.unpack(f"<{len(h[7][0]) // 8}d", h[7][0])
    assert len(ends) == len(counts) and sum(counts) == 4 and counts[-1] == 2 and ends[-2] <= 0.5 < ends[-1]
    i = fields(value(image)[4][0])
    assert (i[1], i[2], i[3]) == ([2], [5], [3]) and i[4][0][:4] == b"\x89PNG"
    t = value(text)
    assert t[1] == [b"note/text_summary"] and fields(fields(t[9][0])[1][0])[1] == [b"text"]
    assert fields(t[8][0])[8] == [b"**bold**"]
    nodes = [fields(n) for n in fields(graph[4][0])[1]]
    names = [n[1][0].decode() for n in nodes]
    assert any(n.startswith("weight") for n in names) and any(n.startswith("Addmm") for n in names)
    assert all(i.decode() in names for n in nodes for i in n.get(3, []))
    (a,) = (tmp_path / "run/both_a").iterdir()
    assert value(events(a)[1]) == {1: [b"both"], 2: [1.0]}


@pytest.mark.skipif(sys.platform != "linux", reason="standard error is looked at through its descriptor")
def test_progress(capfd):
    for _ in Progress(range(3), "epoch 1"):
        pass
    with Progress(total=10) as p:
        p.update(5, "loss 0.5\nx")
    Progress(total=5).close()
    err = capfd.readouterr().err.splitlines()
    assert len(err) == 2 and re.match(r"epoch 1 \[#{20}\] 100% 3/3 ", err[0])
    assert re.match(r"\[#{10}\.{10}\]  50% 5/10 .*, loss 0.5 x$", err[1])


def test_pillow_reads_them(tmp_path):
    image = pytest.importorskip("PIL.Image")
    picture = (torch.rand(3, 33, 47) * 255).to(torch.uint8)
    save_image(picture, tmp_path / "x.png")
    assert list(image.open(tmp_path / "x.png").tobytes()) == picture.permute(1, 2, 0).flatten().tolist()
