/* Odd-shaped ops and training steps on a device (argument: cuda, opencl or cpu), against the CPU's results. For
 * AddressSanitizer, the test double and compute-sanitizer, which watch every access of the kernels meanwhile. */
#include "../c/harness.h"

static taper_device device;

static taper_tensor *moved(taper_tensor *t)
{
    taper_tensor *out = NULL;
    OK(taper_to(t, -1, device, false, &out));
    return out;
}

/* The device's result lies on the device and is close to the CPU's. */
static void close_to(const char *what, taper_tensor *got, taper_tensor *want, double tolerance)
{
    taper_tensor *host = NULL;
    bool close = false;
    CHECK_INT(taper_tensor_device(got).type, device.type);
    OK(taper_to(got, -1, TAPER_CPU, false, &host));
    OK(taper_allclose(host, want, tolerance, tolerance, true, &close));
    if (!close) fprintf(stderr, "%s differs from the CPU's\n", what);
    CHECK(close);
}

static taper_tensor *normal(const int64_t *sizes, size_t n)
{
    taper_tensor *t = NULL;
    OK(taper_randn(sizes, n, NULL, TAPER_FLOAT32, TAPER_CPU, &t));
    return t;
}

/* Sizes that are no multiples of a group's or a tile's. */
static void shapes(int64_t rows, int64_t cols)
{
    const int64_t sizes[2] = {rows, cols}, other[2] = {cols, 13};
    taper_tensor *a, *b, *da, *db, *t, *dt, *x, *y, *i, *di, *z;
    taper_scope_begin();
    a = normal(sizes, 2);
    b = normal(other, 2);
    da = moved(a);
    db = moved(b);

    OK(taper_matmul(a, b, &x));
    OK(taper_matmul(da, db, &y));
    close_to("matmul", y, x, 1e-4);
    OK(taper_t(a, &t));
    OK(taper_t(da, &dt));
    OK(taper_matmul(t, a, &x));
    OK(taper_matmul(dt, da, &y));
    close_to("matmul of a transposed view", y, x, 1e-4);
    OK(taper_add(a, a, taper_scalar_f64(0.5), &x));
    OK(taper_add(da, da, taper_scalar_f64(0.5), &y));
    close_to("add", y, x, 1e-6);
    OK(taper_exp(t, &x));
    OK(taper_exp(dt, &y));
    close_to("exp of a transposed view", y, x, 1e-5);
    OK(taper_sum(a, -1, &x));
    OK(taper_sum(da, -1, &y));
    close_to("sum", y, x, 1e-3);
    OK(taper_softmax(a, 1, -1, &x));
    OK(taper_softmax(da, 1, -1, &y));
    close_to("softmax", y, x, 1e-5);
    OK(taper_softmax(a, 0, -1, &x));
    OK(taper_softmax(da, 0, -1, &y));
    close_to("softmax of columns", y, x, 1e-5);
    OK(taper_cumsum(a, 1, -1, &x));
    OK(taper_cumsum(da, 1, -1, &y));
    close_to("cumsum", y, x, 1e-4);
    OK(taper_sort(a, 1, true, &x, &i));
    OK(taper_sort(da, 1, true, &y, &di));
    close_to("sort, values", y, x, 0);
    close_to("sort, places", di, i, 0);
    OK(taper_gather(a, 1, i, &x));
    OK(taper_gather(da, 1, di, &y));
    close_to("gather", y, x, 0);
    OK(taper_to(a, TAPER_FLOAT16, TAPER_DEVICE_NONE, false, &x));
    OK(taper_to(da, TAPER_FLOAT16, TAPER_DEVICE_NONE, false, &y));
    close_to("float16", y, x, 0);
    OK(taper_to(a, TAPER_BFLOAT16, TAPER_DEVICE_NONE, false, &x));
    OK(taper_to(da, TAPER_BFLOAT16, TAPER_DEVICE_NONE, false, &z));
    close_to("bfloat16", z, x, 0);
    OK(taper_scope_end());
}

#define STEPS 4
#define PARAMETERS 6

