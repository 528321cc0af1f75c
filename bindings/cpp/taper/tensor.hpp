/// Taper for C++17: RAII classes over taper.h, header only.
///
/// Every taper_error becomes a taper::Error (derived from std::runtime_error) that carries code, op and argument.
/// Tensors and modules are shared handles: copying one makes another name for the same object. Threads: as taper.h.
#ifndef TAPER_TENSOR_HPP
#define TAPER_TENSOR_HPP

#include <taper.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace taper {

/// What went wrong: message, code (TAPER_ERROR_...), op and argument index.
class Error : public std::runtime_error {
  public:
    Error(int32_t code, const std::string &message, std::string op = {}, int32_t argument = -1)
        : std::runtime_error(message), code_(code), op_(std::move(op)), argument_(argument) {}
    int32_t code() const noexcept { return code_; }
    const std::string &op() const noexcept { return op_; }
    int32_t argument() const noexcept { return argument_; }

  private:
    int32_t code_;
    std::string op_;
    int32_t argument_;
};
/// TAPER_ERROR_RUNTIME: shapes that do not match, a graph that was freed, a wrong device.
struct RuntimeError : Error {
    using Error::Error;
};
/// TAPER_ERROR_INDEX.
struct IndexError : Error {
    using Error::Error;
};
/// TAPER_ERROR_TYPE.
struct TypeError : Error {
    using Error::Error;
};
/// TAPER_ERROR_VALUE.
struct ValueError : Error {
    using Error::Error;
};
/// TAPER_ERROR_INVALID_HANDLE: an undefined tensor, an object that was moved from.
struct InvalidHandleError : ValueError {
    using ValueError::ValueError;
};
/// TAPER_ERROR_CALLBACK: a callback failed that was not written in C++ (exceptions of C++ come back as themselves).
struct CallbackError : Error {
    using Error::Error;
};
/// TAPER_ERROR_INTERNAL: a bug in Taper.
struct InternalError : Error {
    using Error::Error;
};
/// TAPER_ERROR_OUT_OF_MEMORY.
struct OutOfMemoryError : Error {
    using Error::Error;
};
/// TAPER_ERROR_NOT_IMPLEMENTED.
struct NotImplementedError : Error {
    using Error::Error;
};
/// TAPER_ERROR_IO.
struct IoError : Error {
    using Error::Error;
};
/// TAPER_ERROR_KEY.
struct KeyError : Error {
    using Error::Error;
};

/// Element type; the values are the C interface's.
enum class DType : int32_t {
    U8 = TAPER_UINT8,
    I8 = TAPER_INT8,
    I16 = TAPER_INT16,
    I32 = TAPER_INT32,
    I64 = TAPER_INT64,
    F16 = TAPER_FLOAT16,
    F32 = TAPER_FLOAT32,
    F64 = TAPER_FLOAT64,
    Bool = TAPER_BOOL,
    BF16 = TAPER_BFLOAT16,
};
inline constexpr DType uint8 = DType::U8, int8 = DType::I8, int16 = DType::I16, int32 = DType::I32,
                       int64 = DType::I64, float16 = DType::F16, float32 = DType::F32, float64 = DType::F64,
                       boolean = DType::Bool, bfloat16 = DType::BF16;
inline std::ostream &operator<<(std::ostream &o, DType d) {
    return o << taper_dtype_name(static_cast<int32_t>(d));
}

namespace detail {

/// Exceptions of C++ that travel through the library as an error's payload. An error may also carry a payload that
/// another language made: what is not in here is none of ours.
class Travelling {
  public:
    static void *board(std::exception_ptr e) {
        auto p = std::make_unique<std::exception_ptr>(std::move(e));
        const std::lock_guard<std::mutex> lock(mutex());
        seats().insert(p.get());
        return p.release();
    }
    static std::exception_ptr find(void *p) {
        const std::lock_guard<std::mutex> lock(mutex());
        return seats().count(p) ? *static_cast<std::exception_ptr *>(p) : std::exception_ptr();
    }
    static void leave(void *p) noexcept {
        {
            const std::lock_guard<std::mutex> lock(mutex());
            seats().erase(p);
        }
        delete static_cast<std::exception_ptr *>(p);
    }

