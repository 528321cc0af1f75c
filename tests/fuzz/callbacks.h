/* Callbacks of every kind: they succeed, fail, make calls themselves, free what they were given, or return nonsense. */
#ifndef TAPER_FUZZ_CALLBACKS_H
#define TAPER_FUZZ_CALLBACKS_H

#include "text.h"

enum { CALLBACK_DEPTH = 3 };
static void random_call(void);

static void on_drop(void *user)
{
    callback *c = user;
    if (!c)
        return;
    if (atomic_fetch_add(&c->dropped, 1) == 1)
        fail_as("a callback is dropped twice", "kind %d", c->kind);
    /* It may call the library. */
    if (c->rng % 4 == 0)
        release(KIND_TENSOR, atomic_exchange(&seats[c->rng % SEATS].handle, NULL));
}
/* What goes with a call that takes over `user`; what == NULL leaves it out. */
static callback *new_callback(int kind)
{
    int i = atomic_fetch_add(&callbacks_used, 1);
    note(TAG_CALLBACK, (uint64_t)i);
    if (options.trace)
        say(" callback%d", i);
    if (i >= CALLBACKS)
        return NULL;
    callbacks[i].rng = random64();
    callbacks[i].kind = kind;
    callbacks[i].loose = false;
    atomic_store(&callbacks[i].dropped, 0);
    return &callbacks[i];
}
static taper_error *own_error(void)
{
    int32_t code = 1 + (int32_t)below(9);
    return taper_error_new(code, one_in(5) ? NULL : "of a callback", NULL, NULL);
}

enum { DO_WELL, DO_ERROR, DO_NOTHING, DO_CALLS, DO_FREE, DO_NONSENSE, DO_OWN, DO_SCOPE };
/* Draws what a callback does, and does what happens before its result. */
static int act(taper_tensor *const *tensors, size_t n)
{
    int what = me.depth > CALLBACK_DEPTH ? DO_WELL : (int)below(12);
    record *now = me.now;
    const uint64_t first = me.first, second = me.second, third = me.third;
    const int seat_ = me.first_seat, tensors_ = me.tensors;
    me.depth++;
    switch (what) {
        case DO_CALLS:
            for (int64_t i = 1 + below(4); i > 0; i--)
                random_call();
            break;
        case DO_FREE:
            if (n)
                free_handle(KIND_TENSOR, tensors[below((int64_t)n)]);
            break;
        case DO_SCOPE:
            taper_scope_begin();
            if (one_in(2))
                random_call();
            if (one_in(2))
                taper_error_free(taper_scope_end());
            break;
        default: break;
    }
    me.depth--;
    me.now = now, me.first = first, me.second = second, me.third = third, me.first_seat = seat_, me.tensors = tensors_;
    return what;
}
static taper_error *tensor_result(int what, taper_tensor *const *tensors, size_t n, taper_tensor **out)
{
    if (what == DO_ERROR)
        return own_error();
    if (what == DO_NOTHING)
        return NULL;
    if (what == DO_NONSENSE) {
        *out = atomic_load(&graves[below(GRAVES)]);
        return NULL;
    }
    if (what == DO_OWN && n) {
        *out = tensors[0];
        return NULL;
    }
    if (one_in(4)) {
        *out = any_new_tensor();
        return NULL;
    }
    return n ? taper_tensor_ref(tensors[below((int64_t)n)], out) : own_error();
}
static taper_error *list_result(int what, taper_tensor *const *tensors, size_t n, taper_tensor_list **out)
{
    if (what == DO_ERROR)
        return own_error();
    if (what == DO_NOTHING)
        return NULL;
    if (what == DO_NONSENSE) {
        *out = atomic_load(&graves[below(GRAVES)]);
        return NULL;
    }
    if (one_in(6))
        n = n ? n - 1 : 0;
    taper_tensor *squares[8] = {NULL};
    n = n < 8 ? n : 8;
    taper_error *e = NULL;
    for (size_t i = 0; i < n && !e; i++)
        if (tensors[i])
            e = taper_mul(tensors[i], tensors[i], &squares[i]);
    if (!e)
        e = taper_tensor_list_new(squares, n, out);
    for (size_t i = 0; i < n; i++)
        taper_tensor_free(squares[i]);
    return e;
}

