#!/usr/bin/env bash
# The whole test suite, lane by lane:  scripts/test.sh [LANE...]
#
# A lane is a function below whose name starts with `lane_`; it passes, fails, or calls `skip REASON`. With arguments
# only the lanes whose names start with one of them run: `scripts/test.sh rust c.asan`, or `make test LANES="rust go"`.
# Each lane's output goes to target/test-logs/LANE.log and, when it fails, to the terminal. `VERBOSE=1` shows everything.
set -u
. "$(dirname "$0")/env.sh"
cd "$ROOT" || exit 1

LOGS=$ROOT/target/test-logs
PYTHON=$ROOT/.venv/bin/python
LANE_TIMEOUT=${LANE_TIMEOUT:-1800}
mkdir -p "$LOGS"
# What a product is cut into must not depend on how busy the machine is.
export TAPER_OPENCL_TUNE=0 TAPER_CUDA_TUNE=0

# --- what lanes use --------------------------------------------------------------------------------------------------

# Ends the lane as skipped. A lane runs in a shell of its own, so this exits that.
skip() {
    echo "$*" >"$SKIP_FILE"
    exit 77
}
need_file() { [ -e "$1" ] || skip "${2:-$1 does not exist yet}"; }
need_tool() { have "$1" || skip "$1 is not installed"; }
need_library() { [ -e target/release/libtaper.so ] || { echo "target/release/libtaper.so was not built"; exit 1; }; }
need_python() { [ -x "$PYTHON" ] || skip "no .venv (scripts/deps.sh test)"; }
opencl_platform() {
    [ -n "$(ls /etc/OpenCL/vendors/*.icd 2>/dev/null)" ] || [ -n "${OCL_ICD_VENDORS:-}" ]
}

# --- the lanes, in the order in which they run -----------------------------------------------------------------------

LANES=(
    build
    rust.fmt rust.clippy rust.test generated
    abi c.plain c.asan c.valgrind cpp
    go.fmt go.vet go.test go.race
    python.lint python.test
    behaviour.c behaviour.cpp behaviour.go behaviour.python
    opencl.rust opencl.suite opencl.python opencl.behaviour opencl.oclgrind opencl.intel
    cuda cuda.nvrtc
    demo.c demo.cpp demo.go demo.python demo.opencl
    install
)

lane_build() { scripts/build.sh; }

lane_rust.fmt() { cargo fmt --all --check; }

lane_rust.clippy() { cargo clippy --locked --workspace --all-targets -- -D warnings; }

# The OpenCL backend's tests have a lane of their own, which can tell whether they ran.
lane_rust.test() {
    rust_tests || return 1
    "$RUST_TESTS" --skip backend::gpu::tests:: || return 1
    cargo test --locked -p taper-gen
}

lane_generated() { cargo run --locked -q -p taper-gen -- --check; }

lane_abi() {
    need_file tests/abi/check.sh
    tests/abi/check.sh
}

c_tests() {
    need_file tests/c/run.sh
    tests/c/run.sh "$1"
}
lane_c.plain() { c_tests plain; }
lane_c.asan() { c_tests asan; }
lane_c.valgrind() {
    need_tool valgrind
    c_tests valgrind
}

lane_cpp() {
    need_file bindings/cpp/tests/run.sh
    need_tool g++
    bindings/cpp/tests/run.sh
}

go_lane() {
    need_file bindings/go/go.mod
    need_tool go
    need_library
    cd bindings/go || exit 1
}
lane_go.fmt() {
    go_lane
    local files
    files=$(gofmt -l . ../../examples/go 2>/dev/null)
    [ -z "$files" ] || { echo "gofmt would change:"; echo "$files"; return 1; }
}
lane_go.vet() {
    go_lane
    go vet ./...
}
lane_go.test() {
    go_lane
    go test ./...
}
lane_go.race() {
    go_lane
    GOEXPERIMENT=cgocheck2 go test -race ./...
}

lane_python.lint() {
    need_python
    "$PYTHON" -m ruff check . && "$PYTHON" -m ruff format --check .
}
lane_python.test() {
    need_file bindings/python/tests
    need_python
    need_library
    # What goes wrong with OpenCL has a lane of its own.
    PYTHONPATH=bindings/python "$PYTHON" -m pytest -q -x --maxfail=20 bindings/python/tests \
        --ignore=bindings/python/tests/test_opencl.py
}

# The same cases in every language, compared with what PyTorch printed.
behaviour() { # behaviour LANGUAGE [DEVICE]
    need_python
    need_library
    "$PYTHON" tests/behaviour/run.py "$@"
}
lane_behaviour.c() { behaviour c; }
lane_behaviour.cpp() {
    need_tool g++
    behaviour cpp
}
lane_behaviour.go() {
    need_tool go
    behaviour go
}
lane_behaviour.python() { behaviour python; }

