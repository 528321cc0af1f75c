/* A line through points, by gradient descent:  scripts/example.sh c linear */
#include "example.h"

enum { POINTS = 100 };

static taper_error *run(const options *o) {
    const int64_t size[] = {POINTS, 1};
    const taper_scalar one = taper_scalar_i64(1);
    taper_tensor *x = NULL, *y = NULL, *noise = NULL, *said = NULL, *loss = NULL, *weight = NULL, *bias = NULL;
    taper_tensor_list *parameters = NULL;
    taper_module *model = NULL;
    taper_optimizer *optimizer = NULL;
    double value = 0, slope = 0, offset = 0;
    (void)o;
    taper_manual_seed(0);
    TAPER_TRY(taper_randn(size, 2, NULL, TAPER_FLOAT32, TAPER_CPU, &x));
    TAPER_TRY(taper_randn(size, 2, NULL, TAPER_FLOAT32, TAPER_CPU, &noise));
    TAPER_TRY(taper_mul_scalar(x, taper_scalar_i64(3), &y)); /* the line that is to be found, and noise */
    TAPER_TRY(taper_sub_scalar(y, taper_scalar_i64(2), one, &y));
    TAPER_TRY(taper_mul_scalar(noise, taper_scalar_f64(0.1), &noise));
    TAPER_TRY(taper_add(y, noise, one, &y));

    taper_sgd_options options = TAPER_SGD_OPTIONS_INIT;
    options.lr = 0.1;
    TAPER_TRY(taper_nn_linear_new(1, 1, true, &model));
    TAPER_TRY(taper_module_parameters(model, &parameters));
    TAPER_TRY(taper_optim_sgd_new_from_list(parameters, &options, &optimizer));
    for (int step = 1; step <= 100; step++) {
        TAPER_TRY(call(model, x, &said));
        TAPER_TRY(taper_mse_loss(said, y, "mean", &loss));
        TAPER_TRY(descend(optimizer, loss));
        if (step % 20 == 0) {
            TAPER_TRY(item(loss, &value));
            printf("step %3d  loss %.6f\n", step, value);
        }
    }
    TAPER_TRY(taper_tensor_list_get(parameters, 0, &weight));
    TAPER_TRY(taper_tensor_list_get(parameters, 1, &bias));
    TAPER_TRY(item(weight, &slope));
    TAPER_TRY(item(bias, &offset));
    printf("y = %.3f x + %.3f\n", slope, offset);
    taper_tensor_list_free(parameters);
    taper_optimizer_free(optimizer);
    taper_module_free(model);
    return NULL;
}

int main(int argc, char **argv) { return example_main(argc, argv, ""); }
