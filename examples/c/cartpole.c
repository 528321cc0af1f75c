/* A network learns to balance a pole on a cart:  scripts/example.sh c cartpole [--quick] [PICTURE]
 *
 * REINFORCE: after each episode, what was done before much reward becomes likelier. The cart is that of Barto, Sutton and
 * Anderson, "Neuronlike adaptive elements that can solve difficult learning control problems" (1983). */
#include "example.h"
#include <math.h>

enum { LONGEST = 500, EPISODES = 300 }; /* after 500 steps an episode is over: well done */
static const double GRAVITY = 9.8, CART = 1.0, POLE = 0.1, HALF_LENGTH = 0.5, FORCE = 10.0, TICK = 0.02;

/* Position, velocity, angle of the pole from upright, its angular velocity; float32, the same in every language. */
typedef struct {
    float x, v, angle, w;
} state;

/* Pushes to the left (0) or right (1) for 20 ms; says whether the pole still stands and the cart is on its track. */
static bool move(state *s, int64_t action) {
    const double x = s->x, v = s->v, angle = s->angle, w = s->w;
    const double force = action == 1 ? FORCE : -FORCE, sine = sin(angle), cosine = cos(angle);
    const double push = (force + POLE * HALF_LENGTH * w * w * sine) / (CART + POLE);
    const double w_change =
        (GRAVITY * sine - cosine * push) / (HALF_LENGTH * (4.0 / 3 - POLE * cosine * cosine / (CART + POLE)));
    const double v_change = push - POLE * HALF_LENGTH * w_change * cosine / (CART + POLE);
    s->x = (float)(x + TICK * v);
    s->v = (float)(v + TICK * v_change);
    s->angle = (float)(angle + TICK * w);
    s->w = (float)(w + TICK * w_change);
    return fabs(s->x) <= 2.4 && fabs(s->angle) <= 12 * 3.14159265358979 / 180;
}

/* Draws an action with the chances that the policy gives. */
static taper_error *choose(taper_module *policy, const state *s, int64_t *action) {
    const int64_t size = 4;
    taper_tensor *x = NULL;
    double value = 0;
    taper_scope_begin();
    const bool recording = taper_set_grad_mode(false);
    TAPER_TRY(taper_tensor_from_data(s, &size, 1, TAPER_FLOAT32, TAPER_CPU, &x));
    TAPER_TRY(call(policy, x, &x));
    TAPER_TRY(taper_softmax(x, 0, TAPER_DTYPE_NONE, &x));
    TAPER_TRY(taper_multinomial(x, 1, false, NULL, &x));
    TAPER_TRY(item(x, &value));
    taper_set_grad_mode(recording);
    *action = (int64_t)value;
    return taper_scope_end();
}

static taper_error *play(taper_module *policy, state *states, int64_t *actions, int64_t *steps) {
    const int64_t four = 4;
    taper_tensor *start = NULL;
    state s;
    TAPER_TRY(taper_rand(&four, 1, NULL, TAPER_FLOAT32, TAPER_CPU, &start));
    TAPER_TRY(taper_mul_scalar(start, taper_scalar_f64(0.1), &start));
    TAPER_TRY(taper_sub_scalar(start, taper_scalar_f64(0.05), taper_scalar_i64(1), &start));
    TAPER_TRY(taper_tensor_copy_to_host(start, &s, sizeof s));
    bool stands = true;
    for (*steps = 0; stands && *steps < LONGEST; ++*steps) {
        states[*steps] = s;
        TAPER_TRY(choose(policy, &s, &actions[*steps]));
        stands = move(&s, actions[*steps]);
    }
    return NULL;
}

