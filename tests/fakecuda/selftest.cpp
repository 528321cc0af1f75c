// Tests of the test double: that it does what a driver does, and that it notices what it is there to notice.
// Each case runs in a child process, whose misuse messages are compared with what the case expects.
#include "cuda_types.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

extern "C" {
CUresult cuInit(unsigned);
CUresult cuDeviceGetCount(int *);
CUresult cuDevicePrimaryCtxRetain(CUcontext *, CUdevice);
CUresult cuCtxSetCurrent(CUcontext);
CUresult cuCtxSynchronize(void);
CUresult cuMemAlloc_v2(CUdeviceptr *, size_t);
CUresult cuMemFree_v2(CUdeviceptr);
CUresult cuMemAllocAsync(CUdeviceptr *, size_t, CUstream);
CUresult cuMemFreeAsync(CUdeviceptr, CUstream);
CUresult cuMemHostAlloc(void **, size_t, unsigned);
CUresult cuMemcpyHtoD_v2(CUdeviceptr, const void *, size_t);
CUresult cuMemcpyDtoH_v2(void *, CUdeviceptr, size_t);
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr, const void *, size_t, CUstream);
CUresult cuMemcpyDtoHAsync_v2(void *, CUdeviceptr, size_t, CUstream);
CUresult cuMemsetD8Async(CUdeviceptr, unsigned char, size_t, CUstream);
CUresult cuStreamCreate(CUstream *, unsigned);
CUresult cuStreamDestroy_v2(CUstream);
CUresult cuStreamSynchronize(CUstream);
CUresult cuStreamWaitEvent(CUstream, CUevent, unsigned);
CUresult cuStreamBeginCapture_v2(CUstream, CUstreamCaptureMode);
CUresult cuStreamEndCapture(CUstream, CUgraph *);
CUresult cuEventCreate(CUevent *, unsigned);
CUresult cuEventRecord(CUevent, CUstream);
CUresult cuEventSynchronize(CUevent);
CUresult cuGraphInstantiateWithFlags(CUgraphExec *, CUgraph, unsigned long long);
CUresult cuGraphLaunch(CUgraphExec, CUstream);
CUresult cuModuleLoadData(CUmodule *, const void *);
CUresult cuModuleGetFunction(CUfunction *, CUmodule, const char *);
CUresult cuLaunchKernel(CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream, void **, void **);
CUresult cuGetErrorName(CUresult, const char **);
CUresult cuGetProcAddress_v2(const char *, void **, int, cuuint64_t, CUdriverProcAddressQueryResult *);
unsigned long fakecuda_launches(void);
int nvrtcCreateProgram(void **, const char *, const char *, int, const char *const *, const char *const *);
int nvrtcCompileProgram(void *, int, const char *const *);
int nvrtcGetCUBINSize(void *, size_t *);
int nvrtcGetCUBIN(void *, char *);
int nvrtcGetProgramLogSize(void *, size_t *);
int nvrtcGetProgramLog(void *, char *);
int cublasCreate_v2(void **);
int cublasSetStream_v2(void *, CUstream);
int cublasGemmStridedBatchedEx(void *, int, int, int, int, int, const void *, const void *, int, int, long long, const void *, int, int, long long,
                               const void *, void *, int, int, long long, int, int, int);
}

static const char *HEAD = "#ifdef HOST_PRELUDE\n#include HOST_PRELUDE\n#else\n#error no prelude\n#endif\n";

