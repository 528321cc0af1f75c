// The test double's libcuda: device and pinned memory, pools, copies.
#include "fake.h"

#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)0)
#endif

static const size_t REDZONE = 256;
static const unsigned char FENCE = 0xA5, FRESH = 0xFF, DEAD = 0xFD;

struct Pool {
    int device;
    bool own; // not a device's default
    size_t used, high;
    unsigned long attributes[16];
};
// By device address; freed ones stay until the quarantine is full, so that a late use is told from a wild one.
static std::map<unsigned long, Allocation *> allocations;
static std::deque<Allocation *> quarantine;
static size_t quarantined;
static std::map<int, size_t> in_use;
static std::map<char *, size_t> pinned;
static std::map<int, Pool *> default_pools, current_pools;
static std::set<Pool *> pools;
static unsigned long serials;

// Of a block with its red zones.
static size_t whole_size(size_t size) { return (size + 2 * REDZONE + 255) / 256 * 256; }
static size_t limit() { return env_number("FAKECUDA_MEMORY", 8ul << 30); }

Allocation *new_allocation(size_t size, int device, Pool *pool, bool live) {
    if (in_use[device] + size > limit()) return nullptr;
    // FAKECUDA_FAIL_ALLOC=N: the Nth allocation fails, for tests of how errors are handled.
    static unsigned long fail = env_number("FAKECUDA_FAIL_ALLOC", 0), tries = 0;
    if (fail != 0 && ++tries == fail) return nullptr;
    size_t whole = whole_size(size);
    char *base = (char *)aligned_alloc(256, whole);
    if (base == nullptr) return nullptr;
    // Large blocks are not filled: the pages would all be touched.
    memset(base, FENCE, REDZONE);
    memset(base + REDZONE + size, FENCE, whole - REDZONE - size);
    memset(base + REDZONE, FRESH, size < (16ul << 20) ? size : 4096);
    ASAN_POISON_MEMORY_REGION(base, REDZONE);
    ASAN_POISON_MEMORY_REGION(base + REDZONE + size, whole - REDZONE - size);
    auto *a = new Allocation{(unsigned long)(base + REDZONE) | DEVICE_BIT, size, base, base + REDZONE, device, pool, ++serials, live, false};
    allocations[a->address] = a;
    in_use[device] += size;
    counters().allocations++;
    if (pool != nullptr) {
        pool->used += size;
        if (pool->used > pool->high) pool->high = pool->used;
    }
    return a;
}

bool check_redzones(Allocation *a, const char *who) {
    bool good = true;
#ifndef __SANITIZE_ADDRESS__
    size_t whole = whole_size(a->size);
    auto check = [&](size_t from, size_t to) {
        for (size_t i = from; i < to && good; i++)
            if ((unsigned char)a->base[i] != FENCE) {
                long at = (long)i - (long)REDZONE;
                misuse(CUDA_ERROR_ILLEGAL_ADDRESS, "%s wrote outside an allocation of %zu bytes, at offset %ld", who, a->size, at);
                good = false;
            }
        if (!good) memset(a->base + from, FENCE, to - from);
    };
    check(0, REDZONE);
    check(REDZONE + a->size, whole);
#else
    (void)a;
    (void)who;
#endif
    return good;
}

void release_allocation(Allocation *a) {
    check_redzones(a, "something before the free");
    a->live = false;
    a->freed = true;
    in_use[a->device] -= a->size;
    if (a->pool != nullptr) a->pool->used -= a->size;
    memset(a->bytes, DEAD, a->size < (16ul << 20) ? a->size : 4096);
    ASAN_POISON_MEMORY_REGION(a->bytes, a->size);
    quarantine.push_back(a);
    quarantined += a->size;
    while (quarantined > (32ul << 20) || quarantine.size() > 4096) {
        Allocation *old = quarantine.front();
        quarantine.pop_front();
        quarantined -= old->size;
        ASAN_UNPOISON_MEMORY_REGION(old->base, whole_size(old->size));
        for (size_t i = 0; i < old->size && i < 4096; i++) {
            if ((unsigned char)old->bytes[i] != DEAD) {
                misuse(CUDA_ERROR_ILLEGAL_ADDRESS, "freed device memory of %zu bytes was written at offset %zu", old->size, i);
                break;
            }
        }
        allocations.erase(old->address);
        free(old->base);
        delete old;
    }
}

