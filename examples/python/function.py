"""A function with a gradient of its own:  scripts/example.sh python function

log(1 + exp(x)) is about x for a large x, but written down like that it overflows, and its gradient is not a number.
"""

import taper as torch


class Softplus(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.relu() + (-x.abs()).exp().log1p()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * x.sigmoid()


def show(name, f):
    x = torch.tensor([-100.0, 0.0, 100.0], requires_grad=True)
    y = f(x)
    y.sum().backward()
    print(f"{name:9} {y.detach()}  gradient {x.grad}")


show("as it is", lambda x: (x.exp() + 1).log())
show("Softplus", Softplus.apply)

# Gradients by hand should be checked: this compares them with differences of the function's values.
at = torch.tensor([-2.0, 0.5, 3.0], dtype=torch.float64, requires_grad=True)
torch.autograd.gradcheck(Softplus.apply, (at,))
print("the gradient is right")
