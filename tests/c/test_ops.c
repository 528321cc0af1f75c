/* Ops through the generated functions: results, and every kind of bad argument. */
#include "harness.h"

static void arithmetic(void)
{
    float v[4] = {1, 2, 3, 4}, w[2] = {10, 20};
    taper_tensor *a = floats(v, 2, 2), *b = floats(w, 2, 0), *c = NULL, *d = NULL;
    OK(taper_add(a, b, taper_scalar_i64(2), &c));
    CHECK(at(c, 0) == 21 && at(c, 1) == 42 && at(c, 2) == 23 && at(c, 3) == 44);
    CHECK(taper_tensor_free(c));
    OK(taper_mul_scalar(a, taper_scalar_f64(0.5), &c));
    CHECK(at(c, 3) == 2);
    OK(taper_sub_(c, b, taper_scalar_i64(1)));
    CHECK(at(c, 0) == -9.5);
    OK(taper_relu(c, &d));
    CHECK(at(d, 0) == 0);
    CHECK(taper_tensor_free(c) && taper_tensor_free(d));
    OK(taper_matmul(a, b, &c));
    CHECK(taper_tensor_ndim(c) == 1 && at(c, 0) == 50 && at(c, 1) == 110);
    CHECK(taper_tensor_free(c));
    OK(taper_sum(a, TAPER_FLOAT64, &c));
    CHECK(taper_tensor_dtype(c) == TAPER_FLOAT64 && item(c) == 10);
    CHECK(taper_tensor_free(c));
    int64_t last = -1;
    OK(taper_sum_dim(a, &last, 1, true, TAPER_DTYPE_NONE, &c));
    CHECK(taper_tensor_size(c, 1) == 1 && at(c, 0) == 3 && at(c, 1) == 7);
    CHECK(taper_tensor_free(c));
    OK(taper_sum_dim(a, NULL, 0, false, TAPER_DTYPE_NONE, &c));
    CHECK(taper_tensor_ndim(c) == 0 && item(c) == 10);
    CHECK(taper_tensor_free(c) && taper_tensor_free(a) && taper_tensor_free(b));
}

static void bad_arguments(void)
{
    float v[6] = {1, 2, 3, 4, 5, 6};
    taper_tensor *a = floats(v, 2, 3), *b = floats(v, 2, 0), *out = NULL;
    int64_t sizes[3] = {4, -1, 2}, huge[2] = {INT64_MAX / 2, 3}, big[2] = {1000000000, 1000000000}, seven = 7;
    taper_scalar nonsense = {9, 0, 0};

    FAILS(taper_add(a, b, taper_scalar_i64(1), &out), TAPER_ERROR_RUNTIME,
          "The size of tensor a (3) must match the size of tensor b (2) at non-singleton dimension 1");
    CHECK(out == NULL);
    FAILS(taper_matmul(a, a, &out), TAPER_ERROR_RUNTIME, "mm: mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)");
    FAILS(taper_add(a, a, nonsense, &out), TAPER_ERROR_VALUE, "invalid scalar kind 9");
    FAILS(taper_sum(a, 1234, &out), TAPER_ERROR_TYPE, "sum(): argument 'dtype' (position 2): invalid dtype code 1234");
    FAILS(taper_sum_dim(a, &seven, 1, false, -1, &out), TAPER_ERROR_INDEX, "Dimension out of range (expected to be in range of [-2, 1], but got 7)");
    FAILS(taper_view(a, sizes, 3, &out), TAPER_ERROR_RUNTIME, "shape '[4, -1, 2]' is invalid for input of size 6");
    FAILS(taper_view(a, NULL, 3, &out), TAPER_ERROR_VALUE, "the array is NULL but its length is 3");
    FAILS(taper_view(a, sizes, SIZE_MAX, &out), TAPER_ERROR_VALUE, "cannot exist");
    FAILS(taper_zeros(huge, 2, -1, TAPER_DEVICE_NONE, &out), TAPER_ERROR_RUNTIME, "");
    FAILS(taper_zeros(big, 2, -1, TAPER_DEVICE_NONE, &out), TAPER_ERROR_OUT_OF_MEMORY, "");
    sizes[0] = -3;
    FAILS(taper_ones(sizes, 1, -1, TAPER_DEVICE_NONE, &out), TAPER_ERROR_RUNTIME, "-3");
    FAILS(taper_zeros(sizes, 0, -1, taper_make_device(77, 0), &out), TAPER_ERROR_RUNTIME, "invalid device type 77");
    FAILS(taper_rand(&seven, 1, (taper_generator *)a, -1, TAPER_DEVICE_NONE, &out), TAPER_ERROR_INVALID_HANDLE,
          "expected a generator handle, got a tensor handle");
    FAILS(taper_rand(&seven, 1, NULL, TAPER_INT32, TAPER_DEVICE_NONE, &out), TAPER_ERROR_NOT_IMPLEMENTED, "");
    CHECK(out == NULL);
    /* Everything still works. */
    OK(taper_add(a, a, taper_scalar_i64(1), &out));
    CHECK(at(out, 5) == 12);
    CHECK(taper_tensor_free(out) && taper_tensor_free(a) && taper_tensor_free(b));
}

