// The test double's libcuda: initialisation, devices, contexts, diagnostics.
#include "fake.h"

#include <dlfcn.h>
#include <unistd.h>

Counters &counters() {
    static Counters *c = new Counters;
    return *c;
}
std::recursive_mutex &big_lock() {
    static std::recursive_mutex *m = new std::recursive_mutex;
    return *m;
}

unsigned long env_number(const char *name, unsigned long otherwise) {
    const char *v = getenv(name);
    return v != nullptr && *v != 0 ? strtoul(v, nullptr, 0) : otherwise;
}

CUresult misuse(CUresult code, const char *format, ...) {
    counters().misuses++;
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "fakecuda: MISUSE: %s\n", text);
    fflush(stderr);
    if (env_number("FAKECUDA_STRICT", 0) != 0) abort();
    return code;
}

// --- initialisation --------------------------------------------------------------------------------------------------

static bool initialised;

int device_count() { return (int)env_number("FAKECUDA_DEVICES", 1); }

// FAKECUDA_REPORT=FILE: one line is added at exit. FAKECUDA_LEAKS=1: what was not freed is listed.
void on_exit_report() {
    Lock lock(big_lock());
    memory_report(env_number("FAKECUDA_LEAKS", 0) != 0);
    const char *path = getenv("FAKECUDA_REPORT");
    if (path == nullptr || *path == 0) return;
    FILE *f = fopen(path, "a");
    if (f == nullptr) return;
    Counters &c = counters();
    fprintf(f, "launches %lu library-calls %lu copies %lu allocations %lu graph-launches %lu modules %lu misuses %lu\n",
            c.launches.load(), c.libraries.load(), c.copies.load(), c.allocations.load(), c.graphs.load(),
            c.modules.load(), c.misuses.load());
    fclose(f);
}

API CUresult cuInit(unsigned flags) {
    Lock lock(big_lock());
    if (flags != 0) return misuse(CUDA_ERROR_INVALID_VALUE, "cuInit: flags are %u", flags);
    if (device_count() == 0) return CUDA_ERROR_NO_DEVICE;
    if (!initialised) {
        initialised = true;
        if (env_number("FAKECUDA_QUIET", 0) == 0)
            fprintf(stderr, "fakecuda: a test double of CUDA runs the kernels on the CPU; this says nothing about a GPU\n");
        atexit(on_exit_report);
    }
    return CUDA_SUCCESS;
}

API CUresult cuDriverGetVersion(int *version) {
    if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *version = (int)env_number("FAKECUDA_DRIVER", 13000);
    return CUDA_SUCCESS;
}

