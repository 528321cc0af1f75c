#!/usr/bin/env bash
# Builds the C tests against the library and runs them:  tests/c/run.sh [plain|asan|valgrind]...   (all three)
set -u
cd "$(dirname "$0")/../.." || exit 1
dir=${TAPER_LIBRARY_DIR:-target/release}
lib=$(readlink -f "$dir/libtaper.so") || { echo "$dir/libtaper.so does not exist; build it with: make"; exit 1; }
out=target/c-tests
mkdir -p "$out"
# Programs ask the loader for the SONAME.
ln -sfn "$lib" "$out/libtaper.so.1"
ln -sfn "$lib" "$out/libtaper.so"
flags=(-std=c11 -D_DEFAULT_SOURCE -Wall -Wextra -pedantic -Wstrict-prototypes -Werror -Iinclude -I"$out")
# A call of every function of the header, for test_arguments.c.
python3 tests/c/arguments.py include/taper.h >"$out/arguments.inc" || exit 1
failed=0

run() { # run MODE
    local mode=$1 cc=(cc -O1) before=()
    case $mode in
        plain) ;;
        asan)
            cc=(cc -O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer)
            export TAPER_ALLOCATOR=system ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1
            ;;
        valgrind)
            cc=(cc -O1 -g)
            before=(valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite --num-callers=30
                --suppressions=tests/c/valgrind.supp)
            export TAPER_ALLOCATOR=system TAPER_TEST_ROUNDS=${TAPER_TEST_ROUNDS:-3}
            ;;
        *) echo "no such way to run: $mode"; exit 2 ;;
    esac
    # Drivers of OpenCL leak and jump where these tools complain: only the plain run has devices.
    [ "$mode" = plain ] || export OCL_ICD_VENDORS=/nonexistent
    local source name devices
    for source in tests/c/test_*.c; do
        name=$(basename "$source" .c)
        "${cc[@]}" "${flags[@]}" "$source" -o "$out/$name.$mode" -L"$out" -ltaper -Wl,-rpath,"$PWD/$out" -lpthread -lm || {
            echo "$source does not compile ($mode)"
            failed=1
            continue
        }
        unset POCL_DEVICES
        if [ "$name.$mode" = test_device.plain ]; then
            # PoCL shows two devices when it is asked to; what their names are depends on its version.
            for devices in "pthread basic" "cpu cpu-minimal"; do
                [ "$(POCL_DEVICES=$devices "$out/$name.$mode" count 2>/dev/null)" = 2 ] || continue
                export POCL_DEVICES=$devices
                break
            done
        fi
        "${before[@]}" "$out/$name.$mode" || {
            echo "$name ($mode) failed with status $?"
            failed=1
        }
    done
}

[ $# -gt 0 ] || set -- plain asan valgrind
for mode in "$@"; do
    echo "-- $mode"
    (run "$mode"; exit $failed) || failed=1
done
exit $failed
