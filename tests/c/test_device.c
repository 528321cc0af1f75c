/* Devices: what there is, by number and by name; errors that say what is missing; modules and optimisers that move. The
 * parts that need an OpenCL or CUDA device run where there is one. */
#include "harness.h"

#include <unistd.h>

static bool opencl;

static void texts(void)
{
    taper_device d;
    taper_string *s = NULL;
    OK(taper_device_parse("opencl:3", &d));
    CHECK_INT(d.type, TAPER_DEVICE_OPENCL);
    CHECK_INT(d.index, 3);
    OK(taper_device_to_string(d, &s));
    CHECK(strcmp(taper_string_data(s), "opencl:3") == 0);
    CHECK(taper_string_free(s));
    OK(taper_device_parse("meta", &d));
    CHECK_INT(d.type, TAPER_DEVICE_META);
    {
        const int64_t large[] = {1 << 30, 1 << 30};
        taper_tensor *t = NULL, *u = NULL;
        float number = 0;
        OK(taper_zeros(large, 2, TAPER_FLOAT32, TAPER_META, &t));
        OK(taper_sum(t, TAPER_DTYPE_NONE, &u));
        FAILS(taper_tensor_copy_to_host(u, &number, sizeof number), TAPER_ERROR_NOT_IMPLEMENTED, "no data!");
        CHECK(taper_tensor_free(u));
        FAILS(taper_to_device(t, TAPER_CPU, &u), TAPER_ERROR_NOT_IMPLEMENTED, "Cannot copy out of meta tensor; no data!");
        CHECK(taper_tensor_free(t));
    }
    OK(taper_device_parse("cpu", &d));
    CHECK_INT(d.type, TAPER_DEVICE_CPU);
    OK(taper_device_to_string(d, &s));
    CHECK(strcmp(taper_string_data(s), "cpu") == 0);
    CHECK(taper_string_free(s));
    FAILS(taper_device_parse("gpu:1", &d), TAPER_ERROR_RUNTIME, "Expected one of cpu, cuda, opencl, meta device type");
    CHECK_INT(d.type, 0);
    FAILS(taper_device_parse("cuda:x", &d), TAPER_ERROR_RUNTIME, "Invalid device string: 'cuda:x'");
    FAILS(taper_device_parse("opencl:01", &d), TAPER_ERROR_RUNTIME, "Invalid device string");
    FAILS(taper_device_parse(NULL, &d), TAPER_ERROR_VALUE, "expected a string, got NULL");
    FAILS(taper_device_parse("cpu", NULL), TAPER_ERROR_VALUE, "'out'");
    FAILS(taper_device_to_string(taper_make_device(3, 0), &s), TAPER_ERROR_RUNTIME, "invalid device type 3");
}

static void check_properties(taper_device d)
{
    taper_device_properties p = TAPER_DEVICE_PROPERTIES_INIT, q = TAPER_DEVICE_PROPERTIES_INIT;
    struct {
        taper_device_properties p;
        char newer[64];
    } longer;
    taper_device found;
    OK(taper_device_get_properties(d, &p));
    CHECK_INT(p.struct_size, sizeof p);
    CHECK_INT(p.device.type, d.type);
    CHECK_INT(p.device.index, d.index);
    CHECK(p.name[0] != '\0' && p.version[0] != '\0' && p.platform[0] != '\0');
    CHECK(p.compute_units >= 1);
    CHECK(p.kind >= TAPER_DEVICE_KIND_OTHER && p.kind <= TAPER_DEVICE_KIND_ACCELERATOR);
    CHECK(p.dtypes >> TAPER_FLOAT32 & 1);
    CHECK(p.dtypes >> TAPER_BFLOAT16 & 1);
    CHECK((p.dtypes >> 20) == 0);
    OK(taper_device_check(d));
    OK(taper_device_find(d.type, p.name, &found));
    CHECK_INT(found.type, d.type);

    /* A program built with a newer header sees zeros in what this library does not know. */
    memset(&longer, 1, sizeof longer);
    longer.p.struct_size = sizeof longer;
    OK(taper_device_get_properties(d, &longer.p));
    CHECK_INT(longer.p.struct_size, sizeof longer);
    CHECK(strcmp(longer.p.name, p.name) == 0);
    CHECK(longer.newer[0] == 0 && longer.newer[63] == 0);
    q.struct_size = 0;
    FAILS(taper_device_get_properties(d, &q), TAPER_ERROR_VALUE, "use its _INIT macro");
    CHECK(q.name[0] == '\0');
    FAILS(taper_device_get_properties(d, NULL), TAPER_ERROR_VALUE, "expected a pointer to a struct, got NULL");
}

