/// torch::nn::Module, its holders and what registers in it.
#ifndef TAPER_TORCH_MODULE_HPP
#define TAPER_TORCH_MODULE_HPP

#include "../layers.hpp"
#include "print.hpp"

#include <any>
#include <typeinfo>

namespace torch {

/// Values by key, in the order of insertion.
template <class Key, class Value> class OrderedDict {
  public:
    class Item {
      public:
        Item(Key k, Value v) : pair_(std::move(k), std::move(v)) {}
        const Key &key() const noexcept { return pair_.first; }
        Value &value() noexcept { return pair_.second; }
        const Value &value() const noexcept { return pair_.second; }
        Value &operator*() { return pair_.second; }
        const Value &operator*() const { return pair_.second; }
        Value *operator->() { return &pair_.second; }
        const Value *operator->() const { return &pair_.second; }
        const std::pair<Key, Value> &pair() const noexcept { return pair_; }
        template <size_t I> const auto &get() const { return std::get<I>(pair_); }

      private:
        std::pair<Key, Value> pair_;
    };
    explicit OrderedDict(std::string what = "Key") : what_(std::move(what)) {}
    OrderedDict(std::initializer_list<Item> items) : what_("Key") {
        for (const auto &i : items) {
            insert(i.key(), i.value());
        }
    }
    size_t size() const { return items_.size(); }
    bool is_empty() const { return items_.empty(); }
    auto begin() { return items_.begin(); }
    auto end() { return items_.end(); }
    auto begin() const { return items_.begin(); }
    auto end() const { return items_.end(); }
    const std::vector<Item> &items() const { return items_; }
    Item &operator[](size_t i) { return items_.at(i); }
    const Item &operator[](size_t i) const { return items_.at(i); }
    Value &operator[](const Key &k) { return const_cast<Value &>(std::as_const(*this)[k]); }
    const Value &operator[](const Key &k) const {
        if (const Value *v = find(k)) {
            return *v;
        }
        throw taper::KeyError(TAPER_ERROR_KEY, detail::joined(what_, " '", k, "' is not defined"));
    }
    const Value *find(const Key &k) const {
        const auto at = index_.find(k);
        return at == index_.end() ? nullptr : &items_[at->second].value();
    }
    Value *find(const Key &k) { return const_cast<Value *>(std::as_const(*this).find(k)); }
    bool contains(const Key &k) const { return find(k) != nullptr; }
    Value &insert(const Key &k, Value v) {
        if (contains(k)) {
            throw ValueError(TAPER_ERROR_VALUE, detail::joined(what_, " '", k, "' already defined"));
        }
        index_.emplace(k, items_.size());
        items_.emplace_back(k, std::move(v));
        return items_.back().value();
    }
    void update(const OrderedDict &o) {
        for (const auto &i : o) {
            insert(i.key(), i.value());
        }
    }
    void erase(const Key &k) {
        (*this)[k];
        items_.erase(items_.begin() + static_cast<std::ptrdiff_t>(index_[k]));
        index_.clear();
        for (size_t i = 0; i < items_.size(); ++i) {
            index_.emplace(items_[i].key(), i);
        }
    }
    void clear() {
        items_.clear();
        index_.clear();
    }
    const Item &front() const { return items_.at(0); }
    const Item &back() const { return items_.at(items_.size() - 1); }
    std::vector<Key> keys() const { return all([](const Item &i) { return i.key(); }); }
    std::vector<Value> values() const { return all([](const Item &i) { return i.value(); }); }
    std::vector<std::pair<Key, Value>> pairs() const { return all([](const Item &i) { return i.pair(); }); }

  private:
    template <class F> auto all(F f) const {
        std::vector<decltype(f(items_[0]))> out;
        for (const auto &i : items_) {
            out.push_back(f(i));
        }
        return out;
    }
    std::string what_;
    std::vector<Item> items_;
    std::map<Key, size_t> index_;
};

namespace nn {

template <class M> class ModuleHolder;

/// The base of modules. Parts are registered in the constructor.
class Module : public std::enable_shared_from_this<Module> {
  public:
    Module() = default;
    explicit Module(std::string name) : name_(std::move(name)) {}
    virtual ~Module() = default;

