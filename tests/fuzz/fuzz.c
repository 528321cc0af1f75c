/*
 * Random calls of the C ABI, most of them valid, by one or many threads on shared handles: nothing may crash, hang, panic,
 * leak, or write a result beside an error. The calls are generated from taper.h by generate.py (tests/fuzz/run.sh does it).
 *
 *   fuzz [--calls N] [--seconds S] [--seed N] [--jobs PROCESSES] [--threads N] [--length STEPS_PER_EPISODE]
 *        [--hang SECONDS] [--limit-mb MB] [--only NAME,NAME] [--except NAME,NAME] [--opencl]
 *        [--first EPISODE] [--episodes N] [--trace] [--skip STEPS] [--no-fork]     to see one again
 *
 * Work is cut into episodes, which begin and end with no handle alive. Everything in one follows from the seed and its
 * number, with one thread.
 */
#define _GNU_SOURCE
#include "special.h"
#include "options_gen.h"

static void forget_handle(void *h);
#include "calls.inc"

#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FUNCTIONS = sizeof functions / sizeof functions[0] };
static uint16_t *table;
static int64_t table_size;

static const char *function_name(int function)
{
    return functions[function].name;
}
static void forget_handle(void *h)
{
    if (!h)
        return;
    atomic_store(&graves[below(GRAVES)], h);
    if (one_in(5))
        return;
    for (int i = 0; i < SEATS; i++) {
        void *here = h;
        atomic_compare_exchange_strong(&seats[i].handle, &here, NULL);
    }
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < OTHERS; i++) {
            void *here = h;
            atomic_compare_exchange_strong(&others[kind][i], &here, NULL);
        }
}
static bool is_listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = list; p && *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (strncmp(p, name, n) == 0 && (p[n] == ',' || !p[n]))
            return true;
    return false;
}
static void make_table(void)
{
    int64_t total = 0;
    for (int pass = 0; pass < 2; pass++) {
        total = 0;
        for (int i = 0; i < FUNCTIONS; i++)
            for (int n = (!options.only || is_listed(options.only, functions[i].name)) && !is_listed(options.except, functions[i].name)
                             ? functions[i].weight
                             : 0;
                 n > 0; n--) {
                if (table)
                    table[total] = (uint16_t)i;
                total++;
            }
        if (!table)
            table = calloc((size_t)total + 1, sizeof *table);
    }
    table_size = total;
    if (!total) {
        fprintf(stderr, "no function is called that: %s\n", options.only);
        exit(2);
    }
}
static void random_call(void)
{
    functions[table[below(table_size)]].call();
}

