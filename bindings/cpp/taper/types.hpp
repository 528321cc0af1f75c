/// What ops take beside tensors: dtypes, devices, numbers, lists of sizes, generators; and the settings of all.
#ifndef TAPER_TYPES_HPP
#define TAPER_TYPES_HPP

#include "error.hpp"
#include "types_gen.hpp"

#include <complex>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <type_traits>
#include <vector>

namespace taper {

inline std::ostream &operator<<(std::ostream &o, DType d) {
    return o << taper_dtype_name(static_cast<int32_t>(d));
}

struct DeviceInfo;

/// A device: Device::cpu(), Device("opencl:0").
class Device {
  public:
    Device(int32_t type, int32_t index = 0) : raw_{type, index} {}
    /// From "cpu", "cuda", "cuda:1", "opencl:0".
    Device(const char *name) : raw_{0, 0} { detail::check(taper_device_parse(name, &raw_)); }
    Device(const std::string &name) : Device(detail::text(name)) {}
    /// The first device whose name, platform, vendor or version contains a text, in any case: Device::find("nvidia").
    /// type is a TAPER_DEVICE_... code, or 0 for any. An Error lists the devices that there are.
    static Device find(const std::string &part_of_name, int32_t type = 0);
    static Device cpu() { return Device(TAPER_DEVICE_CPU); }
    /// Shapes, strides and dtypes without elements.
    static Device meta() { return Device(TAPER_DEVICE_META); }
    taper_device raw() const noexcept { return raw_; }
    int32_t type() const noexcept { return raw_.type; }
    int32_t index() const noexcept { return raw_.index; }
    bool operator==(const Device &o) const noexcept { return raw_.type == o.raw_.type && raw_.index == o.raw_.index; }
    bool operator!=(const Device &o) const noexcept { return !(*this == o); }
    /// The text that makes it: "opencl:0".
    std::string str() const {
        taper_string *text = nullptr;
        detail::check(taper_device_to_string(raw_, &text));
        return detail::take_string(text);
    }
    /// What the device is and can do; an Error says why there is no such device. The rest of the class is in device.hpp.
    DeviceInfo info() const;
    /// The device's name: that of the processor or graphics card.
    std::string name() const;
    /// An Error that says why, if the device cannot be used.
    void check() const;
    bool is_available() const;
    /// Why the device cannot be used; empty if it can.
    std::string why_not() const;

  private:
    taper_device raw_;
};
inline std::ostream &operator<<(std::ostream &o, const Device &d) { return o << d.str(); }

/// A number that keeps its category (float, integer, bool or complex) in type promotion.
class Scalar {
  public:
    template <class T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0> Scalar(T v) {
        if constexpr (std::is_same_v<T, bool>) {
            raw_ = taper_scalar_bool(v);
        } else if constexpr (std::is_integral_v<T>) {
            raw_ = taper_scalar_i64(static_cast<int64_t>(v));
        } else {
            raw_ = taper_scalar_f64(static_cast<double>(v));
        }
    }
    template <class T> Scalar(const std::complex<T> &v) {
        raw_ = taper_scalar_complex(static_cast<double>(v.real()), static_cast<double>(v.imag()));
    }
    static Scalar from_raw(taper_scalar r) {
        Scalar s(0);
        s.raw_ = r;
        return s;
    }
    taper_scalar raw() const noexcept { return raw_; }
    /// The value; of a complex number the real part.
    double to_double() const noexcept { return in_f() ? raw_.f : static_cast<double>(raw_.i); }
    int64_t to_int() const noexcept { return in_f() ? static_cast<int64_t>(raw_.f) : raw_.i; }
    std::complex<double> to_complex() const noexcept { return {to_double(), taper_scalar_imag(raw_)}; }

  private:
    bool in_f() const noexcept { return raw_.kind == TAPER_SCALAR_FLOAT || raw_.kind == TAPER_SCALAR_COMPLEX; }
    taper_scalar raw_;
};

/// Sizes, dimensions: {2, 3}, a vector, or a single number. It views what it was made from, for one call.
class IntList {
  public:
    IntList(std::initializer_list<int64_t> v) : own_(v) {}
    IntList(std::vector<int64_t> v) : own_(std::move(v)) {}
    template <class T, std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>, int> = 0>
    IntList(T v) : own_{static_cast<int64_t>(v)} {}
    const int64_t *data() const noexcept { return own_.empty() ? &none : own_.data(); }
    size_t size() const noexcept { return own_.size(); }

