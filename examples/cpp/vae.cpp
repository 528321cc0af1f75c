// A variational autoencoder learns to draw digits:  scripts/example.sh cpp vae [--quick] [PICTURE]
//
// The encoder says for each image where it lies among the codes, as means and variances; the decoder draws an image from a
// code. Both learn together: the loss is what the drawing lacks, and how far the codes are from a normal distribution, from
// which new ones are drawn at the end.
#include "example.hpp"

using namespace taper;
namespace F = taper::nn::functional;

int main(int argc, char **argv) {
    const Options o(argc, argv, "vae.png");
    const int64_t code_size = 8, batch = 64;
    manual_seed(0);
    const Tensor images = digits().view({-1, 64});
    const int64_t n = images.size(0);
    nn::Sequential encoder{nn::Linear(64, 128), nn::ReLU(), nn::Linear(128, 2 * code_size)};
    nn::Sequential decoder{nn::Linear(code_size, 128), nn::ReLU(), nn::Linear(128, 64)};
    std::vector<Tensor> parameters = encoder.parameters();
    for (const Tensor &p : decoder.parameters())
        parameters.push_back(p);
    optim::Adam optimizer(parameters, 2e-3);

    const int epochs = o.quick ? 2 : 60;
    for (int epoch = 1; epoch <= epochs; ++epoch) {
        const Tensor order = randperm(n);
        double total = 0;
        Tensor drawn, apart; // per image: how badly it is drawn; the divergence of its codes from the normal distribution
        for (int64_t start = 0; start < n; start += batch) {
            const Tensor x = images.index_select(0, order[Slice{start, std::min(start + batch, n)}]);
            const auto halves = encoder(x).chunk(2, 1);
            const Tensor &mean = halves[0], &log_var = halves[1];
            const Tensor code = mean + (log_var * 0.5).exp() * randn({x.size(0), code_size});
            drawn = F::binary_cross_entropy_with_logits(decoder(code), x, {}, {}, "sum") / x.size(0);
            apart = (log_var.exp() + mean * mean - log_var - 1).sum() * 0.5 / x.size(0);
            const Tensor loss = drawn + apart;
            optimizer.zero_grad();
            loss.backward();
            optimizer.step();
            total += loss.item() * double(x.size(0));
        }
        if (o.quick || epoch % 10 == 0)
            std::printf("epoch %2d  loss %.3f  (drawing %.3f, codes %.3f)\n", epoch, total / double(n), drawn.item(),
                        apart.item());
    }

    const NoGrad no_grad;
    save_digits(decoder(randn({64, code_size})).sigmoid().view({64, 1, 8, 8}), o.path);
}
