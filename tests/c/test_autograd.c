/* Autograd: backward, grad, modes, hooks, nodes, custom functions; callbacks that fail; drops that run once. */
#include "harness.h"

static taper_tensor *leaf(const float *v, int64_t n)
{
    taper_tensor *t = floats(v, n, 0);
    OK(taper_tensor_set_requires_grad(t, true));
    return t;
}

static void backward(void)
{
    float v[3] = {1, 2, 3}, ones[3] = {1, 1, 1};
    taper_tensor *x = leaf(v, 3), *y = NULL, *s = NULL, *g = NULL, *plain = floats(ones, 3, 0);
    taper_node *node = NULL, *next = NULL;
    taper_string *name = NULL;
    taper_tensor_list *list = NULL;
    int64_t nr = -1;
    CHECK(taper_tensor_requires_grad(x) == 1 && taper_tensor_is_leaf(x) == 1);
    OK(taper_mul(x, x, &y));
    OK(taper_sum(y, -1, &s));
    CHECK_INT(taper_tensor_is_leaf(s), 0);
    OK(taper_tensor_grad_fn(s, &node));
    OK(taper_node_name(node, &name));
    CHECK(strcmp(taper_string_data(name), "SumBackward0") == 0);
    CHECK(taper_string_free(name));
    CHECK_INT(taper_node_next_len(node), 1);
    OK(taper_node_next(node, 0, &next, &nr));
    CHECK_INT(nr, 0);
    CHECK(taper_node_id(next) != 0 && taper_node_id(next) != taper_node_id(node));
    CHECK(taper_node_free(next));
    FAILS(taper_node_next(node, 1, &next, NULL), TAPER_ERROR_INDEX, "out of range");
    CHECK(taper_node_free(node));
    OK(taper_tensor_grad(x, &g));
    CHECK(g == NULL);
    OK(taper_backward(&s, 1, NULL, 0, false, false, NULL, 0));
    OK(taper_tensor_grad(x, &g));
    CHECK(at(g, 0) == 2 && at(g, 1) == 4 && at(g, 2) == 6);
    CHECK(taper_tensor_free(g));
    FAILS(taper_backward(&s, 1, NULL, 0, false, false, NULL, 0), TAPER_ERROR_RUNTIME,
          "Trying to backward through the graph a second time");
    FAILS(taper_backward(&plain, 1, NULL, 0, false, false, NULL, 0), TAPER_ERROR_RUNTIME, "does not require grad");
    FAILS(taper_backward(&y, 1, NULL, 0, false, false, NULL, 0), TAPER_ERROR_RUNTIME, "grad can be implicitly created only for scalar outputs");
    FAILS(taper_backward(NULL, 1, NULL, 0, false, false, NULL, 0), TAPER_ERROR_VALUE, "'tensors'");
    FAILS(taper_backward(NULL, 0, NULL, 0, false, false, NULL, 0), TAPER_ERROR_RUNTIME, "");
    taper_tensor *two[] = {plain, plain};
    FAILS(taper_backward(&y, 1, two, 2, false, false, NULL, 0), TAPER_ERROR_VALUE, "'grads' (position 2): has 2 elements, expected 1");
    FAILS(taper_tensor_set_requires_grad(s, false), TAPER_ERROR_RUNTIME, "leaf");
    CHECK(taper_tensor_free(y) && taper_tensor_free(s));

    /* grad() leaves .grad alone and gives second derivatives. */
    OK(taper_mul(x, x, &y));
    OK(taper_grad(&y, 1, &x, 1, &plain, 1, true, true, false, &list));
    OK(taper_tensor_list_get(list, 0, &g));
    CHECK(at(g, 2) == 6 && taper_tensor_requires_grad(g) == 1);
    CHECK(taper_tensor_list_free(list));
    OK(taper_sum(g, -1, &s));
    taper_tensor_free(g);
    OK(taper_grad(&s, 1, &x, 1, NULL, 0, false, false, false, &list));
    OK(taper_tensor_list_get(list, 0, &g));
    CHECK(at(g, 0) == 2);
    CHECK(taper_tensor_free(g) && taper_tensor_list_free(list) && taper_tensor_free(s) && taper_tensor_free(y));

    /* Unused inputs. */
    taper_tensor *z = leaf(v, 3);
    OK(taper_sum(x, -1, &s));
    FAILS(taper_grad(&s, 1, &z, 1, NULL, 0, true, false, false, &list), TAPER_ERROR_RUNTIME, "allow_unused");
    OK(taper_grad(&s, 1, &z, 1, NULL, 0, true, false, true, &list));
    OK(taper_tensor_list_get(list, 0, &g));
    CHECK(g == NULL);
    CHECK(taper_tensor_list_free(list) && taper_tensor_free(z) && taper_tensor_free(s));

    OK(taper_tensor_set_grad(x, plain));
    OK(taper_tensor_grad(x, &g));
    CHECK(taper_tensor_id(g) == taper_tensor_id(plain));
    CHECK(taper_tensor_free(g));
    OK(taper_tensor_set_grad(x, NULL));
    taper_tensor *wrong = floats(v, 1, 0);
    FAILS(taper_tensor_set_grad(x, wrong), TAPER_ERROR_RUNTIME, "different size");
    CHECK(taper_tensor_free(wrong) && taper_tensor_free(x) && taper_tensor_free(plain));
}

