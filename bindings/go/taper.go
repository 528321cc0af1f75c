// Package taper is a thin torch: tensors, automatic differentiation, modules and optimisers over the C library
// libtaper.
//
// Whatever can fail returns an error of type *Error, which carries the code and the op. Tensors hold memory that Go's
// collector does not see: call Close when one is no longer needed. A tensor that is dropped without Close is freed by
// a cleanup some time after the collector finds it; when the library runs out of memory it asks for a collection once
// before it gives up.
//
// Grad mode belongs to the operating system's thread, which a goroutine may change: switch it with NoGrad, which pins
// the goroutine while its function runs. Everything else may be used from any goroutine.
package taper

/*
#cgo CFLAGS: -I${SRCDIR}/../../include
#cgo LDFLAGS: -L${SRCDIR}/../../target/release -ltaper -Wl,-rpath,${SRCDIR}/../../target/release
#include <stdlib.h>
#include <taper.h>

static inline int32_t go_error_code(uintptr_t e) { return taper_error_code((taper_error *)e); }
static inline const char *go_error_message(uintptr_t e) { return taper_error_message((taper_error *)e); }
static inline const char *go_error_op(uintptr_t e) { return taper_error_op((taper_error *)e); }
static inline int32_t go_error_arg(uintptr_t e) { return taper_error_arg((taper_error *)e); }
static inline uintptr_t go_error_payload(uintptr_t e) { return (uintptr_t)taper_error_payload((taper_error *)e); }
static inline void go_error_free(uintptr_t e) { taper_error_free((taper_error *)e); }
static inline const char *go_string_data(uintptr_t s) { return taper_string_data((taper_string *)s); }
static inline size_t go_string_len(uintptr_t s) { return taper_string_len((taper_string *)s); }
static inline void go_string_free(uintptr_t s) { taper_string_free((taper_string *)s); }
static inline uintptr_t go_generator_new(uintptr_t *out) {
    taper_generator *g = 0;
    uintptr_t e = (uintptr_t)taper_generator_new(&g);
    *out = (uintptr_t)g;
    return e;
}
static inline uintptr_t go_generator_manual_seed(uintptr_t g, uint64_t seed) {
    return (uintptr_t)taper_generator_manual_seed((taper_generator *)g, seed);
}
static inline void go_generator_free(uintptr_t g) { taper_generator_free((taper_generator *)g); }
*/
import "C"

import (
	"runtime"
	"runtime/cgo"
	"unsafe"
)

// Error codes: what Error.Code says.
const (
	ErrorRuntime        = int(C.TAPER_ERROR_RUNTIME)
	ErrorIndex          = int(C.TAPER_ERROR_INDEX)
	ErrorType           = int(C.TAPER_ERROR_TYPE)
	ErrorValue          = int(C.TAPER_ERROR_VALUE)
	ErrorOutOfMemory    = int(C.TAPER_ERROR_OUT_OF_MEMORY)
	ErrorNotImplemented = int(C.TAPER_ERROR_NOT_IMPLEMENTED)
	ErrorInvalidHandle  = int(C.TAPER_ERROR_INVALID_HANDLE)
	ErrorIO             = int(C.TAPER_ERROR_IO)
	ErrorCallback       = int(C.TAPER_ERROR_CALLBACK)
	ErrorInternal       = int(C.TAPER_ERROR_INTERNAL)
	ErrorKey            = int(C.TAPER_ERROR_KEY)
)

// Error is what the library reports.
type Error struct {
	// Code is one of the Error constants.
	Code int
	// Op is the op that failed, or "".
	Op string
	// Arg is the index of the argument at fault, or -1.
	Arg     int
	Message string
}

func (e *Error) Error() string { return e.Message }

// check turns the library's error into Go's and frees it. An error that a Go callback returned comes back as itself.
func check(e uintptr) error {
	if e == 0 {
		return nil
	}
	c := C.uintptr_t(e)
	defer C.go_error_free(c)
	code := int(C.go_error_code(c))
	if code == ErrorCallback {
		if p := uintptr(C.go_error_payload(c)); p != 0 {
			if err, ok := cgo.Handle(p).Value().(error); ok {
				return err
			}
		}
	}
	op := ""
	if s := C.go_error_op(c); s != nil {
		op = C.GoString(s)
	}
	return &Error{Code: code, Op: op, Arg: int(C.go_error_arg(c)), Message: C.GoString(C.go_error_message(c))}
}

// Must returns v, or panics with err: for examples and for programs that end at the first error.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Check panics with err unless it is nil.
func Check(err error) {
	if err != nil {
		panic(err)
	}
}

// Ptr returns a pointer to v, for optional arguments.
func Ptr[T any](v T) *T { return &v }

// DType is an element type. The zero value means "not given".
type DType int32

// Element types.
const (
	Uint8    DType = DType(C.TAPER_UINT8) + 1
	Int8     DType = DType(C.TAPER_INT8) + 1
	Int16    DType = DType(C.TAPER_INT16) + 1
	Int32    DType = DType(C.TAPER_INT32) + 1
	Int64    DType = DType(C.TAPER_INT64) + 1
	Float16  DType = DType(C.TAPER_FLOAT16) + 1
	Float32  DType = DType(C.TAPER_FLOAT32) + 1
	Float64  DType = DType(C.TAPER_FLOAT64) + 1
	BoolType DType = DType(C.TAPER_BOOL) + 1
	BFloat16 DType = DType(C.TAPER_BFLOAT16) + 1
)

