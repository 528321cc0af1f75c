/* Arguments of every kind: mostly valid ones that fit together, some at the edges, some bad. */
#ifndef TAPER_FUZZ_DRAW_H
#define TAPER_FUZZ_DRAW_H

#include "base.h"

static bool free_handle(int kind, void *h)
{
    switch (kind) {
        case KIND_TENSOR: return taper_tensor_free(h);
        case KIND_TENSOR_LIST: return taper_tensor_list_free(h);
        case KIND_ERROR: return taper_error_free(h);
        case KIND_STRING: return taper_string_free(h);
        case KIND_MODULE: return taper_module_free(h);
        case KIND_OPTIMIZER: return taper_optimizer_free(h);
        case KIND_GENERATOR: return taper_generator_free(h);
        case KIND_NODE: return taper_node_free(h);
        case KIND_NAMED_TENSORS: return taper_named_tensors_free(h);
        case KIND_GRAPH: return taper_graph_free(h);
        case KIND_EVENT: return taper_event_free(h);
        case KIND_FILE_WRITER: return taper_file_writer_free(h);
        case KIND_SCHEDULE: return taper_schedule_free(h);
        case KIND_CANCEL_TOKEN: return taper_cancel_token_free(h);
        case KIND_SUMMARY_WRITER: return taper_summary_writer_free(h);
        case KIND_PROGRESS: return taper_progress_free(h);
        case KIND_DATASET: return taper_dataset_free(h);
        case KIND_SAMPLER: return taper_sampler_free(h);
        case KIND_DATA_LOADER: return taper_data_loader_free(h);
        case KIND_BATCHES: return taper_batches_free(h);
        case KIND_TENSOR_FILE: return taper_tensor_file_free(h);
        default: return false;
    }
}
static void release(int kind, void *h)
{
    if (!h)
        return;
    /* A gradient that keeps its graph (create_graph) and the tensor that it belongs to hold each other. */
    if (kind == KIND_TENSOR)
        taper_error_free(taper_tensor_set_grad(h, NULL));
    free_handle(kind, h);
    atomic_store(&graves[below(GRAVES)], h);
}
static uint64_t describe(void *h)
{
    int64_t sizes[6] = {0}, ndim = taper_tensor_ndim(h);
    for (int i = 0; i < ndim && i < 6; i++)
        sizes[i] = taper_tensor_size(h, i);
    return pack_shape(taper_tensor_dtype(h), ndim, sizes);
}
static int keep_tensor(void *h)
{
    if (!h)
        return -1;
    /* Large results make later calls slow. */
    if (taper_tensor_numel(h) > 1 << 14) {
        free_handle(KIND_TENSOR, h);
        return -1;
    }
    int i = (int)below(SEATS);
    uint64_t shape = describe(h);
    void *old = atomic_exchange(&seats[i].handle, h);
    atomic_store(&seats[i].shape, shape);
    release(KIND_TENSOR, old);
    return i;
}
static void keep(int kind, void *h)
{
    if (kind == KIND_TENSOR)
        keep_tensor(h);
    else if (h)
        release(kind, atomic_exchange(&others[kind][below(OTHERS)], h));
}
static void refresh(int i)
{
    void *h = i < 0 ? NULL : atomic_load(&seats[i].handle);
    if (h)
        atomic_store(&seats[i].shape, describe(h));
}

/* --- tensors of a wanted shape --------------------------------------------------------------------------------------- */