static void modes(void)
{
    float v[1] = {3};
    taper_tensor *x = leaf(v, 1), *y = NULL;
    CHECK(taper_grad_mode_enabled());
    CHECK(taper_set_grad_mode(false));
    CHECK(!taper_grad_mode_enabled());
    OK(taper_mul(x, x, &y));
    CHECK_INT(taper_tensor_requires_grad(y), 0);
    CHECK(!taper_set_grad_mode(true));
    CHECK(taper_tensor_free(y));
    FAILS(taper_add_scalar_(x, taper_scalar_i64(1), taper_scalar_i64(1)), TAPER_ERROR_RUNTIME,
          "a leaf Variable that requires grad is being used in an in-place operation");
    CHECK(!taper_inference_mode_enabled());
    CHECK(!taper_set_inference_mode(true));
    CHECK(!taper_grad_mode_enabled());
    OK(taper_mul(x, x, &y));
    CHECK_INT(taper_tensor_requires_grad(y), 0);
    CHECK(taper_tensor_free(y));
    CHECK(taper_set_inference_mode(false));
    CHECK(taper_grad_mode_enabled());
    CHECK(taper_tensor_free(x));
}

static int drops, calls;
static void count_drop(void *user)
{
    CHECK(user == &drops);
    drops++;
}
static taper_error *double_it(void *user, taper_tensor *grad, taper_tensor **out)
{
    CHECK(user == &drops && *out == NULL);
    calls++;
    return taper_mul_scalar(grad, taper_scalar_i64(2), out);
}
static taper_error *only_look(void *user, taper_tensor *grad, taper_tensor **out)
{
    (void)user;
    CHECK(taper_tensor_numel(grad) > 0);
    *out = NULL;
    calls++;
    return NULL;
}
static taper_error *same_handle(void *user, taper_tensor *grad, taper_tensor **out)
{
    (void)user;
    *out = grad;
    return NULL;
}
static taper_error *fail_mine(void *user, taper_tensor *grad, taper_tensor **out)
{
    (void)grad;
    (void)out;
    return taper_error_new(TAPER_ERROR_KEY, "the hook says no", user, NULL);
}
static taper_error *fail_theirs(void *user, taper_tensor *grad, taper_tensor **out)
{
    (void)user;
    return taper_matmul(grad, NULL, out);
}
static taper_error *garbage_result(void *user, taper_tensor *grad, taper_tensor **out)
{
    (void)grad;
    *out = (taper_tensor *)user;
    return NULL;
}
static taper_error *garbage_error(void *user, taper_tensor *grad, taper_tensor **out)
{
    (void)grad;
    (void)out;
    return (taper_error *)user;
}

static taper_error *backward_with_hook(taper_error *(*call)(void *, taper_tensor *, taper_tensor **), double *grad)
{
    float v[2] = {1, 2};
    taper_tensor *x = leaf(v, 2), *s = NULL, *g = NULL;
    taper_hook_vtable vt = TAPER_HOOK_VTABLE_INIT;
    uint64_t id = 0;
    vt.call = call;
    vt.drop = count_drop;
    drops = calls = 0;
    OK(taper_tensor_register_hook(x, &vt, &drops, &id));
    CHECK(id != 0);
    OK(taper_sum(x, -1, &s));
    taper_error *e = taper_backward(&s, 1, NULL, 0, false, false, NULL, 0);
    OK(taper_tensor_grad(x, &g));
    *grad = g ? at(g, 0) : -1;
    CHECK(taper_tensor_free(g) && taper_tensor_free(s));
    CHECK_INT(drops, 0);
    CHECK(taper_tensor_free(x));
    CHECK_INT(drops, 1);
    return e;
}

