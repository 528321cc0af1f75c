/* An inference server: eight threads share one network, which tells digits apart.
 *
 *     scripts/example.sh c server                  measures itself with clients of its own (another process), then ends
 *     scripts/example.sh c server 100000          with that many requests
 *     scripts/example.sh c server serve            serves until SIGTERM, on the port of 127.0.0.1 that it prints
 *
 * A request is 16 images (16 x 64 floats), the answer 16 bytes, one digit each, and a byte that is 1 where the server ends and
 * answers no more; a connection may ask again and again. After SIGTERM each connection gets the answer to what it has asked,
 * then the program ends. */
#define _POSIX_C_SOURCE 200809L
#include "example.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { IMAGES = 16, PIXELS = 64, THREADS = 8, TRAINED_ON = 1438 };

static volatile sig_atomic_t ending;
static void on_sigterm(int signal) {
    (void)signal;
    ending = 1;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Sends or receives all of it; false where the other side is gone. */
static bool transfer(int fd, void *data, size_t n, bool sends) {
    char *at = data;
    while (n > 0) {
        const ssize_t moved = sends ? send(fd, at, n, MSG_NOSIGNAL) : recv(fd, at, n, 0);
        if (moved < 0 && errno == EINTR) continue;
        if (moved <= 0) return false;
        at += moved;
        n -= (size_t)moved;
    }
    return true;
}

/* ---- the network ---- */

static taper_error *read_labels(taper_tensor **out) {
    static unsigned char bytes[TRAINED_ON];
    const int64_t size = TRAINED_ON;
    FILE *file = fopen("data/digits/train-labels-idx1-ubyte", "rb");
    const bool whole = file != NULL && fseek(file, 8, SEEK_SET) == 0 && fread(bytes, 1, sizeof bytes, file) == sizeof bytes;
    if (file != NULL) fclose(file);
    if (!whole) return taper_error_new(TAPER_ERROR_IO, "cannot read the labels of data/digits", NULL, NULL);
    TAPER_TRY(taper_tensor_from_data(bytes, &size, 1, TAPER_UINT8, TAPER_CPU, out));
    return taper_to(*out, TAPER_INT64, TAPER_DEVICE_NONE, false, out);
}

/* A network that has seen the digits three times. */
static taper_error *train(taper_module **out) {
    const int64_t three = 3, two = 2, sizes[] = {TRAINED_ON, 1, 8, 8};
    taper_nn_conv_options padded = TAPER_NN_CONV_OPTIONS_INIT;
    taper_adam_options options = TAPER_ADAM_OPTIONS_INIT;
    taper_module *layers[7];
    taper_optimizer *optimizer = NULL;
    taper_tensor *images = NULL, *labels = NULL;
    padded.padding[0] = padded.padding[1] = 1;
    taper_manual_seed(0);
    TAPER_TRY(read_digits(&images));
    TAPER_TRY(taper_view(images, sizes, 4, &images));
    TAPER_TRY(read_labels(&labels));
    TAPER_TRY(taper_nn_conv2d_new(1, 32, &three, 1, &padded, &layers[0]));
    TAPER_TRY(taper_nn_relu_new(false, &layers[1]));
    TAPER_TRY(taper_nn_conv2d_new(32, 64, &three, 1, &padded, &layers[2]));
    TAPER_TRY(taper_nn_relu_new(false, &layers[3]));
    TAPER_TRY(taper_nn_max_pool2d_new(&two, 1, NULL, 0, NULL, 0, NULL, 0, false, &layers[4]));
    TAPER_TRY(taper_nn_flatten_new(1, -1, &layers[5]));
    TAPER_TRY(taper_nn_linear_new(64 * 4 * 4, 10, true, &layers[6]));
    TAPER_TRY(sequential(layers, 7, out));
    TAPER_TRY(adam(*out, &options, &optimizer));
    for (int epoch = 0; epoch < 3; epoch++) {
        for (int64_t start = 0; start + 64 <= TRAINED_ON; start += 64) {
            taper_tensor *x = NULL, *y = NULL, *said = NULL, *loss = NULL;
            taper_scope_begin();
            TAPER_TRY(taper_narrow(images, 0, start, 64, &x));
            TAPER_TRY(taper_narrow(labels, 0, start, 64, &y));
            TAPER_TRY(call(*out, x, &said));
            TAPER_TRY(taper_cross_entropy(said, y, NULL, -100, "mean", 0, &loss));
            TAPER_TRY(descend(optimizer, loss));
            TAPER_TRY(taper_scope_end());
        }
    }
    taper_optimizer_free(optimizer);
    return NULL;
}

/* ---- the server ---- */

typedef struct {
    taper_module *network;
    int listener;
    /* As many requests are computed at once as there are cores, in the order in which they came: more at a time would only
     * take the cores from each other in the middle of a request. */
    pthread_mutex_t lock;
    pthread_cond_t turn;
    long cores, waiting, done;
} server;

static taper_error *classify(server *s, float *images, unsigned char *digits) {
    const int64_t sizes[] = {IMAGES, 1, 8, 8}, classes = 1;
    int64_t found[IMAGES];
    taper_tensor *x = NULL, *y = NULL;
    TAPER_TRY(taper_tensor_from_data(images, sizes, 4, TAPER_FLOAT32, TAPER_CPU, &x));
    TAPER_TRY(call(s->network, x, &y));
    TAPER_TRY(taper_argmax(y, &classes, false, &y));
    TAPER_TRY(taper_tensor_copy_to_host(y, found, sizeof found));
    for (int i = 0; i < IMAGES; i++) digits[i] = (unsigned char)found[i];
    return NULL;
}

/* Answers one request; an error of the library is this connection's alone. */
static bool answer(server *s, int fd) {
    float images[IMAGES * PIXELS];
    unsigned char digits[IMAGES + 1];
    if (!transfer(fd, images, sizeof images, false)) return false;
    pthread_mutex_lock(&s->lock);
    const long mine = s->waiting++;
    while (mine >= s->done + s->cores) pthread_cond_wait(&s->turn, &s->lock);
    pthread_mutex_unlock(&s->lock);

    taper_scope_begin(); /* frees the tensors of this request */
    taper_error *error = classify(s, images, digits), *ended = taper_scope_end();

    pthread_mutex_lock(&s->lock);
    s->done++;
    pthread_cond_broadcast(&s->turn);
    pthread_mutex_unlock(&s->lock);
    const bool ok = error == NULL && ended == NULL;
    if (error != NULL) fprintf(stderr, "%s\n", taper_error_message(error));
    taper_error_free(error);
    taper_error_free(ended);
    digits[IMAGES] = ending ? 1 : 0;
    return ok && transfer(fd, digits, sizeof digits, true) && digits[IMAGES] == 0;
}

/* Whether there is something to read or accept. After SIGTERM a connection may take `patience` ms to ask for the last time. */
static bool arrives(int fd, int patience) {
    for (;;) {
        const bool last = ending;
        struct pollfd p = {fd, POLLIN, 0};
        const int ready = poll(&p, 1, last ? patience : 50);
        if (ready > 0) return true;
        if (last) return false;
    }
}

static void *work(void *argument) {
    server *s = argument;
    taper_set_grad_mode(false); /* each thread's own */
    while (arrives(s->listener, 0)) {
        const int yes = 1, fd = accept(s->listener, NULL, NULL);
        if (fd < 0) continue; /* another thread was quicker */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        while (arrives(fd, 500) && answer(s, fd)) {
        }
        close(fd);
    }
    return NULL;
}

static void serve(server *s, int threads) {
    pthread_t thread[THREADS];
    for (int i = 0; i < threads; i++) pthread_create(&thread[i], NULL, work, s);
    for (int i = 0; i < threads; i++) pthread_join(thread[i], NULL);
}

static int listen_on_loopback(int *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 64) != 0) return -1;
    getsockname(fd, (struct sockaddr *)&address, &size);
    *port = ntohs(address.sin_port);
    return fd;
}

