#!/usr/bin/env bash
# Installs what a task needs and this machine lacks:  scripts/deps.sh [build|python|test|bench]
#
#   build   cargo, a C compiler and make: enough for `make` and `make demo`
#   test    also g++, valgrind, an OpenCL platform on the CPU (PoCL), NVRTC in .venv-cuda, and what `python` brings
#   python  also Python with numpy, pytest, ruff and matplotlib in .venv
#   bench   also Python with PyTorch in .venv-bench
#
# TAPER_TEST_INTEL=1 scripts/deps.sh test  adds Intel's OpenCL runtime for CPUs in .venv-intel (a download of 270 MB, 850
# MB on disk), for lane opencl.intel.
#
# Debian and Ubuntu packages are installed when this runs as root; otherwise the command to run is printed. Only what
# the build itself cannot do without makes this script fail: a test lane that misses its tool says so and is skipped.
set -u
. "$(dirname "$0")/env.sh"
what=${1:-build}

packages=()
need() { # need COMMAND PACKAGE
    have "$1" || packages+=("$2")
}

need cc gcc
need make make
need pkg-config pkg-config
if [ "$what" = test ]; then
    need g++ g++
    need valgrind valgrind
    need oclgrind oclgrind
    have ldconfig || PATH="$PATH:/sbin:/usr/sbin"
    ldconfig -p 2>/dev/null | grep -q 'libOpenCL\.so\.1' || packages+=(ocl-icd-libopencl1)
    [ -n "$(ls /etc/OpenCL/vendors/*.icd 2>/dev/null)" ] || packages+=(pocl-opencl-icd)
fi
if [ "$what" != build ]; then
    need python3 python3
    # A Python from a distribution may lack the module that makes virtual environments.
    python3 -c 'import venv, ensurepip' 2>/dev/null || packages+=(python3-venv)
fi

if [ ${#packages[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && have apt-get; then
        echo "installing: ${packages[*]}"
        export DEBIAN_FRONTEND=noninteractive
        retry 4 apt-get -qq -o Acquire::Retries=3 update
        if ! retry 3 apt-get -qq -y -o Acquire::Retries=3 install --no-install-recommends "${packages[@]}" >/dev/null; then
            # One package that a distribution does not have must not keep the others away.
            for package in "${packages[@]}"; do
                apt-get -qq -y install --no-install-recommends "$package" >/dev/null || echo "could not install $package"
            done
        fi
    else
        echo "missing on this machine: ${packages[*]}"
        echo "install them, on Debian or Ubuntu with:  sudo apt-get install ${packages[*]}"
    fi
fi

fail=0
if ! have cargo; then
    echo "cargo was not found: install Rust 1.89 or later, https://rustup.rs"
    fail=1
fi
have cc || { echo "no C compiler (cc) was found"; fail=1; }
[ "$fail" = 0 ] || exit 1
[ "$what" = build ] && exit 0

if [ "$what" = test ] && ! have go; then
    echo "Go was not found: the Go tests will be skipped (https://go.dev/dl, 1.24 or later)"
fi

# venv FOLDER PACKAGE...: makes the virtual environment once, and again when the list of packages changes.
venv() {
    local dir=$ROOT/$1
    shift
    local stamp="$dir/.packages"
    [ "$(cat "$stamp" 2>/dev/null)" = "$*" ] && "$dir/bin/python" -c '' 2>/dev/null && return 0
    echo "making $dir with: $*"
    rm -rf "$dir"
    python3 -m venv "$dir" || return 1
    retry 4 "$dir/bin/python" -m pip install -q --disable-pip-version-check --retries 5 --timeout 60 "$@" || return 1
    echo "$*" >"$stamp"
}

if [ "$what" = test ] || [ "$what" = python ]; then
    venv .venv numpy pytest matplotlib ruff==0.15.22 || echo "no .venv: the Python tests will be skipped"
    # NVIDIA's compiler for kernels (90 MB); there is none for other machines.
    if [ "$what" = test ] && [ "$(uname -sm)" = "Linux x86_64" ]; then
        venv .venv-cuda nvidia-cuda-nvrtc==13.0.88 || echo "no .venv-cuda: kernels will not be compiled for CUDA"
        if [ "${TAPER_TEST_INTEL:-0}" = 1 ]; then
            venv .venv-intel intel-opencl-rt==2026.2.0 intel-cmplr-lib-rt==2026.2.0 ||
                echo "no .venv-intel: nothing will run on Intel's OpenCL runtime"
        fi
    fi
else
    [ -n "${TAPER_BENCH_PYTHON:-}" ] || venv .venv-bench torch numpy || { echo "PyTorch could not be installed"; exit 1; }
fi
exit 0