    /// Like "Net"; of a class without a name given, the class's own.
    const std::string &name() const {
        if (!name_) {
            name_ = typeid(*this).name();
        }
        return *name_;
    }
    virtual std::shared_ptr<Module> clone(const std::optional<Device> & = std::nullopt) const {
        throw NotImplementedError(TAPER_ERROR_NOT_IMPLEMENTED,
                                  "clone() has not been implemented for " + name() +
                                      ". Subclass torch::nn::Cloneable<" + name() + "> instead of torch::nn::Module to inherit the ability to clone.");
    }

    Tensor &register_parameter(std::string name, Tensor t, bool requires_grad = true) {
        check_name(name, "parameter");
        if (t.defined()) {
            t.requires_grad_(requires_grad);
        }
        return parameters_.insert(name, std::move(t));
    }
    Tensor &register_buffer(std::string name, Tensor t) {
        check_name(name, "buffer");
        return buffers_.insert(name, std::move(t));
    }
    template <class M> std::shared_ptr<M> register_module(std::string name, std::shared_ptr<M> m) {
        check_name(name, "submodule");
        children_.insert(name, m);
        return m;
    }
    template <class M> std::shared_ptr<M> register_module(std::string name, ModuleHolder<M> m) {
        return register_module(std::move(name), m.ptr());
    }
    template <class M> std::shared_ptr<M> replace_module(const std::string &name, std::shared_ptr<M> m) {
        children_[name] = m;
        return m;
    }
    template <class M> std::shared_ptr<M> replace_module(const std::string &name, ModuleHolder<M> m) {
        return replace_module(name, m.ptr());
    }
    void unregister_module(const std::string &name) { children_.erase(name); }

    std::vector<Tensor> parameters(bool recurse = true) const { return named_parameters(recurse).values(); }
    OrderedDict<std::string, Tensor> named_parameters(bool recurse = true) const {
        return tensors(&Module::parameters_, recurse);
    }
    std::vector<Tensor> buffers(bool recurse = true) const { return named_buffers(recurse).values(); }
    OrderedDict<std::string, Tensor> named_buffers(bool recurse = true) const { return tensors(&Module::buffers_, recurse); }
    std::vector<std::shared_ptr<Module>> children() const { return children_.values(); }
    OrderedDict<std::string, std::shared_ptr<Module>> named_children() const { return children_; }
    /// All modules below, and this one first where it is asked for (it has to be held by a shared_ptr then).
    OrderedDict<std::string, std::shared_ptr<Module>> named_modules(const std::string &prefix = {}, bool include_self = true) const {
        OrderedDict<std::string, std::shared_ptr<Module>> out("Module");
        walk([&](const std::string &path, const Module *m) {
            if (m == this && !include_self) {
                return;
            }
            const std::string name = prefix.empty() ? path : path.empty() ? prefix : prefix + "." + path;
            out.insert(name, const_cast<Module *>(m)->shared_from_this());
        });
        return out;
    }
    std::vector<std::shared_ptr<Module>> modules(bool include_self = true) const {
        return named_modules({}, include_self).values();
    }
    template <class M> std::shared_ptr<M> as_shared() { return std::dynamic_pointer_cast<M>(shared_from_this()); }

