/* Calls that generate.py cannot make from the types alone. */
#ifndef TAPER_FUZZ_SPECIAL_H
#define TAPER_FUZZ_SPECIAL_H

#include "callbacks.h"

static void begin(int function)
{
    thread_log *log = &worker->threads[me.index];
    record *r = &log->ring[log->next++ % RING];
    r->step = me.step;
    r->function = (uint16_t)function;
    r->depth = (uint8_t)me.depth;
    r->words = 0;
    me.now = r;
    me.first = me.second = me.third = pack_shape(-1, 0, NULL);
    me.tensors = 0;
    me.first_seat = -1;
    me.dim = 0;
    me.line_used = 0;
}
static const char *function_name(int function);
/* Everything is drawn: here comes the call. */
static void go(void)
{
    if (options.trace)
        fprintf(stderr, "[%d] %" PRIu64 "%*s %s%.*s\n", me.index, me.step, 2 * me.depth, "", function_name(me.now->function),
                (int)me.line_used, me.line);
    me.line_used = 0;
    atomic_fetch_add_explicit(&worker->calls, 1, memory_order_relaxed);
}
/* Errors must be such that a user can read them. None may be a panic. */
static bool done(taper_error *e)
{
    if (!e)
        return true;
    atomic_fetch_add_explicit(&worker->refused, 1, memory_order_relaxed);
    int32_t code = taper_error_code(e);
    const char *message = taper_error_message(e);
    if (options.trace)
        fprintf(stderr, "      error %d: %.200s\n", (int)code, message ? message : "(none)");
    if (code < TAPER_ERROR_RUNTIME || code > TAPER_ERROR_CANCELLED || code == TAPER_ERROR_INTERNAL || !message || (!message[0] && code != TAPER_ERROR_CALLBACK && code > 9)) {
        char key[160];
        snprintf(key, sizeof key, "code %d of %s", (int)code, function_name(me.now ? me.now->function : 0));
        fail_as(key, "%s: %s", key, message ? message : "(no message)");
    }
    /* A token that stays set would refuse everything that follows on this thread. */
    if (code == TAPER_ERROR_CANCELLED && one_in(4)) {
        taper_cancel_token *token = NULL;
        taper_error_free(taper_cancel_token_attach(NULL, &token));
        taper_cancel_token_free(token);
    }
    if (one_in(8)) {
        (void)taper_error_op(e);
        (void)taper_error_arg(e);
        taper_error_free(taper_error_cause(e));
    }
    if (one_in(30) && me.depth == 0)
        keep(KIND_ERROR, e);
    else
        taper_error_free(e);
    return false;
}
static void unexpected(const char *what)
{
    char key[160];
    snprintf(key, sizeof key, "%s by %s", what, function_name(me.now->function));
    fail_as(key, "%s", key);
}
static void *out(void *at)
{
    return one_in(100) ? NULL : at;
}
/* Text that the library returned: to be read at once, where no other thread can free it meanwhile. */
static void read_text(const char *s)
{
    static _Atomic size_t sum;
    if (s && options.threads == 1)
        atomic_fetch_add(&sum, strlen(s));
}