  private:
    static constexpr int64_t none = 0;
    std::vector<int64_t> own_;
};

/// A tensor's sizes or strides: a vector that prints as "[2, 3]".
struct Sizes : std::vector<int64_t> {
    using std::vector<int64_t>::vector;
};
inline std::ostream &operator<<(std::ostream &o, const Sizes &sizes) {
    o << '[';
    for (size_t i = 0; i < sizes.size(); ++i) {
        o << (i ? ", " : "") << sizes[i];
    }
    return o << ']';
}

/// Dimensions or none. Unlike std::optional it takes a braced list: x.sum({0, 1}).
class OptionalIntList : public std::optional<IntList> {
  public:
    using std::optional<IntList>::optional;
    OptionalIntList(std::initializer_list<int64_t> v) : std::optional<IntList>(IntList(v)) {}
};

/// Which numbers the CPU draws: PyTorch's, or those of every other device.
enum class RandomAlgorithm : int32_t { MT19937 = TAPER_RANDOM_MT19937, Philox = TAPER_RANDOM_PHILOX };

/// A generator of random numbers; the default one is seeded by manual_seed.
class Generator {
  public:
    Generator() {
        taper_generator *g = nullptr;
        detail::check(taper_generator_new(&g));
        set(g);
    }
    /// The one that is used where none is given.
    static Generator default_generator() {
        taper_generator *g = nullptr;
        detail::check(taper_generator_default(&g));
        return Generator(g);
    }
    Generator &manual_seed(uint64_t seed) {
        detail::check(taper_generator_manual_seed(h_.get(), seed));
        return *this;
    }
    /// Chooses which numbers the CPU draws; with Philox the same seed gives the same ones on every device. A change starts
    /// the generator anew from its seed.
    Generator &set_algorithm(RandomAlgorithm a) {
        detail::check(taper_generator_set_algorithm(h_.get(), static_cast<int32_t>(a)));
        return *this;
    }
    RandomAlgorithm algorithm() const { return static_cast<RandomAlgorithm>(taper_generator_algorithm(h_.get())); }
    /// Restarts it from the system's entropy and gives the seed.
    uint64_t seed() {
        uint64_t s = 0;
        detail::check(taper_generator_seed(h_.get(), &s));
        return s;
    }
    uint64_t initial_seed() const { return taper_generator_initial_seed(h_.get()); }
    /// Its state, the bytes of torch.get_rng_state() for the CPU's.
    std::vector<uint8_t> state() const {
        size_t n = 0;
        detail::check(taper_generator_get_state(h_.get(), nullptr, 0, &n));
        std::vector<uint8_t> bytes(n);
        detail::check(taper_generator_get_state(h_.get(), bytes.data(), n, &n));
        return bytes;
    }
    void set_state(const std::vector<uint8_t> &bytes) {
        detail::check(taper_generator_set_state(h_.get(), bytes.data(), bytes.size()));
    }
    taper_generator *handle() const noexcept { return h_.get(); }

  private:
    explicit Generator(taper_generator *g) { set(g); }
    void set(taper_generator *g) {
        h_.reset(g, [](taper_generator *x) { taper_generator_free(x); });
    }
    std::shared_ptr<taper_generator> h_;
};
inline void manual_seed(uint64_t seed) { taper_manual_seed(seed); }

namespace detail {
inline int32_t raw(std::optional<DType> d) { return d ? static_cast<int32_t>(*d) : TAPER_DTYPE_NONE; }
inline taper_device raw(const std::optional<Device> &d) { return d ? d->raw() : taper_device{0, 0}; }
inline taper_generator *raw(const Generator *g) { return g ? g->handle() : nullptr; }

/// A scalar that C takes by pointer.
class OptionalScalar {
  public:
    explicit OptionalScalar(const std::optional<Scalar> &s) : some_(s.has_value()), raw_(s ? s->raw() : taper_scalar{}) {}
    const taper_scalar *get() const noexcept { return some_ ? &raw_ : nullptr; }

  private:
    bool some_;
    taper_scalar raw_;
};

} // namespace detail

/// How tensors are printed, as torch.set_printoptions: what the profile ("default", "short", "full") says, then each value
/// that is given.
struct PrintOptions {
    std::string profile = "default";
    std::optional<int64_t> precision, edgeitems, linewidth;
    std::optional<double> threshold;
    /// Absent: as the numbers suggest.
    std::optional<bool> sci_mode;
};
/// Sets them for the whole process.
inline void set_printoptions(const PrintOptions &p) {
    const auto raw = [](const auto &v) { return v ? &*v : nullptr; };
    detail::check(taper_set_printoptions(raw(p.precision), raw(p.threshold), raw(p.edgeitems), raw(p.linewidth),
                                         detail::text(p.profile), raw(p.sci_mode)));
}

/// Threads that CPU kernels use; results do not depend on it.
inline int32_t num_threads() { return taper_get_num_threads(); }
inline void set_num_threads(int32_t n) { detail::check(taper_set_num_threads(n)); }
/// The dtype of tensors made from floats when none is named.
inline DType default_dtype() { return static_cast<DType>(taper_get_default_dtype()); }
inline void set_default_dtype(DType d) { detail::check(taper_set_default_dtype(static_cast<int32_t>(d))); }
/// The version of the library that the program runs with; the headers' is TAPER_VERSION, in numbers these.
inline std::string version() { return taper_version(); }
inline constexpr int version_major = TAPER_VERSION_MAJOR;
inline constexpr int version_minor = TAPER_VERSION_MINOR;
inline constexpr int version_patch = TAPER_VERSION_PATCH;

} // namespace taper

#endif
