/// The library's layers: movable objects over core modules, with PyTorch's names and defaults.
#ifndef TAPER_LAYERS_HPP
#define TAPER_LAYERS_HPP

#include "layers_gen.hpp"

namespace taper {
namespace nn {

struct Linear : Layer {
    Linear(int64_t in_features, int64_t out_features, bool bias = true)
        : Layer(detail::make(taper_nn_linear_new, in_features, out_features, bias)) {}
    using Options = LinearSettings;
    Linear(int64_t in_features, int64_t out_features, const Options &o) : Layer(detail::create(taper_nn_linear_create, o, in_features, out_features)) {}
};
/// A Linear that takes in_features from its first input.
struct LazyLinear : Layer {
    explicit LazyLinear(int64_t out_features, bool bias = true) : Layer(build(out_features, bias)) {}
    using Options = LinearSettings;
    LazyLinear(int64_t out_features, const Options &o) : Layer(detail::create(taper_nn_lazy_linear_create, o, out_features)) {}

  private:
    static taper_module *build(int64_t out_features, bool bias) {
        taper_nn_linear_options o = TAPER_NN_LINEAR_OPTIONS_INIT;
        o.bias = bias;
        return detail::make(taper_nn_lazy_linear_create, out_features, &o);
    }
};
struct Embedding : Layer {
    Embedding(int64_t num_embeddings, int64_t embedding_dim, std::optional<int64_t> padding_idx = std::nullopt)
        : Layer(detail::make(taper_nn_embedding_new, num_embeddings, embedding_dim,
                              padding_idx ? &*padding_idx : nullptr)) {}
    using Options = EmbeddingSettings;
    Embedding(int64_t num_embeddings, int64_t embedding_dim, const Options &o)
        : Layer(detail::create(taper_nn_embedding_create, o, num_embeddings, embedding_dim)) {}
};

/// One number for all dimensions, or one per dimension.
struct ConvOptions {
    IntList stride = 1, padding = 0, dilation = 1;
    int64_t groups = 1;
    bool bias = true;
    taper_nn_conv_options raw() const {
        taper_nn_conv_options o = TAPER_NN_CONV_OPTIONS_INIT;
        fill(o.stride, stride);
        fill(o.padding, padding);
        fill(o.dilation, dilation);
        o.groups = groups;
        o.bias = bias;
        return o;
    }

