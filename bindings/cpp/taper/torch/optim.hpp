/// Groups of parameters, options and schedules as libtorch's optimisers have them.
#ifndef TAPER_TORCH_OPTIM_HPP
#define TAPER_TORCH_OPTIM_HPP

#include "../named_tensors.hpp"
#include "print.hpp"

#include <limits>

namespace torch {
namespace optim {

/// The options of a group. A change counts from the next step on.
class OptimizerOptions {
  public:
    virtual ~OptimizerOptions() = default;
    virtual std::unique_ptr<OptimizerOptions> clone() const = 0;
    virtual double get_lr() const = 0;
    virtual void set_lr(const double lr) = 0;

  protected:
    friend class Optimizer;
    virtual taper_optimizer *create(const taper_tensor_list *params) const = 0;
    virtual void add(taper_optimizer *to, const taper_tensor_list *params) const = 0;
    /// Hands on what differs from the options before.
    virtual void push(taper_optimizer *of, size_t group, const OptimizerOptions &before) const = 0;
    static void set_option(taper_optimizer *of, size_t group, const char *name, const Scalar &v) {
        detail::check(taper_optimizer_set_option(of, group, name, v.raw()));
    }
    static void set_values(taper_optimizer *of, size_t group, const char *name, const std::vector<double> &v) {
        detail::check(taper_optimizer_set_option_values(of, group, name, v.data(), v.size()));
    }
};
template <class Derived> class OptimizerCloneableOptions : public OptimizerOptions {
  public:
    std::unique_ptr<OptimizerOptions> clone() const override { return std::make_unique<Derived>(static_cast<const Derived &>(*this)); }
};

/// Parameters with options of their own, or with the optimiser's.
class OptimizerParamGroup {
  public:
    OptimizerParamGroup(std::vector<Tensor> params) : params_(std::move(params)) {}
    OptimizerParamGroup(std::vector<Tensor> params, std::unique_ptr<OptimizerOptions> options)
        : params_(std::move(params)), options_(std::move(options)) {}
    OptimizerParamGroup(const OptimizerParamGroup &o) : params_(o.params_), options_(o.options_ ? o.options_->clone() : nullptr) {}
    OptimizerParamGroup(OptimizerParamGroup &&) = default;
    OptimizerParamGroup &operator=(const OptimizerParamGroup &o) {
        params_ = o.params_;
        options_ = o.options_ ? o.options_->clone() : nullptr;
        return *this;
    }
    OptimizerParamGroup &operator=(OptimizerParamGroup &&) = default;
    ~OptimizerParamGroup() = default;
    bool has_options() const { return options_ != nullptr; }
    OptimizerOptions &options() { return *need(); }
    const OptimizerOptions &options() const { return *need(); }
    void set_options(std::unique_ptr<OptimizerOptions> o) { options_ = std::move(o); }
    std::vector<Tensor> &params() { return params_; }
    const std::vector<Tensor> &params() const { return params_; }

  private:
    OptimizerOptions *need() const {
        if (!options_) {
            throw taper::RuntimeError(TAPER_ERROR_RUNTIME, "the parameter group has no options");
        }
        return options_.get();
    }
    std::vector<Tensor> params_;
    std::unique_ptr<OptimizerOptions> options_;
};

class Optimizer {
  public:
    using LossClosure = std::function<Tensor()>;
    Optimizer(const std::vector<OptimizerParamGroup> &groups, std::unique_ptr<OptimizerOptions> defaults) : defaults_(std::move(defaults)) {
        for (const auto &g : groups) {
            add_param_group(g);
        }
    }
    Optimizer(const Optimizer &) = delete;
    Optimizer &operator=(const Optimizer &) = delete;
    Optimizer(Optimizer &&) = default;
    Optimizer &operator=(Optimizer &&) = default;
    virtual ~Optimizer() = default;

