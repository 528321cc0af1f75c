#!/usr/bin/env bash
# Makes libtaper1 (what a program needs that runs) and libtaper-dev (what building one needs) as Debian packages in
# target/dist, from what `make` built. DEB_COMPRESSION=none is quicker than xz. Only dpkg-deb is used. The same inputs give the same bytes.
set -eu
. "$(dirname "$0")/env.sh"
cd "$ROOT"
have dpkg-deb || { echo "dpkg-deb was not found: Debian packages are made on Debian or Ubuntu" >&2 && exit 1; }
[ -n "${SOURCE_DATE_EPOCH:-}" ] || SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date -r Cargo.toml +%s)
export SOURCE_DATE_EPOCH
version=$(project_version) abi=$(abi_version) arch=$(dpkg --print-architecture)
triplet=$(cc -print-multiarch 2>/dev/null || cc -dumpmachine)
dist=$ROOT/target/dist work=$ROOT/target/deb
umask 022
rm -rf "$work"
mkdir -p "$work" "$dist"
rm -f "$dist"/libtaper*.deb
glibc=$(objdump -T target/release/libtaper.so | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)

package() { # package NAME PART DOCDIR FIELDS
    local root=$work/$1
    DESTDIR=$root PREFIX=/usr LIBDIR=/usr/lib/$triplet DOCDIR=/usr/share/doc/$1 PARTS=$2 scripts/install.sh >/dev/null
    mkdir -p "$root/DEBIAN"
    mv "$root/usr/share/doc/$1/LICENSE-MIT" "$root/usr/share/doc/$1/copyright"
    {
        printf '\nTaper may be used under the licence above or under the Apache License, version 2.0, which Debian has in\n'
        printf '/usr/share/common-licenses/Apache-2.0.\n'
    } >>"$root/usr/share/doc/$1/copyright"
    rm "$root/usr/share/doc/$1/LICENSE-APACHE"
    [ ! -d "$root/usr/share/man" ] || gzip -9n "$root"/usr/share/man/man3/*
    if [ "$2" = run ]; then
        # The loader's cache is renewed by a trigger.
        echo "activate-noawait ldconfig" >"$root/DEBIAN/triggers"
        echo "libtaper $abi libtaper$abi (>= $version)" >"$root/DEBIAN/shlibs"
    fi
    (cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
    {
        printf 'Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: Taper <taper@localhost>\n' "$1" "$version" "$arch"
        printf 'Installed-Size: %s\nPriority: optional\n%s\n' "$(du -sk --apparent-size "$root/usr" | cut -f1)" "$3"
    } >"$root/DEBIAN/control"
    find "$root" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
    dpkg-deb --root-owner-group "-Z${DEB_COMPRESSION:-xz}" --build "$root" "$dist/$1_${version}_$arch.deb" >/dev/null
}
package "libtaper$abi" run "Section: libs
Depends: libc6 (>= ${glibc#GLIBC_}), libgcc-s1
Multi-Arch: same
Description: thin torch: tensors, autograd and neural networks (library)
 PyTorch's ops, modules and optimisers behind a small shared library with a C ABI."
package libtaper-dev dev "Section: libdevel
Depends: libtaper$abi (= $version)
Recommends: pkg-config
Suggests: g++, cmake, golang-go
Description: thin torch: tensors, autograd and neural networks (development)
 Headers for C and C++, the static library, the Go module, pkg-config and CMake packages, documents."
ls -l "$dist"/libtaper*.deb | awk '{ printf "%9.1f kB  %s\n", $5 / 1000, $NF }'
