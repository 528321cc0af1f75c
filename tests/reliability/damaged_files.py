#!/usr/bin/env python3
"""Damages files and loads them: every one must load or raise one of the errors that `load` documents.

    damaged_files.py                          10 seconds
    damaged_files.py --files 1000000          as many files; prints counts by kind and outcome
    damaged_files.py --seed 7 --only 1234     case 1234 of seed 7 again, in this process

Case i of a seed is always the same file. Cases run in a child process, which may not grow without limit: where it dies
or stands still, the parent knows at which case, says so, keeps the file under target/damaged and goes on behind it.
"""

import argparse
import gzip
import io
import json
import mmap
import os
import pickle
import random
import resource
import struct
import sys
import time
import zipfile
import zlib
from collections import Counter, OrderedDict

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
STUCK = 20  # seconds of computing for one file, fifteen times as many by the clock
MEMORY = 1 << 30  # bytes that the child may grow by
FIXTURES = os.path.join(ROOT, "bindings", "python", "tests", "fixtures")

NUMBERS = [
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    65535,
    1 << 16,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**62,
    2**63 - 1,
    2**63,
    2**64 - 1,
]
NAMES = [
    b"builtins\nset", b"builtins\nrange", b"builtins\nbytearray", b"builtins\ncomplex", b"builtins\ndict", b"builtins\nlist",
    b"collections\nOrderedDict", b"collections\nCounter", b"collections\ndeque", b"collections\ndefaultdict",
    b"torch._utils\n_rebuild_tensor_v2", b"torch._utils\n_rebuild_parameter", b"torch._utils\n_rebuild_parameter_with_state",
    b"torch._tensor\n_rebuild_from_type_v2", b"torch\nSize", b"torch\ndevice", b"torch\nTensor", b"torch\nfloat32",
    b"torch\nFloatStorage", b"torch\nLongStorage", b"torch.nn.parameter\nParameter", b"_codecs\nencode", b"os\nsystem",
    b"torch\nstrided", b"torch.serialization\n_get_layout",
]  # fmt: skip
# Opcodes with the arguments that a random pickle gives them.
PLAIN_OPS = b"().0125abcdehijlopqrstuINUR]}NQ\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x93\x94"


def opcode(r):
    """A random opcode with its argument."""
    kind = r.randrange(12)
    if kind < 5:
        return bytes([r.choice(PLAIN_OPS)])
    if kind == 5:
        return b"c" + r.choice(NAMES) + b"\n"
    if kind == 6:
        return b"K" + bytes([r.randrange(256)])
    if kind == 7:
        return b"J" + struct.pack("<I", r.choice(NUMBERS) & 0xFFFFFFFF)
    if kind == 8:
        n = r.choice(NUMBERS) * r.choice((1, -1))
        data = n.to_bytes(17, "little", signed=True)
        return b"\x8a" + bytes([len(data)]) + data
    if kind == 9:
        text = r.choice((b"latin1", b"latin-1", b"cpu", b"0", b"storage", b"", b"\xff", b"cuda:0"))
        return b"X" + struct.pack("<I", len(text)) + text
    if kind == 10:
        return r.choice((b"q", b"h")) + bytes([r.randrange(16)])
    return r.choice((b"G" + r.randbytes(8), b"C\x03abc", b"\x96" + struct.pack("<Q", r.choice(NUMBERS)), b"P1\n"))


