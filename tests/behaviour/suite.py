"""The cases of cases.txt, read: what run.py and record.py share."""

import ast
import os
import re
from dataclasses import dataclass

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CASES = os.path.join(ROOT, "tests/behaviour/cases.txt")
DTYPES = ("f32", "f64", "i64", "i32", "u8", "b")


@dataclass
class T:
    """A tensor of a case: dtype, nested lists, sizes, and the elements row-major."""

    dtype: str
    nested: object

    def __post_init__(self):
        self.sizes, level = [], self.nested
        while isinstance(level, list):
            self.sizes.append(len(level))
            level = level[0] if level else None
        self.flat = [self.nested]
        for _ in self.sizes:
            self.flat = [x for row in self.flat for x in row]


@dataclass
class DType:
    name: str


@dataclass
class Case:
    text: str
    grad: bool
    op: str
    args: list
    kwargs: dict
    expected: str | None = None


@dataclass
class Op:
    """An op of the table: names, the part of the table's line, parameters as (type, name, default)."""

    c_name: str
    name: str
    params: list
    returns: str
    where: str


def read_ops():
    where, ops = {}, {}
    lines = open(os.path.join(ROOT, "spec/ops.txt")).read().split("\n")
    for line, doc in zip(lines, lines[1:], strict=False):
        if re.match(r"\w+(\.\w+)?\(", line):
            mark = re.match(r" +\[(\w+)\]", doc)
            where[line.split("(")[0]] = mark[1] if mark else ""
    header = open(os.path.join(ROOT, "include/taper.h")).read()
    entry = r"`((\w+)(?:\.\w+)?\(([^`]*)\) -> ([^`]*))`\. Since .*?taper_error \*taper_(\w+)\("
    for match in re.finditer(entry, header, re.S):
        schema, name, params, returns, c_name = match.groups()
        parsed = []
        for p in re.split(r", (?![^\[(]*[\])])", params):
            if p in ("*", ""):
                continue
            kind, rest = p.replace("(a!)", "").split(" ", 1)
            parameter, _, default = rest.partition("=")
            parsed.append((re.sub(r"\[\d*\]", "[]", kind), parameter, default or None))
        ops[c_name] = Op(c_name, name, parsed, returns, where.get(schema.split("(")[0], ""))
    return ops


def value(node):
    if isinstance(node, ast.Call):
        return T(node.func.id, value(node.args[0]))
    if isinstance(node, ast.Name):
        return DType(node.id) if node.id in DTYPES else float(node.id)
    if isinstance(node, ast.UnaryOp):
        return -value(node.operand)
    if isinstance(node, ast.List):
        return [value(x) for x in node.elts]
    return node.value


def read_cases():
    cases = []
    for line in open(CASES):
        line = line.rstrip("\n")
        if line.startswith("#") or not line:
            continue
        if line[:2] in ("= ", "! "):
            cases[-1].expected = line
            continue
        grad = line.startswith("grad ")
        call = ast.parse(line.removeprefix("grad "), mode="eval").body
        args = [value(a) for a in call.args]
        kwargs = {k.arg: value(k.value) for k in call.keywords}
        cases.append(Case(line, grad, call.func.id, args, kwargs))
    return cases


def tensors(case):
    """The tensors of a case in order; those of lists too."""
    found = []
    for a in [*case.args, *case.kwargs.values()]:
        found += [x for x in (a if isinstance(a, list) else [a]) if isinstance(x, T)]
    return found


def bind(op, case):
    """The value of each parameter of the op, its default where the case gives none; and which were given."""
    names = [name for _, name, _ in op.params]
    given = dict(zip(names, case.args, strict=False)) | case.kwargs
    unknown = set(given) - set(names)
    if unknown or len(case.args) > len(names):
        raise SystemExit(f"{case.text}: {op.c_name} has no parameter {unknown or len(names)}")
    values = {}
    for _, name, default in op.params:
        values[name] = given[name] if name in given else ast.literal_eval(default or "None")
    return values, given