static void random_numbers(void)
{
    int64_t n = 5;
    taper_tensor *a = NULL, *b = NULL;
    taper_generator *g = NULL, *def = NULL;
    unsigned char state[6000];
    size_t needed = 0;
    float x[5], y[5];
    taper_manual_seed(7);
    OK(taper_rand(&n, 1, NULL, -1, TAPER_DEVICE_NONE, &a));
    OK(taper_generator_new(&g));
    OK(taper_generator_manual_seed(g, 7));
    CHECK_INT(taper_generator_initial_seed(g), 7);
    OK(taper_generator_get_state(g, NULL, 0, &needed));
    CHECK(needed > 16 && needed <= sizeof state);
    OK(taper_generator_get_state(g, state, sizeof state, &needed));
    OK(taper_rand(&n, 1, g, -1, TAPER_DEVICE_NONE, &b));
    OK(taper_tensor_copy_to_host(a, x, sizeof x));
    OK(taper_tensor_copy_to_host(b, y, sizeof y));
    CHECK(memcmp(x, y, sizeof x) == 0);
    CHECK(taper_tensor_free(b));
    OK(taper_generator_set_state(g, state, needed));
    OK(taper_rand(&n, 1, g, -1, TAPER_DEVICE_NONE, &b));
    OK(taper_tensor_copy_to_host(b, y, sizeof y));
    CHECK(memcmp(x, y, sizeof x) == 0);
    FAILS(taper_generator_set_state(g, state, 17), TAPER_ERROR_RUNTIME, "17");
    FAILS(taper_generator_set_state(g, NULL, 17), TAPER_ERROR_VALUE, "NULL");
    OK(taper_generator_default(&def));
    CHECK_INT(taper_generator_initial_seed(def), 7);
    CHECK_INT(taper_generator_initial_seed(NULL), 0);
    CHECK(taper_generator_free(def) && taper_generator_free(g));
    CHECK(!taper_generator_free(g));
    CHECK(taper_tensor_free(a) && taper_tensor_free(b));
}

static void devices(void)
{
    int32_t n = -1;
    taper_memory_info info;
    OK(taper_device_count(TAPER_DEVICE_CPU, &n));
    CHECK_INT(n, 1);
    FAILS(taper_device_count(3, &n), TAPER_ERROR_RUNTIME, "invalid device type 3");
    OK(taper_synchronize(TAPER_CPU));
    OK(taper_memory_stats(TAPER_CPU, &info));
    FAILS(taper_memory_stats(TAPER_DEVICE_NONE, &info), TAPER_ERROR_RUNTIME, "invalid device type 0");
    OK(taper_memory_empty_cache(TAPER_CPU));
    int32_t threads = taper_get_num_threads();
    CHECK(threads >= 1);
    OK(taper_set_num_threads(2));
    CHECK_INT(taper_get_num_threads(), 2);
    FAILS(taper_set_num_threads(0), TAPER_ERROR_RUNTIME, "got 0");
    OK(taper_set_num_threads(threads));
    CHECK_INT(taper_get_default_dtype(), TAPER_FLOAT32);
    FAILS(taper_set_default_dtype(TAPER_INT32), TAPER_ERROR_TYPE, "floating");
    FAILS(taper_set_default_dtype(1000), TAPER_ERROR_TYPE, "1000");
}