def edited(r, data, other):
    """A copy of the bytes with one to four changes."""
    data = bytearray(data)
    for _ in range(r.choice((1, 1, 1, 2, 4))):
        at = r.randrange(len(data) + 1)
        kind = r.randrange(9)
        if not data or kind == 0:
            data[at:at] = r.randbytes(r.randrange(1, 9))
        elif kind == 1:
            data[at % len(data)] ^= 1 << r.randrange(8)
        elif kind == 2:
            data[at % len(data)] = r.choice((0, 1, 127, 128, 255))
        elif kind == 3:
            del data[at:]
        elif kind == 4:
            del data[at : at + r.randrange(1, 64)]
        elif kind == 5:
            width = r.choice((2, 4, 8))
            data[at : at + width] = (r.choice(NUMBERS) & ((1 << 8 * width) - 1)).to_bytes(width, "little")
        elif kind == 6:
            begin = r.randrange(len(other) + 1)
            part = other[begin : begin + r.randrange(1, 256)]
            data[at : at + r.choice((0, len(part)))] = part
        elif kind == 7:
            data[at:at] = data[at : at + r.randrange(1, 200)]
        else:
            digits = str(r.choice(NUMBERS)).encode()
            data[at : at + r.randrange(3)] = digits
    return bytes(data)


def records(data):
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        return [(i.filename, z.read(i)) for i in z.infolist()]


def zipped(parts, method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, data in parts:
            z.writestr(name, data)
    return out.getvalue()


# --- kinds of damage: (random, seeds) -> file ---------------------------------------------------------------------------


def bytes_of_archive(r, seeds):
    """Any byte of the archive: headers, directory, records."""
    return edited(r, r.choice(seeds["pt"]), r.choice(seeds["pt"]))


def directory_of_archive(r, seeds):
    """Bytes of the central directory and of the end record."""
    data = r.choice(seeds["pt"])
    begin = data.rindex(b"PK\1\2", 0, max(data.rindex(b"PK\5\6"), 1)) if r.random() < 0.5 else data.index(b"PK\1\2")
    return data[:begin] + edited(r, data[begin:], data)


def bytes_of_pickle(r, seeds):
    """Bytes of data.pkl in an archive that is whole."""
    parts = r.choice(seeds["parts"])
    other = r.choice(seeds["parts"])
    return zipped([(n, edited(r, d, dict(other).get(n, d)) if n.endswith("data.pkl") else d) for n, d in parts])


def opcodes_in_pickle(r, seeds):
    """Random opcodes put into data.pkl, at places between opcodes."""
    import pickletools

    parts = r.choice(seeds["parts"])
    made = []
    for name, data in parts:
        if name.endswith("data.pkl"):
            places = [p for _, _, p in pickletools.genops(data)]
            for _ in range(r.choice((1, 1, 2, 3))):
                at = r.choice(places)
                more = b"".join(opcode(r) for _ in range(r.choice((1, 1, 2, 4, 8))))
                following = [p for p in places if p > at]
                data = data[:at] + more + data[at if r.random() < 0.6 or not following else following[0] :]
                places = places[: places.index(at) + 1]
        made.append((name, data))
    return zipped(made)


def random_pickle(r, seeds):
    """A pickle of random opcodes."""
    data = b"\x80\x02" + b"".join(opcode(r) for _ in range(r.randrange(1, 60))) + b"."
    return zipped([("archive/data.pkl", data), ("archive/data/0", bytes(64)), ("archive/version", b"3\n")])


def records_of_archive(r, seeds):
    """Records that are missing, exchanged, shortened, compressed or doubled."""
    parts = list(r.choice(seeds["parts"]))
    i, j = r.randrange(len(parts)), r.randrange(len(parts))
    kind = r.randrange(6)
    if kind == 0:
        del parts[i]
    elif kind == 1:
        parts[i] = (parts[i][0], parts[j][1])
    elif kind == 2:
        parts[i] = (parts[i][0], parts[i][1][: r.randrange(len(parts[i][1]) + 1)])
    elif kind == 3:
        parts[i] = (
            r.choice(("../" + parts[i][0], "/" + parts[i][0], parts[i][0] * 3, "x", "a/b/data.pkl")),
            parts[i][1],
        )
    elif kind == 4:
        parts[i] = (parts[i][0], bytes(r.choice((0, 1, 1 << 10, 1 << 20))))
    return zipped(parts, r.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))


