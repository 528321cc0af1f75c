/* What several examples share: `main` with its arguments, the digits, and a short way to call a layer. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <stdio.h>
#include <string.h>
#include <taper.h>

typedef struct {
    bool quick;       /* --quick: a few steps only */
    const char *path; /* of the picture */
} options;

static taper_error *run(const options *o); /* the example */

/* Runs the example inside a scope, which frees the tensors that it made, and prints what went wrong. */
static int example_main(int argc, char **argv, const char *path) {
    options o = {false, path};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            o.quick = true;
        } else {
            o.path = argv[i];
        }
    }
    taper_scope_begin();
    taper_error *error = run(&o), *ended = taper_scope_end();
    if (error != NULL) fprintf(stderr, "%s\n", taper_error_message(error));
    const int status = error != NULL || ended != NULL;
    taper_error_free(ended);
    taper_error_free(error);
    return status;
}

/* The 1,438 small digits: float32 [1438, 64] from 0 (paper) to 1 (ink). */
static inline taper_error *read_digits(taper_tensor **out) {
    enum { COUNT = 1438, PIXELS = 64 };
    static unsigned char bytes[COUNT * PIXELS];
    const int64_t size[] = {COUNT, PIXELS};
    FILE *file = fopen("data/digits/train-images-idx3-ubyte", "rb");
    /* 16 bytes of header, then a byte for each pixel, from 0 to 16. */
    const bool whole = file != NULL && fseek(file, 16, SEEK_SET) == 0 && fread(bytes, 1, sizeof bytes, file) == sizeof bytes;
    if (file != NULL) fclose(file);
    if (!whole) {
        return taper_error_new(TAPER_ERROR_IO, "cannot read data/digits (run from the root of the checkout)", NULL, NULL);
    }
    TAPER_TRY(taper_tensor_from_data(bytes, size, 2, TAPER_UINT8, TAPER_CPU, out));
    TAPER_TRY(taper_to(*out, TAPER_FLOAT32, TAPER_DEVICE_NONE, false, out));
    return taper_div_scalar(*out, taper_scalar_f64(16), out);
}

/* y = layer(x) */
static inline taper_error *call(taper_module *layer, taper_tensor *x, taper_tensor **y) {
    return taper_module_forward(layer, &x, 1, y);
}

/* Layers one after the other; they belong to the whole afterwards. */
static inline taper_error *sequential(taper_module **layers, size_t n, taper_module **out) {
    TAPER_TRY(taper_nn_sequential_new(layers, n, out));
    for (size_t i = 0; i < n; i++) taper_module_free(layers[i]);
    return NULL;
}

/* Adam over the parameters of a module. */
static inline taper_error *adam(taper_module *module, const taper_adam_options *options, taper_optimizer **out) {
    taper_tensor_list *parameters = NULL;
    TAPER_TRY(taper_module_parameters(module, &parameters));
    TAPER_TRY(taper_optim_adam_new_from_list(parameters, options, out));
    taper_tensor_list_free(parameters);
    return NULL;
}

/* Computes the gradients of a loss anew and takes a step. */
static inline taper_error *descend(taper_optimizer *optimizer, taper_tensor *loss) {
    TAPER_TRY(taper_optimizer_zero_grad(optimizer, true));
    TAPER_TRY(taper_backward(&loss, 1, NULL, 0, false, false, NULL, 0));
    return taper_optimizer_step(optimizer);
}

/* The number in a tensor of one element. */
static inline taper_error *item(taper_tensor *t, double *out) {
    taper_scalar value;
    TAPER_TRY(taper_tensor_item(t, &value));
    *out = value.kind == TAPER_SCALAR_FLOAT ? value.f : (double)value.i;
    return NULL;
}

/* Images [n, 1, 8, 8], each pixel four times as large, as a PNG file. */
static inline taper_error *save_digits(taper_tensor *images, const char *path) {
    const double larger = 4;
    taper_tensor *large = NULL;
    TAPER_TRY(taper_interpolate(images, NULL, 0, &larger, "nearest", NULL, NULL, false, NULL, NULL, &large));
    TAPER_TRY(taper_save_image(large, path, 16, 2, false));
    printf("drawn: %s\n", path);
    return NULL;
}

#endif
