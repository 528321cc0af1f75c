/// Whether ops are recorded for backward, on the running thread.
#ifndef TAPER_GRAD_MODE_HPP
#define TAPER_GRAD_MODE_HPP

#include "error.hpp"

namespace taper {

/// Switches recording off (or on) on this thread while it lives.
class GradMode {
  public:
    explicit GradMode(bool on) : old_(taper_set_grad_mode(on)) {}
    ~GradMode() { taper_set_grad_mode(old_); }
    GradMode(const GradMode &) = delete;
    GradMode &operator=(const GradMode &) = delete;

  private:
    bool old_;
};
struct NoGrad : GradMode {
    NoGrad() : GradMode(false) {}
};
struct EnableGrad : GradMode {
    EnableGrad() : GradMode(true) {}
};
/// No recording and no tracking of views on this thread while it lives.
class InferenceMode {
  public:
    explicit InferenceMode(bool on = true) : old_(taper_set_inference_mode(on)) {}
    ~InferenceMode() { taper_set_inference_mode(old_); }
    InferenceMode(const InferenceMode &) = delete;
    InferenceMode &operator=(const InferenceMode &) = delete;

  private:
    bool old_;
};
/// While it lives, a backward pass (of any thread) that computes a NaN throws an error that names the function.
class DetectAnomaly {
  public:
    explicit DetectAnomaly(bool on = true, bool check_nan = true)
        : nan_(taper_detect_anomaly_checks_nan()), old_(taper_set_detect_anomaly(on, check_nan)) {}
    ~DetectAnomaly() { taper_set_detect_anomaly(old_, nan_); }
    DetectAnomaly(const DetectAnomaly &) = delete;
    DetectAnomaly &operator=(const DetectAnomaly &) = delete;

  private:
    bool nan_, old_;
};
/// Whether ops on this thread are recorded.
inline bool is_grad_enabled() noexcept { return taper_grad_mode_enabled(); }

} // namespace taper

#endif
