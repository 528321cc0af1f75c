// A data set of one's own, read in shuffled batches that two threads make:  scripts/example.sh cpp dataset
#include <taper.hpp>

#include <cmath>
#include <cstdio>

using namespace taper;

/// Points of the plane, and on which of two rings around the origin each lies.
static data::Dataset rings(int64_t n) {
    const Tensor angle = rand({n}) * 2 * std::acos(-1.0), ring = randint(2, {n}), radius = 1 + ring + 0.2 * randn({n});
    return data::Dataset::of_function(n, [=](int64_t i) -> data::Sample {
        const Tensor a = angle[i], r = radius[i];
        return {stack({r * a.cos(), r * a.sin()}), ring[i]};
    });
}

int main() {
    manual_seed(0);
    const auto parts = rings(1000).random_split({800, 200});
    data::DataLoaderOptions few, all;
    few.batch_size = 32;
    few.shuffle = true;
    few.num_workers = 2;
    all.batch_size = 200;
    const data::DataLoader batches(parts[0], few);
    nn::Sequential net{nn::Linear(2, 16), nn::ReLU(), nn::Linear(16, 2)};
    optim::Adam optimizer(net.parameters(), 0.02);

    for (int epoch = 1; epoch <= 5; ++epoch) {
        double total = 0;
        for (const auto &batch : batches) {
            const Tensor loss = nn::functional::cross_entropy(net(batch[0]), batch[1]);
            optimizer.zero_grad();
            loss.backward();
            optimizer.step();
            total += loss.item<double>() * static_cast<double>(batch[0].size(0));
        }
        std::printf("epoch %d  loss %.4f\n", epoch, total / static_cast<double>(parts[0].size()));
    }

    const NoGrad no_grad;
    for (const auto &batch : data::DataLoader(parts[1], all)) {
        const Tensor right = net(batch[0]).argmax(1).eq(batch[1]).to(float32).mean();
        std::printf("on the right ring: %.1f%% of %d other points\n", 100 * right.item<double>(), static_cast<int>(parts[1].size()));
    }
}
