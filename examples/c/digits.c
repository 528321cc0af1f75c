/* digits.c: trains a small convolutional network to read handwritten digits, saves it, and reads some with the saved
 * weights in a fresh process.
 *
 *     make demo                                            from the root of the checkout
 *     scripts/example.sh c digits --epochs 5 --threads 1   with options
 *     scripts/example.sh c digits --data ~/mnist           on MNIST's four (unpacked) files
 *     scripts/example.sh c digits --device opencl          on an OpenCL device; cuda for CUDA
 *
 * How this program treats errors and memory, which is how most C programs can:
 *   - Every call that can fail returns a `taper_error *`, NULL when all went well. Functions here do the same and pass
 *     errors up with TAPER_TRY; `main` prints them.
 *   - Work on tensors stands between `taper_scope_begin` and `taper_scope_end`, which frees every tensor made in
 *     between. What has to live longer is kept with `taper_scope_keep`, and is then freed by hand.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <taper.h>
#include <time.h>
#include <unistd.h>

enum { SIDE = 32, CLASSES = 10, BATCH = 64, EVAL_BATCH = 256, SHOWN = 8 };
static const double LEARNING_RATE = 2e-3;

typedef struct {
    const char *data;    /* folder with the four IDX files */
    const char *weights; /* where the trained weights go */
    int epochs;          /* 0: chosen by the size of the data */
    int threads;         /* 0: the library's choice */
    uint64_t seed;
    taper_device device;
    bool predict; /* only load the weights and read some digits */
} options;

typedef struct {
    taper_tensor *images; /* float32 [n, 1, 32, 32] */
    taper_tensor *labels; /* int64 [n] */
    int64_t n;
} dataset;

/* An error of this program's own. */
static taper_error *fail(const char *format, ...) {
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return taper_error_new(TAPER_ERROR_IO, message, NULL, NULL);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Ends a scope; what went wrong inside it goes first. */
static taper_error *end_scope(taper_error *error) {
    taper_error *ending = taper_scope_end();
    if (error == NULL) return ending;
    taper_error_free(ending);
    return error;
}

/* ---- data ------------------------------------------------------------------------------------------------------ */

/* Reads an IDX file (bytes 0 0 8 ndim, big-endian sizes, elements) into a uint8 tensor. */
static taper_error *read_idx(const char *folder, const char *name, int64_t ndim, taper_tensor **out) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) return fail("cannot open %s (run from the root of the checkout, or give --data DIR)", path);

    unsigned char header[4], bytes[4], *data = NULL;
    int64_t sizes[4], total = 1;
    taper_error *error = NULL;
    if (fread(header, 1, 4, file) != 4 || header[0] != 0 || header[1] != 0 || header[2] != 8 || header[3] != ndim) {
        error = fail("%s is not an IDX file of bytes with %d dimensions", path, (int)ndim);
    }
    for (int64_t i = 0; error == NULL && i < ndim; i++) {
        if (fread(bytes, 1, 4, file) != 4) error = fail("%s is truncated", path);
        sizes[i] = (int64_t)bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3];
        total *= sizes[i];
        if (error == NULL && (total <= 0 || total > (int64_t)1 << 31)) error = fail("%s has impossible sizes", path);
    }
    if (error == NULL && (data = malloc((size_t)total)) == NULL) error = fail("no memory for %s", path);
    if (error == NULL && fread(data, 1, (size_t)total, file) != (size_t)total) error = fail("%s is truncated", path);
    if (error == NULL) {
        error = taper_tensor_from_data(data, sizes, (size_t)ndim, TAPER_UINT8, TAPER_CPU, out); /* copies */
    }
    free(data);
    fclose(file);
    return error;
}

