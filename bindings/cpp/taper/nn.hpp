/// Modules: the library's layers, and the base class of the user's own.
#ifndef TAPER_NN_HPP
#define TAPER_NN_HPP

#include "named_tensors.hpp"

#include <variant>

namespace taper {
namespace nn {

/// The value of a layer's attribute: nothing for PyTorch's None.
using Attribute = std::variant<std::monostate, bool, int64_t, double, std::string, std::vector<int64_t>, std::vector<double>>;

/// Names of a state dict that loading did not match.
struct IncompatibleKeys {
    std::vector<std::string> missing, unexpected;
};

/// A module. The library's layers are made by the classes below; a user's own module derives from this one, registers
/// its parts in the constructor and overrides forward:
///
///     struct Net : nn::Module {
///         nn::Linear fc = register_module("fc", nn::Linear(4, 2));
///         Net() : Module("Net") {}
///         Tensor forward(const Tensor &x) override { return fc(x).relu(); }
///     };
///
/// Members are declared after the base, so the container exists when they register. The object may be moved, not
/// copied; the library calls its forward as long as it lives.
class Module {
  public:
    /// A container of the user's; `name` is what the printed form shows.
    explicit Module(const std::string &name) : self_(std::make_shared<Module *>(this)) {
        taper_module_vtable v{};
        v.struct_size = sizeof v;
        v.forward_list = [](void *user, taper_module *, taper_tensor *const *in, size_t n,
                            taper_tensor_list **out) -> taper_error * {
            return detail::guarded([&] {
                Module *m = alive(user);
                *out = detail::make_list(m->forward_list(detail::borrow_all(in, n)));
            });
        };
        v.extra_repr = [](void *user, taper_module *, taper_string **out) -> taper_error * {
            return detail::guarded([&] { detail::check(taper_string_new(detail::text(alive(user)->extra_repr()), out)); });
        };
        v.drop = detail::drop_as<Self>;
        taper_module *m = nullptr;
        const char *label = detail::text(name);
        detail::check(taper_module_new(label, &v, new Self(self_), &m));
        set(m);
    }
    /// Takes over a module of the library.
    explicit Module(taper_module *m) { set(m); }
    Module(Module &&o) noexcept : h_(std::move(o.h_)), self_(std::move(o.self_)), parts_(std::move(o.parts_)) { rebind(); }
    Module &operator=(Module &&o) noexcept {
        if (this != &o) {
            forget();
            h_ = std::move(o.h_);
            self_ = std::move(o.self_);
            parts_ = std::move(o.parts_);
            rebind();
        }
        return *this;
    }
    Module(const Module &) = delete;
    Module &operator=(const Module &) = delete;
    virtual ~Module() { forget(); }

    /// The computation of a user's module of one input. A module of the library's runs, as by module(x).
    virtual Tensor forward(const Tensor &x) {
        if (!self_) {
            return (*this)(x);
        }
        throw NotImplementedError(TAPER_ERROR_NOT_IMPLEMENTED,
                                  "Module [" + name() + "] is missing the required \"forward\" function");
    }
    /// A library's module of several inputs, such as a loss.
    template <class... T> Tensor forward(const Tensor &first, const Tensor &second, const T &...rest) {
        return self_ ? forward_all({first, second, rest...}) : (*this)(first, second, rest...);
    }
    /// The computation of a user's module of several inputs.
    virtual Tensor forward_all(const std::vector<Tensor> &inputs) {
        if (!self_) {
            return run(inputs);
        }
        if (inputs.size() != 1) {
            throw TypeError(TAPER_ERROR_TYPE, "forward takes 1 input, but " + std::to_string(inputs.size()) +
                                                  " were given; override forward_all for more");
        }
        return forward(inputs[0]);
    }
    /// The computation of a user's module of optional inputs (one that is not given is undefined) or several outputs.
    virtual std::vector<Tensor> forward_list(const std::vector<Tensor> &inputs) {
        if (!self_) {
            return call(inputs);
        }
        for (size_t i = 0; i < inputs.size(); ++i) {
            if (!inputs[i].defined()) {
                throw TypeError(TAPER_ERROR_TYPE, "forward was given no input " + std::to_string(i) +
                                                      "; override forward_list for optional ones");
            }
        }
        return {forward_all(inputs)};
    }
    /// What stands between the brackets of the printed form.
    virtual std::string extra_repr() const { return ""; }

    /// Runs the module with its hooks.
    template <class... T> Tensor operator()(const Tensor &first, const T &...rest) const {
        return run({first, rest...});
    }