static taper_error *sum_it(void *user, taper_tensor *grad, taper_tensor **out)
{
    (void)user;
    return taper_sum(grad, -1, out);
}
/* A hook sees the gradient of the value that it was put on, once. */
static void hook_then_inplace(void)
{
    float v[2] = {1, 2};
    taper_tensor *x = leaf(v, 2), *y = NULL, *s = NULL, *g = NULL;
    taper_hook_vtable vt = TAPER_HOOK_VTABLE_INIT;
    uint64_t id = 0;
    vt.call = double_it;
    vt.drop = count_drop;
    drops = calls = 0;
    OK(taper_mul_scalar(x, taper_scalar_f64(3), &y));
    OK(taper_tensor_register_hook(y, &vt, &drops, &id));
    OK(taper_mul_scalar_(y, taper_scalar_f64(5)));
    OK(taper_sum(y, -1, &s));
    OK(taper_backward(&s, 1, NULL, 0, false, false, NULL, 0));
    OK(taper_tensor_grad(x, &g));
    CHECK(calls == 1 && at(g, 0) == 30);
    CHECK(taper_tensor_free(g) && taper_tensor_free(s) && taper_tensor_free(y) && taper_tensor_free(x));
    CHECK_INT(drops, 1);
}

static void hooks(void)
{
    double g = 0;
    OK(backward_with_hook(double_it, &g));
    CHECK(g == 2 && calls == 1);
    OK(backward_with_hook(only_look, &g));
    CHECK(g == 1 && calls == 1);
    OK(backward_with_hook(same_handle, &g));
    CHECK(g == 1);
    taper_error *e = backward_with_hook(fail_mine, &g);
    CHECK(g == -1);
    CHECK_INT(taper_error_code(e), TAPER_ERROR_KEY);
    CHECK(strcmp(taper_error_message(e), "the hook says no") == 0);
    CHECK(taper_error_payload(e) == &drops);
    CHECK(taper_error_free(e));
    FAILS(backward_with_hook(fail_theirs, &g), TAPER_ERROR_INVALID_HANDLE, "matmul(): argument 'other'");
    FAILS(backward_with_hook(garbage_result, &g), TAPER_ERROR_CALLBACK, "no live tensor handle");
    FAILS(backward_with_hook(sum_it, &g), TAPER_ERROR_RUNTIME, "hook has changed the size of value (was [2] got [])");
    hook_then_inplace();
    FAILS(backward_with_hook(garbage_error, &g), TAPER_ERROR_CALLBACK, "no error handle");

    /* Removal, registration on what needs no gradient, bad structs: user is dropped once in each case. */
    float v[2] = {1, 2};
    taper_tensor *x = leaf(v, 2), *plain = floats(v, 2, 0);
    taper_hook_vtable vt = TAPER_HOOK_VTABLE_INIT;
    uint64_t id = 0;
    vt.call = only_look;
    vt.drop = count_drop;
    drops = 0;
    OK(taper_tensor_register_hook(x, &vt, &drops, &id));
    OK(taper_tensor_remove_hook(x, id));
    CHECK_INT(drops, 1);
    OK(taper_tensor_remove_hook(x, id));
    FAILS(taper_tensor_register_hook(plain, &vt, &drops, &id), TAPER_ERROR_RUNTIME, "doesn't require gradient");
    CHECK_INT(drops, 2);
    FAILS(taper_tensor_register_hook(x, &vt, &drops, NULL), TAPER_ERROR_VALUE, "'id'");
    CHECK_INT(drops, 3);
    FAILS(taper_tensor_register_hook(NULL, &vt, &drops, &id), TAPER_ERROR_INVALID_HANDLE, "NULL");
    CHECK_INT(drops, 4);
    vt.call = NULL;
    FAILS(taper_tensor_register_hook(x, &vt, &drops, &id), TAPER_ERROR_VALUE, "call function is NULL");
    CHECK_INT(drops, 5);
    vt.struct_size = 0;
    FAILS(taper_tensor_register_hook(x, &vt, &drops, &id), TAPER_ERROR_VALUE, "struct_size is 0");
    FAILS(taper_tensor_register_hook(x, NULL, &drops, &id), TAPER_ERROR_VALUE, "'vtable'");

    /* A longer struct of a newer header is fine as long as its new fields are not set. */
    struct {
        taper_hook_vtable vt;
        void *future;
    } newer;
    memset(&newer, 0, sizeof newer);
    newer.vt.struct_size = sizeof newer;
    newer.vt.call = only_look;
    OK(taper_tensor_register_hook(x, &newer.vt, NULL, &id));
    newer.future = &newer;
    newer.vt.drop = count_drop;
    FAILS(taper_tensor_register_hook(x, &newer.vt, &drops, &id), TAPER_ERROR_VALUE, "does not know");
    CHECK_INT(drops, 6);

    /* A post-accumulate hook sees the leaf with its gradient. */
    drops = calls = 0;
    vt = (taper_hook_vtable)TAPER_HOOK_VTABLE_INIT;
    vt.call = only_look;
    vt.drop = count_drop;
    OK(taper_tensor_register_post_accumulate_grad_hook(x, &vt, &drops, &id));
    taper_tensor *s = NULL;
    OK(taper_sum(x, -1, &s));
    OK(taper_backward(&s, 1, NULL, 0, false, false, NULL, 0));
    CHECK_INT(calls, 2);
    CHECK(taper_tensor_free(s));
    /* Also where backward was told which leaves to fill. */
    OK(taper_sum(x, -1, &s));
    OK(taper_backward(&s, 1, NULL, 0, false, false, &x, 1));
    CHECK_INT(calls, 4);
    CHECK(taper_tensor_free(s) && taper_tensor_free(x) && taper_tensor_free(plain));
    CHECK_INT(drops, 1);
}

