#!/usr/bin/env bash
# Packages of PyPI on Taper: packages.sh [--small] [names...]
#
# Installs them into an environment of their own (target/packages), where `torch` is metadata alone, and compares what they do with
# what they did with PyTorch. --small: einops and safetensors, as `make test` has it. Exits with 75 where nothing can be installed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
names=(einops safetensors torchinfo torchdiffeq torchmetrics torchvision timm transformers x_transformers tensorly stable_baselines3)
if [ "${1:-}" = --small ]; then
    shift
    names=(einops safetensors)
fi
[ $# -eq 0 ] || names=("$@")
declare -A versions=([einops]=0.8.2 [safetensors]=0.8.0 [torchinfo]=1.8.0 [torchdiffeq]=0.2.5 [torchmetrics]=1.9.0 [torchvision]=0.29.2
    [timm]=1.0.31 [transformers]=5.24.0 [x_transformers]=2.31.10 [tensorly]=0.10.0 [stable_baselines3]=2.9.2)
hub="pyyaml huggingface_hub==2.4.0 hf-xet filelock tqdm fsspec packaging typing_extensions click httpx2==2.16.2 httpcore2==2.16.2 h11 anyio sniffio idna truststore safetensors==0.8.0"
declare -A more=([einops]=numpy [safetensors]=numpy [torchdiffeq]="numpy scipy" [torchmetrics]="numpy packaging lightning-utilities typing_extensions"
    [torchvision]="numpy pillow" [timm]="numpy pillow torchvision==0.29.2 $hub"
    [transformers]="numpy regex tokenizers==0.23.3 typer annotated-doc rich markdown-it-py mdurl pygments shellingham $hub"
    [x_transformers]="numpy einops==0.8.2 einx==0.4.3 frozendict sympy mpmath loguru packaging torch-einops-utils==0.2.0" [tensorly]="numpy scipy"
    [stable_baselines3]="numpy gymnasium==1.4.0 cloudpickle farama-notifications typing_extensions pandas python-dateutil six pytz tzdata matplotlib pillow packaging contourpy cycler fonttools kiwisolver pyparsing")
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
