// Package taper is a thin torch: tensors, automatic differentiation, modules and optimisers over the C library
// libtaper.
//
// Whatever can fail returns an error of type *Error, which carries the code and the op. Tensors hold memory that Go's
// collector does not see: call Close when one is no longer needed. What is dropped without Close is freed by a cleanup
// after the next collection; the package runs one when the library's memory has grown much since the last (128 MiB at
// least), and when the library runs out of memory, before it gives up. Close is faster and uses less.
//
// The library is found through pkg-config, as `make install` left it; with the build tag taper_checkout in the checkout
// around this folder, and with taper_static it becomes a part of the program. docs/GO.md explains it.
//
// Grad mode belongs to the operating system's thread, which a goroutine may change: switch it with NoGrad, which pins
// the goroutine while its function runs. Everything else may be used from any goroutine.
package taper

/*
#include <stdlib.h>
#include <taper.h>

static inline int32_t go_error_code(uintptr_t e) { return taper_error_code((taper_error *)e); }
static inline const char *go_error_message(uintptr_t e) { return taper_error_message((taper_error *)e); }
static inline const char *go_error_op(uintptr_t e) { return taper_error_op((taper_error *)e); }
static inline int32_t go_error_arg(uintptr_t e) { return taper_error_arg((taper_error *)e); }
static inline uintptr_t go_error_payload(uintptr_t e) { return (uintptr_t)taper_error_payload((taper_error *)e); }
static inline uintptr_t go_error_cause(uintptr_t e) { return (uintptr_t)taper_error_cause((taper_error *)e); }
static inline const char *go_error_module(uintptr_t e) { return taper_error_module((taper_error *)e); }
static inline uintptr_t go_error_again(uintptr_t e) { return (uintptr_t)taper_error_with_payload((taper_error *)e, 0, 0); }
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
static inline uintptr_t go_generator_set_algorithm(uintptr_t g, int32_t algorithm) {
    return (uintptr_t)taper_generator_set_algorithm((taper_generator *)g, algorithm);
}
static inline int32_t go_generator_algorithm(uintptr_t g) { return taper_generator_algorithm((taper_generator *)g); }
static inline uintptr_t go_generator_default(uintptr_t *out) {
    taper_generator *g = 0;
    uintptr_t e = (uintptr_t)taper_generator_default(&g);
    *out = (uintptr_t)g;
    return e;
}
static inline uint64_t go_generator_initial_seed(uintptr_t g) {
    return taper_generator_initial_seed((taper_generator *)g);
}
static inline uintptr_t go_generator_seed(uintptr_t g, uint64_t *out) {
    return (uintptr_t)taper_generator_seed((taper_generator *)g, out);
}
static inline uintptr_t go_generator_get_state(uintptr_t g, uint8_t *buf, size_t n, size_t *needed) {
    return (uintptr_t)taper_generator_get_state((taper_generator *)g, buf, n, needed);
}
static inline uintptr_t go_generator_set_state(uintptr_t g, const uint8_t *buf, size_t n) {
    return (uintptr_t)taper_generator_set_state((taper_generator *)g, buf, n);
}
static inline void go_generator_free(uintptr_t g) { taper_generator_free((taper_generator *)g); }
*/
import "C"

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/cgo"
	"strings"
	"sync/atomic"
	"unsafe"
)

// Code is the kind of an Error. It is an error itself, so that errors.Is(err, taper.ErrorIndex) asks for a kind.
type Code int

func (c Code) Error() string {
	if name, ok := codeNames[c]; ok {
		return "taper: " + name
	}
	return fmt.Sprintf("taper: error code %d", int(c))
}

var codeNames = map[Code]string{
	ErrorRuntime:        "runtime error",
	ErrorIndex:          "index out of range",
	ErrorType:           "wrong type",
	ErrorValue:          "wrong value",
	ErrorOutOfMemory:    "out of memory",
	ErrorNotImplemented: "not implemented",
	ErrorInvalidHandle:  "invalid handle",
	ErrorIO:             "input or output failed",
	ErrorCallback:       "a callback failed",
	ErrorInternal:       "internal error",
	ErrorKey:            "no such key",
	ErrorCancelled:      "cancelled",
}