/* y = x^3 with a backward of its own: 3 x^2 g. */
static taper_error *cube_forward(void *user, taper_function_ctx *ctx, taper_tensor *const *in, size_t n, taper_tensor_list **out)
{
    taper_tensor *sq = NULL, *y = NULL;
    taper_error *e;
    (void)user;
    CHECK(n == 1 && taper_function_ctx_needs_input_grad(ctx, 0) == 1 && taper_function_ctx_needs_input_grad(ctx, 9) == 0);
    CHECK(!taper_grad_mode_enabled());
    e = taper_mul(in[0], in[0], &sq);
    if (!e)
        e = taper_mul(sq, in[0], &y);
    if (!e)
        e = taper_function_ctx_save_for_backward(ctx, in, 1);
    if (!e)
        e = taper_tensor_list_new(&y, 1, out);
    taper_tensor_free(sq);
    taper_tensor_free(y);
    return e;
}
static taper_error *cube_backward(void *user, taper_function_ctx *ctx, taper_tensor *const *grads, size_t n, taper_tensor_list **out)
{
    taper_tensor_list *saved = NULL;
    taper_tensor *x = NULL, *sq = NULL, *three = NULL, *g = NULL;
    taper_error *e;
    (void)user;
    CHECK(n == 1);
    calls++;
    e = taper_function_ctx_saved_tensors(ctx, &saved);
    if (!e)
        e = taper_tensor_list_get(saved, 0, &x);
    if (!e)
        e = taper_mul(x, x, &sq);
    if (!e)
        e = taper_mul_scalar(sq, taper_scalar_i64(3), &three);
    if (!e)
        e = taper_mul(three, grads[0], &g);
    if (!e)
        e = taper_tensor_list_new(&g, 1, out);
    taper_tensor_list_free(saved);
    taper_tensor_free(x);
    taper_tensor_free(sq);
    taper_tensor_free(three);
    taper_tensor_free(g);
    return e;
}
static taper_function_ctx *escaped;
static taper_error *bad_forward(void *user, taper_function_ctx *ctx, taper_tensor *const *in, size_t n, taper_tensor_list **out)
{
    taper_tensor_list *l = NULL;
    (void)user;
    (void)in;
    (void)n;
    (void)out;
    escaped = ctx;
    FAILS(taper_function_ctx_saved_tensors(ctx, &l), TAPER_ERROR_RUNTIME, "only backward");
    return taper_error_new(TAPER_ERROR_TYPE, "forward failed", NULL, NULL);
}
static taper_error *lazy_forward(void *user, taper_function_ctx *ctx, taper_tensor *const *in, size_t n, taper_tensor_list **out)
{
    (void)user;
    (void)ctx;
    (void)in;
    (void)n;
    *out = NULL;
    return NULL;
}
static taper_error *short_backward(void *user, taper_function_ctx *ctx, taper_tensor *const *grads, size_t n, taper_tensor_list **out)
{
    (void)user;
    (void)ctx;
    (void)grads;
    (void)n;
    return taper_tensor_list_new(NULL, 0, out);
}