static void call_tensor_from_data(void)
{
    taper_tensor *t = NULL;
    int32_t dtype = one_in(40) ? c_any() : some_dtype();
    int64_t sizes[6];
    int n = (int)below(5);
    size_t numel = 1;
    for (int i = 0; i < n; i++) {
        sizes[i] = one_in(80) ? -below(3) : some_size();
        numel *= sizes[i] > 0 ? (size_t)sizes[i] : 0;
        noted_int(sizes[i]);
    }
    size_t bytes = numel * (taper_dtype_size(dtype) ? taper_dtype_size(dtype) : 8);
    void *data = scratch(bytes < ARENA / 2 ? bytes : 0);
    if (bytes >= ARENA / 2)
        n = 0;
    else
        fill(data, numel, dtype, 0);
    taper_device d = d_any();
    go();
    done(taper_tensor_from_data(one_in(60) ? NULL : data, sizes, (size_t)n, dtype, d, out(&t)));
    keep_tensor(t);
}
typedef struct {
    callback *c;
    void *data;
} borrowed;
static void on_buffer_drop(void *user)
{
    borrowed *b = user;
    free(b->data);
    callback *c = b->c;
    free(b);
    on_drop(c);
}
static void call_tensor_from_buffer(void)
{
    taper_tensor *t = NULL;
    int32_t dtype = some_dtype();
    int64_t sizes[4], strides[4];
    int n = (int)below(4);
    size_t last = 0, numel = 1;
    for (int i = 0; i < n; i++) {
        sizes[i] = below(5);
        strides[i] = below(5);
        numel *= (size_t)sizes[i];
        if (sizes[i])
            last += (size_t)((sizes[i] - 1) * strides[i]);
    }
    size_t elements = last + 1 > numel ? last + 1 : numel;
    borrowed *b = malloc(sizeof *b);
    b->data = calloc(elements, taper_dtype_size(dtype));
    b->c = new_callback(0);
    fill(b->data, elements, dtype, 0);
    if (one_in(40))
        dtype = c_any() % 2 ? -1 : 99;
    if (n && one_in(40))
        sizes[0] = -1 - below(3);
    if (n && one_in(40))
        strides[0] = one_in(2) ? -1 : INT64_MIN;
    go();
    done(taper_tensor_from_buffer(b->data, sizes, (size_t)n, one_in(2) ? NULL : strides, dtype, on_buffer_drop, b, &t));
    keep_tensor(t);
}
static void call_tensor_copy_to_host(void)
{
    taper_tensor *t = t_any();
    int64_t numel = taper_tensor_numel(t);
    size_t bytes = numel > 0 ? (size_t)numel * taper_dtype_size(taper_tensor_dtype(t)) : 0;
    if (one_in(4))
        bytes = (size_t)below(64);
    bytes = bytes < 1 << 20 ? bytes : 0;
    void *buffer = malloc(bytes ? bytes : 1);
    go();
    done(taper_tensor_copy_to_host(t, buffer, bytes));
    free(buffer);
}
static void shape_getter(bool strides)
{
    taper_tensor *t = t_any();
    size_t n = (size_t)below(6), ndim = 0;
    int64_t *buffer = malloc(n * 8 + 1);
    go();
    done(strides ? taper_tensor_strides(t, one_in(40) ? NULL : buffer, n, &ndim) : taper_tensor_sizes(t, one_in(40) ? NULL : buffer, n, &ndim));
    free(buffer);
}
static void call_tensor_sizes(void) { shape_getter(false); }
static void call_tensor_strides(void) { shape_getter(true); }
static void call_tensor_data(void)
{
    taper_tensor *t = t_any();
    void *data = NULL;
    go();
    /* The first and last elements must be readable, where no other thread frees them. */
    if (done(taper_tensor_data(t, out(&data))) && data && options.threads == 1) {
        static volatile unsigned char sink;
        int64_t n = taper_tensor_numel(t);
        if (n > 0)
            sink = *(unsigned char *)data;
        if (n > 0 && taper_tensor_is_contiguous(t) == 1)
            sink = ((unsigned char *)data)[(size_t)n * taper_dtype_size(taper_tensor_dtype(t)) - 1];
        (void)sink;
    }
}
static void call_error_new(void)
{
    int32_t code = c_any();
    if (code == TAPER_ERROR_INTERNAL)
        code = 4;
    const char *message = text(TEXT_ANY);
    callback *c = new_callback(1);
    go();
    keep(KIND_ERROR, taper_error_new(code, message, c, c ? on_drop : NULL));
}

static void call_error_with_payload(void)
{
    taper_error *e = h_other(KIND_ERROR);
    callback *c = new_callback(1);
    go();
    keep(KIND_ERROR, taper_error_with_payload(e, c, c ? on_drop : NULL));
}

/* --- DLPack ---------------------------------------------------------------------------------------------------------- */

