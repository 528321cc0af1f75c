"""assert_close: tensors, numbers, and containers of them, compared with PyTorch's tolerances and texts."""

import cmath
from collections.abc import Mapping, Sequence

from .. import _dtype
from .. import _ops as ops
from .._tensor import Tensor

# (relative, absolute) for each dtype; everything else must be equal.
_TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex32": (1e-3, 1e-5),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}


class ErrorMeta(Exception):
    """What does not fit, and where: class and text of the error that becomes of it."""

    def __init__(self, cls, text, where=()):
        super().__init__(text)
        self.cls, self.text, self.where = cls, text, where

    def error(self, msg):
        text = self.text
        if self.where:
            text += f"\n\nThe failure occurred for item {''.join([f'[{w!r}]' for w in self.where])}"
        return self.cls(msg(text) if callable(msg) else text if msg is None else msg)


def default_tolerances(*inputs, dtype_precisions=None):
    """(rtol, atol) for values of these tensors' or numbers' dtypes: the widest of each."""
    names = []
    for v in inputs:
        d = v.dtype if isinstance(v, Tensor) else v
        names.append(getattr(d, "name", "float64"))
    found = [_TOLERANCES.get(n, (0.0, 0.0)) for n in names]
    return max(f[0] for f in found), max(f[1] for f in found)


def _tolerances(kinds, rtol, atol, where):
    if (rtol is None) ^ (atol is None):
        raise ErrorMeta(
            ValueError,
            f"Both 'rtol' and 'atol' must be either specified or omitted, but got no {'rtol' if rtol is None else 'atol'}.",
        )
    if rtol is not None:
        return rtol, atol
    return default_tolerances(*kinds)


def _number_kind(v):
    t = complex if isinstance(v, complex) else type(v)
    if t is complex:
        return getattr(_dtype, "complex128", _dtype.float64)
    return {bool: _dtype.bool, int: _dtype.int64}.get(t, _dtype.float64)


def _scalars(actual, expected, options, where):
    rtol, atol = _tolerances([_number_kind(actual), _number_kind(expected)], options["rtol"], options["atol"], where)
    if options["check_dtype"] and type(actual) is not type(expected):
        raise ErrorMeta(AssertionError, f"The (d)types do not match: {type(actual)} != {type(expected)}.", where)
    if actual == expected:
        return
    both_nan = cmath.isnan(actual) and cmath.isnan(expected)
    if options["equal_nan"] and both_nan:
        return
    absolute = abs(actual - expected)
    if cmath.isfinite(absolute) and absolute <= atol + rtol * abs(expected):
        return
    relative = float("inf") if expected == 0 else abs(absolute / expected)
    close = not (rtol == 0 and atol == 0)
    text = (
        f"Scalars are not {'close' if close else 'equal'}!\n\n"
        if options["identifier"] is None
        else options["identifier"] + "\n\n"
    )
    text += f"Expected {expected} but got {actual}.\n"
    text += f"Absolute difference: {absolute}{f' (up to {atol} allowed)' if close else ''}\n"
    text += f"Relative difference: {relative}{f' (up to {rtol} allowed)' if close else ''}"
    raise ErrorMeta(AssertionError, text, where)


def _compare_attribute(what, a, b, where):
    raise ErrorMeta(AssertionError, f"The values for attribute '{what}' do not match: {a} != {b}.", where)


def _where_greatest(differences):
    """(value, index) of the greatest element."""
    flat = int(differences.reshape(-1).argmax())
    value = differences.reshape(-1)[flat].item()
    index = []
    for size in reversed(differences.shape):
        index.append(flat % size)
        flat //= size
    return value, tuple(reversed(index))


def _tensors(actual, expected, options, where):
    rtol, atol = _tolerances([actual, expected], options["rtol"], options["atol"], where)
    if actual.shape != expected.shape:
        _compare_attribute("shape", actual.shape, expected.shape, where)
    if actual.layout != expected.layout and options["check_layout"]:
        _compare_attribute("layout", actual.layout, expected.layout, where)
    if actual.device != expected.device and options["check_device"]:
        _compare_attribute("device", actual.device, expected.device, where)
    if actual.dtype != expected.dtype and options["check_dtype"]:
        _compare_attribute("dtype", actual.dtype, expected.dtype, where)
    if options["check_stride"] and actual.stride() != expected.stride():
        _compare_attribute("stride()", actual.stride(), expected.stride(), where)
    actual, expected = actual.detach(), expected.detach()
    if actual.device != expected.device:
        actual, expected = actual.cpu(), expected.cpu()
    if actual.dtype != expected.dtype:
        from .._functions import promote_types

        dtype = promote_types(actual.dtype, expected.dtype)
        actual, expected = actual.to(dtype), expected.to(dtype)
    matches = ops.isclose(actual, expected, rtol=rtol, atol=atol, equal_nan=options["equal_nan"])
    if bool(matches.all()):
        return
    if actual.ndim == 0:
        options = {**options, "rtol": rtol, "atol": atol, "check_dtype": False}
        _scalars(actual.item(), expected.item(), options, where)
        return
    count, total = int((~matches).sum()), matches.numel()
    close = not (rtol == 0 and atol == 0)
    dtype = actual.dtype
    if not dtype.is_floating_point and not getattr(dtype, "is_complex", False):
        actual, expected = actual.to(_dtype.int64), expected.to(_dtype.int64)
    absolute = ops.abs(actual - expected)
    absolute = ops.where(matches, ops.zeros_like(absolute), absolute)
    relative = absolute / ops.abs(expected)
    relative = ops.where(matches, ops.zeros_like(relative), relative)
    (most, at), (most_relative, at_relative) = _where_greatest(absolute), _where_greatest(relative)
    head = options["identifier"] or f"Tensor-likes are not {'close' if close else 'equal'}!"
    text = f"{head}\n\nMismatched elements: {count} / {total} ({count / total:.1%})\n"
    text += f"Greatest absolute difference: {most} at index {at}{f' (up to {atol} allowed)' if close else ''}\n"
    text += f"Greatest relative difference: {most_relative} at index {at_relative}{f' (up to {rtol} allowed)' if close else ''}"
    raise ErrorMeta(AssertionError, text, where)


