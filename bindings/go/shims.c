#include "shims.h"

// Go's exported functions (callbacks.go).
extern uintptr_t goLossClosure(uintptr_t user, uintptr_t *out);
extern uintptr_t goOwnStep(uintptr_t user, uintptr_t self);
extern uintptr_t goForward(uintptr_t user, uintptr_t ctx, uintptr_t *inputs, size_t n, uintptr_t *out);
extern uintptr_t goBackward(uintptr_t user, uintptr_t ctx, uintptr_t *grads, size_t n, uintptr_t *out);
extern uintptr_t goHook(uintptr_t user, uintptr_t grad, uintptr_t *out);
extern uintptr_t goModuleForward(uintptr_t user, uintptr_t *inputs, size_t n, uintptr_t *out);
extern uintptr_t goModuleForwardList(uintptr_t user, uintptr_t *inputs, size_t n, uintptr_t *out);
extern uintptr_t goAfterForwardList(uintptr_t user, uintptr_t m, uintptr_t *inputs, size_t n, uintptr_t *outputs,
                                    size_t outputs_len, uintptr_t *out);
extern uintptr_t goModuleRepr(uintptr_t user, uintptr_t *out);
extern uintptr_t goApply(uintptr_t user, uintptr_t m);
extern uintptr_t goPack(uintptr_t user, uintptr_t t, uint64_t *token);
extern uintptr_t goUnpack(uintptr_t user, uint64_t token, uintptr_t *out);
extern uintptr_t goNodeHook(uintptr_t user, uintptr_t *inputs, size_t n, uintptr_t *outputs, size_t m, uintptr_t *out);
extern uintptr_t goTensorFunc(uintptr_t user, uintptr_t *inputs, size_t n, uintptr_t *out);
extern uintptr_t goBeforeForward(uintptr_t user, uintptr_t m, uintptr_t *inputs, size_t n, uintptr_t *out);
extern uintptr_t goAfterForward(uintptr_t user, uintptr_t m, uintptr_t *inputs, size_t n, uintptr_t output,
                                uintptr_t *out);
extern uintptr_t goSchedule(uintptr_t user, int64_t epoch, size_t group, double base_lr, double lr, double *out);
extern void goLog(uintptr_t user, int32_t level, char *text);
extern void goDrop(uintptr_t user);
extern void goRelease(uintptr_t user);
extern int32_t goOutOfMemory(void);
extern uintptr_t goDatasetLen(uintptr_t user, int64_t *out);
extern uintptr_t goDatasetGet(uintptr_t user, int64_t index, uint64_t seed, uintptr_t *out);
extern uintptr_t goStreamBegin(uintptr_t user, uintptr_t *pass);
extern uintptr_t goStreamNext(uintptr_t pass, uint64_t seed, uintptr_t *out);
extern void goStreamEnd(uintptr_t pass);
extern uintptr_t goCollate(uintptr_t user, uintptr_t *samples, size_t n, uintptr_t *out);

static void drop(void *user) { goDrop((uintptr_t)user); }

uintptr_t go_callback_error(const char *message, uintptr_t handle) {
    return (uintptr_t)taper_error_new(TAPER_ERROR_CALLBACK, message, (void *)handle, drop);
}

uintptr_t go_callback_error_again(uintptr_t e, uintptr_t handle) {
    return (uintptr_t)taper_error_with_payload((taper_error *)e, (void *)handle, drop);
}

static taper_error *forward(void *user, taper_function_ctx *ctx, taper_tensor *const *in, size_t n,
                            taper_tensor_list **out) {
    uintptr_t list = 0;
    uintptr_t e = goForward((uintptr_t)user, (uintptr_t)ctx, (uintptr_t *)in, n, &list);
    *out = (taper_tensor_list *)list;
    return (taper_error *)e;
}
static taper_error *backward(void *user, taper_function_ctx *ctx, taper_tensor *const *grads, size_t n,
                             taper_tensor_list **out) {
    uintptr_t list = 0;
    uintptr_t e = goBackward((uintptr_t)user, (uintptr_t)ctx, (uintptr_t *)grads, n, &list);
    *out = (taper_tensor_list *)list;
    return (taper_error *)e;
}
go_pair go_function_apply(uintptr_t user, const char *name, uintptr_t *inputs, size_t n) {
    taper_function_vtable v = {0};
    v.struct_size = sizeof v;
    v.name = name;
    v.forward = forward;
    v.backward = backward;
    v.drop = drop;
    taper_tensor_list *list = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_function_apply(&v, (void *)user, (taper_tensor *const *)inputs, n, &list);
    r.out = (uintptr_t)list;
    return r;
}

