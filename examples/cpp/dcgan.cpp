// Two convolutional networks learn from each other to draw digits:  scripts/example.sh cpp dcgan [--quick] [PICTURE]
//
// The generator makes an image of random numbers; the critic says how real an image looks. The critic learns to tell the
// generator's images from the real ones, the generator to be taken for real (Radford, Metz and Chintala's DCGAN, 2015).
#include "example.hpp"

using namespace taper;
namespace F = taper::nn::functional;

static optim::Adam adam(const nn::Module &network, double lr) {
    optim::AdamOptions options;
    options.lr = lr;
    options.beta1 = 0.5;
    return optim::Adam(network.parameters(), options);
}

int main(int argc, char **argv) {
    const Options o(argc, argv, "dcgan.png");
    const int64_t code_size = 16, batch = 64;
    manual_seed(0);
    const Tensor images = digits().view({-1, 1, 8, 8}) * 2 - 1; // from -1 to 1, as tanh draws them
    const int64_t n = images.size(0);
    const auto doubling = nn::ConvTranspose2d::Options().stride(2).padding(1);
    const auto halving = nn::Conv2d::Options().stride(2).padding(1);
    nn::Sequential generator{
        nn::ConvTranspose2d(code_size, 64, 2, nn::ConvTranspose2d::Options().bias(false)), // 1x1 to 2x2
        nn::BatchNorm2d(64),
        nn::ReLU(),
        nn::ConvTranspose2d(64, 32, 4, nn::ConvTranspose2d::Options(doubling).bias(false)), // to 4x4
        nn::BatchNorm2d(32),
        nn::ReLU(),
        nn::ConvTranspose2d(32, 1, 4, doubling), // to 8x8
        nn::Tanh(),
    };
    nn::Sequential critic{
        nn::Conv2d(1, 32, 4, halving), // to 4x4
        nn::LeakyReLU(0.2),
        nn::Conv2d(32, 64, 4, nn::Conv2d::Options(halving).bias(false)), // to 2x2
        nn::BatchNorm2d(64),
        nn::LeakyReLU(0.2),
        nn::Conv2d(64, 1, 2), // to 1x1: a number for each image
        nn::Flatten(0),
    };
    optim::Adam generator_optimizer = adam(generator, 2e-3), critic_optimizer = adam(critic, 5e-4);
    const Tensor real = ones({batch}), fake = zeros({batch});

    const int epochs = o.quick ? 1 : 60;
    for (int epoch = 1; epoch <= epochs; ++epoch) {
        const Tensor order = randperm(n);
        Tensor critic_loss, generator_loss;
        for (int64_t start = 0; start + batch <= n; start += batch) {
            const Tensor x = images.index_select(0, order[Slice{start, start + batch}]);
            const Tensor drawn = generator(randn({batch, code_size, 1, 1}));

            critic_loss = F::binary_cross_entropy_with_logits(critic(x), real);
            critic_loss = critic_loss + F::binary_cross_entropy_with_logits(critic(drawn.detach()), fake);
            critic_optimizer.zero_grad();
            critic_loss.backward();
            critic_optimizer.step();

            generator_loss = F::binary_cross_entropy_with_logits(critic(drawn), real);
            generator_optimizer.zero_grad();
            generator_loss.backward();
            generator_optimizer.step();
        }
        if (o.quick || epoch % 10 == 0)
            std::printf("epoch %2d  critic %.3f  generator %.3f\n", epoch, critic_loss.item(), generator_loss.item());
    }

    generator.eval();
    const NoGrad no_grad;
    save_digits(generator(randn({64, code_size, 1, 1})) / 2 + 0.5, o.path);
}
