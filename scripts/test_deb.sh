#!/usr/bin/env bash
# Installs the Debian packages of target/dist into a root of their own, builds and runs the first program of docs/C.md there,
# and removes them, after which nothing of them may be left. As root and with debootstrap (and a network) it is a Debian with a C
# compiler only; otherwise dpkg's database in an empty folder, and what is installed is looked at.
set -eu
. "$(dirname "$0")/env.sh"
cd "$ROOT"
dir=$(mktemp -d)
root=$dir/root
trap 'rm -rf "$dir"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
debs=(target/dist/libtaper*.deb)
python3 tests/packages/blocks.py docs/C.md c "$dir/xor.c" "$dir/expected"
PATH=$PATH:/usr/sbin:/sbin
if [ "$(id -u)" = 0 ] && ! have debootstrap && have apt-get; then
    apt-get -qq update && apt-get -qq -y install --no-install-recommends debootstrap >/dev/null 2>&1 || true
fi
suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
mkdir "$root"
if [ "$(id -u)" = 0 ] && have debootstrap &&
    debootstrap --variant=minbase --include=gcc,libc6-dev,pkg-config "$suite" "$root" >"$dir/log" 2>&1; then
    cp "${debs[@]}" "$dir/xor.c" "$root/root/"
    before=$(cd "$root" && find usr etc -path usr/share/doc -prune -o -print | grep -c .)
    inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root sh -ec "$1"; }
    inside 'cd /root; dpkg -i *.deb' >"$dir/log" 2>&1 || { cat "$dir/log" && fail "dpkg -i"; }
    inside 'cd /root; cc xor.c $(pkg-config --cflags --libs taper) -o xor; ./xor' | diff "$dir/expected" - || fail "shared"
    inside 'cd /root; cc -static xor.c $(pkg-config --static --cflags --libs taper) -o xor 2>/dev/null; ./xor' |
        diff "$dir/expected" - || fail "static"
    inside 'dpkg -P libtaper-dev libtaper1' >"$dir/log" 2>&1 || { cat "$dir/log" && fail "dpkg -P"; }
    [ -z "$(find "$root/usr" "$root/etc" "$root/var/lib/dpkg/info" -name '*taper*')" ] || fail "left behind"
    [ "$before" = "$(cd "$root" && find usr etc -path usr/share/doc -prune -o -print | grep -c .)" ] || fail "files were left behind"
    echo "works: installed, used and removed in a clean $suite"
else
    [ ! -s "$dir/log" ] || tail -n 3 "$dir/log"
    echo "no root made by debootstrap: dpkg's database in an empty folder"
    rm -rf "$root"
    mkdir -p "$root"/var/lib/dpkg/{info,updates,triggers}
    : >"$root/var/lib/dpkg/status"
    dpkg --root="$root" --force-depends --force-not-root --force-script-chrootless --log=/dev/null -i "${debs[@]}" >"$dir/log" 2>&1 ||
        { cat "$dir/log" && fail "dpkg -i"; }
    [ -e "$root/usr/include/taper.h" ] && [ -n "$(find "$root/usr/lib" -name 'libtaper.so.1')" ] || fail "not installed"
    dpkg --root="$root" --force-depends --force-not-root --force-script-chrootless --log=/dev/null -P libtaper-dev libtaper1 \
        >"$dir/log" 2>&1 || { cat "$dir/log" && fail "dpkg -P"; }
    [ -z "$(find "$root" -path "$root/var" -prune -o -name '*taper*' -print)" ] || fail "left behind"
    echo "works: installed and removed in an empty root"
fi
