/* Checkpoints and the gradients of single samples: values, calls, drops, errors. */
#include "harness.h"

static int calls, drops;
static void count_drop(void *user)
{
    (void)user;
    drops++;
}

static taper_tensor *leaf(const float *v, const int64_t *sizes, size_t ndim)
{
    taper_tensor *t = NULL;
    OK(taper_tensor_from_data(v, sizes, ndim, TAPER_FLOAT32, TAPER_CPU, &t));
    OK(taper_tensor_set_requires_grad(t, true));
    return t;
}

typedef struct {
    taper_tensor *weight;
    bool once; /* the second call saves something else */
    bool fails;
} context;

/* dropout(tanh(x w)) */
static taper_error *block(void *user, taper_tensor *const *inputs, size_t n, taper_tensor_list **out)
{
    const context *c = user;
    taper_tensor *y = NULL;
    CHECK_INT(n, 1);
    calls++;
    if (c->fails && calls > 1)
        return taper_error_new(TAPER_ERROR_VALUE, "the second call failed", NULL, NULL);
    taper_scope_begin();
    taper_error *e = taper_mul(inputs[0], c->weight, &y);
    if (!e)
        e = taper_tanh(y, &y);
    if (!e && !(c->once && calls > 1))
        e = taper_dropout(y, 0.5, true, NULL, &y);
    if (!e)
        e = taper_scope_keep(y);
    taper_error_free(taper_scope_end());
    if (!e) {
        e = taper_tensor_list_new(&y, 1, out);
        taper_tensor_free(y);
    }
    return e;
}

static taper_tensor *through(context *c, taper_tensor *x, bool preserve)
{
    taper_tensor_fn_vtable vt = TAPER_TENSOR_FN_VTABLE_INIT;
    taper_tensor_list *list = NULL;
    taper_tensor *y = NULL;
    vt.call = block;
    vt.drop = count_drop;
    calls = drops = 0;
    OK(taper_checkpoint(&vt, c, &x, 1, preserve, &list));
    OK(taper_tensor_list_get(list, 0, &y));
    CHECK_INT(taper_tensor_list_len(list), 1);
    CHECK(taper_tensor_list_free(list));
    return y;
}
static taper_tensor *total(taper_tensor *y)
{
    taper_tensor *s = NULL;
    OK(taper_sum(y, TAPER_DTYPE_NONE, &s));
    return s;
}
static void gradients(taper_tensor *s, taper_tensor *x, taper_tensor *w, float *dx, float *dw, bool retain)
{
    taper_tensor *in[2] = {x, w}, *g = NULL;
    taper_tensor_list *list = NULL;
    OK(taper_grad(&s, 1, in, 2, NULL, 0, retain, false, false, &list));
    OK(taper_tensor_list_get(list, 0, &g));
    OK(taper_tensor_copy_to_host(g, dx, 64 * sizeof(float)));
    CHECK(taper_tensor_free(g));
    OK(taper_tensor_list_get(list, 1, &g));
    OK(taper_tensor_copy_to_host(g, dw, 64 * sizeof(float)));
    CHECK(taper_tensor_free(g) && taper_tensor_list_free(list));
}

