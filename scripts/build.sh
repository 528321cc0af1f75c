#!/usr/bin/env bash
# Builds the library into target/release: libtaper.so (and libtaper.so.1, the name that programs load), libtaper.a
# and the rlib.
set -eu
. "$(dirname "$0")/env.sh"
cd "$ROOT"

"$ROOT/scripts/deps.sh" build
retry 3 cargo build --release --locked --lib
cd target/release

# The loader looks for the SONAME; cargo writes libtaper.so only.
ln -sfn libtaper.so libtaper.so.1

# Cargo's libtaper.a exports every symbol of Rust's and of the OpenCL stub in it, which would collide with a program's
# own. One object in which only taper_* is global replaces it.
if have ld && have objcopy && { [ ! -e .libtaper-local.a ] || [ "$(stat -Lc %Y deps/libtaper.a 2>/dev/null ||
    stat -Lc %Y libtaper.a)" -gt "$(stat -c %Y .libtaper-local.a)" ]; }; then
    ld -r --whole-archive libtaper.a -o .libtaper-all.o
    objcopy --wildcard --keep-global-symbol='taper_*' --strip-debug --remove-section=.llvmbc --remove-section=.llvmcmd \
        .libtaper-all.o .libtaper.o
    rm -f .libtaper-local.a
    ar rcs .libtaper-local.a .libtaper.o
    rm -f .libtaper-all.o .libtaper.o
fi
if [ -e .libtaper-local.a ]; then
    # A new file in its place: cargo's own is a hard link that must stay as it is.
    cp .libtaper-local.a .libtaper.tmp
    mv -f .libtaper.tmp libtaper.a
fi

# Compiled modules make `import taper` quicker where Python may not write them itself.
if have python3; then
    python3 -m compileall -q "$ROOT/bindings/python/taper" || echo "build: the Python package was not compiled ahead" >&2
fi
