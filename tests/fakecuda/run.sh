#!/usr/bin/env bash
# Tests of the CUDA backend on the test double (README.md here), and of the double itself.  run.sh [PART...]
# Parts: self backend ops c languages. Without any all of them run.
set -eu
. "$(dirname "$0")/../../scripts/env.sh"
cd "$ROOT"
parts=${*:-self backend ops c languages}
out=$ROOT/target/fakecuda
# The library that C and the languages use (`make` builds it).
lib=$ROOT/${TAPER_LIBRARY_DIR:-target/release}
tests/fakecuda/build.sh asan

has() { case " $parts " in *" $1 "*) ;; *) return 1 ;; esac }
step() { echo "--- $* ---"; }

if has self; then
    for kind in lib asan; do
        step "the double itself, $kind"
        sanitize=
        [ $kind = lib ] || sanitize=-fsanitize=address
        # shellcheck disable=SC2086
        ${CXX:-g++} -std=c++17 -g1 $sanitize -Wall -Wextra -Werror tests/fakecuda/selftest.cpp -o "$out/selftest-$kind" \
            -L"$out/$kind" -lcuda -lnvrtc -lcublas -Wl,-rpath,"$out/$kind"
        ASAN_OPTIONS=detect_leaks=0 "$out/selftest-$kind"
    done
fi

if [ ! -e src/backend/cuda ]; then
    echo "there is no CUDA backend yet: only the double was tested"
    exit 0
fi

# The program under test finds the double first, keeps its cubins apart, and says at the end how much ran.
report=$out/report
use() { # use lib|asan
    export TAPER_CUDA_LIBS=$out/$1:$out/$1/cudnn LD_LIBRARY_PATH=$out/$1:$out/$1/cudnn
    export TAPER_CACHE_DIR=$out/$1/taper-cache
    mkdir -p -m 700 "$TAPER_CACHE_DIR"
}
use lib
export TAPER_KERNEL_DUMP=$ROOT/target/kernel-dump TAPER_TEST_CUDA=1 FAKECUDA_QUIET=1
export FAKECUDA_REPORT=$report
mkdir -p "$TAPER_KERNEL_DUMP"

# checked NAME COMMAND...: the command succeeds, kernels ran, and the double had nothing to complain about.
checked() {
    local name=$1 log=$out/$1.log
    shift
    step "$name"
    rm -f "$report"
    if ! "$@" >"$log" 2>&1; then
        tail -n 120 "$log"
        echo "FAILED: $name"
        return 1
    fi
    tail -n 4 "$log"
    if grep -q 'MISUSE' "$log"; then
        grep -m 20 'MISUSE' "$log"
        echo "FAILED: $name: the double was misused"
        return 1
    fi
    awk '{ launches += $2; calls += $4; copies += $6; allocations += $8; graphs += $10; modules += $12 }
         END { print "    ran " launches + 0 " kernels, " calls + 0 " library calls, " graphs + 0 " graphs, " copies + 0 " copies"
               if (launches == 0) { print "no kernel ran: the tests did not use the device"; exit 1 } }' "$report" 2>/dev/null ||
        { echo "FAILED: $name"; return 1; }
}

if has backend || has ops; then rust_tests; fi
if has backend; then
    TAPER_TEST_DEVICE=cuda checked backend "$RUST_TESTS" backend::gpu::tests:: --nocapture
    checked cuda "$RUST_TESTS" backend::cuda:: suites::cuda:: --nocapture
    # Without cuDNN the backend's own kernels convolve.
    TAPER_TEST_DEVICE=cuda TAPER_CUDNN=0 checked no-cudnn "$RUST_TESTS" backend::gpu::tests::conv --nocapture
fi
if has ops; then
    # In two processes: the double runs everything of one process on one thread.
    suite() { # suite SHARD TEST...
        TAPER_TEST_DEVICE=cuda TAPER_TEST_SHARD=$1 "$RUST_TESTS" "${@:2}" --nocapture --test-threads=1
    }
    shards() {
        local status=0
        suite 0/2 suites::ops_fixtures:: suites::gradcheck:: &
        suite 1/2 suites::ops_fixtures:: suites::gradcheck:: &
        for _ in 1 2; do wait -n || status=1; done
        return $status
    }
    checked ops shards
    checked others suite 0/1 suites::autograd:: suites::rng_ops:: suites::train::
fi
if has c || has languages; then
    [ -e "$lib/libtaper.so" ] || { echo "$lib/libtaper.so does not exist; build it with: make"; exit 1; }
    ln -sfn libtaper.so "$lib/libtaper.so.1"
fi
if has c; then
    for kind in lib asan; do
        sanitize=
        [ $kind = lib ] || sanitize=-fsanitize=address
        # shellcheck disable=SC2086
        cc -std=c99 -g $sanitize -Wall -Wextra -Werror -Iinclude tests/gpu/device.c -o "$out/program-$kind" \
            -L"$lib" -ltaper -Wl,-rpath,"$lib" -lm
        # No caching: each tensor is an allocation of its own, whose borders the double and the sanitizer watch.
        use $kind
        TAPER_ALLOCATOR=system ASAN_OPTIONS=detect_leaks=0 checked "c-$kind" "$out/program-$kind" cuda
    done
fi
# Devices, moves between them, graphs: what the tests of each language do where there is a CUDA device.
if has languages; then
    use lib
    export OCL_ICD_VENDORS=/nonexistent
    link="-L$lib -ltaper -Wl,-rpath,$lib"
    mkdir -p target/c-tests
    for test in device graph; do
        # shellcheck disable=SC2086
        cc -std=c11 -D_DEFAULT_SOURCE -Iinclude "tests/c/test_$test.c" -o "$out/c-$test" $link -lm
        checked "c-$test" "$out/c-$test"
    done
    # shellcheck disable=SC2086
    ${CXX:-g++} -std=c++17 -Iinclude -Ibindings/cpp bindings/cpp/tests/devices.cpp -o "$out/cpp-devices" $link -pthread
    checked cpp-devices "$out/cpp-devices"
    if have go; then
        (cd bindings/go && CGO_LDFLAGS="-L$lib -Wl,-rpath,$lib" go test -c -o "$out/go-test" .)
        # Go ends without C's exit handlers, so the double cannot write its report.
        step go
        (cd bindings/go && "$out/go-test" -test.v -test.run '^(TestDevices|TestMoves|TestPrecision|TestGraphs|TestEvents)$') \
            >"$out/go.log" 2>&1 || { tail -n 60 "$out/go.log" && exit 1; }
        ! grep -m 20 MISUSE "$out/go.log" || exit 1
        grep -q 'cuda:0: ' "$out/go.log" && ! grep SKIP "$out/go.log" || { echo "FAILED: go: no CUDA device was used"; exit 1; }
    fi
    if [ -x .venv/bin/python ]; then
        PYTHONPATH=bindings/python TAPER_LIBRARY=$lib/libtaper.so \
            checked python .venv/bin/python -m pytest -q bindings/python/tests/test_device.py \
            bindings/python/tests/test_cuda.py
        # All other tests of Python, with CUDA as the default device.
        TAPER_TEST_DEVICE=cuda PYTHONPATH=bindings/python TAPER_LIBRARY=$lib/libtaper.so \
            checked python-suite .venv/bin/python -m pytest -q bindings/python/tests
    fi
fi
echo "passed on the test double; only a run on a GPU (tests/gpu/run.sh) says that CUDA works"