static void checkpoints(void)
{
    const int64_t size = 64;
    float xs[64], ws[64], want_dx[64], want_dw[64], dx[64], dw[64], before[64], after[64];
    for (int i = 0; i < 64; i++) {
        xs[i] = (float)i / 32 - 1;
        ws[i] = 1 - (float)i / 100;
    }
    taper_tensor *x = leaf(xs, &size, 1), *w = leaf(ws, &size, 1), *s = NULL, *y = NULL, *r = NULL;
    context c = {w, false, false};

    /* What the block gives without a checkpoint, and the number that is drawn after it. */
    taper_tensor_list *list = NULL;
    taper_manual_seed(3);
    OK(block(&c, &x, 1, &list));
    OK(taper_tensor_list_get(list, 0, &y));
    CHECK(taper_tensor_list_free(list));
    OK(taper_tensor_copy_to_host(y, before, sizeof before));
    s = total(y);
    gradients(s, x, w, want_dx, want_dw, false);
    CHECK(taper_tensor_free(s) && taper_tensor_free(y));
    OK(taper_rand(&size, 1, NULL, TAPER_FLOAT32, TAPER_CPU, &r));

    /* The same with one: the block is called again in backward, with the same random numbers, and what is drawn after it is
     * drawn as if nothing had been. */
    taper_manual_seed(3);
    y = through(&c, x, true);
    OK(taper_tensor_copy_to_host(y, after, sizeof after));
    CHECK(memcmp(before, after, sizeof before) == 0);
    s = total(y);
    CHECK_INT(calls, 1);
    gradients(s, x, w, dx, dw, true);
    CHECK_INT(calls, 2);
    CHECK(memcmp(dx, want_dx, sizeof dx) == 0 && memcmp(dw, want_dw, sizeof dw) == 0);
    OK(taper_tensor_copy_to_host(r, before, sizeof before));
    CHECK(taper_tensor_free(r));
    OK(taper_rand(&size, 1, NULL, TAPER_FLOAT32, TAPER_CPU, &r));
    OK(taper_tensor_copy_to_host(r, after, sizeof after));
    CHECK(memcmp(before, after, sizeof before) == 0);
    /* Another pass through the retained graph computes it once more. */
    gradients(s, x, w, dx, dw, false);
    CHECK_INT(calls, 3);
    CHECK(memcmp(dx, want_dx, sizeof dx) == 0 && drops <= 1);
    CHECK(taper_tensor_free(s) && taper_tensor_free(y) && taper_tensor_free(r));
    CHECK_INT(drops, 1);

    /* Without recording nothing is kept. */
    const bool was = taper_set_grad_mode(false);
    y = through(&c, x, true);
    CHECK(drops == 1 && taper_tensor_requires_grad(y) == 0);
    CHECK(taper_tensor_free(y));
    taper_set_grad_mode(was);

    /* What cannot be computed again. */
    context other = {w, true, false}, failing = {w, false, true};
    s = total(y = through(&other, x, true));
    FAILS(taper_backward(&s, 1, NULL, 0, false, false, NULL, 0), TAPER_ERROR_RUNTIME, "A different number of tensors was saved");
    CHECK(taper_tensor_free(s) && taper_tensor_free(y));
    CHECK_INT(drops, 1);
    s = total(y = through(&failing, x, true));
    FAILS(taper_backward(&s, 1, NULL, 0, false, false, NULL, 0), TAPER_ERROR_VALUE, "the second call failed");
    CHECK(taper_tensor_free(s) && taper_tensor_free(y));
    taper_tensor *plain = NULL;
    OK(taper_clone(x, &plain));
    s = total(y = through(&c, plain, true));
    OK(taper_detach(plain, &r));
    OK(taper_add_scalar_(r, taper_scalar_i64(1), taper_scalar_i64(1)));
    FAILS(taper_backward(&s, 1, NULL, 0, false, false, NULL, 0), TAPER_ERROR_RUNTIME, "modified by an inplace operation");
    CHECK(taper_tensor_free(s) && taper_tensor_free(y) && taper_tensor_free(r) && taper_tensor_free(plain));

    taper_tensor_fn_vtable vt = TAPER_TENSOR_FN_VTABLE_INIT;
    vt.drop = count_drop;
    drops = 0;
    FAILS(taper_checkpoint(&vt, NULL, &x, 1, true, &list), TAPER_ERROR_VALUE, "its call function is NULL");
    CHECK(drops == 1 && taper_tensor_free(x) && taper_tensor_free(w));
}

