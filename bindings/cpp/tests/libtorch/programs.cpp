// Programs of the kind of PyTorch's C++ tutorials and examples. record.sh runs them with libtorch itself and keeps what they
// print; run.sh runs the same source with Taper, where torch/torch.h is the one of packaging/libtorch.
#include <torch/torch.h>

#include <cstdio>
#include <fstream>
#include <iostream>

namespace F = torch::nn::functional;
using torch::indexing::None;
using torch::indexing::Slice;

static void show(const char *name, const torch::Tensor &t) { std::printf("%s %.4f\n", name, t.item<double>()); }

// Tensors: making, indexing, printing, accessors.
static void tensors() {
    torch::manual_seed(1);
    auto x = torch::arange(12, torch::kFloat32).view({3, 4});
    std::cout << x << '\n' << x.sizes() << ' ' << x.dtype() << ' ' << x.scalar_type() << ' ' << x.device() << '\n';
    std::cout << x.index({Slice(1, None), "..."}) << '\n' << x.index({Slice(), 2}) << '\n';
    std::cout << x.index({"...", Slice(None, None, 2)}) << '\n' << x.index({0, None}) << '\n' << x.index({x > 8.0}) << '\n';
    x.index_put_({Slice(), 0}, -1.5);
    x.index_put_({1}, torch::ones({4}));
    x[2][3] = 100;
    std::cout << x << '\n' << x.sum(1, true) << '\n' << x.mean() << '\n';
    auto [values, where] = torch::max(x, 1);
    std::cout << values << '\n' << where << '\n' << std::get<1>(x.min(0)) << '\n';
    auto a = x.accessor<float, 2>();
    double trace = 0;
    for (int64_t i = 0; i < a.size(0); i++) {
        trace += a[i][i];
    }
    std::cout << trace << '\n';
}

static void scalars() {
    torch::manual_seed(5);
    auto one = torch::tensor(3.25);
    std::cout << one.item().toFloat() << ' ' << one.item<int>() << ' ' << one << '\n';
    auto n = torch::tensor({{1, 2}, {3, 4}});
    auto f = torch::tensor({{1, 2}, {3, 4}}, torch::dtype(torch::kFloat64).requires_grad(true));
    std::cout << n << '\n' << f.dtype() << ' ' << f.requires_grad() << ' ' << (n == torch::tensor({{1, 0}, {3, 0}})) << '\n';
    std::cout << torch::randn({2, 2, 3}) << '\n' << torch::rand({3}) * 1e-3 << '\n' << torch::rand({2}) * 1e7 << '\n';
    std::cout << torch::tensor({1e-6, 1.5, 1e5}) << '\n' << torch::zeros({0}) << '\n' << torch::Tensor() << '\n';
    std::cout << torch::full({2, 30}, 7, torch::kInt) << '\n';
    std::vector<float> memory{1, 2, 3, 4, 5, 6};
    int freed = 0;
    {
        auto t = torch::from_blob(memory.data(), {2, 3}, [&](void *) { ++freed; }, torch::kFloat32);
        t.mul_(2);
        std::cout << t.size(1) << ' ' << memory[5] << ' ' << t.data_ptr<float>()[1] << '\n';
    }
    std::cout << freed << '\n';
    std::cout << torch::cat({n, n}, 1) << '\n' << torch::stack({n[0], n[1]}) << ' ' << 1 - torch::ones({2}) << '\n';
}

