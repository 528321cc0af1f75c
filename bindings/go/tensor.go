package taper

/*
#include <taper.h>

typedef struct { uintptr_t err, out; } go_out;
static inline void go_tensor_free(uintptr_t t) { taper_tensor_free((taper_tensor *)t); }
static inline uint64_t go_tensor_id(uintptr_t t) { return taper_tensor_id((taper_tensor *)t); }
static inline int64_t go_tensor_ndim(uintptr_t t) { return taper_tensor_ndim((taper_tensor *)t); }
static inline int64_t go_tensor_numel(uintptr_t t) { return taper_tensor_numel((taper_tensor *)t); }
static inline int32_t go_tensor_dtype(uintptr_t t) { return taper_tensor_dtype((taper_tensor *)t); }
static inline taper_device go_tensor_device(uintptr_t t) { return taper_tensor_device((taper_tensor *)t); }
static inline int32_t go_tensor_requires_grad(uintptr_t t) { return taper_tensor_requires_grad((taper_tensor *)t); }
static inline int32_t go_tensor_is_leaf(uintptr_t t) { return taper_tensor_is_leaf((taper_tensor *)t); }
static inline uintptr_t go_tensor_set_requires_grad(uintptr_t t, bool on) {
    return (uintptr_t)taper_tensor_set_requires_grad((taper_tensor *)t, on);
}
static inline uintptr_t go_tensor_retain_grad(uintptr_t t) {
    return (uintptr_t)taper_tensor_retain_grad((taper_tensor *)t);
}
static inline uintptr_t go_tensor_sizes(uintptr_t t, int64_t *buf, size_t len) {
    size_t n = 0;
    return (uintptr_t)taper_tensor_sizes((taper_tensor *)t, buf, len, &n);
}
static inline go_out go_tensor_ref(uintptr_t t) {
    go_out r = {0};
    taper_tensor *p = 0;
    r.err = (uintptr_t)taper_tensor_ref((taper_tensor *)t, &p);
    r.out = (uintptr_t)p;
    return r;
}
static inline go_out go_tensor_grad(uintptr_t t) {
    go_out r = {0};
    taper_tensor *p = 0;
    r.err = (uintptr_t)taper_tensor_grad((taper_tensor *)t, &p);
    r.out = (uintptr_t)p;
    return r;
}
static inline uintptr_t go_tensor_set_grad(uintptr_t t, uintptr_t g) {
    return (uintptr_t)taper_tensor_set_grad((taper_tensor *)t, (taper_tensor *)g);
}
static inline go_out go_tensor_to_string(uintptr_t t) {
    go_out r = {0};
    taper_string *p = 0;
    r.err = (uintptr_t)taper_tensor_to_string((taper_tensor *)t, &p);
    r.out = (uintptr_t)p;
    return r;
}
typedef struct { uintptr_t err; taper_scalar out; } go_scalar_out;
static inline go_scalar_out go_tensor_item(uintptr_t t) {
    go_scalar_out r = {0};
    r.err = (uintptr_t)taper_tensor_item((taper_tensor *)t, &r.out);
    return r;
}
static inline uintptr_t go_tensor_copy_to_host(uintptr_t t, void *buf, size_t n) {
    return (uintptr_t)taper_tensor_copy_to_host((taper_tensor *)t, buf, n);
}
static inline go_out go_tensor_from_data(const void *data, const int64_t *sizes, size_t n, int32_t dtype,
                                         taper_device device) {
    go_out r = {0};
    taper_tensor *p = 0;
    r.err = (uintptr_t)taper_tensor_from_data(data, sizes, n, dtype, device, &p);
    r.out = (uintptr_t)p;
    return r;
}
static inline size_t go_list_len(uintptr_t l) { return taper_tensor_list_len((taper_tensor_list *)l); }
static inline go_out go_list_get(uintptr_t l, size_t i) {
    go_out r = {0};
    taper_tensor *p = 0;
    r.err = (uintptr_t)taper_tensor_list_get((taper_tensor_list *)l, i, &p);
    r.out = (uintptr_t)p;
    return r;
}
static inline void go_list_free(uintptr_t l) { taper_tensor_list_free((taper_tensor_list *)l); }

// Index items come flat: kind, start, stop, step, tensor for each.
static inline void go_items(const int64_t *flat, size_t n, taper_index_item *items) {
    for (size_t i = 0; i < n; ++i) {
        items[i].kind = (int32_t)flat[5 * i];
        items[i].start = flat[5 * i + 1];
        items[i].stop = flat[5 * i + 2];
        items[i].step = flat[5 * i + 3];
        items[i].tensor = (taper_tensor *)(uintptr_t)flat[5 * i + 4];
    }
}
#define GO_MAX_ITEMS 64
static inline go_out go_tensor_index(uintptr_t t, const int64_t *flat, size_t n) {
    taper_index_item items[GO_MAX_ITEMS];
    go_items(flat, n, items);
    go_out r = {0};
    taper_tensor *p = 0;
    r.err = (uintptr_t)taper_tensor_index((taper_tensor *)t, items, n, &p);
    r.out = (uintptr_t)p;
    return r;
}
static inline uintptr_t go_tensor_index_put(uintptr_t t, const int64_t *flat, size_t n, uintptr_t value) {
    taper_index_item items[GO_MAX_ITEMS];
    go_items(flat, n, items);
    return (uintptr_t)taper_tensor_index_put((taper_tensor *)t, items, n, (taper_tensor *)value);
}
static inline uintptr_t go_tensor_index_fill(uintptr_t t, const int64_t *flat, size_t n, taper_scalar value) {
    taper_index_item items[GO_MAX_ITEMS];
    go_items(flat, n, items);
    return (uintptr_t)taper_tensor_index_fill((taper_tensor *)t, items, n, value);
}
*/
import "C"

