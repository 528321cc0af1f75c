/*
 * Every function of the header, called with zeros, with garbage and with mixtures of valid and bad arguments: no crash,
 * no panic, no leak. The calls are generated from taper.h by arguments.py (tests/c/run.sh does it).
 *   test_arguments [FUNCTION [SEED LEVEL]]   runs one function, or one call of it
 */
#include "arguments.h"

#include "arguments.inc"

#include <signal.h>
#include <unistd.h>

static void drop_nothing(void *user) { (void)user; }
static taper_error *identity(void *user, taper_module *self, taper_tensor *const *inputs, size_t n, taper_tensor **out)
{
    (void)user, (void)self;
    return n ? taper_tensor_ref(inputs[0], out) : taper_error_new(TAPER_ERROR_VALUE, "no input", NULL, NULL);
}

static void add(int kind, void *handle)
{
    if (pool_size[kind] < POOL)
        pool[kind][pool_size[kind]++] = handle;
}
static void make_pool(void)
{
    int64_t two_three[] = {2, 3}, four[] = {4}, image[] = {1, 2, 5, 5}, none[] = {0, 3}, kernel[] = {2, 2};
    taper_tensor *t = NULL, *u = NULL;
    taper_module *m = NULL, *layers[2];
    memset(pool_size, 0, sizeof pool_size);
    OK(taper_ones(two_three, 2, TAPER_FLOAT32, TAPER_CPU, &t));
    OK(taper_tensor_set_requires_grad(t, true));
    add(KIND_TENSOR, t);
    OK(taper_mul(t, t, &u));
    add(KIND_TENSOR, u);
    taper_node *node = NULL;
    OK(taper_tensor_grad_fn(u, &node));
    add(KIND_NODE, node);
    OK(taper_ones(four, 1, TAPER_INT64, TAPER_CPU, &t));
    add(KIND_TENSOR, t);
    OK(taper_ones(two_three, 2, TAPER_BOOL, TAPER_CPU, &t));
    add(KIND_TENSOR, t);
    OK(taper_ones(image, 4, TAPER_FLOAT32, TAPER_CPU, &t));
    add(KIND_TENSOR, t);
    OK(taper_ones(NULL, 0, TAPER_FLOAT64, TAPER_CPU, &t));
    add(KIND_TENSOR, t);
    OK(taper_ones(none, 2, TAPER_FLOAT32, TAPER_CPU, &t));
    add(KIND_TENSOR, t);
    OK(taper_ones(two_three, 2, TAPER_FLOAT16, TAPER_CPU, &t));
    add(KIND_TENSOR, t);
    OK(taper_t(t, &u));
    add(KIND_TENSOR, u);

    taper_tensor_list *list = NULL;
    OK(taper_tensor_list_new((taper_tensor *const *)pool[KIND_TENSOR], 2, &list));
    add(KIND_TENSOR_LIST, list);
    add(KIND_ERROR, taper_error_new(TAPER_ERROR_VALUE, "mine", NULL, drop_nothing));
    taper_string *s = NULL;
    OK(taper_string_new("text", &s));
    add(KIND_STRING, s);
    taper_generator *g = NULL;
    OK(taper_generator_new(&g));
    add(KIND_GENERATOR, g);
    {
        taper_event *event = NULL;
        OK(taper_event_new(TAPER_CPU, true, &event));
        add(KIND_EVENT, event);
    }
    taper_file_writer *writer = NULL;
    OK(taper_file_writer_begin("written", &writer));
    add(KIND_FILE_WRITER, writer);
    taper_cancel_token *token = NULL;
    OK(taper_cancel_token_new(&token));
    add(KIND_CANCEL_TOKEN, token);
    taper_summary_writer *events = NULL;
    OK(taper_summary_writer_create("events", NULL, &events));
    add(KIND_SUMMARY_WRITER, events);
    taper_progress *progress = NULL;
    OK(taper_progress_create(10, "arguments", &progress));
    add(KIND_PROGRESS, progress);
    taper_named_tensors *named = NULL;
    OK(taper_named_tensors_new(&named));
    OK(taper_named_tensors_insert(named, "weight", pool[KIND_TENSOR][0]));
    add(KIND_NAMED_TENSORS, named);
    taper_tensor_file *file = NULL;
    OK(taper_named_tensors_save(named, "opened"));
    OK(taper_tensor_file_open("opened", false, &file));
    add(KIND_TENSOR_FILE, file);
    taper_dataset *rows = NULL;
    taper_sampler *sampler = NULL;
    taper_data_loader *loader = NULL;
    taper_batches *batches = NULL;
    taper_data_loader_options loading = TAPER_DATA_LOADER_OPTIONS_INIT;
    loading.num_workers = 1;
    OK(taper_dataset_from_tensors((taper_tensor *const *)pool[KIND_TENSOR], 1, &rows));
    add(KIND_DATASET, rows);
    OK(taper_sampler_random(2, false, NULL, g, &sampler));
    add(KIND_SAMPLER, sampler);
    OK(taper_data_loader_create(rows, sampler, g, &loading, NULL, NULL, &loader));
    add(KIND_DATA_LOADER, loader);
    OK(taper_data_loader_begin(loader, &batches));
    add(KIND_BATCHES, batches);

    OK(taper_nn_linear_new(3, 3, true, &layers[0]));
    add(KIND_MODULE, layers[0]);
    OK(taper_nn_conv2d_new(2, 2, kernel, 2, NULL, &layers[1]));
    add(KIND_MODULE, layers[1]);
    OK(taper_nn_sequential_new((taper_module *const *)pool[KIND_MODULE], 1, &m));
    add(KIND_MODULE, m);
    taper_module_vtable v = TAPER_MODULE_VTABLE_INIT;
    v.forward = identity;
    OK(taper_module_new("Mine", &v, NULL, &m));
    add(KIND_MODULE, m);
    taper_optimizer *o = NULL;
    OK(taper_optim_sgd_new((taper_tensor *const *)pool[KIND_TENSOR], 1, NULL, &o));
    add(KIND_OPTIMIZER, o);
    taper_schedule *s1 = NULL, *s2 = NULL;
    OK(taper_schedule_step_lr_create(o, 2, NULL, &s1));
    add(KIND_SCHEDULE, s1);
    OK(taper_schedule_reduce_lr_on_plateau_create(o, NULL, &s2));
    add(KIND_SCHEDULE, s2);
    OK(taper_optim_adam_new((taper_tensor *const *)pool[KIND_TENSOR], 1, NULL, &o));
    add(KIND_OPTIMIZER, o);
}
/* What is in the pool, or came out of a call, is of a kind that only its own free function accepts. */
static void free_any(void *h)
{
    if (h)
        (void)(taper_tensor_free(h) || taper_tensor_list_free(h) || taper_error_free(h) || taper_string_free(h) ||
               taper_module_free(h) || taper_optimizer_free(h) || taper_generator_free(h) || taper_node_free(h) ||
               taper_named_tensors_free(h) || taper_graph_free(h) || taper_event_free(h) ||
               taper_file_writer_free(h) || taper_schedule_free(h) || taper_cancel_token_free(h) ||
               taper_summary_writer_free(h) || taper_progress_free(h) ||
               taper_tensor_file_free(h) || taper_dataset_free(h) || taper_sampler_free(h) ||
               taper_data_loader_free(h) || taper_batches_free(h));
}
static void free_pool(void)
{
    /* A gradient that keeps its graph (create_graph) and the tensor that it belongs to hold each other. */
    for (int i = 0; i < pool_size[KIND_TENSOR]; i++)
        taper_error_free(taper_tensor_set_grad(pool[KIND_TENSOR][i], NULL));
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < pool_size[kind]; i++)
            free_any(pool[kind][i]);
}
/* What a call may have changed for the calls after it. */
static void restore(void)
{
    taper_error *e;
    while (!(e = taper_scope_end()))
        ;
    taper_error_free(e);
    while (!(e = taper_autocast_end()))
        ;
    taper_error_free(e);
    bool cast = false;
    for (int32_t kind = TAPER_DEVICE_CPU; kind <= TAPER_DEVICE_OPENCL; kind++)
        taper_error_free(taper_set_autocast_enabled(kind, false, &cast));
    taper_error_free(taper_profiler_stop());
    taper_cancel_token *token = NULL;
    taper_error_free(taper_cancel_token_attach(NULL, &token));
    taper_cancel_token_free(token);
    taper_error_free(taper_set_interrupt_callback(NULL, NULL));
    taper_set_grad_mode(true);
    taper_set_inference_mode(false);
    taper_set_detect_anomaly(false, true);
    taper_error_free(taper_set_default_dtype(TAPER_FLOAT32));
    taper_error_free(taper_set_default_device(TAPER_CPU));
    taper_error_free(taper_set_num_threads(2));
    taper_error_free(taper_set_float32_matmul_precision("highest"));
    taper_error_free(taper_set_out_of_memory_callback(NULL, NULL));
    taper_error_free(taper_set_log_callback(NULL, NULL, TAPER_LOG_ERROR));
}
static void one(size_t f, uint64_t seed, int how)
{
    current_seed = seed;
    level = how;
    random_state = seed * 0x9e3779b97f4a7c15u + f;
    functions[f].call();
    for (int i = 0; i < outs_used; i++)
        free_any(outs[i].handle);
    restore();
}
static void crashed(int signal)
{
    fprintf(stderr, "signal %d in %s, seed %" PRIu64 ", level %d\n", signal, current, current_seed, level);
    _exit(3);
}

