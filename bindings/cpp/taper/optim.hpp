/// Optimisers over lists of parameters.
#ifndef TAPER_OPTIM_HPP
#define TAPER_OPTIM_HPP

#include "named_tensors.hpp"

#include <functional>

namespace taper {
namespace optim {

/// What all optimisers share.
class Optimizer {
  public:
    /// Computes loss and gradients anew: zero_grad, forward, backward.
    using LossClosure = std::function<Tensor()>;

    /// Updates every parameter from its grad.
    void step() { detail::check(taper_optimizer_step(handle())); }
    /// A step that calls the closure first (LBFGS: several times), and gives the first loss.
    Tensor step(const LossClosure &closure) {
        taper_optimizer_closure v = TAPER_OPTIMIZER_CLOSURE_INIT;
        v.call = [](void *user, taper_tensor **loss) -> taper_error * {
            return detail::guarded([&] { *loss = (*static_cast<const LossClosure *>(user))().release_copy(); });
        };
        taper_tensor *out = nullptr;
        detail::check(taper_optimizer_step_closure(handle(), &v, const_cast<LossClosure *>(&closure), &out));
        return Tensor::adopt(out);
    }
    /// More parameters, with the options that the optimiser was made with.
    void add_param_group(const std::vector<Tensor> &params) { add_group(params, nullptr); }
    /// The parameters of a group.
    std::vector<Tensor> params(size_t group = 0) const {
        taper_tensor_list *l = nullptr;
        detail::check(taper_optimizer_group_params(handle(), group, &l));
        return detail::adopt_list<Tensor>(l);
    }
    /// An option of a group that is one number or bool, by its name.
    Scalar option(const std::string &name, size_t group = 0) const {
        taper_scalar s{};
        detail::check(taper_optimizer_get_option(handle(), group, detail::text(name), &s));
        return Scalar::from_raw(s);
    }
    void set_option(const std::string &name, const Scalar &v, size_t group = 0) {
        detail::check(taper_optimizer_set_option(handle(), group, detail::text(name), v.raw()));
    }
    /// The numbers of an option such as betas.
    std::vector<double> option_values(const std::string &name, size_t group = 0) const {
        std::vector<double> v(3);
        size_t n = 0;
        detail::check(taper_optimizer_get_option_values(handle(), group, detail::text(name), v.data(), v.size(), &n));
        v.resize(n);
        return v;
    }
    void set_option_values(const std::string &name, const std::vector<double> &v, size_t group = 0) {
        detail::check(taper_optimizer_set_option_values(handle(), group, detail::text(name), v.data(), v.size()));
    }
    /// Any option as Python prints it.
    std::string option_text(const std::string &name, size_t group = 0) const {
        taper_string *s = nullptr;
        detail::check(taper_optimizer_get_option_text(handle(), group, detail::text(name), &s));
        return detail::take_string(s);
    }
    /// What a step of the program's own keeps for a parameter; undefined where there is nothing.
    Tensor state(const Tensor &param, const std::string &name) const {
        taper_tensor *t = nullptr;
        detail::check(taper_optimizer_get_state(handle(), param.handle(), detail::text(name), &t));
        return t ? Tensor::adopt(t) : Tensor();
    }
    void set_state(const Tensor &param, const std::string &name, const Tensor &value) {
        detail::check(taper_optimizer_set_state(handle(), param.handle(), detail::text(name), value.handle()));
    }
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
    template <class F, class O> void make(F create, const std::vector<Tensor> &params, const O *options) {
        const List l(params);
        taper_optimizer *out = nullptr;
        detail::check(create(l.raw, options, &out));
        set(out);
    }
    void add_group(const std::vector<Tensor> &params, const void *options) {
        const List l(params);
        detail::check(taper_optimizer_add_param_group(handle(), l.raw, options));
    }
    /// Parameters for the time of a call.
    struct List {
        taper_tensor_list *raw;
        explicit List(const std::vector<Tensor> &params) : raw(detail::make_list(params)) {}
        ~List() { taper_tensor_list_free(raw); }
        List(const List &) = delete;
        List &operator=(const List &) = delete;
    };

  private:
    std::shared_ptr<taper_optimizer> h_;
};

/// An optimiser of the program's own: derive, override update, which reads the groups' parameters and options and keeps
/// its state by this object's own functions; gradients are not recorded meanwhile. The library calls it as long as the object lives; it may
/// be neither copied nor moved.
class OwnOptimizer : public Optimizer {
  public:
    OwnOptimizer(const std::string &name, const std::vector<Tensor> &params) : self_(std::make_shared<OwnOptimizer *>(this)) {
        using Self = std::shared_ptr<OwnOptimizer *>;
        taper_optimizer_vtable v = TAPER_OPTIMIZER_VTABLE_INIT;
        v.step = [](void *user, taper_optimizer *) -> taper_error * {
            return detail::guarded([&] {
                if (OwnOptimizer *self = **static_cast<Self *>(user)) {
                    self->update();
                }
            });
        };
        v.drop = detail::drop_as<Self>;
        const List l(params);
        taper_optimizer *out = nullptr;
        const char *label = detail::text(name);
        detail::check(taper_optimizer_own_new(label, l.raw, &v, new Self(self_), &out));
        set(out);
    }
    OwnOptimizer(const OwnOptimizer &) = delete;
    OwnOptimizer &operator=(const OwnOptimizer &) = delete;
    virtual ~OwnOptimizer() { *self_ = nullptr; }

  protected:
    /// One step.
    virtual void update() = 0;

  private:
    std::shared_ptr<OwnOptimizer *> self_;
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
