#!/usr/bin/env bash
# Whether a program with more rights than who called it (setuid) leaves alone what the environment names: a library that says
# when it is opened, in TAPER_OPENCL_LIBRARY and TAPER_CUDA_LIBS, and a folder for compiled kernels. The same program without
# the bit opens both, which shows that the test would see it. Root alone can make such a program for somebody else.
set -eu
. "$(dirname "$0")/../../scripts/env.sh"
cd "$ROOT"
[ "$(id -u)" = 0 ] || { echo "SKIPPED: setuid: only root can make such a program" && exit 0; }
have setpriv || { echo "SKIPPED: setuid: setpriv (util-linux) is not installed" && exit 0; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
library=$(readlink -f "${TAPER_LIBRARY_DIR:-target/release}/libtaper.so")
mkdir "$dir/lib" "$dir/cuda" "$dir/cache"
cp "$library" "$dir/lib/libtaper.so.1"
cat >"$dir/planted.c" <<'C'
#include <unistd.h>

__attribute__((constructor)) static void opened(void)
{
    ssize_t n = write(1, "OPENED\n", 7);
    (void)n;
}
C
cc -shared -fPIC "$dir/planted.c" -o "$dir/planted.so"
for name in libcuda.so.1 libnvrtc.so.13 libnvrtc.so.12; do cp "$dir/planted.so" "$dir/cuda/$name"; done
cat >"$dir/program.c" <<'C'
#include <stdio.h>
#include <sys/auxv.h>
#include <taper.h>

int main(void)
{
    const int32_t types[] = {TAPER_DEVICE_OPENCL, TAPER_DEVICE_CUDA};
    const int64_t size = 2;
    int32_t count = 0;
    printf("secure %lu\n", getauxval(AT_SECURE));
    fflush(stdout);
    for (int i = 0; i < 2; i++) {
        taper_device device = {types[i], 0};
        taper_tensor *x = NULL;
        taper_error_free(taper_ones(&size, 1, TAPER_FLOAT32, device, &x));
        taper_error_free(taper_device_count(types[i], &count));
        taper_tensor_free(x);
    }
    return 0;
}
C
cc -Iinclude "$dir/program.c" -o "$dir/program" "$dir/lib/libtaper.so.1" -Wl,-rpath,"$dir/lib"
cp "$dir/program" "$dir/raised"
# Not to root: a test that failed should have as few rights as it can.
chown 1:1 "$dir/raised" && chmod 4755 "$dir/raised"
chown 1:1 "$dir/cache"
chmod 700 "$dir/cache"
call() { # call PROGRAM: as nobody
    env TAPER_OPENCL_LIBRARY="$dir/planted.so" TAPER_CUDA_LIBS="$dir/cuda" TAPER_CACHE_DIR="$dir/cache" \
        TAPER_KERNEL_DUMP="$dir/cache" setpriv --reuid=65534 --regid=65534 --clear-groups "$1"
}
plain=$(call "$dir/program")
grep -q OPENED <<<"$plain" || { echo "FAILED: the program without the bit opened nothing: $plain" && exit 1; }
raised=$(call "$dir/raised")
if ! grep -qx 'secure 1' <<<"$raised"; then
    echo "SKIPPED: setuid: the bit has no effect in $dir (mounted with nosuid?)"
    exit 0
fi
! grep -q OPENED <<<"$raised" || { echo "FAILED: a setuid program opened what the environment named" && exit 1; }
[ -z "$(ls -A "$dir/cache")" ] || { echo "FAILED: a setuid program wrote where the environment said" && exit 1; }
echo "works: a setuid program opens nothing that the environment names"
