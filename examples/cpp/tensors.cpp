// The introduction's tensor examples: from nested lists and from the program's own memory, shapes, printing.
#include <taper.hpp>

#include <iostream>

static void print_sizes(const taper::Tensor &t) {
    std::cout << "[";
    const char *comma = "";
    for (int64_t s : t.sizes()) {
        std::cout << comma << s;
        comma = ", ";
    }
    std::cout << "]\n";
}

int main() {
    using namespace taper;
    const Tensor x_data = tensor({{1, 2}, {3, 4}});
    std::cout << x_data << '\n';
    print_sizes(x_data);
    std::cout << x_data.dtype() << '\n';

    // Memory of the program, shared without a copy, with its own element type.
    int32_t array[4] = {1, 2, 3, 4};
    const Tensor x_array = from_buffer(array, {2, 2});
    std::cout << x_array << '\n';
    array[0] = 10;
    std::cout << x_array << '\n';

    // Gradients: d/dx of sum(x^2) is 2x.
    Tensor x = tensor({1.0, 2.0, 3.0}).requires_grad_();
    const Tensor y = (x * x).sum();
    std::cout << y << '\n';
    y.backward();
    std::cout << x.grad() << '\n';
}
