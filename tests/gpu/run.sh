#!/usr/bin/env bash
# The whole suite on a real GPU, from prebuilt programs (tests/gpu/pack.sh makes them): Rust, C and Python tests, a
# comparison with PyTorch on the same device, compute-sanitizer, and timings against PyTorch. Needs no network and no
# Rust; Python with NumPy, and PyTorch where there is something to compare with (its wheels bring cuBLAS, cuDNN, NVRTC).
#
#   run.sh [--double] [--quick] [--budget SECONDS] [--only PARTS]    PARTS: of rust,c,compare,python,demo,sanitizer,bench
#
# One command takes 5 to 20 minutes. Where a command may take 10 minutes only, these do everything, each in less (what
# would pass the budget is cut short and shown as such, never left out silently):
#
#   run.sh --budget 560 --only compare,c,rust
#   run.sh --budget 560 --only python,demo,sanitizer
#   run.sh --budget 560 --only bench
#
# Compiled kernels (1,500 or so, 60 ms of one core each) are kept in $TAPER_GPU_CACHE or /tmp/taper-gpu-cache-UID for
# the next command. Logs lie in $OUT or ./gpu-logs; printed is what is needed of a failing program's output, the end
# being a table. --double tries the script on the test double, where only its own mistakes can be found. --quick leaves
# the benchmarks' rounds short. TAPER_GPU_PYTHON: the Python to use, TAPER_GPU_JOBS: programs at a time.
set -u
here=$(cd "$(dirname "$0")" && pwd)
if [ -e "$here/origin" ]; then pack=$here; else pack=$here/../../target/gpu-pack; fi
double=0 quick=0 budget=0 only=rust,c,compare,python,demo,sanitizer,bench
while [ $# -gt 0 ]; do
    case $1 in
    --double) double=1 ;;
    --quick) quick=1 ;;
    --budget) budget=$2 && shift ;;
    --only) only=$2 && shift ;;
    *) sed -n '2,21p' "$0" && exit 2 ;;
    esac
    shift
