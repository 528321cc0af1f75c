// The C++ binding's own promises: conversion of types, errors, ownership, callbacks. What the ops compute is tested
// in the core.
#include <taper.hpp>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <thread>
#include <unistd.h>

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
    const Tensor all = arange(24).to(float32).view({2, 3, 4});
    CHECK(all.sum({0, 2}).to_vector<float>() == (std::vector<float>{60, 92, 124}));
    CHECK(all.mean({-1}, true).sizes() == (std::vector<int64_t>{2, 3, 1}) && all.sum(1).sum().item() == 276);
    CHECK(sum(all, std::vector<int64_t>{0, 1, 2}).item() == 276 && var(all, std::nullopt, 0.0).item() > 47);
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
    CHECK(text(b) == "[ Tensor (undefined) ]");
    CHECK(throws<ValueError>("", [&] { b + moved; }));
}
static void printing() {
    const auto a = zeros({2, 3});
    std::ostringstream out;
    out << a.sizes() << a.strides() << tensor(1).sizes() << " " << a.grad();
    CHECK(out.str() == "[2, 3][3, 1][] [ Tensor (undefined) ]");
    const std::vector<int64_t> plain = a.sizes();
    CHECK(plain == a.sizes() && ones(a.sizes()).sizes() == plain && a.sum(a.sizes()[0] - 1).dim() == 1);
    PrintOptions options;
    options.precision = 2;
    options.sci_mode = true;
    set_printoptions(options);
    CHECK(text(tensor({1.5, 2.0})) == "tensor([1.50e+00, 2.00e+00])");
    set_printoptions({}); // the defaults again
    CHECK(text(tensor({1.5, 2.0})) == "tensor([1.5000, 2.0000])");
    options.profile = "loud";
    CHECK(throws<ValueError>("loud", [&] { set_printoptions(options); }));
}
static void random_algorithms() {
    Generator g;
    CHECK(g.algorithm() == RandomAlgorithm::MT19937);
    g.manual_seed(3);
    const auto first = rand({4}, &g), again = rand({4}, &g.manual_seed(3));
    g.set_algorithm(RandomAlgorithm::Philox).manual_seed(3);
    CHECK(g.algorithm() == RandomAlgorithm::Philox && first.equal(again) && !first.equal(rand({4}, &g)));
    CHECK(Generator::default_generator().algorithm() == RandomAlgorithm::MT19937);
}
static void sizes_in_braces() {
    CHECK(nn::LayerNorm({2, 3}).str() == "LayerNorm((2, 3), eps=1e-05, elementwise_affine=True, bias=True)");
    CHECK(nn::LayerNorm({4}, 1e-3, false)(ones({2, 4})).sizes() == std::vector<int64_t>{2, 4});
    CHECK(nn::MaxPool2d({2, 3})(ones({1, 1, 6, 6})).sizes() == std::vector<int64_t>{1, 1, 3, 2});
    CHECK(nn::AvgPool2d({2, 3}, {1, 1})(ones({1, 1, 6, 6})).sizes() == std::vector<int64_t>{1, 1, 5, 4});
}
static void clipping() {
    auto w = ones({2});
    w.requires_grad_();
    w.set_grad(tensor({3.0, 4.0}));
    CHECK(clip_grad_norm_({w}, 10).item() == 5 && w.grad().to_vector<double>() == V{3, 4});
    clip_grad_value_({w}, 3.5);
    CHECK(w.grad().to_vector<double>() == V{3, 3.5});
}
struct Twice : nn::Module {
    nn::Linear fc = register_module("fc", nn::Linear(2, 2));
    Twice() : Module("Twice") {}
    Tensor forward(const Tensor &x) override { return fc(fc(x)); }
};
/// Optional inputs, several outputs, attributes, lazy layers.
struct Pair : nn::Module {
    Pair() : Module("Pair") {}
    std::vector<Tensor> forward_list(const std::vector<Tensor> &in) override { return {in[0], Tensor(), in[0] + 1}; }
};
static void module_lists() {
    Pair pair;
    const Tensor x = ones({2});
    auto out = pair.call({x, Tensor()});
    CHECK(out.size() == 3 && !out[1].defined() && out[2].sum().item<float>() == 4);
    CHECK(throws<TypeError>("Pair.forward() gave 3 outputs", [&] { pair(x); }));
    size_t seen = 0;
    const uint64_t id = pair.register_forward_list_hook(
        [&](const nn::Module &, const std::vector<Tensor> &in, const std::vector<Tensor> &outputs) {
            seen = in.size() + outputs.size();
            return std::vector<Tensor>{outputs[2]};
        });
    CHECK(pair(x).sum().item<float>() == 4 && seen == 4);
    pair.remove_hook(id);
    CHECK(nn::ReLU().call({x}).size() == 1);
    nn::LazyConv2d conv(4, 3, nn::ConvSettings().padding("same").bias(false).padding_mode("reflect"));
    CHECK(conv.name() == "LazyConv2d");
    CHECK(conv(ones({1, 2, 5, 5})).size(1) == 4);
    CHECK(conv.str() == "Conv2d(2, 4, kernel_size=(3, 3), stride=(1, 1), padding=same, bias=False, padding_mode=reflect)");
    CHECK(std::get<int64_t>(conv.attribute("in_channels")) == 2 && conv.attribute_names()[0] == "in_channels");
    CHECK(std::get<std::vector<int64_t>>(conv.attribute("kernel_size")) == (std::vector<int64_t>{3, 3}));
    CHECK(std::get<std::string>(conv.attribute("padding")) == "same");
    CHECK(std::get<bool>(conv.attribute("transposed")) == false);
    CHECK(throws<KeyError>("no attribute 'gain'", [&] { conv.attribute("gain"); }));
    CHECK(nn::Conv2d(2, 3, 1, nn::ConvSettings().stride(2)).str() == "Conv2d(2, 3, kernel_size=(1, 1), stride=(2, 2))");
    CHECK(nn::LazyLinear(3)(ones({1, 5})).size(1) == 3);
}

