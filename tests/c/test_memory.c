/* Nothing leaks: scopes, loops, DLPack; many threads at once. */
#include "harness.h"

#include <pthread.h>

static void scopes(void)
{
    float v[2] = {1, 2};
    taper_tensor *a, *b = NULL, *kept = NULL, *freed = NULL;
    taper_string *s = NULL;
    uint64_t before = taper_handle_count();
    taper_scope_begin();
    a = floats(v, 2, 0);
    OK(taper_mul(a, a, &b));
    OK(taper_mul(b, b, &kept));
    OK(taper_mul(b, b, &freed));
    CHECK(taper_tensor_free(freed));
    OK(taper_tensor_to_string(a, &s));
    OK(taper_scope_keep(kept));
    OK(taper_scope_end());
    CHECK_INT(taper_tensor_ndim(a), -1);
    CHECK_INT(taper_tensor_ndim(b), -1);
    CHECK(taper_string_data(s) == NULL);
    CHECK(at(kept, 1) == 16);
    CHECK(taper_tensor_free(kept));
    CHECK_INT(taper_handle_count(), before);

    /* Kept in an inner scope: it lives until the outer one ends. */
    taper_scope_begin();
    taper_scope_begin();
    a = floats(v, 2, 0);
    OK(taper_scope_keep(a));
    OK(taper_scope_end());
    CHECK_INT(taper_tensor_ndim(a), 1);
    OK(taper_scope_end());
    CHECK_INT(taper_tensor_ndim(a), -1);
    FAILS(taper_scope_end(), TAPER_ERROR_RUNTIME, "without taper_scope_begin");
    FAILS(taper_scope_keep(a), TAPER_ERROR_INVALID_HANDLE, "has been freed");
    a = floats(v, 2, 0);
    OK(taper_scope_keep(a));
    CHECK(taper_tensor_free(a));
    CHECK_INT(taper_handle_count(), before);
}

/* Fits y = w x to y = 3 x by gradient descent, freeing through scopes only. */
static taper_error *train(int steps, double *loss)
{
    float xs[4] = {1, 2, 3, 4}, ys[4] = {3, 6, 9, 12}, w0[1] = {0};
    taper_tensor *w = floats(w0, 1, 0), *x = floats(xs, 4, 0), *y = floats(ys, 4, 0);
    TAPER_TRY(taper_tensor_set_requires_grad(w, true));
    for (int i = 0; i < steps; i++) {
        taper_tensor *p, *d, *sq, *l, *g, *step;
        taper_scope_begin();
        TAPER_TRY(taper_mul(x, w, &p));
        TAPER_TRY(taper_sub(p, y, taper_scalar_i64(1), &d));
        TAPER_TRY(taper_mul(d, d, &sq));
        TAPER_TRY(taper_sum(sq, TAPER_DTYPE_NONE, &l));
        TAPER_TRY(taper_tensor_set_grad(w, NULL));
        TAPER_TRY(taper_backward(&l, 1, NULL, 0, false, false, NULL, 0));
        TAPER_TRY(taper_tensor_grad(w, &g));
        bool was = taper_set_grad_mode(false);
        TAPER_TRY(taper_mul_scalar(g, taper_scalar_f64(0.01), &step));
        TAPER_TRY(taper_sub_(w, step, taper_scalar_i64(1)));
        taper_set_grad_mode(was);
        *loss = item(l);
        TAPER_TRY(taper_scope_end());
    }
    CHECK(fabs(at(w, 0) - 3) < 1e-4);
    CHECK(taper_tensor_free(w) && taper_tensor_free(x) && taper_tensor_free(y));
    return NULL;
}

static void loops(void)
{
    taper_memory_info before, after;
    double loss = 1;
    uint64_t handles = taper_handle_count();
    OK(train(100, &loss));
    CHECK(loss < 1e-6);
    OK(taper_memory_stats(TAPER_CPU, &before));
    OK(train(2000, &loss));
    OK(taper_memory_stats(TAPER_CPU, &after));
    CHECK_INT(taper_handle_count(), handles);
    CHECK_INT(after.allocated, before.allocated);
    CHECK(after.reserved <= before.reserved + 65536);
}

/* As in <dlpack/dlpack.h>. */
typedef struct {
    void *data;
    struct {
        int32_t device_type, device_id;
    } device;
    int32_t ndim;
    struct {
        uint8_t code, bits;
        uint16_t lanes;
    } dtype;
    int64_t *shape, *strides;
    uint64_t byte_offset;
} dl_tensor;
typedef struct DLManagedTensor {
    dl_tensor t;
    void *ctx;
    void (*deleter)(struct DLManagedTensor *);
} DLManagedTensor;
typedef struct DLManagedTensorVersioned {
    struct {
        uint32_t major, minor;
    } version;
    void *ctx;
    void (*deleter)(struct DLManagedTensorVersioned *);
    uint64_t flags;
    dl_tensor t;
} DLManagedTensorVersioned;

