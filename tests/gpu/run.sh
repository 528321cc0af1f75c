#!/usr/bin/env bash
# The whole suite on a real GPU, from prebuilt programs (tests/gpu/pack.sh makes them): Rust, C and Python tests, a
# comparison with PyTorch on the same device, compute-sanitizer, and timings against PyTorch. Needs no network and no
# Rust; Python with NumPy, and PyTorch where there is something to compare with (its wheels bring cuBLAS, cuDNN, NVRTC).
#
#   run.sh [--double] [--quick] [--no-bench] [--only PART]     PART: rust c python demo compare sanitizer bench
#
# --double tries the script on the test double, where only its own mistakes can be found. --quick leaves the
# benchmarks' rounds short. Logs lie in $OUT or ./gpu-logs. The last thing printed is a table.
set -u
here=$(cd "$(dirname "$0")" && pwd)
if [ -e "$here/origin" ]; then pack=$here; else pack=$here/../../target/gpu-pack; fi
double=0 quick=0 bench=1 only=
while [ $# -gt 0 ]; do
    case $1 in
    --double) double=1 ;;
    --quick) quick=1 ;;
    --no-bench) bench=0 ;;
    --only) only=$2 && shift ;;
    *) sed -n '2,11p' "$0" && exit 2 ;;
    esac
    shift
done
if [ ! -e "$pack/origin" ] && [ -e "$pack.tar.xz" ]; then tar -C "$(dirname "$pack")" -xJf "$pack.tar.xz"; fi
[ -e "$pack/origin" ] || { echo "$pack was not made: run tests/gpu/pack.sh first"; exit 2; }
pack=$(cd "$pack" && pwd)
logs=${OUT:-$PWD/gpu-logs}
mkdir -p "$logs"
cd "$pack" || exit 2
# Where the C tests put their files.
mkdir -p target/c-tests

python=${TAPER_GPU_PYTHON:-python3}
device=cuda
export TAPER_TEST_DEVICE=$device TAPER_TEST_CUDA=1 TAPER_LIBRARY=$pack/lib/libtaper.so.1
export PYTHONPATH=$pack/bindings/python${PYTHONPATH:+:$PYTHONPATH}
cache=$(mktemp -d) && export TAPER_CACHE_DIR=$cache
trap 'rm -rf "$cache"' EXIT

echo "commit $(cat commit 2>/dev/null), $(uname -sm), $(nproc) cores"
if [ $double = 1 ]; then
    root=$(cat origin)
    "$root/tests/fakecuda/build.sh"
    export TAPER_CUDA_LIBS=$root/target/fakecuda/lib:$root/target/fakecuda/lib/cudnn FAKECUDA_QUIET=1 TAPER_BENCH_SMALL=1
    export LD_LIBRARY_PATH=$TAPER_CUDA_LIBS
    echo "ON THE TEST DOUBLE: nothing below says anything about a GPU"
else
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null || echo "nvidia-smi does not work"
fi
"$python" -c 'import torch; print("PyTorch", torch.__version__, "with CUDA" if torch.cuda.is_available() else "without CUDA")' 2>/dev/null ||
    echo "no PyTorch in $python"

# The Rust tests read fixtures under the path that they were built with.
origin=$(cat origin)
if [ ! -e "$origin/tests/fixtures" ]; then
    mkdir -p "$(dirname "$origin")" && ln -s "$pack" "$origin" || echo "cannot link $origin to the pack: the Rust tests will miss their fixtures"
fi