lane_opencl.rust() {
    opencl_platform || skip "no OpenCL platform (apt install pocl-opencl-icd)"
    rust_tests || return 1
    "$RUST_TESTS" backend::gpu::tests:: --nocapture 2>&1 | tee "$LOGS/opencl.out"
    [ "${PIPESTATUS[0]}" = 0 ] || return 1
    if grep -q 'SKIPPED' "$LOGS/opencl.out"; then
        echo "an OpenCL platform is installed, but the tests did not find a device"
        return 1
    fi
}
# Says how many kernels ran, from what tests printed into files; fails where none did.
kernels_ran() { # kernels_ran FILE...
    awk 'match($0, /[0-9]+ kernels ran on/) { n += substr($0, RSTART) }
         END { print (n + 0) " kernels ran"; exit n == 0 }' "$@"
}
# The suites of the CPU on an OpenCL device. Two processes, since a process compiles its kernels one at a time.
lane_opencl.suite() {
    opencl_platform || skip "no OpenCL platform (apt install pocl-opencl-icd)"
    device_suite "$LOGS/opencl.suite"
}
device_suite() { # device_suite OUTPUT: prints OUTPUT.0.out and so on when it is done
    export TAPER_TEST_DEVICE=opencl
    local part status=0 out=$1
    suite() { # suite OUTPUT TEST...
        "$RUST_TESTS" "${@:2}" --nocapture --test-threads=1 >"$1" 2>&1
    }
    rust_tests || return 1
    for part in 0 1; do
        TAPER_TEST_SHARD=$part/2 suite "$out.$part.out" suites::ops_fixtures:: suites::gradcheck:: &
    done
    for part in 0 1; do wait -n || status=1; done
    suite "$out.2.out" suites::autograd:: suites::rng_ops:: suites::train:: optim::tests:: || status=1
    cat "$out".?.out
    kernels_ran "$out".?.out || status=1
    return $status
}
# Broken drivers and loaders, damaged caches, missing memory, tensors of two devices; then all other tests of Python with
# OpenCL as the default device.
lane_opencl.python() {
    need_python
    need_library
    opencl_platform || skip "no OpenCL platform (apt install pocl-opencl-icd)"
    export PYTHONPATH=bindings/python
    local status=0
    "$PYTHON" -m pytest -q -rs bindings/python/tests/test_opencl.py || status=1
    TAPER_TEST_DEVICE=opencl "$PYTHON" -m pytest -q -rs --maxfail=20 bindings/python/tests || status=1
    return $status
}

lane_opencl.behaviour() {
    opencl_platform || skip "no OpenCL platform (apt install pocl-opencl-icd)"
    local language status=0
    for language in c cpp go python; do
        if [ $language = go ] && ! have go; then
            echo "go is not installed: its cases are left out"
            continue
        fi
        behaviour $language opencl || status=1
    done
    return $status
}

