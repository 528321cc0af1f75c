// Trampolines from the library's callbacks to Go's exported functions. Handles cross as uintptr_t: Go must never see
// a handle in a variable of pointer type.
#ifndef TAPER_GO_SHIMS_H
#define TAPER_GO_SHIMS_H

#include <stdint.h>
#include <taper.h>

typedef struct {
    uintptr_t err, out;
} go_pair;
typedef struct {
    uintptr_t err, out[2];
} go_several;

// The body of a shim that makes a module into m.
#define GO_MODULE(call) \
    taper_module *m = 0; \
    go_pair r = {0, 0}; \
    r.err = (uintptr_t)(call); \
    r.out = (uintptr_t)m; \
    return r

uintptr_t go_callback_error(const char *message, uintptr_t handle);
uintptr_t go_callback_error_again(uintptr_t e, uintptr_t handle);
go_pair go_function_apply(uintptr_t user, const char *name, uintptr_t *inputs, size_t n);
uintptr_t go_register_hook(uintptr_t t, uintptr_t user, uint64_t *id);
go_pair go_module_new(const char *name, uintptr_t user);
go_pair go_module_new_list(const char *name, uintptr_t user);
uintptr_t go_module_register_list_hook(uintptr_t m, uintptr_t user, uint64_t *id);
uintptr_t go_module_apply(uintptr_t m, uintptr_t user);
uintptr_t go_register_post_accumulate_grad_hook(uintptr_t t, uintptr_t user, uint64_t *id);
uintptr_t go_node_register_hook(uintptr_t n, uintptr_t user, bool before, uint64_t *id);
uintptr_t go_module_register_pre_hook(uintptr_t m, uintptr_t user, uint64_t *id);
uintptr_t go_module_register_hook(uintptr_t m, uintptr_t user, uint64_t *id);
uintptr_t go_gradcheck(uintptr_t user, uintptr_t *inputs, size_t n, double eps, double atol, double rtol, bool second);
go_pair go_checkpoint(uintptr_t user, uintptr_t *inputs, size_t n, bool preserve_rng_state);
go_pair go_per_sample_grads(uintptr_t user, uintptr_t *parameters, size_t n, uintptr_t *batch, size_t m);
uintptr_t go_saved_tensors_hooks_push(uintptr_t user);
uintptr_t go_install_out_of_memory(void);
go_pair go_from_buffer(void *data, const int64_t *sizes, size_t ndim, const int64_t *strides, int32_t dtype,
                       uintptr_t user);
uintptr_t go_set_log_callback(uintptr_t user, int32_t level);
taper_schedule_vtable go_schedule_vtable(void);
go_pair go_dataset_new(uintptr_t user);
go_pair go_dataset_new_stream(uintptr_t user);
go_pair go_data_loader_create(uintptr_t dataset, uintptr_t sampler, uintptr_t generator,
                              const taper_data_loader_options *options, uintptr_t collate);
go_pair go_list_new(uintptr_t *tensors, size_t n);
go_pair go_optimizer_step_closure(uintptr_t o, uintptr_t user);
go_pair go_optimizer_own_new(const char *name, uintptr_t params, uintptr_t user);

#endif