    void add_param_group(const OptimizerParamGroup &given) {
        OptimizerParamGroup group = given;
        if (!group.has_options()) {
            group.set_options(defaults_->clone());
        }
        const auto h = detail::handles(group.params());
        taper_tensor_list *l = nullptr;
        detail::check(taper_tensor_list_new(h.data(), h.size(), &l));
        const std::unique_ptr<taper_tensor_list, bool (*)(taper_tensor_list *)> list(l, taper_tensor_list_free);
        if (handle_) {
            group.options().add(handle(), l);
        } else {
            handle_.reset(group.options().create(l), [](taper_optimizer *x) { taper_optimizer_free(x); });
        }
        pushed_.push_back(group.options().clone());
        groups_.push_back(std::move(group));
    }
    /// A step; with a closure (LBFGS: needed) the loss before it.
    Tensor step(LossClosure closure = nullptr) {
        push();
        if (!closure) {
            detail::check(taper_optimizer_step(handle()));
            return {};
        }
        taper_optimizer_closure v = TAPER_OPTIMIZER_CLOSURE_INIT;
        v.call = [](void *user, taper_tensor **loss) -> taper_error * {
            return detail::guarded([&] {
                const AutoGradMode on(true);
                *loss = (*static_cast<LossClosure *>(user))().release_copy();
            });
        };
        taper_tensor *out = nullptr;
        detail::check(taper_optimizer_step_closure(handle(), &v, &closure, &out));
        return Tensor::adopt(out);
    }
    void zero_grad(bool set_to_none = true) { detail::check(taper_optimizer_zero_grad(handle(), set_to_none)); }
    std::vector<OptimizerParamGroup> &param_groups() noexcept { return groups_; }
    const std::vector<OptimizerParamGroup> &param_groups() const noexcept { return groups_; }
    OptimizerOptions &defaults() noexcept { return *defaults_; }
    const OptimizerOptions &defaults() const noexcept { return *defaults_; }
    const std::vector<Tensor> &parameters() const { return groups_.at(0).params(); }
    size_t size() const {
        size_t n = 0;
        for (const auto &g : groups_) {
            n += g.params().size();
        }
        return n;
    }
    /// Options and state by name, as the library's files have them.
    taper::NamedTensors state_dict() {
        push();
        taper_named_tensors *n = nullptr;
        detail::check(taper_optimizer_state_dict(handle(), &n));
        return taper::NamedTensors::adopt(n);
    }
    void load_state_dict(const taper::NamedTensors &s) {
        detail::check(taper_optimizer_load_state_dict(handle(), s.handle()));
        for (size_t i = 0; i < groups_.size(); ++i) {
            double lr = 0;
            detail::check(taper_optimizer_get_lr(handle(), i, &lr));
            groups_[i].options().set_lr(lr);
            pushed_[i]->set_lr(lr);
        }
    }
    taper_optimizer *handle() const {
        if (!handle_) {
            throw ValueError(TAPER_ERROR_VALUE, "the optimizer has no parameter group");
        }
        return handle_.get();
    }

  private:
    void push() {
        for (size_t i = 0; i < groups_.size(); ++i) {
            groups_[i].options().push(handle(), i, *pushed_[i]);
            pushed_[i] = groups_[i].options().clone();
        }
    }
    std::vector<OptimizerParamGroup> groups_;
    std::vector<std::unique_ptr<OptimizerOptions>> pushed_;
    std::unique_ptr<OptimizerOptions> defaults_;
    std::shared_ptr<taper_optimizer> handle_;
};

/// The base of schedules: get_lrs() gives each group's next rate.
class LRScheduler {
  public:
    explicit LRScheduler(Optimizer &optimizer) : optimizer_(optimizer) {}
    virtual ~LRScheduler() = default;
    void step() {
        const auto rates = get_lrs();
        auto &groups = optimizer_.param_groups();
        for (size_t i = 0; i < groups.size() && i < rates.size(); ++i) {
            groups[i].options().set_lr(rates[i]);
        }
        ++step_count_;
    }

