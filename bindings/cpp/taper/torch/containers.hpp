/// Modules that hold modules, and modules of any type.
#ifndef TAPER_TORCH_CONTAINERS_HPP
#define TAPER_TORCH_CONTAINERS_HPP

#include "layers_gen.hpp"

namespace torch {
namespace nn {

/// A value of any type, as AnyModule takes and gives it.
class AnyValue {
  public:
    AnyValue() = default;
    template <class T, std::enable_if_t<!std::is_same_v<std::decay_t<T>, AnyValue>, int> = 0>
    explicit AnyValue(T &&v) : value_(std::forward<T>(v)) {}
    template <class T> T get() const {
        if (const T *v = std::any_cast<T>(&value_)) {
            return *v;
        }
        throw TypeError(TAPER_ERROR_TYPE, std::string("Attempted to cast AnyValue to ") + typeid(T).name() +
                                              ", but its actual type is " + value_.type().name());
    }
    const std::type_info &type_info() const noexcept { return value_.type(); }

  private:
    std::any value_;
};

/// A module of any type with its forward; what Sequential is made of.
class AnyModule {
  public:
    AnyModule() = default;
    template <class M> explicit AnyModule(std::shared_ptr<M> m) { set(std::move(m)); }
    template <class M, class = typename M::ContainedType> explicit AnyModule(const M &holder) { set(holder.ptr()); }
    template <class M, std::enable_if_t<std::is_base_of_v<Module, std::decay_t<M>>, int> = 0, class = void>
    explicit AnyModule(M &&m) {
        set(std::make_shared<std::decay_t<M>>(std::forward<M>(m)));
    }
    bool is_empty() const noexcept { return !module_; }
    std::shared_ptr<Module> ptr() const {
        check();
        return module_;
    }
    template <class M> std::shared_ptr<M> ptr() const {
        if (auto m = std::dynamic_pointer_cast<M>(ptr())) {
            return m;
        }
        throw TypeError(TAPER_ERROR_TYPE, std::string("Attempted to cast module of type ") + module_->name() + " to type " + typeid(M).name());
    }
    template <class M> M &get() const {
        if constexpr (std::is_base_of_v<Module, M>) {
            return *ptr<M>();
        } else {
            return *ptr<typename M::ContainedType>();
        }
    }
    AnyValue any_forward(std::vector<AnyValue> inputs) const {
        check();
        return call_(inputs);
    }
    template <class R = Tensor, class... A> R forward(A &&...a) const {
        return any_forward({AnyValue(std::decay_t<A>(std::forward<A>(a)))...}).template get<R>();
    }

  private:
    void check() const {
        if (!module_) {
            throw taper::RuntimeError(TAPER_ERROR_RUNTIME, "Cannot call forward() on an empty AnyModule");
        }
    }
    template <class M> void set(std::shared_ptr<M> m) {
        module_ = m;
        bind(m.get(), &M::forward);
    }
    template <class M, class C, class R, class... A> void bind(M *m, R (C::*)(A...)) { bind_as<M, R, A...>(m); }
    template <class M, class C, class R, class... A> void bind(M *m, R (C::*)(A...) const) { bind_as<M, R, A...>(m); }
    /// Arguments at the end that are left out get their type's empty value where it is a tensor or optional.
    template <class M, class R, class... A> void bind_as(M *m) {
        call_ = [m](const std::vector<AnyValue> &in) { return call<M, R, A...>(m, in, std::index_sequence_for<A...>()); };
    }
    template <class M, class R, class... A, size_t... I>
    static AnyValue call(M *m, const std::vector<AnyValue> &in, std::index_sequence<I...>) {
        if (in.empty() || in.size() > sizeof...(A)) {
            throw TypeError(TAPER_ERROR_TYPE, detail::joined(m->name(), "'s forward() method expects ", sizeof...(A),
                                                             " argument(s), but received ", in.size()));
        }
        return AnyValue(m->forward(argument<std::decay_t<A>>(m->name(), in, I)...));
    }
    template <class T> static T argument(const std::string &name, const std::vector<AnyValue> &in, size_t i) {
        if (i < in.size()) {
            return in[i].get<T>();
        }
        if constexpr (std::is_same_v<T, Tensor> || std::is_constructible_v<T, std::nullopt_t>) {
            return T();
        } else if constexpr (std::is_same_v<T, bool>) {
            return true; // need_weights of attention, the only layers' flags
        } else {
            throw TypeError(TAPER_ERROR_TYPE, detail::joined(name, "'s forward() method lacks argument ", i));
        }
    }
    std::shared_ptr<Module> module_;
    std::function<AnyValue(const std::vector<AnyValue> &)> call_;
};

/// A module with the name that it gets in a container.
class NamedAnyModule {
  public:
    template <class M> NamedAnyModule(std::string name, M &&m) : name_(std::move(name)), module_(AnyModule(std::forward<M>(m))) {}
    const std::string &name() const { return name_; }
    const AnyModule &module() const { return module_; }

