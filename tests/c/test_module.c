/* Modules, hooks, named tensors and files, optimisers. */
#include "harness.h"

#include <sys/stat.h>
#include <unistd.h>

/* ---- a module of our own ------------------------------------------------------------------------------------------- */

typedef struct {
    taper_module *inner; /* owned */
    int forwards, drops_seen;
    int fail; /* 1: an error of our own, 2: no result, 3: a freed handle */
} scaled;

static int drops, payload_drops;

static void drop_payload(void *payload)
{
    (void)payload;
    payload_drops++;
}

static taper_error *scaled_forward(void *user, taper_module *self, taper_tensor *const *inputs, size_t n,
                                   taper_tensor **out)
{
    scaled *s = user;
    taper_tensor *y = NULL, *scale = NULL, *z = NULL;
    static int payload;
    s->forwards++;
    if (s->fail == 1)
        return taper_error_new(TAPER_ERROR_VALUE, "not today", &payload, drop_payload);
    if (s->fail == 2)
        return NULL;
    if (n != 1)
        return taper_error_new(TAPER_ERROR_TYPE, "Scaled takes one input", NULL, NULL);
    TAPER_TRY(taper_module_forward(s->inner, inputs, 1, &y));
    if (s->fail == 3) {
        taper_tensor_free(y);
        *out = y;
        return NULL;
    }
    TAPER_TRY(taper_module_get_parameter(self, "scale", &scale));
    TAPER_TRY(taper_mul(y, scale, &z));
    taper_tensor_free(y);
    taper_tensor_free(scale);
    *out = z;
    return NULL;
}

static taper_error *scaled_repr(void *user, taper_module *self, taper_string **out)
{
    char text[64];
    snprintf(text, sizeof text, "forwards=%d\nkind=test", ((scaled *)user)->forwards);
    (void)self;
    return taper_string_new(text, out);
}

static void scaled_drop(void *user)
{
    scaled *s = user;
    taper_module_free(s->inner);
    free(s);
    drops++;
}

static taper_module *new_scaled(scaled **state)
{
    taper_module_vtable vtable = TAPER_MODULE_VTABLE_INIT;
    taper_module *m = NULL;
    taper_tensor *scale = NULL;
    const float two = 2;
    const int64_t none[] = {0};
    scaled *s = calloc(1, sizeof *s);
    *state = s;
    vtable.forward = scaled_forward;
    vtable.extra_repr = scaled_repr;
    vtable.drop = scaled_drop;
    OK(taper_module_new("Scaled", &vtable, s, &m));
    OK(taper_nn_linear_new(2, 2, true, &s->inner));
    OK(taper_module_register_module(m, "inner", s->inner));
    OK(taper_tensor_from_data(&two, none, 0, TAPER_FLOAT32, TAPER_CPU, &scale));
    OK(taper_module_register_parameter(m, "scale", scale));
    CHECK_INT(taper_tensor_requires_grad(scale), 1);
    taper_tensor_free(scale);
    return m;
}

static void set_weights(taper_module *m)
{
    const float w[] = {1, 0, 0, 1}, b[] = {0.5f, -0.5f};
    taper_named_tensors *state = NULL;
    taper_tensor *t = floats(w, 2, 2), *u = floats(b, 2, 0);
    OK(taper_module_state_dict(m, &state));
    OK(taper_named_tensors_insert(state, "inner.weight", t));
    OK(taper_named_tensors_insert(state, "inner.bias", u));
    OK(taper_module_load_state_dict(m, state, true));
    taper_named_tensors_free(state);
    taper_tensor_free(t);
    taper_tensor_free(u);
}

static void check_text(taper_string *s, const char *wanted)
{
    const char *got = taper_string_data(s);
    CHECK(got && strcmp(got, wanted) == 0);
    if (got && strcmp(got, wanted) != 0)
        fprintf(stderr, "got:\n%s\nwanted:\n%s\n", got, wanted);
    taper_string_free(s);
}