static taper_error *hook(void *user, taper_tensor *grad, taper_tensor **out) {
    uintptr_t replacement = 0;
    uintptr_t e = goHook((uintptr_t)user, (uintptr_t)grad, &replacement);
    *out = (taper_tensor *)replacement;
    return (taper_error *)e;
}
uintptr_t go_register_hook(uintptr_t t, uintptr_t user, uint64_t *id) {
    taper_hook_vtable v = {0};
    v.struct_size = sizeof v;
    v.call = hook;
    v.drop = drop;
    return (uintptr_t)taper_tensor_register_hook((taper_tensor *)t, &v, (void *)user, id);
}

uintptr_t go_register_post_accumulate_grad_hook(uintptr_t t, uintptr_t user, uint64_t *id) {
    taper_hook_vtable v = TAPER_HOOK_VTABLE_INIT;
    v.call = hook;
    v.drop = drop;
    return (uintptr_t)taper_tensor_register_post_accumulate_grad_hook((taper_tensor *)t, &v, (void *)user, id);
}

static taper_error *node_hook(void *user, taper_tensor *const *in, size_t n, taper_tensor *const *grads, size_t m,
                              taper_tensor_list **out) {
    uintptr_t list = 0;
    uintptr_t e = goNodeHook((uintptr_t)user, (uintptr_t *)in, n, (uintptr_t *)grads, m, &list);
    *out = (taper_tensor_list *)list;
    return (taper_error *)e;
}
uintptr_t go_node_register_hook(uintptr_t n, uintptr_t user, bool before, uint64_t *id) {
    taper_node_hook_vtable v = TAPER_NODE_HOOK_VTABLE_INIT;
    v.call = node_hook;
    v.drop = drop;
    return (uintptr_t)(before ? taper_node_register_prehook : taper_node_register_hook)((taper_node *)n, &v,
                                                                                       (void *)user, id);
}

static taper_error *tensor_func(void *user, taper_tensor *const *in, size_t n, taper_tensor_list **out) {
    uintptr_t list = 0;
    uintptr_t e = goTensorFunc((uintptr_t)user, (uintptr_t *)in, n, &list);
    *out = (taper_tensor_list *)list;
    return (taper_error *)e;
}
uintptr_t go_gradcheck(uintptr_t user, uintptr_t *inputs, size_t n, double eps, double atol, double rtol, bool second) {
    taper_tensor_fn_vtable v = TAPER_TENSOR_FN_VTABLE_INIT;
    v.call = tensor_func;
    v.drop = drop;
    taper_gradcheck_options o = TAPER_GRADCHECK_OPTIONS_INIT;
    o.eps = eps;
    o.atol = atol;
    o.rtol = rtol;
    return (uintptr_t)(second ? taper_gradgradcheck : taper_gradcheck)(&v, (void *)user, (taper_tensor *const *)inputs,
                                                                       n, &o);
}

go_pair go_checkpoint(uintptr_t user, uintptr_t *inputs, size_t n, bool preserve_rng_state) {
    taper_tensor_fn_vtable v = TAPER_TENSOR_FN_VTABLE_INIT;
    taper_tensor_list *l = 0;
    go_pair r = {0, 0};
    v.call = tensor_func;
    v.drop = drop;
    r.err = (uintptr_t)taper_checkpoint(&v, (void *)user, (taper_tensor *const *)inputs, n, preserve_rng_state, &l);
    r.out = (uintptr_t)l;
    return r;
}
go_pair go_per_sample_grads(uintptr_t user, uintptr_t *parameters, size_t n, uintptr_t *batch, size_t m) {
    taper_tensor_fn_vtable v = TAPER_TENSOR_FN_VTABLE_INIT;
    taper_tensor_list *l = 0;
    go_pair r = {0, 0};
    v.call = tensor_func;
    v.drop = drop;
    r.err = (uintptr_t)taper_per_sample_grads(&v, (void *)user, (taper_tensor *const *)parameters, n,
                                              (taper_tensor *const *)batch, m, &l);
    r.out = (uintptr_t)l;
    return r;
}

