// Trampolines from the library's callbacks to Go's exported functions. Handles cross as uintptr_t: Go must never see
// a handle in a variable of pointer type.
#ifndef TAPER_GO_SHIMS_H
#define TAPER_GO_SHIMS_H

#include <stdint.h>
#include <taper.h>

typedef struct {
    uintptr_t err, out;
} go_pair;

uintptr_t go_callback_error(const char *message, uintptr_t handle);
go_pair go_function_apply(uintptr_t user, const char *name, uintptr_t *inputs, size_t n);
uintptr_t go_register_hook(uintptr_t t, uintptr_t user, uint64_t *id);
go_pair go_module_new(const char *name, uintptr_t user);
uintptr_t go_module_apply(uintptr_t m, uintptr_t user);
go_pair go_list_new(uintptr_t *tensors, size_t n);

#endif
