#!/usr/bin/env bash
# Formats the sources of every language that has a formatter.
set -eu
. "$(dirname "$0")/env.sh"
cd "$ROOT"
"$ROOT/scripts/deps.sh" test
cargo fmt --all
.venv/bin/python -m ruff check -q --fix .
.venv/bin/python -m ruff format .
if have gofmt; then
    for dir in bindings/go examples/go; do
        [ -d "$dir" ] && gofmt -w "$dir"
    done
fi
