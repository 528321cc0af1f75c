/// Taper for C++17, header only: #include <taper.hpp> and link -ltaper.
///
///     auto x = taper::ones({2, 3}).requires_grad_();
///     (x * x).sum().backward();
///     std::cout << x.grad() << '\n';
#ifndef TAPER_HPP
#define TAPER_HPP

#include "taper/tensor.hpp"

#include "taper/arrow.hpp"
#include "taper/autograd.hpp"
#include "taper/data.hpp"
#include "taper/device.hpp"
#include "taper/files.hpp"
#include "taper/grad_mode.hpp"
#include "taper/graph.hpp"
#include "taper/layers.hpp"
#include "taper/named_tensors.hpp"
#include "taper/nn.hpp"
#include "taper/lr_scheduler.hpp"
#include "taper/optim.hpp"
#include "taper/read.hpp"
#include "taper/show.hpp"
#include "taper/transforms.hpp"
#include "taper/watch.hpp"
#include "taper/optim_gen.hpp"

#endif