// Autograd: gradients, higher ones, functions of one's own.
struct Scaled : torch::autograd::Function<Scaled> {
    static torch::Tensor forward(torch::autograd::AutogradContext *ctx, torch::Tensor x, torch::Tensor w, double by, bool twice) {
        ctx->save_for_backward({x, w});
        ctx->saved_data["by"] = by;
        ctx->saved_data["twice"] = twice;
        return x.mul(w) * (twice ? 2 * by : by);
    }
    static torch::autograd::tensor_list backward(torch::autograd::AutogradContext *ctx, torch::autograd::tensor_list grads) {
        auto saved = ctx->get_saved_variables();
        const double by = ctx->saved_data["by"].toDouble() * (ctx->saved_data["twice"].toBool() ? 2 : 1);
        return {grads[0] * saved[1] * by, grads[0] * saved[0] * by, torch::Tensor(), torch::Tensor()};
    }
};
static void autograd() {
    auto x = torch::ones({2, 2}, torch::requires_grad());
    auto y = x + 2;
    auto z = y * y * 3;
    auto out = z.mean();
    out.backward();
    std::cout << out << '\n' << x.grad() << '\n';
    auto v = torch::tensor({0.5, 2.0}, torch::requires_grad());
    auto g = torch::autograd::grad({v.pow(3).sum()}, {v}, {}, true, true)[0];
    auto gg = torch::autograd::grad({g.sum()}, {v})[0];
    std::cout << g.detach() << '\n' << gg << '\n';
    auto a = torch::tensor({1.0, 2.0}, torch::requires_grad()), w = torch::tensor({3.0, 4.0}, torch::requires_grad());
    auto s = Scaled::apply(a, w, 0.5, true);
    s.sum().backward();
    std::cout << s.detach() << '\n' << a.grad() << '\n' << w.grad() << '\n';
    {
        torch::NoGradGuard guard;
        std::cout << (a * 2).requires_grad() << torch::GradMode::is_enabled() << '\n';
    }
    a.mutable_grad() = torch::Tensor();
    auto hook = a.register_hook([](torch::Tensor grad) { return grad * 10; });
    (a * a).sum().backward();
    std::cout << a.grad() << '\n';
    a.remove_hook(hook);
}

// Regression of a polynomial, with groups and schedules.
static void regression() {
    torch::manual_seed(0);
    auto fc = torch::nn::Linear(4, 1);
    auto x = torch::randn({64}).unsqueeze(1);
    auto features = torch::cat({x, x.pow(2), x.pow(3), x.pow(4)}, 1);
    auto target = features.mm(torch::tensor({{1.0}, {-2.0}, {0.5}, {0.1}})) + 3;
    torch::optim::SGD sgd(fc->parameters(), torch::optim::SGDOptions(0.01).momentum(0.5));
    torch::optim::StepLR schedule(sgd, 10, 0.5);
    for (int i = 0; i < 30; i++) {
        sgd.zero_grad();
        auto loss = F::smooth_l1_loss(fc(features), target);
        loss.backward();
        torch::nn::utils::clip_grad_norm_(fc->parameters(), 5.0);
        sgd.step();
        schedule.step();
        if (i % 10 == 9) {
            show("loss", loss);
            std::printf("lr %g\n", sgd.param_groups()[0].options().get_lr());
        }
    }
    std::cout << fc->weight.detach() << '\n' << fc->bias.detach() << '\n';
    std::vector<torch::optim::OptimizerParamGroup> groups;
    groups.emplace_back(std::vector<torch::Tensor>{fc->weight}, std::make_unique<torch::optim::AdamOptions>(0.05));
    groups.emplace_back(std::vector<torch::Tensor>{fc->bias});
    torch::optim::Adam adam(groups, torch::optim::AdamOptions(0.001).betas(std::make_tuple(0.8, 0.99)));
    torch::optim::ReduceLROnPlateauScheduler plateau(adam, torch::optim::ReduceLROnPlateauScheduler::min, 0.5, 2);
    for (int i = 0; i < 20; i++) {
        adam.zero_grad();
        auto loss = torch::mse_loss(fc->forward(features), target);
        loss.backward();
        adam.step();
        plateau.step(static_cast<float>(10 + i));
        if (i == 10) {
            static_cast<torch::optim::AdamOptions &>(adam.param_groups()[1].options()).lr(0.1);
        }
    }
    std::printf("rates %g %g\n", adam.param_groups()[0].options().get_lr(), adam.param_groups()[1].options().get_lr());
}

// MNIST: a convolutional net of the examples, data in IDX files made here.
struct Net : torch::nn::Module {
    Net()
        : conv1(torch::nn::Conv2dOptions(1, 10, /*kernel_size=*/5)), conv2(torch::nn::Conv2dOptions(10, 20, 5)), fc1(320, 50), fc2(50, 10) {
        register_module("conv1", conv1);
        register_module("conv2", conv2);
        register_module("conv2_drop", conv2_drop);
        register_module("fc1", fc1);
        register_module("fc2", fc2);
    }
    torch::Tensor forward(torch::Tensor x) {
        x = torch::relu(torch::max_pool2d(conv1->forward(x), 2));
        x = torch::relu(torch::max_pool2d(conv2_drop->forward(conv2->forward(x)), 2));
        x = x.view({-1, 320});
        x = torch::relu(fc1->forward(x));
        x = torch::dropout(x, /*p=*/0.5, /*training=*/is_training());
        x = fc2->forward(x);
        return torch::log_softmax(x, /*dim=*/1);
    }
    torch::nn::Conv2d conv1, conv2;
    torch::nn::Dropout2d conv2_drop;
    torch::nn::Linear fc1, fc2;
};
static void idx(const std::string &path, std::initializer_list<uint32_t> head, const std::vector<char> &bytes) {
    std::ofstream f(path, std::ios::binary);
    for (uint32_t v : head) {
        const char b[4] = {char(v >> 24), char(v >> 16), char(v >> 8), char(v)};
        f.write(b, 4);
    }
    f.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}