static void own_modules(void)
{
    scaled *s;
    taper_module *m = new_scaled(&s), *same = NULL, *child = NULL;
    const float data[] = {1, 2};
    taper_tensor *x = floats(data, 1, 2), *y = NULL;
    taper_string *text = NULL, *name = NULL;
    taper_module_vtable broken = TAPER_MODULE_VTABLE_INIT;

    set_weights(m);
    OK(taper_module_forward(m, &x, 1, &y));
    CHECK(at(y, 0) == 3.0 && at(y, 1) == 3.0);
    taper_tensor_free(y);
    y = NULL;
    OK(taper_module_to_string(m, &text));
    check_text(text, "Scaled(\n  forwards=1\n  kind=test\n  (inner): Linear(in_features=2, out_features=2, bias=True)\n)");

    CHECK_INT(taper_module_num_children(m), 1);
    OK(taper_module_child_at(m, 0, &name, &child));
    check_text(name, "inner");
    CHECK(taper_module_id(child) == taper_module_id(s->inner) && taper_module_id(child) != taper_module_id(m));
    FAILS(taper_module_child_at(m, 1, &name, &same), TAPER_ERROR_INDEX, "there are 1 children");
    CHECK(!name && !same);
    FAILS(taper_module_register_module(child, "up", m), TAPER_ERROR_VALUE, "it contains that module");
    taper_module_free(child);

    /* Errors of the callback arrive as they were, with their payload. */
    s->fail = 1;
    taper_error *e = taper_module_forward(m, &x, 1, &y);
    CHECK_INT(taper_error_code(e), TAPER_ERROR_VALUE);
    CHECK(strcmp(taper_error_message(e), "not today") == 0 && taper_error_payload(e) != NULL && !y);
    taper_error_free(e);
    CHECK_INT(payload_drops, 1);
    s->fail = 2;
    FAILS(taper_module_forward(m, &x, 1, &y), TAPER_ERROR_CALLBACK, "without setting its result");
    s->fail = 3;
    FAILS(taper_module_forward(m, &x, 1, &y), TAPER_ERROR_CALLBACK, "no live tensor handle");
    s->fail = 0;
    taper_tensor *two[] = {x, x};
    FAILS(taper_module_forward(m, two, 2, &y), TAPER_ERROR_TYPE, "one input");

    /* The module lives as long as any handle; drop runs once. */
    OK(taper_module_ref(m, &same));
    CHECK(taper_module_id(same) == taper_module_id(m));
    CHECK(taper_module_free(m) && !taper_module_free(m));
    CHECK_INT(drops, 0);
    FAILS(taper_module_forward(m, &x, 1, &y), TAPER_ERROR_INVALID_HANDLE, "has been freed");
    FAILS(taper_module_forward((taper_module *)x, &x, 1, &y), TAPER_ERROR_INVALID_HANDLE, "got a tensor handle");
    CHECK(taper_module_free(same));
    CHECK_INT(drops, 1);

    /* drop also runs when making the module fails. */
    s = calloc(1, sizeof *s);
    broken.drop = scaled_drop;
    FAILS(taper_module_new(NULL, &broken, s, &m), TAPER_ERROR_VALUE, "name");
    CHECK_INT(drops, 2);
    broken.struct_size = 0;
    FAILS(taper_module_new("M", &broken, NULL, &m), TAPER_ERROR_VALUE, "struct_size");
    broken.struct_size = sizeof broken;
    broken.drop = NULL;
    OK(taper_module_new("M", &broken, NULL, &m));
    FAILS(taper_module_forward(m, &x, 1, &y), TAPER_ERROR_NOT_IMPLEMENTED, "missing the required \"forward\"");
    taper_module_free(m);
    taper_tensor_free(x);
}

/* ---- hooks --------------------------------------------------------------------------------------------------------- */

static int hook_drops;
static void hook_drop(void *user)
{
    (void)user;
    hook_drops++;
}

static taper_error *negate_input(void *user, taper_module *m, taper_tensor *const *inputs, size_t n,
                                 taper_tensor_list **replacement)
{
    taper_tensor *t = NULL;
    (void)user, (void)m;
    if (n != 1)
        return taper_error_new(TAPER_ERROR_TYPE, "one input", NULL, NULL);
    TAPER_TRY(taper_neg(inputs[0], &t));
    taper_error *e = taper_tensor_list_new(&t, 1, replacement);
    taper_tensor_free(t);
    return e;
}

