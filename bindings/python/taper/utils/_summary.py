"""A model as a table, like `taper_module_summary` of the core, for modules of Python."""

from .. import _c
from .._grad_mode import no_grad
from .._tensor import Tensor

_multiply_adds = _c.proto("multiply_adds")


def _shapes(result):
    if isinstance(result, Tensor):
        return [str(list(result.shape))]
    if isinstance(result, dict):
        result = result.values()
    elif not isinstance(result, (list, tuple)):
        return []
    return [s for r in result for s in _shapes(r)]


def summary(model, *inputs, **kwargs):
    """Runs a model (in eval mode, without recording) and says in a table which shape each module gave, how many parameters
    are in it and how many multiply-adds its products and convolutions took."""
    rows, handles, modes = {}, [], []
    for path, module in model.named_modules():
        row = rows[path] = {"module": module, "began": [], "macs": 0, "shape": "-"}

        def before(_module, _inputs, row=row):
            row["began"].append(_multiply_adds())

        def after(_module, _inputs, result, row=row):
            row["macs"] += _multiply_adds() - row["began"].pop()
            row["shape"] = ", ".join(_shapes(result)) or "-"

        handles += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
        modes.append((module, module.training))
    try:
        with no_grad():
            model.eval()(*inputs, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
    table = [("Module", "Output shape", "Parameters", "Multiply-adds")]
    for path, row in rows.items():
        name = type(row["module"]).__name__
        depth, own = path.count(".") + 1 if path else 0, path.rpartition(".")[2]
        count = sum(p.numel() for p in row["module"].parameters())
        name = "  " * depth + (f"{own}: {name}" if own else name)
        table.append((name, row["shape"], f"{count:,}", f"{row['macs']:,}"))
    a, b, c, d = (max(len(line[i]) for line in table) for i in range(4))
    lines = [f"{name:{a}}  {shape:{b}}  {count:>{c}}  {macs:>{d}}" for name, shape, count, macs in table]
    rule = "=" * (a + b + c + d + 6)
    parameters = list(model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    ends = [
        f"Parameters: {sum(p.numel() for p in parameters):,} ({trained:,} trainable)",
        f"Multiply-adds: {rows['']['macs']:,}",
    ]
    return "\n".join([lines[0], rule, *lines[1:], rule, *ends, ""])
