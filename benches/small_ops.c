/* small_ops.c: what one call costs from C, on tensors so small that the arithmetic does not count.
 * Prints lines of "what <tab> time". */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <taper.h>
#include <time.h>

enum { ROUNDS = 9, CALLS = 100000 };

static void check(taper_error *error) {
    if (error == NULL) return;
    fprintf(stderr, "small_ops: %s\n", taper_error_message(error));
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static taper_tensor *a, *b, *leaf;

static void add(void) {
    taper_tensor *out = NULL;
    check(taper_add(a, b, taper_scalar_i64(1), &out));
    taper_tensor_free(out);
}

static void add_inplace(void) { check(taper_add_(a, b, taper_scalar_i64(1))); }

static void add_recorded(void) {
    taper_tensor *out = NULL;
    check(taper_add(leaf, b, taper_scalar_i64(1), &out));
    taper_tensor_free(out);
}

static void relu(void) {
    taper_tensor *out = NULL;
    check(taper_relu(a, &out));
    taper_tensor_free(out);
}

static void matmul(void) {
    taper_tensor *out = NULL;
    check(taper_matmul(a, b, &out));
    taper_tensor_free(out);
}

static void sum(void) {
    taper_tensor *out = NULL;
    check(taper_sum(a, TAPER_DTYPE_NONE, &out));
    taper_tensor_free(out);
}

static void view(void) {
    const int64_t size[1] = {4};
    taper_tensor *out = NULL;
    check(taper_view(a, size, 1, &out));
    taper_tensor_free(out);
}

static void backward(void) {
    taper_tensor *square = NULL, *total = NULL;
    check(taper_mul(leaf, leaf, &square));
    check(taper_sum(square, TAPER_DTYPE_NONE, &total));
    check(taper_backward(&total, 1, NULL, 0, false, false, NULL, 0));
    taper_tensor_free(square);
    taper_tensor_free(total);
}

static void measure(const char *name, void (*call)(void)) {
    double rounds[ROUNDS];
    for (int i = 0; i < CALLS / 10; i++) call();
    for (int r = 0; r < ROUNDS; r++) {
        const double begin = now();
        for (int i = 0; i < CALLS; i++) call();
        rounds[r] = (now() - begin) / CALLS;
    }
    qsort(rounds, ROUNDS, sizeof *rounds, ascending);
    printf("%s\t%.0f ns\n", name, rounds[ROUNDS / 2]);
}

int main(void) {
    const float data[4] = {1e-3f, 2e-3f, 3e-3f, 4e-3f};
    const int64_t sizes[2] = {2, 2};
    check(taper_tensor_from_data(data, sizes, 2, TAPER_FLOAT32, TAPER_CPU, &a));
    check(taper_tensor_from_data(data, sizes, 2, TAPER_FLOAT32, TAPER_CPU, &b));
    check(taper_tensor_from_data(data, sizes, 2, TAPER_FLOAT32, TAPER_CPU, &leaf));
    check(taper_tensor_set_requires_grad(leaf, true));
    measure("2x2 add, and free of the result", add);
    measure("2x2 add in place", add_inplace);
    measure("2x2 add with a graph node, and free", add_recorded);
    measure("2x2 relu, and free", relu);
    measure("2x2 matmul, and free", matmul);
    measure("2x2 sum, and free", sum);
    measure("2x2 view, and free", view);
    measure("(a * a).sum().backward() of 2x2, all in all", backward);
    taper_tensor_free(a);
    taper_tensor_free(b);
    taper_tensor_free(leaf);
    return 0;
}
