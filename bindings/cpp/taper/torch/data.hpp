/// torch::data: data sets, transforms, samplers and loaders. Samplers draw libtorch's order from the seed.
#ifndef TAPER_TORCH_DATA_HPP
#define TAPER_TORCH_DATA_HPP

#include "autograd.hpp"

#include <algorithm>
#include <chrono>
#include <deque>
#include <fstream>
#include <future>

namespace torch {
namespace data {

/// An input with its target.
template <class Data = Tensor, class Target = Tensor> struct Example {
    using DataType = Data;
    using TargetType = Target;
    Data data;
    Target target;
    Example() = default;
    Example(Data d, Target t) : data(std::move(d)), target(std::move(t)) {}
};
namespace example {
struct NoTarget {};
} // namespace example
template <class Data> struct Example<Data, example::NoTarget> {
    using DataType = Data;
    using TargetType = example::NoTarget;
    Data data;
    Example() = default;
    Example(Data d) : data(std::move(d)) {}
    operator Data &() { return data; }
    operator const Data &() const { return data; }
};
using TensorExample = Example<Tensor, example::NoTarget>;

namespace transforms {
/// Makes one batch of another.
template <class In, class Out> class BatchTransform {
  public:
    using InputBatchType = In;
    using OutputBatchType = Out;
    virtual ~BatchTransform() = default;
    virtual Out apply_batch(In batch) = 0;
};
/// Makes one example of another.
template <class In, class Out> class Transform : public BatchTransform<std::vector<In>, std::vector<Out>> {
  public:
    using InputType = In;
    using OutputType = Out;
    virtual Out apply(In input) = 0;
    std::vector<Out> apply_batch(std::vector<In> batch) override {
        std::vector<Out> out;
        out.reserve(batch.size());
        for (auto &e : batch) {
            out.push_back(apply(std::move(e)));
        }
        return out;
    }
};
template <class In, class Out = In> class Lambda : public Transform<In, Out> {
  public:
    explicit Lambda(std::function<Out(In)> f) : f_(std::move(f)) {}
    Out apply(In input) override { return f_(std::move(input)); }

  private:
    std::function<Out(In)> f_;
};
template <class In, class Out = In> class BatchLambda : public BatchTransform<In, Out> {
  public:
    explicit BatchLambda(std::function<Out(In)> f) : f_(std::move(f)) {}
    Out apply_batch(In batch) override { return f_(std::move(batch)); }

  private:
    std::function<Out(In)> f_;
};
/// Changes an example's data alone.
template <class Target = Tensor> class TensorTransform : public Transform<Example<Tensor, Target>, Example<Tensor, Target>> {
  public:
    virtual Tensor operator()(Tensor input) = 0;
    Example<Tensor, Target> apply(Example<Tensor, Target> e) override {
        e.data = (*this)(std::move(e.data));
        return e;
    }
};
template <class Target = Tensor> class TensorLambda : public TensorTransform<Target> {
  public:
    explicit TensorLambda(std::function<Tensor(Tensor)> f) : f_(std::move(f)) {}
    Tensor operator()(Tensor input) override { return f_(std::move(input)); }

  private:
    std::function<Tensor(Tensor)> f_;
};
/// (x - mean) / stddev, a number for each channel or one for all.
template <class Target = Tensor> class Normalize : public TensorTransform<Target> {
  public:
    Normalize(const std::vector<double> &mean, const std::vector<double> &stddev) : mean_(shaped(mean)), stddev_(shaped(stddev)) {}
    Normalize(double mean, double stddev) : Normalize(std::vector<double>{mean}, std::vector<double>{stddev}) {}
    Tensor operator()(Tensor input) override { return input.sub(mean_).div(stddev_); }

  private:
    static Tensor shaped(const std::vector<double> &v) {
        return torch::tensor(v, kFloat32).view({static_cast<int64_t>(v.size()), 1, 1});
    }
    Tensor mean_, stddev_;
};
template <class Batch, class Out> using Collation = BatchTransform<Batch, Out>;
template <class T, class Batch = std::vector<T>> using Collate = BatchLambda<Batch, T>;
/// A batch's examples as one, in a new first dimension.
template <class E = Example<>> struct Stack;
template <> struct Stack<Example<>> : BatchTransform<std::vector<Example<>>, Example<>> {
    Example<> apply_batch(std::vector<Example<>> examples) override {
        std::vector<Tensor> data, targets;
        for (auto &e : examples) {
            data.push_back(std::move(e.data));
            targets.push_back(std::move(e.target));
        }
        return {torch::stack(data), torch::stack(targets)};
    }
};
template <> struct Stack<TensorExample> : BatchTransform<std::vector<TensorExample>, TensorExample> {
    TensorExample apply_batch(std::vector<TensorExample> examples) override {
        std::vector<Tensor> data;
        for (auto &e : examples) {
            data.push_back(std::move(e.data));
        }
        return {torch::stack(data)};
    }
};
} // namespace transforms

namespace datasets {
template <class D, class T> class MapDataset;

/// What gives batches for requests (indices, or for streams a size).
template <class Self, class Batch = std::vector<Example<>>, class Request = std::vector<size_t>> class BatchDataset {
  public:
    using SelfType = Self;
    using BatchType = Batch;
    using BatchRequestType = Request;
    static constexpr bool is_stateful = false;
    virtual ~BatchDataset() = default;
    virtual Batch get_batch(Request request) = 0;
    virtual std::optional<size_t> size() const = 0;
    template <class T> MapDataset<Self, T> map(T transform) & { return {static_cast<Self &>(*this), std::move(transform)}; }
    template <class T> MapDataset<Self, T> map(T transform) && { return {std::move(static_cast<Self &>(*this)), std::move(transform)}; }
};
/// What gives an example for an index: derive, define get and size.
template <class Self, class SingleExample = Example<>> class Dataset : public BatchDataset<Self, std::vector<SingleExample>> {
  public:
    using ExampleType = SingleExample;
    virtual SingleExample get(size_t index) = 0;
    std::vector<SingleExample> get_batch(std::vector<size_t> indices) override {
        std::vector<SingleExample> out;
        out.reserve(indices.size());
        for (const size_t i : indices) {
            out.push_back(get(i));
        }
        return out;
    }
};
/// What gives the next examples: derive, define get_batch(size_t).
template <class Self, class Batch = std::vector<Example<>>> class StreamDataset : public BatchDataset<Self, Batch, size_t> {};

/// A data set whose batches pass a transform.
template <class D, class T>
class MapDataset : public BatchDataset<MapDataset<D, T>, typename T::OutputBatchType, typename D::BatchRequestType> {
  public:
    using DatasetType = D;
    using TransformType = T;
    MapDataset(D dataset, T transform) : dataset_(std::move(dataset)), transform_(std::move(transform)) {}
    typename T::OutputBatchType get_batch(typename D::BatchRequestType request) override {
        return transform_.apply_batch(dataset_.get_batch(std::move(request)));
    }
    std::optional<size_t> size() const override { return dataset_.size(); }
    const D &dataset() const noexcept { return dataset_; }
    const T &transform() const noexcept { return transform_; }

