"""Compiles or runs every code block of the README, the pages per language and the reference:  snippets.py [--list] [PAGE...]

Blocks of c, cpp, go and python are programs if they have a main (Python: always). Those of C and C++ that have none are compiled
after the page's own includes. A block of `text` after a program is what it prints. A comment before the block
says what else is to be done with it:  <!-- snippet: compile -->  compiled and not run (it needs a device or a file that the reader
has), <!-- snippet: skip WHY --> left alone. Blocks of sh, cmake and text are not programs (scripts/test_install.sh runs those).
Needs target/release (`make`); what the machine lacks (g++, Go) is said and left out. Each block runs in a process of
its own with what the page's blocks before it wrote to the same folder.

Compilers are most of the time: all blocks of C++ are namespaces of one program (the wrapper's headers are read once), all of Go
packages of one module. Messages name the page's lines.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "target/release"
PAGES = ["README.md", "docs/C.md", "docs/CPP.md", "docs/GO.md", "docs/PYTHON.md", "docs/FILES.md"]
PAGES += sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs/reference/examples").glob("*.md"))
BLOCK = re.compile(r"(?:^<!-- snippet: (.*?) -->\n\n?)?^```(\w+)\n(.*?)^```$", re.M | re.S)
TOOLS = {"c": "cc", "cpp": "c++", "go": "go", "python": sys.executable}
LINK = [f"-L{LIBRARY}", "-ltaper", f"-Wl,-rpath,{LIBRARY}"]
MODULE = "github.com/taper-torch/taper/bindings/go"
# What a program of C++ uses and must include, whatever the others in the same file do.
INCLUDES = {"iostream": r"\bstd::c(out|err)\b", "cstdio": r"\bf?printf\(|\bfflush\("}


class Block:
    """One block of code; `command` runs it once it is built, where it is to be run."""

    def __init__(self, page, line, kind, note, code, wanted):
        self.page, self.line, self.kind, self.note, self.code, self.wanted = page, line, kind, note, code, wanted
        self.where = f"{page}:{line} ({kind})"
        main = {"c": r"^int main\(", "cpp": r"^int main\(", "go": r"^func main\("}.get(kind, "")
        self.complete = re.search(main, code, re.M) is not None
        self.failed = False
        self.command = None

    def runs(self):
        return self.complete and self.note != "compile" and not self.failed


def run(command, folder, **settings):
    """Standard output, or None and the reason printed."""
    made = subprocess.run(
        command, cwd=folder, env={**os.environ, **settings}, capture_output=True, text=True, timeout=600
    )
    if made.returncode != 0:
        print(f"  {' '.join(map(str, command))}\n{made.stdout[-2000:]}{made.stderr[-4000:]}")
        return None
    return made.stdout


def read(page, listing):
    """The blocks of a page that are to be tried."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = list(BLOCK.finditer(text))
    blocks = []
    for match, after in zip(found, [*found[1:], None]):
        note, kind, code = match.groups()
        if kind not in TOOLS:
            continue
        # The first line of code.
        line = text.count("\n", 0, match.start(2)) + 2
        block = Block(page, line, kind, note, code, after.group(3) if after and after.group(2) == "text" else None)
        if note and note.startswith("skip"):
            print(f"left alone: {block.where}: {note[5:]}")
        elif shutil.which(TOOLS[kind]) is None:
            print(f"SKIPPED: {block.where}: {TOOLS[kind]} is not installed")
        elif listing:
            print(block.where, note or "")
        else:
            blocks.append(block)
    return blocks


def build_c(blocks, folder):
    for i, block in enumerate(blocks):
        source, program = folder / f"{i}.c", folder / f"c{i}"
        head = "" if "#include" in block.code else "#include <taper.h>\n"
        foot = "" if block.complete else "\nint main(void) { return 0; }\n"
        source.write_text(f'{head}#line {block.line} "{block.page}"\n{block.code}{foot}', encoding="utf-8")
        flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/include"]
        block.failed = run(["cc", *flags, source, "-o", program, *LINK, "-lm"], folder) is None
        block.command = [program]


