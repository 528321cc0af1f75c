"""All cases of the differential fuzzer: a name and a seed give a call."""

import random

import cases_nn  # noqa: F401
import cases_tensors  # noqa: F401
from draw import FLOATS, OPS, Draw, _tuple

__all__ = ["FLOATS", "OPS", "case"]

# Written into their first tensor, when the method with "_" exists.
IN_PLACE = frozenset(
    "abs acos acosh asin asinh atan atanh cos cosh sin sinh tan tanh erf erfc exp exp2 expm1 log log10 log1p log2 sqrt rsqrt "
    "reciprocal neg sign square sigmoid floor ceil trunc relu lgamma erfinv nan_to_num round add sub mul div floor_divide remainder "
    "fmod pow bitwise_and bitwise_or bitwise_xor lerp addcmul addcdiv clamp clamp_min clamp_max masked_fill cumsum cumprod addmm "
    "baddbmm tril triu scatter scatter_add scatter_reduce index_add index_copy index_fill masked_scatter squeeze unsqueeze "
    "transpose t".split()
)
# With out=, in PyTorch and in Taper.
OUT = frozenset(
    "abs acos cos sin tanh exp log sqrt neg floor add sub mul div pow maximum minimum sum mean prod amax cumsum matmul mm bmm "
    "gather index_select cat stack where eq lt clamp logical_and bitwise_and arange linspace masked_select".split()
)


def case(name, seed):
    rng = random.Random(f"{seed} {name}")
    d = Draw(name, rng)
    OPS[name](d)
    made = d.case
    if not made.inputs or name.startswith(("F.", "method.")) or name == "index":
        return made
    if name in IN_PLACE and rng.random() < 0.25:
        first = made.inputs.get(made.args[0])
        if first and (first.layout != "expanded"):
            made.op, made.method = name + "_", True
            # A leaf that requires gradients cannot be written to: its copy can.
            if first.grad:
                made.args[0] += ".clone()"
    elif name in OUT and rng.random() < 0.15:
        dtype = rng.choice((d.dtype, d.dtype, "float32", "int64"))
        made.kwargs["out"] = f"torch.zeros({_tuple(d.shape if rng.random() < 0.6 else (0,))}, dtype=torch.{dtype})"
        for i in made.inputs.values():
            i.grad = False
    return made