  private:
    std::string name_;
    AnyModule module_;
};

/// Modules one after the other, of any types: what one gives the next one takes.
class SequentialImpl : public Module {
  public:
    SequentialImpl() : Module("torch::nn::Sequential") {}
    template <class First, class... M,
              std::enable_if_t<!std::is_base_of_v<SequentialImpl, std::decay_t<First>> &&
                                   !std::is_same_v<std::decay_t<First>, OrderedDict<std::string, AnyModule>>,
                               int> = 0>
    explicit SequentialImpl(First &&first, M &&...modules) : SequentialImpl() {
        push_back(std::forward<First>(first));
        (push_back(std::forward<M>(modules)), ...);
    }
    explicit SequentialImpl(std::initializer_list<NamedAnyModule> named) : SequentialImpl() {
        for (const auto &m : named) {
            push_back(m.name(), m.module());
        }
    }
    explicit SequentialImpl(const OrderedDict<std::string, AnyModule> &named) : SequentialImpl() {
        for (const auto &m : named) {
            push_back(m.key(), m.value());
        }
    }
    template <class R = Tensor, class... A> R forward(A &&...inputs) {
        if (modules_.empty()) {
            throw taper::RuntimeError(TAPER_ERROR_RUNTIME, "Cannot call forward() on an empty Sequential");
        }
        AnyValue v = modules_[0].any_forward({AnyValue(std::decay_t<A>(std::forward<A>(inputs)))...});
        for (size_t i = 1; i < modules_.size(); ++i) {
            v = modules_[i].any_forward({v});
        }
        return v.template get<R>();
    }
    void push_back(const AnyModule &m) { push_back(std::to_string(modules_.size()), m); }
    void push_back(const std::string &name, const AnyModule &m) {
        register_module(name, m.ptr());
        modules_.push_back(m);
    }
    template <class M, std::enable_if_t<!std::is_same_v<std::decay_t<M>, AnyModule>, int> = 0> void push_back(M &&m) {
        push_back(AnyModule(std::forward<M>(m)));
    }
    template <class M, std::enable_if_t<!std::is_same_v<std::decay_t<M>, AnyModule>, int> = 0>
    void push_back(const std::string &name, M &&m) {
        push_back(name, AnyModule(std::forward<M>(m)));
    }
    void extend(const SequentialImpl &o) {
        for (const auto &m : o.modules_) {
            push_back(m);
        }
    }
    size_t size() const noexcept { return modules_.size(); }
    bool is_empty() const noexcept { return modules_.empty(); }
    auto begin() { return modules_.begin(); }
    auto end() { return modules_.end(); }
    std::shared_ptr<Module> ptr(size_t i) const { return modules_.at(i).ptr(); }
    template <class M> M &at(size_t i) { return modules_.at(i).get<M>(); }
    std::shared_ptr<Module> operator[](size_t i) const { return ptr(i); }
    std::shared_ptr<Module> clone(const std::optional<Device> &device = std::nullopt) const override;