# Every kernel on a simulated device that sees each access: out of bounds or a race between work-items fails.
# Uninitialised memory is not asked for: the simulator takes the values of its own built-in functions for it, and
# gives up at LLVM's `freeze` (a quotient and a remainder of the same numbers, as in conv.cl), which leaves zeros.
lane_opencl.oclgrind() {
    local runtime log=$LOGS/opencl.oclgrind.out out=$LOGS/opencl.oclgrind.test seen=$ROOT/target/oclgrind-kernels name missing=
    runtime=$(ls /usr/lib/oclgrind/liboclgrind-rt.so /usr/lib/*/oclgrind/liboclgrind-rt.so 2>/dev/null | head -n 1)
    [ -n "$runtime" ] || skip "oclgrind is not installed (apt install oclgrind)"
    rust_tests || return 1
    rm -rf "$log".? "$seen"
    mkdir -p "$seen"
    export OCLGRIND_DATA_RACES=1 OCLGRIND_CHECK_API=1 TAPER_OPENCL_LIBRARY=$runtime TAPER_OPENCL_CACHE=0
    export TAPER_KERNEL_DUMP=$seen TAPER_REQUIRE_OPENCL=1
    OCLGRIND_LOG=$log.1 TAPER_TEST_DEVICE=opencl OP=$OCLGRIND_OPS \
        "$RUST_TESTS" suites::ops_fixtures:: --nocapture | tee "$out"
    [ "${PIPESTATUS[0]}" = 0 ] || return 1
    kernels_ran "$out" || return 1
    # What needs larger shapes or has no recorded values.
    OCLGRIND_LOG=$log.2 "$RUST_TESTS" backend::gpu::tests::small:: --ignored --test-threads=1 || return 1
    cat "$log".? >"$log"
    [ ! -s "$log" ] || { head -n 200 "$log"; return 1; }
    for name in $(sed -n 's/^\(KERNEL [A-Z_]* *\)\?\(KERNEL \)\?void \([a-z_]*\)(.*/\3/p' src/backend/kernels/*.cl); do
        [ -n "$(ls "$seen/$name"-*.cu 2>/dev/null)" ] || missing+=" $name"
    done
    [ -z "$missing" ] || { echo "kernels that did not run:$missing"; return 1; }
}
OCLGRIND_OPS=add.Tensor,where,cat,sum.dim,prod,var.correction,argmax,softmax,log_softmax,cumsum,logcumsumexp,cummax
OCLGRIND_OPS+=,sort,topk,gather,scatter.src,scatter_add,index,index_put_,index_select,masked_fill.Scalar,nonzero,matmul,bmm
OCLGRIND_OPS+=,linear,max_pool2d,avg_pool2d,layer_norm,batch_norm,cross_entropy,embedding,norm,conv1d,conv2d,conv3d
OCLGRIND_OPS+=,conv_transpose1d,conv_transpose2d

# A second driver: Intel's for CPUs, whose compiler and idea of a device are others. It is found beside the installed ones
# and chosen by name.
lane_opencl.intel() {
    local library=$ROOT/.venv-intel/lib/libintelocl.so vendors=$ROOT/target/intel-vendors out=$LOGS/opencl.intel device
    [ -e "$library" ] || skip "no .venv-intel (850 MB): TAPER_TEST_INTEL=1 make test LANES=opencl.intel"
    need_library
    need_python
    # Loaders read a folder of .icd files that OCL_ICD_VENDORS names.
    rm -rf "$vendors"
    mkdir -p "$vendors" target/demo
    cp /etc/OpenCL/vendors/*.icd "$vendors" 2>/dev/null
    echo "$library" >"$vendors/taper-intel.icd"
    export OCL_ICD_VENDORS=$vendors TAPER_REQUIRE_OPENCL=1
    export PYTHONPATH=bindings/python
    "$PYTHON" -c 'import taper; cl = taper.opencl; print(*map(cl.get_device_properties, range(cl.device_count())), sep="\n")'
    device=$("$PYTHON" -c 'import taper; print(taper.opencl.device("Intel(R) OpenCL"))') || return 1
    scripts/example.sh c digits --epochs 3 --device "$device" --weights target/demo/intel.safetensors | tee "$out.demo"
    [ "${PIPESTATUS[0]}" = 0 ] || return 1
    grep -q "test images, on $device (" "$out.demo" || { echo "the demo does not say that it ran on $device"; return 1; }
    accuracies "$out.demo" 2 85 || return 1
    # Two drivers at once, where another one is installed.
    TAPER_OPENCL_DEVICE= "$PYTHON" -m pytest -q -rs bindings/python/tests/test_opencl.py -k "two or forked or waits" || return 1
    # From here on opencl:0 is Intel's.
    export TAPER_OPENCL_DEVICE="Intel(R) OpenCL"
    rust_tests || return 1
    "$RUST_TESTS" backend::gpu::tests:: --nocapture || return 1
    device_suite "$out"
}

# On a test double of CUDA, which runs the kernels on the CPU.
lane_cuda() {
    need_tool g++
    tests/fakecuda/run.sh
}

# Every kernel through NVIDIA's own compiler, which needs no GPU.
lane_cuda.nvrtc() {
    need_file src/backend/kernels/prelude_cuda.h "the CUDA backend is not built yet"
    [ -x .venv-cuda/bin/python ] || skip "no .venv-cuda with NVRTC (scripts/deps.sh test)"
    tests/gpu/nvrtc.sh
}

# Each demo trains for a few epochs only: enough to see that the program runs, learns, saves, loads and guesses. All
# four print the same lines.
demo() { # demo LANGUAGE FILE
    need_file "$2"
    need_library
    local out=$LOGS/demo.$1.out
    mkdir -p target/demo
    scripts/example.sh "$1" tensors | tee "$LOGS/tensors.$1.out"
    [ "${PIPESTATUS[0]}" = 0 ] || return 1
    # The Python one follows the introduction to PyTorch and shows more.
    [ "$1" = python ] || { scripts/example.sh c tensors | diff - "$LOGS/tensors.$1.out" || return 1; }
    scripts/example.sh "$1" digits --epochs 6 --weights "target/demo/test-$1.safetensors" | tee "$out"
    [ "${PIPESTATUS[0]}" = 0 ] || return 1
    # Once by the process that trained, once by the one that loaded the weights.
    accuracies "$out" 2 90
}
accuracies() { # accuracies FILE HOW_MANY AT_LEAST
    awk -v wanted="$2" -v least="$3" '/^test accuracy/ { n++; if ($3 < least) bad = 1 }
         END { if (n != wanted || bad) { print "expected " wanted " lines of test accuracy, " least " % or more"; exit 1 } }' "$1"
}
lane_demo.c() { demo c examples/c/digits.c; }
lane_demo.cpp() { demo cpp examples/cpp/digits.cpp; }
lane_demo.go() {
    need_tool go
    demo go examples/go/digits
}
lane_demo.python() {
    need_python
    demo python examples/python/digits.py
}

# Trained and read again on an OpenCL device by all four; C reads the weights of each once more, on the CPU.
lane_demo.opencl() {
    need_library
    opencl_platform || skip "no OpenCL platform (apt install pocl-opencl-icd)"
    mkdir -p target/demo
    local language weights out
    for language in c cpp go python; do
        if [ $language = go ] && ! have go; then
            echo "go is not installed: its demo is left out"
            continue
        fi
        weights=target/demo/opencl-$language.safetensors out=$LOGS/demo.opencl.$language.out
        echo "== $language"
        scripts/example.sh $language digits --epochs 3 --device opencl --weights "$weights" | tee "$out"
        [ "${PIPESTATUS[0]}" = 0 ] || return 1
        grep -q 'test images, on opencl:0 (' "$out" || { echo "the demo does not say that it ran on opencl:0"; return 1; }
        scripts/example.sh c digits --predict --weights "$weights" | tee -a "$out"
        [ "${PIPESTATUS[0]}" = 0 ] || return 1
        accuracies "$out" 3 85 || return 1
    done
}

lane_install() {
    need_library
    scripts/test_install.sh
}

# --- running ---------------------------------------------------------------------------------------------------------

wanted() {
    [ ${#ONLY[@]} -eq 0 ] && return 0
    local prefix
    for prefix in "${ONLY[@]}"; do
        case "$1" in "$prefix" | "$prefix".*) return 0 ;; esac
    done
    return 1
}

# Called again with --lane NAME, this script runs one lane; so `timeout` can end a lane that hangs.
if [ "${1:-}" = --lane ]; then
    "lane_$2"
    exit
fi

ONLY=("$@")
for name in "${ONLY[@]}"; do
    found=0
    for lane in "${LANES[@]}"; do
        case "$lane" in "$name" | "$name".*) found=1 ;; esac
    done
    [ $found = 1 ] || { echo "no lane is called $name; there are: ${LANES[*]}"; exit 2; }
done

scripts/deps.sh test || exit 1

passed=0 failed=0 skipped=0
table=()
export SKIP_FILE=$LOGS/skip-reason
started=$SECONDS
for lane in "${LANES[@]}"; do
    wanted "$lane" || continue
    log=$LOGS/$lane.log
    rm -f "$SKIP_FILE"
    printf '%-14s ' "$lane"
    begin=$SECONDS
    if [ "${VERBOSE:-0}" = 1 ]; then
        echo
        timeout -k 10 "$LANE_TIMEOUT" "$0" --lane "$lane" 2>&1 | tee "$log"
        status=${PIPESTATUS[0]}
    else
        timeout -k 10 "$LANE_TIMEOUT" "$0" --lane "$lane" >"$log" 2>&1
        status=$?
    fi
    took=$((SECONDS - begin))
    note=
    if [ "$status" = 77 ] && [ -s "$SKIP_FILE" ]; then
        result=SKIP note=$(cat "$SKIP_FILE") skipped=$((skipped + 1))
    elif [ "$status" = 0 ]; then
        result=PASS passed=$((passed + 1))
    else
        result=FAIL failed=$((failed + 1)) note="exit status $status"
        [ "$status" = 124 ] && note="took longer than $LANE_TIMEOUT s"
    fi
    echo "$result  $took s  $note"
    table+=("$(printf '%-14s %-4s %5d s  %s' "$lane" "$result" "$took" "$note")")
    if [ "$result" = FAIL ] && [ "${VERBOSE:-0}" != 1 ]; then
        echo "--- the end of target/test-logs/$lane.log ---"
        tail -n 150 "$log"
        echo "--- end ---"
    fi
done

echo
echo "lane           result    time"
printf '%s\n' "${table[@]}"
echo "in $((SECONDS - started)) s"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ $((passed + skipped)) -gt 0 ]