static int32_t some_dtype(void)
{
    static const int32_t dtypes[] = {6, 6, 6, 6, 6, 6, 6, 6, 7, 7, 5, 15, 4, 4, 3, 2, 1, 0, 11, 11};
    return dtypes[below(20)];
}
static void fill(void *data, size_t n, int32_t dtype, int64_t limit)
{
    static const uint16_t half[] = {0, 0x3c00, 0x4000, 0xbc00, 0x3800, 0x4200, 0x7c00, 0x7e00},
                          brain[] = {0, 0x3f80, 0x4000, 0xbf80, 0x3f00, 0x4040, 0x7f80, 0x7fc0};
    const bool wild = one_in(12);
    for (size_t i = 0; i < n; i++) {
        int64_t v = limit > 0 ? below(limit) - (one_in(8) ? limit : 0) : below(9) - 3;
        if (limit > 0 && one_in(200))
            v = limit;
        double f = (double)v * 0.75;
        if (wild && one_in(4)) {
            static const double odd[] = {NAN, INFINITY, -INFINITY, 1e30, -0.0, 1e-40};
            f = odd[below(6)];
            v = one_in(2) ? INT64_MAX : INT64_MIN;
        }
        switch (dtype) {
            case TAPER_UINT8: ((uint8_t *)data)[i] = (uint8_t)v; break;
            case TAPER_INT8: ((int8_t *)data)[i] = (int8_t)v; break;
            case TAPER_INT16: ((int16_t *)data)[i] = (int16_t)v; break;
            case TAPER_INT32: ((int32_t *)data)[i] = (int32_t)v; break;
            case TAPER_INT64: ((int64_t *)data)[i] = v; break;
            case TAPER_FLOAT16: ((uint16_t *)data)[i] = half[below(wild ? 8 : 6)]; break;
            case TAPER_BFLOAT16: ((uint16_t *)data)[i] = brain[below(wild ? 8 : 6)]; break;
            case TAPER_FLOAT64: ((double *)data)[i] = f; break;
            case TAPER_COMPLEX64: ((float *)data)[2 * i] = (float)f, ((float *)data)[2 * i + 1] = (float)(1 - f / 2); break;
            case TAPER_COMPLEX128: ((double *)data)[2 * i] = f, ((double *)data)[2 * i + 1] = 1 - f / 2; break;
            case TAPER_BOOL: ((uint8_t *)data)[i] = (uint8_t)(v & 1); break;
            default: ((float *)data)[i] = (float)f; break;
        }
    }
}
static taper_device usual_device(void)
{
    return options.opencl && !one_in(4) ? TAPER_OPENCL(0) : TAPER_CPU;
}
/* A tensor of this shape, laid out in one of several ways. limit > 0: integers of [-limit, limit). */
static void *make_tensor(int32_t dtype, int ndim, const int64_t *sizes, int64_t limit)
{
    int64_t made[8];
    int64_t numel = 1;
    int how = (int)below(8), a = 0, b = 0;
    for (int i = 0; i < ndim; i++)
        made[i] = sizes[i];
    if (how == 0 && ndim >= 2) {
        a = (int)below(ndim), b = (int)below(ndim);
        made[a] = sizes[b], made[b] = sizes[a];
    } else if (how == 1 && ndim)
        made[0] = 2 * sizes[0] + 1;
    else if (how == 2 && ndim)
        made[0] = 1;
    for (int i = 0; i < ndim; i++)
        numel *= made[i];
    if (numel < 0 || numel > 1 << 14)
        return NULL;
    void *data = malloc((size_t)numel * 16 + 16);
    if (!data)
        return NULL;
    fill(data, (size_t)numel, dtype, limit);
    taper_tensor *t = NULL, *view = NULL;
    taper_error_free(taper_tensor_from_data(data, made, (size_t)ndim, dtype, usual_device(), &t));
    free(data);
    if (t && how == 0 && ndim >= 2)
        taper_error_free(taper_transpose(t, a, b, &view));
    else if (t && how == 1 && ndim) {
        int64_t start = 1;
        taper_error_free(taper_slice(t, 0, &start, NULL, 2, &view));
    } else if (t && how == 2 && ndim)
        taper_error_free(taper_expand(t, sizes, (size_t)ndim, &view));
    if (view) {
        taper_tensor_free(t);
        t = view;
    }
    if (t && is_float(dtype) && one_in(3))
        taper_error_free(taper_tensor_set_requires_grad(t, true));
    return t;
}
static int64_t some_size(void)
{
    static const int64_t sizes[] = {0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6, 8, 17, 3};
    return sizes[below(16)];
}
static void *any_new_tensor(void)
{
    int64_t sizes[5];
    int ndim = (int)below(5);
    for (int i = 0; i < ndim; i++)
        sizes[i] = some_size();
    return make_tensor(some_dtype(), ndim, sizes, 0);
}

