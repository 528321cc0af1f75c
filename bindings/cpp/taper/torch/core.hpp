/// What libtorch's programs hand to tensors: element types, devices, numbers, sizes, options; macros for errors.
#ifndef TAPER_TORCH_CORE_HPP
#define TAPER_TORCH_CORE_HPP

#include "../grad_mode.hpp"
#include "../types.hpp"

#include <array>
#include <sstream>
#include <string_view>
#include <tuple>

namespace torch {

using Error = taper::Error;
using IndexError = taper::IndexError;
using ValueError = taper::ValueError;
using TypeError = taper::TypeError;
using NotImplementedError = taper::NotImplementedError;
using OutOfMemoryError = taper::OutOfMemoryError;
using std::make_optional;
using std::nullopt;
using std::nullopt_t;
template <class T> using optional = std::optional<T>;
template <class T> using ArrayRef = std::vector<T>;
using string_view = std::string_view;

/// Element types; the numbers are PyTorch's.
enum class ScalarType : int8_t {
    Byte = TAPER_UINT8,
    Char = TAPER_INT8,
    Short = TAPER_INT16,
    Int = TAPER_INT32,
    Long = TAPER_INT64,
    Half = TAPER_FLOAT16,
    Float = TAPER_FLOAT32,
    Double = TAPER_FLOAT64,
    Bool = TAPER_BOOL,
    BFloat16 = TAPER_BFLOAT16,
    ComplexFloat = TAPER_COMPLEX64,
    ComplexDouble = TAPER_COMPLEX128,
};
using Dtype = ScalarType;
using DType = ScalarType;
constexpr ScalarType kByte = ScalarType::Byte, kUInt8 = kByte, kU8 = kByte, kChar = ScalarType::Char, kInt8 = kChar,
                     kI8 = kChar, kShort = ScalarType::Short, kInt16 = kShort, kI16 = kShort, kInt = ScalarType::Int,
                     kInt32 = kInt, kI32 = kInt, kLong = ScalarType::Long, kInt64 = kLong, kI64 = kLong,
                     kHalf = ScalarType::Half, kFloat16 = kHalf, kF16 = kHalf, kFloat = ScalarType::Float, kFloat32 = kFloat,
                     kF32 = kFloat, kDouble = ScalarType::Double, kFloat64 = kDouble, kF64 = kDouble,
                     kBool = ScalarType::Bool, kBFloat16 = ScalarType::BFloat16,
                     kComplexFloat = ScalarType::ComplexFloat, kComplexDouble = ScalarType::ComplexDouble;

namespace detail {
struct TypeName {
    ScalarType type;
    /// As ScalarType and in a tensor's type; of C++; whether a float.
    const char *name, *plain;
    bool is_float;
};
inline const TypeName &type_name(ScalarType t) {
    static constexpr TypeName names[] = {
        {kByte, "Byte", "unsigned char", false}, {kChar, "Char", "signed char", false}, {kShort, "Short", "short int", false},
        {kInt, "Int", "int", false},      {kLong, "Long", "long int", false},   {kHalf, "Half", "c10::Half", true},
        {kFloat, "Float", "float", true}, {kDouble, "Double", "double", true},  {kBool, "Bool", "bool", false},
        {kBFloat16, "BFloat16", "c10::BFloat16", true}, {kComplexFloat, "ComplexFloat", "c10::complex<float>", false},
        {kComplexDouble, "ComplexDouble", "c10::complex<double>", false}};
    for (const auto &n : names) {
        if (n.type == t) {
            return n;
        }
    }
    throw TypeError(TAPER_ERROR_TYPE, "unknown ScalarType " + std::to_string(static_cast<int>(t)));
}
} // namespace detail
inline const char *toString(ScalarType t) { return detail::type_name(t).name; }
inline std::ostream &operator<<(std::ostream &o, ScalarType t) { return o << toString(t); }
inline bool isFloatingType(ScalarType t) { return detail::type_name(t).is_float; }
inline bool isComplexType(ScalarType t) { return t == kComplexFloat || t == kComplexDouble; }
inline bool isIntegralType(ScalarType t, bool include_bool = false) {
    return !isFloatingType(t) && !isComplexType(t) && (include_bool || t != kBool);
}
inline int64_t elementSize(ScalarType t) { return static_cast<int64_t>(taper_dtype_size(static_cast<int32_t>(t))); }

/// What dtype() gives: a ScalarType that prints as C++'s type.
class TypeMeta {
  public:
    TypeMeta(ScalarType t = kFloat) : type_(t) {}
    operator ScalarType() const { return type_; }
    ScalarType toScalarType() const { return type_; }
    std::string_view name() const { return detail::type_name(type_).plain; }
    size_t itemsize() const { return static_cast<size_t>(elementSize(type_)); }
    friend bool operator==(const TypeMeta &a, const TypeMeta &b) { return a.type_ == b.type_; }
    friend bool operator!=(const TypeMeta &a, const TypeMeta &b) { return a.type_ != b.type_; }
    friend bool operator==(const TypeMeta &a, ScalarType b) { return a.type_ == b; }
    friend bool operator!=(const TypeMeta &a, ScalarType b) { return a.type_ != b; }
    friend std::ostream &operator<<(std::ostream &o, const TypeMeta &t) { return o << t.name(); }

