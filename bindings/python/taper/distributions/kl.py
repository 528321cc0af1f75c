"""Kullback-Leibler divergences, by the classes of the two distributions."""

import math
import warnings
from functools import reduce

import taper

from .bernoulli import Bernoulli
from .beta import Beta
from .binomial import Binomial
from .categorical import Categorical
from .cauchy import Cauchy
from .continuous_bernoulli import ContinuousBernoulli
from .dirichlet import Dirichlet
from .distribution import Distribution
from .exp_family import ExponentialFamily
from .exponential import Exponential
from .gamma import Gamma
from .geometric import Geometric
from .gumbel import Gumbel
from .half_normal import HalfNormal
from .independent import Independent
from .laplace import Laplace
from .lowrank_multivariate_normal import LowRankMultivariateNormal, _log_det, _mahalanobis
from .multivariate_normal import MultivariateNormal
from .normal import Normal
from .one_hot_categorical import OneHotCategorical
from .pareto import Pareto
from .poisson import Poisson
from .transformed_distribution import TransformedDistribution
from .uniform import Uniform
from .utils import _sum_rightmost, mahalanobis
from .utils import euler_constant as _euler

__all__ = ["register_kl", "kl_divergence"]

_KL_REGISTRY = {}
_KL_MEMOIZE = {}


def register_kl(type_p, type_q):
    """Registers a function (p, q) for two classes and those derived from them; a decorator."""
    if not issubclass(type_p, Distribution):
        raise TypeError(f"Expected type_p to be a Distribution subclass but got {type_p}")
    if not issubclass(type_q, Distribution):
        raise TypeError(f"Expected type_q to be a Distribution subclass but got {type_q}")

    def decorator(function):
        _KL_REGISTRY[type_p, type_q] = function
        _KL_MEMOIZE.clear()
        return function

    return decorator


def _nearer(a, b):
    """Of two pairs of classes the more special one, by the first class, then by the second."""
    for x, y in zip(a, b):
        if not issubclass(x, y):
            return b
        if x is not y:
            break
    return a


def _dispatch_kl(type_p, type_q):
    matches = [(p, q) for p, q in _KL_REGISTRY if issubclass(type_p, p) and issubclass(type_q, q)]
    if not matches:
        return NotImplemented
    by_p = reduce(_nearer, matches)
    by_q = reduce(_nearer, [(q, p) for p, q in matches])[::-1]
    if _KL_REGISTRY[by_p] is not _KL_REGISTRY[by_q]:
        warnings.warn(
            f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}). "
            f"Please register_kl({by_p[0].__name__}, {by_q[1].__name__})",
            RuntimeWarning,
            stacklevel=3,
        )
    return _KL_REGISTRY[by_p]


def kl_divergence(p, q):
    """KL(p || q), the mean under p of log p - log q, of the batch's shape."""
    key = type(p), type(q)
    function = _KL_MEMOIZE.get(key)
    if function is None:
        function = _KL_MEMOIZE[key] = _dispatch_kl(*key)
    if function is NotImplemented:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {p.__class__.__name__} and q type {q.__class__.__name__}"
        )
    return function(p, q)


def _infinite_like(tensor):
    return taper.full_like(tensor, taper.inf)


def _xlogx(x):
    return taper.xlogy(x, x)


def _trace_xxt(x):
    """The trace of x x^T, for each matrix."""
    return x.pow(2).flatten(-2).sum(-1)


def _where_infinite(condition, value):
    return taper.where(condition, _infinite_like(value), value)


# --- the same class twice --------------------------------------------------------------------------------------------


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p, q):
    softplus = taper.nn.functional.softplus
    one = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    one = taper.where(p.probs == 0, taper.zeros_like(one), _where_infinite(q.probs == 0, one))
    zero = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    zero = taper.where(p.probs == 1, taper.zeros_like(zero), _where_infinite(q.probs == 1, zero))
    return one + zero


