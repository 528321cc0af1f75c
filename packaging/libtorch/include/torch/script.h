// libtorch's header over Taper: a program that includes it stays as it is.
#ifndef TAPER_LIBTORCH_SCRIPT_H
#define TAPER_LIBTORCH_SCRIPT_H
#include <taper/torch.hpp>
#endif
