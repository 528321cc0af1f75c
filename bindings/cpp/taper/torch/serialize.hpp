/// torch::save and torch::load: tensors, lists of them, modules and optimisers in files and streams, PyTorch's .pt format
/// (safetensors where the name ends so); .pt files of Python's are read too.
#ifndef TAPER_TORCH_SERIALIZE_HPP
#define TAPER_TORCH_SERIALIZE_HPP

#include "autograd.hpp"
#include "containers.hpp"
#include "optim.hpp"

#include <fstream>

namespace torch {
namespace serialize {
/// Tensors by dotted names on their way into a file.
class OutputArchive {
  public:
    void write(const std::string &key, const Tensor &t, bool = false) {
        if (t.defined()) {
            named_.insert(prefix_ + key, t.detach().taper());
        }
    }
    void write(const std::string &key, const OutputArchive &nested) {
        for (const auto &[name, t] : nested.named_) {
            named_.insert(prefix_ + key + "." + name, t);
        }
    }
    void save_to(const std::string &path) const {
        const std::string end = ".safetensors";
        const bool safe = path.size() >= end.size() && path.compare(path.size() - end.size(), end.size(), end) == 0;
        named_.save(path, safe ? "safetensors" : "pt");
    }
    void save_to(std::ostream &o) const {
        const auto bytes = named_.to_memory("pt").to_vector<uint8_t>();
        o.write(reinterpret_cast<const char *>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        if (!o) {
            throw taper::IoError(TAPER_ERROR_IO, "torch::save: the stream did not take the bytes");
        }
    }
    taper::NamedTensors &tensors() { return named_; }

  private:
    taper::NamedTensors named_;
    std::string prefix_;
};
/// Tensors by dotted names from a file.
class InputArchive {
  public:
    void load_from(const std::string &path, std::optional<Device> device = std::nullopt) {
        named_ = taper::NamedTensors::load(path, device ? std::optional<taper::Device>(*device) : std::nullopt);
    }
    void load_from(std::istream &in, std::optional<Device> device = std::nullopt) {
        const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
        named_ = taper::NamedTensors::from_memory(bytes.data(), bytes.size(), device ? std::optional<taper::Device>(*device) : std::nullopt);
    }
    bool try_read(const std::string &key, Tensor &t, bool = false) {
        const std::string name = prefix_ + key;
        for (size_t i = 0; i < named_.size(); ++i) {
            if (named_.name(i) == name) {
                t = Tensor::from(named_.at(i));
                return true;
            }
        }
        return false;
    }
    void read(const std::string &key, Tensor &t, bool is_buffer = false) {
        if (!try_read(key, t, is_buffer)) {
            throw taper::KeyError(TAPER_ERROR_KEY, "No such serialized tensor '" + prefix_ + key + "'");
        }
    }
    void read(const std::string &key, InputArchive &nested) {
        nested.named_ = named_;
        nested.prefix_ = prefix_ + key + ".";
    }
    std::vector<std::string> keys() const {
        std::vector<std::string> out;
        for (size_t i = 0; i < named_.size(); ++i) {
            if (named_.name(i).compare(0, prefix_.size(), prefix_) == 0) {
                out.push_back(named_.name(i).substr(prefix_.size()));
            }
        }
        return out;
    }
    taper::NamedTensors &tensors() { return named_; }

  private:
    taper::NamedTensors named_;
    std::string prefix_;
};
} // namespace serialize

namespace detail {
inline void put(serialize::OutputArchive &a, const Tensor &t) { a.write("0", t); }
inline void put(serialize::OutputArchive &a, const std::vector<Tensor> &list) {
    for (size_t i = 0; i < list.size(); ++i) {
        a.write(std::to_string(i), list[i]);
    }
}
inline void put(serialize::OutputArchive &a, const nn::Module &m) {
    for (const auto &list : {m.named_parameters(), m.named_buffers()}) {
        for (const auto &t : list) {
            a.write(t.key(), t.value());
        }
    }
}
template <class M, std::enable_if_t<std::is_base_of_v<nn::Module, M>, int> = 0>
void put(serialize::OutputArchive &a, const std::shared_ptr<M> &m) {
    put(a, static_cast<const nn::Module &>(*m));
}
template <class M> void put(serialize::OutputArchive &a, const nn::ModuleHolder<M> &m) { put(a, m.ptr()); }
inline void put(serialize::OutputArchive &a, optim::Optimizer &o) { a.tensors() = o.state_dict(); }

inline void take(serialize::InputArchive &a, Tensor &t) { a.read("0", t); }
inline void take(serialize::InputArchive &a, std::vector<Tensor> &list) {
    std::vector<Tensor> found;
    Tensor t;
    while (a.try_read(std::to_string(found.size()), t)) {
        found.push_back(t);
    }
    list = std::move(found);
}
/// All tensors are found and looked at before the first is written.
inline void take(serialize::InputArchive &a, nn::Module &m) {
    std::vector<std::pair<Tensor, Tensor>> pairs;
    for (const auto &list : {m.named_parameters(), m.named_buffers()}) {
        for (const auto &t : list) {
            Tensor from;
            a.read(t.key(), from);
            if (from.sizes() != t.value().sizes()) {
                throw taper::RuntimeError(TAPER_ERROR_RUNTIME, joined("size mismatch for ", t.key(), ": the file has ", from.sizes(),
                                                                     ", the module ", t.value().sizes()));
            }
            pairs.emplace_back(t.value(), from);
        }
    }
    const NoGradGuard guard;
    for (const auto &[to, from] : pairs) {
        to.detach().copy_(from);
    }
}
template <class M, std::enable_if_t<std::is_base_of_v<nn::Module, M>, int> = 0>
void take(serialize::InputArchive &a, std::shared_ptr<M> &m) {
    take(a, static_cast<nn::Module &>(*m));
}
template <class M> void take(serialize::InputArchive &a, nn::ModuleHolder<M> &m) { take(a, static_cast<nn::Module &>(*m.ptr())); }
inline void take(serialize::InputArchive &a, optim::Optimizer &o) { o.load_state_dict(a.tensors()); }
} // namespace detail

/// Saves a tensor, a vector of them, a module or an optimiser to a path or stream.
template <class V, class To> void save(V &&value, To &&to) {
    serialize::OutputArchive a;
    detail::put(a, value);
    a.save_to(to);
}
/// Reads what save wrote. A failure changes nothing.
template <class V, class From> void load(V &value, From &&from, std::optional<Device> device = std::nullopt) {
    serialize::InputArchive a;
    a.load_from(from, device);
    detail::take(a, value);
}

namespace jit {
/// What jit::load would give. There is none: TorchScript's programs are not run.
struct Module {
    [[noreturn]] IValue forward(const std::vector<IValue> &) const { refuse("forward"); }
    void to(const Device &) const { refuse("to"); }
    void eval() const { refuse("eval"); }
    [[noreturn]] static void refuse(const std::string &what) {
        throw NotImplementedError(TAPER_ERROR_NOT_IMPLEMENTED,
                                  "torch::jit::" + what +
                                      ": Taper does not run TorchScript. Save the weights in Python, torch.save(model.state_dict(), "
                                      "\"weights.pt\"), write the module in C++ with the same names and read them with "
                                      "torch::load(module, \"weights.pt\").");
    }
};
namespace script {
using Module = jit::Module;
}
template <class From> [[noreturn]] Module load(From &&, std::optional<Device> = std::nullopt) { Module::refuse("load"); }
} // namespace jit
} // namespace torch

#endif
