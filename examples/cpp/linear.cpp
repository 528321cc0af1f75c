// A line through points, by gradient descent:  scripts/example.sh cpp linear
#include <taper.hpp>

#include <cstdio>

using namespace taper;

int main() {
    manual_seed(0);
    const Tensor x = randn({100, 1});
    const Tensor y = x * 3 - 2 + randn({100, 1}) * 0.1; // the line that is to be found, and noise

    nn::Linear model(1, 1);
    optim::SGD optimizer(model.parameters(), 0.1);
    for (int step = 1; step <= 100; ++step) {
        const Tensor loss = nn::functional::mse_loss(model(x), y);
        optimizer.zero_grad();
        loss.backward();
        optimizer.step();
        if (step % 20 == 0)
            std::printf("step %3d  loss %.6f\n", step, loss.item<double>());
    }
    const auto parameters = model.parameters();
    std::printf("y = %.3f x + %.3f\n", parameters[0].item<double>(), parameters[1].item<double>());
}