def _as_tensor(v):
    if isinstance(v, Tensor):
        return v
    from .._creation import as_tensor

    return as_tensor(v)


def _is_number(v):
    return isinstance(v, (bool, int, float, complex)) or (
        getattr(v, "ndim", None) == 0 and hasattr(v, "dtype") and hasattr(v, "item") and not isinstance(v, Tensor)
    )


def _pair(actual, expected, options, where):
    if (
        isinstance(actual, Sequence)
        and not isinstance(actual, str)
        and isinstance(expected, Sequence)
        and not isinstance(expected, str)
    ):
        if len(actual) != len(expected):
            raise ErrorMeta(
                AssertionError, f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", where
            )
        for i, (a, e) in enumerate(zip(actual, expected)):
            _pair(a, e, options, (*where, i))
        return
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        if set(actual) != set(expected):
            missing, extra = set(expected) - set(actual), set(actual) - set(expected)
            raise ErrorMeta(
                AssertionError,
                "The keys of the mappings do not match:\n"
                f"Missing keys in the actual mapping: {sorted(missing)}\n"
                f"Additional keys in the actual mapping: {sorted(extra)}",
                where,
            )
        keys = list(actual)
        try:
            keys = sorted(keys)
        except TypeError:
            pass
        for k in keys:
            _pair(actual[k], expected[k], options, (*where, k))
        return
    if actual is None or expected is None:
        if actual is not expected:
            raise ErrorMeta(AssertionError, f"None mismatch: {actual} is not {expected}", where)
        return
    if _is_number(actual) and _is_number(expected):
        _scalars(
            actual.item() if hasattr(actual, "item") else actual,
            expected.item() if hasattr(expected, "item") else expected,
            options,
            where,
        )
        return
    try:
        pair = [v if isinstance(v, Tensor) else _as_tensor(v) for v in (actual, expected)]
    except Exception:
        pair = None
    related = isinstance(actual, type(expected)) or isinstance(expected, type(actual))
    if pair is None or not (related or options["allow_mixed"]):
        raise ErrorMeta(
            TypeError,
            "No comparison pair was able to handle inputs of type "
            f"{str(type(actual)).replace('taper.', 'torch.')} and {str(type(expected)).replace('taper.', 'torch.')}.",
            where,
        )
    if not options["allow_subclasses"] and type(actual) is not type(expected):
        raise ErrorMeta(
            TypeError,
            "No comparison pair was able to handle inputs of type "
            f"{str(type(actual)).replace('taper.', 'torch.')} and {str(type(expected)).replace('taper.', 'torch.')}.",
            where,
        )
    _tensors(*pair, options, where)


def assert_close(
    actual,
    expected,
    *,
    allow_subclasses=True,
    rtol=None,
    atol=None,
    equal_nan=False,
    check_device=True,
    check_dtype=True,
    check_layout=True,
    check_stride=False,
    msg=None,
):
    """Raises an AssertionError unless |actual - expected| <= atol + rtol * |expected| everywhere, and shapes, dtypes and
    devices are equal; of numbers, tensors, arrays, and sequences and mappings of them."""
    options = {
        "allow_subclasses": allow_subclasses,
        "allow_mixed": False,
        "rtol": rtol,
        "atol": atol,
        "equal_nan": equal_nan,
        "check_device": check_device,
        "check_dtype": check_dtype,
        "check_layout": check_layout,
        "check_stride": check_stride,
        "identifier": None,
    }
    try:
        _pair(actual, expected, options, ())
    except ErrorMeta as found:
        error = found.error(msg)
    else:
        return
    raise error


def assert_allclose(actual, expected, rtol=None, atol=None, equal_nan=True, msg=""):
    """The older form of assert_close: dtypes and devices may differ."""
    import warnings

    warnings.warn(
        "`torch.testing.assert_allclose()` is deprecated since 1.12 and will be removed in a future release. "
        "Please use `torch.testing.assert_close()` instead. You can find detailed upgrade instructions in "
        "https://github.com/pytorch/pytorch/issues/61844.",
        FutureWarning,
        stacklevel=2,
    )
    actual, expected = _as_tensor(actual), _as_tensor(expected)
    if rtol is None and atol is None:
        table = {"float16": (1e-3, 1e-3), "float32": (1e-4, 1e-5), "float64": (1e-5, 1e-8)}
        found = [table.get(t.dtype.name, (0.0, 0.0)) for t in (actual, expected)]
        rtol, atol = max(f[0] for f in found), max(f[1] for f in found)
    assert_close(
        actual,
        expected,
        rtol=rtol,
        atol=atol,
        equal_nan=equal_nan,
        check_device=True,
        check_dtype=False,
        check_stride=False,
        msg=msg or None,
    )
