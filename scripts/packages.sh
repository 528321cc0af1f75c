#!/usr/bin/env bash
# Packages of PyPI on Taper: packages.sh [--small] [names...]
#
# Installs them into an environment of their own (target/packages), where `torch` is metadata alone, and compares what they do with
# what they did with PyTorch. --small: einops and safetensors, as `make test` has it. Exits with 75 where nothing can be installed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
names=(einops safetensors torchinfo torchdiffeq torchmetrics torchvision timm)
if [ "${1:-}" = --small ]; then
    shift
    names=(einops safetensors)
fi
[ $# -eq 0 ] || names=("$@")
declare -A versions=([einops]=0.8.2 [safetensors]=0.8.0 [torchinfo]=1.8.0 [torchdiffeq]=0.2.5 [torchmetrics]=1.9.0 [torchvision]=0.29.2 [timm]=1.0.31)
declare -A more=([einops]=numpy [safetensors]=numpy [torchdiffeq]="numpy scipy" [torchmetrics]="numpy packaging lightning-utilities typing_extensions"
    [torchvision]="numpy pillow" [timm]="numpy pillow torchvision==0.29.2 pyyaml huggingface_hub==2.4.0 filelock requests tqdm fsspec packaging typing_extensions urllib3 idna certifi charset_normalizer")
place=target/packages
[ -x $place/bin/python ] || "${PYTHON3:-python3}" -m venv $place
wanted=()
for name in "${names[@]}"; do
    # shellcheck disable=SC2206
    wanted+=("$name==${versions[$name]}" ${more[$name]:-})
done
if ! timeout 300 $place/bin/python -m pip install --quiet --retries 1 --timeout 15 --disable-pip-version-check --no-deps "${wanted[@]}" 2>$place/pip.log; then
    echo "the packages cannot be installed: $(tail -1 $place/pip.log)"
    exit 75
fi
export PYTHONPATH=bindings/python
$place/bin/python -m taper.provide_torch >/dev/null
exec $place/bin/python tests/packages/pypi/run.py "${names[@]}"