static int deleted;
static void delete_new(DLManagedTensorVersioned *d)
{
    (void)d;
    deleted++;
}
static void delete_old(DLManagedTensor *d)
{
    (void)d;
    deleted++;
}

static void dlpack(void)
{
    float v[6] = {1, 2, 3, 4, 5, 6};
    taper_tensor *a = floats(v, 2, 3), *b = NULL;
    DLManagedTensorVersioned *d = NULL;
    DLManagedTensor *old = NULL;
    void *data = NULL;
    OK(taper_tensor_to_dlpack(a, &d));
    OK(taper_tensor_data(a, &data));
    CHECK(d->version.major == 1 && d->t.data == data && d->t.ndim == 2 && d->t.shape[1] == 3 && d->t.strides[0] == 3);
    CHECK(d->t.dtype.code == 2 && d->t.dtype.bits == 32 && d->t.dtype.lanes == 1 && d->t.device.device_type == 1);
    /* The export keeps the memory, also without the tensor; imported again it is the same memory. */
    CHECK(taper_tensor_free(a));
    ((float *)d->t.data)[0] = 100;
    OK(taper_tensor_from_dlpack(d, &b));
    CHECK(at(b, 0) == 100 && at(b, 5) == 6);
    OK(taper_tensor_to_dlpack_legacy(b, &old));
    CHECK(taper_tensor_free(b));
    OK(taper_tensor_from_dlpack_legacy(old, &b));
    CHECK(at(b, 0) == 100);
    OK(taper_tensor_to_dlpack_legacy(b, &old));
    old->deleter(old);
    OK(taper_tensor_set_requires_grad(b, true));
    FAILS(taper_tensor_to_dlpack(b, &d), TAPER_ERROR_RUNTIME, "Can't export tensors that require gradient, use tensor.detach()");
    CHECK(d == NULL);
    CHECK(taper_tensor_free(b));

    int64_t shape[1] = {3}, strides[1] = {2};
    DLManagedTensorVersioned mine;
    memset(&mine, 0, sizeof mine);
    mine.version.major = 1;
    mine.deleter = delete_new;
    mine.t.data = v;
    mine.t.device.device_type = 1;
    mine.t.ndim = 1;
    mine.t.dtype.code = 2;
    mine.t.dtype.bits = 32;
    mine.t.dtype.lanes = 1;
    mine.t.shape = shape;
    mine.t.strides = strides;
    OK(taper_tensor_from_dlpack(&mine, &a));
    CHECK(at(a, 0) == 1 && at(a, 2) == 5);
    CHECK_INT(deleted, 0);
    CHECK(taper_tensor_free(a));
    CHECK_INT(deleted, 1);
    mine.flags = 1; /* read-only: copied at once */
    OK(taper_tensor_from_dlpack(&mine, &a));
    CHECK_INT(deleted, 2);
    v[0] = -1;
    CHECK(at(a, 0) == 1);
    CHECK(taper_tensor_free(a));
    mine.flags = 0;
    mine.t.byte_offset = 4;
    OK(taper_tensor_from_dlpack(&mine, &a));
    CHECK(at(a, 0) == 2);
    CHECK(taper_tensor_free(a));
    deleted = 0;
    mine.t.byte_offset = UINT64_MAX; /* would be the byte before the memory */
    FAILS(taper_tensor_from_dlpack(&mine, &a), TAPER_ERROR_VALUE, "leads out of memory");
    mine.t.byte_offset = 0;
    mine.t.dtype.lanes = 4;
    FAILS(taper_tensor_from_dlpack(&mine, &a), TAPER_ERROR_TYPE, "4 lanes");
    mine.t.dtype.lanes = 1;
    mine.t.device.device_type = 7; /* Vulkan */
    FAILS(taper_tensor_from_dlpack(&mine, &a), TAPER_ERROR_RUNTIME, "device type 7");
    mine.t.device.device_type = 1;
    strides[0] = -1;
    FAILS(taper_tensor_from_dlpack(&mine, &a), TAPER_ERROR_VALUE, "negative strides");
    strides[0] = 1;
    shape[0] = -4;
    FAILS(taper_tensor_from_dlpack(&mine, &a), TAPER_ERROR_RUNTIME, "-4");
    shape[0] = 2;
    mine.version.major = 2;
    FAILS(taper_tensor_from_dlpack(&mine, &a), TAPER_ERROR_RUNTIME, "DLPack version 2.0");
    mine.version.major = 1;
    FAILS(taper_tensor_from_dlpack(&mine, NULL), TAPER_ERROR_VALUE, "place to go");
    CHECK_INT(deleted, 7);
    FAILS(taper_tensor_from_dlpack(NULL, &a), TAPER_ERROR_VALUE, "NULL");
    DLManagedTensor legacy;
    memset(&legacy, 0, sizeof legacy);
    legacy.t = mine.t;
    legacy.t.strides = NULL; /* row-major */
    legacy.deleter = delete_old;
    OK(taper_tensor_from_dlpack_legacy(&legacy, &a));
    CHECK(taper_tensor_free(a));
    CHECK_INT(deleted, 8);
}