  private:
    // Never destroyed: the last error may be freed while the process exits.
    static std::mutex &mutex() {
        static auto *m = new std::mutex;
        return *m;
    }
    static std::set<void *> &seats() {
        static auto *s = new std::set<void *>;
        return *s;
    }
};

[[noreturn]] inline void raise(taper_error *e) {
    struct Free {
        taper_error *e;
        ~Free() { taper_error_free(e); }
    } guard{e};
    const int32_t code = taper_error_code(e);
    // A C++ exception thrown in a callback comes back as itself.
    if (code == TAPER_ERROR_CALLBACK) {
        if (const auto caught = Travelling::find(taper_error_payload(e))) {
            std::rethrow_exception(caught);
        }
    }
    const char *text = taper_error_message(e), *name = taper_error_op(e);
    const std::string message = text ? text : "unknown error", op = name ? name : "";
    const int32_t argument = taper_error_arg(e);
    switch (code) {
    case TAPER_ERROR_INDEX: throw IndexError(code, message, op, argument);
    case TAPER_ERROR_TYPE: throw TypeError(code, message, op, argument);
    case TAPER_ERROR_VALUE: throw ValueError(code, message, op, argument);
    case TAPER_ERROR_INVALID_HANDLE: throw InvalidHandleError(code, message, op, argument);
    case TAPER_ERROR_OUT_OF_MEMORY: throw OutOfMemoryError(code, message, op, argument);
    case TAPER_ERROR_NOT_IMPLEMENTED: throw NotImplementedError(code, message, op, argument);
    case TAPER_ERROR_IO: throw IoError(code, message, op, argument);
    case TAPER_ERROR_KEY: throw KeyError(code, message, op, argument);
    case TAPER_ERROR_CALLBACK: throw CallbackError(code, message, op, argument);
    case TAPER_ERROR_INTERNAL: throw InternalError(code, message, op, argument);
    default: throw RuntimeError(code, message, op, argument);
    }
}
inline void check(taper_error *e) {
    if (e) {
        raise(e);
    }
}
/// The exception in flight as an error for the library.
inline taper_error *capture() noexcept {
    try {
        std::string message = "a C++ callback threw";
        try {
            throw;
        } catch (const std::exception &e) {
            message = e.what();
        } catch (...) { // thrown was something without words
        }
        return taper_error_new(TAPER_ERROR_CALLBACK, message.c_str(), Travelling::board(std::current_exception()),
                               Travelling::leave);
    } catch (...) {
        return taper_error_new(TAPER_ERROR_CALLBACK, "a C++ callback threw, and there was no memory to keep it",
                               nullptr, nullptr);
    }
}
inline std::string take_string(taper_string *s) {
    std::string text(taper_string_data(s), taper_string_len(s));
    taper_string_free(s);
    return text;
}
inline int32_t raw(std::optional<DType> d) { return d ? static_cast<int32_t>(*d) : TAPER_DTYPE_NONE; }

} // namespace detail

struct DeviceInfo;

/// A device: Device::cpu(), Device("opencl:0").
class Device {
  public:
    Device(int32_t type, int32_t index = 0) : raw_{type, index} {}
    /// From "cpu", "cuda", "cuda:1", "opencl:0".
    Device(const char *name) : raw_{0, 0} { detail::check(taper_device_parse(name, &raw_)); }
    Device(const std::string &name) : Device(name.c_str()) {}
    /// The first device whose name, platform, vendor or version contains a text, in any case: Device::find("nvidia").
    /// type is a TAPER_DEVICE_... code, or 0 for any. An Error lists the devices that there are.
    static Device find(const std::string &part_of_name, int32_t type = 0);
    static Device cpu() { return Device(TAPER_DEVICE_CPU); }
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

/// A number that keeps its category (float, integer or bool) in type promotion.
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
    static Scalar from_raw(taper_scalar r) {
        Scalar s(0);
        s.raw_ = r;
        return s;
    }
    taper_scalar raw() const noexcept { return raw_; }
    double to_double() const noexcept {
        return raw_.kind == TAPER_SCALAR_FLOAT ? raw_.f : static_cast<double>(raw_.i);
    }
    int64_t to_int() const noexcept { return raw_.kind == TAPER_SCALAR_FLOAT ? static_cast<int64_t>(raw_.f) : raw_.i; }

