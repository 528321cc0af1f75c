/* Optimisers of the specification: PyTorch's numbers (tests/fixtures/optimizers.txt), options by name, closures, a step of the
   program's own. */
#include "harness.h"

typedef struct {
    const char *name;
    taper_error *(*make)(const taper_tensor_list *params, taper_optimizer **out);
} maker;

#define MAKER(lower) \
    static taper_error *make_##lower(const taper_tensor_list *params, taper_optimizer **out) \
    { \
        return taper_optim_##lower##_create(params, NULL, out); \
    }
MAKER(adamax)
MAKER(nadam)
MAKER(radam)
MAKER(rmsprop)
MAKER(rprop)
MAKER(adagrad)
MAKER(adadelta)
MAKER(asgd)
MAKER(adafactor)
MAKER(muon)
static taper_error *make_sgd(const taper_tensor_list *params, taper_optimizer **out)
{
    taper_optim_sgd_options o = TAPER_OPTIM_SGD_OPTIONS_INIT;
    o.lr = 0.1;
    return taper_optim_sgd_create(params, &o, out);
}
static taper_error *make_adam(const taper_tensor_list *params, taper_optimizer **out)
{
    taper_optim_adam_options o = TAPER_OPTIM_ADAM_OPTIONS_INIT;
    o.lr = 0.1;
    return taper_optim_adam_create(params, &o, out);
}
static taper_error *make_adamw(const taper_tensor_list *params, taper_optimizer **out)
{
    taper_optim_adamw_options o = TAPER_OPTIM_ADAMW_OPTIONS_INIT;
    o.lr = 0.1;
    return taper_optim_adamw_create(params, &o, out);
}
static taper_error *make_lbfgs(const taper_tensor_list *params, taper_optimizer **out)
{
    taper_optim_lbfgs_options o = TAPER_OPTIM_LBFGS_OPTIONS_INIT;
    o.lr = 0.1;
    o.max_iter = 4;
    return taper_optim_lbfgs_create(params, &o, out);
}

static const maker makers[] = {
    {"SGD", make_sgd},         {"Adam", make_adam},         {"AdamW", make_adamw}, {"Adamax", make_adamax},
    {"NAdam", make_nadam},     {"RAdam", make_radam},       {"RMSprop", make_rmsprop}, {"Rprop", make_rprop},
    {"Adagrad", make_adagrad}, {"Adadelta", make_adadelta}, {"ASGD", make_asgd},   {"Adafactor", make_adafactor},
    {"LBFGS", make_lbfgs},     {"Muon", make_muon},
};

static taper_tensor *doubles(const double *data, int64_t rows, int64_t cols)
{
    int64_t sizes[2] = {rows, cols};
    taper_tensor *t = NULL;
    OK(taper_tensor_from_data(data, sizes, cols ? 2 : 1, TAPER_FLOAT64, TAPER_CPU, &t));
    return t;
}

enum { MOST = 15 };

static double value_at(taper_tensor *t, size_t i)
{
    double buf[MOST];
    OK(taper_tensor_copy_to_host(t, buf, (size_t)taper_tensor_numel(t) * sizeof(double)));
    return buf[i];
}

/* The two parameters of the recordings, 4 x 3 and 7; Muon, which takes matrices alone, has 3 x 5. */
static bool matrices;

static taper_tensor *like_parameter(int k, const double *v)
{
    return k == 0 ? doubles(v, 4, 3) : matrices ? doubles(v, 3, 5) : doubles(v, 7, 0);
}

static void parameters(taper_tensor *p[2])
{
    double v[MOST];
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < MOST; i++) {
            v[i] = (i - 3) / 4.0 + k;
        }
        p[k] = like_parameter(k, v);
        OK(taper_tensor_set_requires_grad(p[k], true));
    }
}

static void set_gradients(taper_tensor *p[2], int step)
{
    double v[MOST];
    for (int k = 0; k < (step >= 4 ? 2 : 1); k++) {
        for (int i = 0; i < MOST; i++) {
            v[i] = ((step * 31 + i * 17) % 23 - 11) / (4.0 + step);
        }
        taper_tensor *g = like_parameter(k, v);
        OK(taper_tensor_set_grad(p[k], g));
        taper_tensor_free(g);
    }
}