/* Threads: handles made here and freed there; everybody frees the same handle; grad mode is per thread. */
enum { THREADS = 4, ROUNDS = 200 };
static taper_tensor *shared[ROUNDS];
static int freed_by[THREADS];

static void *worker(void *arg)
{
    int me = (int)(intptr_t)arg;
    float v[2] = {1, 1};
    if (!taper_grad_mode_enabled())
        return "grad mode leaked into another thread";
    for (int i = 0; i < ROUNDS; i++) {
        int64_t two = 2;
        taper_tensor *mine = NULL, *sum = NULL;
        if (taper_tensor_from_data(v, &two, 1, TAPER_FLOAT32, TAPER_CPU, &mine))
            return "from_data";
        taper_error *e = taper_add(shared[i], mine, taper_scalar_i64(1), &sum);
        if (e) {
            if (taper_error_code(e) != TAPER_ERROR_INVALID_HANDLE)
                return "an error that is not about the handle";
            taper_error_free(e);
        } else {
            float x[2] = {0, 0};
            e = taper_tensor_copy_to_host(sum, x, sizeof x);
            if (e || x[0] != (float)i + 1)
                return "a wrong value";
        }
        taper_tensor_free(sum);
        taper_tensor_free(mine);
        freed_by[me] += taper_tensor_free(shared[i]);
    }
    return NULL;
}

static void threads(void)
{
    pthread_t t[THREADS];
    uint64_t before = taper_handle_count();
    int total = 0;
    for (int i = 0; i < ROUNDS; i++) {
        float v[2];
        v[0] = v[1] = (float)i;
        shared[i] = floats(v, 2, 0);
    }
    taper_set_grad_mode(false);
    for (int i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&t[i], NULL, worker, (void *)(intptr_t)i), 0);
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;
        CHECK_INT(pthread_join(t[i], &result), 0);
        if (result)
            fprintf(stderr, "thread %d: %s\n", i, (const char *)result);
        CHECK(result == NULL);
        total += freed_by[i];
    }
    taper_set_grad_mode(true);
    CHECK_INT(total, ROUNDS);
    CHECK_INT(taper_handle_count(), before);
}

/* _free while a thread ends and while the process exits. */
static pthread_key_t key;
static void at_thread_exit(void *t)
{
    CHECK(taper_tensor_free((taper_tensor *)t));
}
static void *ending(void *arg)
{
    float v[1] = {1};
    (void)arg;
    pthread_setspecific(key, floats(v, 1, 0));
    return NULL;
}
static taper_tensor *last;
static void at_process_exit(void)
{
    float v[1] = {1};
    taper_tensor *t = floats(v, 1, 0), *u = NULL;
    if (taper_add(t, last, taper_scalar_i64(1), &u) || !taper_tensor_free(u) || !taper_tensor_free(t) || !taper_tensor_free(last)) {
        fprintf(stderr, "free at exit failed\n");
        _Exit(1);
    }
}
static void endings(void)
{
    pthread_t t;
    CHECK_INT(pthread_key_create(&key, at_thread_exit), 0);
    CHECK_INT(pthread_create(&t, NULL, ending, NULL), 0);
    CHECK_INT(pthread_join(t, NULL), 0);
    CHECK_INT(pthread_key_delete(key), 0);
}

/* Scopes that a thread leaves open go with it: in whichever order its destructors run, and with a callback that makes
   and frees things then. */