  private:
    std::vector<AnyModule> modules_;
};
class Sequential : public ModuleHolder<SequentialImpl> {
  public:
    using ModuleHolder<SequentialImpl>::ModuleHolder;
    using Impl = SequentialImpl;
    Sequential() = default;
    Sequential(std::initializer_list<NamedAnyModule> named) : ModuleHolder(std::make_shared<SequentialImpl>(named)) {}
    template <class R = Tensor, class... A> R operator()(A &&...a) { return get()->template forward<R>(std::forward<A>(a)...); }
};
inline std::shared_ptr<Module> SequentialImpl::clone(const std::optional<Device> &) const {
    throw NotImplementedError(TAPER_ERROR_NOT_IMPLEMENTED, "Sequential: clone() of modules of any type is not supported");
}

/// Modules by number, which compute nothing together.
class ModuleListImpl : public Module {
  public:
    ModuleListImpl() : Module("torch::nn::ModuleList") {}
    template <class First, class... M, std::enable_if_t<!std::is_base_of_v<ModuleListImpl, std::decay_t<First>>, int> = 0>
    explicit ModuleListImpl(First &&first, M &&...modules) : ModuleListImpl() {
        push_back(std::forward<First>(first));
        (push_back(std::forward<M>(modules)), ...);
    }
    void push_back(std::shared_ptr<Module> m) { register_module(std::to_string(children_.size()), std::move(m)); }
    template <class M> void push_back(std::shared_ptr<M> m) { push_back(std::shared_ptr<Module>(std::move(m))); }
    template <class M> void push_back(const ModuleHolder<M> &m) { push_back(std::shared_ptr<Module>(m.ptr())); }
    template <class C> void extend(const C &list) {
        for (const auto &m : list) {
            push_back(m);
        }
    }
    size_t size() const noexcept { return children_.size(); }
    bool is_empty() const noexcept { return children_.is_empty(); }
    auto begin() { return list_begin(); }
    auto end() { return list_.end(); }
    std::shared_ptr<Module> ptr(size_t i) const { return children_[i].value(); }
    std::shared_ptr<Module> operator[](size_t i) const { return ptr(i); }
    template <class M> std::shared_ptr<M> ptr(size_t i) const { return std::dynamic_pointer_cast<M>(ptr(i)); }
    template <class M> M &at(size_t i) {
        if (auto *m = dynamic_cast<M *>(ptr(i).get())) {
            return *m;
        }
        throw TypeError(TAPER_ERROR_TYPE, "ModuleList: module " + std::to_string(i) + " is a " + ptr(i)->name());
    }

  private:
    std::vector<std::shared_ptr<Module>>::iterator list_begin() {
        list_ = children_.values();
        return list_.begin();
    }
    std::vector<std::shared_ptr<Module>> list_;
};
TORCH_MODULE(ModuleList);

/// Modules by name.
class ModuleDictImpl : public Module {
  public:
    ModuleDictImpl() : Module("torch::nn::ModuleDict") {}
    explicit ModuleDictImpl(const OrderedDict<std::string, std::shared_ptr<Module>> &modules) : ModuleDictImpl() { update(modules); }
    void update(const OrderedDict<std::string, std::shared_ptr<Module>> &modules) {
        for (const auto &m : modules) {
            children_.contains(m.key()) ? replace_module(m.key(), m.value()) : register_module(m.key(), m.value());
        }
    }
    std::shared_ptr<Module> operator[](const std::string &key) const { return children_[key]; }
    template <class M> M &at(const std::string &key) {
        if (auto *m = dynamic_cast<M *>(children_[key].get())) {
            return *m;
        }
        throw TypeError(TAPER_ERROR_TYPE, "ModuleDict: " + key + " is a " + children_[key]->name());
    }
    bool contains(const std::string &key) const { return children_.contains(key); }
    size_t size() const { return children_.size(); }
    bool empty() const { return children_.is_empty(); }
    void clear() { children_.clear(); }
    std::vector<std::string> keys() const { return children_.keys(); }
    std::vector<std::shared_ptr<Module>> values() const { return children_.values(); }
    std::vector<std::pair<std::string, std::shared_ptr<Module>>> items() const { return children_.pairs(); }
    std::shared_ptr<Module> pop(const std::string &key) {
        auto m = children_[key];
        children_.erase(key);
        return m;
    }
};
TORCH_MODULE(ModuleDict);

/// A function as a module: Functional(torch::relu), Functional(f, more arguments).
class FunctionalImpl : public Module {
  public:
    explicit FunctionalImpl(std::function<Tensor(Tensor)> f) : Module("torch::nn::Functional"), f_(std::move(f)) {}
    template <class F, class... A, std::enable_if_t<(sizeof...(A) > 0), int> = 0>
    explicit FunctionalImpl(F f, A... a) : FunctionalImpl([f, a...](Tensor x) { return f(x, a...); }) {}
    Tensor forward(Tensor x) { return f_(std::move(x)); }

  private:
    std::function<Tensor(Tensor)> f_;
};
TORCH_MODULE(Functional);

} // namespace nn
} // namespace torch

#endif