/* uint8 [n, h, w] to float32 [n, 1, 32, 32] between 0 and 1: 8x8 pixels are repeated 4x4, 28x28 get a border. */
static taper_error *to_network_size(taper_tensor *raw, taper_tensor **out) {
    int64_t n = taper_tensor_size(raw, 0), h = taper_tensor_size(raw, 1), w = taper_tensor_size(raw, 2);
    taper_tensor *x = NULL;
    TAPER_TRY(taper_to(raw, TAPER_FLOAT32, TAPER_DEVICE_NONE, false, &x));
    if (h == 8 && w == 8) {
        /* [n, 8, 1, 8, 1] seen as [n, 8, 4, 8, 4] costs nothing: `expand` repeats by a stride of 0. */
        const int64_t apart[] = {n, 8, 1, 8, 1}, repeated[] = {n, 8, 4, 8, 4}, image[] = {n, 1, SIDE, SIDE};
        TAPER_TRY(taper_div_scalar(x, taper_scalar_f64(16), &x));
        TAPER_TRY(taper_view(x, apart, 5, &x));
        TAPER_TRY(taper_expand(x, repeated, 5, &x));
        TAPER_TRY(taper_reshape(x, image, 4, out));
    } else if (h == 28 && w == 28) {
        const int64_t image[] = {n, 1, 28, 28}, padded[] = {n, 1, SIDE, SIDE};
        taper_tensor *middle = NULL;
        TAPER_TRY(taper_div_scalar(x, taper_scalar_f64(255), &x));
        TAPER_TRY(taper_view(x, image, 4, &x));
        TAPER_TRY(taper_zeros(padded, 4, TAPER_FLOAT32, TAPER_CPU, out));
        TAPER_TRY(taper_narrow(*out, 2, 2, 28, &middle)); /* views: what is written to `middle` is in `*out` */
        TAPER_TRY(taper_narrow(middle, 3, 2, 28, &middle));
        TAPER_TRY(taper_copy_(middle, x));
    } else {
        return fail("the images are %dx%d; this network reads 8x8 and 28x28", (int)h, (int)w);
    }
    return NULL;
}

static taper_error *load_in_scope(const options *opt, const char *images, const char *labels, dataset *data) {
    taper_tensor *x = NULL, *y = NULL;
    TAPER_TRY(read_idx(opt->data, images, 3, &x));
    TAPER_TRY(read_idx(opt->data, labels, 1, &y));
    data->n = taper_tensor_size(x, 0);
    if (taper_tensor_size(y, 0) != data->n) return fail("%s and %s differ in length", images, labels);
    TAPER_TRY(to_network_size(x, &x));
    TAPER_TRY(taper_to(y, TAPER_INT64, opt->device, false, &data->labels));
    TAPER_TRY(taper_to_device(x, opt->device, &data->images));
    TAPER_TRY(taper_scope_keep(data->images));
    TAPER_TRY(taper_scope_keep(data->labels));
    return NULL;
}

static taper_error *load(const options *opt, const char *images, const char *labels, dataset *data) {
    taper_scope_begin();
    return end_scope(load_in_scope(opt, images, labels, data));
}

/* ---- the network ----------------------------------------------------------------------------------------------- */

/* The layers; the module owns them, these handles let `forward` reach them without a lookup by name. */
typedef struct {
    taper_module *conv1, *conv2, *fc1, *fc2, *fc3;
} net_layers;

static taper_error *call(taper_module *layer, taper_tensor *x, taper_tensor **out) {
    return taper_module_forward(layer, &x, 1, out);
}

/* Maxima of 2x2 windows. No stride means one of the window's size. */
static taper_error *pool(taper_tensor *x, taper_tensor **out) {
    const int64_t window[] = {2, 2}, padding[] = {0, 0}, dilation[] = {1, 1};
    return taper_max_pool2d(x, window, 2, NULL, 0, padding, 2, dilation, 2, false, out);
}

/* What the module does; called by taper_module_forward. The caller's scope frees the tensors in between. */
static taper_error *net_forward(void *user, taper_module *self, taper_tensor *const *inputs, size_t n,
                                taper_tensor **out) {
    const net_layers *net = user;
    const int64_t flat[] = {-1, 16 * 6 * 6};
    taper_tensor *x = NULL;
    (void)self;
    if (n != 1) return fail("Net takes one input");
    TAPER_TRY(call(net->conv1, inputs[0], &x));
    TAPER_TRY(taper_relu(x, &x));
    TAPER_TRY(pool(x, &x));
    TAPER_TRY(call(net->conv2, x, &x));
    TAPER_TRY(taper_relu(x, &x));
    TAPER_TRY(pool(x, &x));
    TAPER_TRY(taper_view(x, flat, 2, &x));
    TAPER_TRY(call(net->fc1, x, &x));
    TAPER_TRY(taper_relu(x, &x));
    TAPER_TRY(call(net->fc2, x, &x));
    TAPER_TRY(taper_relu(x, &x));
    TAPER_TRY(call(net->fc3, x, &x));
    *out = x;
    return NULL;
}