static void *noted(void *h, int i, uint64_t shape)
{
    note(TAG_TENSOR, shape);
    if (options.trace) {
        char text[80];
        print_shape(text, sizeof text, shape);
        say(" t%d:%s", i, text);
    }
    if (me.tensors == 0)
        me.first = shape, me.first_seat = i;
    else if (me.tensors == 1)
        me.second = shape;
    else if (me.tensors == 2)
        me.third = shape;
    me.tensors++;
    return h;
}
static void *odd_handle(int kind)
{
    static int on_stack;
    void *h = NULL;
    switch (below(6)) {
        case 0: break;
        case 1: h = atomic_load(&graves[below(GRAVES)]); break;
        case 2: h = &on_stack; break;
        case 3: h = (void *)(uintptr_t)random64(); break;
        case 4: h = atomic_load(&seats[below(SEATS)].handle); break;
        default: h = atomic_load(&others[below(KINDS)][below(OTHERS)]); break;
    }
    note(TAG_HANDLE, (uint64_t)(uintptr_t)h);
    if (options.trace)
        say(" odd %s %p", kind_names[kind], h);
    if (kind == KIND_TENSOR)
        me.tensors++;
    return h;
}
static void *seated(int i)
{
    return noted(atomic_load(&seats[i].handle), i, atomic_load(&seats[i].shape));
}
static void *brand_new(void *h)
{
    int i = keep_tensor(h);
    return i < 0 ? odd_handle(KIND_TENSOR) : seated(i);
}
static void *t_any(void)
{
    if (one_in(50))
        return odd_handle(KIND_TENSOR);
    int i = (int)below(SEATS);
    if (atomic_load(&seats[i].handle))
        return seated(i);
    return brand_new(any_new_tensor());
}
/* dtype -1: any, -2: any float. */
static void *t_want(int32_t dtype, int ndim, const int64_t *sizes, int64_t limit)
{
    if (one_in(10))
        return t_any();
    uint64_t wanted = pack_shape(0, ndim, sizes);
    for (int try = 0; try < 4 && limit == 0; try++) {
        int i = (int)below(SEATS);
        uint64_t shape = atomic_load(&seats[i].shape);
        int32_t d = shape_dtype(shape);
        if (atomic_load(&seats[i].handle) && same_sizes(shape, wanted) &&
            (dtype == -1 || d == dtype || (dtype == -2 && is_float(d))))
            return seated(i);
    }
    if (dtype == -1)
        dtype = one_in(2) || me.tensors == 0 || shape_dtype(me.first) < 0 ? some_dtype() : shape_dtype(me.first);
    if (dtype == -2)
        dtype = me.tensors && is_float(shape_dtype(me.first)) && !one_in(8) ? shape_dtype(me.first) : TAPER_FLOAT32;
    return brand_new(make_tensor(dtype, ndim, sizes, limit));
}
static void *t_ndim(int32_t dtype, int ndim)
{
    for (int try = 0; try < 6; try++) {
        int i = (int)below(SEATS);
        uint64_t shape = atomic_load(&seats[i].shape);
        if (atomic_load(&seats[i].handle) && shape_ndim(shape) == ndim &&
            (dtype == -1 || shape_dtype(shape) == dtype || (dtype == -2 && is_float(shape_dtype(shape)))))
            return seated(i);
    }
    int64_t sizes[8];
    for (int i = 0; i < ndim; i++)
        sizes[i] = i < 2 ? 1 + below(4) : 2 + below(6);
    if (one_in(20))
        sizes[below(ndim ? ndim : 1)] = 0;
    return t_want(dtype, ndim, sizes, 0);
}
static void *t_like(int32_t dtype)
{
    int64_t sizes[6];
    if (me.tensors == 0)
        return t_any();
    for (int i = 0; i < shape_ndim(me.first); i++)
        sizes[i] = shape_size(me.first, i);
    return t_want(dtype, shape_ndim(me.first), sizes, 0);
}
static void *t_broadcast(int32_t dtype)
{
    int64_t sizes[6];
    int ndim = shape_ndim(me.first), from = 0;
    if (me.tensors == 0 || one_in(6))
        return t_any();
    if (one_in(2))
        return t_like(dtype);
    if (ndim && one_in(2))
        from = (int)below(ndim);
    for (int i = from; i < ndim; i++)
        sizes[i - from] = one_in(3) ? 1 : shape_size(me.first, i);
    return t_want(dtype, ndim - from, sizes, 0);
}
/* Indices into dimension `me.dim` of the first tensor. */
static int64_t index_limit(void)
{
    int64_t n = shape_size(me.first, (int)(me.dim < -8 || me.dim > 8 ? 0 : me.dim));
    return n < 1 ? 1 : n;
}
static void *t_index_like(void)
{
    int64_t sizes[6];
    for (int i = 0; i < shape_ndim(me.first); i++) {
        sizes[i] = shape_size(me.first, i);
        if (one_in(4))
            sizes[i] = below(sizes[i] + 1);
    }
    return t_want(TAPER_INT64, shape_ndim(me.first), sizes, index_limit());
}
static void *t_index(int64_t limit, int ndim)
{
    int64_t sizes[4];
    for (int i = 0; i < ndim; i++)
        sizes[i] = some_size();
    return t_want(one_in(6) ? TAPER_INT32 : TAPER_INT64, ndim, sizes, limit < 1 ? 1 : limit);
}

