#!/usr/bin/env bash
# Compiles programs of libtorch against Taper: what they print is what libtorch prints (expected.txt, by record.sh). Then what
# they meet of Taper's own: files, refusals, weights of another module. TAPER_LIB_DIR names another folder with the library.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../../.." && pwd)
lib=${TAPER_LIB_DIR:-$root/target/release}
cxx=${CXX:-g++}
here=$root/bindings/cpp/tests/libtorch
out=$root/build/libtorch
rm -rf "$out"
mkdir -p "$out/data"
flags=(-std=c++17 -Wall -Wextra -Wpedantic -Wshadow -Werror -O0 -g1
    -I"$root/include" -I"$root/bindings/cpp" -I"$root/packaging/libtorch/include")
link=(-L"$lib" -ltaper -Wl,-rpath,"$lib" -pthread)
for program in programs own; do
    "$cxx" "${flags[@]}" "$here/$program.cpp" -o "$out/$program" "${link[@]}"
done
"$out/programs" "$out/data" >"$out/printed.txt"
diff -u "$here/expected.txt" "$out/printed.txt"
rm -rf "$out/data" # 50 MB: libtorch wants the size of the original's files
mkdir "$out/data"
"$out/own" "$out/data"
