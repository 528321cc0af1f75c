/* opencl.c: what Taper reaches on one OpenCL device, against what the device can do, against CLBlast (matrix products)
 * and against Taper's own CPU backend. All competitors take turns within one process; times are the best of the rounds.
 *
 *     make bench-opencl                                    or scripts/bench_opencl.sh [OPTIONS]
 *
 *   --device N    the device, counted over all platforms (0); do not combine with TAPER_OPENCL_DEVICE
 *   --only TEXT   rows whose name contains TEXT
 *   --rounds N    rounds per row (7)
 *   --seconds S   time per round and competitor (0.1)
 *
 * Peaks are measured first: copy bandwidth with a copy kernel of 64-byte vectors, arithmetic with a kernel of
 * independent multiply-adds in registers. Built with -DWITH_CLBLAST it also runs CLBlast, on a queue of its own.
 */
#define _POSIX_C_SOURCE 200809L
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#ifdef WITH_CLBLAST
#include <clblast_c.h>
#include <unistd.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <taper.h>
#include <time.h>

static int rounds = 7;
static double seconds = 0.1;
static const char *only = "";

static void check(taper_error *error) {
    if (error == NULL) return;
    fprintf(stderr, "bench opencl: %s\n", taper_error_message(error));
    exit(1);
}

static void cl(cl_int code, const char *call) {
    if (code == CL_SUCCESS) return;
    fprintf(stderr, "bench opencl: %s failed (%d)\n", call, (int)code);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the device, seen without Taper ---------------------------------------------------------------------------- */

static cl_device_id device_id;
static cl_context context;
static cl_command_queue queue;
static double copy_peak, fma_peak, fma_peak_f64; /* bytes and floating-point operations per second */

static const char *peak_source =
    "__kernel void copy(__global const float16 *in, __global float16 *out) {\n"
    "    out[get_global_id(0)] = in[get_global_id(0)];\n"
    "}\n"
    "#define PEAK(NAME, T)                                                                     \\\n"
    "__kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1))) WIDE void NAME(__global T *out, const T x) { \\\n"
    "    T a = (T)(1) * get_global_id(0), b = a + 1, c = a + 2, d = a + 3, e = a + 4, f = a + 5, g = a + 6, h = a + 7; \\\n"
    "    for (int i = 0; i < 4096; i++) {                                                      \\\n"
    "        a = fma(a, x, x); b = fma(b, x, x); c = fma(c, x, x); d = fma(d, x, x);           \\\n"
    "        e = fma(e, x, x); f = fma(f, x, x); g = fma(g, x, x); h = fma(h, x, x);           \\\n"
    "    }                                                                                     \\\n"
    "    out[get_global_id(0)] = a + b + c + d + e + f + g + h;                                \\\n"
    "}\n"
    "#define WIDE\n"
    "#if defined(__clang__) && defined(__has_attribute)\n"
    "#if __has_attribute(min_vector_width)\n"
    "#undef WIDE\n"
    "#define WIDE __attribute__((min_vector_width(512)))\n"
    "#endif\n"
    "#endif\n"
    "PEAK(fma32, F32)\n"
    "#ifdef F64\n"
    "PEAK(fma64, F64)\n"
    "#endif\n";

static void text_of(cl_device_id id, cl_device_info what, char *out, size_t room) {
    out[0] = '\0';
    clGetDeviceInfo(id, what, room, out, NULL);
}

static void open_device(int index) {
    cl_platform_id platforms[32];
    cl_uint count = 0;
    cl(clGetPlatformIDs(32, platforms, &count), "clGetPlatformIDs");
    int seen = 0;
    for (cl_uint p = 0; p < count && p < 32; p++) {
        cl_device_id devices[64];
        cl_uint n = 0;
        if (clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, 64, devices, &n) != CL_SUCCESS) continue;
        for (cl_uint d = 0; d < n && d < 64; d++, seen++) {
            if (seen == index) device_id = devices[d];
        }
    }
    if (device_id == NULL) {
        fprintf(stderr, "bench opencl: there is no device %d; there are %d\n", index, seen);
        exit(1);
    }
    cl_int code;
    context = clCreateContext(NULL, 1, &device_id, NULL, NULL, &code);
    cl(code, "clCreateContext");
    queue = clCreateCommandQueue(context, device_id, 0, &code);
    cl(code, "clCreateCommandQueue");
    char name[256], version[256], driver[256];
    text_of(device_id, CL_DEVICE_NAME, name, sizeof name);
    text_of(device_id, CL_DEVICE_VERSION, version, sizeof version);
    text_of(device_id, CL_DRIVER_VERSION, driver, sizeof driver);
    cl_uint units = 0;
    clGetDeviceInfo(device_id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
    printf("Device: %s, %u compute units  \n%s, driver %s  \n", name, units, version, driver);
}

static cl_mem buffer(size_t bytes) {
    cl_int code;
    cl_mem m = clCreateBuffer(context, CL_MEM_READ_WRITE, bytes, NULL, &code);
    cl(code, "clCreateBuffer");
    const float zero = 0;
    cl(clEnqueueFillBuffer(queue, m, &zero, sizeof zero, 0, bytes, 0, NULL, NULL), "clEnqueueFillBuffer");
    return m;
}

/* The best time of one launch. */
static double launch_time(cl_kernel kernel, size_t global, const size_t *local) {
    double best = 1e9;
    for (int i = 0; i < 12; i++) {
        cl(clFinish(queue), "clFinish");
        const double begin = now();
        cl(clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &global, local, 0, NULL, NULL), "clEnqueueNDRangeKernel");
        cl(clFinish(queue), "clFinish");
        if (now() - begin < best) best = now() - begin;
    }
    return best;
}