/* loss = sum(d^4) + sum((1 + i) * d^2), d = p - (i / 4 - 0.5) */
static taper_error *objective(void *user, taper_tensor **loss)
{
    taper_tensor **p = user, *total = NULL;
    taper_scope_begin();
    for (int k = 0; k < 2; k++) {
        const int64_t n = k == 0 ? 12 : 7;
        double c[12], w[12];
        for (int i = 0; i < n; i++) {
            c[i] = i / 4.0 - 0.5;
            w[i] = 1 + i;
        }
        taper_tensor *flat, *d, *square, *fourth, *weighted, *both, *sum;
        OK(taper_tensor_set_grad(p[k], NULL));
        OK(taper_reshape(p[k], &n, 1, &flat));
        OK(taper_sub(flat, doubles(c, n, 0), taper_scalar_i64(1), &d));
        OK(taper_mul(d, d, &square));
        OK(taper_mul(square, square, &fourth));
        OK(taper_mul(square, doubles(w, n, 0), &weighted));
        OK(taper_add(fourth, weighted, taper_scalar_i64(1), &both));
        OK(taper_sum(both, TAPER_DTYPE_NONE, &sum));
        if (total) {
            OK(taper_add(total, sum, taper_scalar_i64(1), &sum));
        }
        total = sum;
    }
    OK(taper_backward(&total, 1, NULL, 0, false, false, NULL, 0));
    OK(taper_tensor_ref(total, loss));
    OK(taper_scope_keep(*loss));
    OK(taper_scope_end());
    return NULL;
}

static void compare(const char *name, char *line, const double *lead, taper_tensor *p[2])
{
    char *rest = strchr(line, ':') + 1;
    double worst = 0;
    if (lead) {
        worst = fabs(strtod(rest, &rest) - *lead);
    }
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < (size_t)taper_tensor_numel(p[k]); i++) {
            const double want = strtod(rest, &rest), off = fabs(value_at(p[k], i) - want);
            worst = off > worst ? off : worst;
        }
    }
    /* Muon multiplies in bfloat16. */
    const double most = matrices ? 2e-2 : 1e-10;
    CHECK(worst < most);
    if (worst >= most) {
        fprintf(stderr, "%s: off by %g at %.8s\n", name, worst, line);
    }
}

/* The first float64 recording of each class. */
static void pytorchs_steps(void)
{
    FILE *f = fopen("tests/fixtures/optimizers.txt", "r");
    static char line[4096], text[2048], *last = "";
    CHECK(f != NULL);
    if (!f) {
        return;
    }
    taper_tensor *p[2] = {NULL, NULL};
    taper_optimizer *o = NULL;
    char name[32] = "";
    int steps = 0, compared = 0;
    bool printed = false;
    while (fgets(line, sizeof line, f)) {
        char class_name[32], dtype[32];
        if (sscanf(line, "== %31s %31s", class_name, dtype) == 2) {
            taper_optimizer_free(o);
            taper_tensor_free(p[0]);
            taper_tensor_free(p[1]);
            o = NULL;
            p[0] = p[1] = NULL;
            if (strcmp(class_name, last) == 0 || strcmp(dtype, "float64") != 0) {
                continue;
            }
            for (size_t i = 0; i < sizeof makers / sizeof *makers; i++) {
                if (strcmp(makers[i].name, class_name) == 0) {
                    taper_tensor_list *list = NULL;
                    matrices = strcmp(class_name, "Muon") == 0;
                    parameters(p);
                    OK(taper_tensor_list_new(p, 2, &list));
                    OK(makers[i].make(list, &o));
                    taper_tensor_list_free(list);
                    compared++;
                }
            }
            snprintf(name, sizeof name, "%s", class_name);
            last = name;
            steps = 0;
            printed = false;
            text[0] = 0;
        } else if (!o || line[0] == '.') {
            continue;
        } else if (line[0] == '|') {
            strncat(text, line + 2, sizeof text - strlen(text) - 1);
        } else {
            if (!printed) {
                taper_string *s = NULL;
                OK(taper_optimizer_to_string(o, &s));
                text[strlen(text) - 1] = 0;
                CHECK(strcmp(taper_string_data(s), text) == 0);
                taper_string_free(s);
                printed = true;
            }
            const int want = atoi(line);
            double loss = 0;
            while (steps < want) {
                if (strcmp(name, "LBFGS") == 0) {
                    taper_optimizer_closure c = TAPER_OPTIMIZER_CLOSURE_INIT;
                    taper_tensor *first = NULL;
                    c.call = objective;
                    OK(taper_optimizer_step_closure(o, &c, p, &first));
                    loss = value_at(first, 0);
                    taper_tensor_free(first);
                } else {
                    set_gradients(p, steps);
                    OK(taper_optimizer_step(o));
                }
                steps++;
            }
            compare(name, line, strcmp(name, "LBFGS") == 0 ? &loss : NULL, p);
        }
    }
    fclose(f);
    taper_optimizer_free(o);
    taper_tensor_free(p[0]);
    taper_tensor_free(p[1]);
    CHECK_INT(compared, 14);
}