  private:
    ScalarType type_;
};

enum class DeviceType : int8_t { CPU = TAPER_DEVICE_CPU, CUDA = TAPER_DEVICE_CUDA, OPENCL = TAPER_DEVICE_OPENCL };
constexpr DeviceType kCPU = DeviceType::CPU, kCUDA = DeviceType::CUDA, kOPENCL = DeviceType::OPENCL;
using DeviceIndex = int8_t;
/// A device: torch::kCUDA, torch::Device(torch::kCUDA, 1), torch::Device("cuda:1").
class Device : public taper::Device {
  public:
    Device(DeviceType type, DeviceIndex index = -1)
        : taper::Device(static_cast<int32_t>(type), index < 0 ? 0 : index), index_(index) {}
    Device(const std::string &name) : taper::Device(name), index_(find_index(name)) {}
    Device(const char *name) : Device(std::string(name)) {}
    /// One that a tensor lies on.
    explicit Device(taper_device d)
        : taper::Device(d.type, d.index), index_(d.type == TAPER_DEVICE_CPU ? -1 : static_cast<DeviceIndex>(d.index)) {}
    DeviceType type() const noexcept { return static_cast<DeviceType>(raw().type); }
    /// -1 where none was named.
    DeviceIndex index() const noexcept { return index_; }
    bool has_index() const noexcept { return index_ >= 0; }
    bool is_cuda() const noexcept { return type() == kCUDA; }
    bool is_cpu() const noexcept { return type() == kCPU; }
    std::string str() const {
        const char *name = is_cpu() ? "cpu" : is_cuda() ? "cuda" : "opencl";
        return has_index() ? name + (":" + std::to_string(index_)) : std::string(name);
    }
    bool operator==(const Device &o) const noexcept { return type() == o.type() && index_ == o.index_; }
    bool operator!=(const Device &o) const noexcept { return !(*this == o); }

