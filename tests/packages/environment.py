"""Whether docs/ENVIRONMENT.md has every TAPER_ variable that the sources read, and no other."""

import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[2]
read = set()
for folder in ("src", "crates", "bindings/python/taper", "bindings/go"):
    for path in (root / folder).rglob("*"):
        if path.suffix in (".rs", ".c", ".py", ".go"):
            read |= set(re.findall(r'"(TAPER_[A-Z0-9_]+)"', path.read_text(encoding="utf-8")))
for path in (root / "tests").glob("*.rs"):
    read |= set(re.findall(r'"(TAPER_TEST_[A-Z0-9_]+)"', path.read_text(encoding="utf-8")))
page = set(re.findall(r"`(TAPER_[A-Z0-9_]+)`", (root / "docs/ENVIRONMENT.md").read_text(encoding="utf-8")))
if read != page:
    sys.exit(f"docs/ENVIRONMENT.md lacks {sorted(read - page)} and has {sorted(page - read)}, which nothing reads")