static taper_error *pack(void *user, taper_tensor *t, uint64_t *token) {
    return (taper_error *)goPack((uintptr_t)user, (uintptr_t)t, token);
}
static taper_error *unpack(void *user, uint64_t token, taper_tensor **out) {
    uintptr_t t = 0;
    uintptr_t e = goUnpack((uintptr_t)user, token, &t);
    *out = (taper_tensor *)t;
    return (taper_error *)e;
}
static void release_packed(void *user, uint64_t token) {
    (void)user;
    goDrop((uintptr_t)token);
}
uintptr_t go_saved_tensors_hooks_push(uintptr_t user) {
    taper_saved_hooks_vtable v = TAPER_SAVED_HOOKS_VTABLE_INIT;
    v.pack = pack;
    v.unpack = unpack;
    v.release = release_packed;
    v.drop = drop;
    return (uintptr_t)taper_saved_tensors_hooks_push(&v, (void *)user);
}

static int32_t out_of_memory(void *user, size_t nbytes) {
    (void)user, (void)nbytes;
    return goOutOfMemory();
}
uintptr_t go_install_out_of_memory(void) {
    taper_out_of_memory_vtable v = TAPER_OUT_OF_MEMORY_VTABLE_INIT;
    v.call = out_of_memory;
    return (uintptr_t)taper_set_out_of_memory_callback(&v, 0);
}

static void release(void *user) { goRelease((uintptr_t)user); }
go_pair go_from_buffer(void *data, const int64_t *sizes, size_t ndim, const int64_t *strides, int32_t dtype,
                       uintptr_t user) {
    taper_tensor *t = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_tensor_from_buffer(data, sizes, ndim, strides, dtype, release, (void *)user, &t);
    r.out = (uintptr_t)t;
    return r;
}

static taper_error *before_forward(void *user, taper_module *m, taper_tensor *const *in, size_t n,
                                   taper_tensor_list **out) {
    uintptr_t list = 0;
    uintptr_t e = goBeforeForward((uintptr_t)user, (uintptr_t)m, (uintptr_t *)in, n, &list);
    *out = (taper_tensor_list *)list;
    return (taper_error *)e;
}
static taper_error *after_forward(void *user, taper_module *m, taper_tensor *const *in, size_t n,
                                  taper_tensor *output, taper_tensor **out) {
    uintptr_t replacement = 0;
    uintptr_t e = goAfterForward((uintptr_t)user, (uintptr_t)m, (uintptr_t *)in, n, (uintptr_t)output, &replacement);
    *out = (taper_tensor *)replacement;
    return (taper_error *)e;
}
uintptr_t go_module_register_pre_hook(uintptr_t m, uintptr_t user, uint64_t *id) {
    taper_module_hook_vtable v = TAPER_MODULE_HOOK_VTABLE_INIT;
    v.before = before_forward;
    v.drop = drop;
    return (uintptr_t)taper_module_register_forward_pre_hook((taper_module *)m, &v, (void *)user, id);
}
uintptr_t go_module_register_hook(uintptr_t m, uintptr_t user, uint64_t *id) {
    taper_module_hook_vtable v = TAPER_MODULE_HOOK_VTABLE_INIT;
    v.after = after_forward;
    v.drop = drop;
    return (uintptr_t)taper_module_register_forward_hook((taper_module *)m, &v, (void *)user, id);
}

