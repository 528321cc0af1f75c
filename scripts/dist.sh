#!/usr/bin/env bash
# Makes target/dist/taper-VERSION.tar.xz: the files that git knows, as they are here, and all crates (vendor/), so that
# `make` and `make install` need no network. The same files give the same bytes; SOURCE_DATE_EPOCH is the date of all.
# DIST_COMPRESSION=-0 is quicker than xz's -6.
set -eu
. "$(dirname "$0")/env.sh"
cd "$ROOT"
git rev-parse --is-inside-work-tree >/dev/null 2>&1 || { echo "release tarballs are made in a clone of the repository" >&2 && exit 1; }
[ -n "${SOURCE_DATE_EPOCH:-}" ] || SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
version=$(project_version)
name=taper-$version dist=$ROOT/target/dist work=$ROOT/target/dist-work
umask 022
rm -rf "$work"
mkdir -p "$work/$name" "$dist"
git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
    tar --null -T - -cf - | tar -xf - -C "$work/$name"
mkdir -p "$work/$name/.cargo"
cargo vendor --locked --versioned-dirs "$work/$name/vendor" >/dev/null 2>"$work/log" || { cat "$work/log" && exit 1; }
cat >"$work/$name/.cargo/config.toml" <<'C'
[source.crates-io]
replace-with = "vendored-sources"

[source.vendored-sources]
directory = "vendor"

[net]
offline = true
C
find "$work/$name" -type d -exec chmod 755 {} + -o -perm /111 -exec chmod 755 {} + -o -exec chmod 644 {} +
tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=gnu -C "$work" -cf - "$name" |
    xz "${DIST_COMPRESSION:--6}" -T1 >"$dist/$name.tar.xz"
rm -rf "$work"
(cd "$dist" && sha256sum "$name.tar.xz")
ls -l "$dist/$name.tar.xz" | awk '{ printf "%9.1f kB  %s\n", $5 / 1000, $NF }'
