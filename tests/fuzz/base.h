/*
 * What the fuzzer of the C ABI stands on: random numbers that follow from a seed, the log of the last calls, the pools of
 * handles. One step is one call, whose random numbers follow from (seed, episode, thread, step) alone: leaving a step out
 * changes no other's, which is how minimise.py shortens a failure.
 */
#ifndef TAPER_FUZZ_BASE_H
#define TAPER_FUZZ_BASE_H

#include "taper.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    KIND_TENSOR,
    KIND_TENSOR_LIST,
    KIND_ERROR,
    KIND_STRING,
    KIND_MODULE,
    KIND_OPTIMIZER,
    KIND_GENERATOR,
    KIND_NODE,
    KIND_NAMED_TENSORS,
    KIND_FUNCTION_CTX,
    KIND_GRAPH,
    KIND_EVENT,
    KIND_FILE_WRITER,
    KIND_SCHEDULE,
    KIND_CANCEL_TOKEN,
    KIND_SUMMARY_WRITER,
    KIND_PROGRESS,
    KIND_TENSOR_FILE,
    KIND_DATASET,
    KIND_SAMPLER,
    KIND_DATA_LOADER,
    KIND_BATCHES,
    KINDS
};
static const char *const kind_names[KINDS] = {"tensor", "list", "error", "string", "module", "optimizer",
                                              "generator", "node", "named", "ctx", "graph", "event", "writer", "schedule",
                                              "token", "summary", "progress", "file", "dataset", "sampler", "loader", "batches"};

enum { THREADS = 16, RING = 24, WORDS = 14, SEATS = 40, OTHERS = 10, GRAVES = 32, FOUND = 256, CALLBACKS = 512 };

/* One call in the log: its number, its function, what was drawn for it. */
enum { TAG_INT, TAG_FLOAT, TAG_TENSOR, TAG_HANDLE, TAG_TEXT, TAG_SCALAR, TAG_DEVICE, TAG_LENGTH, TAG_CALLBACK };
typedef struct {
    uint64_t step;
    uint16_t function;
    uint8_t words, depth;
    uint8_t tags[WORDS];
    uint64_t word[WORDS];
} record;
typedef struct {
    _Atomic uint64_t started; /* when the outermost call began, in ns; 0 between calls */
    uint64_t next;
    record ring[RING];
} thread_log;
/* What one worker process tells the one that watches it. */
typedef struct {
    _Atomic uint64_t calls, refused, episodes, episode;
    _Atomic int crashed_thread;
    uint64_t bytes_first, bytes_last, resident;
    thread_log threads[THREADS];
} worker_log;
/* A failure, kept once for each kind. */
typedef struct {
    char key[160];
    char text[600];
    uint64_t episode, count;
} failure;
typedef struct {
    _Atomic uint64_t next_episode;
    _Atomic int lock, failures;
    failure found[FOUND];
    worker_log workers[];
} shared_log;

static shared_log *shared;
static worker_log *worker;

static struct {
    uint64_t seed, calls, first, episodes, length;
    int jobs, threads;
    double hang, seconds, limit_mb;
    const char *only, *except;
    bool trace, opencl, no_fork;
    const char *skip;
} options = {.seed = 1, .calls = 1000000, .episodes = UINT64_MAX, .length = 250, .jobs = 1, .threads = 1, .hang = 30, .limit_mb = 1500};

/* A thread's part. */
typedef struct {
    uint64_t rng, step, episode;
    int index, depth;
    record *now;
    uint64_t first, second, third; /* shapes of the first tensors of the call */
    int first_seat, tensors;
    int64_t dim; /* the last dimension drawn */
    char *arena;
    size_t arena_used;
    void *blocks[256];
    int blocks_used;
    char line[2000];
    size_t line_used;
} thread_state;
static _Thread_local thread_state me;

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30, x *= 0xbf58476d1ce4e5b9u, x ^= x >> 27, x *= 0x94d049bb133111ebu, x ^= x >> 31;
    return x;
}
static uint64_t random64(void)
{
    me.rng += 0x9e3779b97f4a7c15u;
    return mix(me.rng);
}
static int64_t below(int64_t n)
{
    return (int64_t)((random64() >> 32) % (uint64_t)n);
}
static bool one_in(int n)
{
    return below(n) == 0;
}
static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Memory that lives as long as a call. For checkers of memory each piece is a block of its own, of exactly its size. */
enum { ARENA = 1 << 20 };
static void *scratch(size_t bytes)
{
#ifdef FUZZ_BLOCKS
    if (me.blocks_used < 256) {
        void *p = calloc(1, bytes ? bytes : 1);
        me.blocks[me.blocks_used++] = p;
        return p;
    }
#endif
    if (!me.arena)
        me.arena = malloc(ARENA);
    bytes = (bytes + 15) & ~(size_t)15;
    if (me.arena_used + bytes > ARENA)
        me.arena_used = 0;
    void *p = me.arena + me.arena_used;
    me.arena_used += bytes;
    memset(p, 0, bytes);
    return p;
}
static void scratch_reset(void)
{
    for (int i = 0; i < me.blocks_used; i++)
        free(me.blocks[i]);
    me.blocks_used = 0;
    me.arena_used = 0;
}

