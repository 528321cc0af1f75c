#!/usr/bin/env bash
# Runs the benchmarks on Taper and on PyTorch. TAPER_BENCH_PYTHON names a Python that has PyTorch and NumPy already;
# without it PyTorch is installed from PyPI into .venv-bench. `--sweep [PATTERN]`: many ops briefly (benches/sweep.py).
set -eu
. "$(dirname "$0")/env.sh"
cd "$ROOT"
"$ROOT/scripts/deps.sh" bench
[ -e target/release/libtaper.so ] || "$ROOT/scripts/build.sh"
python=${TAPER_BENCH_PYTHON:-$ROOT/.venv-bench/bin/python}
mkdir -p target/benches
cc -std=c99 -O2 -Wall -Wextra -Iinclude benches/small_ops.c -o target/benches/small_ops \
    -Ltarget/release -ltaper -Wl,-rpath,"$ROOT/target/release"
if [ "${1:-}" = --sweep ]; then
    shift
    exec "$python" benches/sweep.py "$@"
fi
exec "$python" benches/run.py "$@"