def bytes_of_safetensors(r, seeds):
    """Any byte of a safetensors file."""
    return edited(r, r.choice(seeds["safetensors"]), r.choice(seeds["safetensors"]))


def header_of_safetensors(r, seeds):
    """The JSON header, changed as text or as a tree, in a file whose length of it is right."""
    data = r.choice(seeds["safetensors"])
    (n,) = struct.unpack("<Q", data[:8])
    header, body = data[8 : 8 + n], data[8 + n :]
    kind = r.randrange(4)
    if kind == 0:
        header = edited(r, header, header)
    elif kind == 1:
        tree = json.loads(header)
        entry = tree[r.choice(list(tree))]
        field = r.choice(("dtype", "shape", "data_offsets", "more"))
        wild = r.choice(NUMBERS) * r.choice((1, 1, -1))
        entry[field] = r.choice(
            (wild, [wild, 1], [[wild]], None, "F64", 1.5, [], [0] * 70, {"a": wild}, [r.choice(NUMBERS)] * 2)
        )
        header = json.dumps(tree).encode()
    elif kind == 2:
        depth = r.choice((10, 126, 127, 128, 200, 100_000))
        header = b'{"a":' + r.choice((b"[" * depth, b'{"a":' * depth, b"[" * depth + b"]" * depth)) + b"}"
    else:
        header = header[:-1].rstrip() + b"," + header[1:]  # every name twice
    length = len(header) if r.random() < 0.9 else r.choice(NUMBERS)
    return struct.pack("<Q", length & (2**64 - 1)) + header + body[: r.choice((len(body), len(body) // 2))]


def bytes_of_idx(r, seeds):
    """Any byte of an IDX file, plain or compressed."""
    return edited(r, r.choice(seeds["idx"]), r.choice(seeds["idx"]))


def bytes_of_cifar(r, seeds):
    """Any byte of a CIFAR file."""
    return edited(r, r.choice(seeds["cifar"]), r.choice(seeds["cifar"]))


def bytes_of_csv(r, seeds):
    """Any byte of a table."""
    return edited(r, r.choice(seeds["csv"]), r.choice(seeds["csv"]))


def bytes_of_image(r, seeds):
    """Any byte of a PNG or JPEG file."""
    return edited(r, r.choice(seeds["image"]), r.choice(seeds["image"]))


def chunks_of_image(r, seeds):
    """Bytes of a PNG's chunks, whose checksums are right again."""
    data = r.choice([d for d in seeds["image"] if d.startswith(b"\x89PNG")])
    at, out = 8, data[:8]
    while at + 12 <= len(data):
        (n,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + n]
        if kind == b"IDAT" and r.random() < 0.5:
            body = zlib.compress(edited(r, zlib.decompress(body), body))
        elif r.random() < 0.3:
            body = edited(r, body, body)
        for _ in range(r.choice((0, 1, 1, 1, 1, 1, 1, 2))):
            out += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        at += 12 + n
    return out


def bytes_of_npz(r, seeds):
    """Any byte of an NPY or NPZ file."""
    return edited(r, r.choice(seeds["npz"]), r.choice(seeds["npz"]))


def bytes_of_safetensors_in_memory(r, seeds):
    """Any byte of a safetensors file that is read from memory."""
    return edited(r, r.choice(seeds["safetensors"]), r.choice(seeds["safetensors"]))


def archive_in_the_core(r, seeds):
    """Any damage of an archive, which the core reads as C, C++ and Go do."""
    kinds = (
        bytes_of_archive,
        directory_of_archive,
        bytes_of_pickle,
        opcodes_in_pickle,
        random_pickle,
        records_of_archive,
    )
    return r.choice(kinds)(r, seeds)


def index_of_shards(r, seeds):
    """Any byte of the index of a file in parts, or of a part: the index's length, the index, the part."""
    index, part = seeds["shards"]
    if r.random() < 0.7:
        index = edited(r, index, index)
    else:
        part = edited(r, part, part)
    return struct.pack("<Q", len(index)) + index + part


def bytes_of_checkpoint(r, seeds):
    """Any byte of a checkpoint, or of its header alone."""
    data = seeds["checkpoint"]
    return edited(r, data, data) if r.random() < 0.5 else header_of_safetensors(r, {"safetensors": [data]})


def one_format_as_another(r, seeds):
    """The beginning of one file before the rest of another, of any formats."""
    one, two = (r.choice(seeds[r.choice(("pt", "safetensors", "npz", "idx", "image", "csv"))]) for _ in range(2))
    at = r.choice((1, 2, 4, 8, 16, 64, r.randrange(len(one) + 1)))
    return one[:at] + two[r.choice((0, at)) :]


KINDS = [
    bytes_of_archive, directory_of_archive, bytes_of_pickle, opcodes_in_pickle, random_pickle, records_of_archive,
    bytes_of_safetensors, header_of_safetensors, bytes_of_idx, bytes_of_cifar, bytes_of_csv, bytes_of_image, chunks_of_image,
    bytes_of_npz, bytes_of_safetensors_in_memory, archive_in_the_core, index_of_shards, bytes_of_checkpoint, one_format_as_another,
]  # fmt: skip


# --- seeds and cases ----------------------------------------------------------------------------------------------------


def make_seeds(torch, folder):
    from taper import safetensors

    torch.manual_seed(0)
    nn = torch.nn
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(4, 2)).sum().backward()
    optimizer.step()
    base = torch.arange(12.0)
    objects = [
        net.state_dict(),
        {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "loss": 0.5},
        [base, base[2:], base.view(3, 4).t(), base[:1].expand(5, 7), torch.zeros(0, 3), torch.tensor(1.5)],
        {d: torch.ones(2).to(getattr(torch, d)) for d in ("float16", "bfloat16", "float64", "int64", "uint8", "bool")},
        OrderedDict(
            [("a", (1, 2.5, None, True, "text", b"bytes", {1, 2}, Counter("aab"), bytearray(b"x"), 1j, 10**30))]
        ),
        {"p": nn.Parameter(torch.ones(2)), "s": torch.Size([1, 2]), "d": torch.device("cpu"), "t": torch.float32},
    ]
    archives = []
    for i, o in enumerate(objects):
        for protocol in (2, 4) if i in (1, 4) else (2,):
            out = io.BytesIO()
            torch.save(o, out, pickle_protocol=protocol)
            archives.append(out.getvalue())
    for name in sorted(os.listdir(FIXTURES)):
        if name.endswith(".pt"):
            with open(os.path.join(FIXTURES, name), "rb") as f:
                archives.append(f.read())
    flat = []
    for tensors in (objects[0], objects[3], {"a" * 200: torch.zeros(0)}):
        path = os.path.join(folder, "seed")
        safetensors.save_file(dict(tensors), path, {"note": "text"})
        with open(path, "rb") as f:
            flat.append(f.read())
    archives = [a for a in archives if len(a) < 100_000]
    more = {"pt": archives, "parts": [records(a) for a in archives], "safetensors": flat}
    r = random.Random(0)
    idx = b"\0\0\x08\2" + struct.pack(">II", 3, 5) + r.randbytes(15)
    wide = b"\0\0\x0d\3" + struct.pack(">III4f", 2, 1, 2, 1, 2, 3, 4)
    more["idx"] = [idx, wide, gzip.compress(idx), gzip.compress(wide)]
    cifar = b"".join(bytes([r.randrange(10)]) + r.randbytes(3072) for _ in range(2))
    more["cifar"] = [cifar, gzip.compress(cifar)]
    more["csv"] = [
        b'a,"b ""x""",c\n1,2,3\n4,,NA\n-1e5,"7",inf\n', b"1;2\r\n3;4\r\n", b"1 2\t3\n 4 5 6 ", gzip.compress(b"1,2\n3,4\n")
    ]  # fmt: skip
    parts = os.path.join(folder, "parts")
    os.makedirs(parts, exist_ok=True)
    safetensors.save_sharded({"a": torch.ones(3), "b": torch.zeros(2, 2)}, parts, 1 << 20)
    safetensors.save_sharded({"a": torch.ones(3), "b": torch.zeros(2, 2)}, parts, 12)
    with open(os.path.join(parts, "model.safetensors.index.json"), "rb") as f:
        index = f.read()
    first = sorted(n for n in os.listdir(parts) if n.endswith(".safetensors"))[0]
    with open(os.path.join(parts, first), "rb") as f:
        more["shards"] = [index, f.read()]
    path = os.path.join(folder, "seed")
    torch.checkpoint.save_checkpoint(path, [net], [optimizer], extra={"epoch": 3, "note": "text"})
    with open(path, "rb") as f:
        more["checkpoint"] = f.read()
    images, arrays = (os.path.join(ROOT, "tests", "fixtures", n) for n in ("images", "files"))
    more["image"], more["npz"] = [], []
    for name in sorted(os.listdir(images)):
        if name.endswith((".png", ".jpg")):
            with open(os.path.join(images, name), "rb") as f:
                more["image"].append(f.read())
    for name in sorted(os.listdir(arrays)):
        if name.endswith((".npy", ".npz")):
            with open(os.path.join(arrays, name), "rb") as f:
                more["npz"].append(f.read())
    return more


def case(seed, i, seeds):
    """The kind and the bytes of case i."""
    r = random.Random(f"{seed}:{i}")
    kind = KINDS[i % len(KINDS)]
    return kind, kind(r, seeds)


def look_at(obj, torch):
    """Reads every tensor that was loaded: strides that lead out of its memory would show."""
    todo, seen = [obj], set()
    while todo and len(seen) < 10_000:
        o = todo.pop()
        if id(o) in seen:
            continue
        seen.add(id(o))
        if isinstance(o, torch.Tensor):
            repr(o)
            if o.numel() <= 4096:
                o.detach().clone().tolist()
        elif isinstance(o, dict):
            todo.extend(o.values())
        elif isinstance(o, (list, tuple, set)):
            todo.extend(o)


def of_file(reader):
    def read(data, path, *modules):
        with open(path, "wb") as f:
            f.write(data)
        return reader(path, *modules)

    return read


def tensors_of_file(path, read, safetensors):
    with safetensors.safe_open(path) as f:
        return {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118


def tensors_of_parts(data, path, read, safetensors):
    folder = os.path.join(os.path.dirname(path), "parts")
    (n,) = struct.unpack("<Q", data[:8])
    first = sorted(n for n in os.listdir(folder) if n.endswith(".safetensors"))[0]
    for name, content in (("model.safetensors.index.json", data[8 : 8 + n]), (first, data[8 + n :])):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(content)
    return safetensors.load_file(folder)


def checkpoint(path, read, safetensors):
    import taper as torch

    net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1))
    optimizer = torch.optim.Adam(net.parameters())
    before = [p.detach().clone() for p in net.parameters()]
    try:
        return torch.checkpoint.load_checkpoint(path, [net], [optimizer])
    except (OSError, ValueError, RuntimeError) as e:
        assert all(torch.equal(p, b) for p, b in zip(net.parameters(), before)), "a failed load has changed the model"
        # Another number of objects, other sizes, a state that no generator has.
        raise OSError(str(e)) from e


def tensors_of_any(path, read, safetensors):
    """Every reader: each says what is wrong."""
    found = []
    for reader in (safetensors.load_file, read.read_idx, read.read_image, read.read_csv):
        try:
            found.append(reader(path))
        except OSError:
            found.append(None)
    return found


READERS = {
    archive_in_the_core: of_file(lambda path, read, safetensors: safetensors.load_file(path)),
    index_of_shards: tensors_of_parts,
    bytes_of_checkpoint: of_file(checkpoint),
    one_format_as_another: of_file(tensors_of_any),
    bytes_of_idx: of_file(lambda path, read, _: read.read_idx(path)),
    bytes_of_cifar: of_file(lambda path, read, _: read.read_cifar(path)),
    bytes_of_csv: of_file(lambda path, read, _: read.read_csv(path)),
    bytes_of_image: lambda data, path, read, _: read.decode_image(data),
    chunks_of_image: of_file(lambda path, read, _: read.read_image(path)),
    bytes_of_npz: of_file(tensors_of_file),
    bytes_of_safetensors_in_memory: lambda data, path, read, safetensors: safetensors.load(data),
}


def outcome(kind, data, path, torch):
    """Loads one file: what came of it. Errors that are not documented are raised."""
    from taper import safetensors
    from taper.utils import read

    try:
        if kind in READERS:
            loaded = READERS[kind](data, path, read, safetensors)
        elif "safetensors" in kind.__name__:
            with open(path, "wb") as f:
                f.write(data)
            loaded = safetensors.load_file(path)
        else:
            loaded = torch.load(io.BytesIO(data))
    except MemoryError:
        raise
    except pickle.UnpicklingError:
        return "UnpicklingError"
    except RuntimeError as e:
        if "safetensors" in kind.__name__ or kind in READERS:
            raise
        return (
            "RuntimeError"
            if "PytorchStreamReader" in str(e) or "zip archive" in str(e) or "big-endian" in str(e)
            else other(e)
        )
    except EOFError:
        return "EOFError"
    except OSError:
        if "safetensors" not in kind.__name__ and kind not in READERS:
            raise
        return "OSError"
    look_at(loaded, torch)
    return "loaded"


def other(e):
    if "device but it is not available" in str(e):
        return "RuntimeError"
    raise e


def scratch():
    import tempfile

    return tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)


