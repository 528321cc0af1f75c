/// Data sets, samplers, and the loader whose batches a range-based for goes through.
#ifndef TAPER_DATA_HPP
#define TAPER_DATA_HPP

#include "named_tensors.hpp"

#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace taper {
namespace data {

/// The tensors of one sample.
using Sample = std::vector<Tensor>;
/// The tensors of a batch.
using Batch = std::vector<Tensor>;

/// What fails in a program's own data set comes as this error, whose message names the sample; the exception itself is nested in
/// it (std::rethrow_if_nested).
struct SampleError : CallbackError {
    using CallbackError::CallbackError;
};

namespace detail {
using namespace taper::detail;
inline void check_sample(taper_error *e) {
    if (!e) {
        return;
    }
    const char *text = taper_error_message(e);
    const SampleError named(taper_error_code(e), text ? text : "unknown error", "batches_next");
    if (!Travelling::find(taper_error_payload(e))) {
        raise(e);
    }
    try {
        raise(e);
    } catch (...) {
        std::throw_with_nested(named);
    }
}
} // namespace detail

/// Samples by number, or one after the other. A copy is the same data set.
class Dataset {
  public:
    /// Sample i has row i of each tensor.
    static Dataset of_tensors(const std::vector<Tensor> &tensors) {
        const auto h = detail::handles(tensors);
        taper_dataset *d = nullptr;
        detail::check(taper_dataset_from_tensors(h.data(), h.size(), &d));
        return Dataset(d);
    }
    /// `get` makes sample `index` of `size`; any thread may call it. Draws made from `seed` do not depend on how many threads there
    /// are.
    static Dataset of_function(int64_t size, std::function<Sample(int64_t index, uint64_t seed)> get) {
        struct Own {
            int64_t size;
            std::function<Sample(int64_t, uint64_t)> get;
        };
        taper_dataset_vtable v = TAPER_DATASET_VTABLE_INIT;
        v.len = [](void *user, int64_t *out) -> taper_error * {
            *out = static_cast<Own *>(user)->size;
            return nullptr;
        };
        v.get = [](void *user, int64_t index, uint64_t seed, taper_tensor_list **out) -> taper_error * {
            return detail::guarded([&] { *out = detail::make_list(static_cast<Own *>(user)->get(index, seed)); });
        };
        v.drop = detail::drop_as<Own>;
        taper_dataset *d = nullptr;
        detail::check(taper_dataset_new(&v, new Own{size, std::move(get)}, &d));
        return Dataset(d);
    }
    /// The same without the seed.
    static Dataset of_function(int64_t size, std::function<Sample(int64_t index)> get) {
        return of_function(size, [get = std::move(get)](int64_t index, uint64_t) { return get(index); });
    }
    /// Gives the next sample; nothing at the end.
    using Next = std::function<std::optional<Sample>(uint64_t seed)>;
    /// Samples one after the other: `begin` is called for each pass. A loader's threads take turns at one pass.
    static Dataset of_stream(std::function<Next()> begin) {
        using Begin = std::function<Next()>;
        taper_stream_vtable v = TAPER_STREAM_VTABLE_INIT;
        v.begin = [](void *user, void **pass) -> taper_error * {
            return detail::guarded([&] { *pass = new Next((*static_cast<Begin *>(user))()); });
        };
        v.next = [](void *, void *pass, uint64_t seed, taper_tensor_list **out) -> taper_error * {
            return detail::guarded([&] {
                if (auto sample = (*static_cast<Next *>(pass))(seed)) {
                    *out = detail::make_list(*sample);
                }
            });
        };
        v.end = [](void *, void *pass) { delete static_cast<Next *>(pass); };
        v.drop = detail::drop_as<Begin>;
        taper_dataset *d = nullptr;
        detail::check(taper_dataset_new_stream(&v, new Begin(std::move(begin)), &d));
        return Dataset(d);
    }
    /// The samples at `indices`, which may count from the end.
    Dataset subset(const std::vector<int64_t> &indices) const {
        taper_dataset *d = nullptr;
        detail::check(taper_dataset_subset(handle(), indices.data(), indices.size(), &d));
        return Dataset(d);
    }
    /// Data sets one after the other.
    static Dataset concat(const std::vector<Dataset> &parts) { return joined(parts, taper_dataset_concat); }
    /// Side by side: sample i has the tensors of sample i of each.
    static Dataset stack(const std::vector<Dataset> &parts) { return joined(parts, taper_dataset_stack); }
    /// Streams one after the other.
    static Dataset chain(const std::vector<Dataset> &parts) { return joined(parts, taper_dataset_chain); }
    /// Parts at random, of as many samples each, or of fractions that sum up to 1.
    std::vector<Dataset> random_split(const std::vector<double> &lengths, const Generator *generator = nullptr) const {
        taper_tensor_list *l = nullptr;
        detail::check(taper_dataset_random_split(handle(), lengths.data(), lengths.size(), detail::raw(generator), &l));
        std::vector<Dataset> parts;
        for (const Tensor &indices : detail::adopt_list<Tensor>(l)) {
            taper_dataset *d = nullptr;
            detail::check(taper_dataset_subset_tensor(handle(), indices.handle(), &d));
            parts.push_back(Dataset(d));
        }
        return parts;
    }
    /// How many samples; an error for a stream.
    int64_t size() const {
        int64_t n = 0;
        detail::check(taper_dataset_len(handle(), &n));
        return n;
    }
    /// One sample; `index` may count from the end.
    Sample get(int64_t index, uint64_t seed = 0) const {
        taper_tensor_list *l = nullptr;
        detail::check(taper_dataset_get(handle(), index, seed, &l));
        return detail::adopt_list<Tensor>(l);
    }
    taper_dataset *handle() const noexcept { return h_.get(); }

