/*
 * Draws arguments of every kind for tests/c/test_arguments.c: valid ones, NULL, freed, foreign and wrong-kind handles,
 * codes that do not exist, sizes that overflow. What is drawn follows from the seed alone.
 */
#include "harness.h"

enum {
    KIND_TENSOR,
    KIND_TENSOR_LIST,
    KIND_ERROR,
    KIND_STRING,
    KIND_MODULE,
    KIND_OPTIMIZER,
    KIND_GENERATOR,
    KIND_NODE,
    KIND_NAMED_TENSORS,
    KIND_FUNCTION_CTX,
    KIND_GRAPH,
    KIND_EVENT,
    KIND_FILE_WRITER,
    KIND_SCHEDULE,
    KIND_CANCEL_TOKEN,
    KIND_SUMMARY_WRITER,
    KIND_PROGRESS,
    KIND_TENSOR_FILE,
    KIND_DATASET,
    KIND_SAMPLER,
    KIND_DATA_LOADER,
    KIND_BATCHES,
    KINDS
};

static uint64_t random_state;
static int64_t pick_below(int64_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((random_state >> 33) % (uint64_t)n);
}
/* With level 0 every argument is zero, with 1 most are valid, with 2 few are. */
static int level;
static bool pick_bad(void)
{
    return level == 0 || pick_below(level == 1 ? 12 : 2) == 0;
}

enum { POOL = 10 };
static void *pool[KINDS][POOL];
static int pool_size[KINDS];
static void *freed_tensor;

