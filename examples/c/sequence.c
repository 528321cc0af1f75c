/* An LSTM learns a wave and goes on with it by itself:  scripts/example.sh c sequence [PICTURE] */
#include <stdio.h>
#include <taper.h>

enum { SEEN = 300, ALL = 400 };

/* What the closure of the optimizer works on. */
typedef struct {
    taper_optimizer *optimizer;
    taper_module *lstm, *head;
    taper_tensor *input, *target;
} task;

/* The LSTM's output, and its state after it; `state` (NULL at first) has h and c before. */
static taper_error *hear(const task *t, taper_tensor *x, taper_tensor **state, taper_tensor **out) {
    taper_tensor *inputs[] = {x, state[0], state[1]};
    taper_tensor_list *outputs = NULL;
    TAPER_TRY(taper_module_forward_list(t->lstm, inputs, state[0] == NULL ? 1 : 3, &outputs));
    TAPER_TRY(taper_tensor_list_get(outputs, 0, out));
    for (size_t i = 0; i < 2; i++) TAPER_TRY(taper_tensor_list_get(outputs, 1 + i, &state[i]));
    taper_tensor_list_free(outputs);
    return NULL;
}

static taper_error *loss_of(const task *t, taper_tensor **loss) {
    taper_tensor *out = NULL, *said = NULL, *state[2] = {NULL, NULL};
    TAPER_TRY(taper_optimizer_zero_grad(t->optimizer, true));
    TAPER_TRY(hear(t, t->input, state, &out));
    TAPER_TRY(taper_module_forward(t->head, &out, 1, &said));
    TAPER_TRY(taper_mse_loss(said, t->target, "mean", loss));
    TAPER_TRY(taper_backward(loss, 1, NULL, 0, false, false, NULL, 0));
    return taper_scope_keep(*loss);
}
static taper_error *closure(void *user, taper_tensor **loss) {
    taper_scope_begin(); /* what it makes is freed at its end, but the loss, which the optimizer takes over */
    taper_error *error = loss_of(user, loss), *ended = taper_scope_end();
    if (error == NULL) return ended;
    taper_error_free(ended);
    return error;
}

static taper_error *train(task *t) {
    taper_tensor *parameters[16];
    taper_tensor_list *list = NULL;
    taper_module *const modules[] = {t->lstm, t->head};
    size_t n = 0;
    for (int m = 0; m < 2; m++) {
        TAPER_TRY(taper_module_parameters(modules[m], &list));
        for (size_t i = 0; i < taper_tensor_list_len(list); i++) TAPER_TRY(taper_tensor_list_get(list, i, &parameters[n++]));
        taper_tensor_list_free(list);
    }
    taper_optim_lbfgs_options options = TAPER_OPTIM_LBFGS_OPTIONS_INIT;
    options.lr = 0.8;
    TAPER_TRY(taper_tensor_list_new(parameters, n, &list));
    TAPER_TRY(taper_optim_lbfgs_create(list, &options, &t->optimizer));
    taper_tensor_list_free(list);
    const taper_optimizer_closure call = {sizeof call, closure, NULL};
    for (int step = 1; step <= 8; step++) {
        taper_tensor *loss = NULL;
        taper_scalar value;
        TAPER_TRY(taper_optimizer_step_closure(t->optimizer, &call, t, &loss));
        TAPER_TRY(taper_tensor_item(loss, &value));
        printf("step %d  loss %.1e\n", step, value.f);
        taper_tensor_free(loss);
    }
    return NULL;
}

static taper_error *run(const char *path) {
    task t = {NULL, NULL, NULL, NULL, NULL};
    taper_tensor *wave = NULL, *times = NULL, *second = NULL, *x = NULL, *out = NULL;
    taper_tensor *said[ALL - SEEN], *state[2] = {NULL, NULL}, *curves[2];
    const int64_t sequence[] = {-1, 1, 1}, flat = -1;
    taper_manual_seed(0);
    TAPER_TRY(taper_arange(taper_scalar_i64(ALL), TAPER_FLOAT32, TAPER_CPU, &times));
    TAPER_TRY(taper_mul_scalar(times, taper_scalar_f64(0.2), &times));
    TAPER_TRY(taper_mul_scalar(times, taper_scalar_f64(2), &second));
    TAPER_TRY(taper_sin(second, &second));
    TAPER_TRY(taper_sin(times, &wave));
    TAPER_TRY(taper_add(wave, second, taper_scalar_f64(0.5), &wave));
    TAPER_TRY(taper_view(wave, sequence, 3, &wave)); /* time, batch, features */
    TAPER_TRY(taper_narrow(wave, 0, 0, SEEN - 1, &t.input));
    TAPER_TRY(taper_narrow(wave, 0, 1, SEEN - 1, &t.target));

    TAPER_TRY(taper_nn_lstm_create(1, 32, NULL, &t.lstm));
    TAPER_TRY(taper_nn_linear_new(32, 1, true, &t.head));
    TAPER_TRY(train(&t));

    taper_set_grad_mode(false);
    TAPER_TRY(taper_narrow(wave, 0, 0, SEEN, &x));
    TAPER_TRY(hear(&t, x, state, &out));
    TAPER_TRY(taper_narrow(out, 0, -1, 1, &out));
    for (int i = 0; i < ALL - SEEN; i++) { /* what it says is the next that it hears */
        if (i > 0) TAPER_TRY(hear(&t, said[i - 1], state, &out));
        TAPER_TRY(taper_module_forward(t.head, &out, 1, &said[i]));
    }
    TAPER_TRY(taper_view(wave, &flat, 1, &curves[0]));
    TAPER_TRY(taper_cat(said, ALL - SEEN, 0, &out));
    TAPER_TRY(taper_view(out, &flat, 1, &out));
    TAPER_TRY(taper_arange_start(taper_scalar_i64(SEEN), taper_scalar_i64(ALL), TAPER_FLOAT32, TAPER_CPU, &times));
    TAPER_TRY(taper_stack((taper_tensor *[]){times, out}, 2, 1, &curves[1]));
    TAPER_TRY(taper_save_plot(curves, 2, path, "wave\nthe LSTM, alone from 300 on", "An LSTM that learned 300 values", 0, 0));
    printf("drawn: %s\n", path);
    taper_optimizer_free(t.optimizer);
    taper_module_free(t.lstm);
    taper_module_free(t.head);
    return NULL;
}

int main(int argc, char **argv) {
    taper_scope_begin(); /* frees the tensors that were made in between */
    taper_error *error = run(argc > 1 ? argv[1] : "sequence.png"), *ended = taper_scope_end();
    if (error != NULL) fprintf(stderr, "%s\n", taper_error_message(error));
    int status = error != NULL;
    taper_error_free(ended);
    taper_error_free(error);
    return status;
}