/// Modules of the user's, made where they are handed over: the container keeps them.
static void parts() {
    const auto x = ones({1, 2});
    nn::Sequential s(Twice{}, nn::Sequential(nn::ReLU(), Twice{}));
    s.push_back(Twice());
    const auto y = s(x);
    nn::Sequential moved = std::move(s);
    CHECK(moved(x).equal(y) && moved.parameters().size() == 6);
    nn::ModuleList list(Twice{});
    list.push_back(Twice());
    CHECK(list.get_submodule("0")(x).dim() == 2 && list.get_submodule("1")(x).dim() == 2);
    struct Net : nn::Module {
        Net() : Module("Net") { add_module("body", nn::Sequential(Twice())); }
        Tensor forward(const Tensor &in) override { return get_submodule("body")(in); }
    };
    CHECK(Net()(x).sizes() == std::vector<int64_t>{1, 2});
    // One that has a name is only borrowed.
    nn::Sequential borrows;
    {
        Twice here;
        borrows.push_back(here);
        CHECK(borrows(x).dim() == 2);
    }
    CHECK(throws<ValueError>("keep it alive", [&] { borrows(x); }));
}
static void layout() {
    const auto t = zeros({4, 3}, float64);
    const auto part = t[Slice{1, 3}];
    CHECK(part.storage_offset() == 3 && part.element_size() == 8 && part.nbytes() == 48 && !part.is_cuda());
    CHECK(part.cpu().device() == Device::cpu() && part.to(Device::cpu(), float16).dtype() == float16);
    CHECK(nn::functional::relu(part).equal(relu(part)) && nn::functional::softmax(part, 1).equal(part.softmax(1)));
    CHECK(throws<ValueError>("undefined", [] { Tensor().nbytes(); }));
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
    CHECK(throws<Error>("mm: mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)",
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
struct Power {
    double exponent;
    std::vector<Tensor> forward(autograd::Context &ctx, const std::vector<Tensor> &in) {
        ctx.save_for_backward({in[0]});
        return {in[0].pow(exponent)};
    }
    std::vector<Tensor> backward(autograd::Context &ctx, const std::vector<Tensor> &g) {
        return {g[0] * exponent * ctx.saved_tensors()[0].pow(exponent - 1)};
    }
};
static void graphs() {
    Tensor x = tensor({1.0, 2.0}).to(float64).requires_grad_();
    CHECK(!x.grad_fn().defined());
    const Tensor y = (x * x).sum();
    const autograd::Node sum = y.grad_fn();
    CHECK(sum.name() == "SumBackward0");
    const auto next = sum.next_functions();
    CHECK(next.size() == 1 && next[0].first.name() == "MulBackward0" && next[0].second == 0);
    const auto leaves = next[0].first.next_functions();
    CHECK(leaves.size() == 2 && leaves[0].first.name() == "AccumulateGrad" && leaves[0].first.is_same(leaves[1].first));
    const uint64_t id = next[0].first.register_hook([](const std::vector<Tensor> &in, const std::vector<Tensor> &) {
        return std::vector<Tensor>{in[0] * 10, in[1]};
    });
    sum.register_prehook([](const std::vector<Tensor> &g) { return std::vector<Tensor>{g[0] * 2}; });
    y.backward({}, true);
    CHECK(x.grad().to_vector<double>() == V{22, 44});
    next[0].first.remove_hook(id);
    int seen = 0;
    x.register_post_accumulate_grad_hook([&](const Tensor &leaf) { seen += leaf.grad().defined(); });
    autograd::backward({y}, {}, false, false, {x});
    CHECK(x.grad().to_vector<double>() == V{26, 52} && seen == 1);
    CHECK(throws<InvalidHandleError>("NULL", [] { autograd::Node().name(); }));

    const auto cube = [](const std::vector<Tensor> &in) { return autograd::apply(Power{3}, in, "Power"); };
    CHECK(cube({x})[0].to_vector<double>() == V{1, 8});
    autograd::gradcheck(cube, {x});
    autograd::gradgradcheck(cube, {x});
    CHECK(throws<std::domain_error>("mine", [&] {
        autograd::gradcheck([](const std::vector<Tensor> &in) { return Broken::apply(in); }, {x});
    }));
    {
        InferenceMode guard;
        CHECK(!is_grad_enabled() && !(x * 2).requires_grad());
        EnableGrad inner;
        CHECK(!is_grad_enabled());
    }
    CHECK(is_grad_enabled());
    const auto nan = [&] { (x - 100).sqrt().sum().backward(); };
    nan();
    {
        DetectAnomaly guard;
        CHECK(throws<RuntimeError>("Function 'SqrtBackward0' returned nan values in its 0th output.", nan));
    }
    nan();
    // Payloads of other languages are none of ours.
    CHECK(throws<CallbackError>("from C", [&] {
        taper_hook_vtable v = TAPER_HOOK_VTABLE_INIT;
        v.call = [](void *, taper_tensor *, taper_tensor **) {
            return taper_error_new(TAPER_ERROR_CALLBACK, "from C", reinterpret_cast<void *>(7), nullptr);
        };
        uint64_t number = 0;
        detail::check(taper_tensor_register_hook(x.handle(), &v, nullptr, &number));
        (x * 2).sum().backward();
    }));
}
static void lists() {
    CHECK(tensor({{{1, 2}, {3, 4}}, {{5, 6}, {7, 8}}}).sizes() == std::vector<int64_t>{2, 2, 2});
    CHECK(tensor({{{{1.f}, {2.f}}}}).sizes() == std::vector<int64_t>{1, 1, 2, 1});
    CHECK(tensor({{1, 2}, {3, 4}, {5, 6}}).index({Slice{1}, Slice{{}, {}, 1}}).to_vector<int64_t>()[2] == 5);
    CHECK(throws<ValueError>("expected lists of length 2 at depth 1", [] { tensor({{1, 2}, {3}}); }));
    CHECK(throws<RuntimeError>("cannot be multiplied", [] { matmul(ones({2, 3}), ones({4, 5})); }));
    NamedTensors named;
    named.insert("a", ones({2}));
    named.insert("b", zeros({3}));
    named.set_metadata("epoch", "7");
    std::string names;
    int64_t elements = 0;
    for (const auto &[name, t] : named) {
        names += name;
        elements += t.numel();
    }
    CHECK(names == "ab" && elements == 5 && *named.metadata("epoch") == "7" && !named.metadata("none"));
    CHECK(throws<KeyError>("there is no tensor \"c\"", [&] { named["c"]; }));
    Generator g;
    g.manual_seed(5);
    const auto state = g.state();
    const Tensor a = rand({3}, &g);
    g.set_state(state);
    CHECK(rand({3}, &g).equal(a) && g.initial_seed() == 5);
    CHECK(memory_stats(Device::cpu()).allocations > 0 && num_threads() >= 1);
}
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
    Tensor more = ones({2});
    more.requires_grad_();
    sgd.add_param_group({more}, {.5});
    CHECK(sgd.num_groups() == 2 && sgd.lr(1) == .5);
    more.sum().backward();
    sgd.step();
    CHECK(more.to_vector<double>() == V(2, .5));
    CHECK(throws<ValueError>("more than one parameter group", [&] { sgd.add_param_group({more}, {}); }));
    // DLPack: the memory is shared.
    const Tensor shared = arange(4);
    Tensor taken = from_dlpack(shared.to_dlpack());
    taken.fill_(7);
    CHECK(shared.to_vector<int64_t>() == std::vector<int64_t>(4, 7));
    CHECK(throws<RuntimeError>("require", [&] { more.to_dlpack(); }));
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

    // Hooks and the tree.
    std::string order;
    const uint64_t before = moved.register_forward_pre_hook([&](const nn::Module &m, const std::vector<Tensor> &in) {
        order += "before " + m.name() + ";";
        return std::vector<Tensor>{in[0] * 0};
    });
    const uint64_t after = moved.register_forward_hook(
        [&](const nn::Module &, const std::vector<Tensor> &, const Tensor &out) {
            order += "after;";
            return out * 0 + 7;
        });
    CHECK(moved(x).to_vector<double>() == V(10, 7) && order == "before Net;after;");
    moved.remove_hook(before);
    moved.remove_hook(after);
    CHECK(moved(x).to_vector<double>() != V(10, 7));
    const uint64_t bad = moved.register_forward_hook(
        [](const nn::Module &, const std::vector<Tensor> &, const Tensor &) -> Tensor { throw std::domain_error("hook"); });
    CHECK(throws<std::domain_error>("hook", [&] { moved(x); }));
    moved.remove_hook(bad);
    CHECK(moved.get_parameter("fc.bias").numel() == 2 && moved.get_submodule("fc").name() == "Linear");
    CHECK(throws<KeyError>("nothing", [&] { moved.get_parameter("fc.nothing"); }));
    std::string tree;
    for (const auto &[name, child] : moved.named_children()) {
        tree += name + ":" + child.name() + " ";
    }
    moved.apply([&](const nn::Module &m) { tree += m.name() + " "; });
    CHECK(tree == "fc:Linear Linear Net ");
    CHECK(nn::L1Loss()(ones({2}), zeros({2})).item() == 1);
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
// What could be lost does not compile.
static_assert(!std::is_assignable_v<Tensor, Tensor> && !std::is_assignable_v<Tensor, const Tensor &>);
static_assert(!std::is_assignable_v<Tensor, double> && !std::is_assignable_v<Tensor &, double>);
static_assert(!std::is_assignable_v<decltype(Tensor().grad()), Tensor>);
static_assert(!std::is_assignable_v<decltype(Tensor() + Tensor()), Tensor>);
static_assert(!std::is_assignable_v<decltype(Tensor().reshape({1})), Tensor>);
static_assert(!std::is_assignable_v<decltype(NamedTensors()["a"]), Tensor>);
static_assert(!std::is_assignable_v<decltype(Tensor().zero_()), Tensor>);
static_assert(std::is_assignable_v<TensorView, Tensor> && std::is_assignable_v<TensorView, TensorView>);
static_assert(std::is_assignable_v<TensorView, int> && std::is_assignable_v<Tensor &, TensorView>);

static void assignments() {
    Tensor a = zeros({3, 2});
    const Tensor b = tensor({1.0, 2.0});
    a[0] = b;
    CHECK(a.to_vector<double>() == V{1, 2, 0, 0, 0, 0});
    a[1] = a[0];
    a[-1] = 5.0;
    CHECK(a.to_vector<double>() == V{1, 2, 1, 2, 5, 5});
    a.index({All, 1}) = 7;
    a.index({Slice{0, 2}, 0}) = tensor({8.0, 9.0});
    CHECK(a.to_vector<double>() == V{8, 7, 9, 7, 5, 7});
    a[0] += b;
    a[1] -= 1;
    a.index({2, 0}) *= 2;
    a.index({2, 1}) /= 7;
    CHECK(a.to_vector<double>() == V{9, 9, 8, 6, 10, 1});
    // Index tensors: the result is a copy, the assignment goes through the index.
    a[a > 8.5] = 0;
    CHECK(a.to_vector<double>() == V{0, 0, 8, 6, 0, 1});
    a.index({tensor({0, 2}), 1}) = tensor({3.0, 4.0});
    a[tensor({0, 1})] += b;
    a.index({a == 0}) -= 1.5;
    CHECK(a.to_vector<double>() == V{1, 5, 9, 8, -1.5, 4});
    a[tensor({1, 0})] = a[tensor({0, 1})];
    CHECK(a.to_vector<double>() == V{9, 8, 1, 5, -1.5, 4});
    // Every way to make a view.
    a.select(0, 1) = b;
    a.slice(1, 0, 1) = 3.0;
    a.t()[1] = 4;
    a.narrow(0, 2, 1) = a.narrow(0, 0, 1);
    a.split(1)[0] = 6;
    a.unbind(1).back() = tensor({1.0, 2.0, 3.0});
    select(a, 0, 2) *= 10;
    a.diagonal() = -1;
    CHECK(a.to_vector<double>() == V{-1, 1, 3, -1, 30, 30});
    // A variable gets another tensor, also one that was made by indexing.
    Tensor row = a[2];
    row = b;
    auto same = a[2], masked = a[a > 0];
    same = b;
    masked = b;
    masked += 1;
    CHECK(row.is_same(b) && same.is_same(b) && a[2].to_vector<double>() == V{30, 30});
    CHECK(!masked.is_same(b) || b.to_vector<double>() == V{2, 3});
    row = a[0];
    Tensor other = a[1];
    std::swap(row, other);
    std::swap(row, other);
    std::vector<Tensor> list{a, b};
    list[0] = b;
    CHECK(list[0].is_same(b) && !row.is_same(b));
    std::vector<Tensor> parts = a.split(1);
    parts[0] = b;
    CHECK(a[0].to_vector<double>() == V{-1, 1});
    // Shapes, dtypes and gradients are index_put's and copy_'s.
    CHECK(throws<RuntimeError>("", [&] { a[0] = ones({3}); }));
    CHECK(throws<ValueError>("", [&] { a[0] = Tensor(); }));
    Tensor ints = zeros({2}, int64);
    ints[0] = 2.5;
    CHECK(ints.to_vector<int64_t>() == std::vector<int64_t>{2, 0});
    Tensor w = ones({2}).requires_grad_(), c = zeros({2, 2});
    c[0] = w * 3;
    c[c > 2] *= 2;
    c.sum().backward();
    CHECK(w.grad().to_vector<double>() == V{6, 6});
    CHECK(throws<RuntimeError>("leaf", [&] { w[0] = 1; }));
    auto late = [&] { return zeros({2})[tensor({true, false})]; }();
    CHECK(throws<InvalidHandleError>("is gone", [&] { std::move(late) = 1; }));
}
static void dtypes() {
    CHECK(tensor(std::vector<double>{1, 2}).dtype() == float32 && tensor(std::vector<float>{1}).dtype() == float32);
    CHECK(tensor(std::vector<int>{1, 2}).dtype() == int64 && tensor(std::vector<int64_t>{1}).dtype() == int64);
    CHECK(tensor(std::vector<uint8_t>{1}).dtype() == uint8 && tensor(std::vector<bool>{true}).dtype() == boolean);
    CHECK(tensor(std::vector<double>{.1}, float64).item() == .1 && tensor(std::vector<int>{1}, int32).dtype() == int32);
    CHECK(tensor(2.5).dtype() == float32 && tensor({{1.0}, {2.0}}).dtype() == float32 && tensor(3L).dtype() == int64);
    CHECK(full({2}, 1.5).dtype() == float32 && full({2}, 1).dtype() == int64 && full({2}, true).dtype() == boolean);
    CHECK(arange(0., 3.).dtype() == float32 && arange(3).dtype() == int64 && linspace(0, 1, 3).dtype() == float32);
    const double exact[] = {.1};
    CHECK(from_data(exact, {1}).dtype() == float64);
    set_default_dtype(float64);
    CHECK(tensor(std::vector<double>{.1}).item() == .1 && tensor({.1}).item() == .1 && tensor(.1f).dtype() == float64);
    set_default_dtype(float32);
}
static void forward_is_a_call() {
    const Tensor x = randn({2, 3});
    nn::Linear fc(3, 3);
    CHECK(fc.forward(x).equal(fc(x)));
    nn::Sequential seq(nn::Linear(3, 4), nn::ReLU());
    CHECK(seq.forward(x).equal(seq(x)) && seq.get_submodule("0").forward(x).equal(seq.get_submodule("0")(x)));
    CHECK(nn::MSELoss().forward(x, x).item() == 0);
    int calls = 0;
    fc.register_forward_hook([&](const nn::Module &, const std::vector<Tensor> &, const Tensor &) {
        ++calls;
        return Tensor();
    });
    fc.forward(x);
    CHECK(calls == 1);
    CHECK(throws<NotImplementedError>("ModuleList", [&] { nn::ModuleList().forward(x); }));
    struct Silent : nn::Module {
        Silent() : Module("Silent") {}
    } silent;
    CHECK(throws<NotImplementedError>("Silent", [&] { silent.forward(x); }));
    CHECK(throws<NotImplementedError>("Silent", [&] { silent(x); }));
    Twice twice;
    CHECK(twice.forward(ones({1, 2})).equal(twice(ones({1, 2}))));
}
/// Errors say where in the tree they were, and stay what they are.
static void places() {
    struct Inner : nn::Module {
        nn::Linear fc = register_module("fc", nn::Linear(3, 2));
        Inner() : Module("Inner") {}
        Tensor forward(const Tensor &x) override { return fc(x); }
    };
    struct Outer : nn::Module {
        Outer() : Module("Outer") { add_module("net", nn::Sequential(nn::Identity(), Inner())); }
        Tensor forward(const Tensor &x) override { return get_submodule("net")(x); }
    } outer;
    const uint64_t before = taper_handle_count();
    try {
        outer(ones({2, 5}));
        CHECK(false);
    } catch (const RuntimeError &e) {
        const std::string what = e.what();
        CHECK(e.module() == "net.1.fc (Linear(in_features=3, out_features=2, bias=True))");
        CHECK(what.rfind("addmm: mat1 and mat2 shapes cannot be multiplied (2x5 and 3x2)\n", 0) == 0);
        CHECK(what.find("\n  in net.1.fc (Linear(") != std::string::npos && e.code() == TAPER_ERROR_RUNTIME);
    }
    CHECK(taper_handle_count() == before);
    nn::Linear alone(3, 2);
    try {
        alone(ones({2, 5}));
    } catch (const Error &e) {
        CHECK(e.module().empty() && std::string(e.what()).find('\n') == std::string::npos);
    }
    // An exception of the user's own comes back as it is.
    struct Mine : std::runtime_error {
        using runtime_error::runtime_error;
    };
    struct Thrower : nn::Module {
        Thrower() : Module("Thrower") {}
        Tensor forward(const Tensor &) override { throw Mine("mine"); }
    };
    CHECK(throws<Mine>("mine", [] { nn::Sequential(Thrower{})(ones({1})); }));
    try {
        ones({2, 3}).softmax(7);
    } catch (const IndexError &e) {
        CHECK(e.argument() == 1);
    }
}
static void nul_bytes() {
    const std::string cut("ab\0cd", 5);
    const auto refuses = [&](auto f) { return throws<ValueError>("embedded null character", f); };
    NamedTensors named;
    nn::Linear fc(1, 1);
    optim::SGD sgd(fc.parameters(), .1);
    const Tensor x = ones({2, 2});
    CHECK(refuses([&] { named.insert(cut, x); }) && refuses([&] { named.set_metadata("k", cut); }));
    CHECK(refuses([&] { named.set_metadata(cut, "v"); }) && refuses([&] { named.metadata(cut); }));
    CHECK(refuses([&] { named[cut]; }) && refuses([&] { named.save(cut); }) && refuses([&] { NamedTensors::load(cut); }));
    CHECK(refuses([&] { fc.save(cut); }) && refuses([&] { fc.load(cut); }) && refuses([&] { fc.get_parameter(cut); }));
    CHECK(refuses([&] { fc.register_buffer(cut, x); }) && refuses([&] { fc.get_submodule(cut); }));
    CHECK(refuses([&] { sgd.save(cut); }) && refuses([&] { sgd.load(cut); }) && refuses([&] { Device{cut}; }));
    CHECK(refuses([&] { Device::find(cut); }) && refuses([&] { einsum(cut, {x}); }) && refuses([&] { nn::GELU{cut}; }));
    CHECK(refuses([&] { x.div(x, cut); }) && refuses([&] { nn::MSELoss{cut}; }));
    CHECK(!std::filesystem::exists("ab"));
    struct Odd : nn::Module {
        explicit Odd(const std::string &name) : Module(name) {}
        std::string extra_repr() const override { return std::string("a\0b", 3); }
    };
    CHECK(refuses([&] { Odd odd(cut); }) && refuses([&] { Odd("Odd").str(); }));
}
static size_t resident() {
    size_t pages = 0, all = 0;
    if (FILE *f = std::fopen("/proc/self/statm", "r")) {
        if (std::fscanf(f, "%zu %zu", &all, &pages) != 2) {
            pages = 0;
        }
        std::fclose(f);
    }
    return pages * 4096;
}
/// Training, exceptions and second derivatives in a loop: memory stays where it was.
static void flat_memory() {
    const auto round = [](int i) {
        Net net;
        optim::SGD sgd(net.parameters(), {.01, .9});
        const Tensor x = randn({64 + i % 7, 3});
        net(x).sum().backward();
        sgd.step();
        Tensor v = randn({512}).requires_grad_();
        v.pow(3).sum().backward({}, true, true);
        autograd::grad({v.grad().sum()}, {v});
        v.set_grad({}); // the gradient's graph holds v, as in PyTorch
        try {
            net(ones({2, 9}));
        } catch (const Error &) {
        }
        zeros({4000})[tensor({1, 2})] += 1;
    };
    for (int i = 0; i < 60; ++i) {
        round(i);
    }
    const size_t before = resident();
    const auto allocated = memory_stats(Device::cpu()).allocated;
    for (int i = 0; i < 600; ++i) {
        round(i);
    }
    CHECK(memory_stats(Device::cpu()).allocated <= allocated + (1 << 16));
    // AddressSanitizer keeps what is freed.
    CHECK(std::getenv("TAPER_ALLOCATOR") || resident() < before + (4 << 20));
}
#include "checkpoint.hpp"
#include "data.hpp"
#include "schedules.hpp"

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

#include "layers.hpp"

static void watching() {
    const Tensor x = ones({2, 2});
    {
        Autocast autocast(Device::cpu(), float16);
        CHECK(Autocast::enabled() && Autocast::dtype() == float16 && x.mm(x).dtype() == float16);
    }
    CHECK(!Autocast::enabled() && x.mm(x).dtype() == float32);
    const uint64_t before = multiply_adds();
    Profiler profiler;
    {
        RecordFunction range("mine");
        x.mm(x);
    }
    profiler.stop();
    CHECK(multiply_adds() - before == 8);
    CHECK(profiler.table().find("mine") != std::string::npos && profiler.events().find("\"mm\"") != std::string::npos);
    CancelToken token;
    {
        CancelScope scope(token);
        token.cancel();
        bool stopped = false;
        try {
            x.mm(x);
        } catch (const CancelledError &) {
            stopped = true;
        }
        CHECK(stopped && token.is_cancelled());
    }
    x.mm(x);
    CHECK(summary(nn::Linear(2, 3), {x}).find("Multiply-adds: 12") != std::string::npos);
}

/// The parameters of tests/fixtures/optimizers.txt.
static std::vector<Tensor> recorded_parameters(const std::string &name) {
    // Muon takes matrices alone.
    const std::vector<std::vector<int64_t>> shapes = {{4, 3}, name == "Muon" ? std::vector<int64_t>{3, 5} : std::vector<int64_t>{7}};
    std::vector<Tensor> out;
    for (size_t k = 0; k < 2; ++k) {
        std::vector<double> v(k == 0 ? 12 : name == "Muon" ? 15 : 7);
        for (size_t i = 0; i < v.size(); ++i) {
            v[i] = (static_cast<double>(i) - 3) / 4 + static_cast<double>(k);
        }
        out.push_back(tensor(v, float64).reshape(shapes[k]).detach().requires_grad_());
    }
    return out;
}
static Tensor recorded_objective(const std::vector<Tensor> &params) {
    Tensor total;
    for (const Tensor &p : params) {
        std::vector<double> c, w;
        for (int64_t i = 0; i < p.numel(); ++i) {
            c.push_back(static_cast<double>(i) / 4 - .5);
            w.push_back(1 + static_cast<double>(i));
        }
        const Tensor d = p.reshape({-1}) - tensor(c, float64), square = d * d;
        const Tensor part = (square * square + square * tensor(w, float64)).sum();
        total = total.defined() ? total + part : part;
    }
    total.backward();
    return total;
}
using MakeOptimizer = std::function<optim::Optimizer(const std::vector<Tensor> &)>;
static const std::map<std::string, MakeOptimizer> recorded_makers = {
    {"SGD", [](const auto &p) { return optim::SGD(p, .1); }},
    {"Adam", [](const auto &p) { return optim::Adam(p, .1); }},
    {"AdamW", [](const auto &p) { return optim::AdamW(p, .1); }},
    {"Adamax", [](const auto &p) { return optim::Adamax(p); }},
    {"NAdam", [](const auto &p) { return optim::NAdam(p); }},
    {"RAdam", [](const auto &p) { return optim::RAdam(p); }},
    {"RMSprop", [](const auto &p) { return optim::RMSprop(p); }},
    {"Rprop", [](const auto &p) { return optim::Rprop(p); }},
    {"Adagrad", [](const auto &p) { return optim::Adagrad(p); }},
    {"Adadelta", [](const auto &p) { return optim::Adadelta(p); }},
    {"ASGD", [](const auto &p) { return optim::ASGD(p); }},
    {"Adafactor", [](const auto &p) { return optim::Adafactor(p); }},
    {"LBFGS", [](const auto &p) { return optim::LBFGS(p, optim::LBFGSOptions(.1).max_iter(4)); }},
    {"Muon", [](const auto &p) { return optim::Muon(p); }},
};
/// PyTorch's steps, the first float64 recording of each class.
static void optimizers() {
    std::ifstream file(TAPER_ROOT "/tests/fixtures/optimizers.txt");
    CHECK(file.good());
    std::vector<Tensor> params;
    std::optional<optim::Optimizer> o;
    std::set<std::string> seen;
    std::string line, name, printed;
    int step = 0;
    while (std::getline(file, line)) {
        if (line.rfind("== ", 0) == 0) {
            std::istringstream words(line.substr(3));
            std::string dtype;
            words >> name >> dtype;
            o.reset();
            const auto found = recorded_makers.find(name);
            if (dtype == "float64" && found != recorded_makers.end() && seen.insert(name).second) {
                params = recorded_parameters(name);
                o = found->second(params);
                step = 0;
                printed.clear();
            }
        } else if (o && line[0] == '|') {
            printed += (printed.empty() ? "" : "\n") + line.substr(2);
        } else if (o && line[0] != '.') {
            CHECK(o->str() == printed);
            std::istringstream numbers(line.substr(line.find(':') + 1));
            double worst = 0, want = 0, loss = 0;
            for (const int last = std::stoi(line); step < last; ++step) {
                if (name == "LBFGS") {
                    loss = o->step([&] {
                                o->zero_grad();
                                return recorded_objective(params);
                            }).item<double>();
                    continue;
                }
                for (size_t k = 0; k < (step >= 4 ? 2u : 1u); ++k) {
                    std::vector<double> g;
                    for (int64_t i = 0; i < params[k].numel(); ++i) {
                        g.push_back(static_cast<double>((step * 31 + i * 17) % 23 - 11) / (4 + step));
                    }
                    params[k].set_grad(tensor(g, float64).reshape(params[k].sizes()));
                }
                o->step();
            }
            if (name == "LBFGS") {
                numbers >> want;
                worst = std::abs(loss - want);
            }
            for (const Tensor &p : params) {
                for (const double got : p.to_vector<double>()) {
                    numbers >> want;
                    worst = std::max(worst, std::abs(got - want));
                }
            }
            CHECK(worst < (name == "Muon" ? 2e-2 : 1e-10)); // Muon multiplies in bfloat16
        }
    }
    CHECK(seen.size() == recorded_makers.size());

    struct Halver : optim::OwnOptimizer {
        explicit Halver(const std::vector<Tensor> &p) : OwnOptimizer("Halver", p) { set_option("rate", .5); }
        void update() override {
            for (Tensor p : params(0)) {
                p.add_(p.grad() * -option("rate").to_double());
                set_state(p, "steps", tensor({1.0}));
            }
        }
    };
    Tensor p = tensor({1.0, 2.0}).requires_grad_();
    Halver own({p});
    p.set_grad(tensor({2.0, 2.0}));
    own.step();
    CHECK(p.to_vector<double>() == (std::vector<double>{0, 1}) && own.state(p, "steps").defined());
    CHECK(own.str() == "Halver (\nParameter Group 0\n    rate: 0.5\n)");
    optim::RMSprop r({p}, optim::RMSpropOptions(.25).alpha(.5).centered(true));
    r.add_param_group({tensor({1.0})}, optim::RMSpropOptions(.125));
    CHECK(r.num_groups() == 2 && r.lr(1) == .125 && r.option("alpha").to_double() == .5);
    r.set_option("momentum", .5);
    CHECK(r.option_text("momentum") == "0.5" && throws<KeyError>("has no option", [&] { (void)r.option("beta"); }));
    CHECK((optim::Adamax({p}, optim::AdamaxOptions().betas({.5, .75})).option_values("betas") == std::vector<double>{.5, .75}));
}

static void reading() {
    namespace fs = std::filesystem;
    const auto folder = fs::temp_directory_path() / "taper_cpp_read";
    fs::remove_all(folder);
    fs::create_directories(folder / "images" / "only");
    const auto at = [&](const char *name) { return (folder / name).string(); };
    const auto write = [&](const char *name, const std::string &text) { std::ofstream(at(name), std::ios::binary) << text; };
    write("x.idx", std::string("\0\0\x08\1\0\0\0\3abc", 11));
    CHECK(read_idx(at("x.idx")).to_vector<uint8_t>() == std::vector<uint8_t>{97, 98, 99});
    write("x.bin", std::string(1, '\7') + std::string(3072, 'a'));
    const auto [images, labels] = read_cifar(at("x.bin"));
    CHECK(images.dim() == 4 && images.size(1) == 3 && images.size(3) == 32 && labels.item<int64_t>() == 7);
    write("x.csv", "a;b\n1;\n");
    CsvOptions options;
    options.separator = ";";
    options.missing = -1;
    const Table table = read_csv(at("x.csv"), options);
    CHECK(table.names == (std::vector<std::string>{"a", "b"}) && table.values.to_vector<float>() == std::vector<float>{1, -1});
    CHECK(throws<IoError>("field 1 of line 1", [&] {
        CsvOptions without;
        without.header = false;
        without.separator = ";";
        read_csv(at("x.csv"), without);
    }));
    save_image(ones({3, 4, 6}), at("images/only/x.png"));
    const ImageFolder found = image_folder(at("images"));
    CHECK(found.classes == std::vector<std::string>{"only"} && found.paths.size() == 1 && found.labels.size(0) == 1);
    const Tensor image = read_image(found.paths[0], 1);
    CHECK(image.size(0) == 1 && image.size(2) == 6 && image.to_vector<uint8_t>() == std::vector<uint8_t>(24, 255));
    CHECK(resize_image(image, 2, 3, "lanczos").to_vector<uint8_t>() == std::vector<uint8_t>(6, 255));
    CHECK(throws<IoError>("neither a PNG nor a JPEG", [] { decode_image("GIF", 3); }));
    fs::remove_all(folder);
}

static void showing() {
    namespace fs = std::filesystem;
    const auto folder = fs::temp_directory_path() / "taper_cpp_show";
    fs::remove_all(folder);
    fs::create_directories(folder);
    const auto at = [&](const char *name) { return (folder / name).string(); };
    nn::Linear layer(2, 1);
    const auto out = layer(ones({1, 2}));
    save_image(rand({4, 1, 8, 8}), at("grid.png"), 2);
    CHECK(fs::file_size(at("grid.png")) > 60);
    save_plot({{"train", tensor({3.0, 2.0, 1.0})}, {"test", tensor({{0.0, 2.0}, {2.0, 1.5}})}}, at("loss.svg"), "Loss");
    CHECK(fs::file_size(at("loss.svg")) > 500);
    CHECK(throws<ValueError>("nothing to plot", [&] { save_plot({}, at("no.png")); }));
    CHECK(graph_dot(out, &layer).find("\"weight\\n") != std::string::npos && graph_svg(out).find("input") != std::string::npos);
    SummaryWriter writer(at("run"));
    writer.add_scalar("loss", 0.5, 1);
    writer.add_scalar("loss", 0.25, 2, 1e9);
    writer.add_histogram("weight", ones({3}), 1);
    writer.add_image("digit", zeros({1, 4, 4}), 1);
    writer.add_text("note", "fine", 1);
    writer.add_graph(out, &layer);
    writer.flush();
    CHECK(fs::file_size(writer.path()) > 300);
    CHECK(throws<ValueError>("tag", [&] { writer.add_scalar("", 1, 1); }));
    Progress progress(2);
    progress.update(0, "nothing is drawn where nothing was done");
    fs::remove_all(folder);
}

static void versions() {
    CHECK(version() == TAPER_VERSION);
    CHECK(TAPER_VERSION_AT_LEAST(version_major, version_minor, version_patch));
    const std::string numbers =
        std::to_string(version_major) + "." + std::to_string(version_minor) + "." + std::to_string(version_patch);
    CHECK(version().compare(0, numbers.size(), numbers) == 0);
}

void files() {
    const auto dir = std::filesystem::temp_directory_path() / ("taper_cpp_files_" + std::to_string(::getpid()));
    std::filesystem::create_directories(dir);
    const auto path = (dir / "x").string();
    NamedTensors n;
    n.insert("a.weight", arange(6).reshape({3, 2}));
    n.set_metadata("a.note", "text");
    for (const char *format : {"safetensors", "pt", "npz"}) {
        n.save(path, format);
        CHECK(NamedTensors::load(path)["a.weight"].equal(n["a.weight"]));
        const Tensor bytes = n.to_memory(format);
        const auto *data = bytes.data<unsigned char>();
        const auto size = static_cast<size_t>(bytes.numel());
        CHECK(NamedTensors::from_memory(data, size).size() == 1);
        CHECK(throws<IoError>("the bytes", [&] { NamedTensors::from_memory(data, size - 1); }));
        for (const TensorFile &f : {TensorFile(path, true), TensorFile::of_memory({data, data + size})}) {
            CHECK(f.names() == std::vector<std::string>{"a.weight"} && f.dtype("a.weight") == n["a.weight"].dtype());
            CHECK(f.sizes("a.weight") == std::vector<int64_t>{3, 2} && !f.format().empty());
            CHECK(f.rows("a.weight", 1, 2).equal(f["a.weight"].narrow(0, 1, 1)));
            CHECK(f.metadata().size() == 0);
        }
    }
    CHECK(n.select("a.").metadata() == (std::vector<std::pair<std::string, std::string>>{{"note", "text"}}));
    CHECK(n.save_sharded(dir.string(), 1 << 20) == 1 && NamedTensors::load(dir.string()).size() == 1);
    nn::Linear fc(4, 3);
    const auto keys = fc.load_keys(TAPER_ROOT "/tests/fixtures/files/legacy.pt", false);
    CHECK(keys.missing == std::vector<std::string>{"bias"} && keys.unexpected.size() == 9);
    CHECK(throws<Error>("Missing key(s)", [&] { fc.load_state_dict_keys(NamedTensors()); }));

    // A run in mixed precision that PyTorch saved goes on.
    const auto run = NamedTensors::load(TAPER_ROOT "/tests/fixtures/files/training.pt");
    const auto after = NamedTensors::load(TAPER_ROOT "/tests/fixtures/files/training_after.pt");
    nn::Linear trained(3, 2);
    trained.load_state_dict_keys(run.select("model."));
    optim::Adam resumed(trained.parameters());
    resumed.load_state_dict(run.select("optimizer."));
    CHECK(run["scaler.scale"].item() == 1024 && run["scaler._growth_tracker"].item() == 2);
    for (const Tensor &p : trained.parameters()) {
        p.set_grad((arange(p.numel()).to(float32) + 1).view(p.sizes()) / 4);
    }
    resumed.step();
    for (const char *name : {"weight", "bias"}) {
        CHECK(trained.state_dict()[name].allclose(after[std::string("model.") + name], 0, 1e-7));
    }

    struct Run {
        nn::Linear net{3, 2};
        optim::Adam adam{net.parameters()};
        optim::StepLR step{adam, 2};
        CheckpointParts parts() { return {{&net}, {&adam}, {&step}}; }
        void train() {
            adam.zero_grad();
            net(randn({4, 3})).sum().backward();
            adam.step();
            step.step();
        }
    } a, b;
    a.train();
    save_checkpoint(path, a.parts(), n);
    a.train();
    a.train();
    CHECK(load_checkpoint(path, b.parts())["a.weight"].equal(n["a.weight"]));
    b.train();
    b.train();
    CHECK(a.net.state_dict()["weight"].equal(b.net.state_dict()["weight"]));
    CHECK(throws<ValueError>("has 1 models, but 0 were given", [&] { load_checkpoint(path, {}); }));
    std::filesystem::remove_all(dir);
}

int main() {
    detail::check(taper_check_abi(TAPER_ABI_VERSION));
    versions();
    tensors();
    printing();
    random_algorithms();
    sizes_in_braces();
    clipping();
    parts();
    layout();
    memory();
    errors();
    gradients();
    graphs();
    lists();
    modules();
    files();
    module_lists();
    given_tables_and_output_sizes();
    every_layer(TAPER_ROOT "/tests/fixtures/layers.txt");
    attention(TAPER_ROOT "/tests/fixtures/transformer.txt");
    threads();
    assignments();
    dtypes();
    forward_is_a_call();
    places();
    nul_bytes();
    flat_memory();
    checkpoints::test();
    schedules::forty_epochs();
    schedules::the_rest();
    loading::all();
    watching();
    reading();
    showing();
    optimizers();
    no_leaks();
    std::printf("%d passed, %d failed\n", checks - failures, failures);
    return failures != 0;
}
