// What libtorch's programs meet in Taper alone: refusals with a way out, files that a failure leaves alone.
#include <torch/script.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>

static int failures = 0;
#define CHECK(condition)                                                                                              \
    do {                                                                                                              \
        if (!(condition)) {                                                                                           \
            std::printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                                               \
            ++failures;                                                                                               \
        }                                                                                                             \
    } while (false)
template <class F> static std::string thrown(F f) {
    try {
        f();
    } catch (const c10::Error &e) {
        return e.what();
    }
    return "nothing was thrown";
}
static bool has(const std::string &text, const char *part) { return text.find(part) != std::string::npos; }

int main(int, char **argv) {
    const std::string folder = argv[1];
    CHECK(has(thrown([] { torch::jit::load("model.pt"); }), "torch.save(model.state_dict(), \"weights.pt\")"));

    // A state dict as Python's torch.save writes it: the transfer of weights.
    taper::NamedTensors weights;
    weights.insert("weight", torch::ones({2, 3}).taper());
    weights.insert("bias", torch::full({2}, 0.5).taper());
    weights.save(folder + "/weights.pt", "pt");
    torch::nn::Linear linear(3, 2);
    torch::load(linear, folder + "/weights.pt");
    CHECK(torch::equal(linear(torch::ones({1, 3})).detach(), torch::full({1, 2}, 3.5)));

    // Wrong sizes and missing names: the module stays as it was.
    torch::nn::Linear other(4, 2), same = other;
    const auto before = other->weight.detach().clone();
    CHECK(has(thrown([&] { torch::load(other, folder + "/weights.pt"); }), "size mismatch for weight"));
    CHECK(torch::equal(other->weight.detach(), before));
    torch::nn::RNNCell cell(1, 1);
    CHECK(has(thrown([&] { torch::load(cell, folder + "/weights.pt"); }), "No such serialized tensor"));
    CHECK(same.get() == other.get());

    torch::nn::Linear empty{nullptr};
    CHECK(has(thrown([&] { empty->weight.sum(); }), "Accessing empty ModuleHolder"));
    CHECK(has(thrown([] { torch::Tensor().sizes(); }), "undefined"));
    CHECK(has(thrown([] { torch::ones({2}).index({"..,"}); }), "ellipsis"));
    CHECK(has(thrown([] { torch::tensor({{1, 2}, {3}}); }), "sizes"));
    CHECK(has(thrown([] { torch::ones({2}).data_ptr<double>(); }), "expected scalar type Double but found Float"));
    CHECK(has(thrown([] { torch::ones({2}).accessor<float, 2>(); }), "expected 2 dims but tensor has 1"));
    CHECK(has(thrown([] { torch::data::datasets::MNIST("/nonexistent"); }), "/nonexistent/train-images-idx3-ubyte"));
    CHECK(has(thrown([] { TORCH_CHECK(1 > 2, "one is ", 1); }), "one is 1"));
    CHECK(has(thrown([] { torch::mse_loss(torch::ones({1}), torch::ones({1}), 7); }), "reduction"));

    // A weight in another's place is computed with, and trained.
    torch::nn::Linear tied(3, 3);
    torch::nn::Embedding embedding(3, 3);
    tied->weight = embedding->weight;
    CHECK(torch::allclose((tied(torch::ones({1, 3})) - tied->bias).detach().flatten(), embedding->weight.sum(1).detach()));

    // Fourier transforms, with lists in braces too.
    auto signal = torch::arange(24, torch::kDouble).sin().requires_grad_();
    CHECK(torch::allclose(torch::fft::irfft(torch::fft::rfft(signal), 24), signal));
    CHECK(torch::fft::fft(signal).scalar_type() == torch::kComplexDouble);
    auto picture = signal.detach().reshape({4, 6});
    CHECK(torch::allclose(torch::real(torch::fft::ifft2(torch::fft::fftn(picture))), picture));
    CHECK(torch::fft::rfftn(picture, {4, 8}).sizes() == torch::IntArrayRef({4, 5}));
    CHECK(torch::fft::fftn(picture, {3}, {0}, "ortho").size(0) == 3);
    CHECK(torch::fft::fftn(picture, std::nullopt, {1}).size(1) == 6);
    CHECK(torch::fft::fftshift(torch::arange(3), {0})[0].item<int64_t>() == 2);
    CHECK(torch::fft::fftfreq(4, 0.5, torch::kDouble)[1].item<double>() == 0.5);
    CHECK(has(thrown([&] { torch::fft::fft(picture, 0); }), "Invalid number of data points (0) specified"));
    torch::real(torch::fft::fft(signal)).sum().backward();
    CHECK(std::abs(signal.grad()[0].item<double>() - 24) < 1e-9);
    auto pieces = torch::stft(picture.flatten(), 8, 2, 8, torch::hann_window(8, true, torch::kDouble), true, "reflect", false, true, true);
    CHECK(pieces.size(0) == 5);
    CHECK(torch::allclose(torch::istft(pieces, 8, 2, 8, torch::hann_window(8, true, torch::kDouble)), picture.flatten()));
    std::puts(failures ? "FAILED" : "libtorch's programs: ok");
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