static Allocation *containing(unsigned long address) {
    auto it = allocations.upper_bound(address);
    if (it == allocations.begin()) return nullptr;
    Allocation *a = std::prev(it)->second;
    // One past the end is a pointer that one may have.
    return address <= a->address + a->size ? a : nullptr;
}

bool is_pinned(const void *p, size_t size) {
    auto it = pinned.upper_bound((char *)p);
    if (it == pinned.begin()) return false;
    --it;
    return (char *)p + size <= it->first + it->second;
}

Allocation *find_allocation(unsigned long address, size_t size, const char *who) {
    Allocation *a = (address & DEVICE_BIT) != 0 ? containing(address) : nullptr;
    if (a == nullptr) {
        misuse(CUDA_ERROR_ILLEGAL_ADDRESS, "%s: %#lx is %s", who, address,
               (address & DEVICE_BIT) != 0 ? "in no allocation of the device" : "no address of the device");
        return nullptr;
    }
    if (a->freed || !a->live) {
        misuse(CUDA_ERROR_ILLEGAL_ADDRESS, "%s: memory at %#lx (%zu bytes) is used %s", who, address, a->size,
               a->freed ? "after it was freed" : "before its allocation in stream order");
        return nullptr;
    }
    if (address + size > a->address + a->size) {
        misuse(CUDA_ERROR_ILLEGAL_ADDRESS, "%s: %zu bytes at offset %lu of an allocation of %zu bytes", who, size, address - a->address, a->size);
        return nullptr;
    }
    return a;
}

void *device_bytes(unsigned long address, size_t size, const char *who) {
    if ((address & DEVICE_BIT) == 0 && is_pinned((void *)address, size)) return (void *)address;
    Allocation *a = find_allocation(address, size, who);
    return a == nullptr ? nullptr : a->bytes + (address - a->address);
}

void memory_report(bool leaks) {
    for (auto &[address, a] : allocations)
        if (!a->freed) {
            check_redzones(a, "something before the exit");
            if (leaks) misuse(CUDA_SUCCESS, "leak: %zu bytes of device memory (allocation %lu)", a->size, a->serial);
        }
    if (leaks)
        for (auto &[p, n] : pinned) misuse(CUDA_SUCCESS, "leak: %zu bytes of pinned memory", n);
}

// --- allocation ------------------------------------------------------------------------------------------------------

#define ENTER(name)                                                  \
    Lock lock(big_lock());                                           \
    if (CUresult r_ = need_context(name); r_ != CUDA_SUCCESS) return r_
#define SAFE(name) \
    if (CUresult r_ = check_unsafe(name); r_ != CUDA_SUCCESS) return r_

API CUresult cuMemAlloc_v2(CUdeviceptr *out, size_t size) {
    ENTER("cuMemAlloc");
    SAFE("cuMemAlloc");
    if (size == 0) return CUDA_ERROR_INVALID_VALUE;
    Allocation *a = new_allocation(size, current_device(), nullptr, true);
    if (a == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
    *out = a->address;
    return CUDA_SUCCESS;
}
static Allocation *exact(CUdeviceptr p, const char *who) {
    auto it = allocations.find(p);
    if (it == allocations.end()) {
        misuse(CUDA_ERROR_INVALID_VALUE, "%s of %#llx, which is not the start of an allocation", who, p);
        return nullptr;
    }
    if (it->second->freed) {
        misuse(CUDA_ERROR_INVALID_VALUE, "%s of %#llx (%zu bytes) for the second time", who, p, it->second->size);
        return nullptr;
    }
    return it->second;
}
API CUresult cuMemFree_v2(CUdeviceptr p) {
    ENTER("cuMemFree");
    SAFE("cuMemFree");
    if (p == 0) return CUDA_SUCCESS;
    // It waits for the device.
    CUresult r = drain_everything();
    Allocation *a = exact(p, "cuMemFree");
    if (a == nullptr) return CUDA_ERROR_INVALID_VALUE;
    release_allocation(a);
    return r;
}
API CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
    ENTER("cuMemGetInfo");
    *total = limit();
    *free_bytes = limit() - in_use[current_device()];
    return CUDA_SUCCESS;
}
API CUresult cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *size, CUdeviceptr p) {
    ENTER("cuMemGetAddressRange");
    Allocation *a = containing(p);
    if (a == nullptr || a->freed) return CUDA_ERROR_NOT_FOUND;
    if (base != nullptr) *base = a->address;
    if (size != nullptr) *size = a->size;
    return CUDA_SUCCESS;
}
API CUresult cuPointerGetAttribute(void *data, CUpointer_attribute attribute, CUdeviceptr p) {
    ENTER("cuPointerGetAttribute");
    Allocation *a = containing(p);
    if (a == nullptr || a->freed) return CUDA_ERROR_INVALID_VALUE;
    switch ((int)attribute) {
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE: *(unsigned *)data = 2; return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER: *(CUdeviceptr *)data = p; return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: *(int *)data = a->device; return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR: *(CUdeviceptr *)data = a->address; return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE: *(size_t *)data = a->size; return CUDA_SUCCESS;
    }
    return CUDA_ERROR_NOT_SUPPORTED;
}

