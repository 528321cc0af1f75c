// The C++ binding's own promises: conversion of types, errors, ownership, callbacks. What the ops compute is tested
// in the core.
#include <taper.hpp>

#include <cstdio>
#include <filesystem>
#include <sstream>
#include <thread>

using namespace taper;
namespace F = taper::nn::functional;

static int failures = 0, checks = 0;
#define CHECK(...)                                                                                                     \
    do {                                                                                                               \
        ++checks;                                                                                                      \
        if (!(__VA_ARGS__)) {                                                                                          \
            ++failures;                                                                                                \
            std::printf("%s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #__VA_ARGS__);                                \
        }                                                                                                              \
    } while (0)
template <class E, class Fn> static bool throws(const char *part, Fn &&f) {
    try {
        f();
    } catch (const E &e) {
        if (std::string(e.what()).find(part) != std::string::npos) {
            return true;
        }
        std::printf("  message was: %s\n", e.what());
        return false;
    } catch (const std::exception &e) {
        std::printf("  another exception: %s\n", e.what());
        return false;
    }
    std::printf("  nothing was thrown\n");
    return false;
}
using V = std::vector<double>;
static std::string text(const Tensor &t) { return t.str(); }

static void tensors() {
    const Tensor a = tensor({{1, 2}, {3, 4}});
    CHECK(a.dtype() == int64 && a.sizes() == std::vector<int64_t>{2, 2});
    CHECK(text(a) == "tensor([[1, 2],\n        [3, 4]])");
    CHECK(tensor({1.5, 2.5}).dtype() == float32);
    CHECK(tensor({true, false}).dtype() == boolean);
    CHECK(tensor(3).dim() == 0 && tensor(3).item<int64_t>() == 3);
    CHECK((a + 1).to_vector<int64_t>() == std::vector<int64_t>{2, 3, 4, 5});
    CHECK((1 - a).to_vector<int64_t>() == std::vector<int64_t>{0, -1, -2, -3});
    CHECK((a / 2).to_vector<double>() == V{0.5, 1, 1.5, 2});
    CHECK((a == 2).sum().item<int64_t>() == 1);
    CHECK(a[1].to_vector<int64_t>() == std::vector<int64_t>{3, 4});
    CHECK(a.index({All, 0}).to_vector<int64_t>() == std::vector<int64_t>{1, 3});
    CHECK(a.index({Slice{{}, {}, 2}, None}).sizes() == std::vector<int64_t>{1, 1, 2});
    CHECK(a[a > 2].to_vector<int64_t>() == std::vector<int64_t>{3, 4});
    Tensor b = zeros({2, 3});
    b.index_put({1}, 5);
    b.index_put({All, 2}, ones({2}));
    CHECK(b.to_vector<double>() == V{0, 0, 1, 5, 5, 1});
    auto [values, indices] = a.max(1);
    CHECK(values.to_vector<int64_t>() == std::vector<int64_t>{2, 4} && indices.to_vector<int64_t>()[0] == 1);
    CHECK(cat({a, a}, 1).sizes() == std::vector<int64_t>{2, 4});
    CHECK(a.split(1).size() == 2);
    CHECK(arange(0, 10, 3).to_vector<int64_t>() == std::vector<int64_t>{0, 3, 6, 9});
    b += 1;
    b *= tensor({1.0, 0.0, 2.0});
    CHECK(b.to_vector<double>() == V{1, 0, 4, 6, 0, 4});
    CHECK(b.clone().is_same(b) == false);
    const Tensor moved = std::move(b);
    CHECK(!b.defined() && moved.defined());
    CHECK(throws<ValueError>("undefined", [&] { b.sizes(); }));
    CHECK(throws<ValueError>("", [&] { b + moved; }));
}
static void memory() {
    const uint64_t before = taper_tensor_handle_count();
    float data[3] = {1, 2, 3};
    int freed = 0;
    {
        Tensor t = from_buffer(data, {3}, [&] { ++freed; });
        data[1] = 7;
        CHECK(t.to_vector<double>() == V{1, 7, 3});
        t.mul_(2);
        CHECK(data[2] == 6 && freed == 0);
        CHECK(t.data<float>() == data);
        CHECK(throws<TypeError>("data()", [&] { t.data<double>(); }));
    }
    CHECK(freed == 1);
    CHECK(throws<Error>("negative", [&] { from_buffer(data, {-3}, [&] { ++freed; }); }));
    CHECK(freed == 2);
    CHECK(taper_tensor_handle_count() == before);
}
static void errors() {
    CHECK(throws<Error>("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)",
                        [] { matmul(ones({2, 3}), ones({4, 5})); }));
    CHECK(throws<IndexError>("index 9 is out of bounds", [] { tensor({1, 2})[9]; }));
    CHECK(throws<Error>("opencl", [] { Device("gpu"); }));
    CHECK(throws<IoError>("", [] { NamedTensors::load("/nowhere/at/all"); }));
    try {
        ones({2, 3}) + ones({4});
    } catch (const Error &e) {
        CHECK(e.op() == "add" && e.code() == TAPER_ERROR_RUNTIME);
    }
}
struct Cube : autograd::Function<Cube> {
    static std::vector<Tensor> forward(autograd::Context &ctx, const std::vector<Tensor> &in) {
        ctx.save_for_backward({in[0]});
        return {in[0] * in[0] * in[0]};
    }
    static std::vector<Tensor> backward(autograd::Context &ctx, const std::vector<Tensor> &g) {
        const Tensor x = ctx.saved_tensors()[0];
        return {g[0] * 3 * x * x};
    }
};
struct Broken : autograd::Function<Broken> {
    static std::vector<Tensor> forward(autograd::Context &, const std::vector<Tensor> &in) { return {in[0] * 1}; }
    static std::vector<Tensor> backward(autograd::Context &, const std::vector<Tensor> &) {
        throw std::domain_error("mine");
    }
};
static void gradients() {
    Tensor x = tensor({1.0, 2.0, 3.0}).requires_grad_();
    (x * x).sum().backward();
    CHECK(x.grad().to_vector<double>() == V{2, 4, 6});
    Tensor y = Cube::apply({x}, "Cube")[0].sum();
    const Tensor g = autograd::grad({y}, {x}, {}, true, true)[0];
    CHECK(g.to_vector<double>() == V{3, 12, 27});
    CHECK(autograd::grad({g.sum()}, {x})[0].to_vector<double>() == V{6, 12, 18});
    // The caller's own exception comes back, with its type.
    CHECK(throws<std::domain_error>("mine", [&] { Broken::apply({x})[0].sum().backward(); }));
    Tensor z = tensor({1.0}).requires_grad_();
    int calls = 0;
    const uint64_t id = z.register_hook([&](const Tensor &gradient) {
        ++calls;
        return gradient * 10;
    });
    (z * 2).backward();
    CHECK(calls == 1 && z.grad().item() == 20);
    z.remove_hook(id);
    {
        NoGrad guard;
        CHECK(!(z * 2).requires_grad());
    }
    CHECK((z * 2).requires_grad());
    CHECK(throws<Error>("leaf Variable that requires grad", [&] { z += 1; }));
}
struct Net : nn::Module {
    nn::Linear fc = register_module("fc", nn::Linear(3, 2));
    Tensor scale = register_parameter("scale", ones({2}));
    Net() : Module("Net") {}
    Tensor forward(const Tensor &x) override { return fc(x).relu() * scale; }
    std::string extra_repr() const override { return "scaled"; }
};
static void modules() {
    manual_seed(0);
    Net net;
    CHECK(net.str().find("(fc): Linear(in_features=3, out_features=2, bias=True)") != std::string::npos);
    CHECK(net.parameters().size() == 3);
    std::string names;
    for (const auto &[name, t] : net.named_parameters().items()) {
        names += name + " ";
        CHECK(t.requires_grad());
    }
    CHECK(names == "scale fc.weight fc.bias ");
    const Tensor x = randn({5, 3});
    CHECK(net(x).sizes() == std::vector<int64_t>{5, 2});
    optim::SGD sgd(net.parameters(), {.1, .9});
    double first = 0, last = 0;
    for (int i = 0; i < 20; ++i) {
        const Tensor loss = F::mse_loss(net(x), ones({5, 2}));
        last = loss.item();
        first = i ? first : last;
        sgd.zero_grad();
        loss.backward();
        sgd.step();
    }
    CHECK(last < first);
    const auto path = (std::filesystem::temp_directory_path() / "taper_cpp_test.safetensors").string();
    net.save(path);
    Net other;
    other.load(path);
    CHECK(other(x).equal(net(x)));
    std::filesystem::remove(path);
    nn::Sequential seq(nn::Linear(3, 4), nn::ReLU(), nn::Linear(4, 1));
    CHECK(seq(x).sizes() == std::vector<int64_t>{5, 1});
    CHECK(throws<Error>("Missing key(s)", [&] { seq.load_state_dict(net.state_dict()); }));
    nn::Sequential outer;
    {
        Net gone;
        outer.push_back(gone);
    }
    CHECK(throws<ValueError>("object of this module is gone", [&] { outer(x); }));
    Net moved = std::move(net);
    CHECK(moved(x).sizes() == std::vector<int64_t>{5, 2});
    CHECK(throws<ValueError>("moved from", [&] { net(x); }));
}
static void threads() {
    const Tensor x = ones({100}).requires_grad_();
    std::vector<std::thread> pool;
    for (int i = 0; i < 4; ++i) {
        pool.emplace_back([&] {
            for (int k = 0; k < 200; ++k) {
                NoGrad guard;
                (x * 2 + 1).sum().item();
            }
        });
    }
    for (auto &t : pool) {
        t.join();
    }
    CHECK((x * 2).requires_grad());
}
static void no_leaks() {
    const uint64_t before = taper_handle_count();
    for (int i = 0; i < 100; ++i) {
        Net net;
        Tensor x = randn({4, 3}).requires_grad_();
        net(x).sum().backward();
        Cube::apply({x})[0].sum().backward();
        (void)net.state_dict();
    }
    CHECK(taper_handle_count() == before);
}

int main() {
    detail::check(taper_check_abi(TAPER_ABI_VERSION));
    tensors();
    memory();
    errors();
    gradients();
    modules();
    threads();
    no_leaks();
    std::printf("%d passed, %d failed\n", checks - failures, failures);
    return failures != 0;
}
