// Inside the test double: what its libraries and files share. One lock guards everything.
#pragma once
#include "cuda_types.h"

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))
#define SHARED __attribute__((visibility("default")))

// --- diagnostics -----------------------------------------------------------------------------------------------------

// Something that a program must not do, whatever code the call returns. Printed, counted, and fatal with
// FAKECUDA_STRICT=1. Gives `code` back.
SHARED CUresult misuse(CUresult code, const char *format, ...) __attribute__((format(printf, 2, 3)));
// The integer in an environment variable.
SHARED unsigned long env_number(const char *name, unsigned long otherwise);

struct Counters {
    std::atomic<unsigned long> launches{0}, libraries{0}, copies{0}, allocations{0}, graphs{0}, misuses{0}, modules{0};
};
SHARED Counters &counters();
SHARED std::recursive_mutex &big_lock();
typedef std::lock_guard<std::recursive_mutex> Lock;

// --- memory ----------------------------------------------------------------------------------------------------------

// Device addresses have this bit set: they are no addresses of the host, and using one there faults.
const unsigned long DEVICE_BIT = 1ul << 61;

struct Pool;
struct Allocation {
    unsigned long address; // as the program sees it
    size_t size;
    char *base;  // start of the block, in front of the red zone
    char *bytes; // host memory behind the address
    int device;
    Pool *pool;
    unsigned long serial;
    // False between cuMemAllocAsync and the moment when the stream gets there, and after the free.
    bool live;
    bool freed;
};
// The live allocation that [address, address + size) lies in, or null after a misuse was reported.
Allocation *find_allocation(unsigned long address, size_t size, const char *who);
// A pointer of the host for a device address or for pinned memory, null after a misuse was reported.
SHARED void *device_bytes(unsigned long address, size_t size, const char *who);
Allocation *new_allocation(size_t size, int device, Pool *pool, bool live);
void release_allocation(Allocation *a);
// Whether what surrounds the allocation is untouched; reports if not.
bool check_redzones(Allocation *a, const char *who);
bool is_pinned(const void *p, size_t size);
void memory_report(bool leaks);

// --- streams ---------------------------------------------------------------------------------------------------------

struct Stream;
struct Event;
struct Capture;
typedef std::function<CUresult()> Work;

struct Node {
    std::string what;
    Work run;
};
struct Graph {
    std::vector<std::shared_ptr<Node>> nodes;
};

// Queues work on a stream; inside a capture it becomes a node of the graph.
SHARED CUresult enqueue(CUstream stream, const char *what, Work work);
// Refuses what must not happen while a stream captures (and spoils the capture, as the driver does).
SHARED CUresult check_unsafe(const char *what);
// Runs everything that was queued.
SHARED CUresult drain_everything();
// What a blocking call on the default stream waits for.
CUresult drain_for_default();
CUresult drain(CUstream stream);
bool is_capturing(CUstream stream);
// A fault of a kernel stays with the context, like on a device.
CUresult sticky();
void set_sticky(CUresult code);

// --- contexts --------------------------------------------------------------------------------------------------------

// The device of the current context, or an error: -1.
int current_device();
// Success when the library is initialised and a context is current.
CUresult need_context(const char *who);
int device_count();
void on_exit_report();

// --- kernels ---------------------------------------------------------------------------------------------------------

#define IMAGE_MAGIC "FAKECUBIN1\n"
// What the double's NVRTC returns as a cubin: this, then a shared object of the host.
struct ImageHeader {
    char magic[16];
    unsigned long size, hash;
    unsigned arch;
    unsigned reserved;
};
inline unsigned long hash_bytes(const void *data, size_t n, unsigned long h = 0xcbf29ce484222325ul) {
    for (size_t i = 0; i < n; i++) h = (h ^ ((const unsigned char *)data)[i]) * 0x100000001b3ul;
    return h;
}