/* --- other handles --------------------------------------------------------------------------------------------------- */

static void *new_other(int kind)
{
    taper_tensor *t = NULL, *u = NULL, *one[2] = {NULL, NULL};
    void *h = NULL;
    int64_t two_three[] = {2, 3};
    switch (kind) {
        case KIND_TENSOR_LIST:
            one[0] = any_new_tensor();
            one[1] = any_new_tensor();
            taper_error_free(taper_tensor_list_new(one, 2, (taper_tensor_list **)&h));
            break;
        case KIND_ERROR: h = taper_error_new(TAPER_ERROR_VALUE, "mine", NULL, NULL); break;
        case KIND_STRING: taper_error_free(taper_string_new("text", (taper_string **)&h)); break;
        case KIND_MODULE:
            if (one_in(2))
                taper_error_free(taper_nn_linear_new(3, 2, true, (taper_module **)&h));
            else
                taper_error_free(taper_nn_sequential_new(NULL, 0, (taper_module **)&h));
            break;
        case KIND_OPTIMIZER:
            one[0] = make_tensor(TAPER_FLOAT32, 2, two_three, 0);
            if (one_in(2))
                taper_error_free(taper_optim_sgd_new(one, 1, NULL, (taper_optimizer **)&h));
            else
                taper_error_free(taper_optim_adam_new(one, 1, NULL, (taper_optimizer **)&h));
            break;
        case KIND_GENERATOR: taper_error_free(taper_generator_new((taper_generator **)&h)); break;
        case KIND_NODE:
            t = make_tensor(TAPER_FLOAT32, 2, two_three, 0);
            taper_error_free(taper_tensor_set_requires_grad(t, true));
            taper_error_free(taper_mul(t, t, &u));
            taper_error_free(taper_tensor_grad_fn(u, (taper_node **)&h));
            break;
        case KIND_NAMED_TENSORS:
            taper_error_free(taper_named_tensors_new((taper_named_tensors **)&h));
            t = make_tensor(TAPER_FLOAT32, 2, two_three, 0);
            taper_error_free(taper_named_tensors_insert(h, one_in(2) ? "weight" : "0.weight", t));
            break;
        case KIND_EVENT: taper_error_free(taper_event_new(usual_device(), true, (taper_event **)&h)); break;
        case KIND_SCHEDULE: {
            taper_optimizer *o = new_other(KIND_OPTIMIZER);
            taper_error_free(taper_schedule_step_lr_create(o, 2, NULL, (taper_schedule **)&h));
            taper_optimizer_free(o);
            break;
        }
        case KIND_FILE_WRITER: taper_error_free(taper_file_writer_begin("b", (taper_file_writer **)&h)); break;
        case KIND_CANCEL_TOKEN: taper_error_free(taper_cancel_token_new((taper_cancel_token **)&h)); break;
        case KIND_SUMMARY_WRITER:
            taper_error_free(taper_summary_writer_create("events", NULL, (taper_summary_writer **)&h));
            break;
        case KIND_PROGRESS: taper_error_free(taper_progress_create(10, NULL, (taper_progress **)&h)); break;
        case KIND_TENSOR_FILE: {
            taper_named_tensors *n = new_other(KIND_NAMED_TENSORS);
            static const char *const formats[] = {"safetensors", "pt", "npz", "npz_compressed", "npy"};
            taper_error_free(taper_named_tensors_save_as(n, "a", formats[below(5)]));
            taper_error_free(taper_tensor_file_open("a", false, (taper_tensor_file **)&h));
            taper_named_tensors_free(n);
            break;
        }
        case KIND_DATASET:
            one[0] = make_tensor(TAPER_FLOAT32, 2, two_three, 0);
            taper_error_free(taper_dataset_from_tensors(one, 1, (taper_dataset **)&h));
            break;
        case KIND_SAMPLER: taper_error_free(taper_sampler_random(2, one_in(2), NULL, NULL, (taper_sampler **)&h)); break;
        case KIND_DATA_LOADER: {
            taper_dataset *d = new_other(KIND_DATASET);
            taper_data_loader_options o = TAPER_DATA_LOADER_OPTIONS_INIT;
            o.num_workers = below(3), o.shuffle = (int32_t)below(2);
            taper_error_free(taper_data_loader_create(d, NULL, NULL, &o, NULL, NULL, (taper_data_loader **)&h));
            taper_dataset_free(d);
            break;
        }
        case KIND_BATCHES: {
            taper_data_loader *l = new_other(KIND_DATA_LOADER);
            taper_error_free(taper_data_loader_begin(l, (taper_batches **)&h));
            taper_data_loader_free(l);
            break;
        }
        default: break;
    }
    taper_tensor_free(t);
    taper_tensor_free(u);
    taper_tensor_free(one[0]);
    taper_tensor_free(one[1]);
    return h;
}
static void *h_other(int kind)
{
    if (one_in(40))
        return odd_handle(kind);
    int i = (int)below(OTHERS);
    void *h = atomic_load(&others[kind][i]);
    for (int n = 0; !h && n < OTHERS; n++)
        h = atomic_load(&others[kind][i = (i + 1) % OTHERS]);
    if (!h && (h = new_other(kind)))
        keep(kind, h);
    note(TAG_HANDLE, (uint64_t)(uintptr_t)h);
    if (options.trace)
        say(" %s%d", kind_names[kind], i);
    return h;
}
static void *h_optional(void *(*draw)(int), int kind)
{
    if (!one_in(2))
        return draw(kind);
    note(TAG_HANDLE, 0);
    if (options.trace)
        say(" NULL");
    return NULL;
}
static void *t_none(void)
{
    note(TAG_HANDLE, 0);
    if (options.trace)
        say(" NULL");
    me.tensors++;
    return NULL;
}
static void *handles(int kind, size_t *length, int usual)
{
    size_t n = usual >= 0 && !one_in(10) ? (size_t)usual : (size_t)below(4);
    void **values = scratch((n + 1) * sizeof *values);
    if (options.trace)
        say(" {");
    for (size_t i = 0; i < n; i++)
        values[i] = kind != KIND_TENSOR ? h_other(kind) : i && !one_in(4) ? t_like(-1) : one_in(30) ? t_none() : t_any();
    if (options.trace)
        say(" }");
    *length = n;
    if (one_in(60)) {
        if (one_in(2))
            *length = SIZE_MAX / 2;
        return NULL;
    }
    return values;
}

