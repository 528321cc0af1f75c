/// Taper for C++17: RAII classes over taper.h, header only.
///
/// Every taper_error becomes a taper::Error (derived from std::runtime_error) that carries code, op and argument.
/// Tensors and modules are shared handles: copying one makes another name for the same object. Threads: as taper.h.
#ifndef TAPER_TENSOR_HPP
#define TAPER_TENSOR_HPP

#include "types.hpp"

#include <array>
#include <functional>
#include <iterator>
#include <tuple>

namespace taper {

namespace detail {
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

/// What view ops give, once `T` is complete.
template <class T> struct ViewOf;

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
class Tensor;
class TensorView;
class TensorViews;
namespace autograd {
class Node;
}
namespace detail {
template <> struct ViewOf<Tensor> {
    using One = TensorView;
    using List = TensorViews;
};
} // namespace detail

/// An n-dimensional array; a copy is another name for the same tensor. A default-made one is undefined ("no tensor").
///
/// Assigning to a variable gives it another tensor. Assigning to what indexing or a view op has just given writes to the
/// tensor that was indexed: `a[0] = b`, `a.index({mask}) = 0`, `a.select(0, 1) += b` (see TensorView). Assigning to any
/// other result would be lost, and does not compile.
class Tensor : public detail::TensorOps<Tensor> {
  public:
    Tensor() = default;
    Tensor(const Tensor &) = default;
    Tensor(Tensor &&) noexcept = default;
    Tensor &operator=(const Tensor &) & = default;
    Tensor &operator=(Tensor &&) & noexcept = default;
    void operator=(const Tensor &) && = delete;
    ~Tensor() = default;
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