static taper_error *count_calls(void *user, taper_module *m, taper_tensor *const *inputs, size_t n, taper_tensor *output,
                                taper_tensor **replacement)
{
    (void)m, (void)inputs, (void)n;
    ++*(int *)user;
    *replacement = output; /* the very handle it was lent: fine */
    return NULL;
}

static void hooks(void)
{
    taper_module *m = NULL;
    taper_module_hook_vtable before = TAPER_MODULE_HOOK_VTABLE_INIT, after = TAPER_MODULE_HOOK_VTABLE_INIT;
    const float data[] = {-1, 2};
    taper_tensor *x = floats(data, 2, 0), *y = NULL;
    uint64_t first = 0, second = 0;
    int calls = 0;

    OK(taper_nn_relu_new(false, &m));
    before.before = negate_input;
    before.drop = hook_drop;
    after.after = count_calls;
    after.drop = hook_drop;
    OK(taper_module_register_forward_pre_hook(m, &before, NULL, &first));
    OK(taper_module_register_forward_hook(m, &after, &calls, &second));
    OK(taper_module_forward(m, &x, 1, &y));
    CHECK(at(y, 0) == 1.0 && at(y, 1) == 0.0);
    CHECK_INT(calls, 1);
    taper_tensor_free(y);
    FAILS(taper_module_register_forward_hook(m, &before, NULL, &second), TAPER_ERROR_VALUE, "after function is NULL");
    CHECK_INT(hook_drops, 1);
    OK(taper_module_remove_hook(m, first));
    CHECK_INT(hook_drops, 2);
    OK(taper_module_remove_hook(m, first));
    OK(taper_module_forward(m, &x, 1, &y));
    CHECK(at(y, 0) == 0.0 && at(y, 1) == 2.0);
    taper_tensor_free(y);
    taper_module_free(m);
    CHECK_INT(hook_drops, 3);
    taper_tensor_free(x);
}

/* ---- lists of inputs and outputs, attributes, lazy layers ----------------------------------------------------------- */

static taper_error *halves(void *user, taper_module *self, taper_tensor *const *inputs, size_t n, taper_tensor_list **out)
{
    taper_tensor *both[3] = {NULL, NULL, NULL};
    (void)self;
    if (n != 2)
        return taper_error_new(TAPER_ERROR_TYPE, "two inputs", NULL, NULL);
    *(int *)user += inputs[1] == NULL;
    both[0] = inputs[0];
    TAPER_TRY(taper_neg(inputs[0], &both[2]));
    taper_error *e = taper_tensor_list_new(both, 3, out);
    taper_tensor_free(both[2]);
    return e;
}

static taper_error *last_only(void *user, taper_module *m, taper_tensor *const *inputs, size_t n,
                              taper_tensor *const *outputs, size_t outputs_len, taper_tensor_list **out)
{
    (void)user, (void)m;
    if (n != 2 || inputs[1] || outputs_len != 3 || outputs[1])
        return taper_error_new(TAPER_ERROR_VALUE, "not what was given", NULL, NULL);
    return taper_tensor_list_new(outputs + 2, 1, out);
}

