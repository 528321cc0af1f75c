/* A tiny test harness: checks that count, and say where and what. */
#ifndef TAPER_TEST_HARNESS_H
#define TAPER_TEST_HARNESS_H

#include "taper.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int checks_made, checks_failed;

#define CHECK(condition) \
    do { \
        checks_made++; \
        if (!(condition)) { \
            checks_failed++; \
            fprintf(stderr, "%s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #condition); \
        } \
    } while (0)

#define CHECK_INT(got, wanted) \
    do { \
        long long got_ = (long long)(got), wanted_ = (long long)(wanted); \
        checks_made++; \
        if (got_ != wanted_) { \
            checks_failed++; \
            fprintf(stderr, "%s:%d: %s is %lld, expected %lld\n", __FILE__, __LINE__, #got, got_, wanted_); \
        } \
    } while (0)

/* The call must succeed; the test program ends if it does not, since what follows needs its result. */
#define OK(call) \
    do { \
        taper_error *ok_ = (call); \
        checks_made++; \
        if (ok_) { \
            fprintf(stderr, "%s:%d: %s failed: %s\n", __FILE__, __LINE__, #call, taper_error_message(ok_)); \
            exit(1); \
        } \
    } while (0)

/* The call must fail with this code and a message that contains the text. */
#define FAILS(call, code, text) check_error((call), (code), (text), #call, __FILE__, __LINE__)

static inline void check_error(taper_error *e, int32_t code, const char *text, const char *call, const char *file, int line)
{
    checks_made++;
    if (!e) {
        checks_failed++;
        fprintf(stderr, "%s:%d: %s succeeded, an error was expected\n", file, line, call);
        return;
    }
    const char *message = taper_error_message(e);
    if (!message || taper_error_code(e) != code || !strstr(message, text)) {
        checks_failed++;
        fprintf(stderr, "%s:%d: %s: got code %d: %s\n    expected code %d: ...%s...\n", file, line, call,
                (int)taper_error_code(e), message ? message : "(null)", (int)code, text);
    }
    if (!taper_error_free(e)) {
        checks_failed++;
        fprintf(stderr, "%s:%d: the error could not be freed\n", file, line);
    }
}

/* A float32 tensor of up to two dimensions (cols 0: one dimension). */
static inline taper_tensor *floats(const float *data, int64_t rows, int64_t cols)
{
    int64_t sizes[2];
    taper_tensor *t = NULL;
    sizes[0] = rows;
    sizes[1] = cols;
    OK(taper_tensor_from_data(data, sizes, cols ? 2 : 1, TAPER_FLOAT32, TAPER_CPU, &t));
    return t;
}

/* Element i, row-major, as a double. */
static inline double at(taper_tensor *t, size_t i)
{
    float buf[256];
    size_t n = (size_t)taper_tensor_numel(t);
    if (n > 256 || i >= n || taper_tensor_dtype(t) != TAPER_FLOAT32) {
        fprintf(stderr, "at(): bad tensor\n");
        exit(1);
    }
    OK(taper_tensor_copy_to_host(t, buf, n * sizeof(float)));
    return buf[i];
}

static inline double item(taper_tensor *t)
{
    taper_scalar s;
    OK(taper_tensor_item(t, &s));
    return s.kind == TAPER_SCALAR_FLOAT ? s.f : (double)s.i;
}

/* Ends a test program: every handle must be gone. */
static inline int finish(const char *name)
{
    CHECK_INT(taper_handle_count(), 0);
    printf("%-12s %d checks, %d failed\n", name, checks_made, checks_failed);
    return checks_failed ? 1 : 0;
}

#endif