static void net_drop(void *user) {
    net_layers *net = user;
    taper_module_free(net->conv1);
    taper_module_free(net->conv2);
    taper_module_free(net->fc1);
    taper_module_free(net->fc2);
    taper_module_free(net->fc3);
    free(net);
}

static taper_error *net_new(taper_module **out) {
    taper_module_vtable vtable = TAPER_MODULE_VTABLE_INIT;
    const int64_t kernel[] = {3, 3};
    net_layers *net = calloc(1, sizeof *net);
    if (net == NULL) return fail("no memory");
    vtable.forward = net_forward;
    vtable.drop = net_drop;
    /* From here on `net` belongs to the module: `drop` is called once, also if making the module fails. */
    TAPER_TRY(taper_module_new("Net", &vtable, net, out));
    TAPER_TRY(taper_nn_conv2d_new(1, 6, kernel, 2, NULL, &net->conv1));
    TAPER_TRY(taper_nn_conv2d_new(6, 16, kernel, 2, NULL, &net->conv2));
    TAPER_TRY(taper_nn_linear_new(16 * 6 * 6, 120, true, &net->fc1));
    TAPER_TRY(taper_nn_linear_new(120, 84, true, &net->fc2));
    TAPER_TRY(taper_nn_linear_new(84, CLASSES, true, &net->fc3));
    TAPER_TRY(taper_module_register_module(*out, "conv1", net->conv1));
    TAPER_TRY(taper_module_register_module(*out, "conv2", net->conv2));
    TAPER_TRY(taper_module_register_module(*out, "fc1", net->fc1));
    TAPER_TRY(taper_module_register_module(*out, "fc2", net->fc2));
    TAPER_TRY(taper_module_register_module(*out, "fc3", net->fc3));
    return NULL;
}

static taper_error *print_module(taper_module *module) {
    taper_string *text = NULL;
    TAPER_TRY(taper_module_to_string(module, &text));
    printf("%s\n", taper_string_data(text));
    taper_string_free(text);
    return NULL;
}

/* ---- training -------------------------------------------------------------------------------------------------- */

/* One step on the images whose numbers are order[start .. start + length]. */
static taper_error *step_in_scope(taper_module *net, taper_optimizer *optimizer, const dataset *train,
                                  taper_tensor *order, int64_t start, int64_t length, double *loss_value) {
    taper_tensor *batch = NULL, *x = NULL, *y = NULL, *guess = NULL, *loss = NULL;
    taper_scalar value;
    TAPER_TRY(taper_narrow(order, 0, start, length, &batch));
    TAPER_TRY(taper_index_select(train->images, 0, batch, &x));
    TAPER_TRY(taper_index_select(train->labels, 0, batch, &y));

    TAPER_TRY(taper_optimizer_zero_grad(optimizer, true));
    TAPER_TRY(call(net, x, &guess));
    TAPER_TRY(taper_cross_entropy(guess, y, NULL, -100, "mean", 0.0, &loss));
    TAPER_TRY(taper_backward(&loss, 1, NULL, 0, false, false, NULL, 0));
    TAPER_TRY(taper_optimizer_step(optimizer));

    TAPER_TRY(taper_tensor_item(loss, &value));
    *loss_value = value.f;
    return NULL;
}

static taper_error *step(taper_module *net, taper_optimizer *optimizer, const dataset *train, taper_tensor *order,
                         int64_t start, int64_t length, double *loss_value) {
    taper_scope_begin();
    return end_scope(step_in_scope(net, optimizer, train, order, start, length, loss_value));
}

/* One line per epoch; on a terminal it is redrawn while the epoch runs. */
static void show_progress(int epoch, int epochs, double done, double loss, double images_per_second, bool last) {
    char bar[21];
    int filled = (int)(done * 20 + 0.5);
    if (!last && !isatty(STDOUT_FILENO)) return;
    for (int i = 0; i < 20; i++) bar[i] = i < filled ? '#' : '.';
    bar[20] = '\0';
    printf("%sepoch %2d/%d [%s] loss %.4f  %6.0f images/s%s", isatty(STDOUT_FILENO) ? "\r" : "", epoch, epochs, bar,
           loss, images_per_second, last ? "\n" : "");
    fflush(stdout);
}

