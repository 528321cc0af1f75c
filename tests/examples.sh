#!/usr/bin/env bash
# Compiles and runs every example for a short while in every language: each must print what the C one prints. Where LONG is 1
# the servers answer 100,000 requests and must be as quick as docs/EXAMPLES.md says. The library must have been built.
set -u
. "$(dirname "$0")/../scripts/env.sh"
cd "$ROOT" || exit 1
out=$ROOT/target/examples/out
status=0
mkdir -p "$out"

languages=(c cpp go python)
have go || { echo "go is not installed: its examples are left out"; languages=(c cpp python); }

# run LANGUAGE NAME ARGS...: what it prints, with the path of its picture or folder made the same, lies in $out/NAME.LANGUAGE.
run() {
    local language=$1 name=$2 result=0
    shift 2
    timeout 600 scripts/example.sh "$language" "$name" "$@" >"$out/$name.raw" 2>&1 || result=$?
    sed "s#$out/[^ ]*#PLACE#" "$out/$name.raw" >"$out/$name.$language"
    [ $result = 0 ] || { echo "$name ($language) ended with $result:"; tail -20 "$out/$name.$language"; status=1; }
}
same() { # same NAME: all languages printed the same
    local language
    for language in "${languages[@]:1}"; do
        diff "$out/$1.c" "$out/$1.$language" || { echo "$1 in $language differs from $1 in C"; status=1; }
    done
}
picture() { # picture FILE
    [ "$(head -c 4 "$1" | tail -c 3)" = PNG ] || { echo "$1 is no picture"; status=1; }
}

for name in vae char_transformer dcgan cartpole sequence; do
    quick=--quick
    [ $name != sequence ] || quick=
    for language in "${languages[@]}"; do
        rm -f "$out/$name.png"
        run "$language" $name $quick "$out/$name.png"
        [ $name = char_transformer ] || picture "$out/$name.png"
    done
    same $name
done
for name in linear xor function files dataset; do
    for language in "${languages[@]}"; do
        if [ $name = files ]; then run "$language" files "$out"; else run "$language" $name; fi
    done
    same $name
done
grep -Eq 'on the right ring: (9[0-9]|100)' "$out/dataset.python" || { cat "$out/dataset.python"; status=1; }

for language in c go; do
    [ $language = c ] || have go || continue
    if [ "${LONG:-0}" = 1 ]; then run $language server 100000; else run $language server --quick; fi
    cat "$out/server.$language"
    [ "${LONG:-0}" != 1 ] || python3 - "$out/server.$language" <<'CHECK' || status=1
import re, sys
text = open(sys.argv[1]).read()
median, late = map(float, re.search(r"8 \w+ .*median ([\d.]+) ms, 99 of 100 within ([\d.]+) ms", text).groups())
times = float(re.search(r"throughput ([\d.]+) times", text)[1])
if times < 1.7 or late > 3 * median:
    sys.exit(f"the server is too slow: {times} times one thread, {late} ms against a median of {median} ms")
CHECK
done
exit $status