/* Shapes in 64 bits: dtype, rank and six sizes. */
enum { UNKNOWN_DTYPE = 63, MANY = 511, MANY_DIMS = 15 };
static uint64_t pack_shape(int32_t dtype, int64_t ndim, const int64_t *sizes)
{
    uint64_t p = dtype < 0 ? UNKNOWN_DTYPE : (uint64_t)dtype;
    if (ndim < 0 || ndim > 6)
        return p | MANY_DIMS << 6;
    p |= (uint64_t)ndim << 6;
    for (int i = 0; i < ndim; i++)
        p |= (uint64_t)(sizes[i] < MANY ? sizes[i] : MANY) << (10 + 9 * i);
    return p;
}
static int32_t shape_dtype(uint64_t p) { return (p & 63) == UNKNOWN_DTYPE ? -1 : (int32_t)(p & 63); }
static int shape_ndim(uint64_t p) { return (p >> 6 & 15) == MANY_DIMS ? 0 : (int)(p >> 6 & 15); }
static int64_t shape_size(uint64_t p, int i)
{
    int n = shape_ndim(p);
    if (i < 0)
        i += n;
    return i < 0 || i >= n ? 1 : (int64_t)(p >> (10 + 9 * i) & MANY);
}
static bool is_float(int32_t dtype)
{
    return dtype == TAPER_FLOAT32 || dtype == TAPER_FLOAT64 || dtype == TAPER_FLOAT16 || dtype == TAPER_BFLOAT16;
}
static bool same_sizes(uint64_t p, uint64_t q)
{
    return p >> 6 == q >> 6;
}
static int print_shape(char *to, size_t room, uint64_t p)
{
    const char *name = taper_dtype_name(shape_dtype(p));
    int n = snprintf(to, room, "%s[", name ? name : "bad");
    if ((p >> 6 & 15) == MANY_DIMS)
        n += snprintf(to + n, room - (size_t)n, "many");
    for (int i = 0; i < shape_ndim(p); i++)
        n += snprintf(to + n, room - (size_t)n, "%s%d", i ? "," : "", (int)shape_size(p, i));
    n += snprintf(to + n, room - (size_t)n, "]");
    return n;
}

/* Live handles, which all threads of a worker share. What is freed stays known for a while. */
typedef struct {
    _Atomic(void *) handle;
    _Atomic uint64_t shape;
} seat;
static seat seats[SEATS];
static _Atomic(void *) others[KINDS][OTHERS];
static _Atomic(void *) graves[GRAVES];

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
    if (me.line_used + 100 > sizeof me.line)
        return;
    va_list list;
    va_start(list, format);
    int n = vsnprintf(me.line + me.line_used, sizeof me.line - me.line_used, format, list);
    va_end(list);
    me.line_used += (size_t)n;
    if (me.line_used >= sizeof me.line)
        me.line_used = sizeof me.line - 1;
}
static void note(int tag, uint64_t word)
{
    record *r = me.now;
    if (!r || r->words >= WORDS)
        return;
    r->tags[r->words] = (uint8_t)tag;
    r->word[r->words++] = word;
}

static void fail_as(const char *key, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fail_as(const char *key, const char *format, ...)
{
    while (atomic_exchange(&shared->lock, 1))
        ;
    int n = atomic_load(&shared->failures), i = 0;
    while (i < n && strcmp(shared->found[i].key, key) != 0)
        i++;
    if (i < FOUND) {
        failure *f = &shared->found[i];
        if (i == n) {
            snprintf(f->key, sizeof f->key, "%s", key);
            f->episode = me.episode;
            va_list list;
            va_start(list, format);
            int used = snprintf(f->text, sizeof f->text, "step %" PRIu64 ": ", me.step);
            vsnprintf(f->text + used, sizeof f->text - (size_t)used, format, list);
            va_end(list);
            atomic_store(&shared->failures, n + 1);
        }
        f->count++;
    }
    atomic_store(&shared->lock, 0);
}

/* Callbacks and the like: what was handed over must be dropped exactly once. */
typedef struct {
    uint64_t rng;
    _Atomic int dropped;
    int kind;
    bool loose; /* whether it is dropped at all is not known */
} callback;
static callback callbacks[CALLBACKS];
static _Atomic int callbacks_used;

#endif
