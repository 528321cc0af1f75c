package taper

/*
#include <stdlib.h>
#include "shims.h"

static inline uintptr_t go_device_count(int32_t type, int32_t *out) {
    return (uintptr_t)taper_device_count(type, out);
}
static inline uintptr_t go_device_get_properties(taper_device d, taper_device_properties *out) {
    out->struct_size = sizeof *out;
    return (uintptr_t)taper_device_get_properties(d, out);
}
static inline uintptr_t go_device_check(taper_device d) { return (uintptr_t)taper_device_check(d); }
static inline uintptr_t go_device_find(int32_t type, const char *name, taper_device *out) {
    return (uintptr_t)taper_device_find(type, name, out);
}
static inline uintptr_t go_device_parse(const char *text, taper_device *out) {
    return (uintptr_t)taper_device_parse(text, out);
}
static inline uintptr_t go_device_to_string(taper_device d, uintptr_t *out) {
    taper_string *s = 0;
    uintptr_t e = (uintptr_t)taper_device_to_string(d, &s);
    *out = (uintptr_t)s;
    return e;
}
static inline uintptr_t go_set_default_device(taper_device d) { return (uintptr_t)taper_set_default_device(d); }
static inline uintptr_t go_synchronize(taper_device d) { return (uintptr_t)taper_synchronize(d); }
static inline uintptr_t go_memory_stats(taper_device d, taper_memory_info *out) {
    return (uintptr_t)taper_memory_stats(d, out);
}
static inline uintptr_t go_memory_reset_peak(taper_device d) { return (uintptr_t)taper_memory_reset_peak(d); }
static inline uintptr_t go_memory_empty_cache(taper_device d) { return (uintptr_t)taper_memory_empty_cache(d); }
static inline uintptr_t go_memory_get_info(taper_device d, uint64_t *free_bytes, uint64_t *total) {
    return (uintptr_t)taper_memory_get_info(d, free_bytes, total);
}
static inline uintptr_t go_set_float32_matmul_precision(const char *precision) {
    return (uintptr_t)taper_set_float32_matmul_precision(precision);
}
*/
import "C"

import "runtime/cgo"

// Device is where a tensor's memory lies. The zero value means "not given".
type Device struct {
	Type, Index int32
}

// The first device of each type.
var (
	CPU    = Device{DeviceCPU, 0}
	CUDA   = Device{DeviceCUDA, 0}
	OpenCL = Device{DeviceOpenCL, 0}
	// Meta has shapes, strides and dtypes without elements.
	Meta = Device{DeviceMeta, 0}
)

func (d Device) c() C.taper_device {
	return C.taper_device{_type: C.int32_t(d.Type), index: C.int32_t(d.Index)}
}
func deviceFrom(d C.taper_device) Device { return Device{int32(d._type), int32(d.index)} }

// String is the text that ParseDevice reads: "opencl:0".
func (d Device) String() string {
	var s C.uintptr_t
	if err := check(uintptr(C.go_device_to_string(d.c(), &s))); err != nil {
		return "none"
	}
	return takeString(uintptr(s))
}

// ParseDevice reads "cpu", "cuda", "cuda:1", "opencl:0". Whether there is such a device, Check says.
func ParseDevice(name string) (Device, error) {
	t, err := text(name)
	if err != nil {
		return Device{}, err
	}
	defer freeText(t)
	var d C.taper_device
	err = check(uintptr(C.go_device_parse((*C.char)(t), &d)))
	return deviceFrom(d), err
}

// FindDevice returns the first device whose name, platform, vendor or version contains a text, in any case. kind is
// DeviceOpenCL and so on, or 0 for any. The error lists the devices that there are.
func FindDevice(kind int32, partOfName string) (Device, error) {
	t, err := text(partOfName)
	if err != nil {
		return Device{}, err
	}
	defer freeText(t)
	var d C.taper_device
	err = check(uintptr(C.go_device_find(C.int32_t(kind), (*C.char)(t), &d)))
	return deviceFrom(d), err
}