static void mnist(const std::string &folder) {
    const bool is_train[] = {true, false};
    for (bool train : is_train) {
        const uint32_t n = train ? 256 : 100;
        const uint32_t full = train ? 60000 : 10000;
        // libtorch wants the original's numbers in the head: the rest is zeros.
        std::vector<char> images(full * 784), labels(full);
        uint32_t state = train ? 1 : 2;
        for (uint32_t i = 0; i < n; i++) {
            const uint32_t label = i % 10;
            labels[i] = char(label);
            for (uint32_t k = 0; k < 784; k++) {
                state = state * 1664525 + 1013904223;
                images[i * 784 + k] = char((k / 28 / 3 == label ? 160 : 0) + (state >> 26));
            }
        }
        const std::string stem = folder + (train ? "/train" : "/t10k");
        idx(stem + "-images-idx3-ubyte", {0x803, full, 28, 28}, images);
        idx(stem + "-labels-idx1-ubyte", {0x801, full}, labels);
    }
    torch::manual_seed(1);
    torch::DeviceType type = torch::cuda::is_available() && std::getenv("USE_CUDA") ? torch::kCUDA : torch::kCPU;
    torch::Device device(type);
    Net model;
    model.to(device);
    auto train = torch::data::datasets::MNIST(folder)
                     .map(torch::data::transforms::Normalize<>(0.1307, 0.3081))
                     .map(torch::data::transforms::Stack<>());
    std::cout << train.size().value() << '\n';
    auto loader = torch::data::make_data_loader<torch::data::samplers::SequentialSampler>(std::move(train), 32);
    torch::optim::SGD optimizer(model.parameters(), torch::optim::SGDOptions(0.05).momentum(0.5));
    model.train();
    int64_t index = 0;
    for (auto &batch : *loader) {
        auto data = batch.data.to(device), targets = batch.target.to(device);
        optimizer.zero_grad();
        auto output = model.forward(data);
        auto loss = torch::nll_loss(output, targets);
        if (index == 0) {
            std::cout << data.sizes() << ' ' << targets.sizes() << ' ' << data.dtype() << '\n';
        }
        loss.backward();
        optimizer.step();
        std::printf("batch %d loss %.3f\n", int(index), loss.template item<double>());
        if (++index == 8) {
            break;
        }
    }
    torch::NoGradGuard no_grad;
    model.eval();
    auto test = torch::data::datasets::MNIST(folder, torch::data::datasets::MNIST::Mode::kTest);
    auto x = test.images().slice(0, 0, 100), y = test.targets().slice(0, 0, 100);
    auto output = model.forward(x.sub(0.1307).div(0.3081));
    std::printf("test %.3f\n", torch::nll_loss(output, y, {}, torch::Reduction::Sum).item<float>() / 100);
    for (const auto &p : model.named_parameters()) {
        std::cout << p.key() << ' ' << p.value().sizes() << '\n';
    }
}