struct dl_tensor {
    void *data;
    int32_t device_type, device_id, ndim;
    uint8_t code, bits;
    uint16_t lanes;
    int64_t *shape, *strides;
    uint64_t byte_offset;
};
struct DLManagedTensor {
    struct dl_tensor t;
    void *context;
    void (*deleter)(struct DLManagedTensor *);
};
struct DLManagedTensorVersioned {
    uint32_t major, minor;
    void *context;
    void (*deleter)(struct DLManagedTensorVersioned *);
    uint64_t flags;
    struct dl_tensor t;
};
static void damage_dlpack(struct dl_tensor *t)
{
    switch (below(8)) {
        case 0: t->code = (uint8_t)random64(); break;
        case 1: t->bits = (uint8_t)random64(); break;
        case 2: t->lanes = (uint16_t)below(5); break;
        case 3: t->device_type = (int32_t)below(20) - 2; break;
        case 4: t->device_id = (int32_t)random64(); break;
        case 5: t->ndim = (int32_t)(one_in(2) ? -1 : below(t->ndim + 1)); break;
        case 6: t->strides = NULL; break;
        default: t->byte_offset = one_in(2) ? UINT64_MAX : (uint64_t)below(2); break;
    }
}
static void call_dlpack(void)
{
    struct DLManagedTensorVersioned *d = NULL;
    taper_tensor *t = NULL;
    taper_tensor *from = t_any();
    go();
    if (!done(taper_tensor_to_dlpack(from, out(&d))) || !d)
        return;
    /* A view without its strides would be read past its end. */
    if (one_in(6) && taper_tensor_is_contiguous(from) == 1)
        damage_dlpack(&d->t);
    if (one_in(20))
        d->major = (uint32_t)below(4);
    if (one_in(20))
        d->flags = random64();
    if (one_in(8))
        d->deleter(d);
    else
        done(taper_tensor_from_dlpack(d, &t));
    keep_tensor(t);
}
static void call_dlpack_legacy(void)
{
    struct DLManagedTensor *d = NULL;
    taper_tensor *t = NULL;
    taper_tensor *from = t_any();
    go();
    if (!done(taper_tensor_to_dlpack_legacy(from, out(&d))) || !d)
        return;
    if (one_in(6) && taper_tensor_is_contiguous(from) == 1)
        damage_dlpack(&d->t);
    if (one_in(8))
        d->deleter(d);
    else
        done(taper_tensor_from_dlpack_legacy(d, &t));
    keep_tensor(t);
}

/* --- Arrow ----------------------------------------------------------------------------------------------------------- */

#include "../c/arrow_structs.h"

/* Only what the library can see: it cannot know how long a buffer is. */
static void damage_arrow(struct ArrowSchema *s, struct ArrowArray *a)
{
    if (s->n_children > 0 && a->n_children == s->n_children && one_in(2)) {
        const int64_t i = (int64_t)below(s->n_children);
        damage_arrow(s->children[i], a->children[i]);
        return;
    }
    switch (below(8)) {
        case 0: a->length = -(int64_t)below(3); break;
        case 1: a->offset = one_in(2) ? -1 : INT64_MAX; break;
        case 2: a->null_count = (int64_t)random64(); break;
        case 3: a->n_buffers = (int64_t)below(2); break;
        case 4: a->n_children = 0; break;
        case 5: s->n_children = 0; break;
        case 6: s->format = one_in(2) ? "+w:9223372036854775807" : "Z"; break;
        default: s->name = one_in(2) ? NULL : "\xff"; break;
    }
}
static void call_arrow(void)
{
    struct ArrowSchema s = {0};
    struct ArrowArray a = {0};
    taper_named_tensors *n = NULL;
    taper_named_tensors *from = h_other(KIND_NAMED_TENSORS);
    go();
    if (!done(taper_arrow_export(from, &s, &a)) || !s.release)
        return;
    if (one_in(3))
        damage_arrow(&s, &a);
    if (one_in(8)) {
        s.release(&s);
        a.release(&a);
    } else
        done(taper_arrow_import(&s, &a, one_in(2), out(&n)));
    keep(KIND_NAMED_TENSORS, n);
}