static void discovery(void)
{
    int32_t n = -1;
    taper_device d;
    OK(taper_device_count(TAPER_DEVICE_CPU, &n));
    CHECK_INT(n, 1);
    check_properties(TAPER_CPU);
    FAILS(taper_device_count(7, &n), TAPER_ERROR_RUNTIME, "invalid device type 7");
    FAILS(taper_device_find(TAPER_DEVICE_CPU, "no such device", &d), TAPER_ERROR_RUNTIME,
          "no CPU device is called 'no such device'; there are: cpu (");
    FAILS(taper_device_find(0, "no such device", &d), TAPER_ERROR_RUNTIME, "cpu (");
    FAILS(taper_device_find(0, NULL, &d), TAPER_ERROR_VALUE, "expected a string, got NULL");

    OK(taper_device_count(TAPER_DEVICE_OPENCL, &n));
    opencl = n > 0;
    for (int32_t i = 0; i < n; i++)
        check_properties(TAPER_OPENCL(i));
    if (opencl) {
        FAILS(taper_device_check(TAPER_OPENCL(500)), TAPER_ERROR_RUNTIME, "opencl:500 is not available: there ");
        FAILS(taper_device_check(TAPER_OPENCL(500)), TAPER_ERROR_RUNTIME, "opencl:0 (");
        FAILS(taper_device_find(TAPER_DEVICE_OPENCL, "no such device", &d), TAPER_ERROR_RUNTIME, "opencl:0 (");
    } else {
        taper_device_properties p = TAPER_DEVICE_PROPERTIES_INIT;
        taper_tensor *t = NULL;
        const int64_t two = 2;
        FAILS(taper_device_check(TAPER_OPENCL(0)), TAPER_ERROR_RUNTIME, "is not available: ");
        FAILS(taper_device_get_properties(TAPER_OPENCL(0), &p), TAPER_ERROR_RUNTIME, "is not available: ");
        FAILS(taper_device_find(TAPER_DEVICE_OPENCL, "x", &d), TAPER_ERROR_RUNTIME, "is not available: ");
        FAILS(taper_zeros(&two, 1, TAPER_FLOAT32, TAPER_OPENCL(0), &t), TAPER_ERROR_RUNTIME, "is not available: ");
        FAILS(taper_set_default_device(TAPER_OPENCL(0)), TAPER_ERROR_RUNTIME, "is not available: ");
        CHECK_INT(taper_get_default_device().type, TAPER_DEVICE_CPU);
    }
}

static void memory(taper_device d)
{
    taper_memory_info m;
    uint64_t free_bytes = 0, total = 0, peak;
    const int64_t large = 1 << 20;
    taper_tensor *t = NULL;
    OK(taper_zeros(&large, 1, TAPER_FLOAT32, d, &t));
    OK(taper_memory_stats(d, &m));
    CHECK(m.allocated >= 4 << 20 && m.allocated_peak >= m.allocated && m.reserved >= m.allocated);
    peak = m.allocated_peak;
    CHECK(taper_tensor_free(t));
    OK(taper_synchronize(d));
    OK(taper_memory_stats(d, &m));
    CHECK(m.allocated + (4 << 20) <= peak);
    CHECK_INT(m.allocated_peak, peak);
    OK(taper_memory_reset_peak(d));
    OK(taper_memory_stats(d, &m));
    CHECK(m.allocated_peak < peak);
    CHECK_INT(m.allocated_peak, m.allocated);
    OK(taper_memory_empty_cache(d));
    OK(taper_memory_get_info(d, &free_bytes, &total));
    CHECK(free_bytes > 0 && free_bytes <= total);
    FAILS(taper_memory_get_info(d, NULL, &total), TAPER_ERROR_VALUE, "'free_bytes'");
}

/* ---- training that moves from device to device --------------------------------------------------------------------- */

typedef struct {
    taper_module *net;
    taper_optimizer *optimizer;
} job;