// DCGAN: Sequential of transposed convolutions, weights set by apply, two optimisers.
struct GeneratorImpl : torch::nn::Module {
    GeneratorImpl(int noise)
        : conv1(torch::nn::ConvTranspose2dOptions(noise, 16, 4).bias(false)), norm1(16),
          conv2(torch::nn::ConvTranspose2dOptions(16, 8, 3).stride(2).padding(1).bias(false)), norm2(8),
          conv3(torch::nn::ConvTranspose2dOptions(8, 1, 4).stride(2).padding(1).bias(false)) {
        register_module("conv1", conv1);
        register_module("norm1", norm1);
        register_module("conv2", conv2);
        register_module("norm2", norm2);
        register_module("conv3", conv3);
    }
    torch::Tensor forward(torch::Tensor x) {
        x = torch::relu(norm1(conv1(x)));
        x = torch::relu(norm2(conv2(x)));
        return torch::tanh(conv3(x));
    }
    torch::nn::ConvTranspose2d conv1;
    torch::nn::BatchNorm2d norm1;
    torch::nn::ConvTranspose2d conv2;
    torch::nn::BatchNorm2d norm2;
    torch::nn::ConvTranspose2d conv3;
};
TORCH_MODULE(Generator);
static void dcgan(const std::string &folder) {
    torch::manual_seed(3);
    Generator generator(10);
    torch::nn::Sequential discriminator(
        torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 8, 4).stride(2).padding(1).bias(false)),
        torch::nn::LeakyReLU(torch::nn::LeakyReLUOptions().negative_slope(0.2)),
        torch::nn::Conv2d(torch::nn::Conv2dOptions(8, 16, 4).stride(2).padding(1).bias(false)), torch::nn::BatchNorm2d(16),
        torch::nn::LeakyReLU(torch::nn::LeakyReLUOptions().negative_slope(0.2)),
        torch::nn::Conv2d(torch::nn::Conv2dOptions(16, 1, 3).bias(false)), torch::nn::Sigmoid());
    generator->apply([](torch::nn::Module &m) {
        if (auto *norm = m.as<torch::nn::BatchNorm2dImpl>()) {
            torch::nn::init::constant_(norm->weight, 1.5);
        }
    });
    torch::optim::Adam g_opt(generator->parameters(), torch::optim::AdamOptions(2e-3).betas(std::make_tuple(0.5, 0.999)));
    torch::optim::Adam d_opt(discriminator->parameters(), torch::optim::AdamOptions(2e-3).betas(std::make_tuple(0.5, 0.999)));
    auto real = torch::rand({8, 1, 14, 14}) * 2 - 1;
    for (int i = 0; i < 4; i++) {
        discriminator->zero_grad();
        auto real_loss = torch::binary_cross_entropy(discriminator->forward(real).flatten(), torch::empty(8).uniform_(0.8, 1.0));
        real_loss.backward();
        auto fake = generator->forward(torch::randn({8, 10, 1, 1}));
        auto fake_out = discriminator->forward(fake.detach()).flatten();
        auto fake_loss = torch::binary_cross_entropy(fake_out, torch::zeros({8}));
        fake_loss.backward();
        d_opt.step();
        generator->zero_grad();
        auto g_loss = torch::binary_cross_entropy(discriminator->forward(fake).flatten(), torch::ones({8}));
        g_loss.backward();
        g_opt.step();
        std::printf("d %.3f g %.3f\n", (real_loss + fake_loss).item<float>(), g_loss.item<float>());
    }
    torch::save(generator, folder + "/generator.pt");
    torch::save(g_opt, folder + "/generator-opt.pt");
    Generator again(10);
    torch::load(again, folder + "/generator.pt");
    generator->eval();
    again->eval();
    auto noise = torch::randn({2, 10, 1, 1});
    std::cout << torch::equal(generator(noise), again(noise)) << ' ' << again->named_buffers().size() << '\n';
    torch::optim::Adam opt(again->parameters(), torch::optim::AdamOptions(1.0));
    torch::load(opt, folder + "/generator-opt.pt");
    torch::save(noise, folder + "/noise.pt");
    torch::Tensor back;
    torch::load(back, folder + "/noise.pt");
    std::vector<torch::Tensor> two{noise, noise * 2}, list;
    torch::save(two, folder + "/two.pt");
    torch::load(list, folder + "/two.pt");
    std::cout << torch::equal(back, noise) << ' ' << list.size() << ' ' << torch::equal(list[1], two[1]) << '\n';
}

// A data set of one's own, random order, workers, lambdas.
struct Squares : torch::data::datasets::Dataset<Squares> {
    torch::data::Example<> get(size_t i) override {
        return {torch::full({2}, double(i)), torch::tensor(int64_t(i * i))};
    }
    torch::optional<size_t> size() const override { return 10; }
};
static void custom_dataset() {
    torch::manual_seed(7);
    for (size_t workers : {0, 2}) {
        auto set = Squares()
                       .map(torch::data::transforms::Lambda<torch::data::Example<>>([](torch::data::Example<> e) {
                           e.data = e.data + 0.5;
                           return e;
                       }))
                       .map(torch::data::transforms::Stack<>());
        auto loader = torch::data::make_data_loader<torch::data::samplers::RandomSampler>(
            std::move(set), torch::data::DataLoaderOptions().batch_size(4).workers(workers));
        for (int epoch = 0; epoch < 2; epoch++) {
            for (auto &batch : *loader) {
                std::cout << batch.target.unsqueeze(0) << batch.data.sizes() << '\n';
            }
        }
    }
}

