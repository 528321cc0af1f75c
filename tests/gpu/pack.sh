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
rust_tests

rm -rf "$pack"
mkdir -p "$pack/bin" "$pack/lib" "$pack/tests" "$pack/target/release"
# The script that runs both test programs, and the programs beside it.
echo '#!/bin/sh' >"$pack/bin/rust-tests"
echo 'status=0' >>"$pack/bin/rust-tests"
sed -n 's/^"\([^"]*\)" "$@".*/\1/p' "$RUST_TESTS" | while read -r program; do
    name=tests-$(basename "$program" | sed 's/-[0-9a-f]*$//')
    strip -o "$pack/bin/$name" "$program"
    echo "\"\$(dirname \"\$0\")/$name\" \"\$@\" || status=1" >>"$pack/bin/rust-tests"
done
echo 'exit $status' >>"$pack/bin/rust-tests"
chmod +x "$pack/bin/rust-tests"
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
# Where the test double lies, and that this is a pack.
echo "$ROOT" >"$pack/origin"
git rev-parse HEAD >"$pack/commit" 2>/dev/null || true
cp -r tests/fixtures "$pack/tests/"
cp tests/gpu/run.sh tests/gpu/compare.py "$pack/"
cp -r benches data Cargo.toml "$pack/"
mkdir -p "$pack/bindings" "$pack/examples"
cp -r bindings/python "$pack/bindings/"
cp -r examples/python "$pack/examples/" 2>/dev/null || true
# pytest, in case the Python there has none: plain Python, taken from the tests' environment.
if [ -x .venv/bin/python ]; then
    mkdir -p "$pack/site"
    site=$(.venv/bin/python -c 'import pytest, pathlib; print(pathlib.Path(pytest.__file__).parents[1])')
    for name in pytest _pytest pluggy iniconfig packaging pygments py.py; do cp -r "$site/$name" "$pack/site/"; done
    for name in pytest pluggy; do cp -r "$site/$name"-*.dist-info "$pack/site/"; done # it asks for its version
else
    echo "no .venv (scripts/deps.sh test): the pack brings no pytest"
fi
# compute-sanitizer, from NVIDIA's wheel; a version that CUDA 13's first drivers know.
wheel=nvidia-cuda-sanitizer-api==13.0.85
store=$ROOT/target/gpu-sanitizer
if [ ! -e "$store/bin/compute-sanitizer" ]; then
    temporary=$(mktemp -d)
    if python3 -m pip download -q --no-deps --only-binary :all: -d "$temporary" "$wheel"; then
        python3 -m zipfile -e "$temporary"/*.whl "$temporary/wheel"
        mkdir -p "$store"
        cp -r "$temporary"/wheel/nvidia/cu13/bin "$temporary"/wheel/nvidia/cu13/lib "$temporary"/wheel/*.dist-info/licenses "$store/"
        ln -sf ../lib/libsanitizer-collection.so "$store/bin/libsanitizer-collection.so"
        chmod +x "$store"/bin/* "$store"/lib/*
    fi
    rm -rf "$temporary"
fi
if [ -e "$store/bin/compute-sanitizer" ]; then cp -r "$store" "$pack/sanitizer"; else echo "no $wheel: the pack brings no compute-sanitizer"; fi
find "$pack" -name __pycache__ -prune -exec rm -rf {} +
tar -C "$ROOT/target" -c gpu-pack | xz -T2 -3 >"$pack.tar.xz"
du -sh "$pack" "$pack"/* "$pack.tar.xz" | sort -h
limit=$((60 << 20))
[ "$(stat -c %s "$pack.tar.xz")" -lt $limit ] || { echo "the packed file is larger than 60 MB"; exit 1; }
