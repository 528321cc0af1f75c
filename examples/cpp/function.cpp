// A function with a gradient of its own:  scripts/example.sh cpp function
//
// log(1 + exp(x)) is about x for a large x, but written down like that it overflows, and its gradient is not a number.
#include <taper.hpp>

#include <functional>
#include <iomanip>
#include <iostream>

using namespace taper;

struct Softplus : autograd::Function<Softplus> {
    static std::vector<Tensor> forward(autograd::Context &ctx, const std::vector<Tensor> &inputs) {
        const Tensor &x = inputs[0];
        ctx.save_for_backward({x});
        return {x.relu() + x.abs().neg().exp().log1p()};
    }
    static std::vector<Tensor> backward(autograd::Context &ctx, const std::vector<Tensor> &grads) {
        return {grads[0] * ctx.saved_tensors()[0].sigmoid()};
    }
};

static void show(const std::string &name, const std::function<Tensor(const Tensor &)> &f) {
    const Tensor x = tensor({-100.0, 0.0, 100.0}).requires_grad_();
    const Tensor y = f(x);
    y.sum().backward();
    std::cout << std::left << std::setw(9) << name << ' ' << y.detach() << "  gradient " << x.grad() << '\n';
}

int main() {
    show("as it is", [](const Tensor &x) { return (x.exp() + 1).log(); });
    show("Softplus", [](const Tensor &x) { return Softplus::apply({x})[0]; });

    // Gradients by hand should be checked: this compares them with differences of the function's values.
    const Tensor at = tensor({-2.0, 0.5, 3.0}).to(float64).requires_grad_();
    autograd::gradcheck([](const std::vector<Tensor> &inputs) { return Softplus::apply(inputs); }, {at});
    std::cout << "the gradient is right\n";
}