  private:
    template <class F> static Dataset joined(const std::vector<Dataset> &parts, F &&join) {
        std::vector<taper_dataset *> h;
        for (const auto &p : parts) {
            h.push_back(p.handle());
        }
        taper_dataset *d = nullptr;
        detail::check(join(h.data(), h.size(), &d));
        return Dataset(d);
    }
    explicit Dataset(taper_dataset *d) : h_(d, [](taper_dataset *x) { taper_dataset_free(x); }) {}
    std::shared_ptr<taper_dataset> h_;
};

/// The order of samples. A copy is the same sampler.
class Sampler {
  public:
    static Sampler sequential(int64_t n) {
        return made([&](taper_sampler **s) { return taper_sampler_sequential(n, s); });
    }
    /// 0 to n - 1 in random order, or with replacement; `num_samples` of them (none: n). Without a generator each pass seeds one of
    /// its own from the default one.
    static Sampler random(int64_t n, bool replacement = false, std::optional<int64_t> num_samples = std::nullopt,
                          const Generator *generator = nullptr) {
        return made([&](taper_sampler **s) {
            return taper_sampler_random(n, replacement, num_samples ? &*num_samples : nullptr, detail::raw(generator), s);
        });
    }
    static Sampler fixed(const std::vector<int64_t> &indices) {
        return made([&](taper_sampler **s) { return taper_sampler_fixed(indices.data(), indices.size(), s); });
    }
    static Sampler subset_random(const std::vector<int64_t> &indices, const Generator *generator = nullptr) {
        return made([&](taper_sampler **s) {
            return taper_sampler_subset_random(indices.data(), indices.size(), detail::raw(generator), s);
        });
    }
    /// Indices drawn with weights, which need not sum up to 1.
    static Sampler weighted(const std::vector<double> &weights, int64_t num_samples, bool replacement = true,
                            const Generator *generator = nullptr) {
        return made([&](taper_sampler **s) {
            return taper_sampler_weighted(weights.data(), weights.size(), num_samples, replacement, detail::raw(generator), s);
        });
    }
    /// The part of process `rank` of `num_replicas`.
    static Sampler distributed(int64_t n, int64_t num_replicas, int64_t rank, bool shuffle = true, int64_t seed = 0,
                               bool drop_last = false) {
        return made([&](taper_sampler **s) {
            return taper_sampler_distributed(n, num_replicas, rank, shuffle, seed, drop_last, s);
        });
    }
    /// Batches of another sampler's indices.
    static Sampler batch(const Sampler &of, int64_t batch_size, bool drop_last = false) {
        return made([&](taper_sampler **s) { return taper_sampler_batch(of.handle(), batch_size, drop_last, s); });
    }
    /// Gives a distributed sampler's next pass another order.
    void set_epoch(int64_t epoch) const { detail::check(taper_sampler_set_epoch(handle(), epoch)); }
    int64_t size() const { return taper_sampler_len(handle()); }
    /// The indices of a pass, int64.
    Tensor draw() const {
        taper_tensor *t = nullptr;
        detail::check(taper_sampler_draw(handle(), &t));
        return Tensor::adopt(t);
    }
    taper_sampler *handle() const noexcept { return h_.get(); }

  private:
    template <class F> static Sampler made(F &&make) {
        taper_sampler *s = nullptr;
        detail::check(make(&s));
        return Sampler(s);
    }
    explicit Sampler(taper_sampler *s) : h_(s, [](taper_sampler *x) { taper_sampler_free(x); }) {}
    std::shared_ptr<taper_sampler> h_;
};

/// How a loader makes batches; the defaults are PyTorch's.
struct DataLoaderOptions {
    /// 0: no batches, the samples as they are.
    int64_t batch_size = 1;
    bool shuffle = false;
    bool drop_last = false;
    /// Threads that make batches ahead; 0: the calling thread makes them.
    int64_t num_workers = 0;
    /// Batches made ahead for each thread; 0: 2.
    int64_t prefetch_factor = 0;
    /// Takes the place of `shuffle`; a sampler of batches that of `batch_size` too.
    std::optional<Sampler> sampler;
    /// What the shuffle and each pass's seed are drawn from; none: the default generator.
    std::optional<Generator> generator;
    /// Makes a batch; none: the tensors of each place are stacked. Any thread may call it.
    std::function<Batch(std::vector<Sample>)> collate;
};

/// A pass of a loader. Copies are the same pass; one call at a time uses it.
class Batches {
  public:
    /// The next batch; nothing at the end. After an error the pass goes on behind its batch.
    std::optional<Batch> next() const {
        taper_tensor_list *l = nullptr;
        detail::check_sample(taper_batches_next(h_.get(), &l));
        if (!l) {
            return std::nullopt;
        }
        return detail::adopt_list<Tensor>(l);
    }
    /// Where the pass is, for DataLoader::resume.
    NamedTensors state_dict() const {
        taper_named_tensors *n = nullptr;
        detail::check(taper_batches_state_dict(h_.get(), &n));
        return NamedTensors::adopt(n);
    }