    /// Runs the module with its hooks and gives all its outputs; an undefined input is an optional one that is not given,
    /// an undefined output an optional one that was not asked for.
    std::vector<Tensor> call(const std::vector<Tensor> &inputs) const {
        const auto h = detail::handles(inputs);
        taper_tensor_list *out = nullptr;
        detail::check(taper_module_forward_list(handle(), h.data(), h.size(), &out));
        return detail::adopt_list<Tensor>(out);
    }
    /// An attribute of a layer, by PyTorch's name ("in_features", "kernel_size"); throws KeyError where there is none.
    Attribute attribute(const std::string &name) const {
        int32_t kind = 0;
        taper_scalar value{};
        detail::check(taper_module_attribute(handle(), detail::text(name), &kind, &value));
        switch (kind) {
        case TAPER_ATTRIBUTE_BOOL:
            return value.i != 0;
        case TAPER_ATTRIBUTE_INT:
            return value.i;
        case TAPER_ATTRIBUTE_FLOAT:
            return value.f;
        case TAPER_ATTRIBUTE_TEXT: {
            taper_string *s = nullptr;
            detail::check(taper_module_attribute_text(handle(), detail::text(name), &s));
            return detail::take_string(s);
        }
        case TAPER_ATTRIBUTE_INTS:
        case TAPER_ATTRIBUTE_FLOATS: {
            std::vector<taper_scalar> items(static_cast<size_t>(value.i));
            detail::check(taper_module_attribute_list(handle(), detail::text(name), items.data(), items.size()));
            std::vector<int64_t> ints;
            std::vector<double> floats;
            for (const taper_scalar &item : items) {
                ints.push_back(item.i);
                floats.push_back(item.f);
            }
            return kind == TAPER_ATTRIBUTE_INTS ? Attribute(std::move(ints)) : Attribute(std::move(floats));
        }
        default:
            return std::monostate();
        }
    }
    /// The names of the attributes, in the order of PyTorch's constructor.
    std::vector<std::string> attribute_names() const {
        std::vector<std::string> out;
        const int64_t n = taper_module_num_attributes(handle());
        for (int64_t i = 0; i < n; ++i) {
            taper_string *s = nullptr;
            detail::check(taper_module_attribute_name(handle(), static_cast<size_t>(i), &s));
            out.push_back(detail::take_string(s));
        }
        return out;
    }

    /// Registers a part and hands it on, so that a member can be initialised by it.
    template <class M> M register_module(const std::string &name, M &&m) {
        detail::check(taper_module_register_module(handle(), detail::text(name), m.handle()));
        return std::forward<M>(m);
    }
    /// Registers a part that stays where it is; one that has no name of its own is kept here.
    template <class M> void add_module(const std::string &name, M &&m) {
        detail::check(taper_module_register_module(handle(), detail::text(name), m.handle()));
        keep(std::forward<M>(m));
    }
    /// Registers a parameter (it will require grad).
    Tensor register_parameter(const std::string &name, Tensor t, bool requires_grad = true) {
        t.requires_grad_(requires_grad);
        detail::check(taper_module_register_parameter(handle(), detail::text(name), t.handle()));
        return t;
    }
    Tensor register_buffer(const std::string &name, Tensor t, bool persistent = true) {
        detail::check(taper_module_register_buffer(handle(), detail::text(name), t.handle(), persistent));
        return t;
    }