static void lists(void)
{
    taper_module_vtable vtable = TAPER_MODULE_VTABLE_INIT;
    taper_module_hook_vtable hook = TAPER_MODULE_HOOK_VTABLE_INIT, old = TAPER_MODULE_HOOK_VTABLE_INIT;
    taper_module *m = NULL, *plain = NULL;
    taper_tensor_list *list = NULL;
    const float data[] = {1, -2};
    taper_tensor *in[] = {floats(data, 2, 0), NULL}, *y = NULL;
    uint64_t id = 0;
    int absent = 0, calls = 0;

    vtable.forward_list = halves;
    OK(taper_module_new("Halves", &vtable, &absent, &m));
    OK(taper_module_forward_list(m, in, 2, &list));
    CHECK_INT(taper_tensor_list_len(list), 3);
    CHECK_INT(absent, 1);
    OK(taper_tensor_list_get(list, 1, &y));
    CHECK(!y);
    OK(taper_tensor_list_get(list, 2, &y));
    CHECK(at(y, 0) == -1.0 && at(y, 1) == 2.0);
    taper_tensor_free(y);
    taper_tensor_list_free(list);
    y = NULL;
    taper_tensor *two[] = {in[0], in[0]};
    FAILS(taper_module_forward(m, two, 2, &y), TAPER_ERROR_TYPE, "Halves.forward() gave 3 outputs");

    old.after = count_calls;
    OK(taper_module_register_forward_hook(m, &old, &calls, &id));
    list = NULL;
    FAILS(taper_module_forward_list(m, in, 2, &list), TAPER_ERROR_TYPE, "sees one output, but there are 3");
    OK(taper_module_remove_hook(m, id));
    hook.after_list = last_only;
    OK(taper_module_register_forward_hook(m, &hook, NULL, &id));
    OK(taper_module_forward_list(m, in, 2, &list));
    CHECK_INT(taper_tensor_list_len(list), 1);
    taper_tensor_list_free(list);
    list = NULL;

    /* A vtable of the first version's size still does; layers say what they take. */
    vtable.forward_list = NULL;
    vtable.struct_size = offsetof(taper_module_vtable, forward_list);
    OK(taper_module_new("Plain", &vtable, NULL, &plain));
    FAILS(taper_module_forward_list(plain, in, 2, &list), TAPER_ERROR_NOT_IMPLEMENTED, "missing the required");
    taper_module_free(plain);
    OK(taper_nn_relu_new(false, &plain));
    FAILS(taper_module_forward_list(plain, in + 1, 1, &list), TAPER_ERROR_TYPE, "ReLU.forward() takes 1 input, got None");
    OK(taper_module_forward_list(plain, in, 1, &list));
    taper_tensor_list_free(list);
    taper_module_free(plain);
    taper_module_free(m);
    taper_tensor_free(in[0]);
}

static void attributes_and_lazy_layers(void)
{
    taper_nn_conv_create_options o = TAPER_NN_CONV_CREATE_OPTIONS_INIT;
    taper_module *m = NULL, *linear = NULL, *none = NULL;
    taper_named_tensors *state = NULL;
    taper_string *text = NULL;
    taper_tensor *x = NULL, *y = NULL;
    taper_scalar value, sizes[3];
    int32_t kind = -1;
    const int64_t three[] = {3}, shape[] = {1, 2, 5, 6};
    int64_t got[4] = {0};

    TAPER_SET_INTS(o.stride, 1);
    o.padding_text = "same";
    o.padding_mode = "circular";
    OK(taper_nn_lazy_conv2d_create(4, three, 1, &o, &m));
    OK(taper_module_to_string(m, &text));
    check_text(text, "LazyConv2d(0, 4, kernel_size=(3, 3), stride=(1, 1), padding=same, padding_mode=circular)");
    OK(taper_module_state_dict(m, &state));
    CHECK_INT(taper_named_tensors_len(state), 2);
    taper_named_tensors_free(state);
    OK(taper_ones(shape, 4, TAPER_FLOAT32, TAPER_CPU, &x));
    OK(taper_module_forward(m, &x, 1, &y));
    size_t rank = 0;
    OK(taper_tensor_sizes(y, got, 4, &rank));
    CHECK(got[1] == 4 && got[2] == 5 && got[3] == 6);
    OK(taper_module_to_string(m, &text));
    check_text(text, "Conv2d(2, 4, kernel_size=(3, 3), stride=(1, 1), padding=same, padding_mode=circular)");

    OK(taper_module_attribute(m, "in_channels", &kind, &value));
    CHECK(kind == TAPER_ATTRIBUTE_INT && value.i == 2);
    OK(taper_module_attribute(m, "kernel_size", &kind, &value));
    CHECK(kind == TAPER_ATTRIBUTE_INTS && value.i == 2);
    OK(taper_module_attribute_list(m, "kernel_size", sizes, 3));
    CHECK(sizes[0].kind == TAPER_SCALAR_INT && sizes[1].i == 3);
    OK(taper_module_attribute_text(m, "padding", &text));
    check_text(text, "same");
    FAILS(taper_module_attribute_text(m, "groups", &text), TAPER_ERROR_TYPE, "the attribute 'groups' is an int, not a text");
    FAILS(taper_module_attribute_list(m, "groups", sizes, 3), TAPER_ERROR_TYPE, "not a list");
    FAILS(taper_module_attribute(m, "gain", &kind, &value), TAPER_ERROR_KEY, "'Conv2d' object has no attribute 'gain'");
    OK(taper_module_attribute_name(m, 0, &text));
    check_text(text, "in_channels");
    text = NULL;
    FAILS(taper_module_attribute_name(m, 99, &text), TAPER_ERROR_INDEX, "out of range");
    CHECK(taper_module_num_attributes(m) > 5 && taper_module_num_attributes(NULL) == -1);

    /* A state dict gives the shapes too, and its values stay. */
    taper_module *from = NULL;
    OK(taper_nn_linear_create(6, 3, NULL, &from));
    OK(taper_nn_lazy_linear_create(3, NULL, &linear));
    OK(taper_module_to_string(linear, &text));
    check_text(text, "LazyLinear(in_features=0, out_features=3, bias=True)");
    OK(taper_module_state_dict(from, &state));
    OK(taper_module_load_state_dict(linear, state, true));
    taper_named_tensors_free(state);
    taper_tensor *a = NULL, *b = NULL;
    OK(taper_module_forward(linear, &x, 1, &a));
    OK(taper_module_forward(from, &x, 1, &b));
    CHECK(at(a, 0) == at(b, 0));
    OK(taper_module_to_string(linear, &text));
    check_text(text, "Linear(in_features=6, out_features=3, bias=True)");

    FAILS(taper_nn_conv2d_create(2, 4, three, 1, &(taper_nn_conv_create_options){.struct_size = 3}, &none), TAPER_ERROR_VALUE,
          "struct_size");
    o.padding_text = "all";

    FAILS(taper_nn_conv2d_create(2, 4, three, 1, &o, &none), TAPER_ERROR_VALUE, "Invalid padding string 'all'");
    taper_tensor_free(a);
    taper_tensor_free(b);
    taper_tensor_free(x);
    taper_tensor_free(y);
    taper_module_free(m);
    taper_module_free(linear);
    taper_module_free(from);
}

