/* Learning-rate schedules: forty epochs are PyTorch's (tests/fixtures/schedules.txt), states, own functions, mistakes. */
#include "harness.h"

#define ROOM 128

static taper_tensor *parameter(void)
{
    const double one = 1;
    const int64_t sizes[] = {1};
    taper_tensor *t = NULL;
    OK(taper_tensor_from_data(&one, sizes, 1, TAPER_FLOAT64, TAPER_CPU, &t));
    OK(taper_tensor_set_requires_grad(t, true));
    return t;
}
static taper_optimizer *two_groups(bool adam)
{
    taper_tensor *a = parameter(), *b = parameter();
    taper_sgd_options sgd = TAPER_SGD_OPTIONS_INIT;
    taper_adam_options betas = TAPER_ADAM_OPTIONS_INIT;
    taper_optimizer *o = NULL;
    sgd.lr = betas.lr = 0.1;
    sgd.momentum = 0.9;
    if (adam) {
        OK(taper_optim_adam_new(&a, 1, &betas, &o));
        betas.lr = 0.05;
        OK(taper_optimizer_add_adam_group(o, &b, 1, &betas));
    } else {
        OK(taper_optim_sgd_new(&a, 1, &sgd, &o));
        sgd.lr = 0.05;
        OK(taper_optimizer_add_sgd_group(o, &b, 1, &sgd));
    }
    taper_tensor_free(a);
    taper_tensor_free(b);
    return o;
}

/* ---- functions of schedules ---------------------------------------------------------------------------------------- */

static int dropped;
static void drop(void *user)
{
    (void)user;
    dropped++;
}
static taper_error *factor(void *user, int64_t epoch, size_t group, double base_lr, double lr, double *out)
{
    const double e = (double)epoch;
    (void)base_lr;
    (void)lr;
    switch (*(const char *)user) {
        case '1': *out = 1.0 / (1.0 + e); break;
        case '2': *out = group ? 0.5 : 1.0 - e / 100.0; break;
        case '3': *out = 0.95; break;
        default: *out = group ? 0.5 : 1.0 - 1.0 / (e + 2.0); break;
    }
    return NULL;
}
static taper_schedule_vtable function(void)
{
    taper_schedule_vtable v = TAPER_SCHEDULE_VTABLE_INIT;
    v.call = factor;
    v.drop = drop;
    return v;
}

/* ---- the recorded cases -------------------------------------------------------------------------------------------- */

static taper_schedule *exponential(taper_optimizer *o, double gamma)
{
    taper_schedule *s = NULL;
    OK(taper_schedule_exponential_lr_create(o, gamma, NULL, &s));
    return s;
}
static taper_schedule *step_lr(taper_optimizer *o, int64_t size, double gamma)
{
    taper_step_lr_options options = TAPER_STEP_LR_OPTIONS_INIT;
    taper_schedule *s = NULL;
    options.gamma = gamma;
    OK(taper_schedule_step_lr_create(o, size, &options, &s));
    return s;
}
static taper_schedule *constant(taper_optimizer *o, double by, int64_t iters)
{
    taper_constant_lr_options options = TAPER_CONSTANT_LR_OPTIONS_INIT;
    taper_schedule *s = NULL;
    options.factor = by;
    options.total_iters = iters;
    OK(taper_schedule_constant_lr_create(o, &options, &s));
    return s;
}
static taper_schedule *linear(taper_optimizer *o, double start, double end, int64_t iters)
{
    taper_linear_lr_options options = TAPER_LINEAR_LR_OPTIONS_INIT;
    taper_schedule *s = NULL;
    options.start_factor = start;
    options.end_factor = end;
    options.total_iters = iters;
    OK(taper_schedule_linear_lr_create(o, &options, &s));
    return s;
}
static taper_schedule *chained(taper_schedule *a, taper_schedule *b)
{
    taper_schedule *parts[] = {a, b}, *s = NULL;
    OK(taper_schedule_chained_scheduler_create(parts, 2, &s));
    taper_schedule_free(a);
    taper_schedule_free(b);
    return s;
}

