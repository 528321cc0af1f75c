// Checkpoints, hooks of saved tensors and the gradients of single samples. Part of test.cpp.
namespace checkpoints {
static void test() {
    manual_seed(5);
    const Tensor x = randn({4, 3}).requires_grad_(), w = randn({3, 3}).requires_grad_();
    int calls = 0;
    const auto block = [w, &calls](const std::vector<Tensor> &in) {
        ++calls;
        return std::vector<Tensor>{nn::functional::dropout(in[0].matmul(w).tanh(), 0.5)};
    };
    manual_seed(1);
    const auto plain = autograd::grad({(block({x})[0] * x).sum()}, {x, w});
    calls = 0;
    manual_seed(1);
    const Tensor y = (autograd::checkpoint(block, {x})[0] * x).sum();
    CHECK(calls == 1);
    const auto again = autograd::grad({y}, {x, w});
    CHECK(calls == 2 && equal(again[0], plain[0]) && equal(again[1], plain[1]));
    CHECK(throws<std::domain_error>("mine", [&] {
        int n = 0;
        const auto fails = [&n](const std::vector<Tensor> &in) {
            if (n++ == 1)
                throw std::domain_error("mine");
            return std::vector<Tensor>{in[0].exp()};
        };
        autograd::checkpoint(fails, {x})[0].sum().backward();
    }));

    // What is kept is freed with the graph, and hooks of hooks count from within.
    auto kept = std::make_shared<int>(0);
    {
        Tensor z;
        {
            const autograd::SavedTensorsHooks hooks(
                [kept](const Tensor &t) {
                    ++*kept;
                    return std::make_pair(kept, t.detach().to(float64));
                },
                [](const std::pair<std::shared_ptr<int>, Tensor> &p) { return p.second.to(float32); });
            z = (x.exp() * 2).sum();
        }
        CHECK(*kept == 1 && kept.use_count() > 2);
        const Tensor g = autograd::grad({z}, {x})[0];
        CHECK(equal(g, x.detach().exp() * 2));
    }
    CHECK(kept.use_count() == 1);
    CHECK(throws<std::domain_error>("full", [&] {
        const autograd::SavedTensorsHooks hooks([](const Tensor &) -> int { throw std::domain_error("full"); },
                                                [](int) { return Tensor(); });
        x.exp();
    }));
    CHECK(x.exp().defined());

    nn::Linear model(3, 2);
    const Tensor labels = tensor({0, 1, 1, 0});
    const auto loss = [&model](const std::vector<Tensor> &sample) {
        return nn::functional::cross_entropy(model(sample[0]), sample[1]);
    };
    const auto grads = autograd::per_sample_grads(loss, model.parameters(), {x.detach(), labels});
    const auto whole = autograd::grad({nn::functional::cross_entropy(model(x.detach()), labels)}, model.parameters());
    CHECK(grads.size() == 2 && grads[0].sizes() == std::vector<int64_t>({4, 2, 3}));
    CHECK(allclose(grads[0].mean({0}), whole[0]) && allclose(grads[1].mean({0}), whole[1]));
    CHECK(throws<Error>("same number of samples", [&] { autograd::per_sample_grads(loss, model.parameters(), {x, w}); }));
}
} // namespace checkpoints