static taper_error *train_epoch(taper_module *net, taper_optimizer *optimizer, const dataset *train, int epoch,
                                int epochs) {
    taper_tensor *order = NULL;
    taper_error *error = NULL;
    const double begin = now();
    double loss = 0, loss_sum = 0, drawn = 0;

    /* The rate falls in a straight line, so that the last epochs only polish. */
    TAPER_TRY(taper_optimizer_set_lr(optimizer, LEARNING_RATE * (1.0 - (double)(epoch - 1) / epochs)));
    /* Drawn on the CPU, so that the order of the images is the same on every device. */
    TAPER_TRY(taper_randperm(train->n, NULL, TAPER_INT64, TAPER_CPU, &order));
    if (taper_tensor_device(train->images).type != TAPER_DEVICE_CPU) {
        taper_tensor *moved = NULL;
        error = taper_to_device(order, taper_tensor_device(train->images), &moved);
        taper_tensor_free(order);
        order = moved;
    }
    for (int64_t start = 0; error == NULL && start < train->n; start += BATCH) {
        const int64_t length = train->n - start < BATCH ? train->n - start : BATCH;
        error = step(net, optimizer, train, order, start, length, &loss);
        loss_sum += loss * (double)length;
        const double seen = (double)(start + length), elapsed = now() - begin;
        const bool last = start + length == train->n;
        if (error == NULL && (last || elapsed - drawn > 0.05)) {
            drawn = elapsed;
            show_progress(epoch, epochs, seen / (double)train->n, loss_sum / seen, seen / elapsed, last);
        }
    }
    taper_tensor_free(order);
    return error;
}

static taper_error *make_optimizer(taper_module *net, taper_optimizer **out) {
    taper_adam_options adam = TAPER_ADAM_OPTIONS_INIT;
    taper_tensor_list *list = NULL;
    adam.lr = LEARNING_RATE;
    TAPER_TRY(taper_module_parameters(net, &list));
    taper_error *error = taper_optim_adam_new_from_list(list, &adam, out);
    taper_tensor_list_free(list);
    return error;
}

/* ---- testing --------------------------------------------------------------------------------------------------- */

static taper_error *count_correct(taper_module *net, const dataset *test, int64_t start, int64_t length,
                                  int64_t *correct) {
    taper_tensor *x = NULL, *y = NULL, *guess = NULL;
    taper_scalar value;
    const int64_t dim = 1;
    TAPER_TRY(taper_narrow(test->images, 0, start, length, &x));
    TAPER_TRY(taper_narrow(test->labels, 0, start, length, &y));
    TAPER_TRY(call(net, x, &guess));
    TAPER_TRY(taper_argmax(guess, &dim, false, &guess));
    TAPER_TRY(taper_eq(guess, y, &guess));
    TAPER_TRY(taper_sum(guess, TAPER_DTYPE_NONE, &guess));
    TAPER_TRY(taper_tensor_item(guess, &value));
    *correct += value.i;
    return NULL;
}

static taper_error *test_accuracy(taper_module *net, const dataset *test) {
    int64_t correct = 0;
    taper_error *error = NULL;
    const bool before = taper_set_grad_mode(false); /* nothing here needs gradients */
    for (int64_t start = 0; error == NULL && start < test->n; start += EVAL_BATCH) {
        taper_scope_begin();
        error = count_correct(net, test, start, test->n - start < EVAL_BATCH ? test->n - start : EVAL_BATCH, &correct);
        error = end_scope(error);
    }
    taper_set_grad_mode(before);
    if (error != NULL) return error;
    printf("test accuracy %.2f %% (%lld of %lld)\n", 100.0 * (double)correct / (double)test->n, (long long)correct,
           (long long)test->n);
    return NULL;
}

/* Pictures side by side, 16 characters wide and 8 high: a character is about twice as high as it is wide. */
static void draw(const float *pixels, int count) {
    static const char ink[] = " .:-=+*#%@";
    for (int y = 0; y < SIDE; y += 4) {
        for (int k = 0; k < count; k++) {
            for (int x = 0; x < SIDE; x += 2) {
                float sum = 0;
                for (int i = 0; i < 8; i++) sum += pixels[(k * SIDE + y + i / 2) * SIDE + x + i % 2];
                putchar(ink[(int)(sum / 8 * 9 + 0.5f)]);
            }
            fputs("  ", stdout);
        }
        putchar('\n');
    }
}