// Error is what the library reports. errors.As finds it, and errors.Is(err, ErrorIndex) asks for its code.
type Error struct {
	// Code is one of the Error constants.
	Code Code
	// Op is the op that failed, or "".
	Op string
	// Arg is the index of the argument at fault, or -1.
	Arg     int
	Message string
	// Module says which module of a tree failed: its path from the module that was called, and what it is, like
	// "0.fc (Linear(in_features=4, out_features=2, bias=True))". Message ends in it. "" where that module itself failed.
	Module string
	// Cause is the error behind this one, or nil.
	Cause error
	// origin is the library's error on its way through a callback, so that modules further out can say where they are.
	origin *object
}

// PanicError is a panic of a callback: a hook, a Forward, a Backward. It comes back as the error of the call that ran the
// callback. Where the value is an error, errors.Is and errors.As find it.
type PanicError struct {
	// Value is what was given to panic, Stack where that was, as debug.Stack shows it.
	Value any
	Stack []byte
	// Module is as in Error.
	Module string
}

func (e *PanicError) Error() string {
	in := ""
	if e.Module != "" {
		in = "\n  in " + e.Module
	}
	return fmt.Sprintf("panic in a callback: %v%s\n\n%s", e.Value, in, e.Stack)
}

// Unwrap is the value, where it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

func (e *Error) Error() string { return e.Message }

// Is says whether target is the error's Code.
func (e *Error) Is(target error) bool { return target == error(e.Code) }

// Unwrap is the error behind this one, or nil.
func (e *Error) Unwrap() error { return e.Cause }

// carried is Go's own error in an error's payload; nil when another language made the payload.
func carried(payload uintptr) (err error) {
	if payload == 0 {
		return nil
	}
	defer func() {
		if recover() != nil {
			err = nil // no handle of Go's
		}
	}()
	err, _ = cgo.Handle(payload).Value().(error)
	return err
}

// check turns the library's error into Go's and frees it. An error that a Go callback returned comes back as itself.
func check(e uintptr) error {
	if e == 0 {
		return nil
	}
	c := C.uintptr_t(e)
	defer C.go_error_free(c)
	module := ""
	if s := C.go_error_module(c); s != nil {
		module = C.GoString(s)
	}
	if err := carried(uintptr(C.go_error_payload(c))); err != nil {
		var own *Error
		var panicked *PanicError
		if errors.As(err, &own) && own.origin != nil {
			own.Module, own.Message = module, C.GoString(C.go_error_message(c))
			own.keep(c)
		} else if errors.As(err, &panicked) {
			panicked.Module = module
		}
		return err
	}
	op := ""
	if s := C.go_error_op(c); s != nil {
		op = C.GoString(s)
	}
	err := &Error{Code: Code(C.go_error_code(c)), Op: op, Arg: int(C.go_error_arg(c)),
		Message: C.GoString(C.go_error_message(c)), Module: module, Cause: check(uintptr(C.go_error_cause(c)))}
	err.keep(c)
	return err
}

// checkSample is check for errors that name a sample: an error of Go's stands behind it, where errors.Is and errors.As find it.
func checkSample(e uintptr) error {
	if e == 0 {
		return nil
	}
	c := C.uintptr_t(e)
	if carried(uintptr(C.go_error_payload(c))) == nil {
		return check(e)
	}
	err := &Error{Code: Code(C.go_error_code(c)), Op: "batches_next", Arg: -1, Message: C.GoString(C.go_error_message(c))}
	err.keep(c)
	err.Cause = check(e)
	return err
}

// keep remembers the library's error while a callback is running, which may return err.
func (e *Error) keep(c C.uintptr_t) {
	if e.origin != nil {
		_ = e.origin.release(freeError)
		e.origin = nil
	}
	if callbacks.Load() > 0 {
		e.origin = &object{}
		e.origin.own(uintptr(C.go_error_again(c)), freeError)
	}
}
func freeError(h uintptr) { C.go_error_free(C.uintptr_t(h)) }

// callbacks counts the callbacks of Go that are running.
var callbacks atomic.Int64

// Must returns v, or panics with err: for examples and for programs that end at the first error. Try makes an error of it
// again.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(mustError{err})
	}
	return v
}

