/* tensors.c: nested lists and arrays as tensors, and how tensors print.
 *
 *     scripts/example.sh c tensors
 */
#include <stdio.h>
#include <taper.h>

static taper_error *print(taper_tensor *x) {
    taper_string *text = NULL;
    TAPER_TRY(taper_tensor_to_string(x, &text));
    printf("%s\n", taper_string_data(text)); /* valid until the string is freed */
    taper_string_free(text);
    return NULL;
}

static taper_error *print_shape(taper_tensor *x) {
    int64_t sizes[8];
    size_t ndim = 0;
    TAPER_TRY(taper_tensor_sizes(x, sizes, 8, &ndim));
    printf("torch.Size([");
    for (size_t i = 0; i < ndim; i++) printf("%s%lld", i == 0 ? "" : ", ", (long long)sizes[i]);
    printf("])\n");
    return NULL;
}

/* Numbers to a tensor. `taper_tensor_from_data` copies them, so the array may go away at once. */
static taper_error *from_numbers(void) {
    const int64_t data[2][2] = {{1, 2}, {3, 4}};
    const int64_t sizes[2] = {2, 2};
    taper_tensor *x_data = NULL;
    TAPER_TRY(taper_tensor_from_data(data, sizes, 2, TAPER_INT64, TAPER_CPU, &x_data));
    TAPER_TRY(print(x_data));
    TAPER_TRY(print_shape(x_data));
    return NULL;
}

/* An array of the caller's to a tensor that shares its memory: nothing is copied, a write to one is seen in the other.
 * `release` would be told when the last tensor that uses the memory is gone; this array is static, so nobody needs to
 * know. An int32 array gives an int32 tensor, and since that is not the usual type of whole numbers, it is printed. */
static taper_error *from_array(void) {
    static int32_t array[2][2] = {{1, 2}, {3, 4}};
    const int64_t sizes[2] = {2, 2};
    taper_tensor *x = NULL;
    TAPER_TRY(taper_tensor_from_buffer(array, sizes, 2, NULL, TAPER_INT32, NULL, NULL, &x));
    TAPER_TRY(print(x));
    TAPER_TRY(print_shape(x));
    array[0][0] = 10;
    TAPER_TRY(print(x));
    return NULL;
}

/* A gradient: y = sum(x * x), so dy/dx = 2 x. */
static taper_error *gradient(void) {
    const float data[3] = {1, 2, 3};
    const int64_t sizes[1] = {3};
    taper_tensor *x = NULL, *y = NULL, *grad = NULL;
    TAPER_TRY(taper_tensor_from_data(data, sizes, 1, TAPER_FLOAT32, TAPER_CPU, &x));
    TAPER_TRY(taper_tensor_set_requires_grad(x, true));
    TAPER_TRY(taper_mul(x, x, &y));
    TAPER_TRY(taper_sum(y, TAPER_DTYPE_NONE, &y));
    TAPER_TRY(print(y));
    TAPER_TRY(taper_backward(&y, 1, NULL, 0, false, false, NULL, 0));
    TAPER_TRY(taper_tensor_grad(x, &grad));
    TAPER_TRY(print(grad));
    return NULL;
}

/* What a mistake looks like: an error that says what is wrong, and the program goes on. */
static taper_error *mistake(void) {
    const int64_t two_three[2] = {2, 3}, four_five[2] = {4, 5};
    taper_tensor *a = NULL, *b = NULL, *c = NULL;
    TAPER_TRY(taper_ones(two_three, 2, TAPER_FLOAT32, TAPER_CPU, &a));
    TAPER_TRY(taper_ones(four_five, 2, TAPER_FLOAT32, TAPER_CPU, &b));
    taper_error *error = taper_matmul(a, b, &c);
    printf("%s\n", error != NULL ? taper_error_message(error) : "no error");
    taper_error_free(error);
    return NULL;
}

int main(void) {
    taper_error *(*const examples[])(void) = {from_numbers, from_array, gradient, mistake};
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        taper_scope_begin(); /* the end of the scope frees the tensors that the example made */
        taper_error *error = examples[i]();
        taper_error *ending = taper_scope_end();
        if (error == NULL) error = ending;
        if (error != NULL) {
            fprintf(stderr, "tensors: %s\n", taper_error_message(error));
            taper_error_free(error);
            return 1;
        }
    }
    return 0;
}