/* ---- the clients, in a process of their own ---- */

typedef struct {
    int port, first;
    long requests, sent, answered, right;
    const float *images;
    const unsigned char *labels;
    double *seconds;
} client;

static void *ask(void *argument) {
    client *c = argument;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)c->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int yes = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        while (c->answered < c->requests) {
            unsigned char digits[IMAGES + 1];
            const int start = (c->first + (int)(c->answered % 80) * IMAGES) % (TRAINED_ON - IMAGES);
            const double begun = now();
            if (!transfer(fd, (void *)(c->images + start * PIXELS), IMAGES * PIXELS * sizeof(float), true)) break;
            c->sent++;
            if (!transfer(fd, digits, sizeof digits, false)) break;
            c->seconds[c->answered++] = now() - begun;
            for (int i = 0; i < IMAGES; i++) c->right += digits[i] == c->labels[start + i];
            if (digits[IMAGES] == 1) break;
        }
    }
    close(fd);
    return NULL;
}

typedef struct {
    long answered, unanswered;
    double rate, median, late, right; /* `late`: one in a hundred takes longer */
} report;

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* What `clients` clients find that ask `requests` times together. */
static report ask_all(int port, int clients, long requests, const float *images, const unsigned char *labels) {
    client c[THREADS];
    pthread_t thread[THREADS];
    report r = {0, 0, 0, 0, 0, 0};
    double *all = calloc((size_t)requests + THREADS, sizeof *all);
    if (all == NULL) exit(1);
    const double begun = now();
    for (int i = 0; i < clients; i++) {
        c[i] = (client){port, 100 * i, requests / clients, 0, 0, 0, images, labels, all + i * (requests / clients)};
        pthread_create(&thread[i], NULL, ask, &c[i]);
    }
    long right = 0;
    double *end = all;
    for (int i = 0; i < clients; i++) {
        pthread_join(thread[i], NULL);
        memmove(end, c[i].seconds, (size_t)c[i].answered * sizeof *end);
        end += c[i].answered;
        r.answered += c[i].answered;
        r.unanswered += c[i].sent - c[i].answered;
        right += c[i].right;
    }
    r.rate = (double)r.answered / (now() - begun);
    qsort(all, (size_t)r.answered, sizeof *all, by_size);
    if (r.answered > 0) {
        r.median = all[r.answered / 2];
        r.late = all[r.answered * 99 / 100];
        r.right = (double)right / (double)r.answered / IMAGES;
    }
    free(all);
    return r;
}