static job new_job(taper_device d)
{
    job j = {NULL, NULL};
    taper_module *parts[3] = {NULL, NULL, NULL};
    taper_tensor_list *list = NULL;
    taper_adam_options adam = TAPER_ADAM_OPTIONS_INIT;
    adam.lr = 0.05;
    taper_manual_seed(3);
    OK(taper_nn_linear_new(3, 4, true, &parts[0]));
    OK(taper_nn_relu_new(false, &parts[1]));
    OK(taper_nn_linear_new(4, 2, true, &parts[2]));
    OK(taper_nn_sequential_new(parts, 3, &j.net));
    for (int i = 0; i < 3; i++)
        taper_module_free(parts[i]);
    OK(taper_module_to(j.net, TAPER_DTYPE_NONE, d));
    OK(taper_module_parameters(j.net, &list));
    OK(taper_optim_adam_new_from_list(list, &adam, &j.optimizer));
    taper_tensor_list_free(list);
    return j;
}

static void free_job(job j)
{
    taper_optimizer_free(j.optimizer);
    taper_module_free(j.net);
}

/* One step on fixed data on device d; the loss. */
static double step(job j, taper_device d)
{
    const float xs[] = {1, 2, 3, -1, 0.5f, 2, 0, 1, -2, 3, 3, 1}, ys[] = {1, 0, 0, 1, 1, 1, 0, 0};
    taper_tensor *x = NULL, *y = NULL, *out = NULL, *loss = NULL;
    double value;
    taper_scope_begin();
    x = floats(xs, 4, 3);
    y = floats(ys, 4, 2);
    OK(taper_to_device(x, d, &x));
    OK(taper_to_device(y, d, &y));
    OK(taper_optimizer_zero_grad(j.optimizer, true));
    OK(taper_module_forward(j.net, &x, 1, &out));
    CHECK_INT(taper_tensor_device(out).type, d.type);
    OK(taper_mse_loss(out, y, "mean", &loss));
    OK(taper_backward(&loss, 1, NULL, 0, false, false, NULL, 0));
    OK(taper_optimizer_step(j.optimizer));
    value = item(loss);
    OK(taper_scope_end());
    return value;
}

static void moves(taper_device d)
{
    double wanted[8];
    char weights[64], state[64];
    taper_named_tensors *dict = NULL;
    taper_tensor *t = NULL;
    job a = new_job(TAPER_CPU), b = new_job(TAPER_CPU), c;
    snprintf(weights, sizeof weights, "target/c-tests/move-%d.safetensors", (int)getpid());
    snprintf(state, sizeof state, "target/c-tests/move-state-%d.safetensors", (int)getpid());
    for (int i = 0; i < 8; i++)
        wanted[i] = step(a, TAPER_CPU);

    /* The optimiser's state follows the parameters, there and back. */
    for (int i = 0; i < 8; i++) {
        const taper_device here = i / 2 % 2 == 0 ? TAPER_CPU : d;
        OK(taper_module_to(b.net, TAPER_DTYPE_NONE, here));
        CHECK(fabs(step(b, here) - wanted[i]) < 1e-5);
    }
    free_job(a);

    /* Saved on the device, loaded on the CPU and on the device; each goes on like the one that was saved. */
    OK(taper_module_save(b.net, weights));
    OK(taper_optimizer_save(b.optimizer, state));
    OK(taper_module_state_dict(b.net, &dict));
    OK(taper_named_tensors_get_by_name(dict, "0.weight", &t));
    CHECK_INT(taper_tensor_device(t).type, d.type);
    taper_tensor_free(t);
    const double next = step(b, d);
    for (int i = 0; i < 2; i++) {
        const taper_device here = i == 0 ? TAPER_CPU : d;
        c = new_job(here);
        OK(taper_module_load(c.net, weights, true));
        OK(taper_optimizer_load(c.optimizer, state));
        CHECK(fabs(step(c, here) - next) < 1e-5);
        free_job(c);
    }
    taper_named_tensors_free(dict);
    /* A state dict straight from the device into a network on the CPU. */
    c = new_job(TAPER_CPU);
    OK(taper_module_state_dict(b.net, &dict));
    OK(taper_module_load_state_dict(c.net, dict, true));
    taper_named_tensors_free(dict);
    CHECK(fabs(step(c, TAPER_CPU) - step(b, d)) < 1e-5);
    free_job(c);
    OK(taper_named_tensors_load(weights, d, &dict));
    OK(taper_named_tensors_get_by_name(dict, "2.bias", &t));
    CHECK_INT(taper_tensor_device(t).type, d.type);
    taper_tensor_free(t);
    taper_named_tensors_free(dict);
    free_job(b);
    unlink(weights);
    unlink(state);
}

