/// What torch::nn::functional has in a form of its own, torch's losses with a number as reduction, initialisers, clipping.
#ifndef TAPER_TORCH_FUNCTIONAL_HPP
#define TAPER_TORCH_FUNCTIONAL_HPP

#include "containers.hpp"
#include "functional_gen.hpp"

namespace torch {
namespace nn {
namespace functional {
class BatchNormFuncOptions {
    TORCH_ARG(Tensor, weight);
    TORCH_ARG(Tensor, bias);
    TORCH_ARG(bool, training) = false;
    TORCH_ARG(std::optional<double>, momentum) = 0.1;
    TORCH_ARG(double, eps) = 1e-5;
};
inline Tensor batch_norm(const Tensor &input, const Tensor &running_mean, const Tensor &running_var, const BatchNormFuncOptions &o = {}) {
    return batch_norm(input, o.weight(), o.bias(), running_mean, running_var, o.training(), o.momentum().value_or(0.0), o.eps());
}
class InterpolateFuncOptions {
    TORCH_ARG(std::optional<std::vector<int64_t>>, size) = std::nullopt;
    TORCH_ARG(std::optional<std::vector<double>>, scale_factor) = std::nullopt;
    TORCH_ARG(std::string, mode) = "nearest";
    TORCH_ARG(std::optional<bool>, align_corners) = std::nullopt;
    TORCH_ARG(std::optional<bool>, recompute_scale_factor) = std::nullopt;
    TORCH_ARG(bool, antialias) = false;
};
inline Tensor interpolate(const Tensor &input, const InterpolateFuncOptions &o) {
    OptionalIntList size;
    if (o.size()) {
        size = OptionalIntList(IntArrayRef(*o.size()));
    }
    const auto factors = o.scale_factor().value_or(std::vector<double>{});
    const bool same = !factors.empty() && std::all_of(factors.begin(), factors.end(), [&](double f) { return f == factors[0]; });
    if (factors.size() > 2 && !same) {
        throw NotImplementedError(TAPER_ERROR_NOT_IMPLEMENTED, "interpolate: different scale factors of more than two dimensions; give size");
    }
    const std::optional<double> one = same ? std::optional<double>(factors[0]) : std::nullopt;
    const std::optional<double> h = !same && factors.size() == 2 ? std::optional<double>(factors[0]) : std::nullopt;
    const std::optional<double> w = !same && factors.size() == 2 ? std::optional<double>(factors[1]) : std::nullopt;
    return interpolate(input, size, one, o.mode(), o.align_corners(), o.recompute_scale_factor(), o.antialias(), h, w);
}
} // namespace functional

/// Initial values, in place and unrecorded.
namespace init {
using FanModeType = Word;
using NonlinearityType = Word;
inline Tensor uniform_(Tensor t, double low = 0, double high = 1) { return init_uniform_(t, low, high); }
inline Tensor normal_(Tensor t, double mean = 0, double std = 1) { return init_normal_(t, mean, std); }
inline Tensor constant_(Tensor t, const Scalar &v) { return init_constant_(t, v.toDouble()); }
inline Tensor ones_(Tensor t) { return init_ones_(t); }
inline Tensor zeros_(Tensor t) { return init_zeros_(t); }
inline Tensor eye_(Tensor t) { return init_eye_(t); }
inline Tensor dirac_(Tensor t) { return init_dirac_(t); }
inline Tensor orthogonal_(Tensor t, double gain = 1) { return init_orthogonal_(t, gain); }
inline Tensor sparse_(Tensor t, double sparsity, double std = 0.01) { return init_sparse_(t, sparsity, std); }
inline Tensor xavier_uniform_(Tensor t, double gain = 1) { return init_xavier_uniform_(t, gain); }
inline Tensor xavier_normal_(Tensor t, double gain = 1) { return init_xavier_normal_(t, gain); }
inline Tensor kaiming_uniform_(Tensor t, double a = 0, const Word &mode = kFanIn, const Word &nonlinearity = kLeakyReLU) {
    return init_kaiming_uniform_(t, a, mode, nonlinearity);
}
inline Tensor kaiming_normal_(Tensor t, double a = 0, const Word &mode = kFanIn, const Word &nonlinearity = kLeakyReLU) {
    return init_kaiming_normal_(t, a, mode, nonlinearity);
}
} // namespace init

namespace utils {
/// Scales gradients so that their norm is at most max_norm; gives the norm that it was.
inline double clip_grad_norm_(const std::vector<Tensor> &parameters, double max_norm, double norm_type = 2.0, bool error_if_nonfinite = false) {
    const auto h = detail::handles(parameters);
    taper_tensor *out = nullptr;
    detail::check(taper_clip_grad_norm_(h.data(), h.size(), max_norm, norm_type, error_if_nonfinite, &out));
    return Tensor::adopt(out).item<double>();
}
inline double clip_grad_norm_(const Tensor &parameter, double max_norm, double norm_type = 2.0, bool error_if_nonfinite = false) {
    return utils::clip_grad_norm_(std::vector<Tensor>{parameter}, max_norm, norm_type, error_if_nonfinite);
}
inline void clip_grad_value_(const std::vector<Tensor> &parameters, double clip_value) {
    const auto h = detail::handles(parameters);
    detail::check(taper_clip_grad_value_(h.data(), h.size(), clip_value));
}
/// All elements of the parameters in one row, and back.
inline Tensor parameters_to_vector(const std::vector<Tensor> &parameters) {
    std::vector<Tensor> rows;
    for (const auto &p : parameters) {
        rows.push_back(p.view(-1));
    }
    return cat(rows);
}
inline void vector_to_parameters(const Tensor &row, const std::vector<Tensor> &parameters) {
    int64_t at = 0;
    for (const auto &p : parameters) {
        p.set_data(row.narrow(0, at, p.numel()).view(p.sizes()).detach().clone());
        at += p.numel();
    }
}
} // namespace utils
} // namespace nn

namespace detail {
inline std::string reduction(int64_t r) {
    if (r < Reduction::None || r > Reduction::Sum) {
        throw ValueError(TAPER_ERROR_VALUE, std::to_string(r) + " is not a valid value for reduction: torch::Reduction has None, Mean, Sum");
    }
    return r == Reduction::None ? "none" : r == Reduction::Mean ? "mean" : "sum";
}
} // namespace detail
inline Tensor mse_loss(const Tensor &x, const Tensor &target, int64_t reduction = Reduction::Mean) {
    return nn::functional::mse_loss(x, target, detail::reduction(reduction));
}
inline Tensor l1_loss(const Tensor &x, const Tensor &target, int64_t reduction = Reduction::Mean) {
    return nn::functional::l1_loss(x, target, detail::reduction(reduction));
}
inline Tensor smooth_l1_loss(const Tensor &x, const Tensor &target, int64_t reduction = Reduction::Mean, double beta = 1) {
    return nn::functional::smooth_l1_loss(x, target, detail::reduction(reduction), beta);
}
inline Tensor huber_loss(const Tensor &x, const Tensor &target, int64_t reduction = Reduction::Mean, double delta = 1) {
    return nn::functional::huber_loss(x, target, detail::reduction(reduction), delta);
}
inline Tensor soft_margin_loss(const Tensor &x, const Tensor &target, int64_t reduction = Reduction::Mean) {
    return nn::functional::soft_margin_loss(x, target, detail::reduction(reduction));
}
inline Tensor kl_div(const Tensor &x, const Tensor &target, int64_t reduction = Reduction::Mean, bool log_target = false) {
    return nn::functional::kl_div(x, target, detail::reduction(reduction), log_target);
}
inline Tensor nll_loss(const Tensor &x, const Tensor &target, const Tensor &weight = {}, int64_t reduction = Reduction::Mean, int64_t ignore_index = -100) {
    return nn::functional::nll_loss(x, target, weight, ignore_index, detail::reduction(reduction));
}
inline Tensor cross_entropy_loss(const Tensor &x, const Tensor &target, const Tensor &weight = {}, int64_t reduction = Reduction::Mean,
                                 int64_t ignore_index = -100, double label_smoothing = 0) {
    return nn::functional::cross_entropy(x, target, weight, ignore_index, detail::reduction(reduction), label_smoothing);
}
inline Tensor binary_cross_entropy(const Tensor &x, const Tensor &target, const Tensor &weight = {}, int64_t reduction = Reduction::Mean) {
    return nn::functional::binary_cross_entropy(x, target, weight, detail::reduction(reduction));
}
inline Tensor binary_cross_entropy_with_logits(const Tensor &x, const Tensor &target, const Tensor &weight = {}, const Tensor &pos_weight = {},
                                               int64_t reduction = Reduction::Mean) {
    return nn::functional::binary_cross_entropy_with_logits(x, target, weight, pos_weight, detail::reduction(reduction));
}
} // namespace torch

#endif
