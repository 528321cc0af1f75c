/// Devices: what there is, what it can do, its memory.
#ifndef TAPER_DEVICE_HPP
#define TAPER_DEVICE_HPP

#include "tensor.hpp"

namespace taper {

/// What a device is and can do; texts that a driver does not tell are empty, numbers 0.
struct DeviceInfo {
    Device device;
    /// OpenCL's version, CUDA's compute capability, the CPU's instruction set.
    std::string name, vendor, version, driver, platform;
    /// TAPER_DEVICE_KIND_CPU (also of an OpenCL device that is a CPU), _GPU, _ACCELERATOR or _OTHER.
    int32_t kind;
    /// Multiprocessors of a GPU, threads that a CPU can run.
    int32_t compute_units;
    /// In bytes: memory, the largest single tensor, memory that the work-items of a group share.
    uint64_t total_memory, max_allocation, local_memory;
    int32_t max_work_group, clock_mhz;
    /// Whether the device calculates in float16 itself; float16 tensors work without it.
    bool native_float16;
    /// Whether host and device share memory.
    bool unified_memory;
    /// CUDA's compute capability; 0 elsewhere.
    int32_t capability_major, capability_minor;
    uint64_t dtypes;

    /// Whether the device can hold tensors of a dtype and compute with them.
    bool supports(DType d) const noexcept { return dtypes >> static_cast<int32_t>(d) & 1; }
    /// "cpu", "gpu", "accelerator" or "other".
    const char *kind_name() const noexcept {
        switch (kind) {
        case TAPER_DEVICE_KIND_CPU: return "cpu";
        case TAPER_DEVICE_KIND_GPU: return "gpu";
        case TAPER_DEVICE_KIND_ACCELERATOR: return "accelerator";
        default: return "other";
        }
    }
};

inline DeviceInfo Device::info() const {
    taper_device_properties p = TAPER_DEVICE_PROPERTIES_INIT;
    detail::check(taper_device_get_properties(raw_, &p));
    return {Device(p.device.type, p.device.index),
            p.name,
            p.vendor,
            p.version,
            p.driver,
            p.platform,
            p.kind,
            p.compute_units,
            p.total_memory,
            p.max_allocation,
            p.local_memory,
            p.max_work_group,
            p.clock_mhz,
            p.native_float16 != 0,
            p.unified_memory != 0,
            p.capability_major,
            p.capability_minor,
            p.dtypes};
}
inline std::string Device::name() const { return info().name; }
inline void Device::check() const { detail::check(taper_device_check(raw_)); }
inline bool Device::is_available() const { return why_not().empty(); }
inline std::string Device::why_not() const {
    try {
        check();
        return "";
    } catch (const Error &e) {
        return e.what();
    }
}
inline Device Device::find(const std::string &part_of_name, int32_t type) {
    taper_device d;
    detail::check(taper_device_find(type, detail::text(part_of_name), &d));
    return Device(d.type, d.index);
}

/// Number of devices of a type (TAPER_DEVICE_...); 0 where the driver is missing.
inline int32_t device_count(int32_t type) {
    int32_t n = 0;
    detail::check(taper_device_count(type, &n));
    return n;
}
/// The devices of a type, in the order of their indices.
inline std::vector<Device> devices(int32_t type) {
    std::vector<Device> out;
    for (int32_t i = 0, n = device_count(type); i < n; ++i) {
        out.emplace_back(type, i);
    }
    return out;
}
/// All devices: the CPU, CUDA's, OpenCL's.
inline std::vector<Device> devices() {
    std::vector<Device> out;
    for (const int32_t type : {TAPER_DEVICE_CPU, TAPER_DEVICE_CUDA, TAPER_DEVICE_OPENCL}) {
        for (const Device &d : devices(type)) {
            out.push_back(d);
        }
    }
    return out;
}

/// The device of tensors made without naming one.
inline Device get_default_device() {
    const taper_device d = taper_get_default_device();
    return Device(d.type, d.index);
}
inline void set_default_device(const Device &d) { detail::check(taper_set_default_device(d.raw())); }

/// Waits until all work queued on the device is done.
inline void synchronize(const Device &d) { detail::check(taper_synchronize(d.raw())); }
/// Statistics of the device's allocator, in bytes.
inline taper_memory_info memory_stats(const Device &d) {
    taper_memory_info m;
    detail::check(taper_memory_stats(d.raw(), &m));
    return m;
}
/// Lets the peaks of memory_stats start anew from what is held now.
inline void reset_peak_memory_stats(const Device &d) { detail::check(taper_memory_reset_peak(d.raw())); }
/// Gives the memory that the allocator keeps for reuse back to the system.
inline void empty_cache(const Device &d) { detail::check(taper_memory_empty_cache(d.raw())); }
struct MemoryLeft {
    uint64_t free, total;
};
/// Free and total memory in bytes. OpenCL does not tell what other processes hold.
inline MemoryLeft mem_get_info(const Device &d) {
    MemoryLeft m{0, 0};
    detail::check(taper_memory_get_info(d.raw(), &m.free, &m.total));
    return m;
}
/// Seeds what devices other than the CPU draw; the CPU's numbers stay as they are.
inline void manual_seed_devices(uint64_t seed) { taper_manual_seed_devices(seed); }

enum class LogLevel : int32_t {
    Error = TAPER_LOG_ERROR,
    Warning = TAPER_LOG_WARNING,
    Info = TAPER_LOG_INFO,
    Debug = TAPER_LOG_DEBUG
};
/// Has a function told what the library has to say besides errors, up to a level; nullptr: nobody, as at first. Any thread may
/// call it, several at once; it must not call the library, and what it throws is lost.
inline void set_log_callback(std::function<void(LogLevel, const std::string &)> f, LogLevel level = LogLevel::Info) {
    using F = decltype(f);
    taper_log_vtable v = TAPER_LOG_VTABLE_INIT;
    v.call = [](void *user, int32_t l, const char *text) {
        try {
            (*static_cast<F *>(user))(static_cast<LogLevel>(l), text);
        } catch (...) {
        }
    };
    v.drop = detail::drop_as<F>;
    const bool has = static_cast<bool>(f);
    detail::check(taper_set_log_callback(has ? &v : nullptr, has ? new F(std::move(f)) : nullptr,
                                         static_cast<int32_t>(level)));
}

/// How exactly float32 matrices are multiplied where a device has shorter formats: "highest" (float32, the default),
/// "high" or "medium" (TF32 on CUDA).
inline void set_float32_matmul_precision(const std::string &precision) {
    detail::check(taper_set_float32_matmul_precision(detail::text(precision)));
}
inline std::string get_float32_matmul_precision() {
    const int32_t level = taper_get_float32_matmul_precision();
    return level == 0 ? "highest" : level == 1 ? "high" : "medium";
}
/// Whether float32 convolutions may use TF32 on CUDA; true at the start.
inline bool get_conv_allow_tf32() { return taper_get_conv_allow_tf32(); }
inline void set_conv_allow_tf32(bool allow) { taper_set_conv_allow_tf32(allow); }
/// Whether float32 convolutions of 3x3 on the CPU may take Winograd's method; true unless TAPER_WINOGRAD=0.
inline bool get_conv_winograd() { return taper_get_conv_winograd(); }
inline void set_conv_winograd(bool allow) { taper_set_conv_winograd(allow); }

} // namespace taper

#endif
