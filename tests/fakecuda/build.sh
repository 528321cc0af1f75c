#!/usr/bin/env bash
# Builds the test double into target/fakecuda/lib, and for AddressSanitizer into target/fakecuda/asan.
set -eu
. "$(dirname "$0")/../../scripts/env.sh"
cd "$ROOT/tests/fakecuda"
cxx=${CXX:-g++}

build() { # build FOLDER FLAG...
    local out=$ROOT/target/fakecuda/$1
    shift
    local sum
    sum=$({ cat ./*.cpp ./*.h build.sh ../../src/backend/kernels/prelude_host.h; echo "$cxx $*"; "$cxx" --version; } | sha256sum)
    [ "$(cat "$out/.sum" 2>/dev/null)" != "$sum" ] || return 0
    mkdir -p "$out"
    local flags=(-std=c++17 -g1 -Wall -Wextra -Werror -fPIC -fvisibility=hidden -shared "$@")
    "$cxx" "${flags[@]}" -Wl,-soname,libcuda.so.1 state.cpp memory.cpp stream.cpp fiber.cpp kernels.cpp \
        -o "$out/libcuda.so.1" -ldl -lpthread
    local local_cuda=("$out/libcuda.so.1" "-Wl,-rpath,\$ORIGIN")
    "$cxx" "${flags[@]}" -Wl,-soname,libnvrtc.so.13 nvrtc.cpp -o "$out/libnvrtc.so.13" "${local_cuda[@]}" -ldl
    "$cxx" "${flags[@]}" -Wl,-soname,libcublas.so.13 cublas.cpp -o "$out/libcublas.so.13" "${local_cuda[@]}"
    "$cxx" "${flags[@]}" -Wl,-soname,libcublasLt.so.13 cublaslt.cpp -o "$out/libcublasLt.so.13" "${local_cuda[@]}"
    # Apart, because the backend has to work without it too.
    mkdir -p "$out/cudnn"
    "$cxx" "${flags[@]}" -Wl,-soname,libcudnn.so.9 cudnn.cpp -o "$out/cudnn/libcudnn.so.9" "$out/libcuda.so.1" "-Wl,-rpath,\$ORIGIN/.."
    ln -sfn libcudnn.so.9 "$out/cudnn/libcudnn.so"
    cp module.h ../../src/backend/kernels/prelude_host.h "$out/"
    # Loaders look for several names.
    local name
    for name in libcuda.so.1 libnvrtc.so.13 libcublas.so.13 libcublasLt.so.13; do
        ln -sfn "$name" "$out/${name%%.so*}.so"
        [ "$name" = libcuda.so.1 ] || ln -sfn "$name" "$out/${name%.13}.12"
    done
    echo "$sum" >"$out/.sum"
}

build lib -O2
[ "${1:-}" != asan ] || build asan -O1 -fsanitize=address