  private:
    static DeviceIndex find_index(const std::string &name) {
        const auto at = name.find(':');
        return at == std::string::npos ? DeviceIndex(-1) : static_cast<DeviceIndex>(std::stoi(name.substr(at + 1)));
    }
    DeviceIndex index_;
};
inline std::ostream &operator<<(std::ostream &o, const Device &d) { return o << d.str(); }
inline std::ostream &operator<<(std::ostream &o, DeviceType t) { return o << Device(t).str(); }

enum class Layout : int8_t { Strided };
constexpr Layout kStrided = Layout::Strided;
enum class MemoryFormat : int8_t { Contiguous, Preserve };

/// A number that keeps its category; what item() gives.
class Scalar : public taper::Scalar {
  public:
    using taper::Scalar::Scalar;
    Scalar() : taper::Scalar(0) {}
    static Scalar from_raw(taper_scalar r) { return Scalar(taper::Scalar::from_raw(r)); }
    template <class T> T to() const {
        const taper_scalar r = raw();
        return r.kind == TAPER_SCALAR_FLOAT ? static_cast<T>(r.f) : static_cast<T>(r.i);
    }
    double toDouble() const { return to<double>(); }
    float toFloat() const { return to<float>(); }
    int64_t toLong() const { return to<int64_t>(); }
    int toInt() const { return to<int>(); }
    bool toBool() const { return to<double>() != 0; }
    bool isFloatingPoint() const { return raw().kind == TAPER_SCALAR_FLOAT; }
    bool isBoolean() const { return raw().kind == TAPER_SCALAR_BOOL; }
    bool isIntegral(bool include_bool) const { return !isFloatingPoint() && (include_bool || !isBoolean()); }

  private:
    explicit Scalar(const taper::Scalar &s) : taper::Scalar(s) {}
};
inline std::ostream &operator<<(std::ostream &o, const Scalar &s) {
    return s.isFloatingPoint() ? o << s.toDouble() : o << s.toLong();
}

/// Sizes, dimensions. It owns its numbers.
class IntArrayRef : public taper::IntList {
  public:
    using taper::IntList::IntList;
    using value_type = int64_t;
    IntArrayRef() : taper::IntList(std::vector<int64_t>{}) {}
    IntArrayRef(const int64_t *data, size_t n) : taper::IntList(std::vector<int64_t>(data, data + n)) {}
    template <size_t N> IntArrayRef(const std::array<int64_t, N> &a) : IntArrayRef(a.data(), N) {}
    const int64_t *begin() const { return data(); }
    const int64_t *end() const { return data() + size(); }
    bool empty() const { return size() == 0; }
    int64_t operator[](size_t i) const { return data()[check(i)]; }
    int64_t at(size_t i) const { return data()[check(i)]; }
    int64_t front() const { return at(0); }
    int64_t back() const { return at(size() - 1); }
    std::vector<int64_t> vec() const { return {begin(), end()}; }
    IntArrayRef slice(size_t from) const { return slice(from, from <= size() ? size() - from : 0); }
    IntArrayRef slice(size_t from, size_t n) const {
        if (from > size() || n > size() - from) {
            throw IndexError(TAPER_ERROR_INDEX, "ArrayRef: invalid slice, N = " + std::to_string(n) +
                                                    "; size = " + std::to_string(size()));
        }
        return {data() + from, n};
    }
    bool equals(const IntArrayRef &o) const { return vec() == o.vec(); }
    friend bool operator==(const IntArrayRef &a, const IntArrayRef &b) { return a.equals(b); }
    friend bool operator!=(const IntArrayRef &a, const IntArrayRef &b) { return !a.equals(b); }
    friend std::ostream &operator<<(std::ostream &o, const IntArrayRef &list) {
        o << '[';
        for (size_t i = 0; i < list.size(); ++i) {
            o << (i ? ", " : "") << list.data()[i];
        }
        return o << ']';
    }