import (
	"fmt"
	"math"
	"runtime"
	"unsafe"
)

// Tensor is an n-dimensional array. Its methods never change the receiver unless their name ends in InPlace.
type Tensor struct{ object }

func freeTensor(h uintptr) { C.go_tensor_free(C.uintptr_t(h)) }

// adopt takes over a handle; nil for none.
func adopt(h uintptr) *Tensor {
	if h == 0 {
		return nil
	}
	t := &Tensor{}
	t.own(h, freeTensor)
	relieve(t)
	return t
}

// borrow makes a tensor of a handle that somebody else owns.
func borrow(h C.uintptr_t) (*Tensor, error) {
	if h == 0 {
		return nil, nil
	}
	r := C.go_tensor_ref(h)
	if r.err != 0 {
		return nil, check(uintptr(r.err))
	}
	return adopt(uintptr(r.out)), nil
}

// ptr is the handle for a call; the caller keeps t alive until it returned. 0 for nil.
func (t *Tensor) ptr() C.uintptr_t {
	if t == nil {
		return 0
	}
	return C.uintptr_t(t.h)
}

// giveAway is another handle, owned by whom it is handed to.
func (t *Tensor) giveAway() (uintptr, error) {
	if t == nil {
		return 0, nil
	}
	r := C.go_tensor_ref(t.ptr())
	runtime.KeepAlive(t)
	return uintptr(r.out), check(uintptr(r.err))
}

// Close frees the tensor now. Closing again does nothing; using a closed tensor is an error.
func (t *Tensor) Close() error {
	if t == nil {
		return nil
	}
	return t.release(freeTensor)
}

// HandOver says that whoever t is handed to next may close it, and returns t: `return y.HandOver(), nil` in a Forward, a
// Backward or a hook frees a result that nobody else holds as soon as the library has taken it over. Without it the
// collector does so later, and a tensor that is kept elsewhere (a parameter, a cached result) stays open.
func (t *Tensor) HandOver() *Tensor {
	if t != nil {
		t.handed.Store(true)
	}
	return t
}

// CloseAll closes several tensors; nil ones are skipped.
func CloseAll(tensors ...*Tensor) {
	for _, t := range tensors {
		_ = t.Close()
	}
}

func handlesOf(tensors []*Tensor) []C.uintptr_t {
	h := make([]C.uintptr_t, len(tensors))
	for i, t := range tensors {
		h[i] = t.ptr()
	}
	return h
}
func handleArray(h []C.uintptr_t) *C.uintptr_t { return unsafe.SliceData(h) }

