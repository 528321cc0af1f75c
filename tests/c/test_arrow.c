/* Arrow's C data and C stream interfaces: tables of a producer of the test's own as tensors, tensors as tables, what is damaged. */
#include "arrow_structs.h"
#include "harness.h"

struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};

static int schemas_released, arrays_released;
static void release_schema(struct ArrowSchema *s)
{
    schemas_released++;
    s->release = NULL;
}
static void release_array(struct ArrowArray *a)
{
    arrays_released++;
    a->release = NULL;
}

/* A table of two columns of three rows: x of float32, n of int64. */
static const float xs[16] = {1, 2, 3};
static const int64_t ns[16] = {4, 5, 6};
static const uint8_t two_of_three = 5;
static struct {
    struct ArrowSchema table, x, n, *children[2];
    struct ArrowArray rows, xs, ns, *arrays[2];
    const void *x_buffers[2], *n_buffers[2], *no_buffer[4];
} t;
static void make(void)
{
    memset(&t, 0, sizeof t);
    t.table.format = "+s", t.table.name = "", t.table.n_children = 2, t.table.children = t.children;
    t.table.release = release_schema;
    t.x.format = "f", t.x.name = "x", t.n.format = "l", t.n.name = "n";
    t.children[0] = &t.x, t.children[1] = &t.n;
    t.rows.length = 3, t.rows.n_buffers = 1, t.rows.buffers = t.no_buffer, t.rows.n_children = 2, t.rows.children = t.arrays;
    t.rows.release = release_array;
    t.x_buffers[1] = xs, t.n_buffers[1] = ns;
    t.xs.length = t.ns.length = 3, t.xs.n_buffers = t.ns.n_buffers = 2;
    t.xs.buffers = t.x_buffers, t.ns.buffers = t.n_buffers;
    t.arrays[0] = &t.xs, t.arrays[1] = &t.ns;
    schemas_released = arrays_released = 0;
}
static taper_tensor *of(taper_named_tensors *n, const char *name)
{
    taper_tensor *found = NULL;
    OK(taper_named_tensors_get_by_name(n, name, &found));
    return found;
}

static void import(void)
{
    taper_named_tensors *n = NULL;
    make();
    OK(taper_arrow_import(&t.table, &t.rows, false, &n));
    CHECK(schemas_released == 1 && t.rows.release == NULL && arrays_released == 0);
    taper_tensor *x = of(n, "x"), *ids = of(n, "n");
    void *data = NULL;
    OK(taper_tensor_data(x, &data));
    CHECK(data == xs && at(x, 2) == 3 && taper_tensor_dtype(ids) == TAPER_INT64);
    CHECK(taper_named_tensors_free(n) && taper_tensor_free(ids));
    CHECK_INT(arrays_released, 0);
    CHECK(taper_tensor_free(x));
    CHECK_INT(arrays_released, 1);

    make();
    t.x_buffers[0] = &two_of_three, t.xs.null_count = -1;
    FAILS(taper_arrow_import(&t.table, &t.rows, false, &n), TAPER_ERROR_VALUE, "has 1 nulls, the first in row 1");
    CHECK(schemas_released == 1 && arrays_released == 1 && t.table.release == NULL && t.rows.release == NULL && n == NULL);
    FAILS(taper_arrow_import(&t.table, &t.rows, false, &n), TAPER_ERROR_VALUE, "released already");
    make();
    t.x_buffers[0] = &two_of_three, t.xs.null_count = 1;
    OK(taper_arrow_import(&t.table, &t.rows, true, &n));
    CHECK_INT(taper_named_tensors_len(n), 3);
    x = of(n, "x.valid");
    CHECK_INT(taper_tensor_dtype(x), TAPER_BOOL);
    CHECK(taper_tensor_free(x) && taper_named_tensors_free(n));
    CHECK_INT(arrays_released, 1);
    n = NULL;

    FAILS(taper_arrow_import(NULL, NULL, false, &n), TAPER_ERROR_VALUE, "expected a pointer, got NULL");
    make();
    FAILS(taper_arrow_import(NULL, &t.rows, false, &n), TAPER_ERROR_VALUE, "expected a pointer, got NULL");
    CHECK_INT(arrays_released, 1);
    FAILS(taper_arrow_import(&t.table, NULL, false, &n), TAPER_ERROR_VALUE, "expected a pointer, got NULL");
    CHECK_INT(schemas_released, 1);
}

static void export(void)
{
    taper_named_tensors *n = NULL, *back = NULL;
    struct ArrowSchema schema;
    struct ArrowArray array;
    const float numbers[6] = {1, 2, 3, 4, 5, 6};
    taper_tensor *m = floats(numbers, 3, 2), *again = NULL;
    bool same = false;
    OK(taper_named_tensors_new(&n));
    OK(taper_named_tensors_insert(n, "m", m));
    OK(taper_arrow_export(n, &schema, &array));
    CHECK(strcmp(schema.format, "+s") == 0 && schema.n_children == 1 && strcmp(schema.children[0]->format, "+w:2") == 0);
    CHECK(strcmp(schema.children[0]->children[0]->format, "f") == 0 && array.length == 3 && array.children[0]->n_children == 1);
    taper_named_tensors_free(n);
    OK(taper_arrow_import(&schema, &array, false, &back));
    again = of(back, "m");
    OK(taper_equal(m, again, &same));
    CHECK(same && schema.release == NULL && array.release == NULL);
    CHECK(taper_tensor_free(m) && taper_tensor_free(again) && taper_named_tensors_free(back));

    /* A child that was moved out stays its receiver's; the rest goes. */
    m = floats(numbers, 3, 2);
    OK(taper_named_tensors_new(&n));
    OK(taper_named_tensors_insert(n, "m", m));
    OK(taper_arrow_export(n, &schema, &array));
    struct ArrowArray moved = *array.children[0];
    array.children[0]->release = NULL;
    array.release(&array);
    CHECK(array.release == NULL && ((const float *)moved.children[0]->buffers[1])[5] == 6);
    moved.release(&moved);
    schema.release(&schema);
    taper_tensor *longer = floats(numbers, 6, 0);
    OK(taper_named_tensors_insert(n, "l", longer));
    FAILS(taper_arrow_export(n, &schema, &array), TAPER_ERROR_VALUE, "\"l\" has 6, the first 3");
    CHECK(schema.release == NULL && array.release == NULL);
    FAILS(taper_arrow_export(n, NULL, &array), TAPER_ERROR_VALUE, "expected a pointer, got NULL");
    CHECK(taper_named_tensors_free(n) && taper_tensor_free(m) && taper_tensor_free(longer));
}