  private:
    D dataset_;
    T transform_;
};
/// The rows of a tensor.
struct TensorDataset : Dataset<TensorDataset, TensorExample> {
    explicit TensorDataset(const std::vector<Tensor> &rows) : tensor(torch::stack(rows)) {}
    explicit TensorDataset(Tensor t) : tensor(std::move(t)) {}
    TensorExample get(size_t i) override { return tensor[static_cast<int64_t>(i)]; }
    std::optional<size_t> size() const override { return static_cast<size_t>(tensor.size(0)); }
    Tensor tensor;
};

/// The handwritten digits: the four IDX files of the original in a folder. Images are floats from 0 to 1, 1 x 28 x 28.
class MNIST : public Dataset<MNIST> {
  public:
    enum class Mode { kTrain, kTest };
    explicit MNIST(const std::string &root, Mode mode = Mode::kTrain) : mode_(mode) {
        const std::string which = mode == Mode::kTrain ? "train" : "t10k";
        images_ = read(root + "/" + which + "-images-idx3-ubyte", 0x803).to(kFloat32).div_(255).unsqueeze(1);
        targets_ = read(root + "/" + which + "-labels-idx1-ubyte", 0x801).to(kInt64);
        if (images_.size(0) != targets_.size(0)) {
            throw ValueError(TAPER_ERROR_VALUE, detail::joined("MNIST: ", images_.size(0), " images, but ", targets_.size(0), " labels in ", root));
        }
    }
    Example<> get(size_t i) override { return {images_[static_cast<int64_t>(i)], targets_[static_cast<int64_t>(i)]}; }
    std::optional<size_t> size() const override { return static_cast<size_t>(images_.size(0)); }
    bool is_train() const noexcept { return mode_ == Mode::kTrain; }
    const Tensor &images() const { return images_; }
    const Tensor &targets() const { return targets_; }

