/// Gradients: grad, custom functions, the graph's nodes, gradcheck.
#ifndef TAPER_AUTOGRAD_HPP
#define TAPER_AUTOGRAD_HPP

#include "grad_mode.hpp"
#include "tensor.hpp"

#include <memory>
#include <type_traits>

namespace taper {
namespace autograd {
/// Gradients of outputs with respect to inputs; undefined tensors where allow_unused inputs are not used.
inline std::vector<Tensor> grad(const std::vector<Tensor> &outputs, const std::vector<Tensor> &inputs,
                                const std::vector<Tensor> &grad_outputs = {}, bool retain_graph = false,
                                bool create_graph = false, bool allow_unused = false) {
    const auto o = detail::handles(outputs), i = detail::handles(inputs), g = detail::handles(grad_outputs);
    taper_tensor_list *l = nullptr;
    detail::check(taper_grad(o.data(), o.size(), i.data(), i.size(), g.data(), g.size(), retain_graph || create_graph,
                             create_graph, allow_unused, &l));
    return detail::adopt_list<Tensor>(l);
}

/// What forward leaves for backward.
class Context {
  public:
    explicit Context(taper_function_ctx *c) : c_(c) {}
    void save_for_backward(const std::vector<Tensor> &t) const {
        const auto h = detail::handles(t);
        detail::check(taper_function_ctx_save_for_backward(c_, h.data(), h.size()));
    }
    std::vector<Tensor> saved_tensors() const {
        taper_tensor_list *l = nullptr;
        detail::check(taper_function_ctx_saved_tensors(c_, &l));
        return detail::adopt_list<Tensor>(l);
    }
    /// Says that forward wrote to these inputs in place.
    void mark_dirty(const std::vector<Tensor> &t) const {
        const auto h = detail::handles(t);
        detail::check(taper_function_ctx_mark_dirty(c_, h.data(), h.size()));
    }
    /// Says that these outputs have no gradient.
    void mark_non_differentiable(const std::vector<Tensor> &t) const {
        const auto h = detail::handles(t);
        detail::check(taper_function_ctx_mark_non_differentiable(c_, h.data(), h.size()));
    }
    bool needs_input_grad(size_t i) const { return taper_function_ctx_needs_input_grad(c_, i) == 1; }

  private:
    taper_function_ctx *c_;
};

/// Runs function.forward(Context &, inputs) and records it as one node, whose gradient is function.backward(Context &,
/// grads); both go from and to a vector of tensors. The library keeps the function, with its members, as long as a graph
/// needs it. A gradient that is absent is an undefined tensor.
template <class F>
std::vector<Tensor> apply(F function, const std::vector<Tensor> &inputs, const char *name = nullptr) {
    taper_function_vtable v{};
    v.struct_size = sizeof v;
    v.name = name;
    v.forward = [](void *user, taper_function_ctx *c, taper_tensor *const *in, size_t n,
                   taper_tensor_list **out) -> taper_error * {
        return detail::guarded([&] {
            Context ctx(c);
            *out = detail::make_list(static_cast<F *>(user)->forward(ctx, detail::borrow_all(in, n)));
        });
    };
    v.backward = [](void *user, taper_function_ctx *c, taper_tensor *const *g, size_t n,
                    taper_tensor_list **out) -> taper_error * {
        return detail::guarded([&] {
            Context ctx(c);
            *out = detail::make_list(static_cast<F *>(user)->backward(ctx, detail::borrow_all(g, n)));
        });
    };
    v.drop = detail::drop_as<F>;
    const auto h = detail::handles(inputs);
    taper_tensor_list *l = nullptr;
    detail::check(taper_function_apply(&v, new F(std::move(function)), h.data(), h.size(), &l));
    return detail::adopt_list<Tensor>(l);
}

/// A custom function without members: derive, define static forward(Context &, inputs) and backward(Context &, grads);
/// then Derived::apply({x, y}).
template <class Derived> class Function {
  public:
    static std::vector<Tensor> apply(const std::vector<Tensor> &inputs, const char *name = nullptr) {
        return autograd::apply(Derived(), inputs, name);
    }
};

/// A node of the graph: the backward of one op. A default-made one is undefined.
class Node {
  public:
    Node() = default;
    /// Takes over a handle of the C interface.
    static Node adopt(taper_node *n) {
        Node out;
        if (n) {
            out.h_.reset(n, [](taper_node *x) { taper_node_free(x); });
        }
        return out;
    }
    bool defined() const noexcept { return static_cast<bool>(h_); }
    explicit operator bool() const noexcept { return defined(); }
    /// Like "AddBackward0".
    std::string name() const {
        taper_string *s = nullptr;
        detail::check(taper_node_name(h_.get(), &s));
        return detail::take_string(s);
    }
    bool is_same(const Node &o) const noexcept { return taper_node_id(h_.get()) == taper_node_id(o.h_.get()); }
    /// For each input of the op: the node that made it (undefined when it needs no gradient), and which of that node's
    /// outputs it was.
    std::vector<std::pair<Node, int64_t>> next_functions() const {
        std::vector<std::pair<Node, int64_t>> out;
        const int64_t n = taper_node_next_len(h_.get());
        for (int64_t i = 0; i < n; ++i) {
            taper_node *next = nullptr;
            int64_t nr = 0;
            detail::check(taper_node_next(h_.get(), static_cast<size_t>(i), &next, &nr));
            out.emplace_back(adopt(next), nr);
        }
        return out;
    }
    using Hook = std::function<std::vector<Tensor>(const std::vector<Tensor> &grad_inputs,
                                                   const std::vector<Tensor> &grad_outputs)>;
    /// Calls f after the node has computed the gradients of its inputs; a list that is not empty replaces them.
    uint64_t register_hook(Hook f) const { return add(std::move(f), taper_node_register_hook); }
    /// Calls f before the node runs, with the gradients of its outputs; a list that is not empty replaces them.
    uint64_t register_prehook(std::function<std::vector<Tensor>(const std::vector<Tensor> &grad_outputs)> f) const {
        return add([f = std::move(f)](const std::vector<Tensor> &, const std::vector<Tensor> &g) { return f(g); },
                   taper_node_register_prehook);
    }
    void remove_hook(uint64_t id) const { detail::check(taper_node_remove_hook(h_.get(), id)); }
    taper_node *handle() const noexcept { return h_.get(); }