/* What tensors hold, in bytes. */
static long held(void) {
    taper_memory_info info;
    taper_error *error = taper_memory_stats(TAPER_CPU, &info);
    taper_error_free(error);
    return error == NULL ? (long)info.allocated : -1;
}

/* The memory of this process in KiB. The allocator keeps freed blocks for the next request, 64 MiB at most. */
static long resident(void) {
    long pages = 0, whole = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld %ld", &whole, &pages) != 2) pages = 0;
    if (file != NULL) fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Serves `clients` clients of another process with `threads` threads; with `cut` SIGTERM comes in the middle. */
static report measure(server *s, int threads, int clients, long requests, bool cut) {
    static unsigned char bytes[TRAINED_ON * PIXELS], labels[TRAINED_ON];
    static float images[TRAINED_ON * PIXELS];
    int port = 0, results[2];
    report r = {0, 0, 0, 0, 0, 0};
    ending = 0;
    s->listener = listen_on_loopback(&port);
    if (s->listener < 0 || pipe(results) != 0) return r;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) { /* uses nothing of the library's */
        FILE *file = fopen("data/digits/train-images-idx3-ubyte", "rb"), *names = fopen("data/digits/train-labels-idx1-ubyte", "rb");
        if (file == NULL || names == NULL || fseek(file, 16, SEEK_SET) != 0 || fseek(names, 8, SEEK_SET) != 0) _exit(1);
        if (fread(bytes, 1, sizeof bytes, file) != sizeof bytes || fread(labels, 1, sizeof labels, names) != sizeof labels) _exit(1);
        for (int i = 0; i < TRAINED_ON * PIXELS; i++) images[i] = (float)bytes[i] / 16;
        r = ask_all(port, clients, requests, images, labels);
        const bool told = write(results[1], &r, sizeof r) == (ssize_t)sizeof r;
        kill(getppid(), SIGTERM);
        _exit(told ? 0 : 1);
    }
    close(results[1]);
    if (cut) alarm(1); /* as SIGTERM, below */
    serve(s, threads);
    close(s->listener);
    if (read(results[0], &r, sizeof r) != (ssize_t)sizeof r) r.answered = 0;
    close(results[0]);
    waitpid(child, NULL, 0);
    alarm(0);
    return r;
}