/* --- callbacks ------------------------------------------------------------------------------------------------------- */

#define TAKES(type, v, c) \
    callback *c = new_callback(__LINE__); \
    type *v = VTABLE(type, c); \
    if (one_in(60)) { \
        c ? (void)(c->loose = true) : (void)0; \
        v = NULL; \
    } else \
        v->drop = c ? on_drop : NULL

static void tensor_hook(bool post)
{
    taper_tensor *t = t_any();
    uint64_t id = 0;
    TAKES(taper_hook_vtable, v, c);
    if (v && !one_in(30))
        v->call = on_grad;
    go();
    done(post ? taper_tensor_register_post_accumulate_grad_hook(t, v, c, out(&id)) : taper_tensor_register_hook(t, v, c, out(&id)));
    if (id && one_in(4))
        done(taper_tensor_remove_hook(t, id));
}
static void call_tensor_register_hook(void) { tensor_hook(false); }
static void call_tensor_register_post_accumulate_grad_hook(void) { tensor_hook(true); }
static void node_hook(bool before)
{
    taper_node *n = h_other(KIND_NODE);
    uint64_t id = 0;
    TAKES(taper_node_hook_vtable, v, c);
    if (v && !one_in(30))
        v->call = on_node;
    go();
    done(before ? taper_node_register_prehook(n, v, c, out(&id)) : taper_node_register_hook(n, v, c, out(&id)));
    if (id && one_in(4))
        done(taper_node_remove_hook(n, id));
}
static void call_node_register_hook(void) { node_hook(false); }
static void call_node_register_prehook(void) { node_hook(true); }
static void call_function_apply(void)
{
    size_t n = 0;
    taper_tensor *const *inputs = handles(KIND_TENSOR, &n, -1);
    taper_tensor_list *list = NULL;
    TAKES(taper_function_vtable, v, c);
    if (v) {
        v->name = one_in(2) ? text(TEXT_ANY) : NULL;
        v->forward = one_in(30) ? NULL : on_function_forward;
        v->backward = one_in(30) ? NULL : on_function_backward;
    }
    go();
    done(taper_function_apply(v, c, inputs, n, out(&list)));
    taper_tensor *t = NULL;
    if (list && one_in(2))
        done(taper_tensor_list_get(list, 0, &t));
    keep_tensor(t);
    keep(KIND_TENSOR_LIST, list);
}
static void rates_of_schedule(bool last)
{
    double values[4];
    size_t needed = 0, n = (size_t)below(5);
    taper_schedule *s = h_other(KIND_SCHEDULE);
    go();
    done((last ? taper_schedule_last_lr : taper_schedule_base_lrs)(s, one_in(8) ? NULL : values, n, out(&needed)));
}
static void call_schedule_last_lr(void) { rates_of_schedule(true); }
static void call_schedule_base_lrs(void) { rates_of_schedule(false); }
enum { SCHEDULE_OWN, SCHEDULE_LAMBDA, SCHEDULE_FACTOR, SCHEDULE_CYCLE };
static void schedule_with_function(int how)
{
    taper_optimizer *o = h_other(KIND_OPTIMIZER);
    taper_schedule *s = NULL;
    const double *low = NULL, *high = NULL;
    size_t n = 0, m = 0;
    if (how == SCHEDULE_CYCLE)
        low = doubles(&n), high = doubles(&m);
    const char *name = how == SCHEDULE_OWN ? text(TEXT_ANY) : NULL;
    TAKES(taper_schedule_vtable, v, c);
    if (v && !one_in(30))
        v->call = on_rate;
    go();
    switch (how) {
        case SCHEDULE_OWN: done(taper_schedule_new(o, name, v, c, i_range(-2, 3), out(&s))); break;
        case SCHEDULE_LAMBDA: done(taper_schedule_lambda_lr_create(o, v, c, NULL, out(&s))); break;
        case SCHEDULE_FACTOR: done(taper_schedule_multiplicative_lr_create(o, v, c, NULL, out(&s))); break;
        default: done(taper_schedule_cyclic_lr_create(o, low, n, high, m, v, c, NULL, out(&s))); break;
    }
    keep(KIND_SCHEDULE, s);
}
static void call_dataset_new(void)
{
    taper_dataset *d = NULL;
    TAKES(taper_dataset_vtable, v, c);
    if (v && !one_in(30))
        v->len = on_length, v->get = on_sample;
    go();
    done(taper_dataset_new(v, c, out(&d)));
    keep(KIND_DATASET, d);
}
static void call_dataset_new_stream(void)
{
    taper_dataset *d = NULL;
    TAKES(taper_stream_vtable, v, c);
    if (v && !one_in(30))
        v->begin = on_begin, v->next = on_next, v->end = on_end;
    go();
    done(taper_dataset_new_stream(v, c, out(&d)));
    keep(KIND_DATASET, d);
}
static void call_data_loader_create(void)
{
    taper_data_loader *l = NULL;
    taper_dataset *d = h_other(KIND_DATASET);
    taper_sampler *s = h_optional(h_other, KIND_SAMPLER);
    taper_generator *g = h_optional(h_other, KIND_GENERATOR);
    taper_data_loader_options *o = OPTIONS(taper_data_loader_options, TAPER_DATA_LOADER_OPTIONS_INIT);
    if (o && o->struct_size == sizeof *o) {
        o->batch_size = i_range(0, 5), o->num_workers = i_range(0, 3), o->prefetch_factor = i_range(0, 2);
        o->shuffle = !s && one_in(2), o->drop_last = one_in(3);
    }
    TAKES(taper_collate_vtable, v, c);
    if (v && !one_in(30))
        v->call = on_collate;
    go();
    done(taper_data_loader_create(d, s, g, o, v, c, out(&l)));
    keep(KIND_DATA_LOADER, l);
}
static void call_schedule_new(void) { schedule_with_function(SCHEDULE_OWN); }
static void call_schedule_lambda_lr_create(void) { schedule_with_function(SCHEDULE_LAMBDA); }
static void call_schedule_multiplicative_lr_create(void) { schedule_with_function(SCHEDULE_FACTOR); }
static void call_schedule_cyclic_lr_create(void) { schedule_with_function(SCHEDULE_CYCLE); }
static void check_gradients(bool second)
{
    size_t n = 0;
    taper_tensor *const *inputs = handles(KIND_TENSOR, &n, 1);
    taper_gradcheck_options *o = one_in(2) ? NULL : VTABLE(taper_gradcheck_options, NULL);
    if (o)
        o->eps = f_any(), o->atol = f_any(), o->rtol = f_any();
    TAKES(taper_tensor_fn_vtable, v, c);
    if (v && !one_in(30))
        v->call = on_tensors;
    go();
    /* What it does for each element takes its time. */
    if (n && taper_tensor_numel(inputs ? inputs[0] : NULL) > 64)
        n = 0;
    done(second ? taper_gradgradcheck(v, c, inputs, n, o) : taper_gradcheck(v, c, inputs, n, o));
}
static void call_gradcheck(void) { check_gradients(false); }
static void call_gradgradcheck(void) { check_gradients(true); }
static void call_set_log_callback(void)
{
    int32_t level = (int32_t)i_range(0, 5);
    TAKES(taper_log_vtable, v, c);
    if (v)
        v->call = one_in(30) ? NULL : on_message;
    go();
    done(taper_set_log_callback(v, c, level));
}
static void call_set_out_of_memory_callback(void)
{
    TAKES(taper_out_of_memory_vtable, v, c);
    if (v)
        v->call = one_in(30) ? NULL : on_out_of_memory;
    go();
    done(taper_set_out_of_memory_callback(v, c));
}
static taper_error *on_interrupt(void *user)
{
    (void)user;
    return NULL;
}
static void call_set_interrupt_callback(void)
{
    TAKES(taper_interrupt_vtable, v, c);
    if (v)
        v->call = one_in(30) ? NULL : on_interrupt;
    go();
    done(taper_set_interrupt_callback(v, c));
}
static void call_module_new(void)
{
    const char *name = text(TEXT_NAME);
    taper_module *m = NULL;
    TAKES(taper_module_vtable, v, c);
    if (v) {
        v->forward = one_in(10) ? NULL : on_module;
        v->extra_repr = one_in(2) ? NULL : on_repr;
        v->forward_list = one_in(3) ? on_module_list : NULL;
    }
    go();
    done(taper_module_new(name, v, c, out(&m)));
    keep(KIND_MODULE, m);
}
static void module_hook(bool before)
{
    taper_module *m = h_other(KIND_MODULE);
    uint64_t id = 0;
    TAKES(taper_module_hook_vtable, v, c);
    if (v) {
        if (before != one_in(30))
            v->before = on_before;
        if (before == one_in(30))
            v->after = on_after;
        if (!before && one_in(3))
            v->after_list = on_after_list;
    }
    go();
    done(before ? taper_module_register_forward_pre_hook(m, v, c, out(&id)) : taper_module_register_forward_hook(m, v, c, out(&id)));
    if (id && one_in(4))
        done(taper_module_remove_hook(m, id));
}
static void call_module_register_forward_pre_hook(void) { module_hook(true); }
static void call_module_register_forward_hook(void) { module_hook(false); }
static void call_module_apply(void)
{
    taper_module *m = h_other(KIND_MODULE);
    go();
    done(taper_module_apply(m, one_in(30) ? NULL : on_apply, NULL));
}