static taper_schedule *make(const char *name, taper_optimizer *o)
{
    taper_schedule *s = NULL;
    const taper_schedule_vtable v = function();
    const bool b = strchr(name, '.')[1] == 'b';
    if (!strncmp(name, "LambdaLR", 8))
        OK(taper_schedule_lambda_lr_create(o, &v, b ? "2" : "1", NULL, &s));
    else if (!strncmp(name, "MultiplicativeLR", 16))
        OK(taper_schedule_multiplicative_lr_create(o, &v, b ? "4" : "3", NULL, &s));
    else if (!strncmp(name, "StepLR", 6) && !b)
        OK(taper_schedule_step_lr_create(o, 3, NULL, &s));
    else if (!strncmp(name, "StepLR", 6))
        s = step_lr(o, 7, 0.7);
    else if (!strncmp(name, "MultiStepLR", 11)) {
        const int64_t early[] = {2, 5, 5}, late[] = {30, 10, 20};
        taper_multi_step_lr_options options = TAPER_MULTI_STEP_LR_OPTIONS_INIT;
        options.gamma = b ? 0.3 : 0.1;
        OK(taper_schedule_multi_step_lr_create(o, b ? late : early, 3, &options, &s));
    } else if (!strncmp(name, "ConstantLR", 10) && !b)
        OK(taper_schedule_constant_lr_create(o, NULL, &s));
    else if (!strncmp(name, "ConstantLR", 10))
        s = constant(o, 0.7, 11);
    else if (!strncmp(name, "LinearLR", 8) && !b)
        OK(taper_schedule_linear_lr_create(o, NULL, &s));
    else if (!strncmp(name, "LinearLR", 8))
        s = linear(o, 0.9, 0.1, 30);
    else if (!strncmp(name, "ExponentialLR", 13))
        s = exponential(o, b ? 1.01 : 0.9);
    else if (!strncmp(name, "SequentialLR", 12) && !b) {
        taper_schedule *parts[] = {constant(o, 0.1, 2), exponential(o, 0.9), step_lr(o, 4, 0.5)};
        const int64_t milestones[] = {2, 20};
        OK(taper_schedule_sequential_lr_create(o, parts, 3, milestones, 2, NULL, &s));
        for (int i = 0; i < 3; i++)
            taper_schedule_free(parts[i]);
    } else if (!strncmp(name, "SequentialLR", 12)) {
        taper_schedule *parts[] = {linear(o, 1.0 / 3.0, 1.0, 6), NULL};
        const int64_t milestones[] = {6};
        OK(taper_schedule_cosine_annealing_lr_create(o, 30, NULL, &parts[1]));
        OK(taper_schedule_sequential_lr_create(o, parts, 2, milestones, 1, NULL, &s));
        taper_schedule_free(parts[0]);
        taper_schedule_free(parts[1]);
    } else if (!strncmp(name, "PolynomialLR", 12)) {
        taper_polynomial_lr_options options = TAPER_POLYNOMIAL_LR_OPTIONS_INIT;
        options.total_iters = 33;
        options.power = 2.5;
        OK(taper_schedule_polynomial_lr_create(o, b ? &options : NULL, &s));
    } else if (!strncmp(name, "CosineAnnealingLR", 17)) {
        taper_cosine_annealing_lr_options options = TAPER_COSINE_ANNEALING_LR_OPTIONS_INIT;
        options.eta_min = 0.003;
        OK(taper_schedule_cosine_annealing_lr_create(o, b ? 7 : 10, b ? &options : NULL, &s));
    } else if (!strncmp(name, "ChainedScheduler", 16) && !b) {
        taper_schedule *first = constant(o, 0.1, 4);
        s = chained(first, exponential(o, 0.9));
    } else if (!strncmp(name, "ChainedScheduler", 16)) {
        taper_schedule *warm = linear(o, 0.25, 1.0, 4), *step = step_lr(o, 5, 0.5);
        s = chained(chained(step, exponential(o, 0.95)), warm);
    } else if (!strncmp(name, "ReduceLROnPlateau", 17)) {
        static const double least[] = {0.01, 0.002};
        taper_reduce_lr_on_plateau_options options = TAPER_REDUCE_LR_ON_PLATEAU_OPTIONS_INIT;
        options.patience = 2;
        if (b) {
            options.mode = "max";
            options.factor = 0.5;
            options.patience = 1;
            options.threshold = 0.01;
            options.threshold_mode = "abs";
            options.cooldown = 3;
            options.min_lr = least;
            options.min_lr_len = 2;
        }
        OK(taper_schedule_reduce_lr_on_plateau_create(o, &options, &s));
    } else if (!strncmp(name, "CyclicLR", 8)) {
        static const double low[] = {0.01, 0.02}, high[] = {0.2, 0.3}, momentum[] = {0.5};
        static const int64_t down = 3;
        const bool c = name[9] == 'c';
        taper_cyclic_lr_options options = TAPER_CYCLIC_LR_OPTIONS_INIT;
        if (b) {
            options.step_size_up = 5;
            options.step_size_down = &down;
            options.mode = "exp_range";
            options.gamma = 0.95;
            options.cycle_momentum = 0;
        } else if (c) {
            options.step_size_up = 4;
            options.scale_mode = "iterations";
            options.base_momentum = momentum;
            options.base_momentum_len = 1;
        } else {
            options.step_size_up = 3;
            options.mode = "triangular2";
        }
        OK(taper_schedule_cyclic_lr_create(o, low, b ? 2 : 1, high, b ? 2 : 1, c ? &v : NULL, "1", &options, &s));
    } else if (!strncmp(name, "CosineAnnealingWarmRestarts", 27)) {
        taper_cosine_annealing_warm_restarts_options options = TAPER_COSINE_ANNEALING_WARM_RESTARTS_OPTIONS_INIT;
        if (b) {
            options.T_mult = 2;
            options.eta_min = 0.001;
        }
        OK(taper_schedule_cosine_annealing_warm_restarts_create(o, b ? 3 : 5, &options, &s));
    } else if (!strncmp(name, "OneCycleLR", 10)) {
        static const double high[] = {0.5, 0.4}, low_momentum[] = {0.8}, high_momentum[] = {0.9};
        static const int64_t total = 45, epochs = 5, per_epoch = 9;
        taper_one_cycle_lr_options options = TAPER_ONE_CYCLE_LR_OPTIONS_INIT;
        if (b) {
            options.epochs = &epochs;
            options.steps_per_epoch = &per_epoch;
            options.pct_start = 0.4;
            options.anneal_strategy = "linear";
            options.three_phase = 1;
            options.div_factor = 10;
            options.final_div_factor = 100;
            options.base_momentum = low_momentum;
            options.base_momentum_len = 1;
            options.max_momentum = high_momentum;
            options.max_momentum_len = 1;
        } else
            options.total_steps = &total;
        OK(taper_schedule_one_cycle_lr_create(o, high, b ? 2 : 1, &options, &s));
    } else if (!strncmp(name, "SWALR", 5)) {
        static const double goal[] = {0.05, 0.01};
        taper_swalr_options options = TAPER_SWALR_OPTIONS_INIT;
        if (b) {
            options.anneal_epochs = 25;
            options.anneal_strategy = "linear";
        }
        OK(taper_schedule_swalr_create(o, goal, b ? 2 : 1, &options, &s));
    } else {
        printf("no such case: %s\n", name);
        exit(1);
    }
    return s;
}

