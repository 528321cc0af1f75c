"""Checkpoints: all that a training run needs to go on with the same bits, in one safetensors file, which C, C++ and Go read
and write too (docs/FILES.md)."""

import copy
import json

from . import random, safetensors
from ._creation import tensor
from ._dtype import bool as bool_
from ._dtype import float32, float64, int64, uint8
from ._tensor import Tensor

_FORMAT = "taper checkpoint 1"
# What comes of a file whose states have another structure than those that it is read into.
_TORN = (KeyError, IndexError, TypeError, AttributeError, UnicodeDecodeError, RecursionError)


def _flat(value, name, out):
    """Tensors and numbers of a nested state, under joined names: lists of numbers are one tensor, texts their bytes."""
    if isinstance(value, Tensor):
        out[name] = value.detach()
    elif isinstance(value, bool):
        out[name] = tensor(value, dtype=bool_)
    elif isinstance(value, int):
        out[name] = tensor(value, dtype=int64)
    elif isinstance(value, float):
        out[name] = tensor(value, dtype=float64)
    elif isinstance(value, str):
        out[name] = tensor(list(value.encode()), dtype=uint8)
    elif isinstance(value, dict):
        for k, v in value.items():
            _flat(v, f"{name}.{k}", out)
    elif isinstance(value, (list, tuple)):
        if value and all(isinstance(v, (int, float)) for v in value):
            whole = all(isinstance(v, int) for v in value)
            out[name] = tensor(list(value), dtype=int64 if whole else float64)
        elif not value:
            out[name] = tensor([], dtype=float64)
        else:
            for i, v in enumerate(value):
                _flat(v, f"{name}.{i}", out)


def _skeleton(value, name):
    """The nested state as JSON, with names in place of tensors."""
    if isinstance(value, Tensor):
        return {"tensor": name}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {"dict": [[k, _skeleton(v, f"{name}.{k}")] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_skeleton(v, f"{name}.{i}") for i, v in enumerate(value)]}
    raise TypeError(f"a checkpoint cannot hold {name}, a {type(value).__name__}")


def _built(skeleton, tensors):
    if not isinstance(skeleton, dict):
        return skeleton
    ((kind, value),) = skeleton.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "dict":
        return {k: _built(v, tensors) for k, v in value}
    made = [_built(v, tensors) for v in value]
    return tuple(made) if kind == "tuple" else made


def _like(template, name, tensors):
    """A state of the template's structure from flat names, as the other languages write it."""
    if isinstance(template, dict):
        return {k: _like(v, f"{name}.{k}", tensors) for k, v in template.items()}
    found = tensors.get(name)
    if isinstance(template, list) and template and isinstance(template[0], dict):
        return [_like(v, f"{name}.{i}", tensors) for i, v in enumerate(template)]
    if found is None:
        return None
    if isinstance(template, str) or found.dtype == uint8 and found.dim() == 1:
        return bytes(found.tolist()).decode()
    value = found.tolist()
    return tuple(value) if isinstance(template, tuple) else value


def _optimizer_like(optimizer, name, tensors):
    now = optimizer.state_dict()
    state = {}
    for key, value in tensors.items():
        if key.startswith(name + ".state."):
            i, _, what = key[len(name) + 7 :].partition(".")
            state.setdefault(int(i), {})[what] = value.to(float32) if what == "step" else value
    groups = [_like(g, f"{name}.param_groups.{i}", tensors) for i, g in enumerate(now["param_groups"])]
    for i, group in enumerate(groups):
        # What a schedule keeps with the options.
        rate = tensors.get(f"{name}.param_groups.{i}.initial_lr")
        if rate is not None:
            group["initial_lr"] = rate.item()
    return {"state": state, "param_groups": groups}


def _list(value):
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