static int64_t pick_int(void)
{
    static const int64_t good[] = {0, 1, 1, 2, 2, 3, -1, -2, 5, 8}, bad[] = {INT64_MAX, INT64_MIN, -7, (int64_t)1 << 46, INT64_MAX / 2};
    if (level == 0)
        return 0;
    return pick_bad() ? bad[pick_below(5)] : good[pick_below(10)];
}
static int32_t pick_code(void)
{
    static const int32_t good[] = {-1, 6, 6, 7, 4, 11, 5, 15, 0, 3}, bad[] = {INT32_MIN, INT32_MAX, -2, 8, 99};
    if (level == 0)
        return 0;
    return pick_bad() ? bad[pick_below(5)] : good[pick_below(10)];
}
static double pick_double(void)
{
    static const double values[] = {0, 1, 0.5, -1, 1e-5, 1e300, INFINITY, -INFINITY, NAN, 2};
    return level == 0 ? 0 : values[pick_below(10)];
}
static taper_scalar pick_scalar(void)
{
    taper_scalar s = taper_scalar_i64(0);
    if (level == 0)
        return s;
    s.kind = pick_bad() ? pick_code() : (int32_t)pick_below(3);
    s.i = pick_int();
    s.f = pick_double();
    return s;
}
static taper_device pick_device(void)
{
    taper_device d = {0, 0};
    if (level != 0 && pick_bad()) {
        d.type = pick_code();
        d.index = (int32_t)pick_int();
    } else if (level != 0)
        d.type = (int32_t)pick_below(2);
    return d;
}
enum { STRINGS = 11 };
static const char *const strings[STRINGS] = {"", "x", "mean", "none", "sum", "relu", "no/such/folder/file", "reflect", "weight", "\xff\xfe", "0.weight"};
static const char *pick_string(void)
{
    return pick_bad() ? NULL : strings[pick_below(STRINGS)];
}
static void *pick_handle(int kind)
{
    static int on_stack;
    if (!pick_bad() && pool_size[kind])
        return pool[kind][pick_below(pool_size[kind])];
    if (level == 0)
        return NULL;
    switch (pick_below(5)) {
        case 0: return NULL;
        case 1: return freed_tensor;
        case 2: return &on_stack;
        case 3: return (void *)(uintptr_t)pick_int();
        default: {
            int other = (int)pick_below(KINDS);
            return pool_size[other] ? pool[other][0] : NULL;
        }
    }
}
/* Results go to places that hold NULL before, so that whatever stands there afterwards is ours to free. */
static struct {
    void *handle;
    char room_for_structs[56];
} outs[4];
static int outs_used;
static void *pick_out(void)
{
    if (level == 0 || (pick_bad() && pick_below(4) == 0) || outs_used == 4)
        return NULL;
    outs[outs_used].handle = NULL;
    return &outs[outs_used++];
}
/* A tensor that a call made only to be freed. */
static taper_tensor *back;
static void take_back(taper_error *e)
{
    taper_error_free(e);
    taper_tensor_free(back);
    back = NULL;
}
static void *pick_handles(int kind, size_t *length)
{
    static void *values[4];
    if (level == 0)
        return NULL;
    *length = (size_t)pick_below(4);
    for (size_t i = 0; i < *length; i++)
        values[i] = pick_handle(kind);
    if (pick_bad()) {
        if (pick_below(2))
            *length = SIZE_MAX / 2;
        return NULL;
    }
    return values;
}
static const int64_t *pick_ints(size_t *length, bool small)
{
    static int64_t values[4][6];
    static int next;
    int64_t *v = values[next++ % 4];
    if (level == 0)
        return NULL;
    *length = (size_t)pick_below(small ? 4 : 6);
    for (size_t i = 0; i < *length; i++)
        v[i] = small ? pick_below(5) - 1 : pick_int();
    if (pick_bad()) {
        if (pick_below(2))
            *length = SIZE_MAX / 4;
        return NULL;
    }
    return v;
}
static const double *pick_doubles(size_t *length)
{
    static double values[4][6];
    static int next;
    double *v = values[next++ % 4];
    if (level == 0)
        return NULL;
    *length = (size_t)pick_below(4);
    for (size_t i = 0; i < *length; i++)
        v[i] = pick_double();
    if (pick_bad()) {
        if (pick_below(2))
            *length = SIZE_MAX / 4;
        return NULL;
    }
    return v;
}
static const int64_t *pick_optional_int64(void)
{
    static int64_t values[4];
    static int next;
    int64_t *v = &values[next++ % 4];
    *v = pick_int();
    return pick_bad() ? NULL : v;
}
static const int64_t *pick_strides(void)
{
    static int64_t values[4];
    for (int i = 0; i < 4; i++)
        values[i] = pick_bad() ? pick_int() : pick_below(4);
    return pick_bad() ? NULL : values;
}
static const double *pick_optional_double(void)
{
    static double v;
    v = pick_double();
    return pick_bad() ? NULL : &v;
}
static const bool *pick_optional_bool(void)
{
    static bool v;
    v = pick_below(2) == 1;
    return pick_bad() ? NULL : &v;
}
static const taper_scalar *pick_optional_scalar(void)
{
    static taper_scalar values[4];
    static int next;
    taper_scalar *v = &values[next++ % 4];
    *v = pick_scalar();
    return pick_bad() ? NULL : v;
}
static const taper_index_item *pick_items(size_t *length)
{
    static taper_index_item values[5];
    if (level == 0)
        return NULL;
    *length = (size_t)pick_below(6);
    for (size_t i = 0; i < *length; i++) {
        values[i].kind = pick_bad() ? pick_code() : (int32_t)pick_below(6);
        values[i].start = pick_below(3) ? pick_int() : TAPER_INDEX_ABSENT;
        values[i].stop = pick_below(3) ? pick_int() : TAPER_INDEX_ABSENT;
        values[i].step = pick_below(3) ? 1 : pick_int();
        values[i].tensor = pick_handle(KIND_TENSOR);
    }
    if (pick_bad()) {
        *length = pick_below(2) ? SIZE_MAX / 64 : 1;
        return NULL;
    }
    return values;
}
/* Options and callbacks: all zero but for struct_size, which is right, 0, short, long or absurd. */
static void *pick_struct(size_t size)
{
    static size_t memory[8192 + 1];
    memset(memory, 0, sizeof memory);
    if (level == 0)
        return NULL;
    switch (pick_below(7)) {
        case 0: return NULL;
        case 1: memory[0] = 0; break;
        case 2: memory[0] = size - 8; break;
        case 3: memory[0] = size + 8; break;
        case 4: memory[0] = SIZE_MAX; break;
        case 5: memory[0] = size + 64, memory[size / sizeof(size_t) + 1] = 1; break;
        default: memory[0] = size; break;
    }
    return memory;
}
static uint64_t buffer[1024];
static void *pick_buffer(size_t *length, size_t element)
{
    if (level == 0)
        return NULL;
    *length = (size_t)pick_below((int64_t)(sizeof buffer / element));
    if (pick_below(2))
        *length = (size_t)pick_below(65);
    return pick_bad() ? NULL : buffer;
}
static void *pick_data(void)
{
    return pick_bad() ? NULL : buffer;
}

/* Every error must be one that a user can read, and none may be a panic. */
static const char *current;
static uint64_t current_seed;
static long made_calls, failed_calls;
static void check(taper_error *e)
{
    made_calls++;
    if (!e)
        return;
    failed_calls++;
    const char *message = taper_error_message(e);
    int32_t code = taper_error_code(e);
    checks_made++;
    if (code < TAPER_ERROR_RUNTIME || code > TAPER_ERROR_KEY || code == TAPER_ERROR_INTERNAL || !message || !message[0]) {
        checks_failed++;
        fprintf(stderr, "%s, seed %" PRIu64 ", level %d: code %d: %s\n", current, current_seed, level, (int)code,
                message ? message : "(no message)");
    }
    taper_error_free(e);
}
