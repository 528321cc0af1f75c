#!/usr/bin/env bash
# The ABI gate: what leaves the library is what was agreed on. `tests/abi/check.sh --update` accepts the present state.
set -u
cd "$(dirname "$0")/../.." || exit 1
lib=${TAPER_LIBRARY:-target/release/libtaper.so}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
fail() {
    echo "FAIL: $*"
    failed=1
}
mend="if the change is meant: tests/abi/check.sh --update, and look at the diff: nothing may vanish or change"
[ -e "$lib" ] || { echo "$lib does not exist; build it with: make"; exit 1; }

# 1. The header compiles alone, twice included, in every dialect, without a warning.
printf '#include "taper.h"\n#include "taper.h"\nint main(void) { return (int)taper_abi_version() * 0; }\n' >"$work/alone.c"
cp "$work/alone.c" "$work/alone.cpp"
for std in c99 c11; do
    gcc -std=$std -Wall -Wextra -pedantic -Wstrict-prototypes -Werror -Iinclude -fsyntax-only "$work/alone.c" ||
        fail "include/taper.h does not compile with gcc -std=$std; mend src/capi or tools/gen/src/header*"
done
for std in c++17 c++20; do
    g++ -std=$std -Wall -Wextra -pedantic -Werror -Iinclude -fsyntax-only "$work/alone.cpp" ||
        fail "include/taper.h does not compile with g++ -std=$std; mend src/capi or tools/gen/src/header*"
done

# 2. Exported symbols: exactly the header's functions, all of them taper_*, and those of abi/symbols.txt.
nm -D --defined-only "$lib" | awk '{print $3}' | sed 's/@.*//' | LC_ALL=C sort >"$work/symbols.txt"
grep -v '^taper_' "$work/symbols.txt" >"$work/foreign.txt" &&
    fail "symbols without the prefix taper_ are exported: $(tr '\n' ' ' <"$work/foreign.txt")"
gcc -E -P -Iinclude include/taper.h | tr '\n' ' ' | grep -oE '\btaper_[a-z0-9_]+ *\([^()]*(\([^()]*\)[^()]*)*\) *;' |
    sed 's/ *(.*//' | LC_ALL=C sort -u >"$work/declared.txt"
diff "$work/declared.txt" "$work/symbols.txt" >"$work/diff.txt" ||
    fail "header (<) and library (>) differ; build again, or run: cargo run -p taper-gen
$(cat "$work/diff.txt")"

# 3. Sizes, offsets and constants.
python3 tests/abi/layout.py include/taper.h >"$work/layout.inc" || fail "tests/abi/layout.py failed"
gcc -std=c11 -Wall -Wextra -Werror -Iinclude -I"$work" tests/abi/layout.c -o "$work/layout" && "$work/layout" >"$work/layout.txt" ||
    fail "tests/abi/layout.c does not run"

if [ "${1:-}" = --update ]; then
    [ $failed = 0 ] || exit 1
    cp "$work/symbols.txt" abi/symbols.txt
    cp "$work/layout.txt" abi/layout.txt
    echo "updated abi/"
    exit 0
fi
diff abi/symbols.txt "$work/symbols.txt" || fail "exported symbols differ from abi/symbols.txt; $mend"
diff abi/layout.txt "$work/layout.txt" || fail "sizes, offsets or constants differ from abi/layout.txt; $mend"

# 4. What the library needs from the system, and the name that programs load.
readelf -d "$lib" >"$work/dynamic.txt"
abi=$(sed -n 's/^#define TAPER_ABI_VERSION //p' include/taper.h)
grep -q "SONAME.*\[libtaper.so.$abi\]" "$work/dynamic.txt" ||
    fail "the SONAME is not libtaper.so.$abi; build.rs sets it"
needed=$(sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' "$work/dynamic.txt" |
    grep -vE '^(libc|libm|libdl|libpthread|librt|libgcc_s|ld-linux-[a-z0-9-]+)\.so')
[ -z "$needed" ] || fail "the library needs $needed; only the C library's family is allowed, load the rest with dlopen"

[ $failed = 0 ] && echo "the ABI is as agreed: $(wc -l <"$work/symbols.txt") functions"
exit $failed
