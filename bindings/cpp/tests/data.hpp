// Data sets, samplers, loaders; orders are PyTorch's, recorded in tests/fixtures/samplers.txt. Part of test.cpp.
#include <filesystem>
#include <fstream>
#include <sstream>

namespace loading {
using namespace taper::data;
using Ints = std::vector<int64_t>;

static Ints recorded(const std::string &name) {
    const auto file = std::filesystem::path(__FILE__).parent_path() / "../../../tests/fixtures/samplers.txt";
    std::ifstream in(file);
    std::string line;
    Ints order;
    while (std::getline(in, line)) {
        if (line.compare(0, name.size() + 2, name + ": ") == 0) {
            std::istringstream rest(line.substr(name.size() + 2, line.find(" | ") - name.size() - 2));
            for (int64_t i = 0; rest >> i;) {
                order.push_back(i);
            }
        }
    }
    CHECK(!order.empty());
    return order;
}
template <class Range> Ints read(Range &&range) {
    Ints all;
    for (auto &batch : range) {
        for (const int64_t i : batch[0].template to_vector<int64_t>()) {
            all.push_back(i);
        }
        all.push_back(-1);
    }
    return all;
}
static DataLoaderOptions with(int64_t batch_size, int64_t num_workers) {
    DataLoaderOptions o;
    o.batch_size = batch_size;
    o.num_workers = num_workers;
    return o;
}

static void parts() {
    manual_seed(7);
    const auto d = Dataset::of_tensors({arange(10)});
    Ints got;
    for (const auto &part : d.random_split({7, 3})) {
        for (const auto i : read(DataLoader(part, with(part.size(), 0)))) {
            got.push_back(i);
        }
    }
    CHECK(got == recorded("split default"));
    const auto both = Dataset::stack({d, d.subset({9, 8, 7, 6, 5, 4, 3, 2, 1, 0})});
    CHECK(both.size() == 10 && both.get(2)[1].item() == 7);
    const auto stream = [](int64_t n) {
        return Dataset::of_stream([n] {
            auto i = std::make_shared<int64_t>(0);
            return [i, n](uint64_t) { return *i < n ? std::optional<Sample>(Sample{full({}, (*i)++)}) : std::nullopt; };
        });
    };
    CHECK(read(DataLoader(Dataset::chain({stream(2), stream(1)}), with(2, 2))) == (Ints{0, 1, -1, 0, -1}));
    CHECK(throws<TypeError>("only supports streams", [&] { Dataset::chain({d}); }));
}
static void transformed() {
    namespace T = taper::transforms;
    const auto x = T::to_tensor((arange(24) * 10).to(uint8).view({2, 4, 3}), true);
    CHECK(x.sizes() == (std::vector<int64_t>{3, 2, 4}));
    CHECK(T::normalize(x, {0.5}, {0.25}).allclose((x - 0.5) / 0.25));
    CHECK(T::crop(x, 0, 2, 2, 2).equal(x.slice(2, 2)) && T::center_crop(x, 2, 2).equal(x.slice(2, 1, 3)));
    CHECK(T::pad(x, {1, 0}, 0.5).sizes() == (std::vector<int64_t>{3, 2, 6}) && T::rgb_to_grayscale(x).size(0) == 1);
    CHECK(T::adjust_brightness(x, 0.5).allclose(x * 0.5) && T::adjust_contrast(x, 1).allclose(x));
    CHECK(T::adjust_saturation(x, 1).allclose(x) && T::adjust_hue(x, 0).allclose(x, 1e-4, 1e-5));
    // What a sample's seed draws is the same whichever thread makes it.
    const auto d = Dataset::of_function(9, [x](int64_t, uint64_t seed) -> Sample {
        Generator g;
        g.manual_seed(seed);
        T::RandomCropOptions o;
        o.padding = {1};
        auto y = T::random_crop(x, 2, 3, o, &g);
        y = T::random_vertical_flip(T::random_horizontal_flip(y, 0.5, &g), 0.5, &g);
        T::ColorJitterOptions jitter;
        jitter.brightness = {0.5};
        jitter.hue = {-0.1, 0.1};
        return {T::random_resized_crop(T::color_jitter(y, jitter, &g), 2, 2, {}, &g)};
    });
    std::vector<Tensor> first;
    for (int64_t workers : {0, 1, 3}) {
        manual_seed(3);
        std::vector<Tensor> all;
        for (auto &batch : DataLoader(d, with(4, workers))) {
            all.push_back(batch[0]);
        }
        CHECK(all.size() == 3);
        first = first.empty() ? all : first;
        for (size_t i = 0; i < all.size(); ++i) {
            CHECK(all[i].equal(first[i]));
        }
    }
    CHECK(!first[0][0].equal(first[0][1]));
}

static void orders() {
    const auto drawn = [](const Sampler &s) {
        manual_seed(7);
        return s.draw().to_vector<int64_t>();
    };
    Generator g;
    CHECK(drawn(Sampler::random(10)) == recorded("random default"));
    CHECK(drawn(Sampler::random(7, true, 70)) == recorded("replacement.many default"));
    g.manual_seed(11);
    CHECK(drawn(Sampler::subset_random({3, 1, 4, 15, 9, 2, 6}, &g)) == recorded("subset own"));
    g.manual_seed(11);
    CHECK(drawn(Sampler::weighted({0.1, 0.9, 0.4, 0.7, 3.0, 0.6}, 9, true, &g)) == recorded("weighted own"));
    auto part = Sampler::distributed(10, 3, 2, true, 3);
    part.set_epoch(5);
    CHECK(drawn(part) == recorded("distributed.epoch default") && part.size() == 4);
    const auto rows = Dataset::of_tensors({arange(10)});
    for (int64_t workers = 0; workers < 3; ++workers) {
        auto o = with(4, workers);
        o.shuffle = true;
        const DataLoader loader(rows, o);
        manual_seed(7);
        CHECK(read(loader) == recorded("loader default") && loader.size() == 3);
        auto own = with(1, workers);
        own.sampler = Sampler::batch(Sampler::fixed({5, 4, 3}), 2);
        CHECK(read(DataLoader(rows, own)) == (Ints{5, 4, -1, 3, -1}));
        const auto pass = loader.batches();
        CHECK(pass.next().has_value());
        const auto state = pass.state_dict();
        CHECK(read(pass) == read(loader.resume(state)));
        CHECK(!pass.next());
    }
}

struct Torn : std::runtime_error {
    using std::runtime_error::runtime_error;
};
static void own_data_sets() {
    const auto d = Dataset::of_function(7, [](int64_t i, uint64_t seed) -> Sample {
        if (i == 3) {
            throw Torn("the picture is torn");
        }
        return {tensor(i), tensor(int64_t(seed))};
    });
    Ints seeds;
    for (int64_t workers = 0; workers < 3; ++workers) {
        manual_seed(1);
        const auto pass = DataLoader(d, with(2, workers)).batches();
        Ints now = (*pass.next())[1].to_vector<int64_t>();
        CHECK(seeds.empty() || seeds == now);
        seeds = now;
        bool named = false, nested = false;
        try {
            pass.next();
        } catch (const SampleError &e) {
            named = e.what() == std::string("sample 3 of the data set: the picture is torn") && e.code() == TAPER_ERROR_CALLBACK;
            try {
                std::rethrow_if_nested(e);
            } catch (const Torn &) {
                nested = true;
            }
        }
        CHECK(named && nested);
        CHECK(read(pass) == (Ints{4, 5, -1, 6, -1}));
        for (auto &batch : DataLoader(d, with(1, workers))) { // leaving a loop ends its threads
            CHECK(batch.size() == 2);
            break;
        }
    }
    CHECK(d.size() == 7 && d.get(-1)[0].item<int64_t>() == 6);
    const auto few = Dataset::concat({d.subset({-1, 0}), d.subset({5})});
    CHECK(few.size() == 3 && few.get(2)[0].item<int64_t>() == 5);
    for (int64_t workers = 0; workers < 2; ++workers) {
        auto o = with(2, workers);
        o.collate = [](std::vector<Sample> samples) -> Batch {
            return {tensor(int64_t(samples.size())), samples.back()[0]};
        };
        const DataLoader loader(few, o);
        CHECK(read(loader) == (Ints{2, -1, 1, -1}));
    }
    auto bad = with(2, -1);
    CHECK(throws<ValueError>("num_workers option should be non-negative", [&] { DataLoader(d, bad); }));
}

static void streams() {
    const auto d = Dataset::of_stream([] {
        return [i = int64_t(0)](uint64_t) mutable -> std::optional<Sample> {
            if (i == 5) {
                return std::nullopt;
            }
            return Sample{tensor(i++)};
        };
    });
    for (int64_t workers = 0; workers < 3; ++workers) {
        const DataLoader loader(d, with(2, workers));
        CHECK(read(loader) == (Ints{0, 1, -1, 2, 3, -1, 4, -1}));
        CHECK(throws<TypeError>("stream", [&] { loader.size(); }));
    }
}

static void all() {
    parts();
    transformed();
    orders();
    own_data_sets();
    streams();
}
} // namespace loading
