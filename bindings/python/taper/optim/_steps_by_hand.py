"""The steps of LBFGS, Adafactor and Muon; their constructors are generated."""

import math

from .._dtype import bfloat16
from .._grad_mode import enable_grad, no_grad
from .._ops import addmm, cat, zeros_like
from ._steps import refuse_recording, step_tensor
from .optimizer import Optimizer, check, with_grads


class AdafactorStep(Optimizer):
    """Second moments as an outer product of rows and columns, and steps relative to the parameter."""

    def _update(self, group):
        from .._limits import finfo

        params, grads = with_grads(group)
        refuse_recording(self, params)
        _refuse_complex(self, params)
        lr = float(group["lr"])
        for p, grad in zip(params, grads):
            if group["maximize"]:
                grad = -grad
            state = self.state[p]
            if not state:
                state["step"] = step_tensor(0.0)
                if grad.dim() > 1:
                    state["row_var"] = zeros_like(p.detach().select(-1, 0).unsqueeze(-1))
                    state["col_var"] = zeros_like(p.detach().select(-2, 0).unsqueeze(-2))
                else:
                    state["variance"] = zeros_like(p.detach())
            least, scale = group["eps"]
            least = finfo(p.dtype).eps if least is None else least
            state["step"] += 1
            step = state["step"].item()
            weight = step ** group["beta2_decay"]
            size = max(scale, _rms(p)) * min(lr, 1 / math.sqrt(step))
            if group["weight_decay"]:
                p.mul_(1 - lr * group["weight_decay"])
            if grad.dim() > 1:
                row, col = state["row_var"], state["col_var"]
                row.lerp_(grad.norm(dim=-1, keepdim=True).square_().div_(grad.size(-1)), weight)
                col.lerp_(grad.norm(dim=-2, keepdim=True).square_().div_(grad.size(-2)), weight)
                estimate = (row @ col).div_(row.mean(dim=-2, keepdim=True).clamp_(min=least))
            else:
                state["variance"].lerp_(grad * grad, weight)
                estimate = state["variance"]
            update = estimate.clamp(min=least * least).rsqrt_().mul_(grad)
            p.add_(update, alpha=-size / max(1.0, _rms(update) / group["d"]))


def _rms(t):
    return t.norm().item() / math.sqrt(t.numel())


class MuonStep(Optimizer):
    """Momentum whose singular values are drawn to 1, for matrices."""

    def __init__(self, params, defaults):
        name = defaults["adjust_lr_fn"]
        check(
            name in (None, "original", "match_rms_adamw", "spectral_unclamped"),
            f"Adjust learning rate function {name} is not supported",
        )
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                check(
                    p.dim() == 2,
                    f"Muon only supports 2D parameters whereas we found a parameter with size: {p.size()}",
                )

    def _update(self, group):
        params, grads = with_grads(group)
        refuse_recording(self, params)
        _refuse_complex(self, params)
        lr, momentum = float(group["lr"]), group["momentum"]
        for p, grad in zip(params, grads):
            check(grad.dim() == 2, "Param gradient must be a 2D matrix")
            state = self.state[p]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = zeros_like(p.detach())
            buffer = state["momentum_buffer"]
            buffer.lerp_(grad, 1 - momentum)
            update = _orthogonal(grad.lerp(buffer, momentum) if group["nesterov"] else buffer, group)
            rows, columns = p.shape
            if group["adjust_lr_fn"] == "match_rms_adamw":
                ratio = 0.2 * math.sqrt(max(rows, columns))
            elif group["adjust_lr_fn"] == "spectral_unclamped":
                ratio = math.sqrt(rows / columns)
            else:
                ratio = math.sqrt(max(1, rows / columns))
            p.mul_(1 - lr * group["weight_decay"])
            p.add_(update.to(p.dtype), alpha=-lr * ratio)