    /// Its type, like "Linear".
    std::string name() const {
        taper_string *s = nullptr;
        detail::check(taper_module_name(handle(), &s));
        return detail::take_string(s);
    }
    /// A copy of the whole tree with tensors of its own; modules whose forward is a program's own have none.
    Module clone() const {
        taper_module *m = nullptr;
        detail::check(taper_module_deepcopy(handle(), &m));
        return Module(m);
    }
    /// The parameter, buffer or module of a path, like "layer1.0.weight".
    Tensor get_parameter(const std::string &path) const { return get_tensor(path, taper_module_get_parameter); }
    Tensor get_buffer(const std::string &path) const { return get_tensor(path, taper_module_get_buffer); }
    Module get_submodule(const std::string &path) const {
        taper_module *m = nullptr;
        detail::check(taper_module_get_child(handle(), detail::text(path), &m));
        return Module(m);
    }
    /// The direct children by name, in order.
    std::vector<std::pair<std::string, Module>> named_children() const {
        std::vector<std::pair<std::string, Module>> out;
        const int64_t n = taper_module_num_children(handle());
        for (int64_t i = 0; i < n; ++i) {
            taper_string *name = nullptr;
            taper_module *m = nullptr;
            detail::check(taper_module_child_at(handle(), static_cast<size_t>(i), &name, &m));
            Module child(m);
            out.emplace_back(detail::take_string(name), std::move(child));
        }
        return out;
    }
    /// Calls f with every module of the tree, children first.
    template <class F> void apply(F f) const {
        detail::check(taper_module_apply(
            handle(),
            [](void *user, taper_module *m) -> taper_error * {
                return detail::guarded([&] {
                    Module module = borrow(m);
                    (*static_cast<F *>(user))(module);
                });
            },
            &f));
    }
    using PreHook = std::function<std::vector<Tensor>(const Module &, const std::vector<Tensor> &inputs)>;
    using ListHook = std::function<std::vector<Tensor>(const Module &, const std::vector<Tensor> &inputs,
                                                       const std::vector<Tensor> &outputs)>;
    using Hook = std::function<Tensor(const Module &, const std::vector<Tensor> &inputs, const Tensor &output)>;
    /// Calls f before every forward; a list that is not empty replaces the inputs. Gives the id for remove_hook.
    uint64_t register_forward_pre_hook(PreHook f) const {
        taper_module_hook_vtable v{};
        v.struct_size = sizeof v;
        v.before = [](void *user, taper_module *m, taper_tensor *const *in, size_t n,
                      taper_tensor_list **replacement) -> taper_error * {
            return detail::guarded([&] {
                const auto list = (*static_cast<PreHook *>(user))(borrow(m), detail::borrow_all(in, n));
                *replacement = list.empty() ? nullptr : detail::make_list(list);
            });
        };
        v.drop = detail::drop_as<PreHook>;
        uint64_t id = 0;
        detail::check(taper_module_register_forward_pre_hook(handle(), &v, new PreHook(std::move(f)), &id));
        return id;
    }
    /// Calls f after every forward; a defined tensor replaces the output. Gives the id for remove_hook.
    uint64_t register_forward_hook(Hook f) const {
        taper_module_hook_vtable v{};
        v.struct_size = sizeof v;
        v.after = [](void *user, taper_module *m, taper_tensor *const *in, size_t n, taper_tensor *output,
                     taper_tensor **replacement) -> taper_error * {
            return detail::guarded([&] {
                *replacement = (*static_cast<Hook *>(user))(borrow(m), detail::borrow_all(in, n), Tensor::borrow(output))
                                   .release_copy();
            });
        };
        v.drop = detail::drop_as<Hook>;
        uint64_t id = 0;
        detail::check(taper_module_register_forward_hook(handle(), &v, new Hook(std::move(f)), &id));
        return id;
    }
    /// Calls f after every forward with all outputs; a list that is not empty replaces them. Gives the id for remove_hook.
    uint64_t register_forward_list_hook(ListHook f) const {
        taper_module_hook_vtable v{};
        v.struct_size = sizeof v;
        v.after_list = [](void *user, taper_module *m, taper_tensor *const *in, size_t n, taper_tensor *const *outputs,
                          size_t outputs_len, taper_tensor_list **replacement) -> taper_error * {
            return detail::guarded([&] {
                const auto list = (*static_cast<ListHook *>(user))(borrow(m), detail::borrow_all(in, n),
                                                                   detail::borrow_all(outputs, outputs_len));
                *replacement = list.empty() ? nullptr : detail::make_list(list);
            });
        };
        v.drop = detail::drop_as<ListHook>;
        uint64_t id = 0;
        detail::check(taper_module_register_forward_hook(handle(), &v, new ListHook(std::move(f)), &id));
        return id;
    }
    void remove_hook(uint64_t id) const { detail::check(taper_module_remove_hook(handle(), id)); }

