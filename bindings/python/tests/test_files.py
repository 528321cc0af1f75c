"""What `save` does to the file system: whole files or none, links, modes, pipes and devices, temporary files."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest

import taper as torch
from taper import safetensors

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WRITERS = {
    "pt": (torch.save, torch.load),
    "safetensors": (safetensors.save_file, safetensors.load_file),
}
both = pytest.mark.parametrize("kind", WRITERS)


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def one(value=1.0):
    return {"w": torch.tensor([float(value)])}


@both
def test_modes_and_links(kind, tmp_path):
    save, load = WRITERS[kind]
    path, link = tmp_path / "m", tmp_path / "link"
    before = os.umask(0o027)
    try:
        save(one(), path)
    finally:
        os.umask(before)
    assert mode(path) == 0o640
    path.chmod(0o600)
    link.symlink_to("m")
    save(one(2), link)
    assert mode(path) == 0o600 and link.is_symlink() and load(path)["w"].item() == 2
    dangling = tmp_path / "dangling"
    dangling.symlink_to("later")
    save(one(3), dangling)
    assert dangling.is_symlink() and load(tmp_path / "later")["w"].item() == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dangling", "later", "link", "m"]


@both
def test_pipes_and_devices(kind, tmp_path):
    save, load = WRITERS[kind]
    fifo, copy = tmp_path / "fifo", tmp_path / "copy"
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: copy.write_bytes(fifo.read_bytes()))
    reader.start()
    save(one(4), fifo)
    reader.join(10)
    assert stat.S_ISFIFO(os.stat(fifo).st_mode) and load(copy)["w"].item() == 4
    save(one(), "/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(OSError, match="/dev/full"):
        save({"w": torch.zeros(100_000)}, "/dev/full")


def test_standard_output(tmp_path):
    program = "import taper as t; t.save({'w': t.ones(1)}, '/dev/stdout')"
    env = {**os.environ, "PYTHONPATH": PACKAGE}
    out = subprocess.run([sys.executable, "-c", program], env=env, stdout=subprocess.PIPE, check=True).stdout
    (tmp_path / "piped").write_bytes(out)
    assert torch.load(tmp_path / "piped")["w"].item() == 1
    with open(tmp_path / "redirected", "wb") as f:
        subprocess.run([sys.executable, "-c", program], env=env, stdout=f, check=True)
    assert torch.load(tmp_path / "redirected")["w"].item() == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["piped", "redirected"]


@both
def test_planted_names_are_left_alone(kind, tmp_path):
    save, load = WRITERS[kind]
    victim, path = tmp_path / "victim", tmp_path / "m"
    victim.write_bytes(b"dear")
    for name in (f"m.{os.getpid()}.tmp", f"m.tmp-{os.getpid()}-0", ".m.taper-0000000000000000"):
        (tmp_path / name).symlink_to("victim")
    save(one(), path)
    assert victim.read_bytes() == b"dear" and load(path)["w"].item() == 1 and len(list(tmp_path.iterdir())) == 5


@both
def test_threads_that_save_one_path(kind, tmp_path):
    save, load = WRITERS[kind]
    path, wrong = tmp_path / "m", []
    states = [{"w": torch.full((20_000,), float(i))} for i in range(4)]
    save(states[0], path)

    def work(state):
        for _ in range(5):
            save(state, path)
            try:
                w = load(path)["w"]
                if w.min().item() != w.max().item():
                    wrong.append(w)
            except Exception as e:
                wrong.append(e)

    threads = [threading.Thread(target=work, args=(s,)) for s in states]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not wrong and [p.name for p in tmp_path.iterdir()] == ["m"]


@both
def test_a_full_disk_leaves_the_old_file(kind, tmp_path):
    save, load = WRITERS[kind]
    path = tmp_path / "m"
    save(one(), path)
    program = f"""
import resource, signal, taper as torch
from taper import safetensors
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    {"torch.save" if kind == "pt" else "safetensors.save_file"}({{"w": torch.zeros(100_000)}}, {str(path)!r})
except OSError as e:
    print("refused", {str(path)!r} in str(e))
