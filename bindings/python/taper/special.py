"""Special functions under the names of ``torch.special``."""

from . import _functions, _lazy
from . import _ops as g
from ._tensor import Tensor

# Names here, and those of the same functions elsewhere.
_ELSEWHERE = dict(
    pair.split(":")
    for pair in "digamma:digamma psi:digamma erf:erf erfc:erfc erfinv:erfinv exp2:exp2 expit:sigmoid expm1:expm1 gammainc:igamma "
    "gammaincc:igammac gammaln:lgamma i0:i0 log1p:log1p log_softmax:log_softmax logit:logit logsumexp:logsumexp "
    "multigammaln:mvlgamma polygamma:polygamma round:round sinc:sinc softmax:softmax xlogy:xlogy".split()
)
# Here alone: the op is `special_` and the name.
_OWN = (
    "airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 entr erfcx i0e i1 i1e log_ndtr modified_bessel_i0 modified_bessel_i1 "
    "modified_bessel_k0 modified_bessel_k1 ndtr ndtri scaled_modified_bessel_k0 scaled_modified_bessel_k1 "
    "spherical_bessel_j0"
).split()
# Of two arguments, of which one may be a number.
_PAIRS = (
    "chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w hermite_polynomial_h "
    "hermite_polynomial_he laguerre_polynomial_l legendre_polynomial_p shifted_chebyshev_polynomial_t "
    "shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v shifted_chebyshev_polynomial_w xlog1py zeta"
).split()

__all__ = sorted((*_ELSEWHERE, *_OWN, *_PAIRS))


def _pair(name):
    op = getattr(g, "special_" + name)
    first, second = ("input", "other") if name in ("xlog1py", "zeta") else ("input", "n")

    def function(*args, out=None, **named):
        values = list(args)
        for key in (first, second)[len(values) :]:
            if key not in named:
                raise TypeError(f'{name}() missing 1 required positional arguments: "{key}"')
            values.append(named.pop(key))
        if named or len(values) > 2:
            extra = next(iter(named), None)
            raise TypeError(
                f"{name}() got an unexpected keyword argument '{extra}'" if extra else f"{name}() takes 2 arguments"
            )
        a, b = values
        if not isinstance(b, Tensor) and isinstance(a, Tensor):
            b = g.full((), b, dtype=_functions.result_type(a, b), device=a.device)
        elif not isinstance(a, Tensor) and isinstance(b, Tensor):
            a = g.full((), a, dtype=_functions.result_type(a, b), device=b.device)
        return op(a, b) if out is None else op(a, b, out=out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = op.__doc__
    return function


def __getattr__(name):
    if name in _ELSEWHERE:
        made = _lazy.function(_ELSEWHERE[name])
    elif name in _OWN:
        made = getattr(g, "special_" + name)
    elif name in _PAIRS:
        made = _pair(name)
    else:
        raise AttributeError(f"module 'taper.special' has no attribute '{name}'")
    globals()[name] = made
    return made


def __dir__():
    return sorted({*globals(), *__all__})
