package taper

/*
#include "shims.h"

static inline go_pair go_tensor_data(uintptr_t t) {
    void *p = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_tensor_data((taper_tensor *)t, &p);
    r.out = (uintptr_t)p;
    return r;
}
static inline int32_t go_tensor_is_contiguous(uintptr_t t) { return taper_tensor_is_contiguous((taper_tensor *)t); }
static inline uintptr_t go_tensor_strides(uintptr_t t, int64_t *buf, size_t len) {
    size_t n = 0;
    return (uintptr_t)taper_tensor_strides((taper_tensor *)t, buf, len, &n);
}
static inline uint64_t go_tensor_storage_id(uintptr_t t) { return taper_tensor_storage_id((taper_tensor *)t); }
static inline int64_t go_tensor_storage_offset(uintptr_t t) { return taper_tensor_storage_offset((taper_tensor *)t); }
static inline size_t go_dtype_size(int32_t d) { return taper_dtype_size(d); }
static inline uintptr_t go_set_printoptions(const char *profile, const int64_t *precision, const double *threshold,
                                            const int64_t *edgeitems, const int64_t *linewidth, const bool *sci_mode) {
    return (uintptr_t)taper_set_printoptions(precision, threshold, edgeitems, linewidth, profile, sci_mode);
}
static inline uintptr_t go_tensor_set_data(uintptr_t t, uintptr_t src) {
    return (uintptr_t)taper_tensor_set_data((taper_tensor *)t, (taper_tensor *)src);
}
static inline go_pair go_tensor_to_dlpack(uintptr_t t) {
    struct DLManagedTensorVersioned *d = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_tensor_to_dlpack((taper_tensor *)t, &d);
    r.out = (uintptr_t)d;
    return r;
}
static inline go_pair go_tensor_from_dlpack(void *d) {
    taper_tensor *t = 0;
    go_pair r = {0, 0};
    r.err = (uintptr_t)taper_tensor_from_dlpack((struct DLManagedTensorVersioned *)d, &t);
    r.out = (uintptr_t)t;
    return r;
}
static inline uintptr_t go_set_num_threads(int32_t n) { return (uintptr_t)taper_set_num_threads(n); }
static inline uintptr_t go_set_default_dtype(int32_t d) { return (uintptr_t)taper_set_default_dtype(d); }
static inline uintptr_t go_check_abi(void) { return (uintptr_t)taper_check_abi(TAPER_ABI_VERSION); }
static inline void *go_pointer(uintptr_t p) { return (void *)p; }
*/
import "C"

import (
	"fmt"
	"runtime"
	"runtime/cgo"
	"unsafe"
)

func init() {
	// A library of another ABI would read garbage: better to end here, with its message.
	Check(check(uintptr(C.go_check_abi())))
	Check(check(uintptr(C.go_install_out_of_memory())))
}

// FromBuffer makes a tensor over the slice's own memory, without copying: what one writes, the other reads. The slice is
// pinned until the last tensor that uses it is freed. Without sizes the tensor has one dimension.
func FromBuffer[T Element](data []T, sizes ...int64) (*Tensor, error) {
	sizes, err := sizesFor("FromBuffer", len(data), sizes)
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return copied(data, sizes, CPU)
	}
	pinner := new(runtime.Pinner)
	p := unsafe.SliceData(data)
	pinner.Pin(p)
	return fromBuffer(unsafe.Pointer(p), dtypeOf[T](), sizes, nil, pinner.Unpin)
}

// FromPointer makes a CPU tensor over memory of C's, without copying. Strides count elements; nil means row-major.
// release, unless nil, is called exactly once, on any goroutine: when the last tensor that uses the memory is freed, or
// before FromPointer returns an error. It must not panic.
func FromPointer(data unsafe.Pointer, dtype DType, sizes, strides []int64, release func()) (*Tensor, error) {
	if release == nil {
		release = func() {}
	}
	if strides != nil && len(strides) != len(sizes) {
		release()
		return nil, &Error{Code: ErrorValue, Arg: 3, Op: "FromPointer", Message: fmt.Sprintf(
			"FromPointer: %d sizes but %d strides were given", len(sizes), len(strides))}
	}
	return fromBuffer(data, dtype, sizes, strides, release)
}
func fromBuffer(p unsafe.Pointer, dtype DType, sizes, strides []int64, release func()) (*Tensor, error) {
	r := C.go_from_buffer(p, (*C.int64_t)(ints(sizes)), C.size_t(len(sizes)), (*C.int64_t)(intsOrNil(strides)),
		C.int32_t(dtype.code()), C.uintptr_t(cgo.NewHandle(release)))
	return adopt(uintptr(r.out)), check(uintptr(r.err))
}

