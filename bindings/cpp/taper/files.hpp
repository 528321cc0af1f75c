/// Opened files, whose tensors are read when they are asked for, and checkpoints.
#ifndef TAPER_FILES_HPP
#define TAPER_FILES_HPP

#include "lr_scheduler.hpp"
#include "named_tensors.hpp"
#include "nn.hpp"
#include "optim.hpp"

#include <memory>
#include <string>
#include <vector>

namespace taper {

/// An opened file of any format that NamedTensors::load reads. Copies are the same file.
class TensorFile {
  public:
    /// With mapped, tensors read onto the CPU have the file's pages as their memory where that can be; then nobody may
    /// shorten the file while they live.
    explicit TensorFile(const std::string &path, bool mapped = false) {
        taper_tensor_file *f = nullptr;
        detail::check(taper_tensor_file_open(detail::text(path), mapped, &f));
        set(f);
    }
    /// A file's bytes in memory, which the opened file keeps.
    static TensorFile of_memory(std::vector<unsigned char> bytes) {
        auto *kept = new std::vector<unsigned char>(std::move(bytes));
        taper_tensor_file *f = nullptr;
        detail::check(taper_tensor_file_open_memory(
            kept->data(), kept->size(), [](void *user) { delete static_cast<std::vector<unsigned char> *>(user); }, kept, &f));
        return TensorFile(f);
    }
    size_t size() const { return taper_tensor_file_len(h_.get()); }
    std::string name(size_t i) const {
        const char *s = taper_tensor_file_name(h_.get(), i);
        return s ? s : "";
    }
    std::vector<std::string> names() const {
        std::vector<std::string> out;
        for (size_t i = 0; i < size(); ++i) {
            out.push_back(name(i));
        }
        return out;
    }
    /// "safetensors", "safetensors index", "PyTorch", "NPZ" or "NPY".
    std::string format() const {
        taper_string *s = nullptr;
        detail::check(taper_tensor_file_format(h_.get(), &s));
        return detail::take_string(s);
    }
    /// Of a tensor, which is not read.
    DType dtype(const std::string &name) const {
        int32_t d = 0;
        detail::check(taper_tensor_file_dtype(h_.get(), detail::text(name), &d));
        return static_cast<DType>(d);
    }
    std::vector<int64_t> sizes(const std::string &name) const {
        std::vector<int64_t> out(64);
        size_t n = 0;
        detail::check(taper_tensor_file_sizes(h_.get(), detail::text(name), out.data(), out.size(), &n));
        out.resize(n);
        return out;
    }
    /// Reads one tensor.
    Tensor get(const std::string &name, std::optional<Device> device = std::nullopt) const {
        taper_tensor *t = nullptr;
        detail::check(taper_tensor_file_get(h_.get(), detail::text(name), detail::raw(device), &t));
        return Tensor::adopt(t);
    }
    Tensor operator[](const std::string &name) const { return get(name); }
    /// Reads rows start to stop (exclusive) of a tensor.
    Tensor rows(const std::string &name, int64_t start, int64_t stop, std::optional<Device> device = std::nullopt) const {
        taper_tensor *t = nullptr;
        detail::check(taper_tensor_file_get_rows(h_.get(), detail::text(name), start, stop, detail::raw(device), &t));
        return Tensor::adopt(t);
    }
    /// The text entries, without tensors.
    NamedTensors metadata() const {
        taper_named_tensors *n = nullptr;
        detail::check(taper_tensor_file_metadata(h_.get(), &n));
        return NamedTensors::adopt(n);
    }
    taper_tensor_file *handle() const noexcept { return h_.get(); }

  private:
    explicit TensorFile(taper_tensor_file *f) { set(f); }
    void set(taper_tensor_file *f) {
        h_.reset(f, [](taper_tensor_file *x) { taper_tensor_file_free(x); });
    }
    std::shared_ptr<taper_tensor_file> h_;
};

/// What a checkpoint is made of: pointers to objects that live longer than the call.
struct CheckpointParts {
    std::vector<const nn::Module *> models{};
    std::vector<const optim::Optimizer *> optimizers{};
    std::vector<const optim::LRScheduler *> schedules{};
    /// Besides the default generator, which is always in it.
    std::vector<const Generator *> generators{};
};

namespace detail {
template <class H, class T> std::vector<H *> handles_of(const std::vector<const T *> &objects) {
    std::vector<H *> out;
    for (const T *o : objects) {
        out.push_back(o ? o->handle() : nullptr);
    }
    return out;
}
} // namespace detail

/// Writes one file from which load_checkpoint goes on with the same bits.
inline void save_checkpoint(const std::string &path, const CheckpointParts &parts,
                            const NamedTensors &extra = NamedTensors()) {
    const auto m = detail::handles_of<taper_module>(parts.models);
    const auto o = detail::handles_of<taper_optimizer>(parts.optimizers);
    const auto s = detail::handles_of<taper_schedule>(parts.schedules);
    const auto g = detail::handles_of<taper_generator>(parts.generators);
    detail::check(taper_checkpoint_save(detail::text(path), m.data(), m.size(), o.data(), o.size(), s.data(), s.size(),
                                        g.data(), g.size(), extra.handle()));
}
/// Reads it into objects of the same structure and gives the caller's tensors and texts. A failure changes nothing. keys
/// receives the modules' names that did not match, which are an error when strict.
inline NamedTensors load_checkpoint(const std::string &path, const CheckpointParts &parts, bool strict = true,
                                    nn::IncompatibleKeys *keys = nullptr) {
    const auto m = detail::handles_of<taper_module>(parts.models);
    const auto o = detail::handles_of<taper_optimizer>(parts.optimizers);
    const auto s = detail::handles_of<taper_schedule>(parts.schedules);
    const auto g = detail::handles_of<taper_generator>(parts.generators);
    taper_named_tensors *extra = nullptr;
    taper_string *missing = nullptr, *unexpected = nullptr;
    detail::check(taper_checkpoint_load(detail::text(path), m.data(), m.size(), o.data(), o.size(), s.data(), s.size(),
                                        g.data(), g.size(), strict, &extra, &missing, &unexpected));
    nn::IncompatibleKeys found{detail::take_lines(missing), detail::take_lines(unexpected)};
    if (keys) {
        *keys = std::move(found);
    }
    return NamedTensors::adopt(extra);
}

} // namespace taper

#endif