def build_cpp(blocks, folder):
    """One program, whose argument says which block is meant."""
    heads, bodies, calls = [], [], []
    for i, block in enumerate(blocks):
        lines = block.code.splitlines(keepends=True)
        includes = [line for line in lines if line.startswith("#include")]
        heads += includes or ["#include <taper.hpp>\n"]
        needed = ["taper.hpp"] if block.complete else []
        needed += [name for name, use in INCLUDES.items() if includes and re.search(use, block.code)]
        for name in needed:
            if not any(f"<{name}>" in line for line in includes):
                print(f"{block.where} does not include <{name}>")
                block.failed = True
        # Lines stay where they are.
        text = "".join("\n" if line.startswith("#include") else line for line in lines)
        # Only a real main may end without a value.
        text = re.sub(r"(^int main\(.*?)(^\})", r"\1return 0; \2", text, count=1, flags=re.M | re.S)
        text = re.sub(r"^int main\(", "int program(", text, flags=re.M)
        bodies.append(f'namespace block_{i} {{\n#line {block.line} "{block.page}"\n{text}}}\n')
        if block.complete:
            calls.append(f"    case {i}: return block_{i}::program();\n")
        block.command = [folder / "all", str(i)]
    source = folder / "all.cpp"
    source.write_text(
        "#include <cstdlib>\n"
        + "".join(dict.fromkeys(heads))
        + "".join(bodies)
        + "int main(int, char **argv) {\n    switch (std::atoi(argv[1])) {\n"
        + "".join(calls)
        + "    }\n    return 1;\n}\n",
        encoding="utf-8",
    )
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/include", f"-I{ROOT}/bindings/cpp"]
    if run(["c++", *flags, source, "-o", folder / "all", *LINK], folder) is None:
        for block in blocks:
            block.failed = True


def build_go(blocks, folder):
    inside = folder / "go"
    inside.mkdir()
    (inside / "go.mod").write_text(
        f"module programs\n\ngo 1.24\n\nrequire {MODULE} v0.0.0\n\nreplace {MODULE} => {ROOT}/bindings/go\n"
    )
    for i, block in enumerate(blocks):
        (inside / f"go{i}").mkdir()
        text = f"//line {ROOT / block.page}:{block.line}\n{block.code}"
        (inside / f"go{i}" / "main.go").write_text(text, encoding="utf-8")
        block.command = [folder / "bin" / f"go{i}"]
    settings = {"GOFLAGS": "-mod=mod -tags=taper_checkout", "GOPROXY": "off"}
    # Without the tables for debuggers the linker has half to do.
    command = ["go", "build", "-ldflags=-w", "-o", f"{folder}/bin/", "./..."]
    if run(command, inside, **settings) is None:
        for block in blocks:
            block.failed = True


def build_python(blocks, folder):
    for i, block in enumerate(blocks):
        block.command = [sys.executable, folder / f"{i}.py"]
        block.command[1].write_text(block.code, encoding="utf-8")


def main():
    arguments = sys.argv[1:]
    listing = "--list" in arguments
    names = [a for a in arguments if a != "--list"] or PAGES
    pages = {page: read(page, listing) for page in names}
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        for kind, build in (("c", build_c), ("cpp", build_cpp), ("go", build_go), ("python", build_python)):
            blocks = [block for page in pages.values() for block in page if block.kind == kind]
            if blocks:
                folder = pathlib.Path(name) / kind
                folder.mkdir()
                build(blocks, folder)
        for page, blocks in pages.items():
            folder = pathlib.Path(name) / page.replace("/", "_")
            folder.mkdir()
            for block in blocks:
                if not block.runs():
                    continue
                settings = {"PYTHONPATH": f"{ROOT}/bindings/python", "TAPER_LIBRARY": str(LIBRARY / "libtaper.so")}
                printed = run(block.command, folder, **settings)
                if printed is None or (block.wanted is not None and printed != block.wanted):
                    block.failed = True
                    print(f"FAILED: {block.where}: it printed\n{printed}instead of\n{block.wanted or ''}")
            bad = [block for block in blocks if block.failed]
            for block in bad:
                print(f"FAILED: {block.where}")
            failed += len(bad)
            print(f"{page}: {len(blocks)} blocks, {len(bad)} failed")
    sys.exit(1 if failed else 0)


main()
