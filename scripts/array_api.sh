#!/usr/bin/env bash
# The array API standard's suite on taper.array_api: array_api.sh [arguments of pytest...]
#
# ARRAY_API_TESTS names a checkout of https://github.com/data-apis/array-api-tests with its submodule. What the suite needs is
# installed into target/array-api. What does not pass stands, with reasons, in tests/array_api/xfails.txt; all else must, and 97 of
# 100 altogether. Exits with 75 where ARRAY_API_TESTS is not set or nothing can be installed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
if [ -z "${ARRAY_API_TESTS:-}" ]; then
    echo "ARRAY_API_TESTS does not name a checkout of data-apis/array-api-tests"
    exit 75
fi
[ -d "$ARRAY_API_TESTS/array_api_tests" ] || { echo "ARRAY_API_TESTS: $ARRAY_API_TESTS has no folder array_api_tests"; exit 1; }
place=target/array-api
[ -x $place/bin/python ] || "${PYTHON3:-python3}" -m venv $place
if ! timeout 300 $place/bin/python -m pip install --quiet --retries 1 --timeout 15 --disable-pip-version-check \
    pytest pytest-json-report 'hypothesis>=6.151' 'ndindex>=1.8' numpy 2>$place/pip.log; then
    echo "the suite's requirements cannot be installed: $(tail -1 $place/pip.log)"
    exit 75
fi
python=$PWD/$place/bin/python
export TAPER_LIBRARY=${TAPER_LIBRARY:-$PWD/target/release/libtaper.so} PYTHONPATH=$PWD/bindings/python
export ARRAY_API_TESTS_MODULE=taper.array_api ARRAY_API_TESTS_VERSION=2024.12
# A library built without it has no extension to be tested.
without=()
"$python" -c 'import taper.fft' 2>/dev/null || without=(--disable-extension fft -k 'not fft')
log=$PWD/$place/log
status=0
(cd "$ARRAY_API_TESTS" && "$python" -m pytest array_api_tests -q -p no:cacheprovider --max-examples "${EXAMPLES:-30}" --hypothesis-seed 0 \
    --hypothesis-disable-deadline --xfails-file "$OLDPWD/tests/array_api/xfails.txt" "${without[@]}" "$@") >"$log" 2>&1 || status=$?
grep '^FAILED\|^ERROR' "$log" || true
# Of the tests that ran, xfailed ones counted as failures.
tail -1 "$log" | "$python" -c '
import re, sys
line = sys.stdin.read().strip()
n = {k: int(v) for v, k in re.findall(r"(\d+) (\w+)", line)}
good = n.get("passed", 0) + n.get("xpassed", 0)
all_ = good + n.get("failed", 0) + n.get("xfailed", 0)
print(line)
print(f"array API 2024.12: {good} of {all_} pass, {100 * good / max(all_, 1):.1f} %")
sys.exit(0 if all_ and good >= 0.97 * all_ else 1)
' || { [ $status -ne 0 ] || status=1; }
[ $status -eq 0 ] || echo "the log: $log"
exit $status
