/// Optimisers over lists of parameters.
#ifndef TAPER_OPTIM_HPP
#define TAPER_OPTIM_HPP

#include "named_tensors.hpp"

namespace taper {
namespace optim {

/// What all optimisers share.
class Optimizer {
  public:
    /// Updates every parameter from its grad.
    void step() { detail::check(taper_optimizer_step(handle())); }
    void zero_grad(bool set_to_none = true) { detail::check(taper_optimizer_zero_grad(handle(), set_to_none)); }
    size_t num_groups() const {
        const int64_t n = taper_optimizer_num_groups(handle());
        return n < 0 ? 0 : static_cast<size_t>(n);
    }
    void set_lr(size_t group, double lr) { detail::check(taper_optimizer_set_group_lr(handle(), group, lr)); }
    void set_lr(double lr) { detail::check(taper_optimizer_set_lr(handle(), lr)); }
    double lr(size_t group = 0) const {
        double v = 0;
        detail::check(taper_optimizer_get_lr(handle(), group, &v));
        return v;
    }
    NamedTensors state_dict() const {
        taper_named_tensors *n = nullptr;
        detail::check(taper_optimizer_state_dict(handle(), &n));
        return NamedTensors::adopt(n);
    }
    void load_state_dict(const NamedTensors &s) {
        detail::check(taper_optimizer_load_state_dict(handle(), s.handle()));
    }
    void save(const std::string &path) const { detail::check(taper_optimizer_save(handle(), detail::text(path))); }
    void load(const std::string &path) { detail::check(taper_optimizer_load(handle(), detail::text(path))); }
    std::string str() const {
        taper_string *s = nullptr;
        detail::check(taper_optimizer_to_string(handle(), &s));
        return detail::take_string(s);
    }
    taper_optimizer *handle() const noexcept { return h_.get(); }

  protected:
    void set(taper_optimizer *o) {
        h_.reset(o, [](taper_optimizer *x) { taper_optimizer_free(x); });
    }

  private:
    std::shared_ptr<taper_optimizer> h_;
};

struct SGDOptions {
    double lr = 1e-3, momentum = 0, dampening = 0, weight_decay = 0;
    bool nesterov = false, maximize = false;
};
class SGD : public Optimizer {
  public:
    explicit SGD(const std::vector<Tensor> &params, const SGDOptions &o = {}) {
        const auto h = detail::handles(params);
        const auto raw = options(o);
        taper_optimizer *out = nullptr;
        detail::check(taper_optim_sgd_new(h.data(), h.size(), &raw, &out));
        set(out);
    }
    SGD(const std::vector<Tensor> &params, double lr) : SGD(params, with_lr(lr)) {}
    /// More parameters, with options of their own.
    void add_param_group(const std::vector<Tensor> &params, const SGDOptions &o) {
        const auto h = detail::handles(params);
        const auto raw = options(o);
        detail::check(taper_optimizer_add_sgd_group(handle(), h.data(), h.size(), &raw));
    }

  private:
    static taper_sgd_options options(const SGDOptions &o) {
        taper_sgd_options raw = TAPER_SGD_OPTIONS_INIT;
        raw.lr = o.lr;
        raw.momentum = o.momentum;
        raw.dampening = o.dampening;
        raw.weight_decay = o.weight_decay;
        raw.nesterov = o.nesterov;
        raw.maximize = o.maximize;
        return raw;
    }
    static SGDOptions with_lr(double lr) {
        SGDOptions o;
        o.lr = lr;
        return o;
    }
};

struct AdamOptions {
    double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
    bool amsgrad = false, maximize = false, decoupled = false;
};
class Adam : public Optimizer {
  public:
    explicit Adam(const std::vector<Tensor> &params, const AdamOptions &o = {}) {
        const auto h = detail::handles(params);
        const auto raw = options(o);
        taper_optimizer *out = nullptr;
        detail::check(taper_optim_adam_new(h.data(), h.size(), &raw, &out));
        set(out);
    }
    Adam(const std::vector<Tensor> &params, double lr) : Adam(params, with_lr(lr)) {}
    /// More parameters, with options of their own.
    void add_param_group(const std::vector<Tensor> &params, const AdamOptions &o) {
        const auto h = detail::handles(params);
        const auto raw = options(o);
        detail::check(taper_optimizer_add_adam_group(handle(), h.data(), h.size(), &raw));
    }

  private:
    static taper_adam_options options(const AdamOptions &o) {
        taper_adam_options raw = TAPER_ADAM_OPTIONS_INIT;
        raw.lr = o.lr;
        raw.beta1 = o.beta1;
        raw.beta2 = o.beta2;
        raw.eps = o.eps;
        raw.weight_decay = o.weight_decay;
        raw.amsgrad = o.amsgrad;
        raw.maximize = o.maximize;
        raw.decoupled = o.decoupled;
        return raw;
    }
    static AdamOptions with_lr(double lr) {
        AdamOptions o;
        o.lr = lr;
        return o;
    }
};

} // namespace optim
} // namespace taper

#endif