  private:
    static void fill(int64_t (&to)[3], const IntList &from) {
        if (from.size() == 0 || from.size() > 3) {
            throw ValueError(TAPER_ERROR_VALUE, "conv options: 1 to 3 numbers are valid, got " +
                                                    std::to_string(from.size()));
        }
        for (size_t i = 0; i < 3; ++i) {
            to[i] = from.data()[i < from.size() ? i : from.size() - 1];
        }
    }
};
namespace detail {
template <class F>
taper_module *conv(F f, int64_t in, int64_t out, const IntList &kernel, const ConvOptions &options) {
    const taper_nn_conv_options o = options.raw();
    return make(f, in, out, kernel.data(), kernel.size(), &o);
}
} // namespace detail
struct Conv1d : Layer {
    Conv1d(int64_t in_channels, int64_t out_channels, const IntList &kernel_size, const ConvOptions &o = {})
        : Layer(detail::conv(taper_nn_conv1d_new, in_channels, out_channels, kernel_size, o)) {}
    using Options = ConvSettings;
    Conv1d(int64_t in_channels, int64_t out_channels, const IntList &kernel_size, const Options &o)
        : Layer(detail::create(taper_nn_conv1d_create, o, in_channels, out_channels, kernel_size.data(),
                                kernel_size.size())) {}
};
struct Conv2d : Layer {
    Conv2d(int64_t in_channels, int64_t out_channels, const IntList &kernel_size, const ConvOptions &o = {})
        : Layer(detail::conv(taper_nn_conv2d_new, in_channels, out_channels, kernel_size, o)) {}
    using Options = ConvSettings;
    Conv2d(int64_t in_channels, int64_t out_channels, const IntList &kernel_size, const Options &o)
        : Layer(detail::create(taper_nn_conv2d_create, o, in_channels, out_channels, kernel_size.data(),
                                kernel_size.size())) {}
};
struct Conv3d : Layer {
    Conv3d(int64_t in_channels, int64_t out_channels, const IntList &kernel_size, const ConvOptions &o = {})
        : Layer(detail::conv(taper_nn_conv3d_new, in_channels, out_channels, kernel_size, o)) {}
    using Options = ConvSettings;
    Conv3d(int64_t in_channels, int64_t out_channels, const IntList &kernel_size, const Options &o)
        : Layer(detail::create(taper_nn_conv3d_create, o, in_channels, out_channels, kernel_size.data(),
                                kernel_size.size())) {}
};
struct MaxPool2d : Layer {
    /// An empty stride is kernel_size.
    explicit MaxPool2d(const IntList &kernel_size, const IntList &stride = std::vector<int64_t>{},
                       const IntList &padding = 0, const IntList &dilation = 1, bool ceil_mode = false)
        : Layer(detail::make(taper_nn_max_pool2d_new, kernel_size.data(), kernel_size.size(), stride.data(),
                              stride.size(), padding.data(), padding.size(), dilation.data(), dilation.size(),
                              ceil_mode)) {}
    /// MaxPool2d({2, 3}): a list in braces alone could also mean a MaxPool2d.
    explicit MaxPool2d(std::initializer_list<int64_t> kernel_size, const IntList &stride = std::vector<int64_t>{},
                       const IntList &padding = 0, const IntList &dilation = 1, bool ceil_mode = false)
        : MaxPool2d(IntList(kernel_size), stride, padding, dilation, ceil_mode) {}
    using Options = MaxPoolSettings;
    MaxPool2d(const IntList &kernel_size, const Options &o) : Layer(detail::create(taper_nn_max_pool2d_create, o, kernel_size.data(), kernel_size.size())) {}
};
struct AvgPool2d : Layer {
    explicit AvgPool2d(const IntList &kernel_size, const IntList &stride = std::vector<int64_t>{},
                       const IntList &padding = 0, bool ceil_mode = false, bool count_include_pad = true)
        : Layer(detail::make(taper_nn_avg_pool2d_new, kernel_size.data(), kernel_size.size(), stride.data(),
                              stride.size(), padding.data(), padding.size(), ceil_mode, count_include_pad,
                              static_cast<const int64_t *>(nullptr))) {}
    explicit AvgPool2d(std::initializer_list<int64_t> kernel_size, const IntList &stride = std::vector<int64_t>{},
                       const IntList &padding = 0, bool ceil_mode = false, bool count_include_pad = true)
        : AvgPool2d(IntList(kernel_size), stride, padding, ceil_mode, count_include_pad) {}
    using Options = AvgPoolSettings;
    AvgPool2d(const IntList &kernel_size, const Options &o) : Layer(detail::create(taper_nn_avg_pool2d_create, o, kernel_size.data(), kernel_size.size())) {}
};
struct ReLU : Layer {
    explicit ReLU(bool inplace = false) : Layer(detail::make(taper_nn_relu_new, inplace)) {}
    using Options = InplaceSettings;
    explicit ReLU(const Options &o) : Layer(detail::create(taper_nn_relu_create, o)) {}
};
struct SiLU : Layer {
    explicit SiLU(bool inplace = false) : Layer(detail::make(taper_nn_silu_new, inplace)) {}
    using Options = InplaceSettings;
    explicit SiLU(const Options &o) : Layer(detail::create(taper_nn_silu_create, o)) {}
};
struct LeakyReLU : Layer {
    explicit LeakyReLU(double negative_slope = 0.01, bool inplace = false)
        : Layer(detail::make(taper_nn_leaky_relu_new, negative_slope, inplace)) {}
    using Options = LeakyReLUSettings;
    explicit LeakyReLU(const Options &o) : Layer(detail::create(taper_nn_leaky_relu_create, o)) {}
};
struct Sigmoid : Layer {
    Sigmoid() : Layer(detail::make(taper_nn_sigmoid_new)) {}
};
struct Tanh : Layer {
    Tanh() : Layer(detail::make(taper_nn_tanh_new)) {}
};
struct GELU : Layer {
    explicit GELU(const std::string &approximate = "none")
        : Layer(detail::make(taper_nn_gelu_new, taper::detail::text(approximate))) {}
    using Options = GELUSettings;
    explicit GELU(const Options &o) : Layer(detail::create(taper_nn_gelu_create, o)) {}
};
struct Softmax : Layer {
    explicit Softmax(int64_t dim) : Layer(detail::make(taper_nn_softmax_new, dim)) {}
    using Options = AlongDimSettings;
    explicit Softmax(const Options &o) : Layer(detail::create(taper_nn_softmax_create, o)) {}
};
struct LogSoftmax : Layer {
    explicit LogSoftmax(int64_t dim) : Layer(detail::make(taper_nn_log_softmax_new, dim)) {}
    using Options = AlongDimSettings;
    explicit LogSoftmax(const Options &o) : Layer(detail::create(taper_nn_log_softmax_create, o)) {}
};
struct Flatten : Layer {
    explicit Flatten(int64_t start_dim = 1, int64_t end_dim = -1)
        : Layer(detail::make(taper_nn_flatten_new, start_dim, end_dim)) {}
    using Options = FlattenSettings;
    explicit Flatten(const Options &o) : Layer(detail::create(taper_nn_flatten_create, o)) {}
};
struct Dropout : Layer {
    explicit Dropout(double p = 0.5, bool inplace = false) : Layer(detail::make(taper_nn_dropout_new, p, inplace)) {}
    using Options = DropoutSettings;
    explicit Dropout(const Options &o) : Layer(detail::create(taper_nn_dropout_create, o)) {}
};
struct Identity : Layer {
    Identity() : Layer(detail::make(taper_nn_identity_new)) {}
};
struct LayerNorm : Layer {
    explicit LayerNorm(const IntList &normalized_shape, double eps = 1e-5, bool elementwise_affine = true,
                       bool bias = true)
        : Layer(detail::make(taper_nn_layer_norm_new, normalized_shape.data(), normalized_shape.size(), eps,
                              elementwise_affine, bias)) {}
    explicit LayerNorm(std::initializer_list<int64_t> normalized_shape, double eps = 1e-5,
                       bool elementwise_affine = true, bool bias = true)
        : LayerNorm(IntList(normalized_shape), eps, elementwise_affine, bias) {}
    using Options = LayerNormSettings;
    LayerNorm(const IntList &normalized_shape, const Options &o) : Layer(detail::create(taper_nn_layer_norm_create, o, normalized_shape.data(), normalized_shape.size())) {}
};
struct BatchNorm1d : Layer {
    explicit BatchNorm1d(int64_t num_features, double eps = 1e-5, std::optional<double> momentum = 0.1,
                         bool affine = true, bool track_running_stats = true)
        : Layer(detail::make(taper_nn_batch_norm1d_new, num_features, eps, momentum ? &*momentum : nullptr, affine,
                              track_running_stats)) {}
    using Options = BatchNormSettings;
    BatchNorm1d(int64_t num_features, const Options &o) : Layer(detail::create(taper_nn_batch_norm1d_create, o, num_features)) {}
};
struct BatchNorm2d : Layer {
    explicit BatchNorm2d(int64_t num_features, double eps = 1e-5, std::optional<double> momentum = 0.1,
                         bool affine = true, bool track_running_stats = true)
        : Layer(detail::make(taper_nn_batch_norm2d_new, num_features, eps, momentum ? &*momentum : nullptr, affine,
                              track_running_stats)) {}
    using Options = BatchNormSettings;
    BatchNorm2d(int64_t num_features, const Options &o) : Layer(detail::create(taper_nn_batch_norm2d_create, o, num_features)) {}
};
/// Modules run one after the other: nn::Sequential(nn::Linear(4, 8), nn::ReLU(), nn::Linear(8, 1)). Modules made in place
/// are kept; one that has a name must live as long as this one is used.
struct Sequential : Layer {
    template <class... M> explicit Sequential(M &&...modules) : Layer(build({modules.handle()...})) {
        (keep(std::forward<M>(modules)), ...);
    }
    /// Appends a module.
    template <class M> void push_back(M &&m) {
        taper::detail::check(taper_module_append(handle(), m.handle()));
        keep(std::forward<M>(m));
    }