  private:
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

/// A generator of random numbers; the default one is seeded by manual_seed.
class Generator {
  public:
    Generator() {
        taper_generator *g = nullptr;
        detail::check(taper_generator_new(&g));
        h_.reset(g, [](taper_generator *x) { taper_generator_free(x); });
    }
    Generator &manual_seed(uint64_t seed) {
        detail::check(taper_generator_manual_seed(h_.get(), seed));
        return *this;
    }
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
    std::shared_ptr<taper_generator> h_;
};
inline void manual_seed(uint64_t seed) { taper_manual_seed(seed); }

namespace detail {
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
template <class T> std::vector<taper_tensor *> handles(const std::vector<T> &v) {
    std::vector<taper_tensor *> out;
    out.reserve(v.size());
    for (const auto &t : v) {
        out.push_back(t.handle());
    }
    return out;
}
/// The tensors of a list, which is freed. Absent ones come as undefined tensors.
template <class T> std::vector<T> adopt_list(taper_tensor_list *l) {
    struct Free {
        taper_tensor_list *l;
        ~Free() { taper_tensor_list_free(l); }
    } guard{l};
    std::vector<T> out;
    const size_t n = taper_tensor_list_len(l);
    out.reserve(n);
    for (size_t i = 0; i < n; ++i) {
        taper_tensor *t = nullptr;
        check(taper_tensor_list_get(l, i, &t));
        out.push_back(T::adopt(t));
    }
    return out;
}

/// The op table's methods, for the class `T` that has handle().
template <class T> class TensorOps {
    taper_tensor *raw_handle() const { return static_cast<const T *>(this)->handle(); }

  public:
#define TAPER_OPS_METHODS
#include "ops_gen.hpp"
#undef TAPER_OPS_METHODS
};
} // namespace detail

/// One item between brackets: an integer, Slice, None (new axis), Ellipsis, or an index tensor.
struct Slice {
    std::optional<int64_t> start, stop;
    int64_t step;
    Slice(std::optional<int64_t> from = std::nullopt, std::optional<int64_t> to = std::nullopt, int64_t by = 1)
        : start(from), stop(to), step(by) {}
};
struct NewAxis {};
struct Ellipsis {};
inline constexpr NewAxis None{};
inline constexpr Ellipsis All{};
class Index;
namespace autograd {
class Node;
}

/// An n-dimensional array; a copy is another name for the same tensor. A default-made one is undefined ("no tensor").
class Tensor : public detail::TensorOps<Tensor> {
  public:
    Tensor() = default;
    /// Takes over a handle of the C interface.
    static Tensor adopt(taper_tensor *t) {
        Tensor out;
        if (t) {
            out.h_.reset(t, [](taper_tensor *x) { taper_tensor_free(x); });
        }
        return out;
    }
    /// Another handle for a borrowed one.
    static Tensor borrow(taper_tensor *t) {
        if (!t) {
            return {};
        }
        taper_tensor *mine = nullptr;
        detail::check(taper_tensor_ref(t, &mine));
        return adopt(mine);
    }
    taper_tensor *handle() const noexcept { return h_.get(); }
    /// A handle of its own, for a callback that gives it away.
    taper_tensor *release_copy() const {
        if (!h_) {
            return nullptr;
        }
        taper_tensor *t = nullptr;
        detail::check(taper_tensor_ref(h_.get(), &t));
        return t;
    }
    bool defined() const noexcept { return static_cast<bool>(h_); }
    explicit operator bool() const noexcept { return defined(); }
    bool is_same(const Tensor &o) const noexcept { return taper_tensor_id(handle()) == taper_tensor_id(o.handle()); }