def run_here(seed, seconds, begin=0):
    """Cases in this process for some seconds; their number. Raises at the first undocumented error."""
    import warnings

    import taper as torch

    warnings.simplefilter("ignore")
    i = begin
    with scratch() as folder:
        seeds = make_seeds(torch, folder)
        # Making the seeds may take long where a device compiles for it.
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            kind, data = case(seed, i, seeds)
            try:
                outcome(kind, data, os.path.join(folder, "case"), torch)
            except Exception as e:
                raise AssertionError(f"case {i} of seed {seed} ({kind.__name__}): {type(e).__name__}: {e}") from e
            i += 1
    return i - begin


# --- the child and its keeper --------------------------------------------------------------------------------------------


def child(seed, begin, end, step, shared, folder, output):
    """Runs cases begin, begin + step, ..; says in shared memory which one is at work."""
    import warnings

    import taper as torch

    warnings.simplefilter("ignore")
    seeds = make_seeds(torch, folder)
    torch.set_num_threads(1)
    with open("/proc/self/statm") as f:
        size = int(f.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))
    counts, faults = Counter(), []
    path = os.path.join(folder, "case")
    for i in range(begin, end, step):
        shared[:8] = struct.pack("<Q", i)
        kind, data = case(seed, i, seeds)
        start = time.process_time()
        try:
            what = outcome(kind, data, path, torch)
        except Exception as e:
            what = f"FAULT {type(e).__name__}"
            faults.append((i, f"{kind.__name__}: {type(e).__name__}: {str(e)[:300]}"))
        if time.process_time() - start > STUCK / 4:
            faults.append((i, f"{kind.__name__}: took {time.process_time() - start:.1f} s"))
        counts[kind.__name__, what] += 1
        if i % 200 < step or i + step >= end or faults:
            output.write(pickle.dumps((i, counts, faults)))
            output.flush()
            counts, faults = Counter(), []
    os._exit(0)