// adoptList takes over a list; absent tensors come as nil.
func adoptList(l uintptr) ([]*Tensor, error) {
	defer C.go_list_free(C.uintptr_t(l))
	return borrowList(C.uintptr_t(l))
}

// borrowList gives the tensors of a list that stays its owner's.
func borrowList(c C.uintptr_t) ([]*Tensor, error) {
	out := make([]*Tensor, int(C.go_list_len(c)))
	for i := range out {
		r := C.go_list_get(c, C.size_t(i))
		if r.err != 0 {
			CloseAll(out...)
			return nil, check(uintptr(r.err))
		}
		out[i] = adopt(uintptr(r.out))
	}
	return out, nil
}

// Element is what tensors can be made of and read as.
type Element interface {
	uint8 | int8 | int16 | int32 | int64 | float32 | float64 | bool | complex64 | complex128
}

func dtypeOf[T Element]() DType {
	var v T
	switch any(v).(type) {
	case uint8:
		return Uint8
	case int8:
		return Int8
	case int16:
		return Int16
	case int32:
		return Int32
	case int64:
		return Int64
	case float32:
		return Float32
	case float64:
		return Float64
	case bool:
		return BoolType
	case complex64:
		return Complex64
	case complex128:
		return Complex128
	}
	return 0 // no other type satisfies Element
}

// sizesFor checks that sizes fit a slice of n elements; none given: one dimension. FromSlice(data, []int64{}...) makes a
// tensor without dimensions.
func sizesFor(op string, n int, sizes []int64) ([]int64, error) {
	if sizes == nil {
		return []int64{int64(n)}, nil
	}
	want := int64(1)
	for _, s := range sizes {
		if s < 0 || (s > 0 && want > math.MaxInt64/s) {
			return nil, &Error{Code: ErrorValue, Arg: 1, Op: op, Message: fmt.Sprintf("%s: invalid sizes %v", op, sizes)}
		}
		want *= s
	}
	if want != int64(n) {
		return nil, &Error{Code: ErrorValue, Arg: 1, Op: op, Message: fmt.Sprintf(
			"%s: sizes %v need %d elements, but %d were given", op, sizes, want, n)}
	}
	return sizes, nil
}

// FromSlice makes a tensor with a copy of row-major data on the default device; without sizes it has one dimension. The
// dtype is the slice's: a []float64 gives Float64, where PyTorch's lists of numbers give the default float type (Cast
// converts). Ops that take a Scalar (Full, Arange) follow PyTorch: Float gives the default float type, Int gives Int64.
func FromSlice[T Element](data []T, sizes ...int64) (*Tensor, error) {
	sizes, err := sizesFor("FromSlice", len(data), sizes)
	if err != nil {
		return nil, err
	}
	return copied(data, sizes, Device{})
}

func copied[T Element](data []T, sizes []int64, on Device) (*Tensor, error) {
	d := dtypeOf[T]()
	r := C.go_tensor_from_data(unsafe.Pointer(unsafe.SliceData(data)), (*C.int64_t)(ints(sizes)), C.size_t(len(sizes)),
		C.int32_t(d.code()), on.c())
	return adopt(uintptr(r.out)), check(uintptr(r.err))
}

// FromRows makes a matrix from rows of equal length, on the default device.
func FromRows[T Element](rows [][]T) (*Tensor, error) {
	var flat []T
	columns := 0
	for i, r := range rows {
		if i == 0 {
			columns = len(r)
		}
		if len(r) != columns {
			return nil, &Error{Code: ErrorValue, Arg: 0, Op: "FromRows", Message: fmt.Sprintf(
				"FromRows: expected rows of length %d as the first, but row %d has length %d", columns, i, len(r))}
		}
		flat = append(flat, r...)
	}
	return FromSlice(flat, int64(len(rows)), int64(columns))
}

