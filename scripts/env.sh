# Sourced by the other scripts: finds the root of the checkout and the tools, whatever the caller's environment.
# shellcheck shell=bash
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export ROOT

# rustup and Go install themselves into places that a fresh shell does not always have on its PATH.
for dir in "$HOME/.cargo/bin" /usr/local/cargo/bin /usr/local/go/bin "$HOME/go/bin"; do
    case ":$PATH:" in
        *":$dir:"*) ;;
        *) [ -d "$dir" ] && PATH="$PATH:$dir" ;;
    esac
done
export PATH

# Everything that is built lies in the checkout, where the bindings look for it.
export CARGO_TARGET_DIR="$ROOT/target"
export CARGO_NET_RETRY="${CARGO_NET_RETRY:-10}"
# PoCL keeps compiled kernels; without a writable home folder it could not run.
export POCL_CACHE_DIR="${POCL_CACHE_DIR:-$ROOT/target/pocl-cache}"

export TAPER_CACHE_DIR="${TAPER_CACHE_DIR:-$ROOT/target/kernel-cache}"

# Go programs link the library of this checkout (docs/GO.md); what else the caller set stays.
case "${GOFLAGS:-}" in
*taper_checkout*) ;;
*) export GOFLAGS="${GOFLAGS:+$GOFLAGS }-tags=taper_checkout" ;;
esac

# The only place that has the version; and the number of the C ABI, which is part of the library's name.
project_version() { sed -n 's/^version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml" | head -n 1; }
abi_version() { sed -n 's/^#define TAPER_ABI_VERSION \([0-9]*\).*/\1/p' "$ROOT/include/taper.h"; }

have() { command -v "$1" >/dev/null 2>&1; }

# Builds the programs that hold all Rust tests, one of each crate, and sets RUST_TESTS to a script that runs both. Run it in
# $ROOT, with the names of tests and the options of `cargo test`; so no two lanes wait for cargo's lock. Where the caller
# built it, it is taken.
rust_tests() {
    [ -z "${RUST_TESTS:-}" ] || return 0
    (cd "$ROOT" && cargo test --locked --no-run -p taper -p taper-kernels) || return 1
    local programs
    programs=$(cd "$ROOT" && cargo test --locked --no-run -p taper -p taper-kernels --message-format=json 2>/dev/null |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
    [ "$(wc -l <<<"$programs")" = 2 ] || { echo "cargo built no tests"; return 1; }
    RUST_TESTS=$ROOT/target/rust-tests
    # Written beside and moved: another lane may be running it.
    {
        printf '#!/bin/sh\nstatus=0\n'
        while read -r program; do printf '"%s" "$@" || status=1\n' "$program"; done <<<"$programs"
        printf 'exit $status\n'
    } >"$RUST_TESTS.$$"
    chmod +x "$RUST_TESTS.$$"
    mv "$RUST_TESTS.$$" "$RUST_TESTS"
    export RUST_TESTS
}

# new_venv FOLDER: a virtual environment of python3, and venv_pip FOLDER ARGUMENT...: pip for it. Where python3 has pip itself
# (22.3 or later), that one serves; unpacking another takes seconds.
new_venv() {
    rm -rf "$1"
    if python3 -m pip --python "$(command -v python3)" --version >/dev/null 2>&1; then
        python3 -m venv --without-pip "$1"
    else
        python3 -m venv "$1"
    fi
}
venv_pip() {
    local env=$1
    shift
    if [ -x "$env/bin/pip" ]; then
        "$env/bin/python" -m pip --disable-pip-version-check "$@"
    else
        python3 -m pip --disable-pip-version-check --python "$env/bin/python" "$@"
    fi
}

# retry N COMMAND...: for what goes over the network. Waits 2, 4, 8 ... seconds between the tries.
retry() {
    local left=$1 pause=2
    shift
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        echo "failed, trying again in $pause s: $*" >&2
        sleep "$pause"
        pause=$((pause * 2))
    done
}