// Check panics with err unless it is nil; see Try.
func Check(err error) {
	if err != nil {
		panic(mustError{err})
	}
}

// Ptr returns a pointer to v, for optional arguments.
func Ptr[T any](v T) *T { return &v }

// DType is an element type. The zero value means "not given".
type DType int32

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

// Scalar is a number that keeps its category in type promotion. Make one with Int, Float, Bool or ComplexOf; the
// zero value means "not given".
type Scalar struct {
	kind int8
	i    int64 // of a complex number the bits of the imaginary part
	f    float64
}

// Int is an integer.
func Int(v int64) Scalar { return Scalar{kind: 2, i: v} }

// Float is a floating-point number.
func Float(v float64) Scalar { return Scalar{kind: 1, f: v} }

// ComplexOf is a complex number.
func ComplexOf(v complex128) Scalar {
	return Scalar{kind: 4, f: real(v), i: int64(math.Float64bits(imag(v)))}
}

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
	case 4:
		return C.taper_scalar{kind: C.TAPER_SCALAR_COMPLEX, i: C.int64_t(s.i), f: C.double(s.f)}
	}
	return C.taper_scalar{kind: C.TAPER_SCALAR_INT, i: C.int64_t(s.i)}
}
func scalarFrom(s C.taper_scalar) Scalar {
	switch s.kind {
	case C.TAPER_SCALAR_FLOAT:
		return Float(float64(s.f))
	case C.TAPER_SCALAR_BOOL:
		return Bool(s.i != 0)
	case C.TAPER_SCALAR_COMPLEX:
		return Scalar{kind: 4, i: int64(s.i), f: float64(s.f)}
	}
	return Int(int64(s.i))
}

// Complex128 is the scalar's value.
func (s Scalar) Complex128() complex128 {
	if s.kind == 4 {
		return complex(s.f, math.Float64frombits(uint64(s.i)))
	}
	return complex(s.Float64(), 0)
}

// Float64 is the scalar's value; of a complex number the real part.
func (s Scalar) Float64() float64 {
	if s.kind == 1 || s.kind == 4 {
		return s.f
	}
	return float64(s.i)
}

// Int64 is the scalar's value, floats rounded to zero.
func (s Scalar) Int64() int64 {
	if s.kind == 1 || s.kind == 4 {
		return int64(s.f)
	}
	return s.i
}

// Generator makes random numbers; the default one is seeded by ManualSeed.
type Generator struct{ object }

func freeGenerator(h uintptr) { C.go_generator_free(C.uintptr_t(h)) }
func adoptGenerator(h uintptr) *Generator {
	g := &Generator{}
	g.own(h, freeGenerator)
	return g
}

// NewGenerator makes a generator with the default seed.
func NewGenerator() (*Generator, error) {
	var h C.uintptr_t
	if e := C.go_generator_new(&h); e != 0 {
		return nil, check(uintptr(e))
	}
	return adoptGenerator(uintptr(h)), nil
}

// DefaultGenerator is the one that is used where none is given.
func DefaultGenerator() (*Generator, error) {
	var h C.uintptr_t
	if e := C.go_generator_default(&h); e != 0 {
		return nil, check(uintptr(e))
	}
	return adoptGenerator(uintptr(h)), nil
}

// ptr is the handle for a call; the caller keeps g alive until it returned. A nil generator is the default one.
func (g *Generator) ptr() C.uintptr_t {
	if g == nil {
		return 0
	}
	return C.uintptr_t(g.h)
}

// Close frees the generator now; the default one goes on.
func (g *Generator) Close() error {
	if g == nil {
		return nil
	}
	return g.release(freeGenerator)
}

// RandomAlgorithm says which numbers the CPU draws: MT19937 PyTorch's, Philox what every other device draws.
type RandomAlgorithm int32

// SetAlgorithm chooses which numbers the CPU draws; with Philox the same seed gives the same ones on every device. A
// change starts the generator anew from its seed.
func (g *Generator) SetAlgorithm(a RandomAlgorithm) error {
	e := C.go_generator_set_algorithm(g.ptr(), C.int32_t(a))
	runtime.KeepAlive(g)
	return check(uintptr(e))
}