static void functions(void)
{
    float v[2] = {2, 3};
    taper_tensor *x = leaf(v, 2), *y = NULL, *s = NULL, *g = NULL;
    taper_tensor_list *out = NULL;
    taper_function_vtable vt = TAPER_FUNCTION_VTABLE_INIT;
    taper_node *node = NULL;
    taper_string *name = NULL;
    vt.name = "CubeBackward";
    vt.forward = cube_forward;
    vt.backward = cube_backward;
    vt.drop = count_drop;
    drops = calls = 0;
    OK(taper_function_apply(&vt, &drops, &x, 1, &out));
    OK(taper_tensor_list_get(out, 0, &y));
    CHECK(taper_tensor_list_free(out));
    CHECK(at(y, 0) == 8 && at(y, 1) == 27);
    OK(taper_tensor_grad_fn(y, &node));
    OK(taper_node_name(node, &name));
    CHECK(strcmp(taper_string_data(name), "CubeBackward") == 0);
    CHECK(taper_string_free(name) && taper_node_free(node));
    OK(taper_sum(y, -1, &s));
    OK(taper_grad(&s, 1, &x, 1, NULL, 0, true, true, false, &out));
    OK(taper_tensor_list_get(out, 0, &g));
    CHECK(at(g, 0) == 12 && at(g, 1) == 27 && calls == 1);
    CHECK(taper_tensor_list_free(out));
    /* Its backward is made of recorded ops: the second derivative is 6 x. */
    taper_tensor *gs = NULL, *g2 = NULL;
    OK(taper_sum(g, -1, &gs));
    OK(taper_grad(&gs, 1, &x, 1, NULL, 0, true, false, false, &out));
    OK(taper_tensor_list_get(out, 0, &g2));
    CHECK(at(g2, 0) == 12 && at(g2, 1) == 18);
    CHECK(taper_tensor_list_free(out) && taper_tensor_free(g2) && taper_tensor_free(gs) && taper_tensor_free(g));
    CHECK_INT(drops, 0);
    CHECK(taper_tensor_free(y) && taper_tensor_free(s));
    CHECK_INT(drops, 1);

    vt.forward = bad_forward;
    FAILS(taper_function_apply(&vt, &drops, &x, 1, &out), TAPER_ERROR_TYPE, "forward failed");
    CHECK(out == NULL && drops == 2);
    CHECK_INT(taper_function_ctx_needs_input_grad(escaped, 0), -1);
    FAILS(taper_function_ctx_mark_dirty(escaped, &x, 1), TAPER_ERROR_INVALID_HANDLE, "has been freed");
    vt.forward = lazy_forward;
    FAILS(taper_function_apply(&vt, &drops, &x, 1, &out), TAPER_ERROR_CALLBACK, "set no result list");
    CHECK_INT(drops, 3);
    vt.forward = NULL;
    FAILS(taper_function_apply(&vt, &drops, &x, 1, &out), TAPER_ERROR_VALUE, "forward function is NULL");
    CHECK_INT(drops, 4);
    vt.forward = cube_forward;
    FAILS(taper_function_apply(&vt, &drops, NULL, 1, &out), TAPER_ERROR_VALUE, "'inputs'");
    CHECK_INT(drops, 5);
    vt.backward = short_backward;
    OK(taper_function_apply(&vt, &drops, &x, 1, &out));
    OK(taper_tensor_list_get(out, 0, &y));
    OK(taper_sum(y, -1, &s));
    FAILS(taper_backward(&s, 1, NULL, 0, false, false, NULL, 0), TAPER_ERROR_RUNTIME, "incorrect number of gradients");
    CHECK(taper_tensor_list_free(out) && taper_tensor_free(y) && taper_tensor_free(s) && taper_tensor_free(x));
    CHECK_INT(drops, 6);
}

/* A node hook that doubles the first gradient it may replace. */
static taper_error *double_node(void *user, taper_tensor *const *gin, size_t n_in, taper_tensor *const *gout, size_t n_out,
                                taper_tensor_list **out)
{
    taper_tensor *first = NULL, *list[2] = {NULL, NULL};
    size_t n = n_in ? n_in : n_out;
    taper_error *e;
    (void)user;
    calls++;
    CHECK(n <= 2);
    if (n_in > 1)
        list[1] = gin[1];
    e = taper_mul_scalar(n_in ? gin[0] : gout[0], taper_scalar_i64(2), &first);
    list[0] = first;
    if (!e)
        e = taper_tensor_list_new(list, n, out);
    taper_tensor_free(first);
    return e;
}
static taper_error *too_many(void *user, taper_tensor *const *gin, size_t n_in, taper_tensor *const *gout, size_t n_out,
                             taper_tensor_list **out)
{
    taper_tensor *list[7] = {NULL};
    (void)user;
    (void)gin;
    (void)n_in;
    (void)gout;
    (void)n_out;
    return taper_tensor_list_new(list, 7, out);
}