int main(int argc, char **argv)
{
    const char *rounds_text = getenv("TAPER_TEST_ROUNDS");
    uint64_t rounds = rounds_text ? strtoull(rounds_text, NULL, 10) : 40;
    char folder[] = "/tmp/taper-arguments-XXXXXX";
    if (!mkdtemp(folder) || chdir(folder)) {
        perror("mkdtemp");
        return 1;
    }
#if !defined(__SANITIZE_ADDRESS__)
    signal(SIGSEGV, crashed);
    signal(SIGBUS, crashed);
    signal(SIGFPE, crashed);
#endif
    signal(SIGABRT, crashed);
    signal(SIGALRM, crashed);
    OK(taper_ones(NULL, 0, TAPER_FLOAT32, TAPER_CPU, (taper_tensor **)&freed_tensor));
    CHECK(taper_tensor_free(freed_tensor));
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
        current = functions[f].name;
        if (argc > 1 && strcmp(argv[1], current) != 0)
            continue;
        alarm(240);
        if (argc > 3) {
            make_pool();
            one(f, strtoull(argv[2], NULL, 10), atoi(argv[3]));
            free_pool();
            continue;
        }
        make_pool();
        one(f, 0, 0);
        for (uint64_t round = 0; round < rounds; round++) {
            one(f, round, 1 + (int)(round % 3 == 2));
            /* In-place and _free functions wear the pool out. */
            if (round % 8 == 7) {
                free_pool();
                make_pool();
            }
        }
        free_pool();
    }
    alarm(0);
    printf("%zu functions, %ld calls, %ld of them refused\n", sizeof functions / sizeof functions[0], made_calls, failed_calls);
    const long least = rounds < 10 ? 100 * (long)rounds : 1000;
    CHECK(argc > 1 || (failed_calls > least && made_calls - failed_calls > least));
    for (int i = 0; i < STRINGS; i++)
        if (strings[i][0] != '/')
            unlink(strings[i]);
    unlink("written");
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (chdir("/") || system(command))
        perror(folder);
    return finish("arguments");
}
