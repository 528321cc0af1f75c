// The test double's libcuda: modules and launches. A kernel runs group by group, on the thread that carries the
// stream's work out.
#define HOST_RUNNER
#include "fake.h"
#include "fiber.h"
#include "module.h"

#include <dlfcn.h>
#include <unistd.h>

struct Function;
struct Module {
    void *library;
    const HostModule *info;
    unsigned arch;
    std::map<std::string, Function *> functions;
};
struct Function {
    Module *module;
    const HostKernel *kernel;
    unsigned dynamic_limit;
    bool unloaded;
};
static std::set<Module *> modules;
static std::set<Function *> functions;

#define ENTER(name)                                                  \
    Lock lock(big_lock());                                           \
    if (CUresult r_ = need_context(name); r_ != CUDA_SUCCESS) return r_

// --- modules ---------------------------------------------------------------------------------------------------------

static CUresult load_image(Module **out, const void *image) {
    std::vector<char> file;
    const char *text = (const char *)image;
    ImageHeader header;
    if (strncmp(text, "//FAKEPTX ", 10) == 0) {
        // The double's PTX names the file of an image.
        std::string path(text + 10, strcspn(text + 10, "\n"));
        FILE *f = fopen(path.c_str(), "rb");
        if (f == nullptr) return CUDA_ERROR_INVALID_IMAGE;
        char block[65536];
        for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;) file.insert(file.end(), block, block + n);
        fclose(f);
        image = file.data();
        if (file.size() < sizeof header) return CUDA_ERROR_INVALID_IMAGE;
    }
    if (strncmp((const char *)image, IMAGE_MAGIC, strlen(IMAGE_MAGIC)) != 0) return CUDA_ERROR_INVALID_IMAGE;
    memcpy(&header, image, sizeof header);
    const char *code = (const char *)image + sizeof header;
    // The real driver reads the size from the image as well.
    if (header.size > (64ul << 20) || hash_bytes(code, header.size) != header.hash) return CUDA_ERROR_INVALID_IMAGE;
    unsigned long arch = env_number("FAKECUDA_ARCH", 90);
    if (header.arch / 10 != arch / 10 || header.arch > arch) return CUDA_ERROR_NO_BINARY_FOR_GPU;
    // A file of its own name: the loader takes two files of one name for the same.
    const char *folder = getenv("TMPDIR");
    std::string path = std::string(folder != nullptr && *folder != 0 ? folder : "/tmp") + "/fakecuda-XXXXXX";
    int fd = mkstemp(&path[0]);
    if (fd < 0) return CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t done = 0; done < header.size;) {
        ssize_t n = write(fd, code + done, header.size - done);
        if (n <= 0) {
            close(fd);
            unlink(path.c_str());
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
        done += (size_t)n;
    }
    close(fd);
    void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    unlink(path.c_str());
    if (library == nullptr) return misuse(CUDA_ERROR_INVALID_IMAGE, "a module does not load: %s", dlerror());
    auto *info = (const HostModule *)dlsym(library, "host_module");
    if (info == nullptr || info->version != HOST_MODULE_VERSION) return CUDA_ERROR_INVALID_IMAGE;
    size_t local = (size_t)(info->local_end - info->local_begin);
    if (local > 49152) return misuse(CUDA_ERROR_INVALID_IMAGE, "the kernels of a module have %zu bytes of static group memory, more than 49152", local);
    auto *m = new Module{library, info, header.arch, {}};
    for (unsigned i = 0; i < info->count; i++) {
        auto *f = new Function{m, &info->kernels[i], 49152, false};
        m->functions[info->kernels[i].name] = f;
        functions.insert(f);
        unsigned long bytes = 0;
        for (unsigned k = 0; k < info->kernels[i].count; k++) bytes = (bytes + 7) / 8 * 8 + info->kernels[i].params[k].size;
        if (bytes > 32764)
            return misuse(CUDA_ERROR_INVALID_IMAGE, "kernel %s has %lu bytes of parameters, more than 32764", info->kernels[i].name, bytes);
    }
    modules.insert(m);
    counters().modules++;
    *out = m;
    return CUDA_SUCCESS;
}

API CUresult cuModuleLoadData(CUmodule *out, const void *image) {
    ENTER("cuModuleLoadData");
    if (CUresult r = check_unsafe("cuModuleLoadData"); r != CUDA_SUCCESS) return r;
    Module *m = nullptr;
    CUresult r = load_image(&m, image);
    *out = (CUmodule)m;
    return r;
}
API CUresult cuModuleLoadDataEx(CUmodule *out, const void *image, unsigned, CUjit_option *, void **) {
    return cuModuleLoadData(out, image);
}
API CUresult cuModuleUnload(CUmodule handle) {
    ENTER("cuModuleUnload");
    Module *m = (Module *)handle;
    if (!modules.count(m)) return misuse(CUDA_ERROR_INVALID_HANDLE, "cuModuleUnload of something that is no module");
    CUresult r = drain_everything();
    for (auto &[name, f] : m->functions) {
        f->unloaded = true;
        functions.erase(f);
    }
    modules.erase(m);
    dlclose(m->library);
    return r;
}
API CUresult cuModuleGetFunction(CUfunction *out, CUmodule handle, const char *name) {
    ENTER("cuModuleGetFunction");
    Module *m = (Module *)handle;
    if (!modules.count(m)) return misuse(CUDA_ERROR_INVALID_HANDLE, "cuModuleGetFunction of something that is no module");
    auto it = m->functions.find(name);
    if (it == m->functions.end()) return CUDA_ERROR_NOT_FOUND;
    *out = (CUfunction)it->second;
    return CUDA_SUCCESS;
}
API CUresult cuModuleGetGlobal_v2(CUdeviceptr *, size_t *, CUmodule, const char *) { return CUDA_ERROR_NOT_FOUND; }

