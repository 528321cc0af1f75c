// Trains a small convolutional network to read handwritten digits, saves it, and reads some in a fresh process.
//
//     scripts/example.sh cpp digits --epochs 5
//
// DIR may hold MNIST's files (train-images-idx3-ubyte ...) instead.
#include <taper.hpp>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>
#include <unistd.h>
#include <vector>

using namespace taper;
namespace F = taper::nn::functional;

struct Net : nn::Module {
    // 1 input image channel, 6 output channels, 3x3 square convolution
    nn::Conv2d conv1 = register_module("conv1", nn::Conv2d(1, 6, 3));
    nn::Conv2d conv2 = register_module("conv2", nn::Conv2d(6, 16, 3));
    nn::Linear fc1 = register_module("fc1", nn::Linear(16 * 6 * 6, 120));
    nn::Linear fc2 = register_module("fc2", nn::Linear(120, 84));
    nn::Linear fc3 = register_module("fc3", nn::Linear(84, 10));

    Net() : Module("Net") {}
    Tensor forward(const Tensor &input) override {
        Tensor x = F::max_pool2d(conv1(input).relu(), {2, 2});
        x = F::max_pool2d(conv2(x).relu(), 2);
        x = x.view({-1, num_flat_features(x)});
        x = fc1(x).relu();
        x = fc2(x).relu();
        return fc3(x);
    }
    static int64_t num_flat_features(const Tensor &x) {
        int64_t n = 1;
        for (int64_t d = 1; d < x.dim(); ++d) {
            n *= x.size(d);
        }
        return n;
    }
};

// The IDX format: four bytes that say type and rank, big-endian sizes, then bytes.
static std::vector<uint8_t> read_idx(const std::string &path, std::vector<int64_t> &sizes) {
    std::ifstream in(path, std::ios::binary);
    if (!in) {
        throw std::runtime_error("cannot open " + path + " (run from the root of the checkout, or give --data DIR)");
    }
    unsigned char head[4];
    if (!in.read(reinterpret_cast<char *>(head), 4) || head[0] || head[1] || head[2] != 8) {
        throw std::runtime_error(path + ": not an IDX file of bytes");
    }
    sizes.clear();
    size_t n = 1;
    for (int i = 0; i < head[3]; ++i) {
        unsigned char b[4];
        if (!in.read(reinterpret_cast<char *>(b), 4)) {
            throw std::runtime_error(path + ": truncated header");
        }
        sizes.push_back(int64_t(b[0]) << 24 | b[1] << 16 | b[2] << 8 | b[3]);
        n *= static_cast<size_t>(sizes.back());
    }
    std::vector<uint8_t> data(n);
    if (!in.read(reinterpret_cast<char *>(data.data()), static_cast<std::streamsize>(n))) {
        throw std::runtime_error(path + ": truncated data");
    }
    return data;
}
static Tensor idx_tensor(const std::string &path) {
    std::vector<int64_t> sizes;
    const auto bytes = read_idx(path, sizes);
    return from_data(bytes.data(), sizes);
}
struct Data {
    Tensor train_x, train_y, test_x, test_y;
};
// Images to [n, 1, 32, 32] floats: digits of 8x8 repeat each pixel 4x4, MNIST's 28x28 are padded.
static Tensor prepare(const Tensor &images) {
    Tensor x = images.to(float32);
    if (x.size(1) == 8) {
        x = x.repeat_interleave(4, 1).repeat_interleave(4, 2) / 16;
    } else {
        x = F::pad(x, {2, 2, 2, 2}) / 255;
    }
    return x.unsqueeze(1);
}
static Data load(const std::string &dir) {
    const Data d{prepare(idx_tensor(dir + "/train-images-idx3-ubyte")),
                 idx_tensor(dir + "/train-labels-idx1-ubyte").to(int64),
                 prepare(idx_tensor(dir + "/t10k-images-idx3-ubyte")),
                 idx_tensor(dir + "/t10k-labels-idx1-ubyte").to(int64)};
    if (d.train_x.size(0) != d.train_y.size(0) || d.test_x.size(0) != d.test_y.size(0)) {
        throw std::runtime_error(dir + ": images and labels differ in number");
    }
    return d;
}
// A whole number that fills the text, like "30".
static uint64_t number(const std::string &option, const std::string &text) {
    if (text.empty() || text.size() > 9 || text.find_first_not_of("0123456789") != std::string::npos) {
        throw std::invalid_argument(option + " takes a number, not '" + text + "'");
    }
    return std::stoull(text);
}

static double accuracy(Net &net, const Tensor &x, const Tensor &y) {
    NoGrad guard;
    net.eval();
    int64_t right = 0;
    for (int64_t i = 0; i < x.size(0); i += 256) {
        const Slice s{i, i + 256};
        right += (net(x[s]).argmax(1) == y[s]).sum().item<int64_t>();
    }
    net.train();
    return double(right) / double(x.size(0));
}

static void show(const Tensor &image, int64_t guess, int64_t truth) {
    const auto pixels = image.to(Device::cpu()).contiguous().to_vector<float>();
    std::printf("label %lld, guess %lld%s\n", static_cast<long long>(truth), static_cast<long long>(guess),
                truth == guess ? "" : "   <- wrong");
    for (int r = 0; r < 32; r += 4) {
        for (int c = 0; c < 32; c += 2) {
            std::putchar(" .:-=+*#%@"[std::min(9, int(pixels[size_t(r * 32 + c)] * 9.99f))]);
        }
        std::putchar('\n');
    }
}