// Algorithm is what SetAlgorithm chose; -1 for a closed generator.
func (g *Generator) Algorithm() RandomAlgorithm {
	defer runtime.KeepAlive(g)
	return RandomAlgorithm(C.go_generator_algorithm(g.ptr()))
}

// ManualSeed restarts the generator.
func (g *Generator) ManualSeed(seed uint64) error {
	e := C.go_generator_manual_seed(g.ptr(), C.uint64_t(seed))
	runtime.KeepAlive(g)
	return check(uintptr(e))
}

// Seed restarts the generator from the system's entropy and returns the seed.
func (g *Generator) Seed() (uint64, error) {
	var seed C.uint64_t
	e := C.go_generator_seed(g.ptr(), &seed)
	runtime.KeepAlive(g)
	return uint64(seed), check(uintptr(e))
}

// InitialSeed is the seed last set; 0 for a closed generator.
func (g *Generator) InitialSeed() uint64 {
	defer runtime.KeepAlive(g)
	return uint64(C.go_generator_initial_seed(g.ptr()))
}

// State is the generator's state, the bytes of torch.get_rng_state() for the CPU's.
func (g *Generator) State() ([]byte, error) {
	defer runtime.KeepAlive(g)
	var n C.size_t
	if err := check(uintptr(C.go_generator_get_state(g.ptr(), nil, 0, &n))); err != nil {
		return nil, err
	}
	state := make([]byte, int(n))
	e := C.go_generator_get_state(g.ptr(), (*C.uint8_t)(unsafe.SliceData(state)), n, &n)
	return state, check(uintptr(e))
}

// SetState restores what State returned.
func (g *Generator) SetState(state []byte) error {
	e := C.go_generator_set_state(g.ptr(), (*C.uint8_t)(unsafe.SliceData(state)), C.size_t(len(state)))
	runtime.KeepAlive(g)
	return check(uintptr(e))
}

// ManualSeed restarts the default generator: the same seed gives the same numbers as PyTorch's on the CPU.
func ManualSeed(seed uint64) { C.taper_manual_seed(C.uint64_t(seed)) }

// The version of this module, which is that of its taper.h.
const (
	VersionMajor  = int(C.TAPER_VERSION_MAJOR)
	VersionMinor  = int(C.TAPER_VERSION_MINOR)
	VersionPatch  = int(C.TAPER_VERSION_PATCH)
	ModuleVersion = string(C.TAPER_VERSION)
)

// Version of the library that the program runs with.
func Version() string { return C.GoString(C.taper_version()) }

// object owns one handle of the library. The handle's value stays after Close, so that the library itself says that it
// has been freed.
type object struct {
	h       uintptr
	closed  atomic.Bool
	handed  atomic.Bool
	cleanup runtime.Cleanup
}

// own takes over a handle: Close frees it, or a cleanup some time after the object became unreachable.
func (o *object) own(h uintptr, free func(uintptr)) {
	o.h = h
	o.cleanup = runtime.AddCleanup(o, free, h)
}
func (o *object) release(free func(uintptr)) error {
	if o.closed.CompareAndSwap(false, true) {
		o.cleanup.Stop()
		free(o.h)
		runtime.KeepAlive(o)
	}
	return nil
}

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

// text is a copy for C, where a NUL would end it: another file would be written, another name looked up.
func text(s string) (unsafe.Pointer, error) {
	if i := strings.IndexByte(s, 0); i >= 0 {
		return nil, &Error{Code: ErrorValue, Arg: -1, Message: fmt.Sprintf(
			"embedded null character: the text %q goes on after a NUL, which the library would not see", s[:i+1]+"...")}
	}
	return unsafe.Pointer(C.CString(s)), nil
}
func optionalText(s string) (unsafe.Pointer, error) {
	if s == "" {
		return nil, nil
	}
	return text(s)
}

// missing is the error of a function that is nil where one is needed.
func missing(op, name string, arg int) error {
	return &Error{Code: ErrorValue, Arg: arg, Op: op, Message: fmt.Sprintf("%s: %s is nil, a function is needed", op, name)}
}
func freeText(p unsafe.Pointer) { C.free(p) }
func takeString(s uintptr) string {
	c := C.uintptr_t(s)
	defer C.go_string_free(c)
	return C.GoStringN(C.go_string_data(c), C.int(C.go_string_len(c)))
}
