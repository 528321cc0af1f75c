#!/usr/bin/env bash
# Installs the wheel of target/dist into clean environments and runs the first program of docs/PYTHON.md there:
# scripts/test_wheel.sh. With LONG=1 in every CPython from 3.10 to 3.14 that is installed, or that uv (from PyPI) can fetch,
# or that Debian's testing release has (in a root of its own), with NumPy 1.26 and 2 as far as there are wheels of them, and
# without; and the source distribution, built (without optimisation: what is tried is whether it builds).
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

# One environment, as python -m venv makes it, with nothing of this checkout, whose library must not be what is found. With
# TAPER_PIP, a command, an environment without a pip of its own.
cat >"$dir/try.sh" <<'S'
# try.sh FOLDER PYTHON DISTRIBUTION [PACKAGE...]
dir=$1 python=$2 distribution=$3
shift 3
env=$dir/env
unset TAPER_LIBRARY PYTHONPATH LD_LIBRARY_PATH
rm -rf "$env"
"$python" -m venv ${TAPER_PIP:+--without-pip} "$env" || exit 1
pip() { ${TAPER_PIP:-"$env/bin/python" -m pip} --disable-pip-version-check ${TAPER_PIP:+--python "$env/bin/python"} "$@"; }
install() { pip install -q "$@"; }
install --no-deps "$distribution" || exit 1
[ $# = 0 ] || install --only-binary :all: "$@" || exit 2
cd "$dir" || exit 1
"$env/bin/python" xor.py | diff expected - || exit 1
"$env/bin/taper-run" script.py | grep -qx 'tensor(\[0, 1, 2\]) taper' || exit 1
found=$("$env/bin/python" -c 'import taper._lib; print(taper._lib.path)')
case $found in
"$env"/*) ;;
*) echo "the library was found at $found" && exit 1 ;;
esac
[ $# = 0 ] || "$env/bin/python" numpy_test.py || exit 1
"$env/bin/python" -c 'import numpy' 2>/dev/null && with=$("$env/bin/python" -c 'import numpy; print("NumPy", numpy.__version__)') || with="no NumPy"
pip show -f taper-torch | grep 'licenses/LICENSE-MIT' >/dev/null || exit 1
echo "works: $("$env/bin/python" -V), $with, $("$env/bin/python" -c 'import platform; print(*platform.libc_ver())')${SOURCE:+, from the source distribution}"
S
# pip_of PYTHON: a pip that serves environments without one of their own, or nothing.
pip_of() {
    ! "$1" -m pip --python "$(command -v "$1")" --version >/dev/null 2>&1 || echo "$1 -m pip"
}
works() { # works PYTHON PACKAGE...
    local python=$1
    shift
    sh "$dir/try.sh" "$dir" "$python" "${SOURCE:-$wheel}" "$@"
}

if [ "${LONG:-0}" != 1 ]; then
    TAPER_PIP=$(pip_of python3) works python3 || fail "in an environment of $(python3 -V)"
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
# A newer Python than can be had otherwise: of Debian's testing release, in a root of its own. TAPER_TEST_ROOT is one that is
# there already.
debian_root() {
    [ "$(id -u)" = 0 ] || return 1
    if [ -n "${TAPER_TEST_ROOT:-}" ]; then
        root=$TAPER_TEST_ROOT
        return 0
    fi
    PATH=$PATH:/usr/sbin:/sbin
    have debootstrap || return 1
    root=$dir/root
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates testing "$root" >"$dir/debootstrap.log" 2>&1 || return 1
    # Where the network is seen through a proxy with a certificate of its own.
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" 2>/dev/null || true
}
works_in_root() { # works_in_root VERSION PACKAGE...
    local version=$1
    shift
    mkdir -p "$root/t"
    cp "$wheel" "$dir"/{try.sh,xor.py,expected,script.py,numpy_test.py} "$root/t"
    chroot "$root" sh /t/try.sh /t "python$version" "/t/${wheel##*/}" "$@"
}

# What the tag promises, by the tool that is made for it.
python3 -m venv "$dir/audit"
if "$dir/audit/bin/pip" install -q --disable-pip-version-check auditwheel 2>/dev/null; then
    "$dir/audit/bin/auditwheel" show "$wheel" >"$dir/audit.log" 2>&1 || { cat "$dir/audit.log" && fail "auditwheel"; }
    tag=${wheel##*-none-} && tag=${tag%.whl}
    grep -q "\"$tag\"" "$dir/audit.log" || { cat "$dir/audit.log" && fail "auditwheel does not find $tag"; }
    echo "auditwheel: $tag"
else
    echo "NOT TRIED: auditwheel could not be installed"
fi

tried=0
for number in 3.10 3.11 3.12 3.13 3.14; do
    try=works
    if ! python=$(find_python $number); then
        [ -n "${root:-}" ] || debian_root || root=none
        chroot "$root" "python$number" -V >/dev/null 2>&1 || { echo "NOT TRIED: Python $number could not be had" && continue; }
        try=works_in_root python=$number
    fi
    $try "$python" || fail "Python $number"
    tried=$((tried + 1))
    # pip's own unpacking, which takes seconds, was tried by the first.
    pip=
    [ $try != works ] || pip=$(pip_of "$python")
    for numpy in 'numpy>=1.26,<2' 'numpy>=2'; do
        status=0
        TAPER_PIP=$pip $try "$python" "$numpy" || status=$?
        [ $status != 2 ] || echo "NOT TRIED: there is no wheel of $numpy for Python $number"
        [ $status != 1 ] || fail "Python $number with $numpy"
    done
done
[ $tried -gt 0 ] || fail "no Python was found"
# The library that lies in this checkout's target must not be taken for the one built from the source distribution.
unset CARGO_TARGET_DIR
if have cargo && [ "${TAPER_TEST_SOURCE:-1}" = 1 ]; then
    export CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256
    SOURCE=$(ls "$ROOT"/target/dist/taper_torch-*.tar.gz) works python3 || fail "the source distribution"
fi
