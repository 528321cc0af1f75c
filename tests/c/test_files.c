/* Files of every format, opened files, names that a module did not match, checkpoints. */
#include "harness.h"

#include <unistd.h>

static char dir[64];
static const char *in(const char *name)
{
    static char paths[4][128];
    static int next;
    char *p = paths[next++ % 4];
    snprintf(p, 128, "%s/%s", dir, name);
    return p;
}
static taper_named_tensors *sample(void)
{
    taper_named_tensors *n = NULL;
    taper_tensor *t = NULL;
    const float values[] = {0, 1, 2, 3, 4, 5};
    const int64_t sizes[] = {3, 2};
    OK(taper_named_tensors_new(&n));
    OK(taper_tensor_from_data(values, sizes, 2, TAPER_FLOAT32, TAPER_CPU, &t));
    OK(taper_named_tensors_insert(n, "a.weight", t));
    OK(taper_named_tensors_insert(n, "b.weight", t));
    OK(taper_named_tensors_set_metadata(n, "a.note", "text"));
    taper_tensor_free(t);
    return n;
}

static void formats(void)
{
    taper_named_tensors *n = sample(), *back = NULL, *part = NULL;
    taper_tensor *t = NULL, *bytes = NULL;
    taper_string *s = NULL;
    static const char *const names[] = {"safetensors", "pt", "npz", "npz_compressed"};
    for (int i = 0; i < 4; ++i) {
        OK(taper_named_tensors_save_as(n, in("x"), names[i]));
        OK(taper_named_tensors_load(in("x"), TAPER_DEVICE_NONE, &back));
        CHECK_INT(taper_named_tensors_len(back), 2);
        OK(taper_named_tensors_get_by_name(back, "b.weight", &t));
        CHECK(at(t, 5) == 5);
        taper_tensor_free(t);
        CHECK_INT(taper_named_tensors_num_metadata(back), i < 2 ? 1 : 0);
        taper_named_tensors_free(back);
        OK(taper_named_tensors_to_memory(n, names[i], &bytes));
        void *data = NULL;
        size_t len = (size_t)taper_tensor_numel(bytes);
        OK(taper_tensor_data(bytes, &data));
        OK(taper_named_tensors_from_memory(data, len, TAPER_CPU, &back));
        CHECK_INT(taper_named_tensors_len(back), 2);
        taper_named_tensors_free(back);
        FAILS(taper_named_tensors_from_memory(data, len - 1, TAPER_CPU, &back), TAPER_ERROR_IO, "the bytes");
        taper_tensor_free(bytes);
    }
    FAILS(taper_named_tensors_save_as(n, in("x"), "gif"), TAPER_ERROR_VALUE, "there is no format \"gif\"");
    FAILS(taper_named_tensors_save_as(n, in("x"), "npy"), TAPER_ERROR_VALUE, "an NPY file holds one array");
    OK(taper_named_tensors_load(in("x"), TAPER_CPU, &back)); /* the old content stayed */
    taper_named_tensors_free(back);
    OK(taper_named_tensors_select(n, "a.", &part));
    CHECK_INT(taper_named_tensors_len(part), 1);
    CHECK(strcmp(taper_named_tensors_name(part, 0), "weight") == 0);
    OK(taper_named_tensors_metadata_key(part, 0, &s));
    CHECK(strcmp(taper_string_data(s), "note") == 0);
    taper_string_free(s);
    FAILS(taper_named_tensors_metadata_key(part, 1, &s), TAPER_ERROR_INDEX, "there are 1 text entries");
    taper_named_tensors_free(part);

    size_t files = 0;
    OK(taper_named_tensors_save_sharded(n, dir, NULL, 24, &files));
    CHECK_INT(files, 2);
    OK(taper_named_tensors_load(dir, TAPER_CPU, &back));
    CHECK_INT(taper_named_tensors_len(back), 2);
    taper_named_tensors_free(back);
    taper_named_tensors_free(n);
}