static Pool *pool_of(int device) {
    if (current_pools[device] != nullptr) return current_pools[device];
    Pool *&p = default_pools[device];
    if (p == nullptr) {
        p = new Pool{device, false, 0, 0, {}};
        pools.insert(p);
    }
    return p;
}
static CUresult alloc_async(CUdeviceptr *out, size_t size, Pool *pool, CUstream stream) {
    if (size == 0) return CUDA_ERROR_INVALID_VALUE;
    Allocation *a = new_allocation(size, pool->device, pool, false);
    if (a == nullptr) {
        // What streams still hold back may free enough.
        drain_everything();
        a = new_allocation(size, pool->device, pool, false);
    }
    if (a == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
    *out = a->address;
    return enqueue(stream, "cuMemAllocAsync", [a] {
        a->live = true;
        return CUDA_SUCCESS;
    });
}
API CUresult cuMemAllocAsync(CUdeviceptr *out, size_t size, CUstream stream) {
    ENTER("cuMemAllocAsync");
    return alloc_async(out, size, pool_of(current_device()), stream);
}
API CUresult cuMemAllocFromPoolAsync(CUdeviceptr *out, size_t size, CUmemoryPool pool, CUstream stream) {
    ENTER("cuMemAllocFromPoolAsync");
    if (!pools.count((Pool *)pool)) return misuse(CUDA_ERROR_INVALID_VALUE, "cuMemAllocFromPoolAsync: not a pool");
    return alloc_async(out, size, (Pool *)pool, stream);
}
API CUresult cuMemFreeAsync(CUdeviceptr p, CUstream stream) {
    ENTER("cuMemFreeAsync");
    if (p == 0) return CUDA_SUCCESS;
    if (exact(p, "cuMemFreeAsync") == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (is_capturing(stream))
        // The memory of a graph lives as long as the double runs; a replay uses the same addresses.
        return enqueue(stream, "cuMemFreeAsync", [] { return CUDA_SUCCESS; });
    return enqueue(stream, "cuMemFreeAsync", [p] {
        Allocation *a = exact(p, "cuMemFreeAsync");
        if (a == nullptr) return CUDA_ERROR_INVALID_VALUE;
        if (!a->live) return misuse(CUDA_ERROR_INVALID_VALUE, "cuMemFreeAsync comes before the allocation in stream order");
        release_allocation(a);
        return CUDA_SUCCESS;
    });
}
API CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *out, CUdevice d) {
    Lock lock(big_lock());
    if (d < 0 || d >= device_count()) return CUDA_ERROR_INVALID_DEVICE;
    Pool *keep = current_pools[d];
    current_pools[d] = nullptr;
    *out = (CUmemoryPool)pool_of(d);
    current_pools[d] = keep;
    return CUDA_SUCCESS;
}
API CUresult cuDeviceGetMemPool(CUmemoryPool *out, CUdevice d) {
    Lock lock(big_lock());
    if (d < 0 || d >= device_count()) return CUDA_ERROR_INVALID_DEVICE;
    *out = (CUmemoryPool)pool_of(d);
    return CUDA_SUCCESS;
}
API CUresult cuDeviceSetMemPool(CUdevice d, CUmemoryPool pool) {
    Lock lock(big_lock());
    if (!pools.count((Pool *)pool)) return misuse(CUDA_ERROR_INVALID_VALUE, "cuDeviceSetMemPool: not a pool");
    current_pools[d] = (Pool *)pool;
    return CUDA_SUCCESS;
}
API CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute a, void *value) {
    Lock lock(big_lock());
    if (!pools.count((Pool *)pool)) return misuse(CUDA_ERROR_INVALID_VALUE, "cuMemPoolSetAttribute: not a pool");
    if ((unsigned)a >= 16) return CUDA_ERROR_INVALID_VALUE;
    ((Pool *)pool)->attributes[a] = a >= CU_MEMPOOL_ATTR_RELEASE_THRESHOLD ? *(unsigned long *)value : (unsigned long)*(int *)value;
    return CUDA_SUCCESS;
}
API CUresult cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute a, void *value) {
    Lock lock(big_lock());
    Pool *p = (Pool *)pool;
    if (!pools.count(p)) return misuse(CUDA_ERROR_INVALID_VALUE, "cuMemPoolGetAttribute: not a pool");
    if (a < CU_MEMPOOL_ATTR_RELEASE_THRESHOLD) *(int *)value = (int)p->attributes[a];
    else
        switch ((int)a) {
        case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
        case CU_MEMPOOL_ATTR_USED_MEM_CURRENT: *(unsigned long *)value = p->used; break;
        case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
        case CU_MEMPOOL_ATTR_USED_MEM_HIGH: *(unsigned long *)value = p->high; break;
        default: *(unsigned long *)value = p->attributes[a & 15];
        }
    return CUDA_SUCCESS;
}
API CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t) {
    Lock lock(big_lock());
    if (!pools.count((Pool *)pool)) return misuse(CUDA_ERROR_INVALID_VALUE, "cuMemPoolTrimTo: not a pool");
    return CUDA_SUCCESS;
}