static void node_hooks(void)
{
    float v[2] = {2, 3};
    taper_tensor *x = leaf(v, 2), *y = NULL, *s = NULL, *g = NULL;
    taper_node *node = NULL;
    taper_node_hook_vtable vt = TAPER_NODE_HOOK_VTABLE_INIT;
    uint64_t pre = 0, post = 0;
    vt.call = double_node;
    vt.drop = count_drop;
    drops = calls = 0;
    OK(taper_mul_scalar(x, taper_scalar_i64(5), &y));
    OK(taper_sum(y, -1, &s));
    OK(taper_tensor_grad_fn(y, &node));
    OK(taper_node_register_hook(node, &vt, &drops, &post));
    OK(taper_node_register_prehook(node, &vt, &drops, &pre));
    OK(taper_backward(&s, 1, NULL, 0, true, false, NULL, 0));
    OK(taper_tensor_grad(x, &g));
    CHECK(at(g, 0) == 20 && calls == 2);
    CHECK(taper_tensor_free(g));
    OK(taper_node_remove_hook(node, pre));
    OK(taper_node_remove_hook(node, post));
    CHECK_INT(drops, 2);
    vt.call = too_many;
    OK(taper_node_register_hook(node, &vt, &drops, &post));
    FAILS(taper_backward(&s, 1, NULL, 0, true, false, NULL, 0), TAPER_ERROR_RUNTIME, "incorrect number of values (got 7, but expected 1)");
    FAILS(taper_node_register_hook(NULL, &vt, &drops, &post), TAPER_ERROR_INVALID_HANDLE, "expected a graph node handle");
    CHECK(taper_node_free(node) && taper_tensor_free(y) && taper_tensor_free(s) && taper_tensor_free(x));
    CHECK_INT(drops, 4);
}

/* Hooks that keep saved tensors: the number of each is its place in a list of doubled copies. */
static struct {
    taper_tensor *kept[8];
    size_t packed, unpacked, released;
    bool fails;
} saved;
static taper_error *pack(void *user, taper_tensor *t, uint64_t *token)
{
    (void)user;
    if (saved.fails)
        return taper_error_new(TAPER_ERROR_RUNTIME, "not kept", NULL, NULL);
    *token = saved.packed;
    return taper_mul_scalar(t, taper_scalar_i64(2), &saved.kept[saved.packed++]);
}
static taper_error *unpack(void *user, uint64_t token, taper_tensor **out)
{
    (void)user;
    saved.unpacked++;
    return taper_tensor_ref(saved.kept[token], out);
}
static void release_saved(void *user, uint64_t token)
{
    (void)user;
    saved.released++;
    taper_tensor_free(saved.kept[token]);
}

static void saved_hooks(void)
{
    float v[2] = {2, 3};
    taper_tensor *x = leaf(v, 2), *y = NULL, *s = NULL, *g = NULL;
    taper_saved_hooks_vtable vt = TAPER_SAVED_HOOKS_VTABLE_INIT;
    CHECK(!taper_saved_tensors_hooks_pop());
    FAILS(taper_saved_tensors_hooks_push(&vt, NULL), TAPER_ERROR_VALUE, "pack or unpack");
    vt.pack = pack;
    vt.unpack = unpack;
    vt.release = release_saved;
    vt.drop = count_drop;
    drops = 0;
    OK(taper_saved_tensors_hooks_push(&vt, &drops));
    OK(taper_mul(x, x, &y));
    CHECK(taper_saved_tensors_hooks_pop() && drops == 0);
    OK(taper_sum(y, -1, &s));
    OK(taper_backward(&s, 1, NULL, 0, false, false, NULL, 0));
    OK(taper_tensor_grad(x, &g));
    CHECK(at(g, 0) == 8 && at(g, 1) == 12); /* of doubled values */
    CHECK(taper_tensor_free(g) && taper_tensor_free(y) && taper_tensor_free(s));
    CHECK(saved.packed >= 1 && saved.unpacked >= 1 && saved.released == saved.packed);
    CHECK_INT(drops, 1);
    saved.fails = true;
    OK(taper_saved_tensors_hooks_push(&vt, &drops));
    FAILS(taper_mul(x, x, &y), TAPER_ERROR_RUNTIME, "not kept");
    CHECK(taper_saved_tensors_hooks_pop());
    CHECK_INT(drops, 2);
    CHECK(taper_tensor_free(x));
}

