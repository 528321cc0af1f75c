/// libtorch's programs over Taper: #include "taper/torch.hpp" in place of <torch/torch.h>, and link -ltaper.
///
///     torch::nn::Linear fc(torch::nn::LinearOptions(4, 2).bias(false));
///     auto loss = torch::nll_loss(torch::log_softmax(fc->forward(x), 1), target);
///     loss.backward();
///
/// Names, signatures, defaults and the printed form are libtorch's; docs/CPP.md says what is not there.
#ifndef TAPER_TORCH_HPP
#define TAPER_TORCH_HPP

#include "torch/data.hpp"
#include "torch/functional.hpp"
#include "torch/serialize.hpp"

#endif