"""
    env = {**os.environ, "PYTHONPATH": PACKAGE}
    out = subprocess.run([sys.executable, "-c", program], env=env, stdout=subprocess.PIPE, check=True, text=True).stdout
    assert out == "refused True\n"
    assert load(path)["w"].item() == 1 and [p.name for p in tmp_path.iterdir()] == ["m"]


def test_what_a_killed_process_leaves_is_removed(tmp_path):
    path = tmp_path / "m.pt"
    torch.save(one(), path)
    program = f"""
import os, signal, taper as torch
class Last:
    def __reduce__(self):
        return (int, ())
from taper import serialization
whole = serialization._File.put
def put(self, data):
    whole(self, data)
    if len(data) > 100_000:
        print("there", flush=True)
        signal.pause()
serialization._File.put = put
torch.save({{"w": torch.zeros(100_000)}}, {str(path)!r})
"""
    env = {**os.environ, "PYTHONPATH": PACKAGE}
    writer = subprocess.Popen([sys.executable, "-c", program], env=env, stdout=subprocess.PIPE, text=True)
    assert writer.stdout.readline() == "there\n"
    assert len(list(tmp_path.iterdir())) == 2
    torch.save(one(2), path)  # the other writer lives: what it has written stays
    assert len(list(tmp_path.iterdir())) == 2
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    torch.save(one(3), path)
    assert torch.load(path)["w"].item() == 3 and [p.name for p in tmp_path.iterdir()] == ["m.pt"]


@both
def test_places_that_cannot_be_written(kind, tmp_path):
    save, _ = WRITERS[kind]
    with pytest.raises((OSError, RuntimeError), match="does not exist"):
        save(one(), tmp_path / "no" / "m")
    with pytest.raises(OSError, match="is a directory"):
        save(one(), tmp_path)
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        save(one(), loop)
    with pytest.raises(OSError):
        save(one(), "/proc/self/m")
    if os.getuid():
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        with pytest.raises(OSError, match="cannot be written to"):
            save(one(), closed / "m")
        mine = tmp_path / "m"
        save(one(), mine)
        mine.chmod(0o400)
        with pytest.raises(OSError, match="denied"):
            save(one(), mine)


def test_any_file_object():
    class Slow:
        """Takes a part at a time, and can do nothing but write."""

        def __init__(self):
            self.data = b""

        def write(self, b):
            part = bytes(b[:100])
            self.data += part
            return len(part)

    import io

    slow, plain = Slow(), io.BytesIO()
    torch.save(one(5), slow)
    torch.save(one(5), plain)
    assert slow.data == plain.getvalue()
    assert torch.load(io.BytesIO(slow.data))["w"].item() == 5


def test_odd_names(tmp_path):
    for name in ("ä ö", "n" * 250, "a.b.c", b"\xff\xfe"):
        path = os.path.join(os.fsencode(tmp_path), os.fsencode(name))
        torch.save(one(), path)
        assert torch.load(path)["w"].item() == 1
        safetensors.save_file(one(2), path)
        assert safetensors.load_file(path)["w"].item() == 2


def test_large_archives(tmp_path, monkeypatch):
    """Sizes of more than 32 bits, with a limit that is passed sooner."""
    import zipfile

    from taper import serialization

    monkeypatch.setattr(serialization, "_LARGE", 3000)
    # The fields hold the limit itself only where it is zip's.
    parts = []
    archive = serialization._Archive(parts.append, "a")
    monkeypatch.setattr(serialization, "_LARGE", 0xFFFFFFFF)
    start = time.monotonic()
    archive.at = 5 << 30  # as if so much had been written before
    archive.write("x", b"data")
    assert archive.at < (5 << 30) + 1000 and time.monotonic() - start < 1
    archive.close()
    tail = b"".join(parts)
    sparse = tmp_path / "large"
    with open(sparse, "wb") as f:
        f.seek(5 << 30)
        f.write(tail)
    with zipfile.ZipFile(sparse) as z:
        assert z.read("a/x") == b"data"