@register_kl(Beta, Beta)
def _beta(p, q):
    total_p = p.concentration1 + p.concentration0
    total_q = q.concentration1 + q.concentration0
    return (
        (q.concentration1.lgamma() + q.concentration0.lgamma() + total_p.lgamma())
        - (p.concentration1.lgamma() + p.concentration0.lgamma() + total_q.lgamma())
        + (p.concentration1 - q.concentration1) * taper.digamma(p.concentration1)
        + (p.concentration0 - q.concentration0) * taper.digamma(p.concentration0)
        + (total_q - total_p) * taper.digamma(total_p)
    )


@register_kl(Binomial, Binomial)
def _binomial(p, q):
    if (p.total_count < q.total_count).any():
        raise NotImplementedError("KL between Binomials where q.total_count > p.total_count is not implemented")
    each = p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    return _where_infinite(p.total_count > q.total_count, p.total_count * each)


@register_kl(Categorical, Categorical)
def _categorical(p, q):
    t = p.probs * (p.logits - q.logits)
    t = _where_infinite((q.probs == 0).expand_as(t), t)
    return taper.where((p.probs == 0).expand_as(t), taper.zeros_like(t), t).sum(-1)


@register_kl(Cauchy, Cauchy)
def _cauchy(p, q):
    # Chyzak and Nielsen, "A closed-form formula for the KL divergence between Cauchy distributions".
    far = ((p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)).log()
    return far - (4 * p.scale * q.scale).log()


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p, q):
    own = p._cont_bern_log_norm() + taper.log1p(-p.probs)
    other = q._cont_bern_log_norm() + taper.log1p(-q.probs)
    return p.mean * (p.logits - q.logits) + own - other


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p, q):
    a, b = p.concentration, q.concentration
    total = a.sum(-1)
    constant = total.lgamma() - b.sum(-1).lgamma() - (a.lgamma() - b.lgamma()).sum(-1)
    return constant + ((a - b) * (a.digamma() - total.digamma().unsqueeze(-1))).sum(-1)


@register_kl(Exponential, Exponential)
def _exponential(p, q):
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(ExponentialFamily, ExponentialFamily)
def _exponential_family(p, q):
    """The Bregman divergence of the log-normaliser."""
    if type(p) is not type(q):
        raise NotImplementedError(
            "The cross KL-divergence between different exponential families cannot                             "
            "be computed using Bregman divergences"
        )
    of_p = [v.detach().requires_grad_() for v in p._natural_params]
    of_q = q._natural_params
    with taper.enable_grad():
        normalizer = p._log_normalizer(*of_p)
        gradients = taper.autograd.grad(normalizer.sum(), of_p, create_graph=True)
    result = q._log_normalizer(*of_q) - normalizer
    for a, b, g in zip(of_p, of_q, gradients):
        result = result - _sum_rightmost((b - a) * g, len(q.event_shape))
    return result


@register_kl(Gamma, Gamma)
def _gamma(p, q):
    a, b = p.concentration, q.concentration
    return (
        b * (p.rate / q.rate).log()
        + (taper.lgamma(b) - taper.lgamma(a))
        + (a - b) * taper.digamma(a)
        + (q.rate - p.rate) * (a / p.rate)
    )


@register_kl(Geometric, Geometric)
def _geometric(p, q):
    return -p.entropy() - taper.log1p(-q.probs) / p.probs - q.logits


@register_kl(Gumbel, Gumbel)
def _gumbel(p, q):
    ratio = p.scale / q.scale
    off = (p.loc - q.loc) / q.scale
    return -ratio.log() + off + ratio * _euler + taper.exp(taper.lgamma(1 + ratio) - off) - (1 + _euler)


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p, q):
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Independent, Independent)
def _independent(p, q):
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return _sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(Laplace, Laplace)
def _laplace(p, q):
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * taper.exp(-distance / p.scale) - 1