  private:
    /// An IDX file of bytes: its magic number says how many dimensions follow, each of four bytes.
    static Tensor read(const std::string &path, uint32_t magic) {
        std::ifstream file(path, std::ios::binary);
        if (!file) {
            throw taper::IoError(TAPER_ERROR_IO, "Error opening images file at " + path);
        }
        const auto number = [&] {
            unsigned char b[4] = {};
            file.read(reinterpret_cast<char *>(b), 4);
            if (!file) {
                throw taper::IoError(TAPER_ERROR_IO, path + ": the file ends in its head");
            }
            return uint32_t(b[0]) << 24 | uint32_t(b[1]) << 16 | uint32_t(b[2]) << 8 | b[3];
        };
        if (const uint32_t got = number(); got != magic) {
            throw ValueError(TAPER_ERROR_VALUE, detail::joined(path, ": expected the magic number ", magic, ", got ", got));
        }
        std::vector<int64_t> sizes;
        uint64_t count = 1;
        for (uint32_t i = 0; i < (magic & 0xff); ++i) {
            sizes.push_back(number());
            count *= static_cast<uint64_t>(sizes.back());
            if (count > (uint64_t(1) << 40)) {
                throw ValueError(TAPER_ERROR_VALUE, path + ": the sizes are too large");
            }
        }
        // The file's own length bounds what is read.
        const auto start = file.tellg();
        const auto rest = static_cast<uint64_t>(file.seekg(0, std::ios::end).tellg() - start);
        std::string bytes(std::min(count, rest), '\0');
        file.seekg(start).read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        bytes.resize(static_cast<size_t>(file.gcount()));
        if (bytes.size() < count) {
            throw ValueError(TAPER_ERROR_VALUE, detail::joined(path, ": the head says ", count, " bytes, but ", bytes.size(), " follow"));
        }
        taper_tensor *t = nullptr;
        detail::check(taper_tensor_from_data(bytes.data(), sizes.data(), sizes.size(), TAPER_UINT8, taper_device{TAPER_DEVICE_CPU, 0}, &t));
        return Tensor::adopt(t);
    }
    Mode mode_;
    Tensor images_, targets_;
};
} // namespace datasets

namespace samplers {
/// Gives the requests of batches.
template <class Request = std::vector<size_t>> class Sampler {
  public:
    using BatchRequestType = Request;
    virtual ~Sampler() = default;
    virtual void reset(std::optional<size_t> new_size) = 0;
    virtual std::optional<Request> next(size_t batch_size) = 0;
};
/// 0, 1, 2 ...
class SequentialSampler : public Sampler<> {
  public:
    explicit SequentialSampler(size_t size) : size_(size) {}
    void reset(std::optional<size_t> new_size = std::nullopt) override {
        size_ = new_size.value_or(size_);
        at_ = 0;
    }
    std::optional<std::vector<size_t>> next(size_t batch_size) override {
        if (at_ >= size_) {
            return std::nullopt;
        }
        std::vector<size_t> out(std::min(batch_size, size_ - at_));
        for (size_t &i : out) {
            i = at_++;
        }
        return out;
    }
    size_t index() const noexcept { return at_; }

  private:
    size_t size_, at_ = 0;
};
/// A permutation, drawn when made and at each reset.
class RandomSampler : public Sampler<> {
  public:
    explicit RandomSampler(int64_t size, Dtype index_dtype = kInt64) : indices_(torch::randperm(size, index_dtype)) {}
    void reset(std::optional<size_t> new_size = std::nullopt) override {
        indices_ = torch::randperm(static_cast<int64_t>(new_size.value_or(static_cast<size_t>(indices_.numel()))), indices_.options());
        at_ = 0;
    }
    std::optional<std::vector<size_t>> next(size_t batch_size) override {
        const int64_t left = indices_.numel() - at_;
        if (left <= 0) {
            return std::nullopt;
        }
        const int64_t n = std::min(left, static_cast<int64_t>(batch_size));
        const Tensor slice = indices_.narrow(0, at_, n).to(kInt64).contiguous();
        at_ += n;
        const int64_t *p = slice.data_ptr<int64_t>();
        return std::vector<size_t>(p, p + n);
    }
    size_t index() const noexcept { return static_cast<size_t>(at_); }

  private:
    Tensor indices_;
    int64_t at_ = 0;
};
/// The size of a batch of a stream.
class StreamSampler : public Sampler<size_t> {
  public:
    explicit StreamSampler(size_t epoch_size) : size_(epoch_size) {}
    void reset(std::optional<size_t> new_size = std::nullopt) override {
        size_ = new_size.value_or(size_);
        at_ = 0;
    }
    std::optional<size_t> next(size_t batch_size) override {
        if (at_ >= size_) {
            return std::nullopt;
        }
        const size_t n = std::min(batch_size, size_ - at_);
        at_ += n;
        return n;
    }

