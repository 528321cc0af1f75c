// Nested lists and arrays as tensors, and how tensors print:  scripts/example.sh cpp tensors
#include <taper.hpp>

#include <iostream>

static void print_shape(const taper::Tensor &t) { std::cout << "torch.Size(" << t.sizes() << ")\n"; }

int main() {
    using namespace taper;
    // Numbers to a tensor: they are copied.
    const Tensor data = tensor({{1, 2}, {3, 4}});
    std::cout << data << '\n';
    print_shape(data);

    // An array's own memory as a tensor: nothing is copied, a write to one is seen in the other. int32 is not the usual
    // type of whole numbers, so it is printed.
    int32_t array[4] = {1, 2, 3, 4};
    const Tensor shared = from_buffer(array, {2, 2});
    std::cout << shared << '\n';
    print_shape(shared);
    array[0] = 10;
    std::cout << shared << '\n';

    // A gradient: y = sum(x * x), so dy/dx = 2 x.
    Tensor x = tensor({1.0, 2.0, 3.0}).requires_grad_();
    const Tensor y = (x * x).sum();
    std::cout << y << '\n';
    y.backward();
    std::cout << x.grad() << '\n';

    // What a mistake looks like: an exception that says what is wrong.
    try {
        matmul(ones({2, 3}), ones({4, 5}));
    } catch (const Error &e) {
        std::cout << e.what() << '\n';
    }
}
