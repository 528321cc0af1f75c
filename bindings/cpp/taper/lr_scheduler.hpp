/// Learning-rate schedules over optimisers: torch.optim.lr_scheduler's.
#ifndef TAPER_LR_SCHEDULER_HPP
#define TAPER_LR_SCHEDULER_HPP

#include "optim.hpp"
#include <functional>
#include <optional>

namespace taper {
namespace optim {

/// What a schedule's function is asked: the epoch (CyclicLR's scale_fn: the cycle or iteration), the parameter group, its
/// initial rate and its present one.
struct ScheduleStep {
    int64_t epoch;
    size_t group;
    double base_lr, lr;
};

/// A function of a schedule: of a ScheduleStep, or of the epoch alone; or one of the epoch for each parameter group.
class ScheduleFunction {
  public:
    ScheduleFunction(std::nullptr_t = nullptr) {}
    template <class F, std::enable_if_t<std::is_invocable_r_v<double, F, const ScheduleStep &>, int> = 0>
    ScheduleFunction(F f) : f_(std::move(f)) {}
    template <class F, std::enable_if_t<std::is_invocable_r_v<double, F, int64_t> &&
                                            !std::is_invocable_r_v<double, F, const ScheduleStep &>, int> = 0>
    ScheduleFunction(F f) : f_([f = std::move(f)](const ScheduleStep &s) -> double { return f(s.epoch); }) {}
    ScheduleFunction(std::vector<std::function<double(int64_t)>> each)
        : f_([each = std::move(each)](const ScheduleStep &s) {
              if (s.group >= each.size()) {
                  throw ValueError(TAPER_ERROR_VALUE, "Expected " + std::to_string(s.group + 1) +
                                                          " lr_lambdas, but got " + std::to_string(each.size()));
              }
              return each[s.group](s.epoch);
          }) {}
    explicit operator bool() const { return static_cast<bool>(f_); }
    double operator()(const ScheduleStep &s) const { return f_(s); }

  private:
    std::function<double(const ScheduleStep &)> f_;
};

/// One number for all parameter groups, or one for each.
struct Rates {
    std::vector<double> values;
    Rates(double v) : values{v} {}
    Rates(std::vector<double> v) : values(std::move(v)) {}
    Rates(std::initializer_list<double> v) : values(v) {}
};

/// What all schedules share; a copy refers to the same schedule.
class LRScheduler {
  public:
    /// An epoch on: sets the optimiser's rates. A failure, such as a function's, changes nothing.
    void step() { detail::check(taper_schedule_step(handle())); }
    /// To an epoch, by the closed form where the schedule has one.
    void step_to(double epoch) { detail::check(taper_schedule_step_to(handle(), epoch)); }
    /// ReduceLROnPlateau: an epoch on with the metric that it had.
    void step(double metric) { detail::check(taper_schedule_step_metric(handle(), metric)); }
    int64_t last_epoch() const { return taper_schedule_last_epoch(handle()); }
    std::vector<double> get_last_lr() const { return list(taper_schedule_last_lr); }
    std::vector<double> base_lrs() const { return list(taper_schedule_base_lrs); }
    NamedTensors state_dict() const {
        taper_named_tensors *n = nullptr;
        detail::check(taper_schedule_state_dict(handle(), &n));
        return NamedTensors::adopt(n);
    }
    void load_state_dict(const NamedTensors &s) { detail::check(taper_schedule_load_state_dict(handle(), s.handle())); }
    /// Like "StepLR(step_size=30, gamma=0.1)".
    std::string str() const {
        taper_string *s = nullptr;
        detail::check(taper_schedule_to_string(handle(), &s));
        return detail::take_string(s);
    }
    taper_schedule *handle() const noexcept { return h_.get(); }

  protected:
    void set(taper_schedule *s) {
        h_.reset(s, [](taper_schedule *x) { taper_schedule_free(x); });
    }
    static taper_schedule_vtable vtable() {
        taper_schedule_vtable v = TAPER_SCHEDULE_VTABLE_INIT;
        v.call = [](void *user, int64_t epoch, size_t group, double base_lr, double lr, double *out) -> taper_error * {
            return detail::guarded(
                [&] { *out = (*static_cast<ScheduleFunction *>(user))(ScheduleStep{epoch, group, base_lr, lr}); });
        };
        v.drop = detail::drop_as<ScheduleFunction>;
        return v;
    }
    static std::vector<taper_schedule *> handles(const std::vector<LRScheduler> &list) {
        std::vector<taper_schedule *> h;
        for (const auto &s : list) {
            h.push_back(s.handle());
        }
        return h;
    }

  private:
    template <class F> std::vector<double> list(F read) const {
        size_t n = 0;
        detail::check(read(handle(), nullptr, 0, &n));
        std::vector<double> out(n);
        detail::check(read(handle(), out.data(), n, &n));
        return out;
    }
    std::shared_ptr<taper_schedule> h_;
};

/// A schedule of one's own: the function gives each group's rate of an epoch. Derive from it, or use it as it is.
class FunctionLR : public LRScheduler {
  public:
    FunctionLR(const Optimizer &optimizer, ScheduleFunction f, const std::string &name = "LRScheduler",
               int64_t last_epoch = -1) {
        const taper_schedule_vtable v = vtable();
        const char *label = detail::text(name);
        taper_schedule *out = nullptr;
        detail::check(taper_schedule_new(optimizer.handle(), label, &v, new ScheduleFunction(std::move(f)), last_epoch, &out));
        set(out);
    }
};

} // namespace optim
} // namespace taper

#include "schedules_gen.hpp"

#endif
