// Every layer with its defaults: the printed form, the keys and the seeded values are those of Python's classes
// (tests/fixtures/layers.txt). Part of test.cpp.
#include <fstream>
#include <string>

static uint64_t values_hash(const Tensor &t) {
    const size_t bytes = static_cast<size_t>(t.numel()) * (t.dtype() == DType::I64 ? 8 : 4);
    std::vector<unsigned char> data(bytes);
    detail::check(taper_tensor_copy_to_host(t.handle(), data.data(), bytes));
    uint64_t h = 0xcbf29ce484222325u;
    for (const unsigned char b : data) {
        h = (h ^ b) * 0x100000001b3u;
    }
    return h;
}
static std::string described(const std::string &name, const nn::Module &m) {
    std::string s = name + "|";
    for (const char c : m.str()) {
        s += c == '\n' ? std::string("\\n") : std::string(1, c);
    }
    const auto state = m.state_dict();
    for (size_t i = 0; i < state.size(); ++i) {
        s += "|" + state.name(i);
        if (name.rfind("Lazy", 0) == 0) {
            continue;
        }
        const Tensor t = state.at(i);
        s += " " + std::to_string(static_cast<int>(t.dtype())) + " ";
        for (int64_t d = 0; d < t.dim(); ++d) {
            s += (d ? "," : "") + std::to_string(t.size(d));
        }
        char hash[20];
        std::snprintf(hash, sizeof hash, " %016llx", static_cast<unsigned long long>(values_hash(t)));
        s += hash;
    }
    return s;
}
/// What PyTorch's from_pretrained and forward(x, output_size=...) have.
static void given_tables_and_output_sizes() {
    const Tensor table = tensor({1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f}).reshape({3, 2});
    for (const bool freeze : {false, true}) {
        const nn::Embedding m(3, 2, nn::Embedding::Options().weight(table).freeze(freeze));
        CHECK(m(tensor({int64_t{2}})).sum().item<float>() == 11);
        CHECK(m.get_parameter("weight").requires_grad() != freeze && !table.requires_grad());
    }
    nn::ConvTranspose2d m(1, 1, 3, nn::ConvTranspose2d::Options().stride(2));
    const Tensor x = ones({1, 1, 3, 3});
    CHECK(m.forward(x).size(-1) == 7 && m.forward(x, IntList{8, 8}).size(-1) == 8);
    bool refused = false;
    try {
        m.forward(x, IntList{9, 9});
    } catch (const Error &e) {
        refused = std::string(e.what()).find("valid sizes range from [7, 7] to [8, 8]") != std::string::npos;
    }
    CHECK(refused);
}
static Tensor numbered(std::vector<int64_t> sizes, int salt) {
    std::vector<float> values(static_cast<size_t>(sizes[0] * sizes[1] * sizes[2]));
    for (size_t k = 0; k < values.size(); ++k) {
        values[k] = static_cast<float>((k * 37 + 11 + static_cast<size_t>(salt) * 13) % 101) / 50 - 1;
    }
    return from_data(values.data(), sizes);
}

/// Ten steps of a small Transformer, whose losses are PyTorch's; inputs and outputs that may be absent.
static void attention(const std::string &losses) {
    manual_seed(2);
    nn::Transformer m(nn::Transformer::Options()
                          .d_model(8)
                          .nhead(2)
                          .num_encoder_layers(1)
                          .num_decoder_layers(1)
                          .dim_feedforward(16)
                          .dropout(0)
                          .batch_first(true));
    optim::Adam adam(m.parameters(), 0.01);
    const Tensor mask = nn::functional::generate_square_subsequent_mask(3);
    std::ifstream f(losses);
    int step = 0;
    for (double wanted = 0; f >> wanted; ++step) {
        const Tensor x = numbered({2, 4, 8}, step), y = numbered({2, 3, 8}, step + 1);
        adam.zero_grad();
        const Tensor loss = nn::functional::mse_loss(m.forward(x, y, {}, mask), y);
        loss.backward();
        adam.step();
        CHECK(std::abs(loss.item<double>() - wanted) < 1e-4);
    }
    CHECK(step == 10);

    nn::MultiheadAttention heads(8, 2);
    const Tensor x = numbered({2, 4, 8}, 0);
    const auto [found, weights] = heads.forward(x, x, x, {}, nn::functional::generate_square_subsequent_mask(2), true, false);
    CHECK(found.size(1) == 4 && weights.dim() == 4);
    CHECK(!heads.forward(x, x, x, {}, {}, false).second.defined());
    nn::TransformerEncoderLayer layer(8, 2, nn::TransformerEncoderLayer::Options().dim_feedforward(16).activation("gelu"));
    nn::LayerNorm norm({8});
    nn::TransformerEncoder stack(layer, 2, nn::TransformerEncoder::Options().norm(norm));
    stack.eval();
    const nn::Module copy = stack.clone();
    CHECK(copy.str() == stack.str());
    CHECK(allclose(copy(x), stack.forward(x, {})));
}

static void every_layer(const std::string &fixture) {
    std::ifstream f(fixture);
    std::string wanted;
#define CHECK_LAYER(name, make) \
    manual_seed(0); \
    CHECK(std::getline(f, wanted) && described(#name, make) == wanted);
#include "layers_gen.inc"
#undef CHECK_LAYER
    CHECK(!std::getline(f, wanted));
}