done
begun=$SECONDS
# Unpacked anew where the archive is newer: a later command may bring another one.
if [ -e "$pack.tar.xz" ] && { [ ! -e "$pack/origin" ] || [ "$pack.tar.xz" -nt "$pack/unpacked" ]; }; then
    rm -rf "$pack"
    # Python where there is no xz.
    { tar -C "$(dirname "$pack")" -xJf "$pack.tar.xz" 2>/dev/null ||
        python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$pack.tar.xz" "$(dirname "$pack")"; } &&
        touch "$pack/unpacked"
fi
[ -e "$pack/origin" ] || { echo "$pack was not made: run tests/gpu/pack.sh first"; exit 2; }
pack=$(cd "$pack" && pwd)
logs=${OUT:-$PWD/gpu-logs}
mkdir -p "$logs" && logs=$(cd "$logs" && pwd)
cd "$pack" || exit 2
mkdir -p target/c-tests # where the C tests put their files

# A Python that has PyTorch, else any.
python=${TAPER_GPU_PYTHON:-}
for p in python3 python /opt/conda/bin/python /opt/*/bin/python3 /usr/local/bin/python3 /usr/bin/python3; do
    [ -z "$python" ] || break
    if "$p" -c 'import torch' 2>/dev/null; then python=$p; fi
done
python=$(command -v "${python:-python3}")
# Its wheels are what the library finds first.
export PATH=$(dirname "$python"):$PATH

device=cuda
export TAPER_TEST_DEVICE=$device TAPER_TEST_CUDA=1 TAPER_LIBRARY=$pack/lib/libtaper.so.1 RUST_BACKTRACE=0
# Rust's tests look for their fixtures there.
export CARGO_MANIFEST_DIR=$pack
export PYTHONPATH=$pack/bindings/python${PYTHONPATH:+:$PYTHONPATH}
# Beside the package, where programs that the tests start find it too.
"$python" -c 'import pytest' 2>/dev/null || cp -r "$pack"/site/. "$pack/bindings/python/"
export TAPER_CACHE_DIR=${TAPER_GPU_CACHE:-/tmp/taper-gpu-cache-$(id -u)}
mkdir -p "$TAPER_CACHE_DIR" && chmod 700 "$TAPER_CACHE_DIR"
cores=$(nproc)
jobs=${TAPER_GPU_JOBS:-$((cores >= 8 ? 4 : 1))}

echo "commit $(cat commit 2>/dev/null), $(uname -sm), $cores cores, $jobs programs at a time"
if [ $double = 1 ]; then
    root=$(cat origin)
    "$root/tests/fakecuda/build.sh"
    export TAPER_CUDA_LIBS=$root/target/fakecuda/lib:$root/target/fakecuda/lib/cudnn FAKECUDA_QUIET=1 TAPER_BENCH_SMALL=1
    export LD_LIBRARY_PATH=$TAPER_CUDA_LIBS
    export TAPER_CACHE_DIR=$TAPER_CACHE_DIR/double
    mkdir -p "$TAPER_CACHE_DIR"
    torch_device=cpu
    echo "ON THE TEST DOUBLE: nothing below says anything about a GPU"
else
    torch_device=cuda
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null || echo "nvidia-smi does not work"
fi
"$python" -c 'import torch; print("PyTorch", torch.__version__, "with CUDA" if torch.cuda.is_available() else "without CUDA")' 2>/dev/null ||
    echo "no PyTorch in $python"
# Before anything else: which device and libraries the library finds, or why it finds none.
"$python" -c '
import taper
try:
    taper.cuda.init()
    print("Taper on", taper.cuda.get_device_properties(0), "cuDNN", taper.backends.cudnn.version())
except Exception as error:
    print("TAPER FINDS NO DEVICE:", error)' 2>&1 | tail -n 3

rows=$(mktemp -d) number=0
trap 'rm -rf "$rows"' EXIT

# What of a failing program's output tells why: some 40 lines.
digest() {
    grep -aE 'panicked at|^E  |Error|error:|error at|FAILED|FAIL|failed|MISUSE|left:|right:|differ|off by|=========|should be|expected|not found' -A 2 "$1" |
        grep -avE '^--$|^test .* ok$|^$| PASSED | SKIPPED ' | cut -c1-300 | awk '!seen[$0]++' | head -n 40
    echo "    ... the end:"
    tail -n 6 "$1" | cut -c1-300
}

# run_one NUMBER NAME COMMAND...: runs it with its output in a log and leaves a row of the table. Status 77 is "skipped",
# with the reason in the log's last line.
run_one() {
    local number=$1 name=$2 log=$logs/$2.log begin=$SECONDS limit=900 status result note
    shift 2
    if [ "$budget" -gt 0 ]; then limit=$((budget - (SECONDS - begun) - 8)); fi
    if [ $limit -lt 5 ]; then
        printf '%-22s %-4s %5d s  %s\n' "$name" CUT 0 "no time was left: run it by itself" >"$rows/$number"
        return
    fi
    timeout -k 5 "$limit" "$@" >"$log" 2>&1
    status=$?
    note=$(grep -aE '^test result:|checks, |passed|failed|^test accuracy|same|worst|ERROR SUMMARY' "$log" | tail -n 1 | cut -c1-90)
    case $status in
    0) result=PASS ;;
    77) result=SKIP note=$(tail -n 1 "$log" | cut -c1-110) ;;
    124 | 137) result=CUT note="stopped after $limit s; last: $(tail -n 1 "$log" | cut -c1-60)" ;;
    *) result=FAIL ;;
    esac
    printf '%-22s %-4s %5d s  %s\n' "$name" $result $((SECONDS - begin)) "$note" >"$rows/$number"
    if [ $result = FAIL ] || [ $result = CUT ]; then
        { echo "--- $name: $result (status $status) ---"; digest "$log"; } >"$rows/$number.why"
    fi
    echo "$name: $result"
}
# part PART NAME COMMAND...: beside others of the group, `jobs` at a time.
part() {
    case ",$only," in *",$1,"*) ;; *) return 0 ;; esac
    shift
    number=$((number + 1))
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
    run_one "$(printf '%03d' $number)" "$@" &
}
# alone PART NAME COMMAND...: nothing else runs meanwhile.
alone() { wait; part "$@"; wait; }

# --- tests -----------------------------------------------------------------------------------------------------------

part compare compare-pytorch "$python" compare.py --device $device --torch-device $torch_device
alone rust rust-cuda bin/rust-tests backend::cuda:: suites::cuda::
part rust rust-ops_fixtures bin/rust-tests suites::ops_fixtures::
part rust rust-gradcheck bin/rust-tests suites::gradcheck::
part rust rust-backend bin/rust-tests backend::gpu::tests:: --nocapture
part c device bin/device cuda
part c device-exact env TAPER_ALLOCATOR=system bin/device cuda
part rust rust-suites bin/rust-tests suites:: --skip suites::cuda:: --skip suites::ops_fixtures:: --skip suites::gradcheck:: --nocapture
part rust rust-no-cudnn env TAPER_CUDNN=0 bin/rust-tests backend::gpu::tests::conv
part rust rust-no-cublas env TAPER_CUBLAS=0 bin/rust-tests backend::gpu::tests::gemm
for program in bin/c-*; do part c "$(basename "$program")" "$program"; done

# python_tests DEVICE ARGUMENT...: the suite with DEVICE as the default device.
python_tests() {
    "$python" -c 'import numpy' || { echo "no NumPy in $python"; return 77; }
    "$python" -c 'import pytest' || { echo "no pytest in $python"; return 77; }
    local on=$1
    shift
    cd bindings/python || return 1
    if [ -n "$on" ]; then export TAPER_TEST_DEVICE=$on; else unset TAPER_TEST_DEVICE; fi
    "$python" -m pytest -v -p no:cacheprovider --tb=short "$@"
}
export -f python_tests
export python
part python python-device bash -c 'python_tests "" tests/test_device.py'
part python python-suite env TAPER_CONV_TF32=0 bash -c 'python_tests cuda tests'
part demo demo-digits bin/digits --device cuda --epochs 6 --weights "$rows/digits.safetensors"

# --- compute-sanitizer -----------------------------------------------------------------------------------------------

sanitizer() { # sanitizer TOOL
    local tool
    tool=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer "$PWD/sanitizer/bin/compute-sanitizer" 2>/dev/null | head -n 1)
    [ -n "$tool" ] || { echo "compute-sanitizer is not installed and not in the pack"; return 77; }
    TAPER_ALLOCATOR=system "$tool" --tool "$1" --error-exitcode 9 --print-limit 20 bin/device cuda
    local status=$?
    # Without a kernel seen, it could not attach: a container without rights, a driver that is too old.
    [ $status != 255 ] || { echo "compute-sanitizer cannot attach here"; return 77; }
    return $status
}
export -f sanitizer
if [ $double = 1 ]; then
    sanitizer() { echo "the test double has no kernels of a GPU"; return 77; }
fi
for tool in memcheck racecheck synccheck initcheck; do part sanitizer "sanitizer-$tool" bash -c "sanitizer $tool"; done
wait

# --- times -----------------------------------------------------------------------------------------------------------

rounds=5 seconds=0.2
[ $quick = 0 ] || rounds=2 seconds=0.05
torch=$torch_device
"$python" -c 'import torch' 2>/dev/null || torch=none
narrow=()
if [ $double = 1 ]; then
    rounds=1 seconds=0.01 torch=none narrow=(--only 'lenet|large|matmul 8|matmul 64|cnn|linear|chain|bfloat')
fi
alone bench bench "$python" benches/run.py --device $device --torch-device $torch --rounds $rounds --seconds $seconds \
    --json "$logs/bench.json" "${narrow[@]}"
# Without its tables, because it was cut short, the lines that it printed as it went.
case ",$only," in
*,bench,*)
    grep -aE '^\||^LeNet|^- |^Taper on' "$logs/bench.log" 2>/dev/null | grep -q . &&
        grep -aE '^\||^LeNet|^- |^Taper on' "$logs/bench.log" || grep -aE '^  .* \| ' "$logs/bench.log"
    ;;
esac

cat "$rows"/*.why 2>/dev/null
echo
echo "part                   result   time"
cat "$rows"/[0-9][0-9][0-9] | tee "$logs/table.txt"
[ $double = 0 ] || echo "(on the test double)"
failed=$(grep -cE '^[^ ]+ +(FAIL|CUT)' "$logs/table.txt")
echo "$failed failed or cut, $((SECONDS - begun)) s; kernels kept: $(ls "$TAPER_CACHE_DIR" 2>/dev/null | wc -l)"
[ "$failed" = 0 ]
