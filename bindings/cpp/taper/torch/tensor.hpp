/// torch::Tensor with libtorch's methods, and the functions of `torch`.
#ifndef TAPER_TORCH_TENSOR_HPP
#define TAPER_TORCH_TENSOR_HPP

#include "../tensor.hpp"
#include "core.hpp"

#include <cmath>
#include <iomanip>
#include <map>

namespace torch {
class Tensor;
} // namespace torch
namespace taper {
namespace detail {
// What views give: assigning to a result writes to it already.
template <> struct ViewOf<torch::Tensor> {
    using One = torch::Tensor;
    using List = std::vector<torch::Tensor>;
};
} // namespace detail
} // namespace taper

namespace torch {

using TensorList = std::vector<Tensor>;
namespace detail {
using taper::detail::ViewOf;
/// The op table's methods; libtorch's numbers, sizes and types stand where theirs are named.
template <class T> class TensorOps {
    taper_tensor *raw_handle() const { return static_cast<const T *>(this)->handle(); }

  public:
#define TAPER_OPS_METHODS
#include "../ops_gen.hpp"
#undef TAPER_OPS_METHODS
};
/// The elements of a CPU tensor, dimension by dimension.
template <class T, size_t N> class Accessor {
  public:
    Accessor(T *data, const int64_t *sizes, const int64_t *strides) : data_(data), sizes_(sizes), strides_(strides) {}
    decltype(auto) operator[](int64_t i) const {
        if constexpr (N == 1) {
            return static_cast<T &>(data_[i * strides_[0]]);
        } else {
            return Accessor<T, N - 1>(data_ + i * strides_[0], sizes_ + 1, strides_ + 1);
        }
    }
    int64_t size(int64_t d) const { return sizes_[d]; }
    int64_t stride(int64_t d) const { return strides_[d]; }
    T *data() const { return data_; }

  private:
    T *data_;
    const int64_t *sizes_, *strides_;
};
} // namespace detail

namespace indexing {
inline constexpr std::nullopt_t None = std::nullopt;
struct EllipsisIndexType {};
inline constexpr EllipsisIndexType Ellipsis{};
/// start:stop:step; None leaves one out.
struct Slice {
    std::optional<int64_t> start, stop, step;
    Slice(std::optional<int64_t> from = std::nullopt, std::optional<int64_t> to = std::nullopt,
          std::optional<int64_t> by = std::nullopt)
        : start(from), stop(to), step(by) {}
};
class TensorIndex;
} // namespace indexing

/// An n-dimensional array; a copy is another name for the same tensor. Assigning to a result writes to it: x[0] = y.
class Tensor : public detail::TensorOps<Tensor> {
    using Ops = detail::TensorOps<Tensor>;

  public:
    Tensor() = default;
    Tensor(const Tensor &) = default;
    Tensor(Tensor &&) noexcept = default;
    ~Tensor() = default;
    Tensor &operator=(const Tensor &) & = default;
    Tensor &operator=(Tensor &&) & noexcept = default;
    Tensor &operator=(const Tensor &o) && {
        copy_(o);
        return *this;
    }
    Tensor &operator=(Tensor &&o) && {
        copy_(o);
        return *this;
    }
    Tensor &operator=(const Scalar &v) && {
        fill_(v);
        return *this;
    }
    /// Takes over a handle of the C interface.
    static Tensor adopt(taper_tensor *t) {
        Tensor out;
        if (t) {
            out.h_.reset(t, [](taper_tensor *x) { taper_tensor_free(x); });
        }
        return out;
    }
    static Tensor borrow(taper_tensor *t) {
        if (!t) {
            return {};
        }
        taper_tensor *mine = nullptr;
        detail::check(taper_tensor_ref(t, &mine));
        return adopt(mine);
    }
    /// The same tensor of Taper's own interface, and back.
    static Tensor from(const taper::Tensor &t) { return borrow(t.handle()); }
    taper::Tensor taper() const { return taper::Tensor::borrow(handle()); }
    taper_tensor *handle() const noexcept { return h_.get(); }
    taper_tensor *release_copy() const {
        taper_tensor *t = nullptr;
        if (h_) {
            detail::check(taper_tensor_ref(h_.get(), &t));
        }
        return t;
    }
    bool defined() const noexcept { return static_cast<bool>(h_); }
    void reset() { h_.reset(); }
    bool is_same(const Tensor &o) const noexcept { return taper_tensor_id(handle()) == taper_tensor_id(o.handle()); }

