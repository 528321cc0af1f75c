"""The stubs for editors and type checkers: they parse, and name everything that the package has."""

import ast
import os

import pytest
from conftest import PACKAGE

import taper

HERE = os.path.join(PACKAGE, "taper")


def parsed(name):
    with open(os.path.join(HERE, name)) as f:
        return ast.parse(f.read(), name).body


def defined(body):
    """The names that statements define; a star import of a module here brings that module's public names."""
    names = set()
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(t.id for t in node.targets if isinstance(t, ast.Name))
        elif isinstance(node, ast.AnnAssign):
            names.add(node.target.id)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name != "*":
                    names.add(alias.asname or alias.name)
                    continue
                if node.module == "_settings":
                    from taper import _settings

                    names.update(_settings.__all__)
                else:
                    names.update(n for n in defined(parsed(node.module + ".pyi")) if not n.startswith("_"))
    return names


def members(file, name):
    cls = next(node for node in parsed(file) if isinstance(node, ast.ClassDef) and node.name == name)
    return defined(cls.body)


def test_the_package_is_described():
    public = {n for n in dir(taper) if not n.startswith("_")}
    assert public - defined(parsed("__init__.pyi")) == set()


def test_nothing_is_described_that_does_not_exist():
    helpers = {"Any", "Sequence", "Union", "Optional", "Tuple", "Type", "NamedTuple", "overload", "TensorOps"}
    described = {n for n in defined(parsed("__init__.pyi")) if not n.startswith("_")} - helpers
    assert [n for n in sorted(described) if not hasattr(taper, n)] == []
    ops = members("_ops_gen.pyi", "TensorOps") | members("_tensor.pyi", "Tensor")
    assert [n for n in sorted(ops) if not hasattr(taper.Tensor, n) and n not in ("grad", "data", "requires_grad")] == []


def test_the_tensor_is_described():
    names = members("_tensor.pyi", "Tensor") | members("_ops_gen.pyi", "TensorOps")
    public = {n for n in dir(taper.Tensor) if not n.startswith("_")}
    assert public - names == set()
    operators = {n for n in vars(taper.Tensor) if n.startswith("__") and n.endswith("__")}
    internal = (
        "module doc slots array_priority new del array_wrap repr format delitem dir reduce_ex setstate dict weakref div "
        "init_subclass torch_function"
    )
    internal = {f"__{n}__" for n in (internal + " imatmul rmatmul").split()}
    assert operators - internal - names == set()


def test_the_functions_of_networks_are_described():
    from taper.nn import functional

    generated = defined(parsed("nn/_functional_gen.pyi"))
    from taper._ops_table import NN

    public = {n for n in NN if not n.startswith(("_", "init_", "fused_"))}
    assert public - generated - set(vars(functional)) == set()


def test_the_modules_of_devices_are_described():
    shared = {n for n in defined(parsed("_device_functions.pyi")) if not n.startswith("_")} - {"Any"}
    for module, file in ((taper.cuda, "cuda/__init__.pyi"), (taper.opencl, "opencl.pyi")):
        own = {n for n in defined(parsed(file)) if not n.startswith("_")} - {"Any"}
        public = {n for n in dir(module) if not n.startswith("_")} - {"check", "fill", "find"}
        assert public - shared - own == set()
        assert [n for n in shared | own if not hasattr(module, n) and n != "DeviceGuard"] == []


def test_optimisers_and_schedules_are_described():
    """Each class's constructor takes in the stubs what it takes when it runs."""
    import inspect

    from taper.optim import _schedules_gen, adam, by_hand, more, optimizer, sgd, swa_utils

    for module in (sgd, adam, more, by_hand, optimizer, _schedules_gen, swa_utils):
        described = {}
        for node in parsed(f"optim/{module.__name__.rpartition('.')[2]}.pyi"):
            if isinstance(node, ast.ClassDef):
                init = next(n for n in node.body if getattr(n, "name", "") == "__init__").args
                described[node.name] = [a.arg for a in init.args[1:] + init.kwonlyargs]
        for name, names in described.items():
            assert list(inspect.signature(getattr(module, name)).parameters) == names, name
        own = {n for n, c in vars(module).items() if inspect.isclass(c) and not n.startswith("_")}
        assert {n for n in own if getattr(module, n).__module__ == module.__name__} - {"SWALR"} <= set(described)


SAMPLE = """
import taper as torch
import taper.nn as nn
import taper.nn.functional as F

class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(10, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.fc(x.view(-1, 10)))

x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
loss: torch.Tensor = F.cross_entropy(2 * x - 1, torch.tensor([0, 1]))
loss.backward()
values: torch.Tensor = x.max(1).values
optimizer = torch.optim.Adam(Net().parameters(), lr=1e-3)
torch.optim.lr_scheduler.StepLR(optimizer, 30, gamma=0.5).step()
torch.set_log_callback(lambda level, text: print(level, text), "debug")
torch.optim.AdamW(Net().parameters(), beta=1)  # E
torch.optim.lr_scheduler.StepLR(optimizer, "a")  # E
torch.set_log_callback(1)  # E
with torch.no_grad():
    both = torch.cat([x, x], dim=0).float().transpose(0, 1)
x.no_such_method()  # E
torch.no_such_function()  # E
torch.zeros("a")  # E
x.transpose(0)  # E
"""


def test_a_type_checker_accepts_a_program_and_finds_its_errors(tmp_path):
    api = pytest.importorskip("mypy.api", reason="mypy is not installed")
    script = tmp_path / "program.py"
    script.write_text(SAMPLE)
    old = os.environ.get("MYPYPATH")
    os.environ["MYPYPATH"] = PACKAGE
    try:
        options = ["--follow-imports=silent", "--cache-dir", str(tmp_path / "cache"), "--no-error-summary"]
        output, _, _ = api.run([*options, str(script)])
    finally:
        os.environ.pop("MYPYPATH")
        if old is not None:
            os.environ["MYPYPATH"] = old
    wrong = sorted({int(line.split(":")[1]) for line in output.splitlines() if ": error:" in line})
    assert wrong == [i for i, line in enumerate(SAMPLE.splitlines(), 1) if line.endswith("# E")], output