/* ---- layers, walks ------------------------------------------------------------------------------------------------- */

static taper_error *count_modules(void *user, taper_module *m)
{
    taper_string *name = NULL;
    TAPER_TRY(taper_module_name(m, &name));
    strcat(user, taper_string_data(name));
    strcat(user, " ");
    taper_string_free(name);
    return NULL;
}

static taper_error *refuse(void *user, taper_module *m)
{
    (void)user, (void)m;
    return taper_error_new(TAPER_ERROR_KEY, "enough", NULL, NULL);
}

static void layers(void)
{
    const int64_t kernel[] = {3}, padding[] = {1};
    taper_nn_conv_options options = TAPER_NN_CONV_OPTIONS_INIT;
    taper_module *part[4] = {NULL}, *net = NULL, *found = NULL;
    taper_named_tensors *names = NULL;
    taper_tensor_list *list = NULL;
    taper_tensor *t = NULL;
    taper_string *text = NULL;
    char walked[100] = "";

    options.padding[0] = options.padding[1] = 1;
    options.bias = 0;
    OK(taper_nn_conv2d_new(1, 2, kernel, 1, &options, &part[0]));
    OK(taper_nn_max_pool2d_new(kernel, 1, NULL, 0, padding, 1, NULL, 0, false, &part[1]));
    OK(taper_nn_dropout_new(0.5, false, &part[2]));
    OK(taper_nn_sequential_new(part, 3, &net));
    OK(taper_nn_gelu_new("tanh", &part[3]));
    OK(taper_module_append(net, part[3]));
    OK(taper_module_to_string(net, &text));
    check_text(text, "Sequential(\n"
                     "  (0): Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)\n"
                     "  (1): MaxPool2d(kernel_size=3, stride=3, padding=1, dilation=1, ceil_mode=False)\n"
                     "  (2): Dropout(p=0.5, inplace=False)\n"
                     "  (3): GELU(approximate='tanh')\n)");
    OK(taper_module_apply(net, count_modules, walked));
    CHECK(strcmp(walked, "Conv2d MaxPool2d Dropout GELU Sequential ") == 0);
    FAILS(taper_module_apply(net, refuse, NULL), TAPER_ERROR_KEY, "enough");

    CHECK_INT(taper_module_is_training(part[2]), 1);
    OK(taper_module_train(net, false));
    CHECK_INT(taper_module_is_training(part[2]), 0);
    CHECK_INT(taper_module_is_training(NULL), -1);

    OK(taper_module_named_parameters(net, &names));
    CHECK_INT(taper_named_tensors_len(names), 1);
    CHECK(strcmp(taper_named_tensors_name(names, 0), "0.weight") == 0 && !taper_named_tensors_name(names, 1));
    OK(taper_named_tensors_get(names, 0, &t));
    CHECK_INT(taper_tensor_ndim(t), 4);
    const uint64_t id = taper_tensor_id(t);
    taper_tensor_free(t);
    OK(taper_module_parameters(net, &list));
    CHECK_INT(taper_tensor_list_len(list), 1);
    taper_tensor_list_free(list);
    OK(taper_module_get_child(net, "0", &found));
    OK(taper_module_to(net, TAPER_FLOAT64, TAPER_DEVICE_NONE));
    OK(taper_module_get_parameter(found, "weight", &t));
    CHECK(taper_tensor_id(t) == id && taper_tensor_dtype(t) == TAPER_FLOAT64);
    taper_tensor_free(t);
    t = NULL;
    FAILS(taper_module_get_parameter(net, "0.gain", &t), TAPER_ERROR_KEY, "Conv2d has no attribute `gain`");
    taper_module_free(found);
    FAILS(taper_module_to(net, TAPER_INT64, TAPER_DEVICE_NONE), TAPER_ERROR_TYPE, "only accepts floating point");
    FAILS(taper_nn_dropout_new(1.5, false, &found), TAPER_ERROR_VALUE, "dropout probability");
    CHECK(!found);
    FAILS(taper_nn_conv2d_new(1, 2, kernel, 3, NULL, NULL), TAPER_ERROR_VALUE, "result");

    taper_named_tensors_free(names);
    for (int i = 0; i < 4; i++)
        taper_module_free(part[i]);
    taper_module_free(net);
}