// --- pinned memory ---------------------------------------------------------------------------------------------------

API CUresult cuMemHostAlloc(void **out, size_t size, unsigned) {
    ENTER("cuMemHostAlloc");
    SAFE("cuMemHostAlloc");
    if (size == 0) return CUDA_ERROR_INVALID_VALUE;
    char *p = (char *)aligned_alloc(4096, (size + 4095) / 4096 * 4096);
    if (p == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
    memset(p, FRESH, size < (16ul << 20) ? size : 4096);
    pinned[p] = size;
    *out = p;
    return CUDA_SUCCESS;
}
API CUresult cuMemAllocHost_v2(void **out, size_t size) { return cuMemHostAlloc(out, size, 0); }
API CUresult cuMemFreeHost(void *p) {
    ENTER("cuMemFreeHost");
    SAFE("cuMemFreeHost");
    auto it = pinned.find((char *)p);
    if (it == pinned.end()) return misuse(CUDA_ERROR_INVALID_VALUE, "cuMemFreeHost of %p, which is no pinned memory", p);
    CUresult r = drain_everything();
    pinned.erase(it);
    free(p);
    return r;
}
API CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *out, void *p, unsigned) {
    ENTER("cuMemHostGetDevicePointer");
    if (!is_pinned(p, 0)) return misuse(CUDA_ERROR_INVALID_VALUE, "cuMemHostGetDevicePointer of memory that is not pinned");
    *out = (CUdeviceptr)p;
    return CUDA_SUCCESS;
}

// --- copies ----------------------------------------------------------------------------------------------------------

enum Kind { TO_DEVICE, TO_HOST, ON_DEVICE };