static taper_error *module_forward(void *user, taper_module *self, taper_tensor *const *in, size_t n,
                                   taper_tensor **out) {
    (void)self;
    uintptr_t result = 0;
    uintptr_t e = goModuleForward((uintptr_t)user, (uintptr_t *)in, n, &result);
    *out = (taper_tensor *)result;
    return (taper_error *)e;
}
static taper_error *module_repr(void *user, taper_module *self, taper_string **out) {
    (void)self;
    uintptr_t text = 0;
    uintptr_t e = goModuleRepr((uintptr_t)user, &text);
    *out = (taper_string *)text;
    return (taper_error *)e;
}
go_pair go_module_new(const char *name, uintptr_t user) {
    taper_module_vtable v = TAPER_MODULE_VTABLE_INIT;
    if (user) { // else a container that computes nothing
        v.forward = module_forward;
        v.extra_repr = module_repr;
        v.drop = drop;
    }
    taper_module *m = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_module_new(name, &v, (void *)user, &m);
    r.out = (uintptr_t)m;
    return r;
}
static taper_error *module_forward_list(void *user, taper_module *self, taper_tensor *const *in, size_t n,
                                        taper_tensor_list **out) {
    (void)self;
    uintptr_t list = 0;
    uintptr_t e = goModuleForwardList((uintptr_t)user, (uintptr_t *)in, n, &list);
    *out = (taper_tensor_list *)list;
    return (taper_error *)e;
}
go_pair go_module_new_list(const char *name, uintptr_t user) {
    taper_module_vtable v = TAPER_MODULE_VTABLE_INIT;
    v.forward_list = module_forward_list;
    v.extra_repr = module_repr;
    v.drop = drop;
    GO_MODULE(taper_module_new(name, &v, (void *)user, &m));
}
static taper_error *after_forward_list(void *user, taper_module *m, taper_tensor *const *in, size_t n,
                                       taper_tensor *const *outputs, size_t outputs_len, taper_tensor_list **out) {
    uintptr_t list = 0;
    uintptr_t e = goAfterForwardList((uintptr_t)user, (uintptr_t)m, (uintptr_t *)in, n, (uintptr_t *)outputs,
                                     outputs_len, &list);
    *out = (taper_tensor_list *)list;
    return (taper_error *)e;
}
uintptr_t go_module_register_list_hook(uintptr_t m, uintptr_t user, uint64_t *id) {
    taper_module_hook_vtable v = TAPER_MODULE_HOOK_VTABLE_INIT;
    v.after_list = after_forward_list;
    v.drop = drop;
    return (uintptr_t)taper_module_register_forward_hook((taper_module *)m, &v, (void *)user, id);
}
static taper_error *apply(void *user, taper_module *m) {
    return (taper_error *)goApply((uintptr_t)user, (uintptr_t)m);
}
uintptr_t go_module_apply(uintptr_t m, uintptr_t user) {
    return (uintptr_t)taper_module_apply((taper_module *)m, apply, (void *)user);
}
go_pair go_list_new(uintptr_t *tensors, size_t n) {
    taper_tensor_list *list = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_tensor_list_new((taper_tensor *const *)tensors, n, &list);
    r.out = (uintptr_t)list;
    return r;
}

static taper_error *schedule(void *user, int64_t epoch, size_t group, double base_lr, double lr, double *out) {
    return (taper_error *)goSchedule((uintptr_t)user, epoch, group, base_lr, lr, out);
}
taper_schedule_vtable go_schedule_vtable(void) {
    taper_schedule_vtable v = TAPER_SCHEDULE_VTABLE_INIT;
    v.call = schedule;
    v.drop = drop;
    return v;
}

static taper_error *dataset_len(void *user, int64_t *out) {
    return (taper_error *)goDatasetLen((uintptr_t)user, out);
}
static taper_error *dataset_get(void *user, int64_t index, uint64_t seed, taper_tensor_list **out) {
    uintptr_t list = 0;
    uintptr_t e = goDatasetGet((uintptr_t)user, index, seed, &list);
    *out = (taper_tensor_list *)list;
    return (taper_error *)e;
}
go_pair go_dataset_new(uintptr_t user) {
    taper_dataset_vtable v = TAPER_DATASET_VTABLE_INIT;
    taper_dataset *d = 0;
    go_pair r = {0, 0};
    v.len = dataset_len;
    v.get = dataset_get;
    v.drop = drop;
    r.err = (uintptr_t)taper_dataset_new(&v, (void *)user, &d);
    r.out = (uintptr_t)d;
    return r;
}