static void *leaves_scopes(void *arg)
{
    float v[2] = {1, 2};
    taper_tensor *t = NULL, *u = NULL;
    taper_tensor_list *l = NULL;
    taper_string *s = NULL;
    if (arg)
        pthread_setspecific(key, floats(v, 1, 0));
    taper_scope_begin();
    t = floats(v, 2, 0);
    OK(taper_tensor_set_requires_grad(t, true));
    OK(taper_mul(t, t, &u));
    taper_scope_begin();
    OK(taper_unbind(u, 0, &l));
    OK(taper_tensor_to_string(u, &s));
    OK(taper_mul(u, u, &t));
    return NULL;
}
static void open_scopes(void)
{
    uint64_t before = taper_handle_count();
    pthread_t t;
    CHECK_INT(pthread_key_create(&key, at_thread_exit), 0);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(pthread_create(&t, NULL, leaves_scopes, (void *)(intptr_t)(i % 2)), 0);
        CHECK_INT(pthread_join(t, NULL), 0);
    }
    CHECK_INT(pthread_key_delete(key), 0);
    CHECK_INT(taper_handle_count(), before);
    /* Another thread's end does not touch this one's scope. */
    float v[1] = {3};
    taper_scope_begin();
    taper_tensor *mine = floats(v, 1, 0);
    CHECK_INT(pthread_create(&t, NULL, leaves_scopes, NULL), 0);
    CHECK_INT(pthread_join(t, NULL), 0);
    CHECK(at(mine, 0) == 3);
    OK(taper_scope_end());
    CHECK_INT(taper_handle_count(), before);
}

static size_t resident(void)
{
    long all = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f) {
        if (fscanf(f, "%ld %ld", &all, &pages) != 2)
            pages = 0;
        fclose(f);
    }
    return (size_t)pages * 4096;
}
/* Varied shapes, gradients of gradients, errors: memory stays where it was. */
static void flat_round(int i)
{
    int64_t sizes[] = {8 + i % 5, 2, 9 + i % 7, 9}, kernel[] = {3, 3};
    taper_module *m = NULL;
    taper_tensor *x = NULL, *y = NULL, *none = NULL;
    taper_scope_begin();
    OK(taper_nn_conv2d_new(2, 4, kernel, 2, NULL, &m));
    OK(taper_randn(sizes, 4, NULL, TAPER_FLOAT32, TAPER_CPU, &x));
    OK(taper_tensor_set_requires_grad(x, true));
    OK(taper_module_forward(m, &x, 1, &y));
    OK(taper_mul(y, y, &y));
    OK(taper_sum(y, TAPER_DTYPE_NONE, &y));
    /* The gradient's graph holds x and x the gradient, until that is taken away, as in PyTorch. */
    OK(taper_backward(&y, 1, NULL, 0, true, true, NULL, 0));
    OK(taper_tensor_set_grad(x, NULL));
    OK(taper_module_zero_grad(m, true));
    FAILS(taper_module_forward(m, &y, 1, &none), TAPER_ERROR_RUNTIME, "Expected");
    OK(taper_scope_end());
    taper_module_free(m);
}
static void flat(void)
{
    const char *rounds = getenv("TAPER_TEST_ROUNDS"); /* few under valgrind */
    int n = rounds ? atoi(rounds) : 400;
    uint64_t handles = taper_handle_count();
    taper_memory_info info = {0}, later = {0};

    for (int i = 0; i < 40 && i < 4 * n; i++)
        flat_round(i);
    OK(taper_memory_stats(TAPER_CPU, &info));
    size_t before = resident();
    for (int i = 0; i < n; i++)
        flat_round(i);
    OK(taper_memory_stats(TAPER_CPU, &later));
    CHECK(later.allocated <= info.allocated + (1 << 16));
    CHECK_INT(taper_handle_count(), handles);
    if (!getenv("TAPER_ALLOCATOR")) { /* AddressSanitizer and valgrind keep what is freed */
        size_t after = resident();
        if (after > before + (6 << 20))
            fprintf(stderr, "resident: %zu, then %zu\n", before, after);
        CHECK(after <= before + (6 << 20));
        /* A large phase that is over goes back when it is asked to. */
        int64_t large[] = {12 << 20};
        taper_scope_begin();
        for (int i = 0; i < 4; i++) {
            taper_tensor *t = NULL;
            OK(taper_ones(large, 1, TAPER_FLOAT32, TAPER_CPU, &t));
        }
        OK(taper_scope_end());
        OK(taper_memory_empty_cache(TAPER_CPU));
        CHECK(resident() <= after + (8 << 20));
    }
}

int main(void)
{
    scopes();
    loops();
    dlpack();
    threads();
    endings();
    open_scopes();
    flat();
    int status = finish("memory");
    float v[1] = {1};
    last = floats(v, 1, 0);
    atexit(at_process_exit);
    return status;
}
