"""Compiles or runs every code block of the README, the pages per language and the reference:  snippets.py [--list] [PAGE...]

Blocks of c, cpp, go and python are programs if they have a main (Python: always). Those of C, C++ and Go that have none are put
into one, after the page's own includes. A block of `text` after a program is what it prints. A comment before the block
says what else is to be done with it:  <!-- snippet: compile -->  compiled and not run (it needs a device or a file that the reader
has), <!-- snippet: skip WHY --> left alone. Blocks of sh, cmake and text are not programs (scripts/test_install.sh runs those).
Needs target/release (`make`); what the machine lacks (g++, Go) is said and left out. Each block of Python runs in a process of
its own with what the page's blocks before it wrote to the same folder.
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
PAGES = ["README.md", "docs/C.md", "docs/CPP.md", "docs/GO.md", "docs/PYTHON.md"]
PAGES += sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs/reference/examples").glob("*.md"))
BLOCK = re.compile(r"(?:^<!-- snippet: (.*?) -->\n\n?)?^```(\w+)\n(.*?)^```$", re.M | re.S)
HEAD = {"c": "#include <taper.h>\n", "cpp": "#include <taper.hpp>\n"}


def run(command, folder, **settings):
    """Standard output, or None and the reason printed."""
    made = subprocess.run(
        command, cwd=folder, env={**os.environ, **settings}, capture_output=True, text=True, timeout=300
    )
    if made.returncode != 0:
        print(f"  {' '.join(map(str, command))}\n{made.stdout[-2000:]}{made.stderr[-4000:]}")
        return None
    return made.stdout


def build(kind, text, folder):
    """The command that runs a block, or None."""
    link = [f"-L{LIBRARY}", "-ltaper", f"-Wl,-rpath,{LIBRARY}"]
    program = folder / "program"
    if kind == "python":
        (folder / "program.py").write_text(text, encoding="utf-8")
        return [sys.executable, "program.py"]
    source = folder / f"program.{kind}"
    source.write_text(text, encoding="utf-8")
    if kind == "c":
        flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{ROOT}/include"]
        command = ["cc", *flags, source, "-o", program, *link, "-lm"]
    elif kind == "cpp":
        flags = ["-std=c++17", "-Wall", "-Wextra", f"-I{ROOT}/include", f"-I{ROOT}/bindings/cpp"]
        command = ["c++", *flags, source, "-o", program, *link]
    else:
        inside = folder / "go"
        shutil.rmtree(inside, ignore_errors=True)
        inside.mkdir()
        (inside / "main.go").write_text(text, encoding="utf-8")
        module = "github.com/taper-torch/taper/bindings/go"
        (inside / "go.mod").write_text(
            f"module program\n\ngo 1.24\n\nrequire {module} v0.0.0\n\nreplace {module} => {ROOT}/bindings/go\n"
        )
        settings = {"GOFLAGS": "-mod=mod -tags=taper_checkout", "GOPROXY": "off"}
        return [program] if run(["go", "build", "-o", program], inside, **settings) is not None else None
    return [program] if run(command, folder) is not None else None


def whole(kind, text):
    """A block without a main as a program that compiles it."""
    if kind == "python" or re.search(r"^(int main|func main)", text, re.M):
        return text, True
    if kind == "go":
        return text, False
    lines = text.splitlines(keepends=True)
    heads = "".join(line for line in lines if line.startswith("#include")) or HEAD[kind]
    rest = "".join(line for line in lines if not line.startswith("#include"))
    return heads + rest + ("" if re.search(r"\bmain\(", rest) else "\nint main(void) { return 0; }\n"), False


def check(page, listing):
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    failed = tried = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for block, after in zip(blocks, [*blocks[1:], None]):
            note, kind, code = block.groups()
            line = text.count("\n", 0, block.start(2)) + 1
            if kind not in ("c", "cpp", "go", "python"):
                continue
            where = f"{page}:{line} ({kind})"
            if note and note.startswith("skip"):
                print(f"left alone: {where}: {note[5:]}")
                continue
            tool = {"c": "cc", "cpp": "c++", "go": "go", "python": sys.executable}[kind]
            if shutil.which(tool) is None:
                print(f"SKIPPED: {where}: {tool} is not installed")
                continue
            if listing:
                print(where, note or "")
                continue
            tried += 1
            code, complete = whole(kind, code)
            command = build(kind, code, folder)
            if command is None:
                failed += 1
                print(f"FAILED: {where} does not compile")
                continue
            if note == "compile" or not complete:
                continue
            printed = run(
                command,
                folder,
                PYTHONPATH=f"{ROOT}/bindings/python",
                TAPER_LIBRARY=str(LIBRARY / "libtaper.so"),
            )
            wanted = after.group(3) if after and after.group(2) == "text" else None
            if printed is None or (wanted is not None and printed != wanted):
                failed += 1
                print(f"FAILED: {where}: it printed\n{printed}instead of\n{wanted or ''}")
    print(f"{page}: {tried} blocks, {failed} failed")
    return failed


def main():
    arguments = sys.argv[1:]
    listing = "--list" in arguments
    pages = [a for a in arguments if a != "--list"] or PAGES
    sys.exit(1 if sum(check(page, listing) for page in pages) else 0)


main()