static const struct {
    CUresult code;
    const char *name, *text;
} ERRORS[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CUDA_ERROR_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"},
    {CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "capture was not ended in the same stream as it began"},
    {CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED", "capturing stream has unjoined work"},
    {CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION", "dependency created on uncaptured work in another stream"},
    {CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT", "operation would make the legacy stream depend on a capturing blocking stream"},
    {CUDA_ERROR_CAPTURED_EVENT, "CUDA_ERROR_CAPTURED_EVENT", "operation not permitted on an event last recorded in a capturing stream"},
    {CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD", "attempt to terminate a thread-local capture sequence from another thread"},
    {CUDA_ERROR_UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"},
};
API CUresult cuGetErrorName(CUresult code, const char **out) {
    for (auto &e : ERRORS)
        if (e.code == code) return *out = e.name, CUDA_SUCCESS;
    *out = nullptr;
    return CUDA_ERROR_INVALID_VALUE;
}
API CUresult cuGetErrorString(CUresult code, const char **out) {
    for (auto &e : ERRORS)
        if (e.code == code) return *out = e.text, CUDA_SUCCESS;
    *out = nullptr;
    return CUDA_ERROR_INVALID_VALUE;
}

// --- devices ---------------------------------------------------------------------------------------------------------

static CUresult check_device(CUdevice d) {
    if (!initialised) return CUDA_ERROR_NOT_INITIALIZED;
    return d >= 0 && d < device_count() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}
API CUresult cuDeviceGetCount(int *n) {
    if (!initialised) return CUDA_ERROR_NOT_INITIALIZED;
    *n = device_count();
    return CUDA_SUCCESS;
}
API CUresult cuDeviceGet(CUdevice *d, int ordinal) {
    CUresult r = check_device(ordinal);
    if (r == CUDA_SUCCESS) *d = ordinal;
    return r;
}
API CUresult cuDeviceGetName(char *name, int len, CUdevice d) {
    CUresult r = check_device(d);
    if (r != CUDA_SUCCESS) return r;
    snprintf(name, (size_t)len, "Fake CUDA device (test double, not a GPU)");
    return CUDA_SUCCESS;
}
static CUresult uuid(CUuuid *u, CUdevice d) {
    CUresult r = check_device(d);
    if (r != CUDA_SUCCESS) return r;
    memset(u, 0, sizeof *u);
    memcpy(u, "FAKECUDA", 8);
    ((char *)u)[15] = (char)d;
    return CUDA_SUCCESS;
}
API CUresult cuDeviceGetUuid_v2(CUuuid *u, CUdevice d) { return uuid(u, d); }
#ifndef REAL_CUDA_H
API CUresult cuDeviceGetUuid(CUuuid *u, CUdevice d) { return uuid(u, d); }
#endif
API CUresult cuDeviceTotalMem_v2(size_t *n, CUdevice d) {
    CUresult r = check_device(d);
    if (r == CUDA_SUCCESS) *n = env_number("FAKECUDA_MEMORY", 8ul << 30);
    return r;
}
API CUresult cuDeviceGetAttribute(int *v, CUdevice_attribute a, CUdevice d) {
    CUresult r = check_device(d);
    if (r != CUDA_SUCCESS) return r;
    unsigned long arch = env_number("FAKECUDA_ARCH", 90);
    switch ((int)a) {
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *v = 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X: *v = 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y: *v = 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z: *v = 64; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X: *v = 2147483647; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y: *v = 65535; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z: *v = 65535; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *v = 49152; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *v = 232448; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR: *v = 233472; break;
    case CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK: *v = 1024; break;
    case CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY: *v = 65536; break;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *v = 32; break;
    case CU_DEVICE_ATTRIBUTE_MAX_PITCH: *v = 2147483647; break;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK:
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR: *v = 65536; break;
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE: *v = 1000000; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *v = (int)env_number("FAKECUDA_SMS", 4); break;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR: *v = 2048; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR: *v = 32; break;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE: *v = 50 << 20; break;
    case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE: *v = 1000000; break;
    case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH: *v = 512; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *v = (int)(arch / 10); break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *v = (int)(arch % 10); break;
    case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY:
    case CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS:
    case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
    case CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED: *v = 1; break;
    case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED: *v = env_number("FAKECUDA_NO_POOLS", 0) == 0; break;
    case CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT: *v = 2; break;
    case CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID: *v = d; break;
    default: *v = 0;
    }
    return CUDA_SUCCESS;
}
API CUresult cuDeviceCanAccessPeer(int *can, CUdevice, CUdevice) {
    *can = 0;
    return CUDA_SUCCESS;
}

// --- contexts --------------------------------------------------------------------------------------------------------

struct Context {
    int device;
    unsigned references;
    bool primary;
    CUresult sticky;
};
static std::map<int, Context *> primaries;
static std::set<Context *> contexts;
static thread_local std::vector<Context *> current;

static Context *context_of(CUcontext c) {
    Context *p = (Context *)c;
    return contexts.count(p) ? p : nullptr;
}
static Context *top() { return current.empty() ? nullptr : current.back(); }

int current_device() {
    Context *c = top();
    return c != nullptr && contexts.count(c) && c->references > 0 ? c->device : -1;
}
CUresult sticky() {
    Context *c = top();
    return c == nullptr ? CUDA_SUCCESS : c->sticky;
}
void set_sticky(CUresult code) {
    Context *c = top();
    if (c == nullptr && !primaries.empty()) c = primaries.begin()->second;
    if (c != nullptr && c->sticky == CUDA_SUCCESS) c->sticky = code;
}
CUresult need_context(const char *who) {
    if (!initialised) return misuse(CUDA_ERROR_NOT_INITIALIZED, "%s before cuInit", who);
    if (current_device() < 0) return misuse(CUDA_ERROR_INVALID_CONTEXT, "%s: this thread has no current context", who);
    return sticky();
}

API CUresult cuDevicePrimaryCtxRetain(CUcontext *out, CUdevice d) {
    Lock lock(big_lock());
    CUresult r = check_device(d);
    if (r != CUDA_SUCCESS) return r;
    Context *&c = primaries[d];
    if (c == nullptr) {
        c = new Context{d, 0, true, CUDA_SUCCESS};
        contexts.insert(c);
    }
    c->references++;
    *out = (CUcontext)c;
    return CUDA_SUCCESS;
}
API CUresult cuDevicePrimaryCtxRelease_v2(CUdevice d) {
    Lock lock(big_lock());
    CUresult r = check_device(d);
    if (r != CUDA_SUCCESS) return r;
    Context *c = primaries[d];
    if (c == nullptr || c->references == 0) return misuse(CUDA_ERROR_INVALID_CONTEXT, "the primary context is released more often than retained");
    drain_everything();
    c->references--;
    return CUDA_SUCCESS;
}
API CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice d, unsigned) { return check_device(d); }
API CUresult cuDevicePrimaryCtxGetState(CUdevice d, unsigned *flags, int *active) {
    CUresult r = check_device(d);
    if (r != CUDA_SUCCESS) return r;
    *flags = 0;
    *active = primaries[d] != nullptr && primaries[d]->references > 0;
    return CUDA_SUCCESS;
}
API CUresult cuCtxSetCurrent(CUcontext c) {
    Lock lock(big_lock());
    if (!initialised) return CUDA_ERROR_NOT_INITIALIZED;
    if (c == nullptr) {
        if (!current.empty()) current.pop_back();
        return CUDA_SUCCESS;
    }
    Context *p = context_of(c);
    if (p == nullptr) return misuse(CUDA_ERROR_INVALID_CONTEXT, "cuCtxSetCurrent of something that is no context");
    if (current.empty()) current.push_back(p);
    else current.back() = p;
    return CUDA_SUCCESS;
}
API CUresult cuCtxGetCurrent(CUcontext *c) {
    if (!initialised) return CUDA_ERROR_NOT_INITIALIZED;
    *c = (CUcontext)top();
    return CUDA_SUCCESS;
}
API CUresult cuCtxPushCurrent_v2(CUcontext c) {
    Lock lock(big_lock());
    Context *p = context_of(c);
    if (p == nullptr) return misuse(CUDA_ERROR_INVALID_CONTEXT, "cuCtxPushCurrent of something that is no context");
    current.push_back(p);
    return CUDA_SUCCESS;
}
API CUresult cuCtxPopCurrent_v2(CUcontext *c) {
    if (current.empty()) return misuse(CUDA_ERROR_INVALID_CONTEXT, "cuCtxPopCurrent without a current context");
    if (c != nullptr) *c = (CUcontext)current.back();
    current.pop_back();
    return CUDA_SUCCESS;
}
API CUresult cuCtxGetDevice(CUdevice *d) {
    CUresult r = need_context("cuCtxGetDevice");
    if (r == CUDA_SUCCESS) *d = current_device();
    return r;
}
API CUresult cuCtxGetApiVersion(CUcontext, unsigned *v) {
    *v = 13000;
    return CUDA_SUCCESS;
}
API CUresult cuCtxSynchronize(void) {
    Lock lock(big_lock());
    CUresult r = need_context("cuCtxSynchronize");
    if (r != CUDA_SUCCESS) return r;
    if ((r = check_unsafe("cuCtxSynchronize")) != CUDA_SUCCESS) return r;
    return drain_everything();
}
API CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest) {
    if (least != nullptr) *least = 0;
    if (greatest != nullptr) *greatest = -5;
    return CUDA_SUCCESS;
}
API CUresult cuCtxSetFlags(unsigned) { return need_context("cuCtxSetFlags"); }
API CUresult cuCtxSetLimit(CUlimit, size_t) { return need_context("cuCtxSetLimit"); }
API CUresult cuCtxGetLimit(size_t *v, CUlimit) {
    *v = 1024;
    return need_context("cuCtxGetLimit");
}
API CUresult cuCtxSetCacheConfig(CUfunc_cache) { return need_context("cuCtxSetCacheConfig"); }

// --- looking up functions --------------------------------------------------------------------------------------------

API CUresult cuGetExportTable(const void **table, const CUuuid *) {
    if (table != nullptr) *table = nullptr;
    return CUDA_ERROR_NOT_FOUND;
}
static void *symbol(const char *name) {
    Dl_info info;
    static void *self = dladdr((void *)&cuInit, &info) ? dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD) : nullptr;
    for (const char *suffix : {"_v4", "_v3", "_v2", ""})
        if (void *f = dlsym(self, (std::string(name) + suffix).c_str())) return f;
    return nullptr;
}
API CUresult cuGetProcAddress_v2(const char *name, void **f, int, cuuint64_t, CUdriverProcAddressQueryResult *status) {
    *f = symbol(name);
    if (status != nullptr) *status = *f ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    return *f ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

// The double's own: how many kernels and library calls have run.
API unsigned long fakecuda_launches(void) { return counters().launches.load() + counters().libraries.load(); }
API unsigned long fakecuda_misuses(void) { return counters().misuses.load(); }
