#!/usr/bin/env bash
# Builds the Python wheel, with the library in it, and the source distribution into target/dist.
#
#   scripts/wheel.sh           the library is built for an old glibc, with zig as the linker (cargo-zigbuild and ziglang from
#                              PyPI, in target/wheel-env); where they cannot be had, the one that is there is taken
#   scripts/wheel.sh --reuse   takes target/release/libtaper.so, or the file that TAPER_BUNDLE names
#
# The wheel's tag follows from the versions of glibc's symbols that the library asks for. TAPER_GLIBC is what is aimed at.
set -eu
. "$(dirname "$0")/env.sh"
cd "$ROOT"
glibc=${TAPER_GLIBC:-2.28}
dist=$ROOT/target/dist env=$ROOT/target/wheel-env
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date -r Cargo.toml +%s)
fi
export SOURCE_DATE_EPOCH
if [ ! -x "$env/bin/python" ] || ! "$env/bin/python" -c 'import build, setuptools' 2>/dev/null; then
    new_venv "$env"
    retry 3 venv_pip "$env" install -q 'build==1.3.0' 'setuptools>=77'
fi

library=$(realpath -s "${TAPER_BUNDLE:-target/release/libtaper.so}")
if [ "${1:-}" != --reuse ] && [ "$(uname -sm)" = "Linux x86_64" ]; then
    if "$env/bin/python" -c 'import ziglang' 2>/dev/null && [ -x "$env/bin/cargo-zigbuild" ] ||
        venv_pip "$env" install -q 'ziglang==0.15.2' 'cargo-zigbuild==0.21.8'; then
        # zig is found as a module of the Python beside it.
        PATH="$env/bin:$PATH" CARGO_TARGET_DIR=$ROOT/target/zig CARGO_ZIGBUILD_PYTHON_PATH="$env/bin/python" \
            "$env/bin/cargo-zigbuild" zigbuild --release --locked --lib --target "x86_64-unknown-linux-gnu.$glibc"
        library=$ROOT/target/zig/x86_64-unknown-linux-gnu/release/libtaper.so
    else
        echo "wheel: zig could not be installed; the wheel asks for this machine's glibc" >&2
    fi
fi
[ -e "$library" ] || scripts/build.sh

# Only libraries that every manylinux machine has may be asked for.
strange=$(objdump -p "$library" | awk '$1 == "NEEDED" { print $2 }' |
    grep -vE '^(libc|libm|libdl|libpthread|librt|libgcc_s|ld-linux-x86-64)\.so\.[0-9]+$' || true)
[ -z "$strange" ] || { echo "wheel: the library asks for $strange, which not every machine has" >&2 && exit 1; }
newest=$(objdump -T "$library" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
newest=${newest#GLIBC_}
platform=manylinux_${newest/./_}_$(uname -m)

mkdir -p "$dist"
rm -f "$dist"/taper_torch-*
rm -rf bindings/python/build bindings/python/*.egg-info
TAPER_BUNDLE=$library "$env/bin/python" -m build --no-isolation --wheel -o "$dist" \
    -C=--build-option=--plat-name="$platform" bindings/python >"$dist/wheel.log" 2>&1 || { cat "$dist/wheel.log" && exit 1; }
"$env/bin/python" -m build --no-isolation --sdist -o "$dist" bindings/python >"$dist/sdist.log" 2>&1 ||
    { cat "$dist/sdist.log" && exit 1; }
rm -rf bindings/python/build bindings/python/*.egg-info "$dist"/{wheel,sdist}.log
rm -f bindings/python/LICENSE-*
cp LICENSE-MIT LICENSE-APACHE "$dist"
ls -l "$dist"/taper_torch-* | awk '{ printf "%9.1f kB  %s\n", $5 / 1000, $NF }'
