"""Ready parametrizations: weight normalisation, spectral normalisation, orthogonal matrices."""

from ... import _ops as ops
from ..._grad_mode import no_grad
from ..._tensor import Tensor
from ..functional import normalize
from ..modules.module import Module
from . import parametrize
from .weight_norm import _norm_except

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def _tensor_of(module, name):
    found = getattr(module, name, None)
    if not isinstance(found, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return found


class _WeightNorm(Module):
    """(length, direction) -> weight."""

    def __init__(self, dim=0):
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g, weight_v):
        return weight_v * (weight_g / _norm_except(weight_v, self.dim))

    def right_inverse(self, weight):
        return _norm_except(weight, self.dim), weight


def weight_norm(module, name="weight", dim=0):
    """Parametrizes a tensor by its length along a dimension (`original0`) and its direction (`original1`)."""
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def from_old_names(state_dict, prefix, *rest):
        # What the older weight_norm saved.
        old = [f"{prefix}{name}_g", f"{prefix}{name}_v"]
        if all(key in state_dict for key in old):
            for i, key in enumerate(old):
                state_dict[f"{prefix}parametrizations.{name}.original{i}"] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(from_old_names)
    return module


class _SpectralNorm(Module):
    """weight -> weight / its largest singular value, which is followed by power iteration."""

    def __init__(self, weight, n_power_iterations=1, dim=0, eps=1e-12):
        super().__init__()
        ndim = weight.ndim
        if dim >= ndim or dim < -ndim:
            raise IndexError(f"Dimension out of range (expected to be in range of [-{ndim}, {ndim - 1}] but got {dim})")
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.dim = dim % ndim
        self.eps = eps
        if ndim > 1:
            self.n_power_iterations = n_power_iterations
            with no_grad():
                matrix = self._matrix(weight)
                u, v = (matrix.new_empty(n).normal_(0, 1) for n in matrix.shape)
                self.register_buffer("_u", normalize(u, dim=0, eps=eps))
                self.register_buffer("_v", normalize(v, dim=0, eps=eps))
                # Many steps at first: the vectors are random.
                self._iterate(matrix, 15)

    def _matrix(self, weight):
        if self.dim:
            weight = weight.permute(self.dim, *[d for d in range(weight.ndim) if d != self.dim])
        return weight.flatten(1)

    def _iterate(self, matrix, steps):
        with no_grad():
            for _ in range(steps):
                self._u.copy_(normalize(ops.mv(matrix, self._v), dim=0, eps=self.eps))
                self._v.copy_(normalize(ops.mv(matrix.t(), self._u), dim=0, eps=self.eps))

    def forward(self, weight):
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix, self.n_power_iterations)
        # The graph keeps copies: the next forward pass writes into the buffers.
        u, v = self._u.clone(), self._v.clone()
        return weight / ops.dot(u, ops.mv(matrix, v))

    def right_inverse(self, value):
        return value


def spectral_norm(module, name="weight", n_power_iterations=1, eps=1e-12, dim=None):
    """Parametrizes a tensor by itself over its largest singular value."""
    weight = _tensor_of(module, name)
    if dim is None:
        dim = 1 if type(module).__name__.startswith("ConvTranspose") else 0
    return parametrize.register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))


def _orthogonalised(a):
    """The Q of a = QR whose R has a positive diagonal."""
    from ... import linalg

    q, r = linalg.qr(a)
    return q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)


def _is_orthogonal(q):
    n, k = q.shape[-2:]
    eps = 10.0 * n * {8: 2.220446049250313e-16, 4: 1.1920928955078125e-07}.get(q.element_size(), 9.765625e-04)
    return bool(ops.allclose(q.mT @ q, ops.eye(k, dtype=q.dtype, device=q.device), atol=eps))


def _reflections(vectors, tau):
    """The first columns of the product of the Householder reflections 1 - tau v v', v below a diagonal of ones."""
    from ... import linalg

    return linalg.householder_product(vectors, tau)


def _geqrf(a):
    from ... import _lazy

    geqrf = _lazy.function("geqrf")
    if geqrf is None:
        raise NotImplementedError("orthogonal(use_trivialization=False) needs geqrf, which this version does not have")
    return geqrf(a)


class _Orthogonal(Module):
    """Any matrix -> one with orthonormal columns (rows, where it is wider than high)."""

    def __init__(self, weight, orthogonal_map, *, use_trivialization=True):
        super().__init__()
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x):
        wide = x.size(-2) < x.size(-1)
        if wide:
            x = x.mT
        n, k = x.shape[-2:]
        if self.orthogonal_map == "householder":
            below = x.tril(-1)
            q = _reflections(below, 2.0 / (1.0 + (below * below).sum(-2)))
            # The diagonal holds signs.
            q = q * x.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)
        else:
            x = x.tril()
            if n != k:
                x = ops.cat([x, x.new_zeros(n, n - k).expand(*x.shape[:-2], -1, -1)], -1)
            skew = x - x.mT
            if self.orthogonal_map == "matrix_exp":
                from ... import linalg

                q = linalg.matrix_exp(skew)
            else:
                from ... import linalg

                one = ops.eye(n, dtype=skew.dtype, device=skew.device)
                q = linalg.solve(ops.add(one, skew, alpha=-0.5), ops.add(one, skew, alpha=0.5))
            if n != k:
                q = q[..., :k]
        if hasattr(self, "base"):
            q = self.base @ q
        return q.mT if wide else q

    def right_inverse(self, q):
        if q.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape {q.shape}."
            )
        given = q
        wide = q.size(-2) < q.size(-1)
        if wide:
            q = q.mT
        n, k = q.shape[-2:]
        if not hasattr(self, "base"):
            if self.orthogonal_map != "householder":
                raise NotImplementedError(
                    "It is not possible to assign to the matrix exponential or the Cayley parametrizations when use_trivialization=False."
                )
            vectors, tau = _geqrf(q)
            # R is diagonal here: what is kept of it are signs, and turned round where nothing was reflected.
            diagonal = vectors.diagonal(dim1=-2, dim2=-1)
            diagonal.sign_()
            diagonal.mul_(ops.where(tau == 0, -ops.ones_like(tau), ops.ones_like(tau)))
            return vectors.mT if wide else vectors
        if n == k:
            q = q.clone() if _is_orthogonal(q) else _orthogonalised(q)
        else:
            more = ops.randn((*q.shape[:-2], n, n - k), dtype=q.dtype, device=q.device)
            q = _orthogonalised(ops.cat([q, more], -1))
        self.base = q
        # Of this every map makes the identity.
        start = ops.zeros_like(given)
        start.diagonal(dim1=-2, dim2=-1).fill_(-1.0)
        return start


def orthogonal(module, name="weight", orthogonal_map=None, *, use_trivialization=True):
    """Parametrizes a matrix (or a batch of them) so that it stays orthogonal, by the map "matrix_exp", "cayley" or
    "householder"."""
    weight = _tensor_of(module, name)
    if weight.ndim < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions.")
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.size(-2) == weight.size(-1) else "householder"
    if orthogonal_map not in ("matrix_exp", "cayley", "householder"):
        raise ValueError(
            f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}'
        )
    made = _Orthogonal(weight, orthogonal_map, use_trivialization=use_trivialization)
    return parametrize.register_parametrization(module, name, made, unsafe=True)
