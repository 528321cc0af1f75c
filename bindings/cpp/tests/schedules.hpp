// Learning-rate schedules: forty epochs are PyTorch's, recorded in tests/fixtures/schedules.txt. Part of test.cpp.
#include <fstream>
#include <map>

namespace schedules {
using namespace taper::optim;
using Made = std::function<LRScheduler(const Optimizer &)>;

template <class O> O with(std::function<void(O &)> set) {
    O o;
    set(o);
    return o;
}

static const std::map<std::string, Made> &cases() {
    static const std::map<std::string, Made> all = {
        {"LambdaLR.a", [](auto &o) { return LambdaLR(o, [](int64_t e) { return 1.0 / (1.0 + double(e)); }); }},
        {"LambdaLR.b",
         [](auto &o) {
             return LambdaLR(o, std::vector<std::function<double(int64_t)>>{
                                    [](int64_t e) { return 1.0 - double(e) / 100.0; }, [](int64_t) { return 0.5; }});
         }},
        {"MultiplicativeLR.a", [](auto &o) { return MultiplicativeLR(o, [](int64_t) { return 0.95; }); }},
        {"MultiplicativeLR.b",
         [](auto &o) {
             return MultiplicativeLR(
                 o, [](const ScheduleStep &s) { return s.group ? 0.5 : 1.0 - 1.0 / (double(s.epoch) + 2.0); });
         }},
        {"StepLR.a", [](auto &o) { return StepLR(o, 3); }},
        {"StepLR.b", [](auto &o) { return StepLR(o, 7, 0.7); }},
        {"MultiStepLR.a", [](auto &o) { return MultiStepLR(o, {2, 5, 5}); }},
        {"MultiStepLR.b", [](auto &o) { return MultiStepLR(o, {30, 10, 20}, 0.3); }},
        {"ConstantLR.a", [](auto &o) { return ConstantLR(o); }},
        {"ConstantLR.b", [](auto &o) {
             return ConstantLR(o, with<ConstantLROptions>([](auto &c) { c.factor = 0.7, c.total_iters = 11; }));
         }},
        {"LinearLR.a", [](auto &o) { return LinearLR(o); }},
        {"LinearLR.b", [](auto &o) {
             return LinearLR(o, with<LinearLROptions>(
                                    [](auto &c) { c.start_factor = 0.9, c.end_factor = 0.1, c.total_iters = 30; }));
         }},
        {"ExponentialLR.a", [](auto &o) { return ExponentialLR(o, 0.9); }},
        {"ExponentialLR.b", [](auto &o) { return ExponentialLR(o, 1.01); }},
        {"SequentialLR.a", [](auto &o) {
             const ConstantLR first(o, with<ConstantLROptions>([](auto &c) { c.factor = 0.1, c.total_iters = 2; }));
             return SequentialLR(o, {first, ExponentialLR(o, 0.9), StepLR(o, 4, 0.5)}, {2, 20});
         }},
        {"SequentialLR.b", [](auto &o) {
             const LinearLR first(o, with<LinearLROptions>([](auto &c) { c.total_iters = 6; }));
             return SequentialLR(o, {first, CosineAnnealingLR(o, 30)}, {6});
         }},
        {"PolynomialLR.a", [](auto &o) { return PolynomialLR(o); }},
        {"PolynomialLR.b", [](auto &o) {
             return PolynomialLR(o, with<PolynomialLROptions>([](auto &c) { c.total_iters = 33, c.power = 2.5; }));
         }},
        {"CosineAnnealingLR.a", [](auto &o) { return CosineAnnealingLR(o, 10); }},
        {"CosineAnnealingLR.b", [](auto &o) { return CosineAnnealingLR(o, 7, 0.003); }},
        {"ChainedScheduler.a", [](auto &o) {
             const ConstantLR first(o, with<ConstantLROptions>([](auto &c) { c.factor = 0.1, c.total_iters = 4; }));
             return ChainedScheduler({first, ExponentialLR(o, 0.9)});
         }},
        {"ChainedScheduler.b", [](auto &o) {
             const LinearLR warm(o, with<LinearLROptions>([](auto &c) { c.start_factor = 0.25, c.total_iters = 4; }));
             const StepLR step(o, 5, 0.5);
             return ChainedScheduler({ChainedScheduler({step, ExponentialLR(o, 0.95)}), warm});
         }},
        {"ReduceLROnPlateau.a", [](auto &o) {
             return ReduceLROnPlateau(o, with<ReduceLROnPlateauOptions>([](auto &c) { c.patience = 2; }));
         }},
        {"ReduceLROnPlateau.b", [](auto &o) {
             return ReduceLROnPlateau(o, with<ReduceLROnPlateauOptions>([](auto &c) {
                                          c.mode = "max", c.factor = 0.5, c.patience = 1, c.threshold = 0.01;
                                          c.threshold_mode = "abs", c.cooldown = 3, c.min_lr = {0.01, 0.002};
                                      }));
         }},
        {"CyclicLR.a", [](auto &o) {
             return CyclicLR(o, 0.01, 0.2,
                             with<CyclicLROptions>([](auto &c) { c.step_size_up = 3, c.mode = "triangular2"; }));
         }},
        {"CyclicLR.b", [](auto &o) {
             return CyclicLR(o, {0.01, 0.02}, {0.2, 0.3}, with<CyclicLROptions>([](auto &c) {
                                 c.step_size_up = 5, c.step_size_down = 3, c.mode = "exp_range", c.gamma = 0.95;
                                 c.cycle_momentum = false;
                             }));
         }},
        {"CyclicLR.c", [](auto &o) {
             return CyclicLR(o, 0.01, 0.2, with<CyclicLROptions>([](auto &c) {
                                 c.step_size_up = 4, c.scale_mode = "iterations", c.base_momentum = 0.5;
                             }),
                             [](int64_t x) { return 1.0 / (1.0 + double(x)); });
         }},
        {"CosineAnnealingWarmRestarts.a", [](auto &o) { return CosineAnnealingWarmRestarts(o, 5); }},
        {"CosineAnnealingWarmRestarts.b", [](auto &o) {
             return CosineAnnealingWarmRestarts(
                 o, 3, with<CosineAnnealingWarmRestartsOptions>([](auto &c) { c.T_mult = 2, c.eta_min = 0.001; }));
         }},
        {"OneCycleLR.a", [](auto &o) {
             return OneCycleLR(o, 0.5, with<OneCycleLROptions>([](auto &c) { c.total_steps = 45; }));
         }},
        {"OneCycleLR.b", [](auto &o) {
             return OneCycleLR(o, {0.5, 0.4}, with<OneCycleLROptions>([](auto &c) {
                                   c.epochs = 5, c.steps_per_epoch = 9, c.pct_start = 0.4, c.anneal_strategy = "linear";
                                   c.three_phase = true, c.div_factor = 10, c.final_div_factor = 100;
                                   c.base_momentum = 0.8, c.max_momentum = 0.9;
                               }));
         }},
        {"SWALR.a", [](auto &o) { return SWALR(o, 0.05); }},
        {"SWALR.b", [](auto &o) {
             return SWALR(o, {0.05, 0.01}, with<SWALROptions>([](auto &c) {
                              c.anneal_epochs = 25, c.anneal_strategy = "linear";
                          }));
         }},
    };
    return all;
}

static SGD two_groups() {
    const auto parameter = [] { return ones({1}, float64).requires_grad_(); };
    SGDOptions first, second;
    first.lr = 0.1, first.momentum = second.momentum = 0.9, second.lr = 0.05;
    SGD o({parameter()}, first);
    o.add_param_group({parameter()}, second);
    return o;
}

static void forty_epochs() {
    const auto file = std::filesystem::path(__FILE__).parent_path() / "../../../tests/fixtures/schedules.txt";
    std::ifstream in(file);
    std::string line;
    size_t seen = 0;
    while (std::getline(in, line)) {
        std::istringstream words(line);
        std::string name, word;
        words >> name;
        const auto found = cases().find(name);
        if (found == cases().end()) {
            continue; // by Adam, or to given epochs: C's
        }
        ++seen;
        const SGD o = two_groups();
        LRScheduler s = found->second(o);
        V want;
        while (words >> word) {
            want.push_back(std::strtod(word.c_str(), nullptr));
        }
        bool same = true;
        for (size_t i = 0; same && i < want.size() / 3; ++i) {
            const double e = double(i) - 1;
            if (i && name.find("Plateau") != std::string::npos) {
                s.step(e < 12 ? 1.0 / (1 + e) : 0.07);
            } else if (i) {
                s.step();
            }
            same = o.lr(0) == want[3 * i] && o.lr(1) == want[3 * i + 1];
            if (!same) {
                std::printf("%s after %d steps: %.17g %.17g\n", name.c_str(), int(i), o.lr(0), o.lr(1));
            }
        }
        CHECK(same && s.get_last_lr() == (V{o.lr(0), o.lr(1)}));
    }
    CHECK(seen == cases().size());
}

static void the_rest() {
    SGD o = two_groups();
    const FunctionLR own(
        o, [](const ScheduleStep &s) { return s.epoch > 2 ? throw std::out_of_range("too far") : s.base_lr / 2; }, "Half");
    CHECK(own.str() == "Half()" && o.lr(0) == 0.05 && own.base_lrs() == (V{0.1, 0.05}));
    LRScheduler copy = own;
    copy.step();
    copy.step();
    CHECK(throws<std::out_of_range>("too far", [&] { copy.step(); }) && own.last_epoch() == 2);
    StepLR s(o, 2, 0.5);
    CHECK(s.str() == "StepLR(step_size=2, gamma=0.5)");
    s.step();
    const auto state = s.state_dict();
    SGD other = two_groups();
    StepLR again(other, 3);
    again.load_state_dict(state);
    CHECK(again.last_epoch() == 1 && again.str() == s.str());
    CHECK(throws<TypeError>("takes no metric", [&] { s.step(0.5); }));
    CHECK(throws<ValueError>("no scheduler", [&] { SequentialLR(o, {}, {}); }));
    CHECK(throws<ValueError>("must be one of", [&] {
        OneCycleLR(o, 0.1, with<OneCycleLROptions>([](auto &c) { c.total_steps = 5, c.anneal_strategy = "up"; }));
    }));
}
} // namespace schedules