static taper_error *learn(taper_module *policy, taper_optimizer *optimizer, const state *states, const int64_t *actions,
                          int64_t steps) {
    const int64_t size[] = {steps, 4};
    taper_tensor *x = NULL, *did = NULL, *returns = NULL, *mean = NULL, *loss = NULL;
    float worth[LONGEST];
    double value = 0;
    /* What each action brought: a point for every step from there on, those far ahead counting less. */
    for (int64_t i = steps - 1; i >= 0; i--) worth[i] = (float)(value = 1 + 0.99 * value);
    TAPER_TRY(taper_tensor_from_data(states, size, 2, TAPER_FLOAT32, TAPER_CPU, &x));
    TAPER_TRY(taper_tensor_from_data(actions, &steps, 1, TAPER_INT64, TAPER_CPU, &did));
    TAPER_TRY(taper_tensor_from_data(worth, &steps, 1, TAPER_FLOAT32, TAPER_CPU, &returns));
    TAPER_TRY(taper_mean(returns, TAPER_DTYPE_NONE, &mean));
    TAPER_TRY(taper_sub(returns, mean, taper_scalar_i64(1), &mean));
    TAPER_TRY(taper_std(returns, true, &returns));
    TAPER_TRY(taper_add_scalar(returns, taper_scalar_f64(1e-6), taper_scalar_i64(1), &returns));
    TAPER_TRY(taper_div(mean, returns, &returns));

    TAPER_TRY(call(policy, x, &x));
    TAPER_TRY(taper_cross_entropy(x, did, NULL, -100, "none", 0, &loss));
    TAPER_TRY(taper_mul(loss, returns, &loss));
    TAPER_TRY(taper_mean(loss, TAPER_DTYPE_NONE, &loss));
    return descend(optimizer, loss);
}

static taper_error *run(const options *o) {
    static state states[LONGEST];
    static int64_t actions[LONGEST];
    static double lengths[EPISODES], means[EPISODES];
    taper_module *layers[3], *policy = NULL;
    taper_optimizer *optimizer = NULL;
    taper_adam_options adam_options = TAPER_ADAM_OPTIONS_INIT;
    taper_tensor *curves[2];
    const int64_t episodes = o->quick ? 30 : EPISODES;
    taper_manual_seed(0);
    TAPER_TRY(taper_nn_linear_new(4, 64, true, &layers[0]));
    TAPER_TRY(taper_nn_tanh_new(&layers[1]));
    TAPER_TRY(taper_nn_linear_new(64, 2, true, &layers[2]));
    TAPER_TRY(sequential(layers, 3, &policy));
    adam_options.lr = 0.01;
    TAPER_TRY(adam(policy, &adam_options, &optimizer));

    for (int episode = 1; episode <= episodes; episode++) {
        int64_t steps = 0;
        const int recent = episode < 20 ? episode : 20;
        double sum = 0;
        taper_scope_begin(); /* what one episode makes is freed at its end */
        TAPER_TRY(play(policy, states, actions, &steps));
        TAPER_TRY(learn(policy, optimizer, states, actions, steps));
        TAPER_TRY(taper_scope_end());
        lengths[episode - 1] = (double)steps;
        for (int i = 1; i <= recent; i++) sum += lengths[episode - i];
        means[episode - 1] = sum / recent;
        if (episode % (o->quick ? 10 : 30) == 0) {
            printf("episode %3d  %3d steps, %5.1f in the mean of the last %d\n", episode, (int)steps, means[episode - 1],
                   recent);
        }
    }
    TAPER_TRY(taper_tensor_from_data(lengths, &episodes, 1, TAPER_FLOAT64, TAPER_CPU, &curves[0]));
    TAPER_TRY(taper_tensor_from_data(means, &episodes, 1, TAPER_FLOAT64, TAPER_CPU, &curves[1]));
    TAPER_TRY(taper_save_plot(curves, 2, o->path, "each episode\nmean of twenty", "Steps until the pole fell", 0, 0));
    printf("drawn: %s\n", o->path);
    taper_optimizer_free(optimizer);
    taper_module_free(policy);
    return NULL;
}

int main(int argc, char **argv) { return example_main(argc, argv, "cartpole.png"); }