    virtual void train(bool on = true) {
        is_training_ = on;
        for (const auto &c : children_) {
            c.value()->train(on);
        }
    }
    void eval() { train(false); }
    virtual bool is_training() const noexcept { return is_training_; }
    virtual void to(Device d, ScalarType t, bool non_blocking = false) {
        (void)non_blocking;
        convert([&](const Tensor &x, bool floats) { return floats ? x.to(d, t) : x.to(d); });
    }
    virtual void to(Device d, bool non_blocking = false) {
        (void)non_blocking;
        convert([&](const Tensor &x, bool) { return x.to(d); });
    }
    void to(DeviceType d) { to(Device(d)); }
    virtual void to(ScalarType t, bool non_blocking = false) {
        (void)non_blocking;
        convert([&](const Tensor &x, bool floats) { return floats ? x.to(t) : x; });
    }
    virtual void zero_grad(bool set_to_none = true) {
        for (const auto &p : parameters()) {
            if (set_to_none) {
                p.mutable_grad().reset();
            } else if (const Tensor g = p.grad(); g.defined()) {
                g.detach().zero_();
            }
        }
    }
    template <class F> void apply(const F &f) {
        walk([&](const std::string &path, const Module *m) {
            auto *module = const_cast<Module *>(m);
            if constexpr (std::is_invocable_v<F, Module &>) {
                f(*module);
            } else if constexpr (std::is_invocable_v<F, const std::string &, Module &>) {
                f(path, *module);
            } else {
                f(path, module->shared_from_this());
            }
        });
    }
    /// This module as an M (a module's class, or its holder's); nullptr where it is another.
    template <class M> auto *as() noexcept {
        if constexpr (std::is_base_of_v<Module, M>) {
            return dynamic_cast<M *>(this);
        } else {
            return dynamic_cast<typename M::ContainedType *>(this);
        }
    }
    template <class M> const auto *as() const noexcept { return const_cast<Module *>(this)->as<M>(); }
    virtual void pretty_print(std::ostream &o) const { o << name(); }
    /// A line for each module, indented.
    void print_tree(std::ostream &o, const std::string &indent = {}) const {
        pretty_print(o);
        if (!children_.is_empty()) {
            o << "(\n";
            for (const auto &c : children_) {
                o << indent << "  (" << c.key() << "): ";
                c.value()->print_tree(o, indent + "  ");
                o << '\n';
            }
            o << indent << ')';
        }
    }

  protected:
    OrderedDict<std::string, Tensor> parameters_{"Parameter"}, buffers_{"Buffer"};
    OrderedDict<std::string, std::shared_ptr<Module>> children_{"Submodule"};