    Sizes sizes() const {
        Sizes s(static_cast<size_t>(dim()));
        size_t n = 0;
        detail::check(taper_tensor_sizes(handle(), s.data(), s.size(), &n));
        return s;
    }
    /// In elements.
    Sizes strides() const {
        Sizes s(static_cast<size_t>(dim()));
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
    bool is_cuda() const { return device().type() == TAPER_DEVICE_CUDA; }
    /// Bytes of one element, and of all.
    int64_t element_size() const { return static_cast<int64_t>(taper_dtype_size(static_cast<int32_t>(dtype()))); }
    int64_t nbytes() const { return numel() * element_size(); }
    /// Position of the first element in the memory that the tensor views, in elements.
    int64_t storage_offset() const {
        dim();
        return taper_tensor_storage_offset(handle());
    }
    bool is_contiguous() const { return taper_tensor_is_contiguous(handle()) == 1; }

    /// The one element of a tensor with exactly one; of a complex number the real part, unless T is complex.
    template <class T = double> T item() const {
        taper_scalar s{};
        detail::check(taper_tensor_item(handle(), &s));
        const bool complex = s.kind == TAPER_SCALAR_COMPLEX;
        if constexpr (std::is_same_v<T, std::complex<float>> || std::is_same_v<T, std::complex<double>>) {
            const auto v = Scalar::from_raw(s).to_complex();
            using Part = typename T::value_type;
            return T(static_cast<Part>(v.real()), static_cast<Part>(v.imag()));
        } else {
            return complex || s.kind == TAPER_SCALAR_FLOAT ? static_cast<T>(s.f) : static_cast<T>(s.i);
        }
    }
    /// All elements row-major, converted to T (one of int8_t .. int64_t, uint8_t, float, double, std::complex of either).
    template <class T> std::vector<T> to_vector() const;
    /// Host memory of a CPU tensor; the tensor is flagged as shared.
    template <class T> T *data() const;
    /// The tensor for another library, in DLPack 1.0's form (<dlpack/dlpack.h>), without copying. Whoever takes it calls
    /// its deleter once.
    DLManagedTensorVersioned *to_dlpack() const {
        DLManagedTensorVersioned *managed = nullptr;
        detail::check(taper_tensor_to_dlpack(handle(), &managed));
        return managed;
    }

    bool requires_grad() const { return taper_tensor_requires_grad(handle()) == 1; }
    const Tensor &requires_grad_(bool on = true) const {
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

    /// The tensor on another device; itself when it is there already.
    Tensor to(const Device &d) const { return TensorOps::to(std::nullopt, d); }
    Tensor to(DType d) const { return TensorOps::to(d); }
    Tensor to(const Device &d, DType dtype) const { return TensorOps::to(dtype, d); }
    Tensor cpu() const { return to(Device::cpu()); }
    Tensor cuda(int32_t index = 0) const { return to(Device(TAPER_DEVICE_CUDA, index)); }
    Tensor opencl(int32_t index = 0) const { return to(Device(TAPER_DEVICE_OPENCL, index)); }
    using detail::TensorOps<Tensor>::to;

    /// t[0], t[Slice{1, 3}], t[mask]: see also index({..}) for several items.
    TensorView operator[](const Index &i) const;
    TensorView index(std::initializer_list<Index> items) const;
    void index_put(std::initializer_list<Index> items, const Tensor &value) const;
    void index_put(std::initializer_list<Index> items, Scalar value) const;
    using detail::TensorOps<Tensor>::index;
    using detail::TensorOps<Tensor>::index_put;

    /// The text that PyTorch prints.
    std::string str() const {
        if (!defined()) {
            return "[ Tensor (undefined) ]";
        }
        taper_string *s = nullptr;
        detail::check(taper_tensor_to_string(handle(), &s));
        return detail::take_string(s);
    }

    Tensor operator-() const { return neg(); }
    Tensor operator~() const { return bitwise_not(); }
    Tensor &operator+=(const Tensor &o) {
        add_(o);
        return *this;
    }
    Tensor &operator+=(Scalar o) {
        add_(o);
        return *this;
    }
    Tensor &operator-=(const Tensor &o) {
        sub_(o);
        return *this;
    }
    Tensor &operator-=(Scalar o) {
        sub_(o);
        return *this;
    }
    Tensor &operator*=(const Tensor &o) {
        mul_(o);
        return *this;
    }
    Tensor &operator*=(Scalar o) {
        mul_(o);
        return *this;
    }
    Tensor &operator/=(const Tensor &o) {
        div_(o);
        return *this;
    }
    Tensor &operator/=(Scalar o) {
        div_(o);
        return *this;
    }

  private:
    friend class TensorView;
    std::shared_ptr<taper_tensor> h_;
};
inline std::ostream &operator<<(std::ostream &o, const Tensor &t) { return o << t.str(); }

/// What indexing and view ops give. Where it is made, an assignment writes to the tensor: a[0] = b, a[a > 0] = 1.5,
/// a.select(0, 1) *= 2. As a variable it is a Tensor like any other: `auto row = a[0]; row = b;` gives row another tensor.
class TensorView : public Tensor {
  public:
    TensorView() = default;
    explicit TensorView(Tensor t) : Tensor(std::move(t)) {}
    TensorView(const TensorView &) = default;
    TensorView(TensorView &&) noexcept = default;
    ~TensorView() = default;
    /// The result of indexing; with index tensors among the items it is a copy, and assignment goes through the items.
    TensorView(Tensor result, const Tensor &base, std::initializer_list<Index> items);

    TensorView &operator=(const TensorView &) & = default;
    TensorView &operator=(TensorView &&) & noexcept = default;
    TensorView &operator=(const Tensor &o) & {
        Tensor::operator=(o);
        from_.reset();
        return *this;
    }
    void operator=(const TensorView &o) && { write(o); }
    void operator=(const Tensor &o) && { write(o); }
    template <class S, std::enable_if_t<std::is_arithmetic_v<S>, int> = 0> void operator=(S number) && { fill(number); }
    void operator=(Scalar number) && { fill(number); }

#define TAPER_COMPOUND(op)                                                                                            \
    TensorView &operator op(const Tensor &o) & {                                                                      \
        Tensor::operator op(o);                                                                                       \
        return *this;                                                                                                 \
    }                                                                                                                 \
    TensorView &operator op(Scalar o) & {                                                                             \
        Tensor::operator op(o);                                                                                       \
        return *this;                                                                                                 \
    }                                                                                                                 \
    void operator op(const Tensor &o) && {                                                                            \
        Tensor::operator op(o);                                                                                       \
        put_back();                                                                                                   \
    }                                                                                                                 \
    void operator op(Scalar o) && {                                                                                   \
        Tensor::operator op(o);                                                                                       \
        put_back();                                                                                                   \
    }
    TAPER_COMPOUND(+=)
    TAPER_COMPOUND(-=)
    TAPER_COMPOUND(*=)
    TAPER_COMPOUND(/=)
#undef TAPER_COMPOUND

  private:
    /// What was indexed, and by what; not kept alive, since it is of use only where the view is made.
    struct From {
        std::weak_ptr<taper_tensor> base;
        std::vector<taper_index_item> items;
        std::vector<std::weak_ptr<taper_tensor>> tensors;
    };
    template <class F> void with_base(F f) const {
        std::vector<std::shared_ptr<taper_tensor>> alive{from_->base.lock()};
        for (const auto &t : from_->tensors) {
            alive.push_back(t.lock());
        }
        for (const auto &t : alive) {
            if (!t) {
                throw InvalidHandleError(TAPER_ERROR_INVALID_HANDLE,
                                         "assignment to an indexed tensor: the tensor or an index of it is gone");
            }
        }
        detail::check(f(alive[0].get(), from_->items.data(), from_->items.size()));
    }
    void write(const Tensor &value) const {
        if (!from_) {
            copy_(value);
            return;
        }
        with_base([&](taper_tensor *t, const taper_index_item *items, size_t n) {
            return taper_tensor_index_put(t, items, n, value.handle());
        });
    }
    void fill(Scalar number) const {
        if (!from_) {
            fill_(number);
            return;
        }
        with_base([&](taper_tensor *t, const taper_index_item *items, size_t n) {
            return taper_tensor_index_fill(t, items, n, number.raw());
        });
    }
    void put_back() const {
        if (from_) {
            write(*this);
        }
    }
    std::shared_ptr<const From> from_;
};
/// What split, chunk and unbind give: views, one of which may be assigned to where the list is made.
class TensorViews : public std::vector<Tensor> {
  public:
    TensorViews() = default;
    explicit TensorViews(std::vector<Tensor> v) : std::vector<Tensor>(std::move(v)) {}
    Tensor &operator[](size_t i) & { return std::vector<Tensor>::operator[](i); }
    const Tensor &operator[](size_t i) const & { return std::vector<Tensor>::operator[](i); }
    TensorView operator[](size_t i) && { return TensorView(std::vector<Tensor>::operator[](i)); }
    Tensor &at(size_t i) & { return std::vector<Tensor>::at(i); }
    const Tensor &at(size_t i) const & { return std::vector<Tensor>::at(i); }
    TensorView at(size_t i) && { return TensorView(std::vector<Tensor>::at(i)); }
    Tensor &front() & { return std::vector<Tensor>::front(); }
    const Tensor &front() const & { return std::vector<Tensor>::front(); }
    TensorView front() && { return TensorView(std::vector<Tensor>::front()); }
    Tensor &back() & { return std::vector<Tensor>::back(); }
    const Tensor &back() const & { return std::vector<Tensor>::back(); }
    TensorView back() && { return TensorView(std::vector<Tensor>::back()); }
};

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
    /// The index tensor; undefined for other items.
    const Tensor &tensor() const noexcept { return keep_; }

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
    } else if constexpr (std::is_same_v<T, std::complex<float>>) {
        return DType::C64;
    } else if constexpr (std::is_same_v<T, std::complex<double>>) {
        return DType::C128;
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

inline TensorView::TensorView(Tensor result, const Tensor &base, std::initializer_list<Index> list)
    : Tensor(std::move(result)) {
    From from;
    for (const auto &i : list) {
        if (i.tensor().defined()) {
            from.tensors.push_back(i.tensor().h_);
        }
    }
    if (!from.tensors.empty()) {
        from.base = base.h_;
        from.items = detail::items(list);
        from_ = std::make_shared<const From>(std::move(from));
    }
}
inline TensorView Tensor::operator[](const Index &i) const {
    const taper_index_item item = i.raw();
    taper_tensor *out = nullptr;
    detail::check(taper_tensor_index(handle(), &item, 1, &out));
    return i.tensor().defined() ? TensorView(adopt(out), *this, {i}) : TensorView(adopt(out));
}
inline TensorView Tensor::index(std::initializer_list<Index> list) const {
    const auto v = detail::items(list);
    taper_tensor *out = nullptr;
    detail::check(taper_tensor_index(handle(), v.data(), v.size(), &out));
    return TensorView(adopt(out), *this, list);
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
/// What PyTorch has in both places.
namespace nn {
namespace functional {
using taper::log_softmax;
using taper::relu;
using taper::relu_;
using taper::sigmoid;
using taper::softmax;
using taper::tanh;
} // namespace functional
} // namespace nn

/// A tensor with a copy of row-major data, on the default device if none is named.
template <class T> Tensor from_data(const T *data, const IntList &sizes, std::optional<Device> device = std::nullopt) {
    taper_tensor *t = nullptr;
    detail::check(taper_tensor_from_data(data, sizes.data(), sizes.size(),
                                         static_cast<int32_t>(detail::dtype_of<T>()), detail::raw(device), &t));
    return Tensor::adopt(t);
}
namespace detail {
/// How numbers of C++ are laid out for tensor(): int and long become int64, as in PyTorch; a bool is a byte in C.
template <class T>
using Stored = std::conditional_t<std::is_same_v<T, bool>, uint8_t,
                                  std::conditional_t<std::is_integral_v<T> && (sizeof(T) > 2), int64_t, T>>;
/// A tensor of numbers of type T: floating ones have the default float type unless another is named.
template <class T>
Tensor numbers(const std::vector<Stored<T>> &v, const IntList &shape, std::optional<DType> dtype = std::nullopt) {
    const DType want = dtype                            ? *dtype
                       : std::is_same_v<T, bool>        ? DType::Bool
                       : std::is_floating_point_v<T>    ? default_dtype()
                                                        : dtype_of<Stored<T>>();
    const Tensor t = from_data(v.data(), shape);
    return want == dtype_of<Stored<T>>() ? t : t.to(want);
}
} // namespace detail
/// A tensor of the vector's numbers, of one dimension or of `sizes`. As torch::tensor: floating numbers (double too) become
/// the default float type, int and long int64; `dtype` names another. from_data keeps the element type.
template <class T>
Tensor tensor(const std::vector<T> &v, std::optional<IntList> sizes = std::nullopt,
              std::optional<DType> dtype = std::nullopt) {
    const IntList shape = sizes ? *sizes : IntList(static_cast<int64_t>(v.size()));
    int64_t n = 1;
    for (size_t i = 0; i < shape.size(); ++i) {
        n *= shape.data()[i];
    }
    if (n != static_cast<int64_t>(v.size())) {
        throw ValueError(TAPER_ERROR_VALUE, "tensor(): the sizes need " + std::to_string(n) + " elements, but " +
                                                std::to_string(v.size()) + " were given");
    }
    if constexpr (std::is_same_v<T, detail::Stored<T>>) {
        return detail::numbers<T>(v, shape, dtype);
    } else {
        return detail::numbers<T>({v.begin(), v.end()}, shape, dtype);
    }
}
template <class T> Tensor tensor(const std::vector<T> &v, DType dtype) { return tensor(v, std::nullopt, dtype); }
namespace detail {
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
    Tensor make() const { return numbers<T>(flat_, IntList(shape_)); }

  private:
    std::vector<Stored<T>> flat_;
    std::vector<int64_t> shape_;
};
} // namespace detail
/// tensor(3.5): a tensor without dimensions.
template <class T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0> Tensor tensor(T v) {
    return detail::numbers<T>({static_cast<detail::Stored<T>>(v)}, IntList(std::vector<int64_t>{}));
}
/// tensor({1, 2, 3}).
template <class T> Tensor tensor(std::initializer_list<T> v) {
    return detail::numbers<T>({v.begin(), v.end()}, IntList(v.size()));
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
/// Takes over what another library exported, without copying; its deleter runs when the last tensor that uses the memory
/// is gone, or before an Error is thrown.
inline Tensor from_dlpack(DLManagedTensorVersioned *managed) {
    taper_tensor *t = nullptr;
    detail::check(taper_tensor_from_dlpack(managed, &t));
    return Tensor::adopt(t);
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

} // namespace taper

#endif
