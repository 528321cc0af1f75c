#!/usr/bin/env bash
# Copies what was built to $DESTDIR$PREFIX: the library, headers, the pkg-config and CMake packages, the Go module, a man
# page, documents and licences. --remove takes them away again. PREFIX (/usr/local) and LIBDIR (PREFIX/lib) may have
# spaces. PARTS="run dev" (both): what a program needs that runs, and what is needed to build one.
set -eu
. "$(dirname "$0")/env.sh"
cd "$ROOT"
DESTDIR=${DESTDIR:-} PREFIX=${PREFIX:-/usr/local}
LIBDIR=${LIBDIR:-$PREFIX/lib} INCLUDEDIR=${INCLUDEDIR:-$PREFIX/include} DATADIR=${DATADIR:-$PREFIX/share}
DOCDIR=${DOCDIR:-$DATADIR/doc/taper} MANDIR=${MANDIR:-$DATADIR/man}
PARTS=${PARTS:-run dev}
for dir in "$PREFIX" "$LIBDIR" "$INCLUDEDIR" "$DATADIR" "$DOCDIR" "$MANDIR"; do
    case $dir in
    /*) ;;
    *) echo "PREFIX, LIBDIR and the others must be absolute: $dir" >&2 && exit 1 ;;
    esac
done
version=$(project_version)
abi=$(abi_version)
lib=$DESTDIR$LIBDIR include=$DESTDIR$INCLUDEDIR data=$DESTDIR$DATADIR doc=$DESTDIR$DOCDIR man=$DESTDIR$MANDIR
torch=$data/taper/libtorch

part() { case " $PARTS " in *" $1 "*) ;; *) return 1 ;; esac; }
# Where the loader finds the library only through its cache.
refresh() { [ "$(id -u)" = 0 ] && [ -z "$DESTDIR" ] && PATH="$PATH:/sbin:/usr/sbin" ldconfig 2>/dev/null || true; }

if [ "${1:-}" = --remove ]; then
    rm -fv "$lib/libtaper.so" "$lib/libtaper.so.$abi" "$lib/libtaper.a" "$lib/pkgconfig/taper.pc" \
        "$lib/pkgconfig/taper-static.pc" "$include/taper.h" "$include/taper.hpp" "$man/man3/taper.3"
    rm -rfv "$include/taper" "$lib/cmake/taper" "$data/taper" "$doc"
    rmdir "$lib/cmake" "$lib/pkgconfig" 2>/dev/null || true
    refresh
    exit 0
fi

# Text as a replacement of sed.
replacement() { printf '%s' "$1" | sed 's/[&|\\]/\\&/g'; }
filled() { # filled TEMPLATE FILE
    local prefix=$PREFIX libdir=$LIBDIR includedir=$INCLUDEDIR
    sed -e "s|@PREFIX@|$(replacement "$prefix")|g" -e "s|@LIBDIR@|$(replacement "$libdir")|g" \
        -e "s|@INCLUDEDIR@|$(replacement "$includedir")|g" -e "s|@VERSION@|$version|g" -e "s|@MAJOR@|${version%%.*}|g" \
        -e "s|@ABI@|$abi|g" -e "s|@DOCDIR@|$(replacement "$DOCDIR")|g" -e "s|@DATADIR@|$(replacement "$DATADIR")|g" \
        -e "s|@INCLUDE_FROM_LIB@|$(replacement "$(realpath -ms --relative-to="$LIBDIR" "$INCLUDEDIR")")|g" \
        -e "s|@LIB_FROM_DATA@|$(replacement "$(realpath -ms --relative-to="$DATADIR" "$LIBDIR")")|g" "$1" >"$2"
    chmod 644 "$2"
}

install -d "$lib" "$doc"
install -m 644 LICENSE-MIT LICENSE-APACHE "$doc/"
if part run; then install -m 755 target/release/libtaper.so "$lib/libtaper.so.$abi"; fi
if part dev; then
    install -d "$lib/pkgconfig" "$lib/cmake/taper" "$include/taper" "$data/taper/go" "$man/man3"
    ln -sfn "libtaper.so.$abi" "$lib/libtaper.so"
    install -m 644 target/release/libtaper.a "$lib/"
    install -m 644 include/taper.h bindings/cpp/taper.hpp "$include/"
    install -m 644 bindings/cpp/taper/*.hpp "$include/taper/"
    install -d "$include/taper/torch" "$torch/include/torch" "$torch/share/cmake/Torch"
    install -m 644 bindings/cpp/taper/torch/*.hpp "$include/taper/torch/"
    # A folder of its own, as libtorch's archive is one, so that a real libtorch beside it stays the one that is found.
    install -m 644 packaging/libtorch/include/torch/*.h "$torch/include/torch/"
    filled packaging/libtorch/TorchConfig.cmake.in "$torch/share/cmake/Torch/TorchConfig.cmake"
    filled packaging/taper.pc.in "$lib/pkgconfig/taper.pc"
    filled packaging/taper-static.pc.in "$lib/pkgconfig/taper-static.pc"
    filled packaging/taper-config.cmake.in "$lib/cmake/taper/taper-config.cmake"
    filled packaging/taper-config-version.cmake.in "$lib/cmake/taper/taper-config-version.cmake"
    filled packaging/taper.3.in "$man/man3/taper.3"
    for file in bindings/go/*; do
        case $file in
        *_test.go) ;;
        *.go | *.c | *.h | */go.mod) install -m 644 "$file" "$data/taper/go/" ;;
        esac
    done
    install -m 644 LICENSE-MIT LICENSE-APACHE "$data/taper/go/"
    # Folders as here, so that the pages' links lead somewhere, and examples find the data.
    install -m 644 README.md CHANGELOG.md SECURITY.md "$doc/"
    for file in docs/*.md docs/images/* docs/reference/*.md examples/*.md examples/*/* examples/*/*/* data/*.md data/*/*; do
        [ ! -f "$file" ] || install -D -m 644 "$file" "$doc/$file"
    done
fi
echo "installed Taper $version into $DESTDIR$PREFIX"
refresh