  protected:
    virtual std::vector<double> get_lrs() = 0;
    std::vector<double> get_current_lrs() const {
        std::vector<double> out;
        for (const auto &g : optimizer_.param_groups()) {
            out.push_back(g.options().get_lr());
        }
        return out;
    }
    unsigned step_count_ = 0;
    Optimizer &optimizer_;
};
/// The rate times gamma every step_size steps.
class StepLR : public LRScheduler {
  public:
    StepLR(Optimizer &optimizer, unsigned step_size, double gamma = 0.1) : LRScheduler(optimizer), step_size_(step_size), gamma_(gamma) {
        if (step_size == 0) {
            throw ValueError(TAPER_ERROR_VALUE, "StepLR: step_size must be at least 1, got 0");
        }
    }

  private:
    std::vector<double> get_lrs() override {
        auto rates = get_current_lrs();
        if (step_count_ != 0 && step_count_ % step_size_ == 0) {
            for (double &r : rates) {
                r *= gamma_;
            }
        }
        return rates;
    }
    unsigned step_size_;
    double gamma_;
};
/// The rate times factor when a metric has not improved for patience steps.
class ReduceLROnPlateauScheduler {
  public:
    enum SchedulerMode { min, max };
    enum ThresholdMode { rel, abs };
    ReduceLROnPlateauScheduler(Optimizer &optimizer, SchedulerMode mode = min, float factor = 0.1f, int patience = 10,
                               double threshold = 1e-4, ThresholdMode threshold_mode = rel, int cooldown = 0,
                               const std::vector<float> &min_lr = {}, double eps = 1e-8, bool verbose = false)
        : optimizer_(optimizer), mode_(mode), threshold_mode_(threshold_mode), factor_(factor), patience_(patience), cooldown_(cooldown),
          threshold_(threshold), eps_(eps), verbose_(verbose) {
        if (!(factor < 1.0f)) {
            throw ValueError(TAPER_ERROR_VALUE, "Factor should be < 1.0.");
        }
        const size_t groups = optimizer.param_groups().size();
        if (min_lr.size() > 1 && min_lr.size() != groups) {
            throw ValueError(TAPER_ERROR_VALUE, detail::joined("Number of learning rates not equal to the number of param groups\n Number of learning rates given: ",
                                                               min_lr.size(), "\nNumber of param groups: ", groups));
        }
        for (size_t i = 0; i < groups; ++i) {
            floors_.push_back(min_lr.empty() ? 0.0 : static_cast<double>(min_lr[min_lr.size() == 1 ? 0 : i]));
        }
        reset();
    }
    void reset() {
        best_ = mode_ == min ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::infinity();
        waiting_ = bad_ = last_epoch_ = 0;
    }
    void step(float metric) {
        ++last_epoch_;
        if (is_better(metric)) {
            best_ = metric;
            bad_ = 0;
        } else {
            ++bad_;
        }
        if (waiting_ > 0) {
            --waiting_;
            bad_ = 0;
        }
        if (bad_ > patience_) {
            reduce();
            waiting_ = cooldown_;
            bad_ = 0;
        }
    }

  private:
    bool is_better(double v) const {
        if (mode_ == min) {
            return threshold_mode_ == rel ? v < best_ * (1.0 - threshold_) : v < best_ - threshold_;
        }
        return threshold_mode_ == rel ? v > best_ * (1.0 + threshold_) : v > best_ + threshold_;
    }
    void reduce() {
        auto &groups = optimizer_.param_groups();
        for (size_t i = 0; i < groups.size(); ++i) {
            const double old = groups[i].options().get_lr();
            const double now = std::fmax(old * factor_, i < floors_.size() ? floors_[i] : 0.0);
            if (old - now > eps_) {
                groups[i].options().set_lr(now);
                if (verbose_) {
                    std::cout << std::setprecision(4) << "Epoch " << last_epoch_ << ": reducing learning rate of group " << i << " to " << now << '\n';
                }
            }
        }
    }
    Optimizer &optimizer_;
    SchedulerMode mode_;
    ThresholdMode threshold_mode_;
    float factor_;
    int patience_, cooldown_, waiting_ = 0, bad_ = 0, last_epoch_ = 0;
    double threshold_, eps_, best_ = 0;
    bool verbose_;
    std::vector<double> floors_;
};
} // namespace optim
} // namespace torch

#include "optim_gen.hpp"

#endif
