"""Jacobians, Hessians and products with them, of functions of tensors."""

from .. import _ops as g
from .._grad_mode import enable_grad
from .._tensor import Tensor
from . import grad


def _inputs(inputs, create_graph):
    single = isinstance(inputs, Tensor)
    tensors = (inputs,) if single else tuple(inputs)
    if create_graph:
        tensors = tuple([t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in tensors])
    else:
        tensors = tuple([t.detach().requires_grad_() for t in tensors])
    return single, tensors


def _outputs(outputs):
    return isinstance(outputs, Tensor), (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)


def _grads(outputs, inputs, seeds, create_graph, strict):
    if not any(o.requires_grad for o in outputs):
        return [g.zeros_like(i) for i in inputs]
    used = [(o, s) for o, s in zip(outputs, seeds) if o.requires_grad]
    found = grad(
        [o for o, _ in used],
        inputs,
        [s for _, s in used],
        retain_graph=True,
        create_graph=create_graph,
        allow_unused=True,
    )
    if strict and any(f is None for f in found):
        raise RuntimeError("The output of the user-provided function is independent of some input in strict mode.")
    return [g.zeros_like(i) if f is None else f for f, i in zip(found, inputs)]


def vjp(func, inputs, v=None, create_graph=False, strict=False):
    """The function's outputs, and the product of v with its Jacobian."""
    with enable_grad():
        single_in, tensors = _inputs(inputs, create_graph)
        single_out, outputs = _outputs(func(*tensors))
        if v is None:
            if len(outputs) != 1 or outputs[0].numel() != 1:
                raise RuntimeError(
                    "The vector v can only be None if the user-provided function returns a single Tensor with a single "
                    "element."
                )
            seeds = [g.ones_like(outputs[0])]
        else:
            seeds = list(_outputs(v)[1])
        results = _grads(outputs, tensors, seeds, create_graph, strict)
    if not create_graph:
        outputs = tuple([o.detach() for o in outputs])
    return (outputs[0] if single_out else outputs), (results[0] if single_in else tuple(results))


def jvp(func, inputs, v=None, create_graph=False, strict=False):
    """The function's outputs, and the product of its Jacobian with v."""
    with enable_grad():
        single_in, tensors = _inputs(inputs, create_graph)
        single_out, outputs = _outputs(func(*tensors))
        vectors = [g.ones_like(t) for t in tensors] if v is None else list(_outputs(v)[1])
        # The derivative of the vector-Jacobian product by its vector is the Jacobian-vector product.
        seeds = [g.zeros_like(o).requires_grad_() for o in outputs]
        products = _grads(outputs, tensors, seeds, True, strict)
        results = _grads(products, seeds, vectors, create_graph, strict)
    if not create_graph:
        outputs = tuple([o.detach() for o in outputs])
    return (outputs[0] if single_out else outputs), (results[0] if single_out else tuple(results))


def _strategy(name, argument, strategy, create_graph, strict, vectorize):
    """PyTorch's errors for what does not go together."""
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your function has more outputs than '
            'inputs, "forward-mode" tends to be more performant. Otherwise, prefer to use "reverse-mode".'
        )
    if strategy == "forward-mode":
        if create_graph:
            raise NotImplementedError(
                f'torch.autograd.functional.{name}: `create_graph=True` and `{argument}="forward-mode"` are not supported '
                'together (yet). Please either set `create_graph=False` or `strategy="reverse-mode"`.'
            )
        if strict:
            raise RuntimeError(
                f'torch.autograd.functional.{name}: `strict=True` and `{argument}="forward-mode"` are not supported together '
                '(yet). Please either set `strict=False` or `strategy="reverse-mode"`.'
            )
        if not vectorize:
            raise NotImplementedError(
                "Computing Jacobian using forward-AD or forward-over-reverse Hessian isonly implemented for `vectorize=True`."
            )
    elif vectorize and strict:
        raise RuntimeError(
            f"torch.autograd.functional.{name}: `strict=True` and `vectorized=True` are not supported together. Please either "
            "set `strict=False` or `vectorize=False`."
        )


def jacobian(func, inputs, create_graph=False, strict=False, vectorize=False, strategy="reverse-mode"):
    """The derivatives of every element of the outputs by every element of the inputs. vectorize and strategy change
    nothing in the result."""
    _strategy("jacobian", "strategy", strategy, create_graph, strict, vectorize)
    with enable_grad():
        single_in, tensors = _inputs(inputs, create_graph)
        single_out, outputs = _outputs(func(*tensors))
        rows = []
        for o in outputs:
            columns = [[] for _ in tensors]
            for k in range(o.numel()):
                seed = g.zeros((o.numel(),), dtype=o.dtype, device=o.device)
                seed[k] = 1
                for held, d in zip(columns, _grads((o,), tensors, [seed.view(o.shape)], create_graph, strict)):
                    held.append(d)
            rows.append(
                tuple(
                    [
                        g.stack(held, 0).view([*o.shape, *t.shape]) if held else g.zeros([*o.shape, *t.shape])
                        for held, t in zip(columns, tensors)
                    ]
                )
            )
    if single_in:
        rows = [r[0] for r in rows]
    return rows[0] if single_out else tuple(rows)


def hessian(func, inputs, create_graph=False, strict=False, vectorize=False, outer_jacobian_strategy="reverse-mode"):
    """The second derivatives of a function whose result has one element."""
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')
    if outer_jacobian_strategy == "forward-mode" and not vectorize:
        raise NotImplementedError(
            "Computing Jacobian using forward-AD or forward-over-reverse Hessian isonly implemented for `vectorize=True`."
        )
    single_in, tensors = _inputs(inputs, create_graph)

    def gradient(*xs):
        out = func(*xs)
        if not isinstance(out, Tensor) or out.numel() != 1:
            raise RuntimeError("The function given to hessian should return a single Tensor with a single element")
        return tuple(_grads((out,), xs, [g.ones_like(out)], True, strict))

    with enable_grad():
        result = jacobian(gradient, tensors, create_graph, strict)
    return result[0][0] if single_in else result


def vhp(func, inputs, v=None, create_graph=False, strict=False):
    """The function's value, and the product of v with its Hessian."""
    with enable_grad():
        single_in, tensors = _inputs(inputs, create_graph)
        out = func(*tensors)
        first = _grads((out,), tensors, [g.ones_like(out)], True, strict)
        vectors = [g.ones_like(t) for t in tensors] if v is None else list(_outputs(v)[1])
        results = _grads(first, tensors, vectors, create_graph, strict)
    return out if create_graph else out.detach(), (results[0] if single_in else tuple(results))


hvp = vhp