static taper_error *square(void *user, taper_tensor *const *in, size_t n, taper_tensor_list **out)
{
    taper_tensor *y = NULL;
    taper_error *e;
    (void)user;
    (void)n;
    e = taper_mul(in[0], in[0], &y);
    if (!e)
        e = taper_tensor_list_new(&y, 1, out);
    taper_tensor_free(y);
    return e;
}
/* Its gradient is not seen: half of the value comes from a detached copy. */
static taper_error *cheat(void *user, taper_tensor *const *in, size_t n, taper_tensor_list **out)
{
    taper_tensor *d = NULL, *y = NULL;
    taper_error *e;
    (void)user;
    (void)n;
    e = taper_detach(in[0], &d);
    if (!e)
        e = taper_mul(in[0], d, &y);
    if (!e)
        e = taper_tensor_list_new(&y, 1, out);
    taper_tensor_free(d);
    taper_tensor_free(y);
    return e;
}

static void gradcheck(void)
{
    double v[2] = {2, 3};
    int64_t two = 2;
    taper_tensor *x = NULL;
    taper_tensor_fn_vtable vt = TAPER_TENSOR_FN_VTABLE_INIT;
    taper_gradcheck_options o = TAPER_GRADCHECK_OPTIONS_INIT;
    OK(taper_tensor_from_data(v, &two, 1, TAPER_FLOAT64, TAPER_CPU, &x));
    OK(taper_tensor_set_requires_grad(x, true));
    vt.call = square;
    vt.drop = count_drop;
    drops = 0;
    OK(taper_gradcheck(&vt, &drops, &x, 1, NULL));
    OK(taper_gradgradcheck(&vt, &drops, &x, 1, &o));
    CHECK_INT(drops, 2);
    vt.call = cheat;
    FAILS(taper_gradcheck(&vt, &drops, &x, 1, &o), TAPER_ERROR_RUNTIME, "");
    o.struct_size = 3;
    FAILS(taper_gradcheck(&vt, &drops, &x, 1, &o), TAPER_ERROR_VALUE, "struct_size is 3");
    CHECK_INT(drops, 4);
    CHECK(taper_tensor_free(x));
}

/* Gradients (3, 4) and (12), whose norm is 13. */
static void clipping(taper_device d)
{
    const float one[2] = {1, 1}, first[2] = {3, 4}, second[1] = {12}, wild[1] = {INFINITY};
    const int64_t two = 2, single = 1;
    float got[2];
    taper_tensor *p[3] = {NULL, NULL, NULL}, *g = NULL, *norm = NULL;
    int i;
    taper_scope_begin();
    for (i = 0; i < 3; i++) {
        OK(taper_tensor_from_data(one, i == 1 ? &single : &two, 1, TAPER_FLOAT32, d, &p[i]));
        OK(taper_tensor_set_requires_grad(p[i], true));
    }
    OK(taper_clip_grad_norm_(p, 3, 1.0, 2.0, false, &norm));
    CHECK(item(norm) == 0);
    for (i = 0; i < 3; i++) {
        OK(taper_tensor_from_data(first, &two, 1, TAPER_FLOAT32, d, &g));
        OK(taper_tensor_set_grad(p[0], g));
        OK(taper_tensor_from_data(second, &single, 1, TAPER_FLOAT32, d, &g));
        OK(taper_tensor_set_grad(p[1], g)); /* p[2] has none */
        if (i == 2) {
            OK(taper_clip_grad_value_(p, 3, 3.5));
        } else {
            OK(taper_clip_grad_norm_(p, 3, i ? 1.0 : 100.0, i ? INFINITY : 2.0, true, &norm));
            CHECK(fabs(item(norm) - (i ? 12 : 13)) < 1e-5);
        }
        OK(taper_tensor_grad(p[0], &g));
        OK(taper_tensor_copy_to_host(g, got, sizeof got));
        CHECK(fabsf(got[0] - (i == 1 ? 0.25f : 3)) < 1e-6f && fabsf(got[1] - (i == 0 ? 4 : i == 1 ? 4.0f / 12 : 3.5f)) < 1e-6f);
    }
    OK(taper_tensor_from_data(wild, &single, 1, TAPER_FLOAT32, d, &g));
    OK(taper_tensor_set_grad(p[1], g));
    FAILS(taper_clip_grad_norm_(p, 3, 1.0, 2.0, true, &norm), TAPER_ERROR_RUNTIME, "The total norm of order 2.0 for gradients");
    FAILS(taper_clip_grad_value_(p, 3, -1), TAPER_ERROR_VALUE, "clip_value must not be negative, got -1.0");
    FAILS(taper_clip_grad_norm_(p, 3, NAN, 2.0, true, &norm), TAPER_ERROR_VALUE, "max_norm must be a number");
    OK(taper_scope_end());
}

static int asked = 0;
static taper_error *ask(void *user)
{
    asked++;
    return user ? taper_error_new(TAPER_ERROR_CALLBACK, "enough", NULL, NULL) : NULL;
}

