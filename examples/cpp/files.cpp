// Saves a training run half way and goes on with it, then keeps the weights alone:  scripts/example.sh cpp files [FOLDER]
#include <taper.hpp>

#include <cstdio>
#include <string>

using namespace taper;

struct Run {
    nn::Sequential net{nn::Linear(2, 8), nn::Tanh(), nn::Linear(8, 1)};
    optim::Adam optimizer{net.parameters(), optim::AdamOptions{0.05}};
    Tensor x = tensor({{0.0, 0.0}, {0.0, 1.0}, {1.0, 0.0}, {1.0, 1.0}}), y = tensor({{0.0}, {1.0}, {1.0}, {0.0}});

    double train(int steps) {
        double value = 0;
        while (steps-- > 0) {
            const Tensor loss = nn::functional::binary_cross_entropy_with_logits(net(x), y);
            optimizer.zero_grad();
            loss.backward();
            optimizer.step();
            value = loss.item<double>();
        }
        return value;
    }
    CheckpointParts parts() const { return {{&net}, {&optimizer}}; }
};

int main(int argc, char **argv) {
    const std::string folder = argc > 1 ? argv[1] : ".";
    manual_seed(0);
    Run run;
    std::printf("after 150 steps   loss %.6f\n", run.train(150));

    // A checkpoint has all that a run needs to go on with the same bits, the default generator's state too.
    save_checkpoint(folder + "/xor.checkpoint", run.parts());
    std::printf("150 more          loss %.6f\n", run.train(150));

    Run other; // as in a new process, with other weights
    load_checkpoint(folder + "/xor.checkpoint", other.parts());
    std::printf("the same, resumed loss %.6f\n", other.train(150));

    // The weights alone, as a file that every language and every library that knows safetensors reads.
    NamedTensors weights = run.net.state_dict();
    weights.set_metadata("task", "exclusive or");
    weights.save(folder + "/xor.safetensors");
    const NamedTensors read = NamedTensors::load(folder + "/xor.safetensors");
    std::printf("xor.safetensors: %s\n", read.metadata("task")->c_str());
    for (const auto &[name, tensor] : read.items())
        std::printf("  %s: %lld numbers\n", name.c_str(), static_cast<long long>(tensor.numel()));
}