/* Steps that --skip leaves out: "3-7,9". */
static bool skipped(uint64_t step)
{
    for (const char *p = options.skip; p && *p;) {
        char *end;
        uint64_t low = strtoull(p, &end, 10), high = *end == '-' ? strtoull(end + 1, &end, 10) : low;
        if (step >= low && step <= high)
            return true;
        p = *end ? end + 1 : end;
    }
    return false;
}
static void *thread_main(void *argument)
{
    me.index = (int)(intptr_t)argument;
    me.episode = atomic_load(&worker->episode);
    /* A place to stand on when the stack overflows. */
    stack_t alternative = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
    sigaltstack(&alternative, NULL);
    thread_log *log = &worker->threads[me.index];
    for (uint64_t step = 0; step < options.length; step++) {
        if (options.skip && skipped(step))
            continue;
        me.rng = mix(options.seed ^ mix(me.episode * 64 + (uint64_t)me.index) ^ mix(step << 20 | 7));
        me.step = step;
        me.depth = 0;
        scratch_reset();
        atomic_store(&log->started, now_ns());
        random_call();
        atomic_store(&log->started, 0);
    }
    me.step = options.length;
    taper_error *e;
    while (!(e = taper_scope_end()))
        ;
    taper_error_free(e);
    taper_set_grad_mode(true);
    taper_set_inference_mode(false);
    scratch_reset();
    free(me.arena);
    me.arena = NULL;
    stack_t none = {.ss_flags = SS_DISABLE};
    sigaltstack(&none, NULL);
    free(alternative.ss_sp);
    return NULL;
}
/* What calls may have changed for the episodes after them. */
static void restore(void)
{
    taper_graph *graph = NULL;
    taper_error_free(taper_graph_end(usual_device(), &graph));
    taper_graph_free(graph);
    taper_error *e;
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
    taper_set_detect_anomaly(false, true);
    taper_error_free(taper_set_default_dtype(TAPER_FLOAT32));
    taper_error_free(taper_set_num_threads(2));
    taper_error_free(taper_set_float32_matmul_precision("highest"));
    taper_error_free(taper_set_out_of_memory_callback(NULL, NULL));
    taper_error_free(taper_set_log_callback(NULL, NULL, TAPER_LOG_ERROR));
    taper_error_free(taper_set_printoptions(NULL, NULL, NULL, NULL, "default", NULL));
}
static uint64_t allocated(void)
{
    taper_memory_info info = {0};
    taper_error_free(taper_memory_stats(TAPER_CPU, &info));
    return info.allocated;
}
static void episode(uint64_t number)
{
    atomic_store(&worker->episode, number);
    atomic_store(&callbacks_used, 0);
    memset((void *)graves, 0, sizeof graves);
    me.episode = number;
    me.index = 0;
    me.step = 0;
    me.now = NULL;
    me.rng = mix(options.seed ^ mix(number * 64 + 63));
    taper_manual_seed(random64());
    for (int i = 0; i < 12; i++)
        keep_tensor(any_new_tensor());
    if (options.threads <= 1)
        thread_main(NULL);
    else {
        /* Where no more threads are to be had, those that are there do. */
        pthread_t threads[THREADS];
        int made = 0;
        while (made < options.threads && !pthread_create(&threads[made], NULL, thread_main, (void *)(intptr_t)made))
            made++;
        for (int i = 0; i < made; i++)
            pthread_join(threads[i], NULL);
    }
    me.index = 0;
    me.now = NULL;
    worker->threads[0].started = now_ns();
    restore();
    for (int kind = KINDS - 1; kind >= 0; kind--)
        for (int i = 0; i < OTHERS; i++) {
            void *h = atomic_exchange(&others[kind][i], NULL);
            if (h && kind == KIND_MODULE)
                taper_error_free(taper_module_zero_grad(h, true));
            if (h && kind == KIND_OPTIMIZER)
                taper_error_free(taper_optimizer_zero_grad(h, true));
            release(kind, h);
        }
    for (int i = 0; i < SEATS; i++)
        release(KIND_TENSOR, atomic_exchange(&seats[i].handle, NULL));
    uint64_t handles_left = taper_handle_count();
    if (handles_left) {
        fail_as("handles are left", "%" PRIu64 " handles (%" PRIu64 " of tensors) are left when all are freed", handles_left, taper_tensor_handle_count());
        /* The next episode must not see them. */
        atomic_store(&worker->threads[0].started, 0);
        _exit(44);
    }
    int used = atomic_load(&callbacks_used);
    for (int i = 0; i < used && i < CALLBACKS; i++)
        if (!callbacks[i].loose && atomic_load(&callbacks[i].dropped) != 1) {
            char key[64];
            snprintf(key, sizeof key, "a callback of kind %d is dropped %s", callbacks[i].kind, atomic_load(&callbacks[i].dropped) ? "again" : "never");
            fail_as(key, "%s: callback%d", key, i);
            _exit(44);
        }
    atomic_store(&worker->threads[0].started, 0);
    atomic_fetch_add(&worker->episodes, 1);
    worker->bytes_last = allocated();
    if (worker->episodes == 1)
        worker->bytes_first = worker->bytes_last;
}
static void on_signal(int number)
{
    atomic_store(&worker->crashed_thread, me.index);
    void *frames[64];
    int n = backtrace(frames, 64);
    backtrace_symbols_fd(frames, n, 2);
    signal(number, SIG_DFL);
    raise(number);
}
static void work(void)
{
#if !defined(FUZZ_BLOCKS)
    if (options.limit_mb > 0) {
        struct rlimit limit = {(rlim_t)(options.limit_mb * 1e6), (rlim_t)(options.limit_mb * 1e6)};
        setrlimit(RLIMIT_AS, &limit);
    }
#endif
#if !defined(__SANITIZE_ADDRESS__)
    void *frames[4];
    backtrace(frames, 4); /* loads what it needs now */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK | SA_NODEFER};
    const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGILL};
    for (int i = 0; i < 5; i++)
        sigaction(numbers[i], &action, NULL);
