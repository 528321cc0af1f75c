#!/usr/bin/env bash
# Records what programs.cpp prints with libtorch, which a Python with torch brings: record.sh /path/to/python
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${1:?a Python that has torch}
torch=$("$python" -c 'import os, torch; print(os.path.dirname(torch.__file__))')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
g++ -std=c++20 -O0 -w -I"$torch/include" -I"$torch/include/torch/csrc/api/include" "$here/programs.cpp" -o "$work/programs" \
    -L"$torch/lib" -Wl,--no-as-needed -ltorch -ltorch_cpu -lc10 -Wl,-rpath,"$torch/lib" -Wl,--allow-shlib-undefined
mkdir "$work/data"
OMP_NUM_THREADS=1 "$work/programs" "$work/data" >"$here/expected.txt"
