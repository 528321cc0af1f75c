/// Gradients and functions of one's own, as libtorch has them.
#ifndef TAPER_TORCH_AUTOGRAD_HPP
#define TAPER_TORCH_AUTOGRAD_HPP

#include "print.hpp"

#include <unordered_map>
#include <variant>

namespace torch {
/// What saved_data holds: a number, a text, a tensor, lists of them.
class IValue {
  public:
    IValue() = default;
    template <class T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0> IValue(T v) {
        if constexpr (std::is_same_v<T, bool>) {
            value_ = v;
        } else if constexpr (std::is_integral_v<T>) {
            value_ = static_cast<int64_t>(v);
        } else {
            value_ = static_cast<double>(v);
        }
    }
    IValue(Tensor t) : value_(std::move(t)) {}
    IValue(std::string s) : value_(std::move(s)) {}
    IValue(const char *s) : value_(std::string(s)) {}
    IValue(std::vector<int64_t> v) : value_(std::move(v)) {}
    IValue(std::vector<double> v) : value_(std::move(v)) {}
    IValue(std::vector<Tensor> v) : value_(std::move(v)) {}
    IValue(const IntArrayRef &v) : value_(v.vec()) {}
    bool isNone() const { return value_.index() == 0; }
    bool isTensor() const { return std::holds_alternative<Tensor>(value_); }
    bool isInt() const { return std::holds_alternative<int64_t>(value_); }
    bool isDouble() const { return std::holds_alternative<double>(value_); }
    bool isBool() const { return std::holds_alternative<bool>(value_); }
    bool isString() const { return std::holds_alternative<std::string>(value_); }
    bool toBool() const { return get<bool>("bool"); }
    int64_t toInt() const { return get<int64_t>("int"); }
    double toDouble() const { return get<double>("double"); }
    Tensor toTensor() const { return get<Tensor>("Tensor"); }
    const std::string &toStringRef() const { return get<std::string>("string"); }
    std::vector<int64_t> toIntVector() const { return get<std::vector<int64_t>>("int list"); }
    std::vector<double> toDoubleVector() const { return get<std::vector<double>>("double list"); }
    std::vector<Tensor> toTensorVector() const { return get<std::vector<Tensor>>("Tensor list"); }

  private:
    template <class T> const T &get(const char *what) const {
        if (const T *v = std::get_if<T>(&value_)) {
            return *v;
        }
        throw TypeError(TAPER_ERROR_TYPE, std::string("IValue: expected a value of type ") + what);
    }
    std::variant<std::monostate, bool, int64_t, double, std::string, Tensor, std::vector<int64_t>, std::vector<double>, std::vector<Tensor>> value_;
};

namespace autograd {
using Variable = Tensor;
using variable_list = std::vector<Tensor>;
using tensor_list = std::vector<Tensor>;

/// Gradients of outputs with respect to inputs.
inline variable_list grad(const variable_list &outputs, const variable_list &inputs, const variable_list &grad_outputs = {},
                          std::optional<bool> retain_graph = std::nullopt, bool create_graph = false, bool allow_unused = false) {
    const auto o = detail::handles(outputs), i = detail::handles(inputs), g = detail::handles(grad_outputs);
    taper_tensor_list *l = nullptr;
    detail::check(taper_grad(o.data(), o.size(), i.data(), i.size(), g.data(), g.size(), retain_graph.value_or(create_graph),
                             create_graph, allow_unused, &l));
    return detail::adopt_list<Tensor>(l);
}
/// Adds gradients to the leaves' grad.
inline void backward(const variable_list &tensors, const variable_list &gradients = {}, std::optional<bool> retain_graph = std::nullopt,
                     bool create_graph = false, const variable_list &inputs = {}) {
    const auto t = detail::handles(tensors), g = detail::handles(gradients), i = detail::handles(inputs);
    detail::check(taper_backward(t.data(), t.size(), g.data(), g.size(), retain_graph.value_or(create_graph), create_graph, i.data(), i.size()));
}

/// What forward leaves for backward.
class AutogradContext {
  public:
    /// Numbers, texts and tensors that are neither inputs nor outputs.
    std::unordered_map<std::string, IValue> saved_data;
    void save_for_backward(const variable_list &t) const {
        const auto h = detail::handles(t);
        detail::check(taper_function_ctx_save_for_backward(now_, h.data(), h.size()));
    }
    variable_list get_saved_variables() const {
        taper_tensor_list *l = nullptr;
        detail::check(taper_function_ctx_saved_tensors(now_, &l));
        return detail::adopt_list<Tensor>(l);
    }
    void mark_dirty(const variable_list &t) const {
        const auto h = detail::handles(t);
        detail::check(taper_function_ctx_mark_dirty(now_, h.data(), h.size()));
    }
    void mark_non_differentiable(const variable_list &t) const {
        const auto h = detail::handles(t);
        detail::check(taper_function_ctx_mark_non_differentiable(now_, h.data(), h.size()));
    }
    /// Whether backward gets zeros for gradients that there are none of.
    void set_materialize_grads(bool on) { materialize_ = on; }
    /// Whether the i-th of forward's arguments needs a gradient.
    bool needs_input_grad(size_t i) const {
        return i < place_.size() && place_[i] >= 0 && taper_function_ctx_needs_input_grad(now_, static_cast<size_t>(place_[i])) == 1;
    }