/* ---- files and optimisers ------------------------------------------------------------------------------------------ */

static double train(taper_module *m, taper_optimizer *o, int steps)
{
    const float xs[] = {1, 2, -1, 0.5f}, ys[] = {1, 0, 0, 1};
    double last = 0;
    for (int i = 0; i < steps; i++) {
        taper_scope_begin();
        taper_tensor *x = floats(xs, 2, 2), *y = floats(ys, 2, 2), *guess = NULL, *loss = NULL;
        OK(taper_optimizer_zero_grad(o, true));
        OK(taper_module_forward(m, &x, 1, &guess));
        OK(taper_mse_loss(guess, y, "mean", &loss));
        OK(taper_backward(&loss, 1, NULL, 0, false, false, NULL, 0));
        OK(taper_optimizer_step(o));
        last = at(loss, 0);
        OK(taper_scope_end());
    }
    return last;
}

/* Where a file is saved to may be a link, a device, a full disk. */
static void odd_files(void)
{
    char folder[] = "/tmp/taper-c-XXXXXX", file[64], link[64];
    struct stat before, after;
    taper_module *m = NULL;
    CHECK(mkdtemp(folder) != NULL);
    snprintf(file, sizeof file, "%s/file", folder);
    snprintf(link, sizeof link, "%s/link", folder);
    OK(taper_nn_linear_new(2, 2, true, &m));
    OK(taper_module_save(m, file));
    CHECK_INT(chmod(file, 0600), 0);
    CHECK_INT(symlink(file, link), 0);
    OK(taper_module_save(m, link));
    CHECK(lstat(link, &after) == 0 && S_ISLNK(after.st_mode));
    CHECK(stat(file, &after) == 0 && (after.st_mode & 0777) == 0600);
    OK(taper_module_load(m, link, true));
    if (stat("/dev/full", &before) == 0 && S_ISCHR(before.st_mode)) {
        FAILS(taper_module_save(m, "/dev/full"), TAPER_ERROR_IO, "No space left on device");
        CHECK(stat("/dev/full", &after) == 0 && S_ISCHR(after.st_mode));
    }
    FAILS(taper_module_save(m, folder), TAPER_ERROR_IO, "it is a directory");
    FAILS(taper_module_save(m, "/no/such/folder/file"), TAPER_ERROR_IO, "cannot write /no/such/folder/file");
    FAILS(taper_module_load(m, folder, true), TAPER_ERROR_IO, "the folder holds no model.safetensors");
    /* A name that C cannot see to its end. */
    const char *json = "{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
    uint64_t length = strlen(json);
    taper_named_tensors *named = NULL;
    FILE *f = fopen(file, "wb");
    CHECK(f && fwrite(&length, 8, 1, f) == 1 && fwrite(json, length + 1, 1, f) == 1 && fclose(f) == 0);
    FAILS(taper_named_tensors_load(file, TAPER_CPU, &named), TAPER_ERROR_IO, "has a NUL inside");
    CHECK(unlink(file) == 0 && unlink(link) == 0);
    /* Nothing temporary is left behind. */
    CHECK_INT(rmdir(folder), 0);
    CHECK(taper_module_free(m));
}