static int dropped;
static void drop(void *user)
{
    free(user);
    ++dropped;
}
static void opened(void)
{
    taper_named_tensors *n = sample(), *texts = NULL;
    taper_tensor_file *f = NULL;
    taper_tensor *t = NULL, *bytes = NULL;
    taper_string *s = NULL;
    OK(taper_named_tensors_save(n, in("x")));
    for (int mapped = 0; mapped < 2; ++mapped) {
        OK(taper_tensor_file_open(in("x"), mapped, &f));
        CHECK_INT(taper_tensor_file_len(f), 2);
        CHECK(strcmp(taper_tensor_file_name(f, 1), "b.weight") == 0 && !taper_tensor_file_name(f, 2));
        OK(taper_tensor_file_format(f, &s));
        CHECK(strcmp(taper_string_data(s), "safetensors") == 0);
        taper_string_free(s);
        int32_t dtype = 0;
        int64_t sizes[4];
        size_t ndim = 0;
        OK(taper_tensor_file_dtype(f, "a.weight", &dtype));
        OK(taper_tensor_file_sizes(f, "a.weight", sizes, 4, &ndim));
        CHECK(dtype == TAPER_FLOAT32 && ndim == 2 && sizes[0] == 3 && sizes[1] == 2);
        OK(taper_tensor_file_get_rows(f, "a.weight", 1, 2, TAPER_DEVICE_NONE, &t));
        CHECK(taper_tensor_numel(t) == 2 && at(t, 0) == 2);
        taper_tensor_free(t);
        OK(taper_tensor_file_get(f, "a.weight", TAPER_CPU, &t));
        FAILS(taper_tensor_file_get(f, "c", TAPER_CPU, &bytes), TAPER_ERROR_KEY, "there is no tensor \"c\"");
        OK(taper_tensor_file_metadata(f, &texts));
        OK(taper_named_tensors_metadata(texts, "a.note", &s));
        CHECK(strcmp(taper_string_data(s), "text") == 0);
        taper_string_free(s);
        taper_named_tensors_free(texts);
        CHECK(taper_tensor_file_free(f) && !taper_tensor_file_free(f));
        CHECK(at(t, 3) == 3); /* tensors outlive the file */
        taper_tensor_free(t);
    }
    FAILS(taper_tensor_file_open(in("gone"), false, &f), TAPER_ERROR_IO, "cannot read");
    OK(taper_named_tensors_to_memory(n, "pt", &bytes));
    size_t len = (size_t)taper_tensor_numel(bytes);
    char *copy = malloc(len);
    OK(taper_tensor_copy_to_host(bytes, copy, len));
    OK(taper_tensor_file_open_memory(copy, len, drop, copy, &f));
    OK(taper_tensor_file_get(f, "b.weight", TAPER_CPU, &t));
    CHECK(at(t, 4) == 4 && dropped == 0);
    taper_tensor_free(t);
    taper_tensor_file_free(f);
    CHECK_INT(dropped, 1);
    FAILS(taper_tensor_file_open_memory("bad", 3, drop, malloc(1), &f), TAPER_ERROR_IO, "too few");
    CHECK_INT(dropped, 2);
    taper_tensor_free(bytes);
    taper_named_tensors_free(n);
}

static void pytorchs(void)
{
    taper_named_tensors *n = NULL, *model = NULL;
    taper_module *net = NULL;
    taper_string *missing = NULL, *unexpected = NULL;
    OK(taper_named_tensors_load("tests/fixtures/files/checkpoint.pt", TAPER_CPU, &n));
    OK(taper_named_tensors_select(n, "model.0.", &model));
    OK(taper_nn_linear_new(2, 3, true, &net));
    OK(taper_module_load_state_dict_keys(net, model, true, &missing, &unexpected));
    CHECK(taper_string_len(missing) == 0 && taper_string_len(unexpected) == 0);
    taper_string_free(missing);
    taper_string_free(unexpected);
    FAILS(taper_module_load_keys(net, "tests/fixtures/files/state.pt", false, &missing, &unexpected), TAPER_ERROR_RUNTIME,
          "size mismatch for weight");
    taper_module_free(net);
    OK(taper_nn_linear_new(4, 3, true, &net));
    FAILS(taper_module_load_keys(net, "tests/fixtures/files/legacy.pt", true, &missing, &unexpected), TAPER_ERROR_RUNTIME,
          "Missing key(s) in state_dict: \"bias\"");
    OK(taper_module_load_keys(net, "tests/fixtures/files/legacy.pt", false, &missing, &unexpected));
    CHECK(strcmp(taper_string_data(missing), "bias") == 0);
    CHECK(strncmp(taper_string_data(unexpected), "tied\nturned\n", 12) == 0);
    taper_string_free(missing);
    taper_string_free(unexpected);
    taper_tensor *w = NULL;
    OK(taper_module_get_parameter(net, "weight", &w));
    CHECK(at(w, 11) == 11);
    taper_tensor_free(w);
    taper_module_free(net);
    taper_named_tensors_free(model);
    taper_named_tensors_free(n);
}