  private:
    template <class X, class... A> friend class FunctionCall;
    taper_function_ctx *now_ = nullptr;
    bool materialize_ = true;
    /// Of each argument of forward: which of the function's tensors it is, or -1.
    std::vector<int64_t> place_;
};

/// One call of a function: its arguments as long as a graph needs them.
template <class X, class... A> class FunctionCall {
  public:
    using Result = decltype(X::forward(std::declval<AutogradContext *>(), std::declval<A &>()...));
    explicit FunctionCall(A... a) : arguments_(std::move(a)...) {}
    static Result apply(A... a) {
        auto call = std::make_unique<FunctionCall>(std::move(a)...);
        std::vector<Tensor> inputs;
        call->each([&](auto &argument) {
            int64_t place = -1;
            if constexpr (std::is_same_v<std::decay_t<decltype(argument)>, Tensor>) {
                if (argument.defined()) {
                    place = static_cast<int64_t>(inputs.size());
                    inputs.push_back(argument);
                    argument.reset();
                }
            }
            call->context_.place_.push_back(place);
        });
        taper_function_vtable v{};
        v.struct_size = sizeof v;
        const std::string name = typeid(X).name();
        v.name = name.c_str();
        v.forward = [](void *user, taper_function_ctx *c, taper_tensor *const *in, size_t n, taper_tensor_list **out) -> taper_error * {
            return detail::guarded([&] { static_cast<FunctionCall *>(user)->forward(c, in, n, out); });
        };
        v.backward = [](void *user, taper_function_ctx *c, taper_tensor *const *g, size_t n, taper_tensor_list **out) -> taper_error * {
            return detail::guarded([&] { static_cast<FunctionCall *>(user)->backward(c, g, n, out); });
        };
        v.drop = detail::drop_as<FunctionCall>;
        const auto h = detail::handles(inputs);
        taper_tensor_list *l = nullptr;
        detail::check(taper_function_apply(&v, call.release(), h.data(), h.size(), &l));
        auto out = detail::adopt_list<Tensor>(l);
        if constexpr (std::is_same_v<Result, Tensor>) {
            return out.at(0);
        } else {
            return out;
        }
    }

  private:
    template <class F> void each(F f) {
        std::apply([&](auto &...argument) { (f(argument), ...); }, arguments_);
    }
    static taper_tensor_list *give(const std::vector<Tensor> &v) {
        const auto h = detail::handles(v);
        taper_tensor_list *l = nullptr;
        detail::check(taper_tensor_list_new(h.data(), h.size(), &l));
        return l;
    }
    void forward(taper_function_ctx *c, taper_tensor *const *in, size_t n, taper_tensor_list **out) {
        context_.now_ = c;
        // The tensors are the library's to keep; the arguments hold the rest alone.
        auto given = arguments_;
        size_t at = 0;
        std::apply(
            [&](auto &...argument) {
                const auto fill = [&](auto &a) {
                    const int64_t place = context_.place_[at++];
                    if constexpr (std::is_same_v<std::decay_t<decltype(a)>, Tensor>) {
                        if (place >= 0 && static_cast<size_t>(place) < n) {
                            a = Tensor::borrow(in[place]);
                        }
                    } else {
                        (void)place;
                    }
                };
                (fill(argument), ...);
            },
            given);
        std::vector<Tensor> results;
        std::apply(
            [&](auto &...argument) {
                if constexpr (std::is_same_v<Result, Tensor>) {
                    results = {X::forward(&context_, argument...)};
                } else {
                    results = X::forward(&context_, argument...);
                }
            },
            given);
        for (const Tensor &t : results) {
            made_.emplace_back(t.sizes(), t.options());
        }
        *out = give(results);
    }
    void backward(taper_function_ctx *c, taper_tensor *const *g, size_t n, taper_tensor_list **out) {
        context_.now_ = c;
        std::vector<Tensor> grads;
        for (size_t i = 0; i < n; ++i) {
            grads.push_back(g[i] || !context_.materialize_ || i >= made_.size() ? Tensor::borrow(g[i]) : zeros(made_[i].first, made_[i].second));
        }
        const std::vector<Tensor> given = X::backward(&context_, grads);
        if (given.size() != sizeof...(A)) {
            throw taper::RuntimeError(TAPER_ERROR_RUNTIME,
                                      detail::joined("function ", typeid(X).name(), " returned an incorrect number of gradients (expected ",
                                                     sizeof...(A), ", got ", given.size(), ")"));
        }
        std::vector<Tensor> kept;
        for (size_t i = 0; i < given.size(); ++i) {
            if (context_.place_[i] >= 0) {
                kept.push_back(given[i]);
            } else if (given[i].defined()) {
                throw taper::RuntimeError(TAPER_ERROR_RUNTIME,
                                          detail::joined("function ", typeid(X).name(), " returned a gradient different from None at position ",
                                                         i + 1, ", but the corresponding forward input was not a Variable"));
            }
        }
        *out = give(kept);
    }
    std::tuple<A...> arguments_;
    AutogradContext context_;
    std::vector<std::pair<IntArrayRef, TensorOptions>> made_;
};

/// Derive, define static forward(AutogradContext *, arguments ...) and backward(AutogradContext *, tensor_list), which gives
/// a gradient for each argument, undefined ones for those that are no tensors; then Derived::apply(arguments ...).
template <class Derived> struct Function {
    template <class X = Derived, class... A> static auto apply(A &&...a) {
        return FunctionCall<X, std::decay_t<A>...>::apply(std::forward<A>(a)...);
    }
};
} // namespace autograd
using autograd::Variable;
} // namespace torch

#endif