    std::vector<Tensor> parameters() const {
        taper_tensor_list *l = nullptr;
        detail::check(taper_module_parameters(handle(), &l));
        return detail::adopt_list<Tensor>(l);
    }
    NamedTensors named_parameters() const { return named(taper_module_named_parameters); }
    NamedTensors named_buffers() const { return named(taper_module_named_buffers); }
    NamedTensors state_dict() const { return named(taper_module_state_dict); }
    void load_state_dict(const NamedTensors &state, bool strict = true) {
        detail::check(taper_module_load_state_dict(handle(), state.handle(), strict));
    }
    void save(const std::string &path) const { detail::check(taper_module_save(handle(), detail::text(path))); }
    void load(const std::string &path, bool strict = true) {
        detail::check(taper_module_load(handle(), detail::text(path), strict));
    }
    /// Loads a file (safetensors, PyTorch's .pt) and gives the names that did not match, which are an error when strict. A
    /// failure changes nothing.
    IncompatibleKeys load_keys(const std::string &path, bool strict = true) {
        taper_string *missing = nullptr, *unexpected = nullptr;
        detail::check(taper_module_load_keys(handle(), detail::text(path), strict, &missing, &unexpected));
        return {detail::take_lines(missing), detail::take_lines(unexpected)};
    }
    IncompatibleKeys load_state_dict_keys(const NamedTensors &state, bool strict = true) {
        taper_string *missing = nullptr, *unexpected = nullptr;
        detail::check(taper_module_load_state_dict_keys(handle(), state.handle(), strict, &missing, &unexpected));
        return {detail::take_lines(missing), detail::take_lines(unexpected)};
    }
    void train(bool on = true) { detail::check(taper_module_train(handle(), on)); }
    void eval() { train(false); }
    bool is_training() const { return taper_module_is_training(handle()) == 1; }
    void zero_grad(bool set_to_none = true) { detail::check(taper_module_zero_grad(handle(), set_to_none)); }
    void requires_grad_(bool on = true) { detail::check(taper_module_requires_grad_(handle(), on)); }
    void to(const Device &d) { detail::check(taper_module_to(handle(), TAPER_DTYPE_NONE, d.raw())); }
    void to(DType d) { detail::check(taper_module_to(handle(), static_cast<int32_t>(d), taper_device{0, 0})); }
    std::string str() const {
        taper_string *s = nullptr;
        detail::check(taper_module_to_string(handle(), &s));
        return detail::take_string(s);
    }
    taper_module *handle() const {
        if (!h_) {
            throw InvalidHandleError(TAPER_ERROR_INVALID_HANDLE, "the module was moved from");
        }
        return h_.get();
    }

  protected:
    /// Takes over a part that its maker does not keep, so that its forward can be called as long as this module lives.
    template <class M> void keep(M &&m) {
        using Part = std::remove_reference_t<M>;
        if constexpr (!std::is_lvalue_reference_v<M> && !std::is_const_v<Part> && std::is_move_constructible_v<Part>) {
            parts_.push_back(std::make_shared<Part>(std::forward<M>(m)));
        }
    }

  private:
    using Self = std::shared_ptr<Module *>;
    static Module *alive(void *user) {
        Module *m = **static_cast<Self *>(user);
        if (!m) {
            throw InvalidHandleError(TAPER_ERROR_INVALID_HANDLE,
                             "the C++ object of this module is gone: keep it alive as long as the module is used");
        }
        return m;
    }
    Tensor run(const std::vector<Tensor> &inputs) const {
        const auto h = detail::handles(inputs);
        taper_tensor *out = nullptr;
        detail::check(taper_module_forward(handle(), h.data(), h.size(), &out));
        return Tensor::adopt(out);
    }
    static Module borrow(taper_module *m) {
        taper_module *mine = nullptr;
        detail::check(taper_module_ref(m, &mine));
        return Module(mine);
    }
    template <class F> Tensor get_tensor(const std::string &path, F get) const {
        taper_tensor *t = nullptr;
        detail::check(get(handle(), detail::text(path), &t));
        return Tensor::adopt(t);
    }
    void set(taper_module *m) {
        h_.reset(m, [](taper_module *x) { taper_module_free(x); });
    }
    void rebind() noexcept {
        if (self_) {
            *self_ = this;
        }
    }
    void forget() noexcept {
        if (self_) {
            *self_ = nullptr;
        }
    }
    template <class F> NamedTensors named(F f) const {
        taper_named_tensors *n = nullptr;
        detail::check(f(handle(), &n));
        return NamedTensors::adopt(n);
    }
    std::shared_ptr<taper_module> h_;
    Self self_;
    std::vector<std::shared_ptr<Module>> parts_;
};
inline std::ostream &operator<<(std::ostream &o, const Module &m) { return o << m.str(); }

/// A module of the library's. What it computes is the library's: a class derived from it cannot compute anything else, as
/// the library would never ask.
class Layer : public Module {
  public:
    explicit Layer(taper_module *m) : Module(m) {}
    using Module::forward;
    Tensor forward(const Tensor &x) final { return (*this)(x); }
    Tensor forward_all(const std::vector<Tensor> &inputs) final { return Module::forward_all(inputs); }
    std::vector<Tensor> forward_list(const std::vector<Tensor> &inputs) final { return call(inputs); }
};

} // namespace nn
} // namespace taper

#endif