/* --- states and options ---------------------------------------------------------------------------------------------- */

static void call_generator_get_state(void)
{
    taper_generator *g = h_other(KIND_GENERATOR), *other = h_other(KIND_GENERATOR);
    size_t needed = 0, n;
    go();
    done(taper_generator_get_state(g, NULL, 0, &needed));
    n = needed < 1 << 16 ? needed : 0;
    if (one_in(4))
        n = (size_t)below((int64_t)n + 1);
    uint8_t *state = malloc(n + 1);
    memset(state, 0, n + 1);
    done(taper_generator_get_state(g, state, n, &needed));
    if (one_in(3))
        for (int i = 0; i < 8 && n; i++)
            state[below((int64_t)n)] = (uint8_t)random64();
    done(taper_generator_set_state(other, state, n));
    free(state);
}
static void call_generator_set_state(void)
{
    taper_generator *g = h_other(KIND_GENERATOR);
    size_t n = (size_t)below(one_in(4) ? 6000 : 64);
    uint8_t *state = malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        state[i] = (uint8_t)random64();
    go();
    done(taper_generator_set_state(g, one_in(20) ? NULL : state, n));
    free(state);
}
static void call_file_writer_write(void)
{
    taper_file_writer *w = h_other(KIND_FILE_WRITER);
    size_t n = (size_t)below(300);
    void *data = scratch(n);
    go();
    done(taper_file_writer_write(w, one_in(40) ? NULL : data, n));
}
/* The bytes of a file, as a rule changed a little, in memory of malloc. */
static char *file_bytes(size_t *n)
{
    taper_named_tensors *named = h_other(KIND_NAMED_TENSORS);
    taper_tensor *t = NULL;
    char *bytes = malloc(FILE_ROOM);
    static const char *const formats[] = {"safetensors", "pt", "npz", "npz_compressed", "npy"};
    taper_error_free(taper_named_tensors_to_memory(named, formats[below(5)], &t));
    int64_t have = t ? taper_tensor_numel(t) : 0;
    *n = have > 0 && have < FILE_ROOM / 2 ? (size_t)have : 0;
    if (*n)
        taper_error_free(taper_tensor_copy_to_host(t, bytes, *n));
    taper_tensor_free(t);
    if (!one_in(4))
        *n = mutate(bytes, *n, FILE_ROOM);
    return bytes;
}
static void call_named_tensors_from_memory(void)
{
    taper_named_tensors *o = NULL;
    size_t n;
    char *bytes = file_bytes(&n);
    taper_device d = d_any();
    go();
    done(taper_named_tensors_from_memory(one_in(60) ? NULL : bytes, n, d, out(&o)));
    free(bytes);
    keep(KIND_NAMED_TENSORS, o);
}
static void call_tensor_file_open_memory(void)
{
    taper_tensor_file *o = NULL;
    borrowed *b = malloc(sizeof *b);
    size_t n;
    b->data = file_bytes(&n);
    b->c = new_callback(0);
    go();
    done(taper_tensor_file_open_memory(one_in(60) ? NULL : b->data, n, on_buffer_drop, b, out(&o)));
    keep(KIND_TENSOR_FILE, o);
}
static void call_tensor_file_sizes(void)
{
    taper_tensor_file *f = h_other(KIND_TENSOR_FILE);
    const char *name = text(TEXT_NAME);
    int64_t sizes[8];
    size_t needed = 0, n = (size_t)below(8);
    go();
    if (done(taper_tensor_file_sizes(f, name, sizes, n, out(&needed))) && needed > 64)
        unexpected("more than 64 dimensions");
}
static void call_set_num_threads(void)
{
    int32_t n = 1 + (int32_t)below(4);
    if (one_in(10))
        n = one_in(2) ? (int32_t)-below(3) : INT32_MIN;
    noted_int(n);
    go();
    done(taper_set_num_threads(n));
}
static const taper_nn_conv_options *conv_options(void)
{
    if (one_in(3))
        return NULL;
    taper_nn_conv_options *o = VTABLE(taper_nn_conv_options, NULL);
    for (int i = 0; i < 3; i++) {
        o->stride[i] = i_range(1, 2);
        o->padding[i] = i_range(0, 2);
        o->dilation[i] = i_range(1, 2);
    }
    o->groups = i_range(1, 2);
    o->bias = (int32_t)below(2);
    return o;
}
static const taper_nn_conv_create_options *conv_create_options(void)
{
    static const int64_t sizes[] = {1, 2, 1, 0, 2};
    if (one_in(3))
        return NULL;
    taper_nn_conv_create_options *o = VTABLE(taper_nn_conv_create_options, NULL);
    o->groups = i_range(0, 2);
    o->bias = (int32_t)below(2);
    o->dtype = one_in(2) ? -1 : (int32_t)below(20);
    if (one_in(2))
        o->stride = sizes + below(2), o->stride_len = below(4);
    if (one_in(2))
        o->padding = sizes + below(2), o->padding_len = below(4);
    if (one_in(3))
        o->dilation = sizes, o->dilation_len = below(3);
    if (one_in(4))
        o->padding_text = one_in(5) ? "some" : one_in(2) ? "same" : "valid";
    if (one_in(3))
        o->padding_mode = one_in(5) ? "odd" : one_in(2) ? "reflect" : "circular";
    return o;
}
static const taper_nn_linear_options *linear_options(void)
{
    if (one_in(3))
        return NULL;
    taper_nn_linear_options *o = VTABLE(taper_nn_linear_options, NULL);
    o->bias = (int32_t)below(2);
    o->dtype = one_in(2) ? -1 : (int32_t)below(20);
    return o;
}
static const taper_sgd_options *sgd_options(void)
{
    if (one_in(3))
        return NULL;
    taper_sgd_options *o = VTABLE(taper_sgd_options, NULL);
    o->lr = f_any(), o->momentum = f_any(), o->dampening = f_any(), o->weight_decay = f_any();
    o->nesterov = (int32_t)below(2), o->maximize = (int32_t)below(2);
    return o;
}
static const taper_adam_options *adam_options(void)
{
    if (one_in(3))
        return NULL;
    taper_adam_options *o = VTABLE(taper_adam_options, NULL);
    o->lr = f_any(), o->beta1 = one_in(2) ? 0.9 : f_any(), o->beta2 = one_in(2) ? 0.99 : f_any(), o->eps = f_any(), o->weight_decay = f_any();
    o->amsgrad = (int32_t)below(2), o->maximize = (int32_t)below(2), o->decoupled = (int32_t)below(2);
    return o;
}

#endif