/* (x . w)^2 for one sample x; also wants a batch's second tensor where there is one. */
static taper_error *loss(void *user, taper_tensor *const *sample, size_t n, taper_tensor_list **out)
{
    taper_tensor *w = user, *y = NULL;
    CHECK(n >= 1);
    taper_scope_begin();
    taper_error *e = taper_mul(sample[0], w, &y);
    if (!e)
        e = taper_sum(y, TAPER_DTYPE_NONE, &y);
    if (!e)
        e = taper_mul(y, y, &y);
    if (!e)
        e = taper_scope_keep(y);
    taper_error_free(taper_scope_end());
    if (!e) {
        e = taper_tensor_list_new(&y, 1, out);
        taper_tensor_free(y);
    }
    return e;
}
static taper_error *no_scalar(void *user, taper_tensor *const *sample, size_t n, taper_tensor_list **out)
{
    (void)n;
    taper_tensor *y = NULL;
    taper_error *e = taper_mul(sample[0], user, &y);
    if (!e)
        e = taper_tensor_list_new(&y, 1, out);
    taper_tensor_free(y);
    return e;
}

static void samples(void)
{
    const float xs[6] = {1, 2, 3, 4, 5, 6}, ws[2] = {0.5, -1}, us[3] = {1, 1, 1};
    const int64_t sizes[2] = {3, 2}, two = 2, three = 3;
    taper_tensor *x = NULL, *w = leaf(ws, &two, 1), *unused = leaf(us, &three, 1), *g = NULL, *p[2] = {w, unused};
    taper_tensor_fn_vtable vt = TAPER_TENSOR_FN_VTABLE_INIT;
    taper_tensor_list *list = NULL;
    float got[9];
    OK(taper_tensor_from_data(xs, sizes, 2, TAPER_FLOAT32, TAPER_CPU, &x));
    vt.call = loss;
    vt.drop = count_drop;
    drops = 0;
    OK(taper_per_sample_grads(&vt, w, p, 2, &x, 1, &list));
    CHECK_INT(drops, 1);
    CHECK_INT(taper_tensor_list_len(list), 2);
    OK(taper_tensor_list_get(list, 0, &g));
    CHECK(taper_tensor_size(g, 0) == 3 && taper_tensor_size(g, 1) == 2);
    OK(taper_tensor_copy_to_host(g, got, 6 * sizeof *got));
    for (int i = 0; i < 3; i++) {
        const float dot = xs[2 * i] * ws[0] + xs[2 * i + 1] * ws[1];
        CHECK(got[2 * i] == 2 * dot * xs[2 * i] && got[2 * i + 1] == 2 * dot * xs[2 * i + 1]);
    }
    CHECK(taper_tensor_free(g));
    OK(taper_tensor_list_get(list, 1, &g));
    OK(taper_tensor_copy_to_host(g, got, sizeof got));
    for (int i = 0; i < 9; i++)
        CHECK(got[i] == 0);
    CHECK(taper_tensor_free(g) && taper_tensor_list_free(list));
    OK(taper_tensor_grad(w, &g));
    CHECK(g == NULL);

    taper_tensor *pair[2] = {x, w};
    FAILS(taper_per_sample_grads(&vt, w, p, 0, &x, 1, &list), TAPER_ERROR_VALUE, "at least one parameter");
    FAILS(taper_per_sample_grads(&vt, w, p, 2, &x, 0, &list), TAPER_ERROR_VALUE, "at least one tensor of samples");
    FAILS(taper_per_sample_grads(&vt, w, &x, 1, &x, 1, &list), TAPER_ERROR_RUNTIME, "does not require grad");
    FAILS(taper_per_sample_grads(&vt, w, p, 2, pair, 2, &list), TAPER_ERROR_VALUE, "the same number of samples, got 3 and 2");
    vt.call = no_scalar;
    FAILS(taper_per_sample_grads(&vt, w, p, 2, &x, 1, &list), TAPER_ERROR_RUNTIME, "got tensor with 1 dims");
    CHECK_INT(drops, 6);
    CHECK(taper_tensor_free(x) && taper_tensor_free(w) && taper_tensor_free(unused));
}

int main(void)
{
    checkpoints();
    samples();
    return finish("checkpoint");
}