    int64_t dim() const {
        const int64_t n = taper_tensor_ndim(handle());
        if (n < 0) {
            throw taper::InvalidHandleError(TAPER_ERROR_INVALID_HANDLE, "the tensor is undefined: it was default-made or moved from");
        }
        return n;
    }
    int64_t ndimension() const { return dim(); }
    IntArrayRef sizes() const { return list(taper_tensor_sizes); }
    IntArrayRef strides() const { return list(taper_tensor_strides); }
    int64_t size(int64_t d) const {
        const int64_t n = taper_tensor_size(handle(), d);
        if (n < 0) {
            const int64_t rank = dim();
            throw IndexError(TAPER_ERROR_INDEX, "Dimension out of range (expected to be in range of [-" +
                                                    std::to_string(rank) + ", " + std::to_string(rank - 1) +
                                                    "], but got " + std::to_string(d) + ")");
        }
        return n;
    }
    int64_t stride(int64_t d) const { return strides().at(static_cast<size_t>(d < 0 ? d + dim() : d)); }
    int64_t numel() const {
        dim();
        return taper_tensor_numel(handle());
    }
    ScalarType scalar_type() const {
        dim();
        return static_cast<ScalarType>(taper_tensor_dtype(handle()));
    }
    TypeMeta dtype() const { return scalar_type(); }
    Device device() const {
        dim();
        return Device(taper_tensor_device(handle()));
    }
    Layout layout() const { return kStrided; }
    TensorOptions options() const { return TensorOptions().dtype(scalar_type()).device(device()); }
    bool is_cuda() const { return device().is_cuda(); }
    bool is_cpu() const { return device().is_cpu(); }
    bool is_floating_point() const { return isFloatingType(scalar_type()); }
    int64_t element_size() const { return elementSize(scalar_type()); }
    size_t itemsize() const { return static_cast<size_t>(element_size()); }
    size_t nbytes() const { return static_cast<size_t>(numel()) * itemsize(); }
    int64_t storage_offset() const {
        dim();
        return taper_tensor_storage_offset(handle());
    }
    bool is_contiguous() const { return taper_tensor_is_contiguous(handle()) == 1; }
    /// Like "CPUFloatType".
    std::string toString() const {
        const Device d = device();
        return std::string(d.is_cpu() ? "CPU" : d.is_cuda() ? "CUDA" : "OPENCL") + torch::toString(scalar_type()) + "Type";
    }

    /// The one element of a tensor with exactly one.
    Scalar item() const {
        taper_scalar s{};
        detail::check(taper_tensor_item(handle(), &s));
        return Scalar::from_raw(s);
    }
    template <class T> T item() const { return item().template to<T>(); }
    /// Memory of a CPU tensor; T is the element type.
    template <class T> T *data_ptr() const {
        if (scalar_type() != static_cast<ScalarType>(detail::dtype_of<std::remove_const_t<T>>())) {
            throw taper::RuntimeError(TAPER_ERROR_RUNTIME,
                                      std::string("expected scalar type ") +
                                          torch::toString(static_cast<ScalarType>(detail::dtype_of<std::remove_const_t<T>>())) +
                                          " but found " + torch::toString(scalar_type()));
        }
        return static_cast<T *>(data_ptr());
    }
    void *data_ptr() const {
        void *p = nullptr;
        detail::check(taper_tensor_data(handle(), &p));
        return p;
    }
    template <class T> const T *const_data_ptr() const { return data_ptr<T>(); }
    template <class T> T *mutable_data_ptr() const { return data_ptr<T>(); }
    /// Elements of a CPU tensor by index: auto a = x.accessor<float, 2>(); a[0][1].
    template <class T, size_t N> auto accessor() const & {
        if (dim() != static_cast<int64_t>(N)) {
            throw taper::RuntimeError(TAPER_ERROR_RUNTIME, "TensorAccessor expected " + std::to_string(N) + " dims but tensor has " +
                                                               std::to_string(dim()));
        }
        // The numbers live as long as the accessor's copies.
        struct Owner {
            IntArrayRef sizes, strides;
        };
        struct Held : detail::Accessor<T, N> {
            Held(T *p, std::shared_ptr<const Owner> o)
                : detail::Accessor<T, N>(p, o->sizes.data(), o->strides.data()), owner(std::move(o)) {}
            std::shared_ptr<const Owner> owner;
        };
        return Held(data_ptr<T>(), std::make_shared<const Owner>(Owner{sizes(), strides()}));
    }

