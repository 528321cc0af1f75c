#!/usr/bin/env bash
# Installs into a temporary folder, whose name has a space, and builds the first programs of docs/C.md, CPP.md and GO.md
# there with nothing but what was installed: through pkg-config and CMake, with the shared library and with the static
# one, and with -static (Go's static programs and vendoring with LONG=1). What the machine lacks (CMake, g++, Go) is said and left out.
set -eu
. "$(dirname "$0")/env.sh"
cd "$ROOT"
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
export PREFIX="$dir/a prefix"
fail() { echo "FAILED: $*"; exit 1; }
step() { echo "== $*"; }

step "install without cargo"
# cargo is not on the PATH of whoever installs.
mkdir "$dir/bin"
printf '#!/bin/sh\necho "cargo was called" >&2\nexit 1\n' >"$dir/bin/cargo"
chmod +x "$dir/bin/cargo"
PATH="$dir/bin:$PATH" make -s install PREFIX="$PREFIX"
version=$(project_version)
for file in lib/libtaper.so lib/libtaper.so.1 lib/libtaper.a include/taper.h include/taper/tensor.hpp \
    share/doc/taper/LICENSE-MIT share/doc/taper/docs/C.md share/doc/taper/docs/reference/layers.md share/doc/taper/examples/go/digits/main.go share/man/man3/taper.3 share/taper/go/taper.h; do
    [ -e "$PREFIX/$file" ] || fail "$file was not installed"
done
python3 tests/packages/links.py "$PREFIX/share/doc/taper" || fail "links of the installed pages lead nowhere"
# The library is a plain file there: no path of this checkout may have been baked in.
! grep -rIl -e "$ROOT" "$PREFIX" || fail "these files name the checkout"
! grep -rIlE '@[A-Z_]+@' "$PREFIX/lib/pkgconfig" "$PREFIX/lib/cmake" "$PREFIX/share/man" || fail "these are not filled in"
if have man; then
    text=$(MANPATH="$PREFIX/share/man" man --warnings -l "$PREFIX/share/man/man3/taper.3" 2>&1 >/dev/null) || true
    [ -z "$text" ] || fail "the man page: $text"
fi

export PKG_CONFIG_PATH="$PREFIX/lib/pkgconfig"
[ "$(pkg-config --modversion taper)" = "$version" ] || fail "pkg-config does not know version $version"
page() { python3 tests/packages/blocks.py "docs/$1.md" "$2" "$dir/xor.$2" "$dir/expected"; }
# runs FILE [VARIABLE=VALUE...]: in a folder of its own; it must print what the page says.
runs() {
    (cd "$dir" && env "${@:2}" "$1") >"$dir/out" || fail "$1 failed"
    diff "$dir/expected" "$dir/out" || fail "$1 does not print what the page says"
}
shared=LD_LIBRARY_PATH="$PREFIX/lib"

step "C"
page C c
# As the page says: a shell takes the backslashes of pkg-config back.
eval "cc -std=c99 -Wall -Wextra -Werror '$dir/xor.c' -o '$dir/c-shared' $(pkg-config --cflags --libs taper)"
runs "$dir/c-shared" "$shared"
eval "cc -std=c99 '$dir/xor.c' -o '$dir/c-whole' $(pkg-config --cflags --libs taper-static)"
runs "$dir/c-whole"
! readelf -d "$dir/c-whole" | grep -q 'NEEDED.*libtaper' || fail "libtaper.so is needed"
eval "cc -std=c99 -static '$dir/xor.c' -o '$dir/c-static' $(pkg-config --static --cflags --libs taper) 2>'$dir/warnings'" ||
    { cat "$dir/warnings"; fail "gcc -static"; }
grep -v 'in statically linked applications\|in function' "$dir/warnings" || true
! readelf -l "$dir/c-static" | grep -q INTERP || fail "the program is not static"
runs "$dir/c-static" -i
# What a static program cannot do is an error that says why.
cat >"$dir/devices.c" <<'C'
#include <stdio.h>
#include <string.h>
#include <taper.h>

int main(void) {
    const int32_t types[] = {TAPER_DEVICE_OPENCL, TAPER_DEVICE_CUDA};
    const int64_t size = 2;
    for (int i = 0; i < 2; i++) {
        taper_device device = {types[i], 0};
        taper_tensor *x = NULL;
        taper_error *error = taper_ones(&size, 1, TAPER_FLOAT32, device, &x);
        if (error == NULL || strstr(taper_error_message(error), "linked with -static") == NULL) {
            printf("%s\n", error ? taper_error_message(error) : "no error");
            return 1;
        }
        taper_error_free(error);
    }
    return 0;
}
C
eval "cc -static '$dir/devices.c' -o '$dir/devices' $(pkg-config --static --cflags --libs taper) 2>/dev/null"
"$dir/devices" || fail "a static program does not say why it has no devices"

step "setuid"
tests/packages/setuid.sh

