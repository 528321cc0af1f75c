#!/usr/bin/env bash
# Measures Taper on an OpenCL device against the device's peaks, CLBlast and Taper's CPU backend; options are those of
# benches/opencl.c. TAPER_LIBRARY_DIR names a folder with another libtaper.so.1 than target/release.
set -eu
. "$(dirname "$0")/env.sh"
cd "$ROOT"
lib=${TAPER_LIBRARY_DIR:-$ROOT/target/release}
mkdir -p target/benches
compiles() { # compiles FLAGS...: whether a C program with this header and these libraries builds
    printf '#include <%s>\nint main(void) { return 0; }\n' "$1" |
        cc -x c - -o target/benches/probe "${@:2}" >/dev/null 2>&1
}
if ! compiles CL/cl.h -lOpenCL; then
    echo "OpenCL's headers or loader are missing: apt-get install ocl-icd-opencl-dev" >&2
    exit 1
fi
blast=()
if compiles clblast_c.h -lclblast -lOpenCL; then
    blast=(-DWITH_CLBLAST -lclblast)
else
    echo "CLBlast is missing, its column stays empty: apt-get install libclblast-dev" >&2
fi
cc -std=c99 -O2 -Wall -Wextra -Wno-deprecated-declarations -Iinclude benches/opencl.c -o target/benches/opencl \
    -L"$lib" -ltaper "${blast[@]}" -lOpenCL -Wl,-rpath,"$lib"
exec target/benches/opencl "$@"
