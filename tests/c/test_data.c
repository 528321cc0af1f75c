/* Data sets, samplers, loaders: orders are PyTorch's (tests/fixtures/samplers.txt), batches the same whatever threads, callbacks
 * that fail name the sample, and everything is freed. */
#include "harness.h"

static int dropped;
static void drop(void *user)
{
    (void)user;
    __atomic_fetch_add(&dropped, 1, __ATOMIC_SEQ_CST);
}
static taper_dataset *rows(int64_t n)
{
    taper_tensor *t = NULL;
    taper_dataset *d = NULL;
    int64_t values[64];
    for (int64_t i = 0; i < n; i++)
        values[i] = i;
    OK(taper_tensor_from_data(values, &n, 1, TAPER_INT64, TAPER_CPU, &t));
    OK(taper_dataset_from_tensors(&t, 1, &d));
    taper_tensor_free(t);
    return d;
}
static taper_data_loader *loader(taper_dataset *d, taper_sampler *s, int64_t batch_size, int64_t workers, int32_t shuffle)
{
    taper_data_loader *l = NULL;
    taper_data_loader_options o = TAPER_DATA_LOADER_OPTIONS_INIT;
    o.batch_size = batch_size;
    o.num_workers = workers;
    o.shuffle = shuffle;
    OK(taper_data_loader_create(d, s, NULL, &o, NULL, NULL, &l));
    return l;
}
/* The int64 elements of tensor k of a list, which is freed. */
static size_t take(taper_tensor_list *list, size_t k, int64_t *to)
{
    taper_tensor *t = NULL;
    OK(taper_tensor_list_get(list, k, &t));
    const size_t n = (size_t)taper_tensor_numel(t);
    OK(taper_tensor_copy_to_host(t, to, n * sizeof *to));
    taper_tensor_free(t);
    taper_tensor_list_free(list);
    return n;
}
/* All batches of a pass, which is freed, with -1 behind each. */
static size_t read_all(taper_batches *b, int64_t *to)
{
    size_t n = 0;
    for (;;) {
        taper_tensor_list *list = NULL;
        OK(taper_batches_next(b, &list));
        if (!list)
            break;
        n += take(list, 0, to + n);
        to[n++] = -1;
    }
    CHECK(taper_batches_free(b));
    return n;
}
static void check_order(const char *line, const int64_t *got, size_t n)
{
    char text[1024];
    size_t used = 0;
    for (size_t i = 0; i < n; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%" PRId64 " ", got[i]);
    const char *end = strchr(line, '|');
    CHECK(end && used == (size_t)(end - line) && memcmp(line, text, used) == 0);
}

static void orders(void)
{
    char line[1024];
    FILE *f = fopen("tests/fixtures/samplers.txt", "r");
    int found = 0;
    if (!f) {
        fprintf(stderr, "tests/fixtures/samplers.txt cannot be read\n");
        exit(1);
    }
    while (fgets(line, sizeof line, f)) {
        int64_t got[256];
        char *order = strstr(line, ": ");
        taper_sampler *s = NULL;
        taper_tensor *t = NULL;
        CHECK(order != NULL);
        *order = 0;
        order += 2;
        taper_manual_seed(7);
        if (strcmp(line, "random default") == 0)
            OK(taper_sampler_random(10, false, NULL, NULL, &s));
        else if (strcmp(line, "replacement default") == 0)
            OK(taper_sampler_random(10, true, NULL, NULL, &s));
        else if (strcmp(line, "weighted own") == 0) {
            const double weights[] = {0.1, 0.9, 0.4, 0.7, 3.0, 0.6};
            taper_generator *g = NULL;
            OK(taper_generator_new(&g));
            OK(taper_generator_manual_seed(g, 11));
            OK(taper_sampler_weighted(weights, 6, 9, true, g, &s));
            taper_generator_free(g);
        } else if (strcmp(line, "distributed.epoch default") == 0) {
            OK(taper_sampler_distributed(10, 3, 2, true, 3, false, &s));
            OK(taper_sampler_set_epoch(s, 5));
        } else if (strcmp(line, "loader default") == 0) {
            for (int64_t workers = 0; workers < 3; workers++) {
                taper_dataset *d = rows(10);
                taper_data_loader *l = loader(d, NULL, 4, workers, 1);
                taper_batches *b = NULL;
                int64_t n = 0;
                OK(taper_data_loader_len(l, &n));
                CHECK_INT(n, 3);
                taper_manual_seed(7);
                OK(taper_data_loader_begin(l, &b));
                check_order(order, got, read_all(b, got));
                CHECK(taper_data_loader_free(l) && taper_dataset_free(d));
            }
            found++;
            continue;
        } else
            continue;
        found++;
        OK(taper_sampler_draw(s, &t));
        CHECK_INT(taper_tensor_numel(t), taper_sampler_len(s));
        OK(taper_tensor_copy_to_host(t, got, (size_t)taper_tensor_numel(t) * sizeof *got));
        check_order(order, got, (size_t)taper_tensor_numel(t));
        taper_tensor_free(t);
        CHECK(taper_sampler_free(s));
    }
    fclose(f);
    CHECK_INT(found, 5);
}

/* ---- data sets of the program's own -------------------------------------------------------------------------------- */

static taper_error *length(void *user, int64_t *out)
{
    *out = *(const int64_t *)user;
    return NULL;
}
static taper_error *sample(void *user, int64_t index, uint64_t seed, taper_tensor_list **out)
{
    const int64_t one = 1, values[] = {index, (int64_t)seed};
    taper_tensor *t[2] = {NULL, NULL};
    (void)user;
    if (index == 13)
        return taper_error_new(TAPER_ERROR_IO, "the file is torn", NULL, NULL);
    TAPER_TRY(taper_tensor_from_data(&values[0], &one, 1, TAPER_INT64, TAPER_CPU, &t[0]));
    TAPER_TRY(taper_tensor_from_data(&values[1], &one, 1, TAPER_INT64, TAPER_CPU, &t[1]));
    taper_error *e = taper_tensor_list_new(t, 2, out);
    taper_tensor_free(t[0]);
    taper_tensor_free(t[1]);
    return e;
}
static taper_dataset *own(int64_t *n)
{
    taper_dataset_vtable v = TAPER_DATASET_VTABLE_INIT;
    taper_dataset *d = NULL;
    v.len = length;
    v.get = sample;
    v.drop = drop;
    OK(taper_dataset_new(&v, n, &d));
    return d;
}

static void own_data_sets(void)
{
    int64_t n = 12, seeds[3][12], got[32];
    for (int64_t workers = 0; workers < 3; workers++) {
        taper_dataset *d = own(&n);
        taper_data_loader *l = loader(d, NULL, 5, workers, 0);
        taper_batches *b = NULL;
        taper_tensor_list *list = NULL;
        size_t at = 0;
        taper_manual_seed(3);
        OK(taper_data_loader_begin(l, &b));
        CHECK(taper_dataset_free(d) && taper_data_loader_free(l)); /* the pass goes on */
        for (;;) {
            OK(taper_batches_next(b, &list));
            if (!list)
                break;
            at += take(list, 1, seeds[workers] + at);
        }
        CHECK_INT(at, 12);
        CHECK(memcmp(seeds[0], seeds[workers], sizeof seeds[0]) == 0);
        dropped = 0;
        CHECK(taper_batches_free(b));
        CHECK_INT(dropped, 1);
    }
    /* What fails names its sample, and the pass goes on behind its batch. */
    n = 17;
    for (int64_t workers = 0; workers < 3; workers++) {
        taper_dataset *d = own(&n);
        taper_data_loader *l = loader(d, NULL, 6, workers, 0);
        taper_batches *b = NULL;
        taper_tensor_list *list = NULL;
        OK(taper_data_loader_begin(l, &b));
        OK(taper_batches_next(b, &list));
        CHECK_INT(take(list, 0, got), 6);
        OK(taper_batches_next(b, &list));
        CHECK_INT(take(list, 0, got), 6);
        FAILS(taper_batches_next(b, &list), TAPER_ERROR_IO, "sample 13 of the data set: the file is torn");
        CHECK(!list);
        OK(taper_batches_next(b, &list));
        CHECK(!list);
        FAILS(taper_dataset_get(d, 13, 0, &list), TAPER_ERROR_IO, "the file is torn");
        FAILS(taper_dataset_get(d, 17, 0, &list), TAPER_ERROR_INDEX, "index 17 is out of range for a data set of 17 samples");
        OK(taper_dataset_get(d, -17, 0, &list));
        CHECK_INT(take(list, 0, got), 1);
        /* In the middle of a pass. */
        taper_batches_free(b);
        OK(taper_data_loader_begin(l, &b));
        OK(taper_batches_next(b, &list));
        taper_tensor_list_free(list);
        dropped = 0;
        taper_data_loader_free(l);
        taper_dataset_free(d);
        CHECK_INT(dropped, 0);
        CHECK(taper_batches_free(b));
        CHECK_INT(dropped, 1);
        CHECK(!taper_batches_free(b));
    }
    taper_dataset_vtable v = TAPER_DATASET_VTABLE_INIT;
    taper_dataset *d = NULL;
    v.drop = drop;
    dropped = 0;
    FAILS(taper_dataset_new(&v, NULL, &d), TAPER_ERROR_VALUE, "its len function is NULL");
    v.len = length;
    FAILS(taper_dataset_new(&v, NULL, &d), TAPER_ERROR_VALUE, "its get function is NULL");
    CHECK_INT(dropped, 2);
}

/* A data set that uses the pass that asks it. */
static taper_batches *inner;
static taper_error *meddle(void *user, int64_t index, uint64_t seed, taper_tensor_list **out)
{
    taper_tensor_list *list = NULL;
    (void)user;
    if (index == 2)
        FAILS(taper_batches_next(inner, &list), TAPER_ERROR_RUNTIME, "another call is using this pass");
    if (index == 3)
        CHECK(taper_batches_free(inner));
    return sample(user, index, seed, out);
}
static void callbacks_that_meddle(void)
{
    int64_t n = 8;
    taper_dataset_vtable v = TAPER_DATASET_VTABLE_INIT;
    taper_dataset *d = NULL;
    taper_tensor_list *list = NULL;
    v.len = length;
    v.get = meddle;
    OK(taper_dataset_new(&v, &n, &d));
    taper_data_loader *l = loader(d, NULL, 4, 0, 0);
    OK(taper_data_loader_begin(l, &inner));
    OK(taper_batches_next(inner, &list)); /* frees the handle in the midst of it */
    taper_tensor_list_free(list);
    FAILS(taper_batches_next(inner, &list), TAPER_ERROR_INVALID_HANDLE, "has been freed");
    taper_data_loader_free(l);
    taper_dataset_free(d);
}

/* ---- streams and batches of the program's own ---------------------------------------------------------------------- */

static int passes;
static taper_error *begin(void *user, void **pass)
{
    (void)user;
    *pass = calloc(1, sizeof(int64_t));
    __atomic_fetch_add(&passes, 1, __ATOMIC_SEQ_CST);
    return NULL;
}
static taper_error *next(void *user, void *pass, uint64_t seed, taper_tensor_list **out)
{
    int64_t *at = pass;
    return *at == *(const int64_t *)user ? NULL : sample(user, (*at)++, seed, out);
}
static void end(void *user, void *pass)
{
    (void)user;
    free(pass);
    __atomic_fetch_sub(&passes, 1, __ATOMIC_SEQ_CST);
}
static void streams(void)
{
    const int64_t wanted[] = {0, 1, 2, -1, 3, 4, 5, -1, 6, -1};
    int64_t n = 7, got[64];
    for (int64_t workers = 0; workers < 4; workers++) {
        taper_stream_vtable v = TAPER_STREAM_VTABLE_INIT;
        taper_dataset *d = NULL;
        taper_batches *b = NULL, *c = NULL;
        taper_tensor_list *list = NULL;
        taper_named_tensors *state = NULL;
        v.begin = begin;
        v.next = next;
        v.end = end;
        v.drop = drop;
        OK(taper_dataset_new_stream(&v, &n, &d));
        taper_data_loader *l = loader(d, NULL, 3, workers, 0);
        FAILS(taper_data_loader_len(l, got), TAPER_ERROR_TYPE, "stream");
        OK(taper_data_loader_begin(l, &b));
        OK(taper_batches_next(b, &list));
        CHECK_INT(take(list, 0, got), 3);
        OK(taper_batches_state_dict(b, &state));
        OK(taper_data_loader_resume(l, state, &c));
        taper_named_tensors_free(state);
        CHECK_INT(read_all(c, got), 6);
        CHECK(memcmp(got, wanted + 4, 6 * sizeof *got) == 0);
        taper_batches_free(b); /* in the middle */
        CHECK_INT(passes, 0);
        OK(taper_data_loader_begin(l, &b));
        CHECK_INT(read_all(b, got), 10);
        CHECK(memcmp(got, wanted, sizeof wanted) == 0);
        CHECK_INT(passes, 0);
        taper_data_loader_free(l);
        dropped = 0;
        taper_dataset_free(d);
        CHECK_INT(dropped, 1);
    }
}
static taper_error *first_and_last(void *user, taper_tensor_list *const *samples, size_t n, taper_tensor_list **out)
{
    taper_tensor *t[2] = {NULL, NULL};
    if (*(const int64_t *)user != 12) /* another thread than the test's */
        return taper_error_new(TAPER_ERROR_INTERNAL, "another user pointer", NULL, NULL);
    TAPER_TRY(taper_tensor_list_get(samples[0], 0, &t[0]));
    TAPER_TRY(taper_tensor_list_get(samples[n - 1], 0, &t[1]));
    taper_error *e = taper_tensor_list_new(t, 2, out);
    taper_tensor_free(t[0]);
    taper_tensor_free(t[1]);
    return e;
}
static void own_batches(void)
{
    int64_t n = 12, got[4];
    for (int64_t workers = 0; workers < 2; workers++) {
        taper_collate_vtable v = TAPER_COLLATE_VTABLE_INIT;
        taper_data_loader_options o = TAPER_DATA_LOADER_OPTIONS_INIT;
        taper_data_loader *l = NULL;
        taper_batches *b = NULL;
        taper_tensor_list *list = NULL;
        taper_dataset *d = own(&n);
        v.call = first_and_last;
        v.drop = drop;
        o.batch_size = 4;
        o.num_workers = workers;
        OK(taper_data_loader_create(d, NULL, NULL, &o, &v, &n, &l));
        OK(taper_data_loader_begin(l, &b));
        OK(taper_batches_next(b, &list));
        CHECK_INT(take(list, 1, got), 1);
        CHECK_INT(got[0], 3);
        taper_batches_free(b);
        taper_dataset_free(d);
        dropped = 0;
        taper_data_loader_free(l);
        CHECK_INT(dropped, 2);
        o.shuffle = 3;
        d = own(&n);
        dropped = 0;
        FAILS(taper_data_loader_create(d, NULL, NULL, &o, &v, &n, &l), TAPER_ERROR_VALUE, "shuffle is 3");
        CHECK_INT(dropped, 1);
        taper_dataset_free(d);
    }
}

static void sets_and_samplers(void)
{
    taper_dataset *d = rows(6), *sub = NULL, *both = NULL;
    taper_sampler *s = NULL, *pairs = NULL;
    taper_batches *b = NULL;
    const int64_t indices[] = {5, -5, 1}, wanted[] = {5, 1, -1, 1, 0, -1, 5, -1}, order[] = {0, 1, 2, 3, 8};
    int64_t got[32], n = 0;
    OK(taper_dataset_subset(d, indices, 3, &sub));
    taper_dataset *parts[] = {sub, d};
    OK(taper_dataset_concat(parts, 2, &both));
    OK(taper_dataset_len(both, &n));
    CHECK_INT(n, 9);
    OK(taper_sampler_fixed(order, 5, &s));
    OK(taper_sampler_batch(s, 2, false, &pairs));
    CHECK_INT(taper_sampler_len(pairs), 3);
    taper_data_loader *l = loader(both, pairs, 1, 2, 0);
    OK(taper_data_loader_begin(l, &b));
    CHECK_INT(read_all(b, got), 8);
    CHECK(memcmp(got, wanted, sizeof wanted) == 0);
    taper_data_loader_free(l);
    taper_dataset_free(sub);
    taper_sampler_free(pairs);
    taper_sampler_free(s);
    OK(taper_sampler_sequential(3, &pairs));
    FAILS(taper_data_loader_create((taper_dataset *)pairs, NULL, NULL, NULL, NULL, NULL, &l), TAPER_ERROR_INVALID_HANDLE,
          "expected a dataset handle, got a sampler handle");
    FAILS(taper_dataset_subset(d, order, 5, &sub), TAPER_ERROR_INDEX, "index 8 is out of range");
    FAILS(taper_sampler_random(4, false, &(int64_t){0}, NULL, &s), TAPER_ERROR_VALUE, "num_samples should be a positive");
    CHECK_INT(taper_sampler_len(NULL), -1);
    FAILS(taper_batches_next((taper_batches *)pairs, NULL), TAPER_ERROR_VALUE, "place");
    taper_sampler_free(pairs);
    CHECK(taper_dataset_free(NULL) && taper_sampler_free(NULL) && taper_data_loader_free(NULL) && taper_batches_free(NULL));
    taper_dataset_free(d);
    taper_dataset_free(both);
}

/* Parts at random, side by side, streams in a chain. */
static void parts(void)
{
    char line[1024], *order = NULL;
    FILE *f = fopen("tests/fixtures/samplers.txt", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "split default: ", 15) == 0) {
            order = line + 15;
            break;
        }
    if (f)
        fclose(f);
    CHECK(order != NULL);
    taper_dataset *d = rows(10), *part = NULL, *both = NULL, *chain = NULL;
    taper_tensor_list *list = NULL;
    taper_manual_seed(7);
    OK(taper_dataset_random_split(d, (double[]){7, 3}, 2, NULL, &list));
    CHECK_INT(taper_tensor_list_len(list), 2);
    int64_t got[16], n = 0;
    for (size_t i = 0; i < 2; i++) {
        taper_tensor *t = NULL;
        OK(taper_tensor_list_get(list, i, &t));
        OK(taper_tensor_copy_to_host(t, got + n, (size_t)taper_tensor_numel(t) * sizeof *got));
        n += taper_tensor_numel(t);
        got[n++] = -1;
        OK(taper_dataset_subset_tensor(d, t, &part));
        int64_t length = 0;
        OK(taper_dataset_len(part, &length));
        CHECK_INT(length, i ? 3 : 7);
        taper_tensor_free(t);
        if (!i)
            taper_dataset_free(part);
    }
    if (order)
        check_order(order, got, (size_t)n);
    taper_tensor_list_free(list);
    taper_dataset *two[2] = {part, part};
    OK(taper_dataset_stack(two, 2, &both));
    OK(taper_dataset_get(both, 0, 0, &list));
    CHECK_INT(taper_tensor_list_len(list), 2);
    taper_tensor_list_free(list);
    two[1] = d;
    FAILS(taper_dataset_stack(two, 2, &chain), TAPER_ERROR_VALUE, "Size mismatch between datasets");
    FAILS(taper_dataset_chain(two, 2, &chain), TAPER_ERROR_TYPE, "only supports streams");
    FAILS(taper_dataset_random_split(d, (double[]){7, 4}, 2, NULL, &list), TAPER_ERROR_VALUE, "Sum of input lengths");
    CHECK(taper_dataset_free(both) && taper_dataset_free(part) && taper_dataset_free(d) && list == NULL);
}

