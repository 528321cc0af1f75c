#!/usr/bin/env bash
# Random calls of the C ABI:  tests/fuzz/run.sh [plain|threads|asan|valgrind|library]... [OPTIONS OF fuzz.c]
#   tests/fuzz/run.sh --calls 100000000 --jobs 4      one long run
#   tests/fuzz/run.sh plain threads --seconds 10      what `make test` does
# threads: eight of them on shared handles; valgrind: accesses and leaks (values that were never set come
# from taper_empty); asan: the program (not the library) built with AddressSanitizer.
# library: Taper itself built with AddressSanitizer, which needs a nightly toolchain (several minutes).
# TAPER_LIBRARY_DIR names the folder of libtaper.so (target/release).
set -u
cd "$(dirname "$0")/../.." || exit 1
dir=${TAPER_LIBRARY_DIR:-target/release}
lib=$(readlink -f "$dir/libtaper.so") || { echo "$dir/libtaper.so does not exist; build it with: make"; exit 1; }
out=${FUZZ_OUT:-target/fuzz}
mkdir -p "$out"
ln -sfn "$lib" "$out/libtaper.so.1"
ln -sfn "$lib" "$out/libtaper.so"
python3 tests/fuzz/generate.py include/taper.h >"$out/calls.inc.new" || exit 1
cmp -s "$out/calls.inc.new" "$out/calls.inc" || mv "$out/calls.inc.new" "$out/calls.inc"

modes=()
while [ $# -gt 0 ]; do
    case $1 in plain | threads | asan | valgrind | library) modes+=("$1") ;; *) break ;; esac
    shift
done
[ ${#modes[@]} -gt 0 ] || modes=(plain)

# Without --opencl no driver is loaded: some leak, all are slow to begin.
[[ " $* " = *" --opencl "* ]] || export OCL_ICD_VENDORS=/nonexistent

build() { # build PROGRAM FLAG...
    local program=$out/$1 source
    shift
    for source in tests/fuzz/*.[ch] tests/c/arrow_structs.h "$out/calls.inc" tests/fuzz/run.sh; do
        [ "$source" -nt "$program" ] || continue
        cc -std=c11 -O1 -g -D_DEFAULT_SOURCE -Wall -Wextra -Wno-unused-function "$@" -Iinclude -I"$out" tests/fuzz/fuzz.c -o "$program" \
            -L"$out" -ltaper -Wl,-rpath,"$(readlink -f "$out")" -lpthread -lm
        return
    done
}
failed=0
for mode in "${modes[@]}"; do
    echo "-- $mode"
    case $mode in
        plain) build fuzz && "$out/fuzz" "$@" ;;
        threads) build fuzz && "$out/fuzz" --threads 8 --length 60 "$@" ;;
        asan)
            build fuzz.asan -DFUZZ_BLOCKS -fsanitize=address,undefined -fno-omit-frame-pointer &&
                TAPER_ALLOCATOR=system ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1:max_allocation_size_mb=1000 \
                    "$out/fuzz.asan" "$@"
            ;;
        valgrind)
            build fuzz.blocks -DFUZZ_BLOCKS &&
                TAPER_ALLOCATOR=system valgrind -q --undef-value-errors=no --error-exitcode=9 --leak-check=no \
                    --errors-for-leak-kinds=definite --num-callers=30 --suppressions=tests/c/valgrind.supp \
                    "$out/fuzz.blocks" --hang 300 "$@"
            ;;
        library)
            target=$(rustc -vV | sed -n 's/^host: //p')
            RUSTFLAGS=-Zsanitizer=address CARGO_PROFILE_DEV_DEBUG=line-tables-only \
                cargo +nightly build --locked --lib --target "$target" --target-dir "$out/library" || { failed=1; continue; }
            mkdir -p "$out/asan"
            ln -sfn "$PWD/$out/library/$target/debug/libtaper.so" "$out/asan/libtaper.so.1"
            # The program brings the runtime that the library's checks call.
            build fuzz.asan -DFUZZ_BLOCKS -fsanitize=address,undefined -fno-omit-frame-pointer &&
                for more in "" "--threads 8 --length 60"; do
                    # shellcheck disable=SC2086
                    LD_LIBRARY_PATH=$out/asan TAPER_ALLOCATOR=system \
                        ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=1000 \
                        "$out/fuzz.asan" --hang 120 $more "$@" || failed=1
                done
            ;;
    esac || failed=1
done
exit $failed
