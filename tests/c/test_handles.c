/* Handles: NULL, freed, foreign, of the wrong kind; frees of every sort; errors, strings, lists, versions. */
#include "harness.h"

static void wrong_handles(void)
{
    float v[4] = {1, 2, 3, 4};
    taper_tensor *a = floats(v, 2, 2), *out = (taper_tensor *)v;
    taper_generator *g = NULL;
    taper_string *s = NULL;
    int on_stack = 0;

    FAILS(taper_optimizer_step(NULL), TAPER_ERROR_INVALID_HANDLE, "expected an optimizer handle, got NULL");
    FAILS(taper_relu(NULL, &out), TAPER_ERROR_INVALID_HANDLE, "relu(): argument 'self' (position 1): expected a tensor handle, got NULL");
    CHECK(out == NULL);
    FAILS(taper_add(a, NULL, taper_scalar_i64(1), &out), TAPER_ERROR_INVALID_HANDLE, "add(): argument 'other' (position 2)");
    FAILS(taper_relu((taper_tensor *)&on_stack, &out), TAPER_ERROR_INVALID_HANDLE, "no handle of this library");
    FAILS(taper_relu((taper_tensor *)(uintptr_t)-1, &out), TAPER_ERROR_INVALID_HANDLE, "no handle of this library");
    OK(taper_generator_new(&g));
    FAILS(taper_relu((taper_tensor *)g, &out), TAPER_ERROR_INVALID_HANDLE, "expected a tensor handle, got a generator handle");
    CHECK(taper_generator_free(g));
    FAILS(taper_relu((taper_tensor *)g, &out), TAPER_ERROR_INVALID_HANDLE, "tensor handle");
    FAILS(taper_relu(a, NULL), TAPER_ERROR_VALUE, "the result needs a place to go");

    CHECK(taper_tensor_free(a));
    FAILS(taper_relu(a, &out), TAPER_ERROR_INVALID_HANDLE, "has been freed");
    CHECK(!taper_tensor_free(a));
    CHECK(!taper_tensor_free((taper_tensor *)&on_stack));
    CHECK(taper_tensor_free(NULL));
    /* Getters have sentinels. */
    CHECK_INT(taper_tensor_ndim(a), -1);
    CHECK_INT(taper_tensor_numel(a), -1);
    CHECK_INT(taper_tensor_size(a, 0), -1);
    CHECK_INT(taper_tensor_dtype(NULL), -1);
    CHECK_INT(taper_tensor_device(a).type, 0);
    CHECK_INT(taper_tensor_id(a), 0);
    CHECK_INT(taper_tensor_requires_grad(a), -1);
    CHECK_INT(taper_tensor_is_leaf(a), -1);
    CHECK_INT(taper_tensor_is_contiguous(a), -1);
    CHECK_INT(taper_tensor_storage_offset(a), -1);
    CHECK_INT(taper_tensor_version(a), -1);
    CHECK_INT(taper_node_next_len((taper_node *)a), -1);
    CHECK(taper_string_data((taper_string *)a) == NULL);
    CHECK_INT(taper_string_len(NULL), 0);
    CHECK_INT(taper_tensor_list_len(NULL), 0);
    FAILS(taper_tensor_to_string(a, &s), TAPER_ERROR_INVALID_HANDLE, "tensor_to_string()");

    /* A slot that is used again does not bring old handles back to life. */
    for (int i = 0; i < 1000; i++) {
        taper_tensor *b = floats(v, 2, 2);
        CHECK(b != a);
        CHECK_INT(taper_tensor_ndim(a), -1);
        CHECK(taper_tensor_free(b));
    }
}

static int drops;
static void count_drop(void *p)
{
    CHECK(p == &drops);
    drops++;
}

static void errors(void)
{
    CHECK_INT(taper_error_code(NULL), 0);
    CHECK(taper_error_message(NULL) == NULL);
    CHECK(taper_error_free(NULL));
    CHECK_INT(taper_error_code((taper_error *)&drops), -1);
    CHECK(!taper_error_free((taper_error *)&drops));

    taper_error *e = taper_relu(NULL, NULL);
    CHECK(e != NULL);
    CHECK(strcmp(taper_error_op(e), "relu") == 0);
    CHECK_INT(taper_error_arg(e), 1);
    CHECK(taper_error_cause(e) == NULL);
    CHECK(taper_error_payload(e) == NULL);
    CHECK(taper_error_free(e));
    CHECK(!taper_error_free(e));
    CHECK_INT(taper_error_code(e), -1);

    e = taper_error_new(TAPER_ERROR_KEY, "my own", &drops, count_drop);
    CHECK_INT(taper_error_code(e), TAPER_ERROR_KEY);
    CHECK(strcmp(taper_error_message(e), "my own") == 0);
    CHECK(taper_error_payload(e) == &drops);
    CHECK(taper_error_op(e) == NULL);
    CHECK_INT(drops, 0);
    CHECK(taper_error_free(e));
    CHECK_INT(drops, 1);
    e = taper_error_new(4711, NULL, NULL, NULL);
    CHECK_INT(taper_error_code(e), TAPER_ERROR_CALLBACK);
    CHECK(strcmp(taper_error_message(e), "") == 0);
    CHECK(taper_error_free(e));
    e = taper_error_new(TAPER_ERROR_VALUE, "not \xff UTF-8", NULL, NULL);
    CHECK(strstr(taper_error_message(e), "UTF-8") != NULL);
    CHECK(taper_error_free(e));
}