  private:
    template <class R> uint64_t add(Hook f, R register_with) const {
        taper_node_hook_vtable v{};
        v.struct_size = sizeof v;
        v.call = [](void *user, taper_tensor *const *in, size_t n, taper_tensor *const *g, size_t m,
                    taper_tensor_list **out) -> taper_error * {
            return detail::guarded([&] {
                const auto list = (*static_cast<Hook *>(user))(detail::borrow_all(in, n), detail::borrow_all(g, m));
                *out = list.empty() ? nullptr : detail::make_list(list);
            });
        };
        v.drop = detail::drop_as<Hook>;
        uint64_t id = 0;
        detail::check(register_with(h_.get(), &v, new Hook(std::move(f)), &id));
        return id;
    }
    std::shared_ptr<taper_node> h_;
};

/// Computes the gradients of several tensors at once and adds them to the leaves' grad, or to those of `inputs` only
/// unless that is empty.
inline void backward(const std::vector<Tensor> &tensors, const std::vector<Tensor> &gradients = {},
                     bool retain_graph = false, bool create_graph = false, const std::vector<Tensor> &inputs = {}) {
    const auto t = detail::handles(tensors), g = detail::handles(gradients), i = detail::handles(inputs);
    detail::check(taper_backward(t.data(), t.size(), g.data(), g.size(), retain_graph, create_graph, i.data(), i.size()));
}

/// While it lives, pack gets the tensors that ops of this thread save for backward, and returns what is kept in a tensor's
/// place; unpack makes the tensor of it again when backward wants it. Both may be used longer, by graphs made meanwhile. The
/// innermost hooks count.
class SavedTensorsHooks {
  public:
    template <class Pack, class Unpack> SavedTensorsHooks(Pack pack, Unpack unpack) {
        using Kept = std::decay_t<std::invoke_result_t<Pack &, const Tensor &>>;
        struct Functions {
            Pack pack;
            Unpack unpack;
        };
        taper_saved_hooks_vtable v = TAPER_SAVED_HOOKS_VTABLE_INIT;
        v.pack = [](void *user, taper_tensor *t, uint64_t *token) -> taper_error * {
            return detail::guarded([&] {
                auto kept = std::make_unique<Kept>(static_cast<Functions *>(user)->pack(Tensor::borrow(t)));
                *token = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(kept.release()));
            });
        };
        v.unpack = [](void *user, uint64_t token, taper_tensor **out) -> taper_error * {
            return detail::guarded([&] {
                const auto *kept = reinterpret_cast<const Kept *>(static_cast<uintptr_t>(token));
                *out = Tensor(static_cast<Functions *>(user)->unpack(*kept)).release_copy();
            });
        };
        v.release = [](void *, uint64_t token) { delete reinterpret_cast<Kept *>(static_cast<uintptr_t>(token)); };
        v.drop = detail::drop_as<Functions>;
        detail::check(taper_saved_tensors_hooks_push(&v, new Functions{std::move(pack), std::move(unpack)}));
    }
    ~SavedTensorsHooks() { taper_saved_tensors_hooks_pop(); }
    SavedTensorsHooks(const SavedTensorsHooks &) = delete;
    SavedTensorsHooks &operator=(const SavedTensorsHooks &) = delete;
};

namespace detail {
using namespace taper::detail;
/// A function from and to a vector of tensors, as the library calls it; `new F(f)` goes with it.
template <class F> taper_tensor_fn_vtable tensor_fn() {
    taper_tensor_fn_vtable v{};
    v.struct_size = sizeof v;
    v.call = [](void *user, taper_tensor *const *in, size_t n, taper_tensor_list **out) -> taper_error * {
        return guarded([&] { *out = make_list((*static_cast<F *>(user))(borrow_all(in, n))); });
    };
    v.drop = drop_as<F>;
    return v;
}
} // namespace detail

/// Calls f, from and to a vector of tensors, without keeping what its ops save for backward: a backward pass calls it again, on
/// the same inputs and, with preserve_rng_state, with the same random numbers. f is kept by the graph, so it should hold what it
/// uses by value.
template <class F>
std::vector<Tensor> checkpoint(F f, const std::vector<Tensor> &inputs, bool preserve_rng_state = true) {
    const auto v = detail::tensor_fn<F>();
    const auto h = detail::handles(inputs);
    taper_tensor_list *l = nullptr;
    detail::check(taper_checkpoint(&v, new F(std::move(f)), h.data(), h.size(), preserve_rng_state, &l));
    return detail::adopt_list<Tensor>(l);
}

/// For each parameter a tensor [n, *parameter]: the gradients of f, from a vector with a sample of each tensor of the batch to a
/// 0-dim loss, for each of the n samples alone.
template <class F>
std::vector<Tensor> per_sample_grads(F f, const std::vector<Tensor> &parameters, const std::vector<Tensor> &batch) {
    auto list = [f = std::move(f)](const std::vector<Tensor> &sample) mutable { return std::vector<Tensor>{f(sample)}; };
    using List = decltype(list);
    const auto v = detail::tensor_fn<List>();
    const auto p = detail::handles(parameters), b = detail::handles(batch);
    taper_tensor_list *l = nullptr;
    detail::check(taper_per_sample_grads(&v, new List(std::move(list)), p.data(), p.size(), b.data(), b.size(), &l));
    return detail::adopt_list<Tensor>(l);
}

/// Tolerances of gradcheck.
struct GradcheckOptions {
    double eps = 1e-6, atol = 1e-5, rtol = 1e-3;
};
namespace detail {
template <class F, class C>
void gradcheck(F f, const std::vector<Tensor> &inputs, const GradcheckOptions &o, C call) {
    const auto v = tensor_fn<F>();
    taper_gradcheck_options raw = TAPER_GRADCHECK_OPTIONS_INIT;
    raw.eps = o.eps;
    raw.atol = o.atol;
    raw.rtol = o.rtol;
    const auto h = handles(inputs);
    check(call(&v, new F(std::move(f)), h.data(), h.size(), &raw));
}
} // namespace detail
/// Compares the gradients of f, from and to a vector of tensors, with finite differences at inputs, which should be
/// float64; throws an Error that says where they differ.
template <class F> void gradcheck(F f, const std::vector<Tensor> &inputs, const GradcheckOptions &o = {}) {
    detail::gradcheck(std::move(f), inputs, o, taper_gradcheck);
}
/// The same for second derivatives.
template <class F> void gradgradcheck(F f, const std::vector<Tensor> &inputs, const GradcheckOptions &o = {}) {
    detail::gradcheck(std::move(f), inputs, o, taper_gradgradcheck);
}
} // namespace autograd

inline autograd::Node Tensor::grad_fn() const {
    taper_node *n = nullptr;
    detail::check(taper_tensor_grad_fn(handle(), &n));
    return autograd::Node::adopt(n);
}
} // namespace taper

#endif
