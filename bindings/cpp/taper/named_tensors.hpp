/// Tensors by name: what state_dict gives, and files of them: safetensors, PyTorch's, NumPy's.
#ifndef TAPER_NAMED_TENSORS_HPP
#define TAPER_NAMED_TENSORS_HPP

#include "tensor.hpp"

namespace taper {

/// Tensors by name, in order: what state_dict gives; saved and loaded in files.
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
    /// Reads safetensors (an index of several files too), PyTorch's .pt, NPZ or NPY: what it is shows from its first bytes.
    static NamedTensors load(const std::string &path, std::optional<Device> device = std::nullopt) {
        taper_named_tensors *n = nullptr;
        detail::check(taper_named_tensors_load(detail::text(path), detail::raw(device), &n));
        return adopt(n);
    }
    /// The same of a file's bytes in memory.
    static NamedTensors from_memory(const void *data, size_t nbytes, std::optional<Device> device = std::nullopt) {
        taper_named_tensors *n = nullptr;
        detail::check(taper_named_tensors_from_memory(data, nbytes, detail::raw(device), &n));
        return adopt(n);
    }
    /// Writes a file of a format: "safetensors", "pt", "npz", "npz_compressed" or "npy".
    void save(const std::string &path, const std::string &format) const {
        detail::check(taper_named_tensors_save_as(h_.get(), detail::text(path), detail::text(format)));
    }
    /// The bytes of such a file, as a tensor of uint8.
    Tensor to_memory(const std::string &format = "safetensors") const {
        taper_tensor *t = nullptr;
        detail::check(taper_named_tensors_to_memory(h_.get(), detail::text(format), &t));
        return Tensor::adopt(t);
    }
    /// Writes files of at most max_bytes and their index into a folder; gives the number of files.
    size_t save_sharded(const std::string &folder, uint64_t max_bytes, const std::string &stem = "model") const {
        size_t n = 0;
        detail::check(taper_named_tensors_save_sharded(h_.get(), detail::text(folder), detail::text(stem), max_bytes, &n));
        return n;
    }
    /// The tensors and texts whose names begin with a prefix, without it.
    NamedTensors select(const std::string &prefix) const {
        taper_named_tensors *n = nullptr;
        detail::check(taper_named_tensors_select(h_.get(), detail::text(prefix), &n));
        return adopt(n);
    }
    void save(const std::string &path) const { detail::check(taper_named_tensors_save(h_.get(), detail::text(path))); }
    size_t size() const { return taper_named_tensors_len(h_.get()); }
    std::string name(size_t i) const {
        const char *s = taper_named_tensors_name(h_.get(), i);
        return s ? s : "";
    }
    /// The tensor of a name; insert puts one in.
    Tensor operator[](const std::string &name) const {
        taper_tensor *t = nullptr;
        detail::check(taper_named_tensors_get_by_name(h_.get(), detail::text(name), &t));
        return Tensor::adopt(t);
    }
    Tensor at(size_t i) const {
        taper_tensor *t = nullptr;
        detail::check(taper_named_tensors_get(h_.get(), i, &t));
        return Tensor::adopt(t);
    }
    void insert(const std::string &name, const Tensor &t) {
        detail::check(taper_named_tensors_insert(h_.get(), detail::text(name), t.handle()));
    }
    taper_named_tensors *handle() const noexcept { return h_.get(); }
    /// A text that is saved with the tensors.
    void set_metadata(const std::string &key, const std::string &value) {
        detail::check(taper_named_tensors_set_metadata(h_.get(), detail::text(key), detail::text(value)));
    }
    std::optional<std::string> metadata(const std::string &key) const {
        taper_string *s = nullptr;
        detail::check(taper_named_tensors_metadata(h_.get(), detail::text(key), &s));
        return s ? std::optional<std::string>(detail::take_string(s)) : std::nullopt;
    }
    /// All text entries.
    std::vector<std::pair<std::string, std::string>> metadata() const {
        std::vector<std::pair<std::string, std::string>> out;
        for (size_t i = 0; i < taper_named_tensors_num_metadata(h_.get()); ++i) {
            taper_string *s = nullptr;
            detail::check(taper_named_tensors_metadata_key(h_.get(), i, &s));
            std::string key = detail::take_string(s);
            std::string value = metadata(key).value_or("");
            out.emplace_back(std::move(key), std::move(value));
        }
        return out;
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

} // namespace taper

#endif
