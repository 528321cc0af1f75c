#!/usr/bin/env bash
# Builds the library into target/release: libtaper.so (and libtaper.so.1, the name that programs load), libtaper.a
# and the rlib.
set -eu
. "$(dirname "$0")/env.sh"
cd "$ROOT"

"$ROOT/scripts/deps.sh" build
retry 3 cargo build --release --locked --lib

# The loader looks for the SONAME; cargo writes libtaper.so only.
ln -sfn libtaper.so target/release/libtaper.so.1