    bool requires_grad() const { return taper_tensor_requires_grad(handle()) == 1; }
    const Tensor &requires_grad_(bool on = true) const {
        detail::check(taper_tensor_set_requires_grad(handle(), on));
        return *this;
    }
    const Tensor &set_requires_grad(bool on) const { return requires_grad_(on); }
    bool is_leaf() const { return taper_tensor_is_leaf(handle()) == 1; }
    Tensor grad() const {
        taper_tensor *g = nullptr;
        detail::check(taper_tensor_grad(handle(), &g));
        return adopt(g);
    }
    /// The gradient, which may be assigned: p.mutable_grad() = g.
    class Gradient;
    Gradient mutable_grad() const;
    void set_data(const Tensor &src) const { detail::check(taper_tensor_set_data(handle(), src.handle())); }
    /// The same memory outside the graph.
    Tensor data() const { return detach(); }
    Tensor variable_data() const { return detach(); }
    Tensor tensor_data() const { return detach(); }
    void retain_grad() const { detail::check(taper_tensor_retain_grad(handle())); }
    void backward(const Tensor &gradient = {}, std::optional<bool> retain_graph = std::nullopt, bool create_graph = false) const {
        taper_tensor *t = handle(), *g = gradient.handle();
        detail::check(taper_backward(&t, 1, &g, 1, retain_graph.value_or(create_graph), create_graph, nullptr, 0));
    }
    /// Calls f with the gradient in backward; a tensor that f returns replaces it.
    template <class F> unsigned register_hook(F f) const {
        return static_cast<unsigned>(taper().register_hook([f = std::move(f)](const taper::Tensor &g) -> taper::Tensor {
            if constexpr (std::is_void_v<decltype(f(Tensor()))>) {
                f(Tensor::from(g));
                return {};
            } else {
                return Tensor(f(Tensor::from(g))).taper();
            }
        }));
    }
    void remove_hook(unsigned id) const { detail::check(taper_tensor_remove_hook(handle(), id)); }

    Tensor to(const Device &d, ScalarType t, bool = false, bool copy = false) const { return Ops::to(t, d, copy); }
    Tensor to(const Device &d, bool = false, bool copy = false) const { return Ops::to(std::nullopt, d, copy); }
    Tensor to(DeviceType d, bool = false, bool copy = false) const { return to(Device(d), false, copy); }
    Tensor to(DeviceType d, ScalarType t, bool = false, bool copy = false) const { return to(Device(d), t, false, copy); }
    Tensor to(ScalarType t, bool = false, bool copy = false) const { return Ops::to(t, std::nullopt, copy); }
    Tensor to(const TypeMeta &t) const { return to(t.toScalarType()); }
    Tensor to(const TensorOptions &o, bool = false, bool copy = false) const { return Ops::to(o.dtype_opt(), o.device_opt(), copy); }
    Tensor to(const Tensor &like) const { return to(like.device(), like.scalar_type()); }
    Tensor toType(ScalarType t) const { return to(t); }
    Tensor cpu() const { return to(kCPU); }
    Tensor cuda() const { return to(kCUDA); }
    Tensor contiguous(MemoryFormat = MemoryFormat::Contiguous) const { return Ops::contiguous(); }
    Tensor clone(std::optional<MemoryFormat> = std::nullopt) const { return Ops::clone(); }