static int dropped;
static void drop(void *user)
{
    (void)user;
    dropped++;
}

/* p -= rate * grad, and the step is kept. */
static taper_error *own_step(void *user, taper_optimizer *self)
{
    taper_tensor_list *list = NULL;
    taper_scalar rate;
    (void)user;
    OK(taper_optimizer_group_params(self, 0, &list));
    OK(taper_optimizer_get_option(self, 0, "rate", &rate));
    for (size_t i = 0; i < taper_tensor_list_len(list); i++) {
        taper_tensor *p, *g, *step;
        OK(taper_tensor_list_get(list, i, &p));
        OK(taper_tensor_grad(p, &g));
        OK(taper_mul_scalar(g, taper_scalar_f64(-rate.f), &step));
        OK(taper_add_(p, step, taper_scalar_i64(1)));
        OK(taper_optimizer_set_state(self, p, "last", step));
        taper_tensor_free(p);
        taper_tensor_free(g);
        taper_tensor_free(step);
    }
    taper_tensor_list_free(list);
    return NULL;
}
static taper_error *failing_step(void *user, taper_optimizer *self)
{
    (void)user;
    return taper_optimizer_set_lr(self, -1);
}

static void own_optimizers(void)
{
    taper_tensor *p[2], *state = NULL;
    taper_tensor_list *list = NULL;
    taper_optimizer *o = NULL;
    taper_string *text = NULL;
    taper_optimizer_vtable v = TAPER_OPTIMIZER_VTABLE_INIT;
    parameters(p);
    OK(taper_tensor_list_new(p, 1, &list));
    FAILS(taper_optimizer_own_new("Halver", list, &v, NULL, &o), TAPER_ERROR_VALUE, "step function is NULL");
    v.step = own_step;
    v.drop = drop;
    OK(taper_optimizer_own_new("Halver", list, &v, NULL, &o));
    OK(taper_optimizer_set_option(o, 0, "rate", taper_scalar_f64(0.5)));
    set_gradients(p, 0);
    const double before = value_at(p[0], 1);
    OK(taper_optimizer_step(o));
    CHECK(fabs(value_at(p[0], 1) - (before - 0.5 * (6 / 4.0))) < 1e-12);
    OK(taper_optimizer_get_state(o, p[0], "last", &state));
    CHECK(fabs(value_at(state, 1) + 0.75) < 1e-12);
    taper_tensor_free(state);
    OK(taper_optimizer_get_state(o, p[0], "first", &state));
    CHECK(state == NULL);
    FAILS(taper_optimizer_set_state(o, p[1], "last", NULL), TAPER_ERROR_VALUE, "no parameter of this Halver");
    OK(taper_optimizer_to_string(o, &text));
    CHECK(strcmp(taper_string_data(text), "Halver (\nParameter Group 0\n    rate: 0.5\n)") == 0);
    taper_string_free(text);
    taper_optimizer_free(o);
    CHECK_INT(dropped, 1);
    v.step = failing_step;
    OK(taper_optimizer_own_new("Failing", list, &v, NULL, &o));
    FAILS(taper_optimizer_step(o), TAPER_ERROR_VALUE, "Invalid learning rate: -1.0");
    taper_optimizer_free(o);
    taper_tensor_list_free(list);
    taper_tensor_free(p[0]);
    taper_tensor_free(p[1]);
}