static double fma_rate(cl_program program, const char *name, size_t lanes, size_t size, size_t global, size_t local) {
    cl_int code;
    cl_kernel k = clCreateKernel(program, name, &code);
    cl(code, "clCreateKernel");
    cl_mem out = buffer(global * lanes * size);
    char x[128] = {0};
    cl(clSetKernelArg(k, 0, sizeof out, &out), "clSetKernelArg");
    cl(clSetKernelArg(k, 1, lanes * size, x), "clSetKernelArg");
    const double rate = (double)global * (double)lanes * 8 * 4096 * 2 / launch_time(k, global, &local);
    clReleaseKernel(k);
    clReleaseMemObject(out);
    return rate;
}

static void measure_peaks(void) {
    cl_device_type type = 0;
    cl_ulong f64 = 0;
    cl_uint units = 1;
    clGetDeviceInfo(device_id, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    clGetDeviceInfo(device_id, CL_DEVICE_DOUBLE_FP_CONFIG, sizeof f64, &f64, NULL);
    clGetDeviceInfo(device_id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
    /* A CPU fills its registers by vectors, a GPU by work-items. */
    const int cpu = (type & CL_DEVICE_TYPE_CPU) != 0;
    char options[128];
    snprintf(options, sizeof options, "-DLOCAL=%d -DF32=%s %s", cpu ? 1 : 256, cpu ? "float16" : "float",
             f64 == 0 ? "" : cpu ? "-DF64=double8" : "-DF64=double");
    cl_int code;
    cl_program program = clCreateProgramWithSource(context, 1, &peak_source, NULL, &code);
    cl(code, "clCreateProgramWithSource");
    code = clBuildProgram(program, 1, &device_id, options, NULL, NULL);
    if (code != CL_SUCCESS) {
        char log[4096] = "";
        clGetProgramBuildInfo(program, device_id, CL_PROGRAM_BUILD_LOG, sizeof log - 1, log, NULL);
        fprintf(stderr, "%s\n", log);
    }
    cl(code, "clBuildProgram");
    const size_t bytes = (size_t)128 << 20, items = bytes / 64;
    cl_mem in = buffer(bytes), out = buffer(bytes);
    cl_kernel k = clCreateKernel(program, "copy", &code);
    cl(code, "clCreateKernel");
    cl(clSetKernelArg(k, 0, sizeof in, &in), "clSetKernelArg");
    cl(clSetKernelArg(k, 1, sizeof out, &out), "clSetKernelArg");
    copy_peak = 2.0 * (double)bytes / launch_time(k, items, NULL);
    /* The driver's own copy may know better. */
    for (int i = 0; i < 8; i++) {
        const double begin = now();
        cl(clEnqueueCopyBuffer(queue, in, out, 0, 0, bytes, 0, NULL, NULL), "clEnqueueCopyBuffer");
        cl(clFinish(queue), "clFinish");
        const double rate = 2.0 * (double)bytes / (now() - begin);
        if (rate > copy_peak) copy_peak = rate;
    }
    clReleaseKernel(k);
    clReleaseMemObject(in);
    clReleaseMemObject(out);
    const size_t global = cpu ? units * 64 : (size_t)units * 2048, local = cpu ? 1 : 256;
    fma_peak = fma_rate(program, "fma32", cpu ? 16 : 1, 4, global, local);
    fma_peak_f64 = f64 ? fma_rate(program, "fma64", cpu ? 8 : 1, 8, global, local) : 0;
    clReleaseProgram(program);
    printf("Peaks, measured: copy %.1f GB/s (read and written), multiply-add %.0f GFLOP/s in float32", copy_peak / 1e9,
           fma_peak / 1e9);
    if (f64) printf(", %.0f in float64", fma_peak_f64 / 1e9);
    printf("\n");
}

/* ---- competitors ----------------------------------------------------------------------------------------------- */

enum { TAPER_ON_DEVICE, TAPER_ON_CPU, CLBLAST, COMPETITORS };

typedef struct row row;
struct row {
    const char *name;
    double flops, bytes; /* per call; 0: not a measure of this row */
    int dtype;
    void (*call)(const row *, int who);
    void (*blast)(const row *);
    const int64_t *sizes; /* m, n, k, batch, a transposed, b transposed */
};

static taper_device devices[2];
/* Operands of the current row, per device, and the buffers of CLBlast. */
static taper_tensor *x[2], *y[2], *z[2];
static cl_mem blast_a, blast_b, blast_c;

static void synchronize(int who) {
    if (who == CLBLAST) cl(clFinish(queue), "clFinish");
    if (who == TAPER_ON_DEVICE) check(taper_synchronize(devices[0]));
}

static void call(const row *r, int who) {
    if (who == CLBLAST) r->blast(r);
    else r->call(r, who);
}

static double batch(const row *r, int who, int calls) {
    const double begin = now();
    for (int i = 0; i < calls; i++) call(r, who);
    synchronize(who);
    return (now() - begin) / calls;
}

static void time_text(double s, char *out, size_t room) {
    if (s >= 1e-3) snprintf(out, room, "%.3g ms", s * 1e3);
    else if (s >= 1e-6) snprintf(out, room, "%.3g us", s * 1e6);
    else snprintf(out, room, "%.3g ns", s * 1e9);
}

/* Times all competitors of a row in turns and prints its line. */
static void measure(const row *r) {
    int calls[COMPETITORS];
    double best[COMPETITORS];
    const int last = r->blast != NULL ? COMPETITORS : CLBLAST;
    for (int who = 0; who < last; who++) {
        batch(r, who, 2); /* builds kernels */
        const double once = batch(r, who, 3);
        const double fit = seconds / once;
        calls[who] = fit < 1 ? 1 : fit > 500 ? 500 : (int)fit;
        best[who] = once;
    }
    for (int i = 0; i < rounds; i++) {
        for (int who = 0; who < last; who++) {
            const double t = batch(r, who, calls[who]);
            if (t < best[who]) best[who] = t;
        }
    }
    char mine[32], cpu[32], blast[32] = "", ratio[32] = "", rate[64] = "", part[32] = "";
    time_text(best[TAPER_ON_DEVICE], mine, sizeof mine);
    time_text(best[TAPER_ON_CPU], cpu, sizeof cpu);
    if (last > CLBLAST) {
        time_text(best[CLBLAST], blast, sizeof blast);
        snprintf(ratio, sizeof ratio, "%.2f", best[CLBLAST] / best[TAPER_ON_DEVICE]);
    }
    if (r->flops > 0) {
        const double reached = r->flops / best[TAPER_ON_DEVICE];
        const double peak = r->dtype == TAPER_FLOAT64 ? fma_peak_f64 : fma_peak;
        snprintf(rate, sizeof rate, "%.3g GFLOP/s", reached / 1e9);
        snprintf(part, sizeof part, "%.0f %%", 100 * reached / peak);
    } else if (r->bytes > 0) {
        const double reached = r->bytes / best[TAPER_ON_DEVICE];
        snprintf(rate, sizeof rate, "%.3g GB/s", reached / 1e9);
        snprintf(part, sizeof part, "%.0f %%", 100 * reached / copy_peak);
    }
    printf("| %-46s | %-8s | %-14s | %-7s | %-8s | %-7s | %-8s | %-7.2f |\n", r->name, mine, rate, part, blast, ratio,
           cpu, best[TAPER_ON_CPU] / best[TAPER_ON_DEVICE]);
    fflush(stdout);
}

/* ---- operands -------------------------------------------------------------------------------------------------- */

/* The same random numbers on both devices. */
static void random_pair(taper_tensor **out, const int64_t *size, size_t rank, int dtype) {
    check(taper_rand(size, rank, NULL, dtype, devices[1], &out[1]));
    check(taper_to_device(out[1], devices[0], &out[0]));
}

static void free_pair(taper_tensor **t) {
    taper_tensor_free(t[0]);
    taper_tensor_free(t[1]);
    t[0] = t[1] = NULL;
}

static void release(void) {
    free_pair(x);
    free_pair(y);
    free_pair(z);
    check(taper_memory_empty_cache(devices[0]));
}

/* ---- matrix products ------------------------------------------------------------------------------------------- */

static void matmul(const row *r, int who) {
    taper_tensor *out = NULL;
    (void)r;
    check(taper_matmul(x[who], y[who], &out));
    taper_tensor_free(out);
}

#ifdef WITH_CLBLAST
/* CLBlast ships parameters for GPUs and a few CPUs; on a device that it does not know its defaults may be far from what
 * it can do. So it runs with the fastest of its defaults and of sets that its tuner (clblast_tuner_xgemm) found or that
 * fit a CPU, each measured on a product of 512. */
static const char *blast_names[16] = {"GEMMK", "KREG", "KWG", "KWI", "MDIMA", "MDIMC", "MWG", "NDIMB",
                                      "NDIMC", "NWG", "SA", "SB", "STRM", "STRN", "VWM", "VWN"};
static const size_t blast_sets[][16] = {
    {0, 1, 32, 2, 8, 8, 64, 8, 8, 16, 1, 1, 0, 0, 4, 2},   {0, 1, 32, 2, 16, 8, 64, 16, 8, 128, 0, 0, 1, 0, 4, 8},
    {0, 1, 32, 2, 8, 8, 64, 8, 8, 64, 0, 0, 0, 0, 8, 8},   {0, 1, 32, 2, 8, 8, 128, 8, 8, 64, 0, 0, 0, 0, 8, 8},
    {0, 1, 32, 2, 8, 8, 64, 8, 8, 64, 0, 0, 0, 0, 4, 4},   {0, 1, 16, 2, 4, 4, 64, 4, 4, 32, 0, 0, 0, 0, 8, 4}};

static double blast_time(CLBlastPrecision precision) {
    const size_t n = 512;
    double best = 1e9;
    for (int i = 0; i < 4; i++) {
        const double begin = now();
        const CLBlastStatusCode code =
            precision == CLBlastPrecisionDouble
                ? CLBlastDgemm(CLBlastLayoutRowMajor, CLBlastTransposeNo, CLBlastTransposeNo, n, n, n, 1.0, blast_a, 0, n,
                               blast_b, 0, n, 0.0, blast_c, 0, n, &queue, NULL)
                : CLBlastSgemm(CLBlastLayoutRowMajor, CLBlastTransposeNo, CLBlastTransposeNo, n, n, n, 1.0f, blast_a, 0,
                               n, blast_b, 0, n, 0.0f, blast_c, 0, n, &queue, NULL);
        /* A set that the device cannot run. */
        if (code != CLBlastSuccess) return 1e9;
        cl(clFinish(queue), "clFinish");
        /* The first run compiles. */
        if (i > 0 && now() - begin < best) best = now() - begin;
    }
    return best;
}

/* Overridden parameters stay, so where the defaults win the program starts again without this. */
static void tune_blast(int argc, char **argv) {
    const size_t n = 512;
    const int sets = (int)(sizeof blast_sets / sizeof blast_sets[0]);
    for (int kind = 0; kind < (fma_peak_f64 > 0 ? 2 : 1); kind++) {
        const CLBlastPrecision precision = kind ? CLBlastPrecisionDouble : CLBlastPrecisionSingle;
        blast_a = buffer(n * n * 8);
        blast_b = buffer(n * n * 8);
        blast_c = buffer(n * n * 8);
        const double by_default = blast_time(precision);
        double best = 1e9;
        int chosen = -1;
        for (int i = 0; i <= sets; i++) {
            const int set = i < sets ? i : chosen;
            if (set < 0) break;
            if (CLBlastOverrideParameters(device_id, "Xgemm", precision, 16, blast_names, blast_sets[set]) !=
                CLBlastSuccess) continue;
            if (i == sets) break;
            const double took = blast_time(precision);
            if (took < best) best = took, chosen = i;
        }
        clReleaseMemObject(blast_a);
        clReleaseMemObject(blast_b);
        clReleaseMemObject(blast_c);
        if (chosen < 0 || by_default <= best) {
            if (argc > 60) exit(2);
            char *again[64];
            memcpy(again, argv, (size_t)argc * sizeof *again);
            again[argc] = "--clblast";
            again[argc + 1] = "default";
            again[argc + 2] = NULL;
            execv(argv[0], again);
            perror(argv[0]);
            exit(1);
        }
        printf("CLBlast, float%d, 512: %.2f ms with its defaults, %.2f ms with the best of %d sets, which is used:", 32 << kind,
               by_default * 1e3, best * 1e3, sets);
        for (int i = 0; i < 16; i++) printf(" %s %zu", blast_names[i], blast_sets[chosen][i]);
        printf("  \n");
    }
}

static void blast_matmul(const row *r) {
    const size_t m = (size_t)r->sizes[0], n = (size_t)r->sizes[1], k = (size_t)r->sizes[2], b = (size_t)r->sizes[3];
    const int ta = r->sizes[4] != 0, tb = r->sizes[5] != 0;
    const CLBlastTranspose t[2] = {CLBlastTransposeNo, CLBlastTransposeYes};
    const size_t lda = ta ? m : k, ldb = tb ? k : n;
    CLBlastStatusCode code;
    if (b > 1) {
        code = CLBlastSgemmStridedBatched(CLBlastLayoutRowMajor, t[ta], t[tb], m, n, k, 1.0f, blast_a, 0, lda, m * k,
                                          blast_b, 0, ldb, k * n, 0.0f, blast_c, 0, n, m * n, b, &queue, NULL);
    } else if (r->dtype == TAPER_FLOAT64) {
        code = CLBlastDgemm(CLBlastLayoutRowMajor, t[ta], t[tb], m, n, k, 1.0, blast_a, 0, lda, blast_b, 0, ldb, 0.0,
                            blast_c, 0, n, &queue, NULL);
    } else {
        code = CLBlastSgemm(CLBlastLayoutRowMajor, t[ta], t[tb], m, n, k, 1.0f, blast_a, 0, lda, blast_b, 0, ldb, 0.0f,
                            blast_c, 0, n, &queue, NULL);
    }
    cl((cl_int)code, "CLBlast");
}
#endif

static void matmul_row(const char *name, int dtype, int64_t m, int64_t n, int64_t k, int64_t b, int ta, int tb) {
    if (strstr(name, only) == NULL) return;
    const size_t size = dtype == TAPER_FLOAT64 ? 8 : 4;
    if (dtype == TAPER_FLOAT64 && fma_peak_f64 == 0) return;
    const int64_t a_size[] = {b, ta ? k : m, ta ? m : k}, b_size[] = {b, tb ? n : k, tb ? k : n};
    const size_t skip = b > 1 ? 0 : 1;
    random_pair(x, a_size + skip, 3 - skip, dtype);
    random_pair(y, b_size + skip, 3 - skip, dtype);
    for (int who = 0; who < 2; who++) {
        taper_tensor *t = NULL;
        if (ta) {
            check(taper_transpose(x[who], -1, -2, &t));
            taper_tensor_free(x[who]);
            x[who] = t;
        }
        if (tb) {
            check(taper_transpose(y[who], -1, -2, &t));
            taper_tensor_free(y[who]);
            y[who] = t;
        }
    }
    const int64_t sizes[] = {m, n, k, b, ta, tb};
    row r = {name, 2.0 * (double)(b * m * n * k), 0, dtype, matmul, NULL, sizes};
#ifdef WITH_CLBLAST
    r.blast = blast_matmul;
    blast_a = buffer((size_t)(b * m * k) * size);
    blast_b = buffer((size_t)(b * k * n) * size);
    blast_c = buffer((size_t)(b * m * n) * size);
    taper_tensor *flat = NULL; /* the same numbers as Taper multiplies */
    void *host = malloc((size_t)(b * (m > n ? m : n) * k) * size);
    for (int i = 0; i < 2 && host != NULL; i++) {
        taper_tensor *t = i == 0 ? x[1] : y[1];
        const size_t bytes = (size_t)(b * (i == 0 ? m : n) * k) * size;
        if (i == 0 ? ta : tb) check(taper_transpose(t, -1, -2, &flat));
        check(taper_tensor_copy_to_host(flat != NULL ? flat : t, host, bytes));
        cl(clEnqueueWriteBuffer(queue, i == 0 ? blast_a : blast_b, CL_TRUE, 0, bytes, host, 0, NULL, NULL), "write");
        taper_tensor_free(flat);
        flat = NULL;
    }
    free(host);
#endif
    measure(&r);
#ifdef WITH_CLBLAST
    clReleaseMemObject(blast_a);
    clReleaseMemObject(blast_b);
    clReleaseMemObject(blast_c);
#endif
    (void)size;
    release();
}

/* ---- what memory limits ---------------------------------------------------------------------------------------- */

static void add(const row *r, int who) {
    taper_tensor *out = NULL;
    (void)r;
    check(taper_add(x[who], y[who], taper_scalar_i64(1), &out));
    taper_tensor_free(out);
}
static void add_inplace(const row *r, int who) {
    (void)r;
    check(taper_add_(x[who], y[who], taper_scalar_i64(1)));
}
static void exponential(const row *r, int who) {
    taper_tensor *out = NULL;
    (void)r;
    check(taper_exp(x[who], &out));
    taper_tensor_free(out);
}
static void contiguous(const row *r, int who) {
    taper_tensor *out = NULL;
    (void)r;
    check(taper_contiguous(x[who], &out));
    taper_tensor_free(out);
}
static void clone(const row *r, int who) {
    taper_tensor *out = NULL;
    (void)r;
    check(taper_clone(x[who], &out));
    taper_tensor_free(out);
}
static void sum(const row *r, int who) {
    taper_tensor *out = NULL;
    (void)r;
    check(taper_sum(x[who], TAPER_DTYPE_NONE, &out));
    taper_tensor_free(out);
}
static void sum_rows(const row *r, int who) {
    const int64_t dim = 1;
    taper_tensor *out = NULL;
    (void)r;
    check(taper_sum_dim(x[who], &dim, 1, false, TAPER_DTYPE_NONE, &out));
    taper_tensor_free(out);
}
static void sum_columns(const row *r, int who) {
    const int64_t dim = 0;
    taper_tensor *out = NULL;
    (void)r;
    check(taper_sum_dim(x[who], &dim, 1, false, TAPER_DTYPE_NONE, &out));
    taper_tensor_free(out);
}
static void argmax(const row *r, int who) {
    const int64_t dim = 1;
    taper_tensor *out = NULL;
    (void)r;
    check(taper_argmax(x[who], &dim, false, &out));
    taper_tensor_free(out);
}
static void softmax(const row *r, int who) {
    taper_tensor *out = NULL;
    (void)r;
    check(taper_softmax(x[who], 1, TAPER_DTYPE_NONE, &out));
    taper_tensor_free(out);
}
static void normal(const row *r, int who) {
    const int64_t size = 1000000;
    taper_tensor *out = NULL;
    (void)r;
    check(taper_randn(&size, 1, NULL, TAPER_FLOAT32, devices[who], &out));
    taper_tensor_free(out);
}

/* A row over one or two random matrices; transposed: bit 0 the first operand, bit 1 the second. */
static void memory_row(const char *name, void (*f)(const row *, int), double bytes, int64_t h, int64_t w, int64_t h2,
                       int64_t w2, int transposed) {
    if (strstr(name, only) == NULL) return;
    const int64_t first[] = {h, w}, second[] = {h2, w2};
    random_pair(x, first, 2, TAPER_FLOAT32);
    if (h2 > 0) random_pair(y, second, 2, TAPER_FLOAT32);
    for (int who = 0; who < 2; who++) {
        taper_tensor **t[] = {x, y};
        for (int i = 0; i < 2; i++) {
            taper_tensor *turned = NULL;
            if ((transposed >> i & 1) == 0) continue;
            check(taper_transpose(t[i][who], 0, 1, &turned));
            taper_tensor_free(t[i][who]);
            t[i][who] = turned;
        }
    }
    const row r = {name, 0, bytes, TAPER_FLOAT32, f, NULL, NULL};
    measure(&r);
    release();
}

/* ---- convolutions and the network ------------------------------------------------------------------------------ */

static void conv_forward(const row *r, int who) {
    const int64_t one[] = {1, 1}, padding[] = {0, 0};
    taper_tensor *out = NULL;
    (void)r;
    check(taper_conv2d(x[who], y[who], z[who], one, 2, padding, 2, one, 2, 1, &out));
    taper_tensor_free(out);
}

/* Forward and both gradients. */
static void conv_training(const row *r, int who) {
    const int64_t one[] = {1, 1}, padding[] = {0, 0};
    taper_tensor *out = NULL, *loss = NULL;
    (void)r;
    check(taper_conv2d(x[who], y[who], z[who], one, 2, padding, 2, one, 2, 1, &out));
    check(taper_sum(out, TAPER_DTYPE_NONE, &loss));
    check(taper_backward(&loss, 1, NULL, 0, false, false, NULL, 0));
    taper_tensor_free(out);
    taper_tensor_free(loss);
}

static void conv_row(const char *name, void (*f)(const row *, int), int passes, int64_t n, int64_t c, int64_t side,
                     int64_t o, int64_t k) {
    if (strstr(name, only) == NULL) return;
    const int64_t xs[] = {n, c, side, side}, ws[] = {o, c, k, k}, out = side - k + 1;
    random_pair(x, xs, 4, TAPER_FLOAT32);
    random_pair(y, ws, 4, TAPER_FLOAT32);
    random_pair(z, &o, 1, TAPER_FLOAT32);
    for (int who = 0; who < 2 && passes > 1; who++) {
        check(taper_tensor_set_requires_grad(x[who], true));
        check(taper_tensor_set_requires_grad(y[who], true));
        check(taper_tensor_set_requires_grad(z[who], true));
    }
    const row r = {name, 2.0 * passes * (double)(n * o * out * out * c * k * k), 0, TAPER_FLOAT32, f, NULL, NULL};
    measure(&r);
    release();
}

typedef struct {
    taper_module *net;
    taper_optimizer *optimizer;
} trainer;
static trainer trainers[2];

static void training_step(const row *r, int who) {
    taper_tensor *guess = NULL, *loss = NULL;
    (void)r;
    check(taper_optimizer_zero_grad(trainers[who].optimizer, true));
    check(taper_module_forward(trainers[who].net, &x[who], 1, &guess));
    check(taper_cross_entropy(guess, y[who], NULL, -100, "mean", 0.0, &loss));
    check(taper_backward(&loss, 1, NULL, 0, false, false, NULL, 0));
    check(taper_optimizer_step(trainers[who].optimizer));
    taper_tensor_free(guess);
    taper_tensor_free(loss);
}

static void inference(const row *r, int who) {
    taper_tensor *guess = NULL;
    (void)r;
    const bool before = taper_set_grad_mode(false);
    check(taper_module_forward(trainers[who].net, &x[who], 1, &guess));
    taper_set_grad_mode(before);
    taper_tensor_free(guess);
}

static taper_module *lenet(void) {
    const int64_t k[] = {3, 3}, window[] = {2, 2}, none[] = {0, 0}, one[] = {1, 1};
    taper_module *layers[12], *net = NULL;
    int n = 0;
    check(taper_nn_conv2d_new(1, 6, k, 2, NULL, &layers[n++]));
    check(taper_nn_relu_new(false, &layers[n++]));
    check(taper_nn_max_pool2d_new(window, 2, NULL, 0, none, 2, one, 2, false, &layers[n++]));
    check(taper_nn_conv2d_new(6, 16, k, 2, NULL, &layers[n++]));
    check(taper_nn_relu_new(false, &layers[n++]));
    check(taper_nn_max_pool2d_new(window, 2, NULL, 0, none, 2, one, 2, false, &layers[n++]));
    check(taper_nn_flatten_new(1, -1, &layers[n++]));
    check(taper_nn_linear_new(16 * 6 * 6, 120, true, &layers[n++]));
    check(taper_nn_relu_new(false, &layers[n++]));
    check(taper_nn_linear_new(120, 84, true, &layers[n++]));
    check(taper_nn_relu_new(false, &layers[n++]));
    check(taper_nn_linear_new(84, 10, true, &layers[n++]));
    check(taper_nn_sequential_new(layers, (size_t)n, &net));
    while (n > 0) taper_module_free(layers[--n]);
    return net;
}

static void network_row(const char *name, void (*f)(const row *, int), int64_t images, int adam) {
    if (strstr(name, only) == NULL) return;
    const int64_t size[] = {images, 1, 32, 32};
    random_pair(x, size, 4, TAPER_FLOAT32);
    check(taper_randint(10, &images, 1, NULL, TAPER_INT64, devices[1], &y[1]));
    check(taper_to_device(y[1], devices[0], &y[0]));
    for (int who = 0; who < 2; who++) {
        taper_tensor_list *list = NULL;
        taper_adam_options options = TAPER_ADAM_OPTIONS_INIT;
        taper_sgd_options sgd = TAPER_SGD_OPTIONS_INIT;
        trainers[who].net = lenet();
        check(taper_module_to(trainers[who].net, TAPER_DTYPE_NONE, devices[who]));
        check(taper_module_parameters(trainers[who].net, &list));
        check(adam ? taper_optim_adam_new_from_list(list, &options, &trainers[who].optimizer)
                   : taper_optim_sgd_new_from_list(list, &sgd, &trainers[who].optimizer));
        taper_tensor_list_free(list);
    }
    const row r = {name, 0, 0, TAPER_FLOAT32, f, NULL, NULL};
    measure(&r);
    for (int who = 0; who < 2; who++) {
        taper_optimizer_free(trainers[who].optimizer);
        taper_module_free(trainers[who].net);
    }
    release();
}

/* ---- the host's share ------------------------------------------------------------------------------------------ */

/* Time for the host to queue one small op, and until the device has done it, in a batch of many. */
static void overhead_row(const char *name, void (*f)(const row *, int), int64_t h, int64_t w, int64_t h2, int64_t w2) {
    if (strstr(name, only) == NULL) return;
    enum { CALLS = 400 };
    const int64_t first[] = {h, w}, second[] = {h2, w2};
    const row r = {name, 0, 0, TAPER_FLOAT32, f, NULL, NULL};
    random_pair(x, first, 2, TAPER_FLOAT32);
    random_pair(y, second, 2, TAPER_FLOAT32);
    double queued = 1, done = 1, cpu = 1;
    batch(&r, TAPER_ON_DEVICE, 20);
    for (int i = 0; i < 3 * rounds; i++) {
        const double begin = now();
        for (int c = 0; c < CALLS; c++) call(&r, TAPER_ON_DEVICE);
        const double middle = now();
        synchronize(TAPER_ON_DEVICE);
        const double end = now(), other = batch(&r, TAPER_ON_CPU, CALLS);
        if ((middle - begin) / CALLS < queued) queued = (middle - begin) / CALLS;
        if ((end - begin) / CALLS < done) done = (end - begin) / CALLS;
        if (other < cpu) cpu = other;
    }
    printf("| %-46s | %6.0f ns | %6.0f ns | %6.0f ns |\n", name, queued * 1e9, done * 1e9, cpu * 1e9);
    release();
}

/* ---------------------------------------------------------------------------------------------------------------- */

int main(int argc, char **argv) {
    int index = 0, blast_default = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--device") == 0) index = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--only") == 0) only = argv[i + 1];
        else if (strcmp(argv[i], "--rounds") == 0) rounds = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--seconds") == 0) seconds = atof(argv[i + 1]);
        else if (strcmp(argv[i], "--clblast") == 0) blast_default = strcmp(argv[i + 1], "default") == 0;
        else argc = 0;
    }
    if (argc % 2 == 0) {
        fprintf(stderr, "options: --device N, --only TEXT, --rounds N, --seconds S, --clblast default|tuned\n");
        return 2;
    }
    open_device(index);
    measure_peaks();
