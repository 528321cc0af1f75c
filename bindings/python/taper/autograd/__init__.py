"""Automatic differentiation: backward, grad, custom functions, checks of gradients."""

from _thread import _local

from .. import _c, _subclass
from .._c import fail, tls
from .._glue import unlist
from .._grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled
from .._tensor import Tensor
from .function import Function
from .gradcheck import gradcheck, gradgradcheck
from .graph import Node

__all__ = [
    "Function",
    "Node",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "grad_mode",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]


class _Pass(_local):
    whole = True  # a backward pass to all leaves, not to some inputs alone


_pass = _Pass()


def _valid_for_checkpoints():
    """Whether the pass that runs reaches all leaves, as a reentrant checkpoint needs."""
    return _pass.whole


def _list(v):
    return [v] if isinstance(v, Tensor) else list(v)


def _seeds(outputs, grads):
    """The outputs' gradients: ones for single elements, checked shapes otherwise."""
    if grads is None:
        grads = [None] * len(outputs)
    elif isinstance(grads, Tensor):
        grads = [grads]
    else:
        grads = list(grads)
    if len(grads) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(grads)} gradients")
    for g in grads:
        if g is not None and not isinstance(g, Tensor):
            raise TypeError("gradients can be either Tensors or None, but got " + type(g).__name__)
    return grads


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False, grad_variables=None, inputs=None):
    """Computes the gradients of the leaves that the tensors were made from and adds them to their `.grad`."""
    outputs = _list(tensors)
    grads = _seeds(outputs, grad_variables if grad_tensors is None else grad_tensors)
    if inputs is not None:
        inputs = _list(inputs)
        if not inputs:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    retain = create_graph if retain_graph is None else retain_graph
    before, _pass.whole = _pass.whole, inputs is None
    try:
        e = _c.backward(
            _c.handles(outputs),
            len(outputs),
            _c.opt_handles(grads),
            len(grads),
            retain,
            create_graph,
            None if inputs is None else _c.handles(inputs),
            0 if inputs is None else len(inputs),
        )
        if e:
            fail(e)
    finally:
        _pass.whole = before


def grad(
    outputs,
    inputs,
    grad_outputs=None,
    retain_graph=None,
    create_graph=False,
    only_inputs=True,
    allow_unused=None,
    is_grads_batched=False,
    materialize_grads=False,
):
    """The gradients of outputs with respect to inputs, as a tuple; no `.grad` is touched."""
    outputs, inputs = _list(outputs), _list(inputs)
    if _subclass.active and any(
        [hasattr(t, "_level") for t in (*outputs, *inputs, *_list(() if grad_outputs is None else grad_outputs))]
    ):
        from .._vmap.sampled import grad as sampled

        return sampled(
            outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused, is_grads_batched, materialize_grads
        )
    if is_grads_batched:
        return _batched(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused, materialize_grads)
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    seeds = _seeds(outputs, grad_outputs)
    retain = create_graph if retain_graph is None else retain_graph
    o, p = tls.o
    before, _pass.whole = _pass.whole, False
    try:
        e = _c.grad(
            _c.handles(outputs),
            len(outputs),
            _c.handles(inputs),
            len(inputs),
            _c.opt_handles(seeds),
            len(seeds),
            retain,
            create_graph,
            bool(allow_unused) or materialize_grads,
            p,
        )
        if e:
            fail(e)
    finally:
        _pass.whole = before
    results = unlist(o.value)
    if materialize_grads:
        from .._ops import zeros_like

        results = tuple([zeros_like(i) if r is None else r for r, i in zip(results, inputs)])
    return results


_plain_grad = grad


def _batched(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused, materialize_grads):
    """grad() once for each entry of the gradients' first dimension, results stacked."""
    from .._ops import stack

    seeds = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs or ())
    sizes = {None if s is None or s.ndim == 0 else s.size(0) for s in seeds} - {None}
    if len(sizes) != 1 or sizes == {0}:
        raise RuntimeError(
            "grad: is_grads_batched=True needs grad_outputs with one common, non-zero size of their first dimension, got "
            f"{[None if s is None else tuple(s.shape) for s in seeds]}"
        )
    n = sizes.pop()
    retain = create_graph if retain_graph is None else retain_graph
    rows = [
        grad(
            outputs,
            inputs,
            [None if s is None else s[i] for s in seeds],
            retain or i + 1 < n,
            create_graph,
            allow_unused=allow_unused,
            materialize_grads=materialize_grads,
        )
        for i in range(n)
    ]
    return tuple([None if column[0] is None else stack(column) for column in zip(*rows)])


class _VariableMeta(type):
    def __instancecheck__(cls, instance):
        return isinstance(instance, Tensor)


class Variable(metaclass=_VariableMeta):
    """The old name of a tensor that takes part in autograd: ``Variable(t)`` is t."""

    def __new__(cls, data=None, requires_grad=None, volatile=None):
        if data is None:
            return Tensor()
        t = data.detach() if data.is_leaf and not data.requires_grad else data
        return t.requires_grad_(requires_grad) if requires_grad is not None else t


class set_detect_anomaly:
    """Switches anomaly mode, as a function or for a block: on, a backward pass that computes a NaN is an error that
    names the function. It holds for every thread."""

    def __init__(self, mode, check_nan=True):
        self.previous = _c.detect_anomaly_checks_nan()
        self.previous = (_c.set_detect_anomaly(mode, check_nan), self.previous)

    def __enter__(self):
        pass

    def __exit__(self, *exc):
        _c.set_detect_anomaly(*self.previous)


class detect_anomaly(set_detect_anomaly):
    """A block in anomaly mode, see set_detect_anomaly."""

    def __init__(self, check_nan=True):
        import warnings

        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for "
            "debugging.",
            stacklevel=2,
        )
        self.check_nan = check_nan

    def __enter__(self):
        super().__init__(True, self.check_nan)


def __getattr__(name):
    from .._module_names import submodules

    return submodules(__name__)(name)