static void two_devices(taper_device d)
{
    const char *name = d.type == TAPER_DEVICE_CUDA ? "cuda:0" : "opencl:0";
    const float v[] = {1, 2};
    taper_tensor *x = floats(v, 2, 0), *y = NULL, *z = NULL;
    OK(taper_to_device(x, d, &y));
    FAILS(taper_add(x, y, taper_scalar_i64(1), &z), TAPER_ERROR_RUNTIME, name);
    FAILS(taper_add(x, y, taper_scalar_i64(1), &z), TAPER_ERROR_RUNTIME, "cpu");
    CHECK(z == NULL);
    taper_tensor_free(y);
    OK(taper_set_default_device(d));
    const int64_t two = 2;
    OK(taper_ones(&two, 1, TAPER_FLOAT32, TAPER_DEVICE_NONE, &y));
    OK(taper_set_default_device(TAPER_CPU));
    CHECK_INT(taper_tensor_device(y).type, d.type);
    CHECK(at(y, 1) == 1);
    taper_tensor_free(x);
    taper_tensor_free(y);
}

/* Two devices of one kind: tensors and training go from one to the other, and do not mix. */
static void a_pair(taper_device first, taper_device second)
{
    const float v[] = {1, 2};
    char weights[64];
    taper_tensor *x = floats(v, 2, 0), *here = NULL, *there = NULL, *z = NULL;
    taper_string *one = NULL, *other = NULL;
    OK(taper_device_to_string(first, &one));
    OK(taper_device_to_string(second, &other));
    OK(taper_to_device(x, first, &here));
    OK(taper_to_device(here, second, &there));
    CHECK_INT(taper_tensor_device(here).index, first.index);
    CHECK_INT(taper_tensor_device(there).index, second.index);
    CHECK(at(there, 0) == 1 && at(there, 1) == 2);
    FAILS(taper_add(here, there, taper_scalar_i64(1), &z), TAPER_ERROR_RUNTIME, taper_string_data(one));
    FAILS(taper_mul(there, here, &z), TAPER_ERROR_RUNTIME, taper_string_data(other));
    CHECK(z == NULL);
    taper_string_free(one);
    taper_string_free(other);
    taper_tensor_free(x);
    taper_tensor_free(here);
    taper_tensor_free(there);

    job a = new_job(TAPER_CPU), b = new_job(first);
    for (int i = 0; i < 6; i++) {
        const taper_device d = i / 2 % 2 == 0 ? first : second;
        OK(taper_module_to(b.net, TAPER_DTYPE_NONE, d));
        CHECK(fabs(step(b, d) - step(a, TAPER_CPU)) < 1e-5);
    }
    OK(taper_module_to(b.net, TAPER_DTYPE_NONE, first));
    snprintf(weights, sizeof weights, "target/c-tests/pair-%d.safetensors", (int)getpid());
    OK(taper_module_save(b.net, weights));
    job c = new_job(second);
    OK(taper_module_load(c.net, weights, true));
    CHECK(fabs(step(c, second) - step(b, first)) < 1e-5);
    free_job(a);
    free_job(b);
    free_job(c);
    remove(weights);
}

static void seeds(taper_device d)
{
    const int64_t many = 64;
    taper_tensor *a = NULL, *b = NULL, *c = NULL;
    taper_manual_seed(1);
    OK(taper_rand(&many, 1, NULL, TAPER_FLOAT32, TAPER_CPU, &a));
    taper_manual_seed(1);
    taper_manual_seed_devices(2); /* leaves the CPU's numbers as they are */
    OK(taper_rand(&many, 1, NULL, TAPER_FLOAT32, TAPER_CPU, &b));
    for (size_t i = 0; i < 64; i++)
        CHECK(at(a, i) == at(b, i));
    taper_tensor_free(a);
    taper_tensor_free(b);
    if (d.type == TAPER_DEVICE_CPU)
        return;
    taper_manual_seed(2);
    OK(taper_rand(&many, 1, NULL, TAPER_FLOAT32, d, &a));
    taper_manual_seed(1);
    OK(taper_rand(&many, 1, NULL, TAPER_FLOAT32, d, &b));
    taper_manual_seed_devices(2);
    OK(taper_rand(&many, 1, NULL, TAPER_FLOAT32, d, &c));
    CHECK(at(a, 0) == at(c, 0) && at(a, 63) == at(c, 63));
    CHECK(at(a, 0) != at(b, 0) || at(a, 1) != at(b, 1));
    taper_tensor_free(a);
    taper_tensor_free(b);
    taper_tensor_free(c);
}