/* Draws some test images with the network's guess and how sure it is. */
static taper_error *show_guesses(taper_module *net, const dataset *test) {
    taper_tensor *some = NULL, *x = NULL, *y = NULL, *p = NULL, *sure = NULL, *guess = NULL;
    float pixels[SHOWN * SIDE * SIDE], probability[SHOWN];
    int64_t label[SHOWN], guessed[SHOWN];

    taper_manual_seed(1);
    TAPER_TRY(taper_randperm(test->n, NULL, TAPER_INT64, TAPER_CPU, &some));
    TAPER_TRY(taper_narrow(some, 0, 0, SHOWN, &some));
    TAPER_TRY(taper_to_device(some, taper_tensor_device(test->images), &some));
    TAPER_TRY(taper_index_select(test->images, 0, some, &x));
    TAPER_TRY(taper_index_select(test->labels, 0, some, &y));
    TAPER_TRY(call(net, x, &p));
    TAPER_TRY(taper_softmax(p, 1, TAPER_DTYPE_NONE, &p));
    TAPER_TRY(taper_max_dim(p, 1, false, &sure, &guess));
    TAPER_TRY(taper_tensor_copy_to_host(x, pixels, sizeof pixels));
    TAPER_TRY(taper_tensor_copy_to_host(y, label, sizeof label));
    TAPER_TRY(taper_tensor_copy_to_host(sure, probability, sizeof probability));
    TAPER_TRY(taper_tensor_copy_to_host(guess, guessed, sizeof guessed));

    for (int first = 0; first < SHOWN; first += 4) {
        draw(pixels + first * SIDE * SIDE, 4);
        for (int k = first; k < first + 4; k++) {
            char text[64];
            if (guessed[k] == label[k]) {
                snprintf(text, sizeof text, "%d (%.0f %%)", (int)guessed[k], 100.0 * probability[k]);
            } else {
                snprintf(text, sizeof text, "%d, but it is %d", (int)guessed[k], (int)label[k]);
            }
            printf("%-18s", text);
        }
        printf("\n\n");
    }
    return NULL;
}

/* ---- the program ----------------------------------------------------------------------------------------------- */

static taper_error *train(const options *opt, taper_module *net, const dataset *train, const dataset *test) {
    taper_optimizer *optimizer = NULL;
    taper_error *error = NULL;
    const int epochs = opt->epochs > 0 ? opt->epochs : train->n < 10000 ? 30 : 2;
    const double begin = now();

    TAPER_TRY(make_optimizer(net, &optimizer));
    for (int epoch = 1; error == NULL && epoch <= epochs; epoch++) {
        error = train_epoch(net, optimizer, train, epoch, epochs);
    }
    taper_optimizer_free(optimizer);
    if (error != NULL) return error;
    printf("trained in %.1f s\n", now() - begin);
    TAPER_TRY(taper_module_train(net, false));
    TAPER_TRY(test_accuracy(net, test));
    TAPER_TRY(taper_module_save(net, opt->weights));
    printf("saved the weights to %s\n", opt->weights);
    return NULL;
}

static taper_error *predict(const options *opt, taper_module *net, const dataset *test) {
    TAPER_TRY(taper_module_load(net, opt->weights, true));
    TAPER_TRY(taper_module_train(net, false));
    printf("a fresh process loaded %s\n", opt->weights);
    TAPER_TRY(test_accuracy(net, test));
    taper_scope_begin();
    const bool before = taper_set_grad_mode(false);
    taper_error *error = show_guesses(net, test);
    taper_set_grad_mode(before);
    return end_scope(error);
}

static taper_error *print_device(taper_device device) {
    taper_device_properties about = TAPER_DEVICE_PROPERTIES_INIT;
    taper_string *text = NULL;
    TAPER_TRY(taper_device_get_properties(device, &about));
    TAPER_TRY(taper_device_to_string(device, &text));
    printf("on %s (%s)", taper_string_data(text), about.name);
    taper_string_free(text);
    if (device.type == TAPER_DEVICE_CPU) printf(", %d threads", (int)taper_get_num_threads());
    putchar('\n');
    return NULL;
}