static void files_and_optimisers(void)
{
    char weights[64], state[64];
    scaled *s;
    taper_module *m = new_scaled(&s), *copy = NULL;
    taper_optimizer *o = NULL, *again = NULL;
    taper_adam_options options = TAPER_ADAMW_OPTIONS_INIT;
    taper_sgd_options sgd = TAPER_SGD_OPTIONS_INIT;
    taper_tensor_list *list = NULL;
    taper_tensor *t = NULL;
    taper_named_tensors *names = NULL;
    taper_string *text = NULL;
    double lr = 0;
    snprintf(weights, sizeof weights, "/tmp/taper-c-%d.safetensors", (int)getpid());
    snprintf(state, sizeof state, "/tmp/taper-c-%d.optim.safetensors", (int)getpid());

    set_weights(m);
    OK(taper_module_parameters(m, &list));
    options.lr = 0.05;
    OK(taper_optim_adam_new_from_list(list, &options, &o));
    const double begin = train(m, o, 1), end = train(m, o, 30);
    CHECK(end < begin / 4);
    OK(taper_optimizer_set_lr(o, 0.01));
    OK(taper_optimizer_get_lr(o, 0, &lr));
    CHECK(lr == 0.01);
    FAILS(taper_optimizer_get_lr(o, 1, &lr), TAPER_ERROR_INDEX, "there are 1");
    FAILS(taper_optimizer_set_lr(o, -1), TAPER_ERROR_VALUE, "Invalid learning rate: -1.0");
    OK(taper_optimizer_to_string(o, &text));
    CHECK(strncmp(taper_string_data(text), "AdamW (\nParameter Group 0\n    amsgrad: False\n", 44) == 0);
    taper_string_free(text);

    /* Both go to files; a second pair goes on exactly where they are. */
    OK(taper_module_save(m, weights));
    OK(taper_optimizer_save(o, state));
    copy = new_scaled(&s);
    OK(taper_module_load(copy, weights, true));
    taper_tensor_list *copied = NULL;
    OK(taper_module_parameters(copy, &copied));
    OK(taper_optim_adam_new_from_list(copied, &options, &again));
    OK(taper_optimizer_load(again, state));
    CHECK(train(m, o, 5) == train(copy, again, 5));

    OK(taper_named_tensors_load(weights, TAPER_DEVICE_NONE, &names));
    CHECK_INT(taper_named_tensors_len(names), 3);
    FAILS(taper_named_tensors_get_by_name(names, "nothing", &t), TAPER_ERROR_KEY, "there is no tensor \"nothing\"");
    OK(taper_named_tensors_set_metadata(names, "epoch", "31"));
    OK(taper_named_tensors_save(names, weights));
    taper_named_tensors_free(names);
    OK(taper_named_tensors_load(weights, TAPER_CPU, &names));
    OK(taper_named_tensors_metadata(names, "epoch", &text));
    check_text(text, "31");
    OK(taper_named_tensors_metadata(names, "step", &text));
    CHECK(!text);
    taper_named_tensors_free(names);
    CHECK(truncate(weights, 100) == 0);
    FAILS(taper_module_load(copy, weights, true), TAPER_ERROR_IO, "truncated");
    unlink(weights);
    FAILS(taper_module_load(copy, weights, true), TAPER_ERROR_IO, "cannot read");
    unlink(state);

    /* The other ways to make one. */
    taper_optimizer *other = NULL;
    OK(taper_tensor_list_get(list, 0, &t));
    sgd.momentum = 0.9;
    OK(taper_optim_sgd_new(&t, 1, &sgd, &other));
    FAILS(taper_optimizer_add_sgd_group(other, &t, 1, NULL), TAPER_ERROR_VALUE, "more than one parameter group");
    CHECK_INT(taper_optimizer_num_groups(other), 1);
    FAILS(taper_optimizer_load_state_dict(other, NULL), TAPER_ERROR_INVALID_HANDLE, "got NULL");
    taper_optimizer_free(other);
    FAILS(taper_optim_sgd_new(NULL, 0, NULL, &other), TAPER_ERROR_VALUE, "empty parameter list");
    sgd.struct_size = 8;
    FAILS(taper_optim_sgd_new(&t, 1, &sgd, &other), TAPER_ERROR_VALUE, "struct_size");
    taper_tensor_free(t);

    taper_tensor_list_free(list);
    taper_tensor_list_free(copied);
    taper_module_free(m);
    taper_module_free(copy);
    CHECK(taper_optimizer_free(o) && !taper_optimizer_free(o));
    taper_optimizer_free(again);
}