  private:
    size_t check(size_t i) const {
        if (i >= size()) {
            throw IndexError(TAPER_ERROR_INDEX, "ArrayRef: invalid index Index = " + std::to_string(i) +
                                                    "; Length = " + std::to_string(size()));
        }
        return i;
    }
};
using IntList = IntArrayRef;
using ExpandingArray = IntArrayRef;
/// Dimensions or none; takes a braced list.
class OptionalIntList : public std::optional<IntArrayRef> {
  public:
    using std::optional<IntArrayRef>::optional;
    OptionalIntList(std::initializer_list<int64_t> v) : std::optional<IntArrayRef>(IntArrayRef(v)) {}
};
using OptionalIntArrayRef = OptionalIntList;

/// A name that options take: torch::kReflect, torch::kSum.
struct Word {
    const char *text;
    operator std::string() const { return text; }
    operator std::optional<std::string>() const { return std::string(text); }
    friend bool operator==(const Word &a, const Word &b) { return std::string_view(a.text) == b.text; }
};
constexpr Word kNone{"none"}, kMean{"mean"}, kSum{"sum"}, kBatchMean{"batchmean"}, kMax{"max"}, kZeros{"zeros"},
    kReflect{"reflect"}, kReplicate{"replicate"}, kCircular{"circular"}, kConstant{"constant"}, kBorder{"border"},
    kReflection{"reflection"}, kNearest{"nearest"}, kNearestExact{"nearest-exact"}, kLinear{"linear"}, kBilinear{"bilinear"},
    kBicubic{"bicubic"}, kTrilinear{"trilinear"}, kArea{"area"}, kReLU{"relu"}, kGELU{"gelu"}, kTanh{"tanh"},
    kSigmoid{"sigmoid"}, kLeakyReLU{"leaky_relu"}, kFanIn{"fan_in"}, kFanOut{"fan_out"}, kConv1D{"conv1d"}, kConv2D{"conv2d"},
    kConv3D{"conv3d"}, kConvTranspose1D{"conv_transpose1d"}, kConvTranspose2D{"conv_transpose2d"},
    kConvTranspose3D{"conv_transpose3d"}, kSame{"same"}, kValid{"valid"};

/// What the functions of tensors take as reduction.
namespace Reduction {
enum Reduction { None, Mean, Sum };
}

/// How a tensor is made: torch::dtype(torch::kFloat64).device(torch::kCUDA).requires_grad(true).
class TensorOptions {
  public:
    TensorOptions() = default;
    TensorOptions(ScalarType t) : dtype_(t) {}
    TensorOptions(const TypeMeta &t) : dtype_(t.toScalarType()) {}
    TensorOptions(const Device &d) : device_(d) {}
    TensorOptions(DeviceType d) : device_(Device(d)) {}
    TensorOptions(Layout) {}
    TensorOptions dtype(std::optional<ScalarType> t) const { return with(&TensorOptions::dtype_, std::move(t)); }
    TensorOptions dtype(ScalarType t) const { return dtype(std::optional<ScalarType>(t)); }
    TensorOptions dtype(const TypeMeta &t) const { return dtype(std::optional<ScalarType>(t.toScalarType())); }
    TensorOptions device(std::optional<Device> d) const { return with(&TensorOptions::device_, std::move(d)); }
    TensorOptions device(DeviceType type, DeviceIndex index = -1) const { return device(std::make_optional<Device>(type, index)); }
    TensorOptions requires_grad(std::optional<bool> on) const { return with(&TensorOptions::requires_grad_, on); }
    TensorOptions layout(Layout) const { return *this; }
    /// Memory is pageable always; the tensor is the same.
    TensorOptions pinned_memory(bool) const { return *this; }
    TypeMeta dtype() const { return dtype_.value_or(static_cast<ScalarType>(taper_get_default_dtype())); }
    Device device() const { return device_.value_or(Device(kCPU)); }
    bool requires_grad() const { return requires_grad_.value_or(false); }
    bool has_dtype() const { return dtype_.has_value(); }
    bool has_device() const { return device_.has_value(); }
    const std::optional<ScalarType> &dtype_opt() const { return dtype_; }
    const std::optional<Device> &device_opt() const { return device_; }
    /// A new tensor with what is left to do: whether it requires a gradient.
    template <class T> T finish(T t) const {
        if (requires_grad()) {
            t.requires_grad_(true);
        }
        return t;
    }

