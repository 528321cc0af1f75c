/// What looks on while operations run: automatic casts, profiles, cancelling, counting. Each belongs to the thread.
#ifndef TAPER_WATCH_HPP
#define TAPER_WATCH_HPP

#include "device.hpp"
#include "nn.hpp"
#include <optional>

namespace taper {

/// While it lives, products on this thread run in a shorter float type and what needs range or precision in float32, on
/// one type of devices. The backward pass belongs outside.
///
///     taper::Tensor loss;
///     {
///         taper::Autocast autocast(taper::Device::cpu(), taper::bfloat16);
///         loss = taper::cross_entropy(net(x), y);
///     }
///     loss.backward();
class Autocast {
  public:
    explicit Autocast(const Device &device = Device::cpu(), std::optional<DType> dtype = std::nullopt, bool enabled = true,
                      bool cache = true) {
        const auto code = dtype ? static_cast<int32_t>(*dtype) : int32_t(TAPER_DTYPE_NONE);
        detail::check(taper_autocast_begin(device.raw().type, code, enabled, &cache));
    }
    ~Autocast() { taper_error_free(taper_autocast_end()); }
    Autocast(const Autocast &) = delete;
    Autocast &operator=(const Autocast &) = delete;

    /// Whether operations on a device's tensors are cast on this thread.
    static bool enabled(const Device &device = Device::cpu()) {
        bool out = false;
        detail::check(taper_autocast_enabled(device.raw().type, &out));
        return out;
    }
    /// What products are cast to.
    static DType dtype(const Device &device = Device::cpu()) {
        int32_t out = 0;
        detail::check(taper_autocast_dtype(device.raw().type, &out));
        return static_cast<DType>(out);
    }
};

/// What operations cost on this thread.
///
///     taper::Profiler profiler;
///     step();
///     profiler.stop();
///     std::cout << profiler.table();
class Profiler {
  public:
    /// Begins. `synchronize` waits for the device after each operation, so that its time is the device's; `shapes` keeps the
    /// tensors' shapes.
    explicit Profiler(bool synchronize = false, bool shapes = false) {
        detail::check(taper_profiler_start(synchronize, shapes));
    }
    ~Profiler() {
        if (running_)
            taper_error_free(taper_profiler_stop());
    }
    Profiler(const Profiler &) = delete;
    Profiler &operator=(const Profiler &) = delete;

    /// Ends; the results are this thread's until the next profile begins.
    void stop() {
        running_ = false;
        detail::check(taper_profiler_stop());
    }
    /// One row per name, the most time first, at most `rows` (0: all).
    std::string table(size_t rows = 0) const {
        taper_string *s = nullptr;
        detail::check(taper_profiler_table(rows, &s));
        return detail::take_string(s);
    }
    /// The events as JSON.
    std::string events() const {
        taper_string *s = nullptr;
        detail::check(taper_profiler_events(&s));
        return detail::take_string(s);
    }
    /// Writes them into a file that chrome://tracing and Perfetto show.
    void export_chrome_trace(const std::string &path) const {
        detail::check(taper_profiler_export_chrome_trace(detail::text(path)));
    }

  private:
    bool running_ = true;
};

/// A named range in the profile while it lives.
class RecordFunction {
  public:
    explicit RecordFunction(const std::string &name) { detail::check(taper_profiler_push(detail::text(name))); }
    ~RecordFunction() { taper_error_free(taper_profiler_pop()); }
    RecordFunction(const RecordFunction &) = delete;
    RecordFunction &operator=(const RecordFunction &) = delete;
};

/// Stops what runs on the threads to which it is attached: the next operation, or node of a backward pass, throws
/// CancelledError. Copies are the same token.
class CancelToken {
  public:
    CancelToken() {
        taper_cancel_token *t = nullptr;
        detail::check(taper_cancel_token_new(&t));
        h_ = std::shared_ptr<taper_cancel_token>(t, [](taper_cancel_token *x) { taper_cancel_token_free(x); });
    }
    /// From any thread.
    void cancel() const { detail::check(taper_cancel_token_cancel(h_.get())); }
    bool is_cancelled() const noexcept { return taper_cancel_token_is_cancelled(h_.get()) == 1; }
    taper_cancel_token *handle() const noexcept { return h_.get(); }

  private:
    std::shared_ptr<taper_cancel_token> h_;
};

/// Attaches a token to this thread while it lives.
class CancelScope {
  public:
    explicit CancelScope(const CancelToken &token) {
        detail::check(taper_cancel_token_attach(token.handle(), &before_));
    }
    ~CancelScope() {
        taper_cancel_token *mine = nullptr;
        taper_error_free(taper_cancel_token_attach(before_, &mine));
        taper_cancel_token_free(mine);
        taper_cancel_token_free(before_);
    }
    CancelScope(const CancelScope &) = delete;
    CancelScope &operator=(const CancelScope &) = delete;

  private:
    taper_cancel_token *before_ = nullptr;
};

/// Multiply-adds of this thread's products and convolutions so far, backward passes included; differences count.
inline uint64_t multiply_adds() noexcept { return taper_multiply_adds(); }

/// Runs the module (in eval mode, without recording) and says in a table which shape each module of the tree gave, how many
/// parameters are in it and how many multiply-adds it took.
inline std::string summary(const nn::Module &module, const std::vector<Tensor> &inputs) {
    const auto h = detail::handles(inputs);
    taper_string *s = nullptr;
    detail::check(taper_module_summary(module.handle(), h.data(), h.size(), &s));
    return detail::take_string(s);
}

} // namespace taper

#endif