@register_kl(Normal, Normal)
def _normal(p, q):
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot_categorical(p, q):
    return kl_divergence(p._categorical, q._categorical)


@register_kl(Pareto, Pareto)
def _pareto(p, q):
    ratio = q.alpha / p.alpha
    result = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return _where_infinite(p.support.lower_bound < q.support.lower_bound, result)


@register_kl(Poisson, Poisson)
def _poisson(p, q):
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p, q):
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Uniform, Uniform)
def _uniform(p, q):
    result = ((q.high - q.low) / (p.high - p.low)).log()
    return _where_infinite((q.low > p.low) | (q.high < p.high), result)


# --- normal vectors --------------------------------------------------------------------------------------------------


def _log_det_tril(tril):
    return 2 * tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def _solve(l, x):
    """l^-1 x of matrices, over the common batch."""
    shape = taper.broadcast_shapes(l.shape[:-2], x.shape[:-2])
    return taper.linalg.solve_triangular(
        l.expand((*shape, *l.shape[-2:])), x.expand((*shape, *x.shape[-2:])), upper=False
    )


def _low_rank_parts(d):
    return d._unbroadcasted_cov_factor, d._unbroadcasted_cov_diag, d._capacitance_tril


def _thin_inverse(q):
    """A with A^T A = D^-1 - (W W^T + D)^-1."""
    w, d, tril = _low_rank_parts(q)
    return _solve(tril, w.mT / d.unsqueeze(-2))


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _low_rank(p, q):
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two Low Rank Multivariate Normals with                          different event shapes "
            "cannot be computed"
        )
    (pw, pd, p_tril), (qw, qd, q_tril) = _low_rank_parts(p), _low_rank_parts(q)
    log_dets = _log_det(qw, qd, q_tril) - _log_det(pw, pd, p_tril)
    distance = _mahalanobis(qw, qd, q.loc - p.loc, q_tril)
    a = _thin_inverse(q)
    trace = (
        (pd / qd).sum(-1)
        + _trace_xxt(pw * qd.rsqrt().unsqueeze(-1))
        - _trace_xxt(a * pd.sqrt().unsqueeze(-2))
        - _trace_xxt(a.matmul(pw))
    )
    return 0.5 * (log_dets + trace + distance - p.event_shape[0])


@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _full_low_rank(p, q):
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two (Low Rank) Multivariate Normals with                          different event "
            "shapes cannot be computed"
        )
    qw, qd, q_tril = _low_rank_parts(q)
    l = p._unbroadcasted_scale_tril
    log_dets = _log_det(qw, qd, q_tril) - _log_det_tril(l)
    distance = _mahalanobis(qw, qd, q.loc - p.loc, q_tril)
    trace = _trace_xxt(l * qd.rsqrt().unsqueeze(-1)) - _trace_xxt(_thin_inverse(q).matmul(l))
    return 0.5 * (log_dets + trace + distance - p.event_shape[0])


@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _low_rank_full(p, q):
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two (Low Rank) Multivariate Normals with                          different event "
            "shapes cannot be computed"
        )
    pw, pd, p_tril = _low_rank_parts(p)
    l = q._unbroadcasted_scale_tril
    log_dets = _log_det_tril(l) - _log_det(pw, pd, p_tril)
    trace = _trace_xxt(_solve(l, pw)) + _trace_xxt(_solve(l, taper.diag_embed(pd.sqrt())))
    return 0.5 * (log_dets + trace + mahalanobis(l, q.loc - p.loc) - p.event_shape[0])


@register_kl(MultivariateNormal, MultivariateNormal)
def _full(p, q):
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two Multivariate Normals with                          different event shapes cannot "
            "be computed"
        )
    a, b = p._unbroadcasted_scale_tril, q._unbroadcasted_scale_tril
    log_dets = 0.5 * (_log_det_tril(b) - _log_det_tril(a))
    return log_dets + 0.5 * (_trace_xxt(_solve(b, a)) + mahalanobis(b, q.loc - p.loc) - p.event_shape[0])


