// A network of 33 parameters learns the exclusive or:  scripts/example.sh cpp xor
#include <taper.hpp>

#include <cstdio>

using namespace taper;

int main() {
    manual_seed(0);
    const Tensor x = tensor({{0.0, 0.0}, {0.0, 1.0}, {1.0, 0.0}, {1.0, 1.0}});
    const Tensor y = tensor({{0.0}, {1.0}, {1.0}, {0.0}});
    nn::Sequential net{nn::Linear(2, 8), nn::Tanh(), nn::Linear(8, 1)};
    optim::Adam optimizer(net.parameters(), 0.05);

    for (int step = 1; step <= 300; ++step) {
        const Tensor loss = nn::functional::binary_cross_entropy_with_logits(net(x), y);
        optimizer.zero_grad();
        loss.backward();
        optimizer.step();
        if (step % 100 == 0)
            std::printf("step %d  loss %.4f\n", step, loss.item<double>());
    }

    const NoGrad no_grad;
    const auto questions = x.to_vector<float>(), sure = net(x).sigmoid().to_vector<float>();
    for (size_t i = 0; i < 4; ++i)
        std::printf("%.0f xor %.0f: %.3f\n", questions[2 * i], questions[2 * i + 1], sure[i]);
}
