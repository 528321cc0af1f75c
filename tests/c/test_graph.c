/* Graphs of recorded work: misuse everywhere; recording and replay where there is a CUDA device. */
#include "harness.h"

static void misuse(void)
{
    taper_graph *g = NULL;
    taper_tensor *t = NULL;
    const int64_t two = 2;
    FAILS(taper_graph_begin(TAPER_CPU), TAPER_ERROR_NOT_IMPLEMENTED, "graphs are captured on CUDA devices only, not on cpu");
    FAILS(taper_graph_end(TAPER_CPU, &g), TAPER_ERROR_RUNTIME, "no graph is captured on cpu");
    FAILS(taper_graph_end(TAPER_CPU, NULL), TAPER_ERROR_VALUE, "'out'");
    FAILS(taper_graph_begin(taper_make_device(9, 0)), TAPER_ERROR_RUNTIME, "invalid device type 9");
    FAILS(taper_graph_replay(NULL), TAPER_ERROR_INVALID_HANDLE, "expected a graph handle, got NULL");
    OK(taper_zeros(&two, 1, TAPER_FLOAT32, TAPER_CPU, &t));
    FAILS(taper_graph_replay((taper_graph *)t), TAPER_ERROR_INVALID_HANDLE, "expected a graph handle, got a tensor handle");
    CHECK(!taper_graph_free((taper_graph *)t));
    FAILS(taper_graph_set_lr(NULL, 0.1), TAPER_ERROR_INVALID_HANDLE, "expected a graph handle, got NULL");
    CHECK(taper_graph_free(NULL));
    taper_tensor_free(t);
}

/* y = 2 x + r with fresh random numbers r, recorded once. */
static void forward(taper_device d)
{
    const float first[] = {1, 2, 3, 4}, second[] = {10, 20, 30, 40};
    const int64_t four = 4;
    taper_tensor *host = floats(first, 4, 0), *x = NULL, *y = NULL, *r = NULL, *last = NULL;
    taper_graph *g = NULL;
    OK(taper_to_device(host, d, &x));
    taper_tensor_free(host);
    for (int warm = 0; warm < 2; warm++) {
        taper_scope_begin();
        OK(taper_rand(&four, 1, NULL, TAPER_FLOAT32, d, &r));
        OK(taper_mul_scalar(x, taper_scalar_f64(2), &y));
        OK(taper_add(y, r, taper_scalar_i64(1), &y));
        OK(taper_scope_end());
    }
    OK(taper_graph_begin(d));
    taper_scope_begin();
    OK(taper_rand(&four, 1, NULL, TAPER_FLOAT32, d, &r));
    OK(taper_mul_scalar(x, taper_scalar_f64(2), &y));
    OK(taper_add(y, r, taper_scalar_i64(1), &y));
    OK(taper_scope_keep(y));
    OK(taper_scope_end());
    OK(taper_graph_end(d, &g));
    OK(taper_graph_replay(g));
    double before = at(y, 0);
    CHECK(before >= 2 && before < 3);
    CHECK(at(y, 3) >= 8 && at(y, 3) < 9);
    host = floats(second, 4, 0);
    OK(taper_copy_(x, host));
    OK(taper_graph_replay(g));
    CHECK(at(y, 0) >= 20 && at(y, 0) < 21 && at(y, 3) >= 80 && at(y, 3) < 81);
    CHECK(at(y, 0) - 20 != before - 2); /* another draw */
    OK(taper_clone(y, &last));
    taper_tensor_free(host);
    taper_tensor_free(x);
    CHECK(taper_graph_free(g));
    CHECK(at(y, 0) == at(last, 0)); /* what a graph made outlives it */
    FAILS(taper_graph_replay(g), TAPER_ERROR_INVALID_HANDLE, "has been freed");
    taper_tensor_free(y);
    taper_tensor_free(last);
}