  private:
    size_t size_, at_ = 0;
};
} // namespace samplers

/// How a loader works.
struct DataLoaderOptions {
    DataLoaderOptions() = default;
    DataLoaderOptions(size_t batch_size) : batch_size_(batch_size) {}
    TORCH_ARG(size_t, batch_size) = 1;
    TORCH_ARG(size_t, workers) = 0;
    TORCH_ARG(std::optional<size_t>, max_jobs);
    TORCH_ARG(std::optional<std::chrono::milliseconds>, timeout);
    TORCH_ARG(bool, enforce_ordering) = true;
    TORCH_ARG(bool, drop_last) = false;
};

/// Batches of a data set for `for (auto &batch : *loader)`. With workers, batches are made by other threads and come in the
/// sampler's order all the same; what a worker throws, the loop throws.
template <class D, class S> class StatelessDataLoader {
  public:
    using BatchType = typename D::BatchType;
    StatelessDataLoader(D dataset, S sampler, DataLoaderOptions options)
        : dataset_(std::move(dataset)), sampler_(std::move(sampler)), options_(std::move(options)) {
        if (options_.batch_size() == 0) {
            throw ValueError(TAPER_ERROR_VALUE, "DataLoaderOptions: batch_size must be at least 1, got 0");
        }
    }
    const DataLoaderOptions &options() const noexcept { return options_; }
    void join() { coming_.clear(); }

    class Iterator {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = BatchType;
        using difference_type = std::ptrdiff_t;
        using pointer = BatchType *;
        using reference = BatchType &;
        Iterator() = default;
        explicit Iterator(StatelessDataLoader *of) : of_(of), batch_(of->next()) {}
        Iterator &operator++() {
            batch_ = of_->next();
            return *this;
        }
        BatchType &operator*() { return *batch_; }
        BatchType *operator->() { return &*batch_; }
        bool operator==(const Iterator &o) const { return batch_.has_value() == o.batch_.has_value(); }
        bool operator!=(const Iterator &o) const { return !(*this == o); }

      private:
        StatelessDataLoader *of_ = nullptr;
        std::optional<BatchType> batch_;
    };
    Iterator begin() {
        coming_.clear();
        sampler_.reset(std::nullopt);
        return Iterator(this);
    }
    Iterator end() { return {}; }

  private:
    using Request = typename D::BatchRequestType;
    std::optional<Request> request() {
        auto r = sampler_.next(options_.batch_size());
        if (r && options_.drop_last() && count(*r) < options_.batch_size()) {
            return std::nullopt;
        }
        return r;
    }
    static size_t count(size_t n) { return n; }
    static size_t count(const std::vector<size_t> &list) { return list.size(); }
    std::optional<BatchType> next() {
        if (options_.workers() == 0) {
            auto r = request();
            return r ? std::optional<BatchType>(dataset_.get_batch(std::move(*r))) : std::nullopt;
        }
        const size_t ahead = std::max<size_t>(options_.max_jobs().value_or(2 * options_.workers()), 1);
        while (coming_.size() < ahead) {
            auto r = request();
            if (!r) {
                break;
            }
            // Each worker has a copy of the data set, as in libtorch, which its jobs follow each other on.
            if (copies_.size() < options_.workers()) {
                copies_.push_back(std::make_unique<Copy>(dataset_));
            }
            Copy *copy = copies_[jobs_++ % options_.workers()].get();
            coming_.push_back(std::async(std::launch::async, [copy, r = std::move(*r)]() mutable {
                const std::lock_guard<std::mutex> lock(copy->mutex);
                return copy->dataset.get_batch(std::move(r));
            }));
        }
        if (coming_.empty()) {
            return std::nullopt;
        }
        auto first = std::move(coming_.front());
        coming_.pop_front();
        if (options_.timeout() && first.wait_for(*options_.timeout()) != std::future_status::ready) {
            throw taper::RuntimeError(TAPER_ERROR_RUNTIME, "Timeout in DataLoader queue while waiting for next batch");
        }
        return first.get();
    }
    struct Copy {
        explicit Copy(const D &d) : dataset(d) {}
        D dataset;
        std::mutex mutex;
    };
    D dataset_;
    S sampler_;
    DataLoaderOptions options_;
    std::vector<std::unique_ptr<Copy>> copies_;
    size_t jobs_ = 0;
    // Last: its threads end before what they use.
    std::deque<std::future<BatchType>> coming_;
};

template <class D, class S>
std::unique_ptr<StatelessDataLoader<D, S>> make_data_loader(D dataset, S sampler, DataLoaderOptions options = DataLoaderOptions()) {
    return std::make_unique<StatelessDataLoader<D, S>>(std::move(dataset), std::move(sampler), std::move(options));
}
/// The sampler is made for the data set's size.
template <class S = samplers::RandomSampler, class D>
std::unique_ptr<StatelessDataLoader<D, S>> make_data_loader(D dataset, DataLoaderOptions options = DataLoaderOptions()) {
    const auto size = dataset.size();
    if (!size) {
        throw taper::RuntimeError(TAPER_ERROR_RUNTIME, "Expected the dataset to be sized in order to construct the Sampler");
    }
    return make_data_loader(std::move(dataset), S(*size), std::move(options));
}
} // namespace data
} // namespace torch

#endif