    Tensor operator[](int64_t i) const { return select(0, i); }
    Tensor operator[](const Scalar &i) const { return select(0, i.toLong()); }
    Tensor operator[](const Tensor &i) const;
    Tensor index(const std::vector<indexing::TensorIndex> &items) const;
    Tensor index(std::initializer_list<indexing::TensorIndex> items) const;
    Tensor index_put_(const std::vector<indexing::TensorIndex> &items, const Tensor &value) const;
    Tensor index_put_(const std::vector<indexing::TensorIndex> &items, const Scalar &value) const;
    Tensor index_put_(std::initializer_list<indexing::TensorIndex> items, const Tensor &value) const;
    Tensor index_put_(std::initializer_list<indexing::TensorIndex> items, const Scalar &value) const;

    Tensor operator-() const { return neg(); }
    Tensor operator~() const { return bitwise_not(); }
#define TAPER_COMPOUND(op, method)                                                                                     \
    const Tensor &operator op(const Tensor &o) const {                                                                \
        method(o);                                                                                                    \
        return *this;                                                                                                 \
    }                                                                                                                 \
    const Tensor &operator op(const Scalar &o) const {                                                                \
        method(o);                                                                                                    \
        return *this;                                                                                                 \
    }
    TAPER_COMPOUND(+=, add_)
    TAPER_COMPOUND(-=, sub_)
    TAPER_COMPOUND(*=, mul_)
    TAPER_COMPOUND(/=, div_)
#undef TAPER_COMPOUND
    inline void print() const;

  private:
    template <class F> IntArrayRef list(F read) const {
        std::vector<int64_t> v(static_cast<size_t>(dim()));
        size_t n = 0;
        detail::check(read(handle(), v.data(), v.size(), &n));
        return v;
    }
    std::shared_ptr<taper_tensor> h_;
};

class Tensor::Gradient : public Tensor {
  public:
    explicit Gradient(const Tensor &of) : Tensor(of.grad()), of_(of) {}
    Gradient(const Gradient &) = default;
    void operator=(const Tensor &g) { detail::check(taper_tensor_set_grad(of_.handle(), g.handle())); }
    void operator=(const Gradient &g) { *this = static_cast<const Tensor &>(g); }
    void reset() { detail::check(taper_tensor_set_grad(of_.handle(), nullptr)); }

  private:
    Tensor of_;
};
inline Tensor::Gradient Tensor::mutable_grad() const { return Gradient(*this); }

#define TAPER_BINARY(op, method)                                                                                      \
    inline Tensor operator op(const Tensor &a, const Tensor &b) { return a.method(b); }                               \
    inline Tensor operator op(const Tensor &a, const Scalar &b) { return a.method(b); }
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
    inline Tensor operator op(const Scalar &a, const Tensor &b) { return expression; }
TAPER_REFLECTED(+, b.add(a))
TAPER_REFLECTED(-, b.rsub(a))
TAPER_REFLECTED(*, b.mul(a))
TAPER_REFLECTED(/, b.reciprocal().mul(a))
TAPER_REFLECTED(==, b.eq(a))
TAPER_REFLECTED(!=, b.ne(a))
TAPER_REFLECTED(<, b.gt(a))
TAPER_REFLECTED(<=, b.ge(a))
TAPER_REFLECTED(>, b.lt(a))
TAPER_REFLECTED(>=, b.le(a))
#undef TAPER_REFLECTED
inline Tensor operator!(const Tensor &t) { return t.logical_not(); }

using TensorView = Tensor;
using TensorViews = std::vector<Tensor>;
#define TAPER_OPS_OPTIONS
#define TAPER_OPS_FUNCTIONS
#include "../ops_gen.hpp"
#undef TAPER_OPS_FUNCTIONS
#undef TAPER_OPS_OPTIONS

namespace detail {
/// Nested lists of numbers, as torch::tensor takes them. The first number's kind is that of all.
class TensorData {
  public:
    template <class T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0> TensorData(T v) { put(v); }
    TensorData(std::initializer_list<TensorData> list) { add_all(list.begin(), list.end()); }
    template <class T> TensorData(const std::vector<T> &list) : sizes_{static_cast<int64_t>(list.size())} {
        kind_ = kind_of<T>();
        for (const T v : list) {
            keep(v);
        }
    }
    Tensor make(const TensorOptions &o) const {
        const ScalarType natural = kind_ == Kind::Float ? static_cast<ScalarType>(taper_get_default_dtype())
                                   : kind_ == Kind::Bool ? kBool
                                                         : kLong;
        const bool is_float = kind_ == Kind::Float;
        const void *data = is_float ? static_cast<const void *>(floats_.data()) : ints_.data();
        taper_tensor *t = nullptr;
        check(taper_tensor_from_data(data, sizes_.data(), sizes_.size(), is_float ? TAPER_FLOAT64 : TAPER_INT64,
                                     taper_device{TAPER_DEVICE_CPU, 0}, &t));
        const NoGradGuard guard;
        return o.finish(Tensor::adopt(t).to(TensorOptions(o.dtype_opt().value_or(natural)).device(o.device_opt())));
    }

