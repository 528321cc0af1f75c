"""Checks how the sources import each other: python3 tests/structure/check.py

Folders of src/ stand in one order (ORDER), and none imports one that comes after it. No files import each other, directly
or in a circle. A name that a file only gives on (`pub use`) is the other file's, and a glob of
such a file (`use super::*`) imports what that file itself has: ops call each other by the names that `ops/mod.rs` gives on,
since derivatives are ops, and have no order among them. Tests are left out. Of Python's files counts what they import when they are loaded, not
inside functions; there is no circle among them.
"""

import ast
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ORDER = [
    "base",
    "rng",
    "backend",
    "watch",
    "tensor",
    "autograd",
    "ops",
    "gate",
    "nn",
    "optim",
    "data",
    "io",
    "read",
    "show",
    "capi",
]


def rust_files():
    """Path of the module in the crate -> its file; src/backend/lib.rs only says where the crates part."""
    found = {}
    for file in sorted((ROOT / "src").rglob("*.rs")):
        parts = list(file.relative_to(ROOT / "src").with_suffix("").parts)
        if parts[-1] == "mod":
            parts.pop()
        if parts in (["lib"], ["backend", "lib"], ["backend", "build"]) or any("test" in p for p in parts):
            continue
        found[tuple(parts)] = file
    return found


def without_tests(text):
    text = re.sub(r"//[^\n]*", "", text)
    # Those of the kernels' crate are behind a feature.
    marks = r"#\[cfg\((test|(all\()?feature = \"tests\"[^\n]*)\)\]\n"
    tests = re.search(marks + r"(#\[[^\n]*\]\n)*(pub\(crate\) )?mod \w+ \{", text)
    return text[: tests.start()] if tests else text


def lifted(text):
    """The text in which `super::` of a module inside the file is the file itself."""
    inner = re.compile(r"\bmod [\w$]+ \{")
    at = 0
    while found := inner.search(text, at):
        depth, end = 1, found.end()
        while depth and end < len(text):
            depth += (text[end] == "{") - (text[end] == "}")
            end += 1
        body = re.sub(r"\bsuper::(?!super)", "self::", text[found.end() : end])
        text = text[: found.end()] + body.replace("super::self::", "super::") + text[end:]
        at = found.end()
    return text


def leaves(tree):
    """The paths of `a::{b, c::{d, e}}`."""
    start = tree.find("{")
    if start < 0:
        return [re.sub(r"\s+as\s+\w+", "", tree).strip()]
    found, depth, item = [], 0, ""
    for c in tree[start + 1 : tree.rfind("}")] + ",":
        if c == "," and depth == 0:
            if item.strip():
                found += [tree[:start].strip() + leaf for leaf in leaves(item)]
            item = ""
            continue
        depth += (c == "{") - (c == "}")
        item += c
    return found