/* The same Philox state gives the same draws on every device. */
static void same_draws(taper_device there)
{
    taper_generator *g = NULL;
    const int64_t n = 1000;
    const uint64_t before = taper_tensor_handle_count();
    float here_draws[1000], there_draws[1000];
    int i, kind;
    OK(taper_generator_new(&g));
    CHECK_INT(taper_generator_algorithm(g), TAPER_RANDOM_MT19937);
    OK(taper_generator_set_algorithm(g, TAPER_RANDOM_PHILOX));
    CHECK_INT(taper_generator_algorithm(g), TAPER_RANDOM_PHILOX);
    FAILS(taper_generator_set_algorithm(g, 2), TAPER_ERROR_VALUE, "invalid algorithm 2; valid are 0 (MT19937) and 1 (Philox)");
    FAILS(taper_generator_set_algorithm(NULL, 1), TAPER_ERROR_INVALID_HANDLE, "expected a generator handle, got NULL");
    CHECK_INT(taper_generator_algorithm(NULL), -1);
    taper_scope_begin();
    for (kind = 0; kind < 4; kind++) {
        const taper_device where[2] = {TAPER_CPU, there};
        for (i = 0; i < 2; i++) {
            taper_tensor *t = NULL, *ones = NULL;
            OK(taper_generator_manual_seed(g, 11));
            if (kind == 0) {
                OK(taper_rand(&n, 1, g, TAPER_FLOAT32, where[i], &t));
            } else if (kind == 1) {
                OK(taper_randint(1000, &n, 1, g, TAPER_FLOAT32, where[i], &t));
            } else if (kind == 2) {
                OK(taper_ones(&n, 1, TAPER_FLOAT32, where[i], &ones));
                OK(taper_dropout(ones, 0.3, true, g, &t));
            } else {
                OK(taper_randn(&n, 1, g, TAPER_FLOAT32, where[i], &t));
            }
            OK(taper_tensor_copy_to_host(t, i ? there_draws : here_draws, sizeof here_draws));
        }
        for (i = 0; i < n; i++) {
            const float far = fabsf(here_draws[i] - there_draws[i]);
            if (kind < 3 ? far != 0 : far > 1e-6f * (1 + fabsf(here_draws[i]))) {
                break;
            }
        }
        CHECK_INT(i, n);
    }
    OK(taper_scope_end());
    CHECK_INT(taper_tensor_handle_count(), before);
    taper_generator_free(g);
}

static int said;
static void listen(void *user, int32_t level, const char *text)
{
    said += level == TAPER_LOG_DEBUG && strstr(text, "cpu: memory that was kept") && *(int *)user == 7;
}
static int released;
static void release(void *user)
{
    released += *(int *)user == 7;
}
static void messages(void)
{
    static int seven = 7;
    taper_log_vtable v = {sizeof v, listen, release};
    OK(taper_set_log_callback(&v, &seven, TAPER_LOG_DEBUG));
    OK(taper_memory_empty_cache(TAPER_CPU));
    CHECK(said == 1);
    OK(taper_set_log_callback(&v, &seven, TAPER_LOG_WARNING));
    CHECK(released == 1);
    OK(taper_memory_empty_cache(TAPER_CPU));
    OK(taper_set_log_callback(NULL, NULL, TAPER_LOG_DEBUG));
    OK(taper_memory_empty_cache(TAPER_CPU));
    CHECK(said == 1 && released == 2);
    FAILS(taper_set_log_callback(&v, &seven, 9), TAPER_ERROR_VALUE, "expected a TAPER_LOG_... code, got 9");
    CHECK(released == 3);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "count") == 0) {
        int32_t n = 0;
        OK(taper_device_count(TAPER_DEVICE_OPENCL, &n));
        printf("%d\n", (int)n);
        return 0;
    }
    texts();
    messages();
    discovery();
    memory(TAPER_CPU);
    seeds(TAPER_CPU);
    moves(TAPER_CPU);
    for (int i = 0; i < 2; i++) {
        const taper_device d = i == 0 ? TAPER_OPENCL(0) : TAPER_CUDA(0);
        int32_t n = 0;
        OK(taper_device_count(d.type, &n));
        printf("             %s: %s\n", i == 0 ? "OpenCL" : "CUDA", n > 0 ? "tested" : "no device");
        if (n == 0)
            continue;
        check_properties(d);
        memory(d);
        seeds(d);
        same_draws(d);
        moves(d);
        two_devices(d);
        if (n > 1)
            a_pair(d, taper_make_device(d.type, 1));
        else
            printf("             one device: nothing goes from one to another\n");
    }
    return finish("device");
}