/* Training steps of a small network, recorded or not. */
static void train(taper_device d, bool recorded, double *losses, int steps)
{
    const float xs[] = {1, 2, 3, -1, 0.5f, 2, 0, 1, -2, 3, 3, 1}, ys[] = {1, 0, 0, 1, 1, 1, 0, 0};
    taper_module *parts[3] = {NULL, NULL, NULL}, *net = NULL;
    taper_tensor_list *list = NULL;
    taper_optimizer *optimizer = NULL;
    taper_adam_options adam = TAPER_ADAM_OPTIONS_INIT;
    taper_tensor *x = floats(xs, 4, 3), *y = floats(ys, 4, 2), *t = NULL, *out = NULL, *loss = NULL;
    taper_graph *g = NULL;
    adam.lr = 0.05;
    taper_manual_seed(3);
    OK(taper_nn_linear_new(3, 4, true, &parts[0]));
    OK(taper_nn_relu_new(false, &parts[1]));
    OK(taper_nn_linear_new(4, 2, true, &parts[2]));
    OK(taper_nn_sequential_new(parts, 3, &net));
    for (int i = 0; i < 3; i++)
        taper_module_free(parts[i]);
    OK(taper_module_to(net, TAPER_DTYPE_NONE, d));
    OK(taper_module_parameters(net, &list));
    OK(taper_optim_adam_new_from_list(list, &adam, &optimizer));
    taper_tensor_list_free(list);
    OK(taper_to_device(x, d, &t));
    taper_tensor_free(x);
    x = t;
    OK(taper_to_device(y, d, &t));
    taper_tensor_free(y);
    y = t;
    for (int i = 0; i < steps; i++) {
        if (i == 4) /* a graph follows its optimizer */
            OK(taper_optimizer_set_lr(optimizer, 0.01));
        if (g == NULL) {
            const bool record = recorded && i == 2;
            if (record)
                OK(taper_graph_begin(d));
            taper_scope_begin();
            OK(taper_optimizer_zero_grad(optimizer, true));
            OK(taper_module_forward(net, &x, 1, &out));
            OK(taper_mse_loss(out, y, "mean", &t));
            OK(taper_backward(&t, 1, NULL, 0, false, false, NULL, 0));
            OK(taper_optimizer_step(optimizer));
            OK(taper_detach(t, &loss));
            OK(taper_scope_keep(loss));
            OK(taper_scope_end());
            if (record) {
                OK(taper_graph_end(d, &g));
                FAILS(taper_graph_set_lr(g, -1), TAPER_ERROR_VALUE, "Invalid learning rate");
                FAILS(taper_graph_set_step(g, 0, -1, 1), TAPER_ERROR_VALUE, "Invalid learning rate");
                FAILS(taper_graph_set_step(g, 0, 0.1, 0), TAPER_ERROR_VALUE, "step counts from 1");
                FAILS(taper_graph_set_step(g, 1, 0.1, 5), TAPER_ERROR_INDEX, "the graph has 1");
                OK(taper_graph_replay(g));
            }
        } else {
            OK(taper_graph_replay(g));
        }
        losses[i] = item(loss);
        if (g == NULL)
            taper_tensor_free(loss);
    }
    if (g != NULL)
        taper_tensor_free(loss);
    taper_graph_free(g);
    taper_optimizer_free(optimizer);
    taper_module_free(net);
    taper_tensor_free(x);
    taper_tensor_free(y);
}

/* Events and what others need of a device; values where it is CUDA. */
static void events(taper_device d)
{
    const int64_t n = 100;
    const bool cuda = d.type == TAPER_DEVICE_CUDA;
    taper_event *start = NULL, *end = NULL, *plain = NULL;
    taper_tensor *x = NULL;
    bool done = false;
    double ms = -1;
    uint64_t stream = 0, at_byte = 0;
    OK(taper_event_new(d, true, &start));
    OK(taper_event_new(d, true, &end));
    OK(taper_event_new(d, false, &plain));
    OK(taper_event_query(start, &done));
    CHECK(done);
    OK(taper_event_synchronize(start));
    OK(taper_event_wait(start));
    FAILS(taper_event_elapsed_time(start, end, &ms), TAPER_ERROR_VALUE, "must be recorded");
    FAILS(taper_event_elapsed_time(start, plain, &ms), TAPER_ERROR_VALUE, "enable_timing");
    OK(taper_event_record(start));
    OK(taper_ones(&n, 1, TAPER_FLOAT32, d, &x));
    for (int i = 0; i < 10; i++)
        OK(taper_mul_scalar_(x, taper_scalar_f64(2)));
    OK(taper_event_record(end));
    OK(taper_event_wait(end));
    OK(taper_event_synchronize(end));
    OK(taper_event_query(end, &done));
    CHECK(done);
    OK(taper_event_elapsed_time(start, end, &ms));
    CHECK(ms >= 0 && ms < 60000);
    CHECK(at(x, 0) == 1024);
    if (cuda) {
        OK(taper_device_get_stream(d, &stream));
        CHECK(stream > 2);
        OK(taper_tensor_device_address(x, &at_byte));
        CHECK(at_byte != 0);
        OK(taper_tensor_ready_on(x, 0));
        OK(taper_tensor_ready_on(x, stream));
    } else {
        FAILS(taper_device_get_stream(d, &stream), TAPER_ERROR_NOT_IMPLEMENTED, "queue has no handle");
        FAILS(taper_tensor_device_address(x, &at_byte), TAPER_ERROR_NOT_IMPLEMENTED, "no address");
        FAILS(taper_tensor_ready_on(x, 0), TAPER_ERROR_NOT_IMPLEMENTED, "cannot be waited for");
    }
    taper_tensor_free(x);
    CHECK(taper_event_free(start));
    FAILS(taper_event_record(start), TAPER_ERROR_INVALID_HANDLE, "has been freed");
    CHECK(taper_event_free(end) && taper_event_free(plain) && taper_event_free(NULL));
}

int main(void)
{
    int32_t n = 0;
    misuse();
    events(TAPER_CPU);
    CHECK(taper_cudnn_version() == 0 || taper_cudnn_version() >= 8000);
    OK(taper_device_count(TAPER_DEVICE_CUDA, &n));
    if (n > 0) {
        double plain[8], replayed[8];
        forward(TAPER_CUDA(0));
        events(TAPER_CUDA(0));
        train(TAPER_CUDA(0), false, plain, 8);
        train(TAPER_CUDA(0), true, replayed, 8);
        for (int i = 0; i < 8; i++) {
            CHECK(fabs(plain[i] - replayed[i]) < 1e-6);
        }
    }
    printf("             CUDA: %s\n", n > 0 ? "tested" : "no device");
    return finish("graph");
}
