#!/usr/bin/env bash
# Installs into a temporary folder and builds a program against that copy, through pkg-config, with the shared library
# and with the static one, in C and (where its header exists) in C++.
set -eu
. "$(dirname "$0")/env.sh"
cd "$ROOT"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
PREFIX=$dir/usr scripts/install.sh

cat >"$dir/program.c" <<'C'
#include <stdio.h>
#include <taper.h>

int main(void) {
    taper_error *error = taper_check_abi(TAPER_ABI_VERSION);
    if (error != NULL) {
        fprintf(stderr, "%s\n", taper_error_message(error));
        return 1;
    }
    const float data[3] = {1, 2, 3};
    const int64_t sizes[1] = {3};
    taper_tensor *x = NULL, *sum = NULL;
    taper_scalar value;
    if ((error = taper_tensor_from_data(data, sizes, 1, TAPER_FLOAT32, TAPER_CPU, &x)) != NULL) return 2;
    if ((error = taper_add(x, x, taper_scalar_i64(1), &sum)) != NULL) return 3;
    taper_tensor *total = NULL;
    if ((error = taper_sum(sum, TAPER_DTYPE_NONE, &total)) != NULL) return 4;
    if ((error = taper_tensor_item(total, &value)) != NULL) return 5;
    taper_tensor_free(x);
    taper_tensor_free(sum);
    taper_tensor_free(total);
    printf("Taper %s: 2 + 4 + 6 = %g\n", taper_version(), value.f);
    return value.f == 12.0 ? 0 : 6;
}
C

export PKG_CONFIG_PATH=$dir/usr/lib/pkgconfig
# shellcheck disable=SC2046
{
    cc -std=c99 -Wall -Wextra -Werror "$dir/program.c" -o "$dir/shared" $(pkg-config --cflags --libs taper)
    LD_LIBRARY_PATH=$dir/usr/lib "$dir/shared"
    cc -std=c99 "$dir/program.c" -o "$dir/static" $(pkg-config --cflags taper) "$dir/usr/lib/libtaper.a" \
        $(pkg-config --static --libs-only-l taper | sed 's/-ltaper//')
    "$dir/static"
}
# The library is a plain file there: no path of this checkout may have been baked in.
if grep -q "$ROOT" "$dir/usr/lib/pkgconfig/taper.pc"; then
    echo "taper.pc names the checkout"
    exit 1
fi
PREFIX=$dir/usr scripts/install.sh --remove
[ -z "$(find "$dir/usr" -name '*taper*')" ] || { echo "left behind:"; find "$dir/usr" -name '*taper*'; exit 1; }
