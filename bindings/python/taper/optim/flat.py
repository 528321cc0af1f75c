"""State dicts of optimisers as the named tensors of a safetensors file, which C, C++ and Go read and write (docs/MODULES.md).

Both functions take PyTorch's dicts and tensors too: `flatten(optimizer.state_dict(), torch)`.
"""

# What PyTorch keeps as plain numbers.
_NUMBERS = ("func_evals", "n_iter", "prev_loss", "H_diag", "t")


def flatten(state_dict, torch=None):
    """`state.<i>.<name>` and `param_groups.<g>.<option>` of a state dict, for `taper.safetensors.save_file`.

    torch is the module that makes the tensors of options: taper, or PyTorch. What is None is left out.
    """
    if torch is None:
        import taper as torch
    out = {}

    def put(key, value):
        if value is None:
            return
        if isinstance(value, dict):
            for k, v in value.items():
                put(f"{key}.{k}", v)
        elif isinstance(value, bool):
            out[key] = torch.tensor(value)
        elif isinstance(value, int):
            out[key] = torch.tensor(value, dtype=torch.int64)
        elif isinstance(value, float):
            out[key] = torch.tensor(value, dtype=torch.float64)
        elif isinstance(value, str):
            out[key] = torch.tensor(list(value.encode()), dtype=torch.uint8)
        elif isinstance(value, tuple):
            numbers = [float("nan") if v is None else float(v) for v in value]
            out[key] = torch.tensor(numbers, dtype=torch.float64)
        elif isinstance(value, list):
            for i, v in enumerate(value):
                put(f"{key}.{i}", v)
        else:
            out[key] = value.detach()

    for i, state in state_dict["state"].items():
        put(f"state.{i}", state)
    for g, group in enumerate(state_dict["param_groups"]):
        for name, value in group.items():
            if name == "params":
                out[f"param_groups.{g}.params"] = torch.tensor(value, dtype=torch.int64)
            elif name != "param_names":
                put(f"param_groups.{g}.{name}", value)
    return out


def _option(t):
    if t.dim() == 0:
        return t.item()
    if str(t.dtype).endswith("uint8"):
        return bytes(t.tolist()).decode()
    return tuple(None if v != v else v for v in t.tolist())


def unflatten(tensors, optimizer):
    """What `optimizer.load_state_dict` takes, from the tensors of a file."""
    groups = []
    for group in optimizer.param_groups:
        # The file leaves out what is None.
        groups.append({name: None for name in group if name not in ("params", "param_names")})
    state = {}
    for key, t in tensors.items():
        kind, number, name = key.split(".", 2)
        number = int(number)
        if kind == "param_groups":
            while number >= len(groups):
                groups.append({})
            groups[number][name] = t.tolist() if name == "params" else _option(t)
            continue
        entry = state.setdefault(number, {})
        if name == "step":
            entry[name] = t.float()
        elif name in _NUMBERS:
            entry[name] = t.item()
        elif name.partition(".")[2].isdigit():
            name, _, at = name.partition(".")
            entry.setdefault(name, {})[int(at)] = t
        else:
            entry[name] = t
    for entry in state.values():
        for name, value in entry.items():
            if isinstance(value, dict):
                entry[name] = [value[i] for i in sorted(value)]
    return {"state": state, "param_groups": groups}