# --- where p has values that q has not -------------------------------------------------------------------------------


def _infinite(type_p, attribute, *types_q):
    for type_q in types_q:
        register_kl(type_p, type_q)(lambda p, q: _infinite_like(getattr(p, attribute)))


_infinite(Beta, "concentration1", Pareto)
_infinite(ContinuousBernoulli, "probs", Pareto)
_infinite(Exponential, "rate", Beta, ContinuousBernoulli, Pareto, Uniform)
_infinite(Gamma, "concentration", Beta, ContinuousBernoulli, Pareto, Uniform)
_infinite(Gumbel, "loc", Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)
_infinite(Laplace, "loc", Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)
_infinite(Normal, "loc", Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)
_infinite(Pareto, "scale", Beta, ContinuousBernoulli, Uniform)
_infinite(Poisson, "rate", Bernoulli, Binomial)


# --- two classes: the mean of -log q under p, less the entropy of p ---------------------------------------------------


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p, q):
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@register_kl(Beta, ContinuousBernoulli)
def _beta_continuous_bernoulli(p, q):
    return -p.entropy() - p.mean * q.logits - taper.log1p(-q.probs) - q._cont_bern_log_norm()


@register_kl(Beta, Exponential)
@register_kl(ContinuousBernoulli, Exponential)
@register_kl(Gamma, Exponential)
def _mean_exponential(p, q):
    return -p.entropy() - q.rate.log() + q.rate * p.mean


@register_kl(Beta, Gamma)
def _beta_gamma(p, q):
    mean_log = p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma()
    own = q.concentration.lgamma() - q.concentration * q.rate.log()
    return -p.entropy() + own - (q.concentration - 1) * mean_log + q.rate * p.mean


def _minus_log_normal(p, q):
    """The mean under p of -log q, where q is normal."""
    off = p.variance + (p.mean - q.loc).pow(2)
    return 0.5 * math.log(2 * math.pi) + q.scale.log() + 0.5 * off / q.scale.pow(2)


@register_kl(Beta, Normal)
@register_kl(ContinuousBernoulli, Normal)
@register_kl(Exponential, Normal)
@register_kl(Gamma, Normal)
@register_kl(Gumbel, Normal)
@register_kl(Laplace, Normal)
@register_kl(Uniform, Normal)
def _any_normal(p, q):
    return _minus_log_normal(p, q) - p.entropy()


@register_kl(Pareto, Normal)
def _pareto_normal(p, q):
    return _where_infinite(p.alpha <= 2, _minus_log_normal(p, q) - p.entropy())


@register_kl(Beta, Uniform)
def _beta_uniform(p, q):
    result = -p.entropy() + (q.high - q.low).log()
    return _where_infinite((q.low > p.support.lower_bound) | (q.high < p.support.upper_bound), result)


@register_kl(ContinuousBernoulli, Uniform)
def _continuous_bernoulli_uniform(p, q):
    result = -p.entropy() + (q.high - q.low).log()
    return _where_infinite((q.low >= p.support.lower_bound) | (q.high <= p.support.upper_bound), result)


@register_kl(Exponential, Gamma)
def _exponential_gamma(p, q):
    ratio = q.rate / p.rate
    a = q.concentration
    return -a * taper.log(ratio) + ratio + taper.lgamma(a) + a * _euler - (1 + _euler)


@register_kl(Exponential, Gumbel)
def _exponential_gumbel(p, q):
    scale, loc = p.rate * q.scale, q.loc / q.scale
    return scale.log() - 1 - loc + taper.exp(loc) * scale / (scale + 1) + scale.reciprocal()


@register_kl(Gamma, Gumbel)
def _gamma_gumbel(p, q):
    a, scale, loc = p.concentration, p.rate * q.scale, q.loc / q.scale
    own = (a - 1) * a.digamma() - a.lgamma() - a
    return own + scale.log() + a / scale + taper.exp(loc) * (1 + scale.reciprocal()).pow(-a) - loc