struct Options {
    int epochs = 0; // 0: chosen by the size of the data
    int threads = 0;
    std::string device = "cpu", dir = "data/digits", weights = "digits.safetensors";
    uint64_t seed = 0;
    bool predict = false;
};
static Options parse(int argc, char **argv) {
    Options o;
    for (int i = 1; i < argc; ++i) {
        const std::string a = argv[i];
        if (a == "--predict") {
            o.predict = true;
            continue;
        }
        if (i + 1 == argc || a.rfind("--", 0) != 0) {
            throw std::invalid_argument("what to do with " + a + "?");
        }
        const std::string v = argv[++i];
        if (a == "--epochs") {
            o.epochs = static_cast<int>(number(a, v));
        } else if (a == "--threads") {
            o.threads = static_cast<int>(number(a, v));
        } else if (a == "--device") {
            o.device = v;
        } else if (a == "--data") {
            o.dir = v;
        } else if (a == "--seed") {
            o.seed = number(a, v);
        } else if (a == "--weights") {
            o.weights = v;
        } else {
            throw std::invalid_argument("unknown option " + a);
        }
    }
    return o;
}

static void report(Net &net, const Data &d) {
    std::printf("test accuracy %.2f %% on %lld images\n", 100 * accuracy(net, d.test_x, d.test_y),
                static_cast<long long>(d.test_x.size(0)));
    std::fflush(stdout);
}

static void train(Net &net, const Data &d, const Options &o, const Device &where) {
    const double lr = 2e-3;
    optim::Adam optimizer(net.parameters(), lr);
    const nn::CrossEntropyLoss criterion;
    const int64_t n = d.train_x.size(0), batch = 64;
    const int epochs = o.epochs ? o.epochs : n < 10000 ? 30 : 2;
    for (int epoch = 1; epoch <= epochs; ++epoch) {
        // The rate falls in a straight line, so that the last steps settle.
        optimizer.set_lr(lr * (1 - double(epoch - 1) / epochs));
        const auto start = std::chrono::steady_clock::now();
        const Tensor order = randperm(n).to(where);
        double total = 0;
        for (int64_t i = 0; i < n; i += batch) {
            const Tensor pick = order[Slice{i, std::min(i + batch, n)}];
            const Tensor x = d.train_x.index_select(0, pick), y = d.train_y.index_select(0, pick);
            const Tensor loss = criterion(net(x), y);
            optimizer.zero_grad();
            loss.backward();
            optimizer.step();
            total += loss.item() * double(x.size(0));
            const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
            const int done = int((i + batch) * 20 / n);
            std::printf("\repoch %2d/%d [%-20.*s] loss %.4f  %6.0f images/s", epoch, epochs, std::min(done, 20),
                        "####################", total / double(i + x.size(0)), double(i + x.size(0)) / seconds);
            std::fflush(stdout);
        }
        std::printf("\n");
    }
}

int main(int argc, char **argv) try {
    const Options o = parse(argc, argv);
    const Device where(o.device);
    where.check(); // says why, if there is no such device
    if (o.threads) {
        set_num_threads(o.threads);
    }
    manual_seed(o.seed);
    Data d = load(o.dir);
    d.train_x = d.train_x.to(where), d.train_y = d.train_y.to(where);
    d.test_x = d.test_x.to(where), d.test_y = d.test_y.to(where);
    Net net;
    if (o.predict) {
        net.load(o.weights);
        net.to(where);
        std::printf("a fresh process loaded %s\n", o.weights.c_str());
        report(net, d);
        net.eval();
        NoGrad guard;
        for (int64_t i = 0; i < 3; ++i) {
            // The network takes mini-batches only: unsqueeze(0) makes one of a single image.
            const Tensor image = d.test_x[i];
            show(image[0], net(image.unsqueeze(0)).argmax(1).item<int64_t>(), d.test_y[i].item<int64_t>());
        }
        return 0;
    }
    std::cout << net << '\n';
    net.to(where);
    std::cout << d.train_x.size(0) << " training images, " << d.test_x.size(0) << " test images, on " << where << " ("
              << where.name() << ")" << std::endl;
    train(net, d, o, where);
    report(net, d);
    net.save(o.weights);
    std::printf("saved the weights to %s\n", o.weights.c_str());
    std::fflush(stdout);

    // Again, in a fresh process that only knows the file.
    std::vector<char *> again(argv, argv + argc);
    std::string predict = "--predict";
    again.push_back(predict.data());
    again.push_back(nullptr);
    execvp(again[0], again.data());
    throw std::runtime_error(std::string("cannot start ") + again[0]);
} catch (const std::invalid_argument &e) {
    std::cerr << "digits: " << e.what()
              << "\nusage: digits [--epochs N] [--data DIR] [--weights FILE] [--device cpu|opencl[:N]|cuda[:N]] "
                 "[--threads N]\n              [--seed N] [--predict]\n";
    return 2;
} catch (const std::exception &e) {
    std::cerr << "digits: " << e.what() << '\n';
    return 1;
}