static void advance(taper_schedule *s, const char *name, int e)
{
    if (strncmp(name, "ReduceLROnPlateau", 17))
        OK(taper_schedule_step(s));
    else
        OK(taper_schedule_step_metric(s, e < 12 ? 1.0 / (1 + e) : 0.07));
}

static void same(const char *name, int moment, taper_optimizer *o, const double *want)
{
    for (size_t g = 0; g < 2; g++) {
        double lr = 0;
        OK(taper_optimizer_get_lr(o, g, &lr));
        if (lr != want[g]) {
            printf("%s, group %d, moment %d: %.17g, recorded %.17g\n", name, (int)g, moment, lr, want[g]);
            exit(1);
        }
    }
}

static void recorded(void)
{
    FILE *f = fopen("tests/fixtures/schedules.txt", "r");
    CHECK(f);
    char name[64];
    while (fscanf(f, "%63s", name) == 1) {
        static double values[3 * ROOM];
        int n = 0;
        while (n < 3 * ROOM && fscanf(f, "%lf", &values[n]) == 1)
            n++;
        const char *last = strrchr(name, '.');
        const bool to = !strcmp(last, ".to");
        taper_optimizer *o = two_groups(!strcmp(last, ".adam")), *other = NULL;
        taper_schedule *s = make(name, o), *again = NULL;
        for (int i = 0; i < n / 3; i++) {
            static const double epochs[] = {3, 7, 1, 20};
            if (to)
                OK(taper_schedule_step_to(s, epochs[i]));
            else if (i == 18 && strcmp(last, ".adam")) {
                /* The other half with a state that was loaded. */
                taper_named_tensors *state = NULL, *rates = NULL;
                OK(taper_schedule_state_dict(s, &state));
                OK(taper_optimizer_state_dict(o, &rates));
                other = two_groups(false);
                again = make(name, other);
                OK(taper_schedule_load_state_dict(again, state));
                OK(taper_optimizer_load_state_dict(other, rates));
                taper_named_tensors_free(state);
                taper_named_tensors_free(rates);
                CHECK(taper_schedule_last_epoch(again) == taper_schedule_last_epoch(s));
                advance(again, name, i - 1);
            } else if (i > 0)
                advance(again ? again : s, name, i - 1);
            same(name, i, again ? other : o, values + 3 * i);
        }
        taper_schedule_free(s);
        taper_schedule_free(again);
        taper_optimizer_free(o);
        taper_optimizer_free(other);
    }
    fclose(f);
}

