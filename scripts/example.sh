#!/usr/bin/env bash
# Compiles (where there is something to compile) and runs one example:  scripts/example.sh c|cpp|go|python NAME [ARGS...]
# The library must have been built (`make`).
set -eu
. "$(dirname "$0")/env.sh"
cd "$ROOT"
lang=$1 name=$2
shift 2
lib=$ROOT/target/release
bin=target/examples/$lang/$name
warn="-O2 -Wall -Wextra -pedantic -Werror"
mkdir -p "target/examples/$lang"

case $lang in
c)
    # shellcheck disable=SC2086
    ${CC:-cc} -std=c99 $warn -Iinclude "examples/c/$name.c" -o "$bin" -pthread -L"$lib" -ltaper -Wl,-rpath,"$lib" -lm
    exec "$bin" "$@"
    ;;
cpp)
    # shellcheck disable=SC2086
    ${CXX:-c++} -std=c++17 $warn -Iinclude -Ibindings/cpp "examples/cpp/$name.cpp" -o "$bin" \
        -L"$lib" -ltaper -Wl,-rpath,"$lib"
    exec "$bin" "$@"
    ;;
go)
    (cd examples/go && go build -o "$ROOT/$bin" "./$name")
    exec "$bin" "$@"
    ;;
python)
    python=python3
    [ -x .venv/bin/python ] && python=.venv/bin/python
    PYTHONPATH="$ROOT/bindings/python${PYTHONPATH:+:$PYTHONPATH}" exec "$python" "examples/python/$name.py" "$@"
    ;;
*)
    echo "languages: c cpp go python" >&2
    exit 2
    ;;
esac
