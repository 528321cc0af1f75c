#!/usr/bin/env bash
# Packs what tests/gpu/run.sh needs on a machine with a GPU and neither Rust nor a network: prebuilt test programs, the
# library, the Python package and its tests, fixtures, benchmarks. Makes target/gpu-pack and target/gpu-pack.tar.xz.
# --debug takes the unoptimised library, which is built already where the tests have run (for tries on the double).
set -eu
. "$(dirname "$0")/../../scripts/env.sh"
cd "$ROOT"
pack=$ROOT/target/gpu-pack
profile=release
[ "${1:-}" != --debug ] || profile=debug

if [ $profile = release ]; then scripts/build.sh; else cargo build --locked --lib; fi
tests=$(cargo test --locked --no-run --message-format=json 2>target/gpu-pack.log | python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["profile"]["test"]:
        print(message["target"]["name"], message["executable"])')
[ -n "$tests" ] || { echo "cargo built no test programs"; exit 1; }

rm -rf "$pack"
mkdir -p "$pack/bin" "$pack/lib" "$pack/tests" "$pack/target/release"
echo "$tests" | while read -r name file; do
    strip -o "$pack/bin/rust-$name" "$file"
    echo "packed rust-$name"
done
strip -o "$pack/lib/libtaper.so.1" "target/$profile/libtaper.so"
ln -s libtaper.so.1 "$pack/lib/libtaper.so"
# A call of every function of the header, for test_arguments.c.
mkdir -p target/c-tests
python3 tests/c/arguments.py include/taper.h >target/c-tests/arguments.inc
for source in tests/c/test_*.c; do
    name=$(basename "$source" .c)
    cc -std=c11 -D_DEFAULT_SOURCE -O1 -Iinclude -Itarget/c-tests "$source" -o "$pack/bin/c-${name#test_}" -L"$pack/lib" -ltaper \
        -Wl,-rpath,'$ORIGIN/../lib' -lpthread -lm
done
cc -std=c99 -O1 -g -Iinclude tests/gpu/device.c -o "$pack/bin/device" -L"$pack/lib" -ltaper -Wl,-rpath,'$ORIGIN/../lib' -lm
cc -std=c99 -O2 -Iinclude examples/c/digits.c -o "$pack/bin/digits" -L"$pack/lib" -ltaper -Wl,-rpath,'$ORIGIN/../lib' -lm
# The Rust tests open their fixtures by the path of the checkout that they were built in.
echo "$ROOT" >"$pack/origin"
git rev-parse HEAD >"$pack/commit" 2>/dev/null || true
cp -r tests/fixtures "$pack/tests/"
cp tests/gpu/run.sh tests/gpu/compare.py "$pack/"
cp -r benches data Cargo.toml "$pack/"
mkdir -p "$pack/bindings" "$pack/examples"
cp -r bindings/python "$pack/bindings/"
cp -r examples/python "$pack/examples/" 2>/dev/null || true
find "$pack" -name __pycache__ -prune -exec rm -rf {} +
tar -C "$ROOT/target" -c gpu-pack | xz -T2 -3 >"$pack.tar.xz"
du -sh "$pack" "$pack.tar.xz"
limit=$((60 << 20))
[ "$(stat -c %s "$pack.tar.xz")" -lt $limit ] || { echo "the packed file is larger than 60 MB"; exit 1; }