  private:
    enum class Kind { Bool, Int, Float };
    template <class T> static constexpr Kind kind_of() {
        return std::is_same_v<T, bool> ? Kind::Bool : std::is_floating_point_v<T> ? Kind::Float : Kind::Int;
    }
    template <class T> void put(T v) {
        kind_ = kind_of<T>();
        keep(v);
    }
    template <class T> void keep(T v) {
        if constexpr (std::is_floating_point_v<T>) {
            floats_.push_back(static_cast<double>(v));
        } else {
            ints_.push_back(static_cast<int64_t>(v));
        }
    }
    template <class I> void add_all(I from, I to) {
        sizes_ = {static_cast<int64_t>(to - from)};
        kind_ = Kind::Float;
        for (I i = from; i != to; ++i) {
            if (i == from) {
                kind_ = i->kind_;
                sizes_.insert(sizes_.end(), i->sizes_.begin(), i->sizes_.end());
            } else if (!std::equal(i->sizes_.begin(), i->sizes_.end(), sizes_.begin() + 1, sizes_.end())) {
                throw ValueError(TAPER_ERROR_VALUE, joined("Expected all sub-lists to have sizes: ", rest(),
                                                           ", but got sub-list with sizes: ", IntArrayRef(i->sizes_)));
            } else if (i->kind_ != kind_) {
                throw TypeError(TAPER_ERROR_TYPE, "Expected all elements of the tensor to have the same scalar type");
            }
            floats_.insert(floats_.end(), i->floats_.begin(), i->floats_.end());
            ints_.insert(ints_.end(), i->ints_.begin(), i->ints_.end());
        }
    }
    IntArrayRef rest() const { return std::vector<int64_t>(sizes_.begin() + 1, sizes_.end()); }
    std::vector<int64_t> sizes_;
    std::vector<double> floats_;
    std::vector<int64_t> ints_;
    Kind kind_ = Kind::Float;
};
} // namespace detail
/// torch::tensor({{1, 2}, {3, 4}}, torch::kFloat32): ints become kLong, floating numbers the default float type.
inline Tensor tensor(const detail::TensorData &data, const TensorOptions &options = {}) { return data.make(options); }
inline Tensor scalar_tensor(const Scalar &v, const TensorOptions &options = {}) { return full(IntArrayRef(), v, options); }

/// A tensor over the caller's memory; deleter runs when the last tensor that uses it is gone.
inline Tensor from_blob(void *data, const IntArrayRef &sizes, const IntArrayRef &strides, const std::function<void(void *)> &deleter,
                        const TensorOptions &options = {}) {
    if (options.has_device() && !options.device().is_cpu()) {
        throw ValueError(TAPER_ERROR_VALUE, "from_blob: memory of the CPU is needed, but the options say " + options.device().str());
    }
    struct Owner {
        void *data;
        std::function<void(void *)> deleter;
    };
    if (strides.size() != sizes.size() && !strides.empty()) {
        throw ValueError(TAPER_ERROR_VALUE, detail::joined("from_blob: ", sizes.size(), " sizes, but ", strides.size(), " strides"));
    }
    taper_tensor *t = nullptr;
    detail::check(taper_tensor_from_buffer(
        data, sizes.data(), sizes.size(), strides.empty() ? nullptr : strides.data(),
        static_cast<int32_t>(options.dtype().toScalarType()),
        [](void *user) {
            const std::unique_ptr<Owner> owner(static_cast<Owner *>(user));
            if (owner->deleter) {
                owner->deleter(owner->data);
            }
        },
        new Owner{data, deleter}, &t));
    return options.finish(Tensor::adopt(t));
}
inline Tensor from_blob(void *data, const IntArrayRef &sizes, const std::function<void(void *)> &deleter, const TensorOptions &options = {}) {
    return from_blob(data, sizes, IntArrayRef(), deleter, options);
}
inline Tensor from_blob(void *data, const IntArrayRef &sizes, const IntArrayRef &strides, const TensorOptions &options = {}) {
    return from_blob(data, sizes, strides, nullptr, options);
}
inline Tensor from_blob(void *data, const IntArrayRef &sizes, const TensorOptions &options = {}) {
    return from_blob(data, sizes, IntArrayRef(), nullptr, options);
}

namespace indexing {
/// One item between the brackets of index: a number, Slice, None, "...", a bool or a tensor.
class TensorIndex {
  public:
    template <class T, std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>, int> = 0>
    TensorIndex(T i) : raw_{TAPER_INDEX_INT, static_cast<int64_t>(i), 0, 1, nullptr} {}
    TensorIndex(bool b) : TensorIndex(torch::tensor(b)) {}
    TensorIndex(const Slice &s)
        : raw_{TAPER_INDEX_SLICE, s.start.value_or(TAPER_INDEX_ABSENT), s.stop.value_or(TAPER_INDEX_ABSENT),
               s.step.value_or(1), nullptr} {}
    TensorIndex(std::nullopt_t) : raw_{TAPER_INDEX_NEWAXIS, 0, 0, 1, nullptr} {}
    TensorIndex(EllipsisIndexType) : raw_{TAPER_INDEX_ELLIPSIS, 0, 0, 1, nullptr} {}
    TensorIndex(const char *text) : TensorIndex(Ellipsis) {
        if (std::string_view(text) != "...") {
            throw ValueError(TAPER_ERROR_VALUE, std::string("Expected \"...\" to represent an ellipsis index, but got \"") + text + "\"");
        }
    }
    TensorIndex(Tensor t) : raw_{TAPER_INDEX_TENSOR, 0, 0, 1, nullptr}, keep_(std::move(t)) { raw_.tensor = keep_.handle(); }
    taper_index_item raw() const noexcept { return raw_; }