func (d DType) code() int32      { return int32(d) - 1 }
func dtypeFrom(code int32) DType { return DType(code + 1) }
func (d DType) or(code int32) DType {
	if d == 0 {
		return dtypeFrom(code)
	}
	return d
}

// String is PyTorch's name.
func (d DType) String() string {
	if s := C.taper_dtype_name(C.int32_t(d.code())); d != 0 && s != nil {
		return C.GoString(s)
	}
	return "none"
}

// Scalar is a number that keeps its category in type promotion. Make one with Int, Float or Bool; the zero value
// means "not given".
type Scalar struct {
	kind int8
	i    int64
	f    float64
}

// Int is an integer.
func Int(v int64) Scalar { return Scalar{kind: 2, i: v} }

// Float is a floating-point number.
func Float(v float64) Scalar { return Scalar{kind: 1, f: v} }

// Bool is a truth value.
func Bool(v bool) Scalar {
	s := Scalar{kind: 3}
	if v {
		s.i = 1
	}
	return s
}
func (s Scalar) set() bool { return s.kind != 0 }
func (s Scalar) or(d Scalar) Scalar {
	if s.set() {
		return s
	}
	return d
}
func (s Scalar) c() C.taper_scalar {
	switch s.kind {
	case 1:
		return C.taper_scalar{kind: C.TAPER_SCALAR_FLOAT, f: C.double(s.f)}
	case 3:
		return C.taper_scalar{kind: C.TAPER_SCALAR_BOOL, i: C.int64_t(s.i)}
	}
	return C.taper_scalar{kind: C.TAPER_SCALAR_INT, i: C.int64_t(s.i)}
}
func scalarFrom(s C.taper_scalar) Scalar {
	switch s.kind {
	case C.TAPER_SCALAR_FLOAT:
		return Float(float64(s.f))
	case C.TAPER_SCALAR_BOOL:
		return Bool(s.i != 0)
	}
	return Int(int64(s.i))
}

// Float64 is the scalar's value.
func (s Scalar) Float64() float64 {
	if s.kind == 1 {
		return s.f
	}
	return float64(s.i)
}

// Int64 is the scalar's value, floats rounded to zero.
func (s Scalar) Int64() int64 {
	if s.kind == 1 {
		return int64(s.f)
	}
	return s.i
}

// Generator makes random numbers; the default one is seeded by ManualSeed.
type Generator struct {
	h       uintptr
	cleanup runtime.Cleanup
}

// NewGenerator makes a generator with the default seed.
func NewGenerator() (*Generator, error) {
	var h C.uintptr_t
	if e := C.go_generator_new(&h); e != 0 {
		return nil, check(uintptr(e))
	}
	g := &Generator{h: uintptr(h)}
	g.cleanup = runtime.AddCleanup(g, func(h uintptr) { C.go_generator_free(C.uintptr_t(h)) }, g.h)
	return g, nil
}
func (g *Generator) ptr() C.uintptr_t {
	if g == nil {
		return 0
	}
	return C.uintptr_t(g.h)
}

// ManualSeed restarts the generator.
func (g *Generator) ManualSeed(seed uint64) error {
	e := C.go_generator_manual_seed(g.ptr(), C.uint64_t(seed))
	runtime.KeepAlive(g)
	return check(uintptr(e))
}

// ManualSeed restarts the default generator: the same seed gives the same numbers as PyTorch's on the CPU.
func ManualSeed(seed uint64) { C.taper_manual_seed(C.uint64_t(seed)) }

// Version of the library.
func Version() string { return C.GoString(C.taper_version()) }

// handleCount is the number of live handles, for tests of leaks.
func handleCount() uint64 { return uint64(C.taper_handle_count()) }

func first[T any](opts []T) T {
	var zero T
	if len(opts) == 0 {
		return zero
	}
	return opts[0]
}
func or[T any](p *T, d T) T {
	if p == nil {
		return d
	}
	return *p
}
func orString(s, d string) string {
	if s == "" {
		return d
	}
	return s
}
func orInts(v []int64, d ...int64) []int64 {
	if v == nil {
		return d
	}
	return v
}

var noInts [1]int64

// ints is the address of a list that is given, empty or not.
func ints(v []int64) unsafe.Pointer {
	if len(v) == 0 {
		return unsafe.Pointer(&noInts)
	}
	return unsafe.Pointer(unsafe.SliceData(v))
}

// intsOrNil is nil for a list that is not given.
func intsOrNil(v []int64) unsafe.Pointer {
	if v == nil {
		return nil
	}
	return ints(v)
}
func text(s string) unsafe.Pointer { return unsafe.Pointer(C.CString(s)) }
func optionalText(s string) unsafe.Pointer {
	if s == "" {
		return nil
	}
	return text(s)
}
func freeText(p unsafe.Pointer) { C.free(p) }
func takeString(s uintptr) string {
	c := C.uintptr_t(s)
	defer C.go_string_free(c)
	return C.GoStringN(C.go_string_data(c), C.int(C.go_string_len(c)))
}