#define CHECK(condition)                                                      \
    do {                                                                      \
        if (!(condition)) {                                                   \
            fprintf(stderr, "line %d: %s is false\n", __LINE__, #condition);  \
            exit(1);                                                          \
        }                                                                     \
    } while (0)
static void ok(CUresult r, int line) {
    if (r == CUDA_SUCCESS) return;
    const char *name = "?";
    cuGetErrorName(r, &name);
    fprintf(stderr, "line %d: %s\n", line, name);
    exit(1);
}
#define OK(call) ok(call, __LINE__)

static void start() {
    OK(cuInit(0));
    CUcontext c;
    OK(cuDevicePrimaryCtxRetain(&c, 0));
    OK(cuCtxSetCurrent(c));
}
static int compile(const std::string &body, std::vector<char> *cubin, std::string *log, const char *arch = "--gpu-architecture=sm_90") {
    void *p;
    std::string source = HEAD + body;
    CHECK(nvrtcCreateProgram(&p, source.c_str(), "test.cu", 0, nullptr, nullptr) == 0);
    const char *options[] = {arch, "--fmad=false"};
    int status = nvrtcCompileProgram(p, 2, options);
    size_t n;
    nvrtcGetProgramLogSize(p, &n);
    log->resize(n);
    nvrtcGetProgramLog(p, &(*log)[0]);
    if (status == 0) {
        CHECK(nvrtcGetCUBINSize(p, &n) == 0);
        cubin->resize(n);
        CHECK(nvrtcGetCUBIN(p, cubin->data()) == 0);
    }
    return status;
}
static CUfunction function(const std::string &body, const char *name) {
    std::vector<char> cubin;
    std::string log;
    if (compile(body, &cubin, &log) != 0) {
        fprintf(stderr, "%s\n", log.c_str());
        exit(1);
    }
    CUmodule m;
    CUfunction f;
    OK(cuModuleLoadData(&m, cubin.data()));
    OK(cuModuleGetFunction(&f, m, name));
    return f;
}
static CUresult launch(CUfunction f, unsigned grid, unsigned block, CUstream s, std::vector<void *> args) {
    return cuLaunchKernel(f, grid, 1, 1, block, 1, 1, 0, s, args.data(), nullptr);
}
static CUdeviceptr device(const std::vector<float> &v) {
    CUdeviceptr p;
    OK(cuMemAlloc_v2(&p, v.size() * 4));
    OK(cuMemcpyHtoD_v2(p, v.data(), v.size() * 4));
    return p;
}
static std::vector<float> host(CUdeviceptr p, size_t n) {
    std::vector<float> v(n);
    OK(cuMemcpyDtoH_v2(v.data(), p, n * 4));
    return v;
}
static const char *ADD = "KERNEL void add(GLOBAL const f32 *a, GLOBAL f32 *b, const f32 s, const i64 n) {\n"
                         "    const i64 i = (i64)GID(0);\n    if (i < n) b[i] = b[i] + a[i] * s;\n}\n";
static const char *SUM = "KERNEL WG_HINT(64) void sum(GLOBAL const f32 *a, GLOBAL f32 *b, const i64 n) {\n"
                         "    LOCAL f32 part[64];\n    const u32 l = LID(0);\n    f32 s = 0;\n"
                         "    for (i64 i = l; i < n; i += 64) s += a[i];\n    part[l] = s;\n    BARRIER();\n"
                         "    for (u32 gap = 32; gap > 0; gap >>= 1) {\n        if (l < gap) part[l] += part[l + gap];\n        BARRIER();\n    }\n"
                         "    if (l == 0) b[GRP(0)] = part[0];\n}\n";

struct Case {
    const char *name;
    std::function<void()> run;
    const char *message; // part of the misuse that must be reported; null: none may be
};

static const Case CASES[] = {
    {"kernels with and without barriers", [] {
         start();
         CUfunction add = function(ADD, "add"), sum = function(SUM, "sum");
         std::vector<float> a(1000), b(1000, 1.0f);
         for (int i = 0; i < 1000; i++) a[i] = (float)i;
         CUdeviceptr da = device(a), db = device(b), total = device({0, 0});
         float s = 2;
         long n = 1000;
         OK(launch(add, 4, 256, nullptr, {&da, &db, &s, &n}));
         OK(launch(sum, 2, 64, nullptr, {&da, &total, &n}));
         CHECK(host(db, 1000)[999] == 1999.0f);
         CHECK(host(total, 2)[0] == 499500.0f && host(total, 2)[1] == 499500.0f);
         CHECK(fakecuda_launches() == 2);
     }, nullptr},
    {"work waits for the synchronisation, and nothing else", [] {
         start();
         CUstream s;
         OK(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
         float *pinned;
         OK(cuMemHostAlloc((void **)&pinned, 4, 0));
         CUdeviceptr p = device({5});
         OK(cuMemcpyDtoHAsync_v2(pinned, p, 4, s));
         CHECK(*pinned != 5.0f);
         CUevent e;
         OK(cuEventCreate(&e, 0));
         OK(cuEventRecord(e, s));
         OK(cuEventSynchronize(e));
         CHECK(*pinned == 5.0f);
         // Pinned memory is read when the copy runs.
         *pinned = 1;
         OK(cuMemcpyHtoDAsync_v2(p, pinned, 4, s));
         *pinned = 2;
         OK(cuStreamSynchronize(s));
         CHECK(host(p, 1)[0] == 2.0f);
         // Pageable memory is copied at the call.
         float plain = 3;
         OK(cuMemcpyHtoDAsync_v2(p, &plain, 4, s));
         plain = 4;
         OK(cuStreamSynchronize(s));
         CHECK(host(p, 1)[0] == 3.0f);
     }, nullptr},
    {"streams wait for events of others", [] {
         start();
         CUstream a, b;
         OK(cuStreamCreate(&a, CU_STREAM_NON_BLOCKING));
         OK(cuStreamCreate(&b, CU_STREAM_NON_BLOCKING));
         CUevent e;
         OK(cuEventCreate(&e, CU_EVENT_DISABLE_TIMING));
         CUdeviceptr p = device({0}), q = device({0});
         CUfunction add = function(ADD, "add");
         float one = 1;
         long n = 1;
         CUdeviceptr ones = device({1});
         OK(launch(add, 1, 1, a, {&ones, &p, &one, &n}));
         OK(cuEventRecord(e, a));
         OK(cuStreamWaitEvent(b, e, 0));
         OK(launch(add, 1, 1, b, {&p, &q, &one, &n}));
         OK(cuStreamSynchronize(b));
         CHECK(host(q, 1)[0] == 1.0f);
     }, nullptr},
    {"a captured graph replays", [] {
         start();
         CUstream s, t;
         OK(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
         OK(cuStreamCreate(&t, CU_STREAM_NON_BLOCKING));
         CUfunction add = function(ADD, "add");
         CUdeviceptr ones = device({1}), p = device({0});
         float one = 1;
         long n = 1;
         CUevent fork, join;
         OK(cuEventCreate(&fork, 0));
         OK(cuEventCreate(&join, 0));
         OK(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
         OK(launch(add, 1, 1, s, {&ones, &p, &one, &n}));
         OK(cuEventRecord(fork, s));
         OK(cuStreamWaitEvent(t, fork, 0));
         OK(launch(add, 1, 1, t, {&ones, &p, &one, &n}));
         OK(cuEventRecord(join, t));
         OK(cuStreamWaitEvent(s, join, 0));
         CUgraph g;
         OK(cuStreamEndCapture(s, &g));
         CUgraphExec e;
         OK(cuGraphInstantiateWithFlags(&e, g, 0));
         OK(cuCtxSynchronize());
         CHECK(host(p, 1)[0] == 0.0f);
         for (int i = 0; i < 3; i++) OK(cuGraphLaunch(e, s));
         OK(cuStreamSynchronize(s));
         CHECK(host(p, 1)[0] == 6.0f);
     }, nullptr},
    {"compile errors have a log, other architectures are refused", [] {
         start();
         std::vector<char> cubin;
         std::string log;
         CHECK(compile("KERNEL void broken(GLOBAL f32 *a) { a[0] = unknown; }\n", &cubin, &log) == 6);
         CHECK(log.find("unknown") != std::string::npos);
         CHECK(compile(ADD, &cubin, &log, "--gpu-architecture=sm_80") == 0);
         CUmodule m;
         CHECK(cuModuleLoadData(&m, cubin.data()) == CUDA_ERROR_NO_BINARY_FOR_GPU);
         CHECK(compile(ADD, &cubin, &log) == 0);
         cubin[cubin.size() / 2] ^= 1;
         CHECK(cuModuleLoadData(&m, cubin.data()) == CUDA_ERROR_INVALID_IMAGE);
         CHECK(compile(ADD, &cubin, &log, "--gpu-architecture=ninety") == 5);
     }, nullptr},
    {"products of matrices", [] {
         start();
         void *h;
         CHECK(cublasCreate_v2(&h) == 0);
         // Column-major 2x3 and 3x2.
         CUdeviceptr a = device({1, 4, 2, 5, 3, 6}), b = device({1, 2, 3, 4, 5, 6}), c = device({1, 1, 1, 1});
         float alpha = 1, beta = 1;
         CHECK(cublasGemmStridedBatchedEx(h, 0, 0, 2, 2, 3, &alpha, (void *)a, 0, 2, 6, (void *)b, 0, 3, 6, &beta, (void *)c, 0, 2, 4, 1, 68, -1) == 0);
         CHECK((host(c, 4) == std::vector<float>{15, 33, 33, 78}));
         // The same operands seen as transposed ones.
         beta = 0;
         CHECK(cublasGemmStridedBatchedEx(h, 1, 1, 3, 3, 2, &alpha, (void *)a, 0, 2, 6, (void *)b, 0, 3, 6, &beta, (void *)device(std::vector<float>(9)), 0, 3, 9, 1, 68, -1) == 0);
         OK(cuCtxSynchronize());
     }, nullptr},
    {"functions can be looked up", [] {
         start();
         void *f = nullptr;
         OK(cuGetProcAddress_v2("cuMemAlloc", &f, 13000, 0, nullptr));
         CHECK(f == (void *)&cuMemAlloc_v2);
         CHECK(cuGetProcAddress_v2("cuNoSuchThing", &f, 13000, 0, nullptr) == CUDA_ERROR_NOT_FOUND);
     }, nullptr},
    {"a kernel that writes past the end", [] {
         start();
         CUfunction add = function(ADD, "add");
         CUdeviceptr a = device(std::vector<float>(11, 1.0f)), b = device(std::vector<float>(10));
         float s = 2;
         long n = 11;
         OK(launch(add, 1, 32, nullptr, {&a, &b, &s, &n}));
         CHECK(cuCtxSynchronize() == CUDA_ERROR_ILLEGAL_ADDRESS);
     }, "wrote outside an allocation of 40 bytes"},
    {"memory used after its free", [] {
         start();
         CUfunction add = function(ADD, "add");
         CUdeviceptr a = device({1}), b = device({1});
         float s = 2;
         long n = 1;
         OK(cuMemFree_v2(a));
         OK(launch(add, 1, 1, nullptr, {&a, &b, &s, &n}));
         CHECK(cuCtxSynchronize() == CUDA_ERROR_ILLEGAL_ADDRESS);
         // The fault stays.
         CHECK(cuMemAlloc_v2(&a, 4) == CUDA_ERROR_ILLEGAL_ADDRESS);
     }, "after it was freed"},
    {"stream-ordered memory used on a stream that does not wait", [] {
         start();
         CUstream a, b;
         OK(cuStreamCreate(&a, CU_STREAM_NON_BLOCKING));
         OK(cuStreamCreate(&b, CU_STREAM_NON_BLOCKING));
         CUdeviceptr p;
         OK(cuMemAllocAsync(&p, 64, a));
         OK(cuMemsetD8Async(p, 0, 64, b));
         CHECK(cuStreamSynchronize(b) != CUDA_SUCCESS);
     }, "before its allocation in stream order"},
    {"a pointer of the host", [] {
         start();
         CUfunction add = function(ADD, "add");
         float x = 1, s = 2;
         long n = 1;
         float *a = &x;
         CUdeviceptr b = device({1});
         OK(launch(add, 1, 1, nullptr, {&a, &b, &s, &n}));
         CHECK(cuCtxSynchronize() == CUDA_ERROR_ILLEGAL_ADDRESS);
     }, "no address of the device"},
    {"an empty grid", [] {
         start();
         CUfunction add = function(ADD, "add");
         CUdeviceptr b = device({1});
         float s = 2;
         long n = 1;
         CHECK(launch(add, 0, 1, nullptr, {&b, &b, &s, &n}) == CUDA_ERROR_INVALID_VALUE);
     }, "the grid is 0 x 1 x 1"},
    {"a block of the wrong size", [] {
         start();
         CUfunction sum = function(SUM, "sum");
         CUdeviceptr b = device({1});
         long n = 1;
         CHECK(launch(sum, 1, 32, nullptr, {&b, &b, &n}) == CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
     }, "made for 64 x 1"},
    {"a barrier that not all reach", [] {
         start();
         CUfunction f = function("KERNEL void half_way(GLOBAL f32 *a) {\n    if (LID(0) < 16) return;\n    BARRIER();\n    a[0] = 1;\n}\n", "half_way");
         CUdeviceptr a = device({1});
         OK(launch(f, 1, 32, nullptr, {&a}));
         CHECK(cuCtxSynchronize() == CUDA_ERROR_LAUNCH_FAILED);
     }, "meet at different barriers"},
    {"a copy past the end", [] {
         start();
         CUdeviceptr a = device({1});
         float x[2];
         CHECK(cuMemcpyDtoH_v2(x, a, 8) == CUDA_ERROR_INVALID_VALUE);
     }, "8 bytes at offset 0 of an allocation of 4 bytes"},
    {"a second free", [] {
         start();
         CUdeviceptr a = device({1});
         OK(cuMemFree_v2(a));
         CHECK(cuMemFree_v2(a) == CUDA_ERROR_INVALID_VALUE);
     }, "for the second time"},
    {"a destroyed stream", [] {
         start();
         CUstream s;
         OK(cuStreamCreate(&s, 0));
         OK(cuStreamDestroy_v2(s));
         CHECK(cuStreamSynchronize(s) == CUDA_ERROR_INVALID_HANDLE);
     }, "the stream does not exist"},
    {"an allocation inside a capture", [] {
         start();
         CUstream s;
         OK(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
         OK(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
         CUdeviceptr p;
         CHECK(cuMemAlloc_v2(&p, 4) == CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
         CUgraph g;
         CHECK(cuStreamEndCapture(s, &g) == CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
     }, "cuMemAlloc while a stream is captured"},
    {"a capture that is not joined", [] {
         start();
         CUstream s, t;
         OK(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
         OK(cuStreamCreate(&t, CU_STREAM_NON_BLOCKING));
         CUevent e;
         OK(cuEventCreate(&e, 0));
         CUdeviceptr p = device({1});
         OK(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
         OK(cuEventRecord(e, s));
         OK(cuStreamWaitEvent(t, e, 0));
         OK(cuMemsetD8Async(p, 0, 4, t));
         CUgraph g;
         CHECK(cuStreamEndCapture(s, &g) == CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
     }, "not joined"},
    {"a leak", [] {
         start();
         CUdeviceptr p;
         OK(cuMemAlloc_v2(&p, 44));
         setenv("FAKECUDA_LEAKS", "1", 1);
     }, "leak: 44 bytes"},
    {"no context", [] {
         OK(cuInit(0));
         CUdeviceptr p;
         CHECK(cuMemAlloc_v2(&p, 4) == CUDA_ERROR_INVALID_CONTEXT);
     }, "no current context"},
    {"a leading dimension that is too small", [] {
         start();
         void *h;
         CHECK(cublasCreate_v2(&h) == 0);
         CUdeviceptr a = device({1, 2, 3, 4});
         float alpha = 1, beta = 0;
         CHECK(cublasGemmStridedBatchedEx(h, 0, 0, 2, 2, 2, &alpha, (void *)a, 0, 1, 0, (void *)a, 0, 2, 0, &beta, (void *)a, 0, 2, 0, 1, 68, -1) != 0);
     }, "lda is 1"},
};

int main() {
    int failed = 0;
    for (const Case &c : CASES) {
        fflush(stdout);
        int ends[2];
        if (pipe(ends) != 0) return 2;
        pid_t pid = fork();
        if (pid == 0) {
            dup2(ends[1], 2);
            close(ends[0]);
            close(ends[1]);
            c.run();
            exit(0);
        }
        close(ends[1]);
        std::string text;
        char block[4096];
        for (ssize_t n; (n = read(ends[0], block, sizeof block)) > 0;) text.append(block, (size_t)n);
        close(ends[0]);
        int status;
        waitpid(pid, &status, 0);
        // AddressSanitizer ends the process where the double would have reported a write past the end.
        bool sanitizer = text.find("ERROR: AddressSanitizer") != std::string::npos;
        bool reported = text.find("MISUSE") != std::string::npos;
        bool expected = c.message != nullptr && (text.find(c.message) != std::string::npos || (sanitizer && strstr(c.message, "outside") != nullptr));
        bool good = c.message == nullptr ? !reported && status == 0 : expected && (status == 0 || sanitizer);
        printf("%s  %s\n", good ? "ok  " : "FAIL", c.name);
        if (!good) {
            printf("%s(status %d)\n", text.c_str(), status);
            failed++;
        }
    }
    printf("%zu cases, %d failed\n", sizeof CASES / sizeof CASES[0], failed);
    return failed != 0;
}