    std::vector<int64_t> sizes() const {
        std::vector<int64_t> s(static_cast<size_t>(dim()));
        size_t n = 0;
        detail::check(taper_tensor_sizes(handle(), s.data(), s.size(), &n));
        return s;
    }
    std::vector<int64_t> strides() const {
        std::vector<int64_t> s(static_cast<size_t>(dim()));
        size_t n = 0;
        detail::check(taper_tensor_strides(handle(), s.data(), s.size(), &n));
        return s;
    }
    int64_t dim() const {
        const int64_t n = taper_tensor_ndim(handle());
        if (n < 0) {
            throw InvalidHandleError(TAPER_ERROR_INVALID_HANDLE, "the tensor is undefined: it was default-made or moved from");
        }
        return n;
    }
    /// Size of one dimension, which may count from the end.
    int64_t size(int64_t d) const {
        const int64_t n = taper_tensor_size(handle(), d);
        if (n < 0) {
            throw IndexError(TAPER_ERROR_INDEX, "Dimension out of range (expected to be in range of [-" +
                                                    std::to_string(dim()) + ", " + std::to_string(dim() - 1) +
                                                    "], but got " + std::to_string(d) + ")");
        }
        return n;
    }
    int64_t numel() const {
        dim();
        return taper_tensor_numel(handle());
    }
    DType dtype() const {
        dim();
        return static_cast<DType>(taper_tensor_dtype(handle()));
    }
    Device device() const {
        dim();
        const taper_device d = taper_tensor_device(handle());
        return Device(d.type, d.index);
    }
    bool is_contiguous() const { return taper_tensor_is_contiguous(handle()) == 1; }

    /// The one element of a tensor with exactly one.
    template <class T = double> T item() const {
        taper_scalar s{};
        detail::check(taper_tensor_item(handle(), &s));
        if (s.kind == TAPER_SCALAR_FLOAT) {
            return static_cast<T>(s.f);
        }
        return static_cast<T>(s.i);
    }
    /// All elements row-major, converted to T (one of int8_t .. int64_t, uint8_t, float, double).
    template <class T> std::vector<T> to_vector() const;
    /// Host memory of a CPU tensor; the tensor is flagged as shared.
    template <class T> T *data() const;

    bool requires_grad() const { return taper_tensor_requires_grad(handle()) == 1; }
    Tensor &requires_grad_(bool on = true) {
        detail::check(taper_tensor_set_requires_grad(handle(), on));
        return *this;
    }
    bool is_leaf() const { return taper_tensor_is_leaf(handle()) == 1; }
    /// The accumulated gradient; undefined when there is none.
    Tensor grad() const {
        taper_tensor *g = nullptr;
        detail::check(taper_tensor_grad(handle(), &g));
        return adopt(g);
    }
    void set_grad(const Tensor &g) const { detail::check(taper_tensor_set_grad(handle(), g.handle())); }
    void set_data(const Tensor &src) const { detail::check(taper_tensor_set_data(handle(), src.handle())); }
    void retain_grad() const { detail::check(taper_tensor_retain_grad(handle())); }
    /// Computes gradients and adds them to the leaves' grad.
    void backward(const Tensor &gradient = {}, bool retain_graph = false, bool create_graph = false) const {
        taper_tensor *t = handle(), *g = gradient.handle();
        detail::check(taper_backward(&t, 1, &g, 1, retain_graph, create_graph, nullptr, 0));
    }
    /// Calls f with the gradient during backward; a defined result replaces it. Gives the id for remove_hook.
    uint64_t register_hook(std::function<Tensor(const Tensor &)> f) const;
    /// Calls f with this leaf after backward has added to its grad. Gives the id for remove_hook.
    uint64_t register_post_accumulate_grad_hook(std::function<void(const Tensor &)> f) const;
    /// The graph node that made the tensor; an undefined one for a leaf. (autograd.hpp)
    autograd::Node grad_fn() const;
    void remove_hook(uint64_t id) const { detail::check(taper_tensor_remove_hook(handle(), id)); }

    /// The tensor on another device.
    Tensor to(const Device &d) const { return TensorOps::to(std::nullopt, d); }
    Tensor to(DType d) const { return TensorOps::to(d); }
    using detail::TensorOps<Tensor>::to;

    /// t[0], t[Slice{1, 3}], t[mask]: see also index({..}) for several items.
    Tensor operator[](const Index &i) const;
    Tensor index(std::initializer_list<Index> items) const;
    void index_put(std::initializer_list<Index> items, const Tensor &value) const;
    void index_put(std::initializer_list<Index> items, Scalar value) const;
    using detail::TensorOps<Tensor>::index;
    using detail::TensorOps<Tensor>::index_put;

    /// The text that PyTorch prints.
    std::string str() const {
        taper_string *s = nullptr;
        detail::check(taper_tensor_to_string(handle(), &s));
        return detail::take_string(s);
    }