static CUresult copy_now(Kind kind, unsigned long to, unsigned long from, size_t n, const char *who) {
    void *d = kind == TO_HOST ? (void *)to : device_bytes(to, n, who);
    const void *s = kind == TO_DEVICE ? (const void *)from : device_bytes(from, n, who);
    if (d == nullptr || s == nullptr) return CUDA_ERROR_INVALID_VALUE;
    memmove(d, s, n);
    counters().copies++;
    return CUDA_SUCCESS;
}
static CUresult host_side(unsigned long p, const char *who) {
    if ((p & DEVICE_BIT) != 0) return misuse(CUDA_ERROR_INVALID_VALUE, "%s: a device address where the host's is wanted", who);
    if (p == 0) return misuse(CUDA_ERROR_INVALID_VALUE, "%s: a null pointer", who);
    return CUDA_SUCCESS;
}
static CUresult copy_blocking(Kind kind, unsigned long to, unsigned long from, size_t n, const char *who) {
    ENTER(who);
    SAFE(who);
    if (n == 0) return CUDA_SUCCESS;
    if (kind != ON_DEVICE)
        if (CUresult r = host_side(kind == TO_DEVICE ? from : to, who); r != CUDA_SUCCESS) return r;
    if (CUresult r = drain_for_default(); r != CUDA_SUCCESS) return r;
    return copy_now(kind, to, from, n, who);
}
static CUresult copy_async(Kind kind, unsigned long to, unsigned long from, size_t n, CUstream stream, const char *who) {
    ENTER(who);
    if (n == 0) return CUDA_SUCCESS;
    unsigned long host = kind == TO_DEVICE ? from : to;
    if (kind != ON_DEVICE)
        if (CUresult r = host_side(host, who); r != CUDA_SUCCESS) return r;
    bool direct = kind == ON_DEVICE || is_pinned((void *)host, n);
    // A graph reads and writes the given memory at every launch.
    if (is_capturing(stream) && !direct)
        return misuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "%s of pageable memory in a capture", who);
    if (kind == TO_DEVICE && !direct) {
        // The driver takes a copy before it returns.
        auto staged = std::make_shared<std::vector<char>>((char *)host, (char *)host + n);
        return enqueue(stream, who, [=] { return copy_now(TO_DEVICE, to, (unsigned long)staged->data(), n, who); });
    }
    CUresult r = enqueue(stream, who, [=] { return copy_now(kind, to, from, n, who); });
    if (r == CUDA_SUCCESS && kind == TO_HOST && !direct) r = drain(stream);
    return r;
}
API CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t n) { return copy_blocking(TO_DEVICE, to, (unsigned long)from, n, "cuMemcpyHtoD"); }
API CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t n) { return copy_blocking(TO_HOST, (unsigned long)to, from, n, "cuMemcpyDtoH"); }
API CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t n) { return copy_blocking(ON_DEVICE, to, from, n, "cuMemcpyDtoD"); }
API CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t n, CUstream s) { return copy_async(TO_DEVICE, to, (unsigned long)from, n, s, "cuMemcpyHtoDAsync"); }
API CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t n, CUstream s) { return copy_async(TO_HOST, (unsigned long)to, from, n, s, "cuMemcpyDtoHAsync"); }
API CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t n, CUstream s) { return copy_async(ON_DEVICE, to, from, n, s, "cuMemcpyDtoDAsync"); }
API CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t n, CUstream s) {
    bool d = (to & DEVICE_BIT) != 0, f = (from & DEVICE_BIT) != 0;
    return copy_async(d && f ? ON_DEVICE : d ? TO_DEVICE : TO_HOST, to, from, n, s, "cuMemcpyAsync");
}
API CUresult cuMemcpyPeerAsync(CUdeviceptr to, CUcontext, CUdeviceptr from, CUcontext, size_t n, CUstream s) {
    return copy_async(ON_DEVICE, to, from, n, s, "cuMemcpyPeerAsync");
}

static CUresult set_async(unsigned long to, unsigned value, size_t width, size_t n, CUstream s, const char *who, bool wait) {
    ENTER(who);
    if (wait) {
        SAFE(who);
    }
    if (n == 0) return CUDA_SUCCESS;
    if (to % width != 0) return misuse(CUDA_ERROR_INVALID_VALUE, "%s: the address is not aligned", who);
    CUresult r = enqueue(s, who, [=] {
        char *p = (char *)device_bytes(to, n * width, who);
        if (p == nullptr) return CUDA_ERROR_INVALID_VALUE;
        for (size_t i = 0; i < n; i++) memcpy(p + i * width, &value, width);
        return CUDA_SUCCESS;
    });
    return r == CUDA_SUCCESS && wait ? drain(s) : r;
}
API CUresult cuMemsetD8_v2(CUdeviceptr p, unsigned char v, size_t n) { return set_async(p, v, 1, n, nullptr, "cuMemsetD8", true); }
API CUresult cuMemsetD16_v2(CUdeviceptr p, unsigned short v, size_t n) { return set_async(p, v, 2, n, nullptr, "cuMemsetD16", true); }
API CUresult cuMemsetD32_v2(CUdeviceptr p, unsigned v, size_t n) { return set_async(p, v, 4, n, nullptr, "cuMemsetD32", true); }
API CUresult cuMemsetD8Async(CUdeviceptr p, unsigned char v, size_t n, CUstream s) { return set_async(p, v, 1, n, s, "cuMemsetD8Async", false); }
API CUresult cuMemsetD16Async(CUdeviceptr p, unsigned short v, size_t n, CUstream s) { return set_async(p, v, 2, n, s, "cuMemsetD16Async", false); }
API CUresult cuMemsetD32Async(CUdeviceptr p, unsigned v, size_t n, CUstream s) { return set_async(p, v, 4, n, s, "cuMemsetD32Async", false); }