  private:
    template <class D> friend class Cloneable;
    void check_name(const std::string &name, const char *what) const {
        if (name.empty() || name.find('.') != std::string::npos) {
            throw ValueError(TAPER_ERROR_VALUE, std::string(what) + " name must not " +
                                                    (name.empty() ? "be empty" : "contain a dot (got '" + name + "')"));
        }
    }
    template <class F> void walk(F f) const {
        std::vector<std::pair<std::string, const Module *>> todo{{"", this}};
        while (!todo.empty()) {
            const auto [path, m] = todo.back();
            todo.pop_back();
            f(path, m);
            for (size_t i = m->children_.size(); i-- > 0;) {
                const auto &c = m->children_[i];
                todo.emplace_back(path.empty() ? c.key() : path + "." + c.key(), c.value().get());
            }
        }
    }
    OrderedDict<std::string, Tensor> tensors(OrderedDict<std::string, Tensor> Module::*which, bool recurse) const {
        OrderedDict<std::string, Tensor> out;
        walk([&](const std::string &path, const Module *m) {
            if (m != this && !recurse) {
                return;
            }
            for (const auto &t : m->*which) {
                if (t.value().defined()) {
                    out.insert(path.empty() ? t.key() : path + "." + t.key(), t.value());
                }
            }
        });
        return out;
    }
    template <class F> void convert(F f) {
        const NoGradGuard guard;
        for (const auto &list : {named_parameters(), named_buffers()}) {
            for (const auto &t : list) {
                t.value().set_data(f(t.value(), t.value().is_floating_point()));
                if (const Tensor g = t.value().grad(); g.defined()) {
                    t.value().mutable_grad() = f(g.detach(), g.is_floating_point());
                }
            }
        }
    }
    mutable std::optional<std::string> name_;
    bool is_training_ = true;
};
inline std::ostream &operator<<(std::ostream &o, const Module &m) {
    m.print_tree(o);
    return o;
}

/// A module that copies itself: reset() registers everything anew, clone() fills it with this one's values.
template <class Derived> class Cloneable : public Module {
  public:
    using Module::Module;
    virtual void reset() = 0;
    std::shared_ptr<Module> clone(const std::optional<Device> &device = std::nullopt) const override {
        const NoGradGuard guard;
        auto copy = std::make_shared<Derived>(static_cast<const Derived &>(*this));
        copy->parameters_.clear();
        copy->buffers_.clear();
        copy->children_.clear();
        copy->reset();
        if (device) {
            copy->to(*device);
        }
        auto fill = [](const OrderedDict<std::string, Tensor> &to, const OrderedDict<std::string, Tensor> &from) {
            for (const auto &t : from) {
                to[t.key()].set_data(t.value().detach().clone().to(to[t.key()].device()));
            }
        };
        fill(copy->named_parameters(), named_parameters());
        fill(copy->named_buffers(), named_buffers());
        return copy;
    }
};

/// Holds a module by shared_ptr: `->`, call, nullptr.
template <class M> class ModuleHolder {
  protected:
    std::shared_ptr<M> impl_;

  public:
    using ContainedType = M;
    ModuleHolder() : impl_(make()) {}
    ModuleHolder(std::nullptr_t) {}
    template <class Head, class... Tail,
              std::enable_if_t<!(std::is_base_of_v<ModuleHolder, std::decay_t<Head>> && sizeof...(Tail) == 0) &&
                                   !std::is_convertible_v<Head &&, std::shared_ptr<M>>,
                               int> = 0>
    explicit ModuleHolder(Head &&head, Tail &&...tail)
        : impl_(new M(std::forward<Head>(head), std::forward<Tail>(tail)...)) {}
    ModuleHolder(std::shared_ptr<M> m) : impl_(std::move(m)) {}
    explicit operator bool() const noexcept { return !is_empty(); }
    M *operator->() { return get(); }
    const M *operator->() const { return get(); }
    M &operator*() { return *get(); }
    const M &operator*() const { return *get(); }
    const std::shared_ptr<M> &ptr() const {
        get();
        return impl_;
    }
    M *get() const {
        if (!impl_) {
            throw taper::RuntimeError(TAPER_ERROR_RUNTIME, "Accessing empty ModuleHolder");
        }
        return impl_.get();
    }
    template <class... A> auto operator()(A &&...a) { return get()->forward(std::forward<A>(a)...); }
    bool is_empty() const noexcept { return impl_ == nullptr; }

  private:
    static std::shared_ptr<M> make() {
        if constexpr (std::is_default_constructible_v<M>) {
            return std::make_shared<M>();
        } else {
            throw taper::RuntimeError(TAPER_ERROR_RUNTIME,
                                      "Cannot default construct module: make an empty holder with nullptr");
        }
    }
};
template <class M> std::ostream &operator<<(std::ostream &o, const ModuleHolder<M> &m) { return o << *m; }

#define TORCH_MODULE_IMPL(Name, ImplType)                                                                             \
    class Name : public torch::nn::ModuleHolder<ImplType> { /* NOLINT */                                              \
      public:                                                                                                         \
        using torch::nn::ModuleHolder<ImplType>::ModuleHolder;                                                        \
        using Impl [[maybe_unused]] = ImplType;                                                                       \
        Name() = default;                                                                                             \
    }
#define TORCH_MODULE(Name) TORCH_MODULE_IMPL(Name, Name##Impl)

/// A layer of the library's. Its tensors are registered here under PyTorch's names.
class CoreModule : public Module {
  public:
    CoreModule(const char *name, taper_module *m) : Module(name), core_(m, [](taper_module *x) { taper_module_free(x); }) {
        adopt(taper_module_named_parameters, parameters_);
        adopt(taper_module_named_buffers, buffers_);
        const int64_t n = taper_module_num_children(m);
        for (int64_t i = 0; i < n; ++i) {
            taper_string *child = nullptr;
            taper_module *part = nullptr;
            taper::detail::check(taper_module_child_at(m, static_cast<size_t>(i), &child, &part));
            std::shared_ptr<Module> held(new CoreModule("torch::nn::Module", part));
            children_.insert(taper::detail::take_string(child), std::move(held));
        }
    }
    void train(bool on = true) override {
        Module::train(on);
        taper::detail::check(taper_module_train(core(), on));
    }
    void pretty_print(std::ostream &o) const override {
        taper_string *s = nullptr;
        taper::detail::check(taper_module_to_string(core(), &s));
        o << "torch::nn::" << taper::detail::take_string(s);
    }
    /// The module of the C interface.
    taper_module *core() const { return core_.get(); }

