/* A network of 33 parameters learns the exclusive or:  scripts/example.sh c xor */
#include "example.h"

static taper_error *run(const options *o) {
    const float questions[4][2] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}}, answers[4] = {0, 1, 1, 0};
    const int64_t two[] = {4, 2}, one[] = {4, 1};
    taper_tensor *x = NULL, *y = NULL, *said = NULL, *loss = NULL;
    taper_module *layers[3], *net = NULL;
    taper_optimizer *optimizer = NULL;
    (void)o;
    taper_manual_seed(0);
    TAPER_TRY(taper_tensor_from_data(questions, two, 2, TAPER_FLOAT32, TAPER_CPU, &x));
    TAPER_TRY(taper_tensor_from_data(answers, one, 2, TAPER_FLOAT32, TAPER_CPU, &y));
    TAPER_TRY(taper_nn_linear_new(2, 8, true, &layers[0]));
    TAPER_TRY(taper_nn_tanh_new(&layers[1]));
    TAPER_TRY(taper_nn_linear_new(8, 1, true, &layers[2]));
    TAPER_TRY(sequential(layers, 3, &net));
    taper_adam_options options = TAPER_ADAM_OPTIONS_INIT;
    options.lr = 0.05;
    TAPER_TRY(adam(net, &options, &optimizer));

    for (int step = 1; step <= 300; step++) {
        double value = 0;
        TAPER_TRY(call(net, x, &said));
        TAPER_TRY(taper_binary_cross_entropy_with_logits(said, y, NULL, NULL, "mean", &loss));
        TAPER_TRY(descend(optimizer, loss));
        TAPER_TRY(item(loss, &value));
        if (step % 100 == 0) printf("step %d  loss %.4f\n", step, value);
    }

    float sure[4];
    taper_set_grad_mode(false);
    TAPER_TRY(call(net, x, &said));
    TAPER_TRY(taper_sigmoid(said, &said));
    TAPER_TRY(taper_tensor_copy_to_host(said, sure, sizeof sure));
    for (int i = 0; i < 4; i++) printf("%.0f xor %.0f: %.3f\n", questions[i][0], questions[i][1], sure[i]);
    taper_optimizer_free(optimizer);
    taper_module_free(net);
    return NULL;
}

int main(int argc, char **argv) { return example_main(argc, argv, ""); }