static void versions(void)
{
    CHECK_INT(taper_abi_version(), TAPER_ABI_VERSION);
    OK(taper_check_abi(TAPER_ABI_VERSION));
    FAILS(taper_check_abi(77), TAPER_ERROR_RUNTIME, "built for ABI version 77");
    CHECK(strcmp(taper_version(), TAPER_VERSION) == 0);
    CHECK(TAPER_VERSION_AT_LEAST(TAPER_VERSION_MAJOR, TAPER_VERSION_MINOR, TAPER_VERSION_PATCH));
    CHECK(TAPER_VERSION_AT_LEAST(0, 0, 1) && !TAPER_VERSION_AT_LEAST(TAPER_VERSION_MAJOR, TAPER_VERSION_MINOR + 1, 0));
    CHECK(!TAPER_VERSION_AT_LEAST(999, 0, 0));
    char numbers[64];
    int n = snprintf(numbers, sizeof numbers, "%d.%d.%d", TAPER_VERSION_MAJOR, TAPER_VERSION_MINOR, TAPER_VERSION_PATCH);
    CHECK(strncmp(TAPER_VERSION, numbers, (size_t)n) == 0);
    CHECK(strcmp(taper_dtype_name(TAPER_BFLOAT16), "bfloat16") == 0);
    CHECK(taper_dtype_name(12) == NULL);
    CHECK_INT(taper_dtype_size(TAPER_INT64), 8);
    CHECK_INT(taper_dtype_size(-5), 0);
}

static void lists(void)
{
    float v[2] = {1, 2};
    taper_tensor *a = floats(v, 2, 0), *got = NULL, *in[2];
    taper_tensor_list *l = NULL;
    in[0] = a;
    in[1] = NULL;
    OK(taper_tensor_list_new(in, 2, &l));
    CHECK_INT(taper_tensor_list_len(l), 2);
    OK(taper_tensor_list_get(l, 0, &got));
    CHECK(taper_tensor_id(got) == taper_tensor_id(a));
    CHECK(got != a);
    CHECK(taper_tensor_free(got));
    OK(taper_tensor_list_get(l, 1, &got));
    CHECK(got == NULL);
    FAILS(taper_tensor_list_get(l, 2, &got), TAPER_ERROR_INDEX, "index 2 is out of range for a list of 2 tensors");
    CHECK(taper_tensor_list_free(l));
    CHECK(!taper_tensor_list_free(l));
    FAILS(taper_tensor_list_get(l, 0, &got), TAPER_ERROR_INVALID_HANDLE, "has been freed");
    in[1] = (taper_tensor *)l;
    FAILS(taper_tensor_list_new(in, 2, &l), TAPER_ERROR_INVALID_HANDLE, "'tensors[1]'");
    CHECK(taper_tensor_free(a));
}

/* taper_error_arg names the argument in errors about values too. */
static void at_argument(taper_error *e, int32_t wanted, int line)
{
    checks_made++;
    if (!e || taper_error_arg(e) != wanted) {
        checks_failed++;
        fprintf(stderr, "%s:%d: argument %d, expected %d: %s\n", __FILE__, line, e ? (int)taper_error_arg(e) : -2, (int)wanted,
                e ? taper_error_message(e) : "(success)");
    }
    taper_error_free(e);
}
#define ARG(wanted, call) at_argument((call), (wanted), __LINE__)
static void arguments(void)
{
    int64_t two_three[] = {2, 3}, bad_dims[] = {7}, negative[] = {-3};
    taper_tensor *x = NULL, *i = NULL, *out = NULL, *out2 = NULL;
    taper_tensor_list *l = NULL;
    taper_module *m = NULL;
    OK(taper_ones(two_three, 2, TAPER_FLOAT32, TAPER_CPU, &x));
    OK(taper_ones(two_three, 2, TAPER_INT64, TAPER_CPU, &i));
    ARG(1, taper_softmax(x, 7, TAPER_DTYPE_NONE, &out));
    ARG(1, taper_sum_dim(x, bad_dims, 1, false, TAPER_DTYPE_NONE, &out));
    ARG(1, taper_cumsum(x, -9, TAPER_DTYPE_NONE, &out));
    ARG(1, taper_unsqueeze(x, 9, &out));
    ARG(2, taper_select(x, 0, 5, &out));
    ARG(1, taper_select(x, 5, 0, &out));
    ARG(1, taper_unbind(x, 4, &l));
    ARG(1, taper_topk(x, 9, 1, true, true, &out, &out2));
    ARG(0, taper_zeros(negative, 1, TAPER_DTYPE_NONE, TAPER_CPU, &out));
    ARG(1, taper_dropout(x, 1.5, true, NULL, &out));
    ARG(1, taper_view(x, negative, 1, &out));
    ARG(0, taper_nn_linear_new(-1, 2, true, &m));
    ARG(0, taper_nn_dropout_new(7, false, &m));
    taper_tensor_free(x);
    taper_tensor_free(i);
}

int main(void)
{
    wrong_handles();
    arguments();
    errors();
    versions();
    lists();
    return finish("handles");
}
