// A small Transformer reads Shakespeare's sonnets, letter by letter, and goes on in their manner:
// scripts/example.sh cpp char_transformer [--quick] [PICTURE]
#include "example.hpp"

#include <cmath>
#include <iterator>
#include <set>

using namespace taper;
namespace F = taper::nn::functional;

constexpr int64_t CONTEXT = 48, BATCH = 16, WIDTH = 64, HEADS = 4, LAYERS = 2;

// Letters to the odds of each next letter. No position sees a later one: the mask forbids it.
struct Model : nn::Module {
    nn::Embedding letter, place;
    nn::TransformerEncoder layers;
    nn::Linear head;
    Tensor mask = register_buffer("mask", full({CONTEXT, CONTEXT}, -INFINITY).triu(1), false);

    explicit Model(int64_t letters)
        : Module("Model"), letter(register_module("letter", nn::Embedding(letters, WIDTH))),
          place(register_module("place", nn::Embedding(CONTEXT, WIDTH))),
          layers(register_module("layers", nn::TransformerEncoder(layer(), LAYERS))),
          head(register_module("head", nn::Linear(WIDTH, letters))) {}
    static nn::TransformerEncoderLayer layer() {
        nn::TransformerEncoderLayer::Options o;
        o.dim_feedforward(4 * WIDTH).dropout(0).batch_first(true).norm_first(true);
        return {WIDTH, HEADS, o};
    }
    Tensor forward(const Tensor &x) override {
        const int64_t n = x.size(1);
        const Tensor h = letter(x) + place(arange(n));
        return head(layers.forward(h, mask.narrow(0, 0, n).narrow(1, 0, n)));
    }
};

int main(int argc, char **argv) {
    const Options o(argc, argv, "char_transformer.png");
    manual_seed(0);
    std::ifstream file("data/sonnets/sonnets.txt", std::ios::binary);
    if (!file)
        throw std::runtime_error("cannot read data/sonnets (run from the root of the checkout)");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const std::set<char> kinds(text.begin(), text.end());
    const std::string alphabet(kinds.begin(), kinds.end());
    std::vector<int64_t> numbers;
    for (const char c : text)
        numbers.push_back(int64_t(alphabet.find(c)));
    const int64_t letters = int64_t(alphabet.size()), n = int64_t(text.size());
    const Tensor codes = from_data(numbers.data(), {n});

    Model model(letters);
    optim::AdamOptions options;
    options.lr = 2e-3;
    options.weight_decay = 0.01;
    options.decoupled = true; // AdamW
    optim::Adam optimizer(model.parameters(), options);
    int64_t count = 0;
    for (const Tensor &p : model.parameters())
        count += p.numel();
    std::printf("%d letters of %d kinds, %d parameters\n", int(n), int(letters), int(count));

    const int steps = o.quick ? 10 : 1000, length = o.quick ? 40 : 400;
    std::vector<double> losses;
    for (int step = 1; step <= steps; ++step) {
        const Tensor starts = randint(n - CONTEXT, {BATCH, 1});
        const Tensor window = codes[starts + arange(CONTEXT + 1)]; // each row a piece of the text, with the letter after it
        const Tensor odds = model(window.narrow(1, 0, CONTEXT));
        const Tensor loss = F::cross_entropy(odds.reshape({-1, letters}), window.narrow(1, 1, CONTEXT).reshape({-1}));
        optimizer.zero_grad();
        loss.backward();
        optimizer.step();
        losses.push_back(loss.item());
        if (step % (o.quick ? 5 : 100) == 0)
            std::printf("step %4d  loss %.3f\n", step, losses.back());
    }

    model.eval();
    const NoGrad no_grad;
    std::vector<int64_t> said(numbers.begin(), numbers.begin() + 20);
    for (int i = 0; i < length; ++i) {
        const int64_t seen = std::min(int64_t(said.size()), CONTEXT);
        const Tensor odds = model(from_data(said.data() + said.size() - seen, {1, seen}))[0][-1];
        said.push_back(F::softmax(odds / 0.7, 0).multinomial(1).item<int64_t>());
    }
    for (const int64_t c : said)
        std::putchar(alphabet[size_t(c)]);
    std::putchar('\n');
    save_plot({{"loss", from_data(losses.data(), {steps})}}, o.path, "Reading the sonnets, letter by letter");
    std::printf("drawn: %s\n", o.path.c_str());
}