  private:
    template <class M, class V> TensorOptions with(M member, V value) const {
        TensorOptions o = *this;
        o.*member = std::move(value);
        return o;
    }
    std::optional<ScalarType> dtype_;
    std::optional<Device> device_;
    std::optional<bool> requires_grad_;
};
inline TensorOptions dtype(ScalarType t) { return TensorOptions(t); }
inline TensorOptions dtype(const TypeMeta &t) { return TensorOptions(t); }
inline TensorOptions device(const Device &d) { return TensorOptions(d); }
inline TensorOptions layout(Layout) { return {}; }
inline TensorOptions requires_grad(bool on = true) { return TensorOptions().requires_grad(on); }

using Generator = taper::Generator;
/// Seeds the default generator; the numbers are PyTorch's.
inline void manual_seed(uint64_t seed) { taper::manual_seed(seed); }
inline void set_num_threads(int n) { taper::set_num_threads(n); }
inline int get_num_threads() { return taper::num_threads(); }

using NoGradGuard = taper::NoGrad;
using AutoGradMode = taper::GradMode;
using InferenceMode = taper::InferenceMode;
struct GradMode {
    static bool is_enabled() { return taper_grad_mode_enabled(); }
    static void set_enabled(bool on) { taper_set_grad_mode(on); }
};

namespace detail {
using namespace taper::detail;
using taper::detail::raw;
inline int32_t raw(std::optional<ScalarType> t) { return t ? static_cast<int32_t>(*t) : TAPER_DTYPE_NONE; }
inline taper_device raw(const std::optional<Device> &d) { return d ? d->raw() : taper_device{0, 0}; }
template <class... A> std::string joined(const A &...a) {
    std::ostringstream o;
    (o << ... << a);
    return o.str();
}
/// What TORCH_CHECK throws.
template <class E = taper::RuntimeError, class... A> [[noreturn]] void fail(const char *condition, const A &...a) {
    std::string text = joined(a...);
    throw E(TAPER_ERROR_RUNTIME, text.empty() ? std::string("Expected ") + condition + " to be true, but got false." : text);
}
} // namespace detail

namespace cuda {
inline size_t device_count() {
    int32_t n = 0;
    taper::detail::check(taper_device_count(TAPER_DEVICE_CUDA, &n));
    return n < 0 ? 0 : static_cast<size_t>(n);
}
inline bool is_available() { return device_count() > 0; }
/// cuDNN is used where it is found.
inline bool cudnn_is_available() { return is_available(); }
/// Waits for what is queued on the device.
inline void synchronize(int64_t index = 0) {
    taper::detail::check(taper_synchronize(taper_device{TAPER_DEVICE_CUDA, static_cast<int32_t>(index < 0 ? 0 : index)}));
}
inline void manual_seed(uint64_t seed) { taper::manual_seed(seed); }
inline void manual_seed_all(uint64_t seed) { taper::manual_seed(seed); }
} // namespace cuda

} // namespace torch

namespace at = torch;
namespace c10 = torch;

#define TORCH_CHECK(condition, ...)                                                                                   \
    do {                                                                                                              \
        if (!(condition)) {                                                                                           \
            ::torch::detail::fail(#condition, ##__VA_ARGS__);                                                         \
        }                                                                                                             \
    } while (false)
#define TORCH_INTERNAL_ASSERT(...) TORCH_CHECK(__VA_ARGS__)
#define TORCH_CHECK_INDEX(condition, ...)                                                                             \
    do {                                                                                                              \
        if (!(condition)) {                                                                                           \
            ::torch::detail::fail<::torch::IndexError>(#condition, ##__VA_ARGS__);                                    \
        }                                                                                                             \
    } while (false)
#define AT_ASSERT(...) TORCH_CHECK(__VA_ARGS__)
#define AT_ERROR(...) ::torch::detail::fail("", __VA_ARGS__)
#define TORCH_ARG(T, name)                                                                                            \
  public:                                                                                                             \
    inline auto name(const T &new_##name)->decltype(*this) { /* NOLINT */                                             \
        this->name##_ = new_##name;                                                                                   \
        return *this;                                                                                                 \
    }                                                                                                                 \
    inline auto name(T &&new_##name)->decltype(*this) {                                                               \
        this->name##_ = std::move(new_##name);                                                                        \
        return *this;                                                                                                 \
    }                                                                                                                 \
    inline const T &name() const noexcept { return this->name##_; }                                                   \
    inline T &name() noexcept { return this->name##_; }                                                               \
                                                                                                                      \
  private:                                                                                                            \
    T name##_

#endif
