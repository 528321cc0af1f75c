#!/usr/bin/env bash
# Copies the library, its headers and a pkg-config file to $DESTDIR$PREFIX (or removes them: --remove).
set -eu
. "$(dirname "$0")/env.sh"
cd "$ROOT"
root=${DESTDIR:-}${PREFIX:-/usr/local}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)

if [ "${1:-}" = --remove ]; then
    rm -fv "$root"/lib/libtaper.so* "$root/lib/libtaper.a" "$root/lib/pkgconfig/taper.pc" "$root/include/taper.h"
    rm -rfv "$root/include/taper.hpp" "$root/include/taper"
    exit 0
fi

install -d "$root/lib/pkgconfig" "$root/include"
install -m 755 target/release/libtaper.so "$root/lib/libtaper.so.1"
ln -sfn libtaper.so.1 "$root/lib/libtaper.so"
install -m 644 target/release/libtaper.a "$root/lib/"
install -m 644 include/taper.h "$root/include/"
install -d "$root/include/taper"
install -m 644 bindings/cpp/taper.hpp "$root/include/"
install -m 644 bindings/cpp/taper/*.hpp "$root/include/taper/"
sed -e "s|@PREFIX@|${PREFIX:-/usr/local}|" -e "s|@VERSION@|$version|" scripts/taper.pc.in >"$root/lib/pkgconfig/taper.pc"
echo "installed Taper $version into $root"
[ "$(id -u)" = 0 ] && [ -z "${DESTDIR:-}" ] && PATH="$PATH:/sbin:/usr/sbin" ldconfig 2>/dev/null || true
