// An LSTM learns a wave and goes on with it by itself:  scripts/example.sh cpp sequence [PICTURE]
#include <taper.hpp>

#include <cstdio>
#include <string>

using namespace taper;

int main(int argc, char **argv) {
    const int64_t seen = 300, all = 400;
    manual_seed(0);
    const Tensor t = arange(all).to(float32) * 0.2;
    const Tensor wave = (t.sin() + (t * 2).sin() * 0.5).view({-1, 1, 1}); // time, batch, features

    nn::LSTM lstm(1, 32);
    nn::Linear head(32, 1);
    std::vector<Tensor> parameters = lstm.parameters();
    for (const Tensor &p : head.parameters())
        parameters.push_back(p);
    optim::LBFGS optimizer(parameters, optim::LBFGSOptions(0.8));
    const auto closure = [&] {
        optimizer.zero_grad();
        const Tensor output = lstm.call({wave.narrow(0, 0, seen - 1)})[0];
        const Tensor loss = nn::functional::mse_loss(head(output), wave.narrow(0, 1, seen - 1));
        loss.backward();
        return loss;
    };
    for (int step = 1; step <= 8; ++step)
        std::printf("step %d  loss %.1e\n", step, optimizer.step(closure).item<double>());

    const NoGrad no_grad;
    auto outputs = lstm.call({wave.narrow(0, 0, seen)});
    std::vector<Tensor> said = {head(outputs[0].narrow(0, -1, 1))};
    while (int64_t(said.size()) < all - seen) { // what it says is the next that it hears
        outputs = lstm.call({said.back(), outputs[1], outputs[2]});
        said.push_back(head(outputs[0]));
    }
    const Tensor times = arange(seen, all).to(float32);
    const std::string path = argc > 1 ? argv[1] : "sequence.png";
    save_plot({{"wave", wave.view({-1})}, {"the LSTM, alone from 300 on", stack({times, cat(said).view({-1})}, 1)}}, path,
              "An LSTM that learned 300 values");
    std::printf("drawn: %s\n", path.c_str());
}