static int left, code;
static int next_schema(struct ArrowArrayStream *s, struct ArrowSchema *out)
{
    (void)s;
    *out = t.table;
    return 0;
}
static int next_array(struct ArrowArrayStream *s, struct ArrowArray *out)
{
    (void)s;
    if (!code && left > 0) {
        left--;
        make();
        *out = t.rows;
    }
    return code;
}
static const char *last_error(struct ArrowArrayStream *s)
{
    (void)s;
    return "no more tape";
}
static void release_stream(struct ArrowArrayStream *s) { s->release = NULL; }
static void streams(void)
{
    struct ArrowArrayStream s = {next_schema, next_array, last_error, release_stream, NULL};
    taper_named_tensors *n = NULL;
    left = 2;
    for (int i = 0; i < 2; i++) {
        OK(taper_arrow_import_next(&s, false, &n));
        CHECK(n && taper_named_tensors_len(n) == 2);
        CHECK(taper_named_tensors_free(n));
    }
    OK(taper_arrow_import_next(&s, false, &n));
    CHECK(n == NULL);
    code = 22;
    FAILS(taper_arrow_import_next(&s, false, &n), TAPER_ERROR_IO, "failed with code 22: no more tape");
    release_stream(&s);
    FAILS(taper_arrow_import_next(&s, false, &n), TAPER_ERROR_VALUE, "released already");
    FAILS(taper_arrow_import_next(NULL, false, &n), TAPER_ERROR_VALUE, "expected a pointer, got NULL");
}

/* Tables whose structs are damaged in what can be seen: an error or tensors, and each release once. */
static uint64_t state = 88172645463325252u;
static uint64_t below(uint64_t n)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state % n;
}
static void damage(void)
{
    static const int64_t numbers[] = {-1, 0, 1, 2, 3, 4, INT32_MAX, INT64_MAX, INT64_MIN, (int64_t)1 << 62, 1 << 20};
    static const char *formats[] = {"f", "l", "b", "u", "+s", "+w:1", "+w:3", "+w:-1", "+w:99999999999999999999", "+w:", "", "tss:", "e", "\xff"};
    struct ArrowArray *arrays[] = {&t.rows, &t.xs, &t.ns};
    struct ArrowSchema *schemas[] = {&t.table, &t.x, &t.n};
    struct ArrowArray *a = arrays[below(3)];
    struct ArrowSchema *s = schemas[below(3)];
    const int64_t number = numbers[below(sizeof numbers / sizeof *numbers)];
    switch (below(14)) {
        /* More rows than there is memory for cannot be seen, where parent and child agree. */
        case 0: a->length = a == &t.rows ? number : (int64_t)below(4) - 1; break;
        case 1: a->offset = a == &t.rows || number <= 0 ? (a == &t.rows ? number : -1) : 0; break;
        case 2: a->null_count = number; break;
        case 3: a->n_buffers = number; break;
        case 4: a->n_children = number < 3 ? number : -2; break;
        case 5: a->buffers = NULL; break;
        case 6: a->children = NULL; break;
        case 7: t.arrays[below(2)] = NULL; break;
        case 8: t.children[below(2)] = NULL; break;
        case 9: s->format = formats[below(sizeof formats / sizeof *formats)]; break;
        case 10: s->name = below(2) ? NULL : "n"; break;
        case 11: s->n_children = number < 3 ? number : -2; break;
        case 12: t.x_buffers[1] = below(2) ? NULL : (const char *)xs + 1; break;
        default: below(2) ? (s->dictionary = &t.x) : (s->format = NULL, (struct ArrowSchema *)0); break;
    }
}
static void damaged(void)
{
    const char *rounds = getenv("TAPER_TEST_ROUNDS");
    const int n = rounds ? 2000 : 100000;
    int refused = 0;
    for (int i = 0; i < n; i++) {
        taper_named_tensors *got = NULL;
        make();
        for (uint64_t k = below(3) + 1; k > 0; k--)
            damage();
        taper_error *e = taper_arrow_import(&t.table, &t.rows, below(2), &got);
        refused += e != NULL;
        if (!e)
            for (size_t k = 0; k < taper_named_tensors_len(got); k++) {
                taper_tensor *x = NULL;
                taper_string *text = NULL;
                OK(taper_named_tensors_get(got, k, &x));
                if (taper_tensor_numel(x) <= 3)
                    OK(taper_tensor_to_string(x, &text));
                taper_string_free(text);
                taper_tensor_free(x);
            }
        taper_error_free(e);
        taper_named_tensors_free(got);
        if (schemas_released != 1 || arrays_released != 1) {
            fprintf(stderr, "round %d: released %d schemas and %d arrays\n", i, schemas_released, arrays_released);
            exit(1);
        }
    }
    CHECK(refused > n / 3 && refused < n);
}

int main(void)
{
    import();
    export();
    streams();
    damaged();
    return finish("arrow");
}