/* ---- the rest ------------------------------------------------------------------------------------------------------ */

static taper_error *third(void *user, int64_t epoch, size_t group, double base_lr, double lr, double *out)
{
    (void)group;
    (void)lr;
    CHECK(taper_schedule_last_epoch(*(taper_schedule **)user) == (epoch ? epoch - 1 : -1));
    if (epoch == 3)
        return taper_error_new(TAPER_ERROR_VALUE, "not this one", NULL, NULL);
    *out = base_lr / (double)(1 + epoch);
    return NULL;
}
static void own(void)
{
    taper_optimizer *o = two_groups(false);
    taper_schedule *s = NULL;
    taper_schedule_vtable v = {sizeof v, third, drop};
    const int before = dropped;
    OK(taper_schedule_new(o, "Third", &v, &s, -1, &s));
    taper_optimizer_free(o); /* the schedule keeps it */
    OK(taper_schedule_step(s));
    OK(taper_schedule_step(s));
    double rates[3] = {0, 0, 7};
    size_t n = 0;
    OK(taper_schedule_last_lr(s, rates, 3, &n));
    CHECK(n == 2 && rates[0] == 0.1 / 3 && rates[1] == 0.05 / 3 && rates[2] == 7);
    FAILS(taper_schedule_step(s), TAPER_ERROR_VALUE, "not this one");
    CHECK(taper_schedule_last_epoch(s) == 2);
    OK(taper_schedule_base_lrs(s, rates, 1, &n));
    CHECK(n == 2 && rates[0] == 0.1);
    CHECK(dropped == before && taper_schedule_free(s) && dropped == before + 1);
    /* Dropped also when nothing comes of it. */
    FAILS(taper_schedule_new(NULL, "x", &v, NULL, -1, &s), TAPER_ERROR_INVALID_HANDLE, "expected an optimizer handle");
    CHECK(dropped == before + 2);
}

static void mistakes(void)
{
    taper_optimizer *o = two_groups(false);
    taper_schedule *s = NULL, *again = NULL;
    taper_string *text = NULL;
    OK(taper_schedule_step_lr_create(o, 30, NULL, &s));
    OK(taper_schedule_to_string(s, &text));
    CHECK(!strcmp(taper_string_data(text), "StepLR(step_size=30, gamma=0.1)"));
    taper_string_free(text);
    FAILS(taper_schedule_step_metric(s, 1), TAPER_ERROR_TYPE, "StepLR.step() takes no metric; ReduceLROnPlateau's does");
    FAILS(taper_schedule_sequential_lr_create(o, &s, 1, NULL, 0, NULL, NULL), TAPER_ERROR_VALUE, "out");
    FAILS(taper_schedule_step(NULL), TAPER_ERROR_INVALID_HANDLE, "expected a scheduler handle, got NULL");
    taper_constant_lr_options options = TAPER_CONSTANT_LR_OPTIONS_INIT;
    options.factor = 2;
    FAILS(taper_schedule_constant_lr_create(o, &options, &again), TAPER_ERROR_VALUE, "expected to be between 0 and 1");
    options.struct_size = 8;
    FAILS(taper_schedule_constant_lr_create(o, &options, &again), TAPER_ERROR_VALUE, "struct_size is 8");
    taper_schedule_vtable v = TAPER_SCHEDULE_VTABLE_INIT;
    FAILS(taper_schedule_lambda_lr_create(o, &v, NULL, NULL, &again), TAPER_ERROR_VALUE, "its call function is NULL");
    taper_optimizer *other = two_groups(false);
    FAILS(taper_schedule_sequential_lr_create(other, &s, 1, NULL, 0, NULL, &again), TAPER_ERROR_VALUE,
          "belong to the same optimizer");
    taper_optimizer_free(other);
    taper_named_tensors *state = NULL;
    OK(taper_named_tensors_new(&state));
    FAILS(taper_schedule_load_state_dict(s, state), TAPER_ERROR_KEY, "lacks \"step_size\"");
    taper_named_tensors_free(state);
    CHECK(again == NULL && taper_schedule_free(s) && !taper_schedule_free(s) && taper_schedule_free(NULL));
    taper_optimizer_free(o);
}

int main(void)
{
    recorded();
    own();
    mistakes();
    return finish("schedule");
}