def save_checkpoint(path, models=(), optimizers=(), schedules=(), generators=(), scaler=None, extra=None):
    """Writes models, optimizers, schedules (each one or several), a gradient scaler, generators (the default one is always in
    it) and `extra`, a dict of tensors and texts, such as the position of a loader. The old file stays until the new one is
    on disk."""
    models, optimizers, schedules, generators = map(_list, (models, optimizers, schedules, generators))
    kinds = {"models": models, "optimizers": optimizers, "schedules": schedules, "generators": generators}
    tensors = {f"count.{kind}": tensor(len(all_), dtype=int64) for kind, all_ in kinds.items()}
    skeleton = {"optimizers": [], "schedules": []}
    for i, m in enumerate(models):
        for key, value in m.state_dict().items():
            tensors[f"models.{i}.{key}"] = value
    for kind in skeleton:
        for i, o in enumerate(kinds[kind]):
            state = o.state_dict()
            _flat_children(state, f"{kind}.{i}", tensors)
            skeleton[kind].append(_skeleton(state, f"{kind}.{i}"))
    tensors["generators.default"] = random.get_rng_state()
    for i, g in enumerate(generators):
        tensors[f"generators.{i}"] = g.get_state()
    texts = {"format": _FORMAT}
    for key, value in (extra or {}).items():
        if isinstance(value, str):
            texts[f"extra.{key}"] = value
        else:
            tensors[f"extra.{key}"] = value if isinstance(value, Tensor) else tensor(value)
    if scaler is not None:
        skeleton["scaler"] = _skeleton(scaler.state_dict(), "scaler")
        _flat_children(scaler.state_dict(), "extra.scaler", tensors)
    texts["python"] = json.dumps(skeleton)
    safetensors.save_file(tensors, path, texts)


def _flat_children(state, name, out):
    for key, value in state.items():
        _flat(value, f"{name}.{key}", out)


def _read(path, tensors, texts, kinds, scaler):
    """The states of optimizers, schedules and the scaler, in this order."""
    for kind, given in kinds.items():
        has = int(tensors[f"count.{kind}"])
        if has != len(given):
            raise ValueError(f"the checkpoint {path} has {has} {kind}, but {len(given)} were given")
    try:
        skeleton = json.loads(texts["python"]) if "python" in texts else None
    except ValueError as e:
        raise KeyError("python") from e
    states = []
    for i, o in enumerate(kinds["optimizers"]):
        name = f"optimizers.{i}"
        states.append(_built(skeleton["optimizers"][i], tensors) if skeleton else _optimizer_like(o, name, tensors))
    for i, s in enumerate(kinds["schedules"]):
        name = f"schedules.{i}"
        states.append(_built(skeleton["schedules"][i], tensors) if skeleton else _like(s.state_dict(), name, tensors))
    if scaler is not None:
        states.append(
            _built(skeleton["scaler"], tensors) if skeleton else _like(scaler.state_dict(), "extra.scaler", tensors)
        )
    for name in ["default", *range(len(kinds["generators"]))]:
        tensors[f"generators.{name}"]  # is there
    return states


def load_checkpoint(path, models=(), optimizers=(), schedules=(), generators=(), scaler=None, strict=True):
    """Reads such a file into objects of the same structure. Gives (extra, missing, unexpected): the caller's tensors and
    texts, and the names that models did not match, which are an error when strict. A failure changes nothing."""
    models, optimizers, schedules, generators = map(_list, (models, optimizers, schedules, generators))
    with safetensors.safe_open(path) as file:
        texts = file.metadata() or {}
        if texts.get("format") != _FORMAT:
            raise OSError(f'{path} is no checkpoint: its text entry "format" is not "{_FORMAT}"')
    tensors = safetensors.load_file(path)
    kinds = {"models": models, "optimizers": optimizers, "schedules": schedules, "generators": generators}
    try:
        states = _read(path, tensors, texts, kinds, scaler)
    except _TORN as e:
        raise OSError(f"{path} is no whole checkpoint: {type(e).__name__}: {e}") from e
    parts = [*optimizers, *schedules] + ([scaler] if scaler is not None else [])
    own = [{k: v.clone() for k, v in m.state_dict().items()} for m in models]
    before = [copy.deepcopy(o.state_dict()) for o in parts]
    numbers = random.get_rng_state(), [g.get_state() for g in generators]
    missing, unexpected = [], []
    try:
        for i, m in enumerate(models):
            prefix = f"models.{i}."
            state = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
            keys = m.load_state_dict(state, strict=strict)
            missing += keys.missing_keys
            unexpected += keys.unexpected_keys
        for o, state in zip(parts, states):
            o.load_state_dict(state)
        random.set_rng_state(tensors["generators.default"])
        for i, g in enumerate(generators):
            g.set_state(tensors[f"generators.{i}"])
    except BaseException as e:
        for m, state in zip(models, own):
            m.load_state_dict(state)
        for o, state in zip(parts, before):
            o.load_state_dict(state)
        random.set_rng_state(numbers[0])
        for g, state in zip(generators, numbers[1]):
            g.set_state(state)
        if isinstance(e, _TORN):
            raise OSError(f"{path} is no whole checkpoint: {type(e).__name__}: {e}") from e
        raise
    extra = {k[6:]: v for k, v in {**tensors, **texts}.items() if k.startswith("extra.")}
    return extra, missing, unexpected