// Modules of every kind of registration, functional options, recurrent layers.
struct Block : torch::nn::Module {
    Block() {
        scale = register_parameter("scale", torch::ones({3}));
        offset = register_buffer("offset", torch::full({3}, 0.25));
        list->push_back(torch::nn::Linear(3, 3));
        list->push_back(torch::nn::Linear(3, 3));
        register_module("list", list);
        norm = register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({3})));
    }
    torch::Tensor forward(torch::Tensor x) {
        for (const auto &m : *list) {
            x = torch::sigmoid(m->as<torch::nn::Linear>()->forward(x));
        }
        return norm(x) * scale + offset;
    }
    torch::Tensor scale, offset;
    torch::nn::ModuleList list;
    torch::nn::LayerNorm norm{nullptr};
};
static void modules() {
    torch::manual_seed(11);
    auto block = std::make_shared<Block>();
    std::cout << block->forward(torch::ones({2, 3})).detach() << '\n';
    for (const auto &p : block->named_parameters()) {
        std::cout << p.key() << ' ';
    }
    std::cout << block->named_buffers().keys()[0] << ' ' << block->parameters().size() << '\n';
    block->to(torch::kFloat64);
    std::cout << block->scale.dtype() << ' ' << block->forward(torch::ones({1, 3}, torch::kFloat64)).dtype() << '\n';
    torch::nn::LSTM lstm(torch::nn::LSTMOptions(3, 4).num_layers(2).batch_first(true));
    auto [out, state] = lstm->forward(torch::ones({2, 5, 3}));
    std::cout << out.sizes() << ' ' << std::get<0>(state).sizes() << '\n' << out.index({0, -1}).detach() << '\n';
    torch::nn::Embedding embedding(10, 3);
    std::cout << embedding(torch::tensor({1, 9})).sizes() << '\n';
    auto x = torch::randn({1, 2, 6, 6});
    auto y = F::max_pool2d(x, F::MaxPool2dFuncOptions(3).stride(2).padding(1));
    y = F::pad(y, F::PadFuncOptions({1, 1, 0, 0}).mode(torch::kReplicate));
    y = F::leaky_relu(y, F::LeakyReLUFuncOptions().negative_slope(0.1));
    y = F::interpolate(y, F::InterpolateFuncOptions().size(std::vector<int64_t>{4, 4}).mode(torch::kBilinear).align_corners(false));
    std::cout << y.sizes() << ' ' << F::softmax(y.flatten(1), F::SoftmaxFuncOptions(1)).sizes() << '\n' << y.index({0, 0}) << '\n';
    show("loss", F::cross_entropy(torch::ones({2, 3}), torch::tensor({0, 2}), F::CrossEntropyFuncOptions().reduction(torch::kSum)));
    torch::nn::AnyModule any(torch::nn::Linear(3, 2));
    std::cout << any.forward(torch::ones({1, 3})).sizes() << '\n';
    torch::nn::Sequential named({{"first", torch::nn::Linear(3, 2)}, {"act", torch::nn::ReLU()}});
    std::cout << named->named_parameters().keys()[1] << ' ' << named->forward(torch::ones({1, 3})).sizes() << '\n';
}

int main(int argc, char **argv) {
    const std::string folder = argc > 1 ? argv[1] : ".";
    const auto section = [](const char *name, auto f) {
        std::cout << std::flush;
        std::printf("== %s\n", name);
        std::fflush(stdout);
        f();
        std::cout << std::flush;
        std::fflush(stdout);
    };
    std::setvbuf(stdout, nullptr, _IONBF, 0);
    std::cout << std::unitbuf;
    section("scalars", scalars);
    section("tensors", tensors);
    section("autograd", autograd);
    section("regression", regression);
    section("modules", modules);
    section("custom dataset", custom_dataset);
    section("dcgan", [&] { dcgan(folder); });
    section("mnist", [&] { mnist(folder); });
}
