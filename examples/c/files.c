/* Saves a training run half way and goes on with it, then keeps the weights alone:  scripts/example.sh c files [FOLDER] */
#include "example.h"

typedef struct {
    taper_module *net;
    taper_optimizer *optimizer;
} training;

static taper_error *fresh(training *t) {
    taper_module *layers[3];
    taper_adam_options options = TAPER_ADAM_OPTIONS_INIT;
    options.lr = 0.05;
    TAPER_TRY(taper_nn_linear_new(2, 8, true, &layers[0]));
    TAPER_TRY(taper_nn_tanh_new(&layers[1]));
    TAPER_TRY(taper_nn_linear_new(8, 1, true, &layers[2]));
    TAPER_TRY(sequential(layers, 3, &t->net));
    return adam(t->net, &options, &t->optimizer);
}

static taper_error *train(const char *what, const training *t, int steps) {
    const float questions[4][2] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}}, answers[4] = {0, 1, 1, 0};
    const int64_t two[] = {4, 2}, one[] = {4, 1};
    taper_tensor *x = NULL, *y = NULL, *said = NULL, *loss = NULL;
    double value = 0;
    TAPER_TRY(taper_tensor_from_data(questions, two, 2, TAPER_FLOAT32, TAPER_CPU, &x));
    TAPER_TRY(taper_tensor_from_data(answers, one, 2, TAPER_FLOAT32, TAPER_CPU, &y));
    for (int step = 0; step < steps; step++) {
        TAPER_TRY(call(t->net, x, &said));
        TAPER_TRY(taper_binary_cross_entropy_with_logits(said, y, NULL, NULL, "mean", &loss));
        TAPER_TRY(descend(t->optimizer, loss));
    }
    TAPER_TRY(item(loss, &value));
    printf("%-17s loss %.6f\n", what, value);
    return NULL;
}

static taper_error *run(const options *o) {
    char path[4096];
    training t, other;
    taper_named_tensors *weights = NULL, *read = NULL, *extra = NULL;
    taper_string *missing = NULL, *unexpected = NULL, *task = NULL;
    taper_manual_seed(0);
    TAPER_TRY(fresh(&t));
    TAPER_TRY(train("after 150 steps", &t, 150));

    /* A checkpoint has all that a run needs to go on with the same bits, the default generator's state too. */
    snprintf(path, sizeof path, "%s/xor.checkpoint", o->path);
    TAPER_TRY(taper_checkpoint_save(path, &t.net, 1, &t.optimizer, 1, NULL, 0, NULL, 0, NULL));
    TAPER_TRY(train("150 more", &t, 150));

    TAPER_TRY(fresh(&other)); /* as in a new process, with other weights */
    TAPER_TRY(taper_checkpoint_load(path, &other.net, 1, &other.optimizer, 1, NULL, 0, NULL, 0, true, &extra, &missing, &unexpected));
    TAPER_TRY(train("the same, resumed", &other, 150));

    /* The weights alone, as a file that every language and every library that knows safetensors reads. */
    snprintf(path, sizeof path, "%s/xor.safetensors", o->path);
    TAPER_TRY(taper_module_state_dict(t.net, &weights));
    TAPER_TRY(taper_named_tensors_set_metadata(weights, "task", "exclusive or"));
    TAPER_TRY(taper_named_tensors_save(weights, path));
    TAPER_TRY(taper_named_tensors_load(path, TAPER_CPU, &read));
    TAPER_TRY(taper_named_tensors_metadata(read, "task", &task));
    printf("xor.safetensors: %s\n", taper_string_data(task));
    for (size_t i = 0; i < taper_named_tensors_len(read); i++) {
        taper_tensor *tensor = NULL;
        TAPER_TRY(taper_named_tensors_get(read, i, &tensor));
        printf("  %s: %lld numbers\n", taper_named_tensors_name(read, i), (long long)taper_tensor_numel(tensor));
    }
    taper_string_free(task);
    taper_string_free(missing);
    taper_string_free(unexpected);
    taper_named_tensors_free(extra);
    taper_named_tensors_free(read);
    taper_named_tensors_free(weights);
    taper_optimizer_free(other.optimizer);
    taper_module_free(other.net);
    taper_optimizer_free(t.optimizer);
    taper_module_free(t.net);
    return NULL;
}

int main(int argc, char **argv) { return example_main(argc, argv, "."); }
