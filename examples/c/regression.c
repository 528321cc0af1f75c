/* Fits a small network to noisy values of a curve and draws both:  scripts/example.sh c regression [PICTURE] */
#include <stdio.h>
#include <taper.h>

enum { POINTS = 200 };

static taper_error *train(taper_module *net, taper_tensor *x, taper_tensor *y) {
    taper_tensor_list *parameters = NULL;
    taper_tensor *list[8];
    taper_optimizer *optimizer = NULL;
    taper_adam_options options = TAPER_ADAM_OPTIONS_INIT;
    options.lr = 0.01;
    TAPER_TRY(taper_module_parameters(net, &parameters));
    const size_t n = taper_tensor_list_len(parameters);
    for (size_t i = 0; i < n; i++) TAPER_TRY(taper_tensor_list_get(parameters, i, &list[i]));
    TAPER_TRY(taper_optim_adam_new(list, n, &options, &optimizer));
    for (int step = 1; step <= 1000; step++) {
        taper_tensor *out = NULL, *loss = NULL;
        taper_scalar value;
        taper_scope_begin(); /* what one step makes is freed at its end */
        TAPER_TRY(taper_optimizer_zero_grad(optimizer, true));
        TAPER_TRY(taper_module_forward(net, &x, 1, &out));
        TAPER_TRY(taper_mse_loss(out, y, "mean", &loss));
        TAPER_TRY(taper_backward(&loss, 1, NULL, 0, false, false, NULL, 0));
        TAPER_TRY(taper_optimizer_step(optimizer));
        if (step % 200 == 0) {
            TAPER_TRY(taper_tensor_item(loss, &value));
            printf("step %4d  loss %.4f\n", step, value.f);
        }
        TAPER_TRY(taper_scope_end());
    }
    taper_optimizer_free(optimizer);
    return NULL;
}

static taper_error *run(const char *path) {
    taper_module *layers[5], *net = NULL;
    taper_tensor *x = NULL, *y = NULL, *noise = NULL, *out = NULL, *curves[2];
    const int64_t size[] = {POINTS, 1};
    taper_manual_seed(0);
    TAPER_TRY(taper_linspace(taper_scalar_f64(-3), taper_scalar_f64(3), POINTS, TAPER_FLOAT32, TAPER_CPU, &x));
    TAPER_TRY(taper_unsqueeze(x, 1, &x));
    TAPER_TRY(taper_randn(size, 2, NULL, TAPER_FLOAT32, TAPER_CPU, &noise));
    TAPER_TRY(taper_mul_scalar(noise, taper_scalar_f64(0.1), &noise));
    TAPER_TRY(taper_mul_scalar(x, taper_scalar_f64(2), &y));
    TAPER_TRY(taper_sin(y, &y));
    TAPER_TRY(taper_add(y, noise, taper_scalar_i64(1), &y));

    TAPER_TRY(taper_nn_linear_new(1, 32, true, &layers[0]));
    TAPER_TRY(taper_nn_tanh_new(&layers[1]));
    TAPER_TRY(taper_nn_linear_new(32, 32, true, &layers[2]));
    TAPER_TRY(taper_nn_tanh_new(&layers[3]));
    TAPER_TRY(taper_nn_linear_new(32, 1, true, &layers[4]));
    TAPER_TRY(taper_nn_sequential_new(layers, 5, &net));
    for (int i = 0; i < 5; i++) taper_module_free(layers[i]); /* `net` holds them */
    TAPER_TRY(train(net, x, y));

    taper_set_grad_mode(false);
    TAPER_TRY(taper_module_forward(net, &x, 1, &out));
    TAPER_TRY(taper_cat((taper_tensor *[]){x, y}, 2, 1, &curves[0]));
    TAPER_TRY(taper_cat((taper_tensor *[]){x, out}, 2, 1, &curves[1]));
    TAPER_TRY(taper_save_plot(curves, 2, path, "data\nnetwork", "A network of 1,153 parameters and what it saw", 0, 0));
    printf("drawn: %s\n", path);
    taper_module_free(net);
    return NULL;
}

int main(int argc, char **argv) {
    taper_scope_begin(); /* frees the tensors that were made in between */
    taper_error *error = run(argc > 1 ? argv[1] : "regression.png"), *ended = taper_scope_end();
    if (error != NULL) fprintf(stderr, "%s\n", taper_error_message(error));
    int status = error != NULL;
    taper_error_free(ended);
    taper_error_free(error);
    return status;
}
