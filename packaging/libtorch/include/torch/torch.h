// libtorch's header over Taper: a program that includes it stays as it is.
#ifndef TAPER_LIBTORCH_TORCH_H
#define TAPER_LIBTORCH_TORCH_H
#include <taper/torch.hpp>
#endif