static taper_error *run(const options *opt) {
    dataset training = {NULL, NULL, 0}, testing = {NULL, NULL, 0};
    taper_module *net = NULL;
    taper_error *error = NULL;

    TAPER_TRY(taper_check_abi(TAPER_ABI_VERSION)); /* the header that this was compiled with fits the library */
    TAPER_TRY(taper_device_check(opt->device));    /* says why, if there is no such device */
    taper_manual_seed(opt->seed);
    if (opt->threads > 0) TAPER_TRY(taper_set_num_threads(opt->threads));
    error = net_new(&net);
    if (error == NULL) error = taper_module_to(net, TAPER_DTYPE_NONE, opt->device);
    if (error == NULL) error = load(opt, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", &testing);
    if (opt->predict) {
        if (error == NULL) error = predict(opt, net, &testing);
    } else {
        if (error == NULL) error = load(opt, "train-images-idx3-ubyte", "train-labels-idx1-ubyte", &training);
        if (error == NULL) error = print_module(net);
        if (error == NULL) {
            printf("%lld training images, %lld test images, ", (long long)training.n, (long long)testing.n);
            error = print_device(opt->device);
        }
        if (error == NULL) error = train(opt, net, &training, &testing);
    }
    taper_tensor_free(training.images); /* free accepts NULL */
    taper_tensor_free(training.labels);
    taper_tensor_free(testing.images);
    taper_tensor_free(testing.labels);
    taper_module_free(net);
    return error;
}

/* Starts this program again, with --predict, and waits for it. */
static int run_again(char **argv, int argc) {
    char **again = calloc((size_t)argc + 2, sizeof *again);
    int status = 1;
    if (again == NULL) return 1;
    memcpy(again, argv, (size_t)argc * sizeof *again);
    again[argc] = "--predict";
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        execvp(again[0], again);
        perror(again[0]);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0) perror("cannot start a process");
    free(again);
    return status == 0 ? 0 : 1;
}

static int usage(const char *program) {
    fprintf(stderr,
            "usage: %s [--epochs N] [--data DIR] [--weights FILE] [--device cpu|opencl[:N]|cuda[:N]] [--threads N]\n"
            "          [--seed N] [--predict]\n",
            program);
    return 2;
}

/* A whole number that fills the text, like "30". */
static int number(const char *text, unsigned long long *value) {
    char *end = NULL;
    *value = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && *value <= 1000000000 ? 0 : -1;
}

static int parse(int argc, char **argv, options *opt) {
    unsigned long long value_of = 0;
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (strcmp(name, "--predict") == 0) {
            opt->predict = true;
            continue;
        }
        if (i + 1 == argc) return -1;
        const char *value = argv[++i];
        if (strcmp(name, "--epochs") == 0) {
            if (number(value, &value_of) != 0) return -1;
            opt->epochs = (int)value_of;
        } else if (strcmp(name, "--threads") == 0) {
            if (number(value, &value_of) != 0) return -1;
            opt->threads = (int)value_of;
        } else if (strcmp(name, "--seed") == 0) {
            if (number(value, &value_of) != 0) return -1;
            opt->seed = value_of;
        } else if (strcmp(name, "--data") == 0) {
            opt->data = value;
        } else if (strcmp(name, "--weights") == 0) {
            opt->weights = value;
        } else if (strcmp(name, "--device") == 0) {
            taper_error *error = taper_device_parse(value, &opt->device); /* "opencl:1" */
            if (error != NULL) {
                fprintf(stderr, "digits: %s\n", taper_error_message(error));
                taper_error_free(error);
                return -1;
            }
        } else {
            return -1;
        }
    }
    return 0;
}

int main(int argc, char **argv) {
    options opt = {"data/digits", "digits.safetensors", 0, 0, 0, {TAPER_DEVICE_CPU, 0}, false};
    if (parse(argc, argv, &opt) != 0) return usage(argv[0]);

    taper_error *error = run(&opt);
    if (error != NULL) {
        fprintf(stderr, "digits: %s\n", taper_error_message(error));
        taper_error_free(error);
        return 1;
    }
    return opt.predict ? 0 : run_again(argv, argc);
}