static int asked, dropped;
static int32_t no_more(void *user, size_t nbytes)
{
    CHECK(user == &asked && nbytes > 1000000000);
    return asked++ < 1;
}
static void drop_asked(void *user)
{
    CHECK(user == &asked);
    dropped++;
}
static void out_of_memory(void)
{
    int64_t big[2] = {1000000000, 1000000000};
    taper_tensor *out = NULL;
    taper_out_of_memory_vtable vt = TAPER_OUT_OF_MEMORY_VTABLE_INIT;
    vt.call = no_more;
    vt.drop = drop_asked;
    OK(taper_set_out_of_memory_callback(&vt, &asked));
    FAILS(taper_empty(big, 2, -1, TAPER_DEVICE_NONE, &out), TAPER_ERROR_OUT_OF_MEMORY, "");
    CHECK_INT(asked, 1);
    OK(taper_set_out_of_memory_callback(NULL, NULL));
    CHECK_INT(dropped, 1);
    FAILS(taper_empty(big, 2, -1, TAPER_DEVICE_NONE, &out), TAPER_ERROR_OUT_OF_MEMORY, "");
    CHECK_INT(asked, 1);
    vt.call = NULL;
    FAILS(taper_set_out_of_memory_callback(&vt, &asked), TAPER_ERROR_VALUE, "NULL");
    CHECK_INT(dropped, 2);
}

/* Results that go where an argument's handle stood: arguments are read before results are emptied. */
static void in_and_out(void)
{
    const float zeros[8] = {0};
    taper_tensor *x = floats((float[]){1, 2}, 1, 2), *w = floats((float[]){.1f, .2f, .3f, .4f, .5f, .6f, .7f, .8f, .1f, .2f, .3f, .4f, .5f, .6f, .7f, .8f}, 8, 2);
    taper_tensor *state[2] = {floats(zeros, 1, 2), floats(zeros, 1, 2)}, *old[2] = {state[0], state[1]}, *h = NULL, *c = NULL;
    OK(taper_lstm_cell(x, old, 2, w, w, NULL, NULL, &h, &c));
    OK(taper_lstm_cell(x, state, 2, w, w, NULL, NULL, &state[0], &state[1]));
    bool same = false;
    OK(taper_equal(state[0], h, &same));
    CHECK(same && at(state[0], 0) != 0);
    OK(taper_equal(state[1], c, &same));
    CHECK(same);
    taper_tensor *both[2] = {h, c};
    OK(taper_cat(both, 2, 0, &both[1]));
    CHECK_INT(taper_tensor_size(both[1], 0), 2);
    /* What cannot be read is named, and the place is empty. */
    taper_tensor *bad[2] = {h, NULL};
    FAILS(taper_cat(bad, 2, 0, &bad[0]), TAPER_ERROR_INVALID_HANDLE, "tensors[1]");
    CHECK(bad[0] == NULL && bad[1] == NULL);
    taper_module *m = NULL;
    OK(taper_nn_linear_create(2, 2, NULL, &m));
    taper_tensor *in = x;
    OK(taper_module_forward(m, &in, 1, &in));
    CHECK(in != x && taper_tensor_size(in, 1) == 2);
    taper_tensor *all[] = {x, w, old[0], old[1], state[0], state[1], h, c, both[1], in};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        CHECK(taper_tensor_free(all[i]));
    CHECK(taper_module_free(m));
}

int main(void)
{
    in_and_out();
    arithmetic();
    bad_arguments();
    random_numbers();
    devices();
    out_of_memory();
    return finish("ops");
}