if have g++; then
    step "C++"
    page CPP cpp
    eval "c++ -std=c++17 -Wall -Wextra -Werror '$dir/xor.cpp' -o '$dir/cpp-shared' $(pkg-config --cflags --libs taper)"
    runs "$dir/cpp-shared" "$shared"
    eval "c++ -std=c++17 -static '$dir/xor.cpp' -o '$dir/cpp-static' $(pkg-config --static --cflags --libs taper) 2>'$dir/warnings'" ||
        { cat "$dir/warnings"; fail "g++ -static"; }
    ! readelf -l "$dir/cpp-static" | grep -q INTERP || fail "the program is not static"
    runs "$dir/cpp-static" -i
    if have cmake; then
        step "CMake"
        mkdir "$dir/cmake"
        cp "$dir/xor.cpp" "$dir/xor.c" "$dir/cmake"
        cat >"$dir/cmake/CMakeLists.txt" <<C
cmake_minimum_required(VERSION 3.10)
project(xor C CXX)
set(CMAKE_CXX_STANDARD 17)
find_package(taper $version REQUIRED)
add_executable(shared xor.c)
target_link_libraries(shared PRIVATE taper::taper)
add_executable(whole xor.c)
target_link_libraries(whole PRIVATE taper::taper_static)
add_executable(cpp xor.cpp)
target_link_libraries(cpp PRIVATE taper::taper_static)
find_package(taper 99 QUIET)
if(taper_FOUND)
  message(FATAL_ERROR "there is no version 99")
endif()
C
        cmake -S "$dir/cmake" -B "$dir/cmake/build" -DCMAKE_PREFIX_PATH="$PREFIX" >"$dir/cmake.log" 2>&1 &&
            cmake --build "$dir/cmake/build" >>"$dir/cmake.log" 2>&1 || { cat "$dir/cmake.log"; fail CMake; }
        for program in shared whole cpp; do runs "$dir/cmake/build/$program"; done
        step "libtorch's CMake"
        mkdir "$dir/libtorch"
        cat >"$dir/libtorch/CMakeLists.txt" <<'C'
cmake_minimum_required(VERSION 3.18 FATAL_ERROR)
project(example-app)
find_package(Torch REQUIRED)
set(CMAKE_CXX_FLAGS "${CMAKE_CXX_FLAGS} ${TORCH_CXX_FLAGS}")
add_executable(example-app example-app.cpp)
target_link_libraries(example-app "${TORCH_LIBRARIES}")
set_property(TARGET example-app PROPERTY CXX_STANDARD 17)
C
        cat >"$dir/libtorch/example-app.cpp" <<'C'
#include <torch/torch.h>
#include <iostream>
int main() {
    torch::Tensor tensor = torch::eye(3);
    std::cout << tensor << std::endl;
}
C
        cmake -S "$dir/libtorch" -B "$dir/libtorch/build" -DCMAKE_PREFIX_PATH="$PREFIX/share/taper/libtorch" >"$dir/cmake.log" 2>&1 &&
            cmake --build "$dir/libtorch/build" >>"$dir/cmake.log" 2>&1 || { cat "$dir/cmake.log"; fail "libtorch's CMake"; }
        "$dir/libtorch/build/example-app" | grep -qF '[ CPUFloatType{3,3} ]' || fail "libtorch's program"
    else
        echo "SKIPPED: cmake is not installed"
    fi
else
    echo "SKIPPED: g++ is not installed"
fi

if have go; then
    step "Go"
    page GO go
    mkdir "$dir/go"
    mv "$dir/xor.go" "$dir/go/main.go"
    module=github.com/taper-torch/taper/bindings/go
    (
        # Nothing of the checkout's settings.
        export GOFLAGS=-mod=mod GOPROXY=off
        cd "$dir/go"
        go mod init xor 2>/dev/null
        go mod edit -require "$module@v0.0.0" -replace "$module=$(pkg-config --variable=godir taper)"
        go build -o "$dir/go-shared"
        if [ "${LONG:-0}" = 1 ]; then
            # Go's list of vendored modules cannot have a path with a space.
            ln -s "$PREFIX/share/taper/go" "$dir/module"
            go mod edit -replace "$module=$dir/module"
            go mod vendor
            GOFLAGS=-mod=vendor go build -o "$dir/go-vendored"
            rm -rf vendor
            go build -tags taper_static -o "$dir/go-whole"
            go build -tags taper_static,netgo,osusergo -ldflags '-linkmode external -extldflags "-static"' \
                -o "$dir/go-static" 2>"$dir/warnings" || { cat "$dir/warnings"; exit 1; }
        fi
    ) || fail "go build"
    runs "$dir/go-shared" "$shared"
    if [ "${LONG:-0}" = 1 ]; then
        runs "$dir/go-vendored" "$shared"
        runs "$dir/go-whole"
        ! readelf -l "$dir/go-static" | grep -q INTERP || fail "the program is not static"
        runs "$dir/go-static" -i
    fi
else
    echo "SKIPPED: go is not installed"
fi

step "LIBDIR, DESTDIR"
DESTDIR=$dir/root PREFIX=/usr LIBDIR=/usr/lib/triplet scripts/install.sh
PKG_CONFIG_PATH=$dir/root/usr/lib/triplet/pkgconfig pkg-config --variable=libdir taper | grep -qx /usr/lib/triplet || fail LIBDIR
DESTDIR=$dir/root PREFIX=/usr LIBDIR=/usr/lib/triplet scripts/install.sh --remove >/dev/null

step "uninstall"
make -s uninstall PREFIX="$PREFIX" >/dev/null
[ -z "$(find "$PREFIX" "$dir/root" -name '*taper*')" ] || { find "$PREFIX" "$dir/root" -name '*taper*'; fail "left behind"; }