static taper_error *stream_begin(void *user, void **pass) {
    uintptr_t p = 0;
    uintptr_t e = goStreamBegin((uintptr_t)user, &p);
    *pass = (void *)p;
    return (taper_error *)e;
}
static taper_error *stream_next(void *user, void *pass, uint64_t seed, taper_tensor_list **out) {
    uintptr_t list = 0;
    uintptr_t e = goStreamNext((uintptr_t)pass, seed, &list);
    (void)user;
    *out = (taper_tensor_list *)list;
    return (taper_error *)e;
}
static void stream_end(void *user, void *pass) {
    (void)user;
    goStreamEnd((uintptr_t)pass);
}
go_pair go_dataset_new_stream(uintptr_t user) {
    taper_stream_vtable v = TAPER_STREAM_VTABLE_INIT;
    taper_dataset *d = 0;
    go_pair r = {0, 0};
    v.begin = stream_begin;
    v.next = stream_next;
    v.end = stream_end;
    v.drop = drop;
    r.err = (uintptr_t)taper_dataset_new_stream(&v, (void *)user, &d);
    r.out = (uintptr_t)d;
    return r;
}

static taper_error *collate(void *user, taper_tensor_list *const *samples, size_t n, taper_tensor_list **out) {
    uintptr_t list = 0;
    uintptr_t e = goCollate((uintptr_t)user, (uintptr_t *)samples, n, &list);
    *out = (taper_tensor_list *)list;
    return (taper_error *)e;
}
go_pair go_data_loader_create(uintptr_t dataset, uintptr_t sampler, uintptr_t generator,
                              const taper_data_loader_options *options, uintptr_t user) {
    taper_collate_vtable v = TAPER_COLLATE_VTABLE_INIT;
    taper_data_loader *l = 0;
    go_pair r = {0, 0};
    v.call = collate;
    v.drop = drop;
    r.err = (uintptr_t)taper_data_loader_create((taper_dataset *)dataset, (taper_sampler *)sampler,
                                                (taper_generator *)generator, options, user ? &v : 0, (void *)user, &l);
    r.out = (uintptr_t)l;
    return r;
}

static void say(void *user, int32_t level, const char *text) { goLog((uintptr_t)user, level, (char *)text); }
uintptr_t go_set_log_callback(uintptr_t user, int32_t level) {
    taper_log_vtable v = TAPER_LOG_VTABLE_INIT;
    v.call = say;
    v.drop = drop;
    return (uintptr_t)taper_set_log_callback(user ? &v : 0, (void *)user, level);
}

static taper_error *loss_closure(void *user, taper_tensor **loss) {
    uintptr_t t = 0;
    uintptr_t e = goLossClosure((uintptr_t)user, &t);
    *loss = (taper_tensor *)t;
    return (taper_error *)e;
}
go_pair go_optimizer_step_closure(uintptr_t o, uintptr_t user) {
    taper_optimizer_closure v = TAPER_OPTIMIZER_CLOSURE_INIT;
    v.call = loss_closure;
    v.drop = drop;
    taper_tensor *out = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_optimizer_step_closure((taper_optimizer *)o, &v, (void *)user, &out);
    r.out = (uintptr_t)out;
    return r;
}
static taper_error *own_step(void *user, taper_optimizer *self) {
    return (taper_error *)goOwnStep((uintptr_t)user, (uintptr_t)self);
}
go_pair go_optimizer_own_new(const char *name, uintptr_t params, uintptr_t user) {
    taper_optimizer_vtable v = TAPER_OPTIMIZER_VTABLE_INIT;
    v.step = own_step;
    v.drop = drop;
    taper_optimizer *out = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_optimizer_own_new(name, (taper_tensor_list *)params, &v, (void *)user, &out);
    r.out = (uintptr_t)out;
    return r;
}