// Data is the memory of a contiguous CPU tensor, without copying: valid until the tensor is closed or becomes unreachable
// (runtime.KeepAlive), and T must be its dtype.
func Data[T Element](t *Tensor) ([]T, error) {
	defer runtime.KeepAlive(t)
	if have, want := t.DType(), dtypeOf[T](); have != want {
		return nil, &Error{Code: ErrorType, Arg: 0, Op: "Data", Message: fmt.Sprintf(
			"Data: the tensor's dtype is %v, but %v was asked for; convert with Cast", have, want)}
	}
	if !t.IsContiguous() {
		return nil, &Error{Code: ErrorValue, Arg: 0, Op: "Data", Message: "Data: the tensor is not contiguous; call Contiguous"}
	}
	r := C.go_tensor_data(t.ptr())
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	return unsafe.Slice((*T)(C.go_pointer(r.out)), int(t.Numel())), nil
}

// IsContiguous says whether the elements lie row-major without gaps.
func (t *Tensor) IsContiguous() bool {
	defer runtime.KeepAlive(t)
	return C.go_tensor_is_contiguous(t.ptr()) == 1
}

// Strides of all dimensions, in elements; nil for a closed tensor.
func (t *Tensor) Strides() []int64 {
	n := t.Dim()
	if n < 0 {
		return nil
	}
	s := make([]int64, n)
	e := C.go_tensor_strides(t.ptr(), (*C.int64_t)(ints(s)), C.size_t(n))
	runtime.KeepAlive(t)
	if check(uintptr(e)) != nil {
		return nil
	}
	return s
}

// StorageID is equal for tensors that share memory; 0 for a closed one.
func (t *Tensor) StorageID() uint64 {
	defer runtime.KeepAlive(t)
	return uint64(C.go_tensor_storage_id(t.ptr()))
}

// StorageOffset is the position of the first element in the memory that the tensor views, in elements; -1 for a closed
// tensor.
func (t *Tensor) StorageOffset() int64 {
	defer runtime.KeepAlive(t)
	return int64(C.go_tensor_storage_offset(t.ptr()))
}

// Size is the number of bytes of one element.
func (d DType) Size() int { return int(C.go_dtype_size(C.int32_t(d.code()))) }

// Nbytes is the number of bytes of the tensor's elements; 0 for a closed tensor.
func (t *Tensor) Nbytes() int64 { return max(0, t.Numel()) * int64(t.DType().Size()) }

// PrintOptions say how tensors are printed, as torch.set_printoptions: what the profile ("default", "short", "full"; empty
// is the default) says, then each value that is given.
type PrintOptions struct {
	Profile                         string
	Precision, Edgeitems, Linewidth *int64
	Threshold                       *float64
	// SciMode nil is what the numbers suggest.
	SciMode *bool
}

// SetPrintOptions sets them for the whole process.
func SetPrintOptions(o PrintOptions) error {
	profile, err := text(orString(o.Profile, "default"))
	if err != nil {
		return err
	}
	defer freeText(profile)
	e := C.go_set_printoptions((*C.char)(profile), (*C.int64_t)(o.Precision), (*C.double)(o.Threshold),
		(*C.int64_t)(o.Edgeitems), (*C.int64_t)(o.Linewidth), (*C.bool)(o.SciMode))
	return check(uintptr(e))
}

// SetData lets t take over the memory, shape and dtype of src and keep its identity, like t.data = src.
func (t *Tensor) SetData(src *Tensor) error {
	e := C.go_tensor_set_data(t.ptr(), src.ptr())
	runtime.KeepAlive(t)
	runtime.KeepAlive(src)
	return check(uintptr(e))
}

// ToDLPack is a DLManagedTensorVersioned of C that shares the tensor's memory. Whoever takes it calls its deleter.
func (t *Tensor) ToDLPack() (unsafe.Pointer, error) {
	r := C.go_tensor_to_dlpack(t.ptr())
	runtime.KeepAlive(t)
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	return C.go_pointer(r.out), nil
}

// FromDLPack takes over a DLManagedTensorVersioned of C, without copying where the memory can be shared. Its deleter is
// called exactly once, also when an error comes back.
func FromDLPack(managed unsafe.Pointer) (*Tensor, error) {
	r := C.go_tensor_from_dlpack(managed)
	return adopt(uintptr(r.out)), check(uintptr(r.err))
}

// NumThreads is the number of threads that CPU kernels use.
func NumThreads() int { return int(C.taper_get_num_threads()) }

// SetNumThreads sets the number of threads that CPU kernels use, at least 1. Results do not depend on it.
func SetNumThreads(n int) error { return check(uintptr(C.go_set_num_threads(C.int32_t(n)))) }

// DefaultDType is the dtype of tensors made from floats when none is named.
func DefaultDType() DType { return dtypeFrom(int32(C.taper_get_default_dtype())) }

// SetDefaultDType sets it; a float dtype.
func SetDefaultDType(d DType) error {
	return check(uintptr(C.go_set_default_dtype(C.int32_t(d.code()))))
}