// ToSlice copies the elements row-major; the tensor's dtype must be T's (convert with Cast).
func ToSlice[T Element](t *Tensor) ([]T, error) {
	if have, want := t.DType(), dtypeOf[T](); have != want {
		return nil, &Error{Code: ErrorType, Arg: 0, Op: "ToSlice", Message: fmt.Sprintf(
			"ToSlice: the tensor's dtype is %v, but %v was asked for; convert with Cast", have, want)}
	}
	out := make([]T, t.Numel())
	var v T
	e := C.go_tensor_copy_to_host(t.ptr(), unsafe.Pointer(unsafe.SliceData(out)), C.size_t(uintptr(len(out))*unsafe.Sizeof(v)))
	runtime.KeepAlive(t)
	return out, check(uintptr(e))
}

// Sizes of all dimensions; nil for a closed tensor.
func (t *Tensor) Sizes() []int64 {
	n := t.Dim()
	if n < 0 {
		return nil
	}
	s := make([]int64, n)
	e := C.go_tensor_sizes(t.ptr(), (*C.int64_t)(ints(s)), C.size_t(n))
	runtime.KeepAlive(t)
	if check(uintptr(e)) != nil {
		return nil
	}
	return s
}

// Size of one dimension, which may count from the end; -1 when it is out of range.
func (t *Tensor) Size(dim int) int64 {
	s := t.Sizes()
	if dim < 0 {
		dim += len(s)
	}
	if dim < 0 || dim >= len(s) {
		return -1
	}
	return s[dim]
}

// Dim is the number of dimensions; -1 for a closed tensor.
func (t *Tensor) Dim() int {
	defer runtime.KeepAlive(t)
	return int(C.go_tensor_ndim(t.ptr()))
}

// Numel is the number of elements; -1 for a closed tensor.
func (t *Tensor) Numel() int64 {
	defer runtime.KeepAlive(t)
	return int64(C.go_tensor_numel(t.ptr()))
}

// DType is the element type; 0 for a closed tensor.
func (t *Tensor) DType() DType {
	defer runtime.KeepAlive(t)
	return dtypeFrom(int32(C.go_tensor_dtype(t.ptr())))
}

// Device is where the memory lies.
func (t *Tensor) Device() Device {
	defer runtime.KeepAlive(t)
	d := C.go_tensor_device(t.ptr())
	return Device{int32(d._type), int32(d.index)}
}

// ID tells whether two Tensors are the same tensor of the library; 0 for a closed one.
func (t *Tensor) ID() uint64 {
	defer runtime.KeepAlive(t)
	return uint64(C.go_tensor_id(t.ptr()))
}

// Item is the one element of a tensor with exactly one.
func (t *Tensor) Item() (Scalar, error) {
	r := C.go_tensor_item(t.ptr())
	runtime.KeepAlive(t)
	if r.err != 0 {
		return Scalar{}, check(uintptr(r.err))
	}
	return scalarFrom(r.out), nil
}

// String is the text that PyTorch prints.
func (t *Tensor) String() string {
	if t == nil {
		return "<nil>"
	}
	r := C.go_tensor_to_string(t.ptr())
	runtime.KeepAlive(t)
	if err := check(uintptr(r.err)); err != nil {
		return "<" + err.Error() + ">"
	}
	return takeString(uintptr(r.out))
}

// RequiresGrad says whether gradients flow through the tensor.
func (t *Tensor) RequiresGrad() bool {
	defer runtime.KeepAlive(t)
	return C.go_tensor_requires_grad(t.ptr()) == 1
}

// IsLeaf says whether the user made the tensor rather than a recorded op.
func (t *Tensor) IsLeaf() bool {
	defer runtime.KeepAlive(t)
	return C.go_tensor_is_leaf(t.ptr()) == 1
}

// SetRequiresGrad marks a leaf as wanting gradients.
func (t *Tensor) SetRequiresGrad(on bool) error {
	defer runtime.KeepAlive(t)
	return check(uintptr(C.go_tensor_set_requires_grad(t.ptr(), C.bool(on))))
}

// RetainGrad keeps the gradient of a tensor that is no leaf.
func (t *Tensor) RetainGrad() error {
	defer runtime.KeepAlive(t)
	return check(uintptr(C.go_tensor_retain_grad(t.ptr())))
}