/* Automatic casts, a profile, a token, a question in backward, multiply-adds: each from the first call to the last. */
static void watching(void)
{
    const int64_t sizes[2] = {2, 2};
    taper_tensor *x = NULL, *y = NULL, *loss = NULL;
    taper_cancel_token *token = NULL, *before = NULL;
    taper_interrupt_vtable vt = TAPER_INTERRUPT_VTABLE_INIT;
    taper_module *net = NULL;
    taper_string *text = NULL;
    bool on = true;
    int32_t dtype = 0;
    uint64_t done = taper_multiply_adds();
    taper_scope_begin();
    OK(taper_ones(sizes, 2, TAPER_FLOAT32, TAPER_CPU, &x));
    OK(taper_tensor_set_requires_grad(x, true));
    OK(taper_autocast_begin(TAPER_DEVICE_CPU, TAPER_BFLOAT16, true, NULL));
    OK(taper_autocast_dtype(TAPER_DEVICE_CPU, &dtype));
    CHECK_INT(dtype, TAPER_BFLOAT16);
    OK(taper_mm(x, x, &y));
    CHECK_INT(taper_tensor_dtype(y), TAPER_BFLOAT16);
    OK(taper_autocast_end());
    OK(taper_autocast_enabled(TAPER_DEVICE_CPU, &on));
    CHECK(!on);
    CHECK_INT((int)(taper_multiply_adds() - done), 8);
    FAILS(taper_autocast_end(), TAPER_ERROR_RUNTIME, "without its beginning");
    FAILS(taper_autocast_begin(3, TAPER_BFLOAT16, true, NULL), TAPER_ERROR_RUNTIME, "invalid device type 3");
    FAILS(taper_autocast_begin(TAPER_DEVICE_CPU, TAPER_INT64, true, NULL), TAPER_ERROR_VALUE, "bfloat16 and float16");
    OK(taper_mm(x, x, &y));
    CHECK_INT(taper_tensor_dtype(y), TAPER_FLOAT32);

    OK(taper_profiler_start(false, true));
    OK(taper_profiler_push("mine"));
    OK(taper_mm(x, x, &y));
    OK(taper_sum(y, TAPER_DTYPE_NONE, &loss));
    OK(taper_profiler_pop());
    OK(taper_backward(&loss, 1, NULL, 0, true, false, NULL, 0));
    OK(taper_profiler_stop());
    OK(taper_profiler_table(0, &text));
    CHECK(strstr(taper_string_data(text), "mine") && strstr(taper_string_data(text), "MmBackward0"));
    OK(taper_profiler_events(&text));
    CHECK(strstr(taper_string_data(text), "\"name\": \"mm\", \"kind\": \"op\", \"depth\": 1"));
    FAILS(taper_profiler_stop(), TAPER_ERROR_RUNTIME, "no profile is being taken");

    vt.call = ask;
    OK(taper_set_interrupt_callback(&vt, NULL));
    OK(taper_backward(&loss, 1, NULL, 0, true, false, NULL, 0));
    CHECK(asked > 0);
    OK(taper_set_interrupt_callback(NULL, NULL));

    OK(taper_cancel_token_new(&token));
    OK(taper_cancel_token_attach(token, &before));
    CHECK(before == NULL);
    OK(taper_mm(x, x, &y));
    OK(taper_cancel_token_cancel(token));
    CHECK_INT(taper_cancel_token_is_cancelled(token), 1);
    FAILS(taper_mm(x, x, &y), TAPER_ERROR_CANCELLED, "the operation was cancelled");
    FAILS(taper_backward(&loss, 1, NULL, 0, true, false, NULL, 0), TAPER_ERROR_CANCELLED, "cancelled");
    OK(taper_cancel_token_attach(NULL, &before));
    CHECK(taper_cancel_token_free(before) && taper_cancel_token_free(token));
    OK(taper_mm(x, x, &y));

    OK(taper_nn_linear_new(2, 3, true, &net));
    OK(taper_module_summary(net, &x, 1, &text));
    CHECK(strstr(taper_string_data(text), "Linear  [2, 3]                 9             12"));
    CHECK(taper_module_free(net));
    OK(taper_scope_end());
}

int main(void)
{
    backward();
    modes();
    hooks();
    functions();
    node_hooks();
    saved_hooks();
    gradcheck();
    watching();
    clipping(TAPER_CPU);
    {
        int32_t n = 0;
        OK(taper_device_count(TAPER_DEVICE_OPENCL, &n));
        if (n > 0)
            clipping(TAPER_OPENCL(0));
    }
    return finish("autograd");
}