static Function *function_of(CUfunction f, const char *who) {
    if (functions.count((Function *)f)) return (Function *)f;
    misuse(CUDA_ERROR_INVALID_HANDLE, "%s: the function does not exist or its module was unloaded", who);
    return nullptr;
}
API CUresult cuFuncGetAttribute(int *v, CUfunction_attribute a, CUfunction handle) {
    ENTER("cuFuncGetAttribute");
    Function *f = function_of(handle, "cuFuncGetAttribute");
    if (f == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    switch ((int)a) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *v = f->kernel->group_x != 0 ? (int)(f->kernel->group_x * f->kernel->group_y) : 1024; break;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES: *v = (int)(f->module->info->local_end - f->module->info->local_begin); break;
    case CU_FUNC_ATTRIBUTE_NUM_REGS: *v = 32; break;
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION: *v = (int)f->module->arch; break;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: *v = (int)f->dynamic_limit; break;
    default: *v = 0;
    }
    return CUDA_SUCCESS;
}
API CUresult cuFuncSetAttribute(CUfunction handle, CUfunction_attribute a, int v) {
    ENTER("cuFuncSetAttribute");
    Function *f = function_of(handle, "cuFuncSetAttribute");
    if (f == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (a == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) {
        if (v < 0 || v > 232448) return CUDA_ERROR_INVALID_VALUE;
        f->dynamic_limit = (unsigned)v;
    }
    return CUDA_SUCCESS;
}
API CUresult cuFuncSetCacheConfig(CUfunction handle, CUfunc_cache) {
    return function_of(handle, "cuFuncSetCacheConfig") == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS;
}
API CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *n, CUfunction handle, int block, size_t) {
    ENTER("cuOccupancyMaxActiveBlocksPerMultiprocessor");
    if (function_of(handle, "cuOccupancyMaxActiveBlocksPerMultiprocessor") == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *n = block > 0 ? 2048 / block : 0;
    return CUDA_SUCCESS;
}

// --- launches --------------------------------------------------------------------------------------------------------

struct Launch {
    Function *function;
    unsigned grid[3], block[3];
    // The parameters' values, copied when the launch was queued.
    std::vector<std::vector<char>> values;
};

static const char *kernel_name = "";

static void *kernel_address(unsigned long address) { return device_bytes(address, 0, kernel_name); }
static void no_barrier(unsigned long line) {
    fprintf(stderr, "fakecuda: kernel %s reached the barrier of line %lu outside a group\n", kernel_name, line);
    abort();
}

struct Group {
    const HostKernel *kernel;
    HostIds *ids;
    void **args;
};
static Group *group_;
static void set_item(unsigned i) {
    HostIds *ids = group_->ids;
    ids->local[0] = i % ids->size[0];
    ids->local[1] = i / ids->size[0] % ids->size[1];
    ids->local[2] = i / (ids->size[0] * ids->size[1]);
}
static void group_barrier(unsigned long line) {
    unsigned i = fiber_index();
    fiber_pause(line);
    set_item(i);
}
static void group_item(void *, unsigned i) {
    set_item(i);
    group_->kernel->item(group_->args);
}

static CUresult execute(const Launch &l) {
    const HostKernel *k = l.function->kernel;
    const HostModule *m = l.function->module->info;
    kernel_name = k->name;
    if (l.function->unloaded) return misuse(CUDA_ERROR_LAUNCH_FAILED, "kernel %s: its module was unloaded before it ran", k->name);
    // Parameters, with addresses of the device turned into pointers.
    std::vector<std::vector<char>> values = l.values;
    std::vector<void *> args(k->count + 1);
    std::vector<Allocation *> touched;
    for (unsigned i = 0; i < k->count; i++) {
        if (k->params[i].pointer) {
            unsigned long address;
            memcpy(&address, values[i].data(), 8);
            void *p = nullptr;
            if (address != 0) {
                char who[128];
                snprintf(who, sizeof who, "kernel %s, parameter %u", k->name, i);
                p = device_bytes(address, 0, who);
                if (p == nullptr) return CUDA_ERROR_ILLEGAL_ADDRESS;
                if ((address & DEVICE_BIT) != 0) touched.push_back(find_allocation(address, 0, who));
            }
            memcpy(values[i].data(), &p, 8);
        }
        args[i] = values[i].data();
    }
    *m->address = kernel_address;
    *m->barrier = m->has_barrier ? group_barrier : no_barrier;
    HostIds *ids = m->ids;
    for (int d = 0; d < 3; d++) {
        ids->size[d] = l.block[d];
        ids->groups[d] = l.grid[d];
    }
    Group group = {k, ids, args.data()};
    group_ = &group;
    unsigned items = l.block[0] * l.block[1] * l.block[2];
    unsigned long n = (unsigned long)l.grid[0] * l.grid[1] * l.grid[2];
    // Groups in the order of their numbers or in the reverse, from launch to launch: no kernel may count on either.
    bool backwards = counters().launches++ % 2 == 1;
    for (unsigned long i = 0; i < n; i++) {
        unsigned long g = backwards ? n - 1 - i : i;
        ids->group[0] = (unsigned)(g % l.grid[0]);
        ids->group[1] = (unsigned)(g / l.grid[0] % l.grid[1]);
        ids->group[2] = (unsigned)(g / l.grid[0] / l.grid[1]);
        if (m->local_begin != m->local_end) memset(m->local_begin, 0xFF, (size_t)(m->local_end - m->local_begin));
        if (!m->has_barrier) {
            k->group(args.data());
            continue;
        }
        unsigned long lines[2];
        if (!run_fibers(items, group_item, nullptr, backwards, lines))
            return misuse(CUDA_ERROR_LAUNCH_FAILED, "kernel %s: work-items of group %lu meet at different barriers, or some have ended (lines %lu and %lu)",
                          k->name, g, lines[0], lines[1]);
    }
    for (Allocation *a : touched)
        if (a != nullptr && !check_redzones(a, k->name)) return CUDA_ERROR_ILLEGAL_ADDRESS;
    return CUDA_SUCCESS;
}

static CUresult launch(CUfunction handle, const unsigned grid[3], const unsigned block[3], unsigned shared, CUstream stream,
                       void **params, void **extra) {
    ENTER("cuLaunchKernel");
    Function *f = function_of(handle, "cuLaunchKernel");
    if (f == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const HostKernel *k = f->kernel;
    static const unsigned most_grid[3] = {2147483647u, 65535, 65535}, most_block[3] = {1024, 1024, 64};
    for (int d = 0; d < 3; d++) {
        if (grid[d] == 0 || grid[d] > most_grid[d]) return misuse(CUDA_ERROR_INVALID_VALUE, "launch of %s: the grid is %u x %u x %u", k->name, grid[0], grid[1], grid[2]);
        if (block[d] == 0 || block[d] > most_block[d]) return misuse(CUDA_ERROR_INVALID_VALUE, "launch of %s: the block is %u x %u x %u", k->name, block[0], block[1], block[2]);
    }
    unsigned long items = (unsigned long)block[0] * block[1] * block[2];
    if (items > 1024) return misuse(CUDA_ERROR_INVALID_VALUE, "launch of %s: a block of %lu work-items", k->name, items);
    if (k->group_x != 0 && (block[0] != k->group_x || block[1] != k->group_y || block[2] != 1))
        return misuse(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "launch of %s: the block is %u x %u x %u, the kernel is made for %u x %u", k->name, block[0],
                      block[1], block[2], k->group_x, k->group_y);
    size_t fixed = (size_t)(f->module->info->local_end - f->module->info->local_begin);
    if (fixed + shared > f->dynamic_limit) return misuse(CUDA_ERROR_INVALID_VALUE, "launch of %s: %zu bytes of group memory", k->name, fixed + shared);
    if (extra != nullptr) return misuse(CUDA_ERROR_NOT_SUPPORTED, "launch of %s: the double takes kernelParams, not extra", k->name);
    if (params == nullptr && k->count > 0) return misuse(CUDA_ERROR_INVALID_VALUE, "launch of %s without parameters", k->name);
    auto l = std::make_shared<Launch>();
    l->function = f;
    for (int d = 0; d < 3; d++) {
        l->grid[d] = grid[d];
        l->block[d] = block[d];
    }
    for (unsigned i = 0; i < k->count; i++) {
        const char *p = (const char *)params[i];
        if (p == nullptr) return misuse(CUDA_ERROR_INVALID_VALUE, "launch of %s: parameter %u is missing", k->name, i);
        l->values.emplace_back(p, p + k->params[i].size);
    }
    return enqueue(stream, k->name, [l] { return execute(*l); });
}
API CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                            CUstream stream, void **params, void **extra) {
    const unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
    return launch(f, grid, block, shared, stream, params, extra);
}
API CUresult cuLaunchKernelEx(const CUlaunchConfig *c, CUfunction f, void **params, void **extra) {
    const unsigned grid[3] = {c->gridDimX, c->gridDimY, c->gridDimZ}, block[3] = {c->blockDimX, c->blockDimY, c->blockDimZ};
    return launch(f, grid, block, c->sharedMemBytes, c->hStream, params, extra);
}
