// Fits a small network to noisy values of a curve and draws both:  scripts/example.sh cpp regression [PICTURE]
#include <taper.hpp>

#include <cstdio>
#include <string>

using namespace taper;

int main(int argc, char **argv) {
    const std::string path = argc > 1 ? argv[1] : "regression.png";
    manual_seed(0);
    const Tensor x = linspace(-3, 3, 200).unsqueeze(1);
    const Tensor y = (x * 2).sin() + randn({200, 1}) * 0.1;

    // In braces the layers are made, and their weights drawn, from left to right; in parentheses in any order.
    nn::Sequential net{nn::Linear(1, 32), nn::Tanh(), nn::Linear(32, 32), nn::Tanh(), nn::Linear(32, 1)};
    optim::AdamOptions options;
    options.lr = 0.01;
    optim::Adam optimizer(net.parameters(), options);
    for (int step = 1; step <= 1000; ++step) {
        optimizer.zero_grad();
        const Tensor loss = nn::functional::mse_loss(net(x), y);
        loss.backward();
        optimizer.step();
        if (step % 200 == 0)
            std::printf("step %4d  loss %.4f\n", step, loss.item<double>());
    }

    const NoGrad no_grad;
    save_plot({{"data", cat({x, y}, 1)}, {"network", cat({x, net(x)}, 1)}}, path,
              "A network of 1,153 parameters and what it saw");
    std::printf("drawn: %s\n", path.c_str());
}