  private:
    static taper_module *build(std::initializer_list<taper_module *> l) {
        const std::vector<taper_module *> v(l);
        return detail::make(taper_nn_sequential_new, v.data(), v.size());
    }
};
/// Holds modules, as Sequential does, and computes nothing itself.
struct ModuleList : Layer {
    template <class... M> explicit ModuleList(M &&...modules) : Layer(build({modules.handle()...})) {
        (keep(std::forward<M>(modules)), ...);
    }
    /// Appends a module.
    template <class M> void push_back(M &&m) {
        taper::detail::check(taper_module_append(handle(), m.handle()));
        keep(std::forward<M>(m));
    }

  private:
    static taper_module *build(std::initializer_list<taper_module *> l) {
        const std::vector<taper_module *> v(l);
        return detail::make(taper_nn_module_list_new, v.data(), v.size());
    }
};
struct CrossEntropyLoss : Layer {
    explicit CrossEntropyLoss(const Tensor &weight = {}, const std::string &reduction = "mean",
                              int64_t ignore_index = -100, double label_smoothing = 0.0)
        : Layer(detail::make(taper_nn_cross_entropy_loss_new, weight.handle(), taper::detail::text(reduction), ignore_index,
                              label_smoothing)) {}
    using Options = CrossEntropyLossSettings;
    explicit CrossEntropyLoss(const Options &o) : Layer(detail::create(taper_nn_cross_entropy_loss_create, o)) {}
};
struct NLLLoss : Layer {
    explicit NLLLoss(const Tensor &weight = {}, const std::string &reduction = "mean", int64_t ignore_index = -100)
        : Layer(detail::make(taper_nn_nll_loss_new, weight.handle(), taper::detail::text(reduction), ignore_index)) {}
    using Options = NLLLossSettings;
    explicit NLLLoss(const Options &o) : Layer(detail::create(taper_nn_nll_loss_create, o)) {}
};
struct L1Loss : Layer {
    explicit L1Loss(const std::string &reduction = "mean")
        : Layer(detail::make(taper_nn_l1_loss_new, taper::detail::text(reduction))) {}
    using Options = LossSettings;
    explicit L1Loss(const Options &o) : Layer(detail::create(taper_nn_l1_loss_create, o)) {}
};
struct BCEWithLogitsLoss : Layer {
    explicit BCEWithLogitsLoss(const Tensor &weight = {}, const std::string &reduction = "mean",
                               const Tensor &pos_weight = {})
        : Layer(detail::make(taper_nn_bce_with_logits_loss_new, taper::detail::text(reduction), weight.handle(),
                              pos_weight.handle())) {}
    using Options = BCEWithLogitsLossSettings;
    explicit BCEWithLogitsLoss(const Options &o) : Layer(detail::create(taper_nn_bce_with_logits_loss_create, o)) {}
};
struct MSELoss : Layer {
    explicit MSELoss(const std::string &reduction = "mean")
        : Layer(detail::make(taper_nn_mse_loss_new, taper::detail::text(reduction))) {}
    using Options = LossSettings;
    explicit MSELoss(const Options &o) : Layer(detail::create(taper_nn_mse_loss_create, o)) {}
};

} // namespace nn
} // namespace taper

#endif
