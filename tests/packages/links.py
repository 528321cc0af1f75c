"""Whether the links of the pages lead somewhere, to the heading that they name too, and whether the functions and constants
of C that the pages speak of are in include/taper.h:  links.py [FOLDER]

FOLDER: where the pages were installed, without the tests that some speak of.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT
PAGES = [p for pattern in ("*.md", "*/*.md", "docs/reference/*.md") for p in sorted(FOLDER.glob(pattern))]
CODE = re.compile(r"^```.*?^```$", re.M | re.S)
# Names with a part that stands for many, build tags, targets, names of files.
NOT_C = re.compile(
    r"(taper_(static|checkout|torch|kernels)|.*(_x|_x_create|_name|_NAME.*|_))$|TAPER_(TEST|BENCH)_|TAPER_(HPP|H)$"
)


def anchors(path):
    """The names that GitHub gives to a page's headings."""
    found = set()
    for heading in re.findall(r"^#{1,6} (.*)$", CODE.sub("", path.read_text(encoding="utf-8")), re.M):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        name = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        at, number = name, 0
        while at in found:
            number += 1
            at = f"{name}-{number}"
        found.add(at)
    return found


def main():
    failed = []
    cache = {}
    header = (ROOT / "include/taper.h").read_text(encoding="utf-8")
    known = set(re.findall(r"\b(?:taper|TAPER)_\w+", header))
    known |= set(re.findall(r"`(TAPER_\w+)`", (ROOT / "docs/ENVIRONMENT.md").read_text(encoding="utf-8")))
    for page in PAGES:
        text = CODE.sub("", page.read_text(encoding="utf-8"))
        where = page.relative_to(FOLDER)
        for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text)):
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            if FOLDER != ROOT and target.is_relative_to(FOLDER / "tests"):
                continue
            if not target.exists():
                failed.append(f"{where}: {link}: there is no such file")
            elif anchor and target.suffix == ".md":
                if target not in cache:
                    cache[target] = anchors(target)
                if anchor not in cache[target]:
                    failed.append(f"{where}: {link}: there is no such heading")
        if page.parent != FOLDER / "docs/reference" and page.name not in ("SPECIFICATION.md", "CONTRIBUTING.md"):
            for span in re.findall(r"`([^`\n]+)`", text):
                for name in re.findall(r"\b(?:taper_[a-z]\w*|TAPER_[A-Z]\w*)", span):
                    if name not in known and not NOT_C.match(name):
                        failed.append(f"{where}: {name} is not in taper.h")
    print("\n".join(failed) or f"{len(PAGES)} pages, whose links lead somewhere")
    sys.exit(1 if failed else 0)


main()