// DeviceCount is the number of devices of a type; 0 where the driver is missing.
func DeviceCount(kind int32) (int, error) {
	var n C.int32_t
	err := check(uintptr(C.go_device_count(C.int32_t(kind), &n)))
	return int(n), err
}

// Devices are all devices: the CPU, CUDA's, OpenCL's.
func Devices() []Device {
	var all []Device
	for _, kind := range []int32{DeviceCPU, DeviceCUDA, DeviceOpenCL} {
		n, _ := DeviceCount(kind)
		for i := range n {
			all = append(all, Device{kind, int32(i)})
		}
	}
	return all
}

// DeviceInfo says what a device is and can do. Texts that a driver does not tell are empty, numbers 0.
type DeviceInfo struct {
	Device Device
	// Version is OpenCL's version, CUDA's compute capability, the CPU's instruction set.
	Name, Vendor, Version, Driver, Platform string
	// Kind is "cpu" (also of an OpenCL device that is a CPU), "gpu", "accelerator" or "other".
	Kind string
	// ComputeUnits are multiprocessors of a GPU, threads that a CPU can run.
	ComputeUnits int
	// In bytes: memory, the largest single tensor, memory that the work-items of a group share.
	TotalMemory, MaxAllocation, LocalMemory uint64
	MaxWorkGroup, ClockMHz                  int
	// NativeFloat16: the device calculates in float16 itself; float16 tensors work without it.
	NativeFloat16 bool
	// UnifiedMemory: host and device share memory.
	UnifiedMemory bool
	// Capability is CUDA's compute capability, major and minor.
	Capability [2]int
	dtypes     uint64
}

// Supports says whether the device can hold tensors of a dtype and compute with them.
func (i DeviceInfo) Supports(d DType) bool { return d > 0 && i.dtypes>>uint(d.code())&1 == 1 }

// Info says what the device is and can do. The error says why there is no such device.
func (d Device) Info() (DeviceInfo, error) {
	var p C.taper_device_properties
	if err := check(uintptr(C.go_device_get_properties(d.c(), &p))); err != nil {
		return DeviceInfo{}, err
	}
	kind := "other"
	switch p.kind {
	case C.TAPER_DEVICE_KIND_CPU:
		kind = "cpu"
	case C.TAPER_DEVICE_KIND_GPU:
		kind = "gpu"
	case C.TAPER_DEVICE_KIND_ACCELERATOR:
		kind = "accelerator"
	}
	return DeviceInfo{
		Device:        deviceFrom(p.device),
		Name:          C.GoString(&p.name[0]),
		Vendor:        C.GoString(&p.vendor[0]),
		Version:       C.GoString(&p.version[0]),
		Driver:        C.GoString(&p.driver[0]),
		Platform:      C.GoString(&p.platform[0]),
		Kind:          kind,
		ComputeUnits:  int(p.compute_units),
		TotalMemory:   uint64(p.total_memory),
		MaxAllocation: uint64(p.max_allocation),
		LocalMemory:   uint64(p.local_memory),
		MaxWorkGroup:  int(p.max_work_group),
		ClockMHz:      int(p.clock_mhz),
		NativeFloat16: p.native_float16 != 0,
		UnifiedMemory: p.unified_memory != 0,
		Capability:    [2]int{int(p.capability_major), int(p.capability_minor)},
		dtypes:        uint64(p.dtypes),
	}, nil
}

// Check returns nil if the device can be used, else an error that says why not.
func (d Device) Check() error { return check(uintptr(C.go_device_check(d.c()))) }

// Synchronize waits until all work queued on the device is done.
func (d Device) Synchronize() error { return check(uintptr(C.go_synchronize(d.c()))) }

// DefaultDevice is the device of tensors made without naming one.
func DefaultDevice() Device { return deviceFrom(C.taper_get_default_device()) }