/* Errors inside a tree say where. */
static taper_error *inner_forward(void *user, taper_module *self, taper_tensor *const *in, size_t n, taper_tensor **out)
{
    taper_module *fc = NULL;
    (void)user;
    taper_error *e = taper_module_get_child(self, "fc", &fc);
    if (!e)
        e = taper_module_forward(fc, in, n, out);
    taper_module_free(fc);
    return e;
}
static void places(void)
{
    taper_module *fc = NULL, *inner = NULL, *seq = NULL, *outer = NULL, *parts[2];
    taper_module_vtable v = TAPER_MODULE_VTABLE_INIT;
    int64_t sizes[] = {2, 5};
    taper_tensor *x = NULL, *out = NULL;
    v.forward = inner_forward;
    OK(taper_ones(sizes, 2, TAPER_FLOAT32, TAPER_CPU, &x));
    OK(taper_nn_linear_new(3, 2, true, &fc));
    OK(taper_module_new("Inner", &v, NULL, &inner));
    OK(taper_module_register_module(inner, "fc", fc));
    OK(taper_nn_identity_new(&parts[0]));
    parts[1] = inner;
    OK(taper_nn_sequential_new(parts, 2, &seq));
    OK(taper_nn_sequential_new(&seq, 1, &outer));

    taper_error *e = taper_module_forward(outer, &x, 1, &out);
    CHECK(e && taper_error_module(e) && !strcmp(taper_error_module(e), "0.1.fc (Linear(in_features=3, out_features=2, bias=True))"));
    CHECK(strstr(taper_error_message(e), "addmm: mat1 and mat2 shapes cannot be multiplied (2x5 and 3x2)\n  in 0.1.fc (Linear(") ==
          taper_error_message(e));
    CHECK_INT(taper_error_code(e), TAPER_ERROR_RUNTIME);
    taper_error *again = taper_error_with_payload(e, NULL, NULL);
    CHECK_INT(taper_error_code(again), TAPER_ERROR_RUNTIME);
    CHECK(!strcmp(taper_error_message(again), taper_error_message(e)) && !taper_error_payload(again));
    taper_error_free(e);
    taper_error_free(again);
    /* A layer that is called by itself is no place in a tree. */
    e = taper_module_forward(fc, &x, 1, &out);
    CHECK(e && !taper_error_module(e) && !strchr(taper_error_message(e), '\n'));
    taper_error_free(e);
    again = taper_error_with_payload((taper_error *)x, NULL, NULL);
    CHECK_INT(taper_error_code(again), TAPER_ERROR_INVALID_HANDLE);
    taper_error_free(again);

    taper_tensor_free(x);
    taper_module *all[] = {fc, inner, seq, outer, parts[0]};
    for (size_t i = 0; i < 5; i++)
        taper_module_free(all[i]);
}

int main(void)
{
    own_modules();
    places();
    hooks();
    lists();
    attributes_and_lazy_layers();
    layers();
    files_and_optimisers();
    odd_files();
    CHECK_INT(drops, 4);
    return finish("module");
}
