// Devices from C++: discovery, errors, memory, and modules and optimisers that move between devices. The parts that need
// an OpenCL or CUDA device run where there is one.
#include <taper.hpp>

#include <cmath>
#include <cstdio>

using namespace taper;

static int failures = 0, checks = 0;
#define CHECK(...)                                                                                                     \
    do {                                                                                                               \
        ++checks;                                                                                                      \
        if (!(__VA_ARGS__)) {                                                                                          \
            ++failures;                                                                                                \
            std::printf("%s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #__VA_ARGS__);                                \
        }                                                                                                              \
    } while (0)
template <class Fn> static bool throws(const std::string &part, Fn &&f) {
    try {
        f();
    } catch (const Error &e) {
        if (std::string(e.what()).find(part) != std::string::npos) {
            return true;
        }
        std::printf("  message was: %s\n", e.what());
        return false;
    }
    std::printf("  nothing was thrown\n");
    return false;
}

static void discovery() {
    CHECK(Device("cpu") == Device::cpu() && Device("opencl:2").index() == 2 && Device("cuda").str() == "cuda:0");
    CHECK(throws("Expected one of cpu, cuda, opencl, meta", [] { Device("tpu"); }));
    CHECK(throws("Invalid device string: 'cuda:x'", [] { Device(std::string("cuda:x")); }));
    const DeviceInfo cpu = Device::cpu().info();
    CHECK(!cpu.name.empty() && cpu.name == Device::cpu().name() && cpu.compute_units >= 1);
    CHECK(std::string(cpu.kind_name()) == "cpu" && cpu.supports(float64) && cpu.supports(bfloat16));
    CHECK(Device::cpu().is_available() && Device::cpu().why_not().empty());
    CHECK(throws("no device is called 'no such device'; there are: ", [] { Device::find("no such device"); }));
    const Tensor large = zeros({1 << 30, 1 << 30}, float32, Device::meta());
    CHECK(Device::meta().str() == "meta" && matmul(large, large.t()).device() == Device::meta());
    CHECK(throws("Cannot copy out of meta tensor; no data!", [&] { large.cpu(); }));
    const auto all = devices();
    CHECK(all.at(0) == Device::cpu());
    for (const Device &d : all) {
        const DeviceInfo i = d.info();
        CHECK(i.device == d && !i.name.empty() && i.supports(float32) && i.total_memory >= i.max_allocation);
        CHECK(Device::find(i.name, d.type()).type() == d.type());
        std::printf("  %s: %s, %s, %s, %llu MB\n", d.str().c_str(), i.name.c_str(), i.platform.c_str(),
                    i.version.c_str(), static_cast<unsigned long long>(i.total_memory >> 20));
    }
    const Device far("opencl:999");
    CHECK(!far.is_available() && far.why_not().find("is not available: ") != std::string::npos);
    CHECK(throws("is not available: ", [&] { far.check(); }));
    CHECK(throws("is not available: ", [&] { far.info(); }));
    CHECK(throws("is not available: ", [&] { zeros({2}, {}, far); }));
    CHECK(throws("is not available: ", [&] { set_default_device(far); }));
    CHECK(get_default_device() == Device::cpu());
}

static void memory(const Device &d) {
    {
        const Tensor t = zeros({1 << 20}).to(d);
        CHECK(memory_stats(d).allocated >= 4 << 20);
    }
    synchronize(d);
    const uint64_t peak = memory_stats(d).allocated_peak;
    CHECK(memory_stats(d).allocated < peak);
    reset_peak_memory_stats(d);
    CHECK(memory_stats(d).allocated_peak < peak);
    empty_cache(d);
    const MemoryLeft m = mem_get_info(d);
    CHECK(m.free > 0 && m.free <= m.total);
}

struct Net : nn::Module {
    nn::Linear first = register_module("first", nn::Linear(3, 4));
    nn::Linear last = register_module("last", nn::Linear(4, 2));
    Net() : Module("Net") {}
    Tensor forward(const Tensor &x) override { return last(first(x).tanh()); }
};

struct Job {
    Net net;
    optim::SGD optimizer;
    explicit Job(const Device &d) : net(made(d)), optimizer(net.parameters(), options()) {}
    static optim::SGDOptions options() {
        optim::SGDOptions o;
        o.lr = 0.1, o.momentum = 0.9;
        return o;
    }
    static Net made(const Device &d) {
        manual_seed(3);
        Net net;
        net.to(d);
        return net;
    }
    double step(const Device &d) {
        const Tensor x = tensor({{1.0, 2.0, 3.0}, {-1.0, 0.5, 2.0}}).to(d), y = tensor({{1.0, 0.0}, {0.0, 1.0}}).to(d);
        optimizer.zero_grad();
        const Tensor loss = nn::functional::mse_loss(net(x), y);
        CHECK(loss.device() == d);
        loss.backward();
        optimizer.step();
        return loss.item();
    }
};

static void moves(const Device &d) {
    const Device cpu = Device::cpu();
    const auto near = [](double a, double b) { return std::fabs(a - b) < 1e-5; };
    Job a(cpu), b(cpu);
    for (int i = 0; i < 8; ++i) {
        const Device here = i / 2 % 2 == 0 ? cpu : d;
        b.net.to(here);
        CHECK(near(a.step(cpu), b.step(here)));
    }
    // Saved on the device; loaded on the CPU and on the device.
    const auto weights = b.net.state_dict();
    CHECK(weights["first.weight"].device() == d);
    b.net.save("move.safetensors");
    b.optimizer.save("move-state.safetensors");
    const double next = b.step(d);
    for (const Device &here : {cpu, d}) {
        Job c(here);
        c.net.load("move.safetensors");
        c.optimizer.load("move-state.safetensors");
        CHECK(near(c.step(here), next));
    }
    Job e(cpu);
    e.net.load_state_dict(b.net.state_dict());
    e.optimizer.load_state_dict(b.optimizer.state_dict());
    CHECK(near(e.step(cpu), b.step(d)));
    CHECK(NamedTensors::load("move.safetensors", d)["last.bias"].device() == d);
    std::remove("move.safetensors");
    std::remove("move-state.safetensors");
}

static void two_devices(const Device &d) {
    const Tensor x = ones({2}), y = x.to(d);
    CHECK(throws(d.str(), [&] { x + y; }));
    CHECK(y.to(Device::cpu()).to_vector<double>() == std::vector<double>{1, 1});
    set_default_device(d);
    const Tensor z = ones({2});
    set_default_device(Device::cpu());
    CHECK(z.device() == d && ones({2}).device() == Device::cpu());
    const auto draw = [&] { return rand({8}, nullptr, {}, d).to(Device::cpu()).to_vector<double>(); };
    manual_seed(2);
    const auto a = draw();
    manual_seed(1);
    const double before = rand({1}).item();
    manual_seed(1);
    manual_seed_devices(2);
    CHECK(draw() == a && rand({1}).item() == before);
}

static void precision() {
    set_float32_matmul_precision("medium");
    CHECK(get_float32_matmul_precision() == "medium");
    CHECK(throws("low", [] { set_float32_matmul_precision("low"); }));
    set_float32_matmul_precision("highest");
    CHECK(get_float32_matmul_precision() == "highest");
    set_conv_allow_tf32(false);
    CHECK(!get_conv_allow_tf32());
    set_conv_allow_tf32(true);
    bool winograd = get_conv_winograd();
    set_conv_winograd(!winograd);
    CHECK(get_conv_winograd() != winograd);
    set_conv_winograd(winograd);
}

static void events(const Device &d) {
    Event start(d), end(d);
    CHECK(start.done());
    CHECK(throws("must be recorded", [&] { end.since(start); }));
    start.record();
    Tensor x = ones({100}, std::nullopt, d) + 1;
    end.record();
    end.wait();
    end.synchronize();
    CHECK(end.done() && end.since(start) >= 0);
    CHECK(x.sum().item<double>() == 200);
    CHECK(throws("enable_timing", [&] { end.since(Event(d, false)); }));
}

static void graphs() {
    events(Device::cpu());
    const auto nothing = [] {};
    CHECK(throws("graphs are captured on CUDA devices only, not on cpu", [&] { Graph::capture(Device::cpu(), nothing); }));
    if (device_count(TAPER_DEVICE_CUDA) == 0) {
        CHECK(throws("CUDA is not available", [&] { Graph::capture("cuda", nothing); }));
        return;
    }
    const Device d("cuda");
    events(d);
    Tensor x = tensor({1.0, 2.0}).to(d), y;
    const auto work = [&] { y = (x * 2).exp(); };
    work();
    const Graph g = Graph::capture(d, work);
    x.copy_(tensor({0.0, 1.0}));
    g.replay();
    const auto v = y.to(Device::cpu()).to_vector<double>();
    CHECK(std::fabs(v[0] - 1) < 1e-6 && std::fabs(v[1] - std::exp(2.0)) < 1e-4);
    try {
        Graph::capture(d, [] { throw 5; });
        CHECK(false);
    } catch (int five) {
        CHECK(five == 5);
    }
    CHECK((x + 1).sum().item() == 3);
}

static void messages() {
    int said = 0;
    const auto listen = [&](LogLevel level, const std::string &text) {
        said += level == LogLevel::Debug && text.find("cpu: memory that was kept") == 0;
        throw std::runtime_error("lost");
    };
    set_log_callback(listen, LogLevel::Debug);
    empty_cache(Device::cpu());
    set_log_callback(listen);
    empty_cache(Device::cpu());
    set_log_callback(nullptr);
    CHECK(said == 1);
}

int main() {
    messages();
    discovery();
    precision();
    graphs();
    memory(Device::cpu());
    moves(Device::cpu());
    std::string tested;
    for (const char *name : {"opencl", "cuda"}) {
        const Device d(name);
        if (device_count(d.type()) > 0) {
            memory(d);
            moves(d);
            two_devices(d);
            tested += std::string(" ") + name;
        }
    }
    std::printf("devices cpu%s: %d passed, %d failed\n", tested.c_str(), checks - failures, failures);
    return failures != 0;
}