/* Images: numbers of torchvision's are Python's test; here each function is called, and what cannot be is refused. */
static void transforms(void)
{
    uint8_t bytes[24];
    const int64_t sizes[3] = {2, 4, 3};
    for (int i = 0; i < 24; i++)
        bytes[i] = (uint8_t)(i * 10);
    taper_tensor *image = NULL, *x = NULL, *y = NULL;
    taper_generator *g = NULL;
    OK(taper_generator_new(&g));
    OK(taper_generator_manual_seed(g, 1));
    OK(taper_tensor_from_data(bytes, sizes, 3, TAPER_UINT8, TAPER_CPU, &image));
    OK(taper_image_to_tensor(image, true, &x));
    CHECK(taper_tensor_size(x, 0) == 3 && taper_tensor_size(x, 1) == 2 && taper_tensor_size(x, 2) == 4);
    CHECK(fabs(at(x, 1) - 30 / 255.0) < 1e-6);
#define MAKE(check, call) \
    do { \
        OK(call); \
        CHECK(check); \
        taper_tensor_free(y); \
    } while (0)
    MAKE(fabs(at(y, 0) + 2) < 1e-6, taper_image_normalize(x, (double[]){1, 1, 1}, 3, (double[]){.5}, 1, &y));
    MAKE(at(y, 3) == 0 && taper_tensor_size(y, 2) == 6, taper_image_crop(x, 0, 2, 2, 6, &y));
    MAKE(taper_tensor_size(y, 1) == 1, taper_image_center_crop(x, 1, 2, &y));
    MAKE(at(y, 0) == 7, taper_image_pad(x, (int64_t[]){1}, 1, 7, NULL, &y));
    MAKE(at(y, 0) == at(x, 0), taper_image_pad(x, (int64_t[]){1}, 1, 7, "edge", &y));
    MAKE(taper_tensor_size(y, 0) == 1, taper_image_grayscale(x, 1, &y));
    MAKE(fabs(at(y, 5) - at(x, 5) / 2) < 1e-6, taper_image_adjust_brightness(x, .5, &y));
    MAKE(fabs(at(y, 5) - at(x, 5)) < 1e-6, taper_image_adjust_contrast(x, 1, &y));
    MAKE(fabs(at(y, 5) - at(x, 5)) < 1e-6, taper_image_adjust_saturation(x, 1, &y));
    MAKE(fabs(at(y, 5) - at(x, 5)) < 1e-5, taper_image_adjust_hue(x, 0, &y));
    MAKE(at(y, 0) == at(x, 3), taper_image_random_flip(x, 1, false, g, &y));
    MAKE(at(y, 0) == at(x, 4), taper_image_random_flip(x, 1, true, NULL, &y));
    MAKE(taper_tensor_size(y, 2) == 5, taper_image_random_crop(x, 2, 5, (int64_t[]){1, 1}, 2, true, 0, "reflect", g, &y));
    MAKE(taper_tensor_size(y, 2) == 5, taper_image_random_resized_crop(x, 3, 5, NULL, 0, NULL, 0, NULL, g, &y));
    MAKE(taper_tensor_size(y, 2) == 4,
         taper_image_color_jitter(x, (double[]){.5}, 1, NULL, 0, (double[]){.5, 1.5}, 2, (double[]){.1}, 1, g, &y));
    FAILS(taper_image_random_crop(x, 3, 9, NULL, 0, false, 0, NULL, g, &y), TAPER_ERROR_VALUE, "larger than input image size (2, 4)");
    FAILS(taper_image_pad(x, (int64_t[]){1, 2, 3}, 3, 0, NULL, &y), TAPER_ERROR_VALUE, "not a 3 element tuple");
    FAILS(taper_image_adjust_hue(x, 1, &y), TAPER_ERROR_VALUE, "hue_factor (1) is not in [-0.5, 0.5]");
    FAILS(taper_image_normalize(image, NULL, 0, NULL, 0, &y), TAPER_ERROR_TYPE, "float tensor");
    CHECK(y == NULL && taper_tensor_free(x) && taper_tensor_free(image) && taper_generator_free(g));
}

int main(void)
{
    parts();
    transforms();
    orders();
    own_data_sets();
    callbacks_that_meddle();
    streams();
    own_batches();
    taper_scope_begin();
    sets_and_samplers();
    taper_error_free(taper_scope_end());
    return finish("data");
}