rows=() failed=0
# part PART NAME COMMAND...: runs the command with its output in a log, and notes how it went. Status 77 is "skipped",
# with the reason in the log's last line.
part() {
    local part=$1 name=$2
    shift 2
    [ -z "$only" ] || [ "$only" = "$part" ] || return 0
    local log=$logs/$name.log begin=$SECONDS status result note
    timeout -k 10 "${PART_TIMEOUT:-900}" "$@" >"$log" 2>&1
    status=$?
    note=$(grep -aE '^test result:|checks, |passed|failed|^test accuracy|same|worst' "$log" | tail -n 1 | cut -c1-90)
    case $status in
    0) result=PASS ;;
    77) result=SKIP note=$(tail -n 1 "$log") ;;
    124) result=FAIL note="took longer than ${PART_TIMEOUT:-900} s" ;;
    *) result=FAIL ;;
    esac
    if [ $result = FAIL ]; then
        failed=$((failed + 1))
        echo "--- $name failed (status $status); the end of its output ---"
        tail -n 60 "$log"
    fi
    rows+=("$(printf '%-22s %-4s %5d s  %s' "$name" $result $((SECONDS - begin)) "$note")")
    echo "$name: $result"
}

# --- tests -----------------------------------------------------------------------------------------------------------

part rust rust-backend bin/rust-taper backend::gpu::tests:: --nocapture
part rust rust-cuda bin/rust-taper backend::cuda:: --nocapture
part rust rust-no-cudnn env TAPER_CUDNN=0 bin/rust-taper backend::gpu::tests::conv
for program in bin/rust-*; do
    name=$(basename "$program")
    [ "$name" = rust-taper ] || [ "$name" = rust-taper_gen ] || part rust "$name" "$program"
done
part c device bin/device cuda
part c device-exact env TAPER_ALLOCATOR=system bin/device cuda
for program in bin/c-*; do part c "$(basename "$program")" "$program"; done

python_tests() {
    "$python" -c 'import numpy' || { echo "no NumPy in $python"; return 77; }
    "$python" -c 'import pytest' || { echo "no pytest in $python"; return 77; }
    (cd bindings/python && "$python" -m pytest -q -p no:cacheprovider tests)
}
export -f python_tests 2>/dev/null || true
export python
part python python bash -c python_tests
part demo demo-digits bin/digits --device cuda --epochs 6 --weights "$cache/digits.safetensors"

# --- against PyTorch -------------------------------------------------------------------------------------------------

if [ $double = 1 ]; then torch_device=cpu; else torch_device=cuda; fi
part compare compare-pytorch "$python" compare.py --device $device --torch-device $torch_device

# --- compute-sanitizer -----------------------------------------------------------------------------------------------

sanitizer() { # sanitizer TOOL
    local tool
    tool=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2>/dev/null | tail -n 1)
    [ -n "$tool" ] || { echo "compute-sanitizer is not installed"; return 77; }
    # Where the tool itself cannot attach (a container without rights), a trivial program shows it.
    TAPER_ALLOCATOR=system "$tool" --tool "$1" --error-exitcode 9 bin/device cuda
}
export -f sanitizer
for tool in memcheck racecheck initcheck synccheck; do part sanitizer "sanitizer-$tool" bash -c "sanitizer $tool"; done

# --- times -----------------------------------------------------------------------------------------------------------

if [ $bench = 1 ]; then
    rounds=5 seconds=0.3
    [ $quick = 0 ] || rounds=2 seconds=0.1
    torch=$torch_device
    "$python" -c 'import torch' 2>/dev/null || torch=none
    [ $double = 0 ] || { rounds=1 seconds=0.01; torch=none; }
    only_double=()
    [ $double = 0 ] || only_double=(--only 'lenet|large|matmul 8|matmul 64|cnn|linear|chain|bfloat')
    PART_TIMEOUT=1500 part bench bench "$python" benches/run.py --device $device --torch-device $torch --rounds $rounds --seconds $seconds \
        --json "$logs/bench.json" "${only_double[@]}"
    [ -e "$logs/bench.log" ] && grep -aE '^\||^LeNet|^- |^Taper on' "$logs/bench.log"
fi

echo
echo "part                   result   time"
printf '%s\n' "${rows[@]}"
[ $double = 0 ] || echo "(on the test double)"
echo "$failed failed"
[ $failed = 0 ]