static taper_error *on_grad(void *user, taper_tensor *grad, taper_tensor **out)
{
    (void)user;
    return tensor_result(act(&grad, 1), &grad, 1, out);
}
static taper_error *on_node(void *user, taper_tensor *const *inputs, size_t n, taper_tensor *const *outputs, size_t m, taper_tensor_list **out)
{
    (void)user;
    return list_result(act(outputs, m), inputs, n, out);
}
static taper_error *on_tensors(void *user, taper_tensor *const *inputs, size_t n, taper_tensor_list **out)
{
    (void)user;
    return list_result(act(inputs, n), inputs, n, out);
}
static taper_error *on_function_forward(void *user, taper_function_ctx *ctx, taper_tensor *const *inputs, size_t n, taper_tensor_list **out)
{
    (void)user;
    atomic_store(&others[KIND_FUNCTION_CTX][below(OTHERS)], (void *)ctx);
    if (one_in(2))
        taper_error_free(taper_function_ctx_save_for_backward(ctx, inputs, n));
    if (one_in(8))
        taper_error_free(taper_function_ctx_mark_dirty(ctx, inputs, n));
    return list_result(act(inputs, n), inputs, n, out);
}
static taper_error *on_function_backward(void *user, taper_function_ctx *ctx, taper_tensor *const *grads, size_t n, taper_tensor_list **out)
{
    (void)user;
    taper_tensor_list *saved = NULL;
    atomic_store(&others[KIND_FUNCTION_CTX][below(OTHERS)], (void *)ctx);
    taper_error_free(taper_function_ctx_saved_tensors(ctx, &saved));
    taper_tensor_list_free(saved);
    return list_result(act(grads, n), grads, n, out);
}
static taper_error *on_module(void *user, taper_module *self, taper_tensor *const *inputs, size_t n, taper_tensor **out)
{
    (void)user;
    int what = act(inputs, n);
    if (what == DO_FREE && one_in(2))
        taper_module_free(self);
    if (what == DO_NOTHING && one_in(2) && me.depth < CALLBACK_DEPTH) {
        me.depth++;
        taper_error *e = taper_module_forward(self, inputs, n, out);
        me.depth--;
        return e;
    }
    return tensor_result(what, inputs, n, out);
}
static taper_error *on_module_list(void *user, taper_module *self, taper_tensor *const *inputs, size_t n, taper_tensor_list **out)
{
    (void)user, (void)self;
    return list_result(act(inputs, n), inputs, n, out);
}
static taper_error *on_repr(void *user, taper_module *self, taper_string **out)
{
    (void)user, (void)self;
    switch (act(NULL, 0)) {
        case DO_ERROR: return own_error();
        case DO_NONSENSE: *out = atomic_load(&graves[below(GRAVES)]); return NULL;
        case DO_NOTHING: return NULL;
        default: return taper_string_new("a=1, b=2", out);
    }
}
static taper_error *on_before(void *user, taper_module *m, taper_tensor *const *inputs, size_t n, taper_tensor_list **out)
{
    (void)user, (void)m;
    return list_result(act(inputs, n), inputs, n, out);
}
static taper_error *on_after(void *user, taper_module *m, taper_tensor *const *inputs, size_t n, taper_tensor *output, taper_tensor **out)
{
    (void)user, (void)m, (void)inputs, (void)n;
    return tensor_result(act(&output, 1), &output, 1, out);
}
static taper_error *on_after_list(void *user, taper_module *m, taper_tensor *const *inputs, size_t n, taper_tensor *const *outputs, size_t outputs_len, taper_tensor_list **out)
{
    (void)user, (void)m, (void)inputs, (void)n;
    return list_result(act(outputs, outputs_len), outputs, outputs_len, out);
}
static taper_error *on_apply(void *user, taper_module *m)
{
    (void)user;
    int what = act(NULL, 0);
    if (what == DO_FREE)
        taper_module_free(m);
    return what == DO_ERROR ? own_error() : NULL;
}
static int32_t on_out_of_memory(void *user, size_t bytes)
{
    (void)user, (void)bytes;
    release(KIND_TENSOR, atomic_exchange(&seats[below(SEATS)].handle, NULL));
    return (int32_t)below(2);
}
/* A callback struct or options: struct_size is now and then wrong, which must be an error. */
static void *sized_struct(size_t right, callback *c)
{
    static const size_t wrong[] = {0, 8, 4096, SIZE_MAX, 1};
    size_t size = one_in(60) ? wrong[below(5)] : right;
    size_t *memory = scratch(size == right ? right : 8192);
    memory[0] = size;
    if (size != right && c)
        c->loose = true;
    return memory;
}
#define VTABLE(type, c) ((type *)sized_struct(sizeof(type), (c)))
/* Options with their defaults, all zero, or none. */
#define OPTIONS(type, init) \
    (one_in(3) ? NULL : one_in(8) ? VTABLE(type, NULL) : (type *)memcpy(scratch(sizeof(type)), &(type)init, sizeof(type)))