def computed(pid):
    """Seconds that a process has computed."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def lane(seed, begin, end, step, deadline, report):
    """Runs a child over a range of cases, and again behind a case at which it died."""
    import threading

    while begin < end and time.monotonic() < deadline:
        shared = mmap.mmap(-1, 8)
        shared[:8] = struct.pack("<Q", begin)
        read, write = os.pipe()
        with scratch() as folder:
            pid = os.fork()
            if pid == 0:
                os.close(read)
                try:
                    child(seed, begin, end, step, shared, folder, os.fdopen(write, "wb"))
                except BaseException:
                    import traceback

                    traceback.print_exc()
                    os._exit(70)
            os.close(write)
            done = threading.Event()

            def listen(stream=os.fdopen(read, "rb"), done=done):
                try:
                    while True:
                        report(*pickle.load(stream)[1:])
                except (EOFError, pickle.UnpicklingError):
                    done.set()

            threading.Thread(target=listen, daemon=True).start()
            last, since, used, status = None, time.monotonic(), 0.0, None
            while status is None:
                finished, code = os.waitpid(pid, os.WNOHANG)
                now = struct.unpack("<Q", shared[:8])[0]
                if finished:
                    status = code
                elif time.monotonic() > deadline:
                    os.kill(pid, 15)
                    os.waitpid(pid, 0)
                    return
                elif now != last:
                    last, since, used = now, time.monotonic(), computed(pid)
                elif computed(pid) - used > STUCK or time.monotonic() - since > 15 * STUCK:
                    os.kill(pid, 9)
                    os.waitpid(pid, 0)
                    status = "hangs"
                else:
                    time.sleep(0.05)
            done.wait(5)
            now = struct.unpack("<Q", shared[:8])[0]
            if status == 0:
                return
            report(Counter(), [(now, f"the process {'hangs' if status == 'hangs' else f'ended with status {status}'}")])
            begin = now + step


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seconds", type=float, default=None)
    p.add_argument("--files", type=int, default=None)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--jobs", type=int, default=1)
    p.add_argument("--only", type=int, default=None)
    a = p.parse_args()
    sys.path.insert(0, os.path.join(ROOT, "bindings", "python"))
    keep = os.path.join(ROOT, "target", "damaged")
    if a.only is not None:
        import taper as torch

        with scratch() as folder:
            kind, data = case(a.seed, a.only, make_seeds(torch, folder))
            os.makedirs(keep, exist_ok=True)
            with open(os.path.join(keep, f"{a.seed}-{a.only}"), "wb") as f:
                f.write(data)
            print(kind.__name__, len(data), "bytes, kept under target/damaged")
            print(outcome(kind, data, os.path.join(folder, "case"), torch))
        return
    import threading

    seconds = a.seconds if a.seconds is not None else 10 if a.files is None else 1e9
    start, counts, faults, lock = time.monotonic(), Counter(), [], threading.Lock()

    def report(more, found):
        with lock:
            counts.update(more)
            for i, text in found:
                faults.append(i)
                print(f"FAULT case {i} of seed {a.seed}: {text}", flush=True)

    end = a.files if a.files is not None else 1 << 62
    lanes = [
        threading.Thread(target=lane, args=(a.seed, j, end, a.jobs, start + seconds, report)) for j in range(a.jobs)
    ]
    for t in lanes:
        t.start()
    for t in lanes:
        t.join()
    total = sum(counts.values())
    outcomes = sorted({o for _, o in counts})
    print(f"{'kind of damage':24}" + "".join(f"{o:>18}" for o in outcomes))
    for kind in KINDS:
        print(f"{kind.__name__:24}" + "".join(f"{counts[kind.__name__, o]:18}" for o in outcomes))
    print(
        f"{total} files in {time.monotonic() - start:.0f} s, seed {a.seed}, crc {zlib.crc32(str(sorted(counts.items())).encode()):08x}"
    )
    print(f"{len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