    Tensor operator-() const { return neg(); }
    Tensor operator~() const { return bitwise_not(); }
    Tensor &operator+=(const Tensor &o) { return add_(o); }
    Tensor &operator+=(Scalar o) { return add_(o); }
    Tensor &operator-=(const Tensor &o) { return sub_(o); }
    Tensor &operator-=(Scalar o) { return sub_(o); }
    Tensor &operator*=(const Tensor &o) { return mul_(o); }
    Tensor &operator*=(Scalar o) { return mul_(o); }
    Tensor &operator/=(const Tensor &o) { return div_(o); }
    Tensor &operator/=(Scalar o) { return div_(o); }

  private:
    std::shared_ptr<taper_tensor> h_;
};
inline std::ostream &operator<<(std::ostream &o, const Tensor &t) { return o << t.str(); }

#define TAPER_BINARY(op, method)                                                                                      \
    inline Tensor operator op(const Tensor &a, const Tensor &b) { return a.method(b); }                               \
    template <class S, std::enable_if_t<std::is_arithmetic_v<S>, int> = 0>                                            \
    Tensor operator op(const Tensor &a, S b) {                                                                        \
        return a.method(Scalar(b));                                                                                   \
    }
TAPER_BINARY(+, add)
TAPER_BINARY(-, sub)
TAPER_BINARY(*, mul)
TAPER_BINARY(/, div)
TAPER_BINARY(%, remainder)
TAPER_BINARY(==, eq)
TAPER_BINARY(!=, ne)
TAPER_BINARY(<, lt)
TAPER_BINARY(<=, le)
TAPER_BINARY(>, gt)
TAPER_BINARY(>=, ge)
TAPER_BINARY(&, bitwise_and)
TAPER_BINARY(|, bitwise_or)
TAPER_BINARY(^, bitwise_xor)
#undef TAPER_BINARY
#define TAPER_REFLECTED(op, expression)                                                                               \
    template <class S, std::enable_if_t<std::is_arithmetic_v<S>, int> = 0>                                            \
    Tensor operator op(S a, const Tensor &b) {                                                                        \
        return expression;                                                                                            \
    }
TAPER_REFLECTED(+, b.add(Scalar(a)))
TAPER_REFLECTED(-, b.rsub(Scalar(a)))
TAPER_REFLECTED(*, b.mul(Scalar(a)))
TAPER_REFLECTED(/, b.rdiv(Scalar(a)))
#undef TAPER_REFLECTED

/// One item between brackets.
class Index {
  public:
    template <class T, std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>, int> = 0>
    Index(T i) : raw_{TAPER_INDEX_INT, static_cast<int64_t>(i), 0, 1, nullptr} {}
    Index(const Slice &s)
        : raw_{TAPER_INDEX_SLICE, s.start.value_or(TAPER_INDEX_ABSENT), s.stop.value_or(TAPER_INDEX_ABSENT), s.step,
               nullptr} {}
    Index(NewAxis) : raw_{TAPER_INDEX_NEWAXIS, 0, 0, 1, nullptr} {}
    Index(Ellipsis) : raw_{TAPER_INDEX_ELLIPSIS, 0, 0, 1, nullptr} {}
    Index(Tensor t) : raw_{TAPER_INDEX_TENSOR, 0, 0, 1, nullptr}, keep_(std::move(t)) { raw_.tensor = keep_.handle(); }
    taper_index_item raw() const noexcept { return raw_; }