// Grad is the accumulated gradient; nil when there is none.
func (t *Tensor) Grad() (*Tensor, error) {
	r := C.go_tensor_grad(t.ptr())
	runtime.KeepAlive(t)
	return adopt(uintptr(r.out)), check(uintptr(r.err))
}

// SetGrad replaces the gradient; nil clears it.
func (t *Tensor) SetGrad(g *Tensor) error {
	e := C.go_tensor_set_grad(t.ptr(), g.ptr())
	runtime.KeepAlive(t)
	runtime.KeepAlive(g)
	return check(uintptr(e))
}

// IndexItem is one part of an index expression: At, a Slice, NewAxis, Ellipsis or an index tensor.
type IndexItem interface{ item() [5]int64 }

// At is one index of a dimension, which disappears.
type At int64

// Slice is a range of a dimension; nil bounds reach to the end. Step 0 means 1.
type Slice struct {
	Start, Stop *int64
	Step        int64
}
type marker int64

// NewAxis inserts a dimension of size 1; Ellipsis stands for all dimensions not named.
const (
	NewAxis  = marker(C.TAPER_INDEX_NEWAXIS)
	Ellipsis = marker(C.TAPER_INDEX_ELLIPSIS)
)

// Range is the slice from start to stop, exclusive.
func Range(start, stop int64) Slice { return Slice{Start: &start, Stop: &stop} }

func (a At) item() [5]int64 { return [5]int64{C.TAPER_INDEX_INT, int64(a), 0, 1, 0} }
func (s Slice) item() [5]int64 {
	step := s.Step
	if step == 0 {
		step = 1
	}
	return [5]int64{C.TAPER_INDEX_SLICE, or(s.Start, math.MinInt64), or(s.Stop, math.MinInt64), step, 0}
}
func (m marker) item() [5]int64 { return [5]int64{int64(m), 0, 0, 1, 0} }
func (t *Tensor) item() [5]int64 {
	return [5]int64{C.TAPER_INDEX_TENSOR, 0, 0, 1, int64(t.ptr())}
}
func flatItems(items []IndexItem) ([]int64, error) {
	if len(items) > int(C.GO_MAX_ITEMS) {
		return nil, &Error{Code: ErrorIndex, Arg: -1, Op: "index", Message: fmt.Sprintf("too many indices: %d", len(items))}
	}
	flat := make([]int64, 0, 5*len(items))
	for n, i := range items {
		if i == nil {
			return nil, &Error{Code: ErrorValue, Arg: 1, Op: "index", Message: fmt.Sprintf("index: item %d is nil", n)}
		}
		v := i.item()
		flat = append(flat, v[:]...)
	}
	return flat, nil
}

// Get is t[items]: a view where only At, Slice, NewAxis and Ellipsis are used, else a copy.
func (t *Tensor) Get(items ...IndexItem) (*Tensor, error) {
	flat, err := flatItems(items)
	if err != nil {
		return nil, err
	}
	r := C.go_tensor_index(t.ptr(), (*C.int64_t)(ints(flat)), C.size_t(len(items)))
	runtime.KeepAlive(t)
	runtime.KeepAlive(items)
	return adopt(uintptr(r.out)), check(uintptr(r.err))
}

// Set is t[items] = value.
func (t *Tensor) Set(value *Tensor, items ...IndexItem) error {
	flat, err := flatItems(items)
	if err != nil {
		return err
	}
	e := C.go_tensor_index_put(t.ptr(), (*C.int64_t)(ints(flat)), C.size_t(len(items)), value.ptr())
	runtime.KeepAlive(t)
	runtime.KeepAlive(items)
	runtime.KeepAlive(value)
	return check(uintptr(e))
}

// SetScalar is t[items] = number.
func (t *Tensor) SetScalar(value Scalar, items ...IndexItem) error {
	flat, err := flatItems(items)
	if err != nil {
		return err
	}
	e := C.go_tensor_index_fill(t.ptr(), (*C.int64_t)(ints(flat)), C.size_t(len(items)), value.c())
	runtime.KeepAlive(t)
	runtime.KeepAlive(items)
	return check(uintptr(e))
}
