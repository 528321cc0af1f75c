"""Files of optimisers that the core writes, as C, C++ and Go do, loaded by a Python library, and the other way round.

Run: PYTHONPATH=bindings/python .venv-bench/bin/python bindings/python/tests/optim_files.py   (with PyTorch)
"""

import os
import sys
import tempfile
from ctypes import CFUNCTYPE, POINTER, Structure, byref, c_size_t, c_void_p, cast

import taper
from taper import _c, safetensors
from taper.optim.flat import flatten, unflatten

CLASSES = "SGD Adam AdamW Adamax NAdam RAdam RMSprop Rprop Adagrad Adadelta ASGD LBFGS Adafactor Muon".split()


class Closure(Structure):
    _fields_ = [("struct_size", c_size_t), ("call", c_void_p), ("drop", c_void_p)]


def called(name, *arguments):
    """A C function's result."""
    out = c_void_p()
    e = _c.proto(name)(*arguments, byref(out))
    if e:
        _c.fail(e)
    return out.value


def done(name, *arguments):
    e = _c.proto(name)(*arguments)
    if e:
        _c.fail(e)


def parameters(name, torch):
    shapes = [(4, 3), (3, 5) if name == "Muon" else (7,)]
    out = []
    for k, shape in enumerate(shapes):
        n = 12 if k == 0 else 15 if name == "Muon" else 7
        values = [(i - 3) / 4 + k for i in range(n)]
        out.append(torch.nn.Parameter(torch.tensor(values, dtype=torch.float64).reshape(shape)))
    return out


def give_gradients(params, s, torch):
    for p in params:
        n = p.numel()
        g = [((s * 31 + i * 17) % 23 - 11) / (4.0 + s) for i in range(n)]
        p.grad = torch.tensor(g, dtype=p.dtype).reshape(p.shape)


class Core:
    """An optimiser of the core with PyTorch's defaults."""

    def __init__(self, name):
        self.name, self.params = name, parameters(name, taper)
        handles = _c.handles(self.params)
        list_ = called("tensor_list_new", handles, len(self.params))
        self.handle = called(f"optim_{name.lower()}_create", list_, None)
        _c.proto("tensor_list_free")(list_)

    def step(self, s):
        give_gradients(self.params, s, taper)
        done("optimizer_step", self.handle)

    def save(self, path):
        done("optimizer_save", self.handle, path.encode())

    def load(self, path):
        done("optimizer_load", self.handle, path.encode())

    def __del__(self):
        _c.proto("optimizer_free")(self.handle)


class There:
    """The same of a Python library: taper's own, or PyTorch."""

    def __init__(self, name, torch):
        self.torch, self.params = torch, parameters(name, torch)
        self.optimizer = getattr(torch.optim, name)(self.params)

    def step(self, s):
        give_gradients(self.params, s, self.torch)
        self.optimizer.step()

    def save(self, path):
        flat = flatten(self.optimizer.state_dict(), self.torch)
        if self.torch is not taper:
            flat = {k: taper.from_numpy(t.numpy().copy()) for k, t in flat.items()}
        safetensors.save_file(flat, path)

    def load(self, path):
        tensors = safetensors.load_file(path)
        if self.torch is not taper:
            tensors = {k: self.torch.from_numpy(t.numpy().copy()) for k, t in tensors.items()}
        self.optimizer.load_state_dict(unflatten(tensors, self.optimizer))


def objective(params, torch):
    total = 0
    for p in params:
        i = torch.arange(p.numel(), dtype=p.dtype)
        d = p.flatten() - (i / 4 - 0.5)
        total = total + (d**4).sum() + ((1 + i) * d * d).sum()
    return total


def closure_of(params, torch):
    def closure():
        for p in params:
            p.grad = None
        loss = objective(params, torch)
        loss.backward()
        return loss

    return closure


def values(params):
    return [v for p in params for v in p.detach().flatten().tolist()]


def copy(source, target, target_torch):
    for a, b in zip(source, target):
        b.data = target_torch.tensor(a.detach().tolist(), dtype=target_torch.float64)


def exchange(name, torch, folder):
    """Three steps in one place, the file, three more in both: they end alike. In both directions."""
    tolerance = 2e-2 if name == "Muon" else 1e-9
    for outward in (True, False):
        core, there = Core(name), There(name, torch)
        first, second = (core, there) if outward else (there, core)
        path = os.path.join(folder, f"{name}.safetensors")
        for s in range(3):
            step(first, s)
        copy(first.params, second.params, torch if outward else taper)
        first.save(path)
        second.load(path)
        for s in range(3, 6):
            step(first, s)
            step(second, s)
        for a, b in zip(values(first.params), values(second.params)):
            assert abs(a - b) <= tolerance * max(1, abs(a)), f"{name}, outward {outward}: {a} and {b}"


def step(o, s):
    if isinstance(o, There) and "LBFGS" in type(o.optimizer).__name__:
        o.optimizer.step(closure_of(o.params, o.torch))
    elif isinstance(o, Core) and o.name == "LBFGS":
        step_core_lbfgs(o)
    else:
        o.step(s)


def step_core_lbfgs(core):
    closure = closure_of(core.params, taper)

    def call(user, out):
        with taper.enable_grad():
            loss = closure()
        out[0] = called("tensor_ref", loss._h)
        return None

    function = CFUNCTYPE(c_void_p, c_void_p, POINTER(c_void_p))(call)
    table = Closure(24, cast(function, c_void_p).value, None)
    out = called("optimizer_step_closure", core.handle, byref(table), None)
    _c.proto("tensor_free")(out)


if __name__ == "__main__":
    import torch

    with tempfile.TemporaryDirectory() as folder:
        for name in CLASSES:
            exchange(name, torch, folder)
    print(f"{len(CLASSES)} optimisers of the core and of PyTorch {torch.__version__} go on from each other's files")
    sys.exit(0)