  private:
    taper_index_item raw_;
    Tensor keep_;
};

namespace detail {
inline std::vector<taper_index_item> items(std::initializer_list<Index> list) {
    std::vector<taper_index_item> out;
    out.reserve(list.size());
    for (const auto &i : list) {
        out.push_back(i.raw());
    }
    return out;
}
template <class T> constexpr DType dtype_of() {
    if constexpr (std::is_same_v<T, bool>) {
        return DType::Bool;
    } else if constexpr (std::is_floating_point_v<T>) {
        static_assert(sizeof(T) == 4 || sizeof(T) == 8, "float and double only");
        return sizeof(T) == 4 ? DType::F32 : DType::F64;
    } else {
        static_assert(std::is_integral_v<T>, "an arithmetic type is needed");
        static_assert(std::is_signed_v<T> || sizeof(T) == 1, "uint8_t is the only unsigned type");
        return sizeof(T) == 1   ? (std::is_signed_v<T> ? DType::I8 : DType::U8)
               : sizeof(T) == 2 ? DType::I16
               : sizeof(T) == 4 ? DType::I32
                                : DType::I64;
    }
}
/// Runs a callback that may throw; what it throws travels as an error.
template <class F> taper_error *guarded(F &&f) noexcept {
    try {
        f();
        return nullptr;
    } catch (...) {
        return capture();
    }
}
template <class T> void drop_as(void *user) noexcept { delete static_cast<T *>(user); }
inline std::vector<Tensor> borrow_all(taper_tensor *const *t, size_t n) {
    std::vector<Tensor> out;
    out.reserve(n);
    for (size_t i = 0; i < n; ++i) {
        out.push_back(Tensor::borrow(t[i]));
    }
    return out;
}
inline taper_tensor_list *make_list(const std::vector<Tensor> &v) {
    const auto h = handles(v);
    taper_tensor_list *l = nullptr;
    check(taper_tensor_list_new(h.data(), h.size(), &l));
    return l;
}
} // namespace detail

inline Tensor Tensor::operator[](const Index &i) const {
    const taper_index_item item = i.raw();
    taper_tensor *out = nullptr;
    detail::check(taper_tensor_index(handle(), &item, 1, &out));
    return adopt(out);
}
inline Tensor Tensor::index(std::initializer_list<Index> list) const {
    const auto v = detail::items(list);
    taper_tensor *out = nullptr;
    detail::check(taper_tensor_index(handle(), v.data(), v.size(), &out));
    return adopt(out);
}
inline void Tensor::index_put(std::initializer_list<Index> list, const Tensor &value) const {
    const auto v = detail::items(list);
    detail::check(taper_tensor_index_put(handle(), v.data(), v.size(), value.handle()));
}
inline void Tensor::index_put(std::initializer_list<Index> list, Scalar value) const {
    const auto v = detail::items(list);
    detail::check(taper_tensor_index_fill(handle(), v.data(), v.size(), value.raw()));
}
template <class T> std::vector<T> Tensor::to_vector() const {
    static_assert(!std::is_same_v<T, bool>, "read bool tensors as std::vector<uint8_t>");
    constexpr DType want = detail::dtype_of<T>();
    const Tensor t = dtype() == want ? *this : to(want);
    std::vector<T> out(static_cast<size_t>(numel()));
    detail::check(taper_tensor_copy_to_host(t.handle(), out.data(), out.size() * sizeof(T)));
    return out;
}
template <class T> T *Tensor::data() const {
    if (dtype() != detail::dtype_of<T>()) {
        throw TypeError(TAPER_ERROR_TYPE, std::string("data(): the tensor's dtype is ") +
                                              taper_dtype_name(static_cast<int32_t>(dtype())) +
                                              ", which is not the element type asked for");
    }
    void *p = nullptr;
    detail::check(taper_tensor_data(handle(), &p));
    return static_cast<T *>(p);
}
inline uint64_t Tensor::register_hook(std::function<Tensor(const Tensor &)> f) const {
    using F = std::function<Tensor(const Tensor &)>;
    taper_hook_vtable v{};
    v.struct_size = sizeof v;
    v.call = [](void *user, taper_tensor *grad, taper_tensor **out) -> taper_error * {
        return detail::guarded([&] { *out = (*static_cast<F *>(user))(Tensor::borrow(grad)).release_copy(); });
    };
    v.drop = detail::drop_as<F>;
    uint64_t id = 0;
    detail::check(taper_tensor_register_hook(handle(), &v, new F(std::move(f)), &id));
    return id;
}

inline uint64_t Tensor::register_post_accumulate_grad_hook(std::function<void(const Tensor &)> f) const {
    using F = std::function<void(const Tensor &)>;
    taper_hook_vtable v{};
    v.struct_size = sizeof v;
    v.call = [](void *user, taper_tensor *leaf, taper_tensor **) -> taper_error * {
        return detail::guarded([&] { (*static_cast<F *>(user))(Tensor::borrow(leaf)); });
    };
    v.drop = detail::drop_as<F>;
    uint64_t id = 0;
    detail::check(taper_tensor_register_post_accumulate_grad_hook(handle(), &v, new F(std::move(f)), &id));
    return id;
}

#define TAPER_OPS_FUNCTIONS
#include "ops_gen.hpp"
#undef TAPER_OPS_FUNCTIONS

/// A tensor with a copy of row-major data.
template <class T> Tensor from_data(const T *data, const IntList &sizes, std::optional<Device> device = std::nullopt) {
    taper_tensor *t = nullptr;
    detail::check(taper_tensor_from_data(data, sizes.data(), sizes.size(),
                                         static_cast<int32_t>(detail::dtype_of<T>()), detail::raw(device), &t));
    return Tensor::adopt(t);
}
template <class T> Tensor tensor(const std::vector<T> &v, std::optional<IntList> sizes = std::nullopt) {
    const IntList shape = sizes ? *sizes : IntList(static_cast<int64_t>(v.size()));
    int64_t n = 1;
    for (size_t i = 0; i < shape.size(); ++i) {
        n *= shape.data()[i];
    }
    if (n != static_cast<int64_t>(v.size())) {
        throw ValueError(TAPER_ERROR_VALUE, "tensor(): the sizes need " + std::to_string(n) + " elements, but " +
                                                std::to_string(v.size()) + " were given");
    }
    return from_data(v.data(), shape);
}
namespace detail {
/// Integers become int64 and floating numbers the default float32, as a nested list does in PyTorch.
template <class T> using Stored = std::conditional_t<std::is_same_v<T, bool>, uint8_t,
                                                     std::conditional_t<std::is_integral_v<T>, int64_t, float>>;
template <class T> Tensor nested(const std::vector<Stored<T>> &v, IntList shape) {
    Tensor t = from_data(v.data(), shape);
    return std::is_same_v<T, bool> ? t.to(DType::Bool) : t;
}
/// Flattens nested lists, which must agree in length.
template <class T> class NestedList {
  public:
    template <class U> NestedList &add(std::initializer_list<U> list, size_t depth) {
        if (shape_.size() == depth) {
            shape_.push_back(static_cast<int64_t>(list.size()));
        } else if (shape_[depth] != static_cast<int64_t>(list.size())) {
            throw ValueError(TAPER_ERROR_VALUE, "tensor(): expected lists of length " + std::to_string(shape_[depth]) +
                                                    " at depth " + std::to_string(depth) + " as the first, but one has " +
                                                    std::to_string(list.size()));
        }
        for (const auto &item : list) {
            if constexpr (std::is_same_v<U, T>) {
                flat_.push_back(static_cast<Stored<T>>(item));
            } else {
                add(item, depth + 1);
            }
        }
        return *this;
    }
    Tensor make() const { return nested<T>(flat_, IntList(shape_)); }

  private:
    std::vector<Stored<T>> flat_;
    std::vector<int64_t> shape_;
};
} // namespace detail
/// tensor(3.5): a tensor without dimensions.
template <class T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0> Tensor tensor(T v) {
    return detail::nested<T>({static_cast<detail::Stored<T>>(v)}, IntList(std::vector<int64_t>{}));
}
/// tensor({1, 2, 3}).
template <class T> Tensor tensor(std::initializer_list<T> v) {
    return detail::nested<T>({v.begin(), v.end()}, IntList(v.size()));
}
/// tensor({{1, 2}, {3, 4}}).
template <class T> Tensor tensor(std::initializer_list<std::initializer_list<T>> v) {
    return detail::NestedList<T>().add(v, 0).make();
}
/// tensor({{{1, 2}, {3, 4}}, {{5, 6}, {7, 8}}}).
template <class T> Tensor tensor(std::initializer_list<std::initializer_list<std::initializer_list<T>>> v) {
    return detail::NestedList<T>().add(v, 0).make();
}
/// Four levels: images, channels, rows, columns.
template <class T>
Tensor tensor(std::initializer_list<std::initializer_list<std::initializer_list<std::initializer_list<T>>>> v) {
    return detail::NestedList<T>().add(v, 0).make();
}
/// A tensor over the caller's memory, without a copy; `deleter` runs when the last tensor that uses it is gone.
template <class T> Tensor from_buffer(T *data, const IntList &sizes, std::function<void()> deleter = [] {}) {
    using F = std::function<void()>;
    taper_tensor *t = nullptr;
    detail::check(taper_tensor_from_buffer(
        data, sizes.data(), sizes.size(), nullptr, static_cast<int32_t>(detail::dtype_of<T>()),
        [](void *user) {
            std::unique_ptr<F> f(static_cast<F *>(user));
            try {
                (*f)();
            } catch (...) { // a deleter has nobody to tell
            }
        },
        new F(std::move(deleter)), &t));
    return Tensor::adopt(t);
}

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
/// Whether ops on this thread are recorded.
inline bool is_grad_enabled() noexcept { return taper_grad_mode_enabled(); }

/// Tensors by name, in order: what state_dict gives; saved and loaded as safetensors.
class NamedTensors {
  public:
    NamedTensors() {
        taper_named_tensors *n = nullptr;
        detail::check(taper_named_tensors_new(&n));
        set(n);
    }
    static NamedTensors adopt(taper_named_tensors *n) {
        NamedTensors out{Empty{}};
        out.set(n);
        return out;
    }
    static NamedTensors load(const std::string &path, std::optional<Device> device = std::nullopt) {
        taper_named_tensors *n = nullptr;
        detail::check(taper_named_tensors_load(path.c_str(), detail::raw(device), &n));
        return adopt(n);
    }
    void save(const std::string &path) const { detail::check(taper_named_tensors_save(h_.get(), path.c_str())); }
    size_t size() const { return taper_named_tensors_len(h_.get()); }
    std::string name(size_t i) const {
        const char *s = taper_named_tensors_name(h_.get(), i);
        return s ? s : "";
    }
    Tensor operator[](const std::string &name) const {
        taper_tensor *t = nullptr;
        detail::check(taper_named_tensors_get_by_name(h_.get(), name.c_str(), &t));
        return Tensor::adopt(t);
    }
    Tensor at(size_t i) const {
        taper_tensor *t = nullptr;
        detail::check(taper_named_tensors_get(h_.get(), i, &t));
        return Tensor::adopt(t);
    }
    void insert(const std::string &name, const Tensor &t) {
        detail::check(taper_named_tensors_insert(h_.get(), name.c_str(), t.handle()));
    }
    taper_named_tensors *handle() const noexcept { return h_.get(); }
    /// A text that is saved with the tensors.
    void set_metadata(const std::string &key, const std::string &value) {
        detail::check(taper_named_tensors_set_metadata(h_.get(), key.c_str(), value.c_str()));
    }
    std::optional<std::string> metadata(const std::string &key) const {
        taper_string *s = nullptr;
        detail::check(taper_named_tensors_metadata(h_.get(), key.c_str(), &s));
        return s ? std::optional<std::string>(detail::take_string(s)) : std::nullopt;
    }
    /// For range-for: for (const auto &[name, tensor] : named).
    class Iterator {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = std::pair<std::string, Tensor>;
        using difference_type = std::ptrdiff_t;
        using pointer = void;
        using reference = value_type;
        Iterator(const NamedTensors *of, size_t i) : of_(of), i_(i) {}
        value_type operator*() const { return {of_->name(i_), of_->at(i_)}; }
        Iterator &operator++() {
            ++i_;
            return *this;
        }
        bool operator==(const Iterator &o) const { return i_ == o.i_; }
        bool operator!=(const Iterator &o) const { return i_ != o.i_; }