// SetDefaultDevice sets the device of tensors made without naming one, for the whole process.
func SetDefaultDevice(d Device) error { return check(uintptr(C.go_set_default_device(d.c()))) }

// MemoryStats are a device's allocator's statistics, in bytes.
type MemoryStats struct {
	// Held by live tensors now, and at most so far.
	Allocated, AllocatedPeak uint64
	// Obtained from the system (live and kept for reuse) now, and at most so far.
	Reserved, ReservedPeak uint64
	// Allocations served since the start.
	Allocations uint64
}

// MemoryStats returns the statistics of the device's allocator.
func (d Device) MemoryStats() (MemoryStats, error) {
	var m C.taper_memory_info
	err := check(uintptr(C.go_memory_stats(d.c(), &m)))
	return MemoryStats{uint64(m.allocated), uint64(m.allocated_peak), uint64(m.reserved), uint64(m.reserved_peak),
		uint64(m.allocations)}, err
}

// ResetPeakMemoryStats lets the peaks start anew from what is held now.
func (d Device) ResetPeakMemoryStats() error { return check(uintptr(C.go_memory_reset_peak(d.c()))) }

// EmptyCache gives the memory that the allocator keeps for reuse back to the system.
func (d Device) EmptyCache() error { return check(uintptr(C.go_memory_empty_cache(d.c()))) }

// MemoryInfo returns free and total memory in bytes. OpenCL does not tell what other processes hold.
func (d Device) MemoryInfo() (free, total uint64, err error) {
	var f, t C.uint64_t
	err = check(uintptr(C.go_memory_get_info(d.c(), &f, &t)))
	return uint64(f), uint64(t), err
}

// ManualSeedDevices seeds what devices other than the CPU draw; the CPU's numbers stay as they are.
func ManualSeedDevices(seed uint64) { C.taper_manual_seed_devices(C.uint64_t(seed)) }

// SetFloat32MatmulPrecision says how exactly float32 matrices are multiplied where a device has shorter formats:
// "highest" (float32, the default), "high" or "medium" (TF32 on CUDA).
func SetFloat32MatmulPrecision(precision string) error {
	t, err := text(precision)
	if err != nil {
		return err
	}
	defer freeText(t)
	return check(uintptr(C.go_set_float32_matmul_precision((*C.char)(t))))
}

// Float32MatmulPrecision is what SetFloat32MatmulPrecision set.
func Float32MatmulPrecision() string {
	return [...]string{"highest", "high", "medium"}[C.taper_get_float32_matmul_precision()]
}

// ConvAllowTF32 says whether float32 convolutions may use TF32 on CUDA; true at the start.
func ConvAllowTF32() bool { return bool(C.taper_get_conv_allow_tf32()) }

// SetConvAllowTF32 lets float32 convolutions use TF32 on CUDA, or not.
func SetConvAllowTF32(allow bool) { C.taper_set_conv_allow_tf32(C.bool(allow)) }

// ConvWinograd says whether float32 convolutions of 3x3 on the CPU may take Winograd's method; true unless TAPER_WINOGRAD=0.
func ConvWinograd() bool { return bool(C.taper_get_conv_winograd()) }

// SetConvWinograd lets float32 convolutions of 3x3 on the CPU take Winograd's method, or not, in all goroutines.
func SetConvWinograd(allow bool) { C.taper_set_conv_winograd(C.bool(allow)) }

// LogLevel says how much a message of the log matters.
type LogLevel int32

// SetLogCallback has f told what the library has to say besides errors, up to a level; nil: nobody, as at first. Any goroutine's
// call may run it, several at once; it must not call the library, and a panic of it is lost.
func SetLogCallback(f func(LogLevel, string), level LogLevel) error {
	var user C.uintptr_t
	if f != nil {
		user = C.uintptr_t(cgo.NewHandle(f))
	}
	return check(uintptr(C.go_set_log_callback(user, C.int32_t(level))))
}
