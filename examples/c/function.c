/* A function with a gradient of its own:  scripts/example.sh c function
 *
 * log(1 + exp(x)) is about x for a large x, but written down like that it overflows, and its gradient is not a number. */
#include "example.h"

static taper_error *forward(void *user, taper_function_ctx *ctx, taper_tensor *const *inputs, size_t n, taper_tensor_list **out) {
    taper_tensor *x = inputs[0], *small = NULL, *y = NULL;
    (void)user, (void)n;
    TAPER_TRY(taper_function_ctx_save_for_backward(ctx, &x, 1));
    TAPER_TRY(taper_abs(x, &small));
    TAPER_TRY(taper_neg(small, &small));
    TAPER_TRY(taper_exp(small, &small));
    TAPER_TRY(taper_log1p(small, &small));
    TAPER_TRY(taper_relu(x, &y));
    TAPER_TRY(taper_add(y, small, taper_scalar_i64(1), &y));
    return taper_tensor_list_new(&y, 1, out);
}

static taper_error *backward(void *user, taper_function_ctx *ctx, taper_tensor *const *grads, size_t n, taper_tensor_list **out) {
    taper_tensor *slope = NULL;
    taper_tensor_list *saved = NULL;
    (void)user, (void)n;
    TAPER_TRY(taper_function_ctx_saved_tensors(ctx, &saved));
    TAPER_TRY(taper_tensor_list_get(saved, 0, &slope));
    taper_tensor_list_free(saved);
    TAPER_TRY(taper_sigmoid(slope, &slope));
    TAPER_TRY(taper_mul(grads[0], slope, &slope));
    return taper_tensor_list_new(&slope, 1, out);
}

static taper_error *softplus(void *user, taper_tensor *const *inputs, size_t n, taper_tensor_list **out) {
    taper_function_vtable functions = TAPER_FUNCTION_VTABLE_INIT;
    functions.name = "SoftplusBackward";
    functions.forward = forward;
    functions.backward = backward;
    return taper_function_apply(&functions, user, inputs, n, out);
}

static taper_error *as_it_is(void *user, taper_tensor *const *inputs, size_t n, taper_tensor_list **out) {
    taper_tensor *y = NULL;
    (void)user, (void)n;
    TAPER_TRY(taper_exp(inputs[0], &y));
    TAPER_TRY(taper_add_scalar(y, taper_scalar_i64(1), taper_scalar_i64(1), &y));
    TAPER_TRY(taper_log(y, &y));
    return taper_tensor_list_new(&y, 1, out);
}

static taper_error *show(const char *name, taper_error *(*f)(void *, taper_tensor *const *, size_t, taper_tensor_list **)) {
    const float numbers[] = {-100, 0, 100};
    const int64_t size = 3;
    taper_tensor *x = NULL, *y = NULL, *sum = NULL, *grad = NULL;
    taper_tensor_list *out = NULL;
    taper_string *values = NULL, *slopes = NULL;
    TAPER_TRY(taper_tensor_from_data(numbers, &size, 1, TAPER_FLOAT32, TAPER_CPU, &x));
    TAPER_TRY(taper_tensor_set_requires_grad(x, true));
    TAPER_TRY(f(NULL, &x, 1, &out));
    TAPER_TRY(taper_tensor_list_get(out, 0, &y));
    taper_tensor_list_free(out);
    TAPER_TRY(taper_sum(y, TAPER_DTYPE_NONE, &sum));
    TAPER_TRY(taper_backward(&sum, 1, NULL, 0, false, false, NULL, 0));
    TAPER_TRY(taper_tensor_grad(x, &grad));
    TAPER_TRY(taper_detach(y, &y));
    TAPER_TRY(taper_tensor_to_string(y, &values));
    TAPER_TRY(taper_tensor_to_string(grad, &slopes));
    printf("%-9s %s  gradient %s\n", name, taper_string_data(values), taper_string_data(slopes));
    taper_string_free(values);
    taper_string_free(slopes);
    return NULL;
}

static taper_error *run(const options *o) {
    const double numbers[] = {-2, 0.5, 3};
    const int64_t size = 3;
    taper_tensor *at = NULL;
    (void)o;
    TAPER_TRY(show("as it is", as_it_is));
    TAPER_TRY(show("Softplus", softplus));

    /* Gradients by hand should be checked: this compares them with differences of the function's values. */
    taper_tensor_fn_vtable function = TAPER_TENSOR_FN_VTABLE_INIT;
    function.call = softplus;
    TAPER_TRY(taper_tensor_from_data(numbers, &size, 1, TAPER_FLOAT64, TAPER_CPU, &at));
    TAPER_TRY(taper_tensor_set_requires_grad(at, true));
    TAPER_TRY(taper_gradcheck(&function, NULL, &at, 1, NULL));
    printf("the gradient is right\n");
    return NULL;
}

int main(int argc, char **argv) { return example_main(argc, argv, ""); }
