"""Memory that runs out: an error, never the end of the process (docs/RELIABILITY.md)."""

import os
import subprocess
import sys

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))
SWEEP = os.path.join(ROOT, "tests", "reliability", "memory_limits.py")
# What died once, and what a program does most; the whole list is tests/reliability/memory_limits.py.
SAMPLE = """index gather sort topk unique median searchsorted embedding cross_entropy matmul einsum attention orthogonal
multinomial print unbind conv2d_small train save_load pad repeat""".split()

ASKED = """
import ctypes, resource
import taper as torch
lib = ctypes.CDLL(LIBRARY)
CALL = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_size_t)
DROP = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
class Table(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_size_t), ("call", CALL), ("drop", DROP)]
kept, asked = [torch.ones(16, 1 << 20)], []
def call(user, nbytes):
    asked.append(nbytes)
    kept.clear()
    torch.cpu_empty_cache() if hasattr(torch, "cpu_empty_cache") else lib.taper_memory_empty_cache(CPU())
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    return 1
class CPU(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int32), ("index", ctypes.c_int32)]
    def __init__(self):
        super().__init__(1, 0)
lib.taper_memory_empty_cache.argtypes = [CPU]
lib.taper_memory_empty_cache.restype = ctypes.c_void_p
lib.taper_set_out_of_memory_callback.argtypes = [ctypes.POINTER(Table), ctypes.c_void_p]
lib.taper_set_out_of_memory_callback.restype = ctypes.c_void_p
table = Table(ctypes.sizeof(Table), CALL(call), DROP(0))
assert lib.taper_set_out_of_memory_callback(ctypes.byref(table), None) is None
x = (torch.arange(1 << 20) * 7919) % 10007
# Python reads the modules of these functions now: compiling them needs memory too.
torch.ones(2).sort(), torch.empty(2), torch.ones(1).expand(2).nonzero()
for work in (lambda: x.sort(), lambda: torch.empty(64, 1 << 20),
             lambda: torch.ones(1).expand(1 << 24).nonzero()):
    asked.clear()
    with open("/proc/self/statm") as f:
        used = int(f.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used, resource.RLIM_INFINITY))
    work()
    assert asked, work
print("asked")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")
@pytest.mark.cpu_only("limits of address space are about host memory")
def test_calls_under_limits_of_address_space():
    long = os.environ.get("TAPER_TEST_LONG") == "1"
    what = ["--long"] if long else SAMPLE
    r = subprocess.run([sys.executable, SWEEP, *what], capture_output=True, text=True, timeout=7200 if long else 300)
    assert r.returncode == 0, r.stdout + r.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")
@pytest.mark.cpu_only("limits of address space are about host memory")
def test_the_callback_is_asked_first():
    import taper

    library = next(line.split()[-1] for line in open("/proc/self/maps") if "libtaper" in line)
    assert taper
    code = ASKED.replace("LIBRARY", repr(library))
    r = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment())
    assert r.returncode == 0 and r.stdout == "asked\n", r.stdout + r.stderr


def environment():
    python = os.path.join(ROOT, "bindings", "python")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([python, os.environ.get("PYTHONPATH", "")])}