    /// Goes through a pass.
    class Iterator {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = Batch;
        using difference_type = std::ptrdiff_t;
        using pointer = Batch *;
        using reference = Batch &;
        Iterator() = default;
        explicit Iterator(Batches of) : of_(std::make_shared<Batches>(std::move(of))) { ++*this; }
        Batch &operator*() const { return *now_; }
        Batch *operator->() const { return now_.get(); }
        Iterator &operator++() {
            if (auto batch = of_->next()) {
                now_ = std::make_shared<Batch>(std::move(*batch));
            } else {
                now_.reset();
                of_.reset();
            }
            return *this;
        }
        void operator++(int) { ++*this; }
        bool operator==(const Iterator &other) const { return of_ == other.of_; }
        bool operator!=(const Iterator &other) const { return !(*this == other); }

      private:
        std::shared_ptr<Batches> of_;
        std::shared_ptr<Batch> now_;
    };
    Iterator begin() const { return Iterator(*this); }
    Iterator end() const { return {}; }

  private:
    friend class DataLoader;
    explicit Batches(taper_batches *b) : h_(b, [](taper_batches *x) { taper_batches_free(x); }) {}
    std::shared_ptr<taper_batches> h_;
};

/// Makes batches of a data set. A copy is the same loader.
///
///     taper::data::DataLoader loader(dataset, options);
///     for (auto &batch : loader) train(batch[0], batch[1]);
class DataLoader {
  public:
    explicit DataLoader(const Dataset &dataset, const DataLoaderOptions &options = {}) {
        taper_data_loader_options o = TAPER_DATA_LOADER_OPTIONS_INIT;
        o.batch_size = options.batch_size;
        o.num_workers = options.num_workers;
        o.prefetch_factor = options.prefetch_factor;
        o.shuffle = options.shuffle;
        o.drop_last = options.drop_last;
        using Collate = std::function<Batch(std::vector<Sample>)>;
        taper_collate_vtable v = TAPER_COLLATE_VTABLE_INIT;
        v.call = [](void *user, taper_tensor_list *const *samples, size_t n, taper_tensor_list **out) -> taper_error * {
            return detail::guarded([&] {
                std::vector<Sample> list(n);
                for (size_t i = 0; i < n; ++i) {
                    for (size_t k = 0; k < taper_tensor_list_len(samples[i]); ++k) {
                        taper_tensor *t = nullptr;
                        detail::check(taper_tensor_list_get(samples[i], k, &t));
                        list[i].push_back(Tensor::adopt(t));
                    }
                }
                *out = detail::make_list((*static_cast<Collate *>(user))(std::move(list)));
            });
        };
        v.drop = detail::drop_as<Collate>;
        taper_data_loader *l = nullptr;
        detail::check(taper_data_loader_create(dataset.handle(), options.sampler ? options.sampler->handle() : nullptr,
                                               options.generator ? options.generator->handle() : nullptr, &o,
                                               options.collate ? &v : nullptr,
                                               options.collate ? new Collate(options.collate) : nullptr, &l));
        h_.reset(l, [](taper_data_loader *x) { taper_data_loader_free(x); });
    }
    /// The number of batches; an error for a stream.
    int64_t size() const {
        int64_t n = 0;
        detail::check(taper_data_loader_len(handle(), &n));
        return n;
    }
    /// Begins a pass.
    Batches batches() const {
        taper_batches *b = nullptr;
        detail::check(taper_data_loader_begin(handle(), &b));
        return Batches(b);
    }
    /// Goes on where a pass's state_dict was asked.
    Batches resume(const NamedTensors &state) const {
        taper_batches *b = nullptr;
        detail::check(taper_data_loader_resume(handle(), state.handle(), &b));
        return Batches(b);
    }
    /// A pass of its own for each loop.
    Batches::Iterator begin() const { return batches().begin(); }
    Batches::Iterator end() const { return {}; }
    taper_data_loader *handle() const noexcept { return h_.get(); }

  private:
    std::shared_ptr<taper_data_loader> h_;
};

} // namespace data
} // namespace taper

#endif