static void options(void)
{
    taper_tensor *p[2];
    taper_tensor_list *list = NULL, *more = NULL;
    taper_optimizer *o = NULL;
    taper_scalar s;
    taper_string *text = NULL;
    double v[3];
    size_t n = 0;
    parameters(p);
    OK(taper_tensor_list_new(p, 1, &list));
    OK(taper_tensor_list_new(p + 1, 1, &more));
    OK(taper_optim_nadam_create(list, NULL, &o));
    OK(taper_optimizer_get_option(o, 0, "momentum_decay", &s));
    CHECK(s.kind == TAPER_SCALAR_FLOAT && s.f == 4e-3);
    OK(taper_optimizer_set_option(o, 0, "maximize", taper_scalar_bool(true)));
    OK(taper_optimizer_get_option(o, 0, "maximize", &s));
    CHECK(s.kind == TAPER_SCALAR_BOOL && s.i == 1);
    OK(taper_optimizer_get_option_values(o, 0, "betas", v, 3, &n));
    CHECK(n == 2 && v[0] == 0.9 && v[1] == 0.999);
    v[0] = 0.5;
    OK(taper_optimizer_set_option_values(o, 0, "betas", v, 2));
    OK(taper_optimizer_get_option_text(o, 0, "betas", &text));
    CHECK(strcmp(taper_string_data(text), "(0.5, 0.999)") == 0);
    taper_string_free(text);
    FAILS(taper_optimizer_get_option_values(o, 0, "betas", v, 1, &n), TAPER_ERROR_VALUE, "place for 1 numbers");
    FAILS(taper_optimizer_set_option_values(o, 0, "betas", v, 1), TAPER_ERROR_TYPE, "must be 2 numbers");
    FAILS(taper_optimizer_get_option(o, 0, "betas", &s), TAPER_ERROR_TYPE, "not one number");
    FAILS(taper_optimizer_get_option(o, 0, "beta", &s), TAPER_ERROR_KEY, "NAdam has no option \"beta\"");
    FAILS(taper_optimizer_get_option(o, 1, "lr", &s), TAPER_ERROR_INDEX, "there are 1");
    FAILS(taper_optimizer_set_option(o, 0, "eps", taper_scalar_f64(-1)), TAPER_ERROR_VALUE, "Invalid epsilon value");
    taper_optim_nadam_options options = TAPER_OPTIM_NADAM_OPTIONS_INIT;
    options.lr = 0.25;
    OK(taper_optimizer_add_param_group(o, more, &options));
    CHECK_INT(taper_optimizer_num_groups(o), 2);
    OK(taper_optimizer_get_option(o, 1, "lr", &s));
    CHECK(s.f == 0.25);
    FAILS(taper_optimizer_add_param_group(o, list, NULL), TAPER_ERROR_VALUE, "more than one parameter group");
    options.struct_size = 3;
    FAILS(taper_optimizer_add_param_group(o, list, &options), TAPER_ERROR_VALUE, "struct_size is 3");
    taper_optimizer_free(o);
    taper_optim_lbfgs_options l = TAPER_OPTIM_LBFGS_OPTIONS_INIT;
    l.line_search_fn = "strong_wolfe";
    OK(taper_optim_lbfgs_create(list, &l, &o));
    OK(taper_optimizer_get_option_text(o, 0, "line_search_fn", &text));
    CHECK(strcmp(taper_string_data(text), "strong_wolfe") == 0);
    taper_string_free(text);
    OK(taper_optimizer_set_option_text(o, 0, "line_search_fn", NULL));
    FAILS(taper_optimizer_step(o), TAPER_ERROR_TYPE, "missing 1 required positional argument: 'closure'");
    FAILS(taper_optimizer_add_param_group(o, more, NULL), TAPER_ERROR_VALUE, "doesn't support per-parameter options");
    taper_optimizer_free(o);
    FAILS(taper_optim_muon_create(more, NULL, &o), TAPER_ERROR_VALUE, "Muon only supports 2D parameters");
    taper_tensor_list_free(list);
    taper_tensor_list_free(more);
    taper_tensor_free(p[0]);
    taper_tensor_free(p[1]);
}

int main(void)
{
    pytorchs_steps();
    own_optimizers();
    options();
    return finish("optimisers");
}
