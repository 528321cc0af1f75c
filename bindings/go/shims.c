#include "shims.h"

// Go's exported functions (callbacks.go).
extern uintptr_t goForward(uintptr_t user, uintptr_t ctx, uintptr_t *inputs, size_t n, uintptr_t *out);
extern uintptr_t goBackward(uintptr_t user, uintptr_t ctx, uintptr_t *grads, size_t n, uintptr_t *out);
extern uintptr_t goHook(uintptr_t user, uintptr_t grad, uintptr_t *out);
extern uintptr_t goModuleForward(uintptr_t user, uintptr_t *inputs, size_t n, uintptr_t *out);
extern uintptr_t goModuleRepr(uintptr_t user, uintptr_t *out);
extern uintptr_t goApply(uintptr_t user, uintptr_t m);
extern void goDrop(uintptr_t user);

static void drop(void *user) { goDrop((uintptr_t)user); }

uintptr_t go_callback_error(const char *message, uintptr_t handle) {
    return (uintptr_t)taper_error_new(TAPER_ERROR_CALLBACK, message, (void *)handle, drop);
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
    v.forward = module_forward;
    v.extra_repr = module_repr;
    v.drop = drop;
    taper_module *m = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_module_new(name, &v, (void *)user, &m);
    r.out = (uintptr_t)m;
    return r;
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