      private:
        const NamedTensors *of_;
        size_t i_;
    };
    Iterator begin() const { return {this, 0}; }
    Iterator end() const { return {this, size()}; }
    /// Pairs of name and tensor.
    std::vector<std::pair<std::string, Tensor>> items() const {
        std::vector<std::pair<std::string, Tensor>> out;
        for (size_t i = 0; i < size(); ++i) {
            out.emplace_back(name(i), at(i));
        }
        return out;
    }

  private:
    struct Empty {};
    explicit NamedTensors(Empty) {}
    void set(taper_named_tensors *n) {
        h_.reset(n, [](taper_named_tensors *x) { taper_named_tensors_free(x); });
    }
    std::shared_ptr<taper_named_tensors> h_;
};

/// Threads that CPU kernels use; results do not depend on it.
inline int32_t num_threads() { return taper_get_num_threads(); }
inline void set_num_threads(int32_t n) { detail::check(taper_set_num_threads(n)); }
/// The dtype of tensors made from floats when none is named.
inline DType default_dtype() { return static_cast<DType>(taper_get_default_dtype()); }
inline void set_default_dtype(DType d) { detail::check(taper_set_default_dtype(static_cast<int32_t>(d))); }
/// The library's version.
inline std::string version() { return taper_version(); }

} // namespace taper

#endif