/* A run in mixed precision that PyTorch saved goes on: weights, the optimizer's state, the scaler's numbers. */
static void pytorchs_run(void)
{
    taper_named_tensors *n = NULL, *part = NULL, *after = NULL;
    taper_module *net = NULL;
    taper_optimizer *adam = NULL;
    taper_tensor *p[2] = {NULL, NULL}, *wanted = NULL, *number = NULL;
    taper_string *missing = NULL, *unexpected = NULL;
    OK(taper_named_tensors_load("tests/fixtures/files/training.pt", TAPER_CPU, &n));
    OK(taper_named_tensors_load("tests/fixtures/files/training_after.pt", TAPER_CPU, &after));
    OK(taper_nn_linear_new(3, 2, true, &net));
    OK(taper_named_tensors_select(n, "model.", &part));
    OK(taper_module_load_state_dict_keys(net, part, true, &missing, &unexpected));
    taper_string_free(missing);
    taper_string_free(unexpected);
    taper_named_tensors_free(part);
    OK(taper_module_get_parameter(net, "weight", &p[0]));
    OK(taper_module_get_parameter(net, "bias", &p[1]));
    OK(taper_optim_adam_new(p, 2, NULL, &adam));
    OK(taper_named_tensors_select(n, "optimizer.", &part));
    OK(taper_optimizer_load_state_dict(adam, part));
    taper_named_tensors_free(part);
    OK(taper_named_tensors_get_by_name(n, "scaler.scale", &number));
    CHECK(item(number) == 1024 && taper_tensor_dtype(number) == TAPER_FLOAT64);
    taper_tensor_free(number);
    OK(taper_named_tensors_get_by_name(n, "scaler._growth_tracker", &number));
    CHECK(item(number) == 2 && taper_tensor_dtype(number) == TAPER_INT64);
    taper_tensor_free(number);
    const float quarters[] = {.25f, .5f, .75f, 1, 1.25f, 1.5f};
    for (int i = 0; i < 2; ++i) {
        taper_tensor *g = i ? floats(quarters, 2, 0) : floats(quarters, 2, 3);
        bool same = false;
        OK(taper_tensor_set_grad(p[i], g));
        taper_tensor_free(g);
        if (i)
            OK(taper_optimizer_step(adam));
        for (int k = 0; i && k < 2; ++k) {
            OK(taper_named_tensors_get_by_name(after, k ? "model.bias" : "model.weight", &wanted));
            /* A step's sums may be rounded another way. */
            OK(taper_allclose(p[k], wanted, 0, 1e-7, false, &same));
            CHECK(same);
            taper_tensor_free(wanted);
        }
    }
    /* The same run, written as PyTorch writes state dicts and read again. */
    OK(taper_named_tensors_save_as(n, in("run.pt"), "pt"));
    OK(taper_named_tensors_load(in("run.pt"), TAPER_CPU, &part));
    CHECK_INT(taper_named_tensors_len(part), taper_named_tensors_len(n));
    for (size_t i = 0; i < taper_named_tensors_len(n); ++i) {
        taper_tensor *a = NULL, *b = NULL;
        bool same = false;
        OK(taper_named_tensors_get(n, i, &a));
        OK(taper_named_tensors_get_by_name(part, taper_named_tensors_name(n, i), &b));
        OK(taper_equal(a, b, &same));
        CHECK(same && taper_tensor_dtype(a) == taper_tensor_dtype(b));
        taper_tensor_free(a);
        taper_tensor_free(b);
    }
    taper_named_tensors_free(part);
    taper_named_tensors_free(n);
    taper_named_tensors_free(after);
    taper_tensor_free(p[0]);
    taper_tensor_free(p[1]);
    taper_optimizer_free(adam);
    taper_module_free(net);
}

