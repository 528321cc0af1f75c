#!/usr/bin/env bash
# Builds and runs the C++ tests against target/release/libtaper.so: each header alone, C++17, C++20 under
# AddressSanitizer; then the examples' compilation. TAPER_LIB_DIR names another folder with the library.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
lib=${TAPER_LIB_DIR:-$root/target/release}
cxx=${CXX:-g++}
out=$root/build/cpp
mkdir -p "$out"
flags=(-Wall -Wextra -Wpedantic -Wshadow -Werror -O0 -g1 -I"$root/include" -I"$root/bindings/cpp" "-DTAPER_ROOT=\"$root\"")
link=(-L"$lib" -ltaper -Wl,-rpath,"$lib" -pthread)

for header in "$root"/bindings/cpp/taper.hpp "$root"/bindings/cpp/taper/*.hpp; do
    case $header in */ops_gen.hpp | */torch.hpp) continue ;; esac # part of tensor.hpp; compiled by libtorch/run.sh
    printf '#include "%s"\n#include "%s"\n' "$header" "$header" >"$out/alone.cpp"
    "$cxx" -std=c++17 "${flags[@]}" -fsyntax-only "$out/alone.cpp"
done
# As C++17 plainly, as C++20 with sanitizers: compiling is most of this lane's time.
"$cxx" -std=c++17 "${flags[@]}" "$root/bindings/cpp/tests/test.cpp" -o "$out/test17" "${link[@]}"
echo "C++17:"
"$out/test17"
"$cxx" -std=c++20 "${flags[@]}" -fsanitize=address,undefined -fno-sanitize-recover \
    "$root/bindings/cpp/tests/test.cpp" -o "$out/test_asan" "${link[@]}"
echo "C++20, AddressSanitizer:"
TAPER_ALLOCATOR=system "$out/test_asan"
# Devices: with what this machine has, and without OpenCL.
"$cxx" -std=c++17 "${flags[@]}" "$root/bindings/cpp/tests/devices.cpp" -o "$out/devices" "${link[@]}"
(cd "$out" && ./devices && OCL_ICD_VENDORS=/nonexistent ./devices)
for example in tensors digits; do
    "$cxx" -std=c++17 "${flags[@]}" "$root/examples/cpp/$example.cpp" -o "$out/$example" "${link[@]}"
done
"$out/tensors" >"$out/tensors.txt"
grep -q 'mat1 and mat2 shapes cannot be multiplied' "$out/tensors.txt"
(cd "$root" && "$out/digits" --epochs 1 --weights "$out/digits.safetensors" | tail -n 12)
