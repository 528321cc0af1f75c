#!/usr/bin/env bash
# Installs the wheel of target/dist into clean environments and runs the first program of docs/PYTHON.md there:
# scripts/test_wheel.sh. With LONG=1 in every CPython from 3.10 to 3.14 that is installed, or that uv (from PyPI) can fetch,
# with NumPy 1.26 and 2 as far as there are wheels of them, and without; and the source distribution, built.
set -eu
. "$(dirname "$0")/env.sh"
cd "$ROOT"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
wheel=$(ls target/dist/taper_torch-*.whl) || fail "no wheel in target/dist: scripts/wheel.sh"
version=$(project_version)
case $wheel in
*"/taper_torch-$version-py3-none-manylinux_"*) ;;
*) fail "the name $wheel is not what it should be" ;;
esac
python3 tests/packages/blocks.py docs/PYTHON.md python "$dir/xor.py" "$dir/expected"
printf 'import torch\nprint(torch.arange(3), torch.__name__)\n' >"$dir/script.py"
cat >"$dir/numpy_test.py" <<'P'
import numpy, taper

x = numpy.arange(6, dtype=numpy.float32).reshape(2, 3)
t = taper.from_numpy(x)
t += 1
assert x[0, 0] == 1 and (t.numpy() == x).all() and taper.tensor(x).shape == (2, 3), numpy.__version__
assert (taper.tensor([1.5, 2.0]).numpy() == numpy.array([1.5, 2.0], dtype=numpy.float32)).all()
P

# Nothing of this checkout, whose library must not be what is found.
clean() { env -u TAPER_LIBRARY -u PYTHONPATH -u LD_LIBRARY_PATH "$@"; }
works() { # works PYTHON PACKAGE...: as python -m venv makes them
    local python=$1 env=$dir/env
    shift
    rm -rf "$env"
    "$python" -m venv "$env" || return 1
    "$env/bin/python" -m pip install -q --disable-pip-version-check --no-deps "${SOURCE:-$wheel}" || return 1
    [ $# = 0 ] || "$env/bin/python" -m pip install -q --disable-pip-version-check --only-binary :all: "$@" || return 2
    (
        cd "$dir"
        clean "$env/bin/python" xor.py | diff expected - || exit 1
        clean "$env/bin/taper-run" script.py | grep -qx 'tensor(\[0, 1, 2\]) taper' || exit 1
        found=$(clean "$env/bin/python" -c 'import taper._lib; print(taper._lib.path)')
        case $found in
        "$env"/*) ;;
        *) echo "the library was found at $found" && exit 1 ;;
        esac
        [ $# = 0 ] || clean "$env/bin/python" numpy_test.py
    ) || return 1
    "$env/bin/python" -m pip show -f taper-torch | grep 'licenses/LICENSE-MIT' >/dev/null || return 1
    echo "works: $("$env/bin/python" -V), ${*:-no NumPy}${SOURCE:+, from the source distribution}"
}

if [ "${LONG:-0}" != 1 ]; then
    works python3 || fail "in an environment of $(python3 -V)"
    exit 0
fi

# find VERSION: a Python of the version, installed or fetched.
uv=$dir/uv/bin/uv
python3 -m venv "$dir/uv"
"$dir/uv/bin/pip" install -q --disable-pip-version-check uv || echo "uv could not be installed: only Pythons that are here"
find_python() {
    local name=python$1 path
    for path in "$(command -v "$name")" "$HOME/.pyenv/versions/$1".*/bin/python; do
        if [ -x "$path" ] && "$path" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null; then
            echo "$path"
            return 0
        fi
    done
    [ -x "$uv" ] || return 1
    timeout 120 "$uv" python install -q --no-bin --install-dir "$dir/pythons" "$1" 2>/dev/null || return 1
    UV_PYTHON_INSTALL_DIR=$dir/pythons "$uv" python find --no-project --managed-python "$1"
}
tried=0
for number in 3.10 3.11 3.12 3.13 3.14; do
    python=$(find_python $number) || { echo "NOT TRIED: Python $number could not be had" && continue; }
    works "$python" || fail "Python $number"
    tried=$((tried + 1))
    for numpy in 'numpy>=1.26,<2' 'numpy>=2'; do
        status=0
        works "$python" "$numpy" || status=$?
        [ $status != 2 ] || echo "NOT TRIED: there is no wheel of $numpy for Python $number"
        [ $status != 1 ] || fail "Python $number with $numpy"
    done
done
[ $tried -gt 0 ] || fail "no Python was found"
# The library that lies in this checkout's target must not be taken for the one built from the source distribution.
unset CARGO_TARGET_DIR
if have cargo; then SOURCE=$(ls "$ROOT"/target/dist/taper_torch-*.tar.gz) works python3 || fail "the source distribution"; fi