static void train(taper_module *net, taper_optimizer *adam, taper_schedule *step)
{
    const int64_t sizes[] = {4, 3};
    taper_tensor *x = NULL, *y = NULL, *loss = NULL;
    OK(taper_randn(sizes, 2, NULL, TAPER_DTYPE_NONE, TAPER_DEVICE_NONE, &x));
    OK(taper_module_forward(net, &x, 1, &y));
    OK(taper_sum(y, TAPER_DTYPE_NONE, &loss));
    OK(taper_optimizer_zero_grad(adam, true));
    OK(taper_backward(&loss, 1, NULL, 0, false, false, NULL, 0));
    OK(taper_optimizer_step(adam));
    OK(taper_schedule_step(step));
    taper_tensor_free(x);
    taper_tensor_free(y);
    taper_tensor_free(loss);
}
static void checkpoints(void)
{
    taper_module *net[2];
    taper_optimizer *adam[2];
    taper_schedule *step[2];
    for (int i = 0; i < 2; ++i) {
        taper_tensor_list *params = NULL;
        taper_tensor *p[2] = {NULL, NULL};
        OK(taper_nn_linear_new(3, 2, true, &net[i]));
        OK(taper_module_parameters(net[i], &params));
        OK(taper_tensor_list_get(params, 0, &p[0]));
        OK(taper_tensor_list_get(params, 1, &p[1]));
        OK(taper_optim_adam_new(p, 2, NULL, &adam[i]));
        OK(taper_schedule_step_lr_create(adam[i], 2, NULL, &step[i]));
        taper_tensor_free(p[0]);
        taper_tensor_free(p[1]);
        taper_tensor_list_free(params);
    }
    train(net[0], adam[0], step[0]);
    taper_named_tensors *extra = sample(), *back = NULL;
    taper_string *missing = NULL, *unexpected = NULL;
    OK(taper_checkpoint_save(in("run"), net, 1, adam, 1, step, 1, NULL, 0, extra));
    train(net[0], adam[0], step[0]);
    train(net[0], adam[0], step[0]);
    OK(taper_checkpoint_load(in("run"), &net[1], 1, &adam[1], 1, &step[1], 1, NULL, 0, true, &back, &missing, &unexpected));
    CHECK_INT(taper_named_tensors_len(back), 2);
    CHECK_INT(taper_string_len(missing), 0);
    taper_string_free(missing);
    taper_string_free(unexpected);
    taper_named_tensors_free(back);
    train(net[1], adam[1], step[1]);
    train(net[1], adam[1], step[1]);
    taper_tensor *a = NULL, *b = NULL;
    bool same = false;
    OK(taper_module_get_parameter(net[0], "weight", &a));
    OK(taper_module_get_parameter(net[1], "weight", &b));
    OK(taper_equal(a, b, &same));
    CHECK(same);
    taper_tensor_free(a);
    taper_tensor_free(b);
    FAILS(taper_checkpoint_load(in("run"), net, 2, adam, 1, step, 1, NULL, 0, true, &back, &missing, &unexpected),
          TAPER_ERROR_VALUE, "has 1 models, but 2 were given");
    OK(taper_named_tensors_save(extra, in("run")));
    FAILS(taper_checkpoint_load(in("run"), net, 1, adam, 1, step, 1, NULL, 0, true, &back, &missing, &unexpected),
          TAPER_ERROR_IO, "is no checkpoint");
    taper_named_tensors_free(extra);
    for (int i = 0; i < 2; ++i) {
        taper_module_free(net[i]);
        taper_optimizer_free(adam[i]);
        taper_schedule_free(step[i]);
    }
}

int main(void)
{
    snprintf(dir, sizeof dir, "target/c-tests/files-%d", (int)getpid());
    char command[128];
    snprintf(command, sizeof command, "mkdir -p %s", dir);
    CHECK_INT(system(command), 0);
    formats();
    opened();
    pytorchs();
    pytorchs_run();
    checkpoints();
    snprintf(command, sizeof command, "rm -r %s", dir);
    CHECK_INT(system(command), 0);
    return finish("files");
}