  protected:
    Tensor run(const std::vector<Tensor> &inputs) const {
        const auto h = taper::detail::handles(inputs);
        taper_tensor *out = nullptr;
        taper::detail::check(taper_module_forward(core(), h.data(), h.size(), &out));
        return Tensor::adopt(out);
    }
    /// All outputs, `count` of them; one that is not there is undefined.
    std::vector<Tensor> run_all(const std::vector<Tensor> &inputs, size_t count) const {
        const auto h = taper::detail::handles(inputs);
        taper_tensor_list *out = nullptr;
        taper::detail::check(taper_module_forward_list(core(), h.data(), h.size(), &out));
        auto list = taper::detail::adopt_list<Tensor>(out);
        list.resize(count);
        return list;
    }
    Tensor member(const char *name) const {
        const Tensor *t = parameters_.find(name);
        t = t ? t : buffers_.find(name);
        return t ? *t : Tensor();
    }
    /// A tensor that the program put in the place of a registered one is computed with.
    void keep_member(const char *name, const Tensor &now) {
        if (now.defined() == member(name).defined() && (!now.defined() || now.is_same(member(name)))) {
            return;
        }
        if (Tensor *p = parameters_.find(name)) {
            taper::detail::check(taper_module_register_parameter(core(), name, now.handle()));
            *p = now;
        } else if (Tensor *b = buffers_.find(name)) {
            taper::detail::check(taper_module_register_buffer(core(), name, now.handle(), true));
            *b = now;
        } else {
            taper::detail::check(taper_module_register_parameter(core(), name, now.handle()));
            parameters_.insert(name, now);
        }
    }
    template <class M> std::shared_ptr<Module> copied(std::shared_ptr<M> to, const std::optional<Device> &device) const {
        const NoGradGuard guard;
        const auto fill = [&](const OrderedDict<std::string, Tensor> &into, const OrderedDict<std::string, Tensor> &from) {
            for (const auto &t : from) {
                const Tensor value = t.value().detach().clone();
                into[t.key()].set_data(device ? value.to(*device) : value);
            }
        };
        fill(to->named_parameters(), named_parameters());
        fill(to->named_buffers(), named_buffers());
        to->train(is_training());
        return to;
    }

  private:
    template <class F> void adopt(F read, OrderedDict<std::string, Tensor> &into) {
        taper_named_tensors *n = nullptr;
        taper::detail::check(read(core(), &n));
        const auto named = taper::NamedTensors::adopt(n);
        for (size_t i = 0; i < named.size(); ++i) {
            if (named.name(i).find('.') == std::string::npos) {
                into.insert(named.name(i), Tensor::from(named.at(i)));
            }
        }
    }
    std::shared_ptr<taper_module> core_;
};

} // namespace nn
} // namespace torch

#endif