/* A convolution, a pool and two linear layers, trained by Adam; what the losses were, and the weights at the end. */
static void train(taper_device where, double *losses, taper_tensor **weights)
{
    static const int64_t sizes[PARAMETERS][4] = {{5, 2, 3, 3}, {5}, {17, 5 * 4 * 4}, {17}, {10, 17}, {10}};
    static const size_t dims[PARAMETERS] = {4, 1, 2, 1, 2, 1};
    const int64_t images[] = {7, 2, 10, 10}, one[] = {1, 1}, none[] = {0, 0}, two[] = {2, 2}, flat[] = {7, 5 * 4 * 4};
    const int64_t classes[] = {7};
    taper_tensor *x = NULL, *y = NULL, *h = NULL, *loss = NULL;
    taper_optimizer *adam = NULL;
    taper_manual_seed(3);
    for (int k = 0; k < PARAMETERS; k++) {
        OK(taper_randn(sizes[k], dims[k], NULL, TAPER_FLOAT32, TAPER_CPU, &h));
        OK(taper_mul_scalar(h, taper_scalar_f64(0.2), &h));
        OK(taper_to(h, -1, where, false, &weights[k]));
        OK(taper_tensor_set_requires_grad(weights[k], true));
    }
    x = normal(images, 4);
    OK(taper_randint(10, classes, 1, NULL, TAPER_INT64, TAPER_CPU, &y));
    OK(taper_to(x, -1, where, false, &x));
    OK(taper_to(y, -1, where, false, &y));
    OK(taper_optim_adam_new(weights, PARAMETERS, NULL, &adam));
    for (int s = 0; s < STEPS; s++) {
        taper_scope_begin();
        OK(taper_optimizer_zero_grad(adam, true));
        OK(taper_conv2d(x, weights[0], weights[1], one, 2, none, 2, one, 2, 1, &h));
        OK(taper_relu(h, &h));
        OK(taper_max_pool2d(h, two, 2, two, 2, none, 2, one, 2, false, &h));
        OK(taper_view(h, flat, 2, &h));
        OK(taper_linear(h, weights[2], weights[3], &h));
        OK(taper_gelu(h, "none", &h));
        OK(taper_linear(h, weights[4], weights[5], &h));
        OK(taper_cross_entropy(h, y, NULL, -100, "mean", 0.0, &loss));
        OK(taper_backward(&loss, 1, NULL, 0, false, false, NULL, 0));
        OK(taper_optimizer_step(adam));
        losses[s] = item(loss);
        OK(taper_scope_end());
    }
    taper_optimizer_free(adam);
}

static void training(void)
{
    double host[STEPS], there[STEPS];
    taper_tensor *a[PARAMETERS], *b[PARAMETERS];
    taper_scope_begin();
    train(TAPER_CPU, host, a);
    train(device, there, b);
    for (int s = 0; s < STEPS; s++) {
        if (fabs(host[s] - there[s]) > 1e-4) fprintf(stderr, "loss %d: %g instead of %g\n", s, there[s], host[s]);
        CHECK(fabs(host[s] - there[s]) <= 1e-4);
    }
    CHECK(there[STEPS - 1] < there[0]);
    for (int k = 0; k < PARAMETERS; k++) {
        taper_tensor *plain = NULL, *other = NULL;
        OK(taper_detach(a[k], &plain));
        OK(taper_detach(b[k], &other));
        close_to("a trained weight", other, plain, 1e-3);
    }
    OK(taper_scope_end());
}

/* An index out of range touches no memory and is reported. */
static void faults(void)
{
    const float values[3] = {1, 2, 3};
    const int64_t wrong[1] = {7}, sizes[1] = {1};
    taper_tensor *i = NULL, *out = NULL;
    taper_error *error;
    taper_scope_begin();
    OK(taper_tensor_from_data(wrong, sizes, 1, TAPER_INT64, TAPER_CPU, &i));
    error = taper_gather(moved(floats(values, 3, 0)), 0, moved(i), &out);
    if (error == NULL) error = taper_synchronize(device);
    CHECK(error != NULL && strstr(taper_error_message(error), "out of bounds") != NULL);
    taper_error_free(error);
    OK(taper_scope_end());
}

/* Memory handed out and taken back, as another library would; events. CUDA alone. */
static void sharing(void)
{
    const int64_t n = 1000;
    taper_tensor *x = NULL, *y = NULL, *sum = NULL;
    struct DLManagedTensorVersioned *managed = NULL;
    taper_event *event = NULL;
    taper_scalar v;
    uint64_t stream = 0;
    if (device.type != TAPER_DEVICE_CUDA) return;
    for (int round = 0; round < 5; round++) {
        OK(taper_ones(&n, 1, TAPER_FLOAT32, device, &x));
        OK(taper_device_get_stream(device, &stream));
        OK(taper_tensor_ready_on(x, round % 2 ? stream : 1));
        OK(taper_tensor_to_dlpack(x, &managed));
        OK(taper_tensor_from_dlpack(managed, &y));
        CHECK(taper_tensor_free(x));
        OK(taper_mul_scalar_(y, taper_scalar_f64(3)));
        OK(taper_event_new(device, true, &event));
        OK(taper_event_record(event));
        OK(taper_sum(y, TAPER_DTYPE_NONE, &sum));
        OK(taper_tensor_item(sum, &v));
        CHECK(v.f == 3000);
        OK(taper_event_synchronize(event));
        taper_event_free(event);
        taper_tensor_free(sum);
        taper_tensor_free(y);
    }
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "cuda";
    device = strcmp(name, "cuda") == 0 ? TAPER_CUDA(0) : strcmp(name, "opencl") == 0 ? TAPER_OPENCL(0) : TAPER_CPU;
    taper_set_conv_allow_tf32(false); /* what it is held to is float32 throughout */
    taper_manual_seed(1);
    shapes(1, 1);
    shapes(3, 5);
    shapes(65, 67);
    shapes(33, 257);
    training();
    faults();
    sharing();
    OK(taper_synchronize(device));
    OK(taper_memory_empty_cache(device));
    return finish(name);
}