class Rust:
    """The files of the crate, what each gives on under its own name, and what it defines."""

    def __init__(self):
        self.files = rust_files()
        self.texts = {m: lifted(without_tests(f.read_text())) for m, f in self.files.items()}
        self.given = {m: self.reexports(m) for m in self.files}

    def reexports(self, module):
        """Name -> the path that it is given on from; `*` -> the paths whose names all are."""
        given = {"*": []}
        for use in re.findall(r"\bpub(?:\([a-z ]+\))? use ([^;]+);", self.texts[module]):
            for path in leaves(use):
                if path.endswith("::*"):
                    given["*"].append(path)
                else:
                    given[path.rpartition("::")[2]] = path
        return given

    def place(self, module, path):
        """The file that a path leads to from a module, and the rest of the path; None where it leads out of the crate."""
        parts = [p for p in path.replace(" ", "").split("::") if p]
        here = list(module)
        if parts[0] == "crate":
            here, parts = [], parts[1:]
        elif parts[0] == "self":
            parts = parts[1:]
        elif parts[0] == "super":
            while parts and parts[0] == "super":
                here, parts = here[:-1], parts[1:]
        elif (*module, parts[0]) not in self.files:
            return None
        for n in range(len(parts), -1, -1):
            if tuple(here + parts[:n]) in self.files:
                return tuple(here + parts[:n]), parts[n:]
        return None

    def targets(self, module, path, depth=0):
        """The files that have what a path names: a name that a file only gives on is the other file's."""
        found = self.place(module, path)
        if found is None or depth > 4:
            return set()
        file, rest = found
        given = self.given[file]
        if rest and rest[0] != "*" and rest[0] in given:
            return self.targets(file, given[rest[0]], depth + 1) or {file}
        if rest and rest[0] != "*":
            kinds = r"\b(?:struct|enum|trait|fn|const|static|type|union|mod|macro_rules!)\s+"
            defines = lambda m: re.search(kinds + re.escape(rest[0]) + r"\b", self.texts[m])
            if not defines(file):
                for other in given["*"]:
                    for place in self.targets(file, other.removesuffix("::*"), depth + 1):
                        if defines(place):
                            return {place}
        return {file}

    def imports(self):
        graph = {}
        for module, text in self.texts.items():
            text = re.sub(r"\bpub(?:\([a-z ]+\))? use [^;]+;", "", text)
            uses = r"\buse ([^;]+);"
            paths = [leaf for m in re.finditer(uses, text) for leaf in leaves(m.group(1))]
            text = re.sub(uses, "", text)
            paths += re.findall(r"\b(?:crate|super|self)(?:::\w+)+", text)
            for child in re.findall(r"\bmod (\w+);", text):
                paths += re.findall(rf"(?<![\w:$.]){child}(?:::\w+)+", text)
            found = {t for p in paths for t in self.targets(module, p)} - {module}
            graph["::".join(module)] = {"::".join(t) for t in found}
        return graph


def rust_imports():
    return Rust().imports()


def top_level(body):
    """Statements that run when a file is loaded."""
    for node in body:
        yield node
        for field in ("body", "orelse", "finalbody"):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
                    yield from top_level(getattr(node, field, None) or [])
        for handler in getattr(node, "handlers", []):
            yield from top_level(handler.body)


def python_imports():
    home = ROOT / "bindings" / "python"
    files = {}
    for file in sorted((home / "taper").rglob("*.py")):
        name = ".".join(file.relative_to(home).with_suffix("").parts)
        files[name.removesuffix(".__init__")] = file
    graph = {}
    for name, file in files.items():
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        targets = set()
        for node in top_level(ast.parse(file.read_text()).body):
            if isinstance(node, ast.Import):
                targets |= {a.name for a in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = package.split(".")[: len(package.split(".")) - max(node.level - 1, 0)] if node.level else []
                source = ".".join(base + ([node.module] if node.module else []))
                for a in node.names:
                    whole = f"{source}.{a.name}"
                    targets.add(whole if whole in files else source)
        graph[name] = (targets & set(files)) - {name}
    return graph


def circles(graph):
    """The strongly connected groups of several files, each a line of names (Tarjan)."""
    index, low, stack, found = {}, {}, [], []

    def visit(v):
        index[v] = low[v] = len(index)
        stack.append(v)
        for w in sorted(graph[v] & set(graph)):
            if w not in index:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in stack:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            group = stack[stack.index(v) :]
            del stack[stack.index(v) :]
            if len(group) > 1:
                found.append(" ".join(sorted(group)))

    for v in graph:
        if v not in index:
            visit(v)
    return set(found)


def main():
    rust, faults = rust_imports(), []
    for module, targets in rust.items():
        top = module.split("::")[0]
        for target in sorted(targets):
            other = target.split("::")[0]
            if top in ORDER and other in ORDER and ORDER.index(other) > ORDER.index(top):
                faults.append(f"{module} imports {target}, which comes after it ({' < '.join(ORDER)})")
        if top and top not in ORDER:
            faults.append(f"src/{top} has no place in the order of folders")
    found = circles(rust) | circles(python_imports())
    faults += [f"files import each other in a circle: {p}" for p in sorted(found)]
    print("\n".join(faults) or f"{len(rust)} files of Rust import in one direction, without a circle")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