#endif
    make_table();
    for (;;) {
        uint64_t number = atomic_fetch_add(&shared->next_episode, 1);
        if (number >= options.first + options.episodes || number < options.first)
            break;
        uint64_t calls = 0;
        for (int j = 0; j < options.jobs; j++)
            calls += atomic_load(&shared->workers[j].calls);
        if (calls >= options.calls)
            break;
        episode(number);
        if (number % 256 == 0) {
            struct rusage usage;
            getrusage(RUSAGE_SELF, &usage);
            worker->resident = (uint64_t)usage.ru_maxrss;
        }
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    worker->resident = (uint64_t)usage.ru_maxrss;
}

/* --- the process that watches ---------------------------------------------------------------------------------------- */

static void print_record(const record *r)
{
    printf("    step %" PRIu64 "%*s %s(", r->step, 2 * r->depth, "", function_name(r->function < FUNCTIONS ? r->function : 0));
    for (int i = 0; i < r->words && i < WORDS; i++) {
        double f;
        char shape[80];
        printf("%s", i ? ", " : "");
        switch (r->tags[i]) {
            case TAG_FLOAT:
                memcpy(&f, &r->word[i], sizeof f);
                printf("%g", f);
                break;
            case TAG_TENSOR:
                print_shape(shape, sizeof shape, r->word[i]);
                printf("%s", shape);
                break;
            case TAG_TEXT: printf("\"%.8s\"", (const char *)&r->word[i]); break;
            case TAG_HANDLE: printf("#%" PRIx64, r->word[i]); break;
            case TAG_LENGTH: printf("n=%" PRIu64, r->word[i]); break;
            case TAG_CALLBACK: printf("callback%d", (int)r->word[i]); break;
            default: printf("%" PRId64, (int64_t)r->word[i]);
        }
    }
    printf(")\n");
}
static void print_log(const worker_log *w, int only)
{
    for (int t = 0; t < options.threads; t++) {
        const thread_log *log = &w->threads[t];
        int last = options.threads > 1 && t != only ? 1 : RING;
        if (options.threads > 1)
            printf("  thread %d%s\n", t, t == only ? ", which crashed" : "");
        for (uint64_t i = log->next > (uint64_t)last ? log->next - (uint64_t)last : 0; i < log->next; i++)
            print_record(&log->ring[i % RING]);
    }
}
static const char *last_function(const worker_log *w, int t)
{
    const thread_log *log = &w->threads[t];
    int f = log->next ? log->ring[(log->next - 1) % RING].function : 0;
    return function_name(f < FUNCTIONS ? f : 0);
}
static char folder[64];
static void command_line(uint64_t number)
{
    printf("  again: tests/fuzz/run.sh --seed %" PRIu64 " --first %" PRIu64 " --episodes 1 --threads %d --length %" PRIu64, options.seed, number,
           options.threads, options.length);
    printf("%s%s%s%s%s --trace\n", options.opencl ? " --opencl" : "", options.only ? " --only " : "", options.only ? options.only : "",
           options.except ? " --except " : "", options.except ? options.except : "");
}
/* Returns whether this kind of failure is new. */
static bool report(const char *key, int j, int thread)
{
    worker_log *w = &shared->workers[j];
    int n = atomic_load(&shared->failures), i = 0;
    while (i < n && strcmp(shared->found[i].key, key) != 0)
        i++;
    me.episode = atomic_load(&w->episode);
    me.step = w->threads[thread].ring[(w->threads[thread].next + RING - 1) % RING].step;
    fail_as(key, "%s", key);
    if (i < n)
        return false;
    printf("FAILURE: %s, episode %" PRIu64 "\n", key, me.episode);
    command_line(me.episode);
    print_log(w, thread);
    fflush(stdout);
    return true;
}
static void show_file(const char *path)
{
    char bytes[6000];
    FILE *f = fopen(path, "rb");
    if (!f)
        return;
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    fseek(f, size > 5999 && !options.trace ? size - 5999 : 0, SEEK_SET);
    size_t n;
    while ((n = fread(bytes, 1, sizeof bytes, f)) > 0)
        printf("%.*s", (int)n, bytes);
    printf("\n");
    fclose(f);
}
static void start(int j, pid_t *pids)
{
    char path[128];
    fflush(stdout);
    pids[j] = fork();
    if (pids[j] != 0)
        return;
    worker = &shared->workers[j];
    memset(worker->threads, 0, sizeof worker->threads);
    snprintf(path, sizeof path, "%s/%d", folder, j);
    mkdir(path, 0700);
    if (chdir(path))
        _exit(45);
    if (!options.trace) {
        snprintf(path, sizeof path, "%s/%d.log", folder, j);
        int log = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
        dup2(log, 2);
    }
    work();
    fflush(NULL);
#if defined(FUZZ_BLOCKS)
    exit(0);
#else
    _exit(0);
#endif
}
static bool use(const char *name, char **argv, int *i, double *value)
{
    if (strcmp(argv[*i], name) != 0 || !argv[*i + 1])
        return false;
    *value = strtod(argv[++*i], NULL);
    return true;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        double v;
        if (use("--calls", argv, &i, &v)) options.calls = (uint64_t)v;
        else if (use("--seconds", argv, &i, &v)) options.seconds = v;
        else if (use("--seed", argv, &i, &v)) options.seed = (uint64_t)v;
        else if (use("--jobs", argv, &i, &v)) options.jobs = (int)v;
        else if (use("--threads", argv, &i, &v)) options.threads = v < THREADS ? (int)v : THREADS;
        else if (use("--length", argv, &i, &v)) options.length = (uint64_t)v;
        else if (use("--hang", argv, &i, &v)) options.hang = v;
        else if (use("--limit-mb", argv, &i, &v)) options.limit_mb = v;
        else if (use("--first", argv, &i, &v)) options.first = (uint64_t)v;
        else if (use("--episodes", argv, &i, &v)) options.episodes = (uint64_t)v;
        else if (!strcmp(argv[i], "--only") && i + 1 < argc) options.only = argv[++i];
        else if (!strcmp(argv[i], "--except") && i + 1 < argc) options.except = argv[++i];
        else if (!strcmp(argv[i], "--skip") && i + 1 < argc) options.skip = argv[++i];
        else if (!strcmp(argv[i], "--trace")) options.trace = true;
        else if (!strcmp(argv[i], "--opencl")) options.opencl = true;
        else if (!strcmp(argv[i], "--no-fork")) options.no_fork = true;
        else {
            fprintf(stderr, "%s: unknown or incomplete argument\n", argv[i]);
            return 2;
        }
    }
    size_t size = sizeof(shared_log) + (size_t)options.jobs * sizeof(worker_log);
    shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared->next_episode = options.first;
    if (options.episodes > UINT64_MAX - options.first)
        options.episodes = UINT64_MAX - options.first;
    /* Files are written and read, and synchronised, so often that a disk is too slow. */
    snprintf(folder, sizeof folder, "%s/taper-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(folder)) {
        perror("mkdtemp");
        return 1;
    }
    if (options.no_fork) {
        worker = &shared->workers[0];
        work();
        return 0;
    }
    pid_t pids[64] = {0};
    const uint64_t began = now_ns();
    int running = 0;
    for (int j = 0; j < options.jobs; j++, running++)
        start(j, pids);
    bool stopping = false;
    int crashes = 0;
    while (running) {
        usleep(20000);
        if (options.seconds > 0 && (double)(now_ns() - began) > options.seconds * 1e9 && !stopping) {
            stopping = true;
            atomic_store(&shared->next_episode, UINT64_MAX / 2);
        }
        for (int j = 0; j < options.jobs; j++) {
            worker_log *w = &shared->workers[j];
            char key[160], path[128];
            int status;
            if (!pids[j])
                continue;
            snprintf(path, sizeof path, "%s/%d.log", folder, j);
            if (waitpid(pids[j], &status, WNOHANG) == pids[j]) {
                pids[j] = 0;
                running--;
                if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                    continue;
                int t = atomic_load(&w->crashed_thread);
                if (!(WIFEXITED(status) && WEXITSTATUS(status) == 44)) {
                    if (WIFSIGNALED(status))
                        snprintf(key, sizeof key, "signal %d (%s) in %s", WTERMSIG(status), strsignal(WTERMSIG(status)), last_function(w, t));
                    else
                        snprintf(key, sizeof key, "status %d in %s", WEXITSTATUS(status), last_function(w, t));
                    if (report(key, j, t))
                        show_file(path);
                }
                crashes++;
                if (!stopping && crashes < 10000) {
                    start(j, pids);
                    running++;
                }
                continue;
            }
            for (int t = 0; t < options.threads; t++) {
                uint64_t since = atomic_load(&w->threads[t].started), now = now_ns();
                if (!since || now < since || (double)(now - since) < options.hang * 1e9)
                    continue;
                snprintf(key, sizeof key, "hang in %s", last_function(w, t));
                if (report(key, j, t)) {
                    char command[200];
                    snprintf(command, sizeof command, "gdb -p %d -batch -ex '%s' 2>/dev/null | grep '^#\\|^Thread'", (int)pids[j], options.threads > 1 ? "thread apply all bt 14" : "bt 14");
                    if (system("command -v gdb >/dev/null 2>&1") == 0 && system(command))
                        printf("  (no stack)\n");
                }
                kill(pids[j], SIGKILL);
                waitpid(pids[j], &status, 0);
                if (stopping)
                    pids[j] = 0, running--;
                else
                    start(j, pids);
                break;
            }
        }
    }
    uint64_t calls = 0, refused = 0, episodes = 0;
    for (int j = 0; j < options.jobs; j++) {
        worker_log *w = &shared->workers[j];
        calls += w->calls, refused += w->refused, episodes += w->episodes;
        /* Cycles through create_graph are the caller's; megabytes of them are not. */
        if (w->bytes_last > w->bytes_first + (64u << 20))
            fail_as("memory grows", "%" PRIu64 " bytes are allocated after the first episode, %" PRIu64 " after the last", w->bytes_first, w->bytes_last);
    }
    double took = (double)(now_ns() - began) * 1e-9;
    int n = atomic_load(&shared->failures);
    for (int i = 0; i < n && i < FOUND; i++) {
        failure *f = &shared->found[i];
        printf("FAILED %" PRIu64 " times: %s\n    episode %" PRIu64 ", %s\n", f->count, f->key, f->episode, f->text);
    }
    printf("%d functions, %d threads: %" PRIu64 " calls in %.0f s (%.0f a second), %.0f %% refused, %" PRIu64 " episodes, %d kinds of failure, "
           "at most %" PRIu64 " MB resident\n",
           FUNCTIONS, options.threads, calls, took, (double)calls / (took > 0 ? took : 1), calls ? 100.0 * (double)refused / (double)calls : 0, episodes, n,
           shared->workers[0].resident / 1024);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command))
        perror(folder);
    return n ? 1 : 0;
}