@register_kl(Normal, Gumbel)
def _normal_gumbel(p, q):
    off = (p.loc - q.loc) / q.scale
    return -p.entropy() + q.scale.log() + off + taper.exp(-off + 0.5 * (p.scale / q.scale).pow(2))


@register_kl(Normal, Laplace)
def _normal_laplace(p, q):
    off = p.loc - q.loc
    z = off / p.scale
    mean = math.sqrt(2 / math.pi) * p.scale * taper.exp(-0.5 * z.pow(2)) + off * taper.erf(math.sqrt(0.5) * z)
    return -(p.scale / q.scale).log() + mean / q.scale - (0.5 + 0.5 * math.log(0.5 * math.pi))


@register_kl(Pareto, Exponential)
def _pareto_exponential(p, q):
    scale = p.scale * q.rate
    result = (p.alpha / scale).log() - p.alpha.reciprocal() + p.alpha * scale / (p.alpha - 1) - 1
    return _where_infinite(p.alpha <= 1, result)


@register_kl(Pareto, Gamma)
def _pareto_gamma(p, q):
    mean_log, a = p.scale.log() + p.alpha.reciprocal(), q.concentration
    result = (
        p.alpha.log()
        - mean_log
        + (a.lgamma() - a * q.rate.log())
        + (1 - a) * mean_log
        + q.rate * p.alpha * p.scale / (p.alpha - 1)
        - 1
    )
    return _where_infinite(p.alpha <= 1, result)


def _mean_log(low, high):
    """The mean of log x between two numbers."""
    return (_xlogx(high) - _xlogx(low) - (high - low)) / (high - low)


@register_kl(Uniform, Beta)
def _uniform_beta(p, q):
    a, b = q.concentration1, q.concentration0
    result = (
        -(p.high - p.low).log()
        - (a - 1) * _mean_log(p.low, p.high)
        - (b - 1) * _mean_log(1 - p.high, 1 - p.low)
        + (a.lgamma() + b.lgamma() - (a + b).lgamma())
    )
    return _where_infinite((p.high > q.support.upper_bound) | (p.low < q.support.lower_bound), result)


@register_kl(Uniform, ContinuousBernoulli)
def _uniform_continuous_bernoulli(p, q):
    result = -p.entropy() - p.mean * q.logits - q._cont_bern_log_norm() - taper.log1p(-q.probs)
    return _where_infinite((p.high >= q.support.upper_bound) | (p.low <= q.support.lower_bound), result)


@register_kl(Uniform, Exponential)
def _uniform_exponential(p, q):
    result = q.rate * (p.high + p.low) / 2 - ((p.high - p.low) * q.rate).log()
    return _where_infinite(p.low < q.support.lower_bound, result)


@register_kl(Uniform, Gamma)
def _uniform_gamma(p, q):
    a = q.concentration
    result = (
        -(p.high - p.low).log()
        + (a.lgamma() - a * q.rate.log())
        + (1 - a) * _mean_log(p.low, p.high)
        + q.rate * (p.high + p.low) / 2
    )
    return _where_infinite(p.low < q.support.lower_bound, result)


@register_kl(Uniform, Gumbel)
def _uniform_gumbel(p, q):
    share = q.scale / (p.high - p.low)
    high, low = (p.high - q.loc) / q.scale, (p.low - q.loc) / q.scale
    return share.log() + 0.5 * (high + low) - share * (taper.exp(-high) - taper.exp(-low))


@register_kl(Uniform, Pareto)
def _uniform_pareto(p, q):
    constant = (q.alpha * q.scale.pow(q.alpha) * (p.high - p.low)).log()
    result = _mean_log(p.low, p.high) * (q.alpha + 1) - constant
    return _where_infinite(p.low < q.support.lower_bound, result)
