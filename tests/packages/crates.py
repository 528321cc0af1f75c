"""Whether all crates have the licences and sources that deny.toml allows, from `cargo metadata`; what is
there twice has to have its reason there.

    crates.py

The same questions as `cargo deny check bans licenses sources`, for machines without cargo-deny; where that is installed it is
asked too, and for advisories, whose database it fetches. Needs Python 3.11 for TOML.
"""

import collections
import json
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"


def allowed(expression, licences):
    """An SPDX expression, where `licences` are those that are allowed. `/` is the old way to write OR."""
    words = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    at = 0

    def peek():
        return words[at] if at < len(words) else None

    def single():
        nonlocal at
        if peek() == "(":
            at += 1
            value = either()
            at += 1
            return value
        name = words[at]
        at += 1
        if peek() == "WITH":
            name = f"{name} WITH {words[at + 1]}"
            at += 2
        return name in licences

    def both():
        nonlocal at
        value = single()
        while peek() == "AND":
            at += 1
            value = single() and value
        return value

    def either():
        nonlocal at
        value = both()
        while peek() == "OR":
            at += 1
            value = both() or value
        return value

    value = either()
    if at != len(words):
        raise ValueError(f"{expression}: {words[at:]} is left over")
    return value


def test_expressions():
    for expression, wanted in (
        ("MIT", True),
        ("GPL-3.0", False),
        ("MIT/GPL-3.0", True),
        ("(MIT OR GPL-3.0) AND Zlib", True),
        ("MIT AND GPL-3.0 OR Zlib", True),
        ("MIT AND (GPL-3.0 OR AGPL-3.0)", False),
        ("Apache-2.0 WITH LLVM-exception", False),
    ):
        assert allowed(expression, {"MIT", "Zlib", "Apache-2.0"}) is wanted, expression


def main():
    test_expressions()
    try:
        import tomllib
    except ImportError:
        sys.exit(print("SKIPPED: crates: Python 3.11 is needed"))
    rules = tomllib.loads((ROOT / "deny.toml").read_text(encoding="utf-8"))
    licences = set(rules["licenses"]["allow"])
    (platform,) = rules["graph"]["targets"]
    command = [
        "cargo",
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--all-features",
        "--filter-platform",
        platform,
    ]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if made.returncode != 0:
        sys.exit(made.stderr)
    metadata = json.loads(made.stdout)
    used = {node["id"] for node in metadata["resolve"]["nodes"]}
    packages = [p for p in metadata["packages"] if p["id"] in used]
    failed = []
    versions, shares = collections.defaultdict(list), collections.Counter()
    for p in packages:
        name = f"{p['name']} {p['version']}"
        if p["source"] not in (None, CRATES_IO):
            failed.append(f"{name} comes from {p['source']}")
        if p["source"] is None:
            failed += [
                f"{name} takes any version of {d['name']}"
                for d in p["dependencies"]
                if d["req"] == "*" and not d.get("path")
            ]
        if p["license"] is None:
            failed.append(f"{name} names no licence")
        elif not allowed(p["license"], licences):
            failed.append(f"{name} has the licence {p['license']}")
        versions[p["name"]].append(p["version"])
        shares[p["license"]] += 1
    known = {entry["crate"]: entry["reason"] for entry in rules["bans"]["skip"]}
    for name, found in sorted(versions.items()):
        twice = [v for v in found if f"{name}@{v}" not in known]
        if len(twice) > 1:
            failed.append(f"{name} is there in the versions {', '.join(found)}: deny.toml, skip")
    there = {f"{name}@{v}" for name, found in versions.items() if len(found) > 1 for v in found}
    failed += [f"{name} is not there twice any more: deny.toml, skip" for name in known if name not in there]
    print(
        "\n".join(failed) or f"{len(packages)} crates of crates.io and this workspace, with licences that are allowed"
    )
    if "--list" in sys.argv:
        for licence, count in shares.most_common():
            print(f"{count:4} {licence}")
    if shutil.which("cargo-deny"):
        if (
            subprocess.run(
                ["cargo", "deny", "--workspace", "check", "bans", "licenses", "sources"], cwd=ROOT
            ).returncode
            != 0
        ):
            failed.append("cargo deny")
        if subprocess.run(["cargo", "deny", "fetch"], cwd=ROOT, capture_output=True).returncode != 0:
            print("SKIPPED: advisories: their database cannot be had")
        elif subprocess.run(["cargo", "deny", "--workspace", "check", "advisories"], cwd=ROOT).returncode != 0:
            failed.append("cargo deny: advisories")
    else:
        print("SKIPPED: advisories: cargo-deny is not installed")
    sys.exit(1 if failed else 0)


main()
