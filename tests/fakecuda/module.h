// What a compiled kernel file tells the runner; the double's NVRTC appends this text to the kernels.
// Included after prelude_host.h in a kernel module, and alone (with HOST_RUNNER) in the runner.
#pragma once
#ifdef HOST_RUNNER
struct HostIds {
    unsigned local[3], group[3], size[3], groups[3];
};
#endif

struct HostParam {
    unsigned size;
    bool pointer;
};
struct HostKernel {
    const char *name;
    const HostParam *params;
    unsigned count;
    // The group size that the kernel demands; 0: any.
    unsigned group_x, group_y;
    // Runs the work-item in host_ids, and all work-items of the group in host_ids one after the other.
    void (*item)(void **args);
    void (*group)(void **args);
};
struct HostModule {
    unsigned version;
    unsigned count;
    const HostKernel *kernels;
    HostIds *ids;
    void (**barrier)(unsigned long line);
    void *(**address)(unsigned long address);
    bool has_barrier;
    char *local_begin, *local_end;
};
#define HOST_MODULE_VERSION 1

#ifndef HOST_RUNNER
template <class HostT> struct HostIsPointer { static const bool value = false; };
template <class HostT> struct HostIsPointer<HostT *> { static const bool value = true; };
template <class HostT> struct HostPlain { typedef HostT type; };
template <class HostT> struct HostPlain<const HostT> { typedef HostT type; };

template <int... HostI> struct HostSeq {};
template <int HostN, int... HostI> struct HostMake : HostMake<HostN - 1, HostN - 1, HostI...> {};
template <int... HostI> struct HostMake<0, HostI...> { typedef HostSeq<HostI...> type; };

template <auto host_function> struct HostCall;
template <class... HostArgs, void (*host_function)(HostArgs...)> struct HostCall<host_function> {
    static constexpr HostParam params[sizeof...(HostArgs) + 1] = {{(unsigned)sizeof(HostArgs), HostIsPointer<typename HostPlain<HostArgs>::type>::value}..., {0, false}};
    static const unsigned count = sizeof...(HostArgs);
    template <int... HostI> static inline __attribute__((always_inline)) void call(void **args, HostSeq<HostI...>) {
        host_function(*(typename HostPlain<HostArgs>::type *)args[HostI]...);
    }
    static void item(void **args) { call(args, typename HostMake<sizeof...(HostArgs)>::type()); }
    static void group(void **args) {
        for (u32 z = 0; z < host_ids.size[2]; z++)
            for (u32 y = 0; y < host_ids.size[1]; y++)
                for (u32 x = 0; x < host_ids.size[0]; x++) {
                    host_ids.local[0] = x;
                    host_ids.local[1] = y;
                    host_ids.local[2] = z;
                    item(args);
                }
    }
};
#define HOST_KERNEL(name, x, y) {#name, HostCall<&name>::params, HostCall<&name>::count, x, y, HostCall<&name>::item, HostCall<&name>::group}

extern "C" __attribute__((weak, visibility("hidden"))) char __start_host_local[];
extern "C" __attribute__((weak, visibility("hidden"))) char __stop_host_local[];
#define HOST_MODULE(barrier, ...)                                                                                  \
    static const HostKernel host_kernels[] = {__VA_ARGS__};                                                        \
    extern "C" __attribute__((visibility("default"))) const HostModule host_module = {                             \
        HOST_MODULE_VERSION, sizeof(host_kernels) / sizeof(host_kernels[0]), host_kernels, &host_ids, &host_barrier, \
        &host_address, barrier, __start_host_local, __stop_host_local};
#endif