#ifdef WITH_CLBLAST
    if (!blast_default) tune_blast(argc, argv);
#else
    (void)blast_default;
#endif
    devices[0] = TAPER_OPENCL(index);
    devices[1] = TAPER_CPU;
    taper_manual_seed(0);
    printf("\n| %-46s | Taper    | rate           | of peak | CLBlast  | CLBlast | CPU      | CPU     |\n", "workload");
    printf("| %-46s |          |                |         |          | / Taper | backend  | / Taper |\n", "");
    printf("|%.48s|----------|----------------|---------|----------|---------|----------|---------|\n",
           "------------------------------------------------------------");
    const int f32 = TAPER_FLOAT32, f64 = TAPER_FLOAT64;
    matmul_row("matmul 64", f32, 64, 64, 64, 1, 0, 0);
    matmul_row("matmul 128", f32, 128, 128, 128, 1, 0, 0);
    matmul_row("matmul 256", f32, 256, 256, 256, 1, 0, 0);
    matmul_row("matmul 512", f32, 512, 512, 512, 1, 0, 0);
    matmul_row("matmul 1024", f32, 1024, 1024, 1024, 1, 0, 0);
    matmul_row("matmul 2048", f32, 2048, 2048, 2048, 1, 0, 0);
    matmul_row("matmul 512, first transposed", f32, 512, 512, 512, 1, 1, 0);
    matmul_row("matmul 512, second transposed", f32, 512, 512, 512, 1, 0, 1);
    matmul_row("matmul 1024, first transposed", f32, 1024, 1024, 1024, 1, 1, 0);
    matmul_row("matmul 1024, second transposed", f32, 1024, 1024, 1024, 1, 0, 1);
    matmul_row("matmul 64x576 @ 576x120", f32, 64, 120, 576, 1, 0, 1);
    matmul_row("matmul 1000x700 @ 700x900", f32, 1000, 900, 700, 1, 0, 0);
    matmul_row("matmul 32 x (128x128), batched", f32, 128, 128, 128, 32, 0, 0);
    matmul_row("matmul 512, float64", f64, 512, 512, 512, 1, 0, 0);
    matmul_row("matmul 1024, float64", f64, 1024, 1024, 1024, 1, 0, 0);

    const double mega = 1e6;
    memory_row("copy, 10,000,000 elements", clone, 80 * mega, 10000, 1000, 0, 0, 0);
    memory_row("add, 100,000 elements", add, 1.2 * mega, 100, 1000, 100, 1000, 0);
    memory_row("add, 1,000,000 elements", add, 12 * mega, 1000, 1000, 1000, 1000, 0);
    memory_row("add, 10,000,000 elements", add, 120 * mega, 10000, 1000, 10000, 1000, 0);
    memory_row("add in place, 10,000,000 elements", add_inplace, 120 * mega, 10000, 1000, 10000, 1000, 0);
    memory_row("add a row to 4,000x1,000", add, 32 * mega, 4000, 1000, 1, 1000, 0);
    memory_row("add a column to 4,000x1,000", add, 32 * mega, 4000, 1000, 4000, 1, 0);
    memory_row("add 2,000x2,000 to its transpose", add, 48 * mega, 2000, 2000, 2000, 2000, 2);
    memory_row("copy of a transposed 2,000x2,000", contiguous, 32 * mega, 2000, 2000, 0, 0, 1);
    memory_row("exp, 1,000,000 elements", exponential, 8 * mega, 1000, 1000, 0, 0, 0);
    memory_row("sum, 10,000,000 elements", sum, 40 * mega, 10000, 1000, 0, 0, 0);
    memory_row("sum over rows, 2,000x2,000", sum_rows, 16 * mega, 2000, 2000, 0, 0, 0);
    memory_row("sum over columns, 2,000x2,000", sum_columns, 16 * mega, 2000, 2000, 0, 0, 0);
    memory_row("argmax over rows, 2,000x2,000", argmax, 16 * mega, 2000, 2000, 0, 0, 0);
    memory_row("softmax, 1,024x1,000", softmax, 8.192 * mega, 1024, 1000, 0, 0, 0);
    memory_row("randn, 1,000,000 numbers", normal, 4 * mega, 1, 1, 0, 0, 0);

    conv_row("conv 64x1x32x32, 6 kernels 3x3", conv_forward, 1, 64, 1, 32, 6, 3);
    conv_row("conv 64x6x15x15, 16 kernels 3x3", conv_forward, 1, 64, 6, 15, 16, 3);
    conv_row("conv 16x16x32x32, 32 kernels 3x3", conv_forward, 1, 16, 16, 32, 32, 3);
    conv_row("conv 64x1x32x32 with gradients", conv_training, 3, 64, 1, 32, 6, 3);
    conv_row("conv 64x6x15x15 with gradients", conv_training, 3, 64, 6, 15, 16, 3);
    conv_row("conv 16x16x32x32 with gradients", conv_training, 3, 16, 16, 32, 32, 3);
    network_row("LeNet training step, batch 64, Adam", training_step, 64, 1);
    network_row("LeNet training step, batch 64, SGD", training_step, 64, 0);
    network_row("LeNet inference, batch 256", inference, 256, 0);

    printf("\n| %-46s | queued    | done      | CPU       |\n", "small op, in batches of 400");
    printf("|%.48s|-----------|-----------|-----------|\n",
           "------------------------------------------------------------");
    overhead_row("2x2 add", add, 2, 2, 2, 2);
    overhead_row("2x2 add in place", add_inplace, 2, 2, 2, 2);
    overhead_row("2x2 exp", exponential, 2, 2, 2, 2);
    overhead_row("2x2 matmul", matmul, 2, 2, 2, 2);
    overhead_row("2x2 sum", sum, 2, 2, 2, 2);
    overhead_row("64x10 softmax", softmax, 64, 10, 2, 2);
    return 0;
}