/* --- numbers --------------------------------------------------------------------------------------------------------- */

static int64_t extreme(void)
{
    static const int64_t values[] = {INT64_MAX, INT64_MIN, (int64_t)1 << 62, (int64_t)1 << 40, (int64_t)1 << 31, -((int64_t)1 << 31),
                                     ((int64_t)1 << 32) + 1, 1000, -1000, INT64_MAX - 1, INT64_MIN + 1, 65536};
#ifdef FUZZ_BLOCKS
    return values[below(2) ? below(4) : 7 + below(4)]; /* without a limit of memory nothing between ends soon */
#else
    return values[below(12)];
#endif
}
static int64_t noted_int(int64_t v)
{
    note(TAG_INT, (uint64_t)v);
    if (options.trace)
        say(" %" PRId64, v);
    return v;
}
/* Any number of this range, now and then one far outside. */
static int64_t i_range(int64_t low, int64_t high)
{
    return noted_int(one_in(60) ? extreme() : low + below(high - low + 1));
}
static int64_t i_dim(void)
{
    int n = me.tensors ? shape_ndim(me.first) : 3;
    me.dim = n ? below(2 * n) - n : below(2) - 1;
    if (one_in(25))
        me.dim = below(15) - 7;
    if (one_in(100))
        return noted_int(extreme());
    return noted_int(me.dim);
}
static const int64_t *i_optional(int64_t v)
{
    int64_t *p = scratch(sizeof *p);
    *p = v;
    return one_in(3) ? NULL : p;
}
enum { LIST_DIMS, LIST_SIZES, LIST_KERNEL, LIST_PAD, LIST_ANY, LIST_VIEW, LIST_EXPAND, LIST_STRIDES, LIST_ONES, LIST_TAIL };
static const int64_t *ints(int how, size_t *length, int usual)
{
    int64_t *v = scratch(16 * sizeof *v);
    int ndim = shape_ndim(me.first), n = usual > 0 && !one_in(12) ? (one_in(3) && how != LIST_SIZES ? 1 : usual) : (int)below(5);
    switch (how) {
        case LIST_DIMS: {
            n = ndim ? (int)below(ndim + 1) : 0;
            int start = ndim ? (int)below(ndim) : 0;
            for (int i = 0; i < n; i++)
                v[i] = (start + i) % ndim - (one_in(2) ? ndim : 0);
            if (usual == -2)
                n = ndim; /* a permutation */
            for (int i = 0; usual == -2 && i < n; i++)
                v[i] = (start + i) % ndim;
            break;
        }
        case LIST_SIZES:
            for (int i = 0; i < n; i++)
                v[i] = some_size();
            break;
        case LIST_KERNEL:
            for (int i = 0; i < n; i++)
                v[i] = 1 + below(3);
            break;
        case LIST_PAD:
            n = 2 * (int)below(ndim + 1);
            for (int i = 0; i < n; i++)
                v[i] = below(5) - 1;
            break;
        case LIST_VIEW:
            n = 1;
            v[0] = -1;
            if (ndim && one_in(2)) {
                int at = (int)below(2);
                n = 2;
                v[at] = shape_size(me.first, (int)below(ndim));
                v[1 - at] = -1;
            }
            break;
        case LIST_EXPAND:
            n = ndim + (int)below(2);
            for (int i = 0; i < n; i++)
                v[i] = i < n - ndim ? 1 + below(3) : one_in(3) ? -1 : shape_size(me.first, i - (n - ndim)) == 1 ? 1 + below(4) : shape_size(me.first, i - (n - ndim));
            break;
        case LIST_STRIDES:
            for (int i = 0; i < n; i++)
                v[i] = below(4);
            break;
        case LIST_ONES:
            for (int i = 0; i < n; i++)
                v[i] = below(2);
            break;
        case LIST_TAIL: /* the last sizes of the first tensor */
            n = ndim ? 1 + (int)below(ndim > 2 ? 2 : ndim) : 0;
            for (int i = 0; i < n; i++)
                v[i] = shape_size(me.first, ndim - n + i);
            break;
        default:
            for (int i = 0; i < n; i++)
                v[i] = below(8) - 2;
    }
    if (n && one_in(30))
        v[below(n)] = one_in(2) ? extreme() : below(6) - 2;
    if (one_in(60))
        n = (int)below(9);
    *length = (size_t)n;
    note(TAG_LENGTH, *length);
    for (int i = 0; i < n && i < 4; i++)
        note(TAG_INT, (uint64_t)v[i]);
    if (options.trace) {
        say(" [");
        for (int i = 0; i < n; i++)
            say("%s%" PRId64, i ? "," : "", v[i]);
        say("]");
    }
    if (one_in(80)) {
        *length = one_in(3) ? SIZE_MAX / 4 : one_in(2) ? 0 : 2;
        if (options.trace)
            say(" (NULL, %zu)", *length);
        return NULL;
    }
    int64_t *exact = scratch((size_t)n * sizeof *exact);
    memcpy(exact, v, (size_t)n * sizeof *exact);
    return exact;
}
static double f_any(void)
{
    static const double values[] = {0, 1, 0.5, -1, 1e-5, 0.1, 2, 3, -0.5, 0.9, 1, 0.5, 1e300, INFINITY, -INFINITY, NAN};
    double v = values[below(one_in(4) ? 16 : 12)];
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    note(TAG_FLOAT, bits);
    if (options.trace)
        say(" %g", v);
    return v;
}
static const double *f_optional(void)
{
    double *p = scratch(sizeof *p);
    *p = f_any();
    return one_in(3) ? NULL : p;
}
static const double *doubles(size_t *length)
{
    *length = (size_t)below(3);
    double *v = scratch(4 * sizeof *v);
    for (size_t i = 0; i < *length; i++)
        v[i] = f_any();
    return one_in(40) ? NULL : v;
}
static bool b_any(void)
{
    return noted_int(below(2)) == 1;
}
static const bool *b_optional(void)
{
    bool *p = scratch(sizeof *p);
    *p = below(2) == 1;
    return one_in(3) ? NULL : p;
}
static taper_scalar s_any(void)
{
    taper_scalar s = taper_scalar_i64(below(6) - 2);
    if (one_in(2))
        s = taper_scalar_f64((double)below(9) * 0.5 - 1);
    else if (one_in(8))
        s = taper_scalar_bool(one_in(2));
    if (one_in(20)) {
        s.kind = one_in(4) ? (int32_t)below(200) - 100 : (int32_t)below(3);
        s.i = extreme();
        s.f = one_in(2) ? 1e300 : one_in(2) ? NAN : INFINITY;
    }
    note(TAG_SCALAR, (uint64_t)(s.kind == TAPER_SCALAR_FLOAT ? (int64_t)(s.f < 1e18 && s.f > -1e18 ? s.f : 0) : s.i));
    if (options.trace)
        say(s.kind == TAPER_SCALAR_FLOAT ? " f:%g" : " i:%g", s.kind == TAPER_SCALAR_FLOAT ? s.f : (double)s.i);
    return s;
}
static const taper_scalar *s_optional(void)
{
    taper_scalar *p = scratch(sizeof *p);
    *p = s_any();
    return one_in(3) ? NULL : p;
}
static int32_t c_dtype(void)
{
    static const int32_t bad[] = {INT32_MIN, INT32_MAX, -2, 8, 99};
    return (int32_t)noted_int(one_in(40) ? bad[below(5)] : one_in(2) ? -1 : some_dtype());
}
static int32_t c_any(void)
{
    return (int32_t)noted_int(one_in(10) ? (int32_t)random64() : (int32_t)below(7) - 1);
}
static taper_device d_any(void)
{
    taper_device d = one_in(2) ? TAPER_DEVICE_NONE : usual_device();
    if (one_in(60))
        d.type = (int32_t)below(20) - 2;
    if (one_in(60))
        d.index = one_in(2) ? (int32_t)random64() : 1;
    note(TAG_DEVICE, (uint64_t)(uint32_t)d.type << 32 | (uint32_t)d.index);
    if (options.trace)
        say(" device(%d,%d)", (int)d.type, (int)d.index);
    return d;
}
static const taper_index_item *items(size_t *length)
{
    int ndim = shape_ndim(me.first);
    size_t n = (size_t)below(ndim + 2);
    taper_index_item *v = scratch((n + 1) * sizeof *v);
    if (options.trace)
        say(" items[");
    for (size_t i = 0; i < n; i++) {
        int64_t size = shape_size(me.first, (int)i);
        v[i].kind = one_in(50) ? (int32_t)random64() : (int32_t)below(6);
        v[i].start = one_in(30) ? extreme() : one_in(3) ? TAPER_INDEX_ABSENT : size ? below(2 * size) - size : 0;
        v[i].stop = one_in(30) ? extreme() : one_in(3) ? TAPER_INDEX_ABSENT : below(2 * size + 1) - size;
        v[i].step = one_in(30) ? extreme() : one_in(3) ? 1 + below(3) : 1;
        if (v[i].kind == TAPER_INDEX_INT && v[i].start == TAPER_INDEX_ABSENT && !one_in(10))
            v[i].start = 0;
        if (v[i].kind == TAPER_INDEX_BOOL)
            v[i].start = below(2);
        if (options.trace)
            say(" %d(%" PRId64 ",%" PRId64 ",%" PRId64 ")", (int)v[i].kind, v[i].start, v[i].stop, v[i].step);
        if (v[i].kind == TAPER_INDEX_TENSOR) {
            me.dim = (int64_t)i;
            v[i].tensor = one_in(3) ? t_any() : t_index(size, (int)below(3));
        }
    }
    if (options.trace)
        say(" ]");
    *length = n;
    note(TAG_LENGTH, n);
    if (one_in(60)) {
        *length = one_in(2) ? SIZE_MAX / 64 : 1;
        return NULL;
    }
    return v;
}

#endif