/* It must not call the library. */
static void on_message(void *user, int32_t level, const char *text)
{
    (void)user;
    if (level < TAPER_LOG_ERROR || level > TAPER_LOG_DEBUG || !text[0])
        fail_as("a message is empty or of no level", "level %d", (int)level);
}
static taper_error *on_rate(void *user, int64_t epoch, size_t group, double base_lr, double lr, double *out)
{
    (void)user, (void)epoch, (void)group, (void)lr;
    int what = act(NULL, 0);
    if (what == DO_ERROR)
        return own_error();
    if (what != DO_NOTHING)
        *out = what == DO_NONSENSE ? NAN : base_lr / 2;
    return NULL;
}
/* Data sets are asked by the loader's threads too, which have no random numbers or pools of their own: what these do follows from
 * the user pointer and the sample alone. */
static taper_error *sample_result(const callback *c, int64_t index, taper_tensor_list **out)
{
    const uint64_t how = mix((c ? c->rng : 0) ^ (uint64_t)index) % 40;
    const float values[3] = {(float)index, 1, 2};
    const int64_t size = how == 3 ? 2 : 3;
    taper_tensor *t = NULL;
    if (how == 0)
        return taper_error_new(TAPER_ERROR_VALUE, "of a sample", NULL, NULL);
    if (how == 1)
        return NULL;
    if (how == 2) {
        *out = (taper_tensor_list *)(uintptr_t)0x1234500000000008u;
        return NULL;
    }
    taper_error *e = taper_tensor_from_data(values, &size, 1, TAPER_FLOAT32, TAPER_CPU, &t);
    if (!e)
        e = taper_tensor_list_new(&t, how == 4 ? 0 : 1, out);
    taper_tensor_free(t);
    return e;
}
static taper_error *on_length(void *user, int64_t *out)
{
    const callback *c = user;
    *out = c && c->rng % 16 == 0 ? -3 : 6;
    return c && c->rng % 16 == 1 ? taper_error_new(TAPER_ERROR_IO, "of a length", NULL, NULL) : NULL;
}
static taper_error *on_sample(void *user, int64_t index, uint64_t seed, taper_tensor_list **out)
{
    (void)seed;
    return sample_result(user, index, out);
}
static taper_error *on_begin(void *user, void **pass)
{
    const callback *c = user;
    if (c && c->rng % 16 == 2)
        return taper_error_new(TAPER_ERROR_IO, "of a beginning", NULL, NULL);
    *pass = calloc(1, sizeof(int64_t));
    return *pass ? NULL : taper_error_new(TAPER_ERROR_OUT_OF_MEMORY, "of a beginning", NULL, NULL);
}
static taper_error *on_next(void *user, void *pass, uint64_t seed, taper_tensor_list **out)
{
    (void)seed;
    int64_t *at = pass;
    return (*at)++ == 7 ? NULL : sample_result(user, *at, out);
}
static void on_end(void *user, void *pass)
{
    (void)user;
    free(pass);
}
static taper_error *on_collate(void *user, taper_tensor_list *const *samples, size_t n, taper_tensor_list **out)
{
    taper_tensor *t = NULL;
    const callback *c = user;
    if (!c || c->rng % 8 == 0)
        return sample_result(c, (int64_t)n, out);
    if (c->rng % 8 == 1)
        taper_tensor_list_free(samples[0]);
    taper_error *e = taper_tensor_list_get(samples[n - 1], 0, &t);
    if (!e)
        e = taper_tensor_list_new(&t, 1, out);
    taper_tensor_free(t);
    return e;
}

#endif
