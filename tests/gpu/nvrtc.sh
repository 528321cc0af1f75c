#!/usr/bin/env bash
# Compiles the kernels with the real NVRTC: the list that covers every file, opcode and dtype, and whatever the tests on
# the double compiled (target/kernel-dump); with `--short` a part of both, in which each file, opcode and dtype is.
set -eu
. "$(dirname "$0")/../../scripts/env.sh"
cd "$ROOT"
rm -rf target/kernels
# The libraries load without a GPU too, as far as they are there.
rust_tests
"$RUST_TESTS" -q backend::cuda::libs
TAPER_KERNEL_LIST=$ROOT/target/kernels "$RUST_TESTS" -q backend::kernels::enumerate
exec .venv-cuda/bin/python tests/gpu/nvrtc.py --list target/kernels --dump target/kernel-dump "$@"