def _orthogonal(matrix, group):
    """The matrix with singular values near 1, by Newton and Schulz's iteration in bfloat16."""
    check(group["ns_steps"] < 100, "Number of steps must be less than 100 for computational efficiency")
    a, b, c = group["ns_coefficients"]
    tall = matrix.size(0) > matrix.size(1)
    x = matrix.to(bfloat16)
    x = x.t() if tall else x
    x = x / x.norm().clamp(min=group["eps"])
    for _ in range(group["ns_steps"]):
        gram = x @ x.t()
        x = addmm(x, addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.t() if tall else x


def _refuse_complex(optimizer, params):
    if any(p.is_complex() for p in params):
        raise RuntimeError(f"{type(optimizer).__name__} does not support complex parameters")


class LBFGSStep(Optimizer):
    """Limited-memory BFGS over one group; step needs a closure, and calls it several times."""

    def __init__(self, params, defaults):
        if defaults["max_eval"] is None:
            defaults["max_eval"] = defaults["max_iter"] * 5 // 4
        super().__init__(params, defaults)
        check(len(self.param_groups) == 1, "LBFGS doesn't support per-parameter options (parameter groups)")

    # --- the parameters as one vector ---

    def _gradient(self):
        group = self.param_groups[0]
        parts = [(zeros_like(p.detach()) if p.grad is None else p.grad).reshape(-1) for p in group["params"]]
        flat = cat(parts, 0)
        return -flat if group.get("maximize", False) else flat

    def _shift(self, distance, direction):
        start = 0
        for p in self.param_groups[0]["params"]:
            p.add_(direction[start : start + p.numel()].view_as(p), alpha=distance)
            start += p.numel()

    def _loss(self, closure):
        with enable_grad():
            loss = closure()
        value = float(loss)
        return loss, -value if self.param_groups[0].get("maximize", False) else value

    @no_grad()
    def step(self, closure):
        """Moves up to max_iter times; closure zeroes the gradients and computes the loss and its gradients."""
        for hook in list(self._step_pre_hooks.values()):
            hook(self, (closure,), {})
        loss = self._minimise(closure)
        for hook in list(self._step_post_hooks.values()):
            hook(self, (closure,), {})
        return loss

    def _minimise(self, closure):
        group = self.param_groups[0]
        params = group["params"]
        if not params:
            return self._loss(closure)[0]
        refuse_recording(self, params)
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError("only 'strong_wolfe' is supported")
        state = self.state[params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first, loss = self._loss(closure)
        evaluations = 1
        state["func_evals"] += 1
        g = self._gradient()
        if float(g.abs().max()) <= group["tolerance_grad"]:
            return first
        lr = float(group["lr"])
        for done in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            d = self._direction(state, g)
            distance = lr * min(1.0, 1.0 / float(g.abs().sum())) if state["n_iter"] == 1 else lr
            slope = float(g.dot(d))
            state.update(d=d, t=distance, prev_flat_grad=g.clone(), prev_loss=loss)
            if slope > -group["tolerance_change"]:
                break
            before, used = loss, 0
            if group["line_search_fn"] is not None:
                saved = [p.clone() for p in params]

                def evaluate(t, d=d, saved=saved):
                    self._shift(t, d)
                    f = self._loss(closure)[1]
                    grad = self._gradient()
                    for p, old in zip(params, saved):
                        p.copy_(old)
                    return _Point(t, f, grad, float(grad.dot(d)))

                start, most = _Point(0.0, loss, g, slope), group["max_eval"] - evaluations
                best, used = _search(evaluate, start, distance, d, group["tolerance_change"], most)
                loss, g, distance = best.f, best.g, best.t
                state["t"] = distance
                self._shift(distance, d)
            else:
                self._shift(distance, d)
                if done != group["max_iter"]:
                    loss, used = self._loss(closure)[1], 1
                    g = self._gradient()
            evaluations += used
            state["func_evals"] += used
            if (
                done == group["max_iter"]
                or evaluations >= group["max_eval"]
                or float(g.abs().max()) <= group["tolerance_grad"]
                or float(d.mul(distance).abs().max()) <= group["tolerance_change"]
                or abs(loss - before) < group["tolerance_change"]
            ):
                break
        return first

    def _direction(self, state, g):
        """The inverse Hessian's estimate times -g, after the last move has been remembered."""
        if state["n_iter"] == 1 or state.get("d") is None:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            return -g
        changes, moves, inverse = state["old_dirs"], state["old_stps"], state["ro"]
        y, s = g - state["prev_flat_grad"], state["d"] * float(state["t"])
        product = float(y.dot(s))
        if product > 1e-10:
            if len(changes) >= self.param_groups[0]["history_size"]:
                for held in (changes, moves, inverse):
                    if held:
                        del held[0]
            changes.append(y)
            moves.append(s)
            inverse.append(1.0 / product)
            state["H_diag"] = product / float(y.dot(y))
        # Kept in the state, as PyTorch does.
        weights = state.setdefault("al", [None] * self.param_groups[0]["history_size"])
        q = -g
        for i in reversed(range(len(changes))):
            weights[i] = float(moves[i].dot(q)) * float(inverse[i])
            q.add_(changes[i], alpha=-weights[i])
        d = q * float(state["H_diag"])
        for y, s, r, w in zip(changes, moves, inverse, weights):
            d.add_(s, alpha=w - float(y.dot(d)) * float(r))
        return d


class _Point:
    """Loss, gradient and slope at a distance along the direction."""

    __slots__ = ("f", "g", "slope", "t")

    def __init__(self, t, f, g, slope):
        self.t, self.f, self.g, self.slope = t, f, g, slope


def _cubic(a, b, bounds=None):
    """The minimum of the cubic through two points with their slopes, within bounds."""
    low, high = bounds or (min(a.t, b.t), max(a.t, b.t))
    if a.t == b.t:
        return (low + high) / 2
    d1 = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2
    if a.t > b.t:
        a, b = b, a
    root = math.sqrt(square)
    over, under = b.slope + root - d1, b.slope - a.slope + 2 * root
    if under == 0:
        # A straight line: its end.
        at = low if over * (b.t - a.t) > 0 else high
    else:
        at = b.t - (b.t - a.t) * (over / under)
    return min(max(at, low), high)


def _search(evaluate, start, distance, d, tolerance, most):
    """A point that satisfies Wolfe's strong conditions or is the best found, and the number of evaluations."""
    norm = float(d.abs().max())

    def too_high(p):
        return p.f > start.f + 1e-4 * p.t * start.slope

    def flat(p):
        return abs(p.slope) <= -0.9 * start.slope

    before, new, tried = start, evaluate(distance), 0
    # Out to an interval that holds such a point.
    while True:
        if tried >= most:
            ends = [start, new]
            break
        if too_high(new) or (tried > 1 and new.f >= before.f):
            ends = [before, new]
            break
        if flat(new):
            return new, tried + 1
        if new.slope >= 0:
            ends = [before, new]
            break
        t = _cubic(before, new, (new.t + 0.01 * (new.t - before.t), new.t * 10))
        before, new = new, evaluate(t)
        tried += 1
    # Into it; `low` is the better end.
    low, stuck = 0 if ends[0].f <= ends[1].f else 1, False
    while tried < most and abs(ends[1].t - ends[0].t) * norm >= tolerance:
        t = _cubic(ends[0], ends[1])
        least, greatest = min(p.t for p in ends), max(p.t for p in ends)
        margin = 0.1 * (greatest - least)
        if min(greatest - t, t - least) < margin:
            # Near an end: twice in a row is moved inwards.
            if stuck or t >= greatest or t <= least:
                t = greatest - margin if abs(t - greatest) < abs(t - least) else least + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        p = evaluate(t)
        tried += 1
        if too_high(p) or p.f >= ends[low].f:
            ends[1 - low] = p
            low = 0 if ends[0].f <= ends[1].f else 1
            continue
        found = flat(p)
        if not found and p.slope * (ends[1 - low].t - ends[low].t) >= 0:
            ends[1 - low] = ends[low]
        ends[low] = p
        if found:
            break
    return ends[low], tried + 1