  private:
    taper_index_item raw_;
    Tensor keep_;
};
} // namespace indexing
namespace detail {
template <class L> std::vector<taper_index_item> index_items(const L &list) {
    std::vector<taper_index_item> out;
    for (const auto &i : list) {
        out.push_back(i.raw());
    }
    return out;
}
template <class L> Tensor index(const Tensor &t, const L &list) {
    const auto items = index_items(list);
    taper_tensor *out = nullptr;
    check(taper_tensor_index(t.handle(), items.data(), items.size(), &out));
    return Tensor::adopt(out);
}
template <class L> Tensor index_put(const Tensor &t, const L &list, const Tensor &value) {
    const auto items = index_items(list);
    check(taper_tensor_index_put(t.handle(), items.data(), items.size(), value.handle()));
    return t;
}
template <class L> Tensor index_put(const Tensor &t, const L &list, const Scalar &value) {
    const auto items = index_items(list);
    check(taper_tensor_index_fill(t.handle(), items.data(), items.size(), value.raw()));
    return t;
}
} // namespace detail
inline Tensor Tensor::operator[](const Tensor &i) const { return index({i}); }
inline Tensor Tensor::index(const std::vector<indexing::TensorIndex> &l) const { return detail::index(*this, l); }
inline Tensor Tensor::index(std::initializer_list<indexing::TensorIndex> l) const { return detail::index(*this, l); }
inline Tensor Tensor::index_put_(const std::vector<indexing::TensorIndex> &l, const Tensor &v) const { return detail::index_put(*this, l, v); }
inline Tensor Tensor::index_put_(const std::vector<indexing::TensorIndex> &l, const Scalar &v) const { return detail::index_put(*this, l, v); }
inline Tensor Tensor::index_put_(std::initializer_list<indexing::TensorIndex> l, const Tensor &v) const { return detail::index_put(*this, l, v); }
inline Tensor Tensor::index_put_(std::initializer_list<indexing::TensorIndex> l, const Scalar &v) const { return detail::index_put(*this, l, v); }

} // namespace torch

#include "print.hpp"

#endif