static taper_error *failed(const char *what) { return taper_error_new(TAPER_ERROR_RUNTIME, what, NULL, NULL); }

static taper_error *run(const options *o) {
    static server s = {NULL, -1, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 2, 0, 0};
    const long requests = o->quick ? 2000 : atol(o->path) > 0 ? atol(o->path) : 20000;
    struct sigaction act;
    memset(&act, 0, sizeof act);
    act.sa_handler = on_sigterm;
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGALRM, &act, NULL);
    if (sysconf(_SC_NPROCESSORS_ONLN) > 0) s.cores = sysconf(_SC_NPROCESSORS_ONLN);
    TAPER_TRY(taper_set_num_threads(1)); /* a request is one core's */
    TAPER_TRY(train(&s.network));

    if (strcmp(o->path, "serve") == 0) {
        int port = 0;
        if ((s.listener = listen_on_loopback(&port)) < 0) return failed("no port of 127.0.0.1");
        printf("serving on 127.0.0.1:%d\n", port);
        fflush(stdout);
        serve(&s, THREADS);
        printf("%ld requests answered\n", s.done);
        taper_module_free(s.network);
        return NULL;
    }

    const report one = measure(&s, 1, 1, requests / 4, false);
    printf("1 thread   %6.0f requests/s  median %.2f ms, 99 of 100 within %.2f ms\n", one.rate, 1e3 * one.median, 1e3 * one.late);
    measure(&s, THREADS, THREADS, requests / 10, false); /* so that every thread has its memory */
    const long before = resident(), tensors = held();
    const report all = measure(&s, THREADS, THREADS, requests, false);
    const long grown = resident() - before, more = held() - tensors;
    printf("%d threads  %6.0f requests/s  median %.2f ms, 99 of 100 within %.2f ms\n", THREADS, all.rate, 1e3 * all.median, 1e3 * all.late);
    printf("throughput %.2f times, tensors %+ld bytes, memory %+ld KiB after %ld requests, %.1f %% of the digits right\n", all.rate / one.rate, more, grown, all.answered, 100 * all.right);
    const report cut = measure(&s, THREADS, THREADS, 100000000, true);
    printf("SIGTERM: %ld answered, %ld not\n", cut.answered, cut.unanswered);
    taper_module_free(s.network);
    if (one.answered != requests / 4 || all.answered < requests - THREADS || all.right < 0.9) return failed("requests were not answered rightly");
    if (more != 0 || grown > 64 << 10) return failed("the memory grew");
    if (cut.answered == 0 || cut.unanswered != 0) return failed("SIGTERM left requests without an answer");
    return NULL;
}

int main(int argc, char **argv) { return example_main(argc, argv, ""); }
